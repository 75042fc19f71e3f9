# SPDX-License-Identifier: Apache-2.0
"""make demo, as a user starts it: it serves, sums up, ends by itself and leaves nothing behind."""
import glob
import pathlib
import signal
import subprocess

from running import BIN, wait_for


def test_demo_ends_by_itself_and_leaves_nothing():
    before = set(glob.glob("/tmp/sennit-demo-*"))
    out = subprocess.run([str(BIN / "support/demo"), "--bin", str(BIN), "--seconds", "2"],
                         capture_output=True, text=True, timeout=60, check=False)
    assert out.returncode == 0, out.stderr
    summary = out.stdout.split("summary of")[1]
    assert "web.demo" in summary and "books.demo" in summary and "100.0%" in summary
    assert set(glob.glob("/tmp/sennit-demo-*")) <= before


def test_bad_usage_is_2():
    for args in (["--seconds", "0"], ["--seconds", "x"], ["--nope"], ["extra"]):
        assert subprocess.run([str(BIN / "support/demo"), "--bin", str(BIN), *args], capture_output=True,
                              timeout=20, check=False).returncode == 2


def test_ctrl_c_ends_everything(tmp_path):
    before = set(glob.glob("/tmp/sennit-demo-*"))
    out = open(tmp_path / "out", "w+", encoding="utf-8")
    demo = subprocess.Popen([str(BIN / "support/demo"), "--bin", str(BIN)], stdout=out, stderr=subprocess.STDOUT)
    try:
        wait_for(lambda: "SPLIT" in (tmp_path / "out").read_text(), 60, "the table")
        children = [int(p) for p in subprocess.run(["pgrep", "-P", str(demo.pid)], capture_output=True, text=True,
                                                   check=True).stdout.split()]
        demo.send_signal(signal.SIGINT)
        assert demo.wait(20) == 0
    finally:
        demo.kill()
        demo.wait()
    assert children and not [p for p in children if pathlib.Path(f"/proc/{p}").exists()]
    assert set(glob.glob("/tmp/sennit-demo-*")) <= before
