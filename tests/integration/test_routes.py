# SPDX-License-Identifier: Apache-2.0
"""Regular expressions of routes: through the whole proxy, refused when bad, given up when slow."""
import subprocess

import pytest
from running import BIN, Origin, Proxy, answer, fixed_answers, read_response

BASE = """
version: 1
admin: {address: "127.0.0.1:{admin}"}
listeners: [{name: out, address: "127.0.0.1:{port}", direction: outbound}]
services:
- name: web
  hosts: [web]
  routes:
  - name: r
    rules: [{rules}]
- {name: a, endpoints: {static: [{address: "127.0.0.1:{a}"}]}}
- {name: b, endpoints: {static: [{address: "127.0.0.1:{b}"}]}}
"""
RULES = """
    {matches: [{path: {type: RegularExpression, value: "/v[0-9]+/items"}}], backendRefs: [{name: b}]},
    {matches: [{headers: [{type: RegularExpression, name: x-tenant, value: "t-(1|2)"}]}], backendRefs: [{name: b}]},
    {matches: [{queryParams: [{type: RegularExpression, name: q, value: "[a-z]+"}]}], backendRefs: [{name: b}]},
    {matches: [{path: {type: RegularExpression, value: "/slow/(a+)+b"}}], backendRefs: [{name: b}]},
    {matches: [{path: {type: Exact, value: /v1/items}}, {path: {value: /}}], backendRefs: [{name: a}]}
"""


@pytest.fixture(name="proxy")
def running_proxy():
    a, b = Origin(fixed_answers(answer(b"a"))), Origin(fixed_answers(answer(b"b")))
    p = Proxy(BASE.replace("{rules}", RULES).replace("{a}", str(a.port)).replace("{b}", str(b.port)))
    yield p
    p.stop()
    a.close()
    b.close()


def who(proxy, target, extra=""):
    with proxy.connect() as s:
        s.sendall(f"GET {target} HTTP/1.1\r\nHost: web\r\n{extra}\r\n".encode())
        return read_response(s)[1].decode()


def test_what_matches_goes_there(proxy):
    assert who(proxy, "/v12/items?x=1") == "b"
    assert who(proxy, "/v12/items/") == "a"
    assert who(proxy, "/v1/items") == "a"  # an exact path comes first
    assert who(proxy, "/", "x-tenant: t-2\r\n") == "b"
    assert who(proxy, "/", "x-tenant: t-23\r\n") == "a"
    assert who(proxy, "/?q=%61b") == "b"
    assert who(proxy, "/?q=1") == "a"
    assert proxy.metric("sennit_regex_limited_total") == 0


def test_what_takes_too_long_does_not_match_and_is_counted(proxy):
    assert who(proxy, "/slow/aab") == "b"
    assert who(proxy, "/slow/" + "a" * 60 + "b!") == "a"
    assert proxy.metric("sennit_regex_limited_total") == 1


@pytest.mark.parametrize("match, said", [
    ('{path: {type: RegularExpression, value: "/a(b"}}', "matches[0].path.value: not a usable regular expression: at offset 4"),
    ('{path: {type: RegularExpression, value: "/a(?=b)"}}', "at offset 2: of what begins with \"(?\""),
    ('{headers: [{type: RegularExpression, name: x, value: "["}]}', "matches[0].headers[0].value: not a usable regular expression"),
    ('{queryParams: [{type: Regexp, name: x, value: "a"}]}', "allowed: Exact, RegularExpression"),
])
def test_a_bad_one_is_refused_where_it_stands(tmp_path, match, said):
    text = BASE.replace("{rules}", "{matches: [" + match + "], backendRefs: [{name: a}]}")
    for name, port in (("{admin}", 0), ("{port}", 1), ("{a}", 2), ("{b}", 3)):
        text = text.replace(name, str(20000 + port))
    (tmp_path / "c.yaml").write_text(text)
    r = subprocess.run([str(BIN / "sennit-proxy"), "--check", "--config", str(tmp_path / "c.yaml")],
                       capture_output=True, text=True, timeout=10, check=False)
    assert r.returncode == 2
    assert "c.yaml:10:" in r.stderr and said in r.stderr
