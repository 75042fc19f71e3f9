/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of a set: zones, apertures, and endpoints that are new. */
#include "tests/unit/mesh/balancing.h"

#define PICKS 20000

/* @n endpoints, zones in turn from @zones ("abc": a, b, c, a ...). */
static void fill_zones(struct sn_balance *b, unsigned n, const char *zones)
{
	struct sn_endpoint_spec *items = calloc(n, sizeof(*items));
	unsigned i;

	for (i = 0; i < n; i++) {
		items[i] = item(i, 1);
		items[i].zone = sn_slice(&zones[i % strlen(zones)], 1);
	}
	assert_int_equal(sn_balance_update(b, items, n, 0), 0);
	free(items);
}

/* Percent of picks that stay in zone "a". */
static unsigned near_percent(struct sn_balance *b, uint64_t now)
{
	unsigned i, near = 0;

	for (i = 0; i < PICKS; i++) {
		struct sn_endpoint *e = pick(b, NULL, now);

		near += strcmp(look(b, e, now).zone, "a") == 0;
		done(b, e, 2 * MS, SN_TRY_ANSWERED, now);
	}
	return near * 100 / PICKS;
}

static struct sn_balance *in_zone(enum sn_balance_algorithm a, const char *zone)
{
	struct sn_balance_settings s = with_breakers(a);

	s.zone = sn_slice_cstr(zone);
	s.breaker.max_ejected_percent = 100;
	return balance_of(&s);
}

static void test_the_own_zone_first(void **state)
{
	unsigned a;

	(void)state;
	for (a = 0; a <= SN_BALANCE_APERTURE; a++) {
		struct sn_balance *b = in_zone((enum sn_balance_algorithm)a, "a");
		unsigned i;

		fill_zones(b, 12, "abc");
		assert_string_equal(look(b, sn_balance_at(b, 4), SEC).zone, "b");
		assert_false(look(b, sn_balance_at(b, 4), SEC).own_zone);
		assert_true(look(b, sn_balance_at(b, 3), SEC).own_zone);
		assert_int_equal(near_percent(b, SEC), 100);
		eject(b, sn_balance_at(b, 0), SEC); /* 3 of 4: 1.4 x 0.75 is enough */
		assert_int_equal(near_percent(b, SEC), 100);
		eject(b, sn_balance_at(b, 3), SEC); /* 2 of 4: 70 % stay */
		assert_in_range(near_percent(b, SEC), 68, 72);
		eject(b, sn_balance_at(b, 6), SEC);
		assert_in_range(near_percent(b, SEC), 33, 37);
		eject(b, sn_balance_at(b, 9), SEC);
		assert_int_equal(near_percent(b, SEC), 0);
		for (i = 0; i < 4; i++)
			done(b, pick(b, NULL, 10 * SEC), 0, SN_TRY_ANSWERED, 10 * SEC);
		assert_int_equal(sn_balance_ejected(b), 0);
		assert_int_equal(near_percent(b, 30 * SEC), 100);
		sn_balance_free(b);
	}
}

/* What is not asked does not become attractive by that. */
static void test_nobody_strays_when_there_is_little_to_do(void **state)
{
	struct sn_balance *b = in_zone(SN_BALANCE_PEAK_EWMA, "a");
	unsigned i, far = 0;

	(void)state;
	fill_zones(b, 12, "abc");
	for (i = 0; i < 1000; i++) {
		struct sn_endpoint *e = pick(b, NULL, SEC * i);

		far += !look(b, e, SEC * i).own_zone;
		done(b, e, 2 * MS, SN_TRY_ANSWERED, SEC * i);
	}
	assert_int_equal(far, 0);
	sn_balance_free(b);
}

static void test_a_small_zone_is_not_overrun(void **state)
{
	struct sn_balance *b = in_zone(SN_BALANCE_RANDOM, "a");

	(void)state;
	fill_zones(b, 20, "abbbbccccc"); /* a tenth where a third is due: 1.4 x 0.3 */
	assert_in_range(near_percent(b, SEC), 40, 44);
	sn_balance_free(b);
}

static void test_no_zone_no_preference(void **state)
{
	struct sn_balance *b = in_zone(SN_BALANCE_RANDOM, "");

	(void)state;
	fill_zones(b, 12, "abc");
	assert_in_range(near_percent(b, SEC), 31, 35);
	sn_balance_free(b);
	b = in_zone(SN_BALANCE_RANDOM, "elsewhere"); /* nobody is near */
	fill_zones(b, 12, "abc");
	assert_in_range(near_percent(b, SEC), 31, 35);
	sn_balance_free(b);
	b = in_zone(SN_BALANCE_MAGLEV, "a"); /* all agree, wherever they are */
	fill_zones(b, 12, "abc");
	assert_in_range(near_percent(b, SEC), 31, 35);
	sn_balance_free(b);
}

static void test_cost_spills_over(void **state)
{
	static const enum sn_balance_algorithm algorithms[] = {SN_BALANCE_PEAK_EWMA,
							       SN_BALANCE_LEAST_REQUEST};
	unsigned a, i;

	(void)state;
	for (a = 0; a < 2; a++) {
		struct sn_balance *b = in_zone(algorithms[a], "a");
		unsigned near = 0, far = 0, outstanding = 0;

		fill_zones(b, 6, "abc");
		for (i = 0; i < 6; i++) { /* all have answered once */
			struct sn_balance_ask ask = {.stick = sn_balance_at(b, i)};

			done(b, sn_balance_pick(b, &ask, NULL), MS, SN_TRY_ANSWERED, 0);
		}
		for (i = 0; i < 100; i++) { /* none of these ends */
			struct sn_endpoint *e = pick(b, NULL, MS / 2);

			near += look(b, e, 0).own_zone;
			far += !look(b, e, 0).own_zone;
			outstanding = e->outstanding > outstanding ? e->outstanding : outstanding;
			if (near == 5)
				assert_int_equal(far, 0); /* not before there is a load */
		}
		assert_in_range(far, 30, 60);
		assert_true(outstanding < 40);
		sn_balance_free(b);
	}
}

/* --- apertures ----------------------------------------------------------------------------------
 */

static unsigned used(struct sn_balance *b, uint64_t now, bool *seen)
{
	unsigned i, n = 0;

	memset(seen, 0, 1000);
	for (i = 0; i < PICKS; i++) {
		struct sn_endpoint *e = pick(b, NULL, now);

		n += !seen[index_of(e)];
		seen[index_of(e)] = true;
		done(b, e, MS, SN_TRY_ANSWERED, now);
	}
	return n;
}

static void test_an_aperture_is_a_part_of_its_own(void **state)
{
	struct sn_balance_settings s = with_breakers(SN_BALANCE_APERTURE);
	struct sn_balance *b = balance_of(&s), *same, *other;
	static bool x[1000], y[1000];
	unsigned i, both = 0;

	(void)state;
	same = balance_of(&s);
	s.seed = 77;
	s.aperture_min = 30;
	other = balance_of(&s);
	fill(b, 1000, 0);
	fill(same, 1000, 0);
	fill(other, 1000, 0);
	assert_int_equal(used(b, SEC, x), 12);
	assert_int_equal(used(same, SEC, y), 12);
	assert_memory_equal(x, y, sizeof(x));
	assert_int_equal(used(other, SEC, y), 30);
	for (i = 0; i < 1000; i++)
		both += x[i] && y[i];
	assert_true(both < 6);
	assert_int_equal(sn_balance_width(b), 12);
	for (i = 0; i < 1000; i++) /* who is ejected is replaced */
		if (x[i]) {
			eject(b, sn_balance_at(b, i), SEC);
			break;
		}
	assert_int_equal(used(b, SEC, y), 12);
	assert_false(y[i]);
	assert_int_equal(sn_balance_width(b), 13);
	fill(b, 5, SEC); /* fewer than the least */
	assert_int_equal(used(b, SEC, y), 5);
	sn_balance_free(b);
	sn_balance_free(same);
	sn_balance_free(other);
}

static void test_an_aperture_follows_the_load(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_APERTURE, 3);
	struct sn_endpoint *flying[200] = {0};
	uint64_t now = SEC;
	unsigned i;

	(void)state;
	fill(b, 500, 0);
	for (i = 0; i < 20000; i++, now += 5 * MS) { /* 200 in flight, for 100 s */
		if (flying[i % 200])
			done(b, flying[i % 200], MS, SN_TRY_ANSWERED, now);
		flying[i % 200] = pick(b, NULL, now);
	}
	assert_in_range(sn_balance_width(b), 95, 110); /* below 2 each */
	for (i = 0; i < 200; i++)
		done(b, flying[i], MS, SN_TRY_ANSWERED, now);
	for (i = 0; i < 20000; i++, now += 5 * MS)
		done(b, pick(b, NULL, now), MS, SN_TRY_ANSWERED, now + MS);
	assert_int_equal(sn_balance_width(b), 12);
	sn_balance_free(b);
}

/* --- who is new ---------------------------------------------------------------------------------
 */

static unsigned share_of(struct sn_balance *b, unsigned index, uint64_t now)
{
	unsigned i, n = 0;

	for (i = 0; i < PICKS; i++) {
		struct sn_endpoint *e = pick(b, NULL, now);

		n += index_of(e) == index;
		done(b, e, MS, SN_TRY_ANSWERED, now);
	}
	return n;
}

static void test_slow_start(void **state)
{
	unsigned a;

	(void)state;
	for (a = 0; a < SN_BALANCE_APERTURE; a++) {
		struct sn_balance_settings s = {.algorithm = (enum sn_balance_algorithm)a,
						.seed = 1,
						.slow_start_ns = 100 * SEC};
		struct sn_balance *b = balance_of(&s);

		fill(b, 3, SEC); /* the first ones are not new */
		assert_int_equal(look(b, sn_balance_at(b, 0), SEC).share_percent, 100);
		fill(b, 4, 1000 * SEC);
		assert_int_equal(look(b, sn_balance_at(b, 3), 1000 * SEC).share_percent, 9);
		/* x of 3 + x, x from 0.1 to 1 */
		assert_in_range(share_of(b, 3, 1000 * SEC), PICKS * 27 / 1000, PICKS * 37 / 1000);
		assert_in_range(share_of(b, 3, 1050 * SEC), PICKS * 140 / 1000, PICKS * 170 / 1000);
		assert_in_range(share_of(b, 3, 1100 * SEC), PICKS * 235 / 1000, PICKS * 265 / 1000);
		assert_int_equal(look(b, sn_balance_at(b, 3), 1100 * SEC).share_percent, 100);
		sn_balance_free(b);
	}
}

/* By key: a growing part of its keys, the others stay where they were. */
static void test_slow_start_of_keys(void **state)
{
	struct sn_balance_settings s = {.algorithm = SN_BALANCE_RING_HASH,
					.slow_start_ns = 100 * SEC};
	struct sn_balance *b = balance_of(&s);
	unsigned t, i, at[3] = {0};

	(void)state;
	fill(b, 3, SEC);
	fill(b, 4, 1000 * SEC);
	for (i = 0; i < 2000; i++) {
		bool was = false;

		for (t = 0; t < 3; t++) {
			struct sn_endpoint *e = pick_key(b, i, (1000 + t * 50) * SEC);
			bool is = index_of(e) == 3;

			assert_true(is || !was);
			was = is;
			at[t] += is;
		}
	}
	assert_in_range(at[0], at[2] * 5 / 100, at[2] * 15 / 100);
	assert_in_range(at[1], at[2] * 45 / 100, at[2] * 65 / 100);
	sn_balance_free(b);
}

static void test_recovery_ramps(void **state)
{
	struct sn_balance_settings s = with_breakers(SN_BALANCE_RANDOM);
	struct sn_balance *b = balance_of(&s);
	struct sn_endpoint *e;

	(void)state;
	fill(b, 4, 0);
	e = sn_balance_at(b, 1);
	eject(b, e, SEC);
	assert_ptr_equal(pick(b, NULL, 10 * SEC), e);
	done(b, e, 0, SN_TRY_ANSWERED, 10 * SEC);
	assert_in_range(share_of(b, 1, 10 * SEC + MS), PICKS * 27 / 1000, PICKS * 37 / 1000);
	assert_in_range(share_of(b, 1, 15 * SEC), PICKS * 140 / 1000, PICKS * 170 / 1000);
	assert_in_range(share_of(b, 1, 20 * SEC), PICKS * 235 / 1000, PICKS * 265 / 1000);
	sn_balance_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_the_own_zone_first),
		cmocka_unit_test(test_nobody_strays_when_there_is_little_to_do),
		cmocka_unit_test(test_a_small_zone_is_not_overrun),
		cmocka_unit_test(test_no_zone_no_preference),
		cmocka_unit_test(test_cost_spills_over),
		cmocka_unit_test(test_an_aperture_is_a_part_of_its_own),
		cmocka_unit_test(test_an_aperture_follows_the_load),
		cmocka_unit_test(test_slow_start),
		cmocka_unit_test(test_slow_start_of_keys),
		cmocka_unit_test(test_recovery_ramps),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
