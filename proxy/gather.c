/* SPDX-License-Identifier: Apache-2.0 */
/* The scratch place where the bytes of one write are put together. */
#include "proxy/gather.h"

#include "http/h1.h"

void sn_gather_payload(struct sn_gather *g, const struct iovec *iov, int n_iov, bool chunked)
{
	int i;

	for (i = 0; i < n_iov; i++) {
		char *size = g->sizes[g->n_sizes];

		if (chunked) {
			g->n_sizes++;
			sn_gather_add(g, sn_slice(size, sn_h1_chunk_head(iov[i].iov_len, size)));
		}
		g->iov[g->n_iov++] = iov[i];
		if (chunked)
			sn_gather_add(g, SN_SLICE("\r\n"));
	}
}

int sn_gather_flush(struct sn_gather *g, struct sn_outq *q, struct sn_stream *s, bool now)
{
	int rc = now ? sn_outq_writev(q, s, g->iov, g->n_iov) : sn_outq_keep(q, g->iov, g->n_iov);

	sn_gather_reset(g);
	return rc;
}
