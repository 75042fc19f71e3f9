/* SPDX-License-Identifier: Apache-2.0 */
/* The injector without a server: who gets a proxy, what an annotation may say, and reviews that are
 * none. (Whole pods in and out: tests/integration/pods.) */
#include "tests/unit/unit.h"

#include "base/base64.h"
#include "base/json.h"
#include "operator/inject/inject_int.h"

static struct sn_arena arena;

static int setup(void **state)
{
	(void)state;
	sn_arena_init(&arena, 0, 0);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	sn_arena_done(&arena);
	return 0;
}

static bool is_locked(void *arg, const char *ns)
{
	(void)arg;
	return strcmp(ns, "locked") == 0;
}

static const struct sn_inject_env env = {"proxy:1", "init:1", is_locked, NULL};

static const struct sn_val *json(const char *text)
{
	struct sn_val *v = NULL;
	struct sn_err err = {0};

	if (sn_json_parse(&arena, text, strlen(text), 0, &v, &err))
		fail_msg("%s: %s", text, err.msg);
	return v;
}

static void test_who_gets_a_proxy(void **state)
{
	static const struct {
		const char *pod, *ns;
		enum sn_inject_result want;
	} rows[] = {
		{"{\"metadata\":{},\"spec\":{}}", "demo", SN_INJECTED},
		{"{\"metadata\":{},\"spec\":{}}", "locked", SN_INJECT_POD_SECURITY},
		{"{\"spec\":{\"hostNetwork\":true}}", "demo", SN_INJECT_HOST_NETWORK},
		{"{\"spec\":{\"hostNetwork\":true}}", "locked", SN_INJECT_HOST_NETWORK},
		{"{\"spec\":{\"os\":{\"name\":\"windows\"}}}", "demo", SN_INJECT_NOT_LINUX},
		{"{\"metadata\":{\"annotations\":{\"kubernetes.io/config.mirror\":\"x\"}}}", "demo",
		 SN_INJECT_MIRROR_POD},
		{"{\"metadata\":{\"annotations\":{\"sennit.dev/inject\":\"disabled\"}}}", "demo",
		 SN_INJECT_DISABLED},
		{"{\"metadata\":{\"labels\":{\"sennit.dev/inject\":\"disabled\"}}}", "demo",
		 SN_INJECT_DISABLED},
		/* an annotation can only disable */
		{"{\"metadata\":{\"labels\":{\"sennit.dev/inject\":\"disabled\"},\"annotations\":{"
		 "\"sennit.dev/inject\":\"enabled\"}}}",
		 "demo", SN_INJECT_DISABLED},
		{"{\"metadata\":{\"annotations\":{\"sennit.dev/proxy-config\":\"x\"}},\"spec\":{"
		 "\"initContainers\":[{\"name\":\"sennit-init\"},{\"name\":\"sennit-proxy\"}]}}",
		 "demo", SN_INJECT_ALREADY},
		{"{\"spec\":{\"initContainers\":[{\"name\":\"sennit-init\"}]}}", "demo",
		 SN_INJECT_NAME_TAKEN},
		{"{\"spec\":{\"containers\":[{\"name\":\"sennit-proxy\"}]}}", "demo",
		 SN_INJECT_NAME_TAKEN},
		{"{\"spec\":{\"volumes\":[{\"name\":\"sennit-state\"}]}}", "demo",
		 SN_INJECT_NAME_TAKEN},
		/* the annotation alone does not make it one of ours */
		{"{\"metadata\":{\"annotations\":{\"sennit.dev/proxy-config\":\"x\"}},\"spec\":{}}",
		 "demo", SN_INJECTED},
	};
	const char *message;
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		enum sn_inject_result r =
			sn_inject_decide(&env, json(rows[i].pod), rows[i].ns, &arena, &message);

		if (r != rows[i].want)
			fail_msg("%s in %s: %s", rows[i].pod, rows[i].ns, sn_inject_result_name(r));
		if (r == SN_INJECT_NAME_TAKEN || r == SN_INJECT_POD_SECURITY)
			assert_true(strlen(message) > 40); /* says how to get out of it */
	}
}

static void test_pod_security_levels(void **state)
{
	(void)state;
	assert_true(
		sn_inject_is_locked(json("{\"pod-security.kubernetes.io/enforce\":\"baseline\"}")));
	assert_true(sn_inject_is_locked(
		json("{\"pod-security.kubernetes.io/enforce\":\"restricted\"}")));
	assert_false(sn_inject_is_locked(
		json("{\"pod-security.kubernetes.io/enforce\":\"privileged\"}")));
	assert_false(
		sn_inject_is_locked(json("{\"pod-security.kubernetes.io/warn\":\"restricted\"}")));
	assert_false(sn_inject_is_locked(NULL));
}

static void test_annotations(void **state)
{
	static const struct {
		const char *name, *value, *says; /* NULL: it is taken */
	} rows[] = {
		{"proxy-image", "registry.example.com:5000/a/b@sha256-0", NULL},
		{"proxy-image", "a b", "image reference"},
		{"proxy-log-level", "debug", NULL},
		{"proxy-log-level", "loud", "error, warn, info or debug"},
		{"skip-inbound-ports", "22,9000-9100", NULL},
		{"skip-inbound-ports", "9100-9000", "ports"},
		{"skip-outbound-ports", "65536", "ports"},
		{"opaque-ports", "3306\"}", "ports"},
		{"proxy-cpu-request", "0.5", NULL},
		{"proxy-cpu-request", "-1", "quantity"},
		{"proxy-memory-request", "1.5Gi", "raised"},
		{"proxy-memory-limit", "12KiB", "quantity"},
		{"shutdown-grace-period", "1m30s", NULL},
		{"shutdown-grace-period", "2h", "duration"},
		{"proxy-imagee", "x", "did you mean proxy-image"},
		{"trace-sampling", "1", "does not have it"},
		{"nothing-like-it", "1", "unknown"},
	};
	struct sn_inject_settings s;
	char text[512], said[512];
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_inject_warnings w = {.arena = &arena};
		struct sn_buf b;
		struct sn_jsonw j;
		const struct sn_val *notes;

		sn_buf_init(&b, 0);
		sn_jsonw_init(&j, &b);
		sn_jsonw_map(&j);
		snprintf(text, sizeof(text), "config.sennit.dev/%s", rows[i].name);
		sn_jsonw_kstr(&j, text, rows[i].value);
		sn_jsonw_map_end(&j);
		notes = json(sn_buf_cstr(&b));
		sn_inject_settings_read(notes, "default:1", &s, &w);
		if ((w.n > 0) != (rows[i].says != NULL) ||
		    (w.n && !strstr(w.text[0], rows[i].says)))
			fail_msg("%s: %s: \"%s\"", rows[i].name, rows[i].value,
				 w.n ? w.text[0] : "taken");
		assert_int_equal(sn_inject_bad_annotations(notes, said, sizeof(said)), w.n > 0);
		if (w.n)
			assert_non_null(strstr(said, rows[i].says));
		sn_buf_done(&b);
	}
	assert_false(
		sn_inject_bad_annotations(json("{\"example.com/x\":\"y\"}"), said, sizeof(said)));
	assert_false(sn_inject_bad_annotations(NULL, said, sizeof(said)));
}

/* Few operations, nothing replaced, and lists that are there are added to. */
static void test_the_patch(void **state)
{
	static const struct {
		const char *pod, *paths;
	} rows[] = {
		{"{\"metadata\":{},\"spec\":{}}",
		 "/metadata/annotations /spec/initContainers /spec/volumes "},
		{"{\"metadata\":{\"annotations\":{\"a\":\"b\"}},\"spec\":{\"initContainers\":[{"
		 "\"name\":\"m\"}],"
		 "\"volumes\":[{\"name\":\"d\"}]}}",
		 "/metadata/annotations/sennit.dev~1proxy-config /spec/initContainers/0 "
		 "/spec/initContainers/0 /spec/volumes/- /spec/volumes/- "},
	};
	struct sn_inject_warnings w = {.arena = &arena};
	struct sn_inject_settings s;
	char paths[512];
	size_t i, k;

	(void)state;
	sn_inject_settings_read(NULL, "proxy:1", &s, &w);
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		const struct sn_val *patch;
		struct sn_buf b;

		sn_buf_init(&b, 0);
		sn_inject_patch(&env, &s, json(rows[i].pod), &b);
		patch = json(sn_buf_cstr(&b));
		paths[0] = 0;
		for (k = 0; k < sn_val_len(patch); k++) {
			const struct sn_val *op = sn_val_at(patch, k);
			size_t n = strlen(paths);

			assert_string_equal(sn_val_str(sn_val_get(op, "op"), ""), "add");
			snprintf(paths + n, sizeof(paths) - n, "%s ",
				 sn_val_str(sn_val_get(op, "path"), ""));
		}
		assert_string_equal(paths, rows[i].paths);
		sn_buf_done(&b);
	}
}

static void test_reviews_that_are_none(void **state)
{
	static const struct {
		const char *text;
		unsigned status;
	} rows[] = {{"", 400},
		    {"{}", 400},
		    {"[]", 400},
		    {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/v1\"}", 400},
		    {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/"
		     "v1\",\"request\":{\"uid\":"
		     "\"\"}}",
		     400},
		    {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/"
		     "v1\",\"request\":{\"uid\":"
		     "\"1\",\"uid\":\"2\"}}",
		     400},
		    {"{\"kind\":\"AdmissionReview\",\"apiVersion\":\"admission.k8s.io/"
		     "v1\",\"request\":{\"uid\":"
		     "\"1\"}}",
		     200}};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		enum sn_inject_result r = SN_INJECT_RESULTS;
		struct sn_buf out;

		sn_buf_init(&out, 0);
		assert_int_equal(sn_inject_review(&env, sn_slice_cstr(rows[i].text), &out, &r),
				 rows[i].status);
		assert_int_equal(r, rows[i].status == 200 ? SN_INJECT_NOT_A_POD
							  : SN_INJECT_BAD_REVIEW);
		assert_true(sn_buf_len(&out) > 0);
		sn_buf_done(&out);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_who_gets_a_proxy, setup, teardown),
		cmocka_unit_test_setup_teardown(test_pod_security_levels, setup, teardown),
		cmocka_unit_test_setup_teardown(test_annotations, setup, teardown),
		cmocka_unit_test_setup_teardown(test_the_patch, setup, teardown),
		cmocka_unit_test_setup_teardown(test_reviews_that_are_none, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
