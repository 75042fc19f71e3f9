/* SPDX-License-Identifier: Apache-2.0 */
/* Filters at work: once on the request, when its rule is known, and once on the response's head. */
#include "proxy/filter.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/err.h"
#include "proxy/exchange.h"

#define ARENA_BYTES 1024
/* Of an answer of a rule's own: three of ours, CORS, and what a modifier sets and adds. */
#define ANSWER_FIELDS (3 + SN_CORS_FIELDS + 32)

struct sn_filtered *sn_filter_keep(struct sn_exchange *x)
{
	struct sn_filtered *k = x->filtered;

	if (k)
		return k;
	k = calloc(1, sizeof(*k));
	if (!k)
		return NULL;
	k->x = x;
	sn_arena_init(&k->arena, ARENA_BYTES, 0);
	sn_list_init(&k->mirrors);
	x->filtered = k;
	return k;
}

void sn_filter_done(struct sn_exchange *x)
{
	struct sn_filtered *k = x->filtered;

	if (sn_timer_is_set(&k->delay) && x->stats)
		x->stats->requests++; /* it got no further */
	sn_loop_timer_cancel(x->w->loop, &k->delay);
	sn_mirror_forget(x);
}

void sn_filter_free(struct sn_filtered *k)
{
	if (!k)
		return;
	sn_arena_done(&k->arena);
	free(k);
}

static bool no_memory(struct sn_exchange *x)
{
	sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
	return false;
}

/* The rule itself is where the request ends. */
static void count_end(struct sn_exchange *x, const struct sn_target *t, enum sn_filter_action what)
{
	x->stats = sn_choose_rule_stats(x, t);
	if (!x->stats)
		return;
	x->stats->requests++;
	x->stats->filtered[what]++;
}

/* --- answers ------------------------------------------------------------------------------------
 */

static void add(struct sn_headers *hs, const char *name, struct sn_slice value)
{
	hs->v[hs->n++] = (struct sn_header){.name = sn_slice_cstr(name), .value = value};
}

static void answer(struct sn_exchange *x, unsigned status, struct sn_headers *hs,
		   struct sn_slice body)
{
	struct sn_response resp = {.status = (uint16_t)status, .major = 2, .keep_alive = true};
	bool bodiless = status == 204 || status == 304;
	char length[16];
	int n = snprintf(length, sizeof(length), "%zu", body.n);

	if (!bodiless)
		add(hs, "content-length", sn_slice(length, (size_t)n));
	resp.headers = *hs;
	resp.content_length = body.n;
	resp.framing =
		body.n && x->req.method != SN_METHOD_HEAD ? SN_FRAMING_LENGTH : SN_FRAMING_NONE;
	sn_exchange_answer(x, &resp, body);
}

static void redirect(struct sn_exchange *x, const struct sn_target *t)
{
	const struct sn_redirect *r = x->rule->filters->redirect;
	struct sn_header v[ANSWER_FIELDS];
	struct sn_headers hs = {v, 0, ANSWER_FIELDS};
	bool https = x->req.scheme.n ? sn_slice_ieq(x->req.scheme, SN_SLICE("https"))
				     : x->c->listen->tls != NULL;
	struct sn_redirect_from from = {
		.scheme = https ? SN_SLICE("https") : SN_SLICE("http"),
		.authority = x->req.authority,
		.port = x->c->conf->transparent ? t->port : 0,
		.path = x->req.path,
	};
	struct sn_filtered *k = sn_filter_keep(x);
	char *location = k ? sn_arena_alloc(&k->arena, sn_redirect_bytes(r, &from)) : NULL;

	if (!location) {
		no_memory(x);
		return;
	}
	count_end(x, t, SN_FILTERED_REDIRECT);
	add(&hs, "location", sn_slice(location, sn_redirect_location(r, &from, location)));
	(void)sn_filter_response(x, &hs); /* there is room */
	answer(x, r->status, &hs, sn_slice("", 0));
}

static void respond_directly(struct sn_exchange *x, const struct sn_target *t)
{
	const struct sn_direct_response *d = x->rule->filters->direct;
	struct sn_header v[ANSWER_FIELDS];
	struct sn_headers hs = {v, 0, ANSWER_FIELDS};

	count_end(x, t, SN_FILTERED_DIRECT_RESPONSE);
	if (d->body.n)
		add(&hs, "content-type", d->content_type);
	(void)sn_filter_response(x, &hs);
	answer(x, d->status, &hs, d->body);
}

/* --- CORS ---------------------------------------------------------------------------------------
 */

/* Remembers who asks, since the head may be gone when the response comes. False: it was a
 * preflight, or there is no memory. */
static bool cross_origin(struct sn_exchange *x, const struct sn_target *t)
{
	const struct sn_cors *c = x->rule->filters->cors;
	struct sn_slice origin = sn_cors_allowed(c, &x->req.headers);
	struct sn_header v[ANSWER_FIELDS];
	struct sn_headers hs = {v, 0, ANSWER_FIELDS};
	struct sn_filtered *k;
	char *copy;

	if (sn_cors_is_preflight(&x->req)) {
		count_end(x, t, SN_FILTERED_PREFLIGHT);
		(void)sn_cors_preflight(c, &x->req, origin, &hs);
		answer(x, 204, &hs, sn_slice("", 0));
		return false;
	}
	if (origin.n == 0)
		return true;
	k = sn_filter_keep(x);
	copy = k ? sn_arena_dup(&k->arena, origin.p, origin.n) : NULL;
	if (!copy)
		return no_memory(x);
	k->origin = sn_slice(copy, origin.n);
	return true;
}

/* --- faults -------------------------------------------------------------------------------------
 */

static void on_delay(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_exchange *x = sn_container_of(t, struct sn_filtered, delay)->x;

	(void)now_ms;
	x->stats = NULL; /* those of where it goes now */
	sn_tries_begin(x);
}

static bool hold(struct sn_exchange *x, const struct sn_target *t, bool abort_then)
{
	struct sn_filtered *k = sn_filter_keep(x);

	if (!k)
		return no_memory(x);
	k->waited = true;
	k->abort = abort_then;
	k->to = t->svc;
	k->to_port = t->port;
	x->stats = sn_choose_rule_stats(x, t);
	if (x->stats)
		x->stats->filtered[SN_FILTERED_DELAY]++;
	if (x->rule->request_timeout_ms)
		sn_exchange_set_deadline(x, x->rule->request_timeout_ms);
	sn_timer_init(&k->delay, on_delay);
	sn_loop_timer(x->w->loop, &k->delay, x->rule->filters->fault->delay_ms);
	return false;
}

static bool inject(struct sn_exchange *x, const struct sn_target *t)
{
	const struct sn_fault *f = x->rule->filters->fault;
	bool delay = false, abort_it;

	if (x->filtered && x->filtered->waited) {
		abort_it = x->filtered->abort;
	} else {
		delay = sn_share_draw(f->delay, &x->w->rng);
		abort_it = sn_share_draw(f->abort, &x->w->rng);
	}
	if (delay)
		return hold(x, t, abort_it);
	if (!abort_it)
		return true;
	count_end(x, t, SN_FILTERED_ABORT);
	if (x->grpc)
		x->grpc_status = f->abort_grpc;
	sn_exchange_refuse(x, f->abort_status, SN_REFUSE_FAULT, "the route injects a fault");
	return false;
}

/* --- requests and responses ---------------------------------------------------------------------
 */

/* Host and path lie in memory of their own from here on, or in the snapshot. */
static bool rewrite(struct sn_exchange *x)
{
	const struct sn_rewrite *r = x->rule->filters->rewrite;
	struct sn_request *req = &x->req;
	struct sn_filtered *k = sn_filter_keep(x);
	char *path;

	if (!k)
		return no_memory(x);
	if (r->path.kind != SN_PATH_KEEP) {
		path = sn_arena_alloc(&k->arena, sn_path_change_bytes(&r->path, req->path));
		if (!path)
			return no_memory(x);
		req->path = sn_path_changed(&r->path, req->path, path);
	}
	if (r->hostname.n) {
		req->authority = r->hostname;
		req->absolute_form = true; /* Host is written from it */
	}
	return true;
}

bool sn_filter_request(struct sn_exchange *x, const struct sn_target *t)
{
	const struct sn_filters *f = x->rule->filters;
	bool resumed = x->filtered && x->filtered->waited;

	if (f->cors && !resumed && !cross_origin(x, t))
		return false;
	if (f->fault && !inject(x, t))
		return false;
	if (f->redirect) {
		redirect(x, t);
		return false;
	}
	if (f->direct) {
		respond_directly(x, t);
		return false;
	}
	x->filters_done = true;
	if (f->request && sn_filter_headers(f->request, &x->req.headers)) {
		sn_exchange_refuse(x, 431, SN_REFUSE_BAD_REQUEST, "too many headers");
		return false;
	}
	if (f->rewrite && !rewrite(x))
		return false;
	if (f->n_mirrors)
		sn_mirror_prepare(x, t);
	return true;
}

int sn_filter_response(const struct sn_exchange *x, struct sn_headers *hs)
{
	const struct sn_filters *f = x->rule->filters;
	int rc = 0;

	if (f->cors)
		rc = sn_cors_response(f->cors, x->filtered ? x->filtered->origin : sn_slice("", 0),
				      hs);
	if (rc == 0 && f->response)
		rc = sn_filter_headers(f->response, hs);
	return rc;
}
