/* SPDX-License-Identifier: Apache-2.0 */
/* When a source is asked again, and when it is believed that there is nothing. */
#include "../unit.h"

#include "mesh/refresh.h"

static struct sn_rng rng;

/* Within 10% of @ms. */
static void assert_about(uint64_t got, uint64_t ms)
{
	assert_in_range(got, ms - ms / 10, ms + ms / 10);
}

static int begin(void **state)
{
	(void)state;
	sn_rng_seed(&rng, 1);
	return 0;
}

static void an_answer_is_good_for_its_time(void **state)
{
	struct sn_refresh r = {0};
	uint64_t least = UINT64_MAX, most = 0, ms;
	int i;

	(void)state;
	assert_about(sn_refresh_answer(&r, 5000, &rng), 5000);
	assert_about(sn_refresh_answer(&r, 0, &rng), SN_REFRESH_MIN_MS);
	assert_about(sn_refresh_answer(&r, UINT64_MAX, &rng), SN_REFRESH_MAX_MS);
	for (i = 0; i < 1000; i++) {
		ms = sn_refresh_answer(&r, 10000, &rng);
		least = ms < least ? ms : least;
		most = ms > most ? ms : most;
	}
	assert_in_range(least, 9000, 9100);
	assert_in_range(most, 10900, 11000);
}

static void errors_back_off(void **state)
{
	static const uint64_t want[] = {1000, 2000, 4000, 8000, 16000, 30000, 30000};
	struct sn_refresh r = {0};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(want); i++)
		assert_about(sn_refresh_error(&r, &rng), want[i]);
	for (i = 0; i < 100000; i++)
		assert_about(sn_refresh_error(&r, &rng), 30000);
	sn_refresh_answer(&r, 1, &rng);
	assert_about(sn_refresh_error(&r, &rng), 1000);
}

static void nothing_is_believed_the_third_time(void **state)
{
	struct sn_refresh r = {0};
	bool believe;

	(void)state;
	assert_about(sn_refresh_empty(&r, 1000, &rng, &believe), 1000);
	assert_false(believe);
	assert_about(sn_refresh_empty(&r, 2000, &rng, &believe), 2000);
	assert_false(believe);
	assert_about(sn_refresh_empty(&r, 4000, &rng, &believe), 4000);
	assert_true(believe);
	assert_about(sn_refresh_empty(&r, 8000, &rng, &believe), 5000);
	assert_true(believe);
}

static void nothing_is_believed_after_half_a_minute(void **state)
{
	struct sn_refresh r = {0};
	bool believe;

	(void)state;
	sn_refresh_empty(&r, 1000, &rng, &believe);
	assert_false(believe);
	sn_refresh_error(&r, &rng); /* says nothing, and does not begin again */
	sn_refresh_empty(&r, 1000 + SN_REFRESH_EMPTY_MS, &rng, &believe);
	assert_true(believe);
}

static void an_answer_in_between_begins_again(void **state)
{
	struct sn_refresh r = {0};
	bool believe;

	(void)state;
	sn_refresh_empty(&r, 0, &rng, &believe);
	sn_refresh_empty(&r, 1000, &rng, &believe);
	sn_refresh_answer(&r, 1000, &rng);
	assert_about(sn_refresh_empty(&r, 60000, &rng, &believe), 1000);
	assert_false(believe);
	sn_refresh_empty(&r, 61000, &rng, &believe);
	assert_false(believe);
}

static void errors_alone_are_never_nothing(void **state)
{
	struct sn_refresh r = {0};
	bool believe;
	int i;

	(void)state;
	sn_refresh_empty(&r, 0, &rng, &believe);
	for (i = 0; i < 100; i++)
		sn_refresh_error(&r, &rng);
	sn_refresh_empty(&r, 1000, &rng, &believe);
	assert_false(believe);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(an_answer_is_good_for_its_time, begin),
		cmocka_unit_test_setup(errors_back_off, begin),
		cmocka_unit_test_setup(nothing_is_believed_the_third_time, begin),
		cmocka_unit_test_setup(nothing_is_believed_after_half_a_minute, begin),
		cmocka_unit_test_setup(an_answer_in_between_begins_again, begin),
		cmocka_unit_test_setup(errors_alone_are_never_nothing, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
