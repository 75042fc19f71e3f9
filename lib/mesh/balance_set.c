/* SPDX-License-Identifier: Apache-2.0 */
/* The set of endpoints as it comes and goes. Whatever changes is made whole beside what is there,
 * with all memory it needs, and then put in its place; endpoints that stay are the same objects. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/hash.h"
#include "mesh/balance_int.h"
#include "mesh/persist.h"

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

uint64_t sn_balance_id(const struct sn_addr *a)
{
	return sn_persist_endpoint(a); /* what a session names */
}

struct entry {
	uint64_t id;
	uint32_t item;
	struct sn_endpoint *e;
	bool fresh;
	bool twice; /* an earlier item has the address */
};

/* One of a list, by its id. */
struct place {
	uint64_t id;
	uint32_t i;
};

/* By id, equal ones in the order they were in. Ids are hashes, so that as many buckets as there are
 * ids hold about one each: linear, where the comparisons of a sort would be most of an update.
 * Returns 0 or -SN_ENOMEM. */
static int sort_places(struct place *v, uint32_t n)
{
	unsigned shift = 64 - (n > 1 ? 32 - (unsigned)__builtin_clz(n - 1) : 1);
	size_t buckets = (size_t)1 << (64 - shift), i, k;
	uint32_t *start = calloc(buckets + 1, sizeof(*start));
	struct place *out = calloc(n ? n : 1, sizeof(*out));
	bool ok = start && out;

	for (i = 0; ok && i < n; i++)
		start[(v[i].id >> shift) + 1]++;
	for (i = 0; ok && i < buckets; i++)
		start[i + 1] += start[i];
	for (i = 0; ok && i < n; i++)
		out[start[v[i].id >> shift]++] = v[i];
	for (i = 0; ok && i < n; i++) {
		for (k = i; k > 0 && v[k - 1].id > out[i].id; k--)
			v[k] = v[k - 1];
		v[k] = out[i];
	}
	free(start);
	free(out);
	return ok ? 0 : -SN_ENOMEM;
}

static uint64_t average_latency(const struct sn_balance *b, uint64_t now_ns)
{
	double sum = 0;
	uint32_t i, n = 0;

	for (i = 0; b->set && i < b->set->n; i++)
		if (b->set->v[i]->ewma_ns) {
			sum += sn_balance__latency(b->set->v[i], now_ns);
			n++;
		}
	return n ? (uint64_t)(sum / n) : 0;
}

/* Finds what is there of @list, and what comes twice in it. Both sets are walked by id, side by
 * side. Returns 0 or -SN_ENOMEM. */
static int recognize(const struct sn_balance *b, struct entry *list, uint32_t n)
{
	struct place *places = calloc(n ? n : 1, sizeof(*places));
	uint32_t i, k = 0, last = 0;
	int rc = places ? 0 : -SN_ENOMEM;

	for (i = 0; places && i < n; i++)
		places[i] = (struct place){list[i].id, i};
	if (places)
		rc = sort_places(places, n);
	for (i = 0; rc == 0 && i < n; i++) {
		struct entry *x = &list[places[i].i];

		x->twice = i > 0 && places[last].id == x->id;
		if (x->twice)
			continue;
		last = i;
		while (b->set && k < b->set->n && b->set->v[b->set->by_id[k]]->id < x->id)
			k++;
		if (b->set && k < b->set->n && b->set->v[b->set->by_id[k]]->id == x->id)
			x->e = b->set->v[b->set->by_id[k]];
	}
	free(places);
	return rc;
}

/* Each address once, in order; known ones with their endpoint, others with a new one. Returns how
 * many; *ret_ok false: without memory for all. */
static uint32_t match(struct sn_balance *b, const struct sn_balance_item *items, struct entry *list,
		      uint32_t n, uint64_t now_ns, bool *ret_ok)
{
	uint64_t start = average_latency(b, now_ns);
	uint32_t i, out = 0;

	for (i = 0; i < n; i++)
		list[i] = (struct entry){.id = sn_balance_id(&items[i].addr), .item = i};
	*ret_ok = recognize(b, list, n) == 0;
	for (i = 0; *ret_ok && i < n; i++) {
		struct entry *x = &list[out];

		if (list[i].twice)
			continue;
		*x = list[i];
		if (!x->e) {
			x->fresh = true;
			x->e = calloc(1, sizeof(*x->e));
			*ret_ok = x->e != NULL;
		}
		if (!*ret_ok)
			break;
		out++;
		if (!x->fresh)
			continue;
		x->e->addr = items[x->item].addr;
		x->e->id = x->id;
		x->e->ewma_ns = start;
		x->e->ewma_at_ns = now_ns;
		x->e->born_ns = b->filled ? now_ns : 0;
	}
	return out;
}

static uint32_t weight_of(const struct sn_balance_item *item)
{
	return item->weight < WEIGHT_MAX ? item->weight : WEIGHT_MAX;
}

/* The arrangement for @v with @weights, as far as it needs memory. NULL: there is none. */
static struct sn_balance__set *prepare(const struct sn_balance_settings *s,
				       struct sn_endpoint *const *v, const uint32_t *weights,
				       uint32_t n)
{
	struct sn_balance__set *set = sn_balance__set_new(s, n);
	struct place *places = calloc(n ? n : 1, sizeof(*places));
	bool ok = set && places;
	uint32_t i;

	for (i = 0; ok && i < n; i++)
		places[i] = (struct place){v[i]->id, i};
	ok = ok && sort_places(places, n) == 0;
	for (i = 0; ok && i < n; i++) {
		set->v[i] = v[i];
		set->by_id[i] = places[i].i;
	}
	free(places);
	if (ok && (n == 0 || sn_balance__hash_build(set, s->algorithm, weights) == 0))
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
static uint32_t count_names(const struct sn_balance_item *items, uint32_t n)
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

static void replace(struct sn_balance *b, struct sn_balance__set *set, const struct entry *list,
		    const struct sn_balance_item *items, uint64_t now_ns)
{
	struct sn_balance__set *old = b->set;
	uint32_t i;

	set->n_names = 1; /* "" */
	for (i = 0; old && i < old->n; i++)
		old->v[i]->gone = true;
	for (i = 0; items && i < set->n; i++) {
		struct sn_endpoint *e = set->v[i];
		const struct sn_balance_item *item = &items[list[i].item];

		e->gone = false;
		e->weight = weight_of(item);
		e->mesh = item->mesh;
		e->zone = zone_index(set, item->zone);
	}
	go_on(set, old);
	b->set = set;
	for (i = 0; old && i < old->n; i++)
		if (old->v[i]->gone)
			let_go(b, old->v[i]);
	sn_balance__set_free(old);
	b->filled |= set->n > 0;
	sn_balance__arrange(b, now_ns);
}

static struct sn_balance__set *make_set(const struct sn_balance *b,
					const struct sn_balance_item *items,
					const struct entry *list, uint32_t n)
{
	struct sn_endpoint **v = calloc(n ? n : 1, sizeof(struct sn_endpoint *));
	uint32_t *weights = calloc(n ? n : 1, sizeof(*weights)), i;
	struct sn_balance__set *set = NULL;

	for (i = 0; v && weights && i < n; i++) {
		v[i] = list[i].e;
		weights[i] = weight_of(&items[list[i].item]);
	}
	if (v && weights)
		set = prepare(&b->settings, v, weights, n);
	free(v);
	free(weights);
	return set;
}

/* The very set that is there, in its order: as most changes of a configuration leave most of them.
 */
static bool is_there(const struct sn_balance *b, const struct sn_balance_item *items, size_t n)
{
	char zone[SN_BALANCE_ZONE_MAX];
	size_t i;

	if (!b->set || b->set->n != n)
		return false;
	for (i = 0; i < n; i++) {
		const struct sn_endpoint *e = b->set->v[i];

		if (!sn_addr_eq(&e->addr, &items[i].addr) || e->weight != weight_of(&items[i]) ||
		    e->mesh != items[i].mesh)
			return false;
		copy_zone(zone, items[i].zone);
		if (strcmp(b->set->zones[e->zone], zone) != 0)
			return false;
	}
	return true;
}

int sn_balance_update(struct sn_balance *b, const struct sn_balance_item *items, size_t n,
		      uint64_t now_ns)
{
	static const struct sn_balance_item none;
	struct entry *list;
	struct sn_balance__set *set = NULL;
	uint32_t i, found;
	bool ok;

	if (n > SN_BALANCE_ENDPOINTS_MAX)
		return -SN_ELIMIT;
	if (!items) {
		items = &none;
		n = 0;
	}
	if (is_there(b, items, n))
		return 0;
	list = calloc(n ? n : 1, sizeof(*list));
	if (!list)
		return -SN_ENOMEM;
	found = match(b, items, list, (uint32_t)n, now_ns, &ok);
	if (ok)
		set = make_set(b, items, list, found);
	if (set)
		set->zones = calloc(count_names(items, (uint32_t)n), SN_BALANCE_ZONE_MAX);
	if (set && set->zones) {
		replace(b, set, list, items, now_ns);
	} else {
		for (i = 0; i < found; i++)
			if (list[i].fresh)
				free(list[i].e);
		sn_balance__set_free(set);
		set = NULL;
	}
	free(list);
	return set ? 0 : -SN_ENOMEM;
}

int sn_balance_configure(struct sn_balance *b, const struct sn_balance_settings *s, uint64_t now_ns)
{
	struct sn_balance__set *old = b->set, *set;
	uint32_t *weights, i;

	if (is_same(b, s))
		return 0;
	weights = calloc(old->n ? old->n : 1, sizeof(*weights));
	if (!weights)
		return -SN_ENOMEM;
	for (i = 0; i < old->n; i++)
		weights[i] = old->v[i]->weight;
	set = prepare(s, old->v, weights, old->n);
	free(weights);
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
