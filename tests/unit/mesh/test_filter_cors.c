/* SPDX-License-Identifier: Apache-2.0 */
/* Which origins may read, what a preflight is, and the fields that say so. */
#include "tests/unit/unit.h"

#include <stdio.h>

#include "mesh/filter_cors.h"

#define CAP 32

static struct sn_header storage[CAP], asked[CAP];

/* "name: value" lines of what is not dropped, in order. */
static const char *text_of(const struct sn_headers *hs)
{
	static char text[2048];
	size_t n = 0;

	text[0] = 0;
	for (uint32_t i = 0; i < hs->n; i++)
		if (!(hs->v[i].flags & SN_HDR_DROPPED))
			n += (size_t)snprintf(text + n, sizeof(text) - n, "%.*s: %.*s\n",
					      SN_ARG(hs->v[i].name), SN_ARG(hs->v[i].value));
	return text;
}

static struct sn_headers fields(struct sn_header *v, const char *const *lines)
{
	struct sn_headers hs = {v, 0, CAP};

	for (; *lines; lines++) {
		struct sn_slice value = sn_slice_cstr(*lines);
		struct sn_slice name = sn_slice_cut(&value, ':');

		hs.v[hs.n++] = (struct sn_header){.name = name, .value = sn_slice_trim(value)};
	}
	return hs;
}

static void test_origins_that_are_none(void **state)
{
	static const char *const bad[] = {"",
					  "*",
					  "example.com",
					  "ftp://a",
					  "https://",
					  "https:a",
					  "https://a/",
					  "https://a/b",
					  "https://a:0",
					  "https://a:65536",
					  "https://a:x",
					  "https://a.*.b",
					  "https://*a.b",
					  "https://a*",
					  "https://*.*.b",
					  "https://a b",
					  "https://user@a",
					  "null"};
	struct sn_cors_origin o;
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(bad); i++)
		if (sn_cors_origin_parse(sn_slice_cstr(bad[i]), &o) == 0)
			fail_msg("%s", bad[i]);
}

static void test_who_may(void **state)
{
	static const struct {
		const char *rule, *origin;
		bool may;
	} rows[] = {
		{"https://example.com", "https://example.com", true},
		{"https://example.com", "HTTPS://Example.COM", true},
		{"https://example.com", "http://example.com", false},
		{"https://example.com", "https://www.example.com", false},
		{"https://example.com", "https://example.com.evil.org", false},
		{"https://example.com", "https://example.com:443", true},
		{"https://example.com:443", "https://example.com", true},
		{"http://example.com:80", "http://example.com", true},
		{"https://example.com:8443", "https://example.com", false},
		{"https://example.com:8443", "https://example.com:8443", true},
		{"https://*.example.com", "https://a.example.com", true},
		{"https://*.example.com", "https://a.b.example.com", true},
		{"https://*.example.com", "https://example.com", false},
		{"https://*.example.com", "https://aexample.com", false},
		{"https://*.example.com", "https://.example.com", false},
		{"https://*.example.com", "https://a.example.com:8443", false},
		{"https://*.example.com:8443", "https://a.example.com:8443", true},
		{"https://*", "https://anything", true},
		{"https://*", "http://anything", false},
		{"https://*:8443", "https://anything", false},
		{"https://*.example.com", "https://*.example.com", false},
		{"http://[::1]:8080", "http://[::1]:8080", true},
		{"https://example.com", "null", false},
		{"https://*", "null", false},
		{"*", "null", true},
		{"*", "http://anything", true},
	};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_cors_origin o = {0};
		struct sn_cors c = {.origins = &o, .n_origins = 1};
		char line[200];
		const char *lines[] = {line, NULL};
		struct sn_headers hs;

		if (strcmp(rows[i].rule, "*") == 0) {
			c = (struct sn_cors){.any_origin = true};
		} else {
			assert_int_equal(sn_cors_origin_parse(sn_slice_cstr(rows[i].rule), &o), 0);
		}
		snprintf(line, sizeof(line), "Origin: %s", rows[i].origin);
		hs = fields(asked, lines);
		if ((sn_cors_allowed(&c, &hs).n > 0) != rows[i].may)
			fail_msg("%s, %s", rows[i].rule, rows[i].origin);
	}
}

static void test_what_a_preflight_is(void **state)
{
	static const char *const both[] = {"Origin: https://a",
					   "Access-Control-Request-Method: PUT", NULL};
	static const char *const one[] = {"Origin: https://a", NULL};
	static const char *const other[] = {"Access-Control-Request-Method: PUT", NULL};
	struct sn_request req = {.method = SN_METHOD_OPTIONS};

	(void)state;
	req.headers = fields(asked, both);
	assert_true(sn_cors_is_preflight(&req));
	req.method = SN_METHOD_GET;
	assert_false(sn_cors_is_preflight(&req));
	req.method = SN_METHOD_OPTIONS;
	req.headers = fields(asked, one);
	assert_false(sn_cors_is_preflight(&req));
	req.headers = fields(asked, other);
	assert_false(sn_cors_is_preflight(&req));
}

static void test_preflights(void **state)
{
	static const char *const ask[] = {"Origin: https://a", "Access-Control-Request-Method: PUT",
					  "Access-Control-Request-Headers: x-a, x-b", NULL};
	static const struct {
		struct sn_cors c;
		const char *origin, *want;
	} rows[] = {
		{{.methods = SN_SLICE("GET, PUT"),
		  .headers = SN_SLICE("x-a"),
		  .max_age = SN_SLICE("5")},
		 "https://a",
		 "vary: Origin\naccess-control-allow-origin: https://a\n"
		 "access-control-allow-methods: GET, PUT\naccess-control-allow-headers: x-a\n"
		 "access-control-max-age: 5\n"},
		{{.methods = SN_SLICE("PUT"), .max_age = SN_SLICE("5")}, "", "vary: Origin\n"},
		{{.max_age = SN_SLICE("5")},
		 "https://a",
		 "vary: Origin\naccess-control-allow-origin: https://a\naccess-control-max-age: "
		 "5\n"},
		{{.any_origin = true,
		  .any_method = true,
		  .any_header = true,
		  .max_age = SN_SLICE("9")},
		 "https://a",
		 "vary: Origin\naccess-control-allow-origin: *\naccess-control-allow-methods: *\n"
		 "access-control-allow-headers: *\naccess-control-max-age: 9\n"},
		{{.any_origin = true,
		  .any_method = true,
		  .any_header = true,
		  .credentials = true,
		  .max_age = SN_SLICE("9")},
		 "https://a",
		 "vary: Origin\naccess-control-allow-origin: https://a\n"
		 "access-control-allow-credentials: true\naccess-control-allow-methods: PUT\n"
		 "access-control-allow-headers: x-a, x-b\naccess-control-max-age: 9\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_request req = {.headers = fields(asked, ask)};
		struct sn_headers hs = {storage, 0, SN_CORS_FIELDS};

		assert_int_equal(
			sn_cors_preflight(&rows[i].c, &req, sn_slice_cstr(rows[i].origin), &hs), 0);
		assert_string_equal(text_of(&hs), rows[i].want);
	}
}

static void test_responses(void **state)
{
	static const struct {
		struct sn_cors c;
		const char *origin;
		const char *const lines[6];
		const char *want;
	} rows[] = {
		{{0}, "", {"a: 1", NULL}, "a: 1\nvary: Origin\n"},
		{{.exposed = SN_SLICE("x-a, x-b")},
		 "https://a",
		 {"a: 1", NULL},
		 "a: 1\nvary: Origin\naccess-control-allow-origin: https://a\n"
		 "access-control-expose-headers: x-a, x-b\n"},
		/* what the upstream said gives way, allowed or not */
		{{0},
		 "https://a",
		 {"Access-Control-Allow-Origin: *", "Access-Control-Allow-Methods: DELETE",
		  "Access-Control-Expose-Headers: x", "Access-Control-Allow-Credentials: true",
		  NULL},
		 "vary: Origin\naccess-control-allow-origin: https://a\n"},
		{{0}, "", {"Access-Control-Allow-Origin: *", NULL}, "vary: Origin\n"},
		/* Vary is said once */
		{{0}, "", {"Vary: accept, origin", NULL}, "Vary: accept, origin\n"},
		{{0}, "", {"Vary: *", NULL}, "Vary: *\n"},
		{{0}, "", {"Vary: accept", NULL}, "Vary: accept\nvary: Origin\n"},
		{{.any_origin = true, .any_exposed = true},
		 "https://a",
		 {NULL},
		 "vary: Origin\naccess-control-allow-origin: *\naccess-control-expose-headers: "
		 "*\n"},
		/* with credentials a star would be a name */
		{{.any_origin = true, .any_exposed = true, .credentials = true},
		 "https://a",
		 {NULL},
		 "vary: Origin\naccess-control-allow-origin: https://a\n"
		 "access-control-allow-credentials: true\n"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_headers hs = fields(storage, rows[i].lines);

		assert_int_equal(sn_cors_response(&rows[i].c, sn_slice_cstr(rows[i].origin), &hs),
				 0);
		assert_string_equal(text_of(&hs), rows[i].want);
	}
}

static void test_no_room(void **state)
{
	struct sn_cors c = {
		.credentials = true, .exposed = SN_SLICE("a"), .max_age = SN_SLICE("5")};
	struct sn_request req = {0};

	(void)state;
	for (uint32_t cap = 0; cap < 4; cap++) {
		struct sn_headers hs = {storage, 0, cap};

		assert_int_equal(sn_cors_response(&c, SN_SLICE("https://a"), &hs), -SN_ETOOBIG);
		hs.n = 0;
		assert_int_equal(sn_cors_preflight(&c, &req, SN_SLICE("https://a"), &hs),
				 -SN_ETOOBIG);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_origins_that_are_none),
					   cmocka_unit_test(test_who_may),
					   cmocka_unit_test(test_what_a_preflight_is),
					   cmocka_unit_test(test_preflights),
					   cmocka_unit_test(test_responses),
					   cmocka_unit_test(test_no_room)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
