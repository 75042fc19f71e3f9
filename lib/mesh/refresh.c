/* SPDX-License-Identifier: Apache-2.0 */
/* The times of discovery, apart from whom is asked and how. */
#include "mesh/refresh.h"

#define ERROR_MAX_MS 30000
#define EMPTY_MAX_MS 5000

static uint64_t jittered(uint64_t ms, struct sn_rng *rng)
{
	return ms - ms / 10 + sn_rng_below(rng, (uint32_t)(ms / 5) + 1);
}

/* 1 s, doubled with each after the first. */
static uint64_t backoff(unsigned times, uint64_t max_ms, struct sn_rng *rng)
{
	uint64_t ms = SN_REFRESH_MIN_MS;

	while (times-- > 1 && ms < max_ms)
		ms *= 2;
	return jittered(ms < max_ms ? ms : max_ms, rng);
}

uint64_t sn_refresh_answer(struct sn_refresh *r, uint64_t ttl_ms, struct sn_rng *rng)
{
	*r = (struct sn_refresh){0};
	if (ttl_ms < SN_REFRESH_MIN_MS)
		ttl_ms = SN_REFRESH_MIN_MS;
	return jittered(ttl_ms < SN_REFRESH_MAX_MS ? ttl_ms : SN_REFRESH_MAX_MS, rng);
}

uint64_t sn_refresh_error(struct sn_refresh *r, struct sn_rng *rng)
{
	return backoff(++r->errors, ERROR_MAX_MS, rng);
}

uint64_t sn_refresh_empty(struct sn_refresh *r, uint64_t now_ms, struct sn_rng *rng,
			  bool *ret_believe)
{
	if (r->empties++ == 0)
		r->empty_since_ms = now_ms;
	r->errors = 0;
	*ret_believe = r->empties >= SN_REFRESH_EMPTY_TIMES ||
		       now_ms - r->empty_since_ms >= SN_REFRESH_EMPTY_MS;
	return backoff(r->empties, EMPTY_MAX_MS, rng);
}
