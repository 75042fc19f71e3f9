# SPDX-License-Identifier: Apache-2.0
"""Sessions that the client keeps: its requests go to the endpoint that answered the first, as long as it lives."""
import base64
import contextlib
import re
import time

import pytest

from exchange import Recording, all_pairs, ask, in_turn, routed, serve
from harness import SLOW, wait_for
from test_overload import reload
from test_tls import TlsClient, ca, context, served, tls_of  # noqa: F401 (fixtures)

TOKEN = re.compile(r"[A-Za-z0-9_-]{32}")
KINDS = pytest.mark.parametrize("kind", ["Cookie", "Header"])


@pytest.fixture
def crowd(start_clean):
    """crowd(n, upstream kind, session, **more) -> (proxy, origins): a service of n origins that say who they are.
    proxy.services(origins, ...) makes the list for another set."""
    with contextlib.ExitStack() as stack:
        def start(n, upstream="h1", session=(), rule=(), **more):
            def script(name):
                return lambda ex: serve(ex, 200, [("x-who", name)])

            origins = [stack.enter_context(Recording(upstream, script(str(i)))) for i in range(n)]

            def services(of, rule=rule):
                addresses = [o if isinstance(o, str) else o.address for o in of]
                return [routed(upstream, addresses, rule, policy={"sessionPersistence": dict(session)})]

            proxy = start_clean(services(origins), **more)
            proxy.services = services
            return proxy, origins

        yield start


class Session:
    """A client that keeps what it is given, and how often it was given anything."""

    def __init__(self, proxy, client="h1", kind="Cookie", name=None):
        self.proxy, self.client, self.kind = proxy, client, kind
        self.name = name or {"Cookie": "sennit-session", "Header": "x-sennit-session"}[kind]
        self.token, self.given, self.said = None, 0, None

    def ask(self, **kwargs):
        """Who has answered."""
        mine = []
        if self.token:
            mine = [("cookie", f"a=b; {self.name}={self.token}; c=d") if self.kind == "Cookie"
                    else (self.name, self.token)]
        r = ask(self.client, self.proxy.port, headers=mine, **kwargs)
        self.said = next((v for v in r.all("set-cookie" if self.kind == "Cookie" else self.name)), None)
        if self.said:
            self.token = self.said.split(";")[0].split("=", 1)[1] if self.kind == "Cookie" else self.said
            self.given += 1
            assert TOKEN.fullmatch(self.token), self.token
        assert r.status == 200
        return r.get("x-who")


@all_pairs
@KINDS
def test_stays(crowd, client, upstream, kind):
    proxy, _ = crowd(4, upstream, {"type": kind})
    homes = set()
    for _ in range(6):
        s = Session(proxy, client, kind)
        home = s.ask()
        homes.add(home)
        assert s.given == 1 and {s.ask() for _ in range(6)} == {home} and s.given == 1
    assert len(homes) == 4  # they are balanced themselves


def test_without_sessions(start_clean):
    with Recording("h1") as o:
        proxy = start_clean([routed("h1", [o.address])])
        assert ask("h1", proxy.port).get("set-cookie") is None


def test_what_the_cookie_says(crowd):
    proxy, _ = crowd(2)
    s = Session(proxy)
    s.ask()
    assert s.said == f"sennit-session={s.token}; Path=/; HttpOnly; SameSite=Lax"


@KINDS
def test_another_name(crowd, kind):
    proxy, _ = crowd(3, session={"type": kind, "sessionName": "X-Home"})
    s = Session(proxy, kind=kind, name="X-Home" if kind == "Cookie" else "x-home")
    home = s.ask()
    assert {s.ask() for _ in range(6)} == {home} and s.given == 1


def test_permanent(crowd):
    proxy, _ = crowd(3, session={"absoluteTimeout": "1h", "cookieConfig": {"lifetimeType": "Permanent"}})
    s = Session(proxy)
    home = s.ask()
    assert re.search(r"; Max-Age=(3600|359\d);", s.said + ";"), s.said
    assert {s.ask() for _ in range(6)} == {home}


def test_secure_on_tls(crowd, ca, served):  # noqa: F811
    proxy, _ = crowd(2, edit=lambda doc: doc["listeners"][0].update(protocol="detect", tls=tls_of(served)))
    with TlsClient(proxy.port, context(ca)) as c:
        assert "; Secure" in c.request().get("set-cookie")


def test_an_end_that_is_set(crowd):
    """A session is over absoluteTimeout after its start, however often it is used."""
    proxy, _ = crowd(2, session={"absoluteTimeout": "2s"})
    s, began = Session(proxy), time.monotonic()
    s.ask()

    def renewed():
        s.ask()
        return s.given == 2

    wait_for(renewed, "another session", every=0.1)
    assert time.monotonic() - began > 0.9


def test_idle(crowd):
    """Used, it is renewed now and then; unused, it ends."""
    proxy, _ = crowd(3, session={"idleTimeout": "3s"})
    s, end = Session(proxy), time.monotonic() + 5
    home = s.ask()
    while time.monotonic() < end:
        assert s.ask() == home
        time.sleep(0.05)
    assert 3 <= s.given <= 7
    given, old = s.given, s.token
    wait_for(lambda: time.monotonic() > end + 4, "it to be idle", every=0.1)
    s.ask()
    assert s.given == given + 1 and base64.urlsafe_b64decode(s.token)[8:12] != base64.urlsafe_b64decode(old)[8:12]


@KINDS
def test_across_changes(crowd, kind):
    """More endpoints, others gone, reloads: it stays as long as its own lives, then it moves."""
    proxy, origins = crowd(4, session={"type": kind})
    s = Session(proxy, kind=kind)
    home = int(s.ask())
    others = [o for i, o in enumerate(origins) if i != home]
    for of in (others[:1] + [origins[home]], [origins[home]] + others, others + [origins[home]]):
        reload(proxy, *proxy.services(of))
        assert {s.ask() for _ in range(8)} == {str(home)} and s.given == 1
    reload(proxy, *proxy.services(others))
    moved = s.ask()
    assert moved != str(home) and s.given == 2 and {s.ask() for _ in range(6)} == {moved}
    reload(proxy, *proxy.services(origins))
    assert {s.ask() for _ in range(6)} == {moved} and s.given == 2


def test_of_another_proxy(crowd, start_clean):
    """All proxies read each other's."""
    proxy, origins = crowd(4)
    s = Session(proxy)
    home = s.ask()
    s.proxy = start_clean(proxy.services(origins))
    assert {s.ask() for _ in range(8)} == {home} and s.given == 1


@all_pairs
def test_an_endpoint_that_cannot_be_reached(crowd, client, upstream):
    """The request goes to another one, and so does the session."""
    proxy, origins = crowd(3, upstream)
    s = Session(proxy, client)
    home = int(s.ask())
    origins[home].close()
    moved = s.ask()
    assert moved != str(home) and s.given == 2 and {s.ask() for _ in range(6)} == {moved} and s.given == 2


def test_an_endpoint_that_fails(start_clean):
    """A try that fails moves the session with its request; an answer that is passed on does not."""
    with Recording("h1", in_turn(200, 500, 503)) as bad, Recording("h1") as good:
        rule = {"retry": {"codes": [503], "attempts": 1, "backoff": "1ms"}}
        proxy = start_clean([routed("h1", [bad.address, good.address], rule, policy={"sessionPersistence": {}})])
        token = ask("h1", proxy.port).get("set-cookie").split(";")[0]
        assert not good.exchanges  # they are taken in turn
        r = ask("h1", proxy.port, headers=[("cookie", token)])
        assert r.status == 500 and r.get("set-cookie") is None
        r = ask("h1", proxy.port, headers=[("cookie", token)])
        assert r.status == 200 and r.get("set-cookie").split(";")[0] != token
        assert len(bad.exchanges) == 3 and len(good.exchanges) == 1


def flipped(token, i):
    return token[:i] + ("A" if token[i] != "A" else "B") + token[i + 1:]


@pytest.mark.parametrize("client", ["h1", "h2"])
def test_garbage(crowd, client):
    """Is nobody's session: balanced, and a new one is given."""
    proxy, _ = crowd(2)
    s = Session(proxy, client)
    s.ask()
    good = s.token
    bad = ["", "x", "A" * 32, "=" * 32, good[:-1], good + "A", good.lower(), "%s" % ("\xff" * 32), "A" * 5000,
           *(flipped(good, i) for i in range(0, 32, 5))]
    for token in bad:
        r = ask(client, proxy.port, headers=[("cookie", f"sennit-session={token}")])
        assert r.status == 200 and r.get("set-cookie"), token
    homes = {ask(client, proxy.port, headers=[("cookie", f"sennit-session={flipped(good, 3)}")]).get("x-who")
             for _ in range(6)}
    assert homes == {"0", "1"}
    for cookies in (f"x=y;sennit-session={good}", f'sennit-session="{good}"', f"sennit-session={good};sennit-session=x"):
        assert ask(client, proxy.port, headers=[("cookie", cookies)]).get("set-cookie") is None, cookies
    assert ask(client, proxy.port, headers=[("cookie", "a=b"), ("cookie", f"sennit-session={good}")]).get("set-cookie") is None


def test_the_cookie_of_the_application(start_clean):
    """Passes as it is, both ways."""
    def script(ex):
        serve(ex, 200, [("set-cookie", "mine=1"), ("set-cookie", "other=2")])

    with Recording("h1", script) as o:
        proxy = start_clean([routed("h1", [o.address], policy={"sessionPersistence": {}})])
        r = ask("h2", proxy.port, headers=[("cookie", "mine=1; x=y")])
        assert r.all("set-cookie")[:2] == ["mine=1", "other=2"] and len(r.all("set-cookie")) == 3
        assert o.exchanges[0].get("cookie") == "mine=1; x=y"


def test_many_endpoints(start_clean):
    """Each of a hundred is found again."""
    with contextlib.ExitStack() as stack:
        origins = [stack.enter_context(Recording("h1", lambda ex, i=i: serve(ex, 200, [("x-who", str(i))])))
                   for i in range(100)]
        proxy = start_clean([routed("h1", [o.address for o in origins], policy={"sessionPersistence": {}})])
        sessions = [Session(proxy) for _ in range(100)]
        homes = [s.ask() for s in sessions]
        assert len(set(homes)) == 100 and [s.ask() for s in sessions] == homes


def test_slow_reload_keeps_it(crowd):
    """A document that changes all the time while the client asks."""
    proxy, origins = crowd(3)
    s = Session(proxy)
    home = s.ask()
    for i in range(int(10 / SLOW) + 2):
        proxy.write(dict(proxy.doc, revision=str(i), services=proxy.services(origins)))
        assert {s.ask() for _ in range(5)} == {home}
