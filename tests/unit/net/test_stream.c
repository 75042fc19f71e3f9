/* SPDX-License-Identifier: Apache-2.0 */
/* Streams: connecting in all its ends, edges that are remembered, half-close, reset. */
#include "loops.h"

static struct world w;
static struct sn_stream s;
static unsigned seen, calls;

static int begin(void **state)
{
	(void)state;
	seen = calls = 0;
	world_begin(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	sn_stream_close(&s, false);
	world_end(&w);
	return 0;
}

static void note(struct sn_stream *stream, unsigned events)
{
	assert_ptr_equal(stream, &s);
	seen |= events;
	calls++;
}

static ssize_t put(struct sn_stream *to, const char *text)
{
	struct iovec iov = {(char *)text, strlen(text)};

	return sn_stream_writev(to, &iov, 1);
}

static void test_connect(void **state)
{
	struct sn_addr at;
	int listener = listening(4, &at), peer;
	char buf[16];

	(void)state;
	assert_int_equal(sn_stream_connect(&s, w.loop, &at, 1000, note), 0);
	assert_int_equal(calls, 0); /* never from inside */
	assert_true(s.connecting);
	assert_int_equal(put(&s, "early"), -SN_EAGAIN);
	until(&w, seen & SN_STREAM_CONNECTED);
	assert_false(s.connecting);
	peer = accept_one(&w, listener);
	assert_int_equal(put(&s, "hello"), 5);
	until(&w, recv(peer, buf, sizeof(buf), 0) == 5);
	pass_ms(&w, 5000); /* the connect timeout is over and done with */
	assert_false(seen & SN_STREAM_FAILED);
	assert_int_equal(s.tx_bytes, 5);
	close(peer);
	close(listener);
}

static void test_refused(void **state)
{
	struct sn_addr at = nobody();

	(void)state;
	assert_int_equal(sn_stream_connect(&s, w.loop, &at, 1000, note), 0);
	assert_int_equal(calls, 0);
	until(&w, seen);
	assert_int_equal(seen, SN_STREAM_FAILED);
	assert_int_equal(s.error, ECONNREFUSED);
}

static void test_no_route_is_told_later_too(void **state)
{
	struct sn_addr at;

	(void)state;
	/* connect() itself fails: TCP has no broadcast */
	assert_int_equal(sn_addr_parse(SN_SLICE("255.255.255.255:1"), &at), 0);
	assert_int_equal(sn_stream_connect(&s, w.loop, &at, 60000, note), 0);
	assert_int_equal(calls, 0);
	until(&w, seen);
	assert_int_equal(seen, SN_STREAM_FAILED);
	assert_int_not_equal(s.error, 0);
	assert_int_not_equal(s.error, ETIMEDOUT);
}

static void ignore(struct sn_stream *stream, unsigned events)
{
	(void)stream;
	(void)events;
}

static void test_connect_timeout(void **state)
{
	struct sn_stream fill[4];
	struct sn_addr at;
	int listener = listening(0, &at);

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(fill); i++) /* the backlog is full then */
		assert_int_equal(sn_stream_connect(&fill[i], w.loop, &at, 0, ignore), 0);
	assert_int_equal(sn_stream_connect(&s, w.loop, &at, 1000, note), 0);
	pass_ms(&w, 999);
	assert_int_equal(seen, 0);
	pass_ms(&w, 1);
	assert_int_equal(seen, SN_STREAM_FAILED);
	assert_int_equal(s.error, ETIMEDOUT);
	for (size_t i = 0; i < SN_ARRAY_LEN(fill); i++)
		sn_stream_close(&fill[i], true);
	close(listener);
}

static void test_edges_are_remembered(void **state)
{
	char buf[8];
	int fd[2];

	(void)state;
	pair(fd);
	assert_int_equal(sn_stream_open(&s, w.loop, fd[0], NULL, note), 0);
	assert_true(s.may_read && s.may_write);
	assert_int_equal(sn_stream_read(&s, buf, sizeof(buf)), -SN_EAGAIN);
	assert_false(s.may_read);
	assert_false(sn_stream_is_stale(&s));
	assert_int_equal(write(fd[1], "0123456789", 10), 10);
	until(&w, seen & SN_STREAM_READABLE);
	assert_true(sn_stream_is_stale(&s)); /* bytes that nobody asked for */
	assert_int_equal(sn_stream_read(&s, buf, 8), 8);
	assert_true(s.may_read); /* a full read: there may be more */
	assert_int_equal(sn_stream_read(&s, buf, 8), 2);
	assert_false(s.may_read); /* a short one: there is not */
	assert_int_equal(s.rx_bytes, 10);
	close(fd[1]);
}

static void test_bytes_and_an_end_together(void **state)
{
	char buf[8];
	int fd[2];

	(void)state;
	pair(fd);
	sn_stream_open(&s, w.loop, fd[0], NULL, note);
	assert_int_equal(write(fd[1], "bye", 3), 3);
	close(fd[1]);
	until(&w, s.end_signalled);
	assert_int_equal(sn_stream_read(&s, buf, sizeof(buf)), 3);
	assert_true(s.may_read); /* short, but no new edge will tell of the end */
	assert_int_equal(sn_stream_read(&s, buf, sizeof(buf)), 0);
	assert_true(s.read_eof);
	assert_int_equal(sn_stream_read(&s, buf, sizeof(buf)), 0); /* and again */
	assert_true(sn_stream_is_stale(&s));
}

static void test_half_close_and_close(void **state)
{
	char buf[8];
	int fd[2];

	(void)state;
	pair(fd);
	sn_stream_open(&s, w.loop, fd[0], NULL, note);
	sn_stream_shutdown_write(&s);
	sn_stream_shutdown_write(&s);
	assert_int_equal(recv(fd[1], buf, 1, 0), 0);
	assert_int_equal(put(&s, "x"), -SN_ECONN);
	assert_int_equal(write(fd[1], "still", 5), 5); /* the other way goes on */
	until(&w, seen & SN_STREAM_READABLE);
	assert_int_equal(sn_stream_read(&s, buf, sizeof(buf)), 5);
	calls = 0;
	assert_int_equal(write(fd[1], "more", 4), 4);
	sn_stream_close(&s, false);
	sn_stream_close(&s, true);
	turns(&w, 3);
	assert_int_equal(calls, 0); /* no callback after the close */
	assert_int_equal(sn_stream_read(&s, buf, 1), -SN_ECONN);
	assert_int_equal(put(&s, "x"), -SN_ECONN);
	assert_true(sn_stream_is_stale(&s));
	close(fd[1]);
}

static void test_a_full_socket(void **state)
{
	static char big[1 << 20];
	struct iovec iov = {big, sizeof(big)};
	int fd[2];
	ssize_t n, got;

	(void)state;
	pair(fd);
	sn_stream_open(&s, w.loop, fd[0], NULL, note);
	turns(&w, 2);
	n = sn_stream_writev(&s, &iov, 1);
	assert_true(n > 0 && n < (ssize_t)sizeof(big));
	assert_false(s.may_write);
	assert_int_equal(sn_stream_writev(&s, &iov, 1), -SN_EAGAIN);
	seen = 0;
	while ((got = recv(fd[1], big, sizeof(big), 0)) > 0)
		;
	until(&w, seen & SN_STREAM_WRITABLE);
	assert_true(s.may_write);
	close(fd[1]);
}

static void test_reset(void **state)
{
	struct sn_addr at;
	int listener = listening(4, &at), peer;
	char buf[8];

	(void)state;
	sn_stream_connect(&s, w.loop, &at, 0, note);
	peer = accept_one(&w, listener);
	until(&w, seen & SN_STREAM_CONNECTED);
	sn_stream_close(&s, true);
	until(&w, recv(peer, buf, 1, 0) < 0 && errno == ECONNRESET);
	close(peer);
	close(listener);
}

/* A peer's reset is told to one who does not read, and takes nothing away from one who does; both
 * ends in order are none. */
static void test_a_reset_from_the_peer(void **state)
{
	struct linger hard = {.l_onoff = 1, .l_linger = 0};
	struct sn_addr at;
	int listener = listening(4, &at), peer, i;
	char buf[16];

	(void)state;
	for (i = 0; i < 2; i++) {
		seen = 0;
		assert_int_equal(sn_stream_connect(&s, w.loop, &at, 0, note), 0);
		peer = accept_one(&w, listener);
		assert_int_equal(write(peer, "bytes", 5), 5);
		until(&w, seen & SN_STREAM_READABLE);
		if (i == 0) {
			sn_stream_shutdown_write(&s);
		} else {
			assert_int_equal(
				setsockopt(peer, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard)), 0);
		}
		seen = 0;
		close(peer);
		until(&w, seen & SN_STREAM_READABLE);
		turns(&w, 2);
		assert_int_equal(!!(seen & SN_STREAM_RESET), i);
		assert_int_equal(s.reset, i);
		assert_int_equal(sn_stream_read(&s, buf, sizeof(buf)), 5);
		assert_int_equal(sn_stream_read(&s, buf, sizeof(buf)), i ? -SN_ECONN : 0);
		sn_stream_close(&s, false);
	}
	close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_connect, begin, end),
		cmocka_unit_test_setup_teardown(test_refused, begin, end),
		cmocka_unit_test_setup_teardown(test_no_route_is_told_later_too, begin, end),
		cmocka_unit_test_setup_teardown(test_connect_timeout, begin, end),
		cmocka_unit_test_setup_teardown(test_edges_are_remembered, begin, end),
		cmocka_unit_test_setup_teardown(test_bytes_and_an_end_together, begin, end),
		cmocka_unit_test_setup_teardown(test_half_close_and_close, begin, end),
		cmocka_unit_test_setup_teardown(test_a_full_socket, begin, end),
		cmocka_unit_test_setup_teardown(test_reset, begin, end),
		cmocka_unit_test_setup_teardown(test_a_reset_from_the_peer, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
