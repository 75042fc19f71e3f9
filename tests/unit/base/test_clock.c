/* SPDX-License-Identifier: Apache-2.0 */
/* Clocks: the fake one moves only when told, dates are right across leap years. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/str.h"

static void test_fake(void **state)
{
	struct sn_clock_fake f;

	(void)state;
	sn_clock_fake_init(&f, 5);
	assert_int_equal(f.clock.now_ns(&f.clock), 5);
	assert_int_equal(f.clock.now_ns(&f.clock), 5);
	sn_clock_fake_advance_ms(&f, 1500);
	assert_int_equal(f.clock.now_ns(&f.clock), 1500000005);
}

static void test_real(void **state)
{
	uint64_t last = sn_clock_real.now_ns(&sn_clock_real);

	(void)state;
	for (int i = 0; i < 1000; i++) {
		uint64_t now = sn_clock_real.now_ns(&sn_clock_real);

		assert_true(now >= last);
		last = now;
	}
	assert_true(sn_clock_wall_ms() > 1700000000000u); /* ms, not s or ns */
	assert_true(sn_clock_wall_ms() < 17000000000000u);
}

static void test_rfc3339(void **state)
{
	static const struct {
		uint64_t ms;
		const char *plain, *with_ms;
	} rows[] = {
		{0, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.000Z"},
		{1, "1970-01-01T00:00:00Z", "1970-01-01T00:00:00.001Z"},
		{951782399999, "2000-02-28T23:59:59Z", "2000-02-28T23:59:59.999Z"},
		{951782400000, "2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z"},
		{4107542400000, "2100-03-01T00:00:00Z", "2100-03-01T00:00:00.000Z"},
		{253402300799999, "9999-12-31T23:59:59Z", "9999-12-31T23:59:59.999Z"},
	};
	char dst[32];

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		sn_clock_rfc3339(rows[i].ms, 0, dst, sizeof(dst));
		assert_string_equal(dst, rows[i].plain);
		sn_clock_rfc3339(rows[i].ms, 1, dst, sizeof(dst));
		assert_string_equal(dst, rows[i].with_ms);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_fake),
		cmocka_unit_test(test_real),
		cmocka_unit_test(test_rfc3339),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
