/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/admission.h - may a request start now, does it wait, or is it turned away at once? Counts of
 * one service on one worker; the queue of waiters is the caller's list. Pure.
 *
 * Order: first come first served, until that stops working. Under lasting overload every request
 * that reaches the head of a full queue has waited so long that its client has given up or soon
 * will, and all work is done for nothing; then the newest is taken first, so that whoever gets in
 * is served in time and whoever cannot be is one of the old ones ("adaptive LIFO": Maurer, "Fail at
 * Scale", ACM Queue 2015). When that begins is CoDel's measure of a standing queue (Nichols,
 * Jacobson 2012): the oldest has waited more than a target, all through an interval. The interval
 * is there to let a burst pass, so it is not waited for once one did not fit into the queue.
 * CoDel's own remedy, dropping, needs senders who slow down for it; ours retry. */
#ifndef SN_MESH_ADMISSION_H
#define SN_MESH_ADMISSION_H

#include <stdbool.h>
#include <stdint.h>

#include "mesh/concurrency.h"

#define SN_ADMISSION_TARGET_NS 50000000ull    /* at most; see set_patience */
#define SN_ADMISSION_INTERVAL_NS 100000000ull /* how long it may be longer */

struct sn_admission {
	uint32_t max_requests;			  /* in flight; 0: no cap */
	uint32_t max_pending;			  /* waiting; 0: nobody waits */
	const struct sn_concurrency *concurrency; /* borrowed, may be NULL: a second cap */
	uint32_t in_flight;
	uint32_t pending;
	uint64_t target_ns;   /* a queue whose oldest has waited no longer is a good one */
	uint64_t standing_ns; /* since when the oldest has been over the target; 0: it is not */
	bool overflowed;      /* somebody was turned away since the queue was last a good one */
};

enum sn_admission_verdict {
	SN_ADMISSION_ADMIT, /* counted as in flight: to be ended by leave */
	SN_ADMISSION_WAIT,  /* counted as pending: to be ended by start or give_up */
	SN_ADMISSION_SHED,  /* not counted: answer 503 */
};

void sn_admission_init(struct sn_admission *a, uint32_t max_requests, uint32_t max_pending,
		       const struct sn_concurrency *concurrency);

/* Waiters are sent away after that long. The target is then half of it, if that is less than
 * SN_ADMISSION_TARGET_NS: else nobody would be there to be seen to have waited too long. */
void sn_admission_set_patience(struct sn_admission *a, uint64_t patience_ns);

/* A request has come. Nobody overtakes: while some wait, it waits too. */
enum sn_admission_verdict sn_admission_enter(struct sn_admission *a);
/* One that was admitted has ended. Returns sn_admission_room(). When it was a sample for the
 * concurrency limit too: that first. */
uint32_t sn_admission_leave(struct sn_admission *a);
/* How many waiters may start now; start them all, each by sn_admission_start(). To be asked by
 * itself only after caps were raised. */
uint32_t sn_admission_room(const struct sn_admission *a);
/* A waiter starts: counted as in flight. */
void sn_admission_start(struct sn_admission *a);
/* A waiter went without having started (its client left, its time has passed). */
void sn_admission_give_up(struct sn_admission *a);

/* Is the newest waiter to be taken, not the oldest? To be asked whenever one is taken.
 * @oldest_ns: when the oldest that still waits came. */
bool sn_admission_takes_newest(struct sn_admission *a, uint64_t oldest_ns, uint64_t now_ns);
/* In flight at most, now: the smaller cap; UINT32_MAX: none. */
uint32_t sn_admission_cap(const struct sn_admission *a);

#endif
