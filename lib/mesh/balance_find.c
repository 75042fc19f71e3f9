/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints by id. Sessions and the algorithms by a key need it, so the order is made when one of
 * them asks first. */
#include <stdlib.h>

#include "base/err.h"
#include "mesh/balance_int.h"

struct place {
	uint64_t id;
	uint32_t i;
};

/* Ids are hashes, so that as many buckets as there are ids hold about one each: linear, where the
 * comparisons of a sort would be most of it. */
static void sort(struct place *v, struct place *tmp, uint32_t *start, unsigned bits, uint32_t n)
{
	size_t buckets = (size_t)1 << bits, i, k;
	unsigned shift = 64 - bits;

	for (i = 0; i < n; i++)
		start[(v[i].id >> shift) + 1]++;
	for (i = 0; i < buckets; i++)
		start[i + 1] += start[i];
	for (i = 0; i < n; i++)
		tmp[start[v[i].id >> shift]++] = v[i];
	for (i = 0; i < n; i++) {
		for (k = i; k > 0 && v[k - 1].id > tmp[i].id; k--)
			v[k] = v[k - 1];
		v[k] = tmp[i];
	}
}

int sn_balance__sort_ids(struct sn_balance__set *set)
{
	unsigned bits = set->n > 2 ? 32 - (unsigned)__builtin_clz(set->n - 1) : 1;
	uint32_t *start, *by_id, i;
	struct place *v;
	bool ok;

	if (set->by_id || set->n == 0)
		return 0;
	start = calloc(((size_t)1 << bits) + 1, sizeof(*start));
	v = calloc(set->n, 2 * sizeof(*v));
	by_id = malloc(set->n * sizeof(*by_id));
	ok = start && v && by_id;
	if (ok) {
		for (i = 0; i < set->n; i++)
			v[i] = (struct place){set->v[i]->id, i};
		sort(v, v + set->n, start, bits, set->n);
		for (i = 0; i < set->n; i++)
			by_id[i] = v[i].i;
		set->by_id = by_id;
	} else {
		free(by_id);
	}
	free(start);
	free(v);
	return ok ? 0 : -SN_ENOMEM;
}

struct sn_endpoint *sn_balance_find(const struct sn_balance *b, uint64_t id)
{
	struct sn_balance__set *set = b->set;
	uint32_t low = 0, high = set->n, i;

	if (sn_balance__sort_ids(set)) { /* without memory it takes longer */
		for (i = 0; i < set->n; i++)
			if (set->v[i]->id == id)
				return set->v[i];
		return NULL;
	}
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (set->v[set->by_id[middle]]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	if (low == set->n || set->v[set->by_id[low]]->id != id)
		return NULL;
	return set->v[set->by_id[low]];
}
