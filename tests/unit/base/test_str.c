/* SPDX-License-Identifier: Apache-2.0 */
/* Slices: cuts, copies into bounded memory, UTF-8 by the Unicode table, edit distance. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/str.h"

static void test_compare(void **state)
{
	struct sn_slice none = {NULL, 0};

	(void)state;
	assert_true(sn_slice_eq(none, SN_SLICE("")));
	assert_false(sn_slice_eq(SN_SLICE("a"), SN_SLICE("ab")));
	assert_true(sn_slice_eq_cstr(SN_SLICE("ab"), "ab"));
	assert_false(sn_slice_eq_cstr(SN_SLICE("a\0b"), "a"));
	assert_true(sn_slice_ieq(SN_SLICE("HoSt"), SN_SLICE("host")));
	assert_false(sn_slice_ieq(SN_SLICE("host"), SN_SLICE("hos")));
	assert_false(sn_slice_ieq(SN_SLICE("@"), SN_SLICE("`"))); /* differ by 0x20 only */
	assert_true(sn_slice_ieq(none, none));
	assert_true(sn_slice_starts(SN_SLICE("abc"), SN_SLICE("ab")));
	assert_true(sn_slice_starts(SN_SLICE("abc"), none));
	assert_false(sn_slice_starts(SN_SLICE("a"), SN_SLICE("ab")));
	assert_true(sn_slice_cmp(SN_SLICE("a"), SN_SLICE("ab")) < 0);
	assert_true(sn_slice_cmp(SN_SLICE("b"), SN_SLICE("ab")) > 0);
	assert_true(sn_slice_cmp(SN_SLICE("\xff"), SN_SLICE("a")) > 0); /* unsigned octets */
	assert_int_equal(sn_slice_cmp(none, SN_SLICE("")), 0);
}

static void test_trim_and_cut(void **state)
{
	struct sn_slice rest = SN_SLICE("a,,b"), s;

	(void)state;
	assert_true(sn_slice_eq_cstr(sn_slice_trim(SN_SLICE(" \ta b\t ")), "a b"));
	assert_int_equal(sn_slice_trim(SN_SLICE(" \t ")).n, 0);
	assert_true(sn_slice_eq_cstr(sn_slice_trim(SN_SLICE("\na\r")), "\na\r"));
	s = sn_slice_cut(&rest, ',');
	assert_true(sn_slice_eq_cstr(s, "a"));
	s = sn_slice_cut(&rest, ',');
	assert_int_equal(s.n, 0);
	assert_non_null(rest.p);
	s = sn_slice_cut(&rest, ',');
	assert_true(sn_slice_eq_cstr(s, "b"));
	assert_null(rest.p);
	rest = SN_SLICE("a,"); /* a separator at the end: one more, empty piece */
	sn_slice_cut(&rest, ',');
	assert_non_null(rest.p);
	assert_int_equal(sn_slice_cut(&rest, ',').n, 0);
	assert_null(rest.p);
}

static void test_copy(void **state)
{
	char dst[4] = "zzz", none = 'z';

	(void)state;
	assert_int_equal(sn_slice_copy(SN_SLICE("abc"), dst, sizeof(dst)), 0);
	assert_string_equal(dst, "abc");
	assert_int_equal(sn_slice_copy(SN_SLICE("defg"), dst, sizeof(dst)), -SN_ETOOBIG);
	assert_string_equal(dst, "def");
	assert_int_equal(sn_slice_copy(sn_slice(NULL, 0), dst, sizeof(dst)), 0);
	assert_string_equal(dst, "");
	assert_int_equal(sn_slice_copy(SN_SLICE("a"), &none, 0), -SN_ETOOBIG);
	assert_int_equal(none, 'z');
}

/* Every sequence of 1 to 3 octets against a decoder written another way. */
static int by_definition(const unsigned char *p, size_t n)
{
	static const unsigned least[] = {0, 0, 0x80, 0x800, 0x10000};
	size_t i = 0;

	while (i < n) {
		size_t len = p[i] < 0x80       ? 1
			     : p[i] >> 5 == 6  ? 2
			     : p[i] >> 4 == 14 ? 3
			     : p[i] >> 3 == 30 ? 4
					       : 0;
		unsigned point;

		if (len == 0 || i + len > n)
			return 0;
		point = len == 1 ? p[i] : p[i] & (0xffu >> (len + 1));
		for (size_t k = 1; k < len; k++) {
			if (p[i + k] >> 6 != 2)
				return 0;
			point = point << 6 | (p[i + k] & 0x3fu);
		}
		if (point < least[len] || point > 0x10ffff || (point >= 0xd800 && point < 0xe000))
			return 0;
		i += len;
	}
	return 1;
}

static void test_utf8(void **state)
{
	unsigned char in[4];
	size_t wrong = 0;

	(void)state;
	for (unsigned v = 0; v < 1u << 24; v++) {
		for (size_t n = 1; n <= 3; n++) {
			if (n < 3 && v >> (8 * n))
				continue;
			in[0] = (unsigned char)v;
			in[1] = (unsigned char)(v >> 8);
			in[2] = (unsigned char)(v >> 16);
			wrong += sn_utf8_valid(sn_slice((char *)in, n)) != by_definition(in, n);
		}
	}
	assert_int_equal(wrong, 0);
	for (unsigned v = 0; v < 1u << 16; v++) {
		in[0] = (unsigned char)(0xe8 + v % 24);
		in[1] = (unsigned char)(v >> 8);
		in[2] = 0x80;
		in[3] = (unsigned char)v;
		wrong += sn_utf8_valid(sn_slice((char *)in, 4)) != by_definition(in, 4);
	}
	assert_int_equal(wrong, 0);
	for (size_t at = 0; at < 24; at++) /* long ASCII is looked at in pieces */
		for (size_t n = at + 1; n <= 24; n++) {
			char text[] = "aaaaaaaaaaaaaaaaaaaaaaaa";

			assert_true(sn_utf8_valid(sn_slice(text, n)));
			text[at] = '\xc3';
			assert_false(sn_utf8_valid(sn_slice(text, n)));
			text[at + 1] = '\xa9';
			assert_int_equal(sn_utf8_valid(sn_slice(text, n)), at + 1 < n);
		}
	assert_true(sn_utf8_valid(sn_slice(NULL, 0)));
	assert_true(sn_utf8_valid(SN_SLICE("\xf4\x8f\xbf\xbf")));
	assert_false(sn_utf8_valid(SN_SLICE("\xf4\x90\x80\x80")));
	assert_false(sn_utf8_valid(SN_SLICE("\xf0\x8f\xbf\xbf")));
}

static void test_distance(void **state)
{
	char a[66], b[66];

	(void)state;
	assert_int_equal(sn_str_distance("", "", 2), 0);
	assert_int_equal(sn_str_distance("", "ab", 2), 2);
	assert_int_equal(sn_str_distance("kitten", "sitting", 5), 3);
	assert_int_equal(sn_str_distance("timeout", "timeuot", 2), 2);
	assert_int_equal(sn_str_distance("flaw", "lawn", 4), 2);
	assert_true(sn_str_distance("abcdef", "uvwxyz", 2) > 2);
	memset(a, 'a', sizeof(a));
	a[64] = 0;
	memcpy(b, a, sizeof(a));
	assert_int_equal(sn_str_distance(a, b, 2), 0); /* 64: the last length that is looked at */
	b[63] = 'b';
	assert_int_equal(sn_str_distance(a, b, 2), 1);
	a[64] = 'a';
	a[65] = 0;
	assert_int_equal(sn_str_distance(a, a, 2), 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_compare),	 cmocka_unit_test(test_trim_and_cut),
		cmocka_unit_test(test_copy),	 cmocka_unit_test(test_utf8),
		cmocka_unit_test(test_distance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
