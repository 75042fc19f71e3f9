/* SPDX-License-Identifier: Apache-2.0 */
/* RFC 4648, section 10, and what is refused. */
#include "tests/unit/unit.h"

#include "base/base64.h"

static void test_vectors(void **state)
{
	static const char *const rows[][2] = {{"", ""},
					      {"f", "Zg=="},
					      {"fo", "Zm8="},
					      {"foo", "Zm9v"},
					      {"foob", "Zm9vYg=="},
					      {"fooba", "Zm9vYmE="},
					      {"foobar", "Zm9vYmFy"},
					      {"\xff\xfe\xfd", "//79"}};
	struct sn_buf b;
	size_t i;

	(void)state;
	sn_buf_init(&b, 0);
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		sn_buf_reset(&b);
		assert_int_equal(sn_base64_encode(sn_slice_cstr(rows[i][0]), &b), 0);
		assert_string_equal(sn_buf_cstr(&b), rows[i][1]);
		sn_buf_reset(&b);
		assert_int_equal(sn_base64_decode(sn_slice_cstr(rows[i][1]), &b), 0);
		assert_string_equal(sn_buf_cstr(&b), rows[i][0]);
	}
	sn_buf_done(&b);
}

static void test_refused(void **state)
{
	static const char *const rows[] = {"A",	   "AA",   "AAA",   "A===", "====", "AA=A", "Zh==",
					   "Zm9=", "Zm 9", "Zm9\n", "Zm9_", "=AAA", "AAAAA"};
	struct sn_buf b;
	size_t i;

	(void)state;
	sn_buf_init(&b, 0);
	for (i = 0; i < SN_ARRAY_LEN(rows); i++)
		assert_int_equal(sn_base64_decode(sn_slice_cstr(rows[i]), &b), -SN_ESYNTAX);
	sn_buf_done(&b);
	sn_buf_init(&b, 7);
	assert_int_equal(sn_base64_encode(SN_SLICE("foobar"), &b), -SN_ETOOBIG);
	sn_buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_vectors),
					   cmocka_unit_test(test_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
