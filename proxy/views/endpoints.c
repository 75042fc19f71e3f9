/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints as each worker sees them, and where a request would go. The workers fill a value on
 * their own thread, in an arena of the question; it is copied from there. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/num.h"
#include "http/url.h"
#include "mesh/hashkey.h"
#include "proxy/ask.h"
#include "proxy/views/views.h"

#define VIEW_MAX (8u << 20)
#define EXPLAIN_HEADERS_MAX 32

struct question {
	struct sn_ask ask;
	struct sn_arena arena;
	struct sn_val *answer;
	const char *error;
	char query[]; /* with NUL: the asker may have gone */
};

static void release(struct sn_ask *a)
{
	struct question *q = sn_container_of(a, struct question, ask);

	sn_arena_done(&q->arena);
	free(q);
}

static struct question *question(struct sn_slice query,
				 int (*run)(struct sn_worker *w, struct sn_ask *a))
{
	struct question *q = calloc(1, sizeof(*q) + query.n + 1);

	if (!q)
		return NULL;
	memcpy(q->query, query.p, query.n);
	sn_arena_init(&q->arena, 16384, VIEW_MAX);
	q->ask.run = run;
	q->ask.release = release;
	return q;
}

/* --- endpoints ----------------------------------------------------------------------------------
 */

static void describe(struct sn_arena *a, struct sn_val *row, const struct sn_balance *b,
		     const struct sn_endpoint *e, uint64_t now)
{
	struct sn_balance_look look;
	char text[SN_ADDR_TEXT];

	sn_balance_look(b, e, now, &look);
	sn_view_str(a, row, "address", "%s", sn_addr_format(&e->addr, text));
	sn_view_int(a, row, "weight", e->weight);
	sn_view_int(a, row, "share%", look.share_percent);
	sn_view_str(a, row, "zone", "%s", look.zone);
	sn_view_int(a, row, "outstanding", e->outstanding);
	sn_view_int(a, row, "ewmaUs", look.ewma_ns / 1000);
	sn_view_str(a, row, "breaker", "%s", sn_breaker_name(look.breaker));
	if (look.ejected_until_ns > now)
		sn_view_str(a, row, "ejectedFor", "%.1fs",
			    (double)(look.ejected_until_ns - now) / 1e9);
	else
		sn_view_str(a, row, "ejectedFor", "-");
	sn_view_str(a, row, "inUse", "%s", look.in_use ? "yes" : "no");
}

static int list_endpoints(struct sn_worker *w, struct sn_ask *ask)
{
	struct question *q = sn_container_of(ask, struct question, ask);
	uint64_t now = sn_loop_now_ns(w->loop);
	struct sn_map_entry *e;
	size_t i;

	q->answer = sn_val_new(&q->arena, SN_VAL_LIST);
	for (e = sn_map_first(&w->clusters); e; e = sn_map_next(e)) {
		const struct sn_cluster *c = sn_map_value(e);
		struct sn_slice rest = sn_slice_cstr(sn_map_key(e)),
				name = sn_slice_cut(&rest, '\n');
		char service[256];

		snprintf(service, sizeof(service), "%.*s", SN_ARG(name));
		if (!sn_view_wants(sn_slice_cstr(q->query), "service", service))
			continue;
		for (i = 0; i < sn_balance_count(c->balance); i++) {
			struct sn_val *row = sn_view_row(&q->arena, q->answer);

			sn_view_str(&q->arena, row, "service", "%s", service);
			sn_view_str(&q->arena, row, "port", "%.*s", SN_ARG(rest));
			sn_view_int(&q->arena, row, "worker", w->index);
			describe(&q->arena, row, c->balance, sn_balance_at(c->balance, i), now);
		}
	}
	return q->answer ? 0 : -SN_ENOMEM;
}

struct sn_val *sn_view_endpoints(struct sn_arena *a, struct sn_control *c, struct sn_slice query)
{
	struct sn_val *list = sn_val_new(a, SN_VAL_LIST);
	unsigned i;
	size_t k;

	for (i = 0; list && i < c->n_workers; i++) {
		struct question *q = question(query, list_endpoints);

		if (q && sn_ask(c->workers[i], &q->ask) == 0)
			for (k = 0; k < sn_val_len(q->answer); k++)
				(void)sn_val_push(a, list, sn_val_copy(a, sn_val_at(q->answer, k)));
		if (q)
			sn_ask_done(&q->ask);
	}
	return list;
}

/* --- explain ------------------------------------------------------------------------------------
 */

struct explain {
	struct question *q;
	struct sn_worker *w;
	struct sn_request req;
	struct sn_header headers[EXPLAIN_HEADERS_MAX];
	struct sn_val *out, *rules, *targets;
	const struct sn_rule *rule;
};

/* Decoded into the question's arena; empty when it is not there. */
static struct sn_slice param(struct question *q, const char *key)
{
	struct sn_slice raw;
	char *text;
	size_t n = 0;

	if (!sn_url_query_find(sn_slice_cstr(q->query), sn_slice_cstr(key), &raw))
		return sn_slice("", 0);
	text = sn_arena_alloc(&q->arena, raw.n + 1);
	if (!text || sn_url_decode(raw, text, raw.n, &n))
		return sn_slice("", 0);
	text[n] = 0;
	return sn_slice(text, n);
}

static bool take_headers(struct explain *x)
{
	struct sn_slice rest = sn_slice_cstr(x->q->query), one, key;
	struct sn_headers *hs = &x->req.headers;

	while (rest.n) {
		size_t n = 0;
		char *text;

		one = sn_slice_cut(&rest, '&');
		key = sn_slice_cut(&one, '=');
		if (!sn_slice_eq_cstr(key, "header"))
			continue;
		text = sn_arena_alloc(&x->q->arena, one.n + 1);
		if (!text || hs->n == hs->cap || sn_url_decode(one, text, one.n, &n))
			return false;
		one = sn_slice(text, n);
		key = sn_slice_trim(sn_slice_cut(&one, ':'));
		if (!sn_token_valid(key) || !one.p)
			return false;
		hs->v[hs->n++] = (struct sn_header){
			.name = key, .value = sn_slice_trim(one), .id = sn_hdr_lookup(key)};
	}
	return true;
}

static void on_candidate(void *arg, const struct sn_route_candidate *c)
{
	static const char *const why[] = {[SN_ROUTE_FITS] = "fits, but another comes before it",
					  [SN_ROUTE_PATH] = "the path differs",
					  [SN_ROUTE_METHOD] = "the method differs",
					  [SN_ROUTE_HEADER] = "a header differs",
					  [SN_ROUTE_PARAM] = "a query parameter differs"};
	struct explain *x = arg;
	struct sn_arena *a = &x->q->arena;
	struct sn_val *row = sn_view_row(a, x->rules);

	sn_view_str(a, row, "route", "%s", c->rule->route_name);
	sn_view_str(a, row, "rule", "%s", c->rule->name);
	sn_view_str(a, row, "match", "%s", sn_view_match(a, c->match));
	if (c->taken)
		sn_view_str(a, row, "result", "taken");
	else if (c->pair)
		sn_view_str(a, row, "result", "%s: %.*s", why[c->why], SN_ARG(c->pair->name));
	else
		sn_view_str(a, row, "result", "%s", why[c->why]);
	if (c->taken)
		x->rule = c->rule;
}

static const char *why_not(const struct sn_balance_why *w, const struct sn_endpoint *e,
			   const struct sn_balance_look *look)
{
	unsigned i;

	if (e == w->chosen)
		return w->probe ? "chosen, to probe it" : "chosen";
	for (i = 0; i < w->n_candidates; i++)
		if (w->candidates[i] == e)
			return "drawn, and costs more";
	if (look->ejected_until_ns)
		return "ejected by its breaker";
	if (e->weight == 0)
		return "its weight is 0";
	if (!look->in_use)
		return "not in the aperture";
	return "not drawn this time";
}

static void explain_endpoints(struct explain *x, const struct sn_service *svc, uint16_t port)
{
	struct sn_arena *a = &x->q->arena;
	struct sn_val *one = sn_val_new(a, SN_VAL_MAP), *list = sn_val_new(a, SN_VAL_LIST);
	struct sn_cluster *c = sn_worker_cluster(x->w, svc, port, false);
	struct sn_balance_ask ask = {.now_ns = sn_loop_now_ns(x->w->loop)};
	struct sn_addr nobody = {0};
	struct sn_balance_why why;
	size_t i;

	if (!c)
		return;
	ask.has_hash = sn_hashkey(&svc->policy.hash_on, &x->req, &nobody, &ask.hash);
	sn_balance_explain(c->balance, &ask, &why);
	for (i = 0; i < sn_balance_count(c->balance); i++) {
		const struct sn_endpoint *e = sn_balance_at(c->balance, i);
		struct sn_val *row = sn_view_row(a, list);
		struct sn_balance_look look;

		sn_balance_look(c->balance, e, ask.now_ns, &look);
		describe(a, row, c->balance, e, ask.now_ns);
		sn_view_int(a, row, "cost", (uint64_t)look.cost);
		sn_view_str(a, row, "result", "%s", why_not(&why, e, &look));
	}
	sn_view_str(a, one, "service", "%s", svc->name);
	sn_view_int(a, one, "port", port);
	sn_view_str(a, one, "balancing", "%s", sn_balance_name(svc->policy.algorithm));
	if (why.none == SN_BALANCE_EMPTY)
		sn_view_str(a, one, "answer", "503 no-endpoints");
	else if (why.none == SN_BALANCE_ALL_EJECTED)
		sn_view_str(a, one, "answer", "503 no-endpoints: all are ejected");
	sn_view_put(a, one, "endpoints", list);
	sn_view_put(a, x->targets, svc->name, one);
}

static void explain_route(struct explain *x, const struct sn_service *svc, uint16_t port)
{
	const struct sn_route_table *t = sn_service_table(svc, port);
	struct sn_arena *a = &x->q->arena;
	size_t i;

	if (!t) {
		sn_view_str(a, x->out, "rule", "none: the service has no routes");
		explain_endpoints(x, svc, port);
		return;
	}
	x->rules = sn_val_new(a, SN_VAL_LIST);
	sn_route_explain(t, &x->req, &x->w->route_scratch, on_candidate, x);
	sn_view_put(a, x->out, "rules", x->rules);
	if (!x->rule) {
		sn_view_str(a, x->out, "answer", "404 no-route: no rule matches");
		return;
	}
	sn_view_str(a, x->out, "backends", "%s", sn_view_backends(a, x->rule));
	for (i = 0; i < x->rule->n_backends; i++) {
		const struct sn_backend_ref *ref = &x->rule->backends[i];

		if (ref->service_id >= 0 && ref->weight)
			explain_endpoints(x, &x->w->snap->services[ref->service_id],
					  sn_backend_port(ref,
							  &x->w->snap->services[ref->service_id],
							  svc, port));
	}
}

static int explain(struct sn_worker *w, struct sn_ask *ask)
{
	struct question *q = sn_container_of(ask, struct question, ask);
	struct explain x = {.q = q, .w = w};
	struct sn_slice name = param(q, "service"), port = param(q, "port");
	struct sn_slice path = param(q, "path"), method = param(q, "method");
	const struct sn_service *svc = sn_snapshot_by_name(w->snap, name);
	const struct sn_service_port *p;
	uint64_t asked = 0;

	x.req.headers = (struct sn_headers){x.headers, 0, EXPLAIN_HEADERS_MAX};
	x.req.method_text = method.n ? method : SN_SLICE("GET");
	x.req.path = x.req.target = path.n ? path : SN_SLICE("/");
	if (!svc)
		svc = sn_snapshot_by_host(w->snap, name);
	if (!svc)
		q->error = "service= is no service's name or host; see GET /services";
	else if (port.n && sn_num_u64(port, 65535, &asked))
		q->error = "port= is no port";
	else if (x.req.path.p[0] != '/')
		q->error = "path= begins with /";
	else if (!take_headers(&x))
		q->error = "header= is NAME:VALUE, at most 32 of them";
	if (q->error)
		return 0;
	p = sn_service_pick_port(svc, (uint16_t)asked);
	x.out = q->answer = sn_val_new(&q->arena, SN_VAL_MAP);
	sn_view_str(&q->arena, x.out, "service", "%s", svc->name);
	sn_view_int(&q->arena, x.out, "port", p ? p->port : asked);
	sn_view_str(&q->arena, x.out, "request", "%.*s %.*s", SN_ARG(x.req.method_text),
		    SN_ARG(x.req.path));
	x.targets = sn_val_new(&q->arena, SN_VAL_MAP);
	explain_route(&x, svc, p ? p->port : (uint16_t)asked);
	sn_view_put(&q->arena, x.out, "endpoints", x.targets);
	return 0;
}

struct sn_val *sn_view_explain(struct sn_arena *a, struct sn_control *c, struct sn_slice query,
			       const char **ret_error)
{
	struct question *q = question(query, explain);
	struct sn_val *out = NULL;

	*ret_error = NULL;
	if (!q)
		return NULL;
	if (sn_ask(c->workers[0], &q->ask) == 0) {
		*ret_error = q->error;
		out = sn_val_copy(a, q->answer);
	}
	sn_ask_done(&q->ask);
	return out;
}
