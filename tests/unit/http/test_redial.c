/* SPDX-License-Identifier: Apache-2.0 */
/* When an address that refused us may be dialled again. */
#include "tests/unit/unit.h"

#include "http/redial.h"

/* The delay doubles from 20 ms to 1 s; of each, half is certain and half is by lot. */
static void test_it_backs_off(void **state)
{
	static const uint32_t delays[] = {20, 40, 80, 160, 320, 640, 1000, 1000, 1000};

	(void)state;
	for (uint64_t seed = 0; seed < 200; seed++) {
		struct sn_redial r = {0};
		uint64_t now = 5000;
		struct sn_rng rng;

		sn_rng_seed(&rng, seed);
		assert_false(sn_redial_must_wait(&r, now));
		for (size_t i = 0; i < SN_ARRAY_LEN(delays); i++) {
			sn_redial_failed(&r, now, &rng);
			assert_in_range(r.until_ms - now, delays[i] / 2, delays[i]);
			assert_true(sn_redial_must_wait(&r, now));
			assert_true(sn_redial_must_wait(&r, r.until_ms - 1));
			assert_false(sn_redial_must_wait(&r, r.until_ms));
			now = r.until_ms;
		}
		sn_redial_connected(&r);
		assert_false(sn_redial_must_wait(&r, 0));
		sn_redial_failed(&r, now, &rng);
		assert_in_range(r.until_ms - now, 10, 20); /* from the beginning */
	}
}

/* Workers that failed together do not come back together. */
static void test_it_spreads(void **state)
{
	bool seen[1001] = {false};
	unsigned different = 0;

	(void)state;
	for (uint64_t seed = 0; seed < 500; seed++) {
		struct sn_redial r = {.delay_ms = SN_REDIAL_MAX_MS};
		struct sn_rng rng;

		sn_rng_seed(&rng, seed);
		sn_redial_failed(&r, 0, &rng);
		assert_true(r.until_ms <= 1000);
		different += !seen[r.until_ms];
		seen[r.until_ms] = true;
	}
	assert_true(different > 200);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_it_backs_off),
		cmocka_unit_test(test_it_spreads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
