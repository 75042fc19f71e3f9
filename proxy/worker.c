/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's life: bind, run, adopt snapshots, drain, end. */
#include "proxy/worker.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "net/tls.h"
#include "proxy/clusters.h"
#include "proxy/exchange.h"

#define MEASURE_MS 10
#define STACK_BYTES ((size_t)256 * 1024)

static void set_limits(struct sn_worker *w, const struct sn_config_limits *limits,
		       const struct sn_config_timeouts *timeouts)
{
	w->limits = *limits;
	if (limits->requests)
		w->limits.requests = (limits->requests + w->n_workers - 1) / w->n_workers;
	w->limits.pending = (limits->pending + w->n_workers - 1) / w->n_workers;
	w->timeouts = *timeouts;
	w->progress_ms = timeouts->stream && timeouts->stream < timeouts->body ? timeouts->stream
									       : timeouts->body;
}

struct sn_worker *sn_worker_new(struct sn_config *boot, unsigned index, unsigned n_workers,
				struct sn_handed *handed, struct sn_err *err)
{
	struct sn_worker *w = calloc(1, sizeof(*w));
	size_t i;

	if (!w)
		goto oom;
	w->boot = boot;
	w->index = index;
	w->n_workers = n_workers;
	for (i = 0; i < SN_ORDERS; i++)
		w->orders[i].w = w;
	set_limits(w, &boot->limits, &boot->timeouts);
	sn_clusters_init(w);
	sn_list_init(&w->connections);
	sn_list_init(&w->retired);
	sn_list_init(&w->mirrors);
	sn_stats_init(&w->stats);
	sn_buf_init(&w->gather.head, 4u << 20);
	sn_buf_init(&w->gather.trail, 1u << 20);
	sn_buf_init(&w->frames, 4u << 20);
	sn_rng_seed(&w->rng, sn_rng_entropy());
	w->loop = sn_loop_new(NULL, err);
	if (!w->loop)
		goto fail;
	sn_trim_init(&w->trim, w->loop);
	if (sn_listens_make(w, handed, err))
		goto fail;
	return w;
oom:
	sn_err_set(err, SN_ENOMEM, "worker: out of memory");
fail:
	sn_worker_free(w);
	return NULL;
}

static void *run(void *arg)
{
	struct sn_worker *w = arg;

	sn_loop_run(w->loop);
	return NULL;
}

int sn_worker_start(struct sn_worker *w, struct sn_err *err)
{
	pthread_attr_t attr;
	sigset_t all, old;
	int rc;

	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	sigfillset(&all); /* signals are the control thread's */
	pthread_sigmask(SIG_SETMASK, &all, &old);
	w->started = true;
	rc = pthread_create(&w->thread, &attr, run, w);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	pthread_attr_destroy(&attr);
	return rc ? sn_err_sys(err, rc, "cannot start a worker thread") : 0;
}

/* --- snapshots ----------------------------------------------------------------------------------
 */

struct handover {
	struct sn_task task;
	struct sn_worker *w;
	struct sn_snapshot *snap;
	struct sn_config_limits limits;
	struct sn_config_timeouts timeouts;
	struct sn_tls_ctx *tls[]; /* a reference each, by listener of the boot configuration; NULL:
				     as it was */
};

/* Without memory for it there are no slots, and everything is looked up by name. */
static void reset_slots(struct sn_worker *w)
{
	free(w->slots);
	w->slots = calloc(w->snap->n_slots ? w->snap->n_slots : 1, sizeof(*w->slots));
	w->n_slots = w->slots ? w->snap->n_slots : 0;
}

static void adopt_certificate(struct sn_listen *l, struct sn_tls_ctx *tls)
{
	if (!tls || !l->tls)
		return;
	sn_tls_ctx_unref(l->tls);
	l->tls = sn_tls_ctx_ref(tls);
}

static void adopt(struct sn_task *t)
{
	struct handover *h = sn_container_of(t, struct handover, task);
	struct sn_worker *w = h->w;
	size_t i;

	sn_snapshot_unref(w->snap);
	w->snap = h->snap;
	set_limits(w, &h->limits, &h->timeouts);
	reset_slots(w);
	for (i = 0; i < w->n_listens; i++)
		adopt_certificate(&w->listens[i], h->tls[w->listens[i].conf - w->boot->listeners]);
	for (i = 0; i < w->boot->n_listeners; i++)
		sn_tls_ctx_unref(h->tls[i]);
	sn_clusters_follow(w);
	free(h);
}

void sn_worker_set_snapshot(struct sn_worker *w, const struct sn_config *c)
{
	size_t n = w->boot->n_listeners, i, k;
	struct handover *h = calloc(1, sizeof(*h) + n * sizeof(struct sn_tls_ctx *));

	if (!h) {
		sn_error("proxy", "out of memory: worker %u keeps its old routes", w->index);
		return;
	}
	h->w = w;
	h->snap = sn_snapshot_ref(c->snapshot);
	h->limits = c->limits;
	h->timeouts = c->timeouts;
	for (i = 0; i < n; i++)
		for (k = 0; k < c->n_listeners && !h->tls[i]; k++)
			if (c->listeners[k].tls &&
			    strcmp(c->listeners[k].name, w->boot->listeners[i].name) == 0)
				h->tls[i] = sn_tls_ctx_ref(c->listeners[k].tls->ctx);
	/* Before its thread runs at once: the first connection it accepts must find routes. */
	if (w->started)
		sn_loop_post(w->loop, &h->task, adopt);
	else
		adopt(&h->task);
}

const struct sn_service *sn_listen_pinned(struct sn_listen *l)
{
	const struct sn_snapshot *snap = l->worker->snap;

	if (l->conf->service && l->pinned_generation != snap->generation) {
		l->pinned = sn_snapshot_by_name(snap, sn_slice_cstr(l->conf->service));
		l->pinned_generation = snap->generation;
	}
	return l->pinned;
}

bool sn_worker_listens_at(const struct sn_worker *w, const struct sn_addr *a)
{
	size_t i;

	for (i = 0; i < w->n_listens; i++)
		if (sn_addr_eq(&w->listens[i].listener.local, a))
			return true;
	return false;
}

bool sn_worker_is_full(struct sn_worker *w)
{
	uint64_t now = sn_loop_now_ms(w->loop);
	struct mallinfo2 mi;

	if (w->limits.memory == 0)
		return false;
	if (now - w->measured_ms < (w->tight ? 1 : MEASURE_MS) && w->measured_ms)
		return w->full;
	mi = mallinfo2();
	w->measured_ms = now;
	w->full = mi.uordblks + mi.hblkhd > w->limits.memory;
	w->tight = mi.uordblks + mi.hblkhd > w->limits.memory / 2;
	if (w->full)
		sn_trim_ask(&w->trim);
	return w->full;
}

bool sn_worker_is_tight(struct sn_worker *w)
{
	return sn_worker_is_full(w) || w->tight;
}

/* --- the end ------------------------------------------------------------------------------------
 */

void sn_worker_check_done(struct sn_worker *w)
{
	if (w->stopping && w->n_connections == w->n_lingering)
		sn_loop_stop(w->loop);
}

/* One that ends may take others with it: who waited for its place begins, and may fail. */
static void close_all(struct sn_worker *w)
{
	struct sn_list *at;

	while ((at = sn_list_first(&w->connections)))
		sn_conn_close(sn_conn_of(at), false);
}

static void stop(struct sn_worker *w, enum sn_worker_order how)
{
	size_t i;

	for (i = 0; i < w->n_listens; i++)
		sn_listener_finish(&w->listens[i].listener);
	w->stopping = true;
	w->patient = how == SN_ORDER_PATIENT;
	if (how == SN_ORDER_FORCE)
		close_all(w);
	sn_list_each(&w->connections, at, after) sn_conn_wind_up(sn_conn_of(at));
	sn_worker_check_done(w);
}

static void obey(struct sn_task *t)
{
	struct sn_worker_post *o = sn_container_of(t, struct sn_worker_post, task);
	struct sn_worker *w = o->w;
	enum sn_worker_order what = (enum sn_worker_order)(o - w->orders);
	struct sn_err err = {0};

	if (what == SN_ORDER_OPEN) {
		if (sn_listens_accept(w, &err))
			sn_error("proxy", "%s", err.msg);
		return;
	}
	w->draining = true;
	if (what == SN_ORDER_DRAIN) {
		sn_list_each(&w->connections, at, after) sn_conn_drain(sn_conn_of(at));
	} else {
		stop(w, what);
	}
}

void sn_worker_tell(struct sn_worker *w, enum sn_worker_order what)
{
	sn_loop_post(w->loop, &w->orders[what].task, obey);
}

void sn_worker_free(struct sn_worker *w)
{
	if (!w)
		return;
	close_all(w);
	sn_mirror_end_all(w);
	sn_listens_free(w);
	w->ended = true;
	sn_clusters_done(w);
	sn_loop_free(w->loop);
	sn_exchange_free_all(w); /* with those that the loop had deferred */
	sn_snapshot_unref(w->snap);
	sn_stats_done(&w->stats);
	sn_route_scratch_done(&w->route_scratch);
	sn_buf_done(&w->gather.head);
	sn_buf_done(&w->gather.trail);
	sn_buf_done(&w->frames);
	free(w->slots);
	free(w);
}
