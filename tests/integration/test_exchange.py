# SPDX-License-Identifier: Apache-2.0
"""Between the two sides of a request: what happens when one of them breaks while the other is in the middle of
something. The proxy is stopped for a moment so that it finds both events at once, in the order they came."""
import contextlib
import os
import signal
import threading

from harness import Closed, Origin, service, wait_for


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
