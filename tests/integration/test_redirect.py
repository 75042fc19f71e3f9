# SPDX-License-Identifier: Apache-2.0
"""sennit-init and a transparent proxy in network namespaces of the test's own, IPv4 and IPv6: two
namespaces joined by a veth pair, a pod in one, a peer in the other. Needs root."""
import os
import pathlib
import subprocess
import sys
import tempfile

import pytest

from running import BIN, wait_for

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")

POD4, PEER4 = "10.213.7.1", "10.213.7.2"
POD6, PEER6 = "fd5e:2213::1", "fd5e:2213::2"
CONFIG = f"""
version: 1
admin: {{address: "[::]:4191"}}
drain: {{propagation: 0s}}
listeners:
- {{name: outbound, address: ["127.0.0.1:4140", "[::1]:4140"], direction: outbound, transparent: true}}
- {{name: inbound, address: "[::]:4143", direction: inbound, transparent: true}}
services:
- name: web
  addresses: ["{PEER4}", "{PEER6}"]
  ports: [{{port: 80, protocol: http}}]
  routes:
  - name: r
    rules:
    - filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-by, value: mesh}}]}}}}]
      backendRefs: [{{name: web, port: 80}}]
"""
SERVER = """
import http.server, socket, sys
class H(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        body = (sys.argv[1] + " " + self.headers.get("x-by", "-") + " " + self.path).encode()
        self.send_response(200); self.send_header("Content-Length", str(len(body))); self.end_headers()
        self.wfile.write(body)
    def log_message(self, *a): pass
class S(http.server.ThreadingHTTPServer):
    address_family = socket.AF_INET6
S(("::", int(sys.argv[2])), H).serve_forever()
"""


class Pod:
    def __init__(self):
        tag = f"sn{os.getpid() % 100000}"
        self.pod, self.peer = f"{tag}a", f"{tag}b"
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sennit-test-"))
        self.dir.chmod(0o755)
        self.processes = []
        for ns in (self.pod, self.peer):
            self.run("ip", "netns", "add", ns)
            self.run("ip", "-n", ns, "link", "set", "lo", "up")
        self.run("ip", "-n", self.pod, "link", "add", "v0", "type", "veth", "peer", "name", "v0", "netns", self.peer)
        for ns, v4, v6 in ((self.pod, POD4, POD6), (self.peer, PEER4, PEER6)):
            self.run("ip", "-n", ns, "addr", "add", f"{v4}/24", "dev", "v0")
            self.run("ip", "-n", ns, "addr", "add", f"{v6}/64", "dev", "v0", "nodad")
            self.run("ip", "-n", ns, "link", "set", "v0", "up")

    @staticmethod
    def run(*args, check=True):
        return subprocess.run(args, check=check, capture_output=True, text=True, timeout=30)

    def inside(self, ns, *args, check=True):
        return self.run("ip", "netns", "exec", ns, *args, check=check)

    def spawn(self, ns, *args, uid=None):
        command = ["ip", "netns", "exec", ns]
        if uid:
            command += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
        p = subprocess.Popen([*command, *args], stderr=open(self.dir / f"log{len(self.processes)}", "w"))
        self.processes.append(p)
        return p

    def serve(self, ns, name, port):
        self.spawn(ns, sys.executable, "-c", SERVER, name, str(port))

    def get(self, ns, url):
        return self.inside(ns, "curl", "-gsS", "-m", "5", url, check=False).stdout

    def close(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.wait(10)
        for ns in (self.pod, self.peer):
            self.run("ip", "netns", "del", ns, check=False)


@pytest.fixture(scope="module")
def pod():
    p = Pod()
    try:
        # the build may lie below a directory that only root may enter
        proxy = p.dir / "sennit-proxy"
        proxy.write_bytes((BIN / "sennit-proxy").read_bytes())
        proxy.chmod(0o755)
        (p.dir / "config.yaml").write_text(CONFIG)
        for _ in range(2):  # twice is the same as once
            done = p.inside(p.pod, str(BIN / "sennit-init"), "--skip-outbound-ports", "9999",
                            "--skip-inbound-ports", "7777")
            assert "set by nftables" in done.stdout
        p.serve(p.peer, "peer", 80)
        p.serve(p.peer, "peer", 9999)
        p.serve(p.pod, "app", 8080)
        p.serve(p.pod, "app", 7777)
        p.spawn(p.pod, str(proxy), "--config", str(p.dir / "config.yaml"), uid=2102)
        wait_for(lambda: p.get(p.pod, "http://127.0.0.1:4191/ready") == "ready\n", what="the proxy")
        wait_for(lambda: p.get(p.peer, "http://127.0.0.1:80/") and p.get(p.peer, "http://127.0.0.1:9999/")
                 and p.get(p.pod, "http://127.0.0.1:8080/") and p.get(p.pod, "http://127.0.0.1:7777/"),
                 what="the servers")
        yield p
    finally:
        p.close()


@pytest.mark.parametrize("address", [PEER4, f"[{PEER6}]"])
def test_outbound_is_routed_by_original_destination(pod, address):
    assert pod.get(pod.pod, f"http://{address}/x") == "peer mesh /x"


@pytest.mark.parametrize("address", [PEER4, f"[{PEER6}]"])
def test_skipped_outbound_port_is_direct(pod, address):
    assert pod.get(pod.pod, f"http://{address}:9999/") == "peer - /"


@pytest.mark.parametrize("address", [POD4, f"[{POD6}]"])
def test_inbound_reaches_the_application_through_the_proxy(pod, address):
    def inbound():
        text = pod.get(pod.pod, "http://127.0.0.1:4191/metrics")
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines()
                   if line.startswith('request_total{direction="inbound"'))

    before = inbound()
    assert pod.get(pod.peer, f"http://{address}:8080/y") == "app - /y"
    assert inbound() == before + 1
    assert pod.get(pod.peer, f"http://{address}:7777/") == "app - /"
    assert inbound() == before + 1


def test_the_proxys_own_ports_lead_nowhere_else(pod):
    assert pod.get(pod.peer, f"http://{POD4}:4191/live") == "live\n"
    assert pod.get(pod.peer, f"http://{POD4}:4143/") == ""
    assert pod.inside(pod.peer, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", "POST",
                      f"http://{POD4}:4191/shutdown", check=False).stdout == "403"


def test_loopback_is_untouched(pod):
    assert pod.get(pod.pod, f"http://{POD4}:8080/self") == "app - /self"


def test_passthrough_of_an_unknown_destination_and_a_dead_one(pod):
    out = pod.inside(pod.pod, "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-m", "5",
                     f"http://{PEER4}:81/", check=False).stdout
    assert out == "502"


def test_nft_rules_twice_are_the_same(pod):
    one = pod.inside(pod.pod, "nft", "list", "table", "inet", "sennit").stdout
    pod.inside(pod.pod, str(BIN / "sennit-init"), "--skip-outbound-ports", "9999", "--skip-inbound-ports", "7777")
    assert pod.inside(pod.pod, "nft", "list", "table", "inet", "sennit").stdout == one


def test_bad_usage_is_2():
    for args in (["--skip-inbound-ports", "x"], ["--inbound-port", "0"], ["--proxy-uid", "-1"], ["extra"]):
        assert subprocess.run([str(BIN / "sennit-init"), *args], capture_output=True, timeout=10,
                              check=False).returncode == 2
