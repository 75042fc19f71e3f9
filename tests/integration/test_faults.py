# SPDX-License-Identifier: Apache-2.0
"""Three endpoints of which one is faulty, under a steady load of idempotent requests: nobody may notice. And what
becomes of a single request whose origin fails it at each of its phases: what was perhaps acted on is never sent twice."""
import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from exchange import Recording, connect, serve
from harness import SLOW, Closed, Process, free_port, service, wait_for, wait_until_still
from http2 import needs_http2

KINDS = [pytest.param("h1", id="h1"), pytest.param("h2", id="h2", marks=needs_http2)]
both_kinds = pytest.mark.parametrize("kind", KINDS)
TRY_MS = int(300 * SLOW)
RETRY = {"codes": [502, 503, 504], "attempts": 2}
PENALTY = {"minPenalty": "300ms", "maxPenalty": "600ms"}
BREAKER = {"consecutiveFailures": 3, **PENALTY}


def web(kind, addresses, breaking=None, rule=None, **policy):
    """The service `web`, whose endpoints take turns."""
    doc = service("web", addresses)
    doc["ports"][0]["protocol"] = "http" if kind == "h1" else "http2"
    doc["policy"] = {"loadBalancing": {"algorithm": "RoundRobin"}, "circuitBreaking": breaking or BREAKER, **policy}
    rule = {"retry": RETRY, "timeouts": {"backendRequest": f"{TRY_MS}ms"}} if rule is None else rule
    doc["routes"] = [{"name": "all", "rules": [{"backendRefs": [{"name": "web", "port": 80}], **rule}]}]
    return doc


def ask(client, method="GET", path="/", body=b"", headers=()):
    """(status, body or x-name, sennit-error); status 0: it was cut."""
    try:
        ex = client.open(method, path, headers=headers, length=len(body) or None)
        if body:
            ex.send(body)
            ex.finish()
        head = ex.head()
        return head.status, ex.rest() or head.get("x-name", "").encode(), head.get("sennit-error")
    except (Closed, OSError):
        return 0, b"", None


class Load:
    """Four clients who ask one request after the other. .answers: (status, body, sennit-error)"""

    def __init__(self, kind, port, clients=4):
        self.answers, self.failures, self.ended = [], [], threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(kind, port)) for _ in range(clients)]

    def _run(self, kind, port):
        try:
            with connect(kind, port) as c:
                while not self.ended.wait(0.003):
                    self.answers.append(ask(c))
        except Exception as e:  # pylint: disable=broad-except
            self.failures.append(e)

    def more(self, n=100):
        """The next @n answers, without those of requests that were on their way."""
        at = len(self.answers) + len(self.threads)
        wait_for(lambda: len(self.answers) >= at + n or self.failures, f"{n} answers", deadline=30 * SLOW)
        assert not self.failures, self.failures
        return self.answers[at:at + n]

    def until(self, name, what):
        at = len(self.answers)
        wait_for(lambda: any(b == name for _, b, _ in self.answers[at:]) or self.failures, what, deadline=15 * SLOW)
        assert not self.failures, self.failures

    def __enter__(self):
        for t in self.threads:
            t.start()
        return self

    def __exit__(self, kind, *_):
        self.ended.set()
        for t in self.threads:
            t.join()
        if kind is None:
            assert not self.failures, self.failures
            bad = [a for a in self.answers if a[0] not in (200, 204)]
            assert not bad, f"{len(bad)} of {len(self.answers)} requests failed: {bad[:5]}"


def named(i):
    return lambda ex: serve(ex, body=b"%d" % i)


@contextlib.contextmanager
def origins(kind, *scripts):
    with contextlib.ExitStack() as stack:
        yield [stack.enter_context(Recording(kind, s)) for s in scripts]


# --- 1. a process that dies
PROCESS = """
import os, sys, threading
sys.path.insert(0, sys.argv[1])
from exchange import Recording
def script(ex):
    body = ex.rest()
    with open(sys.argv[5], "a") as log:
        log.write(ex.get("x-id", "-") + "\\n")
    if ex.get("x-die") == sys.argv[4]:
        os._exit(1)
    ex.respond(204, [("x-name", sys.argv[4])], None)  # one write, which is made or not
Recording(sys.argv[2], script, port=int(sys.argv[3]))
print("listening", flush=True)
threading.Event().wait()
"""


class OriginProcess(Process):
    """An origin on a port of its own that answers its name, dies of a request that says x-die: NAME, and notes each
    x-id in a file."""

    def __init__(self, directory, kind, port, name, log):
        super().__init__([sys.executable, "-c", PROCESS, os.path.dirname(__file__), kind, port, name, log], directory,
                         f"origin{name}-{time.monotonic_ns()}")
        self.port, self.address = port, f"127.0.0.1:{port}"
        wait_for(lambda: "listening" in self.output(), f"origin {name} to listen", deadline=20 * SLOW)


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def start_origin(tmp_path):
    started = []

    def start(kind, port, name):
        started.append(OriginProcess(tmp_path, kind, port, name, tmp_path / "seen"))
        return started[-1]

    yield start
    for p in started:
        p.popen.kill()
        p.popen.wait()


@both_kinds
def test_a_killed_process_is_left_and_comes_back(start_proxy, start_origin, kind):
    ports = [free_port() for _ in range(3)]
    some = [start_origin(kind, p, str(i)) for i, p in enumerate(ports)]
    proxy = start_proxy([web(kind, [o.address for o in some])])
    with Load(kind, proxy.port) as load:
        for i in range(3):
            load.until(b"%d" % i, f"origin {i} to be used")
        some[0].popen.kill()
        some[0].popen.wait()
        assert {b for _, b, _ in load.more(200)} == {b"1", b"2"}
        # Those that were on their way, those that open the breaker, and probes: no more tries than that.
        assert proxy.metric("outbound_http_route_retry_requests_total") <= 4 + 3 + 10
        start_origin(kind, ports[0], "0")
        load.until(b"0", "the one that is back to be found out by a probe")
        wait_for(lambda: sum(b == b"0" for _, b, _ in load.more(60)) > 6, "it to be used as before", deadline=20 * SLOW)


@both_kinds
def test_a_post_is_not_made_again_when_its_origin_dies_of_it(start_proxy, start_origin, tmp_path, kind):
    some = [start_origin(kind, free_port(), str(i)) for i in range(3)]
    proxy = start_proxy([web(kind, [o.address for o in some], rule={"retry": RETRY})])  # however long one takes
    answers = []
    with connect(kind, proxy.port) as c:
        for i in range(12):  # one of the first three goes to 1, which dies
            answers.append(ask(c, "POST", body=b"x" * 1000, headers=[("x-id", f"id{i}"), ("x-die", "1")]))
            if answers[-1][0] == 502:
                wait_for(lambda: not some[1].alive() and not listens(some[1].port), "all of it to be gone")
    statuses = [a[0] for a in answers]
    seen = (tmp_path / "seen").read_text().split()
    assert statuses.count(502) == 1 and statuses.count(204) == 11, (answers, seen)
    assert sorted(seen) == sorted(f"id{i}" for i in range(12)), seen
    assert not some[1].alive()


# --- 2. packets that go nowhere
def own_network():
    """This thread, and what it starts from now on, in a network namespace of its own; returns how to go back."""
    libc = ctypes.CDLL(None, use_errno=True)
    before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
    if libc.unshare(0x40000000):
        os.close(before)
        return None

    def back():
        assert libc.setns(before, 0x40000000) == 0
        os.close(before)

    return back


@pytest.fixture
def network():
    """network(port): packets to this port go nowhere from now on; network(None): all arrive again."""
    back = own_network() if os.geteuid() == 0 else None
    if not back:
        pytest.skip("network namespaces need root")
    try:
        run = lambda *args: subprocess.run(args, check=True, capture_output=True, timeout=30)
        run("ip", "link", "set", "lo", "up")
        run("nft", "add table inet t; add chain inet t in { type filter hook input priority 0; }")
        yield lambda port: run("nft", f"add rule inet t in tcp dport {port} drop" if port else "flush chain inet t in")
    finally:
        back()


@both_kinds
def test_a_black_hole(network, start_proxy, kind):
    with origins(kind, named(0), named(1), named(2)) as some:
        proxy = start_proxy([web(kind, [o.address for o in some])], timeouts={"connect": f"{int(100 * SLOW)}ms"})
        with Load(kind, proxy.port) as load:
            load.until(b"0", "origin 0 to be used")
            network(some[0].port)  # those that are connected go silent, others cannot connect
            assert b"0" not in {b for _, b, _ in load.more(200)[50:]}
            network(None)
            load.until(b"0", "it to be found out that packets arrive again")


# --- 3. reset at each phase
def reset_at(phase):
    """A script that resets the connection of each second exchange of its own at @phase."""
    def script(ex):
        if phase == "idle":
            serve(ex, body=b"bad")
            ex.conn.reset()
            return
        if phase == "body":
            ex.read(1000)
        elif phase == "read":
            ex.rest()
        elif phase == "pooled" and len(ex.conn.__dict__.setdefault("served", [])) == 0:
            ex.conn.served.append(ex)
            serve(ex, body=b"bad")
            return
        elif phase in ("response head", "response body"):
            ex.rest()
            ex.respond(length=1000)
            if phase == "response body":
                ex.send(b"x" * 500)
        if phase.startswith("response"):  # what came first is on its way before the reset overtakes it
            time.sleep(0.05)
        ex.conn.reset()

    return script


PHASES = ["accept", "head", "body", "read", "response head", "response body", "idle", "pooled"]


@pytest.mark.parametrize("method", ["PUT", "POST"])
@pytest.mark.parametrize("phase", PHASES)
@both_kinds
def test_a_reset_at_each_phase(start_proxy, kind, phase, method):
    """A body of 20,000 octets, which is kept for another try. PUT is idempotent, POST is not."""
    with contextlib.ExitStack() as stack:
        bad = stack.enter_context(Recording(kind, reset_at(phase)))
        if phase == "accept":
            if kind == "h1":
                bad.origin.script = lambda conn, _: conn.reset()
            else:
                bad.origin.on_connection = lambda conn: conn.reset()
        good = stack.enter_context(Recording(kind, named(1)))
        proxy = start_proxy([web(kind, [bad.address, good.address], breaking={"mode": "Off"}, rule={"retry": RETRY})])
        answers = {}
        client = stack.enter_context(connect(kind, proxy.port))
        for i in range(8):
            answers[f"id{i}"] = ask(client, method, body=b"b" * 20000, headers=[("x-id", f"id{i}")])
            if answers[f"id{i}"][0] != 200 and kind == "h1":  # a cut, or a body that is not taken, ends the connection
                client = stack.enter_context(connect(kind, proxy.port))
        at_bad, at_good = [ex.get("x-id") for ex in bad.exchanges], [ex.get("x-id") for ex in good.exchanges]
    statuses = [a[0] for a in answers.values()]
    cut = phase.startswith("response")
    for name, (status, body, error) in answers.items():
        tries = at_bad.count(name) + at_good.count(name)
        if status == 200:
            assert body in (b"1", b"bad"), body
        else:
            assert cut or error, (name, status)
        if phase == "accept" and status != 200:
            assert tries == 0
        elif cut or method == "POST":
            assert tries == 1, (name, tries, statuses)  # what was read is never made again
        else:
            assert 1 <= tries <= 3, (name, tries)
    if phase == "accept":
        assert not at_bad
    if cut:
        assert 0 in statuses and set(statuses) <= {0, 200}, statuses
        assert statuses.count(0) == len(at_bad)
    elif method == "PUT" or phase == "idle":
        assert set(statuses) == {200}, answers
    elif phase != "accept":  # that nobody acted on it can be known there, or not
        assert set(statuses) == {200, 502}, answers
        assert statuses.count(502) == len(at_bad) - (len(bad.connections) if phase == "pooled" else 0)


@both_kinds
def test_resets_under_load(start_proxy, kind):
    """Each third connection of each origin ends by a reset, after the head or between two requests."""
    def flaky(i):
        def script(ex):
            ex.conn.__dict__.setdefault("left", [len(some[i].connections) % 3 * 20 or 10**9])
            ex.conn.left[0] -= 1
            if ex.conn.left[0] < 0:
                ex.conn.reset()
            else:
                serve(ex, body=b"%d" % i)
        return script

    with origins(kind, flaky(0), named(1), named(2)) as some:
        proxy = start_proxy([web(kind, [o.address for o in some])])
        with Load(kind, proxy.port) as load:
            load.more(600)
    assert len(some[0].connections) > 1


# --- 4. silence
@both_kinds
def test_one_that_never_answers_is_ejected_and_probed(start_proxy, kind):
    busy, most, lock = [0], [0], threading.Lock()

    def silent(ex):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        try:
            ex.aborted()
        finally:
            with lock:
                busy[0] -= 1

    with origins(kind, silent, named(1), named(2)) as some:
        proxy = start_proxy([web(kind, [o.address for o in some])])
        with Load(kind, proxy.port) as load:
            wait_for(lambda: len(some[0].exchanges) >= 3, "three tries that nobody answers")
            wait_for(lambda: busy[0] == 0, "the tries to be given up")
            most[0], before, began = 0, len(some[0].exchanges), time.monotonic()
            load.more(300)
            wait_for(lambda: len(some[0].exchanges) >= before + 3, "probes", deadline=15 * SLOW)
            probes, took = len(some[0].exchanges) - before, time.monotonic() - began
        assert most[0] == 1  # one at a time
        assert probes <= 2 + took / (0.3 + TRY_MS / 1000), (probes, took)


@both_kinds
def test_the_deadline_of_a_request_nobody_answers(start_proxy, kind):
    with origins(kind, lambda ex: ex.aborted()) as (silent,):
        proxy = start_proxy([web(kind, [silent.address], breaking={"mode": "Off"},
                                 rule={"timeouts": {"request": f"{TRY_MS}ms"}, "retry": RETRY})])
        with connect(kind, proxy.port) as c:
            began = time.monotonic()
            status, _, error = ask(c)
            took = time.monotonic() - began
        assert (status, error) == (504, "timeout")
        assert TRY_MS / 1000 * 0.9 <= took <= TRY_MS / 1000 + 2 * SLOW
        assert len(silent.exchanges) == 1
        assert proxy.refused("timeout") == 1


# --- 5. too late
@both_kinds
def test_a_late_answer_is_nobodys(start_proxy, kind):
    late, said = threading.Event(), threading.Event()

    def script(ex):
        if ex.target == "/late":
            late.wait()
            with contextlib.suppress(Closed, OSError):
                serve(ex, body=b"late")
            said.set()
        else:
            serve(ex, body=ex.target.encode())

    with origins(kind, script) as (origin,):
        proxy = start_proxy([web(kind, [origin.address], breaking={"mode": "Off"},
                                 rule={"timeouts": {"request": f"{TRY_MS}ms"}})])
        with connect(kind, proxy.port) as c:
            assert ask(c, path="/before")[:2] == (200, b"/before")
            status, _, error = ask(c, path="/late")
            assert (status, error) == (504, "timeout")
            if kind == "h2":
                assert origin.exchanges[1].aborted()  # the stream is reset
            late.set()
            wait_for(said.is_set, "the late answer")
            for i in range(5):
                assert ask(c, path=f"/after{i}")[:2] == (200, f"/after{i}".encode())
        assert len(origin.connections) == (1 if kind == "h2" else 2)
        if kind == "h1":
            wait_for(lambda: origin.connections[0].ended, "the connection of the late answer to be closed")


# --- 8. nobody left
@both_kinds
def test_all_are_dead(start_proxy, kind):
    """Refused at once with the reason, and not tried more often than the budget has room for."""
    some = [Recording(kind) for _ in range(3)]
    for o in some:
        if kind == "h1":
            o.origin.script = lambda conn, _: conn.reset()
        else:
            o.origin.on_connection = lambda conn: conn.reset()
    n, per_second = 150, 5
    proxy = start_proxy([web(kind, [o.address for o in some], breaking={"mode": "Off"},
                             retryBudget={"percent": 20, "minPerSecond": per_second, "interval": "1s"})])
    try:
        began = time.monotonic()
        with connect(kind, proxy.port) as c:
            answers = [ask(c) for _ in range(n)]
        took = time.monotonic() - began
        wait_until_still(lambda: sum(len(o.connections) for o in some))  # accepted later than connected
        tries = sum(len(o.connections) for o in some)
    finally:
        for o in some:
            o.close()
    assert {a[0] for a in answers} <= {502, 503}, answers[:5]
    assert all(e for _, _, e in answers)
    # A pool that has just failed to connect says so without dialling, so that there may be fewer than requests.
    assert 3 <= tries <= n * 1.2 + per_second * (took + 2) + 3, (tries, took)
    assert sum(proxy.refused(reason) for reason in {e for _, _, e in answers}) == n
    # and with nobody who listens
    with connect(kind, proxy.port) as c:
        began = time.monotonic()
        answers = [ask(c) for _ in range(20)]
        assert {(s, e) for s, _, e in answers} == {(502, "connect")}, answers[:5]
        assert time.monotonic() - began < 5 * SLOW


@both_kinds
def test_never_all_are_ejected(start_proxy, kind):
    """Half of them by default, all but one at most: what they answer is then still seen by the client."""
    for most, left in ((None, 2), (100, 1)):
        with origins(kind, *[lambda ex: serve(ex, 503)] * 3) as some:
            breaking = {"consecutiveFailures": 3, "minPenalty": "1h", "maxPenalty": "1h"}
            if most:
                breaking["maxEjectedPercent"] = most
            proxy = start_proxy([web(kind, [o.address for o in some], rule={}, breaking=breaking)])
            with connect(kind, proxy.port) as c:
                answers = [ask(c) for _ in range(40)]
            counts = sorted(len(o.exchanges) for o in some)
            assert {(s, e) for s, _, e in answers} == {(503, None)}
            assert sum(counts) == 40 and counts[:3 - left] == [3] * (3 - left), counts
            assert proxy.refused() == 0
