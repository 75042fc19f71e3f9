/* SPDX-License-Identifier: Apache-2.0 */
/* The bare relay of `make bench`: what moving bytes costs and nothing else. Each accepted
 * connection gets one to the target; what is read from one side is written to the other.
 * Level-triggered, so a message costs a read, a write and its share of an epoll_wait. PORT
 * TARGET-PORT. */
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

#define CONNECTIONS 16384
#define CHUNK 65536

struct side {
	int fd, peer;
	unsigned n_waiting; /* bytes of the peer's that did not fit into this socket yet */
	char *waiting;
};

static struct side sides[CONNECTIONS]; /* by file descriptor */
static char chunk[CHUNK];
static int ep;

static void watch(int op, int fd, unsigned events)
{
	struct epoll_event e = {.events = events, .data.fd = fd};

	epoll_ctl(ep, op, fd, &e);
}

static void end_both(struct side *s)
{
	int fds[2] = {s->fd, s->peer}, i;

	for (i = 0; i < 2; i++) {
		free(sides[fds[i]].waiting);
		sides[fds[i]] = (struct side){.fd = -1};
		close(fds[i]);
	}
}

/* Until it is written, its source is not read. */
static int keep(struct side *to, const char *p, size_t n)
{
	if (!to->waiting)
		to->waiting = malloc(CHUNK);
	if (!to->waiting)
		return -1;
	memmove(to->waiting, p, n);
	to->n_waiting = (unsigned)n;
	watch(EPOLL_CTL_MOD, to->fd, EPOLLIN | EPOLLOUT);
	watch(EPOLL_CTL_MOD, to->peer, 0);
	return 0;
}

static void on_readable(struct side *s)
{
	ssize_t n = read(s->fd, chunk, sizeof(chunk)), w;

	if (n < 0 && errno == EAGAIN)
		return;
	w = n > 0 ? write(s->peer, chunk, (size_t)n) : -1;
	if (n > 0 && w < 0 && errno == EAGAIN)
		w = 0;
	if (w < 0 || (w < n && keep(&sides[s->peer], chunk + w, (size_t)(n - w)) != 0))
		end_both(s);
}

static void on_writable(struct side *s)
{
	ssize_t w = write(s->fd, s->waiting, s->n_waiting);

	if (w < 0 && errno == EAGAIN)
		return;
	if (w < 0) {
		end_both(s);
		return;
	}
	s->n_waiting -= (unsigned)w;
	memmove(s->waiting, s->waiting + w, s->n_waiting);
	if (s->n_waiting > 0)
		return;
	watch(EPOLL_CTL_MOD, s->fd, EPOLLIN);
	watch(EPOLL_CTL_MOD, s->peer, EPOLLIN);
}

static void on_accept(int listener, const struct sockaddr_in *target)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), to, one = 1, flag;

	if (fd < 0)
		return;
	to = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	flag = to < 0 ? -1 : connect(to, (const struct sockaddr *)target, sizeof(*target));
	if (to < 0 || fd >= CONNECTIONS || to >= CONNECTIONS || (flag && errno != EINPROGRESS)) {
		close(fd);
		if (to >= 0)
			close(to);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(to, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	sides[fd] = (struct side){.fd = fd, .peer = to};
	sides[to] = (struct side){.fd = to, .peer = fd};
	watch(EPOLL_CTL_ADD, fd, EPOLLIN);
	watch(EPOLL_CTL_ADD, to, EPOLLIN);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_in target = at;
	struct epoll_event events[256];
	int listener, one = 1, i, n;

	if (argc != 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	at.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	target.sin_port = htons((uint16_t)strtoul(argv[2], NULL, 10));
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 1024)) {
		perror("relay");
		return 1;
	}
	ep = epoll_create1(EPOLL_CLOEXEC);
	watch(EPOLL_CTL_ADD, listener, EPOLLIN);
	for (;;) {
		n = epoll_wait(ep, events, 256, -1);
		for (i = 0; i < n; i++) {
			struct side *s = &sides[events[i].data.fd];

			if (events[i].data.fd == listener)
				on_accept(listener, &target);
			else if (s->n_waiting > 0 && events[i].events & (EPOLLOUT | EPOLLERR))
				on_writable(s);
			else if (s->peer && events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR))
				on_readable(s);
		}
	}
}
