/* SPDX-License-Identifier: Apache-2.0 */
/* How many endpoints this balancer uses of a large set, so that few clients' connections do not go
 * to all of many servers. Which ones: those of the own zone first, then in the order of rendezvous
 * hashes with the seed (Thaler, Ravishankar 1998), so that balancers with other seeds use others,
 * and an endpoint that comes or goes changes one place. How many: Finagle's LoadBand, the average
 * of requests in flight per endpoint stays between 0.5 and 2, by one endpoint at a time.
 * (com.twitter.finagle.loadbalancer.aperture.LoadBand; smooth window 5 s.) */
#include <math.h>
#include <stdlib.h>

#include "mesh/balance_int.h"

#define WINDOW_NS 5e9
#define LOW 0.5
#define HIGH 2.0
#define LEAST 12

static uint32_t least(const struct sn_balance *b)
{
	return b->settings.aperture_min ? b->settings.aperture_min : LEAST;
}

static int compare(const void *x, const void *y, void *arg)
{
	const struct sn_balance *b = arg;
	const struct sn_endpoint *p = b->set->v[*(const uint32_t *)x];
	const struct sn_endpoint *q = b->set->v[*(const uint32_t *)y];
	uint64_t hp = sn_balance__mix(p->id ^ b->settings.seed);
	uint64_t hq = sn_balance__mix(q->id ^ b->settings.seed);

	if (p->group != q->group)
		return p->group < q->group ? -1 : 1;
	return hp < hq ? -1 : hp > hq;
}

void sn_balance__aperture_arrange(struct sn_balance *b)
{
	struct sn_balance__set *set = b->set;
	uint32_t i;

	for (i = 0; i < set->n; i++)
		set->order[i] = i;
	qsort_r(set->order, set->n, sizeof(*set->order), compare, b);
	sn_balance__aperture_fit(b);
}

void sn_balance__aperture_fit(struct sn_balance *b)
{
	struct sn_balance__set *set = b->set;

	if (b->want < least(b))
		b->want = least(b);
	while (set->n_in < b->want && set->width < set->n)
		sn_balance__include(b, set->v[set->order[set->width++]], true);
	while (set->n_in > b->want && set->width)
		sn_balance__include(b, set->v[set->order[--set->width]], false);
}

void sn_balance__aperture_load(struct sn_balance *b, uint64_t now_ns)
{
	double w = now_ns > b->load_at_ns ? exp(-(double)(now_ns - b->load_at_ns) / WINDOW_NS) : 1;
	struct sn_balance__set *set = b->set;
	double each;

	b->load_average = b->load_average * w + b->load * (1 - w);
	if (now_ns > b->load_at_ns)
		b->load_at_ns = now_ns;
	each = b->load_average / (set->n_in ? set->n_in : 1);
	if (each >= HIGH && set->width < set->n)
		b->want = set->n_in + 1;
	else if (each <= LOW && set->n_in > least(b))
		b->want = set->n_in - 1;
	else
		return;
	sn_balance__aperture_fit(b);
}
