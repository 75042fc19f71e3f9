/* SPDX-License-Identifier: Apache-2.0 */
/* net/listener.h - accepts TCP connections for one loop. Accepts in batches; when the share of
 * descriptors that is for it (net/fdshare.h) is used up it pauses for 100 ms and looks again (each
 * pause is counted); who has not been accepted waits in the kernel's queue. */
#ifndef SN_NET_LISTENER_H
#define SN_NET_LISTENER_H

#include <stdbool.h>

#include "net/addr.h"
#include "net/fdshare.h"
#include "net/loop.h"

struct sn_listener;
/* @fd: non-blocking, close-on-exec, the callee's to close. @peer: already unmapped. */
typedef void (*sn_accept_cb)(struct sn_listener *ls, int fd, const struct sn_addr *peer);
/* The share is used up: close something of yours. False: there is nothing. */
typedef bool (*sn_make_room_fn)(struct sn_listener *ls);

struct sn_listener {
	struct sn_io io;
	struct sn_loop *loop;
	sn_accept_cb cb;
	/* the owner's to set once it is started: */
	enum sn_fd_use use;	   /* SN_FD_ADMIN */
	sn_make_room_fn make_room; /* NULL: pauses instead */
	struct sn_timer resume;
	struct sn_addr local; /* as bound: a port of 0 is replaced by the real one */
	uint64_t paused_total;
	bool open;
};

/* Opens, binds and listens (SO_REUSEADDR, SO_REUSEPORT when @reuseport, IPv6 sockets: dual-stack
 * when the address is [::]) without accepting yet. Returns the descriptor or -SN_ESYS with @err
 * naming the address and what to do. */
int sn_listener_bind(const struct sn_addr *at, bool reuseport, int backlog,
		     struct sn_addr *ret_local, struct sn_err *err);
/* The same without listening: the address is ours, and no connection comes here instead of to
 * another socket of the same address before listen(2). */
int sn_listener_reserve(const struct sn_addr *at, bool reuseport, struct sn_addr *ret_local,
			struct sn_err *err);
/* The address that @fd is bound to. Returns 0 or -SN_ESYS. */
int sn_listener_address(int fd, struct sn_addr *ret);
/* Starts accepting on @fd (owned from now on). */
int sn_listener_start(struct sn_listener *ls, struct sn_loop *l, int fd, sn_accept_cb cb);
/* Stops accepting and closes. Idempotent. */
void sn_listener_close(struct sn_listener *ls);
/* Accepts what waits in the kernel's queue, which closing would reset, then closes. */
void sn_listener_finish(struct sn_listener *ls);

#endif
