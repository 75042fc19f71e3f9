/* SPDX-License-Identifier: Apache-2.0 */
/* Header modification: set replaces all, add adds, remove removes, without case. */
#include "tests/unit/unit.h"

#include "mesh/filter.h"

#define HEADER(n, v)                                                                               \
	{                                                                                          \
		SN_SLICE(n), SN_SLICE(v), 0, 0                                                     \
	}

static unsigned count(const struct sn_headers *hs, const char *name, const char *value)
{
	unsigned n = 0;
	uint32_t i;

	for (i = 0; i < hs->n; i++)
		n += !(hs->v[i].flags & SN_HDR_DROPPED) &&
		     sn_slice_ieq(hs->v[i].name, sn_slice_cstr(name)) &&
		     (!value || sn_slice_eq_cstr(hs->v[i].value, value));
	return n;
}

static void test_set_add_remove(void **state)
{
	struct sn_header fields[8] = {HEADER("X-A", "1"), HEADER("x-a", "2"), HEADER("X-B", "1"),
				      HEADER("X-C", "1")};
	struct sn_headers hs = {fields, 4, 8};
	struct sn_header_value set[] = {{SN_SLICE("x-A"), SN_SLICE("new")},
					{SN_SLICE("x-new"), SN_SLICE("n")}};
	struct sn_header_value add[] = {{SN_SLICE("x-c"), SN_SLICE("2")}};
	struct sn_slice gone[] = {SN_SLICE("X-b"), SN_SLICE("absent")};
	struct sn_header_modifier m = {set, 2, add, 1, gone, 2};

	(void)state;
	assert_int_equal(sn_filter_request_headers(&m, &hs), 0);
	assert_int_equal(count(&hs, "x-a", NULL), 1);
	assert_int_equal(count(&hs, "x-a", "new"), 1);
	assert_int_equal(count(&hs, "x-new", "n"), 1);
	assert_int_equal(count(&hs, "x-b", NULL), 0);
	assert_int_equal(count(&hs, "x-c", NULL), 2);
}

static void test_no_room(void **state)
{
	struct sn_header fields[2] = {HEADER("a", "1"), HEADER("b", "1")};
	struct sn_headers hs = {fields, 2, 2};
	struct sn_header_value add[] = {{SN_SLICE("c"), SN_SLICE("2")}};
	struct sn_header_modifier m = {.add = add, .n_add = 1};

	(void)state;
	assert_int_equal(sn_filter_request_headers(&m, &hs), -SN_ETOOBIG);
	assert_int_equal(hs.n, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_set_add_remove),
					   cmocka_unit_test(test_no_room)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
