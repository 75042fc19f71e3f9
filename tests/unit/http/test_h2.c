/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions, client against server: messages whole, streamed, broken off, at any split of the bytes.
 */
#include "tests/unit/http/h2_pair.h"

static struct pair p;

/* Each test runs with whole writes, single octets, and pieces. */
static void at_splits(void (*test)(void))
{
	static const uint32_t pieces[] = {0, 1, 7, 100};

	for (size_t i = 0; i < SN_ARRAY_LEN(pieces); i++) {
		pair_init(&p, &end_settings, pieces[i]);
		test();
		pair_done(&p);
	}
}

static void unary(void)
{
	struct sn_header v[] = {
		{SN_SLICE("X-Mixed"), SN_SLICE("1"), SN_HDR_OTHER, 0},
		{SN_SLICE("Host"), SN_SLICE("a"), SN_HDR_HOST, 0},
		{SN_SLICE("Connection"), SN_SLICE("x"), SN_HDR_CONNECTION, SN_HDR_HOP},
		{SN_SLICE("gone"), SN_SLICE("x"), SN_HDR_OTHER, SN_HDR_DROPPED},
		{SN_SLICE("te"), SN_SLICE("trailers"), SN_HDR_TE, 0}};
	struct sn_request req = {.method = SN_METHOD_GET,
				 .method_text = SN_SLICE("GET"),
				 .path = SN_SLICE("/p?q"),
				 .authority = SN_SLICE("a:1"),
				 .headers = {v, SN_ARRAY_LEN(v), SN_ARRAY_LEN(v)}};
	struct sn_h2_stream *s;
	int mark;

	assert_true(sn_h2_can_open(p.c.h2));
	assert_int_equal(sn_h2_submit_request(p.c.h2, &req, true, &mark, &s), 0);
	assert_ptr_equal(s->user, &mark);
	assert_int_equal(sn_h2_n_streams(p.c.h2), 1);
	pair_run(&p);
	assert_log(&p.s, "request1:GET:a:1:/p?q:end x-mixed=1 te=trailers");
	assert_true(sn_h2_settings_seen(p.c.h2) && sn_h2_peer_takes_connect(p.c.h2));
	respond(p.s.last, 200, false);
	send_text(p.s.last, "hello");
	assert_int_equal(sn_h2_pending(p.s.last), 5);
	assert_int_equal(sn_h2_send_end(p.s.last, NULL), 0);
	pair_run(&p);
	assert_log(&p.c, "response1:200 end1 closed1:0");
	assert_log(&p.s, "closed1:0");
	assert_slice(sn_buf_slice(&p.c.got), "hello");
	assert_int_equal(sn_h2_n_streams(p.c.h2), 0);
	sn_h2_trim(p.c.h2);
	sn_h2_trim(p.s.h2);
	s = pair_request(&p, "HEAD", "/", true);
	assert_int_equal(s->id, 3);
	pair_run(&p);
	respond(p.s.last, 204, true);
	pair_run(&p);
	assert_log(&p.c, "response3:204:end closed3:0");
	assert_log(&p.s, "request3:HEAD:a:/:end closed3:0");
}

static void test_unary(void **state)
{
	(void)state;
	at_splits(unary);
}

static void both_ways(void)
{
	struct sn_header t[] = {
		{SN_SLICE("grpc-status"), SN_SLICE("0"), SN_HDR_OTHER, 0},
		{SN_SLICE("content-length"), SN_SLICE("9"), SN_HDR_CONTENT_LENGTH, 0},
		{SN_SLICE("X-Sum"), SN_SLICE(""), SN_HDR_OTHER, 0}};
	struct sn_headers trailers = {t, SN_ARRAY_LEN(t), SN_ARRAY_LEN(t)};
	struct sn_h2_stream *s = pair_request(&p, "POST", "/stream", false);

	send_text(s, "one ");
	pair_run(&p);
	respond(p.s.last, 100, false);
	respond(p.s.last, 103, false);
	respond(p.s.last, 200, false);
	send_text(p.s.last, "eins ");
	pair_run(&p);
	assert_log(&p.c, "response1:100 response1:103 response1:200");
	for (int i = 0; i < 20; i++) {
		send_text(s, "more ");
		send_text(p.s.last, "mehr ");
		pair_run(&p);
	}
	assert_int_equal(sn_buf_len(&p.s.got), 104);
	assert_int_equal(sn_buf_len(&p.c.got), 105);
	assert_int_equal(sn_h2_send_end(s, &trailers), 0);
	pair_run(&p);
	assert_log(&p.s, "request1:POST:a:/stream end1 grpc-status=0 x-sum=");
	send_text(p.s.last, "last");
	assert_int_equal(sn_h2_send_end(p.s.last, &trailers), 0);
	pair_run(&p);
	assert_log(&p.c, "end1 grpc-status=0 x-sum= closed1:0");
	assert_log(&p.s, "closed1:0");
	assert_int_equal(sn_buf_len(&p.c.got), 109);
}

static void test_both_ways(void **state)
{
	(void)state;
	at_splits(both_ways);
}

/* Trailers without any payload; an end without payload. */
static void empty_ends(void)
{
	struct sn_header t[] = {{SN_SLICE("a"), SN_SLICE("b"), SN_HDR_OTHER, 0}};
	struct sn_headers trailers = {t, 1, 1};
	struct sn_h2_stream *s = pair_request(&p, "POST", "/", false);

	pair_run(&p);
	assert_int_equal(sn_h2_send_end(s, NULL), 0);
	respond(p.s.last, 200, false);
	assert_int_equal(sn_h2_send_end(p.s.last, &trailers), 0);
	pair_run(&p);
	assert_log(&p.s, "request1:POST:a:/ end1 closed1:0");
	assert_log(&p.c, "response1:200 end1 a=b closed1:0");
}

static void test_empty_ends(void **state)
{
	(void)state;
	at_splits(empty_ends);
}

static void resets(void)
{
	struct sn_h2_stream *s = pair_request(&p, "POST", "/", false);

	pair_run(&p);
	sn_h2_reset(s, SN_H2_CANCEL);
	sn_h2_reset(s, SN_H2_PROTOCOL_ERROR);
	send_text(s, "dropped");
	pair_run(&p);
	assert_log(&p.c, "closed1:8");
	assert_log(&p.s, "request1:POST:a:/ closed1:8");
	s = pair_request(&p, "GET", "/", true);
	pair_run(&p);
	sn_h2_reset(p.s.last, SN_H2_REFUSED_STREAM);
	pair_run(&p);
	assert_log(&p.s, "request3:GET:a:/:end closed3:7");
	assert_log(&p.c, "closed3:7:unprocessed");
	/* Given up before it left. */
	s = pair_request(&p, "GET", "/", true);
	sn_h2_reset(s, SN_H2_CANCEL);
	pair_run(&p);
	assert_log(&p.c, "closed5:8");
	assert_log(&p.s, "");
	/* In the middle of an answer: never a clean end. */
	s = pair_request(&p, "GET", "/", true);
	pair_run(&p);
	respond(p.s.last, 200, false);
	send_text(p.s.last, "half");
	pair_run(&p);
	sn_h2_reset(p.s.last, SN_H2_NO_ERROR);
	pair_run(&p);
	assert_log(&p.c, "response7:200 closed7:8");
	assert_int_equal(sn_h2_n_streams(p.c.h2) + sn_h2_n_streams(p.s.h2), 0);
}

static void test_resets(void **state)
{
	(void)state;
	at_splits(resets);
}

/* The answer is complete before the request: it is delivered whole, then the upload is stopped. */
static void early_response(void)
{
	struct sn_h2_stream *s = pair_request(&p, "POST", "/", false);

	send_zeros(s, 50000);
	pair_run(&p);
	respond(p.s.last, 413, false);
	send_zeros(p.s.last, 60000);
	assert_int_equal(sn_h2_send_end(p.s.last, NULL), 0);
	sn_h2_reset(p.s.last, SN_H2_NO_ERROR);
	pair_run(&p);
	assert_log(&p.c, "response1:413 end1 closed1:0");
	assert_log(&p.s, "request1:POST:a:/ closed1:0");
	assert_int_equal(sn_buf_len(&p.c.got), 60000);
}

static void test_early_response(void **state)
{
	(void)state;
	at_splits(early_response);
}

/* The end in two steps: a notice, then the last stream. */
static void leaving(void)
{
	struct sn_h2_stream *s = pair_request(&p, "GET", "/1", true);

	pair_run(&p);
	sn_h2_shutdown_notice(p.s.h2);
	pair_run(&p);
	assert_log(&p.c, "goaway");
	assert_false(sn_h2_can_open(p.c.h2));
	sn_h2_shutdown(p.s.h2);
	pair_run(&p);
	assert_log(&p.c, "goaway");
	assert_false(sn_h2_is_over(p.s.h2));
	assert_int_equal(s->id, 1);
	respond(p.s.last, 200, true);
	pair_run(&p);
	assert_log(&p.c, "response1:200:end closed1:0");
	assert_true(sn_h2_is_over(p.s.h2) && sn_h2_is_over(p.c.h2));
}

static void test_leaving(void **state)
{
	(void)state;
	at_splits(leaving);
}

/* A request that crosses the server's GOAWAY was not processed: another try is safe. */
static void test_crossing_goaway(void **state)
{
	(void)state;
	pair_init(&p, &end_settings, 0);
	pair_run(&p);
	(void)pair_request(&p, "POST", "/", true);
	sn_h2_shutdown(p.s.h2);
	assert_int_equal(sn_h2_pull(p.s.h2, &p.s.out, 65536), 0);
	pair_run(&p);
	assert_log(&p.s, "");
	assert_log(&p.c, "goaway closed1:7:unprocessed");
	pair_done(&p);
}

/* The request comes between our decision to go and the GOAWAY's leaving: it is told that it was not
 * processed, so it must not have been. */
static void test_goaway_not_sent_yet(void **state)
{
	(void)state;
	pair_init(&p, &end_settings, 0);
	pair_run(&p);
	(void)pair_request(&p, "POST", "/", true);
	sn_h2_shutdown(p.s.h2);
	assert_true(pair_carry(&p, &p.c, &p.s));
	pair_run(&p);
	assert_log(&p.s, "");
	assert_log(&p.c, "goaway closed1:7:unprocessed");
	pair_done(&p);
}

/* A refusal behind an answer's head has been processed, whatever it says. */
static void test_late_refusal(void **state)
{
	(void)state;
	pair_init(&p, &end_settings, 0);
	(void)pair_request(&p, "POST", "/", true);
	pair_run(&p);
	respond(p.s.last, 103, false);
	pair_run(&p);
	sn_h2_reset(p.s.last, SN_H2_REFUSED_STREAM);
	pair_run(&p);
	assert_log(&p.c, "response1:103 closed1:7");
	pair_done(&p);
}

/* One stream's reader stalls: its window bounds what is held, the others go on. */
static void test_windows(void **state)
{
	struct sn_h2_stream *slow, *fast;

	(void)state;
	pair_init(&p, &end_settings, 0);
	pair_run(&p);
	slow = pair_request(&p, "POST", "/slow", false);
	pair_run(&p);
	p.s.hold = true;
	for (int i = 0; i < 4; i++)
		send_zeros(slow, 100000);
	pair_run(&p);
	assert_int_equal(p.s.held, 65535);
	assert_int_equal(sn_h2_pending(slow), 400000 - 65535);
	assert_false(sn_h2_wants_more(slow, 65536));
	slow->user = &p;
	p.s.hold = false;
	fast = pair_request(&p, "POST", "/fast", false);
	pair_run(&p);
	send_zeros(fast, 90000);
	assert_int_equal(sn_h2_send_end(fast, NULL), 0);
	pair_run(&p);
	assert_log(&p.s, "request1:POST:a:/slow request3:POST:a:/fast end3");
	assert_int_equal(sn_buf_len(&p.s.got), 65535 + 90000);
	pair_done(&p);
}

static unsigned n_drained;

static void refill(struct end *e, struct sn_h2_stream *s)
{
	(void)e;
	n_drained++;
	assert_true(sn_h2_pending(s) <= 32768);
	while (sn_h2_wants_more(s, 65536))
		send_zeros(s, 10000);
}

/* Backpressure the other way: 20 MB by a sender that waits to be asked. */
static void test_drained(void **state)
{
	(void)state;
	pair_init(&p, &end_settings, 0);
	p.s.on_drained = refill;
	(void)pair_request(&p, "GET", "/", true);
	pair_run(&p);
	respond(p.s.last, 200, false);
	refill(&p.s, p.s.last);
	n_drained = 0;
	for (int i = 0; i < 2000 && sn_buf_len(&p.c.got) < 20000000; i++) {
		pair_carry(&p, &p.s, &p.c);
		pair_carry(&p, &p.c, &p.s);
		assert_true(sn_h2_pending(p.s.last) < 65536 + 10000);
	}
	assert_true(sn_buf_len(&p.c.got) >= 20000000);
	assert_true(n_drained > 100);
	pair_done(&p);
}

/* The peer's limit on streams is kept; what ends makes room. */
static void test_concurrency(void **state)
{
	struct sn_request req = {.method = SN_METHOD_GET,
				 .method_text = SN_SLICE("GET"),
				 .path = SN_SLICE("/"),
				 .authority = SN_SLICE("a")};
	struct sn_h2_stream *s[11];

	(void)state;
	pair_init(&p, &end_settings, 0);
	pair_run(&p);
	for (int i = 0; i < 10; i++)
		s[i] = pair_request(&p, "GET", "/", true);
	assert_false(sn_h2_can_open(p.c.h2));
	assert_int_equal(sn_h2_submit_request(p.c.h2, &req, true, NULL, &s[10]), -SN_ELIMIT);
	pair_run(&p);
	sn_h2_reset(s[3], SN_H2_CANCEL);
	pair_run(&p);
	assert_true(sn_h2_can_open(p.c.h2));
	assert_int_equal(sn_h2_n_streams(p.s.h2), 9);
	pair_done(&p);
}

/* The session ends with streams open: each is told. */
static void test_free_tells(void **state)
{
	(void)state;
	pair_init(&p, &end_settings, 0);
	(void)pair_request(&p, "POST", "/", false);
	pair_run(&p);
	sn_buf_reset(&p.s.log);
	sn_h2_free(p.s.h2);
	p.s.h2 = NULL;
	assert_log(&p.s, "closed1:8");
	sn_h2_free(p.c.h2);
	p.c.h2 = NULL;
	assert_log(&p.c, "closed1:8");
	pair_done(&p);
}

static void test_upgrade(void **state)
{
	struct sn_request req = {.method = SN_METHOD_GET,
				 .method_text = SN_SLICE("GET"),
				 .path = SN_SLICE("/chat"),
				 .authority = SN_SLICE("a"),
				 .upgrade = true,
				 .upgrade_to = SN_SLICE("websocket")};
	struct sn_h2_stream *s;

	(void)state;
	pair_init(&p, &end_settings, 0);
	pair_run(&p);
	assert_int_equal(sn_h2_submit_request(p.c.h2, &req, false, NULL, &s), 0);
	pair_run(&p);
	respond(p.s.last, 101, false);
	send_text(p.s.last, "hi");
	send_text(s, "ho");
	pair_run(&p);
	assert_log(&p.s, "request1:CONNECT:a:/chat:websocket");
	assert_log(&p.c, "response1:200");
	assert_slice(sn_buf_slice(&p.s.got), "ho");
	assert_slice(sn_buf_slice(&p.c.got), "hi");
	assert_int_equal(sn_h2_send_end(s, NULL), 0);
	assert_int_equal(sn_h2_send_end(p.s.last, NULL), 0);
	pair_run(&p);
	assert_log(&p.s, "end1 closed1:0");
	pair_done(&p);
}

static void test_ping(void **state)
{
	(void)state;
	pair_init(&p, &end_settings, 0);
	sn_h2_ping(p.c.h2);
	sn_h2_ping(p.s.h2);
	pair_run(&p);
	assert_log(&p.c, "pong");
	assert_log(&p.s, "pong");
	pair_done(&p);
}

/* A head past the limit is answered 431; the connection and what it compressed live on. */
static void test_large_head(void **state)
{
	struct sn_header v[40];
	struct sn_request req = {.method = SN_METHOD_POST,
				 .method_text = SN_SLICE("POST"),
				 .path = SN_SLICE("/"),
				 .authority = SN_SLICE("a"),
				 .headers = {v, 0, SN_ARRAY_LEN(v)}};
	struct sn_h2_stream *s;

	(void)state;
	pair_init(&p, &end_settings, 0);
	for (size_t i = 0; i < SN_ARRAY_LEN(v); i++)
		v[i] = (struct sn_header){SN_SLICE("x-many"), SN_SLICE("value"), SN_HDR_OTHER, 0};
	req.headers.n = 21;
	assert_int_equal(sn_h2_submit_request(p.c.h2, &req, false, NULL, &s), 0);
	pair_run(&p);
	assert_log(&p.s, "refused:431:head-too-large");
	assert_log(&p.c, "response1:431:end content-length=0 sennit-error=bad-request closed1:0");
	req.headers.n = 5;
	assert_int_equal(sn_h2_submit_request(p.c.h2, &req, true, NULL, &s), 0);
	pair_run(&p);
	assert_log(&p.s, "request3:POST:a:/:end x-many=value x-many=value x-many=value "
			 "x-many=value x-many=value");
	pair_done(&p);
}

/* Many small exchanges at random: nothing is left, nothing crosses over. */
static void test_many(void **state)
{
	uint64_t n = 0;

	(void)state;
	pair_init(&p, &end_settings, 300);
	pair_run(&p);
	for (int i = 0; i < 2000; i++) {
		struct sn_h2_stream *s = pair_request(&p, "POST", "/", false);

		send_text(s, "abc");
		if (sn_rng_below(&p.rng, 8) == 0)
			sn_h2_reset(s, SN_H2_CANCEL);
		else
			assert_int_equal(sn_h2_send_end(s, NULL), 0);
		if (sn_rng_below(&p.rng, 2) == 0)
			pair_carry(&p, &p.c, &p.s);
		pair_run(&p);
		if (p.s.last && sn_rng_below(&p.rng, 8) == 0) {
			sn_h2_reset(p.s.last, SN_H2_INTERNAL_ERROR);
		} else if (p.s.last) {
			respond(p.s.last, 200, false);
			send_text(p.s.last, "xyz");
			assert_int_equal(sn_h2_send_end(p.s.last, NULL), 0);
		}
		pair_run(&p);
		n += sn_buf_len(&p.c.got);
		sn_buf_reset(&p.c.got);
		assert_int_equal(sn_h2_n_streams(p.c.h2) + sn_h2_n_streams(p.s.h2), 0);
	}
	assert_true(n > 3 * 1000);
	pair_done(&p);
}

/* A head that came by HTTP/2: its text may be gone before the frame is made, fields may have been
 * added from elsewhere, and more than one head may be on its way to one stream. */
static void pinned(void)
{
	char text[] = "GEThttp/patha.bname: value\r\nother: thing\r\n\r\n";
	char added[] = "X-Added", new_value[] = "new";
	struct sn_header v[] = {{sn_slice(text + 15, 4), sn_slice(text + 21, 5), SN_HDR_OTHER, 0},
				{sn_slice(text + 28, 5), sn_slice(new_value, 3), SN_HDR_OTHER, 0},
				{sn_slice(added, 7), sn_slice(text + 35, 5), SN_HDR_OTHER, 0}};
	struct sn_request req = {.method = SN_METHOD_GET,
				 .method_text = sn_slice(text, 3),
				 .scheme = sn_slice(text + 3, 4),
				 .path = sn_slice(text + 7, 5),
				 .authority = sn_slice(text + 12, 3),
				 .headers = {v, SN_ARRAY_LEN(v), SN_ARRAY_LEN(v)},
				 .text = sn_slice(text, sizeof(text) - 1)};
	char answer[] = "200server: s\r\n\r\n";
	struct sn_header w[] = {
		{sn_slice(answer + 3, 6), sn_slice(answer + 11, 1), SN_HDR_SERVER, 0}};
	struct sn_response early = {.status = 103, .headers = {w, 1, 1}}, resp = early;
	struct sn_h2_stream *s, *never;

	early.text = resp.text = sn_slice(answer, sizeof(answer) - 1);
	resp.status = 200;
	assert_int_equal(sn_h2_submit_request(p.c.h2, &req, true, NULL, &s), 0);
	assert_int_equal(sn_h2_submit_request(p.c.h2, &req, true, NULL, &never), 0);
	sn_h2_reset(never, SN_H2_CANCEL);
	memset(text, '!', sizeof(text) - 1);
	memset(added, '!', sizeof(added) - 1);
	memset(new_value, '!', sizeof(new_value) - 1);
	pair_run(&p);
	assert_log(&p.s, "request1:GET:a.b:/path:end name=value other=new x-added=thing");
	assert_log(&p.c, "closed3:8");
	assert_int_equal(sn_h2_submit_response(p.s.last, &early, false), 0);
	assert_int_equal(sn_h2_submit_response(p.s.last, &early, false), 0);
	assert_int_equal(sn_h2_submit_response(p.s.last, &resp, true), 0);
	memset(answer, '!', sizeof(answer) - 1);
	pair_run(&p);
	assert_log(&p.c, "response1:103 server=s response1:103 server=s "
			 "response1:200:end server=s closed1:0");
	assert_log(&p.s, "closed1:0");
}

static void test_pinned(void **state)
{
	(void)state;
	at_splits(pinned);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_unary),
		cmocka_unit_test(test_both_ways),
		cmocka_unit_test(test_empty_ends),
		cmocka_unit_test(test_resets),
		cmocka_unit_test(test_early_response),
		cmocka_unit_test(test_leaving),
		cmocka_unit_test(test_crossing_goaway),
		cmocka_unit_test(test_goaway_not_sent_yet),
		cmocka_unit_test(test_late_refusal),
		cmocka_unit_test(test_windows),
		cmocka_unit_test(test_drained),
		cmocka_unit_test(test_concurrency),
		cmocka_unit_test(test_free_tells),
		cmocka_unit_test(test_upgrade),
		cmocka_unit_test(test_ping),
		cmocka_unit_test(test_large_head),
		cmocka_unit_test(test_many),
		cmocka_unit_test(test_pinned),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
