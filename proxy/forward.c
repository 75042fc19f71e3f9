/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream's side of an exchange: choose, connect, send, receive; each direction stops reading
 * when the other side does not take what was written. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "http/headout.h"
#include "proxy/exchange.h"

#define INFORMATIONAL_MAX 16
#define RESPONSE_HEADERS_MAX 1000
#define TRIES_MAX 2

static void on_upstream(struct sn_upstream *u, unsigned events);

/* --- bodies -------------------------------------------------------------------------------------
 */

static void add_iov(struct sn_body_out *o, const char *p, size_t n)
{
	o->iov[o->n_iov++] = (struct iovec){(char *)p, n};
}

/* Trailers are checked, used up and dropped. */
static int skip_trailers(struct sn_h1_body *b, struct sn_slice in, struct sn_body_out *o)
{
	struct sn_header fields[100];
	struct sn_headers hs = {fields, 0, SN_ARRAY_LEN(fields)};
	size_t scanned = 0;
	int rc = sn_h1_parse_trailers(sn_slice(in.p + o->used, in.n - o->used), &scanned, b, &hs);

	if (rc > 0)
		o->used += (size_t)rc;
	return rc < 0 && rc != -SN_EMORE ? -SN_EPROTO : 0;
}

int sn_body_collect(struct sn_h1_body *b, struct sn_slice in, bool chunked, struct sn_body_out *o)
{
	while (o->n_runs < SN_BODY_RUNS && !b->done) {
		struct sn_slice rest = sn_slice(in.p + o->used, in.n - o->used), run = {0};
		ptrdiff_t used = sn_h1_body_feed(b, rest, &run);

		if (used < 0)
			return -SN_EPROTO;
		o->used += (size_t)used;
		if (run.n && chunked) {
			char *head = o->heads[o->n_runs];

			add_iov(o, head, sn_h1_chunk_head(run.n, head));
			add_iov(o, run.p, run.n);
			add_iov(o, "\r\n", 2);
			o->n_runs++;
		} else if (run.n) {
			add_iov(o, run.p, run.n);
			o->n_runs++;
		}
		if (used == 0)
			break;
	}
	if (b->at_trailers && skip_trailers(b, in, o))
		return -SN_EPROTO;
	if (b->done && chunked)
		add_iov(o, "0\r\n\r\n", 5);
	return 0;
}

/* --- letting go ---------------------------------------------------------------------------------
 */

static void drop_ubuf(struct sn_exchange *x)
{
	if (x->ubuf_pooled)
		sn_loop_iobuf_put(x->c->w->loop, x->ubuf);
	else
		free(x->ubuf);
	x->ubuf = NULL;
	x->ustart = x->uend = x->ucap = 0;
}

void sn_forward_release(struct sn_exchange *x, bool reusable, enum sn_try_end end)
{
	uint64_t now = sn_loop_now_ns(x->c->w->loop);
	bool clean = x->ustart == x->uend && sn_outq_empty(&x->up_out);

	drop_ubuf(x);
	if (x->waiting) {
		x->waiting = false;
		sn_pool_cancel(x->pool, &x->waiter);
	}
	if (x->u) {
		struct sn_upstream *u = x->u;

		x->u = NULL;
		sn_pool_put(u, reusable && clean);
	}
	if (x->endpoint) {
		struct sn_endpoint *e = x->endpoint;

		x->endpoint = NULL;
		sn_balance_done(x->cluster->balance, e, now - x->try_ns, end, now);
	}
}

/* A try ended without a byte of a response. Another one follows if the request cannot have been
 * processed, or may be repeated, and is still here as a whole. */
static void try_failed(struct sn_exchange *x, bool unprocessed, unsigned status,
		       enum sn_refusal_reason reason, const char *detail)
{
	bool repeatable = unprocessed ||
			  (x->req.framing == SN_FRAMING_NONE &&
			   sn_method_is_idempotent(x->req.method) && x->u && x->u->n_requests > 1);

	if (!repeatable || x->head_consumed || x->tries >= TRIES_MAX) {
		sn_exchange_refuse(x, status, reason, detail);
		return;
	}
	/* That an idle connection was closed is no fault. */
	sn_forward_release(x, false,
			   x->u && x->u->n_requests > 1 ? SN_TRY_CANCELLED : SN_TRY_FAILED);
	sn_outq_done(&x->up_out);
	x->uscanned = 0;
	x->req_done = false;
	sn_forward_start(x);
}

/* --- sending ------------------------------------------------------------------------------------
 */

static void write_failed(struct sn_exchange *x)
{
	/* An answer may have been sent before the connection broke: read it first. */
	if (x->u->s.may_read && !x->resp_seen) {
		x->req_done = x->req_body.done;
		sn_forward_response(x);
		return;
	}
	try_failed(x, x->u->s.tx_bytes == 0, 502, SN_REFUSE_UPSTREAM,
		   "the upstream connection broke");
}

void sn_forward_request(struct sn_exchange *x)
{
	struct sn_conn *c = x->c;

	while (!x->req_done && x->u && x->head_consumed && sn_outq_empty(&x->up_out)) {
		struct sn_body_out o = {.n_iov = 0};
		ssize_t n;

		if (sn_body_collect(&x->req_body, sn_conn_input(c),
				    x->req.framing == SN_FRAMING_CHUNKED, &o)) {
			sn_exchange_refuse(x, 400, SN_REFUSE_BAD_REQUEST,
					   "bad chunk in the request's body");
			if (c->x == x)
				sn_conn_close(c, true);
			return;
		}
		x->req_done = x->req_body.done;
		if (o.n_iov) {
			sn_loop_timer(c->w->loop, &c->timer, c->w->timeouts.body);
			if (sn_outq_writev(&x->up_out, &x->u->s, o.iov, o.n_iov)) {
				write_failed(x);
				return;
			}
		}
		sn_conn_consume(c, o.used);
		if (o.used || x->req_done)
			continue;
		if (!c->d.may_read && !c->d.read_eof)
			return;
		n = sn_conn_fill(c, SN_IOBUF_BYTES);
		if (n == -SN_EAGAIN)
			return;
		if (n <= 0) {
			sn_conn_close(c,
				      true); /* the client gave up in the middle of its request */
			return;
		}
	}
}

static void send_head(struct sn_exchange *x)
{
	struct sn_conn *c = x->c;
	struct sn_slice head = sn_slice(sn_conn_input(c).p, x->head_len);
	struct sn_buf *s = &c->w->scratch;
	struct sn_body_out o = {.n_iov = 0};
	bool body = x->req.framing != SN_FRAMING_NONE;

	x->req.upgrade = false; /* not carried yet: it stays an ordinary request */
	sn_buf_reset(s);
	if (sn_headout_request(s, head, &x->req, x->n_parsed)) {
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
		return;
	}
	add_iov(&o, sn_buf_slice(s).p, sn_buf_len(s));
	if (body) {
		struct sn_slice in = sn_conn_input(c);

		if (sn_body_collect(&x->req_body, sn_slice(in.p + x->head_len, in.n - x->head_len),
				    x->req.framing == SN_FRAMING_CHUNKED, &o)) {
			sn_exchange_refuse(x, 400, SN_REFUSE_BAD_REQUEST,
					   "bad chunk in the request's body");
			return;
		}
	}
	x->req_done = !body || x->req_body.done;
	if (sn_outq_writev(&x->up_out, &x->u->s, o.iov, o.n_iov)) {
		write_failed(x);
		return;
	}
	if (body) {
		x->head_consumed = true;
		sn_conn_consume(c, x->head_len + o.used);
		sn_forward_request(x);
	}
}

static void connected(struct sn_exchange *x, struct sn_upstream *u)
{
	x->u = u;
	u->cb = on_upstream;
	u->user = x;
	send_head(x);
}

static void on_ready(struct sn_waiter *w, struct sn_upstream *u, int code)
{
	struct sn_exchange *x = sn_container_of(w, struct sn_exchange, waiter);
	struct sn_conn *c = x->c;

	x->waiting = false;
	if (u)
		connected(x, u);
	else
		try_failed(x, true,
			   code == -SN_ETIMEOUT ? 504
			   : code == -SN_ELIMIT ? 503
						: 502,
			   SN_REFUSE_CONNECT,
			   code == -SN_ETIMEOUT ? "the connect timeout has passed"
						: "cannot connect");
	sn_http_resume(c);
}

/* --- choosing -----------------------------------------------------------------------------------
 */

/* The rule, its filters and its backend. Returns false when it has refused. */
static bool choose_backend(struct sn_exchange *x, const struct sn_target *t,
			   const struct sn_service **ret_svc, uint16_t *ret_port)
{
	const struct sn_route_table *table = sn_service_table(t->svc, t->port);
	const struct sn_backend_ref *ref;
	size_t i;

	*ret_svc = t->svc;
	*ret_port = t->port;
	x->backend = t->svc->name;
	if (!table)
		return true;
	if (!x->rule) {
		x->rule = sn_route_match(table, &x->req);
		if (!x->rule) {
			x->stats = sn_stats_block(&x->c->w->stats, "outbound", t->svc->name, "", "",
						  "");
			sn_exchange_refuse(x, 404, SN_REFUSE_NO_ROUTE,
					   "no rule of the service's routes matches");
			return false;
		}
		for (i = 0; i < x->rule->n_filters; i++)
			if (sn_filter_request_headers(&x->rule->filters[i].headers,
						      &x->req.headers)) {
				sn_exchange_refuse(x, 431, SN_REFUSE_BAD_REQUEST,
						   "too many headers");
				return false;
			}
	}
	ref = sn_route_pick(x->rule, &x->c->w->rng);
	x->backend = ref ? ref->name : "";
	x->stats = sn_stats_block(&x->c->w->stats, "outbound", t->svc->name, x->rule->route_name,
				  x->rule->name, x->backend);
	if (!ref || ref->service_id < 0) {
		if (x->stats)
			x->stats->requests++;
		sn_exchange_refuse(x, 500, SN_REFUSE_NO_BACKEND,
				   ref ? "the rule's backend does not exist"
				       : "the rule has no backend");
		return false;
	}
	*ret_svc = &x->snap->services[ref->service_id];
	if (ref->port)
		*ret_port = ref->port;
	else if (*ret_svc != t->svc && !sn_service_find_port(*ret_svc, *ret_port)) {
		const struct sn_service_port *p = sn_service_pick_port(*ret_svc, *ret_port);

		*ret_port = p ? p->port : *ret_port;
	}
	return true;
}

static bool choose_endpoint(struct sn_exchange *x, const struct sn_service *svc, uint16_t port)
{
	struct sn_worker *w = x->c->w;

	/* An exchange that began before a swap routes by its own snapshot; the cluster is the
	 * current one of that name, which is where the endpoints are. */
	x->cluster = sn_worker_cluster(w, svc, port);
	x->endpoint = x->cluster
			      ? sn_balance_pick(x->cluster->balance, NULL, sn_loop_now_ns(w->loop))
			      : NULL;
	x->try_ns = sn_loop_now_ns(w->loop);
	if (!x->endpoint) {
		sn_exchange_refuse(x, 503, SN_REFUSE_NO_ENDPOINTS, svc->name);
		return false;
	}
	x->pool = sn_cluster_pool(x->cluster, x->endpoint);
	return true;
}

/* Sets x->pool (and the endpoint). Returns false when it has refused. */
static bool choose(struct sn_exchange *x)
{
	struct sn_worker *w = x->c->w;
	const struct sn_service *svc;
	struct sn_target t;
	uint16_t port;
	bool first = x->tries == 1;

	sn_target_find(x->c, &x->req, &t);
	switch (t.kind) {
	case SN_TARGET_REFUSE:
		sn_exchange_refuse(x, t.status, t.reason, t.detail);
		return false;
	case SN_TARGET_DIRECT:
		x->stats = sn_stats_block(&w->stats, sn_conn_dir(x->c) ? "inbound" : "outbound",
					  sn_conn_dir(x->c) ? "self" : "passthrough", "", "", "");
		x->pool = sn_worker_direct(w, &t.addr);
		break;
	case SN_TARGET_SERVICE:
		if (!choose_backend(x, &t, &svc, &port))
			return false;
		if (!x->stats)
			x->stats = sn_stats_block(&w->stats,
						  sn_conn_dir(x->c) ? "inbound" : "outbound",
						  t.svc->name, "", "", x->backend);
		if (first && x->stats)
			x->stats->requests++;
		if (!choose_endpoint(x, svc, port))
			return false;
		break;
	}
	if (t.kind == SN_TARGET_DIRECT && first && x->stats)
		x->stats->requests++;
	return true;
}

void sn_forward_start(struct sn_exchange *x)
{
	struct sn_worker *w = x->c->w;
	struct sn_upstream *u = NULL;
	int rc;

	x->tries++;
	if (x->req.method == SN_METHOD_CONNECT) {
		sn_exchange_refuse(x, 405, SN_REFUSE_METHOD, "CONNECT is not served");
		return;
	}
	if (!choose(x))
		return;
	if (x->tries == 1 && x->rule && x->rule->request_timeout_ms)
		sn_loop_timer(w->loop, &x->deadline, x->rule->request_timeout_ms);
	x->waiter.ready = on_ready;
	rc = x->pool ? sn_pool_get(x->pool, x->tries > 1, &x->waiter, &u) : -SN_ENOMEM;
	if (rc == 0)
		connected(x, u);
	else if (rc == -SN_EAGAIN)
		x->waiting = true;
	else
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD,
				   rc == -SN_ELIMIT ? "too many requests wait for a connection"
						    : "no descriptor or memory for a connection");
}

/* --- receiving ----------------------------------------------------------------------------------
 */

static int make_room(struct sn_exchange *x)
{
	size_t len = x->uend - x->ustart, max = x->c->w->limits.header_bytes, cap;
	char *p;

	if (!x->ubuf) {
		x->ubuf = sn_loop_iobuf_get(x->c->w->loop);
		x->ucap = SN_IOBUF_BYTES;
		x->ubuf_pooled = true;
		return x->ubuf ? 0 : -SN_ENOMEM;
	}
	if (x->uend < x->ucap)
		return 0;
	if (x->ustart) {
		memmove(x->ubuf, x->ubuf + x->ustart, len);
		x->ustart = 0;
		x->uend = len;
		return 0;
	}
	if (x->resp_started || x->ucap >= max)
		return -SN_ETOOBIG;
	cap = x->ucap * 2 > max ? max : x->ucap * 2;
	p = malloc(cap);
	if (!p)
		return -SN_ENOMEM;
	memcpy(p, x->ubuf, len);
	drop_ubuf(x);
	x->ubuf = p;
	x->uend = len;
	x->ucap = cap;
	x->ubuf_pooled = false;
	return 0;
}

static void upstream_ended(struct sn_exchange *x, bool clean)
{
	if (x->resp_started) {
		if (clean && sn_h1_body_eof(&x->resp_body) == 0) {
			struct sn_conn *c = x->c;

			if (x->resp_chunked) {
				struct iovec iov = {(char *)"0\r\n\r\n", 5};

				if (sn_outq_writev(&c->out, &c->d, &iov, 1)) {
					sn_conn_close(c, true);
					return;
				}
			}
			sn_forward_release(x, false, SN_TRY_ANSWERED);
			sn_exchange_done(x);
			return;
		}
		sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM, "the response was cut short");
		return;
	}
	if (x->resp_seen)
		sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM, "the response's head was cut short");
	else
		try_failed(x, false, 502, SN_REFUSE_UPSTREAM,
			   "the upstream closed the connection without an answer");
}

static void response_complete(struct sn_exchange *x)
{
	bool reusable = x->resp_keep && x->req_done;

	sn_forward_release(x, reusable, SN_TRY_ANSWERED);
	sn_exchange_done(x);
}

/* The head is there: decide how the body goes on, and write head and first body bytes together.
 * Returns false when the exchange has ended or must wait. */
static bool forward_head(struct sn_exchange *x, struct sn_slice in, size_t head_len,
			 struct sn_response *resp)
{
	struct sn_conn *c = x->c;
	struct sn_buf *s = &c->w->scratch;
	struct sn_body_out o = {.n_iov = 0};
	bool final = resp->status >= 200, old_client = x->req.minor == 0;
	int rc;

	x->status = resp->status;
	x->resp_keep = resp->keep_alive && resp->framing != SN_FRAMING_CLOSE;
	x->resp_chunked =
		final && !old_client &&
		(resp->framing == SN_FRAMING_CHUNKED || resp->framing == SN_FRAMING_CLOSE);
	x->d_close = !x->req.keep_alive || old_client || c->w->stopping ||
		     (c->w->draining && c->conf->direction == SN_INBOUND) || !x->req_done;
	sn_buf_reset(s);
	if (final || !old_client) {
		if (sn_headout_response(s, sn_slice(in.p, head_len), resp,
					x->resp_chunked ? SN_HEADOUT_CHUNKED
							: SN_HEADOUT_AS_DECLARED,
					final && x->d_close)) {
			sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
			return false;
		}
		add_iov(&o, sn_buf_slice(s).p, sn_buf_len(s));
	}
	o.used = 0;
	if (final) {
		x->resp_started = true;
		sn_h1_body_init(&x->resp_body, resp->framing, resp->content_length);
		rc = sn_body_collect(&x->resp_body, sn_slice(in.p + head_len, in.n - head_len),
				     x->resp_chunked, &o);
		if (rc) {
			sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM, "bad chunk in the response");
			return false;
		}
	}
	x->ustart += head_len + o.used;
	x->uscanned = 0;
	if (o.n_iov && sn_outq_writev(&c->out, &c->d, o.iov, o.n_iov)) {
		sn_conn_close(c, true);
		return false;
	}
	return true;
}

static bool parse_response(struct sn_exchange *x, struct sn_slice in)
{
	struct sn_h1_limits lim = {(uint32_t)x->c->w->limits.header_bytes,
				   (uint32_t)x->c->w->limits.header_count, 65536};
	struct sn_header storage[RESPONSE_HEADERS_MAX];
	struct sn_response resp = {.headers = {storage, 0, RESPONSE_HEADERS_MAX}};
	struct sn_h1_refusal why = {502, "bad-response"};
	int rc = sn_h1_parse_response(in, &x->uscanned, &lim, x->req.method, &resp, &why);

	if (rc == -SN_EMORE)
		return true;
	if (rc < 0 || resp.status == 101 ||
	    (resp.status < 200 && ++x->n_informational > INFORMATIONAL_MAX)) {
		sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM,
				   rc < 0 ? why.reason : "unexpected informational response");
		return false;
	}
	return forward_head(x, in, (size_t)rc, &resp);
}

/* Uses up what is buffered. Returns false when the exchange has ended. */
static bool process(struct sn_exchange *x)
{
	struct sn_conn *c = x->c;
	size_t before;

	do {
		struct sn_slice in = sn_slice(x->ubuf + x->ustart, x->uend - x->ustart);
		struct sn_body_out o = {.n_iov = 0};

		before = in.n;
		if (!x->resp_started) {
			if (!parse_response(x, in))
				return false;
		} else {
			if (sn_body_collect(&x->resp_body, in, x->resp_chunked, &o)) {
				sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM,
						   "bad chunk in the response");
				return false;
			}
			x->ustart += o.used;
			if (o.n_iov && sn_outq_writev(&c->out, &c->d, o.iov, o.n_iov)) {
				sn_conn_close(c, true);
				return false;
			}
		}
		if (x->resp_started && x->resp_body.done) {
			response_complete(x);
			return false;
		}
	} while (x->uend - x->ustart < before && x->uend > x->ustart && sn_outq_empty(&c->out));
	if (x->ustart == x->uend)
		drop_ubuf(x);
	return true;
}

void sn_forward_response(struct sn_exchange *x)
{
	struct sn_conn *c = x->c;

	while (x->u && sn_outq_empty(&c->out)) {
		ssize_t n;

		if (x->uend > x->ustart && x->resp_started) {
			if (!process(x))
				return;
			if (!sn_outq_empty(&c->out))
				return;
		}
		if (!x->u->s.may_read)
			return;
		n = make_room(x);
		if (n == -SN_ETOOBIG) {
			sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM,
					   "the response's head is too large");
			return;
		}
		if (n == 0)
			n = sn_stream_read(&x->u->s, x->ubuf + x->uend, x->ucap - x->uend);
		if (n == -SN_EAGAIN) {
			if (x->ustart == x->uend)
				drop_ubuf(x);
			return;
		}
		if (n <= 0) {
			upstream_ended(x, n == 0);
			return;
		}
		x->resp_seen = true;
		x->uend += (size_t)n;
		sn_loop_timer(c->w->loop, &c->timer, c->w->timeouts.body);
		if (!process(x))
			return;
	}
}

static void on_upstream(struct sn_upstream *u, unsigned events)
{
	struct sn_exchange *x = u->user;
	struct sn_conn *c = x->c;

	if (events & SN_STREAM_WRITABLE && !sn_outq_empty(&x->up_out)) {
		if (sn_outq_flush(&x->up_out, &u->s))
			write_failed(x);
		else if (sn_outq_empty(&x->up_out))
			sn_forward_request(x);
		if (c->x != x || x->u != u) {
			sn_http_resume(c);
			return;
		}
	}
	if (events & SN_STREAM_READABLE)
		sn_forward_response(x);
	sn_http_resume(c);
}
