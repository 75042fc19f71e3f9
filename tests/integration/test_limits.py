# SPDX-License-Identifier: Apache-2.0
"""What is bounded: connections, heads, memory, descriptors; what happens at each bound, and that nothing is left
of it afterwards. The admin port answers throughout."""
import contextlib
import hashlib
import resource
import threading

import pytest
from hpack.huffman import HuffmanEncoder
from hpack.huffman_constants import REQUEST_CODES, REQUEST_CODES_LENGTH

from exchange import Recording, all_pairs, connect, serve
from harness import Client, Closed, LONG, SANITIZED, SLOW, pattern, service, wait_for, wait_until_still
from http2 import (COMPRESSION_ERROR, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PADDED, S_MAX_STREAMS, S_WINDOW, H2Client,
                   block, frame, head_frames, hpack_int, needs_http2, octets, request_fields, supported)

STALLED_BYTES = (1 << 30) if LONG else (256 << 20)
FLAT = 8 << 20
BLOCK = pattern(1 << 20)


# --- connections


def test_connections(mesh):
    """The sixth is closed at once and counted; room is made as soon as one ends."""
    proxy, _ = mesh("h1", limits={"connections": 5})
    clients = [proxy.client() for _ in range(5)]
    for c in clients:
        assert c.request().status == 200
    with proxy.client() as extra:
        assert extra.closed() and extra.buffer == b""
    assert proxy.refused("connections") == 1
    assert all(c.request().status == 200 for c in clients)
    clients.pop().close()

    def served():
        with proxy.client() as c, contextlib.suppress(Closed, ConnectionError):
            return c.request().status == 200

    wait_for(served, "room for another")
    for c in clients:
        c.close()


def test_descriptors_run_out(mesh):
    """Accepting stops and is counted, who is served stays served, the admin port answers; afterwards all is well."""
    proxy, _ = mesh("h1")
    with proxy.client() as c:
        assert c.request().status == 200
        limit = proxy.fds() + 20
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (limit, limit))
        crowd = []
        for _ in range(60):
            crowd.append(Client(proxy.port))
            crowd[-1].send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        wait_for(lambda: proxy.metric("sennit_accept_paused_total") > 0, "accepting to stop")
        assert proxy.admin("/live")[0] == 200
        for _ in range(5):
            assert c.request().status in (200, 503)
        served = 0
        for other in crowd:
            with contextlib.suppress(AssertionError, Closed, ConnectionError):
                other.sock.settimeout(0.2)
                served += other.response().status == 200
            other.close()
        assert served >= 5
        wait_for(lambda: proxy.get("/later").status == 200, "the crowd to be gone")
        assert c.request().status == 200
    proxy.at_rest(limit)


@needs_http2
def test_descriptors_run_out_for_upstreams(mesh):
    """No descriptor for a connection to the origin: 503 overload on that stream, not the end of the client's."""
    release = threading.Event()

    def script(ex):
        if ex.target == "/hold":
            release.wait(10)
        serve(ex)

    proxy, _ = mesh("h1", script)
    with H2Client(proxy.port) as c:
        assert c.get().status == 200
        limit = proxy.fds() + 5
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (limit, limit))
        held = [c.request(path="/hold") for _ in range(30)]
        wait_for(lambda: sum(s.over for s in held) >= 15, "what cannot be served to be refused")
        for s in held:
            if s.over:
                assert s.status == 503 and s.field("sennit-error") == "overload", s
        assert proxy.admin("/live")[0] == 200
        release.set()
        assert all(s.wait_over().status in (200, 503) for s in held)
        assert {s.status for s in held} == {200, 503}
        assert c.get().status == 200
    assert proxy.refused("overload") >= 15


# --- heads


@needs_http2
def test_http2_head_limits_are_exact(mesh):
    """Each field counts its name, its value and 32; the list is refused before it is built."""
    proxy, origin = mesh("h1", limits={"headerBytes": "4KiB", "headerCount": 20, "requestLineBytes": "1KiB"})
    base = request_fields(path="/")
    used = sum(len(k) + len(v) + 32 for k, v in base)
    room = 4096 - used - 33  # for the value of a field `x`
    with H2Client(proxy.port) as c:
        assert c.get(headers=[("x", "v" * room)]).status == 200
        assert c.get(headers=[("x", "v" * (room + 1))]).status == 431
        assert c.get(headers=[(f"x{i}", "") for i in range(15)]).status == 200
        assert c.get(headers=[(f"x{i}", "") for i in range(25)]).status == 431
        assert c.get("/" + "p" * 900).status == 200
        assert c.get("/" + "p" * 1024).status == 414
        # decoding went on: the dynamic table is in step
        s = c.stream()
        c.send(head_frames(s.id, block(base) + block([("x-kept", "k" * 3000)], indexed=True)
                           + block([("y", "v" * 3000)]), end=True))
        assert s.wait_over().status == 431
        s = c.stream()
        c.send(head_frames(s.id, block(base) + b"\xbe", end=True))
        assert s.wait_over().status == 200
        assert c.goaway is None
    assert origin.exchanges[-1].get("x-kept") == "k" * 3000
    assert len(origin.exchanges) == 4 and proxy.refused("bad-request") == 4


@all_pairs
def test_answers_heads_are_bounded_too(mesh, client, upstream):
    proxy, _ = mesh(upstream, lambda ex: serve(ex, headers=[(f"x-{i}", "v" * 1000) for i in range(10)]),
                    limits={"headerBytes": "8KiB"})
    with connect(client, proxy.port) as c:
        answer = c.open().head()
        assert answer.status == 502 and answer.get("sennit-error") == "upstream"
    assert proxy.refused("upstream") == 1


# --- memory


@needs_http2
@pytest.mark.skipif(not supported(more="limits: {memory: 8MiB}"), reason="this build refuses `limits.memory`")
@pytest.mark.skipif(SANITIZED, reason="the sanitizers' allocators do not say what they hold")
def test_memory_is_a_ceiling(mesh):
    """New work is refused with 503 overload, work under way finishes, and afterwards there is room again."""
    conns = []
    proxy, _ = mesh("h2", settings={S_MAX_STREAMS: 100, S_WINDOW: 0}, on_connection=conns.append,
                    limits={"memory": "8MiB"})
    rss = proxy.rss_bytes()
    body = pattern(60_000)
    held, refused, shut = [], 0, False  # nothing of a body can go on, so that all of it is held
    with contextlib.ExitStack() as stack:
        for _ in range(20):
            try:
                c = stack.enter_context(H2Client(proxy.port))
            except Closed:  # a connection is new work too
                shut = True
                break
            for _ in range(50):
                s = c.stream()
                s.head(request_fields("POST", "/held", headers=[("content-length", str(len(body)))]))
                with contextlib.suppress(Closed, AssertionError):
                    s.send(body, end=True, deadline=0.5)
                held.append(s)
            refused = sum(s.status == 503 for s in held)
            if refused > 20:
                break
        assert refused > 20 or shut, "nothing was refused"
        assert SANITIZED or proxy.rss_bytes() - rss < 16 << 20  # what is counted is not what is resident
        for s in held:
            if s.fields:
                assert s.status == 503 and s.field("sennit-error") == "overload"
        assert proxy.admin("/live")[0] == 200 and proxy.refused("overload") >= refused
        assert proxy.refused() > 0
        for conn in conns:
            conn.settings({S_WINDOW: 65535})
        for s in held:
            s.wait_over(deadline=20 * SLOW)
            assert s.status in (200, 503), s
        assert sum(s.status == 200 for s in held) >= 20
        wait_for(lambda: proxy.get().status == 200, "room again")


# --- one slow reader


@all_pairs
def test_stalled_reader(mesh, client, upstream):
    """The origin is stopped, nothing piles up, and in the end every octet is there."""
    sent = [0]

    def script(ex):
        ex.rest()
        ex.respond(200, length=STALLED_BYTES)
        for _ in range(STALLED_BYTES // len(BLOCK)):
            ex.send(BLOCK)
            sent[0] += len(BLOCK)
        ex.finish()

    proxy, _ = mesh(upstream, script)
    rss = proxy.rss_bytes()
    with connect(client, proxy.port, rcvbuf=65536) as c:
        ex = c.open()
        if client == "h2":
            ex.stream.hold = True
        assert ex.head().status == 200
        wait_until_still(lambda: sent[0], 0.2)
        assert sent[0] < STALLED_BYTES // 4
        assert SANITIZED or proxy.rss_bytes() - rss < FLAT
        digest, left = hashlib.sha256(), STALLED_BYTES
        if client == "h2":
            ex.stream.hold = False
            c.window_update(ex.stream.id, 4 << 20)
        while left:
            if client == "h1":
                if not c.buffer:
                    c.more()
                data, c.buffer = c.buffer, b""
            else:
                c.wait(lambda: ex.stream.body or ex.stream.over, "more")
                with c.cond:
                    data = bytes(ex.stream.body)
                    ex.stream.body.clear()
                assert data or left == 0, ex.stream
            left -= len(data)
            digest.update(data)
        assert SANITIZED or proxy.rss_bytes() - rss < FLAT
    want = hashlib.sha256()
    for _ in range(STALLED_BYTES // len(BLOCK)):
        want.update(BLOCK)
    assert digest.digest() == want.digest()


@all_pairs
def test_stalled_origin(mesh, client, upstream):
    """The same for an upload."""
    size, go, sent = STALLED_BYTES // 4, threading.Event(), [0]
    digest = hashlib.sha256()

    def script(ex):
        if upstream == "h2":
            ex.stream.hold = True
        assert go.wait(60)
        if upstream == "h2":
            ex.stream.hold = False
            ex.conn.window_update(ex.stream.id, 4 << 20)
        left = size
        while left:
            if upstream == "h2":
                ex.conn.wait(lambda: ex.stream.body or ex.stream.over, "more")
                with ex.conn.cond:
                    data = bytes(ex.stream.body)
                    ex.stream.body.clear()
                assert data
            else:
                data = ex.read(min(left, 65536))
            left -= len(data)
            digest.update(data)
        ex.respond(200, length=0)
        ex.finish()

    def upload():
        for _ in range(size // len(BLOCK)):
            ex.send(BLOCK)
            sent[0] += len(BLOCK)
        ex.finish()

    proxy, _ = mesh(upstream, script)
    rss = proxy.rss_bytes()
    with connect(client, proxy.port, deadline=60 * SLOW) as c:
        ex = c.open("POST", length=size)
        thread = threading.Thread(target=upload, daemon=True)
        thread.start()
        wait_until_still(lambda: sent[0], 0.2)
        assert sent[0] < size // 2
        assert SANITIZED or proxy.rss_bytes() - rss < FLAT
        go.set()
        assert ex.head().status == 200
        thread.join(30)
        assert SANITIZED or proxy.rss_bytes() - rss < FLAT
    want = hashlib.sha256()
    for _ in range(size // len(BLOCK)):
        want.update(BLOCK)
    assert digest.digest() == want.digest()


@all_pairs
def test_slow_body_times_out(mesh, client, upstream):
    """No progress while we are ready to read: timeouts.body; upstream it is an abort."""
    ended = threading.Event()

    def script(ex):
        with contextlib.suppress(Closed):
            ex.rest()
        ex.aborted()
        ended.set()

    proxy, _ = mesh(upstream, script, timeouts={"body": "300ms"})
    with connect(client, proxy.port) as c:
        ex = c.open("POST", length=100)
        ex.send(b"abc")
        with contextlib.suppress(Closed):
            assert ex.head().status in (408, 504)
        if client == "h2":
            c.ping()
        assert ended.wait(10)
    assert proxy.refused("timeout") == 1


def test_who_waits_out_his_time_says_nothing_about_the_upstream(start_proxy):
    """Requests whose deadline passes at the gate do not lower the adaptive limit."""
    release = threading.Event()

    def script(ex):
        release.wait(10)
        serve(ex)

    with Recording("h1", script) as origin:
        svc = service("web", [origin.address], policy={"adaptiveConcurrency": {"mode": "On", "min": 1, "max": 4}})
        svc["routes"] = [{"name": "r", "rules": [
            {"name": "patient", "matches": [{"path": {"value": "/held"}}], "backendRefs": [{"name": "web"}]},
            {"name": "hasty", "backendRefs": [{"name": "web"}], "timeouts": {"request": "150ms"}}]}]
        proxy = start_proxy([svc], workers=1)
        held = [connect("h1", proxy.port) for _ in range(4)]
        asked = [c.open("GET", "/held") for c in held]
        wait_for(lambda: len(origin.exchanges) == 4, "four to be inside")
        for _ in range(2):
            hasty = [connect("h1", proxy.port) for _ in range(12)]
            assert [ex.head().status for ex in [c.open("GET", "/") for c in hasty]] == [504] * 12
            for c in hasty:
                c.close()
        assert proxy.metric("sennit_concurrency_limit", service="web") == 4
        release.set()
        assert all(ex.head().status == 200 for ex in asked)
        for c in held:
            c.close()


def test_pending_requests_are_bounded(start_proxy):
    """Behind connections.max and connections.pending: 503 at once."""
    release = threading.Event()

    def script(ex):
        release.wait(10)
        serve(ex)

    with Recording("h1", script) as origin:
        svc = service("web", [origin.address], policy={"connections": {"max": 2, "pending": 3}})
        proxy = start_proxy([svc])
        clients = [connect("h1", proxy.port) for _ in range(5)]
        asked = [c.open() for c in clients]
        wait_for(lambda: len(origin.exchanges) == 2, "two to be inside")
        with connect("h1", proxy.port) as c:
            answer = c.open().head()
            assert answer.status == 503 and answer.get("sennit-error") == "overload"
        assert proxy.refused("overload") == 1
        release.set()
        assert all(ex.head().status == 200 for ex in asked)
        for c in clients:
            c.close()


# --- a field that nghttp2 does not decode
def string(text, huffman):
    data = octets(text)
    if huffman:
        data = HuffmanEncoder(REQUEST_CODES, REQUEST_CODES_LENGTH).encode(data)
    return hpack_int(len(data), 7, 0x80 if huffman else 0) + data


@needs_http2
@pytest.mark.parametrize("part", ["name", "value", "both"])
@pytest.mark.parametrize("size,huffman", [(65537, False), (70001, False), (66007, True)])
def test_a_field_longer_than_64_kib(start_proxy, origin, part, size, huffman):
    """431 on its stream whatever the limit is; the connection lives, others on it too, and the compression tables of both
    ends agree on what such a field does to them, which is to empty them when it was to be kept."""
    proxy = start_proxy([service("web", [origin.address])], limits={"headerBytes": "256KiB"})
    text = "\xf9" * (size * 2 // 7) if huffman else "v" * size  # 28 bits each
    field = string(text if part != "value" else "x-long", huffman) + string(text if part != "name" else "v", huffman)
    base = request_fields()
    with H2Client(proxy.port) as c:
        waits = c.request("POST", end=False, headers=[("content-length", "3")])
        s = c.stream()
        c.send(head_frames(s.id, block(base) + block([("x-kept", "1")], indexed=True), end=True))
        assert s.wait_over().status == 200
        for i, (kind, padded, piece) in enumerate(((0, False, 1 << 20), (0, True, 1 << 20), (0x10, False, 997), (0x40, True, 1999))):
            s = c.stream()
            frames = head_frames(s.id, block(base) + bytes([kind]) + field + block([("x-behind", "2")]), end=True, split=16000)
            if padded:  # its first frame once more, with padding and a priority
                frames = frame(HEADERS, END_STREAM | PADDED | 0x20, s.id,
                               bytes([200]) + bytes(5) + frames[9:9 + 16000] + bytes(200)) + frames[9 + 16000:]
            with c.send_lock:  # the reader's own frames may not come in between
                for at in range(0, len(frames), piece):
                    c.sock.sendall(frames[at:at + piece])
            assert s.wait_over().status == 431 and s.field("sennit-error") == "bad-request", s
            assert proxy.refused("bad-request") == i + 1
            s = c.stream()
            c.send(head_frames(s.id, block(base) + b"\xbe", end=True))  # the newest entry of the table
            if kind != 0x40:
                assert s.wait_over().status == 200 and origin.requests[-1].get("x-kept") == "1"
        assert c.closed() and c.goaway[1] == COMPRESSION_ERROR, c  # it is empty
        assert not waits.over


@needs_http2
def test_the_table_behind_a_field_longer_than_64_kib(start_proxy, origin):
    """It is filled again by what follows, at both ends."""
    proxy = start_proxy([service("web", [origin.address])])
    base = request_fields()
    with H2Client(proxy.port) as c:
        waits = c.request("POST", end=False, headers=[("content-length", "3")])
        for i in range(5):
            s = c.stream()
            c.send(head_frames(s.id, block(base) + block([("x-long", "v" * 70000)], indexed=True), end=True))
            assert s.wait_over().status == 431
            s = c.stream()
            c.send(head_frames(s.id, block(base) + block([("x-new", str(i))], indexed=True), end=True))
            assert s.wait_over().status == 200
            s = c.stream()
            c.send(head_frames(s.id, block(base) + b"\xbe", end=True))
            assert s.wait_over().status == 200 and origin.requests[-1].get("x-new") == str(i)
        waits.send(b"abc", end=True)
        assert waits.wait_over().status == 200


@needs_http2
def test_an_answer_with_a_field_longer_than_64_kib(mesh):
    """502 for its request alone: the upstream's connection is used on, by one that was in flight as well."""
    def script(ex):
        if ex.target == "/slow":
            go.wait(20 * SLOW)
        serve(ex, headers=[("x-long", "v" * 70000)] if ex.target == "/long" else [])

    go = threading.Event()
    proxy, origin = mesh("h2", script, limits={"headerBytes": "256KiB"})
    with connect("h2", proxy.port) as c:
        slow = c.open(path="/slow")
        for _ in range(3):
            answer = c.open(path="/long").head()
            assert answer.status == 502 and answer.get("sennit-error") == "upstream"
            assert c.open(path="/short").head().status == 200
        go.set()
        assert slow.head().status == 200 and slow.rest() == b"ok\n"
    assert len(origin.connections) == 1


@needs_http2
@pytest.mark.parametrize("what,code,reason,why", [
    ("field", ENHANCE_YOUR_CALM, "flood", "continuation-flood"),
    ("broken", COMPRESSION_ERROR, "bad-request", "compression-error")])
def test_a_head_that_ends_the_connection(start_proxy, origin, what, code, reason, why):
    """More than 9 frames of it, or nothing that can be decoded: said, counted and logged."""
    proxy = start_proxy([service("web", [origin.address])])
    with H2Client(proxy.port) as c:
        waits = c.request("POST", end=False)
        wait_for(lambda: origin.connections, "the other request")
        s = c.stream()
        c.send(head_frames(s.id, block(request_fields()) + (
            b"\0" + string("x", False) + string("v" * 200000, False) if what == "field" else b"\xff" * 20), end=True))
        assert c.closed() and c.goaway[1] == code and not waits.over
        wait_for(lambda: origin.connections[0].ended, "the other request to be given up")
    assert proxy.refused(reason) == 1
    assert f"refused {reason}: listener outbound, client 127.0.0.1:" in proxy.log() and f": {why}" in proxy.log()
