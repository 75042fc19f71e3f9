/* SPDX-License-Identifier: Apache-2.0 */
/* A server of HTTP/2 on the test's own loop: a session on an accepted socket, and the streams that
 * are open on it, oldest first. */
#ifndef SN_TESTS_HTTP_H2_PEER_H
#define SN_TESTS_HTTP_H2_PEER_H

#include "../net/loops.h"

#include "http/h2conn.h"

#define PEER_STREAMS 64

struct peer {
	struct sn_stream s;
	struct sn_h2conn conn;
	struct sn_buf frames;
	struct sn_h2_stream *open[PEER_STREAMS];
	unsigned n_open, n_requests;
	size_t got; /* octets of payload */
	bool over;
	int code;
	const char *why; /* sn_h2_failure at its end */
	bool inside;	 /* of a call that must not say that it is over */
};

static inline void peer_request(struct sn_h2_stream *s, struct sn_request *req,
				struct sn_slice head)
{
	struct peer *p = sn_h2_user(s->h2);

	(void)req;
	(void)head;
	assert_true(p->n_open < PEER_STREAMS);
	p->open[p->n_open++] = s;
	p->n_requests++;
}

static inline void peer_data(struct sn_h2_stream *s, struct sn_slice payload)
{
	struct peer *p = sn_h2_user(s->h2);

	p->got += payload.n;
	sn_h2_consume(s, payload.n);
}

static inline void peer_end(struct sn_h2_stream *s, const struct sn_headers *trailers,
			    struct sn_slice head)
{
	(void)s;
	(void)trailers;
	(void)head;
}

static inline void peer_drained(struct sn_h2_stream *s)
{
	(void)s;
}

static inline void peer_closed(struct sn_h2_stream *s, uint32_t error, bool unprocessed)
{
	struct peer *p = sn_h2_user(s->h2);
	unsigned i = 0;

	(void)error;
	(void)unprocessed;
	while (i < p->n_open && p->open[i] != s)
		i++;
	if (i == p->n_open)
		return;
	p->n_open--;
	memmove(&p->open[i], &p->open[i + 1], (p->n_open - i) * sizeof(p->open[0]));
}

static inline void peer_refused(struct sn_h2 *h2, unsigned status, const char *reason)
{
	(void)h2;
	(void)status;
	(void)reason;
}

static inline void peer_session(struct sn_h2 *h2)
{
	(void)h2;
}

static const struct sn_h2_events peer_events = {.request = peer_request,
						.data = peer_data,
						.end = peer_end,
						.drained = peer_drained,
						.closed = peer_closed,
						.refused = peer_refused,
						.goaway = peer_session,
						.pong = peer_session};

static inline void peer_dead(struct sn_h2conn *c, int code)
{
	struct peer *p = sn_container_of(c, struct peer, conn);

	assert_false(p->over);
	assert_false(p->inside);
	p->over = true;
	p->code = code;
	p->why = sn_h2_failure(c->h2);
	sn_h2conn_done(&p->conn);
	sn_stream_close(&p->s, false);
}

static inline void peer_event(struct sn_stream *s, unsigned events)
{
	sn_h2conn_event(&sn_container_of(s, struct peer, s)->conn, events);
}

/* @fd: connected, taken over. */
static inline void peer_init(struct peer *p, struct sn_loop *l, int fd, uint32_t max_streams)
{
	struct sn_h2_settings set = {.max_streams = max_streams,
				     .stream_window = 1 << 20,
				     .connection_window = 4 << 20,
				     .header_bytes = 4096,
				     .header_count = 20};
	struct sn_addr nowhere = {0};
	struct sn_h2 *h2;

	*p = (struct peer){0};
	sn_buf_init(&p->frames, 0);
	h2 = sn_h2_new(SN_H2_SERVER, &set, &peer_events, p);
	assert_non_null(h2);
	assert_int_equal(sn_stream_open(&p->s, l, fd, &nowhere, peer_event), 0);
	sn_h2conn_init(&p->conn, &p->s, h2, &p->frames, peer_dead);
	sn_h2conn_kick(&p->conn);
}

static inline void peer_done(struct peer *p)
{
	if (!p->over && p->conn.h2) {
		sn_h2conn_done(&p->conn);
		sn_stream_close(&p->s, false);
	}
	sn_buf_done(&p->frames);
}

/* Answers the oldest open request. */
static inline void peer_answer(struct peer *p)
{
	struct sn_response resp = {.status = 200};

	assert_true(p->n_open > 0);
	assert_int_equal(sn_h2_submit_response(p->open[0], &resp, true), 0);
	sn_h2conn_kick(&p->conn);
}

#endif
