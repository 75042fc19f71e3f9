/* SPDX-License-Identifier: Apache-2.0 */
/* The relay between two pairs of sockets: outer[0] <-> a ... b <-> outer[1]. */
#include "loops.h"

#include <signal.h>
#include <sys/resource.h>

#include "net/pipe.h"
#include "net/relay.h"

#define BIG (4u << 20)
#define CHUNK 65536u

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

static int begin_with(void (*connect_two)(int fd[2]))
{
	int p[2], q[2];

	memset(&over, 0, sizeof(over));
	world_begin(&w);
	connect_two(p);
	connect_two(q);
	outer[0] = p[0];
	outer[1] = q[0];
	assert_int_equal(sn_stream_open(&a, w.loop, p[1], NULL, on_stream), 0);
	assert_int_equal(sn_stream_open(&b, w.loop, q[1], NULL, on_stream), 0);
	return 0;
}

static int begin(void **state)
{
	(void)state;
	return begin_with(pair);
}

static void tcp_pair(int fd[2])
{
	struct sockaddr_storage ss;
	struct sn_addr at;
	int l = listening(1, &at);
	socklen_t n = sn_addr_to_sockaddr(&at, &ss);

	fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(connect(fd[0], (struct sockaddr *)&ss, n), 0);
	assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
	fd[1] = accept_one(&w, l);
	close(l);
}

static int begin_tcp(void **state)
{
	(void)state;
	return begin_with(tcp_pair);
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

/* --- bulk ---------------------------------------------------------------------------------------
 */

/* The byte at each place of what goes from @i; its period is no power of two. */
static unsigned char octet(int i, uint64_t at)
{
	return (unsigned char)((at * 31 + at / 251 + (unsigned)i * 101) % 251);
}

/* What one end has sent and has received. */
struct side {
	uint64_t sent, got;
	bool shut, ended;
};

static void send_some(int i, struct side *s, uint64_t total)
{
	unsigned char chunk[CHUNK];
	size_t k, n = total - s->sent < CHUNK ? (size_t)(total - s->sent) : CHUNK;
	ssize_t put;

	if (n == 0) {
		if (!s->shut)
			assert_int_equal(shutdown(outer[i], SHUT_WR), 0);
		s->shut = true;
		return;
	}
	for (k = 0; k < n; k++)
		chunk[k] = octet(i, s->sent + k);
	put = send(outer[i], chunk, n, MSG_NOSIGNAL);
	s->sent += put > 0 ? (uint64_t)put : 0;
}

static void receive_some(int i, struct side *s, size_t at_most)
{
	unsigned char chunk[CHUNK];
	ssize_t k, n = recv(outer[i], chunk, at_most, 0);

	for (k = 0; k < n; k++)
		if (chunk[k] != octet(!i, s->got + (uint64_t)k))
			fail_msg("byte %llu differs", (unsigned long long)(s->got + (uint64_t)k));
	s->got += n > 0 ? (uint64_t)n : 0;
	s->ended |= n == 0;
}

static unsigned open_pipes(void)
{
	struct sn_pipes *ps = sn_loop_pipes(w.loop);
	unsigned n = 0, i;

	for (i = 0; i < SN_PIPES_MAX; i++)
		n += ps->all[i].in >= 0;
	return n;
}

/* @total bytes each way at once, then FIN each way. Returns the most pipes seen. */
static unsigned both_ways(uint64_t total, size_t read_at_most)
{
	struct side side[2] = {{0}};
	unsigned n, pipes = 0;

	for (n = 0; n < 200000 && !(side[0].ended && side[1].ended); n++) {
		for (int i = 0; i < 2; i++) {
			send_some(i, &side[i], total);
			receive_some(i, &side[i], read_at_most);
		}
		sn_loop_turn(w.loop, 0);
		if (open_pipes() > pipes)
			pipes = open_pipes();
	}
	assert_int_equal(side[0].got, total);
	assert_int_equal(side[1].got, total);
	until(&w, over.calls);
	assert_int_equal(over.code, 0);
	assert_int_equal(over.a_to_b, total);
	assert_int_equal(over.b_to_a, total);
	assert_int_equal(a.rx_bytes, total);
	assert_int_equal(b.tx_bytes, total);
	assert_int_equal(b.rx_bytes, total);
	assert_int_equal(a.tx_bytes, total);
	assert_int_equal(open_pipes(), 0); /* none is kept when nobody relays */
	return pipes;
}

static void test_bulk_is_spliced(void **state)
{
	(void)state;
	start("", 5000);
	assert_true(both_ways(16u << 20, CHUNK) > 0);
}

static void test_bulk_to_slow_readers(void **state)
{
	(void)state;
	start("", 0);
	assert_true(both_ways((1u << 20) + 12345, 1000) > 0);
}

/* What the client said first is in front of all that follows. */
static void test_early_bytes_go_before_bulk(void **state)
{
	static char early[SN_IOBUF_BYTES + 1];
	struct side from = {0}, to = {0};
	unsigned i, pipes = 0;

	(void)state;
	for (i = 0; i < SN_IOBUF_BYTES; i++)
		early[i] = (char)octet(0, i);
	relay = sn_relay_start(&a, &b, sn_slice(early, SN_IOBUF_BYTES), 0, on_end, &over);
	assert_non_null(relay);
	from.sent = SN_IOBUF_BYTES;
	for (i = 0; i < 100000 && to.got < BIG; i++) {
		send_some(0, &from, BIG);
		receive_some(1, &to, CHUNK);
		sn_loop_turn(w.loop, 0);
		pipes += open_pipes();
	}
	assert_int_equal(to.got, BIG);
	assert_true(pipes > 0);
	sn_relay_cancel(relay);
}

static void test_messages_need_no_pipe(void **state)
{
	char message[1000] = {0}, sink[1000];
	int i;

	(void)state;
	start("", 0);
	for (i = 0; i < 500; i++) {
		assert_int_equal(write(outer[0], message, sizeof(message)), sizeof(message));
		until(&w, recv(outer[1], sink, sizeof(sink), 0) == sizeof(sink));
		assert_int_equal(open_pipes(), 0);
	}
	sn_relay_cancel(relay);
}

/* Fills everything between the two ends, so that bytes lie in a pipe. */
static void fill_up(void)
{
	static char zeros[CHUNK];
	int still = 0;

	while (still < 50) {
		still = send(outer[0], zeros, sizeof(zeros), MSG_NOSIGNAL) > 0 ? 0 : still + 1;
		turns(&w, 1);
	}
	assert_int_equal(open_pipes(), 1);
}

static void test_reset_in_the_middle_of_bulk(void **state)
{
	(void)state;
	for (int i = 0; i < 2; i++) {
		start("", 0);
		fill_up();
		assert_int_equal(setsockopt(outer[i], SOL_SOCKET, SO_LINGER,
					    &(struct linger){.l_onoff = 1}, sizeof(struct linger)),
				 0);
		hang_up(i);
		if (i == 0) /* behind bytes that cannot go on it is seen once there is room */
			hang_up(1);
		until(&w, over.calls);
		assert_int_equal(over.code, -SN_ECONN);
		assert_int_equal(open_pipes(), 0);
		if (i == 0) {
			end(NULL);
			begin_tcp(NULL);
		}
	}
}

static void test_cancel_in_the_middle_of_bulk(void **state)
{
	(void)state;
	start("", 0);
	fill_up();
	sn_relay_cancel(relay);
	assert_int_equal(open_pipes(), 0);
}

/* Silence over bytes that nobody takes is silence. */
static void test_idle_in_the_middle_of_bulk(void **state)
{
	(void)state;
	start("", 5000);
	fill_up();
	pass_ms(&w, 5001);
	assert_int_equal(over.calls, 1);
	assert_int_equal(over.code, -SN_ETIMEOUT);
}

static void test_without_descriptors_it_copies(void **state)
{
	struct rlimit was, none;

	(void)state;
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = 3;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	start("", 0);
	assert_int_equal(both_ways(BIG, CHUNK), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
}

static void test_where_splice_is_refused_it_copies(void **state)
{
	(void)state;
	sn_loop_pipes(w.loop)->useless = true;
	start("", 0);
	assert_int_equal(both_ways(BIG, CHUNK), 0);
}

/* More directions at once than there are pipes. */
static void test_pipes_are_bounded(void **state)
{
	struct sn_pipes *ps = sn_loop_pipes(w.loop);
	struct sn_pipe *taken[SN_PIPES_MAX];
	struct side from = {0}, to = {0};
	unsigned i;

	(void)state;
	start("", 0);
	for (i = 0; i < SN_PIPES_MAX; i++)
		assert_non_null(taken[i] = sn_pipes_get(ps));
	assert_null(sn_pipes_get(ps));
	for (i = 0; i < 100000 && to.got < BIG; i++) {
		send_some(0, &from, UINT64_MAX);
		receive_some(1, &to, CHUNK);
		sn_loop_turn(w.loop, 0);
	}
	assert_true(to.got >= BIG);
	taken[0]->bytes = 1; /* what is left in it must not come out elsewhere */
	for (i = 0; i < SN_PIPES_MAX; i++)
		sn_pipes_put(ps, taken[i]);
	assert_int_equal(open_pipes(), SN_PIPES_MAX - 1);
	sn_relay_cancel(relay);
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
		cmocka_unit_test_setup_teardown(test_bulk_is_spliced, begin_tcp, end),
		cmocka_unit_test_setup_teardown(test_bulk_to_slow_readers, begin_tcp, end),
		cmocka_unit_test_setup_teardown(test_early_bytes_go_before_bulk, begin_tcp, end),
		cmocka_unit_test_setup_teardown(test_messages_need_no_pipe, begin_tcp, end),
		cmocka_unit_test_setup_teardown(test_reset_in_the_middle_of_bulk, begin_tcp, end),
		cmocka_unit_test_setup_teardown(test_cancel_in_the_middle_of_bulk, begin_tcp, end),
		cmocka_unit_test_setup_teardown(test_idle_in_the_middle_of_bulk, begin_tcp, end),
		cmocka_unit_test_setup_teardown(test_without_descriptors_it_copies, begin_tcp, end),
		cmocka_unit_test_setup_teardown(test_where_splice_is_refused_it_copies, begin_tcp,
						end),
		cmocka_unit_test_setup_teardown(test_pipes_are_bounded, begin_tcp, end),
	};

	signal(SIGPIPE, SIG_IGN);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
