/* SPDX-License-Identifier: Apache-2.0 */
/* The pool against servers of the test's own on loopback: who shares a connection, who waits and
 * for how long, and how connections end. Time is the fake clock's. */
#include "h2_peer.h"
#include "h2_wire.h"

#include "http/h2pool.h"

#define PEERS 8

static struct world w;
static struct sn_addr at;
static int server;
static struct sn_h2pool *pool;
static struct sn_h2pool_settings set;
static struct sn_list rest; /* pools that are retired */
static struct sn_buf frames;
static struct peer peers[PEERS];
static unsigned n_peers;

/* Somebody who wants to send one request. */
struct asker {
	struct sn_h2_waiter w;
	struct sn_h2 *h2;
	struct sn_h2_stream *s; /* NULL before and after */
	int calls, code;	/* of ready */
	unsigned status;
	bool closed, unprocessed;
	uint32_t error;
};

static void on_response(struct sn_h2_stream *s, struct sn_response *resp, struct sn_slice head)
{
	(void)head;
	((struct asker *)s->user)->status = resp->status;
}

static void on_data(struct sn_h2_stream *s, struct sn_slice payload)
{
	sn_h2_consume(s, payload.n);
}

static void on_end(struct sn_h2_stream *s, const struct sn_headers *trailers, struct sn_slice head)
{
	(void)s;
	(void)trailers;
	(void)head;
}

static void on_closed(struct sn_h2_stream *s, uint32_t error, bool unprocessed)
{
	struct asker *a = s->user;

	assert_false(a->closed);
	a->closed = true;
	a->error = error;
	a->unprocessed = unprocessed;
	a->s = NULL;
}

static const struct sn_h2_events events = {.response = on_response,
					   .data = on_data,
					   .end = on_end,
					   .drained = peer_drained,
					   .closed = on_closed,
					   .refused = peer_refused};

static void submit(struct asker *a, struct sn_h2 *h2)
{
	struct sn_request req = {.method = SN_METHOD_GET,
				 .method_text = SN_SLICE("GET"),
				 .path = SN_SLICE("/"),
				 .authority = SN_SLICE("a")};

	a->h2 = h2;
	assert_int_equal(sn_h2_submit_request(h2, &req, true, a, &a->s), 0);
	sn_h2pool_kick(h2);
}

static void on_ready(struct sn_h2_waiter *waiter, struct sn_h2 *h2, int code)
{
	struct asker *a = sn_container_of(waiter, struct asker, w);

	a->calls++;
	a->code = code;
	assert_true((h2 != NULL) == (code == 0));
	if (h2)
		submit(a, h2);
}

/* 0: it was sent at once; else as sn_h2pool_get. */
static int ask(struct asker *a)
{
	struct sn_h2 *h2 = NULL;
	int rc;

	*a = (struct asker){.w.ready = on_ready};
	sn_list_init(&a->w.link);
	rc = sn_h2pool_get(pool, &a->w, &h2);
	assert_int_equal(a->calls, 0); /* never from inside */
	if (rc == 0)
		submit(a, h2);
	return rc;
}

static int begin(void **state)
{
	(void)state;
	world_begin(&w);
	server = listening(64, &at);
	set = (struct sn_h2pool_settings){
		.pool = {.idle_timeout_ms = 30000,
			 .connect_timeout_ms = 1000,
			 .max_connections = 10,
			 .max_pending = 2},
		.session = {.stream_window = 65535,
			    .connection_window = 1 << 20,
			    .header_bytes = 4096,
			    .header_count = 20},
	};
	sn_buf_init(&frames, 0);
	sn_list_init(&rest);
	pool = sn_h2pool_new(w.loop, &at, &set, &events, &frames);
	assert_non_null(pool);
	n_peers = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	if (pool)
		sn_h2pool_end(pool);
	assert_true(sn_list_empty(&rest)); /* the last of it took it out */
	for (unsigned i = 0; i < n_peers; i++)
		peer_done(&peers[i]);
	turns(&w, 3);
	if (server >= 0)
		close(server);
	sn_buf_done(&frames);
	world_end(&w);
	return 0;
}

static void reconfigure(void)
{
	sn_h2pool_configure(pool, &set);
}

/* The next connection that the pool made, served. */
static struct peer *serve(uint32_t max_streams)
{
	struct peer *p = &peers[n_peers++];

	assert_true(n_peers <= PEERS);
	peer_init(p, w.loop, accept_one(&w, server), max_streams);
	return p;
}

static bool nobody_dials(void)
{
	int fd;

	turns(&w, 5);
	fd = accept4(server, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	if (fd >= 0)
		close(fd);
	return fd < 0;
}

static void finish(struct peer *p, struct asker *a)
{
	until(&w, p->n_open > 0);
	peer_answer(p);
	until(&w, a->closed);
	assert_int_equal(a->status, 200);
	assert_int_equal(a->error, 0);
}

static void test_requests_share_a_connection(void **state)
{
	struct asker a[4];
	struct peer *p;

	(void)state;
	assert_int_equal(ask(&a[0]), -SN_EAGAIN);
	assert_int_equal(ask(&a[1]), -SN_EAGAIN); /* one is on its way already */
	assert_int_equal(ask(&a[2]), -SN_EAGAIN);
	p = serve(100);
	until(&w, p->n_requests == 3);
	assert_int_equal(ask(&a[3]), 0);
	until(&w, p->n_requests == 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(a[i].code, 0);
		assert_int_equal(a[i].calls, i < 3);
		assert_ptr_equal(a[i].h2, a[0].h2);
		finish(p, &a[i]);
	}
	assert_true(nobody_dials());
	assert_false(sn_h2pool_is_unused(pool));
}

static void test_another_one_when_all_are_full(void **state)
{
	struct asker a, b, c;
	struct peer *p, *q;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(2);
	until(&w, a.s);
	assert_int_equal(ask(&b), 0);
	assert_int_equal(ask(&c), -SN_EAGAIN); /* the peer takes two */
	q = serve(2);
	until(&w, c.s);
	assert_ptr_equal(b.h2, a.h2);
	assert_ptr_not_equal(c.h2, a.h2);
	finish(p, &a);
	finish(p, &b);
	finish(q, &c);
}

static void test_waiting_is_bounded_and_in_order(void **state)
{
	struct asker a, b, c, d;
	struct peer *p;

	(void)state;
	set.pool.max_connections = 1;
	reconfigure();
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(1);
	until(&w, a.s);
	assert_int_equal(ask(&b), -SN_EAGAIN);
	assert_int_equal(ask(&c), -SN_EAGAIN);
	assert_int_equal(ask(&d), -SN_ELIMIT); /* max_pending */
	finish(p, &a);
	until(&w, b.s);
	assert_int_equal(c.calls, 0);
	finish(p, &b);
	until(&w, c.s);
	finish(p, &c);
	assert_int_equal(d.calls, 0);
	assert_true(nobody_dials());
}

/* For a stream of a connection that is full, as for a connection that is being made. */
static void test_nobody_waits_for_ever(void **state)
{
	struct asker a, b, c;
	struct peer *p;

	(void)state;
	set.pool.max_connections = 1;
	reconfigure();
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(1);
	until(&w, a.s);
	assert_int_equal(ask(&b), -SN_EAGAIN);
	pass_ms(&w, 600);
	assert_int_equal(ask(&c), -SN_EAGAIN);
	pass_ms(&w, 399);
	assert_int_equal(b.calls, 0);
	pass_ms(&w, 1);
	assert_int_equal(b.calls, 1);
	assert_int_equal(b.code, -SN_ETIMEOUT);
	pass_ms(&w, 599);
	assert_int_equal(c.calls, 0);
	finish(p, &a);
	until(&w, c.s); /* in time */
	finish(p, &c);
	pass_ms(&w, 1);
	assert_int_equal(c.calls, 1);
	assert_true(nobody_dials());
}

static void goes_away(struct peer *p)
{
	sn_h2_shutdown(p->conn.h2);
	sn_h2conn_kick(&p->conn);
	turns(&w, 5);
}

/* A stream that never ends keeps its connection, not the place of the next one. */
static void test_one_that_leaves_is_no_obstacle(void **state)
{
	struct asker a, b, c, d;
	struct peer *p, *q, *r;

	(void)state;
	set.pool.max_connections = 1;
	reconfigure();
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(1);
	until(&w, p->n_requests == 1);
	assert_int_equal(ask(&b), -SN_EAGAIN); /* waits already when it goes */
	goes_away(p);
	q = serve(1);
	until(&w, q->n_requests == 1);
	goes_away(q);
	assert_int_equal(ask(&c), -SN_EAGAIN); /* comes afterwards */
	r = serve(1);
	until(&w, c.s);
	assert_false(a.closed || b.closed);
	assert_int_equal(ask(&d), -SN_EAGAIN);
	assert_true(nobody_dials()); /* one that stays is one */
	sn_h2pool_cancel(pool, &d.w);
	finish(r, &c);
	finish(q, &b);
	finish(p, &a);
}

static void test_one_that_waits_no_more(void **state)
{
	struct asker a, b;
	struct peer *p;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	sn_h2pool_cancel(pool, &a.w);
	p = serve(10);
	turns(&w, 5);
	assert_int_equal(a.calls, 0);
	until(&w, ask(&b) == 0 || (sn_h2pool_cancel(pool, &b.w), false)); /* it was made anyway */
	finish(p, &b);
	set.pool.max_connections = 1;
	reconfigure();
	assert_int_equal(a.calls, 0);
	assert_true(nobody_dials());
}

static void test_a_peer_that_goes_away(void **state)
{
	struct asker a, b;
	struct peer *p, *q;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(10);
	until(&w, p->n_requests == 1);
	sn_h2_shutdown(p->conn.h2);
	sn_h2conn_kick(&p->conn);
	turns(&w, 5);
	assert_int_equal(ask(&b), -SN_EAGAIN); /* moves to a new one */
	q = serve(10);
	until(&w, b.s);
	finish(p, &a); /* what it has taken it answers */
	until(&w, p->over);
	finish(q, &b);
	assert_false(q->over);
}

static void test_a_peer_that_breaks_off(void **state)
{
	struct asker a, b;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	serve(10);
	until(&w, a.s);
	peer_done(&peers[0]);
	peers[0].over = true;
	until(&w, a.closed);
	assert_int_not_equal(a.error, 0);
	assert_true(sn_h2pool_is_unused(pool));
	assert_int_equal(ask(&b), -SN_EAGAIN); /* no backoff: it has worked */
	finish(serve(10), &b);
}

static void test_nobody_listens(void **state)
{
	struct asker a, b;

	(void)state;
	sn_h2pool_end(pool);
	at = nobody();
	pool = sn_h2pool_new(w.loop, &at, &set, &events, &frames);
	assert_non_null(pool);
	assert_int_equal(ask(&a), -SN_EAGAIN);
	assert_int_equal(ask(&b), -SN_EAGAIN);
	until(&w, a.calls);
	assert_int_equal(a.code, -SN_ECONN);
	assert_int_equal(b.code, -SN_ECONN);
	assert_int_equal(ask(&a), -SN_ECONN); /* not a dial for each who asks */
	pass_ms(&w, 9);
	assert_int_equal(ask(&a), -SN_ECONN);
	pass_ms(&w, 11);
	assert_int_equal(ask(&a), -SN_EAGAIN); /* 20 ms at first */
	until(&w, a.calls);
	assert_int_equal(a.code, -SN_ECONN);
	set.pool.cluster_address = true; /* another backend each time */
	reconfigure();
	assert_int_equal(ask(&a), -SN_EAGAIN);
	until(&w, a.calls);
}

static void set_reuse(int fd)
{
	int one = 1;

	assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)), 0);
}

/* From now on it refuses, until somebody listens again. */
static void stops_listening(void)
{
	close(server);
	server = -1;
}

static void listens_again(void)
{
	struct sockaddr_storage ss;
	socklen_t n = sn_addr_to_sockaddr(&at, &ss);

	server = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	set_reuse(server);
	assert_int_equal(bind(server, (struct sockaddr *)&ss, n), 0);
	assert_int_equal(listen(server, 8), 0);
}

/* That one more connection cannot be made is no news for those who can have the one that is there.
 */
static void test_a_full_one_is_waited_for_when_another_fails(void **state)
{
	struct asker a, b, c, d, e;
	struct peer *p;

	(void)state;
	set_reuse(server);
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(1);
	until(&w, p->n_requests == 1);
	stops_listening();
	assert_int_equal(ask(&b), -SN_EAGAIN);
	turns(&w, 5); /* its dial has failed */
	assert_int_equal(b.calls, 0);
	assert_int_equal(ask(&c), -SN_EAGAIN); /* neither for those who come now */
	assert_int_equal(ask(&d), -SN_ECONN);  /* more than max_pending try elsewhere */
	finish(p, &a);
	until(&w, b.s);
	turns(&w, 5);
	assert_int_equal(c.calls, 0);
	listens_again();
	pass_ms(&w, 40); /* the backoff is over: it is tried once more, by itself */
	finish(serve(1), &c);
	finish(p, &b);

	/* but without any there is nothing to wait for */
	assert_int_equal(ask(&a), 0);
	assert_int_equal(ask(&b), 0);
	until(&w, p->n_requests == 3);
	stops_listening();
	assert_int_equal(ask(&e), -SN_EAGAIN);
	turns(&w, 5);
	assert_int_equal(e.calls, 0);
	for (unsigned i = 0; i < n_peers; i++) {
		peer_done(&peers[i]);
		peers[i].over = true;
	}
	until(&w, e.calls);
	assert_int_equal(e.code, -SN_ECONN);
}

static int again(struct asker *a);

static void on_ready_again(struct sn_h2_waiter *waiter, struct sn_h2 *h2, int code)
{
	struct asker *a = sn_container_of(waiter, struct asker, w);

	assert_null(h2);
	a->code = code;
	if (a->calls++ == 0)
		assert_int_equal(again(a), -SN_EAGAIN);
}

static int again(struct asker *a)
{
	struct sn_h2 *h2 = NULL;

	a->w.ready = on_ready_again;
	sn_list_init(&a->w.link);
	return sn_h2pool_get(pool, &a->w, &h2);
}

/* Behind a cluster address each may ask again at once: that is no reason for the others to wait for
 * its failure too. */
static void test_all_that_wait_are_told_of_a_failure(void **state)
{
	struct asker a[5] = {0};

	(void)state;
	sn_h2pool_end(pool);
	at = nobody();
	set.pool.cluster_address = true;
	pool = sn_h2pool_new(w.loop, &at, &set, &events, &frames);
	assert_non_null(pool);
	for (size_t i = 0; i < SN_ARRAY_LEN(a); i++)
		assert_int_equal(again(&a[i]), -SN_EAGAIN);
	until(&w, a[0].calls);
	for (size_t i = 0; i < SN_ARRAY_LEN(a); i++)
		assert_int_equal(a[i].calls, 1);
	until(&w, a[0].calls == 2);
	for (size_t i = 0; i < SN_ARRAY_LEN(a); i++)
		assert_int_equal(a[i].calls, 2);
}

/* Whoever accepts and says nothing, says something else, or hangs up. */
static void test_a_peer_that_does_not_speak_http2(void **state)
{
	static const struct {
		const char *says; /* NULL: closes */
		int code;
	} rows[] = {{NULL, -SN_EPROTO},
		    {"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n", -SN_EPROTO},
		    {"", -SN_ETIMEOUT}};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct asker a;
		int fd;

		pass_ms(&w, 2000); /* the backoff of the row before */
		assert_int_equal(ask(&a), -SN_EAGAIN);
		fd = accept_one(&w, server);
		if (!rows[i].says) {
			shutdown(fd, SHUT_WR);
		} else if (rows[i].says[0]) {
			assert_int_equal(write(fd, rows[i].says, strlen(rows[i].says)),
					 strlen(rows[i].says));
		} else {
			turns(&w, 5);
			pass_ms(&w, 999);
			assert_int_equal(a.calls, 0);
			pass_ms(&w, 1);
		}
		until(&w, a.calls);
		assert_int_equal(a.code, rows[i].code);
		assert_int_equal(ask(&a), -SN_ECONN);
		close(fd);
	}
	assert_true(sn_h2pool_is_unused(pool));
}

/* The peer by hand: its SETTINGS with MAX_CONCURRENT_STREAMS. */
static void say_settings(int fd, uint32_t max_streams)
{
	uint8_t v[6] = {0,
			3,
			(uint8_t)(max_streams >> 24),
			(uint8_t)(max_streams >> 16),
			(uint8_t)(max_streams >> 8),
			(uint8_t)max_streams};
	struct sn_buf b;

	sn_buf_init(&b, 0);
	wire_frame(&b, SN_H2_FRAME_SETTINGS, 0, 0, v, sizeof(v));
	assert_int_equal(write(fd, sn_buf_slice(&b).p, sn_buf_len(&b)), sn_buf_len(&b));
	sn_buf_done(&b);
}

/* True when a frame of @type has come by now. Reads all that is there. */
static bool heard(int fd, unsigned type, size_t skip)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));
	size_t i = skip;
	bool found = false;

	while (n > 0 && i + 9 <= (size_t)n) {
		struct sn_h2_frame_head h = sn_h2_frame_head_read((uint8_t *)buf + i);

		found |= h.type == type && !(h.flags & SN_H2_FLAG_ACK);
		i += 9 + h.length;
	}
	return found;
}

static void test_a_silent_peer_is_pinged(void **state)
{
	struct asker a, b;
	int fd;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	fd = accept_one(&w, server);
	say_settings(fd, 10);
	until(&w, a.s);
	turns(&w, 3);
	assert_false(heard(fd, SN_H2_FRAME_PING, strlen(WIRE_MAGIC)));
	pass_ms(&w, 9999);
	assert_false(heard(fd, SN_H2_FRAME_PING, 0));
	pass_ms(&w, 1);
	assert_true(heard(fd, SN_H2_FRAME_PING, 0));
	pass_ms(&w, 2999);
	assert_false(a.closed);
	pass_ms(&w, 1);
	assert_true(a.closed);
	assert_false(a.unprocessed); /* nobody knows */
	assert_true(sn_h2pool_is_unused(pool));
	close(fd);
	assert_int_equal(ask(&b), -SN_EAGAIN);
	finish(serve(10), &b);
}

static void test_a_peer_that_answers_pings_may_take_its_time(void **state)
{
	struct asker a;
	struct peer *p;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(10);
	until(&w, p->n_requests == 1);
	for (int i = 0; i < 60; i++) {
		pass_ms(&w, 2000);
		turns(&w, 4);
	}
	assert_false(p->over);
	finish(p, &a);
}

static void test_idle_ones_go(void **state)
{
	struct asker a;
	struct peer *p;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(10);
	finish(p, &a);
	pass_ms(&w, 20000);
	assert_int_equal(ask(&a), 0); /* that begins it anew */
	finish(p, &a);
	pass_ms(&w, 29999);
	turns(&w, 3);
	assert_false(p->over);
	assert_false(sn_h2pool_is_unused(pool));
	pass_ms(&w, 1);
	until(&w, p->over);
	assert_true(sn_h2pool_is_unused(pool));
}

/* Taken, but nothing was sent on it after all. */
static void test_one_that_was_taken_for_nothing(void **state)
{
	struct asker a;
	struct sn_h2 *h2;
	struct peer *p;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(10);
	finish(p, &a);
	assert_int_equal(sn_h2pool_get(pool, &a.w, &h2), 0);
	pass_ms(&w, 10000);
	pass_ms(&w, 30000);
	until(&w, p->over);
	assert_true(sn_h2pool_is_unused(pool));
}

static void test_a_cluster_address_retires_by_age(void **state)
{
	struct asker a, b, c;
	struct peer *p, *q;

	(void)state;
	set.pool.cluster_address = true;
	reconfigure();
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(10);
	until(&w, p->n_requests == 1);
	pass_ms(&w, 7900);
	assert_int_equal(ask(&b), 0); /* 8 to 12 s */
	until(&w, p->n_requests == 2);
	pass_ms(&w, 4200);
	assert_int_equal(ask(&c), -SN_EAGAIN);
	q = serve(10);
	until(&w, c.s);
	finish(p, &a);
	assert_false(p->over);
	finish(p, &b);
	until(&w, p->over);
	finish(q, &c);
	assert_false(q->over);
}

static void test_a_cluster_address_retires_by_requests(void **state)
{
	struct asker a;
	struct peer *p;

	(void)state;
	set.pool.cluster_address = true;
	reconfigure();
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(10);
	finish(p, &a);
	for (int i = 1; i < 1000; i++) {
		assert_int_equal(ask(&a), 0);
		finish(p, &a);
	}
	until(&w, p->over);
	assert_int_equal(ask(&a), -SN_EAGAIN);
	finish(serve(10), &a);
}

static void test_a_cluster_address_is_taken_in_turn(void **state)
{
	struct asker a, b, c[4];
	struct peer *p, *q;

	(void)state;
	set.pool.cluster_address = true;
	reconfigure();
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(1);
	until(&w, a.s);
	assert_int_equal(ask(&b), -SN_EAGAIN);
	q = serve(1);
	until(&w, b.s);
	finish(p, &a);
	finish(q, &b);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(ask(&c[i]), 0);
		finish(i % 2 ? q : p, &c[i]);
	}
}

static void test_retired_with_requests_on_it(void **state)
{
	struct asker a;
	struct peer *p;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(10);
	until(&w, p->n_requests == 1);
	sn_h2pool_retire(pool, &rest);
	pool = NULL;
	turns(&w, 5);
	assert_false(p->over);
	finish(p, &a);
	until(&w, p->over);
}

static void test_retired_with_somebody_waiting(void **state)
{
	struct asker a, b;
	struct peer *p, *q;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN); /* for a connection that is being made */
	sn_h2pool_retire(pool, &rest);
	p = serve(1);
	finish(p, &a);
	until(&w, p->over);
	assert_true(nobody_dials());

	pool = sn_h2pool_new(w.loop, &at, &set, &events, &frames);
	set.pool.max_connections = 1;
	reconfigure();
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(1);
	until(&w, a.s);
	assert_int_equal(ask(&b), -SN_EAGAIN); /* for one that is full */
	sn_h2pool_retire(pool, &rest);
	pool = NULL;
	finish(p, &a);
	q = serve(1);
	finish(q, &b);
	until(&w, q->over);
	assert_true(nobody_dials());
}

/* A stream that does not end is no reason for those that wait to wait for it. */
static void test_retired_with_somebody_waiting_behind_another(void **state)
{
	struct asker a, b;
	struct peer *p, *q;

	(void)state;
	set.pool.max_connections = 1;
	reconfigure();
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(1);
	until(&w, p->n_requests == 1);
	assert_int_equal(ask(&b), -SN_EAGAIN);
	sn_h2pool_retire(pool, &rest);
	pool = NULL;
	q = serve(1);
	finish(q, &b);
	until(&w, q->over);
	assert_false(a.closed);
	finish(p, &a);
	until(&w, p->over);
}

static void test_retired_while_nobody_waits_for_the_dial(void **state)
{
	struct asker a;
	struct peer *p;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	sn_h2pool_cancel(pool, &a.w);
	sn_h2pool_retire(pool, &rest);
	pool = NULL;
	p = serve(10);
	until(&w, p->over); /* and not after an idle timeout */
	assert_int_equal(a.calls, 0);
}

static void test_retired_now(void **state)
{
	struct asker a, b;

	(void)state;
	set.pool.max_connections = 1;
	reconfigure();
	assert_int_equal(ask(&a), -SN_EAGAIN);
	serve(1);
	until(&w, a.s);
	assert_int_equal(ask(&b), -SN_EAGAIN);
	sn_h2pool_end(pool);
	assert_true(a.closed);
	assert_int_equal(a.error, SN_H2_CANCEL);
	until(&w, b.calls);
	assert_int_equal(b.code, -SN_ECONN);
	pool = NULL;
	until(&w, peers[0].over);
}

/* What retired earlier and still has requests, or a connection that is being made, is not left over
 * when all ends. */
static void test_ended_after_it_was_retired(void **state)
{
	struct asker a, b;
	struct peer *p;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	p = serve(10);
	until(&w, p->n_requests == 1);
	sn_h2pool_retire(pool, &rest);
	pool = sn_h2pool_new(w.loop, &at, &set, &events, &frames);
	assert_int_equal(ask(&b), -SN_EAGAIN);
	sn_h2pool_retire(pool, &rest);
	pool = NULL;
	turns(&w, 5);
	assert_false(sn_list_empty(&rest));
	sn_h2pool_end_all(&rest);
	assert_true(sn_list_empty(&rest));
	assert_true(a.closed);
	assert_int_equal(a.error, SN_H2_CANCEL);
	assert_int_equal(b.calls, 1);
	assert_int_equal(b.code, -SN_ECONN);
	until(&w, p->over);
}

/* RFC 9113 5.1.2 allows it for a while: not a reason to dial until there are no descriptors left.
 */
static void test_a_peer_that_takes_none(void **state)
{
	struct asker a;
	int fd;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	fd = accept_one(&w, server);
	say_settings(fd, 0);
	assert_true(nobody_dials());
	assert_int_equal(a.calls, 0);
	say_settings(fd, 1);
	until(&w, a.s);
	close(fd);
	until(&w, a.closed);

	assert_int_equal(ask(&a), -SN_EAGAIN);
	fd = accept_one(&w, server);
	say_settings(fd, 0);
	assert_true(nobody_dials());
	pass_ms(&w, 1000);
	assert_int_equal(a.code, -SN_ETIMEOUT);
	assert_int_equal(ask(&a), -SN_ECONN);
	close(fd);
}

/* One that greets and says goodbye in one breath. */
static void test_a_peer_that_goes_away_at_once(void **state)
{
	struct asker a;
	struct sn_buf b;
	uint8_t none[8] = {0};
	int fd;

	(void)state;
	assert_int_equal(ask(&a), -SN_EAGAIN);
	fd = accept_one(&w, server);
	sn_buf_init(&b, 0);
	wire_frame(&b, SN_H2_FRAME_SETTINGS, 0, 0, NULL, 0);
	wire_frame(&b, SN_H2_FRAME_GOAWAY, 0, 0, none, sizeof(none));
	assert_int_equal(write(fd, sn_buf_slice(&b).p, sn_buf_len(&b)), sn_buf_len(&b));
	sn_buf_done(&b);
	until(&w, a.calls);
	assert_int_equal(a.code, -SN_EPROTO);
	assert_true(nobody_dials());
	assert_int_equal(ask(&a), -SN_ECONN);
	close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(test_requests_share_a_connection),
		T(test_another_one_when_all_are_full),
		T(test_waiting_is_bounded_and_in_order),
		T(test_nobody_waits_for_ever),
		T(test_one_that_leaves_is_no_obstacle),
		T(test_one_that_waits_no_more),
		T(test_a_peer_that_goes_away),
		T(test_a_peer_that_breaks_off),
		T(test_nobody_listens),
		T(test_a_full_one_is_waited_for_when_another_fails),
		T(test_all_that_wait_are_told_of_a_failure),
		T(test_a_peer_that_does_not_speak_http2),
		T(test_a_silent_peer_is_pinged),
		T(test_a_peer_that_answers_pings_may_take_its_time),
		T(test_idle_ones_go),
		T(test_one_that_was_taken_for_nothing),
		T(test_a_cluster_address_retires_by_age),
		T(test_a_cluster_address_retires_by_requests),
		T(test_a_cluster_address_is_taken_in_turn),
		T(test_retired_with_requests_on_it),
		T(test_retired_with_somebody_waiting),
		T(test_retired_with_somebody_waiting_behind_another),
		T(test_retired_while_nobody_waits_for_the_dial),
		T(test_retired_now),
		T(test_ended_after_it_was_retired),
		T(test_a_peer_that_takes_none),
		T(test_a_peer_that_goes_away_at_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
