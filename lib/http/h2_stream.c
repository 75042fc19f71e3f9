/* SPDX-License-Identifier: Apache-2.0 */
/* A session's streams: the objects, used again from message to message, the payload that waits in
 * them, and the memory of those that we reset. */
#include "http/h2_int.h"

#include <stdlib.h>
#include <string.h>

/* A peer that takes that many at once gives them back at once; half of them anew each time costs a
 * twentieth of a request. */
#define KEEP_STREAMS 128
#define KEEP_BYTES 8192
/* Streams that we reset not long ago, whose frames may still be on the way: twice as many as may be
 * open, within these. */
#define RESETS_MIN 64
#define RESETS_MAX 4096

struct sn_h2__stream *sn_h2__stream_get(struct sn_h2 *h2)
{
	struct sn_list *l = sn_list_first(&h2->free_streams);
	struct sn_h2__stream *s;

	if (l) {
		s = sn_list_entry(l, struct sn_h2__stream, link);
		sn_list_del(l);
		h2->n_free--;
	} else {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		sn_h2_fields_init(&s->head);
		sn_buf_init(&s->send, 0);
		sn_buf_init(&s->trailers, 0);
		sn_buf_init(&s->pinned, 0);
		sn_list_init(&s->link);
	}
	s->pub.h2 = h2;
	sn_list_push_back(&h2->streams, &s->link);
	h2->n_streams++;
	return s;
}

void sn_h2__stream_free(struct sn_h2__stream *s)
{
	sn_list_del(&s->link);
	sn_h2_fields_done(&s->head);
	sn_buf_done(&s->send);
	sn_buf_done(&s->trailers);
	sn_buf_done(&s->pinned);
	free(s);
}

/* Back to the free ones; its buffers stay, unless they are large. */
void sn_h2__stream_put(struct sn_h2 *h2, struct sn_h2__stream *s)
{
	h2->n_streams--;
	if (h2->found == s)
		h2->found = NULL;
	if (h2->n_free >= KEEP_STREAMS) {
		sn_h2__stream_free(s);
		return;
	}
	if (s->send.cap > KEEP_BYTES)
		sn_buf_done(&s->send);
	if (s->trailers.cap > KEEP_BYTES)
		sn_buf_done(&s->trailers);
	if (s->pinned.cap > KEEP_BYTES)
		sn_buf_done(&s->pinned);
	if (s->head.text.cap > KEEP_BYTES)
		sn_h2_fields_done(&s->head);
	sn_buf_reset(&s->send);
	sn_buf_reset(&s->trailers);
	sn_buf_reset(&s->pinned);
	sn_list_del(&s->link);
	s->pub = (struct sn_h2_stream){0};
	memset(&s->n_trailers, 0, sizeof(*s) - offsetof(struct sn_h2__stream, n_trailers));
	sn_list_push_front(&h2->free_streams, &s->link);
	h2->n_free++;
}

void sn_h2__tell_closed(struct sn_h2 *h2, struct sn_h2__stream *s, uint32_t error, bool unprocessed)
{
	if (s->announced)
		h2->ev->closed(&s->pub, error, unprocessed);
	sn_h2__stream_put(h2, s);
}

int sn_h2__ring_init(struct sn_h2 *h2)
{
	uint32_t n = h2->set.max_streams < RESETS_MAX / 2 ? h2->set.max_streams * 2 : RESETS_MAX;

	if (h2->role == SN_H2_CLIENT)
		return 0;
	if (n < RESETS_MIN)
		n = RESETS_MIN;
	h2->resets = calloc(n, sizeof(*h2->resets));
	if (!h2->resets)
		return -SN_ENOMEM;
	h2->cap_resets = n;
	return 0;
}

void sn_h2__note_reset(struct sn_h2 *h2, int32_t id)
{
	if (h2->cap_resets > 0)
		h2->resets[h2->n_resets++ % h2->cap_resets] = id;
}

bool sn_h2__was_reset(const struct sn_h2 *h2, int32_t id)
{
	for (uint32_t i = 0; i < h2->cap_resets; i++)
		if (h2->resets[i] == id)
			return true;
	return false;
}

int sn_h2_send(struct sn_h2_stream *pub, const struct iovec *iov, int n_iov)
{
	struct sn_h2__stream *s = sn_h2__stream_of(pub);
	size_t bytes = 0;

	if (s->resetting || pub->local_ended)
		return 0;
	for (int i = 0; i < n_iov; i++)
		bytes += iov[i].iov_len;
	if (bytes == 0)
		return 0;
	if (sn_buf_reserve(&s->send, bytes) != 0)
		return -SN_ENOMEM;
	for (int i = 0; i < n_iov; i++)
		(void)sn_buf_append(&s->send, iov[i].iov_base, iov[i].iov_len);
	return sn_h2__resume(s);
}

static int keep_trailers(struct sn_h2__stream *s, const struct sn_headers *hs)
{
	for (uint32_t i = 0; i < hs->n; i++) {
		const struct sn_header *h = &hs->v[i];
		struct sn_h2__trailer t = {(uint32_t)h->name.n, (uint32_t)h->value.n};

		if (!sn_h2__is_sent(h) || !sn_trailer_allowed((enum sn_hdr_id)h->id, h->name))
			continue;
		if (sn_buf_reserve(&s->trailers, sizeof(t) + h->name.n + h->value.n) != 0)
			return -SN_ENOMEM;
		(void)sn_buf_append(&s->trailers, &t, sizeof(t));
		(void)sn_buf_append(&s->trailers, h->name.p, h->name.n);
		(void)sn_buf_append(&s->trailers, h->value.p, h->value.n);
		s->n_trailers++;
	}
	return 0;
}

int sn_h2_send_end(struct sn_h2_stream *pub, const struct sn_headers *trailers)
{
	struct sn_h2__stream *s = sn_h2__stream_of(pub);

	if (s->resetting || pub->local_ended)
		return 0;
	if (trailers && keep_trailers(s, trailers) != 0)
		return -SN_ENOMEM;
	pub->local_ended = true;
	return sn_h2__resume(s);
}

size_t sn_h2_pending(const struct sn_h2_stream *pub)
{
	return sn_buf_len(&((const struct sn_h2__stream *)pub)->send);
}

bool sn_h2_wants_more(struct sn_h2_stream *pub, size_t limit_bytes)
{
	struct sn_h2__stream *s = sn_h2__stream_of(pub);

	if (sn_buf_len(&s->send) < limit_bytes)
		return true;
	s->wants_drained = true;
	s->low_mark = limit_bytes / 2;
	return false;
}
