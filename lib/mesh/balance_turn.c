/* SPDX-License-Identifier: Apache-2.0 */
/* Weighted round robin that is smooth, exact and takes constant time, also where one weight is ten
 * thousand times another.
 *
 * Endpoints whose weights lie between the same powers of two make a class. Between classes, of
 * which there are few, goes nginx's smooth round robin; within one, gRPC's static stride
 * scheduling: turn after turn, each is taken in share/most of the rounds, which is a half or more,
 * so that few are passed over. (Caprita, Chan, Nieh, Stein, Zheng: "Group Ratio Round-Robin: O(1)
 * Proportional Share Scheduling", USENIX ATC 2005; grpc/src/core/.../static_stride_scheduler.cc.)
 */
#include <string.h>

#include "mesh/balance_int.h"

static unsigned log2_of(uint32_t x)
{
	return 31u - (unsigned)__builtin_clz(x | 1);
}

/* Counting sort by class; each class goes on where it was. */
void sn_balance__turn_build(struct sn_balance__set *set, struct sn_balance__group *g)
{
	struct sn_balance__class old[SN_BALANCE__CLASSES];
	uint32_t i, at = 0;
	unsigned k;

	memcpy(old, g->classes, sizeof(old));
	memset(g->classes, 0, sizeof(g->classes));
	for (i = 0; i < g->n_avail; i++) {
		uint32_t share = set->v[g->avail[i]]->share;
		struct sn_balance__class *c = &g->classes[log2_of(share)];

		c->n++;
		c->weight += share;
		c->most = share > c->most ? share : c->most;
	}
	for (k = 0; k < SN_BALANCE__CLASSES; k++) {
		struct sn_balance__class *c = &g->classes[k];

		c->first = at;
		at += c->n;
		c->n = 0;
		if (c->weight) {
			c->seq = old[k].seq;
			c->current = old[k].current;
		}
	}
	for (i = 0; i < g->n_avail; i++) {
		struct sn_balance__class *c = &g->classes[log2_of(set->v[g->avail[i]]->share)];

		g->turn[c->first + c->n++] = g->avail[i];
	}
}

static struct sn_balance__class *next_class(struct sn_balance__group *g)
{
	struct sn_balance__class *best = NULL, *c;
	int64_t total = 0;

	for (c = g->classes; c < g->classes + SN_BALANCE__CLASSES; c++) {
		if (c->n == 0)
			continue;
		c->current += c->weight;
		total += c->weight;
		if (!best || c->current > best->current)
			best = c;
	}
	if (best)
		best->current -= total;
	return best;
}

static struct sn_endpoint *next_of(const struct sn_balance *b, const struct sn_balance__group *g,
				   struct sn_balance__class *c, const struct sn_balance_ask *ask)
{
	uint64_t last = c->seq + 2 * (uint64_t)c->n + 16;

	while (c->seq < last) {
		uint32_t i = (uint32_t)(c->seq % c->n);
		uint64_t round = c->seq / c->n;
		struct sn_endpoint *e = b->set->v[g->turn[c->first + i]];

		c->seq++;
		if ((e->share * round + i * (uint64_t)(c->most / 2)) % c->most + e->share < c->most)
			continue;
		if (sn_balance__offered(e) && !sn_balance__was_tried(ask, e))
			return e;
	}
	return NULL;
}

struct sn_endpoint *sn_balance__turn(struct sn_balance *b, struct sn_balance__group *g,
				     const struct sn_balance_ask *ask)
{
	unsigned tries;

	for (tries = 0; tries < 4; tries++) {
		struct sn_balance__class *c = next_class(g);
		struct sn_endpoint *e = c ? next_of(b, g, c, ask) : NULL;

		if (e)
			return e;
		if (!c)
			break;
	}
	return sn_balance__any(b, g, ask,
			       NULL); /* what has a turn was ejected just now, or tried */
}
