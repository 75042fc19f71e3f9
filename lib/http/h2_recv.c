/* SPDX-License-Identifier: Apache-2.0 */
/* What comes: field sections become messages, payload is held against its declared length, and what
 * is malformed costs its stream (RFC 9113 8.1.1). */
#include "http/h2_int.h"

/* Fields of one section that are decoded only to be dropped: past this it is a compression bomb. */
#define DROPPED_FIELDS 4096

/* A reset that the peer made us send: charged to it. */
static void provoked(struct sn_h2 *h2, struct sn_h2__stream *s, uint32_t code)
{
	if (!s->resetting)
		sn_h2__reset_now(h2, s, code);
	if (h2->role == SN_H2_SERVER &&
	    !sn_h2_guard_take(&h2->guard, SN_H2_BUDGET_RESET, h2->now_ms))
		(void)sn_h2__fail_budget(h2);
}

void sn_h2__surplus_came(struct sn_h2 *h2, int32_t id)
{
	if (h2->ev->refused)
		h2->ev->refused(h2, 503, "too-many-streams");
	sn_h2__note_reset(h2, id);
	if (sn_h2__submit_reset(h2, id, SN_H2_REFUSED_STREAM) == 0 &&
	    !sn_h2_guard_take(&h2->guard, SN_H2_BUDGET_RESET, h2->now_ms))
		(void)sn_h2__fail_budget(h2);
}

void sn_h2__malformed(struct sn_h2 *h2, struct sn_h2__stream *s, const char *reason)
{
	if (s->resetting)
		return;
	if (h2->ev->refused)
		h2->ev->refused(h2, h2->role == SN_H2_SERVER ? 400 : 502, reason);
	provoked(h2, s, SN_H2_PROTOCOL_ERROR);
}

void sn_h2__section_begin(struct sn_h2 *h2, struct sn_h2__stream *s)
{
	enum sn_h2_section section = h2->role == SN_H2_SERVER ? SN_H2_REQUEST : SN_H2_RESPONSE;

	h2->cur = NULL;
	h2->n_dropped = 0;
	h2->section_bad = false;
	if (!s || s->resetting)
		return;
	h2->cur = s;
	if (s->pub.head_done && !s->announced) {
		h2->section_bad = true; /* trailers of a request that was answered 431 */
		return;
	}
	h2->section = &s->head;
	if (s->pub.head_done) {
		section = SN_H2_TRAILERS;
		h2->section = &h2->trailers;
	}
	sn_h2_fields_begin(h2->section, section, h2->set.header_bytes, h2->set.header_count);
}

SN_COLD static int drop_field(struct sn_h2 *h2)
{
	if (++h2->n_dropped > DROPPED_FIELDS)
		(void)sn_h2__fail(h2, SN_ELIMIT, SN_H2_ENHANCE_YOUR_CALM, "header-flood");
	return 0;
}

int sn_h2__field_came(struct sn_h2 *h2, struct sn_slice name, struct sn_slice value, uint8_t flags)
{
	struct sn_h2_fields *f = h2->section;
	int rc;

	if (!h2->cur || h2->section_bad || f->too_big)
		return drop_field(h2);
	rc = sn_h2_fields_add(f, name, value, flags);
	if (rc == 0 || rc == -SN_ENOMEM)
		return rc;
	h2->section_bad = true;
	return 0;
}

void sn_h2__section_too_big(struct sn_h2 *h2)
{
	if (h2->cur && !h2->section_bad)
		h2->section->too_big = true;
}

/* 431, and a stop to what follows. */
SN_COLD static int refuse_large(struct sn_h2 *h2, struct sn_h2__stream *s)
{
	struct sn_header v[] = {
		{SN_SLICE("content-length"), SN_SLICE("0"), SN_HDR_CONTENT_LENGTH, 0},
		{SN_SLICE("sennit-error"), SN_SLICE("bad-request"), SN_HDR_OTHER, 0}};
	struct sn_response resp = {.status = 431, .headers = {v, 2, 2}};

	if (h2->ev->refused)
		h2->ev->refused(h2, 431, "head-too-large");
	if (sn_h2_submit_response(&s->pub, &resp, true) != 0)
		return -SN_ENOMEM;
	if (!s->pub.remote_ended)
		sn_h2_reset(&s->pub, SN_H2_NO_ERROR);
	return 0;
}

static int request_came(struct sn_h2 *h2, struct sn_h2__stream *s)
{
	struct sn_request req;
	struct sn_slice head;
	int rc = h2->section_bad ? -SN_EPROTO
				 : sn_h2_fields_request(&s->head, s->pub.remote_ended,
							h2->set.extra_headers, &req, &head);

	if (rc == -SN_EPROTO)
		sn_h2__malformed(h2, s, s->head.reason);
	else if (rc == -SN_ETOOBIG)
		return refuse_large(h2, s);
	else if (rc != 0)
		return rc;
	else {
		s->method = req.method;
		s->connect = req.upgrade;
		s->has_length = req.framing == SN_FRAMING_LENGTH;
		s->length = req.content_length;
		s->announced = true;
		h2->ev->request(&s->pub, &req, head);
	}
	return 0;
}

static int response_came(struct sn_h2 *h2, struct sn_h2__stream *s)
{
	struct sn_response resp;
	struct sn_slice head;
	int rc = h2->section_bad ? -SN_EPROTO
				 : sn_h2_fields_response(&s->head, s->pub.remote_ended, s->method,
							 h2->set.extra_headers, &resp, &head);

	if (rc == -SN_EPROTO || rc == -SN_ETOOBIG) {
		sn_h2__malformed(h2, s, rc == -SN_ETOOBIG ? "head-too-large" : s->head.reason);
		return 0;
	}
	if (rc != 0)
		return rc;
	s->answered = true;
	s->pub.head_done = resp.status >= 200;
	s->connect = resp.upgrade;
	s->has_length = resp.framing == SN_FRAMING_LENGTH ||
			(resp.framing == SN_FRAMING_NONE && !resp.upgrade);
	s->length = resp.framing == SN_FRAMING_LENGTH ? resp.content_length : 0;
	h2->ev->response(&s->pub, &resp, head);
	return 0;
}

void sn_h2__end_came(struct sn_h2 *h2, struct sn_h2__stream *s, const struct sn_headers *trailers,
		     struct sn_slice head)
{
	s->pub.remote_ended = true;
	if (!s->pub.head_done) {
		sn_h2__malformed(h2, s, "data-before-head");
		return;
	}
	if (s->has_length && s->got != s->length) {
		sn_h2__malformed(h2, s, "short-body");
		return;
	}
	h2->ev->end(&s->pub, trailers, head);
}

static int trailers_came(struct sn_h2 *h2, struct sn_h2__stream *s)
{
	struct sn_headers trailers;
	struct sn_slice head;
	int rc = h2->section_bad ? -SN_EPROTO
				 : sn_h2_fields_trailers(&h2->trailers, &trailers, &head);

	if (rc == -SN_EPROTO || rc == -SN_ETOOBIG)
		sn_h2__malformed(h2, s,
				 rc == -SN_ETOOBIG ? "trailers-too-large" : h2->trailers.reason);
	else if (rc != 0)
		return rc;
	else if (s->connect)
		sn_h2__malformed(h2, s, "trailers-in-tunnel"); /* RFC 9113 8.5 */
	else if (!s->pub.remote_ended)
		sn_h2__malformed(h2, s, "trailers-without-end");
	else
		sn_h2__end_came(h2, s, &trailers, head);
	return 0;
}

int sn_h2__section_came(struct sn_h2 *h2, bool end_stream)
{
	struct sn_h2__stream *s = h2->cur;

	h2->cur = NULL;
	if (!s || s->resetting)
		return 0;
	s->pub.remote_ended |= end_stream;
	if (s->pub.head_done && !s->announced)
		return 0;
	if (s->pub.head_done)
		return trailers_came(h2, s);
	if (h2->role == SN_H2_CLIENT)
		return response_came(h2, s);
	s->pub.head_done = true;
	return request_came(h2, s);
}

void sn_h2__data_came(struct sn_h2 *h2, struct sn_h2__stream *s, struct sn_slice payload)
{
	if (s->resetting || !s->announced)
		return;
	if (!s->pub.head_done) {
		sn_h2__malformed(h2, s, "data-before-head");
		return;
	}
	s->got += payload.n;
	if (s->has_length && s->got > s->length)
		sn_h2__malformed(h2, s, "long-body");
	else
		h2->ev->data(&s->pub, payload);
}
