/* SPDX-License-Identifier: Apache-2.0 */
/* A small HTTP/1.1 service for the demo and the tests: one thread, keep-alive, bounded buffers.
 *   any path    200, the service's name as text
 *   /healthz    200, never delayed, never failing
 *   /headers    the request's head as it came
 *   /bytes/N    N octets
 *   /echo       the request's body (as every path with --echo)
 * Every answer names the service in x-served-by. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/list.h"
#include "base/num.h"
#include "http/h1.h"
#include "http/url.h"
#include "net/listener.h"
#include "net/stream.h"

#define HEAD_MAX 65536
#define OUT_MAX 65536 /* nothing is read or made while more than this waits to be written */
#define FIELDS_MAX 128

enum phase { HEAD, BODY, DELAYED, FILL };
enum kind { NAME, HEADERS, BYTES, ECHO, FAILURE };

struct conn {
	struct sn_stream stream;
	struct sn_list link;
	struct sn_task freeing;
	struct sn_timer delay;
	struct sn_buf in, out;
	struct sn_h1_body body;
	size_t scanned;
	enum phase phase;
	enum kind kind;
	uint64_t fill;	/* octets of /bytes/N still to be made */
	bool no_body;	/* HEAD */
	bool chunked;	/* the echo goes out in chunks */
	bool last;	/* close behind this answer */
	bool reply_now; /* /healthz */
	size_t head_bytes;
};

static struct {
	struct sn_addr at;
	const char *name;
	uint64_t delay_ms, jitter_ms, fail_percent;
	bool echo;
} opt = {.name = "sample"};

static struct sn_loop *loop;
static struct sn_list conns;
static struct sn_rng rng;
static const struct sn_h1_limits limits = {
	.head_bytes = HEAD_MAX, .header_count = FIELDS_MAX, .request_line_bytes = HEAD_MAX / 2};

static void conn_run(struct conn *c);

static void free_conn(struct sn_task *t)
{
	struct conn *c = sn_container_of(t, struct conn, freeing);

	sn_buf_done(&c->in);
	sn_buf_done(&c->out);
	free(c);
}

static void conn_close(struct conn *c, bool reset)
{
	sn_loop_timer_cancel(loop, &c->delay);
	sn_stream_close(&c->stream, reset);
	sn_list_del(&c->link);
	sn_loop_defer(loop, &c->freeing, free_conn);
}

static void put_head(struct conn *c, unsigned status, const char *framing)
{
	sn_buf_printf(&c->out,
		      "HTTP/1.1 %u %s\r\nx-served-by: %s\r\ncontent-type: text/plain\r\n%s%s\r\n",
		      status, sn_status_reason(status), opt.name, framing,
		      c->last ? "connection: close\r\n" : "");
}

static void put_sized_head(struct conn *c, unsigned status, uint64_t n)
{
	char framing[64];

	snprintf(framing, sizeof(framing), "content-length: %llu\r\n", (unsigned long long)n);
	put_head(c, status, framing);
}

static void put_text(struct conn *c, unsigned status, struct sn_slice text)
{
	put_sized_head(c, status, text.n);
	if (!c->no_body)
		sn_buf_append(&c->out, text.p, text.n);
}

/* What a request asks for, by its path. */
static void classify(struct conn *c, const struct sn_request *req)
{
	struct sn_slice path, query;

	c->kind = opt.echo ? ECHO : NAME;
	c->reply_now = false;
	if (sn_url_path_query(req->path, &path, &query) != 0)
		return;
	if (sn_slice_eq_cstr(path, "/healthz")) {
		c->reply_now = true;
		c->kind = NAME;
		return;
	}
	if (sn_slice_eq_cstr(path, "/headers"))
		c->kind = HEADERS;
	else if (sn_slice_eq_cstr(path, "/echo"))
		c->kind = ECHO;
	else if (sn_slice_starts(path, SN_SLICE("/bytes/")) &&
		 sn_num_u64(sn_slice(path.p + 7, path.n - 7), UINT64_C(1) << 40, &c->fill) == 0)
		c->kind = BYTES;
	if (opt.fail_percent > sn_rng_below(&rng, 100))
		c->kind = FAILURE;
}

/* The echo's head goes out before the body has come: that is what makes it an echo. */
static void begin_echo(struct conn *c, const struct sn_request *req)
{
	char framing[64] = "transfer-encoding: chunked\r\n";

	c->chunked = req->framing == SN_FRAMING_CHUNKED && req->minor >= 1;
	if (!c->chunked)
		snprintf(framing, sizeof(framing), "content-length: %llu\r\n",
			 (unsigned long long)req->content_length);
	put_head(c, 200, framing);
}

static void refuse(struct conn *c, const struct sn_h1_refusal *why)
{
	c->last = true;
	c->no_body = false;
	put_text(c, why->status, sn_slice_cstr(why->reason));
	c->phase = FILL;
	c->fill = 0;
}

/* True when a whole head was there. */
static bool read_head(struct conn *c)
{
	struct sn_header fields[FIELDS_MAX];
	struct sn_request req = {.headers = {fields, 0, FIELDS_MAX}};
	struct sn_h1_refusal why;
	int n = sn_h1_parse_request(sn_buf_slice(&c->in), &c->scanned, &limits, &req, &why);

	if (n == -SN_EMORE)
		return false;
	if (n < 0) {
		refuse(c, &why);
		return true;
	}
	c->last = !req.keep_alive;
	c->no_body = req.method == SN_METHOD_HEAD;
	c->fill = 0;
	classify(c, &req);
	sn_h1_body_init(&c->body, req.framing, req.content_length);
	if (req.expect_continue && !c->body.done)
		sn_buf_puts(&c->out, "HTTP/1.1 100 Continue\r\n\r\n");
	if (c->kind == ECHO)
		begin_echo(c, &req);
	if (c->kind == HEADERS)
		put_text(c, 200, sn_slice(sn_buf_slice(&c->in).p, (size_t)n));
	sn_buf_consume(&c->in, (size_t)n);
	c->phase = BODY;
	return true;
}

static void echo_run(struct conn *c, struct sn_slice run)
{
	char head[20];

	if (c->kind != ECHO || c->no_body || run.n == 0)
		return;
	if (c->chunked)
		sn_buf_append(&c->out, head, sn_h1_chunk_head(run.n, head));
	sn_buf_append(&c->out, run.p, run.n);
	if (c->chunked)
		sn_buf_puts(&c->out, "\r\n");
}

/* Trailer fields are read and dropped. Returns their length, 0 when more has to come, or an error.
 */
static ptrdiff_t feed_trailers(struct conn *c)
{
	struct sn_header fields[SN_TRAILERS_MAX];
	struct sn_headers hs = {.v = fields, .cap = SN_TRAILERS_MAX};
	int used = sn_h1_parse_trailers(sn_buf_slice(&c->in), &c->scanned, &c->body, &hs);

	if (used > 0)
		c->scanned = 0;
	return used == -SN_EMORE ? 0 : used;
}

/* True when the body is complete. */
static bool read_body(struct conn *c)
{
	while (!c->body.done && sn_buf_len(&c->out) < OUT_MAX) {
		struct sn_slice run = {0};
		ptrdiff_t used = 0;

		if (!c->body.at_trailers)
			used = sn_h1_body_feed(&c->body, sn_buf_slice(&c->in), &run);
		if (used == 0 && c->body.at_trailers)
			used = feed_trailers(c);
		if (used < 0) {
			conn_close(c, true);
			return false;
		}
		if (used == 0)
			return false;
		echo_run(c, run);
		sn_buf_consume(&c->in, (size_t)used);
	}
	if (!c->body.done)
		return false;
	if (c->kind == ECHO && c->chunked && !c->no_body)
		sn_buf_puts(&c->out, "0\r\n\r\n");
	return true;
}

static void answer(struct conn *c)
{
	char line[160];

	c->phase = FILL;
	switch (c->kind) {
	case NAME:
		snprintf(line, sizeof(line), "%s\n", opt.name);
		put_text(c, 200, sn_slice_cstr(line));
		break;
	case FAILURE:
		put_text(c, 500, SN_SLICE("failing on request\n"));
		c->fill = 0;
		break;
	case BYTES:
		put_sized_head(c, 200, c->fill);
		if (c->no_body)
			c->fill = 0;
		break;
	default:
		break;
	}
}

static void on_delay(struct sn_timer *t, uint64_t now_ms)
{
	struct conn *c = sn_container_of(t, struct conn, delay);

	(void)now_ms;
	answer(c);
	conn_run(c);
}

static void begin_answer(struct conn *c)
{
	uint64_t ms = opt.delay_ms;

	if (opt.jitter_ms > 0) {
		uint64_t j = sn_rng_below(&rng, (uint32_t)(2 * opt.jitter_ms + 1));

		ms = ms + j > opt.jitter_ms ? ms + j - opt.jitter_ms : 0;
	}
	if (ms > 0 && !c->reply_now && sn_loop_timer(loop, &c->delay, ms) == 0)
		c->phase = DELAYED;
	else
		answer(c);
}

/* Makes the octets of /bytes/N as they are taken. */
static void fill(struct conn *c)
{
	static const char text[] =
		"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ-\n";

	while (c->fill > 0 && sn_buf_len(&c->out) < OUT_MAX) {
		size_t n = c->fill < sizeof(text) - 1 ? (size_t)c->fill : sizeof(text) - 1;

		sn_buf_append(&c->out, text, n);
		c->fill -= n;
	}
}

/* False when the connection is gone. */
static bool flush(struct conn *c)
{
	while (sn_buf_len(&c->out) > 0 && c->stream.may_write) {
		struct sn_slice s = sn_buf_slice(&c->out);
		struct iovec iov = {(void *)(uintptr_t)s.p, s.n};
		ssize_t n = sn_stream_writev(&c->stream, &iov, 1);

		if (n == -SN_EAGAIN)
			break;
		if (n < 0) {
			conn_close(c, true);
			return false;
		}
		sn_buf_consume(&c->out, (size_t)n);
	}
	return true;
}

/* 1: something came; 0: nothing now; -1: the connection is gone. */
static int fetch(struct conn *c)
{
	ssize_t n;

	if (!c->stream.may_read || sn_buf_len(&c->in) >= HEAD_MAX)
		return 0;
	if (sn_buf_reserve(&c->in, 16384) != 0)
		return 0;
	n = sn_stream_read(&c->stream, c->in.data + c->in.end, 16384);
	if (n == -SN_EAGAIN)
		return 0;
	if (n <= 0) {
		conn_close(c, n < 0);
		return -1;
	}
	c->in.end += (size_t)n;
	return 1;
}

static void conn_run(struct conn *c)
{
	for (;;) {
		size_t before = sn_buf_len(&c->in);
		bool moved = false;

		if (c->phase == HEAD)
			moved = read_head(c);
		if (c->phase == BODY && read_body(c)) {
			begin_answer(c);
			moved = true;
		}
		if (c->stream.closed)
			return;
		moved |= sn_buf_len(&c->in) < before;
		if (c->phase == FILL && c->fill > 0) {
			fill(c);
			moved = true;
		}
		if (!flush(c))
			return;
		if (c->phase == FILL && c->fill == 0 && sn_buf_len(&c->out) == 0) {
			if (c->last) {
				conn_close(c, false);
				return;
			}
			c->phase = HEAD;
			moved = true;
		}
		if (c->phase == DELAYED || sn_buf_len(&c->out) >= OUT_MAX)
			return;
		if (!moved && (c->phase == FILL || fetch(c) <= 0))
			return;
	}
}

static void on_event(struct sn_stream *s, unsigned events)
{
	(void)events;
	conn_run(sn_container_of(s, struct conn, stream));
}

static void on_accept(struct sn_listener *ls, int fd, const struct sn_addr *peer)
{
	struct conn *c = calloc(1, sizeof(*c));

	(void)ls;
	if (!c) {
		close(fd);
		return;
	}
	if (sn_stream_open(&c->stream, loop, fd, peer, on_event) != 0) {
		free(c);
		return;
	}
	sn_buf_init(&c->in, 0);
	sn_buf_init(&c->out, 0);
	sn_timer_init(&c->delay, on_delay);
	sn_list_push_back(&conns, &c->link);
	conn_run(c);
}

static void on_signal(int sig)
{
	(void)sig;
	sn_loop_stop(loop);
}

static bool parse_delay(char *arg)
{
	char *tilde = strchr(arg, '~');

	if (tilde) {
		*tilde++ = '\0';
		if (sn_num_u64(sn_slice_cstr(tilde), 60000, &opt.jitter_ms) != 0)
			return false;
	}
	return sn_num_u64(sn_slice_cstr(arg), 60000, &opt.delay_ms) == 0;
}

static bool name_ok(const char *s)
{
	return sn_token_valid(sn_slice_cstr(s)) && strlen(s) < 100;
}

static error_t on_option(int key, char *arg, struct argp_state *st)
{
	bool good = true;

	switch (key) {
	case 'l':
		good = sn_addr_parse(sn_slice_cstr(arg), &opt.at) == 0;
		break;
	case 'n':
		opt.name = arg;
		good = name_ok(arg);
		break;
	case 'd':
		good = parse_delay(arg);
		break;
	case 'f':
		good = sn_num_u64(sn_slice_cstr(arg), 100, &opt.fail_percent) == 0;
		break;
	case 'e':
		opt.echo = true;
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	if (!good)
		argp_error(st, "bad value \"%s\"", arg);
	return 0;
}

static const struct argp_option options[] = {
	{"listen", 'l', "ADDR:PORT", 0, "where to serve; port 0 takes a free one (127.0.0.1:0)", 0},
	{"name", 'n', "NAME", 0, "the service's name (sample)", 0},
	{"delay-ms", 'd', "N[~J]", 0, "answer after N ms, give or take J", 0},
	{"fail-percent", 'f', "P", 0, "answer so many of 100 requests with 500", 0},
	{"echo", 'e', NULL, 0, "every path echoes its body", 0},
	{0},
};

int main(int argc, char **argv)
{
	static const struct argp argp = {.options = options,
					 .parser = on_option,
					 .doc = "A small HTTP/1.1 service for tests."};
	struct sn_listener listener;
	struct sn_addr local;
	struct sn_err err = {0};
	char text[SN_ADDR_TEXT];
	int fd;

	sn_addr_parse(SN_SLICE("127.0.0.1:0"), &opt.at);
	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	signal(SIGPIPE, SIG_IGN);
	sn_rng_seed(&rng, sn_rng_entropy());
	sn_list_init(&conns);
	loop = sn_loop_new(NULL, &err);
	fd = loop ? sn_listener_bind(&opt.at, false, 1024, &local, &err) : -1;
	if (fd < 0 || sn_listener_start(&listener, loop, fd, on_accept) != 0) {
		fprintf(stderr, "sample: %s\n", err.msg);
		return 1;
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	printf("listening %s\n", sn_addr_format(&local, text));
	fflush(stdout);
	sn_loop_run(loop);
	sn_listener_close(&listener);
	sn_list_each(&conns, it, tmp) conn_close(sn_container_of(it, struct conn, link), false);
	sn_loop_free(loop);
	return 0;
}
