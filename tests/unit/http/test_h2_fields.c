/* SPDX-License-Identifier: Apache-2.0 */
/* Field sections: each rule of RFC 9113 8.2 and 8.3 as a row, and what an accepted one becomes. */
#include "tests/unit/http/h2_wire.h"

#include "http/h2_fields.h"
#include "http/headout.h"

static struct sn_h2_fields fields;
static uint32_t max_bytes = 1000, max_count = 10;

static int add_lines(const char *lines)
{
	while (*lines) {
		const char *end = strchr(lines, '\n'), *colon = strstr(lines + 1, ": ");
		int rc = sn_h2_fields_add(&fields, sn_slice(lines, (size_t)(colon - lines)),
					  sn_slice(colon + 2, (size_t)(end - colon - 2)), 0);

		if (rc != 0)
			return rc;
		lines = end + 1;
	}
	return 0;
}

struct row {
	const char *lines;
	const char *want;
};

/* "reason", or the head as HTTP/1 would have it. */
static void request_text(const char *lines, bool end, struct sn_buf *out)
{
	struct sn_request req;
	struct sn_slice head;
	int rc;

	sn_h2_fields_begin(&fields, SN_H2_REQUEST, max_bytes, max_count);
	rc = add_lines(lines);
	if (rc == 0)
		rc = sn_h2_fields_request(&fields, end, 3, &req, &head);
	if (rc == -SN_ETOOBIG) {
		sn_buf_puts(out, "too big");
		return;
	}
	if (rc != 0) {
		assert_int_equal(rc, -SN_EPROTO);
		sn_buf_puts(out, fields.reason);
		return;
	}
	assert_true(req.headers.cap == req.headers.n + 3);
	assert_int_equal(req.major, 2);
	assert_true(req.absolute_form && req.keep_alive);
	assert_int_equal(sn_headout_request(out, head, &req, req.headers.n), 0);
	if (req.upgrade)
		sn_buf_printf(out, "upgrade to %.*s", SN_ARG(req.upgrade_to));
	if (req.expect_continue)
		sn_buf_puts(out, "expects");
}

static void check_requests(const struct row *rows, size_t n, bool end)
{
	for (size_t i = 0; i < n; i++) {
		struct sn_buf out;

		sn_buf_init(&out, 0);
		request_text(rows[i].lines, end, &out);
		if (strcmp(sn_buf_cstr(&out), rows[i].want) != 0)
			print_error("input:\n%s\n", rows[i].lines);
		assert_string_equal(sn_buf_cstr(&out), rows[i].want);
		sn_buf_done(&out);
	}
}

#define BASE ":method: GET\n:scheme: http\n:path: /x?y\n:authority: a:80\n"
#define OUT "GET /x?y HTTP/1.1\r\nHost: a:80\r\n"

static void test_accepted(void **state)
{
	static const struct row rows[] = {
		{BASE, OUT "\r\n"},
		{BASE "a: 1\nb: \nc: x\ty\n", OUT "a: 1\r\nb: \r\nc: x\ty\r\n\r\n"},
		{BASE "host: A:80\nz: 1\n", OUT "z: 1\r\n\r\n"},
		{":method: GET\n:scheme: https\n:path: /\nhost: h\na: b\n",
		 "GET / HTTP/1.1\r\nHost: h\r\na: b\r\n\r\n"},
		{BASE "cookie: a=b\nx: 1\ncookie: c=d\ncookie: e=f\ny: 2\n",
		 OUT "x: 1\r\ny: 2\r\ncookie: a=b; c=d; e=f\r\n\r\n"},
		{BASE "cookie: \ncookie: a=b\ncookie: \n", OUT "cookie: a=b\r\n\r\n"},
		{BASE "cookie: \ncookie: \n", OUT "cookie: \r\n\r\n"},
		{BASE "cookie: a=b\n", OUT "cookie: a=b\r\n\r\n"},
		{BASE "te: trailers\n", OUT "te: trailers\r\n\r\n"},
		{BASE "te: Trailers\nhttp2-settings: x\n", OUT "te: Trailers\r\n\r\n"},
		{":method: OPTIONS\n:scheme: http\n:path: *\n:authority: a\n",
		 "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n"},
		{":method: get\n:scheme: HTTP\n:path: /\n:authority: [::1]:1\n",
		 "get / HTTP/1.1\r\nHost: [::1]:1\r\n\r\n"},
		{BASE "content-length: 0\n", OUT "content-length: 0\r\n\r\n"},
		{BASE "expect: 100-Continue\n", OUT "expect: 100-Continue\r\n\r\nexpects"},
		{":method: CONNECT\n:protocol: websocket\n:scheme: http\n:path: /\n:authority: a\n",
		 "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
		 "upgrade to websocket"},
	};

	(void)state;
	check_requests(rows, SN_ARRAY_LEN(rows), true);
}

static void test_bodies(void **state)
{
	static const struct row rows[] = {
		{BASE, OUT "Transfer-Encoding: chunked\r\n\r\n"},
		{BASE "content-length: 7\n", OUT "content-length: 7\r\n\r\n"},
		{BASE "content-length: 9223372036854775807\n",
		 OUT "content-length: 9223372036854775807\r\n\r\n"},
		{BASE "content-length: 9223372036854775808\n", "bad-content-length"},
		{BASE "content-length: 7\ncontent-length: 7\n", "two-content-lengths"},
		{BASE "content-length: +7\n", "bad-content-length"},
		{BASE "content-length: 7, 7\n", "bad-content-length"},
		{BASE "content-length: \n", "bad-content-length"},
		{BASE "content-length: 00000000000000000007\n", "bad-content-length"},
		{":method: CONNECT\n:protocol: websocket\n:scheme: http\n:path: /\n:authority: a\n",
		 "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
		 "upgrade to websocket"},
	};

	(void)state;
	check_requests(rows, SN_ARRAY_LEN(rows), false);
}

static void test_refused(void **state)
{
	static const struct row rows[] = {
		{BASE "A: 1\n", "bad-header-name"},
		{BASE "a b: 1\n", "bad-header-name"},
		{BASE "a\x80: 1\n", "bad-header-name"},
		{BASE "a: \x01\n", "bad-header-value"},
		{BASE "a: b\rc\n", "bad-header-value"},
		{BASE "a: \x7f\n", "bad-header-value"},
		{BASE "a:  b\n", "bad-header-value"},
		{BASE "a: b \n", "bad-header-value"},
		{BASE "a: b\t\n", "bad-header-value"},
		{BASE "connection: close\n", "connection-field"},
		{BASE "keep-alive: 1\n", "connection-field"},
		{BASE "proxy-connection: x\n", "connection-field"},
		{BASE "transfer-encoding: chunked\n", "connection-field"},
		{BASE "upgrade: h2c\n", "connection-field"},
		{BASE "te: gzip\n", "bad-te"},
		{BASE "te: trailers, gzip\n", "bad-te"},
		{BASE "host: a:80\nhost: a:80\n", "two-hosts"},
		{BASE "content-length: 1\n", "short-body"},
		{BASE ":path: /\n", "repeated-pseudo"},
		{BASE "a: b\n:path: /\n", "late-pseudo"},
		{BASE ":status: 200\n", "unknown-pseudo"},
		{BASE ":x: 1\n", "unknown-pseudo"},
		{BASE ":Path: 1\n", "unknown-pseudo"},
		{":scheme: http\n:path: /\n:authority: a\n", "missing-pseudo"},
		{":method: GET\n:path: /\n:authority: a\n", "missing-pseudo"},
		{":method: GET\n:scheme: http\n:authority: a\n", "missing-pseudo"},
		{":method: GET\n:scheme: http\n:path: /\n", "no-authority"},
		{":method: G T\n:scheme: http\n:path: /\n:authority: a\n", "bad-method"},
		{":method: \n:scheme: http\n:path: /\n:authority: a\n", "bad-method"},
		{":method: ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEFG\n:scheme: http\n:path: /\n"
		 ":authority: a\n",
		 "bad-method"},
		{":method: GET\n:scheme: ftp\n:path: /\n:authority: a\n", "bad-scheme"},
		{":method: GET\n:scheme: \n:path: /\n:authority: a\n", "bad-scheme"},
		{":method: GET\n:scheme: http\n:path: \n:authority: a\n", "bad-path"},
		{":method: GET\n:scheme: http\n:path: *\n:authority: a\n", "bad-path"},
		{":method: GET\n:scheme: http\n:path: x\n:authority: a\n", "bad-path"},
		{":method: GET\n:scheme: http\n:path: /#f\n:authority: a\n", "bad-path"},
		{":method: GET\n:scheme: http\n:path: /a b\n:authority: a\n", "bad-path"},
		{":method: GET\n:scheme: http\n:path: /\xc3\xa4\n:authority: a\n", "bad-path"},
		{":method: GET\n:scheme: http\n:path: http://a/\n:authority: a\n", "bad-path"},
		{":method: GET\n:scheme: http\n:path: /\n:authority: u@a\n", "bad-authority"},
		{":method: GET\n:scheme: http\n:path: /\n:authority: \n", "bad-authority"},
		{":method: GET\n:scheme: http\n:path: /\n:authority: a:0\n", "bad-authority"},
		{":method: CONNECT\n:scheme: http\n:path: /\n:authority: a:1\n", "bad-connect"},
		{":method: CONNECT\n:authority: a\n", "bad-authority"},
		{":method: CONNECT\nhost: a:1\n", "no-authority"},
		{":method: GET\n:protocol: x\n:scheme: http\n:path: /\n:authority: a\n",
		 "bad-connect"},
		{":method: CONNECT\n:protocol: x\n:authority: a:1\n", "missing-pseudo"},
		{BASE "1: a\n2: a\n3: a\n4: a\n5: a\n6: a\n7: a\n8: a\n9: a\n10: a\n11: a\n",
		 "too big"},
	};

	(void)state;
	check_requests(rows, SN_ARRAY_LEN(rows), true);
}

static void test_nul(void **state)
{
	(void)state;
	sn_h2_fields_begin(&fields, SN_H2_REQUEST, max_bytes, max_count);
	assert_int_equal(sn_h2_fields_add(&fields, SN_SLICE("a"), SN_SLICE("b\0c"), 0), -SN_EPROTO);
	sn_h2_fields_begin(&fields, SN_H2_REQUEST, max_bytes, max_count);
	assert_int_equal(sn_h2_fields_add(&fields, SN_SLICE("a\0"), SN_SLICE("b"), 0), -SN_EPROTO);
	sn_h2_fields_begin(&fields, SN_H2_REQUEST, max_bytes, max_count);
	assert_int_equal(sn_h2_fields_add(&fields, SN_SLICE("a"), SN_SLICE("b\nc"), 0), -SN_EPROTO);
	sn_h2_fields_begin(&fields, SN_H2_REQUEST, max_bytes, max_count);
	assert_int_equal(sn_h2_fields_add(&fields, SN_SLICE(""), SN_SLICE("b"), 0), -SN_EPROTO);
}

/* Each field counts its name, its value and 32. */
static void test_bounds(void **state)
{
	struct sn_request req;
	struct sn_slice head;

	(void)state;
	for (uint32_t limit = 0; limit < 400; limit++) {
		const uint32_t need =
			7 + 3 + 32 + 7 + 4 + 32 + 5 + 4 + 32 + 10 + 4 + 32 + 1 + 1 + 32;

		sn_h2_fields_begin(&fields, SN_H2_REQUEST, limit, 1);
		assert_int_equal(add_lines(BASE "a: b\n"), 0);
		assert_int_equal(fields.too_big, limit < need);
		assert_int_equal(sn_h2_fields_request(&fields, true, 0, &req, &head),
				 limit < need ? -SN_ETOOBIG : 0);
	}
	sn_h2_fields_begin(&fields, SN_H2_REQUEST, max_bytes, max_count);
	assert_int_equal(add_lines(BASE), 0);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(sn_h2_fields_add(&fields, SN_SLICE("x"), SN_SLICE("yyyyyyyyy"), 0),
				 0);
	assert_true(fields.too_big && fields.n <= max_count && fields.text.cap < 4096);
}

struct response_row {
	const char *lines;
	bool end;
	enum sn_method method;
	const char *want; /* reason, or "STATUS FRAMING:LENGTH" */
};

static void test_responses(void **state)
{
	static const struct response_row rows[] = {
		{":status: 200\n", true, SN_METHOD_GET, "200 0:0"},
		{":status: 200\n", false, SN_METHOD_GET, "200 2:0"},
		{":status: 200\ncontent-length: 5\n", false, SN_METHOD_GET, "200 1:5"},
		{":status: 200\ncontent-length: 5\n", true, SN_METHOD_GET, "short-body"},
		{":status: 200\ncontent-length: 5\n", true, SN_METHOD_HEAD, "200 0:5"},
		{":status: 200\ncontent-length: 5\n", false, SN_METHOD_HEAD, "200 0:5"},
		{":status: 304\ncontent-length: 5\n", true, SN_METHOD_GET, "304 0:5"},
		{":status: 204\n", false, SN_METHOD_GET, "204 0:0"},
		{":status: 103\nlink: x\n", false, SN_METHOD_GET, "103 0:0"},
		{":status: 103\n", true, SN_METHOD_GET, "informational-end"},
		{":status: 101\n", false, SN_METHOD_GET, "bad-status"},
		{":status: 200\n", false, SN_METHOD_CONNECT, "200 0:0 upgrade"},
		{":status: 403\n", false, SN_METHOD_CONNECT, "403 2:0"},
		{":status: 99\n", true, SN_METHOD_GET, "bad-status"},
		{":status: 099\n", true, SN_METHOD_GET, "bad-status"},
		{":status: 2000\n", true, SN_METHOD_GET, "bad-status"},
		{":status: 2x0\n", true, SN_METHOD_GET, "bad-status"},
		{"a: b\n", true, SN_METHOD_GET, "missing-pseudo"},
		{":status: 200\n:path: /\n", true, SN_METHOD_GET, "unknown-pseudo"},
		{":status: 200\nconnection: x\n", true, SN_METHOD_GET, "connection-field"},
		{":status: 200\ncontent-length: 5\ncontent-length: 5\n", false, SN_METHOD_GET,
		 "two-content-lengths"},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_response resp;
		struct sn_slice head;
		char got[64];
		int rc;

		sn_h2_fields_begin(&fields, SN_H2_RESPONSE, max_bytes, max_count);
		rc = add_lines(rows[i].lines);
		if (rc == 0)
			rc = sn_h2_fields_response(&fields, rows[i].end, rows[i].method, 0, &resp,
						   &head);
		if (rc == 0)
			snprintf(got, sizeof(got), "%u %d:%llu%s", resp.status, resp.framing,
				 (unsigned long long)resp.content_length,
				 resp.upgrade ? " upgrade" : "");
		assert_string_equal(rc == 0 ? got : fields.reason, rows[i].want);
	}
}

static void test_trailers(void **state)
{
	struct sn_headers hs;
	struct sn_slice head;

	(void)state;
	sn_h2_fields_begin(&fields, SN_H2_TRAILERS, max_bytes, max_count);
	assert_int_equal(add_lines("grpc-status: 0\ncontent-length: 5\nx-sum: 1\nauthorization: "
				   "x\nset-cookie: a\nsennit-id: z\n"),
			 0);
	assert_int_equal(sn_h2_fields_trailers(&fields, &hs, &head), 0);
	assert_int_equal(hs.n, 6);
	for (uint32_t i = 0; i < hs.n; i++)
		assert_int_equal(hs.v[i].flags, i == 0 || i == 2 ? 0 : SN_HDR_DROPPED);
	sn_h2_fields_begin(&fields, SN_H2_TRAILERS, max_bytes, max_count);
	assert_int_equal(add_lines(":path: /\n"), -SN_EPROTO);
	assert_string_equal(fields.reason, "pseudo-in-trailers");
	sn_h2_fields_begin(&fields, SN_H2_TRAILERS, max_bytes, max_count);
	assert_int_equal(sn_h2_fields_trailers(&fields, &hs, &head), 0);
	assert_int_equal(hs.n, 0);
	assert_slice(head, "\r\n");
}

/* Each octet at each place of names and values of each length that is looked at in words. */
static void test_octets(void **state)
{
	char text[40];

	(void)state;
	for (size_t n = 1; n <= sizeof(text); n++)
		for (size_t at = 0; at < n; at++)
			for (int o = 0; o < 256; o++) {
				bool edge = at == 0 || at == n - 1;
				bool token = o && strchr("!#$%&'*+-.^_`|~0123456789"
							 "abcdefghijklmnopqrstuvwxyz",
							 o);
				bool visible = o == '\t' || (o >= ' ' && o != 127);
				int rc;

				memset(text, 'x', n);
				text[at] = (char)o;
				if (at > 0 || o != ':') {
					sn_h2_fields_begin(&fields, SN_H2_REQUEST, 1000, 10);
					rc = sn_h2_fields_add(&fields, sn_slice(text, n),
							      SN_SLICE("v"), 0);
					assert_int_equal(rc, token ? 0 : -SN_EPROTO);
				}
				sn_h2_fields_begin(&fields, SN_H2_REQUEST, 1000, 10);
				rc = sn_h2_fields_add(&fields, SN_SLICE("name"), sn_slice(text, n),
						      0);
				if (edge && (o == ' ' || o == '\t'))
					visible = false;
				assert_int_equal(rc, visible ? 0 : -SN_EPROTO);
			}
}

/* A text that has to move takes along what points into it. */
static void test_moving(void **state)
{
	static char value[3000];
	struct sn_request req;
	struct sn_slice head;

	(void)state;
	memset(value, 'v', sizeof(value));
	sn_h2_fields_done(&fields);
	sn_h2_fields_begin(&fields, SN_H2_REQUEST, 100000, 100);
	assert_int_equal(add_lines(":method: GET\n:scheme: http\n:path: /p\nhost: a\n"
				   "content-length: 0\nx: y\n"),
			 0);
	for (size_t n = 1; n <= sizeof(value); n *= 3)
		assert_int_equal(sn_h2_fields_add(&fields, SN_SLICE("long-name-of-a-field"),
						  sn_slice(value, n), SN_HDR_SECRET),
				 0);
	assert_int_equal(add_lines("cookie: a=1\ncookie: b=2\n"), 0);
	assert_int_equal(sn_h2_fields_request(&fields, true, 3, &req, &head), 0);
	assert_slice(req.method_text, "GET");
	assert_slice(req.scheme, "http");
	assert_slice(req.path, "/p");
	assert_slice(req.authority, "a");
	assert_slice(req.headers.v[2].name, "x");
	assert_slice(req.headers.v[2].value, "y");
	for (uint32_t i = 3; i < 11; i++)
		assert_slice(req.headers.v[i].name, "long-name-of-a-field");
	assert_true(req.headers.v[3].flags & SN_HDR_SECRET);
	assert_slice(req.headers.v[req.headers.n - 1].value, "a=1; b=2");
	for (uint32_t i = 0; i < req.headers.n; i++) {
		assert_true(req.headers.v[i].name.p >= req.text.p);
		assert_true(req.headers.v[i].value.p + req.headers.v[i].value.n <=
			    req.text.p + req.text.n);
	}
	assert_true(head.p + head.n == req.text.p + req.text.n);
}

static int setup(void **state)
{
	(void)state;
	sn_h2_fields_init(&fields);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sn_h2_fields_done(&fields);
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted), cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_refused),	 cmocka_unit_test(test_nul),
		cmocka_unit_test(test_bounds),	 cmocka_unit_test(test_responses),
		cmocka_unit_test(test_trailers), cmocka_unit_test(test_octets),
		cmocka_unit_test(test_moving),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
