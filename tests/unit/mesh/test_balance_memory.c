/* SPDX-License-Identifier: Apache-2.0 */
/* Each allocation of an update or a change of settings fails once: the set stays as it was. */
#include "tests/unit/mesh/balancing.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define CAN_FAIL 0
#else
#define CAN_FAIL 1
#endif

static long left = -1; /* allocations until one fails; negative: none does */

#if CAN_FAIL
#define EXPORTED __attribute__((visibility("default")))
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
EXPORTED void *malloc(size_t n);
EXPORTED void *calloc(size_t n, size_t size);

static bool is_due(void)
{
	return left >= 0 && left-- == 0;
}

void *malloc(size_t n)
{
	return is_due() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return is_due() ? NULL : __libc_calloc(n, size);
}
#endif

static unsigned n_gone;

static void on_gone(struct sn_endpoint *e, void *arg)
{
	(void)e;
	(void)arg;
	n_gone++;
}

static void assert_as_it_was(struct sn_balance *b, struct sn_endpoint *const *was)
{
	unsigned i;

	assert_int_equal(sn_balance_count(b), 3);
	assert_int_equal(n_gone, 0);
	for (i = 0; i < 3; i++) {
		assert_ptr_equal(sn_balance_at(b, i), was[i]);
		assert_int_equal(was[i]->weight, 1);
		assert_false(was[i]->gone);
	}
	for (i = 0; i < 20; i++)
		done(b, pick_key(b, i, SEC), MS, SN_TRY_CANCELLED, SEC);
}

static void test_nothing_changes_without_memory(void **state)
{
	unsigned a, i, nth;

	(void)state;
	for (a = 0; a < 7; a++) {
		struct sn_balance_settings s = with_breakers((enum sn_balance_algorithm)a), t = s;
		struct sn_endpoint_spec items[3] = {item(1, 5), item(8, 5), item(9, 5)};
		struct sn_balance *b = balance_of(&s);
		struct sn_endpoint *was[3];
		int rc = -1;

		n_gone = 0;
		sn_balance_on_gone(b, on_gone, NULL);
		fill(b, 3, 0);
		for (i = 0; i < 3; i++)
			was[i] = sn_balance_at(b, i);
		t.algorithm = (enum sn_balance_algorithm)((a + 1) % 7);
		for (nth = 0; CAN_FAIL && rc; nth++) {
			left = nth;
			rc = sn_balance_configure(b, &t, SEC);
			left = -1;
			if (rc)
				assert_int_equal(rc, -SN_ENOMEM);
			assert_as_it_was(b, was);
		}
		assert_true(nth > 2 || !CAN_FAIL);
		for (rc = -1, nth = 0; rc; nth++) {
			left = CAN_FAIL ? (long)nth : -1;
			rc = sn_balance_update(b, items, 3, SEC);
			left = -1;
			if (rc)
				assert_as_it_was(b, was);
		}
		assert_true(nth > 6 || !CAN_FAIL);
		assert_int_equal(n_gone, 2);
		assert_ptr_equal(sn_balance_at(b, 0), was[1]);
		assert_int_equal(was[1]->weight, 5);
		sn_balance_free(b);
		assert_int_equal(n_gone, 5);
	}
}

/* The order by id is made at the first question; without memory for it the answer is the same. */
static void test_finds_without_memory(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 1);
	unsigned i;
	long nth;

	(void)state;
	fill(b, 3, 0);
	for (nth = 0; CAN_FAIL && nth < 3; nth++)
		for (i = 0; i < 3; i++) {
			uint64_t id = sn_balance_at(b, i)->id;
			struct sn_endpoint *e;

			left = nth;
			e = sn_balance_find(b, id);
			assert_int_equal(left, -1); /* it has failed */
			assert_ptr_equal(e, sn_balance_at(b, i));
			left = 0;
			assert_null(sn_balance_find(b, ~id));
			left = -1;
		}
	for (i = 0; i < 3; i++)
		assert_ptr_equal(sn_balance_find(b, sn_balance_at(b, i)->id), sn_balance_at(b, i));
	sn_balance_free(b);
}

static void test_too_many(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_RANDOM, 1);

	(void)state;
	assert_int_equal(sn_balance_update(b, NULL, SN_BALANCE_ENDPOINTS_MAX + 1, 0), -SN_ELIMIT);
	sn_balance_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_nothing_changes_without_memory),
		cmocka_unit_test(test_finds_without_memory),
		cmocka_unit_test(test_too_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
