/* SPDX-License-Identifier: Apache-2.0 */
/* Calls: what is sent, what becomes of an answer, tokens, cancelling, and peers that vanish. */
#include "tests/unit/kube/api.h"

#include <netinet/tcp.h>

struct seen {
	int n, code;
	unsigned status;
	uint32_t retry_after_s;
	char body[256];
};

static void done(void *arg, const struct sn_kube_answer *a)
{
	struct seen *s = arg;

	s->n++;
	s->code = a->code;
	s->status = a->status;
	s->retry_after_s = a->retry_after_s;
	snprintf(s->body, sizeof(s->body), "%.*s", SN_ARG(a->body));
}

static void turns(struct api *a, struct seen *s, int n)
{
	int i;

	for (i = 0; i < 20000 && s->n < n; i++) {
		sn_clock_fake_advance_ms(&a->clock, 1);
		sn_loop_turn(a->loop, 1);
	}
	assert_int_equal(s->n, n);
}

static void get(struct api *a, struct seen *s)
{
	struct sn_kube_request q = {.method = "GET", .path = "/api/v1/x", .done = done, .arg = s};

	assert_non_null(sn_kube_send(a->kube, &q));
}

static void test_a_request_and_its_answer(void **state)
{
	static const char *const script[] = {
		API_HEAD("200 OK") "{\"a\": 1}",
		"HTTP/1.1 429 Too Many\r\nRetry-After: 7\r\nContent-Length: 2\r\n\r\n{}",
		"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\ncut off"};
	struct sn_kube_request q = {.method = "PATCH",
				    .path = "/api/v1/x?fieldManager=y",
				    .content_type = "application/apply-patch+yaml",
				    .body = SN_SLICE("{\"b\": 2}"),
				    .done = done};
	struct seen s = {0};
	struct api a;

	(void)state;
	api_start(&a, script, 3, NULL);
	q.arg = &s;
	assert_non_null(sn_kube_send(a.kube, &q));
	assert_int_equal(s.n, 0); /* never from inside */
	turns(&a, &s, 1);
	assert_int_equal(s.status, 200);
	assert_string_equal(s.body, "{\"a\": 1}");
	assert_ptr_equal(strstr(a.requests[0], "PATCH /api/v1/x?fieldManager=y HTTP/1.1\r\n"),
			 a.requests[0]);
	assert_non_null(strstr(a.requests[0], "Content-Type: application/apply-patch+yaml\r\n"));
	assert_non_null(strstr(a.requests[0], "\r\n\r\n{\"b\": 2}"));
	get(&a, &s);
	turns(&a, &s, 2);
	assert_int_equal(s.code, -SN_ERETRY);
	assert_int_equal(s.retry_after_s, 7);
	get(&a, &s);
	turns(&a, &s, 3);
	assert_int_equal(s.code, -SN_ERETRY); /* 200, but not all of it */
	assert_int_equal(sn_kube_counters(a.kube)->by_class[2], 2);
	assert_int_equal(sn_kube_counters(a.kube)->by_class[4], 1);
	api_stop(&a);
}

static void test_the_token_is_read_each_minute_and_on_401(void **state)
{
	static const char *const script[] = {API_HEAD("200 OK"), API_HEAD("200 OK"),
					     API_HEAD("200 OK"), API_HEAD("401 Unauthorized"),
					     API_HEAD("200 OK")};
	static const char *const want[] = {"one", "one", "two", "two", "three"};
	char path[] = "/tmp/sennit-token-XXXXXX", line[64];
	struct seen s = {0};
	struct api a;
	int fd = mkstemp(path), i;

	(void)state;
	assert_int_equal(pwrite(fd, "one\n", 4, 0), 4);
	api_start(&a, script, 5, path);
	for (i = 0; i < 5; i++) {
		if (i == 1)
			assert_int_equal(pwrite(fd, "two\n", 4, 0), 4);
		if (i == 2)
			sn_clock_fake_advance_ms(&a.clock, 61000);
		if (i == 3)
			assert_int_equal(pwrite(fd, "three\n", 6, 0), 6);
		sn_loop_turn(a.loop, 0);
		get(&a, &s);
		turns(&a, &s, i + 1);
		snprintf(line, sizeof(line), "Authorization: Bearer %s\r\n", want[i]);
		assert_non_null(strstr(a.requests[i], line));
	}
	api_stop(&a);
	close(fd);
	unlink(path);
}

/* The descriptor of ours that is connected to the server. */
static int connection(const struct api *a)
{
	struct sockaddr_in peer;
	socklen_t size;
	unsigned port = (unsigned)strtoul(strrchr(a->url, ':') + 1, NULL, 10);
	int fd;

	for (fd = 3; fd < 256; fd++) {
		size = sizeof(peer);
		if (getpeername(fd, (struct sockaddr *)&peer, &size) == 0 &&
		    peer.sin_family == AF_INET && ntohs(peer.sin_port) == port)
			return fd;
	}
	return -1;
}

static int option(int fd, int level, int name)
{
	int value = -1;
	socklen_t size = sizeof(value);

	assert_int_equal(getsockopt(fd, level, name, &value, &size), 0);
	return value;
}

/* What makes the kernel notice, within 60 s, a peer that is gone without a word. */
static void test_connections_notice_a_peer_that_vanished(void **state)
{
	struct seen s = {0};
	struct api a;
	int fd;

	(void)state;
	api_start(&a, NULL, 0, NULL);
	get(&a, &s);
	assert_true(api_until(&a, 1));
	fd = connection(&a);
	assert_true(fd >= 0);
	assert_int_equal(option(fd, SOL_SOCKET, SO_KEEPALIVE), 1);
	assert_in_range(option(fd, IPPROTO_TCP, TCP_KEEPIDLE), 1, 30);
	assert_in_range(option(fd, IPPROTO_TCP, TCP_KEEPINTVL), 1, 10);
	assert_in_range(option(fd, IPPROTO_TCP, TCP_USER_TIMEOUT), 1000, 30000);
	api_stop(&a);
}

static void test_a_cancelled_call_says_nothing(void **state)
{
	static const char *const script[] = {NULL, API_HEAD("200 OK")};
	struct sn_kube_request q = {.method = "GET", .path = "/x", .done = done};
	struct seen s = {0}, other = {0};
	struct sn_kube_call *c;
	struct api a;

	(void)state;
	api_start(&a, script, 2, NULL);
	q.arg = &s;
	c = sn_kube_send(a.kube, &q);
	assert_true(api_until(&a, 1));
	sn_kube_cancel(c);
	get(&a, &other);
	turns(&a, &other, 1);
	assert_int_equal(s.n, 0);
	get(&a, &other); /* and what is under way when all ends is freed in silence */
	api_stop(&a);
	assert_int_equal(other.n, 1);
}

/* Many at once share a bounded number of connections, and all are answered. */
static void test_many_at_once_wait_for_a_connection(void **state)
{
	const char *script[60];
	struct seen s = {0};
	struct api a;
	size_t i;

	(void)state;
	for (i = 0; i < 60; i++)
		script[i] = API_HEAD("200 OK") "{}";
	api_start(&a, script, 60, NULL);
	for (i = 0; i < 60; i++)
		get(&a, &s);
	turns(&a, &s, 60);
	api_stop(&a);
}

static void test_an_answer_past_the_limit_is_a_failure(void **state)
{
	static const char *const script[] = {API_HEAD("200 OK") "0123456789"};
	struct sn_kube_request q = {.method = "GET", .path = "/x", .max_bytes = 5, .done = done};
	struct seen s = {0};
	struct api a;

	(void)state;
	api_start(&a, script, 1, NULL);
	q.arg = &s;
	assert_non_null(sn_kube_send(a.kube, &q));
	turns(&a, &s, 1);
	assert_true(s.code != 0);
	api_stop(&a);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_a_request_and_its_answer),
		cmocka_unit_test(test_the_token_is_read_each_minute_and_on_401),
		cmocka_unit_test(test_connections_notice_a_peer_that_vanished),
		cmocka_unit_test(test_a_cancelled_call_says_nothing),
		cmocka_unit_test(test_many_at_once_wait_for_a_connection),
		cmocka_unit_test(test_an_answer_past_the_limit_is_a_failure),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
