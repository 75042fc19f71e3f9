/* SPDX-License-Identifier: Apache-2.0 */
/* Copies for another try. */
#include "proxy/replay.h"

#define HEAD_MAX (2u << 20) /* limits.headerBytes bounds it; this is the backstop */

void sn_replay_init(struct sn_replay *r)
{
	r->lost = r->whole = false;
	sn_buf_init(&r->head, HEAD_MAX);
	sn_buf_init(&r->body, 0);
}

/* Most requests have nothing to keep. */
static void give_up(struct sn_buf *b)
{
	if (b->data)
		sn_buf_done(b);
}

void sn_replay_done(struct sn_replay *r)
{
	give_up(&r->head);
	give_up(&r->body);
}

void sn_replay_lose(struct sn_replay *r)
{
	r->lost = true;
	give_up(&r->body);
}

void sn_replay_keep(struct sn_replay *r, const struct iovec *iov, int n_iov, size_t limit_bytes)
{
	size_t n = sn_buf_len(&r->body);
	int i;

	if (r->lost)
		return;
	for (i = 0; i < n_iov; i++)
		n += iov[i].iov_len;
	if (n > limit_bytes) {
		sn_replay_lose(r);
		return;
	}
	for (i = 0; i < n_iov; i++)
		if (sn_buf_append(&r->body, iov[i].iov_base, iov[i].iov_len)) {
			sn_replay_lose(r);
			return;
		}
}

static void move(struct sn_slice *s, struct sn_slice from, const char *to)
{
	if (s->p >= from.p && s->p <= from.p + from.n)
		s->p = to + (s->p - from.p);
}

void sn_replay_keep_head(struct sn_replay *r, struct sn_request *req, struct sn_slice *hop,
			 struct sn_slice *head)
{
	struct sn_slice from = *head;
	const char *to;
	uint32_t i;

	if (r->lost || sn_buf_append(&r->head, head->p, head->n)) {
		sn_replay_lose(r);
		*head = sn_slice("", 0);
		return;
	}
	to = sn_buf_slice(&r->head).p;
	for (i = 0; i < req->headers.n; i++) {
		move(&req->headers.v[i].name, from, to);
		move(&req->headers.v[i].value, from, to);
	}
	move(hop, from, to);
	move(&req->method_text, from, to);
	move(&req->target, from, to);
	move(&req->path, from, to);
	move(&req->authority, from, to);
	move(&req->upgrade_to, from, to);
	req->text = sn_slice("", 0);
	head->p = to;
}
