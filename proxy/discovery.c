/* SPDX-License-Identifier: Apache-2.0 */
/* One watcher for each service whose endpoints are to be discovered. Whatever the source, a report
 * goes through on_report(): what it changes, when to ask again (mesh/refresh), counters and logs.
 * An error never takes endpoints away; that there are none is believed when it has been said often
 * enough; a set that has become smaller is used at once. */
#include "proxy/discovery.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "mesh/refresh.h"
#include "proxy/source.h"
#include "proxy/watch.h"

enum { APPLIED, UNCHANGED, FAILED, EMPTY, N_RESULTS };

struct sn_discovery {
	struct sn_loop *loop;
	sn_discovery_cb cb;
	void *arg;
	struct sn_map watchers;	      /* service -> struct watcher */
	struct sn_watch *files;	      /* made with the first file */
	struct sn_resolver *resolver; /* made with the first name */
	char *servers;		      /* that it asks; NULL: resolv.conf's */
	uint64_t timeout_ms;
	struct sn_rng rng;
	unsigned pass; /* of adoption */
};

struct watcher {
	struct sn_discovery *d;
	char *service, *spec; /* where its endpoints are found, as text */
	const char *file;     /* in spec; NULL: by DNS */
	struct sn_source *source;
	struct sn_refresh refresh;
	struct sn_timer timer;
	struct sn_endpoint_set *set; /* NULL: not known yet */
	uint64_t updates[N_RESULTS];
	unsigned pass;
};

/* --- reports ------------------------------------------------------------------------------------
 */

static void apply(struct watcher *w, struct sn_endpoint_set *set)
{
	size_t added, removed;

	if (sn_endpoint_set_eq(w->set, set)) {
		w->updates[UNCHANGED]++;
		return;
	}
	w->updates[APPLIED]++;
	sn_endpoint_set_diff(w->set, set, &added, &removed);
	sn_info("discovery", "%s: %zu endpoints by %s, %zu added, %zu removed", w->service, set->n,
		w->spec, added, removed);
	sn_endpoint_set_unref(w->set);
	w->set = sn_endpoint_set_ref(set);
	w->d->cb(w->d->arg, w->service, set);
	if (w->file && w->d->files)
		sn_watch_file(w->d->files, w->file); /* links may lead elsewhere now */
}

static uint64_t on_set(struct watcher *w, const struct sn_source_report *r)
{
	if (w->refresh.errors)
		sn_info("discovery", "%s: %s: found again", w->service, w->spec);
	apply(w, r->set);
	return sn_refresh_answer(&w->refresh, r->ttl_ms, &w->d->rng);
}

static uint64_t on_failed(struct watcher *w, const struct sn_source_report *r)
{
	w->updates[FAILED]++;
	sn_warn("discovery", "%s: %s: %s%s", w->service, w->spec, r->why,
		w->set ? "; what was known before stays" : "");
	return sn_refresh_error(&w->refresh, &w->d->rng);
}

static uint64_t on_empty(struct watcher *w, const struct sn_source_report *r)
{
	struct sn_endpoint_set *none;
	bool believe;
	uint64_t wait_ms =
		sn_refresh_empty(&w->refresh, sn_loop_now_ms(w->d->loop), &w->d->rng, &believe);

	w->updates[EMPTY]++;
	if (w->set && w->set->n == 0)
		return wait_ms;
	sn_warn("discovery", "%s: %s: %s%s", w->service, w->spec, r->why,
		believe ? "" : "; if that stays so there are no endpoints");
	none = believe ? sn_endpoint_set_new(NULL, 0) : NULL;
	if (none)
		apply(w, none);
	sn_endpoint_set_unref(none);
	return wait_ms;
}

/* Where nothing is known some is better; else some may be missing, and all that is known stays. */
static uint64_t on_partial(struct watcher *w, const struct sn_source_report *r)
{
	if (!w->set)
		apply(w, r->set);
	return on_failed(w, r);
}

static void on_report(void *arg, const struct sn_source_report *r)
{
	struct watcher *w = arg;
	struct sn_refresh unused = {0};
	uint64_t wait_ms = 0;

	switch (r->result) {
	case SN_SOURCE_SET:
		wait_ms = on_set(w, r);
		break;
	case SN_SOURCE_SAME:
		wait_ms = sn_refresh_answer(&unused, r->ttl_ms, &w->d->rng);
		break;
	case SN_SOURCE_EMPTY:
		wait_ms = on_empty(w, r);
		break;
	case SN_SOURCE_PARTIAL:
		wait_ms = on_partial(w, r);
		break;
	case SN_SOURCE_FAILED:
		wait_ms = on_failed(w, r);
		break;
	}
	sn_loop_timer(w->d->loop, &w->timer, wait_ms);
}

static void on_due(struct sn_timer *t, uint64_t now_ms)
{
	struct watcher *w = sn_container_of(t, struct watcher, timer);

	(void)now_ms;
	w->source->look(w->source);
}

/* Some file may have changed: which one is found out by looking. */
static void on_files(void *arg)
{
	struct sn_discovery *d = arg;
	struct sn_map_entry *e;

	for (e = sn_map_first(&d->watchers); e; e = sn_map_next(e)) {
		struct watcher *w = sn_map_value(e);

		if (w->file && w->source)
			w->source->look(w->source);
	}
}

/* --- watchers -----------------------------------------------------------------------------------
 */

static void stop(struct watcher *w)
{
	sn_loop_timer_cancel(w->d->loop, &w->timer);
	if (w->source)
		w->source->free(w->source);
	w->source = NULL;
}

static void free_watcher(void *p)
{
	struct watcher *w = p;

	stop(w);
	sn_endpoint_set_unref(w->set);
	free(w->service);
	free(w->spec);
	free(w);
}

static struct watcher *watcher_of(struct sn_discovery *d, const char *service)
{
	struct sn_slice name = sn_slice_cstr(service);
	struct watcher *w = sn_map_find(&d->watchers, name);

	if (w)
		return w;
	w = calloc(1, sizeof(*w));
	if (!w)
		return NULL;
	w->d = d;
	w->service = strdup(service);
	sn_timer_init(&w->timer, on_due);
	if (!w->service || sn_map_put(&d->watchers, name, w, NULL)) {
		free_watcher(w);
		return NULL;
	}
	return w;
}

static char *spec_text(const struct sn_service *svc)
{
	static const char *const types[] = {"A", "AAAA", "SRV"};
	char *text = NULL;
	int n;

	if (svc->endpoints_kind == SN_ENDPOINTS_FILE)
		n = asprintf(&text, "file %s", svc->endpoints_file);
	else
		n = asprintf(&text, "dns %s %s %u", types[svc->lookup.type], svc->lookup.name,
			     svc->lookup.port);
	return n < 0 ? NULL : text;
}

/* The channel of names is made when there is a name to ask for. */
static struct sn_resolver *resolver_of(struct sn_discovery *d)
{
	struct sn_err err = {0};

	if (!d->resolver)
		d->resolver = sn_resolver_new(d->loop, d->servers, d->timeout_ms, &err);
	if (!d->resolver)
		sn_error("discovery", "%s", err.msg);
	return d->resolver;
}

static void start(struct watcher *w, const struct sn_service *svc, char *spec)
{
	struct sn_discovery *d = w->d;

	stop(w);
	free(w->spec);
	w->spec = spec;
	w->file = NULL;
	w->refresh = (struct sn_refresh){0};
	if (svc->endpoints_kind == SN_ENDPOINTS_FILE) {
		w->file = spec + strlen("file ");
		if (!d->files)
			d->files = sn_watch_new(d->loop, on_files, d);
		if (d->files)
			sn_watch_file(d->files, w->file);
		w->source = sn_source_file(w->file, on_report, w);
	} else if (resolver_of(d)) {
		w->source = sn_source_dns(d->resolver, &svc->lookup, on_report, w);
	}
	if (w->source)
		w->source->look(w->source);
	else
		sn_error("discovery", "%s: out of memory: nothing looks for its endpoints",
			 w->service);
}

/* A service that has listed its endpoints until now has these until others are known. */
static void begin_with(struct watcher *w, const struct sn_config *was)
{
	const struct sn_service *svc =
		was ? sn_snapshot_by_name(was->snapshot, sn_slice_cstr(w->service)) : NULL;

	if (w->set || !svc || svc->endpoints_kind != SN_ENDPOINTS_STATIC)
		return;
	w->set = sn_endpoint_set_new(svc->endpoints, svc->n_endpoints);
	if (w->set)
		w->d->cb(w->d->arg, w->service, w->set);
}

static void adopt_service(struct sn_discovery *d, const struct sn_service *svc,
			  const struct sn_config *was)
{
	struct watcher *w = watcher_of(d, svc->name);
	char *spec = w ? spec_text(svc) : NULL;

	if (!spec) {
		sn_error("discovery", "%s: out of memory: nothing looks for its endpoints",
			 svc->name);
		return;
	}
	w->pass = d->pass;
	begin_with(w, was);
	if (w->source && strcmp(w->spec, spec) == 0)
		free(spec);
	else
		start(w, svc, spec);
}

static void forget_old(struct sn_discovery *d)
{
	struct sn_map_entry *e, *next;

	for (e = sn_map_first(&d->watchers); e; e = next) {
		struct watcher *w = sn_map_value(e);

		next = sn_map_next(e);
		if (w->pass != d->pass)
			free_watcher(sn_map_take(&d->watchers, sn_slice_cstr(w->service)));
	}
}

/* Other servers: what was asked of the old ones is asked again. */
static void follow_resolver(struct sn_discovery *d, const struct sn_config_resolver *r)
{
	struct sn_slice was = sn_slice_cstr(d->servers), is = sn_slice_cstr(r->servers);
	struct sn_map_entry *e;

	if (sn_slice_eq(was, is) && d->timeout_ms == r->timeout_ms)
		return;
	for (e = sn_map_first(&d->watchers); e; e = sn_map_next(e)) {
		struct watcher *w = sn_map_value(e);

		if (!w->file)
			stop(w);
	}
	sn_resolver_free(d->resolver);
	d->resolver = NULL;
	free(d->servers);
	d->servers = r->servers ? strdup(r->servers) : NULL;
	d->timeout_ms = r->timeout_ms;
}

void sn_discovery_adopt(struct sn_discovery *d, const struct sn_config *c,
			const struct sn_config *was)
{
	const struct sn_snapshot *snap = c->snapshot;
	size_t i;

	d->pass++;
	follow_resolver(d, &c->resolver);
	for (i = 0; i < snap->n_services; i++)
		if (snap->services[i].endpoints_kind == SN_ENDPOINTS_FILE ||
		    snap->services[i].endpoints_kind == SN_ENDPOINTS_DNS)
			adopt_service(d, &snap->services[i], was);
	forget_old(d);
}

struct sn_discovery *sn_discovery_new(struct sn_loop *loop, sn_discovery_cb cb, void *arg)
{
	struct sn_discovery *d = calloc(1, sizeof(*d));

	if (!d)
		return NULL;
	d->loop = loop;
	d->cb = cb;
	d->arg = arg;
	sn_map_init(&d->watchers);
	sn_rng_seed(&d->rng, sn_rng_entropy());
	return d;
}

void sn_discovery_free(struct sn_discovery *d)
{
	if (!d)
		return;
	sn_map_done(&d->watchers, free_watcher);
	sn_resolver_free(d->resolver);
	sn_watch_free(d->files);
	free(d->servers);
	free(d);
}

/* --- metrics ------------------------------------------------------------------------------------
 */

static void render_endpoints(const char *service, const char *source, size_t n, struct sn_buf *out)
{
	struct sn_metrics_label l[] = {{"service", service}, {"source", source}};

	sn_metrics_u64(out, "sennit_endpoints", l, 2, n);
}

static void render_sets(const struct sn_discovery *d, const struct sn_snapshot *snap,
			struct sn_buf *out)
{
	size_t i;

	for (i = 0; i < snap->n_services; i++) {
		const struct sn_service *svc = &snap->services[i];
		const struct watcher *w = sn_map_find(&d->watchers, sn_slice_cstr(svc->name));

		if (svc->endpoints_kind == SN_ENDPOINTS_STATIC)
			render_endpoints(svc->name, "static", svc->n_endpoints, out);
		else if (w && w->set)
			render_endpoints(svc->name, w->file ? "file" : "dns", w->set->n, out);
		else if (w)
			render_endpoints(svc->name, "addresses", svc->n_addresses, out);
	}
}

void sn_discovery_render(const struct sn_discovery *d, const struct sn_snapshot *snap,
			 struct sn_buf *out)
{
	static const char *const results[] = {"applied", "unchanged", "error", "empty"};
	struct sn_map_entry *e;
	size_t i;

	sn_metrics_family(out, "sennit_endpoints", "gauge",
			  "Endpoints of services that list or discover them.");
	render_sets(d, snap, out);
	sn_metrics_family(out, "sennit_discovery_updates_total", "counter",
			  "What sources of endpoints have said.");
	for (e = sn_map_first(&d->watchers); e; e = sn_map_next(e)) {
		const struct watcher *w = sn_map_value(e);

		for (i = 0; i < N_RESULTS; i++) {
			struct sn_metrics_label l[] = {{"service", w->service},
						       {"result", results[i]}};

			sn_metrics_u64(out, "sennit_discovery_updates_total", l, 2, w->updates[i]);
		}
	}
}
