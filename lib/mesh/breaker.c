/* SPDX-License-Identifier: Apache-2.0 */
/* One endpoint's breaker: the transitions of the picture in the header, and nothing else. */
#include "mesh/breaker.h"

#include <string.h>

#define SECOND_NS 1000000000ull
#define LEVEL_MAX 16

void sn_breaker_defaults(struct sn_breaker_settings *set)
{
	*set = (struct sn_breaker_settings){
		.on = true,
		.consecutive_failures = 7,
		.min_requests = 20,
		.max_ejected_percent = 50,
		.window_ns = 10 * SECOND_NS,
		.min_penalty_ns = SECOND_NS,
		.max_penalty_ns = 60 * SECOND_NS,
	};
}

uint32_t sn_breaker_ramp(uint64_t elapsed_ns, uint64_t whole_ns)
{
	const uint32_t least = SN_BREAKER_FULL / 10;

	if (elapsed_ns >= whole_ns)
		return SN_BREAKER_FULL;
	return least +
	       (uint32_t)((double)elapsed_ns / (double)whole_ns * (SN_BREAKER_FULL - least));
}

/* --- the success rate ---------------------------------------------------------------------------
 */

static uint32_t epoch_of(const struct sn_breaker_settings *set, uint64_t now_ns)
{
	uint64_t width = set->window_ns / SN_BREAKER_BUCKETS;

	return (uint32_t)(now_ns / (width ? width : 1));
}

/* Empties the buckets between the newest one and now. */
static void slide(struct sn_breaker *k, uint32_t epoch)
{
	uint32_t gap = epoch - k->epoch;

	if (gap >= SN_BREAKER_BUCKETS)
		memset(k->window, 0, sizeof(k->window));
	else
		while (gap)
			memset(&k->window[(epoch - --gap) % SN_BREAKER_BUCKETS], 0,
			       sizeof(k->window[0]));
	k->epoch = epoch;
}

/* Counts one. Returns true when there are enough and too few of them are good. */
static bool rate_is_low(struct sn_breaker *k, const struct sn_breaker_settings *set, bool success,
			uint64_t now_ns)
{
	uint32_t epoch = epoch_of(set, now_ns), all = 0, bad = 0, i, at;

	slide(k, epoch);
	at = epoch % SN_BREAKER_BUCKETS;
	if (k->window[at].all == UINT16_MAX) { /* the ratio is what counts */
		k->window[at].all /= 2;
		k->window[at].bad /= 2;
	}
	k->window[at].all++;
	if (!success)
		k->window[at].bad++;
	for (i = 0; i < SN_BREAKER_BUCKETS; i++) {
		all += k->window[i].all;
		bad += k->window[i].bad;
	}
	return all >= set->min_requests && (all - bad) * 100 < set->min_rate_percent * all;
}

/* --- transitions --------------------------------------------------------------------------------
 */

static void recover(struct sn_breaker *k, uint64_t now_ns)
{
	k->state = SN_BREAKER_RECOVERING;
	k->since_ns = now_ns;
	k->until_ns = now_ns + SN_BREAKER_RECOVERY_NS;
	k->failures = 0;
	memset(k->window, 0, sizeof(k->window));
}

bool sn_breaker_result(struct sn_breaker *k, const struct sn_breaker_settings *set, bool success,
		       uint64_t began_ns, uint64_t now_ns)
{
	bool low;

	if (began_ns < k->since_ns || k->state == SN_BREAKER_OPEN)
		return false;
	if (k->state == SN_BREAKER_PROBING) {
		if (success)
			recover(k, now_ns);
		return !success;
	}
	if (k->state == SN_BREAKER_RECOVERING && now_ns >= k->until_ns)
		k->state = SN_BREAKER_CLOSED; /* since_ns stays: it has been well since then */
	if (success)
		k->failures = 0;
	else if (k->failures < UINT16_MAX)
		k->failures++;
	low = set->min_rate_percent && rate_is_low(k, set, success, now_ns);
	return !success &&
	       (low || (set->consecutive_failures && k->failures >= set->consecutive_failures));
}

void sn_breaker_cancelled(struct sn_breaker *k, uint64_t began_ns, uint64_t now_ns)
{
	if (k->state != SN_BREAKER_PROBING || began_ns < k->since_ns)
		return;
	k->state = SN_BREAKER_OPEN;
	k->until_ns = now_ns;
}

/* Within [min, max] whatever the jitter, and spread even where all have reached max. */
static uint64_t penalty(const struct sn_breaker *k, const struct sn_breaker_settings *set,
			struct sn_rng *rng)
{
	uint64_t most = set->max_penalty_ns, p = set->min_penalty_ns, low, high;
	unsigned i;

	for (i = 0; i < k->level && p < most; i++)
		p *= 2;
	high = p + p / 2 < most ? p + p / 2 : most;
	low = high / 3 * 2;
	if (low < set->min_penalty_ns)
		low = set->min_penalty_ns;
	if (high <= low)
		return low;
	return low + (uint64_t)((double)(high - low) * (double)(sn_rng_next(rng) >> 11) * 0x1p-53);
}

void sn_breaker_open(struct sn_breaker *k, const struct sn_breaker_settings *set,
		     struct sn_rng *rng, uint64_t now_ns)
{
	uint64_t well = now_ns > k->since_ns ? (now_ns - k->since_ns) / SN_BREAKER_FORGET_NS : 0;

	if (k->state != SN_BREAKER_PROBING)
		k->level = well >= k->level ? 0 : (uint8_t)(k->level - well);
	k->state = SN_BREAKER_OPEN;
	k->since_ns = now_ns;
	k->until_ns = now_ns + penalty(k, set, rng);
	k->failures = 0;
	if (k->level < LEVEL_MAX)
		k->level++;
}

bool sn_breaker_is_ejected(const struct sn_breaker *k)
{
	return k->state == SN_BREAKER_OPEN || k->state == SN_BREAKER_PROBING;
}

bool sn_breaker_is_due(const struct sn_breaker *k, uint64_t now_ns)
{
	return sn_breaker_is_ejected(k) && now_ns >= k->until_ns;
}

void sn_breaker_probe(struct sn_breaker *k, uint64_t now_ns)
{
	if (k->state != SN_BREAKER_PROBING)
		k->since_ns =
			now_ns; /* an older probe that succeeds late still says that it is well */
	k->state = SN_BREAKER_PROBING;
	k->until_ns = now_ns + SN_BREAKER_PATIENCE_NS;
}

enum sn_breaker_state sn_breaker_state(const struct sn_breaker *k, uint64_t now_ns)
{
	if (k->state == SN_BREAKER_RECOVERING && now_ns >= k->until_ns)
		return SN_BREAKER_CLOSED;
	return k->state;
}

uint32_t sn_breaker_share(const struct sn_breaker *k, uint64_t now_ns)
{
	switch (sn_breaker_state(k, now_ns)) {
	case SN_BREAKER_CLOSED:
		return SN_BREAKER_FULL;
	case SN_BREAKER_RECOVERING:
		return sn_breaker_ramp(now_ns > k->since_ns ? now_ns - k->since_ns : 0,
				       SN_BREAKER_RECOVERY_NS);
	default:
		return 0;
	}
}

const char *sn_breaker_name(enum sn_breaker_state s)
{
	static const char *const names[] = {"closed", "open", "probing", "recovering"};

	return names[s];
}
