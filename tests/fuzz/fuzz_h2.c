/* SPDX-License-Identifier: Apache-2.0 */
/* A session of either role fed anything. The head that it delivers is written as an HTTP/1 head and
 * parsed again: both readings must be the same, or somebody behind us reads it another way. */
#include "tests/fuzz/h1_feed.h"

#include "base/buf.h"
#include "http/h2.h"
#include "http/headout.h"

#define LIMIT_STREAMS 8

static uint8_t answers; /* bits that decide how requests are answered */
static unsigned n_events;
static bool is_client;

static bool is_kept(const struct sn_header *h)
{
	return !(h->flags & (SN_HDR_HOP | SN_HDR_DROPPED)) && h->id != SN_HDR_HOST;
}

static void compare_fields(const struct sn_headers *a, const struct sn_headers *b)
{
	uint32_t i = 0, j = 0;

	for (;;) {
		while (i < a->n && !is_kept(&a->v[i]))
			i++;
		while (j < b->n && !is_kept(&b->v[j]))
			j++;
		if (i == a->n || j == b->n)
			break;
		CHECK(sn_slice_eq(a->v[i].name, b->v[j].name));
		CHECK(sn_slice_eq(a->v[i].value, b->v[j].value));
		CHECK(a->v[i].id == b->v[j].id);
		i++;
		j++;
	}
	CHECK(i == a->n && j == b->n);
}

static void check_round_trip(const struct sn_request *req, struct sn_slice head)
{
	static const struct sn_h1_limits wide = {
		.head_bytes = 65536, .header_count = 200, .request_line_bytes = 32768};
	struct sn_header v[200];
	struct sn_request again = {.headers = {v, 0, 200}};
	struct sn_h1_refusal refusal;
	size_t scanned = 0;
	struct sn_buf out;
	int n;

	sn_buf_init(&out, 0);
	CHECK(sn_headout_request(&out, head, req, req->headers.n) == 0);
	n = sn_h1_parse_request(sn_buf_slice(&out), &scanned, &wide, &again, &refusal);
	CHECK(n > 0 && (size_t)n == sn_buf_len(&out));
	CHECK(req->upgrade == again.upgrade);
	if (req->upgrade) /* extended CONNECT is GET in HTTP/1 */
		CHECK(again.method == SN_METHOD_GET &&
		      sn_slice_ieq(req->upgrade_to, again.upgrade_to));
	else
		CHECK(sn_slice_eq(req->method_text, again.method_text) &&
		      req->method == again.method);
	CHECK(sn_slice_eq(req->path, again.path));
	CHECK(sn_slice_eq(req->authority, again.authority));
	CHECK(req->content_length == again.content_length);
	CHECK(req->framing == again.framing ||
	      (req->framing == SN_FRAMING_NONE && again.framing == SN_FRAMING_LENGTH &&
	       again.content_length == 0));
	CHECK(req->expect_continue == again.expect_continue);
	CHECK(again.keep_alive);
	compare_fields(&req->headers, &again.headers);
	sn_buf_done(&out);
}

static void on_request(struct sn_h2_stream *s, struct sn_request *req, struct sn_slice head)
{
	struct sn_response resp = {.status = 200};
	struct iovec iov = {(void *)(uintptr_t) "body", 4};

	n_events++;
	CHECK(s->user == NULL && s->id % 2 == 1);
	s->user = s;
	for (uint32_t i = 0; i < req->headers.n; i++) {
		check_inside(head, req->headers.v[i].name);
		check_inside(head, req->headers.v[i].value);
	}
	if (req->method != SN_METHOD_CONNECT)
		check_round_trip(req, head);
	if (answers & 1)
		(void)sn_h2_submit_response(s, &resp, false);
	if ((answers & 3) == 3)
		(void)sn_h2_send(s, &iov, 1);
	if ((answers & 5) == 5)
		(void)sn_h2_send_end(s, answers & 8 ? &req->headers : NULL);
	if (answers & 16)
		sn_h2_reset(s, answers & 32 ? SN_H2_NO_ERROR : SN_H2_CANCEL);
}

static void check_response_round_trip(const struct sn_response *resp, struct sn_slice head,
				      enum sn_method method)
{
	static const struct sn_h1_limits wide = {
		.head_bytes = 65536, .header_count = 200, .request_line_bytes = 32768};
	bool chunked = resp->framing == SN_FRAMING_CHUNKED;
	struct sn_header v[200];
	struct sn_response again = {.headers = {v, 0, 200}};
	struct sn_h1_refusal refusal;
	size_t scanned = 0;
	struct sn_buf out;
	int n;

	sn_buf_init(&out, 0);
	CHECK(sn_headout_response(&out, head, resp, chunked, false) == 0);
	n = sn_h1_parse_response(sn_buf_slice(&out), &scanned, &wide, method, &again, &refusal);
	CHECK(n > 0 && (size_t)n == sn_buf_len(&out));
	CHECK(resp->status == again.status && !again.upgrade);
	/* Without a body and without a length HTTP/1 reads until the end; then the proxy adds one.
	 */
	CHECK(resp->framing == again.framing || resp->framing == SN_FRAMING_NONE);
	CHECK(resp->framing != SN_FRAMING_LENGTH || resp->content_length == again.content_length);
	sn_buf_done(&out);
}

static void on_response(struct sn_h2_stream *s, struct sn_response *resp, struct sn_slice head)
{
	n_events++;
	CHECK(s->user == NULL || s->user == s);
	CHECK(!s->head_done || resp->status >= 200);
	s->user = s;
	if (!resp->upgrade)
		check_response_round_trip(resp, head, s->id == 3 ? SN_METHOD_HEAD : SN_METHOD_POST);
	if (answers & 16)
		sn_h2_reset(s, SN_H2_CANCEL);
}

static void on_data(struct sn_h2_stream *s, struct sn_slice payload)
{
	struct iovec iov = {(void *)(uintptr_t)payload.p, payload.n};

	n_events++;
	CHECK(s->user == s && !s->remote_ended && s->head_done);
	if (answers & 64)
		(void)sn_h2_send(s, &iov, 1);
	sn_h2_consume(s, payload.n);
}

static void on_end(struct sn_h2_stream *s, const struct sn_headers *trailers, struct sn_slice head)
{
	n_events++;
	CHECK(s->user == s && s->remote_ended);
	for (uint32_t i = 0; trailers && i < trailers->n; i++)
		check_inside(head, trailers->v[i].name);
	(void)sn_h2_send_end(s, trailers);
}

static void on_closed(struct sn_h2_stream *s, uint32_t error, bool unprocessed)
{
	n_events++;
	if (is_client) {
		CHECK(error != 0 || (s->remote_ended && s->user == s));
		return;
	}
	CHECK(s->user == s);
	/* Our own NO_ERROR behind a whole answer is an orderly end as well. */
	CHECK(error != 0 || s->remote_ended || (answers & 48) == 48);
	CHECK(!unprocessed);
}

static const struct sn_h2_events events = {.request = on_request,
					   .response = on_response,
					   .data = on_data,
					   .end = on_end,
					   .closed = on_closed};

/* What goes out is whole frames. */
static void pull(struct sn_h2 *h2, struct sn_buf *out)
{
	struct sn_slice s;

	(void)sn_h2_pull(h2, out, 65536);
	s = sn_buf_slice(out);
	while (s.n > 0) {
		const uint8_t *o = (const uint8_t *)s.p;
		size_t n = s.n < 9 ? 0 : (size_t)(o[0] << 16 | o[1] << 8 | o[2]);

		CHECK(s.n >= 9 && s.n >= 9 + n && n <= 16384);
		s.p += 9 + n;
		s.n -= 9 + n;
	}
	sn_buf_reset(out);
}

static void hpack_string(struct sn_buf *b, struct sn_slice s)
{
	size_t n = s.n < 126 ? s.n : 126;

	sn_buf_putc(b, (char)n);
	sn_buf_append(b, s.p, n);
}

/* "name=value" pieces behind one another, ended by octet 10, as literals. */
static void put_fields(struct sn_buf *b, struct sn_slice text)
{
	while (text.n > 0) {
		struct sn_slice line = sn_slice_cut(&text, '\n');
		struct sn_slice name = sn_slice_cut(&line, '=');

		sn_buf_putc(b, 0);
		hpack_string(b, name);
		hpack_string(b, line);
	}
}

/* Frames whose lengths are right: type, flags, stream, length, payload. Type 0xf1: HEADERS whose
 * payload is text; 0xf2: behind an ordinary request's pseudo-header fields. */
static void put_frames(struct sn_buf *b, struct sn_slice in)
{
	while (in.n >= 4) {
		const uint8_t *o = (const uint8_t *)in.p;
		size_t n = o[3] < in.n - 4 ? o[3] : in.n - 4;
		struct sn_slice payload = sn_slice(in.p + 4, n);
		uint8_t type = o[0] >= 0xf0 ? 1 : o[0];
		struct sn_buf block;

		sn_buf_init(&block, 0);
		if (o[0] == 0xf2)
			put_fields(&block, SN_SLICE(":method=POST\n:scheme=http\n:path=/\n"
						    ":authority=a\n"));
		if (o[0] >= 0xf0)
			put_fields(&block, payload);
		else
			sn_buf_append(&block, payload.p, payload.n);
		sn_buf_putc(b, (char)(sn_buf_len(&block) >> 16));
		sn_buf_putc(b, (char)(sn_buf_len(&block) >> 8));
		sn_buf_putc(b, (char)sn_buf_len(&block));
		sn_buf_putc(b, (char)type);
		sn_buf_putc(b, (char)o[1]);
		sn_buf_append(b, "\0\0\0", 3);
		sn_buf_putc(b, (char)o[2]);
		sn_buf_append(b, sn_buf_slice(&block).p, sn_buf_len(&block));
		sn_buf_done(&block);
		in.p += 4 + n;
		in.n -= 4 + n;
	}
}

/* Something to answer: with a body to come, HEAD, a tunnel. */
static void ask(struct sn_h2 *h2)
{
	struct sn_request req = {.method = SN_METHOD_POST,
				 .method_text = SN_SLICE("POST"),
				 .path = SN_SLICE("/"),
				 .authority = SN_SLICE("a")};
	struct iovec iov = {(void *)(uintptr_t) "body", 4};
	struct sn_h2_stream *s;

	CHECK(sn_h2_submit_request(h2, &req, false, NULL, &s) == 0);
	(void)sn_h2_send(s, &iov, 1);
	if (answers & 1)
		(void)sn_h2_send_end(s, NULL);
	req.method = SN_METHOD_HEAD;
	req.method_text = SN_SLICE("HEAD");
	CHECK(sn_h2_submit_request(h2, &req, true, NULL, &s) == 0);
	req.upgrade = true;
	req.upgrade_to = SN_SLICE("websocket");
	CHECK(sn_h2_submit_request(h2, &req, false, NULL, &s) == 0);
}

/* Returns the number of events. */
static unsigned run(struct sn_slice in, size_t step)
{
	struct sn_h2_settings settings = {.max_streams = LIMIT_STREAMS,
					  .stream_window = 1000,
					  .connection_window = 100000,
					  .header_bytes = 3000,
					  .header_count = 30};
	struct sn_h2 *h2 =
		sn_h2_new(is_client ? SN_H2_CLIENT : SN_H2_SERVER, &settings, &events, NULL);
	struct sn_buf out;
	uint64_t now_ms = 1;
	int rc = 0;

	CHECK(h2);
	n_events = 0;
	sn_buf_init(&out, 0);
	if (is_client) {
		ask(h2);
		(void)sn_h2_pull(h2, &out, 65536);
		sn_buf_reset(&out);
	}
	while (in.n > 0 && rc == 0) {
		size_t n = in.n < step ? in.n : step;
		char *copy = exact_copy(in.p, n);

		rc = sn_h2_feed(h2, sn_slice(copy, n), now_ms++);
		free(copy);
		CHECK(rc == 0 || (rc != -SN_ENOMEM && sn_h2_failure(h2)));
		CHECK(sn_h2_n_streams(h2) <= LIMIT_STREAMS);
		if (answers & 128 || step == SIZE_MAX)
			pull(h2, &out);
		in.p += n;
		in.n -= n;
	}
	pull(h2, &out);
	CHECK(rc == 0 || sn_h2_is_over(h2));
	sn_h2_free(h2);
	sn_buf_done(&out);
	return n_events;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0";
	struct sn_slice in;
	struct sn_buf bytes;

	if (n < 2)
		return 0;
	sn_buf_init(&bytes, 0);
	in = sn_slice((const char *)data + 2, n - 2);
	answers = data[1];
	is_client = data[0] & 4;
	if (data[0] & 1 && is_client)
		sn_buf_append(&bytes, preface + 24, sizeof(preface) - 1 - 24);
	else if (data[0] & 1)
		sn_buf_append(&bytes, preface, sizeof(preface) - 1);
	if (data[0] & 2)
		put_frames(&bytes, in);
	else
		sn_buf_append(&bytes, in.p, in.n);
	(void)run(sn_buf_slice(&bytes), SIZE_MAX);
	(void)run(sn_buf_slice(&bytes), 1 + data[0] / 8);
	sn_buf_done(&bytes);
	return 0;
}
