# SPDX-License-Identifier: Apache-2.0
"""TLS that ends at a listener: handshakes of every kind, the plaintext behind them, certificates that change."""
import json
import os
import re
import socket
import ssl
import struct
import subprocess
import threading
import time

import pytest

from harness import (BIN, DEADLINE, Client, Closed, Origin, pattern, service, wait_for, wait_until_still)

SANITIZED = "/asan/" in str(BIN) or "/tsan/" in str(BIN)
FOREVER = ["-days", "30"]


def openssl(*args, **kwargs):
    return subprocess.run(["openssl", *map(str, args)], check=True, capture_output=True, **kwargs)


class Authority:
    """A CA made by the openssl program, and what it signs: NAME.crt, NAME.key."""

    def __init__(self, directory, name="ca"):
        self.dir, self.name = directory, name
        self.cert, self.key = directory / f"{name}.crt", directory / f"{name}.key"
        openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", self.key, "-out", self.cert, "-addext", "keyUsage=critical,keyCertSign", *FOREVER)

    def issue(self, name, usage="serverAuth", to=None, expired=False):
        to = to or self.dir
        request, extensions = to / f"{name}.csr", to / f"{name}.ext"
        extensions.write_text(f"subjectAltName=DNS:web,IP:127.0.0.1\nextendedKeyUsage={usage}\nbasicConstraints=CA:FALSE\n")
        openssl("req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
                "-keyout", to / f"{name}.key", "-out", request)
        if expired:  # `openssl x509` knows no dates before today
            config = to / "ca.conf"
            config.write_text(f"[ca]\ndefault_ca=d\n[d]\ndatabase={to}/index.txt\nserial={to}/serial\nnew_certs_dir={to}\n"
                              "default_md=sha256\npolicy=p\n[p]\ncommonName=supplied\n")
            (to / "index.txt").touch()
            (to / "serial").write_text("7001\n")
            openssl("ca", "-batch", "-config", config, "-in", request, "-cert", self.cert, "-keyfile", self.key, "-extfile", extensions,
                    "-out", to / f"{name}.crt", "-startdate", "20200101000000Z", "-enddate", "20210101000000Z", "-notext")
        else:
            openssl("x509", "-req", "-in", request, "-CA", self.cert, "-CAkey", self.key, "-CAcreateserial", "-extfile", extensions,
                    "-out", to / f"{name}.crt", *FOREVER)
        return to / f"{name}.crt", to / f"{name}.key"


@pytest.fixture(scope="module")
def ca(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def stranger(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("stranger"), "stranger")


@pytest.fixture
def served(tmp_path, ca):
    """tls.crt and tls.key of a directory of their own, as a mounted Secret."""
    to = tmp_path / "secret"
    to.mkdir()
    ca.issue("tls", to=to)
    return to


def tls_of(served, **more):
    return {"certificate": str(served / "tls.crt"), "key": str(served / "tls.key"), **more}


@pytest.fixture
def start(start_proxy, served):
    """start(origin, protocol=, client_ca=, ...) -> Proxy whose listener ends TLS."""

    def begin(origin, protocol="detect", client_ca=None, **kwargs):
        def edit(doc):
            doc["listeners"][0].update(protocol=protocol, service="web",
                                       tls=tls_of(served, **({"clientCA": str(client_ca)} if client_ca else {})))

        return start_proxy([service("web", [origin.address])], edit=edit, **kwargs)

    return begin


def context(ca, alpn=("http/1.1",), cert=None, version=None):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    c.load_verify_locations(ca.cert)
    c.suppress_ragged_eofs = False
    if alpn:
        c.set_alpn_protocols(list(alpn))
    if cert:
        c.load_cert_chain(*cert)
    if version:
        c.minimum_version = c.maximum_version = version
    return c


class TlsClient(Client):
    """A harness client whose socket is wrapped; truncation is an error, not an end."""

    def __init__(self, port, ctx, **kwargs):
        super().__init__(port, **kwargs)
        plain = self.sock
        try:
            self.sock = ctx.wrap_socket(plain, server_hostname="web", suppress_ragged_eofs=False)
        except Exception:
            plain.close()
            raise

    def more(self):
        try:
            super().more()
        except ssl.SSLZeroReturnError as e:  # close_notify, after ours
            raise Closed(False, self.buffer) from e
        except ssl.SSLError as e:
            raise Closed(True, self.buffer) from e


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def refused(proxy, why, n=1):
    """Waits for the count and for the log line that says why."""
    wait_for(lambda: proxy.metric("sennit_refused_total", reason="tls-handshake") >= n, "a refusal", every=0.02)
    wait_for(lambda: re.search(rf"refused tls-handshake: listener outbound, client 127\.0\.0\.1:\d+, .*: {why}:", proxy.log()),
             f"{why} in the log:\n{proxy.log()[-800:]}")


def still_serves(proxy, ca):
    with TlsClient(proxy.port, context(ca)) as c:
        assert c.request().status == 200


@pytest.mark.parametrize("version", VERSIONS)
def test_requests_keep_alive_and_bodies_both_ways(start, ca, version):
    body = pattern(1 << 20)

    def echo(conn, origin):
        while r := conn.request():
            origin.requests.append(r)
            conn.reply(body=r.body)

    with Origin(echo) as origin:
        proxy = start(origin)
        with TlsClient(proxy.port, context(ca, version=version)) as c:
            assert c.sock.selected_alpn_protocol() == "http/1.1"
            for _ in range(3):
                r = c.request("POST", "/echo", body=body)
                assert r.status == 200 and r.body == body
            r = c.request("POST", "/echo", chunks=[body[i:i + 70001] for i in range(0, len(body), 70001)])
            assert r.body == body
        assert len(origin.connections) == 1
        assert proxy.metric("sennit_refused_total") == 0


def test_many_requests_in_one_record_and_one_in_many(start, ca, origin):
    proxy = start(origin)
    request = b"GET / HTTP/1.1\r\nHost: web\r\n\r\n"
    with TlsClient(proxy.port, context(ca)) as c:
        c.send(request * 40)
        assert [c.response().status for _ in range(40)] == [200] * 40
        for i in range(len(request)):
            c.send(request[i:i + 1])
        assert c.response().status == 200
        c.send(request)  # and the end with it
        with pytest.raises((ssl.SSLError, OSError)):
            c.sock.settimeout(0)
            c.sock.unwrap()
        c.sock.settimeout(DEADLINE)
        c.closed()
    assert len(origin.requests) >= 41


def test_protocol_by_alpn_and_by_the_first_bytes(start, ca):
    with Origin() as origin:
        proxy = start(origin)
        for alpn in (None, ("http/1.1",), ("foo", "http/1.1")):
            with TlsClient(proxy.port, context(ca, alpn)) as c:
                assert c.sock.selected_alpn_protocol() == (alpn and "http/1.1")
                assert c.request().status == 200
        with TlsClient(proxy.port, context(ca, ("http/1.1", "h2"))) as c:
            assert c.sock.selected_alpn_protocol() == "h2"


def test_an_opaque_listener_relays_and_keeps_half_closes(start, ca):
    data = pattern(1 << 20)

    def serve(conn, origin):
        try:
            while True:
                conn.more()
        except Closed as e:
            assert not e.reset
        conn.send(conn.buffer[::-1])

    with Origin(serve) as origin:
        proxy = start(origin, protocol="opaque")
        with TlsClient(proxy.port, context(ca, ("something-else",))) as c:
            assert c.sock.selected_alpn_protocol() is None
            sender = threading.Thread(target=c.send, args=(data,))
            sender.start()
            sender.join(DEADLINE)
            # close_notify one way only: Python's unwrap() waits for the answer, which comes behind the data
            c.sock.setblocking(False)
            with pytest.raises(ssl.SSLWantReadError):
                c.sock.unwrap()
            c.sock.settimeout(DEADLINE)
            assert c.closed() == "end"
            assert c.buffer == data[::-1]


def test_curl_and_s_client(start, ca, origin, served):
    proxy = start(origin)
    got = subprocess.run(["curl", "-sS", "--noproxy", "*", "--http1.1", "--cacert", ca.cert, "--resolve", f"web:{proxy.port}:127.0.0.1",
                          "-w", "%{http_code} %{ssl_verify_result}", f"https://web:{proxy.port}/", f"https://web:{proxy.port}/2"],
                         check=True, capture_output=True, text=True, timeout=DEADLINE)
    assert got.stdout.count("200 0") == 2
    got = openssl("s_client", "-connect", f"127.0.0.1:{proxy.port}", "-CAfile", ca.cert, "-tls1_2", "-status", "-ign_eof",
                  input=b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n", timeout=DEADLINE).stdout
    assert b"HTTP/1.1 200" in got and b"Verify return code: 0 (ok)" in got
    assert b"Secure Renegotiation IS supported" in got and b"Compression: NONE" in got
    assert re.search(rb"Cipher +: ECDHE-ECDSA-", got)


def test_renegotiation_and_early_data_are_not_there(start, ca, origin, tmp_path):
    proxy = start(origin)
    session = tmp_path / "session"
    got = subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port}", "-tls1_2"], input=b"R\n", capture_output=True,
                         timeout=DEADLINE, check=False)
    assert b"no renegotiation" in got.stderr
    openssl("s_client", "-connect", f"127.0.0.1:{proxy.port}", "-tls1_3", "-sess_out", session, "-ign_eof",
            input=b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n", timeout=DEADLINE)
    got = openssl("sess_id", "-in", session, "-noout", "-text").stdout
    assert b"Max Early Data: 0" in got
    again = openssl("s_client", "-connect", f"127.0.0.1:{proxy.port}", "-tls1_3", "-sess_in", session, "-ign_eof",
                    input=b"GET / HTTP/1.1\r\nHost: web\r\nConnection: close\r\n\r\n", timeout=DEADLINE).stdout
    assert b"Reused, TLSv1.3" in again and b"HTTP/1.1 200" in again


def client_hello(ctx):
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    tls = ctx.wrap_bio(incoming, outgoing, server_hostname="web")
    with pytest.raises(ssl.SSLWantReadError):
        tls.do_handshake()
    return tls, incoming, outgoing


def test_byte_by_byte(start, ca, origin):
    proxy = start(origin)
    tls, incoming, outgoing = client_hello(context(ca))
    with Client(proxy.port) as c:
        def flush():
            for b in outgoing.read():
                c.send(bytes([b]))

        def step(what):
            while True:
                flush()
                try:
                    return what()
                except ssl.SSLWantReadError:
                    incoming.write(c.sock.recv(17))

        step(tls.do_handshake)
        tls.write(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
        data = b""
        while not data.endswith(b"ok\n"):
            data += step(lambda: tls.read(65536))
        assert data.startswith(b"HTTP/1.1 200")


def raw(proxy, data, wait=True):
    with Client(proxy.port) as c:
        c.send(data)
        if wait:
            c.closed()
        return c.buffer


def test_each_bad_handshake_has_its_reason(start, ca, origin):
    proxy = start(origin)
    raw(proxy, b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
    refused(proxy, "plaintext-http", 1)
    raw(proxy, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
    refused(proxy, "not-tls", 2)
    raw(proxy, os.urandom(1) + bytes(300))
    hello = b"\x16\x03\x01\x00\x04\x01\x00\x00\x00"
    assert raw(proxy, hello).startswith(b"\x15\x03")  # an alert
    refused(proxy, "protocol", 4)
    raw(proxy, hello[:6], wait=False)
    refused(proxy, "closed", 5)
    old = ["openssl", "s_client", "-connect", f"127.0.0.1:{proxy.port}", "-tls1_1", "-cipher", "ALL:@SECLEVEL=0"]
    got = subprocess.run(old, input=b"", capture_output=True, timeout=DEADLINE, check=False)
    assert got.returncode == 1 and b"alert protocol version" in got.stderr
    refused(proxy, "protocol-version", 6)
    with pytest.raises(ssl.SSLError, match="(?i)no.application.protocol"):
        TlsClient(proxy.port, context(ca, ("foo",)))
    refused(proxy, "alpn", 7)
    with pytest.raises(ssl.SSLCertVerificationError):
        TlsClient(proxy.port, ssl.create_default_context())
    refused(proxy, "client-refused", 8)
    still_serves(proxy, ca)
    assert proxy.metric("tcp_open_connections") == 0 or wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "all closed")


def test_slow_handshakes_end_and_do_not_hold_others_up(start, ca, origin):
    proxy = start(origin, timeouts={"tlsHandshake": "400ms"})
    hello = client_hello(context(ca))[2].read()
    slow = [Client(proxy.port) for _ in range(50)]
    for i, c in enumerate(slow):
        c.send(hello[:i * 3])
    began = time.monotonic()
    still_serves(proxy, ca)
    for c in slow:
        c.closed()
        c.close()
    assert time.monotonic() - began > 0.2
    refused(proxy, "timeout", len(slow))


def test_client_certificates(start, ca, stranger, origin, tmp_path):
    proxy = start(origin, client_ca=ca.cert)
    good = ca.issue("client", "clientAuth", to=tmp_path)
    for version in VERSIONS:
        with TlsClient(proxy.port, context(ca, cert=good, version=version)) as c:
            assert c.request().status == 200
    bad = [(None, "client-certificate-missing"),
           (stranger.issue("other", "clientAuth", to=tmp_path), "client-certificate-untrusted"),
           (ca.issue("server", "serverAuth", to=tmp_path), "client-certificate-invalid"),
           (ca.issue("past", "clientAuth", to=tmp_path, expired=True), "client-certificate-expired")]
    n = 0
    for version in VERSIONS:
        for cert, why in bad:
            with pytest.raises((ssl.SSLError, Closed, ConnectionError)):
                with TlsClient(proxy.port, context(ca, cert=cert, version=version)) as c:
                    c.request()
            n += 1
            refused(proxy, why, n)
    assert len(origin.requests) == 2


def test_truncation_is_not_a_clean_end(start, ca):
    seen = []

    def serve(conn, origin):
        try:
            while True:
                conn.more()
        except Closed as e:
            seen.append("reset" if e.reset else "end")

    with Origin(serve) as origin:
        proxy = start(origin, protocol="opaque")
        for clean in (True, False):
            with Client(proxy.port) as c:
                tls, incoming, outgoing = client_hello(context(ca, None))
                while True:
                    c.send(outgoing.read())
                    try:
                        tls.do_handshake()
                        break
                    except ssl.SSLWantReadError:
                        incoming.write(c.sock.recv(65536))
                tls.write(b"some")
                if clean:
                    with pytest.raises((ssl.SSLWantReadError, ssl.SSLSyscallError)):
                        tls.unwrap()
                c.send(outgoing.read())
                wait_for(lambda: origin.received >= 4, "what was sent")
                c.sock.shutdown(socket.SHUT_WR)
                wait_for(lambda: len(seen) == (1 if clean else 2), "the end at the origin")
            for o in origin.connections:
                o.received = 0
        assert seen == ["end", "reset"]


def test_an_answer_until_the_end_of_the_connection_ends_in_close_notify(start, ca):
    body = pattern(300000)

    def serve(conn, origin):
        conn.request()
        conn.send(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)

    with Origin(serve) as origin:
        proxy = start(origin)
        with TlsClient(proxy.port, context(ca), rcvbuf=4096) as c:
            r = c.request(version="1.0")
            assert r.body == body


def test_an_answer_that_breaks_off_is_broken(start, ca):
    def serve(conn, origin):
        conn.request()
        conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")

    with Origin(serve) as origin:
        proxy = start(origin)
        with TlsClient(proxy.port, context(ca)) as c:
            c.send(b"GET / HTTP/1.1\r\nHost: web\r\n\r\n")
            assert c.closed() == "reset"


def serial(port, ca):
    with TlsClient(port, context(ca)) as c:
        return c.sock.getpeercert()["serialNumber"]


def replace(path, text):
    new = path.with_suffix(".new")
    new.write_bytes(text)
    new.rename(path)


def test_reload(start, ca, origin, served, tmp_path):
    proxy = start(origin, args=["--workers", "2"])
    old = serial(proxy.port, ca)
    kept = TlsClient(proxy.port, context(ca))
    crt, key = ca.issue("next", to=tmp_path)

    # half a certificate, then the whole one without its key: what is in use stays
    replace(served / "tls.crt", crt.read_bytes()[:200])
    wait_for(lambda: proxy.metric("sennit_certificate_reload_total", result="rejected") == 1, "the half one to be refused")
    assert serial(proxy.port, ca) == old
    replace(served / "tls.crt", crt.read_bytes())
    wait_for(lambda: proxy.metric("sennit_certificate_reload_total", result="rejected") == 2, "the pair to be refused")
    assert "the key does not belong to the certificate" in proxy.log() and "what was in use before stays" in proxy.log()
    assert serial(proxy.port, ca) == old
    assert proxy.metric("sennit_config_reload_total", result="rejected") == 0
    replace(served / "tls.key", key.read_bytes())
    wait_for(lambda: proxy.metric("sennit_certificate_reload_total", result="applied") == 1, "the new pair")
    wait_for(lambda: len({serial(proxy.port, ca) for _ in range(8)} - {old}) == 1, "both workers to use it")
    assert {serial(proxy.port, ca) for _ in range(8)} != {old}
    with kept:  # connections keep what they have
        assert kept.request().status == 200
    end = proxy.metric("sennit_certificate_expiry_seconds", listener="outbound")
    assert abs(end - time.time() - 30 * 86400) < 600
    # a document that changes leaves the certificate, and its clients' tickets, alone
    before = serial(proxy.port, ca)
    proxy.doc["services"].append(service("more", [origin.address]))
    applied = proxy.metric("sennit_config_reload_total", result="applied")
    proxy.write(proxy.doc)
    wait_for(lambda: proxy.metric("sennit_config_reload_total", result="applied") > applied, "the document")
    assert serial(proxy.port, ca) == before
    assert proxy.metric("sennit_certificate_reload_total", result="applied") == 1
    # one that is gone is a refusal of the files, not of the document
    (served / "tls.key").unlink()
    wait_for(lambda: proxy.metric("sennit_certificate_reload_total", result="rejected") == 3, "the missing key")
    assert serial(proxy.port, ca) == before


def test_a_mounted_secret_is_swapped_as_a_whole(start_proxy, ca, origin, tmp_path):
    mount = tmp_path / "mount"
    for version in ("..1", "..2"):
        (mount / version).mkdir(parents=True)
        ca.issue("tls", to=mount / version)
    (mount / "..data").symlink_to("..1")
    for name in ("tls.crt", "tls.key"):
        (mount / name).symlink_to(f"..data/{name}")

    def edit(doc):
        doc["listeners"][0].update(tls=tls_of(mount))

    proxy = start_proxy([service("web", [origin.address])], edit=edit)
    old = serial(proxy.port, ca)
    (mount / "..new").symlink_to("..2")
    (mount / "..new").rename(mount / "..data")
    wait_for(lambda: proxy.metric("sennit_certificate_reload_total", result="applied") == 1, "the new pair")
    assert serial(proxy.port, ca) != old
    assert proxy.metric("sennit_certificate_reload_total", result="rejected") == 0


def check(path):
    r = subprocess.run([BIN / "sennit-proxy", "--config", path, "--check"], capture_output=True, text=True, check=False)
    return r.returncode, r.stderr


def test_check_opens_the_files(tmp_path, ca, served):
    path = tmp_path / "doc.yaml"
    other = ca.issue("other", to=tmp_path)
    past = tmp_path / "past"
    past.mkdir()
    ca.issue("tls", to=past, expired=True)
    good = {"certificate": served / "tls.crt", "key": served / "tls.key"}

    def said(tls):
        lines = [f"    {k}: {v}" for k, v in tls.items()]
        path.write_text("version: 1\nlisteners:\n- name: web\n  address: 127.0.0.1:1\n  direction: outbound\n  tls:\n"
                        + "\n".join(lines) + "\n")
        return check(path)

    assert said(good) == (0, "")
    assert said({**good, "clientCA": ca.cert}) == (0, "")
    code, text = said({**good, "key": tmp_path / "none.key"})
    assert (code, text) == (2, f"{path}:8:10: listeners[0].tls.key: {tmp_path}/none.key: cannot be read: No such file or directory\n")
    code, text = said({**good, "key": other[1]})
    assert code == 2 and text.startswith(f"{path}:8:10: listeners[0].tls.key: {other[1]}: the key does not belong to the certificate in ")
    code, text = said({**good, "certificate": served / "tls.key"})
    assert code == 2 and text.startswith(f"{path}:7:18: listeners[0].tls.certificate: {served}/tls.key: no PEM certificate in it")
    code, text = said({**good, "clientCA": served / "tls.key"})
    assert code == 2 and ":9:15: listeners[0].tls.clientCA:" in text and "not a list of PEM certificates" in text
    code, text = said({"certificate": served / "tls.crt"})
    assert code == 2 and "key" in text
    code, text = said({**good, "clientCa": "x"})
    assert code == 2 and "clientCA" in text
    assert said(tls_of(past)) == (0, f"{path}:7:18: listeners[0].tls.certificate: warning: the certificate has expired on "
                                     "2021-01-01 00:00:00 UTC\n")


def test_a_file_that_is_bad_at_the_start_ends_it(tmp_path, served):
    path = tmp_path / "doc.yaml"
    path.write_text(json.dumps({"version": 1, "listeners": [{"name": "web", "address": "127.0.0.1:1", "direction": "outbound",
                                                            "tls": {"certificate": str(served / "tls.crt"), "key": "/nowhere"}}]}))
    r = subprocess.run([BIN / "sennit-proxy", "--config", path], capture_output=True, text=True, check=False, timeout=DEADLINE)
    assert r.returncode == 2 and "/nowhere: cannot be read" in r.stderr


def abort_at(port, hello, n, reset):
    with socket.create_connection(("127.0.0.1", port), DEADLINE) as s:
        s.sendall(hello[:n])
        if reset:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def test_many_handshakes_whole_and_aborted_leave_nothing(start, ca, origin):
    proxy = start(origin)
    ctx = context(ca)
    hello = client_hello(ctx)[2].read()
    rounds = 100 if SANITIZED else 400

    def some(k):
        for i in range(rounds):
            kind = (i + k) % 5
            if kind == 0:
                with TlsClient(proxy.port, ctx) as c:
                    assert c.request().status == 200
            elif kind == 1:
                TlsClient(proxy.port, ctx).reset()
            elif kind == 2:
                abort_at(proxy.port, hello, i * 7 % (len(hello) + 1), False)
            elif kind == 3:
                abort_at(proxy.port, hello, i * 5 % (len(hello) + 1), True)
            else:
                TlsClient(proxy.port, ctx).close()

    some(0)
    wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "all closed")
    wait_until_still(proxy.rss_bytes)
    before = proxy.rss_bytes()
    threads = [threading.Thread(target=some, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    wait_for(lambda: proxy.metric("tcp_open_connections") == 0, "all closed")
    wait_until_still(proxy.rss_bytes)
    if not SANITIZED:
        assert proxy.rss_bytes() < before + (2 << 20)
    still_serves(proxy, ca)


def test_idle_connections_cost_little_and_close_at_the_end(start, ca, origin):
    proxy = start(origin)
    ctx = context(ca)
    n = 100 if SANITIZED else 300
    some = [TlsClient(proxy.port, ctx) for _ in range(n)]
    for c in some:
        assert c.request().status == 200
    wait_until_still(proxy.rss_bytes)
    before = proxy.rss_bytes()
    more = [TlsClient(proxy.port, ctx) for _ in range(n)]
    for c in more:
        assert c.request().status == 200
    wait_until_still(proxy.rss_bytes)
    each = (proxy.rss_bytes() - before) / n
    print(f"an idle TLS connection costs {each:.0f} bytes")
    if not SANITIZED:
        assert each < 30000
    assert proxy.stop() == 0
    for c in some + more:
        assert c.closed() == "end"  # close_notify, not a break
        c.close()


def test_half_way_through_a_handshake_the_proxy_can_end(start, ca, origin):
    proxy = start(origin)
    with Client(proxy.port) as c:
        c.send(client_hello(context(ca))[2].read()[:50])
        wait_for(lambda: proxy.metric("tcp_open_connections") == 1, "the connection")
        began = time.monotonic()
        assert proxy.stop() == 0
        assert time.monotonic() - began < DEADLINE / 2
        assert c.closed() in ("end", "reset")
