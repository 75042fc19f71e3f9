/* SPDX-License-Identifier: Apache-2.0 */
/* The status that is written: times that stay, entries of others left alone. */
#include "tests/unit/unit.h"

#include "base/json.h"
#include "operator/status/status.h"
#include "tests/unit/operator/objects.h"

#define ROUTE                                                                                      \
	"kind: MeshRoute\nmetadata: {name: r, namespace: demo, generation: 4}\n"                   \
	"spec: {parentRefs: [{kind: Service, name: web}], rules: [{backendRefs: [{name: web, "     \
	"port: 80}]}]}\n"
static int body(struct sn_index *idx, struct sn_buf *out)
{
	sn_buf_reset(out);
	return sn_status_body(idx, sn_index_find(idx, SN_KIND_MESHROUTE, "demo", "r"), NULL,
			      "2026-02-02T00:00:00Z", out);
}

static void test_first_status(void **state)
{
	struct sn_index *idx = sn_index_new();
	struct sn_val *v = NULL;
	const struct sn_val *c;
	struct sn_arena a;
	struct sn_buf out;

	(void)state;
	sn_buf_init(&out, 0);
	sn_arena_init(&a, 0, 0);
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx, ROUTE);
	assert_int_equal(body(idx, &out), 1);
	assert_int_equal(sn_json_parse(&a, sn_buf_slice(&out).p, sn_buf_len(&out), 0, &v, NULL), 0);
	assert_string_equal(sn_val_str(sn_val_get(v, "kind"), ""), "MeshRoute");
	c = sn_val_at(sn_val_get(sn_val_at(sn_val_path(v, "status.parents"), 0), "conditions"), 0);
	assert_string_equal(sn_val_str(sn_val_get(c, "status"), ""), "True");
	assert_int_equal(sn_val_int(sn_val_get(c, "observedGeneration"), 0), 4);
	assert_string_equal(sn_val_str(sn_val_get(c, "lastTransitionTime"), ""),
			    "2026-02-02T00:00:00Z");
	sn_arena_done(&a);
	sn_buf_done(&out);
	sn_index_free(idx);
}

/* What we write, read back as the API server would show it, is not written again; a new generation
 * keeps the time. */
static void test_no_loop_and_times_that_stay(void **state)
{
	struct sn_index *idx = sn_index_new();
	struct sn_val *v = NULL, *obj = NULL;
	struct sn_buf out, text;
	struct sn_arena a;
	struct sn_err err = {0};
	int generation;

	(void)state;
	sn_buf_init(&out, 0);
	sn_buf_init(&text, 0);
	sn_arena_init(&a, 0, 0);
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx, ROUTE);
	assert_int_equal(body(idx, &out), 1);
	assert_int_equal(sn_json_parse(&a, sn_buf_slice(&out).p, sn_buf_len(&out), 0, &v, NULL), 0);
	for (generation = 4; generation <= 5; generation++) {
		assert_int_equal(sn_yaml_parse(&a, "r", ROUTE, strlen(ROUTE), &obj, NULL, &err), 0);
		((struct sn_val *)(uintptr_t)sn_val_path(obj, "metadata.generation"))->i =
			generation;
		assert_int_equal(sn_val_set(&a, obj, SN_SLICE("status"),
					    (struct sn_val *)(uintptr_t)sn_val_get(v, "status")),
				 0);
		sn_index_apply(idx, -1, obj);
		sn_buf_reset(&text);
		assert_int_equal(sn_status_body(idx,
						sn_index_find(idx, SN_KIND_MESHROUTE, "demo", "r"),
						NULL, "2027-07-07T00:00:00Z", &text),
				 generation == 5);
	}
	assert_non_null(
		strstr(sn_buf_cstr(&text), "2026-02-02T00:00:00Z")); /* status did not change */
	assert_null(strstr(sn_buf_cstr(&text), "2027-07-07"));
	sn_index_delete(idx, SN_KIND_SERVICE, "demo", "web");
	sn_buf_reset(&text);
	assert_int_equal(sn_status_body(idx, sn_index_find(idx, SN_KIND_MESHROUTE, "demo", "r"),
					NULL, "2027-07-07T00:00:00Z", &text),
			 1);
	assert_non_null(strstr(sn_buf_cstr(&text), "2027-07-07")); /* now it did */
	sn_arena_done(&a);
	sn_buf_done(&out);
	sn_buf_done(&text);
	sn_index_free(idx);
}

/* The list is atomic: what another controller says there is sent along as it is, against the
 * version that was seen. */
static void test_entries_of_others_stay(void **state)
{
	struct sn_index *idx = sn_index_new();
	struct sn_val *v = NULL;
	const struct sn_val *list;
	struct sn_arena a;
	struct sn_buf out;

	(void)state;
	sn_buf_init(&out, 0);
	sn_arena_init(&a, 0, 0);
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx, "kind: MeshRoute\nmetadata: {name: r, namespace: demo, generation: 4, "
		   "resourceVersion: '77'}\n"
		   "spec: {parentRefs: [{kind: Service, name: web}], rules: [{}]}\n"
		   "status: {parents: [{parentRef: {kind: Service, name: web}, controllerName: "
		   "example.com/other, conditions: [{type: Odd, status: Unknown}]}]}\n");
	assert_int_equal(body(idx, &out), 1);
	assert_int_equal(sn_json_parse(&a, sn_buf_slice(&out).p, sn_buf_len(&out), 0, &v, NULL), 0);
	list = sn_val_path(v, "status.parents");
	assert_int_equal(sn_val_len(list), 2);
	assert_string_equal(sn_val_str(sn_val_get(sn_val_at(list, 0), "controllerName"), ""),
			    "example.com/other");
	assert_non_null(strstr(sn_buf_cstr(&out), "\"Odd\""));
	assert_string_equal(sn_val_str(sn_val_path(v, "metadata.resourceVersion"), ""), "77");
	sn_arena_done(&a);
	sn_buf_done(&out);
	sn_index_free(idx);
}

/* Programmed is there only while a document is held back, and goes when it no longer is. */
static void test_what_is_held_back_is_not_programmed(void **state)
{
	struct sn_index *idx = sn_index_new();
	const struct sn_object *o;
	struct sn_val *v = NULL, *obj = NULL;
	struct sn_err err = {0};
	struct sn_arena a;
	struct sn_buf out;

	(void)state;
	sn_buf_init(&out, 0);
	sn_arena_init(&a, 0, 0);
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx, ROUTE);
	o = sn_index_find(idx, SN_KIND_MESHROUTE, "demo", "r");
	assert_int_equal(sn_status_body(idx, o, "too large", "2026-02-02T00:00:00Z", &out), 1);
	assert_non_null(strstr(sn_buf_cstr(&out), "\"Programmed\""));
	assert_int_equal(sn_json_parse(&a, sn_buf_slice(&out).p, sn_buf_len(&out), 0, &v, NULL), 0);
	assert_int_equal(sn_yaml_parse(&a, "r", ROUTE, strlen(ROUTE), &obj, NULL, &err), 0);
	assert_int_equal(sn_val_set(&a, obj, SN_SLICE("status"),
				    (struct sn_val *)(uintptr_t)sn_val_get(v, "status")),
			 0);
	sn_index_apply(idx, -1, obj);
	o = sn_index_find(idx, SN_KIND_MESHROUTE, "demo", "r");
	sn_buf_reset(&out);
	assert_int_equal(sn_status_body(idx, o, "too large", "2027-07-07T00:00:00Z", &out), 0);
	sn_buf_reset(&out);
	assert_int_equal(sn_status_body(idx, o, NULL, "2027-07-07T00:00:00Z", &out), 1);
	assert_null(strstr(sn_buf_cstr(&out), "Programmed"));
	sn_arena_done(&a);
	sn_buf_done(&out);
	sn_index_free(idx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_first_status),
		cmocka_unit_test(test_no_loop_and_times_that_stay),
		cmocka_unit_test(test_entries_of_others_stay),
		cmocka_unit_test(test_what_is_held_back_is_not_programmed)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
