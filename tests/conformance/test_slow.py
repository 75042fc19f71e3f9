# SPDX-License-Identifier: Apache-2.0
"""slowhttptest's three modes with 5,000 connections: others are unharmed, and nothing of it stays."""
import resource
import subprocess
import threading
import time

import pytest

from harness import SANITIZED, SLOW, Client, Sample, wait_for
from judges import backend, tool

CONNECTIONS = 5000
SECONDS = 14
# More than the buffers between the two ends hold, less than makes 5,000 of them exhaust net.ipv4.tcp_mem.
BODY = 130_000
MODES = {
    # -i: seconds between what a slow client sends; -x: at most so many bytes of it
    "slowloris": ["-H", "-i", "2", "-x", "10"],
    "slow body": ["-B", "-i", "2", "-x", "10", "-s", "8192"],
    "slow read": ["-X", "-w", "10", "-y", "20", "-n", "2", "-z", "5", "-k", "1"],
}
# Of the ordinary client: every request, and one in a hundred.
WORST_SECONDS, P99_SECONDS = 3 * SLOW, 1 * SLOW
PEAK_BYTES_PER_CONNECTION = 16 * 1024


class Ordinary(threading.Thread):
    """Asks over and over, on a connection that it keeps and on new ones in turn, and notes what it gets."""

    def __init__(self, port):
        super().__init__(daemon=True)
        self.port, self.over, self.seconds, self.failures = port, threading.Event(), [], []

    def run(self):
        kept = Client(self.port)
        while not self.over.wait(0.02):
            began = time.monotonic()
            try:
                answer = kept.request()
                with Client(self.port) as fresh:
                    body = fresh.request("POST", "/echo", body=b"x" * 1000).body
                if answer.status != 200 or body != b"x" * 1000:
                    self.failures.append((answer, body[:100]))
            except Exception as e:  # pylint: disable=broad-except
                self.failures.append(repr(e))
                return
            self.seconds.append(time.monotonic() - began)
        kept.close()


@pytest.mark.parametrize("mode", MODES)
def test_slow_clients(start_proxy, running, tmp_path, mode):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 2 * CONNECTIONS + 500:
        pytest.fail(f"the limit of open files is {hard}; this needs {2 * CONNECTIONS + 500}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))  # what is started inherits it
    try:
        origin = running(Sample(tmp_path, "web", "--echo" if mode != "slow read" else "--delay-ms=0"))
        web = backend("web", origin.address)
        web["policy"]["connections"]["max"] = CONNECTIONS + 500
        proxy = start_proxy([web], edit=lambda doc: doc["listeners"][0].update(service="web"),
                            timeouts={"connect": "5s", "header": "10s", "body": "30s", "idle": "8s"})
        with proxy.no_residue(memory_slack_bytes=8 << 20, deadline=12 * SLOW) as idle:
            attack(proxy, mode, tmp_path, idle)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def attack(proxy, mode, tmp_path, idle):
    with open(tmp_path / "slow.out", "wb") as out:
        # -r: all are there within 4 seconds. -p: what slowhttptest itself calls an unavailable service.
        slow = subprocess.Popen([tool("slowhttptest"), *MODES[mode], "-c", str(CONNECTIONS), "-r", "1500", "-l",
                                 str(SECONDS), "-p", "3", "-u", f"http://127.0.0.1:{proxy.port}/bytes/{BODY}"],
                                stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    ordinary = Ordinary(proxy.port)
    peak = [0, 0]

    def watched():
        peak[0] = max(peak[0], proxy.metric("tcp_open_connections"))
        peak[1] = max(peak[1], proxy.rss_bytes())
        return slow.poll() is not None

    try:
        ordinary.start()
        wait_for(watched, "the end of slowhttptest", deadline=(SECONDS + 20) * SLOW, every=0.1)
    finally:
        if slow.poll() is None:
            slow.kill()
            slow.wait()
        ordinary.over.set()
        ordinary.join(30 * SLOW)
    seconds = sorted(ordinary.seconds)
    print(f"{mode}: peak {peak[0]:.0f} connections, {(peak[1] - idle.memory_bytes) // 1024} KiB; {len(seconds)} rounds, "
          f"p99 {seconds[len(seconds) * 99 // 100]:.3f} s, worst {seconds[-1]:.3f} s; {ordinary.failures[:3]}")
    print((tmp_path / "slow.out").read_text(errors="replace")[-1500:])
    assert peak[0] >= CONNECTIONS * 0.75, "the attack did not take place"
    assert not ordinary.failures
    assert len(seconds) > 50
    assert seconds[len(seconds) * 99 // 100] < P99_SECONDS and seconds[-1] < WORST_SECONDS
    assert SANITIZED or peak[1] - idle.memory_bytes < PEAK_BYTES_PER_CONNECTION * CONNECTIONS
