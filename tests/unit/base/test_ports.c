/* SPDX-License-Identifier: Apache-2.0 */
/* Sets of ports as people write them. */
#include "../unit.h"

#include "base/ports.h"

static void test_accepted(void **state)
{
	struct sn_ports p;

	(void)state;
	assert_int_equal(sn_ports_parse("", &p, NULL), 0);
	assert_false(sn_ports_contain(&p, 1));
	assert_int_equal(sn_ports_parse("22, 9000-9100 ,65535", &p, NULL), 0);
	assert_int_equal(p.n, 3);
	assert_true(sn_ports_contain(&p, 22));
	assert_false(sn_ports_contain(&p, 21));
	assert_false(sn_ports_contain(&p, 8999));
	assert_true(sn_ports_contain(&p, 9000));
	assert_true(sn_ports_contain(&p, 9050));
	assert_true(sn_ports_contain(&p, 9100));
	assert_false(sn_ports_contain(&p, 9101));
	assert_true(sn_ports_contain(&p, 65535));
	assert_int_equal(sn_ports_parse("80-80", &p, NULL), 0);
	assert_true(sn_ports_contain(&p, 80));
}

static void test_refused(void **state)
{
	static const char *const rows[] = {"0",	      "65536", "a",	  "1,,2", "1-",
					   "-1",      "2-1",   "1-2-3",	  "1 2",  "0x10",
					   "1,70000", ",",     "1-65536", "+1",	  "1--2"};
	struct sn_ports p;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_err err = {0};

		if (sn_ports_parse(rows[i], &p, &err) != -SN_EUSAGE)
			print_error("input: %s\n", rows[i]);
		assert_int_equal(sn_ports_parse(rows[i], &p, &err), -SN_EUSAGE);
		assert_non_null(strstr(err.msg, "is not a port"));
	}
}

static void test_bounded(void **state)
{
	char text[1024] = "1";
	struct sn_err err = {0};
	struct sn_ports p;

	(void)state;
	for (int i = 1; i < SN_PORT_RANGES_MAX; i++)
		strcat(text, ",1");
	assert_int_equal(sn_ports_parse(text, &p, &err), 0);
	strcat(text, ",1");
	assert_int_equal(sn_ports_parse(text, &p, &err), -SN_EUSAGE);
	assert_non_null(strstr(err.msg, "more than 64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
