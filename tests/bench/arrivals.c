/* SPDX-License-Identifier: Apache-2.0 */
/* The clients of the bench's scenarios: requests arrive when they do, whatever became of those
 * before, and each has a deadline.  PORT DEADLINE-MS SEED RATE MS [RATE MS ...]
 *   Arrivals are a Poisson process of RATE a second for MS, one phase after the other; the same
 *   SEED makes the same arrivals. A request takes a connection that is idle, else a new one. When
 *   its deadline has passed its client closes the connection and has no answer.
 * Prints per request, in order of arrival: when it was due, in microseconds from the start; what
 * came of it (the status; 0: no answer in time; 1: the connection broke, or a wrong answer); and
 * microseconds from when it was due until then: what could not be sent in time counts too. */
#include <arpa/inet.h>
#include <errno.h>
#include <math.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CONNECTIONS 16384
#define REQUESTS 1000000
#define ANSWER_MAX 16384

struct request {
	uint64_t due_ns, ns; /* from the start */
	unsigned status;
	int fd; /* on its way there; -1: over */
};

struct connection {
	struct request *r; /* NULL: idle */
	size_t got;
	char buf[ANSWER_MAX];
};

static const char question[] = "GET /bench HTTP/1.1\r\nHost: origin\r\nUser-Agent: bench/1\r\n"
			       "Accept: */*\r\n\r\n";

static struct connection *connections[CONNECTIONS]; /* by file descriptor */
static struct request *requests;
static size_t n_requests, n_over;
static int idle[CONNECTIONS], n_idle, ep;
static uint64_t start_ns, seed;
static struct sockaddr_in at = {.sin_family = AF_INET};

static void die(const char *why)
{
	fprintf(stderr, "arrivals: %s\n", why);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec - start_ns;
}

/* Exponentially distributed with mean 1 (splitmix64). */
static double gap(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15u;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	z ^= z >> 31;
	return -log1p(-(double)(z >> 11) * 0x1p-53);
}

static void plan(double from_ns, double rate, double to_ns)
{
	double t = from_ns + gap() * 1e9 / rate;

	for (; t < to_ns; t += gap() * 1e9 / rate) {
		if (n_requests == REQUESTS)
			die("too many requests");
		requests[n_requests++] = (struct request){.due_ns = (uint64_t)t, .fd = -1};
	}
}

static void over(struct request *r, unsigned status)
{
	r->status = status;
	r->ns = now_ns() - r->due_ns;
	r->fd = -1;
	n_over++;
}

static void hang_up(int fd)
{
	free(connections[fd]);
	connections[fd] = NULL;
	close(fd);
}

/* The connection of @fd is of no more use. */
static void lost(int fd)
{
	int i;

	if (connections[fd]->r)
		over(connections[fd]->r, 1);
	for (i = 0; i < n_idle && idle[i] != fd; i++)
		;
	if (i < n_idle)
		idle[i] = idle[--n_idle];
	hang_up(fd);
}

static int dial(void)
{
	struct epoll_event e = {.events = EPOLLIN};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0 || fd >= CONNECTIONS || connect(fd, (struct sockaddr *)&at, sizeof(at)) != 0)
		die("cannot connect");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connections[fd] = calloc(1, sizeof(struct connection));
	if (!connections[fd])
		die("out of memory");
	e.data.fd = fd;
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	return fd;
}

static void ask(struct request *r)
{
	int fd = n_idle ? idle[--n_idle] : dial();

	r->fd = fd;
	connections[fd]->r = r;
	if (send(fd, question, sizeof(question) - 1, MSG_DONTWAIT) != sizeof(question) - 1)
		lost(fd);
}

static size_t length_of(const char *head)
{
	const char *p = strcasestr(head, "\r\ncontent-length:");

	return p ? strtoul(p + 17, NULL, 10) : SIZE_MAX;
}

static void answered(struct connection *c, int fd, const char *body, size_t n)
{
	unsigned status = (unsigned)strtoul(c->buf + 9, NULL, 10);
	bool close_it = strcasestr(c->buf, "\r\nconnection: close") != NULL;

	for (size_t i = 0; i < n && status == 200; i++)
		status = body[i] == 'x' ? 200 : 1;
	over(c->r, status);
	c->r = NULL;
	c->got = 0;
	if (close_it)
		hang_up(fd);
	else
		idle[n_idle++] = fd;
}

static void on_bytes(int fd)
{
	struct connection *c = connections[fd];
	ssize_t n = recv(fd, c->buf + c->got, ANSWER_MAX - 1 - c->got, MSG_DONTWAIT);
	char *body;
	size_t length;

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || !c->r) {
		lost(fd);
		return;
	}
	c->got += (size_t)n;
	c->buf[c->got] = '\0';
	body = strstr(c->buf, "\r\n\r\n");
	if (!body)
		return;
	*body = '\0'; /* the head alone */
	length = length_of(c->buf);
	*body = '\r';
	body += 4;
	if (length == SIZE_MAX)
		lost(fd);
	else if ((size_t)(c->buf + c->got - body) >= length)
		answered(c, fd, body, length);
}

static void loop(uint64_t deadline_ns)
{
	struct epoll_event events[256];
	size_t next = 0, oldest = 0;
	struct timespec t;

	while (n_over < n_requests) {
		uint64_t now = now_ns(), wake = UINT64_MAX;
		int n;

		while (next < n_requests && requests[next].due_ns <= now)
			ask(&requests[next++]);
		for (; oldest < next; oldest++) {
			struct request *r = &requests[oldest];

			if (r->fd >= 0 && r->due_ns + deadline_ns > now)
				break;
			if (r->fd >= 0) {
				hang_up(r->fd);
				over(r, 0);
			}
		}
		if (oldest < next)
			wake = requests[oldest].due_ns + deadline_ns;
		if (next < n_requests && requests[next].due_ns < wake)
			wake = requests[next].due_ns;
		now = now_ns();
		wake = wake > now ? wake - now : 0;
		t = (struct timespec){.tv_sec = (time_t)(wake / 1000000000),
				      .tv_nsec = (long)(wake % 1000000000)};
		n = n_over < n_requests ? epoll_pwait2(ep, events, 256, &t, NULL) : 0;
		for (int i = 0; i < n; i++)
			if (connections[events[i].data.fd])
				on_bytes(events[i].data.fd);
	}
}

int main(int argc, char **argv)
{
	double at_ns = 0;

	if (argc < 6 || argc % 2)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_TIMERSLACK, 1);
	at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	at.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	seed = strtoul(argv[3], NULL, 10);
	ep = epoll_create1(EPOLL_CLOEXEC);
	requests = malloc(REQUESTS * sizeof(*requests));
	if (!requests)
		die("out of memory");
	for (int i = 4; i + 1 < argc; i += 2) {
		double ns = strtod(argv[i + 1], NULL) * 1e6;

		plan(at_ns, strtod(argv[i], NULL), at_ns + ns);
		at_ns += ns;
	}
	start_ns = now_ns();
	loop(strtoul(argv[2], NULL, 10) * 1000000);
	for (size_t i = 0; i < n_requests; i++)
		printf("%llu %u %llu\n", (unsigned long long)requests[i].due_ns / 1000,
		       requests[i].status, (unsigned long long)requests[i].ns / 1000);
	return 0;
}
