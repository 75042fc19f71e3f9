/* SPDX-License-Identifier: Apache-2.0 */
/* List and watch against scripts: pages, versions, 410s, errors, silence, and how often it asks. */
#include "tests/unit/kube/api.h"

#include "kube/watch.h"

#define LIST(items, meta)                                                                          \
	API_HEAD("200 OK") "{\"kind\":\"XList\",\"metadata\":{" meta "},\"items\":[" items "]}"
#define OBJ(name, version)                                                                         \
	"{\"metadata\":{\"name\":\"" name "\",\"resourceVersion\":\"" version "\"}}"
#define EVENT(type, name, version) "{\"type\":\"" type "\",\"object\":" OBJ(name, version) "}\n"
#define TOO_OLD                                                                                    \
	"{\"type\":\"ERROR\",\"object\":{\"kind\":\"Status\",\"code\":410,\"message\":\"too "      \
	"old\"}}\n"

static struct {
	char log[1024];
} told;

static void say(const char *mark, const char *name, const char *end)
{
	size_t n = strlen(told.log);

	snprintf(told.log + n, sizeof(told.log) - n, "%s%s%s", mark, name, end);
}

static void list_begin(void *arg)
{
	(void)arg;
	say("[", "", "");
}

static void object(void *arg, const struct sn_val *obj, bool deleted)
{
	(void)arg;
	say(deleted ? "-" : "+", sn_val_str(sn_val_path(obj, "metadata.name"), "?"), " ");
}

static void list_end(void *arg)
{
	(void)arg;
	say("]", "", "");
}

static const struct sn_kube_watch_events events = {list_begin, object, list_end};

static struct sn_kube_watch *start(struct api *a, const char *const *script, size_t n,
				   uint64_t watchdog_ms)
{
	struct sn_kube_watch *w;

	told.log[0] = 0;
	api_start(a, script, n, NULL);
	w = sn_kube_watch_new(a->kube, a->loop, "/api/v1/xs", "xs", watchdog_ms, &events, NULL);
	assert_non_null(w);
	return w;
}

static void stop(struct api *a, struct sn_kube_watch *w)
{
	sn_kube_watch_free(w);
	api_stop(a);
}

/* The first line of request @i has @text. */
static void assert_asked(const struct api *a, size_t i, const char *text)
{
	const char *end = strstr(a->requests[i], "\r\n"), *at = strstr(a->requests[i], text);

	if (!at || at > end)
		fail_msg("request %zu is \"%.*s\", no \"%s\"", i, (int)(end - a->requests[i]),
			 a->requests[i], text);
}

static void test_pages_then_a_watch_from_their_version(void **state)
{
	static const char *const script[] = {
		LIST(OBJ("a", "1") "," OBJ("b", "2"),
		     "\"continue\":\"t/1+x\",\"resourceVersion\":\"50\""),
		LIST(OBJ("c", "3"), "\"resourceVersion\":\"50\""),
		API_HEAD("200 OK") EVENT("ADDED", "d", "51") EVENT("DELETED", "a", "52")
			EVENT("BOOKMARK", "", "60") EVENT("NEWS", "z", "61")};
	struct sn_kube_watch *w;
	struct api a;
	unsigned i, seconds;

	(void)state;
	w = start(&a, script, 3, 0);
	assert_false(sn_kube_watch_synced(w));
	assert_true(api_until(&a, 4));
	assert_string_equal(told.log, "[+a +b +c ]+d -a ");
	assert_asked(&a, 0, "GET /api/v1/xs?limit=500 ");
	assert_asked(&a, 1, "continue=t%2F1%2Bx");
	assert_asked(&a, 2, "resourceVersion=50");
	assert_asked(&a, 3,
		     "resourceVersion=60"); /* a bookmark moves it on; what is unknown does not */
	for (i = 2; i < 4; i++) {
		assert_asked(&a, i, "watch=true&allowWatchBookmarks=true&timeoutSeconds=");
		seconds =
			(unsigned)strtoul(strstr(a.requests[i], "timeoutSeconds=") + 15, NULL, 10);
		assert_in_range(seconds, 300, 600);
	}
	assert_true(sn_kube_watch_synced(w));
	assert_int_equal(sn_kube_watch_counters(w)->unknown, 1);
	assert_int_equal(sn_kube_watch_counters(w)->bookmarks, 1);
	stop(&a, w);
}

#define EMPTY LIST("", "\"resourceVersion\":\"5\"")

static void test_410_lists_again_at_once_and_then_ever_less_often(void **state)
{
	static const char *const script[] = {
		EMPTY, API_HEAD("200 OK") TOO_OLD, EMPTY, API_HEAD("410 Gone") "{}",
		EMPTY, API_HEAD("200 OK") TOO_OLD, EMPTY, API_HEAD("200 OK") TOO_OLD,
		EMPTY};
	struct sn_kube_watch *w;
	struct api a;
	uint64_t at, first, last;

	(void)state;
	w = start(&a, script, 9, 0);
	assert_true(api_until(&a, 2));
	at = api_ms(&a);
	assert_true(api_until(&a, 3));
	first = api_ms(&a) - at;
	assert_true(api_until(&a, 8));
	at = api_ms(&a);
	assert_true(api_until(&a, 9));
	last = api_ms(&a) - at;
	assert_true(first < 1100); /* about 100 to 400 ms when nothing else runs */
	assert_true(last >= 1200); /* the fourth in a row */
	assert_int_equal(sn_kube_watch_counters(w)->gone, 4);
	stop(&a, w);
}

static void test_watches_that_end_at_once_are_failures(void **state)
{
	static const char *const script[] = {EMPTY, API_HEAD("200 OK"), API_HEAD("200 OK"),
					     API_HEAD("200 OK"), API_HEAD("200 OK")};
	struct sn_kube_watch *w;
	struct api a;
	uint64_t at;

	(void)state;
	w = start(&a, script, 5, 0);
	assert_true(api_until(&a, 2));
	at = api_ms(&a);
	assert_true(api_until(&a, 6)); /* 0.8 + 1.6 + 3.2 + 6.4 s, less a fifth */
	assert_true(api_ms(&a) - at >= 9000);
	assert_int_equal(sn_kube_watch_counters(w)->failures, 4);
	stop(&a, w);
}

static void test_an_error_event_waits_as_long_as_it_says(void **state)
{
	static const char *const script[] = {
		EMPTY, API_HEAD("200 OK") "{\"type\":\"ERROR\",\"object\":{\"code\":429,"
					  "\"message\":\"slow\","
					  "\"details\":{\"retryAfterSeconds\":9}}}\n"};
	struct sn_kube_watch *w;
	struct api a;
	uint64_t at;

	(void)state;
	w = start(&a, script, 2, 0);
	assert_true(api_until(&a, 2));
	at = api_ms(&a);
	assert_true(api_until(&a, 3));
	assert_true(api_ms(&a) - at >= 9000);
	assert_asked(&a, 2, "resourceVersion=5"); /* from where it was */
	stop(&a, w);
}

static void test_silence_is_given_up(void **state)
{
	static const char *const script[] = {EMPTY, NULL,
					     API_HEAD("200 OK") EVENT("ADDED", "late", "6")};
	struct sn_kube_watch *w;
	struct api a;
	uint64_t at;

	(void)state;
	w = start(&a, script, 3, 0);
	assert_true(api_until(&a, 2));
	at = api_ms(&a);
	assert_true(api_until(&a, 4));
	assert_in_range(api_ms(&a) - at, 85000, 100000);
	assert_int_equal(sn_kube_watch_counters(w)->stalled, 1);
	assert_string_equal(told.log, "[]+late ");
	stop(&a, w);
}

static void test_a_list_that_breaks_begins_anew(void **state)
{
	static const char *const script[] = {
		LIST(OBJ("a", "1"), "\"continue\":\"t\",\"resourceVersion\":\"5\""),
		API_HEAD("500 No") "{\"message\":\"etcd\"}",
		LIST(OBJ("b", "1"), "\"resourceVersion\":\"7\"")};
	struct sn_kube_watch *w;
	struct api a;

	(void)state;
	w = start(&a, script, 3, 0);
	assert_true(api_until(&a, 4));
	assert_null(strstr(a.requests[2], "continue"));
	assert_string_equal(told.log, "[+a [+b ]");
	stop(&a, w);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_pages_then_a_watch_from_their_version),
		cmocka_unit_test(test_410_lists_again_at_once_and_then_ever_less_often),
		cmocka_unit_test(test_watches_that_end_at_once_are_failures),
		cmocka_unit_test(test_an_error_event_waits_as_long_as_it_says),
		cmocka_unit_test(test_silence_is_given_up),
		cmocka_unit_test(test_a_list_that_breaks_begins_anew),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
