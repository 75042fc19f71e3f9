/* SPDX-License-Identifier: Apache-2.0 */
/* The scans of every level that this processor has, against the table: all octets, at every place,
 * in inputs of every length and alignment; and the lines that they take. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http/chars.h"

#define MAX_BYTES 100

static const char *expect_end(const char *p, const char *end, unsigned classes)
{
	while (p < end && sn_char_is(*p, classes))
		p++;
	return p;
}

static void check_scans(const struct sn_char_scan *s, const char *begin, const char *p,
			const char *end)
{
	assert_ptr_equal(s->token(begin, p, end), expect_end(p, end, SN_CH_TOKEN));
	assert_ptr_equal(s->target(begin, p, end), expect_end(p, end, SN_CH_TARGET));
	assert_ptr_equal(s->value(begin, p, end), expect_end(p, end, SN_CH_VALUE));
}

/* @n octets 'a' with @c at @at, in a block of its own, scanned from each of a few places. */
static void check_octet(const struct sn_char_scan *s, unsigned c, size_t n, size_t at)
{
	char *text = malloc(n);

	assert_non_null(text);
	memset(text, 'a', n);
	text[at] = (char)c;
	check_scans(s, text, text, text + n);
	check_scans(s, text, text + at, text + n);
	check_scans(s, text + at, text + at, text + n);
	check_scans(s, text, text + at / 2, text + n);
	check_scans(s, text, text + n, text + n);
	free(text);
}

static void test_octets(void **state)
{
	(void)state;
	for (int level = SN_CHAR_SCALAR; level <= SN_CHAR_AVX2; level++) {
		const struct sn_char_scan *s = sn_char_scan_at((enum sn_char_level)level);

		if (!s)
			continue;
		for (unsigned c = 0; c < 256; c++) {
			for (size_t n = 1; n < 68; n += n < 36 ? 5 : 13)
				for (size_t at = 0; at < n; at++)
					check_octet(s, c, n, at);
			check_octet(s, c, MAX_BYTES, MAX_BYTES - 1);
		}
	}
}

/* Every alignment and length, with octets that differ in class; a seed that is always the same. */
static void test_alignments(void **state)
{
	static const char some[] = "aZ09-_ \t:\r\n#\"\x7f\x80\xff%/!~";
	char text[64 + MAX_BYTES];
	uint32_t seed = 1;

	(void)state;
	for (int level = SN_CHAR_SCALAR; level <= SN_CHAR_AVX2; level++) {
		const struct sn_char_scan *s = sn_char_scan_at((enum sn_char_level)level);

		if (!s)
			continue;
		for (size_t offset = 0; offset < 64; offset++) {
			for (size_t n = 0; n < MAX_BYTES; n++) {
				for (size_t i = 0; i < sizeof(text); i++) {
					seed = seed * 1664525 + 1013904223;
					text[i] = seed >> 28 ? 'a' : some[(seed >> 8) % 20];
				}
				check_scans(s, text, text + offset, text + offset + n);
				check_scans(s, text + offset, text + offset, text + offset + n);
			}
		}
	}
}

/* The lines that the levels take from @in cut to every length, whatever is behind it; a level may
 * take fewer than the scalar one and leave them to the parser, but the same. */
static void check_lines(const char *in, uint32_t max, uint32_t want)
{
	const struct sn_char_scan *scalar = sn_char_scan_at(SN_CHAR_SCALAR);
	size_t n = strlen(in);
	struct sn_header a[8], b[8];

	for (int level = SN_CHAR_SCALAR; level <= SN_CHAR_AVX2; level++) {
		const struct sn_char_scan *s = sn_char_scan_at((enum sn_char_level)level);

		for (size_t len = 0; s && len <= n; len++) {
			char *text = malloc(len + 1);
			const char *p = text, *q = text;
			uint32_t n_a, n_b;

			assert_non_null(text);
			memcpy(text, in, len + 1);
			n_a = s->lines(text, &p, text + len, a, max);
			n_b = scalar->lines(text, &q, text + len, b, max);
			assert_true(n_a <= n_b);
			if (len == n)
				assert_int_equal(n_a, len >= 32 ? want : n_a);
			for (uint32_t i = 0; i < n_a; i++) {
				assert_true(sn_slice_eq(a[i].name, b[i].name));
				assert_true(sn_slice_eq(a[i].value, b[i].value));
			}
			assert_true(n_a < n_b || p == q);
			free(text);
		}
	}
}

static void test_lines(void **state)
{
	static const char *const refused[] = {
		" a: b\r\n", "a : b\r\n",    ": b\r\n",	    "a\r\n",
		"a: b\n",    "a: \x01\r\n",  "a: b\rc\r\n", "a: b\r\r\n",
		"\r\n",	     "a\x80: b\r\n", "a: \x7f\r\n", "a\n: b\r\n",
	};
	char in[256];

	(void)state;
	check_lines("Host: a\r\nX:\r\nY: \t b \t\r\nZ: \xe4\r\nLong-Name: c\r\n\r\n", 8, 5);
	check_lines("a:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\na:b\r\n", 3, 3);
	check_lines("a: 0123456789012345678901234567890123456789012345678901234567890123456789\r\n"
		    "b: 01234567890123456789012345678901234567890123456789\r\n\r\n",
		    8, 2);
	check_lines("Some-Name: some value\r\nMore: some value\r\na: b", 8, 2);
	for (size_t i = 0; i < SN_ARRAY_LEN(refused); i++) {
		snprintf(in, sizeof(in),
			 "Some-Name: some value\r\n%sMore-Of-It: some value\r\n\r\n", refused[i]);
		check_lines(in, 8, 1);
		snprintf(in, sizeof(in), "Some-Name: some value\r\nMore: some value\r\n%s",
			 refused[i]);
		check_lines(in, 8, 2);
	}
}

static void test_ieq(void **state)
{
	static const char lower[] = "http2-settings-of-no-use";
	char text[sizeof(lower)];

	(void)state;
	for (size_t n = 1; n < sizeof(lower); n++) {
		for (size_t at = 0; at < n; at++) {
			for (unsigned c = 0; c < 256; c++) {
				memcpy(text, lower, n);
				text[at] = (char)c;
				assert_int_equal(sn_char_ieq(text, lower, n),
						 sn_char_lower((char)c) == lower[at]);
			}
		}
	}
}

/* What was chosen before main is the last one that there is. */
static void test_choice(void **state)
{
	int best = SN_CHAR_AVX2;

	(void)state;
	while (!sn_char_scan_at((enum sn_char_level)best))
		best--;
	assert_ptr_equal(sn_char_scan_now, sn_char_scan_at((enum sn_char_level)best));
	assert_null(sn_char_scan_at((enum sn_char_level)(SN_CHAR_AVX2 + 1)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_octets), cmocka_unit_test(test_alignments),
		cmocka_unit_test(test_lines),  cmocka_unit_test(test_ieq),
		cmocka_unit_test(test_choice),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
