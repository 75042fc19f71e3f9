/* SPDX-License-Identifier: Apache-2.0 */
/* The input, frame by frame, before the library sees it: budgets are charged, and what it lets pass
 * that RFC 9113 forbids is caught. */
#include "http/h2_int.h"

/* Frames that wait for a peer that does not read: acknowledgements and resets, mostly. */
#define BACKLOG_FRAMES 4000

static const char client_magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
_Static_assert(sizeof(client_magic) - 1 == SN_H2__MAGIC_BYTES, "RFC 9113 3.4");

/* The peer sends on a stream that it, or both, have closed (RFC 9113 5.1). A stream that we reset
 * is another matter: it may not know yet. */
static int closed_stream_frame(struct sn_h2 *h2, const struct sn_h2_frame_head *f)
{
	if (h2->leaving || sn_h2__was_reset(h2, f->stream_id))
		return 0;
	if (f->type == SN_H2_FRAME_HEADERS)
		return sn_h2__fail(h2, SN_EPROTO, SN_H2_STREAM_CLOSED, "stream-closed");
	if (!sn_h2_guard_take(&h2->guard, SN_H2_BUDGET_RESET, h2->now_ms))
		return sn_h2__fail_budget(h2);
	sn_h2__note_reset(h2, f->stream_id);
	if (sn_h2__submit_reset(h2, f->stream_id, SN_H2_STREAM_CLOSED) != 0)
		return sn_h2__fail_memory(h2);
	return 0;
}

/* Looks at a frame's head before nghttp2 does. */
static int inspect(struct sn_h2 *h2)
{
	struct sn_h2_frame_head *f = &h2->frame;

	*f = sn_h2_frame_head_read(h2->frame_head);
	h2->n_dependency = 0;
	if (h2->role == SN_H2_CLIENT && f->type == SN_H2_FRAME_RST_STREAM)
		return 0; /* of requests that we chose to make */
	if (!sn_h2_guard_frame(&h2->guard, f, h2->now_ms))
		return sn_h2__fail_budget(h2);
	if (h2->role == SN_H2_CLIENT ||
	    (f->type != SN_H2_FRAME_DATA && f->type != SN_H2_FRAME_HEADERS))
		return 0;
	if (f->stream_id > h2->last_in) {
		if (f->type == SN_H2_FRAME_HEADERS)
			h2->last_in = f->stream_id;
		return 0;
	}
	if (f->stream_id == 0 || f->stream_id % 2 == 0 || sn_h2__find(h2, f->stream_id))
		return 0;
	return closed_stream_frame(h2, f);
}

/* A stream that depends on itself (RFC 7540 5.3.1): nghttp2 does not look at PRIORITY any more. */
static int check_dependency(struct sn_h2 *h2, struct sn_slice payload)
{
	uint32_t on;

	for (size_t i = 0; i < payload.n && h2->n_dependency < 4; i++) {
		h2->dependency[h2->n_dependency++] = (uint8_t)payload.p[i];
		if (h2->n_dependency < 4)
			continue;
		on = (uint32_t)(h2->dependency[0] & 0x7f) << 24 |
		     (uint32_t)h2->dependency[1] << 16 | (uint32_t)h2->dependency[2] << 8 |
		     h2->dependency[3];
		if (on == (uint32_t)h2->frame.stream_id)
			return sn_h2__fail(h2, SN_EPROTO, SN_H2_PROTOCOL_ERROR, "self-dependency");
	}
	return 0;
}

/* A section in one frame holds no string that is too long for the library. */
static void look_for_block(struct sn_h2 *h2)
{
	const struct sn_h2_frame_head *f = &h2->frame;
	bool goes_on = !(f->flags & SN_H2_FLAG_END_HEADERS);

	h2->prefix_left = h2->padding = 0;
	h2->padding_due = false;
	if (f->type == SN_H2_FRAME_HEADERS) {
		h2->in_block = goes_on;
		h2->padding_due = f->flags & SN_H2_FLAG_PADDED;
		h2->prefix_left = f->flags & SN_H2_FLAG_PRIORITY ? SN_H2__PRIORITY_BYTES : 0;
		h2->prefix_left += h2->padding_due;
		sn_h2_shrink_begin(&h2->shrink);
	} else if (f->type != SN_H2_FRAME_CONTINUATION) {
		h2->in_block = false;
	}
}

static int take_magic(struct sn_h2 *h2, struct sn_slice *in)
{
	size_t n = in->n < h2->magic_left ? in->n : h2->magic_left;
	int rc;

	if (memcmp(in->p, client_magic + SN_H2__MAGIC_BYTES - h2->magic_left, n) != 0)
		return sn_h2__fail(h2, SN_EPROTO, SN_H2_PROTOCOL_ERROR, "bad-preface");
	rc = sn_h2__give(h2, in->p, n);
	h2->magic_left -= n;
	in->p += n;
	in->n -= n;
	return rc;
}

/* Takes what is there of a frame's head. nghttp2 gets it whole: it counts the pieces of a
 * CONTINUATION's head as so many CONTINUATIONs. Head and payload go in one call when they can. */
static int take_head(struct sn_h2 *h2, struct sn_slice *in)
{
	size_t n = SN_H2__FRAME_HEAD - h2->n_frame_head;
	const char *p = in->p;
	bool split = h2->n_frame_head > 0;
	int rc;

	if (n > in->n)
		n = in->n;
	memcpy(h2->frame_head + h2->n_frame_head, p, n);
	h2->n_frame_head += n;
	in->p += n;
	in->n -= n;
	if (h2->n_frame_head < SN_H2__FRAME_HEAD)
		return 0;
	h2->n_frame_head = 0;
	rc = inspect(h2);
	if (rc != 0)
		return rc;
	h2->payload_left = h2->frame.length;
	look_for_block(h2);
	if (split || h2->in_block || h2->payload_left == 0 ||
	    h2->frame.type == SN_H2_FRAME_PRIORITY)
		return sn_h2__give(h2, (const char *)h2->frame_head, SN_H2__FRAME_HEAD);
	n = in->n < h2->payload_left ? in->n : h2->payload_left;
	rc = sn_h2__give(h2, p, SN_H2__FRAME_HEAD + n);
	h2->payload_left -= n;
	in->p += n;
	in->n -= n;
	return rc;
}

/* The library has heard of the section's beginning before it gets any of it: so the prefix goes by
 * itself. */
static int take_block(struct sn_h2 *h2, struct sn_slice *in)
{
	size_t n = in->n < h2->payload_left ? in->n : h2->payload_left;
	size_t left = h2->payload_left > h2->padding ? h2->payload_left - h2->padding : 0;
	uint8_t piece[2048];
	const char *p = in->p;

	if (h2->prefix_left > 0) {
		if (h2->padding_due)
			h2->padding = (uint8_t)*p;
		h2->padding_due = false;
		n = n < h2->prefix_left ? n : h2->prefix_left;
		h2->prefix_left -= n;
	} else if (left > 0) {
		n = n < left ? n : left;
		n = n < sizeof(piece) ? n : sizeof(piece);
		memcpy(piece, p, n);
		sn_h2_shrink(&h2->shrink, piece, n);
		p = (const char *)piece;
		if (h2->shrink.hit)
			sn_h2__section_too_big(h2);
	}
	h2->payload_left -= n;
	in->p += n;
	in->n -= n;
	return sn_h2__give(h2, p, n);
}

static int take_payload(struct sn_h2 *h2, struct sn_slice *in)
{
	size_t n = in->n < h2->payload_left ? in->n : h2->payload_left;
	int rc = 0;

	if (h2->in_block)
		return take_block(h2, in);

	if (h2->frame.type == SN_H2_FRAME_PRIORITY)
		rc = check_dependency(h2, sn_slice(in->p, n));
	if (rc == 0)
		rc = sn_h2__give(h2, in->p, n);
	h2->payload_left -= n;
	in->p += n;
	in->n -= n;
	return rc;
}

int sn_h2_feed(struct sn_h2 *h2, struct sn_slice in, uint64_t now_ms)
{
	int rc = h2->rc;

	h2->now_ms = now_ms;
	if (!h2->guard_started) {
		h2->guard_started = true;
		sn_h2_guard_init(&h2->guard, h2->set.trusted || h2->role == SN_H2_CLIENT, now_ms);
	}
	while (rc == 0 && in.n > 0)
		rc = h2->magic_left > 0	    ? take_magic(h2, &in)
		     : h2->payload_left > 0 ? take_payload(h2, &in)
					    : take_head(h2, &in);
	if (rc == 0 && sn_h2__backlog(h2) > BACKLOG_FRAMES + (size_t)h2->n_streams * 2)
		rc = sn_h2__fail(h2, SN_ELIMIT, SN_H2_ENHANCE_YOUR_CALM, "unread-frames");
	return rc;
}
