# SPDX-License-Identifier: Apache-2.0
"""Between the two sides of a request: what happens when one of them breaks while the other is in the middle of
something. The proxy is stopped for a moment so that it finds both events at once, in the order they came."""
import contextlib
import os
import signal
import threading

from exchange import Recording, connect, serve
from harness import Closed, Origin, SLOW, pattern, service, wait_for
from http2 import REFUSED_STREAM, S_WINDOW, H2Client, needs_http2


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
