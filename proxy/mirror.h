/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/mirror.h - copies of requests for another backend, whose answers nobody sees. A mirror is
 * an exchange without a client: it has the request as its rule has changed it (Host included), all
 * of its body, one try and a limited time, and goes to its service's endpoints whatever routes that
 * service has. So a mirror is never mirrored; a peer proxy is told not to either (proxy/hop.h).
 *
 * It never holds up or fails the request that it is a copy of. What it may cost is bounded: so many
 * at once for each worker, bodies up to limits.bufferBytes, none when memory is tight; past that it
 * is left out and counted. A request whose body never ends, or that changes protocols, has none. */
#ifndef SN_PROXY_MIRROR_H
#define SN_PROXY_MIRROR_H

#include <stdint.h>
#include <sys/uio.h>

#include "base/list.h"
#include "mesh/route.h"
#include "net/loop.h"

struct sn_exchange;
struct sn_stats_block;
struct sn_target;
struct sn_worker;

/* Of an exchange that is a mirror. */
struct sn_mirrored {
	const struct sn_backend_ref *backend;
	uint16_t asked_port;
	struct sn_stats_block *stats; /* of the rule; NULL when out of memory */
	struct sn_task start;
	size_t n_read; /* of its answer's body */
};

/* Copies the head of @x, whose rule has mirrors, for those that are drawn. Without a body they
 * start at the end of this turn, else behind the body's end. */
void sn_mirror_prepare(struct sn_exchange *x, const struct sn_target *t);
/* The body of @x as it is handed on, and its end (x->filtered is there). */
void sn_mirror_payload(struct sn_exchange *x, const struct iovec *iov, int n_iov);
void sn_mirror_end(struct sn_exchange *x);
/* @x ends: those that still wait for its body are dropped. */
void sn_mirror_forget(struct sn_exchange *x);
/* The worker ends. */
void sn_mirror_end_all(struct sn_worker *w);

#endif
