/* SPDX-License-Identifier: Apache-2.0 */
/* Memory goes back when a crowd has gone, once, and not after a small one. */
#include "tests/unit/unit.h"

#include "proxy/trim.h"

static struct sn_clock_fake fake;

static void later(struct sn_loop *l, uint64_t ms)
{
	sn_clock_fake_advance_ms(&fake, ms);
	sn_loop_turn(l, 0);
}

static void test_after_a_crowd(void **state)
{
	struct sn_loop *l;
	struct sn_trim t;
	uint32_t i;

	(void)state;
	sn_clock_fake_init(&fake, 1000000000);
	l = sn_loop_new(&fake.clock, NULL);
	assert_non_null(l);
	sn_trim_init(&t, l);
	for (i = 1; i <= 1000; i++)
		sn_trim_note(&t, i);
	later(l, 5000);
	assert_int_equal(t.n_trims, 0); /* they are still there */
	for (i = 1000; i-- > 300;)
		sn_trim_note(&t, i);
	later(l, 5000);
	assert_int_equal(t.n_trims, 0); /* and most of them yet */
	for (i = 300; i-- > 100;)
		sn_trim_note(&t, i);
	later(l, 999);
	assert_int_equal(t.n_trims, 0); /* they may come back */
	sn_trim_note(&t, 99);
	later(l, 999);
	assert_int_equal(t.n_trims, 0); /* they are still leaving */
	later(l, 1);
	assert_int_equal(t.n_trims, 1);
	for (i = 99; i-- > 0;)
		sn_trim_note(&t, i);
	later(l, 5000);
	assert_int_equal(t.n_trims, 1); /* a small crowd is no reason */
	sn_trim_more(&t, 300);		/* few connections, many requests */
	sn_trim_note(&t, 8);
	later(l, 1000);
	assert_int_equal(t.n_trims, 2);
	sn_trim_ask(&t);
	later(l, 1000);
	assert_int_equal(t.n_trims, 3);
	sn_trim_ask(&t);
	sn_trim_done(&t);
	later(l, 5000);
	assert_int_equal(t.n_trims, 3);
	sn_loop_free(l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_after_a_crowd)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
