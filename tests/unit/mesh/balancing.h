/* SPDX-License-Identifier: Apache-2.0 */
/* What the balancers' tests share: endpoints by number, a clock of the test's own. */
#ifndef SN_TESTS_BALANCING_H
#define SN_TESTS_BALANCING_H

#include "tests/unit/unit.h"

#include "base/num.h"
#include "mesh/balance.h"

#define MS 1000000ull
#define SEC (1000 * MS)
#define MANY 10000

static inline struct sn_endpoint_spec item(unsigned i, uint32_t weight)
{
	struct sn_endpoint_spec it = {.weight = weight,
				      .addr = {.family = AF_INET, .port = 80, .ip = {10}}};

	it.addr.ip[1] = (uint8_t)(i >> 16);
	it.addr.ip[2] = (uint8_t)(i >> 8);
	it.addr.ip[3] = (uint8_t)i;
	return it;
}

static inline unsigned index_of(const struct sn_endpoint *e)
{
	return (unsigned)e->addr.ip[1] << 16 | (unsigned)e->addr.ip[2] << 8 | e->addr.ip[3];
}

static inline struct sn_balance *balance_of(const struct sn_balance_settings *s)
{
	struct sn_balance *b = sn_balance_new(s);

	assert_non_null(b);
	return b;
}

/* No breakers, no zones. */
static inline struct sn_balance *new_balance(enum sn_balance_algorithm algorithm, uint64_t seed)
{
	struct sn_balance_settings s = {.algorithm = algorithm, .seed = seed};

	return balance_of(&s);
}

static inline struct sn_balance_settings with_breakers(enum sn_balance_algorithm algorithm)
{
	struct sn_balance_settings s = {.algorithm = algorithm, .seed = 5};

	sn_breaker_defaults(&s.breaker);
	return s;
}

/* @n endpoints of weight 1. */
static inline void fill(struct sn_balance *b, unsigned n, uint64_t now)
{
	struct sn_endpoint_spec *items = calloc(n ? n : 1, sizeof(*items));
	unsigned i;

	for (i = 0; i < n; i++)
		items[i] = item(i, 1);
	assert_int_equal(sn_balance_update(b, items, n, now), 0);
	free(items);
}

static inline struct sn_endpoint *pick(struct sn_balance *b, const struct sn_endpoint *tried,
				       uint64_t now_ns)
{
	struct sn_balance_ask ask = {.now_ns = now_ns, .tried = &tried, .n_tried = tried != NULL};

	return sn_balance_pick(b, &ask, NULL);
}

static inline struct sn_endpoint *pick_key(struct sn_balance *b, uint64_t key, uint64_t now_ns)
{
	struct sn_balance_ask ask = {.now_ns = now_ns, .has_hash = true, .hash = key};

	return sn_balance_pick(b, &ask, NULL);
}

static inline void done(struct sn_balance *b, struct sn_endpoint *e, uint64_t latency_ns,
			enum sn_try_end end, uint64_t now_ns)
{
	struct sn_try_result r = {latency_ns, end, end == SN_TRY_ANSWERED, 0};

	sn_balance_done(b, e, &r, now_ns);
}

/* Answered with an error, at once. */
static inline void done_badly(struct sn_balance *b, struct sn_endpoint *e, uint64_t now_ns)
{
	struct sn_try_result r = {0, SN_TRY_ANSWERED, false, 0};

	sn_balance_done(b, e, &r, now_ns);
}

static inline struct sn_balance_look look(const struct sn_balance *b, const struct sn_endpoint *e,
					  uint64_t now_ns)
{
	struct sn_balance_look l;

	sn_balance_look(b, e, now_ns, &l);
	return l;
}

/* Requests fail at @e, by session, until its breaker opens. */
static inline void eject(struct sn_balance *b, struct sn_endpoint *e, uint64_t now_ns)
{
	struct sn_balance_ask ask = {.now_ns = now_ns, .stick = e};
	unsigned i;

	for (i = 0; i < 7; i++) {
		assert_ptr_equal(sn_balance_pick(b, &ask, NULL), e);
		done_badly(b, e, now_ns);
	}
}

#endif
