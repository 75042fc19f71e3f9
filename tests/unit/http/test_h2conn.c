/* SPDX-License-Identifier: Apache-2.0 */
/* A session on a stream: reading goes on by itself, writing waits for room, and its end is said
 * once, from the loop. */
#include "h2_peer.h"
#include "h2_wire.h"

static struct world w;
static struct peer p;
static int far;

static int begin(void **state)
{
	int fd[2];

	(void)state;
	world_begin(&w);
	pair(fd);
	far = fd[1];
	peer_init(&p, w.loop, fd[0], 10);
	turns(&w, 1); /* its SETTINGS are out: put_preface acknowledges them */
	return 0;
}

static int end(void **state)
{
	(void)state;
	peer_done(&p);
	turns(&w, 2);
	if (far >= 0)
		close(far);
	world_end(&w);
	return 0;
}

static void put_preface(struct sn_buf *b)
{
	sn_buf_init(b, 0);
	sn_buf_puts(b, WIRE_MAGIC);
	wire_frame(b, SN_H2_FRAME_SETTINGS, 0, 0, NULL, 0);
	wire_frame(b, SN_H2_FRAME_SETTINGS, SN_H2_FLAG_ACK, 0, NULL, 0);
}

static void put_request(struct sn_buf *b, uint32_t id, bool ends)
{
	wire_headers(b, id, ends, ":method: POST\n:scheme: http\n:path: /\n:authority: a\n");
}

/* Writes all of it; the other end's loop turns meanwhile. */
static void carry(struct sn_buf *b)
{
	until(&w, ({
		ssize_t n = write(far, sn_buf_slice(b).p, sn_buf_len(b));

		if (n > 0)
			sn_buf_consume(b, (size_t)n);
		sn_buf_len(b) == 0;
	}));
	sn_buf_done(b);
}

/* What has been written so far, without SETTINGS and window updates; the wire's end is "EOF". */
static const char *written(void)
{
	static char text[4096];
	struct sn_buf raw, out;
	char buf[65536];
	ssize_t n;

	sn_buf_init(&raw, 0);
	sn_buf_init(&out, 0);
	turns(&w, 3);
	while ((n = read(far, buf, sizeof(buf))) > 0)
		sn_buf_append(&raw, buf, (size_t)n);
	wire_print(sn_buf_slice(&raw), &out);
	snprintf(text, sizeof(text), "%s%s", sn_buf_cstr(&out), n == 0 ? " EOF" : "");
	sn_buf_done(&raw);
	sn_buf_done(&out);
	return text;
}

static void test_what_a_turn_made_goes_out_with_it(void **state)
{
	struct sn_buf b;

	(void)state;
	put_preface(&b);
	put_request(&b, 1, true);
	put_request(&b, 3, true);
	carry(&b);
	until(&w, p.n_open == 2);
	written();
	peer_answer(&p);
	assert_string_equal(written(), "H1e");
	peer_answer(&p);
	assert_string_equal(written(), "H3e");
	assert_false(p.over);
}

/* More than is read at a time: nobody tells a second time that bytes are there. */
static void test_reading_goes_on(void **state)
{
	static char zeros[16000];
	struct sn_buf b;
	int size = 1 << 20;

	(void)state;
	assert_int_equal(setsockopt(far, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	put_preface(&b);
	put_request(&b, 1, false);
	for (int i = 0; i < 10; i++)
		wire_frame(&b, SN_H2_FRAME_DATA, 0, 1, zeros, sizeof(zeros));
	assert_int_equal(write(far, sn_buf_slice(&b).p, sn_buf_len(&b)), sn_buf_len(&b));
	turns(&w, 5);
	assert_int_equal(p.got, 10 * sizeof(zeros));
	sn_buf_done(&b);
}

/* The socket takes some of it, and then the rest. */
static void test_writing_goes_on(void **state)
{
	static char zeros[60000];
	struct sn_response resp = {.status = 200};
	struct iovec iov = {zeros, sizeof(zeros)};
	struct sn_buf b;
	char buf[4096];
	size_t n = 0;
	int size = 4096;

	(void)state;
	assert_int_equal(setsockopt(p.s.io.fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)), 0);
	put_preface(&b);
	put_request(&b, 1, true);
	carry(&b);
	until(&w, p.n_open == 1);
	assert_int_equal(sn_h2_submit_response(p.open[0], &resp, false), 0);
	assert_int_equal(sn_h2_send(p.open[0], &iov, 1), 0);
	assert_int_equal(sn_h2_send_end(p.open[0], NULL), 0);
	sn_h2conn_kick(&p.conn);
	turns(&w, 3);
	assert_false(sn_outq_empty(&p.conn.out));
	until(&w, ({
		ssize_t got = read(far, buf, sizeof(buf));

		n += got > 0 ? (size_t)got : 0;
		sn_outq_empty(&p.conn.out) && got < 0;
	}));
	assert_true(n > sizeof(zeros));
	assert_int_equal(p.n_open, 0);
	assert_false(p.over);
}

/* What the library finds by itself is a breach like any other: the peer and the owner hear of it.
 */
static void test_all_hear_why(void **state)
{
	static const struct {
		unsigned type;
		uint32_t id;
		const char *payload;
		size_t n;
		const char *goaway, *why;
	} rows[] = {
		{SN_H2_FRAME_PING, 0, "short", 5, "GOAWAY(6) EOF", "frame-size-error"},
		{SN_H2_FRAME_DATA, 0, "x", 1, "GOAWAY(1) EOF", "protocol-error"},
		{SN_H2_FRAME_WINDOW_UPDATE, 0, "\x7f\xff\xff\xff", 4, "GOAWAY(3) EOF",
		 "flow-control-error"},
		{SN_H2_FRAME_HEADERS, 1, "\xff\xff\xff\xff\xff\xff", 6, "GOAWAY(9) EOF",
		 "compression-error"},
	};

	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_buf b;

		put_preface(&b);
		wire_frame(&b, rows[i].type, SN_H2_FLAG_END_HEADERS, rows[i].id, rows[i].payload,
			   rows[i].n);
		carry(&b);
		until(&w, p.over);
		assert_string_equal(written(), rows[i].goaway);
		assert_int_equal(p.code, -SN_EPROTO);
		assert_string_equal(p.why, rows[i].why);
		end(state);
		begin(state);
	}
}

static void test_no_preface(void **state)
{
	(void)state;
	assert_int_equal(write(far, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 27), 27);
	until(&w, p.over);
	assert_int_equal(p.code, -SN_EPROTO);
}

static void test_bytes_that_were_read_before(void **state)
{
	struct sn_buf b;

	(void)state;
	put_preface(&b);
	put_request(&b, 1, true);
	assert_int_equal(sn_h2conn_feed(&p.conn, sn_buf_slice(&b)), 0);
	assert_int_equal(p.n_open, 1);
	sn_buf_done(&b);
	peer_answer(&p);
	assert_non_null(strstr(written(), "H1e"));
}

static void test_bad_bytes_that_were_read_before(void **state)
{
	(void)state;
	p.inside = true; /* what is wrong with them is said later */
	assert_int_equal(sn_h2conn_feed(&p.conn, SN_SLICE("GET / HTTP/1.1\r\n\r\n")), -SN_EPROTO);
	p.inside = false;
	until(&w, p.over);
	assert_int_equal(p.code, -SN_EPROTO);
	assert_string_equal(written(), "GOAWAY(1) EOF");
}

static void test_ends(void **state)
{
	static const bool reset[] = {false, true};
	struct sn_buf b;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(reset); i++) {
		struct linger now = {1, 0};

		put_preface(&b);
		put_request(&b, 1, true);
		carry(&b);
		until(&w, p.n_open == 1);
		if (reset[i])
			setsockopt(far, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		close(far);
		far = -1;
		until(&w, p.over);
		assert_true(p.code < 0);
		assert_int_equal(p.n_open, 0); /* its streams were told */
		end(NULL);
		begin(NULL);
	}
}

static void test_an_orderly_end(void **state)
{
	struct sn_buf b;

	(void)state;
	put_preface(&b);
	put_request(&b, 1, true);
	carry(&b);
	until(&w, p.n_open == 1);
	sn_h2_shutdown(p.conn.h2);
	sn_h2conn_kick(&p.conn);
	turns(&w, 3);
	assert_false(p.over);
	peer_answer(&p);
	until(&w, p.over);
	assert_int_equal(p.code, 0);
	assert_string_equal(written(), "GOAWAY(0) H1e EOF");
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(test_what_a_turn_made_goes_out_with_it),
		T(test_reading_goes_on),
		T(test_writing_goes_on),
		T(test_all_hear_why),
		T(test_no_preface),
		T(test_bytes_that_were_read_before),
		T(test_bad_bytes_that_were_read_before),
		T(test_ends),
		T(test_an_orderly_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
