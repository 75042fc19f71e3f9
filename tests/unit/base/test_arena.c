/* SPDX-License-Identifier: Apache-2.0 */
/* Arenas: alignment, zeroing, the ceiling, overflow, reuse after reset. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"

static void test_alignment_and_zero(void **state)
{
	struct sn_arena a;
	unsigned char *p, *last = NULL;

	(void)state;
	sn_arena_init(&a, 128, 0);
	for (int round = 0; round < 3; round++) {
		for (size_t n = 0; n < 300; n += 7) { /* below and above the chunk */
			p = sn_arena_alloc(&a, n);
			assert_non_null(p);
			assert_ptr_not_equal(p, last);
			assert_int_equal((uintptr_t)p % 16, 0);
			for (size_t i = 0; i < n; i++)
				assert_int_equal(p[i], 0);
			memset(p, 0xee, n);
			last = p;
		}
		sn_arena_reset(&a);
		assert_int_equal(a.used_bytes, 0);
	}
	sn_arena_done(&a);
	sn_arena_done(&a);
}

/* A large piece between small ones: none may overlap another. */
static void test_no_overlap(void **state)
{
	enum { N = 500 };
	struct sn_arena a;
	unsigned char *p[N];
	size_t len[N];

	(void)state;
	sn_arena_init(&a, 256, 0);
	for (size_t i = 0; i < N; i++) {
		len[i] = i % 5 == 0 ? 1000 : i % 37 + 1;
		p[i] = sn_arena_alloc(&a, len[i]);
		assert_non_null(p[i]);
		memset(p[i], (int)(i & 0xff), len[i]);
	}
	for (size_t i = 0; i < N; i++)
		for (size_t k = 0; k < len[i]; k++)
			assert_int_equal(p[i][k], i & 0xff);
	sn_arena_done(&a);
}

static void test_ceiling(void **state)
{
	struct sn_arena a;

	(void)state;
	sn_arena_init(&a, 0, 64);
	assert_non_null(sn_arena_alloc(&a, 48));
	assert_null(sn_arena_alloc(&a, 17)); /* rounded to 32 */
	assert_non_null(sn_arena_alloc(&a, 16));
	assert_null(sn_arena_alloc(&a, 0)); /* each has an address of its own */
	assert_null(sn_arena_strdup(&a, ""));
	assert_null(sn_arena_printf(&a, "%d", 1));
	assert_int_equal(a.used_bytes, 64);
	sn_arena_reset(&a);
	assert_non_null(sn_arena_alloc(&a, 64));
	assert_null(sn_arena_alloc(&a, 1));
	sn_arena_done(&a);
}

static void test_overflow(void **state)
{
	struct sn_arena a;

	(void)state;
	sn_arena_init(&a, 0, 1u << 20);
	assert_null(sn_arena_alloc(&a, SIZE_MAX));
	assert_null(sn_arena_alloc(&a, SIZE_MAX / 2));
	assert_null(sn_arena_array(&a, SIZE_MAX / 8 + 2, 8)); /* 8 when it wraps */
	assert_null(sn_arena_array(&a, SIZE_MAX, SIZE_MAX));
	assert_null(sn_arena_dup(&a, "x", SIZE_MAX)); /* + 1 wraps */
	assert_int_equal(a.used_bytes, 0);
	sn_arena_done(&a);
}

static void test_strings(void **state)
{
	struct sn_arena a;
	char big[5000];
	const char *s;

	(void)state;
	sn_arena_init(&a, 0, 0);
	s = sn_arena_dup(&a, "a\0b", 3);
	assert_memory_equal(s, "a\0b", 4);
	assert_string_equal(sn_arena_dup(&a, NULL, 0), "");
	memset(big, 'x', sizeof(big) - 1);
	big[sizeof(big) - 1] = 0;
	assert_string_equal(sn_arena_strdup(&a, big), big);
	s = sn_arena_printf(&a, "%s%d", big, 42);
	assert_int_equal(strlen(s), sizeof(big) - 1 + 2);
	assert_string_equal(s + sizeof(big) - 1, "42");
	sn_arena_done(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_alignment_and_zero),
		cmocka_unit_test(test_no_overlap),
		cmocka_unit_test(test_ceiling),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_strings),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
