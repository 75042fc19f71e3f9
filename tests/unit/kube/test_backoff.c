/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting: doubling, jitter, the ceiling, and what the server asks for. */
#include "tests/unit/unit.h"

#include "kube/backoff.h"
#include "kube/client.h"

static void test_doubling_with_jitter(void **state)
{
	struct sn_rng rng;
	unsigned n, i;

	(void)state;
	sn_rng_seed(&rng, 1);
	for (n = 1; n < 200; n++) {
		uint64_t want = n <= 6 ? 800u << (n - 1) : 30000, low = UINT64_MAX, high = 0;

		want = want > 30000 ? 30000 : want;
		for (i = 0; i < 200; i++) {
			uint64_t ms = sn_backoff_ms(n, 0, &rng);

			low = ms < low ? ms : low;
			high = ms > high ? ms : high;
		}
		assert_in_range(low, want * 79 / 100, want);
		assert_in_range(high, want, want * 121 / 100);
	}
}

static void test_what_the_server_asks_for(void **state)
{
	struct sn_rng rng;

	(void)state;
	sn_rng_seed(&rng, 1);
	assert_true(sn_backoff_ms(1, 60000, &rng) >= 60000);
	assert_true(sn_backoff_ms(20, 1, &rng) >= 23000); /* never less than our own */
}

static void test_classes_of_answers(void **state)
{
	static const struct {
		unsigned status;
		int code;
	} rows[] = {{200, 0},
		    {201, 0},
		    {0, -SN_ERETRY},
		    {401, -SN_ERETRY},
		    {403, -SN_EPERMANENT},
		    {404, -SN_EPERMANENT},
		    {409, -SN_ECONFLICT},
		    {410, -SN_EGONE},
		    {422, -SN_EPERMANENT},
		    {429, -SN_ERETRY},
		    {500, -SN_ERETRY},
		    {503, -SN_ERETRY},
		    {301, -SN_EPERMANENT}};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++)
		assert_int_equal(sn_kube_code(rows[i].status), rows[i].code);
}

static void test_escaping(void **state)
{
	static const char *const rows[][2] = {
		{"web-1", "web-1"},    {"a.b", "a.b"},	 {"../x", "%2E%2E%2Fx"},
		{".", "%2E"},	       {"a b", "a%20b"}, {"a/b?c&d=e", "a%2Fb%3Fc%26d%3De"},
		{"\xc3\xa4", "%C3%A4"}};
	struct sn_buf b;
	size_t i;

	(void)state;
	sn_buf_init(&b, 0);
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		sn_buf_reset(&b);
		sn_kube_escape(&b, rows[i][0]);
		if (strcmp(rows[i][0], "../x") == 0)
			assert_null(strstr(sn_buf_cstr(&b), "/")); /* no way up */
		else
			assert_string_equal(sn_buf_cstr(&b), rows[i][1]);
	}
	sn_buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_doubling_with_jitter),
		cmocka_unit_test(test_what_the_server_asks_for),
		cmocka_unit_test(test_classes_of_answers),
		cmocka_unit_test(test_escaping),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
