/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel does the work; what is here is everything that can be wrong: paths that are too long,
 * taken, or no socket; another user; messages that came cut. */
#include "net/fdpass.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

static int address_of(const char *path, struct sockaddr_un *ret, struct sn_err *err)
{
	memset(ret, 0, sizeof(*ret));
	ret->sun_family = AF_UNIX;
	if (strlen(path) > SN_FDPASS_PATH_MAX)
		return sn_err_set(err, SN_ESYS, "%s: a socket's path has at most %d octets", path,
				  SN_FDPASS_PATH_MAX);
	memcpy(ret->sun_path, path, strlen(path));
	return 0;
}

static int new_socket(int flags, struct sn_err *err)
{
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | flags, 0);

	return fd < 0 ? sn_err_sys(err, errno, "socket") : fd;
}

static bool peer(int fd, struct ucred *ret)
{
	socklen_t n = sizeof(*ret);

	memset(ret, 0, sizeof(*ret));
	return getsockopt(fd, SOL_SOCKET, SO_PEERCRED, ret, &n) == 0;
}

pid_t sn_fdpass_peer_pid(int fd)
{
	struct ucred cred;

	return peer(fd, &cred) ? cred.pid : 0;
}

static int check_peer(int fd, struct sn_err *err)
{
	struct ucred cred;

	if (peer(fd, &cred) && cred.uid == geteuid())
		return 0;
	return sn_err_set(err, SN_EPROTO, "the other end is user %u, we are %u", cred.uid,
			  geteuid());
}

/* A file may be put at @path: nothing is there, or a socket that nobody answers at. */
static int check_free(const char *path, struct sn_err *err)
{
	struct sn_err why = {0};
	struct stat st;
	int fd;

	if (lstat(path, &st))
		return errno == ENOENT ? 0 : sn_err_sys(err, errno, "%s", path);
	if (!S_ISSOCK(st.st_mode))
		return sn_err_set(err, SN_EEXIST, "%s: is there and no socket", path);
	fd = sn_fdpass_connect(path, 1, &why);
	if (fd == -SN_ENOENT)
		return 0;
	if (fd >= 0)
		close(fd);
	return sn_err_set(err, SN_EEXIST, "%s: another process listens there", path);
}

int sn_fdpass_listen(const char *path, struct sn_err *err)
{
	char aside[SN_FDPASS_PATH_MAX + 8];
	struct sockaddr_un at;
	mode_t mask;
	int fd, rc;

	rc = address_of(path, &at, err);
	if (rc == 0)
		rc = check_free(path, err);
	if (rc)
		return rc;
	fd = new_socket(SOCK_NONBLOCK, err);
	if (fd < 0)
		return fd;
	snprintf(aside, sizeof(aside), "%s.new", path);
	memcpy(at.sun_path, aside, strlen(aside));
	unlink(aside);
	mask = umask(0177);
	rc = bind(fd, (struct sockaddr *)&at, sizeof(at));
	umask(mask);
	if (rc || listen(fd, 8) || rename(aside, path)) {
		rc = sn_err_sys(err, errno, "cannot listen at %s", path);
		unlink(aside);
		close(fd);
		return rc;
	}
	return fd;
}

int sn_fdpass_connect(const char *path, uint64_t limit_ms, struct sn_err *err)
{
	struct timeval limit = {.tv_sec = (time_t)(limit_ms / 1000),
				.tv_usec = (suseconds_t)(limit_ms % 1000 * 1000)};
	struct sockaddr_un at;
	int fd, rc = address_of(path, &at, err);

	if (rc)
		return rc;
	fd = new_socket(0, err);
	if (fd < 0)
		return fd;
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	if (connect(fd, (struct sockaddr *)&at, sizeof(at))) {
		rc = errno == ENOENT || errno == ECONNREFUSED
			     ? sn_err_set(err, SN_ENOENT, "%s: nobody listens there", path)
			     : sn_err_sys(err, errno, "%s", path);
	} else {
		rc = check_peer(fd, err);
	}
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

int sn_fdpass_accept(int listener, struct sn_err *err)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), rc;

	if (fd < 0)
		return errno == EAGAIN || errno == EINTR || errno == ECONNABORTED
			       ? -SN_EAGAIN
			       : sn_err_sys(err, errno, "accept");
	rc = check_peer(fd, err);
	if (rc == 0)
		return fd;
	close(fd);
	return rc;
}

int sn_fdpass_send(int fd, struct sn_slice text, const int *fds, size_t n_fds)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int) * SN_FDPASS_FDS_MAX)];
	} control = {0};
	struct iovec iov = {(char *)(uintptr_t)text.p, text.n};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};

	if (text.n == 0 || text.n > SN_FDPASS_TEXT_MAX || n_fds > SN_FDPASS_FDS_MAX)
		return -SN_ETOOBIG;
	if (n_fds) {
		msg.msg_control = control.room;
		msg.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
		control.head.cmsg_level = SOL_SOCKET;
		control.head.cmsg_type = SCM_RIGHTS;
		control.head.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
		memcpy(CMSG_DATA(&control.head), fds, sizeof(int) * n_fds);
	}
	if (sendmsg(fd, &msg, MSG_NOSIGNAL) == (ssize_t)text.n)
		return 0;
	return errno == EAGAIN || errno == EINTR ? -SN_EAGAIN : -SN_ECONN;
}

static void keep_fds(struct msghdr *msg, struct sn_fdpass_message *ret)
{
	struct cmsghdr *c;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		size_t n = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		memcpy(ret->fds, CMSG_DATA(c), n * sizeof(int));
		ret->n_fds = n; /* there is one such header at most, with room for no more */
	}
}

int sn_fdpass_recv(int fd, struct sn_fdpass_message *ret, bool want_fds)
{
	union {
		struct cmsghdr head;
		char room[CMSG_SPACE(sizeof(int) * SN_FDPASS_FDS_MAX)];
	} control = {0};
	struct iovec iov = {ret->text, SN_FDPASS_TEXT_MAX};
	struct msghdr msg = {.msg_iov = &iov, .msg_iovlen = 1};
	ssize_t n;

	if (want_fds) {
		msg.msg_control = control.room;
		msg.msg_controllen = sizeof(control.room);
	}
	ret->n = ret->n_fds = 0;
	n = recvmsg(fd, &msg, MSG_CMSG_CLOEXEC);
	if (n <= 0)
		return n == 0				   ? -SN_EOF
		       : errno == EAGAIN || errno == EINTR ? -SN_EAGAIN
							   : -SN_ECONN;
	ret->n = (size_t)n;
	ret->text[n] = 0;
	if (want_fds)
		keep_fds(&msg, ret);
	if (!(msg.msg_flags & MSG_TRUNC) && !(want_fds && msg.msg_flags & MSG_CTRUNC))
		return 0;
	while (ret->n_fds)
		close(ret->fds[--ret->n_fds]);
	return -SN_EPROTO;
}
