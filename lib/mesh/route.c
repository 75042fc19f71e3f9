/* SPDX-License-Identifier: Apache-2.0 */
/* Every match of every rule becomes one entry; entries are sorted by precedence, so the first that
 * fits is the answer. Exact paths are found by hash; prefixes lie behind them, longest first. */
#include "mesh/route.h"

#include <stdlib.h>

#include "base/hash.h"
#include "http/url.h"

struct entry {
	const struct sn_match *match;
	const struct sn_rule *rule;
	struct sn_slice path; /* PREFIX: without trailing slashes */
	uint32_t order;
};

struct sn_route_table {
	struct sn_rule *rules;
	size_t n_rules;
	struct entry *entries; /* by precedence */
	size_t n_entries;
	size_t n_exact;	 /* the first n_exact entries have exact paths */
	uint32_t *exact; /* open-addressing table of 1 + index of a path's first entry; 0 = empty */
	size_t exact_mask;
};

static struct sn_slice without_slashes(struct sn_slice path)
{
	while (path.n > 0 && path.p[path.n - 1] == '/')
		path.n--;
	return path;
}

static int compare(const void *pa, const void *pb)
{
	const struct entry *a = pa, *b = pb;
	bool exact_a = a->match->path_kind == SN_PATH_EXACT;
	bool exact_b = b->match->path_kind == SN_PATH_EXACT;
	int d;

	if (exact_a != exact_b)
		return exact_a ? -1 : 1;
	if (!exact_a && a->path.n != b->path.n)
		return a->path.n > b->path.n ? -1 : 1;
	d = sn_slice_cmp(a->path,
			 b->path); /* groups equal paths; no meaning among different ones */
	if (d)
		return d;
	if (!a->match->method.n != !b->match->method.n)
		return a->match->method.n ? -1 : 1;
	if (a->match->n_headers != b->match->n_headers)
		return a->match->n_headers > b->match->n_headers ? -1 : 1;
	if (a->match->n_params != b->match->n_params)
		return a->match->n_params > b->match->n_params ? -1 : 1;
	return a->order < b->order ? -1 : a->order > b->order;
}

static uint64_t path_hash(struct sn_slice path)
{
	return sn_hash_table(path.p, path.n);
}

static int index_exact(struct sn_arena *arena, struct sn_route_table *t)
{
	size_t size = 8, i, at;

	if (t->n_exact == 0)
		return 0;
	while (size < t->n_exact * 2)
		size *= 2;
	t->exact = sn_arena_array(arena, size, sizeof(*t->exact));
	if (!t->exact)
		return -1;
	t->exact_mask = size - 1;
	for (i = 0; i < t->n_exact; i++) {
		if (i && sn_slice_eq(t->entries[i].path, t->entries[i - 1].path))
			continue; /* reached through the first of its path */
		at = path_hash(t->entries[i].path) & t->exact_mask;
		while (t->exact[at])
			at = (at + 1) & t->exact_mask;
		t->exact[at] = (uint32_t)i + 1;
	}
	return 0;
}

struct sn_route_table *sn_route_compile(struct sn_arena *arena, struct sn_rule *rules,
					size_t n_rules)
{
	static const struct sn_match anything;
	struct sn_route_table *t = sn_arena_alloc(arena, sizeof(*t));
	size_t i, m, n = 0;

	if (!t)
		return NULL;
	t->rules = rules;
	t->n_rules = n_rules;
	for (i = 0; i < n_rules; i++)
		n += rules[i].n_matches ? rules[i].n_matches : 1;
	t->entries = sn_arena_array(arena, n ? n : 1, sizeof(*t->entries));
	if (!t->entries)
		return NULL;
	for (i = 0; i < n_rules; i++)
		for (m = 0; m < (rules[i].n_matches ? rules[i].n_matches : 1); m++) {
			struct entry *e = &t->entries[t->n_entries];

			e->match = rules[i].n_matches ? &rules[i].matches[m] : &anything;
			e->rule = &rules[i];
			e->order = (uint32_t)t->n_entries++;
			e->path = e->match->path_kind == SN_PATH_PREFIX
					  ? without_slashes(e->match->path)
					  : e->match->path;
			t->n_exact += e->match->path_kind == SN_PATH_EXACT;
		}
	qsort(t->entries, t->n_entries, sizeof(*t->entries), compare);
	return index_exact(arena, t) ? NULL : t;
}

size_t sn_route_count(const struct sn_route_table *t)
{
	return t->n_rules;
}

const struct sn_rule *sn_route_rule(const struct sn_route_table *t, size_t i)
{
	return &t->rules[i];
}

/* RFC 9110 5.3: several fields of one name are one list; the Gateway API compares the joined value.
 * One field, the common case, is compared as it is. */
static bool header_matches(const struct sn_pair_match *m, const struct sn_request *req)
{
	struct sn_slice want = m->value;
	bool seen = false;
	uint32_t i;

	for (i = 0; i < req->headers.n; i++) {
		const struct sn_header *h = &req->headers.v[i];

		if (h->flags & SN_HDR_DROPPED || !sn_slice_ieq(h->name, m->name))
			continue;
		if (seen) { /* ",": the next field's share of the wanted list */
			if (want.n == 0 || want.p[0] != ',')
				return false;
			want = sn_slice_trim(sn_slice(want.p + 1, want.n - 1));
		}
		if (!sn_slice_starts(want, h->value))
			return false;
		want = sn_slice(want.p + h->value.n, want.n - h->value.n);
		seen = true;
	}
	return seen && want.n == 0;
}

static bool fits(const struct sn_match *m, const struct sn_request *req, struct sn_slice query)
{
	struct sn_slice value;
	size_t i;

	if (m->method.n && !sn_slice_eq(m->method, req->method_text))
		return false;
	for (i = 0; i < m->n_headers; i++)
		if (!header_matches(&m->headers[i], req))
			return false;
	for (i = 0; i < m->n_params; i++)
		if (!sn_url_query_find(query, m->params[i].name, &value) ||
		    !sn_url_decoded_eq(value, m->params[i].value))
			return false;
	return true;
}

static bool prefix_fits(struct sn_slice prefix, struct sn_slice path)
{
	return sn_slice_starts(path, prefix) &&
	       (path.n == prefix.n || path.p[prefix.n] == '/' || prefix.n == 0);
}

static const struct sn_rule *match_exact(const struct sn_route_table *t,
					 const struct sn_request *req, struct sn_slice path,
					 struct sn_slice query)
{
	size_t at, i;

	for (at = path_hash(path) & t->exact_mask; t->exact[at]; at = (at + 1) & t->exact_mask) {
		i = t->exact[at] - 1;
		if (!sn_slice_eq(t->entries[i].path, path))
			continue;
		for (; i < t->n_exact && sn_slice_eq(t->entries[i].path, path); i++)
			if (fits(t->entries[i].match, req, query))
				return t->entries[i].rule;
		return NULL;
	}
	return NULL;
}

const struct sn_rule *sn_route_match(const struct sn_route_table *t, const struct sn_request *req)
{
	struct sn_slice query = req->path, path = sn_slice_cut(&query, '?');
	const struct sn_rule *rule;
	size_t i;

	if (!query.p)
		query = sn_slice("", 0);
	if (t->n_exact) {
		rule = match_exact(t, req, path, query);
		if (rule)
			return rule;
	}
	for (i = t->n_exact; i < t->n_entries; i++)
		if (prefix_fits(t->entries[i].path, path) && fits(t->entries[i].match, req, query))
			return t->entries[i].rule;
	return NULL;
}

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
