/* SPDX-License-Identifier: Apache-2.0 */
/* When statuses and Events are written. What was sent is remembered, so that nothing is sent again
 * before the watch brings it back. */
#include "operator/status/status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "kube/backoff.h"
#include "operator/inject/inject.h"
#include "operator/source/kube.h"
#include "operator/status/events.h"
#include "operator/translate/translate.h"

#define QUIET_MS 100
#define LATEST_MS 1000

/* What one resource may be told about, side by side. */
enum slot { CONDITION, SETTINGS, HELD, REFUSED, SLOTS };
#define TOLD_AT_ONCE 20 /* Events about pods in one pass; the others follow */
#define TELL_MORE_MS 1000
#define REFUSED_OFTEN 3

struct sent { /* about one resource */
	struct sn_status *s;
	char *key;
	char hash[SN_HASH_HEX];		     /* of the conditions last sent */
	char event_hash[SLOTS][SN_HASH_HEX]; /* of what the last Events were about */
	unsigned refused;		     /* the API server's last answer to a status */
	struct sn_kube_call *call;
	unsigned failures;
	uint64_t not_before_ms;
	bool seen;
};

struct sn_status {
	struct sn_loop *loop;
	struct sn_kube *k;
	const struct sn_index *idx;
	struct sn_map sent; /* "kind/ns/name uid" */
	struct sn_timer quiet;
	struct sn_rng rng;
	uint64_t first_kick_ms, n_writes, n_errors, n_sent, n_retries;
	struct sn_events events;
	struct sn_status_held held;
	unsigned told; /* about pods in this pass */
	size_t n_without_proxy;
};

static void on_written(void *arg, const struct sn_kube_answer *a)
{
	struct sent *t = arg;
	struct sn_status *s = t->s;
	uint64_t ms;

	t->call = NULL;
	if (a->code == 0) {
		t->failures = 0;
		t->refused = 0;
		s->n_writes++;
		return;
	}
	t->hash[0] = 0;
	if (a->status == 404)
		return; /* it is gone */
	s->n_errors++;
	s->n_retries++;
	ms = sn_backoff_ms(++t->failures, a->retry_after_s * 1000u, &s->rng);
	t->not_before_ms = sn_loop_now_ms(s->loop) + ms;
	if (a->code == -SN_EPERMANENT || (a->code == -SN_ECONFLICT && t->failures > REFUSED_OFTEN))
		t->refused = a->status;
	sn_warn("status", "%s: %u %s %.*s; again in %llu ms", t->key, a->status, a->error,
		a->body.n < 200 ? (int)a->body.n : 200, a->body.n ? a->body.p : "",
		(unsigned long long)ms);
	sn_loop_timer(s->loop, &s->quiet, ms);
}

/* One Event for each new reason to complain. Returns whether it was new. */
static bool tell(struct sn_status *s, struct sent *t, enum slot slot, const struct sn_object *o,
		 const char *reason, const char *message)
{
	char hash[SN_HASH_HEX];

	sn_event_hash(o, reason, message, hash);
	if (strcmp(hash, t->event_hash[slot]) == 0)
		return false;
	memcpy(t->event_hash[slot], hash, sizeof(hash));
	sn_event_send(&s->events, o, reason, message);
	return true;
}

static void tell_condition(struct sn_status *s, struct sent *t, const struct sn_object *o)
{
	struct sn_condition c[SN_CONDITIONS_MAX];
	size_t i, k, n;

	for (i = 0; i < sn_translate_parents(o); i++) {
		n = sn_translate_conditions(s->idx, o, i, c);
		for (k = 0; k < n; k++)
			if (!c[k].status) {
				tell(s, t, CONDITION, o, c[k].reason, c[k].message);
				return;
			}
	}
	t->event_hash[CONDITION][0] = 0;
}

static void complain(struct sn_status *s, struct sent *t, const struct sn_object *o,
		     const char *held)
{
	char text[200], message[300];

	tell_condition(s, t, o);
	if (sn_translate_ignored(o, text, sizeof(text))) {
		snprintf(message, sizeof(message), "not known to this version, ignored: %s", text);
		tell(s, t, SETTINGS, o, "UnknownField", message);
	} else {
		t->event_hash[SETTINGS][0] = 0;
	}
	if (held)
		tell(s, t, HELD, o, "NotProgrammed", held);
	else
		t->event_hash[HELD][0] = 0;
	if (t->refused) {
		snprintf(message, sizeof(message),
			 "the status cannot be written: the API server says %u", t->refused);
		tell(s, t, REFUSED, o, "StatusNotWritten", message);
	} else {
		t->event_hash[REFUSED][0] = 0;
	}
}

static void free_sent(void *arg)
{
	struct sent *t = arg;

	if (t->call)
		sn_kube_cancel(t->call);
	free(t->key);
	free(t);
}

static struct sent *sent_of(struct sn_status *s, const struct sn_object *o)
{
	char key[800]; /* with the uid: one that is made again starts again */
	struct sent *t;

	snprintf(key, sizeof(key), "%s/%s/%s %s", sn_kind_name(o->kind), o->ns, o->name, o->uid);
	t = sn_map_find(&s->sent, sn_slice_cstr(key));
	if (t)
		return t;
	t = calloc(1, sizeof(*t));
	if (!t)
		return NULL;
	t->s = s;
	t->key = strdup(key);
	if (!t->key || sn_map_put(&s->sent, sn_slice_cstr(key), t, NULL)) {
		free_sent(t);
		return NULL;
	}
	return t;
}

/* The conditions without their times: what makes two statuses the same. */
static void content_hash(struct sn_status *s, const struct sn_object *o, const char *held,
			 char hash[SN_HASH_HEX])
{
	struct sn_buf b;

	sn_buf_init(&b, 0);
	if (sn_status_body(s->idx, o, held, "", &b) >= 0)
		sn_hash_content(sn_buf_slice(&b).p, sn_buf_len(&b), hash);
	sn_buf_done(&b);
}

static void look(struct sn_status *s, const struct sn_object *o)
{
	struct sent *t = sent_of(s, o);
	struct sn_kube_request q = {.method = "PATCH",
				    .content_type = "application/apply-patch+yaml",
				    .done = on_written,
				    .arg = t};
	struct sn_buf body, path;
	char now[32], hash[SN_HASH_HEX] = "", why[256];
	const char *held = NULL;

	if (!t)
		return;
	t->seen = true;
	if (o->kind == SN_KIND_MESHROUTE && s->held.of_route(s->held.arg, o, why, sizeof(why)))
		held = why;
	complain(s, t, o, held);
	if (t->call || sn_loop_now_ms(s->loop) < t->not_before_ms)
		return;
	sn_clock_rfc3339(sn_clock_wall_ms(), 0, now, sizeof(now));
	sn_buf_init(&body, 1u << 20);
	if (sn_status_body(s->idx, o, held, now, &body) == 1) {
		content_hash(s, o, held, hash);
		if (strcmp(hash, t->hash) != 0) {
			memcpy(t->hash, hash, sizeof(hash));
			sn_buf_init(&path, 4096);
			sn_kube_source_path(o->kind, o->ns, o->name,
					    "/status?fieldManager=sennit.dev%2Foperator", &path);
			q.path = sn_buf_cstr(&path);
			q.body = sn_buf_slice(&body);
			t->call = sn_kube_send(s->k, &q);
			s->n_sent++;
			sn_buf_done(&path);
		}
	} else {
		t->hash[0] = 0;
	}
	sn_buf_done(&body);
}

static const char *label(const struct sn_object *o, const char *key)
{
	return sn_val_str(sn_val_get(sn_val_get(o->val, "labels"), key), "");
}

/* A namespace that asks for proxies and forbids them; one whose routes are not written. */
static void look_at_namespace(struct sn_status *s, const struct sn_object *o)
{
	const char *held = s->held.of_namespace(s->held.arg, o->name);
	bool forbids = strcmp(label(o, "sennit.dev/inject"), "enabled") == 0 &&
		       sn_inject_is_locked(sn_val_get(o->val, "labels"));
	struct sent *t = forbids || held ? sent_of(s, o) : NULL;

	if (!t)
		return;
	t->seen = true;
	if (held)
		tell(s, t, HELD, o, "RoutesNotWritten", held);
	if (forbids)
		tell(s, t, CONDITION, o, "InjectionForbidden",
		     "sennit.dev/inject=enabled, and Pod Security of this namespace forbids "
		     "NET_ADMIN: its "
		     "pods run without "
		     "a proxy. Fix: label it pod-security.kubernetes.io/enforce=privileged, or "
		     "take "
		     "the "
		     "inject label away");
}

/* Should this pod have a proxy, and has none? */
static bool slipped_through(const struct sn_status *s, const struct sn_object *o)
{
	const struct sn_object *ns = sn_index_find(s->idx, SN_KIND_NAMESPACE, "", o->ns);
	const struct sn_val *notes = sn_val_get(o->val, "annotations");
	const char *phase = sn_val_str(sn_val_get(o->val, "phase"), "");
	const char *asks = ns ? label(ns, "sennit.dev/inject") : "";

	if (!asks[0])
		asks = label(o, "sennit.dev/inject");
	return ns && strcmp(asks, "enabled") == 0 &&
	       !sn_val_get(notes, "sennit.dev/proxy-config") &&
	       strcmp(label(o, "sennit.dev/inject"), "disabled") != 0 &&
	       strcmp(sn_val_str(sn_val_get(notes, "sennit.dev/inject"), ""), "disabled") != 0 &&
	       !sn_val_get(notes, "kubernetes.io/config.mirror") &&
	       !sn_val_bool(sn_val_get(o->val, "hostNetwork"), false) &&
	       strcmp(sn_val_str(sn_val_get(o->val, "name"), "linux"), "linux") == 0 &&
	       !sn_val_get(o->val, "deletionTimestamp") &&
	       (strcmp(phase, "Running") == 0 || strcmp(phase, "Pending") == 0) &&
	       !sn_inject_is_locked(sn_val_get(ns->val, "labels"));
}

static void look_at_pod(struct sn_status *s, const struct sn_object *o)
{
	bool without = slipped_through(s, o);
	char text[400];
	struct sent *t;

	s->n_without_proxy += without;
	if (!without &&
	    !sn_inject_bad_annotations(sn_val_get(o->val, "annotations"), text, sizeof(text)))
		return;
	t = sent_of(s, o);
	if (!t)
		return;
	t->seen = true;
	if (s->told >= TOLD_AT_ONCE)
		return;
	if (without)
		s->told += tell(
			s, t, CONDITION, o, "NotInjected",
			"this pod has no proxy though it should have one: it is older than the "
			"label, or the injector was away. Fix: restart its workload");
	else
		s->told += tell(s, t, SETTINGS, o, "UnsupportedAnnotation", text);
}

/* Annotations of a Service that a later version will honour, or that are for directories only. */
static void look_at_service(struct sn_status *s, const struct sn_object *o)
{
	const struct sn_val *notes = sn_val_get(o->val, "annotations");
	char text[300];
	struct sent *t;
	size_t i;

	for (i = 0; notes && i < notes->map.n; i++) {
		const char *key = notes->map.members[i].key.p;

		bool later = strncmp(key, "retry.sennit.dev/", 17) == 0 ||
			     strncmp(key, "timeout.sennit.dev/", 19) == 0;

		if (!later && strncmp(key, "sennit.dev/endpoints", 20) != 0)
			continue;
		t = sent_of(s, o);
		if (!t)
			return;
		t->seen = true;
		snprintf(text, sizeof(text), "%.200s: %s; ignored", key,
			 later ? "this version does not have it" : "not for Services of a cluster");
		tell(s, t, SETTINGS, o, "UnsupportedAnnotation", text);
		return;
	}
}

static void look_at_all(struct sn_status *s, enum sn_kind kind,
			void (*at)(struct sn_status *, const struct sn_object *))
{
	size_t i;

	for (i = 0; i < sn_index_count(s->idx, kind); i++)
		at(s, sn_index_at(s->idx, kind, i));
}

static void on_quiet(struct sn_timer *timer, uint64_t now_ms)
{
	struct sn_status *s = sn_container_of(timer, struct sn_status, quiet);
	struct sn_map_entry *e, *next;

	(void)now_ms;
	s->first_kick_ms = 0;
	s->told = 0;
	s->n_without_proxy = 0;
	for (e = sn_map_first(&s->sent); e; e = sn_map_next(e))
		((struct sent *)sn_map_value(e))->seen = false;
	look_at_all(s, SN_KIND_MESHROUTE, look);
	look_at_all(s, SN_KIND_BACKENDPOLICY, look);
	look_at_all(s, SN_KIND_NAMESPACE, look_at_namespace);
	look_at_all(s, SN_KIND_SERVICE, look_at_service);
	look_at_all(s, SN_KIND_POD, look_at_pod);
	if (s->told >= TOLD_AT_ONCE && !sn_timer_is_set(&s->quiet))
		sn_loop_timer(s->loop, &s->quiet, TELL_MORE_MS);
	for (e = sn_map_first(&s->sent); e; e = next) {
		struct sent *t = sn_map_value(e);

		next = sn_map_next(e);
		if (!t->seen) {
			sn_map_take(&s->sent, sn_slice_cstr(t->key));
			free_sent(t);
		}
	}
}

void sn_status_kick(struct sn_status *s)
{
	uint64_t now = sn_loop_now_ms(s->loop), wait = QUIET_MS;

	if (s->first_kick_ms == 0)
		s->first_kick_ms = now;
	if (now + wait > s->first_kick_ms + LATEST_MS)
		wait = s->first_kick_ms + LATEST_MS > now ? s->first_kick_ms + LATEST_MS - now : 0;
	sn_loop_timer(s->loop, &s->quiet, wait);
}

struct sn_status *sn_status_new(struct sn_loop *l, struct sn_kube *k, const struct sn_index *idx,
				const struct sn_status_held *held)
{
	struct sn_status *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	s->loop = l;
	s->k = k;
	s->idx = idx;
	s->events.k = k;
	s->held = *held;
	sn_map_init(&s->sent);
	sn_rng_seed(&s->rng, sn_rng_entropy());
	sn_timer_init(&s->quiet, on_quiet);
	return s;
}

void sn_status_free(struct sn_status *s)
{
	if (!s)
		return;
	sn_map_done(&s->sent, free_sent);
	sn_loop_timer_cancel(s->loop, &s->quiet);
	free(s);
}

struct sn_reconcile_counts sn_status_counts(const struct sn_status *s)
{
	return (struct sn_reconcile_counts){s->n_writes, s->n_errors, s->n_sent, s->n_retries, 0};
}

void sn_status_metrics(const struct sn_status *s, struct sn_buf *out)
{
	sn_metrics_family(out, "sennit_events_total", "counter", "Events written.");
	sn_metrics_u64(out, "sennit_events_total", NULL, 0, s->events.n_sent);
	sn_metrics_family(out, "sennit_pods_without_proxy", "gauge",
			  "Pods that should have a proxy and have none.");
	sn_metrics_u64(out, "sennit_pods_without_proxy", NULL, 0, s->n_without_proxy);
	sn_metrics_family(out, "sennit_event_errors_total", "counter",
			  "Events that were not taken.");
	sn_metrics_u64(out, "sennit_event_errors_total", NULL, 0, s->events.n_errors);
}
