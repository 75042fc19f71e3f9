/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes routing: lines are rules, the last one is a request, and the compiled table has to find
 * what the naive reference finds; explaining says the same. A rule: "KINDPATH METHOD NAME=VALUE
 * ?NAME=VALUE", parts absent at will; KIND: = exact, ~ expression, else a prefix; "~NAME=PATTERN"
 * and
 * "?~NAME=PATTERN". A request: "TARGET METHOD NAME=VALUE ...". */
#include "tests/fuzz/h1_feed.h"

#include "mesh/route.h"
#include "tests/unit/mesh/route_naive.h"

#define RULES_MAX 64
#define PAIRS_MAX 4

static struct sn_route_scratch scratch;

/* The naive reference joins values, and a "," in one can be read in two ways. */
static bool plain(struct sn_slice s)
{
	return sn_field_value_valid(s) && sn_slice_trim(s).n == s.n &&
	       (s.n == 0 || !memchr(s.p, ',', s.n));
}

static bool pair_of(struct sn_slice word, struct sn_pair_match *p)
{
	bool regex = word.n && word.p[0] == '~';

	if (regex)
		word = sn_slice(word.p + 1, word.n - 1);
	*p = (struct sn_pair_match){.kind = regex ? SN_PAIR_REGEX : SN_PAIR_EXACT};
	p->name = sn_slice_cut(&word, '=');
	p->value = word.p ? word : sn_slice("", 0);
	return p->name.n && plain(p->value) && (!regex || sn_regex_check(p->value, NULL) == 0);
}

static bool rule_of(struct sn_arena *a, struct sn_slice line, struct sn_rule *r)
{
	struct sn_match *m = sn_arena_alloc(a, sizeof(*m));
	struct sn_slice word = sn_slice_cut(&line, ' ');

	m->headers = sn_arena_array(a, PAIRS_MAX, sizeof(*m->headers));
	m->params = sn_arena_array(a, PAIRS_MAX, sizeof(*m->params));
	r->matches = m;
	r->n_matches = 1;
	if (word.n) {
		m->path_kind = word.p[0] == '='	  ? SN_PATH_EXACT
			       : word.p[0] == '~' ? SN_PATH_REGEX
						  : SN_PATH_PREFIX;
		m->path = sn_slice(word.p + 1, word.n - 1);
		if (m->path_kind == SN_PATH_PREFIX)
			m->path = word;
	}
	if (m->path_kind == SN_PATH_REGEX && sn_regex_check(m->path, NULL))
		return false;
	while (line.n) {
		word = sn_slice_cut(&line, ' ');
		if (word.n && word.p[0] == '?' && m->n_params < PAIRS_MAX)
			m->n_params +=
				pair_of(sn_slice(word.p + 1, word.n - 1), &m->params[m->n_params]);
		else if (word.n && memchr(word.p, '=', word.n) && m->n_headers < PAIRS_MAX)
			m->n_headers += pair_of(word, &m->headers[m->n_headers]);
		else
			m->method = word;
	}
	return true;
}

static void request_of(struct sn_slice line, struct sn_request *req)
{
	req->path = sn_slice_cut(&line, ' ');
	req->method_text = sn_slice_cut(&line, ' ');
	while (line.n && req->headers.n < req->headers.cap) {
		struct sn_slice value = sn_slice_cut(&line, ' '), name = sn_slice_cut(&value, '=');

		if (name.n && plain(value))
			req->headers.v[req->headers.n++] = (struct sn_header){
				.name = name, .value = value.p ? value : sn_slice("", 0)};
	}
}

struct seen {
	const struct sn_rule *taken;
	size_t n;
};

static void note(void *arg, const struct sn_route_candidate *c)
{
	struct seen *s = arg;

	s->n++;
	CHECK(!c->taken || (c->why == SN_ROUTE_FITS && !s->taken));
	CHECK((c->pair != NULL) == (c->why == SN_ROUTE_HEADER || c->why == SN_ROUTE_PARAM));
	if (c->taken)
		s->taken = c->rule;
}

static void compare(const struct sn_route_table *t, const struct sn_rule *rules, size_t n,
		    const struct sn_request *req)
{
	uint64_t before = scratch.n_limited;
	const struct sn_rule *got = sn_route_match(t, req, &scratch);
	struct seen s = {.n = 0};

	if (scratch.n_limited - before >= SN_ROUTE_LIMITED_MAX)
		return; /* the rest was not tried */
	CHECK(got == naive_match(rules, n, req, scratch.regex));
	sn_route_explain(t, req, &scratch, note, &s);
	CHECK(s.n == n && s.taken == got);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sn_header fields[8];
	struct sn_request req = {.headers = {fields, 0, 8}};
	char *copy = exact_copy((const char *)data, n);
	struct sn_slice rest = sn_slice(copy, n), line;
	struct sn_rule rules[RULES_MAX] = {{.name = NULL}};
	struct sn_route_table *t;
	struct sn_arena arena;
	size_t n_rules = 0;

	if (!scratch.regex)
		scratch.regex = sn_regex_scratch_new();
	sn_arena_init(&arena, 0, 0);
	line = sn_slice_cut(&rest, '\n');
	while (rest.p && n_rules < RULES_MAX) {
		if (rule_of(&arena, line, &rules[n_rules]))
			n_rules++;
		line = sn_slice_cut(&rest, '\n');
	}
	request_of(line, &req);
	t = sn_route_compile(&arena, rules, n_rules);
	CHECK(t);
	if (n < 4000) /* the reference puts values together in a buffer of its own */
		compare(t, rules, n_rules, &req);
	sn_route_done(t);
	sn_arena_done(&arena);
	free(copy);
	return 0;
}
