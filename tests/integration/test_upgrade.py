# SPDX-License-Identifier: Apache-2.0
"""WebSocket and other upgrades: HTTP/1 to HTTP/1, extended CONNECT (RFC 8441) over HTTP/2, and what must not be
taken for an upgrade."""
import base64
import hashlib
import threading

import pytest

from exchange import Recording, serve
from harness import Origin, SLOW, pattern, service, wait_for
from http2 import (CANCEL, PROTOCOL_ERROR, S_CONNECT, S_MAX_STREAMS, H2Client, H2Origin, needs_http2)

pytestmark = needs_http2
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
WEBSOCKET = [("Connection", "Upgrade"), ("Upgrade", "websocket"), ("Sec-WebSocket-Key", KEY),
             ("Sec-WebSocket-Version", "13")]
EXTENDED = [(":method", "CONNECT"), (":protocol", "websocket"), (":scheme", "http"), (":authority", "web"),
            (":path", "/chat?x"), ("sec-websocket-version", "13"), ("origin", "http://web")]


def switching(request=None, early=b""):
    key = request.get("sec-websocket-key", "") if request else KEY
    accept = base64.b64encode(hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "Connection: Upgrade", "Upgrade: websocket",
             f"Sec-WebSocket-Accept: {accept}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + early


def echo_server(conn, origin):
    """101, then everything back; ends as the client does."""
    r = conn.request_head()
    origin.requests.append(r)
    conn.send(switching(r))
    while True:
        if not conn.buffer:
            conn.more()
        conn.send(conn.take(len(conn.buffer)))


def ask(c, headers=(), method="GET", body=b"", upgrade=None):
    lines = [f"{method} /chat?x HTTP/1.1", "Host: web", *(f"{k}: {v}" for k, v in (upgrade or WEBSOCKET)),
             *(f"{k}: {v}" for k, v in headers)]
    c.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


# --- HTTP/1 to HTTP/1


def test_websocket(start_proxy):
    """Head and all bytes behind it pass, both ways at once, as large as they come."""
    with Origin(echo_server) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        fds = proxy.fds()
        with proxy.client() as c:
            ask(c)
            answer = c.response_head()
            assert answer.status == 101 and answer.get("upgrade") == "websocket"
            assert answer.get("sec-websocket-accept") == ACCEPT and "upgrade" in answer.get("connection").lower()
            assert not answer.all("transfer-encoding") and not answer.all("content-length")
            c.send(b"\x81\x05hello")
            assert c.take(7) == b"\x81\x05hello"
            data = pattern(3_000_000)
            sender = threading.Thread(target=c.send, args=(data,), daemon=True)
            sender.start()
            assert c.take(len(data)) == data
            sender.join(10)
        r = origin.requests[0]
        assert r.target == "/chat?x" and r.get("upgrade") == "websocket" and "upgrade" in r.get("connection").lower()
        assert r.get("sec-websocket-key") == KEY
        wait_for(lambda: origin.connections[0].ended, "the origin's connection to end")
        proxy.at_rest(fds + 1)


def test_early_bytes_are_held(start_proxy):
    """What the client sends behind its request before the 101 reaches the origin after it, and what the server sends
    with its 101 reaches the client: no byte is read as HTTP."""
    go = threading.Event()

    def script(conn, _):
        conn.request_head()
        assert conn.buffer == b"", "a byte of the new protocol came before the switch"
        assert go.wait(10)
        assert conn.buffer == b""
        conn.send(switching(early=b"server first"))
        assert conn.take(35) == b"GET /smuggled HTTP/1.1\r\nHost: web\r\n"
        conn.send(b"got it")
        conn.closed()

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            ask(c, body=b"GET /smuggled HTTP/1.1\r\nHost: web\r\n")
            go.set()
            assert c.response_head().status == 101
            assert c.take(18) == b"server firstgot it"


@pytest.mark.parametrize("who", ["client", "server"])
def test_half_close(start_proxy, who):
    """Each FIN passes on while the other direction goes on."""
    def script(conn, origin):
        conn.request_head()
        conn.send(switching())
        if who == "server":
            conn.send(b"last words")
            conn.sock.shutdown(1)
            origin.requests.append(conn.take(5))
        else:
            origin.requests.append(conn.closed())
            conn.send(b"still here")

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            ask(c)
            assert c.response_head().status == 101
            if who == "server":
                assert c.closed() == "end" and c.buffer == b"last words"
                c.send(b"reply")
                wait_for(lambda: origin.requests, "the reply")
                assert origin.requests == [b"reply"]
            else:
                c.sock.shutdown(1)
                assert c.take(10) == b"still here"
                assert origin.requests == ["end"] and c.closed() == "end"


@pytest.mark.parametrize("who", ["client", "server"])
def test_reset_passes(start_proxy, who):
    ended = []

    def script(conn, _):
        conn.request_head()
        conn.send(switching() + b"x")
        if who == "server":
            conn.take(1)
            conn.reset()
        else:
            ended.append(conn.closed())

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            ask(c)
            assert c.response_head().status == 101 and c.take(1) == b"x"
            if who == "server":
                c.send(b"y")
                assert c.closed() == "reset"
            else:
                c.reset()
                wait_for(lambda: ended, "the origin's connection to end")
                assert ended == ["reset"]


def test_refused_upgrade_is_an_ordinary_answer(start_proxy):
    """The origin says something else than 101: a response, and keep-alive goes on."""
    with Recording("h1", lambda ex: serve(ex, 426 if ex.get("upgrade") else 200)) as origin:
        proxy = start_proxy([origin.service()])
        with proxy.client() as c:
            ask(c)
            answer = c.response()
            assert answer.status == 426 and answer.body == b"ok\n"
            assert c.request().status == 200
        assert len(origin.exchanges) == 2


BAD_101 = {
    "nobody asked": ([], b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"),
    "another protocol": (WEBSOCKET,
                         b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n"),
    "no upgrade field": (WEBSOCKET, b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\r\n"),
}


@pytest.mark.parametrize("name", BAD_101)
def test_101_that_does_not_match(start_proxy, name):
    upgrade, raw = BAD_101[name]

    def script(conn, _):
        conn.request_head()
        conn.send(raw + b"tunnelled")
        conn.closed()

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            ask(c, upgrade=upgrade or [("X", "y")])
            answer = c.response()
            assert answer.status == 502 and answer.get("sennit-error") == "upstream"
            assert b"tunnelled" not in c.buffer
        wait_for(lambda: origin.connections[0].ended, "the upstream connection to be given up")
        assert proxy.refused("upstream") == 1


NOT_UPGRADES = {
    "post": dict(method="POST", headers=[("Content-Length", "3")], body=b"abc"),
    "get with a body": dict(headers=[("Content-Length", "3")], body=b"abc"),
    "get with chunks": dict(headers=[("Transfer-Encoding", "chunked")], body=b"3\r\nabc\r\n0\r\n\r\n"),
    "head": dict(method="HEAD"),
    "h2c": dict(upgrade=[("Connection", "Upgrade, HTTP2-Settings"), ("Upgrade", "h2c"), ("HTTP2-Settings", "AAMAAABk")]),
    "tls": dict(upgrade=[("Connection", "Upgrade"), ("Upgrade", "TLS/1.2")]),
    "h2c in a list": dict(upgrade=[("Connection", "Upgrade"), ("Upgrade", "h2c, foo")]),
    "not named in connection": dict(upgrade=[("Upgrade", "websocket")]),
}


@pytest.mark.parametrize("name", NOT_UPGRADES)
def test_what_is_no_upgrade(start_proxy, name):
    """The field is stripped, the request is served as any other, the connection stays HTTP."""
    with Recording("h1") as origin:
        proxy = start_proxy([origin.service()])
        with proxy.client() as c:
            ask(c, **NOT_UPGRADES[name])
            assert c.response(NOT_UPGRADES[name].get("method", "GET")).status == 200
            assert c.request(path="/next").status == 200
    got = origin.exchanges[0]
    assert not [k for k, v in got.headers if k in ("upgrade", "http2-settings")]
    assert not [v for v in got.all("connection") if "upgrade" in v.lower()]
    assert [x.target for x in origin.exchanges] == ["/chat?x", "/next"]


def test_http10_has_no_upgrade(start_proxy):
    with Recording("h1") as origin:
        proxy = start_proxy([origin.service()])
        with proxy.client() as c:
            c.request(version="1.0", headers=WEBSOCKET)
    assert origin.exchanges[0].get("upgrade") is None


def test_idle_websocket_is_not_a_slow_body(start_proxy):
    """timeouts.body is for bodies; an open upgraded connection may be silent."""
    with Origin(echo_server) as origin:
        proxy = start_proxy([service("web", [origin.address])], timeouts={"body": "200ms", "idle": "200ms"})
        with proxy.client() as c:
            ask(c)
            assert c.response_head().status == 101
            threading.Event().wait(0.8)
            c.send(b"still there")
            assert c.take(11) == b"still there"


# --- HTTP/2


def chat(stream, origin):
    """An RFC 8441 server: 200, then everything back."""
    del origin
    stream.head([(":status", "200"), ("sec-websocket-protocol", "chat")])
    at = 0
    while True:
        stream.conn.wait(lambda: len(stream.body) > at or stream.over, "more")
        data = bytes(stream.body[at:])
        at += len(data)
        if data:
            stream.send(data)
        if stream.ended and at == len(stream.body):
            stream.send(end=True)
            return
        if stream.reset is not None:
            return


def http2_service(address, **more):
    svc = service("web", [address], **more)
    svc["ports"][0]["protocol"] = "http2"
    return svc


def test_extended_connect_is_offered(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])])
    with H2Client(proxy.port) as c:
        assert c.peer.get(S_CONNECT) == 1


def test_http2_to_http2(start_proxy):
    with H2Origin(chat, settings={S_MAX_STREAMS: 100, S_CONNECT: 1}) as origin:
        proxy = start_proxy([http2_service(origin.address)])
        with H2Client(proxy.port) as c:
            s = c.request(fields=EXTENDED, end=False)
            assert s.wait_head()[0] == (":status", "200") and s.field("sec-websocket-protocol") == "chat"
            s.send(b"hello")
            assert s.wait_body(5) == b"hello"
            data = pattern(500_000)
            s.send(data)
            assert s.wait_body(500_005)[5:] == data
            s.send(end=True)  # half-close
            assert s.wait_over().ended
        got = origin.requests[0]
        assert got.field(":method") == "CONNECT" and got.field(":protocol") == "websocket"
        assert got.field(":path") == "/chat?x" and got.field(":authority") == "web" and got.field("upgrade") is None


def test_http2_to_http1(start_proxy):
    """Comes out as a GET with a key of the proxy's making; the 101 goes back as 200."""
    with Origin(echo_server) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with H2Client(proxy.port) as c:
            s = c.request(fields=EXTENDED, end=False)
            s.send(b"early")
            s.wait_head()
            assert s.status == 200 and s.field("upgrade") is None and s.field("connection") is None
            assert s.field("sec-websocket-accept") is None
            assert s.wait_body(5) == b"early"
            s.send(b"more")
            assert s.wait_body(9) == b"earlymore"
            s.send(end=True)
            s.wait_over()
            assert s.ended
        r = origin.requests[0]
        assert (r.method, r.target, r.get("host")) == ("GET", "/chat?x", "web")
        assert r.get("upgrade") == "websocket" and "upgrade" in r.get("connection").lower()
        assert len(r.get("sec-websocket-key", "")) == 24 and r.get("sec-websocket-version") == "13"
        assert not [k for k, _ in r.headers if k.startswith(":")]


def test_http2_to_http1_refused(start_proxy):
    with Recording("h1", lambda ex: serve(ex, 403)) as origin:
        proxy = start_proxy([origin.service()])
        with H2Client(proxy.port) as c:
            s = c.request(fields=EXTENDED, end=False)
            s.wait_head()
            assert s.status == 403
            c.wait(lambda: s.over, "the end")
            assert bytes(s.body) == b"ok\n"
            assert c.get().status == 403


def test_http1_to_http2(start_proxy):
    """An Upgrade request becomes an extended CONNECT where the origin takes it."""
    with H2Origin(chat, settings={S_MAX_STREAMS: 100, S_CONNECT: 1}) as origin:
        proxy = start_proxy([http2_service(origin.address)])
        with proxy.client() as c:
            ask(c)
            answer = c.response_head()
            assert answer.status == 101 and answer.get("upgrade") == "websocket"
            assert answer.get("sec-websocket-accept") == ACCEPT
            c.send(b"hello")
            assert c.take(5) == b"hello"
            c.sock.shutdown(1)
            assert c.closed() == "end"
        got = origin.requests[0]
        assert got.field(":method") == "CONNECT" and got.field(":protocol") == "websocket"
        assert got.field("connection") is None and got.field("upgrade") is None


def test_origin_that_does_not_take_it(start_proxy):
    """No SETTINGS_ENABLE_CONNECT_PROTOCOL: an answer of ours, nothing is sent that the origin cannot know."""
    with H2Origin(chat) as origin:
        proxy = start_proxy([http2_service(origin.address)])
        with H2Client(proxy.port) as c:
            s = c.request(fields=EXTENDED, end=False)
            s.wait_head()
            assert s.status in (501, 502) and s.field("sennit-error")
        assert not [r for r in origin.requests if r.field(":protocol")]


BAD_CONNECT = {
    "no :path": [f for f in EXTENDED if f[0] != ":path"],
    "no :scheme": [f for f in EXTENDED if f[0] != ":scheme"],
    "no :authority": [f for f in EXTENDED if f[0] != ":authority"],
    "two :protocol": EXTENDED[:1] + [(":protocol", "websocket")] + EXTENDED[1:],
    "bad :protocol": [(k, "web socket" if k == ":protocol" else v) for k, v in EXTENDED],
    "crlf in :protocol": [(k, b"a\r\nx: y" if k == ":protocol" else v) for k, v in EXTENDED],
}


@pytest.mark.parametrize("name", BAD_CONNECT)
def test_malformed_extended_connect(start_proxy, name):
    with Origin(echo_server) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with H2Client(proxy.port) as c:
            s = c.request(fields=BAD_CONNECT[name], end=False).wait_over()
            assert s.reset == PROTOCOL_ERROR, s
            c.ping()
        assert not origin.requests and origin.received == 0


@pytest.mark.parametrize("who", ["client", "server"])
@pytest.mark.parametrize("upstream", ["h1", "h2"])
def test_reset_of_an_http2_tunnel(start_proxy, who, upstream):
    """Crosses to the other hop, never as an end in order."""
    go, ended = threading.Event(), []

    def h1(conn, _):
        conn.send(switching(conn.request_head(), b"x"))
        if who == "server":
            assert go.wait(10)
            conn.reset()
        else:
            ended.append(conn.closed())

    def h2(stream, _):
        stream.head([(":status", "200")])
        stream.send(b"x")
        if who == "server":
            assert go.wait(10)
            stream.rst(CANCEL)
        else:
            stream.wait_over()
            ended.append("end" if stream.ended else "reset")

    with (Origin(h1) if upstream == "h1" else H2Origin(h2, settings={S_MAX_STREAMS: 9, S_CONNECT: 1})) as origin:
        svc = service("web", [origin.address]) if upstream == "h1" else http2_service(origin.address)
        proxy = start_proxy([svc])
        with H2Client(proxy.port) as c:
            s = c.request(fields=EXTENDED, end=False)
            assert s.wait_body(1) == b"x"
            go.set()
            if who == "client":
                s.rst()
                wait_for(lambda: ended, "the reset to cross", deadline=2 * SLOW)
                assert ended == ["reset"]
            else:
                s.wait_over()
                assert not s.ended and s.reset is not None
            c.ping()


def test_upgrade_beside_other_streams(start_proxy):
    """A tunnel is one stream among others of the connection."""
    def script(conn, origin):
        while True:
            r = conn.request_head()
            origin.requests.append(r)
            if r.get("upgrade"):
                conn.send(switching(r))
                while True:
                    conn.more()
                    conn.send(conn.take(len(conn.buffer)))
            conn.reply()

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with H2Client(proxy.port) as c:
            tunnels = [c.request(fields=EXTENDED, end=False) for _ in range(5)]
            for s in tunnels:
                assert dict(s.wait_head())[":status"] == "200"
            for i in range(10):
                assert c.get().status == 200
                for s in tunnels:
                    s.send(b"%d" % i)
            for s in tunnels:
                assert s.wait_body(10) == b"0123456789"
                s.rst()


@pytest.mark.parametrize("client", ["h1", "h2"])
def test_all_of_it_arrives_behind_the_other_sides_end(start_proxy, client):
    """The origin ends its direction first and then takes its time: what the client sends until its own end arrives."""
    data, got = pattern(1_500_000), []

    def script(conn, origin):
        r = conn.request_head()
        origin.requests.append(r)
        conn.send(switching(r))
        conn.sock.shutdown(1)
        origin.go.wait(20)
        got.append(conn.closed())
        got.append(conn.buffer)

    with Origin(script) as origin:
        origin.go = threading.Event()
        proxy = start_proxy([service("web", [origin.address])])
        if client == "h1":
            with proxy.client() as c:
                ask(c)
                assert c.response_head().status == 101 and c.closed() == "end"
                threading.Timer(0.1 * SLOW, origin.go.set).start()
                c.send(data)
                c.sock.shutdown(1)
                wait_for(lambda: len(got) == 2, "the tunnel's end")
        else:
            with H2Client(proxy.port) as c:
                s = c.request(fields=EXTENDED, end=False)
                s.wait_over()
                threading.Timer(0.1 * SLOW, origin.go.set).start()
                s.send(data)
                s.send(end=True)
                wait_for(lambda: len(got) == 2, "the tunnel's end")
        assert got[0] == "end" and got[1] == data


def test_a_tunnel_that_breaks_behind_its_end(start_proxy):
    """The origin ends its direction and is gone: the next bytes find that out, and the client is told."""
    def script(conn, origin):
        conn.send(switching(conn.request_head()))

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            ask(c)
            assert c.response_head().status == 101 and c.closed() == "end"

            def sent():
                try:
                    c.send(b"x" * 1000)
                except OSError:
                    return True
                return False

            wait_for(sent, "a reset")
            wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "no connection")
