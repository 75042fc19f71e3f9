# SPDX-License-Identifier: Apache-2.0
"""The injector: certificates, pods in and pods out, and whatever anybody in a cluster could POST."""
import base64
import http.client
import json
import os
import pathlib
import re
import socket
import ssl
import subprocess
import sys
import time

import jsonpatch
import pytest
import yaml

from harness import wait_until_still
from running import wait_for
from test_operator_kube import Operator, namespace

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../support"))
from fake_apiserver import FakeApi, status, times  # noqa: E402

PODS = pathlib.Path(__file__).parent / "pods"
NAMES = sorted(p.name[:-8] for p in PODS.glob("*.in.yaml"))
SYSTEM = "sennit-system"
HOST = f"sennit-webhook.{SYSTEM}.svc"
CONFIG = {"metadata": {"name": "sennit-injector"},
          "webhooks": [{"name": f"{n}.injector.sennit.dev", "sideEffects": "None",
                        "clientConfig": {"service": {"name": "sennit-webhook", "path": "/inject"}}}
                       for n in ("namespace", "pod")]}
SECRET = {"metadata": {"name": "sennit-ca", "namespace": SYSTEM, "labels": {"app.kubernetes.io/name": "sennit"}},
          "type": "Opaque"}


class Webhook(Operator):
    def __init__(self, api, tmp_path, *args):
        Operator.__init__(self, api, tmp_path, "--webhook-listen=127.0.0.1:0", "--proxy-image=sennit/proxy:test",
                          "--init-image=sennit/init:test", *args)
        self.address = None

    def bundle(self):
        webhooks = self.api.get("mutatingwebhookconfigurations", "", "sennit-injector")["webhooks"]
        return [base64.b64decode(w["clientConfig"].get("caBundle", "")).decode() for w in webhooks]

    def listening(self):
        found = re.findall(r"injector on https port (\d+)", self.logs())
        if found:
            self.address = ("127.0.0.1", int(found[-1]))
        return self.address

    def context(self):
        return ssl.create_default_context(cadata=self.bundle()[0])

    def tls(self, timeout=20):
        raw = socket.create_connection(self.address, timeout)
        return self.context().wrap_socket(raw, server_hostname=HOST)

    def post(self, body, path="/inject", method="POST", content_type="application/json", headers=None):
        c = http.client.HTTPConnection(HOST)
        c.sock = self.tls()
        all_headers = {} if content_type is None else {"Content-Type": content_type}
        c.request(method, path, body, {**all_headers, **(headers or {})})
        r = c.getresponse()
        data = r.read()
        c.close()
        return r.status, data


def review(pod, ns="demo", uid="0b1c", operation="CREATE", kind="Pod", **more):
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
            "request": {"uid": uid, "kind": {"group": "", "version": "v1", "kind": kind}, "operation": operation,
                        "namespace": ns, "object": pod, **more}}


def decide(hook, pod, **more):
    code, data = hook.post(json.dumps(review(pod, **more)))
    assert code == 200, data
    answer = json.loads(data)
    assert answer["apiVersion"] == "admission.k8s.io/v1" and answer["kind"] == "AdmissionReview"
    assert answer["response"]["uid"] == more.get("uid", "0b1c")
    return answer["response"]


def patched(pod, response):
    if "patch" not in response:
        return pod
    assert response["patchType"] == "JSONPatch"
    return jsonpatch.apply_patch(pod, json.loads(base64.b64decode(response["patch"])))


@pytest.fixture(scope="module")
def hook(tmp_path_factory):
    api = FakeApi()
    api.put("namespaces", namespace())
    for level in ("baseline", "restricted", "privileged"):
        n = namespace(level)
        n["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = level
        api.put("namespaces", n)
    api.put("secrets", SECRET)
    api.put("mutatingwebhookconfigurations", CONFIG)
    h = Webhook(api, tmp_path_factory.mktemp("webhook"))
    wait_for(h.ready, what="the webhook to be ready")
    wait_for(h.listening, what="its port")
    yield h
    h.stop()
    api.close()


# --- trust

def test_the_ca_is_kept_and_every_bundle_holds_it(hook):
    stored = hook.api.get("secrets", SYSTEM, "sennit-ca")
    ca = base64.b64decode(stored["data"]["ca.crt"]).decode()
    assert hook.bundle() == [ca, ca]
    assert stored["metadata"]["labels"] == SECRET["metadata"]["labels"]
    with hook.tls() as s:  # the names and the chain are checked by this
        assert s.version() == "TLSv1.3"
        assert s.getpeercert()["subjectAltName"][0] == ("DNS", HOST)
    patch = hook.api.made("PATCH", "/mutatingwebhookconfigurations/")[0]
    assert patch[5]["Content-Type"] == "application/strategic-merge-patch+json"
    config = hook.api.get("mutatingwebhookconfigurations", "", "sennit-injector")
    assert config["webhooks"][1]["clientConfig"]["service"] == CONFIG["webhooks"][1]["clientConfig"]["service"]


def test_bundles_that_an_apply_clears_are_filled_again(hook):
    before = hook.bundle()
    hook.api.put("mutatingwebhookconfigurations", CONFIG)
    wait_for(lambda: hook.bundle() == before, what="the bundles")
    wait_for(hook.ready, what="ready again")


def start(api, tmp_path, *args, ready=True):
    h = Webhook(api, tmp_path, *args)
    if ready:
        wait_for(h.ready, 20, "the webhook to be ready")
        wait_for(h.listening, what="its port")
    return h


def test_the_ca_outlives_the_operator_and_another_replica_wins(tmp_path):
    api = FakeApi()
    api.put("secrets", SECRET)
    api.put("mutatingwebhookconfigurations", CONFIG)
    try:
        first = start(api, tmp_path)
        ca = first.bundle()[0]
        first.stop()
        second = start(api, tmp_path)
        assert second.bundle() == [ca, ca] and len(api.made("PUT", "/secrets/")) == 1
        second.stop()
        # a replica that is late with its PUT takes the winner's
        stored = api.get("secrets", SYSTEM, "sennit-ca")
        api.put("secrets", SECRET)
        api.put("mutatingwebhookconfigurations", CONFIG)

        def lose(h, method, path, query):
            if method != "PUT":
                return False
            api.put("secrets", stored)
            api.answer(h, 409, {"kind": "Status", "code": 409})
            return True

        api.faults.append(times(1, lose))
        third = start(api, tmp_path)
        assert third.bundle() == [ca, ca]
        third.stop()
    finally:
        api.close()


def serves(h, ca):
    """Is what is served signed by this CA alone?"""
    try:
        raw = socket.create_connection(h.address, 5)
        with ssl.create_default_context(cadata=ca).wrap_socket(raw, server_hostname=HOST):
            return True
    except ssl.SSLError:
        return False


def certificates(pem):
    return re.findall("-----BEGIN CERTIFICATE-----.*?-----END CERTIFICATE-----", pem, re.S)


def test_a_ca_that_is_taken_away_is_made_again_and_signs_at_once(tmp_path):
    api = FakeApi()
    api.put("secrets", SECRET)
    api.put("mutatingwebhookconfigurations", CONFIG)
    try:
        h = start(api, tmp_path, "--resync=1s")
        ca = h.bundle()[0]
        assert serves(h, ca)
        api.put("secrets", SECRET)  # its data is gone
        wait_for(lambda: h.bundle()[0] not in ("", ca), what="a new CA in the bundle")
        wait_for(lambda: serves(h, h.bundle()[0]), what="a certificate of the new CA, without a restart")
        h.stop()
    finally:
        api.close()


def old_ca(where):
    """A CA nine of whose ten years are over, and its key."""
    (where / "index").write_text("")
    (where / "serial").write_text("01")
    (where / "conf").write_text(f"""
[ca]
default_ca = d
[d]
database = {where}/index
serial = {where}/serial
new_certs_dir = {where}
default_md = sha256
policy = p
x509_extensions = v3
[p]
commonName = supplied
[v3]
basicConstraints = critical,CA:TRUE
keyUsage = critical,keyCertSign
""")

    def openssl(*args):
        subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True)

    openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", where / "key",
            "-out", where / "csr", "-subj", "/CN=old")
    year = time.gmtime().tm_year
    openssl("ca", "-batch", "-config", where / "conf", "-selfsign", "-keyfile", where / "key", "-in", where / "csr",
            "-out", where / "crt", "-notext", "-startdate", f"{year - 9}0101000000Z", "-enddate", f"{year + 1}1231000000Z")
    return (where / "crt").read_bytes(), (where / "key").read_bytes()


def test_an_old_ca_is_replaced_and_stays_in_the_bundle(tmp_path):
    cert, key = old_ca(tmp_path)
    api = FakeApi()
    try:
        api.put("secrets", {**SECRET, "data": {"ca.crt": base64.b64encode(cert).decode(),
                                               "ca.key": base64.b64encode(key).decode()}})
        api.put("mutatingwebhookconfigurations", CONFIG)
        h = start(api, tmp_path)
        stored = api.get("secrets", SYSTEM, "sennit-ca")["data"]
        assert base64.b64decode(stored["ca-old.crt"]) == cert and base64.b64decode(stored["ca.crt"]) != cert
        both = certificates(h.bundle()[0])
        assert len(both) == 2 and both[1] == certificates(cert.decode())[0]
        assert serves(h, both[0]) and not serves(h, both[1])
        assert h.bundle()[0] == h.bundle()[1]
        h.stop()
    finally:
        api.close()


def test_faults_on_the_way_to_trust(tmp_path):
    api = FakeApi()
    try:
        h = start(api, tmp_path, ready=False)
        wait_for(lambda: "no Secret" in h.get("/readyz")[1], what="what is missing")
        api.put("secrets", SECRET)
        wait_for(lambda: "no MutatingWebhookConfiguration" in h.get("/readyz")[1], 20, "what is missing then")
        api.faults.append(times(2, status(api, 500, "PATCH", "/mutatingwebhookconfigurations/")))
        api.put("mutatingwebhookconfigurations", CONFIG)
        wait_for(h.ready, 20, "the webhook to be ready")
        assert h.metric("sennit_webhook_errors_total") >= 3
        h.stop()
        broken = api.get("secrets", SYSTEM, "sennit-ca")
        broken["data"] = {"ca.crt": base64.b64encode(b"no certificate").decode(), "ca.key": "AAAA"}
        api.put("secrets", broken)
        h = start(api, tmp_path, ready=False)
        wait_for(lambda: "cannot be read" in h.get("/readyz")[1], what="the complaint")
        api.put("secrets", SECRET)
        wait_for(h.ready, 20, "a new CA")
        h.stop()
    finally:
        api.close()


# --- pods

@pytest.mark.parametrize("name", NAMES)
def test_pods_in_and_out(hook, name):
    text = (PODS / f"{name}.in.yaml").read_text()
    pod = {"apiVersion": "v1", "kind": "Pod", **yaml.safe_load(text)}
    response = decide(hook, pod)
    got = patched(json.loads(json.dumps(pod)), response)
    path = PODS / f"{name}.out.yaml"
    if text.startswith("# "):
        reason = text[2:].split("\n")[0]
        assert response["auditAnnotations"] == {"inject": reason}
        assert response["allowed"] == (reason != "NameTaken") and got == pod
        if reason == "NameTaken":
            assert "rename it" in response["status"]["message"]
        return
    assert response["allowed"] and response["auditAnnotations"] == {"inject": "Injected"}
    out = {"pod": got, "warnings": response.get("warnings", [])}
    if os.environ.get("UPDATE_GOLDEN"):
        path.write_text(yaml.safe_dump(out, sort_keys=True, width=120))
    assert out == yaml.safe_load(path.read_text())
    assert hook.post(json.dumps(review(pod))) == hook.post(json.dumps(review(pod)))  # same bytes
    again = decide(hook, got)  # injected twice is injected once
    assert "patch" not in again and again["auditAnnotations"] == {"inject": "AlreadyInjected"}


def test_what_is_injected_passes_the_proxys_check(hook, tmp_path):
    from running import BIN
    pod = yaml.safe_load((PODS / "full.out.yaml").read_text())["pod"]
    path = tmp_path / "00-pod.yaml"
    path.write_text(pod["metadata"]["annotations"]["sennit.dev/proxy-config"])
    done = subprocess.run([str(BIN / "sennit-proxy"), "--config", str(path), "--check"], check=False)
    assert done.returncode == 0
    init = pod["spec"]["initContainers"][0]
    assert subprocess.run([str(BIN / "sennit-init"), "--print", *init["args"]], check=False).returncode == 0


@pytest.mark.parametrize("ns,injected", [("baseline", False), ("restricted", False), ("privileged", True),
                                         ("unknown", True)])
def test_pod_security(hook, ns, injected):
    response = decide(hook, {"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app"}]}}, ns=ns)
    assert response["allowed"] and ("patch" in response) == injected
    if not injected:
        assert "NET_ADMIN" in response["warnings"][0]
        wait_for(lambda: [e for e in hook.api.all("events") if e["metadata"]["namespace"] == ns], what="an Event")


@pytest.mark.parametrize("change", [{"operation": "UPDATE"}, {"kind": "Deployment"}, {"subResource": "ephemeralcontainers"},
                                    {"operation": "CREATE", "object": None}, {"object": [1]}, {"object": "x"}])
def test_other_reviews_are_allowed_as_they_are(hook, change):
    body = review({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app"}]}})
    if "kind" in change:
        change = {"kind": {"group": "apps", "version": "v1", "kind": change["kind"]}}
    body["request"].update(change)
    code, data = hook.post(json.dumps(body))
    response = json.loads(data)["response"]
    assert code == 200 and response["allowed"] and "patch" not in response
    assert response["auditAnnotations"] == {"inject": "NotANewPod"}


def test_strange_pods_are_answered(hook):
    for spec in ({}, {"containers": {}}, {"containers": [None, 1, "x", []]}, {"containers": "x", "volumes": 7},
                 {"initContainers": {"a": 1}}, {"volumes": None, "initContainers": None},
                 {"securityContext": [], "os": "windows", "hostNetwork": "true"}):
        for meta in ({}, {"annotations": None}, {"annotations": {"a": 1}}, {"labels": 7}, None, []):
            response = decide(hook, {"metadata": meta, "spec": spec})
            assert response["allowed"]
    assert hook.process.poll() is None


# --- hostile input

GOOD = json.dumps(review({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "app"}]}}))


@pytest.mark.parametrize("body,code", [
    ("", 400), ("{}", 400), ("null", 400), ("[]", 400), ("nonsense", 400), (GOOD + "x", 400), (GOOD + GOOD, 400),
    (GOOD[:-1], 400), (GOOD.replace("v1\"", "v1beta1\""), 400), (GOOD.replace("AdmissionReview", "Pod"), 400),
    (GOOD.replace('"uid": "0b1c", ', ""), 400), (GOOD.replace('"0b1c"', "7"), 400), (GOOD.replace('"0b1c"', '""'), 400),
    (GOOD.replace('"uid": "0b1c"', '"uid": "0b1c", "uid": "other"'), 400),
    (GOOD.replace('"request": {', '"request": {"options": ' + "[" * 100000 + "]" * 100000 + ", "), 400),
    ("[" * 100000, 400), (GOOD.encode().replace(b'"demo"', b'"\xff"'), 400), (GOOD.replace('"demo"', '"\\ud800"'), 400),
    (GOOD.replace('"demo"', '"a\\u0000b"'), 400), (b"\x00" * 1000, 400), (GOOD + " " * 100, 200),
    ("[" + "0," * 3400000 + "0]", 413),
], ids=range(22))
def test_bodies(hook, body, code):
    got, data = hook.post(body)
    assert got == code, data
    if code != 200:
        assert data.endswith(b"\n") and len(data) < 600
    assert hook.post(GOOD)[0] == 200


@pytest.mark.parametrize("size,code", [((7 << 20), 200), ((7 << 20) + 1, 413), ((9 << 20), 413)])
def test_size(hook, size, code):
    body = GOOD + " " * (size - len(GOOD))
    assert hook.post(body)[0] == code


def test_methods_paths_and_types(hook):
    assert hook.post(GOOD, content_type="application/json; charset=utf-8")[0] == 200
    assert hook.post(GOOD, content_type="text/plain")[0] == 400
    assert hook.post(GOOD, content_type="application/jsonx")[0] == 400
    assert hook.post(GOOD, content_type=None)[0] == 400
    assert hook.post(GOOD, path="/")[0] == 404
    assert hook.post(GOOD, path="/inject/x")[0] == 404
    assert hook.post(None, method="GET")[0] == 405
    with hook.tls(5) as s:  # no Content-Length
        s.sendall(b"POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\r\n")
        assert s.recv(1000).startswith(b"HTTP/1.1 411 ")


def test_raw_connections(hook):
    for raw in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n", os.urandom(500)):
        with socket.create_connection(hook.address, 5) as s:
            s.sendall(raw)
    for raw in (b"", b"POST /inject HTTP/1.1\r\n", b"\x00" * 100, b"POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: "
                b"application/json\r\nContent-Length: 500\r\n\r\n{", b"POST /inject HTTP/1.1\r\nHost: a\r\n"
                b"Content-Type: application/json\r\nContent-Length: -1\r\n\r\n", b"A" * 20000):
        with hook.tls(5) as s:
            s.sendall(raw)
    assert hook.post(GOOD)[0] == 200


def test_many_at_once_and_memory_stays_flat(hook):
    def burst():
        idle = [hook.tls() for _ in range(60)]
        for s in idle:
            s.sendall(b"POST /inject HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n"
                      b"Content-Length: 7000000\r\n\r\n" + b" " * 10000)
        codes = {hook.post(GOOD)[0] for _ in range(20)}
        for s in idle:
            s.close()
        return codes

    def round_of_work():
        assert burst() <= {200, 503}
        wait_for(lambda: hook.post(GOOD)[0] == 200, what="room again")
        hook.post("[" + "0," * 3400000 + "0]")

    # What an answer has used is given back behind it, so the level is waited for: a leak never comes back to it.
    round_of_work()
    wait_until_still(hook.private_kib)
    before = hook.private_kib()
    for _ in range(3):
        round_of_work()
        wait_for(lambda: hook.private_kib() < before + 3072, what="the memory to be given back")


def test_one_connection_carries_many_reviews(hook):
    c = http.client.HTTPConnection(HOST)
    c.sock = hook.tls()
    c.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    took = []
    for _ in range(50):  # as the API server does
        t = time.monotonic()
        c.request("POST", "/inject", GOOD, {"Content-Type": "application/json"})
        r = c.getresponse()
        assert r.status == 200 and r.read()
        took.append(time.monotonic() - t)
    c.close()
    print(f"median {sorted(took)[25] * 1000:.2f} ms")


def test_what_was_decided_is_counted(hook):
    assert hook.metric('sennit_injection_total{result="injected"') > 10
    assert hook.metric('sennit_injection_total{result="skipped",reason="HostNetwork"') >= 1
    assert hook.metric('sennit_injection_total{result="refused",reason="NameTaken"') >= 1
    assert hook.metric('sennit_injection_total{result="refused",reason="BadReview"') > 10
    assert hook.metric("sennit_webhook_refused_total") >= 5
