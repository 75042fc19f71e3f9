# SPDX-License-Identifier: Apache-2.0
"""The operator on a directory: documents follow edits, broken files change nothing, proxies follow."""
import pathlib
import subprocess

import pytest

from running import BIN, wait_for

SERVICES = """
kind: Service
metadata: {name: web, namespace: demo, annotations: {sennit.dev/endpoints: "127.0.0.1:8081"}}
spec: {ports: [{port: 80, appProtocol: http}, {port: 8080}]}
---
kind: Service
metadata: {name: web-v2, namespace: demo, annotations: {sennit.dev/endpoints: "127.0.0.1:8082"}}
spec: {ports: [{port: 80}]}
"""
ROUTE = """
apiVersion: sennit.dev/v1alpha1
kind: MeshRoute
metadata: {name: canary, namespace: demo}
spec:
  parentRefs: [{kind: Service, name: web, port: 80}]
  rules:
  - name: beta
    matches: [{path: {type: PathPrefix, value: /api}, headers: [{name: x-beta, value: "1"}]}]
    backendRefs: [{name: web-v2, port: 80, weight: WEIGHT}, {name: web, port: 80, weight: 90}]
"""


@pytest.fixture
def operator(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "in/services.yaml").write_text(SERVICES)
    log = open(tmp_path / "log", "w", encoding="utf-8")
    process = subprocess.Popen([str(BIN / "sennit-operator"), "--source", f"dir:{tmp_path}/in",
                                "--routes-out", f"{tmp_path}/out"], stderr=log)
    yield tmp_path
    process.terminate()
    assert process.wait(5) == 0


def save(path, text):
    new = path.with_suffix(".tmp")
    new.write_text(text)
    new.rename(path)


def document(root):
    try:
        return (root / "out/demo/routes-0.yaml").read_text()
    except FileNotFoundError:
        return ""


def test_documents_follow_edits_and_pass_the_proxy_check(operator):
    save(operator / "in/route.yaml", ROUTE.replace("WEIGHT", "10"))
    wait_for(lambda: "weight: 10" in document(operator), what="the route")
    first = document(operator)
    check = subprocess.run([str(BIN / "sennit-proxy"), "--check", "--config", str(operator / "out/demo")],
                           capture_output=True, text=True, timeout=10, check=False)
    assert (check.returncode, check.stderr) == (0, "")
    save(operator / "in/route.yaml", ROUTE.replace("WEIGHT", "50"))
    wait_for(lambda: "weight: 50" in document(operator), what="the new weight")
    save(operator / "in/route.yaml", ROUTE.replace("WEIGHT", "10"))
    wait_for(lambda: document(operator) == first, what="the same bytes for the same objects")


def test_broken_file_keeps_what_it_held(operator):
    save(operator / "in/route.yaml", ROUTE.replace("WEIGHT", "10"))
    wait_for(lambda: "weight: 10" in document(operator), what="the route")
    before = document(operator)
    save(operator / "in/route.yaml", ROUTE + "  - {\n")
    wait_for(lambda: "route.yaml:1" in (operator / "log").read_text(), what="the message")
    assert document(operator) == before


def test_missing_backend_is_said_and_answers_for_its_share(operator):
    save(operator / "in/route.yaml", ROUTE.replace("WEIGHT", "10").replace("web-v2", "nobody"))
    wait_for(lambda: "nobody.demo#BackendNotFound" in document(operator), what="the reference")
    wait_for(lambda: "ResolvedRefs=False, BackendNotFound" in (operator / "log").read_text(),
             what="the condition")


def test_a_route_of_a_file_that_goes_is_gone(operator):
    save(operator / "in/route.yaml", ROUTE.replace("WEIGHT", "10"))
    wait_for(lambda: "canary" in document(operator), what="the route")
    (operator / "in/route.yaml").unlink()
    wait_for(lambda: "canary" not in document(operator), what="its end")


def test_samples_are_accepted(operator):
    for path in (pathlib.Path(__file__).resolve().parents[2] / "manifests/samples").glob("*.yaml"):
        save(operator / "in" / path.name, path.read_text().replace("metadata: {name", "metadata: {namespace: demo, name"))
    wait_for(lambda: all(part in document(operator) for part in ("weight: 10", "backoff: 25ms", "slowStart: 30s")), what="all of them")
    check = subprocess.run([str(BIN / "sennit-proxy"), "--check", "--config", str(operator / "out/demo")],
                           capture_output=True, text=True, timeout=10, check=False)
    assert (check.returncode, check.stderr) == (0, "")
    assert "=False" not in (operator / "log").read_text()


BAD = """
kind: Service
metadata: {name: odd, namespace: demo, annotations: {sennit.dev/endpoints: "garbage"}}
spec: {ports: [{port: 99999}]}
---
kind: MeshRoute
metadata: {name: odd, namespace: demo}
spec:
  parentRefs: [{kind: Service, name: web}]
  rules: [{matches: [{path: {type: Regex, value: "/.*"}}], backendRefs: [{name: odd}]}]
---
kind: BackendPolicy
metadata: {name: odd, namespace: demo}
spec: {targetRefs: [{kind: Service, name: web}], loadBalancing: {algorithm: Fastest}}
---
kind: MeshConfig
metadata: {name: odd}
spec: {outbound: {mode: DenyAny}}
"""


def test_bad_resources_are_named_and_spoil_nothing(operator):
    save(operator / "in/bad.yaml", BAD)
    save(operator / "in/route.yaml", ROUTE.replace("WEIGHT", "10"))
    wait_for(lambda: "weight: 10" in document(operator), what="the good route")
    check = subprocess.run([str(BIN / "sennit-proxy"), "--check", "--config", str(operator / "out/demo")],
                           capture_output=True, text=True, timeout=10, check=False)
    assert (check.returncode, check.stderr) == (0, "")
    log = (operator / "log").read_text()
    for said in ("Service demo/odd: spec.ports[0].port", "MeshRoute demo/odd: Accepted=False, UnsupportedValue: spec.rules[0].matches[0].path.type",
                 "BackendPolicy demo/odd: Accepted=False, UnsupportedValue: spec.loadBalancing.algorithm", "MeshConfig odd is not used"):
        assert said in log


def test_bad_usage_is_2():
    for args in ([], ["--source", "dir:/nonexistent", "--routes-out", "/tmp"], ["--source", "ftp:x"]):
        assert subprocess.run([str(BIN / "sennit-operator"), *args], capture_output=True, timeout=10,
                              check=False).returncode == 2
