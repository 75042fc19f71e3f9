/* SPDX-License-Identifier: Apache-2.0 */
/* What a retry budget allows, and what it can never be made to allow. */
#include "../unit.h"

#include "base/num.h"
#include "mesh/budget.h"

#define MS 1000000ull
#define S 1000000000ull

static const struct sn_budget_settings usual = {20, 10, 10 * S};

static unsigned withdraw_all(struct sn_budget *b, uint64_t now)
{
	unsigned n = 0;

	while (sn_budget_try_withdraw(b, now))
		n++;
	return n;
}

static void deposit(struct sn_budget *b, unsigned n, uint64_t now)
{
	while (n--)
		sn_budget_deposit(b, now);
}

static void test_defaults(void **state)
{
	struct sn_budget_settings s;

	(void)state;
	sn_budget_defaults(&s);
	assert_int_equal(s.percent, 20);
	assert_int_equal(s.min_per_second, 10);
	assert_true(s.interval_ns == 10 * S);
}

static void test_reserve(void **state)
{
	struct sn_budget b;

	(void)state;
	sn_budget_init(&b, &usual, 5 * S);
	assert_int_equal(sn_budget_balance(&b, 5 * S), 100);
	assert_int_equal(withdraw_all(&b, 5 * S), 100); /* at once */
	assert_int_equal(withdraw_all(&b, 5 * S + 9999 * MS), 0);
	assert_int_equal(withdraw_all(&b, 16 * S - 1), 0); /* a slice longer: never twice in 10 s */
	assert_int_equal(withdraw_all(&b, 16 * S), 100);
	/* What was taken bit by bit comes back bit by bit. */
	sn_budget_init(&b, &usual, 0);
	for (unsigned i = 0; i < 10; i++)
		for (unsigned j = 0; j < 10; j++)
			assert_true(sn_budget_try_withdraw(&b, i * S));
	assert_int_equal(withdraw_all(&b, 10 * S), 0);
	assert_int_equal(withdraw_all(&b, 11 * S), 10);
	assert_int_equal(withdraw_all(&b, 13 * S), 20);
}

static void test_share(void **state)
{
	static const struct sn_budget_settings share = {20, 0, 10 * S};
	struct sn_budget b;

	(void)state;
	sn_budget_init(&b, &share, 0);
	assert_false(sn_budget_try_withdraw(&b, 0));
	deposit(&b, 4, 0);
	assert_false(sn_budget_try_withdraw(&b, 0)); /* four fifths are none */
	deposit(&b, 1, 0);
	assert_int_equal(withdraw_all(&b, 0), 1);
	deposit(&b, 995, 1 * S);
	assert_int_equal(sn_budget_balance(&b, 9 * S), 199);
	assert_int_equal(sn_budget_balance(&b, 10 * S), 198); /* the first five are forgotten */
	assert_int_equal(sn_budget_balance(&b, 11 * S), 0);
	assert_int_equal(withdraw_all(&b, 11 * S), 0);
}

static void test_extremes(void **state)
{
	struct sn_budget_settings s = {0, 0, 10 * S};
	struct sn_budget b;

	(void)state;
	sn_budget_init(&b, &s, 0);
	deposit(&b, 1000, 0);
	assert_int_equal(withdraw_all(&b, 0), 0);
	s.percent = 1000;
	sn_budget_init(&b, &s, 0);
	deposit(&b, 3, 0);
	assert_int_equal(withdraw_all(&b, 0), 30);
	s = (struct sn_budget_settings){100, UINT32_MAX, UINT64_MAX};
	sn_budget_init(&b, &s, 0);
	assert_true(sn_budget_balance(&b, UINT64_MAX) == SN_BUDGET_RESERVE_MAX);
	s = (struct sn_budget_settings){100, 10, 0}; /* refused by the schema; not our end */
	sn_budget_init(&b, &s, 0);
	assert_int_equal(withdraw_all(&b, UINT64_MAX), 0);
	b.requests[b.at] = UINT32_MAX;
	sn_budget_deposit(&b, b.start_ns);
	assert_true(b.requests[b.at] == UINT32_MAX);
}

static void test_time_goes_back(void **state)
{
	struct sn_budget b;

	(void)state;
	sn_budget_init(&b, &usual, 100 * S);
	assert_int_equal(withdraw_all(&b, 90 * S), 100);
	assert_int_equal(withdraw_all(&b, 100 * S), 0);
	assert_int_equal(withdraw_all(&b, 0), 0);
}

static void test_change(void **state)
{
	struct sn_budget_settings s = usual;
	struct sn_budget b;

	(void)state;
	sn_budget_init(&b, &usual, 0);
	assert_int_equal(withdraw_all(&b, 0), 100);
	s.min_per_second = 15;
	sn_budget_change(&b, &s, 1 * S); /* no new reserve with each reload */
	assert_int_equal(withdraw_all(&b, 1 * S), 50);
	s.min_per_second = 1;
	sn_budget_change(&b, &s, 2 * S);
	assert_int_equal(sn_budget_balance(&b, 2 * S), 0);
	s.interval_ns = 20 * S;
	sn_budget_change(&b, &s, 3 * S);
	assert_int_equal(withdraw_all(&b, 3 * S), 20);
}

/* --- the bound, whatever comes in whatever order */

#define EVENTS 4000

struct event {
	uint64_t at;
	bool retry;
};

/* In the interval that ends with the last event, itself included. */
static void count(const struct event *v, size_t n, uint64_t interval, uint64_t *requests,
		  uint64_t *retries)
{
	uint64_t end = v[n - 1].at;

	*requests = *retries = 0;
	while (n-- && end - v[n].at < interval)
		*(v[n].retry ? retries : requests) += 1;
}

/* Idle for a while, then a burst of one kind or of both. */
static size_t burst(struct sn_budget *b, struct sn_rng *rng, struct event *v, uint64_t *now)
{
	static const uint64_t pauses[] = {0, MS, 100 * MS, S, 9 * S, 10 * S, 11 * S, 60 * S};
	unsigned kind = sn_rng_below(rng, 3);
	size_t n = 0, tries = 1 + sn_rng_below(rng, 60);

	*now += pauses[sn_rng_below(rng, SN_ARRAY_LEN(pauses))] + sn_rng_below(rng, 1000000);
	for (size_t i = 0; i < tries; i++) {
		bool retry = kind == 2 ? sn_rng_below(rng, 2) : kind;

		*now += sn_rng_below(rng, 4) ? 0 : sn_rng_below(rng, 50 * MS);
		if (!retry)
			sn_budget_deposit(b, *now);
		else if (!sn_budget_try_withdraw(b, *now))
			continue;
		v[n++] = (struct event){*now, retry};
	}
	return n;
}

static void test_bound_holds(void **state)
{
	static struct event v[EVENTS + 60];
	struct sn_rng rng;

	(void)state;
	for (uint64_t seed = 0; seed < 60; seed++) {
		struct sn_budget_settings s;
		struct sn_budget b;
		uint64_t now, reserve, requests, retries, start;
		size_t n = 0;

		sn_rng_seed(&rng, seed);
		s = (struct sn_budget_settings){sn_rng_below(&rng, 101), sn_rng_below(&rng, 4),
						(1 + sn_rng_below(&rng, 20)) * S};
		now = start = sn_rng_next(&rng) >> 8;
		reserve = s.min_per_second * (s.interval_ns / S);
		sn_budget_init(&b, &s, now);
		while (n < EVENTS) {
			size_t more = burst(&b, &rng, v + n, &now);

			for (; more; more--) {
				n++;
				count(v, n, s.interval_ns, &requests, &retries);
				if (v[n - 1].retry)
					assert_true(retries <=
						    reserve + requests * s.percent / 100);
			}
			if (now - start > 100000 * S)
				break;
		}
		/* And over all of it: a share, and a reserve for each interval begun. */
		if (n == 0)
			continue;
		count(v, n, UINT64_MAX, &requests, &retries);
		assert_true(retries <= requests * s.percent / 100 +
					       ((now - start) / s.interval_ns + 1) * reserve);
	}
}

/* All fail and all want to be retried: offered load x (1 + percent) + minimum is what arrives. */
static void test_storm(void **state)
{
	struct sn_budget b;
	uint64_t sent = 0;

	(void)state;
	sn_budget_init(&b, &usual, 0);
	for (uint64_t now = 0; now < 60 * S; now += MS) { /* 1000 a second */
		sn_budget_deposit(&b, now);
		sent += 1 + withdraw_all(&b, now);
	}
	assert_in_range(sent, 60000 * 1.18, 60000 * 1.2 + 60 * 10);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),       cmocka_unit_test(test_reserve),
		cmocka_unit_test(test_share),	       cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_time_goes_back), cmocka_unit_test(test_change),
		cmocka_unit_test(test_bound_holds),    cmocka_unit_test(test_storm),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
