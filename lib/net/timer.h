/* SPDX-License-Identifier: Apache-2.0 */
/* net/timer.h - many timers, one wait. Pure: time is an argument (ms, monotonic). Setting again to
 * a later time is O(1) (lazily moved), so that a connection's idle timer may be touched per
 * request. */
#ifndef SN_NET_TIMER_H
#define SN_NET_TIMER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sn_timer;
typedef void (*sn_timer_cb)(struct sn_timer *t, uint64_t now_ms);

struct sn_timer {
	sn_timer_cb cb;
	uint64_t due_ms;  /* when it is wanted */
	uint64_t slot_ms; /* where it lies in the heap: <= due_ms */
	size_t pos;	  /* index in the heap + 1; 0 = not set */
};

struct sn_timers {
	struct sn_timer **heap;
	size_t n, cap;
};

void sn_timers_init(struct sn_timers *ts);
void sn_timers_done(struct sn_timers *ts);
/* @cb is kept. Call once before use. */
void sn_timer_init(struct sn_timer *t, sn_timer_cb cb);
/* (Re)arms at @due_ms. Returns 0 or -SN_ENOMEM (never when the timer was already set). */
int sn_timer_set(struct sn_timers *ts, struct sn_timer *t, uint64_t due_ms);
void sn_timer_cancel(struct sn_timers *ts, struct sn_timer *t); /* allowed when not set */
static inline bool sn_timer_is_set(const struct sn_timer *t)
{
	return t->pos != 0;
}
/* Time of the earliest timer, UINT64_MAX when there is none. */
uint64_t sn_timers_next_ms(struct sn_timers *ts);
/* ... or a time before that: timers that were moved since are left where they are. O(1). */
static inline uint64_t sn_timers_bound_ms(const struct sn_timers *ts)
{
	return ts->n ? ts->heap[0]->slot_ms : UINT64_MAX;
}
/* Calls every timer due at @now_ms, in order of time; each is unset before its callback, which
 * may set or cancel any timer. Returns how many ran. */
size_t sn_timers_run(struct sn_timers *ts, uint64_t now_ms);

#endif
