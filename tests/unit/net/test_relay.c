/* SPDX-License-Identifier: Apache-2.0 */
/* The relay between two pairs of sockets: outer[0] <-> a ... b <-> outer[1]. */
#include "loops.h"

#include "net/relay.h"

#define BIG (4u << 20)

static struct world w;
static struct sn_stream a, b;
static int outer[2];
static struct sn_relay *relay;
static struct {
	int calls, code;
	uint64_t a_to_b, b_to_a;
} over;

static void on_stream(struct sn_stream *s, unsigned events)
{
	(void)s;
	(void)events;
}

static void on_end(struct sn_relay *r, void *arg, int code, uint64_t a_to_b, uint64_t b_to_a)
{
	assert_ptr_equal(r, relay);
	assert_ptr_equal(arg, &over);
	assert_false(a.closed || b.closed); /* still the owner's to close */
	over.calls++;
	over.code = code;
	over.a_to_b = a_to_b;
	over.b_to_a = b_to_a;
	sn_stream_close(&a, false); /* it has to: their callbacks were the relay's */
	sn_stream_close(&b, false);
}

static int begin(void **state)
{
	int p[2], q[2];

	(void)state;
	memset(&over, 0, sizeof(over));
	world_begin(&w);
	pair(p);
	pair(q);
	outer[0] = p[0];
	outer[1] = q[0];
	assert_int_equal(sn_stream_open(&a, w.loop, p[1], NULL, on_stream), 0);
	assert_int_equal(sn_stream_open(&b, w.loop, q[1], NULL, on_stream), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	sn_stream_close(&a, false);
	sn_stream_close(&b, false);
	turns(&w, 2);
	for (int i = 0; i < 2; i++)
		if (outer[i] >= 0)
			close(outer[i]);
	world_end(&w);
	return 0;
}

static void start(const char *early, uint64_t idle_ms)
{
	relay = sn_relay_start(&a, &b, sn_slice_cstr(early), idle_ms, on_end, &over);
	assert_non_null(relay);
	assert_int_equal(over.calls, 0);
}

static void expect(int fd, const char *text)
{
	char buf[64] = {0};

	until(&w, recv(fd, buf, sizeof(buf) - 1, 0) > 0);
	assert_string_equal(buf, text);
}

static bool at_end(int fd)
{
	char c;

	return recv(fd, &c, 1, 0) == 0;
}

static void hang_up(int i)
{
	close(outer[i]);
	outer[i] = -1;
}

static void test_both_ways_and_both_ends(void **state)
{
	(void)state;
	assert_int_equal(write(outer[0], " world", 6), 6); /* there before the relay is */
	start("hello", 0);
	expect(outer[1], "hello world");
	assert_int_equal(write(outer[1], "answer", 6), 6);
	expect(outer[0], "answer");
	assert_int_equal(shutdown(outer[0], SHUT_WR), 0);
	until(&w, at_end(outer[1])); /* each end is passed on */
	assert_int_equal(over.calls, 0);
	assert_int_equal(write(outer[1], "late", 4), 4);
	expect(outer[0], "late");
	hang_up(1);
	until(&w, over.calls);
	turns(&w, 5);
	assert_int_equal(over.calls, 1);
	assert_int_equal(over.code, 0);
	assert_int_equal(over.a_to_b, 11);
	assert_int_equal(over.b_to_a, 10);
}

static void test_a_reset_ends_it(void **state)
{
	(void)state;
	start("unread", 0);
	turns(&w, 3);
	hang_up(1); /* with bytes unread: a reset */
	until(&w, over.calls);
	assert_int_equal(over.code, -SN_ECONN);
}

static void test_idle(void **state)
{
	(void)state;
	start("", 5000);
	turns(&w, 3);
	pass_ms(&w, 4000);
	assert_int_equal(write(outer[0], "x", 1), 1); /* that counts as life */
	expect(outer[1], "x");
	pass_ms(&w, 4999);
	assert_int_equal(over.calls, 0);
	pass_ms(&w, 2);
	assert_int_equal(over.calls, 1);
	assert_int_equal(over.code, -SN_ETIMEOUT);
}

static void test_no_idle_limit(void **state)
{
	(void)state;
	start("", 0);
	turns(&w, 3);
	pass_ms(&w, 3600u * 1000 * 24 * 30);
	assert_int_equal(over.calls, 0);
	sn_relay_cancel(relay);
}

static void test_cancel_is_silent(void **state)
{
	(void)state;
	start("x", 1000);
	sn_relay_cancel(relay);
	sn_relay_cancel(relay); /* again, before it is freed */
	sn_stream_close(&a, true);
	sn_stream_close(&b, true);
	pass_ms(&w, 5000);
	assert_int_equal(over.calls, 0);
}

static void test_early_bytes_past_a_buffer_are_refused(void **state)
{
	static char big[SN_IOBUF_BYTES + 1];

	(void)state;
	assert_null(sn_relay_start(&a, &b, sn_slice(big, sizeof(big)), 0, on_end, &over));
}

/* A receiver that does not read stops the sender: what lies in between is sockets and a buffer. */
static void test_backpressure_and_all_of_it_later(void **state)
{
	static char chunk[65536];
	size_t sent = 0, got = 0, still = 0;
	ssize_t n;

	(void)state;
	start("", 0);
	for (int i = 0; i < 2000 && still < 50; i++) {
		n = send(outer[0], chunk, sizeof(chunk), MSG_NOSIGNAL);
		still = n > 0 ? 0 : still + 1;
		sent += n > 0 ? (size_t)n : 0;
		turns(&w, 1);
	}
	assert_int_equal(still, 50);
	assert_true(sent < BIG);
	for (int i = 0; i < 100000 && got < BIG; i++) {
		n = recv(outer[1], chunk, sizeof(chunk), 0);
		got += n > 0 ? (size_t)n : 0;
		n = sent < BIG ? send(outer[0], chunk,
				      BIG - sent < sizeof(chunk) ? BIG - sent : sizeof(chunk),
				      MSG_NOSIGNAL)
			       : 0;
		sent += n > 0 ? (size_t)n : 0;
		sn_loop_turn(w.loop, 0);
	}
	assert_int_equal(got, BIG);
	hang_up(0);
	hang_up(1);
	until(&w, over.calls);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_both_ways_and_both_ends, begin, end),
		cmocka_unit_test_setup_teardown(test_a_reset_ends_it, begin, end),
		cmocka_unit_test_setup_teardown(test_idle, begin, end),
		cmocka_unit_test_setup_teardown(test_no_idle_limit, begin, end),
		cmocka_unit_test_setup_teardown(test_cancel_is_silent, begin, end),
		cmocka_unit_test_setup_teardown(test_early_bytes_past_a_buffer_are_refused, begin,
						end),
		cmocka_unit_test_setup_teardown(test_backpressure_and_all_of_it_later, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
