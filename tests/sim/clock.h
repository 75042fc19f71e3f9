/* SPDX-License-Identifier: Apache-2.0 */
/* sim/clock.h - time that moves from event to event: a binary heap of what is due. Events lie in
 * their owners, so that scheduling takes no memory of its own and cancelling no search. Of two that
 * are due at once the one that was scheduled first comes first: the same seed, the same run. */
#ifndef SIM_CLOCK_H
#define SIM_CLOCK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_US 1000ull
#define SIM_MS 1000000ull
#define SIM_S 1000000000ull

struct sim_event {
	void (*fn)(struct sim_event *ev);
	uint64_t at_ns, order;
	size_t place; /* in the heap, counted from 1; 0: it is not scheduled */
};

struct sim_clock {
	uint64_t now_ns;
	uint64_t order;
	struct sim_event **heap;
	size_t n, cap;
};

/* Ends the process when out of memory, as everything here does. */
void *sim_alloc(size_t bytes);

void sim_clock_free(struct sim_clock *c);
/* @ev->fn is called in @in_ns; a scheduled event is moved. */
void sim_after(struct sim_clock *c, struct sim_event *ev, uint64_t in_ns);
void sim_cancel(struct sim_clock *c, struct sim_event *ev);
/* Runs what is due until @end_ns, which is the time then. Returns how many events there were. */
uint64_t sim_clock_run(struct sim_clock *c, uint64_t end_ns);

#endif
