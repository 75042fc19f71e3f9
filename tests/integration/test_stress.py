# SPDX-License-Identifier: Apache-2.0
"""Everything at once, by chance: clients of both versions that cancel, origins of both that delay, reset, truncate,
refuse and go away, and a document whose endpoints come and go. No answer may be another request's or altered; nothing
may be left behind. SEED and N (seconds) by environment: SEED=7 N=60 pytest test_stress.py"""
import contextlib
import hashlib
import os
import random
import threading
import time

from exchange import Recording, connect
from harness import SLOW, Closed, free_port, pattern, service
from http2 import INTERNAL_ERROR, REFUSED_STREAM, S_MAX_STREAMS, needs_http2

pytestmark = needs_http2
SEED = int(os.environ.get("SEED", "1"))
SECONDS = float(os.environ.get("N", "8"))
CLIENTS = 8
BYTES = pattern(1 << 20)
HARMLESS = ("plain", "chunked", "delay", "trickle", "early", "interim", "empty")
HARMFUL = ("reset", "truncate", "refuse", "goaway", "close", "nothing")
SIZES = (0, 1, 3, 1000, 16384, 65535, 70000, 300000)


def bytes_of(ident, n):
    """The body that belongs to an id, and to no other."""
    at = int(hashlib.sha256(ident.encode()).hexdigest(), 16) % 700000
    return (ident.encode() + BYTES[at:at + n])[:n]


class Play:
    """An origin's script: what the path says, /id/way/size."""

    def __init__(self, seed):
        self.rng, self.wrong = random.Random(seed), []

    def __call__(self, ex):
        _, ident, way, size = ex.target.split("/")
        data, h2 = bytes_of(ident, int(size)), ex.version == "HTTP/2"
        if way in ("refuse", "goaway", "close", "reset") and self.rng.random() < 0.7:
            self.end(ex, way, h2)
            return
        if way == "nothing":
            try:
                ex.aborted()
            except AssertionError:
                self.wrong.append(f"{ident}: nobody gives it up; {ex.method} {ex.headers}")
            return
        if way != "early":
            sent = ex.rest()
            if ex.method == "POST" and sent != bytes_of(ident, int(ex.get("x-sent"))):
                self.wrong.append(f"{ident}: a request's body of {len(sent)} octets")
        if way == "delay":
            time.sleep(self.rng.random() * 0.03)
        if way == "interim":
            ex.interim(103, [("link", ident)])
        self.answer(ex, ident, way, data, h2)

    @staticmethod
    def end(ex, way, h2):
        if h2 and way == "refuse":
            ex.stream.rst(REFUSED_STREAM)
        elif h2 and way == "goaway":
            ex.conn.say_goaway(max(0, ex.stream.id - 2))
        elif h2 and way == "reset":
            ex.stream.rst(INTERNAL_ERROR)
        elif h2:
            ex.conn.close()
        elif way == "reset":
            ex.raw.reset()
        else:
            ex.raw.close()

    def answer(self, ex, ident, way, data, h2):
        headers = [("x-id", ident), ("x-size", str(len(data)))]
        if way == "empty":
            ex.respond(self.rng.choice((204, 304)), headers, None)
            return
        ex.respond(200, headers, "chunked" if way in ("chunked", "trickle") else len(data))
        if ex.method != "HEAD":
            if way == "truncate":
                ex.send(data[:len(data) // 2])
                self.end(ex, "reset", h2)
                return
            step = max(1, len(data) // 7) if way == "trickle" else 1 << 20
            for at in range(0, len(data), step):
                ex.send(data[at:at + step])
        elif not h2:
            return
        ex.finish([("x-trailer", ident)] if way == "chunked" else ())


class User(threading.Thread):
    """One client after the other, requests one after the other on each; checks what it gets."""

    def __init__(self, number, seed, port, until, hosts):
        super().__init__(daemon=True)
        self.rng = random.Random(f"{seed}-{number}")
        self.number, self.port, self.until, self.hosts = number, port, until, hosts
        self.wrong, self.done, self.count = [], 0, 0
        self.seen = {}

    def run(self):
        while time.monotonic() < self.until and not self.wrong:
            kind = self.rng.choice(("h1", "h2"))
            try:
                with connect(kind, self.port) as c:
                    while time.monotonic() < self.until and self.some(c, kind):
                        pass
            except (Closed, OSError):
                pass
            except Exception as e:  # pylint: disable=broad-except
                self.wrong.append(repr(e))

    def some(self, c, kind):
        """A few requests, on HTTP/2 at once, on HTTP/1 sometimes pipelined. False: no more on this client."""
        n = self.rng.randint(1, 6) if kind == "h2" else self.rng.choice((1, 1, 1, 3))
        asked = []
        for _ in range(n):
            asked.append(self.ask(c, pipelined=kind == "h1" and n > 1))
        if self.rng.random() < 0.08:  # it goes away
            if kind == "h2" and self.rng.random() < 0.7:
                for _, _, ex in asked:
                    ex.abort()
                return True
            self.rng.choice((c.reset, c.close))()
            return False
        asked.sort(key=lambda a: a[1][0] != "nothing")  # else two might wait for what the other one holds
        return all([self.check(*a) for a in asked])

    def ask(self, c, pipelined):
        self.count += 1
        way = self.rng.choice(HARMLESS if self.rng.random() < 0.7 else HARMFUL)
        if pipelined and way == "nothing":  # behind the others' bytes nobody sees that the client has left
            way = "plain"
        ident = f"i{self.number}.{self.count}"
        method = "GET" if pipelined else self.rng.choice(("GET", "POST", "POST", "HEAD"))
        size, n = self.rng.choice(SIZES), self.rng.choice(SIZES)
        post = method == "POST"
        form = self.rng.choice(("chunked", n)) if post else None
        headers = [("x-sent", str(n)), ("x-id", ident)] if post else [("x-id", ident)]
        ex = c.open(method, f"/{ident}/{way}/{size}", self.rng.choice(self.hosts), headers, form)
        with contextlib.suppress(Closed, OSError):  # an answer may have come before the body's end
            if post:
                body = bytes_of(ident, n)
                cut = self.rng.randint(0, n)
                ex.send(body[:cut])
                if self.rng.random() < 0.05:
                    time.sleep(0.01)
                if body[cut:]:
                    ex.send(body[cut:])
                ex.finish([("x-end", ident)] if form == "chunked" and self.rng.random() < 0.3 else ())
        return ident, (way, method, size), ex

    def check(self, ident, what, ex):
        """False: the connection is of no more use."""
        way, method, size = what
        try:
            if way == "nothing":
                if hasattr(ex, "stream"):
                    ex.abort()
                    return True
                return False
            r = ex.head()
            self.seen[r.status] = self.seen.get(r.status, 0) + 1
            if r.get("sennit-error"):
                if r.get("x-id") or r.status == 400 or way in HARMLESS and r.status not in (502, 503, 404):
                    self.wrong.append(f"{ident} {what}: {r}")
                    return False
                if method != "HEAD" and not ex.rest().startswith(b"sennit: "):
                    self.wrong.append(f"{ident} {what}: an altered answer of the proxy's own")
                return r.get("connection") != "close"
            if r.get("x-id") != ident:
                self.wrong.append(f"{ident} {what}: got {r}")
                return False
            if method == "HEAD" and hasattr(ex, "stream"):
                ex.stream.wait_over()
            want = b"" if way == "empty" or method == "HEAD" else bytes_of(ident, size)
            got = ex.rest()
            if got != want:
                self.wrong.append(f"{ident} {what}: {len(got)} octets for {len(want)}, the first {got[:40]}")
                return False
            self.done += 1
            return r.get("connection") != "close"
        except (Closed, OSError) as e:
            if way in HARMLESS:
                self.seen[repr(e)] = self.seen.get(repr(e), 0) + 1
            return hasattr(ex, "stream") and ex.stream.conn.ended is None and ex.stream.conn.goaway is None


def documents(rng, origins, dead):
    """Services whose endpoints come and go: of HTTP/1, of HTTP/2, of both at once, and one that comes and goes."""
    h1, h2 = [o.address for o in origins["h1"]], [o.address for o in origins["h2"]]

    def some(addresses):
        return rng.sample(addresses, rng.randint(1, len(addresses))) + ([dead] if rng.random() < 0.3 else [])

    policy = {"connections": {"idleTimeout": "1s", "max": rng.choice((2, 1024)), "pending": rng.choice((2, 100))}}
    one = service("one", some(h1), policy=policy)
    two = service("two", some(h2), policy=policy)
    two["ports"][0]["protocol"] = "http2"
    both = service("both", some(h1), policy=policy)
    both["endpoints"]["static"] += [{"address": a, "mesh": True} for a in some(h2)]
    shy = service("shy", some(h1), policy=policy)
    return [one, two, both] + ([shy] if rng.random() < 0.7 else [])


def test_chance(start_proxy):
    rng = random.Random(SEED)
    plays = [Play(f"{SEED}-{i}") for i in range(5)]
    with contextlib.ExitStack() as stack:
        origins = {"h1": [stack.enter_context(Recording("h1", p)) for p in plays[:3]],
                   "h2": [stack.enter_context(Recording("h2", p, {S_MAX_STREAMS: rng.choice((3, 100))}))
                          for p in plays[3:]]}
        dead = f"127.0.0.1:{free_port()}"
        proxy = start_proxy(documents(rng, origins, dead), workers=2, timeouts={"drain": "5s"})
        with proxy.no_residue(memory_slack_bytes=16 << 20, deadline=30 * SLOW):
            until = time.monotonic() + SECONDS
            users = [User(i, SEED, proxy.port, until, ("one", "two", "both", "shy")) for i in range(CLIENTS)]
            for u in users:
                u.start()
            while time.monotonic() < until:
                time.sleep(0.05 + rng.random() * 0.3)
                proxy.write(dict(proxy.doc, services=documents(rng, origins, dead)))
            for u in users:
                u.join(30 * SLOW)
            stuck = [u.number for u in users if u.is_alive()]
        for u in users:
            print(u.number, u.count, u.done, u.seen)
        assert not stuck, f"clients {stuck} wait for an answer"
        assert not [w for u in users for w in u.wrong] and not [w for p in plays for w in p.wrong]
        assert sum(u.done for u in users) > 10 * SECONDS / SLOW
        began = time.monotonic()
        assert proxy.stop() == 0 and time.monotonic() - began < 3 * SLOW
