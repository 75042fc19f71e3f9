# SPDX-License-Identifier: Apache-2.0
"""Upgrades in place: a new proxy takes the listening sockets of the one that runs. Nobody who asks notices: not under
load, not when the new one fails, not when it has more or fewer workers."""
import array
import contextlib
import json
import os
import pathlib
import re
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time

import pytest

from harness import BIN, LONG, SLOW, Closed, Origin, Process, Proxy, Sample, free_port, service, wait_for
from http2 import H2Client, H2Origin, needs_http2

TCP_LISTEN = "0A"


class Next(Proxy):
    """Another process of the same document and socket."""

    def __init__(self, first, name, args=(), wait=True):  # pylint: disable=super-init-not-called
        self.port, self.admin_port, self.config_path, self.doc = (first.port, first.admin_port, first.config_path,
                                                                  first.doc)
        self.upgrade_socket = first.upgrade_socket
        Process.__init__(self, [BIN / "sennit-proxy", "--config", self.config_path, "--upgrade", "--upgrade-socket",
                                self.upgrade_socket, *args], first.config_path.parent, name)
        if wait:
            wait_for(lambda: "taken over from" in self.log() or not self.alive(), f"{name} to take over",
                     deadline=30 * SLOW)
            assert self.alive(), self.log()


@pytest.fixture
def generations(start_proxy, tmp_path):
    """begin(services, **document) -> the first proxy; go_on(proxy, ...) -> its successor. All must end with 0."""
    later = []

    def begin(services, args=(), **document):
        first = start_proxy(services, args=["--upgrade-socket", tmp_path / "up", *args], **document)
        first.upgrade_socket = tmp_path / "up"
        return first

    def go_on(proxy, args=(), wait=True):
        later.append(Next(proxy, f"next{len(later)}", args, wait))
        return later[-1]

    yield begin, go_on
    for proxy in later:
        code = proxy.stop(30 * SLOW)
        print(f"--- {proxy.name}, exit {code}:\n{proxy.log()[-2000:]}")
        assert code == 0 or getattr(proxy, "may_fail", False), f"{proxy.name} ended with {code}"


class Traffic(Process):
    """tests/support/traffic until end(), which says what came of it."""

    def __init__(self, directory, name, port, rate, *args):
        super().__init__([BIN / "support" / "traffic", "--target", f"127.0.0.1:{port}", "--host", "web", "--rate", rate,
                          *args], directory, name)

    def end(self):
        self.popen.send_signal(signal.SIGTERM)
        self.popen.wait(10 * SLOW)
        summary = json.loads(self.output().splitlines()[-1])
        assert summary["summary"] and summary["ok"] > 0
        return summary


class H2Traffic(threading.Thread):
    """Requests on one HTTP/2 connection, several at once; told to go away it opens another one for those that follow.
    What the server has said it did not process is asked again, as every client may; all else must be answered."""

    def __init__(self, port, at_once=4):
        super().__init__(daemon=True)
        self.port, self.at_once, self.stop = port, at_once, threading.Event()
        self.ok, self.again, self.connections, self.wrong = 0, 0, 0, []

    def run(self):
        while not self.stop.is_set() and not self.wrong:
            try:
                with H2Client(self.port) as c:
                    self.connections += 1
                    while not self.stop.is_set() and not self.wrong and c.goaway is None and not c.ended:
                        self.round(c)
                        time.sleep(0.01)
            except (Closed, OSError, AssertionError) as e:
                self.wrong.append(repr(e))

    def round(self, c):
        asked = [c.request() for _ in range(self.at_once)]
        for s in asked:
            try:
                s.wait_over()
            except Closed:
                pass
            if s.status == 200 and s.ended:
                self.ok += 1
            elif c.goaway and c.goaway[0] < s.id and s.fields is None:
                self.again += 1
            else:
                self.wrong.append(f"{s} {c}")

    def end(self):
        self.stop.set()
        self.join(10 * SLOW)
        assert not self.wrong and self.ok > 0, self.wrong
        return self


def listening_sockets(pid, port):
    """How many listening sockets of a port a process has."""
    held = set()
    for fd in pathlib.Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(OSError):
            held.update(re.findall(r"socket:\[(\d+)\]", os.readlink(fd)))
    rows = [line.split() for line in pathlib.Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(1 for r in rows if r[3] == TCP_LISTEN and int(r[1].split(":")[1], 16) == port and r[9] in held)


class Talk:
    """The other end of the conversation, by hand."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.sock.settimeout(10 * SLOW)
        self.sock.connect(str(path))
        self.fds = []

    def hear(self):
        text, control, _, _ = self.sock.recvmsg(4096, socket.CMSG_SPACE(4 * 253))
        for level, kind, data in control:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                got = array.array("i")
                got.frombytes(data[:len(data) - len(data) % 4])
                self.fds.extend(got)
        return text.decode()

    def say(self, text):
        self.sock.send(text.encode())

    def take(self):
        """Introduces itself and gets the sockets."""
        assert self.hear().startswith("sennit-upgrade 1 ")
        self.say("sennit-upgrade 1 0.0.0-test 1")
        n = int(self.hear().removeprefix("sockets "))
        kinds = ""
        while len(kinds) < n:
            kinds += self.hear().removeprefix("take ")
        assert len(self.fds) == n == len(kinds)
        return kinds

    def close(self):
        self.sock.close()
        for fd in self.fds:
            os.close(fd)
        self.fds = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


def upgrades(proxy, result):
    return proxy.metric("sennit_upgrade_total", result=result)


def echo_stream(stream, _):
    """Answers each message (4 octets) at once."""
    stream.head([(":status", "200"), ("content-type", "application/grpc")])
    at = 0
    while True:
        body = stream.wait_body(at + 4)
        if len(body) < at + 4:
            stream.finish([("grpc-status", "0")])
            return
        stream.send(body[at:at + 4])
        at += 4


# --- nobody notices


@needs_http2
def test_twenty_upgrades_under_load(generations, tmp_path):
    """1,000 requests a second in all: on kept connections, on new ones, on an HTTP/2 connection; and a stream that
    outlives two upgrades. None fails, none is refused."""
    begin, go_on = generations
    sample = Sample(tmp_path, "web")
    with H2Origin(echo_stream) as bidi:
        rpc = service("rpc", [bidi.address])
        rpc["ports"][0]["protocol"] = "grpc"
        proxy = begin([service("web", [sample.address]), rpc], workers=2)
        old = []
        kept = Traffic(tmp_path, "kept", proxy.port, 500, "--connections", "32")
        fresh = Traffic(tmp_path, "fresh", proxy.port, 300, "--connections", "64", "--header", "Connection: close")
        h2 = H2Traffic(proxy.port)
        h2.start()
        for i in range(100 if LONG else 20):
            if i % 10 == 3:
                c = H2Client(proxy.port)
                s = c.request("POST", authority="rpc", headers=[("content-type", "application/grpc")], end=False)
                s.send(b"one.")
                assert s.wait_body(4) == b"one."
            old.append(proxy)
            proxy = go_on(proxy)
            assert proxy.ready() and upgrades(proxy, "taken") == 1
            wait_for(lambda p=proxy: p.metric("request_total") > 300, "it to serve")
            if i % 10 == 5:
                assert old[-3].alive(), "a stream is under way there"
                s.send(b"two.")
                assert s.wait_body(8) == b"one.two."
                s.finish()
                assert s.wait_over().trailers == [("grpc-status", "0")]
                assert c.closed(5 * SLOW) == "end"
                c.close()
        results = [kept.end(), fresh.end()]
        h2.end()
        assert [r["errors"] for r in results] == [0, 0], results
        for p in old:
            assert p.wait(20 * SLOW) == 0
            assert "requests in flight" not in p.log()
        assert proxy.metric("sennit_refused_total") == 0
        print(results, h2.ok, h2.again, h2.connections)
    sample.stop()


def test_workers_more_or_fewer(generations, tmp_path):
    """No socket is left without an owner: connections that wait in its queue would be lost."""
    begin, go_on = generations
    sample = Sample(tmp_path, "web")
    proxy = begin([service("web", [sample.address])], ["--workers", "2"])
    assert listening_sockets(proxy.pid, proxy.port) == 2
    kept = Traffic(tmp_path, "kept", proxy.port, 300, "--connections", "16")
    fresh = Traffic(tmp_path, "fresh", proxy.port, 500, "--connections", "64", "--header", "Connection: close")
    for workers, sockets in ((1, 2), (1, 2), (2, 2), (3, 3), (1, 3)):
        old, proxy = proxy, go_on(proxy, ["--workers", str(workers)])
        assert listening_sockets(proxy.pid, proxy.port) == sockets
        assert len(list(pathlib.Path(f"/proc/{proxy.pid}/task").iterdir())) >= workers + 1
        wait_for(lambda old=old: listening_sockets(old.pid, old.port) == 0, "the old one to accept no more")
    results = [kept.end(), fresh.end()]
    assert [r["errors"] for r in results] == [0, 0], results
    sample.stop()


def test_who_waits_in_a_queue_is_served(generations, origin):
    """The old process hangs; who connected meanwhile is answered by the new one, whose single worker has both
    queues."""
    begin, go_on = generations
    proxy = begin([service("web", [origin.address])], ["--workers", "2"])
    new = go_on(proxy, ["--workers", "1"], wait=False)
    wait_for(lambda: "taken over" in new.log(), "the upgrade")
    new.popen.send_signal(signal.SIGSTOP)
    waiting = [proxy.client() for _ in range(40)]
    for c in waiting:
        c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    new.popen.send_signal(signal.SIGCONT)
    for c in waiting:
        assert c.response().status == 200
        c.close()


def test_idle_connections_hear_of_it_with_their_next_answer(generations, origin):
    begin, go_on = generations
    proxy = begin([service("web", [origin.address])])
    with proxy.client() as used, proxy.client() as silent, proxy.client() as half:
        assert used.request().get("connection") is None
        half.send(b"GET / HT")
        wait_for(lambda: proxy.metric("tcp_open_connections") == 3, "the connections")
        new = go_on(proxy)
        wait_for(lambda: listening_sockets(proxy.pid, proxy.port) == 0, "the old one to accept no more")
        time.sleep(0.3)  # longer than after SIGTERM: none of them is closed
        half.send(b"TP/1.1\r\nHost: web\r\n\r\n")
        for c, r in ((half, half.response()), (used, used.request()), (silent, silent.request())):
            assert r.status == 200 and r.get("connection") == "close" and c.closed() == "end"
        assert proxy.wait(5 * SLOW) == 0
        assert new.get().status == 200
    assert "serves from now on" in proxy.log() and "handed over" in proxy.log()


def test_the_old_one_waits_no_longer_than_it_may(generations, origin):
    begin, go_on = generations
    proxy = begin([service("web", [origin.address])], timeouts={"drain": "500ms"})
    with proxy.client() as c:
        assert c.request().status == 200
        go_on(proxy)
        assert proxy.wait(5 * SLOW) == 0
        assert c.closed() == "end"


# --- what is handed over


def test_addresses_that_come_and_go(generations, origin):
    begin, go_on = generations
    stays, goes, comes = free_port(), free_port(), free_port()

    def listener(name, port):
        return {"name": name, "address": f"127.0.0.1:{port}", "direction": "outbound", "protocol": "http"}

    proxy = begin([service("web", [origin.address])],
                  edit=lambda doc: doc["listeners"].extend([listener("stays", stays), listener("goes", goes)]))
    doc = dict(proxy.doc, listeners=[listener("another-name", stays), listener("comes", comes), proxy.doc["listeners"][0]])
    proxy.write(doc)
    wait_for(lambda: "listeners changed: that takes effect when" in proxy.log(), "the proxy to say so")
    with proxy.client() as c:
        assert c.request().status == 200
        proxy.doc = doc
        new = go_on(proxy)
        for port in (stays, comes, proxy.port):
            with socket.create_connection(("127.0.0.1", port), 5) as s:
                s.sendall(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
                assert s.recv(100).startswith(b"HTTP/1.1 200")
        assert listening_sockets(new.pid, goes) == 0
        wait_for(lambda: listening_sockets(proxy.pid, goes) == 0, "the address to be closed")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", goes), 5)


def test_a_directory_whose_routes_come_late(generations, origin, tmp_path):
    """The new one is not ready without routes, and until it is the old one serves."""
    begin, go_on = generations
    proxy = begin([service("web", [origin.address])])
    directory = tmp_path / "conf"
    directory.mkdir()
    pod = {k: v for k, v in proxy.doc.items() if k != "services"}
    (directory / "00-pod.yaml").write_text(json.dumps(pod))
    args = ["--state-dir", tmp_path / "state", "--config", directory]
    new = go_on(proxy, args, wait=False)
    wait_for(lambda: "has the sockets and gets ready" in proxy.log(), "the sockets to be handed over")
    for _ in range(5):
        assert proxy.get().status == 200 and proxy.ready()
    assert upgrades(proxy, "taken") == 0  # it is the old one that answers
    (directory / ".new").write_text(json.dumps({"version": 1, "services": [service("web2", [origin.address])]}))
    (directory / ".new").rename(directory / "routes.yaml")
    wait_for(lambda: "taken over from" in new.log(), "the upgrade")
    wait_for(lambda: listening_sockets(proxy.pid, proxy.port) == 0, "the old one to accept no more")
    assert new.get(host="web2").status == 200 and new.ready()


# --- when it fails


def test_nobody_runs(tmp_path, start_proxy, origin):
    """It starts as always, and can be taken over from; a socket that was left behind is replaced."""
    path = tmp_path / "up"
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as s:
        s.bind(str(path))
    proxy = start_proxy([service("web", [origin.address])], args=["--upgrade", "--state-dir", tmp_path,
                                                                  "--upgrade-socket", path])
    assert proxy.get().status == 200 and "no proxy runs there" in proxy.log()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    other = start_proxy([service("web", [origin.address])], args=["--upgrade", "--state-dir", tmp_path])
    assert (tmp_path / "upgrade.sock").is_socket() and other.get().status == 200
    with Talk(path) as t:
        assert sorted(t.take()) == ["a", "d", "w"]


def test_paths_that_cannot_be(tmp_path, start_proxy, origin, generations):
    begin, _ = generations
    proxy = begin([service("web", [origin.address])])
    (tmp_path / "file").write_text("mine")
    for path, message in ((proxy.upgrade_socket, "another process listens there"),
                          (tmp_path / "file", "is there and no socket"), (tmp_path / "nowhere" / "up", "cannot listen at"),
                          (tmp_path / ("x" * 120), "at most 100 octets")):
        failed = start_proxy([service("web", [origin.address])], args=["--upgrade-socket", path], wait=False)
        code, failed.popen.returncode = failed.wait(), 0  # as it should be: the fixture asks for 0
        assert code == 1 and message in failed.log(), failed.log()
    assert (tmp_path / "file").read_text() == "mine"
    assert proxy.get().status == 200


def test_a_successor_that_fails(generations, tmp_path, origin):
    """It dies with the sockets, its document is bad, an address of its own is taken: the old one goes on, and so do
    its clients; then one succeeds."""
    begin, go_on = generations
    sample = Sample(tmp_path, "web")
    proxy = begin([service("web", [sample.address])])
    good = proxy.doc
    kept = Traffic(tmp_path, "kept", proxy.port, 200)
    fresh = Traffic(tmp_path, "fresh", proxy.port, 200, "--header", "Connection: close")
    for i in range(3):
        with Talk(proxy.upgrade_socket) as t:
            t.take()
        wait_for(lambda i=i: upgrades(proxy, "failed") == i + 1, "the failure to be seen")
    assert "it ended before it was ready" in proxy.log()
    with Talk(proxy.upgrade_socket) as t:
        t.take()
        t.say("nonsense")
        assert t.hear() == "refused it says what it should not"
    proxy.config_path.write_text("version: 1\nnonsense: true\n")
    bad = go_on(proxy, wait=False)
    bad.may_fail = True
    assert bad.wait() == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        proxy.write(dict(good, listeners=[*good["listeners"], dict(
            good["listeners"][0], name="more", address=f"127.0.0.1:{taken.getsockname()[1]}")]))
        bad = go_on(proxy, wait=False)
        bad.may_fail = True
        assert bad.wait() == 1 and "another program does" in bad.log()
    wait_for(lambda: upgrades(proxy, "failed") == 5, "the failure to be seen")
    proxy.write(good)
    bad = go_on(proxy, wait=False)  # killed while it starts, wherever it is then
    bad.may_fail = True
    wait_for(lambda: "sockets from process" in bad.log() or not bad.alive(), "it to have the sockets")
    bad.popen.kill()
    bad.popen.wait()
    handed_over = "serves from now on" in proxy.log()  # then it was too late to fail
    if not handed_over:
        assert proxy.get().status == 200 and proxy.ready()
        go_on(proxy)
    results = [kept.end(), fresh.end()]
    assert [r["errors"] for r in results] == [0, 0] or handed_over, results
    sample.stop()


def test_one_at_a_time_and_of_one_version(generations, origin):
    begin, go_on = generations
    proxy = begin([service("web", [origin.address])])
    with Talk(proxy.upgrade_socket) as t:
        assert t.hear().startswith("sennit-upgrade 1 ")
        t.say("sennit-upgrade 2 9.9.9 7")
        assert t.hear() == "refused sennit-upgrade 1 is spoken here, not 2"
    assert "may not take over: sennit-upgrade 1 is spoken here, not 2" in proxy.log()
    for hello in ("hello", "sennit-upgrade", "sennit-upgrade 1", "sennit-upgrade 1 a", "sennit-upgrade 1 a -1",
                  "sennit-upgrade 1 " + "a" * 40 + " 1", "x" * 4000):
        with Talk(proxy.upgrade_socket) as t:
            t.hear()
            t.say(hello)
            assert t.hear().startswith("refused ")
            assert not t.fds
    with Talk(proxy.upgrade_socket) as first:
        first.take()
        with Talk(proxy.upgrade_socket) as second:
            assert second.hear() == "refused another upgrade is under way"
        late = go_on(proxy, wait=False)
        late.may_fail = True
        assert late.wait() == 1 and "the running proxy refuses: another upgrade is under way" in late.log()
        first.say("ready")
        assert first.hear() == "yours"
        assert proxy.wait(5 * SLOW) == 0
        with Talk(proxy.upgrade_socket):  # the socket is ours now, and so are the others
            pass


def test_one_that_ends_is_not_taken_over_from(generations, origin):
    begin, go_on = generations
    proxy = begin([service("web", [origin.address])], drain={"propagation": "1h"})
    with proxy.client() as c:
        c.send(b"GET")
        assert proxy.admin("/drain", "POST")[0] == 200
        late = go_on(proxy, wait=False)
        late.may_fail = True
        assert late.wait() == 1 and "refuses: this proxy is draining" in late.log()
    proxy.popen.kill()
    proxy.popen.wait()
    proxy.popen.returncode = 0


@pytest.mark.skipif(not LONG, reason="takes 30 s: SLOW=1")
def test_one_that_never_gets_ready(generations, origin):
    begin, _ = generations
    proxy = begin([service("web", [origin.address])])
    with Talk(proxy.upgrade_socket) as t:
        t.sock.settimeout(40)
        t.take()
        assert t.hear() == "refused it was not ready within 30 s"
    assert upgrades(proxy, "failed") == 1 and proxy.get().status == 200


class Old:
    """A running proxy, by hand: @play(conn, talk)."""

    def __init__(self, path, play):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.listener.bind(str(path))
        self.listener.listen(4)
        self.heard = []
        self.thread = threading.Thread(target=self._run, args=(play,), daemon=True)
        self.thread.start()

    def _run(self, play):
        conn, _ = self.listener.accept()
        conn.settimeout(20 * SLOW)
        with conn:
            play(conn, self.heard)

    def close(self):
        self.thread.join(20 * SLOW)
        self.listener.close()


def send_fds(conn, text, fds):
    conn.sendmsg([text.encode()], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])


@pytest.mark.parametrize("what", ["ended", "refused", "not listening", "too many", "nonsense", "mute", "no proxy"])
def test_the_new_one_believes_nothing(tmp_path, start_proxy, origin, what):
    """One that ends after it has handed over leaves a new one that serves; anything else is an error and exit 1."""
    path = tmp_path / "old"
    tcp = socket.create_server(("127.0.0.1", 0))
    port = tcp.getsockname()[1]

    def play(conn, heard):
        conn.send(b"hello" if what == "no proxy" else b"sennit-upgrade 1 0.1.0 77")
        if what == "no proxy":
            return
        heard.append(conn.recv(512))
        if what == "refused":
            conn.send(b"refused because \x1b[1m")
        elif what == "mute":
            with contextlib.suppress(OSError):
                heard.append(conn.recv(512))
        elif what == "nonsense":
            conn.send(b"sockets 99999999999")
        elif what == "too many":
            conn.send(b"sockets 1")
            send_fds(conn, "take ww", [tcp.fileno(), tcp.fileno()])
        elif what == "not listening":
            conn.send(b"sockets 1")
            with socket.socket() as s:
                send_fds(conn, "take w", [s.fileno()])
        else:
            conn.send(b"sockets 2")
            send_fds(conn, "take dw", [old.listener.fileno(), tcp.fileno()])
            heard.append(conn.recv(512))

    old = Old(path, play)
    if what == "ended":
        proxy = start_proxy([service("web", [origin.address])], args=["--upgrade", "--upgrade-socket", path], wait=False,
                            edit=lambda doc: doc["listeners"][0].update(address=f"127.0.0.1:{port}"))
        old.thread.join(20 * SLOW)
        assert old.heard[-1] == b"ready"
        tcp.close()  # it is gone
        old.close()
        wait_for(proxy.ready, "the new one to serve")
        proxy.port = port
        assert proxy.get().status == 200 and "has ended without a word" in proxy.log()
        return
    proxy = start_proxy([service("web", [origin.address])], args=["--upgrade", "--upgrade-socket", path], wait=False)
    code, proxy.popen.returncode = proxy.wait(20 * SLOW), 0
    assert code == 1
    assert {"refused": "the running proxy refuses: because", "not listening": "hands over what it should not",
            "too many": "hands over what it should not", "nonsense": "says what it should not",
            "mute": "does not answer", "no proxy": "what listens there is no proxy"}[what] in proxy.log()
    assert "\x1b" not in proxy.log()
    tcp.close()
    old.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs two users")
def test_another_user_gets_nothing(generations, origin, tmp_path):
    begin, _ = generations
    proxy = begin([service("web", [origin.address])])
    probe = ("import os, socket, sys\n"
             "os.setuid(65534)\n"
             "s = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)\n"
             "s.settimeout(20)\n"
             "try:\n    s.connect(sys.argv[1])\n    print(s.recv(100))\n"
             "except PermissionError:\n    print('denied')\n")

    def ask():
        return subprocess.run([sys.executable, "-c", probe, proxy.upgrade_socket], capture_output=True, text=True,
                              timeout=60, check=True).stdout.strip()

    for directory in (tmp_path, *tmp_path.parents):
        if directory != pathlib.Path("/") and directory.stat().st_uid == 0:
            directory.chmod(directory.stat().st_mode | 0o011)
    assert ask() == "denied"
    proxy.upgrade_socket.chmod(0o777)
    assert ask() == "b''"
    assert upgrades(proxy, "refused") == 1 and "the other end is user 65534, we are 0" in proxy.log()


def test_descriptors_do_not_pile_up(generations, origin):
    begin, go_on = generations
    proxy = begin([service("web", [origin.address])])
    seen = []
    for _ in range(4):
        old, proxy = proxy, go_on(proxy)
        assert old.wait(5 * SLOW) == 0
        seen.append(proxy.fds())
    assert len(set(seen)) == 1, seen
    before = proxy.fds()
    for _ in range(10):
        with Talk(proxy.upgrade_socket) as t:
            t.take()
            send_fds(t.sock, "ready?", [t.sock.fileno()] * 5)
            assert t.hear().startswith("refused")
    wait_for(lambda: proxy.fds() == before, "what was sent along to be gone")
    assert struct.calcsize("i") == 4 and proxy.get().status == 200
