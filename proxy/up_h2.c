/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream's side of HTTP/2: one stream on a connection that many requests share. */
#include <string.h>

#include "base/err.h"
#include "mesh/grpc.h"
#include "proxy/exchange.h"
#include "proxy/peer.h"

static struct sn_exchange *exchange_of(const struct sn_h2_stream *s)
{
	return s->user;
}

/* --- starting and letting go --------------------------------------------------------------------
 */

/* What is left of the caller's patience, never more than it said (gRPC's deadline propagation). */
static void tell_grpc_timeout(struct sn_exchange *x)
{
	struct sn_headers *hs = &x->req.headers;
	uint64_t passed = sn_loop_now_ns(x->w->loop) - x->start_ns, ms = sn_exchange_left_ms(x), ns;
	uint32_t i;

	if (!x->grpc_timeout_ns)
		return;
	ns = x->grpc_timeout_ns > passed ? x->grpc_timeout_ns - passed : 1;
	if (ms < ns / 1000000)
		ns = ms * 1000000;
	for (i = 0; i < hs->n; i++)
		if (sn_slice_ieq(hs->v[i].name, SN_SLICE("grpc-timeout")))
			hs->v[i].value = sn_slice(x->grpc_timeout,
						  sn_grpc_timeout_format(ns, x->grpc_timeout));
}

/* Extended CONNECT has no key (RFC 8441 5); another try may be of HTTP/1, which has. */
static void hide_key(struct sn_headers *hs, bool hidden)
{
	uint32_t i;

	for (i = 0; i < hs->n; i++)
		if (sn_slice_ieq(hs->v[i].name, SN_SLICE("sec-websocket-key")))
			hs->v[i].flags = (uint8_t)(hidden ? hs->v[i].flags | SN_HDR_DROPPED
							  : hs->v[i].flags & ~SN_HDR_DROPPED);
}

/* A try that is itself a repetition is not to be repeated further on. */
static void tell_peer(struct sn_exchange *x, bool was_h1, char text[SN_HOP_TEXT])
{
	struct sn_hop said = x->hop;

	said.no_retry |= x->tries > 1;
	sn_hop_tell(&x->req.headers, &said, was_h1, sn_exchange_left_ms(x),
		    sn_slice_cstr(x->w->boot->instance), text);
}

static int put_head(struct sn_exchange *x)
{
	struct sn_up_h2_state *u = &x->u2;
	struct sn_headers *hs = &x->req.headers;
	bool was_h1 = x->req.major == 1 || x->hop.was_h1, websocket;
	char hop[SN_HOP_TEXT];
	uint32_t n = hs->n;
	int rc;

	if (x->req.upgrade && !sn_h2_peer_takes_connect(u->h2)) {
		if (x->connect) {
			sn_exchange_refuse(x, 501, SN_REFUSE_UPSTREAM,
					   "the upstream does not take extended CONNECT");
			return -SN_EUNSUPP;
		}
		x->req.upgrade = false; /* an upgrade is an offer: it may be passed over */
	}
	websocket = x->req.upgrade && sn_websocket_is(x->req.upgrade_to);
	if (websocket)
		hide_key(hs, true);
	if (x->mesh)
		tell_peer(x, was_h1, hop);
	if (x->grpc)
		tell_grpc_timeout(x);
	rc = sn_h2_submit_request(u->h2, &x->req,
				  x->req.framing == SN_FRAMING_NONE && !x->req.upgrade, x, &u->s);
	hs->n = n;
	if (websocket)
		hide_key(hs, false);
	if (rc) {
		u->s = NULL;
		if (rc == -SN_ENOMEM)
			sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
		else
			sn_exchange_try_failed(x, true, 502, SN_REFUSE_UPSTREAM,
					       "the upstream takes no more requests");
		return rc;
	}
	return 0;
}

static void on_ready(struct sn_h2_waiter *w, struct sn_h2 *h2, int code)
{
	struct sn_exchange *x = sn_container_of(w, struct sn_exchange, u2.waiter);

	x->u2.waiting = false;
	x->u2.h2 = h2;
	if (h2)
		sn_exchange_connected(x, put_head);
	else
		sn_exchange_not_connected(x, code);
}

static void up_start(struct sn_exchange *x)
{
	struct sn_up_h2_state *u = &x->u2;
	int rc;

	memset(u, 0, sizeof(*u));
	sn_list_init(&u->waiter.link);
	u->waiter.ready = on_ready;
	u->pool = sn_peer_h2(x->peer);
	rc = u->pool ? sn_h2pool_get(u->pool, &u->waiter, &u->h2) : -SN_ENOMEM;
	if (rc == 0)
		sn_exchange_connected(x, put_head);
	else if (rc == -SN_EAGAIN)
		u->waiting = true;
	else
		sn_exchange_not_connected(x, rc);
}

static void up_release(struct sn_exchange *x, bool complete)
{
	struct sn_up_h2_state *u = &x->u2;
	struct sn_h2_stream *s = u->s;

	if (u->waiting) {
		u->waiting = false;
		sn_h2pool_cancel(u->pool, &u->waiter);
	}
	u->s = NULL;
	if (!s)
		return;
	s->user = NULL;
	if (u->owed)
		sn_h2_consume(s, u->owed);
	/* One that has ended on both sides closes by itself, whatever became of its answer. */
	if (!s->local_ended || !s->remote_ended)
		sn_h2_reset(s, complete ? SN_H2_NO_ERROR : SN_H2_CANCEL);
	sn_h2pool_kick(s->h2);
}

/* --- the request --------------------------------------------------------------------------------
 */

static int local_trouble(struct sn_exchange *x, int rc)
{
	if (rc)
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
	return rc;
}

static int up_payload(struct sn_exchange *x, const struct iovec *iov, int n_iov)
{
	return local_trouble(x, sn_h2_send(x->u2.s, iov, n_iov));
}

static int up_end(struct sn_exchange *x, const struct sn_headers *trailers, struct sn_slice head)
{
	(void)head;
	return x->u2.s->local_ended ? 0 : local_trouble(x, sn_h2_send_end(x->u2.s, trailers));
}

static int up_flush(struct sn_exchange *x, bool now)
{
	(void)now;
	sn_h2pool_kick(x->u2.s->h2);
	return 0;
}

static bool up_full(struct sn_exchange *x)
{
	return !x->u2.s || !sn_h2_wants_more(x->u2.s, x->w->limits.buffer_bytes);
}

/* --- the response -------------------------------------------------------------------------------
 */

static void up_more(struct sn_exchange *x)
{
	struct sn_up_h2_state *u = &x->u2;

	if (!u->s || !u->owed)
		return;
	sn_h2_consume(u->s, u->owed);
	u->owed = 0;
	sn_h2pool_kick(u->s->h2);
}

static void on_response(struct sn_h2_stream *s, struct sn_response *resp, struct sn_slice head)
{
	struct sn_exchange *x = exchange_of(s);

	if (!x)
		return;
	x->resp_seen = true;
	sn_exchange_progress(x);
	if (sn_exchange_respond(x, resp, head) || !x->resp_started)
		return;
	if (s->remote_ended)
		sn_exchange_response_end(x, NULL, head, true);
	else
		x->down->flush(x, false);
}

static void on_data(struct sn_h2_stream *s, struct sn_slice payload)
{
	struct sn_exchange *x = exchange_of(s);
	struct iovec iov = {(char *)payload.p, payload.n};

	if (!x) {
		sn_h2_consume(s, payload.n);
		return;
	}
	x->u2.owed += payload.n;
	sn_exchange_progress(x);
	if (x->down->payload(x, &iov, 1) || x->down->flush(x, false))
		return;
	if (!x->gone && !x->down->full(x))
		up_more(x);
}

static void on_end(struct sn_h2_stream *s, const struct sn_headers *trailers, struct sn_slice head)
{
	struct sn_exchange *x = exchange_of(s);

	if (!x)
		return;
	if (!x->resp_started)
		sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM, "the response's head is missing");
	else
		sn_exchange_response_end(x, trailers, head, true);
}

static void on_drained(struct sn_h2_stream *s)
{
	struct sn_exchange *x = exchange_of(s);

	if (!x)
		return;
	sn_exchange_progress(x);
	x->down->more(x);
}

static void on_closed(struct sn_h2_stream *s, uint32_t error, bool unprocessed)
{
	struct sn_exchange *x = exchange_of(s);

	if (!x)
		return;
	s->user = NULL;
	x->u2.s = NULL;
	x->reset_code = error;
	sn_exchange_try_failed(x, unprocessed, 502, SN_REFUSE_UPSTREAM,
			       x->resp_started ? "the response was cut short"
			       : unprocessed   ? "the upstream refused the request"
					       : "the upstream reset the request");
}

static void on_refused(struct sn_h2 *h2, unsigned status, const char *reason)
{
	(void)h2; /* `closed` follows and is counted with its exchange */
	(void)status;
	(void)reason;
}

const struct sn_h2_events sn_up_h2_events = {
	.response = on_response,
	.data = on_data,
	.end = on_end,
	.drained = on_drained,
	.closed = on_closed,
	.refused = on_refused,
};

const struct sn_up sn_up_h2 = {
	.start = up_start,
	.payload = up_payload,
	.end = up_end,
	.flush = up_flush,
	.full = up_full,
	.more = up_more,
	.release = up_release,
};
