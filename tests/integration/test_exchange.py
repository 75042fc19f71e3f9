# SPDX-License-Identifier: Apache-2.0
"""Between the two sides of a request: what happens when one of them breaks while the other is in the middle of
something. The proxy is stopped for a moment so that it finds both events at once, in the order they came."""
import contextlib
import os
import signal
import select
import socket
import threading

import pytest

from exchange import Recording, all_pairs, connect, serve
from harness import Closed, Origin, SLOW, pattern, service, wait_for, wait_until_still
from http2 import CANCEL, REFUSED_STREAM, S_WINDOW, H2Client, needs_http2


@contextlib.contextmanager
def stopped(proxy):
    os.kill(proxy.pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(proxy.pid, signal.SIGCONT)


def test_the_rest_of_a_body_is_no_request(start_proxy):
    """The upstream resets while the last of the body comes: the answer is the proxy's, and what the client sent as body
    is not read as its next request."""
    go = threading.Event()

    def script(conn, origin):
        r = conn.request_head()
        origin.requests.append(r)
        if r.method == "POST":
            conn.take(3)
            origin.seen = True
            go.wait(20)
            conn.reset()
            return
        conn.reply(body=r.target.encode())

    hidden = b"GET /hidden HTTP/1.1\r\nHost: web\r\n\r\n"
    with Origin(script) as origin:
        origin.seen = False
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\nabc" % (3 + len(hidden)))
            wait_for(lambda: origin.seen, "the body's beginning")
            with stopped(proxy):
                c.send(hidden)
                go.set()
                wait_for(lambda: origin.connections[0].sock.fileno() < 0, "the origin's reset")
            assert c.response().status == 502
            with contextlib.suppress(Closed, OSError):
                assert c.request(path="/next").body == b"/next"
        assert "/hidden" not in [r.target for r in origin.requests]


def test_a_client_that_leaves_with_the_last_of_a_body(start_proxy):
    """Its end comes together with the body's end: the upstream, which says nothing, is told at once."""
    def script(conn, origin):
        origin.requests.append(conn.request())
        conn.closed()

    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        c = proxy.client()
        c.send(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 6\r\n\r\nabc")
        wait_for(lambda: origin.connections, "the upload to begin")
        wait_for(lambda: origin.received > 3, "the head")
        with stopped(proxy):
            c.send(b"def")
            c.close()
        wait_for(lambda: origin.connections[0].ended, "the origin's connection to end")
        assert origin.requests[0].body == b"abcdef"
        wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "no connection")


@needs_http2
def test_a_client_that_leaves_before_there_is_an_upstream(start_proxy):
    """Its end comes while the request waits for the upstream's SETTINGS: it is seen behind the body."""
    go = threading.Event()

    with Recording("h2", lambda ex: ex.aborted(), on_connection=lambda conn: go.wait(20)) as origin:
        proxy = start_proxy([origin.service()])
        c = proxy.client()
        c.send(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 6\r\n\r\nabc")
        wait_for(lambda: origin.connections, "the upstream's connection")
        c.send(b"def")
        c.close()
        assert proxy.metric("tcp_open_connections") == 1  # behind what the worker had to do by then
        go.set()
        wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "the request to be given up")


def test_a_client_that_leaves_with_its_head(start_proxy):
    """The same for a request without a body, whose end comes along with it."""
    with Origin(lambda conn, origin: (conn.request_head(), conn.closed())) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            with stopped(proxy):
                c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
                c.close()
            wait_for(lambda: proxy.metric("request_total"), "the request")
            wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "no connection")
        wait_for(lambda: all(o.ended for o in origin.connections), "the origin's connection to end")


@needs_http2
def test_a_second_try_over_http1_with_more_of_the_body(start_proxy):
    """A peer proxy refuses a request whose body has begun, and the other endpoint speaks HTTP/1: what was kept of the
    body and what comes meanwhile arrive there as they were, each octet once."""
    def refuse(ex):
        ex.read(len(first))
        begun.set()
        go.wait(20 * SLOW)
        ex.stream.rst(REFUSED_STREAM)
        gone.set()

    first, again = pattern(30000), 0
    rest = [pattern(n) for n in range(1, 40)]
    with Recording("h2", refuse) as peer, Recording("h1", serve) as plain:
        doc = plain.service(policy={"loadBalancing": {"algorithm": "RoundRobin"}})
        doc["endpoints"]["static"].append({"address": peer.address, "mesh": True})
        proxy = start_proxy([doc])
        for _ in range(6):
            begun, go, gone = threading.Event(), threading.Event(), threading.Event()
            before = len(plain.exchanges)
            with connect("h1", proxy.port) as c:
                ex = c.open("POST", "/", length="chunked")
                ex.send(first)
                wait_for(lambda e=begun, n=before: e.is_set() or len(plain.exchanges) > n, "the body's beginning")
                if begun.is_set():
                    again += 1
                    with stopped(proxy):
                        go.set()
                        assert gone.wait(20 * SLOW)
                        c.send(b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in rest))
                        ex.finish()
                else:
                    for part in rest:
                        ex.send(part)
                    ex.finish()
                assert ex.head().status == 200 and ex.rest() == b"ok\n"
                assert plain.exchanges[-1].body == first + b"".join(rest)
        assert again


@needs_http2
def test_a_second_try_behind_a_swap(start_proxy):
    """A request that began before the endpoints changed tries again with the new ones, and brings the old ones back for
    nobody."""
    begun, go = threading.Event(), threading.Event()

    def refuse(ex):
        begun.set()
        go.wait(20 * SLOW)
        ex.stream.rst(REFUSED_STREAM)

    with Recording("h2", refuse) as old, Recording("h2", serve) as new:
        front = {"name": "web", "hosts": ["web"], "routes": [
            {"name": "all", "rules": [{"name": "all", "backendRefs": [{"name": "back", "port": 80}]}]}]}
        proxy = start_proxy([front, old.service("back")])
        with connect("h1", proxy.port) as c, connect("h1", proxy.port) as other:
            ex = c.open()
            assert begun.wait(20 * SLOW)
            before = proxy.metric("sennit_config_reload_total", result="applied")
            proxy.write(dict(proxy.doc, services=[front, new.service("back")]))
            wait_for(lambda: proxy.metric("sennit_config_reload_total", result="applied") > before, "the new document")
            go.set()
            assert ex.head().status == 200 and ex.rest() == b"ok\n"
            assert other.request().status == 200
        assert len(old.exchanges) == 1 and len(new.exchanges) == 2


@needs_http2
def test_answers_that_nobody_takes(start_proxy, origin):
    """Short answers wait for windows that the client never opens: its connection ends as an idle one does."""
    proxy = start_proxy([service("web", [origin.address])], timeouts={"idle": "300ms", "header": "900ms"})
    with H2Client(proxy.port, settings={S_WINDOW: 0}) as c:
        asked = [c.request() for _ in range(20)]
        for s in asked:
            s.wait_head()
        wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "the connection's end")


# --- a client that breaks off while nobody reads from it


class Sleeper:
    """An origin of either kind that takes a request's head and then nothing at all: an HTTP/1 one by not reading, an
    HTTP/2 one with windows of zero. .told() is true once the request was given up there."""

    def __init__(self, kind):
        self.kind, self.go = kind, threading.Event()
        self.recording = Recording(kind, lambda ex: self.go.wait(30 * SLOW), {S_WINDOW: 0} if kind == "h2" else None)
        self.service = self.recording.service

    def told(self):
        ex = self.recording.exchanges[0]
        if self.kind == "h2":
            return ex.stream.reset == CANCEL
        poll = select.poll()
        poll.register(ex.raw.sock, select.POLLRDHUP)
        return bool(poll.poll(0))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.go.set()
        self.recording.close()


def send_until_full(sock):
    """Sends until nobody takes more; returns how much that was."""
    data, sent = bytes(65536), [0]
    sock.setblocking(False)

    def still():
        with contextlib.suppress(BlockingIOError):
            while sent[0] < 1 << 28:
                sent[0] += sock.send(data)
        return sent[0]

    wait_until_still(still)
    return sent[0]


@all_pairs
@pytest.mark.parametrize("how", ["reset", "rst-stream"])
def test_a_reset_while_the_upstream_is_full(start_proxy, client, upstream, how):
    """The upstream takes nothing, so the client's upload is not read: its reset still ends the request at once, there
    too."""
    if how == "rst-stream" and client == "h1":
        pytest.skip("HTTP/1 has no streams")
    with Sleeper(upstream) as origin:
        proxy = start_proxy([origin.service()])
        c = connect(client, proxy.port)
        ex = c.open("POST", "/", length=1 << 30)
        wait_for(lambda: origin.recording.exchanges, "the request")
        if client == "h1":
            send_until_full(c.sock)
        else:
            with contextlib.suppress(AssertionError):
                while True:
                    ex.stream.send(bytes(16384), deadline=0.5 * SLOW)
        assert proxy.metric("tcp_open_connections") == 1 and not origin.told()
        if how == "reset":
            c.reset()
            wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "no connection")
        else:
            ex.abort()
        wait_for(origin.told, "the upstream to be told")
        wait_for(lambda: proxy.metric("response_total", classification="failure") == 1, "the request's end")
        c.close()


@pytest.mark.parametrize("end", ["reset", "fin"])
@pytest.mark.parametrize("where", ["buffered", "unread"])
@pytest.mark.parametrize("upstream", ["h1", pytest.param("h2", marks=needs_http2)])
def test_an_end_behind_pipelined_requests(start_proxy, end, where, upstream):
    """Whoever has gone waits for none of the answers that it asked for in advance, whether the proxy has read those
    requests already or not."""
    second = b"GET /2 HTTP/1.1\r\nHost: web\r\n\r\n"
    with Sleeper(upstream) as origin:
        proxy = start_proxy([origin.service()])
        with proxy.client() as c:
            c.send(b"GET /1 HTTP/1.1\r\nHost: web\r\n\r\n" + (second if where == "buffered" else b""))
            wait_for(lambda: origin.recording.exchanges, "the first request")
            if where == "unread":
                c.send(second * 1000)  # more than a read, less than a window: the FIN has to get through
            if end == "fin":
                c.sock.shutdown(socket.SHUT_WR)
            else:
                c.reset()
            wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "no connection")
        wait_for(origin.told, "the upstream to be told")
        assert [ex.target for ex in origin.recording.exchanges] == ["/1"]


@needs_http2
@pytest.mark.parametrize("end", ["reset", "fin"])
def test_an_end_behind_a_body_that_was_not_read_yet(start_proxy, end):
    """A FIN may follow a whole body: what it means is looked at behind that, when all of the body has been read (what
    of it the upstream has not taken then goes with the request). A reset follows nothing."""
    body, go = pattern(300000), threading.Event()

    def script(ex):
        go.wait(30 * SLOW)
        ex.conn.window_update(ex.stream.id, 1 << 24)
        ex.aborted()

    with Recording("h2", script, {S_WINDOW: 0}) as origin:
        proxy = start_proxy([origin.service()])
        with proxy.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            wait_for(lambda: origin.exchanges, "the request")
            if end == "fin":
                c.sock.shutdown(socket.SHUT_WR)
            else:
                c.reset()
            open_now = 1 if end == "fin" else 0
            wait_for(lambda: proxy.metric("tcp_open_connections") == open_now, "what the end means")
            assert proxy.metric("tcp_open_connections") == open_now  # behind what the worker had to do by then
            go.set()
            wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "no connection")
        stream = origin.exchanges[0].stream
        wait_for(lambda: stream.reset == CANCEL, "the upstream to be told")
        assert not stream.body if end == "reset" else len(stream.body) > 100000
        assert body.startswith(stream.body)
