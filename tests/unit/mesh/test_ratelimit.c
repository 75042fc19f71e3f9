/* SPDX-License-Identifier: Apache-2.0 */
/* The rate that holds whatever comes, and the table that stays as large as it is. */
#include "../unit.h"

#include "base/num.h"
#include "mesh/ratelimit.h"

#define MS 1000000ull
#define S 1000000000ull

static const uint64_t seed[2] = {1, 2};

static struct sn_gcra_settings rate(uint64_t milli_per_second, uint32_t burst)
{
	struct sn_gcra_settings s;

	sn_gcra_settings_init(&s, milli_per_second, burst);
	return s;
}

static void test_settings(void **state)
{
	struct sn_gcra_settings s;

	(void)state;
	s = rate(100000, 20);
	assert_true(s.emission_ns == 10 * MS && s.tolerance_ns == 190 * MS);
	s = rate(500, 1);
	assert_true(s.emission_ns == 2 * S && s.tolerance_ns == 0);
	s = rate(3000000, 1); /* rounded to slower, not to faster */
	assert_true(s.emission_ns == 333334);
	s = rate(0, 0);
	assert_true(s.emission_ns == 1000 * S && s.tolerance_ns == 0);
	s = rate(UINT64_MAX, UINT32_MAX);
	assert_true(s.emission_ns == 1 && s.tolerance_ns == UINT32_MAX - 1);
	s = rate(1, UINT32_MAX);
	assert_true(s.tolerance_ns == UINT64_MAX / 4); /* 136 years, and no overflow */
}

static void test_burst_and_rate(void **state)
{
	struct sn_gcra_settings s = rate(100000, 20);
	struct sn_gcra g = {0};
	uint64_t wait = 0;

	(void)state;
	for (int i = 0; i < 20; i++)
		assert_true(sn_gcra_allow(&g, &s, 5 * S, &wait));
	assert_false(sn_gcra_allow(&g, &s, 5 * S, &wait));
	assert_true(wait == 10 * MS);
	assert_false(sn_gcra_allow(&g, &s, 5 * S + 4 * MS, &wait)); /* asking costs nothing */
	assert_true(wait == 6 * MS);
	assert_false(sn_gcra_allow(&g, &s, 5 * S + 10 * MS - 1, &wait));
	assert_true(wait == 1);
	assert_true(sn_gcra_allow(&g, &s, 5 * S + 10 * MS, NULL));
	assert_false(sn_gcra_allow(&g, &s, 5 * S + 10 * MS, NULL));
	/* Half rested is half a burst. */
	for (int i = 0; i < 10; i++)
		assert_true(sn_gcra_allow(&g, &s, 5 * S + 110 * MS, NULL));
	assert_false(sn_gcra_allow(&g, &s, 5 * S + 110 * MS, NULL));
	/* Long rested is one burst. */
	for (int i = 0; i < 20; i++)
		assert_true(sn_gcra_allow(&g, &s, 500 * S, NULL));
	assert_false(sn_gcra_allow(&g, &s, 500 * S, NULL));
}

static void test_burst_of_one(void **state)
{
	struct sn_gcra_settings s = rate(1000, 1);
	struct sn_gcra g = {0};

	(void)state;
	assert_true(sn_gcra_allow(&g, &s, 0, NULL));
	assert_false(sn_gcra_allow(&g, &s, S - 1, NULL));
	assert_true(sn_gcra_allow(&g, &s, S, NULL));
	assert_true(sn_gcra_allow(&g, &s, 3 * S + S / 2, NULL));
	assert_false(sn_gcra_allow(&g, &s, 4 * S, NULL)); /* no credit for coming late */
	assert_true(sn_gcra_allow(&g, &s, 4 * S + S / 2, NULL));
}

/* From any instant on, at most a burst and then the rate: checked over every window that begins
 * with a request that passed. */
static void test_rate_is_never_exceeded(void **state)
{
	static uint64_t passed[3000];
	struct sn_rng rng;

	(void)state;
	for (uint64_t run = 0; run < 20; run++) {
		struct sn_gcra_settings s;
		struct sn_gcra g = {0};
		uint64_t now;
		uint32_t burst;
		size_t n = 0;

		sn_rng_seed(&rng, run);
		burst = 1 + sn_rng_below(&rng, 30);
		s = rate(1000 + sn_rng_below(&rng, 500000), burst);
		now = sn_rng_next(&rng) >> 8;
		for (int i = 0; i < 3000; i++) {
			now += sn_rng_below(&rng, 20) ? sn_rng_next(&rng) % s.emission_ns
						      : sn_rng_next(&rng) % (30 * s.emission_ns);
			if (sn_gcra_allow(&g, &s, now, NULL))
				passed[n++] = now;
		}
		assert_true(n > 100);
		for (size_t i = 0; i < n; i++)
			for (size_t j = i; j < n; j++)
				assert_true(j - i + 1 <=
					    burst + (passed[j] - passed[i]) / s.emission_ns);
	}
}

static void test_slower_before(void **state)
{
	struct sn_gcra_settings slow = rate(1, 10), fast = rate(1000, 2);
	struct sn_gcra g = {0};
	uint64_t wait;

	(void)state;
	for (int i = 0; i < 10; i++)
		assert_true(sn_gcra_allow(&g, &slow, 0, NULL));
	assert_false(sn_gcra_allow(&g, &fast, S, &wait)); /* 10,000 s ahead */
	assert_true(wait == S);
	assert_true(sn_gcra_allow(&g, &fast, 2 * S, NULL));
	assert_false(sn_gcra_allow(&g, &fast, 2 * S, NULL));
}

/* --- by key */

static bool allow(struct sn_ratelimit *r, unsigned key, uint64_t now)
{
	char text[32];
	uint64_t wait = 0;
	bool ok;

	snprintf(text, sizeof(text), "client-%u", key);
	ok = sn_ratelimit_allow(r, sn_slice_cstr(text), now, &wait);
	assert_true(ok || wait > 0);
	return ok;
}

static void test_keys_apart(void **state)
{
	struct sn_gcra_settings s = rate(1000, 2);
	struct sn_ratelimit r;

	(void)state;
	sn_ratelimit_init(&r, &s, 100, seed);
	assert_null(r.slots);
	assert_int_equal(sn_ratelimit_count(&r, 0), 0);
	for (unsigned k = 0; k < 50; k++)
		for (int i = 0; i < 3; i++)
			assert_int_equal(allow(&r, k, S), i < 2);
	assert_true(sn_ratelimit_allow(&r, sn_slice(NULL, 0), S, NULL));
	assert_true(sn_ratelimit_allow(&r, SN_SLICE(""), S, NULL)); /* the same key */
	assert_false(sn_ratelimit_allow(&r, SN_SLICE(""), S, NULL));
	assert_int_equal(sn_ratelimit_count(&r, S), 51);
	assert_int_equal(sn_ratelimit_count(&r, 3 * S), 0); /* nothing sweeps, and they are gone */
	assert_true(r.evicted == 0 && r.unchecked == 0);
	sn_ratelimit_done(&r);
	sn_ratelimit_done(&r);
}

static void test_size(void **state)
{
	static const struct {
		size_t max_keys, slots;
	} rows[] = {{0, 8},
		    {1, 8},
		    {8, 8},
		    {9, 16},
		    {10000, 16384},
		    {16384, 16384},
		    {SIZE_MAX, (size_t)1 << 24}};
	struct sn_gcra_settings s = rate(1000, 2);
	struct sn_ratelimit r;

	(void)state;
	assert_int_equal(sizeof(struct sn_ratelimit_slot), 16);
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		sn_ratelimit_init(&r, &s, rows[i].max_keys, seed);
		assert_int_equal(r.n_slots, rows[i].slots);
	}
}

/* A million keys that come once do not make it grow, and who is over its limit stays so. */
static void test_flood_of_keys(void **state)
{
	struct sn_gcra_settings s = rate(1000, 10);
	struct sn_ratelimit r;
	unsigned passed = 0;

	(void)state;
	sn_ratelimit_init(&r, &s, 1000, seed);
	for (unsigned i = 0; i < 1000000; i++) {
		uint64_t now = i * (MS / 100); /* 10 s in all */

		assert_true(allow(&r, 1000 + i, now));
		if (i % 10 == 0)
			passed += allow(&r, 7, now);
	}
	assert_int_equal(r.n_slots, 1024);
	assert_true(r.evicted > 900000);
	assert_in_range(passed, 19, 20); /* 10 at once, 1 a second: it was never forgotten */
	assert_true(sn_ratelimit_count(&r, 0) <= 1024);
	sn_ratelimit_done(&r);
}

/* As many as it is made for: few sets are full. */
static void test_designed_load(void **state)
{
	struct sn_gcra_settings s = rate(1000, 1);
	struct sn_ratelimit r;

	(void)state;
	sn_ratelimit_init(&r, &s, 10000, seed);
	for (unsigned i = 0; i < 10000; i++)
		assert_true(allow(&r, i, 5 * S + i));
	assert_true(r.evicted < 600);
	assert_true(sn_ratelimit_count(&r, 5 * S + 10000) >= 9400);
	r.evicted = 0;
	for (unsigned i = 20000; i < 25000;
	     i++) /* the others' time has passed: their slots serve */
		assert_true(allow(&r, i, 7 * S));
	assert_true(r.evicted < 50);
	sn_ratelimit_done(&r);
}

static void test_change(void **state)
{
	struct sn_gcra_settings s = rate(1000, 1), more = rate(1000, 3);
	struct sn_ratelimit r;

	(void)state;
	sn_ratelimit_init(&r, &s, 10, seed);
	assert_true(allow(&r, 1, S));
	assert_false(allow(&r, 1, S));
	sn_ratelimit_change(&r, &more);
	assert_true(allow(&r, 1, S));
	assert_true(allow(&r, 1, S));
	assert_false(allow(&r, 1, S));
	sn_ratelimit_done(&r);
}

/* Without memory it limits nobody, says so, and tries again. */
static void test_no_memory(void **state)
{
	struct sn_gcra_settings s = rate(1000, 1);
	struct sn_ratelimit r;
	size_t n_slots;

	(void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
	skip(); /* their allocators abort */
#endif
	sn_ratelimit_init(&r, &s, 10, seed);
	n_slots = r.n_slots;
	r.n_slots = SIZE_MAX / 2;
	assert_true(allow(&r, 1, S));
	assert_true(allow(&r, 1, S));
	assert_int_equal(r.unchecked, 2);
	assert_int_equal(sn_ratelimit_count(&r, S), 0);
	r.n_slots = n_slots;
	assert_true(allow(&r, 1, S));
	assert_false(allow(&r, 1, S));
	assert_int_equal(r.unchecked, 2);
	sn_ratelimit_done(&r);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_settings),      cmocka_unit_test(test_burst_and_rate),
		cmocka_unit_test(test_burst_of_one),  cmocka_unit_test(test_rate_is_never_exceeded),
		cmocka_unit_test(test_slower_before), cmocka_unit_test(test_keys_apart),
		cmocka_unit_test(test_size),	      cmocka_unit_test(test_flood_of_keys),
		cmocka_unit_test(test_designed_load), cmocka_unit_test(test_change),
		cmocka_unit_test(test_no_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
