/* SPDX-License-Identifier: Apache-2.0 */
/* The client's side of HTTP/2: a session per connection, an exchange per stream. Payload that comes
 * before the upstream takes it waits in the exchange, and is not consumed: so a stream's window is
 * what bounds it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "http/h2conn.h"
#include "mesh/grpc.h"
#include "proxy/exchange.h"

#define MAX_STREAMS 100
#define STREAM_WINDOW_FLOOR 65535u
#define CONNECTION_WINDOW (16u << 20)
#define GOAWAY_STEP_MS 1000
#define TRIM_AFTER_MS 10000

struct sn_down_h2 {
	struct sn_h2conn conn;
	struct sn_conn *c;
	struct sn_list exchanges;
	struct sn_timer bye;   /* the second step of going away */
	struct sn_timer stall; /* when the first of the exchanges may have stalled, or earlier */
	bool leaving;
	bool trimmed; /* idle for a while already */
};

static struct sn_exchange *exchange_of(const struct sn_h2_stream *s)
{
	return s->user;
}

static struct sn_down_h2 *h2_of(const struct sn_exchange *x)
{
	return x->c->h2;
}

static void kick(struct sn_exchange *x)
{
	sn_h2conn_kick(&h2_of(x)->conn);
}

/* The exchange lets go of its stream. */
static struct sn_h2_stream *detach(struct sn_exchange *x)
{
	struct sn_h2_stream *s = x->ds;

	x->ds = NULL;
	if (s) {
		s->user = NULL;
		if (x->owed)
			sn_h2_consume(s, x->owed);
		kick(x);
	}
	return s;
}

/* --- the response -------------------------------------------------------------------------------
 */

static int failed(struct sn_exchange *x, int rc)
{
	struct sn_h2_stream *s;

	if (rc == 0)
		return 0;
	s = detach(x);
	if (s)
		sn_h2_reset(s, SN_H2_INTERNAL_ERROR);
	sn_exchange_abort(x);
	return rc;
}

static int down_respond(struct sn_exchange *x, struct sn_response *resp, struct sn_slice head)
{
	bool final = resp->status >= 200;

	(void)head;
	if (final)
		x->resp_sent = true;
	kick(x);
	return failed(
		x, sn_h2_submit_response(x->ds, resp,
					 final && !x->tunnel && resp->framing == SN_FRAMING_NONE));
}

static int down_payload(struct sn_exchange *x, const struct iovec *iov, int n_iov)
{
	return failed(x, sn_h2_send(x->ds, iov, n_iov));
}

static int down_end(struct sn_exchange *x, const struct sn_headers *trailers, struct sn_slice head)
{
	(void)head;
	return x->ds->local_ended ? 0 : failed(x, sn_h2_send_end(x->ds, trailers));
}

static int down_flush(struct sn_exchange *x, bool now)
{
	(void)now;
	kick(x);
	return 0;
}

static bool down_full(struct sn_exchange *x)
{
	return x->ds && !sn_h2_wants_more(x->ds, x->w->limits.buffer_bytes);
}

static size_t down_waiting(struct sn_exchange *x)
{
	return x->ds ? sn_h2_pending(x->ds) : 0;
}

static void add(struct sn_headers *hs, struct sn_slice name, struct sn_slice value)
{
	hs->v[hs->n++] =
		(struct sn_header){.name = name, .value = value, .id = sn_hdr_lookup(name)};
}

/* The fields of an answer of ours; *length, *code and *after hold what they point to. */
static void answer_fields(struct sn_exchange *x, struct sn_headers *hs, unsigned status,
			  const char *word, const char *detail, int n_body, char (*text)[3][16])
{
	char *length = (*text)[0], *code = (*text)[1], *after = (*text)[2];

	if (x->grpc) {
		snprintf(code, 16, "%d", x->grpc_status);
		add(hs, SN_SLICE("content-type"), SN_SLICE("application/grpc"));
		add(hs, SN_SLICE("grpc-status"), sn_slice_cstr(code));
		add(hs, SN_SLICE("grpc-message"), sn_slice_cstr(detail ? detail : word));
	} else {
		snprintf(length, 16, "%d", n_body);
		add(hs, SN_SLICE("content-type"), SN_SLICE("text/plain; charset=utf-8"));
		add(hs, SN_SLICE("content-length"), sn_slice_cstr(length));
		if (status == 405)
			add(hs, SN_SLICE("allow"),
			    SN_SLICE("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"));
	}
	add(hs, SN_SLICE("sennit-error"), sn_slice_cstr(word));
	if (x->come_back_s) {
		snprintf(after, 16, "%u", x->come_back_s);
		add(hs, SN_SLICE("retry-after"), sn_slice_cstr(after));
	}
	if (x->gave_up && x->c->conf->mesh_peer)
		add(hs, SN_SLICE("sennit-retry"), SN_SLICE("no"));
}

static void down_answer(struct sn_exchange *x, unsigned status, const char *word,
			const char *detail)
{
	struct sn_h2_stream *s = x->ds;
	struct sn_header v[8];
	struct sn_response resp = {.status = (uint16_t)status, .headers = {v, 0, 8}};
	char body[512], text[3][16];
	int n = snprintf(body, sizeof(body), "sennit: %s%s%s\n", word, detail ? ": " : "",
			 detail ? detail : "");
	struct iovec iov;
	int rc;

	n = n < (int)sizeof(body) ? n : (int)sizeof(body) - 1;
	if (x->grpc) {
		if (x->grpc_status < 0) /* else a filter has said which */
			x->grpc_status = sn_grpc_status_of_http(status);
		resp.status = 200;
	}
	answer_fields(x, &resp.headers, status, word, detail, n, &text);
	if (x->grpc || x->req.method == SN_METHOD_HEAD)
		n = 0;
	iov = (struct iovec){body, (size_t)n};
	rc = sn_h2_submit_response(s, &resp, n == 0);
	if (rc == 0 && n)
		rc = sn_h2_send(s, &iov, 1);
	if (rc == 0 && n)
		rc = sn_h2_send_end(s, NULL);
	detach(x);
	if (rc)
		sn_h2_reset(s, SN_H2_INTERNAL_ERROR);
	else if (!s->remote_ended)
		sn_h2_reset(s, SN_H2_NO_ERROR); /* no more of the request is wanted */
	sn_exchange_drop(x, status);
}

static void down_cut(struct sn_exchange *x)
{
	struct sn_h2_stream *s = detach(x);

	if (s)
		sn_h2_reset(s,
			    x->reset_code ? (enum sn_h2_error)x->reset_code : SN_H2_INTERNAL_ERROR);
	sn_exchange_drop(x, x->status);
}

static void down_done(struct sn_exchange *x)
{
	struct sn_h2_stream *s = detach(x);

	if (s && !s->remote_ended)
		sn_h2_reset(s, SN_H2_NO_ERROR); /* the upload is stopped (RFC 9113 8.1) */
	sn_exchange_drop(x, x->status);
}

/* --- the request's body -------------------------------------------------------------------------
 */

static bool flows(const struct sn_exchange *x)
{
	return x->up && x->req_sent && (!x->connect || x->tunnel);
}

static void consume(struct sn_exchange *x)
{
	if (x->gone || !x->ds || !x->owed || !x->up || x->up->full(x))
		return;
	sn_h2_consume(x->ds, x->owed);
	x->owed = 0;
	kick(x);
}

static void pass_end(struct sn_exchange *x, const struct sn_headers *trailers, struct sn_slice head)
{
	sn_exchange_request_end(x, trailers, head);
}

/* Trailers that came before there was an upstream: kept as lines, read again now. */
static void pass_early_end(struct sn_exchange *x)
{
	struct sn_header storage[SN_TRAILERS_MAX];
	struct sn_headers t = {storage, 0, SN_TRAILERS_MAX};
	struct sn_slice lines = sn_buf_slice(&x->early_trailers);
	struct sn_h1_body b;
	size_t scanned = 0;

	sn_h1_body_init(&b, SN_FRAMING_CHUNKED, 0);
	b.at_trailers = true;
	if (lines.n && sn_h1_parse_trailers(lines, &scanned, &b, &t) < 0)
		t.n = 0;
	pass_end(x, t.n ? &t : NULL, lines);
}

static void down_more(struct sn_exchange *x)
{
	const struct sn_up *up = x->up;

	if (!flows(x) || x->req_done)
		return;
	if (sn_buf_len(&x->early)) {
		struct sn_slice early = sn_buf_slice(&x->early);
		struct iovec iov = {(char *)early.p, early.n};
		int rc;

		rc = sn_exchange_request_payload(x, &iov, 1);
		if (rc == 0)
			rc = up->flush(x, true);
		if (x->gone)
			return;
		sn_buf_done(&x->early);
		if (rc || x->up != up)
			return;
	}
	if (x->early_end) {
		x->early_end = false;
		pass_early_end(x);
	}
	consume(x);
}

const struct sn_down sn_down_h2 = {
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

/* --- events of the session ----------------------------------------------------------------------
 */

static void on_request(struct sn_h2_stream *s, struct sn_request *req, struct sn_slice head)
{
	struct sn_down_h2 *h = sn_h2_user(s->h2);
	struct sn_conn *c = h->c;
	struct sn_exchange *x = sn_exchange_new(c->w, c, &sn_down_h2);

	if (!x) {
		c->w->stats.refused[SN_REFUSE_OVERLOAD]++;
		sn_h2_reset(s, SN_H2_REFUSED_STREAM);
		return;
	}
	c->got_request = true;
	x->ds = s;
	s->user = x;
	x->req = *req;
	x->head = head;
	sn_list_push_back(&h->exchanges, &x->link);
	if (!sn_timer_is_set(&h->stall))
		sn_loop_timer(c->w->loop, &h->stall, c->w->progress_ms);
	sn_exchange_begin(x);
}

static void on_data(struct sn_h2_stream *s, struct sn_slice payload)
{
	struct sn_exchange *x = exchange_of(s);
	struct iovec iov = {(char *)payload.p, payload.n};

	if (!x) {
		sn_h2_consume(s, payload.n);
		return;
	}
	x->owed += payload.n;
	sn_exchange_progress(x);
	if (!flows(x) || sn_buf_len(&x->early)) {
		if (sn_buf_append(&x->early, payload.p, payload.n))
			sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
		return;
	}
	if (sn_exchange_request_payload(x, &iov, 1) || x->gone || x->up->flush(x, false))
		return;
	consume(x);
}

static void on_end(struct sn_h2_stream *s, const struct sn_headers *trailers, struct sn_slice head)
{
	struct sn_exchange *x = exchange_of(s);

	if (!x)
		return;
	if (flows(x) && !sn_buf_len(&x->early)) {
		pass_end(x, trailers, head);
		return;
	}
	x->early_end = true;
	if (trailers && sn_headout_trailers(&x->early_trailers, head, trailers))
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
}

static void on_drained(struct sn_h2_stream *s)
{
	struct sn_exchange *x = exchange_of(s);

	if (!x)
		return;
	sn_exchange_progress(x);
	if (x->up)
		x->up->more(x);
}

/* When nobody has asked anything for a while, first what is kept for the next request is given
 * back, then the connection ends. */
static void arm_idle(struct sn_conn *c)
{
	uint64_t idle = c->w->timeouts.idle;

	c->h2->trimmed = false;
	sn_loop_timer(c->w->loop, &c->timer, idle < TRIM_AFTER_MS ? idle : TRIM_AFTER_MS);
}

static void on_closed(struct sn_h2_stream *s, uint32_t error, bool unprocessed)
{
	struct sn_exchange *x = exchange_of(s);

	(void)unprocessed;
	arm_idle(((struct sn_down_h2 *)sn_h2_user(s->h2))->c);
	if (!x)
		return;
	s->user = NULL;
	x->ds = NULL;
	/* A tunnel that has ended in order may have bytes on their way to the upstream. */
	if (error || !x->tunnel || !x->req_done || !x->resp_done)
		sn_exchange_abort(x);
}

static void on_refused(struct sn_h2 *h2, unsigned status, const char *reason)
{
	struct sn_down_h2 *h = sn_h2_user(h2);

	(void)status;
	sn_conn_refused(h->c, SN_REFUSE_BAD_REQUEST, reason);
}

static void on_goaway(struct sn_h2 *h2)
{
	(void)h2; /* a client that goes away closes when it is done */
}

static void on_pong(struct sn_h2 *h2)
{
	(void)h2;
}

static const struct sn_h2_events events = {
	.request = on_request,
	.data = on_data,
	.end = on_end,
	.drained = on_drained,
	.closed = on_closed,
	.refused = on_refused,
	.goaway = on_goaway,
	.pong = on_pong,
};

/* --- the connection -----------------------------------------------------------------------------
 */

static void on_dead(struct sn_h2conn *hc, int code)
{
	struct sn_down_h2 *h = sn_container_of(hc, struct sn_down_h2, conn);
	const char *why = sn_h2_failure(hc->h2);

	if (why)
		sn_conn_refused(h->c, code == -SN_ELIMIT ? SN_REFUSE_FLOOD : SN_REFUSE_BAD_REQUEST,
				why);
	if (code == -SN_ECONN || code == -SN_EOF) {
		sn_conn_close(h->c, code == -SN_ECONN);
		return;
	}
	sn_down_h2_end(h->c); /* the last frames are written: a GOAWAY must reach its reader */
	sn_conn_end(h->c, true);
}

static void on_bye(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_down_h2 *h = sn_container_of(t, struct sn_down_h2, bye);

	(void)now_ms;
	sn_h2_shutdown(h->conn.h2);
	sn_h2conn_kick(&h->conn);
}

/* One that has not moved since @since_ms, or NULL; then *ret_oldest: when the stillest has. */
static struct sn_exchange *still(const struct sn_down_h2 *h, uint64_t since_ms,
				 uint64_t *ret_oldest_ms)
{
	*ret_oldest_ms = UINT64_MAX;
	sn_list_each(&h->exchanges, at, next)
	{
		struct sn_exchange *x = sn_list_entry(at, struct sn_exchange, link);

		if (x->progress_ms <= since_ms)
			return x;
		if (x->progress_ms < *ret_oldest_ms)
			*ret_oldest_ms = x->progress_ms;
	}
	return NULL;
}

static void on_stall(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_down_h2 *h = sn_container_of(t, struct sn_down_h2, stall);
	struct sn_worker *w = h->c->w;
	uint64_t period_ms = w->progress_ms, oldest_ms = now_ms;
	uint64_t since_ms = now_ms > period_ms ? now_ms - period_ms : 0;
	struct sn_exchange *x;

	while ((x = still(h, since_ms, &oldest_ms)))
		sn_exchange_stalled(x); /* it ends, or counts as moved now */
	if (!sn_list_empty(&h->exchanges))
		sn_loop_timer(w->loop, &h->stall, oldest_ms + period_ms - now_ms);
}

void sn_down_h2_leave(struct sn_conn *c)
{
	struct sn_down_h2 *h = c->h2;
	bool at_once = sn_list_empty(&h->exchanges) && c->w->stopping && !c->w->patient;

	if (h->leaving && !at_once)
		return;
	h->leaving = true;
	if (at_once) {
		sn_loop_timer_cancel(c->w->loop, &h->bye);
		sn_h2_shutdown(h->conn.h2);
	} else {
		sn_h2_shutdown_notice(h->conn.h2);
		sn_loop_timer(c->w->loop, &h->bye, GOAWAY_STEP_MS);
	}
	sn_h2conn_kick(&h->conn);
}

/* Idle: gives back, then goes. */
static void on_timer(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_conn *c = sn_container_of(t, struct sn_conn, timer);
	uint64_t idle = c->w->timeouts.idle;

	(void)now_ms;
	if (!c->got_request) {
		sn_conn_refused(c, SN_REFUSE_HEADER_TIMEOUT, "no request in timeouts.header");
		sn_conn_close(c, false);
	} else if (!sn_list_empty(&c->h2->exchanges)) {
		arm_idle(c);
	} else if (!c->h2->trimmed && idle > TRIM_AFTER_MS) {
		sn_h2_trim(c->h2->conn.h2);
		c->h2->trimmed = true;
		sn_loop_timer(c->w->loop, &c->timer, idle - TRIM_AFTER_MS);
	} else if (c->h2->leaving) { /* answers that nobody takes: no window for them */
		sn_conn_close(c, true);
	} else {
		sn_down_h2_leave(c);
		sn_loop_timer(c->w->loop, &c->timer, idle);
	}
}

void sn_down_h2_begin(struct sn_conn *c)
{
	const struct sn_config_limits *lim = &c->w->limits;
	struct sn_h2_settings set = {
		.max_streams = MAX_STREAMS,
		.stream_window = lim->buffer_bytes > STREAM_WINDOW_FLOOR
					 ? (uint32_t)lim->buffer_bytes
					 : STREAM_WINDOW_FLOOR,
		.connection_window = CONNECTION_WINDOW,
		.header_bytes = (uint32_t)lim->header_bytes,
		.header_count = (uint32_t)lim->header_count,
		.extra_headers = SN_ADDED_HEADERS,
		.trusted = c->conf->mesh_peer,
	};
	struct sn_down_h2 *h = calloc(1, sizeof(*h));
	struct sn_h2 *h2 = h ? sn_h2_new(SN_H2_SERVER, &set, &events, h) : NULL;

	if (!h2) {
		free(h);
		sn_conn_close(c, true);
		return;
	}
	h->c = c;
	c->h2 = h;
	c->state = SN_CONN_H2;
	sn_conn_decided(c);
	sn_list_init(&h->exchanges);
	sn_timer_init(&h->bye, on_bye);
	sn_timer_init(&h->stall, on_stall);
	sn_loop_timer_cancel(c->w->loop, &c->timer);
	sn_timer_init(&c->timer, on_timer);
	sn_loop_timer(c->w->loop, &c->timer, c->w->timeouts.header);
	sn_h2conn_init(&h->conn, &c->d, h2, &c->w->frames, on_dead);
	if (!sn_input_empty(&c->in))
		sn_h2conn_feed(&h->conn, sn_input_slice(&c->in));
	sn_input_drop(&c->in, c->w->loop);
	sn_h2conn_event(&h->conn, SN_STREAM_READABLE);
	if (c->state == SN_CONN_H2 && sn_conn_is_last(c))
		sn_down_h2_leave(c);
}

void sn_down_h2_event(struct sn_conn *c, unsigned stream_events)
{
	sn_h2conn_event(&c->h2->conn, stream_events);
}

void sn_down_h2_end(struct sn_conn *c)
{
	struct sn_down_h2 *h = c->h2;

	if (!h)
		return;
	sn_h2conn_done(&h->conn);
	sn_list_each(&h->exchanges, at, next) /* those whose stream had ended already */
		sn_exchange_abort(sn_list_entry(at, struct sn_exchange, link));
	sn_loop_timer_cancel(c->w->loop, &h->bye);
	sn_loop_timer_cancel(c->w->loop, &h->stall);
}

bool sn_down_h2_is_idle(const struct sn_conn *c)
{
	return sn_list_empty(&c->h2->exchanges);
}
