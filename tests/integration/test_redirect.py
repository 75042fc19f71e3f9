# SPDX-License-Identifier: Apache-2.0
"""sennit-init and a transparent proxy in network namespaces of the test's own, IPv4 and IPv6: two
namespaces joined by a veth pair, a pod in one, a peer in the other. Needs root."""
import os
import pathlib
import shutil
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
timeouts: {{detect: 2s}}
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
# Greets first (so does SMTP), then echoes; with "quiet" it only echoes.
ECHO = """
import socket, sys, threading
def serve(c):
    if sys.argv[2] == "greet":
        c.sendall(b"220 hello\\r\\n")
    while data := c.recv(65536):
        c.sendall(data)
    c.close()
s = socket.create_server(("::", int(sys.argv[1])), family=socket.AF_INET6, dualstack_ipv6=True)
while True:
    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
"""
# Connects, sends what stands on the command line in hex, prints what comes until the end (half-closing first).
TALK = """
import socket, sys, time
s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
s.settimeout(8)
began, first, data = time.monotonic(), None, b""
if sys.argv[3] == "listen":
    data = s.recv(65536)
    print(f"{time.monotonic() - began:.3f}", data)
    sys.exit()
try:
    s.sendall(bytes.fromhex(sys.argv[3]))
    s.shutdown(socket.SHUT_WR)
    while got := s.recv(65536):
        data += got
    print("end", data)
except OSError:  # ENOTCONN: it came before the shutdown
    print("reset", data)
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

    def echo(self, ns, port, how):
        self.spawn(ns, sys.executable, "-c", ECHO, str(port), how)

    def talk(self, ns, address, port, raw):
        """"end b'...'" or "reset b'...'"; with raw None the seconds until the first bytes, and these."""
        return self.inside(ns, sys.executable, "-c", TALK, address, str(port), "listen" if raw is None else raw.hex(),
                           check=False).stdout.strip()

    def metric(self, name):
        text = self.get(self.pod, "http://127.0.0.1:4191/metrics")
        return sum(float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name))

    def close(self):
        for p in self.processes:
            p.terminate()
        for p in self.processes:
            p.wait(10)
        for ns in (self.pod, self.peer):
            self.run("ip", "netns", "del", ns, check=False)
        shutil.rmtree(self.dir, True)


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
        p.echo(p.peer, 2525, "greet")
        p.echo(p.peer, 7000, "quiet")
        p.echo(p.pod, 2526, "greet")
        p.echo(p.pod, 7001, "quiet")
        p.spawn(p.pod, str(proxy), "--config", str(p.dir / "config.yaml"), uid=2102)
        wait_for(lambda: p.get(p.pod, "http://127.0.0.1:4191/ready") == "ready\n", what="the proxy")
        wait_for(lambda: p.get(p.peer, "http://127.0.0.1:80/") and p.get(p.peer, "http://127.0.0.1:9999/")
                 and p.get(p.pod, "http://127.0.0.1:8080/") and p.get(p.pod, "http://127.0.0.1:7777/")
                 and all(p.talk(ns, "127.0.0.1", port, b"x").endswith("x'")
                         for ns, port in ((p.peer, 2525), (p.peer, 7000), (p.pod, 2526), (p.pod, 7001))),
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


HELLO = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"


@pytest.mark.parametrize("address", [PEER4, PEER6])
@pytest.mark.parametrize("raw", [HELLO, b"\0\1\2 what", b"EHLO me\r\n"], ids=["tls", "bytes", "text"])
def test_what_is_not_http_is_relayed_to_where_it_was_going(pod, address, raw):
    before = pod.metric('sennit_relayed_total{direction="outbound"}')
    assert pod.talk(pod.pod, address, 7000, raw) == f"end {raw!r}"
    assert pod.metric('sennit_relayed_total{direction="outbound"}') == before + 1


@pytest.mark.parametrize("address", [POD4, POD6])
@pytest.mark.parametrize("raw", [HELLO], ids=["tls"])
def test_and_so_it_is_inbound(pod, address, raw):
    before = pod.metric('sennit_relayed_total{direction="inbound"}')
    assert pod.talk(pod.peer, address, 7001, raw) == f"end {raw!r}"
    assert pod.metric('sennit_relayed_total{direction="inbound"}') == before + 1


@pytest.mark.parametrize("where, address, port", [("pod", PEER4, 2525), ("pod", PEER6, 2525), ("peer", POD4, 2526)])
def test_a_server_that_speaks_first_is_heard_at_once(pod, where, address, port):
    seconds, greeting = pod.talk(getattr(pod, where), address, port, None).split(" ", 1)
    assert greeting == "b'220 hello\\r\\n'"
    assert float(seconds) < 1.5  # timeouts.detectDial, not timeouts.detect


def test_a_client_that_thinks_for_a_while_is_routed_all_the_same(pod):
    """Longer than detectDial: the connection that was dialled for it is given up, the request is routed."""
    script = ("import socket, sys, time\ns = socket.create_connection((sys.argv[1], 80), 5)\ntime.sleep(0.5)\n"
              "s.sendall(b'GET /late HTTP/1.1\\r\\nHost: x\\r\\nConnection: close\\r\\n\\r\\n')\n"
              "data = b''\nwhile got := s.recv(65536): data += got\nprint(data.split(b'\\r\\n\\r\\n')[1].decode())")
    for address in (PEER4, PEER6):
        assert pod.inside(pod.pod, sys.executable, "-c", script, address).stdout.strip() == "peer mesh /late"


def test_bytes_to_nobody_are_reset(pod):
    before = pod.metric('sennit_refused_total{reason="connect"}')
    assert pod.talk(pod.pod, PEER4, 81, HELLO).startswith("reset")
    assert pod.metric('sennit_refused_total{reason="connect"}') == before + 1


@pytest.mark.parametrize("address", [POD4, f"[{POD6}]"])
def test_changing_the_proxy_is_for_loopback_only(pod, address):
    def status(ns, host, method, path):
        return pod.inside(ns, "curl", "-gsS", "-o", "/dev/null", "-w", "%{http_code}", "-X", method,
                          f"http://{host}:4191{path}", check=False).stdout

    for path in ("/drain", "/shutdown"):
        assert status(pod.peer, address, "POST", path) == "403"
        assert status(pod.peer, address, "GET", path) == "405"
        assert status(pod.pod, "127.0.0.1", "GET", path) == "405"
    for path in ("/live", "/ready", "/metrics", "/config"):
        assert status(pod.peer, address, "GET", path) == "200"


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
