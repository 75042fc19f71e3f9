/* SPDX-License-Identifier: Apache-2.0 */
/* Rewritten paths by the Gateway API's table, and where redirects lead. */
#include "tests/unit/unit.h"

#include <stdlib.h>

#include "mesh/filter.h"

static size_t prefix_bytes(const char *prefix)
{
	size_t n = strlen(prefix);

	while (n && prefix[n - 1] == '/')
		n--;
	return n;
}

/* In memory of exactly the announced size, so that a sanitizer sees what goes beyond it. */
static char *changed(const struct sn_path_change *c, const char *path)
{
	size_t room = sn_path_change_bytes(c, sn_slice_cstr(path));
	char *dst = malloc(room);
	struct sn_slice out = sn_path_changed(c, sn_slice_cstr(path), dst);
	char *text = strndup(out.p, out.n);

	assert_true(out.n <= room);
	free(dst);
	return text;
}

static void test_prefixes(void **state)
{
	static const struct {
		const char *path, *prefix, *value, *want;
	} rows[] = {
		/* the table at HTTPPathModifier.replacePrefixMatch */
		{"/foo/bar", "/foo", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo", "/xyz/", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz", "/xyz/bar"},
		{"/foo/bar", "/foo/", "/xyz/", "/xyz/bar"},
		{"/foo", "/foo", "/xyz", "/xyz"},
		{"/foo/", "/foo", "/xyz", "/xyz/"},
		{"/foo/bar", "/foo", "", "/bar"},
		{"/foo/", "/foo", "", "/"},
		{"/foo", "/foo", "", "/"},
		{"/foo/", "/foo", "/", "/"},
		{"/foo", "/foo", "/", "/"},
		/* and beyond it */
		{"/", "/", "/xyz", "/xyz/"},
		{"/a/b", "/", "/xyz", "/xyz/a/b"},
		{"/a/b", "/", "/", "/a/b"},
		{"/foo?x=/foo", "/foo", "/xyz", "/xyz?x=/foo"},
		{"/foo/bar?", "/foo", "", "/bar?"},
		{"/foo?a?b", "/foo", "", "/?a?b"},
		{"/foo//bar", "/foo", "/xyz", "/xyz//bar"},
		{"/foo/%2e%2e/a", "/foo", "/xyz", "/xyz/%2e%2e/a"},
		{"*", "/", "/xyz", "*"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_path_change c = {SN_PATH_REPLACE_PREFIX, sn_slice_cstr(rows[i].value),
					   prefix_bytes(rows[i].prefix)};
		char *got = changed(&c, rows[i].path);

		if (strcmp(got, rows[i].want) != 0)
			fail_msg("%s, %s -> %s: %s", rows[i].path, rows[i].prefix, rows[i].value,
				 got);
		free(got);
	}
}

static void test_full_paths(void **state)
{
	static const struct {
		enum sn_path_change_kind kind;
		const char *path, *want;
	} rows[] = {{SN_PATH_REPLACE_FULL, "/a/b", "/new"}, {SN_PATH_REPLACE_FULL, "/?q", "/new?q"},
		    {SN_PATH_REPLACE_FULL, "*", "*"},	    {SN_PATH_REPLACE_FULL, "/a?", "/new?"},
		    {SN_PATH_KEEP, "/a/b?q", "/a/b?q"},	    {SN_PATH_KEEP, "", ""}};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_path_change c = {rows[i].kind, SN_SLICE("/new"), 0};
		char *got = changed(&c, rows[i].path);

		assert_string_equal(got, rows[i].want);
		free(got);
	}
}

static void test_locations(void **state)
{
	static const struct {
		const char *scheme, *hostname;
		uint16_t port;
		const char *from_scheme, *authority;
		uint16_t from_port;
		const char *path, *want;
	} rows[] = {
		/* all from the request */
		{"", "", 0, "http", "web", 0, "/a?b", "http://web/a?b"},
		{"", "", 0, "http", "web:80", 0, "/", "http://web/"},
		{"", "", 0, "http", "web:8080", 0, "/", "http://web:8080/"},
		{"", "", 0, "https", "web", 0, "/", "https://web/"},
		{"", "", 0, "https", "web:443", 0, "/", "https://web/"},
		{"", "", 0, "https", "web:80", 0, "/", "https://web:80/"},
		{"", "", 0, "http", "[::1]:8080", 0, "/", "http://[::1]:8080/"},
		{"", "", 0, "http", "[::1]", 0, "/", "http://[::1]/"},
		{"", "", 0, "http", "web", 8080, "/", "http://web:8080/"},
		{"", "", 0, "http", "web:81", 8080, "/", "http://web:81/"},
		/* a scheme brings its port along */
		{"https", "", 0, "http", "web", 0, "/", "https://web/"},
		{"https", "", 0, "http", "web:8080", 8080, "/", "https://web/"},
		{"http", "", 0, "https", "web:8443", 0, "/", "http://web/"},
		{"https", "", 8443, "http", "web", 0, "/", "https://web:8443/"},
		/* the scheme's own port is left out */
		{"https", "", 443, "http", "web", 0, "/", "https://web/"},
		{"http", "", 80, "http", "web", 0, "/", "http://web/"},
		{"https", "", 80, "http", "web", 0, "/", "https://web:80/"},
		{"http", "", 443, "http", "web", 0, "/", "http://web:443/"},
		{"", "", 80, "http", "web:8080", 0, "/", "http://web/"},
		{"", "", 65535, "http", "web", 0, "/", "http://web:65535/"},
		/* a host */
		{"", "example.org", 0, "http", "web", 0, "/a", "http://example.org/a"},
		{"", "example.org", 0, "http", "web:8080", 0, "/", "http://example.org:8080/"},
		{"https", "example.org", 0, "http", "web:8080", 0, "/", "https://example.org/"},
		{"", "example.org", 0, "http", "", 0, "/", "http://example.org/"},
		/* an HTTP/1.0 request without any */
		{"https", "", 8443, "http", "", 0, "/a?b", "/a?b"},
		{"", "", 0, "http", "", 0, "//evil.example/", "/.//evil.example/"},
		{"", "", 0, "http", "web", 0, "//evil.example/", "http://web//evil.example/"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_redirect r = {.scheme = sn_slice_cstr(rows[i].scheme),
					.hostname = sn_slice_cstr(rows[i].hostname),
					.port = rows[i].port};
		struct sn_redirect_from from = {sn_slice_cstr(rows[i].from_scheme),
						sn_slice_cstr(rows[i].authority), rows[i].from_port,
						sn_slice_cstr(rows[i].path)};
		size_t room = sn_redirect_bytes(&r, &from), n;
		char *dst = malloc(room);

		n = sn_redirect_location(&r, &from, dst);
		assert_true(n <= room);
		if (n != strlen(rows[i].want) || memcmp(dst, rows[i].want, n) != 0)
			fail_msg("row %zu: %.*s", i, (int)n, dst);
		free(dst);
	}
}

static void test_paths_of_locations(void **state)
{
	struct sn_redirect r = {.path = {SN_PATH_REPLACE_PREFIX, SN_SLICE("/new"), 4}};
	struct sn_redirect_from from = {SN_SLICE("http"), SN_SLICE("web"), 0,
					SN_SLICE("/old/x?y=1")};
	char dst[200];

	(void)state;
	assert_true(sn_redirect_bytes(&r, &from) <= sizeof(dst));
	assert_true(sn_slice_eq_cstr(sn_slice(dst, sn_redirect_location(&r, &from, dst)),
				     "http://web/new/x?y=1"));
	r.path = (struct sn_path_change){SN_PATH_REPLACE_FULL, SN_SLICE("/all"), 0};
	assert_true(sn_slice_eq_cstr(sn_slice(dst, sn_redirect_location(&r, &from, dst)),
				     "http://web/all?y=1"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_prefixes), cmocka_unit_test(test_full_paths),
		cmocka_unit_test(test_locations), cmocka_unit_test(test_paths_of_locations)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
