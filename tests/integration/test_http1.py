# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 through the proxy: what is refused reaches nobody, what is accepted arrives whole."""
import hashlib
import threading

import pytest

from harness import Closed, Origin, Proxy, SLOW, pattern, service, wait_for, wait_until_still

HEAD = b"GET / HTTP/1.1\r\nHost: web\r\n"
POST = b"POST / HTTP/1.1\r\nHost: web\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

# name: (bytes, allowed statuses)
REFUSED = {
    "both framings": (POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "both framings, turned": (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", {400}),
    "te twice": (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "te not ending in chunked": (POST + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n", {400}),
    "te identity": (POST + b"Transfer-Encoding: identity\r\nContent-Length: 3\r\n\r\nabc", {400}),
    "te unknown": (POST + b"Transfer-Encoding: what, chunked\r\n\r\n0\r\n\r\n", {501}),
    "te on 1.0": (b"POST / HTTP/1.0\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", {400}),
    "te with a tab name": (POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n", {400}),
    "te with a control octet": (POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", {400}),
    "length twice": (POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", {400}),
    "length list": (POST + b"Content-Length: 3, 3\r\n\r\nabc", {400}),
    "length signed": (POST + b"Content-Length: +3\r\n\r\nabc", {400}),
    "length spaced": (POST + b"Content-Length: 3 0\r\n\r\nabc", {400}),
    "length empty": (POST + b"Content-Length:\r\n\r\nabc", {400}),
    "length 2^63": (POST + b"Content-Length: 9223372036854775808\r\n\r\nabc", {400}),
    "bare lf": (b"GET / HTTP/1.1\nHost: web\n\n", {400}),
    "bare lf in the fields": (HEAD + b"X: a\nY: b\r\n\r\n", {400}),
    "bare cr": (HEAD + b"X: a\rb\r\n\r\n", {400}),
    "nul": (HEAD + b"X: a\0b\r\n\r\n", {400}),
    "control": (HEAD + b"X: a\x01\r\n\r\n", {400}),
    "del": (HEAD + b"X: a\x7f\r\n\r\n", {400}),
    "obs-fold": (HEAD + b"X: a\r\n b\r\n\r\n", {400}),
    "space before the colon": (HEAD + b"X : a\r\n\r\n", {400}),
    "space before the first field": (b"GET / HTTP/1.1\r\n Host: web\r\n\r\n", {400}),
    "empty name": (HEAD + b": a\r\n\r\n", {400}),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", {400}),
    "two hosts": (HEAD + b"Host: web\r\n\r\n", {400}),
    "bad host": (b"GET / HTTP/1.1\r\nHost: web/x\r\n\r\n", {400}),
    "http/0.9": (b"GET /\r\n", {400, 505}),
    "http/2.0": (b"GET / HTTP/2.0\r\nHost: web\r\n\r\n", {400, 505}),
    "two spaces": (b"GET  / HTTP/1.1\r\nHost: web\r\n\r\n", {400}),
    "fragment": (b"GET /#x HTTP/1.1\r\nHost: web\r\n\r\n", {400}),
    "garbage": (b"\x80\x2e\x01\x03\x01\r\n\r\n", {400, 505}),
    "tls": (b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00", {400, 505}),
    "connection names authorization": (HEAD + b"Authorization: x\r\nConnection: authorization\r\n\r\n", {400}),
    "connection names host": (HEAD + b"Connection: close, Host\r\n\r\n", {400}),
    "connection names content-length": (POST + b"Connection: Content-Length\r\nContent-Length: 3\r\n\r\nabc", {400}),
    "connection names forwarding": (HEAD + b"Connection: X-Forwarded-For\r\n\r\n", {400}),
    "connection names tracing": (HEAD + b"Connection: traceparent\r\n\r\n", {400}),
    "connection names identity": (HEAD + b"Connection: sennit-client-id\r\n\r\n", {400}),
}

BAD_CHUNKS = {
    "0x": b"0x3\r\nabc\r\n0\r\n\r\n",
    "sign": b"+3\r\nabc\r\n0\r\n\r\n",
    "underscore": b"0_3\r\nabc\r\n0\r\n\r\n",
    "leading space": b" 3\r\nabc\r\n0\r\n\r\n",
    "17 digits": b"00000000000000003\r\nabc\r\n0\r\n\r\n",
    "lf": b"3\nabc\n0\n\n",
    "bare cr in an extension": b"3;a\rb\r\nabc\r\n0\r\n\r\n",
    "bare lf in an extension": b"3;a\nb\r\nabc\r\n0\r\n\r\n",
    "no crlf behind data": b"3\r\nabcX0\r\n\r\n",
    "empty size": b"\r\n\r\n",
    "bad trailer": b"3\r\nabc\r\n0\r\nX y\r\n\r\n",
    "smuggled in the trailers": b"0\r\nGET /smuggled HTTP/1.1\r\n\r\n",
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    """One proxy and one recording origin for all refusals."""
    with Origin() as origin:
        proxy = Proxy(tmp_path_factory.mktemp("http1"), [service("web", [origin.address])])
        yield proxy, origin
        assert proxy.stop() == 0, proxy.log()


@pytest.mark.parametrize("name", REFUSED)
def test_refused_reaches_nobody(shared, name):
    proxy, origin = shared
    data, statuses = REFUSED[name]
    before = origin.received
    with proxy.client() as c:
        c.send(data + b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n")
        answer = c.response()
        assert answer.status in statuses, answer
        assert answer.get("connection", "").lower() == "close"
        assert c.closed() and c.buffer == b""
    assert origin.received == before
    assert proxy.get("/after").status == 200
    assert origin.requests[-1].target == "/after"
    assert not [r for r in origin.requests if r.target == "/smuggled"]


@pytest.mark.parametrize("name", BAD_CHUNKS)
def test_bad_chunk(shared, name):
    """The head may be at the origin already: its connection is given up, nothing behind is a request."""
    proxy, origin = shared
    with proxy.client() as c:
        c.send(CHUNKED + BAD_CHUNKS[name] + b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n")
        try:
            answer = c.response()
            assert answer.status == 400 and answer.get("connection", "").lower() == "close"
        except Closed:
            pass  # too late for an answer
        assert c.closed()
    # The origin sees no whole request of it: its connection ends instead.
    assert proxy.get("/after").status == 200
    assert origin.requests[-1].target == "/after"
    assert not [r for r in origin.requests if r.target in ("/", "/smuggled")]


def test_refusals_are_counted(shared):
    """One counter by reason, one log line with the details."""
    proxy, _ = shared
    before = proxy.metric("sennit_refused_total", reason="bad-request")
    with proxy.client() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n")
        assert c.response().status == 400
    assert proxy.metric("sennit_refused_total", reason="bad-request") == before + 1
    assert "two-hosts" in proxy.log()


def test_good_chunks(shared):
    proxy, origin = shared
    with proxy.client() as c:
        c.send(CHUNKED + b'3;a=b;c="d"\r\nabc\r\n00002 ; x\r\nde\r\n0;last\r\nX: trailer\r\n\r\n')
        assert c.response().status == 200
        assert origin.requests[-1].body == b"abcde"
        assert c.request().status == 200


def test_octet_by_octet(shared):
    proxy, origin = shared
    data = b"POST /slow HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n0\r\n\r\n"
    with proxy.client() as c:
        for octet in data:
            c.send(bytes([octet]))
        assert c.response().status == 200
    assert origin.requests[-1].target == "/slow" and origin.requests[-1].body == b"hello"


def test_sizes(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])],
                        limits={"headerBytes": "4KiB", "headerCount": 20, "requestLineBytes": "1KiB"})

    def status(data):
        with proxy.client() as c:
            c.send(data)
            answer = c.response()
            if answer.status != 200:
                assert c.closed() and answer.get("connection", "").lower() == "close"
            return answer.status

    assert status(b"GET /" + b"a" * 1000 + b" HTTP/1.1\r\nHost: web\r\n\r\n") == 200
    assert status(b"GET /" + b"a" * 1024 + b" HTTP/1.1\r\nHost: web\r\n\r\n") == 414
    assert status(b"GET /" + b"a" * 100000) == 414
    assert status(HEAD + b"X: " + b"a" * 4000 + b"\r\n\r\n") == 200
    assert status(HEAD + b"X: " + b"a" * 4096 + b"\r\n\r\n") == 431
    assert status(HEAD + b"X: " + b"a" * 100000) == 431
    assert status(HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(19)) + b"\r\n") == 200
    assert status(HEAD + b"".join(b"X-%d: a\r\n" % i for i in range(20)) + b"\r\n") == 431
    assert len(origin.requests) == 3


def test_slow_head(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])], timeouts={"header": "300ms"})
    with proxy.client() as c:
        c.send(HEAD + b"X: ")
        c.closed()
        assert c.buffer == b"" or c.buffer.startswith(b"HTTP/1.1 408 ")
    assert origin.received == 0


@pytest.mark.parametrize("size", [0, 1, 100, 16383, 16384, 16385, 65537, 3_000_000])
@pytest.mark.parametrize("framing", ["length", "chunked"])
def test_bodies(start_proxy, framing, size):
    """Up and down in the same framing, twice on one connection."""
    body = pattern(size)

    def script(conn, origin):
        while r := conn.request():
            origin.requests.append(r)
            assert hashlib.sha256(r.body).digest() == hashlib.sha256(body).digest()
            if framing == "length":
                conn.reply(body=r.body)
                continue
            conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
            for at in range(0, size, 50000):
                part = body[at:at + 50000]
                conn.send(b"%X;ignored\r\n%s\r\n" % (len(part), part))
            conn.send(b"0\r\nX-Trailer: y\r\n\r\n")

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            for _ in range(2):
                if framing == "length":
                    answer = c.request("POST", body=body)
                else:
                    chunks = [body[at:at + 70000] for at in range(0, size, 70000)]
                    answer = c.request("POST", chunks=chunks)
                assert answer.status == 200 and answer.body == body
        assert len(origin.requests) == 2 and len(origin.connections) == 1


def test_body_until_close(start_proxy):
    def script(conn, _):
        conn.request()
        conn.send(b"HTTP/1.1 200 OK\r\n\r\n" + pattern(100000))

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            assert c.request().body == pattern(100000)
        with proxy.client() as c:
            answer = c.request(version="1.0")
            assert answer.body == pattern(100000) and answer.get("transfer-encoding") is None


STALLED_BYTES = 64_000_000
RSS_LIMIT = 6_000_000


def test_backpressure_down(start_proxy):
    """A reader that stalls stops the origin; nothing piles up in the proxy, and nothing is lost."""
    sent = [0]

    def script(conn, _):
        conn.request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % STALLED_BYTES)
        block = pattern(1_000_000)
        for _ in range(STALLED_BYTES // len(block)):
            conn.send(block)
            sent[0] += len(block)

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        rss = proxy.rss_bytes()
        with proxy.client(rcvbuf=65536) as c:
            c.send(HEAD + b"\r\n")
            c.response_head()
            wait_until_still(lambda: sent[0])
            assert sent[0] < STALLED_BYTES // 2
            assert proxy.rss_bytes() - rss < RSS_LIMIT
            digest, left = hashlib.sha256(), STALLED_BYTES
            while left:
                if not c.buffer:
                    c.more()
                left -= len(c.buffer)
                digest.update(c.take(len(c.buffer)))
            assert proxy.rss_bytes() - rss < RSS_LIMIT
        block = pattern(1_000_000)
        want = hashlib.sha256()
        for _ in range(STALLED_BYTES // len(block)):
            want.update(block)
        assert digest.digest() == want.digest()


def test_backpressure_up(start_proxy):
    """The same for an upload to an origin that stalls."""
    go, sent = threading.Event(), [0]

    def script(conn, origin):
        head = conn.request_head()
        go.wait(30)
        left, got = int(head.get("content-length")), 0
        while got < left:
            if not conn.buffer:
                conn.more()
            got += len(conn.buffer)
            conn.buffer = b""
        origin.requests.append(head)
        conn.reply()

    def upload(c):
        block = pattern(1_000_000)
        c.send(POST + b"Content-Length: %d\r\n\r\n" % STALLED_BYTES)
        for _ in range(STALLED_BYTES // len(block)):
            c.send(block)
            sent[0] += len(block)

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        rss = proxy.rss_bytes()
        with proxy.client(deadline=60) as c:
            thread = threading.Thread(target=upload, args=(c,), daemon=True)
            thread.start()
            wait_for(lambda: sent[0] > 0, "the upload to begin")
            wait_until_still(lambda: sent[0])
            assert sent[0] < STALLED_BYTES // 2
            assert proxy.rss_bytes() - rss < RSS_LIMIT
            go.set()
            assert c.response().status == 200
            thread.join(10)
        assert len(origin.requests) == 1


def test_keep_alive_and_reuse(web, origin):
    with web.client() as c:
        for i in range(50):
            assert c.request(path=f"/{i}").status == 200
    for i in range(10):
        assert web.get(f"/again/{i}").status == 200
    assert len(origin.requests) == 60 and len(origin.connections) == 1


def test_connection_close(web, origin):
    with web.client() as c:
        answer = c.request(headers=[("Connection", "close")])
        assert answer.status == 200 and answer.get("connection", "").lower() == "close"
        assert c.closed() == "end"
    assert origin.requests[-1].get("connection") is None or "close" not in origin.requests[-1].get("connection")


def test_pipelining(web, origin):
    with web.client() as c:
        c.send(b"".join(b"POST /%d HTTP/1.1\r\nHost: web\r\nContent-Length: 2\r\n\r\nab" % i for i in range(20)))
        for _ in range(20):
            assert c.response().status == 200
    assert [r.target for r in origin.requests] == [f"/{i}" for i in range(20)]


def test_bodiless_answers(start_proxy):
    """HEAD, 204 and 304 have no body whatever their fields say, and the connections live on."""
    def script(conn, origin):
        while r := conn.request():
            origin.requests.append(r)
            if r.method == "HEAD":
                conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n")
            elif r.target == "/204":
                conn.send(b"HTTP/1.1 204 No Content\r\n\r\n")
            elif r.target == "/304":
                conn.send(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 99\r\n\r\n")
            else:
                conn.reply()

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            answer = c.request("HEAD")
            assert answer.status == 200 and answer.get("content-length") == "12345"
            assert c.request(path="/204").status == 204
            assert c.request(path="/304").status == 304
            assert c.request().body == b"ok\n"
        assert len(origin.connections) == 1


def test_continue(start_proxy):
    def script(conn, origin):
        while True:
            head = conn.request_head()
            origin.requests.append(head)
            if head.target == "/refuse":
                conn.send(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
                return
            conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")
            if head.get("expect"):
                conn.send(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = conn.take(int(head.get("content-length", "0")))
            conn.reply(body=body)

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            c.send(POST + b"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            interim = []
            while not interim or interim[-1].status != 100:
                interim.append(c.response_head())
            assert [r.status for r in interim] in ([103, 100], [100, 103, 100], [100])
            c.send(b"abc")
            assert c.response().body == b"abc"
        with proxy.client() as c:  # HTTP/1.0 never gets 1xx
            c.send(b"POST / HTTP/1.0\r\nHost: web\r\nContent-Length: 3\r\n\r\nabc")
            assert c.response_head().status == 200
        with proxy.client() as c:  # a refusal comes at once, without the body
            c.send(b"POST /refuse HTTP/1.1\r\nHost: web\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            answer = c.response()
            assert answer.status == 417


def test_endless_interim(start_proxy):
    def script(conn, _):
        conn.request()
        while True:
            conn.send(b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n")

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            c.send(HEAD + b"\r\n")
            try:
                answer = c.response()
                assert answer.status == 502 and len(answer.interim) <= 16
            except Closed as e:
                assert e.data == b""
        wait_for(lambda: origin.connections[0].ended or origin.connections[0].sock.fileno() < 0,
                 "the origin's connection to end")


def test_http10_client(start_proxy):
    def script(conn, origin):
        while r := conn.request():
            origin.requests.append(r)
            conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            answer = c.request(version="1.0", headers=[("Connection", "keep-alive")])
            assert answer.get("transfer-encoding") is None and answer.body == b"abc"
        assert origin.requests[0].version == "HTTP/1.1"


def test_hop_by_hop(start_proxy):
    def script(conn, origin):
        while r := conn.request():
            origin.requests.append(r)
            conn.reply(headers=[("Connection", "x-back"), ("X-Back", "1"), ("Keep-Alive", "timeout=5"),
                                ("X-Kept", "2")])

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            answer = c.request(headers=[("Connection", "x-forth, TE"), ("X-Forth", "1"), ("TE", "gzip"),
                                        ("Keep-Alive", "1"), ("Proxy-Connection", "keep-alive"),
                                        ("Upgrade", "h2c"), ("HTTP2-Settings", "x"), ("X-Kept", "2"),
                                        ("X-Kept", "3")])
        assert answer.status == 200 and answer.get("x-kept") == "2"
        assert not [k for k, _ in answer.headers if k in ("x-back", "keep-alive")]
        r = origin.requests[0]
        assert r.all("x-kept") == ["2", "3"]
        assert not [k for k, _ in r.headers if k in ("x-forth", "te", "keep-alive", "proxy-connection", "upgrade",
                                                     "http2-settings", "connection")]


def test_absolute_form(web, origin):
    with web.client() as c:
        c.send(b"GET http://web/x?y HTTP/1.1\r\nHost: other\r\n\r\n")
        assert c.response().status == 200
    assert origin.requests[0].target == "/x?y" and origin.requests[0].all("host") == ["web"]


BAD_RESPONSES = {
    "both framings": b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    "duplicate status line": b"HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "garbage": b"\x00\x01\x02\r\n\r\n",
    "not http": b"220 mail.example ESMTP\r\n",
    "oversized head": b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000,
    "closed in the head": b"HTTP/1.1 200 OK\r\nContent-Le",
    "closed at once": b"",
    "bare lf": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "connection attack": b"HTTP/1.1 200 OK\r\nConnection: content-length\r\nContent-Length: 0\r\n\r\n",
}

SHORT_BODIES = {
    "length": (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc", b"abc"),
    "chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabc", b"abc"),
    "last chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", b"abc"),
}


@pytest.mark.parametrize("name", BAD_RESPONSES)
def test_bad_response(start_proxy, name):
    def script(conn, origin):
        origin.requests.append(conn.request())
        conn.send(BAD_RESPONSES[name])

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            c.send(POST + b"Content-Length: 3\r\n\r\nabc")
            answer = c.response()
            assert answer.status == 502, answer
        proxy.get("/next")
        assert len(origin.connections) == 2 and len(origin.requests) == 2


def test_bad_chunk_in_a_response(start_proxy):
    """502 as long as nothing was passed on, else a connection that breaks."""
    good = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"

    def script(conn, _):
        if conn.request().target == "/at-once":
            conn.send(good + b"xyz\r\n\r\n")
        else:
            conn.send(good)
            assert seen.wait(5)
            conn.send(b"xyz\r\n\r\n")

    seen = threading.Event()
    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        assert proxy.get("/at-once").status == 502
        with proxy.client() as c:
            c.send(HEAD + b"\r\n")
            while b"abc" not in c.buffer:
                c.more()
            seen.set()
            with pytest.raises(Closed):
                c.response()


@pytest.mark.parametrize("name", SHORT_BODIES)
def test_short_body(start_proxy, name):
    """Behind the head there is no other honest answer than a connection that breaks."""
    def script(conn, _):
        conn.request()
        conn.send(SHORT_BODIES[name][0])

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            c.send(HEAD + b"\r\n")
            with pytest.raises(Closed):
                c.response()


def test_early_answer(start_proxy):
    """A final answer before the body ends is delivered; the upload is not left hanging."""
    def script(conn, _):
        conn.request_head()
        conn.send(b"HTTP/1.1 413 No\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
        try:
            while True:
                conn.more()
                conn.buffer = b""
        except Closed:
            pass

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            c.send(POST + b"Content-Length: 100000000\r\n\r\n" + b"a" * 1000)
            answer = c.response()
            assert answer.status == 413 and answer.body == b"no"
        wait_for(lambda: origin.connections[0].ended, "the upload to be stopped")


def test_upstream_closes_idle(start_proxy):
    """Connections that the origin closes between requests are never used again."""
    def script(conn, origin):
        origin.requests.append(conn.request())
        conn.reply()
        conn.close()

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            for _ in range(30):
                assert c.request().status == 200
        assert len(origin.connections) == 30


def test_unread_bytes_upstream(start_proxy):
    """Bytes behind an answer belong to nobody: that connection is closed, the next answer is a fresh one."""
    def script(conn, origin):
        while r := conn.request():
            origin.requests.append(r)
            conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
                      b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            for _ in range(5):
                assert c.request().body == b"ok"
        assert len(origin.connections) == 5


@pytest.mark.parametrize("how", ["close", "reset"])
def test_client_abort(start_proxy, how):
    """A client that goes away while it waits: the origin learns of it at once."""
    def script(conn, origin):
        origin.requests.append(conn.request())
        conn.more()

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        c = proxy.client()
        c.send(HEAD + b"\r\n")
        wait_for(lambda: origin.requests, "the request to arrive")
        c.reset() if how == "reset" else c.close()
        wait_for(lambda: origin.connections[0].ended, "the origin to see the end", deadline=2 * SLOW)


def test_client_abort_in_upload(web, origin):
    c = web.client()
    c.send(POST + b"Content-Length: 100000\r\n\r\n" + b"a" * 5000)
    wait_for(lambda: origin.received > 4000, "the upload to begin")
    c.reset()
    wait_for(lambda: origin.connections[0].ended, "the origin to see the end", deadline=2 * SLOW)
    assert not origin.requests


def test_client_abort_in_chunked_upload(web, origin):
    """The origin must not take it for a whole body."""
    c = web.client()
    c.send(CHUNKED + b"3\r\nabc\r\n")
    wait_for(lambda: origin.connections and b"abc" in origin.connections[0].buffer
             or origin.received > 0, "the upload to begin")
    c.close()
    wait_for(lambda: origin.connections[0].ended, "the origin to see the end", deadline=2 * SLOW)
    assert not origin.requests


def test_nobody(start_proxy, origin):
    port = origin.port
    origin.close()
    proxy = start_proxy([service("web", [f"127.0.0.1:{port}"])])
    assert proxy.get().status in (502, 503)
    answer = proxy.get(host="nobody")
    assert answer.status == 404
    assert proxy.get().status in (502, 503)
