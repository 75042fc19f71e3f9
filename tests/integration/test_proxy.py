# SPDX-License-Identifier: Apache-2.0
"""The proxy as a whole: routing, streaming, refusals, reload, drain."""
import collections
import re
import signal
import socket
import subprocess
import threading
import time

import pytest

from running import (BIN, Origin, Proxy, SANITIZED, answer, fixed_answers, http_get, read_all, read_head,
                     read_response, wait_for)

@pytest.fixture
def start():
    """start(Proxy or Origin, ...) -> object, stopped at the end of the test."""
    running = []

    def make(cls, *args, **kwargs):
        thing = cls(*args, **kwargs)
        running.append(thing)
        return thing

    yield make
    codes = []
    for thing in reversed(running):
        if isinstance(thing, Proxy):
            codes.append((thing.stop(), thing.logs()))
        elif isinstance(thing, Origin):
            thing.close()
    for code, log in codes:
        assert code in (0, 2), f"the proxy ended with {code}:\n{log}"


BASE = """
version: 1
admin: {address: "127.0.0.1:{admin}"}
drain: {propagation: 0s}
timeouts: {header: 500ms, body: 2s, connect: 500ms, drain: 3s}
listeners:
- {name: outbound, address: "127.0.0.1:{port}", direction: outbound}
services:
"""
WEB = BASE + """
- {name: web, hosts: [web], endpoints: {static: [{address: "127.0.0.1:{origin}"}]}}
"""
SPLIT = BASE + """
- name: web
  hosts: [web]
  routes:
  - name: split
    rules:
    - name: exact
      matches: [{path: {type: Exact, value: /only}, method: GET, headers: [{name: x-beta, value: "1"}]}]
      filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-from, value: mesh}], remove: [x-secret]}}]
      backendRefs: [{name: b}]
    - name: share
      matches: [{path: {value: /api}}]
      backendRefs: [{name: a, weight: {wa}}, {name: b, weight: {wb}}]
    - name: gone
      matches: [{path: {value: /gone}}]
      backendRefs: [{name: nowhere}]
    - name: slow
      matches: [{path: {value: /slow}}]
      backendRefs: [{name: a}]
      timeouts: {request: 200ms}
- {name: a, hosts: [a], endpoints: {static: [{address: "127.0.0.1:{a}"}]}}
- {name: b, hosts: [b], endpoints: {static: [{address: "127.0.0.1:{b}"}]}}
"""


def get(path="/", host="web", extra=""):
    return f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n".encode()


def ask(proxy, *args, **kwargs):
    with proxy.connect() as s:
        s.sendall(get(*args, **kwargs))
        head, body = read_response(s)
    return int(head.split()[1]), head, body


def test_keep_alive_on_both_sides(start):
    origin = start(Origin, fixed_answers(answer(b"hello")))
    proxy = start(Proxy, WEB, origin=origin.port)
    with proxy.connect() as s:
        for _ in range(50):
            s.sendall(get())
            head, body = read_response(s)
            assert head.startswith(b"HTTP/1.1 200") and body == b"hello"
    assert origin.connections == 1
    assert len(origin.seen) == 50


def test_pipelined_requests_are_answered_in_order(start):
    def serve(conn, origin):
        data = b""
        while True:
            got = conn.recv(4096)
            if not got:
                return
            data += got
            while b"\r\n\r\n" in data:
                head, data = data.split(b"\r\n\r\n", 1)
                conn.sendall(answer(head.split()[1]))

    origin = start(Origin, serve)
    proxy = start(Proxy, WEB, origin=origin.port)
    with proxy.connect() as s:
        s.sendall(b"".join(get(f"/{i}") for i in range(20)))
        s.settimeout(10)
        data = b""
        while data.count(b"HTTP/1.1 200") < 20 or not data.endswith(b"/19"):
            data += s.recv(65536)
    assert [int(x) for x in re.findall(rb"\r\n\r\n/(\d+)", data)] == list(range(20))


def test_routes_split_modify_and_refuse(start):
    a = start(Origin, fixed_answers(answer(b"a")))
    b = start(Origin, fixed_answers(answer(b"b")))
    proxy = start(Proxy, SPLIT, a=a.port, b=b.port, wa=9, wb=1)
    status, _, body = ask(proxy, "/only", extra="x-beta: 1\r\nX-Secret: s\r\n")
    assert (status, body) == (200, b"b")
    assert b"x-from: mesh" in b.seen[0] and b"ecret" not in b.seen[0]
    status, head, _ = ask(proxy, "/only")
    assert status == 404 and b"sennit-error: no-route" in head
    status, head, _ = ask(proxy, "/apix")
    assert status == 404
    status, head, _ = ask(proxy, "/gone")
    assert status == 500 and b"sennit-error: no-backend" in head
    status, head, _ = ask(proxy, "/", host="unknown")
    assert status == 404 and b"sennit-error: no-service" in head
    counts = collections.Counter()
    with proxy.connect() as s:
        for _ in range(500):
            s.sendall(get("/api/x"))
            counts[read_response(s)[1]] += 1
    assert 400 <= counts[b"a"] <= 490
    assert proxy.metric('sennit_refused_total{reason="no-route"}') == 2


def test_request_timeout_is_504(start):
    quiet = start(Origin, lambda conn, origin: time.sleep(3))
    proxy = start(Proxy, SPLIT, a=quiet.port, b=quiet.port, wa=1, wb=1)
    began = time.monotonic()
    status, head, _ = ask(proxy, "/slow")
    assert status == 504 and b"sennit-error: timeout" in head
    assert time.monotonic() - began < 2


def test_large_bodies_both_framings(start):
    def serve(conn, origin):
        head, rest = read_head(conn)
        want = 3_000_000
        if b"hunked" in head:
            data = rest
            while not data.endswith(b"0\r\n\r\n"):
                data += conn.recv(65536)
            n = 0
            while data:
                size, data = data.split(b"\r\n", 1)
                size = int(size, 16)
                n += size
                data = data[size + 2:]
        else:
            n = len(rest)
            while n < want:
                n += len(conn.recv(65536))
        conn.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        for _ in range(n // 1000):
            conn.sendall(b"3e8\r\n" + b"x" * 1000 + b"\r\n")
        conn.sendall(b"0\r\n\r\n")

    origin = start(Origin, serve)
    proxy = start(Proxy, WEB, origin=origin.port)
    for framing in ("length", "chunked"):
        out = subprocess.run(
            ["curl", "-sS", "-o", "-", "-H", "Host: web", "-H", "Expect:", "-X", "POST", "--data-binary", "@-",
             *(["-H", "Transfer-Encoding: chunked"] if framing == "chunked" else []),
             f"http://127.0.0.1:{proxy.port}/"],
            input=b"y" * 3_000_000, capture_output=True, timeout=30, check=True)
        assert out.stdout == b"x" * 3_000_000, framing


def test_a_stalled_reader_is_not_buffered_for(start):
    total = 200 * 1024 * 1024

    def serve(conn, origin):
        read_head(conn)
        conn.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % total)
        sent = 0
        conn.settimeout(1)
        try:
            while sent < total:
                sent += conn.send(b"z" * 65536)
                origin.seen = [sent]
        except OSError:
            pass

    origin = start(Origin, serve)
    proxy = start(Proxy, WEB, origin=origin.port)
    with proxy.connect() as s:
        s.sendall(get())
        read_head(s)
        wait_for(lambda: origin.seen and origin.seen[0] > 1 << 20, what="the origin to be writing")
        last = [0]

        def stopped():
            same = origin.seen[0] == last[0]
            last[0] = origin.seen[0]
            time.sleep(0.2)
            return same

        wait_for(stopped, what="backpressure to reach the origin")
        assert origin.seen[0] < 40 << 20
        assert SANITIZED or proxy.metric("process_resident_memory_bytes") < 30 << 20


def test_bad_heads_reach_nobody(start):
    origin = start(Origin, fixed_answers(answer()))
    proxy = start(Proxy, WEB, origin=origin.port)
    for raw, status in [
            (b"GET / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: web\r\nHost: web\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost : web\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: web\r\nX: a\r\n b\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\nHost: web\r\nX: " + b"x" * 70000 + b"\r\n\r\n", 431),
            (b"GET / HTTP/1.1\r\nHost: web\r\n" + b"A: b\r\n" * 120 + b"\r\n", 431),
            (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: web\r\n\r\n", 414),
            (b"CONNECT web:80 HTTP/1.1\r\nHost: web:80\r\n\r\n", 405)]:
        got = proxy.ask(raw)
        assert got.startswith(b"HTTP/1.1 %d " % status), (raw[:60], got[:200])
        assert b"sennit-error: " in got
    assert origin.seen == []


def test_truncated_and_bad_responses(start):
    answers = iter([
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Le",
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"])

    def serve(conn, origin):
        read_head(conn)
        conn.sendall(next(answers))

    origin = start(Origin, serve)
    proxy = start(Proxy, WEB, origin=origin.port)
    for _ in range(3):
        status, head, _ = ask(proxy)
        assert status == 502 and b"sennit-error: upstream" in head
    got = proxy.ask(get())
    assert got.startswith(b"HTTP/1.1 200 OK") and len(got.split(b"\r\n\r\n", 1)[1]) < 100


def test_no_endpoint_answers(start):
    proxy = start(Proxy, WEB, origin=1)
    status, head, _ = ask(proxy)
    assert status == 502 and b"sennit-error: connect" in head


def test_client_that_leaves_takes_the_upstream_request_along(start):
    gone = threading.Event()

    def serve(conn, origin):
        read_head(conn)
        origin.seen.append(1)
        try:
            if conn.recv(1) == b"":
                gone.set()
        except ConnectionResetError:
            gone.set()

    origin = start(Origin, serve)
    proxy = start(Proxy, WEB, origin=origin.port)
    s = proxy.connect()
    s.sendall(get())
    wait_for(lambda: origin.seen, what="the request to arrive")
    s.close()
    assert gone.wait(5)


def test_slow_head_is_closed(start):
    origin = start(Origin, fixed_answers(answer()))
    proxy = start(Proxy, WEB, origin=origin.port)
    with proxy.connect() as s:
        s.sendall(b"GET / HTTP/1.1\r\nHo")
        assert read_all(s) == b""
    assert origin.seen == []


def test_reload_applies_whole_documents_only(start):
    a = start(Origin, fixed_answers(answer(b"a")))
    b = start(Origin, fixed_answers(answer(b"b")))
    proxy = start(Proxy, WEB, origin=a.port)
    assert ask(proxy)[2] == b"a"
    proxy.values["origin"] = b.port
    proxy.write(WEB)
    wait_for(lambda: ask(proxy)[2] == b"b", what="the new document")
    proxy.write(WEB + "- {name: web}\n- {nmae: x}\n")
    wait_for(lambda: proxy.metric('sennit_config_reload_total{result="rejected"}') == 1,
             what="the refusal to be counted")
    assert ask(proxy)[2] == b"b"
    assert 'did you mean \\"name\\"' in proxy.logs()


def test_no_request_is_lost_while_documents_change(start):
    a = start(Origin, fixed_answers(answer(b"a")))
    b = start(Origin, fixed_answers(answer(b"b")))
    proxy = start(Proxy, WEB, origin=a.port)
    bad, stop = [], threading.Event()

    def load():
        with proxy.connect() as s:
            while not stop.is_set():
                s.sendall(get())
                head, _ = read_response(s)
                if not head.startswith(b"HTTP/1.1 200"):
                    bad.append(head)

    t = threading.Thread(target=load)
    t.start()
    for i in range(10):
        proxy.values["origin"] = (b, a)[i % 2].port
        proxy.write(WEB)
        want = i + 1
        wait_for(lambda want=want: proxy.metric('sennit_config_reload_total{result="applied"}') >= want,
                 what="the next document")
    stop.set()
    t.join(10)
    assert bad == []


def test_sigterm_finishes_what_is_in_flight(start):
    release = threading.Event()

    def serve(conn, origin):
        read_head(conn)
        origin.seen.append(1)
        release.wait(10)
        conn.sendall(answer(b"late"))

    origin = start(Origin, serve)
    proxy = start(Proxy, WEB, origin=origin.port)
    with proxy.connect() as s:
        s.sendall(get())
        wait_for(lambda: origin.seen, what="the request to arrive")
        proxy.process.send_signal(signal.SIGTERM)
        wait_for(lambda: not listening(proxy.port), what="the listener to close")
        release.set()
        head, body = read_response(s)
        assert body == b"late" and b"Connection: close" in head
    assert proxy.process.wait(5) == 0


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def test_drain_turns_readiness_off_and_serves_on(start):
    origin = start(Origin, fixed_answers(answer()))
    proxy = start(Proxy, WEB, origin=origin.port)
    admin = f"127.0.0.1:{proxy.admin}"
    assert http_get(f"http://{admin}/drain")[0] == 405
    subprocess.run([str(BIN / "sennit-proxy"), "--drain", "--admin", admin], check=True, timeout=10)
    assert http_get(f"http://{admin}/ready")[0] == 503
    assert http_get(f"http://{admin}/live")[0] == 200
    assert ask(proxy)[0] == 200
    subprocess.run([str(BIN / "sennit-proxy"), "--shutdown", "--admin", admin], check=True, timeout=10)
    assert proxy.process.wait(5) == 0


def test_opaque_relay_keeps_half_close(start):
    def serve(conn, origin):
        data = read_all(conn)
        conn.sendall(b"got %d" % len(data))

    origin = start(Origin, serve)
    proxy = start(Proxy, WEB.replace("direction: outbound}", "direction: outbound, protocol: opaque, service: web}"),
                  origin=origin.port)
    with proxy.connect() as s:
        s.sendall(b"\0" * 5_000_000)
        s.shutdown(socket.SHUT_WR)
        assert read_all(s) == b"got 5000000"


def test_tls_bytes_are_relayed_untouched(start):
    origin = start(Origin, lambda conn, origin: conn.sendall(conn.recv(65536)))
    proxy = start(Proxy, WEB.replace("direction: outbound}", "direction: outbound, service: web}"),
                  origin=origin.port)
    raw = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"
    with proxy.connect() as s:
        s.sendall(raw)
        assert read_all(s) == raw


def test_check_names_file_line_and_column(tmp_path):
    bad = tmp_path / "bad.yaml"
    bad.write_text("version: 1\nlisteners:\n- {name: x, adress: \"127.0.0.1:1\", direction: outbound}\n")
    out = subprocess.run([str(BIN / "sennit-proxy"), "--check", "--config", str(bad)], capture_output=True,
                         text=True, timeout=10, check=False)
    assert out.returncode == 2
    assert f"{bad}:3:13: " in out.stderr and 'did you mean "address"?' in out.stderr
