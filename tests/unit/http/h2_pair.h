/* SPDX-License-Identifier: Apache-2.0 */
/* A client and a server session wired back to back in memory: bytes cross in pieces of random size;
 * what each end was told is a log of words. */
#ifndef SN_TESTS_HTTP_H2_PAIR_H
#define SN_TESTS_HTTP_H2_PAIR_H

#include "tests/unit/unit.h"

#include "base/buf.h"
#include "base/num.h"
#include "http/h2.h"

struct end {
	struct sn_h2 *h2;
	struct sn_buf out; /* to the other end */
	struct sn_buf log;
	struct sn_buf got;	   /* payload */
	struct sn_h2_stream *last; /* of the last request or response */
	bool hold;		   /* payload is not consumed at once */
	bool stalled;		   /* reads nothing */
	size_t held;
	int rc;
	void (*on_request)(struct end *e, struct sn_h2_stream *s, struct sn_request *req);
	void (*on_drained)(struct end *e, struct sn_h2_stream *s);
};

static inline void say(struct end *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static inline void say(struct end *e, const char *fmt, ...)
{
	va_list ap;

	if (sn_buf_len(&e->log) > 0)
		sn_buf_putc(&e->log, ' ');
	va_start(ap, fmt);
	sn_buf_vprintf(&e->log, fmt, ap);
	va_end(ap);
}

static inline void say_fields(struct end *e, const struct sn_headers *hs)
{
	for (uint32_t i = 0; i < hs->n; i++)
		if (!(hs->v[i].flags & (SN_HDR_DROPPED | SN_HDR_HOP)))
			say(e, "%.*s=%.*s", SN_ARG(hs->v[i].name), SN_ARG(hs->v[i].value));
}

static inline void end_request(struct sn_h2_stream *s, struct sn_request *req, struct sn_slice head)
{
	struct end *e = sn_h2_user(s->h2);

	(void)head;
	e->last = s;
	say(e, "request%d:%.*s:%.*s:%.*s%s%s%.*s", s->id, SN_ARG(req->method_text),
	    SN_ARG(req->authority), SN_ARG(req->path), s->remote_ended ? ":end" : "",
	    req->upgrade ? ":" : "", SN_ARG(req->upgrade_to));
	say_fields(e, &req->headers);
	if (e->on_request)
		e->on_request(e, s, req);
}

static inline void end_response(struct sn_h2_stream *s, struct sn_response *resp,
				struct sn_slice head)
{
	struct end *e = sn_h2_user(s->h2);

	(void)head;
	e->last = s;
	say(e, "response%d:%u%s", s->id, resp->status, s->remote_ended ? ":end" : "");
	say_fields(e, &resp->headers);
}

static inline void end_data(struct sn_h2_stream *s, struct sn_slice payload)
{
	struct end *e = sn_h2_user(s->h2);

	assert_int_equal(sn_buf_append(&e->got, payload.p, payload.n), 0);
	if (e->hold)
		e->held += payload.n;
	else
		sn_h2_consume(s, payload.n);
}

static inline void end_end(struct sn_h2_stream *s, const struct sn_headers *trailers,
			   struct sn_slice head)
{
	struct end *e = sn_h2_user(s->h2);

	(void)head;
	assert_true(s->remote_ended);
	say(e, "end%d", s->id);
	if (trailers)
		say_fields(e, trailers);
}

static inline void end_drained(struct sn_h2_stream *s)
{
	struct end *e = sn_h2_user(s->h2);

	if (e->on_drained)
		e->on_drained(e, s);
}

static inline void end_closed(struct sn_h2_stream *s, uint32_t error, bool unprocessed)
{
	struct end *e = sn_h2_user(s->h2);

	say(e, "closed%d:%u%s", s->id, error, unprocessed ? ":unprocessed" : "");
	if (e->last == s)
		e->last = NULL;
}

static inline void end_refused(struct sn_h2 *h2, unsigned status, const char *reason)
{
	say(sn_h2_user(h2), "refused:%u:%s", status, reason);
}

static inline void end_goaway(struct sn_h2 *h2)
{
	say(sn_h2_user(h2), "goaway");
}

static inline void end_pong(struct sn_h2 *h2)
{
	say(sn_h2_user(h2), "pong");
}

static const struct sn_h2_events end_events = {
	.request = end_request,
	.response = end_response,
	.data = end_data,
	.end = end_end,
	.drained = end_drained,
	.closed = end_closed,
	.refused = end_refused,
	.goaway = end_goaway,
	.pong = end_pong,
};

static const struct sn_h2_settings end_settings = {.max_streams = 10,
						   .stream_window = 65535,
						   .connection_window = 1 << 20,
						   .header_bytes = 2000,
						   .header_count = 20,
						   .extra_headers = 4};

static inline void end_init(struct end *e, enum sn_h2_role role, const struct sn_h2_settings *set)
{
	*e = (struct end){0};
	sn_buf_init(&e->out, 0);
	sn_buf_init(&e->log, 0);
	sn_buf_init(&e->got, 0);
	e->h2 = sn_h2_new(role, set, &end_events, e);
	assert_non_null(e->h2);
}

static inline void end_done(struct end *e)
{
	sn_h2_free(e->h2);
	sn_buf_done(&e->out);
	sn_buf_done(&e->log);
	sn_buf_done(&e->got);
}

/* What was said since the last time. */
#define assert_log(e, text)                                                                        \
	do {                                                                                       \
		assert_string_equal(sn_buf_cstr(&(e)->log), (text));                               \
		sn_buf_reset(&(e)->log);                                                           \
	} while (0)

struct pair {
	struct end c, s;
	struct sn_rng rng;
	uint64_t now_ms;
	uint32_t max_piece; /* 0: all at once */
};

static inline void pair_init(struct pair *p, const struct sn_h2_settings *set, uint32_t max_piece)
{
	*p = (struct pair){.max_piece = max_piece, .now_ms = 1000};
	sn_rng_seed(&p->rng, max_piece + 1);
	end_init(&p->c, SN_H2_CLIENT, set);
	end_init(&p->s, SN_H2_SERVER, set);
}

static inline void pair_done(struct pair *p)
{
	end_done(&p->c);
	end_done(&p->s);
}

/* True when something moved. */
static inline bool pair_carry(struct pair *p, struct end *from, struct end *to)
{
	size_t n;
	char *copy;

	if (sn_buf_len(&from->out) < 65536)
		(void)sn_h2_pull(from->h2, &from->out, 65536);
	n = sn_buf_len(&from->out);
	if (n == 0 || to->stalled)
		return false;
	if (p->max_piece > 0 && n > p->max_piece)
		n = 1 + sn_rng_below(&p->rng, p->max_piece);
	copy = malloc(n); /* exact, so that a read past the end is seen */
	assert_non_null(copy);
	memcpy(copy, sn_buf_slice(&from->out).p, n);
	to->rc = sn_h2_feed(to->h2, sn_slice(copy, n), p->now_ms);
	free(copy);
	sn_buf_consume(&from->out, n);
	return true;
}

static inline void pair_run(struct pair *p)
{
	for (int i = 0; i < 10000000; i++) {
		bool moved = pair_carry(p, &p->c, &p->s);

		moved |= pair_carry(p, &p->s, &p->c);
		if (!moved)
			return;
	}
	fail();
}

static inline struct sn_h2_stream *pair_request(struct pair *p, const char *method,
						const char *path, bool end)
{
	struct sn_request req = {.method = sn_method_lookup(sn_slice_cstr(method)),
				 .method_text = sn_slice_cstr(method),
				 .path = sn_slice_cstr(path),
				 .authority = SN_SLICE("a")};
	struct sn_h2_stream *s = NULL;

	assert_int_equal(sn_h2_submit_request(p->c.h2, &req, end, NULL, &s), 0);
	return s;
}

static inline void respond(struct sn_h2_stream *s, unsigned status, bool end)
{
	struct sn_response resp = {.status = (uint16_t)status};

	assert_int_equal(sn_h2_submit_response(s, &resp, end), 0);
}

static inline void send_text(struct sn_h2_stream *s, const char *text)
{
	struct iovec iov = {(void *)(uintptr_t)text, strlen(text)};

	assert_int_equal(sn_h2_send(s, &iov, 1), 0);
}

static inline void send_zeros(struct sn_h2_stream *s, size_t n)
{
	static char zeros[100000];
	struct iovec iov = {zeros, n};

	assert_true(n <= sizeof(zeros));
	assert_int_equal(sn_h2_send(s, &iov, 1), 0);
}

#endif
