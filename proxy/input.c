/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers of HTTP/1 peers, and bodies in them. */
#include "proxy/input.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define SETTLED_BYTES 256

void sn_input_drop(struct sn_input *in, struct sn_loop *l)
{
	if (in->pooled)
		sn_loop_iobuf_put(l, in->buf);
	else
		free(in->buf);
	in->buf = NULL;
	in->start = in->end = in->cap = 0;
}

/* What is there moves into @cap octets of its own. */
static int resize(struct sn_input *in, struct sn_loop *l, size_t cap)
{
	size_t len = in->end - in->start;
	char *p = malloc(cap);

	if (!p)
		return -SN_ENOMEM;
	memcpy(p, in->buf + in->start, len);
	sn_input_drop(in, l);
	in->buf = p;
	in->end = len;
	in->cap = cap;
	in->pooled = false;
	return 0;
}

static int make_room(struct sn_input *in, struct sn_loop *l, size_t max_bytes)
{
	if (!in->buf) {
		in->buf = sn_loop_iobuf_get(l);
		in->cap = SN_IOBUF_BYTES;
		in->pooled = true;
		return in->buf ? 0 : -SN_ENOMEM;
	}
	if (in->end < in->cap)
		return 0;
	if (in->start) {
		memmove(in->buf, in->buf + in->start, in->end - in->start);
		in->end -= in->start;
		in->start = 0;
		return 0;
	}
	if (in->cap >= max_bytes)
		return -SN_ETOOBIG;
	return resize(in, l, in->cap * 2 > max_bytes ? max_bytes : in->cap * 2);
}

ssize_t sn_input_fill(struct sn_input *in, struct sn_stream *s, size_t max_bytes)
{
	ssize_t n = make_room(in, s->loop, max_bytes);

	if (n)
		return n;
	n = sn_stream_read(s, in->buf + in->end, in->cap - in->end);
	if (n > 0)
		in->end += (size_t)n;
	else if (sn_input_empty(in))
		sn_input_drop(in, s->loop);
	return n;
}

void sn_input_consume(struct sn_input *in, struct sn_loop *l, size_t n)
{
	in->start += n;
	if (sn_input_empty(in))
		sn_input_drop(in, l);
}

void sn_input_settle(struct sn_input *in, struct sn_loop *l)
{
	size_t len = in->end - in->start, cap = SETTLED_BYTES;

	if (!in->pooled || len == 0 || len > SN_IOBUF_BYTES / 4)
		return;
	while (cap < len + len / 2)
		cap *= 2;
	(void)resize(in, l, cap); /* without memory for it, it stays where it is */
}

int sn_input_body(struct sn_input *in, size_t skip, struct sn_h1_body *b, struct sn_input_body *ret)
{
	struct sn_slice all = sn_input_slice(in), run;
	size_t at = skip;
	ptrdiff_t rc;

	ret->n_iov = 0;
	ret->trailers = NULL;
	ret->section = sn_slice("", 0);
	do {
		rc = sn_h1_body_feed(b, sn_slice(all.p + at, all.n - at), &run);
		if (rc < 0)
			return -SN_EPROTO;
		if (run.n)
			ret->iov[ret->n_iov++] = (struct iovec){(char *)run.p, run.n};
		at += (size_t)rc;
	} while (rc > 0 && ret->n_iov < SN_BODY_RUNS && !b->done);
	if (b->at_trailers) {
		struct sn_slice rest = sn_slice(all.p + at, all.n - at);

		ret->headers = (struct sn_headers){ret->storage, 0, SN_TRAILERS_MAX};
		rc = sn_h1_parse_trailers(rest, &in->scanned, b, &ret->headers);
		if (rc < 0 && rc != -SN_EMORE)
			return -SN_EPROTO;
		if (rc > 0) {
			ret->section = sn_slice(rest.p, (size_t)rc);
			ret->trailers = ret->headers.n ? &ret->headers : NULL;
			at += (size_t)rc;
		}
	}
	ret->used = at - skip;
	return 0;
}
