/* SPDX-License-Identifier: Apache-2.0 */
/* Bodies: every row of the framing table about chunks, fed whole, in two parts cut at every place,
 * and octet by octet; the payload is the same and so is the verdict. */
#include "tests/unit/http/heads.h"

struct body_row {
	const char *in;
	size_t n;
	const char *payload;
	const char *verdict; /* "done +N", N octets left over, and trailers, '?' behind dropped;
				"more", "bad" */
};

struct feed {
	struct sn_h1_body body;
	char payload[512];
	size_t n_payload;
	size_t used, arrived;
	size_t scanned;
	char trailers[512];
	bool bad;
};

static void print_trailers(const struct sn_headers *hs, char *dst, size_t cap)
{
	size_t at = 0;

	for (uint32_t i = 0; i < hs->n && at < cap; i++)
		at += (size_t)snprintf(dst + at, cap - at, " %.*s=%.*s%s", SN_ARG(hs->v[i].name),
				       SN_ARG(hs->v[i].value),
				       hs->v[i].flags & SN_HDR_DROPPED ? "?" : "");
}

/* The section is parsed from input that grows: all that has come since its start. */
static void feed_trailers(struct feed *f, const char *in)
{
	struct sn_header fields[HEADS_MAX_FIELDS];
	struct sn_headers hs = {fields, 0, HEADS_MAX_FIELDS};
	size_t n = f->arrived - f->used;
	char *copy = exact_copy(in + f->used, n);
	int rc = sn_h1_parse_trailers(sn_slice(copy, n), &f->scanned, &f->body, &hs);

	if (rc > 0) {
		assert_true((size_t)rc <= n && f->body.done && !f->body.at_trailers);
		f->used += (size_t)rc;
		print_trailers(&hs, f->trailers, sizeof(f->trailers));
	} else {
		assert_true(rc == -SN_EMORE || rc == -SN_EPROTO);
		assert_int_equal(f->body.at_trailers, rc == -SN_EMORE);
		f->bad = rc == -SN_EPROTO;
	}
	free(copy);
}

/* Feeds @in up to @arrived, as its callers do: until it wants more. */
static void feed_up_to(struct feed *f, const char *in, size_t arrived)
{
	size_t start = f->used;
	char *copy = exact_copy(in + start, arrived - start);

	f->arrived = arrived;
	while (!f->body.done && !f->body.at_trailers && !f->bad && f->used < arrived) {
		struct sn_slice run, rest = sn_slice(copy + f->used - start, arrived - f->used);
		ptrdiff_t used = sn_h1_body_feed(&f->body, rest, &run);

		if (used < 0) {
			assert_int_equal(used, -SN_EPROTO);
			f->bad = true;
			break;
		}
		assert_true((used > 0 || f->body.at_trailers) && (size_t)used <= rest.n &&
			    run.n <= (size_t)used);
		if (run.n > 0) {
			assert_true(run.p >= rest.p && run.p + run.n <= rest.p + used);
			assert_true(f->n_payload + run.n < sizeof(f->payload));
			memcpy(f->payload + f->n_payload, run.p, run.n);
			f->n_payload += run.n;
		}
		f->used += (size_t)used;
	}
	free(copy);
	if (f->body.at_trailers)
		feed_trailers(f, in);
}

static void check_end(struct feed *f, const struct body_row *r, const char *how, size_t cut)
{
	char verdict[600];

	if (f->bad)
		snprintf(verdict, sizeof(verdict), "bad");
	else if (!f->body.done)
		snprintf(verdict, sizeof(verdict), "more");
	else
		snprintf(verdict, sizeof(verdict), "done +%zu%s", r->n - f->used, f->trailers);
	f->payload[f->n_payload] = '\0';
	if (strcmp(verdict, r->verdict) != 0 || strcmp(f->payload, r->payload) != 0)
		print_error("%s %zu: %s\n", how, cut, r->in);
	assert_string_equal(verdict, r->verdict);
	assert_string_equal(f->payload, r->payload);
}

static void check_body(const struct body_row *r, enum sn_framing framing, uint64_t length)
{
	for (size_t cut = 0; cut <= r->n; cut++) {
		struct feed f = {0};

		sn_h1_body_init(&f.body, framing, length);
		feed_up_to(&f, r->in, cut);
		feed_up_to(&f, r->in, r->n);
		check_end(&f, r, "cut at", cut);
	}
	for (size_t step = 1; step < 4; step++) {
		struct feed f = {0};

		sn_h1_body_init(&f.body, framing, length);
		for (size_t at = step; !f.bad && at < r->n; at += step)
			feed_up_to(&f, r->in, at);
		feed_up_to(&f, r->in, r->n);
		check_end(&f, r, "step", step);
	}
}

static void check_bodies(const struct body_row *rows, size_t n, enum sn_framing framing,
			 uint64_t length)
{
	for (size_t i = 0; i < n; i++)
		check_body(&rows[i], framing, length);
}

static void test_chunked_good(void **state)
{
	static const struct body_row rows[] = {
		{IN("0\r\n\r\n"), "", "done +0"},
		{IN("5\r\nhello\r\n0\r\n\r\n"), "hello", "done +0"},
		{IN("5\r\nhello\r\n0\r\n\r\nGET / "), "hello", "done +6"},
		{IN("1\r\na\r\n1\r\nb\r\nA\r\n0123456789\r\n0\r\n\r\n"), "ab0123456789", "done +0"},
		{IN("000000000000000a\r\n0123456789\r\n0000\r\n\r\n"), "0123456789", "done +0"},
		{IN("3;a\r\nabc\r\n0;b=c\r\n\r\n"), "abc", "done +0"},
		{IN("3 ; a = \"b;c\"\t;d\r\nabc\r\n0\r\n\r\n"), "abc", "done +0"},
		{IN("2\r\n\r\n\r\n0\r\n\r\n"), "\r\n", "done +0"},
		{IN("1\r\na\r\n0\r\nX: y\r\nA:\r\n\r\nrest"), "a", "done +4 X=y A="},
		{IN("0\r\ngrpc-status: 0\r\ngrpc-message:\t \r\n\r\n"), "",
		 "done +0 grpc-status=0 grpc-message="},
		{IN("0\r\nHost: a\r\nHost: a\r\nX: \xc3\xa4\tb \r\nset_cookie: c\r\n\r\n\r\n"), "",
		 "done +2 Host=a? Host=a? X=\xc3\xa4\tb set_cookie=c?"},
		{IN("0\r\nX: y\r\n"), "", "more"},
		{IN("5\r\nhel"), "hel", "more"},
		{IN("5\r\nhello\r\n0\r\n"), "hello", "more"},
	};

	(void)state;
	check_bodies(rows, SN_ARRAY_LEN(rows), SN_FRAMING_CHUNKED, 0);
}

static void test_chunked_bad(void **state)
{
	static const struct body_row rows[] = {
		{IN("0x5\r\nhello\r\n"), "", "bad"},
		{IN("+5\r\nhello\r\n"), "", "bad"},
		{IN("-5\r\nhello\r\n"), "", "bad"},
		{IN("1_0\r\nhello\r\n"), "", "bad"},
		{IN(" 5\r\nhello\r\n"), "", "bad"},
		{IN("\t5\r\nhello\r\n"), "", "bad"},
		{IN("5 \r\nhello\r\n"), "", "bad"},
		{IN("5 5\r\nhello\r\n"), "", "bad"},
		{IN("g\r\nhello\r\n"), "", "bad"},
		{IN("\r\nhello\r\n"), "", "bad"},
		{IN(";a\r\nhello\r\n"), "", "bad"},
		{IN("00000000000000005\r\nhello\r\n"), "", "bad"},
		{IN("8000000000000000\r\nhello\r\n"), "", "bad"},
		{IN("ffffffffffffffff\r\nhello\r\n"), "", "bad"},
		{IN("5\nhello\r\n"), "", "bad"},
		{IN("5\rhello\r\n"), "", "bad"},
		{IN("5\r\rhello\r\n"), "", "bad"},
		{IN("5;a\nhello\r\n"), "", "bad"},
		{IN("5;a\rb\r\nhello\r\n"), "", "bad"},
		{IN("5;\"\n\"\r\nhello\r\n"), "", "bad"},
		{IN("5;\0\r\nhello\r\n"), "", "bad"},
		{IN("5\r\nhello0\r\n\r\n"), "hello", "bad"},
		{IN("5\r\nhello\n0\r\n\r\n"), "hello", "bad"},
		{IN("5\r\nhello\rX"), "hello", "bad"},
		{IN("5\r\nhelloXX0\r\n\r\n"), "hello", "bad"},
		{IN("5\r\nhello\r\n\r\n"), "hello", "bad"},
		{IN("0\r\n\n"), "", "bad"},
		{IN("0\r\n\0\r\n\r\n"), "", "bad"},
		{IN("0\r\nX: y\r\n\n"), "", "bad"},
		{IN("0\r\nX: y\r\n\rX\r\n"), "", "bad"},
		{IN("0\r\nX: y\r\r\n\r\n"), "", "bad"},
		{IN("0\r\nX: a\0b\r\n\r\n"), "", "bad"},
		{IN("0\r\nX: a\x7f\r\n\r\n"), "", "bad"},
		{IN("0\r\nX: y\r\n\tz\r\n\r\n"), "", "bad"},
		{IN("0\r\nX\xe4: y\r\n\r\n"), "", "bad"},
		{IN("0\r\n\rX"), "", "bad"},
		{IN("0\r\n X: y\r\n\r\n"), "", "bad"},
		{IN("0\r\nX : y\r\n\r\n"), "", "bad"},
		{IN("0\r\nX\r\n\r\n"), "", "bad"},
		{IN("0\r\n: y\r\n\r\n"), "", "bad"},
		{IN("0\r\nX: y\n\r\n"), "", "bad"},
		{IN("0\r\nX: y\x01\r\n\r\n"), "", "bad"},
		{IN("0\r\nX: y\r\n z\r\n\r\n"), "", "bad"},
		{IN("0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "", "bad"},
	};

	(void)state;
	check_bodies(rows, SN_ARRAY_LEN(rows), SN_FRAMING_CHUNKED, 0);
}

static void test_other_framings(void **state)
{
	static const struct body_row length[] = {
		{IN("hello"), "hello", "done +0"},
		{IN("helloGET / "), "hello", "done +6"},
		{IN("hell"), "hell", "more"},
	};
	static const struct body_row close_rows[] = {{IN("any\r\n\r\n"), "any\r\n\r\n", "more"}};
	static const struct body_row none[] = {{IN("GET"), "", "done +3"}};

	(void)state;
	check_bodies(length, SN_ARRAY_LEN(length), SN_FRAMING_LENGTH, 5);
	check_bodies(close_rows, 1, SN_FRAMING_CLOSE, 0);
	check_bodies(none, 1, SN_FRAMING_NONE, 0);
	check_bodies(none, 1, SN_FRAMING_LENGTH, 0);
}

static void test_eof(void **state)
{
	struct sn_h1_body b;
	struct sn_slice run;

	(void)state;
	sn_h1_body_init(&b, SN_FRAMING_LENGTH, 5);
	assert_int_equal(sn_h1_body_eof(&b), -SN_EPROTO);
	assert_int_equal(sn_h1_body_feed(&b, SN_SLICE("hello"), &run), 5);
	assert_int_equal(sn_h1_body_eof(&b), 0);
	sn_h1_body_init(&b, SN_FRAMING_CHUNKED, 0);
	assert_int_equal(sn_h1_body_feed(&b, SN_SLICE("0\r\n"), &run), 3);
	assert_int_equal(sn_h1_body_eof(&b), -SN_EPROTO);
	assert_int_equal(sn_h1_body_feed(&b, SN_SLICE("\r\n"), &run), 2);
	assert_int_equal(sn_h1_body_eof(&b), 0);
	sn_h1_body_init(&b, SN_FRAMING_CLOSE, 0);
	assert_false(b.done);
	assert_int_equal(sn_h1_body_eof(&b), 0);
	assert_true(b.done);
	sn_h1_body_init(&b, SN_FRAMING_NONE, 0);
	assert_int_equal(sn_h1_body_eof(&b), 0);
}

/* Feeds @s again and again; the number of times until it is refused, or @max. */
static unsigned repeats(struct sn_h1_body *b, struct sn_slice s, unsigned max)
{
	struct sn_slice run;

	for (unsigned i = 0; i < max; i++) {
		struct sn_slice rest = s;

		while (rest.n > 0) {
			ptrdiff_t used = sn_h1_body_feed(b, rest, &run);

			if (used < 0)
				return i;
			rest = sn_slice(rest.p + used, rest.n - (size_t)used);
		}
	}
	return max;
}

/* Extensions are bounded, in one line and over many small chunks. */
static void test_bounds(void **state)
{
	struct sn_h1_body b;
	struct sn_slice run;

	(void)state;
	sn_h1_body_init(&b, SN_FRAMING_CHUNKED, 0);
	assert_int_equal(repeats(&b, SN_SLICE("8;a=bcdef\r\n01234567\r\n"), 100000), 100000);
	sn_h1_body_init(&b, SN_FRAMING_CHUNKED, 0);
	assert_in_range(repeats(&b, SN_SLICE("1;aaaaaaaaaaaaaaaa\r\nx\r\n"), 100000), 1000, 1200);
	sn_h1_body_init(&b, SN_FRAMING_CHUNKED, 0);
	assert_int_equal(repeats(&b, SN_SLICE("1;"), 1), 1);
	assert_in_range(repeats(&b, SN_SLICE("aaaaaaaaaaaaaaaa"), 100000), 1000, 1100);
	/* Once refused, always refused. */
	assert_int_equal(sn_h1_body_feed(&b, SN_SLICE("\r\n\r\n"), &run), -SN_EPROTO);
	assert_int_equal(sn_h1_body_eof(&b), -SN_EPROTO);
}

/* A body of which only the trailer section is still to come. */
static int trailers_of(const char *in, size_t n, uint32_t cap, size_t *scanned)
{
	struct sn_header fields[HEADS_MAX_FIELDS + 1];
	struct sn_headers hs = {fields, 0, cap};
	struct sn_h1_body b;
	struct sn_slice run;
	int rc;

	sn_h1_body_init(&b, SN_FRAMING_CHUNKED, 0);
	assert_int_equal(sn_h1_body_feed(&b, SN_SLICE("0\r\nX"), &run), 3);
	assert_true(b.at_trailers && !b.done);
	assert_int_equal(sn_h1_body_feed(&b, SN_SLICE("X"), &run), 0);
	assert_int_equal(sn_h1_body_eof(&b), -SN_EPROTO);
	rc = sn_h1_parse_trailers(sn_slice(in, n), scanned, &b, &hs);
	if (rc == -SN_EPROTO) {
		assert_int_equal(hs.n, 0);
		assert_int_equal(sn_h1_body_feed(&b, SN_SLICE("\r\n"), &run), -SN_EPROTO);
		assert_int_equal(sn_h1_parse_trailers(sn_slice(in, n), scanned, &b, &hs),
				 -SN_EPROTO);
		assert_int_equal(sn_h1_body_eof(&b), -SN_EPROTO);
	} else if (rc > 0) {
		assert_int_equal(sn_h1_body_eof(&b), 0);
		assert_int_equal(sn_h1_body_feed(&b, SN_SLICE("\r\n"), &run), 0);
	}
	return rc;
}

static void test_trailer_bounds(void **state)
{
	static char in[16384];
	size_t scanned = 0, n = 0;
	struct sn_headers hs = {NULL, 0, 0};
	struct sn_h1_body b;

	(void)state;
	/* 8,192 octets pass, one more does not, finished or not. */
	memset(in, 'a', sizeof(in));
	memcpy(in, "X:", 2);
	memcpy(in + 8192 - 4, "\r\n\r\n", 4);
	assert_int_equal(trailers_of(in, 8192, 100, &scanned), 8192);
	assert_int_equal(scanned, 0);
	memset(in + 8192 - 4, 'a', 4);
	memcpy(in + 8193 - 4, "\r\n\r\n", 4);
	assert_int_equal(trailers_of(in, 8193, 100, &scanned), -SN_EPROTO);
	memset(in + 2, 'a', 8200);
	scanned = 0;
	assert_int_equal(trailers_of(in, 8191, 100, &scanned), -SN_EMORE);
	assert_int_equal(scanned, 8191);
	assert_int_equal(trailers_of(in, 8191, 100, &scanned), -SN_EMORE);
	assert_int_equal(trailers_of(in, 8192, 100, &scanned), -SN_EPROTO);
	/* 100 fields, or as many as there is room for. */
	for (int i = 0; i < 101; i++)
		memcpy(in + 5 * i, "a: \r\n", 5);
	n = 500;
	memcpy(in + n, "\r\n", 2);
	scanned = 0;
	assert_int_equal(trailers_of(in, n + 2, 101, &scanned), n + 2);
	assert_int_equal(trailers_of(in, n + 2, 99, &scanned), -SN_EPROTO);
	memcpy(in + n, "a: \r\n\r\n", 7);
	assert_int_equal(trailers_of(in, n + 7, 101, &scanned), -SN_EPROTO);
	/* Asked when none are due. */
	sn_h1_body_init(&b, SN_FRAMING_CHUNKED, 0);
	assert_int_equal(sn_h1_parse_trailers(SN_SLICE("\r\n"), &scanned, &b, &hs), -SN_EPROTO);
}

static void test_trailers_for_this_hop(void **state)
{
	struct sn_header head[] = {
		{SN_SLICE("X-Hop"), SN_SLICE("x-value"), SN_HDR_OTHER, SN_HDR_HOP},
		{SN_SLICE("Connection"), SN_SLICE("close, X-Hop ,,te"), SN_HDR_CONNECTION, 0},
		{SN_SLICE("Connection"), SN_SLICE("keep-alive,Upgrade"), SN_HDR_CONNECTION, 0},
		{SN_SLICE("connection"), SN_SLICE("b"), SN_HDR_CONNECTION, 0}};
	struct sn_headers none = {head, 1, 1}, all = {head, 4, 4};
	struct sn_header fields[8];
	struct sn_headers hs = {fields, 0, 8};
	struct sn_slice in = SN_SLICE("x-hop: 1\r\nx-hops: 2\r\nB: 3\r\nclosed: 4\r\n\r\n"), run;
	size_t scanned = 0;
	struct sn_h1_body b;
	struct sn_buf names, little;
	char seen[100];

	(void)state;
	sn_buf_init(&names, 0);
	sn_buf_init(&little, 3);
	assert_int_equal(sn_h1_hop_names(&none, &names), 0);
	assert_int_equal(sn_buf_len(&names), 0);
	assert_int_equal(sn_h1_hop_names(&all, &little), -SN_ETOOBIG);
	assert_int_equal(sn_h1_hop_names(&all, &names), 0);
	assert_string_equal(sn_buf_cstr(&names), ",X-Hop,b");
	sn_h1_body_init(&b, SN_FRAMING_CHUNKED, 0);
	b.hop_names = sn_buf_slice(&names);
	assert_int_equal(sn_h1_body_feed(&b, SN_SLICE("0\r\nx"), &run), 3);
	assert_int_equal(sn_h1_parse_trailers(in, &scanned, &b, &hs), in.n);
	print_trailers(&hs, seen, sizeof(seen));
	assert_string_equal(seen, " x-hop=1? x-hops=2 B=3? closed=4");
	sn_buf_done(&names);
	sn_buf_done(&little);
}

static void test_chunk_head(void **state)
{
	char head[20];

	(void)state;
	assert_int_equal(sn_h1_chunk_head(0, head), 3);
	assert_memory_equal(head, "0\r\n", 3);
	assert_int_equal(sn_h1_chunk_head(0x1a, head), 4);
	assert_memory_equal(head, "1a\r\n", 4);
	assert_int_equal(sn_h1_chunk_head(16384, head), 6);
	assert_memory_equal(head, "4000\r\n", 6);
	assert_int_equal(sn_h1_chunk_head(UINT64_MAX, head), 18);
	assert_memory_equal(head, "ffffffffffffffff\r\n", 18);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunked_good),
		cmocka_unit_test(test_chunked_bad),
		cmocka_unit_test(test_other_framings),
		cmocka_unit_test(test_eof),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_trailer_bounds),
		cmocka_unit_test(test_trailers_for_this_hop),
		cmocka_unit_test(test_chunk_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
