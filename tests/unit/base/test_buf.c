/* SPDX-License-Identifier: Apache-2.0 */
/* Buffers: ceilings to the byte, compaction, sticky failure, long formats, overflow. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/err.h"

static void test_append_and_consume(void **state)
{
	struct sn_buf b;

	(void)state;
	sn_buf_init(&b, 0);
	assert_int_equal(sn_buf_slice(&b).n, 0);
	assert_non_null(sn_buf_slice(&b).p);
	assert_int_equal(sn_buf_append(&b, NULL, 0), 0);
	assert_null(b.data);
	assert_int_equal(sn_buf_puts(&b, "hello"), 0);
	assert_int_equal(sn_buf_putc(&b, 0), 0);
	assert_int_equal(sn_buf_append(&b, "x", 1), 0);
	assert_true(sn_slice_eq(sn_buf_slice(&b), SN_SLICE("hello\0x")));
	sn_buf_consume(&b, 4);
	assert_true(sn_slice_eq(sn_buf_slice(&b), SN_SLICE("o\0x")));
	sn_buf_consume(&b, 100); /* at most all */
	assert_int_equal(sn_buf_len(&b), 0);
	sn_buf_done(&b);
	assert_null(b.data);
	sn_buf_done(&b);
}

/* Content that crawls through the buffer must not make it grow. */
static void test_compaction(void **state)
{
	struct sn_buf b;
	char in[100], want = 0;

	(void)state;
	sn_buf_init(&b, 256);
	for (int i = 0; i < 10000; i++) {
		memset(in, i, sizeof(in));
		assert_int_equal(sn_buf_append(&b, in, sizeof(in)), 0);
		if (sn_buf_len(&b) > 150) {
			assert_int_equal(sn_buf_slice(&b).p[0], want);
			sn_buf_consume(&b, 100);
			want++;
		}
	}
	assert_true(b.cap <= 256);
	sn_buf_done(&b);
}

static void test_ceiling(void **state)
{
	struct sn_buf b;
	char in[1000] = {0};

	(void)state;
	sn_buf_init(&b, 1000);
	assert_int_equal(sn_buf_append(&b, in, 999), 0);
	assert_int_equal(sn_buf_putc(&b, 'a'), 0);
	assert_false(b.failed);
	assert_int_equal(sn_buf_putc(&b, 'b'), -SN_ETOOBIG);
	assert_true(b.failed);
	assert_int_equal(sn_buf_len(&b), 1000); /* nothing appended */
	sn_buf_consume(&b, 1);
	assert_int_equal(sn_buf_putc(&b, 'b'), 0);
	assert_true(b.failed); /* sticky */
	sn_buf_reset(&b);
	assert_false(b.failed);
	assert_int_equal(sn_buf_reserve(&b, 1001), -SN_ETOOBIG);
	sn_buf_reset(&b);
	assert_int_equal(sn_buf_reserve(&b, 1000), 0);
	assert_int_equal(sn_buf_reserve(&b, SIZE_MAX), -SN_ETOOBIG);
	sn_buf_done(&b);
	sn_buf_init(&b, 0);
	assert_int_equal(sn_buf_puts(&b, "x"), 0);
	assert_int_equal(sn_buf_reserve(&b, SIZE_MAX), -SN_ETOOBIG);
	assert_int_equal(sn_buf_reserve(&b, SIZE_MAX / 2), -SN_ETOOBIG);
	assert_string_equal(sn_buf_cstr(&b), "x");
	sn_buf_done(&b);
}

/* What was appended can be read as a string, however full the buffer is. */
static void test_cstr(void **state)
{
	struct sn_buf b;
	size_t n;

	(void)state;
	sn_buf_init(&b, 0);
	assert_string_equal(sn_buf_cstr(&b), "");
	assert_int_equal(sn_buf_len(&b), 0);
	sn_buf_done(&b);
	for (n = 254; n <= 258; n++) {
		sn_buf_init(&b, n);
		for (size_t i = 0; i < n; i++)
			assert_int_equal(sn_buf_putc(&b, 'a'), 0);
		assert_int_equal(strlen(sn_buf_cstr(&b)), n);
		assert_int_equal(sn_buf_len(&b), n);
		assert_false(b.failed);
		assert_int_equal(sn_buf_putc(&b, 'b'), -SN_ETOOBIG); /* the ceiling still holds */
		sn_buf_done(&b);
	}
}

static void test_printf(void **state)
{
	struct sn_buf b;
	size_t n;

	(void)state;
	for (n = 1; n < 1100; n++) { /* around the stack buffer's size and the growth steps */
		sn_buf_init(&b, n);
		assert_int_equal(sn_buf_printf(&b, "%*d", (int)n, 7), 0);
		assert_int_equal(sn_buf_len(&b), n);
		assert_int_equal(sn_buf_slice(&b).p[n - 1], '7');
		assert_int_equal(sn_buf_printf(&b, "%d", 1), -SN_ETOOBIG);
		assert_int_equal(sn_buf_len(&b), n);
		sn_buf_done(&b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_append_and_consume),
		cmocka_unit_test(test_compaction),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_cstr),
		cmocka_unit_test(test_printf),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
