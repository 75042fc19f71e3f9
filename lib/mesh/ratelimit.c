/* SPDX-License-Identifier: Apache-2.0 */
/* A limit costs one time per key. Where it is kept has a fixed size: keys are what clients say, and
 * a limiter that clients can make grow is itself what they would attack. So a key has one set of
 * slots, as an address has in a cache, and what is past its time counts as not there. */
#include "mesh/ratelimit.h"

#include <stdlib.h>

#include "base/hash.h"

#define MILLI_SECOND_NS 1000000000000ull /* 1 s for a thousandth of a request */
#define TOLERANCE_MAX_NS (UINT64_MAX / 4)
#define KEYS_MAX ((size_t)1 << 24)

void sn_gcra_settings_init(struct sn_gcra_settings *s, uint64_t milli_per_second, uint32_t burst)
{
	uint64_t per = milli_per_second ? milli_per_second : 1;
	uint64_t more = burst ? burst - 1 : 0;

	s->emission_ns = MILLI_SECOND_NS / per + (MILLI_SECOND_NS % per != 0);
	s->tolerance_ns =
		more > TOLERANCE_MAX_NS / s->emission_ns ? TOLERANCE_MAX_NS : more * s->emission_ns;
}

bool sn_gcra_allow(struct sn_gcra *g, const struct sn_gcra_settings *s, uint64_t now_ns,
		   uint64_t *ret_wait_ns)
{
	uint64_t ahead = g->tat_ns > now_ns ? g->tat_ns - now_ns : 0;

	/* Further ahead than any request can have brought it: the rate was another then. */
	if (ahead > s->tolerance_ns + s->emission_ns) {
		ahead = s->tolerance_ns + s->emission_ns;
		g->tat_ns = now_ns + ahead;
	}
	if (ahead > s->tolerance_ns) {
		if (ret_wait_ns)
			*ret_wait_ns = ahead - s->tolerance_ns;
		return false;
	}
	g->tat_ns = now_ns + ahead + s->emission_ns;
	return true;
}

void sn_ratelimit_init(struct sn_ratelimit *r, const struct sn_gcra_settings *s, size_t max_keys,
		       const uint64_t seed[2])
{
	size_t n = SN_RATELIMIT_WAYS;

	while (n < max_keys && n < KEYS_MAX)
		n *= 2;
	*r = (struct sn_ratelimit){.settings = *s, .seed = {seed[0], seed[1]}, .n_slots = n};
}

void sn_ratelimit_done(struct sn_ratelimit *r)
{
	free(r->slots);
	r->slots = NULL;
}

void sn_ratelimit_change(struct sn_ratelimit *r, const struct sn_gcra_settings *s)
{
	r->settings = *s;
}

/* The slot of @hash: its own, else the one that is soonest free, with nothing in it. A slot that is
 * free has a tat in the past, so it is sooner free than any that is not. */
static struct sn_ratelimit_slot *place(struct sn_ratelimit *r, uint64_t hash, uint64_t now_ns)
{
	size_t n_sets = r->n_slots / SN_RATELIMIT_WAYS, i;
	struct sn_ratelimit_slot *set = r->slots + (hash & (n_sets - 1)) * SN_RATELIMIT_WAYS;
	struct sn_ratelimit_slot *soonest = set;

	for (i = 0; i < SN_RATELIMIT_WAYS; i++) {
		if (set[i].hash == hash)
			return &set[i];
		if (set[i].cell.tat_ns < soonest->cell.tat_ns)
			soonest = &set[i];
	}
	if (soonest->cell.tat_ns > now_ns)
		r->evicted++;
	*soonest = (struct sn_ratelimit_slot){.hash = hash};
	return soonest;
}

bool sn_ratelimit_allow(struct sn_ratelimit *r, struct sn_slice key, uint64_t now_ns,
			uint64_t *ret_wait_ns)
{
	uint64_t hash = sn_hash_sip64(key.p, key.n, r->seed[0], r->seed[1]);

	if (!r->slots)
		r->slots = calloc(r->n_slots, sizeof(*r->slots));
	if (!r->slots) {
		r->unchecked++;
		return true;
	}
	return sn_gcra_allow(&place(r, hash, now_ns)->cell, &r->settings, now_ns, ret_wait_ns);
}

size_t sn_ratelimit_count(const struct sn_ratelimit *r, uint64_t now_ns)
{
	size_t i, n = 0;

	for (i = 0; r->slots && i < r->n_slots; i++)
		n += r->slots[i].cell.tat_ns > now_ns;
	return n;
}
