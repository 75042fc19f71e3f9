/* SPDX-License-Identifier: Apache-2.0 */
/* The one file that knows nghttp2. The library frames, compresses and keeps windows; its checks of
 * HTTP are off, since ours (http/h2_fields.h) are stricter and made once. What goes out is here;
 * what comes passes through h2_scan.c, then the library, then h2_recv.c; streams are in
 * h2_stream.c.
 *
 * A stream:   free --> open --(both sides ended, or reset)--> `closed` --> free
 * A session:  preface --> open --> (GOAWAY either way: no new streams) --> over
 *                          \--> failed (our GOAWAY with an error waits to be pulled) --> over */
#include "http/h2_int.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

/* Not in every nghttp2 that we build with: NULL where the library has not got it. */
extern void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *option, uint64_t burst,
						       uint64_t rate) __attribute__((weak));

#define SETTING_BYTES 6
#define DEFAULT_PEER_STREAMS 100 /* until its SETTINGS come */

/* --- failing --- */

int sn_h2__fail(struct sn_h2 *h2, int code, uint32_t h2_error, const char *failure)
{
	if (h2->rc != 0)
		return h2->rc;
	h2->rc = -code;
	h2->failure = failure;
	if (!h2->no_memory)
		(void)nghttp2_session_terminate_session(h2->ng, h2_error);
	return h2->rc;
}

int sn_h2__fail_budget(struct sn_h2 *h2)
{
	return sn_h2__fail(h2, SN_ELIMIT, NGHTTP2_ENHANCE_YOUR_CALM, h2->guard.failure);
}

/* nghttp2 cannot be trusted after an allocation of its own has failed (one path frees an item that
 * it still has): from here on it is not called again, and its memory is dropped whole. */
int sn_h2__fail_memory(struct sn_h2 *h2)
{
	h2->no_memory = true;
	return sn_h2__fail(h2, SN_ENOMEM, NGHTTP2_INTERNAL_ERROR, "no-memory");
}

/* nghttp2 has found something by itself, and says so to the peer. */
static void library_failed(struct sn_h2 *h2, uint32_t h2_error)
{
	static const char *const words[] = {
		[NGHTTP2_PROTOCOL_ERROR] = "protocol-error",
		[NGHTTP2_INTERNAL_ERROR] = "internal-error",
		[NGHTTP2_FLOW_CONTROL_ERROR] = "flow-control-error",
		[NGHTTP2_SETTINGS_TIMEOUT] = "settings-timeout",
		[NGHTTP2_STREAM_CLOSED] = "stream-closed",
		[NGHTTP2_FRAME_SIZE_ERROR] = "frame-size-error",
		[NGHTTP2_COMPRESSION_ERROR] = "compression-error",
		[NGHTTP2_ENHANCE_YOUR_CALM] = "control-flood",
	};
	const char *word = h2_error < SN_ARRAY_LEN(words) ? words[h2_error] : NULL;

	h2->rc = h2_error == NGHTTP2_ENHANCE_YOUR_CALM ? -SN_ELIMIT : -SN_EPROTO;
	h2->failure = word ? word : "protocol-error";
}

int sn_h2_code(const struct sn_h2 *h2)
{
	return h2->rc;
}

const char *sn_h2_failure(const struct sn_h2 *h2)
{
	return h2->failure;
}

/* --- streams --- */

struct sn_h2__stream *sn_h2__find(struct sn_h2 *h2, int32_t id)
{
	struct sn_h2__stream *s = h2->found;

	/* Frames of one message come and go in a row. */
	if (s && s->pub.id == id)
		return s;
	s = nghttp2_session_get_stream_user_data(h2->ng, id);
	h2->found = s;
	return s;
}

int sn_h2__submit_reset(struct sn_h2 *h2, int32_t id, uint32_t code)
{
	return nghttp2_submit_rst_stream(h2->ng, NGHTTP2_FLAG_NONE, id, code) != 0 ? -SN_ENOMEM : 0;
}

void sn_h2__reset_now(struct sn_h2 *h2, struct sn_h2__stream *s, uint32_t code)
{
	s->resetting = true;
	s->reset_code = code;
	sn_h2__note_reset(h2, s->pub.id);
	if (!h2->no_memory && sn_h2__submit_reset(h2, s->pub.id, code) != 0)
		(void)sn_h2__fail_memory(h2);
}

void sn_h2_reset(struct sn_h2_stream *pub, enum sn_h2_error code)
{
	struct sn_h2__stream *s = sn_h2__stream_of(pub);

	if (s->resetting)
		return;
	if (code == SN_H2_NO_ERROR && pub->local_ended && !s->end_sent) {
		s->reset_after_end = true; /* it must not overtake the end of our message */
		return;
	}
	sn_h2__reset_now(pub->h2, s, (uint32_t)code);
}

void sn_h2_consume(struct sn_h2_stream *pub, size_t n)
{
	const struct sn_h2__stream *s = sn_h2__stream_of(pub);

	if (n > 0 && !pub->remote_ended && !s->ending && !s->resetting && !pub->h2->no_memory &&
	    nghttp2_session_consume_stream(pub->h2->ng, pub->id, n) != 0)
		(void)sn_h2__fail_memory(pub->h2);
}

/* --- sending: heads --- */

static nghttp2_nv nv_of(struct sn_slice name, struct sn_slice value, uint8_t flags)
{
	return (nghttp2_nv){.name = (uint8_t *)(uintptr_t)name.p,
			    .value = (uint8_t *)(uintptr_t)value.p,
			    .namelen = name.n,
			    .valuelen = value.n,
			    .flags = flags};
}

static int nv_reserve(struct sn_h2 *h2, size_t n)
{
	nghttp2_nv *nv;

	if (n <= h2->nv_cap)
		return 0;
	nv = realloc(h2->nv, n * sizeof(*nv));
	if (!nv)
		return -SN_ENOMEM;
	h2->nv = nv;
	h2->nv_cap = n;
	return 0;
}

/* A head on its way into the library's form. What lies in its text, that is all of a head that came
 * by HTTP/2, has been copied with it and stays where it is until the library has made a frame of
 * it; the rest the library copies, and makes names lower-case. */
struct out_head {
	nghttp2_nv *nv;
	size_t n;
	struct sn_slice text;
	ptrdiff_t to_copy; /* from an octet of the text to its copy */
};

/* 0 or -SN_ENOMEM. @text: empty when the head is not the stream's last one. */
static int begin_head(struct out_head *o, struct sn_h2__stream *s, struct sn_slice text, size_t n)
{
	if (nv_reserve(s->pub.h2, n) != 0)
		return -SN_ENOMEM;
	*o = (struct out_head){.nv = s->pub.h2->nv};
	if (text.n == 0 || sn_buf_len(&s->pinned) > 0)
		return 0;
	if (sn_buf_append(&s->pinned, text.p, text.n) != 0)
		return -SN_ENOMEM;
	o->text = text;
	o->to_copy = (ptrdiff_t)((uintptr_t)s->pinned.data - (uintptr_t)text.p);
	return 0;
}

static inline const char *pinned(const struct out_head *o, struct sn_slice s, uint8_t flag,
				 uint8_t *flags)
{
	if ((uintptr_t)s.p - (uintptr_t)o->text.p >= o->text.n)
		return s.p;
	*flags |= flag;
	return s.p + o->to_copy;
}

static inline void put_field(struct out_head *o, struct sn_slice name, struct sn_slice value,
			     uint8_t flags)
{
	name.p = pinned(o, name, NGHTTP2_NV_FLAG_NO_COPY_NAME, &flags);
	value.p = pinned(o, value, NGHTTP2_NV_FLAG_NO_COPY_VALUE, &flags);
	o->nv[o->n++] = nv_of(name, value, flags);
}

/* Values that no second message has would only push others out of the compression table. */
static uint8_t nv_flags(const struct sn_header *h)
{
	if (h->flags & SN_HDR_SECRET || h->id == SN_HDR_TRACEPARENT || h->id == SN_HDR_TRACESTATE)
		return NGHTTP2_NV_FLAG_NO_INDEX;
	return NGHTTP2_NV_FLAG_NONE;
}

static void put_headers(struct out_head *o, const struct sn_headers *hs)
{
	for (uint32_t i = 0; i < hs->n; i++)
		if (sn_h2__is_sent(&hs->v[i]))
			put_field(o, hs->v[i].name, hs->v[i].value, nv_flags(&hs->v[i]));
}

/* @name is of static storage. */
static void put_pseudo(struct out_head *o, struct sn_slice name, struct sn_slice value)
{
	uint8_t flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;

	value.p = pinned(o, value, NGHTTP2_NV_FLAG_NO_COPY_VALUE, &flags);
	o->nv[o->n++] = nv_of(name, value, flags);
}

static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
		       nghttp2_data_source *source, void *user);

static int submit_failed(struct sn_h2 *h2, int rc)
{
	if (rc == NGHTTP2_ERR_NOMEM)
		return -SN_ENOMEM;
	return rc == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE || h2->rc != 0 ? -SN_ELIMIT : -SN_ENOMEM;
}

bool sn_h2_can_open(const struct sn_h2 *h2)
{
	if (h2->role != SN_H2_CLIENT || h2->rc != 0 || h2->peer_left || h2->leaving)
		return false;
	return h2->n_streams < h2->peer_streams && nghttp2_session_check_request_allowed(h2->ng);
}

static int put_request(struct out_head *o, struct sn_h2__stream *s, const struct sn_request *req)
{
	bool tunnel = req->method == SN_METHOD_CONNECT && !req->upgrade;

	if (begin_head(o, s, req->text, req->headers.n + 5) != 0)
		return -SN_ENOMEM;
	put_pseudo(o, SN_SLICE(":method"), req->upgrade ? SN_SLICE("CONNECT") : req->method_text);
	if (req->upgrade)
		put_pseudo(o, SN_SLICE(":protocol"), req->upgrade_to);
	if (!tunnel) {
		put_pseudo(o, SN_SLICE(":scheme"),
			   req->scheme.n > 0 ? req->scheme : SN_SLICE("http"));
		put_pseudo(o, SN_SLICE(":path"), req->path);
	}
	if (req->authority.n > 0)
		put_pseudo(o, SN_SLICE(":authority"), req->authority);
	put_headers(o, &req->headers);
	return 0;
}

int sn_h2_submit_request(struct sn_h2 *h2, const struct sn_request *req, bool end, void *user,
			 struct sn_h2_stream **ret)
{
	nghttp2_data_provider provider = {.read_callback = on_read};
	struct sn_h2__stream *s;
	struct out_head o;
	int32_t id;

	if (!sn_h2_can_open(h2))
		return -SN_ELIMIT;
	s = sn_h2__stream_get(h2);
	if (!s)
		return -SN_ENOMEM;
	if (put_request(&o, s, req) != 0) {
		sn_h2__stream_put(h2, s);
		return -SN_ENOMEM;
	}
	provider.source.ptr = s;
	id = nghttp2_submit_request(h2->ng, NULL, h2->nv, o.n, end ? NULL : &provider, s);
	if (id < 0) {
		sn_h2__stream_put(h2, s);
		return submit_failed(h2, id);
	}
	s->pub.id = id;
	s->pub.user = user;
	s->pub.local_ended = end;
	s->method = req->upgrade ? SN_METHOD_CONNECT : req->method;
	s->announced = true;
	*ret = &s->pub;
	return 0;
}

static int submit_final(struct sn_h2__stream *s, size_t n_nv, bool end)
{
	struct sn_h2 *h2 = s->pub.h2;
	nghttp2_data_provider provider = {.source = {.ptr = s}, .read_callback = on_read};
	int rc = nghttp2_submit_response(h2->ng, s->pub.id, h2->nv, n_nv, end ? NULL : &provider);

	if (rc != 0)
		return sn_h2__fail_memory(s->pub.h2);
	s->pub.local_ended |= end;
	return 0;
}

int sn_h2_submit_response(struct sn_h2_stream *pub, const struct sn_response *resp, bool end)
{
	struct sn_h2__stream *s = sn_h2__stream_of(pub);
	struct sn_h2 *h2 = pub->h2;
	unsigned status = resp->status;
	struct out_head o;
	char digits[3];

	if (s->resetting)
		return 0;
	if (status == 101)
		status = 200; /* an upgrade's yes to an extended CONNECT (RFC 8441 5) */
	if (h2->no_memory ||
	    begin_head(&o, s, status >= 200 ? resp->text : SN_SLICE(""), resp->headers.n + 1) != 0)
		return -SN_ENOMEM;
	digits[0] = (char)('0' + status / 100 % 10);
	digits[1] = (char)('0' + status / 10 % 10);
	digits[2] = (char)('0' + status % 10);
	put_pseudo(&o, SN_SLICE(":status"), sn_slice(digits, 3));
	put_headers(&o, &resp->headers);
	if (status >= 200)
		return submit_final(s, o.n, end);
	return nghttp2_submit_headers(h2->ng, NGHTTP2_FLAG_NONE, pub->id, NULL, o.nv, o.n, NULL) < 0
		       ? sn_h2__fail_memory(h2)
		       : 0;
}

/* --- sending: payload and trailers --- */

int sn_h2__resume(struct sn_h2__stream *s)
{
	if (!s->deferred || s->pub.h2->no_memory)
		return 0;
	s->deferred = false;
	return nghttp2_session_resume_data(s->pub.h2->ng, s->pub.id) == NGHTTP2_ERR_NOMEM
		       ? sn_h2__fail_memory(s->pub.h2)
		       : 0;
}

/* Hands the kept trailers to nghttp2, which copies them. */
static int submit_trailers(struct sn_h2__stream *s)
{
	struct sn_h2 *h2 = s->pub.h2;
	const char *p = sn_buf_slice(&s->trailers).p;
	nghttp2_nv *nv;

	if (nv_reserve(h2, s->n_trailers) != 0)
		return -1;
	nv = h2->nv;
	for (uint32_t i = 0; i < s->n_trailers; i++) {
		struct sn_h2__trailer t;

		memcpy(&t, p, sizeof(t));
		p += sizeof(t);
		nv[i] = nv_of(sn_slice(p, t.n_name), sn_slice(p + t.n_name, t.n_value),
			      NGHTTP2_NV_FLAG_NONE);
		p += t.n_name + t.n_value;
	}
	return nghttp2_submit_trailer(h2->ng, s->pub.id, h2->nv, s->n_trailers);
}

/* nghttp2 asks how much the next DATA frame holds; on_send_data then writes it. */
static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
		       nghttp2_data_source *source, void *user)
{
	struct sn_h2__stream *s = source->ptr;
	size_t waiting = sn_buf_len(&s->send);

	(void)ng;
	(void)id;
	(void)buf;
	(void)user;
	if (waiting == 0 && !s->pub.local_ended) {
		s->deferred = true;
		return NGHTTP2_ERR_DEFERRED;
	}
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (waiting > n)
		return (ssize_t)n;
	if (!s->pub.local_ended)
		return (ssize_t)waiting;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (s->n_trailers > 0) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		if (submit_trailers(s) != 0)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	return (ssize_t)waiting;
}

static int on_send_data(nghttp2_session *ng, nghttp2_frame *frame, const uint8_t *head, size_t n,
			nghttp2_data_source *source, void *user)
{
	struct sn_h2__stream *s = source->ptr;
	struct sn_h2 *h2 = user;
	char *p;

	(void)ng;
	(void)frame;
	if (sn_buf_reserve(h2->out, SN_H2__FRAME_HEAD + n) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	p = h2->out->data + h2->out->end;
	memcpy(p, head, SN_H2__FRAME_HEAD);
	if (n > 0)
		memcpy(p + SN_H2__FRAME_HEAD, s->send.data + s->send.start, n);
	h2->out->end += SN_H2__FRAME_HEAD + n;
	sn_buf_consume(&s->send, n);
	sn_h2_guard_sent_data(&h2->guard, (uint32_t)n);
	if (s->wants_drained && sn_buf_len(&s->send) <= s->low_mark) {
		s->wants_drained = false;
		if (!s->resetting && h2->ev->drained)
			h2->ev->drained(&s->pub);
	}
	return sn_buf_len(h2->out) >= h2->max_out ? NGHTTP2_ERR_PAUSE : 0;
}

static int on_frame_send(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct sn_h2 *h2 = user;
	struct sn_h2__stream *s;

	(void)ng;
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR &&
	    h2->rc == 0)
		library_failed(h2, frame->goaway.error_code);
	if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	s = sn_h2__find(h2, frame->hd.stream_id);
	if (!s)
		return 0;
	s->end_sent = true;
	if (s->reset_after_end && !s->pub.remote_ended && !s->resetting)
		sn_h2__reset_now(h2, s, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user)
{
	struct sn_h2__stream *s;

	(void)error;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	(void)user;
	s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	if (s)
		s->never_sent = true;
	return 0;
}

/* Our first SETTINGS frame, with the limit on streams added. The library is not told of it, since
 * it would answer a surplus stream by ending the connection, where RFC 9113 5.1.2 has the stream.
 */
static int append_settings(struct sn_h2 *h2, struct sn_buf *out, const uint8_t *p, size_t n)
{
	uint32_t max = h2->set.max_streams;
	size_t len = n - SN_H2__FRAME_HEAD + SETTING_BYTES;
	uint8_t head[SN_H2__FRAME_HEAD];
	uint8_t entry[SETTING_BYTES] = {0,
					NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
					(uint8_t)(max >> 24),
					(uint8_t)(max >> 16),
					(uint8_t)(max >> 8),
					(uint8_t)max};

	memcpy(head, p, sizeof(head));
	head[0] = (uint8_t)(len >> 16);
	head[1] = (uint8_t)(len >> 8);
	head[2] = (uint8_t)len;
	h2->limit_told = true;
	if (sn_buf_reserve(out, n + SETTING_BYTES))
		return -SN_ENOMEM;
	(void)sn_buf_append(out, head, sizeof(head));
	(void)sn_buf_append(out, p + sizeof(head), n - sizeof(head));
	return sn_buf_append(out, entry, sizeof(entry));
}

static int append_frame(struct sn_h2 *h2, struct sn_buf *out, const uint8_t *p, size_t n)
{
	if (h2->role == SN_H2_SERVER && !h2->limit_told && n >= SN_H2__FRAME_HEAD &&
	    p[3] == NGHTTP2_SETTINGS && !(p[4] & NGHTTP2_FLAG_ACK))
		return append_settings(h2, out, p, n);
	return sn_buf_append(out, p, n);
}

int sn_h2_pull(struct sn_h2 *h2, struct sn_buf *out, size_t max_bytes)
{
	if (h2->no_memory)
		return -SN_ENOMEM;
	h2->out = out;
	h2->max_out = max_bytes;
	while (sn_buf_len(out) < max_bytes) {
		const uint8_t *p;
		ssize_t n = nghttp2_session_mem_send(h2->ng, &p);

		if (n == 0)
			return h2->no_memory ? -SN_ENOMEM : 0;
		if (n < 0 || append_frame(h2, out, p, (size_t)n) != 0)
			return sn_h2__fail_memory(h2);
	}
	return h2->no_memory ? -SN_ENOMEM : 0;
}

bool sn_h2_wants_write(const struct sn_h2 *h2)
{
	return !h2->no_memory && nghttp2_session_want_write(h2->ng) != 0;
}

bool sn_h2_is_over(const struct sn_h2 *h2)
{
	if (sn_h2_wants_write(h2))
		return false;
	return h2->rc != 0 || !nghttp2_session_want_read(h2->ng);
}

/* --- receiving --- */

static struct sn_h2__stream *stream_came(struct sn_h2 *h2, int32_t id)
{
	nghttp2_extpri fair = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};
	struct sn_h2__stream *s = sn_h2__stream_get(h2);

	if (!s)
		return NULL;
	s->pub.id = id;
	(void)nghttp2_session_set_stream_user_data(h2->ng, id, s);
	/* By turns: else the oldest stream goes first, however long it is. */
	(void)nghttp2_session_change_extpri_stream_priority(h2->ng, id, &fair, 1);
	return s;
}

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct sn_h2 *h2 = user;
	struct sn_h2__stream *s = sn_h2__find(h2, frame->hd.stream_id);

	(void)ng;
	if (frame->hd.type != NGHTTP2_HEADERS)
		s = NULL;
	else if (!s && h2->role == SN_H2_SERVER && !h2->leaving) {
		/* When leaving it is above our GOAWAY's last stream: not ours to process. */
		if (h2->n_streams >= h2->set.max_streams)
			sn_h2__surplus_came(h2, frame->hd.stream_id);
		else if (!(s = stream_came(h2, frame->hd.stream_id)))
			return NGHTTP2_ERR_CALLBACK_FAILURE;
	}
	sn_h2__section_begin(h2, s);
	return 0;
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, const uint8_t *name,
		     size_t n_name, const uint8_t *value, size_t n_value, uint8_t flags, void *user)
{
	(void)ng;
	(void)frame;
	return sn_h2__field_came(user, sn_slice((const char *)name, n_name),
				 sn_slice((const char *)value, n_value),
				 flags & NGHTTP2_NV_FLAG_NO_INDEX ? SN_HDR_SECRET : 0) == 0
		       ? 0
		       : NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
			 void *user)
{
	struct sn_h2__stream *s = sn_h2__find(user, id);

	if (nghttp2_session_consume_connection(ng, n) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (!s)
		return 0;
	s->ending = flags & NGHTTP2_FLAG_END_STREAM;
	sn_h2__data_came(user, s, sn_slice((const char *)p, n));
	return 0;
}

static void settings_came(struct sn_h2 *h2)
{
	h2->settings_seen = true;
	h2->peer_streams = nghttp2_session_get_remote_settings(
		h2->ng, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	h2->peer_connect = nghttp2_session_get_remote_settings(
				   h2->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct sn_h2 *h2 = user;
	struct sn_h2__stream *s;

	(void)ng;
	switch (frame->hd.type) {
	case NGHTTP2_DATA:
		if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
			return 0;
		s = sn_h2__find(h2, frame->hd.stream_id);
		if (!s)
			return 0;
		if (!s->announced || s->resetting)
			s->pub.remote_ended = true;
		else
			sn_h2__end_came(h2, s, NULL, sn_slice("", 0));
		return 0;
	case NGHTTP2_HEADERS:
		return sn_h2__section_came(h2, frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
			       ? NGHTTP2_ERR_CALLBACK_FAILURE
			       : 0;
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			settings_came(h2);
		return 0;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK && h2->ev->pong)
			h2->ev->pong(h2);
		return 0;
	case NGHTTP2_GOAWAY:
		h2->peer_left = true;
		if (h2->ev->goaway)
			h2->ev->goaway(h2);
		return 0;
	default:
		return 0;
	}
}

/* A frame that nghttp2 answers with a reset of its own. */
static int on_invalid_frame(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user)
{
	struct sn_h2 *h2 = user;

	(void)ng;
	(void)error;
	sn_h2__note_reset(h2, frame->hd.stream_id);
	if (h2->role == SN_H2_SERVER &&
	    !sn_h2_guard_take(&h2->guard, SN_H2_BUDGET_RESET, h2->now_ms))
		(void)sn_h2__fail_budget(h2);
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
	struct sn_h2 *h2 = user;
	struct sn_h2__stream *s = sn_h2__find(h2, id);
	bool refused = error == NGHTTP2_REFUSED_STREAM;

	(void)ng;
	if (!s)
		return 0;
	if (h2->cur == s)
		h2->cur = NULL;
	if (s->resetting)
		error = s->reset_code;
	else if (error == NGHTTP2_NO_ERROR && !s->pub.remote_ended)
		error = NGHTTP2_CANCEL; /* a reset that says nothing, in the middle of a message */
	else if (error == NGHTTP2_NO_ERROR)
		sn_h2_guard_earn(&h2->guard, SN_H2_BUDGET_RESET, 1);
	sn_h2__tell_closed(h2, s, error,
			   h2->role == SN_H2_CLIENT && !s->resetting &&
				   (s->never_sent || (refused && !s->answered)));
	return 0;
}

int sn_h2__give(struct sn_h2 *h2, const char *p, size_t n)
{
	ssize_t used = nghttp2_session_mem_recv(h2->ng, (const uint8_t *)p, n);

	if (used == NGHTTP2_ERR_NOMEM || used == NGHTTP2_ERR_CALLBACK_FAILURE)
		return h2->rc != 0 ? h2->rc : sn_h2__fail_memory(h2);
	if (used < 0) /* its own limits, which lie behind ours */
		return sn_h2__fail(h2, SN_ELIMIT, NGHTTP2_ENHANCE_YOUR_CALM, "control-flood");
	return h2->rc;
}

size_t sn_h2__backlog(const struct sn_h2 *h2)
{
	return nghttp2_session_get_outbound_queue_size(h2->ng);
}

/* --- the session --- */

static nghttp2_option *make_options(void)
{
	nghttp2_option *o;

	if (nghttp2_option_new(&o) != 0)
		return NULL;
	nghttp2_option_set_no_auto_window_update(o, 1);
	nghttp2_option_set_no_http_messaging(o, 1);
	nghttp2_option_set_no_closed_streams(o, 1);
	nghttp2_option_set_max_settings(o, 32);
	nghttp2_option_set_max_outbound_ack(o, 1000);
	nghttp2_option_set_peer_max_concurrent_streams(o, DEFAULT_PEER_STREAMS);
	nghttp2_option_set_max_send_header_block_length(o, 1 << 20);
	/* Ours knows more: which resets were paid for by work, and those that we were made to send.
	 */
	if (nghttp2_option_set_stream_reset_rate_limit)
		nghttp2_option_set_stream_reset_rate_limit(o, UINT64_MAX, UINT64_MAX);
	return o;
}

static void *mem_get(size_t n, void *user)
{
	return sn_h2_mem_get(user, n);
}

static void mem_put(void *p, void *user)
{
	sn_h2_mem_put(user, p);
}

static void *mem_zeroed(size_t n, size_t size, void *user)
{
	return sn_h2_mem_zeroed(user, n, size);
}

static void *mem_resize(void *p, size_t n, void *user)
{
	return sn_h2_mem_resize(user, p, n);
}

static int make_session(struct sn_h2 *h2)
{
	nghttp2_mem mem = {&h2->mem, mem_get, mem_put, mem_zeroed, mem_resize};
	nghttp2_option *o = make_options();
	nghttp2_session_callbacks *cb = NULL;
	nghttp2_session *ng = NULL;
	int rc = -1;

	if (o && nghttp2_session_callbacks_new(&cb) == 0) {
		nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
		nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
		nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
		nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
		nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
		rc = h2->role == SN_H2_SERVER ? nghttp2_session_server_new3(&ng, cb, h2, o, &mem)
					      : nghttp2_session_client_new3(&ng, cb, h2, o, &mem);
	}
	h2->ng = ng;
	nghttp2_session_callbacks_del(cb);
	nghttp2_option_del(o);
	return rc;
}

static int submit_settings(struct sn_h2 *h2)
{
	const struct sn_h2_settings *set = &h2->set;
	nghttp2_settings_entry e[5];
	size_t n = 0;

	e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, set->stream_window};
	e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, set->header_bytes};
	if (h2->role == SN_H2_SERVER) {
		e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
		e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1};
	} else {
		e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
	}
	if (nghttp2_submit_settings(h2->ng, NGHTTP2_FLAG_NONE, e, n) != 0)
		return -1;
	return nghttp2_session_set_local_window_size(h2->ng, NGHTTP2_FLAG_NONE, 0,
						     (int32_t)set->connection_window);
}

struct sn_h2 *sn_h2_new(enum sn_h2_role role, const struct sn_h2_settings *settings,
			const struct sn_h2_events *ev, void *user)
{
	struct sn_h2 *h2 = calloc(1, sizeof(*h2));

	if (!h2)
		return NULL;
	h2->role = role;
	h2->set = *settings;
	h2->ev = ev;
	h2->user = user;
	h2->peer_streams = DEFAULT_PEER_STREAMS;
	h2->magic_left = role == SN_H2_SERVER ? SN_H2__MAGIC_BYTES : 0;
	sn_list_init(&h2->streams);
	sn_list_init(&h2->free_streams);
	sn_h2_fields_init(&h2->trailers);
	sn_h2_mem_init(&h2->mem);
	if (sn_h2__ring_init(h2) != 0 || make_session(h2) != 0 || submit_settings(h2) != 0) {
		h2->no_memory = true;
		sn_h2_free(h2);
		return NULL;
	}
	return h2;
}

void *sn_h2_user(const struct sn_h2 *h2)
{
	return h2->user;
}

void sn_h2_free(struct sn_h2 *h2)
{
	if (!h2)
		return;
	h2->rc = h2->rc != 0 ? h2->rc : -SN_EOF;
	for (struct sn_list *l; (l = sn_list_first(&h2->streams));) {
		struct sn_h2__stream *s = sn_list_entry(l, struct sn_h2__stream, link);

		s->resetting = true;
		sn_h2__tell_closed(h2, s, NGHTTP2_CANCEL, false);
	}
	if (!h2->no_memory)
		nghttp2_session_del(h2->ng);
	for (struct sn_list *l; (l = sn_list_first(&h2->free_streams));)
		sn_h2__stream_free(sn_list_entry(l, struct sn_h2__stream, link));
	sn_h2_mem_done(&h2->mem);
	sn_h2_fields_done(&h2->trailers);
	free(h2->resets);
	free(h2->nv);
	free(h2);
}

void sn_h2_trim(struct sn_h2 *h2)
{
	for (struct sn_list *l; (l = sn_list_first(&h2->free_streams));)
		sn_h2__stream_free(sn_list_entry(l, struct sn_h2__stream, link));
	h2->n_free = 0;
	if (!h2->cur) {
		sn_h2_fields_done(&h2->trailers);
		sn_h2_fields_init(&h2->trailers);
	}
	sn_h2_mem_trim(&h2->mem);
	free(h2->nv);
	h2->nv = NULL;
	h2->nv_cap = 0;
}

bool sn_h2_peer_takes_connect(const struct sn_h2 *h2)
{
	return h2->peer_connect;
}

bool sn_h2_settings_seen(const struct sn_h2 *h2)
{
	return h2->settings_seen;
}

uint32_t sn_h2_n_streams(const struct sn_h2 *h2)
{
	return h2->n_streams;
}

void sn_h2_ping(struct sn_h2 *h2)
{
	if (!h2->no_memory && nghttp2_submit_ping(h2->ng, NGHTTP2_FLAG_NONE, NULL) != 0)
		(void)sn_h2__fail_memory(h2);
}

void sn_h2_shutdown_notice(struct sn_h2 *h2)
{
	if (h2->role == SN_H2_SERVER && !h2->no_memory &&
	    nghttp2_submit_shutdown_notice(h2->ng) != 0)
		(void)sn_h2__fail_memory(h2);
}

void sn_h2_shutdown(struct sn_h2 *h2)
{
	if (h2->leaving || h2->no_memory)
		return;
	h2->leaving = true;
	if (nghttp2_submit_goaway(h2->ng, NGHTTP2_FLAG_NONE,
				  nghttp2_session_get_last_proc_stream_id(h2->ng), NGHTTP2_NO_ERROR,
				  NULL, 0) != 0)
		(void)sn_h2__fail_memory(h2);
}
