# SPDX-License-Identifier: Apache-2.0
"""One request and its response, seen from a client or an origin, whatever HTTP version either speaks: the
tests of the four protocol pairs are written once, over these.

CLIENT: `ex = client.open("POST", "/x", length=None | n | "chunked")`, then ex.send, ex.finish(trailers),
ex.head() -> Response, ex.read(n), ex.rest(), ex.trailers, ex.abort(). ORIGIN: a script gets `ex` with
.method .target .authority .headers .version, ex.read, ex.rest, ex.interim, ex.respond, ex.send, ex.finish,
ex.abort(), ex.aborted(). A side that was cut raises harness.Closed."""
import threading

import pytest

import harness
from harness import Client, Closed, Origin, OriginRequest, Response
from http2 import (CANCEL, INTERNAL_ERROR, S_MAX_STREAMS, H2Client, H2Origin, needs_http2, request_fields)

PAIRS = [pytest.param(c, o, id=f"{c}-{o}", marks=() if (c, o) == ("h1", "h1") else needs_http2)
         for c in ("h1", "h2") for o in ("h1", "h2")]
all_pairs = pytest.mark.parametrize("client,upstream", PAIRS)


class Message:
    """Fields and helpers that both ends share."""

    headers = ()
    trailers = None

    def all(self, name):
        return [v for k, v in self.headers if k == name]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)


class H1Wire(Message):
    """A body each way on an HTTP/1 connection."""

    def __init__(self, raw):
        self.raw, self.out_chunked, self.pending, self.read_done = raw, False, b"", False
        self.framing = None  # of what is read: "chunked", octets left, or "close"

    def send(self, data):
        self.raw.send(b"%x\r\n%s\r\n" % (len(data), data) if self.out_chunked and data else data)

    def finish(self, trailers=()):
        if self.out_chunked:
            self.raw.send(b"0\r\n" + b"".join(f"{k}: {v}\r\n".encode("latin-1") for k, v in trailers) + b"\r\n")
        else:
            assert not trailers, "trailers need chunks"

    def framed_by(self, headers, bodiless):
        names = dict(headers)
        if bodiless:
            self.framing = 0
        elif names.get("transfer-encoding") == "chunked":
            self.framing = "chunked"
        else:
            self.framing = int(names["content-length"]) if "content-length" in names else "close"

    def _some(self):
        """The next octets of the body; b"" at its end."""
        if self.read_done or self.framing == 0:
            self.read_done = True
            return b""
        if self.framing == "chunked":
            data = self.raw.chunk()
            if not data:
                self.trailers = []
                while (line := self.raw.until(b"\r\n")) != b"\r\n":
                    name, value = line.decode("latin-1").split(":", 1)
                    self.trailers.append((name.lower(), value.strip()))
                self.read_done = True
            return data
        if not self.raw.buffer:
            try:
                self.raw.more()
            except Closed as e:
                if e.reset or self.framing != "close":
                    raise
                self.read_done = True
                return b""
        data = self.raw.take(len(self.raw.buffer) if self.framing == "close"
                             else min(len(self.raw.buffer), self.framing))
        if self.framing != "close":
            self.framing -= len(data)
        return data

    def read(self, n):
        while len(self.pending) < n:
            data = self._some()
            assert data, f"the body ended after {self.pending[-200:]!r}"
            self.pending += data
        data, self.pending = self.pending[:n], self.pending[n:]
        return data

    def rest(self):
        parts = [self.pending]
        self.pending = b""
        while data := self._some():
            parts.append(data)
        return b"".join(parts)

    def abort(self):
        self.raw.reset()


class H2Wire(Message):
    """The same on a stream."""

    def __init__(self, stream):
        self.stream, self.at = stream, 0

    @property
    def trailers(self):
        return self.stream.trailers

    def send(self, data):
        if data:
            self.stream.send(data)

    def finish(self, trailers=()):
        self.stream.finish(trailers)

    def read(self, n):
        body = self.stream.wait_body(self.at + n)
        if len(body) < self.at + n and self.stream.reset is not None:
            raise Closed(True, body)
        assert len(body) >= self.at + n, f"the body ended after {body[-200:]!r}"
        self.at += n
        return body[self.at - n:self.at]

    def rest(self):
        self.stream.wait_over()
        if not self.stream.ended:
            raise Closed(True, bytes(self.stream.body))
        data = bytes(self.stream.body[self.at:])
        self.at = len(self.stream.body)
        return data

    def abort(self):
        self.stream.rst(CANCEL)


# --- clients


class H1Asked(H1Wire):
    def __init__(self, raw, method):
        super().__init__(raw)
        self.method = method

    def head(self):
        interim = []
        while True:
            r = self.raw.response_head()
            if r.status >= 200 or r.status == 101:
                break
            interim.append(r)
        r.interim = interim
        self.headers = r.headers
        self.framed_by(r.headers, self.method == "HEAD" or r.status in (204, 304))
        return r

    def next_interim(self):
        return self.raw.response_head()


class H2Asked(H2Wire):
    """A body of declared length ends with its last octet, as ordinary clients do it."""

    seen_interim = 0
    left = None  # of a declared length

    def send(self, data):
        if self.left is None:
            super().send(data)
        elif data:
            self.left -= len(data)
            self.stream.send(data, end=self.left == 0)

    def finish(self, trailers=()):
        if self.left is None:
            super().finish(trailers)

    @staticmethod
    def _response(fields):
        return Response("HTTP/2", int(dict(fields)[":status"]), "", [(k, v) for k, v in fields if k[0] != ":"])

    def head(self):
        r = self._response(self.stream.wait_head())
        r.interim = [self._response(f) for f in self.stream.interim[self.seen_interim:]]
        self.headers = r.headers
        return r

    def next_interim(self):
        conn = self.stream.conn
        conn.wait(lambda: len(self.stream.interim) > self.seen_interim, "an interim response")
        self.seen_interim += 1
        return self._response(self.stream.interim[self.seen_interim - 1])


class H1Side(Client):
    def open(self, method="GET", path="/", host="web", headers=(), length=None, form=None):
        """@form: the request target as sent, when it is not the path."""
        lines = [f"{method} {form or path} HTTP/1.1", f"Host: {host}", *(f"{k}: {v}" for k, v in headers)]
        if length == "chunked":
            lines.append("Transfer-Encoding: chunked")
        elif length is not None:
            lines.append(f"Content-Length: {length}")
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")
        ex = H1Asked(self, method)
        ex.out_chunked = length == "chunked"
        return ex


class H2Side(H2Client):
    def open(self, method="GET", path="/", host="web", headers=(), length=None, form=None):
        del form
        fields = request_fields(method, path, host, [(k.lower(), v) for k, v in headers])
        if isinstance(length, int):
            fields.append(("content-length", str(length)))
        s = self.stream()
        s.head(fields, end=length in (None, 0))
        ex = H2Asked(s)
        ex.left = length if isinstance(length, int) else None
        return ex


def connect(kind, port, **kwargs):
    return (H1Side if kind == "h1" else H2Side)(port, **kwargs)


def ask(kind, port, method="GET", path="/", host="web", headers=(), body=None):
    """A whole exchange on a connection of its own; the response has .body and .trailers."""
    with connect(kind, port) as c:
        ex = c.open(method, path, host, headers, None if body is None else len(body))
        if body:
            try:
                ex.send(body)
            except (harness.Closed, OSError):
                pass  # an answer may have come first
        r = ex.head()
        r.body, r.trailers = ex.rest(), ex.trailers
        return r


GRPC = (("content-type", "application/grpc"), ("te", "trailers"))


def call(port, path="/pkg.Service/Method", host="web", headers=(), body=b""):
    """A gRPC call; the response has .grpc, its status, wherever that came."""
    r = ask("h2", port, "POST", path, host, [*GRPC, *headers], body)
    r.grpc = int(dict(r.trailers or r.headers).get("grpc-status", -1))
    return r


# --- origins


class H1Served(H1Wire):
    def __init__(self, conn, request):
        super().__init__(conn)
        self.conn, self.request = conn, request
        self.method, self.target, self.version = request.method, request.target, request.version
        self.headers, self.authority, self.scheme = request.headers, request.get("host"), None
        self.framed_by(request.headers, not (request.get("transfer-encoding") or request.get("content-length")))
        self.last = False

    def interim(self, status, headers=()):
        self.raw.send("\r\n".join([f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in headers), "", ""]).encode())

    def respond(self, status=200, headers=(), length="chunked"):
        lines = [f"HTTP/1.1 {status} X", *(f"{k}: {v}" for k, v in headers)]
        self.out_chunked = length == "chunked"
        if self.out_chunked:
            lines.append("Transfer-Encoding: chunked")
        elif length is not None:
            lines.append(f"Content-Length: {length}")
        self.raw.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n")

    def aborted(self):
        """Waits until the other side has given this exchange up."""
        while True:
            try:
                self.raw.more()
            except (Closed, OSError):
                return True


class H2Served(H2Wire):
    def __init__(self, stream):
        super().__init__(stream)
        self.conn, self.request = stream.conn, stream
        self.method, self.target = stream.field(":method"), stream.field(":path")
        self.scheme, self.version = stream.field(":scheme"), "HTTP/2"
        self.headers = [(k, v) for k, v in stream.fields if k[0] != ":"]
        self.authority = stream.field(":authority", self.get("host"))

    def interim(self, status, headers=()):
        self.stream.head([(":status", str(status)), *headers])

    def respond(self, status=200, headers=(), length="chunked"):
        fields = [(":status", str(status)), *((k.lower(), v) for k, v in headers)]
        if isinstance(length, int):
            fields.append(("content-length", str(length)))
        self.stream.head(fields, end=length is None)

    def abort(self):
        self.stream.rst(INTERNAL_ERROR)

    def aborted(self):
        try:
            self.conn.wait(lambda: self.stream.reset is not None, "a reset")
        except Closed:
            pass
        return True


def serve(ex, status=200, headers=(), body=b"ok\n"):
    """Reads the request to its end and answers."""
    ex.body = ex.rest()
    ex.respond(status, headers, len(body))
    if ex.method != "HEAD":
        ex.send(body)
    ex.finish()


def hang(ex):
    """Says nothing; .given_up is set once the other side has lost its patience."""
    ex.given_up = ex.aborted()


def in_turn(*scripts):
    """A script that plays each of these for one exchange and the last one for all that follow. Numbers are
    statuses."""
    left, lock = list(scripts), threading.Lock()

    def play(ex):
        with lock:
            script = left.pop(0) if len(left) > 1 else left[0]
        if isinstance(script, int):
            serve(ex, script)
        else:
            script(ex)

    return play


def routed(kind, addresses, rule=(), name="web", policy=(), **more):
    """A service of endpoints ("host:port", or maps) that speak @kind, taken in turn, behind one route with one
    rule. Idle upstream connections go soon, so that descriptors can be counted."""
    doc = harness.service(name, [], **more)
    doc["ports"][0]["protocol"] = "http" if kind == "h1" else "http2"
    doc["endpoints"]["static"] = [a if isinstance(a, dict) else {"address": a} for a in addresses]
    doc["routes"] = [{"name": "route", "rules": [
        {"name": "rule", "backendRefs": [{"name": name, "port": 80}], **dict(rule)}]}]
    doc["policy"] = {"loadBalancing": {"algorithm": "RoundRobin"}, **dict(policy)}
    doc["policy"]["connections"] = {"idleTimeout": "300ms", **doc["policy"].get("connections", {})}
    return doc


class Recording:
    """An origin of either kind. @script(ex): plays one exchange (default: 200 to everything); .exchanges are
    those that came, in order."""

    def __init__(self, kind, script=serve, settings=None, on_connection=None, port=0):
        self.kind, self.script, self.exchanges = kind, script, []
        if kind == "h1":
            self.origin = Origin(self._h1, port=port)
        else:
            self.origin = H2Origin(self._h2, settings or {S_MAX_STREAMS: 100}, on_connection, port=port)
        self.address, self.port = self.origin.address, self.origin.port

    def _h1(self, conn, _):
        while True:
            try:
                request = OriginRequest(*conn.head())
            except Closed:
                return
            ex = H1Served(conn, request)
            self.exchanges.append(ex)
            self.script(ex)
            if not ex.read_done and ex.framing != 0:
                return  # the body was not read: this connection is of no more use

    def _h2(self, stream, _):
        ex = H2Served(stream)
        self.exchanges.append(ex)
        self.script(ex)

    @property
    def connections(self):
        return self.origin.connections

    def service(self, name="web", **more):
        """The service whose only endpoint this is, with the port protocol that it speaks."""
        doc = harness.service(name, [self.address], **more)
        doc["ports"][0]["protocol"] = "http" if self.kind == "h1" else "http2"
        return doc

    def close(self):
        self.origin.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
