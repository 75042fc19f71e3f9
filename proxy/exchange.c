/* SPDX-License-Identifier: Apache-2.0 */
/* The life of an exchange, between the client's side and the upstream's.
 *
 *   new -> begin -> [choose -> start -> connected -> respond ... -> response end] -> done
 *                      ^___ try failed, and safe ___|                    |
 *                            refuse, abort, cut  ----------------------> gone
 */
#include "proxy/exchange.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mesh/grpc.h"

#define FREE_EXCHANGES_MAX 256
#define ADDED_HEADERS_MAX 64 /* by filters */
#define INFORMATIONAL_MAX 16
#define TRIES_MAX 2
#define EARLY_MAX (2u << 20) /* a stream's window bounds it; this is the backstop */

static void on_deadline(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_exchange *x = sn_container_of(t, struct sn_exchange, deadline);

	(void)now_ms;
	sn_exchange_refuse(x, 504, SN_REFUSE_TIMEOUT, "the request's time has passed");
}

/* Bodies must move while the other side is ready for them. A silent upstream is the request
 * timeout's business, a silent stream is nobody's: dead peers are found by keep-alive. */
void sn_exchange_stalled(struct sn_exchange *x)
{
	size_t waiting = x->down->waiting(x);
	bool slow_reader = waiting && waiting == x->waiting_mark;
	bool slow_sender = !x->req_done && !x->resp_started && !x->grpc && x->req_sent && x->up &&
			   !x->up->full(x);

	x->waiting_mark = waiting;
	if (!slow_reader && !slow_sender) {
		sn_exchange_progress(x);
		return;
	}
	x->reset_code = SN_H2_CANCEL;
	sn_exchange_refuse(x, 408, SN_REFUSE_TIMEOUT, "no progress of a body in timeouts.body");
}

static void on_progress(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	sn_exchange_stalled(sn_container_of(t, struct sn_exchange, progress));
}

struct sn_exchange *sn_exchange_new(struct sn_conn *c, const struct sn_down *down)
{
	struct sn_worker *w = c->w;
	uint32_t cap = (uint32_t)w->limits.header_count + ADDED_HEADERS_MAX, old_cap;
	struct sn_exchange *x = w->free_exchanges;
	struct sn_header *storage;

	if (x) {
		w->free_exchanges = x->next_free;
		w->n_free_exchanges--;
	} else {
		x = calloc(1, sizeof(*x));
		if (!x)
			return NULL;
	}
	storage = x->storage;
	old_cap = x->storage_cap;
	if (down == &sn_down_h1 && old_cap < cap) {
		storage = realloc(x->storage, cap * sizeof(*storage));
		if (!storage) {
			free(x->storage);
			free(x);
			return NULL;
		}
		old_cap = cap;
	}
	/* everything in front of the upstream's state, which its side sets up */
	memset(x, 0, offsetof(struct sn_exchange, u1));
	x->storage = storage;
	x->storage_cap = old_cap;
	x->w = w;
	x->c = c;
	x->down = down;
	x->grpc_status = -1;
	x->req.headers.v = storage;
	x->req.headers.cap = cap;
	sn_list_init(&x->link);
	sn_buf_init(&x->early, EARLY_MAX);
	sn_buf_init(&x->early_trailers, EARLY_MAX);
	sn_replay_init(&x->replay);
	sn_timer_init(&x->deadline, on_deadline);
	sn_timer_init(&x->progress, on_progress);
	return x;
}

static void put_away(struct sn_exchange *x)
{
	struct sn_worker *w = x->w;

	if (w->n_free_exchanges >= FREE_EXCHANGES_MAX) {
		free(x->storage);
		free(x);
		return;
	}
	x->next_free = w->free_exchanges;
	w->free_exchanges = x;
	w->n_free_exchanges++;
}

static void release(struct sn_task *t)
{
	put_away(sn_container_of(t, struct sn_exchange, release));
}

void sn_exchange_discard(struct sn_exchange *x)
{
	put_away(x);
}

void sn_exchange_free_all(struct sn_worker *w)
{
	while (w->free_exchanges) {
		struct sn_exchange *x = w->free_exchanges;

		w->free_exchanges = x->next_free;
		free(x->storage);
		free(x);
	}
	w->n_free_exchanges = 0;
}

void sn_exchange_drop(struct sn_exchange *x, unsigned status)
{
	struct sn_worker *w = x->w;

	if (x->gone)
		return;
	x->gone = true;
	if (x->stats)
		sn_stats_response(x->stats, status, x->grpc_status,
				  sn_loop_now_ns(w->loop) - x->start_ns);
	sn_loop_timer_cancel(w->loop, &x->deadline);
	sn_loop_timer_cancel(w->loop, &x->progress);
	sn_buf_done(&x->early);
	sn_buf_done(&x->early_trailers);
	sn_replay_done(&x->replay);
	sn_list_del(&x->link);
	sn_snapshot_unref(x->snap);
	x->snap = NULL;
	w->n_requests--;
	sn_loop_defer(w->loop, &x->release, release);
}

/* --- letting go of the upstream -----------------------------------------------------------------
 */

static void let_go(struct sn_exchange *x, bool complete, enum sn_try_end end)
{
	const struct sn_up *up = x->up;
	uint64_t now = sn_loop_now_ns(x->w->loop);

	x->up = NULL;
	if (up)
		up->release(x, complete);
	if (x->endpoint) {
		struct sn_endpoint *e = x->endpoint;

		x->endpoint = NULL;
		sn_balance_done(x->cluster->balance, e, now - x->try_ns, end, now);
	}
}

void sn_exchange_refuse(struct sn_exchange *x, unsigned status, enum sn_refusal_reason reason,
			const char *detail)
{
	bool theirs = reason == SN_REFUSE_CONNECT || reason == SN_REFUSE_UPSTREAM ||
		      reason == SN_REFUSE_TIMEOUT;

	if (x->gone)
		return;
	sn_gather_reset(&x->w->gather);
	let_go(x, false, theirs ? SN_TRY_FAILED : SN_TRY_CANCELLED);
	sn_conn_refused(x->c, reason, detail);
	if (x->resp_sent) /* too late for an answer: the client must see that it is cut */
		x->down->cut(x);
	else
		x->down->answer(x, status, sn_refusal_name(reason), detail);
}

void sn_exchange_abort(struct sn_exchange *x)
{
	if (x->gone)
		return;
	sn_gather_reset(&x->w->gather);
	let_go(x, false, SN_TRY_CANCELLED);
	sn_exchange_drop(x, x->resp_sent ? x->status : 0);
}

/* --- tries --------------------------------------------------------------------------------------
 */

/* The shortest of what anybody on the way has said; the rule's comes with the rule. */
static void set_deadline(struct sn_exchange *x, uint64_t ms)
{
	uint64_t due = sn_loop_now_ms(x->w->loop) + ms;

	if (!sn_timer_is_set(&x->deadline) || due < x->deadline.due_ms)
		sn_loop_timer(x->w->loop, &x->deadline, ms);
}

static void try_once(struct sn_exchange *x)
{
	x->tries++;
	if (!sn_choose(x))
		return;
	if (x->tries == 1 && x->rule && x->rule->request_timeout_ms)
		set_deadline(x, x->rule->request_timeout_ms);
	x->up->start(x);
}

static void take_grpc_timeout(struct sn_exchange *x)
{
	const struct sn_header *h = sn_headers_find(&x->req.headers, SN_SLICE("grpc-timeout"));

	if (!h || sn_grpc_timeout_ns(h->value, &x->grpc_timeout_ns))
		return;
	x->expired = x->grpc_timeout_ns == 0;
	set_deadline(x, x->grpc_timeout_ns < 1000000 ? 1 : x->grpc_timeout_ns / 1000000);
}

static void take_client_facts(struct sn_exchange *x)
{
	struct sn_request *req = &x->req;
	const struct sn_header *h;

	sn_hop_take(&req->headers, x->c->conf->mesh_peer, sn_slice_cstr(x->w->boot->instance),
		    &x->hop);
	x->expired = x->hop.deadline_ms == 0;
	if (x->hop.deadline_ms != UINT64_MAX)
		set_deadline(x, x->hop.deadline_ms);
	if (req->major == 2) {
		h = sn_headers_find_id(&req->headers, SN_HDR_CONTENT_TYPE);
		x->grpc = h && sn_grpc_is_type(h->value);
	}
	if (x->grpc)
		take_grpc_timeout(x);
	x->connect = req->method == SN_METHOD_CONNECT && req->upgrade;
	if (x->connect)
		req->framing = SN_FRAMING_NONE; /* what comes is the tunnel's */
	if (req->upgrade && !x->connect && sn_websocket_is(req->upgrade_to)) {
		h = sn_headers_find(&req->headers, SN_SLICE("sec-websocket-key"));
		if (h && h->value.n == SN_WEBSOCKET_KEY)
			memcpy(x->ws_key, h->value.p, SN_WEBSOCKET_KEY);
	}
}

void sn_exchange_begin(struct sn_exchange *x)
{
	struct sn_worker *w = x->w;

	w->n_requests++;
	x->snap = sn_snapshot_ref(w->snap);
	x->start_ns = sn_loop_now_ns(w->loop);
	x->n_parsed = x->req.headers.n;
	take_client_facts(x);
	sn_exchange_progress(x);
	if (x->req.method == SN_METHOD_CONNECT && !x->connect)
		sn_exchange_refuse(x, 405, SN_REFUSE_METHOD, "CONNECT is not served");
	else if (x->req.major == 2 && x->req.path.n > w->limits.request_line_bytes)
		sn_exchange_refuse(x, 414, SN_REFUSE_BAD_REQUEST, "request-line-too-long");
	else if (x->expired)
		sn_exchange_refuse(x, 504, SN_REFUSE_TIMEOUT, "the request's time has passed");
	else if (x->req.two_authorities)
		sn_exchange_refuse(x, 400, SN_REFUSE_BAD_REQUEST, "authority-mismatch");
	else if (x->hop.loop)
		sn_exchange_refuse(x, 508, SN_REFUSE_LOOP, "the request came by here before");
	else if (sn_worker_is_full(w))
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "limits.memory is reached");
	else
		try_once(x);
}

void sn_exchange_try_failed(struct sn_exchange *x, bool unprocessed, unsigned status,
			    enum sn_refusal_reason reason, const char *detail)
{
	if (x->replay.lost || x->resp_seen || x->head.n == 0 || !unprocessed || x->hop.no_retry ||
	    x->tries >= TRIES_MAX) {
		sn_exchange_refuse(x, status, reason, detail);
		return;
	}
	/* That an idle connection was closed is no fault of the endpoint's. */
	let_go(x, false, reason == SN_REFUSE_CONNECT ? SN_TRY_FAILED : SN_TRY_CANCELLED);
	x->req_sent = x->req_done = false;
	try_once(x);
}

void sn_exchange_not_connected(struct sn_exchange *x, int code)
{
	switch (code) {
	case -SN_ETIMEOUT:
		sn_exchange_try_failed(x, true, 504, SN_REFUSE_CONNECT,
				       "the connect timeout has passed");
		break;
	case -SN_EPROTO:
		sn_exchange_try_failed(x, true, 502, SN_REFUSE_UPSTREAM,
				       "the upstream does not speak HTTP/2");
		break;
	case -SN_ELIMIT:
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD,
				   "too many requests wait for a connection");
		break;
	case -SN_ENOMEM:
	case -SN_ESYS:
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD,
				   "no descriptor or memory for a connection");
		break;
	default:
		sn_exchange_try_failed(x, true, 502, SN_REFUSE_CONNECT, "cannot connect");
		break;
	}
}

/* What was handed on in an earlier try. Returns 0, or negative: the try has failed. */
static int send_again(struct sn_exchange *x)
{
	struct sn_slice body = sn_buf_slice(&x->replay.body);
	struct iovec iov = {(char *)body.p, body.n};
	int rc = body.n ? x->up->payload(x, &iov, 1) : 0;

	if (rc == 0 && body.n) /* the copy may be given up with what comes next */
		rc = x->up->flush(x, true);
	if (rc == 0 && x->replay.whole)
		rc = x->up->end(x, NULL, sn_slice("", 0));
	return rc;
}

void sn_exchange_connected(struct sn_exchange *x, int (*put_head)(struct sn_exchange *x))
{
	const struct sn_up *up = x->up;

	if (put_head(x))
		return;
	x->req_sent = true;
	if (x->req.framing == SN_FRAMING_NONE) {
		x->req_done = true;
		up->flush(x, true);
		return;
	}
	if (send_again(x))
		return;
	if (x->replay.whole)
		x->req_done = true;
	else
		x->down->more(x);
	if (!x->gone && x->up == up)
		up->flush(x, true);
}

static void finished(struct sn_exchange *x)
{
	const struct sn_down *down = x->down;

	let_go(x, true, SN_TRY_ANSWERED);
	down->done(x);
}

/* Only HTTP/2 says of a request with a body that it was not processed. */
int sn_exchange_request_payload(struct sn_exchange *x, const struct iovec *iov, int n_iov)
{
	if (x->tunnel || x->resp_seen || x->up != &sn_up_h2 || sn_worker_is_tight(x->w))
		sn_replay_lose(&x->replay);
	else
		sn_replay_keep(&x->replay, iov, n_iov, x->w->limits.buffer_bytes);
	return x->up->payload(x, iov, n_iov);
}

void sn_exchange_request_sent(struct sn_exchange *x)
{
	if (x->tunnel && x->resp_done)
		finished(x);
}

int sn_exchange_request_end(struct sn_exchange *x, const struct sn_headers *trailers,
			    struct sn_slice head)
{
	const struct sn_up *up = x->up;
	int rc;

	if (trailers)
		sn_replay_lose(&x->replay);
	x->replay.whole = true;
	rc = up->end(x, trailers, head);
	if (rc || x->gone || x->up != up)
		return rc ? rc : -SN_ECONN;
	x->req_done = true;
	rc = up->flush(x, true);
	if (rc || x->gone || x->up != up)
		return rc ? rc : -SN_ECONN;
	if (up != &sn_up_h1 || !up->full(x))
		sn_exchange_request_sent(x);
	return 0;
}

/* --- the response -------------------------------------------------------------------------------
 */

/* Where one hop is HTTP/1 and the other one HTTP/2, the key's answer is checked on the one and made
 * on the other. Returns 0, or negative: refused. */
static int switch_websocket(struct sn_exchange *x, struct sn_response *resp, char *accept)
{
	struct sn_headers *hs = &resp->headers;
	const struct sn_header *h = sn_headers_find(hs, SN_SLICE("sec-websocket-accept"));

	if (x->connect == (x->up == &sn_up_h2))
		return 0; /* the same on both sides */
	sn_websocket_accept(x->ws_key, accept);
	if (x->connect) {
		if (!h || !sn_slice_eq(h->value, sn_slice(accept, SN_WEBSOCKET_ACCEPT))) {
			sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM,
					   "the WebSocket handshake's answer is wrong");
			return -SN_EPROTO;
		}
		hs->v[h - hs->v].flags |= SN_HDR_DROPPED;
	} else if (!h && hs->n < hs->cap) {
		hs->v[hs->n++] = (struct sn_header){.name = SN_SLICE("Sec-WebSocket-Accept"),
						    .value = sn_slice(accept, SN_WEBSOCKET_ACCEPT)};
	}
	return 0;
}

static bool was_asked_for(const struct sn_exchange *x, const struct sn_response *resp)
{
	struct sn_slice list = x->req.upgrade_to;

	while (resp->upgrade && list.n)
		if (sn_slice_ieq(sn_slice_trim(sn_slice_cut(&list, ',')), resp->upgrade_to))
			return true;
	return false;
}

/* A switch of protocols that was asked for makes the rest a tunnel. HTTP/1 says 101, extended
 * CONNECT says 200. Returns 0, or negative: refused. */
static int switch_protocols(struct sn_exchange *x, struct sn_response *resp, char *accept)
{
	bool by_connect = x->up == &sn_up_h2 && x->req.upgrade && resp->status / 100 == 2;

	if (resp->status == 101 || by_connect) {
		if (!x->req.upgrade || (resp->status == 101 && !was_asked_for(x, resp))) {
			sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM,
					   "a switch of protocols that nobody asked for");
			return -SN_EPROTO;
		}
		x->tunnel = true;
		x->req_done = false; /* its direction goes on as bytes */
		resp->framing = SN_FRAMING_CLOSE;
		resp->upgrade = true;
		if (by_connect)
			resp->upgrade_to = x->req.upgrade_to;
		resp->status = x->connect ? 200 : 101;
		if (resp->status == 101)
			resp->reason = SN_SLICE("Switching Protocols");
		if (sn_websocket_is(x->req.upgrade_to))
			return switch_websocket(x, resp, accept);
	}
	return 0;
}

/* What proxies say is not an application's to say. */
static void drop_mesh_headers(struct sn_headers *hs)
{
	uint32_t i;

	for (i = 0; i < hs->n; i++)
		if (hs->v[i].id == SN_HDR_SENNIT)
			hs->v[i].flags |= SN_HDR_DROPPED;
}

int sn_exchange_respond(struct sn_exchange *x, struct sn_response *resp, struct sn_slice head)
{
	char accept[SN_WEBSOCKET_ACCEPT];
	const struct sn_header *h;
	int rc = switch_protocols(x, resp, accept);

	if (rc)
		return rc;
	if (resp->status < 200 && !x->tunnel) {
		if (++x->n_informational > INFORMATIONAL_MAX) {
			sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM,
					   "too many informational responses");
			return -SN_EPROTO;
		}
	} else {
		x->status = resp->status;
		x->resp_started = true;
		if (x->grpc && (h = sn_headers_find(&resp->headers, SN_SLICE("grpc-status"))))
			x->grpc_status = sn_grpc_status(h->value);
	}
	if (!x->mesh)
		drop_mesh_headers(&resp->headers);
	sn_replay_lose(&x->replay); /* it was processed */
	rc = x->down->respond(x, resp, head);
	if (rc == 0 && x->tunnel) {
		rc = x->down->flush(x, true);
		if (rc == 0)
			x->down->more(x); /* what the client sent early */
	}
	return rc || x->gone ? -SN_ECONN : 0;
}

void sn_exchange_response_end(struct sn_exchange *x, const struct sn_headers *trailers,
			      struct sn_slice head, bool now)
{
	const struct sn_header *h;

	if (trailers && x->grpc && (h = sn_headers_find(trailers, SN_SLICE("grpc-status"))))
		x->grpc_status = sn_grpc_status(h->value);
	x->resp_done = true;
	if (x->down->end(x, trailers, head) || x->down->flush(x, now) || x->gone)
		return;
	if (!x->tunnel || x->req_done)
		finished(x);
}
