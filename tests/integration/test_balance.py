# SPDX-License-Identifier: Apache-2.0
"""Which endpoint takes a request, with real origins."""
import time

import pytest

from running import Origin, Proxy, answer, read_head, wait_for

DOC = """
version: 1
zone: here
admin: {address: "127.0.0.1:{admin}"}
listeners: [{name: out, address: "127.0.0.1:{port}", direction: outbound}]
services: [{name: web, hosts: [web], policy: %s, endpoints: {static: [%s]}}]
"""


class Named(Origin):
    """Answers with its number, and with an error while `bad` says so."""

    def __init__(self, number):
        self.number, self.bad = number, None
        super().__init__(self.serve)

    @staticmethod
    def serve(conn, origin):
        while True:
            head, _ = read_head(conn)
            if not head.endswith(b"\r\n\r\n"):
                return
            origin.seen.append(head)
            status, headers = origin.bad or ("200 OK", ())
            conn.sendall(answer(b"%d" % origin.number, status, headers))


@pytest.fixture
def origins():
    made = [Named(i) for i in range(5)]
    yield made
    for o in made:
        o.close()


@pytest.fixture
def start():
    made = []

    def one(policy, origins, more=""):
        made.append(Proxy(DOC % (policy, endpoints(origins, more))))
        return made[-1]

    yield one
    for p in made:
        p.stop()


def endpoints(origins, more=""):
    return ", ".join('{address: "127.0.0.1:%d"%s}' % (o.port, more) for o in origins)


def get(proxy, path="/", headers=""):
    """(status, body, head)"""
    raw = proxy.ask(f"GET {path} HTTP/1.1\r\nHost: web\r\n{headers}Connection: close\r\n\r\n".encode())
    head, _, body = raw.partition(b"\r\n\r\n")
    return int(head.split(b" ")[1]), body, head


QUICK = "{loadBalancing: {algorithm: %s}, circuitBreaking: {consecutiveFailures: 3, minPenalty: 300ms, maxPenalty: 300ms}}"


# Those that do not look at latency: one slow answer of a busy machine would keep requests away for seconds.
@pytest.mark.parametrize("algorithm", ["RoundRobin", "LeastRequest", "Random"])
def test_an_endpoint_that_errs_is_ejected_and_comes_back(start, origins, algorithm):
    good, bad = origins[:2]
    bad.bad = ("500 Oops", ())
    proxy = start(QUICK % algorithm, [good, bad])
    wait_for(lambda: get(proxy)[0] and len(bad.seen) >= 3, what="it to err three times")
    begin = time.monotonic()
    statuses = [get(proxy)[0] for _ in range(20)]
    # all that go there now are probes, which keep failing: the penalty is at least 300 ms
    assert statuses.count(500) <= 1 + (time.monotonic() - begin) / 0.3, statuses
    bad.bad = None
    wait_for(lambda: get(proxy)[1] == b"1", what="a probe")
    seen = len(bad.seen)
    wait_for(lambda: get(proxy)[0] == 200 and len(bad.seen) > seen + 2, seconds=20, what="it to be used again")


def test_a_refused_connection_counts(start, origins):
    good, dead = origins[:2]
    dead.close()
    proxy = start(QUICK % "RoundRobin", [good, dead])
    assert {get(proxy)[0] for _ in range(20)} == {200}  # tried again elsewhere, then not tried at all


def test_all_ejected_says_so(start, origins):
    good, bad = origins[:2]
    bad.bad = ("503 Busy", ())
    policy = ("{loadBalancing: {algorithm: RoundRobin}, "
              "circuitBreaking: {consecutiveFailures: 3, minPenalty: 1h, maxPenalty: 1h, panic: %s}}")
    proxy = start(policy % "false", [good, bad])
    wait_for(lambda: get(proxy)[0] and len(bad.seen) >= 3, what="it to err three times")
    proxy.write(DOC % (policy % "false", endpoints([bad])))
    status, body, head = wait_for(lambda: (r := get(proxy))[1] != b"0" and r, what="the reload")
    assert status == 503 and b"sennit-error: no-endpoints" in head, head
    assert len(bad.seen) == 3
    assert "all endpoints are ejected" in proxy.logs()
    proxy.write(DOC % (policy % "true", endpoints([bad])))
    wait_for(lambda: get(proxy)[1] == b"1", what="panic")
    proxy.write(DOC % ("{circuitBreaking: {mode: Off}}", endpoints([bad])))
    wait_for(lambda: get(proxy)[1] == b"1", what="another reload")


@pytest.mark.parametrize("algorithm", ["RingHash", "Maglev"])
@pytest.mark.parametrize("hash_on, ask", [
    ("{type: Header, name: X-User}", lambda u: {"headers": f"x-user: {u}\r\n"}),
    ("{type: Cookie, name: sid}", lambda u: {"headers": f"Cookie: a=b; sid={u}\r\n"}),
    ("{type: QueryParam, name: u}", lambda u: {"path": f"/x?y=z&u={u}"})])
def test_a_key_keeps_its_endpoint(start, origins, algorithm, hash_on, ask):
    policy = "{loadBalancing: {algorithm: %s, hashOn: %s}}" % (algorithm, hash_on)
    one, other = start(policy, origins), start(policy, origins[::-1])
    owners = {user: get(one, **ask(user))[1] for user in range(30)}
    assert len(set(owners.values())) == 5
    for user, owner in owners.items():
        assert get(one, **ask(user))[1] == get(other, **ask(user))[1] == owner
    assert len({get(one)[1] for _ in range(40)}) > 1  # without a key: any
    if algorithm == "RingHash":
        one.write(DOC % (policy, endpoints(origins[:4])))
        wait_for(lambda: all(get(one, **ask(u))[1] != b"4" for u in owners), what="the reload")
        assert all(get(one, **ask(u))[1] == o for u, o in owners.items() if o != b"4")


def test_a_source_address_is_a_key(start, origins):
    proxy = start("{loadBalancing: {algorithm: Maglev, hashOn: {type: SourceAddress}}}", origins)
    assert len({get(proxy)[1] for _ in range(20)}) == 1


def test_the_own_zone_first(start, origins):
    proxy = start("{loadBalancing: {algorithm: RoundRobin}}", origins, ", zone: here")
    assert len({get(proxy)[1] for _ in range(20)}) == 5
    text = endpoints(origins[:2], ", zone: here") + ", " + endpoints(origins[2:], ", zone: there")
    proxy.write(DOC % ("{loadBalancing: {algorithm: RoundRobin}}", text.replace("zone: there", "zone: there, weight: 0")))
    wait_for(lambda: {get(proxy)[1] for _ in range(10)} == {b"0", b"1"}, what="those without weight to be left alone")
    file = proxy.dir / "endpoints"
    file.write_text("".join(f"127.0.0.1 {o.port}{more}\n" for o, more in zip(
        origins, (" * 2 zone=here", " zone=here", " zone=there", " @ 99", " zone=there"))))
    service = "{name: web, hosts: [web], endpoints: {file: %s}, policy: {locality: {mode: %s}, loadBalancing: {algorithm: RoundRobin}}}"
    head = DOC.split("services")[0]
    proxy.write(head + f"services: [{service % (file, 'PreferOwnZone')}]\n")
    wait_for(lambda: sorted(get(proxy)[1] for _ in range(6)) == [b"0"] * 4 + [b"1"] * 2, what="the near ones, by weight")
    proxy.write(head + f"services: [{service % (file, 'Off')}]\n")
    wait_for(lambda: {get(proxy)[1] for _ in range(10)} == {b"0", b"1", b"2", b"4"}, what="all of them")


def test_retry_after_is_honoured(start, origins):
    busy = origins[0]
    busy.bad = ("429 Slow Down", ("Retry-After: 30",))
    proxy = start("{loadBalancing: {algorithm: RoundRobin}}", origins[:2])
    wait_for(lambda: get(proxy)[0] == 429, what="the answer")
    assert [get(proxy)[0] for _ in range(30)].count(429) <= 6
