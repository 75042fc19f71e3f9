# SPDX-License-Identifier: Apache-2.0
"""A document of 5,000 routes and 10,000 endpoints, and what a proxy spends on it: for test_change.py and the bench."""
import os
import pathlib
import re

ROUTES, ENDPOINTS, SERVICES = 5000, 10000, 20
PER_SERVICE = ROUTES // SERVICES


def match(r):
    """A third each: exact paths, prefixes, and one path whose requests differ in a header."""
    return (f"path: {{type: Exact, value: /api/v1/things/{r}}}",
            f"path: {{type: PathPrefix, value: /shop/{r}}}",
            f"path: {{type: PathPrefix, value: /u}}, headers: [{{name: x-user, value: user-{r}}}]")[r % 3]


def asks(r):
    """(path, headers) of a request for the route @r of a service."""
    return (f"/api/v1/things/{r}", f"/shop/{r}/items", "/u")[r % 3], [("x-user", f"user-{r}")] if r % 3 == 2 else []


def text(listener_port, admin_port, origin_port, revision="a", changed=0, bench_port=None):
    """YAML below the 1 MiB of a file. All endpoints are addresses of the loopback network, where an origin on
    0.0.0.0 answers; svc-0 has half of them. @changed: so many of svc-0's are others than before. @bench_port: one more
    service, host `origin`, whose endpoint is there: what tests/bench/load asks for."""
    out = [f"version: 1\nrevision: {revision}\nadmin: {{address: \"127.0.0.1:{admin_port}\"}}\n"
           f"drain: {{propagation: 0s}}\nlisteners:\n- {{name: outbound, address: \"127.0.0.1:{listener_port}\", "
           "direction: outbound, transparent: false, protocol: http}\nservices:\n"]
    for s in range(SERVICES):
        out.append(f"- name: svc-{s}\n  hosts: [svc-{s}]\n  ports: [{{port: 80, protocol: http}}]\n  routes:\n")
        out += [f"  - {{name: r{r}, rules: [{{matches: [{{{match(r)}}}], backendRefs: [{{name: svc-{s}}}]}}]}}\n"
                for r in range(PER_SERVICE)]
        n = ENDPOINTS // 2 if s == 0 else ENDPOINTS // 2 // (SERVICES - 1) + (s <= ENDPOINTS // 2 % (SERVICES - 1))
        out.append("  endpoints:\n    static:\n")
        out += [f'    - {{address: "127.{s + 1 + (100 if s == 0 and i < changed else 0)}.{i >> 8}.{i & 255}:{origin_port}"}}\n'
                for i in range(n)]
    if bench_port:
        out.append(f'- {{name: bench, hosts: [origin], endpoints: {{static: [{{address: "127.0.0.1:{bench_port}"}}]}}}}\n')
    return "".join(out)


def private_bytes(pid):
    rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text()
    return 1024 * sum(int(n) for n in re.findall(r"Private_(?:Clean|Dirty):\s+(\d+)", rollup))


def cpu_ms(pid):
    """CPU time of (the control thread, all workers)."""
    tasks = {int(t): int(pathlib.Path(f"/proc/{pid}/task/{t}/schedstat").read_text().split()[0]) / 1e6
             for t in os.listdir(f"/proc/{pid}/task")}
    control = tasks.pop(pid)
    return control, sum(tasks.values())
