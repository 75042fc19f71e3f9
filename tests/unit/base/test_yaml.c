/* SPDX-License-Identifier: Apache-2.0 */
/* YAML: the core schema, every refusal with its place, bounds on hostile input, round trips. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <stdio.h>
#include <time.h>

#include "base/json.h"
#include "base/yaml.h"

/* Parses an exact copy (so that a read past the end is seen). */
static int parse_n(struct sn_arena *a, const char *p, size_t n, struct sn_val **ret,
		   struct sn_yaml_mark *mark, struct sn_err *err)
{
	char *copy = malloc(n ? n : 1);
	int rc;

	assert_non_null(copy);
	memcpy(copy, p, n);
	rc = sn_yaml_parse(a, "f.yaml", copy, n, ret, mark, err);
	free(copy);
	return rc;
}

static void expect(const char *text, const char *json)
{
	struct sn_err err = {0};
	struct sn_jsonw w;
	struct sn_arena a;
	struct sn_buf out;
	struct sn_val *v;

	sn_arena_init(&a, 0, 0);
	sn_buf_init(&out, 0);
	if (parse_n(&a, text, strlen(text), &v, NULL, &err))
		fail_msg("%s: %s", err.msg, text);
	sn_jsonw_init(&w, &out);
	sn_jsonw_val(&w, v);
	assert_int_equal(sn_jsonw_end(&w), 0);
	assert_string_equal(sn_buf_cstr(&out), json);
	sn_buf_done(&out);
	sn_arena_done(&a);
}

static void refuse(const char *p, size_t n, int code, uint32_t line, uint32_t col, const char *msg)
{
	struct sn_yaml_mark mark = {0, 0};
	struct sn_err err = {0};
	struct sn_val *v = NULL;
	struct sn_arena a;

	sn_arena_init(&a, 0, 64u << 20);
	assert_int_equal(parse_n(&a, p, n, &v, &mark, &err), code);
	assert_null(v);
	assert_int_equal(err.code, -code);
	if (!strstr(err.msg, msg))
		fail_msg("\"%s\" is not in \"%s\"", msg, err.msg);
	if (line) {
		assert_int_equal(mark.line, line);
		assert_int_equal(mark.col, col);
	}
	sn_arena_done(&a);
}

static void test_core_schema(void **state)
{
	(void)state;
	expect("", "null");
	expect("# nothing\n", "null");
	expect("---\n", "null");
	expect("~", "null");
	expect("[null, Null, NULL, nULL]", "[null,null,null,\"nULL\"]");
	expect("[true, True, TRUE, tRUE, yes, on, n]",
	       "[true,true,true,\"tRUE\",\"yes\",\"on\",\"n\"]");
	expect("[0, -0, +12, 0o17, 0x1F, 017, 0b1, 1_000]", "[0,0,12,15,31,17,\"0b1\",\"1_000\"]");
	expect("[9223372036854775807, -9223372036854775808]",
	       "[9223372036854775807,-9223372036854775808]");
	expect("[0o8, 0xG, -0x1, 1.2.3, 1e, ., -, e1, +]",
	       "[\"0o8\",\"0xG\",\"-0x1\",\"1.2.3\",\"1e\",\".\",\"-\",\"e1\",\"+\"]");
	expect("[0.5, .5, 5e-1]", "[0.5,0.5,0.5]");
	expect("[.inf, .nan, 1e999]", "[\".inf\",\".nan\",\"1e999\"]");
	expect("['1', \"true\", '']", "[\"1\",\"true\",\"\"]");
	expect("2001-12-14", "\"2001-12-14\"");
	expect("12:30:45", "\"12:30:45\""); /* no base 60 */
	expect("a: 1\nb:\n  - x\n  - {c: }\n", "{\"a\":1,\"b\":[\"x\",{\"c\":null}]}");
	expect("|\n a\n  b\n", "\"a\\n b\\n\"");
	expect("\xef\xbb\xbf"
	       "a: 1",
	       "{\"a\":1}"); /* a byte order mark */
	expect("a: 1\r\nb: 2\r\n", "{\"a\":1,\"b\":2}");
}

static void test_places(void **state)
{
	const char text[] = "a: 1\nlist:\n  - x: {y: 2}\n";
	const struct sn_val *v;
	struct sn_err err = {0};
	struct sn_val *top;
	struct sn_arena a;

	(void)state;
	sn_arena_init(&a, 0, 0);
	assert_int_equal(sn_yaml_parse(&a, "f", text, sizeof(text) - 1, &top, NULL, &err), 0);
	v = sn_val_get(sn_val_get(sn_val_at(sn_val_get(top, "list"), 0), "x"), "y");
	assert_non_null(v);
	assert_int_equal(v->line, 3);
	assert_int_equal(v->col, 12);
	assert_string_equal(v->file, "f");
	assert_int_equal(top->map.members[1].line, 2);
	assert_int_equal(top->map.members[1].col, 1);
	sn_arena_done(&a);
}

#define T(lit) (lit), sizeof(lit) - 1

static void test_refused(void **state)
{
	(void)state;
	refuse(T("a: 1\nb: 2\na: 3\n"), -SN_ESYNTAX, 3, 1, "duplicate key: \"a\"");
	/* among many: the sixteenth key, the seventeenth, and one behind them */
	refuse(T("{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: 1, m: 1, "
		 "n: 1, o: 1, p: 1, p: 1}"),
	       -SN_ESYNTAX, 1, 98, "duplicate key: \"p\"");
	refuse(T("{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: 1, m: 1, "
		 "n: 1, o: 1, p: 1, q: 1,\nq: 1}"),
	       -SN_ESYNTAX, 2, 1, "duplicate key: \"q\"");
	refuse(T("{a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1, h: 1, i: 1, j: 1, k: 1, l: 1, m: 1, "
		 "n: 1, o: 1, p: 1, q: 1, r: 1, s: 1,\na: 1}"),
	       -SN_ESYNTAX, 2, 1, "duplicate key: \"a\"");
	refuse(T("{a: 1, \"a\": 2}"), -SN_ESYNTAX, 1, 8, "duplicate key");
	refuse(T("a:\n\tb: 1\n"), -SN_ESYNTAX, 2, 1, "not valid YAML");
	refuse(T("a: 1\0"), -SN_ESYNTAX, 1, 5, "NUL");
	refuse(T("a: \"x\\0y\"\n"), -SN_ESYNTAX, 1, 4, "NUL");
	refuse(T("\"x\\0y\": 1\n"), -SN_ESYNTAX, 1, 1, "NUL");
	refuse(T("a: 1\nb: \xff\n"), -SN_ESYNTAX, 2, 1, "UTF-8");
	refuse(T("a: \xc0\x80\n"), -SN_ESYNTAX, 1, 1, "UTF-8");
	refuse(T("a: \xed\xa0\x80\n"), -SN_ESYNTAX, 1, 1, "UTF-8");
	refuse(T("a: 1\nb: \xe2\x82"), -SN_ESYNTAX, 2, 1, "UTF-8");
	refuse(T("a: \x07\n"), -SN_ESYNTAX, 0, 0, "not valid YAML");
	refuse(T("a: !!str 1\n"), -SN_ESYNTAX, 1, 4, "tags");
	refuse(T("a: !x [1]\n"), -SN_ESYNTAX, 1, 4, "tags");
	refuse(T("!!map {a: 1}\n"), -SN_ESYNTAX, 1, 1, "tags");
	refuse(T("!!int 1: 2\n"), -SN_ESYNTAX, 1, 1, "key");
	refuse(T("b: &b {c: 1}\na:\n  <<: *b\n"), -SN_ESYNTAX, 3, 3, "merge");
	refuse(T("? [a]\n: 1\n"), -SN_ESYNTAX, 1, 3, "key");
	refuse(T("a: *x\n"), -SN_ESYNTAX, 1, 4, "alias");
	refuse(T("a: &x [*x]\n"), -SN_ESYNTAX, 1, 8, "alias"); /* no cycles */
	refuse(T("a: 1\n---\nb: 2\n"), -SN_ESYNTAX, 3, 1, "more than one document");
	refuse(T("[1, 2"), -SN_ESYNTAX, 0, 0, "not valid YAML");
	refuse(T("a: 'x"), -SN_ESYNTAX, 0, 0, "not valid YAML");
	refuse(T("%YAML 9.9\n---\na: 1\n"), -SN_ESYNTAX, 0, 0, "not valid YAML");
}

/* @n times @open, then @n times @shut. */
static char *nested(const char *open, const char *shut, size_t n, size_t *ret_n)
{
	size_t no = strlen(open), ns = strlen(shut);
	char *p = malloc(n * (no + ns) + 1);

	assert_non_null(p);
	for (size_t i = 0; i < n; i++) {
		memcpy(p + i * no, open, no);
		memcpy(p + n * no + i * ns, shut, ns);
	}
	*ret_n = n * (no + ns);
	p[*ret_n] = 0;
	return p;
}

static void test_depth(void **state)
{
	static const char *const shapes[][2] = {
		{"[", "]"}, {"{a: ", "}"}, {"- ", ""}, {"[{a: ", "}]"}};
	struct sn_err err = {0};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(shapes); i++) {
		size_t most = i == 3 ? 32 : 64, n;
		struct sn_arena a;
		struct sn_val *v;
		/* the innermost is a scalar, which is a level too, or nothing */
		char *text = nested(shapes[i][0], shapes[i][1], i == 0 ? most : most - 1, &n);

		sn_arena_init(&a, 0, 0);
		assert_int_equal(parse_n(&a, text, n, &v, NULL, &err), 0);
		sn_arena_done(&a);
		free(text);
		text = nested(shapes[i][0], shapes[i][1], most + 1, &n);
		refuse(text, n, -SN_EDEPTH, 0, 0, "64");
		free(text);
		text = nested(shapes[i][0], shapes[i][1],
			      SN_YAML_INPUT_MAX / (strlen(shapes[i][0]) + strlen(shapes[i][1])),
			      &n);
		refuse(text, n, -SN_EDEPTH, 0, 0, "64");
		free(text);
	}
}

static void test_size(void **state)
{
	size_t n = SN_YAML_INPUT_MAX;
	char *text = malloc(n + 1);
	struct sn_err err = {0};
	struct sn_arena a;
	struct sn_val *v;

	(void)state;
	assert_non_null(text);
	memset(text, 'x', n + 1);
	sn_arena_init(&a, 0, 0);
	assert_int_equal(sn_yaml_parse(&a, "f", text, n, &v, NULL, &err), 0);
	assert_int_equal(sn_val_slice(v).n, n);
	sn_arena_done(&a);
	refuse(text, n + 1, -SN_ETOOBIG, 1, 1, "1 MiB");
	free(text);
}

/* Ten levels of ten aliases: 10^10 values in 300 bytes. */
static void test_alias_bomb(void **state)
{
	struct sn_buf b;

	(void)state;
	sn_buf_init(&b, 0);
	sn_buf_puts(&b, "a0: &a0 x\n");
	for (int i = 1; i <= 10; i++) {
		sn_buf_printf(&b, "a%d: &a%d [", i, i);
		for (int k = 0; k < 10; k++)
			sn_buf_printf(&b, "%s*a%d", k ? "," : "", i - 1);
		sn_buf_puts(&b, "]\n");
	}
	refuse(sn_buf_slice(&b).p, sn_buf_len(&b), -SN_ETOOBIG, 0, 0, "aliases expand");
	sn_buf_done(&b);
	expect("a: &x {k: [1]}\nb: *x\nc: [*x, *x]\n",
	       "{\"a\":{\"k\":[1]},\"b\":{\"k\":[1]},\"c\":[{\"k\":[1]},{\"k\":[1]}]}");
	expect("a: &x 1\nb: &x 2\nc: *x\n", "{\"a\":1,\"b\":2,\"c\":2}"); /* the last one counts */
}

static double cpu_s(void)
{
	return (double)clock() / CLOCKS_PER_SEC;
}

/* Input within the size limit, built to be slow: none may take longer than a few seconds of CPU,
 * sanitizers included. @make appends the i-th piece. */
static void check_cost(const char *what, void (*make)(struct sn_buf *b, unsigned i))
{
	struct sn_buf b, piece;
	struct sn_err err = {0};
	double start;
	struct sn_arena a;
	struct sn_val *v;

	sn_buf_init(&b, SN_YAML_INPUT_MAX);
	sn_buf_init(&piece, 0);
	for (unsigned i = 0;; i++) {
		sn_buf_reset(&piece);
		make(&piece, i);
		if (sn_buf_len(&b) + sn_buf_len(&piece) > SN_YAML_INPUT_MAX)
			break;
		sn_buf_append(&b, sn_buf_slice(&piece).p, sn_buf_len(&piece));
	}
	sn_arena_init(&a, 0, 256u << 20);
	start = cpu_s();
	(void)sn_yaml_parse(&a, "f", sn_buf_slice(&b).p, sn_buf_len(&b), &v, NULL, &err);
	if (cpu_s() - start > 5)
		fail_msg("%s: %.1f s", what, cpu_s() - start);
	print_message("%s: %.2f s %s\n", what, cpu_s() - start, err.msg);
	sn_arena_done(&a);
	sn_buf_done(&b);
	sn_buf_done(&piece);
}

static void keys(struct sn_buf *b, unsigned i)
{
	if (i % 19999 == 0)
		sn_buf_puts(b, "- \n");
	sn_buf_printf(b, "  %05x:\n", i);
}

static void anchors(struct sn_buf *b, unsigned i)
{
	sn_buf_printf(b, "- &%05x\n", i);
	if (i > 40000)
		sn_buf_puts(b, "- *00000\n");
}

static void items(struct sn_buf *b, unsigned i)
{
	(void)i;
	sn_buf_puts(b, "-\n");
}

static void documents(struct sn_buf *b, unsigned i)
{
	(void)i;
	sn_buf_puts(b, "---\n");
}

static void open_flows(struct sn_buf *b, unsigned i)
{
	sn_buf_puts(b, i < 60 ? "[" : "a,");
}

static void test_cost(void **state)
{
	(void)state;
	check_cost("keys", keys);
	check_cost("anchors", anchors);
	check_cost("items", items);
	check_cost("documents", documents);
	check_cost("flows", open_flows);
}

static void test_nodes(void **state)
{
	struct sn_buf b;

	(void)state;
	sn_buf_init(&b, 0);
	for (unsigned i = 0; i <= SN_YAML_NODES_MAX; i++)
		sn_buf_puts(&b, "-\n");
	refuse(sn_buf_slice(&b).p, sn_buf_len(&b), -SN_ETOOBIG, 0, 0, "too many values");
	sn_buf_done(&b);
}

/* Under every arena ceiling: all or nothing, with a message. */
static void test_memory(void **state)
{
	static const char text[] = "a: &x [1, two, {b: 3}]\nc: *x\nd: 'e'\n";
	bool done = false;

	(void)state;
	for (size_t max = 16; !done; max += 16) {
		struct sn_err err = {0};
		struct sn_val *v = NULL;
		struct sn_arena a;
		int rc;

		assert_true(max < 65536);
		sn_arena_init(&a, 0, max);
		rc = parse_n(&a, text, sizeof(text) - 1, &v, NULL, &err);
		assert_true(rc == 0 || rc == -SN_ENOMEM);
		assert_int_equal(v != NULL, rc == 0);
		assert_int_equal(err.msg[0] == 0, rc == 0);
		done = rc == 0;
		sn_arena_done(&a);
	}
}

static void test_documents(void **state)
{
	static const char text[] = "---\na: &x 1\n---\n# nothing\n---\nb\n...\n";
	struct sn_err err = {0};
	struct sn_val *list;
	struct sn_arena a;

	(void)state;
	sn_arena_init(&a, 0, 0);
	assert_int_equal(sn_yaml_parse_all(&a, "f", text, sizeof(text) - 1, &list, NULL, &err), 0);
	assert_int_equal(list->type, SN_VAL_LIST);
	assert_true(sn_val_equal(sn_val_get(sn_val_at(list, 0), "a"), sn_val_new_int(&a, 1)));
	assert_string_equal(sn_val_str(sn_val_at(list, sn_val_len(list) - 1), ""), "b");
	assert_int_equal(sn_yaml_parse_all(&a, "f", "", 0, &list, NULL, &err), 0);
	assert_int_equal(sn_val_len(list), 0);
	/* anchors end with their document */
	assert_int_equal(sn_yaml_parse_all(&a, "f", T("a: &x 1\n---\nb: *x\n"), &list, NULL, &err),
			 -SN_ESYNTAX);
	sn_arena_done(&a);
}

static void round_trip(struct sn_arena *a, const struct sn_val *v)
{
	struct sn_err err = {0};
	struct sn_val *again;
	struct sn_buf out, twice;

	sn_buf_init(&out, 0);
	sn_buf_init(&twice, 0);
	assert_int_equal(sn_yaml_write(&out, v), 0);
	if (sn_yaml_parse(a, "f", sn_buf_slice(&out).p, sn_buf_len(&out), &again, NULL, &err))
		fail_msg("%s:\n%s", err.msg, sn_buf_cstr(&out));
	if (!sn_val_equal(v, again))
		fail_msg("reads back as something else:\n%s", sn_buf_cstr(&out));
	assert_int_equal(sn_yaml_write(&twice, again), 0);
	assert_true(sn_slice_eq(sn_buf_slice(&out), sn_buf_slice(&twice)));
	sn_buf_done(&out);
	sn_buf_done(&twice);
}

static void test_write_strings(void **state)
{
	static const char *const strings[] = {
		"",
		" ",
		"a ",
		" a",
		"~",
		"null",
		"true",
		"FALSE",
		"yes",
		"Off",
		"n",
		"1",
		"-1",
		"+1",
		"0x1f",
		"0o7",
		"1e3",
		".5",
		".inf",
		"-",
		"--",
		"---",
		"...",
		"- a",
		"a: b",
		"a:",
		"a #b",
		"#a",
		"&a",
		"*a",
		"!a",
		"|",
		">",
		"%a",
		"@a",
		"`a",
		"{",
		"[",
		"]",
		",",
		"?",
		"? a",
		"'",
		"\"",
		"\\",
		"a\nb",
		"a\n",
		"\n",
		"\t",
		"\r",
		"\x01",
		"\x7f",
		"\xc2\x85",
		"\xe2\x80\xa8",
		"\xef\xbb\xbf",
		"\xef\xbf\xbe",
		"\xc3\xa9",
		"\xf0\x9f\x98\x80",
		"<<",
		"=",
		"2001-12-14",
		"a/b.c_d-e",
		"key: [1, 2]",
	};
	struct sn_val *map, *list;
	struct sn_arena a;
	char text[400];

	(void)state;
	sn_arena_init(&a, 0, 0);
	map = sn_val_new(&a, SN_VAL_MAP);
	list = sn_val_new(&a, SN_VAL_LIST);
	for (size_t i = 0; i < SN_ARRAY_LEN(strings); i++) {
		struct sn_val *v = sn_val_new_str(&a, sn_slice_cstr(strings[i]));

		round_trip(&a, v);
		assert_int_equal(sn_val_push(&a, list, v), 0);
		if (strcmp(strings[i], "<<") != 0)
			assert_int_equal(sn_val_set(&a, map, sn_slice_cstr(strings[i]), v), 0);
	}
	for (size_t n = 195; n < 400; n += 60) { /* long keys */
		memset(text, ':', n);
		text[n] = 0;
		assert_int_equal(sn_val_set(&a, map, sn_slice_cstr(text), list), 0);
	}
	round_trip(&a, list);
	round_trip(&a, map);
	for (unsigned point = 1; point < 0x11000;
	     point++) { /* every character of the first plane */
		size_t n = 0;

		if (point >= 0xd800 && point < 0xe000)
			continue;
		if (point >= 0x800)
			text[n++] =
				(char)(point >= 0x10000 ? 0xf0 | point >> 18 : 0xe0 | point >> 12);
		if (point >= 0x10000)
			text[n++] = (char)(0x80 | (point >> 12 & 0x3f));
		if (point >= 0x80)
			text[n++] = (char)(point < 0x800 ? 0xc0 | point >> 6
							 : 0x80 | (point >> 6 & 0x3f));
		text[n++] = (char)(point < 0x80 ? point : 0x80 | (point & 0x3f));
		list = sn_val_new_str(&a, sn_slice(text, n));
		round_trip(&a, list);
		sn_arena_reset(&a);
	}
	sn_arena_done(&a);
}

static void test_write_shapes(void **state)
{
	static const char text[] =
		"a: 1\nb: []\nc: {}\nd:\n- - 1\n  - - 2\n- k: {l: [m: 1]}\n  n: ~\n"
		"- []\ne: {f: {g: [1.0, 1.0e+300, -0.0, 123456789.125]}}\n";
	struct sn_err err = {0};
	struct sn_buf out;
	struct sn_arena a;
	struct sn_val *v;

	(void)state;
	sn_arena_init(&a, 0, 0);
	assert_int_equal(sn_yaml_parse(&a, "f", text, sizeof(text) - 1, &v, NULL, &err), 0);
	round_trip(&a, v);
	round_trip(&a, sn_val_get(v, "d"));
	round_trip(&a, sn_val_get(v, "b"));
	sn_buf_init(&out, 10);
	assert_true(sn_yaml_write(&out, v) < 0); /* a ceiling */
	sn_buf_done(&out);
	sn_arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_core_schema),   cmocka_unit_test(test_places),
		cmocka_unit_test(test_refused),	      cmocka_unit_test(test_depth),
		cmocka_unit_test(test_size),	      cmocka_unit_test(test_alias_bomb),
		cmocka_unit_test(test_cost),	      cmocka_unit_test(test_nodes),
		cmocka_unit_test(test_memory),	      cmocka_unit_test(test_documents),
		cmocka_unit_test(test_write_strings), cmocka_unit_test(test_write_shapes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
