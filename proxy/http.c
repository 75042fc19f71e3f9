/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of HTTP/1: heads in, answers out, keep-alive, timers, the end. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "proxy/exchange.h"

#define FREE_EXCHANGES_MAX 256
#define LINGER_MS 2000
#define ADDED_HEADERS_MAX 64 /* by filters */

static void next_request(struct sn_conn *c);

/* --- exchanges ----------------------------------------------------------------------------------
 */

static void on_deadline(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_exchange *x = sn_container_of(t, struct sn_exchange, deadline);
	struct sn_conn *c = x->c;

	(void)now_ms;
	sn_exchange_refuse(x, 504, SN_REFUSE_TIMEOUT, "the rule's request timeout has passed");
	sn_http_resume(c);
}

static struct sn_exchange *new_exchange(struct sn_conn *c)
{
	struct sn_worker *w = c->w;
	uint32_t cap = (uint32_t)w->limits.header_count + ADDED_HEADERS_MAX;
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
	if (!storage || x->req.headers.cap < cap) {
		storage = realloc(x->storage, cap * sizeof(*storage));
		if (!storage) {
			free(x->storage);
			free(x);
			return NULL;
		}
	}
	memset(x, 0, sizeof(*x));
	x->storage = storage;
	x->c = c;
	x->req.headers.v = storage;
	x->req.headers.cap = cap;
	sn_outq_init(&x->up_out, 4u << 20);
	sn_timer_init(&x->deadline, on_deadline);
	return x;
}

static void free_exchange(struct sn_exchange *x)
{
	struct sn_worker *w = x->c->w;

	sn_loop_timer_cancel(w->loop, &x->deadline);
	sn_outq_done(&x->up_out);
	sn_snapshot_unref(x->snap);
	x->snap = NULL;
	if (w->n_free_exchanges >= FREE_EXCHANGES_MAX) {
		free(x->storage);
		free(x);
		return;
	}
	x->next_free = w->free_exchanges;
	w->free_exchanges = x;
	w->n_free_exchanges++;
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

/* Takes the exchange off its connection. */
static void drop_exchange(struct sn_exchange *x)
{
	x->c->x = NULL;
	x->c->w->n_requests--;
	free_exchange(x);
}

static void count(struct sn_exchange *x, unsigned status)
{
	if (!x->stats)
		return;
	x->stats->by_class[status / 100 <= 5 ? status / 100 : 0]++;
	sn_histo_record(&x->stats->latency, sn_loop_now_ns(x->c->w->loop) - x->start_ns);
}

void sn_http_abort(struct sn_conn *c)
{
	struct sn_exchange *x = c->x;

	if (!x)
		return;
	sn_forward_release(x, false, SN_TRY_CANCELLED);
	count(x, x->resp_started ? x->status : 0);
	drop_exchange(x);
}

/* --- timers -------------------------------------------------------------------------------------
 */

static void on_exchange_timer(struct sn_conn *c)
{
	struct sn_exchange *x = c->x;
	bool slow_reader = !sn_outq_empty(&c->out);
	bool slow_sender = !x->req_done && x->u && sn_outq_empty(&x->up_out);

	if (!slow_reader && !slow_sender && !x->resp_started) {
		/* waiting for the upstream's answer is the rule's timeout's business */
		sn_loop_timer(c->w->loop, &c->timer, c->w->timeouts.body);
		return;
	}
	sn_conn_refused(c, SN_REFUSE_TIMEOUT, "no progress of a body in timeouts.body");
	sn_conn_close(c, true);
}

static void on_timer(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_conn *c = sn_container_of(t, struct sn_conn, timer);

	(void)now_ms;
	if (c->state == SN_CONN_EXCHANGE) {
		on_exchange_timer(c);
		return;
	}
	if (c->state == SN_CONN_HEAD && c->end > c->start)
		sn_conn_refused(c, SN_REFUSE_HEADER_TIMEOUT, "no complete head in timeouts.header");
	sn_conn_close(c, false);
}

/* --- answers of our own -------------------------------------------------------------------------
 */

/* The connection ends when what waits is written. With @linger what the client still sends is read
 * for a while, since closing on unread bytes would take the answer away from it. */
static void wind_down(struct sn_conn *c, bool linger)
{
	c->state = SN_CONN_CLOSING;
	sn_conn_consume(c, c->end - c->start);
	if (sn_outq_empty(&c->out)) {
		if (!linger) {
			sn_conn_close(c, false);
			return;
		}
		sn_stream_shutdown_write(&c->d);
	}
	sn_loop_timer(c->w->loop, &c->timer, LINGER_MS);
}

static int write_answer(struct sn_conn *c, unsigned status, enum sn_refusal_reason reason,
			const char *word, const char *detail, bool head_only, bool close)
{
	struct sn_buf *s = &c->w->scratch;
	struct iovec iov;
	char body[512];
	int n = snprintf(body, sizeof(body), "sennit: %s%s%s\n", word, detail ? ": " : "",
			 detail ? detail : "");

	n = n < (int)sizeof(body) ? n : (int)sizeof(body) - 1;
	(void)reason;
	sn_buf_reset(s);
	sn_buf_printf(s,
		      "HTTP/1.1 %u %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
		      "Content-Length: %d\r\nsennit-error: %s\r\n%s%s\r\n%.*s",
		      status, sn_status_reason(status), n, word,
		      status == 405 ? "Allow: GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS\r\n"
				    : "",
		      close ? "Connection: close\r\n" : "", head_only ? 0 : n, body);
	iov = (struct iovec){(char *)sn_buf_slice(s).p, sn_buf_len(s)};
	return sn_outq_writev(&c->out, &c->d, &iov, 1);
}

/* A head that cannot be trusted: answer and close; nothing of it or behind it is looked at. */
static void refuse_head(struct sn_conn *c, const struct sn_h1_refusal *why)
{
	sn_conn_refused(c, SN_REFUSE_BAD_REQUEST, why->reason);
	if (write_answer(c, why->status, SN_REFUSE_BAD_REQUEST, "bad-request", why->reason, false,
			 true))
		sn_conn_close(c, true);
	else
		wind_down(c, true);
}

void sn_exchange_refuse(struct sn_exchange *x, unsigned status, enum sn_refusal_reason reason,
			const char *detail)
{
	struct sn_conn *c = x->c;
	bool close, theirs = reason == SN_REFUSE_CONNECT || reason == SN_REFUSE_UPSTREAM ||
			     reason == SN_REFUSE_TIMEOUT;

	sn_forward_release(x, false, theirs ? SN_TRY_FAILED : SN_TRY_CANCELLED);
	sn_conn_refused(c, reason, detail);
	if (x->resp_started) { /* too late for an answer: the client must see that it is cut */
		sn_conn_close(c, true);
		return;
	}
	close = !x->req_done || !x->req.keep_alive || c->w->stopping;
	if (x->req.framing == SN_FRAMING_NONE && !x->head_consumed)
		close = !x->req.keep_alive || c->w->stopping || status == 400 || status == 405;
	close |= c->w->draining && c->conf->direction == SN_INBOUND;
	count(x, status);
	if (write_answer(c, status, reason, sn_refusal_name(reason), detail,
			 x->req.method == SN_METHOD_HEAD, close)) {
		sn_conn_close(c, true);
		return;
	}
	if (!close)
		sn_conn_consume(c, x->head_consumed ? 0 : x->head_len);
	drop_exchange(x);
	if (close)
		wind_down(c, true);
	else
		c->state = SN_CONN_HEAD;
}

/* --- heads --------------------------------------------------------------------------------------
 */

/* Identity and control headers of the mesh come from proxies, never from applications. */
static void strip_mesh_headers(struct sn_request *req)
{
	uint32_t i;

	for (i = 0; i < req->headers.n; i++)
		if (req->headers.v[i].id == SN_HDR_SENNIT)
			req->headers.v[i].flags |= SN_HDR_DROPPED;
}

static void start_exchange(struct sn_conn *c, struct sn_exchange *x, size_t head_len)
{
	c->x = x;
	c->state = SN_CONN_EXCHANGE;
	c->got_request = true;
	c->w->n_requests++;
	x->head_len = head_len;
	x->n_parsed = x->req.headers.n;
	x->snap = sn_snapshot_ref(c->w->snap);
	x->start_ns = sn_loop_now_ns(c->w->loop);
	sn_h1_body_init(&x->req_body, x->req.framing, x->req.content_length);
	strip_mesh_headers(&x->req);
	sn_loop_timer(c->w->loop, &c->timer, c->w->timeouts.body);
	sn_forward_start(x);
}

/* Parses what is buffered. Returns -SN_EMORE, or 0 when the state has changed. */
static int parse_head(struct sn_conn *c)
{
	struct sn_h1_limits lim = {(uint32_t)c->w->limits.header_bytes,
				   (uint32_t)c->w->limits.header_count,
				   (uint32_t)c->w->limits.request_line_bytes};
	struct sn_h1_refusal why = {400, "bad-request"};
	struct sn_exchange *x = new_exchange(c);
	int rc;

	if (!x) {
		sn_conn_close(c, true);
		return 0;
	}
	rc = sn_h1_parse_request(sn_conn_input(c), &c->scanned, &lim, &x->req, &why);
	if (rc > 0) {
		c->scanned = 0;
		start_exchange(c, x, (size_t)rc);
		return 0;
	}
	free_exchange(x);
	if (rc == -SN_EMORE)
		return rc;
	c->scanned = 0;
	refuse_head(c, &why);
	return 0;
}

static void arm_head_timer(struct sn_conn *c)
{
	bool waiting = c->start == c->end && c->got_request;

	sn_loop_timer(c->w->loop, &c->timer, waiting ? c->w->timeouts.idle : c->w->timeouts.header);
}

/* Requests one after the other, as long as their bytes are there. */
static void next_request(struct sn_conn *c)
{
	while (c->state == SN_CONN_HEAD) {
		bool had = c->end > c->start;
		ssize_t n;

		if (had && parse_head(c) == 0)
			continue;
		if (c->w->stopping && c->start == c->end) {
			sn_conn_close(c, false);
			return;
		}
		if (!c->d.may_read)
			break;
		n = sn_conn_fill(c, c->w->limits.header_bytes);
		if (n == -SN_ETOOBIG) {
			refuse_head(c, &(struct sn_h1_refusal){431, "head-too-large"});
			return;
		}
		if (n == -SN_EAGAIN)
			break;
		if (n <= 0) {
			sn_conn_close(c, n < 0);
			return;
		}
		if (!had)
			sn_loop_timer(c->w->loop, &c->timer, c->w->timeouts.header);
	}
	if (c->state == SN_CONN_HEAD && c->start == c->end)
		arm_head_timer(c);
}

void sn_exchange_done(struct sn_exchange *x)
{
	struct sn_conn *c = x->c;
	bool close = x->d_close || !x->req_done;
	bool complete = x->req_done;

	count(x, x->status);
	if (!close && !x->head_consumed)
		sn_conn_consume(c, x->head_len);
	drop_exchange(x);
	if (close) {
		wind_down(c, !complete || c->d.may_read);
		return;
	}
	c->state = SN_CONN_HEAD;
	next_request(c);
}

void sn_http_resume(struct sn_conn *c)
{
	if (c->state == SN_CONN_HEAD)
		next_request(c);
}

void sn_http_begin(struct sn_conn *c)
{
	sn_loop_timer_cancel(c->w->loop, &c->timer);
	sn_timer_init(&c->timer, on_timer);
	c->state = SN_CONN_HEAD;
	sn_loop_timer(c->w->loop, &c->timer, c->w->timeouts.header);
	next_request(c);
}

bool sn_http_is_idle(const struct sn_conn *c)
{
	return c->start == c->end && sn_outq_empty(&c->out);
}

/* --- events -------------------------------------------------------------------------------------
 */

static void closing_event(struct sn_conn *c, unsigned events)
{
	char sink[4096];
	ssize_t n;

	if (!sn_outq_empty(&c->out)) {
		if (events & SN_STREAM_WRITABLE && sn_outq_flush(&c->out, &c->d)) {
			sn_conn_close(c, true);
			return;
		}
		if (!sn_outq_empty(&c->out))
			return;
		sn_stream_shutdown_write(&c->d);
	}
	while (c->d.may_read) {
		n = sn_stream_read(&c->d, sink, sizeof(sink));
		if (n == -SN_EAGAIN)
			return;
		if (n <= 0) {
			sn_conn_close(c, n < 0);
			return;
		}
	}
}

/* The client may have gone while its request is under way: its end of stream or reset ends the
 * exchange, as every common proxy does. Bytes are the next request's and stay in the socket. */
static bool client_gone(struct sn_conn *c)
{
	return c->d.end_signalled && sn_stream_is_stale(&c->d) &&
	       c->start + (c->x->head_consumed ? 0 : c->x->head_len) == c->end;
}

static void exchange_event(struct sn_conn *c, unsigned events)
{
	struct sn_exchange *x = c->x;

	if (events & SN_STREAM_WRITABLE && !sn_outq_empty(&c->out)) {
		if (sn_outq_flush(&c->out, &c->d)) {
			sn_conn_close(c, true);
			return;
		}
		sn_loop_timer(c->w->loop, &c->timer, c->w->timeouts.body);
		if (sn_outq_empty(&c->out))
			sn_forward_response(x);
		if (c->x != x)
			return;
	}
	if (!(events & SN_STREAM_READABLE))
		return;
	if (!x->req_done)
		sn_forward_request(x);
	else if (client_gone(c))
		sn_conn_close(c, true);
}

void sn_http_event(struct sn_conn *c, unsigned events)
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
	case SN_CONN_CLOSING:
		closing_event(c, events);
		break;
	default:
		break;
	}
}
