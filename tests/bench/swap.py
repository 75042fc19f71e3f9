# SPDX-License-Identifier: Apache-2.0
"""What replacing a document of thousands of routes and endpoints costs: for bench.py."""
import contextlib
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time

from peers import BIN, ROOT, end, free_ports, wait_port

sys.path.insert(0, str(ROOT / "tests" / "integration"))
import harness  # noqa: E402  pylint: disable=wrong-import-position
import large  # noqa: E402  pylint: disable=wrong-import-position


class Large:
    """Sennit with large.text(), on one core; put() is in use when it returns."""

    def __init__(self, core, origin_port, bench_port=None):
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="bench-swap-"))
        self.port, self.admin = free_ports(2)
        self.origin_port, self.bench_port, self.n = origin_port, bench_port, 0
        self.write("first", 0)
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen(["taskset", "-c", core, str(BIN / "sennit-proxy"), "--config",
                                             str(self.dir / "c.yaml"), "--state-dir", str(self.dir)], stderr=log)
        wait_port(self.port, self.process)

    def write(self, revision, changed):
        (self.dir / "new").write_text(large.text(self.port, self.admin, self.origin_port, revision, changed,
                                                self.bench_port))
        (self.dir / "new").rename(self.dir / "c.yaml")

    def put(self, changed=0):
        self.n += 1
        self.write(f"r{self.n}", changed)
        harness.wait_for(lambda: f"applied revision r{self.n}," in (self.dir / "log").read_text(), "the change")

    def ask(self, *services):
        with harness.Client(self.port) as c:
            for s in services:
                path, headers = large.asks(s)
                if c.request("GET", path, f"svc-{s}", headers).status != 200:
                    raise SystemExit(f"bench: svc-{s} answered wrongly")

    def close(self):
        end(self.process)
        shutil.rmtree(self.dir, ignore_errors=True)


def cost(core, rounds):
    """{what: a value for each round}"""
    out = {"load, CPU ms": [], "worker, CPU ms": [], "refill, CPU ms": [], "private MB": []}
    with harness.Origin(host="0.0.0.0") as origin, contextlib.closing(Large(core, origin.port)) as p:
        pid = p.process.pid
        for n in range(rounds):
            p.ask(*range(large.SERVICES))
            before = large.cpu_ms(pid)
            p.put(changed=n + 1)
            time.sleep(0.2)
            after = large.cpu_ms(pid)
            p.ask(0)
            out["load, CPU ms"].append(after[0] - before[0])
            out["worker, CPU ms"].append(after[1] - before[1])
            out["refill, CPU ms"].append(large.cpu_ms(pid)[1] - after[1])
            p.ask(*range(large.SERVICES))
            time.sleep(0.2)
            out["private MB"].append(large.private_bytes(pid) / 1e6)
    return out


def delays(core, loop, rounds):
    """The slowest of 2 s at 1,000 requests a second to a small service, without changes and with one every 0.3 s, each of
    which a request to 5,000 endpoints follows."""
    out = {"p99 ms": [], "max ms": [], "p99 ms, changing": [], "max ms, changing": []}
    with harness.Origin(host="0.0.0.0") as origin, contextlib.closing(Large(core, origin.port, loop.port)) as p:
        loop.ask(p.port, 16, 1000, 0.5)
        for n in range(rounds):
            for more in ("", ", changing"):
                ended = threading.Event()

                def change(first=n * 10):
                    while not ended.wait(0.3):
                        p.put(changed=first + p.n % 10)
                        p.ask(0)

                thread = threading.Thread(target=change)
                if more:
                    thread.start()
                got = loop.ask(p.port, 16, 1000, 2)
                ended.set()
                if more:
                    thread.join()
                out["p99 ms" + more].append(got["p99_us"] / 1000)
                out["max ms" + more].append(got["max_us"] / 1000)
    return out
