/* SPDX-License-Identifier: Apache-2.0 */
/* Maps: replacement, removal while walking, order, keys with NUL, growth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <stdio.h>

#include "base/map.h"

static int freed;

static void count_free(void *value)
{
	freed++;
	free(value);
}

static void test_put_and_take(void **state)
{
	struct sn_map m;
	int one, two;
	void *old = &one;

	(void)state;
	sn_map_init(&m);
	assert_int_equal(sn_map_count(&m), 0);
	assert_null(sn_map_find(&m, SN_SLICE("a")));
	assert_null(sn_map_take(&m, SN_SLICE("a")));
	assert_null(sn_map_first(&m));
	assert_int_equal(sn_map_put(&m, SN_SLICE("a"), &one, &old), 0);
	assert_null(old);
	assert_int_equal(sn_map_put(&m, SN_SLICE("a"), &two, &old), 0);
	assert_ptr_equal(old, &one);
	assert_int_equal(sn_map_count(&m), 1);
	assert_ptr_equal(sn_map_find(&m, SN_SLICE("a")), &two);
	assert_ptr_equal(sn_map_take(&m, SN_SLICE("a")), &two);
	assert_int_equal(sn_map_count(&m), 0);
	assert_null(sn_map_take(&m, SN_SLICE("a")));
	sn_map_done(&m, NULL);
}

static void test_odd_keys(void **state)
{
	struct sn_map m;
	int empty, nul, plain;
	char key[] = "key";

	(void)state;
	sn_map_init(&m);
	assert_int_equal(sn_map_put(&m, sn_slice(NULL, 0), &empty, NULL), 0);
	assert_int_equal(sn_map_put(&m, SN_SLICE("a\0b"), &nul, NULL), 0);
	assert_int_equal(sn_map_put(&m, SN_SLICE("a"), &plain, NULL), 0);
	assert_ptr_equal(sn_map_find(&m, SN_SLICE("")), &empty);
	assert_ptr_equal(sn_map_find(&m, SN_SLICE("a\0b")), &nul);
	assert_ptr_equal(sn_map_find(&m, SN_SLICE("a")), &plain);
	assert_null(sn_map_find(&m, SN_SLICE("a\0c")));
	assert_int_equal(sn_map_put(&m, sn_slice(key, 3), &plain, NULL), 0);
	memcpy(key, "xxx", 3); /* the map has a copy */
	assert_ptr_equal(sn_map_find(&m, SN_SLICE("key")), &plain);
	sn_map_done(&m, NULL);
}

static void test_many(void **state)
{
	enum { N = 20000 };
	struct sn_map m;
	struct sn_map_entry *e, *next;
	char key[16];
	int i = 0, *v;

	(void)state;
	sn_map_init(&m);
	for (i = 0; i < N; i++) {
		v = malloc(sizeof(*v));
		assert_non_null(v);
		*v = i;
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(sn_map_put(&m, sn_slice_cstr(key), v, NULL), 0);
	}
	assert_int_equal(sn_map_count(&m), N);
	i = 0;
	for (e = sn_map_first(&m); e; e = next, i++) {
		next = sn_map_next(e);
		v = sn_map_value(e);
		assert_int_equal(*v, i); /* in the order that they came */
		snprintf(key, sizeof(key), "k%d", i);
		assert_string_equal(sn_map_key(e), key);
		if (i % 2)
			free(sn_map_take(&m, sn_slice_cstr(key)));
	}
	assert_int_equal(i, N);
	assert_int_equal(sn_map_count(&m), N / 2);
	for (i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(sn_map_find(&m, sn_slice_cstr(key)) != NULL, i % 2 == 0);
	}
	freed = 0;
	sn_map_done(&m, count_free);
	assert_int_equal(freed, N / 2);
	assert_int_equal(sn_map_count(&m), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_put_and_take),
		cmocka_unit_test(test_odd_keys),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
