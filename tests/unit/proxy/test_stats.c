/* SPDX-License-Identifier: Apache-2.0 */
/* Outcomes and how they are shown. */
#include "tests/unit/unit.h"

#include "proxy/stats.h"

static struct sn_stats s;

static int begin(void **state)
{
	(void)state;
	sn_stats_init(&s);
	return 0;
}

static int end(void **state)
{
	(void)state;
	sn_stats_done(&s);
	return 0;
}

static struct sn_stats_block *block(struct sn_stats *of)
{
	struct sn_stats_block *b = sn_stats_block(of, "outbound", "web", "r", "rule", "web-v2");

	assert_non_null(b);
	return b;
}

static uint64_t count(const struct sn_stats_block *b, unsigned status, int grpc)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < b->n_codes; i++)
		if (b->codes[i].status == status && b->codes[i].grpc == grpc)
			n += b->codes[i].n;
	return n;
}

static void assert_shown(const char *line, bool shown)
{
	struct sn_buf out;
	bool is;

	sn_buf_init(&out, 0);
	sn_stats_render(&s, &out);
	is = strstr(sn_buf_cstr(&out), line) != NULL;
	if (is != shown)
		print_error("%s\n%s", line, sn_buf_cstr(&out));
	sn_buf_done(&out);
	assert_int_equal(is, shown);
}

static void test_a_block_is_made_once(void **state)
{
	struct sn_stats_block *b = block(&s);

	(void)state;
	assert_ptr_equal(block(&s), b);
	assert_ptr_not_equal(sn_stats_block(&s, "inbound", "web", "r", "rule", "web-v2"), b);
	assert_ptr_not_equal(sn_stats_block(&s, "outbound", "web", "r", "rule", ""), b);
	assert_int_equal(sn_map_count(&s.blocks), 3);
}

static void test_each_outcome_has_a_row(void **state)
{
	struct sn_stats_block *b = block(&s);

	(void)state;
	for (int i = 0; i < 3; i++) {
		sn_stats_response(b, 200, -1, 1000000);
		sn_stats_response(b, 200, 0, 1000000);
		sn_stats_response(b, 200, 14, 1000000);
		sn_stats_response(b, 404, -1, 1000000);
		sn_stats_response(b, 0, -1, 1000000);
	}
	assert_int_equal(b->n_codes, 5);
	assert_int_equal(count(b, 200, -1), 3);
	assert_int_equal(count(b, 200, 0), 3);
	assert_int_equal(count(b, 200, 14), 3);
	assert_int_equal(count(b, 0, -1), 3);
	assert_int_equal(b->latency.count, 15);
}

/* A server that makes up codes does not make up series. */
static void test_past_64_the_class_counts(void **state)
{
	struct sn_stats_block *b = block(&s);

	(void)state;
	for (int round = 0; round < 2; round++)
		for (unsigned status = 200; status < 1000; status++)
			sn_stats_response(b, status, -1, 1);
	assert_in_range(b->n_codes, 64, 64 + 10);
	assert_int_equal(count(b, 263, -1), 2); /* the last one with a row of its own */
	assert_int_equal(count(b, 264, -1), 0);
	assert_int_equal(count(b, 200, -1), 2 * (1 + 299 - 263));
	assert_int_equal(count(b, 300, -1), 200);
	assert_int_equal(count(b, 500, -1), 200);
	assert_int_equal(b->latency.count, 1600);
}

static void test_the_workers_are_added_up(void **state)
{
	struct sn_stats sum;
	struct sn_stats_block *b = block(&s);

	(void)state;
	sn_stats_init(&sum);
	b->requests = 3;
	b->filtered[SN_FILTERED_MIRROR_FAILED] = 4;
	sn_stats_response(b, 200, -1, 1);
	sn_stats_response(b, 503, -1, 1);
	s.refused[SN_REFUSE_LOOP] = 2;
	s.tcp[1].opened = 5;
	s.tcp[1].closed = 4;
	b->tcp = (struct sn_stats_tcp){.opened = 3, .closed = 2, .now = 1};
	b->dst = (struct sn_stream_count){.opened = 6, .closed = 5};
	assert_int_equal(sn_stats_add(&sum, &s), 0);
	sn_stats_response(b, 200, -1, 1);
	assert_int_equal(sn_stats_add(&sum, &s), 0);
	b = block(&sum);
	assert_int_equal(b->requests, 6);
	assert_int_equal(b->filtered[SN_FILTERED_MIRROR_FAILED], 8);
	assert_int_equal(count(b, 200, -1), 3);
	assert_int_equal(count(b, 503, -1), 2);
	assert_int_equal(b->latency.count, 5);
	assert_int_equal(sum.refused[SN_REFUSE_LOOP], 4);
	assert_int_equal(sum.tcp[1].opened, 10);
	assert_int_equal(b->tcp.opened, 6);
	assert_int_equal(b->tcp.closed, 4);
	assert_int_equal(b->tcp.now, 2);
	assert_int_equal(b->dst.opened, 12);
	assert_int_equal(b->dst.closed, 10);
	sn_stats_done(&sum);
}

#define SRC "{direction=\"outbound\",peer=\"src\""
#define DST "{direction=\"outbound\",peer=\"dst\""
#define LABELS                                                                                     \
	"{direction=\"outbound\",dst_service=\"web\",route_name=\"r\",rule_name=\"rule\","         \
	"backend_name=\"web-v2\""

static void test_labels(void **state)
{
	static const struct {
		unsigned status;
		int grpc;
		const char *labels;
	} rows[] = {
		{200, -1, ",classification=\"success\",status_code=\"200\"} 1\n"},
		{404, -1, ",classification=\"success\",status_code=\"404\"} 1\n"},
		{500, -1, ",classification=\"failure\",status_code=\"500\"} 1\n"},
		{0, -1, ",classification=\"failure\"} 1\n"},
		{200, 0,
		 ",classification=\"success\",status_code=\"200\",grpc_status_code=\"0\"} "
		 "1\n"},
		{200, 5,
		 ",classification=\"failure\",status_code=\"200\",grpc_status_code=\"5\"} "
		 "1\n"},
		{999, 16,
		 ",classification=\"failure\",status_code=\"999\",grpc_status_code=\"16\"}"
		 " 1\n"},
	};
	char line[400];

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		snprintf(line, sizeof(line), "response_total" LABELS "%s", rows[i].labels);
		assert_shown(line, false);
		sn_stats_response(block(&s), rows[i].status, rows[i].grpc, 2000000);
		assert_shown(line, true);
	}
	block(&s)->requests = 9;
	assert_shown("request_total" LABELS "} 9\n", true);
	assert_shown("response_latency_ms_count" LABELS "} 7\n", true);
	s.tcp[0] = (struct sn_stats_tcp){.opened = 3, .closed = 1, .now = 2};
	assert_shown("tcp_open_total" SRC "} 3\n", true);
	assert_shown("tcp_close_total" SRC "} 1\n", true);
	assert_shown("tcp_open_connections" SRC "} 2\n", true);
	assert_shown("tcp_open_connections{direction=\"inbound\",peer=\"src\"} 0\n", true);
	assert_shown("dst_service=\"web\"} 0\n", false); /* nothing of it yet */
	block(&s)->tcp.now = 1;
	block(&s)->dst = (struct sn_stream_count){.opened = 7, .closed = 5};
	assert_shown("tcp_open_connections" SRC ",dst_service=\"web\"} 1\n", true);
	assert_shown("tcp_open_total" DST ",dst_service=\"web\"} 7\n", true);
	assert_shown("tcp_close_total" DST ",dst_service=\"web\"} 5\n", true);
	assert_shown("tcp_open_connections" DST ",dst_service=\"web\"} 2\n", true);
}

static void test_every_filter_action_has_a_name(void **state)
{
	struct sn_stats_block *b = sn_stats_block(&s, "outbound", "web", "r", "rule", "");
	char line[200];

	(void)state;
	assert_shown("# TYPE sennit_filter_actions_total counter\n", true);
	assert_shown("sennit_filter_actions_total{", false);
	for (unsigned i = 0; i < SN_FILTERED_COUNT; i++) {
		const char *name = sn_filter_action_name((enum sn_filter_action)i);

		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(name,
						sn_filter_action_name((enum sn_filter_action)k));
		b->filtered[i] = i + 1;
		snprintf(line, sizeof(line),
			 "sennit_filter_actions_total{direction=\"outbound\",dst_service=\"web\","
			 "route_name=\"r\",rule_name=\"rule\",action=\"%s\"} %u\n",
			 name, i + 1);
		assert_shown(line, true);
	}
}

static void test_every_refusal_has_a_name(void **state)
{
	char line[100];

	(void)state;
	for (unsigned i = 0; i < SN_REFUSE_COUNT; i++) {
		const char *name = sn_refusal_name((enum sn_refusal_reason)i);

		assert_non_null(name);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(name, sn_refusal_name((enum sn_refusal_reason)k));
		s.refused[i] = i + 1;
		snprintf(line, sizeof(line), "sennit_refused_total{reason=\"%s\"} %u\n", name,
			 i + 1);
		assert_shown(line, true);
	}
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(test_a_block_is_made_once),
		T(test_each_outcome_has_a_row),
		T(test_past_64_the_class_counts),
		T(test_the_workers_are_added_up),
		T(test_labels),
		T(test_every_refusal_has_a_name),
		T(test_every_filter_action_has_a_name),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
