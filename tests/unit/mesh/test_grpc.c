/* SPDX-License-Identifier: Apache-2.0 */
/* What gRPC says in HTTP/2's terms. */
#include "tests/unit/unit.h"

#include "base/num.h"
#include "mesh/grpc.h"

static void test_types(void **state)
{
	static const struct {
		const char *type;
		bool is;
	} rows[] = {
		{"application/grpc", true},	  {"application/grpc+proto", true},
		{"application/grpc+json", true},  {"application/grpc;charset=utf-8", true},
		{"application/grpc ; a=b", true}, {"Application/GRPC", true},
		{"application/grpc-web", false},  {"application/grpc-web+proto", false},
		{"application/grpcx", false},	  {"application/grp", false},
		{"application/json", false},	  {"", false},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_slice type = sn_slice_cstr(rows[i].type);

		if (sn_grpc_is_type(type) != rows[i].is)
			print_error("%.*s\n", SN_ARG(type));
		assert_int_equal(sn_grpc_is_type(type), rows[i].is);
	}
}

static void test_timeouts_are_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns; /* UINT64_MAX - 1: refused */
	} rows[] = {
		{"1n", 1},
		{"250u", 250000},
		{"250m", 250000000},
		{"1S", 1000000000},
		{"2M", 120000000000},
		{"3H", 10800000000000},
		{"0S", 0},
		{"00000001S", 1000000000},
		{"99999999n", 99999999},
		{"99999999M", 5999999940000000000},
		{"99999999H", UINT64_MAX}, /* longer than can be said: not shorter */
		{"5124095H", 18446742000000000000u},
		{"5124096H", UINT64_MAX},
		{"", UINT64_MAX - 1},
		{"1", UINT64_MAX - 1},
		{"S", UINT64_MAX - 1},
		{"1s", UINT64_MAX - 1}, /* units have a case */
		{"1h", UINT64_MAX - 1},
		{"1 S", UINT64_MAX - 1},
		{"+1S", UINT64_MAX - 1},
		{"-1S", UINT64_MAX - 1},
		{"1.5S", UINT64_MAX - 1},
		{"0x1S", UINT64_MAX - 1},
		{"1SS", UINT64_MAX - 1},
		{"123456789S", UINT64_MAX - 1}, /* nine digits */
		{"000000001S", UINT64_MAX - 1},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		bool good = rows[i].ns != UINT64_MAX - 1;
		uint64_t ns = 77;
		int rc = sn_grpc_timeout_ns(sn_slice_cstr(rows[i].text), &ns);

		if (rc != (good ? 0 : -SN_EPROTO) || ns != (good ? rows[i].ns : 77))
			print_error("%s: %d, %llu\n", rows[i].text, rc, (unsigned long long)ns);
		assert_int_equal(rc, good ? 0 : -SN_EPROTO);
		assert_true(ns == (good ? rows[i].ns : 77));
	}
}

static void test_timeouts_are_written(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} rows[] = {
		{0, "0n"},
		{1, "1n"},
		{99999999, "99999999n"},
		{100000000, "100000u"},
		{100000999, "100000u"},
		{1500000000, "1500000u"},
		{99999999999, "99999999u"},
		{100000000000, "100000m"},
		{99999999999999, "99999999m"},
		{100000000000000, "100000S"},
		{99999999999999999, "99999999S"},
		{100000000000000000, "1666666M"},
		{5999999999999999999u, "99999999M"},
		{6000000000000000000u, "1666666H"},
		{UINT64_MAX, "5124095H"},
	};
	char text[12];

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		size_t n = sn_grpc_timeout_format(rows[i].ns, text);

		assert_true(n <= 9);
		assert_slice(sn_slice(text, n), rows[i].text);
	}
}

/* Whatever passes a hop gets shorter, never longer, and by less than 1 in 100,000. */
static void test_never_longer(void **state)
{
	struct sn_rng rng;

	(void)state;
	sn_rng_seed(&rng, 1);
	for (int i = 0; i < 100000; i++) {
		uint64_t ns = sn_rng_next(&rng) >> sn_rng_below(&rng, 64), back = 0;
		char text[12];
		size_t n = sn_grpc_timeout_format(ns, text);

		assert_in_range(n, 2, 9); /* 8 digits and the unit */
		assert_int_equal(sn_grpc_timeout_ns(sn_slice(text, n), &back), 0);
		assert_true(back <= ns);
		assert_true(ns - back <= ns / 100000);
	}
}

static void test_statuses(void **state)
{
	static const struct {
		const char *text;
		int status;
	} rows[] = {{"0", 0},  {"5", 5},  {"16", 16},
		    {"17", 2}, {"", 2},	  {"-1", 2},
		    {" 0", 2}, {"ok", 2}, {"99999999999999999999", 2}};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++)
		assert_int_equal(sn_grpc_status(sn_slice_cstr(rows[i].text)), rows[i].status);
}

static void test_failures_of_ours(void **state)
{
	static const int rows[][2] = {{400, 13}, {401, 16}, {403, 7},  {404, 12}, {405, 12},
				      {408, 4},	 {429, 14}, {431, 13}, {500, 2},  {502, 14},
				      {503, 14}, {504, 4},  {508, 10}, {418, 2},  {200, 2}};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++)
		assert_int_equal(sn_grpc_status_of_http((unsigned)rows[i][0]), rows[i][1]);
}

static void test_what_http_calls_them(void **state)
{
	(void)state;
	assert_int_equal(sn_grpc_http_status(14), 503);
	assert_int_equal(sn_grpc_http_status(16), 401);
	assert_int_equal(sn_grpc_http_status(17), 500);
	assert_int_equal(sn_grpc_http_status(-1), 500);
	for (int i = 1; i <= 16; i++)
		assert_in_range(sn_grpc_http_status(i), 400, 599);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_types),
		cmocka_unit_test(test_timeouts_are_read),
		cmocka_unit_test(test_timeouts_are_written),
		cmocka_unit_test(test_never_longer),
		cmocka_unit_test(test_statuses),
		cmocka_unit_test(test_failures_of_ours),
		cmocka_unit_test(test_what_http_calls_them),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
