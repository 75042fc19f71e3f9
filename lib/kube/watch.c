/* SPDX-License-Identifier: Apache-2.0 */
/* List and watch. resourceVersion is opaque; a relist is told as begin, objects, end, and the index
 * finds out what vanished, so nothing is ever deleted and added again. */
#include "kube/watch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/log.h"
#include "kube/backoff.h"

#define PAGE 500
#define ITEM_MAX (2u << 20)
#define WATCHDOG_MS 90000
#define SHORT_MS 1000 /* a watch that ends before this without an event was none */

struct sn_kube_watch {
	struct sn_kube *k;
	struct sn_loop *loop;
	const char *path, *name;
	const struct sn_kube_watch_events *ev;
	void *arg;
	struct sn_kube_call *call;
	struct sn_json_stream *json;
	struct sn_buf version; /* resourceVersion to watch from */
	struct sn_buf cont;    /* of a paged list */
	struct sn_timer again, watchdog;
	uint64_t watchdog_ms;
	struct sn_rng rng;
	unsigned failures;
	unsigned gones; /* 410s in a row, nothing useful between them */
	uint64_t began_ms;
	uint32_t retry_after_s;
	char error[200]; /* what an ERROR event said; "": none */
	bool useful;	 /* this watch has brought an event or a bookmark */
	bool watching;	 /* else listing */
	bool in_list;	 /* list_begin has been told */
	bool gone;	 /* 410 was seen: list again */
	bool synced;
	struct sn_kube_watch_counters n;
};

static void send(struct sn_kube_watch *w);

static void stop_json(struct sn_kube_watch *w)
{
	sn_json_stream_free(w->json);
	w->json = NULL;
}

static void schedule(struct sn_kube_watch *w, uint64_t ms)
{
	sn_loop_timer(w->loop, &w->again, ms);
}

/* What the API server, or libcurl, says about a failure. */
static void reason(const struct sn_kube_answer *a, char *dst, size_t cap)
{
	struct sn_arena arena;
	struct sn_val *v = NULL;
	const char *says;

	sn_arena_init(&arena, 0, 1u << 20);
	if (sn_json_parse(&arena, a->body.p, a->body.n, 0, &v, NULL))
		v = NULL;
	says = sn_val_str(sn_val_get(v, "message"), "");
	if (a->status)
		snprintf(dst, cap, "status %u%s%s", a->status, says[0] ? ", " : "", says);
	else
		snprintf(dst, cap, "%s", a->error[0] ? a->error : "no answer");
	sn_arena_done(&arena);
}

static void failed(struct sn_kube_watch *w, const char *why, uint32_t retry_after_s)
{
	uint64_t ms;

	w->failures++;
	w->n.failures++;
	ms = sn_backoff_ms(w->failures, retry_after_s * 1000u, &w->rng);
	sn_log(w->failures == 1 ? SN_LOG_INFO : SN_LOG_WARN, "kube",
	       "%s of %s failed: %s; again in %llu ms", w->watching ? "watch" : "list", w->name,
	       why, (unsigned long long)ms);
	schedule(w, ms);
}

/* The first time at once; a server that says 410 again and again is asked ever less often. */
static void list_again(struct sn_kube_watch *w)
{
	uint64_t ms = w->gones++ ? sn_backoff_ms(w->gones - 1, 0, &w->rng) : 0;

	w->n.gone++;
	w->watching = false;
	w->gone = false;
	sn_buf_reset(&w->cont);
	sn_info("kube", "%s: too old (410), listing again in %llu ms", w->name,
		(unsigned long long)ms);
	schedule(w, ms);
}

static void keep(struct sn_buf *b, const char *s)
{
	sn_buf_reset(b);
	sn_buf_puts(b, s);
}

static void on_event(struct sn_kube_watch *w, const struct sn_val *v)
{
	const char *type = sn_val_str(sn_val_get(v, "type"), "");
	const struct sn_val *obj = sn_val_get(v, "object");
	const char *version = sn_val_str(sn_val_path(obj, "metadata.resourceVersion"), NULL);

	if (strcmp(type, "ERROR") == 0) {
		int64_t wait = sn_val_int(sn_val_path(obj, "details.retryAfterSeconds"), 0);

		w->gone = sn_val_int(sn_val_get(obj, "code"), 0) == 410;
		w->retry_after_s = wait > 0 && wait < 3600 ? (uint32_t)wait : 0;
		snprintf(w->error, sizeof(w->error), "%s",
			 sn_val_str(sn_val_get(obj, "message"), "an error without a message"));
		return;
	}
	w->failures = w->gones = 0;
	w->useful = true;
	if (strcmp(type, "BOOKMARK") == 0) {
		w->n.bookmarks++;
	} else if (strcmp(type, "ADDED") == 0 || strcmp(type, "MODIFIED") == 0) {
		w->n.events++;
		w->ev->object(w->arg, obj, false);
	} else if (strcmp(type, "DELETED") == 0) {
		w->n.events++;
		w->ev->object(w->arg, obj, true);
	} else {
		w->n.unknown++;
		return;
	}
	if (version)
		keep(&w->version, version);
}

/* An item of a list, its rest, or an event. */
static int on_item(void *arg, const struct sn_val *v, bool is_rest)
{
	struct sn_kube_watch *w = arg;

	if (w->watching) {
		on_event(w, v);
		return w->gone || w->error[0];
	}
	if (!is_rest) {
		w->ev->object(w->arg, v, false);
		return 0;
	}
	keep(&w->cont, sn_val_str(sn_val_path(v, "metadata.continue"), ""));
	keep(&w->version, sn_val_str(sn_val_path(v, "metadata.resourceVersion"), ""));
	return 0;
}

static int on_data(void *arg, const char *p, size_t n)
{
	struct sn_kube_watch *w = arg;
	struct sn_err err = {0};

	sn_loop_timer(w->loop, &w->watchdog, w->watchdog_ms);
	if (sn_json_stream_feed(w->json, p, n, &err) == 0)
		return 0;
	if (!w->gone && !w->error[0])
		sn_warn("kube", "%s: %s", w->name, err.msg);
	return 1;
}

static void list_done(struct sn_kube_watch *w, const struct sn_kube_answer *a)
{
	struct sn_err err = {0};
	char why[400];
	int rc = a->code ? a->code : sn_json_stream_end(w->json, &err);

	stop_json(w);
	if (rc == -SN_EGONE) { /* the continue token is too old: from the start */
		list_again(w);
		return;
	}
	if (rc) {
		sn_buf_reset(&w->cont);
		reason(a, why, sizeof(why));
		failed(w, a->code == 0 ? err.msg : why, a->retry_after_s);
		return;
	}
	w->failures = 0;
	if (sn_buf_len(&w->cont) == 0) {
		w->in_list = false;
		w->watching = true;
		w->synced = true;
		w->ev->list_end(w->arg);
	}
	schedule(w, 0);
}

static void watch_done(struct sn_kube_watch *w, const struct sn_kube_answer *a)
{
	char why[400];

	stop_json(w);
	if (w->gone || a->code == -SN_EGONE) {
		list_again(w);
	} else if (w->error[0]) {
		failed(w, w->error, w->retry_after_s);
	} else if (a->code) {
		reason(a, why, sizeof(why));
		failed(w, why, a->retry_after_s);
	} else if (!w->useful && sn_loop_now_ms(w->loop) - w->began_ms < SHORT_MS) {
		failed(w, "it ended at once", 0);
	} else {
		w->gones = 0;
		schedule(w, 50); /* its time was over */
	}
}

static void on_done(void *arg, const struct sn_kube_answer *a)
{
	struct sn_kube_watch *w = arg;

	w->call = NULL;
	sn_loop_timer_cancel(w->loop, &w->watchdog);
	if (w->watching)
		watch_done(w, a);
	else
		list_done(w, a);
}

static void on_watchdog(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_kube_watch *w = sn_container_of(t, struct sn_kube_watch, watchdog);

	(void)now_ms;
	w->n.stalled++;
	if (w->call)
		sn_kube_cancel(w->call);
	w->call = NULL;
	stop_json(w);
	failed(w, "silence: neither an event nor a bookmark", 0);
}

static void path_of(struct sn_kube_watch *w, struct sn_buf *out)
{
	char sep = strchr(w->path, '?') ? '&' : '?';

	if (w->watching) {
		sn_buf_printf(out,
			      "%s%cwatch=true&allowWatchBookmarks=true&timeoutSeconds=%u&"
			      "resourceVersion=",
			      w->path, sep, 300 + sn_rng_below(&w->rng, 300));
		sn_kube_escape(out, sn_buf_cstr(&w->version));
		return;
	}
	sn_buf_printf(out, "%s%climit=%d", w->path, sep, PAGE);
	if (sn_buf_len(&w->cont)) {
		sn_buf_puts(out, "&continue=");
		sn_kube_escape(out, sn_buf_cstr(&w->cont));
	}
}

static void send(struct sn_kube_watch *w)
{
	struct sn_kube_request r = {.method = "GET", .data = on_data, .done = on_done, .arg = w};
	struct sn_buf path;

	if (!w->watching && sn_buf_len(&w->cont) == 0) {
		w->in_list = true;
		w->ev->list_begin(w->arg);
	}
	w->error[0] = 0;
	w->useful = false;
	w->began_ms = sn_loop_now_ms(w->loop);
	w->json = sn_json_stream_new(w->watching ? NULL : "items", ITEM_MAX, on_item, w);
	sn_buf_init(&path, 16384);
	path_of(w, &path);
	r.path = sn_buf_cstr(&path);
	w->call = w->json ? sn_kube_send(w->k, &r) : NULL;
	sn_buf_done(&path);
	if (!w->call) {
		stop_json(w);
		failed(w, "out of memory", 0);
		return;
	}
	*(w->watching ? &w->n.watches : &w->n.lists) += 1;
	sn_loop_timer(w->loop, &w->watchdog, w->watchdog_ms);
}

static void on_again(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	send(sn_container_of(t, struct sn_kube_watch, again));
}

struct sn_kube_watch *sn_kube_watch_new(struct sn_kube *k, struct sn_loop *l, const char *path,
					const char *name, uint64_t watchdog_ms,
					const struct sn_kube_watch_events *events, void *arg)
{
	struct sn_kube_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->k = k;
	w->loop = l;
	w->path = path;
	w->name = name;
	w->ev = events;
	w->arg = arg;
	w->watchdog_ms = watchdog_ms ? watchdog_ms : WATCHDOG_MS;
	sn_rng_seed(&w->rng, sn_rng_entropy());
	sn_buf_init(&w->version, 4096);
	sn_buf_init(&w->cont, 8192);
	sn_timer_init(&w->again, on_again);
	sn_timer_init(&w->watchdog, on_watchdog);
	schedule(w, 0);
	return w;
}

void sn_kube_watch_free(struct sn_kube_watch *w)
{
	if (!w)
		return;
	if (w->call)
		sn_kube_cancel(w->call);
	sn_loop_timer_cancel(w->loop, &w->again);
	sn_loop_timer_cancel(w->loop, &w->watchdog);
	stop_json(w);
	sn_buf_done(&w->version);
	sn_buf_done(&w->cont);
	free(w);
}

const struct sn_kube_watch_counters *sn_kube_watch_counters(const struct sn_kube_watch *w)
{
	return &w->n;
}

bool sn_kube_watch_synced(const struct sn_kube_watch *w)
{
	return w->synced;
}
