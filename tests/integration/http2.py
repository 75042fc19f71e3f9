# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 for the tests, either side of a connection: any frame can be sent by hand, whatever the protocol
says about it; what comes is read by a thread of its own and waited for with a deadline.

Fields are encoded as literals that touch no table, so that malformed ones can be sent and one test's
mistakes stay out of the next stream. Nothing here validates: the tests say what is expected."""
import contextlib
import functools
import socket
import struct
import subprocess
import tempfile
import threading
import time

import hpack
import pytest

from harness import BIN, DEADLINE, Closed

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS, PADDED = 1, 1, 4, 8
NO_ERROR, PROTOCOL_ERROR, INTERNAL_ERROR, FLOW_CONTROL_ERROR = 0, 1, 2, 3
STREAM_CLOSED, FRAME_SIZE_ERROR, REFUSED_STREAM, CANCEL = 5, 6, 7, 8
COMPRESSION_ERROR, ENHANCE_YOUR_CALM = 9, 11
S_TABLE_SIZE, S_PUSH, S_MAX_STREAMS, S_WINDOW, S_FRAME_SIZE, S_HEADER_LIST, S_CONNECT = 1, 2, 3, 4, 5, 6, 8

LISTENER = '{name: a, address: "127.0.0.1:1", direction: outbound, protocol: %s}'


@functools.lru_cache(maxsize=None)
def supported(protocol="http2", more=""):
    """Does this build serve HTTP/2 at all? A build accepts in its document only what it honours."""
    if not (BIN / "sennit-proxy").exists():
        return False
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as f:
        f.write(f"version: 1\nlisteners: [{LISTENER % protocol}]\n{more}\n")
        f.flush()
        return subprocess.run([BIN / "sennit-proxy", "--check", "--config", f.name], capture_output=True,
                              timeout=20, check=False).returncode == 0


needs_http2 = pytest.mark.skipif(not supported(), reason="this build refuses `protocol: http2`")


def octets(text):
    return text if isinstance(text, bytes) else str(text).encode("latin-1")


def hpack_int(n, prefix_bits, first=0):
    top = (1 << prefix_bits) - 1
    if n < top:
        return bytes([first | n])
    out, n = [first | top], n - top
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    return bytes(out + [n])


def block(fields, indexed=False):
    """A field section as literals: without indexing, or into the dynamic table."""
    out = []
    for name, value in fields:
        name, value = octets(name), octets(value)
        out.append((b"\x40" if indexed else b"\0") + hpack_int(len(name), 7) + name
                   + hpack_int(len(value), 7) + value)
    return b"".join(out)


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def head_frames(stream, section, end=False, split=16384):
    """HEADERS and as many CONTINUATIONs as it takes."""
    parts = [section[i:i + split] for i in range(0, len(section), split)] or [b""]
    out = []
    for i, part in enumerate(parts):
        flags = END_HEADERS if i == len(parts) - 1 else 0
        out.append(frame(HEADERS if i == 0 else CONTINUATION, flags | (END_STREAM if end and i == 0 else 0),
                         stream, part))
    return b"".join(out)


def settings_payload(settings):
    return b"".join(struct.pack(">HI", k, v) for k, v in settings.items())


def request_fields(method="GET", path="/", authority="web", headers=(), scheme="http"):
    """A well-formed request's fields; None leaves a pseudo-header out."""
    pseudo = [(":method", method), (":scheme", scheme), (":authority", authority), (":path", path)]
    return [(k, v) for k, v in pseudo if v is not None] + list(headers)


class Stream:
    """What came on one stream, and sending on it."""

    def __init__(self, conn, number, send_window):
        self.conn, self.id, self.send_window = conn, number, send_window
        self.fields = self.trailers = self.reset = None
        self.interim, self.body, self.received = [], bytearray(), 0
        self.ended = False  # by END_STREAM
        self.hold = False  # do not give the window back
        self.taken = 0

    def field(self, name, default=None):
        return next((v for k, v in self.fields or () if k == name), default)

    @property
    def status(self):
        return int(self.field(":status", "0"))

    @property
    def over(self):
        return self.ended or self.reset is not None

    def wait_head(self, deadline=None):
        """The final head's fields; Closed if the stream is reset before it."""
        self.conn.wait(lambda: self.fields is not None or self.reset is not None, f"a head on {self}", deadline)
        if self.fields is None:
            raise Closed(True, b"")
        return self.fields

    def wait_over(self, deadline=None):
        """Waits for END_STREAM or a reset; returns the stream."""
        self.conn.wait(lambda: self.over, f"the end of {self}", deadline)
        return self

    def wait_body(self, n, deadline=None):
        """At least @n octets of the body, whatever follows."""
        self.conn.wait(lambda: len(self.body) >= n or self.over, f"{n} octets on {self}", deadline)
        return bytes(self.body)

    def head(self, fields, end=False):
        self.conn.send(head_frames(self.id, block(fields), end))

    def send(self, data=b"", end=False, deadline=None):
        """DATA within the windows. Closed when the stream is reset meanwhile."""
        conn, view = self.conn, memoryview(data)
        while True:
            conn.wait(lambda v=view: self.reset is not None or not v
                      or min(self.send_window, conn.send_window) > 0, f"window on {self}", deadline)
            if self.reset is not None:
                raise Closed(True, b"")
            with conn.cond:
                n = max(0, min(len(view), self.send_window, conn.send_window, conn.peer.get(S_FRAME_SIZE, 16384)))
                self.send_window -= n
                conn.send_window -= n
            part, view = view[:n], view[n:]
            if part or (end and not view):
                conn.send(frame(DATA, END_STREAM if end and not view else 0, self.id, bytes(part)))
            if not view:
                return

    def finish(self, trailers=()):
        if trailers:
            self.conn.send(head_frames(self.id, block(trailers), end=True))
        else:
            self.send(end=True)

    def rst(self, code=CANCEL):
        self.conn.send(frame(RST_STREAM, 0, self.id, struct.pack(">I", code)))

    def __repr__(self):
        return (f"<stream {self.id} fields={self.fields} body={len(self.body)} trailers={self.trailers}"
                f" ended={self.ended} reset={self.reset}>")


class H2Conn:
    """One side of a connection. Attributes are what came: .peer (settings), .streams, .goaway (last id,
    code), .pongs, .frames (kind -> count), .ended (None, "end" or "reset")."""

    def __init__(self, sock, client, settings=None, deadline=None, reading=True, start=True, on_request=None,
                 on_open=None):
        self.sock, self.client, self.deadline = sock, client, deadline or DEADLINE
        self.cond, self.send_lock = threading.Condition(), threading.Lock()
        self.streams, self.peer, self.frames = {}, {}, {}
        self.goaway = self.ended = None
        self.goaways, self.pongs, self.pings = [], [], 0
        self.answer_pings = True
        self.send_window, self.next_id, self.on_request = 65535, 1, on_request
        self.ours = dict(settings or {})
        self.settings_acked = False
        self.decoder = hpack.Decoder(max_header_list_size=1 << 24)
        self.go = threading.Event()
        if reading:
            self.go.set()
        sock.settimeout(None)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if on_open:
            on_open(self)
        if start:
            self.start()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def start(self):
        self.send((PREFACE if self.client else b"") + frame(SETTINGS, 0, 0, settings_payload(self.ours)))

    def send(self, data):
        with self.send_lock:
            try:
                self.sock.sendall(data)
            except OSError as e:
                raise Closed(True, b"") from e

    def wait(self, condition, what, deadline=None):
        """Until condition() is true; Closed when the connection ends before it is."""
        end = time.monotonic() + (deadline or self.deadline)
        with self.cond:
            while not (value := condition()):
                if self.ended:
                    raise Closed(self.ended == "reset", b"")
                left = end - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"did not come: {what}; {self}")
                self.cond.wait(min(left, 0.5))
            return value

    def closed(self, deadline=None):
        """Waits for the connection's end: "end" or "reset"."""
        with contextlib.suppress(Closed):
            self.wait(lambda: False, "the connection's end", deadline)
        return self.ended

    def __repr__(self):
        return f"<goaway={self.goaway} ended={self.ended} frames={self.frames} {list(self.streams.values())[-3:]}>"

    # --- sending

    def stream(self, number=None):
        """The stream of that number; a new one of ours without."""
        with self.cond:
            if number is None:
                number, self.next_id = self.next_id, self.next_id + 2
            if number not in self.streams:
                self.streams[number] = Stream(self, number, self.peer.get(S_WINDOW, 65535))
            return self.streams[number]

    def request(self, method="GET", path="/", authority="web", headers=(), body=None, trailers=(), end=None,
                scheme="http", fields=None):
        """Starts a request (whole unless end=False); returns its stream."""
        s = self.stream()
        fields = request_fields(method, path, authority, headers, scheme) if fields is None else fields
        whole = end is not False
        s.head(fields, end=whole and body is None and not trailers)
        if body is not None:
            try:
                s.send(body, end=whole and not trailers)
            except Closed:
                if not s.ended:  # an answer came first, and the rest of the body is not wanted
                    raise
        if trailers:
            s.finish(trailers)
        return s

    def get(self, path="/", **kwargs):
        """A whole exchange; returns its stream when it is over."""
        return self.request(path=path, **kwargs).wait_over()

    def ping(self, data=b"12345678", wait=True):
        before = len(self.pongs)
        self.send(frame(PING, 0, 0, data))
        if wait:
            self.wait(lambda: len(self.pongs) > before, "PING's answer")

    def settings(self, values):
        self.ours.update(values)
        self.send(frame(SETTINGS, 0, 0, settings_payload(values)))

    def window_update(self, stream, n):
        self.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", n)))

    def say_goaway(self, last, code=NO_ERROR):
        self.send(frame(GOAWAY, 0, 0, struct.pack(">II", last, code)))

    # --- reading

    def pause(self):
        self.go.clear()

    def resume(self):
        self.go.set()

    def _read(self):
        data, ended = b"", "end"
        try:
            if not self.client:
                while len(data) < len(PREFACE):
                    got = self.sock.recv(65536)
                    if not got:
                        raise EOFError
                    data += got
                if not data.startswith(PREFACE):
                    raise EOFError
                data = data[len(PREFACE):]
            while True:
                while len(data) >= 9:
                    n = int.from_bytes(data[:3], "big")
                    if len(data) < 9 + n:
                        break
                    kind, flags, stream = data[3], data[4], int.from_bytes(data[5:9], "big") & 0x7FFFFFFF
                    payload, data = data[9:9 + n], data[9 + n:]
                    self._frame(kind, flags, stream, payload)
                self.go.wait()
                got = self.sock.recv(262144)
                if not got:
                    break
                data += got
        except ConnectionError:
            ended = "reset"
        except (OSError, EOFError, Closed):
            pass
        with self.cond:
            self.ended = ended
            self.cond.notify_all()

    def _frame(self, kind, flags, number, payload):
        out, started = b"", None
        with self.cond:
            self.frames[kind] = self.frames.get(kind, 0) + 1
            if kind == DATA:
                s, n = self.streams.get(number), len(payload)
                if flags & PADDED:
                    payload = payload[1:len(payload) - payload[0]]
                if s:
                    s.body += payload
                    s.received += len(payload)
                    s.ended = s.ended or bool(flags & END_STREAM)
                if n:
                    out += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", n))
                    if s and not s.hold and not s.ended:
                        out += frame(WINDOW_UPDATE, 0, number, struct.pack(">I", n))
            elif kind in (HEADERS, CONTINUATION):
                started = self._head(kind, flags, number, payload)
            elif kind == RST_STREAM:
                s = self.streams.get(number)
                if s and s.reset is None:
                    s.reset = int.from_bytes(payload, "big")
            elif kind == SETTINGS and flags & ACK:
                self.settings_acked = True
            elif kind == SETTINGS:
                for at in range(0, len(payload), 6):
                    key, value = struct.unpack(">HI", payload[at:at + 6])
                    if key == S_WINDOW:
                        for s in self.streams.values():
                            s.send_window += value - self.peer.get(S_WINDOW, 65535)
                    self.peer[key] = value
                self.peer.setdefault(0, 1)  # they have come
                out += frame(SETTINGS, ACK)
            elif kind == PING and flags & ACK:
                self.pongs.append(payload)
            elif kind == PING:
                self.pings += 1
                if self.answer_pings:
                    out += frame(PING, ACK, 0, payload)
            elif kind == GOAWAY:
                self.goaway = struct.unpack(">II", payload[:8])
                self.goaways.append(self.goaway)
            elif kind == WINDOW_UPDATE:
                n = int.from_bytes(payload, "big")
                if number == 0:
                    self.send_window += n
                elif number in self.streams:
                    self.streams[number].send_window += n
            self.cond.notify_all()
        if out:
            self.send(out)
        if started:
            self.on_request(started)

    def _head(self, kind, flags, number, payload):
        if kind == HEADERS:
            if flags & PADDED:
                payload = payload[1:len(payload) - payload[0]]
            if flags & 0x20:
                payload = payload[5:]
            self.section, self.section_end = b"", bool(flags & END_STREAM)
        self.section += payload
        if not flags & END_HEADERS:
            return None
        fields = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in self.decoder.decode(self.section, raw=True)]
        s = self.streams.get(number)
        if s is None:
            s = self.streams[number] = Stream(self, number, self.peer.get(S_WINDOW, 65535))
        started = None
        if s.fields is not None:
            s.trailers = fields
        elif self.client and fields and fields[0][0] == ":status" and fields[0][1].startswith("1"):
            s.interim.append(fields)
        else:
            s.fields = fields
            started = s if not self.client and self.on_request else None
        s.ended = s.ended or self.section_end
        return started

    # --- the end

    def reset(self):
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        self.go.set()
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError):
            self.sock.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class H2Client(H2Conn):
    """A client. Waits for the peer's SETTINGS, unless it is told not to read."""

    def __init__(self, port, host="127.0.0.1", rcvbuf=None, reading=True, greet=True, **kwargs):
        sock = socket.socket()
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.settimeout(DEADLINE)
        sock.connect((host, port))
        super().__init__(sock, True, reading=reading, **kwargs)
        if reading and greet:
            self.wait(lambda: 0 in self.peer, "the peer's SETTINGS")


def answer_200(stream, _):
    stream.wait_over()
    if stream.reset is None:
        stream.head([(":status", "200"), ("content-length", "3")])
        stream.send(b"ok\n", end=True)


class H2Origin:
    """An HTTP/2 server with prior knowledge. @script(stream, origin) plays each request in a thread of its
    own; .requests are the streams in order, .connections the H2Conns. Errors as in harness.Origin."""

    def __init__(self, script=answer_200, settings=None, on_connection=None, host="127.0.0.1", port=0):
        self.script, self.settings, self.on_connection = script, settings or {S_MAX_STREAMS: 100}, on_connection
        self.connections, self.requests, self.errors = [], [], []
        self.listener = socket.create_server((host, port), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.address = f"{host}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            with contextlib.suppress(Closed):
                H2Conn(sock, False, settings=self.settings, on_request=self._started, on_open=self._opened,
                       deadline=max(60, DEADLINE))

    def _opened(self, conn):
        self.connections.append(conn)
        if self.on_connection:
            self.on_connection(conn)

    def _started(self, stream):
        self.requests.append(stream)
        threading.Thread(target=self._play, args=(stream,), daemon=True).start()

    def _play(self, stream):
        try:
            self.script(stream, self)
        except (Closed, OSError):
            pass
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(e)
            with contextlib.suppress(Closed, OSError):
                stream.rst(INTERNAL_ERROR)

    def close(self):
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for conn in self.connections:
            conn.close()
        if self.errors:
            raise self.errors[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
