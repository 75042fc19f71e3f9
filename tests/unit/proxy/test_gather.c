/* SPDX-License-Identifier: Apache-2.0 */
/* A head, payload and its framing in one write, or kept for the next one. */
#include "tests/unit/net/loops.h"

#include "proxy/gather.h"

static struct world w;
static struct sn_stream s;
static struct sn_outq q;
static struct sn_gather g;
static int far;

static void on_event(struct sn_stream *stream, unsigned events)
{
	(void)stream;
	(void)events;
}

static int begin(void **state)
{
	struct sn_addr nowhere = {0};
	int fd[2];

	(void)state;
	world_begin(&w);
	pair(fd);
	far = fd[1];
	assert_int_equal(sn_stream_open(&s, w.loop, fd[0], &nowhere, on_event), 0);
	sn_outq_init(&q, 4096);
	g = (struct sn_gather){0};
	return 0;
}

static int end(void **state)
{
	(void)state;
	sn_stream_close(&s, false);
	sn_outq_done(&q);
	close(far);
	world_end(&w);
	return 0;
}

static const char *came(void)
{
	static char buf[16384];
	ssize_t n = read(far, buf, sizeof(buf) - 1);

	buf[n > 0 ? n : 0] = 0;
	return buf;
}

static struct iovec text(const char *t)
{
	return (struct iovec){(void *)(uintptr_t)t, strlen(t)};
}

static void test_as_it_is(void **state)
{
	struct iovec iov[] = {text("abc"), text("de")};

	(void)state;
	sn_gather_add(&g, SN_SLICE("head\r\n\r\n"));
	sn_gather_payload(&g, iov, 2, false);
	assert_int_equal(sn_gather_flush(&g, &q, &s, true), 0);
	assert_string_equal(came(), "head\r\n\r\nabcde");
	assert_int_equal(g.n_iov, 0);
}

static void test_in_chunks(void **state)
{
	struct iovec iov[] = {text("abc"), text("0123456789abcdef"), text("x")};

	(void)state;
	sn_gather_add(&g, SN_SLICE("head\r\n\r\n"));
	sn_gather_payload(&g, iov, 2, true);
	sn_gather_payload(&g, iov + 2, 1, true); /* each size has a place of its own */
	sn_gather_add(&g, SN_SLICE("0\r\n\r\n"));
	assert_int_equal(sn_gather_flush(&g, &q, &s, true), 0);
	assert_string_equal(came(), "head\r\n\r\n3\r\nabc\r\n10\r\n0123456789abcdef\r\n1\r\nx\r\n"
				    "0\r\n\r\n");
	assert_int_equal(g.n_sizes, 0);
}

/* As many runs as may be between two flushes, with a head and an end. */
static void test_as_much_as_there_is_room_for(void **state)
{
	struct iovec iov[SN_BODY_RUNS];
	char want[16384] = "head";

	(void)state;
	for (int i = 0; i < SN_BODY_RUNS; i++) {
		iov[i] = text("y");
		strcat(want, "1\r\ny\r\n");
	}
	strcat(want, "0\r\n\r\n");
	for (int round = 0; round < 3; round++) {
		sn_gather_add(&g, SN_SLICE("head"));
		sn_gather_payload(&g, iov, SN_BODY_RUNS, true);
		sn_gather_add(&g, SN_SLICE("0\r\n"));
		sn_gather_add(&g, SN_SLICE("\r\n"));
		assert_true(g.n_iov <= (int)SN_ARRAY_LEN(g.iov));
		assert_int_equal(sn_gather_flush(&g, &q, &s, true), 0);
		assert_string_equal(came(), want);
	}
}

static void test_kept_for_later(void **state)
{
	struct iovec iov = text("abc");

	(void)state;
	sn_gather_payload(&g, &iov, 1, true);
	assert_int_equal(sn_gather_flush(&g, &q, &s, false), 0);
	assert_string_equal(came(), "");
	assert_int_equal(g.n_iov + g.n_sizes, 0);
	sn_gather_add(&g, SN_SLICE("0\r\n\r\n"));
	assert_int_equal(sn_gather_flush(&g, &q, &s, true), 0); /* not before what waits */
	assert_int_equal(sn_outq_flush(&q, &s), 0);
	assert_string_equal(came(), "3\r\nabc\r\n0\r\n\r\n");
}

static void test_forgotten(void **state)
{
	(void)state;
	sn_gather_add(&g, SN_SLICE("of a try that has failed"));
	sn_gather_reset(&g);
	sn_gather_add(&g, SN_SLICE("x"));
	assert_int_equal(sn_gather_flush(&g, &q, &s, true), 0);
	assert_string_equal(came(), "x");
}

static void test_failures_are_passed_on(void **state)
{
	static char much[5000];

	(void)state;
	sn_gather_add(&g, sn_slice(much, sizeof(much)));
	assert_int_equal(sn_gather_flush(&g, &q, &s, false), -SN_ETOOBIG);
	assert_int_equal(g.n_iov, 0);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(test_as_it_is),	T(test_in_chunks), T(test_as_much_as_there_is_room_for),
		T(test_kept_for_later), T(test_forgotten), T(test_failures_are_passed_on),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
