/* SPDX-License-Identifier: Apache-2.0 */
/* A simulation is worth its run time only if a million events cost nothing: one array, no
 * allocation per event, and places that are written back so that any event can leave. */
#include "tests/sim/clock.h"

#include <stdio.h>
#include <stdlib.h>

void *sim_alloc(size_t bytes)
{
	void *p = calloc(1, bytes);

	if (p)
		return p;
	fprintf(stderr, "sim: out of memory\n");
	exit(2);
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->order < b->order;
}

static void put(struct sim_clock *c, size_t place, struct sim_event *ev)
{
	c->heap[place] = ev;
	ev->place = place;
}

static void rise(struct sim_clock *c, size_t place, struct sim_event *ev)
{
	while (place > 1 && before(ev, c->heap[place / 2])) {
		put(c, place, c->heap[place / 2]);
		place /= 2;
	}
	put(c, place, ev);
}

static void sink(struct sim_clock *c, size_t place, struct sim_event *ev)
{
	size_t child;

	while ((child = place * 2) <= c->n) {
		child += child < c->n && before(c->heap[child + 1], c->heap[child]);
		if (!before(c->heap[child], ev))
			break;
		put(c, place, c->heap[child]);
		place = child;
	}
	put(c, place, ev);
}

void sim_clock_free(struct sim_clock *c)
{
	free(c->heap);
	*c = (struct sim_clock){0};
}

void sim_after(struct sim_clock *c, struct sim_event *ev, uint64_t in_ns)
{
	sim_cancel(c, ev);
	if (c->n + 1 >= c->cap) {
		c->cap = c->cap ? c->cap * 2 : 1024;
		c->heap = realloc(c->heap, c->cap * sizeof(struct sim_event *));
		if (!c->heap)
			exit(2);
	}
	ev->at_ns = c->now_ns + in_ns;
	ev->order = ++c->order;
	rise(c, ++c->n, ev);
}

void sim_cancel(struct sim_clock *c, struct sim_event *ev)
{
	size_t place = ev->place;
	struct sim_event *last;

	if (!place)
		return;
	ev->place = 0;
	last = c->heap[c->n--];
	if (last == ev)
		return;
	if (place > 1 && before(last, c->heap[place / 2]))
		rise(c, place, last);
	else
		sink(c, place, last);
}

uint64_t sim_clock_run(struct sim_clock *c, uint64_t end_ns)
{
	uint64_t n = 0;

	for (; c->n && c->heap[1]->at_ns <= end_ns; n++) {
		struct sim_event *ev = c->heap[1];

		c->now_ns = ev->at_ns;
		sim_cancel(c, ev);
		ev->fn(ev);
	}
	c->now_ns = end_ns;
	return n;
}
