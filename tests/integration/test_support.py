# SPDX-License-Identifier: Apache-2.0
"""The demo's own programs, sample and traffic, through a proxy."""
import subprocess

import pytest

from harness import BIN, Client, Origin, Process, Sample, json_lines, pattern, service


@pytest.fixture
def sample(tmp_path):
    started = []

    def start(name, *args):
        started.append(Sample(tmp_path, name, *args))
        return started[-1]

    yield start
    for s in started:
        assert s.stop() == 0


def test_sample_answers(start_proxy, sample):
    proxy = start_proxy([service("web", [sample("web-v1").address])])
    with proxy.client() as c:
        answer = c.request()
        assert (answer.status, answer.body, answer.get("x-served-by")) == (200, b"web-v1\n", "web-v1")
        assert c.request(path="/healthz").status == 200
        assert c.request(path="/headers", headers=[("X-A", "b")]).body.startswith(b"GET /headers HTTP/1.1\r\n")
        assert len(c.request(path="/bytes/1000000").body) == 1_000_000
        assert c.request("HEAD", "/bytes/10").get("content-length") == "10"
    # The echo begins before the body has ended, so the proxy may close behind it: a connection each.
    body = pattern(300_000)
    with proxy.client() as c:
        assert c.request("POST", "/echo", body=body).body == body
    with proxy.client() as c:
        assert c.request("POST", "/echo", chunks=[body[:1], body[1:]]).body == body


def test_sample_fails_and_waits_on_request(sample):
    failing = sample("bad", "--fail-percent", "100", "--delay-ms", "20~5")
    with Client(int(failing.address.rsplit(":", 1)[1])) as c:
        assert c.request().status == 500
        assert c.request(path="/healthz").status == 200


def test_traffic_counts_who_served(tmp_path, start_proxy, sample):
    web = {"backendRefs": [{"name": "v1", "port": 80, "weight": 3}, {"name": "v2", "port": 80, "weight": 1}]}
    proxy = start_proxy([service("web", ["127.0.0.1:1"], routes=[{"name": "split", "rules": [web]}]),
                         service("v1", [sample("web-v1").address]), service("v2", [sample("web-v2").address])])
    traffic = Process([BIN / "support" / "traffic", "--target", f"127.0.0.1:{proxy.port}", "--host", "web",
                       "--rate", "400", "--seconds", "2", "--header", "x-a: b"], tmp_path, "traffic")
    assert traffic.wait() == 0
    lines = json_lines(traffic.output())
    seconds, summary = lines[:-1], lines[-1]
    assert [line["t"] for line in seconds] == [1, 2]
    assert summary["summary"] and summary["errors"] == 0 and summary["sent"] >= 790
    assert summary["ok"] >= summary["sent"] - 10  # those under way at the end
    assert set(summary["by"]) == {"web-v1", "web-v2"}
    assert 0.65 < summary["by"]["web-v1"] / sum(summary["by"].values()) < 0.85
    assert 0 < summary["p50_ms"] <= summary["p99_ms"]


def test_traffic_reads_over_trailers_however_they_are_cut(tmp_path):
    answer = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nx-served-by: o\r\n\r\n"
              b"3\r\nabc\r\n0\r\nx-a: b\r\nx-c: d\r\n\r\n")

    def cut(conn, origin):
        while r := conn.request():
            at = len(origin.requests) * 7 % len(answer)
            origin.requests.append(r)
            conn.send(answer[:at])
            conn.send(answer[at:])

    with Origin(cut) as origin:
        traffic = Process([BIN / "support" / "traffic", "--target", origin.address, "--rate", "200", "--seconds", "1"],
                          tmp_path, "traffic")
        assert traffic.wait() == 0
        summary = json_lines(traffic.output())[-1]
        assert summary["errors"] == 0 and summary["ok"] >= 150
        assert len(origin.connections) <= 8, "they are used again"


def test_usage(tmp_path):
    for program, args in (("sample", ["--listen", "x"]), ("traffic", []), ("traffic", ["--rate", "0"])):
        p = subprocess.run([BIN / "support" / program, *args], capture_output=True, check=False, cwd=tmp_path)
        assert p.returncode == 2 and p.stderr
