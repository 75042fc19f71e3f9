/* SPDX-License-Identifier: Apache-2.0 */
/* Timers: order, laziness that nobody notices, and callbacks that change the heap under the run. */
#include "../unit.h"

#include "base/num.h"
#include "net/timer.h"

#define MANY 500

static struct sn_timers all;
static struct sn_timer t[MANY];
static size_t order[MANY * 4], n_order;

static void note(struct sn_timer *timer, uint64_t now_ms)
{
	assert_false(sn_timer_is_set(timer));
	assert_true(timer->due_ms <= now_ms);
	order[n_order++ % SN_ARRAY_LEN(order)] = (size_t)(timer - t);
}

static int begin(void **state)
{
	(void)state;
	sn_timers_init(&all);
	for (size_t i = 0; i < MANY; i++)
		sn_timer_init(&t[i], note);
	n_order = 0;
	return 0;
}

static int end(void **state)
{
	(void)state;
	sn_timers_done(&all);
	return 0;
}

static void test_order(void **state)
{
	(void)state;
	assert_true(sn_timers_next_ms(&all) == UINT64_MAX);
	assert_int_equal(sn_timer_set(&all, &t[0], 30), 0);
	assert_int_equal(sn_timer_set(&all, &t[1], 10), 0);
	assert_int_equal(sn_timer_set(&all, &t[2], 20), 0);
	assert_int_equal(sn_timers_next_ms(&all), 10);
	assert_int_equal(sn_timers_run(&all, 9), 0);
	assert_int_equal(sn_timers_run(&all, 20), 2);
	assert_int_equal(order[0], 1);
	assert_int_equal(order[1], 2);
	assert_int_equal(sn_timers_next_ms(&all), 30);
	assert_int_equal(sn_timers_run(&all, 1000), 1);
	assert_true(sn_timers_next_ms(&all) == UINT64_MAX);
}

static void test_pushed_back_and_pulled_forward(void **state)
{
	(void)state;
	sn_timer_set(&all, &t[0], 10);
	sn_timer_set(&all, &t[1], 15);
	sn_timer_set(&all, &t[0], 50); /* lazily: it stays where it is until 10 comes up */
	assert_int_equal(sn_timers_next_ms(&all), 15);
	assert_int_equal(sn_timers_run(&all, 12), 0);
	assert_int_equal(sn_timers_run(&all, 15), 1);
	sn_timer_set(&all, &t[0], 20);
	assert_int_equal(sn_timers_next_ms(&all), 20);
	assert_int_equal(sn_timers_run(&all, 20), 1);
	assert_int_equal(order[1], 0);
}

static void test_cancel(void **state)
{
	(void)state;
	sn_timer_cancel(&all, &t[0]); /* not set: nothing */
	for (size_t i = 0; i < 7; i++)
		sn_timer_set(&all, &t[i], 10 + i);
	sn_timer_cancel(&all, &t[0]);
	sn_timer_cancel(&all, &t[3]);
	sn_timer_cancel(&all, &t[6]);
	sn_timer_cancel(&all, &t[6]);
	assert_false(sn_timer_is_set(&t[3]));
	assert_int_equal(sn_timers_run(&all, 100), 4);
	assert_int_equal(order[0], 1);
	assert_int_equal(order[3], 5);
}

static void again_now(struct sn_timer *timer, uint64_t now_ms)
{
	n_order++;
	sn_timer_set(&all, timer, now_ms);
}

static void test_one_that_sets_itself_for_now_does_not_hold_the_run(void **state)
{
	(void)state;
	sn_timer_init(&t[0], again_now);
	sn_timer_set(&all, &t[0], 1);
	assert_true(sn_timers_run(&all, 5) <= 2);
	assert_true(sn_timer_is_set(&t[0]));
	assert_int_equal(sn_timers_next_ms(&all), 5);
}

static void cancels_the_next(struct sn_timer *timer, uint64_t now_ms)
{
	note(timer, now_ms);
	sn_timer_cancel(&all, timer + 1);
	sn_timer_set(&all, timer + 2, now_ms + 100);
}

static void test_a_callback_may_change_others(void **state)
{
	(void)state;
	sn_timer_init(&t[0], cancels_the_next);
	sn_timer_set(&all, &t[0], 1);
	sn_timer_set(&all, &t[1], 2);
	sn_timer_set(&all, &t[2], 3);
	sn_timer_set(&all, &t[3], 4);
	assert_int_equal(sn_timers_run(&all, 10), 2);
	assert_int_equal(order[0], 0);
	assert_int_equal(order[1], 3);
	assert_int_equal(sn_timers_next_ms(&all), 110);
}

/* One that was pushed back is put in order when its old time comes, or when the next is asked for.
 */
static void test_a_bound_is_not_after_the_next(void **state)
{
	(void)state;
	assert_true(sn_timers_bound_ms(&all) == UINT64_MAX);
	sn_timer_set(&all, &t[0], 10);
	sn_timer_set(&all, &t[1], 20);
	sn_timer_set(&all, &t[0], 30);
	assert_int_equal(sn_timers_run(&all, 9), 0);
	assert_int_equal(sn_timers_bound_ms(&all), 10);
	assert_int_equal(sn_timers_run(&all, 10), 0);
	assert_int_equal(sn_timers_bound_ms(&all), 20);
	sn_timer_set(&all, &t[1], 25);
	assert_int_equal(sn_timers_next_ms(&all), 25);
	assert_int_equal(sn_timers_bound_ms(&all), 25);
}

/* Against the plainest model: an array of times. */
static void test_many_at_random(void **state)
{
	static uint64_t due[MANY]; /* 0: not set */
	struct sn_rng rng;
	uint64_t now = 1;

	(void)state;
	memset(due, 0, sizeof(due));
	sn_rng_seed(&rng, 7);
	for (int step = 0; step < 20000; step++) {
		size_t i = (size_t)sn_rng_below(&rng, MANY), ran = 0;
		uint64_t next = UINT64_MAX;

		switch (sn_rng_below(&rng, 4)) {
		case 0:
			sn_timer_cancel(&all, &t[i]);
			due[i] = 0;
			break;
		case 1:
			now += sn_rng_below(&rng, 20);
			n_order = 0;
			for (size_t k = 0; k < MANY; k++)
				ran += due[k] && due[k] <= now;
			assert_int_equal(sn_timers_run(&all, now), ran);
			for (size_t k = 0; k < n_order; k++) {
				assert_true(k == 0 || due[order[k - 1]] <= due[order[k]]);
				assert_true(due[order[k]] && due[order[k]] <= now);
			}
			for (size_t k = 0; k < n_order; k++)
				due[order[k]] = 0;
			break;
		default:
			due[i] = now + sn_rng_below(&rng, 1000);
			assert_int_equal(sn_timer_set(&all, &t[i], due[i]), 0);
			break;
		}
		for (size_t k = 0; k < MANY; k++)
			if (due[k] && due[k] < next)
				next = due[k];
		assert_true(sn_timers_bound_ms(&all) <= next);
		if (step % 3 == 0) /* puts in order what waited for it */
			assert_true(sn_timers_next_ms(&all) == next);
		assert_int_equal(sn_timer_is_set(&t[i]), due[i] != 0);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_order, begin, end),
		cmocka_unit_test_setup_teardown(test_pushed_back_and_pulled_forward, begin, end),
		cmocka_unit_test_setup_teardown(test_cancel, begin, end),
		cmocka_unit_test_setup_teardown(
			test_one_that_sets_itself_for_now_does_not_hold_the_run, begin, end),
		cmocka_unit_test_setup_teardown(test_a_callback_may_change_others, begin, end),
		cmocka_unit_test_setup_teardown(test_a_bound_is_not_after_the_next, begin, end),
		cmocka_unit_test_setup_teardown(test_many_at_random, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
