# SPDX-License-Identifier: Apache-2.0
"""Changes under 1,000 requests a second: snapshots that follow one another as fast as they are applied, and the ends
of a process. No request fails."""
import re
import signal
import threading
import time

from harness import LONG, SLOW, Client, Origin, Sample, free_port, service, wait_for
from test_lifecycle import held, tell
from test_upgrade_inplace import H2Traffic, Traffic

SWAPS = 3000 if LONG else 1000


def applied(proxy):
    return re.search(r'^sennit_config_revision_info\{revision="([^"]*)"', proxy.admin("/metrics")[1], re.M)[1]


def swap(proxy, text, revision):
    """Replaces the document by one of that revision and waits until it is in use."""
    temporary = proxy.config_path.with_suffix(".new")
    temporary.write_text(text.replace("@revision@", revision))
    temporary.rename(proxy.config_path)
    proxy.popen.send_signal(signal.SIGHUP)
    wait_for(lambda: applied(proxy) == revision, f"revision {revision}", every=0.001)


def document_text(proxy, services):
    """The document as text with a place for its revision: what is written a thousand times is dumped once."""
    proxy.write(dict(proxy.doc, revision="@revision@", services=services))
    return proxy.config_path.read_text()


def test_a_thousand_snapshots_under_load(start_proxy, tmp_path):
    """Endpoints, routes and services come and go with each; `stays` is in all of them: its connections are kept, since
    its balancer and pool are."""
    samples = [Sample(tmp_path, f"s{i}") for i in range(3)]
    with Origin() as stays:
        hosts = [s.address for s in samples]

        def services(addresses, more):
            web = service("web", addresses, routes=[{"name": f"r{more}", "rules": [
                {"matches": [{"path": {"type": "PathPrefix", "value": "/"}}], "backendRefs": [{"name": "web"}]}]}])
            return [web, service("stays", [stays.address]), *([service("extra", [hosts[0]])] if more else [])]

        proxy = start_proxy(services(hosts, 0), workers=1, revision="start")
        texts = [document_text(proxy, services(*v)) for v in ((hosts[:2], 1), (hosts[1:], 0), (hosts[2:], 1), (hosts, 2))]
        swap(proxy, texts[0], "first")
        with proxy.client() as c:
            assert c.request(host="stays").status == 200
            kept = Traffic(tmp_path, "kept", proxy.port, 600, "--connections", "32")
            fresh = Traffic(tmp_path, "fresh", proxy.port, 250, "--connections", "64", "--header", "Connection: close")
            h2 = H2Traffic(proxy.port)
            h2.start()
            began = time.monotonic()
            for i in range(SWAPS):
                swap(proxy, texts[i % len(texts)], f"r{i}")
                if i % 10 == 0:
                    assert c.request(host="stays").status == 200
            took = time.monotonic() - began
            results = [kept.end(), fresh.end()]
            h2.end()
        print(f"{SWAPS} snapshots in {took:.2f} s", results, h2.ok, h2.connections)
        assert [r["errors"] for r in results] == [0, 0], results
        assert h2.connections == 1 and h2.again == 0
        assert len(stays.connections) == 1, "the pool of an endpoint that stays was lost"
        assert proxy.metric("sennit_config_reload_total", result="applied") >= SWAPS
        assert proxy.metric("sennit_refused_total") == 0
    for s in samples:
        s.stop()


def test_what_goes_with_a_snapshot_ends_what_it_has_begun(start_proxy, origin):
    """A request that is under way at an endpoint, of a service, that is no more."""
    release = threading.Event()
    with Origin(held(release)) as goes:
        proxy = start_proxy([service("web", [goes.address])], revision="one")
        with proxy.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            wait_for(lambda: goes.requests, "the request")
            for i, services in enumerate(([service("web", [origin.address])], [service("other", [origin.address])]) * 5):
                swap(proxy, document_text(proxy, services), f"r{i}")
            release.set()
            assert c.response().status == 200
        wait_for(lambda: goes.connections[0].ended, "its connection to be closed")
        assert len(goes.requests) == 1


def test_drain_and_the_end_under_load(start_proxy, tmp_path):
    """preStop: inbound ends its connections and outbound serves on. SIGTERM: the same for drain.propagation, in which
    who looks at readiness goes elsewhere; then the process ends."""
    sample = Sample(tmp_path, "web")
    inbound = free_port()
    proxy = start_proxy([service("web", [sample.address])], drain={"propagation": "2s"},
                        edit=lambda doc: doc["listeners"].append(
                            {"name": "inbound", "address": f"127.0.0.1:{inbound}", "direction": "inbound",
                             "protocol": "http", "service": "web"}))
    loads = [Traffic(tmp_path, f"{name}-{how}", port, 240, "--connections", "32",
                     *(["--header", "Connection: close"] if how == "fresh" else []))
             for name, port in (("in", inbound), ("out", proxy.port)) for how in ("kept", "fresh")]
    users = [H2Traffic(inbound), H2Traffic(proxy.port)]
    for u in users:
        u.start()
    wait_for(lambda: proxy.metric("request_total") > 300, "load")
    assert tell(proxy, "--drain").returncode == 0
    seen = proxy.metric("request_total")
    wait_for(lambda: proxy.metric("request_total") > seen + 1000, "load while draining")
    with Client(inbound) as c:
        assert c.request().get("connection") == "close" and c.closed() == "end"
    with proxy.client() as c:
        assert c.request().get("connection") is None and c.request().status == 200
    assert users[0].connections > 1 and users[1].connections == 1
    assert proxy.admin("/ready")[0] == 503
    for u in users:
        u.end()
    results = [load.end() for load in loads]
    assert [r["errors"] for r in results] == [0] * 4, results
    proxy.popen.send_signal(signal.SIGTERM)
    assert proxy.wait(5 * SLOW) == 0

    proxy = start_proxy([service("web", [sample.address])], drain={"propagation": "2s"},
                        edit=lambda doc: doc["listeners"][0].update(direction="inbound", service="web"))
    loads = [Traffic(tmp_path, "kept", proxy.port, 500, "--connections", "32"),
             Traffic(tmp_path, "fresh", proxy.port, 300, "--connections", "64", "--header", "Connection: close")]
    user = H2Traffic(proxy.port)
    user.start()
    wait_for(lambda: proxy.metric("request_total") > 300, "load")
    proxy.popen.send_signal(signal.SIGTERM)
    wait_for(lambda: proxy.admin("/ready")[0] == 503, "readiness to go off")
    seen = proxy.metric("request_total")
    wait_for(lambda: proxy.metric("request_total") > seen + 500, "load in the time of propagation")
    user.end()
    results = [load.end() for load in loads]
    assert [r["errors"] for r in results] == [0, 0], results
    assert proxy.wait(5 * SLOW) == 0
    sample.stop()


def test_what_has_connected_before_the_end_is_answered(start_proxy, origin):
    """Connections that are in the kernel's queue, or have said nothing yet, when SIGTERM comes."""
    proxy = start_proxy([service("web", [origin.address])], workers=1)
    with proxy.client() as used:
        assert used.request().status == 200
        proxy.popen.send_signal(signal.SIGSTOP)
        queued = [proxy.client() for _ in range(30)]
        for c in [*queued, used]:
            c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        proxy.popen.send_signal(signal.SIGTERM)
        proxy.popen.send_signal(signal.SIGCONT)
        for c in [*queued, used]:
            assert c.response().status == 200
            c.close()
    assert proxy.wait(5 * SLOW) == 0
