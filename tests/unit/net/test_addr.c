/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses: text and back, what is refused, families, and the kernel's structures. */
#include "../unit.h"

#include <netinet/in.h>

#include "net/addr.h"

static void test_parse(void **state)
{
	static const struct {
		const char *in, *want; /* NULL: refused */
	} rows[] = {
		{"127.0.0.1:80", "127.0.0.1:80"},
		{"0.0.0.0:0", "0.0.0.0:0"},
		{"[::1]:65535", "[::1]:65535"},
		{"[::]:4191", "[::]:4191"},
		{"[2001:DB8:0:0::1]:1", "[2001:db8::1]:1"},
		{"[::ffff:1.2.3.4]:5", "[::ffff:1.2.3.4]:5"},
		{"", NULL},
		{":80", NULL},
		{"127.0.0.1", NULL},
		{"127.0.0.1:", NULL},
		{"127.0.0.1:65536", NULL},
		{"127.0.0.1:-1", NULL},
		{"127.0.0.1:+1", NULL},
		{"127.0.0.1: 1", NULL},
		{"127.0.0.1:80x", NULL},
		{"127.0.0:80", NULL},
		{"127.0.0.256:80", NULL},
		{"127.0.0.1.1:80", NULL},
		{"[127.0.0.1]:80", NULL},
		{"::1:80", NULL}, /* ambiguous */
		{"[::1:80", NULL},
		{"::1]:80", NULL},
		{"[]:80", NULL},
		{"[::1]80", NULL},
		{"[::1%lo]:80", NULL},
		{"localhost:80", NULL}, /* never resolved */
		{"127.0.0.1:80:80", NULL},
		{"[11111111111111111111111111111111111111111111111111111111111111111111]:1", NULL},
	};
	char text[SN_ADDR_TEXT];
	struct sn_addr a;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		int rc = sn_addr_parse(sn_slice_cstr(rows[i].in), &a);

		if ((rc == 0) != (rows[i].want != NULL))
			print_error("input: %s\n", rows[i].in);
		assert_int_equal(rc, rows[i].want ? 0 : -SN_ESYNTAX);
		if (rc == 0)
			assert_string_equal(sn_addr_format(&a, text), rows[i].want);
	}
	assert_int_equal(sn_addr_parse(sn_slice("1.2.3.4\0:80", 11), &a), -SN_ESYNTAX);
}

static void test_parse_ip(void **state)
{
	char text[SN_ADDR_TEXT];
	struct sn_addr a;

	(void)state;
	assert_int_equal(sn_addr_parse_ip(SN_SLICE("::1"), 7, &a), 0);
	assert_int_equal(a.port, 7);
	assert_string_equal(sn_addr_format_ip(&a, text), "::1");
	assert_int_equal(sn_addr_parse_ip(SN_SLICE("[fe80::1]"), 0, &a), 0);
	assert_int_equal(sn_addr_parse_ip(SN_SLICE("10.0.0.1"), 0, &a), 0);
	assert_string_equal(sn_addr_format_ip(&a, text), "10.0.0.1");
	assert_int_equal(sn_addr_parse_ip(SN_SLICE("10.0.0.1:80"), 0, &a), -SN_ESYNTAX);
	assert_int_equal(sn_addr_parse_ip(SN_SLICE(""), 0, &a), -SN_ESYNTAX);
	assert_int_equal(sn_addr_parse_ip(SN_SLICE("010.0.0.1"), 0, &a), -SN_ESYNTAX);
	a = (struct sn_addr){0};
	assert_string_equal(sn_addr_format(&a, text), "-");
	assert_string_equal(sn_addr_format_ip(&a, text), "-");
	memset(a.ip, 0xff, sizeof(a.ip));
	a.family = AF_INET6;
	a.port = 65535;
	assert_string_equal(sn_addr_format(&a, text),
			    "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static struct sn_addr of(const char *text)
{
	struct sn_addr a;

	assert_int_equal(sn_addr_parse(sn_slice_cstr(text), &a), 0);
	return a;
}

static void test_loopback(void **state)
{
	static const char *const yes[] = {"127.0.0.1:1", "127.255.0.9:1", "[::1]:1",
					  "[::ffff:127.0.0.1]:1"};
	static const char *const no[] = {"0.0.0.0:1", "128.0.0.1:1",	     "[::]:1",
					 "[::2]:1",   "[::ffff:10.0.0.1]:1", "[fe80::1]:1"};
	struct sn_addr none = {0};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(yes); i++) {
		struct sn_addr a = of(yes[i]);

		assert_true(sn_addr_is_loopback(&a));
	}
	for (size_t i = 0; i < SN_ARRAY_LEN(no); i++) {
		struct sn_addr a = of(no[i]);

		assert_false(sn_addr_is_loopback(&a));
	}
	assert_false(sn_addr_is_loopback(&none));
}

static void test_equality(void **state)
{
	struct sn_addr a = of("10.0.0.1:80"), b = of("10.0.0.1:81"), c = of("[::ffff:10.0.0.1]:80");
	struct sn_addr d = of("[fe80::1]:80"), e = d;

	(void)state;
	assert_true(sn_addr_eq(&a, &a));
	assert_false(sn_addr_eq(&a, &b));
	assert_true(sn_addr_eq_ip(&a, &b));
	assert_false(sn_addr_eq(&a, &c));
	sn_addr_unmap(&c);
	assert_true(sn_addr_eq(&a, &c));
	e.scope = 3;
	assert_false(sn_addr_eq(&d, &e));
	sn_addr_unmap(&e);
	assert_int_equal(e.family, AF_INET6);
}

static void test_sockaddr(void **state)
{
	static const char *const rows[] = {"10.1.2.3:4", "[2001:db8::5]:6"};
	struct sockaddr_storage ss;
	struct sn_addr back, none = {0};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_addr a = of(rows[i]);

		a.scope = a.family == AF_INET6 ? 9 : 0;
		assert_int_equal(sn_addr_to_sockaddr(&a, &ss),
				 a.family == AF_INET6 ? sizeof(struct sockaddr_in6)
						      : sizeof(struct sockaddr_in));
		sn_addr_from_sockaddr(&ss, &back);
		assert_memory_equal(&a, &back, sizeof(a)); /* a key of maps: every byte counts */
	}
	back = of("[::ffff:10.1.2.3]:4");
	sn_addr_to_sockaddr(&back, &ss);
	sn_addr_from_sockaddr(&ss, &back);
	assert_int_equal(back.family, AF_INET);
	assert_int_equal(sn_addr_to_sockaddr(&none, &ss), 0);
	memset(&ss, 0xff, sizeof(ss));
	ss.ss_family = AF_UNIX;
	sn_addr_from_sockaddr(&ss, &back);
	assert_int_equal(back.family, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_parse),	 cmocka_unit_test(test_parse_ip),
		cmocka_unit_test(test_loopback), cmocka_unit_test(test_equality),
		cmocka_unit_test(test_sockaddr),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
