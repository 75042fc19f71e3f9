# SPDX-License-Identifier: Apache-2.0
"""Ordinary clients: curl, nghttp, h2load and a WebSocket library, each over every pair of protocols it can speak."""
import asyncio
import contextlib
import random
import re
import subprocess

import pytest
import websockets

from harness import SLOW, Sample, pattern
from judges import backend, certificate, engine, needs, nghttpd, tool

PAIRS = ["http1", "http2"]


def run(*args, data=None, seconds=60):
    done = subprocess.run([str(a) for a in args], input=data, capture_output=True, timeout=seconds * SLOW, check=False)
    assert done.returncode == 0, f"{args}: {done.returncode}\n{done.stderr[-2000:]}\n{done.stdout[-2000:]}"
    return done.stdout


def curl(*args, **kwargs):
    return run(tool("curl"), "-sSk", "--noproxy", "*", "--max-time", "30", *args, **kwargs)


@pytest.fixture
def through(start_proxy, running, tmp_path):
    """through("http1" or "http2", trailers) -> {listener: port} of a proxy before such an origin; /echo is only the
    HTTP/1 origin's, which echoes everywhere."""
    with contextlib.ExitStack() as stack:
        def make(origin, *args):
            ports = {}

            def edit(doc):
                ports.update(engine(doc, tls=certificate(tmp_path)))
                needs(tmp_path, doc)

            if origin == "http1":
                web = backend("web", running(Sample(tmp_path, "web", "--echo")).address)
            else:
                web = backend("web", nghttpd(running, tmp_path, "--echo-upload", *args), "http2")
            proxy = start_proxy([web], edit=edit)
            stack.enter_context(proxy.no_residue())
            return ports

        yield make


def test_curl_http1(start_proxy, running, tmp_path):
    """What needs no HTTP/2."""
    proxy = start_proxy([backend("web", running(Sample(tmp_path, "web", "--echo")).address)])
    body = pattern(3_000_000)
    url = f"http://127.0.0.1:{proxy.port}/"
    with proxy.no_residue():
        for chunked in ([], ["-H", "Transfer-Encoding: chunked"]):
            assert curl("--http1.1", "-H", "Host: web", *chunked, "--data-binary", "@-", url, data=body) == body
        assert curl("--http1.0", "-H", "Host: web", "--data-binary", "hello", url) == b"hello"
        said = curl("--http1.1", "-I", "-H", "Host: web", url)
        assert said.startswith(b"HTTP/1.1 200")
        answers = curl("-H", "Host: web", "-w", "%{http_code} %{num_connects}\n", *["-o", "/dev/null", url] * 20)
        assert answers.split() == [b"200", b"1"] + [b"200", b"0"] * 19


@pytest.mark.parametrize("origin", PAIRS)
def test_curl(through, origin):
    ports = through(origin)
    body = pattern(3_000_000)
    ways = {
        "1.1": ["--http1.1", f"http://127.0.0.1:{ports['http']}/"],
        "2 by prior knowledge": ["--http2-prior-knowledge", f"http://127.0.0.1:{ports['http']}/"],
        "2 alone": ["--http2-prior-knowledge", f"http://127.0.0.1:{ports['http2']}/"],
        "2 by ALPN": ["--http2", f"https://localhost:{ports['tls']}/"],
        "1.1 over TLS": ["--http1.1", f"https://localhost:{ports['tls']}/"],
    }
    for name, way in ways.items():
        version = b"2" if name[0] == "2" else b"1.1"
        assert curl("-o", "/dev/null", "-w", "%{http_code} %{http_version}", *way) == b"200 " + version, name
        assert curl("--data-binary", "@-", *way, data=body) == body, name
        assert curl("-H", "Expect: 100-continue", "--data-binary", "hello", *way) == b"hello", name
        assert curl("-I", *way).split()[1] == b"200", name


def test_nghttp_trailers(through, tmp_path):
    """Sent by the client, and by the origin, they arrive behind the body."""
    payload = tmp_path / "payload"
    payload.write_bytes(pattern(5000))
    ports = through("http2", "--trailer", "x-behind: the body")
    said = run(tool("nghttp"), "-v", "--no-dep", "--trailer", "x-from: client", "-d", payload,
               f"http://127.0.0.1:{ports['http2']}/").decode(errors="replace")
    said = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert re.search(r":status: 200", said), said
    assert re.search(r"recv \(stream_id=\d+\) x-behind: the body", said), said
    heads = re.findall(r"recv HEADERS frame <length=\d+, flags=0x(\w+)", said)
    assert len(heads) == 2 and int(heads[1], 16) & 1, said


@pytest.mark.parametrize("origin", PAIRS)
def test_nghttp_many_streams(through, origin):
    ports = through(origin)
    said = run(tool("nghttp"), "-v", "--no-dep", "-m", "200",
               f"http://127.0.0.1:{ports['http2']}/").decode(errors="replace")
    said = re.sub(r"\x1b\[[0-9;]*m", "", said)
    assert len(re.findall(r"recv \(stream_id=\d+\) :status: 200", said)) == 200
    assert not re.search(r"RST_STREAM|error_code=(?!NO_ERROR)", said), said[-3000:]


@pytest.mark.parametrize("way", ["http1", "http2", "tls"])
@pytest.mark.parametrize("origin", PAIRS)
def test_h2load(through, origin, way):
    ports = through(origin)
    said = run(tool("h2load"), "-n", "5000", "-c", "8", *(["--h1", "-m", "1"] if way == "http1" else ["-m", "32"]),
               f"http{'s' if way == 'tls' else ''}://127.0.0.1:{ports['http' if way == 'http1' else way]}/").decode()
    assert re.search(r"requests: 5000 total, 5000 started, 5000 done, .* 0 errored, 0 timeout", said), said
    counts = re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", said)
    # h2load does not see the status of an HTTP/1 response that has no reason phrase, as HTTP/2 origins have none.
    assert counts and counts.group(1) in ("5000", "0" if (origin, way) == ("http2", "http1") else "5000"), said


# --- WebSocket

MESSAGES = 1000


async def websocket_origin(sock, _path):
    """The first message says what to do."""
    what = await sock.recv()
    if what.startswith("close "):
        await sock.close(int(what[6:]), "as you wish")
    elif what == "push":
        for n in range(MESSAGES):
            await sock.send(f"{n} " + "y" * (n % 300))
            assert await sock.recv() == str(n)
    else:
        with contextlib.suppress(websockets.ConnectionClosed):
            while True:
                await sock.send(await sock.recv())
        await closes.put((sock.close_code, sock.close_reason))


closes = None


async def ended(sock):
    """The origin ends the connection once Close has gone both ways, and the client waits for that: so it has to come
    through. (Left alone the library would give up after ten seconds.)"""
    try:
        await asyncio.wait_for(sock.wait_closed(), 5 * SLOW)
    except asyncio.TimeoutError:
        raise AssertionError("the origin's end of the connection did not come through") from None


async def websocket_client(url):
    async with websockets.connect(url, max_size=None, ping_interval=None) as sock:
        await sock.send("echo")
        rng = random.Random(5)
        sizes = [0, 1, 125, 126, 127, 65535, 65536] + [rng.randrange(3000) for _ in range(MESSAGES - 7)]
        messages = [rng.randbytes(n) if n & 1 else "ä" * n for n in sizes]

        async def send():
            for message in messages:
                await sock.send(message)

        sending = asyncio.ensure_future(send())
        for message in messages:
            assert await sock.recv() == message
        await sending
        for _ in range(3):
            await (await sock.ping(rng.randbytes(8)))
        big = pattern(1 << 20)
        for message in (big, big[::-1], "x" * (1 << 20)):
            await sock.send(message)
            assert await sock.recv() == message
        closing = asyncio.ensure_future(sock.close(4321, "enough"))
        await ended(sock)
        await closing
        assert await closes.get() == (4321, "enough")
        assert sock.close_code == 4321

    async with websockets.connect(url, ping_interval=None) as sock:
        await sock.send("push")
        for n in range(MESSAGES):
            assert (await sock.recv()).split()[0] == str(n)
            await sock.send(str(n))
        await ended(sock)
        assert sock.close_code == 1000

    for code in (1000, 1001, 1011, 3000, 4999):
        async with websockets.connect(url, ping_interval=None) as sock:
            await sock.send(f"close {code}")
            await ended(sock)
            assert (sock.close_code, sock.close_reason) == (code, "as you wish")

    async with websockets.connect(url, ping_interval=None) as sock:  # one that just goes away
        await sock.send("echo")
        sock.transport.abort()
    assert (await closes.get())[0] == 1006


async def with_websocket_origin(work):
    """@work(port): a coroutine's maker."""
    global closes  # pylint: disable=global-statement
    closes = asyncio.Queue()
    async with websockets.serve(websocket_origin, "127.0.0.1", 0, max_size=None, ping_interval=None) as server:
        await asyncio.wait_for(work(server.sockets[0].getsockname()[1]), 60 * SLOW)


@pytest.mark.parametrize("path", ["one proxy", "mesh hop"])
def test_websocket(start_proxy, tmp_path, path):
    """From HTTP/1 to HTTP/1, and in between over HTTP/2 from proxy to proxy (RFC 8441)."""
    def peer(doc):
        engine(doc)
        doc["listeners"].append({**doc["listeners"][0], "name": "mesh", "meshPeer": True,
                                 "address": doc["listeners"].pop()["address"]})
        needs(tmp_path, doc)

    def plain(doc):
        engine(doc)
        needs(tmp_path, doc)

    async def work(port):
        web = backend("web", f"127.0.0.1:{port}")
        # (started from another thread: the event loop stays alive, it is the origin)
        loop = asyncio.get_running_loop()
        if path == "one proxy":
            proxies = [await loop.run_in_executor(None, lambda: start_proxy([web], edit=plain))]
        else:
            last = await loop.run_in_executor(None, lambda: start_proxy([web], edit=peer))
            hop = backend("web", last.doc["listeners"][-1]["address"], mesh=True)
            proxies = [await loop.run_in_executor(None, lambda: start_proxy([hop], edit=plain)), last]
        with contextlib.ExitStack() as stack:
            for proxy in reversed(proxies):
                stack.enter_context(proxy.no_residue())
            await websocket_client(f"ws://127.0.0.1:{proxies[0].port}/chat?room=1")

    asyncio.run(with_websocket_origin(work))
