# SPDX-License-Identifier: Apache-2.0
"""Two proxies in a row: what a client said to the first arrives at the origin behind the second as it was, over one
HTTP/2 connection between them; and nobody else can pretend to be a proxy."""
import threading

import pytest

from exchange import Recording, all_pairs, connect, serve
from harness import Closed, Origin, SLOW, pattern, wait_for
from http2 import DATA, S_CONNECT, S_MAX_STREAMS, H2Client, H2Origin, frame, needs_http2, request_fields
from test_upgrade import WEBSOCKET, ask, echo_server

pytestmark = needs_http2


def peer_listener(peer):
    """The second proxy's listener: bound to its one service."""
    def edit(doc):
        doc["listeners"][0].update(name="peer", service="web", protocol="detect", meshPeer=peer)

    return edit


@pytest.fixture
def chain(start_proxy):
    """chain(address, protocol) -> (edge proxy, peer proxy in front of the origin)"""
    def start(address, protocol="detect", peer=True, service=None, **document):
        svc = {"name": "web", "hosts": ["web"], "ports": [{"port": 80, "protocol": protocol}],
               "endpoints": {"static": [{"address": address}]}}
        second = start_proxy([svc], edit=peer_listener(peer), **document)
        to_peer = {**svc, "endpoints": {"static": [{"address": f"127.0.0.1:{second.port}", "mesh": True}]},
                   **(service or {})}
        return start_proxy([to_peer], **document), second

    return start


def test_http1_travels_as_http2_and_comes_out_as_it_was(chain, start_proxy):
    """Head for head what one proxy alone would have sent."""
    headers = [("User-Agent", "x/1"), ("X-Case", "Kept?"), ("Accept", "a"), ("Accept", "b"), ("Cookie", "a=1; b=2"),
               ("sennit-anything", "forged"), ("Content-Type", "text/plain")]
    with Recording("h1") as origin:
        alone = start_proxy([origin.service()])
        edge, second = chain(origin.address, "detect")
        for proxy in (alone, edge):
            with connect("h1", proxy.port) as c:
                for length in (3, "chunked", None):
                    ex = c.open("POST" if length else "GET", "/a%2F?b", headers=headers, length=length)
                    if length:
                        ex.send(b"abc")
                        ex.finish()
                    assert ex.head().status == 200 and ex.rest() == b"ok\n"
        one, two = origin.exchanges[:3], origin.exchanges[3:]
        for a, b in zip(one, two):
            assert (b.version, b.method, b.target) == ("HTTP/1.1", a.method, a.target) and b.body == a.body
            assert sorted(b.headers) == sorted(a.headers)
            assert not [k for k, _ in b.headers if k.startswith("sennit")]
        assert second.metric("tcp_open_total") == 1


def test_many_clients_share_one_connection(chain):
    inside, release = [], threading.Event()

    def script(ex):
        inside.append(ex)
        assert release.wait(10)
        serve(ex, body=ex.target.encode())

    with Recording("h1", script) as origin:
        edge, second = chain(origin.address)
        clients = [connect("h1", edge.port) for _ in range(20)]
        asked = [c.open(path=f"/{i}") for i, c in enumerate(clients)]
        wait_for(lambda: len(inside) == 20, "all requests to be inside at once")
        release.set()
        for i, ex in enumerate(asked):
            assert ex.head().status == 200 and ex.rest() == b"/%d" % i
        assert second.metric("tcp_open_total") == 1
        assert {x.version for x in origin.exchanges} == {"HTTP/1.1"}
        for c in clients:
            c.close()


@all_pairs
def test_the_client_version_comes_out(chain, client, upstream):
    """On a `detect` port the origin is spoken to as the client spoke; a fixed port protocol wins."""
    with Recording(upstream) as origin:
        protocol = "detect" if client == upstream else {"h1": "http", "h2": "http2"}[upstream]
        edge, _ = chain(origin.address, protocol)
        with connect(client, edge.port) as c:
            ex = c.open("POST", length=3)
            ex.send(b"abc")
            ex.finish()
            assert ex.head().status == 200 and ex.rest() == b"ok\n"
        assert origin.exchanges[0].version == {"h1": "HTTP/1.1", "h2": "HTTP/2"}[upstream]
        assert origin.exchanges[0].body == b"abc"


def test_http10_client(chain):
    with Recording("h1", lambda ex: (ex.rest(), ex.respond(200), ex.send(b"abc"), ex.finish())) as origin:
        edge, _ = chain(origin.address)
        with edge.client() as c:
            answer = c.request(version="1.0")
            assert answer.status == 200 and answer.body == b"abc" and answer.get("transfer-encoding") is None


def test_large_bodies_and_trailers(chain):
    body = pattern(2_000_000)

    def script(ex):
        ex.body = ex.rest()
        ex.respond(200)
        ex.send(body)
        ex.finish([("x-sum", "1")])

    with Recording("h1", script) as origin:
        edge, _ = chain(origin.address)
        with connect("h1", edge.port) as c:
            ex = c.open("POST", length="chunked", headers=[("te", "trailers"), ("connection", "te")])
            for at in range(0, len(body), 100_000):
                ex.send(body[at:at + 100_000])
            ex.finish([("x-up", "2")])
            assert ex.head().status == 200 and ex.rest() == body and ex.trailers == [("x-sum", "1")]
        assert origin.exchanges[0].body == body and origin.exchanges[0].trailers == [("x-up", "2")]


def test_websocket_crosses(chain):
    """Upgrade, extended CONNECT between the proxies, Upgrade; half-close and reset cross as well."""
    with Origin(echo_server) as origin:
        edge, second = chain(origin.address)
        with edge.client() as c:
            ask(c)
            answer = c.response_head()
            assert answer.status == 101 and answer.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
            c.send(b"hello")
            assert c.take(5) == b"hello"
            c.reset()
        wait_for(lambda: origin.connections[0].ended, "the reset to cross")
        assert origin.requests[0].get("upgrade") == "websocket"
        assert second.metric("tcp_open_total") == 1
        assert dict(WEBSOCKET)["Sec-WebSocket-Version"] == origin.requests[0].get("sec-websocket-version")


@pytest.mark.parametrize("who", ["client", "origin"])
def test_break_crosses_both_hops(chain, who):
    go, aborted = threading.Event(), threading.Event()

    def script(ex):
        if ex.target == "/other":
            serve(ex)
            return
        ex.respond(200)
        ex.send(b"abc")
        if who == "origin":
            assert go.wait(10)
            ex.abort()
        else:
            ex.aborted()
            aborted.set()

    with Recording("h1", script) as origin:
        edge, second = chain(origin.address)
        with connect("h1", edge.port) as c, connect("h1", edge.port) as other:
            ex = c.open()
            assert ex.head().status == 200 and ex.read(3) == b"abc"
            if who == "client":
                ex.abort()
                assert aborted.wait(2 * SLOW)
            else:
                go.set()
                with pytest.raises(Closed):
                    ex.rest()
            assert other.open(path="/other").head().status == 200  # the connection between the proxies lives
        assert second.metric("tcp_open_total") == 1


def marked_request(start_proxy, **rule):
    """What a proxy sends to a peer: the fields of a request that came by HTTP/1."""
    with H2Origin(settings={S_MAX_STREAMS: 100, S_CONNECT: 1}) as peer:
        svc = {"name": "web", "hosts": ["web"], "ports": [{"port": 80, "protocol": "detect"}],
               "routes": [{"name": "r", "rules": [{"name": "r", "backendRefs": [{"name": "web"}], **rule}]}],
               "endpoints": {"static": [{"address": peer.address, "mesh": True}]}}
        edge = start_proxy([svc])
        assert edge.get("/marked", headers=[("sennit-forged", "1")]).status == 200
        return peer.requests[0].fields


def test_marks_are_honoured_from_a_peer_only(chain, start_proxy):
    """The same bytes to a listener for peers and to one for anybody."""
    fields = marked_request(start_proxy)
    marks = [f for f in fields if f[0].startswith("sennit-")]
    assert marks and "sennit-forged" not in dict(fields)
    for peer, version in ((True, "h1"), (False, "h2")):
        with Recording(version) as origin:
            _, second = chain(origin.address, "detect", peer=peer)
            with H2Client(second.port) as c:
                assert c.request(fields=fields).wait_over().status == 200
            got = origin.exchanges[0]
            assert got.version == {"h1": "HTTP/1.1", "h2": "HTTP/2"}[version]
            assert not [k for k, _ in got.headers if k.startswith("sennit")]


@all_pairs
def test_marks_from_clients_never_arrive(chain, client, upstream):
    names = ["sennit-client-id", "sennit_client_id", "sennit-anything", "sennit-version", "sennit-protocol"]
    with Recording(upstream) as origin:
        edge, _ = chain(origin.address, {"h1": "http", "h2": "http2"}[upstream])
        with connect(client, edge.port) as c:
            ex = c.open(headers=[(n, "x") for n in names])
            assert ex.head().status == 200
        assert not [k for k, _ in origin.exchanges[0].headers if k.startswith("sennit")]


@pytest.mark.parametrize("client", ["h1", "h2"])
@pytest.mark.parametrize("protocol", ["http", "http2", "detect"])
def test_loop_is_508(start_proxy, client, protocol):
    """A proxy whose endpoint is itself sees its own mark: one turn, then 508."""
    def to_itself(doc):
        doc["services"].append({"name": "web", "hosts": ["web"], "ports": [{"port": 80, "protocol": protocol}],
                                "endpoints": {"static": [{"address": doc["listeners"][0]["address"]}]}})

    proxy = start_proxy([], edit=to_itself)
    before = proxy.refused()
    with connect(client, proxy.port) as c:
        ex = c.open()
        answer = ex.head()
        assert answer.status == 508 and answer.get("sennit-error"), answer
        assert ex.rest() and proxy.refused() == before + 1
        assert c.open().head().status == 508  # the connection is as good as before
    assert proxy.metric("tcp_open_total") <= 4


def test_loop_of_two_is_508(start_proxy):
    """A sends to B, B to A: the mark that proxies leave for each other tells."""
    def svc(address):
        return {"name": "web", "hosts": ["web"], "ports": [{"port": 80, "protocol": "http"}],
                "endpoints": {"static": [{"address": address, "mesh": True}]}}

    first = start_proxy([svc("127.0.0.1:1")])
    second = start_proxy([svc(f"127.0.0.1:{first.port}")])
    first.doc["services"] = [svc(f"127.0.0.1:{second.port}")]
    before = first.metric("sennit_config_reload_total", result="applied")
    first.write(first.doc)
    wait_for(lambda: first.metric("sennit_config_reload_total", result="applied") > before, "the new document")
    assert first.get().status == 508
    assert first.metric("tcp_open_total") + second.metric("tcp_open_total") < 10


def test_deadline_of_the_caller_shortens(chain, start_proxy):
    """The rest of the first proxy's timeout travels along, and anybody may shorten by it."""
    fields = dict(marked_request(start_proxy, timeouts={"request": "400ms"}))
    assert "sennit-deadline" in fields
    with Recording("h1", lambda ex: ex.aborted()) as origin:
        _, second = chain(origin.address, "http", peer=False)
        with connect("h1", second.port) as c:
            answer = c.open(headers=[("sennit-deadline", fields["sennit-deadline"])]).head()
            assert answer.status == 504 and answer.get("sennit-error") == "timeout"
        assert origin.exchanges[0].get("sennit-deadline") is None


def test_length_is_checked_behind_a_peer_too(chain):
    """A peer proxy is no excuse: DATA that is not content-length never becomes a whole request."""
    with Recording("h1") as origin:
        _, second = chain(origin.address, "http")
        with H2Client(second.port) as c:
            s = c.stream()
            s.head(request_fields("POST", headers=[("content-length", "5")]))
            c.send(frame(DATA, 1, s.id, b"abcdefgh"))
            s.wait_over()
            assert s.reset == 1
        assert not [x for x in origin.exchanges if hasattr(x, "body")]
