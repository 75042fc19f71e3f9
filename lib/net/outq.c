/* SPDX-License-Identifier: Apache-2.0 */
/* Write at once, keep the rest. */
#include "net/outq.h"

#include "base/err.h"

void sn_outq_init(struct sn_outq *q, size_t max_bytes)
{
	sn_buf_init(&q->buf, max_bytes);
}

void sn_outq_done(struct sn_outq *q)
{
	sn_buf_done(&q->buf);
}

static int keep(struct sn_outq *q, const struct iovec *iov, int n_iov, size_t skip)
{
	int i, rc = 0;

	for (i = 0; i < n_iov && !rc; i++) {
		if (skip >= iov[i].iov_len) {
			skip -= iov[i].iov_len;
			continue;
		}
		rc = sn_buf_append(&q->buf, (const char *)iov[i].iov_base + skip,
				   iov[i].iov_len - skip);
		skip = 0;
	}
	return rc;
}

int sn_outq_writev(struct sn_outq *q, struct sn_stream *s, const struct iovec *iov, int n_iov)
{
	ssize_t n = 0;

	if (sn_outq_empty(q) && s->may_write) {
		n = sn_stream_writev(s, iov, n_iov);
		if (n == -SN_EAGAIN)
			n = 0;
		if (n < 0)
			return (int)n;
	}
	return keep(q, iov, n_iov, (size_t)n);
}

int sn_outq_keep(struct sn_outq *q, const struct iovec *iov, int n_iov)
{
	return keep(q, iov, n_iov, 0);
}

int sn_outq_flush(struct sn_outq *q, struct sn_stream *s)
{
	while (!sn_outq_empty(q) && s->may_write) {
		struct sn_slice left = sn_buf_slice(&q->buf);
		struct iovec iov = {(char *)left.p, left.n};
		ssize_t n = sn_stream_writev(s, &iov, 1);

		if (n == -SN_EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		sn_buf_consume(&q->buf, (size_t)n);
	}
	if (sn_outq_empty(q) && q->buf.cap)
		sn_buf_done(&q->buf); /* an idle connection holds no memory */
	return 0;
}
