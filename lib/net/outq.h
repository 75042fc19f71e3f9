/* SPDX-License-Identifier: Apache-2.0 */
/* net/outq.h - what could not be written yet. Writes go straight from the caller's slices; only
 * what the socket does not take is copied here, and whoever fills it stops reading until it is
 * empty again: so it never holds more than one read's worth. */
#ifndef SN_NET_OUTQ_H
#define SN_NET_OUTQ_H

#include <stdbool.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "net/stream.h"

struct sn_outq {
	struct sn_buf buf;
};

void sn_outq_init(struct sn_outq *q, size_t max_bytes);
void sn_outq_done(struct sn_outq *q);
static inline bool sn_outq_empty(const struct sn_outq *q)
{
	return sn_buf_len(&q->buf) == 0;
}
/* Writes the slices behind what waits. Returns 0 (all written or kept), -SN_ECONN, -SN_ENOMEM or
 * -SN_ETOOBIG: then the connection is over. */
int sn_outq_writev(struct sn_outq *q, struct sn_stream *s, const struct iovec *iov, int n_iov);
/* Keeps the slices (copied) behind what waits, to be written by the next flush. 0, -SN_ENOMEM or
 * -SN_ETOOBIG. */
int sn_outq_keep(struct sn_outq *q, const struct iovec *iov, int n_iov);
/* Tries what waits. 0 or -SN_ECONN. */
int sn_outq_flush(struct sn_outq *q, struct sn_stream *s);

#endif
