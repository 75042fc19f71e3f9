/* SPDX-License-Identifier: Apache-2.0 */
/* JSON: what is accepted, what is refused, streams at every split, writer round trips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static int parse(const char *text, size_t n, unsigned flags, char *out, size_t cap)
{
	struct sn_arena a;
	struct sn_val *v;
	struct sn_err err = {0};
	struct sn_buf buf;
	struct sn_jsonw w;
	int rc;

	sn_arena_init(&a, 0, 1u << 20);
	sn_buf_init(&buf, 0);
	rc = sn_json_parse(&a, text, n, flags, &v, &err);
	if (rc == 0) {
		sn_jsonw_init(&w, &buf);
		sn_jsonw_val(&w, v);
		assert_int_equal(sn_jsonw_end(&w), 0);
		sn_slice_copy(sn_buf_slice(&buf), out, cap);
	} else {
		assert_true(err.msg[0]);
	}
	sn_buf_done(&buf);
	sn_arena_done(&a);
	return rc;
}

static void test_round_trips(void **state)
{
	static const char *const texts[] = {
		"null",
		"true",
		"0",
		"-12",
		"9223372036854775807",
		"\"\"",
		"\"a\\\"b\\\\c\\n\"",
		"[]",
		"{}",
		"[1,[2,[3]],{\"a\":{\"b\":[null,false]}}]",
		"0.1",
		"1.5e+300",
		"\"\xc3\xa9\"",
	};
	char out[256];
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(texts); i++) {
		assert_int_equal(parse(texts[i], strlen(texts[i]), 0, out, sizeof(out)), 0);
		assert_string_equal(out, texts[i]);
	}
	assert_int_equal(parse("9223372036854775808", 19, 0, out, sizeof(out)), 0);
	assert_string_equal(out, "9.223372036854776e+18");
	assert_int_equal(parse("\"\\ud83d\\ude00\"", 14, 0, out, sizeof(out)), 0);
	assert_string_equal(out, "\"\xf0\x9f\x98\x80\"");
}

static void test_refused(void **state)
{
	static const char *const texts[] = {
		"",
		" ",
		"{",
		"[1,]",
		"{\"a\"}",
		"{\"a\":1,}",
		"01",
		"+1",
		"1 2",
		"nul",
		"'a'",
		"\"a",
		"\"\\ud800\"",
		"\"\\udc00\\ud800\"",
		"\"\xff\"",
		"\"\xed\xa0\x80\"",
		"\"a\\u0000b\"",
		"// x\n1",
		"1e999",
		"{\"a\\u0000\":1}",
	};
	char out[64];
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(texts); i++)
		if (parse(texts[i], strlen(texts[i]), 0, out, sizeof(out)) == 0)
			fail_msg("accepted: %s", texts[i]);
}

static void test_duplicates_and_depth(void **state)
{
	size_t n = 100000, i;
	char out[64], *deep = malloc(n);

	(void)state;
	assert_int_equal(parse("{\"a\":1,\"a\":2}", 13, 0, out, sizeof(out)), 0);
	assert_string_equal(out, "{\"a\":2}");
	assert_int_equal(
		parse("{\"a\":1,\"a\":2}", 13, SN_JSON_REFUSE_DUPLICATES, out, sizeof(out)),
		-SN_ESYNTAX);
	for (i = 0; i < n; i++)
		deep[i] = '[';
	assert_int_equal(parse(deep, n, 0, out, sizeof(out)), -SN_EDEPTH);
	free(deep);
}

struct seen {
	char text[1024];
	int rest;
};

static int collect(void *arg, const struct sn_val *item, bool is_rest)
{
	struct seen *s = arg;
	struct sn_buf buf;
	struct sn_jsonw w;

	sn_buf_init(&buf, 0);
	sn_jsonw_init(&w, &buf);
	sn_jsonw_val(&w, item);
	strncat(s->text, sn_buf_cstr(&buf), sizeof(s->text) - strlen(s->text) - 1);
	strncat(s->text, is_rest ? "!" : ";", 2);
	s->rest += is_rest;
	sn_buf_done(&buf);
	return 0;
}

static void test_streams_at_every_split(void **state)
{
	static const char events[] =
		"{\"type\":\"ADDED\",\"object\":{\"a\":[1,2]}}\n{\"type\":\"BOOKMARK\"}\n";
	static const char list[] = "{\"kind\":\"L\",\"items\":[{\"a\":1},{\"items\":[3]},4],"
				   "\"metadata\":{\"continue\":\"x\"}}";
	size_t split;

	(void)state;
	for (split = 0; split <= sizeof(events) - 1; split++) {
		struct seen s = {0};
		struct sn_json_stream *st = sn_json_stream_new(NULL, 65536, collect, &s);

		assert_int_equal(sn_json_stream_feed(st, events, split, NULL), 0);
		assert_int_equal(
			sn_json_stream_feed(st, events + split, sizeof(events) - 1 - split, NULL),
			0);
		assert_int_equal(sn_json_stream_end(st, NULL), 0);
		assert_string_equal(
			s.text,
			"{\"type\":\"ADDED\",\"object\":{\"a\":[1,2]}};{\"type\":\"BOOKMARK\"};");
		sn_json_stream_free(st);
	}
	for (split = 0; split <= sizeof(list) - 1; split++) {
		struct seen s = {0};
		struct sn_json_stream *st = sn_json_stream_new("items", 65536, collect, &s);

		assert_int_equal(sn_json_stream_feed(st, list, split, NULL), 0);
		assert_int_equal(
			sn_json_stream_feed(st, list + split, sizeof(list) - 1 - split, NULL), 0);
		assert_int_equal(sn_json_stream_end(st, NULL), 0);
		assert_string_equal(s.text, "{\"a\":1};{\"items\":[3]};4;{\"kind\":\"L\",\"items\":"
					    "[],\"metadata\":{\"continue\":\"x\"}}!");
		sn_json_stream_free(st);
	}
}

static void test_stream_cut_off_is_an_error(void **state)
{
	struct seen s = {0};
	struct sn_json_stream *st = sn_json_stream_new(NULL, 65536, collect, &s);
	struct sn_err err = {0};

	(void)state;
	assert_int_equal(sn_json_stream_feed(st, "{\"a\":", 5, &err), 0);
	assert_int_equal(sn_json_stream_end(st, &err), -SN_ESYNTAX);
	sn_json_stream_free(st);
}

static void test_item_too_large(void **state)
{
	struct seen s = {0};
	struct sn_json_stream *st = sn_json_stream_new(NULL, 256, collect, &s);
	struct sn_err err = {0};
	int i, rc = 0;

	(void)state;
	rc = sn_json_stream_feed(st, "[", 1, &err);
	for (i = 0; i < 1000 && rc == 0; i++)
		rc = sn_json_stream_feed(st, "\"0123456789\",", 13, &err);
	assert_int_equal(rc, -SN_ETOOBIG);
	sn_json_stream_free(st);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trips),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_duplicates_and_depth),
		cmocka_unit_test(test_streams_at_every_split),
		cmocka_unit_test(test_stream_cut_off_is_an_error),
		cmocka_unit_test(test_item_too_large),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
