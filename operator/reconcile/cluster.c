/* SPDX-License-Identifier: Apache-2.0 */
/* Per namespace:
 *
 *   UNKNOWN --GET each shard up to the first that is not there--> OWNED --document differs-->
 *     apply shard by shard, delete those past the last from behind --> bump pods twice
 *   UNKNOWN --GET: foreign--> FOREIGN (left alone, reported, looked at again after a while)
 *
 * Our shards have no gap: they are made in order and deleted from the last. So what lies behind the
 * first that is not there is not ours, and is not touched. */
#include "operator/reconcile/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/list.h"
#include "base/log.h"
#include "base/map.h"
#include "base/metrics.h"
#include "kube/backoff.h"
#include "operator/source/kube.h"
#include "operator/translate/translate.h"

#define QUIET_MS 100
#define LATEST_MS 1000
#define BUMP_FIRST_MS 150
#define BUMP_SECOND_MS 1350 /* after the first: 1.5 s after the write */
#define BUMPS_PER_STEP 10
#define STEP_MS 100
#define FOREIGN_MS 60000
#define MANAGED "app.kubernetes.io/managed-by"

enum ownership { UNKNOWN, OWNED, FOREIGN };

struct place { /* a namespace */
	struct sn_cluster_reconciler *r;
	char *name;
	enum ownership owner;
	struct sn_document doc; /* being written or written */
	bool has_doc;
	char written[SN_HASH_HEX]; /* revision that is in the cluster */
	size_t n_written;	   /* shards of ours there */
	size_t n_usable;	   /* the shard of this number is foreign; SN_SHARDS_MAX: none is */
	char seen[SN_SHARDS_MAX][SN_HASH_HEX]; /* what the last look found */
	bool looked;			       /* and nobody has compared it yet */
	bool searched; /* for what an earlier operator has left; never meshed since */
	size_t next_shard;
	char held[256]; /* why the last document is not written; "" */
	struct sn_kube_call *call;
	struct sn_timer retry, bump;
	unsigned failures;
	bool dirty; /* changed while a call is under way */
	int bumps_left;
	char bump_value[SN_HASH_HEX + 4];
	bool deleting;
};

struct bump {
	struct sn_cluster_reconciler *r;
	struct sn_list link;
	char *path, *body;
};

struct sn_cluster_reconciler {
	struct sn_loop *loop;
	struct sn_kube *k;
	const struct sn_index *idx;
	struct sn_map places;
	struct sn_timer quiet, step, resync;
	uint64_t resync_ms;
	uint64_t first_kick_ms;
	struct sn_list bumps;
	struct sn_rng rng;
	sn_cluster_held_fn held_changed;
	void *arg;
	size_t n_held;
	bool searched_all; /* every namespace has a place since the first pass */
	uint64_t n_runs, n_writes, n_errors, n_bumps, n_foreign, n_adds, n_retries, n_queued;
};

static void work(struct place *p);

bool sn_pod_is_meshed(const struct sn_object *pod)
{
	const char *phase = sn_val_str(sn_val_get(pod->val, "phase"), "");

	return sn_val_get(sn_val_get(pod->val, "annotations"), "sennit.dev/proxy-config") &&
	       strcmp(phase, "Succeeded") != 0 && strcmp(phase, "Failed") != 0;
}

/* The namespace, if it is there and not about to go with all that is in it. */
static const struct sn_object *namespace_of(const struct sn_index *idx, const char *ns)
{
	const struct sn_object *o = sn_index_find(idx, SN_KIND_NAMESPACE, "", ns);

	return o && !sn_val_get(o->val, "deletionTimestamp") ? o : NULL;
}

static bool namespace_is_meshed(const struct sn_index *idx, const char *ns)
{
	const struct sn_object *o = namespace_of(idx, ns);
	size_t i;

	if (!o)
		return false;
	if (strcmp(sn_val_str(sn_val_get(sn_val_get(o->val, "labels"), "sennit.dev/inject"), ""),
		   "enabled") == 0)
		return true;
	for (i = 0; i < sn_index_count(idx, SN_KIND_POD); i++) {
		const struct sn_object *pod = sn_index_at(idx, SN_KIND_POD, i);

		if (strcmp(pod->ns, ns) == 0 && sn_pod_is_meshed(pod))
			return true;
	}
	return false;
}

/* --- pods
 * ----------------------------------------------------------------------------------------- */

static void free_bump(struct bump *b)
{
	b->r->n_queued--;
	sn_list_del(&b->link);
	free(b->path);
	free(b->body);
	free(b);
}

static void bump_done(void *arg, const struct sn_kube_answer *a)
{
	struct sn_cluster_reconciler *r = arg;

	/* 404 or 409: that pod is gone. Others: the kubelet looks by itself within a minute. */
	if (a->code && a->status != 404 && a->status != 409)
		r->n_errors++;
}

static void on_step(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_cluster_reconciler *r = sn_container_of(t, struct sn_cluster_reconciler, step);
	struct sn_list *at;
	int i;

	(void)now_ms;
	for (i = 0; i < BUMPS_PER_STEP && (at = sn_list_first(&r->bumps)); i++) {
		struct bump *b = sn_list_entry(at, struct bump, link);
		struct sn_kube_request q = {.method = "PATCH",
					    .path = b->path,
					    .content_type = "application/merge-patch+json",
					    .body = sn_slice_cstr(b->body),
					    .done = bump_done,
					    .arg = r};

		sn_kube_send(r->k, &q);
		r->n_bumps++;
		free_bump(b);
	}
	if (!sn_list_empty(&r->bumps))
		sn_loop_timer(r->loop, &r->step, STEP_MS);
}

static void queue_bump(struct sn_cluster_reconciler *r, const struct sn_object *pod,
		       const char *value)
{
	struct bump *b = calloc(1, sizeof(*b));
	struct sn_buf path, body;
	struct sn_jsonw w;

	if (!b)
		return;
	sn_buf_init(&path, 4096);
	sn_buf_init(&body, 4096);
	sn_kube_source_path(SN_KIND_POD, pod->ns, pod->name, "?fieldManager=sennit.dev%2Foperator",
			    &path);
	sn_jsonw_init(&w, &body);
	sn_jsonw_map(&w);
	sn_jsonw_key(&w, "metadata");
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "uid", pod->uid); /* another pod of the same name: 409 */
	sn_jsonw_key(&w, "annotations");
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "sennit.dev/routes-revision", value);
	sn_jsonw_map_end(&w);
	sn_jsonw_map_end(&w);
	sn_jsonw_map_end(&w);
	b->path = strdup(sn_buf_cstr(&path));
	b->body = strdup(sn_buf_cstr(&body));
	b->r = r;
	r->n_queued++;
	r->n_adds++;
	sn_list_push_back(&r->bumps, &b->link);
	if (!b->path || !b->body)
		free_bump(b);
	sn_buf_done(&path);
	sn_buf_done(&body);
}

static void on_bump(struct sn_timer *t, uint64_t now_ms)
{
	struct place *p = sn_container_of(t, struct place, bump);
	struct sn_cluster_reconciler *r = p->r;
	size_t i;

	(void)now_ms;
	for (i = 0; i < sn_index_count(r->idx, SN_KIND_POD); i++) {
		const struct sn_object *pod = sn_index_at(r->idx, SN_KIND_POD, i);

		if (strcmp(pod->ns, p->name) == 0 && sn_pod_is_meshed(pod))
			queue_bump(r, pod, p->bump_value);
	}
	if (!sn_timer_is_set(&r->step))
		sn_loop_timer(r->loop, &r->step, 0);
	if (--p->bumps_left > 0) {
		strncat(p->bump_value, ".2", 3);
		sn_loop_timer(r->loop, &p->bump, BUMP_SECOND_MS);
	}
}

/* --- ConfigMaps
 * ----------------------------------------------------------------------------------- */

static void map_name(size_t shard, char dst[40])
{
	if (shard == 0)
		snprintf(dst, 40, "sennit-routes");
	else
		snprintf(dst, 40, "sennit-routes-%zu", shard);
}

static void map_path(const struct place *p, size_t shard, const char *query, struct sn_buf *out)
{
	char name[40];

	map_name(shard, name);
	sn_buf_puts(out, "/api/v1/namespaces/");
	sn_kube_escape(out, p->name);
	sn_buf_printf(out, "/configmaps/%s%s", name, query);
}

static void map_body(const struct place *p, size_t shard, struct sn_buf *out)
{
	char name[40], key[40];
	struct sn_jsonw w;

	map_name(shard, name);
	snprintf(key, sizeof(key), "routes-%zu.yaml", shard);
	sn_jsonw_init(&w, out);
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "apiVersion", "v1");
	sn_jsonw_kstr(&w, "kind", "ConfigMap");
	sn_jsonw_key(&w, "metadata");
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "name", name);
	sn_jsonw_kstr(&w, "namespace", p->name);
	sn_jsonw_key(&w, "labels");
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "app.kubernetes.io/name", "sennit");
	sn_jsonw_kstr(&w, MANAGED, "sennit-operator");
	sn_jsonw_kstr(&w, "app.kubernetes.io/part-of", "sennit");
	sn_jsonw_map_end(&w);
	sn_jsonw_map_end(&w);
	sn_jsonw_key(&w, "data");
	sn_jsonw_map(&w);
	sn_jsonw_key(&w, key);
	sn_jsonw_slice(&w, sn_buf_slice(&p->doc.shards[shard]));
	sn_jsonw_map_end(&w);
	sn_jsonw_map_end(&w);
}

/* Says why a namespace's document is not in the cluster ("": it is, or nobody knows yet). */
static void hold(struct place *p, const char *why)
{
	if (strcmp(p->held, why) == 0)
		return;
	p->r->n_held += (why[0] != 0) - (size_t)(p->held[0] != 0);
	snprintf(p->held, sizeof(p->held), "%s", why);
	p->r->held_changed(p->r->arg);
}

static void failed(struct place *p, const char *what, const struct sn_kube_answer *a)
{
	int said = a->body.n < 200 ? (int)a->body.n : 200;
	char why[256];
	uint64_t ms;

	p->failures++;
	p->r->n_errors++;
	p->r->n_retries++;
	p->next_shard = 0;
	ms = sn_backoff_ms(p->failures, a->retry_after_s * 1000u, &p->r->rng);
	sn_warn("reconcile", "namespace %s: %s: %u %s %.*s; again in %llu ms", p->name, what,
		a->status, a->error, said, a->body.n ? a->body.p : "", (unsigned long long)ms);
	if (a->code == -SN_ECONFLICT)
		p->owner = UNKNOWN; /* read again; never by force */
	if (a->code == -SN_EPERMANENT || (a->code == -SN_ECONFLICT && p->failures > 3)) {
		snprintf(why, sizeof(why), "%s: the API server says %u", what, a->status);
		hold(p, why);
	}
	sn_loop_timer(p->r->loop, &p->retry, ms);
}

static void send(struct place *p, const char *method, size_t shard, bool with_body,
		 void (*done)(void *, const struct sn_kube_answer *))
{
	struct sn_kube_request q = {.method = method, .done = done, .arg = p};
	struct sn_buf path, body;

	sn_buf_init(&path, 4096);
	sn_buf_init(&body, 4u << 20);
	map_path(p, shard, with_body ? "?fieldManager=sennit.dev%2Foperator&force=false" : "",
		 &path);
	if (with_body) {
		map_body(p, shard, &body);
		q.content_type = "application/apply-patch+yaml";
		q.body = sn_buf_slice(&body);
	}
	q.path = sn_buf_cstr(&path);
	p->call = sn_kube_send(p->r->k, &q);
	if (!p->call)
		sn_loop_timer(p->r->loop, &p->retry, 1000);
	sn_buf_done(&path);
	sn_buf_done(&body);
}

static void write_next(struct place *p);

static void written(struct place *p)
{
	sn_info("reconcile", "namespace %s: revision %s in %zu ConfigMap(s)", p->name,
		p->doc.revision, p->doc.n_shards);
	memcpy(p->written, p->doc.revision, sizeof(p->written));
	p->failures = 0;
	hold(p, "");
	p->r->n_writes++;
	snprintf(p->bump_value, sizeof(p->bump_value), "%s", p->written);
	p->bumps_left = 2;
	sn_loop_timer(p->r->loop, &p->bump, BUMP_FIRST_MS);
	if (p->dirty)
		work(p);
}

static void on_written(void *arg, const struct sn_kube_answer *a)
{
	struct place *p = arg;

	p->call = NULL;
	if (a->code) {
		failed(p, "writing a ConfigMap", a);
		return;
	}
	if (++p->next_shard > p->n_written)
		p->n_written = p->next_shard;
	write_next(p);
}

static void on_trimmed(void *arg, const struct sn_kube_answer *a)
{
	struct place *p = arg;

	p->call = NULL;
	if (a->code && a->status != 404) {
		failed(p, "deleting a ConfigMap", a);
		return;
	}
	p->n_written--;
	write_next(p);
}

/* Shards first, then those that are too many go, from the last. */
static void write_next(struct place *p)
{
	if (p->next_shard < p->doc.n_shards)
		send(p, "PATCH", p->next_shard, true, on_written);
	else if (p->n_written > p->doc.n_shards)
		send(p, "DELETE", p->n_written - 1, false, on_trimmed);
	else
		written(p);
}

static void on_looked(void *arg, const struct sn_kube_answer *a);

/* All that is there of ours is known. */
static void looked(struct place *p)
{
	p->n_written = p->next_shard;
	p->looked = true;
	p->searched = true;
	p->owner = OWNED;
	p->failures = 0;
	work(p);
}

/* Takes over what a shard holds; false: it is not ours. */
static bool take_shard(struct place *p, struct sn_slice json)
{
	struct sn_arena arena;
	struct sn_val *v = NULL;
	struct sn_slice text;
	char key[40];
	bool ours;

	sn_arena_init(&arena, 65536, 64u << 20);
	if (sn_json_parse(&arena, json.p, json.n, 0, &v, NULL))
		v = NULL;
	snprintf(key, sizeof(key), "routes-%zu.yaml", p->next_shard);
	text = sn_val_slice(sn_val_get(sn_val_get(v, "data"), key));
	ours = strcmp(sn_val_str(sn_val_get(sn_val_path(v, "metadata.labels"), MANAGED), ""),
		      "sennit-operator") == 0;
	sn_hash_content(text.p ? text.p : "", text.n, p->seen[p->next_shard]);
	sn_arena_done(&arena);
	return ours;
}

static void foreign(struct place *p, size_t shard)
{
	char name[40], why[256];

	map_name(shard, name);
	snprintf(why, sizeof(why),
		 "a ConfigMap %s is there that is not ours; it is left alone. fix: rename it",
		 name);
	p->r->n_foreign++;
	sn_error("reconcile", "namespace %s: %s", p->name, why);
	hold(p, why);
	sn_loop_timer(p->r->loop, &p->retry, FOREIGN_MS);
}

static void on_looked(void *arg, const struct sn_kube_answer *a)
{
	struct place *p = arg;

	p->call = NULL;
	if (a->status == 404) {
		looked(p);
	} else if (a->code) {
		failed(p, "reading a ConfigMap", a);
	} else if (take_shard(p, a->body)) {
		if (++p->next_shard < SN_SHARDS_MAX)
			send(p, "GET", p->next_shard, false, on_looked);
		else
			looked(p);
	} else if (p->next_shard > 0) {
		p->n_usable = p->next_shard;
		looked(p);
	} else if (namespace_is_meshed(p->r->idx, p->name)) {
		p->owner = FOREIGN;
		foreign(p, 0);
	} else {
		p->searched = true; /* not ours, and nobody here needs the name */
	}
}

static void on_deleted(void *arg, const struct sn_kube_answer *a)
{
	struct place *p = arg;

	p->call = NULL;
	if (a->code && a->status != 404) {
		failed(p, "deleting a ConfigMap", a);
		return;
	}
	if (--p->n_written > 0) {
		send(p, "DELETE", p->n_written - 1, false, on_deleted);
		return;
	}
	sn_info("reconcile", "namespace %s: no meshed pod is left, its routes are deleted",
		p->name);
	p->written[0] = 0;
	p->deleting = false;
	p->owner = UNKNOWN;
	if (p->dirty)
		work(p);
}

/* After a look: is the document that should be there there already (after a restart it mostly is),
 * or has somebody taken or changed it? */
static void compare(struct place *p, const struct sn_document *doc)
{
	bool same = p->n_written == doc->n_shards;
	char hash[SN_HASH_HEX];
	size_t i;

	p->looked = false;
	for (i = 0; i < doc->n_shards && same; i++) {
		struct sn_slice text = sn_buf_slice(&doc->shards[i]);

		sn_hash_content(text.p, text.n, hash);
		same = strcmp(hash, p->seen[i]) == 0;
	}
	memcpy(p->written, same ? doc->revision : "", same ? sizeof(p->written) : 1);
}

static void look(struct place *p)
{
	if (sn_timer_is_set(&p->retry))
		return;
	p->n_usable = SN_SHARDS_MAX;
	p->next_shard = 0;
	send(p, "GET", 0, false, on_looked);
}

/* Without meshed pods nothing of ours stays, be it an earlier operator's. */
static void clear(struct place *p)
{
	hold(p, "");
	if (!namespace_of(p->r->idx, p->name))
		return;
	if (p->owner == OWNED && p->n_written > 0) {
		p->deleting = true;
		send(p, "DELETE", p->n_written - 1, false, on_deleted);
	} else if (p->owner == UNKNOWN && !p->searched) {
		look(p);
	} else {
		p->owner = UNKNOWN;
	}
}

/* Looks at one namespace and starts what is due. */
static void work(struct place *p)
{
	struct sn_err err = {0};
	struct sn_document doc;

	if (p->call || p->deleting) {
		p->dirty = true;
		return;
	}
	p->dirty = false;
	p->next_shard = 0;
	if (!namespace_is_meshed(p->r->idx, p->name)) {
		clear(p);
		return;
	}
	if (p->owner != OWNED) {
		look(p);
		return;
	}
	if (sn_translate(p->r->idx, p->name, &doc, &err)) {
		sn_error("reconcile", "namespace %s: %s; the last good document stays", p->name,
			 err.msg);
		p->r->n_errors++;
		hold(p, err.msg);
		return;
	}
	if (doc.n_shards > p->n_usable) {
		foreign(p, p->n_usable);
		sn_document_done(&doc);
		p->owner = UNKNOWN;
		return;
	}
	if (p->looked)
		compare(p, &doc);
	if (strcmp(doc.revision, p->written) == 0 && doc.n_shards == p->n_written) {
		sn_document_done(&doc);
		hold(p, "");
		return;
	}
	if (p->has_doc)
		sn_document_done(&p->doc);
	p->doc = doc;
	p->has_doc = true;
	write_next(p);
}

static void on_retry(struct sn_timer *t, uint64_t now_ms)
{
	struct place *p = sn_container_of(t, struct place, retry);

	(void)now_ms;
	p->deleting = false;
	if (p->owner == FOREIGN)
		p->owner = UNKNOWN;
	work(p);
}

static void free_place(void *arg)
{
	struct place *p = arg;

	if (p->call)
		sn_kube_cancel(p->call);
	p->r->n_held -= p->held[0] != 0;
	sn_loop_timer_cancel(p->r->loop, &p->retry);
	sn_loop_timer_cancel(p->r->loop, &p->bump);
	if (p->has_doc)
		sn_document_done(&p->doc);
	free(p->name);
	free(p);
}

static struct place *place_of(struct sn_cluster_reconciler *r, const char *ns)
{
	struct place *p = sn_map_find(&r->places, sn_slice_cstr(ns));

	if (p)
		return p;
	p = calloc(1, sizeof(*p));
	if (!p)
		return NULL;
	p->r = r;
	p->name = strdup(ns);
	sn_timer_init(&p->retry, on_retry);
	sn_timer_init(&p->bump, on_bump);
	if (!p->name || sn_map_put(&r->places, sn_slice_cstr(ns), p, NULL)) {
		free_place(p);
		return NULL;
	}
	return p;
}

static void on_quiet(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_cluster_reconciler *r = sn_container_of(t, struct sn_cluster_reconciler, quiet);
	struct sn_map_entry *e, *next;
	size_t i;

	(void)now_ms;
	r->first_kick_ms = 0;
	r->n_runs++;
	for (i = 0; i < sn_index_count(r->idx, SN_KIND_NAMESPACE); i++) {
		const char *ns = sn_index_at(r->idx, SN_KIND_NAMESPACE, i)->name;

		if (!r->searched_all || namespace_is_meshed(r->idx, ns))
			place_of(r, ns);
	}
	r->searched_all = true;
	for (e = sn_map_first(&r->places); e; e = next) {
		struct place *p = sn_map_value(e);

		next = sn_map_next(e);
		if (!namespace_of(r->idx, p->name)) {
			sn_map_take(&r->places, sn_slice_cstr(p->name));
			free_place(p); /* its ConfigMaps went with it */
		} else if (!sn_timer_is_set(&p->retry)) {
			work(p);
		}
	}
}

/* Nobody watches ConfigMaps (that would need the right to list all of them): each is looked at
 * again now and then. */
static void on_resync(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_cluster_reconciler *r = sn_container_of(t, struct sn_cluster_reconciler, resync);
	struct sn_map_entry *e;

	(void)now_ms;
	for (e = sn_map_first(&r->places); e; e = sn_map_next(e)) {
		struct place *p = sn_map_value(e);

		if (p->owner != OWNED || p->call || p->deleting || sn_timer_is_set(&p->retry))
			continue;
		p->owner = UNKNOWN;
		work(p);
	}
	sn_loop_timer(r->loop, &r->resync, r->resync_ms);
}

void sn_cluster_reconciler_kick(struct sn_cluster_reconciler *r)
{
	uint64_t now = sn_loop_now_ms(r->loop), wait = QUIET_MS;

	if (r->first_kick_ms == 0)
		r->first_kick_ms = now;
	if (now + wait > r->first_kick_ms + LATEST_MS)
		wait = r->first_kick_ms + LATEST_MS > now ? r->first_kick_ms + LATEST_MS - now : 0;
	sn_loop_timer(r->loop, &r->quiet, wait);
}

struct sn_cluster_reconciler *sn_cluster_reconciler_new(struct sn_loop *l, struct sn_kube *k,
							const struct sn_index *idx,
							uint64_t resync_ms,
							sn_cluster_held_fn held_changed, void *arg)
{
	struct sn_cluster_reconciler *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->loop = l;
	r->k = k;
	r->idx = idx;
	sn_map_init(&r->places);
	sn_list_init(&r->bumps);
	sn_rng_seed(&r->rng, sn_rng_entropy());
	sn_timer_init(&r->quiet, on_quiet);
	sn_timer_init(&r->step, on_step);
	sn_timer_init(&r->resync, on_resync);
	r->resync_ms = resync_ms;
	r->held_changed = held_changed;
	r->arg = arg;
	sn_loop_timer(l, &r->resync, resync_ms);
	return r;
}

void sn_cluster_reconciler_free(struct sn_cluster_reconciler *r)
{
	struct sn_list *at;

	if (!r)
		return;
	sn_map_done(&r->places, free_place);
	while ((at = sn_list_first(&r->bumps)))
		free_bump(sn_list_entry(at, struct bump, link));
	sn_loop_timer_cancel(r->loop, &r->quiet);
	sn_loop_timer_cancel(r->loop, &r->step);
	sn_loop_timer_cancel(r->loop, &r->resync);
	free(r);
}

const char *sn_cluster_reconciler_held(const struct sn_cluster_reconciler *r, const char *ns)
{
	const struct place *p = r->n_held ? sn_map_find(&r->places, sn_slice_cstr(ns)) : NULL;

	return p && p->held[0] ? p->held : NULL;
}

bool sn_cluster_reconciler_holds(const struct sn_cluster_reconciler *r,
				 const struct sn_object *route, char *dst, size_t cap)
{
	const struct sn_map_entry *e;

	if (r->n_held == 0)
		return false;
	for (e = sn_map_first(&r->places); e; e = sn_map_next(e)) {
		const struct place *p = sn_map_value(e);

		if (!p->held[0] || !sn_translate_visible(r->idx, route, p->name))
			continue;
		snprintf(dst, cap, "clients in namespace %s keep the last good routes: %s", p->name,
			 p->held);
		return true;
	}
	return false;
}

struct sn_reconcile_counts sn_cluster_reconciler_counts(const struct sn_cluster_reconciler *r)
{
	return (struct sn_reconcile_counts){r->n_runs, r->n_errors, r->n_adds, r->n_retries,
					    r->n_queued};
}

void sn_cluster_reconciler_metrics(const struct sn_cluster_reconciler *r, struct sn_buf *out)
{
	sn_metrics_family(out, "sennit_routes_written_total", "counter",
			  "Routes documents written.");
	sn_metrics_u64(out, "sennit_routes_written_total", NULL, 0, r->n_writes);
	sn_metrics_family(out, "sennit_pod_bumps_total", "counter",
			  "Pods told to look at their routes.");
	sn_metrics_u64(out, "sennit_pod_bumps_total", NULL, 0, r->n_bumps);
	sn_metrics_family(out, "sennit_foreign_configmaps_total", "counter",
			  "Times that a ConfigMap of our name was not ours.");
	sn_metrics_u64(out, "sennit_foreign_configmaps_total", NULL, 0, r->n_foreign);
}
