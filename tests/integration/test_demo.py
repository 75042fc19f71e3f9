# SPDX-License-Identifier: Apache-2.0
"""make demo, as a user starts it: it serves, sums up, ends by itself and leaves nothing behind."""
import glob
import subprocess

from running import BIN


def test_demo_ends_by_itself_and_leaves_nothing():
    before = set(glob.glob("/tmp/sennit-demo-*"))
    out = subprocess.run([str(BIN / "support/demo"), "--bin", str(BIN), "--seconds", "2"],
                         capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == 0, out.stderr
    summary = out.stdout.split("summary of")[1]
    assert "web.demo" in summary and "books.demo" in summary and "100.0%" in summary
    assert set(glob.glob("/tmp/sennit-demo-*")) <= before
