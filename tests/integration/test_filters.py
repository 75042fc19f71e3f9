# SPDX-License-Identifier: Apache-2.0
"""The filters of a rule, over both versions of HTTP on either side: what reaches the backend, what the client gets, what
is answered without a backend, and that copies and faults harm nobody else."""
import contextlib
import re
import threading
import time

import pytest

import harness
from exchange import Recording, all_pairs, connect, serve
from harness import SLOW, Closed, Origin, pattern, refused_document, service, wait_for
from http2 import REFUSED_STREAM, needs_http2
from test_upgrade import WEBSOCKET

CLIENTS = [pytest.param("h1"), pytest.param("h2", marks=needs_http2)]
all_clients = pytest.mark.parametrize("client", CLIENTS)
BACKEND = [{"name": "web"}]


def rule(*filters, backends=BACKEND, **more):
    return {"name": "r", "filters": list(filters), **({"backendRefs": backends} if backends else {}), **more}


def routed(*rules):
    return [{"name": "all", "rules": list(rules)}]


def prefix(value):
    return [{"path": {"type": "PathPrefix", "value": value}}]


def header_modifier(kind, **changes):
    return {"type": kind[0].upper() + kind[1:], kind: {
        k: v if k == "remove" else [{"name": name, "value": value} for name, value in v.items()]
        for k, v in changes.items()}}


def actions(proxy, action, **labels):
    return proxy.metric("sennit_filter_actions_total", action=action, **labels)


def reload(proxy):
    before = proxy.metric("sennit_config_reload_total", result="applied")
    proxy.write(proxy.doc)
    wait_for(lambda: proxy.metric("sennit_config_reload_total", result="applied") > before, "the new document")


def ask(c, *args, body=None, **kwargs):
    """One exchange to its end; -> (the response's head, its body)."""
    ex = c.open(*args, length=len(body) if body is not None else None, **kwargs)
    if body:
        with contextlib.suppress(Closed):  # HTTP/2: an answer may come before the body, and stop it
            ex.send(body)
            ex.finish()
    head = ex.head()
    return head, ex.rest()


def alive(c):
    """The connection serves another request."""
    assert ask(c, path="/plain")[0].status == 200


PLAIN = {"name": "plain", "matches": prefix("/plain"), "backendRefs": BACKEND}

# --- header modifiers


@all_pairs
def test_headers_of_requests_and_responses(mesh, client, upstream):
    def script(ex):
        serve(ex, headers=[("X-Gone", "1"), ("X-Set", "a"), ("x-set", "b"), ("X-Add", "theirs"), ("X-Other", "kept")])

    proxy, origin = mesh(upstream, script, service={"routes": routed(rule(
        header_modifier("requestHeaderModifier", set={"X-Req": "mesh"}, add={"x-more": "2"}, remove=["x-secret"]),
        header_modifier("responseHeaderModifier", set={"x-set": "ours"}, add={"x-add": "ours", "x-new": "n"},
                        remove=["x-gone"])))})
    with connect(client, proxy.port) as c:
        for _ in range(2):
            r, body = ask(c, headers=[("x-req", "client"), ("x-more", "1"), ("x-secret", "s")])
            assert (r.status, body) == (200, b"ok\n")
            assert (r.all("x-set"), r.all("x-add"), r.all("x-new")) == (["ours"], ["theirs", "ours"], ["n"])
            assert r.get("x-gone") is None and r.get("x-other") == "kept"
    ex = origin.exchanges[0]
    assert (ex.all("x-req"), ex.all("x-more"), ex.get("x-secret")) == (["mesh"], ["1", "2"], None)


@all_clients
def test_our_own_refusals_are_not_modified(start_proxy, client):
    nobody = service("nobody", [])
    proxy = start_proxy([service("web", [], routes=routed(rule(
        header_modifier("responseHeaderModifier", set={"x-set": "ours"}), backends=[{"name": "nobody"}]))), nobody])
    with connect(client, proxy.port) as c:
        r, _ = ask(c)
        assert r.status == 503 and r.get("sennit-error") == "no-endpoints" and r.get("x-set") is None


# --- rewriting


@all_pairs
def test_host_and_path_are_rewritten(mesh, client, upstream):
    rewrite = {"type": "URLRewrite", "urlRewrite": {
        "hostname": "inner.example", "path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}}
    full = {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/full"}}}
    proxy, origin = mesh(upstream, service={"routes": routed(
        rule(rewrite, header_modifier("requestHeaderModifier", set={"x-req": "1"}), matches=prefix("/old/")),
        rule(full, matches=prefix("/any")))})
    rows = [("/old", "/new"), ("/old/", "/new/"), ("/old/a/b?c=/old", "/new/a/b?c=/old"), ("/old//x", "/new//x")]
    with connect(client, proxy.port) as c:
        for n, (path, want) in enumerate(rows):
            r, _ = ask(c, "POST", path, headers=[("x-a", "kept")], body=b"abc")
            ex = origin.exchanges[n]
            assert r.status == 200 and (ex.target, ex.authority) == (want, "inner.example")
            assert (ex.body, ex.all("host")[1:], ex.get("x-a"), ex.get("x-req")) == (b"abc", [], "kept", "1")
        ask(c, path="/any/thing?q")
        assert (origin.exchanges[-1].target, origin.exchanges[-1].authority) == ("/full?q", "web")
        assert ask(c, path="/oldest")[0].status == 404


PREFIXES = [  # Gateway API, HTTPPathModifier.replacePrefixMatch
    ("/foo/bar", "/foo", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo", "/xyz/", "/xyz/bar"),
    ("/foo/bar", "/foo/", "/xyz", "/xyz/bar"), ("/foo/bar", "/foo/", "/xyz/", "/xyz/bar"), ("/foo", "/foo", "/xyz", "/xyz"),
    ("/foo/", "/foo", "/xyz", "/xyz/"), ("/foo/bar", "/foo", "", "/bar"), ("/foo/", "/foo", "", "/"), ("/foo", "/foo", "", "/"),
    ("/foo/", "/foo", "/", "/"), ("/foo", "/foo", "/", "/")]


def test_prefixes_as_the_gateway_api_has_them(start_proxy, origin):
    services = []
    for i, (_, match, value, _) in enumerate(PREFIXES):
        change = {"type": "ReplacePrefixMatch", "replacePrefixMatch": value}
        services.append(service(f"s{i}", [origin.address], routes=routed(rule(
            {"type": "URLRewrite", "urlRewrite": {"path": change}}, matches=prefix(match), backends=[{"name": f"s{i}"}]))))
        services.append(service(f"r{i}", [], routes=routed(rule(
            {"type": "RequestRedirect", "requestRedirect": {"path": change}}, matches=prefix(match), backends=None))))
    proxy = start_proxy(services)
    with proxy.client() as c:
        for i, (path, _, _, want) in enumerate(PREFIXES):
            assert c.request(path=path, host=f"s{i}").status == 200 and origin.requests[-1].target == want
            assert c.request(path=path, host=f"r{i}").get("location") == f"http://r{i}{want}"


@needs_http2
@pytest.mark.parametrize("client", ["h1", "h2"])
def test_a_rewritten_request_is_tried_again_as_it_was(start_proxy, client):
    """The second try finds the same service by the host that the client asked for."""
    refused = []

    def script(ex):
        if not refused:
            refused.append(ex)
            ex.stream.rst(REFUSED_STREAM)
        else:
            serve(ex)

    with Recording("h2", script) as origin:
        proxy = start_proxy([origin.service(routes=routed(rule(
            {"type": "URLRewrite", "urlRewrite": {"hostname": "inner.example",
                                                  "path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}}},
            header_modifier("requestHeaderModifier", add={"x-once": "1"}))))])
        with connect(client, proxy.port) as c:
            r, _ = ask(c, "POST", "/old?q", body=b"abc")
            assert r.status == 200
        assert [(e.target, e.authority, e.all("x-once")) for e in origin.exchanges] == [
            ("/new?q", "inner.example", ["1"])] * 2
        assert origin.exchanges[1].body == b"abc"


def test_an_upgrade_is_rewritten_too(mesh):
    proxy, origin = mesh("h1", lambda ex: ex.respond(404, length=0), service={"routes": routed(rule(
        {"type": "URLRewrite", "urlRewrite": {"hostname": "inner.example",
                                              "path": {"type": "ReplaceFullPath", "replaceFullPath": "/ws"}}}))})
    with connect("h1", proxy.port) as c:
        assert ask(c, path="/chat", headers=WEBSOCKET)[0].status == 404
    ex = origin.exchanges[0]
    assert (ex.target, ex.authority, ex.get("upgrade")) == ("/ws", "inner.example", "websocket")


# --- redirects and answers


@all_clients
def test_redirects(start_proxy, client):
    def to(path, /, **redirect):
        return rule({"type": "RequestRedirect", "requestRedirect": redirect}, matches=prefix(path), backends=None)

    proxy = start_proxy([service("web", [], routes=routed(
        to("/plain"), to("/scheme", scheme="https"), to("/host", hostname="example.org"), to("/port", port=8443),
        to("/own-port", scheme="https", port=443), to("/all", scheme="https", hostname="example.org", port=8443, statusCode=301,
                                                      path={"type": "ReplaceFullPath", "replaceFullPath": "/x"}),
        *[to(f"/{code}", statusCode=code) for code in (301, 302, 303, 307, 308)]))])
    rows = [("/plain/a?b=c", "web", 302, "http://web/plain/a?b=c"), ("/scheme", "web", 302, "https://web/scheme"),
            ("/host", "web", 302, "http://example.org/host"), ("/port", "web", 302, "http://web:8443/port"),
            ("/own-port", "web", 302, "https://web/own-port"), ("/all/y?q", "web", 301, "https://example.org:8443/x?q"),
            ("/plain", "web:8080", 302, "http://web:8080/plain"), ("/scheme", "web:8080", 302, "https://web/scheme"),
            ("/plain", "web:80", 302, "http://web/plain"),
            *[(f"/{code}", "web", code, f"http://web/{code}") for code in (301, 302, 303, 307, 308)]]
    with connect(client, proxy.port) as c:
        for path, host, status, location in rows:
            r, body = ask(c, path=path, host=host)
            assert (r.status, r.get("location"), body) == (status, location, b"")
            assert r.get("sennit-error") is None
        assert ask(c, "HEAD", "/plain")[0].status == 302
    assert proxy.metric("request_total", route_name="all", rule_name="r") == len(rows) + 1
    assert proxy.metric("response_total", route_name="all", status_code="301") == 2
    assert actions(proxy, "redirect", route_name="all", rule_name="r", dst_service="web") == len(rows) + 1
    assert proxy.metric("sennit_refused_total") == 0


@all_clients
def test_direct_responses(start_proxy, origin, client):
    def say(path, /, **response):
        return rule({"type": "DirectResponse", "directResponse": response}, matches=prefix(path), backends=None)

    proxy = start_proxy([service("web", [origin.address], routes=routed(
        say("/teapot", statusCode=418, body="short and stout\n"), say("/json", statusCode=200, body="{}", contentType="application/json"),
        say("/empty", statusCode=503), say("/none", statusCode=204), say("/big", statusCode=200, body="x" * 4096), PLAIN))])
    with connect(client, proxy.port) as c:
        rows = [("/teapot", 418, b"short and stout\n", "text/plain"), ("/json", 200, b"{}", "application/json"),
                ("/empty", 503, b"", None), ("/none", 204, b"", None), ("/big", 200, b"x" * 4096, "text/plain")]
        for path, status, body, kind in rows:
            r, got = ask(c, path=path)
            assert (r.status, got, r.get("content-type"), r.get("sennit-error")) == (status, body, kind, None)
            r = ask(c, "HEAD", path)[0]
            assert (r.status, r.get("content-length")) == (status, None if status == 204 else str(len(body)))
        alive(c)
    with connect(client, proxy.port) as c:  # the body that nobody reads is no request
        assert ask(c, "POST", "/teapot", body=b"GET /hidden HTTP/1.1\r\nHost: web\r\n\r\n")[0].status == 418
    wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "no connection")
    assert [r.target for r in origin.requests] == ["/plain"]
    assert actions(proxy, "direct-response") == 11 and proxy.metric("sennit_refused_total") == 0
    assert proxy.metric("response_total", status_code="418") == 3


@all_clients
def test_answers_of_a_rule_have_its_response_headers(start_proxy, client):
    changes = header_modifier("responseHeaderModifier", set={"x-set": "1", "content-type": "text/x"}, add={"x-add": "2"})
    proxy = start_proxy([service("web", [], routes=routed(
        rule({"type": "RequestRedirect", "requestRedirect": {"scheme": "https"}}, changes, matches=prefix("/r"), backends=None),
        rule({"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": "b"}}, changes, backends=None)))])
    with connect(client, proxy.port) as c:
        for path in ("/r", "/d"):
            r, _ = ask(c, path=path)
            assert (r.all("x-set"), r.all("x-add"), r.all("content-type")) == (["1"], ["2"], ["text/x"])


def test_pipelined_answers_come_in_order(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address], routes=routed(
        rule({"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": "direct"}}, matches=prefix("/d"), backends=None),
        rule({"type": "RequestRedirect", "requestRedirect": {}}, matches=prefix("/r"), backends=None), PLAIN))])
    with proxy.client() as c:
        paths = ["/d", "/plain", "/r", "/d", "/r", "/plain"] * 20
        c.send(b"".join(b"GET %s HTTP/1.1\r\nHost: web\r\n\r\n" % p.encode() for p in paths))
        want = {"/d": (200, b"direct"), "/plain": (200, b"ok\n"), "/r": (302, b"")}
        for p in paths:
            r = c.response()
            assert (r.status, r.body) == want[p]


# --- mirrors


def mirror(name, **more):
    return {"type": "RequestMirror", "requestMirror": {"backendRef": {"name": name}, **more}}


@all_pairs
def test_a_copy_goes_elsewhere(mesh, client, upstream):
    """Head and body, as the rule has changed them, with the Host of the request; its answer goes nowhere."""
    with Recording(upstream, lambda ex: serve(ex, 500, body=b"dropped")) as copy:
        proxy, origin = mesh(upstream, service={"routes": routed(rule(
            mirror("copy"), header_modifier("requestHeaderModifier", set={"x-req": "mesh"}),
            {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/new"}}},
            matches=prefix("/old")))})
        proxy.doc["services"].append(copy.service("copy"))
        reload(proxy)
        with connect(client, proxy.port) as c:
            for n, length in enumerate((None, 3, 0, "chunked")):
                ex = c.open("PUT", "/old/a?b", headers=[("x-a", str(n)), ("cookie", "a=1")], length=length)
                if length:
                    ex.send(b"abc")
                    ex.finish()
                assert ex.head().status == 200 and ex.rest() == b"ok\n"
        wait_for(lambda: len(copy.exchanges) == 4 and all(hasattr(e, "body") for e in copy.exchanges), "the copies")
        # Copies overtake each other; requests do not.
        for a, b in zip(origin.exchanges, sorted(copy.exchanges, key=lambda e: e.get("x-a")), strict=True):
            assert (a.method, a.target, a.authority) == (b.method, b.target, b.authority) == ("PUT", "/new/a?b", "web")
            assert b.get("x-req") == "mesh" and sorted(a.headers) == sorted(b.headers)
            assert not [k for k, _ in b.headers if k.startswith("sennit")]
        assert sorted(e.body for e in copy.exchanges) == [b"", b"", b"abc", b"abc"]
        assert actions(proxy, "mirror-sent", rule_name="r") == 4 and actions(proxy, "mirror-failed") == 0
        assert proxy.metric("request_total") == 4 and proxy.metric("response_total", status_code="500") == 0


@all_clients
def test_shares_and_several_mirrors(start_proxy, client):
    with contextlib.ExitStack() as stack:
        origins = {name: stack.enter_context(Origin()) for name in ("web", "every", "half", "third", "never")}
        services = [service(name, [o.address]) for name, o in origins.items()]
        services[0]["routes"] = routed(rule(
            mirror("every"), mirror("half", percent=50), mirror("third", fraction={"numerator": 1, "denominator": 3}),
            mirror("never", percent=0)))
        proxy = start_proxy(services)
        with connect(client, proxy.port) as c:
            for n in range(1, 601):
                assert ask(c)[0].status == 200
                if n % 10 == 0:  # never more than may be on their way
                    wait_for(lambda n=n: len(origins["every"].requests) == n, "the copies so far")
        wait_for(lambda: sum(len(origins[n].requests) for n in ("every", "half", "third")) == actions(proxy, "mirror-sent"),
                 "the copies to arrive")
        assert actions(proxy, "mirror-dropped") == 0
        assert 220 < len(origins["half"].requests) < 380 and 130 < len(origins["third"].requests) < 270
        assert not origins["never"].requests and len(origins["web"].requests) == 600


@all_clients
@pytest.mark.parametrize("kind", ["dead", "silent", "erring", "endless", "missing"])
def test_a_bad_mirror_harms_nobody(start_proxy, origin, client, kind):
    """Requests are answered as if it was not there, and when it holds all it may hold, more are left out."""
    stop = threading.Event()

    def endless(conn, _):
        conn.request_head()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000000000\r\n\r\n")
        while not stop.is_set():
            conn.send(b"x" * 65536)

    scripts = {"silent": lambda conn, o: (conn.request_head(), stop.wait(60 * SLOW)), "endless": endless,
               "erring": lambda conn, o: (conn.request_head(), conn.send(b"nonsense\r\n\r\n"))}
    with Origin(scripts.get(kind, harness.answer_all)) as bad:
        address = f"127.0.0.1:{harness.free_port()}" if kind == "dead" else bad.address
        services = [service("web", [origin.address], routes=routed(rule(mirror("bad"))))]
        if kind != "missing":
            services.append(service("bad", [address]))
        proxy = start_proxy(services)
        n, worst = (20, 0) if kind == "endless" else (200, 0)
        with connect(client, proxy.port) as c:
            for _ in range(n):
                began = time.monotonic()
                assert ask(c, "POST", body=b"abc")[0].status == 200
                worst = max(worst, time.monotonic() - began)
        assert len(origin.requests) == n and worst < 5 * SLOW
        wait_for(lambda: actions(proxy, "mirror-sent") + actions(proxy, "mirror-dropped") == n, "every copy to be counted")
        if kind == "silent":
            assert actions(proxy, "mirror-sent") - actions(proxy, "mirror-failed") == 64
        elif kind == "missing":
            assert actions(proxy, "mirror-dropped") == n
        elif kind != "endless":
            wait_for(lambda: actions(proxy, "mirror-failed") == actions(proxy, "mirror-sent"), "every copy to fail")
        assert proxy.metric("sennit_refused_total") == 0
        assert proxy.metric("response_total", status_code="200") == n == proxy.metric("response_total")
        assert proxy.stop() == 0  # and copies on their way do not hold up the end
        stop.set()


@all_clients
def test_large_bodies_are_not_copied(start_proxy, origin, client):
    with Origin() as copy:
        proxy = start_proxy([service("web", [origin.address], routes=routed(rule(mirror("copy")))),
                             service("copy", [copy.address])], limits={"bufferBytes": "16KiB"})
        with connect(client, proxy.port) as c:
            for length in (16384, 16385, "chunked"):
                ex = c.open("POST", length=length)
                body = pattern(100000 if length == "chunked" else length)
                ex.send(body)
                ex.finish()
                assert ex.head().status == 200 and ex.rest() == b"ok\n"
                assert origin.requests[-1].body == body
        wait_for(lambda: copy.requests, "the one that is small enough")
        assert [r.body for r in copy.requests] == [pattern(16384)]
        assert actions(proxy, "mirror-too-large") == 2 and actions(proxy, "mirror-sent") == 1


@all_clients
def test_a_copy_outlives_its_client(start_proxy, origin, client):
    """It is sent when the client's connection, and all that was kept for it, has gone."""
    go = threading.Event()
    with Recording("h2", on_connection=lambda _: go.wait(30 * SLOW)) as copy:
        proxy = start_proxy([service("web", [origin.address], routes=routed(rule(mirror("copy")))),
                             copy.service("copy")], timeouts={"connect": "30s"})
        with connect(client, proxy.port) as c:
            assert ask(c, "POST", "/path", headers=[("x-mine", "v" * 3000)], body=b"abc")[0].status == 200
        wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "the client to go")
        go.set()
        wait_for(lambda: copy.exchanges and hasattr(copy.exchanges[0], "body"), "the copy")
        ex = copy.exchanges[0]
        assert (ex.target, ex.get("x-mine"), ex.body) == ("/path", "v" * 3000, b"abc")


@all_clients
def test_a_copy_of_half_a_request_is_never_sent(start_proxy, client):
    with Origin(lambda conn, o: conn.closed()) as origin, Origin() as copy:
        proxy = start_proxy([service("web", [origin.address], routes=routed(rule(mirror("copy")))),
                             service("copy", [copy.address])])
        with connect(client, proxy.port) as c:
            ex = c.open("POST", length=10)
            ex.send(b"half")
            wait_for(lambda: origin.received, "the beginning")
            ex.abort()
            wait_for(lambda: actions(proxy, "mirror-dropped") == 1, "the copy to be dropped")
        assert not copy.connections


def test_mirrors_are_not_mirrored(start_proxy):
    """Two services mirror to each other, and one to itself: each request has as many copies as its rule says."""
    with Origin() as a, Origin() as b:
        proxy = start_proxy([
            service("a", [a.address], routes=routed(rule(mirror("b"), backends=[{"name": "a"}]))),
            service("b", [b.address], routes=routed(rule(mirror("a"), mirror("b"), backends=[{"name": "b"}])))])
        with proxy.client() as c:
            assert c.request(host="a").status == 200
            wait_for(lambda: (len(a.requests), len(b.requests)) == (1, 1), "a and its copy")
            assert c.request(host="b").status == 200
            wait_for(lambda: (len(a.requests), len(b.requests)) == (2, 3), "b and its copies")
        assert proxy.metric("sennit_filter_actions_total") == 3


@needs_http2
def test_a_peer_proxy_does_not_mirror_a_copy(start_proxy):
    """Copies that go to another proxy of the mesh say so, and it leaves them at that; the application is not told."""
    with Origin() as web, Origin() as copy, Origin() as again:
        peer = start_proxy([service("copy", [copy.address], routes=routed(rule(mirror("again"), backends=[{"name": "copy"}]))),
                            service("again", [again.address])])
        doc = service("copy", [])
        doc["endpoints"]["static"] = [{"address": f"127.0.0.1:{peer.port}", "mesh": True}]
        proxy = start_proxy([service("web", [web.address], routes=routed(rule(mirror("copy")))), doc])
        with proxy.client() as c:
            assert c.request(headers=[("x-a", "1")]).status == 200
        # its Host is the request's; the peer finds the service by it, as any request's
        wait_for(lambda: peer.metric("sennit_refused_total", reason="no-service") == 1, "the copy, to nobody there")
        with peer.client() as c:
            assert c.request(host="copy", headers=[("sennit-mirror", "yes")]).status == 200
            assert c.request(host="copy").status == 200
        wait_for(lambda: again.requests, "the copy of the second")
        assert len(copy.requests) == 2 and len(again.requests) == 1
        assert not [k for r in copy.requests for k, _ in r.headers if k.startswith("sennit")]


# --- faults


def fault(**what):
    return {"type": "Fault", "fault": what}


@all_clients
def test_aborts(start_proxy, origin, client):
    proxy = start_proxy([service("web", [origin.address], routes=routed(
        rule(fault(abort={"percent": 30, "statusCode": 418}), matches=prefix("/some")),
        rule(fault(abort={"statusCode": 503}), matches=prefix("/all")),
        rule(fault(abort={"grpcStatus": "UNAVAILABLE"}), matches=prefix("/grpc")), PLAIN))])
    with connect(client, proxy.port) as c:
        statuses = [ask(c, path="/some")[0].status for _ in range(1000)]
        assert set(statuses) == {200, 418} and 230 < statuses.count(418) < 370
        r, _ = ask(c, path="/all")
        assert r.status == 503 and r.get("sennit-error") == "fault"
        assert ask(c, path="/grpc")[0].status == 503  # as HTTP has it
        alive(c)
    n = statuses.count(418) + 2
    assert actions(proxy, "fault-abort") == n == proxy.refused("fault")
    assert len(origin.requests) == 1000 - statuses.count(418) + 1
    assert proxy.metric("response_total", status_code="418") == statuses.count(418)
    assert proxy.metric("request_total") == 1003


@needs_http2
def test_aborts_of_grpc(start_proxy):
    with Recording("h2") as origin:
        proxy = start_proxy([origin.service(routes=routed(
            rule(fault(abort={"grpcStatus": "RESOURCE_EXHAUSTED"}), matches=prefix("/a")),
            rule(fault(abort={"statusCode": 503}), matches=prefix("/b"))))])
        with connect("h2", proxy.port) as c:
            for path, status in (("/a/M", "8"), ("/b/M", "14")):
                r, body = ask(c, "POST", path, headers=[("content-type", "application/grpc"), ("te", "trailers")], body=b"x")
                assert (r.status, r.get("grpc-status"), r.get("content-type"), body) == (200, status, "application/grpc", b"")
        assert not origin.exchanges
        assert proxy.metric("response_total", grpc_status_code="8", classification="failure") == 1


@all_clients
def test_delays(start_proxy, origin, client):
    proxy = start_proxy([service("web", [origin.address], routes=routed(
        rule(fault(delay={"duration": "300ms"}), matches=prefix("/all")),
        rule(fault(delay={"duration": "300ms"}, abort={"statusCode": 500}), matches=prefix("/both")),
        rule(fault(delay={"percent": 40, "duration": "10ms"}), matches=prefix("/some")), PLAIN))])
    with connect(client, proxy.port) as c:
        for path, status in (("/all", 200), ("/both", 500)):
            began = time.monotonic()
            assert ask(c, "POST", path, body=b"abc")[0].status == status
            assert time.monotonic() - began >= 0.29
            if status == 500 and client == "h1":
                break  # a body that nobody has read
    assert origin.requests[0].body == b"abc"
    with connect(client, proxy.port) as c:
        for _ in range(200):
            assert ask(c, path="/some")[0].status == 200
        alive(c)
    assert 50 < actions(proxy, "fault-delay") - 2 < 110 and actions(proxy, "fault-abort") == 1


@all_clients
def test_a_delay_does_not_stretch_the_time(start_proxy, origin, client):
    proxy = start_proxy([service("web", [origin.address], routes=routed(rule(
        fault(delay={"duration": "1h"}), timeouts={"request": "200ms"})))])
    with connect(client, proxy.port) as c:
        for _ in range(2):
            r, _ = ask(c)
            assert r.status == 504 and r.get("sennit-error") == "timeout"
        assert ask(c, headers=[("sennit-deadline", "50ms")])[0].status == 504
    assert not origin.requests
    assert proxy.metric("request_total") == 3 == proxy.metric("response_total", status_code="504")


@all_clients
@pytest.mark.parametrize("how", ["idle", "body", "half a body"])
def test_a_client_that_leaves_during_a_delay(start_proxy, origin, client, how):
    proxy = start_proxy([service("web", [origin.address], routes=routed(rule(fault(delay={"duration": "1h"}))))])
    c = connect(client, proxy.port)
    ex = c.open("POST", length={"idle": None, "body": 3, "half a body": 10}[how])
    if how != "idle":
        ex.send(b"abc")
    wait_for(lambda: actions(proxy, "fault-delay") == 1, "the delay to begin")
    if client == "h2" and how != "half a body":
        ex.abort()
        wait_for(lambda: proxy.metric("response_total") == 1, "the request to be given up")
    c.close()
    wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "the connection to be freed")
    assert proxy.metric("request_total") == 1 and not origin.requests


def test_nobody_else_waits_for_a_delayed_request(start_proxy, origin):
    proxy = start_proxy([service("web", [origin.address], routes=routed(
        rule(fault(delay={"duration": "1h"}), matches=prefix("/slow")), PLAIN))])
    waiting = [proxy.client() for _ in range(50)]
    for c in waiting:
        c.send(b"GET /slow HTTP/1.1\r\nHost: web\r\n\r\n")
    wait_for(lambda: actions(proxy, "fault-delay") == 50, "the delays to begin")
    with proxy.client() as c:
        for _ in range(20):
            assert c.request(path="/plain").status == 200
    for c in waiting:
        c.close()
    wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "no connection")


# --- CORS


def cors(**what):
    return {"type": "CORS", "cors": what}


ASKED = [("Origin", "https://a.example"), ("Access-Control-Request-Method", "PUT"),
         ("Access-Control-Request-Headers", "x-a,x-b")]


def fields(r):
    return {k[len("access-control-"):]: v for k, v in r.headers if k.startswith("access-control-")}


@all_clients
def test_preflights_are_answered(start_proxy, origin, client):
    proxy = start_proxy([service("web", [origin.address], routes=routed(
        rule(cors(allowOrigins=["https://a.example", "https://*.b.example"], allowMethods=["PUT", "PATCH"], allowHeaders=["x-a"],
                  exposeHeaders=["x-e"], maxAge=600), matches=prefix("/list")),
        rule(cors(allowOrigins=["*"], allowMethods=["*"], allowHeaders=["*"]), matches=prefix("/star")),
        rule(cors(allowOrigins=["*"], allowMethods=["*"], allowHeaders=["*"], allowCredentials=True), matches=prefix("/cred"))))])
    rows = [
        ("/list", "https://a.example", {"allow-origin": "https://a.example", "allow-methods": "PUT, PATCH",
                                        "allow-headers": "x-a", "max-age": "600"}),
        ("/list", "https://x.b.example", {"allow-origin": "https://x.b.example", "allow-methods": "PUT, PATCH",
                                          "allow-headers": "x-a", "max-age": "600"}),
        ("/list", "https://b.example", {}), ("/list", "https://evil.example", {}), ("/list", "null", {}),
        ("/star", "https://any.example", {"allow-origin": "*", "allow-methods": "*", "allow-headers": "*", "max-age": "5"}),
        ("/cred", "https://any.example", {"allow-origin": "https://any.example", "allow-credentials": "true",
                                          "allow-methods": "PUT", "allow-headers": "x-a,x-b", "max-age": "5"})]
    with connect(client, proxy.port) as c:
        for path, who, want in rows:
            r, body = ask(c, "OPTIONS", path, headers=[("Origin", who), *ASKED[1:]])
            assert (r.status, fields(r), r.get("vary"), body) == (204, want, "Origin", b"")
            assert r.get("content-length") is None
        assert not origin.requests
        for some in (ASKED[:1], ASKED[1:], []):  # other OPTIONS are the application's
            assert ask(c, "OPTIONS", "/list", headers=some)[0].status == 200
        assert len(origin.requests) == 3
    assert actions(proxy, "cors-preflight") == len(rows)


@all_pairs
def test_responses_say_who_may_read_them(mesh, client, upstream):
    theirs = [("Access-Control-Allow-Origin", "https://theirs"), ("Access-Control-Allow-Credentials", "true"),
              ("Vary", "Accept"), ("x-e", "1")]
    proxy, _ = mesh(upstream, lambda ex: serve(ex, headers=theirs), service={"routes": routed(rule(
        cors(allowOrigins=["https://a.example"], exposeHeaders=["x-e", "x-f"]),
        header_modifier("responseHeaderModifier", set={"x-set": "1"})))})
    with connect(client, proxy.port) as c:
        for who, want in (("https://a.example", {"allow-origin": "https://a.example", "expose-headers": "x-e, x-f"}),
                          ("https://evil.example", {}), (None, {})):
            for method, body in (("GET", None), ("PUT", pattern(100000))):
                r, _ = ask(c, method, headers=[("Origin", who)] if who else [], body=body)
                assert (r.status, fields(r), r.all("vary")) == (200, want, ["Accept", "Origin"])
                assert (r.get("x-e"), r.get("x-set")) == ("1", "1")


@all_clients
def test_answers_of_a_rule_can_be_read_too(start_proxy, client):
    proxy = start_proxy([service("web", [], routes=routed(
        rule(cors(allowOrigins=["https://a.example"]), {"type": "RequestRedirect", "requestRedirect": {"hostname": "b.example"}},
             matches=prefix("/r"), backends=None),
        rule(cors(allowOrigins=["https://a.example"]), {"type": "DirectResponse", "directResponse": {"statusCode": 403}},
             backends=None)))])
    with connect(client, proxy.port) as c:
        for path, status in (("/r", 302), ("/d", 403)):
            r, _ = ask(c, path=path, headers=ASKED[:1])
            assert (r.status, fields(r), r.get("vary")) == (status, {"allow-origin": "https://a.example"}, "Origin")
            assert ask(c, "OPTIONS", path, headers=ASKED)[0].status == 204


# --- all of them at once, and documents that are refused


@all_pairs
def test_all_filters_of_a_rule_at_once(mesh, client, upstream):
    with Recording(upstream) as copy:
        proxy, origin = mesh(upstream, service={"routes": routed(rule(
            mirror("copy"), fault(delay={"duration": "1ms"}, abort={"percent": 0, "statusCode": 500}),
            cors(allowOrigins=["*"]), header_modifier("requestHeaderModifier", set={"x-req": "1"}),
            header_modifier("responseHeaderModifier", set={"x-resp": "1"}),
            {"type": "URLRewrite", "urlRewrite": {"hostname": "inner", "path": {"type": "ReplaceFullPath",
                                                                               "replaceFullPath": "/new"}}}))})
        proxy.doc["services"].append(copy.service("copy"))
        reload(proxy)
        with connect(client, proxy.port) as c:
            for n in range(1, 4):
                r, body = ask(c, "POST", "/old?q", headers=[("Origin", "https://a.example")], body=b"abc")
                assert (r.status, body, r.get("x-resp"), fields(r)) == (200, b"ok\n", "1", {"allow-origin": "*"})
                wait_for(lambda n=n: len(copy.exchanges) == n and hasattr(copy.exchanges[-1], "body"), "the copy")
                for ex in (origin.exchanges[-1], copy.exchanges[-1]):
                    assert (ex.target, ex.authority, ex.get("x-req"), ex.body) == ("/new?q", "inner", "1", b"abc")


def test_filters_outlive_a_reload(start_proxy, origin):
    """A request that waits in a delay goes on by the rule that it began with."""
    proxy = start_proxy([service("web", [origin.address], routes=routed(rule(
        fault(delay={"duration": "500ms"}), cors(allowOrigins=["https://a.example"]),
        {"type": "URLRewrite", "urlRewrite": {"path": {"type": "ReplaceFullPath", "replaceFullPath": "/new"}}})))])
    with proxy.client() as c:
        c.send(b"GET /old HTTP/1.1\r\nHost: web\r\nOrigin: https://a.example\r\n\r\n")
        wait_for(lambda: actions(proxy, "fault-delay") == 1, "the delay to begin")
        proxy.doc["services"][0]["routes"] = routed(PLAIN)
        reload(proxy)
        r = c.response()
        assert r.status == 200 and r.get("access-control-allow-origin") == "https://a.example"
        assert origin.requests[0].target == "/new"


def test_a_delayed_request_holds_its_own_document(start_proxy, origin):
    """Where it goes, and what is asked of that place later, is of the document that it began with, which others have
    replaced long since."""
    answer = threading.Event()

    def late(conn, _origin):
        conn.request()
        assert answer.wait(30 * SLOW)
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nlate")

    with contextlib.closing(Origin(late)) as other:
        proxy = start_proxy([
            service("web", [origin.address], routes=routed(rule(
                fault(delay={"duration": "500ms"}), backends=[{"name": "other"}]))),
            service("other", [other.address])])
        with proxy.client() as c:
            c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            wait_for(lambda: actions(proxy, "fault-delay") == 1, "the delay to begin")
            del proxy.doc["services"][0]["routes"]
            reload(proxy)
            wait_for(lambda: other.connections or origin.connections, "the request to go on")
            for n in range(2):
                proxy.doc["services"][0]["policy"] = {"connections": {"max": 100 + n}}
                reload(proxy)
            answer.set()
            assert c.response().body == b"late" and not origin.connections


def test_a_delayed_request_does_not_bring_back_its_rate_limit(start_proxy, origin):
    """The rule's limit is what the newest document says, also when a request of an older one counts last."""
    limited = {"requestsPerSecond": 1, "burst": 1}
    proxy = start_proxy([service("web", [origin.address], routes=routed(
        rule(fault(delay={"duration": "500ms"}), rateLimit=limited)))])
    with proxy.client() as c:
        c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        wait_for(lambda: actions(proxy, "fault-delay") == 1, "the delay to begin")
        proxy.doc["services"][0]["routes"] = routed(rule(rateLimit={"requestsPerSecond": 1000, "burst": 100}))
        reload(proxy)
        assert c.response().status == 200
    wait_for(lambda: all(proxy.get().status == 200 for _ in range(10)), "the new limit")


REWRITE = {"type": "URLRewrite", "urlRewrite": {"hostname": "h"}}
REDIRECT = {"type": "RequestRedirect", "requestRedirect": {}}
DIRECT = {"type": "DirectResponse", "directResponse": {"statusCode": 200}}


def path_of(kind, change):
    return {"type": kind, kind[0].lower() + kind[1:] if kind != "URLRewrite" else "urlRewrite": {"path": change}}


REPLACE_PREFIX = {"type": "ReplacePrefixMatch", "replacePrefixMatch": "/x"}
BAD = {
    "no member": (rule({"type": "URLRewrite"}), r"filters\[0\].*\"urlRewrite\" is missing"),
    "another's member": (rule({"type": "URLRewrite", "fault": {"abort": {"statusCode": 500}}, "urlRewrite": {}}),
                         r"\"fault\" does not go with type URLRewrite"),
    "an unknown type": (rule({"type": "Rewrite"}), "unknown value \"Rewrite\".*URLRewrite"),
    "twice": (rule(REWRITE, REWRITE), r"filters\[1\]: .*two filters of type URLRewrite"),
    "rewrite and redirect": (rule(REWRITE, REDIRECT, backends=None), r"filters\[1\]: URLRewrite and RequestRedirect exclude"),
    "redirect and direct": (rule(REDIRECT, DIRECT, backends=None), "RequestRedirect and DirectResponse exclude"),
    "direct and mirror": (rule(DIRECT, mirror("web"), backends=None), "DirectResponse and RequestMirror exclude"),
    "redirect with backends": (rule(REDIRECT), r"filters\[0\]: RequestRedirect answers.*no backendRefs"),
    "direct with backends": (rule(DIRECT), "DirectResponse answers.*no backendRefs"),
    "a prefix without match": (rule(path_of("URLRewrite", REPLACE_PREFIX)), "exactly one match.*PathPrefix"),
    "a prefix with two": (rule(path_of("URLRewrite", REPLACE_PREFIX), matches=prefix("/a") + prefix("/b")), "exactly one match"),
    "a prefix of an exact path": (rule(path_of("RequestRedirect", REPLACE_PREFIX), backends=None,
                                       matches=[{"path": {"type": "Exact", "value": "/a"}}]), "exactly one match"),
    "a prefix of a header": (rule(path_of("URLRewrite", REPLACE_PREFIX), matches=[{"headers": [{"name": "a", "value": "b"}]}]),
                             "exactly one match"),
    "a path without its value": (rule(path_of("URLRewrite", {"type": "ReplaceFullPath"})), "replaceFullPath.*missing"),
    "a path with both": (rule(path_of("URLRewrite", {**REPLACE_PREFIX, "replaceFullPath": "/a"}), matches=prefix("/a")),
                         "replaceFullPath.*does not go with"),
    "a relative path": (rule(path_of("URLRewrite", {"type": "ReplaceFullPath", "replaceFullPath": "a"})), "begins with"),
    "a path with a query": (rule(path_of("URLRewrite", {"type": "ReplaceFullPath", "replaceFullPath": "/a?b"})), "encode"),
    "a path with a space": (rule(path_of("URLRewrite", {"type": "ReplaceFullPath", "replaceFullPath": "/a b"})), "encode"),
    "a path that splits": (rule(path_of("URLRewrite", {"type": "ReplaceFullPath", "replaceFullPath": "/a\r\nx: y"})), "encode"),
    "a host with a port": (rule({"type": "URLRewrite", "urlRewrite": {"hostname": "a:80"}}), "urlRewrite.hostname.*not a host name"),
    "a host of capitals": (rule({"type": "URLRewrite", "urlRewrite": {"hostname": "A.b"}}), "not a host name"),
    "a wildcard host": (rule({"type": "RequestRedirect", "requestRedirect": {"hostname": "*.b"}}, backends=None), "not a host name"),
    "an empty label": (rule({"type": "URLRewrite", "urlRewrite": {"hostname": "a..b"}}), "not a host name"),
    "a hyphen at the end": (rule({"type": "URLRewrite", "urlRewrite": {"hostname": "a-.b"}}), "not a host name"),
    "an unknown scheme": (rule({"type": "RequestRedirect", "requestRedirect": {"scheme": "ftp"}}, backends=None), "http, https"),
    "no redirect": (rule({"type": "RequestRedirect", "requestRedirect": {"statusCode": 304}}, backends=None), "301, 302"),
    "a redirect to port 0": (rule({"type": "RequestRedirect", "requestRedirect": {"port": 0}}, backends=None), "1 to 65535"),
    "a direct 100": (rule({"type": "DirectResponse", "directResponse": {"statusCode": 100}}, backends=None), "200 to 599"),
    "a direct 600": (rule({"type": "DirectResponse", "directResponse": {"statusCode": 600}}, backends=None), "200 to 599"),
    "a direct nothing": (rule({"type": "DirectResponse", "directResponse": {}}, backends=None), "statusCode.*missing"),
    "a body of 4097": (rule({"type": "DirectResponse", "directResponse": {"statusCode": 200, "body": "x" * 4097}}, backends=None), "4096"),
    "a body of 204": (rule({"type": "DirectResponse", "directResponse": {"statusCode": 204, "body": "x"}}, backends=None), "no body"),
    "a content type that splits": (rule({"type": "DirectResponse", "directResponse": {"statusCode": 200, "contentType": "a\r\nb"}},
                                        backends=None), "not a valid header value"),
    "a mirror to nobody": (rule({"type": "RequestMirror", "requestMirror": {}}), "backendRef.*missing"),
    "101 percent": (rule(mirror("web", percent=101)), "0 to 100"),
    "percent and fraction": (rule(mirror("web", percent=1, fraction={"numerator": 1})), "percent or fraction"),
    "more than all": (rule(mirror("web", fraction={"numerator": 3, "denominator": 2})), "at most the denominator"),
    "of nothing": (rule(mirror("web", fraction={"numerator": 0, "denominator": 0})), "denominator"),
    "a weighted mirror": (rule({"type": "RequestMirror", "requestMirror": {"backendRef": {"name": "web", "weight": 1}}}), "weight"),
    "no fault": (rule(fault()), "delay, abort"),
    "a delay of 2h": (rule(fault(delay={"duration": "2h"})), "1ms to 1h"),
    "a delay of nothing": (rule(fault(delay={"percent": 5})), "duration.*missing"),
    "a delay of -1 percent": (rule(fault(delay={"percent": -1, "duration": "1s"})), "0 to 100"),
    "an abort without status": (rule(fault(abort={"percent": 5})), "statusCode or grpcStatus"),
    "an abort with both": (rule(fault(abort={"statusCode": 500, "grpcStatus": "INTERNAL"})), "statusCode or grpcStatus"),
    "an abort with success": (rule(fault(abort={"statusCode": 200})), "400 to 599"),
    "a grpc status of no name": (rule(fault(abort={"grpcStatus": "OK"})), "UNAVAILABLE|CANCELLED"),
    "an origin without scheme": (rule(cors(allowOrigins=["a.example"])), r"allowOrigins\[0\].*not an origin"),
    "an origin with a path": (rule(cors(allowOrigins=["https://a.example/"])), "not an origin"),
    "a star inside": (rule(cors(allowOrigins=["https://a.*.example"])), "not an origin"),
    "a star among others": (rule(cors(allowOrigins=["*", "https://a.example"])), "stands alone in allowOrigins"),
    "a star among methods": (rule(cors(allowMethods=["GET", "*"])), "stands alone in allowMethods"),
    "a method with a space": (rule(cors(allowMethods=["GET PUT"])), "not a valid name"),
    "a header that splits": (rule(cors(exposeHeaders=["a\r\nb"])), "not a valid name"),
    "an age of 0": (rule(cors(maxAge=0)), "maxAge.*1 to"),
    "a framing header of responses": (rule(header_modifier("responseHeaderModifier", remove=["Transfer-Encoding"])),
                                      "responseHeaderModifier.remove.*belongs to the protocol"),
    "filters of a backend": ({"backendRefs": [{"name": "web", "filters": [REWRITE]}]}, "unknown key \"filters\""),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_is_refused_with_its_place(tmp_path, name):
    bad, said = BAD[name]
    doc = harness.document(1, 2, [service("web", ["127.0.0.1:1"], routes=routed(PLAIN, bad))])
    text = refused_document(tmp_path, doc)
    assert text and re.search(said, text), text
    assert re.match(r"[0-9]+:[0-9]+: services\[0\].routes\[0\].rules\[1\]", text), text
