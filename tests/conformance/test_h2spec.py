# SPDX-License-Identifier: Apache-2.0
"""h2spec, every case that it counts itself, strict ones too: in cleartext and over TLS, over either origin."""
import subprocess
import xml.etree.ElementTree

import pytest

from harness import SLOW, Sample
from judges import backend, certificate, engine, go_tool, needs, nghttpd

CASES = 146


def h2spec(port, tls, path, directory):
    """Runs it; returns (cases run, ["what went wrong"]). A skipped case is wrong too."""
    report = directory / "h2spec.xml"
    done = subprocess.run([go_tool("h2spec"), "-S", "-h", "127.0.0.1", "-p", str(port), "-P", path, "-o", str(int(3 * SLOW)),
                           "-j", report, *(["-t", "-k"] if tls else [])],
                          capture_output=True, text=True, timeout=240 * SLOW, check=False)
    assert report.exists(), done.stdout[-2000:] + done.stderr
    run, wrong = 0, []
    for suite in xml.etree.ElementTree.parse(report).getroot().iter("testsuite"):
        for case in suite.iter("testcase"):
            run += 1
            bad = [child for child in case if child.tag in ("failure", "skipped", "error")]
            if bad:
                said = " ".join("".join(child.itertext()) for child in bad)
                wrong.append(f"{case.get('package')} {case.get('classname')}: {bad[0].tag}: {' '.join(said.split())}")
    return run, wrong


@pytest.mark.parametrize("origin", ["http1", "http2"])
@pytest.mark.parametrize("tls", [False, True], ids=["cleartext", "tls"])
def test_h2spec(start_proxy, running, tmp_path, tls, origin):
    ports = {}

    def edit(doc):
        ports.update(engine(doc, tls=certificate(tmp_path) if tls else None))
        needs(tmp_path, doc)

    if origin == "http1":
        web, path = backend("web", running(Sample(tmp_path, "web")).address), "/bytes/100"
    else:
        web, path = backend("web", nghttpd(running, tmp_path), "http2"), "/"
    proxy = start_proxy([web], edit=edit)
    with proxy.no_residue():
        run, wrong = h2spec(ports["tls" if tls else "http2"], tls, path, tmp_path)
        assert not wrong, "\n".join(wrong)
        assert run >= CASES
