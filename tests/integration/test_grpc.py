# SPDX-License-Identifier: Apache-2.0
"""gRPC by hand, without its library: the frames are what is promised. What the proxy answers itself is HTTP 200
with trailers only; deadlines, cancellation, metadata and messages cross it as they are."""
import re
import struct
import time

import pytest

from exchange import Recording
from harness import SLOW, free_port, pattern, wait_for
from http2 import CANCEL, DATA, HEADERS, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM, H2Client, needs_http2

pytestmark = needs_http2
OK, DEADLINE_EXCEEDED, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = "0", "4", "12", "13", "14"
CONTENT = ("content-type", "application/grpc")
UNITS = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}


def message(data, compressed=0):
    return struct.pack(">BI", compressed, len(data)) + data


def messages(body):
    """[(compressed flag, payload)]; fails on a remainder."""
    out, at = [], 0
    while at < len(body):
        flag, n = struct.unpack(">BI", body[at:at + 5])
        assert len(body) >= at + 5 + n, "half a message"
        out.append((flag, bytes(body[at + 5:at + 5 + n])))
        at += 5 + n
    return out


def call(client, path="/test.Echo/Unary", body=message(b"hello"), headers=(), end=None, content=CONTENT, authority="web"):
    return client.request("POST", path, authority, [content, ("te", "trailers"), *headers], body=body, end=end)


def seconds(grpc_timeout):
    assert re.fullmatch(r"[0-9]{1,8}[HMSmun]", grpc_timeout), grpc_timeout
    return int(grpc_timeout[:-1]) * UNITS[grpc_timeout[-1]]


def answer(ex, status=OK, body=None, trailers=(), headers=()):
    ex.respond(200, [CONTENT, *headers])
    ex.send(ex.rest() if body is None else body)
    ex.finish([("grpc-status", status), *trailers])


def script(ex):
    """What the path asks for."""
    name = ex.target.rsplit("/", 1)[1]
    if name == "Hang":
        ex.aborted()
    elif name.startswith("Fail"):
        answer(ex, name[4:], b"", [("grpc-message", "as%20asked")])
    elif name == "TrailersOnly":
        ex.rest()
        ex.respond(200, [CONTENT, ("grpc-status", "5"), ("grpc-message", "none")], length=None)
    elif name == "Reset":
        ex.rest()
        ex.stream.rst(INTERNAL_ERROR)
    elif name == "Refuse":
        ex.stream.rst(REFUSED_STREAM)
    elif name == "Bidi":
        ex.respond(200, [CONTENT])
        while True:
            head = ex.read(5) if not ex.stream.ended or ex.at < len(ex.stream.body) else b""
            if not head:
                break
            data = ex.read(struct.unpack(">xI", head)[0])
            ex.send(message(data))
            ex.conn.wait(lambda: ex.stream.over or len(ex.stream.body) > ex.at, "the next message or the end")
        ex.finish([("grpc-status", OK)])
    else:
        answer(ex)


def grpc_service(origin, name="web", **more):
    svc = origin.service(name, **more)
    svc["ports"][0]["protocol"] = "grpc"
    return svc


@pytest.fixture
def grpc(start_proxy):
    """grpc(rule fields) -> (proxy, origin); without, no routes."""
    with Recording("h2", script) as origin:
        def start(rules=None, services=(), **document):
            more = {"routes": [{"name": "r", "rules": rules}]} if rules else {}
            return start_proxy([grpc_service(origin, **more), *services], **document), origin

        yield start


def trailers_only(s, status):
    """A failure that the proxy made."""
    s.wait_over()
    assert s.ended and s.reset in (None, NO_ERROR) and s.status == 200 and s.trailers is None and not s.body, s
    assert s.conn.frames.get(DATA, 0) == 0
    assert s.field("grpc-status") == status and s.field("content-type", "").startswith("application/grpc"), s
    assert s.field("sennit-error") and s.field("grpc-message"), s
    return s.field("sennit-error")


# --- failures of the proxy's own


@pytest.mark.parametrize("content", ["application/grpc", "application/grpc+proto", "application/grpc;charset=utf-8"])
def test_no_service_is_unimplemented(grpc, content):
    proxy, _ = grpc()
    with H2Client(proxy.port) as c:
        s = call(c, authority="nobody", content=("content-type", content))
        assert trailers_only(s, UNIMPLEMENTED) == "no-service"
    assert proxy.refused("no-service") == 1


def test_other_content_gets_the_http_status(grpc):
    proxy, _ = grpc()
    with H2Client(proxy.port) as c:
        for content in ("application/json", "application/grp", "text/application/grpc"):
            s = call(c, authority="nobody", content=("content-type", content)).wait_over()
            assert s.status == 404 and s.field("grpc-status") is None


def test_no_route_is_unimplemented(grpc):
    proxy, origin = grpc([{"name": "only", "matches": [{"path": {"type": "Exact", "value": "/a.B/C"}}],
                           "backendRefs": [{"name": "web"}]}])
    with H2Client(proxy.port) as c:
        assert trailers_only(call(c), UNIMPLEMENTED) == "no-route"
        assert call(c, "/a.B/C").wait_over().trailers == [("grpc-status", OK)]
    assert len(origin.exchanges) == 1


def test_no_endpoint_and_no_connection_are_unavailable(start_proxy):
    dead = {"name": "dead", "hosts": ["dead"], "ports": [{"port": 80, "protocol": "grpc"}],
            "endpoints": {"static": [{"address": f"127.0.0.1:{free_port()}"}]}}
    empty = {"name": "empty", "hosts": ["empty"], "ports": [{"port": 80, "protocol": "grpc"}],
             "endpoints": {"static": []}}
    proxy = start_proxy([dead, empty])
    with H2Client(proxy.port) as c:
        assert trailers_only(call(c, authority="dead"), UNAVAILABLE) == "connect"
        assert trailers_only(call(c, authority="empty"), UNAVAILABLE) == "no-endpoints"


def test_broken_upstream_is_unavailable(grpc):
    proxy, origin = grpc()
    with H2Client(proxy.port) as c:
        assert trailers_only(call(c, "/t/Reset"), UNAVAILABLE) == "upstream"
    assert len(origin.exchanges) == 1 and proxy.refused("upstream") == 1


def test_rule_timeout_is_deadline_exceeded(grpc):
    proxy, origin = grpc([{"name": "all", "backendRefs": [{"name": "web"}], "timeouts": {"request": "200ms"}}])
    with H2Client(proxy.port) as c:
        began = time.monotonic()
        assert trailers_only(call(c, "/t/Hang"), DEADLINE_EXCEEDED) == "timeout"
        assert 0.15 < time.monotonic() - began < 2 * SLOW
    origin.exchanges[0].aborted()
    assert origin.exchanges[0].stream.reset == CANCEL


def test_authority_and_host_that_differ_are_internal(grpc):
    proxy, origin = grpc()
    with H2Client(proxy.port) as c:
        s = call(c, headers=[("host", "other")])
        assert trailers_only(s, INTERNAL) == "bad-request"
    assert not origin.exchanges


# --- deadlines


def test_grpc_timeout_is_enforced(grpc):
    """On the client's side an answer in time, on the origin's a reset: nobody computes for nobody."""
    proxy, origin = grpc()
    with H2Client(proxy.port) as c:
        for value in ("200m", "200000u", "99999999n"):
            c.frames.clear()
            began = time.monotonic()
            assert trailers_only(call(c, "/t/Hang", headers=[("grpc-timeout", value)]), DEADLINE_EXCEEDED) == "timeout"
            assert seconds(value) * 0.7 < time.monotonic() - began < 2 * SLOW
    for ex in origin.exchanges:
        assert ex.aborted() and ex.stream.reset == CANCEL
    assert proxy.refused("timeout") == 3


@pytest.mark.parametrize("value", ["1H", "5M", "30S", "30000m", "99999999n", "10000000u"])
def test_grpc_timeout_is_passed_on_and_never_longer(grpc, value):
    proxy, origin = grpc()
    with H2Client(proxy.port) as c:
        s = call(c, headers=[("grpc-timeout", value)])
        s.wait_over()
    passed, = origin.exchanges[0].all("grpc-timeout")
    assert 0 < seconds(passed) <= seconds(value) and seconds(passed) > seconds(value) - 2 * SLOW


def test_the_smaller_deadline_is_passed_on(grpc):
    proxy, origin = grpc([{"name": "all", "backendRefs": [{"name": "web"}], "timeouts": {"request": "3s"}}])
    with H2Client(proxy.port) as c:
        call(c, headers=[("grpc-timeout", "100S")]).wait_over()
        call(c, headers=[("grpc-timeout", "1S")]).wait_over()
        call(c).wait_over()
    first, second, third = origin.exchanges
    assert 0 < seconds(first.get("grpc-timeout")) <= 3
    assert 0 < seconds(second.get("grpc-timeout")) <= 1
    assert third.get("grpc-timeout") is None or 0 < seconds(third.get("grpc-timeout")) <= 3


def test_expired_deadline_starts_nothing(grpc):
    proxy, origin = grpc()
    with H2Client(proxy.port) as c:
        assert trailers_only(call(c, "/t/Hang", headers=[("grpc-timeout", "0m")]), DEADLINE_EXCEEDED) == "timeout"
    assert not origin.exchanges


def test_deadline_in_the_middle_of_a_stream(grpc):
    """An answer has begun: the stream is reset, never ended in order; the upstream stream too."""
    proxy, origin = grpc()
    with H2Client(proxy.port) as c:
        s = call(c, "/t/Bidi", headers=[("grpc-timeout", "300m")], end=False)
        s.wait_body(10)
        s.wait_over()
        assert not s.ended and s.reset is not None
    assert origin.exchanges[0].aborted()


# --- what passes


def test_unary(grpc):
    proxy, origin = grpc()
    with H2Client(proxy.port) as c:
        s = call(c, headers=[("user-agent", "grpc-test/1.0"), ("grpc-accept-encoding", "identity,gzip")]).wait_over()
        assert messages(s.body) == [(0, b"hello")] and s.trailers == [("grpc-status", OK)]
    got = origin.exchanges[0]
    assert got.get("te") == "trailers" and got.get("content-type") == "application/grpc"
    assert got.get("grpc-accept-encoding") == "identity,gzip" and got.get("content-length") is None


def test_status_and_message_of_the_origin(grpc):
    proxy, _ = grpc()
    with H2Client(proxy.port) as c:
        s = call(c, "/t/Fail9").wait_over()
        assert s.status == 200 and s.trailers == [("grpc-status", "9"), ("grpc-message", "as%20asked")]
        s = call(c, "/t/TrailersOnly").wait_over()
        assert s.ended and s.trailers is None and s.field("grpc-status") == "5" and s.field("grpc-message") == "none"
        assert s.field("sennit-error") is None
    assert proxy.refused() == 0


def test_binary_metadata_is_untouched(start_proxy):
    values = ["", "AA", "AAE=", "/+8", "AAEC,AwQF", "YWJj, ZGVm", "QUJD" * 1000]
    sent = [("x-some-bin", v) for v in values] + [("x-ascii", "a, b"), ("grpc-trace-bin", "AAB=")]

    def echo(ex):
        back = [(k, v) for k, v in ex.headers if k.startswith("x-") or k.endswith("-bin")]
        answer(ex, headers=back, trailers=back)

    with Recording("h2", echo) as origin:
        proxy = start_proxy([grpc_service(origin)])
        with H2Client(proxy.port) as c:
            s = call(c, headers=sent).wait_over()
    got = [(k, v) for k, v in origin.exchanges[0].headers if k.startswith("x-") or k.endswith("-bin")]
    assert got == sent
    assert [f for f in s.fields if f[0].startswith("x-") or f[0].endswith("-bin")] == sent
    assert s.trailers == [("grpc-status", OK), *sent]


def test_compressed_messages_are_untouched(grpc):
    proxy, origin = grpc()
    body = message(b"\x1f\x8b not really", 1) + message(b"", 0) + message(b"\0" * 10, 1)
    with H2Client(proxy.port) as c:
        s = call(c, body=body, headers=[("grpc-encoding", "gzip")]).wait_over()
    assert bytes(s.body) == body and origin.exchanges[0].get("grpc-encoding") == "gzip"


def test_large_messages(grpc):
    proxy, _ = grpc()
    big = message(pattern(4 << 20))
    with H2Client(proxy.port) as c:
        s = call(c, body=big).wait_over()
        assert bytes(s.body) == big and s.trailers == [("grpc-status", OK)]


def test_bidirectional_streams(grpc):
    """Twenty at once on one connection, message by message."""
    proxy, origin = grpc()
    with H2Client(proxy.port) as c:
        streams = [call(c, "/t/Bidi", body=None, end=False) for _ in range(20)]
        for i in range(20):
            data = message(b"%d" % i * (i + 1))
            for s in streams:
                before = len(s.body)
                s.send(data)
                assert s.wait_body(before + len(data))[before:] == data
        for s in streams:
            s.send(end=True)
            assert s.wait_over().trailers == [("grpc-status", OK)]
    assert len(origin.connections) == 1


def test_server_stream_without_end_in_bounded_memory(start_proxy):
    chunk = message(b"x" * 16000)

    def endless(ex):
        ex.respond(200, [CONTENT])
        while True:
            ex.send(chunk)

    with Recording("h2", endless) as origin:
        proxy = start_proxy([grpc_service(origin)])
        rss = proxy.rss_bytes()
        with H2Client(proxy.port) as c:
            s = call(c)
            s.wait_head()
            while s.received < 48 << 20:
                before = s.received
                c.wait(lambda: s.received > before or s.over, "more")
                assert not s.over
                with c.cond:
                    s.body.clear()
            assert proxy.rss_bytes() - rss < 8 << 20
            s.rst()
            origin.exchanges[0].aborted()


@pytest.mark.parametrize("when", ["waiting", "streaming"])
def test_cancellation_crosses(grpc, when):
    proxy, origin = grpc()
    with H2Client(proxy.port) as c:
        s = call(c, "/t/Hang" if when == "waiting" else "/t/Bidi", end=False)
        wait_for(lambda: origin.exchanges, "the call to arrive")
        if when == "streaming":
            s.wait_body(10)
        s.rst(CANCEL)
        origin.exchanges[0].aborted()
        assert origin.exchanges[0].stream.reset == CANCEL
        c.ping()


def test_client_that_vanishes_cancels_all_its_calls(grpc):
    proxy, origin = grpc()
    c = H2Client(proxy.port)
    for _ in range(10):
        call(c, "/t/Hang", end=False)
    wait_for(lambda: len(origin.exchanges) == 10, "the calls to arrive")
    c.reset()
    for ex in origin.exchanges:
        ex.aborted()
        assert ex.stream.reset == CANCEL
    assert len(origin.connections) == 1 and origin.connections[0].ended is None


def test_early_status_stops_the_upload(start_proxy):
    """An error before the client has sent everything: delivered at once."""
    def refuse(ex):
        ex.read(5)
        ex.respond(200, [CONTENT, ("grpc-status", "8")], length=None)
        ex.aborted()

    with Recording("h2", refuse) as origin:
        proxy = start_proxy([grpc_service(origin)])
        with H2Client(proxy.port) as c:
            s = call(c, end=False)
            c.wait(lambda: s.ended, "the status")
            assert s.field("grpc-status") == "8"
            c.wait(lambda: s.reset is not None, "the upload to be stopped")
            assert s.reset in (0, CANCEL)


def test_refused_call_is_tried_elsewhere(start_proxy):
    """REFUSED_STREAM: not processed, so another try is right although the method is POST."""
    with Recording("h2", answer) as good, Recording("h2", script) as bad:
        svc = grpc_service(good)
        svc["endpoints"]["static"].append({"address": bad.address})
        svc["policy"] = {"loadBalancing": {"algorithm": "RoundRobin"}}
        proxy = start_proxy([svc])
        with H2Client(proxy.port) as c:
            for _ in range(6):
                s = call(c, "/t/Refuse").wait_over()
                assert s.trailers == [("grpc-status", OK)], s
        assert bad.exchanges and len(good.exchanges) == 6


# --- metrics


@pytest.mark.parametrize("path,classification", [("/t/Unary", "success"), ("/t/Fail13", "failure"),
                                                 ("/t/Fail14", "failure"), ("/t/Fail2", "failure")])
def test_grpc_status_is_what_is_counted(grpc, path, classification):
    """The HTTP status says 200 whatever happened."""
    proxy, _ = grpc()
    other = {"success": "failure", "failure": "success"}[classification]
    with H2Client(proxy.port) as c:
        for _ in range(3):
            call(c, path).wait_over()
    wait_for(lambda: proxy.metric("response_total") == 3, "the responses to be counted")
    assert proxy.metric("response_total", classification=classification) == 3
    assert proxy.metric("response_total", classification=other) == 0


def test_own_failures_count_as_failures(grpc):
    proxy, _ = grpc([{"name": "all", "backendRefs": [{"name": "web"}], "timeouts": {"request": "100ms"}}])
    with H2Client(proxy.port) as c:
        call(c, "/t/Hang").wait_over()
    wait_for(lambda: proxy.metric("response_total") == 1, "the response to be counted")
    assert proxy.metric("response_total", classification="failure") == 1


def test_half_closed_calls_of_a_connection_that_dies(grpc):
    """The origin's connection is lost: each call gets UNAVAILABLE or, once begun, a reset."""
    proxy, origin = grpc()
    with H2Client(proxy.port) as c:
        begun = call(c, "/t/Bidi", end=False)
        begun.wait_body(10)
        waiting = call(c, "/t/Hang")
        wait_for(lambda: len(origin.exchanges) == 2, "the calls to arrive")
        c.frames.clear()
        origin.connections[0].reset()
        assert trailers_only(waiting, UNAVAILABLE) == "upstream"
        begun.wait_over()
        assert begun.reset is not None and not begun.ended
        assert HEADERS in c.frames
