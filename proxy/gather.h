/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/gather.h - what goes to an HTTP/1 peer in one write: a head from the worker's scratch
 * buffer, payload where it lies, chunk framing in between. One per worker; filled and flushed
 * without anything else of the worker in between. */
#ifndef SN_PROXY_GATHER_H
#define SN_PROXY_GATHER_H

#include <stdbool.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "net/outq.h"

#define SN_BODY_RUNS 16 /* of payload, between two flushes */

struct sn_gather {
	struct iovec iov[SN_BODY_RUNS * 3 + 4];
	int n_iov;
	char sizes[SN_BODY_RUNS][20];
	int n_sizes;
	struct sn_buf head;  /* heads are assembled here */
	struct sn_buf trail; /* trailers here */
};

static inline void sn_gather_add(struct sn_gather *g, struct sn_slice s)
{
	g->iov[g->n_iov++] = (struct iovec){(char *)s.p, s.n};
}

/* Forgets what was put. */
static inline void sn_gather_reset(struct sn_gather *g)
{
	g->n_iov = 0;
	g->n_sizes = 0;
}

/* Payload, as chunks when @chunked. @n_iov <= SN_BODY_RUNS in all between two flushes. */
void sn_gather_payload(struct sn_gather *g, const struct iovec *iov, int n_iov, bool chunked);
/* Writes all (@now) or keeps it behind what waits. Empties the gather. As sn_outq_writev. */
int sn_gather_flush(struct sn_gather *g, struct sn_outq *q, struct sn_stream *s, bool now);

#endif
