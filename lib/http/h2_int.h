/* SPDX-License-Identifier: Apache-2.0 */
/* http/h2_int.h - what the files of an HTTP/2 session share. Not for others. */
#ifndef SN_HTTP_H2_INT_H
#define SN_HTTP_H2_INT_H

#include "base/err.h"
#include "base/list.h"
#include "http/h2.h"
#include "http/h2_fields.h"
#include "http/h2_guard.h"
#include "http/h2_mem.h"
#include "http/h2_shrink.h"

#define SN_H2__FRAME_HEAD 9
#define SN_H2__MAGIC_BYTES 24 /* of the client's preface */
#define SN_H2__PRIORITY_BYTES 5

struct sn_h2__stream {
	struct sn_h2_stream pub; /* first: the owner's pointer is ours */
	struct sn_list link;	 /* of the session's streams or free ones */
	struct sn_h2_fields head;
	struct sn_buf send;	/* payload that waits */
	struct sn_buf trailers; /* struct sn_h2__trailer, name, value; once more for each */
	struct sn_buf pinned;	/* the text of the final head that we submitted: nghttp2 reads it
				   until it has made the frame, or has closed the stream */
	/* from here on of one message: zero in a stream that is free */
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
	bool end_sent; /* our END_STREAM has left */
	bool reset_after_end;
	bool never_sent; /* a request that nghttp2 gave up before it left */
	bool answered;	 /* a response head came, 1xx included */
	bool connect;	 /* extended CONNECT */
	bool ending;	 /* the DATA frame that is being read ends it: its window is of no use */
};

/* How trailers are kept until the payload has gone. */
struct sn_h2__trailer {
	uint32_t n_name, n_value;
};

struct sn_h2 {
	void *ng; /* the library's session */
	enum sn_h2_role role;
	struct sn_h2_settings set;
	const struct sn_h2_events *ev;
	void *user;

	struct sn_list streams, free_streams;
	struct sn_h2__stream *found; /* the one that was looked for last, or NULL */
	uint32_t n_streams, n_free;
	int32_t last_in; /* highest stream that the peer opened */

	int rc; /* of feed, once the session has failed */
	const char *failure;
	struct sn_h2_guard guard;
	uint64_t now_ms;
	bool guard_started, settings_seen, peer_connect, peer_left, leaving, no_memory;
	uint32_t peer_streams; /* that it takes at once */
	bool limit_told;       /* how many streams the peer may have open */

	/* where in the input we stand */
	size_t magic_left;
	uint8_t frame_head[SN_H2__FRAME_HEAD];
	size_t n_frame_head;
	size_t payload_left;
	struct sn_h2_frame_head frame;
	bool in_block;	    /* the frame is part of a field section of several frames */
	size_t prefix_left; /* octets of it before its part of the section, */
	size_t padding;	    /* and behind that */
	bool padding_due;   /* the first of the prefix tells */
	struct sn_h2_shrink shrink;
	uint8_t dependency[4]; /* of a PRIORITY frame */
	size_t n_dependency;

	/* the field section that is being read */
	struct sn_h2__stream *cur;
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

	void *nv; /* scratch for what is submitted, in the library's form */
	size_t nv_cap;
};

static inline struct sn_h2__stream *sn_h2__stream_of(struct sn_h2_stream *s)
{
	return (struct sn_h2__stream *)s;
}

/* Does this field cross to HTTP/2? What belongs to a connection never does, flagged or not; host is
 * :authority. */
static inline bool sn_h2__is_sent(const struct sn_header *h)
{
	const uint64_t never =
		UINT64_C(1) << SN_HDR_CONNECTION | UINT64_C(1) << SN_HDR_HOST |
		UINT64_C(1) << SN_HDR_HTTP2_SETTINGS | UINT64_C(1) << SN_HDR_KEEP_ALIVE |
		UINT64_C(1) << SN_HDR_PROXY_CONNECTION | UINT64_C(1) << SN_HDR_TRANSFER_ENCODING |
		UINT64_C(1) << SN_HDR_UPGRADE;

	_Static_assert(SN_HDR_COUNT <= 64, "a bit for each");
	return !(h->flags & (SN_HDR_HOP | SN_HDR_DROPPED)) && !(never >> h->id & 1);
}

/* --- h2.c: towards the library --- */

/* The session is over: GOAWAY(@h2_error), and feed returns -@code from now on (returned here). */
SN_COLD int sn_h2__fail(struct sn_h2 *h2, int code, uint32_t h2_error, const char *failure);
SN_COLD int sn_h2__fail_budget(struct sn_h2 *h2);
SN_COLD int sn_h2__fail_memory(struct sn_h2 *h2);
/* The open stream @id, or NULL. */
struct sn_h2__stream *sn_h2__find(struct sn_h2 *h2, int32_t id);
/* Queues RST_STREAM, whether the stream is open or not. 0 or -SN_ENOMEM. */
SN_COLD int sn_h2__submit_reset(struct sn_h2 *h2, int32_t id, uint32_t code);
SN_COLD void sn_h2__reset_now(struct sn_h2 *h2, struct sn_h2__stream *s, uint32_t code);
/* There is something to send again. 0 or -SN_ENOMEM. */
int sn_h2__resume(struct sn_h2__stream *s);
/* Hands bytes to the library, which calls the functions of h2_recv.c. As sn_h2_feed. */
int sn_h2__give(struct sn_h2 *h2, const char *p, size_t n);
/* Frames that wait to be pulled. */
size_t sn_h2__backlog(const struct sn_h2 *h2);

/* --- h2_stream.c --- */

struct sn_h2__stream *sn_h2__stream_get(struct sn_h2 *h2);
void sn_h2__stream_put(struct sn_h2 *h2, struct sn_h2__stream *s);
void sn_h2__stream_free(struct sn_h2__stream *s);
/* The last event about @s; then it is put. */
void sn_h2__tell_closed(struct sn_h2 *h2, struct sn_h2__stream *s, uint32_t error,
			bool unprocessed);
/* 0 or -SN_ENOMEM. */
int sn_h2__ring_init(struct sn_h2 *h2);
void sn_h2__note_reset(struct sn_h2 *h2, int32_t id);
bool sn_h2__was_reset(const struct sn_h2 *h2, int32_t id);

/* --- h2_recv.c: called by the library's callbacks --- */

/* @s: NULL when nobody wants the section. */
void sn_h2__section_begin(struct sn_h2 *h2, struct sn_h2__stream *s);
/* A stream more than the peer may have open: refused, so that it may be sent again. */
SN_COLD void sn_h2__surplus_came(struct sn_h2 *h2, int32_t id);
/* @flags: SN_HDR_SECRET if it came as one that is never indexed. 0 or -SN_ENOMEM. */
int sn_h2__field_came(struct sn_h2 *h2, struct sn_slice name, struct sn_slice value, uint8_t flags);
/* Whatever else it holds. */
void sn_h2__section_too_big(struct sn_h2 *h2);
/* 0 or -SN_ENOMEM. */
int sn_h2__section_came(struct sn_h2 *h2, bool end_stream);
void sn_h2__data_came(struct sn_h2 *h2, struct sn_h2__stream *s, struct sn_slice payload);
/* END_STREAM came with DATA or trailers. */
void sn_h2__end_came(struct sn_h2 *h2, struct sn_h2__stream *s, const struct sn_headers *trailers,
		     struct sn_slice head);
SN_COLD void sn_h2__malformed(struct sn_h2 *h2, struct sn_h2__stream *s, const char *reason);

#endif
