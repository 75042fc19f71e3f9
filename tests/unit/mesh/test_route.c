/* SPDX-License-Identifier: Apache-2.0 */
/* Matching by Gateway API precedence, and shares by weight. */
#include "tests/unit/unit.h"

#include "http/h1.h"
#include "mesh/route.h"
#include "tests/unit/mesh/route_naive.h"

static struct sn_arena arena;
static struct sn_route_scratch scratch;
static struct sn_route_table *tables[8]; /* end with the test */
static size_t n_tables;

static int setup(void **state)
{
	(void)state;
	sn_arena_init(&arena, 0, 0);
	n_tables = 0;
	memset(&scratch, 0, sizeof(scratch));
	scratch.regex = sn_regex_scratch_new(); /* for the naive reference, too */
	return scratch.regex ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	while (n_tables)
		sn_route_done(tables[--n_tables]);
	sn_route_scratch_done(&scratch);
	sn_arena_done(&arena);
	return 0;
}

/* Of a copy of @rules, so that the table outlives them. */
static struct sn_route_table *compiled(const struct sn_rule *rules, size_t n)
{
	struct sn_rule *copy = sn_arena_array(&arena, n, sizeof(*copy));
	struct sn_route_table *t;

	if (n)
		memcpy(copy, rules, n * sizeof(*copy));
	t = sn_route_compile(&arena, copy, n);
	assert_non_null(t);
	assert_true(n_tables < SN_ARRAY_LEN(tables));
	tables[n_tables++] = t;
	return t;
}

/* A rule with one match, written as "KINDPATH [METHOD] [h:name=value] [q:name=value]"; KIND: =
 * exact, ^ prefix, ~ expression, * any; h~ and q~ are expressions. */
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
		       : word.p[0] == '~' ? SN_PATH_REGEX
					  : SN_PATH_ANY;
	if (m->path_kind != SN_PATH_ANY)
		m->path = sn_slice(word.p + 1, word.n - 1);
	while (rest.n) {
		word = sn_slice_cut(&rest, ' ');
		if (word.n > 2 && (word.p[1] == ':' || word.p[1] == '~')) {
			struct sn_slice value = sn_slice(word.p + 2, word.n - 2);
			struct sn_pair_match pair = {.name = sn_slice_cut(&value, '='),
						     .kind = word.p[1] == '~' ? SN_PAIR_REGEX
									      : SN_PAIR_EXACT};

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
	static const struct sn_h1_limits limits = {
		.head_bytes = 65536, .header_count = 100, .request_line_bytes = 8192};
	struct sn_header fields[16];
	struct sn_request req = {.headers = {fields, 0, 16}};
	struct sn_h1_refusal why = {0};
	const struct sn_rule *r;
	size_t scanned = 0;
	char text[12000];

	snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: a\r\n%s%s\r\n", method, target,
		 header, header[0] ? "\r\n" : "");
	if (sn_h1_parse_request(sn_slice_cstr(text), &scanned, &limits, &req, &why) <= 0)
		fail_msg("%.300s", text);
	r = sn_route_match(t, &req, &scratch);
	return r ? r->name : "-";
}

static void test_prefixes_go_by_whole_elements(void **state)
{
	struct sn_rule rules[] = {rule("api", "^/api"), rule("slash", "^/dir/"),
				  rule("exact", "=/doc")};
	struct sn_route_table *t = compiled(rules, SN_ARRAY_LEN(rules));

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
	struct sn_route_table *t = compiled(rules, SN_ARRAY_LEN(rules));

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

/* Each line: the winner first, then who would win without it, and so on; then a request that all of
 * them fit. Every order of the document gives the same, but for rules that are equal. */
static void test_precedence_does_not_hang_on_the_order(void **state)
{
	static const struct {
		const char *method, *target, *header;
		const char *rules[9];
	} rows[] = {
		{"GET",
		 "/a/b?x=1&y=2",
		 "k: v\r\nl: w",
		 {"=/a/b", "~/a/.?", "~/a.+", "~.*", "^/a/b", "^/a", "^/"}},
		{"GET", "/a/b/c", "", {"^/a/b/c", "^/a/b", "^/a", "*"}},
		{"GET", "/a/b/c", "", {"^/a/b/c/", "^/a/b/ GET", "^/a/ h:host=a", "^/"}},
		{"GET",
		 "/a?x=1&y=2",
		 "k: v\r\nl: w",
		 {"=/a GET h:k=v h:l=w q:x=1 q:y=2", "=/a GET h:k=v h:l=w q:x=1",
		  "=/a GET h:k=v h:l=w", "=/a GET h:k=v q:x=1 q:y=2", "=/a GET q:x=1", "=/a GET",
		  "=/a h:k=v h:l=w q:x=1", "=/a q:x=1 q:y=2", "=/a"}},
		{"GET",
		 "/a?x=1&y=2",
		 "k: v\r\nl: w",
		 {"^/a GET", "^/a h:k=v h:l=w", "^/a h:k=v q:x=1 q:y=2", "^/a h:k=v q:x=1",
		  "^/a h:k=v", "^/a q:x=1 q:y=2", "^/a q:x=1", "^/a", "^/ GET h:k=v"}},
		{"GET",
		 "/a?x=1&y=2",
		 "k: v\r\nl: w",
		 {"~/[ab] GET", "~/[a-] h:k=v h:l=w", "~/[a_] h:l=w q:x=1", "~/[aB] q:x=1",
		  "~/[aC]", "~/.+ GET h:k=v", "^/a GET h:k=v"}},
		{"GET",
		 "/a?x=1",
		 "k: v",
		 {"=/a h~k=v q:x=1", "=/a h~k=. ", "=/a q~x=[0-9]+", "=/a"}},
		{"GET", "/", "", {"=/", "~/", "^/ GET", "*"}},
		{"OPTIONS", "*", "", {"=*", "~\\*", "* OPTIONS", "*"}},
		{"GET", "//", "", {"=//", "~//", "^/"}},
	};
	size_t i, k, n, first, turn;
	struct sn_rule rules[9];

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		for (n = 0; n < 9 && rows[i].rules[n]; n++)
			;
		for (first = 0; first < n; first++) /* without the best ones */
			for (turn = 0; turn < 2 * (n - first); turn++) {
				size_t left = n - first;
				struct sn_route_table *t;

				for (k = 0; k < left; k++) { /* turned round, and backwards */
					size_t from = (k + turn) % left;

					from = first + (turn < left ? from : left - 1 - from);
					rules[k] = rule(rows[i].rules[from], rows[i].rules[from]);
				}
				t = sn_route_compile(&arena, rules, left);
				assert_string_equal(
					ask(t, rows[i].method, rows[i].target, rows[i].header),
					rows[i].rules[first]);
				sn_route_done(t);
			}
	}
}

static void test_regular_expressions(void **state)
{
	static const struct {
		const char *rule, *target, *header;
		bool fits;
	} rows[] = {
		{"~/v[0-9]+/items", "/v12/items", "", true},
		{"~/v[0-9]+/items", "/v12/items?x=/y", "", true}, /* without the query */
		{"~/v[0-9]+/items", "/v12/items/", "", false},	  /* all of it */
		{"~/v[0-9]+/items", "/x/v12/items", "", false},
		{"~/v[0-9]+/items", "/v12%2Fitems", "", false}, /* as it is forwarded */
		{"~/a|/ab", "/ab", "", true},			/* all of it by either branch */
		{"~/a|/ab", "/abc", "", false},
		{"~(?i)/ABC", "/abc", "", true},
		{"~/ABC", "/abc", "", false},
		{"~.*", "/", "", true},
		{"~", "/", "", false},
		{"~/.", "/%C3", "", false},
		{"~\\*", "*", "", true},
		{"^/ h~x-v=[12]", "/", "X-V: 1", true},
		{"^/ h~x-v=[12]", "/", "x-v: 12", false},
		{"^/ h~x-v=[12]", "/", "", false},
		{"^/ h~x-v=.*", "/", "x-v:", true},
		{"^/ h~x-v=.*", "/", "", false},
		{"^/ h~x-v=a,b", "/", "x-v: a\r\ny: 1\r\nx-v: b", true}, /* one list */
		{"^/ h~x-v=b", "/", "x-v: a\r\nx-v: b", false},
		{"^/ h~x-v=,", "/", "x-v:\r\nx-v:", true},
		{"^/ q~n=[a-z]+", "/?n=abc", "", true},
		{"^/ q~n=[a-z]+", "/?n=%61b%63", "", true}, /* decoded once */
		{"^/ q~n=[a-z]+", "/?n=%2561", "", false},
		{"^/ q~n=%61", "/?n=%2561", "", true},
		{"^/ q~n=[a-z]+", "/?n=1&n=abc", "", false}, /* the first counts */
		{"^/ q~n=", "/?n", "", true},
		{"^/ q~n=.*", "/?m=1", "", false},
	};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_rule r = rule("r", rows[i].rule);
		struct sn_route_table *t = sn_route_compile(&arena, &r, 1);
		const char *method = rows[i].target[0] == '*' ? "OPTIONS" : "GET";

		if (strcmp(ask(t, method, rows[i].target, rows[i].header),
			   rows[i].fits ? "r" : "-") != 0)
			fail_msg("%s and %s, %s", rows[i].rule, rows[i].target, rows[i].header);
		sn_route_done(t);
	}
	assert_int_equal(scratch.n_limited, 0);
}

static void test_an_expression_that_is_given_up_does_not_match(void **state)
{
	struct sn_rule rules[SN_ROUTE_LIMITED_MAX + 4];
	struct sn_route_table *t;
	char target[5000] = "/", header[5000] = "x: ";
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rules) - 1; i++)
		rules[i] = rule("slow", "~/(a+)+b");
	rules[i] = rule("plain", "^/");
	t = compiled(rules, SN_ARRAY_LEN(rules));
	memset(target + 1, 'a', 60);
	memcpy(target + 61, "b!", 3); /* a "b", or it would be over at once */
	assert_string_equal(ask(t, "GET", target, ""), "plain");
	assert_int_equal(scratch.n_limited, SN_ROUTE_LIMITED_MAX); /* the others not even tried */
	assert_string_equal(ask(t, "GET", target, ""), "plain");
	assert_int_equal(scratch.n_limited, 2 * SN_ROUTE_LIMITED_MAX);
	assert_string_equal(ask(t, "GET", "/aab", ""), "slow");
	/* What is too long: a path, one header, several headers, a query parameter. */
	scratch.n_limited = 0;
	rules[0] = rule("path", "~/.*");
	rules[1] = rule("header", "^/ h~x=.*");
	rules[2] = rule("param", "^/ q~x=.*");
	t = compiled(rules, 3);
	memset(target + 1, 'a', SN_REGEX_SUBJECT_MAX - 1);
	target[SN_REGEX_SUBJECT_MAX] = 0;
	assert_string_equal(ask(t, "GET", target, ""), "path");
	memset(target + 1, 'a', SN_REGEX_SUBJECT_MAX);
	target[SN_REGEX_SUBJECT_MAX + 1] = 0;
	assert_string_equal(ask(t, "GET", target, ""), "-");
	assert_int_equal(scratch.n_limited, 1);
	memcpy(target, "/?x=", 4);
	rules[0] = rule("param", "^/ q~x=.*");
	t = compiled(rules, 1);
	target[SN_REGEX_SUBJECT_MAX + 4] = 0;
	assert_string_equal(ask(t, "GET", target, ""), "param");
	memset(target + 4, 'a', SN_REGEX_SUBJECT_MAX + 1);
	assert_string_equal(ask(t, "GET", target, ""), "-");
	assert_int_equal(scratch.n_limited, 2);
	rules[0] = rule("header", "^/ h~x=.*");
	t = compiled(rules, 1);
	memset(header + 3, 'a', 2048);
	memcpy(header + 3 + 2047, "\r\nx: ", 5);
	memset(header + 3 + 2047 + 5, 'a', 2048);
	assert_string_equal(ask(t, "GET", "/", header), "header");
	memset(header + 3 + 2047 + 5, 'a', 2049);
	assert_string_equal(ask(t, "GET", "/", header), "-");
	assert_int_equal(scratch.n_limited, 3);
}

/* Where one header leads to the rule it is the same as looking at all of them. */
static void test_many_rules_of_one_path_by_header(void **state)
{
	struct sn_rule rules[1003];
	struct sn_route_table *t;
	char name[1000][16], text[80];
	int i;

	(void)state;
	for (i = 0; i < 1000; i++) {
		snprintf(name[i], sizeof(name[i]), "t%d", i);
		snprintf(text, sizeof(text), "^/a h:env=prod h:tenant=%d", i);
		rules[i] = rule(name[i], sn_arena_strdup(&arena, text));
	}
	rules[1000] = rule("method", "^/a POST");
	rules[1001] = rule("pattern", "^/a h~tenant=x.* h:env=prod");
	rules[1002] = rule("rest", "^/a");
	t = compiled(rules, SN_ARRAY_LEN(rules));
	for (i = 0; i < 1000; i += 37) {
		snprintf(text, sizeof(text), "tenant: %d\r\nenv: prod", i);
		assert_string_equal(ask(t, "GET", "/a/b", text), name[i]);
		assert_string_equal(ask(t, "POST", "/a/b", text), "method");
		snprintf(text, sizeof(text), "tenant: %d\r\nenv: test", i);
		assert_string_equal(ask(t, "GET", "/a/b", text), "rest");
	}
	assert_string_equal(ask(t, "GET", "/a", "tenant: 1000\r\nenv: prod"), "rest");
	assert_string_equal(ask(t, "GET", "/a", "tenant: xy\r\nenv: prod"), "pattern");
	assert_string_equal(ask(t, "GET", "/a", "env: prod"), "rest");
	assert_string_equal(ask(t, "GET", "/a", "tenant: 1\r\ntenant: 2\r\nenv: prod"), "rest");
	assert_string_equal(ask(t, "GET", "/b", "tenant: 1\r\nenv: prod"), "-");
}

struct said {
	char text[400];
	size_t n;
};

static void note(void *arg, const struct sn_route_candidate *c)
{
	static const char *const why[] = {"fits", "path", "method", "header", "param"};
	struct said *s = arg;

	s->n += (size_t)snprintf(s->text + s->n, sizeof(s->text) - s->n, "%s:%s%s%.*s%s ",
				 c->rule->name, why[c->why], c->pair ? "=" : "",
				 c->pair ? (int)c->pair->name.n : 0, c->pair ? c->pair->name.p : "",
				 c->taken ? "!" : "");
}

static void test_explained(void **state)
{
	struct sn_rule rules[] = {rule("a", "^/ GET"),
				  rule("b", "^/x h:k=v h:l=w q:p=1"),
				  rule("c", "~/x.*"),
				  rule("d", "=/y"),
				  rule("e", "=/x POST"),
				  rule("f", "^/x q:p=2"),
				  rule("g", "^/x h:k=v q~p=[0-9]")};
	struct sn_route_table *t = compiled(rules, SN_ARRAY_LEN(rules));
	struct sn_header fields[] = {{.name = SN_SLICE("k"), .value = SN_SLICE("v")}};
	struct sn_request req = {.method_text = SN_SLICE("GET"),
				 .path = SN_SLICE("/x?p=1"),
				 .headers = {fields, 1, 1}};
	struct said s = {.n = 0};

	(void)state;
	sn_route_explain(t, &req, &scratch, note, &s);
	assert_string_equal(s.text, "e:method d:path c:fits! b:header=l g:fits f:param=p a:fits ");
	assert_string_equal(sn_route_match(t, &req, &scratch)->name, "c");
}

/* --- against the naive reference ----------------------------------------------------------------
 */

static const char *one_of(struct sn_rng *rng, const char *const *list, uint32_t n)
{
	return list[sn_rng_below(rng, n)];
}

/* Few letters, so that much meets: paths of up to four elements, some of them empty. */
static void random_path(struct sn_rng *rng, char *dst)
{
	static const char *const elements[] = {"/a", "/b", "/ab", "/", "/a", "/b"};
	uint32_t n = 1 + sn_rng_below(rng, 4);

	dst[0] = 0;
	while (n--)
		strcat(dst, one_of(rng, elements, 6));
}

static struct sn_rule random_rule(struct sn_rng *rng)
{
	static const char *const patterns[] = {"/.*",	      "/a(/.*)?", "/[ab]+", ".*b",
					       "(/[^/]*)+/b", "/a|/ab",	  ".+",	    "/(a|b)/.*"};
	static const char *const methods[] = {"", "", "", " GET", " POST"};
	static const char *const headers[] = {"",	"",	     "",      " h:x=1",
					      " h:x=2", " h~x=[12]", " h:y=1"};
	static const char *const params[] = {"", "", "", " q:p=1", " q~p=1*", " q:r=2"};
	char text[200] = "=", path[40];
	uint32_t kind = sn_rng_below(rng, 10);

	random_path(rng, path);
	text[0] = "=^~*"[kind < 4 ? 0 : kind < 8 ? 1 : kind < 9 ? 2 : 3];
	if (text[0] == '~')
		strcat(text, one_of(rng, patterns, SN_ARRAY_LEN(patterns)));
	else if (text[0] != '*')
		strcat(text, path);
	strcat(text, one_of(rng, methods, SN_ARRAY_LEN(methods)));
	strcat(text, one_of(rng, headers, SN_ARRAY_LEN(headers)));
	strcat(text, one_of(rng, params, SN_ARRAY_LEN(params)));
	strcat(text, one_of(rng, params, SN_ARRAY_LEN(params)));
	return rule(sn_arena_strdup(&arena, text), sn_arena_strdup(&arena, text));
}

static void random_request(struct sn_rng *rng, struct sn_request *req, char path[80])
{
	static const char *const queries[] = {"", "", "?p=1", "?p=2", "?p=1&r=2", "?r=2&p=%31"};
	static const struct sn_slice values[] = {SN_SLICE("1"), SN_SLICE("2"), SN_SLICE("3")};
	static const struct sn_slice names[] = {SN_SLICE("x"), SN_SLICE("Y"), SN_SLICE("X"),
						SN_SLICE("z")};

	random_path(rng, path);
	strcat(path, one_of(rng, queries, SN_ARRAY_LEN(queries)));
	req->path = sn_slice_cstr(path);
	req->method_text = sn_rng_below(rng, 3) ? SN_SLICE("GET") : SN_SLICE("POST");
	for (req->headers.n = sn_rng_below(rng, 4); req->headers.n < 4; req->headers.n++)
		req->headers.v[req->headers.n] = (struct sn_header){
			.name = names[sn_rng_below(rng, 4)], .value = values[sn_rng_below(rng, 3)]};
	req->headers.n = sn_rng_below(rng, 4);
}

static void test_the_same_as_the_naive_reference(void **state)
{
	struct sn_header fields[4] = {{.name = {NULL, 0}}};
	struct sn_request req = {.headers = {fields, 0, 4}};
	size_t n_found = 0, n_none = 0, round, k;
	struct sn_rng rng;

	(void)state;
	sn_rng_seed(&rng, 20240);
	for (round = 0; round < 1000; round++) {
		size_t n = 1 + sn_rng_below(&rng, round % 10 ? 12 : 150);
		struct sn_rule *rules = sn_arena_array(&arena, n, sizeof(*rules));
		struct sn_route_table *t;
		char path[80];

		for (k = 0; k < n; k++)
			rules[k] = random_rule(&rng);
		t = sn_route_compile(&arena, rules, n);
		for (k = 0; k < 120; k++) {
			const struct sn_rule *got, *want;

			random_request(&rng, &req, path);
			got = sn_route_match(t, &req, &scratch);
			want = naive_match(rules, n, &req, scratch.regex);
			n_found += got != NULL;
			n_none += got == NULL;
			if (got != want)
				fail_msg("round %zu: %.*s %s: got \"%s\", want \"%s\"", round,
					 SN_ARG(req.method_text), path, got ? got->name : "-",
					 want ? want->name : "-");
		}
		sn_route_done(t);
		sn_arena_reset(&arena);
	}
	assert_int_equal(n_found + n_none, 120000);
	assert_true(n_found > 30000 && n_none > 10000);
}

static void test_headers_without_case_values_with(void **state)
{
	struct sn_rule rules[] = {rule("h", "^/ h:x-beta=Yes"), rule("m", "^/ post")};
	struct sn_route_table *t = compiled(rules, SN_ARRAY_LEN(rules));

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
	struct sn_route_table *t = compiled(NULL, 0);
	char name[5000][16], path[40];
	int i;

	(void)state;
	assert_string_equal(ask(t, "GET", "/", ""), "-");
	for (i = 0; i < 5000; i++) {
		snprintf(name[i], sizeof(name[i]), "r%d", i);
		snprintf(path, sizeof(path), "^/p/%d", i);
		rules[i] = rule(name[i], sn_arena_strdup(&arena, path));
	}
	t = compiled(rules, 5000);
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
		cmocka_unit_test_setup_teardown(test_precedence_does_not_hang_on_the_order, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_regular_expressions, setup, teardown),
		cmocka_unit_test_setup_teardown(test_an_expression_that_is_given_up_does_not_match,
						setup, teardown),
		cmocka_unit_test_setup_teardown(test_many_rules_of_one_path_by_header, setup,
						teardown),
		cmocka_unit_test_setup_teardown(test_explained, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_same_as_the_naive_reference, setup,
						teardown),
		cmocka_unit_test(test_weights),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
