/* SPDX-License-Identifier: Apache-2.0 */
/* Errors: truncation at the fixed size, wrapping, NULL receivers, names for every code. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <errno.h>

#include "base/err.h"
#include "base/str.h"

static const int codes[] = {
	SN_OK,	   SN_EAGAIN,	SN_EMORE,     SN_EPROTO,    SN_ETOOBIG,	   SN_EUNSUPP, SN_ESYNTAX,
	SN_EDEPTH, SN_EVERSION, SN_ERESET,    SN_ECANCELED, SN_EOF,	   SN_ECONN,   SN_ETIMEOUT,
	SN_ENOMEM, SN_ELIMIT,	SN_ESYS,      SN_ESTATE,    SN_ENOENT,	   SN_EEXIST,  SN_ECONF,
	SN_EUSAGE, SN_ERETRY,	SN_ECONFLICT, SN_EGONE,	    SN_EPERMANENT,
};

static void test_names(void **state)
{
	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(codes); i++) {
		assert_string_not_equal(sn_code_name(codes[i]), "unknown");
		assert_string_equal(sn_code_name(-codes[i]), sn_code_name(codes[i]));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(sn_code_name(codes[i]), sn_code_name(codes[j]));
	}
	assert_string_equal(sn_code_name(0), "ok");
	assert_string_equal(sn_code_name(99), "unknown");
	assert_string_equal(sn_code_name(-1), "unknown");
}

static void test_set(void **state)
{
	struct sn_err err = {.os_errno = 7};
	char big[2 * SN_ERR_MSG_MAX];

	(void)state;
	assert_int_equal(sn_err_set(&err, SN_ECONF, "route %s: port %d", "a", 70000), -SN_ECONF);
	assert_int_equal(err.code, SN_ECONF);
	assert_int_equal(err.os_errno, 0);
	assert_string_equal(err.msg, "route a: port 70000");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	assert_int_equal(sn_err_set(&err, SN_EPROTO, "%s", big), -SN_EPROTO);
	assert_int_equal(strlen(err.msg), SN_ERR_MSG_MAX - 1);
	assert_int_equal(sn_err_set(NULL, SN_EPROTO, "nobody"), -SN_EPROTO);
}

static void test_sys(void **state)
{
	struct sn_err err = {0};
	char big[2 * SN_ERR_MSG_MAX];

	(void)state;
	assert_int_equal(sn_err_sys(&err, ENOENT, "open %s", "f"), -SN_ESYS);
	assert_int_equal(err.code, SN_ESYS);
	assert_int_equal(err.os_errno, ENOENT);
	assert_string_equal(err.msg, "open f: No such file or directory");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	assert_int_equal(sn_err_sys(&err, ENOENT, "%s", big), -SN_ESYS);
	assert_int_equal(strlen(err.msg), SN_ERR_MSG_MAX - 1);
	assert_int_equal(sn_err_sys(NULL, ENOENT, "nobody"), -SN_ESYS);
}

static void test_wrap(void **state)
{
	struct sn_err err = {0};

	(void)state;
	sn_err_sys(&err, EACCES, "open");
	assert_int_equal(sn_err_wrap(&err, "loading %d", 3), -SN_ESYS);
	assert_string_equal(err.msg, "loading 3: open: Permission denied");
	assert_int_equal(err.os_errno, EACCES); /* the cause stays */
	for (int i = 0; i < 200; i++)		/* the outermost context is what survives */
		assert_int_equal(sn_err_wrap(&err, "level %d", i), -SN_ESYS);
	assert_int_equal(strlen(err.msg), SN_ERR_MSG_MAX - 1);
	assert_int_equal(strncmp(err.msg, "level 199: level 198: ", 22), 0);
	assert_true(sn_err_wrap(NULL, "nobody") < 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_set),
		cmocka_unit_test(test_sys),
		cmocka_unit_test(test_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
