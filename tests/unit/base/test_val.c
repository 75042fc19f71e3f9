/* SPDX-License-Identifier: Apache-2.0 */
/* The document model: absent and wrong types, builders at every allocation limit, equality. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <stdio.h>

#include "base/err.h"
#include "base/val.h"

static void test_readers_forgive(void **state)
{
	struct sn_arena a;
	struct sn_val *map, *list, *str;

	(void)state;
	sn_arena_init(&a, 0, 0);
	map = sn_val_new(&a, SN_VAL_MAP);
	list = sn_val_new(&a, SN_VAL_LIST);
	str = sn_val_new_str(&a, SN_SLICE("x"));
	assert_int_equal(sn_val_push(&a, list, str), 0);
	assert_int_equal(sn_val_set(&a, map, SN_SLICE("l"), list), 0);
	assert_null(sn_val_get(NULL, "a"));
	assert_null(sn_val_get(list, "l"));
	assert_null(sn_val_get(map, "L"));
	assert_null(sn_val_at(map, 0));
	assert_null(sn_val_at(list, 1));
	assert_null(sn_val_at(NULL, 0));
	assert_ptr_equal(sn_val_at(sn_val_get(map, "l"), 0), str);
	assert_int_equal(sn_val_len(NULL), 0);
	assert_int_equal(sn_val_len(str), 0);
	assert_int_equal(sn_val_len(map), 1);
	assert_string_equal(sn_val_str(list, "def"), "def");
	assert_string_equal(sn_val_str(NULL, "def"), "def");
	assert_int_equal(sn_val_slice(map).n, 0);
	assert_non_null(sn_val_slice(NULL).p);
	assert_int_equal(sn_val_int(str, -5), -5);
	assert_int_equal(sn_val_int(sn_val_new_int(&a, INT64_MIN), 0), INT64_MIN);
	assert_true(sn_val_bool(NULL, true));
	assert_false(sn_val_bool(sn_val_new_bool(&a, false), true));
	assert_string_equal(sn_val_type_name(SN_VAL_DOUBLE), "number");
	assert_string_equal(sn_val_type_name((enum sn_val_type)99), "unknown");
	sn_arena_done(&a);
}

static void test_path(void **state)
{
	struct sn_arena a;
	struct sn_val *top, *mid, *leaf;

	(void)state;
	sn_arena_init(&a, 0, 0);
	top = sn_val_new(&a, SN_VAL_MAP);
	mid = sn_val_new(&a, SN_VAL_MAP);
	leaf = sn_val_new_int(&a, 1);
	assert_int_equal(sn_val_set(&a, top, SN_SLICE("metadata"), mid), 0);
	assert_int_equal(sn_val_set(&a, mid, SN_SLICE("name"), leaf), 0);
	assert_int_equal(sn_val_set(&a, mid, SN_SLICE(""), leaf), 0);
	assert_int_equal(sn_val_set(&a, mid, SN_SLICE("a.b"), leaf), 0);
	assert_ptr_equal(sn_val_path(top, "metadata.name"), leaf);
	assert_ptr_equal(sn_val_path(top, "metadata"), mid);
	assert_ptr_equal(sn_val_path(top, "metadata."), leaf); /* the empty key */
	assert_null(sn_val_path(top, "metadata.name.x"));
	assert_null(sn_val_path(top, "metadata.a.b"));
	assert_ptr_equal(sn_val_get(mid, "a.b"), leaf);
	assert_null(sn_val_path(top, ".metadata"));
	assert_null(sn_val_path(NULL, "a"));
	sn_arena_done(&a);
}

static void test_builders_grow(void **state)
{
	enum { N = 1000 };
	struct sn_val *list, *map;
	struct sn_arena a;
	char key[16] = "";

	(void)state;
	sn_arena_init(&a, 0, 0);
	list = sn_val_new(&a, SN_VAL_LIST);
	map = sn_val_new(&a, SN_VAL_MAP);
	for (int i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(sn_val_push(&a, list, sn_val_new_int(&a, i)), 0);
		assert_int_equal(sn_val_set(&a, map, sn_slice_cstr(key), sn_val_new_int(&a, i)), 0);
		assert_int_equal(sn_val_set(&a, map, sn_slice_cstr(key), list), -SN_EEXIST);
	}
	assert_int_equal(sn_val_len(list), N);
	assert_int_equal(sn_val_len(map), N);
	for (int i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "k%d", i);
		assert_int_equal(sn_val_int(sn_val_at(list, (size_t)i), -1), i);
		assert_int_equal(sn_val_int(sn_val_get(map, key), -1), i);
		assert_string_equal(map->map.members[i].key.p, key);
	}
	sn_arena_done(&a);
}

/* Builds the same under every ceiling: it fails as a whole or is all there. */
static void test_limits(void **state)
{
	size_t good = 0;

	(void)state;
	for (size_t max = 16; max < 4096; max += 16) {
		struct sn_arena a;
		struct sn_val *list;
		size_t n = 0;

		sn_arena_init(&a, 0, max);
		list = sn_val_new(&a, SN_VAL_LIST);
		while (list && n < 20 &&
		       sn_val_push(&a, list, sn_val_new_str(&a, SN_SLICE("text"))) == 0)
			n++;
		assert_int_equal(sn_val_len(list), n);
		for (size_t i = 0; i < n; i++)
			assert_string_equal(sn_val_str(sn_val_at(list, i), ""), "text");
		good += n == 20;
		sn_arena_done(&a);
	}
	assert_in_range(good, 1, 200);
}

static void test_null_items(void **state)
{
	struct sn_val *list, *map;
	struct sn_arena a;

	(void)state;
	sn_arena_init(&a, 0, 0);
	list = sn_val_new(&a, SN_VAL_LIST);
	map = sn_val_new(&a, SN_VAL_MAP);
	assert_int_equal(sn_val_push(&a, list, NULL), -SN_ENOMEM);
	assert_int_equal(sn_val_set(&a, map, SN_SLICE("a"), NULL), -SN_ENOMEM);
	assert_int_equal(sn_val_len(list) + sn_val_len(map), 0);
	sn_arena_done(&a);
}

static void test_equal(void **state)
{
	struct sn_val *m1, *m2, *one, *two, *real;
	struct sn_arena a;

	(void)state;
	sn_arena_init(&a, 0, 0);
	m1 = sn_val_new(&a, SN_VAL_MAP);
	m2 = sn_val_new(&a, SN_VAL_MAP);
	one = sn_val_new_int(&a, 1);
	two = sn_val_new_int(&a, 2);
	real = sn_val_new(&a, SN_VAL_DOUBLE);
	real->d = 1;
	sn_val_set(&a, m1, SN_SLICE("a"), one);
	sn_val_set(&a, m1, SN_SLICE("b"), two);
	sn_val_set(&a, m2, SN_SLICE("b"), two);
	assert_false(sn_val_equal(m1, m2));
	sn_val_set(&a, m2, SN_SLICE("a"), one);
	assert_true(sn_val_equal(m1, m2)); /* another order */
	assert_false(sn_val_equal(one, two));
	assert_false(sn_val_equal(one, real)); /* the type counts */
	assert_false(sn_val_equal(one, NULL));
	assert_true(sn_val_equal(NULL, NULL));
	sn_val_set(&a, m1, SN_SLICE("c"), one);
	sn_val_set(&a, m2, SN_SLICE("d"), one);
	assert_false(sn_val_equal(m1, m2));
	assert_false(sn_val_equal(sn_val_new_str(&a, SN_SLICE("1")), one));
	assert_true(sn_val_equal(sn_val_new_bool(&a, true), sn_val_new_bool(&a, true)));
	sn_arena_done(&a);
}

static void test_copy_needs_nothing_of_the_original(void **state)
{
	struct sn_arena a, b;
	struct sn_val *map, *list, *copy;

	(void)state;
	sn_arena_init(&a, 0, 0);
	sn_arena_init(&b, 0, 0);
	map = sn_val_new(&a, SN_VAL_MAP);
	list = sn_val_new(&a, SN_VAL_LIST);
	sn_val_push(&a, list, sn_val_new_str(&a, SN_SLICE("x")));
	sn_val_push(&a, list, sn_val_new_bool(&a, true));
	sn_val_push(&a, list, sn_val_new(&a, SN_VAL_NULL));
	list->file = "f";
	list->line = 3;
	sn_val_set(&a, map, SN_SLICE("list"), list);
	sn_val_set(&a, map, SN_SLICE("int"), sn_val_new_int(&a, 7));
	copy = sn_val_copy(&b, map);
	assert_true(sn_val_equal(copy, map));
	sn_arena_done(&a);
	assert_string_equal(sn_val_str(sn_val_at(sn_val_get(copy, "list"), 0), NULL), "x");
	assert_int_equal(sn_val_int(sn_val_get(copy, "int"), 0), 7);
	assert_null(sn_val_get(copy, "list")->file);
	assert_int_equal(sn_val_get(copy, "list")->line, 0);
	sn_arena_done(&b);
	sn_arena_init(&a, 0, 0);
	sn_arena_init(&b, 0, 64);
	list = sn_val_new(&a, SN_VAL_LIST);
	sn_val_push(&a, list, sn_val_new_int(&a, 1));
	assert_null(sn_val_copy(&b, list)); /* no memory for all of it */
	sn_arena_done(&a);
	sn_arena_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_readers_forgive),
		cmocka_unit_test(test_path),
		cmocka_unit_test(test_builders_grow),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_null_items),
		cmocka_unit_test(test_equal),
		cmocka_unit_test(test_copy_needs_nothing_of_the_original),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
