# SPDX-License-Identifier: Apache-2.0
"""The proxy and its documents: what is refused and how it says so, directories as volumes are mounted, the
last good document, endpoint files, start and usage."""
import os
import pathlib
import re
import resource
import socket
import subprocess
import time

import pytest
import yaml

import harness
from harness import BIN, Client, Origin, Process, free_port, service, wait_for

PROXY = BIN / "sennit-proxy"


def run(*args, **kwargs):
    return subprocess.run([str(PROXY), *map(str, args)], capture_output=True, text=True, timeout=30, check=False,
                          errors="replace", **kwargs)


# --- refusals: (document, what is said behind "FILE:")
HEAD = "version: 1\n"
# A rule's key, or a policy's, with a value that is none; where and what.
RULE = HEAD + """services:
- name: a
  routes:
  - name: r
    rules:
    - %s: %s
"""
POLICY = HEAD + """services:
- name: a
  policy:
    %s: %s
"""
RULES = [
    ("retry", "{codes: [200]}", r"7:23: .*rules\[0\].retry.codes\[0\].*400.*599"),
    ("retry", "{codes: [600]}", "7:23: .*codes"),
    ("retry", "{codes: 503}", "7:22: .*codes.*list"),
    ("retry", "{grpc: [OK]}", r"7:22: .*grpc\[0\].*UNAVAILABLE"),
    ("retry", "{grpc: [UNAVAILIBLE]}", '7:22: .*did you mean "UNAVAILABLE"'),
    ("retry", "{attempts: 11}", "7:25: .*attempts.*10"),
    ("retry", "{attempts: -1}", "7:25: .*attempts"),
    ("retry", "{backoff: 0s}", "7:24: .*backoff"),
    ("retry", "{backoff: 61s}", "7:24: .*backoff"),
    ("retry", "{attempt: 1}", '7:15: .*did you mean "attempts"'),
    ("timeouts", "{backendRequest: 1}", "7:34: .*timeouts.backendRequest"),
    ("rateLimit", "{burst: 1}", "7:18: .*requestsPerSecond"),
    ("rateLimit", "{requestsPerSecond: 0}", "7:38: .*rateLimit.requestsPerSecond"),
    ("rateLimit", "{requestsPerSecond: 0.5}", "7:38: .*rateLimit.requestsPerSecond"),
    ("rateLimit", "{requestsPerSecond: 1, burst: 0}", "7:48: .*rateLimit.burst"),
    ("rateLimit", "{requestsPerSecond: 1, per: Client}", "7:46: .*per.*Rule.*Identity.*Header"),
    ("rateLimit", "{requestsPerSecond: 1, per: Header}", '7:18: .*"header"'),
    ("rateLimit", "{requestsPerSecond: 1, header: x-a}", '7:18: .*"header"'),
    ("rateLimit", "{requestsPerSecond: 1, per: Header, header: 'x a'}", "7:62: .*header"),
]
POLICIES = [
    ("connections", "{requests: -1}", "5:29: .*connections.requests"),
    ("connections", "{pending: many}", "5:28: .*connections.pending"),
    ("connections", "{pendingTimeout: 0s}", "5:35: .*connections.pendingTimeout"),
    ("retryBudget", "{percent: 101}", "5:28: .*retryBudget.percent.*100"),
    ("retryBudget", "{minPerSecond: -1}", "5:33: .*retryBudget.minPerSecond"),
    ("retryBudget", "{interval: 100ms}", "5:29: .*retryBudget.interval"),
    ("rateLimit", "{requestsPerSecond: 1, per: Identity}", '5:39: .*"per"'),
    ("adaptiveConcurrency", "{mode: Auto}", "5:33: .*adaptiveConcurrency.mode.*On.*Off"),
    ("adaptiveConcurrency", "{min: 0}", "5:32: .*adaptiveConcurrency.min"),
    ("adaptiveConcurrency", "{min: 9, max: 8}", "5:26: .*min is more than max"),
    ("sessionPersistence", "{sessionName: 'a b'}", "5:39: .*sessionPersistence.sessionName"),
    ("sessionPersistence", "{sessionName: ''}", "5:39: .*sessionPersistence.sessionName"),
    ("sessionPersistence", "{type: Header, sessionName: Host}", '5:25: .*"Host" has a meaning'),
    ("sessionPersistence", "{type: Header, sessionName: sennit-x}", '5:25: .*"sennit-x" has a meaning'),
    ("sessionPersistence", "{type: Query}", "5:32: .*type.*Cookie.*Header"),
    ("sessionPersistence", "{idleTimeout: 1500ms}", "5:25: .*whole seconds"),
    ("sessionPersistence", "{absoluteTimeout: 1}", "5:43: .*absoluteTimeout"),
    ("sessionPersistence", "{cookieConfig: {lifetimeType: Permanent}}", "5:25: .*absoluteTimeout"),
    ("sessionPersistence", "{cookieConfig: {lifetimeType: Forever}}", "5:55: .*lifetimeType"),
]
BAD = {
    "unknown key": (HEAD + "lisseners: []\n", '2:1: .*"lisseners".*did you mean "listeners"'),
    "unknown key below": (HEAD + "limits: {headerByte: 1KiB}\n", '2:10: limits.*did you mean "headerBytes"'),
    "unknown value": (HEAD + "defaultService: {mode: passtrough}\n", '2:24: .*did you mean "passthrough"'),
    "unknown and far": (HEAD + "zzz: 1\n", r"2:1: .*\"zzz\""),
    "duplicate key": (HEAD + "version: 1\n", "2:1: .*version"),
    "duplicate key below": (HEAD + "limits:\n  connections: 1\n  connections: 2\n", "4:3: .*connections"),
    "wrong type, scalar": (HEAD + "workers: [1]\n", "2:10: workers"),
    "wrong type, list": (HEAD + "services: {}\n", "2:11: services.*list.*map"),
    "wrong type, map": (HEAD + "limits: 3\n", "2:9: limits.*map.*integer"),
    "a word for a number": (HEAD + "limits: {connections: many}\n", "2:23: limits.connections"),
    "yes is no boolean": (HEAD + "listeners:\n- {name: a, address: \"127.0.0.1:1\", direction: inbound, transparent: yes}\n",
                          r"3:70: listeners\[0\].transparent"),
    "too large": (HEAD + "limits: {headerCount: 1001}\n", "2:23: limits.headerCount.*1000"),
    "too small": (HEAD + "limits: {headerBytes: 1}\n", "2:23: limits.headerBytes"),
    "beyond 64 bits": (HEAD + "limits: {connections: 99999999999999999999}\n", "2:23: limits.connections"),
    "no unit": (HEAD + "timeouts: {header: 10}\n", "2:20: timeouts.header"),
    "unit that is none": (HEAD + "timeouts: {header: 10y}\n", "2:20: timeouts.header"),
    "size without end": (HEAD + "limits: {headerBytes: 9999999999999999999KiB}\n", "2:23: limits.headerBytes"),
    "another version": ("version: 2\n", "1:10: version"),
    "no version": ("services: []\n", "1:1: .*version"),
    "missing name": (HEAD + "services:\n- {hosts: [a]}\n", r"3:3: services\[0\].*name"),
    "service twice": (HEAD + "services:\n- {name: a}\n- {name: a}\n", '4:3: .*"a"'),
    "host twice": (HEAD + "services:\n- {name: a, hosts: [h]}\n- {name: b, hosts: [h]}\n", '4:3: .*"b"'),
    "port twice": (HEAD + "services:\n- {name: a, ports: [{port: 1}, {port: 1}]}\n", "3:32: .*twice"),
    "port 65536": (HEAD + "services:\n- {name: a, ports: [{port: 65536}]}\n", "3:28: .*65535"),
    "not an address": (HEAD + "services:\n- {name: a, endpoints: {static: [{address: \"localhost:80\"}]}}\n",
                       r"3:44: services\[0\].endpoints.static\[0\].address: .*IP:PORT"),
    "two kinds of endpoints": (HEAD + "services:\n- {name: a, endpoints: {file: x, static: []}}\n", "3:2[0-9]: .*endpoints"),
    "a filter without its member": (HEAD + "services:\n- {name: a, routes: [{name: r, rules: "
                                    "[{filters: [{type: RequestHeaderModifier}]}]}]}\n", "3:.*requestHeaderModifier"),
    "an algorithm that is none": (HEAD + "services:\n- {name: a, policy: {loadBalancing: {algorithm: Maglef}}}\n",
                                  "3:49: .*Maglev"),
    "a hash of nothing": (HEAD + "services:\n- {name: a, policy: {loadBalancing: {algorithm: Maglev}}}\n", "3:49: .*Maglev .*hashOn"),
    "a hash for nobody": (HEAD + "services:\n- {name: a, policy: {loadBalancing: {hashOn: {type: SourceAddress}}}}\n",
                          "3:46: .*RingHash and Maglev"),
    "a hash on a header without name": (HEAD + "services:\n- {name: a, policy: {loadBalancing: {algorithm: RingHash, hashOn: "
                                        "{type: Header}}}}\n", "3:67: .*hashOn.*name"),
    "a hash on a name that is none": (HEAD + "services:\n- {name: a, policy: {loadBalancing: {algorithm: RingHash, hashOn: "
                                      "{type: Cookie, name: \"a b\"}}}}\n", "3:88: .*a b"),
    "a source address with a name": (HEAD + "services:\n- {name: a, policy: {loadBalancing: {algorithm: RingHash, hashOn: "
                                     "{type: SourceAddress, name: x}}}}\n", "3:95: .*name"),
    "an aperture of another": (HEAD + "services:\n- {name: a, policy: {loadBalancing: {aperture: {minSize: 3}}}}\n", "3:48: .*Aperture"),
    "penalties the wrong way": (HEAD + "services:\n- {name: a, policy: {circuitBreaking: {minPenalty: 2m}}}\n",
                                "3:52: .*minPenalty is longer than maxPenalty"),
    "a success rate of nothing": (HEAD + "services:\n- {name: a, policy: {circuitBreaking: {successRate: {}}}}\n", "3:53: .*percent"),
    "weights all zero": (HEAD + "services:\n- {name: a, endpoints: {static: [{address: \"127.0.0.1:1\", weight: 0}]}}\n",
                         "3:33: .*all weights are 0"),
    "a pin to nobody": (HEAD + "listeners:\n- {name: a, address: \"127.0.0.1:1\", direction: outbound, service: x}\n",
                        '3:.*"x"'),
    "no kind of endpoints": (HEAD + "services:\n- {name: a, endpoints: {}}\n", "3:2[0-9]: .*exactly one"),
    "endpoints by file and by name": (HEAD + "services:\n- {name: a, endpoints: {file: x, dns: {name: a, port: 1}}}\n",
                                      "3:2[0-9]: .*exactly one"),
    "a name that is none": (HEAD + "services:\n- {name: a, endpoints: {dns: {name: a..b, port: 1}}}\n",
                            r"3:37: services\[0\].endpoints.dns.name: .*DNS name"),
    "a name that is an address": (HEAD + "services:\n- {name: a, endpoints: {dns: {name: 10.0.0.1, port: 1}}}\n",
                                  "3:37: .*static"),
    "a name without port": (HEAD + "services:\n- {name: a, endpoints: {dns: {name: a.test}}}\n", '3:3[0-9]: .*"port" is missing'),
    "SRV with a port": (HEAD + "services:\n- {name: a, endpoints: {dns: {name: _a._tcp.b, type: SRV, port: 1}}}\n",
                        '3:3[0-9]: .*no "port"'),
    "a type that is not looked up": (HEAD + "services:\n- {name: a, endpoints: {dns: {name: a, port: 1, type: MX}}}\n",
                                     "3:5[0-9]: .*MX"),
    "a resolver that is no address": (HEAD + "resolver: {servers: [\"127.0.0.1\", dns.test]}\n",
                                      r"2:35: resolver.servers\[1\]: .*dns.test"),
    "a resolver without port": (HEAD + "resolver: {servers: [\"127.0.0.1:0\"]}\n", r"2:22: resolver.servers\[0\]"),
    "no time for a resolver": (HEAD + "resolver: {timeout: 0s}\n", "2:21: resolver.timeout"),
    **{f"{key}: {value}": (RULE % (key, value), said) for key, value, said in RULES},
    **{f"policy.{key}: {value}": (POLICY % (key, value), said) for key, value, said in POLICIES},
    "requests of the process": (HEAD + "limits: {requests: -1}\n", "2:20: limits.requests"),
    "time of a stream": (HEAD + "timeouts: {stream: soon}\n", "2:20: timeouts.stream"),
    "a budget over 100 percent": (HEAD + "services:\n- {name: a, policy: {retryBudget: {percent: 101}}}\n",
                                  "3:45: .*percent: 101 .*0 to 100"),
    "a budget over no time": (HEAD + "services:\n- {name: a, policy: {retryBudget: {interval: 0s}}}\n", "3:46: .*interval: .*1s"),
    "a budget of too many": (HEAD + "services:\n- {name: a, policy: {retryBudget: {minPerSecond: 100001}}}\n", "3:50: .*100000"),
    "a try longer than its request": (HEAD + "services:\n- {name: a, routes: [{name: r, rules: "
                                      "[{timeouts: {request: 1s, backendRequest: 2s}}]}]}\n", "3:51: .*backendRequest is longer"),
    "an endpoint on port 0": (HEAD + "services:\n- {name: a, endpoints: {static: [{address: \"127.0.0.1:0\"}]}}\n", "3:44: .*:0"),
    "an endpoint on port 65536": (HEAD + "services:\n- {name: a, endpoints: {static: [{address: \"127.0.0.1:65536\"}]}}\n",
                                  "3:44: .*65536"),
    "an endpoint for port 0": (HEAD + "services:\n- {name: a, endpoints: {static: [{address: \"127.0.0.1:1\", servicePort: 0}]}}\n",
                               "3:72: .*servicePort.*1 to 65535"),
    "a backend on port 70000": (HEAD + "services:\n- {name: a, routes: [{name: r, rules: [{backendRefs: [{name: a, port: 70000}]}]}]}\n",
                                "3:71: .*65535"),
    "a weight below 0": (HEAD + "services:\n- {name: a, routes: [{name: r, rules: [{backendRefs: [{name: a, weight: -1}]}]}]}\n",
                         "3:73: .*0 to 1000000"),
    "a weight that overflows": (HEAD + "services:\n- {name: a, routes: [{name: r, rules: [{backendRefs: "
                                "[{name: a, weight: 4294967297}]}]}]}\n", "3:73: .*0 to 1000000"),
    "not a map": ("- 1\n", "1:1: .*map"),
    "a scalar": ("version\n", "1:1: "),
    "a tag": (HEAD + "revision: !!str 1\n", "2:11: .*tag"),
    "a tab": (HEAD + "limits:\n\tconnections: 1\n", "3:1: "),
    "unclosed": (HEAD + "services: [{name: a", "[23]:[0-9]+: "),
    "unclosed quote": (HEAD + 'revision: "abc', "[23]:[0-9]+: "),
    "an alias of nothing": (HEAD + "services: *x\n", "2:11: "),
    "an alias bomb": (HEAD + "revision: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
        f"b{i}: &b{i} [{', '.join([f'*b{i - 1}' if i else '*a'] * 10)}]\n" for i in range(12)), "[0-9]+:[0-9]+: .*alias"),
    "an alias of itself": (HEAD + "services: &a [*a]\n", "2:[0-9]+: "),
    "two documents": (HEAD + "---\nversion: 1\n", "[23]:[0-9]+: "),
    "deep": (HEAD + "services: " + "[" * 100_000 + "\n", "2:[0-9]+: .*64"),
    "deep, by indentation": (HEAD + "services:\n" + "".join(" " * i + "- \n" for i in range(1, 200)), "[0-9]+:[0-9]+: .*64"),
    "nul": (HEAD + "revision: a\0b\n", "2:[0-9]+: "),
    "escaped nul": (HEAD + 'revision: "a\\0b"\n', "2:[0-9]+: "),
    "not utf-8": (HEAD.encode() + b"revision: \xff\xfe\n", "2:[0-9]+: .*UTF-8"),
    "surrogate": (HEAD.encode() + b"revision: \xed\xa0\x80\n", "2:[0-9]+: .*UTF-8"),
    "over 1 MiB": (HEAD + "#" + "x" * (1 << 20) + "\n", "1:1: .*1 MiB"),
}


def write(path, text):
    new = path.with_name("." + path.name + ".new")
    new.write_bytes(text if isinstance(text, bytes) else text.encode())
    new.rename(path)


@pytest.mark.parametrize("name", BAD)
def test_check_names_the_place_and_what_is_allowed(tmp_path, name):
    text, said = BAD[name]
    path = tmp_path / "d.yaml"
    write(path, text)
    began = time.monotonic()
    out = run("--check", "--config", path)
    assert out.returncode == 2, out.stderr
    assert re.search(re.escape(str(path)) + ":" + said, out.stderr), out.stderr
    assert all(line.startswith(str(path) + ":") for line in out.stderr.splitlines()), out.stderr
    assert time.monotonic() - began < 2 * harness.SLOW
    # the same as the document to start with: 2 as well, and nothing is left running
    assert run("--config", path).returncode == 2


def test_a_running_proxy_keeps_what_it_has(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])])
    good, before = proxy.doc, None
    for n, (name, (text, _)) in enumerate(BAD.items(), 1):
        write(proxy.config_path, text)
        wait_for(lambda n=n: proxy.metric("sennit_config_reload_total", result="rejected") >= n,
                 f"the refusal of: {name}")
        assert proxy.get().status == 200
        before = before or proxy.rss_bytes()
    if not ("/asan/" in str(BIN) or "/tsan/" in str(BIN)):
        assert proxy.rss_bytes() < before + (4 << 20)
    assert 'did you mean \\"listeners\\"' in proxy.log()
    good["services"].append(service("more", [origin.address]))
    proxy.write(good)
    wait_for(lambda: proxy.get(host="more").status == 200, "the next good document")


@pytest.mark.parametrize("name, refs, answers", [
    ("no-refs", "[]", {500}), ("zero", "[{name: web, weight: 0}]", {500}),
    ("all-zero", "[{name: web, weight: 0}, {name: other, weight: 0}]", {500}),
    ("nobody", "[{name: nobody}]", {500}), ("share-of-nobody", "[{name: web}, {name: nobody}]", {200, 500}),
    ("nobody-of-zero", "[{name: web}, {name: nobody, weight: 0}]", {200}),
    ("no-endpoints", "[{name: empty}]", {503})])
def test_backends_that_cannot_serve_answer_for_their_share(start_proxy, origin, name, refs, answers):
    """As the Gateway API has it, with the reason, counted."""
    route = {"name": name, "rules": [{"backendRefs": yaml.safe_load(refs)}]}
    proxy = start_proxy([service("web", [origin.address], routes=[route]), service("other", [origin.address]),
                         {"name": "empty", "hosts": ["empty"], "endpoints": {"static": []}}])
    got = []
    with proxy.client() as c:
        for _ in range(40):
            r = c.request("GET", "/")
            got.append(r.status)
            assert r.status == 200 or r.get("sennit-error") in ("no-backend", "no-endpoints"), r
    assert set(got) == answers
    assert proxy.refused() == sum(status != 200 for status in got)
    wait_for(lambda: len(origin.requests) == got.count(200), "those that are served")


def test_every_prefix_of_a_document_is_refused_or_whole(tmp_path):
    """A half-written file is never half a document: every cut is refused, or says what it means."""
    text = HEAD + "revision: abc\nlimits: {connections: 5}\nservices:\n- {name: web, hosts: [web]}\n"
    path = tmp_path / "d.yaml"
    for n in range(0, len(text), 3):
        write(path, text[:n])
        out = run("--check", "--config", path)
        assert out.returncode in (0, 2)
        assert (out.returncode == 0) == (out.stderr == ""), (text[:n], out.stderr)


def test_defaults_are_a_document_of_all_keys():
    out = run("--print-defaults")
    assert out.returncode == 0
    doc = yaml.safe_load(out.stdout)
    assert doc["limits"]["connections"] == 10000 and doc["timeouts"]["detectDial"] == "100ms"
    assert doc["admin"]["address"] == "127.0.0.1:4191" and doc["services"][0]["policy"]["connections"]["max"] == 1024


@pytest.mark.parametrize("args", [[], ["--nope"], ["extra"], ["--workers", "0", "--config", "x"], ["--workers", "65"],
                                  ["--config", "/nonexistent.yaml"], ["--check", "--config", "/nonexistent.yaml"],
                                  ["--check", "--config", "/dev/zero"], ["--log-level", "loud"],
                                  ["--drain", "--admin", "nowhere"]], ids=" ".join)
def test_bad_usage_is_2(args):
    out = run(*args)
    assert out.returncode == 2 and out.stderr


@pytest.mark.parametrize("program", ["sennit-proxy", "sennit-operator", "sennit-init"])
def test_version(program):
    out = subprocess.run([str(BIN / program), "--version"], capture_output=True, text=True, timeout=10, check=False)
    assert out.returncode == 0 and re.fullmatch(program + r" \d+\.\d+\.\d+\S*\n", out.stdout), out


def test_help_and_telling_nobody():
    assert "--print-defaults" in run("--help").stdout
    out = run("--drain", "--admin", f"127.0.0.1:{free_port()}")
    assert out.returncode == 1 and "no proxy answers" in out.stderr


# --- directories
class Mounted(Process):
    """A proxy on a directory, which is written as the kubelet writes a volume: a new directory, and the rename
    of the link ..data."""

    def __init__(self, tmp_path, files, state="state", **more):
        self.dir, self.state = tmp_path / "volume", tmp_path / state
        self.dir.mkdir(exist_ok=True)
        self.state.mkdir(exist_ok=True)
        self.port, self.admin_port = free_port(), free_port()
        self.pod = yaml.safe_dump({
            "version": 1, "admin": {"address": f"127.0.0.1:{self.admin_port}"}, "drain": {"propagation": "0s"},
            "listeners": [{"name": "outbound", "address": f"127.0.0.1:{self.port}", "direction": "outbound",
                           "protocol": "http"}], **more})
        self.mount(files)
        super().__init__([PROXY, "--config", self.dir, "--state-dir", self.state], tmp_path,
                         f"proxy{len(os.listdir(tmp_path))}")

    def mount(self, files, pod=True):
        files = {**({"00-pod.yaml": self.pod} if pod else {}), **files}
        generation = f"..{time.monotonic_ns()}"
        (self.dir / generation).mkdir()
        for name, text in files.items():
            (self.dir / generation / name).write_text(text)
        link = self.dir / "..data_tmp"
        link.symlink_to(generation)
        link.rename(self.dir / "..data")
        for name in files:
            if not (self.dir / name).is_symlink():
                (self.dir / name).symlink_to(f"..data/{name}")
        for old in self.dir.iterdir():
            if old.is_symlink() and not old.exists():
                old.unlink()

    admin, ready = harness.Proxy.admin, harness.Proxy.ready
    metrics, metric = harness.Proxy.metrics, harness.Proxy.metric

    def get(self, host="web", path="/"):
        with Client(self.port) as c:
            return c.request("GET", path, host)

    def result(self, what):
        return self.metric("sennit_config_reload_total", result=what)


@pytest.fixture
def mounted(tmp_path):
    started = []

    def start(files, **kwargs):
        started.append(Mounted(tmp_path, files, **kwargs))
        return started[-1]

    yield start
    for p in started:
        assert p.stop() == 0, p.log()


def shard(services, index=0, of=1, revision="r1"):
    return yaml.safe_dump({"version": 1, "revision": revision, "shard": {"index": index, "of": of}, "services": services})


def test_a_mounted_volume_is_merged_and_followed(mounted, origin):
    p = mounted({"routes-0.yaml": shard([service("web", [origin.address])]), "notes.txt": "{{{", ".hidden.yaml": "{{{"})
    wait_for(p.ready, "the proxy")
    assert p.get().status == 200 and p.get("new").status == 404
    began = time.monotonic()
    p.mount({"routes-0.yaml": shard([service("web", [origin.address]), service("new", [origin.address])], revision="r2")})
    wait_for(lambda: p.get("new").status == 200, "the new revision")
    assert time.monotonic() - began < 2 * harness.SLOW
    assert p.metric("sennit_config_revision_info", revision="r2") == 1
    text = p.admin("/config")[1]
    assert yaml.safe_load(text)["revision"] == "r2" and [s["name"] for s in yaml.safe_load(text)["services"]] == ["web", "new"]


def test_config_shows_what_is_in_use_not_what_was_refused(mounted, origin):
    p = mounted({"routes-0.yaml": shard([service("web", [origin.address])])})
    wait_for(p.ready, "the proxy")
    p.mount({"routes-0.yaml": shard([service("web", [origin.address])]) + "colour: blue\n"})
    wait_for(lambda: p.result("rejected") == 1, "the refusal")
    assert "colour" not in p.admin("/config")[1]


@pytest.mark.parametrize("second, said", [
    ("version: 1\nlimits: {connections: 7}\nrevision: r\n", '"connections" is set twice'),
    ("version: 1\nservices:\n- {name: web}\n", '"web" is used twice'),
    ("[]\n", "a document is a map")])
def test_files_that_do_not_fit_together(tmp_path, second, said):
    (tmp_path / "a.yaml").write_text("version: 1\nlimits: {connections: 5}\nservices:\n- {name: web}\n")
    (tmp_path / "b.yaml").write_text(second)
    out = run("--check", "--config", tmp_path)
    assert out.returncode == 2 and f"{tmp_path}/b.yaml:" in out.stderr and said in out.stderr


def test_a_revision_is_waited_for_until_all_its_shards_are_there(mounted, origin):
    p = mounted({"routes-0.yaml": shard([service("web", [origin.address])])})
    wait_for(p.ready, "the proxy")
    one, two = [service("web", [origin.address])], [service("two", [origin.address])]
    p.mount({"routes-0.yaml": shard(one, 0, 2, "r2")})
    wait_for(lambda: p.result("waiting") >= 1, "the first shard")
    assert p.get("two").status == 404 and p.metric("sennit_config_revision_info", revision="r1") == 1
    p.mount({"routes-0.yaml": shard(one, 0, 2, "r2"), "routes-1.yaml": shard(two, 1, 2, "r1")})
    wait_for(lambda: p.result("waiting") >= 2, "a shard of another revision")
    p.mount({"routes-0.yaml": shard(one, 0, 2, "r2"), "routes-1.yaml": shard(two, 1, 2, "r2")})
    wait_for(lambda: p.get("two").status == 200, "both shards")
    assert p.result("rejected") == 0


def test_a_mount_that_becomes_empty_changes_nothing(mounted, origin):
    p = mounted({"routes-0.yaml": shard([service("web", [origin.address])])})
    wait_for(p.ready, "the proxy")
    before = p.result("unchanged")
    p.mount({}, pod=False)
    wait_for(lambda: p.result("unchanged") > before, "the look")
    assert p.get().status == 200 and p.ready()


def test_without_routes_it_waits_and_then_serves(mounted, origin):
    p = mounted({}, startup={"waitForRoutes": "1s"})
    wait_for(lambda: p.admin("/live")[0] == 200, "the admin port")
    assert p.admin("/ready") == (503, "starting\n")
    wait_for(p.ready, "the wait to be over")
    assert p.metric("sennit_config_missing") == 1
    p.mount({"routes-0.yaml": shard([service("web", [origin.address])])})
    wait_for(lambda: p.get().status == 200, "the routes")
    assert p.metric("sennit_config_missing") == 0


@pytest.mark.parametrize("routes", [
    {"routes-0.yaml": shard([]) + "colour: blue\n"}, {"routes-0.yaml": "{"}, {"routes-0.yaml": "[]\n"},
    {"routes-0.yaml": shard([], 0, 2)}, {"routes-0.yaml": "# " + "x" * (2 << 20)},
    {"routes-0.yaml": shard([], 0, 2), "routes-1.yaml": "{{"}], ids=["key", "syntax", "list", "shards", "size", "both"])
def test_without_good_routes_it_starts_as_its_pod_says(mounted, origin, routes):
    """Listeners, limits and administration are the pod's own and do not wait for anybody's routes."""
    p = mounted(routes, startup={"waitForRoutes": "1s"}, limits={"headerCount": 9})
    wait_for(lambda: p.admin("/live")[0] == 200, "the admin port")
    assert p.admin("/ready") == (503, "starting\n")
    wait_for(p.ready, "the wait to be over")
    assert p.metric("sennit_config_missing") == 1 and p.get().status == 404
    with Client(p.port) as c:
        assert c.request(headers=[(f"x-{i}", "1") for i in range(9)]).status == 431
    assert yaml.safe_load(p.admin("/config")[1]) == yaml.safe_load(p.pod)
    assert not (p.state / "last-good.yaml").exists()
    p.mount({"routes-0.yaml": shard([service("web", [origin.address])])})
    wait_for(lambda: p.get().status == 200, "the routes")
    assert p.metric("sennit_config_missing") == 0
    wait_for((p.state / "last-good.yaml").exists, "the last good document")


def test_reloads_when_descriptors_have_run_out(mounted, origin):
    """With the data plane's share in use and a silent crowd at the admin port, a new document is applied, kept as
    the last good one, and questions are answered."""
    p = mounted({"routes-0.yaml": shard([service("web", [origin.address])])})
    wait_for(p.ready, "the proxy")
    good = wait_for(lambda: (p.state / "last-good.yaml").exists() and (p.state / "last-good.yaml").read_text(),
                    "the last good document")
    limit = len(os.listdir(f"/proc/{p.pid}/fd")) + 20
    resource.prlimit(p.pid, resource.RLIMIT_NOFILE, (limit, limit))
    crowd = [socket.create_connection(("127.0.0.1", port)) for port in [p.port] * 60 + [p.admin_port] * 60]
    try:
        wait_for(lambda: p.metric("sennit_accept_paused_total") > 0, "accepting to stop")
        applied = p.metric("sennit_config_reload_total", result="applied")
        p.mount({"routes-0.yaml": shard([service("other", [origin.address])])})
        wait_for(lambda: p.metric("sennit_config_reload_total", result="applied") > applied, "the new document")
        wait_for(lambda: (p.state / "last-good.yaml").read_text() != good, "the new last good document")
        assert "other" in (p.state / "last-good.yaml").read_text()
    finally:
        for s in crowd:
            s.close()
    wait_for(lambda: p.get("other").status == 200, "room again")


def test_the_last_good_document_outlives_bad_ones(mounted, origin):
    routes = shard([service("web", [origin.address])])
    p = mounted({"routes-0.yaml": routes})
    wait_for(p.ready, "the proxy")
    wait_for((p.state / "last-good.yaml").exists, "the last good document")
    good = (p.state / "last-good.yaml").read_text()
    assert p.stop() == 0
    for bad in ({"routes-0.yaml": routes + "colour: blue\n"}, {"routes-0.yaml": "{"}, {"routes-0.yaml": shard([], 0, 2)}):
        # twice, since what the first start keeps is what the second one begins with
        for _ in range(2):
            again = mounted(bad)
            again_port = yaml.safe_load(good)["listeners"][0]["address"].split(":")[1]
            again.admin_port = int(yaml.safe_load(good)["admin"]["address"].split(":")[1])
            wait_for(again.ready, "the proxy to start with the last good document")
            with Client(int(again_port)) as c:
                assert c.request().status == 200
            assert again.stop() == 0
            assert (p.state / "last-good.yaml").read_text() == good
    assert not list(p.state.glob("*.tmp"))


def test_what_needs_a_restart_is_said(mounted, origin):
    p = mounted({"routes-0.yaml": shard([service("web", [origin.address])])})
    wait_for(p.ready, "the proxy")
    p.pod = p.pod.replace("protocol: http", "protocol: opaque")
    p.mount({"routes-0.yaml": shard([service("web", [origin.address])])})
    wait_for(lambda: "listeners changed: that takes effect when the proxy is started again" in p.log(), "the warning")


def test_endpoint_files_are_checked_but_not_needed(tmp_path, start_proxy):
    doc = tmp_path / "c.yaml"
    path = tmp_path / "endpoints"
    doc.write_text(HEAD + f"services:\n- {{name: a, endpoints: {{file: {path}}}}}\n")
    out = run("--check", "--config", doc)
    assert out.returncode == 2 and out.stderr == f"{path}: cannot read: No such file or directory\n"
    path.write_text("127.0.0.1 80\n127.0.0.1\n")
    out = run("--check", "--config", doc)
    assert out.returncode == 2 and out.stderr.startswith(f"{path}: line 2: ")
    path.write_text("none\n")
    assert run("--check", "--config", doc).returncode == 0
    path.unlink()
    proxy = start_proxy([{"name": "web", "hosts": ["web"], "endpoints": {"file": str(path)}}])
    assert proxy.get().status == 503


def test_an_unreadable_directory_is_said(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("needs root to become somebody else")
    place = pathlib.Path(tmp_path / "closed")
    place.mkdir(mode=0o700)
    tmp_path.chmod(0o755)
    out = run("--check", "--config", place, user=65534, group=65534)
    assert out.returncode == 2 and "cannot read" in out.stderr
