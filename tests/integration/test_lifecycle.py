# SPDX-License-Identifier: Apache-2.0
"""The process: workers, listeners, limits and timeouts, the admin port, drain and the end."""
import pathlib
import signal
import socket
import subprocess
import threading
import time

import pytest

from harness import BIN, SLOW, Client, Closed, Origin, free_port, service, wait_for
from http2 import NO_ERROR, H2Client, needs_http2


def tell(proxy, what):
    return subprocess.run([str(BIN / "sennit-proxy"), what, "--admin", f"127.0.0.1:{proxy.admin_port}"],
                          capture_output=True, text=True, timeout=30, check=False)


def listening(port):
    try:
        socket.create_connection(("127.0.0.1", port), 5).close()
        return True
    except ConnectionRefusedError:
        return False


def held(release):
    """An origin's script: answers each request when @release is set."""
    def script(conn, origin):
        while r := conn.request():
            origin.requests.append(r)
            release.wait(30)
            conn.reply()
    return script


# --- workers, listeners, limits
@pytest.mark.parametrize("how", ["argument", "document"])
def test_workers(start_proxy, origin, how):
    more = {"args": ["--workers", "3"]} if how == "argument" else {"workers": 3}
    proxy = start_proxy([service("web", [origin.address])], **more)
    # the control thread and the workers (a sanitizer may have one of its own)
    assert len(list(pathlib.Path(f"/proc/{proxy.pid}/task").iterdir())) >= 4
    clients = [proxy.client() for _ in range(40)]
    for c in clients:
        assert c.request().status == 200
    assert len(origin.connections) >= 2  # each worker has a pool of its own
    assert proxy.metric("request_total") == 40 and proxy.metric("tcp_open_connections") == 40
    doc = dict(proxy.doc, services=[service("new", [origin.address])])
    proxy.write(doc)
    for c in clients:  # every worker has the new routes
        wait_for(lambda c=c: c.request(host="new").status == 200, "the new document")
    for c in clients:
        c.close()


def test_a_listener_of_both_families(start_proxy, origin):
    def both(doc):
        port = doc["listeners"][0]["address"].rsplit(":", 1)[1]
        doc["listeners"][0]["address"] = [f"127.0.0.1:{port}", f"[::1]:{port}"]

    proxy = start_proxy([service("web", [origin.address])], edit=both)
    assert proxy.get().status == 200
    with Client.__new__(Client) as c:
        super(Client, c).__init__(socket.create_connection(("::1", proxy.port), 10))
        assert c.request().status == 200


def test_connections_past_the_limit_are_closed_counted_and_logged(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])], limits={"connections": 3})
    clients = [proxy.client() for _ in range(3)]
    for c in clients:
        assert c.request().status == 200
    with proxy.client() as c:
        assert c.closed() in ("end", "reset")
    assert clients[0].request().status == 200
    assert proxy.metric("sennit_refused_total", reason="connections") == 1
    assert "refused connections: listener outbound, client 127.0.0.1:" in proxy.log()
    clients[0].close()
    wait_for(lambda: proxy.metric("tcp_open_connections") == 2, "the connection to be gone")
    assert proxy.get().status == 200
    for c in clients:
        c.close()


# --- connections to a cluster address
def test_connections_to_a_cluster_address_retire_after_1000_requests(start_proxy, origin):
    proxy = start_proxy([{"name": "web", "hosts": ["web"], "addresses": ["127.0.0.1"],
                          "ports": [{"port": origin.port, "protocol": "http"}]}])
    with proxy.client() as c:
        for _ in range(25):
            c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n" * 100)
            for _ in range(100):
                assert c.response().status == 200
    assert len(origin.requests) == 2500
    # 1,000 each; on a slow machine their 8 to 12 s may end them earlier
    assert len(origin.connections) >= 3 and (SLOW > 1 or len(origin.connections) == 3)


# --- timeouts
def test_the_request_timeout_covers_the_whole_response(start_proxy):
    ended = threading.Event()

    def drip(conn, origin):
        conn.request_head()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        try:
            while not ended.wait(0.02):
                conn.send(b"x")
        finally:
            ended.set()

    with Origin(drip) as origin:
        proxy = start_proxy([service("web", [origin.address], routes=[{"name": "r", "rules": [
            {"backendRefs": [{"name": "web"}], "timeouts": {"request": "300ms"}}]}])])
        with proxy.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            assert c.response_head().status == 200
            began = time.monotonic()
            assert c.closed() == "reset"  # never a clean end
            assert time.monotonic() - began < 3 * SLOW
        assert ended.wait(5 * SLOW), "the upstream request goes on"
        assert proxy.metric("sennit_refused_total", reason="timeout") == 1


def test_the_request_timeout_covers_waiting_for_a_connection(start_proxy):
    """A connection that never comes about: the backlog of the listener is full."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    port = full.getsockname()[1]
    fill = []
    for _ in range(3):
        s = socket.socket()
        s.setblocking(False)
        s.connect_ex(("127.0.0.1", port))
        fill.append(s)
    proxy = start_proxy([service("web", [f"127.0.0.1:{port}"], routes=[{"name": "r", "rules": [
        {"backendRefs": [{"name": "web"}], "timeouts": {"request": "300ms"}}]}])], timeouts={"connect": "20s"})
    began = time.monotonic()
    r = proxy.get()
    assert (r.status, r.get("sennit-error")) == (504, "timeout")
    assert time.monotonic() - began < 5 * SLOW
    for s in [*fill, full]:
        s.close()


def test_an_idle_client_is_closed(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])], timeouts={"idle": "300ms"})
    with proxy.client() as c:
        assert c.request().status == 200
        assert c.closed() == "end"


# --- admin
def test_admin_methods(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])])
    for path in ("/live", "/ready", "/metrics", "/config"):
        assert proxy.admin(path)[0] == 200, path
        assert proxy.admin(path + "?x=1")[0] == 200, path
        assert proxy.admin(path, "HEAD") == (200, ""), path
        for method in ("POST", "PUT", "DELETE", "PATCH"):
            assert proxy.admin(path, method)[0] == 405, (path, method)
    for path in ("/drain", "/shutdown"):
        for method in ("GET", "HEAD", "PUT", "DELETE", "OPTIONS"):
            assert proxy.admin(path, method)[0] == 405, (path, method)
    for path in ("/", "/nothing", "/live/", "/../config"):
        assert proxy.admin(path)[0] == 404, path
    assert proxy.ready() and proxy.alive()


def test_admin_takes_bad_input(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])])
    for raw, status in ((b"\0\0\0\r\n\r\n", b"400"), (b"GET / HTTP/1.1\r\n\r\n", b"400"),
                        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", b"4"),
                        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 100 + b"\r\n", b"431")):
        with Client(proxy.admin_port) as c:
            c.send(raw)
            c.closed()
            assert c.buffer.startswith(b"HTTP/1.1 " + status), (raw[:40], c.buffer[:100])
    # slow ones do not lock anybody out
    slow = [Client(proxy.admin_port) for _ in range(100)]
    for c in slow:
        c.send(b"GET / HT")
    assert proxy.admin("/live")[0] == 200
    for c in slow:
        c.close()


# --- drain
def test_drain_ends_inbound_and_keeps_outbound(start_proxy, origin):
    inbound, broken = free_port(), free_port()
    proxy = start_proxy([service("web", [origin.address]), service("dead", ["127.0.0.1:1"])],
                        edit=lambda doc: doc["listeners"].extend(
        {"name": name, "address": f"127.0.0.1:{port}", "direction": "inbound", "protocol": "http", "service": to}
        for name, port, to in (("inbound", inbound, "web"), ("broken", broken, "dead"))))
    with proxy.client() as outside, Client(inbound) as inside:
        assert outside.request().status == inside.request().status == 200
        assert tell(proxy, "--drain").returncode == 0
        assert proxy.admin("/ready") == (503, "draining\n") and proxy.admin("/live")[0] == 200
        r = inside.request()
        assert r.status == 200 and r.get("connection") == "close" and inside.closed() == "end"
        for _ in range(3):
            assert outside.request().get("connection") is None
    with Client(inbound) as c:  # not closed to new ones: endpoints go from kube-proxy's tables later
        assert c.request().get("connection") == "close"
    with Client(broken) as c:  # and so do answers of our own
        r = c.request()
        assert (r.status, r.get("connection")) == (502, "close") and c.closed() == "end"
    assert tell(proxy, "--drain").returncode == 0  # twice is nothing new
    assert proxy.alive() and proxy.get().status == 200
    assert tell(proxy, "--shutdown").returncode == 0
    assert proxy.wait(5 * SLOW) == 0


def test_sigterm_with_nothing_in_flight_ends_at_once(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])])
    with proxy.client() as used, proxy.client() as silent, proxy.client() as second:
        assert used.request().status == second.request().status == 200
        wait_for(lambda: proxy.metric("tcp_open_connections") == 3, "the connections")
        began = time.monotonic()
        proxy.popen.send_signal(signal.SIGTERM)
        assert proxy.wait(5 * SLOW) == 0
        assert time.monotonic() - began < 1 * SLOW
        assert used.closed() == silent.closed() == "end"


def test_sigterm_accepts_while_it_propagates(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address])], drain={"propagation": "1s"})
    with proxy.client() as c:
        assert c.request().status == 200
        began = time.monotonic()
        proxy.popen.send_signal(signal.SIGTERM)
        wait_for(lambda: proxy.admin("/ready")[0] == 503, "readiness to go off")
        proxy.popen.send_signal(signal.SIGTERM)  # again is nothing new
        assert proxy.get().status == 200 and c.request().status == 200
        assert proxy.wait(5 * SLOW) == 0
        assert 0.9 < time.monotonic() - began < 2.5 * SLOW


def test_sigterm_finishes_requests_but_not_for_ever(start_proxy):
    release = threading.Event()
    with Origin(held(release)) as origin:
        proxy = start_proxy([service("web", [origin.address])], timeouts={"drain": "700ms"})
        with proxy.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            wait_for(lambda: origin.requests, "the request")
            began = time.monotonic()
            proxy.popen.send_signal(signal.SIGTERM)
            wait_for(lambda: not listening(proxy.port), "the listener to be closed")
            assert proxy.wait(5 * SLOW) == 0
            assert 0.6 < time.monotonic() - began < 3 * SLOW
            with pytest.raises(Closed):
                c.response()
        assert "ending with requests in flight" in proxy.log()
        release.set()


def test_the_drain_times_are_those_of_the_document_in_use(start_proxy):
    release = threading.Event()
    with Origin(held(release)) as origin:
        proxy = start_proxy([service("web", [origin.address])], timeouts={"drain": "1h"})
        proxy.write(dict(proxy.doc, timeouts={"drain": "300ms"}))
        wait_for(lambda: proxy.metric("sennit_config_reload_total", result="applied") == 1, "the new document")
        with proxy.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            wait_for(lambda: origin.requests, "the request")
            proxy.popen.send_signal(signal.SIGTERM)
            assert proxy.wait(5 * SLOW) == 0
        release.set()


def test_a_request_under_way_is_answered_and_says_close(start_proxy):
    release = threading.Event()
    with Origin(held(release)) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            wait_for(lambda: origin.requests, "the request")
            proxy.popen.send_signal(signal.SIGTERM)
            wait_for(lambda: not listening(proxy.port), "the listener to be closed")
            release.set()
            r = c.response()
            assert r.status == 200 and r.get("connection") == "close" and c.closed() == "end"
        assert proxy.wait(5 * SLOW) == 0

@pytest.mark.parametrize("when", ["before", "behind"])
def test_sigterm_waits_for_nobody_who_has_its_answer(start_proxy, when):
    """An answer came before the upload's end: what the client still sends is read for 2 s, but not for its sake does a
    process that wants to end stay."""
    def script(conn, origin):
        origin.requests.append(conn.request_head())
        release.wait(30)
        conn.reply()
        conn.closed()

    release = threading.Event()
    with Origin(script) as origin:
        proxy = start_proxy([service("web", [origin.address])])
        with proxy.client() as c:
            c.send(b"POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 100\r\n\r\nsome")
            wait_for(lambda: origin.requests, "the request")
            if when == "behind":
                proxy.popen.send_signal(signal.SIGTERM)
                wait_for(lambda: not listening(proxy.port), "the listener to be closed")
                assert proxy.alive()
            release.set()
            r = c.response()
            assert r.status == 200 and r.get("connection") == "close"
            assert c.closed() == "end"
            began = time.monotonic()
            if when == "before":
                assert proxy.metric("tcp_open_connections") == 1
                proxy.popen.send_signal(signal.SIGTERM)
            assert proxy.wait(5 * SLOW) == 0
            assert time.monotonic() - began < 1 * SLOW


@needs_http2
def test_sigterm_waits_for_no_client_that_keeps_its_http2_connection(start_proxy, origin):
    """Told to go away and with all of its answers, it just does not close."""
    proxy = start_proxy([service("web", [origin.address])])
    with H2Client(proxy.port) as c:
        assert c.get().status == 200
        began = time.monotonic()
        proxy.popen.send_signal(signal.SIGTERM)
        assert proxy.wait(5 * SLOW) == 0
        assert time.monotonic() - began < 1 * SLOW
        assert c.closed() == "end" and c.goaway == (1, NO_ERROR)


def test_an_opaque_relay_counts_as_under_way(start_proxy):
    def echo(conn, origin):
        while True:
            conn.more()
            conn.send(conn.take(len(conn.buffer)))

    with Origin(echo) as origin:
        proxy = start_proxy([service("db", [origin.address])], edit=lambda doc: doc["listeners"].__setitem__(
            0, dict(doc["listeners"][0], protocol="opaque", service="db")))
        with proxy.client() as c:
            c.send(b"one")
            assert c.take(3) == b"one"
            proxy.popen.send_signal(signal.SIGTERM)
            wait_for(lambda: not listening(proxy.port), "the listener to be closed")
            c.send(b"two")
            assert c.take(3) == b"two"
        assert proxy.wait(5 * SLOW) == 0


# --- start
def test_a_port_that_is_taken_is_said(start_proxy, origin):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        proxy = start_proxy([service("web", [origin.address])], wait=False, edit=lambda doc: doc["listeners"][0].update(
            address=f"127.0.0.1:{port}"))
        assert proxy.wait() == 1
        assert f"listener outbound: cannot listen on 127.0.0.1:{port}, another program does" in proxy.log()
        proxy.popen.returncode = 0  # as it should be: the fixture asks for 0
