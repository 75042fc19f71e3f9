/* SPDX-License-Identifier: Apache-2.0 */
/* Heads as they are forwarded: untouched fields byte for byte, hop-by-hop ones gone, framing ours.
 */
#include "heads.h"

#include "http/headout.h"

static const struct sn_h1_limits limits = {65536, 100, 8192};

/* The forwarded head of @in, with @drop dropped and @add ("name", "value") added by a filter. */
static void check_request(const char *in, const char *drop, const char *add, const char *want)
{
	struct sn_header storage[32];
	struct sn_request req = {.headers = {storage, 0, 32}};
	struct sn_h1_refusal why;
	struct sn_buf out;
	size_t scanned = 0;
	uint32_t n_parsed;
	int n = sn_h1_parse_request(sn_slice_cstr(in), &scanned, &limits, &req, &why);

	assert_true(n > 0);
	n_parsed = req.headers.n;
	for (uint32_t i = 0; drop && i < n_parsed; i++)
		if (sn_slice_eq_cstr(req.headers.v[i].name, drop))
			req.headers.v[i].flags |= SN_HDR_DROPPED;
	if (add)
		storage[req.headers.n++] =
			(struct sn_header){.name = sn_slice_cstr(add), .value = SN_SLICE("v")};
	sn_buf_init(&out, 0);
	assert_int_equal(sn_headout_request(&out, sn_slice(in, (size_t)n), &req, n_parsed), 0);
	assert_string_equal(sn_buf_cstr(&out), want);
	sn_buf_done(&out);
}

static void test_requests(void **state)
{
	(void)state;
	check_request("GET /a?b HTTP/1.1\r\nHost: web\r\nX-Odd:  two  spaces \r\n\r\n", NULL, NULL,
		      "GET /a?b HTTP/1.1\r\nHost: web\r\nX-Odd:  two  spaces \r\n\r\n");
	/* minor versions are ours */
	check_request("GET / HTTP/1.0\r\nHost: web\r\n\r\n", NULL, NULL,
		      "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
	/* first, middle, last and neighbouring fields that do not go on */
	check_request(
		"GET / HTTP/1.1\r\nKeep-Alive: 1\r\nHost: web\r\nA: 1\r\nX-Hop: 1\r\nTE: gzip\r\n"
		"B: 2\r\nConnection: x-hop, keep-alive\r\n\r\n",
		NULL, NULL, "GET / HTTP/1.1\r\nHost: web\r\nA: 1\r\nB: 2\r\n\r\n");
	/* dropped and added by filters: added ones come last */
	check_request("GET / HTTP/1.1\r\nHost: web\r\nSecret: 1\r\nB: 2\r\n\r\n", "Secret",
		      "x-from", "GET / HTTP/1.1\r\nHost: web\r\nB: 2\r\nx-from: v\r\n\r\n");
	check_request("GET / HTTP/1.1\r\nHost: web\r\n\r\n", NULL, "x",
		      "GET / HTTP/1.1\r\nHost: web\r\n"
		      "x: v\r\n\r\n");
	/* absolute-form wins over Host */
	check_request("GET http://other:8080/x HTTP/1.1\r\nA: 1\r\nHost: web\r\nB: 2\r\n\r\n", NULL,
		      NULL, "GET /x HTTP/1.1\r\nHost: other:8080\r\nA: 1\r\nB: 2\r\n\r\n");
	/* a length goes on as it is; chunked is said anew */
	check_request("POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\nabc", NULL, NULL,
		      "POST / HTTP/1.1\r\nHost: web\r\nContent-Length: 3\r\n\r\n");
	check_request("POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: web\r\n\r\n", NULL,
		      NULL, "POST / HTTP/1.1\r\nHost: web\r\nTransfer-Encoding: chunked\r\n\r\n");
	check_request("OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n", NULL, NULL,
		      "OPTIONS * HTTP/1.1\r\nHost: web\r\n\r\n");
	/* the empty line before a request is not forwarded */
	check_request("\r\nGET / HTTP/1.1\r\nHost: web\r\n\r\n", NULL, NULL,
		      "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
	check_request("GET / HTTP/1.1\r\nHost: web\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n"
		      "Connection: upgrade, http2-settings\r\n\r\n",
		      NULL, NULL, "GET / HTTP/1.1\r\nHost: web\r\n\r\n");
}

static void check_response(const char *in, bool chunked, bool close, const char *want)
{
	struct sn_header storage[32];
	struct sn_response resp = {.headers = {storage, 0, 32}};
	struct sn_h1_refusal why;
	struct sn_buf out;
	size_t scanned = 0;
	int n = sn_h1_parse_response(sn_slice_cstr(in), &scanned, &limits, SN_METHOD_GET, &resp,
				     &why);

	assert_true(n > 0);
	sn_buf_init(&out, 0);
	assert_int_equal(sn_headout_response(&out, sn_slice(in, (size_t)n), &resp, chunked, close),
			 0);
	assert_string_equal(sn_buf_cstr(&out), want);
	sn_buf_done(&out);
}

static void test_responses(void **state)
{
	(void)state;
	check_response(
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n",
		false, false,
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n\r\n");
	check_response("HTTP/1.0 404 Not here\r\nConnection: close\r\nA: 1\r\n\r\n", true, false,
		       "HTTP/1.1 404 Not here\r\nA: 1\r\nTransfer-Encoding: chunked\r\n\r\n");
	check_response(
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: 1\r\n\r\n", true, true,
		"HTTP/1.1 200 OK\r\nA: 1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n"
		"\r\n");
	check_response("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", false, true,
		       "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"); /* an HTTP/1.0 client */
	check_response("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n", false, false,
		       "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
	check_response("HTTP/1.1 204\r\nA: 1\r\n\r\n", false, false,
		       "HTTP/1.1 204 \r\nA: 1\r\n\r\n");
}

static void test_no_room(void **state)
{
	static const char in[] =
		"GET / HTTP/1.1\r\nHost: web\r\nX: 0123456789012345678901234567\r\n\r\n";
	struct sn_header storage[8];
	struct sn_request req = {.headers = {storage, 0, 8}};
	struct sn_h1_refusal why;
	size_t scanned = 0;
	bool done = false;

	(void)state;
	assert_true(sn_h1_parse_request(sn_slice_cstr(in), &scanned, &limits, &req, &why) > 0);
	for (size_t max = 1; !done; max += 7) { /* refused under every ceiling, never half a head */
		struct sn_buf out;

		assert_true(max < 1000);
		sn_buf_init(&out, max);
		done = sn_headout_request(&out, sn_slice(in, sizeof(in) - 1), &req,
					  req.headers.n) == 0;
		if (done)
			assert_int_equal(sn_buf_len(&out), sizeof(in) - 1);
		sn_buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
