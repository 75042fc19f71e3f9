/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms: the error bound at every scale; the Prometheus text with hostile labels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <stdio.h>
#include <sys/stat.h>

#include "base/metrics.h"

static void test_precision(void **state)
{
	(void)state;
	for (unsigned shift = 0; shift < 43; shift++)
		for (uint64_t sub = 0; sub < 32; sub++) {
			uint64_t v = ((32 + sub) << shift) / 32 + sub % 2, p;
			struct sn_histo h = {0};

			sn_histo_record(&h, v);
			p = sn_histo_percentile(&h, 50);
			assert_true(p >= v && p - v <= v / 16);
			assert_int_equal(sn_histo_count_le(&h, p), 1);
			assert_int_equal(p ? sn_histo_count_le(&h, p - 1) : 0, 0);
		}
}

static void test_extremes(void **state)
{
	struct sn_histo h = {0};

	(void)state;
	assert_int_equal(sn_histo_percentile(&h, 99), 0);
	assert_int_equal(sn_histo_count_le(&h, UINT64_MAX), 0);
	sn_histo_record(&h, 0);
	assert_int_equal(sn_histo_percentile(&h, 100), 0);
	sn_histo_record(&h, UINT64_MAX); /* the last bucket takes it */
	assert_int_equal(h.count, 2);
	assert_int_equal(sn_histo_count_le(&h, UINT64_MAX), 2);
	assert_int_equal(sn_histo_percentile(&h, 0), 0);
	assert_true(sn_histo_percentile(&h, 100) > (uint64_t)1 << 42);
}

static void test_percentiles_and_merge(void **state)
{
	struct sn_histo a = {0}, b = {0};

	(void)state;
	for (uint64_t i = 1; i <= 1000; i++)
		sn_histo_record(i % 2 ? &a : &b, i * 1000);
	sn_histo_merge(&a, &b);
	assert_int_equal(a.count, 1000);
	assert_int_equal(a.sum, 500500000);
	for (unsigned p = 1; p <= 100; p++) {
		uint64_t v = sn_histo_percentile(&a, p);

		assert_in_range(v, p * 10000, p * 10000 * 17 / 16);
	}
}

static void test_labels(void **state)
{
	const struct sn_metrics_label labels[] = {
		{"a", "x\"y\\z\nw"}, {"b", NULL}, {"c", "\xc3\xa9{},="}};
	struct sn_buf out;

	(void)state;
	sn_buf_init(&out, 0);
	sn_metrics_family(&out, "m", "counter", "Help.");
	sn_metrics_u64(&out, "m", labels, 3, UINT64_MAX);
	sn_metrics_double(&out, "m", NULL, 0, 0.5);
	assert_string_equal(sn_buf_cstr(&out), "# HELP m Help.\n# TYPE m counter\n"
					       "m{a=\"x\\\"y\\\\z\\nw\",b=\"\",c=\"\xc3\xa9{},=\"} "
					       "18446744073709551615\nm 0.5\n");
	sn_buf_done(&out);
}

static uint64_t sample(const char *text, const char *name)
{
	const char *at = strstr(text, name);

	if (!at)
		fail_msg("%s is missing", name);
	assert_int_equal(at[strlen(name)], ' ');
	return strtoull(at + strlen(name) + 1, NULL, 10);
}

static void test_latency(void **state)
{
	const struct sn_metrics_label label = {"dst", "a"};
	struct sn_histo h = {0};
	struct sn_buf out;
	const char *text;
	uint64_t last = 0;
	size_t n = 0;

	(void)state;
	sn_buf_init(&out, 0);
	for (uint64_t ms = 0; ms < 100; ms++)
		sn_histo_record(&h, ms * 1000000 + 1000);
	sn_histo_record(&h, 60000000000u);
	sn_metrics_latency_ms(&out, "lat", &label, 1, &h);
	text = sn_buf_cstr(&out);
	for (const char *p = text; (p = strstr(p, "lat_bucket{dst=\"a\",le=\"")); n++) {
		uint64_t v;

		p = strchr(p, '}') + 2;
		v = strtoull(p, NULL, 10);
		assert_true(v >= last); /* cumulative */
		last = v;
	}
	assert_int_equal(n, 26);
	assert_in_range(sample(text, "le=\"10\"}"), 9, 11);
	assert_in_range(sample(text, "le=\"50\"}"), 46, 51);
	assert_int_equal(sample(text, "le=\"50000\"}"), 100);
	assert_int_equal(sample(text, "le=\"+Inf\"}"), 101);
	assert_int_equal(sample(text, "lat_count{dst=\"a\"}"), 101);
	assert_int_equal(sample(text, "lat_sum{dst=\"a\"}"), 64950);
	sn_buf_done(&out);
}

/* A sum that has grown for days still shows a request of a millisecond. */
static void test_sum_keeps_growing(void **state)
{
	struct sn_histo h = {.count = 1, .sum = 123456789012000000u};
	uint64_t before, after;
	struct sn_buf out;

	(void)state;
	sn_buf_init(&out, 0);
	sn_metrics_latency_ms(&out, "lat", NULL, 0, &h);
	before = sample(sn_buf_cstr(&out), "lat_sum");
	sn_buf_reset(&out);
	sn_histo_record(&h, 1000000);
	sn_metrics_latency_ms(&out, "lat", NULL, 0, &h);
	after = sample(sn_buf_cstr(&out), "lat_sum");
	assert_int_equal(before, 123456789012u);
	assert_int_equal(after, 123456789013u);
	sn_buf_done(&out);
}

static void test_process(void **state)
{
	struct sn_buf out;
	uint64_t fds;
	FILE *f;

	(void)state;
	sn_buf_init(&out, 0);
	sn_metrics_process(&out);
	assert_true(sample(sn_buf_cstr(&out), "\nprocess_resident_memory_bytes") > 100000);
	fds = sample(sn_buf_cstr(&out), "\nprocess_open_fds");
	f = fopen("/dev/null", "re");
	assert_non_null(f);
	sn_buf_reset(&out);
	sn_metrics_process(&out);
	assert_int_equal(sample(sn_buf_cstr(&out), "\nprocess_open_fds"), fds + 1);
	fclose(f);
	sn_buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_precision),
		cmocka_unit_test(test_extremes),
		cmocka_unit_test(test_percentiles_and_merge),
		cmocka_unit_test(test_labels),
		cmocka_unit_test(test_latency),
		cmocka_unit_test(test_sum_keeps_growing),
		cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
