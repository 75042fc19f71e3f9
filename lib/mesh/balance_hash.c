/* SPDX-License-Identifier: Apache-2.0 */
/* The same key, the same endpoint: at every worker, proxy and time, whatever the order in which
 * endpoints were listed. Only addresses and weights decide (by hashes with a fixed key), never what
 * is available here just now: a key whose endpoint cannot be used goes to the next one, all others
 * stay where they are.
 *
 * Ring (Karger et al. 1997; ketama): a unit of weight has 2^k points, so that what leaves or comes
 * touches no other's points. k is the greatest up to 8 for which no endpoint has more than 1024
 * points and all have at most 98,304: it changes only when the greatest weight or the sum crosses a
 * power of two, and then half of the points stay or are added. Points are 32 bits, found by binary
 * search.
 *
 * Maglev (Eisenbud et al., NSDI 2016, 3.4): each endpoint fills a table in the order of its own
 * permutation, with weights as in Envoy's (turns in proportion). The table has 65,537 places, and
 * 4,093 for sets of up to 40; the change between them moves keys. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mesh/balance_int.h"

#define UNIT_MAX 8
#define ONE_MAX 1024u
#define RING_MAX 98304u
#define SMALL_SET 40
#define TABLE_SMALL 4093u
#define TABLE_LARGE 65537u
#define FREE UINT16_MAX
#define STEPS 64 /* to the next one that can be used; then any */

/* --- the ring -----------------------------------------------------------------------------------
 */

/* Points of @weight for units of 2^@k. */
static uint32_t points(uint32_t weight, int k)
{
	uint64_t p = k >= 0 ? (uint64_t)weight << k : weight >> -k;

	return weight == 0 ? 0 : p ? (uint32_t)p : 1;
}

static int unit_of(const uint32_t *weights, uint32_t n, uint32_t *ret_sum)
{
	uint32_t i, most = 0;
	uint64_t sum;
	int k;

	for (i = 0; i < n; i++)
		most = weights[i] > most ? weights[i] : most;
	for (k = UNIT_MAX;; k--) {
		for (i = 0, sum = 0; i < n; i++)
			sum += points(weights[i], k);
		if ((points(most, k) <= ONE_MAX && sum <= RING_MAX) || points(most, k) <= 1)
			break;
	}
	*ret_sum = (uint32_t)sum;
	return k;
}

struct point {
	uint32_t at, of;
};

/* By `at`, eight bits a pass; the order of equal ones stays. Returns where the result is. */
static struct point *sort(struct point *a, struct point *tmp, uint32_t n)
{
	unsigned shift;

	for (shift = 0; shift < 32; shift += 8) {
		uint32_t count[257] = {0}, i;
		struct point *swap = a;

		for (i = 0; i < n; i++)
			count[(a[i].at >> shift & 255) + 1]++;
		for (i = 0; i < 256; i++)
			count[i + 1] += count[i];
		for (i = 0; i < n; i++)
			tmp[count[a[i].at >> shift & 255]++] = a[i];
		a = tmp;
		tmp = swap;
	}
	return a;
}

static int ring_build(struct sn_balance__set *set, const uint32_t *weights)
{
	uint32_t sum, i, j, n = 0;
	int k = unit_of(weights, set->n, &sum);
	struct point *scratch = malloc((sum ? sum : 1) * 2 * sizeof(*scratch)), *sorted;

	set->ring = malloc((sum ? sum : 1) * sizeof(*set->ring));
	set->ring_of = malloc((sum ? sum : 1) * sizeof(*set->ring_of));
	if (!scratch || !set->ring || !set->ring_of) {
		free(scratch);
		return -SN_ENOMEM;
	}
	for (i = 0; i < set->n; i++) { /* by id: where points fall together, all proxies agree */
		uint32_t of = set->by_id[i];

		for (j = 0; j < points(weights[of], k); j++)
			scratch[n++] = (struct point){
				(uint32_t)(sn_balance__mix(set->v[of]->id + j) >> 32), of};
	}
	sorted = sort(scratch, scratch + n, n);
	for (i = 0; i < n; i++) {
		set->ring[i] = sorted[i].at;
		set->ring_of[i] = (uint16_t)sorted[i].of;
	}
	set->n_ring = n;
	free(scratch);
	return 0;
}

/* The first point at or after @at. */
static uint32_t ring_find(const struct sn_balance__set *set, uint32_t at)
{
	uint32_t low = 0, high = set->n_ring;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (set->ring[middle] < at)
			low = middle + 1;
		else
			high = middle;
	}
	return low == set->n_ring ? 0 : low;
}

/* --- Maglev -------------------------------------------------------------------------------------
 */

struct filler {
	uint32_t next, skip;
	double due; /* its weight's turn */
};

/* Takes the next free place of its own permutation. */
static void take_place(struct sn_balance__set *set, struct filler *f, uint32_t of)
{
	while (set->maglev[f->next] != FREE)
		f->next = (f->next + f->skip) % set->n_maglev;
	set->maglev[f->next] = (uint16_t)of;
}

static void populate(struct sn_balance__set *set, struct filler *f, const uint32_t *weights,
		     double most)
{
	uint32_t filled = 0, i;
	double turn;

	for (turn = 1; filled < set->n_maglev; turn++)
		for (i = 0; i < set->n && filled < set->n_maglev; i++) {
			uint32_t of = set->by_id[i];

			if (weights[of] == 0 || turn * weights[of] < f[i].due)
				continue;
			f[i].due += most;
			take_place(set, &f[i], of);
			filled++;
		}
}

static int maglev_build(struct sn_balance__set *set, const uint32_t *weights)
{
	struct filler *f = malloc((set->n ? set->n : 1) * sizeof(*f));
	uint32_t i, most = 0;

	set->n_maglev = set->n <= SMALL_SET ? TABLE_SMALL : TABLE_LARGE;
	set->maglev = malloc(set->n_maglev * sizeof(*set->maglev));
	if (!f || !set->maglev) {
		free(f);
		return -SN_ENOMEM;
	}
	memset(set->maglev, 0xff, set->n_maglev * sizeof(*set->maglev));
	for (i = 0; i < set->n; i++) {
		uint64_t id = set->v[set->by_id[i]]->id;

		most = weights[i] > most ? weights[i] : most;
		f[i].next = (uint32_t)(sn_balance__mix(id) % set->n_maglev);
		f[i].skip = (uint32_t)(sn_balance__mix(~id) % (set->n_maglev - 1)) + 1;
		f[i].due = 0;
	}
	if (most)
		populate(set, f, weights, most);
	free(f);
	return 0;
}

int sn_balance__hash_build(struct sn_balance__set *set, enum sn_balance_algorithm algorithm,
			   const uint32_t *weights)
{
	if (sn_balance__sort_ids(set))
		return -SN_ENOMEM;
	return algorithm == SN_BALANCE_RING_HASH ? ring_build(set, weights)
						 : maglev_build(set, weights);
}

/* --- picking ------------------------------------------------------------------------------------
 */

/* While only a part of an endpoint's weight counts, that part of its keys, and always the same. */
static bool takes_key(const struct sn_balance *b, const struct sn_endpoint *e,
		      const struct sn_balance_ask *ask)
{
	uint32_t share;

	if (!sn_balance__offered(e) || sn_balance__was_tried(ask, e))
		return false;
	if (ask->now_ns >= b->ramp_until_ns)
		return true;
	share = sn_balance__share(b, e, ask->now_ns);
	return (sn_balance__mix(ask->hash ^ e->id) & 255) < share / e->weight;
}

void sn_balance__hash_pick(struct sn_balance *b, const struct sn_balance_ask *ask,
			   struct sn_balance__choice *c)
{
	struct sn_balance__set *set = b->set;
	uint64_t hash = sn_balance__mix(ask->hash);
	bool ring = b->settings.algorithm == SN_BALANCE_RING_HASH;
	uint32_t at = ring ? ring_find(set, (uint32_t)(hash >> 32)) : 0, step;
	struct sn_endpoint *e, *last = NULL;

	for (step = 0; step < STEPS; step++) {
		if (ring)
			e = set->v[set->ring_of[(at + step) % set->n_ring]];
		else
			e = set->v[set->maglev[sn_balance__mix(hash + step) % set->n_maglev]];
		if (e == last)
			continue;
		last = e;
		c->probe = sn_breaker_is_due(&e->breaker, ask->now_ns) &&
			   !sn_balance__was_tried(ask, e);
		if (c->probe || takes_key(b, e, ask)) {
			c->e = e;
			return;
		}
	}
	c->e = sn_balance__any(b, &set->groups[0], ask, NULL);
}
