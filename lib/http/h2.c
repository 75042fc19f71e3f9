/* SPDX-License-Identifier: Apache-2.0 */
/* The one file that knows nghttp2. The library frames, compresses and keeps windows; its checks of
 * HTTP are off, since ours (http/h2_fields.h) are stricter and made once. What it lets pass that
 * RFC 9113 forbids is caught here, frame by frame, before it sees the frame.
 *
 * A stream:   free --> open --(both sides ended, or reset)--> `closed` --> free
 * A session:  preface --> open --> (GOAWAY either way: no new streams) --> over
 *                          \--> failed (our GOAWAY with an error waits to be pulled) --> over */
#include "http/h2.h"

#include <nghttp2/nghttp2.h>
#include <stdlib.h>

#include "base/err.h"
#include "base/list.h"
#include "http/h2_fields.h"
#include "http/h2_guard.h"
#include "http/h2_mem.h"

/* Not in every nghttp2 that we build with: NULL where the library has not got it. */
extern void nghttp2_option_set_stream_reset_rate_limit(nghttp2_option *option, uint64_t burst,
						       uint64_t rate) __attribute__((weak));

#define FRAME_HEAD 9
#define DEFAULT_PEER_STREAMS 100 /* until its SETTINGS come */
/* Streams that we reset not long ago, whose frames may still be on the way: twice as many as may be
 * open, within these. */
#define RESETS_MIN 64
#define RESETS_MAX 4096
#define KEEP_STREAMS 64
#define KEEP_SEND_BYTES 16384
/* Frames that wait for a peer that does not read: acknowledgements and resets, mostly. */
#define BACKLOG_FRAMES 4000
/* Fields of one section that are decoded only to be dropped: past this it is a compression bomb. */
#define DROPPED_FIELDS 4096
#define NV_STATIC (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)

static const char client_magic[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
#define MAGIC_BYTES (sizeof(client_magic) - 1)

struct stream {
	struct sn_h2_stream pub; /* first: the owner's pointer is ours */
	struct sn_list link;	 /* of the session's streams or free ones */
	struct sn_h2_fields head;
	struct sn_buf send;	/* payload that waits */
	struct sn_buf trailers; /* struct trailer_head, name, value; once more for each */
	uint32_t n_trailers;
	size_t low_mark;       /* `drained` is due when this much or less waits */
	uint64_t length, got;  /* payload as declared, and so far */
	enum sn_method method; /* of the request */
	uint32_t reset_code;
	bool has_length;
	bool announced; /* the owner knows it */
	bool resetting; /* no more events but `closed` */
	bool deferred;	/* nghttp2 has been told that there is nothing to send */
	bool wants_drained;
	bool has_trailers;
	bool end_sent; /* our END_STREAM has left */
	bool reset_after_end;
	bool never_sent; /* a request that nghttp2 gave up before it left */
	bool answered;	 /* a response head came, 1xx included */
	bool connect;	 /* extended CONNECT */
};

struct trailer_head {
	uint32_t n_name, n_value;
};

struct sn_h2 {
	nghttp2_session *ng;
	enum sn_h2_role role;
	struct sn_h2_settings set;
	const struct sn_h2_events *ev;
	void *user;

	struct sn_list streams, free_streams;
	uint32_t n_streams, n_free;
	int32_t last_in; /* highest stream that the peer opened */

	int rc; /* of feed, once the session has failed */
	const char *failure;
	struct sn_h2_guard guard;
	uint64_t now_ms;
	bool guard_started, settings_seen, peer_connect, peer_left, leaving, no_memory;

	/* where in the input we stand */
	size_t magic_left;
	uint8_t frame_head[FRAME_HEAD];
	size_t n_frame_head;
	size_t payload_left;
	struct sn_h2_frame_head frame;
	uint8_t dependency[4]; /* of a PRIORITY frame */
	size_t n_dependency;

	/* the field section that is being read */
	struct stream *cur;
	struct sn_h2_fields *section;
	struct sn_h2_fields trailers;
	bool section_bad;
	uint32_t n_dropped; /* fields of it that were too much */

	int32_t *resets; /* a ring of ids; server only */
	uint32_t n_resets, cap_resets;

	/* pull */
	struct sn_buf *out;
	size_t max_out;

	struct sn_h2_mem mem; /* nghttp2's */

	nghttp2_nv *nv; /* scratch for what is submitted */
	size_t nv_cap;
};

/* --- failing --- */

static int fail(struct sn_h2 *h2, int code, uint32_t h2_error, const char *failure)
{
	if (h2->rc != 0)
		return h2->rc;
	h2->rc = -code;
	h2->failure = failure;
	if (!h2->no_memory)
		(void)nghttp2_session_terminate_session(h2->ng, h2_error);
	return h2->rc;
}

static int fail_budget(struct sn_h2 *h2)
{
	return fail(h2, SN_ELIMIT, NGHTTP2_ENHANCE_YOUR_CALM, h2->guard.failure);
}

/* nghttp2 cannot be trusted after an allocation of its own has failed (one path frees an item that
 * it still has): from here on it is not called again, and its memory is dropped whole. */
static int fail_memory(struct sn_h2 *h2)
{
	h2->no_memory = true;
	return fail(h2, SN_ENOMEM, NGHTTP2_INTERNAL_ERROR, "no-memory");
}

const char *sn_h2_failure(const struct sn_h2 *h2)
{
	return h2->failure;
}

/* --- streams --- */

static struct stream *stream_of(struct sn_h2_stream *s)
{
	return (struct stream *)s;
}

static struct stream *find(struct sn_h2 *h2, int32_t id)
{
	return nghttp2_session_get_stream_user_data(h2->ng, id);
}

static struct stream *stream_get(struct sn_h2 *h2)
{
	struct sn_list *l = sn_list_first(&h2->free_streams);
	struct stream *s;

	if (l) {
		s = sn_list_entry(l, struct stream, link);
		sn_list_del(l);
		h2->n_free--;
	} else {
		s = calloc(1, sizeof(*s));
		if (!s)
			return NULL;
		sn_h2_fields_init(&s->head);
		sn_buf_init(&s->send, 0);
		sn_buf_init(&s->trailers, 0);
		sn_list_init(&s->link);
	}
	s->pub.h2 = h2;
	sn_list_push_back(&h2->streams, &s->link);
	h2->n_streams++;
	return s;
}

static void stream_free(struct stream *s)
{
	sn_list_del(&s->link);
	sn_h2_fields_done(&s->head);
	sn_buf_done(&s->send);
	sn_buf_done(&s->trailers);
	free(s);
}

/* Back to the free ones; its buffers stay, unless they are large. */
static void stream_put(struct sn_h2 *h2, struct stream *s)
{
	struct sn_h2_fields head;
	struct sn_buf send, trailers;

	h2->n_streams--;
	if (h2->n_free >= KEEP_STREAMS) {
		stream_free(s);
		return;
	}
	if (s->send.cap > KEEP_SEND_BYTES)
		sn_buf_done(&s->send);
	sn_buf_reset(&s->send);
	sn_buf_reset(&s->trailers);
	sn_list_del(&s->link);
	head = s->head;
	send = s->send;
	trailers = s->trailers;
	*s = (struct stream){.head = head, .send = send, .trailers = trailers};
	sn_list_push_front(&h2->free_streams, &s->link);
	h2->n_free++;
}

static void tell_closed(struct sn_h2 *h2, struct stream *s, uint32_t error, bool unprocessed)
{
	if (s->announced)
		h2->ev->closed(&s->pub, error, unprocessed);
	stream_put(h2, s);
}

static void note_reset(struct sn_h2 *h2, int32_t id)
{
	if (h2->cap_resets > 0)
		h2->resets[h2->n_resets++ % h2->cap_resets] = id;
}

static bool was_reset(const struct sn_h2 *h2, int32_t id)
{
	for (uint32_t i = 0; i < h2->cap_resets; i++)
		if (h2->resets[i] == id)
			return true;
	return false;
}

static void reset_now(struct sn_h2 *h2, struct stream *s, uint32_t code)
{
	s->resetting = true;
	s->reset_code = code;
	note_reset(h2, s->pub.id);
	if (!h2->no_memory &&
	    nghttp2_submit_rst_stream(h2->ng, NGHTTP2_FLAG_NONE, s->pub.id, code) != 0)
		(void)fail_memory(h2);
}

void sn_h2_reset(struct sn_h2_stream *pub, enum sn_h2_error code)
{
	struct stream *s = stream_of(pub);

	if (s->resetting)
		return;
	if (code == SN_H2_NO_ERROR && pub->local_ended && !s->end_sent) {
		s->reset_after_end = true; /* it must not overtake the end of our message */
		return;
	}
	reset_now(pub->h2, s, (uint32_t)code);
}

/* A reset that the peer made us send: charged to it. */
static void provoked(struct sn_h2 *h2, struct stream *s, uint32_t code)
{
	if (!s->resetting)
		reset_now(h2, s, code);
	if (h2->role == SN_H2_SERVER &&
	    !sn_h2_guard_take(&h2->guard, SN_H2_BUDGET_RESET, h2->now_ms))
		(void)fail_budget(h2);
}

static void malformed(struct sn_h2 *h2, struct stream *s, const char *reason)
{
	if (s->resetting)
		return;
	if (h2->ev->refused && (!s->announced || h2->role == SN_H2_CLIENT))
		h2->ev->refused(h2, h2->role == SN_H2_SERVER ? 400 : 502, reason);
	provoked(h2, s, NGHTTP2_PROTOCOL_ERROR);
}

void sn_h2_consume(struct sn_h2_stream *pub, size_t n)
{
	if (n > 0 && !pub->remote_ended && !stream_of(pub)->resetting && !pub->h2->no_memory &&
	    nghttp2_session_consume_stream(pub->h2->ng, pub->id, n) != 0)
		(void)fail_memory(pub->h2);
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

/* What belongs to a connection never crosses to HTTP/2, flagged or not; host is :authority. */
static bool is_sent(const struct sn_header *h)
{
	if (h->flags & (SN_HDR_HOP | SN_HDR_DROPPED))
		return false;
	switch (h->id) {
	case SN_HDR_CONNECTION:
	case SN_HDR_HOST:
	case SN_HDR_HTTP2_SETTINGS:
	case SN_HDR_KEEP_ALIVE:
	case SN_HDR_PROXY_CONNECTION:
	case SN_HDR_TRANSFER_ENCODING:
	case SN_HDR_UPGRADE:
		return false;
	default:
		return true;
	}
}

/* Values that no second message has would only push others out of the compression table. */
static uint8_t nv_flags(const struct sn_header *h)
{
	if (h->flags & SN_HDR_SECRET || h->id == SN_HDR_TRACEPARENT || h->id == SN_HDR_TRACESTATE)
		return NGHTTP2_NV_FLAG_NO_INDEX;
	return NGHTTP2_NV_FLAG_NONE;
}

static size_t nv_headers(struct sn_h2 *h2, size_t n, const struct sn_headers *hs)
{
	for (uint32_t i = 0; i < hs->n; i++)
		if (is_sent(&hs->v[i]))
			h2->nv[n++] = nv_of(hs->v[i].name, hs->v[i].value, nv_flags(&hs->v[i]));
	return n;
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
	uint32_t max = DEFAULT_PEER_STREAMS;

	if (h2->role != SN_H2_CLIENT || h2->rc != 0 || h2->peer_left || h2->leaving)
		return false;
	if (h2->settings_seen)
		max = nghttp2_session_get_remote_settings(h2->ng,
							  NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
	return h2->n_streams < max && nghttp2_session_check_request_allowed(h2->ng);
}

static size_t nv_request(struct sn_h2 *h2, const struct sn_request *req)
{
	bool tunnel = req->method == SN_METHOD_CONNECT && !req->upgrade;
	nghttp2_nv *nv = h2->nv;
	size_t n = 0;

	nv[n++] = nv_of(SN_SLICE(":method"), req->upgrade ? SN_SLICE("CONNECT") : req->method_text,
			NGHTTP2_NV_FLAG_NO_COPY_NAME);
	if (req->upgrade)
		nv[n++] =
			nv_of(SN_SLICE(":protocol"), req->upgrade_to, NGHTTP2_NV_FLAG_NO_COPY_NAME);
	if (!tunnel) {
		nv[n++] = nv_of(SN_SLICE(":scheme"),
				req->scheme.n > 0 ? req->scheme : SN_SLICE("http"),
				NGHTTP2_NV_FLAG_NO_COPY_NAME);
		nv[n++] = nv_of(SN_SLICE(":path"), req->path, NGHTTP2_NV_FLAG_NO_COPY_NAME);
	}
	if (req->authority.n > 0)
		nv[n++] =
			nv_of(SN_SLICE(":authority"), req->authority, NGHTTP2_NV_FLAG_NO_COPY_NAME);
	return nv_headers(h2, n, &req->headers);
}

int sn_h2_submit_request(struct sn_h2 *h2, const struct sn_request *req, bool end, void *user,
			 struct sn_h2_stream **ret)
{
	nghttp2_data_provider provider = {.read_callback = on_read};
	struct stream *s;
	int32_t id;

	if (!sn_h2_can_open(h2))
		return -SN_ELIMIT;
	if (nv_reserve(h2, req->headers.n + 5) != 0)
		return -SN_ENOMEM;
	s = stream_get(h2);
	if (!s)
		return -SN_ENOMEM;
	provider.source.ptr = s;
	id = nghttp2_submit_request(h2->ng, NULL, h2->nv, nv_request(h2, req),
				    end ? NULL : &provider, s);
	if (id < 0) {
		stream_put(h2, s);
		return submit_failed(h2, id);
	}
	s->pub.id = id;
	s->pub.user = user;
	s->pub.local_ended = end;
	s->method = req->upgrade ? SN_METHOD_CONNECT : req->method;
	s->connect = req->upgrade;
	s->announced = true;
	*ret = &s->pub;
	return 0;
}

static int submit_final(struct stream *s, size_t n_nv, bool end)
{
	struct sn_h2 *h2 = s->pub.h2;
	nghttp2_data_provider provider = {.source = {.ptr = s}, .read_callback = on_read};
	int rc = nghttp2_submit_response(h2->ng, s->pub.id, h2->nv, n_nv, end ? NULL : &provider);

	if (rc != 0)
		return fail_memory(s->pub.h2);
	s->pub.local_ended |= end;
	return 0;
}

int sn_h2_submit_response(struct sn_h2_stream *pub, const struct sn_response *resp, bool end)
{
	struct stream *s = stream_of(pub);
	struct sn_h2 *h2 = pub->h2;
	unsigned status = resp->status;
	char digits[3];
	size_t n = 0;

	if (s->resetting)
		return 0;
	if (status == 101)
		status = 200; /* an upgrade's yes to an extended CONNECT (RFC 8441 5) */
	if (h2->no_memory || nv_reserve(h2, resp->headers.n + 1) != 0)
		return -SN_ENOMEM;
	digits[0] = (char)('0' + status / 100 % 10);
	digits[1] = (char)('0' + status / 10 % 10);
	digits[2] = (char)('0' + status % 10);
	h2->nv[n++] = nv_of(SN_SLICE(":status"), sn_slice(digits, 3), NGHTTP2_NV_FLAG_NO_COPY_NAME);
	n = nv_headers(h2, n, &resp->headers);
	if (status >= 200)
		return submit_final(s, n, end);
	return nghttp2_submit_headers(h2->ng, NGHTTP2_FLAG_NONE, pub->id, NULL, h2->nv, n, NULL) < 0
		       ? fail_memory(h2)
		       : 0;
}

/* --- sending: payload and trailers --- */

static int resume(struct stream *s)
{
	if (!s->deferred || s->pub.h2->no_memory)
		return 0;
	s->deferred = false;
	return nghttp2_session_resume_data(s->pub.h2->ng, s->pub.id) == NGHTTP2_ERR_NOMEM
		       ? fail_memory(s->pub.h2)
		       : 0;
}

int sn_h2_send(struct sn_h2_stream *pub, const struct iovec *iov, int n_iov)
{
	struct stream *s = stream_of(pub);
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
	return resume(s);
}

static int keep_trailers(struct stream *s, const struct sn_headers *hs)
{
	for (uint32_t i = 0; i < hs->n; i++) {
		const struct sn_header *h = &hs->v[i];
		struct trailer_head t = {(uint32_t)h->name.n, (uint32_t)h->value.n};

		if (!is_sent(h) || !sn_trailer_allowed((enum sn_hdr_id)h->id, h->name))
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
	struct stream *s = stream_of(pub);

	if (s->resetting || pub->local_ended)
		return 0;
	if (trailers && keep_trailers(s, trailers) != 0)
		return -SN_ENOMEM;
	pub->local_ended = true;
	return resume(s);
}

size_t sn_h2_pending(const struct sn_h2_stream *pub)
{
	return sn_buf_len(&((const struct stream *)pub)->send);
}

bool sn_h2_wants_more(struct sn_h2_stream *pub, size_t limit_bytes)
{
	struct stream *s = stream_of(pub);

	if (sn_buf_len(&s->send) < limit_bytes)
		return true;
	s->wants_drained = true;
	s->low_mark = limit_bytes / 2;
	return false;
}

/* Hands the kept trailers to nghttp2, which copies them. */
static int submit_trailers(struct stream *s)
{
	struct sn_h2 *h2 = s->pub.h2;
	const char *p = sn_buf_slice(&s->trailers).p;

	if (nv_reserve(h2, s->n_trailers) != 0)
		return -1;
	for (uint32_t i = 0; i < s->n_trailers; i++) {
		struct trailer_head t;

		memcpy(&t, p, sizeof(t));
		p += sizeof(t);
		h2->nv[i] = nv_of(sn_slice(p, t.n_name), sn_slice(p + t.n_name, t.n_value),
				  NGHTTP2_NV_FLAG_NONE);
		p += t.n_name + t.n_value;
	}
	return nghttp2_submit_trailer(h2->ng, s->pub.id, h2->nv, s->n_trailers);
}

/* nghttp2 asks how much the next DATA frame holds; on_send_data then writes it. */
static ssize_t on_read(nghttp2_session *ng, int32_t id, uint8_t *buf, size_t n, uint32_t *flags,
		       nghttp2_data_source *source, void *user)
{
	struct stream *s = source->ptr;
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
	struct stream *s = source->ptr;
	struct sn_h2 *h2 = user;

	(void)ng;
	(void)frame;
	if (sn_buf_reserve(h2->out, FRAME_HEAD + n) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	(void)sn_buf_append(h2->out, head, FRAME_HEAD);
	(void)sn_buf_append(h2->out, sn_buf_slice(&s->send).p, n);
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
	struct stream *s;

	(void)ng;
	if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR &&
	    h2->rc == 0) {
		h2->rc = -SN_EPROTO; /* nghttp2 found something by itself */
		h2->failure = "protocol-error";
	}
	if ((frame->hd.type != NGHTTP2_DATA && frame->hd.type != NGHTTP2_HEADERS) ||
	    !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	s = find(h2, frame->hd.stream_id);
	if (!s)
		return 0;
	s->end_sent = true;
	if (s->reset_after_end && !s->pub.remote_ended && !s->resetting)
		reset_now(h2, s, NGHTTP2_NO_ERROR);
	return 0;
}

static int on_frame_not_send(nghttp2_session *ng, const nghttp2_frame *frame, int error, void *user)
{
	struct stream *s;

	(void)error;
	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	(void)user;
	s = nghttp2_session_get_stream_user_data(ng, frame->hd.stream_id);
	if (s)
		s->never_sent = true;
	return 0;
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
		if (n < 0 || sn_buf_append(out, p, (size_t)n) != 0)
			return fail_memory(h2);
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

/* --- receiving: heads --- */

static int on_begin_headers(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct sn_h2 *h2 = user;
	struct stream *s = find(h2, frame->hd.stream_id);
	enum sn_h2_section section = SN_H2_RESPONSE;

	h2->cur = NULL;
	h2->n_dropped = 0;
	if (frame->hd.type != NGHTTP2_HEADERS)
		return 0;
	if (h2->role == SN_H2_SERVER && !s) {
		nghttp2_extpri fair = {.urgency = NGHTTP2_EXTPRI_DEFAULT_URGENCY, .inc = 1};

		if (h2->leaving)
			return 0; /* above our GOAWAY's last stream: not ours to process */
		s = stream_get(h2);
		if (!s)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
		s->pub.id = frame->hd.stream_id;
		(void)nghttp2_session_set_stream_user_data(ng, s->pub.id, s);
		/* By turns: else the oldest stream goes first, however long it is. */
		(void)nghttp2_session_change_extpri_stream_priority(ng, s->pub.id, &fair, 1);
		section = SN_H2_REQUEST;
	}
	if (!s || s->resetting)
		return 0;
	h2->cur = s;
	h2->section_bad = false;
	h2->section = &s->head;
	if (s->pub.head_done) {
		section = SN_H2_TRAILERS;
		h2->section = &h2->trailers;
	}
	sn_h2_fields_begin(h2->section, section, h2->set.header_bytes, h2->set.header_count);
	return 0;
}

static struct sn_slice slice_of(nghttp2_rcbuf *rc)
{
	nghttp2_vec v = nghttp2_rcbuf_get_buf(rc);

	return sn_slice((const char *)v.base, v.len);
}

static int on_header(nghttp2_session *ng, const nghttp2_frame *frame, nghttp2_rcbuf *name,
		     nghttp2_rcbuf *value, uint8_t flags, void *user)
{
	struct sn_h2 *h2 = user;
	struct sn_h2_fields *f = h2->section;
	uint32_t n_before;
	int rc;

	(void)ng;
	(void)frame;
	if (!h2->cur || h2->section_bad || f->too_big) {
		if (++h2->n_dropped > DROPPED_FIELDS)
			(void)fail(h2, SN_ELIMIT, NGHTTP2_ENHANCE_YOUR_CALM, "header-flood");
		return 0;
	}
	n_before = f->n;
	rc = sn_h2_fields_add(f, slice_of(name), slice_of(value));
	if (rc == -SN_ENOMEM)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	h2->section_bad = rc != 0;
	if (flags & NGHTTP2_NV_FLAG_NO_INDEX && f->n > n_before)
		f->v[n_before].flags |= SN_HDR_SECRET;
	return 0;
}

/* 431, and a stop to what follows. */
static int refuse_large(struct sn_h2 *h2, struct stream *s)
{
	if (h2->ev->refused)
		h2->ev->refused(h2, 431, "head-too-large");
	if (nv_reserve(h2, 2) != 0)
		return -SN_ENOMEM;
	h2->nv[0] = nv_of(SN_SLICE(":status"), SN_SLICE("431"), NV_STATIC);
	h2->nv[1] = nv_of(SN_SLICE("content-length"), SN_SLICE("0"), NV_STATIC);
	if (submit_final(s, 2, true) != 0)
		return -SN_ENOMEM;
	if (!s->pub.remote_ended)
		sn_h2_reset(&s->pub, SN_H2_NO_ERROR);
	return 0;
}

static int request_came(struct sn_h2 *h2, struct stream *s)
{
	struct sn_request req;
	struct sn_slice head;
	int rc = h2->section_bad ? -SN_EPROTO
				 : sn_h2_fields_request(&s->head, s->pub.remote_ended,
							h2->set.extra_headers, &req, &head);

	if (rc == -SN_EPROTO)
		malformed(h2, s, s->head.reason);
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

static int response_came(struct sn_h2 *h2, struct stream *s)
{
	struct sn_response resp;
	struct sn_slice head;
	int rc = h2->section_bad ? -SN_EPROTO
				 : sn_h2_fields_response(&s->head, s->pub.remote_ended, s->method,
							 h2->set.extra_headers, &resp, &head);

	if (rc == -SN_EPROTO || rc == -SN_ETOOBIG) {
		malformed(h2, s, rc == -SN_ETOOBIG ? "head-too-large" : s->head.reason);
		return 0;
	}
	if (rc != 0)
		return rc;
	s->answered = true;
	s->pub.head_done = resp.status >= 200;
	s->has_length = resp.framing == SN_FRAMING_LENGTH ||
			(resp.framing == SN_FRAMING_NONE && !resp.upgrade);
	s->length = resp.framing == SN_FRAMING_LENGTH ? resp.content_length : 0;
	h2->ev->response(&s->pub, &resp, head);
	return 0;
}

/* END_STREAM came with DATA or trailers. */
static void end_came(struct sn_h2 *h2, struct stream *s, const struct sn_headers *trailers,
		     struct sn_slice head)
{
	s->pub.remote_ended = true;
	if (s->has_length && s->got != s->length) {
		malformed(h2, s, "short-body");
		return;
	}
	h2->ev->end(&s->pub, trailers, head);
}

static int trailers_came(struct sn_h2 *h2, struct stream *s)
{
	struct sn_headers trailers;
	struct sn_slice head;
	int rc = h2->section_bad ? -SN_EPROTO
				 : sn_h2_fields_trailers(&h2->trailers, &trailers, &head);

	if (rc == -SN_EPROTO || rc == -SN_ETOOBIG)
		malformed(h2, s, rc == -SN_ETOOBIG ? "trailers-too-large" : h2->trailers.reason);
	else if (rc != 0)
		return rc;
	else if (s->connect)
		malformed(h2, s, "trailers-in-tunnel"); /* RFC 9113 8.5 */
	else if (!s->pub.remote_ended)
		malformed(h2, s, "trailers-without-end");
	else
		end_came(h2, s, &trailers, head);
	return 0;
}

static int section_came(struct sn_h2 *h2, bool end_stream)
{
	struct stream *s = h2->cur;

	h2->cur = NULL;
	if (!s || s->resetting)
		return 0;
	s->pub.remote_ended |= end_stream;
	if (s->pub.head_done)
		return trailers_came(h2, s);
	if (h2->role == SN_H2_CLIENT)
		return response_came(h2, s);
	s->pub.head_done = true;
	return request_came(h2, s);
}

/* --- receiving: the rest --- */

static int on_data_chunk(nghttp2_session *ng, uint8_t flags, int32_t id, const uint8_t *p, size_t n,
			 void *user)
{
	struct sn_h2 *h2 = user;
	struct stream *s = find(h2, id);

	(void)flags;
	if (nghttp2_session_consume_connection(ng, n) != 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	if (!s || s->resetting || !s->announced)
		return 0;
	if (!s->pub.head_done) {
		malformed(h2, s, "data-before-head");
		return 0;
	}
	s->got += n;
	if (s->has_length && s->got > s->length) {
		malformed(h2, s, "long-body");
		return 0;
	}
	h2->ev->data(&s->pub, sn_slice((const char *)p, n));
	return 0;
}

static void settings_came(struct sn_h2 *h2)
{
	h2->settings_seen = true;
	h2->peer_connect = nghttp2_session_get_remote_settings(
				   h2->ng, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1;
}

static int on_frame_recv(nghttp2_session *ng, const nghttp2_frame *frame, void *user)
{
	struct sn_h2 *h2 = user;
	struct stream *s;

	(void)ng;
	switch (frame->hd.type) {
	case NGHTTP2_DATA:
		if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
			return 0;
		s = find(h2, frame->hd.stream_id);
		if (!s)
			return 0;
		if (!s->announced || s->resetting)
			s->pub.remote_ended = true;
		else
			end_came(h2, s, NULL, sn_slice("", 0));
		return 0;
	case NGHTTP2_HEADERS:
		return section_came(h2, frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
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
	note_reset(h2, frame->hd.stream_id);
	if (h2->role == SN_H2_SERVER &&
	    !sn_h2_guard_take(&h2->guard, SN_H2_BUDGET_RESET, h2->now_ms))
		(void)fail_budget(h2);
	return 0;
}

static int on_stream_close(nghttp2_session *ng, int32_t id, uint32_t error, void *user)
{
	struct sn_h2 *h2 = user;
	struct stream *s = nghttp2_session_get_stream_user_data(ng, id);
	bool refused = error == NGHTTP2_REFUSED_STREAM;

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
	tell_closed(h2, s, error,
		    h2->role == SN_H2_CLIENT && !s->resetting &&
			    (s->never_sent || (refused && !s->answered)));
	return 0;
}

/* --- what nghttp2 lets pass --- */

/* The peer sends on a stream that it, or both, have closed (RFC 9113 5.1). A stream that we reset
 * is another matter: it may not know yet. */
static int closed_stream_frame(struct sn_h2 *h2, const struct sn_h2_frame_head *f)
{
	if (h2->leaving || was_reset(h2, f->stream_id))
		return 0;
	if (f->type == SN_H2_FRAME_HEADERS)
		return fail(h2, SN_EPROTO, NGHTTP2_STREAM_CLOSED, "stream-closed");
	if (!sn_h2_guard_take(&h2->guard, SN_H2_BUDGET_RESET, h2->now_ms))
		return fail_budget(h2);
	note_reset(h2, f->stream_id);
	if (nghttp2_submit_rst_stream(h2->ng, NGHTTP2_FLAG_NONE, f->stream_id,
				      NGHTTP2_STREAM_CLOSED) != 0)
		return fail_memory(h2);
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
		return fail_budget(h2);
	if (h2->role == SN_H2_CLIENT ||
	    (f->type != SN_H2_FRAME_DATA && f->type != SN_H2_FRAME_HEADERS))
		return 0;
	if (f->stream_id > h2->last_in) {
		if (f->type == SN_H2_FRAME_HEADERS)
			h2->last_in = f->stream_id;
		return 0;
	}
	if (f->stream_id == 0 || f->stream_id % 2 == 0 || find(h2, f->stream_id))
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
			return fail(h2, SN_EPROTO, NGHTTP2_PROTOCOL_ERROR, "self-dependency");
	}
	return 0;
}

static int give(struct sn_h2 *h2, const char *p, size_t n)
{
	ssize_t used = nghttp2_session_mem_recv(h2->ng, (const uint8_t *)p, n);

	if (used == NGHTTP2_ERR_NOMEM || used == NGHTTP2_ERR_CALLBACK_FAILURE)
		return h2->rc != 0 ? h2->rc : fail_memory(h2);
	if (used < 0) /* its own limits, which lie behind ours */
		return fail(h2, SN_ELIMIT, NGHTTP2_ENHANCE_YOUR_CALM, "control-flood");
	return h2->rc;
}

static int take_magic(struct sn_h2 *h2, struct sn_slice *in)
{
	size_t n = in->n < h2->magic_left ? in->n : h2->magic_left;
	int rc;

	if (memcmp(in->p, client_magic + MAGIC_BYTES - h2->magic_left, n) != 0)
		return fail(h2, SN_EPROTO, NGHTTP2_PROTOCOL_ERROR, "bad-preface");
	rc = give(h2, in->p, n);
	h2->magic_left -= n;
	in->p += n;
	in->n -= n;
	return rc;
}

/* Takes what is there of a frame's head. nghttp2 gets it whole: it counts the pieces of a
 * CONTINUATION's head as so many CONTINUATIONs. Head and payload go in one call when they can. */
static int take_head(struct sn_h2 *h2, struct sn_slice *in)
{
	size_t n = FRAME_HEAD - h2->n_frame_head;
	const char *p = in->p;
	bool split = h2->n_frame_head > 0;
	int rc;

	if (n > in->n)
		n = in->n;
	memcpy(h2->frame_head + h2->n_frame_head, p, n);
	h2->n_frame_head += n;
	in->p += n;
	in->n -= n;
	if (h2->n_frame_head < FRAME_HEAD)
		return 0;
	h2->n_frame_head = 0;
	rc = inspect(h2);
	if (rc != 0)
		return rc;
	h2->payload_left = h2->frame.length;
	if (split || h2->payload_left == 0 || h2->frame.type == SN_H2_FRAME_PRIORITY)
		return give(h2, (const char *)h2->frame_head, FRAME_HEAD);
	n = in->n < h2->payload_left ? in->n : h2->payload_left;
	rc = give(h2, p, FRAME_HEAD + n);
	h2->payload_left -= n;
	in->p += n;
	in->n -= n;
	return rc;
}

static int take_payload(struct sn_h2 *h2, struct sn_slice *in)
{
	size_t n = in->n < h2->payload_left ? in->n : h2->payload_left;
	int rc = 0;

	if (h2->frame.type == SN_H2_FRAME_PRIORITY)
		rc = check_dependency(h2, sn_slice(in->p, n));
	if (rc == 0)
		rc = give(h2, in->p, n);
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
	if (rc == 0 && nghttp2_session_get_outbound_queue_size(h2->ng) >
			       BACKLOG_FRAMES + (size_t)h2->n_streams * 2)
		rc = fail(h2, SN_ELIMIT, NGHTTP2_ENHANCE_YOUR_CALM, "unread-frames");
	return rc;
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
	int rc = -1;

	if (o && nghttp2_session_callbacks_new(&cb) == 0) {
		nghttp2_session_callbacks_set_on_begin_headers_callback(cb, on_begin_headers);
		nghttp2_session_callbacks_set_on_header_callback2(cb, on_header);
		nghttp2_session_callbacks_set_on_data_chunk_recv_callback(cb, on_data_chunk);
		nghttp2_session_callbacks_set_on_frame_recv_callback(cb, on_frame_recv);
		nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(cb, on_invalid_frame);
		nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
		nghttp2_session_callbacks_set_on_frame_send_callback(cb, on_frame_send);
		nghttp2_session_callbacks_set_on_frame_not_send_callback(cb, on_frame_not_send);
		nghttp2_session_callbacks_set_send_data_callback(cb, on_send_data);
		rc = h2->role == SN_H2_SERVER
			     ? nghttp2_session_server_new3(&h2->ng, cb, h2, o, &mem)
			     : nghttp2_session_client_new3(&h2->ng, cb, h2, o, &mem);
	}
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
		e[n++] = (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
						  set->max_streams};
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

static int make_ring(struct sn_h2 *h2)
{
	uint32_t n = h2->set.max_streams < RESETS_MAX / 2 ? h2->set.max_streams * 2 : RESETS_MAX;

	if (h2->role == SN_H2_CLIENT)
		return 0;
	if (n < RESETS_MIN)
		n = RESETS_MIN;
	h2->resets = calloc(n, sizeof(*h2->resets));
	if (!h2->resets)
		return -1;
	h2->cap_resets = n;
	return 0;
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
	h2->magic_left = role == SN_H2_SERVER ? MAGIC_BYTES : 0;
	sn_list_init(&h2->streams);
	sn_list_init(&h2->free_streams);
	sn_h2_fields_init(&h2->trailers);
	sn_h2_mem_init(&h2->mem);
	if (make_ring(h2) != 0 || make_session(h2) != 0 || submit_settings(h2) != 0) {
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
		struct stream *s = sn_list_entry(l, struct stream, link);

		s->resetting = true;
		tell_closed(h2, s, NGHTTP2_CANCEL, false);
	}
	if (!h2->no_memory)
		nghttp2_session_del(h2->ng);
	for (struct sn_list *l; (l = sn_list_first(&h2->free_streams));)
		stream_free(sn_list_entry(l, struct stream, link));
	sn_h2_mem_done(&h2->mem);
	sn_h2_fields_done(&h2->trailers);
	free(h2->resets);
	free(h2->nv);
	free(h2);
}

void sn_h2_trim(struct sn_h2 *h2)
{
	for (struct sn_list *l; (l = sn_list_first(&h2->free_streams));)
		stream_free(sn_list_entry(l, struct stream, link));
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
		(void)fail_memory(h2);
}

void sn_h2_shutdown_notice(struct sn_h2 *h2)
{
	if (h2->role == SN_H2_SERVER && !h2->no_memory &&
	    nghttp2_submit_shutdown_notice(h2->ng) != 0)
		(void)fail_memory(h2);
}

void sn_h2_shutdown(struct sn_h2 *h2)
{
	if (h2->leaving || h2->no_memory)
		return;
	h2->leaving = true;
	if (nghttp2_submit_goaway(h2->ng, NGHTTP2_FLAG_NONE,
				  nghttp2_session_get_last_proc_stream_id(h2->ng), NGHTTP2_NO_ERROR,
				  NULL, 0) != 0)
		(void)fail_memory(h2);
}

void sn_h2_terminate(struct sn_h2 *h2, enum sn_h2_error code)
{
	h2->leaving = true;
	if (!h2->no_memory)
		(void)nghttp2_session_terminate_session(h2->ng, (uint32_t)code);
}
