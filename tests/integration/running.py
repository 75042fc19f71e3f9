# SPDX-License-Identifier: Apache-2.0
"""Starts the real programs on loopback and gives tests origins that record what reaches them.
Every wait has a deadline; nothing sleeps for a guess."""
import atexit
import contextlib
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.request

from harness import free_port

BIN = pathlib.Path(os.environ.get("SENNIT_BIN", "build/bin")).resolve()
SLOW = float(os.environ.get("SENNIT_SLOW", "1"))
SANITIZED = any(d in BIN.parts for d in ("asan", "tsan", "valgrind"))  # then memory use says nothing


def wait_for(condition, seconds=10, what="the condition"):
    """Polls until condition() is true; its value is returned. SENNIT_SLOW=4 makes it four times as patient."""
    seconds *= SLOW
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"waited {seconds} s for {what}")
        time.sleep(0.01)


def free_ports(n):
    """Ports that nobody listens on."""
    return [free_port() for _ in range(n)]


def http_get(url, timeout=5):
    """(status, body) also for error statuses."""
    try:
        with urllib.request.urlopen(url, timeout=timeout) as r:
            return r.status, r.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.read().decode()


class Origin:
    """A TCP server that runs handler(connection, recorder) per connection in a thread."""

    def __init__(self, handler):
        self.handler = handler
        self.seen = []
        self.connections = 0
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.port = self.sock.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                conn, _ = self.sock.accept()
                self.connections += 1
                threading.Thread(target=self._serve, args=(conn,), daemon=True).start()

    def _serve(self, conn):
        with contextlib.suppress(OSError), conn:
            conn.settimeout(20)
            self.handler(conn, self)

    def close(self):
        self.sock.close()


def read_head(conn):
    data = b""
    while b"\r\n\r\n" not in data:
        got = conn.recv(65536)
        if not got:
            return data, b""
        data += got
    head, rest = data.split(b"\r\n\r\n", 1)
    return head + b"\r\n\r\n", rest


def fixed_answers(raw):
    """Handler: answers every request (without body) with the same bytes."""

    def serve(conn, origin):
        while True:
            head, _ = read_head(conn)
            if not head.endswith(b"\r\n\r\n"):
                return
            origin.seen.append(head)
            conn.sendall(raw)

    return serve


def answer(body=b"ok", status="200 OK", headers=()):
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Proxy:
    """sennit-proxy with the given document; {admin} and {port} in it are filled in."""

    def __init__(self, text, args=(), wait=True, **values):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="sennit-test-"))
        atexit.register(shutil.rmtree, self.dir, True)
        self.port, self.admin = free_ports(2)
        self.values = dict(values, port=self.port, admin=self.admin)
        self.config = self.dir / "config.yaml"
        self.write(text)
        self.log = open(self.dir / "log", "w+", encoding="utf-8")
        self.process = subprocess.Popen(
            [str(BIN / "sennit-proxy"), "--config", str(self.config), "--state-dir", str(self.dir), *args],
            stderr=self.log)
        if wait:
            wait_for(self.ready, what="the proxy to become ready")

    def write(self, text):
        for k, v in self.values.items():
            text = text.replace("{%s}" % k, str(v))
        tmp = self.dir / ".new"
        tmp.write_text(text, encoding="utf-8")
        tmp.rename(self.config)

    def ready(self):
        if self.process.poll() is not None:
            raise AssertionError("the proxy ended: " + self.logs())
        try:
            return http_get(f"http://127.0.0.1:{self.admin}/ready", 1)[0] == 200
        except OSError:
            return False

    def metrics(self):
        return http_get(f"http://127.0.0.1:{self.admin}/metrics")[1]

    def metric(self, name):
        """Sum of the series whose line starts with name."""
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.metrics().splitlines()
                   if line.startswith(name))

    def logs(self):
        return (self.dir / "log").read_text(encoding="utf-8")

    def connect(self, timeout=10):
        return socket.create_connection(("127.0.0.1", self.port), timeout)

    def ask(self, raw, timeout=10):
        """Sends raw bytes on a new connection, reads to the end."""
        with self.connect(timeout) as s:
            s.sendall(raw)
            s.shutdown(socket.SHUT_WR) if raw.endswith(b"\0FIN") else None
            return read_all(s)

    def stop(self, sig=signal.SIGTERM):
        if self.process.poll() is None:
            self.process.send_signal(sig)
            try:
                self.process.wait(15)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


def read_all(s):
    data = b""
    while True:
        try:
            got = s.recv(65536)
        except ConnectionResetError:
            return data
        if not got:
            return data
        data += got


def read_response(s):
    """One response with Content-Length: (head, body)."""
    head, body = read_head(s)
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-length:"):
            want = int(line.split(b":")[1])
            while len(body) < want:
                got = s.recv(65536)
                if not got:
                    break
                body += got
    return head, body
