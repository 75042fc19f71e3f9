# SPDX-License-Identifier: Apache-2.0
"""As much of the Kubernetes API as the operator uses, with faults that a real server cannot be made to
show on demand. Plain HTTP on loopback, a thread a connection, objects in memory."""
import copy
import http.server
import json
import threading
import time
import urllib.parse

import yaml

KINDS = {"namespaces": "Namespace", "services": "Service", "pods": "Pod", "configmaps": "ConfigMap",
         "events": "Event", "secrets": "Secret", "meshroutes": "MeshRoute",
         "backendpolicies": "BackendPolicy", "meshconfigs": "MeshConfig",
         "mutatingwebhookconfigurations": "MutatingWebhookConfiguration"}
GROUPS = {"meshroutes": "/apis/sennit.dev/v1alpha1", "backendpolicies": "/apis/sennit.dev/v1alpha1",
          "meshconfigs": "/apis/sennit.dev/v1alpha1",
          "mutatingwebhookconfigurations": "/apis/admissionregistration.k8s.io/v1"}


def merge(into, patch):
    """JSON merge patch; server-side apply of one manager is the same as far as these tests go."""
    for k, v in patch.items():
        if v is None:
            into.pop(k, None)
        elif isinstance(v, dict) and isinstance(into.get(k), dict):
            merge(into[k], v)
        else:
            into[k] = copy.deepcopy(v)


def merge_webhooks(into, patch):
    """A strategic merge as far as caBundles need it: list entries by name."""
    for p in patch["webhooks"]:
        merge(next(w for w in into["webhooks"] if w["name"] == p["name"]), p)


class Status(Exception):
    def __init__(self, code, headers=None):
        super().__init__(code)
        self.code, self.headers = code, headers or {}


class FakeApi:
    """faults: callables fault(handler, method, path, query) -> None or True (it has answered), looked at
    for each request; they count their own uses."""

    def __init__(self):
        self.lock = threading.Condition(threading.RLock())
        self.version = 100
        self.objects = {}  # (plural, ns, name) -> object
        self.events = []  # (version, plural, type, object)
        self.oldest = 0  # watches from before this are 410
        self.requests = []  # (time, method, path, query, body, headers)
        self.faults = []
        self.page = None  # forced page size
        self.watchers = 0
        self.bookmarks = True
        self.stopping = False
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args):
                pass

            def do_any(self):
                api.serve(self)

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_any

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, request, client_address):
                pass  # clients that went away

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self):
        self.stopping = True
        with self.lock:
            self.lock.notify_all()
        self.server.shutdown()
        self.server.server_close()

    # --- objects, as a test sees them

    def put(self, plural, obj, quiet=False):
        """Creates or replaces; quiet: without a watch event."""
        obj = copy.deepcopy(obj)
        with self.lock:
            meta = obj.setdefault("metadata", {})
            key = (plural, meta.get("namespace", ""), meta["name"])
            old = self.objects.get(key)
            self.version += 1
            meta["resourceVersion"] = str(self.version)
            meta.setdefault("uid", old["metadata"]["uid"] if old else f"uid-{self.version}")
            meta.setdefault("creationTimestamp", "2026-01-01T00:00:00Z")
            old_spec = old.get("spec") if old else None
            if old and old_spec == obj.get("spec"):
                meta["generation"] = old["metadata"].get("generation", 1)
            else:
                meta["generation"] = old["metadata"].get("generation", 1) + 1 if old else 1
            self.objects[key] = obj
            if not quiet:
                self.events.append((self.version, plural, "MODIFIED" if old else "ADDED", copy.deepcopy(obj)))
            self.lock.notify_all()
            return obj

    def delete(self, plural, ns, name, quiet=False):
        with self.lock:
            obj = self.objects.pop((plural, ns, name), None)
            if not obj:
                return False
            self.version += 1
            obj["metadata"]["resourceVersion"] = str(self.version)
            if not quiet:
                self.events.append((self.version, plural, "DELETED", obj))
            self.lock.notify_all()
            return True

    def get(self, plural, ns, name):
        with self.lock:
            return copy.deepcopy(self.objects.get((plural, ns, name)))

    def all(self, plural):
        with self.lock:
            return [copy.deepcopy(o) for (p, _, _), o in sorted(self.objects.items()) if p == plural]

    def send(self, plural, line):
        """Raw bytes or an event into the watches of a kind."""
        with self.lock:
            self.version += 1
            self.events.append((self.version, plural, "RAW", line))
            self.lock.notify_all()

    def forget_history(self):
        """Watches from now on are too old, and running ones end."""
        with self.lock:
            self.version += 1
            self.oldest = self.version
            self.events.clear()
            self.lock.notify_all()

    def made(self, method, part=""):
        with self.lock:
            return [r for r in self.requests if r[1] == method and part in r[2]]

    # --- HTTP

    def serve(self, h):
        url = urllib.parse.urlsplit(h.path)
        query = dict(urllib.parse.parse_qsl(url.query))
        body = h.rfile.read(int(h.headers.get("Content-Length") or 0))
        with self.lock:
            self.requests.append((time.monotonic(), h.command, url.path, query, body, dict(h.headers)))
            faults = list(self.faults)
        for f in faults:
            if f(h, h.command, url.path, query):
                return
        try:
            self.route(h, url.path, query, body)
        except Status as s:
            self.answer(h, s.code, {"kind": "Status", "code": s.code, "message": f"fake {s.code}"}, s.headers)

    def answer(self, h, code, obj, headers=None):
        data = json.dumps(obj).encode()
        h.send_response(code)
        h.send_header("Content-Type", "application/json")
        h.send_header("Content-Length", str(len(data)))
        for k, v in (headers or {}).items():
            h.send_header(k, v)
        h.end_headers()
        h.wfile.write(data)

    def parse(self, path):
        parts = path.strip("/").split("/")
        parts = parts[2:] if parts[0] == "api" else parts[3:]
        ns = name = sub = ""
        if parts[0] == "namespaces" and len(parts) > 2:
            ns, parts = parts[1], parts[2:]
        plural = parts[0]
        if plural not in KINDS:
            raise Status(404)
        if len(parts) > 1:
            name = urllib.parse.unquote(parts[1])
        if len(parts) > 2:
            sub = parts[2]
        return plural, ns, name, sub

    def route(self, h, path, query, body):
        plural, ns, name, sub = self.parse(path)
        if h.command == "GET" and not name:
            return self.watch(h, plural, query) if query.get("watch") else self.list(h, plural, query)
        with self.lock:
            obj = self.get(plural, ns, name)
            if h.command == "GET":
                if not obj:
                    raise Status(404)
                return self.answer(h, 200, obj)
            if h.command == "DELETE":
                return self.answer(h, 200 if self.delete(plural, ns, name) else 404, {})
            return self.write(h, plural, ns, name, sub, obj, body)

    def write(self, h, plural, ns, name, sub, obj, body):
        new = yaml.safe_load(body)
        kind = h.headers["Content-Type"]
        if h.command == "POST":
            new["metadata"]["namespace"] = ns
            if self.get(plural, ns, new["metadata"]["name"]):
                raise Status(409)
            return self.answer(h, 201, self.put(plural, new))
        if h.command == "PUT":
            if not obj or new["metadata"].get("resourceVersion") != obj["metadata"]["resourceVersion"]:
                raise Status(409)
            new["metadata"]["namespace"] = ns
            return self.answer(h, 200, self.put(plural, new))
        if "apply-patch" in kind:
            want = new.get("metadata", {}).get("resourceVersion")
            if obj and want and want != obj["metadata"]["resourceVersion"]:
                raise Status(409)
            if not obj and sub:
                raise Status(404)
            obj = obj or {"metadata": {"name": name, **({"namespace": ns} if ns else {})}}
            before = copy.deepcopy(obj)
            if sub:
                obj["status"] = new.get("status")
            else:
                obj.pop("data", None)
                merge(obj, new)
        else:
            if not obj:
                raise Status(404)
            uid = new.get("metadata", {}).get("uid")
            if uid and uid != obj["metadata"]["uid"]:
                raise Status(409)
            before = copy.deepcopy(obj)
            (merge_webhooks if "strategic" in kind else merge)(obj, new)
        if obj == before:
            return self.answer(h, 200, obj)
        return self.answer(h, 200, self.put(plural, obj))

    def list(self, h, plural, query):
        limit = self.page or int(query.get("limit", 500))
        with self.lock:
            at = query.get("continue", "")
            if at and int(at.split(".")[0]) < self.oldest:
                raise Status(410)
            version = at.split(".")[0] if at else str(self.version)
            start = int(at.split(".")[1]) if at else 0
            items = self.all(plural)
            field = query.get("fieldSelector", "")
            if field.startswith("metadata.name="):
                items = [o for o in items if o["metadata"]["name"] == field.split("=", 1)[1]]
            meta = {"resourceVersion": version}
            if start + limit < len(items):
                meta["continue"] = f"{version}.{start + limit}"
        for o in items:  # as the real server: items of a list do not say what they are
            o.pop("kind", None)
            o.pop("apiVersion", None)
        self.answer(h, 200, {"kind": KINDS[plural] + "List", "apiVersion": "v1", "metadata": meta,
                             "items": items[start:start + limit]})

    def watch(self, h, plural, query):
        at = int(query["resourceVersion"])
        with self.lock:
            if at < self.oldest:
                raise Status(410)
        h.send_response(200)
        h.send_header("Content-Type", "application/json")
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        born = self.oldest
        end = time.monotonic() + float(query.get("timeoutSeconds", 300))
        with self.lock:
            self.watchers += 1
        try:
            while not self.stopping and time.monotonic() < end:
                with self.lock:
                    todo = [e for e in self.events if e[0] > at and e[1] == plural]
                    for e in todo:
                        if e[2] == "RAW":  # once, not to the next watch too
                            self.events.remove(e)
                    if not todo:
                        if self.oldest != born:
                            break
                        self.lock.wait(0.5)
                        continue
                for version, _, what, obj in todo:
                    at = version
                    self.emit(h, what, obj)
            self.chunk(h, b"")
        finally:
            with self.lock:
                self.watchers -= 1

    def emit(self, h, what, obj):
        if what == "RAW":
            if obj is None:
                h.connection.close()
                raise ConnectionError
            self.chunk(h, obj if isinstance(obj, bytes) else json.dumps(obj).encode() + b"\n")
        else:
            self.chunk(h, json.dumps({"type": what, "object": obj}).encode() + b"\n")

    def chunk(self, h, data):
        h.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        h.wfile.flush()


def times(n, fault):
    """The fault for the first n requests that it is meant for; fault returns True when it answered."""
    left = [n]

    def run(h, method, path, query):
        if left[0] <= 0:
            return False
        if fault(h, method, path, query):
            left[0] -= 1
            return True
        return False

    run.left = left
    return run


def status(api, code, method, part, headers=None, watch=None):
    """Answers requests of @method whose path has @part with a status."""

    def fault(h, m, path, query):
        if m != method or part not in path or (watch is not None and watch != ("watch" in query)):
            return False
        api.answer(h, code, {"kind": "Status", "code": code, "message": f"fake {code}"}, headers)
        return True

    return fault
