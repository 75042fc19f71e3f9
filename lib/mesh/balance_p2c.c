/* SPDX-License-Identifier: Apache-2.0 */
/* Draws by weight in constant time, and the power of two choices.
 *
 * The first of the two is drawn exactly by weight and keeps ties, so that idle endpoints get their
 * shares; the second one takes the request if it costs less (where weights differ, by a tenth: that
 * the lighter one was not asked for a while is no merit). Cost is latency x (1 + outstanding x
 * mean weight / weight): with equal weights Finagle's latency x (outstanding + 1); and weights
 * count once, by the draw while endpoints are idle and by the queue when they are not. Where the
 * second draw gives the same endpoint, which is how heavy ones get their shares, another one is
 * looked at, but it has to be much cheaper: so a slow one of two is avoided too.
 *
 * The average is Finagle's (com.twitter.finagle.loadbalancer.PeakEwma): a sample above it replaces
 * it at once, one below pulls it down by time, with weight exp(-elapsed / 10 s). Without samples it
 * decays the same way, so an endpoint that was slow is tried again. One without history is free
 * while it is idle and dear as soon as it is not, which is Finagle's too (its `Penalty`). */
#include <math.h>

#include "mesh/balance_int.h"

#define DECAY_NS 10e9
#define FLOOR_NS 1000.0 /* below this, differences are noise */
#define DRAWS 8		/* of what is available half of it or more, nearly always */
#define NOISE 1.1
#define MUCH 2.0
#define SPILL 3.0
#define EXPLORE 64 /* one in so many */

/* --- drawing ------------------------------------------------------------------------------------
 */

/* Vose's construction: columns of equal height, each of at most two endpoints. `work` holds the low
 * ones from the front and the high ones from the back. */
void sn_balance__slots_build(struct sn_balance__set *set, struct sn_balance__group *g)
{
	uint32_t n = g->n_avail, low = 0, high = n, i;
	double sum = g->mean_share * n;

	g->n_slots = n;
	for (i = 0; i < n; i++) {
		set->part[i] = (float)((double)set->v[g->avail[i]]->share * n / sum);
		g->slots[i] = (struct sn_balance__slot){UINT32_MAX, g->avail[i], g->avail[i]};
		if (set->part[i] < 1)
			set->work[low++] = i;
		else
			set->work[--high] = i;
	}
	while (low && high < n) {
		uint32_t l = set->work[--low], h = set->work[high];

		g->slots[l].cut = (uint32_t)(set->part[l] * 4294967040.0f);
		g->slots[l].other = g->slots[h].own;
		set->part[h] -= 1 - set->part[l];
		if (set->part[h] < 1) {
			high++;
			set->work[low++] = h;
		}
	}
}

struct sn_endpoint *sn_balance__any(struct sn_balance *b, const struct sn_balance__group *g,
				    const struct sn_balance_ask *ask,
				    const struct sn_endpoint *other)
{
	uint32_t i, start;

	if (g->n_avail == 0)
		return NULL;
	start = sn_rng_below(&b->rng, g->n_avail);
	for (i = 0; i < ask->n_tried + 2 && i < g->n_avail; i++) {
		struct sn_endpoint *e = b->set->v[g->avail[(start + i) % g->n_avail]];

		if (e != other && !sn_balance__was_tried(ask, e))
			return e;
	}
	return NULL;
}

/* Among so many columns. */
static uint32_t n_drawn(const struct sn_balance__group *g)
{
	return g->even ? g->n_avail : g->n_slots;
}

static struct sn_endpoint *draw_once(struct sn_balance *b, const struct sn_balance__group *g)
{
	uint64_t r = sn_rng_next(&b->rng);
	uint32_t i = (uint32_t)(((r >> 32) * n_drawn(g)) >> 32);
	const struct sn_balance__slot *s;

	if (g->even)
		return b->set->v[g->avail[i]];
	s = &g->slots[i];
	return b->set->v[(uint32_t)r < s->cut ? s->own : s->other];
}

struct sn_endpoint *sn_balance__draw(struct sn_balance *b, const struct sn_balance__group *g,
				     const struct sn_balance_ask *ask)
{
	unsigned i;

	for (i = 0; i < DRAWS && n_drawn(g); i++) {
		struct sn_endpoint *e = draw_once(b, g);

		if (sn_balance__offered(e) && !sn_balance__was_tried(ask, e))
			return e;
	}
	return sn_balance__any(b, g, ask, NULL);
}

/* --- cost ---------------------------------------------------------------------------------------
 */

double sn_balance__latency(const struct sn_endpoint *e, uint64_t now_ns)
{
	double elapsed = now_ns > e->ewma_at_ns ? (double)(now_ns - e->ewma_at_ns) : 0;

	return elapsed < 1e6 ? (double)e->ewma_ns : (double)e->ewma_ns * exp(-elapsed / DECAY_NS);
}

static double queue_of(const struct sn_balance *b, const struct sn_endpoint *e)
{
	double mean = b->set->groups[e->group].mean_share;

	if (e->outstanding == 0)
		return 1;
	return 1 + (mean > 0 && e->share ? e->outstanding * mean / e->share : e->outstanding);
}

static double floored(double latency)
{
	return latency < FLOOR_NS ? FLOOR_NS : latency;
}

/* Who has never answered is tried, but no answer is not a fast one: until there is one it costs
 * what a failure does, else it would draw all that meet it for as long as it is silent. That fades
 * too: a first request may be a stream of hours. */
static double presumed_latency(const struct sn_endpoint *e, uint64_t now_ns)
{
	double silent = now_ns > e->ewma_at_ns ? (double)(now_ns - e->ewma_at_ns) : 0;

	if (e->ewma_ns || !e->outstanding)
		return sn_balance__latency(e, now_ns);
	return (double)SN_BALANCE_PENALTY_NS * exp(-silent / DECAY_NS);
}

static double expected(const struct sn_endpoint *e, uint64_t now_ns)
{
	return floored(presumed_latency(e, now_ns));
}

double sn_balance__cost(const struct sn_balance *b, const struct sn_endpoint *e, uint64_t now_ns)
{
	if (b->settings.algorithm == SN_BALANCE_LEAST_REQUEST)
		return queue_of(b, e);
	return expected(e, now_ns) * queue_of(b, e);
}

/* --- two choices --------------------------------------------------------------------------------
 */

static struct sn_endpoint *draw_another(struct sn_balance *b, const struct sn_balance__group *g,
					const struct sn_balance_ask *ask,
					const struct sn_endpoint *first)
{
	unsigned i;

	for (i = 0; i < 3; i++) {
		struct sn_endpoint *e = sn_balance__draw(b, g, ask);

		if (e != first)
			return e;
	}
	return sn_balance__any(b, g, ask, first); /* that one is heavy */
}

static void candidate(struct sn_balance__choice *c, struct sn_endpoint *e)
{
	if (c->n_candidates < SN_BALANCE_CANDIDATES)
		c->candidates[c->n_candidates++] = e;
}

void sn_balance__p2c(struct sn_balance *b, const struct sn_balance__group *g,
		     const struct sn_balance_ask *ask, struct sn_balance__choice *c)
{
	struct sn_endpoint *first = sn_balance__draw(b, g, ask), *second = NULL;
	double factor = NOISE;

	c->e = first;
	if (!first)
		return;
	candidate(c, first);
	if (g->n_avail > 1)
		second = sn_balance__draw(b, g, ask);
	if (second == first) {
		second = draw_another(b, g, ask, first);
		factor = MUCH;
	}
	if (!second)
		return;
	if (second->share == first->share)
		factor = 1;
	candidate(c, second);
	if (sn_balance__cost(b, second, ask->now_ns) * factor <
	    sn_balance__cost(b, first, ask->now_ns))
		c->e = second;
}

/* --- out of the zone ----------------------------------------------------------------------------
 */

/* What the own zone's queue usually is, by requests that stay. A long queue teaches slowly: it is
 * what usual is there to tell. */
static void learn_usual(struct sn_balance *b, double queue, uint64_t now_ns)
{
	double elapsed = now_ns > b->usual_at_ns ? (double)(now_ns - b->usual_at_ns) : 0;
	double w = elapsed / (elapsed + DECAY_NS);

	b->usual_queue += (queue - b->usual_queue) * (queue > 2 * b->usual_queue ? w / 3 : w);
	b->usual_queue = b->usual_queue < 1 ? 1 : b->usual_queue;
	b->usual_at_ns = now_ns;
}

/* How long @e elsewhere takes, against @near: what is not known is no reason to leave, and of what
 * was slow when it was last seen only a few find out whether it still is. Since it is rarely asked,
 * its average fades to what is usual here and not to nothing. */
static double expected_far(struct sn_balance *b, const struct sn_endpoint *e, double near,
			   uint64_t now_ns)
{
	double then = (double)e->ewma_ns;

	if (then <= 0)
		return near;
	if (then > near && sn_rng_below(&b->rng, EXPLORE) == 0)
		then = near + (then - near) * sn_balance__latency(e, now_ns) / then;
	return floored(then);
}

/* Others work on requests of others: that few of ours are there says little, so a queue there
 * counts as at least what is usual here. */
void sn_balance__spill(struct sn_balance *b, const struct sn_balance__group *far,
		       const struct sn_balance_ask *ask, struct sn_balance__choice *c)
{
	struct sn_endpoint *e = sn_balance__draw(b, far, ask);
	double near = 1, there = 1, queue, queue_there;

	if (!e || !c->e)
		return;
	candidate(c, e);
	queue = queue_of(b, c->e);
	queue_there = queue_of(b, e);
	if (queue_there < b->usual_queue)
		queue_there = b->usual_queue;
	if (b->settings.algorithm != SN_BALANCE_LEAST_REQUEST) {
		near = expected(c->e, ask->now_ns);
		there = expected_far(b, e, near, ask->now_ns);
	}
	if (there * queue_there * SPILL < near * queue)
		c->e = e;
	else
		learn_usual(b, queue, ask->now_ns);
}
