/* SPDX-License-Identifier: Apache-2.0 */
/* A breaker's transitions, one by one, and what a set does with its breakers. */
#include "tests/unit/mesh/balancing.h"

static struct sn_breaker_settings settings(void)
{
	struct sn_breaker_settings s;

	sn_breaker_defaults(&s);
	s.consecutive_failures = 3;
	return s;
}

static bool result(struct sn_breaker *k, const struct sn_breaker_settings *s, bool ok, uint64_t now)
{
	return sn_breaker_result(k, s, ok, now, now);
}

static void test_failures_in_a_row(void **state)
{
	struct sn_breaker_settings s = settings();
	struct sn_breaker k = {0};

	(void)state;
	assert_false(result(&k, &s, false, 1));
	assert_false(result(&k, &s, false, 2));
	assert_false(result(&k, &s, true, 3));
	assert_false(result(&k, &s, false, 4));
	assert_false(result(&k, &s, false, 5));
	assert_true(result(&k, &s, false, 6));
	assert_true(result(&k, &s, false, 7)); /* still wants to, if it was not opened */
	assert_int_equal(sn_breaker_share(&k, 7), SN_BREAKER_FULL);
	s.consecutive_failures = 0;
	assert_false(result(&k, &s, false, 8));
}

static void test_every_transition(void **state)
{
	struct sn_breaker_settings s = settings();
	struct sn_breaker k = {0};
	struct sn_rng rng;
	uint64_t due, now;

	(void)state;
	sn_rng_seed(&rng, 1);
	sn_breaker_open(&k, &s, &rng, SEC);
	assert_int_equal(sn_breaker_state(&k, SEC), SN_BREAKER_OPEN);
	assert_true(sn_breaker_is_ejected(&k));
	assert_int_equal(sn_breaker_share(&k, SEC), 0);
	due = k.until_ns;
	assert_false(sn_breaker_is_due(&k, due - 1));
	assert_true(sn_breaker_is_due(&k, due));
	assert_false(result(&k, &s, true, due)); /* of a request from before: nothing */
	assert_int_equal(k.state, SN_BREAKER_OPEN);

	sn_breaker_probe(&k, due);
	assert_int_equal(k.state, SN_BREAKER_PROBING);
	assert_false(sn_breaker_is_due(&k, due + 1));
	assert_false(sn_breaker_result(&k, &s, true, due - 1, due + MS)); /* began before it */
	assert_int_equal(k.state, SN_BREAKER_PROBING);
	sn_breaker_cancelled(&k, due - 1, due + MS);
	assert_int_equal(k.state, SN_BREAKER_PROBING);
	sn_breaker_cancelled(&k, due, due + MS);
	assert_int_equal(k.state, SN_BREAKER_OPEN);
	assert_true(sn_breaker_is_due(&k, due + MS));

	sn_breaker_probe(&k, due + MS);
	assert_true(sn_breaker_is_due(&k, due + MS + SN_BREAKER_PATIENCE_NS)); /* hangs: another */
	now = due + 2 * MS;
	assert_true(result(&k, &s, false, now));
	sn_breaker_open(&k, &s, &rng, now);
	assert_in_range(k.until_ns - now, 2 * SEC, 3 * SEC);

	now = k.until_ns;
	sn_breaker_probe(&k, now);
	assert_false(result(&k, &s, true, now));
	assert_int_equal(sn_breaker_state(&k, now), SN_BREAKER_RECOVERING);
	assert_false(sn_breaker_is_ejected(&k));
	assert_int_equal(sn_breaker_share(&k, now), 25);
	assert_in_range(sn_breaker_share(&k, now + SN_BREAKER_RECOVERY_NS / 2), 139, 141);
	assert_int_equal(sn_breaker_share(&k, now + SN_BREAKER_RECOVERY_NS), SN_BREAKER_FULL);
	assert_int_equal(sn_breaker_state(&k, now + SN_BREAKER_RECOVERY_NS), SN_BREAKER_CLOSED);

	assert_false(sn_breaker_result(&k, &s, false, now - 1, now)); /* from before */
	assert_false(result(&k, &s, false, now));
	assert_false(result(&k, &s, false, now));
	assert_true(result(&k, &s, false, now)); /* a recovery can fail */
	sn_breaker_open(&k, &s, &rng, now);
	assert_in_range(k.until_ns - now, 4 * SEC, 6 * SEC);
	assert_string_equal(sn_breaker_name(sn_breaker_state(&k, now)), "open");
}

static void test_penalties_grow_within_bounds_and_are_forgotten(void **state)
{
	struct sn_breaker_settings s = settings();
	struct sn_rng rng;
	unsigned i, level;

	(void)state;
	sn_rng_seed(&rng, 2);
	for (i = 0; i < 200; i++) {
		struct sn_breaker k = {0};
		uint64_t now = SEC, low = SEC, took;

		for (level = 0; level < 12; level++) {
			sn_breaker_open(&k, &s, &rng, now);
			took = k.until_ns - now;
			assert_in_range(took, low < 40 * SEC ? low : 40 * SEC,
					low * 3 / 2 < 60 * SEC ? low * 3 / 2 : 60 * SEC);
			low *= 2;
			now = k.until_ns;
			sn_breaker_probe(&k, now);
			assert_true(result(&k, &s, false, now));
		}
		sn_breaker_open(&k, &s, &rng, now);
		now = k.until_ns;
		sn_breaker_probe(&k, now);
		result(&k, &s, true, now);
		now += 11 * SN_BREAKER_FORGET_NS; /* 13 levels: two are left */
		result(&k, &s, true, now);
		sn_breaker_open(&k, &s, &rng, now);
		assert_in_range(k.until_ns - now, 4 * SEC, 6 * SEC);
	}
	s.min_penalty_ns = s.max_penalty_ns = 5 * SEC;
	for (i = 0; i < 10; i++) {
		struct sn_breaker k = {0};

		sn_breaker_open(&k, &s, &rng, 0);
		assert_int_equal(k.until_ns, 5 * SEC);
	}
}

static void test_success_rate_in_a_sliding_window(void **state)
{
	struct sn_breaker_settings s = settings();
	struct sn_breaker k = {0};
	uint64_t now = 100 * SEC;
	bool opens = false;
	unsigned i;

	(void)state;
	s.consecutive_failures = 0;
	s.min_rate_percent = 80;
	for (i = 0; i < 19; i++) /* too few to say anything */
		assert_false(result(&k, &s, i % 2 == 0, now));
	opens |= result(&k, &s, false, now);
	assert_true(opens);
	now += 12 * SEC; /* the window has passed */
	for (i = 0; i < 99; i++)
		assert_false(result(&k, &s, i % 10 != 5, now)); /* 90 % */
	now += 5 * SEC;
	for (i = 0; i < 11; i++)
		assert_false(result(&k, &s, false, now)); /* 99 of 110 was 90 %: 81 % with these */
	assert_false(result(&k, &s, false, now));
	assert_true(result(&k, &s, false, now));
	now += 6 * SEC; /* the good ones have slid out, the bad ones not: too few */
	assert_false(result(&k, &s, false, now));
	for (i = 0; i < 200000; i++) /* counters of 16 bits */
		assert_false(result(&k, &s, true, now));
	assert_false(result(&k, &s, false, now));
}

/* --- in a set -----------------------------------------------------------------------------------
 */

static void test_a_set_ejects_and_probes(void **state)
{
	unsigned a, i;

	(void)state;
	for (a = 0; a < 5; a++) {
		struct sn_balance_settings s = with_breakers((enum sn_balance_algorithm)a);
		struct sn_balance *b = balance_of(&s);
		struct sn_endpoint *bad, *e;
		uint64_t now = SEC, due;

		fill(b, 4, 0);
		bad = sn_balance_at(b, 2);
		eject(b, bad, now);
		due = look(b, bad, now).ejected_until_ns;
		assert_in_range(due, now + SEC, now + SEC * 3 / 2);
		for (i = 0; i < 200; i++) {
			e = pick(b, NULL, due - 1);
			assert_ptr_not_equal(e, bad);
			done(b, e, MS, SN_TRY_ANSWERED, due - 1);
		}
		assert_ptr_equal(pick(b, NULL, due), bad); /* exactly one */
		for (i = 0; i < 50; i++)
			assert_ptr_not_equal(pick(b, NULL, due), bad);
		done(b, bad, 0, SN_TRY_CANCELLED, due);
		assert_ptr_equal(pick(b, NULL, due), bad);
		done_badly(b, bad, due);
		now = due;
		due = look(b, bad, now).ejected_until_ns;
		assert_in_range(due, now + 2 * SEC, now + 3 * SEC);
		assert_ptr_equal(pick(b, NULL, due), bad);
		done(b, bad, 0, SN_TRY_ANSWERED, due);
		assert_int_equal(look(b, bad, due).breaker, SN_BREAKER_RECOVERING);
		assert_true(look(b, bad, due).in_use);
		sn_balance_free(b);
	}
}

static void test_a_probe_need_not_end(void **state)
{
	struct sn_balance_settings s = with_breakers(SN_BALANCE_PEAK_EWMA);
	struct sn_balance *b = balance_of(&s);
	struct sn_endpoint *e;

	(void)state;
	fill(b, 2, 0);
	e = sn_balance_at(b, 0);
	eject(b, e, SEC);
	assert_ptr_equal(pick(b, NULL, 4 * SEC), e);
	sn_balance_is_well(b, e, MS, 4 * SEC + MS);
	assert_int_equal(e->breaker.state, SN_BREAKER_RECOVERING);
	done_badly(b, e, 4 * SEC + MS);
	assert_int_equal(e->breaker.state, SN_BREAKER_RECOVERING);
	sn_balance_free(b);
}

/* Failures everywhere: so many are ejected, and no more, whatever the size. */
static void test_never_more_than_the_share_nor_the_last(void **state)
{
	static const struct {
		unsigned n, percent, ejected;
	} rows[] = {{1, 50, 0}, {1, 100, 0}, {2, 50, 1},  {2, 100, 1},	 {3, 50, 1},   {5, 50, 2},
		    {5, 0, 0},	{5, 100, 4}, {10, 30, 3}, {100, 50, 50}, {100, 99, 99}};
	unsigned r, i;

	(void)state;
	for (r = 0; r < SN_ARRAY_LEN(rows); r++) {
		struct sn_balance_settings s = with_breakers(SN_BALANCE_RANDOM);
		struct sn_balance *b;
		struct sn_endpoint *e;

		s.breaker.max_ejected_percent = rows[r].percent;
		b = balance_of(&s);
		fill(b, rows[r].n, 0);
		for (i = 0; i < 50 * rows[r].n; i++) {
			e = pick(b, NULL, MS);
			assert_non_null(e);
			done_badly(b, e, MS);
		}
		assert_int_equal(sn_balance_ejected(b), rows[r].ejected);
		sn_balance_free(b);
	}
}

/* Those that were well have left. */
static void test_all_ejected(void **state)
{
	unsigned a, panic, i;

	(void)state;
	for (a = 0; a < 7; a++)
		for (panic = 0; panic < 2; panic++) {
			struct sn_balance_settings s = with_breakers((enum sn_balance_algorithm)a);
			struct sn_endpoint_spec items[2] = {item(0, 1), item(1, 1)};
			struct sn_balance_ask ask = {.now_ns = SEC, .has_hash = true};
			enum sn_balance_none why = SN_BALANCE_SOME;
			struct sn_balance *b;
			unsigned seen = 0;

			s.breaker.panic = panic;
			b = balance_of(&s);
			fill(b, 4, 0);
			eject(b, sn_balance_at(b, 0), SEC);
			eject(b, sn_balance_at(b, 1), SEC);
			assert_int_equal(sn_balance_update(b, items, 2, SEC), 0);
			for (i = 0; i < 100; i++) {
				struct sn_endpoint *e;

				ask.hash = i;
				e = sn_balance_pick(b, &ask, &why);
				assert_int_equal(why,
						 panic ? SN_BALANCE_SOME : SN_BALANCE_ALL_EJECTED);
				if (!e)
					continue;
				seen |= 1u << index_of(e);
				done(b, e, MS, SN_TRY_ANSWERED, SEC);
			}
			assert_int_equal(seen, panic ? 3 : 0);
			ask.now_ns = 10 * SEC; /* a probe ends it either way */
			for (i = 0; i < 100 && sn_balance_ejected(b); i++) {
				ask.hash = i;
				done(b, sn_balance_pick(b, &ask, NULL), 0, SN_TRY_ANSWERED,
				     ask.now_ns);
			}
			assert_int_equal(sn_balance_ejected(b), 0);
			sn_balance_free(b);
		}
}

static void test_off_means_off(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_RANDOM, 1);
	unsigned i;

	(void)state;
	fill(b, 10, 0);
	for (i = 0; i < 1000; i++)
		done_badly(b, pick(b, NULL, 0), 0);
	assert_int_equal(sn_balance_ejected(b), 0);
	sn_balance_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_failures_in_a_row),
		cmocka_unit_test(test_every_transition),
		cmocka_unit_test(test_penalties_grow_within_bounds_and_are_forgotten),
		cmocka_unit_test(test_success_rate_in_a_sliding_window),
		cmocka_unit_test(test_a_set_ejects_and_probes),
		cmocka_unit_test(test_a_probe_need_not_end),
		cmocka_unit_test(test_never_more_than_the_share_nor_the_last),
		cmocka_unit_test(test_all_ejected),
		cmocka_unit_test(test_off_means_off),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
