/* SPDX-License-Identifier: Apache-2.0 */
/* Peak EWMA: cost = average round trip x (outstanding + 1) / weight. The average is Finagle's
 * (com.twitter.finagle.loadbalancer.PeakEwma): a sample above it replaces it at once, one below
 * pulls it down by time, with weight exp(-elapsed / 10 s). Without samples it decays the same way,
 * so an endpoint that was slow is tried again. */
#include "mesh/balance.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/map.h"

#define DECAY_NS 10e9
#define FLOOR_NS 1000u /* below this, differences are noise */

struct sn_balance {
	enum sn_balance_algorithm algorithm;
	struct sn_rng rng;
	struct sn_endpoint **set;
	size_t n;
	size_t leaving; /* gone, with requests still in flight */
	void (*on_gone)(struct sn_endpoint *e, void *arg);
	void *on_gone_arg;
};

struct sn_balance *sn_balance_new(enum sn_balance_algorithm algorithm, uint64_t seed)
{
	struct sn_balance *b = calloc(1, sizeof(*b));

	if (b) {
		b->algorithm = algorithm;
		sn_rng_seed(&b->rng, seed);
	}
	return b;
}

static void release(struct sn_balance *b, struct sn_endpoint *e)
{
	if (b->on_gone)
		b->on_gone(e, b->on_gone_arg);
	free(e);
}

void sn_balance_free(struct sn_balance *b)
{
	size_t i;

	if (!b)
		return;
	for (i = 0; i < b->n; i++)
		release(b, b->set[i]);
	free(b->set);
	free(b);
}

void sn_balance_on_gone(struct sn_balance *b, void (*fn)(struct sn_endpoint *e, void *arg),
			void *arg)
{
	b->on_gone = fn;
	b->on_gone_arg = arg;
}

static struct sn_slice key_of(const struct sn_addr *a)
{
	return sn_slice((const char *)a, sizeof(*a));
}

static uint64_t average_ewma(const struct sn_balance *b)
{
	uint64_t sum = 0, n = 0;
	size_t i;

	for (i = 0; i < b->n; i++)
		if (b->set[i]->ewma_ns) {
			sum += b->set[i]->ewma_ns / 1024;
			n++;
		}
	return n ? sum / n * 1024 : 0;
}

static struct sn_endpoint *new_endpoint(const struct sn_balance_item *item, uint64_t ewma_ns,
					uint64_t now_ns)
{
	struct sn_endpoint *e = calloc(1, sizeof(*e));

	if (e) {
		e->addr = item->addr;
		e->ewma_ns = ewma_ns;
		e->ewma_at_ns = now_ns;
	}
	return e;
}

/* Fills @set from @items: known addresses keep their endpoint, others get a new one. On failure the
 * new ones are freed again. Returns how many, or SIZE_MAX. */
static size_t fill(struct sn_balance *b, struct sn_map *known, const struct sn_balance_item *items,
		   size_t n, struct sn_endpoint **set, uint64_t now_ns)
{
	uint64_t start = average_ewma(b);
	struct sn_map seen;
	size_t i, out = 0;
	bool ok = true;

	sn_map_init(&seen);
	for (i = 0; i < n && ok; i++) {
		struct sn_endpoint *e = sn_map_find(known, key_of(&items[i].addr));

		if (sn_map_find(&seen, key_of(&items[i].addr)))
			continue; /* the same address twice is one endpoint */
		if (!e)
			e = new_endpoint(&items[i], start, now_ns);
		ok = e && sn_map_put(&seen, key_of(&items[i].addr), e, NULL) == 0;
		if (e)
			set[out++] = e;
	}
	sn_map_done(&seen, NULL);
	if (ok)
		return out;
	for (i = 0; i < out; i++)
		if (!sn_map_find(known, key_of(&set[i]->addr)))
			free(set[i]);
	return SIZE_MAX;
}

static void let_go(struct sn_balance *b, struct sn_endpoint *e)
{
	e->gone = true;
	if (e->outstanding || e->refs)
		b->leaving++;
	else
		release(b, e);
}

static void adopt(struct sn_balance *b, struct sn_map *known, struct sn_endpoint **set, size_t n,
		  const struct sn_balance_item *items, size_t n_items)
{
	struct sn_map_entry *it;
	size_t i, j = 0;

	for (i = 0; i < n; i++) {
		sn_map_take(known, key_of(&set[i]->addr));
		while (j < n_items && !sn_addr_eq(&items[j].addr, &set[i]->addr))
			j++;
		set[i]->weight = j < n_items && items[j].weight ? items[j].weight : 1;
		set[i]->mesh = j < n_items && items[j].mesh;
	}
	for (it = sn_map_first(known); it; it = sn_map_next(it))
		let_go(b, sn_map_value(it));
	free(b->set);
	b->set = set;
	b->n = n;
}

int sn_balance_update(struct sn_balance *b, const struct sn_balance_item *items, size_t n,
		      uint64_t now_ns)
{
	struct sn_endpoint **set = calloc(n ? n : 1, sizeof(struct sn_endpoint *));
	struct sn_map known;
	size_t i, out;
	int rc = set ? 0 : -SN_ENOMEM;

	sn_map_init(&known);
	for (i = 0; i < b->n && !rc; i++)
		rc = sn_map_put(&known, key_of(&b->set[i]->addr), b->set[i], NULL);
	if (rc == 0) {
		out = fill(b, &known, items, n, set, now_ns);
		if (out == SIZE_MAX)
			rc = -SN_ENOMEM;
		else
			adopt(b, &known, set, out, items, n);
	}
	if (rc)
		free(set);
	sn_map_done(&known, NULL);
	return rc;
}

size_t sn_balance_count(const struct sn_balance *b)
{
	return b->n;
}

bool sn_balance_is_empty(const struct sn_balance *b)
{
	return b->n == 0 && b->leaving == 0;
}

struct sn_endpoint *sn_balance_at(const struct sn_balance *b, size_t i)
{
	return i < b->n ? b->set[i] : NULL;
}

static double decayed(const struct sn_endpoint *e, uint64_t now_ns)
{
	double elapsed = now_ns > e->ewma_at_ns ? (double)(now_ns - e->ewma_at_ns) : 0;

	return elapsed < 1e6 ? (double)e->ewma_ns : (double)e->ewma_ns * exp(-elapsed / DECAY_NS);
}

static double cost(const struct sn_endpoint *e, uint64_t now_ns)
{
	double avg = decayed(e, now_ns);

	return (avg < FLOOR_NS ? FLOOR_NS : avg) * (e->outstanding + 1) / e->weight;
}

static struct sn_endpoint *pick_two(struct sn_balance *b, const struct sn_endpoint *avoid,
				    uint64_t now_ns)
{
	size_t i = sn_rng_below(&b->rng, (uint32_t)b->n);
	size_t j = (i + 1 + sn_rng_below(&b->rng, (uint32_t)b->n - 1)) % b->n;
	struct sn_endpoint *x = b->set[i], *y = b->set[j];

	if (x == avoid)
		return y;
	if (y == avoid)
		return x;
	return cost(y, now_ns) < cost(x, now_ns) ? y : x;
}

/* nginx's smooth weighted round robin. */
static struct sn_endpoint *pick_in_turn(struct sn_balance *b, const struct sn_endpoint *avoid)
{
	struct sn_endpoint *best = NULL;
	int64_t total = 0;
	size_t i;

	for (i = 0; i < b->n; i++) {
		struct sn_endpoint *e = b->set[i];

		if (e == avoid)
			continue;
		e->rr_current += e->weight;
		total += e->weight;
		if (!best || e->rr_current > best->rr_current)
			best = e;
	}
	if (best)
		best->rr_current -= total;
	return best;
}

struct sn_endpoint *sn_balance_pick(struct sn_balance *b, const struct sn_endpoint *avoid,
				    uint64_t now_ns)
{
	struct sn_endpoint *e;

	if (b->n == 0)
		return NULL;
	if (b->n == 1)
		e = b->set[0];
	else if (b->algorithm == SN_BALANCE_ROUND_ROBIN)
		e = pick_in_turn(b, avoid);
	else
		e = pick_two(b, avoid, now_ns);
	e->outstanding++;
	return e;
}

static void sample(struct sn_endpoint *e, uint64_t latency_ns, uint64_t now_ns)
{
	double avg = decayed(e, now_ns), w;

	if ((double)latency_ns >= avg) {
		e->ewma_ns = latency_ns;
	} else {
		w = exp(-(now_ns > e->ewma_at_ns ? (double)(now_ns - e->ewma_at_ns) : 0) /
			DECAY_NS);
		e->ewma_ns = (uint64_t)((double)e->ewma_ns * w + (double)latency_ns * (1 - w));
	}
	e->ewma_at_ns = now_ns;
}

void sn_balance_done(struct sn_balance *b, struct sn_endpoint *e, uint64_t latency_ns,
		     enum sn_try_end end, uint64_t now_ns)
{
	if (end == SN_TRY_FAILED && latency_ns < SN_BALANCE_PENALTY_NS)
		latency_ns = SN_BALANCE_PENALTY_NS;
	if (e->outstanding)
		e->outstanding--;
	if (end != SN_TRY_CANCELLED || latency_ns > e->ewma_ns)
		sample(e, latency_ns, now_ns);
	if (e->gone && e->outstanding == 0 && e->refs == 0) {
		b->leaving--;
		release(b, e);
	}
}
