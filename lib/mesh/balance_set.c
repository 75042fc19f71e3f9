/* SPDX-License-Identifier: Apache-2.0 */
/* The set of endpoints as it comes and goes. Whatever changes is made whole beside what is there,
 * with all memory it needs, and then put in its place; endpoints that stay are the same objects. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mesh/balance_int.h"

#define USUAL_AT_FIRST 8 /* of nothing seen yet: enough for what starts all at once */
#define WEIGHT_MAX 1000000u
#define ZONES_MAX 256

/* --- settings -----------------------------------------------------------------------------------
 */

static void copy_zone(char dst[SN_BALANCE_ZONE_MAX], struct sn_slice zone)
{
	size_t n = zone.n < SN_BALANCE_ZONE_MAX ? zone.n : SN_BALANCE_ZONE_MAX - 1;

	memset(dst, 0, SN_BALANCE_ZONE_MAX);
	memcpy(dst, zone.p ? zone.p : "", n);
}

static bool is_same(const struct sn_balance *b, const struct sn_balance_settings *s)
{
	const struct sn_balance_settings *old = &b->settings;
	const struct sn_breaker_settings *k = &s->breaker, *o = &old->breaker;
	char zone[SN_BALANCE_ZONE_MAX];

	copy_zone(zone, s->zone);
	return old->algorithm == s->algorithm && old->slow_start_ns == s->slow_start_ns &&
	       old->aperture_min == s->aperture_min && strcmp(b->zone, zone) == 0 &&
	       o->on == k->on && o->panic == k->panic &&
	       o->consecutive_failures == k->consecutive_failures &&
	       o->min_rate_percent == k->min_rate_percent && o->min_requests == k->min_requests &&
	       o->max_ejected_percent == k->max_ejected_percent && o->window_ns == k->window_ns &&
	       o->min_penalty_ns == k->min_penalty_ns && o->max_penalty_ns == k->max_penalty_ns;
}

static void take_settings(struct sn_balance *b, const struct sn_balance_settings *s)
{
	uint64_t seed = b->settings.seed;

	b->settings = *s;
	b->settings.seed = b->set ? seed : s->seed;
	copy_zone(b->zone, s->zone);
	b->settings.zone = sn_slice_cstr(b->zone);
}

struct sn_balance *sn_balance_new(const struct sn_balance_settings *s)
{
	struct sn_balance *b = calloc(1, sizeof(*b));

	if (!b)
		return NULL;
	take_settings(b, s);
	sn_rng_seed(&b->rng, s->seed);
	b->usual_queue = USUAL_AT_FIRST;
	if (sn_balance_update(b, NULL, 0, 0) == 0)
		return b;
	free(b);
	return NULL;
}

void sn_balance__release(struct sn_balance *b, struct sn_endpoint *e)
{
	if (b->on_gone)
		b->on_gone(e, b->on_gone_arg);
	free(e);
}

void sn_balance_free(struct sn_balance *b)
{
	uint32_t i;

	if (!b)
		return;
	for (i = 0; i < b->set->n; i++)
		sn_balance__release(b, b->set->v[i]);
	sn_balance__set_free(b->set);
	free(b);
}

void sn_balance_on_gone(struct sn_balance *b, void (*fn)(struct sn_endpoint *e, void *arg),
			void *arg)
{
	b->on_gone = fn;
	b->on_gone_arg = arg;
}

/* --- the set ------------------------------------------------------------------------------------
 */

static uint32_t weight_of(const struct sn_endpoint_spec *item)
{
	return item->weight < WEIGHT_MAX ? item->weight : WEIGHT_MAX;
}

/* The arrangement for @v, as far as it needs memory. @items: their weights are the new ones, in the
 * order of @order; or NULL: they keep theirs. NULL: there is no memory. */
static struct sn_balance__set *prepare(const struct sn_balance_settings *s,
				       struct sn_endpoint *const *v, uint32_t n,
				       const struct sn_endpoint_spec *items, const uint32_t *order)
{
	struct sn_balance__set *set = sn_balance__set_new(s, n);
	uint32_t *weights = NULL, i;
	int rc = set ? 0 : -SN_ENOMEM;

	if (rc == 0 && n)
		memcpy(set->v, v, n * sizeof(struct sn_endpoint *));
	if (rc == 0 && n && sn_balance__is_by_hash(s->algorithm)) {
		weights = calloc(n, sizeof(*weights));
		for (i = 0; weights && i < n; i++)
			weights[i] = items ? weight_of(&items[order[i]]) : v[i]->weight;
		rc = weights ? sn_balance__hash_build(set, s->algorithm, weights) : -SN_ENOMEM;
		free(weights);
	}
	if (rc == 0)
		return set;
	sn_balance__set_free(set);
	return NULL;
}

/* Names of zones are kept once each; beyond the limit they are unknown, as "" is. */
static uint16_t zone_index(struct sn_balance__set *set, struct sn_slice name)
{
	char text[SN_BALANCE_ZONE_MAX];
	uint32_t i;

	copy_zone(text, name);
	for (i = 0; i < set->n_names; i++)
		if (strcmp(set->zones[i], text) == 0)
			return (uint16_t)i;
	if (i == ZONES_MAX)
		return 0;
	memcpy(set->zones[i], text, sizeof(text));
	set->n_names++;
	return (uint16_t)i;
}

/* How many different names there can be, "" included. */
static uint32_t count_names(const struct sn_endpoint_spec *items, uint32_t n)
{
	uint32_t i, named = 1;

	for (i = 0; i < n && named < ZONES_MAX; i++)
		named += items[i].zone.n &&
			 (i == 0 || !sn_slice_eq(items[i].zone, items[i - 1].zone));
	return named;
}

static void let_go(struct sn_balance *b, struct sn_endpoint *e)
{
	e->gone = true;
	e->at = e->heap = SN_BALANCE__NONE;
	if (e->outstanding)
		b->leaving++;
	else
		sn_balance__release(b, e);
}

/* Turns go on where they were. */
static void go_on(struct sn_balance__set *set, const struct sn_balance__set *old)
{
	unsigned i;

	for (i = 0; old && i < 2; i++)
		memcpy(set->groups[i].classes, old->groups[i].classes,
		       sizeof(old->groups[i].classes));
}

static void replace(struct sn_balance *b, struct sn_balance__set *set,
		    const struct sn_balance__match *m, const struct sn_endpoint_spec *items,
		    uint64_t now_ns)
{
	struct sn_balance__set *old = b->set;
	uint32_t i;

	set->n_names = 1; /* "" */
	for (i = 0; i < set->n; i++) {
		struct sn_endpoint *e = set->v[i];
		const struct sn_endpoint_spec *item = &items[m->item[i]];

		e->weight = weight_of(item);
		e->mesh = item->mesh;
		e->zone = zone_index(set, item->zone);
	}
	go_on(set, old);
	b->set = set;
	for (i = 0; old && i < old->n; i++)
		if (m->taken[i] == SN_BALANCE__NONE)
			let_go(b, old->v[i]);
	sn_balance__set_free(old);
	b->filled |= set->n > 0;
	sn_balance__arrange(b, now_ns);
}

/* The very set that is there, in its order: as most changes of a configuration leave most of them.
 */
static bool is_there(const struct sn_balance *b, const struct sn_endpoint_spec *items, size_t n)
{
	char zone[SN_BALANCE_ZONE_MAX];
	size_t i, k = 0;

	if (!b->set)
		return false;
	for (i = 0; i < n; i++) {
		const struct sn_endpoint *e;

		if (!sn_balance__is_for(b, &items[i]))
			continue;
		if (k == b->set->n)
			return false;
		e = b->set->v[k++];
		if (!sn_addr_eq(&e->addr, &items[i].addr) || e->weight != weight_of(&items[i]) ||
		    e->mesh != items[i].mesh)
			return false;
		copy_zone(zone, items[i].zone);
		if (strcmp(b->set->zones[e->zone], zone) != 0)
			return false;
	}
	return k == b->set->n;
}

int sn_balance_update(struct sn_balance *b, const struct sn_endpoint_spec *items, size_t n,
		      uint64_t now_ns)
{
	static const struct sn_endpoint_spec none;
	struct sn_balance__set *set;
	struct sn_balance__match m;

	if (n > SN_BALANCE_ENDPOINTS_MAX)
		return -SN_ELIMIT;
	if (!items) {
		items = &none;
		n = 0;
	}
	if (is_there(b, items, n))
		return 0;
	if (sn_balance__match(b, items, (uint32_t)n, now_ns, &m))
		return -SN_ENOMEM;
	set = prepare(&b->settings, m.v, m.n, items, m.item);
	if (set)
		set->zones = calloc(count_names(items, (uint32_t)n), SN_BALANCE_ZONE_MAX);
	if (!set || !set->zones) {
		sn_balance__set_free(set);
		sn_balance__match_undo(&m);
		return -SN_ENOMEM;
	}
	replace(b, set, &m, items, now_ns);
	sn_balance__match_done(&m);
	return 0;
}

int sn_balance_configure(struct sn_balance *b, const struct sn_balance_settings *s, uint64_t now_ns)
{
	struct sn_balance__set *old = b->set, *set;
	uint32_t i;

	if (is_same(b, s))
		return 0;
	set = prepare(s, old->v, old->n, NULL, NULL);
	if (!set)
		return -SN_ENOMEM;
	set->zones = old->zones;
	set->n_names = old->n_names;
	old->zones = NULL;
	for (i = 0; i < set->n && !s->breaker.on; i++)
		set->v[i]->breaker = (struct sn_breaker){0};
	take_settings(b, s);
	go_on(set, old);
	b->set = set;
	sn_balance__set_free(old);
	sn_balance__arrange(b, now_ns);
	return 0;
}
