/* SPDX-License-Identifier: Apache-2.0 */
/* The index: what is kept, what counts as a change, relists. */
#include "tests/unit/unit.h"

#include "tests/unit/operator/objects.h"

static void test_changes(void **state)
{
	struct sn_index *idx = sn_index_new();

	(void)state;
	assert_int_equal(apply(idx, SERVICE("web", "10.0.0.1")), 1);
	assert_int_equal(apply(idx, SERVICE("web", "10.0.0.1")), 0);
	assert_int_equal(apply(idx, SERVICE("web", "10.0.0.2")), 1);
	/* what is not used is no change */
	assert_int_equal(apply(idx, "kind: Pod\nmetadata: {name: p, namespace: demo, uid: "
				    "u}\nstatus: {phase: Running}\n"),
			 1);
	assert_int_equal(apply(idx, "kind: Pod\nmetadata: {name: p, namespace: demo, uid: u, "
				    "resourceVersion: '9', "
				    "annotations: {example.com/x: y}}\nspec: {nodeName: "
				    "n}\nstatus: {phase: Running, podIP: 1.2.3.4}\n"),
			 0);
	assert_int_equal(apply(idx, "kind: Pod\nmetadata: {name: p, namespace: demo, uid: "
				    "other}\nstatus: {phase: Running}\n"),
			 1);
	assert_int_equal(apply(idx, "kind: Deployment\nmetadata: {name: p}\n"), -SN_EUNSUPP);
	assert_int_equal(apply(idx, "kind: Pod\nmetadata: {namespace: demo}\n"), -SN_ECONF);
	assert_int_equal(apply(idx, "kind: Pod\nmetadata: 7\n"), -SN_ECONF);
	assert_int_equal(sn_index_delete(idx, SN_KIND_SERVICE, "demo", "web"), 1);
	assert_int_equal(sn_index_delete(idx, SN_KIND_SERVICE, "demo", "web"), 0);
	sn_index_free(idx);
}

static void test_order_and_find(void **state)
{
	struct sn_index *idx = sn_index_new();
	static const char *const names[] = {"m", "b", "z", "a", "k"};
	char text[200];
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(names); i++) {
		snprintf(text, sizeof(text), "kind: Pod\nmetadata: {name: %s, namespace: demo}\n",
			 names[i]);
		apply(idx, text);
	}
	apply(idx, "kind: Pod\nmetadata: {name: z, namespace: an-earlier-one}\n");
	assert_int_equal(sn_index_count(idx, SN_KIND_POD), 6);
	assert_string_equal(sn_index_at(idx, SN_KIND_POD, 0)->ns, "an-earlier-one");
	for (i = 2; i < 6; i++)
		assert_true(strcmp(sn_index_at(idx, SN_KIND_POD, i - 1)->name,
				   sn_index_at(idx, SN_KIND_POD, i)->name) < 0);
	assert_string_equal(sn_index_find(idx, SN_KIND_POD, "demo", "k")->name, "k");
	assert_null(sn_index_find(idx, SN_KIND_POD, "demo", "x"));
	assert_null(sn_index_find(idx, SN_KIND_SERVICE, "demo", "k"));
	sn_index_free(idx);
}

static void test_relist(void **state)
{
	struct sn_index *idx = sn_index_new();

	(void)state;
	apply(idx, SERVICE("a", "10.0.0.1") SERVICE("b", "10.0.0.2") SERVICE("c", "10.0.0.3"));
	apply(idx, "kind: Pod\nmetadata: {name: p, namespace: demo}\n");
	sn_index_mark(idx, SN_KIND_SERVICE);
	assert_int_equal(apply(idx, SERVICE("a", "10.0.0.1")), 0); /* seen, unchanged */
	assert_int_equal(apply(idx, SERVICE("c", "10.0.0.9")), 1);
	assert_non_null(sn_index_find(idx, SN_KIND_SERVICE, "demo",
				      "b")); /* nothing is gone before the end */
	assert_int_equal(sn_index_sweep(idx, SN_KIND_SERVICE), 1);
	assert_null(sn_index_find(idx, SN_KIND_SERVICE, "demo", "b"));
	assert_int_equal(sn_index_count(idx, SN_KIND_SERVICE), 2);
	assert_int_equal(sn_index_count(idx, SN_KIND_POD), 1);
	assert_int_equal(sn_index_sweep(idx, SN_KIND_SERVICE), 0);
	sn_index_free(idx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_changes),
		cmocka_unit_test(test_order_and_find),
		cmocka_unit_test(test_relist),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
