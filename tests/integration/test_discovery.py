# SPDX-License-Identifier: Apache-2.0
"""Where a service's endpoints come from: DNS of all sorts, files that are replaced and broken; what is known is used
until something better is."""
import contextlib
import re
import threading

import pytest

from harness import SLOW, Client, Closed, Origin, free_port, service, wait_for
from nameserver import AAAA, CNAME, NXDOMAIN, SERVFAIL, A, Nameserver, address, pack_name, record


@pytest.fixture
def dns():
    with Nameserver() as server:
        yield server


@pytest.fixture
def origins():
    """origins(n) -> n origins on 127.0.0.1, 127.0.0.2 ... with one port."""
    with contextlib.ExitStack() as stack:
        def start(n):
            port = free_port()
            return [stack.enter_context(Origin(host=f"127.0.0.{i + 1}", port=port)) for i in range(n)]

        yield start


IN_TURN = {"loadBalancing": {"algorithm": "RoundRobin"}}


def by_dns(name="web.test", port=None, kind="A", **more):
    spec = {"name": name, "type": kind, **({"port": port} if port else {})}
    return {"name": "web", "hosts": ["web"], "endpoints": {"dns": spec}, "policy": IN_TURN, **more}


@pytest.fixture
def start(start_proxy, dns):
    """A proxy that asks the test's nameserver."""
    def go(*services, timeout="100ms", **more):
        return start_proxy(list(services), resolver={"servers": [dns.address], "timeout": timeout}, **more)

    return go


def endpoints(proxy, n, source="dns"):
    wait_for(lambda: proxy.metric("sennit_endpoints", service="web", source=source) == n
             and [k for k in proxy.metrics() if k.startswith("sennit_endpoints") and source in k],
             f"{n} endpoints by {source}")


def updates(proxy, result):
    return proxy.metric("sennit_discovery_updates_total", service="web", result=result)


def more_updates(proxy, result, n=1):
    before = updates(proxy, result)
    wait_for(lambda: updates(proxy, result) >= before + n, f"{n} more {result}")


def served_by(proxy, some, n=30):
    """Which of @some serve, of @n requests that all succeed."""
    before = [len(o.requests) for o in some]
    for _ in range(n):
        assert proxy.get().status == 200
    return [len(o.requests) - b for o, b in zip(some, before)]


class Load(threading.Thread):
    """Keep-alive clients that never get anything but 200."""

    def __init__(self, proxy, clients=4):
        super().__init__(daemon=True)
        self.proxy, self.clients, self.over, self.bad, self.count = proxy, clients, False, [], 0

    def client(self):
        c = Client(self.proxy.port)
        try:
            while not self.over:
                r = c.request()
                self.count += 1
                if r.status != 200:
                    self.bad.append(r)
                if r.get("connection") == "close":
                    c.close()
                    c = Client(self.proxy.port)
        except (Closed, OSError, AssertionError) as e:
            self.bad.append(e)
        finally:
            c.close()

    def __enter__(self):
        self.threads = [threading.Thread(target=self.client, daemon=True) for _ in range(self.clients)]
        for t in self.threads:
            t.start()
        wait_for(lambda: self.count > 20, "requests")
        return self

    def __exit__(self, *failed):
        self.over = True
        for t in self.threads:
            t.join(10 * SLOW)
        if not failed[0]:
            assert not self.bad, self.bad[:5]


# --- DNS
def test_addresses_are_followed(start, dns, origins):
    a, b, c = origins(3)
    dns.addresses("web.test", ["127.0.0.1", "127.0.0.2"])
    proxy = start(by_dns(port=a.port))
    endpoints(proxy, 2)
    assert all(served_by(proxy, [a, b]))
    dns.addresses("web.test", ["127.0.0.3", "127.0.0.2"])
    wait_for(lambda: "1 added, 1 removed" in proxy.log(), "the change")
    wait_for(lambda: served_by(proxy, [a])[0] == 0, "the first not to be used")
    assert all(served_by(proxy, [b, c]))
    dns.addresses("web.test", ["127.0.0.2", "127.0.0.3"])  # another order is no change
    more_updates(proxy, "unchanged", 2)
    assert updates(proxy, "applied") == 2
    dns.addresses("web.test", ["127.0.0.3"])  # that it shrinks is believed at once
    endpoints(proxy, 1)
    wait_for(lambda: served_by(proxy, [b])[0] == 0, "the second not to be used")
    asked = dns.asked("web.test", A)
    assert len(asked) == len(dns.asked())  # nothing else was asked
    gaps = [y[3] - x[3] for x, y in zip(asked, asked[1:])]
    assert min(gaps) > 0.85, gaps  # the time to live is 1 s


def test_the_time_to_live_is_kept(start, dns, origins):
    a, = origins(1)
    dns.addresses("web.test", ["127.0.0.1"], ttl=0)
    dns.addresses("slow.test", ["127.0.0.1"], ttl=3600)
    proxy = start(by_dns(port=a.port), {**by_dns("slow.test", port=a.port), "name": "slow", "hosts": ["slow"]})
    endpoints(proxy, 1)
    wait_for(lambda: "slow: 1 endpoints" in proxy.log(), "the other one")
    before = len(dns.asked("slow.test"))  # 1, or more where an answer took its time
    wait_for(lambda: len(dns.asked("web.test")) > 3, "it to be asked again")
    assert len(dns.asked("slow.test")) == before


def test_an_alias_and_ipv6(start, dns):
    dns.zone["web.test", AAAA] = ([record("web.test", CNAME, 1, pack_name("w.test")), address("w.test", "fd00::1"),
                                   address("w.test", "fd00::2"), address("w.test", "127.0.0.1")], [])
    proxy = start(by_dns("WEB.test.", port=80, kind="AAAA"))
    endpoints(proxy, 2)
    assert not dns.asked(kind=A)


def test_services_by_priority(start, dns, origins):
    a, b, c = origins(3)
    with Origin() as other:
        dns.addresses("b.test", ["127.0.0.2"])  # b's does not come along, a's does
        dns.services("_http._tcp.test", [(1, 1, a.port, "a.test"), (1, 0, a.port, "b.test"), (2, 1, other.port, "o.test"),
                                         (0, 1, 0, "c.test"), (0, 1, 9, "")],
                     glue=[("a.test", "127.0.0.1"), ("o.test", "127.0.0.1")])
        proxy = start(by_dns("_http._tcp.test", kind="SRV"))
        endpoints(proxy, 2)
        assert all(served_by(proxy, [a, b])) and not other.requests
        assert not dns.asked("a.test") and not dns.asked("c.test") and not dns.asked("b.test", AAAA)
        # The first priority has no addresses any more: the next one has to do.
        dns.services("_http._tcp.test", [(1, 1, a.port, "gone.test"), (2, 1, other.port, "o.test")],
                     glue=[("o.test", "127.0.0.1")])
        endpoints(proxy, 1)
        wait_for(lambda: served_by(proxy, [other], 5)[0] == 5, "the next priority")
        assert dns.asked("gone.test", A) and dns.asked("gone.test", AAAA)
        dns.services("_http._tcp.test", [(1, 1, a.port, "c.test"), (2, 1, other.port, "o.test")],
                     glue=[("c.test", "127.0.0.3"), ("o.test", "127.0.0.1")])
        wait_for(lambda: served_by(proxy, [c], 5)[0] == 5, "the first priority")


def test_weights_of_services(start, dns, origins):
    a, b = origins(2)
    dns.services("_http._tcp.test", [(1, 9, a.port, "a.test"), (1, 0, a.port, "b.test")],
                 glue=[("a.test", "127.0.0.1"), ("b.test", "127.0.0.2")])
    proxy = start(by_dns("_http._tcp.test", kind="SRV"))
    endpoints(proxy, 2)
    assert served_by(proxy, [a, b], 40) == [36, 4]


@pytest.mark.parametrize("way", [SERVFAIL, "silent", "garbage"])
def test_an_error_changes_nothing(start, dns, origins, way):
    a, b = origins(2)
    dns.addresses("web.test", ["127.0.0.1"])
    proxy = start(by_dns(port=a.port))
    endpoints(proxy, 1)
    dns.way = way
    wait_for(lambda: updates(proxy, "error") >= 3, "three errors")
    assert served_by(proxy, [a], 5) == [5]
    assert "what was known before stays" in proxy.log()
    dns.way = "answer"
    dns.addresses("web.test", ["127.0.0.2"])
    wait_for(lambda: served_by(proxy, [b], 5)[0] == 5, "the new endpoint")
    assert "found again" in proxy.log()
    assert updates(proxy, "applied") == 2 and updates(proxy, "empty") == 0


def test_a_target_that_cannot_be_found_out_takes_nobody_away(start, dns, origins):
    a, b = origins(2)
    both = [(1, 1, a.port, "a.test"), (1, 1, a.port, "b.test")]
    glue = [("a.test", "127.0.0.1"), ("b.test", "127.0.0.2")]
    dns.services("_http._tcp.test", both, glue)
    proxy = start(by_dns("_http._tcp.test", kind="SRV"))
    endpoints(proxy, 2)
    dns.zone["b.test", A] = ([b"\xff\xff"], [])  # b's addresses: garbage
    dns.services("_http._tcp.test", both, glue[:1])
    more_updates(proxy, "error", 2)
    assert all(served_by(proxy, [a, b]))


def test_that_there_are_none_is_believed_the_third_time(start, dns, origins):
    a, = origins(1)
    dns.addresses("web.test", ["127.0.0.1"])
    proxy = start(by_dns(port=a.port))
    endpoints(proxy, 1)
    dns.way = NXDOMAIN
    wait_for(lambda: updates(proxy, "empty") == 1, "the first time")
    assert proxy.get().status == 200
    dns.way = "answer"
    more_updates(proxy, "unchanged")  # begins again
    assert updates(proxy, "applied") == 1
    del dns.zone["web.test", A]
    dns.addresses("web.test", ["::1"], kind=AAAA)  # the name is there, the type is not
    endpoints(proxy, 0)
    assert updates(proxy, "empty") == 4
    r = proxy.get()
    assert (r.status, r.get("sennit-error")) == (503, "no-endpoints")
    dns.addresses("web.test", ["127.0.0.1"])
    wait_for(lambda: proxy.get().status == 200, "it to be back")


def test_what_is_too_long_for_udp_comes_by_tcp(start, dns, origins):
    a, = origins(1)
    dns.addresses("web.test", [f"127.0.{i // 200}.{i % 200 + 1}" for i in range(400)])
    proxy = start(by_dns(port=a.port))
    endpoints(proxy, 400)
    assert {q[2] for q in dns.asked()} == {"udp", "tcp"}
    dns.addresses("web.test", [f"127.1.{i // 200}.{i % 200 + 1}" for i in range(1100)])
    endpoints(proxy, 1000)  # the most that is taken


def test_forged_answers_are_not_used(start, dns, origins):
    a, = origins(1)
    dns.way = "spoofed"
    dns.addresses("web.test", ["127.0.0.1"])
    proxy = start(by_dns(port=a.port))
    endpoints(proxy, 1)
    assert served_by(proxy, [a], 10) == [10]


def test_until_it_is_known_the_service_has_its_addresses(start, dns, origins):
    a, b = origins(2)
    dns.way = "silent"
    proxy = start(by_dns(port=a.port, addresses=["127.0.0.1"], ports=[{"port": a.port, "protocol": "http"}]))
    assert served_by(proxy, [a], 5) == [5]
    endpoints(proxy, 1, "addresses")
    dns.addresses("web.test", ["127.0.0.2"])
    dns.way = "answer"
    endpoints(proxy, 1)
    wait_for(lambda: served_by(proxy, [b], 5)[0] == 5, "the discovered one")
    dns.way = NXDOMAIN  # an answer as well: the addresses are not asked any more
    endpoints(proxy, 0)
    assert proxy.get().status == 503


def test_without_addresses_there_is_nobody_until_it_is_known(start, dns, origins):
    a, = origins(1)
    dns.way = "silent"
    proxy = start(by_dns(port=a.port))
    assert proxy.get().get("sennit-error") == "no-endpoints"
    dns.addresses("web.test", ["127.0.0.1"])
    dns.way = "answer"
    wait_for(lambda: proxy.get().status == 200, "an answer")


def test_another_server_is_asked_when_one_is_silent(start_proxy, dns, origins):
    a, = origins(1)
    dns.addresses("web.test", ["127.0.0.1"])
    with Nameserver() as dead:
        dead.way = "silent"
        proxy = start_proxy([by_dns(port=a.port)], resolver={"servers": [dead.address, dns.address], "timeout": "100ms"})
        endpoints(proxy, 1)
        assert dead.asked() and updates(proxy, "error") == 0


# --- documents that change meanwhile
def test_a_reload_forgets_nothing(start, dns, origins):
    a, b = origins(2)
    dns.addresses("web.test", ["127.0.0.1"])
    proxy = start(by_dns(port=a.port))
    endpoints(proxy, 1)
    dns.way = "silent"
    doc = proxy.doc
    asked = len(dns.asked())

    def reload():
        before = proxy.metric("sennit_config_reload_total", result="applied")
        proxy.write(doc)
        wait_for(lambda: proxy.metric("sennit_config_reload_total", result="applied") > before, "the document")

    with Load(proxy):
        doc["services"].append(service("other", [b.address]))
        reload()
        doc["services"][0]["endpoints"]["dns"]["name"] = "new.test"  # unknown yet: the old ones stay
        reload()
        doc["resolver"]["timeout"] = "50ms"
        reload()
        wait_for(lambda: dns.asked("new.test"), "the new name to be asked for")
        assert len(dns.asked("web.test")) <= asked + 3
        dns.addresses("new.test", ["127.0.0.2"])
        dns.way = "answer"
        wait_for(lambda: b.requests, "the new endpoint")
    doc["services"] = doc["services"][1:]
    reload()
    assert proxy.get().status == 404
    assert not [k for k in proxy.metrics() if "discovery" in k]
    seen = len(dns.asked())
    doc["services"].append(service("third", [a.address]))
    reload()
    assert len(dns.asked()) <= seen + 1


def test_what_was_listed_stays_until_it_is_discovered(start, dns, origins):
    a, b = origins(2)
    dns.way = "silent"
    proxy = start(service("web", [a.address]))
    with Load(proxy):
        proxy.doc["services"] = [by_dns(port=a.port, ports=[{"port": 80, "protocol": "http"}])]
        proxy.write(proxy.doc)
        wait_for(dns.asked, "the name to be asked for")
        assert served_by(proxy, [a], 5)[0] >= 5
        dns.addresses("web.test", ["127.0.0.2"])
        dns.way = "answer"
        wait_for(lambda: b.requests, "the discovered one")
        proxy.doc["services"] = [service("web", [a.address])]
        proxy.write(proxy.doc)
        wait_for(lambda: served_by(proxy, [b], 5)[0] == 0, "the listed one")


def test_names_that_flap_under_load(start, dns, origins):
    all3 = origins(3)
    dns.addresses("web.test", ["127.0.0.1"])
    proxy = start(by_dns(port=all3[0].port))
    endpoints(proxy, 1)
    with Load(proxy):
        for ips in (["127.0.0.2"], ["127.0.0.1", "127.0.0.2", "127.0.0.3"], ["127.0.0.3"], ["127.0.0.1", "127.0.0.2"]):
            before = updates(proxy, "applied")
            dns.addresses("web.test", ips)
            wait_for(lambda: updates(proxy, "applied") > before, f"{ips}")  # pylint: disable=cell-var-from-loop
    assert all(o.requests for o in all3)


# --- files
def by_file(path, **more):
    return {"name": "web", "hosts": ["web"], "endpoints": {"file": str(path)}, **more}


def replace(path, text):
    temporary = path.with_name(".new")
    temporary.write_text(text)
    temporary.rename(path)


def test_a_file_is_used_whole_or_not_at_all(tmp_path, start_proxy, origins):
    a, b = origins(2)
    place = tmp_path / "endpoints.d"
    place.mkdir()
    path = place / "web"
    path.write_text(f"# one\n127.0.0.1 {a.port}\n")
    proxy = start_proxy([by_file(path)])
    assert served_by(proxy, [a], 3) == [3]
    applied = proxy.metric("sennit_config_reload_total")
    replace(path, f"127.0.0.2 {a.port} * 3\n")
    wait_for(lambda: served_by(proxy, [b], 3)[0] == 3, "the other endpoint")
    for n, (text, why) in enumerate(((f"127.0.0.1 {a.port}\n127.0.0.", "half written"),
                                     (f"127.0.0.1 {a.port}\n127.0.0.1\n", "line 2: expected"),
                                     ("", "no endpoints in it"),
                                     ("localhost 80\n", "line 1: \"localhost\" is not an IP address"))):
        replace(path, text)
        wait_for(lambda: updates(proxy, "error") == n + 1, f"{text!r} to be refused")  # pylint: disable=cell-var-from-loop
        assert re.search(r"web.*" + re.escape(why.split('"')[0]), proxy.log()), why
        assert served_by(proxy, [b], 3) == [3]
    path.write_text("")  # an editor that writes in place: half of it, then the rest
    with open(path, "a", encoding="utf-8") as f:
        f.write(f"127.0.0.1 {a.port}")
        f.flush()
        f.write("\n")
    wait_for(lambda: served_by(proxy, [a], 3)[0] == 3, "the file as it is in the end")
    replace(path, "none\n")
    wait_for(lambda: proxy.get().status == 503, "none at all")
    assert proxy.metric("sennit_config_reload_total") == applied  # it is not the document that has changed


def test_a_file_that_goes_and_comes(tmp_path, start_proxy, origins):
    a, b = origins(2)
    place = tmp_path / "endpoints.d"
    place.mkdir()
    path = place / "web"
    proxy = start_proxy([by_file(path, addresses=["127.0.0.2"], ports=[{"port": a.port}])])
    assert served_by(proxy, [b], 3) == [3]  # it starts without the file, with the service's addresses
    assert "No such file" in proxy.log()
    path.write_text(f"127.0.0.1 {a.port}\n")
    wait_for(lambda: served_by(proxy, [a], 3)[0] == 3, "the file")
    path.unlink()
    more_updates(proxy, "error")
    assert served_by(proxy, [a], 3) == [3]
    path.write_text(f"127.0.0.2 {a.port}\n")
    wait_for(lambda: served_by(proxy, [b], 3)[0] == 3, "the file that is there again")
    endpoints(proxy, 1, "file")


def test_a_mounted_file(tmp_path, start_proxy, origins):
    """As a ConfigMap is mounted: a link through ..data, which is replaced."""
    a, b = origins(2)
    place = tmp_path / "mount"

    def mount(name, port_of):
        (place / name).mkdir(parents=True)
        (place / name / "web").write_text(port_of)
        (place / "..new").symlink_to(name)
        (place / "..new").rename(place / "..data")

    mount("..1", f"127.0.0.1 {a.port}\n")
    (place / "web").symlink_to("..data/web")
    proxy = start_proxy([by_file(place / "web")])
    assert served_by(proxy, [a], 3) == [3]
    mount("..2", f"127.0.0.2 {a.port}\n")
    wait_for(lambda: served_by(proxy, [b], 3)[0] == 3, "the second")
    mount("..3", f"127.0.0.1 {a.port}\n")
    wait_for(lambda: served_by(proxy, [a], 3)[0] == 3, "the third")


def test_service_ports_of_a_file(tmp_path, start_proxy, origins):
    a, b = origins(2)
    path = tmp_path / "web"
    path.write_text(f"127.0.0.1 {a.port} @ 80\n127.0.0.2 {a.port} @ 81\n")
    proxy = start_proxy([by_file(path, ports=[{"port": 80}, {"port": 81}])])
    assert proxy.get(host="web:80").status == 200 and len(a.requests) == 1
    assert proxy.get(host="web:81").status == 200 and len(b.requests) == 1


def test_a_file_that_changes_under_load(tmp_path, start_proxy, origins):
    all3 = origins(3)
    path = tmp_path / "web"
    path.write_text(f"127.0.0.1 {all3[0].port}\n")
    proxy = start_proxy([by_file(path)], workers=2)
    with Load(proxy):
        for some in ((2, 3), (3,), (1, 2, 3), (1,)) * 10:
            before = updates(proxy, "applied")
            replace(path, "".join(f"127.0.0.{k} {all3[0].port}\n" for k in some))
            wait_for(lambda: updates(proxy, "applied") == before + 1, f"{some}")  # pylint: disable=cell-var-from-loop
    assert all(o.requests for o in all3)
