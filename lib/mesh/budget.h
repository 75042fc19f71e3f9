/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/budget.h - how many retries a service can bear, after Finagle's RetryBudget and its leaky
 * TokenBucket (com.twitter.finagle.service.RetryBudget, com.twitter.util.TokenBucket): requests
 * deposit, retries withdraw, both are forgotten after the interval, and a reserve is always there.
 *
 * What it guarantees: in the interval that ends with any retry,
 *	retries <= percent / 100 x requests + reserve,   reserve = min_per_second x interval.
 * So over n intervals in a row there are at most percent of the requests and n reserves. Finagle
 * counts both in the same 10 slices and is up to a slice short of that; here retries are remembered
 * for one slice longer than requests.
 *
 * One per (worker, service); plain values, 120 bytes, no allocation. Time is an argument; when it
 * goes backwards it counts as standing still. */
#ifndef SN_MESH_BUDGET_H
#define SN_MESH_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#define SN_BUDGET_SLICES 10

struct sn_budget_settings {
	uint32_t percent;	 /* of requests, 0..100 (anything up to 1000 is computed right) */
	uint32_t min_per_second; /* retries that are allowed whatever the traffic */
	uint64_t interval_ns;	 /* a multiple of 10; at least 10 */
};

struct sn_budget {
	uint32_t percent;
	uint32_t reserve; /* retries, at most SN_BUDGET_RESERVE_MAX */
	uint64_t slice_ns;
	uint64_t start_ns; /* of the present slice */
	uint32_t at;	   /* the present slice */
	/* One slice more than is counted of requests. Numbers stop at their type's end. */
	uint32_t requests[SN_BUDGET_SLICES + 1];
	uint32_t retries[SN_BUDGET_SLICES + 1];
};

#define SN_BUDGET_RESERVE_MAX 1000000000u

/* 20%, 10 a second, 10 s: Finagle's, and the document's. */
void sn_budget_defaults(struct sn_budget_settings *s);

void sn_budget_init(struct sn_budget *b, const struct sn_budget_settings *s, uint64_t now_ns);
/* Other settings from now on. What was counted stays, unless the interval is another. */
void sn_budget_change(struct sn_budget *b, const struct sn_budget_settings *s, uint64_t now_ns);

/* One request was offered (not: one try). O(1). */
void sn_budget_deposit(struct sn_budget *b, uint64_t now_ns);
/* Takes one retry; false: the budget is spent, and nothing has changed. */
bool sn_budget_try_withdraw(struct sn_budget *b, uint64_t now_ns);
/* Retries that could be made now. */
uint64_t sn_budget_balance(struct sn_budget *b, uint64_t now_ns);

#endif
