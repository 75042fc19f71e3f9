/* SPDX-License-Identifier: Apache-2.0 */
/* Many rules of one path mostly differ in the value of one header (a tenant, a version): there the
 * value leads to the few that want it, and those that do not care lie in a chain of their own. Both
 * chains go by precedence, so walking them together is the same as walking all. */
#include "mesh/route_int.h"

#define WORTH_IT 8    /* entries, below which all are looked at */
#define NAMES_TRIED 8 /* different headers that are considered */

/* The condition on @name that is one value; NULL: none. */
static const struct sn_pair_match *wants(const struct sn_match *m, struct sn_slice name)
{
	size_t i;

	for (i = 0; i < m->n_headers; i++)
		if (m->headers[i].kind == SN_PAIR_EXACT && sn_slice_ieq(m->headers[i].name, name))
			return &m->headers[i];
	return NULL;
}

static uint32_t *chain_of(const struct sn_route__by_header *x, struct sn_slice value)
{
	uint64_t h = SN_ROUTE__HASH_SEED;
	size_t i;

	for (i = 0; i < value.n; i++)
		h = sn_route__hash(h, value.p[i]);
	return &x->chains[(h ^ h >> 32) & x->mask];
}

/* How many entries a request looks at in the worst case when they are found by @name. Uses the
 * chains' memory. */
static size_t cost_of(const struct sn_route__by_header *x, const struct sn_route_table *t,
		      const struct sn_route__group *g, struct sn_slice name)
{
	size_t rest = 0, longest = 0, i;

	memset(x->chains, 0, (x->mask + 1) * sizeof(*x->chains));
	for (i = g->first; i < g->first + g->n; i++) {
		const struct sn_pair_match *p = wants(t->entries[i].match, name);
		size_t n = p ? ++*chain_of(x, p->value) : 0;

		rest += !p;
		longest = n > longest ? n : longest;
	}
	return rest + longest;
}

static bool known(const struct sn_slice *names, size_t n, struct sn_slice name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (sn_slice_ieq(names[i], name))
			return true;
	return false;
}

/* The header by which a request looks at the fewest; the cost. */
static size_t choose(struct sn_route__by_header *x, const struct sn_route_table *t,
		     const struct sn_route__group *g)
{
	struct sn_slice names[NAMES_TRIED];
	size_t best = g->n, n = 0, i, k;

	for (i = g->first; i < g->first + g->n && n < NAMES_TRIED; i++) {
		const struct sn_match *m = t->entries[i].match;

		for (k = 0; k < m->n_headers && n < NAMES_TRIED; k++) {
			size_t cost;

			if (m->headers[k].kind != SN_PAIR_EXACT ||
			    known(names, n, m->headers[k].name))
				continue;
			names[n++] = m->headers[k].name;
			cost = cost_of(x, t, g, m->headers[k].name);
			if (cost < best) {
				best = cost;
				x->name = m->headers[k].name;
			}
		}
	}
	return best;
}

int sn_route__index_headers(struct sn_arena *arena, struct sn_route_table *t,
			    struct sn_route__group *g)
{
	struct sn_route__by_header x = {.mask = 7};
	size_t i;

	if (g->n < WORTH_IT)
		return 0;
	while (x.mask + 1 < g->n)
		x.mask = x.mask * 2 + 1;
	x.chains = sn_arena_array(arena, x.mask + 1, sizeof(*x.chains));
	if (!x.chains)
		return -SN_ENOMEM;
	if (choose(&x, t, g) > g->n / 2)
		return 0;
	memset(x.chains, 0, (x.mask + 1) * sizeof(*x.chains));
	for (i = g->first + g->n; i-- > g->first;) {
		const struct sn_pair_match *p = wants(t->entries[i].match, x.name);
		uint32_t *head = p ? chain_of(&x, p->value) : &x.rest;

		if (p && p->value.n > x.longest)
			x.longest = p->value.n;
		t->entries[i].next = *head;
		*head = (uint32_t)i + 1;
	}
	g->by_header = sn_arena_alloc(arena, sizeof(x));
	if (!g->by_header)
		return -SN_ENOMEM;
	*g->by_header = x;
	return 0;
}

/* The one field of that name. Returns how many there are, at most 2. */
static int find_header(const struct sn_request *req, struct sn_slice name, struct sn_slice *ret)
{
	uint32_t i;
	int n = 0;

	for (i = 0; i < req->headers.n && n < 2; i++) {
		const struct sn_header *h = &req->headers.v[i];

		if (h->flags & SN_HDR_DROPPED || !sn_slice_ieq(h->name, name))
			continue;
		*ret = h->value;
		n++;
	}
	return n;
}

static const struct sn_route__entry *in_chains(const struct sn_route_table *t, uint32_t a,
					       uint32_t b, const struct sn_route__question *q)
{
	while (a || b) {
		uint32_t *first = b && (!a || b < a) ? &b : &a;
		const struct sn_route__entry *e = &t->entries[*first - 1];

		if (sn_route__fits(e->match, q, NULL) == SN_ROUTE_FITS)
			return e;
		*first = e->next;
	}
	return NULL;
}

const struct sn_route__entry *sn_route__in_group(const struct sn_route_table *t,
						 const struct sn_route__group *g,
						 const struct sn_route__question *q)
{
	const struct sn_route__by_header *x = g->by_header;
	struct sn_slice value = {NULL, 0};
	size_t i;
	int n;

	if (x) {
		n = find_header(q->req, x->name, &value);
		if (n == 0 || (n == 1 && value.n > x->longest))
			return in_chains(t, 0, x->rest, q);
		if (n == 1)
			return in_chains(t, *chain_of(x, value), x->rest, q);
		/* Several are one list, written in more ways than one: no index. */
	}
	for (i = g->first; i < g->first + g->n; i++)
		if (sn_route__fits(t->entries[i].match, q, NULL) == SN_ROUTE_FITS)
			return &t->entries[i];
	return NULL;
}
