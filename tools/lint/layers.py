#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Who may include whom, which file owns which third-party library, which calls are banned and why."""
import pathlib
import re
import subprocess
import sys

# folder: the folders of ours that it may include (ARCHITECTURE.md, "Folders")
LAYERS = {
    "lib/base": {"base"},
    "lib/net": {"net", "base"},
    "lib/http": {"http", "net", "base"},
    "lib/mesh": {"mesh", "base"},
    "lib/kube": {"kube", "net", "base"},
    "proxy": {"proxy", "mesh", "http", "net", "base"},
    "operator": {"operator", "kube", "mesh", "http", "net", "base"},
    "init": {"init", "base"},
}
# lib/mesh is pure: of the layers below it only headers that are plain data.
MESH_DATA_ONLY = {"http/message.h", "http/url.h", "net/addr.h"}
# Pure rooms of the operator: no kube, no net, no other room.
PURE = {"operator/index": {"base", "operator/index"},
        "operator/translate": {"base", "mesh", "net/addr.h", "operator/index", "operator/translate"}}

# third-party header prefix: the only files that may include it
WALLS = {
    "yajl/": {"lib/base/json.c"},
    "yaml.h": {"lib/base/yaml.c"},
    "uthash.h": {"lib/base/map.c"},
    "curl/": {"lib/kube/client.c"},
    "libwebsockets.h": {"operator/serve/ws.c"},
    "openssl/": {"lib/net/tls.c", "lib/net/x509.c"},
    "nghttp2/": {"lib/http/h2.c"},
    "ares.h": {"lib/net/resolver.c"},
    "pcre2.h": {"lib/mesh/regex.c"},
}

BANNED = {
    r"\b(strcpy|strcat|sprintf|vsprintf|gets)\s*\(": "unbounded copy: use sn_buf, sn_slice_copy or snprintf",
    r"\b(atoi|atol|atoll|strtok)\s*\(": "no error reporting or hidden state: use sn_num_*, sn_slice_cut",
    r"\b(getaddrinfo|gethostbyname|getnameinfo)\s*\(": "blocks the loop, and is not safe in a static program",
    r"\b(system|popen)\s*\(": "runs a shell",
    r"\b(alloca)\s*\(": "unbounded stack",
    r"\bdlopen\s*\(": "the proxy is static",
    r"\b(usleep|sleep)\s*\(": "blocks the loop: use a timer",
}
OPEN_END = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')


def layer_of(path):
    best = ""
    for folder in LAYERS:
        if path.startswith(folder + "/") and len(folder) > len(best):
            best = folder
    return best


def strip(line):
    """Without string literals and // or one-line comments."""
    line = re.sub(r'"(\\.|[^"\\])*"', '""', line)
    return re.sub(r"//.*|/\*.*?\*/", "", line)


def check_include(path, mark, name, out):
    layer = layer_of(path)
    if mark == '"' and layer:
        room = name.split("/")[0]
        if room not in LAYERS[layer] and not (layer == "lib/mesh" and name in MESH_DATA_ONLY):
            out(f"{layer} must not include {name}")
        for folder, allowed in PURE.items():
            if path.startswith(folder + "/") and not any(name == a or name.startswith(a + "/") for a in allowed):
                out(f"{folder} is pure and must not include {name}")
    for prefix, owners in WALLS.items():
        if name.startswith(prefix) and path not in owners:
            out(f"<{name}> belongs to {', '.join(sorted(owners))} alone")


def main():
    files = subprocess.run(["git", "ls-files", "-co", "--exclude-standard", "*.c", "*.h"],
                           capture_output=True, text=True, check=True).stdout.split()
    bad = 0
    for path in files:
        if not pathlib.Path(path).exists():
            continue
        product = bool(layer_of(path))
        text = pathlib.Path(path).read_text(encoding="utf-8", errors="replace")
        if "SPDX-License-Identifier" not in text[:200]:
            print(f"{path}:1: no SPDX line")
            bad += 1
        in_comment = False
        for number, line in enumerate(text.splitlines(), 1):
            def out(msg, number=number):
                nonlocal bad
                bad += 1
                print(f"{path}:{number}: {msg}")

            m = INCLUDE.match(line)
            if m and product:
                check_include(path, m.group(1), m.group(2), out)
            if OPEN_END.search(line):
                out("open end in the code: an issue, or nothing")
            if product and not in_comment:
                code = strip(line)
                for pattern, why in BANNED.items():
                    if re.search(pattern, code):
                        out(f"banned call: {why}")
            if "/*" in line:
                in_comment = "*/" not in line.split("/*")[-1]
            elif "*/" in line:
                in_comment = False
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
