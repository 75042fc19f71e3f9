/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoints get requests. Each group keeps an array of those that do, from which one is taken
 * out, or put back, in constant time; the tables for drawing are made from it, lazily. Ejected ones
 * wait in a heap, the first due at its top. All of it follows from the endpoints' own state and can
 * be made anew at any time (sn_balance__arrange), which is what an update does. */
#include <stdlib.h>
#include <string.h>

#include "mesh/balance_int.h"

#define REFRESH_NS_PER_ENDPOINT 10000

/* --- memory -------------------------------------------------------------------------------------
 */

static void *cut(char **p, size_t bytes)
{
	void *out = *p;

	*p += (bytes + 7) & ~(size_t)7;
	return out;
}

struct sn_balance__set *sn_balance__set_new(const struct sn_balance_settings *s, uint32_t n)
{
	struct sn_balance__set *set = calloc(1, sizeof(*set));
	bool turn = s->algorithm == SN_BALANCE_ROUND_ROBIN;
	bool order = s->algorithm == SN_BALANCE_APERTURE;
	size_t words = (n * sizeof(uint32_t) + 15) & ~(size_t)7;
	unsigned i;
	char *p;

	/* both groups share what is by endpoint: their sizes follow in sn_balance__arrange() */
	if (set)
		set->memory = calloc(1, n * sizeof(void *) + words * (turn ? 3 : 7 + order));
	if (!set || !set->memory) {
		free(set);
		return NULL;
	}
	p = set->memory;
	set->n = n;
	set->v = cut(&p, n * sizeof(void *));
	set->heap = cut(&p, words);
	set->groups[0].avail = cut(&p, words);
	if (turn) {
		set->groups[0].turn = cut(&p, words);
	} else {
		set->groups[0].slots = cut(&p, n * sizeof(struct sn_balance__slot));
		set->part = cut(&p, words);
		set->work = cut(&p, words);
	}
	if (order)
		set->order = cut(&p, words);
	for (i = 0; i < 2; i++)
		set->groups[i].dirty = true;
	return set;
}

void sn_balance__set_free(struct sn_balance__set *set)
{
	if (!set)
		return;
	free(set->zones);
	free(set->by_id);
	free(set->ring);
	free(set->ring_of);
	free(set->maglev);
	free(set->memory);
	free(set);
}

/* --- the heap -----------------------------------------------------------------------------------
 */

static bool before(const struct sn_balance__set *set, uint32_t i, uint32_t j)
{
	return set->v[set->heap[i]]->breaker.until_ns < set->v[set->heap[j]]->breaker.until_ns;
}

static void swap(struct sn_balance__set *set, uint32_t i, uint32_t j)
{
	uint32_t k = set->heap[i];

	set->heap[i] = set->heap[j];
	set->heap[j] = k;
	set->v[set->heap[i]]->heap = i;
	set->v[set->heap[j]]->heap = j;
}

static void sift(struct sn_balance__set *set, uint32_t i)
{
	uint32_t child;

	for (; i && before(set, i, (i - 1) / 2); i = (i - 1) / 2)
		swap(set, i, (i - 1) / 2);
	for (; (child = 2 * i + 1) < set->n_heap; i = child) {
		if (child + 1 < set->n_heap && before(set, child + 1, child))
			child++;
		if (!before(set, child, i))
			break;
		swap(set, i, child);
	}
}

static void heap_put(struct sn_balance__set *set, struct sn_endpoint *e)
{
	if (e->heap == SN_BALANCE__NONE) {
		e->heap = set->n_heap;
		set->heap[set->n_heap++] = e->index;
	}
	sift(set, e->heap);
}

static void heap_take(struct sn_balance__set *set, struct sn_endpoint *e)
{
	uint32_t i = e->heap;

	if (i == SN_BALANCE__NONE)
		return;
	swap(set, i, --set->n_heap);
	e->heap = SN_BALANCE__NONE;
	if (i < set->n_heap)
		sift(set, i);
}

/* --- available or not ---------------------------------------------------------------------------
 */

static void set_offered(struct sn_balance *b, struct sn_endpoint *e, bool offered)
{
	struct sn_balance__group *g = &b->set->groups[e->group];

	if (offered == sn_balance__offered(e))
		return;
	if (offered) {
		e->at = g->n_avail;
		g->avail[g->n_avail++] = e->index;
		g->avail_weight += e->weight;
		b->set->n_in++;
	} else {
		g->avail[e->at] = g->avail[--g->n_avail];
		b->set->v[g->avail[e->at]]->at = e->at;
		e->at = SN_BALANCE__NONE;
		g->avail_weight -= e->weight;
		b->set->n_in--;
	}
	g->dirty = true;
}

static void place(struct sn_balance *b, struct sn_endpoint *e)
{
	bool ejected = sn_breaker_is_ejected(&e->breaker);

	set_offered(b, e, e->weight && e->in && (!ejected || b->set->panic));
	if (ejected && e->weight)
		heap_put(b->set, e);
	else
		heap_take(b->set, e);
}

void sn_balance__include(struct sn_balance *b, struct sn_endpoint *e, bool in)
{
	e->in = in;
	place(b, e);
}

/* All are ejected: with panic, all are used; until one is well. */
static void look_for_panic(struct sn_balance *b)
{
	struct sn_balance__set *set = b->set;
	bool panic = b->settings.breaker.panic && set->n_heap && set->n_heap == set->n_usable;
	uint32_t i;

	if (panic == set->panic)
		return;
	set->panic = panic;
	for (i = 0; i < set->n; i++)
		place(b, set->v[i]);
}

void sn_balance__settle(struct sn_balance *b, struct sn_endpoint *e)
{
	place(b, e);
	look_for_panic(b);
	if (b->set->order)
		sn_balance__aperture_fit(b);
}

void sn_balance__eject(struct sn_balance *b, struct sn_endpoint *e, uint64_t now_ns)
{
	const struct sn_balance__set *set = b->set;
	uint64_t n = set->n_heap + (e->heap == SN_BALANCE__NONE);

	if (n >= set->n_usable ||
	    n * 100 > (uint64_t)b->settings.breaker.max_ejected_percent * set->n_usable)
		if (e->heap == SN_BALANCE__NONE)
			return;
	b->ejections++;
	sn_breaker_open(&e->breaker, &b->settings.breaker, &b->rng, now_ns);
	sn_balance__settle(b, e);
}

/* --- weights ------------------------------------------------------------------------------------
 */

uint32_t sn_balance__share(const struct sn_balance *b, const struct sn_endpoint *e, uint64_t now_ns)
{
	uint32_t part = SN_BREAKER_FULL, other;

	if (e->born_ns && b->settings.slow_start_ns)
		part = sn_breaker_ramp(now_ns - e->born_ns, b->settings.slow_start_ns);
	other = b->set->panic ? SN_BREAKER_FULL : sn_breaker_share(&e->breaker, now_ns);
	part = other < part ? other : part;
	if (now_ns < e->spare_until_ns && part > SN_BREAKER_FULL / 10)
		part = SN_BREAKER_FULL / 10;
	return e->weight * (part ? part : 1);
}

void sn_balance__refresh(struct sn_balance *b, struct sn_balance__group *g, uint64_t now_ns)
{
	struct sn_balance__set *set = b->set;
	bool old = g->dirty || g->built_ns < b->ramp_until_ns;
	uint32_t least = UINT32_MAX, most = 0, i;
	uint64_t sum = 0;

	if (!old || (g->built && now_ns - g->built_ns < g->n_avail * REFRESH_NS_PER_ENDPOINT))
		return;
	for (i = 0; i < g->n_avail; i++) {
		struct sn_endpoint *e = set->v[g->avail[i]];

		e->share = sn_balance__share(b, e, now_ns);
		sum += e->share;
		least = e->share < least ? e->share : least;
		most = e->share > most ? e->share : most;
	}
	g->mean_share = g->n_avail ? (double)sum / g->n_avail : 0;
	g->even = least >= most;
	if (g->turn)
		sn_balance__turn_build(set, g);
	else if (!g->even)
		sn_balance__slots_build(set, g);
	g->dirty = false;
	g->built = true;
	g->built_ns = now_ns;
}

bool sn_balance__was_tried(const struct sn_balance_ask *ask, const struct sn_endpoint *e)
{
	unsigned i;

	for (i = 0; i < ask->n_tried; i++)
		if (ask->tried[i] == e)
			return true;
	return false;
}

/* --- all of it ----------------------------------------------------------------------------------
 */

/* When the last ramp of @e is over. */
static uint64_t ramp_end(const struct sn_balance *b, const struct sn_endpoint *e)
{
	uint64_t end = e->spare_until_ns, other;

	other = e->born_ns ? e->born_ns + b->settings.slow_start_ns : 0;
	end = other > end ? other : end;
	other = e->breaker.state == SN_BREAKER_RECOVERING ? e->breaker.until_ns : 0;
	return other > end ? other : end;
}

static void count_zones(struct sn_balance__set *set)
{
	uint32_t i, k;

	set->n_zones = 0;
	for (k = 0; k < set->n_names; k++)
		for (i = 0; i < set->n; i++)
			if (set->v[i]->zone == k && set->v[i]->weight) {
				set->n_zones++;
				break;
			}
}

/* Who is near; then the second group's arrays begin where the first one's end. */
static void divide(struct sn_balance *b)
{
	struct sn_balance__set *set = b->set;
	struct sn_balance__group *g = set->groups;
	bool zones = b->zone[0] && b->settings.algorithm < SN_BALANCE_RING_HASH;
	uint32_t near = 0, i;

	for (i = 0; i < set->n; i++) {
		struct sn_endpoint *e = set->v[i];

		e->group = zones && strcmp(set->zones[e->zone], b->zone) != 0;
		g[e->group].weight += e->weight;
		set->n_usable += e->weight != 0;
		near += e->group == 0;
	}
	g[1].avail = g[0].avail + near;
	if (g[0].turn)
		g[1].turn = g[0].turn + near;
	if (g[0].slots)
		g[1].slots = g[0].slots + near;
	if (zones)
		count_zones(set);
}

void sn_balance__arrange(struct sn_balance *b, uint64_t now_ns)
{
	struct sn_balance__set *set = b->set;
	uint32_t i;

	divide(b);
	b->ramp_until_ns = 0;
	for (i = 0; i < set->n; i++) {
		struct sn_endpoint *e = set->v[i];
		uint64_t end = ramp_end(b, e);

		e->index = i;
		e->at = e->heap = SN_BALANCE__NONE;
		e->in = !set->order;
		e->share = e->weight * SN_BREAKER_FULL;
		b->ramp_until_ns = end > b->ramp_until_ns ? end : b->ramp_until_ns;
	}
	for (i = 0; i < set->n; i++)
		place(b, set->v[i]);
	look_for_panic(b);
	if (set->order)
		sn_balance__aperture_arrange(b);
	for (i = 0; i < 2; i++)
		sn_balance__refresh(b, &set->groups[i], now_ns);
}
