/* SPDX-License-Identifier: Apache-2.0 */
/* Matching by Gateway API precedence, and shares by weight. */
#include "tests/unit/unit.h"

#include "http/h1.h"
#include "mesh/route.h"

static struct sn_arena arena;

static int setup(void **state)
{
	(void)state;
	sn_arena_init(&arena, 0, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sn_arena_done(&arena);
	return 0;
}

/* A rule with one match, written as "KIND PATH [METHOD] [h:name=value] [q:name=value]"; KIND: =
 * exact, ^ prefix, * any. */
static struct sn_rule rule(const char *name, const char *text)
{
	struct sn_slice rest = sn_slice_cstr(text), word;
	struct sn_match *m = sn_arena_alloc(&arena, sizeof(*m));
	struct sn_rule r = {.name = name, .route_name = "r", .matches = m, .n_matches = 1};

	m->headers = sn_arena_array(&arena, 4, sizeof(*m->headers));
	m->params = sn_arena_array(&arena, 4, sizeof(*m->params));
	word = sn_slice_cut(&rest, ' ');
	m->path_kind = word.p[0] == '='	  ? SN_PATH_EXACT
		       : word.p[0] == '^' ? SN_PATH_PREFIX
					  : SN_PATH_ANY;
	if (m->path_kind != SN_PATH_ANY)
		m->path = sn_slice(word.p + 1, word.n - 1);
	while (rest.n) {
		word = sn_slice_cut(&rest, ' ');
		if (word.n > 2 && word.p[1] == ':') {
			struct sn_slice value = sn_slice(word.p + 2, word.n - 2);
			struct sn_pair_match pair = {.name = sn_slice_cut(&value, '=')};

			pair.value = value;
			if (word.p[0] == 'h')
				m->headers[m->n_headers++] = pair;
			else
				m->params[m->n_params++] = pair;
		} else {
			m->method = word;
		}
	}
	return r;
}

/* The name of the rule for a request; "-": none. */
static const char *ask(const struct sn_route_table *t, const char *method, const char *target,
		       const char *header)
{
	static const struct sn_h1_limits limits = {65536, 8192, 100};
	struct sn_header fields[16];
	struct sn_request req = {.headers = {fields, 0, 16}};
	struct sn_h1_refusal why = {0};
	const struct sn_rule *r;
	size_t scanned = 0;
	char text[600];

	snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\n%s%s\r\n", method, target,
		 header, header[0] ? "\r\n" : "");
	assert_true(sn_h1_parse_request(sn_slice_cstr(text), &scanned, &limits, &req, &why) > 0);
	r = sn_route_match(t, &req);
	return r ? r->name : "-";
}

static void test_prefixes_go_by_whole_elements(void **state)
{
	struct sn_rule rules[] = {rule("api", "^/api"), rule("slash", "^/dir/"),
				  rule("exact", "=/doc")};
	struct sn_route_table *t = sn_route_compile(&arena, rules, SN_ARRAY_LEN(rules));

	(void)state;
	assert_string_equal(ask(t, "GET", "/api", ""), "api");
	assert_string_equal(ask(t, "GET", "/api/", ""), "api");
	assert_string_equal(ask(t, "GET", "/api/x?y=/z", ""), "api");
	assert_string_equal(ask(t, "GET", "/api?x=1", ""), "api");
	assert_string_equal(ask(t, "GET", "/apix", ""), "-");
	assert_string_equal(ask(t, "GET", "/API", ""), "-");
	assert_string_equal(ask(t, "GET", "/dir/x", ""), "slash");
	assert_string_equal(ask(t, "GET", "/dir", ""),
			    "slash"); /* the Gateway API ignores a final slash */
	assert_string_equal(ask(t, "GET", "/doc", ""), "exact");
	assert_string_equal(ask(t, "GET", "/doc/", ""), "-");
	assert_string_equal(ask(t, "GET", "/", ""), "-");
}

static void test_precedence(void **state)
{
	struct sn_rule rules[] = {
		rule("any", "*"),
		rule("many-params", "^/a q:x=1 q:y=2"),
		rule("one-param", "^/a q:x=1"),
		rule("many-headers", "^/a h:x=1 h:y=2"),
		rule("one-header", "^/a h:x=1"),
		rule("method", "^/a POST"),
		rule("long", "^/a/b"),
		rule("exact", "=/a/b/c"),
		rule("first", "^/same"),
		rule("second", "^/same"),
	};
	struct sn_route_table *t = sn_route_compile(&arena, rules, SN_ARRAY_LEN(rules));

	(void)state;
	assert_int_equal(sn_route_count(t), SN_ARRAY_LEN(rules));
	assert_string_equal(ask(t, "POST", "/a/b/c?x=1&y=2", "x: 1"), "exact");
	assert_string_equal(ask(t, "POST", "/a/b/d?x=1&y=2", "x: 1"), "long");
	assert_string_equal(ask(t, "POST", "/a?x=1&y=2", "x: 1\r\ny: 2"), "method");
	assert_string_equal(ask(t, "GET", "/a?x=1&y=2", "x: 1\r\ny: 2"), "many-headers");
	assert_string_equal(ask(t, "GET", "/a?x=1&y=2", "x: 1\r\ny: 3"), "one-header");
	assert_string_equal(ask(t, "GET", "/a?y=2&x=1", ""), "many-params");
	assert_string_equal(ask(t, "GET", "/a?x=1", ""), "one-param");
	assert_string_equal(ask(t, "GET", "/a?x=12", ""), "any");
	assert_string_equal(ask(t, "GET", "/same", ""), "first");
	assert_string_equal(ask(t, "OPTIONS", "*", ""), "any");
}

static void test_headers_without_case_values_with(void **state)
{
	struct sn_rule rules[] = {rule("h", "^/ h:x-beta=Yes"), rule("m", "^/ post")};
	struct sn_route_table *t = sn_route_compile(&arena, rules, SN_ARRAY_LEN(rules));

	(void)state;
	assert_string_equal(ask(t, "GET", "/", "X-BETA: Yes"), "h");
	assert_string_equal(ask(t, "GET", "/", "x-beta:   Yes  "), "h");
	assert_string_equal(ask(t, "GET", "/", "x-beta: yes"), "-");
	assert_string_equal(ask(t, "GET", "/", "x-beta: Yes,No"), "-");
	assert_string_equal(ask(t, "POST", "/", ""), "-"); /* methods have case */
	assert_string_equal(ask(t, "post", "/", ""), "m");
}

static void test_no_rules_and_many_rules(void **state)
{
	struct sn_rule *rules = sn_arena_array(&arena, 5000, sizeof(*rules));
	struct sn_route_table *t = sn_route_compile(&arena, NULL, 0);
	char name[5000][12], path[40];
	int i;

	(void)state;
	assert_string_equal(ask(t, "GET", "/", ""), "-");
	for (i = 0; i < 5000; i++) {
		snprintf(name[i], sizeof(name[i]), "r%d", i);
		snprintf(path, sizeof(path), "^/p/%d", i);
		rules[i] = rule(name[i], sn_arena_strdup(&arena, path));
	}
	t = sn_route_compile(&arena, rules, 5000);
	for (i = 0; i < 5000; i += 321) {
		snprintf(path, sizeof(path), "/p/%d/x", i);
		assert_string_equal(ask(t, "GET", path, ""), name[i]);
	}
	assert_string_equal(ask(t, "GET", "/p/5000", ""), "-");
}

static void test_weights(void **state)
{
	struct sn_backend_ref backends[] = {
		{"a", 0, 80, 90, 0}, {"b", 1, 80, 10, 0}, {"never", 2, 80, 0, 0}};
	struct sn_rule r = {.backends = backends, .n_backends = 3, .total_weight = 100};
	unsigned counts[3] = {0}, i;
	struct sn_rng rng;

	(void)state;
	sn_rng_seed(&rng, 1);
	for (i = 0; i < 100000; i++)
		counts[sn_route_pick(&r, &rng)->service_id]++;
	assert_in_range(counts[0], 89500, 90500);
	assert_in_range(counts[1], 9500, 10500);
	assert_int_equal(counts[2], 0);
	r.total_weight = 0;
	assert_null(sn_route_pick(&r, &rng));
	backends[0].weight = backends[1].weight = UINT32_MAX;
	r.n_backends = 2;
	r.total_weight = 2ull * UINT32_MAX; /* past 32 bits */
	for (counts[0] = i = 0; i < 10000; i++)
		counts[0] += sn_route_pick(&r, &rng)->service_id == 0;
	assert_in_range(counts[0], 4700, 5300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_prefixes_go_by_whole_elements, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_precedence, setup, teardown),
		cmocka_unit_test_setup_teardown(test_headers_without_case_values_with, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_no_rules_and_many_rules, setup, teardown),
		cmocka_unit_test(test_weights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
