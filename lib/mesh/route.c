/* SPDX-License-Identifier: Apache-2.0 */
/* Every match of every rule becomes one entry; entries are sorted by precedence, so the first that
 * fits is the answer. Which are worth looking at is found by the path: one pass over it hashes
 * every prefix that ends at an element's end, so that the exact path and the longest prefix known
 * are one look each, and every prefix knows the next shorter one. Only regular expressions are
 * tried one by one. */
#include <stdlib.h>

#include "base/err.h"
#include "mesh/regex.h"
#include "mesh/route_int.h"

void sn_route_scratch_done(struct sn_route_scratch *s)
{
	sn_regex_scratch_free(s->regex);
	s->regex = NULL;
}

/* --- precedence ---------------------------------------------------------------------------------
 */

static int rank(const struct sn_match *m)
{
	return m->path_kind == SN_PATH_EXACT ? 0 : m->path_kind == SN_PATH_REGEX ? 1 : 2;
}

static int most_first(size_t a, size_t b)
{
	return a > b ? -1 : a < b;
}

static int by_precedence(const void *pa, const void *pb)
{
	const struct sn_route__entry *ea = pa, *eb = pb;
	const struct sn_match *a = ea->match, *b = eb->match;
	struct sn_slice path_a = sn_route__path(a), path_b = sn_route__path(b);
	int d = rank(a) - rank(b);

	if (!d)
		d = most_first(path_a.n, path_b.n);
	/* Brings equal paths together; two of one length that differ never meet in one request. Two
	 * expressions may. */
	if (!d && a->path_kind != SN_PATH_REGEX)
		d = sn_slice_cmp(path_a, path_b);
	if (!d)
		d = most_first(a->method.n > 0, b->method.n > 0);
	if (!d)
		d = most_first(a->n_headers, b->n_headers);
	if (!d)
		d = most_first(a->n_params, b->n_params);
	return d ? d : most_first(eb->order, ea->order);
}

/* --- paths --------------------------------------------------------------------------------------
 */

static size_t slot_of(const struct sn_route__map *map, uint64_t h)
{
	return (h ^ h >> 32) & map->mask;
}

static struct sn_route__group *find(const struct sn_route_table *t, const struct sn_route__map *map,
				    uint64_t h, struct sn_slice path)
{
	size_t at;

	if (!map->slots)
		return NULL;
	for (at = slot_of(map, h); map->slots[at]; at = (at + 1) & map->mask) {
		struct sn_route__group *g = &t->groups[map->slots[at] - 1];

		if (sn_slice_eq(g->path, path))
			return g;
	}
	return NULL;
}

struct found {
	struct sn_route__group *exact, *prefix; /* the longest */
};

/* One pass over @path, no further than the longest that is known. */
static struct found find_path(const struct sn_route_table *t, struct sn_slice path)
{
	struct found f = {NULL, NULL};
	struct sn_route__group *g;
	uint64_t h = SN_ROUTE__HASH_SEED;
	size_t i;

	for (i = 0;; i++) {
		if (i <= t->prefix.longest && (i == 0 || i == path.n || path.p[i] == '/')) {
			g = find(t, &t->prefix, h, sn_slice(path.p, i));
			f.prefix = g ? g : f.prefix;
		}
		if (i == path.n) {
			if (i <= t->exact.longest)
				f.exact = find(t, &t->exact, h, path);
			return f;
		}
		if (i >= t->prefix.longest && i >= t->exact.longest)
			return f;
		h = sn_route__hash(h, path.p[i]);
	}
}

static int map_init(struct sn_arena *arena, struct sn_route__map *map, size_t n)
{
	size_t size = 8;

	if (n == 0)
		return 0;
	while (size < n * 2)
		size *= 2;
	map->slots = sn_arena_array(arena, size, sizeof(*map->slots));
	map->mask = size - 1;
	return map->slots ? 0 : -SN_ENOMEM;
}

static void map_add(struct sn_route__map *map, const struct sn_route__group *g, size_t index)
{
	uint64_t h = SN_ROUTE__HASH_SEED;
	size_t at, i;

	for (i = 0; i < g->path.n; i++)
		h = sn_route__hash(h, g->path.p[i]);
	for (at = slot_of(map, h); map->slots[at];)
		at = (at + 1) & map->mask;
	map->slots[at] = (uint32_t)index + 1;
	if (g->path.n > map->longest)
		map->longest = g->path.n;
}

/* --- compiling ----------------------------------------------------------------------------------
 */

static bool same_group(const struct sn_route__entry *a, const struct sn_route__entry *b)
{
	return rank(a->match) == rank(b->match) &&
	       sn_slice_eq(sn_route__path(a->match), sn_route__path(b->match));
}

/* The path up to its last element: no prefix of it that ends with an element is longer. */
static struct sn_slice parent(struct sn_slice path)
{
	while (path.n > 0 && path.p[path.n - 1] != '/')
		path.n--;
	return sn_slice(path.p, path.n ? path.n - 1 : 0);
}

static int make_groups(struct sn_arena *arena, struct sn_route_table *t)
{
	size_t i, n_exact = 0;
	int rc = 0;

	t->groups = sn_arena_array(arena, t->n_entries, sizeof(*t->groups));
	if (!t->groups)
		return -SN_ENOMEM;
	for (i = 0; i < t->n_entries; i++) {
		const struct sn_route__entry *e = &t->entries[i];

		if (i >= t->n_exact && i < t->n_exact + t->n_regex)
			continue;
		if (t->n_groups == 0 ||
		    !same_group(e, &t->entries[t->groups[t->n_groups - 1].first])) {
			t->groups[t->n_groups++] = (struct sn_route__group){
				.path = sn_route__path(e->match), .first = (uint32_t)i};
			n_exact += i < t->n_exact;
		}
		t->groups[t->n_groups - 1].n++;
	}
	if (map_init(arena, &t->exact, n_exact) ||
	    map_init(arena, &t->prefix, t->n_groups - n_exact))
		return -SN_ENOMEM;
	for (i = 0; i < t->n_groups; i++)
		map_add(i < n_exact ? &t->exact : &t->prefix, &t->groups[i], i);
	for (i = 0; i < t->n_groups && !rc; i++) {
		struct sn_route__group *g = &t->groups[i], *up = NULL;

		if (i >= n_exact && g->path.n)
			up = find_path(t, parent(g->path)).prefix;
		g->up = up ? (uint32_t)(up - t->groups) + 1 : 0;
		rc = sn_route__index_headers(arena, t, g);
	}
	return rc;
}

static int make_pairs(struct sn_pair_match *pairs, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (pairs[i].kind == SN_PAIR_REGEX &&
		    sn_regex_new(pairs[i].value, &pairs[i].regex, NULL))
			return -SN_ENOMEM;
	return 0;
}

static int make_regexes(struct sn_rule *r)
{
	size_t i;

	for (i = 0; i < r->n_matches; i++) {
		struct sn_match *m = &r->matches[i];

		if (m->path_kind == SN_PATH_REGEX && sn_regex_new(m->path, &m->regex, NULL))
			return -SN_ENOMEM;
		if (make_pairs(m->headers, m->n_headers) || make_pairs(m->params, m->n_params))
			return -SN_ENOMEM;
	}
	return 0;
}

static void free_pairs(struct sn_pair_match *pairs, size_t n)
{
	while (n-- > 0) {
		sn_regex_free(pairs[n].regex);
		pairs[n].regex = NULL;
	}
}

void sn_route_done(struct sn_route_table *t)
{
	size_t i, k;

	for (i = 0; t && i < t->n_rules; i++)
		for (k = 0; k < t->rules[i].n_matches; k++) {
			struct sn_match *m = &t->rules[i].matches[k];

			sn_regex_free(m->regex);
			m->regex = NULL;
			free_pairs(m->headers, m->n_headers);
			free_pairs(m->params, m->n_params);
		}
}

static int compile(struct sn_arena *arena, struct sn_route_table *t)
{
	static const struct sn_match anything;
	size_t i, m, n = 0;

	for (i = 0; i < t->n_rules; i++) {
		n += t->rules[i].n_matches ? t->rules[i].n_matches : 1;
		if (make_regexes(&t->rules[i]))
			return -SN_ENOMEM;
	}
	t->entries = sn_arena_array(arena, n, sizeof(*t->entries));
	if (!t->entries)
		return -SN_ENOMEM;
	for (i = 0; i < t->n_rules; i++)
		for (m = 0; m < (t->rules[i].n_matches ? t->rules[i].n_matches : 1); m++) {
			struct sn_route__entry *e = &t->entries[t->n_entries];

			e->match = t->rules[i].n_matches ? &t->rules[i].matches[m] : &anything;
			e->rule = &t->rules[i];
			e->order = (uint32_t)t->n_entries++;
			t->n_exact += e->match->path_kind == SN_PATH_EXACT;
			t->n_regex += e->match->path_kind == SN_PATH_REGEX;
		}
	if (t->n_entries)
		qsort(t->entries, t->n_entries, sizeof(*t->entries), by_precedence);
	return make_groups(arena, t);
}

struct sn_route_table *sn_route_compile(struct sn_arena *arena, struct sn_rule *rules,
					size_t n_rules)
{
	struct sn_route_table *t = sn_arena_alloc(arena, sizeof(*t));

	if (!t)
		return NULL;
	t->rules = rules;
	t->n_rules = n_rules;
	if (compile(arena, t)) {
		sn_route_done(t);
		return NULL;
	}
	return t;
}

size_t sn_route_count(const struct sn_route_table *t)
{
	return t->n_rules;
}

const struct sn_rule *sn_route_rule(const struct sn_route_table *t, size_t i)
{
	return &t->rules[i];
}

/* --- asking -------------------------------------------------------------------------------------
 */

static struct sn_route__question ask(const struct sn_request *req, struct sn_route_scratch *s)
{
	struct sn_route__question q = {.req = req, .query = req->path, .scratch = s};

	q.path = sn_slice_cut(&q.query, '?');
	if (!q.query.p)
		q.query = sn_slice("", 0);
	s->n_limited_now = 0;
	return q;
}

static const struct sn_route__entry *first_that_fits(const struct sn_route_table *t,
						     const struct sn_route__question *q)
{
	struct found f = find_path(t, q->path);
	const struct sn_route__entry *e = f.exact ? sn_route__in_group(t, f.exact, q) : NULL;
	const struct sn_route__group *g;
	size_t i;

	for (i = t->n_exact; i < t->n_exact + t->n_regex && !e; i++)
		if (sn_route__fits(t->entries[i].match, q, NULL) == SN_ROUTE_FITS &&
		    sn_route__path_fits(t->entries[i].match, q))
			e = &t->entries[i];
	for (g = f.prefix; g && !e; g = g->up ? &t->groups[g->up - 1] : NULL)
		e = sn_route__in_group(t, g, q);
	return e;
}

const struct sn_rule *sn_route_match(const struct sn_route_table *t, const struct sn_request *req,
				     struct sn_route_scratch *s)
{
	struct sn_route__question q = ask(req, s);
	const struct sn_route__entry *e = first_that_fits(t, &q);

	return e ? e->rule : NULL;
}

/* What is taken is what a request finds. Why others are not is looked for one by one, with limits
 * of its own: where a request has given expressions up, one of them may fit here, and has not
 * there. */
void sn_route_explain(const struct sn_route_table *t, const struct sn_request *req,
		      struct sn_route_scratch *s,
		      void (*fn)(void *arg, const struct sn_route_candidate *c), void *arg)
{
	struct sn_route__question q = ask(req, s);
	const struct sn_route__entry *taken = first_that_fits(t, &q);
	bool past = false;
	size_t i;

	s->n_limited_now = 0;
	for (i = 0; i < t->n_entries; i++) {
		const struct sn_route__entry *e = &t->entries[i];
		struct sn_route_candidate c = {
			.rule = e->rule, .match = e->match, .taken = e == taken};

		if (!c.taken)
			c.why = sn_route__path_fits(e->match, &q)
					? sn_route__fits(e->match, &q, &c.pair)
					: SN_ROUTE_PATH;
		past |= c.taken;
		if (c.why == SN_ROUTE_FITS && !past)
			c.why = SN_ROUTE_PATH;
		if (c.why != SN_ROUTE_HEADER && c.why != SN_ROUTE_PARAM)
			c.pair = NULL;
		fn(arg, &c);
	}
}

/* --- shares -------------------------------------------------------------------------------------
 */

const struct sn_backend_ref *sn_route_pick(const struct sn_rule *rule, struct sn_rng *rng)
{
	uint64_t at;
	size_t i;

	if (rule->total_weight == 0)
		return NULL;
	if (rule->n_backends == 1)
		return &rule->backends[0];
	at = rule->total_weight > UINT32_MAX ? sn_rng_next(rng) % rule->total_weight
					     : sn_rng_below(rng, (uint32_t)rule->total_weight);
	for (i = 0; i < rule->n_backends; i++) {
		if (at < rule->backends[i].weight)
			return &rule->backends[i];
		at -= rule->backends[i].weight;
	}
	return NULL;
}
