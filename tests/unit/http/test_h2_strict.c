/* SPDX-License-Identifier: Apache-2.0 */
/* A server session against a peer that breaks the rules: what each breach costs it (a stream or the
 * connection), that the owner is told, and that floods end in GOAWAY. */
#include "tests/unit/http/h2_pair.h"
#include "tests/unit/http/h2_wire.h"

static struct end e;
static struct sn_buf in;
static uint64_t now_ms;

#define GET ":method: GET\n:scheme: http\n:path: /\n:authority: a\n"
#define POST ":method: POST\n:scheme: http\n:path: /\n:authority: a\n"
#define REQUEST(id) "request" #id ":GET:a:/:end"

static void begin_with(const struct sn_h2_settings *set)
{
	end_init(&e, SN_H2_SERVER, set);
	sn_buf_init(&in, 0);
	sn_buf_puts(&in, WIRE_MAGIC);
	wire_frame(&in, SN_H2_FRAME_SETTINGS, 0, 0, "", 0);
	now_ms = 1000;
}

static void begin(void)
{
	begin_with(&end_settings);
}

static void end(void)
{
	end_done(&e);
	sn_buf_done(&in);
}

static int feed(void)
{
	char *copy = malloc(sn_buf_len(&in) + 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, sn_buf_slice(&in).p, sn_buf_len(&in));
	rc = sn_h2_feed(e.h2, sn_slice(copy, sn_buf_len(&in)), now_ms);
	free(copy);
	sn_buf_reset(&in);
	return rc;
}

/* Feeds what was built; checks what comes back and what the owner was told. */
static void check(const char *frames, const char *log)
{
	struct sn_buf text;

	(void)feed();
	sn_buf_init(&text, 0);
	assert_int_equal(sn_h2_pull(e.h2, &e.out, SIZE_MAX), 0);
	wire_print(sn_buf_slice(&e.out), &text);
	sn_buf_reset(&e.out);
	assert_string_equal(sn_buf_cstr(&text), frames);
	sn_buf_done(&text);
	assert_log(&e, log);
}

struct row {
	const char *lines;
	bool end;
	const char *log;
};

/* Malformed heads: a reset of the stream, `refused` for the owner, and the connection lives. */
static void test_malformed_heads(void **state)
{
	static const struct row rows[] = {
		{GET "A: 1\n", true, "refused:400:bad-header-name"},
		{GET "a: b\x01\n", true, "refused:400:bad-header-value"},
		{GET "connection: close\n", true, "refused:400:connection-field"},
		{GET ":path: /\n", true, "refused:400:repeated-pseudo"},
		{GET "x: y\n:path: /\n", true, "refused:400:late-pseudo"},
		{":method: GET\n", true, "refused:400:missing-pseudo"},
		{GET "content-length: 5\n", true, "refused:400:short-body"},
		{GET "content-length: 5\ncontent-length: 5\n", false,
		 "refused:400:two-content-lengths"},
	};

	(void)state;
	begin();
	for (uint32_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		char frames[32];

		wire_headers(&in, 2 * i + 1, rows[i].end, rows[i].lines);
		snprintf(frames, sizeof(frames), "RST%u(1)", 2 * i + 1);
		check(frames, rows[i].log);
	}
	wire_headers(&in, 101, true, GET);
	check("", REQUEST(101));
	end();
}

/* Payload against content-length: too much, too little, with and without trailers. */
static void test_content_length(void **state)
{
	(void)state;
	begin();
	wire_headers(&in, 1, false, POST "content-length: 5\n");
	wire_data(&in, 1, false, "123");
	wire_data(&in, 1, true, "45");
	check("", "request1:POST:a:/ content-length=5 end1");
	wire_headers(&in, 3, false, POST "content-length: 5\n");
	wire_data(&in, 3, true, "1234");
	check("RST3(1)", "request3:POST:a:/ content-length=5 refused:400:short-body closed3:1");
	wire_headers(&in, 5, false, POST "content-length: 5\n");
	wire_data(&in, 5, false, "123456");
	wire_data(&in, 5, true, "");
	check("RST5(1)", "request5:POST:a:/ content-length=5 refused:400:long-body closed5:1");
	wire_headers(&in, 7, false, POST "content-length: 5\n");
	wire_headers(&in, 7, true, "x: y\n");
	check("RST7(1)", "request7:POST:a:/ content-length=5 refused:400:short-body closed7:1");
	end();
}

static void test_trailers(void **state)
{
	(void)state;
	begin();
	wire_headers(&in, 1, false, POST);
	wire_data(&in, 1, false, "abc");
	wire_headers(&in, 1, true, "x: y\nhost: b\n");
	check("", "request1:POST:a:/ end1 x=y");
	wire_headers(&in, 3, false, POST);
	wire_headers(&in, 3, false, "x: y\n");
	check("RST3(1)", "request3:POST:a:/ refused:400:trailers-without-end closed3:1");
	wire_headers(&in, 5, false, POST);
	wire_headers(&in, 5, true, ":path: /\n");
	check("RST5(1)", "request5:POST:a:/ refused:400:pseudo-in-trailers closed5:1");
	wire_headers(&in, 7, false, POST);
	wire_headers(&in, 7, true, "Bad: 1\n");
	check("RST7(1)", "request7:POST:a:/ refused:400:bad-header-name closed7:1");
	end();
}

static void open_and_answer(uint32_t id)
{
	wire_headers(&in, id, true, GET);
	assert_int_equal(feed(), 0);
	respond(e.last, 200, true);
	assert_int_equal(sn_h2_pull(e.h2, &e.out, SIZE_MAX), 0);
	sn_buf_reset(&e.out);
	sn_buf_reset(&e.log);
}

/* Frames on streams that are closed (RFC 9113 5.1). */
static void test_closed_streams(void **state)
{
	(void)state;
	begin();
	open_and_answer(1);
	wire_data(&in, 1, true, "x");
	check("RST1(5)", "");
	wire_u32(&in, SN_H2_FRAME_WINDOW_UPDATE, 1, 100);
	wire_u32(&in, SN_H2_FRAME_RST_STREAM, 1, 8);
	check("", "");
	open_and_answer(3);
	wire_headers(&in, 3, true, GET);
	check("GOAWAY(5)", "");
	assert_int_equal(feed(), -SN_EPROTO);
	assert_string_equal(sn_h2_failure(e.h2), "stream-closed");
	assert_true(sn_h2_is_over(e.h2));
	end();
	/* A stream that we reset: its frames were on their way. */
	begin();
	wire_headers(&in, 1, false, POST);
	assert_int_equal(feed(), 0);
	sn_h2_reset(e.last, SN_H2_CANCEL);
	check("RST1(8)", "request1:POST:a:/ closed1:8");
	wire_data(&in, 1, false, "late");
	wire_headers(&in, 1, true, "x: y\n");
	wire_headers(&in, 3, true, GET);
	check("", REQUEST(3));
	end();
	/* Half-closed: more of it is an error of the connection. */
	begin();
	wire_headers(&in, 1, true, GET);
	wire_data(&in, 1, false, "x");
	check("GOAWAY(5)", REQUEST(1));
	end();
}

struct breach {
	unsigned type, flags;
	uint32_t id;
	const char *payload;
	size_t n;
	const char *frames;
};

#define OCTETS(lit) (lit), sizeof(lit) - 1

/* Breaches that end the connection. */
static void test_connection_errors(void **state)
{
	static const struct breach rows[] = {
		{SN_H2_FRAME_DATA, 0, 0, OCTETS("x"), "GOAWAY(1)"},
		{SN_H2_FRAME_DATA, 0, 1, OCTETS("x"), "GOAWAY(1)"},
		{SN_H2_FRAME_HEADERS, 5, 0, OCTETS(""), "GOAWAY(1)"},
		{SN_H2_FRAME_HEADERS, 5, 2, OCTETS("\x82"), "GOAWAY(1)"},
		{SN_H2_FRAME_HEADERS, 5, 1, OCTETS("\xff\xff\xff"), "GOAWAY(9)"},
		{SN_H2_FRAME_HEADERS, 0x25, 1, OCTETS("\0\0\0\1\x10\x82"), "GOAWAY(1)"},
		{SN_H2_FRAME_HEADERS, 0x0d, 1, OCTETS("\xff\x82"), "GOAWAY(1)"},
		{SN_H2_FRAME_PRIORITY, 0, 1, OCTETS("\0\0\0\1\x10"), "GOAWAY(1)"},
		{SN_H2_FRAME_PRIORITY, 0, 1, OCTETS("\0\0\0\3"), "GOAWAY(6)"},
		{SN_H2_FRAME_RST_STREAM, 0, 1, OCTETS("\0\0\0\0"), "GOAWAY(1)"},
		{SN_H2_FRAME_RST_STREAM, 0, 0, OCTETS("\0\0\0\0"), "GOAWAY(1)"},
		{SN_H2_FRAME_RST_STREAM, 0, 1, OCTETS("\0\0\0"), "GOAWAY(6)"},
		{SN_H2_FRAME_SETTINGS, 0, 1, OCTETS(""), "GOAWAY(1)"},
		{SN_H2_FRAME_SETTINGS, 1, 0, OCTETS("\0\1\0\0\0\0"), "GOAWAY(6)"},
		{SN_H2_FRAME_SETTINGS, 0, 0, OCTETS("\0\1\0"), "GOAWAY(6)"},
		{SN_H2_FRAME_SETTINGS, 0, 0, OCTETS("\0\4\x80\0\0\0"), "GOAWAY(3)"},
		{SN_H2_FRAME_SETTINGS, 0, 0, OCTETS("\0\5\0\0\0\0"), "GOAWAY(1)"},
		{SN_H2_FRAME_SETTINGS, 0, 0, OCTETS("\0\2\0\0\0\2"), "GOAWAY(1)"},
		{SN_H2_FRAME_PUSH_PROMISE, 4, 1, OCTETS("\0\0\0\2"), "GOAWAY(1)"},
		{SN_H2_FRAME_PING, 0, 0, OCTETS("1234567"), "GOAWAY(6)"},
		{SN_H2_FRAME_PING, 0, 1, OCTETS("12345678"), "GOAWAY(1)"},
		{SN_H2_FRAME_GOAWAY, 0, 1, OCTETS("12345678"), "GOAWAY(1)"},
		{SN_H2_FRAME_WINDOW_UPDATE, 0, 0, OCTETS("\0\0\0\0"), "GOAWAY(1)"},
		{SN_H2_FRAME_WINDOW_UPDATE, 0, 0, OCTETS("\x7f\xff\xff\xff"), "GOAWAY(3)"},
		{SN_H2_FRAME_WINDOW_UPDATE, 0, 1, OCTETS("\0\0\0\1"), "GOAWAY(1)"},
		{SN_H2_FRAME_WINDOW_UPDATE, 0, 0, OCTETS("\0\0\0"), "GOAWAY(6)"},
		{SN_H2_FRAME_CONTINUATION, 4, 1, OCTETS("\x82"), "GOAWAY(1)"},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		const struct breach *b = &rows[i];

		begin();
		wire_frame(&in, b->type, b->flags, b->id, b->payload, b->n);
		check(b->frames, "");
		assert_true(feed() < 0 && sn_h2_failure(e.h2));
		assert_true(sn_h2_is_over(e.h2));
		end();
	}
}

static void test_bad_preface(void **state)
{
	(void)state;
	for (size_t n = 0; n < sizeof(WIRE_MAGIC) - 1; n++) {
		begin();
		sn_buf_reset(&in);
		sn_buf_append(&in, WIRE_MAGIC, n);
		sn_buf_puts(&in, "?");
		check("GOAWAY(1)", "");
		assert_string_equal(sn_h2_failure(e.h2), "bad-preface");
		end();
	}
	begin();
	sn_buf_reset(&in);
	sn_buf_puts(&in, WIRE_MAGIC);
	wire_frame(&in, SN_H2_FRAME_PING, 0, 0, "12345678", 8);
	check("GOAWAY(1)", "");
	end();
}

/* What follows a head that was answered 431 is nobody's. */
static void test_behind_431(void **state)
{
	struct sn_h2_settings small = end_settings;

	(void)state;
	small.header_count = 1;
	begin_with(&small);
	wire_headers(&in, 1, false, POST "a: b\nc: d\n");
	wire_data(&in, 1, false, "payload");
	wire_headers(&in, 1, true, "x: y\n");
	wire_headers(&in, 3, false, POST "a: b\nc: d\n");
	check("H1e H3e RST3(0)", "refused:431:head-too-large refused:431:head-too-large");
	wire_headers(&in, 5, true, GET);
	check("", REQUEST(5));
	end();
}

/* More streams than allowed: reset while our SETTINGS are not acknowledged. */
static void test_too_many_streams(void **state)
{
	(void)state;
	begin();
	for (uint32_t i = 0; i < 12; i++)
		wire_headers(&in, 2 * i + 1, false, POST);
	(void)feed();
	assert_int_equal(sn_h2_n_streams(e.h2), 10);
	sn_buf_reset(&e.log);
	check("RST21(7) RST23(7)", "");
	/* Frames of the refused ones may be on their way. */
	wire_data(&in, 21, true, "x");
	wire_data(&in, 23, false, "x");
	wire_headers(&in, 23, true, "a: b\n");
	check("", "");
	end();
}

/* --- floods --- */

typedef void (*flood_fn)(uint32_t i);

static void flood_ping(uint32_t i)
{
	(void)i;
	wire_frame(&in, SN_H2_FRAME_PING, 0, 0, "12345678", 8);
}

static void flood_settings(uint32_t i)
{
	(void)i;
	wire_frame(&in, SN_H2_FRAME_SETTINGS, 0, 0, "", 0);
}

static void flood_priority(uint32_t i)
{
	wire_frame(&in, SN_H2_FRAME_PRIORITY, 0, 2 * i + 1, "\0\0\0\0\1", 5);
}

static void flood_unknown(uint32_t i)
{
	(void)i;
	wire_frame(&in, 0x77, 0, 0, "", 0);
}

static void flood_window(uint32_t i)
{
	(void)i;
	wire_u32(&in, SN_H2_FRAME_WINDOW_UPDATE, 0, 1);
}

static void flood_empty_data(uint32_t i)
{
	if (i == 0)
		wire_headers(&in, 1, false, POST);
	wire_data(&in, 1, false, "");
}

static void flood_tiny_data(uint32_t i)
{
	if (i == 0)
		wire_headers(&in, 1, false, POST);
	wire_data(&in, 1, false, "x");
}

static void flood_continuation(uint32_t i)
{
	if (i == 0)
		wire_frame(&in, SN_H2_FRAME_HEADERS, 0, 1, "", 0);
	wire_frame(&in, SN_H2_FRAME_CONTINUATION, 0, 1, "", 0);
}

/* Rapid Reset (CVE-2023-44487). */
static void flood_resets(uint32_t i)
{
	wire_headers(&in, 2 * i + 1, true, GET);
	wire_u32(&in, SN_H2_FRAME_RST_STREAM, 2 * i + 1, 8);
}

/* MadeYouReset (CVE-2025-8671): each of these has us reset the stream. */
static void flood_made_resets(uint32_t i)
{
	wire_headers(&in, 2 * i + 1, false, POST);
	if (i % 2 == 0)
		wire_u32(&in, SN_H2_FRAME_WINDOW_UPDATE, 2 * i + 1, 0x7fffffff);
	else
		wire_headers(&in, 2 * i + 1, false, "x: y\n");
}

static void flood_malformed(uint32_t i)
{
	wire_headers(&in, 2 * i + 1, true, "x: y\n");
}

struct flood {
	flood_fn one;
	uint32_t n;	     /* within the budget */
	const char *failure; /* past it */
};

static void test_floods(void **state)
{
	static const struct flood rows[] = {
		{flood_ping, 500, "ping-flood"},
		{flood_settings, 49, "settings-flood"},
		{flood_priority, 500, "priority-flood"},
		{flood_unknown, 500, "priority-flood"},
		{flood_window, 5000, "window-flood"},
		{flood_empty_data, 500, "empty-data-flood"},
		{flood_tiny_data, 20000, "tiny-data-flood"},
		{flood_continuation, 8, "continuation-flood"},
		{flood_resets, 1000, "reset-flood"},
		{flood_made_resets, 1000, "reset-flood"},
		{flood_malformed, 1000, "reset-flood"},
	};
	struct sn_buf text;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		begin();
		for (uint32_t n = 0; n < rows[i].n; n++) {
			rows[i].one(n);
			assert_int_equal(feed(), 0);
			(void)sn_h2_pull(e.h2, &e.out, SIZE_MAX);
			sn_buf_reset(&e.out);
		}
		for (uint32_t n = rows[i].n; n < rows[i].n + 10 && feed() == 0; n++)
			rows[i].one(n);
		assert_int_equal(feed(), -SN_ELIMIT);
		assert_string_equal(sn_h2_failure(e.h2), rows[i].failure);
		sn_buf_init(&text, 0);
		assert_int_equal(sn_h2_pull(e.h2, &e.out, SIZE_MAX), 0);
		wire_print(sn_buf_slice(&e.out), &text);
		assert_non_null(strstr(sn_buf_cstr(&text), "GOAWAY(11)"));
		sn_buf_done(&text);
		assert_true(sn_h2_is_over(e.h2));
		end();
	}
}

/* The same at a bearable rate, for ten minutes. */
static void test_slow_resets(void **state)
{
	(void)state;
	begin();
	for (uint32_t i = 0; i < 60000; i++, now_ms += 10) {
		flood_resets(i);
		assert_int_equal(feed(), 0);
		(void)sn_h2_pull(e.h2, &e.out, SIZE_MAX);
		sn_buf_reset(&e.out);
		sn_buf_reset(&e.log);
	}
	end();
}

/* A peer that never reads: what waits for it is bounded whatever it sends, and however slowly. */
static void test_unread(void **state)
{
	static const flood_fn rows[] = {flood_ping, flood_settings, flood_malformed,
					flood_made_resets};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		uint32_t n = 0;

		begin();
		for (; feed() == 0 && n < 20000; n++, now_ms += 1000)
			rows[i](n);
		assert_true(n <= 5000);
		assert_non_null(sn_h2_failure(e.h2));
		end();
	}
}

/* References to one large entry of the table: nothing of it is kept (CVE-2016-6581). */
static void test_header_bomb(void **state)
{
	struct sn_buf block;
	char value[3000];

	(void)state;
	begin();
	sn_buf_init(&block, 0);
	memset(value, 'x', sizeof(value));
	sn_buf_putc(&block, 0x40); /* into the table */
	hpack_string(&block, SN_SLICE("bomb"));
	hpack_string(&block, sn_slice(value, sizeof(value)));
	for (int i = 0; i < 10000; i++)
		sn_buf_putc(&block, (char)0xbe);
	wire_frame(&in, SN_H2_FRAME_HEADERS, 5, 1, sn_buf_slice(&block).p, sn_buf_len(&block));
	sn_buf_done(&block);
	assert_int_equal(feed(), -SN_ELIMIT);
	assert_string_equal(sn_h2_failure(e.h2), "header-flood");
	end();
}

/* A client whose server breaks the rules. */
static void test_bad_responses(void **state)
{
	static const struct row rows[] = {
		{":status: 200\nA: b\n", true, "refused:502:bad-header-name closed1:1"},
		{":status: 20\n", true, "refused:502:bad-status closed1:1"},
		{"a: b\n", true, "refused:502:missing-pseudo closed1:1"},
		{":status: 200\nconnection: x\n", true, "refused:502:connection-field closed1:1"},
		{":status: 200\ncontent-length: 1\n", true, "refused:502:short-body closed1:1"},
		{":status: 100\n", true, "refused:502:informational-end closed1:1"},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct pair p = {0};

		sn_buf_init(&in, 0);
		end_init(&e, SN_H2_CLIENT, &end_settings);
		p.c = e;
		(void)pair_request(&p, "GET", "/", false);
		(void)sn_h2_pull(e.h2, &e.out, SIZE_MAX);
		sn_buf_reset(&e.out);
		wire_frame(&in, SN_H2_FRAME_SETTINGS, 0, 0, "", 0);
		wire_headers(&in, 1, rows[i].end, rows[i].lines);
		check("RST1(1)", rows[i].log);
		end();
	}
}

static void test_long_response(void **state)
{
	struct pair p = {0};

	(void)state;
	sn_buf_init(&in, 0);
	end_init(&e, SN_H2_CLIENT, &end_settings);
	p.c = e;
	(void)pair_request(&p, "HEAD", "/", true);
	(void)pair_request(&p, "GET", "/", true);
	(void)pair_request(&p, "GET", "/", true);
	(void)pair_request(&p, "GET", "/", true);
	(void)sn_h2_pull(e.h2, &e.out, SIZE_MAX);
	sn_buf_reset(&e.out);
	wire_frame(&in, SN_H2_FRAME_SETTINGS, 0, 0, "", 0);
	wire_headers(&in, 1, false, ":status: 200\ncontent-length: 3\n");
	wire_data(&in, 1, true, "abc");
	wire_headers(&in, 3, false, ":status: 200\ncontent-length: 3\n");
	wire_data(&in, 3, true, "ab");
	wire_headers(&in, 5, false, ":status: 100\n");
	wire_headers(&in, 5, false, ":status: 103\n");
	wire_data(&in, 5, true, "ab");
	wire_headers(&in, 7, false, ":status: 100\n");
	wire_data(&in, 7, true, "");
	check("RST1(1) RST3(1) RST5(1) RST7(1)",
	      "response1:200 content-length=3 refused:502:long-body "
	      "response3:200 content-length=3 refused:502:short-body closed3:1 "
	      "response5:100 response5:103 refused:502:data-before-head "
	      "response7:100 refused:502:data-before-head closed7:1 closed1:1 closed5:1");
	end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_malformed_heads),
		cmocka_unit_test(test_content_length),
		cmocka_unit_test(test_trailers),
		cmocka_unit_test(test_closed_streams),
		cmocka_unit_test(test_connection_errors),
		cmocka_unit_test(test_bad_preface),
		cmocka_unit_test(test_too_many_streams),
		cmocka_unit_test(test_behind_431),
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_slow_resets),
		cmocka_unit_test(test_unread),
		cmocka_unit_test(test_header_bomb),
		cmocka_unit_test(test_bad_responses),
		cmocka_unit_test(test_long_response),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
