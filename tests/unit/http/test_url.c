/* SPDX-License-Identifier: Apache-2.0 */
/* Authorities, paths and queries: what is cut where, and what is refused. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "base/err.h"
#include "http/url.h"

static void test_authority(void **state)
{
	static const struct {
		const char *in, *host; /* NULL: refused */
		uint16_t port;
	} rows[] = {
		{"a", "a", 0},
		{"web.demo:80", "web.demo", 80},
		{"web.demo.:65535", "web.demo", 65535},
		{"127.0.0.1:1", "127.0.0.1", 1},
		{"[::1]", "::1", 0},
		{"[2001:db8::1]:8080", "2001:db8::1", 8080},
		{"a-b_c~d!$&'()*+,;=%2f", "a-b_c~d!$&'()*+,;=%2f", 0},
		{"", NULL, 0},
		{".", NULL, 0},
		{":80", NULL, 0},
		{"a:", NULL, 0},
		{"a:0", NULL, 0},
		{"a:65536", NULL, 0},
		{"a:000080", NULL, 0},
		{"a:+80", NULL, 0},
		{"a:80:80", NULL, 0},
		{"::1", NULL, 0},
		{"[::1", NULL, 0},
		{"[::1]x", NULL, 0},
		{"[]", NULL, 0},
		{"[1.2.3.4]", NULL, 0},
		{"[fe80::1%eth0]", NULL, 0},
		{"u@a", NULL, 0},
		{"a/b", NULL, 0},
		{"a b", NULL, 0},
		{"a?b", NULL, 0},
		{"a%2", NULL, 0},
		{"a%zz", NULL, 0},
		{"a\x80", NULL, 0},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_slice host = SN_SLICE("untouched");
		uint16_t port = 7;
		int rc = sn_url_authority(sn_slice_cstr(rows[i].in), &host, &port);

		if ((rc == 0) != (rows[i].host != NULL))
			print_error("%s\n", rows[i].in);
		assert_int_equal(rc, rows[i].host ? 0 : -SN_EPROTO);
		assert_true(sn_slice_eq_cstr(host, rows[i].host ? rows[i].host : "untouched"));
		assert_int_equal(port, rows[i].host ? rows[i].port : 7);
	}
}

static void test_authority_long(void **state)
{
	char name[300];
	struct sn_slice host;
	uint16_t port;

	(void)state;
	memset(name, 'a', sizeof(name));
	assert_int_equal(sn_url_authority(sn_slice(name, 255), &host, &port), 0);
	assert_int_equal(sn_url_authority(sn_slice(name, 256), &host, &port), -SN_EPROTO);
	name[0] = '[';
	name[299] = ']';
	assert_int_equal(sn_url_authority(sn_slice(name, 300), &host, &port), -SN_EPROTO);
	assert_int_equal(sn_url_authority(SN_SLICE("[::1\0]"), &host, &port), -SN_EPROTO);
}

static void test_path_query(void **state)
{
	struct sn_slice path, query;

	(void)state;
	assert_int_equal(sn_url_path_query(SN_SLICE("/a/b?c?d"), &path, &query), 0);
	assert_true(sn_slice_eq_cstr(path, "/a/b"));
	assert_true(sn_slice_eq_cstr(query, "c?d"));
	assert_int_equal(sn_url_path_query(SN_SLICE("/a"), &path, &query), 0);
	assert_true(sn_slice_eq_cstr(path, "/a"));
	assert_int_equal(query.n, 0);
	assert_int_equal(sn_url_path_query(SN_SLICE("/a?"), &path, &query), 0);
	assert_int_equal(query.n, 0);
	assert_int_equal(sn_url_path_query(SN_SLICE("*"), &path, &query), 0);
	assert_int_equal(sn_url_path_query(SN_SLICE("/a#b"), &path, &query), -SN_EPROTO);
}

static void test_query(void **state)
{
	static const struct {
		const char *query, *name, *value; /* NULL: absent */
	} rows[] = {
		{"a=1&b=2", "b", "2"}, {"a=1&a=2", "a", "1"},	    {"a", "a", ""},
		{"a=", "a", ""},       {"a=b=c", "a", "b=c"},	    {"%61=1", "a", "1"},
		{"a=1", "%61", "1"},   {"a+b=1", "a+b", "1"},	    {"&&x=%20&", "x", "%20"},
		{"ab=1", "a", NULL},   {"a=1", "ab", NULL},	    {"", "a", NULL},
		{"a=1&b", "c", NULL},  {"A=1", "a", NULL},	    {"a%=1", "a%", "1"},
		{"a%2=1", "a%2", "1"}, {"x=1&%7A=%7a", "z", "%7a"}, {"=1", "", "1"},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_slice value = {NULL, 0};
		bool found = sn_url_query_find(sn_slice_cstr(rows[i].query),
					       sn_slice_cstr(rows[i].name), &value);

		if (found != (rows[i].value != NULL))
			print_error("%s\n", rows[i].query);
		assert_int_equal(found, rows[i].value != NULL);
		if (found)
			assert_true(sn_slice_eq_cstr(value, rows[i].value));
	}
}

static void test_decoded_eq(void **state)
{
	(void)state;
	assert_true(sn_url_decoded_eq(SN_SLICE("a%20b"), SN_SLICE("a b")));
	assert_true(sn_url_decoded_eq(SN_SLICE("%41%4a%4A"), SN_SLICE("AJJ")));
	assert_true(sn_url_decoded_eq(SN_SLICE("%"), SN_SLICE("%")));
	assert_true(sn_url_decoded_eq(SN_SLICE("%4"), SN_SLICE("%4")));
	assert_true(sn_url_decoded_eq(SN_SLICE("%00"), SN_SLICE("\0")));
	assert_true(sn_url_decoded_eq(SN_SLICE(""), SN_SLICE("")));
	assert_false(sn_url_decoded_eq(SN_SLICE("a b"), SN_SLICE("a%20b")));
	assert_false(sn_url_decoded_eq(SN_SLICE("a"), SN_SLICE("ab")));
	assert_false(sn_url_decoded_eq(SN_SLICE("ab"), SN_SLICE("a")));
	assert_false(sn_url_decoded_eq(SN_SLICE("a+b"), SN_SLICE("a b")));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_authority),  cmocka_unit_test(test_authority_long),
		cmocka_unit_test(test_path_query), cmocka_unit_test(test_query),
		cmocka_unit_test(test_decoded_eq),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
