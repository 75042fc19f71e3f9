/* SPDX-License-Identifier: Apache-2.0 */
/* Request heads: the rows of the framing table, every one at every split of the input. */
#include "tests/unit/http/heads.h"

static struct sn_h1_limits limits = {
	.head_bytes = 1024, .header_count = 10, .request_line_bytes = 120};

static void parse(struct sn_slice in, size_t *scanned, char *dst, size_t cap)
{
	struct sn_header fields[HEADS_MAX_FIELDS];
	struct sn_request req;
	struct sn_h1_refusal refusal = {0, NULL};
	int rc;

	/* All but the storage is the parser's to set. */
	memset(&req, 0xa5, sizeof(req));
	req.headers.v = fields;
	req.headers.cap = HEADS_MAX_FIELDS;
	rc = sn_h1_parse_request(in, scanned, &limits, &req, &refusal);

	if (rc == -SN_EMORE) {
		snprintf(dst, cap, "more");
		return;
	}
	if (rc < 0) {
		assert_int_equal(rc, -SN_EPROTO);
		snprintf(dst, cap, "%u %s", refusal.status, refusal.reason);
		return;
	}
	assert_true((size_t)rc <= in.n);
	assert_int_equal(*scanned, 0);
	assert_int_equal(req.major, 1);
	assert_int_equal(req.scheme.n, 0);
	assert_int_equal(req.upgrade_to.n > 0, req.upgrade);
	snprintf(dst, cap, "%d %s %.*s %.*s 1.%u %s:%llu%s%s%s%s%.*s", rc,
		 sn_method_name(req.method), SN_ARG(req.path), SN_ARG(req.authority), req.minor,
		 framing_text(req.framing), (unsigned long long)req.content_length,
		 req.absolute_form ? " absolute" : "", req.keep_alive ? "" : " close",
		 req.expect_continue ? " expect" : "", req.upgrade ? " upgrade=" : "",
		 SN_ARG(req.upgrade_to));
	print_fields(&req.headers, dst, cap);
}

#define H "Host: a\r\n"
#define GET "GET / HTTP/1.1\r\n" H
#define POST "POST / HTTP/1.1\r\n" H

static void test_accepted(void **state)
{
	static const struct row rows[] = {
		{IN(GET "\r\n"), "27 GET / a 1.1 none:0 Host=a"},
		{IN(GET "\r\nGET /next HTTP/1.1\r\n"), "27 GET / a 1.1 none:0 Host=a"},
		{IN("\r\n" GET "\r\n"), "29 GET / a 1.1 none:0 Host=a"},
		{IN("GET /a/b?c=d&e=%2f|{} HTTP/1.1\r\n" H "\r\n"),
		 "43 GET /a/b?c=d&e=%2f|{} a 1.1 none:0 Host=a"},
		{IN("get / HTTP/1.1\r\n" H "\r\n"), "27 OTHER / a 1.1 none:0 Host=a"},
		{IN("PATCH / HTTP/1.9\r\n" H "\r\n"), "29 PATCH / a 1.1 none:0 Host=a"},
		{IN("GET / HTTP/1.0\r\n\r\n"), "18 GET /  1.0 none:0 close"},
		{IN("GET / HTTP/1.0\r\n" H "Connection: keep-alive\r\n\r\n"),
		 "51 GET / a 1.0 none:0 Host=a Connection=keep-alive!"},
		{IN(GET "Connection: close\r\n\r\n"),
		 "46 GET / a 1.1 none:0 close Host=a Connection=close!"},
		{IN("OPTIONS * HTTP/1.1\r\n" H "\r\n"), "31 OPTIONS * a 1.1 none:0 Host=a"},
		{IN("GET / HTTP/1.1\r\nHOST:\t a:80 \t \r\n\r\n"),
		 "34 GET / a:80 1.1 none:0 HOST=a:80"},
		{IN("GET / HTTP/1.1\r\nHost: [::1]:80\r\n\r\n"),
		 "34 GET / [::1]:80 1.1 none:0 Host=[::1]:80"},
		{IN(GET "X:\r\nY: \xc3\xa4\tb \r\n\r\n"),
		 "41 GET / a 1.1 none:0 Host=a X= Y=\xc3\xa4\tb"},
		{IN(POST "Content-Length: 0\r\n\r\n"),
		 "47 POST / a 1.1 length:0 Host=a Content-Length=0"},
		{IN(POST "content-length: 9223372036854775807\r\n\r\n"),
		 "65 POST / a 1.1 length:9223372036854775807 Host=a "
		 "content-length=9223372036854775807"},
		{IN(POST "Transfer-Encoding: Chunked\r\n\r\n"),
		 "56 POST / a 1.1 chunked:0 Host=a Transfer-Encoding=Chunked!"},
		{IN(POST "Expect: 100-Continue\r\nContent-Length: 3\r\n\r\n"),
		 "69 POST / a 1.1 length:3 expect Host=a Expect=100-Continue Content-Length=3"},
		{IN("POST / HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n"),
		 "60 POST /  1.0 length:3 close Expect=100-continue Content-Length=3"},
	};

	(void)state;
	check_rows(parse, rows);
}

static void test_target_forms(void **state)
{
	static const struct row rows[] = {
		{IN("GET http://b:81/x?y HTTP/1.1\r\n" H "\r\n"),
		 "41 GET /x?y b:81 1.1 none:0 absolute Host=a"},
		{IN("GET HTTPS://b HTTP/1.1\r\n" H "\r\n"),
		 "35 GET / b 1.1 none:0 absolute Host=a"},
		{IN("OPTIONS http://b HTTP/1.1\r\n" H "\r\n"),
		 "38 OPTIONS * b 1.1 none:0 absolute Host=a"},
		{IN("GET http://b?q HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET http:///x HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET http://u:p@b/x HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET ftp://b/x HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET * HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET a:80 HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET x HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET /a#b HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET /\xc3\xa4 HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET /a\tb HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET /\0 HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("GET /\x7f HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("CONNECT b:443 HTTP/1.1\r\n" H "\r\n"), "35 CONNECT  b:443 1.1 none:0 Host=a"},
		{IN("CONNECT b HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
		{IN("CONNECT /x HTTP/1.1\r\n" H "\r\n"), "400 bad-target"},
	};

	(void)state;
	check_rows(parse, rows);
}

static void test_request_line(void **state)
{
	static const struct row rows[] = {
		{IN("GET /\r\n"), "400 bad-request-line"}, /* HTTP/0.9 */
		{IN("GET / \r\n"), "400 bad-version"},
		{IN("GET  / HTTP/1.1\r\n"), "400 bad-request-line"},
		{IN("GET /  HTTP/1.1\r\n"), "400 bad-version"},
		{IN("GET / HTTP/1.1 \r\n"), "400 bad-request-line"},
		{IN("GET\t/ HTTP/1.1\r\n"), "400 bad-request-line"},
		{IN("GET / HTTP/1.1\n"), "400 bad-request-line"},
		{IN("GET / HTTP/1.1\rX\n"), "400 bad-request-line"},
		{IN("GET / HTTP/1.10\r\n"), "400 bad-request-line"},
		{IN("GET / HTTP/11\r\n"), "400 bad-version"},
		{IN("GET / http/1.1\r\n"), "400 bad-version"},
		{IN("GET / HTTP/x.1\r\n"), "400 bad-version"},
		{IN("GET / HTTP/2.0\r\n"), "505 version-unsupported"},
		{IN("GET / HTTP/0.9\r\n"), "505 version-unsupported"},
		{IN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "400 bad-target"},
		{IN(" GET / HTTP/1.1\r\n"), "400 bad-request-line"},
		{IN("\r\n\r\nGET / HTTP/1.1\r\n"), "400 bad-request-line"},
		{IN("\nGET / HTTP/1.1\r\n"), "400 bad-request-line"},
		{IN("\rGET / HTTP/1.1\r\n"), "400 bad-request-line"},
		{IN("G(T / HTTP/1.1\r\n"), "400 bad-request-line"},
		{IN("\x16\x03\x01\x02\x00\x01\x00\n"), "400 bad-request-line"},
		{IN("\x80\x2e\x01\n"), "400 bad-request-line"},
		{IN("\0\0\0\0\n"), "400 bad-request-line"},
		{IN("ABCDEFGHIJABCDEFGHIJABCDEFGHIJABC / HTTP/1.1\r\n"), "501 method-too-long"},
		{IN("GET / HTTP"), "more"},
		{IN("GET"), "more"},
	};

	(void)state;
	check_rows(parse, rows);
}

static void test_fields(void **state)
{
	static const struct row rows[] = {
		{IN(GET "X: a\nY: b\r\n\r\n"), "400 bad-header-value"},
		{IN(GET "X: a\rY: b\r\n\r\n"), "400 bad-header-value"},
		{IN(GET "X: a\0b\r\n\r\n"), "400 bad-header-value"},
		{IN(GET "X: a\x01\n"), "400 bad-header-value"},
		{IN(GET "X: aaaaaaaaaaaaaaaaaaaa\x1f\n"), "400 bad-header-value"},
		{IN(GET "X: a\x7f\n"), "400 bad-header-value"},
		{IN(GET "X: a\r\n b\r\n\r\n"), "400 obs-fold"},
		{IN(GET "X: a\r\n\tb\r\n\r\n"), "400 obs-fold"},
		{IN("GET / HTTP/1.1\r\n Host: a\r\n\r\n"), "400 obs-fold"},
		{IN(GET "X : a\r\n\r\n"), "400 bad-header-name"},
		{IN(GET "X\t: a\r\n\r\n"), "400 bad-header-name"},
		{IN(GET ": a\r\n\r\n"), "400 bad-header-name"},
		{IN(GET "X\r\n\r\n"), "400 bad-header-name"},
		{IN(GET "X Y: a\r\n\r\n"), "400 bad-header-name"},
		{IN(GET "X\xc3\xa4: a\r\n\r\n"), "400 bad-header-name"},
		{IN(GET "(x): a\r\n\r\n"), "400 bad-header-name"},
		{IN(GET "\n"), "400 bad-header-name"},
		{IN(GET "\rX\n"), "400 bad-line-end"},
		{IN("GET / HTTP/1.1\r\n\r\n"), "400 no-host"},
		{IN(GET H "\r\n"), "400 two-hosts"},
		{IN("GET / HTTP/1.1\r\nHost:\r\n\r\n"), "400 bad-host"},
		{IN("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), "400 bad-host"},
		{IN("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), "400 bad-host"},
		{IN("GET / HTTP/1.1\r\nHost: u@a\r\n\r\n"), "400 bad-host"},
		{IN("GET / HTTP/1.1\r\nHost: a:0\r\n\r\n"), "400 bad-host"},
		{IN("GET / HTTP/1.1\r\nHost: a:65536\r\n\r\n"), "400 bad-host"},
		{IN("GET / HTTP/1.1\r\nHost: [::1\r\n\r\n"), "400 bad-host"},
		{IN("GET http://b/ HTTP/1.1\r\n\r\n"), "400 no-host"},
		{IN("GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"), "400 two-hosts"},
	};

	(void)state;
	check_rows(parse, rows);
}

static void test_framing(void **state)
{
	static const struct row rows[] = {
		{IN(POST "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 "400 two-framings"},
		{IN(POST "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n"),
		 "400 two-framings"},
		{IN(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 "400 two-transfer-encodings"},
		{IN(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
		 "400 bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"), "400 bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding: gzip\r\n\r\n"), "400 bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding: identity\r\n\r\n"), "400 bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding:\r\n\r\n"), "400 bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding: chunked,\r\n\r\n"), "400 bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding: ,chunked\r\n\r\n"), "400 bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding: \"chunked\"\r\n\r\n"), "400 bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding: chunked;q=1\r\n\r\n"), "400 bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding: xchunked\r\n\r\n"), "501 unknown-coding"},
		{IN(POST "Transfer-Encoding: gzip, chunked\r\n\r\n"), "501 unknown-coding"},
		{IN(POST "Transfer-Encoding: what\r\n\r\n"), "501 unknown-coding"},
		{IN("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 "400 bad-transfer-encoding"},
		{IN(POST "Transfer_Encoding: chunked\r\n\r\n"),
		 "56 POST / a 1.1 none:0 Host=a Transfer_Encoding=chunked"},
		{IN(POST "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"),
		 "400 two-content-lengths"},
		{IN(POST "Content-Length: 3\r\nContent-Length: 4\r\n\r\n"),
		 "400 two-content-lengths"},
		{IN(POST "Content-Length: 3, 3\r\n\r\n"), "400 bad-content-length"},
		{IN(POST "Content-Length: +3\r\n\r\n"), "400 bad-content-length"},
		{IN(POST "Content-Length: -3\r\n\r\n"), "400 bad-content-length"},
		{IN(POST "Content-Length: 3 3\r\n\r\n"), "400 bad-content-length"},
		{IN(POST "Content-Length: 0x3\r\n\r\n"), "400 bad-content-length"},
		{IN(POST "Content-Length: 3a\r\n\r\n"), "400 bad-content-length"},
		{IN(POST "Content-Length:\r\n\r\n"), "400 bad-content-length"},
		{IN(POST "Content-Length: 9223372036854775808\r\n\r\n"), "400 bad-content-length"},
		{IN(POST "Content-Length: 18446744073709551617\r\n\r\n"), "400 bad-content-length"},
		{IN(POST "Content-Length: 00000000000000000001\r\n\r\n"), "400 bad-content-length"},
	};

	(void)state;
	check_rows(parse, rows);
}

static void test_connection(void **state)
{
	static const struct row rows[] = {
		{IN(GET "Connection: x-a, X-B\r\nx-a: 1\r\nx-b: 2\r\nX-B: 3\r\nx-c: 4\r\n\r\n"),
		 "81 GET / a 1.1 none:0 Host=a Connection=x-a, X-B! x-a=1! x-b=2! X-B=3! x-c=4"},
		{IN(GET "Keep-Alive: 5\r\nProxy-Connection: x\r\nHTTP2-Settings: x\r\n\r\n"),
		 "82 GET / a 1.1 none:0 Host=a Keep-Alive=5! Proxy-Connection=x! "
		 "HTTP2-Settings=x!"},
		{IN(GET "TE: trailers\r\nConnection: TE\r\n\r\n"),
		 "57 GET / a 1.1 none:0 Host=a TE=trailers Connection=TE!"},
		{IN(GET "TE: gzip\r\nConnection: te\r\n\r\n"),
		 "53 GET / a 1.1 none:0 Host=a TE=gzip! Connection=te!"},
		{IN(GET "Connection: , close ,,\r\n\r\n"),
		 "51 GET / a 1.1 none:0 close Host=a Connection=, close ,,!"},
		{IN(GET "Connection: Authorization\r\n\r\n"), "400 connection-attack"},
		{IN(GET "Connection: close, HOST\r\n\r\n"), "400 connection-attack"},
		{IN(GET "Connection: content-length\r\n\r\n"), "400 connection-attack"},
		{IN(GET "Connection: X-Forwarded-For\r\n\r\n"), "400 connection-attack"},
		{IN(GET "Connection: x-forwarded-client-cert\r\n\r\n"), "400 connection-attack"},
		{IN(GET "Connection: forwarded\r\n\r\n"), "400 connection-attack"},
		{IN(GET "Connection: traceparent\r\n\r\n"), "400 connection-attack"},
		{IN(GET "Connection: x-b3-traceid\r\n\r\n"), "400 connection-attack"},
		{IN(GET "Connection: sennit-client-id\r\n\r\n"), "400 connection-attack"},
		{IN(GET "Connection: SENNIT_x\r\n\r\n"), "400 connection-attack"},
		{IN(GET "Connection: close\r\nConnection: cookie\r\n\r\n"),
		 "400 connection-attack"},
		{IN(GET "Connection: a b\r\n\r\n"), "400 bad-connection"},
		{IN(GET "Connection: a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,a,"
			"a,a\r\n\r\n"),
		 "400 bad-connection"},
	};

	(void)state;
	check_rows(parse, rows);
}

static void test_upgrade(void **state)
{
#define UP(v) GET "Connection: upgrade\r\nUpgrade: " v "\r\n\r\n"
	static const struct row rows[] = {
		{IN(UP("websocket")),
		 "68 GET / a 1.1 none:0 upgrade=websocket Host=a Connection=upgrade! "
		 "Upgrade=websocket!"},
		{IN(UP("h2c")), "62 GET / a 1.1 none:0 Host=a Connection=upgrade! Upgrade=h2c!"},
		{IN(UP("TLS/1.0")),
		 "66 GET / a 1.1 none:0 Host=a Connection=upgrade! Upgrade=TLS/1.0!"},
		{IN(UP("x, H2C")),
		 "65 GET / a 1.1 none:0 Host=a Connection=upgrade! Upgrade=x, H2C!"},
		{IN(GET "Upgrade: websocket\r\n\r\n"),
		 "47 GET / a 1.1 none:0 Host=a Upgrade=websocket!"},
		{IN(POST "Connection: upgrade\r\nUpgrade: x\r\n\r\n"),
		 "61 POST / a 1.1 none:0 Host=a Connection=upgrade! Upgrade=x!"},
		{IN(GET "Connection: upgrade\r\nUpgrade: x\r\nContent-Length: 1\r\n\r\n"),
		 "79 GET / a 1.1 length:1 Host=a Connection=upgrade! Upgrade=x! Content-Length=1"},
	};

	(void)state;
	check_rows(parse, rows);
}

/* Fills @dst with @head, @n times @fill, @tail; returns the length. */
static size_t compose(char *dst, const char *head, char fill, size_t n, const char *tail)
{
	size_t at = strlen(head);

	memcpy(dst, head, at);
	memset(dst + at, fill, n);
	memcpy(dst + at + n, tail, strlen(tail) + 1);
	return at + n + strlen(tail);
}

static void test_limits(void **state)
{
	char in[4096], want[64], got[2048];
	struct row r = {.in = in};
	size_t scanned = 0;

	(void)state;
	/* A line of 120 octets passes, one of 121 does not, whatever follows. */
	r.n = compose(in, "GET /", 'a', 120 - 14, " HTTP/1.1\r\n" H "\r\n");
	parse(sn_slice(in, r.n), &scanned, got, sizeof(got));
	assert_memory_equal(got, "133 GET /a", 10);
	r.n = compose(in, "GET /", 'a', 121 - 14, " HTTP/1.1\r\n" H "\r\n");
	r.want = "414 request-line-too-long";
	check_row(parse, &r);
	r.n = compose(in, "GET /", 'a', 3000, "");
	check_row(parse, &r);
	r.n = compose(in, "GET http://", 'a', 3000, "");
	check_row(parse, &r);
	/* The head: 1,024 octets pass, 1,025 do not, finished or not. */
	r.n = compose(in, GET "X: ", 'a', 1024 - 32, "\r\n\r\n");
	assert_int_equal(r.n, 1024);
	scanned = 0;
	parse(sn_slice(in, r.n), &scanned, got, sizeof(got));
	snprintf(want, sizeof(want), "1024 GET / a");
	assert_memory_equal(got, want, strlen(want));
	r.want = "431 head-too-large";
	r.n = compose(in, GET "X: ", 'a', 1024 - 31, "\r\n\r\n");
	check_row(parse, &r);
	r.n = compose(in, GET "X: ", 'a', 3000, "");
	check_row(parse, &r);
	r.n = compose(in, GET, 'a', 3000, "");
	check_row(parse, &r);
	/* An error in front of the limit stays that error. */
	r.n = compose(in, GET "X : ", 'a', 3000, "");
	r.want = "400 bad-header-name";
	check_row(parse, &r);
}

static void test_count(void **state)
{
	char in[1024] = GET, got[2048];
	struct row r = {.in = in, .want = "431 too-many-headers"};
	size_t scanned = 0;

	(void)state;
	for (int i = 0; i < 9; i++)
		strcat(in, "a: b\r\n");
	strcat(in, "\r\n");
	parse(sn_slice_cstr(in), &scanned, got, sizeof(got));
	assert_memory_equal(got, "81 GET", 6);
	strcpy(in + strlen(in) - 2, "a: b\r\n\r\n");
	r.n = strlen(in);
	check_row(parse, &r);
}

/* Feeding octet by octet costs a look at each new octet, not a parse each: a head of 60 KB within
 * a second even under a checker. */
static void test_linear(void **state)
{
	struct sn_h1_limits saved = limits;
	size_t scanned = 0, n = 60000;
	char *in = malloc(n + 1), got[64];

	(void)state;
	assert_non_null(in);
	limits.head_bytes = 65536;
	compose(in, GET "X: ", 'a', n - strlen(GET "X: ") - 4, "\r\n\r\n");
	for (size_t i = 1; i < n; i++) {
		parse(sn_slice(in, i), &scanned, got, sizeof(got));
		assert_string_equal(got, "more");
		assert_int_equal(scanned, i);
	}
	parse(sn_slice(in, n), &scanned, got, sizeof(got));
	assert_memory_equal(got, "60000 GET", 9);
	limits = saved;
	free(in);
}

/* What was seen already is not an answer: no new octets, no change. */
static void test_no_news(void **state)
{
	size_t scanned = 0;
	char got[64];

	(void)state;
	parse(sn_slice("", 0), &scanned, got, sizeof(got));
	assert_string_equal(got, "more");
	parse(SN_SLICE("GET / H"), &scanned, got, sizeof(got));
	parse(SN_SLICE("GET / H"), &scanned, got, sizeof(got));
	assert_string_equal(got, "more");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),     cmocka_unit_test(test_target_forms),
		cmocka_unit_test(test_request_line), cmocka_unit_test(test_fields),
		cmocka_unit_test(test_framing),	     cmocka_unit_test(test_connection),
		cmocka_unit_test(test_upgrade),	     cmocka_unit_test(test_limits),
		cmocka_unit_test(test_count),	     cmocka_unit_test(test_linear),
		cmocka_unit_test(test_no_news),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
