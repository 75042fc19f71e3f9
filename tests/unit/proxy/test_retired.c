/* SPDX-License-Identifier: Apache-2.0 */
/* A replaced snapshot goes when the last of the others has let go of it, and the watch with it. */
#include "tests/unit/unit.h"

#include "proxy/retired.h"

static struct sn_clock_fake fake;

static void later(struct sn_loop *l, uint64_t ms)
{
	sn_clock_fake_advance_ms(&fake, ms);
	sn_loop_turn(l, 0);
}

static void test_the_last_reference_is_ours(void **state)
{
	struct sn_snapshot *quick = sn_snapshot_new(), *slow = sn_snapshot_new();
	struct sn_retired r;
	struct sn_loop *l;

	(void)state;
	sn_clock_fake_init(&fake, 1000000000);
	l = sn_loop_new(&fake.clock, NULL);
	assert_non_null(l);
	sn_retired_init(&r, l);
	sn_retired_add(&r, slow);
	sn_retired_add(&r, quick);
	later(l, 1000);
	assert_ptr_equal(r.newest, quick);
	assert_ptr_equal(quick->older_retired, slow);
	sn_snapshot_unref(quick);
	later(l, 1000);
	assert_ptr_equal(r.newest, slow);
	assert_null(slow->older_retired);
	later(l, 3600000);
	assert_true(sn_timer_is_set(&r.timer)); /* a stream of an hour */
	sn_snapshot_unref(slow);
	later(l, 60000);
	assert_null(r.newest);
	assert_false(sn_timer_is_set(&r.timer));
	sn_retired_done(&r);
	sn_loop_free(l);
}

/* A change each 10 ms, for ever: the looks are put off each time, and nothing piles up. */
static void test_many_changes_in_a_row(void **state)
{
	struct sn_retired r;
	struct sn_loop *l;
	unsigned i;

	(void)state;
	sn_clock_fake_init(&fake, 1000000000);
	l = sn_loop_new(&fake.clock, NULL);
	sn_retired_init(&r, l);
	for (i = 0; i < 100; i++) {
		struct sn_snapshot *s = sn_snapshot_new();

		sn_retired_add(&r, s);
		assert_null(s->older_retired);
		sn_snapshot_unref(s);
		later(l, 10);
	}
	sn_retired_done(&r);
	sn_loop_free(l);
}

static void test_the_end_waits_for_nobody(void **state)
{
	struct sn_snapshot *s = sn_snapshot_new();
	struct sn_retired r;
	struct sn_loop *l;

	(void)state;
	sn_clock_fake_init(&fake, 1000000000);
	l = sn_loop_new(&fake.clock, NULL);
	sn_retired_init(&r, l);
	sn_retired_add(&r, s);
	sn_retired_done(&r);
	assert_true(sn_refcount_is_one(&s->refs));
	sn_snapshot_unref(s);
	sn_loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_the_last_reference_is_ours),
					   cmocka_unit_test(test_many_changes_in_a_row),
					   cmocka_unit_test(test_the_end_waits_for_nobody)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
