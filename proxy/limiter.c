/* SPDX-License-Identifier: Apache-2.0 */
/* Finds out whose request it is, and asks lib/mesh/ratelimit. */
#include "proxy/limiter.h"

#include <stdlib.h>

#include "proxy/exchange.h"

#define KEYS_MAX 10000

static struct sn_gcra_settings settings(const struct sn_rate_limit *l, unsigned n_workers)
{
	struct sn_gcra_settings s;

	sn_gcra_settings_init(&s, l->rate.milli_per_second / n_workers,
			      (l->rate.burst + n_workers - 1) / n_workers);
	return s;
}

struct sn_limiter *sn_limiter_new(const struct sn_rate_limit *l, uint64_t generation,
				  unsigned n_workers, const uint64_t seed[2])
{
	struct sn_gcra_settings s = settings(l, n_workers);
	struct sn_limiter *m = calloc(1, sizeof(*m));

	if (!m)
		return NULL;
	m->generation = generation;
	m->per = l->per;
	sn_ratelimit_init(&m->table, &s, l->per == SN_RATE_PER_RULE ? 1 : KEYS_MAX, seed);
	return m;
}

void sn_limiter_free(struct sn_limiter *m)
{
	if (m)
		sn_ratelimit_done(&m->table);
	free(m);
}

void sn_limiter_configure(struct sn_limiter *m, const struct sn_rate_limit *l, uint64_t generation,
			  unsigned n_workers)
{
	struct sn_gcra_settings s = settings(l, n_workers);

	m->generation = generation;
	sn_ratelimit_change(&m->table, &s);
}

bool sn_limiter_pass(struct sn_limiter *m, struct sn_exchange *x)
{
	const struct sn_addr *peer = &x->c->d.peer;
	const struct sn_header *h;
	struct sn_slice key = sn_slice("", 0);
	uint64_t wait_ns;

	if (m->per == SN_RATE_PER_IDENTITY) {
		key = sn_slice((const char *)peer->ip, sizeof(peer->ip));
	} else if (m->per == SN_RATE_PER_HEADER) {
		h = sn_headers_find(&x->req.headers, x->rule->rate_limit->header);
		key = h ? h->value : key;
	}
	if (sn_ratelimit_allow(&m->table, key, sn_loop_now_ns(x->w->loop), &wait_ns))
		return true;
	m->limited++;
	sn_exchange_refuse_for(x, wait_ns, "the rule's rate limit");
	return false;
}

int sn_limiter_count(const struct sn_limiter *m, const char *service, struct sn_stats *into)
{
	struct sn_stats_gate count = {.rate_limited = m->limited};

	return sn_stats_add_gate(into, service, &count);
}
