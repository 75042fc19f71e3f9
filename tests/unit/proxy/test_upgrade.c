/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets which socket, and how the two ends introduce themselves. */
#include "tests/unit/unit.h"

#include "proxy/upgrade.h"

static struct sn_handed_socket sockets[16];
static struct sn_handed handed = {.sockets = sockets};

static struct sn_addr addr(const char *text)
{
	struct sn_addr a;

	assert_int_equal(sn_addr_parse(sn_slice_cstr(text), &a), 0);
	return a;
}

static void hand(enum sn_handed_kind kind, const char *at, int fd)
{
	sockets[handed.n++] = (struct sn_handed_socket){.fd = fd, .kind = kind, .at = addr(at)};
}

static int begin(void **state)
{
	(void)state;
	handed.n = 0;
	return 0;
}

/* Takes what is worker @index's of @n, at once, as "10 12 ". */
static const char *share(const char *at, unsigned index, unsigned n)
{
	struct sn_addr a = addr(at);
	static char text[128];
	int fd, len = 0;

	text[0] = 0;
	while ((fd = sn_handed_take(&handed, SN_HANDED_LISTENER, &a, index, n)) >= 0)
		len += snprintf(text + len, sizeof(text) - (size_t)len, "%d ", fd);
	return text;
}

static void test_each_socket_has_one_owner(void **state)
{
	static const struct {
		unsigned workers;
		const char *shares[4];
	} rows[] = {
		{1, {"10 11 12 "}},
		{2, {"10 12 ", "11 "}},
		{3, {"10 ", "11 ", "12 "}},
		{4, {"10 ", "11 ", "12 ", ""}}, /* binds one of its own */
	};
	size_t i;
	unsigned k;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		handed.n = 0;
		hand(SN_HANDED_ADMIN, "127.0.0.1:80", 3);
		for (k = 0; k < 3; k++) {
			hand(SN_HANDED_LISTENER, "127.0.0.1:80", 10 + (int)k);
			hand(SN_HANDED_LISTENER, "127.0.0.1:81", 20 + (int)k);
		}
		for (k = 0; k < rows[i].workers; k++)
			assert_string_equal(share("127.0.0.1:80", k, rows[i].workers),
					    rows[i].shares[k]);
		assert_string_equal(share("127.0.0.1:80", 0, 1), ""); /* none twice */
		assert_string_equal(share("127.0.0.1:81", 0, 1), "20 21 22 ");
	}
}

static void test_kinds_and_addresses(void **state)
{
	struct sn_addr at = addr("127.0.0.1:80"), v6 = addr("[::1]:80"), any = addr("[::]:80");

	(void)state;
	assert_int_equal(sn_handed_take(&handed, SN_HANDED_ADMIN, &at, 0, 1), -1);
	hand(SN_HANDED_LISTENER, "127.0.0.1:80", 4);
	hand(SN_HANDED_ADMIN, "[::]:80", 5);
	hand(SN_HANDED_DOOR, "127.0.0.1:1", 6);
	assert_int_equal(sn_handed_take(&handed, SN_HANDED_ADMIN, &at, 0, 1), -1);
	assert_int_equal(sn_handed_take(&handed, SN_HANDED_LISTENER, &v6, 0, 1), -1);
	assert_int_equal(sn_handed_take(&handed, SN_HANDED_ADMIN, &any, 0, 1), 5);
	assert_int_equal(sn_handed_take(&handed, SN_HANDED_ADMIN, &any, 0, 1), -1);
	assert_int_equal(sn_handed_take(&handed, SN_HANDED_DOOR, NULL, 0, 1), 6);
	assert_int_equal(sn_handed_take(&handed, SN_HANDED_LISTENER, &at, 0, 1), 4);
}

static void test_hello(void **state)
{
	static const char *const bad[] = {
		"",
		"sennit-upgrade",
		"sennit-upgrade ",
		"sennit-upgrade 1",
		"sennit-upgrade 1 0.1.0",
		"sennit-upgrade 1 0.1.0 ",
		"sennit-upgrade 1  12",
		"sennit-upgrade one 0.1.0 12",
		"sennit-upgrade -1 0.1.0 12",
		"sennit-upgrade 1 0.1.0 12 13",
		"sennit-upgrade 4294967296 0.1.0 12",
		"sennit-upgrade 1 0.1.0 2147483648",
		"sennit-upgrade 1 01234567890123456789012345678901 12",
		"refused sennit-upgrade 1 0.1.0 12",
	};
	struct sn_upgrade_hello h;
	size_t i;

	(void)state;
	assert_true(sn_upgrade_parse_hello("sennit-upgrade 1 0.1.0-rc1 12", &h));
	assert_int_equal(h.protocol, 1);
	assert_int_equal(h.pid, 12);
	assert_string_equal(h.version, "0.1.0-rc1");
	assert_true(sn_upgrade_parse_hello("sennit-upgrade 2 3 4", &h)); /* to be told so */
	assert_int_equal(h.protocol, 2);
	for (i = 0; i < SN_ARRAY_LEN(bad); i++)
		if (sn_upgrade_parse_hello(bad[i], &h))
			fail_msg("taken: %s", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_each_socket_has_one_owner, begin),
		cmocka_unit_test_setup(test_kinds_and_addresses, begin),
		cmocka_unit_test_setup(test_hello, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
