/* SPDX-License-Identifier: Apache-2.0 */
/* The origin of `make bench`: one thread, as fast as a loop can.  KIND PORT BYTES ...
 *   http PORT BYTES   the same 200 for every request head; requests have no bodies
 *   echo PORT 0       what comes goes back
 *   bulk PORT BYTES   BYTES octets for each 100 that come */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 16384
#define BATCH 64
#define QUESTION 100
#define PATTERN 251 /* an octet of bulk at offset i is i % PATTERN */

enum kind { UNUSED, LISTEN, HTTP, ECHO, BULK };

struct connection {
	enum kind kind, accepts;
	unsigned matched; /* HTTP: bytes of "\r\n\r\n" that the last read ended with */
	size_t asked;	  /* BULK: octets of questions that have no answer yet */
	size_t left;	  /* BULK: octets of the answer still to be written */
};

static struct connection connections[CONNECTIONS]; /* by file descriptor */
static char *answers;				   /* BATCH times the same */
static size_t answer_bytes;
static char *bulk;
static size_t bulk_bytes;
static int ep;

static void *must(void *p)
{
	if (!p)
		exit(1);
	return p;
}

static void make_answer(size_t body)
{
	char head[200];
	size_t i, n;

	n = (size_t)snprintf(head, sizeof(head),
			     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: origin\r\n"
			     "Content-Length: %zu\r\n\r\n",
			     body);
	answer_bytes = n + body;
	answers = must(malloc(answer_bytes * BATCH));
	for (i = 0; i < BATCH; i++) {
		memcpy(answers + i * answer_bytes, head, n);
		memset(answers + i * answer_bytes + n, 'x', body);
	}
}

static void make_bulk(size_t n)
{
	bulk_bytes = n;
	bulk = must(malloc(n));
	for (size_t i = 0; i < n; i++)
		bulk[i] = (char)(i % PATTERN);
}

/* Answers all heads that end in these bytes. Returns false when the connection is of no use. */
static bool serve_http(struct connection *c, int fd, const char *p, size_t n)
{
	static const char end[] = "\r\n\r\n";
	size_t heads = 0, i;

	for (i = 0; i < n; i++) {
		c->matched = p[i] == end[c->matched] ? c->matched + 1 : p[i] == '\r';
		if (c->matched == 4) {
			c->matched = 0;
			heads++;
		}
	}
	while (heads > 0) {
		size_t k = heads < BATCH ? heads : BATCH;

		if (write(fd, answers, k * answer_bytes) != (ssize_t)(k * answer_bytes))
			return false; /* the peers of a bench read */
		heads -= k;
	}
	return true;
}

static bool serve_bulk(struct connection *c, int fd)
{
	for (;;) {
		ssize_t n;

		if (c->left == 0 && c->asked >= QUESTION) {
			c->asked -= QUESTION;
			c->left = bulk_bytes;
		}
		if (c->left == 0)
			return true;
		n = write(fd, bulk + bulk_bytes - c->left, c->left);
		if (n < 0)
			return errno == EAGAIN;
		c->left -= (size_t)n;
	}
}

static bool serve(struct connection *c, int fd)
{
	char buf[16384];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0 && errno == EAGAIN)
		return c->kind != BULK || serve_bulk(c, fd);
	if (n <= 0)
		return false;
	if (c->kind == HTTP)
		return serve_http(c, fd, buf, (size_t)n);
	if (c->kind == ECHO)
		return write(fd, buf, (size_t)n) == n;
	c->asked += (size_t)n;
	return serve_bulk(c, fd);
}

static void accept_one(int listener)
{
	struct connection *from = &connections[listener];
	struct epoll_event e = {.events = EPOLLIN};
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

	if (fd < 0)
		return;
	if (fd >= CONNECTIONS) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connections[fd] = (struct connection){.kind = from->accepts};
	if (from->accepts == BULK)
		e.events |= EPOLLOUT | EPOLLET;
	e.data.fd = fd;
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

static void listen_at(const char *kind, const char *port, size_t bytes)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event e = {.events = EPOLLIN};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), one = 1;

	at.sin_port = htons((uint16_t)strtoul(port, NULL, 10));
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 4096)) {
		perror("origin");
		exit(1);
	}
	connections[fd].kind = LISTEN;
	if (strcmp(kind, "http") == 0) {
		connections[fd].accepts = HTTP;
		make_answer(bytes);
	} else if (strcmp(kind, "bulk") == 0) {
		connections[fd].accepts = BULK;
		make_bulk(bytes);
	} else {
		connections[fd].accepts = ECHO;
	}
	e.data.fd = fd;
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

int main(int argc, char **argv)
{
	struct epoll_event events[256];
	int i, n;

	if (argc < 4)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	ep = epoll_create1(EPOLL_CLOEXEC);
	for (i = 1; i + 2 < argc; i += 3)
		listen_at(argv[i], argv[i + 1], strtoul(argv[i + 2], NULL, 10));
	for (;;) {
		n = epoll_wait(ep, events, 256, -1);
		for (i = 0; i < n; i++) {
			int fd = events[i].data.fd;

			if (connections[fd].kind == LISTEN)
				accept_one(fd);
			else if (!serve(&connections[fd], fd))
				close(fd);
		}
	}
}
