/* SPDX-License-Identifier: Apache-2.0 */
/* Header modification: set replaces all, add adds, remove removes, without case; shares. */
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
	assert_int_equal(sn_filter_headers(&m, &hs), 0);
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
	assert_int_equal(sn_filter_headers(&m, &hs), -SN_ETOOBIG);
	assert_int_equal(hs.n, 2);
}

static void test_shares(void **state)
{
	static const struct {
		struct sn_share share;
		unsigned least, most; /* of 10000 */
	} rows[] = {{{0, 1}, 0, 0},	    {{0, 100}, 0, 0},	       {{100, 100}, 10000, 10000},
		    {{5, 1}, 10000, 10000}, {{30, 100}, 2800, 3200},   {{1, 3}, 3133, 3533},
		    {{1, 1000}, 1, 30},	    {{999, 1000}, 9970, 9999}, {{50, 100}, 4800, 5200}};
	struct sn_rng rng;
	size_t i, k;

	(void)state;
	sn_rng_seed(&rng, 7);
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		unsigned n = 0;

		for (k = 0; k < 10000; k++)
			n += sn_share_draw(rows[i].share, &rng);
		if (n < rows[i].least || n > rows[i].most)
			fail_msg("row %zu: %u", i, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_set_add_remove),
					   cmocka_unit_test(test_no_room),
					   cmocka_unit_test(test_shares)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
