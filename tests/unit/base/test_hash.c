/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4 by the vectors of its reference implementation. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "base/str.h"

/* Key 00..0f, input 00, 01, ... of the row's length: vectors.h of the reference implementation. */
static void test_vectors(void **state)
{
	static const struct {
		size_t n;
		uint64_t want;
	} rows[] = {
		{0, 0x726fdb47dd0e0e31u}, {1, 0x74f839c593dc67fdu},  {7, 0xab0200f58b01d137u},
		{8, 0x93f5f5799a932462u}, {15, 0xa129ca6149be45e5u}, {63, 0x958a324ceb064572u},
	};
	unsigned char in[64];

	(void)state;
	for (size_t i = 0; i < sizeof(in); i++)
		in[i] = (unsigned char)i;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++)
		assert_true(sn_hash_sip64(in, rows[i].n, 0x0706050403020100u,
					  0x0f0e0d0c0b0a0908u) == rows[i].want);
}

static void test_content(void **state)
{
	char a[SN_HASH_HEX], b[SN_HASH_HEX], padded[SN_HASH_HEX + 8] = "";

	(void)state;
	sn_hash_content("abc", 3, a);
	assert_int_equal(strlen(a), 32);
	assert_int_equal(strspn(a, "0123456789abcdef"), 32);
	assert_memory_not_equal(a, a + 16, 16); /* both halves tell something */
	memcpy(padded + 1, "abc", 3);
	sn_hash_content(padded + 1, 3, b); /* the same at any alignment */
	assert_string_equal(a, b);
	sn_hash_content("abd", 3, b);
	assert_string_not_equal(a, b);
	sn_hash_content("abc\0", 4, b);
	assert_string_not_equal(a, b);
}

static void test_table(void **state)
{
	(void)state;
	assert_true(sn_hash_table("abc", 3) == sn_hash_table("abc", 3));
	assert_true(sn_hash_table("abc", 3) != sn_hash_table("abd", 3));
	assert_true(sn_hash_table("", 0) != sn_hash_sip64("", 0, 0, 0)); /* seeded */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_content),
		cmocka_unit_test(test_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
