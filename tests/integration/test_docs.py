# SPDX-License-Identifier: Apache-2.0
"""The reference says what the programs say."""
import pathlib
import re
import subprocess

from running import BIN, Origin, Proxy, answer, fixed_answers
from test_operator_kube import api, fill, start  # noqa: F401 (fixtures)
from test_webhook import hook  # noqa: F401

DOCS = pathlib.Path(__file__).resolve().parents[2] / "docs/reference"


def test_every_key_with_its_default_is_in_the_reference():
    said = subprocess.run([str(BIN / "sennit-proxy"), "--print-defaults"], check=True, capture_output=True, text=True).stdout
    block = re.search(r"```yaml\n(.*?)```", (DOCS / "configuration.md").read_text(), re.S)[1]
    assert block == said


def families(text):
    return set(re.findall(r"^# TYPE (\S+)", text, re.M))


def documented(part):
    text = (DOCS / "metrics.md").read_text().split("## ")
    section = next(s for s in text if s.startswith(part))
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return set(re.findall(r"`(\w+)`", " ".join(rows)))


def well_formed(text):
    """Each family once, its samples right behind it."""
    seen, current = set(), None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            current = line.split()[2]
            assert current not in seen, f"{current} comes twice"
            seen.add(current)
        elif not line.startswith("#"):
            name = re.match(r"\w+", line)[0]
            assert re.sub(r"_(bucket|sum|count)$", "", name) == current or name == current, line


def test_every_metric_of_the_proxy():
    origin = Origin(fixed_answers(answer()))
    p = Proxy("""
version: 1
admin: {address: "127.0.0.1:{admin}"}
listeners: [{name: out, address: "127.0.0.1:{port}", direction: outbound}]
services: [{name: web, hosts: [web], endpoints: {static: [{address: "127.0.0.1:%d"}]}}]
""" % origin.port)
    try:
        assert b"200 OK" in p.ask(b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n")
        text = p.metrics()
        well_formed(text)
        assert families(text) == documented("Proxy")
    finally:
        p.stop()
        origin.close()


def test_every_metric_of_the_operator(hook):  # noqa: F811
    text = hook.get("/metrics")[1]
    well_formed(text)
    process = {n for n in documented("Proxy") if n.startswith("process_")}
    assert families(text) - process == documented("Operator")


def test_every_reason_of_a_refusal():
    text = (DOCS / "configuration.md").read_text()
    p = Proxy("""
version: 1
admin: {address: "127.0.0.1:{admin}"}
listeners: [{name: out, address: "127.0.0.1:{port}", direction: outbound}]
""")
    try:
        reasons = set(re.findall(r'sennit_refused_total\{reason="([^"]+)"', p.metrics()))
    finally:
        p.stop()
    assert reasons == set(re.findall(r"^\| `([a-z-]+)` \|", text.split("## Refusals")[1], re.M)) - {"sennit-error"}
