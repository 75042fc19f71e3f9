/* SPDX-License-Identifier: Apache-2.0 */
/* Without a budget retries multiply what overloads a service: with three tries per hop and three
 * hops, one request becomes 27. A share of the traffic bounds that whatever fails; the reserve
 * keeps services of little traffic from having none.
 *
 * Sums are made anew by each withdrawal, over 21 numbers of two cache lines: retries are rare, and
 * requests then only count. */
#include "mesh/budget.h"

#include <string.h>

#define RING (SN_BUDGET_SLICES + 1)

void sn_budget_defaults(struct sn_budget_settings *s)
{
	*s = (struct sn_budget_settings){
		.percent = 20,
		.min_per_second = 10,
		.interval_ns = 10000000000ull,
	};
}

static uint64_t slice_of(const struct sn_budget_settings *s)
{
	uint64_t ns = s->interval_ns / SN_BUDGET_SLICES;

	return ns ? ns : 1;
}

static void apply(struct sn_budget *b, const struct sn_budget_settings *s)
{
	/* In ms, so that it cannot overflow; part of a retry is none. */
	uint64_t ms = s->interval_ns / 1000000;
	uint64_t reserve = ms > UINT32_MAX ? SN_BUDGET_RESERVE_MAX : ms * s->min_per_second / 1000;

	b->percent = s->percent;
	b->reserve = (uint32_t)(reserve < SN_BUDGET_RESERVE_MAX ? reserve : SN_BUDGET_RESERVE_MAX);
	b->slice_ns = slice_of(s);
}

void sn_budget_init(struct sn_budget *b, const struct sn_budget_settings *s, uint64_t now_ns)
{
	memset(b, 0, sizeof(*b));
	apply(b, s);
	b->start_ns = now_ns;
}

void sn_budget_change(struct sn_budget *b, const struct sn_budget_settings *s, uint64_t now_ns)
{
	if (slice_of(s) != b->slice_ns)
		sn_budget_init(b, s, now_ns);
	else
		apply(b, s);
}

/* Makes the slice of @now_ns the present one; those that were skipped are empty. */
static void advance(struct sn_budget *b, uint64_t now_ns)
{
	uint64_t n;

	if (now_ns < b->start_ns || now_ns - b->start_ns < b->slice_ns)
		return;
	n = (now_ns - b->start_ns) / b->slice_ns;
	b->start_ns += n * b->slice_ns;
	if (n > RING)
		n = RING;
	for (; n; n--) {
		b->at = (b->at + 1) % RING;
		b->requests[b->at] = b->retries[b->at] = 0;
	}
}

void sn_budget_deposit(struct sn_budget *b, uint64_t now_ns)
{
	advance(b, now_ns);
	if (b->requests[b->at] != UINT32_MAX)
		b->requests[b->at]++;
}

uint64_t sn_budget_balance(struct sn_budget *b, uint64_t now_ns)
{
	uint64_t requests = 0, retries = 0, allowed;
	uint32_t i;

	advance(b, now_ns);
	for (i = 0; i < RING; i++) {
		requests += b->requests[i];
		retries += b->retries[i];
	}
	requests -= b->requests[(b->at + 1) % RING]; /* the oldest: see the header */
	allowed = b->reserve + requests * b->percent / 100;
	return allowed > retries ? allowed - retries : 0;
}

bool sn_budget_try_withdraw(struct sn_budget *b, uint64_t now_ns)
{
	if (sn_budget_balance(b, now_ns) == 0)
		return false;
	b->retries[b->at]++; /* at most what one slice allowed: no overflow */
	return true;
}
