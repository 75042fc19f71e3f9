# SPDX-License-Identifier: Apache-2.0
"""gRPC's own interoperability client and server (grpc-go), with one proxy between them and with two."""
import subprocess

import pytest

from harness import SLOW, Proxy, free_port
from judges import backend, engine, go_tool, needs, serve

CASES = [
    "empty_unary", "large_unary", "client_streaming", "server_streaming", "ping_pong", "empty_stream",
    "cancel_after_begin", "cancel_after_first_response", "timeout_on_sleeping_server", "custom_metadata",
    "status_code_and_message", "special_status_message", "unimplemented_method", "unimplemented_service",
]


def interop(port, case):
    done = subprocess.run([go_tool("grpc-interop-client"), "-server_host=127.0.0.1", f"-server_port={port}",
                           "-use_tls=false", f"-test_case={case}"],
                          capture_output=True, text=True, timeout=30 * SLOW, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """{"one": port, "two": port}: through the proxy next to the server alone, and through another before it."""
    directory = tmp_path_factory.mktemp("grpc")
    started = []
    try:
        def running(process):
            started.append(process)
            return process

        def edit(doc):
            engine(doc, pinned="interop")
            needs(directory, doc)

        port = free_port()
        serve(running, [go_tool("grpc-interop-server"), f"-port={port}", "-use_tls=false"], directory, "server", port)
        last = running(Proxy(directory, [backend("interop", f"127.0.0.1:{port}", "grpc")], name="last", edit=edit))
        first = running(Proxy(directory, [backend("interop", f"127.0.0.1:{last.port}", "http2")], name="first",
                              edit=edit))
        with first.no_residue(), last.no_residue():
            yield {"one": last.port, "two": first.port}
    finally:
        for process in reversed(started):
            code = process.stop()
            assert code == 0 or not isinstance(process, Proxy), f"{process.name}: {code}\n{process.log()[-4000:]}"


@pytest.mark.parametrize("proxies", ["one", "two"])
@pytest.mark.parametrize("case", CASES)
def test_interop(chain, case, proxies):
    interop(chain[proxies], case)
