# SPDX-License-Identifier: Apache-2.0
"""What the judges have in common: their binaries, certificates, origins, and documents that this build may not
take yet."""
import functools
import os
import pathlib
import shutil
import socket
import subprocess

import pytest

from harness import DEADLINE, ROOT, Process, free_port, refused_document, service, wait_for

# With it, what this build's --check refuses is a failure and no longer a skip.
STRICT = os.environ.get("CONFORMANCE_STRICT", "") not in ("", "0")
PATH = os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin"


@functools.lru_cache(maxsize=None)
def tool(name):
    """A judge's path."""
    found = shutil.which(name, path=PATH)
    assert found, f"{name} is missing: tools/install-deps conformance"
    return found


@functools.lru_cache(maxsize=None)
def go_tool(name):
    """A judge that tools/go-judges builds."""
    done = subprocess.run([ROOT / "tools" / "go-judges"], capture_output=True, text=True, timeout=1500, check=False)
    assert done.returncode == 0, done.stderr
    return pathlib.Path(done.stdout.strip()) / name


def needs(directory, doc):
    """Skips where this build refuses the document: the feature that it asks for is not there yet."""
    why = refused_document(directory, doc)
    if why is None:
        return
    why = f"this build refuses the document: {why.splitlines()[0]}"
    if STRICT:
        pytest.fail(why)
    pytest.skip(why)


def certificate(directory):
    """(certificate, key): self-signed, for localhost."""
    cert, key = pathlib.Path(directory) / "tls.crt", pathlib.Path(directory) / "tls.key"
    subprocess.run([tool("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                    "-keyout", key, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
                   check=True, capture_output=True, timeout=DEADLINE)
    return str(cert), str(key)


def listening(port):
    def connects():
        with socket.socket() as s:
            return s.connect_ex(("127.0.0.1", port)) == 0
    return connects


def serve(running, args, directory, name, port):
    """A server that listens on @port once this returns."""
    process = running(Process(args, directory, name))
    wait_for(lambda: not process.alive() or listening(port)(), f"{name} to listen")
    assert process.alive(), f"{name} ended:\n{process.log()}{process.output()}"
    return process


def nghttpd(running, directory, *args):
    """An HTTP/2 origin with prior knowledge, serving /index.html; returns "host:port"."""
    root = pathlib.Path(directory) / "htdocs"
    root.mkdir(exist_ok=True)
    (root / "index.html").write_text("hello from an HTTP/2 origin\n")
    (root / "big").write_bytes(bytes(range(256)) * 4096)
    port = free_port()
    serve(running, [tool("nghttpd"), "--no-tls", "-a", "127.0.0.1", "-d", root, *args, port], directory,
          f"nghttpd{port}", port)
    return f"127.0.0.1:{port}"


def engine(doc, *, pinned="web", tls=None):
    """Turns a document into one for the HTTP engine's judges: the listener goes to one service whatever Host says,
    a second one (@doc["ports"]["http2"]) takes HTTP/2 only, a third (["tls"]) ends TLS. Returns their ports."""
    first = doc["listeners"][0]
    first["service"] = pinned
    ports = {"http": int(first["address"].rsplit(":", 1)[1])}

    def add(name, **more):
        ports[name] = free_port()
        doc["listeners"].append({**first, "name": name, "address": f"127.0.0.1:{ports[name]}", **more})

    add("http2", protocol="http2")
    if tls:
        add("tls", tls={"certificate": tls[0], "key": tls[1]})
    return ports


def backend(name, address, protocol="http", **more):
    """A service whose idle upstream connections end soon."""
    made = service(name, [address], policy={"connections": {"max": 1024, "idleTimeout": "500ms"}})
    made["ports"] = [{"port": 80, "protocol": protocol}]
    made["endpoints"]["static"][0].update(more)
    return made
