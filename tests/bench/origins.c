/* SPDX-License-Identifier: Apache-2.0 */
/* The origins of the bench's scenarios: many ports in one thread, each a server of its own that
 * can be made slow, narrow or wrong while it runs.  BYTES PORT ...
 *   Reads lines "INDEX SERVICE-US SLOTS STATUS" and answers each with a line "ok": port INDEX from
 *   now on works on at most SLOTS requests at a time, for SERVICE-US each (uniformly 0.5 to 1.5 of
 *   it), and the others wait in order of arrival. A STATUS other than 200 is answered at once.
 *   "/health" takes no slot and no time.
 * Like most servers, it does not notice that a client has given up: the work is done all the same.
 * A thread that sleeps until the next answer is due (ns precision) costs next to nothing. */
#include <arpa/inet.h>
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
#define PORTS 64
#define JOBS 65536
#define HEAD_MAX 4096

struct job {
	uint64_t due_ns;
	uint32_t serial; /* of the connection: who is at the descriptor by then? */
	int fd, port;
	struct job *next;
};

struct port {
	int fd;
	uint64_t service_ns;
	unsigned slots, busy, status;
	struct job *first, **last; /* who waits */
};

struct connection {
	int port;
	uint32_t serial;
	size_t got;
	char head[HEAD_MAX];
};

static struct connection *connections[CONNECTIONS]; /* by file descriptor */
static struct port ports[PORTS];
static int n_ports, ep;
static struct job jobs[JOBS], *free_jobs, *heap[JOBS]; /* heap: worked on, the first due on top */
static size_t n_heap, body_bytes;
static uint64_t seed = 88172645463325252u;

static void die(const char *why)
{
	fprintf(stderr, "origins: %s\n", why);
	exit(1);
}

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000ULL + (uint64_t)t.tv_nsec;
}

/* --- work ---------------------------------------------------------------------------------------
 */

static void heap_put(struct job *j)
{
	size_t i = n_heap++;

	for (; i && j->due_ns < heap[(i - 1) / 2]->due_ns; i = (i - 1) / 2)
		heap[i] = heap[(i - 1) / 2];
	heap[i] = j;
}

static struct job *heap_take(void)
{
	struct job *top = heap[0], *j = heap[--n_heap];
	size_t i = 0, child;

	for (; (child = 2 * i + 1) < n_heap; i = child) {
		if (child + 1 < n_heap && heap[child + 1]->due_ns < heap[child]->due_ns)
			child++;
		if (j->due_ns <= heap[child]->due_ns)
			break;
		heap[i] = heap[child];
	}
	heap[i] = j;
	return top;
}

static void answer(int fd, unsigned status)
{
	static char out[8192 + 200];
	int n = snprintf(
		out, 200,
		"HTTP/1.1 %u %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n", status,
		status == 200 ? "OK" : "No", body_bytes);

	memset(out + n, 'x', body_bytes);
	if (write(fd, out, (size_t)n + body_bytes) < 0)
		shutdown(fd, SHUT_RDWR); /* it has gone: its end will be read */
}

/* Uniformly 0.5 to 1.5 of it (xorshift64). */
static uint64_t service(const struct port *p)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	seed ^= seed << 17;
	return p->service_ns / 2 + p->service_ns * (seed >> 44) / (1u << 20);
}

static void work(struct port *p, uint64_t now)
{
	struct job *j;

	while (p->busy < p->slots && (j = p->first)) {
		p->first = j->next;
		if (!p->first)
			p->last = &p->first;
		p->busy++;
		j->due_ns = now + service(p);
		heap_put(j);
	}
}

static void finish(struct job *j, uint64_t now)
{
	struct connection *c = connections[j->fd];
	struct port *p = &ports[j->port];

	if (c && c->serial == j->serial)
		answer(j->fd, p->status);
	j->next = free_jobs;
	free_jobs = j;
	p->busy--;
	work(p, now);
}

static void asked(struct connection *c, int fd)
{
	struct port *p = &ports[c->port];
	struct job *j = free_jobs;

	if (p->status != 200 || strncmp(c->head, "GET /health", 11) == 0) {
		answer(fd, p->status);
		return;
	}
	if (!j)
		die("too many requests");
	free_jobs = j->next;
	*j = (struct job){.serial = c->serial, .fd = fd, .port = c->port};
	*p->last = j;
	p->last = &j->next;
	work(p, now_ns());
}

/* --- connections --------------------------------------------------------------------------------
 */

static void drop(int fd)
{
	free(connections[fd]);
	connections[fd] = NULL;
	close(fd);
}

/* One request at a time, without a body. */
static void serve(int fd)
{
	struct connection *c = connections[fd];
	ssize_t n = recv(fd, c->head + c->got, HEAD_MAX - 1 - c->got, MSG_DONTWAIT);

	if (n <= 0) {
		drop(fd);
		return;
	}
	c->got += (size_t)n;
	c->head[c->got] = '\0';
	if (c->got < 4 || memcmp(c->head + c->got - 4, "\r\n\r\n", 4) != 0)
		return;
	c->got = 0;
	asked(c, fd);
}

static void accept_one(int port)
{
	static uint32_t serial;
	struct epoll_event e = {.events = EPOLLIN};
	int fd = accept4(ports[port].fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK), one = 1;

	if (fd < 0)
		return;
	if (fd >= CONNECTIONS || !(connections[fd] = malloc(sizeof(struct connection))))
		die("too many connections");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connections[fd]->port = port;
	connections[fd]->serial = ++serial;
	connections[fd]->got = 0;
	e.data.fd = fd;
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static void listen_at(const char *port)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;
	struct epoll_event e = {.events = EPOLLIN, .data.fd = -2 - n_ports};

	at.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (n_ports == PORTS || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 4096))
		die("cannot listen");
	ports[n_ports] = (struct port){.fd = fd, .slots = 1, .status = 200};
	ports[n_ports].last = &ports[n_ports].first;
	n_ports++;
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static void on_command(void)
{
	unsigned long long us;
	unsigned slots, status;
	char line[100];
	int i;

	if (!fgets(line, sizeof(line), stdin))
		exit(0);
	if (sscanf(line, "%d %llu %u %u", &i, &us, &slots, &status) != 4 || i < 0 || i >= n_ports)
		die("INDEX SERVICE-US SLOTS STATUS");
	ports[i].service_ns = us * 1000;
	ports[i].slots = slots;
	ports[i].status = status;
	work(&ports[i], now_ns());
	puts("ok");
}

static struct timespec *until_next(struct timespec *t)
{
	uint64_t now = now_ns(), ns;

	if (!n_heap)
		return NULL;
	ns = heap[0]->due_ns > now ? heap[0]->due_ns - now : 0;
	*t = (struct timespec){.tv_sec = (time_t)(ns / 1000000000),
			       .tv_nsec = (long)(ns % 1000000000)};
	return t;
}

int main(int argc, char **argv)
{
	struct epoll_event events[256], in = {.events = EPOLLIN, .data.fd = 0};
	struct timespec t;
	int i, n;

	if (argc < 3 || (body_bytes = strtoul(argv[1], NULL, 10)) > 8192)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	prctl(PR_SET_TIMERSLACK, 1);
	setvbuf(stdout, NULL, _IOLBF, 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	ep = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(ep, EPOLL_CTL_ADD, 0, &in);
	for (i = 0; i < JOBS; i++) {
		jobs[i].next = free_jobs;
		free_jobs = &jobs[i];
	}
	for (i = 2; i < argc; i++)
		listen_at(argv[i]);
	for (;;) {
		n = epoll_pwait2(ep, events, 256, until_next(&t), NULL);
		for (i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (fd == 0)
				on_command();
			else if (fd <= -2)
				accept_one(-2 - fd);
			else
				serve(fd);
		}
		while (n_heap && heap[0]->due_ns <= now_ns())
			finish(heap_take(), now_ns());
	}
}
