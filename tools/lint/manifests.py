#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""CRDs and manifests: structural schemas with bounds, rules with messages, columns and names; rights
without wildcards; nothing that kubectl apply -k would miss; samples that fit the CRDs."""
import pathlib
import re
import sys

import yaml

NAMES = {"MeshRoute": "mroute", "BackendPolicy": "bpol", "AuthorizationPolicy": "authz", "MeshService": "msvc",
         "MeshConfig": "mcfg"}
RESTRICTED = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
PYTHON = {"object": dict, "array": list, "string": str, "integer": int, "boolean": bool}
findings = []


def say(path, what):
    findings.append(f"{path}: {what}")


def load(path):
    return [d for d in yaml.safe_load_all(path.read_text()) if d]


def schema(where, s):
    """Each node has a type; what a user fills in is bounded; each rule has a message."""
    kind = s.get("type")
    if kind not in ("object", "array", "string", "integer", "number", "boolean"):
        say(where, f"type {kind!r}")
    if kind == "array" and "maxItems" not in s:
        say(where, "an array without maxItems")
    if kind == "string" and not {"maxLength", "enum", "format"} & s.keys():
        say(where, "a string without maxLength, enum or format")
    if kind == "integer" and ".status." not in where and not {"minimum", "maximum"} <= s.keys():
        say(where, "an integer without minimum and maximum")
    if s.get("x-kubernetes-preserve-unknown-fields"):
        say(where, "unknown fields are kept")
    for rule in s.get("x-kubernetes-validations", []):
        if not rule.get("message"):
            say(where, f"a rule without a message: {rule['rule']}")
    for pattern in filter(None, [s.get("pattern")]):
        re.compile(pattern)
    for key, sub in s.get("properties", {}).items():
        if where.count(".") > 1 or key not in ("apiVersion", "kind", "metadata"):
            schema(f"{where}.{key}", sub)
    for key in s.get("required", []):
        if key not in s.get("properties", {}):
            say(where, f"requires {key}, which is no property")
    if kind == "array":
        schema(where + "[]", s["items"])


def fits(where, value, s):
    """A sample's @value is one that the schema takes, as far as that can be said without its rules."""
    if type(value) is not PYTHON[s["type"]]:
        say(where, f"not of type {s['type']}")
    elif "enum" in s and value not in s["enum"]:
        say(where, f"{value!r} is none of {s['enum']}")
    elif s["type"] == "string" and not (re.search(s.get("pattern", ""), value) and len(value) <= s.get("maxLength", len(value))):
        say(where, f"{value!r} does not fit")
    elif s["type"] == "integer" and not s["minimum"] <= value <= s["maximum"]:
        say(where, f"{value} is out of bounds")
    elif s["type"] == "array":
        for i, item in enumerate(value):
            fits(f"{where}[{i}]", item, s["items"])
    elif "properties" in s:
        for key in s.get("required", []):
            if key not in value:
                say(where, f"{key} is missing")
        for key, member in value.items():
            if key in s["properties"]:
                fits(f"{where}.{key}", member, s["properties"][key])
            else:
                say(where, f"there is no {key}")


def samples():
    crds = [d for path in pathlib.Path("crds").glob("*.yaml") for d in load(path) if d["kind"] == "CustomResourceDefinition"]
    schemas = {d["spec"]["names"]["kind"]: d["spec"]["versions"][0]["schema"]["openAPIV3Schema"] for d in crds}
    for path in sorted(pathlib.Path("manifests/samples").glob("*.yaml")):
        for d in load(path):
            fits(f"{path}: {d['kind']}", d, schemas[d["kind"]])


def crd(path, d):
    names, spec = d["spec"]["names"], d["spec"]
    if d["metadata"]["name"] != f"{names['plural']}.{spec['group']}":
        say(path, "its name is not PLURAL.GROUP")
    if NAMES.get(names["kind"]) not in names.get("shortNames", []) or "sennit" not in names.get("categories", []):
        say(path, "short name or category")
    for v in spec["versions"]:
        if not v.get("additionalPrinterColumns"):
            say(path, "no printer columns")
        schema(f"{path}:{v['name']}", v["schema"]["openAPIV3Schema"])


def role(path, d):
    for r in d.get("rules", []):
        if any("*" in x for key in ("apiGroups", "resources", "verbs") for x in r.get(key, [])):
            say(path, f"a wildcard: {r}")
        if {"secrets", "configmaps", "mutatingwebhookconfigurations"} & set(r["resources"]) and not r.get("resourceNames"):
            say(path, f"not by name: {r}")


def workload(path, d):
    pod = d["spec"]["template"]["spec"]
    if not pod["securityContext"].get("runAsNonRoot") or pod["securityContext"]["seccompProfile"] != {"type": "RuntimeDefault"}:
        say(path, "the pod is not restricted")
    for c in pod["containers"]:
        if any(c["securityContext"].get(k) != v for k, v in RESTRICTED.items()):
            say(path, f"container {c['name']} is not restricted")
        if "limits" not in c.get("resources", {}):
            say(path, f"container {c['name']} has no memory limit")


def webhook(path, d):
    for w in d["webhooks"]:
        if (w["failurePolicy"], w["sideEffects"], w["reinvocationPolicy"], w["timeoutSeconds"]) != ("Ignore", "None", "IfNeeded", 5):
            say(path, f"{w['name']}: policies")
        if "caBundle" in w["clientConfig"]:
            say(path, f"{w['name']}: caBundle is the operator's")
        if [r["operations"] for r in w["rules"]] != [["CREATE"]] or [r["resources"] for r in w["rules"]] != [["pods"]]:
            say(path, f"{w['name']}: more than the creation of pods")
        away = next(e for e in w["namespaceSelector"]["matchExpressions"] if e["key"] == "kubernetes.io/metadata.name")
        if set(away["values"]) != {"kube-system", "kube-node-lease", "sennit-system"}:
            say(path, f"{w['name']}: namespaces that are left alone")


CHECKS = {"CustomResourceDefinition": crd, "ClusterRole": role, "Role": role, "Deployment": workload,
          "MutatingWebhookConfiguration": webhook}


def main():
    for folder in ("crds", "manifests"):
        folder = pathlib.Path(folder)
        listed = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
        for path in sorted(folder.glob("*.yaml")):
            if path.name == "kustomization.yaml":
                continue
            if path.name not in listed:
                say(path, "is not in kustomization.yaml")
            for d in load(path):
                if "app.kubernetes.io/part-of" not in d["metadata"].get("labels", {}):
                    say(path, f"{d['kind']} {d['metadata']['name']} has no app.kubernetes.io labels")
                if d["apiVersion"].startswith("sennit.dev/"):
                    say(path, "a custom resource in the install set")
                CHECKS.get(d["kind"], lambda *_: None)(path, d)
    samples()
    for f in findings:
        print(f)
    return bool(findings)


sys.exit(main())
