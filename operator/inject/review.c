/* SPDX-License-Identifier: Apache-2.0 */
/* The envelope: admission.k8s.io/v1 AdmissionReview. */
#include <string.h>

#include "base/base64.h"
#include "base/json.h"
#include "operator/inject/inject_int.h"

/* A pod is at most 1.5 MiB in the API; a tree of small values takes about 40 times its text. */
#define TREE_MAX (64u << 20)

static unsigned bad(struct sn_buf *out, enum sn_inject_result *ret, unsigned status,
		    const char *why)
{
	*ret = SN_INJECT_BAD_REVIEW;
	sn_buf_printf(out, "%s\n", why);
	return status;
}

static bool is_new_pod(const struct sn_val *req)
{
	const struct sn_val *kind = sn_val_get(req, "kind");

	return strcmp(sn_val_str(sn_val_get(req, "operation"), ""), "CREATE") == 0 &&
	       strcmp(sn_val_str(sn_val_get(kind, "kind"), ""), "Pod") == 0 &&
	       sn_val_str(sn_val_get(kind, "group"), "")[0] == 0 &&
	       sn_val_str(sn_val_get(req, "subResource"), "")[0] == 0;
}

/* Things that work less well than their owner may think. */
static void look_at_containers(const struct sn_val *pod, struct sn_inject_warnings *w)
{
	const struct sn_val *list = sn_val_path(pod, "spec.containers");
	int64_t pod_uid = sn_val_int(sn_val_path(pod, "spec.securityContext.runAsUser"), -1);
	size_t i, k;

	for (i = 0; i < sn_val_len(list); i++) {
		const struct sn_val *c = sn_val_at(list, i), *ports = sn_val_get(c, "ports");
		const char *name = sn_val_str(sn_val_get(c, "name"), "");

		if (sn_val_int(sn_val_path(c, "securityContext.runAsUser"), pod_uid) == 2102)
			sn_inject_warn(w,
				       "container %.63s runs as user 2102, the proxy's: its "
				       "connections are not redirected",
				       name);
		for (k = 0; k < sn_val_len(ports); k++) {
			int64_t p = sn_val_int(sn_val_get(sn_val_at(ports, k), "containerPort"), 0);

			if (p == 4140 || p == 4143 || p == 4191)
				sn_inject_warn(
					w,
					"container %.63s has port %d, which the proxy listens on",
					name, (int)p);
		}
	}
}

static void write_patch(struct sn_jsonw *w, const struct sn_inject_env *env,
			const struct sn_val *pod, struct sn_inject_warnings *warnings)
{
	struct sn_inject_settings s;
	struct sn_buf patch, text;

	sn_inject_settings_read(sn_val_path(pod, "metadata.annotations"), env->proxy_image, &s,
				warnings);
	look_at_containers(pod, warnings);
	sn_buf_init(&patch, 1u << 20);
	sn_buf_init(&text, 2u << 20);
	sn_inject_patch(env, &s, pod, &patch);
	if (patch.failed || sn_base64_encode(sn_buf_slice(&patch), &text))
		w->failed = true;
	sn_jsonw_kstr(w, "patchType", "JSONPatch");
	sn_jsonw_key(w, "patch");
	sn_jsonw_slice(w, sn_buf_slice(&text));
	sn_buf_done(&patch);
	sn_buf_done(&text);
}

static void write_refusal(struct sn_jsonw *w, const char *message)
{
	sn_jsonw_key(w, "status");
	sn_jsonw_map(w);
	sn_jsonw_kint(w, "code", 422);
	sn_jsonw_kstr(w, "reason", "Invalid");
	sn_jsonw_kstr(w, "message", message);
	sn_jsonw_map_end(w);
}

static void write_audit(struct sn_jsonw *w, enum sn_inject_result r)
{
	sn_jsonw_key(w, "auditAnnotations");
	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "inject", sn_inject_result_name(r));
	sn_jsonw_map_end(w);
}

static void write_warnings(struct sn_jsonw *w, const struct sn_inject_warnings *warnings)
{
	size_t i;

	if (warnings->n == 0)
		return;
	sn_jsonw_key(w, "warnings");
	sn_jsonw_list(w);
	for (i = 0; i < warnings->n; i++)
		sn_jsonw_str(w, warnings->text[i]);
	sn_jsonw_list_end(w);
}

static enum sn_inject_result write_response(struct sn_jsonw *w, const struct sn_inject_env *env,
					    const struct sn_val *req, struct sn_arena *arena)
{
	struct sn_inject_warnings warnings = {.arena = arena};
	const struct sn_val *pod = sn_val_get(req, "object");
	const char *message = "";
	enum sn_inject_result r = SN_INJECT_NOT_A_POD;

	if (is_new_pod(req) && pod && pod->type == SN_VAL_MAP)
		r = sn_inject_decide(env, pod, sn_val_str(sn_val_get(req, "namespace"), ""), arena,
				     &message);
	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "uid", sn_val_str(sn_val_get(req, "uid"), ""));
	sn_jsonw_kbool(w, "allowed", r != SN_INJECT_NAME_TAKEN);
	if (r == SN_INJECTED)
		write_patch(w, env, pod, &warnings);
	else if (r == SN_INJECT_NAME_TAKEN)
		write_refusal(w, message ? message : "");
	else if (r == SN_INJECT_POD_SECURITY)
		sn_inject_warn(&warnings, "%s", message ? message : "");
	write_audit(w, r);
	write_warnings(w, &warnings);
	sn_jsonw_map_end(w);
	return r;
}

static unsigned review(const struct sn_inject_env *env, const struct sn_val *v,
		       struct sn_arena *arena, struct sn_buf *out, enum sn_inject_result *ret)
{
	const struct sn_val *req = sn_val_get(v, "request");
	size_t begin = sn_buf_len(out);
	struct sn_jsonw w;

	if (strcmp(sn_val_str(sn_val_get(v, "kind"), ""), "AdmissionReview") != 0 ||
	    strcmp(sn_val_str(sn_val_get(v, "apiVersion"), ""), "admission.k8s.io/v1") != 0)
		return bad(out, ret, 400, "this is not an admission.k8s.io/v1 AdmissionReview");
	if (!req || req->type != SN_VAL_MAP || sn_val_str(sn_val_get(req, "uid"), "")[0] == 0)
		return bad(out, ret, 400, "request.uid is missing");
	sn_jsonw_init(&w, out);
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "apiVersion", "admission.k8s.io/v1");
	sn_jsonw_kstr(&w, "kind", "AdmissionReview");
	sn_jsonw_key(&w, "response");
	*ret = write_response(&w, env, req, arena);
	sn_jsonw_map_end(&w);
	if (sn_jsonw_end(&w) == 0)
		return 200;
	out->end = out->start + begin;
	return bad(out, ret, 500, "out of memory");
}

unsigned sn_inject_review(const struct sn_inject_env *env, struct sn_slice in, struct sn_buf *out,
			  enum sn_inject_result *ret)
{
	struct sn_err err = {0};
	struct sn_arena arena;
	struct sn_val *v = NULL;
	unsigned status;
	int rc;

	sn_arena_init(&arena, 65536, TREE_MAX);
	rc = sn_json_parse(&arena, in.p, in.n, SN_JSON_REFUSE_DUPLICATES, &v, &err);
	if (rc == -SN_ETOOBIG || rc == -SN_ENOMEM)
		status = bad(out, ret, 413, "the review holds too many values");
	else if (rc)
		status = bad(out, ret, 400, err.msg);
	else
		status = review(env, v, &arena, out, ret);
	sn_arena_done(&arena);
	return status;
}
