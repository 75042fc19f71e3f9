# SPDX-License-Identifier: Apache-2.0
"""Peers that make us work for nothing. Each attack runs against one proxy while a second client measures that
it is unharmed: every answer right and in time. Past a budget the attacker gets GOAWAY(ENHANCE_YOUR_CALM) and the
end of its connection; memory stays bounded; nothing is left behind."""
import struct
import threading
import time

import pytest

from exchange import Recording, connect, serve
from harness import Closed, Proxy, SANITIZED, SLOW, Sample, pattern, service, wait_for
from http2 import (CANCEL, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, HEADERS, PADDED, PING,
                   PRIORITY, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, S_MAX_STREAMS, S_WINDOW, SETTINGS, WINDOW_UPDATE,
                   H2Client, block, frame, head_frames, hpack_int, needs_http2, request_fields, settings_payload)

pytestmark = needs_http2
RSS_SPARE = 24 << 20
LATENCY_MAX = 2.0 * SLOW
ATTACK_SECONDS = 20 * SLOW
BATCH = 100


class Bystander(threading.Thread):
    """A well-behaved client on its own connection, to a service that is not under attack: one request after the
    other until it is stopped."""

    def __init__(self, port, kind):
        super().__init__(daemon=True)
        self.port, self.kind = port, kind
        self.done, self.wrong, self.latencies = threading.Event(), [], []
        self.start()

    def run(self):
        try:
            with connect(self.kind, self.port) as c:
                while not self.done.is_set():
                    began = time.monotonic()
                    ex = c.open("POST", "/bystander", "calm", length=2)
                    ex.send(b"hi")
                    ex.finish()
                    status, body = ex.head().status, ex.rest()
                    self.latencies.append(time.monotonic() - began)
                    if status != 200 or not body.startswith(b"calm"):
                        self.wrong.append((status, body))
                    self.done.wait(0.005)
        except (Closed, AssertionError, OSError) as e:
            self.wrong.append(repr(e))

    def unharmed(self):
        before = len(self.latencies)
        wait_for(lambda: self.wrong or len(self.latencies) > before + 3, "the bystander to go on")
        self.done.set()
        self.join(10)
        assert not self.wrong and max(self.latencies) < LATENCY_MAX, (self.wrong, max(self.latencies))


def script(ex):
    if ex.target == "/hang":
        ex.aborted()
    elif ex.target == "/big":
        serve(ex, body=pattern(1_000_000))
    else:
        serve(ex)


class Arena:
    def __init__(self, proxy, origin):
        self.proxy, self.origin, self.fds, self.rss = proxy, origin, proxy.fds(), proxy.rss_bytes()
        self.peak = 0

    def watch_memory(self):
        self.peak = max(self.peak, self.proxy.rss_bytes() - self.rss)
        assert SANITIZED or self.peak < RSS_SPARE, f"{self.peak >> 20} MiB more"


@pytest.fixture(scope="module")
def arena(tmp_path_factory):
    directory = tmp_path_factory.mktemp("floods")
    calm = Sample(directory, "calm")
    with Recording("h1", script) as origin:
        policy = {"connections": {"idleTimeout": "500ms"}}  # so that idle ones are gone when residue is counted
        proxy = Proxy(directory, [origin.service(policy=policy), service("calm", [calm.address], policy=policy)],
                      timeouts={"body": "1s"})
        with connect("h2", proxy.port) as c:  # what the first request leaves in pools is no residue
            c.open().head()
        yield Arena(proxy, origin)
        assert proxy.stop() == 0, proxy.log()
    calm.stop()


@pytest.fixture
def bystanders(arena):
    both = [Bystander(arena.proxy.port, kind) for kind in ("h1", "h2")]
    wait_for(lambda: all(b.latencies or b.wrong for b in both), "the bystanders' first answers")
    yield both
    for b in both:
        b.unharmed()
    arena.proxy.at_rest(arena.fds + 4, arena.rss, RSS_SPARE)


def until_stopped(arena, c, batches):
    """Sends batch after batch until the peer ends it; at most ATTACK_SECONDS."""
    end = time.monotonic() + ATTACK_SECONDS
    sent = 0
    try:
        for data in batches:
            if c.goaway or c.ended:
                break
            c.send(data)
            sent += 1
            if sent % 20 == 0:
                arena.watch_memory()
            assert time.monotonic() < end, f"nobody stopped it after {sent} batches"
    except Closed:
        pass
    return sent


def get(number, path="/"):
    return head_frames(number, block(request_fields(path=path)), end=True)


def post(number, more=(), path="/hang"):
    return head_frames(number, block(request_fields("POST", path, headers=more)))


def rst(number):
    return frame(RST_STREAM, 0, number, struct.pack(">I", CANCEL))


def numbers(batches=400):
    """Batches of new stream numbers."""
    for i in range(batches):
        yield range(1 + 2 * i * BATCH, 1 + 2 * (i + 1) * BATCH, 2)


def rapid_reset(_):
    for batch in numbers():
        yield b"".join(get(n, "/hang") + rst(n) for n in batch)


def rapid_reset_of_uploads(_):
    for batch in numbers():
        yield b"".join(post(n) + frame(DATA, 0, n, b"abc") + rst(n) for n in batch)


def provoking(each):
    """An attack that makes us reset: batch after batch, as fast as the resets come."""
    def attack(c):
        for i in range(1000):
            yield b"".join(each(n) for n in range(1 + 100 * i, 1 + 100 * (i + 1), 2))
            c.wait(lambda want=50 * (i + 1): c.goaway or c.frames.get(RST_STREAM, 0) >= want, "the resets")
    return attack


MADE_TO_RESET = {
    "window": lambda n: post(n) + frame(WINDOW_UPDATE, 0, n, struct.pack(">I", 0x7FFFFFFF)),
    "length": lambda n: post(n, [("content-length", "1")]) + frame(DATA, END_STREAM, n, b"abc"),
    "field": lambda n: head_frames(n, block(request_fields(headers=[("X", "a")])), end=True),
    "path": lambda n: head_frames(n, block(request_fields(path="x")), end=True),
    "trailers": lambda n: post(n) + head_frames(n, block([(":path", "/")]), end=True),
}


def pings(_):
    for _ in range(400):
        yield frame(PING, 0, 0, b"01234567") * BATCH


def settings(_):
    for i in range(400):
        yield frame(SETTINGS, 0, 0, settings_payload({S_WINDOW: 65535 + i % 2})) * BATCH


def empty_settings(_):
    for _ in range(400):
        yield frame(SETTINGS) * BATCH


def priorities(_):
    for i in range(1000):
        yield b"".join(frame(PRIORITY, 0, 3 + 2 * n, b"\0\0\0\0\x10") for n in range(i % 7, i % 7 + BATCH))


def empty_data(c):
    c.send(post(1, path="/"))
    for _ in range(1000):
        yield frame(DATA, 0, 1) * BATCH


def one_octet(c, flags, payload):
    """Within the windows, which padding counts against too."""
    c.send(post(1, path="/"))
    for _ in range(2000):
        c.wait(lambda: c.goaway or min(c.send_window, c.stream(1).send_window) > BATCH, "window")
        with c.cond:
            c.send_window -= BATCH
            c.stream(1).send_window -= BATCH
        yield frame(DATA, flags, 1, payload) * BATCH


def padded_empty_data(c):
    return one_octet(c, PADDED, b"\0")


def tiny_data(c):
    return one_octet(c, 0, b"x")


def window_updates(_):
    for _ in range(1000):
        yield frame(WINDOW_UPDATE, 0, 0, b"\0\0\0\1") * BATCH


def stream_window_updates(c):
    c.send(get(1, "/hang"))
    for _ in range(1000):
        yield frame(WINDOW_UPDATE, 0, 1, b"\0\0\0\1") * BATCH


def continuations(_):
    yield frame(HEADERS, END_STREAM, 1, block(request_fields()))
    for i in range(2000):
        yield frame(CONTINUATION, 0, 1, block([(f"x-{i}", "v" * 1000)])) * 10


def empty_continuations(_):
    yield frame(HEADERS, END_STREAM, 1, block(request_fields()))
    for _ in range(1000):
        yield frame(CONTINUATION, 0, 1) * BATCH


ATTACKS = {f.__name__: f for f in [rapid_reset, rapid_reset_of_uploads, pings, settings, empty_settings, priorities,
                                   empty_data, padded_empty_data, tiny_data, window_updates,
                                   stream_window_updates, continuations, empty_continuations]}
ATTACKS.update({f"made_to_reset_by_{name}": provoking(each) for name, each in MADE_TO_RESET.items()})


@pytest.mark.parametrize("name", ATTACKS)
def test_flood_is_ended(arena, bystanders, name):
    del bystanders
    before, seen, log = arena.proxy.refused(), len(arena.origin.exchanges), len(arena.proxy.log())
    with H2Client(arena.proxy.port) as c:
        c.stream(1)
        sent = until_stopped(arena, c, ATTACKS[name](c))
        assert c.closed(), f"still open after {sent} batches"
        assert c.goaway is not None and c.goaway[1] == ENHANCE_YOUR_CALM, c
    arena.watch_memory()
    wait_for(lambda: arena.proxy.refused() > before, "the refusal to be counted")
    assert "refused" in arena.proxy.log()[log:]
    # Work is what is limited: only a part of what was asked for was ever started.
    assert len([x for x in arena.origin.exchanges[seen:] if x.target == "/hang"]) < 5000


def test_attacker_that_does_not_read(arena, bystanders):
    """Its answers pile up nowhere: the connection is ended, or nothing more is read from it."""
    del bystanders
    with H2Client(arena.proxy.port, reading=False, rcvbuf=4096) as c:
        c.sock.settimeout(0.5)
        end = time.monotonic() + 5 * SLOW
        try:
            while time.monotonic() < end:
                c.send(frame(PING, 0, 0, b"01234567") * BATCH)
                arena.watch_memory()
        except Closed:  # refused, or full
            pass
        arena.watch_memory()


def test_header_list_bomb(arena, bystanders):
    """4 KiB on the wire that decode to 160 KiB: 431, the connection lives and its table stays in step."""
    del bystanders
    before = arena.proxy.refused()
    with H2Client(arena.proxy.port) as c:
        bomb = block(request_fields()) + block([("x-bomb", "b" * 3900)], indexed=True) + b"\xbe" * 40
        for i in range(5):
            s = c.stream()
            c.send(head_frames(s.id, bomb, end=True))
            s.wait_over()
            assert s.status == 431 and s.field("sennit-error") == "bad-request", s
            arena.watch_memory()
            assert arena.proxy.refused() == before + i + 1
        # the entry that the bombs left in the table is still known
        s = c.stream()
        c.send(head_frames(s.id, block(request_fields()) + b"\xbe", end=True))
        assert s.wait_over().status == 200
    assert arena.origin.exchanges[-1].get("x-bomb") is None or len(arena.origin.exchanges[-1].all("x-bomb")) == 1


def test_huge_header_list_bomb(arena, bystanders):
    """16 KiB that decode to 47 MiB, again and again: decoding is work, so that it has a budget too."""
    del bystanders
    bomb = block(request_fields()) + block([("x-bomb", "b" * 3900)], indexed=True) + b"\xbe" * 12_000
    with H2Client(arena.proxy.port) as c:
        until_stopped(arena, c, (head_frames(n, bomb, end=True) for n in range(1, 2001, 2)))
        assert c.closed() and c.goaway and c.goaway[1] == ENHANCE_YOUR_CALM, c
    arena.watch_memory()


def test_many_tiny_fields(arena, bystanders):
    """A head of thousands of empty fields is refused by their count, before memory is spent on them."""
    del bystanders
    with H2Client(arena.proxy.port) as c:
        s = c.stream()
        c.send(head_frames(s.id, block(request_fields()) + b"\0\1x\0" * 4000, end=True))
        s.wait_over()
        assert s.status == 431 or s.reset, s
        assert c.get().status == 200
    arena.watch_memory()


def test_huge_integers_in_hpack(arena, bystanders):
    del bystanders
    for data in (b"\0" + hpack_int(1 << 62, 7), b"\xff" * 4096, b"\x3f" + b"\xff" * 8 + b"\x7f"):
        with H2Client(arena.proxy.port) as c:
            c.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, data))
            assert c.closed() and c.goaway and c.goaway[1] != 0
    arena.watch_memory()


def test_zero_window_with_many_streams(arena, bystanders):
    """A client that takes nothing: buffers bounded, each stream is reset after timeouts.body, the connection
    lives, and the origin's connections are given up."""
    del bystanders
    with H2Client(arena.proxy.port, settings={S_WINDOW: 0}) as c:
        n = min(c.peer.get(S_MAX_STREAMS, 100), 100)
        streams = [c.request(path="/big") for _ in range(n)]
        for s in streams:
            s.wait_head()
        arena.watch_memory()
        for s in streams:
            s.wait_over(deadline=15 * SLOW)
            assert s.reset == CANCEL and not s.body, s
        arena.watch_memory()
        c.ping()
        c.settings({S_WINDOW: 65535})
        assert c.get().status == 200


def test_slow_readers_are_not_reset_while_they_read(arena, bystanders):
    """Progress counts, however small: more than timeouts.body passes, and nothing is lost."""
    del bystanders
    with H2Client(arena.proxy.port, settings={S_WINDOW: 1000}) as c:
        s = c.stream()
        s.hold = True
        s.head(request_fields(path="/big"), end=True)
        s.wait_body(1000)
        began, want = time.monotonic(), 1000
        while time.monotonic() - began < 2:
            want += 1000
            c.window_update(s.id, 1000)
            s.wait_body(want)
            assert s.reset is None
            threading.Event().wait(0.2)
        s.hold = False
        c.window_update(s.id, 1 << 20)
        assert s.wait_over().ended and bytes(s.body) == pattern(1_000_000)


def test_more_streams_than_allowed(arena, bystanders):
    """What is above our MAX_CONCURRENT_STREAMS is refused, so that it may be sent again; the rest is served."""
    del bystanders
    with H2Client(arena.proxy.port) as c:
        allowed = c.peer[S_MAX_STREAMS]
        assert 1 <= allowed <= 10_000
        wait_for(lambda: c.settings_acked, "our SETTINGS to be acknowledged")
        streams = [c.request("POST", "/", end=False) for _ in range(allowed + 5)]
        for s in streams[allowed:]:
            s.wait_over()
            assert s.reset in (REFUSED_STREAM, PROTOCOL_ERROR), (s, c)  # RFC 9113 5.1.2
        for s in streams[:allowed]:
            s.send(end=True)
        for s in streams[:allowed]:
            assert s.wait_over().status == 200
    arena.watch_memory()


def test_ordinary_use_is_no_flood(arena, bystanders):
    """What well-behaved clients do in numbers: thousands of requests, cancellations now and then, a PING each
    second's worth, a WINDOW_UPDATE for each DATA."""
    del bystanders
    with H2Client(arena.proxy.port) as c:
        for _ in range(40):
            streams = [c.request(path="/") for _ in range(50)]
            c.request(path="/hang").rst()
            c.ping()
            for s in streams:
                assert s.wait_over().status == 200
        big = c.get("/big")
        assert len(big.body) == 1_000_000 and c.goaway is None
