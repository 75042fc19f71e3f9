/* SPDX-License-Identifier: Apache-2.0 */
/* A request that cannot be served soon is better refused now: who waits for nothing holds memory
 * here and patience there. What may start, wait or go is counted here, and nothing else. */
#include "mesh/admission.h"

void sn_admission_init(struct sn_admission *a, uint32_t max_requests, uint32_t max_pending,
		       const struct sn_concurrency *concurrency)
{
	*a = (struct sn_admission){.max_requests = max_requests,
				   .max_pending = max_pending,
				   .concurrency = concurrency,
				   .target_ns = SN_ADMISSION_TARGET_NS};
}

void sn_admission_set_patience(struct sn_admission *a, uint64_t patience_ns)
{
	a->target_ns =
		patience_ns / 2 < SN_ADMISSION_TARGET_NS ? patience_ns / 2 : SN_ADMISSION_TARGET_NS;
}

uint32_t sn_admission_cap(const struct sn_admission *a)
{
	uint32_t cap = a->max_requests ? a->max_requests : UINT32_MAX, found;

	if (!a->concurrency)
		return cap;
	found = sn_concurrency_limit(a->concurrency);
	return found < cap ? found : cap;
}

enum sn_admission_verdict sn_admission_enter(struct sn_admission *a)
{
	if (a->pending == 0 && a->in_flight < sn_admission_cap(a)) {
		a->in_flight++;
		return SN_ADMISSION_ADMIT;
	}
	if (a->pending >= a->max_pending) {
		a->overflowed = true;
		return SN_ADMISSION_SHED;
	}
	a->pending++;
	return SN_ADMISSION_WAIT;
}

uint32_t sn_admission_room(const struct sn_admission *a)
{
	uint32_t cap = sn_admission_cap(a);
	uint32_t room = a->in_flight < cap ? cap - a->in_flight : 0;

	return room < a->pending ? room : a->pending;
}

uint32_t sn_admission_leave(struct sn_admission *a)
{
	a->in_flight--;
	return a->pending ? sn_admission_room(a) : 0;
}

void sn_admission_give_up(struct sn_admission *a)
{
	a->pending--;
	if (a->pending == 0) { /* an empty queue does not stand */
		a->standing_ns = 0;
		a->overflowed = false;
	}
}

void sn_admission_start(struct sn_admission *a)
{
	sn_admission_give_up(a);
	a->in_flight++;
}

bool sn_admission_takes_newest(struct sn_admission *a, uint64_t oldest_ns, uint64_t now_ns)
{
	uint64_t waited = now_ns > oldest_ns ? now_ns - oldest_ns : 0;

	if (waited <= a->target_ns) {
		a->standing_ns = 0;
		a->overflowed = false;
		return false;
	}
	if (a->standing_ns == 0)
		a->standing_ns = now_ns ? now_ns : 1;
	if (a->overflowed)
		return true;
	return now_ns >= a->standing_ns && now_ns - a->standing_ns >= SN_ADMISSION_INTERVAL_NS;
}
