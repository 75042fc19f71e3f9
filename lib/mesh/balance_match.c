/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoints of a list are there already. Lists mostly come as they were, but for a few that
 * are new or gone: both are walked side by side, and only what is not met so is looked up, in a
 * table of no more than that. What stays costs one comparison and no hash. */
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "mesh/balance_int.h"
#include "mesh/persist.h"

#define LOOK_AHEAD 4 /* so many may be gone from one place */

/* One that was not met in its place. */
struct missed {
	uint64_t id;
	uint32_t i; /* in m->v */
};

struct missed_table {
	struct missed *v;
	uint32_t n;
	uint32_t *slots; /* index in v, by id */
	uint32_t mask;
};

uint64_t sn_balance_id(const struct sn_addr *a)
{
	return sn_persist_endpoint(a); /* what a session names */
}

/* Where the next one of the list is in the old set: in the place of those that were new (@run of
 * them), right after the last that was there, or a little further. */
static uint32_t meet(const struct sn_balance__set *old, uint32_t next, uint32_t run,
		     const struct sn_addr *addr)
{
	uint32_t k;

	if (run && run < old->n - next && sn_addr_eq(&old->v[next + run]->addr, addr))
		return next + run;
	for (k = next; k < old->n && k <= next + LOOK_AHEAD; k++)
		if (sn_addr_eq(&old->v[k]->addr, addr))
			return k;
	return SN_BALANCE__NONE;
}

/* Returns how many were not met. */
static uint32_t walk(const struct sn_balance__set *old, const struct sn_endpoint_spec *items,
		     struct sn_balance__match *m)
{
	uint32_t next = 0, run = 0, missed = 0, i, k;

	for (i = 0; i < m->n; i++) {
		k = meet(old, next, run, &items[m->item[i]].addr);
		if (k == SN_BALANCE__NONE) {
			run++;
			missed++;
			continue;
		}
		m->v[i] = old->v[k];
		m->taken[k] = i;
		next = k + 1;
		run = 0;
	}
	return missed;
}

static uint32_t *slot_of(const struct missed_table *t, uint64_t id)
{
	uint32_t at = (uint32_t)id & t->mask;

	while (t->slots[at] != SN_BALANCE__NONE && t->v[t->slots[at]].id != id)
		at = (at + 1) & t->mask;
	return &t->slots[at];
}

static bool make_table(struct missed_table *t, uint32_t room)
{
	uint32_t size = 4;

	while (size < 2 * room)
		size *= 2;
	t->mask = size - 1;
	t->v = malloc(room * sizeof(*t->v));
	t->slots = malloc(size * sizeof(*t->slots));
	if (t->slots)
		memset(t->slots, 0xff, size * sizeof(*t->slots));
	return t->v && t->slots;
}

/* Of those with one address the first stays. */
static void drop(struct sn_balance__match *m, uint32_t i)
{
	m->v[i] = NULL;
	m->item[i] = SN_BALANCE__NONE;
}

static void fill_table(struct missed_table *t, const struct sn_endpoint_spec *items,
		       struct sn_balance__match *m)
{
	uint32_t i, *slot;

	for (i = 0; i < m->n; i++) {
		if (m->v[i])
			continue;
		t->v[t->n] = (struct missed){sn_balance_id(&items[m->item[i]].addr), i};
		slot = slot_of(t, t->v[t->n].id);
		if (*slot == SN_BALANCE__NONE)
			*slot = t->n++;
		else
			drop(m, i);
	}
}

/* Old endpoints that stand elsewhere in the list than they did, or there a second time. */
static void look_up(const struct missed_table *t, const struct sn_balance__set *old,
		    struct sn_balance__match *m)
{
	uint32_t k, i;

	for (k = 0; k < old->n; k++) {
		uint32_t slot = *slot_of(t, old->v[k]->id);

		if (slot == SN_BALANCE__NONE)
			continue;
		i = t->v[slot].i;
		if (m->taken[k] < i) {
			drop(m, i);
			continue;
		}
		if (m->taken[k] != SN_BALANCE__NONE)
			drop(m, m->taken[k]);
		m->v[i] = old->v[k];
		m->taken[k] = i;
	}
}

static uint64_t average_latency(const struct sn_balance__set *old, uint64_t now_ns)
{
	double sum = 0;
	uint32_t i, n = 0;

	for (i = 0; i < old->n; i++)
		if (old->v[i]->ewma_ns) {
			sum += sn_balance__latency(old->v[i], now_ns);
			n++;
		}
	return n ? (uint64_t)(sum / n) : 0;
}

/* New ones, for those that are nowhere. */
static bool add_fresh(const struct sn_balance *b, const struct sn_balance__set *old,
		      const struct missed_table *t, const struct sn_endpoint_spec *items,
		      struct sn_balance__match *m, uint64_t now_ns)
{
	uint64_t latency = t->n ? average_latency(old, now_ns) : 0;
	uint32_t k;

	for (k = 0; k < t->n; k++) {
		uint32_t i = t->v[k].i;
		struct sn_endpoint *e;

		if (m->v[i] || m->item[i] == SN_BALANCE__NONE)
			continue;
		e = m->v[i] = calloc(1, sizeof(*e));
		if (!e)
			return false;
		e->addr = items[m->item[i]].addr;
		e->id = t->v[k].id;
		e->ewma_ns = latency;
		e->ewma_at_ns = now_ns;
		e->born_ns = b->filled ? now_ns : 0;
		e->index = SN_BALANCE__NONE;
	}
	return true;
}

static void close_gaps(struct sn_balance__match *m)
{
	uint32_t i, n = 0;

	for (i = 0; i < m->n; i++) {
		if (m->item[i] == SN_BALANCE__NONE)
			continue;
		m->v[n] = m->v[i];
		m->item[n++] = m->item[i];
	}
	m->n = n;
}

int sn_balance__match(const struct sn_balance *b, const struct sn_endpoint_spec *items, uint32_t n,
		      uint64_t now_ns, struct sn_balance__match *m)
{
	static const struct sn_balance__set none;
	const struct sn_balance__set *old = b->set ? b->set : &none;
	struct missed_table t = {0};
	uint32_t i, missed;
	bool ok;

	*m = (struct sn_balance__match){
		.v = calloc(n + 1, sizeof(struct sn_endpoint *)),
		.item = malloc((n + 1) * sizeof(*m->item)),
		.taken = malloc((old->n + 1) * sizeof(*m->taken)),
	};
	ok = m->v && m->item && m->taken;
	for (i = 0; ok && i < n; i++)
		if (sn_balance__is_for(b, &items[i]))
			m->item[m->n++] = i;
	if (ok)
		memset(m->taken, 0xff, (old->n + 1) * sizeof(*m->taken));
	missed = ok ? walk(old, items, m) : 0;
	if (missed) {
		ok = make_table(&t, missed);
		if (ok) {
			fill_table(&t, items, m);
			look_up(&t, old, m);
			ok = add_fresh(b, old, &t, items, m, now_ns);
			close_gaps(m);
		}
		free(t.v);
		free(t.slots);
	}
	if (ok)
		return 0;
	sn_balance__match_undo(m);
	return -SN_ENOMEM;
}

void sn_balance__match_undo(struct sn_balance__match *m)
{
	uint32_t i;

	for (i = 0; m->v && i < m->n; i++)
		if (m->v[i] && m->v[i]->index == SN_BALANCE__NONE)
			free(m->v[i]);
	sn_balance__match_done(m);
}

void sn_balance__match_done(struct sn_balance__match *m)
{
	free(m->v);
	free(m->item);
	free(m->taken);
}
