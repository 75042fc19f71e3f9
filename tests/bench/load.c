/* SPDX-License-Identifier: Apache-2.0 */
/* The load that wrk and h2load cannot make. One thread, every answer compared.
 *   ping PORT CONNECTIONS MS         100 octets to and fro, as often as they come back
 *   bulk PORT CONNECTIONS MS BYTES   100 octets there, BYTES back
 *     Both print how many answers came, then the octets of answers.
 *   open ORIGIN-PORT BYTES           is the origin as well; reads lines "PORT CONNECTIONS RATE MS"
 *     Open loop: a request is due every 1/RATE seconds whatever happened to those before, and its
 *     latency counts from when it was due ("coordinated omission" is thus corrected). No timer
 * wakes it: while a run lasts the loop spins, and origin and client are one thread so that neither
 * waits for a processor. Prints per line: answers, then p50, p90, p99 and maximum in nanoseconds.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 100
#define PATTERN 251 /* as in origin.c */
#define CONNECTIONS 1024
#define SAMPLES 2000000
#define GRACE_NS 2000000000ULL

enum role { NOBODY, CLIENT, LISTENER, ORIGIN, COMMANDS };

struct connection {
	enum role role;
	bool busy;
	size_t got; /* octets of the answer, or of the request (ORIGIN) */
	uint64_t due_ns;
	char buf[16384];
};

static struct connection connections[CONNECTIONS]; /* by file descriptor */
static int ep;
static char expected[MESSAGE], pattern[PATTERN + 65536];

static void die(const char *why)
{
	fprintf(stderr, "load: %s\n", why);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

static void watch(int fd, enum role role)
{
	struct epoll_event e = {.events = EPOLLIN, .data.fd = fd};

	if (fd < 0 || fd >= CONNECTIONS)
		die("no file descriptor");
	connections[fd].role = role;
	connections[fd].busy = false;
	connections[fd].got = 0;
	if (epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e) != 0)
		die("epoll_ctl");
}

static int dial(const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	at.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	if (fd < 0 || connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		die("cannot connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	watch(fd, CLIENT);
	return fd;
}

static void say(int fd, const char *p, size_t n)
{
	if (write(fd, p, n) != (ssize_t)n)
		die("a short write");
}

/* --- closed loops --- */

/* The next octets of an answer of @size, of which c->got have been seen. Returns true at its end.
 */
static bool take_answer(struct connection *c, int fd, size_t size, bool is_bulk)
{
	static char in[65536];
	size_t want = size - c->got < sizeof(in) ? size - c->got : sizeof(in);
	ssize_t n = recv(fd, in, want, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		die("a connection ended");
	if (memcmp(in, is_bulk ? pattern + c->got % PATTERN : expected + c->got, (size_t)n) != 0)
		die("a wrong answer");
	c->got += (size_t)n;
	if (c->got < size)
		return false;
	c->got = 0;
	return true;
}

static void closed_loop(const char *port, unsigned n_connections, uint64_t ms, size_t bulk_bytes)
{
	size_t size = bulk_bytes ? bulk_bytes : MESSAGE;
	struct epoll_event events[256];
	uint64_t end, n_answers = 0, octets = 0;

	for (unsigned i = 0; i < n_connections; i++)
		say(dial(port), expected, MESSAGE);
	end = now_ns() + ms * 1000000;
	while (now_ns() < end) {
		int n = epoll_wait(ep, events, 256, 100);

		for (int i = 0; i < n; i++) {
			int fd = events[i].data.fd;
			size_t before = connections[fd].got;

			if (take_answer(&connections[fd], fd, size, bulk_bytes != 0)) {
				n_answers++;
				octets += size - before;
				say(fd, expected, MESSAGE);
			} else {
				octets += connections[fd].got - before;
			}
		}
	}
	printf("%llu %llu\n", (unsigned long long)n_answers, (unsigned long long)octets);
}

/* --- the open loop --- */

static const char request[] = "GET /bench HTTP/1.1\r\nHost: origin\r\nUser-Agent: bench/1\r\n"
			      "Accept: */*\r\nX-Request-Id: 0123456789abcdef\r\n\r\n";

static struct {
	char *answer, *body;
	size_t answer_bytes, body_bytes;
	uint32_t *samples; /* nanoseconds */
	size_t n_samples, n_due;
	int idle[CONNECTIONS], n_idle;
} run;

static void serve_origin(struct connection *c, int fd)
{
	ssize_t n = recv(fd, c->buf + c->got, sizeof(c->buf) - c->got, MSG_DONTWAIT);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || c->got + (size_t)n == sizeof(c->buf)) {
		close(fd);
		return;
	}
	c->got += (size_t)n;
	if (memcmp(c->buf + c->got - 4, "\r\n\r\n", 4) == 0) { /* one request at a time, no body */
		c->got = 0;
		say(fd, run.answer, run.answer_bytes);
	}
}

/* Returns true when the answer is there, and right. */
static bool take_http(struct connection *c, int fd)
{
	ssize_t n = recv(fd, c->buf + c->got, sizeof(c->buf) - c->got, MSG_DONTWAIT);
	char *end;

	if (n < 0 && errno == EAGAIN)
		return false;
	if (n <= 0)
		die("a connection ended");
	c->got += (size_t)n;
	end = memmem(c->buf, c->got, "\r\n\r\n", 4);
	if (!end)
		return false;
	end += 4;
	if ((size_t)(c->buf + c->got - end) < run.body_bytes)
		return false;
	if (strncmp(c->buf, "HTTP/1.1 200", 12) != 0 ||
	    (size_t)(c->buf + c->got - end) != run.body_bytes ||
	    memcmp(end, run.body, run.body_bytes) != 0)
		die("a wrong answer");
	c->got = 0;
	return true;
}

static void on_client(struct connection *c, int fd)
{
	uint64_t ns;

	if (!c->busy || !take_http(c, fd))
		return;
	ns = now_ns() - c->due_ns;
	run.samples[run.n_samples++] = ns < UINT32_MAX ? (uint32_t)ns : UINT32_MAX;
	c->busy = false;
	run.idle[run.n_idle++] = fd;
}

static void dispatch(int timeout_ms);

static int by_size(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static void measure(const char *line)
{
	unsigned long long ms, rate;
	unsigned n_connections, i;
	uint64_t start, gap, now, end;
	int fds[CONNECTIONS];
	char port[16];

	if (sscanf(line, "%15s %u %llu %llu", port, &n_connections, &rate, &ms) != 4 || rate == 0 ||
	    n_connections > CONNECTIONS / 4 || rate * ms / 1000 > SAMPLES)
		die("PORT CONNECTIONS RATE MS");
	run.n_samples = run.n_due = 0;
	run.n_idle = 0;
	for (i = 0; i < n_connections; i++)
		run.idle[run.n_idle++] = fds[i] = dial(port);
	gap = 1000000000ULL / rate;
	start = now_ns() + 1000000;
	end = start + ms * 1000000 + GRACE_NS;
	while (run.n_samples < rate * ms / 1000) {
		now = now_ns();
		if (now > end)
			die("answers are missing");
		while (run.n_due < rate * ms / 1000 && start + run.n_due * gap <= now &&
		       run.n_idle > 0) {
			int fd = run.idle[--run.n_idle];

			connections[fd].busy = true;
			connections[fd].due_ns = start + run.n_due++ * gap;
			say(fd, request, sizeof(request) - 1);
		}
		dispatch(0);
	}
	for (i = 0; i < n_connections; i++)
		close(fds[i]);
	qsort(run.samples, run.n_samples, sizeof(run.samples[0]), by_size);
	printf("%zu %u %u %u %u\n", run.n_samples, run.samples[run.n_samples / 2],
	       run.samples[run.n_samples * 9 / 10], run.samples[run.n_samples * 99 / 100],
	       run.samples[run.n_samples - 1]);
	fflush(stdout);
}

static void on_command(void)
{
	char line[100];
	ssize_t n = read(0, line, sizeof(line) - 1);

	if (n <= 0)
		exit(0);
	line[n] = '\0';
	measure(line);
}

static void dispatch(int timeout_ms)
{
	struct epoll_event events[64];
	int n = epoll_wait(ep, events, timeout_ms == 0 ? 64 : 1, timeout_ms);

	for (int i = 0; i < n; i++) {
		int fd = events[i].data.fd, made;
		struct connection *c = &connections[fd];

		switch (c->role) {
		case LISTENER:
			made = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
			if (made >= 0) {
				int one = 1;

				setsockopt(made, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
				watch(made, ORIGIN);
			}
			break;
		case ORIGIN:
			serve_origin(c, fd);
			break;
		case CLIENT:
			on_client(c, fd);
			break;
		case COMMANDS:
			if (timeout_ms != 0)
				on_command();
			break;
		case NOBODY:
			break;
		}
	}
}

static void open_loop(const char *port, size_t bytes)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1, n;

	at.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 1024))
		die("cannot listen");
	run.samples = malloc(SAMPLES * sizeof(run.samples[0]));
	run.body = malloc(bytes + 1);
	run.answer = malloc(bytes + 200);
	if (!run.samples || !run.body || !run.answer || bytes > 8192)
		die("out of memory");
	memset(run.body, 'x', bytes);
	run.body_bytes = bytes;
	n = snprintf(run.answer, 200,
		     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: origin\r\n"
		     "Content-Length: %zu\r\n\r\n",
		     bytes);
	memcpy(run.answer + n, run.body, bytes);
	run.answer_bytes = (size_t)n + bytes;
	watch(listener, LISTENER);
	watch(0, COMMANDS);
	for (;;) /* until stdin ends */
		dispatch(-1);
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	ep = epoll_create1(EPOLL_CLOEXEC);
	memset(expected, 'q', sizeof(expected));
	for (size_t i = 0; i < sizeof(pattern); i++)
		pattern[i] = (char)(i % PATTERN);
	if (argc == 4 && strcmp(argv[1], "open") == 0)
		open_loop(argv[2], strtoul(argv[3], NULL, 10));
	else if (argc == 5 && strcmp(argv[1], "ping") == 0)
		closed_loop(argv[2], (unsigned)strtoul(argv[3], NULL, 10),
			    strtoul(argv[4], NULL, 10), 0);
	else if (argc == 6 && strcmp(argv[1], "bulk") == 0)
		closed_loop(argv[2], (unsigned)strtoul(argv[3], NULL, 10),
			    strtoul(argv[4], NULL, 10), strtoul(argv[5], NULL, 10));
	else
		return 2;
	return 0;
}
