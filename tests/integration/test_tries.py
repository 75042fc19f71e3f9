# SPDX-License-Identifier: Apache-2.0
"""Tries behind the first: which requests are made again, where, when, and how often at most; deadlines; what
proxies tell each other about both."""
import contextlib
import random
import re
import threading
import time

import pytest

from exchange import (GRPC, Recording, all_pairs, ask, call, connect, hang, in_turn, routed, serve)
from harness import SLOW, Closed, free_port, pattern, wait_for
from http2 import REFUSED_STREAM, needs_http2

RETRY = {"codes": [502, 503], "attempts": 2, "backoff": "5ms"}
every_client = pytest.mark.parametrize("client", ["h1", pytest.param("h2", marks=needs_http2)])


def retried(proxy, what="requests"):
    return proxy.metric(f"outbound_http_route_retry_{what}_total", route_name="route", rule_name="rule")


def abort(ex):
    """Takes the request, and nobody knows what became of it."""
    ex.rest()
    ex.abort()


@contextlib.contextmanager
def origins(kind, *scripts):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Recording(kind, s)) for s in scripts]


def meant(recording):
    return [ex.target for ex in recording.exchanges]


# --- what is made again


@all_pairs
def test_codes(start_clean, client, upstream):
    with origins(upstream, in_turn(503, 502, 200)) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": RETRY})])
        r = ask(client, proxy.port)
        assert r.status == 200 and r.body == b"ok\n" and len(o.exchanges) == 3
        assert retried(proxy) == 2 and retried(proxy, "successes") == 1
        assert proxy.metric("request_total") == 1 and proxy.metric("response_total", status_code="200") == 1


@all_pairs
def test_attempts_used_up(start_clean, client, upstream):
    """The last answer is passed on as it is."""
    with origins(upstream, lambda ex: serve(ex, 503, [("x-n", str(len(o.exchanges)))], b"no more\n")) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": RETRY})])
        r = ask(client, proxy.port)
        assert r.status == 503 and r.body == b"no more\n" and r.get("x-n") == "3" and len(o.exchanges) == 3
        assert r.get("sennit-error") is None and r.get("sennit-retry") is None
        assert retried(proxy, "limit_exceeded") == 1 and retried(proxy, "successes") == 0


@all_pairs
@pytest.mark.parametrize("case", ["another code", "post", "no policy", "no attempts"])
def test_not_made_again(start_clean, client, upstream, case):
    rule = {"retry": dict(RETRY, attempts=0 if case == "no attempts" else 2)}
    with origins(upstream, in_turn(500 if case == "another code" else 503, 200)) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {} if case == "no policy" else rule)])
        method, body = ("POST", b"abc") if case == "post" else ("GET", None)
        assert ask(client, proxy.port, method, body=body).status == (500 if case == "another code" else 503)
        assert len(o.exchanges) == 1 and retried(proxy) == 0


@all_pairs
def test_never_behind_a_head(start_clean, client, upstream):
    def script(ex):
        ex.rest()
        ex.respond(200, (), 10)
        ex.send(b"abc")
        ex.abort()

    with origins(upstream, script) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": RETRY})])
        with pytest.raises((Closed, AssertionError)):
            ask(client, proxy.port)
        assert len(o.exchanges) == 1 and retried(proxy) == 0


@all_pairs
def test_reset_before_an_answer(start_clean, client, upstream):
    """Made again with a policy and if it does no harm twice; a POST arrives once."""
    with origins(upstream, in_turn(abort, serve, abort)) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": RETRY})])
        assert ask(client, proxy.port).status == 200 and len(o.exchanges) == 2
        r = ask(client, proxy.port, "POST", "/post", body=b"pay")
        assert r.status == 502 and r.get("sennit-error") == "upstream"
        assert meant(o).count("/post") == 1 and retried(proxy) == 1


@every_client
def test_half_a_head(start_clean, client):
    """An answer whose head is cut is none."""
    def half(ex):
        ex.raw.send(b"HTTP/1.1 200 OK\r\nContent-Le")
        ex.raw.close()

    with origins("h1", in_turn(half, serve, half)) as (o,):
        proxy = start_clean([routed("h1", [o.address], {"retry": RETRY})])
        assert ask(client, proxy.port).status == 200 and len(o.exchanges) == 2
        assert ask(client, proxy.port, "POST", body=b"x").status == 502 and len(o.exchanges) == 3


@all_pairs
def test_a_dead_endpoint_among_live_ones(start_clean, client, upstream):
    """Nobody notices, whatever the method and without a policy."""
    with origins(upstream, serve, serve) as (a, b):
        proxy = start_clean([routed(upstream, [a.address, f"127.0.0.1:{free_port()}", b.address])])
        for i in range(30):
            method, body = [("GET", None), ("POST", pattern(3000)), ("PATCH", b"")][i % 3]
            assert ask(client, proxy.port, method, body=body).status == 200, i
        assert len(a.exchanges) + len(b.exchanges) == 30
        assert {bytes(ex.body) for o in (a, b) for ex in o.exchanges if ex.method == "POST"} == {pattern(3000)}
        assert 0 < retried(proxy) <= 20


@all_pairs
def test_all_endpoints_dead(start_clean, client, upstream):
    proxy = start_clean([routed(upstream, [f"127.0.0.1:{free_port()}", f"127.0.0.1:{free_port()}"])])
    r = ask(client, proxy.port, "POST", body=b"x")
    assert r.status == 502 and r.get("sennit-error") == "connect"
    assert retried(proxy) == 2 and retried(proxy, "limit_exceeded") == 1


@needs_http2
@every_client
@pytest.mark.parametrize("how", ["refused", "goaway"])
def test_a_stream_that_nobody_has_looked_at(start_clean, client, how):
    def refuse(ex):
        if how == "refused":
            ex.stream.rst(REFUSED_STREAM)
        else:
            ex.conn.say_goaway(0)

    with origins("h2", in_turn(refuse, serve)) as (o,):
        proxy = start_clean([routed("h2", [o.address])])
        assert ask(client, proxy.port, "POST", body=b"once").status == 200
        assert len(o.exchanges) == 2 and o.exchanges[1].body == b"once" and retried(proxy) == 1
        for c in o.connections:
            c.close()


@all_pairs
def test_time_of_a_try(start_clean, client, upstream):
    """A silent endpoint costs timeouts.backendRequest and is told; the next one answers."""
    with origins(upstream, hang, serve) as (slow, fast):
        rule = {"retry": RETRY, "timeouts": {"backendRequest": "150ms"}}
        proxy = start_clean([routed(upstream, [slow.address, fast.address], rule)])
        for _ in range(4):
            assert ask(client, proxy.port).status == 200
        assert slow.exchanges and retried(proxy) == len(slow.exchanges)
        wait_for(lambda: all(getattr(ex, "given_up", False) for ex in slow.exchanges), "the slow one to be told")


@all_pairs
def test_time_of_the_only_try(start_clean, client, upstream):
    with origins(upstream, hang) as (slow,):
        proxy = start_clean([routed(upstream, [slow.address], {"timeouts": {"backendRequest": "100ms"}})])
        r = ask(client, proxy.port)
        assert r.status == 504 and r.get("sennit-error") == "timeout" and len(slow.exchanges) == 1


# --- bodies


@all_pairs
@pytest.mark.parametrize("how", ["code", "reset", "early"])
def test_a_body_again(start_clean, client, upstream, how):
    """What was handed on is kept, up to limits.bufferBytes, and arrives again as it was."""
    def early(ex):
        ex.read(10)
        ex.respond(503, (), 0)
        ex.finish()

    first = {"code": 503, "reset": abort, "early": early}[how]
    with origins(upstream, in_turn(first, serve)) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": RETRY})])
        body = pattern(60000)
        assert ask(client, proxy.port, "PUT", body=body).status == 200
        assert len(o.exchanges) == 2 and o.exchanges[1].body == body


@all_pairs
def test_a_chunked_body_again(start_clean, client, upstream):
    with origins(upstream, in_turn(503, serve)) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": RETRY})])
        parts = [pattern(n) for n in (1, 5000, 20000, 7)]
        with connect(client, proxy.port) as c:
            ex = c.open("PUT", "/", length="chunked")
            for part in parts:
                ex.send(part)
            ex.finish()
            assert ex.head().status == 200 and ex.rest() == b"ok\n"
            if client == "h1":  # nothing of it is left in front of the next request
                assert c.request(path="/next").status == 200
        assert o.exchanges[1].body == b"".join(parts)


@all_pairs
@pytest.mark.parametrize("how", ["code", "reset"])
def test_a_body_that_is_too_large(start_clean, client, upstream, how):
    with origins(upstream, in_turn(503 if how == "code" else abort, serve)) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": RETRY})])
        assert ask(client, proxy.port, "PUT", body=pattern(200_000)).status == (503 if how == "code" else 502)
        assert len(o.exchanges) == 1 and retried(proxy) == 0


# --- where and when


@every_client
@pytest.mark.parametrize("algorithm", ["RoundRobin", "PeakEWMA"])
def test_another_endpoint_first(start_clean, client, algorithm):
    with origins("h1", in_turn(503), serve, serve) as (bad, a, b):
        proxy = start_clean([routed("h1", [o.address for o in (a, bad, b)], {"retry": dict(RETRY, attempts=1)},
                                    policy={"loadBalancing": {"algorithm": algorithm}})])
        for _ in range(40):
            assert ask(client, proxy.port).status == 200
        assert bad.exchanges and retried(proxy) == len(bad.exchanges)


def test_backoff(start_clean):
    """Full jitter: somewhere between at once and the bound, in the mean not at once."""
    with origins("h1", lambda ex: serve(ex, 503 if meant(o).count(ex.target) == 1 else 200)) as (o,):
        proxy = start_clean([routed("h1", [o.address], {"retry": dict(RETRY, attempts=1, backoff="200ms")})])
        began = time.monotonic()
        for i in range(10):
            assert ask("h1", proxy.port, path=f"/{i}").status == 200
        took = time.monotonic() - began
        assert 0.2 < took < 10 * (0.2 + 0.1 * SLOW), took


@all_pairs
def test_retry_after(start_clean, client, upstream):
    """Waited for if it is short; else it is the client's to wait."""
    def later(seconds):
        return lambda ex: serve(ex, 503, [("retry-after", str(seconds))])

    with origins(upstream, in_turn(later(1), serve, later(2), serve)) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": RETRY})])
        began = time.monotonic()
        assert ask(client, proxy.port).status == 200 and time.monotonic() - began >= 0.99
        r = ask(client, proxy.port)
        assert r.status == 503 and r.get("retry-after") == "2" and len(o.exchanges) == 3


# --- gRPC


def grpc_answer(status, head=False, headers=()):
    """A gRPC answer: trailers-only, or with @head a head first."""
    def script(ex):
        ex.rest()
        if head:
            ex.respond(200, [("content-type", "application/grpc"), *headers])
            ex.finish([("grpc-status", str(status))])
        else:
            ex.respond(200, [("content-type", "application/grpc"), ("grpc-status", str(status)), *headers], None)

    return script


GRPC_RETRY = {"grpc": ["UNAVAILABLE"], "attempts": 2, "backoff": "5ms"}


@needs_http2
def test_grpc_statuses(start_clean):
    script = in_turn(grpc_answer(14), grpc_answer(0, True), grpc_answer(5), grpc_answer(14, True), grpc_answer(14))
    with origins("h2", script) as (o,):
        proxy = start_clean([routed("h2", [o.address], {"retry": GRPC_RETRY})])
        assert call(proxy.port).grpc == 0 and len(o.exchanges) == 2 and retried(proxy) == 1
        assert call(proxy.port).grpc == 5 and len(o.exchanges) == 3
        assert call(proxy.port).grpc == 14 and len(o.exchanges) == 4  # behind a head it is too late
        assert call(proxy.port).grpc == 14 and len(o.exchanges) == 7
        assert retried(proxy, "limit_exceeded") == 1


@needs_http2
def test_grpc_failures_that_nobody_has_said(start_clean):
    """A reset is UNAVAILABLE, a try that takes too long DEADLINE_EXCEEDED."""
    rule = {"retry": GRPC_RETRY, "timeouts": {"backendRequest": "300ms"}}
    with origins("h2", in_turn(lambda ex: ex.abort(), grpc_answer(0), hang, grpc_answer(0))) as (o,):
        proxy = start_clean([routed("h2", [o.address], rule)])
        assert call(proxy.port).grpc == 0 and len(o.exchanges) == 2
        assert call(proxy.port).grpc == 4 and len(o.exchanges) == 3


# --- between proxies


@all_pairs
def test_a_client_that_forbids_it(start_clean, client, upstream):
    with origins(upstream, in_turn(503, 200)) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": RETRY}),
                             routed(upstream, [f"127.0.0.1:{free_port()}"], name="dead")])
        assert ask(client, proxy.port, headers=[("sennit-retry", "no")]).status == 503 and len(o.exchanges) == 1
        assert ask(client, proxy.port, host="dead", headers=[("sennit-retry", "no")]).status == 502
        assert retried(proxy) == 0
        assert not [k for ex in o.exchanges for k, _ in ex.headers if k.startswith("sennit-")]


@all_pairs
def test_an_application_that_forbids_it(start_clean, client, upstream):
    """That is not its to say, and nobody hears of it."""
    with origins(upstream, in_turn(*[lambda ex: serve(ex, 503, [("sennit-retry", "no"), ("x-mine", "1")])] * 3, serve)) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": RETRY})])
        r = ask(client, proxy.port)
        assert r.status == 503 and len(o.exchanges) == 3 and r.get("sennit-retry") is None and r.get("x-mine") == "1"


@needs_http2
@every_client
def test_a_repetition_says_so(start_clean, client):
    """To a peer proxy, which then makes none of its own; not to an application."""
    with origins("h2", in_turn(503, 200)) as (peer,), origins("h2", in_turn(503, 200)) as (plain,):
        proxy = start_clean([
            routed("h2", [{"address": peer.address, "mesh": True}], {"retry": RETRY}),
            routed("h2", [plain.address], {"retry": RETRY}, name="plain")])
        assert ask(client, proxy.port).status == 200 and ask(client, proxy.port, host="plain").status == 200
        assert [ex.get("sennit-retry") for ex in peer.exchanges] == [None, "no"]
        assert not [k for ex in plain.exchanges for k, _ in ex.headers if k.startswith("sennit-")]


def chain(start, n, last, rule, policy=(), kind="h1"):
    """n proxies one behind another, the last one in front of the endpoints @last. The first is what clients
    speak to."""
    proxies = [start([routed(kind, last, rule, policy=policy)], edit=as_peer if n > 1 else None)]
    while len(proxies) < n:
        behind = {"address": f"127.0.0.1:{proxies[0].port}", "mesh": True}
        first = len(proxies) == n - 1
        proxies.insert(0, start([routed("h1", [behind], rule, policy=policy)], edit=None if first else as_peer))
    return proxies


def as_peer(doc):
    doc["listeners"][0]["meshPeer"] = True


@needs_http2
@every_client
@pytest.mark.parametrize("failure", ["code", "connect"])
def test_only_one_proxy_repeats(start_clean, client, failure):
    """The one that is nearest to the failure; it says so when it has given up."""
    with origins("h1", in_turn(503)) as (o,):
        last = o.address if failure == "code" else f"127.0.0.1:{free_port()}"
        front, back = chain(start_clean, 2, [last], {"retry": RETRY})
        r = ask(client, front.port)
        assert r.status == (503 if failure == "code" else 502) and r.get("sennit-retry") is None
        assert retried(back) == 2 and retried(front) == 0
        assert len(o.exchanges) == (3 if failure == "code" else 0)
        assert not [k for ex in o.exchanges for k, _ in ex.headers if k.startswith("sennit-")]
        assert ask("h2", back.port).get("sennit-retry") == "no"
        assert ask("h2", back.port, "POST").get("sennit-retry") == (None if failure == "code" else "no")


@needs_http2
def test_only_one_proxy_repeats_grpc(start_clean):
    with origins("h2", grpc_answer(14)) as (o,):
        front, back = chain(start_clean, 2, [o.address], {"retry": GRPC_RETRY}, kind="h2")
        r = call(front.port)
        assert r.grpc == 14 and r.get("sennit-retry") is None and len(o.exchanges) == 3
        assert retried(front) == 0 and retried(back) == 2
        assert call(back.port).get("sennit-retry") == "no"


@needs_http2
def test_a_proxy_that_has_no_policy_leaves_it_to_the_one_before(start_clean):
    with origins("h1", in_turn(503, 200)) as (o,):
        back = start_clean([routed("h1", [o.address])], edit=as_peer)
        front = start_clean([routed("h1", [{"address": f"127.0.0.1:{back.port}", "mesh": True}], {"retry": RETRY})])
        assert ask("h1", front.port).status == 200 and retried(front) == 1 and len(o.exchanges) == 2


# --- the budget


BUDGET = {"percent": 20, "minPerSecond": 1, "interval": "10s"}


@pytest.mark.parametrize("hops", [1, pytest.param(2, marks=needs_http2), pytest.param(3, marks=needs_http2)])
def test_budget(start_clean, hops):
    """All fails: (1 + percent) x offered and the reserve is all that arrives, however many proxies there are."""
    offered, began = 200, time.monotonic()
    with origins("h1", in_turn(503)) as (o,):
        proxies = chain(start_clean, hops, [o.address], {"retry": dict(RETRY, attempts=3, backoff="1ms")},
                        {"retryBudget": BUDGET})
        with connect("h1", proxies[0].port) as c:
            for _ in range(offered):
                assert c.request().status == 503
        intervals = 1 + int((time.monotonic() - began) / 10)
        assert offered * 1.15 < len(o.exchanges) <= offered * 1.2 + 10 * intervals, len(o.exchanges)
        assert retried(proxies[-1], "overflow") > 0
        assert sum(retried(p) for p in proxies) == len(o.exchanges) - offered
        assert proxies[-1].metric("sennit_retry_budget", dst_service="web") <= 10


def test_no_budget(start_clean):
    with origins("h1", in_turn(503)) as (o,):
        proxy = start_clean([routed("h1", [o.address], {"retry": RETRY},
                                    policy={"retryBudget": {"percent": 0, "minPerSecond": 0}})])
        assert ask("h1", proxy.port).status == 503 and len(o.exchanges) == 1 and retried(proxy, "overflow") == 1


# --- deadlines


def timed(f):
    began = time.monotonic()
    return f(), time.monotonic() - began


def milliseconds(duration):
    units = {"h": 3600000, "m": 60000, "s": 1000, "ms": 1}
    return sum(int(n) * units[u] for n, u in re.findall(r"(\d+)(ms|h|m|s)", duration))


@all_pairs
def test_deadline_of_the_caller(start_clean, client, upstream):
    """504 when it has passed, the upstream is told, and nothing begins behind it."""
    with origins(upstream, hang) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": dict(RETRY, attempts=5)})])
        r, took = timed(lambda: ask(client, proxy.port, headers=[("sennit-deadline", "200ms")]))
        assert r.status == 504 and r.get("sennit-error") == "timeout" and 0.19 <= took < 0.2 + 0.8 * SLOW
        wait_for(lambda: getattr(o.exchanges[0], "given_up", False), "the origin to be told")
        assert len(o.exchanges) == 1


@all_pairs
def test_deadline_and_tries(start_clean, client, upstream):
    """No backoff and no wait for Retry-After ends behind it: then the answer is the last one."""
    with origins(upstream, lambda ex: serve(ex, 503, [("retry-after", "1")])) as (o,):
        proxy = start_clean([routed(upstream, [o.address], {"retry": dict(RETRY, attempts=10)})])
        r, took = timed(lambda: ask(client, proxy.port, headers=[("sennit-deadline", "500ms")]))
        assert r.status == 503 and took < 0.5 * SLOW and len(o.exchanges) == 1


@all_pairs
def test_deadline_has_passed(start_clean, client, upstream):
    with origins(upstream, serve) as (o,):
        proxy = start_clean([routed(upstream, [o.address])])
        assert ask(client, proxy.port, headers=[("sennit-deadline", "0s")]).status == 504
        if client == "h2":
            more = [("sennit-deadline", "0s"), ("grpc-timeout", "5S")]
            assert call(proxy.port, headers=more).grpc == 4
        assert not o.exchanges


@needs_http2
def test_grpc_timeout(start_clean):
    with origins("h2", hang) as (o,):
        proxy = start_clean([routed("h2", [o.address], {"retry": dict(GRPC_RETRY, grpc=["DEADLINE_EXCEEDED"])})])
        r, took = timed(lambda: call(proxy.port, headers=[("grpc-timeout", "200m")]))
        assert r.status == 200 and r.grpc == 4 and not r.body and 0.19 <= took < 0.2 + 0.8 * SLOW
        wait_for(lambda: getattr(o.exchanges[0], "given_up", False), "the origin to be told")
        assert len(o.exchanges) == 1


@needs_http2
def test_deadlines_that_are_passed_on(start_clean):
    """What is left of them, each time less."""
    def late(ex):
        ex.aborted()

    rule = {"retry": RETRY, "timeouts": {"backendRequest": "400ms"}}
    with origins("h2", in_turn(late, serve)) as (o,), origins("h2", in_turn(late, grpc_answer(0))) as (g,):
        proxy = start_clean([
            routed("h2", [{"address": o.address, "mesh": True}], rule),
            routed("h2", [{"address": g.address, "mesh": True}], dict(rule, retry=dict(
                GRPC_RETRY, grpc=["DEADLINE_EXCEEDED"])), name="grpc")])
        assert ask("h1", proxy.port, headers=[("sennit-deadline", "20s")]).status == 200
        first, second = (milliseconds(ex.get("sennit-deadline")) for ex in o.exchanges)
        assert 20000 >= first > 15000 and first - 390 >= second > first - 4000 * SLOW
        assert call(proxy.port, host="grpc", headers=[("grpc-timeout", "20S")]).grpc == 0
        units = {"u": 1e-6, "m": 1e-3, "S": 1}
        first, second = (int(v[:-1]) * units[v[-1]] for v in (ex.get("grpc-timeout") for ex in g.exchanges))
        assert 20 >= first > 15 and first - 0.39 >= second > first - 4 * SLOW
        assert milliseconds(g.exchanges[0].get("sennit-deadline")) <= 20000


# --- the client leaves


@every_client
def test_a_client_that_leaves_between_tries(start_clean, client):
    with origins("h1", lambda ex: serve(ex, 503, [("retry-after", "1")])) as (o,):
        proxy = start_clean([routed("h1", [o.address], {"retry": RETRY})])
        with connect(client, proxy.port) as c:
            c.open("GET")
            wait_for(lambda: retried(proxy) == 1, "the first answer")
        wait_for(lambda: proxy.metric("sennit_requests_in_flight") == 0, "nothing in flight")
        assert len(o.exchanges) == 1


@every_client
def test_a_swap_between_tries(start_clean, client):
    """The next try goes where the service is now; without it, nowhere."""
    with origins("h1", lambda ex: serve(ex, 503, [("retry-after", "1")]), serve) as (old, new):
        def services(address):
            return [routed("h1", [address], {"retry": RETRY})] if address else []

        proxy = start_clean(services(old.address))
        for address, status in (new.address, 200), (None, 503):
            with connect(client, proxy.port) as c:
                before = retried(proxy)
                ex = c.open("GET")
                wait_for(lambda n=before: retried(proxy) > n, "the first answer")
                applied = proxy.metric("sennit_config_reload_total", result="applied")
                proxy.write(dict(proxy.doc, services=services(address)))
                wait_for(lambda n=applied: proxy.metric("sennit_config_reload_total", result="applied") > n, "the swap")
                assert ex.head().status == status
            proxy.write(dict(proxy.doc, services=services(old.address)))
            wait_for(lambda: proxy.metric("sennit_config_reload_total", result="applied") > applied + 1, "the next swap")


@needs_http2
@every_client
def test_a_connection_that_breaks_under_many(start_clean, client):
    """All of its requests are made again."""
    def script(ex):
        if len(o.connections) == 1:
            if len(o.exchanges) == 20:
                ex.conn.reset()
        else:
            serve(ex)

    with origins("h2", script) as (o,), contextlib.ExitStack() as stack:
        proxy = start_clean([routed("h2", [o.address], {"retry": RETRY})])
        asked = [stack.enter_context(connect(client, proxy.port)).open("GET", f"/{i}") for i in range(20)]
        assert all(ex.head().status == 200 for ex in asked)
        assert retried(proxy) == 20 and sorted(meant(o)) == sorted([f"/{i}" for i in range(20)] * 2)


@all_pairs
def test_whatever_happens(start_clean, client, upstream):
    """Origins that fail in every way, clients that leave, documents that change: each body that arrives is whole, and
    nothing is left behind."""
    body, spoilt, end = pattern(120_000), [], time.monotonic() + 4
    lock, chance = threading.Lock(), random.Random(7)

    def draw(*choices):
        with lock:
            return chance.choice(choices)

    def script(ex):
        how = draw("good", "good", "good", "503", "early", "reset", "half", "silent", "cut", "refuse", "away")
        if how == "early" and ex.method != "GET":
            ex.respond(503, (), 0)
        elif how == "reset":
            ex.abort()
        elif how == "silent":
            ex.aborted()
        elif how == "half" and upstream == "h1":
            ex.raw.send(b"HTTP/1.1 200 ")
            ex.abort()
        elif how == "cut":
            ex.respond(200, (), 10)
            ex.send(b"123")
            ex.abort()
        elif how == "refuse" and upstream == "h2":
            ex.stream.rst(REFUSED_STREAM)
        elif how == "away" and upstream == "h2":
            ex.conn.say_goaway(max(0, ex.stream.id - 2))
        else:
            serve(ex, 503 if how == "503" else 200)
            if ex.body != body[:int(ex.get("x-size", "0"))]:
                spoilt.append(ex)

    def one(n):
        method, size = draw(("GET", 0), ("PUT", 10), ("PUT", 30_000), ("POST", 70_000), ("PUT", 120_000))
        with connect(client, proxy.port) as c:
            length = None if method == "GET" else draw(size, "chunked")
            ex = c.open(method, f"/{n}", headers=[("x-size", str(size))], length=length)
            for at in range(0, size, 16000):
                ex.send(body[at:min(size, at + 16000)])
                if draw(*range(40)) == 0:
                    return
            if size:
                ex.finish()
            if draw(*range(10)) == 0:
                return
            status = ex.head().status
            ex.rest()
            with lock:
                seen[status] = seen.get(status, 0) + 1

    def run(n):
        while time.monotonic() < end:
            with contextlib.suppress(Closed, OSError):
                one(n)

    def documents(i):
        rule = {"retry": dict(RETRY, attempts=3, backoff="2ms"), "timeouts": {"backendRequest": "100ms", "request": "2s"}}
        return [routed(upstream, [o.address for o in (a, b, c)[:2 + i % 2]], rule, policy={
            "connections": {"requests": 8, "pending": 8, "pendingTimeout": "100ms"},
            "retryBudget": {"percent": 100, "minPerSecond": 100}})]

    seen = {}
    with origins(upstream, script, script, script) as (a, b, c):
        proxy = start_clean(documents(0))
        threads = [threading.Thread(target=run, args=(n,)) for n in range(12)]
        for t in threads:
            t.start()
        i = 0
        while time.monotonic() < end:
            i += 1
            proxy.write(dict(proxy.doc, services=documents(i)))
            threading.Event().wait(0.2)
        for t in threads:
            t.join()
        assert not spoilt and set(seen) <= {200, 502, 503, 504} and seen[200] > 20, (spoilt, seen)
        assert retried(proxy, "successes") > 0
        for o in (a, b, c):
            for conn in o.connections:
                conn.close()


# --- timeouts.stream


@all_pairs
def test_a_stream_that_does_not_move(start_clean, client, upstream):
    go = threading.Event()

    def script(ex):
        ex.respond()
        for _ in range(8):
            ex.send(b"x")
            go.wait(0.1)
        if ex.target == "/ends":
            ex.finish()
        else:
            ex.aborted()

    with origins(upstream, script) as (o,):
        proxy = start_clean([routed(upstream, [o.address])], timeouts={"stream": f"{int(400 * SLOW)}ms"})
        assert ask(client, proxy.port, path="/ends").body == b"x" * 8
        with pytest.raises((Closed, AssertionError)):
            ask(client, proxy.port, path="/stops")
        assert proxy.refused("timeout") == 1


@needs_http2
def test_a_call_that_does_not_move(start_clean):
    """A gRPC stream whose head has not come either."""
    with origins("h2", hang) as (o,):
        proxy = start_clean([routed("h2", [o.address])], timeouts={"stream": "200ms"})
        with connect("h2", proxy.port) as c:
            ex = c.open("POST", "/s/m", headers=GRPC, length="chunked")
            ex.send(b"x")
            assert ex.head().get("grpc-status") == "4"
        wait_for(lambda: getattr(o.exchanges[0], "given_up", False), "the origin to be told")


def test_a_tunnel_that_does_not_move(start_clean):
    def script(ex):
        ex.raw.send(b"HTTP/1.1 101 Switching\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
        while True:
            ex.raw.send(ex.raw.take(1))

    with origins("h1", script) as (o,):
        quiet = 0.4 * SLOW
        proxy = start_clean([routed("h1", [o.address])], timeouts={"stream": f"{int(quiet * 1000)}ms"})
        with proxy.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
            assert c.response_head().status == 101
            end = time.monotonic() + 3 * quiet
            while time.monotonic() < end:
                c.send(b"x")
                assert c.take(1) == b"x"
                threading.Event().wait(quiet / 8)
            assert c.closed()
