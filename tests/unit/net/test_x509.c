/* SPDX-License-Identifier: Apache-2.0 */
/* The small CA: what it makes, what it refuses. That the chain verifies is seen by real clients in
 * the integration tests. */
#include "tests/unit/unit.h"

#include <time.h>

#include "net/x509.h"

#define DAY 86400

struct pem {
	struct sn_buf cert, key;
};

static void init(struct pem *p)
{
	sn_buf_init(&p->cert, 0);
	sn_buf_init(&p->key, 0);
}

static void done(struct pem *p)
{
	sn_buf_done(&p->cert);
	sn_buf_done(&p->key);
}

static void test_a_chain(void **state)
{
	static const char *const dns[] = {"a.b.svc", "c.d.svc"};
	struct sn_x509_info info;
	struct sn_err err = {0};
	struct pem ca, leaf;
	int64_t now = (int64_t)time(NULL);

	(void)state;
	init(&ca);
	init(&leaf);
	assert_int_equal(sn_x509_make_ca("test-ca", 30 * DAY, &ca.cert, &ca.key, &err), 0);
	assert_non_null(strstr(sn_buf_cstr(&ca.cert), "BEGIN CERTIFICATE"));
	assert_non_null(strstr(sn_buf_cstr(&ca.key), "BEGIN PRIVATE KEY"));
	assert_int_equal(sn_x509_info(sn_buf_slice(&ca.cert), &info, &err), 0);
	assert_string_equal(info.subject, "test-ca");
	assert_in_range(now - info.not_before, 295, 310);
	assert_in_range(info.not_after - now, 30 * DAY - 10, 30 * DAY + 10);
	assert_int_equal(sn_x509_issue_server(sn_buf_slice(&ca.cert), sn_buf_slice(&ca.key), dns, 2,
					      90 * DAY, &leaf.cert, &leaf.key, &err),
			 0);
	assert_int_equal(sn_x509_info(sn_buf_slice(&leaf.cert), &info, &err), 0);
	assert_string_equal(info.subject, "a.b.svc");
	assert_true(info.not_after - now <= 30 * DAY + 10); /* not longer than the CA */
	done(&ca);
	done(&leaf);
}

static void test_what_is_no_pair_is_refused(void **state)
{
	static const char *const dns[] = {"a"};
	struct sn_x509_info info;
	struct sn_err err = {0};
	struct pem a, b, leaf;

	(void)state;
	init(&a);
	init(&b);
	init(&leaf);
	assert_int_equal(sn_x509_make_ca("a", DAY, &a.cert, &a.key, &err), 0);
	assert_int_equal(sn_x509_make_ca("b", DAY, &b.cert, &b.key, &err), 0);
	assert_int_equal(sn_x509_issue_server(sn_buf_slice(&a.cert), sn_buf_slice(&b.key), dns, 1,
					      DAY, &leaf.cert, &leaf.key, &err),
			 -SN_ESYNTAX);
	assert_true(err.msg[0]);
	assert_int_equal(sn_x509_issue_server(SN_SLICE("nonsense"), sn_buf_slice(&b.key), dns, 1,
					      DAY, &leaf.cert, &leaf.key, &err),
			 -SN_ESYNTAX);
	assert_int_equal(sn_x509_issue_server(sn_buf_slice(&a.cert), SN_SLICE(""), dns, 1, DAY,
					      &leaf.cert, &leaf.key, &err),
			 -SN_ESYNTAX);
	assert_int_equal(sn_buf_len(&leaf.cert), 0);
	assert_int_equal(sn_x509_info(SN_SLICE("-----BEGIN CERTIFICATE-----\nAAAA\n"), &info, &err),
			 -SN_ESYNTAX);
	done(&a);
	done(&b);
	done(&leaf);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_a_chain),
					   cmocka_unit_test(test_what_is_no_pair_is_refused)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
