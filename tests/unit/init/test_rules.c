/* SPDX-License-Identifier: Apache-2.0 */
/* Port lists and the texts of the rules. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "init/rules.h"

static void test_port_lists(void **state)
{
	struct sn_err err = {0};
	struct sn_ports p;

	(void)state;
	assert_int_equal(sn_ports_parse("", &p, &err), 0);
	assert_int_equal(p.n, 0);
	assert_int_equal(sn_ports_parse("80, 443,9000-9100", &p, &err), 0);
	assert_int_equal(p.n, 3);
	assert_int_equal(p.v[2].first, 9000);
	assert_int_equal(p.v[2].last, 9100);
}

static void test_bad_port_lists(void **state)
{
	static const char *const bad[] = {"0",	"65536", "x",  "80,",	"80,,81",
					  "-1", "90-80", "1-", "80 81", "80; flush ruleset"};
	struct sn_err err;
	struct sn_ports p;
	char many[1000] = "1";
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(bad); i++) {
		err.msg[0] = 0;
		if (sn_ports_parse(bad[i], &p, &err) != -SN_EUSAGE && strcmp(bad[i], "80,") != 0)
			fail_msg("accepted: %s", bad[i]);
	}
	for (i = 0; i < SN_PORT_RANGES_MAX; i++)
		strcat(many, ",1");
	assert_int_equal(sn_ports_parse(many, &p, &err), -SN_EUSAGE);
}

static void test_iptables_text(void **state)
{
	struct sn_rules r = {
		.inbound_port = 4143, .outbound_port = 4140, .admin_port = 4191, .proxy_uid = 2102};
	struct sn_buf out;

	(void)state;
	assert_int_equal(sn_ports_parse("22", &r.skip_inbound, NULL), 0);
	sn_buf_init(&out, 0);
	sn_rules_iptables(&r, false, &out);
	assert_string_equal(
		sn_buf_cstr(&out),
		"*nat\n:SENNIT_OUT - [0:0]\n:SENNIT_IN - [0:0]\n"
		"-A SENNIT_OUT -o lo -j RETURN\n"
		"-A SENNIT_OUT -m owner --uid-owner 2102 -j RETURN\n"
		"-A SENNIT_OUT -p tcp -j REDIRECT --to-ports 4140\n"
		"-A SENNIT_IN -i lo -j RETURN\n"
		"-A SENNIT_IN -p tcp --dport 4143 -j RETURN\n"
		"-A SENNIT_IN -p tcp --dport 4191 -j RETURN\n"
		"-A SENNIT_IN -p tcp --dport 22:22 -j RETURN\n"
		"-A SENNIT_IN -p tcp -j REDIRECT --to-ports 4143\n"
		"-A OUTPUT -p tcp -j SENNIT_OUT\n-A PREROUTING -p tcp -j SENNIT_IN\nCOMMIT\n");
	sn_buf_done(&out);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_port_lists),
		cmocka_unit_test(test_bad_port_lists),
		cmocka_unit_test(test_iptables_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
