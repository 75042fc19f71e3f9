/* SPDX-License-Identifier: Apache-2.0 */
/* Response heads: framing with regard to the request, and every kind of bad head, at every split.
 */
#include "tests/unit/http/heads.h"

static const struct sn_h1_limits limits = {
	.head_bytes = 1024, .header_count = 10, .request_line_bytes = 120};
static enum sn_method method = SN_METHOD_GET;

static void parse(struct sn_slice in, size_t *scanned, char *dst, size_t cap)
{
	struct sn_header fields[HEADS_MAX_FIELDS];
	struct sn_response resp;
	struct sn_h1_refusal refusal = {0, NULL};
	int rc;

	memset(&resp, 0xa5, sizeof(resp));
	resp.headers.v = fields;
	resp.headers.cap = HEADS_MAX_FIELDS;
	rc = sn_h1_parse_response(in, scanned, &limits, method, &resp, &refusal);

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
	assert_int_equal(resp.major, 1);
	assert_int_equal(resp.upgrade_to.n > 0, resp.upgrade);
	snprintf(dst, cap, "%d %u (%.*s) 1.%u %s:%llu%s%s%.*s", rc, resp.status,
		 SN_ARG(resp.reason), resp.minor, framing_text(resp.framing),
		 (unsigned long long)resp.content_length, resp.keep_alive ? "" : " close",
		 resp.upgrade ? " upgrade=" : "", SN_ARG(resp.upgrade_to));
	print_fields(&resp.headers, dst, cap);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void test_accepted(void **state)
{
	static const struct row rows[] = {
		{IN(OK "Content-Length: 3\r\n\r\nabc"),
		 "38 200 (OK) 1.1 length:3 Content-Length=3"},
		{IN(OK "Transfer-Encoding: chunked\r\n\r\n"),
		 "47 200 (OK) 1.1 chunked:0 Transfer-Encoding=chunked!"},
		{IN(OK "\r\n"), "19 200 (OK) 1.1 close:0 close"},
		{IN("HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n"),
		 "35 200 () 1.1 length:0 Content-Length=0"},
		{IN("HTTP/1.1 404 \r\nContent-Length: 0\r\n\r\n"),
		 "36 404 () 1.1 length:0 Content-Length=0"},
		{IN("HTTP/1.1 999 a \xc3\xa4 b\t\r\nContent-Length: 0\r\n\r\n"),
		 "43 999 (a \xc3\xa4 b) 1.1 length:0 Content-Length=0"},
		{IN("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n"),
		 "38 200 (OK) 1.0 length:0 close Content-Length=0"},
		{IN("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n"),
		 "62 200 (OK) 1.0 length:0 Connection=keep-alive! Content-Length=0"},
		{IN(OK "Connection: close, X\r\nX: y\r\nContent-Length: 0\r\n\r\n"),
		 "66 200 (OK) 1.1 length:0 close Connection=close, X! X=y! Content-Length=0"},
		{IN("HTTP/1.7 200 OK\r\nContent-Length: 0\r\n\r\n"),
		 "38 200 (OK) 1.1 length:0 Content-Length=0"},
	};

	(void)state;
	check_rows(parse, rows);
}

/* 1xx, 204 and 304 have no body whatever the fields say. */
static void test_bodiless(void **state)
{
	static const struct row rows[] = {
		{IN("HTTP/1.1 100 Continue\r\n\r\n"), "25 100 (Continue) 1.1 none:0"},
		{IN("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
		 "37 103 (Early Hints) 1.1 none:0 Link=x"},
		{IN("HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
		 "46 204 (No Content) 1.1 none:5 Content-Length=5"},
		{IN("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 "57 304 (Not Modified) 1.1 none:0 Transfer-Encoding=chunked!"},
		{IN("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n"
		    "Upgrade: websocket\r\n\r\n"),
		 "77 101 (Switching Protocols) 1.1 none:0 close upgrade=websocket "
		 "Connection=Upgrade! "
		 "Upgrade=websocket!"},
		{IN("HTTP/1.1 101 x\r\nUpgrade: websocket\r\n\r\n"), "502 bad-upgrade"},
		{IN("HTTP/1.1 101 x\r\nConnection: upgrade\r\n\r\n"), "502 bad-upgrade"},
		{IN("HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade:\r\n\r\n"),
		 "502 bad-upgrade"},
	};
	static const struct row head_rows[] = {
		{IN(OK "Content-Length: 12\r\n\r\n"), "39 200 (OK) 1.1 none:12 Content-Length=12"},
		{IN(OK "Transfer-Encoding: chunked\r\n\r\n"),
		 "47 200 (OK) 1.1 none:0 Transfer-Encoding=chunked!"},
		{IN(OK "\r\n"), "19 200 (OK) 1.1 none:0"},
		{IN(OK "Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
		 "502 two-content-lengths"},
	};
	static const struct row connect_rows[] = {
		{IN(OK "\r\n"), "19 200 (OK) 1.1 none:0"},
		{IN("HTTP/1.1 502 x\r\n\r\n"), "18 502 (x) 1.1 close:0 close"},
	};

	(void)state;
	check_rows(parse, rows);
	method = SN_METHOD_HEAD;
	check_rows(parse, head_rows);
	method = SN_METHOD_CONNECT;
	check_rows(parse, connect_rows);
	method = SN_METHOD_GET;
}

static void test_refused(void **state)
{
	static const struct row rows[] = {
		{IN("HTTP/2.0 200 OK\r\n"), "502 version-unsupported"},
		{IN("HTTP/1.1  200 OK\r\n"), "502 bad-status-line"},
		{IN("HTTP/1.1 20 OK\r\n"), "502 bad-status-line"},
		{IN("HTTP/1.1 2000 OK\r\n"), "502 bad-status-line"},
		{IN("HTTP/1.1 099 OK\r\n"), "502 bad-status-line"},
		{IN("HTTP/1.1 +20 OK\r\n"), "502 bad-status-line"},
		{IN("HTTP/1.1\t200 OK\r\n"), "502 bad-status-line"},
		{IN("HTTP/1.1 200 a\x01\r\n"), "502 bad-status-line"},
		{IN("HTTP/1.1 200 OK\n"), "502 bad-status-line"},
		{IN("\r\nHTTP/1.1 200 OK\r\n"), "502 bad-version"},
		{IN("ICY 200 OK\r\n"), "502 bad-version"},
		{IN("SSH-2.0-x\r\n"), "502 bad-version"},
		{IN(OK "HTTP/1.1 200 OK\r\n"), "502 bad-header-name"},
		{IN(OK "X: a\r\n b\r\n\r\n"), "502 obs-fold"},
		{IN(OK "X : a\r\n\r\n"), "502 bad-header-name"},
		{IN(OK "X: a\nY: b\r\n\r\n"), "502 bad-header-value"},
		{IN(OK "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 "502 two-framings"},
		{IN(OK "Content-Length: 3\r\nContent-Length: 3\r\n\r\n"),
		 "502 two-content-lengths"},
		{IN(OK "Content-Length: 3,3\r\n\r\n"), "502 bad-content-length"},
		{IN(OK "Content-Length: -1\r\n\r\n"), "502 bad-content-length"},
		{IN(OK "Transfer-Encoding: gzip, chunked\r\n\r\n"), "502 unknown-coding"},
		{IN(OK "Transfer-Encoding: identity\r\n\r\n"), "502 bad-transfer-encoding"},
		{IN("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 "502 bad-transfer-encoding"},
		{IN(OK "Connection: content-length\r\n\r\n"), "502 connection-attack"},
		{IN(OK "Connection: set-cookie\r\n\r\n"), "502 connection-attack"},
		{IN(OK "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n\r\n"),
		 "502 too-many-headers"},
	};

	(void)state;
	check_rows(parse, rows);
}

static void test_too_large(void **state)
{
	static char in[2048];
	struct row r = {in, sizeof(in), "502 head-too-large"};

	(void)state;
	memset(in, 'a', sizeof(in));
	memcpy(in, IN("HTTP/1.1 200 "));
	check_row(parse, &r);
	memcpy(in, IN(OK "x:"));
	check_row(parse, &r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_bodiless),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
