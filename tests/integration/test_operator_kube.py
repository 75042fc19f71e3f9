# SPDX-License-Identifier: Apache-2.0
"""The operator on an API server: what it lists, watches and writes, and that no fault loses anything.
The server is a double, since a real one cannot be made to fail on demand; e2e/ has the real one."""
import json
import os
import re
import subprocess
import sys
import time

import pytest

from running import BIN, SANITIZED, free_ports, http_get, wait_for

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "../support"))
from fake_apiserver import FakeApi, status, times  # noqa: E402

MANAGED = {"app.kubernetes.io/managed-by": "sennit-operator"}


def namespace(name="demo", enabled=True):
    return {"metadata": {"name": name, "labels": {"sennit.dev/inject": "enabled"} if enabled else {}}}


def service(name, ns="demo", ip="10.0.0.1"):
    return {"metadata": {"name": name, "namespace": ns},
            "spec": {"clusterIP": ip, "clusterIPs": [ip], "selector": {"app": name}, "type": "ClusterIP",
                     "ports": [{"port": 80, "targetPort": 8080, "protocol": "TCP"}]}}


def route(weight=10, name="canary", ns="demo", backend="web-v2", parent="web"):
    return {"apiVersion": "sennit.dev/v1alpha1", "kind": "MeshRoute",
            "metadata": {"name": name, "namespace": ns},
            "spec": {"parentRefs": [{"kind": "Service", "name": parent, "port": 80}],
                     "rules": [{"backendRefs": [{"name": backend, "port": 80, "weight": weight},
                                                {"name": parent, "port": 80, "weight": 90}]}]}}


def pod(name="web-1", ns="demo", meshed=True):
    notes = {"sennit.dev/proxy-config": "version: 1\n"} if meshed else {}
    return {"metadata": {"name": name, "namespace": ns, "annotations": notes},
            "spec": {"containers": [{"name": "app"}]}, "status": {"phase": "Running"}}


class Operator:
    def __init__(self, api, tmp_path, *args):
        self.api, self.port = api, free_ports(1)[0]
        self.path = tmp_path / "operator.log"
        self.log = open(self.path, "a", encoding="utf-8")
        token = tmp_path / "token"
        token.write_text("t0ken")
        self.token = token
        self.process = subprocess.Popen(
            [str(BIN / "sennit-operator"), "--source=kube", f"--api-server={api.url}", f"--token-file={token}",
             *([] if any("webhook" in a for a in args) else ["--no-webhook"]), f"--http-listen=127.0.0.1:{self.port}", "--log-level=debug", *args],
            stderr=self.log)

    def get(self, path):
        try:
            return http_get(f"http://127.0.0.1:{self.port}{path}", 2)
        except OSError:
            return 0, ""

    def metric(self, name):
        return sum(float(line.rsplit(" ", 1)[1]) for line in self.get("/metrics")[1].splitlines()
                   if line.startswith(name))

    def logs(self):
        return self.path.read_text(encoding="utf-8")

    def rss(self):
        if SANITIZED:
            return 0
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as f:
            return int(re.search(r"VmRSS:\s+(\d+)", f.read())[1])

    def private_kib(self):
        """Resident memory that is the process's own, without files."""
        if SANITIZED:
            return 0
        with open(f"/proc/{self.process.pid}/status", encoding="utf-8") as f:
            return int(re.search(r"RssAnon:\s+(\d+)", f.read())[1])

    def ready(self):
        assert self.process.poll() is None, self.logs()
        return self.get("/readyz")[0] == 200

    def stop(self):
        self.process.terminate()
        assert self.process.wait(10) == 0, self.logs()


@pytest.fixture
def api():
    a = FakeApi()
    yield a
    a.close()


@pytest.fixture
def start(api, tmp_path):
    running = []

    def go(*args, ready=True):
        op = Operator(api, tmp_path, *args)
        running.append(op)
        if ready:
            wait_for(op.ready, what="the operator to be ready")
        return op

    yield go
    for op in running:
        if op.process.poll() is None:
            op.stop()


def fill(api):
    api.put("namespaces", namespace())
    api.put("services", service("web"))
    api.put("services", service("web-v2", ip="10.0.0.2"))
    api.put("meshroutes", route())


def document(api, ns="demo", name="sennit-routes"):
    m = api.get("configmaps", ns, name)
    return next(iter(m["data"].values())) if m else ""


def has_weight(api, n):
    return lambda: f"weight: {n}" in document(api)


def conditions(api, name="canary"):
    r = api.get("meshroutes", "demo", name) or {}
    parents = (r.get("status") or {}).get("parents") or [{"conditions": []}]
    return {c["type"]: (c["status"], c["reason"], c["observedGeneration"]) for c in parents[0]["conditions"]}


def settled(api, quiet=0.7):
    """True once no write has come for a while."""
    writes = [r for r in api.requests if r[1] != "GET"]
    return not writes or time.monotonic() - writes[-1][0] > quiet


# --- writing

def test_routes_status_and_events_are_written(api, start, tmp_path):
    fill(api)
    api.put("meshroutes", route(name="lost", backend="nobody"))
    api.put("meshroutes", route(name="orphan", parent="nowhere"))
    op = start()
    wait_for(has_weight(api, 10), what="the routes")
    made = api.get("configmaps", "demo", "sennit-routes")
    assert made["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "sennit-operator"
    assert "ownerReferences" not in made["metadata"]
    patch = api.made("PATCH", "/configmaps/sennit-routes")[0]
    assert patch[3]["fieldManager"] == "sennit.dev/operator" and patch[3].get("force") != "true"
    wait_for(lambda: conditions(api).get("ResolvedRefs"), what="the status")
    assert conditions(api) == {"Accepted": ("True", "Accepted", 1), "ResolvedRefs": ("True", "ResolvedRefs", 1)}
    wait_for(lambda: conditions(api, "lost").get("ResolvedRefs"), what="the status of lost")
    assert conditions(api, "lost")["Accepted"][:2] == ("True", "Accepted")
    assert conditions(api, "lost")["ResolvedRefs"][:2] == ("False", "BackendNotFound")
    wait_for(lambda: conditions(api, "orphan").get("Accepted"), what="the status of orphan")
    assert conditions(api, "orphan")["Accepted"][:2] == ("False", "NoMatchingParent")
    wait_for(lambda: len(api.all("events")) >= 2, what="Events")
    about = {e["involvedObject"]["name"]: e for e in api.all("events")}
    assert about["lost"]["reason"] == "BackendNotFound" and "nobody" in about["lost"]["message"]
    assert about["orphan"]["type"] == "Warning" and about["orphan"]["involvedObject"]["uid"]
    assert all(r[5].get("Authorization") == "Bearer t0ken" for r in api.requests)
    assert op.get("/healthz") == (200, "ok\n")
    text = op.get("/metrics")[1]
    for name in ("rest_client_requests_total", "controller_runtime_reconcile_total", "process_resident_memory_bytes",
                 "sennit_kube_lists_total"):
        assert name in text
    wait_for(lambda: op.metric("sennit_routes_written_total") == 1, what="the count of writes")


def test_what_the_document_says_passes_the_proxys_check(api, start, tmp_path):
    fill(api)
    start()
    wait_for(has_weight(api, 10), what="the routes")
    path = tmp_path / "routes.yaml"
    path.write_text(document(api))
    assert subprocess.run([str(BIN / "sennit-proxy"), "--config", str(path), "--check"], check=False).returncode == 0


def test_nothing_is_written_when_nothing_changed(api, start):
    fill(api)
    op = start()
    wait_for(lambda: has_weight(api, 10)() and conditions(api), what="the routes and the status")
    wait_for(lambda: settled(api), what="quiet")
    before = len([r for r in api.requests if r[1] != "GET"])
    version = api.get("configmaps", "demo", "sennit-routes")["metadata"]["resourceVersion"]
    api.put("services", service("unrelated", ip="10.0.0.9"))  # no route speaks of it
    api.put("meshroutes", api.get("meshroutes", "demo", "canary"))  # a new resourceVersion only
    plain = pod(meshed=False)
    plain["metadata"]["annotations"]["sennit.dev/inject"] = "disabled"
    api.put("pods", plain)
    wait_for(lambda: op.metric('sennit_kube_events_total{kind="Pod"') >= 1, what="the event")
    time.sleep(1.2)  # past the longest coalescing: there is no condition for "nothing happens"
    assert len([r for r in api.requests if r[1] != "GET"]) == before
    op.stop()
    start()  # a new process finds all as it should be
    time.sleep(1.2)
    assert api.get("configmaps", "demo", "sennit-routes")["metadata"]["resourceVersion"] == version
    assert len([r for r in api.requests if r[1] != "GET"]) == before


def test_a_burst_of_changes_is_one_write(api, start):
    fill(api)
    op = start()
    wait_for(has_weight(api, 10), what="the routes")
    wait_for(lambda: settled(api), what="quiet")
    before = op.metric("sennit_routes_written_total")
    for w in range(11, 41):
        api.put("meshroutes", route(w))
    wait_for(has_weight(api, 40), what="the last change")
    assert op.metric("sennit_routes_written_total") - before <= 3


def test_pods_are_told_twice_and_only_where_the_document_changed(api, start):
    fill(api)
    api.put("namespaces", namespace("other"))
    for p in (pod(), pod("plain", meshed=False), pod("far", "other")):
        api.put("pods", p)
    start()
    wait_for(lambda: len(api.made("PATCH", "/pods/web-1")) >= 2, what="two bumps")
    wait_for(lambda: settled(api, 2), what="quiet")
    api.requests.clear()
    api.put("meshroutes", route(77))
    wait_for(lambda: len(api.made("PATCH", "/pods/web-1")) == 2, what="two more")
    wrote = api.made("PATCH", "/configmaps/sennit-routes")[0][0]
    first, second = api.made("PATCH", "/pods/web-1")
    assert 0.1 <= first[0] - wrote < 1.0 and 1.2 <= second[0] - first[0] < 2.5
    one, two = json.loads(first[4]), json.loads(second[4])
    assert one["metadata"]["uid"] == api.get("pods", "demo", "web-1")["metadata"]["uid"]
    revision = re.search(r"revision: \"?(\w+)", document(api))[1]
    assert one["metadata"]["annotations"] == {"sennit.dev/routes-revision": revision}
    assert two["metadata"]["annotations"] == {"sennit.dev/routes-revision": revision + ".2"}
    assert not api.made("PATCH", "/pods/plain")
    wait_for(lambda: settled(api, 2), what="quiet")
    api.requests.clear()
    mine = route(5, name="mine", ns="other")  # a consumer's: for clients of its own namespace only
    mine["spec"]["parentRefs"][0]["namespace"] = "demo"
    mine["spec"]["rules"] = [{"backendRefs": [{"name": "web", "namespace": "demo", "port": 80}]}]
    api.put("meshroutes", mine)
    wait_for(lambda: len(api.made("PATCH", "/pods/far")) == 2, what="bumps where the document changed")
    assert not api.made("PATCH", "/pods/web-1")


def test_at_most_a_hundred_pods_are_told_in_a_second(api, start):
    fill(api)
    for i in range(150):
        api.put("pods", pod(f"many-{i:03}"))
    start()
    wait_for(lambda: len(api.made("PATCH", "/pods/many-")) == 300, 20, "all bumps, twice")
    at = [r[0] for r in api.made("PATCH", "/pods/many-")]
    assert all(at[i + 120] - at[i] >= 0.9 for i in range(len(at) - 120))
    assert len({r[2] for r in api.made("PATCH", "/pods/many-")}) == 150


def test_a_pod_that_was_replaced_is_dropped(api, start):
    fill(api)
    api.put("pods", pod())
    api.faults.append(status(api, 409, "PATCH", "/pods/"))
    op = start()
    wait_for(lambda: len(api.made("PATCH", "/pods/web-1")) >= 2, what="two bumps")
    wait_for(lambda: settled(api, 1), what="quiet")
    assert len(api.made("PATCH", "/pods/web-1")) == 2  # once each, not again
    assert op.process.poll() is None


def test_a_namespace_without_meshed_pods_loses_its_routes(api, start):
    fill(api)
    api.put("namespaces", namespace(enabled=False))
    api.put("pods", pod())
    start()
    wait_for(has_weight(api, 10), what="the routes")
    api.delete("pods", "demo", "web-1")
    wait_for(lambda: not api.get("configmaps", "demo", "sennit-routes"), what="the ConfigMap to go")
    api.put("pods", pod("web-2"))
    wait_for(has_weight(api, 10), what="the routes again")


def test_a_foreign_configmap_is_left_alone_and_said(api, start):
    fill(api)
    api.put("configmaps", {"metadata": {"name": "sennit-routes", "namespace": "demo"}, "data": {"mine": "x"}})
    op = start()
    wait_for(lambda: "not ours" in op.logs(), what="the complaint")
    assert api.get("configmaps", "demo", "sennit-routes")["data"] == {"mine": "x"}
    assert op.metric("sennit_foreign_configmaps_total") == 1
    assert op.process.poll() is None


def test_a_configmap_that_somebody_took_or_changed_comes_back(api, start):
    fill(api)
    start("--resync=1s")
    wait_for(has_weight(api, 10), what="the routes")
    api.delete("configmaps", "demo", "sennit-routes")
    wait_for(has_weight(api, 10), what="the routes again")
    broken = api.get("configmaps", "demo", "sennit-routes")
    broken["data"] = {"routes-0.yaml": "version: 1\n"}
    api.put("configmaps", broken)
    wait_for(has_weight(api, 10), what="the routes once more")


def test_shards_past_900_kib(api, start):
    fill(api)
    for i in range(120):
        if i < 12:
            api.put("services", service(f"s{i}", ip=f"10.2.0.{i}"))
        r = route(name=f"big-{i:03}", parent=f"s{i % 12}")
        r["spec"]["rules"] = [{"matches": [{"path": {"type": "Exact", "value": f"/{i}/{k}/" + "x" * 900}}],
                               "backendRefs": [{"name": "web", "port": 80}]} for k in range(12)]
        api.put("meshroutes", r)
    start()
    wait_for(lambda: api.get("configmaps", "demo", "sennit-routes-1"), 20, "a second shard")
    maps = [m for m in api.all("configmaps")]
    assert all(len(json.dumps(m["data"])) < 1000 * 1024 for m in maps)
    for i in range(120):
        api.delete("meshroutes", "demo", f"big-{i:03}")
    wait_for(lambda: not api.get("configmaps", "demo", "sennit-routes-1"), 20, "the second shard to go")
    assert has_weight(api, 10)()


def big_routes(api, n=100):
    """More than fits into one ConfigMap, for one service."""
    for i in range(n):
        r = route(name=f"big-{i:03}")
        r["spec"]["rules"] = [{"matches": [{"path": {"type": "Exact", "value": f"/{i}/{k}/" + "x" * 900}}],
                               "backendRefs": [{"name": "web", "port": 80}]} for k in range(12)]
        api.put("meshroutes", r)


def test_foreign_shards_are_neither_written_nor_deleted(api, start):
    fill(api)
    alien = {"metadata": {"name": "sennit-routes-1", "namespace": "demo"}, "data": {"mine": "x"}}
    api.put("configmaps", alien)
    op = start("--resync=1s")
    wait_for(has_weight(api, 10), what="the routes")
    wait_for(lambda: len(api.made("GET", "/configmaps/sennit-routes-1")) >= 3, what="some looks")
    assert api.get("configmaps", "demo", "sennit-routes-1")["data"] == {"mine": "x"}
    assert not [r for r in api.requests if r[1] != "GET" and r[2].endswith("sennit-routes-1")]
    for i in range(12):
        api.put("services", service(f"s{i}", ip=f"10.2.0.{i}"))
    for i in range(120):
        r = route(name=f"big-{i:03}", parent=f"s{i % 12}")
        r["spec"]["rules"] = [{"matches": [{"path": {"type": "Exact", "value": f"/{i}/{k}/" + "x" * 900}}],
                               "backendRefs": [{"name": "web", "port": 80}]} for k in range(12)]
        api.put("meshroutes", r)
    wait_for(lambda: conditions(api).get("Programmed"), 20, "the condition")
    assert conditions(api)["Programmed"][:2] == ("False", "NotWritten")
    wait_for(lambda: [e for e in api.all("events") if e["reason"] == "RoutesNotWritten"], what="an Event")
    assert api.get("configmaps", "demo", "sennit-routes-1")["data"] == {"mine": "x"}
    assert op.process.poll() is None


def test_what_an_earlier_operator_left_is_cleared(api, start):
    fill(api)
    api.put("namespaces", namespace("left", enabled=False))
    api.put("namespaces", namespace("theirs", enabled=False))
    for i in range(3):
        api.put("configmaps", {"metadata": {"name": "sennit-routes" + (f"-{i}" if i else ""), "namespace": "left",
                                            "labels": MANAGED}, "data": {f"routes-{i}.yaml": "version: 1\n"}})
    api.put("configmaps", {"metadata": {"name": "sennit-routes", "namespace": "theirs"}, "data": {"a": "b"}})
    start()
    wait_for(lambda: not [m for m in api.all("configmaps") if m["metadata"]["namespace"] == "left"], what="the end of them")
    gone = [r[2].rsplit("/", 1)[1] for r in api.made("DELETE")]
    assert gone == ["sennit-routes-2", "sennit-routes-1", "sennit-routes"]  # from behind: never a gap
    assert api.get("configmaps", "theirs", "sennit-routes")["data"] == {"a": "b"}


def test_a_write_that_is_forbidden_is_said_once_and_not_repeated_in_a_loop(api, start):
    fill(api)
    api.faults.append(status(api, 403, "PATCH", "/configmaps/"))
    start()
    wait_for(lambda: conditions(api).get("Programmed"), what="the condition")
    wait_for(lambda: len(api.made("PATCH", "/configmaps/")) >= 3, 10, "another try")
    tries = [r[0] for r in api.made("PATCH", "/configmaps/")]
    assert tries[1] - tries[0] > 0.6 and tries[2] - tries[1] > 1.2
    assert len([e for e in api.all("events") if e["reason"] == "RoutesNotWritten"]) == 1
    api.faults.clear()
    wait_for(has_weight(api, 10), 20, "the routes")
    wait_for(lambda: conditions(api) and "Programmed" not in conditions(api), what="the condition to go")


def test_a_conflict_is_never_forced(api, start):
    fill(api)
    api.faults.append(status(api, 409, "PATCH", "/configmaps/"))
    api.faults.append(status(api, 409, "PATCH", "/status"))
    start()
    wait_for(lambda: len(api.made("PATCH", "/configmaps/")) >= 3, 15, "more tries")
    assert len(api.made("GET", "/configmaps/sennit-routes")) >= 3  # read again each time
    assert not [r for r in api.requests if r[3].get("force") == "true"]


def test_a_namespace_that_is_going_gets_nothing(api, start):
    fill(api)
    going = namespace("going")
    going["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    api.put("namespaces", going)
    start()
    wait_for(has_weight(api, 10), what="the routes")
    time.sleep(1.2)
    assert not [r for r in api.requests if "/going/" in r[2]]


# --- what people are told

def test_pods_that_slipped_through_are_told(api, start):
    fill(api)
    api.put("namespaces", namespace("locked"))
    api.objects[("namespaces", "", "locked")]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "baseline"
    api.put("namespaces", namespace("off", enabled=False))
    strange = pod("noted", meshed=True)
    strange["metadata"]["annotations"]["config.sennit.dev/proxy-log-levle"] = "debug"
    host = pod("host", meshed=False)
    host["spec"]["hostNetwork"] = True
    done = pod("done", meshed=False)
    done["status"]["phase"] = "Succeeded"
    out = pod("out", meshed=False)
    out["metadata"]["labels"] = {"sennit.dev/inject": "disabled"}
    asked = pod("asked", ns="off", meshed=False)
    asked["metadata"]["labels"] = {"sennit.dev/inject": "enabled"}
    for p in (strange, host, done, out, asked, pod("old", meshed=False), pod("fine"), pod("l", ns="locked", meshed=False),
              pod("o", ns="off", meshed=False)):
        api.put("pods", p)
    noted = service("noted", ip="10.0.0.7")
    noted["metadata"]["annotations"] = {"retry.sennit.dev/http": "5xx"}
    api.put("services", noted)
    op = start()

    def told():
        return {(e["involvedObject"]["kind"], e["involvedObject"]["name"], e["reason"]) for e in api.all("events")}

    want = {("Pod", "old", "NotInjected"), ("Pod", "asked", "NotInjected"), ("Pod", "noted", "UnsupportedAnnotation"),
            ("Service", "noted", "UnsupportedAnnotation"), ("Namespace", "locked", "InjectionForbidden")}
    wait_for(lambda: told() == want, what="the Events")
    assert "did you mean" in next(e["message"] for e in api.all("events") if e["involvedObject"]["name"] == "noted"
                                  and e["involvedObject"]["kind"] == "Pod")
    assert op.metric("sennit_pods_without_proxy") == 2
    api.delete("pods", "demo", "old")
    wait_for(lambda: op.metric("sennit_pods_without_proxy") == 1, what="the count")
    assert told() == want


def test_a_setting_of_a_later_version_is_named(api, start):
    fill(api)
    r = route(11)
    r["spec"]["future"] = {"a": 1}
    api.put("meshroutes", r)
    start()
    wait_for(has_weight(api, 11), what="the known parts")
    wait_for(lambda: [e for e in api.all("events") if e["reason"] == "UnknownField" and "spec.future" in e["message"]],
             what="an Event")


def test_ten_thousand_pods_cost_little(api, start):
    if SANITIZED:
        pytest.skip("memory of a sanitized program says nothing")
    fill(api)
    op = start()
    wait_for(has_weight(api, 10), what="the routes")
    before = op.rss()
    with api.lock:
        for i in range(10000):
            p = pod(f"pod-{i:05}", ns="demo")
            p["metadata"]["annotations"]["sennit.dev/proxy-config"] = "x" * 600
            p["metadata"]["labels"] = {"app": "web", "pod-template-hash": "abcdef0123"}
            p["metadata"]["managedFields"] = [{"manager": "m", "fieldsV1": {f"f:{k}": {} for k in range(10)}}]
            p["spec"]["containers"][0].update(image="example/web:1", env=[{"name": "A", "value": "b"}] * 5)
            api.put("pods", p, quiet=True)
    api.forget_history()
    wait_for(lambda: len([r for r in api.made("GET", "/pods") if "continue" in r[3]]) >= 19, 60, "20 pages")
    wait_for(lambda: op.metric('sennit_kube_watches_total{kind="Pod"}') >= 2, 30, "the watch after them")
    assert op.rss() - before < 25 * 1024, "KiB"


# --- listing and watching

def test_lists_are_paged_and_relists_find_what_vanished(api, start):
    api.page = 3
    fill(api)
    for i in range(20):
        api.put("services", service(f"s{i}", ip=f"10.1.0.{i}"))
        api.put("meshroutes", route(name=f"r{i:02}", parent=f"s{i}"))
    op = start()
    wait_for(lambda: "s19" in document(api), what="all pages")
    assert len([r for r in api.made("GET", "/meshroutes") if "continue" in r[3]]) >= 6
    api.delete("meshroutes", "demo", "r07", quiet=True)
    api.put("meshroutes", route(55, name="r08", parent="s8"), quiet=True)
    wait_for(lambda: settled(api), what="quiet")
    writes = op.metric("sennit_routes_written_total")
    seen = []
    api.faults.append(lambda h, m, p, q: seen.append(document(api)) and False)
    api.forget_history()
    wait_for(lambda: "weight: 55" in document(api) and "s7" not in document(api), what="the difference")
    assert op.metric("sennit_kube_relists_total") >= 1
    assert all("s19" in d for d in seen)  # what stayed never went away meanwhile
    assert op.metric("sennit_routes_written_total") - writes <= 2


def test_a_410_in_the_middle_of_a_paged_list(api, start):
    api.page = 2
    fill(api)
    for i in range(6):
        api.put("services", service(f"s{i}", ip=f"10.1.0.{i}"))
    api.put("meshroutes", route(name="last", parent="s5"))

    def gone(h, method, path, query):
        if "/services" not in path or "continue" not in query:
            return False
        api.answer(h, 410, {"kind": "Status", "code": 410})
        return True

    api.faults.append(times(2, gone))
    op = start()
    wait_for(lambda: "s5" in document(api), what="the routes")
    assert op.metric("sennit_kube_relists_total") >= 2


def test_a_410_as_an_error_event(api, start):
    fill(api)
    op = start()
    wait_for(has_weight(api, 10), what="the routes")
    api.put("meshroutes", route(33), quiet=True)
    api.send("meshroutes", {"type": "ERROR", "object": {"kind": "Status", "code": 410, "message": "too old"}})
    wait_for(has_weight(api, 33), what="the relist")
    assert op.metric("sennit_kube_relists_total") == 1


def still(api):
    """Has nothing been written for a third of a second?"""
    version = api.version
    time.sleep(0.3)
    return api.version == version


def test_bookmarks_move_the_version_on(api, start):
    fill(api)
    op = start()
    wait_for(has_weight(api, 10), what="the routes")
    wait_for(lambda: api.watchers >= 6, what="all watches")
    # what the operator writes comes back as an event, which would move the version on too
    wait_for(lambda: {"Accepted", "ResolvedRefs"} <= set(conditions(api)), what="the status")
    wait_for(lambda: still(api), what="nothing more to be written")
    version = str(api.version + 50)
    api.version += 60
    api.send("meshroutes", {"type": "BOOKMARK", "object": {"kind": "MeshRoute", "metadata": {"resourceVersion": version}}})
    seen = op.metric('sennit_kube_unknown_events_total{kind="MeshRoute"')
    api.send("meshroutes", {"type": "MARK", "object": {}})  # counted when what came before it has been read
    wait_for(lambda: op.metric('sennit_kube_unknown_events_total{kind="MeshRoute"') > seen, what="the bookmark to be read")
    api.send("meshroutes", None)  # the connection breaks
    wait_for(lambda: any(r[3].get("resourceVersion") == version for r in api.made("GET", "/meshroutes")),
             what="a watch from the bookmark")


def test_disconnect_in_the_middle_of_an_object(api, start):
    fill(api)
    start()
    wait_for(has_weight(api, 10), what="the routes")
    half = json.dumps({"type": "MODIFIED", "object": route(44)}).encode()[:150]
    api.put("meshroutes", route(21), quiet=True)
    api.send("meshroutes", half)
    api.send("meshroutes", None)
    api.put("meshroutes", route(22))
    wait_for(has_weight(api, 22), what="the object after the reconnect")


def test_frames_split_at_every_byte(api, start):
    fill(api)
    start()
    wait_for(lambda: has_weight(api, 10)() and {"Accepted", "ResolvedRefs"} <= set(conditions(api)),
             what="the routes, and their status, whose event is not to come between these bytes")
    new = route(66)
    new["metadata"].update(resourceVersion=str(api.version + 5000), uid="u", generation=2, unknown={"x": [1, None]})
    new["spec"]["rules"][0]["name"] = "uml\u00e4ut \U0001f600"
    for b in json.dumps({"type": "MODIFIED", "object": new}, ensure_ascii=False).encode() + b"\n":
        api.send("meshroutes", bytes([b]))
    wait_for(has_weight(api, 66), what="the event")


@pytest.mark.parametrize("line", [b"garbage\n", b"{\"type\":\"MODIFIED\",\"object\":" + b"[" * 2000, b"\xff\xfe\n",
                                  b"{\"type\": 7}\n", b"[]\n", b"null\n", b"{}\n"],
                         ids=["words", "deep", "bytes", "type", "list", "null", "empty"])
def test_garbage_in_a_watch(api, start, line):
    fill(api)
    op = start()
    wait_for(has_weight(api, 10), what="the routes")
    api.send("meshroutes", line)
    api.put("meshroutes", route(12))
    wait_for(has_weight(api, 12), 15, "the change after it")
    assert op.process.poll() is None


def test_unknown_events_kinds_and_fields(api, start):
    fill(api)
    op = start()
    wait_for(has_weight(api, 10), what="the routes")
    api.send("meshroutes", {"type": "EXPLODED", "object": route(99)})
    strange = route(13)
    strange["spec"]["future"] = {"a": 1}
    strange["metadata"]["managedFields"] = [{"x": "y"}] * 50
    api.put("meshroutes", strange)
    wait_for(lambda: op.metric("sennit_kube_unknown_events_total") == 1, what="the count")
    wait_for(has_weight(api, 13), what="the known parts")


def test_an_object_of_1_mib_and_one_that_is_too_big(api, start):
    fill(api)
    op = start()
    big = route(14)
    big["metadata"]["annotations"] = {"note": "x" * (1 << 20)}
    api.put("meshroutes", big)
    wait_for(has_weight(api, 14), what="the big object")
    rss = op.rss()
    for _ in range(3):
        api.send("pods", b'{"type":"MODIFIED","object":{"metadata":{"name":"' + b"y" * (3 << 20) + b'"}}}\n')
    api.put("meshroutes", route(15))
    wait_for(has_weight(api, 15), 15, "the change after it")
    assert op.process.poll() is None and op.rss() < rss + 16384


def test_a_document_that_fits_nowhere_is_refused_and_the_last_one_stays(api, start):
    fill(api)
    op = start()
    wait_for(has_weight(api, 10), what="the routes")
    big_routes(api)
    wait_for(lambda: "the routes of web.demo alone take" in op.logs(), what="the complaint")
    good = document(api)  # it may hold the first of them, when these came slowly
    wait_for(lambda: conditions(api).get("Programmed"), what="the condition")
    assert conditions(api)["Programmed"][:2] == ("False", "NotWritten")
    assert document(api) == good and good.count("name: big-") < 100
    for i in range(100):
        api.delete("meshroutes", "demo", f"big-{i:03}")
    wait_for(lambda: "Programmed" not in conditions(api), 20, "the condition to go")


def test_deletion_in_any_order(api, start):
    fill(api)
    api.put("pods", pod())
    start()
    wait_for(has_weight(api, 10), what="the routes")
    for plural, name in (("services", "web-v2"), ("services", "web"), ("meshroutes", "canary"), ("pods", "web-1")):
        api.delete(plural, "demo", name)
    wait_for(lambda: "services: []" in document(api) or "web" not in document(api), what="no route")
    fill(api)
    wait_for(has_weight(api, 10), what="the routes again")
    api.delete("namespaces", "", "demo")
    api.delete("meshroutes", "demo", "canary")
    api.delete("services", "demo", "web")
    api.put("namespaces", namespace())
    fill(api)
    wait_for(lambda: conditions(api), what="the status again")


# --- answers that are not fine

@pytest.mark.parametrize("code,headers", [(500, None), (503, {"Retry-After": "1"}), (429, {"Retry-After": "1"}), (409, None)])
def test_writes_that_fail_come_again(api, start, code, headers):
    fill(api)
    api.faults.append(times(2, status(api, code, "PATCH", "/configmaps/", headers)))
    api.faults.append(times(2, status(api, code, "PATCH", "/status", headers)))
    op = start()
    wait_for(has_weight(api, 10), 20, "the routes")
    wait_for(lambda: conditions(api), 20, "the status")
    tries = api.made("PATCH", "/configmaps/")
    assert len(tries) == 3
    if headers:
        assert tries[1][0] - tries[0][0] >= 0.95  # as long as it was told to wait
    assert op.process.poll() is None


@pytest.mark.parametrize("code", [500, 429, 403, 401])
def test_lists_and_watches_that_fail_come_again(api, start, code):
    fill(api)
    api.faults.append(times(2, status(api, code, "GET", "/meshroutes", watch=False)))
    api.faults.append(times(2, status(api, code, "GET", "/services", watch=True)))
    op = start(ready=False)
    wait_for(has_weight(api, 10), 20, "the routes")
    api.put("services", service("web-v3", ip="10.0.0.3"))
    api.put("meshroutes", route(19, backend="web-v3"))
    wait_for(lambda: "web-v3" in document(api), 20, "the change")
    assert op.metric("sennit_kube_failures_total") >= 4


def test_the_token_is_read_again_on_401(api, start):
    fill(api)
    op = start()
    wait_for(has_weight(api, 10), what="the routes")
    op.token.write_text("fresh")

    def old(h, method, path, query):
        if h.headers.get("Authorization") != "Bearer t0ken":
            return False
        api.answer(h, 401, {"kind": "Status", "code": 401})
        return True

    api.faults.append(old)
    api.put("meshroutes", route(16))
    wait_for(has_weight(api, 16), 20, "the write with the new token")


def test_nothing_is_written_before_all_is_listed(api, start):
    fill(api)
    api.faults.append(times(3, status(api, 500, "GET", "/backendpolicies", watch=False)))
    op = start(ready=False)
    wait_for(lambda: len(api.made("GET", "/backendpolicies")) >= 2, what="a second try")
    assert not [r for r in api.requests if r[1] != "GET"]
    assert op.get("/readyz")[0] == 503 and op.get("/healthz")[0] == 200
    wait_for(has_weight(api, 10), 20, "the routes")
    assert op.ready()


def test_the_api_server_goes_away_and_comes_back(api, start):
    fill(api)
    op = start()
    wait_for(has_weight(api, 10), what="the routes")
    down = lambda h, m, p, q: h.connection.close() or True  # noqa: E731
    api.faults.append(down)
    for plural in ("meshroutes", "services", "pods", "namespaces", "backendpolicies", "meshconfigs"):
        api.send(plural, None)
    wait_for(lambda: op.metric("sennit_kube_failures_total") >= 6, 15, "all watches to fail")
    api.put("meshroutes", route(17))
    api.faults.remove(down)
    wait_for(has_weight(api, 17), 20, "the change of meanwhile")


def test_memory_is_flat_under_churn(api, start):
    fill(api)
    op = start()
    wait_for(has_weight(api, 10), what="the routes")

    def churn(n):
        for i in range(n):
            api.put("meshroutes", route(1 + i % 90))
            api.put("pods", pod(f"p{i % 50}"))
            if i % 7 == 0:
                api.delete("pods", "demo", f"p{(i + 3) % 50}")
        api.put("meshroutes", route(91))
        wait_for(has_weight(api, 91), 20, "the last change")
        api.put("meshroutes", route(92))
        wait_for(has_weight(api, 92), 20, "the very last change")

    churn(600)
    before = op.rss()
    for _ in range(3):
        churn(600)
    assert op.rss() < before + 3072, "KiB"
