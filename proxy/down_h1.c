/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of HTTP/1: heads in, answers out, keep-alive, timers, the end. One exchange at
 * a time; pipelined requests wait in the buffer.
 *
 *   HEAD --parsed--> EXCHANGE --done--> HEAD ... | --answered, to be closed--> CLOSING
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "http/headout.h"
#include "mesh/grpc.h"
#include "proxy/exchange.h"

static void next_request(struct sn_conn *c);

/* --- timers and the end -------------------------------------------------------------------------
 */

static void on_timer(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_conn *c = sn_container_of(t, struct sn_conn, timer);

	(void)now_ms;
	if (c->state == SN_CONN_EXCHANGE) {
		sn_exchange_stalled(c->x);
		return;
	}
	if (c->state == SN_CONN_HEAD && !sn_input_empty(&c->in))
		sn_conn_refused(c, SN_REFUSE_HEADER_TIMEOUT, "no complete head in timeouts.header");
	sn_conn_close(c, false);
}

/* --- answers of our own -------------------------------------------------------------------------
 */

static int write_answer(struct sn_conn *c, unsigned status, const char *word, const char *detail,
			bool head_only, bool close)
{
	const struct sn_exchange *x = c->x;
	struct sn_buf *s = &c->w->gather.head;
	struct iovec iov;
	char body[512];
	int n = snprintf(body, sizeof(body), "sennit: %s%s%s\n", word, detail ? ": " : "",
			 detail ? detail : "");

	n = n < (int)sizeof(body) ? n : (int)sizeof(body) - 1;
	sn_buf_reset(s);
	sn_buf_printf(s,
		      "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
		      "Content-Length: %d\r\nsennit-error: %s\r\n%s%s",
		      status, sn_status_reason(status), n, word,
		      status == 405 ? "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
				    : "",
		      close ? "Connection: close\r\n" : "");
	if (x && x->come_back_s)
		sn_buf_printf(s, "Retry-After: %u\r\n", x->come_back_s);
	sn_buf_printf(s, "\r\n%.*s", head_only ? 0 : n, body);
	iov = (struct iovec){(char *)sn_buf_slice(s).p, sn_buf_len(s)};
	return sn_outq_writev(&c->out, &c->d, &iov, 1);
}

/* A head that cannot be trusted: answer and close; nothing of it or behind it is looked at. */
static void refuse(struct sn_conn *c, enum sn_refusal_reason reason, unsigned status,
		   const char *detail)
{
	sn_conn_refused(c, reason, detail);
	if (write_answer(c, status, sn_refusal_name(reason), detail, false, true))
		sn_conn_close(c, true);
	else
		sn_conn_end(c, true);
}

static void refuse_head(struct sn_conn *c, const struct sn_h1_refusal *why)
{
	refuse(c, SN_REFUSE_BAD_REQUEST, why->status, why->reason);
}

/* What of the buffer is the request's: its head, and body that is being handed on. */
static size_t held(const struct sn_exchange *x)
{
	return (x->head_taken ? 0 : x->head.n) + x->passing;
}

/* The client may have gone while its request is under way: its end of stream ends the exchange, as
 * with every common proxy, and requests that it sent behind this one go with it. Not before the
 * request's body was read, which may be whole in front of that end; but while the request waits for
 * its turn nobody reads its body, and what there is of it may be here. (A reset is seen at once:
 * sn_conn_event.) */
static bool client_gone(struct sn_conn *c)
{
	const struct sn_exchange *x = c->x;

	if (x && x->filtered && sn_timer_is_set(&x->filtered->delay))
		return c->d.end_signalled; /* whatever it sent first: nobody reads it for now */
	if (!x || x->tunnel || !c->d.end_signalled || !sn_stream_is_stale(&c->d))
		return false;
	return x->req_done || x->req.framing == SN_FRAMING_NONE ||
	       (!x->up && x->req_body.framing == SN_FRAMING_LENGTH &&
		sn_input_slice(&c->in).n - held(x) <= x->req_body.left);
}

/* The exchange is over: on to the next request, or the end. */
static void leave(struct sn_exchange *x, unsigned status, bool close, bool linger)
{
	struct sn_conn *c = x->c;

	if (!close)
		sn_input_consume(&c->in, c->w->loop, held(x));
	c->x = NULL;
	sn_exchange_drop(x, status);
	if (close) {
		sn_conn_end(c, linger);
		return;
	}
	c->state = SN_CONN_HEAD;
	next_request(c);
}

static void down_answer(struct sn_exchange *x, unsigned status, const char *word,
			const char *detail)
{
	struct sn_conn *c = x->c;
	bool close = !x->req.keep_alive || c->w->stopping || status == 400 || status == 405 ||
		     x->req.framing != SN_FRAMING_NONE;

	if (x->req_done && x->req.keep_alive && !c->w->stopping)
		close = false;
	close |= sn_conn_is_last(c);
	if (write_answer(c, status, word, detail, x->req.method == SN_METHOD_HEAD, close))
		sn_conn_close(c, true);
	else
		leave(x, status, close, true);
}

static void down_cut(struct sn_exchange *x)
{
	sn_conn_close(x->c, true);
}

/* --- heads in -----------------------------------------------------------------------------------
 */

static void start_exchange(struct sn_conn *c, struct sn_exchange *x, size_t head_len)
{
	sn_h1_body_init(&x->req_body, x->req.framing, x->req.content_length);
	if (x->req.framing == SN_FRAMING_CHUNKED) {
		/* while the head is there: the trailers come when it has gone */
		if (sn_h1_hop_names(&x->req.headers, &x->hop_names)) {
			sn_buf_done(&x->hop_names);
			sn_exchange_discard(x);
			sn_conn_close(c, true);
			return;
		}
		x->req_body.hop_names = sn_buf_slice(&x->hop_names);
	}
	c->x = x;
	c->state = SN_CONN_EXCHANGE;
	c->got_request = true;
	x->head = sn_slice(sn_input_slice(&c->in).p, head_len);
	sn_exchange_begin(x);
	if (c->x == x && client_gone(c))
		sn_conn_close(c, true);
}

/* Parses what is buffered. Returns -SN_EMORE, or 0 when the state has changed. */
static int parse_head(struct sn_conn *c)
{
	struct sn_h1_limits lim = {(uint32_t)c->w->limits.header_bytes,
				   (uint32_t)c->w->limits.header_count,
				   (uint32_t)c->w->limits.request_line_bytes};
	struct sn_h1_refusal why = {400, "bad-request"};
	struct sn_exchange *x = sn_exchange_new(c->w, c, &sn_down_h1);
	int rc;

	if (!x) {
		sn_conn_close(c, true);
		return 0;
	}
	rc = sn_h1_parse_request(sn_input_slice(&c->in), &c->in.scanned, &lim, &x->req, &why);
	if (rc > 0) {
		c->in.scanned = 0;
		start_exchange(c, x, (size_t)rc);
		return 0;
	}
	sn_exchange_discard(x);
	if (rc == -SN_EMORE)
		return rc;
	c->in.scanned = 0;
	refuse_head(c, &why);
	return 0;
}

static void arm_head_timer(struct sn_conn *c)
{
	bool waiting = sn_input_empty(&c->in) && c->got_request;

	sn_loop_timer(c->w->loop, &c->timer, waiting ? c->w->timeouts.idle : c->w->timeouts.header);
}

/* Reads towards a head. Returns false when there is nothing to parse now. @begins: its first bytes
 * have come. */
static bool read_head(struct sn_conn *c, bool *begins)
{
	bool had = !sn_input_empty(&c->in);
	bool go = c->w->stopping && !c->w->patient && !had; /* unless something has come already */
	ssize_t n;

	if (!c->d.may_read) {
		if (go)
			sn_conn_close(c, false);
		return false;
	}
	if (had && sn_worker_is_full(c->w)) {
		refuse(c, SN_REFUSE_OVERLOAD, 503, "limits.memory is reached");
		return false;
	}
	n = sn_input_fill(&c->in, &c->d, c->w->limits.header_bytes);
	if (n == -SN_ETOOBIG)
		refuse_head(c, &(struct sn_h1_refusal){431, "head-too-large"});
	else if (n <= 0 && (go || n != -SN_EAGAIN))
		sn_conn_close(c, n < 0 && n != -SN_EAGAIN);
	if (n <= 0)
		return false;
	*begins |= !had || !sn_timer_is_set(&c->timer);
	return true;
}

/* Requests one after the other, as long as their bytes are there. What ends an exchange calls this
 * too: then the loop that is already running goes on with it, since a client that pipelines must
 * not decide how deep our stack gets. */
static void next_request(struct sn_conn *c)
{
	bool begins = false;

	if (c->parsing)
		return;
	c->parsing = true;
	while (c->state == SN_CONN_HEAD) {
		if (!sn_input_empty(&c->in) && parse_head(c) == 0) {
			begins = false;
			continue;
		}
		if (!read_head(c, &begins))
			break;
	}
	c->parsing = false;
	if (c->state != SN_CONN_HEAD)
		return;
	if (sn_input_empty(&c->in)) {
		arm_head_timer(c);
		return;
	}
	if (begins) /* most are complete at once: their timer is their exchange's */
		sn_loop_timer(c->w->loop, &c->timer, c->w->timeouts.header);
	sn_input_settle(&c->in, c->w->loop);
}

void sn_down_h1_begin(struct sn_conn *c)
{
	sn_loop_timer_cancel(c->w->loop, &c->timer);
	sn_timer_init(&c->timer, on_timer);
	c->state = SN_CONN_HEAD;
	sn_conn_decided(c);
	sn_loop_timer(c->w->loop, &c->timer, c->w->timeouts.header);
	next_request(c);
}

bool sn_down_h1_is_idle(const struct sn_conn *c)
{
	return sn_input_empty(&c->in) && sn_outq_empty(&c->out);
}

/* --- the request's body -------------------------------------------------------------------------
 */

static void bad_body(struct sn_exchange *x)
{
	struct sn_conn *c = x->c;

	sn_exchange_refuse(x, 400, SN_REFUSE_BAD_REQUEST, "bad chunk in the request's body");
	if (c->state == SN_CONN_HEAD) /* never: a 400 closes; but nothing may follow a bad chunk */
		sn_conn_close(c, true);
}

/* The head leaves the buffer, for the body behind it. Another try may follow yet. */
static void take_head(struct sn_exchange *x)
{
	if (x->head_taken)
		return;
	x->head_taken = true;
	if (sn_tries_keep(x))
		sn_replay_keep_head(&x->replay, &x->req, &x->hop.seen, &x->head);
	else
		x->head = sn_slice("", 0);
}

/* Passes on what is buffered. Returns bytes used (0: none there), or < 0: the exchange has ended or
 * is on another try; what was read as body stays the body's, whatever comes of it. */
static ptrdiff_t pass_buffered(struct sn_exchange *x)
{
	struct sn_conn *c = x->c;
	size_t before = held(x);
	struct sn_input_body part;
	bool done;

	if (sn_input_body(&c->in, before, &x->req_body, &part)) {
		bad_body(x);
		return -1;
	}
	done = x->req_body.done;
	if (before + part.used == 0 && !done)
		return 0;
	x->passing += part.used;
	if (part.n_iov && sn_exchange_request_payload(x, part.iov, part.n_iov))
		return -1;
	if (done ? sn_exchange_request_end(x, part.trailers, part.section) : x->up->flush(x, true))
		return -1;
	if (x->gone)
		return -1;
	take_head(x);
	x->passing = 0;
	sn_input_consume(&c->in, c->w->loop, before + part.used);
	sn_exchange_progress(x);
	return (ptrdiff_t)(before + part.used);
}

/* The client has ended its side: the end of a tunnel's direction, else of everything. */
static void client_ended(struct sn_exchange *x, bool in_order)
{
	if (!in_order || !x->tunnel)
		sn_conn_close(x->c, true);
	else
		sn_exchange_request_end(x, NULL, sn_slice("", 0));
}

static void down_more(struct sn_exchange *x)
{
	struct sn_conn *c = x->c;

	if (x->tunnel && x->req_body.framing != SN_FRAMING_CLOSE) {
		if (!x->head_taken)
			sn_input_consume(&c->in, c->w->loop, x->head.n);
		x->head_taken = true;
		x->head = sn_slice("", 0);
		sn_h1_body_init(&x->req_body, SN_FRAMING_CLOSE, 0);
	}
	while (!x->gone && !x->req_done && x->up && x->req_sent && !x->up->full(x)) {
		ptrdiff_t used = !sn_input_empty(&c->in) ? pass_buffered(x) : 0;
		ssize_t n;

		if (used)
			continue; /* the condition looks whether it is still ours */
		if (!c->d.may_read && !c->d.read_eof)
			return;
		n = sn_input_fill(&c->in, &c->d, SN_IOBUF_BYTES);
		if (n == -SN_EAGAIN)
			return;
		if (n <= 0)
			client_ended(x, n == 0);
	}
	/* its end came with the last of the body, or before that was read: there is no second edge
	 */
	if (c->x == x && client_gone(c))
		sn_conn_close(c, true);
}

/* --- the response -------------------------------------------------------------------------------
 */

static int failed(struct sn_exchange *x, int rc)
{
	if (rc)
		sn_conn_close(x->c, true);
	return rc;
}

static int down_respond(struct sn_exchange *x, struct sn_response *resp, struct sn_slice head)
{
	struct sn_conn *c = x->c;
	struct sn_gather *g = &c->w->gather;
	bool final = resp->status >= 200, old_client = x->req.minor == 0;

	if (!final && !x->tunnel && old_client)
		return 0;
	x->resp_chunked =
		final && !x->tunnel && !old_client &&
		(resp->framing == SN_FRAMING_CHUNKED || resp->framing == SN_FRAMING_CLOSE);
	x->d_close =
		x->tunnel || !x->req.keep_alive || old_client || sn_conn_is_last(c) || !x->req_done;
	sn_buf_reset(&g->head);
	if (sn_headout_response(&g->head, head, resp,
				x->resp_chunked ? SN_HEADOUT_CHUNKED : SN_HEADOUT_AS_DECLARED,
				final && !x->tunnel && x->d_close))
		return failed(x, -SN_ENOMEM);
	sn_gather_add(g, sn_buf_slice(&g->head));
	return final ? 0 : failed(x, sn_gather_flush(g, &c->out, &c->d, true));
}

static int down_payload(struct sn_exchange *x, const struct iovec *iov, int n_iov)
{
	sn_gather_payload(&x->c->w->gather, iov, n_iov, x->resp_chunked);
	return 0;
}

static int down_end(struct sn_exchange *x, const struct sn_headers *trailers, struct sn_slice head)
{
	struct sn_gather *g = &x->c->w->gather;

	if (x->tunnel && sn_outq_empty(&x->c->out) && g->n_iov == 0)
		sn_stream_shutdown_write(&x->c->d);
	if (!x->resp_chunked)
		return 0;
	if (!trailers) {
		sn_gather_add(g, SN_SLICE("0\r\n\r\n"));
		return 0;
	}
	sn_buf_reset(&g->trail);
	sn_buf_append(&g->trail, "0\r\n", 3);
	if (sn_headout_trailers(&g->trail, head, trailers))
		return failed(x, -SN_ENOMEM);
	sn_gather_add(g, sn_buf_slice(&g->trail));
	return 0;
}

static void on_flush(struct sn_task *t)
{
	struct sn_conn *c = sn_container_of(t, struct sn_conn, flush);

	if (sn_outq_flush(&c->out, &c->d))
		sn_conn_close(c, true);
	else
		sn_conn_event(c, SN_STREAM_WRITABLE);
}

static int down_flush(struct sn_exchange *x, bool now)
{
	struct sn_conn *c = x->c;
	struct sn_gather *g = &c->w->gather;
	int rc;

	if (g->n_iov == 0)
		return 0;
	x->resp_sent = x->resp_started;
	rc = sn_gather_flush(g, &c->out, &c->d, now);
	if (rc == 0 && !now)
		sn_loop_at_turn_end(c->w->loop, &c->flush, on_flush);
	if (x->tunnel && x->resp_done && sn_outq_empty(&c->out))
		sn_stream_shutdown_write(&c->d);
	return failed(x, rc);
}

static bool down_full(struct sn_exchange *x)
{
	return !sn_outq_empty(&x->c->out);
}

static size_t down_waiting(struct sn_exchange *x)
{
	return sn_buf_len(&x->c->out.buf);
}

static void down_done(struct sn_exchange *x)
{
	struct sn_conn *c = x->c;
	bool complete = x->req_done;

	leave(x, x->status, x->d_close || !complete, !complete || c->d.may_read);
}

const struct sn_down sn_down_h1 = {
	.respond = down_respond,
	.payload = down_payload,
	.end = down_end,
	.flush = down_flush,
	.full = down_full,
	.waiting = down_waiting,
	.more = down_more,
	.answer = down_answer,
	.cut = down_cut,
	.done = down_done,
};

/* --- events -------------------------------------------------------------------------------------
 */

static void exchange_event(struct sn_conn *c, unsigned events)
{
	struct sn_exchange *x = c->x;

	if (events & SN_STREAM_WRITABLE && !sn_outq_empty(&c->out)) {
		if (sn_outq_flush(&c->out, &c->d)) {
			sn_conn_close(c, true);
			return;
		}
		sn_exchange_progress(x);
	}
	if (events & SN_STREAM_WRITABLE && sn_outq_empty(&c->out)) {
		if (x->tunnel && x->resp_done)
			sn_stream_shutdown_write(&c->d);
		else if (x->up)
			x->up->more(x);
		if (x->gone)
			return;
	}
	if (!(events & SN_STREAM_READABLE))
		return;
	if (!x->req_done)
		down_more(x);
	else if (client_gone(c))
		sn_conn_close(c, true);
}

void sn_down_h1_event(struct sn_conn *c, unsigned events)
{
	switch (c->state) {
	case SN_CONN_HEAD:
		if (!sn_outq_empty(&c->out) && sn_outq_flush(&c->out, &c->d))
			sn_conn_close(c, true);
		else
			next_request(c);
		break;
	case SN_CONN_EXCHANGE:
		exchange_event(c, events);
		break;
	default:
		break;
	}
}
