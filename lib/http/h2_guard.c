/* SPDX-License-Identifier: Apache-2.0 */
/* Rates and bursts are chosen by what real peers do: gRPC measures bandwidth with a PING per round
 * trip while data flows, clients acknowledge windows once or more per DATA frame, browsers sent one
 * PRIORITY per request, and a client with short deadlines cancels a hundred calls a second. What
 * such use does in proportion to its traffic, that traffic pays for (sn_h2_guard_earn). */
#include "http/h2_guard.h"

#define TRUSTED_SCALE 20
/* As many as nghttp2 itself allows; 16 KiB each hold any head that is not refused anyway. */
#define CONTINUATIONS_MAX 8
#define TINY_BYTES 4 /* a gRPC message has 5 at least, a WebSocket frame of a client 6 */

struct budget {
	uint32_t burst;
	uint32_t per_second;
	const char *failure;
};

static const struct budget budgets[SN_H2_BUDGET_COUNT] = {
	[SN_H2_BUDGET_PING] = {500, 50, "ping-flood"},
	[SN_H2_BUDGET_SETTINGS] = {50, 5, "settings-flood"},
	[SN_H2_BUDGET_PRIORITY] = {500, 100, "priority-flood"},
	[SN_H2_BUDGET_WINDOW] = {5000, 1000, "window-flood"},
	[SN_H2_BUDGET_EMPTY] = {500, 50, "empty-data-flood"},
	[SN_H2_BUDGET_TINY] = {20000, 10000, "tiny-data-flood"},
	[SN_H2_BUDGET_CONTINUATION] = {500, 100, "continuation-flood"},
	[SN_H2_BUDGET_RESET] = {1000, 100, "reset-flood"},
};

struct sn_h2_frame_head sn_h2_frame_head_read(const uint8_t o[9])
{
	return (struct sn_h2_frame_head){
		.length = (uint32_t)o[0] << 16 | (uint32_t)o[1] << 8 | o[2],
		.type = o[3],
		.flags = o[4],
		.stream_id = (int32_t)((uint32_t)(o[5] & 0x7f) << 24 | (uint32_t)o[6] << 16 |
				       (uint32_t)o[7] << 8 | o[8]),
	};
}

static int64_t burst_of(const struct sn_h2_guard *g, enum sn_h2_budget b)
{
	return (int64_t)budgets[b].burst * g->scale * 1000;
}

void sn_h2_guard_init(struct sn_h2_guard *g, bool trusted, uint64_t now_ms)
{
	*g = (struct sn_h2_guard){.scale = trusted ? TRUSTED_SCALE : 1};
	for (unsigned b = 0; b < SN_H2_BUDGET_COUNT; b++) {
		g->milli[b] = burst_of(g, b);
		g->refilled_ms[b] = now_ms;
	}
}

/* Adds what time has brought; at most a full bucket. */
static void refill(struct sn_h2_guard *g, enum sn_h2_budget b, uint64_t now_ms)
{
	int64_t burst = burst_of(g, b), rate = (int64_t)budgets[b].per_second * g->scale;
	uint64_t ms;

	if (now_ms <= g->refilled_ms[b])
		return;
	ms = now_ms - g->refilled_ms[b];
	g->refilled_ms[b] = now_ms;
	if (ms >= (uint64_t)(burst / rate))
		g->milli[b] = burst;
	else
		g->milli[b] += (int64_t)ms * rate;
	if (g->milli[b] > burst)
		g->milli[b] = burst;
}

bool sn_h2_guard_take(struct sn_h2_guard *g, enum sn_h2_budget b, uint64_t now_ms)
{
	/* Time is looked at only when the bucket is empty: the common case is one subtraction. */
	if (g->milli[b] < 1000)
		refill(g, b, now_ms);
	if (g->milli[b] < 1000) {
		g->failure = budgets[b].failure;
		return false;
	}
	g->milli[b] -= 1000;
	return true;
}

void sn_h2_guard_earn(struct sn_h2_guard *g, enum sn_h2_budget b, uint32_t n)
{
	int64_t burst = burst_of(g, b);

	g->milli[b] += (int64_t)n * 1000;
	if (g->milli[b] > burst)
		g->milli[b] = burst;
}

void sn_h2_guard_sent_data(struct sn_h2_guard *g, uint32_t bytes)
{
	sn_h2_guard_earn(g, SN_H2_BUDGET_WINDOW, 2 + bytes / 1024);
	sn_h2_guard_earn(g, SN_H2_BUDGET_PING, 1);
}

static bool data_frame(struct sn_h2_guard *g, const struct sn_h2_frame_head *h, uint64_t now_ms)
{
	/* What a short padded frame holds is not known yet; the sender had its reasons to hide it.
	 */
	uint32_t tiny = h->flags & SN_H2_FLAG_PADDED ? 256 : TINY_BYTES;

	if (h->flags & SN_H2_FLAG_END_STREAM || h->length > tiny)
		return true;
	return sn_h2_guard_take(g, h->length == 0 ? SN_H2_BUDGET_EMPTY : SN_H2_BUDGET_TINY, now_ms);
}

bool sn_h2_guard_frame(struct sn_h2_guard *g, const struct sn_h2_frame_head *h, uint64_t now_ms)
{
	switch (h->type) {
	case SN_H2_FRAME_DATA:
		return data_frame(g, h, now_ms);
	case SN_H2_FRAME_HEADERS:
		g->n_continued = 0;
		sn_h2_guard_earn(g, SN_H2_BUDGET_PRIORITY, 2);
		return true;
	case SN_H2_FRAME_CONTINUATION:
		if (++g->n_continued > CONTINUATIONS_MAX) {
			g->failure = budgets[SN_H2_BUDGET_CONTINUATION].failure;
			return false;
		}
		return sn_h2_guard_take(g, SN_H2_BUDGET_CONTINUATION, now_ms);
	case SN_H2_FRAME_RST_STREAM:
		return sn_h2_guard_take(g, SN_H2_BUDGET_RESET, now_ms);
	case SN_H2_FRAME_SETTINGS:
		return sn_h2_guard_take(g, SN_H2_BUDGET_SETTINGS, now_ms);
	case SN_H2_FRAME_PING:
		return sn_h2_guard_take(g, SN_H2_BUDGET_PING, now_ms);
	case SN_H2_FRAME_WINDOW_UPDATE:
		return sn_h2_guard_take(g, SN_H2_BUDGET_WINDOW, now_ms);
	case SN_H2_FRAME_GOAWAY:
		return sn_h2_guard_take(g, SN_H2_BUDGET_SETTINGS, now_ms);
	default:
		return sn_h2_guard_take(g, SN_H2_BUDGET_PRIORITY, now_ms);
	}
}
