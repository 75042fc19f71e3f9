/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers: strictness, limits to the last value, round trips of durations and sizes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/num.h"

static int u64(const char *s, uint64_t max, uint64_t *ret)
{
	return sn_num_u64(sn_slice_cstr(s), max, ret);
}

static void test_u64(void **state)
{
	static const char *const bad[] = {"",	 " 1",	"1 ",  "+1",	   "-1",
					  "0x1", "1.0", "1e3", "\xd9\xa1", "99999999999999999999x"};
	uint64_t v = 77;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(bad); i++)
		assert_int_equal(u64(bad[i], UINT64_MAX, &v), -SN_ESYNTAX);
	assert_int_equal(sn_num_u64(SN_SLICE("1\0"), UINT64_MAX, &v), -SN_ESYNTAX);
	assert_int_equal(u64("18446744073709551616", UINT64_MAX, &v), -SN_ETOOBIG);
	assert_int_equal(u64("184467440737095516150", UINT64_MAX, &v), -SN_ETOOBIG);
	assert_int_equal(u64("65536", 65535, &v), -SN_ETOOBIG);
	assert_int_equal(v, 77);
	assert_int_equal(u64("18446744073709551615", UINT64_MAX, &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(u64("0000000000000000000000065535", 65535, &v), 0);
	assert_int_equal(v, 65535);
	assert_int_equal(u64("0", 0, &v), 0);
	assert_int_equal(v, 0);
}

static void test_hex(void **state)
{
	uint64_t v = 77;

	(void)state;
	assert_int_equal(sn_num_hex(SN_SLICE(""), &v), -SN_ESYNTAX);
	assert_int_equal(sn_num_hex(SN_SLICE("0x1"), &v), -SN_ESYNTAX);
	assert_int_equal(sn_num_hex(SN_SLICE("g"), &v), -SN_ESYNTAX);
	assert_int_equal(sn_num_hex(SN_SLICE("-1"), &v), -SN_ESYNTAX);
	assert_int_equal(sn_num_hex(SN_SLICE("00000000000000001"), &v), -SN_ESYNTAX);
	assert_int_equal(v, 77);
	assert_int_equal(sn_num_hex(SN_SLICE("ffffFFFFffffFFFF"), &v), 0);
	assert_true(v == UINT64_MAX);
	assert_int_equal(sn_num_hex(SN_SLICE("0aF"), &v), 0);
	assert_int_equal(v, 0xaf);
}

static void test_duration(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} good[] = {
		{"0s", 0},	  {"500ms", 500},	    {"1h30m", 5400000},
		{"1m0s", 60000},  {"99999h", 359996400000}, {"1h1m1s1ms", 3661001},
		{"90m", 5400000}, {"00001s", 1000},
	};
	static const char *const bad[] = {"",	     "1",    "s",	    "-1s", "1.5s",
					  "1S",	     "1 s",  " 1s",	    "1s ", "1d",
					  "100000s", "1s1s", "1h1m1s1ms1h", "ms",  "1us"};
	uint64_t ms = 77;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(bad); i++)
		assert_int_equal(sn_num_duration_ms(sn_slice_cstr(bad[i]), &ms), -SN_ESYNTAX);
	assert_int_equal(ms, 77);
	for (size_t i = 0; i < SN_ARRAY_LEN(good); i++) {
		assert_int_equal(sn_num_duration_ms(sn_slice_cstr(good[i].text), &ms), 0);
		assert_true(ms == good[i].ms);
	}
}

static void test_duration_round_trip(void **state)
{
	static const uint64_t values[] = {0,	 1,	  999,	   1000,     59999,	   60000,
					  90000, 3599999, 3600000, 86399999, 359996400000u};
	char text[32];
	uint64_t ms;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(values); i++) {
		sn_num_format_duration(values[i], text, sizeof(text));
		assert_int_equal(sn_num_duration_ms(sn_slice_cstr(text), &ms), 0);
		assert_true(ms == values[i]);
	}
	sn_num_format_duration(90500, text, sizeof(text));
	assert_string_equal(text, "1m30s500ms");
	sn_num_format_duration(UINT64_MAX, text, sizeof(text)); /* fits */
	assert_string_equal(text, "5124095576030h25m51s615ms");
	memset(text, 'z', sizeof(text));
	sn_num_format_duration(3661001, text, 4); /* cut, not past the end */
	assert_int_equal(text[3], 0);
	assert_int_equal(text[4], 'z');
}

static void test_size(void **state)
{
	static const struct {
		const char *text;
		int rc;
		uint64_t bytes;
	} rows[] = {
		{"0", 0, 0},
		{"512", 0, 512},
		{"64KiB", 0, 65536},
		{"1MiB", 0, 1u << 20},
		{"2GiB", 0, 2ull << 30},
		{"9223372036854775807", 0, INT64_MAX},
		{"9223372036854775808", -SN_ETOOBIG, 0},
		{"8589934591GiB", 0, 8589934591ull << 30},
		{"8589934592GiB", -SN_ETOOBIG, 0},
		{"18446744073709551616", -SN_ETOOBIG, 0},
		{"", -SN_ESYNTAX, 0},
		{"KiB", -SN_ESYNTAX, 0},
		{"1K", -SN_ESYNTAX, 0},
		{"1kib", -SN_ESYNTAX, 0},
		{"1 KiB", -SN_ESYNTAX, 0},
		{"1KiBs", -SN_ESYNTAX, 0},
		{"-1KiB", -SN_ESYNTAX, 0},
	};
	char text[32];
	uint64_t v;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		v = 77;
		assert_int_equal(sn_num_size_bytes(sn_slice_cstr(rows[i].text), &v), rows[i].rc);
		assert_true(v == (rows[i].rc ? 77 : rows[i].bytes));
		if (rows[i].rc)
			continue;
		sn_num_format_size(v, text, sizeof(text));
		v = 77;
		assert_int_equal(sn_num_size_bytes(sn_slice_cstr(text), &v), 0);
		assert_true(v == rows[i].bytes);
	}
	sn_num_format_size(1536, text, sizeof(text));
	assert_string_equal(text, "1536");
	sn_num_format_size(3u << 20, text, sizeof(text));
	assert_string_equal(text, "3MiB");
	sn_num_format_size(0, text, sizeof(text));
	assert_string_equal(text, "0");
}

static void test_random(void **state)
{
	struct sn_rng a, b;
	unsigned hits[7] = {0};

	(void)state;
	sn_rng_seed(&a, 0);
	sn_rng_seed(&b, 0);
	assert_true(a.s[0] | a.s[1]); /* all zero would stay so */
	for (int i = 0; i < 100; i++)
		assert_true(sn_rng_next(&a) == sn_rng_next(&b));
	for (int i = 0; i < 70000; i++) {
		uint32_t n = sn_rng_below(&a, 7);

		assert_in_range(n, 0, 6);
		hits[n]++;
	}
	for (int i = 0; i < 7; i++) /* 10 sigma */
		assert_in_range(hits[i], 9070, 10930);
	for (int i = 0; i < 100; i++)
		assert_int_equal(sn_rng_below(&a, 1), 0);
	assert_true(sn_rng_entropy() != sn_rng_entropy());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_u64),	 cmocka_unit_test(test_hex),
		cmocka_unit_test(test_duration), cmocka_unit_test(test_duration_round_trip),
		cmocka_unit_test(test_size),	 cmocka_unit_test(test_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
