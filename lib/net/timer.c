/* SPDX-License-Identifier: Apache-2.0 */
/* A binary heap ordered by slot_ms. Setting a timer that is already set to a later time only notes
 * the new due_ms; the heap is put right when the old slot comes up. So the common case, an idle
 * timer pushed back by each request, touches no heap. */
#include "net/timer.h"

#include <stdlib.h>

#include "base/err.h"

void sn_timers_init(struct sn_timers *ts)
{
	*ts = (struct sn_timers){0};
}

void sn_timers_done(struct sn_timers *ts)
{
	free(ts->heap);
	*ts = (struct sn_timers){0};
}

void sn_timer_init(struct sn_timer *t, sn_timer_cb cb)
{
	*t = (struct sn_timer){.cb = cb};
}

static void place(struct sn_timers *ts, size_t i, struct sn_timer *t)
{
	ts->heap[i] = t;
	t->pos = i + 1;
}

static void sift_up(struct sn_timers *ts, size_t i)
{
	struct sn_timer *t = ts->heap[i];

	while (i > 0 && ts->heap[(i - 1) / 2]->slot_ms > t->slot_ms) {
		place(ts, i, ts->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	place(ts, i, t);
}

static void sift_down(struct sn_timers *ts, size_t i)
{
	struct sn_timer *t = ts->heap[i];
	size_t child;

	while ((child = 2 * i + 1) < ts->n) {
		if (child + 1 < ts->n && ts->heap[child + 1]->slot_ms < ts->heap[child]->slot_ms)
			child++;
		if (ts->heap[child]->slot_ms >= t->slot_ms)
			break;
		place(ts, i, ts->heap[child]);
		i = child;
	}
	place(ts, i, t);
}

static int grow(struct sn_timers *ts)
{
	size_t cap = ts->cap ? ts->cap * 2 : 16;
	struct sn_timer **heap = realloc(ts->heap, cap * sizeof(*heap));

	if (!heap)
		return -SN_ENOMEM;
	ts->heap = heap;
	ts->cap = cap;
	return 0;
}

int sn_timer_set(struct sn_timers *ts, struct sn_timer *t, uint64_t due_ms)
{
	if (t->pos) {
		t->due_ms = due_ms;
		if (due_ms < t->slot_ms) {
			t->slot_ms = due_ms;
			sift_up(ts, t->pos - 1);
		}
		return 0;
	}
	if (ts->n == ts->cap && grow(ts))
		return -SN_ENOMEM;
	t->due_ms = t->slot_ms = due_ms;
	place(ts, ts->n++, t);
	sift_up(ts, t->pos - 1);
	return 0;
}

void sn_timer_cancel(struct sn_timers *ts, struct sn_timer *t)
{
	size_t i = t->pos;
	struct sn_timer *last;

	if (i == 0)
		return;
	t->pos = 0;
	last = ts->heap[--ts->n];
	if (last == t)
		return;
	place(ts, i - 1, last);
	sift_up(ts, i - 1);
	sift_down(ts, last->pos - 1);
}

/* Moves the top down, as long as it is a timer that is really due later, up to @now_ms. Returns
 * what is on top then, or NULL. */
static struct sn_timer *settled_top(struct sn_timers *ts, uint64_t now_ms)
{
	while (ts->n && ts->heap[0]->slot_ms <= now_ms &&
	       ts->heap[0]->due_ms > ts->heap[0]->slot_ms) {
		ts->heap[0]->slot_ms = ts->heap[0]->due_ms;
		sift_down(ts, 0);
	}
	return ts->n ? ts->heap[0] : NULL;
}

uint64_t sn_timers_next_ms(struct sn_timers *ts)
{
	struct sn_timer *t = settled_top(ts, UINT64_MAX);

	return t ? t->slot_ms : UINT64_MAX;
}

size_t sn_timers_run(struct sn_timers *ts, uint64_t now_ms)
{
	size_t ran = 0, limit = ts->n; /* a callback that re-arms for now must not hold us here */
	struct sn_timer *t;

	while (ran <= limit && (t = settled_top(ts, now_ms)) && t->slot_ms <= now_ms) {
		sn_timer_cancel(ts, t);
		ran++;
		t->cb(t, now_ms);
	}
	return ran;
}
