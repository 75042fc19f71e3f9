/* SPDX-License-Identifier: Apache-2.0 */
/* TCP streams, plain or with TLS on top: one registration for life, edge-triggered; may_read and
 * may_write remember the edges, so that an owner who stopped for backpressure can go on without
 * asking the kernel. */
#include "net/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "net/fdshare.h"
#include "net/pipe.h"
#include "net/tls.h"

#define SMALL_BYTES 2048

/* The C library's recv() and send() are points where a thread may be cancelled, which costs two
 * atomic operations each; nobody cancels ours. Sanitizers watch the library's. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define recv_now(fd, buf, n) recv(fd, buf, n, 0)
#define send_now(fd, buf, n) send(fd, buf, n, MSG_NOSIGNAL)
#else
static ssize_t recv_now(int fd, void *buf, size_t n)
{
	return (ssize_t)syscall(SYS_recvfrom, fd, buf, n, 0, NULL, NULL);
}

static ssize_t send_now(int fd, const void *buf, size_t n)
{
	return (ssize_t)syscall(SYS_sendto, fd, buf, n, MSG_NOSIGNAL, NULL, 0);
}
#endif

static void set_options(int fd)
{
	int one = 1, idle = 30, interval = 10, count = 3;
	unsigned user_timeout = 60000;

	/* None of these can fail on a TCP socket; on another kind they are not wanted. */
	(void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof(one));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPIDLE, &idle, sizeof(idle));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof(interval));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof(count));
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &user_timeout, sizeof(user_timeout));
}

static void fail(struct sn_stream *s, int os_errno)
{
	s->connecting = false;
	s->error = os_errno;
	sn_loop_timer_cancel(s->loop, &s->connect_timer);
	s->cb(s, SN_STREAM_FAILED);
}

/* Both sides' FINs are EPOLLHUP too, in order; an error is a reset, or time that ran out. It is not
 * asked for here: that would take it away from the next read. */
static unsigned note_reset(struct sn_stream *s, uint32_t events)
{
	if (!(events & EPOLLERR))
		return 0;
	s->reset = true;
	return SN_STREAM_RESET;
}

static void on_io(struct sn_io *io, uint32_t events)
{
	struct sn_stream *s = sn_container_of(io, struct sn_stream, io);
	unsigned out = 0;

	if (s->connecting) {
		socklen_t n = sizeof(s->error);

		if (!(events & (EPOLLOUT | EPOLLERR | EPOLLHUP)))
			return;
		if (getsockopt(io->fd, SOL_SOCKET, SO_ERROR, &s->error, &n) || s->error) {
			fail(s, s->error ? s->error : errno);
			return;
		}
		s->connecting = false;
		sn_loop_timer_cancel(s->loop, &s->connect_timer);
		s->may_write = true;
		s->counted = s->count != NULL;
		if (s->counted)
			s->count->opened++;
		out = SN_STREAM_CONNECTED;
	}
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		s->end_signalled = true;
	out |= note_reset(s, events);
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR)) {
		s->may_read = true;
		out |= SN_STREAM_READABLE;
	}
	if (events & (EPOLLOUT | EPOLLERR | EPOLLHUP) && !s->may_write) {
		s->may_write = true;
		out |= SN_STREAM_WRITABLE;
	}
	if (out)
		s->cb(s, out);
}

/* --- TLS: the same edges, told of plaintext
 * ----------------------------------------------------- */

static void handshake(struct sn_stream *s)
{
	int rc = sn_tls_handshake(s->tls);

	if (rc == -SN_EAGAIN) {
		if (sn_tls_is_blocked(s->tls))
			(void)sn_tls_flush(s->tls);
		return;
	}
	if (rc) {
		fail(s, sn_tls_errno(s->tls));
		return;
	}
	s->connecting = false;
	sn_loop_timer_cancel(s->loop, &s->connect_timer);
	s->may_read = true; /* what came with the client's last message lies in OpenSSL's buffer */
	s->may_write = !sn_tls_is_blocked(s->tls);
	s->cb(s, SN_STREAM_CONNECTED | SN_STREAM_READABLE | (s->reset ? SN_STREAM_RESET : 0));
}

/* The FIN waits until what is encrypted has gone. */
static void finish_writing(struct sn_stream *s)
{
	if (sn_tls_flush(s->tls) == 0)
		(void)shutdown(s->io.fd, SHUT_WR);
}

static void on_tls_io(struct sn_io *io, uint32_t events)
{
	struct sn_stream *s = sn_container_of(io, struct sn_stream, io);
	bool end = events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR), in = end || events & EPOLLIN;
	bool room = events & (EPOLLOUT | EPOLLHUP | EPOLLERR);
	unsigned out = note_reset(s, events);

	sn_tls_edge(s->tls, in, end);
	if (s->connecting) {
		handshake(s);
		return;
	}
	s->end_signalled |= end;
	if (in) {
		s->may_read = true;
		out |= SN_STREAM_READABLE;
	}
	if (s->write_shut) {
		if (room && sn_tls_is_blocked(s->tls))
			finish_writing(s);
	} else if (!s->may_write && (room || !sn_tls_is_blocked(s->tls)) &&
		   sn_tls_flush(s->tls) != -SN_EAGAIN) {
		s->may_write = true;
		out |= SN_STREAM_WRITABLE;
	}
	if (out)
		s->cb(s, out);
}

int sn_stream_accept_tls(struct sn_stream *s, struct sn_tls_ctx *ctx, uint64_t timeout_ms)
{
	s->tls = sn_tls_accept(ctx, s->loop, s->io.fd);
	if (!s->tls || (timeout_ms && sn_loop_timer(s->loop, &s->connect_timer, timeout_ms)))
		return -SN_ENOMEM;
	s->io.cb = on_tls_io;
	s->connecting = true;
	s->may_read = s->may_write = false;
	return 0;
}

struct sn_slice sn_stream_alpn(const struct sn_stream *s)
{
	return s->tls ? sn_tls_alpn(s->tls) : sn_slice("", 0);
}

const char *sn_stream_failure(const struct sn_stream *s)
{
	const char *why = s->tls ? sn_tls_failure(s->tls) : NULL;

	if (s->tls && s->error == ETIMEDOUT)
		return "timeout: the handshake was not complete in time";
	return why ? why : strerror(s->error);
}

static ssize_t read_tls(struct sn_stream *s, void *buf, size_t n)
{
	ssize_t got = s->connecting ? -SN_EAGAIN : sn_tls_read(s->tls, buf, n);

	s->may_read = got > 0 && sn_tls_may_read(s->tls);
	if (got > 0)
		s->rx_bytes += (uint64_t)got;
	else if (got == 0)
		s->read_eof = true;
	else if (got != -SN_EAGAIN)
		s->error = sn_tls_errno(s->tls);
	if (sn_tls_is_blocked(s->tls)) /* by an alert or key update that it had to send */
		s->may_write = false;
	return got;
}

static ssize_t writev_tls(struct sn_stream *s, const struct iovec *iov, int n_iov)
{
	ssize_t put = sn_tls_writev(s->tls, iov, n_iov);

	s->may_write = !sn_tls_is_blocked(s->tls);
	if (put > 0)
		s->tx_bytes += (uint64_t)put;
	else if (put == -SN_ECONN)
		s->error = sn_tls_errno(s->tls);
	return put;
}

static void on_connect_timeout(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_stream *s = sn_container_of(t, struct sn_stream, connect_timer);

	(void)now_ms;
	fail(s, s->error ? s->error : ETIMEDOUT);
}

static int attach(struct sn_stream *s, struct sn_loop *l, int fd, const struct sn_addr *peer,
		  sn_stream_cb cb)
{
	memset(s, 0, sizeof(*s));
	s->loop = l;
	s->cb = cb;
	if (peer)
		s->peer = *peer;
	s->io.fd = fd;
	s->io.cb = on_io;
	sn_timer_init(&s->connect_timer, on_connect_timeout);
	if (sn_loop_add(l, &s->io, EPOLLIN | EPOLLOUT | EPOLLRDHUP, false)) {
		s->error = errno;
		close(fd);
		s->io.fd = -1;
		s->closed = true;
		return -SN_ESYS;
	}
	return 0;
}

int sn_stream_open(struct sn_stream *s, struct sn_loop *l, int fd, const struct sn_addr *peer,
		   sn_stream_cb cb)
{
	int rc;

	set_options(fd);
	rc = attach(s, l, fd, peer, cb);
	s->may_read = s->may_write = rc == 0;
	return rc;
}

int sn_stream_connect(struct sn_stream *s, struct sn_loop *l, const struct sn_addr *to,
		      uint64_t timeout_ms, sn_stream_cb cb)
{
	struct sockaddr_storage ss;
	socklen_t n = sn_addr_to_sockaddr(to, &ss);
	int fd = socket(to->family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), rc;

	if (fd >= sn_fd_share(SN_FD_DIAL)) {
		close(fd);
		errno = EMFILE;
		fd = -1;
	}
	if (fd < 0) {
		memset(s, 0, sizeof(*s));
		s->closed = true;
		s->io.fd = -1;
		s->error = errno;
		return errno == EMFILE || errno == ENFILE ? -SN_ELIMIT : -SN_ESYS;
	}
	set_options(fd);
	rc = attach(s, l, fd, to, cb);
	if (rc)
		return rc;
	s->connecting = true;
	if (connect(fd, (struct sockaddr *)&ss, n) && errno != EINPROGRESS) {
		/* Told later, as any other failure: by a timer that is due at once. Not by epoll,
		 * for which a socket that never began to connect is writable and without error. */
		s->error = errno;
		sn_loop_del(l, &s->io);
		if (sn_loop_timer(l, &s->connect_timer, 0) == 0)
			return 0;
		sn_stream_close(s, true);
		return -SN_ESYS;
	}
	if (timeout_ms)
		rc = sn_loop_timer(l, &s->connect_timer, timeout_ms);
	if (rc)
		sn_stream_close(s, true);
	return rc;
}

/* A read or splice that gave nothing, with errno when @got < 0. */
static ssize_t nothing_read(struct sn_stream *s, ssize_t got)
{
	if (got == 0) {
		s->read_eof = true;
		s->may_read = false;
		return 0;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		s->may_read = false;
		return -SN_EAGAIN;
	}
	s->error = errno;
	return -SN_ECONN;
}

static ssize_t nothing_written(struct sn_stream *s)
{
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		s->may_write = false;
		return -SN_EAGAIN;
	}
	s->error = errno;
	return -SN_ECONN;
}

ssize_t sn_stream_read(struct sn_stream *s, void *buf, size_t n)
{
	ssize_t got;

	if (s->closed)
		return -SN_ECONN;
	if (s->read_eof)
		return 0;
	if (s->tls)
		return read_tls(s, buf, n);
	do {
		got = recv_now(s->io.fd, buf, n);
	} while (got < 0 && errno == EINTR);
	if (got > 0) {
		s->rx_bytes += (uint64_t)got;
		/* Short: there was no more. But a FIN that came along raises no new edge, so an end
		 * that is signalled has to be read for. */
		if ((size_t)got < n && !s->end_signalled)
			s->may_read = false;
		return got;
	}
	return nothing_read(s, got);
}

/* send() costs the kernel less than sendmsg(), by more than it costs to lay a small message, such
 * as a head with a short body, side by side. */
static ssize_t put_iov(int fd, const struct iovec *iov, int n_iov, size_t want)
{
	struct msghdr m = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n_iov};
	char small[SMALL_BYTES];
	size_t n = 0;
	int i;

	if (n_iov == 1)
		return send_now(fd, iov[0].iov_base, want);
	if (want > sizeof(small))
		return sendmsg(fd, &m, MSG_NOSIGNAL);
	for (i = 0; i < n_iov; i++) {
		memcpy(small + n, iov[i].iov_base, iov[i].iov_len);
		n += iov[i].iov_len;
	}
	return send_now(fd, small, n);
}

ssize_t sn_stream_writev(struct sn_stream *s, const struct iovec *iov, int n_iov)
{
	size_t want = 0;
	ssize_t put;
	int i;

	if (s->closed || s->write_shut)
		return -SN_ECONN;
	if (s->connecting)
		return -SN_EAGAIN;
	if (s->tls)
		return writev_tls(s, iov, n_iov);
	for (i = 0; i < n_iov; i++)
		want += iov[i].iov_len;
	do {
		put = put_iov(s->io.fd, iov, n_iov, want);
	} while (put < 0 && errno == EINTR);
	if (put >= 0) {
		s->tx_bytes += (uint64_t)put;
		if ((size_t)put < want)
			s->may_write = false;
		return put;
	}
	return nothing_written(s);
}

/* The pipe is empty, so EAGAIN can only be the socket's. */
ssize_t sn_stream_splice_in(struct sn_stream *s, struct sn_pipe *p)
{
	ssize_t got;

	if (s->closed)
		return -SN_ECONN;
	if (s->read_eof)
		return 0;
	do {
		got = splice(s->io.fd, NULL, p->in, NULL, SN_PIPE_BYTES,
			     SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	} while (got < 0 && errno == EINTR);
	if (got > 0) {
		p->bytes = (size_t)got;
		s->rx_bytes += (uint64_t)got;
		return got;
	}
	if (got < 0 && (errno == EINVAL || errno == ENOSYS || errno == EPERM))
		return -SN_ESTATE;
	return nothing_read(s, got);
}

/* Asks for exactly what is there: with more the kernel would hold the end back, expecting it. And
 * the pipe is not empty, so EAGAIN can only be the socket's. */
ssize_t sn_stream_splice_out(struct sn_stream *s, struct sn_pipe *p)
{
	ssize_t put;

	if (s->closed || s->write_shut)
		return -SN_ECONN;
	do {
		put = splice(p->out, NULL, s->io.fd, NULL, p->bytes,
			     SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	} while (put < 0 && errno == EINTR);
	if (put <= 0)
		return nothing_written(s);
	p->bytes -= (size_t)put;
	s->tx_bytes += (uint64_t)put;
	return put;
}

void sn_stream_shutdown_write(struct sn_stream *s)
{
	if (s->closed || s->write_shut)
		return;
	s->write_shut = true;
	if (s->tls) {
		sn_tls_shutdown_write(s->tls);
		s->may_write = false;
		finish_writing(s);
		return;
	}
	(void)shutdown(s->io.fd, SHUT_WR);
}

bool sn_stream_has_unsent(const struct sn_stream *s)
{
	return s->tls && sn_tls_is_blocked(s->tls);
}

void sn_stream_close(struct sn_stream *s, bool reset)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};

	if (s->closed)
		return;
	s->closed = true;
	if (s->counted)
		s->count->closed++;
	sn_tls_free(s->tls, !reset && !s->write_shut && !s->connecting);
	s->tls = NULL;
	s->connecting = false;
	sn_loop_timer_cancel(s->loop, &s->connect_timer);
	sn_loop_del(s->loop, &s->io);
	if (reset)
		(void)setsockopt(s->io.fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(s->io.fd);
	s->io.fd = -1;
}

bool sn_stream_is_stale(struct sn_stream *s)
{
	char c;

	if (s->closed || s->read_eof || s->error)
		return true;
	if (!s->may_read)
		return false;
	if (s->tls) {
		s->may_read = sn_tls_peek(s->tls);
		return s->may_read;
	}
	if (recv(s->io.fd, &c, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
	    (errno == EAGAIN || errno == EINTR)) {
		s->may_read = false;
		return false;
	}
	return true;
}
