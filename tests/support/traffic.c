/* SPDX-License-Identifier: Apache-2.0 */
/* An open-loop traffic source: requests start at a fixed rate whatever the answers do, and a
 * latency counts from the moment at which the request was due (so that a stall is seen in full).
 * Prints one line of JSON a second and a summary at the end. */
#include <argp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/buf.h"
#include "base/num.h"
#include "http/h1.h"
#include "net/stream.h"

#define TIMEOUT_MS 10000
#define NAMES_MAX 16
#define WAITING_MAX 4096
#define FIELDS_MAX 128
#define BUCKETS 1024

/* Log-linear: 16 buckets per power of two of microseconds; within 7%. */
struct latencies {
	uint32_t count[BUCKETS];
	uint64_t total;
};

struct tally {
	uint64_t sent, ok, errors;
	struct latencies latencies;
	uint64_t by[NAMES_MAX];
};

struct conn {
	struct sn_stream stream;
	struct sn_buf in;
	struct sn_h1_body body;
	struct sn_timer timeout;
	size_t scanned;
	bool open, busy, in_body, last, good;
	uint64_t due_ns;
};

static struct {
	struct sn_addr target;
	const char *host, *path;
	uint64_t rate, seconds, connections;
	struct sn_buf fields;
} opt = {.path = "/", .rate = 50, .connections = 8};

static struct sn_loop *loop;
static struct sn_timer tick, second;
static struct sn_buf request;
static struct conn *conns;
static struct tally now, all;
static char names[NAMES_MAX][64];
static size_t n_names;
static uint64_t start_ns, started;
static uint64_t waiting[WAITING_MAX]; /* due times of requests without a connection */
static size_t waiting_at, n_waiting;
static const struct sn_h1_limits limits = {
	.head_bytes = 65536, .header_count = FIELDS_MAX, .request_line_bytes = 8192};

static size_t bucket_of(uint64_t us)
{
	size_t power = 0;

	if (us < 16)
		return (size_t)us;
	while (us >> (power + 5) != 0)
		power++;
	power = (power + 1) * 16 + (us >> power & 15);
	return power < BUCKETS ? power : BUCKETS - 1;
}

static double bucket_ms(size_t b)
{
	size_t power = b / 16;

	return (double)(power ? (16 + b % 16) << (power - 1) : b) / 1000.0;
}

static double percentile(const struct latencies *l, double p)
{
	uint64_t want = (uint64_t)((double)l->total * p), seen = 0;

	for (size_t b = 0; b < BUCKETS && l->total > 0; b++) {
		seen += l->count[b];
		if (seen > want)
			return bucket_ms(b);
	}
	return 0;
}

static void count(struct tally *t, bool good, uint64_t latency_us)
{
	t->latencies.count[bucket_of(latency_us)]++;
	t->latencies.total++;
	if (good)
		t->ok++;
	else
		t->errors++;
}

/* Index of a server's name; past NAMES_MAX they share the last. */
static size_t name_index(struct sn_slice s)
{
	if (!sn_token_valid(s) || s.n >= sizeof(names[0]))
		return NAMES_MAX;
	for (size_t i = 0; i < n_names; i++)
		if (sn_slice_eq_cstr(s, names[i]))
			return i;
	if (n_names == NAMES_MAX - 1)
		s = SN_SLICE("other");
	if (n_names < NAMES_MAX)
		sn_slice_copy(s, names[n_names++], sizeof(names[0]));
	return n_names - 1;
}

static void print_tally(const struct tally *t, const char *lead)
{
	const char *comma = "";

	printf("{%s\"sent\":%llu,\"ok\":%llu,\"errors\":%llu,\"p50_ms\":%.3f,\"p99_ms\":%.3f,"
	       "\"by\":{",
	       lead, (unsigned long long)t->sent, (unsigned long long)t->ok,
	       (unsigned long long)t->errors, percentile(&t->latencies, 0.50),
	       percentile(&t->latencies, 0.99));
	for (size_t i = 0; i < n_names; i++) {
		if (t->by[i] == 0)
			continue;
		printf("%s\"%s\":%llu", comma, names[i], (unsigned long long)t->by[i]);
		comma = ",";
	}
	printf("}}\n");
	fflush(stdout);
}

static void add_tally(struct tally *to, const struct tally *t)
{
	to->sent += t->sent;
	to->ok += t->ok;
	to->errors += t->errors;
	to->latencies.total += t->latencies.total;
	for (size_t i = 0; i < BUCKETS; i++)
		to->latencies.count[i] += t->latencies.count[i];
	for (size_t i = 0; i < NAMES_MAX; i++)
		to->by[i] += t->by[i];
}

static void serve_waiting(void);

static void conn_close(struct conn *c)
{
	sn_loop_timer_cancel(loop, &c->timeout);
	sn_stream_close(&c->stream, false);
	sn_buf_reset(&c->in);
	c->open = false;
}

static void finish(struct conn *c, bool good)
{
	uint64_t took = sn_loop_now_ns(loop) - c->due_ns;

	if (!c->busy)
		return;
	c->busy = false;
	sn_loop_timer_cancel(loop, &c->timeout);
	count(&now, good, sn_loop_now_ns(loop) > c->due_ns ? took / 1000 : 0);
}

static void fail(struct conn *c)
{
	finish(c, false);
	conn_close(c);
}

/* False when the head is not whole yet or bad (the connection is then closed). */
static bool read_head(struct conn *c)
{
	struct sn_header fields[FIELDS_MAX];
	struct sn_response resp = {.headers = {fields, 0, FIELDS_MAX}};
	struct sn_h1_refusal why;
	const struct sn_header *by;
	int n = sn_h1_parse_response(sn_buf_slice(&c->in), &c->scanned, &limits, SN_METHOD_GET,
				     &resp, &why);

	if (n == -SN_EMORE)
		return false;
	if (n < 0 || !c->busy) {
		fail(c);
		return false;
	}
	if (resp.status < 200) {
		sn_buf_consume(&c->in, (size_t)n);
		return true;
	}
	c->good = resp.status < 400;
	c->last = !resp.keep_alive;
	c->in_body = true;
	by = sn_headers_find(&resp.headers, SN_SLICE("x-served-by"));
	if (by) {
		size_t i = name_index(by->value);

		if (i < NAMES_MAX)
			now.by[i]++;
	}
	sn_h1_body_init(&c->body, resp.framing, resp.content_length);
	sn_buf_consume(&c->in, (size_t)n);
	return true;
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

static ptrdiff_t feed_body(struct conn *c)
{
	struct sn_slice run;
	ptrdiff_t used = 0;

	if (c->body.done)
		return 0;
	if (!c->body.at_trailers)
		used = sn_h1_body_feed(&c->body, sn_buf_slice(&c->in), &run);
	return used == 0 && c->body.at_trailers ? feed_trailers(c) : used;
}

static void read_input(struct conn *c)
{
	while (c->open) {
		ptrdiff_t used;

		if (!c->in_body) {
			if (sn_buf_len(&c->in) == 0 || !read_head(c))
				return;
			continue;
		}
		used = feed_body(c);
		if (used < 0) {
			fail(c);
			return;
		}
		sn_buf_consume(&c->in, (size_t)used);
		if (c->body.done) {
			c->in_body = false;
			finish(c, c->good);
			if (c->last)
				conn_close(c);
			return;
		}
		if (used == 0)
			return;
	}
}

static void on_end(struct conn *c)
{
	if (c->busy && c->in_body && sn_h1_body_eof(&c->body) == 0) {
		finish(c, c->good);
		conn_close(c);
	} else {
		fail(c);
	}
}

static void send_request(struct conn *c)
{
	struct sn_slice s = sn_buf_slice(&request);
	struct iovec iov = {(void *)(uintptr_t)s.p, s.n};

	c->in_body = false;
	c->scanned = 0;
	/* A request is far smaller than a socket's empty buffer: short is broken. */
	if (sn_stream_writev(&c->stream, &iov, 1) != (ssize_t)s.n)
		fail(c);
}

static void on_event(struct sn_stream *stream, unsigned events)
{
	struct conn *c = sn_container_of(stream, struct conn, stream);

	if (events & SN_STREAM_FAILED) {
		fail(c);
	} else {
		if (events & SN_STREAM_CONNECTED)
			send_request(c);
		while (c->open && c->stream.may_read) {
			ssize_t n = -SN_ECONN;

			if (sn_buf_reserve(&c->in, 16384) == 0)
				n = sn_stream_read(stream, c->in.data + c->in.end, 16384);
			if (n == -SN_EAGAIN)
				break;
			if (n == 0)
				on_end(c);
			else if (n < 0)
				fail(c);
			if (n <= 0)
				break;
			c->in.end += (size_t)n;
			read_input(c);
		}
	}
	serve_waiting();
}

static void on_timeout(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	fail(sn_container_of(t, struct conn, timeout));
	serve_waiting();
}

/* Sends on @c, connecting first where needed. */
static void start_on(struct conn *c, uint64_t due_ns)
{
	c->busy = true;
	c->due_ns = due_ns;
	now.sent++;
	if (c->open && (sn_buf_len(&c->in) > 0 || sn_stream_is_stale(&c->stream)))
		conn_close(c);
	sn_loop_timer(loop, &c->timeout, TIMEOUT_MS);
	if (c->open) {
		send_request(c);
		return;
	}
	c->open = true;
	if (sn_stream_connect(&c->stream, loop, &opt.target, 2000, on_event) != 0)
		fail(c);
}

static struct conn *idle_conn(void)
{
	struct conn *closed = NULL;

	for (uint64_t i = 0; i < opt.connections; i++) {
		if (conns[i].busy)
			continue;
		if (conns[i].open)
			return &conns[i];
		if (!closed)
			closed = &conns[i];
	}
	return closed;
}

static void serve_waiting(void)
{
	struct conn *c;

	while (n_waiting > 0 && (c = idle_conn())) {
		uint64_t due_ns = waiting[waiting_at];

		waiting_at = (waiting_at + 1) % WAITING_MAX;
		n_waiting--;
		start_on(c, due_ns);
	}
}

static void on_tick(struct sn_timer *t, uint64_t now_ms)
{
	uint64_t at_ns = sn_loop_now_ns(loop), due_ns;

	(void)now_ms;
	while ((due_ns = start_ns + started * UINT64_C(1000000000) / opt.rate) <= at_ns) {
		started++;
		if (n_waiting == WAITING_MAX) { /* given up: it would wait for ever */
			now.sent++;
			count(&now, false, TIMEOUT_MS * 1000);
			continue;
		}
		waiting[(waiting_at + n_waiting++) % WAITING_MAX] = due_ns;
	}
	serve_waiting();
	sn_loop_timer(loop, t, (due_ns - at_ns + 999999) / 1000000);
}

static void on_second(struct sn_timer *t, uint64_t now_ms)
{
	uint64_t seconds = (sn_loop_now_ns(loop) - start_ns + 500000000) / 1000000000;
	char lead[48];

	(void)now_ms;
	snprintf(lead, sizeof(lead), "\"t\":%llu,", (unsigned long long)seconds);
	print_tally(&now, lead);
	add_tally(&all, &now);
	memset(&now, 0, sizeof(now));
	if (opt.seconds > 0 && seconds >= opt.seconds)
		sn_loop_stop(loop);
	sn_loop_timer(loop, t, 1000);
}

static void on_signal(int sig)
{
	(void)sig;
	sn_loop_stop(loop);
}

static bool add_field(const char *arg)
{
	struct sn_slice value = sn_slice_cstr(arg), name = sn_slice_cut(&value, ':');

	return sn_token_valid(name) && value.p && sn_field_value_valid(value) &&
	       sn_buf_printf(&opt.fields, "%s\r\n", arg) == 0;
}

static error_t on_option(int key, char *arg, struct argp_state *st)
{
	bool good = true;

	switch (key) {
	case 't':
		good = sn_addr_parse(sn_slice_cstr(arg), &opt.target) == 0;
		break;
	case 'o':
		opt.host = arg;
		break;
	case 'p':
		opt.path = arg;
		good = arg[0] == '/';
		break;
	case 'r':
		good = sn_num_u64(sn_slice_cstr(arg), 100000, &opt.rate) == 0 && opt.rate > 0;
		break;
	case 's':
		good = sn_num_u64(sn_slice_cstr(arg), 1000000, &opt.seconds) == 0;
		break;
	case 'c':
		good = sn_num_u64(sn_slice_cstr(arg), 10000, &opt.connections) == 0 &&
		       opt.connections > 0;
		break;
	case 'H':
		good = add_field(arg);
		break;
	case ARGP_KEY_END:
		if (opt.target.family == 0)
			argp_error(st, "--target is needed");
		return 0;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	if (!good)
		argp_error(st, "bad value \"%s\"", arg);
	return 0;
}

static const struct argp_option options[] = {
	{"target", 't', "ADDR:PORT", 0, "where to send to", 0},
	{"host", 'o', "NAME", 0, "Host of the requests (the target)", 0},
	{"path", 'p', "P", 0, "path of the requests (/)", 0},
	{"rate", 'r', "N", 0, "requests a second (50)", 0},
	{"seconds", 's', "N", 0, "how long (until interrupted)", 0},
	{"connections", 'c', "N", 0, "at most so many connections (8)", 0},
	{"header", 'H', "K: V", 0, "a further header", 0},
	{0},
};

static int prepare(struct sn_err *err)
{
	char text[SN_ADDR_TEXT];

	sn_buf_printf(&request, "GET %s HTTP/1.1\r\nhost: %s\r\n%suser-agent: traffic\r\n\r\n",
		      opt.path, opt.host ? opt.host : sn_addr_format(&opt.target, text),
		      sn_buf_cstr(&opt.fields));
	conns = calloc(opt.connections, sizeof(*conns));
	loop = sn_loop_new(NULL, err);
	if (!loop || !conns)
		return -1;
	for (uint64_t i = 0; i < opt.connections; i++) {
		conns[i].stream.closed = true;
		sn_buf_init(&conns[i].in, 1 << 20);
		sn_timer_init(&conns[i].timeout, on_timeout);
	}
	sn_timer_init(&tick, on_tick);
	sn_timer_init(&second, on_second);
	start_ns = sn_loop_now_ns(loop);
	sn_loop_timer(loop, &tick, 0);
	return sn_loop_timer(loop, &second, 1000);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		.options = options,
		.parser = on_option,
		.doc = "Sends requests at a fixed rate; prints a line of JSON a second."};
	struct sn_err err = {0};
	char lead[64];

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, NULL);
	signal(SIGPIPE, SIG_IGN);
	if (prepare(&err) != 0) {
		fprintf(stderr, "traffic: %s\n", err.msg);
		return 1;
	}
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	sn_loop_run(loop);
	add_tally(&all, &now);
	snprintf(lead, sizeof(lead), "\"summary\":true,\"seconds\":%.1f,",
		 (double)(sn_loop_now_ns(loop) - start_ns) / 1e9);
	print_tally(&all, lead);
	return 0;
}
