# SPDX-License-Identifier: Apache-2.0
"""The reference says what the programs say; the CRDs have the keys that they have."""
import pathlib
import re
import subprocess

import yaml

from running import BIN, Origin, Proxy, answer, fixed_answers
from test_operator_kube import api, fill, start  # noqa: F401 (fixtures)
from test_webhook import hook  # noqa: F401

ROOT = pathlib.Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs/reference"
OF_RESOURCES = {"group", "kind", "namespace"}  # of a reference; the document has names only


def defaults():
    return subprocess.run([str(BIN / "sennit-proxy"), "--print-defaults"], check=True, capture_output=True, text=True).stdout


def test_every_key_with_its_default_is_in_the_reference():
    block = re.search(r"```yaml\n(.*?)```", (DOCS / "configuration.md").read_text(), re.S)[1]
    assert block == defaults()


def crd(name):
    versions = yaml.safe_load((ROOT / "crds" / f"{name}.yaml").read_text())["spec"]["versions"]
    return versions[0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]


def same_keys(where, schema, value):
    """@schema has the keys that the document's @value has; a default that both give is the same."""
    schema = schema.get("items", schema)
    if isinstance(value, list):
        value = value[0] if value else None
    if not isinstance(value, dict):
        assert "properties" not in schema, where
        assert value is None or schema.get("default", value) == value, where
        return
    assert schema["properties"].keys() - OF_RESOURCES == value.keys(), where
    for key, member in value.items():
        same_keys(f"{where}.{key}", schema["properties"][key], member)


def test_resources_have_the_keys_of_the_document():
    service = yaml.safe_load(defaults())["services"][0]
    policy = crd("backendpolicies")
    del policy["targetRefs"]
    same_keys("BackendPolicy", {"properties": policy}, service["policy"])
    same_keys("MeshRoute", crd("meshroutes")["rules"], service["routes"][0]["rules"])


def families(text):
    return set(re.findall(r"^# TYPE (\S+)", text, re.M))


def documented(part):
    text = (DOCS / "metrics.md").read_text().split("## ")
    section = next(s for s in text if s.startswith(part))
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return set(re.findall(r"`(\w+)`", " ".join(rows)))


def well_formed(text):
    """Each family once, its samples right behind it."""
    seen, current = set(), None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            current = line.split()[2]
            assert current not in seen, f"{current} comes twice"
            seen.add(current)
        elif not line.startswith("#"):
            name = re.match(r"\w+", line)[0]
            assert re.sub(r"_(bucket|sum|count)$", "", name) == current or name == current, line


def test_every_metric_of_the_proxy():
    origin = Origin(fixed_answers(answer()))
    p = Proxy("""
version: 1
admin: {address: "127.0.0.1:{admin}"}
listeners: [{name: out, address: "127.0.0.1:{port}", direction: outbound}]
services: [{name: web, hosts: [web], endpoints: {static: [{address: "127.0.0.1:%d"}]}}]
""" % origin.port)
    try:
        assert b"200 OK" in p.ask(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        text = p.metrics()
        well_formed(text)
        assert families(text) == documented("Proxy")
    finally:
        p.stop()
        origin.close()


def test_every_metric_of_the_operator(hook):  # noqa: F811
    text = hook.get("/metrics")[1]
    well_formed(text)
    process = {n for n in documented("Proxy") if n.startswith("process_")}
    assert families(text) - process == documented("Operator")


def test_every_reason_of_a_refusal():
    text = (DOCS / "configuration.md").read_text()
    p = Proxy("""
version: 1
admin: {address: "127.0.0.1:{admin}"}
listeners: [{name: out, address: "127.0.0.1:{port}", direction: outbound}]
""")
    try:
        reasons = set(re.findall(r'sennit_refused_total\{reason="([^"]+)"', p.metrics()))
    finally:
        p.stop()
    assert reasons == set(re.findall(r"^\| `([a-z-]+)` \|", text.split("## Refusals")[1], re.M)) - {"sennit-error"}
