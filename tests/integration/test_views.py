# SPDX-License-Identifier: Apache-2.0
"""What the admin port shows of routes, services and endpoints, and what it explains."""
import json
import urllib.error
import urllib.parse
import urllib.request

import pytest
from exchange import Recording, connect


def get(proxy, path, accept=None):
    request = urllib.request.Request(f"http://127.0.0.1:{proxy.admin_port}{path}", headers={"Accept": accept} if accept else {})
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.headers["content-type"], answer.read().decode()
    except urllib.error.HTTPError as e:
        return e.code, e.headers["content-type"], e.read().decode()


def view(proxy, path):
    status, kind, body = get(proxy, path, "application/json")
    assert (status, kind) == (200, "application/json"), body
    return json.loads(body)


@pytest.fixture
def two(start_proxy):
    """A service with two rules and two endpoints, one of which nobody answers at."""
    with Recording("h1") as origin:
        doc = origin.service()
        doc["endpoints"]["static"].append({"address": "127.0.0.1:1", "weight": 2})
        doc["routes"] = [{"name": "r", "rules": [
            {"name": "beta", "matches": [{"path": {"value": "/api"}, "method": "GET", "headers": [{"name": "x-beta", "value": "1"}]}],
             "backendRefs": [{"name": "web", "weight": 9}, {"name": "gone", "weight": 1}],
             "timeouts": {"request": "2s", "backendRequest": "500ms"}, "retry": {"codes": [503], "attempts": 3}},
            {"name": "rest", "backendRefs": [{"name": "web"}]}]}]
        proxy = start_proxy([doc])
        yield proxy, origin


def test_routes_and_services(two):
    proxy, origin = two
    beta, rest = view(proxy, "/routes")
    assert (beta["rule"], beta["match"], beta["retries"]) == ("beta", "GET /api* x-beta:1", 3)
    assert beta["backends"] == "web=9 gone=1(missing)" and (beta["timeout"], beta["try"]) == ("2s", "500ms")
    assert (rest["rule"], rest["match"]) == ("rest", "everything")
    assert view(proxy, "/routes?service=nobody") == []
    with connect("h1", proxy.port) as c:
        ex = c.open("GET", "/")
        ex.finish()
        assert ex.head().status == 200
        ex.rest()
    (web,) = view(proxy, "/services?service=web")
    assert (web["balancing"], web["inFlight"], web["pending"]) == ("PeakEWMA", 0, 0) and web["budget"] > 90


def test_endpoints_and_their_state(two):
    proxy, origin = two
    for _ in range(12):
        with connect("h1", proxy.port) as c:
            ex = c.open("GET", "/")
            ex.finish()
            assert ex.head().status == 200  # another endpoint when nobody answers
            ex.rest()
    rows = {row["address"]: row for row in view(proxy, "/endpoints?service=web")}
    alive, dead = rows[origin.address], rows["127.0.0.1:1"]
    assert alive["ewmaUs"] < dead["ewmaUs"] and dead["ewmaUs"] > 100000
    assert alive["outstanding"] == dead["outstanding"] == 0 and alive["breaker"] == "closed"
    assert (alive["weight"], dead["weight"]) == (1, 2)


def test_explained(two):
    proxy, origin = two
    said = view(proxy, "/explain?" + urllib.parse.urlencode({"service": "web", "path": "/api/x", "header": "x-beta: 1"}, quote_via=urllib.parse.quote))
    assert [(row["rule"], row["result"]) for row in said["rules"]] == [
        ("beta", "taken"), ("rest", "fits, but another comes before it")]
    chosen = [row["result"] for row in said["endpoints"]["web"]["endpoints"]]
    assert chosen.count("chosen") == 1 and len(chosen) == 2
    said = view(proxy, "/explain?service=web&path=/api/x&header=x-beta:2&method=GET")
    assert said["rules"][0]["result"] == "a header differs: x-beta" and said["rules"][1]["result"] == "taken"
    said = view(proxy, "/explain?service=web&path=/api/x&header=x-beta:1&method=POST")
    assert said["rules"][0]["result"] == "the method differs"


def test_as_text(two):
    proxy, _ = two
    status, kind, body = get(proxy, "/routes")
    head, *rows = body.splitlines()
    assert (status, kind.split(";")[0]) == (200, "text/plain") and head.split()[:4] == ["SERVICE", "PORT", "ROUTE", "RULE"]
    assert len(rows) == 2 and not any(line != line.rstrip() for line in [head, *rows])
    assert "taken" in get(proxy, "/explain?service=web")[2]
    assert get(proxy, "/routes?format=json")[1] == "application/json"


@pytest.mark.parametrize("query,says", [
    ("", "service="), ("?service=nobody", "service="), ("?service=web&port=70000", "port="), ("?service=web&path=api", "path="),
    ("?service=web&header=novalue", "header="), ("?service=web&" + "&".join(["header=a:b"] * 40), "header=")])
def test_bad_questions(two, query, says):
    status, _, body = get(two[0], "/explain" + query)
    assert status == 400 and says in body
