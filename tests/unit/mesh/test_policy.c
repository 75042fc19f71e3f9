/* SPDX-License-Identifier: Apache-2.0 */
/* The defaults that the documentation names. */
#include "../unit.h"

#include "mesh/policy.h"

static void test_defaults(void **state)
{
	struct sn_policy p;

	(void)state;
	memset(&p, 0xff, sizeof(p));
	sn_policy_defaults(&p);
	assert_int_equal(p.algorithm, SN_BALANCE_PEAK_EWMA);
	assert_int_equal(p.max_connections, 1024);
	assert_int_equal(p.max_pending, 100);
	assert_int_equal(p.idle_timeout_ms, 30000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
