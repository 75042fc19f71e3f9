/* SPDX-License-Identifier: Apache-2.0 */
/* Heads as they go on: from HTTP/1, from HTTP/2, with what filters added and took out. */
#include "tests/unit/http/heads.h"

#include "http/headout.h"

static const struct sn_h1_limits limits = {
	.head_bytes = 2048, .header_count = HEADS_MAX_FIELDS, .request_line_bytes = 1024};

struct source {
	struct sn_header fields[HEADS_MAX_FIELDS];
	char *copy;
	struct sn_slice head;
	struct sn_request req;
	struct sn_response resp;
};

/* What is behind the head must not matter. */
static void h1_request(struct source *s, const char *text)
{
	struct sn_h1_refusal refusal;
	size_t scanned = 0;
	int rc;

	s->copy = exact_copy(text, strlen(text));
	s->req.headers = (struct sn_headers){s->fields, 0, HEADS_MAX_FIELDS};
	rc = sn_h1_parse_request(sn_slice(s->copy, strlen(text)), &scanned, &limits, &s->req,
				 &refusal);
	if (rc <= 0)
		print_error("%s\n", text);
	assert_true(rc > 0);
	s->head = sn_slice(s->copy, (size_t)rc);
}

static void h1_response(struct source *s, const char *text, enum sn_method method)
{
	struct sn_h1_refusal refusal;
	size_t scanned = 0;
	int rc;

	s->copy = exact_copy(text, strlen(text));
	s->resp.headers = (struct sn_headers){s->fields, 0, HEADS_MAX_FIELDS};
	rc = sn_h1_parse_response(sn_slice(s->copy, strlen(text)), &scanned, &limits, method,
				  &s->resp, &refusal);
	assert_true(rc > 0);
	s->head = sn_slice(s->copy, (size_t)rc);
}

/* Field lines as http/h2_fields.h hands them on. */
static struct sn_headers h2_fields(struct source *s, const char *lines)
{
	struct sn_headers hs = {s->fields, 0, HEADS_MAX_FIELDS};
	struct sn_slice rest;

	s->copy = exact_copy(lines, strlen(lines));
	s->head = rest = sn_slice(s->copy, strlen(lines));
	for (;;) {
		struct sn_slice line = sn_slice_cut(&rest, '\n');
		struct sn_header *h = &s->fields[hs.n];

		line.n--;
		if (line.n == 0)
			return hs;
		*h = (struct sn_header){.name = sn_slice_cut(&line, ':')};
		h->value = sn_slice_trim(line);
		h->id = (uint8_t)sn_hdr_lookup(h->name);
		hs.n++;
	}
}

static void h2_request(struct source *s, const char *method, const char *authority,
		       const char *path, enum sn_framing framing, const char *lines)
{
	s->req = (struct sn_request){
		.method = sn_method_lookup(sn_slice_cstr(method)),
		.method_text = sn_slice_cstr(method),
		.path = sn_slice_cstr(path),
		.authority = sn_slice_cstr(authority),
		.scheme = SN_SLICE("https"),
		.major = 2,
		.minor = 1,
		.absolute_form = true,
		.keep_alive = true,
		.framing = framing,
	};
	s->req.headers = h2_fields(s, lines);
}

static void expect_request(struct source *s, uint32_t n_parsed, const char *want)
{
	struct sn_buf out;

	sn_buf_init(&out, 0);
	assert_int_equal(sn_buf_puts(&out, "before"), 0);
	assert_int_equal(sn_headout_request(&out, s->head, &s->req, n_parsed), 0);
	assert_string_equal(sn_buf_cstr(&out) + 6, want);
	sn_buf_done(&out);
	free(s->copy);
}

static void expect_response(struct source *s, enum sn_headout_body body, bool close,
			    const char *want)
{
	struct sn_buf out;

	sn_buf_init(&out, 0);
	assert_int_equal(sn_headout_response(&out, s->head, &s->resp, body, close), 0);
	assert_string_equal(sn_buf_cstr(&out), want);
	sn_buf_done(&out);
	free(s->copy);
}

static void test_h1_request(void **state)
{
	static const struct {
		const char *in, *want;
	} rows[] = {
		{"GET /a?b HTTP/1.1\r\nHost: x\r\n\r\nrest",
		 "GET /a?b HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"get / HTTP/1.1\r\nhOST:x\r\nA: \t b \r\nB:\r\n\r\n",
		 "get / HTTP/1.1\r\nhOST:x\r\nA: \t b \r\nB:\r\n\r\n"},
		{"\r\nGET / HTTP/1.0\r\nHost: x\r\nConnection: keep-alive\r\n\r\n",
		 "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
		{"GET / HTTP/1.0\r\nA: b\r\n\r\n", "GET / HTTP/1.1\r\nHost: \r\nA: b\r\n\r\n"},
		{"GET / HTTP/1.0\r\n\r\n", "GET / HTTP/1.1\r\nHost: \r\n\r\n"},
		{"GET http://y/a HTTP/1.1\r\nA: b\r\nHost: x\r\nC: d\r\n\r\n",
		 "GET /a HTTP/1.1\r\nHost: y\r\nA: b\r\nC: d\r\n\r\n"},
		{"OPTIONS http://y HTTP/1.1\r\nHost: y\r\n\r\n",
		 "OPTIONS * HTTP/1.1\r\nHost: y\r\n\r\n"},
		{"OPTIONS * HTTP/1.1\r\nHost: y\r\n\r\n", "OPTIONS * HTTP/1.1\r\nHost: y\r\n\r\n"},
		{"CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n",
		 "CONNECT y:443 HTTP/1.1\r\nHost: y:443\r\n\r\n"},
		{"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc",
		 "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n"},
		{"POST / HTTP/1.1\r\ncontent-length:\t3\r\nHost: x\r\n\r\nabc",
		 "POST / HTTP/1.1\r\ncontent-length: 3\r\nHost: x\r\n\r\n"},
		{"POST / HTTP/1.1\r\nA:b\r\nContent-Length:3\r\nHost:x\r\n\r\nabc",
		 "POST / HTTP/1.1\r\nA:b\r\nContent-Length: 3\r\nHost:x\r\n\r\n"},
		{"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nHost: x\r\n\r\n",
		 "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"GET / HTTP/1.1\r\nConnection: x-a, te\r\nHost: x\r\nx-a: 1\r\nTE: trailers\r\n"
		 "Keep-Alive: 1\r\nx-b: 2\r\nx-c: 3\r\nProxy-Connection: y\r\n\r\n",
		 "GET / HTTP/1.1\r\nHost: x\r\nTE: trailers\r\nx-b: 2\r\nx-c: 3\r\n\r\n"},
		{"GET /c HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
		 "Sec-WebSocket-Key: k\r\n\r\n",
		 "GET /c HTTP/1.1\r\nHost: x\r\nSec-WebSocket-Key: k\r\nConnection: Upgrade\r\n"
		 "Upgrade: websocket\r\n\r\n"},
		{"GET / HTTP/1.1\r\nHost: x\r\nConnection: upgrade, x-a\r\nx-a: 1\r\n"
		 "Upgrade: a/1, b\r\nContent-Length: 0\r\n\r\n",
		 "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: a/1, b\r\n\r\n"},
		{"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\n"
		 "Upgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n",
		 "GET / HTTP/1.1\r\nHost: x\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct source s;

		h1_request(&s, rows[i].in);
		expect_request(&s, s.req.headers.n, rows[i].want);
	}
}

static void test_h2_request(void **state)
{
	struct source s;

	(void)state;
	h2_request(&s, "GET", "y:80", "/a?b", SN_FRAMING_NONE,
		   "accept: */*\r\nte: trailers\r\n\r\n");
	expect_request(&s, s.req.headers.n,
		       "GET /a?b HTTP/1.1\r\nHost: y:80\r\naccept: */*\r\nte: trailers\r\n\r\n");
	h2_request(&s, "GET", "", "/", SN_FRAMING_NONE, "\r\n");
	expect_request(&s, 0, "GET / HTTP/1.1\r\nHost: \r\n\r\n");
	/* A host field that was flagged, and one that was not: there is one Host. */
	h2_request(&s, "POST", "y", "/", SN_FRAMING_CHUNKED,
		   "host: y\r\na: b\r\nhost: z\r\ncookie: c=d; e=f\r\n\r\n");
	s.fields[0].flags = SN_HDR_DROPPED;
	expect_request(&s, s.req.headers.n,
		       "POST / HTTP/1.1\r\nHost: y\r\na: b\r\ncookie: c=d; e=f\r\n"
		       "Transfer-Encoding: chunked\r\n\r\n");
	h2_request(&s, "PUT", "y", "/", SN_FRAMING_LENGTH, "content-length: 3\r\n\r\n");
	expect_request(&s, 1, "PUT / HTTP/1.1\r\nHost: y\r\ncontent-length: 3\r\n\r\n");
	/* RFC 8441; nothing of HTTP/2's framing goes on. */
	h2_request(&s, "CONNECT", "y", "/chat", SN_FRAMING_CHUNKED,
		   "sec-websocket-version: 13\r\ncontent-length: 9\r\norigin: z\r\n\r\n");
	s.req.upgrade = true;
	s.req.upgrade_to = SN_SLICE("websocket");
	s.fields[s.req.headers.n++] = (struct sn_header){SN_SLICE("Sec-WebSocket-Key"),
							 SN_SLICE("a2V5"), SN_HDR_OTHER, 0};
	expect_request(&s, 3,
		       "GET /chat HTTP/1.1\r\nHost: y\r\nsec-websocket-version: 13\r\norigin: z\r\n"
		       "Sec-WebSocket-Key: a2V5\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
		       "\r\n");
}

/* Every way to take fields out and to add some. */
static void test_filters(void **state)
{
	static const char *const lines[] = {"a: 1\r\n", "b:2\r\n", "c:  3 \r\n", "d: 4\r\n"};
	static const struct sn_header added[] = {
		{SN_SLICE("x-one"), SN_SLICE("1"), SN_HDR_OTHER, 0},
		{SN_SLICE("x-two"), SN_SLICE("2"), SN_HDR_OTHER, SN_HDR_DROPPED},
		{SN_SLICE("x-three"), SN_SLICE(""), SN_HDR_OTHER, 0},
	};

	(void)state;
	for (unsigned out = 0; out < 16; out++) {
		char want[256] = "GET / HTTP/1.1\r\nHost: h\r\n";
		struct source s;

		h1_request(&s,
			   "GET / HTTP/1.1\r\nHost: h\r\na: 1\r\nb:2\r\nc:  3 \r\nd: 4\r\n\r\n");
		for (unsigned i = 0; i < 4; i++) {
			if (out & 1u << i)
				s.fields[i + 1].flags = i % 2 ? SN_HDR_HOP : SN_HDR_DROPPED;
			else
				strcat(want, lines[i]);
		}
		memcpy(s.fields + 5, added, sizeof(added));
		s.req.headers.n = 8;
		strcat(want, "x-one: 1\r\nx-three: \r\n\r\n");
		expect_request(&s, 5, want);
	}
}

/* The same for responses, where added fields are told by where they lie: also one with the name of
 * a field that it replaces. */
static void test_response_filters(void **state)
{
	struct source s;
	struct sn_headers *hs = &s.resp.headers;

	(void)state;
	h1_response(&s, "HTTP/1.1 200 OK\r\nServer: a\r\nContent-Length: 0\r\n\r\n", SN_METHOD_GET);
	s.fields[0].flags = SN_HDR_DROPPED;
	s.fields[hs->n++] = (struct sn_header){s.fields[0].name, SN_SLICE("b"), SN_HDR_SERVER, 0};
	s.fields[hs->n++] = (struct sn_header){SN_SLICE("x"), SN_SLICE("y"), SN_HDR_OTHER, 0};
	expect_response(&s, SN_HEADOUT_AS_DECLARED, false,
			"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nServer: b\r\nx: y\r\n\r\n");
	h1_response(&s, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", SN_METHOD_GET);
	s.fields[0].flags = SN_HDR_DROPPED;
	s.fields[hs->n++] =
		(struct sn_header){s.fields[0].name, SN_SLICE("3"), SN_HDR_CONTENT_LENGTH, 0};
	expect_response(&s, SN_HEADOUT_AS_DECLARED, false,
			"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
	h1_response(&s, "HTTP/1.1 200 OK\r\n\r\n", SN_METHOD_GET);
	s.fields[hs->n++] = (struct sn_header){SN_SLICE("x"), SN_SLICE("y"), SN_HDR_OTHER, 0};
	expect_response(&s, SN_HEADOUT_AS_DECLARED, false, "HTTP/1.1 200 OK\r\nx: y\r\n\r\n");
}

static void test_h1_response(void **state)
{
	static const struct {
		const char *in;
		enum sn_headout_body body;
		bool close;
		const char *want;
	} rows[] = {
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", SN_HEADOUT_AS_DECLARED, false,
		 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"},
		{"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: \t 3 \r\n\r\nabc",
		 SN_HEADOUT_AS_DECLARED, false,
		 "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 3\r\n\r\n"},
		{"HTTP/1.0 200 OK\r\nContent-Length: 3\r\n\r\n", SN_HEADOUT_AS_DECLARED, true,
		 "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\n"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n",
		 SN_HEADOUT_CHUNKED, false,
		 "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nA: b\r\n\r\n", SN_HEADOUT_CLOSE,
		 false, "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\n\r\n", SN_HEADOUT_CLOSE, true,
		 "HTTP/1.1 200 OK\r\nA: b\r\nConnection: close\r\n\r\n"},
		{"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 18446744\r\n\r\n", SN_HEADOUT_LENGTH,
		 false, "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 18446744\r\n\r\n"},
		{"HTTP/1.1 200 OK\r\n\r\n", SN_HEADOUT_LENGTH, false,
		 "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"},
		{"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nA: b\r\n\r\n", SN_HEADOUT_CHUNKED, false,
		 "HTTP/1.1 200 OK\r\nA: b\r\nTransfer-Encoding: chunked\r\n\r\n"},
		{"HTTP/1.1 299\r\nContent-Length: 0\r\n\r\n", SN_HEADOUT_AS_DECLARED, false,
		 "HTTP/1.1 299 \r\nContent-Length: 0\r\n\r\n"},
		{"HTTP/1.1 999  my \xc3\xa4 \r\nConnection: a, close\r\nA: b\r\nC: d\r\n\r\n",
		 SN_HEADOUT_AS_DECLARED, false, "HTTP/1.1 999 my \xc3\xa4\r\nC: d\r\n\r\n"},
		{"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\nA: b\r\n\r\n",
		 SN_HEADOUT_AS_DECLARED, false, "HTTP/1.1 204 No Content\r\nA: b\r\n\r\n"},
		{"HTTP/1.1 204 No Content\r\n\r\n", SN_HEADOUT_CHUNKED, false,
		 "HTTP/1.1 204 No Content\r\n\r\n"},
		{"HTTP/1.1 204 No Content\r\n\r\n", SN_HEADOUT_LENGTH, true,
		 "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n", SN_HEADOUT_AS_DECLARED,
		 false, "HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n"},
		{"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n", SN_HEADOUT_AS_DECLARED, false,
		 "HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\n"},
		{"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
		 "Sec-WebSocket-Accept: k\r\n\r\n",
		 SN_HEADOUT_CHUNKED, true,
		 "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: k\r\n"
		 "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct source s;

		h1_response(&s, rows[i].in, SN_METHOD_GET);
		expect_response(&s, rows[i].body, rows[i].close, rows[i].want);
	}
}

static void test_h2_response(void **state)
{
	struct source s;

	(void)state;
	for (int i = 0; i < 3; i++) {
		static const char *const wants[] = {
			"HTTP/1.1 404 Not Found\r\nserver: a\r\ncontent-length: 12\r\n\r\n",
			"HTTP/1.1 404 Not Found\r\nserver: a\r\nTransfer-Encoding: chunked\r\n\r\n",
			"HTTP/1.1 404 Not Found\r\nserver: a\r\n"
			"Content-Length: 9223372036854775807\r\n\r\n",
		};

		s.resp = (struct sn_response){
			.status = 404, .major = 2, .minor = 1, .content_length = INT64_MAX};
		s.resp.headers = h2_fields(&s, "server: a\r\ncontent-length: 12\r\n\r\n");
		expect_response(&s, (enum sn_headout_body)i, false, wants[i]);
	}
	s.resp = (struct sn_response){.status = 299, .major = 2, .minor = 1};
	s.resp.headers = h2_fields(&s, "\r\n");
	expect_response(&s, SN_HEADOUT_CLOSE, false, "HTTP/1.1 299 \r\nConnection: close\r\n\r\n");
	s.resp = (struct sn_response){.status = 101,
				      .major = 2,
				      .minor = 1,
				      .upgrade = true,
				      .upgrade_to = SN_SLICE("websocket")};
	s.resp.headers = h2_fields(&s, "sec-websocket-protocol: chat\r\n\r\n");
	expect_response(&s, SN_HEADOUT_AS_DECLARED, false,
			"HTTP/1.1 101 Switching Protocols\r\nsec-websocket-protocol: chat\r\n"
			"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
}

static void test_trailers(void **state)
{
	struct source s;
	struct sn_headers hs;
	struct sn_buf out;

	(void)state;
	sn_buf_init(&out, 0);
	hs = h2_fields(&s, "grpc-status: 0\r\nhost: a\r\nx:  y \r\n\r\n");
	s.fields[1].flags = SN_HDR_DROPPED;
	assert_int_equal(sn_headout_trailers(&out, s.head, &hs), 0);
	assert_string_equal(sn_buf_cstr(&out), "grpc-status: 0\r\nx:  y \r\n\r\n");
	free(s.copy);
	sn_buf_reset(&out);
	hs = h2_fields(&s, "\r\n");
	assert_int_equal(sn_headout_trailers(&out, s.head, &hs), 0);
	assert_string_equal(sn_buf_cstr(&out), "\r\n");
	free(s.copy);
	/* All of them added. */
	sn_buf_reset(&out);
	s.fields[0] = (struct sn_header){SN_SLICE("grpc-status"), SN_SLICE("13"), SN_HDR_OTHER, 0};
	hs.n = 1;
	assert_int_equal(sn_headout_trailers(&out, sn_slice("", 0), &hs), 0);
	assert_string_equal(sn_buf_cstr(&out), "grpc-status: 13\r\n\r\n");
	sn_buf_done(&out);
}

/* A ceiling leaves the buffer as it was. */
static void test_no_room(void **state)
{
	struct sn_headers none = {NULL, 0, 0};
	struct source s;
	struct sn_buf out;

	(void)state;
	sn_buf_init(&out, 64);
	assert_int_equal(sn_buf_puts(&out, "kept"), 0);
	h1_request(&s, "GET / HTTP/1.1\r\nHost: x\r\n\r\n");
	assert_int_equal(sn_headout_request(&out, s.head, &s.req, 1), -SN_ETOOBIG);
	free(s.copy);
	h1_response(&s, "HTTP/1.1 200 OK\r\n\r\n", SN_METHOD_GET);
	assert_int_equal(sn_headout_response(&out, s.head, &s.resp, SN_HEADOUT_CLOSE, true),
			 -SN_ETOOBIG);
	free(s.copy);
	assert_int_equal(sn_headout_trailers(&out, SN_SLICE("\r\n"), &none), -SN_ETOOBIG);
	assert_true(out.failed);
	assert_string_equal(sn_buf_cstr(&out), "kept");
	sn_buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_h1_request),  cmocka_unit_test(test_h2_request),
		cmocka_unit_test(test_filters),	    cmocka_unit_test(test_response_filters),
		cmocka_unit_test(test_h1_response), cmocka_unit_test(test_h2_response),
		cmocka_unit_test(test_trailers),    cmocka_unit_test(test_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
