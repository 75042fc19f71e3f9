# SPDX-License-Identifier: Apache-2.0
import contextlib

import pytest

import exchange
import harness


def pytest_collection_modifyitems(items):
    if not (harness.BIN / "sennit-proxy").exists():
        raise pytest.UsageError(f"{harness.BIN}/sennit-proxy is missing: run make all first")
    del items


@pytest.fixture
def origin():
    """An origin that answers 200 to everything; set .script before the first connection for another."""
    with harness.Origin() as o:
        yield o


@pytest.fixture
def start_proxy(tmp_path):
    """start_proxy(services, **document) -> Proxy; ended with the test, which fails when it had crashed or
    does not end well."""
    started = []

    def start(services=(), **kwargs):
        proxy = harness.Proxy(tmp_path, services, name=f"proxy{len(started)}", **kwargs)
        started.append(proxy)
        return proxy

    yield start
    for proxy in started:
        code = proxy.stop()
        print(f"--- {proxy.name}, exit {code}:\n{proxy.log()[-4000:]}")  # shown when the test has failed
        assert code == 0, f"{proxy.name} ended with {code}"


@pytest.fixture
def start_clean(start_proxy):
    """As start_proxy; the test fails when a request is left at a gate, or a connection or descriptor behind."""
    started = []

    def start(*args, **kwargs):
        proxy = start_proxy(*args, **kwargs)
        started.append((proxy, proxy.fds()))
        return proxy

    yield start
    for proxy, fds in started:
        if not proxy.alive():
            continue  # the test has ended it
        for gauge in "sennit_requests_in_flight", "sennit_requests_pending":
            harness.wait_for(lambda p=proxy, g=gauge: p.metric(g) == 0, f"no {gauge}")
        proxy.at_rest(fds)


@pytest.fixture
def web(start_proxy, origin):
    """A proxy whose service `web` is the fixture `origin`."""
    return start_proxy([harness.service("web", [origin.address])])


@pytest.fixture
def mesh(start_proxy):
    """mesh("h1" or "h2", script, **document) -> (proxy, recording origin of that kind as service `web`)."""
    with contextlib.ExitStack() as stack:
        def start(kind="h1", script=exchange.serve, settings=None, on_connection=None, service=None, **document):
            origin = stack.enter_context(exchange.Recording(kind, script, settings, on_connection))
            return start_proxy([origin.service(**(service or {}))], **document), origin

        yield start
