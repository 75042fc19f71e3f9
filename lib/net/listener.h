/* SPDX-License-Identifier: Apache-2.0 */
/* net/listener.h - accepts TCP connections for one loop. Accepts in batches; when descriptors run
 * out it pauses for 100 ms and goes on (each pause is counted). */
#ifndef SN_NET_LISTENER_H
#define SN_NET_LISTENER_H

#include <stdbool.h>

#include "net/addr.h"
#include "net/loop.h"

struct sn_listener;
/* @fd: non-blocking, close-on-exec, the callee's to close. @peer: already unmapped. */
typedef void (*sn_accept_cb)(struct sn_listener *ls, int fd, const struct sn_addr *peer);

struct sn_listener {
	struct sn_io io;
	struct sn_loop *loop;
	sn_accept_cb cb;
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
/* Starts accepting on @fd (owned from now on). */
int sn_listener_start(struct sn_listener *ls, struct sn_loop *l, int fd, sn_accept_cb cb);
/* Stops accepting and closes. Idempotent. */
void sn_listener_close(struct sn_listener *ls);

#endif
