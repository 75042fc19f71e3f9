# SPDX-License-Identifier: Apache-2.0
"""What RFC 9113 8.2 and 8.3 call malformed, and what could be read two ways behind an HTTP/1 hop: the stream
is reset, nothing of it reaches the origin, the connection serves on. One counter and one log line each."""
import pytest

from exchange import Recording, connect, serve
from harness import Closed, Proxy, SLOW, wait_for
from http2 import (COMPRESSION_ERROR, CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PROTOCOL_ERROR,
                   STREAM_CLOSED, H2Client, block, frame, head_frames, needs_http2, request_fields)

pytestmark = needs_http2
RESET, ANSWER_400 = "reset", "400"
GOOD = [(":method", "GET"), (":scheme", "http"), (":authority", "web"), (":path", "/bad")]


def plus(*fields):
    return GOOD + list(fields)


def with_pseudo(name, value):
    return [(k, value if k == name else v) for k, v in GOOD]


def without(name):
    return [f for f in GOOD if f[0] != name]


# name: (fields, answer)
MALFORMED = {
    "cr in a value": (plus(("x", b"a\rb")), RESET),
    "lf in a value": (plus(("x", b"a\nb")), RESET),
    "crlf and a field in a value": (plus(("x", b"a\r\ntransfer-encoding: chunked")), RESET),
    "crlf crlf and a request in a value": (plus(("x", b"a\r\n\r\nGET /smuggled HTTP/1.1\r\nhost: web\r\n\r\n")), RESET),
    "nul in a value": (plus(("x", b"a\0b")), RESET),
    "control in a value": (plus(("x", b"a\x01b")), RESET),
    "del in a value": (plus(("x", b"a\x7fb")), RESET),
    "leading space": (plus(("x", " a")), RESET),
    "trailing space": (plus(("x", "a ")), RESET),
    "leading tab": (plus(("x", "\ta")), RESET),
    "trailing tab": (plus(("x", "a\t")), RESET),
    "empty name": (plus(("", "a")), RESET),
    "space in a name": (plus(("x y", "a")), RESET),
    "colon in a name": (plus(("x:y", "a")), RESET),
    "trailing colon in a name": (plus(("x:", "a")), RESET),
    "crlf in a name": (plus((b"x: y\r\nz", "a")), RESET),
    "nul in a name": (plus((b"x\0", "a")), RESET),
    "control in a name": (plus((b"x\x1f", "a")), RESET),
    "parenthesis in a name": (plus(("x(", "a")), RESET),
    "octet above 127 in a name": (plus((b"x\xe9", "a")), RESET),
    "upper case name": (plus(("X-Upper", "a")), RESET),
    "upper case content-length": (plus(("Content-Length", "0")), RESET),
    "upper case in transfer-encoding": (plus(("Transfer-Encoding", "chunked")), RESET),
    "connection": (plus(("connection", "close")), RESET),
    "connection, keep-alive": (plus(("connection", "keep-alive")), RESET),
    "keep-alive": (plus(("keep-alive", "timeout=5")), RESET),
    "proxy-connection": (plus(("proxy-connection", "keep-alive")), RESET),
    "transfer-encoding": (plus(("transfer-encoding", "chunked")), RESET),
    "transfer-encoding, identity": (plus(("transfer-encoding", "identity")), RESET),
    "upgrade": (plus(("upgrade", "websocket")), RESET),
    "te other than trailers": (plus(("te", "gzip")), RESET),
    "te with more than trailers": (plus(("te", "trailers, deflate")), RESET),
    "no :method": (without(":method"), RESET),
    "no :scheme": (without(":scheme"), RESET),
    "no :path": (without(":path"), RESET),
    "no pseudo-headers": ([("host", "web")], RESET),
    "two :method": ([(":method", "GET"), *GOOD], RESET),
    "two :path": (GOOD + [(":path", "/other")], RESET),
    "two :scheme": ([(":scheme", "https"), *GOOD], RESET),
    "two :authority": (GOOD + [(":authority", "other")], RESET),
    "unknown pseudo-header": (GOOD + [(":what", "x")], RESET),
    "response's pseudo-header": (GOOD + [(":status", "200")], RESET),
    "pseudo-header behind a field": (without(":path") + [("x", "y"), (":path", "/bad")], RESET),
    ":protocol without CONNECT": (GOOD + [(":protocol", "websocket")], RESET),
    "empty :path": (with_pseudo(":path", ""), RESET),
    ":path without a slash": (with_pseudo(":path", "bad"), RESET),
    ":path with a scheme": (with_pseudo(":path", "http://web/bad"), RESET),
    ":path * without OPTIONS": (with_pseudo(":path", "*"), RESET),
    ":path with a space": (with_pseudo(":path", "/ HTTP/1.1"), RESET),
    ":path with crlf": (with_pseudo(":path", b"/ HTTP/1.1\r\nx: y"), RESET),
    ":path with lf": (with_pseudo(":path", b"/\nx"), RESET),
    ":path with nul": (with_pseudo(":path", b"/\0"), RESET),
    ":path with del": (with_pseudo(":path", b"/\x7f"), RESET),
    ":path with a fragment": (with_pseudo(":path", "/bad#x"), RESET),
    "empty :method": (with_pseudo(":method", ""), RESET),
    ":method with a space": (with_pseudo(":method", "GET /smuggled HTTP/1.1"), RESET),
    ":method with crlf": (with_pseudo(":method", b"GET / HTTP/1.1\r\nhost: web\r\n\r\nGET"), RESET),
    "empty :scheme": (with_pseudo(":scheme", ""), RESET),
    ":scheme with a path": (with_pseudo(":scheme", "http://evil/x?"), RESET),
    ":scheme with crlf": (with_pseudo(":scheme", b"http\r\nx: y"), RESET),
    "empty :authority": (with_pseudo(":authority", ""), RESET),
    ":authority with a path": (with_pseudo(":authority", "web/x"), RESET),
    ":authority with user information": (with_pseudo(":authority", "user@web"), RESET),
    ":authority with a space": (with_pseudo(":authority", "web evil"), RESET),
    ":authority with crlf": (with_pseudo(":authority", b"web\r\nx: y"), RESET),
    "neither :authority nor host": (without(":authority"), RESET),
    ":authority is not host": (plus(("host", "other")), ANSWER_400),
    "two hosts": (without(":authority") + [("host", "web"), ("host", "web")], RESET),
    "two hosts, one right": (plus(("host", "web"), ("host", "other")), RESET),
    "bad content-length": (plus(("content-length", "x")), RESET),
    "signed content-length": (plus(("content-length", "+0")), RESET),
    "two content-lengths": (plus(("content-length", "0"), ("content-length", "0")), RESET),
    "different content-lengths": (plus(("content-length", "0"), ("content-length", "5")), RESET),
    "content-length list": (plus(("content-length", "0, 0")), RESET),
    "content-length 2^63": (plus(("content-length", "9223372036854775808")), RESET),
    "content-length without a body": (plus(("content-length", "5")), RESET),
}


class Shared:
    def __init__(self, proxy, origin):
        self.proxy, self.origin = proxy, origin
        self.conn = None

    def client(self):
        """One connection for all cases, to see that it lives."""
        if self.conn is None or self.conn.ended:
            self.conn = H2Client(self.proxy.port)
        return self.conn


@pytest.fixture(scope="module", params=["h1", "h2"])
def shared(request, tmp_path_factory):
    with Recording(request.param) as origin:
        proxy = Proxy(tmp_path_factory.mktemp("downgrade"), [origin.service()])
        s = Shared(proxy, origin)
        yield s
        if s.conn:
            s.conn.close()
        assert proxy.stop() == 0, proxy.log()


def serves_on(shared, c, seen):
    """The next stream of the same connection is served, and is all that the origin saw."""
    after = c.get("/after")
    assert after.status == 200 and bytes(after.body) == b"ok\n", after
    assert [x.target for x in shared.origin.exchanges[seen:]] == ["/after"]
    assert c.goaway is None


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_request(shared, name):
    fields, answer = MALFORMED[name]
    c, seen, before = shared.client(), len(shared.origin.exchanges), shared.proxy.refused("bad-request")
    log = len(shared.proxy.log())
    s = c.request(fields=fields).wait_over()
    if answer == RESET and s.status == 0:
        assert s.reset == PROTOCOL_ERROR, s
    else:
        assert answer == ANSWER_400 and s.status == 400 and s.field("sennit-error") == "bad-request", s
    serves_on(shared, c, seen)
    assert shared.proxy.refused("bad-request") == before + 1
    assert shared.proxy.log()[log:].count("refused bad-request") == 1


ACCEPTED = {
    "host instead of :authority": without(":authority") + [("host", "web")],
    "host that is :authority": plus(("host", "web")),
    "host that is :authority in another case": plus(("host", "WEB")),
    "te: trailers": plus(("te", "trailers")),
    "content-length 0": plus(("content-length", "0")),
    "space inside a value": plus(("x", "a b")),
    "empty value": plus(("x", "")),
    "octets above 127 in a value": plus(("x", b"\xc3\xa9")),
    "every token character in a name": plus(("!#$%&'*+-.^_`|~09az", "1")),
    "percent-encoded path": with_pseudo(":path", "/a%0d%0ab%2f..%2f?x=%00"),
    "priority field": plus(("priority", "u=1, i")),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_well_formed_request(shared, name):
    """The other side of the line; the path that is routed is the path that arrives."""
    c, seen = shared.client(), len(shared.origin.exchanges)
    s = c.request(fields=ACCEPTED[name]).wait_over()
    assert s.status == 200 and s.ended, s
    got, = shared.origin.exchanges[seen:]
    assert got.target == dict(ACCEPTED[name])[":path"] and got.authority.lower() == "web"
    for key, value in ACCEPTED[name]:
        if key == "x":
            assert got.all("x") == [value.decode("latin-1") if isinstance(value, bytes) else value]


LENGTHS = {
    "less than content-length": ([("content-length", "5")], [b"abc"]),
    "more than content-length": ([("content-length", "5")], [b"abcdefgh"]),
    "more, in two frames": ([("content-length", "5")], [b"abc", b"def"]),
}


@pytest.mark.parametrize("name", LENGTHS)
def test_content_length_is_not_the_sum_of_data(shared, name):
    """The stream is reset and the upstream request aborted, never completed; what follows is a fresh one."""
    more, parts = LENGTHS[name]
    c, seen, before = shared.client(), len(shared.origin.exchanges), shared.proxy.refused("bad-request")
    s = c.stream()
    s.head(request_fields("POST", "/bad", headers=more))
    for i, part in enumerate(parts):
        c.send(frame(DATA, END_STREAM if i == len(parts) - 1 else 0, s.id, part))
    s.wait_over()
    assert s.reset == PROTOCOL_ERROR and s.status == 0, s
    after = c.get("/after")
    assert after.status == 200
    for x in shared.origin.exchanges[seen:]:
        assert x.target in ("/bad", "/after")
        if x.target == "/bad":
            assert x.aborted() and not hasattr(x, "body"), "the request was completed upstream"
    assert shared.proxy.refused("bad-request") == before + 1


@pytest.mark.parametrize("length,parts", [(5, [b"abcde", b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n"]),
                                          (0, [b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n"])])
def test_octets_behind_a_complete_body(shared, length, parts):
    """What was declared had come, and may be a whole message upstream: no octet behind it ever gets there."""
    c, seen, before = shared.client(), len(shared.origin.exchanges), shared.proxy.refused("bad-request")
    s = c.stream()
    s.head(request_fields("POST", "/bad", headers=[("content-length", str(length))]))
    for i, part in enumerate(parts):
        c.send(frame(DATA, END_STREAM if i == len(parts) - 1 else 0, s.id, part))
    s.wait_over()
    c.wait(lambda: s.reset is not None, "a reset")
    answered = s.status == 200  # the origin was faster than the surplus
    assert answered or s.reset == PROTOCOL_ERROR, s
    assert c.get("/after").status == 200
    for x in shared.origin.exchanges[seen:]:
        assert x.target in ("/bad", "/after")
        if x.target == "/bad":
            assert getattr(x, "body", parts[0][:length]) == parts[0][:length]
            assert answered or x.aborted()
    assert answered or shared.proxy.refused("bad-request") == before + 1


@pytest.mark.parametrize("trailers", [
    [(":path", "/x")], [(":status", "200")], [("X-Upper", "a")], [("x", b"a\r\nb: c")], [("x", " a")],
    [("transfer-encoding", "chunked")], [("connection", "close")], [("x y", "1")]], ids=lambda t: repr(t[0]))
def test_malformed_trailers(shared, trailers):
    c, seen = shared.client(), len(shared.origin.exchanges)
    s = c.stream()
    s.head(request_fields("POST", "/bad"))
    s.send(b"abc")
    c.send(head_frames(s.id, block(trailers), end=True))
    s.wait_over()
    assert s.reset == PROTOCOL_ERROR, s
    assert c.get("/after").status == 200
    for x in shared.origin.exchanges[seen:]:
        if x.target == "/bad":
            assert x.aborted() and not hasattr(x, "body")


def test_trailers_that_do_not_end_the_stream(shared):
    c = shared.client()
    s = c.stream()
    s.head(request_fields("POST", "/bad"))
    s.send(b"abc")
    c.send(head_frames(s.id, block([("x", "1")]), end=False))
    s.wait_over()
    assert s.reset == PROTOCOL_ERROR
    assert c.get("/after").status == 200


def test_data_behind_the_end(shared):
    """STREAM_CLOSED, for the stream or the connection; nothing of it is a request."""
    seen = len(shared.origin.exchanges)
    with H2Client(shared.proxy.port) as c:
        s = c.request("POST", "/whole", body=b"abc")
        c.send(frame(DATA, 0, s.id, b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n"))
        try:
            c.wait(lambda: c.goaway or s.over, "an end")
        except Closed:
            pass
        assert c.goaway is None or c.goaway[1] == STREAM_CLOSED
        assert s.reset in (None, STREAM_CLOSED)
    assert shared.client().get("/after").status == 200
    # an aborted one of the tests before may come late
    assert {x.target for x in shared.origin.exchanges[seen:]} <= {"/whole", "/after", "/bad"}


def test_broken_hpack_ends_the_connection(shared):
    """Nothing can be decoded after it: GOAWAY(COMPRESSION_ERROR); others are unharmed."""
    seen = len(shared.origin.exchanges)
    with H2Client(shared.proxy.port) as c:
        c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\xff\xff\xff\xff\xff\xff\xff\xff"))
        assert c.closed() and c.goaway and c.goaway[1] == COMPRESSION_ERROR
    assert shared.client().get("/after").status == 200
    assert [x.target for x in shared.origin.exchanges[seen:]] == ["/after"]


BROKEN = dict([
    ("data on stream 0", frame(DATA, 0, 0, b"x")),
    ("continuation without headers", frame(CONTINUATION, END_HEADERS, 1, b"")),
    ("headers on an even stream", head_frames(2, block(GOOD), end=True)),
    ("headers on stream 0", head_frames(0, block(GOOD), end=True)),
    ("push promise", frame(5, END_HEADERS, 1, b"\0\0\0\2" + block(GOOD))),
    ("headers cut by another frame", frame(HEADERS, END_STREAM, 1, block(GOOD)) + frame(6, 0, 0, b"12345678"))])


@pytest.mark.parametrize("name", BROKEN)
def test_broken_framing_ends_the_connection(shared, name):
    data = BROKEN[name]
    seen, before = len(shared.origin.exchanges), shared.proxy.refused()
    with H2Client(shared.proxy.port) as c:
        c.send(data)
        assert c.closed() and c.goaway and c.goaway[1] == PROTOCOL_ERROR, c
    assert len(shared.origin.exchanges) == seen
    wait_for(lambda: shared.proxy.refused() == before + 1, "the refusal to be counted", deadline=2 * SLOW)


# --- the way back

BAD_ANSWERS = {
    "upper case name": [(":status", "200"), ("X-Upper", "a")],
    "crlf in a value": [(":status", "200"), ("x", b"a\r\nset-cookie: b")],
    "nul in a value": [(":status", "200"), ("x", b"a\0")],
    "surrounding space": [(":status", "200"), ("x", " a")],
    "connection": [(":status", "200"), ("connection", "close")],
    "transfer-encoding": [(":status", "200"), ("transfer-encoding", "chunked")],
    "no :status": [("x", "y")],
    "two :status": [(":status", "200"), (":status", "404")],
    "bad :status": [(":status", "2000")],
    "letters in :status": [(":status", "abc")],
    "request's pseudo-header": [(":status", "200"), (":path", "/")],
    "101": [(":status", "101")],
    "two content-lengths": [(":status", "200"), ("content-length", "1"), ("content-length", "2")],
}


@pytest.mark.parametrize("client", ["h1", "h2"])
def test_malformed_answers(start_proxy, client):
    """502 with the reason; the client never sees a field of it."""
    def script(ex):
        ex.rest()
        name = list(BAD_ANSWERS)[int(ex.target[1:])]
        ex.stream.head(BAD_ANSWERS[name], end=True)

    with Recording("h2", script) as origin:
        proxy = start_proxy([origin.service()])
        with connect(client, proxy.port) as c:
            for i, name in enumerate(BAD_ANSWERS):
                ex = c.open("POST", f"/{i}", length=0)
                ex.finish()
                answer = ex.head()
                assert answer.status == 502 and answer.get("sennit-error") == "upstream", (name, answer)
                assert not answer.all("x") and not answer.all("x-upper") and not answer.all("set-cookie")
                ex.rest()
                assert proxy.refused("upstream") == i + 1, name


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("body", [b"abc", b"abcdefgh"], ids=["short", "long"])
def test_answer_whose_length_is_wrong(start_proxy, client, body):
    """content-length is not the sum of DATA: cut, never a clean end."""
    def script(ex):
        ex.rest()
        ex.stream.head([(":status", "200"), ("content-length", "5")])
        ex.stream.send(body, end=True)

    with Recording("h2", script) as origin:
        proxy = start_proxy([origin.service()])
        with connect(client, proxy.port) as c:
            ex = c.open("POST", length=0)
            ex.finish()
            try:
                answer = ex.head()
                whole = ex.rest()
            except Closed:
                whole = None
            assert whole is None or answer.status == 502
        wait_for(lambda: proxy.refused("upstream") == 1, "the refusal to be counted")


# --- smuggling


def test_body_is_never_a_request(shared):
    """A body that looks like a request stays a body, however it is framed and cut."""
    smuggled = b"GET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n"
    seen = len(shared.origin.exchanges)
    c = shared.client()
    for headers in ([], [("content-length", str(len(smuggled)))]):
        for method in ("POST", "GET", "HEAD", "DELETE", "OPTIONS"):
            s = c.request(method, "/outer", headers=headers, body=smuggled).wait_over()
            assert s.status == 200, s
    assert c.get("/after").status == 200
    got = shared.origin.exchanges[seen:]
    assert [x.target for x in got] == ["/outer"] * 10 + ["/after"]
    assert all(x.body == smuggled for x in got[:-1])


def test_chunk_syntax_in_data_is_payload(shared):
    for body in (b"0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: web\r\n\r\n", b"5\r\nabcde\r\n0\r\n\r\n", b"\r\n"):
        seen = len(shared.origin.exchanges)
        assert shared.client().request("POST", "/outer", body=body).wait_over().status == 200
        got, = shared.origin.exchanges[seen:]
        assert got.body == body


def test_mesh_headers_are_not_believed(shared):
    """Identity comes from the verified peer only, in no spelling from a client."""
    seen = len(shared.origin.exchanges)
    fields = [(n, "spiffe://x") for n in ("sennit-client-id", "sennit_client_id", "sennit-anything", "sennit_")]
    assert shared.client().request(headers=fields).wait_over().status == 200
    got, = shared.origin.exchanges[seen:]
    assert not [k for k, _ in got.headers if k.startswith("sennit")]


def test_leaves_nothing_behind(shared):
    if shared.conn:
        shared.conn.close()
    shared.proxy.at_rest(fds=32)


def test_http1_origin_never_sees_half_a_request(start_proxy):
    """A reset in the middle of a body without a length: the chunked body upstream is cut, not ended."""
    whole = []

    def script(ex):
        whole.append(ex.rest())
        serve(ex)

    with Recording("h1", script) as origin:
        proxy = start_proxy([origin.service()])
        with H2Client(proxy.port) as c:
            s = c.stream()
            s.head(request_fields("POST", "/half"))
            s.send(b"abc")
            wait_for(lambda: origin.exchanges, "the request to arrive")
            s.rst()
            wait_for(lambda: origin.connections[0].ended, "the upstream request to be aborted")
            c.ping()
        assert not whole
