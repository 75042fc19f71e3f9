/* SPDX-License-Identifier: Apache-2.0 */
/* Accepting: batches while there is something, a pause when descriptors run out (level-triggered
 * epoll would spin on a connection that cannot be accepted). The last descriptor of the share is
 * seen by its number, so that nothing is accepted that would have to be closed at once. */
#include "net/listener.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define BATCH 64
#define PAUSE_MS 100
#define QUEUE_MAX 4096

static void watch(struct sn_listener *ls)
{
	if (sn_loop_add(ls->loop, &ls->io, EPOLLIN, true))
		sn_loop_timer(ls->loop, &ls->resume, PAUSE_MS);
}

static void pause_accepting(struct sn_listener *ls)
{
	ls->paused_total++;
	sn_loop_del(ls->loop, &ls->io);
	sn_loop_timer(ls->loop, &ls->resume, PAUSE_MS);
}

/* Tries what number would come next. */
static bool has_room(const struct sn_listener *ls)
{
	int fd = fcntl(ls->io.fd, F_DUPFD_CLOEXEC, 0);

	if (fd < 0)
		return false;
	close(fd);
	return fd < sn_fd_share(ls->use);
}

static void on_resume(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_listener *ls = sn_container_of(t, struct sn_listener, resume);

	(void)now_ms;
	if (has_room(ls))
		watch(ls);
	else
		pause_accepting(ls);
}

static bool is_out_of_something(int os_errno)
{
	return os_errno == EMFILE || os_errno == ENFILE || os_errno == ENOBUFS ||
	       os_errno == ENOMEM;
}

/* Accepts one. False: enough for this turn. */
static bool accept_next(struct sn_listener *ls, int share)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);
	struct sn_addr peer;
	int fd = accept4(ls->io.fd, (struct sockaddr *)&ss, &n, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd < 0 && is_out_of_something(errno)) {
		if (ls->make_room && ls->make_room(ls))
			return true;
		pause_accepting(ls);
		return false;
	}
	if (fd < 0)
		return errno == ECONNABORTED || errno == EINTR;
	if (fd >= share && !ls->make_room) { /* another thread was quicker */
		close(fd);
		pause_accepting(ls);
		return false;
	}
	sn_addr_from_sockaddr(&ss, &peer);
	ls->cb(ls, fd, &peer);
	if (fd + 1 < share || !ls->open)
		return true;
	if (ls->make_room)
		return ls->make_room(ls);
	pause_accepting(ls);
	return false;
}

static void on_io(struct sn_io *io, uint32_t events)
{
	struct sn_listener *ls = sn_container_of(io, struct sn_listener, io);
	int share = sn_fd_share(ls->use), i;

	(void)events;
	for (i = 0; i < BATCH && ls->open && accept_next(ls, share); i++) {
	}
}

int sn_listener_address(int fd, struct sn_addr *ret)
{
	struct sockaddr_storage ss = {0};
	socklen_t n = sizeof(ss);

	if (getsockname(fd, (struct sockaddr *)&ss, &n))
		return -SN_ESYS;
	sn_addr_from_sockaddr(&ss, ret);
	return 0;
}

int sn_listener_reserve(const struct sn_addr *at, bool reuseport, struct sn_addr *ret_local,
			struct sn_err *err)
{
	struct sockaddr_storage ss;
	socklen_t n = sn_addr_to_sockaddr(at, &ss);
	char text[SN_ADDR_TEXT];
	int fd = socket(at->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), on = 1, off = 0;

	sn_addr_format(at, text);
	if (fd < 0)
		return sn_err_sys(err, errno, "cannot listen on %s", text);
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (reuseport)
		(void)setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on));
	if (at->family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off));
	if (bind(fd, (struct sockaddr *)&ss, n) || sn_listener_address(fd, ret_local)) {
		int e = errno;

		close(fd);
		return sn_err_sys(err, e,
				  e == EADDRINUSE ? "cannot listen on %s, another program does"
						  : "cannot listen on %s",
				  text);
	}
	return fd;
}

int sn_listener_bind(const struct sn_addr *at, bool reuseport, int backlog,
		     struct sn_addr *ret_local, struct sn_err *err)
{
	int fd = sn_listener_reserve(at, reuseport, ret_local, err);
	char text[SN_ADDR_TEXT];

	if (fd >= 0 && listen(fd, backlog)) {
		int e = errno;

		close(fd);
		return sn_err_sys(err, e, "cannot listen on %s", sn_addr_format(at, text));
	}
	return fd;
}

int sn_listener_start(struct sn_listener *ls, struct sn_loop *l, int fd, sn_accept_cb cb)
{
	memset(ls, 0, sizeof(*ls));
	ls->loop = l;
	ls->cb = cb;
	ls->io.fd = fd;
	ls->io.cb = on_io;
	sn_timer_init(&ls->resume, on_resume);
	if (sn_listener_address(fd, &ls->local) || sn_loop_add(l, &ls->io, EPOLLIN, true)) {
		close(fd);
		return -SN_ESYS;
	}
	ls->open = true;
	return 0;
}

void sn_listener_close(struct sn_listener *ls)
{
	if (!ls->open)
		return;
	ls->open = false;
	sn_loop_timer_cancel(ls->loop, &ls->resume);
	sn_loop_del(ls->loop, &ls->io);
	close(ls->io.fd);
	ls->io.fd = -1;
}

void sn_listener_finish(struct sn_listener *ls)
{
	int share = sn_fd_share(ls->use), i;

	for (i = 0; i < QUEUE_MAX && ls->open && ls->io.registered && accept_next(ls, share); i++) {
	}
	sn_listener_close(ls);
}
