/* SPDX-License-Identifier: Apache-2.0 */
/* Matches the same request again and again among few or many routes: bench-routes runs it under
 * callgrind with two numbers of rounds and takes the difference. Usage: routes CASE ROUTES ROUNDS;
 * with ROUNDS "load" it prints what compiling them costs instead. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mesh/route.h"

static struct sn_arena arena;
static struct sn_route_scratch scratch;

/* %d: the number of the route. The last match of CASE is the one asked for. */
static const struct {
	const char *name;
	enum sn_path_kind kind;
	const char *path, *header;
	const char *asked_path, *asked_header;
} cases[] = {
	{"exact", SN_PATH_EXACT, "/api/v1/items/%04d", NULL, "/api/v1/items/%04d?x=1", NULL},
	{"prefix", SN_PATH_PREFIX, "/api/v1/%04d", NULL, "/api/v1/%04d/items/7?x=1", NULL},
	{"none", SN_PATH_PREFIX, "/api/v1/%04d", NULL, "/other/v1/9999/items/7", NULL},
	{"header", SN_PATH_PREFIX, "/api", "%04d", "/api/v1/items", "%04d"},
};

static char *text(const char *format, int i)
{
	char out[100];

#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
	snprintf(out, sizeof(out), format, i);
#pragma GCC diagnostic pop
	return sn_arena_strdup(&arena, out);
}

static struct sn_rule *make_rules(size_t c, int n)
{
	struct sn_rule *rules = sn_arena_array(&arena, (size_t)n, sizeof(*rules));
	int i;

	for (i = 0; i < n; i++) {
		struct sn_match *m = sn_arena_alloc(&arena, sizeof(*m));

		m->path_kind = cases[c].kind;
		m->path = sn_slice_cstr(text(cases[c].path, i));
		if (cases[c].header) {
			m->headers = sn_arena_alloc(&arena, sizeof(*m->headers));
			m->headers->name = SN_SLICE("x-tenant");
			m->headers->value = sn_slice_cstr(text(cases[c].header, i));
			m->n_headers = 1;
		}
		rules[i] = (struct sn_rule){.name = "r", .matches = m, .n_matches = 1};
	}
	return rules;
}

static void print_load(int n, struct timespec began, size_t before)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	printf("%d routes: %.2f ms, %zu bytes each\n", n,
	       (double)(now.tv_sec - began.tv_sec) * 1e3 +
		       (double)(now.tv_nsec - began.tv_nsec) / 1e6,
	       (arena.used_bytes - before) / (size_t)n);
}

static int run(size_t c, int n, const char *rounds)
{
	struct sn_header fields[] = {
		{.name = SN_SLICE("host"), .value = SN_SLICE("shop.example.com")},
		{.name = SN_SLICE("user-agent"), .value = SN_SLICE("bench/1.0")},
		{.name = SN_SLICE("accept"), .value = SN_SLICE("*/*")},
		{.name = SN_SLICE("x-tenant"), .value = SN_SLICE("")},
	};
	struct sn_request req = {.method_text = SN_SLICE("GET"), .headers = {fields, 4, 4}};
	struct sn_rule *rules = make_rules(c, n);
	size_t before = arena.used_bytes;
	struct sn_route_table *t;
	struct timespec began;
	long i, found = 0;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &began);
	t = sn_route_compile(&arena, rules, (size_t)n);
	if (!t)
		return 1;
	if (strcmp(rounds, "load") == 0) {
		print_load(n, began, before);
		return 0;
	}
	req.path = sn_slice_cstr(text(cases[c].asked_path, n / 2));
	if (cases[c].asked_header)
		fields[3].value = sn_slice_cstr(text(cases[c].asked_header, n / 2));
	for (i = 0; i < strtol(rounds, NULL, 10); i++)
		found += sn_route_match(t, &req, &scratch) != NULL;
	sn_route_done(t);
	return found < 0;
}

int main(int argc, char **argv)
{
	size_t c;
	int rc = 2;

	if (argc == 1)
		for (c = 0; c < SN_ARRAY_LEN(cases); c++)
			puts(cases[c].name);
	if (argc != 4)
		return argc != 1;
	sn_arena_init(&arena, 0, 0);
	for (c = 0; c < SN_ARRAY_LEN(cases); c++)
		if (strcmp(argv[1], cases[c].name) == 0)
			rc = run(c, (int)strtol(argv[2], NULL, 10), argv[3]);
	sn_route_scratch_done(&scratch);
	sn_arena_done(&arena);
	return rc;
}
