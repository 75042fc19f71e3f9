/* SPDX-License-Identifier: Apache-2.0 */
/* What a pick decides in which order (session, probe, zone, algorithm), what a result means for an
 * endpoint, and what can be seen of both. */
#include "mesh/balance.h"

#include <math.h>
#include <string.h>

#include "mesh/balance_int.h"

#define OVERPROVISION 1.4

/* --- picking ------------------------------------------------------------------------------------
 */

static bool stays_near(struct sn_balance *b)
{
	const struct sn_balance__group *g = b->set->groups;
	double fair, part;

	if (g[1].n_avail == 0)
		return true;
	if (g[0].n_avail == 0)
		return false;
	fair = (double)(g[0].weight + g[1].weight) / (b->set->n_zones ? b->set->n_zones : 1);
	part = OVERPROVISION * (double)g[0].avail_weight / fair;
	return part >= 1 || (double)(sn_rng_next(&b->rng) >> 11) * 0x1p-53 < part;
}

static void choose_in(struct sn_balance *b, struct sn_balance__group *g,
		      const struct sn_balance_ask *ask, struct sn_balance__choice *c)
{
	switch (b->settings.algorithm) {
	case SN_BALANCE_PEAK_EWMA:
	case SN_BALANCE_LEAST_REQUEST:
	case SN_BALANCE_APERTURE:
		sn_balance__p2c(b, g, ask, c);
		break;
	case SN_BALANCE_ROUND_ROBIN:
		c->e = sn_balance__turn(b, g, ask);
		break;
	default:
		c->e = sn_balance__draw(b, g, ask);
		break;
	}
}

static void choose_by_zone(struct sn_balance *b, const struct sn_balance_ask *ask,
			   struct sn_balance__choice *c)
{
	struct sn_balance__group *g = b->set->groups;
	bool near = stays_near(b);
	enum sn_balance_algorithm a = b->settings.algorithm;

	sn_balance__refresh(b, &g[0], ask->now_ns);
	sn_balance__refresh(b, &g[1], ask->now_ns);
	choose_in(b, &g[!near], ask, c);
	if (near && g[1].n_avail && a != SN_BALANCE_ROUND_ROBIN && a != SN_BALANCE_RANDOM)
		sn_balance__spill(b, &g[1], ask, c);
	if (!c->e)
		choose_in(b, &g[near], ask, c);
}

/* The first endpoint whose penalty is over; NULL: there is none. */
static struct sn_endpoint *due(const struct sn_balance *b, const struct sn_balance_ask *ask)
{
	struct sn_endpoint *e = b->set->n_heap ? b->set->v[b->set->heap[0]] : NULL;

	return e && sn_breaker_is_due(&e->breaker, ask->now_ns) && !sn_balance__was_tried(ask, e)
		       ? e
		       : NULL;
}

static bool choose_stick(const struct sn_balance *b, const struct sn_balance_ask *ask,
			 struct sn_balance__choice *c)
{
	struct sn_endpoint *e = ask->stick;

	if (!e || e->gone || !e->weight || sn_balance__was_tried(ask, e))
		return false;
	c->probe = sn_breaker_is_due(&e->breaker, ask->now_ns);
	if (sn_breaker_is_ejected(&e->breaker) && !c->probe && !b->set->panic)
		return false;
	c->e = e;
	return true;
}

static void choose(struct sn_balance *b, const struct sn_balance_ask *ask,
		   struct sn_balance__choice *c)
{
	bool by_hash = ask->has_hash && b->settings.algorithm >= SN_BALANCE_RING_HASH;
	struct sn_balance_ask anew;

	*c = (struct sn_balance__choice){0};
	if (b->set->n_usable == 0 || choose_stick(b, ask, c))
		return;
	if (!by_hash && (c->e = due(b, ask))) {
		c->probe = true;
		return;
	}
	if (b->set->n == 1) { /* as most are: nothing is drawn, nothing compared */
		c->e = b->set->n_in ? b->set->v[0] : NULL;
		return;
	}
	if (b->set->n_in == 0 && !by_hash)
		return;
	if (by_hash)
		sn_balance__hash_pick(b, ask, c);
	else
		choose_by_zone(b, ask, c);
	if (!c->e && ask->n_tried) { /* there is no other */
		anew = *ask;
		anew.n_tried = 0;
		anew.stick = NULL;
		choose(b, &anew, c);
	}
}

static enum sn_balance_none why(const struct sn_balance *b, const struct sn_endpoint *e)
{
	if (e)
		return SN_BALANCE_SOME;
	return b->set->n_usable ? SN_BALANCE_ALL_EJECTED : SN_BALANCE_EMPTY;
}

struct sn_endpoint *sn_balance_pick(struct sn_balance *b, const struct sn_balance_ask *ask,
				    enum sn_balance_none *ret_why)
{
	struct sn_balance__choice c;

	choose(b, ask, &c);
	if (ret_why)
		*ret_why = why(b, c.e);
	if (!c.e)
		return NULL;
	if (c.probe) {
		sn_breaker_probe(&c.e->breaker, ask->now_ns);
		sn_balance__settle(b, c.e);
	}
	if (b->set->order)
		sn_balance__aperture_load(b, ask->now_ns);
	if (c.e->ewma_ns == 0 && c.e->outstanding == 0)
		c.e->ewma_at_ns = ask->now_ns; /* since when it is silent */
	c.e->outstanding++;
	b->load++;
	return c.e;
}

void sn_balance_explain(struct sn_balance *b, const struct sn_balance_ask *ask,
			struct sn_balance_why *ret)
{
	struct sn_balance__class classes[2][SN_BALANCE__CLASSES];
	struct sn_balance__choice c;
	struct sn_rng rng = b->rng;
	double usual_queue = b->usual_queue;
	uint64_t usual_at_ns = b->usual_at_ns;
	unsigned i;

	for (i = 0; i < 2; i++) {
		sn_balance__refresh(b, &b->set->groups[i], ask->now_ns);
		memcpy(classes[i], b->set->groups[i].classes, sizeof(classes[i]));
	}
	choose(b, ask, &c);
	b->rng = rng;
	b->usual_queue = usual_queue;
	b->usual_at_ns = usual_at_ns;
	for (i = 0; i < 2; i++)
		memcpy(b->set->groups[i].classes, classes[i], sizeof(classes[i]));
	*ret = (struct sn_balance_why){.chosen = c.e,
				       .none = why(b, c.e),
				       .probe = c.probe,
				       .n_candidates = c.n_candidates};
	memcpy(ret->candidates, c.candidates, sizeof(ret->candidates));
}

/* --- results ------------------------------------------------------------------------------------
 */

static void sample(struct sn_endpoint *e, uint64_t latency_ns, uint64_t now_ns)
{
	double average = sn_balance__latency(e, now_ns), elapsed, w;

	if ((double)latency_ns >= average) {
		e->ewma_ns = latency_ns;
	} else {
		elapsed = now_ns > e->ewma_at_ns ? (double)(now_ns - e->ewma_at_ns) / 10e9 : 0;
		w = elapsed < 1e-3 ? 1 - elapsed : exp(-elapsed); /* to a millionth the same */
		e->ewma_ns = (uint64_t)((double)e->ewma_ns * w + (double)latency_ns * (1 - w));
	}
	e->ewma_at_ns = now_ns;
}

/* It is back. What its failures cost is over with them, else two choices would avoid it for half a
 * minute more; its recovery is caution enough. */
static void start_anew(struct sn_endpoint *e, uint64_t latency_ns, uint64_t now_ns)
{
	e->ewma_ns = latency_ns;
	e->ewma_at_ns = now_ns;
}

static void tell_breaker(struct sn_balance *b, struct sn_endpoint *e, const struct sn_try_result *r,
			 uint64_t now_ns)
{
	uint64_t began = now_ns > r->latency_ns ? now_ns - r->latency_ns : 0;
	bool was_ejected = sn_breaker_is_ejected(&e->breaker);

	if (r->end == SN_TRY_CANCELLED)
		sn_breaker_cancelled(&e->breaker, began, now_ns);
	else if (sn_breaker_result(&e->breaker, &b->settings.breaker,
				   r->end == SN_TRY_ANSWERED && r->success, began, now_ns))
		sn_balance__eject(b, e, now_ns);
	if (was_ejected) {
		if (!sn_breaker_is_ejected(&e->breaker))
			start_anew(e, r->latency_ns, now_ns);
		sn_balance__settle(b, e);
	}
	if (e->breaker.state == SN_BREAKER_RECOVERING && e->breaker.until_ns > b->ramp_until_ns)
		b->ramp_until_ns = e->breaker.until_ns;
}

/* It asked for less. */
static void spare(struct sn_balance *b, struct sn_endpoint *e, uint64_t retry_after_ms,
		  uint64_t now_ns)
{
	uint64_t ns = retry_after_ms < SN_BALANCE_SPARE_MAX_NS / 1000000 ? retry_after_ms * 1000000
									 : SN_BALANCE_SPARE_MAX_NS;

	e->spare_until_ns = now_ns + ns;
	if (e->spare_until_ns > b->ramp_until_ns)
		b->ramp_until_ns = e->spare_until_ns;
	b->set->groups[e->group].dirty = true;
}

void sn_balance_done(struct sn_balance *b, struct sn_endpoint *e, const struct sn_try_result *r,
		     uint64_t now_ns)
{
	uint64_t latency_ns = r->latency_ns;

	if (r->end == SN_TRY_FAILED && latency_ns < SN_BALANCE_PENALTY_NS)
		latency_ns = SN_BALANCE_PENALTY_NS;
	e->outstanding--;
	if (r->end != SN_TRY_CANCELLED || latency_ns > e->ewma_ns)
		sample(e, latency_ns, now_ns);
	if (b->set->order)
		sn_balance__aperture_load(b, now_ns);
	b->load--;
	if (e->gone) {
		if (e->outstanding == 0) {
			b->leaving--;
			sn_balance__release(b, e);
		}
		return;
	}
	if (r->end == SN_TRY_ANSWERED && r->retry_after_ms)
		spare(b, e, r->retry_after_ms, now_ns);
	if (b->settings.breaker.on)
		tell_breaker(b, e, r, now_ns);
}

void sn_balance_is_well(struct sn_balance *b, struct sn_endpoint *e, uint64_t latency_ns,
			uint64_t now_ns)
{
	struct sn_try_result r = {latency_ns, SN_TRY_ANSWERED, true, 0};

	if (!e->gone && b->settings.breaker.on)
		tell_breaker(b, e, &r, now_ns);
}

/* --- looking ------------------------------------------------------------------------------------
 */

size_t sn_balance_count(const struct sn_balance *b)
{
	return b->set->n;
}

bool sn_balance_is_empty(const struct sn_balance *b)
{
	return b->set->n == 0 && b->leaving == 0;
}

struct sn_endpoint *sn_balance_at(const struct sn_balance *b, size_t i)
{
	return i < b->set->n ? b->set->v[i] : NULL;
}

size_t sn_balance_ejected(const struct sn_balance *b)
{
	return b->set->n_heap;
}

uint64_t sn_balance_ejections(const struct sn_balance *b)
{
	return b->ejections;
}

size_t sn_balance_width(const struct sn_balance *b)
{
	return b->set->order ? b->set->width : b->set->n;
}

void sn_balance_look(const struct sn_balance *b, const struct sn_endpoint *e, uint64_t now_ns,
		     struct sn_balance_look *ret)
{
	bool ejected = sn_breaker_is_ejected(&e->breaker);

	*ret = (struct sn_balance_look){
		.zone = e->gone ? "" : b->set->zones[e->zone],
		.own_zone = e->group == 0,
		.in_use = !e->gone && sn_balance__offered(e),
		.ewma_ns = (uint64_t)sn_balance__latency(e, now_ns),
		.cost = sn_balance__cost(b, e, now_ns),
		.breaker = sn_breaker_state(&e->breaker, now_ns),
		.ejected_until_ns = ejected ? e->breaker.until_ns : 0,
		.spared_until_ns = now_ns < e->spare_until_ns ? e->spare_until_ns : 0,
	};
	if (ret->in_use)
		ret->share_percent = (uint32_t)((uint64_t)sn_balance__share(b, e, now_ns) * 100 /
						((uint64_t)e->weight * SN_BREAKER_FULL));
}

const char *sn_balance_name(enum sn_balance_algorithm a)
{
	static const char *const names[] = {"PeakEWMA", "LeastRequest", "RoundRobin", "Random",
					    "Aperture", "RingHash",	"Maglev"};

	return names[a];
}
