/* SPDX-License-Identifier: Apache-2.0 */
/* What a socket does not take is kept, in order, bounded, and gone from memory once it is sent. */
#include "loops.h"

#include "net/outq.h"

#define BIG (1u << 20)

static struct world w;
static struct sn_stream s;
static struct sn_outq q;
static int fd[2];
static char data[BIG], back[BIG];

static void on_stream(struct sn_stream *stream, unsigned events)
{
	(void)stream;
	(void)events;
}

static int begin(void **state)
{
	(void)state;
	world_begin(&w);
	pair(fd);
	assert_int_equal(sn_stream_open(&s, w.loop, fd[0], NULL, on_stream), 0);
	turns(&w, 2);
	for (size_t i = 0; i < BIG; i++)
		data[i] = (char)(i * 31 + (i >> 8));
	return 0;
}

static int end(void **state)
{
	(void)state;
	sn_outq_done(&q);
	sn_stream_close(&s, false);
	close(fd[1]);
	world_end(&w);
	return 0;
}

static size_t read_some(size_t at)
{
	ssize_t n = recv(fd[1], back + at, BIG - at, 0);

	return n > 0 ? (size_t)n : 0;
}

static void test_straight_through(void **state)
{
	struct iovec iov[3] = {{data, 10}, {data + 10, 0}, {data + 10, 20}};

	(void)state;
	sn_outq_init(&q, BIG);
	assert_int_equal(sn_outq_writev(&q, &s, iov, 3), 0);
	assert_true(sn_outq_empty(&q));
	assert_int_equal(q.buf.cap, 0); /* nothing was copied */
	assert_int_equal(read_some(0), 30);
	assert_memory_equal(back, data, 30);
}

static void test_the_rest_is_kept_in_order(void **state)
{
	struct iovec iov[2] = {{data, BIG / 2}, {data + BIG / 2, BIG / 4}};
	struct iovec last = {data + BIG * 3 / 4, BIG / 4};
	size_t got = 0;

	(void)state;
	sn_outq_init(&q, 2 * BIG);
	assert_int_equal(sn_outq_writev(&q, &s, iov, 2), 0);
	assert_false(sn_outq_empty(&q));
	assert_int_equal(sn_outq_writev(&q, &s, &last, 1), 0); /* behind what waits */
	for (int i = 0; i < 10000 && got < BIG; i++) {
		got += read_some(got);
		turns(&w, 1);
		assert_int_equal(sn_outq_flush(&q, &s), 0);
	}
	assert_int_equal(got, BIG);
	assert_memory_equal(back, data, BIG);
	assert_true(sn_outq_empty(&q));
	assert_int_equal(q.buf.cap, 0);
}

static void test_bounded(void **state)
{
	struct iovec iov = {data, BIG};

	(void)state;
	sn_outq_init(&q, 1000);
	assert_int_equal(sn_outq_writev(&q, &s, &iov, 1), -SN_ETOOBIG);
}

static void test_a_peer_that_is_gone(void **state)
{
	struct iovec iov = {data, BIG};

	(void)state;
	sn_outq_init(&q, 2 * BIG);
	assert_int_equal(sn_outq_writev(&q, &s, &iov, 1), 0);
	close(fd[1]);
	turns(&w, 2);
	assert_int_equal(sn_outq_flush(&q, &s), -SN_ECONN);
	sn_outq_done(&q);
	sn_outq_init(&q, BIG);
	assert_int_equal(sn_outq_writev(&q, &s, &iov, 1), -SN_ECONN);
	fd[1] = -1;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_straight_through, begin, end),
		cmocka_unit_test_setup_teardown(test_the_rest_is_kept_in_order, begin, end),
		cmocka_unit_test_setup_teardown(test_bounded, begin, end),
		cmocka_unit_test_setup_teardown(test_a_peer_that_is_gone, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
