# SPDX-License-Identifier: Apache-2.0
"""What becomes of requests when some of what they go to is slow, wrong or too small: Sennit beside HAProxy and Envoy
as somebody who knows these would set them up. README.md here: how, and why these settings."""
import statistics
import subprocess

from peers import BIN, Peer, command, end, free_ports, wait_port

NAMES = ("sennit", "haproxy", "envoy")
SLOW, WRONG, OVERLOAD = "slow-one-in-ten", "erring-one-in-ten", "overload at 3 x capacity"
DEADLINE_MS = {SLOW: 100, WRONG: 100, OVERLOAD: 500}
RATE, SERVICE_US, SLOTS = 1000, 2000, 8                      # of the two with ten endpoints
N, NARROW_US, NARROW_SLOTS = 4, 20000, 5                     # of the overload: endpoints
CAPACITY = N * NARROW_SLOTS * 1_000_000 // NARROW_US         # requests a second
QUEUE_MS = 100                                               # who waits longer is refused: a fifth of the deadline
# As good as another: as many are answered but for these shares, and no slower than by a tenth and half a millisecond.
SUCCESS_NOISE = {SLOW: 0.001, WRONG: 0.001, OVERLOAD: 0.005}
P99_NOISE, P99_NOISE_MS = 1.10, 0.5

SENNIT = """version: 1
admin: {{address: "127.0.0.1:{admin}"}}
listeners: [{{name: out, address: "127.0.0.1:{port}", direction: outbound, protocol: http, service: origin}}]
services:
- name: origin
  hosts: [origin]
  ports: [{{port: 80, protocol: http}}]
  endpoints: {{static: [{endpoints}]}}
  routes: [{{name: all, rules: [{{backendRefs: [{{name: origin, port: 80}}], retry: {{codes: [502, 503, 504], attempts: 2}}}}]}}]
  policy: {policy}
"""
HAPROXY = """global
    nbthread 1
    maxconn {slots}
defaults
    mode http
    timeout connect 1s
    timeout client 5m
    timeout server 5s
    timeout queue {queue}ms
    http-reuse always
    option abortonclose
frontend f
    bind 127.0.0.1:{port}
    default_backend b
backend b
    balance leastconn
    retries 2
    option redispatch 1
    retry-on conn-failure empty-response 502 503 504
    option httpchk GET /health
    default-server check inter 1s fall 2 rise 2 observe layer7 error-limit 10 on-error mark-down{limit}
{servers}
"""
ENVOY = """admin: {{address: {{socket_address: {{address: 127.0.0.1, port_value: {admin}}}}}}}
static_resources:
  listeners:
  - address: {{socket_address: {{address: 127.0.0.1, port_value: {port}}}}}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: in
          route_config:
            virtual_hosts:
            - name: a
              domains: ["*"]
              routes:
              - match: {{prefix: "/"}}
                route:
                  cluster: o
                  retry_policy:
                    retry_on: "connect-failure,refused-stream,reset,gateway-error"
                    num_retries: 2
                    retry_host_predicate: [{{name: envoy.retry_host_predicates.previous_hosts, typed_config: {{"@type": type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate}}}}]
                    host_selection_retry_max_attempts: 5
          http_filters: [{{name: envoy.filters.http.router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
  clusters:
  - name: o
    connect_timeout: 1s
    lb_policy: LEAST_REQUEST
    outlier_detection: {{consecutive_5xx: 5, interval: 1s, base_ejection_time: 30s, max_ejection_percent: 50}}
    circuit_breakers:
      thresholds: [{{max_connections: 8192, max_pending_requests: {pending}, max_requests: 8192, retry_budget: {{budget_percent: {{value: 20}}, min_retry_concurrency: 10}}}}]{limit}
    load_assignment: {{cluster_name: o, endpoints: [{{lb_endpoints: [{endpoints}]}}]}}
"""


def configured(scenario):
    """Peer's texts and commands for it."""
    narrow = scenario == OVERLOAD

    def conf(name, _kind, v):
        if name == "sennit":
            policy = f"{{adaptiveConcurrency: {{mode: On}}, connections: {{pendingTimeout: {QUEUE_MS}ms}}}}"
            text = SENNIT.format(**v, policy=policy if narrow else "{}", endpoints=", ".join(
                f'{{address: "127.0.0.1:{p}"}}' for p in v["origin"]))
        elif name == "haproxy":
            text = HAPROXY.format(**v, queue=QUEUE_MS if narrow else 1000,
                                  limit=f" maxconn {NARROW_SLOTS}" if narrow else "", servers="\n".join(
                                      f"    server o{i} 127.0.0.1:{p}" for i, p in enumerate(v["origin"])))
        else:
            # It has no time limit for its queue, but as many as wait so long can be counted.
            limit = f"\n      per_host_thresholds: [{{max_connections: {NARROW_SLOTS}}}]" if narrow else ""
            text = ENVOY.format(**v, pending=CAPACITY * QUEUE_MS // 1000 if narrow else 8192, limit=limit,
                                endpoints=", ".join("{endpoint: {address: {socket_address: {address: 127.0.0.1, "
                                                    f"port_value: {p}}}}}}}}}" for p in v["origin"]))
        return text, command(name, v)
    return conf


class Origins:
    """origins.c: ten servers whose behaviour can be changed."""

    def __init__(self, cores, prefix, body):
        self.ports = free_ports(10)
        self.process = subprocess.Popen(
            ["taskset", "-c", cores, *prefix, str(BIN / "bench/origins"), str(body), *map(str, self.ports)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        wait_port(self.ports[-1], self.process)

    def set(self, which, service_us, slots, status=200):
        for i in which:
            self.process.stdin.write(f"{i} {service_us} {slots} {status}\n")
            self.process.stdin.flush()
            if self.process.stdout.readline() != "ok\n":
                raise SystemExit("bench: the origins have ended")

    def stop(self):
        self.process.stdin.close()
        end(self.process)


class Clients:
    """arrivals.c at work."""

    def __init__(self, cores, prefix, port, deadline_ms, seed, phases):
        self.process = subprocess.Popen(
            ["taskset", "-c", cores, *prefix, str(BIN / "bench/arrivals"), str(port), str(deadline_ms), str(seed),
             *(str(n) for phase in phases for n in phase)], stdout=subprocess.PIPE, text=True)

    def requests(self, seconds):
        """(due ms, status, ms) of each, in order."""
        out, _ = self.process.communicate(timeout=seconds + 30)
        if self.process.returncode:
            raise SystemExit("bench: the clients failed")
        return [(int(due) / 1000, int(status), int(us) / 1000) for due, status, us in map(str.split, out.splitlines())]


def quantile(sorted_values, q):
    return sorted_values[min(len(sorted_values) - 1, int(len(sorted_values) * q))] if sorted_values else float("inf")


def summary(requests, deadline_ms=0, end_ms=float("inf")):
    """How many were answered well before @end_ms, and how fast: of these, or with @deadline_ms of all, where whoever
    has no answer has waited so long."""
    well = sorted(ms for due, status, ms in requests if status == 200 and due + ms <= end_ms)
    times = well + [deadline_ms] * (len(requests) - len(well) if deadline_ms else 0)
    return {"n": len(requests), "success": len(well) / len(requests),
            "p50_ms": quantile(times, 0.5), "p95_ms": quantile(times, 0.95), "p99_ms": quantile(times, 0.99), "p999_ms": quantile(times, 0.999),
            "late": sum(status == 0 for _, status, _ in requests),
            "refused": sum(status >= 400 for _, status, _ in requests),
            "broken": sum(status == 1 for _, status, _ in requests)}


def recovery_ms(requests, start_ms, normal_p99_ms):
    """Since @start_ms, until in all 100 ms that follow 99 of 100 requests are answered, and 95 of 100 of these in
    twice what 99 took when all was well."""
    last = start_ms
    for at in range(start_ms, int(max(r[0] for r in requests)), 100):
        part = [r for r in requests if at <= r[0] < at + 100]
        well = sorted(ms for _, status, ms in part if status == 200)
        if part and (len(well) < 0.99 * len(part) or quantile(well, 0.95) > 2 * normal_p99_ms):
            last = at + 100
    return last - start_ms


class Scenarios:
    def __init__(self, cores, prefix, body, quick):
        self.cores, self.prefix = cores, prefix
        self.rounds, self.seconds = (3, 2) if quick else (5, 5)
        self.origins = Origins(cores[1], prefix, body)

    def stop(self):
        self.origins.stop()

    def one_in_ten(self, port, scenario, seed):
        """All is well for a second; then one endpoint is not, and from then on it counts."""
        o, s = self.origins, self.seconds
        c = Clients(self.cores[1], self.prefix, port, DEADLINE_MS[scenario], seed, [(RATE, 1000 + s * 1000)])
        try:
            c.process.wait(1.05)
        except subprocess.TimeoutExpired:
            pass
        if scenario == SLOW:
            o.set([3], SERVICE_US * 100, SLOTS)
        else:
            o.set([3], SERVICE_US, SLOTS, 503)
        return summary([r for r in c.requests(s) if r[0] >= 1000], DEADLINE_MS[scenario])

    def overload(self, port, scenario, seed):
        """Enough, too much, enough again."""
        s = self.seconds * 1000
        phases = [(int(0.7 * CAPACITY), 3000), (3 * CAPACITY, s), (int(0.7 * CAPACITY), 2000)]
        rs = Clients(self.cores[1], self.prefix, port, DEADLINE_MS[scenario], seed, phases).requests(s / 1000 + 5)
        before = summary([r for r in rs if 1000 <= r[0] < 3000])
        out = summary([r for r in rs if 3000 <= r[0] < 3000 + s], end_ms=3000 + s)
        out["goodput"] = out["success"] * out["n"] * 1000 / s
        out["of_capacity"] = out["goodput"] / CAPACITY
        out["before"] = before
        out["recovery_ms"] = recovery_ms([r for r in rs if r[0] >= 3000 + s], 3000 + s, before["p99_ms"])
        return out

    def measure(self, name, scenario, seed):
        """A proxy that is new each time: what it has learnt of one round is no help in the next."""
        o = self.origins
        if scenario == OVERLOAD:
            o.set(range(N), NARROW_US, NARROW_SLOTS)
        else:
            o.set(range(10), SERVICE_US, SLOTS)
        peer = Peer(name, "scenario", o.ports[:N] if scenario == OVERLOAD else o.ports, self.cores[0], self.prefix,
                    configure=configured(scenario))
        try:
            Clients(self.cores[1], self.prefix, peer.port, 1000, 1, [(100, 500)]).requests(1)
            run = self.overload if scenario == OVERLOAD else self.one_in_ten
            before = peer.cpu_ns()
            out = run(peer.port, scenario, seed)
            out["cpu_s"] = (peer.cpu_ns() - before) / 1e9
            return out
        finally:
            peer.stop()

    def run(self, names, scenario):
        raw = {n: [] for n in names}
        for r in range(self.rounds):
            for n in names[r % len(names):] + names[:r % len(names)]:
                raw[n].append(self.measure(n, scenario, r + 1))
        return raw


def medians(rounds):
    return {k: statistics.median(r[k] for r in rounds) for k, v in rounds[0].items() if not isinstance(v, dict)}


def compare(scenario, sennit, peers):
    """Medians: (is at least as good as the better of them in both, is better in one)."""
    noise = SUCCESS_NOISE[scenario]
    success, p99 = max(p["success"] for p in peers), min(p["p99_ms"] for p in peers)
    better_success = sennit["success"] > success + noise
    better_p99 = sennit["p99_ms"] * P99_NOISE + P99_NOISE_MS < p99
    as_good = (sennit["success"] >= success - noise and
               sennit["p99_ms"] <= p99 * P99_NOISE + P99_NOISE_MS)
    return as_good, as_good and (better_success or better_p99)
