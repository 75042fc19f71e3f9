/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP/2 origin (cleartext, prior knowledge) for the tests: one thread, bounded buffers.
 *   /           a line of text; a request with a body gets it back instead
 *   /echo       the body, and trailers: those that came, x-echo-bytes with the number of octets
 *   /headers    the request's fields as lines
 *   /bytes/N    N octets
 *   /slow/MS    the line after MS milliseconds
 *   /status/N   an empty answer of that status
 * Prints "listening on ADDRESS" once it does. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/num.h"
#include "http/h2.h"
#include "http/url.h"
#include "net/listener.h"
#include "net/stream.h"

#define OUT_BYTES 65536	 /* nothing more is pulled while this much waits to be written */
#define SEND_BYTES 65536 /* per stream */

enum kind { TEXT, ECHO, BYTES };

struct conn {
	struct sn_stream stream;
	struct sn_h2 *h2;
	struct sn_buf out;
	struct sn_task flushing, freeing;
	bool closing;
};

struct call {
	struct sn_h2_stream *s;
	struct conn *c;
	struct sn_timer delay;
	struct sn_task freeing;
	enum kind kind;
	bool body; /* HEAD has none */
	bool with_trailers;
	uint64_t fill; /* octets of /bytes/N still to be made */
	uint64_t n_echoed;
	size_t unconsumed;
};

static struct sn_loop *loop;
static uint32_t max_streams = 100;

static void conn_flush(struct sn_task *t);

static void wake(struct conn *c)
{
	if (!c->closing)
		sn_loop_at_turn_end(loop, &c->flushing, conn_flush);
}

/* --- answers --- */

static void put_head(struct call *call, unsigned status, bool end)
{
	struct sn_header v[] = {
		{SN_SLICE("content-type"), SN_SLICE("text/plain"), SN_HDR_CONTENT_TYPE, 0},
		{SN_SLICE("server"), SN_SLICE("h2-echo"), SN_HDR_SERVER, 0},
	};
	struct sn_response resp = {.status = (uint16_t)status,
				   .headers = {v, SN_ARRAY_LEN(v), SN_ARRAY_LEN(v)}};

	(void)sn_h2_submit_response(call->s, &resp, end || !call->body);
}

static void put_text(struct call *call, unsigned status, struct sn_slice text)
{
	struct iovec iov = {(void *)(uintptr_t)text.p, text.n};

	put_head(call, status, text.n == 0);
	if (text.n == 0 || !call->body)
		return;
	(void)sn_h2_send(call->s, &iov, 1);
	(void)sn_h2_send_end(call->s, NULL);
}

static void fill_more(struct call *call)
{
	static char octets[16384];

	while (call->fill > 0 && sn_h2_wants_more(call->s, SEND_BYTES)) {
		size_t n = call->fill < sizeof(octets) ? (size_t)call->fill : sizeof(octets);
		struct iovec iov = {octets, n};

		if (sn_h2_send(call->s, &iov, 1) != 0)
			return;
		call->fill -= n;
	}
	if (call->fill == 0)
		(void)sn_h2_send_end(call->s, NULL);
}

static void on_delay(struct sn_timer *t, uint64_t now_ms)
{
	struct call *call = sn_container_of(t, struct call, delay);

	(void)now_ms;
	put_text(call, 200, SN_SLICE("all is well\n"));
	wake(call->c);
}

static bool number_behind(struct sn_slice path, struct sn_slice prefix, uint64_t *ret)
{
	return sn_slice_starts(path, prefix) &&
	       sn_num_u64(sn_slice(path.p + prefix.n, path.n - prefix.n), UINT64_C(1) << 40, ret) ==
		       0;
}

static void answer(struct call *call, const struct sn_request *req, struct sn_slice head)
{
	struct sn_slice path, query;
	uint64_t n;

	if (sn_url_path_query(req->path, &path, &query) != 0)
		path = req->path;
	if (sn_slice_eq_cstr(path, "/echo") ||
	    (sn_slice_eq_cstr(path, "/") && !call->s->remote_ended)) {
		call->kind = ECHO;
		call->with_trailers = path.n > 1;
		put_head(call, 200, false);
		if (call->s->remote_ended)
			(void)sn_h2_send_end(call->s, NULL);
	} else if (sn_slice_eq_cstr(path, "/headers")) {
		put_text(call, 200, head);
	} else if (number_behind(path, SN_SLICE("/bytes/"), &n)) {
		call->kind = BYTES;
		call->fill = call->body ? n : 0;
		put_head(call, 200, false);
		fill_more(call);
	} else if (number_behind(path, SN_SLICE("/slow/"), &n)) {
		(void)sn_loop_timer(loop, &call->delay, n);
	} else if (number_behind(path, SN_SLICE("/status/"), &n) && n >= 200 && n <= 999) {
		put_text(call, (unsigned)n, SN_SLICE(""));
	} else {
		put_text(call, 200, SN_SLICE("all is well\n"));
	}
}

/* --- events of a session --- */

static void on_request(struct sn_h2_stream *s, struct sn_request *req, struct sn_slice head)
{
	struct call *call = calloc(1, sizeof(*call));

	s->user = call;
	if (!call) {
		sn_h2_reset(s, SN_H2_INTERNAL_ERROR);
		return;
	}
	call->s = s;
	call->c = sn_h2_user(s->h2);
	sn_timer_init(&call->delay, on_delay);
	call->body = req->method != SN_METHOD_HEAD;
	answer(call, req, head);
}

static void on_data(struct sn_h2_stream *s, struct sn_slice payload)
{
	struct iovec iov = {(void *)(uintptr_t)payload.p, payload.n};
	struct call *call = s->user;

	if (!call || call->kind != ECHO) {
		sn_h2_consume(s, payload.n);
		return;
	}
	call->n_echoed += payload.n;
	call->unconsumed += payload.n;
	if (sn_h2_send(s, &iov, 1) != 0) {
		sn_h2_reset(s, SN_H2_INTERNAL_ERROR);
	} else if (sn_h2_wants_more(s, SEND_BYTES)) {
		sn_h2_consume(s, call->unconsumed);
		call->unconsumed = 0;
	}
}

static void on_drained(struct sn_h2_stream *s)
{
	struct call *call = s->user;

	if (!call)
		return;
	if (call->kind == BYTES) {
		fill_more(call);
		return;
	}
	sn_h2_consume(s, call->unconsumed);
	call->unconsumed = 0;
}

static void on_end(struct sn_h2_stream *s, const struct sn_headers *trailers, struct sn_slice head)
{
	struct call *call = s->user;
	struct sn_header v[64];
	uint32_t n = 0;
	char digits[24];

	(void)head;
	if (!call || call->kind != ECHO)
		return;
	if (!call->with_trailers) {
		(void)sn_h2_send_end(s, NULL);
		return;
	}
	snprintf(digits, sizeof(digits), "%llu", (unsigned long long)call->n_echoed);
	v[n++] = (struct sn_header){SN_SLICE("x-echo-bytes"), sn_slice_cstr(digits), SN_HDR_OTHER,
				    0};
	for (uint32_t i = 0; trailers && i < trailers->n && n < SN_ARRAY_LEN(v); i++)
		v[n++] = trailers->v[i];
	(void)sn_h2_send_end(s, &(struct sn_headers){v, n, n});
}

static void free_call(struct sn_task *t)
{
	free(sn_container_of(t, struct call, freeing));
}

static void on_closed(struct sn_h2_stream *s, uint32_t error, bool unprocessed)
{
	struct call *call = s->user;

	(void)error;
	(void)unprocessed;
	if (!call)
		return;
	sn_loop_timer_cancel(loop, &call->delay);
	sn_loop_defer(loop, &call->freeing, free_call);
}

static const struct sn_h2_events events = {
	.request = on_request,
	.data = on_data,
	.end = on_end,
	.drained = on_drained,
	.closed = on_closed,
};

/* --- connections --- */

static void free_conn(struct sn_task *t)
{
	struct conn *c = sn_container_of(t, struct conn, freeing);

	sn_buf_done(&c->out);
	free(c);
}

static void conn_close(struct conn *c)
{
	if (c->closing)
		return;
	c->closing = true;
	sn_stream_close(&c->stream, false);
	sn_h2_free(c->h2);
	sn_loop_turn_end_cancel(loop, &c->flushing);
	sn_loop_defer(loop, &c->freeing, free_conn);
}

static void conn_flush(struct sn_task *t)
{
	struct conn *c = sn_container_of(t, struct conn, flushing);

	for (;;) {
		struct iovec iov;
		ssize_t n;

		(void)sn_h2_pull(c->h2, &c->out, OUT_BYTES);
		if (sn_buf_len(&c->out) == 0)
			break;
		iov = (struct iovec){c->out.data + c->out.start, sn_buf_len(&c->out)};
		n = sn_stream_writev(&c->stream, &iov, 1);
		if (n == -SN_EAGAIN)
			return;
		if (n < 0) {
			conn_close(c);
			return;
		}
		sn_buf_consume(&c->out, (size_t)n);
	}
	if (sn_h2_is_over(c->h2))
		conn_close(c);
}

static void on_stream(struct sn_stream *st, unsigned events_set)
{
	struct conn *c = sn_container_of(st, struct conn, stream);
	static char buf[32768];

	(void)events_set;
	while (c->stream.may_read) {
		ssize_t n = sn_stream_read(&c->stream, buf, sizeof(buf));

		if (n == -SN_EAGAIN)
			break;
		if (n <= 0) {
			conn_close(c);
			return;
		}
		if (sn_h2_feed(c->h2, sn_slice(buf, (size_t)n), sn_loop_now_ms(loop)) != 0)
			break;
	}
	wake(c);
}

static void on_accept(struct sn_listener *ls, int fd, const struct sn_addr *peer)
{
	struct sn_h2_settings settings = {.max_streams = max_streams,
					  .stream_window = 65535,
					  .connection_window = 1 << 20,
					  .header_bytes = 65536,
					  .header_count = 100};
	struct conn *c = calloc(1, sizeof(*c));

	(void)ls;
	if (c)
		c->h2 = sn_h2_new(SN_H2_SERVER, &settings, &events, c);
	if (!c || !c->h2) {
		close(fd);
		free(c);
		return;
	}
	sn_buf_init(&c->out, 0);
	if (sn_stream_open(&c->stream, loop, fd, peer, on_stream) != 0) {
		sn_h2_free(c->h2);
		free(c);
		return;
	}
	wake(c);
	on_stream(&c->stream, SN_STREAM_READABLE);
}

static void on_signal(int sig)
{
	(void)sig;
	sn_loop_stop(loop);
}

int main(int argc, char **argv)
{
	struct sn_listener listener = {0};
	struct sn_err err = {0};
	struct sn_addr at, local;
	char text[SN_ADDR_TEXT];
	int fd;

	if (argc != 2 && argc != 3) {
		fprintf(stderr, "usage: h2_echo ADDRESS:PORT [MAX-STREAMS]\n");
		return 2;
	}
	if (argc == 3)
		max_streams = (uint32_t)strtoul(argv[2], NULL, 10);
	if (sn_addr_parse(sn_slice_cstr(argv[1]), &at) != 0) {
		fprintf(stderr, "h2_echo: bad address %s\n", argv[1]);
		return 2;
	}
	loop = sn_loop_new(NULL, &err);
	fd = loop ? sn_listener_bind(&at, false, 1024, &local, &err) : -1;
	if (!loop || fd < 0 || sn_listener_start(&listener, loop, fd, on_accept) != 0) {
		fprintf(stderr, "h2_echo: %s\n", err.msg);
		return 1;
	}
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	printf("listening on %s\n", sn_addr_format(&local, text));
	fflush(stdout);
	sn_loop_run(loop);
	return 0;
}
