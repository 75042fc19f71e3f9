/* SPDX-License-Identifier: Apache-2.0 */
/* Lists: order, removal of any node, of the current one, and of one that is on none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "base/list.h"

struct item {
	int n;
	struct sn_list link;
};

static int digits(const struct sn_list *l)
{
	int forward = 0, backward = 0, scale = 1;

	sn_list_each(l, at, tmp) forward = forward * 10 + sn_list_entry(at, struct item, link)->n;
	for (const struct sn_list *at = l->prev; at != l; at = at->prev) {
		backward += scale * ((const struct item *)sn_list_entry(at, struct item, link))->n;
		scale *= 10;
	}
	assert_int_equal(forward, backward);
	return forward;
}

static void test_order(void **state)
{
	struct item v[5];
	struct sn_list l;

	(void)state;
	sn_list_init(&l);
	assert_true(sn_list_empty(&l));
	assert_null(sn_list_first(&l));
	assert_null(sn_list_last(&l));
	for (int i = 0; i < 5; i++)
		v[i].n = i + 1;
	sn_list_push_back(&l, &v[1].link);
	sn_list_push_back(&l, &v[2].link);
	sn_list_push_front(&l, &v[0].link);
	sn_list_insert_after(&v[1].link, &v[4].link);
	assert_int_equal(digits(&l), 1253);
	assert_ptr_equal(sn_list_first(&l), &v[0].link);
	assert_ptr_equal(sn_list_last(&l), &v[2].link);
	assert_false(sn_list_empty(&l));
}

static void test_removal(void **state)
{
	struct item v[9];
	struct sn_list l;

	(void)state;
	sn_list_init(&l);
	for (int i = 0; i < 9; i++) {
		v[i].n = i + 1;
		sn_list_push_back(&l, &v[i].link);
	}
	sn_list_del(&v[0].link);
	sn_list_del(&v[8].link);
	sn_list_del(&v[4].link);
	assert_int_equal(digits(&l), 234678);
	sn_list_del(&v[4].link); /* on none: nothing */
	assert_true(sn_list_empty(&v[4].link));
	assert_int_equal(digits(&l), 234678);
	sn_list_each(&l, at, tmp)
	{
		if (sn_list_entry(at, struct item, link)->n % 2 == 0)
			sn_list_del(at);
	}
	assert_int_equal(digits(&l), 37);
	sn_list_each(&l, at, tmp) sn_list_del(at);
	assert_true(sn_list_empty(&l));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_removal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
