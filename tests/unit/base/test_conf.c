/* SPDX-License-Identifier: Apache-2.0 */
/* The schema engine: types, ranges, defaults, findings with their place, guesses, bounds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/err.h"
#include "base/yaml.h"

enum mode { MODE_OFF, MODE_STRICT, MODE_LAX };

struct leaf {
	int64_t weight;
	const char *name;
};

struct top {
	bool on;
	int64_t port;
	const char *name;
	uint64_t timeout_ms, size_bytes;
	int mode;
	struct leaf inner;
	const struct leaf *maybe;
	struct leaf *leaves;
	size_t n_leaves;
	const char **hosts;
	size_t n_hosts;
	int64_t *ports;
	size_t n_ports;
	const struct sn_val *any;
	bool has_port;
};

static const struct sn_conf_name modes[] = {
	{"off", MODE_OFF}, {"strict", MODE_STRICT}, {"lax", MODE_LAX}, {NULL, 0}};

static const struct sn_conf_field leaf_fields[] = {
	{.key = "weight",
	 .type = SN_CONF_INT,
	 .offset = offsetof(struct leaf, weight),
	 .min = 0,
	 .max = 1000,
	 .def = "1",
	 .help = "Share."},
	{.key = "name",
	 .type = SN_CONF_STR,
	 .offset = offsetof(struct leaf, name),
	 .flags = SN_CONF_REQUIRED,
	 .min = 1,
	 .max = 8},
	{.key = NULL},
};
static const struct sn_conf_object leaf_object = {"leaf", sizeof(struct leaf), leaf_fields, NULL};
static const struct sn_conf_field inner_fields[] = {
	{.key = "weight",
	 .type = SN_CONF_INT,
	 .offset = offsetof(struct leaf, weight),
	 .min = 0,
	 .max = 1000,
	 .def = "7"},
	{.key = NULL},
};
static const struct sn_conf_object inner_object = {"inner", sizeof(struct leaf), inner_fields,
						   NULL};
static const struct sn_conf_field leaf_item = {.type = SN_CONF_OBJECT, .object = &leaf_object};
static const struct sn_conf_field port_item = {.type = SN_CONF_INT, .min = 1, .max = 65535};

static int checks;

static void check_name(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const char *const *name = value;

	checks++;
	if (strcmp(*name, "bad") == 0)
		sn_conf_error(ctx, v, "no such name as %s", *name);
}

static void check_top(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct top *t = value;

	checks++;
	if (t->on && t->port == 0)
		sn_conf_error(ctx, v, "on needs a port");
}

#define AT(member) .offset = offsetof(struct top, member)
static const struct sn_conf_field top_fields[] = {
	{.key = "on", .type = SN_CONF_BOOL, AT(on)},
	{.key = "port",
	 .type = SN_CONF_INT,
	 AT(port),
	 .min = 0,
	 .max = 65535,
	 .has_offset = offsetof(struct top, has_port)},
	{.key = "name",
	 .type = SN_CONF_STR,
	 AT(name),
	 .max = 10,
	 .def = "none",
	 .check = check_name,
	 .help = "What it is called."},
	{.key = "timeout",
	 .type = SN_CONF_DURATION,
	 AT(timeout_ms),
	 .min = 1,
	 .max = 3600000,
	 .def = "10s"},
	{.key = "size",
	 .type = SN_CONF_SIZE,
	 AT(size_bytes),
	 .min = 1024,
	 .max = 1 << 20,
	 .def = "64KiB"},
	{.key = "mode", .type = SN_CONF_ENUM, AT(mode), .names = modes, .def = "strict"},
	{.key = "inner",
	 .type = SN_CONF_OBJECT,
	 AT(inner),
	 .flags = SN_CONF_EMBED,
	 .object = &inner_object},
	{.key = "maybe", .type = SN_CONF_OBJECT, AT(maybe), .object = &leaf_object},
	{.key = "leaves",
	 .type = SN_CONF_LIST,
	 AT(leaves),
	 .max = 3,
	 .n_offset = offsetof(struct top, n_leaves),
	 .item = &leaf_item},
	{.key = "hosts",
	 .type = SN_CONF_STR_OR_LIST,
	 AT(hosts),
	 .n_offset = offsetof(struct top, n_hosts)},
	{.key = "ports",
	 .type = SN_CONF_LIST,
	 AT(ports),
	 .n_offset = offsetof(struct top, n_ports),
	 .item = &port_item},
	{.key = "any", .type = SN_CONF_ANY, AT(any)},
	{.key = NULL},
};
static const struct sn_conf_object top_object = {"top", sizeof(struct top), top_fields, check_top};

static struct sn_arena arena;
static struct sn_conf_ctx ctx;
static struct sn_buf out;

static int setup(void **state)
{
	(void)state;
	sn_arena_init(&arena, 0, 0);
	sn_buf_init(&out, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sn_arena_done(&arena);
	sn_buf_done(&out);
	return 0;
}

static int decode(const char *text, struct top *t)
{
	struct sn_err err = {0};
	struct sn_val *v = NULL;

	if (sn_yaml_parse(&arena, "f", text, strlen(text), &v, NULL, &err))
		fail_msg("%s", err.msg);
	sn_conf_ctx_init(&ctx, &arena);
	checks = 0;
	return sn_conf_decode(&ctx, &top_object, v, t);
}

/* The findings of @text, as they are printed. */
static void expect(const char *text, const char *findings)
{
	struct top t;

	assert_int_equal(decode(text, &t), -SN_ECONF);
	sn_buf_reset(&out);
	sn_conf_print(&ctx, &out);
	assert_string_equal(sn_buf_cstr(&out), findings);
	assert_string_equal(ctx.path, ""); /* left as it was found */
}

static void test_defaults(void **state)
{
	struct top t;

	(void)state;
	memset(&t, 0xee, sizeof(t));
	assert_int_equal(decode("{}", &t), 0);
	assert_false(t.on);
	assert_false(t.has_port);
	assert_string_equal(t.name, "none");
	assert_int_equal(t.timeout_ms, 10000);
	assert_int_equal(t.size_bytes, 65536);
	assert_int_equal(t.mode, MODE_STRICT);
	assert_int_equal(t.inner.weight, 7);
	assert_null(t.maybe);
	assert_int_equal(t.n_leaves + t.n_hosts + t.n_ports, 0);
	assert_int_equal(decode("", &t), 0); /* an empty file is an empty map */
	assert_int_equal(decode("name:\nport: ~\ninner:\n", &t), 0); /* a key without a value */
	assert_string_equal(t.name, "none");
	assert_false(t.has_port);
	assert_int_equal(t.inner.weight, 7);
}

static void test_values(void **state)
{
	struct top t;

	(void)state;
	assert_int_equal(decode("on: true\nport: 65535\nname: x\ntimeout: 1m30s\nsize: 2048\n"
				"mode: lax\ninner: {weight: 0}\nmaybe: {name: m}\n"
				"leaves: [{name: a}, {name: b, weight: 3}]\nhosts: one\n"
				"ports: [1, 2, 65535]\nany: [{}]\n",
				&t),
			 0);
	assert_true(t.on && t.has_port);
	assert_int_equal(t.port, 65535);
	assert_int_equal(t.timeout_ms, 90000);
	assert_int_equal(t.size_bytes, 2048);
	assert_int_equal(t.mode, MODE_LAX);
	assert_int_equal(t.inner.weight, 0);
	assert_string_equal(t.maybe->name, "m");
	assert_int_equal(t.maybe->weight, 1);
	assert_int_equal(t.n_leaves, 2);
	assert_int_equal(t.leaves[0].weight, 1);
	assert_int_equal(t.leaves[1].weight, 3);
	assert_string_equal(t.leaves[1].name, "b");
	assert_int_equal(t.n_hosts, 1);
	assert_string_equal(t.hosts[0], "one");
	assert_int_equal(t.n_ports, 3);
	assert_int_equal(t.ports[2], 65535);
	assert_int_equal(sn_val_len(t.any), 1);
	assert_int_equal(decode("hosts: [a, b]\nleaves: []\n", &t), 0);
	assert_int_equal(t.n_hosts, 2);
	assert_string_equal(t.hosts[1], "b");
}

static void test_wrong_types(void **state)
{
	(void)state;
	expect("[]", "f:1:1: top: expected a map, found list\n");
	expect("on: yes\n", "f:1:5: on: expected true or false, found string \"yes\"\n");
	expect("port: '80'\n", "f:1:7: port: expected an integer, found string \"80\"\n");
	expect("port: 80.5\n", "f:1:7: port: expected an integer, found number 80.5\n");
	expect("name: 12\n",
	       "f:1:7: name: expected a string, found integer 12; put it in quotes\n");
	expect("name: [a]\n", "f:1:7: name: expected a string, found list\n");
	expect("timeout: 10\n", "f:1:10: timeout: expected a duration such as 500ms, 10s, 1h30m, "
				"found integer 10\n");
	expect("size: -1\n",
	       "f:1:7: size: expected a size such as 64KiB, 1MiB, found integer -1\n");
	expect("inner: 1\n", "f:1:8: inner: inner: expected a map, found integer 1\n");
	expect("leaves: {}\n", "f:1:9: leaves: expected a list, found map\n");
	expect("leaves:\n- name: a\n- 5\n",
	       "f:3:3: leaves[1]: leaf: expected a map, found integer 5\n");
	expect("ports: [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, x]\n",
	       "f:1:45: ports[12]: expected an integer, found string \"x\"\n");
	expect("hosts: [a, 1]\n",
	       "f:1:12: hosts: expected a string or a list of strings, found integer 1\n");
}

static void test_ranges(void **state)
{
	struct top t;

	(void)state;
	expect("port: 65536\n", "f:1:7: port: 65536 is out of range, allowed: 0 to 65535\n");
	expect("port: -1\n", "f:1:7: port: -1 is out of range, allowed: 0 to 65535\n");
	expect("timeout: 0s\n", "f:1:10: timeout: out of range, allowed: 1ms to 1h\n");
	expect("timeout: 3601s\n", "f:1:10: timeout: out of range, allowed: 1ms to 1h\n");
	expect("size: 1023\n", "f:1:7: size: out of range, allowed: 1KiB to 1MiB\n");
	expect("name: abcdefghijk\n", "f:1:7: name: 11 bytes long, allowed: 0 to 10\n");
	expect("leaves: [{name: a}, {name: b}, {name: c}, {name: d}]\n",
	       "f:1:9: leaves: 4 items, allowed: 0 to 3\n");
	expect("ports: [0, 1, 65536]\n",
	       "f:1:9: ports[0]: 0 is out of range, allowed: 1 to 65535\n"
	       "f:1:15: ports[2]: 65536 is out of range, allowed: 1 to 65535\n");
	assert_int_equal(decode("timeout: 1h\nsize: 1MiB\nname: abcdefghij\nport: 0\n", &t), 0);
}

static void test_guesses(void **state)
{
	struct top t;

	(void)state;
	expect("timeuot: 1s\n",
	       "f:1:1: unknown key \"timeuot\" in top, did you mean \"timeout\"?\n");
	expect("Port: 1\n", "f:1:1: unknown key \"Port\" in top, did you mean \"port\"?\n");
	expect("a: 1\nzzzzzz: 1\n", "f:1:1: unknown key \"a\" in top, did you mean \"on\"?\n"
				    "f:2:1: unknown key \"zzzzzz\" in top\n");
	expect("leaves:\n- {name: a, wieght: 2}\n",
	       "f:2:13: leaves[0]: unknown key \"wieght\" in leaf, did you mean \"weight\"?\n");
	expect("mode: stric\n", "f:1:7: mode: unknown value \"stric\", did you mean \"strict\"? "
				"allowed: off, strict, lax\n");
	expect("mode: whatever\n",
	       "f:1:7: mode: unknown value \"whatever\", allowed: off, strict, lax\n");
	assert_int_equal(decode("timeout: 1s\n", &t), 0);
	assert_int_equal(decode("timeuot: 1s\n", &t), -SN_ECONF);
	sn_conf_ctx_init(&ctx, &arena);
	ctx.ignore_unknown = true;
	{
		struct sn_val *map = sn_val_new(&arena, SN_VAL_MAP);

		sn_val_set(&arena, map, SN_SLICE("timeuot"), sn_val_new_int(&arena, 1));
		assert_int_equal(sn_conf_decode(&ctx, &top_object, map, &t), 0);
	}
}

static void test_required_and_checks(void **state)
{
	struct top t;

	(void)state;
	expect("maybe: {weight: 1}\n", "f:1:8: maybe: leaf: the key \"name\" is missing\n");
	expect("leaves: [{name: }]\n", "f:1:10: leaves[0]: leaf: the key \"name\" is missing\n");
	expect("name: bad\n", "f:1:7: name: no such name as bad\n");
	expect("on: true\n", "f:1:1: on needs a port\n");
	assert_int_equal(checks, 2); /* the default's name, the whole */
	assert_int_equal(decode("name: 1\non: true\n", &t), -SN_ECONF);
	assert_int_equal(ctx.n_errors, 1); /* no further check of what did not decode */
	assert_int_equal(decode("port: 1\non: true\n", &t), 0);
}

/* More findings than are kept, hostile keys, a path longer than there is room for. */
static void test_bounds(void **state)
{
	struct sn_val *map = sn_val_new(&arena, SN_VAL_MAP);
	char key[2000];
	struct top t;

	(void)state;
	for (int i = 0; i < 60; i++) {
		struct sn_slice k = {key, (size_t)(100 + i)};

		memset(key, '%', k.n);
		assert_int_equal(sn_val_set(&arena, map, k, sn_val_new_int(&arena, i)), 0);
	}
	sn_conf_ctx_init(&ctx, &arena);
	assert_int_equal(sn_conf_decode(&ctx, &top_object, map, &t), -SN_ECONF);
	assert_int_equal(ctx.n_diags, SN_CONF_DIAGS_MAX);
	assert_int_equal(ctx.n_errors, 60);
	sn_buf_reset(&out);
	sn_conf_print(&ctx, &out);
	assert_non_null(strstr(sn_buf_cstr(&out), "\n... and 10 more\n"));
	memset(ctx.path, 'p', sizeof(ctx.path) - 1);
	sn_conf_error(&ctx, NULL, "%s", "x");
	assert_int_equal(ctx.n_errors, 61);
	sn_conf_ctx_init(&ctx, &arena);
	memset(ctx.path, 'p', sizeof(ctx.path) - 1);
	assert_int_equal(sn_conf_decode(&ctx, &leaf_object, map, &t), -SN_ECONF);
	assert_int_equal(strlen(ctx.path), sizeof(ctx.path) - 1);
	sn_conf_ctx_init(&ctx, &arena);
	memset(key, 'k', sizeof(key) - 1);
	key[sizeof(key) - 1] = 0;
	sn_conf_error(&ctx, NULL, "%s", key); /* cut, not overrun */
	assert_int_equal(strlen(ctx.diags[ctx.n_diags - 1].msg), 1023);
}

/* Under every arena ceiling: an error code, never a half-made success. */
static void test_memory(void **state)
{
	static const char text[] =
		"leaves: [{name: a}, {name: b}]\nhosts: [a, b]\nmaybe: {name: x}\n";
	struct sn_err err = {0};
	bool done = false;
	struct sn_val *v;
	struct top t;

	(void)state;
	assert_int_equal(sn_yaml_parse(&arena, "f", text, sizeof(text) - 1, &v, NULL, &err), 0);
	for (size_t max = 16; !done; max += 16) {
		struct sn_arena a;
		int rc;

		assert_true(max < 65536);
		sn_arena_init(&a, 0, max);
		sn_conf_ctx_init(&ctx, &a);
		rc = sn_conf_decode(&ctx, &top_object, v, &t);
		assert_true(rc == 0 || rc == -SN_ENOMEM);
		done = rc == 0;
		if (done)
			assert_string_equal(t.leaves[1].name, "b");
		sn_arena_done(&a);
	}
}

/* What is printed as defaults is a document, and one that decodes to them. */
static void test_print_defaults(void **state)
{
	struct sn_err err = {0};
	struct sn_val *v;

	(void)state;
	sn_buf_reset(&out);
	sn_conf_print_defaults(&top_object, &out);
	assert_non_null(strstr(sn_buf_cstr(&out), "name: none  # What it is called.\n"));
	assert_non_null(strstr(sn_buf_cstr(&out), "mode: strict  # off | strict | lax\n"));
	if (sn_yaml_parse(&arena, "d", sn_buf_slice(&out).p, sn_buf_len(&out), &v, NULL, &err))
		fail_msg("%s:\n%s", err.msg, sn_buf_cstr(&out));
	assert_string_equal(sn_val_str(sn_val_get(v, "timeout"), "-"), "10s");
	assert_int_equal(sn_val_int(sn_val_path(v, "inner.weight"), -1), 7);
	assert_int_equal(sn_val_len(v), SN_ARRAY_LEN(top_fields) - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),       cmocka_unit_test(test_values),
		cmocka_unit_test(test_wrong_types),    cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_guesses),	       cmocka_unit_test(test_required_and_checks),
		cmocka_unit_test(test_bounds),	       cmocka_unit_test(test_memory),
		cmocka_unit_test(test_print_defaults),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
