/* SPDX-License-Identifier: Apache-2.0 */
/* http/h2.h - an HTTP/2 session (RFC 9113) over nghttp2, either role, sans-I/O: bytes in by
 * sn_h2_feed, bytes out by sn_h2_pull; messages, payload and ends as events in between. Strict
 * where RFC 9113 leaves a choice, bounded in all that a peer can make it hold or do.
 *
 * Flow control is end to end: payload that came counts against the stream's window until the owner
 * says sn_h2_consume; the connection's window is given back at once, so one slow stream holds up no
 * other. Sent payload waits in the stream's own buffer (sn_h2_pending) until the peer takes it.
 *
 * Events come from inside sn_h2_feed and sn_h2_pull only. In an event the owner may call everything
 * below but feed, pull and free. Thread: the owner's. Owns: its streams. */
#ifndef SN_HTTP_H2_H
#define SN_HTTP_H2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "http/message.h"

enum sn_h2_error { /* RFC 9113 7 */
		   SN_H2_NO_ERROR = 0,
		   SN_H2_PROTOCOL_ERROR = 1,
		   SN_H2_INTERNAL_ERROR = 2,
		   SN_H2_FLOW_CONTROL_ERROR = 3,
		   SN_H2_STREAM_CLOSED = 5,
		   SN_H2_REFUSED_STREAM = 7,
		   SN_H2_CANCEL = 8,
		   SN_H2_ENHANCE_YOUR_CALM = 11,
};

enum sn_h2_role { SN_H2_SERVER, SN_H2_CLIENT };

struct sn_h2;

/* One stream; made by the session (server: before `request`) or by sn_h2_submit_request, gone after
 * `closed`. The owner reads the fields and sets `user`. */
struct sn_h2_stream {
	struct sn_h2 *h2;
	void *user; /* the owner's */
	int32_t id;
	bool head_done;	   /* the final head came (trailers are what follows) */
	bool remote_ended; /* END_STREAM has come: set before the event that it came with */
	bool local_ended;  /* sn_h2_send_end or an ending head was called */
};

struct sn_h2_settings {
	uint32_t max_streams;	    /* that the peer may have open at us */
	uint32_t stream_window;	    /* bytes of payload that may be unconsumed per stream */
	uint32_t connection_window; /* at least the above */
	uint32_t header_bytes;	    /* decoded: name + value + 32 each */
	uint32_t header_count;
	uint32_t extra_headers; /* spare places in headers.v for filters */
	bool trusted; /* the peer is one of our own: more generous budgets (a link carries many
			 clients) */
};

struct sn_h2_events {
	/* Server: a request's head is complete and checked. Slices stay valid until `closed`. */
	void (*request)(struct sn_h2_stream *s, struct sn_request *req, struct sn_slice head);
	/* Client: a response's head, 1xx included. Slices are valid until the next head of this
	 * stream or `closed`. */
	void (*response)(struct sn_h2_stream *s, struct sn_response *resp, struct sn_slice head);
	/* Payload, valid during the call. Counts against the window until consumed. */
	void (*data)(struct sn_h2_stream *s, struct sn_slice payload);
	/* END_STREAM has come with a frame that was not the head. @trailers: NULL or the fields,
	 * valid during the call. (A head that ends the stream has s->remote_ended set instead.) */
	void (*end)(struct sn_h2_stream *s, const struct sn_headers *trailers,
		    struct sn_slice head);
	/* What waited to be sent has gone below half of the send mark (sn_h2_wants_more). */
	void (*drained)(struct sn_h2_stream *s);
	/* The stream is gone; the last event about it. @error: 0 when both sides ended in order,
	 * else the code of the reset, whoever sent it. @unprocessed: the peer has not acted on it
	 * (REFUSED_STREAM, or above its GOAWAY's last id): another try is safe whatever the method.
	 * A stream that ended because the session was freed gets it too, with SN_H2_CANCEL. */
	void (*closed)(struct sn_h2_stream *s, uint32_t error, bool unprocessed);
	/* For counting and logging only. Server: a head was refused before it became a request
	 * (malformed: reset by us; too large: we answered 431 ourselves), or the body of one that
	 * did breaks the rules (@status 400, `closed` follows). Client: a malformed response,
	 * @status 502, `closed` follows. */
	void (*refused)(struct sn_h2 *h2, unsigned status, const char *reason);
	/* The peer goes away: no more requests on this session (client). */
	void (*goaway)(struct sn_h2 *h2);
	/* A PING of ours was answered. */
	void (*pong)(struct sn_h2 *h2);
};

/* @ev is borrowed for the session's life. NULL when out of memory. The preface and our SETTINGS
 * wait to be pulled. */
struct sn_h2 *sn_h2_new(enum sn_h2_role role, const struct sn_h2_settings *settings,
			const struct sn_h2_events *ev, void *user);
void *sn_h2_user(const struct sn_h2 *h2);
/* Calls `closed` for what is open, then frees. Not from inside an event. */
void sn_h2_free(struct sn_h2 *h2);

/* Takes bytes as they came, any split. @now_ms: for budgets that refill. Returns 0, or -SN_EPROTO,
 * -SN_ELIMIT (a budget is used up: sn_h2_failure says which), -SN_ENOMEM: the connection is over, a
 * GOAWAY waits to be pulled (not without memory), feed no more. A breach that the library finds by
 * itself may show only behind the next pull: then sn_h2_is_over and sn_h2_code. */
int sn_h2_feed(struct sn_h2 *h2, struct sn_slice in, uint64_t now_ms);
/* How the session failed, as feed says it: also when no feed did. 0: it has not. */
int sn_h2_code(const struct sn_h2 *h2);
/* Why: a stable short word ("ping-flood", "reset-flood", "bad-preface" ..., for what the library
 * finds the name of the error that it told the peer, "frame-size-error"), or NULL. */
const char *sn_h2_failure(const struct sn_h2 *h2);
/* Appends frames that are due to @out until it holds @max_bytes or nothing is due (a frame may go
 * over by its own size). Returns 0, -SN_ENOMEM or -SN_EPROTO: the connection is over. */
int sn_h2_pull(struct sn_h2 *h2, struct sn_buf *out, size_t max_bytes);
bool sn_h2_wants_write(const struct sn_h2 *h2);
/* Nothing more will be read or written: close the connection. */
bool sn_h2_is_over(const struct sn_h2 *h2);

/* --- streams --- */

/* Client: starts a request. Hop-by-hop and dropped fields are left out, names are lower-cased, host
 * becomes :authority; `upgrade` becomes an extended CONNECT. @end: no body, no trailers follow.
 * Returns 0 with *ret (user already set), -SN_ELIMIT (no more streams here: sn_h2_can_open), or
 * -SN_ENOMEM. */
int sn_h2_submit_request(struct sn_h2 *h2, const struct sn_request *req, bool end, void *user,
			 struct sn_h2_stream **ret);
/* Server: a head; 1xx may come before the final one. @end as above. 0 or -SN_ENOMEM. */
int sn_h2_submit_response(struct sn_h2_stream *s, const struct sn_response *resp, bool end);
/* Queues payload (copied). 0, or -SN_ENOMEM; on a stream that was reset it is dropped and 0. */
int sn_h2_send(struct sn_h2_stream *s, const struct iovec *iov, int n_iov);
/* Ends our side behind what waits. @trailers: NULL or fields (copied). 0 or -SN_ENOMEM. */
int sn_h2_send_end(struct sn_h2_stream *s, const struct sn_headers *trailers);
/* Bytes queued and not yet in frames. */
size_t sn_h2_pending(const struct sn_h2_stream *s);
/* False once @limit bytes wait; `drained` follows when half of it is gone. */
bool sn_h2_wants_more(struct sn_h2_stream *s, size_t limit_bytes);
/* @n bytes of payload have left us: the stream's window opens again. */
void sn_h2_consume(struct sn_h2_stream *s, size_t n);
/* Resets it; `closed` comes later, from pull. Idempotent. */
void sn_h2_reset(struct sn_h2_stream *s, enum sn_h2_error code);

/* --- the session --- */

/* Client: another request may be started now (peer's MAX_CONCURRENT_STREAMS, no GOAWAY, ids left).
 */
bool sn_h2_can_open(const struct sn_h2 *h2);
/* The peer takes extended CONNECT (RFC 8441); known once its SETTINGS came. */
bool sn_h2_peer_takes_connect(const struct sn_h2 *h2);
bool sn_h2_settings_seen(const struct sn_h2 *h2);
uint32_t sn_h2_n_streams(const struct sn_h2 *h2);
/* Queues a PING; `pong` answers. */
void sn_h2_ping(struct sn_h2 *h2);
/* Orderly end in two steps (RFC 9113 6.8): first a notice that more is not wanted, then, one round
 * trip or a second later, the last id. Streams below it finish; then sn_h2_is_over. A client has no
 * use for the notice: nothing is sent. */
void sn_h2_shutdown_notice(struct sn_h2 *h2);
void sn_h2_shutdown(struct sn_h2 *h2);
/* Gives back the memory that is kept for the next streams; for a session that has gone idle. */
void sn_h2_trim(struct sn_h2 *h2);

#endif
