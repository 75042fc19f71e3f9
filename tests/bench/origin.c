/* SPDX-License-Identifier: Apache-2.0 */
/* The origin of `make bench`: one thread, answers every request head with the same 200, as fast as
 * a loop can. Requests have no bodies. PORT BYTES. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 4096
#define BATCH 64

struct connection {
	unsigned matched; /* bytes of "\r\n\r\n" that the last read ended with */
};

static struct connection connections[CONNECTIONS];
static char *answers; /* BATCH times the same */
static size_t answer_bytes;

static void make_answer(size_t body)
{
	char head[200];
	size_t i, n;

	n = (size_t)snprintf(head, sizeof(head),
			     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nServer: origin\r\n"
			     "Content-Length: %zu\r\n\r\n",
			     body);
	answer_bytes = n + body;
	answers = malloc(answer_bytes * BATCH);
	if (!answers)
		exit(1);
	for (i = 0; i < BATCH; i++) {
		memcpy(answers + i * answer_bytes, head, n);
		memset(answers + i * answer_bytes + n, 'x', body);
	}
}

static void serve(int ep, int fd)
{
	static const char end[] = "\r\n\r\n";
	struct connection *c = &connections[fd];
	char buf[16384];
	ssize_t n = read(fd, buf, sizeof(buf)), i;
	size_t heads = 0;

	if (n < 0 && errno == EAGAIN)
		return;
	for (i = 0; i < n; i++) {
		c->matched = buf[i] == end[c->matched] ? c->matched + 1 : buf[i] == '\r';
		if (c->matched == 4) {
			c->matched = 0;
			heads++;
		}
	}
	while (n > 0 && heads > 0) {
		size_t k = heads < BATCH ? heads : BATCH;

		if (write(fd, answers, k * answer_bytes) != (ssize_t)(k * answer_bytes))
			n = 0; /* the peers of a bench read */
		heads -= k;
	}
	if (n <= 0) {
		epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
		close(fd);
	}
}

static void accept_one(int ep, int listener)
{
	struct epoll_event e = {.events = EPOLLIN};
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;

	if (fd < 0)
		return;
	if (fd >= CONNECTIONS) {
		close(fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connections[fd].matched = 0;
	e.data.fd = fd;
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event events[256], e = {.events = EPOLLIN};
	int listener, ep, one = 1, i, n;

	if (argc != 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	at.sin_port = htons((uint16_t)atoi(argv[1]));
	make_answer((size_t)atoi(argv[2]));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 1024)) {
		perror("origin");
		return 1;
	}
	ep = epoll_create1(EPOLL_CLOEXEC);
	e.data.fd = listener;
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		n = epoll_wait(ep, events, 256, -1);
		for (i = 0; i < n; i++)
			if (events[i].data.fd == listener)
				accept_one(ep, listener);
			else
				serve(ep, events[i].data.fd);
	}
}
