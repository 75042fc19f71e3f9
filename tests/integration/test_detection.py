# SPDX-License-Identifier: Apache-2.0
"""What a connection speaks is seen from its first bytes, or from who speaks first; what is not HTTP is relayed
byte for byte. Transparent listeners run in a pair of network namespaces (see test_redirect.py; needs root), the
rest on loopback with a listener that is bound to its service."""
import contextlib
import ctypes
import hashlib
import os
import pathlib
import socket
import ssl
import subprocess
import threading
import time

import pytest

import running
from harness import BIN, LONG, SANITIZED, SLOW, Client, Closed, Origin, pattern, service, wait_for, wait_until_still
from http2 import PREFACE, SETTINGS, H2Client, H2Origin, frame, needs_http2
from test_redirect import PEER4, Pod

RELAY_BYTES = (1 << 30) if LONG else (256 << 20)
BLOCK = pattern(1 << 20)
BANNER = b"220 mail.example ESMTP\r\n"
DIAL = 0.6  # timeouts.detectDial below, seconds


def pinned(protocol):
    def edit(doc):
        doc["listeners"][0].update(protocol=protocol, service="web")

    return edit


def speak_first(conn, origin):
    origin.requests.append(time.monotonic())
    conn.send(BANNER)
    conn.closed()


def echo(conn, origin):
    del origin
    while True:
        if not conn.buffer:
            conn.more()
        conn.send(conn.take(len(conn.buffer)))


# --- by its first bytes

FIRST_BYTES = {
    "tls": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40,
    "ssh": b"SSH-2.0-OpenSSH_9.2\r\n",
    "binary": b"\0\1\2\3\4\5\6\7",
    "postgres": b"\0\0\0\x08\x04\xd2\x16\x2f",
    "almost a method": b"GETX\0/ HTTP",
    "lower case": b"get / http/1.1\r\n",
    "one octet": b"\xff",
}


@pytest.mark.parametrize("name", FIRST_BYTES)
def test_other_protocols_are_relayed(start_proxy, name):
    with Origin(echo) as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("detect"))
        with proxy.client() as c:
            c.send(FIRST_BYTES[name])
            assert c.take(len(FIRST_BYTES[name])) == FIRST_BYTES[name]
            c.send(b"more")
            assert c.take(4) == b"more"
        assert proxy.metric("sennit_relayed_total") == 1 and proxy.refused() == 0


def test_almost_a_preface_is_refused(start_proxy):
    """It begins as HTTP of another major version: an answer, and nothing goes on."""
    with Origin(echo) as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("detect"))
        with proxy.client() as c:
            c.send(b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n")
            answer = c.response()
            assert answer.status in (400, 505) and c.closed()
        assert origin.received == 0 and proxy.refused("bad-request") == 1


def test_http1_in_pieces(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])], edit=pinned("detect"))
    with proxy.client() as c:
        for octet in b"GET /pieces HTTP/1.1\r\nHost: web\r\n\r\n":
            c.send(bytes([octet]))
        assert c.response().status == 200
    assert origin.requests[0].target == "/pieces" and proxy.metric("sennit_relayed_total") == 0
    assert proxy.metric("request_total") == 1


@needs_http2
def test_http2_in_pieces(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])], edit=pinned("detect"))
    with H2Client(proxy.port, start=False, greet=False) as c:
        with c.send_lock:  # nothing of the reader's, such as an acknowledgement, may come in between
            for octet in PREFACE + frame(SETTINGS):
                c.sock.sendall(bytes([octet]))
        assert c.get("/pieces").status == 200
    assert origin.requests[0].target == "/pieces" and proxy.metric("sennit_relayed_total") == 0


@needs_http2
def test_http2_on_an_opaque_listener_is_bytes(start_proxy):
    with H2Origin() as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("opaque"))
        with H2Client(proxy.port) as c:
            assert c.get(authority="anything").status == 200
        assert origin.requests[0].field(":authority") == "anything"
        assert proxy.metric("sennit_relayed_total") == 1 and proxy.metric("request_total") == 0


def test_tls_passes_end_to_end(start_proxy, tmp_path):
    """A handshake through the proxy: its bytes are nobody else's."""
    key, certificate = tmp_path / "key.pem", tmp_path / "cert.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
                            "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", "/CN=web",
                            "-addext", "subjectAltName=DNS:web"], check=True, capture_output=True, timeout=30)
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(certificate, key)
    trust = ssl.create_default_context(cafile=str(certificate))

    def script(conn, _):
        with server.wrap_socket(conn.sock, server_side=True) as tls:
            tls.sendall(tls.recv(100).upper())

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("detect"))
        with proxy.client() as c, trust.wrap_socket(c.sock, server_hostname="web") as tls:
            tls.sendall(b"hello")
            assert tls.recv(100) == b"HELLO"
        assert proxy.metric("sennit_relayed_total") == 1


# --- by its silence


def test_opaque_never_waits(start_proxy):
    with Origin(speak_first) as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("opaque"),
                            timeouts={"detect": "30s", "detectDial": "20s"})
        began = time.monotonic()
        with proxy.client() as c:
            assert c.take(len(BANNER)) == BANNER
        assert time.monotonic() - began < 2 * SLOW


def test_server_that_speaks_first_behind_a_pinned_listener(start_proxy):
    """The client says nothing for detectDial: the service is dialled and heard, long before `detect`."""
    with Origin(speak_first) as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("detect"),
                            timeouts={"detect": "30s", "detectDial": "200ms"})
        began = time.monotonic()
        with proxy.client() as c:
            assert c.take(len(BANNER)) == BANNER
            assert 0.15 < time.monotonic() - began < 3 * SLOW
            assert proxy.metric("sennit_relayed_total") == 1


def test_silence_without_a_destination(start_proxy):
    """Nothing is dialled; closed at timeouts.detect, counted and logged."""
    proxy = start_proxy([], edit=lambda d: d["listeners"][0].update(protocol="detect"), timeouts={"detect": "300ms"})
    began = time.monotonic()
    with proxy.client() as c:
        assert c.closed() == "end" and c.buffer == b""
    assert 0.25 < time.monotonic() - began < 3 * SLOW
    assert proxy.refused("header-timeout") == 1 and "refused header-timeout" in proxy.log()


# --- the relay


def expect(data_digest, n):
    want = hashlib.sha256()
    for _ in range(n // len(BLOCK)):
        want.update(BLOCK)
    return data_digest == want.digest()


def drain(raw, n, digest):
    while n:
        if not raw.buffer:
            raw.more()
        n -= len(raw.buffer)
        digest.update(raw.buffer)
        raw.buffer = b""


def spliced(proxy):
    """Bulk goes through pipes; they are kept until the last relay is over."""
    links = pathlib.Path(f"/proc/{proxy.pid}/fd").iterdir()
    return any(os.readlink(link).startswith("pipe:") for link in links if link.is_symlink())


def test_bytes_both_ways(start_proxy):
    """The same bytes at the other end, both ways at once, each side's FIN at its own end, in flat memory."""
    up, ends = hashlib.sha256(), []

    def script(conn, _):
        sender = threading.Thread(target=lambda: [conn.send(BLOCK) for _ in range(RELAY_BYTES // len(BLOCK))])
        sender.start()
        drain(conn, RELAY_BYTES, up)
        ends.append(conn.closed())
        sender.join()
        conn.send(b"after your end")

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("opaque"))
        rss, fds = proxy.rss_bytes(), proxy.fds()
        with proxy.client(deadline=60 * SLOW) as c:
            def upload():
                for _ in range(RELAY_BYTES // len(BLOCK)):
                    c.send(BLOCK)
                c.sock.shutdown(socket.SHUT_WR)

            sender, down = threading.Thread(target=upload, daemon=True), hashlib.sha256()
            sender.start()
            left, piped = RELAY_BYTES, False
            while left:
                if not c.buffer:
                    c.more()
                part = c.take(min(left, len(c.buffer)))
                left -= len(part)
                down.update(part)
                piped = piped or left < RELAY_BYTES // 2 and spliced(proxy)
            assert piped
            assert SANITIZED or proxy.rss_bytes() - rss < 4 << 20
            assert c.closed() == "end" and c.buffer == b"after your end"
            sender.join(10)
        assert ends == ["end"] and expect(up.digest(), RELAY_BYTES) and expect(down.digest(), RELAY_BYTES)
        proxy.at_rest(fds)
        assert proxy.metric("tcp_read_bytes_total") == RELAY_BYTES
        assert proxy.metric("tcp_write_bytes_total") == RELAY_BYTES + 14


@pytest.mark.parametrize("stalled", ["client", "origin"])
def test_relay_backpressure(start_proxy, stalled):
    size = 128 << 20  # far more than sockets take: net.ipv4.tcp_rmem may allow 32 MiB
    sent, go, digest = [0], threading.Event(), hashlib.sha256()

    def push(raw):
        for _ in range(size // len(BLOCK)):
            raw.send(BLOCK)
            sent[0] += len(BLOCK)

    def script(conn, _):
        if stalled == "client":
            push(conn)
        else:
            assert go.wait(60)
            drain(conn, size, digest)
            conn.send(b"done")

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("opaque"))
        rss = proxy.rss_bytes()
        with proxy.client(rcvbuf=65536, deadline=60 * SLOW) as c:
            if stalled == "origin":
                threading.Thread(target=push, args=(c,), daemon=True).start()
            wait_for(lambda: sent[0], "the stream to begin")
            wait_until_still(lambda: sent[0], 0.2)
            assert sent[0] < size // 2 and (SANITIZED or proxy.rss_bytes() - rss < 2 << 20)
            go.set()
            if stalled == "client":
                drain(c, size, digest)
            else:
                assert c.take(4) == b"done"
        assert expect(digest.digest(), size)


@pytest.mark.parametrize("who", ["client", "server"])
def test_relay_reset(start_proxy, who):
    ended = []

    def script(conn, _):
        conn.send(b"x")
        if who == "server":
            conn.take(1)
            conn.reset()
        else:
            ended.append(conn.closed())

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("opaque"))
        with proxy.client() as c:
            assert c.take(1) == b"x"
            if who == "server":
                c.send(b"y")
                assert c.closed() == "reset"
            else:
                c.reset()
                wait_for(lambda: ended, "the reset to cross")
                assert ended == ["reset"]


def test_bytes_are_counted_by_service(start_proxy):
    """Also while the connection is open: some live for days."""
    def echo(conn, _):
        conn.send(conn.take(5) * 2)
        conn.closed()

    with Origin(echo) as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("opaque"))
        with proxy.client() as c:
            c.send(b"hello")
            assert c.take(10) == b"hellohello"
            assert proxy.metric("tcp_read_bytes_total", dst_service="web") == 5
            assert proxy.metric("tcp_write_bytes_total", dst_service="web") == 10
        wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "the connection to close")
        assert proxy.metric("tcp_read_bytes_total") == proxy.metric("tcp_read_bytes_total", dst_service="web") == 5
        assert proxy.metric("request_total") == 0



def test_relay_idle_limit(start_proxy):
    """timeouts.opaqueIdle ends it, either direction's bytes put it off; without it silence is allowed."""
    with Origin(echo) as origin:
        limited = start_proxy([service("web", [origin.address])], edit=pinned("opaque"),
                              timeouts={"opaqueIdle": "600ms"})
        free = start_proxy([service("web", [origin.address])], edit=pinned("opaque"))
        with limited.client() as c, free.client() as d:
            began = time.monotonic()
            d.send(b"x")
            while time.monotonic() - began < 1.2:
                c.send(b"x")
                assert c.take(1) == b"x"
                threading.Event().wait(0.1)
            began = time.monotonic()
            c.closed()
            assert 0.4 < time.monotonic() - began < 3 * SLOW
            assert d.take(1) == b"x"
            d.send(b"y")
            assert d.take(1) == b"y"


def test_relay_to_nobody(start_proxy):
    with Origin() as origin:
        address = origin.address
    proxy = start_proxy([service("web", [address])], edit=pinned("opaque"))
    with contextlib.suppress(ConnectionError), proxy.client() as c:  # it may be over before connect() returns
        c.closed()
        assert c.buffer == b""
    wait_for(lambda: proxy.refused("connect") == 1, "the refusal to be counted")


# --- transparent

CONFIG = f"""
version: 1
admin: {{address: "[::]:4191"}}
drain: {{propagation: 0s}}
timeouts: {{drain: 1s, detect: 3s, detectDial: {int(DIAL * 1000)}ms}}
listeners:
- {{name: outbound, address: "127.0.0.1:4140", direction: outbound, transparent: true}}
- {{name: inbound, address: "0.0.0.0:4143", direction: inbound, transparent: true}}
services:
- name: web
  addresses: ["{PEER4}"]
  ports: [{{port: 8000, protocol: detect}}, {{port: 8001, protocol: opaque}}]
  routes:
  - name: r
    rules:
    - filters: [{{type: RequestHeaderModifier, requestHeaderModifier: {{set: [{{name: x-by, value: mesh}}]}}}}]
      backendRefs: [{{name: web}}]
"""
root_only = pytest.mark.skipif(os.geteuid() != 0, reason="network namespaces need root")


@contextlib.contextmanager
def inside(namespace):
    """Sockets that this thread makes meanwhile belong to the namespace."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as home, open(f"/run/netns/{namespace}", "rb") as there:
        if libc.setns(there.fileno(), 0x40000000):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(home.fileno(), 0x40000000)


class At(Origin):
    """An origin on a port of the peer's address."""

    def __init__(self, namespace, port, script):
        with inside(namespace):
            super().__init__(script, host=PEER4, port=port)


@pytest.fixture(scope="module")
def pod():
    p = Pod()
    try:
        proxy = p.dir / "sennit-proxy"  # the build may lie below a directory that only root may enter
        proxy.write_bytes((BIN / "sennit-proxy").read_bytes())
        proxy.chmod(0o755)
        (p.dir / "config.yaml").write_text(CONFIG)
        p.inside(p.pod, str(BIN / "sennit-init"))
        p.spawn(p.pod, str(proxy), "--config", str(p.dir / "config.yaml"), uid=2102)
        running.wait_for(lambda: p.get(p.pod, "http://127.0.0.1:4191/ready") == "ready\n", what="the proxy")
        yield p
    finally:
        p.close()


def dial(pod, port):
    with inside(pod.pod):
        return Client(port, host=PEER4)


def http_or_wait(conn, origin):
    """An HTTP server that records connections which end without a request."""
    try:
        while r := conn.request():
            origin.requests.append(r)
            conn.reply(body=r.get("x-by", "-").encode())
    except Closed:
        pass


@root_only
def test_silent_client_hears_a_server_that_speaks_first(pod):
    with At(pod.peer, 8000, speak_first) as origin, dial(pod, 8000) as c:
        began = time.monotonic()
        assert c.take(len(BANNER)) == BANNER
        took = time.monotonic() - began
        assert DIAL * 0.8 < took < 2.5 * SLOW, took
        assert len(origin.connections) == 1


@root_only
def test_opaque_port_never_waits(pod):
    with At(pod.peer, 8001, speak_first), dial(pod, 8001) as c:
        began = time.monotonic()
        assert c.take(len(BANNER)) == BANNER
        assert time.monotonic() - began < DIAL * 0.8 * SLOW


@root_only
def test_silent_client_that_then_speaks_http(pod):
    """What was dialled is closed without a byte, and the request is routed as any other."""
    with At(pod.peer, 8000, http_or_wait) as origin, dial(pod, 8000) as c:
        wait_for(lambda: origin.connections, "the dial for the silent client")
        answer = c.request(path="/late")
        assert answer.status == 200 and answer.body == b"mesh"
        wait_for(lambda: origin.connections[0].ended or origin.connections[0].sock.fileno() < 0,
                 "the first connection to be closed")
        assert origin.connections[0].received == 0 and [r.target for r in origin.requests] == ["/late"]


def metrics(pod):
    return pod.get(pod.pod, "http://127.0.0.1:4191/metrics")


def relayed(pod):
    return sum(float(line.rsplit(" ", 1)[1]) for line in metrics(pod).splitlines()
               if line.startswith("sennit_relayed_total"))


@root_only
def test_silence_on_both_sides_becomes_a_relay(pod):
    """At timeouts.detect; HTTP that comes later is not looked into any more."""
    before = relayed(pod)
    with At(pod.peer, 8000, http_or_wait) as origin, dial(pod, 8000) as c:
        wait_for(lambda: relayed(pod) == before + 1, "the relay")
        answer = c.request(path="/bytes")
        assert answer.status == 200 and answer.body == b"-" and len(origin.connections) == 1


@root_only
def test_http_and_bytes_on_one_detect_port(pod):
    def script(conn, origin):
        conn.more()
        if conn.buffer.startswith(b"GET "):
            http_or_wait(conn, origin)
        else:
            conn.send(conn.take(len(conn.buffer)))

    with At(pod.peer, 8000, script), dial(pod, 8000) as c, dial(pod, 8000) as d:
        assert c.request().body == b"mesh"
        d.send(b"\0bytes")
        assert d.take(6) == b"\0bytes"


@root_only
def test_http_on_an_opaque_port_is_bytes(pod):
    with At(pod.peer, 8001, http_or_wait), dial(pod, 8001) as c:
        assert c.request().body == b"-"


def tcp(proxy, what, **labels):
    return {k: proxy.metric(f"tcp_{k}", **labels) for k in ("open_total", "close_total", "open_connections")} == dict(
        zip(("open_total", "close_total", "open_connections"), what))


def test_connections_are_counted_by_service(start_proxy):
    """Relayed ones on both sides, from when it is known that they are; those of a connection refused by nobody there on
    one."""
    with Origin(lambda conn, _: conn.closed()) as origin:
        proxy = start_proxy([service("web", [origin.address])], edit=pinned("detect"), timeouts={"detectDial": "1m"})
        with proxy.client() as c:
            wait_for(lambda: proxy.metric("tcp_open_connections") == 1, "the connection")
            assert tcp(proxy, (0, 0, 0), dst_service="web") and proxy.metric("tcp_open_total") == 0
            c.send(BANNER)
            wait_for(lambda: origin.received, "the relay")
            for peer in ("src", "dst"):
                assert tcp(proxy, (1, 0, 1), dst_service="web", direction="outbound", peer=peer), proxy.metrics()
            assert proxy.metric("tcp_open_connections") == 1 and proxy.metric("tcp_open_total") == 1
        wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "the end")
        for peer in ("src", "dst"):
            assert tcp(proxy, (1, 1, 0), dst_service="web", peer=peer), proxy.metrics()
        origin.close()
        with proxy.client() as c:
            c.send(BANNER)
            c.closed()
        assert tcp(proxy, (2, 2, 0), dst_service="web") and tcp(proxy, (1, 1, 0), dst_service="web", peer="dst")


@pytest.mark.parametrize("kind", ["http1", pytest.param("http2", marks=needs_http2)])
def test_connections_of_pools_are_counted_by_service(start_proxy, kind):
    """By the service that they lead to, which a route has chosen; the accepted one is for any of them."""
    with (Origin() if kind == "http1" else H2Origin()) as origin:
        front = {"name": "web", "hosts": ["web"], "routes": [
            {"name": "all", "rules": [{"name": "all", "backendRefs": [{"name": "back", "port": 80}]}]}]}
        back = service("back", [origin.address], policy={"connections": {"idleTimeout": "300ms"}})
        back["ports"][0]["protocol"] = "http" if kind == "http1" else "http2"
        proxy = start_proxy([front, back])
        with proxy.client() as c:
            for _ in range(3):
                assert c.request().status == 200
            assert proxy.metric("tcp_open_total", peer="dst", dst_service="back", direction="outbound") == 1
            assert proxy.metric("tcp_open_total", peer="dst") == 1 and proxy.metric("tcp_open_total", dst_service="web") == 0
            assert proxy.metric("tcp_open_total") == proxy.metric("tcp_open_connections") == 1
            wait_for(lambda: tcp(proxy, (1, 1, 0), peer="dst", dst_service="back"), "the pool's connection to close")
