/* SPDX-License-Identifier: Apache-2.0 */
/* net/fdpass.h - short messages with descriptors between two processes of one user, over a Unix
 * socket (SOCK_SEQPACKET: a message arrives whole or not at all; SCM_RIGHTS). Whoever is at the
 * other end must have our effective user id (SO_PEERCRED). Cold path; any thread. */
#ifndef SN_NET_FDPASS_H
#define SN_NET_FDPASS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"
#include "base/str.h"

#define SN_FDPASS_PATH_MAX 100 /* octets of a path: Linux allows 107, and ".new" is put behind */
#define SN_FDPASS_FDS_MAX 64   /* of one message; Linux allows 253 */
#define SN_FDPASS_TEXT_MAX 512 /* octets of one message */

struct sn_fdpass_message {
	char text[SN_FDPASS_TEXT_MAX + 1]; /* NUL-terminated */
	size_t n;
	int fds[SN_FDPASS_FDS_MAX]; /* close-on-exec; the receiver's to close */
	size_t n_fds;
};

/* Listens at @path (non-blocking, close-on-exec, file mode 0600). A socket that nobody answers at
 * is replaced, by a rename, so that there is no moment without one. Changes the umask for a moment:
 * call it before there are threads. Returns the descriptor, or -SN_EEXIST (somebody listens there,
 * or what is there is no socket), -SN_ESYS. */
int sn_fdpass_listen(const char *path, struct sn_err *err);
/* Connects to @path; what is called on it blocks at most @limit_ms each. Returns the descriptor,
 * -SN_ENOENT (nobody listens there), -SN_EPROTO (another user does), -SN_ESYS. */
int sn_fdpass_connect(const char *path, uint64_t limit_ms, struct sn_err *err);
/* The next connection (non-blocking, close-on-exec). Returns the descriptor, -SN_EAGAIN, -SN_EPROTO
 * (another user: closed, @err says who), -SN_ESYS. */
int sn_fdpass_accept(int listener, struct sn_err *err);

/* Sends @text, at most SN_FDPASS_TEXT_MAX octets, with @n_fds descriptors, which stay the caller's.
 * Returns 0, -SN_ETOOBIG, -SN_EAGAIN (no room, or the time is over), -SN_ECONN. */
int sn_fdpass_send(int fd, struct sn_slice text, const int *fds, size_t n_fds);
/* Receives one message. A message that is too long, that has more descriptors than fit, or lost
 * some because none are free, is -SN_EPROTO and nothing of it is kept. With @want_fds false
 * descriptors that come are dropped by the kernel. Else 0, -SN_EAGAIN, -SN_EOF, -SN_ECONN. */
int sn_fdpass_recv(int fd, struct sn_fdpass_message *ret, bool want_fds);
/* Process id of the other end as it was when it connected (or listened); 0: unknown. */
pid_t sn_fdpass_peer_pid(int fd);

#endif
