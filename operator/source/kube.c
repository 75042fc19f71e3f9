/* SPDX-License-Identifier: Apache-2.0 */
/* The kinds and where the API serves them. */
#include "operator/source/kube.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"
#include "base/metrics.h"
#include "kube/watch.h"

static const struct {
	const char *base, *plural;
} places[SN_KIND_COUNT] = {
	[SN_KIND_NAMESPACE] = {"/api/v1", "namespaces"},
	[SN_KIND_SERVICE] = {"/api/v1", "services"},
	[SN_KIND_POD] = {"/api/v1", "pods"},
	[SN_KIND_MESHROUTE] = {"/apis/sennit.dev/v1alpha1", "meshroutes"},
	[SN_KIND_BACKENDPOLICY] = {"/apis/sennit.dev/v1alpha1", "backendpolicies"},
	[SN_KIND_MESHCONFIG] = {"/apis/sennit.dev/v1alpha1", "meshconfigs"},
};

struct one {
	struct sn_kube_source *s;
	enum sn_kind kind;
	char path[128];
	struct sn_kube_watch *w;
};

struct sn_kube_source {
	struct sn_index *idx;
	sn_kube_changed_fn changed;
	void *arg;
	struct one kinds[SN_KIND_COUNT];
};

static void list_begin(void *arg)
{
	struct one *o = arg;

	sn_index_mark(o->s->idx, o->kind);
}

static void object(void *arg, const struct sn_val *obj, bool deleted)
{
	struct one *o = arg;
	const struct sn_val *meta = sn_val_get(obj, "metadata");
	int rc;

	if (deleted)
		rc = sn_index_delete(o->s->idx, o->kind,
				     sn_val_str(sn_val_get(meta, "namespace"), ""),
				     sn_val_str(sn_val_get(meta, "name"), ""));
	else
		rc = sn_index_apply(o->s->idx, (int)o->kind, obj);
	if (rc < 0)
		sn_warn("kube", "a %s could not be read: %s", sn_kind_name(o->kind),
			sn_code_name(rc));
	if (rc > 0 && sn_kube_watch_synced(o->w))
		o->s->changed(o->s->arg, o->kind);
}

static void list_end(void *arg)
{
	struct one *o = arg;

	sn_index_sweep(o->s->idx, o->kind);
	sn_debug("kube", "%s: %zu listed", sn_kind_name(o->kind),
		 sn_index_count(o->s->idx, o->kind));
	o->s->changed(o->s->arg, o->kind);
}

static const struct sn_kube_watch_events events = {list_begin, object, list_end};

struct sn_kube_source *sn_kube_source_new(struct sn_loop *l, struct sn_kube *k,
					  struct sn_index *idx, sn_kube_changed_fn changed,
					  void *arg)
{
	struct sn_kube_source *s = calloc(1, sizeof(*s));
	int i;

	if (!s)
		return NULL;
	s->idx = idx;
	s->changed = changed;
	s->arg = arg;
	for (i = 0; i < SN_KIND_COUNT; i++) {
		struct one *o = &s->kinds[i];

		o->s = s;
		o->kind = (enum sn_kind)i;
		snprintf(o->path, sizeof(o->path), "%s/%s", places[i].base, places[i].plural);
		o->w = sn_kube_watch_new(k, l, o->path, places[i].plural, 0, &events, o);
		if (!o->w) {
			sn_kube_source_free(s);
			return NULL;
		}
	}
	return s;
}

void sn_kube_source_free(struct sn_kube_source *s)
{
	int i;

	for (i = 0; s && i < SN_KIND_COUNT; i++)
		sn_kube_watch_free(s->kinds[i].w);
	free(s);
}

const char *sn_kube_source_missing(const struct sn_kube_source *s)
{
	int i;

	for (i = 0; i < SN_KIND_COUNT; i++)
		if (!sn_kube_watch_synced(s->kinds[i].w))
			return places[i].plural;
	return NULL;
}

bool sn_kube_source_synced(const struct sn_kube_source *s)
{
	return !sn_kube_source_missing(s);
}

static void metric(const struct sn_kube_source *s, struct sn_buf *out, const char *name,
		   const char *help, size_t offset)
{
	int i;

	sn_metrics_family(out, name, "counter", help);
	for (i = 0; i < SN_KIND_COUNT; i++) {
		struct sn_metrics_label l = {"kind", sn_kind_name((enum sn_kind)i)};
		const char *n = (const char *)sn_kube_watch_counters(s->kinds[i].w);

		sn_metrics_u64(out, name, &l, 1, *(const uint64_t *)(const void *)(n + offset));
	}
}

void sn_kube_source_metrics(const struct sn_kube_source *s, struct sn_buf *out)
{
	metric(s, out, "sennit_kube_lists_total", "Lists, pages counted.",
	       offsetof(struct sn_kube_watch_counters, lists));
	metric(s, out, "sennit_kube_watches_total", "Watches opened.",
	       offsetof(struct sn_kube_watch_counters, watches));
	metric(s, out, "sennit_kube_events_total", "Watch events.",
	       offsetof(struct sn_kube_watch_counters, events));
	metric(s, out, "sennit_kube_unknown_events_total", "Watch events of unknown type, skipped.",
	       offsetof(struct sn_kube_watch_counters, unknown));
	metric(s, out, "sennit_kube_relists_total", "Lists made again because a watch was too old.",
	       offsetof(struct sn_kube_watch_counters, gone));
	metric(s, out, "sennit_kube_failures_total", "Lists and watches that failed.",
	       offsetof(struct sn_kube_watch_counters, failures));
	metric(s, out, "sennit_kube_stalled_total", "Watches given up for silence.",
	       offsetof(struct sn_kube_watch_counters, stalled));
}

void sn_kube_source_path(enum sn_kind kind, const char *ns, const char *name, const char *suffix,
			 struct sn_buf *out)
{
	sn_buf_puts(out, places[kind].base);
	if (ns && ns[0]) {
		sn_buf_puts(out, "/namespaces/");
		sn_kube_escape(out, ns);
	}
	sn_buf_printf(out, "/%s/", places[kind].plural);
	sn_kube_escape(out, name);
	sn_buf_puts(out, suffix ? suffix : "");
}
