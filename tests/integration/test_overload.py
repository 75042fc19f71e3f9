# SPDX-License-Identifier: Apache-2.0
"""More than a service can do: how many requests are in flight to it, who waits, who is turned away and when;
limits of requests, of rates, and the limit that is found from latency."""
import contextlib
import socket
import threading
import time

import pytest

from exchange import Recording, all_pairs, ask, call, connect, routed, serve
from harness import SLOW, Client, Closed, wait_for
from http2 import H2Client, needs_http2

every_client = pytest.mark.parametrize("client", ["h1", pytest.param("h2", marks=needs_http2)])


class Held(Recording):
    """An origin that answers /hold when it is told to. .now, .most: exchanges at once."""

    def __init__(self, kind="h1"):
        super().__init__(kind, self._play)
        self.go, self.lock, self.now, self.most = threading.Event(), threading.Lock(), 0, 0

    def _play(self, ex):
        ex.body = ex.rest()
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        if ex.target.startswith("/hold"):
            self.go.wait(30 * SLOW)
        with self.lock:
            self.now -= 1
        ex.respond(200, (), 3)
        ex.send(b"ok\n")
        ex.finish()

    def targets(self):
        return [ex.target for ex in self.exchanges]


def gauge(proxy, name):
    return proxy.metric(f"sennit_requests_{name}", dst_service="web")


def capped(origin, requests=1, pending=10, wait="20s", **policy):
    return routed(origin.kind, [origin.address], policy={
        "connections": {"requests": requests, "pending": pending, "pendingTimeout": wait}, **policy})


class Waiting:
    """Requests that are under way, each on its own connection."""

    def __init__(self, stack, kind, proxy):
        self.stack, self.kind, self.proxy, self.all = stack, kind, proxy, []

    def add(self, path, method="GET", body=None, **kwargs):
        c = self.stack.enter_context(connect(self.kind, self.proxy.port))
        ex = c.open(method, path, length=None if body is None else len(body), **kwargs)
        if body:
            ex.send(body)
        ex.connection = c
        self.all.append(ex)
        return ex

    def pending(self, path, n, **kwargs):
        """One that waits for its turn, as the n-th."""
        ex = self.add(path, **kwargs)
        wait_for(lambda: gauge(self.proxy, "pending") == n, f"{n} that wait")
        return ex


@pytest.fixture
def busy(start_clean):
    """busy(client kind, origin, **as for capped) -> (proxy, Waiting): with one request in flight that the origin
    holds, for each that it may have."""
    with contextlib.ExitStack() as stack:
        def start(kind, origin, requests=1, services=(), **more):
            proxy = start_clean([capped(origin, requests, **more), *services])
            waiting = Waiting(stack, kind, proxy)
            for _ in range(requests):
                waiting.add("/hold")
            wait_for(lambda: origin.now == requests, "the origin to be busy")
            assert gauge(proxy, "in_flight") == requests
            return proxy, waiting

        yield start


# --- a cap


@all_pairs
def test_never_more_than_the_cap(busy, client, upstream):
    with Held(upstream) as o:
        proxy, w = busy(client, o, requests=2, pending=20)
        for i in range(10):
            w.add(f"/hold/{i}")
        wait_for(lambda: gauge(proxy, "pending") == 10, "the others to wait")
        assert o.now == 2
        o.go.set()
        assert all(ex.head().status == 200 and ex.rest() == b"ok\n" for ex in w.all)
        assert o.most == 2 and len(o.exchanges) == 12
        assert gauge(proxy, "waited_total") == 10 and gauge(proxy, "shed_total") == 0


@needs_http2
def test_streams_of_one_connection(start_clean):
    with Held("h2") as o:
        proxy = start_clean([capped(o, requests=3, pending=50)])
        with H2Client(proxy.port) as c:
            asked = [c.request(path=f"/hold/{i}") for i in range(40)]
            wait_for(lambda: gauge(proxy, "pending") == 37 and o.now == 3, "the others to wait")
            o.go.set()
            assert all(s.wait_over().status == 200 for s in asked) and o.most == 3


@all_pairs
def test_no_room_to_wait(busy, client, upstream):
    """503 at once, with the reason; those that wait are not harmed."""
    with Held(upstream) as o:
        proxy, w = busy(client, o, pending=2)
        for i in range(2):
            w.pending(f"/{i}", i + 1, method="POST", body=b"abc")
        began = time.monotonic()
        r = ask(client, proxy.port)
        took = time.monotonic() - began
        assert r.status == 503 and r.get("sennit-error") == "overload" and b"wait" in r.body
        assert took < 0.1 * SLOW, took
        assert gauge(proxy, "shed_total") == 1 and proxy.refused("overload") == 1
        if client == "h2":
            assert call(proxy.port).grpc == 14
        o.go.set()
        assert all(ex.head().status == 200 for ex in w.all)
        assert [ex.body for ex in o.exchanges] == [b"", b"abc", b"abc"]


@needs_http2
def test_a_client_that_is_turned_away_all_the_time(busy):
    """Its connection stays: that is no flood."""
    with Held() as o:
        proxy, w = busy("h1", o, pending=0)
        with H2Client(proxy.port) as c:
            for _ in range(500):
                s = c.request("POST", body=b"abc", end=False)
                assert s.wait_over().status == 503
            assert c.goaway is None
            o.go.set()
            assert w.all[0].head().status == 200
            wait_for(lambda: gauge(proxy, "in_flight") == 0, "room")
            assert c.get().status == 200


@every_client
def test_a_cap_that_workers_share(start_clean, client):
    with Held() as o:
        proxy = start_clean([capped(o, requests=4, pending=40)], workers=2)
        with contextlib.ExitStack() as stack:
            w = Waiting(stack, client, proxy)
            for i in range(24):
                w.add(f"/hold/{i}")
            wait_for(lambda: gauge(proxy, "in_flight") + gauge(proxy, "pending") == 24, "all to be there")
            assert gauge(proxy, "in_flight") <= 4
            o.go.set()
            assert all(ex.head().status == 200 for ex in w.all) and o.most <= 4


@every_client
def test_pending_timeout(busy, client):
    with Held() as o:
        proxy, _ = busy(client, o, wait="200ms")
        began = time.monotonic()
        r = ask(client, proxy.port)
        took = time.monotonic() - began
        assert r.status == 503 and r.get("sennit-error") == "overload" and 0.19 < took < 0.2 + 0.8 * SLOW
        assert gauge(proxy, "waited_out_total") == 1 and len(o.exchanges) == 1
        o.go.set()


@every_client
def test_order(busy, client):
    with Held() as o:
        _, w = busy(client, o)
        for i in range(3):
            w.pending(f"/{i}", i + 1)
        o.go.set()
        assert all(ex.head().status == 200 for ex in w.all)
        assert o.targets()[1] == "/0" and sorted(o.targets()) == ["/0", "/1", "/2", "/hold"]


@every_client
@pytest.mark.parametrize("method,body", [("GET", None), ("POST", b"abc")])
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_client_that_leaves_while_it_waits(busy, client, method, body, how):
    with Held() as o:
        proxy, w = busy(client, o, pending=1)
        gone = w.pending("/gone", 1, method=method, body=body)
        getattr(gone.connection, how)()
        wait_for(lambda: gauge(proxy, "pending") == 0, "its place to be free")
        stays = w.pending("/stays", 1)
        o.go.set()
        assert stays.head().status == 200 and o.targets() == ["/hold", "/stays"]


@needs_http2
@pytest.mark.parametrize("how", ["close", "reset"])
def test_a_connection_that_leaves_with_all_of_its_requests(start_clean, how):
    """Those that wait are not sent first."""
    with Held("h2") as o:
        proxy = start_clean([capped(o, requests=1, pending=100)])
        with H2Client(proxy.port) as c:
            for i in range(30):
                c.request(path=f"/hold/{i}")
            wait_for(lambda: gauge(proxy, "pending") == 29 and o.now == 1, "the others to wait")
            getattr(c, how)()
        wait_for(lambda: gauge(proxy, "in_flight") == 0, "nothing to be in flight")
        assert gauge(proxy, "pending") == 0 and o.targets() == ["/hold/0"]
        o.go.set()
        assert ask("h2", proxy.port).status == 200


@every_client
def test_deadline_while_it_waits(busy, client):
    with Held() as o:
        proxy, w = busy(client, o, adaptiveConcurrency={"mode": "On", "min": 1, "max": 1})
        began = time.monotonic()
        r = ask(client, proxy.port, headers=[("sennit-deadline", "200ms")])
        took = time.monotonic() - began
        assert r.status == 504 and r.get("sennit-error") == "timeout" and 0.19 < took < 0.2 + 0.8 * SLOW
        assert gauge(proxy, "pending") == 0 and len(o.exchanges) == 1
        o.go.set()
        assert w.all[0].head().status == 200


@every_client
def test_all_that_wait_fail_at_once(busy, client):
    """Their endpoint is gone when their turn comes."""
    with Held() as o:
        proxy, w = busy(client, o, pending=50)
        for i in range(20):
            w.add(f"/{i}")
        wait_for(lambda: gauge(proxy, "pending") == 20, "the others to wait")
        doc = capped(o, pending=50)
        doc["endpoints"]["static"] = []
        reload(proxy, doc)
        o.go.set()
        assert w.all[0].head().status == 200
        assert {(ex.head().status, ex.get("sennit-error")) for ex in w.all[1:]} == {(503, "no-endpoints")}


def reload(proxy, *services, **more):
    before = proxy.metric("sennit_config_reload_total", result="applied")
    proxy.write(dict(proxy.doc, services=list(services), **more))
    wait_for(lambda: proxy.metric("sennit_config_reload_total", result="applied") > before, "the new document")


@every_client
def test_a_swap_that_makes_room(busy, client):
    """Those that wait go at once, not with the next that ends."""
    with Held() as o:
        proxy, w = busy(client, o)
        for i in range(3):
            w.pending(f"/hold/{i}", i + 1)
        reload(proxy, capped(o, requests=3))
        wait_for(lambda: o.now == 3, "two more at the origin")
        assert gauge(proxy, "pending") == 1 and gauge(proxy, "in_flight") == 3
        reload(proxy, capped(o, requests=1))
        o.go.set()
        assert all(ex.head().status == 200 for ex in w.all)


@every_client
def test_a_swap_that_takes_the_service(busy, client):
    with Held() as o:
        proxy, w = busy(client, o)
        for i in range(3):
            w.pending(f"/{i}", i + 1)
        reload(proxy)
        o.go.set()
        assert [ex.head().status for ex in w.all] == [200, 503, 503, 503]
        reload(proxy, capped(o))
        assert ask(client, proxy.port).status == 200


@every_client
def test_requests_of_the_process(start_clean, client):
    with Held() as o:
        proxy = start_clean([routed("h1", [o.address])], limits={"requests": 2})
        with contextlib.ExitStack() as stack:
            w = Waiting(stack, client, proxy)
            for _ in range(2):
                w.add("/hold")
            wait_for(lambda: o.now == 2, "two in flight")
            r = ask(client, proxy.port)
            assert r.status == 503 and r.get("sennit-error") == "overload" and b"limits.requests" in r.body
            o.go.set()
            assert all(ex.head().status == 200 and ex.rest() for ex in w.all)
        assert ask(client, proxy.port).status == 200


def test_a_drain_serves_those_that_wait(busy):
    with Held() as o:
        proxy, w = busy("h1", o)
        w.pending("/0", 1)
        proxy.popen.terminate()
        wait_for(lambda: proxy.admin("/ready")[0] != 200, "the drain to begin")
        o.go.set()
        assert all(ex.head().status == 200 for ex in w.all)
        assert proxy.wait() == 0


@pytest.mark.parametrize("client,upstream", [("h1", "h1"), pytest.param("h2", "h2", marks=needs_http2)])
def test_many_at_once(start_clean, client, upstream):
    """A crowd that comes and goes, also without waiting for answers, while documents change."""
    with Held(upstream) as o:
        proxy = start_clean([capped(o, requests=4, pending=16, wait="50ms")])
        end, seen, lock = time.monotonic() + 3, {}, threading.Lock()

        def ask_on(n):
            i = 0
            while time.monotonic() < end:
                i += 1
                with contextlib.suppress(Closed, OSError), connect(client, proxy.port) as c:
                    ex = c.open("POST" if i % 3 else "GET", f"/{i}", length=5 if i % 3 else None)
                    if i % 3:
                        ex.send(b"12345")
                    if (i + n) % 5 == 0:
                        continue
                    status = ex.head().status
                    with lock:
                        seen[status] = seen.get(status, 0) + 1

        threads = [threading.Thread(target=ask_on, args=(n,)) for n in range(24)]
        for t in threads:
            t.start()
        i = 0
        while time.monotonic() < end:
            i += 1
            reload(proxy, capped(o, requests=4 + i % 2, pending=16, wait="50ms"))
        for t in threads:
            t.join()
        assert seen[200] > 50 and set(seen) <= {200, 503}, seen
        assert o.most <= 5


# --- the adaptive limit


class Slow(Held):
    """One at a time, and each takes a while."""

    def __init__(self, seconds):
        super().__init__()
        self.seconds, self.one = seconds, threading.Lock()

    def _play(self, ex):
        ex.body = ex.rest()
        with self.lock:
            self.now += 1
            self.most = max(self.most, self.now)
        with self.one:
            time.sleep(self.seconds)
        with self.lock:
            self.now -= 1
        ex.respond(200, (), 3)
        ex.send(b"ok\n")


def load(port, threads, rate, seconds, patience):
    """Requests at @rate in all, on kept connections; how many were answered well in @patience, per second."""
    good, lock, began = [0], threading.Lock(), time.monotonic()

    def run(n):
        with Client(port) as c:
            due = began + n / rate
            while due < began + seconds:
                time.sleep(max(0, due - time.monotonic()))
                asked = time.monotonic()
                ok = c.request().status == 200 and time.monotonic() - asked < patience
                with lock:
                    good[0] += ok
                due = max(due + threads / rate, time.monotonic())

    runners = [threading.Thread(target=run, args=(n,)) for n in range(threads)]
    for t in runners:
        t.start()
    for t in runners:
        t.join()
    return good[0] / seconds


def test_adaptive_concurrency(start_clean):
    """Three times what the origin can do: what it does is still done in time."""
    with Slow(0.01) as o:
        proxy = start_clean([routed("h1", [o.address], policy={
            "adaptiveConcurrency": {"mode": "On", "min": 1, "max": 200},
            "connections": {"pending": 5, "pendingTimeout": "100ms"}})])
        assert proxy.metric("sennit_concurrency_limit") == 0  # nobody has asked yet
        peak = load(proxy.port, 2, 1000, 2, 1)
        under = load(proxy.port, 60, 3 * peak, 4, 1)
        assert under > 0.8 * peak, (under, peak)
        assert 1 <= proxy.metric("sennit_concurrency_limit", dst_service="web") < 100
        assert o.most < 60 and gauge(proxy, "shed_total") > 0


def test_quick_failures_do_not_narrow_it(start_clean):
    """An answer of 500 says nothing about latency."""
    def script(ex):
        if ex.target == "/bad":
            serve(ex, 500)
        else:
            time.sleep(0.02)
            serve(ex)

    with Recording("h1", script) as o:
        proxy = start_clean([routed("h1", [o.address], policy={
            "adaptiveConcurrency": {"mode": "On", "min": 1, "max": 50}})])
        end = time.monotonic() + 2
        with Client(proxy.port) as c:
            while time.monotonic() < end:
                assert c.request(path="/").status == 200
                for _ in range(5):
                    assert c.request(path="/bad").status == 500
        assert proxy.metric("sennit_concurrency_limit") >= 20


# --- rates


class From(Client):
    """A client with an address of its own."""

    def __init__(self, port, address):
        sock = socket.create_connection(("127.0.0.1", port), 10 * SLOW, (address, 0))
        super(Client, self).__init__(sock)


def limited(origin, rate, name="web", **policy):
    return routed(origin.kind, [origin.address], {"rateLimit": rate}, name=name, policy=policy)


def burst(c, n, **kwargs):
    """How many of @n in a row passed, and how many more time has allowed at 1 a second."""
    began = time.monotonic()
    answers = [c.request(**kwargs) for _ in range(n)]
    for r in answers:
        if r.status == 429:
            assert r.get("sennit-error") == "rate-limit" and 1 <= int(r.get("retry-after")) <= 60
        else:
            assert r.status == 200
    return sum(r.status == 200 for r in answers), int(time.monotonic() - began) + 1


def passes(c, n, expected, **kwargs):
    passed, more = burst(c, n, **kwargs)
    assert expected <= passed <= expected + more, (passed, expected, more)


@all_pairs
def test_rate_of_a_rule(start_clean, client, upstream):
    with Held(upstream) as o:
        proxy = start_clean([limited(o, {"requestsPerSecond": 1, "burst": 5})])
        began = time.monotonic()
        answers = [ask(client, proxy.port) for _ in range(12)]
        more = int(time.monotonic() - began) + 1
        passed = [r for r in answers if r.status == 200]
        assert 5 <= len(passed) <= 5 + more and len(o.exchanges) == len(passed)
        refused = [r for r in answers if r.status != 200]
        assert {(r.status, r.get("sennit-error"), r.get("retry-after")) for r in refused} == {(429, "rate-limit", "1")}
        assert proxy.metric("sennit_rate_limited_total", dst_service="web") == len(refused)
        assert proxy.refused("rate-limit") == len(refused)
        if client == "h2":
            r = call(proxy.port)
            assert (r.status, r.grpc, r.body) in ((200, 14, b""), (200, -1, b"ok\n"))


@needs_http2
def test_rate_and_grpc(start_clean):
    """UNAVAILABLE, trailers-only."""
    with Held("h2") as o:
        proxy = start_clean([limited(o, {"requestsPerSecond": 1, "burst": 1})])
        answers = [call(proxy.port) for _ in range(4)]
        refused = [r for r in answers if r.grpc == 14]
        assert refused and all(r.status == 200 and not r.trailers and r.get("retry-after") == "1" for r in refused)


def test_sustained_rate(start_clean):
    with Held() as o:
        proxy = start_clean([limited(o, {"requestsPerSecond": 50, "burst": 1})])
        began, passed = time.monotonic(), 0
        with proxy.client() as c:
            while time.monotonic() < began + 1.5:
                passed += c.request().status == 200
        assert passed <= 50 * (time.monotonic() - began) + 2
        assert passed >= 20


def test_rate_per_identity(start_clean):
    """Without certificates it is the address."""
    with Held() as o:
        proxy = start_clean([limited(o, {"requestsPerSecond": 1, "burst": 4, "per": "Identity"})])
        for last in 1, 2, 3:
            with From(proxy.port, f"127.0.0.{last}") as c:
                passes(c, 10, 4)


def test_rate_per_header(start_clean):
    with Held() as o:
        proxy = start_clean([limited(o, {"requestsPerSecond": 1, "burst": 3, "per": "Header", "header": "x-key"})])
        with proxy.client() as c:
            for key in "a", "b":
                passes(c, 8, 3, headers=[("X-Key", key)])
            passes(c, 8, 3)  # without it: they have one limit
            passes(c, 8, 0, headers=[("x-key", "a")])


def test_rate_of_a_service(start_clean):
    """Of all that goes there, by whatever rule."""
    with Held() as o:
        back = routed("h1", [o.address], name="back", policy={"rateLimit": {"requestsPerSecond": 1, "burst": 4}})
        fronts = [{"name": n, "hosts": [n], "routes": [{"name": "r", "rules": [
            {"name": "r", "backendRefs": [{"name": "back", "port": 80}]}]}]} for n in ("web", "other")]
        proxy = start_clean([back, *fronts])
        with proxy.client() as c:
            passes(c, 4, 4)
            passes(c, 4, 0, host="other")
        assert proxy.metric("sennit_rate_limited_total", dst_service="back") > 0


def test_rules_without_a_name(start_clean):
    """Each has its own count."""
    with Held() as o:
        doc = routed("h1", [o.address])
        doc["routes"][0]["rules"] = [
            {"matches": [{"path": {"type": "Exact", "value": path}}], "backendRefs": [{"name": "web", "port": 80}],
             "rateLimit": {"requestsPerSecond": 1, "burst": n}} for path, n in (("/a", 2), ("/b", 5))]
        proxy = start_clean([doc])
        with proxy.client() as c:
            passes(c, 10, 2, path="/a")
            passes(c, 10, 5, path="/b")


def test_rates_across_reloads(start_clean):
    """What was counted stays as long as it matters; another rate applies at once."""
    with Held() as o:
        def doc(n):
            return limited(o, {"requestsPerSecond": 1, "burst": 30}), routed("h1", [o.address], name=f"n{n}")

        proxy = start_clean(doc(0))
        with proxy.client() as c:
            passes(c, 60, 30)
            for n in range(1, 5):  # nobody asks in between
                reload(proxy, *doc(n))
            began = time.monotonic()
            passed, _ = burst(c, 30)
            assert passed <= 12 + time.monotonic() - began, passed
            counted = proxy.metric("sennit_rate_limited_total", dst_service="web")
            assert counted >= 30
            reload(proxy, limited(o, {"requestsPerSecond": 100000}))
            passes(c, 50, 49)  # the first may come before one conforms
            reload(proxy, routed("h1", [o.address]))
            passes(c, 10, 10)
        assert proxy.metric("sennit_rate_limited_total", dst_service="web") >= counted
