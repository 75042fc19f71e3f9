/* SPDX-License-Identifier: Apache-2.0 */
/* What a request's key is made of. */
#include "tests/unit/unit.h"

#include "mesh/hashkey.h"

static struct sn_header fields[] = {
	{.name = SN_SLICE("X-User"), .value = SN_SLICE("ann")},
	{.name = SN_SLICE("x-user"), .value = SN_SLICE("bob")},
	{.name = SN_SLICE("Cookie"), .value = SN_SLICE("a=1; sid=abc; b=2"), .id = SN_HDR_COOKIE},
	{.name = SN_SLICE("cookie"), .value = SN_SLICE("late=ann"), .id = SN_HDR_COOKIE},
	{.name = SN_SLICE("x-empty"), .value = SN_SLICE("")},
};

static bool key(enum sn_hash_kind kind, const char *name, const char *path, uint64_t *ret)
{
	struct sn_hash_on on = {kind, name};
	struct sn_request req = {.path = sn_slice_cstr(path),
				 .headers = {fields, SN_ARRAY_LEN(fields), SN_ARRAY_LEN(fields)}};
	struct sn_addr peer = {.family = AF_INET, .port = 1234, .ip = {10, 0, 0, 1}};

	*ret = 0;
	return sn_hashkey(&on, &req, &peer, ret);
}

static void test_sources(void **state)
{
	uint64_t ann, other;

	(void)state;
	assert_true(key(SN_HASH_HEADER, "x-user", "/", &ann)); /* the first, without case */
	assert_true(key(SN_HASH_COOKIE, "late", "/", &other)); /* of any Cookie field */
	assert_true(ann == other);
	assert_true(key(SN_HASH_QUERY_PARAM, "u", "/x?a=b&u=ann&u=bob", &other));
	assert_true(ann == other);
	assert_true(key(SN_HASH_QUERY_PARAM, "u", "/x?u=bob", &other));
	assert_true(ann != other);
	assert_true(key(SN_HASH_COOKIE, "sid", "/", &other));
	assert_true(ann != other);
	assert_true(key(SN_HASH_SOURCE_ADDRESS, NULL, "/", &other));
	assert_true(other != 0);
}

/* What other releases and other proxies compute, too. */
static void test_it_never_changes(void **state)
{
	uint64_t h;

	(void)state;
	assert_true(key(SN_HASH_HEADER, "x-user", "/", &h));
	assert_true(h == 0xc3a03273df168ba3u);
}

static void test_absent_or_empty(void **state)
{
	static const struct {
		enum sn_hash_kind kind;
		const char *name, *path;
	} rows[] = {
		{SN_HASH_NONE, "", "/"},
		{SN_HASH_HEADER, "x-nobody", "/"},
		{SN_HASH_HEADER, "x-empty", "/"},
		{SN_HASH_COOKIE, "SID", "/"},
		{SN_HASH_COOKIE, "id", "/"},
		{SN_HASH_QUERY_PARAM, "u", "/u=1"},
		{SN_HASH_QUERY_PARAM, "u", "/?"},
		{SN_HASH_QUERY_PARAM, "u", "/?u"},
		{SN_HASH_QUERY_PARAM, "u", "/?u=&&"},
		{SN_HASH_QUERY_PARAM, "u", "/?xu=1&U=1"},
	};
	uint64_t h;
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++)
		if (key(rows[i].kind, rows[i].name, rows[i].path, &h))
			fail_msg("row %zu has a key", i);
}

static void test_the_port_is_not_the_client(void **state)
{
	struct sn_hash_on on = {SN_HASH_SOURCE_ADDRESS, NULL};
	struct sn_addr a = {.family = AF_INET, .port = 1, .ip = {10, 0, 0, 1}}, b = a;
	struct sn_request req = {0};
	uint64_t x, y;

	(void)state;
	b.port = 2;
	assert_true(sn_hashkey(&on, &req, &a, &x) && sn_hashkey(&on, &req, &b, &y));
	assert_true(x == y);
	b.ip[3] = 2;
	assert_true(sn_hashkey(&on, &req, &b, &y));
	assert_true(x != y);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_it_never_changes),
		cmocka_unit_test(test_absent_or_empty),
		cmocka_unit_test(test_the_port_is_not_the_client),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
