# SPDX-License-Identifier: Apache-2.0
"""Whatever the proxy accepts, others read the same way, or refuse: what it got as well as what it sent on.

SEED=n picks other messages, N=n more of them; ONLY=k runs number k alone and prints how each reads it."""
import asyncio
import collections
import contextlib
import os
import re
import time

import pytest

import differential
import messages
from differential import REFUSED, Llhttp, Origin, Reading, ask, disagreement, fetch
from harness import BIN, SLOW, free_port
from judges import backend, serve, tool

SEED = int(os.environ.get("SEED", "1"))
N = int(os.environ.get("N", "3000"))
ONLY = os.environ.get("ONLY")
AT_ONCE = 24
LAST = b"/sentinel"
JUDGES = ("llhttp", "nginx", "haproxy", "apache")
TAB_LENGTH = re.compile(rb"(?i)\ncontent-length: *\t")
# The first look may be hasty on a busy machine; what seems wrong is looked at again, alone and with patience.
HASTY_SECONDS, PATIENT_SECONDS = 0.5 * SLOW, 3 * SLOW

NGINX = """
daemon off; master_process off; pid {dir}/nginx.pid; error_log {dir}/nginx.log error;
events {{ worker_connections 2000; }}
http {{
  access_log off; merge_slashes off; client_max_body_size 16m; client_body_buffer_size 1m;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
  large_client_header_buffers 4 128k; proxy_buffer_size 128k; proxy_buffers 8 128k; proxy_busy_buffers_size 256k;
  server {{
    listen 127.0.0.1:{port} default_server;
    location / {{
      proxy_pass http://127.0.0.1:{origin}; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_next_upstream off;
    }}
  }}
}}
"""
HAPROXY = """
global
  maxconn 2000
  tune.bufsize 262144
  tune.http.maxhdr 400
defaults
  mode http
  timeout client 10s
  timeout server 10s
  timeout connect 2s
  retries 0
listen a
  bind 127.0.0.1:{port}
  http-reuse never
  server s 127.0.0.1:{origin}
"""
APACHE = """
ServerRoot {dir}
DefaultRuntimeDir {dir}
PidFile {dir}/apache.pid
ErrorLog {dir}/apache.log
LogLevel crit
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule proxy_module {modules}/mod_proxy.so
LoadModule proxy_http_module {modules}/mod_proxy_http.so
Listen 127.0.0.1:{port}
ServerName localhost
{user}
StartServers 1
ServerLimit 1
ThreadsPerChild 64
MaxRequestWorkers 64
MinSpareThreads 1
LimitRequestFieldSize 131072
LimitRequestLine 65536
LimitRequestFields 400
AllowEncodedSlashes NoDecode
MergeSlashes Off
TraceEnable extended
ProxyPass / http://127.0.0.1:{origin}/ nocanon
"""


class Court:
    """The proxy and its judges, each before an origin of its own."""

    def __init__(self, directory, start_proxy, running):
        self.directory, self.start_proxy, self.running = directory, start_proxy, running
        self.notes, self.ports, self.wrong, self.sent_on = [], {}, {}, {}
        self.llhttp = Llhttp(BIN / "conformance" / "llhttp")
        self.residue = contextlib.ExitStack()  # for the caller to close when the loop is no longer needed

    async def __aenter__(self):
        self.stack = contextlib.ExitStack()
        self.stack.callback(self.llhttp.close)
        origins = {}
        for name in ("sennit", "nginx", "haproxy", "apache"):
            server, origins[name], self.wrong[name] = await Origin.listen(self.notes, self.response)
            self.stack.callback(server.close)
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.start, origins)
        return self

    async def __aexit__(self, *_):
        self.stack.close()

    def response(self, path):
        """/r/NUMBER: as generated; /s/NUMBER: as the proxy has sent it on, and something behind it."""
        m = re.fullmatch(rb"/([rs])/(\d+)", path)
        if not m:
            return None
        number = int(m.group(2))
        return messages.response(SEED, number)[1] if m.group(1) == b"r" else self.sent_on[number]

    def start(self, origins):
        def configured(name, text, **more):
            port = self.ports[name] = free_port()
            path = self.directory / f"{name}.conf"
            path.write_text(text.format(dir=self.directory, port=port, origin=origins[name], **more))
            return path, port

        proxy = self.proxy = self.start_proxy(
            [backend("web", f"127.0.0.1:{origins['sennit']}")],
            edit=lambda doc: doc["listeners"][0].update(service="web"),
            timeouts={"header": "30s", "body": "30s", "connect": "5s"})
        self.ports["sennit"] = proxy.port
        self.residue.enter_context(proxy.no_residue())
        path, port = configured("nginx", NGINX)
        serve(self.running, [tool("nginx"), "-p", self.directory, "-c", path], self.directory, "nginx", port)
        path, port = configured("haproxy", HAPROXY)
        serve(self.running, [tool("haproxy"), "-db", "-q", "-f", path], self.directory, "haproxy", port)
        path, port = configured("apache", APACHE, modules="/usr/lib/apache2/modules",
                                user="User www-data\nGroup www-data" if os.getuid() == 0 else "")
        serve(self.running, [tool("apache2"), "-f", path, "-DFOREGROUND"], self.directory, "apache", port)

    async def read(self, name, data, seconds):
        if name == "llhttp":
            return self.llhttp.requests(data, LAST)
        return await ask(self.ports[name], data, self.notes, LAST, seconds)

    async def judge_request(self, number, seconds, counts=None):
        """What is wrong, as text; empty when nothing is."""
        data = messages.requests(SEED, number)
        wrong = []
        ours = await self.read("sennit", data, seconds)
        if counts is not None:
            counts["accepted"] += len(ours.notes) - (ours.end == differential.THROUGH)
            counts[ours.end] += 1
        for name in JUDGES:
            theirs = await self.read(name, data, seconds)
            if why := disagreement(ours, theirs, name):
                wrong.append(f"{name}, on what the client sent: {why}\n we:\n{ours}\n {name}:\n{theirs}")
            if counts is not None:
                counts[name] += len(theirs.notes)
        if ours.notes:
            sent_on = b"".join(note.raw for note in ours.notes)
            expected = Reading(ours.notes, differential.WAITING)
            if ours.end != differential.THROUGH:
                sent_on += messages.SENTINEL
                expected = Reading(ours.notes + [differential.Note(b"GET", LAST, b"")], differential.WAITING)
            for name in JUDGES:
                theirs = await self.read(name, sent_on, seconds)
                if why := disagreement(expected, theirs, name):
                    wrong.append(f"{name}, on what we sent on: {why}\n we: {sent_on[:2000]!r}\n{expected}\n {name}:\n{theirs}")
                elif counts is not None and theirs.end == REFUSED:
                    counts[f"{name} refuses"] += 1
        return "".join(f"SEED={SEED} ONLY={number}: {w}\n {data[:3000]!r}\n\n" for w in wrong)

    async def judge_response(self, number, seconds, counts=None):
        head, data = messages.response(SEED, number)
        ours = await fetch(self.ports["sennit"], b"/r/%d" % number, head, seconds)
        if counts is not None:
            counts["refused" if failed(ours) else "accepted"] += 1
        if failed(ours):
            return ""
        self.sent_on[number] = ours.raw + (b"" if ours.ends else messages.EXTRA)
        wrong = []
        for path, what, original in ((b"/r/%d", data, True), (b"/s/%d", self.sent_on[number], False)):
            for name in JUDGES:
                if name == "llhttp":
                    theirs = self.llhttp.response(what, head)
                else:
                    theirs = await fetch(self.ports[name], path % number, head, seconds)
                if failed(theirs):
                    if counts is not None:
                        counts[f"{name} refuses"] += 1
                elif (theirs.status, theirs.body) != (ours.status, ours.body) and not (
                        original and known(name, ours, theirs, what)):
                    wrong.append(f"{name}, on what {'the origin' if original else 'we'} sent: {theirs}; we: {ours}\n"
                                 f" {what[:2000]!r}\n")
        return "".join(f"SEED={SEED} ONLY={number}{' HEAD' if head else ''}: {w}\n" for w in wrong)


def failed(response):
    return response is None or response.status in (500, 502, 503, 504)


def known(name, ours, theirs, data):
    """Judges that are wrong themselves about what an origin sends, where our reading is RFC 9112's."""
    if name == "llhttp":  # believes framing fields that a 204 must not have
        return theirs.status == ours.status == 204
    if name == "nginx":  # ignores a Content-Length whose value has a tab before it, when it comes from an origin
        return TAB_LENGTH.search(data) is not None
    return False


async def all_of(judge, n, counts):
    """Runs @judge over all numbers, some at once; looks again at what seems wrong."""
    suspects, numbers = [], iter(range(n) if ONLY is None else [int(ONLY)])

    async def work():
        for number in numbers:
            if await judge(number, HASTY_SECONDS, counts):
                suspects.append(number)

    await asyncio.gather(*[work() for _ in range(AT_ONCE)])
    wrong = []
    for number in sorted(suspects)[:40]:
        if text := await judge(number, PATIENT_SECONDS):
            wrong.append(text)
    return wrong


@pytest.mark.parametrize("what", ["requests", "responses"])
def test_differential(start_proxy, running, tmp_path, what):
    tmp_path.chmod(0o755)
    court = Court(tmp_path, start_proxy, running)

    async def work():
        counts = collections.Counter()
        async with court:
            n = N if what == "requests" else N // 3
            wrong = await all_of(court.judge_request if what == "requests" else court.judge_response, n, counts)
            wrong += [f"the origin got from us: {w}" for w in court.wrong["sennit"]]
        return wrong, counts, n

    began = time.monotonic()
    wrong, counts, n = asyncio.run(work())
    print(f"{what}: {n} in {time.monotonic() - began:.1f} s: {dict(counts)}")
    assert not wrong, f"{len(wrong)} disagreements\n" + "\n".join(wrong[:10])
    court.residue.close()
    if ONLY is None:  # else nothing was judged
        assert counts["accepted"] > n / 5, counts
