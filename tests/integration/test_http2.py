# SPDX-License-Identifier: Apache-2.0
"""Requests and responses in all four protocol pairs, and what only HTTP/2 has: GOAWAY, REFUSED_STREAM,
limits on concurrency, keepalive."""
import hashlib
import threading
import time

import h2.config
import h2.connection
import h2.events
import pytest

from exchange import H2Asked, Recording, all_pairs, connect, serve
from harness import Closed, LONG, Origin, SLOW, pattern, service, wait_for
from http2 import (CANCEL, NO_ERROR, REFUSED_STREAM, S_MAX_STREAMS, S_WINDOW, SETTINGS, H2Client, block, frame,
                   head_frames, needs_http2, request_fields)

both_clients = pytest.mark.parametrize("client", ["h1", pytest.param("h2", marks=needs_http2)])


# --- messages


@all_pairs
def test_unary(mesh, client, upstream):
    """Nothing is changed that the hop does not have to change, both framings' lengths are kept."""
    proxy, origin = mesh(upstream, lambda ex: serve(ex, 201, [("x-answer", "a, b"), ("x-answer", "c")], b"made"))
    with connect(client, proxy.port) as c:
        for _ in range(3):
            ex = c.open("POST", "/a%2fb/?q=1&&r", headers=[("X-Ask", "1"), ("x-ask", "2"), ("accept", "*/*")],
                        length=5)
            ex.send(b"hello")
            ex.finish()
            answer = ex.head()
            assert answer.status == 201 and answer.all("x-answer") == ["a, b", "c"]
            assert answer.all("content-length") == ["4"] and ex.rest() == b"made"
    assert len(origin.exchanges) == 3 and len(origin.connections) == 1
    for got in origin.exchanges:
        assert (got.method, got.target, got.authority) == ("POST", "/a%2fb/?q=1&&r", "web")
        assert got.version == ("HTTP/1.1" if upstream == "h1" else "HTTP/2")
        assert got.all("x-ask") == ["1", "2"] and got.body == b"hello" and got.all("content-length") == ["5"]
        assert not [k for k, _ in got.headers if k.startswith("sennit-")]
        if upstream == "h2":
            assert got.scheme == "http" and got.get("host") in (None, "web")
            assert not [k for k, _ in got.headers if k in ("connection", "transfer-encoding", "keep-alive")]


@all_pairs
def test_streams_both_ways_at_once(mesh, client, upstream):
    """Each octet passes before the next is known: nothing waits for the end of a message."""
    def echo(ex):
        ex.respond(200)
        for i in range(20):
            data = ex.read(i + 1)
            ex.send(data)
        ex.send(ex.rest())
        ex.finish()

    proxy, _ = mesh(upstream, echo)
    big = pattern(1_500_000)
    with connect(client, proxy.port) as c:
        ex = c.open("POST", length="chunked")
        answer = ex.head()
        assert answer.status == 200
        for i in range(20):
            ex.send(b"x" * (i + 1))
            assert ex.read(i + 1) == b"x" * (i + 1)

        def upload():
            for at in range(0, len(big), 100_000):
                ex.send(big[at:at + 100_000])
            ex.finish()

        thread = threading.Thread(target=upload, daemon=True)
        thread.start()
        assert hashlib.sha256(ex.rest()).digest() == hashlib.sha256(big).digest()
        thread.join(10)


@all_pairs
@pytest.mark.parametrize("size", [0, 1, 16383, 16384, 65535, 65536, 700_001])
def test_bodies_of_every_size(mesh, client, upstream, size):
    body = pattern(size)
    proxy, origin = mesh(upstream, lambda ex: serve(ex, body=body))
    with connect(client, proxy.port) as c:
        for length in (size, "chunked"):
            ex = c.open("POST", length=length)
            for at in range(0, size, 50_000):
                ex.send(body[at:at + 50_000])
            ex.finish()
            assert ex.head().status == 200 and ex.rest() == body
    assert [x.body == body for x in origin.exchanges] == [True, True]


@needs_http2
@all_pairs
def test_trailers(mesh, client, upstream):
    """Both ways, without the fields that frame, route or authenticate."""
    forbidden = [("authorization", "x")]
    if client == "h1":  # over HTTP/2 these are malformed already
        forbidden += [("content-length", "7"), ("host", "evil")]

    def script(ex):
        ex.body = ex.rest()
        ex.respond(200, [("trailer", "x-sum")])
        ex.send(b"abc")
        ex.finish([("x-sum", "answer"), ("x-sum", "twice"), ("transfer-encoding", "chunked")][:2 + (upstream == "h1")])

    proxy, origin = mesh(upstream, script)
    with connect(client, proxy.port) as c:
        ex = c.open("POST", length="chunked", headers=[("te", "trailers")])
        ex.send(b"up")
        ex.finish([("x-sum", "ask"), *forbidden, ("x-more", "2")])
        assert ex.head().status == 200 and ex.rest() == b"abc"
        assert ex.trailers == [("x-sum", "answer"), ("x-sum", "twice")]
    got = origin.exchanges[0]
    assert got.body == b"up" and got.trailers == [("x-sum", "ask"), ("x-more", "2")]


@all_pairs
def test_trailers_that_the_connection_was_to_keep(mesh, client, upstream):
    """What the Connection field of an HTTP/1 head names is for this hop, also behind the body; and only there."""
    keep = [("Connection", "close, X-Hop,x-also"), ("Connection", "x-third")]
    fields = [("x-sum", "1"), ("x-hop", "2"), ("X-Also", "3"), ("x-third", "4"), ("x-thirds", "5")]
    passed = {"h1": [("x-sum", "1"), ("x-thirds", "5")], "h2": [(k.lower(), v) for k, v in fields]}

    def sent(kind):
        return fields if kind == "h1" else passed["h2"]

    def script(ex):
        ex.body = ex.rest()
        ex.respond(200, keep if upstream == "h1" else [])
        ex.send(b"abc")
        ex.finish(sent(upstream))

    proxy, origin = mesh(upstream, script)
    with connect(client, proxy.port) as c:
        ex = c.open("POST", length="chunked", headers=keep if client == "h1" else [])
        ex.send(b"up")
        wait_for(lambda: origin.exchanges, "the head, which is not there any more when the trailers come")
        ex.finish(sent(client))
        assert ex.head().status == 200 and ex.rest() == b"abc"
        assert ex.trailers == passed[upstream]
    assert origin.exchanges[0].trailers == passed[client]


@all_pairs
def test_te_trailers_is_kept(mesh, client, upstream):
    proxy, origin = mesh(upstream)
    with connect(client, proxy.port) as c:
        headers = [("te", "trailers")] + ([("connection", "te")] if client == "h1" else [])
        ex = c.open(headers=headers)
        assert ex.head().status == 200 and ex.rest() == b"ok\n"
    assert origin.exchanges[0].all("te") == ["trailers"]


@all_pairs
def test_continue(mesh, client, upstream):
    """The 100 is the origin's own; the body follows it."""
    go = threading.Event()

    def script(ex):
        assert ex.get("expect") == "100-continue"
        assert go.wait(10)
        ex.interim(100)
        serve(ex, body=ex.read(3))

    proxy, _ = mesh(upstream, script)
    with connect(client, proxy.port) as c:
        ex = c.open("POST", headers=[("expect", "100-continue")], length=3)
        go.set()
        assert ex.next_interim().status == 100
        ex.send(b"abc")
        ex.finish()
        answer = ex.head()
        assert answer.status == 200 and answer.interim == [] and ex.rest() == b"abc"


@all_pairs
def test_expectation_refused(mesh, client, upstream):
    """A final answer in the 100's place, without the body."""
    def script(ex):
        ex.respond(417, length=2)
        ex.send(b"no")
        ex.finish()

    proxy, _ = mesh(upstream, script)
    with connect(client, proxy.port) as c:
        ex = c.open("POST", headers=[("expect", "100-continue")], length=3)
        answer = ex.head()
        assert answer.status == 417 and answer.interim == [] and ex.rest() == b"no"


@all_pairs
def test_early_hints(mesh, client, upstream):
    """Sixteen informational answers pass, each with its fields, before the final one is known."""
    go = threading.Event()

    def script(ex):
        for i in range(16):
            ex.interim(103, [("link", f"<{i}>")])
        assert go.wait(10)
        serve(ex)

    proxy, _ = mesh(upstream, script)
    with connect(client, proxy.port) as c:
        ex = c.open()
        hints = [ex.next_interim() for _ in range(16)]
        go.set()
        assert [(h.status, h.get("link")) for h in hints] == [(103, f"<{i}>") for i in range(16)]
        answer = ex.head()
        assert answer.status == 200 and answer.interim == [] and ex.rest() == b"ok\n"


@all_pairs
def test_endless_hints(mesh, client, upstream):
    """The seventeenth is too many: 502, and the upstream request is given up."""
    ended = threading.Event()

    def script(ex):
        try:
            while True:
                ex.interim(103, [("link", "x")])
        except (Closed, OSError):
            ended.set()

    proxy, _ = mesh(upstream, script)
    before = proxy.refused("upstream")
    with connect(client, proxy.port) as c:
        ex = c.open()
        answer = ex.head()
        assert answer.status == 502 and answer.get("sennit-error") == "upstream" and len(answer.interim) == 16
    if upstream == "h1":
        assert ended.wait(10)
    assert proxy.refused("upstream") == before + 1


@all_pairs
def test_no_interim_for_http10(mesh, client, upstream):
    if client == "h2":
        pytest.skip("HTTP/1.0 has no HTTP/2 counterpart")

    def script(ex):
        ex.interim(103, [("link", "x")])
        ex.body = ex.rest()
        ex.respond(200)  # of unknown length
        ex.send(b"abc")
        ex.finish([("x-trailer", "1")])

    proxy, _ = mesh(upstream, script)
    with proxy.client() as c:
        began = time.monotonic()
        answer = c.request(version="1.0", headers=[("connection", "keep-alive")])
        assert answer.status == 200 and answer.interim == [] and answer.body == b"abc"
        assert answer.get("transfer-encoding") is None
        assert time.monotonic() - began < 1.5 * SLOW, "the end of the body is the connection's, and came late"


@all_pairs
def test_answer_before_the_body_ends(mesh, client, upstream):
    """It is delivered at once, and then the upload is stopped on both hops."""
    aborted = threading.Event()

    def script(ex):
        if ex.target == "/next":
            serve(ex)
            return
        ex.read(1000)
        ex.respond(413, length=2)
        ex.send(b"no")
        ex.finish()
        ex.aborted()
        aborted.set()

    proxy, origin = mesh(upstream, script)
    with connect(client, proxy.port) as c:
        ex = c.open("POST", length=100_000_000)
        ex.send(b"a" * 1000)
        assert ex.head().status == 413 and ex.rest() == b"no"
        assert aborted.wait(10), "the upload goes on upstream"
        if client == "h1":
            assert c.closed()
        else:
            c.wait(lambda: ex.stream.reset is not None, "the upload to be stopped")
            assert ex.stream.reset in (NO_ERROR, CANCEL) and ex.stream.ended
            assert c.get("/next").reset is None  # the connection lives
    assert origin.exchanges[0].target == "/"


@all_pairs
def test_no_body_whatever_the_fields_say(mesh, client, upstream):
    def script(ex):
        if ex.method == "HEAD":
            ex.respond(200, [("content-length", "12345")], length=None)
        elif ex.target in ("/204", "/304"):
            ex.respond(int(ex.target[1:]), [("etag", "x")] + [("content-length", "99")] * (ex.target == "/304"),
                       length=None)
        else:
            serve(ex)

    proxy, origin = mesh(upstream, script)
    with connect(client, proxy.port) as c:
        for method, path, status in [("HEAD", "/", 200), ("GET", "/204", 204), ("GET", "/304", 304), ("GET", "/", 200)]:
            ex = c.open(method, path)
            answer = ex.head()
            assert answer.status == status and answer.get("transfer-encoding") is None
            assert ex.rest() == (b"ok\n" if (method, path) == ("GET", "/") else b"")
            if method == "HEAD":
                assert answer.get("content-length") == "12345"
    assert len(origin.exchanges) == 4 and len(origin.connections) == 1


@all_pairs
def test_methods_and_forms(mesh, client, upstream):
    """OPTIONS *, other methods, an unknown one; absolute-form names the authority and Host follows it."""
    proxy, origin = mesh(upstream)
    with connect(client, proxy.port) as c:
        for method, path in [("OPTIONS", "*"), ("OPTIONS", "/x"), ("DELETE", "/"), ("PURGE", "/p"), ("GET", "/?")]:
            ex = c.open(method, path)
            assert ex.head().status == 200 and ex.rest() == b"ok\n"
            assert (origin.exchanges[-1].method, origin.exchanges[-1].target) == (method, path)
        if client == "h1":
            ex = c.open("GET", form="http://web/x?y", host="other")
            assert ex.head().status == 200 and ex.rest() == b"ok\n"
            assert origin.exchanges[-1].target == "/x?y" and origin.exchanges[-1].authority == "web"


@all_pairs
def test_connect_is_not_served(mesh, client, upstream):
    proxy, origin = mesh(upstream)
    with connect(client, proxy.port) as c:
        if client == "h1":
            answer = c.open("CONNECT", "web:80", host="web:80").head()
        else:
            s = c.request(fields=[(":method", "CONNECT"), (":authority", "web:80")], end=False)
            s.wait_head()
            answer = H2Asked(s).head()
        assert answer.status == 405 and answer.get("sennit-error") == "method"
    assert not origin.exchanges and proxy.refused("method") == 1


@needs_http2
@pytest.mark.parametrize("upstream", ["h1", "h2"])
def test_cookie_crumbs_are_joined(mesh, upstream):
    proxy, origin = mesh(upstream)
    with connect("h2", proxy.port) as c:
        ex = c.open(headers=[("cookie", "a=1"), ("x", "y"), ("cookie", "b=2"), ("cookie", "c=3")])
        assert ex.head().status == 200
    got = origin.exchanges[0].all("cookie")
    assert "; ".join(got) == "a=1; b=2; c=3" and (upstream == "h2" or len(got) == 1)


@all_pairs
def test_large_heads(mesh, client, upstream):
    fields = [(f"x-large-{i}", "v" * 900) for i in range(50)]
    proxy, origin = mesh(upstream, lambda ex: serve(ex, headers=fields))
    with connect(client, proxy.port) as c:
        for _ in range(2):
            ex = c.open(headers=fields)
            answer = ex.head()
            assert answer.status == 200 and [h for h in answer.headers if h[0].startswith("x-large")] == fields
            assert ex.rest() == b"ok\n"
    for got in origin.exchanges:
        assert [h for h in got.headers if h[0].startswith("x-large")] == fields


@all_pairs
def test_heads_over_a_limit(mesh, client, upstream):
    """431 and 414; over HTTP/2 the connection lives, over HTTP/1 it is closed."""
    proxy, origin = mesh(upstream, limits={"headerBytes": "8KiB", "headerCount": 40, "requestLineBytes": "2KiB"})
    cases = [(dict(headers=[("x", "a" * 9000)]), 431), (dict(headers=[(f"x-{i}", "") for i in range(50)]), 431),
             (dict(headers=[("x", "a" * 50_000), ("y", "b" * 50_000)]), 431), (dict(path="/" + "a" * 2100), 414)]
    c = connect(client, proxy.port)
    for i, (args, status) in enumerate(cases):
        ex = c.open(**args)
        answer = ex.head()
        assert answer.status == status and answer.get("sennit-error") == "bad-request", (i, answer)
        assert proxy.refused("bad-request") == i + 1
        if client == "h1":
            assert answer.get("connection", "").lower() == "close"
            ex.rest()
            assert c.closed()
            c = connect(client, proxy.port)
    ex = c.open(path="/fits")
    assert ex.head().status == 200
    c.close()
    assert [x.target for x in origin.exchanges] == ["/fits"]


# --- ends


@all_pairs
@pytest.mark.parametrize("when", ["waiting", "uploading", "downloading"])
def test_client_that_gives_up(mesh, client, upstream, when):
    """The upstream request ends with it, never in order."""
    seen, aborted, clean = threading.Event(), threading.Event(), []

    def script(ex):
        if when == "uploading":
            ex.read(3)
        elif when == "downloading":
            ex.respond(200)
            ex.send(b"abc")
        seen.set()
        try:
            if when == "uploading":
                ex.rest()
                clean.append(True)
        except Closed:
            pass
        ex.aborted()
        aborted.set()

    proxy, _ = mesh(upstream, script)
    fds = proxy.fds()
    with connect(client, proxy.port) as c:
        ex = c.open("POST" if when == "uploading" else "GET", length="chunked" if when == "uploading" else None)
        if when == "uploading":
            ex.send(b"abc")
        assert seen.wait(10)
        if when == "downloading":
            assert ex.head().status == 200 and ex.read(3) == b"abc"
        began = time.monotonic()
        ex.abort()
        assert aborted.wait(2 * SLOW) and not clean, f"not after {time.monotonic() - began:.1f} s"
        if client == "h2":
            c.ping()  # the connection lives
    proxy.at_rest(fds + 2)


@all_pairs
@pytest.mark.parametrize("how", ["length", "chunked"])
def test_upstream_that_breaks_off(mesh, client, upstream, how):
    """Behind the head: the client sees a break, never a clean end. Counted and logged."""
    def script(ex):
        ex.respond(200, length=10 if how == "length" else "chunked")
        ex.send(b"abc")
        assert go.wait(10)
        ex.abort()

    go = threading.Event()
    proxy, _ = mesh(upstream, script)
    with connect(client, proxy.port) as c:
        ex = c.open()
        assert ex.head().status == 200 and ex.read(3) == b"abc"
        go.set()
        with pytest.raises(Closed):
            ex.rest()
        if client == "h2":
            assert ex.stream.reset not in (None, NO_ERROR)
            c.ping()
    assert proxy.refused("upstream") == 1
    assert "refused upstream" in proxy.log()


@all_pairs
def test_upstream_that_breaks_off_before_the_head(mesh, client, upstream):
    proxy, origin = mesh(upstream, lambda ex: (ex.rest(), ex.abort()))
    with connect(client, proxy.port) as c:
        ex = c.open("POST", length=3)
        ex.send(b"abc")
        ex.finish()
        answer = ex.head()
        assert answer.status == 502 and answer.get("sennit-error") == "upstream"
    assert len(origin.exchanges) == 1  # not idempotent: never twice


WHOLE = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nX: y\r\n\r\nsome text",
    "chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nsome\r\n5;e\r\n text\r\n0\r\nT: 1\r\n\r\n",
}


@both_clients
@pytest.mark.parametrize("framing", WHOLE)
def test_truncated_at_each_octet(start_proxy, client, framing):
    """Cut anywhere: 502 while nothing was sent, a break afterwards; never a response that looks whole."""
    whole = WHOLE[framing]
    head_end = whole.index(b"\r\n\r\n") + 4

    def script(conn, _):
        r = conn.request()
        conn.send(whole[:int(r.target[1:])])

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        c = connect(client, proxy.port)
        for n in range(len(whole) + 1):
            ex = c.open("POST", f"/{n}", length=0)
            if client == "h2":
                ex.finish()
            try:
                answer = ex.head()
                got = ex.rest()
                cut = False
            except Closed:
                cut = True
            if n < head_end:
                assert not cut and answer.status == 502 and answer.get("sennit-error") == "upstream", (n, cut)
            elif n < len(whole):
                assert cut, (n, whole[:n])
            else:
                assert not cut and answer.status == 200 and got == b"some text"
            if client == "h1" and (cut or n == len(whole)):
                c.close()
                c = connect(client, proxy.port)
        c.close()


@needs_http2
@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("how", ["end", "reset"])
def test_http2_upstream_connection_lost(mesh, client, how):
    """The whole connection ends in the middle of several responses: each of them is cut."""
    def script(ex):
        ex.respond(200)
        ex.send(b"abc")

    proxy, origin = mesh("h2", script)
    conns = [connect(client, proxy.port) for _ in range(3)]
    asked = [c.open() for c in conns]
    for ex in asked:
        assert ex.head().status == 200 and ex.read(3) == b"abc"
    for conn in origin.connections:
        conn.reset() if how == "reset" else conn.close()
    for ex in asked:
        with pytest.raises(Closed):
            ex.rest()
    for c in conns:
        c.close()


# --- what only HTTP/2 has


@needs_http2
def test_many_streams_one_connection(mesh):
    """Requests of many clients, HTTP/1 and HTTP/2, share one upstream connection and do not wait for each other."""
    release, inside = threading.Event(), []

    def script(ex):
        inside.append(ex.target)
        if ex.target == "/slow":
            assert release.wait(20)
        serve(ex, body=ex.target.encode())

    proxy, origin = mesh("h2", script)
    with connect("h2", proxy.port) as c, connect("h1", proxy.port) as d:
        slow = [c.open(path="/slow") for _ in range(20)]
        wait_for(lambda: inside.count("/slow") == 20, "all slow ones to be inside at once")
        for i in range(50):
            for side in (c, d):
                ex = side.open(path=f"/{i}")
                assert ex.head().status == 200 and ex.rest() == b"/%d" % i
        release.set()
        assert all(ex.head().status == 200 and ex.rest() == b"/slow" for ex in slow)
    assert len(origin.connections) == 1


@needs_http2
@both_clients
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_goaway_is_tried_again(start_proxy, client, method):
    """Streams above the last id were not processed: another connection, whatever the method."""
    def script(ex):
        if ex.conn is origin.connections[0] and ex.target != "/first":
            ex.conn.say_goaway(1)
            return
        serve(ex)

    with Recording("h2", script) as origin:
        proxy = start_proxy([origin.service()])
        with connect(client, proxy.port) as c:
            for path in ("/first", "/again"):
                ex = c.open(method, path, length=3 if method == "POST" else None)
                if method == "POST":
                    ex.send(b"abc")
                    ex.finish()
                assert ex.head().status == 200 and ex.rest() == b"ok\n"
        assert [x.target for x in origin.exchanges] == ["/first", "/again", "/again"]
        assert len(origin.connections) == 2 and proxy.refused() == 0
        assert origin.exchanges[-1].body == (b"abc" if method == "POST" else b"")


@needs_http2
def test_goaway_lets_older_streams_finish(mesh):
    release = threading.Event()

    def script(ex):
        if ex.target == "/old":
            assert release.wait(10)
        serve(ex, body=ex.target.encode())

    proxy, origin = mesh("h2", script)
    with connect("h2", proxy.port) as c:
        old = c.open(path="/old")
        wait_for(lambda: origin.exchanges, "the request to arrive")
        origin.connections[0].say_goaway(1)
        ex = c.open(path="/new")
        assert ex.head().status == 200 and ex.rest() == b"/new"
        release.set()
        assert old.head().status == 200 and old.rest() == b"/old"
    assert len(origin.connections) == 2


@needs_http2
@both_clients
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_refused_stream_is_tried_elsewhere(start_proxy, client, method):
    def refuse(ex):
        ex.stream.rst(REFUSED_STREAM)

    with Recording("h2", refuse) as bad, Recording("h2") as good:
        svc = good.service()
        svc["endpoints"]["static"].append({"address": bad.address})
        svc["policy"] = {"loadBalancing": {"algorithm": "RoundRobin"}}
        proxy = start_proxy([svc])
        with connect(client, proxy.port) as c:
            for i in range(6):
                ex = c.open(method, f"/{i}", length=3 if method == "POST" else None)
                if method == "POST":
                    ex.send(b"abc")
                    ex.finish()
                assert ex.head().status == 200 and ex.rest() == b"ok\n"
        assert [x.target for x in good.exchanges] == [f"/{i}" for i in range(6)]
        assert bad.exchanges and proxy.refused() == 0


@needs_http2
def test_refused_for_ever(mesh):
    """All refuse: bounded tries, then 502 or 503 with the reason."""
    proxy, origin = mesh("h2", lambda ex: ex.stream.rst(REFUSED_STREAM))
    with connect("h1", proxy.port) as c:
        answer = c.open().head()
        assert answer.status in (502, 503) and answer.get("sennit-error") in ("upstream", "connect", "overload")
    assert 2 <= len(origin.exchanges) <= 10


@needs_http2
def test_concurrency_of_the_peer_is_respected(mesh):
    """Two at a time on one connection: more connections serve the rest, none is ever over its limit."""
    lock, open_now, over, release = threading.Lock(), {}, [], threading.Event()

    def script(ex):
        with lock:
            open_now[ex.conn] = open_now.get(ex.conn, 0) + 1
            if open_now[ex.conn] > 2:  # only who cannot know the limit yet may be over it
                over.append(ex.conn.settings_acked)
                open_now[ex.conn] -= 1
                ex.stream.rst(REFUSED_STREAM)
                return
        release.wait(10)
        with lock:
            open_now[ex.conn] -= 1
        serve(ex)

    proxy, origin = mesh("h2", script, settings={S_MAX_STREAMS: 2})
    with connect("h2", proxy.port) as c:
        asked = [c.open()]
        wait_for(lambda: origin.exchanges, "the first request")
        asked += [c.open(path=f"/{i}") for i in range(6)]
        wait_for(lambda: sum(open_now.values()) == 7, "all requests to be inside")
        assert len(origin.connections) >= 4 and True not in over
        release.set()
        assert all(x.head().status == 200 and x.rest() == b"ok\n" for x in asked)


@needs_http2
def test_window_of_the_peer_is_respected(mesh):
    """A response does not go past what the client allows, on the stream or on the connection."""
    proxy, _ = mesh("h1", lambda ex: serve(ex, body=pattern(300_000)))
    with H2Client(proxy.port, settings={S_WINDOW: 1000}) as c:
        s = c.stream()
        s.hold = True
        s.head(request_fields(), end=True)
        s.wait_body(1000)
        c.ping()
        assert len(s.body) == 1000
        c.window_update(s.id, 500)
        s.wait_body(1500)
        c.ping()
        assert len(s.body) == 1500
        c.settings({S_WINDOW: 2_000_000})
        assert s.wait_over().ended and bytes(s.body) == pattern(300_000)


@needs_http2
@pytest.mark.skipif(not LONG, reason="takes 13 s; SLOW=1 runs it")
def test_dead_upstream_is_noticed_by_ping(mesh):
    """10 s of silence, a PING, 3 s without an answer: the connection is given up, a new one serves."""
    def script(ex):
        if ex.conn is origin.connections[0]:
            ex.conn.answer_pings = False
            ex.aborted()
        else:
            serve(ex)

    proxy, origin = mesh("h2", script)
    with connect("h1", proxy.port, deadline=30 * SLOW) as c:
        began = time.monotonic()
        answer = c.open("POST", length=0).head()
        took = time.monotonic() - began
        assert answer.status in (502, 504) and 9 < took < 16 * SLOW, (answer, took)
    assert origin.connections[0].pings >= 1
    assert proxy.get("/").status == 200


@needs_http2
def test_answered_pings_keep_a_quiet_stream(mesh):
    """Our PINGs are answered and the peer's are by us; nothing is closed."""
    proxy, origin = mesh("h2")
    with H2Client(proxy.port) as c:
        assert c.get().status == 200
        c.ping(b"abcdefgh")
        assert c.pongs == [b"abcdefgh"]
        origin.connections[0].ping(b"upstream")
        assert c.get().status == 200


@needs_http2
@pytest.mark.parametrize("protocol,client,version", [
    ("http", "h1", "HTTP/1.1"), ("http", "h2", "HTTP/1.1"), ("http2", "h1", "HTTP/2"), ("http2", "h2", "HTTP/2"),
    ("grpc", "h1", "HTTP/2"), ("grpc", "h2", "HTTP/2"), ("detect", "h1", "HTTP/1.1"), ("detect", "h2", "HTTP/2")])
def test_port_protocol_says_what_the_backend_speaks(start_proxy, protocol, client, version):
    kind = "h1" if version == "HTTP/1.1" else "h2"
    with Recording(kind) as origin:
        svc = origin.service()
        svc["ports"][0]["protocol"] = protocol
        proxy = start_proxy([svc])
        with connect(client, proxy.port) as c:
            ex = c.open()
            assert ex.head().status == 200 and ex.rest() == b"ok\n"
        assert origin.exchanges[0].version == version


@needs_http2
@pytest.mark.parametrize("protocol,h1,h2", [("detect", True, True), ("http", True, True), ("http1", True, False),
                                            ("http2", False, True)])
def test_listener_protocol_says_how_the_client_is_read(start_proxy, protocol, h1, h2):
    """Told apart by the preface; a listener for one of them refuses the other."""
    with Recording("h1") as origin:
        proxy = start_proxy([origin.service()], edit=lambda d: d["listeners"][0].update(protocol=protocol))
        with connect("h1", proxy.port) as c:
            if h1:
                assert c.open().head().status == 200
            else:
                with pytest.raises((Closed, AssertionError)):
                    answer = c.open().head()
                    assert answer.status == 200, answer
        if h2:
            with connect("h2", proxy.port) as c:
                assert c.open().head().status == 200
        else:
            with H2Client(proxy.port, greet=False) as c:
                assert c.closed()
        assert len(origin.exchanges) == h1 + h2


@needs_http2
def test_preface_in_any_pieces(mesh):
    proxy, _ = mesh("h1")
    data = (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS)
            + head_frames(1, block(request_fields()), end=True))
    with H2Client(proxy.port, start=False, greet=False) as c:
        s = c.stream()
        with c.send_lock:  # nothing of the reader's, such as an acknowledgement, may come in between
            for octet in data:
                c.sock.sendall(bytes([octet]))
        assert s.wait_over().status == 200


@needs_http2
def test_bad_preface_is_refused(mesh):
    proxy, origin = mesh("h1")
    with H2Client(proxy.port, start=False, greet=False) as c:
        c.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\rX" + frame(SETTINGS))
        assert c.closed()
    assert not origin.exchanges
    wait_for(lambda: proxy.refused() >= 1, "the refusal to be counted")


@needs_http2
def test_drain_is_announced(mesh):
    """GOAWAY in two steps; what is under way finishes, the process ends."""
    release = threading.Event()

    def script(ex):
        assert release.wait(10)
        serve(ex, body=b"late")

    proxy, origin = mesh("h1", script)
    with connect("h2", proxy.port) as c:
        ex = c.open()
        wait_for(lambda: origin.exchanges, "the request to arrive")
        proxy.popen.terminate()
        c.wait(lambda: c.goaway is not None, "a GOAWAY")
        assert c.goaways[0] == (0x7FFFFFFF, NO_ERROR)
        release.set()
        assert ex.head().status == 200 and ex.rest() == b"late"
        assert c.closed() == "end"
        assert c.goaways[-1] == (1, NO_ERROR)
    assert proxy.wait() == 0


@needs_http2
def test_a_strict_library_has_no_objection(mesh):
    """python-h2, which validates what it receives, as an ordinary client."""
    proxy, _ = mesh("h1", lambda ex: serve(ex, headers=[("Connection", "x-hop"), ("X-Hop", "1"), ("X-Kept", "2")],
                                           body=pattern(200_000)))
    conn = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
    with proxy.client() as c:
        conn.initiate_connection()
        conn.send_headers(1, request_fields(), end_stream=True)
        c.send(conn.data_to_send())
        head, body, ended = None, b"", False
        while not ended:
            c.more()
            for event in conn.receive_data(c.take(len(c.buffer))):
                if isinstance(event, h2.events.ResponseReceived):
                    head = dict(event.headers)
                elif isinstance(event, h2.events.DataReceived):
                    body += event.data
                    conn.acknowledge_received_data(event.flow_controlled_length, 1)
                ended = ended or isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset,
                                                    h2.events.ConnectionTerminated))
            c.send(conn.data_to_send())
    assert head[":status"] == "200" and head["x-kept"] == "2" and "x-hop" not in head and body == pattern(200_000)
