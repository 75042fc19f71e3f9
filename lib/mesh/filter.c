/* SPDX-License-Identifier: Apache-2.0 */
/* Header modification in the order that the Gateway API gives: set, add, remove act on what came
 * in, and each name is named at most once per modifier, so the order cannot matter. And shares of
 * requests. */
#include "mesh/filter.h"

#include "base/err.h"

static void drop(struct sn_headers *hs, struct sn_slice name)
{
	uint32_t i;

	for (i = 0; i < hs->n; i++)
		if (!(hs->v[i].flags & SN_HDR_HOP) && sn_slice_ieq(hs->v[i].name, name))
			hs->v[i].flags |= SN_HDR_DROPPED;
}

static int append(struct sn_headers *hs, const struct sn_header_value *hv)
{
	if (hs->n == hs->cap)
		return -SN_ETOOBIG;
	hs->v[hs->n++] = (struct sn_header){
		.name = hv->name, .value = hv->value, .id = (uint8_t)sn_hdr_lookup(hv->name)};
	return 0;
}

int sn_filter_headers(const struct sn_header_modifier *m, struct sn_headers *hs)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < m->n_remove; i++)
		drop(hs, m->remove[i]);
	for (i = 0; i < m->n_set && !rc; i++) {
		drop(hs, m->set[i].name);
		rc = append(hs, &m->set[i]);
	}
	for (i = 0; i < m->n_add && !rc; i++)
		rc = append(hs, &m->add[i]);
	return rc;
}

bool sn_share_draw(struct sn_share s, struct sn_rng *rng)
{
	if (s.numerator == 0 || s.numerator >= s.denominator)
		return s.numerator > 0;
	return sn_rng_below(rng, s.denominator) < s.numerator;
}
