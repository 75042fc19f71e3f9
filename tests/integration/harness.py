# SPDX-License-Identifier: Apache-2.0
"""What the integration tests drive: the real programs, scripted origins, and a raw HTTP/1 client.

Everything waits for a condition with a deadline; nothing sleeps for a guess. Sockets are on loopback.
"""
import contextlib
import hashlib
import json
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time
import urllib.error
import urllib.request

import yaml

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("SENNIT_BIN", ROOT / "build" / "bin"))
# Sanitizers and busy machines: SENNIT_SLOW=4 makes every deadline four times as long.
SLOW = float(os.environ.get("SENNIT_SLOW", "1"))
DEADLINE = 10 * SLOW
# SLOW=1: the sizes and times that the documents name, where a shorter run is the default.
LONG = os.environ.get("SLOW") == "1"
SANITIZED = any(d in BIN.parts for d in ("asan", "tsan", "valgrind"))  # then memory use says nothing


def wait_for(condition, what, deadline=DEADLINE, every=0.005):
    """Returns the condition's first true value; fails the test when there is none in time."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline:.0f} s: {what}")
        time.sleep(every)


def wait_until_still(value, for_seconds=0.3):
    """Waits until a value has not changed for a while."""
    seen = [value(), time.monotonic()]

    def still():
        if value() != seen[0]:
            seen[:] = value(), time.monotonic()
        return time.monotonic() - seen[1] > for_seconds * SLOW

    wait_for(still, "a standstill", deadline=30 * SLOW)


PROCESSES, PROCESS = 8, int(os.environ.get("PYTEST_XDIST_WORKER", "gw0")[2:]) % 8
_ports_given = set()


def free_port():
    """A port that nobody listens on, outside the range from which the kernel takes ports for outgoing
    connections, and never the same twice, here or in another process of the same run: nothing takes it before its
    program does."""
    for _ in range(1000):
        port = random.randrange(15000, 31000, PROCESSES) + PROCESS
        if port in _ports_given:
            continue
        with socket.socket() as s:
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _ports_given.add(port)
        return port
    raise AssertionError("no free port")


class Process:
    """A program with its output in files; stop() ends it and says how it ended."""

    def __init__(self, args, directory, name, env=None):
        self.name = name
        self.stdout_path = pathlib.Path(directory) / f"{name}.out"
        self.stderr_path = pathlib.Path(directory) / f"{name}.err"
        with open(self.stdout_path, "wb") as out, open(self.stderr_path, "wb") as err:
            self.popen = subprocess.Popen([str(a) for a in args], stdin=subprocess.DEVNULL, stdout=out,
                                          stderr=err, env={**os.environ, **(env or {})})

    @property
    def pid(self):
        return self.popen.pid

    def alive(self):
        return self.popen.poll() is None

    def output(self):
        return self.stdout_path.read_text(errors="replace")

    def log(self):
        return self.stderr_path.read_text(errors="replace")

    def wait(self, deadline=DEADLINE):
        return self.popen.wait(timeout=deadline)

    def stop(self, deadline=DEADLINE):
        if self.alive():
            self.popen.send_signal(signal.SIGTERM)
            try:
                self.popen.wait(timeout=deadline)
            except subprocess.TimeoutExpired:
                self.popen.kill()
                self.popen.wait()
                raise AssertionError(f"{self.name} did not end on SIGTERM:\n{self.log()}") from None
        return self.popen.returncode

    def rss_bytes(self):
        """Resident memory that is the process's own."""
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"^RssAnon:\s+(\d+) kB", text, re.M).group(1)) * 1024

    def open_fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))


class Sample(Process):
    """tests/support/sample on a port of its choice."""

    def __init__(self, directory, name, *args):
        super().__init__([BIN / "support" / "sample", "--name", name, *args], directory, f"sample-{name}")
        line = wait_for(lambda: re.search(r"listening (\S+)\n", self.output()), f"{name} to listen")
        self.address = line.group(1)


def document(listener_port, admin_port, services, **more):
    """A proxy's document with one outbound listener that reads HTTP and goes by Host."""
    doc = {
        "version": 1,
        "admin": {"address": f"127.0.0.1:{admin_port}"},
        "drain": {"propagation": "0s"},
        "listeners": [{"name": "outbound", "address": f"127.0.0.1:{listener_port}", "direction": "outbound",
                       "transparent": False, "protocol": "http"}],
        "services": services,
    }
    doc.update(more)
    return doc


def refused_document(directory, doc):
    """None when this build's proxy takes the document, else what --check says about it."""
    path = pathlib.Path(directory) / "checked.yaml"
    path.write_text(yaml.safe_dump(doc, sort_keys=False))
    done = subprocess.run([BIN / "sennit-proxy", "--config", path, "--check"], capture_output=True, text=True,
                          timeout=DEADLINE, check=False)
    return None if done.returncode == 0 else done.stderr.replace(f"{path}:", "").strip() or "no message"


def service(name, endpoints, **more):
    """A service on port 80 with static endpoints ("host:port")."""
    return {"name": name, "hosts": [name], "ports": [{"port": 80, "protocol": "http"}],
            "endpoints": {"static": [{"address": a} for a in endpoints]}, **more}


class Residue:
    """What a proxy holds when nobody uses it; taken before a suite, compared behind it."""

    def __init__(self, proxy):
        self.connections = proxy.metric("tcp_open_connections")
        self.fds = proxy.open_fds()
        self.memory_bytes = proxy.rss_bytes()

    def __repr__(self):
        return f"{self.connections:.0f} connections, {self.fds} descriptors, {self.memory_bytes // 1024} KiB"


class Proxy(Process):
    """sennit-proxy with a document; ready when it says so."""

    def __init__(self, directory, services=(), name="proxy", edit=None, wait=True, args=(), **more):
        self.port, self.admin_port = free_port(), free_port()
        self.config_path = pathlib.Path(directory) / f"{name}.yaml"
        doc = document(self.port, self.admin_port, list(services), **more)
        if edit:
            edit(doc)
        self.write(doc)
        super().__init__([BIN / "sennit-proxy", "--config", self.config_path, *args], directory, name)
        if wait:
            try:
                wait_for(lambda: not self.alive() or self.ready(), "the proxy to be ready")
                assert self.alive(), f"the proxy ended:\n{self.log()}"
            except AssertionError:
                self.popen.kill()
                self.popen.wait()
                raise AssertionError(f"the proxy did not become ready:\n{self.log()}") from None

    def write(self, doc):
        """Replaces the document as an editor or a mounted volume does: whole, by rename."""
        self.doc = doc
        temporary = self.config_path.with_suffix(".new")
        temporary.write_text(yaml.safe_dump(doc, sort_keys=False))
        temporary.rename(self.config_path)

    def admin(self, path, method="GET", timeout=5 * SLOW):
        """(status, text) of an admin request; (0, reason) when there is no answer."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.admin_port}{path}", method=method)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode(errors="replace")
        except urllib.error.HTTPError as e:
            return e.code, e.read().decode(errors="replace")
        except OSError as e:
            return 0, str(e)

    def ready(self):
        return self.admin("/ready")[0] == 200

    def metrics(self):
        """{"name{labels}": value}"""
        status, text = self.admin("/metrics")
        assert status == 200, text
        lines = (line.rsplit(" ", 1) for line in text.splitlines() if line and line[0] != "#")
        return {k: float(v) for k, v in lines}

    def metric(self, name, **labels):
        """Sum of a metric's series whose labels include the given ones. Of TCP connections those that it accepted,
        unless `peer` says otherwise."""
        if name.startswith(("tcp_open_", "tcp_close_")):
            labels = {"peer": "src", **labels}
        wanted = [f'{k}="{v}"' for k, v in labels.items()]
        return sum(v for k, v in self.metrics().items()
                   if k.split("{")[0] == name and all(w in k for w in wanted))

    @contextlib.contextmanager
    def no_residue(self, memory_slack_bytes=4 << 20, deadline=15 * SLOW):
        """What is done inside leaves nothing behind: connections, descriptors and private memory return to what
        they were. Pools of idle upstream connections have to end by themselves: give them a short idleTimeout."""
        before = Residue(self)
        yield before
        wait_for(self.alive, "the proxy to be alive", deadline=0)
        seen = [before]

        def idle():
            seen[0] = now = Residue(self)
            return now.connections <= before.connections and now.fds <= before.fds and (
                SANITIZED or now.memory_bytes <= before.memory_bytes + memory_slack_bytes)

        try:
            wait_for(idle, "idle values", deadline=deadline, every=0.05)
        except AssertionError:
            raise AssertionError(f"{self.name} was left with {seen[0]}; idle it has {before}") from None

    def refused(self, reason=None):
        """What was refused so far, for one reason or in all."""
        return self.metric("sennit_refused_total", **({"reason": reason} if reason else {}))

    def fds(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def at_rest(self, fds, rss=None, spare_bytes=8 << 20):
        """Waits until no connection is open, no descriptor is left behind and memory is back."""
        wait_for(lambda: self.metric("tcp_open_connections") == 0, "all connections to be closed")
        wait_for(lambda: self.fds() <= fds, f"the descriptors to be {fds} again")
        if rss is not None and not SANITIZED:
            wait_for(lambda: self.rss_bytes() - rss < spare_bytes, "memory to be given back")

    def client(self, **kwargs):
        return Client(self.port, **kwargs)

    def get(self, path="/", host="web", **kwargs):
        with self.client() as c:
            return c.request("GET", path, host, **kwargs)


class Closed(Exception):
    """The other side ended the connection: .reset tells how."""

    def __init__(self, reset, data=b""):
        super().__init__("reset" if reset else "end of stream")
        self.reset, self.data = reset, data


class Response:
    def __init__(self, version, status, reason, headers):
        self.version, self.status, self.reason = version, status, reason
        self.headers = headers  # in order: [(lower-case name, value)]
        self.body = b""
        self.interim = []

    def all(self, name):
        return [v for k, v in self.headers if k == name.lower()]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)

    def __repr__(self):
        return f"<{self.status} {self.headers} {self.body[:60]!r}>"


class Raw:
    """A socket with an input buffer and deadlines: the base of both ends."""

    def __init__(self, sock, deadline=DEADLINE):
        self.sock, self.deadline, self.buffer = sock, deadline, b""
        sock.settimeout(deadline)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def send(self, data):
        self.sock.sendall(data)

    def more(self):
        """Reads something; Closed at the end."""
        try:
            data = self.sock.recv(262144)
        except ConnectionError as e:
            raise Closed(True, self.buffer) from e
        except TimeoutError as e:
            raise AssertionError(f"nothing came; so far: {self.buffer[-300:]!r}") from e
        if not data:
            raise Closed(False, self.buffer)
        self.buffer += data

    def take(self, n):
        while len(self.buffer) < n:
            self.more()
        data, self.buffer = self.buffer[:n], self.buffer[n:]
        return data

    def until(self, mark):
        while mark not in self.buffer:
            self.more()
        at = self.buffer.index(mark) + len(mark)
        return self.take(at)

    def closed(self):
        """Waits for the end and tells how: "reset" or "end". What came first is in .buffer."""
        while True:
            try:
                self.more()
            except Closed as e:
                return "reset" if e.reset else "end"

    def chunk(self):
        size = int(self.until(b"\r\n").split(b";")[0], 16)
        data = self.take(size)
        if size:
            assert self.take(2) == b"\r\n"
        return data

    def chunked(self):
        parts = []
        while part := self.chunk():
            parts.append(part)
        while self.until(b"\r\n") != b"\r\n":
            pass
        return b"".join(parts)

    def head(self):
        """(first line, [(name, value)])"""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        pairs = [line.split(":", 1) for line in lines[1:] if line]
        return lines[0], [(k.lower(), v.strip()) for k, v in pairs]

    def reset(self):
        """Closes with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.close()

    def close(self):
        try:
            self.sock.close()
        except OSError:
            pass


class Client(Raw):
    def __init__(self, port, host="127.0.0.1", rcvbuf=None, deadline=DEADLINE):
        sock = socket.socket()
        if rcvbuf:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, rcvbuf)
        sock.settimeout(deadline)
        sock.connect((host, port))
        super().__init__(sock, deadline)

    def response_head(self):
        line, headers = self.head()
        version, status, reason = (line.split(" ", 2) + [""])[:3]
        assert version in ("HTTP/1.1", "HTTP/1.0"), line
        return Response(version, int(status), reason, headers)

    def response(self, method="GET"):
        """Reads one final response with its body; interim ones are in .interim."""
        interim = []
        while True:
            r = self.response_head()
            if r.status >= 200 or r.status == 101:
                break
            interim.append(r)
        r.interim = interim
        if method == "HEAD" or r.status in (101, 204, 304):
            return r
        if r.get("transfer-encoding") == "chunked":
            assert r.get("content-length") is None
            r.body = self.chunked()
        elif r.get("content-length") is not None:
            r.body = self.take(int(r.get("content-length")))
        else:
            assert self.closed() == "end"
            r.body, self.buffer = self.buffer, b""
        return r

    def request(self, method="GET", path="/", host="web", headers=(), body=None, chunks=None,
                version="1.1"):
        """Sends a request and reads its response. @headers: [(name, value)]; @chunks: list of bytes."""
        lines = [f"{method} {path} HTTP/{version}", f"Host: {host}", *(f"{k}: {v}" for k, v in headers)]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        if chunks is not None:
            lines.append("Transfer-Encoding: chunked")
            body = b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in chunks) + b"0\r\n\r\n"
        self.send("\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + (body or b""))
        return self.response(method)


class OriginRequest:
    def __init__(self, line, headers):
        self.line, self.headers = line, headers
        self.method, self.target, self.version = line.split(" ", 2)
        self.body = b""

    def all(self, name):
        return [v for k, v in self.headers if k == name.lower()]

    def get(self, name, default=None):
        return next(iter(self.all(name)), default)


class OriginConn(Raw):
    """One connection of an origin. .ended: None while open, then "end" or "reset"."""

    def __init__(self, sock, number):
        super().__init__(sock, deadline=max(60, DEADLINE))
        self.number, self.received, self.ended = number, 0, None

    def more(self):
        before = len(self.buffer)
        try:
            super().more()
        except Closed as e:
            self.ended = "reset" if e.reset else "end"
            raise
        self.received += len(self.buffer) - before

    def request_head(self):
        return OriginRequest(*self.head())

    def request(self):
        """One whole request; None at a clean end between requests."""
        try:
            r = self.request_head()
        except Closed as e:
            if e.data or e.reset:
                raise
            return None
        if r.get("transfer-encoding"):
            r.body = self.chunked()
        else:
            r.body = self.take(int(r.get("content-length", "0")))
        return r

    def reply(self, status=200, headers=(), body=b"ok\n", reason="OK"):
        lines = [f"HTTP/1.1 {status} {reason}", *(f"{k}: {v}" for k, v in headers),
                 f"Content-Length: {len(body)}"]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)


def answer_all(conn, origin):
    """The default script: 200 to every request."""
    while r := conn.request():
        origin.requests.append(r)
        conn.reply()


class Origin:
    """A TCP server in threads. @script(conn, origin) plays one connection; a peer that goes away ends it in
    silence, any other exception is kept and raised by close()."""

    def __init__(self, script=answer_all, host="127.0.0.1", port=0):
        self.script, self.connections, self.requests, self.errors = script, [], [], []
        self.listener = socket.create_server((host, port), backlog=512)
        self.port = self.listener.getsockname()[1]
        self.address = f"{host}:{self.port}"
        self.thread = threading.Thread(target=self._accept, daemon=True)
        self.thread.start()

    def _accept(self):
        while True:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            conn = OriginConn(sock, len(self.connections))
            self.connections.append(conn)
            threading.Thread(target=self._play, args=(conn,), daemon=True).start()

    def _play(self, conn):
        try:
            self.script(conn, self)
        except (Closed, OSError):
            pass  # the peer went away, or close() took the socket from under the script
        except Exception as e:  # pylint: disable=broad-except
            self.errors.append(e)
        finally:
            conn.close()

    @property
    def received(self):
        return sum(c.received for c in self.connections)

    def close(self):
        # shutdown wakes the accepting thread, close alone does not.
        try:
            self.listener.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.listener.close()
        for conn in self.connections:
            conn.close()
        if self.errors:
            raise self.errors[0]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def pattern(n):
    """@n octets that are not the same anywhere nearby."""
    block = b"".join(hashlib.sha256(struct.pack("<I", i)).digest() for i in range(2048))
    return (block * (n // len(block) + 1))[:n]


def json_lines(text):
    return [json.loads(line) for line in text.splitlines() if line.startswith("{")]
