/* SPDX-License-Identifier: Apache-2.0 */
/* http/h2_guard.h - what an HTTP/2 peer may ask of us without doing any work: one token bucket for
 * each cheap thing that it can send without end (RFC 9113 10.5). Pure: looks at frame heads, takes
 * the time as an argument. Buckets are sized so that ordinary use never empties them. */
#ifndef SN_HTTP_H2_GUARD_H
#define SN_HTTP_H2_GUARD_H

#include <stdbool.h>
#include <stdint.h>

enum sn_h2_budget {
	SN_H2_BUDGET_PING,
	SN_H2_BUDGET_SETTINGS,
	SN_H2_BUDGET_PRIORITY, /* and frames of unknown types */
	SN_H2_BUDGET_WINDOW,
	SN_H2_BUDGET_EMPTY, /* DATA without payload or END_STREAM */
	SN_H2_BUDGET_TINY,  /* DATA of a few octets */
	SN_H2_BUDGET_CONTINUATION,
	SN_H2_BUDGET_RESET, /* resets sent by the peer and resets that it makes us send */
	SN_H2_BUDGET_COUNT
};

enum sn_h2_frame_type { /* RFC 9113 6 */
			SN_H2_FRAME_DATA = 0,
			SN_H2_FRAME_HEADERS = 1,
			SN_H2_FRAME_PRIORITY = 2,
			SN_H2_FRAME_RST_STREAM = 3,
			SN_H2_FRAME_SETTINGS = 4,
			SN_H2_FRAME_PUSH_PROMISE = 5,
			SN_H2_FRAME_PING = 6,
			SN_H2_FRAME_GOAWAY = 7,
			SN_H2_FRAME_WINDOW_UPDATE = 8,
			SN_H2_FRAME_CONTINUATION = 9,
};

enum sn_h2_frame_flags {
	SN_H2_FLAG_END_STREAM = 1, /* DATA, HEADERS */
	SN_H2_FLAG_ACK = 1,	   /* SETTINGS, PING */
	SN_H2_FLAG_END_HEADERS = 4,
	SN_H2_FLAG_PADDED = 8,
	SN_H2_FLAG_PRIORITY = 32,
};

struct sn_h2_frame_head {
	uint32_t length;
	uint8_t type;
	uint8_t flags;
	int32_t stream_id;
};

struct sn_h2_guard {
	uint32_t scale;	      /* of all buckets */
	uint32_t n_continued; /* CONTINUATION frames of the field block that is being read */
	uint64_t refilled_ms[SN_H2_BUDGET_COUNT];
	int64_t milli[SN_H2_BUDGET_COUNT]; /* thousandths of tokens left */
	const char *failure;		   /* the budget that is used up: "ping-flood" */
};

/* Reads the nine octets of a frame's head. */
struct sn_h2_frame_head sn_h2_frame_head_read(const uint8_t octets[9]);

/* @trusted: a link that carries many clients' traffic gets larger buckets. */
void sn_h2_guard_init(struct sn_h2_guard *g, bool trusted, uint64_t now_ms);
/* Takes a token. False: the budget is used up, g->failure names it. */
bool sn_h2_guard_take(struct sn_h2_guard *g, enum sn_h2_budget b, uint64_t now_ms);
/* Work was done that explains @n more of @b. */
void sn_h2_guard_earn(struct sn_h2_guard *g, enum sn_h2_budget b, uint32_t n);
/* Charges a frame of the peer by its head. False as above. */
bool sn_h2_guard_frame(struct sn_h2_guard *g, const struct sn_h2_frame_head *h, uint64_t now_ms);
/* We sent a DATA frame of @bytes: the peer will answer with window updates, and may measure. */
void sn_h2_guard_sent_data(struct sn_h2_guard *g, uint32_t bytes);

#endif
