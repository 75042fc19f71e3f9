/* SPDX-License-Identifier: Apache-2.0 */
/* Whole messages, head, body and trailers, read as a connection reads them: where one ends decides
 * where the next begins. Every rule of framing (RFC 9112 6 and 7, on the strict side) in one table,
 * each input whole, in two parts cut at every place, and octet by octet, with every level of the
 * character scans; the outcome is one and the same. */
#include "tests/unit/http/heads.h"

static const struct sn_h1_limits limits = {
	.head_bytes = 2048, .header_count = 20, .request_line_bytes = 512};

enum phase { HEAD, BODY, TRAILERS, OVER };

/* A connection's reading side. What has come and is not used up lies in a block of its own. */
struct reader {
	bool response;
	enum sn_method asked;
	enum phase phase;
	size_t used, scanned;
	struct sn_h1_body body;
	char out[512];
	size_t n_out;
};

static void say(struct reader *r, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct reader *r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	r->n_out += (size_t)vsnprintf(r->out + r->n_out, sizeof(r->out) - r->n_out, fmt, ap);
	va_end(ap);
	assert_true(r->n_out < sizeof(r->out));
}

/* A refusal stands for the message, whatever of it went before. */
static void refused(struct reader *r, const char *reason)
{
	r->n_out = 0;
	say(r, "refused: %s", reason);
	r->phase = OVER;
}

static size_t read_head(struct reader *r, struct sn_slice in)
{
	struct sn_header fields[20];
	struct sn_request req = {.headers = {fields, 0, 20}};
	struct sn_response resp = {.headers = {fields, 0, 20}};
	struct sn_h1_refusal why;
	int rc = r->response ? sn_h1_parse_response(in, &r->scanned, &limits, r->asked, &resp, &why)
			     : sn_h1_parse_request(in, &r->scanned, &limits, &req, &why);

	if (rc == -SN_EMORE)
		return 0;
	if (rc < 0) {
		refused(r, why.reason);
		return 0;
	}
	if (r->response) {
		say(r, "%u%s:", resp.status, resp.keep_alive ? "" : " close");
		sn_h1_body_init(&r->body, resp.framing, resp.content_length);
	} else {
		say(r, "%s%s:", sn_method_name(req.method), req.keep_alive ? "" : " close");
		sn_h1_body_init(&r->body, req.framing, req.content_length);
	}
	r->phase = BODY;
	return (size_t)rc;
}

static size_t read_body(struct reader *r, struct sn_slice in)
{
	struct sn_slice run;
	ptrdiff_t used = sn_h1_body_feed(&r->body, in, &run);

	if (used < 0) {
		refused(r, "body");
		return 0;
	}
	say(r, "%.*s", SN_ARG(run));
	if (r->body.at_trailers)
		r->phase = TRAILERS;
	return (size_t)used;
}

static size_t read_trailers(struct reader *r, struct sn_slice in)
{
	struct sn_header fields[20];
	struct sn_headers hs = {fields, 0, 20};
	int rc = sn_h1_parse_trailers(in, &r->scanned, &r->body, &hs);

	if (rc == -SN_EMORE)
		return 0;
	if (rc < 0) {
		refused(r, "trailers");
		return 0;
	}
	for (uint32_t i = 0; i < hs.n; i++)
		say(r, " %.*s=%.*s%s", SN_ARG(hs.v[i].name), SN_ARG(hs.v[i].value),
		    hs.v[i].flags & SN_HDR_DROPPED ? "?" : "");
	return (size_t)rc;
}

/* @in has come up to @arrived. */
static void read_up_to(struct reader *r, const char *in, size_t arrived)
{
	enum phase before;
	size_t n;

	do {
		char *copy = exact_copy(in + r->used, arrived - r->used);
		struct sn_slice rest = sn_slice(copy, arrived - r->used);

		before = r->phase;
		n = r->phase == HEAD	   ? read_head(r, rest)
		    : r->phase == BODY	   ? read_body(r, rest)
		    : r->phase == TRAILERS ? read_trailers(r, rest)
					   : 0;
		r->used += n;
		if ((r->phase == BODY || r->phase == TRAILERS) && r->body.done)
			r->phase = OVER;
		free(copy);
	} while (r->phase != OVER && (n > 0 || r->phase != before));
}

struct message {
	const char *in;
	size_t n;
	const char
		*want; /* "refused: why", or "what:payload trailers +rest", " ..." if unfinished */
};

/* @cut: where the first part ends; 0: octet by octet. */
static void check_parts(const struct message *m, bool response, enum sn_method asked, size_t cut)
{
	struct reader r = {.response = response, .asked = asked};

	for (size_t n = cut ? cut : 1; n < m->n; n = cut ? m->n : n + 1)
		read_up_to(&r, m->in, n);
	read_up_to(&r, m->in, m->n);
	if (r.phase != OVER)
		say(&r, " ...");
	else if (strncmp(r.out, "refused", 7) != 0)
		say(&r, " +%zu", m->n - r.used);
	if (strcmp(r.out, m->want) != 0)
		print_error("part of %zu: %s\n", cut, m->in);
	assert_string_equal(r.out, m->want);
}

static void check_messages(const struct message *m, size_t n, bool response, enum sn_method asked)
{
	const struct sn_char_scan *best = sn_char_scan_now;

	for (int level = SN_CHAR_SCALAR; level <= SN_CHAR_AVX2; level++) {
		const struct sn_char_scan *s = sn_char_scan_at((enum sn_char_level)level);

		sn_char_scan_now = s ? s : best;
		for (size_t i = 0; s && i < n; i++)
			for (size_t cut = 0; cut <= m[i].n; cut++)
				check_parts(&m[i], response, asked, cut);
	}
	sn_char_scan_now = best;
}

#define POST "POST / HTTP/1.1\r\nHost: a\r\n"
#define CHUNKED POST "Transfer-Encoding: chunked\r\n\r\n"

static void test_requests(void **state)
{
	static const struct message rows[] = {
		/* where a message ends */
		{IN("GET / HTTP/1.1\r\nHost: a\r\n\r\nGET"), "GET: +3"},
		{IN("GET / HTTP/1.0\r\n\r\nabc"), "GET close: +3"},
		{IN(POST "\r\nabc"), "POST: +3"},
		{IN(POST "Content-Length: 0\r\n\r\nabc"), "POST: +3"},
		{IN(POST "Content-Length: 2\r\n\r\nabc"), "POST:ab +1"},
		{IN(POST "Content-Length: 4\r\n\r\nabc"), "POST:abc ..."},
		{IN(CHUNKED "2\r\nab\r\n1;x=\"y\"\r\nc\r\n0\r\n\r\nabc"), "POST:abc +3"},
		{IN(CHUNKED "2\r\nab\r\n0\r\nX: y\r\nHost: b\r\n\r\nabc"),
		 "POST:ab X=y Host=b? +3"},
		{IN(CHUNKED "000000000000001\r\na\r\n00\r\n\r\n"), "POST:a +0"},
		{IN(CHUNKED "2\r\nab\r\n0\r\n"), "POST:ab ..."},
		{IN(CHUNKED "2\r\nab\r\n0\r\nX: y\r\n"), "POST:ab ..."},
		/* Content-Length with Transfer-Encoding, whichever is first */
		{IN(POST "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		 "refused: two-framings"},
		{IN(POST "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
		 "refused: two-framings"},
		{IN(POST "Transfer-Encoding: identity\r\nContent-Length: 1\r\n\r\na"),
		 "refused: two-framings"},
		/* Transfer-Encoding */
		{IN(POST "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 "refused: two-transfer-encodings"},
		{IN(POST "Transfer-Encoding: gzip\r\ntransfer-encoding: chunked\r\n\r\n"),
		 "refused: two-transfer-encodings"},
		{IN(POST "Transfer-Encoding: chunked, gzip\r\n\r\n"),
		 "refused: bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding: chunked, chunked\r\n\r\n"),
		 "refused: bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding: new\r\n\r\n"), "refused: unknown-coding"},
		{IN(POST "Transfer-Encoding: \x0b"
			 "chunked\r\n\r\n"),
		 "refused: bad-header-value"},
		{IN("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
		 "refused: bad-transfer-encoding"},
		{IN(POST "Transfer-Encoding : chunked\r\n\r\n"), "refused: bad-header-name"},
		{IN(POST "X: y\r\n Transfer-Encoding: chunked\r\n\r\n"), "refused: obs-fold"},
		/* Content-Length */
		{IN(POST "Content-Length: 1\r\nContent-Length: 1\r\n\r\na"),
		 "refused: two-content-lengths"},
		{IN(POST "Content-Length: 1,1\r\n\r\na"), "refused: bad-content-length"},
		{IN(POST "Content-Length: +1\r\n\r\na"), "refused: bad-content-length"},
		{IN(POST "Content-Length: -1\r\n\r\na"), "refused: bad-content-length"},
		{IN(POST "Content-Length: 1 1\r\n\r\na"), "refused: bad-content-length"},
		{IN(POST "Content-Length: \r\n\r\na"), "refused: bad-content-length"},
		{IN(POST "Content-Length: 9223372036854775808\r\n\r\na"),
		 "refused: bad-content-length"},
		{IN(POST "Content-Length: 9223372036854775807\r\n\r\na"), "POST:a ..."},
		/* chunk sizes */
		{IN(CHUNKED "0x2\r\nab\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "+2\r\nab\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "-2\r\nab\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "1_0\r\nab\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED " 2\r\nab\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "00000000000000002\r\nab\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "2\nab\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "2\rab\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "2;x\nab\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "2;x\ry\r\nab\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "2\r\nab0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "2\r\nab\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "2\r\nabc\r\n0\r\n\r\n"), "refused: body"},
		{IN(CHUNKED "ffffffffffffffff\r\nab"), "refused: body"},
		{IN(CHUNKED "\r\n\r\n"), "refused: body"},
		/* trailers */
		{IN(CHUNKED "0\r\n\n"), "refused: trailers"},
		{IN(CHUNKED "0\r\nX : y\r\n\r\n"), "refused: trailers"},
		{IN(CHUNKED "0\r\nX: y\r\n z\r\n\r\n"), "refused: trailers"},
		{IN(CHUNKED "0\r\nX: y\n\r\n"), "refused: trailers"},
		{IN(CHUNKED "0\r\nX: \0\r\n\r\n"), "refused: trailers"},
		{IN(CHUNKED "0\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), "refused: trailers"},
		/* a request of another kind */
		{IN("GET /\r\n\r\n"), "refused: bad-request-line"},
		{IN("GET / HTTP/2.0\r\nHost: a\r\n\r\n"), "refused: version-unsupported"},
		{IN("\x16\x03\x01\x00\xa5\x01\r\n"), "refused: bad-request-line"},
		{IN("GET / HTTP/1.1\r\n\r\n"), "refused: no-host"},
		{IN("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n"), "refused: two-hosts"},
		{IN("GET / HTTP/1.1\r\nHost: a b\r\n\r\n"), "refused: bad-host"},
	};

	(void)state;
	check_messages(rows, SN_ARRAY_LEN(rows), false, SN_METHOD_OTHER);
}

#define OK "HTTP/1.1 200 OK\r\n"

static void test_responses(void **state)
{
	static const struct message rows[] = {
		{IN(OK "Content-Length: 2\r\n\r\nabc"), "200:ab +1"},
		{IN(OK "Content-Length: 4\r\n\r\nabc"), "200:abc ..."},
		{IN(OK "\r\nabc"), "200 close:abc ..."},
		{IN(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nA: b\r\n\r\nHTTP"),
		 "200:abc A=b +4"},
		{IN("HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\nabc"), "204: +3"},
		{IN("HTTP/1.1 304 Same\r\nTransfer-Encoding: chunked\r\n\r\nabc"), "304: +3"},
		{IN("HTTP/1.1 103 Hints\r\nLink: a\r\n\r\n" OK), "103: +17"},
		{IN(OK "Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 "refused: two-framings"},
		{IN(OK "Content-Length: 2\r\nContent-Length: 2\r\n\r\nab"),
		 "refused: two-content-lengths"},
		{IN(OK "Transfer-Encoding: chunked\r\n\r\n3\r\nabcd\r\n"), "refused: body"},
		{IN(OK "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n"), "refused: body"},
		{IN(OK OK "\r\n"), "refused: bad-header-name"},
		{IN("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
		 "refused: bad-transfer-encoding"},
	};
	static const struct message head_rows[] = {
		{IN(OK "Content-Length: 2\r\n\r\nabc"), "200: +3"},
		{IN(OK "Transfer-Encoding: chunked\r\n\r\nabc"), "200: +3"},
	};

	(void)state;
	check_messages(rows, SN_ARRAY_LEN(rows), true, SN_METHOD_GET);
	check_messages(head_rows, SN_ARRAY_LEN(head_rows), true, SN_METHOD_HEAD);
}

/* One octet of any kind in the middle of a name, a value and a target: it passes by its class and
 * by nothing else. */
static void test_every_octet(void **state)
{
	static const struct {
		const char *before, *after;
		unsigned classes;
		const char *also, *why;
	} places[] = {
		{POST "X-Na", "me: value\r\n\r\n", SN_CH_TOKEN, ":", "bad-header-name"},
		{POST "Name: va", "lue\r\nOther: value\r\n\r\n", SN_CH_VALUE, "",
		 "bad-header-value"},
		{"POST /ta", "rget HTTP/1.1\r\nHost: a\r\n\r\n", SN_CH_TARGET, "", "bad-target"},
	};

	(void)state;
	for (unsigned i = 0; i < 256 * SN_ARRAY_LEN(places); i++) {
		char c = (char)(i & 255), in[128], want[64];
		size_t at = strlen(places[i >> 8].before);
		struct message m = {in, at + 1 + strlen(places[i >> 8].after), want};
		bool good = sn_char_is(c, places[i >> 8].classes) ||
			    (c && strchr(places[i >> 8].also, c));
		const char *why = places[i >> 8].why;

		memcpy(in, places[i >> 8].before, at);
		in[at] = c;
		strcpy(in + at + 1, places[i >> 8].after);
		/* The line ends, or the target does, and what follows is wrong. */
		if (i >> 8 == 2 && c == ' ')
			why = "bad-version";
		else if (i >> 8 == 2 && (c == '\r' || c == '\n'))
			why = "bad-request-line";
		snprintf(want, sizeof(want), "%s%s",
			 good ? "POST: +0" : "refused: ", good ? "" : why);
		check_messages(&m, 1, false, SN_METHOD_OTHER);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_requests),
		cmocka_unit_test(test_responses),
		cmocka_unit_test(test_every_octet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
