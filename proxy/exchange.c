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
#include "base/num.h"
#include "mesh/grpc.h"

#define FREE_EXCHANGES_MAX 256
#define INFORMATIONAL_MAX 16
#define EARLY_MAX (2u << 20) /* a stream's window bounds it; this is the backstop */

static void on_deadline(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_exchange *x = sn_container_of(t, struct sn_exchange, deadline);

	(void)now_ms;
	sn_exchange_refuse(x, 504, SN_REFUSE_TIMEOUT, "the request's time has passed");
}

/* Looked at again when the next of the two times can have passed. */
static void look_again(struct sn_exchange *x, uint64_t quiet_ms)
{
	uint64_t body = x->w->timeouts.body, stream = x->w->timeouts.stream;
	uint64_t wait = body - quiet_ms % body;

	if (stream && stream > quiet_ms && stream - quiet_ms < wait)
		wait = stream - quiet_ms;
	if (x->down == &sn_down_h2)
		x->progress_ms = sn_loop_now_ms(x->w->loop) + wait - x->w->progress_ms;
	else
		sn_loop_timer(x->w->loop, &x->c->timer, wait);
}

/* Bodies must move while the other side is ready for them. A silent upstream is the request
 * timeout's business, a silent stream that of timeouts.stream, if that is set: dead peers are found
 * by keep-alive. */
void sn_exchange_stalled(struct sn_exchange *x)
{
	uint64_t quiet_ms = sn_loop_now_ms(x->w->loop) - x->moved_ms;
	uint64_t stream = x->w->timeouts.stream;
	size_t waiting = x->down->waiting(x);
	bool slow_reader = waiting && waiting == x->waiting_mark;
	bool slow_sender = !x->req_done && !x->resp_started && !x->grpc && x->req_sent && x->up &&
			   !x->up->full(x);

	if (stream && quiet_ms >= stream && (x->resp_started || (x->grpc && x->req_sent))) {
		x->reset_code = SN_H2_CANCEL;
		sn_exchange_refuse(x, 504, SN_REFUSE_TIMEOUT,
				   "nothing moved on a stream in timeouts.stream");
	} else if (quiet_ms < x->w->timeouts.body) {
		look_again(x, quiet_ms);
	} else if (slow_reader || slow_sender) {
		x->reset_code = SN_H2_CANCEL;
		sn_exchange_refuse(x, 408, SN_REFUSE_TIMEOUT,
				   "no progress of a body in timeouts.body");
	} else {
		x->waiting_mark = waiting;
		look_again(x, quiet_ms);
	}
}

struct sn_exchange *sn_exchange_new(struct sn_worker *w, struct sn_conn *c,
				    const struct sn_down *down)
{
	uint32_t cap = (uint32_t)w->limits.header_count + SN_ADDED_HEADERS, old_cap;
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
	if (down != &sn_down_h2 && old_cap < cap) {
		storage = realloc(x->storage, cap * sizeof(*storage));
		if (!storage) {
			free(x->storage);
			free(x);
			return NULL;
		}
		old_cap = cap;
	}
	memset(x, 0, offsetof(struct sn_exchange, turn));
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
	sn_buf_init(&x->hop_names, 0);
	sn_replay_init(&x->replay);
	sn_timer_init(&x->deadline, on_deadline);
	sn_tries_init(x);
	return x;
}

static void put_away(struct sn_exchange *x)
{
	struct sn_worker *w = x->w;

	sn_filter_free(x->filtered);
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
	sn_tries_end(x);
	if (x->early.data)
		sn_buf_done(&x->early);
	if (x->early_trailers.data)
		sn_buf_done(&x->early_trailers);
	if (x->hop_names.data)
		sn_buf_done(&x->hop_names);
	sn_replay_done(&x->replay);
	if (x->filtered)
		sn_filter_done(x);
	sn_list_del(&x->link);
	sn_snapshot_unref(x->snap);
	x->snap = NULL;
	w->n_requests--;
	sn_loop_defer(w->loop, &x->release, release);
}

/* What a refusal in the middle of a try says about the upstream. */
static enum sn_outcome_kind outcome_of(unsigned status, enum sn_refusal_reason reason)
{
	if (reason == SN_REFUSE_CONNECT)
		return SN_OUTCOME_CONNECT;
	if (reason == SN_REFUSE_UPSTREAM)
		return SN_OUTCOME_RESET;
	return status == 504 ? SN_OUTCOME_TIMEOUT : SN_OUTCOME_CANCELLED;
}

void sn_exchange_refuse(struct sn_exchange *x, unsigned status, enum sn_refusal_reason reason,
			const char *detail)
{
	if (x->gone)
		return;
	sn_gather_reset(&x->w->gather);
	sn_tries_let_go(x, false, outcome_of(status, reason));
	if (x->c)
		sn_conn_refused(x->c, reason, detail);
	if (x->resp_sent) /* too late for an answer: the client must see that it is cut */
		x->down->cut(x);
	else
		x->down->answer(x, status, sn_refusal_name(reason), detail);
}

void sn_exchange_refuse_for(struct sn_exchange *x, uint64_t wait_ns, const char *detail)
{
	x->come_back_s = (uint32_t)((wait_ns + 999999999) / 1000000000);
	sn_exchange_refuse(x, 429, SN_REFUSE_RATE_LIMIT, detail);
}

void sn_exchange_abort(struct sn_exchange *x)
{
	if (x->gone)
		return;
	sn_gather_reset(&x->w->gather);
	sn_tries_let_go(x, false, SN_OUTCOME_CANCELLED);
	sn_exchange_drop(x, x->resp_sent ? x->status : 0);
}

/* --- the beginning ------------------------------------------------------------------------------
 */

/* The shortest of what anybody on the way has said; the rule's comes with the rule. */
void sn_exchange_set_deadline(struct sn_exchange *x, uint64_t ms)
{
	uint64_t due = sn_loop_now_ms(x->w->loop) + ms;

	if (!sn_timer_is_set(&x->deadline) || due < x->deadline.due_ms)
		sn_loop_timer(x->w->loop, &x->deadline, ms);
}

uint64_t sn_exchange_left_ms(const struct sn_exchange *x)
{
	uint64_t now = sn_loop_now_ms(x->w->loop), due = x->deadline.due_ms;

	if (!sn_timer_is_set(&x->deadline))
		return UINT64_MAX;
	return due > now ? due - now : 1;
}

static void take_grpc_timeout(struct sn_exchange *x)
{
	const struct sn_header *h = sn_headers_find(&x->req.headers, SN_SLICE("grpc-timeout"));

	if (!h || sn_grpc_timeout_ns(h->value, &x->grpc_timeout_ns))
		return;
	x->expired |= x->grpc_timeout_ns == 0;
	sn_exchange_set_deadline(x,
				 x->grpc_timeout_ns < 1000000 ? 1 : x->grpc_timeout_ns / 1000000);
}

static void take_client_facts(struct sn_exchange *x)
{
	struct sn_request *req = &x->req;
	const struct sn_header *h;

	sn_hop_take(&req->headers, x->c->conf->mesh_peer, sn_slice_cstr(x->w->boot->instance),
		    &x->hop);
	x->expired = x->hop.deadline_ms == 0;
	if (x->hop.deadline_ms != UINT64_MAX)
		sn_exchange_set_deadline(x, x->hop.deadline_ms);
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
	sn_trim_more(&w->trim, w->n_connections + w->n_requests);
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
	else if (w->limits.requests && w->n_requests > w->limits.requests)
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "limits.requests is reached");
	else
		sn_tries_begin(x);
}

/* --- the request ---------------------------------------------------------------------------------
 */

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

	sn_tries_let_go(x, true, SN_OUTCOME_ANSWERED);
	down->done(x);
}

void sn_exchange_answer(struct sn_exchange *x, struct sn_response *resp, struct sn_slice body)
{
	struct iovec iov = {(char *)body.p, body.n};

	x->status = resp->status;
	x->resp_started = true;
	if (x->req.framing == SN_FRAMING_NONE)
		x->req_done = true;
	if (x->down->respond(x, resp, sn_slice("", 0)))
		return;
	if (resp->framing != SN_FRAMING_NONE && body.n && x->down->payload(x, &iov, 1))
		return;
	x->resp_done = true;
	if (x->down->end(x, NULL, sn_slice("", 0)) || x->down->flush(x, true) || x->gone)
		return;
	finished(x);
}

int sn_exchange_request_payload(struct sn_exchange *x, const struct iovec *iov, int n_iov)
{
	if (!sn_tries_keep(x))
		sn_replay_lose(&x->replay);
	else
		sn_replay_keep(&x->replay, iov, n_iov, x->w->limits.buffer_bytes);
	if (x->filtered)
		sn_mirror_payload(x, iov, n_iov);
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
	if (x->filtered)
		sn_mirror_end(x);
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

/* What proxies say is not an application's to say, and whether to repeat is between proxies. */
static void settle_mesh_headers(const struct sn_exchange *x, struct sn_headers *hs)
{
	bool no_retry = x->gave_up || x->no_retry_upstream;
	uint32_t i;

	for (i = 0; i < hs->n; i++)
		if (hs->v[i].id == SN_HDR_SENNIT &&
		    (!x->mesh || sn_slice_ieq(hs->v[i].name, SN_SLICE("sennit-retry"))))
			hs->v[i].flags |= SN_HDR_DROPPED;
	if (no_retry && x->c && x->c->conf->mesh_peer && hs->n < hs->cap)
		hs->v[hs->n++] = (struct sn_header){.name = SN_SLICE("sennit-retry"),
						    .value = SN_SLICE("no"),
						    .id = SN_HDR_SENNIT};
}

int sn_exchange_respond(struct sn_exchange *x, struct sn_response *resp, struct sn_slice head)
{
	char accept[SN_WEBSOCKET_ACCEPT], session[SN_SESSION_TEXT];
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
		if (x->grpc && (h = sn_headers_find(&resp->headers, SN_SLICE("grpc-status"))))
			x->grpc_status = sn_grpc_status(h->value);
		if (!x->tunnel && !sn_tries_accept(x, resp))
			return -SN_ECONN;
		x->resp_started = true;
		if (x->svc && x->svc->policy.persist)
			sn_session_tell(x, &resp->headers, session);
	}
	settle_mesh_headers(x, &resp->headers);
	if (x->rule && x->rule->filters && x->resp_started &&
	    sn_filter_response(x, &resp->headers)) {
		x->grpc_status = -1; /* what it said is not passed on */
		sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM, "too many headers in the response");
		return -SN_ETOOBIG;
	}
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
