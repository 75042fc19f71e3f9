/* SPDX-License-Identifier: Apache-2.0 */
/* The small server: what it answers, what it refuses, and that nobody can keep it busy. */
#include "../net/loops.h"

#include "http/responder.h"
#include "net/listener.h"

static struct world w;
static struct sn_addr at;
static struct sn_responder *r;
static char answer[1 << 16];

static unsigned on_request(void *arg, const struct sn_request *req, const struct sn_addr *peer,
			   struct sn_buf *body, const char **ret_type)
{
	assert_ptr_equal(arg, &w);
	assert_true(sn_addr_is_loopback(peer));
	if (sn_slice_eq_cstr(req->path, "/post")) {
		*ret_type = "POST";
		return 405;
	}
	if (sn_slice_eq_cstr(req->path, "/large")) {
		for (int i = 0; i < 1 << 16; i++)
			sn_buf_append(
				body,
				"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
				64);
		return 200;
	}
	if (sn_slice_eq_cstr(req->path, "/yaml"))
		*ret_type = "application/yaml";
	sn_buf_printf(body, "path %.*s\n", SN_ARG(req->path));
	return 200;
}

static int begin(void **state)
{
	struct sn_addr any;
	int fd;

	(void)state;
	world_begin(&w);
	sn_addr_parse(SN_SLICE("127.0.0.1:0"), &any);
	fd = sn_listener_bind(&any, false, 128, &at, NULL);
	r = sn_responder_new(w.loop, fd, on_request, &w);
	assert_non_null(r);
	return 0;
}

static int end(void **state)
{
	(void)state;
	sn_responder_free(r);
	world_end(&w);
	return 0;
}

static int dial(void)
{
	struct sockaddr_storage ss;
	socklen_t n = sn_addr_to_sockaddr(&at, &ss);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(connect(fd, (struct sockaddr *)&ss, n) == 0 || errno == EINPROGRESS);
	turns(&w, 3);
	return fd;
}

/* Reads until the end: 0, or -1 with errno. */
static int read_to_end(int fd)
{
	size_t at_byte = 0;
	ssize_t n = -1;

	for (int i = 0; i < 500; i++) {
		n = recv(fd, answer + at_byte, sizeof(answer) - 1 - at_byte, 0);
		if (n > 0)
			at_byte += (size_t)n;
		else if (n == 0 || errno != EAGAIN)
			break;
		sn_loop_turn(w.loop, 10);
	}
	answer[at_byte] = 0;
	return (int)n;
}

static const char *ask(const char *text)
{
	int fd = dial();

	until(&w, send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text));
	read_to_end(fd);
	close(fd);
	return answer;
}

#define HOST "Host: a\r\n\r\n"

static void test_answers(void **state)
{
	(void)state;
	assert_string_equal(
		ask("GET /x HTTP/1.1\r\n" HOST),
		"HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\n"
		"Content-Length: 8\r\nCache-Control: no-store\r\nConnection: close\r\n\r\n"
		"path /x\n");
	assert_non_null(strstr(ask("GET /yaml HTTP/1.1\r\n" HOST), "application/yaml"));
	ask("HEAD /x HTTP/1.1\r\n" HOST);
	assert_non_null(strstr(answer, "Content-Length: 8\r\n"));
	assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
	ask("GET /post HTTP/1.1\r\n" HOST);
	assert_memory_equal(answer, "HTTP/1.1 405 ", 13);
	assert_non_null(strstr(answer, "\r\nAllow: POST\r\n"));
	/* one request a connection: a second one is not looked at */
	ask("GET /1 HTTP/1.1\r\n" HOST "GET /2 HTTP/1.1\r\n" HOST);
	assert_non_null(strstr(answer, "path /1\n"));
	assert_null(strstr(answer, "path /2\n"));
}

static void test_refusals(void **state)
{
	static char big[16384];

	(void)state;
	assert_memory_equal(ask("garbage\r\n\r\n"), "HTTP/1.1 400 ", 13);
	assert_memory_equal(ask("GET / HTTP/1.1\r\n\r\n"), "HTTP/1.1 400 ", 13);
	assert_memory_equal(ask("GET / HTTP/2.0\r\n" HOST), "HTTP/1.1 505 ", 13);
	memset(big, 'x', sizeof(big) - 1);
	memcpy(big, "GET / HTTP/1.1\r\nHost: a\r\nX: ", 28);
	assert_memory_equal(ask(big), "HTTP/1.1 431 ", 13);
}

static void test_octet_by_octet(void **state)
{
	static const char text[] = "GET /slow HTTP/1.1\r\n" HOST;
	int fd = dial();

	(void)state;
	for (size_t i = 0; i + 1 < sizeof(text); i++) {
		assert_int_equal(send(fd, text + i, 1, MSG_NOSIGNAL), 1);
		turns(&w, 2);
	}
	read_to_end(fd);
	assert_non_null(strstr(answer, "path /slow\n"));
	close(fd);
}

static void test_a_life_is_short(void **state)
{
	int silent = dial(), half = dial();

	(void)state;
	assert_int_equal(send(half, "GET / HT", 8, MSG_NOSIGNAL), 8);
	turns(&w, 3);
	pass_ms(&w, 4999);
	assert_int_equal(recv(silent, answer, 1, 0), -1);
	pass_ms(&w, 1);
	assert_true(read_to_end(silent) == 0);
	assert_true(read_to_end(half) <= 0);
	assert_string_equal(answer, "");
	close(silent);
	close(half);
}

static void test_the_oldest_makes_room(void **state)
{
	int fd[70];

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(fd); i++)
		fd[i] = dial();
	turns(&w, 10);
	assert_non_null(strstr(ask("GET /x HTTP/1.1\r\n" HOST), "path /x"));
	assert_true(read_to_end(fd[0]) == 0);
	assert_int_equal(recv(fd[69], answer, 1, 0), -1); /* still open */
	assert_int_equal(errno, EAGAIN);
	for (size_t i = 0; i < SN_ARRAY_LEN(fd); i++)
		close(fd[i]);
}

static void test_a_large_answer_and_a_slow_reader(void **state)
{
	int fd = dial();
	size_t got = 0;
	ssize_t n;

	(void)state;
	until(&w, send(fd, "GET /large HTTP/1.1\r\n" HOST, 32, MSG_NOSIGNAL) > 0);
	for (int i = 0; i < 100000; i++) {
		n = recv(fd, answer, 4096, 0);
		if (n == 0)
			break;
		got += n > 0 ? (size_t)n : 0;
		if (n < 0)
			sn_loop_turn(w.loop, 1);
	}
	assert_true(got > 4u << 20);
	close(fd);
}

static void test_freed_with_connections_open(void **state)
{
	int fd = dial();

	(void)state;
	sn_responder_free(r);
	r = NULL;
	sn_responder_free(r);
	turns(&w, 2);
	assert_true(read_to_end(fd) <= 0);
	close(fd);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(test_answers),
		T(test_refusals),
		T(test_octet_by_octet),
		T(test_a_life_is_short),
		T(test_the_oldest_makes_room),
		T(test_a_large_answer_and_a_slow_reader),
		T(test_freed_with_connections_open),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
