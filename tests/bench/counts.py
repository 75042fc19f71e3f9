# SPDX-License-Identifier: Apache-2.0
"""What does not move with the machine's noise: instructions and system calls per request."""
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import time

from peers import Peer, running

BODY = 1024
HEAD = (b"GET /bench HTTP/1.1\r\nHost: origin\r\nUser-Agent: bench/1\r\nAccept: */*\r\n"
        b"X-Request-Id: 0123456789abcdef\r\n\r\n")
# Where the cost of metrics is looked for.
STATISTICS = re.compile(r"^sn_(stats|histo|metrics)_")


def ask(socks):
    """One request on each connection, all at once; every response compared."""
    for s in socks:
        s.sendall(HEAD)
    for s in socks:
        data = b""
        while b"\r\n\r\n" not in data or len(data.split(b"\r\n\r\n", 1)[1]) < BODY:
            more = s.recv(65536)
            if not more:
                raise SystemExit(f"bench: a connection ended after {data[:100]}")
            data += more
        top, body = data.split(b"\r\n\r\n", 1)
        if not top.startswith(b"HTTP/1.1 200") or body != b"x" * BODY:
            raise SystemExit(f"bench: answered {top[:100]}")


def dial(port, n):
    socks = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(n)]
    for s in socks:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return socks


def ask_many(port, connections, each):
    """Exactly connections * each keep-alive requests."""
    socks = dial(port, connections)
    for _ in range(each):
        ask(socks)
    for s in socks:
        s.close()


def syscalls(names, origin, cores, load):
    """strace attached between two moments of load. @load: from a port to a number of requests."""
    out = {}
    for n in names:
        with running([n], "h1", origin, cores[0]) as peers:
            p = peers[n]
            load(p.port, 1)
            log = p.dir / "strace"
            s = subprocess.Popen(["strace", "-f", "-c", "-o", log, "-p", str(p.process.pid)],
                                 stderr=subprocess.DEVNULL)
            try:
                time.sleep(1)
                requests = load(p.port, 3)
            finally:
                s.send_signal(signal.SIGINT)
                s.wait(20)
            total = 0
            for line in log.read_text().splitlines():
                fields = line.split()
                if len(fields) >= 5 and fields[0][0].isdigit() and fields[-1] != "total":
                    total += int(fields[3])
            out[n] = total / requests
    return out


def callgrind(name, kind, origin, core, each):
    """The text that callgrind writes about 16 connections with @each requests."""
    with tempfile.TemporaryDirectory(prefix="bench-callgrind-") as d:
        file = pathlib.Path(d) / "out"
        p = Peer(name, kind, origin, core, ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={file}"])
        try:
            ask_many(p.port, 16, each)
        finally:
            p.stop()
        keep = os.environ.get("BENCH_KEEP_CALLGRIND")  # a directory, for callgrind_annotate
        text = file.read_text(errors="replace")
        if keep:
            (pathlib.Path(keep) / f"callgrind.{name}.{kind}.{each}").write_text(text)
        return text


def per_request(of, name, kind, origin, core, each):
    """The difference of two lengths of run, over the requests between them."""
    short, long = (of(callgrind(name, kind, origin, core, k)) for k in (each, 3 * each))
    return (long - short) / (16 * 2 * each)


def total_of(text):
    return int(re.search(r"^(?:summary|totals): (\d+)", text, re.M)[1])


def statistics_of(text):
    """Inclusive cost of the calls from elsewhere into the statistics. The format: valgrind's manual, "Callgrind
    Format Specification": fn=(id) NAME opens a function, cfn= names a callee, calls= is followed by a line with
    its inclusive cost; a name is written once, then only its id."""
    names, inside, callee, total, lines = {}, False, False, 0, iter(text.splitlines())
    for line in lines:
        m = re.match(r"(c?)fn=\((\d+)\)(?: (.*))?$", line)
        if m:
            if m[3]:
                names[m[2]] = m[3]
            matched = bool(STATISTICS.match(names.get(m[2], "")))
            if m[1]:
                callee = matched
            else:
                inside = matched
        elif line.startswith("calls="):
            cost = int(next(lines).split()[-1])
            if callee and not inside:
                total += cost
    return total


def instructions(names, origin, cores, each):
    return {n: per_request(total_of, n, "h1", origin, cores[0], each) for n in names}


def metrics_cost(origin, cores, each):
    """Instructions per request in the statistics of Sennit, for a service with routes."""
    return per_request(statistics_of, "sennit", "routes", origin, cores[0], each)
