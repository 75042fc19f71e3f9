/* SPDX-License-Identifier: Apache-2.0 */
/* The upstream's side of HTTP/1: a pooled connection, one request on it, its response. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "http/headout.h"
#include "proxy/exchange.h"
#include "proxy/peer.h"

#define RESPONSE_HEADERS_MAX 1000

static void on_upstream(struct sn_upstream *up, unsigned events);

/* --- connecting and letting go ------------------------------------------------------------------
 */

/* Is what is left of an answer that nobody wants already here? Then the connection is as good as
 * new. */
static bool read_out(struct sn_up_h1_state *u)
{
	struct sn_input_body part = {.used = 1};

	while (u->answered && !u->body.done && part.used) {
		if (sn_input_body(&u->in, 0, &u->body, &part))
			return false;
		u->in.start += part.used;
	}
	return u->answered && u->body.done;
}

static void up_release(struct sn_exchange *x, bool complete)
{
	struct sn_up_h1_state *u = &x->u1;
	bool whole = complete || (!x->tunnel && read_out(u));
	bool clean = sn_input_empty(&u->in) && sn_outq_empty(&u->out) && x->req_done && u->keep;
	struct sn_upstream *conn = u->u;

	sn_input_drop(&u->in, x->w->loop);
	sn_loop_turn_end_cancel(x->w->loop, &u->flush);
	sn_outq_done(&u->out);
	sn_buf_done(&u->hop_names);
	if (u->waiting) {
		u->waiting = false;
		sn_pool_cancel(u->pool, &u->waiter);
	}
	u->u = NULL;
	if (conn)
		sn_pool_put(conn, whole && clean);
}

static int put_head(struct sn_exchange *x)
{
	struct sn_gather *g = &x->w->gather;
	struct sn_headers *hs = &x->req.headers;
	uint32_t n = hs->n;
	int rc;

	if (x->connect && sn_websocket_is(x->req.upgrade_to) && hs->n < hs->cap) {
		sn_websocket_new_key(&x->w->rng, x->ws_key);
		hs->v[hs->n++] = (struct sn_header){.name = SN_SLICE("Sec-WebSocket-Key"),
						    .value = sn_slice(x->ws_key, SN_WEBSOCKET_KEY)};
	}
	sn_buf_reset(&g->head);
	rc = sn_headout_request(&g->head, x->head, &x->req, x->n_parsed);
	hs->n = n;
	if (rc) {
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
		return -SN_ENOMEM;
	}
	sn_gather_add(g, sn_buf_slice(&g->head));
	return 0;
}

static void connected(struct sn_exchange *x, struct sn_upstream *conn)
{
	x->u1.u = conn;
	conn->cb = on_upstream;
	conn->user = x;
	sn_exchange_connected(x, put_head);
}

static void on_ready(struct sn_waiter *w, struct sn_upstream *conn, int code)
{
	struct sn_exchange *x = sn_container_of(w, struct sn_exchange, u1.waiter);

	x->u1.waiting = false;
	if (conn)
		connected(x, conn);
	else
		sn_exchange_not_connected(x, code);
}

static void up_start(struct sn_exchange *x)
{
	struct sn_up_h1_state *u = &x->u1;
	struct sn_upstream *conn = NULL;
	int rc;

	memset(u, 0, sizeof(*u));
	sn_outq_init(&u->out, 4u << 20);
	u->waiter.ready = on_ready;
	u->pool = sn_peer_h1(x->peer);
	rc = u->pool ? sn_pool_get(u->pool, x->fresh, &u->waiter, &conn) : -SN_ENOMEM;
	if (rc == 0)
		connected(x, conn);
	else if (rc == -SN_EAGAIN)
		u->waiting = true;
	else
		sn_exchange_not_connected(x, rc);
}

/* --- the request --------------------------------------------------------------------------------
 */

/* No byte of a response has come. The request may be sent again if it cannot have been processed,
 * or if it does no harm twice and a connection that was kept open has just been closed. */
static void broke(struct sn_exchange *x, const char *detail)
{
	struct sn_upstream *conn = x->u1.u;
	bool unprocessed = conn->s.tx_bytes == 0;
	bool harmless = x->req.framing == SN_FRAMING_NONE &&
			sn_method_is_idempotent(x->req.method) && conn->n_requests > 1;

	sn_exchange_try_failed(x, unprocessed || harmless, 502, SN_REFUSE_UPSTREAM, detail);
}

static void up_more(struct sn_exchange *x);

/* An answer may have been sent before the connection broke: then the upload is over and the answer
 * is read as far as it came. */
static int write_failed(struct sn_exchange *x)
{
	x->u1.upload_over = true;
	if (x->u1.u->s.may_read && (!x->resp_seen || x->tunnel))
		up_more(x);
	if (x->gone || x->up != &sn_up_h1)
		return -SN_ECONN;
	if (!x->resp_seen)
		broke(x, "the upstream connection broke");
	else if (x->tunnel)
		sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM, "the upstream connection broke");
	return -SN_ECONN;
}

static int up_payload(struct sn_exchange *x, const struct iovec *iov, int n_iov)
{
	sn_gather_payload(&x->w->gather, iov, n_iov,
			  !x->tunnel && x->req.framing == SN_FRAMING_CHUNKED);
	return 0;
}

static int up_end(struct sn_exchange *x, const struct sn_headers *trailers, struct sn_slice head)
{
	struct sn_gather *g = &x->w->gather;

	if (x->tunnel) {
		if (sn_outq_empty(&x->u1.out))
			sn_stream_shutdown_write(&x->u1.u->s);
		return 0;
	}
	if (x->req.framing != SN_FRAMING_CHUNKED)
		return 0;
	if (!trailers) {
		sn_gather_add(g, SN_SLICE("0\r\n\r\n"));
		return 0;
	}
	sn_buf_reset(&g->trail);
	sn_buf_append(&g->trail, "0\r\n", 3);
	if (sn_headout_trailers(&g->trail, head, trailers)) {
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
		return -SN_ENOMEM;
	}
	sn_gather_add(g, sn_buf_slice(&g->trail));
	return 0;
}

static void flushed(struct sn_exchange *x)
{
	if (!sn_outq_empty(&x->u1.out))
		return;
	if (x->tunnel && x->req_done) {
		sn_stream_shutdown_write(&x->u1.u->s);
		sn_exchange_request_sent(x);
	} else {
		x->down->more(x);
	}
}

static void on_flush(struct sn_task *t)
{
	struct sn_exchange *x = sn_container_of(t, struct sn_exchange, u1.flush);

	if (sn_outq_flush(&x->u1.out, &x->u1.u->s))
		write_failed(x);
	else
		flushed(x);
}

static int up_flush(struct sn_exchange *x, bool now)
{
	struct sn_up_h1_state *u = &x->u1;
	struct sn_gather *g = &x->w->gather;

	if (g->n_iov == 0)
		return 0;
	if (u->upload_over) {
		sn_gather_reset(g);
		return -SN_ECONN;
	}
	if (sn_gather_flush(g, &u->out, &u->u->s, now))
		return write_failed(x);
	if (!now)
		sn_loop_at_turn_end(x->w->loop, &u->flush, on_flush);
	return 0;
}

static bool up_full(struct sn_exchange *x)
{
	return !x->u1.u || x->u1.upload_over || !sn_outq_empty(&x->u1.out);
}

/* --- the response -------------------------------------------------------------------------------
 */

static void upstream_ended(struct sn_exchange *x, bool clean)
{
	if (!x->resp_seen)
		broke(x, "the upstream closed the connection without an answer");
	else if (x->resp_started && clean && sn_h1_body_eof(&x->u1.body) == 0)
		sn_exchange_response_end(x, NULL, sn_slice("", 0), true);
	else
		sn_exchange_try_failed(x, false, 502, SN_REFUSE_UPSTREAM,
				       x->resp_started ? "the response was cut short"
						       : "the response's head was cut short");
}

/* True when a head was taken off the input; false: more must come, or the exchange has ended. */
static bool take_head(struct sn_exchange *x)
{
	struct sn_up_h1_state *u = &x->u1;
	struct sn_h1_limits lim = {(uint32_t)x->w->limits.header_bytes,
				   (uint32_t)x->w->limits.header_count, 65536};
	struct sn_header storage[RESPONSE_HEADERS_MAX + SN_ADDED_HEADERS];
	struct sn_response resp = {.headers = {storage, 0, SN_ARRAY_LEN(storage)}};
	struct sn_h1_refusal why = {502, "bad-response"};
	struct sn_slice in = sn_input_slice(&u->in);
	int rc = sn_h1_parse_response(in, &u->in.scanned, &lim, x->req.method, &resp, &why);

	if (rc == -SN_EMORE)
		return false;
	if (rc < 0) {
		sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM, why.reason);
		return false;
	}
	u->in.start += (size_t)rc; /* where it lies stays: its slices are still needed */
	u->in.scanned = 0;
	if (resp.status >= 200 || resp.status == 101) {
		u->answered = true;
		u->keep = resp.keep_alive && resp.framing != SN_FRAMING_CLOSE && resp.status != 101;
		sn_h1_body_init(&u->body, resp.status == 101 ? SN_FRAMING_CLOSE : resp.framing,
				resp.content_length);
		if (u->body.framing == SN_FRAMING_CHUNKED) {
			if (sn_h1_hop_names(&resp.headers, &u->hop_names)) {
				sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM, "out of memory");
				return false;
			}
			u->body.hop_names = sn_buf_slice(&u->hop_names);
		}
	}
	return sn_exchange_respond(x, &resp, sn_slice(in.p, (size_t)rc)) == 0;
}

/* Passes on what is buffered of the body and the end. Returns false when that ended the exchange or
 * there was nothing. */
static bool pass_buffered(struct sn_exchange *x)
{
	struct sn_up_h1_state *u = &x->u1;
	struct sn_input_body part;

	if (sn_input_body(&u->in, 0, &u->body, &part)) {
		sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM, "bad chunk in the response");
		return false;
	}
	u->in.start += part.used;
	if (part.n_iov && x->down->payload(x, part.iov, part.n_iov))
		return false;
	if (u->body.done) {
		sn_exchange_response_end(x, part.trailers, part.section, true);
		return false;
	}
	if (x->down->flush(x, true))
		return false;
	return part.used > 0;
}

/* Uses up what is buffered. Returns false when the exchange has ended. */
static bool process(struct sn_exchange *x)
{
	struct sn_up_h1_state *u = &x->u1;

	while (!sn_input_empty(&u->in) || (x->resp_started && u->body.done && !x->resp_done)) {
		if (!x->resp_started) {
			if (!take_head(x)) {
				if (x->gone || x->up != &sn_up_h1)
					return false;
				break;
			}
			if (!x->resp_started)
				continue; /* a 1xx */
		}
		if (!pass_buffered(x)) {
			if (x->gone || x->up != &sn_up_h1 || x->resp_done)
				return false;
			break;
		}
		if (x->down->full(x))
			break;
	}
	if (sn_input_empty(&u->in))
		sn_input_drop(&u->in, x->w->loop);
	return true;
}

static void up_more(struct sn_exchange *x)
{
	struct sn_up_h1_state *u = &x->u1;

	while (!x->gone && x->up == &sn_up_h1 && u->u && !x->resp_done && !x->down->full(x)) {
		size_t max = x->resp_started ? SN_IOBUF_BYTES : x->w->limits.header_bytes;
		ssize_t n;

		if (!sn_input_empty(&u->in) && x->resp_started) {
			if (!process(x))
				return;
			if (x->down->full(x))
				return;
		}
		if (!u->u->s.may_read)
			return;
		n = sn_input_fill(&u->in, &u->u->s, max);
		if (n == -SN_EAGAIN)
			return;
		if (n == -SN_ETOOBIG || n == -SN_ENOMEM) {
			sn_exchange_refuse(x, 502, SN_REFUSE_UPSTREAM,
					   n == -SN_ENOMEM ? "out of memory"
							   : "the response's head is too large");
			return;
		}
		if (n <= 0) {
			upstream_ended(x, n == 0);
			return;
		}
		x->resp_seen = true;
		sn_exchange_progress(x);
		if (!process(x))
			return;
	}
}

static void on_upstream(struct sn_upstream *conn, unsigned events)
{
	struct sn_exchange *x = conn->user;

	if (events & SN_STREAM_WRITABLE && !sn_outq_empty(&x->u1.out)) {
		if (sn_outq_flush(&x->u1.out, &conn->s)) {
			write_failed(x);
			return;
		}
		sn_exchange_progress(x);
		flushed(x);
		if (x->gone || x->up != &sn_up_h1 || x->u1.u != conn)
			return;
	}
	if (events & SN_STREAM_READABLE)
		up_more(x);
}

const struct sn_up sn_up_h1 = {
	.start = up_start,
	.payload = up_payload,
	.end = up_end,
	.flush = up_flush,
	.full = up_full,
	.more = up_more,
	.release = up_release,
};
