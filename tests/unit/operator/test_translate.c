/* SPDX-License-Identifier: Apache-2.0 */
/* From resources to a document: who sees what, what is left out, and that order does not matter. */
#include "tests/unit/unit.h"

#include "operator/translate/translate.h"
#include "tests/unit/operator/objects.h"

#define ROUTE(name, ns, parent, backend)                                                           \
	"kind: MeshRoute\nmetadata: {name: " name ", namespace: " ns ", generation: 3}\n"          \
	"spec: {parentRefs: [" parent "], rules: [{backendRefs: [" backend "]}]}\n---\n"
#define WEB "{kind: Service, name: web, port: 80}"
#define DEMO_WEB "{kind: Service, name: web, namespace: demo, port: 80}"

static struct sn_document doc;

static const char *translate(struct sn_index *idx, const char *ns)
{
	struct sn_err err = {0};

	sn_document_done(&doc);
	memset(&doc, 0, sizeof(doc));
	if (sn_translate(idx, ns, &doc, &err))
		fail_msg("%s", err.msg);
	assert_int_equal(doc.n_shards, 1);
	return sn_buf_cstr(&doc.shards[0]);
}

static struct sn_condition condition(struct sn_index *idx, const char *ns, const char *name,
				     const char *type)
{
	const struct sn_object *o = sn_index_find(idx, SN_KIND_MESHROUTE, ns, name);
	struct sn_condition c[SN_CONDITIONS_MAX];
	size_t i, n;

	assert_non_null(o);
	n = sn_translate_conditions(idx, o, 0, c);
	for (i = 0; i < n; i++)
		if (strcmp(c[i].type, type) == 0)
			return c[i];
	fail_msg("no condition %s", type);
	return c[0];
}

static int teardown(void **state)
{
	(void)state;
	sn_document_done(&doc);
	memset(&doc, 0, sizeof(doc));
	return 0;
}

static void test_any_order_gives_the_same_bytes(void **state)
{
	static const char *const parts[] = {
		SERVICE("web", "10.0.0.1"), SERVICE("web-v2", "10.0.0.2"),
		ROUTE("a", "demo", WEB,
		      "{name: web, port: 80, weight: 9}, {name: web-v2, port: 80, weight: 1}"),
		ROUTE("b", "demo", "{kind: Service, name: web-v2}", "{name: web, port: 80}"),
		"kind: BackendPolicy\nmetadata: {name: p, namespace: demo}\nspec: {targetRefs: "
		"[{kind: Service, name: web}], "
		"loadBalancing: {algorithm: RoundRobin}}\n"};
	static const int orders[][5] = {{0, 1, 2, 3, 4}, {4, 3, 2, 1, 0}, {2, 4, 0, 3, 1}};
	char first[8192] = "";
	size_t o, i;

	(void)state;
	for (o = 0; o < SN_ARRAY_LEN(orders); o++) {
		struct sn_index *idx = sn_index_new();
		const char *text;

		for (i = 0; i < 5; i++)
			apply(idx, parts[orders[o][i]]);
		text = translate(idx, "demo");
		assert_non_null(strstr(text, "RoundRobin"));
		assert_non_null(strstr(text, doc.revision));
		if (o == 0)
			snprintf(first, sizeof(first), "%s", text);
		assert_string_equal(text, first);
		sn_index_free(idx);
	}
}

static void test_only_services_that_routes_speak_of(void **state)
{
	struct sn_index *idx = sn_index_new();

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1") SERVICE("idle", "10.0.0.2"));
	assert_null(strstr(translate(idx, "demo"), "web.demo"));
	apply(idx, ROUTE("a", "demo", WEB, "{name: web, port: 80}"));
	assert_non_null(strstr(translate(idx, "demo"), "name: web.demo"));
	assert_null(strstr(translate(idx, "demo"), "idle"));
	sn_index_free(idx);
}

static void test_producers_and_consumers(void **state)
{
	struct sn_index *idx = sn_index_new();

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1") SERVICE("web-v2", "10.0.0.2"));
	apply(idx, ROUTE("produced", "demo", WEB, "{name: web-v2, port: 80}"));
	assert_non_null(strstr(translate(idx, "other"), "produced")); /* for all clients */
	apply(idx, ROUTE("consumed", "other", DEMO_WEB, "{name: web, namespace: demo, port: 80}"));
	assert_non_null(strstr(translate(idx, "other"), "consumed"));
	assert_null(strstr(translate(idx, "other"), "produced")); /* the consumer's wins */
	assert_null(strstr(translate(idx, "demo"), "consumed"));
	assert_non_null(strstr(translate(idx, "demo"), "produced"));
	sn_index_free(idx);
}

static void test_backends_that_cannot_be_used_say_why(void **state)
{
	struct sn_index *idx = sn_index_new();

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx, "kind: Service\nmetadata: {name: headless, namespace: demo}\n"
		   "spec: {clusterIP: None, selector: {a: b}, ports: [{port: 80}]}\n---\n"
		   "kind: Service\nmetadata: {name: away, namespace: demo}\nspec: {type: "
		   "ExternalName, externalName: x.y}\n");
	apply(idx, ROUTE("missing", "demo", WEB, "{name: nobody, port: 80}"));
	assert_string_equal(condition(idx, "demo", "missing", "Accepted").reason, "Accepted");
	assert_string_equal(condition(idx, "demo", "missing", "ResolvedRefs").reason,
			    "BackendNotFound");
	assert_non_null(strstr(translate(idx, "demo"), "nobody.demo#BackendNotFound"));
	apply(idx, ROUTE("missing", "demo", WEB, "{name: headless, port: 80}"));
	assert_string_equal(condition(idx, "demo", "missing", "ResolvedRefs").reason,
			    "UnsupportedValue");
	apply(idx, ROUTE("missing", "demo", WEB, "{name: away, port: 80}"));
	assert_string_equal(condition(idx, "demo", "missing", "ResolvedRefs").reason,
			    "UnsupportedValue");
	apply(idx, ROUTE("missing", "demo", WEB, "{kind: ConfigMap, name: web, port: 80}"));
	assert_string_equal(condition(idx, "demo", "missing", "ResolvedRefs").reason,
			    "InvalidKind");
	apply(idx, ROUTE("missing", "demo", WEB, "{name: web, namespace: other, port: 80}"));
	assert_string_equal(condition(idx, "demo", "missing", "ResolvedRefs").reason,
			    "RefNotPermitted");
	apply(idx, ROUTE("missing", "demo", WEB, "{name: web, port: 80}"));
	assert_true(condition(idx, "demo", "missing", "ResolvedRefs").status);
	sn_index_free(idx);
}

static void test_parents(void **state)
{
	struct sn_index *idx = sn_index_new();

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx, ROUTE("r", "demo", "{kind: Service, name: nowhere}", "{name: web, port: 80}"));
	assert_string_equal(condition(idx, "demo", "r", "Accepted").reason, "NoMatchingParent");
	apply(idx,
	      ROUTE("r", "demo", "{kind: Service, name: web, port: 81}", "{name: web, port: 80}"));
	assert_string_equal(condition(idx, "demo", "r", "Accepted").reason, "NoMatchingParent");
	apply(idx, ROUTE("r", "demo", "{kind: Gateway, name: web}", "{name: web, port: 80}"));
	assert_string_equal(condition(idx, "demo", "r", "Accepted").reason, "InvalidKind");
	apply(idx, ROUTE("r", "demo", "{group: core, kind: Service, name: web}",
			 "{name: web, port: 80}"));
	assert_true(condition(idx, "demo", "r", "Accepted").status);
	sn_index_free(idx);
}

static void test_mesh_config(void **state)
{
	struct sn_index *idx = sn_index_new();

	(void)state;
	assert_null(strstr(translate(idx, "demo"), "deny"));
	apply(idx,
	      "kind: MeshConfig\nmetadata: {name: default}\nspec: {outbound: {mode: DenyAny}}\n");
	assert_non_null(strstr(translate(idx, "demo"), "mode: deny"));
	sn_index_free(idx);
}

static void test_hostile_values_stay_values(void **state)
{
	struct sn_index *idx = sn_index_new();
	struct sn_err err = {0};
	struct sn_val *v = NULL;
	struct sn_arena a;
	const char *text;

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx,
	      "kind: MeshRoute\nmetadata: {name: r, namespace: demo}\nspec:\n  parentRefs: [" WEB
	      "]\n  rules:\n"
	      "  - matches: [{path: {type: Exact, value: \"/a\\n  evil: true\\x01\\u2028#\"}, "
	      "headers: "
	      "[{name: x, value: \"yes: {no}\"}]}]\n    backendRefs: [{name: web, port: 80}]\n");
	text = translate(idx, "demo");
	sn_arena_init(&a, 0, 0);
	assert_int_equal(sn_yaml_parse(&a, "doc", text, strlen(text), &v, NULL, &err), 0);
	assert_null(strstr(text, "\n  evil"));
	sn_arena_done(&a);
	sn_index_free(idx);
}

/* One rule in @rest of an otherwise good route. */
#define RULE(name, rest)                                                                           \
	"kind: MeshRoute\nmetadata: {name: " name ", namespace: demo}\nspec: {parentRefs: [" WEB   \
	"], rules: [" rest "]}\n---\n"

static void test_matches_are_kept_as_they_are(void **state)
{
	struct sn_index *idx = sn_index_new();
	const char *text;

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx,
	      RULE("regex", "{matches: [{path: {type: RegularExpression, value: '/v[0-9]+'}, "
			    "headers: [{type: RegularExpression, name: x-a, value: 'b+'}], "
			    "queryParams: [{type: RegularExpression, name: q, value: 'c?'}]}]}"));
	text = translate(idx, "demo");
	assert_non_null(strstr(text, "/v[0-9]+"));
	assert_non_null(strstr(text, "b+"));
	assert_non_null(strstr(text, "c?"));
	assert_null(strstr(text, "type: Exact"));
	assert_true(condition(idx, "demo", "regex", "Accepted").status);
	sn_index_free(idx);
}

static void has_all(const char *text, const char *const *keys, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (!strstr(text, keys[i]))
			fail_msg("no %s in\n%s", keys[i], text);
}

static void test_what_a_rule_carries(void **state)
{
	static const char *const keys[] = {"request: 2s",    "backendRequest: 500ms", "- 502",
					   "- 599",	     "- UNAVAILABLE",	      "attempts: 3",
					   "backoff: 40ms",  "per: Header",	      "burst: 20",
					   "header: x-user", "requestsPerSecond: 100"};
	struct sn_index *idx = sn_index_new();
	struct sn_condition c;

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx,
	      RULE("r", "{timeouts: {request: 2s, backendRequest: 500ms}, "
			"retry: {codes: [502, 599], grpc: [UNAVAILABLE], attempts: 3, "
			"backoff: 40ms}, rateLimit: {requestsPerSecond: 100, burst: 20, "
			"per: Header, header: x-user}, backendRefs: [{name: web, port: 80}]}"));
	c = condition(idx, "demo", "r", "Accepted");
	assert_true(c.status);
	assert_string_equal(c.reason, "Accepted");
	assert_null(strstr(c.message, "ignored"));
	has_all(translate(idx, "demo"), keys, SN_ARRAY_LEN(keys));
	sn_index_free(idx);
}

static void test_a_route_that_cannot_be_expressed_spoils_nothing(void **state)
{
	static const struct {
		const char *text, *says;
	} rows[] = {
		{RULE("bad", "{matches: [{path: {type: Regex, value: /x}}]}"),
		 "spec.rules[0].matches[0].path.type"},
		{RULE("bad", "{matches: [{path: {type: RegularExpression, value: '/x(?=y)'}}]}"),
		 "spec.rules[0].matches[0].path.value: not a usable regular expression: at offset "
		 "2"},
		{RULE("bad",
		      "{matches: [{headers: [{type: RegularExpression, name: a, value: '(b'}]}]}"),
		 "spec.rules[0].matches[0].headers[0].value: not a usable"},
		{RULE("bad", "{matches: [{queryParams: [{type: RegularExpression, name: a, value: "
			     "'['}]}]}"),
		 "spec.rules[0].matches[0].queryParams[0].value: not a usable"},
		{RULE("bad", "{matches: [{header: [{name: a, value: b}]}]}"), "did you mean"},
		{RULE("bad", "{filters: [{type: ExtensionRef, extensionRef: {}}]}"),
		 "filters[0].type"},
		{RULE("bad", "{filters: [{type: URLRewrite, urlRewrite: {hostname: A}}]}"),
		 "spec.rules[0].filters[0].urlRewrite.hostname"},
		{RULE("bad", "{filters: [{type: RequestRedirect, requestRedirect: {}}], "
			     "backendRefs: [{name: web, port: 80}]}"),
		 "spec.rules[0].filters[0]: RequestRedirect answers"},
		{RULE("bad", "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: "
			     "web, port: 80, weight: 2}}}]}"),
		 "unknown key \"weight\""},
		{RULE("bad", "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: "
			     "web, port: 80}, percent: 101}}]}"),
		 "filters[0].requestMirror.percent"},
		{RULE("bad", "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: "
			     "web}, percents: 1}, more: 1}]}"),
		 "percents"},
		{RULE("bad",
		      "{filters: [{type: RequestMirror, requestMirror: {backendRef: web}}]}"),
		 "filters[0].requestMirror.backendRef"},
		{RULE("bad", "{filters: [{type: RequestMirror}]}"), "requestMirror"},
		{RULE("bad", "{backendRefs: [{name: web, port: 80, filters: []}]}"), "filters"},
		{RULE("bad", "{timeouts: {request: 99999h}}"), "spec.rules[0].timeouts.request"},
		{RULE("bad", "{timeouts: {request: 1s, backendRequest: 2s}}"),
		 "longer than request"},
		{RULE("bad", "{retry: {codes: [200]}}"), "spec.rules[0].retry.codes[0]"},
		{RULE("bad", "{timeouts: {backendRequest: 25h}}"),
		 "spec.rules[0].timeouts.backendRequest"},
		{RULE("bad", "{timeouts: {perTry: 1s}}"), "spec.rules[0].timeouts: unknown key"},
		{RULE("bad", "{retry: {codes: [502, 600]}}"), "spec.rules[0].retry.codes[1]"},
		{RULE("bad", "{retry: {grpc: [OK]}}"), "spec.rules[0].retry.grpc[0]"},
		{RULE("bad", "{retry: {attempts: 11}}"), "spec.rules[0].retry.attempts"},
		{RULE("bad", "{retry: {backoff: 0s}}"), "spec.rules[0].retry.backoff"},
		{RULE("bad", "{retry: {perTryTimeout: 1s}}"), "spec.rules[0].retry: unknown key"},
		{RULE("bad", "{retry: true}"), "spec.rules[0].retry"},
		{RULE("bad", "{rateLimit: {burst: 5}}"), "spec.rules[0].rateLimit: "},
		{RULE("bad", "{rateLimit: {requestsPerSecond: 0}}"),
		 "spec.rules[0].rateLimit.requestsPerSecond"},
		{RULE("bad", "{rateLimit: {requestsPerSecond: 1, burst: 0}}"),
		 "spec.rules[0].rateLimit.burst"},
		{RULE("bad", "{rateLimit: {requestsPerSecond: 1, per: Client}}"),
		 "spec.rules[0].rateLimit.per"},
		{RULE("bad", "{rateLimit: {requestsPerSecond: 1, per: Header}}"),
		 "spec.rules[0].rateLimit: \"header\" goes with"},
		{RULE("bad", "{rateLimit: {requestsPerSecond: 1, header: x-a}}"),
		 "spec.rules[0].rateLimit: \"header\" goes with"},
		{RULE("bad", "{rateLimit: {requestsPerSecond: 1, per: Header, header: 'x a'}}"),
		 "spec.rules[0].rateLimit.header"},
		{RULE("bad", "{backendRefs: [{name: web, port: http}]}"), "backendRefs[0].port"},
		{RULE("bad", "{backendRefs: [{name: web, port: 80, weight: -1}]}"), "weight"},
		{RULE("bad",
		      "{filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: "
		      "[{name: x-a, value: b}, {name: X-A, value: c}]}}]}"),
		 "named twice"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_index *idx = sn_index_new();
		struct sn_condition c;

		apply(idx, SERVICE("web", "10.0.0.1"));
		apply(idx, ROUTE("good", "demo", WEB, "{name: web, port: 80}"));
		apply(idx, rows[i].text);
		assert_null(strstr(translate(idx, "demo"), "name: bad"));
		assert_non_null(strstr(translate(idx, "demo"), "name: good"));
		c = condition(idx, "demo", "bad", "Accepted");
		assert_false(c.status);
		assert_string_equal(c.reason, "UnsupportedValue");
		if (!strstr(c.message, rows[i].says))
			fail_msg("\"%s\" does not say \"%s\"", c.message, rows[i].says);
		assert_true(condition(idx, "demo", "good", "Accepted").status);
		sn_index_free(idx);
	}
}

#define MIRROR(ref) "{type: RequestMirror, requestMirror: {backendRef: " ref ", percent: 5}}"
#define MIRRORED(refs) RULE("r", "{filters: [" refs "], backendRefs: [{name: web, port: 80}]}")

static void test_filters(void **state)
{
	struct sn_index *idx = sn_index_new();
	struct sn_condition c;
	const char *text;

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1") SERVICE("copy", "10.0.0.2"));
	apply(idx,
	      RULE("good",
		   "{filters: [" MIRROR(
			   "{name: copy, port: 80}") ", {type: Fault, fault: "
						     "{delay: {percent: 3, duration: 7ms}}}, "
						     "{type: CORS, cors: "
						     "{allowOrigins: ['https://*.example.com']}}], "
						     "backendRefs: [{name: web, "
						     "port: 80}]}, {filters: [{type: "
						     "DirectResponse, directResponse: "
						     "{statusCode: 418}}], matches: [{path: "
						     "{value: /x}}]}"));
	c = condition(idx, "demo", "good", "Accepted");
	if (!c.status)
		fail_msg("%s", c.message);
	assert_true(condition(idx, "demo", "good", "ResolvedRefs").status);
	text = translate(idx, "demo");
	assert_non_null(strstr(text, "backendRef:"));
	assert_non_null(strstr(text, "10.0.0.2")); /* the mirror's service is there, too */
	assert_non_null(strstr(text, "percent: 5"));
	assert_non_null(strstr(text, "duration: 7ms"));
	assert_non_null(strstr(text, "https://*.example.com"));
	assert_non_null(strstr(text, "statusCode: 418"));
	sn_index_free(idx);
}

static void test_mirrors_that_cannot_be_say_why(void **state)
{
	static const struct {
		const char *route, *reason, *named;
	} rows[] = {
		{MIRRORED(MIRROR("{name: nobody, port: 80}")), "BackendNotFound",
		 "nobody.demo#BackendNotFound"},
		{MIRRORED(MIRROR("{name: web, port: 81}")), "BackendNotFound",
		 "web.demo#BackendNotFound"},
		{MIRRORED(MIRROR("{name: web, namespace: other, port: 80}")), "RefNotPermitted",
		 "web.other#RefNotPermitted"},
		{MIRRORED(MIRROR("{name: web, port: 80}") ", " MIRROR(
			 "{kind: ConfigMap, name: web}")),
		 "InvalidKind", "web.demo#InvalidKind"},
	};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_index *idx = sn_index_new();
		struct sn_condition c;

		apply(idx, SERVICE("web", "10.0.0.1"));
		apply(idx, rows[i].route);
		assert_true(condition(idx, "demo", "r", "Accepted").status);
		c = condition(idx, "demo", "r", "ResolvedRefs");
		assert_false(c.status);
		assert_string_equal(c.reason, rows[i].reason);
		assert_null(strstr(c.message, "500"));
		assert_non_null(strstr(translate(idx, "demo"), rows[i].named));
		sn_index_free(idx);
	}
}

static void test_settings_of_a_later_version_are_ignored_and_named(void **state)
{
	struct sn_index *idx = sn_index_new();
	struct sn_condition c;

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx, RULE("later", "{shadow: {percent: 2}, backendRefs: [{name: web, port: 80}]}"));
	assert_non_null(strstr(translate(idx, "demo"), "name: later"));
	assert_null(strstr(translate(idx, "demo"), "shadow"));
	c = condition(idx, "demo", "later", "Accepted");
	assert_true(c.status);
	assert_non_null(strstr(c.message, "ignored: spec.rules[0].shadow"));
	sn_index_free(idx);
}

static struct sn_condition policy_condition(struct sn_index *idx, const char *name)
{
	struct sn_condition c[SN_CONDITIONS_MAX];

	assert_int_equal(
		sn_translate_conditions(
			idx, sn_index_find(idx, SN_KIND_BACKENDPOLICY, "demo", name), 0, c),
		1);
	return c[0];
}

#define POLICY(name, created, rest)                                                                \
	"kind: BackendPolicy\nmetadata: {name: " name                                              \
	", namespace: demo, creationTimestamp: '" created                                          \
	"'}\nspec: {targetRefs: [{kind: Service, name: web}], " rest "}\n---\n"

static void test_one_policy_holds_and_the_others_are_told(void **state)
{
	struct sn_index *idx = sn_index_new();

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx, POLICY("a", "2026-02-02T00:00:00Z", "loadBalancing: {algorithm: PeakEWMA}"));
	apply(idx, POLICY("b", "2026-01-01T00:00:00Z", "loadBalancing: {algorithm: RoundRobin}"));
	assert_non_null(strstr(translate(idx, "demo"), "RoundRobin"));
	assert_true(policy_condition(idx, "b").status);
	assert_string_equal(policy_condition(idx, "a").reason, "Conflicted");
	assert_non_null(strstr(policy_condition(idx, "a").message, "demo/b"));
	apply(idx, POLICY("b", "2026-01-01T00:00:00Z", "loadBalancing: {algorithm: Maglev}"));
	assert_non_null(strstr(policy_condition(idx, "b").message, "hashOn"));
	assert_string_equal(policy_condition(idx, "b").reason, "UnsupportedValue");
	assert_true(policy_condition(idx, "a").status);
	assert_non_null(strstr(translate(idx, "demo"), "PeakEWMA"));
	sn_index_free(idx);
}

static void test_what_a_policy_carries(void **state)
{
	static const char *const keys[] = {"slowStart: 30s",
					   "type: Cookie",
					   "name: sid",
					   "consecutiveFailures: 3",
					   "percent: 90",
					   "interval: 7s",
					   "minRequests: 9",
					   "minPenalty: 2s",
					   "maxPenalty: 3m",
					   "maxEjectedPercent: 40",
					   "panic: true",
					   "locality:",
					   "max: 5",
					   "requests: 6",
					   "pending: 8",
					   "pendingTimeout: 2500ms",
					   "idleTimeout: 11s",
					   "percent: 12",
					   "minPerSecond: 13",
					   "interval: 14s",
					   "requestsPerSecond: 15",
					   "burst: 16",
					   "min: 17",
					   "max: 18",
					   "sessionName: shop",
					   "type: Header",
					   "absoluteTimeout: 19h",
					   "idleTimeout: 20m",
					   "lifetimeType: Permanent"};
	struct sn_index *idx = sn_index_new();

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx,
	      POLICY("a", "2026-01-01T00:00:00Z",
		     "loadBalancing: {algorithm: Maglev, slowStart: 30s, hashOn: {type: Cookie, "
		     "name: sid}}, circuitBreaking: {mode: 'On', consecutiveFailures: 3, "
		     "successRate: {percent: 90, interval: 7s, minRequests: 9}, minPenalty: 2s, "
		     "maxPenalty: 3m, maxEjectedPercent: 40, panic: true}, locality: {mode: "
		     "'Off'}, connections: {max: 5, requests: 6, pending: 8, pendingTimeout: "
		     "2500ms, idleTimeout: 11s}, retryBudget: {percent: 12, minPerSecond: 13, "
		     "interval: 14s}, rateLimit: {requestsPerSecond: 15, burst: 16}, "
		     "adaptiveConcurrency: {mode: 'On', min: 17, max: 18}, sessionPersistence: "
		     "{sessionName: shop, type: Header, absoluteTimeout: 19h, idleTimeout: 20m, "
		     "cookieConfig: {lifetimeType: Permanent}}"));
	assert_true(policy_condition(idx, "a").status);
	assert_null(strstr(policy_condition(idx, "a").message, "ignored"));
	has_all(translate(idx, "demo"), keys, SN_ARRAY_LEN(keys));
	apply(idx, POLICY("a", "2026-01-01T00:00:00Z",
			  "loadBalancing: {algorithm: Aperture, aperture: {minSize: 21}}"));
	assert_true(policy_condition(idx, "a").status);
	assert_non_null(strstr(translate(idx, "demo"), "minSize: 21"));
	sn_index_free(idx);
}

static void test_policies_that_cannot_be_expressed_say_where(void **state)
{
	static const struct {
		const char *rest, *says;
	} rows[] = {
		{"loadBalancing: {algorithm: Fastest}", "spec.loadBalancing.algorithm"},
		{"loadBalancing: {algorithm: Maglev}", "hashOn"},
		{"loadBalancing: {hashOn: {type: SourceAddress}}", "hashOn"},
		{"loadBalancing: {algorithm: RingHash, hashOn: {type: Header, name: 'a b'}}",
		 "not a valid name"},
		{"loadBalancing: {aperture: {minSize: 5}}", "Aperture only"},
		{"loadBalancing: {slowStart: 2h}", "spec.loadBalancing.slowStart"},
		{"circuitBreaking: {minPenalty: 2m, maxPenalty: 1m}", "spec.circuitBreaking"},
		{"circuitBreaking: {successRate: {minRequests: 5}}", "\"percent\" is missing"},
		{"locality: {mode: 'On'}", "spec.locality.mode"},
		{"connections: {max: 0}", "spec.connections.max"},
		{"connections: {requests: -1}", "spec.connections.requests"},
		{"connections: {pendingTimeout: 0s}", "spec.connections.pendingTimeout"},
		{"connections: {idleTimeout: 1ms}", "spec.connections.idleTimeout"},
		{"connections: {maxRequests: 1}", "spec.connections: unknown key"},
		{"retryBudget: {percent: 101}", "spec.retryBudget.percent"},
		{"retryBudget: {minPerSecond: 100001}", "spec.retryBudget.minPerSecond"},
		{"retryBudget: {interval: 1ms}", "spec.retryBudget.interval"},
		{"rateLimit: {burst: 5}", "\"requestsPerSecond\" is missing"},
		{"rateLimit: {requestsPerSecond: 5, per: Identity}", "unknown key \"per\""},
		{"adaptiveConcurrency: {mode: Auto}", "spec.adaptiveConcurrency.mode"},
		{"adaptiveConcurrency: {min: 1001}", "spec.adaptiveConcurrency: min is more"},
		{"sessionPersistence: {type: Query}", "spec.sessionPersistence.type"},
		{"sessionPersistence: {sessionName: 'a b'}", "spec.sessionPersistence.sessionName"},
		{"sessionPersistence: {type: Header, sessionName: Cookie}", "meaning of its own"},
		{"sessionPersistence: {idleTimeout: 1500ms}", "whole seconds"},
		{"sessionPersistence: {cookieConfig: {lifetimeType: Permanent}}",
		 "needs an absoluteTimeout"},
	};
	char text[512];
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_index *idx = sn_index_new();
		struct sn_condition c;

		apply(idx, SERVICE("web", "10.0.0.1"));
		snprintf(text, sizeof(text), POLICY("a", "2026-01-01T00:00:00Z", "%s"),
			 rows[i].rest);
		apply(idx, text);
		apply(idx, POLICY("b", "2026-02-02T00:00:00Z", "locality: {mode: 'Off'}"));
		c = policy_condition(idx, "a");
		assert_false(c.status);
		assert_string_equal(c.reason, "UnsupportedValue");
		if (!strstr(c.message, rows[i].says))
			fail_msg("\"%s\" does not say \"%s\"", c.message, rows[i].says);
		assert_true(policy_condition(idx, "b").status); /* the oldest that can be read */
		assert_non_null(strstr(translate(idx, "demo"), "locality:"));
		sn_index_free(idx);
	}
}

static void test_long_names_and_many_ports(void **state)
{
	struct sn_index *idx = sn_index_new();
	char name[254], text[8192];
	struct sn_buf ports;
	size_t i;

	(void)state;
	memset(name, 'n', 253);
	name[253] = 0;
	apply(idx, SERVICE("web", "10.0.0.1"));
	snprintf(text, sizeof(text),
		 ROUTE("%s", "other", DEMO_WEB, "{name: web, namespace: demo, port: 80}"), name);
	apply(idx, text);
	assert_non_null(strstr(translate(idx, "other"), "other/nnn"));
	sn_buf_init(&ports, 0);
	for (i = 1; i <= 1200; i++)
		sn_buf_printf(&ports, "%s{port: %zu}", i > 1 ? ", " : "", i);
	sn_buf_printf(&ports, "%c", 0);
	{
		struct sn_buf all;

		sn_buf_init(&all, 0);
		sn_buf_printf(
			&all,
			"kind: Service\nmetadata: {name: web, namespace: demo}\nspec: {clusterIP: "
			"10.0.0.1, selector: {a: b}, ports: [%s]}\n",
			sn_buf_cstr(&ports));
		apply(idx, sn_buf_cstr(&all));
		sn_buf_done(&all);
	}
	assert_non_null(strstr(translate(idx, "other"), "port: 1000"));
	assert_null(strstr(translate(idx, "other"), "port: 1001"));
	sn_buf_done(&ports);
	sn_index_free(idx);
}

#define LISTED(name, notes)                                                                        \
	"kind: Service\nmetadata: {name: " name ", namespace: demo, annotations: {" notes          \
	"}}\nspec: {ports: [{port: 80}]}\n---\n"

/* In a cluster anybody may annotate a Service: it must not say where requests go. */
static void test_listed_instances_only_without_a_cluster(void **state)
{
	struct sn_index *idx = sn_index_new();
	const char *text;
	char why[256];

	(void)state;
	apply(idx, SERVICE("web", "10.0.0.1"));
	apply(idx, LISTED("l", "sennit.dev/endpoints: '127.0.0.1:81 * 3, [::1]:82'"));
	apply(idx, LISTED("bad", "sennit.dev/endpoints: '127.0.0.1:81, garbage'"));
	apply(idx, ROUTE("r", "demo", WEB, "{name: l, port: 80}, {name: bad, port: 80}"));
	assert_non_null(strstr(translate(idx, "demo"), "l.demo#UnsupportedValue"));
	assert_null(strstr(translate(idx, "demo"), "127.0.0.1"));
	sn_index_set_local(idx);
	text = translate(idx, "demo");
	assert_non_null(strstr(text, "address: \"127.0.0.1:81\"\n      weight: 3"));
	assert_non_null(strstr(text, "[::1]:82"));
	assert_non_null(
		strstr(text, "bad.demo#UnsupportedValue")); /* and the rest stays readable */
	assert_null(strstr(text, "garbage"));
	assert_true(sn_translate_service_problem(
		idx, sn_index_find(idx, SN_KIND_SERVICE, "demo", "bad"), why, sizeof(why)));
	assert_non_null(strstr(why, "\"garbage\" is not IP:PORT"));
	sn_index_free(idx);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_any_order_gives_the_same_bytes, teardown),
		cmocka_unit_test_teardown(test_only_services_that_routes_speak_of, teardown),
		cmocka_unit_test_teardown(test_producers_and_consumers, teardown),
		cmocka_unit_test_teardown(test_backends_that_cannot_be_used_say_why, teardown),
		cmocka_unit_test_teardown(test_parents, teardown),
		cmocka_unit_test_teardown(test_mesh_config, teardown),
		cmocka_unit_test_teardown(test_hostile_values_stay_values, teardown),
		cmocka_unit_test_teardown(test_matches_are_kept_as_they_are, teardown),
		cmocka_unit_test_teardown(test_a_route_that_cannot_be_expressed_spoils_nothing,
					  teardown),
		cmocka_unit_test_teardown(test_filters, teardown),
		cmocka_unit_test_teardown(test_mirrors_that_cannot_be_say_why, teardown),
		cmocka_unit_test_teardown(test_settings_of_a_later_version_are_ignored_and_named,
					  teardown),
		cmocka_unit_test_teardown(test_one_policy_holds_and_the_others_are_told, teardown),
		cmocka_unit_test_teardown(test_listed_instances_only_without_a_cluster, teardown),
		cmocka_unit_test_teardown(test_what_a_rule_carries, teardown),
		cmocka_unit_test_teardown(test_what_a_policy_carries, teardown),
		cmocka_unit_test_teardown(test_policies_that_cannot_be_expressed_say_where,
					  teardown),
		cmocka_unit_test_teardown(test_long_names_and_many_ports, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
