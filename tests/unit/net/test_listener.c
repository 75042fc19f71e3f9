/* SPDX-License-Identifier: Apache-2.0 */
/* Listeners: addresses, batches, families, and a pause instead of a spin without descriptors. */
#include "loops.h"

#include <limits.h>
#include <sys/resource.h>

#include "net/listener.h"
#include "net/origdst.h"

static struct world w;
static struct sn_listener ls;
static int accepted[128];
static size_t n_accepted, close_after;
static struct sn_addr last_peer;

static void on_accept(struct sn_listener *l, int fd, const struct sn_addr *peer)
{
	assert_ptr_equal(l, &ls);
	assert_true(fcntl(fd, F_GETFL) & O_NONBLOCK);
	assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	last_peer = *peer;
	accepted[n_accepted++] = fd;
	if (n_accepted == close_after)
		sn_listener_close(l);
}

static int begin(void **state)
{
	(void)state;
	n_accepted = close_after = 0;
	world_begin(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	sn_listener_close(&ls);
	while (n_accepted)
		close(accepted[--n_accepted]);
	world_end(&w);
	return 0;
}

static int bind_to(const char *text, bool reuseport, struct sn_addr *ret, struct sn_err *err)
{
	struct sn_addr at;

	assert_int_equal(sn_addr_parse(sn_slice_cstr(text), &at), 0);
	return sn_listener_bind(&at, reuseport, 16, ret, err);
}

static int dial(const struct sn_addr *to)
{
	struct sockaddr_storage ss;
	socklen_t n = sn_addr_to_sockaddr(to, &ss);
	int fd = socket(to->family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_int_equal(connect(fd, (struct sockaddr *)&ss, n), 0);
	return fd;
}

static void test_accepts_in_batches(void **state)
{
	struct sn_addr local, dst;
	int fd = bind_to("127.0.0.1:0", false, &local, NULL), peer[10];

	(void)state;
	assert_true(fd >= 0);
	assert_int_not_equal(local.port, 0);
	assert_int_equal(sn_listener_start(&ls, w.loop, fd, on_accept), 0);
	assert_true(sn_addr_eq(&ls.local, &local));
	for (size_t i = 0; i < SN_ARRAY_LEN(peer); i++)
		peer[i] = dial(&local);
	until(&w, n_accepted == SN_ARRAY_LEN(peer));
	assert_true(sn_addr_is_loopback(&last_peer));
	/* nobody redirected this connection, so it has no original destination */
	assert_int_equal(sn_origdst_get(accepted[0], &dst), -SN_ENOENT);
	for (size_t i = 0; i < SN_ARRAY_LEN(peer); i++)
		close(peer[i]);
}

static void test_closed_from_its_own_callback(void **state)
{
	struct sn_addr local;
	int fd = bind_to("127.0.0.1:0", false, &local, NULL), peer[3];

	(void)state;
	close_after = 1;
	sn_listener_start(&ls, w.loop, fd, on_accept);
	for (size_t i = 0; i < 3; i++)
		peer[i] = dial(&local);
	until(&w, n_accepted == 1);
	turns(&w, 3);
	assert_int_equal(n_accepted, 1);
	assert_false(ls.open);
	sn_listener_close(&ls);
	for (size_t i = 0; i < 3; i++)
		close(peer[i]);
}

static void test_a_taken_port(void **state)
{
	struct sn_addr local, other;
	struct sn_err err = {0};
	int a = bind_to("127.0.0.1:0", true, &local, NULL), b;
	char text[SN_ADDR_TEXT];

	(void)state;
	b = bind_to(sn_addr_format(&local, text), true, &other, &err); /* another worker */
	assert_true(b >= 0);
	assert_true(sn_addr_eq(&local, &other));
	close(b);
	assert_true(bind_to(text, false, &other, &err) < 0);
	assert_non_null(strstr(err.msg, "cannot listen on 127.0.0.1:"));
	assert_non_null(strstr(err.msg, "another program does"));
	assert_int_equal(err.os_errno, EADDRINUSE);
	close(a);
}

static void test_an_address_of_somebody_else(void **state)
{
	struct sn_err err = {0};
	struct sn_addr local;

	(void)state;
	assert_true(bind_to("192.0.2.1:0", false, &local, &err) < 0);
	assert_int_equal(err.os_errno, EADDRNOTAVAIL);
}

static void test_both_families(void **state)
{
	struct sn_addr local, v4;
	int fd = bind_to("[::]:0", false, &local, NULL), peer;

	(void)state;
	if (fd < 0)
		skip(); /* no IPv6 here */
	sn_listener_start(&ls, w.loop, fd, on_accept);
	sn_addr_parse_ip(SN_SLICE("127.0.0.1"), local.port, &v4);
	peer = dial(&v4);
	until(&w, n_accepted == 1);
	assert_int_equal(last_peer.family, AF_INET); /* unmapped */
	close(peer);
}

static void test_a_pause_without_descriptors(void **state)
{
	struct rlimit was, none;
	struct sn_addr local;
	int fd = bind_to("127.0.0.1:0", false, &local, NULL), peer, lowest;

	(void)state;
	sn_listener_start(&ls, w.loop, fd, on_accept);
	peer = dial(&local);
	lowest = dup(0); /* the next one that accept would get */
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	none = was;
	none.rlim_cur = (rlim_t)lowest;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
	until(&w, ls.paused_total == 1);
	turns(&w, 20);
	assert_int_equal(ls.paused_total, 1); /* no spinning */
	pass_ms(&w, 100);
	turns(&w, 2);
	assert_int_equal(ls.paused_total, 2);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	pass_ms(&w, 100);
	until(&w, n_accepted == 1);
	close(peer);
}

static void test_shares(void **state)
{
	(void)state;
	assert_int_equal(sn_fd_share_of(1024, SN_FD_ACCEPT), 992);
	assert_int_equal(sn_fd_share_of(1024, SN_FD_DIAL), 1008);
	assert_int_equal(sn_fd_share_of(1024, SN_FD_ADMIN), 1020);
	assert_int_equal(sn_fd_share_of(32, SN_FD_ACCEPT), 16);
	assert_int_equal(sn_fd_share_of(32, SN_FD_DIAL), 24);
	assert_int_equal(sn_fd_share_of(32, SN_FD_ADMIN), 30);
	assert_int_equal(sn_fd_share_of(0, SN_FD_ACCEPT), 0);
	assert_int_equal(sn_fd_share_of(UINT64_MAX, SN_FD_ADMIN), INT_MAX - 4);
}

static struct rlimit limit_to(int n)
{
	struct rlimit was, now;

	assert_int_equal(getrlimit(RLIMIT_NOFILE, &was), 0);
	now = was;
	now.rlim_cur = (rlim_t)n;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &now), 0);
	return was;
}

static int lowest_free(void)
{
	int fd = dup(0);

	close(fd);
	return fd;
}

/* It takes its share and leaves the rest to others; what it did not take waits. */
static void test_the_rest_is_left_to_others(void **state)
{
	struct sn_addr local;
	int fd = bind_to("127.0.0.1:0", false, &local, NULL), peer[8], lowest, i;
	struct rlimit was;

	(void)state;
	sn_listener_start(&ls, w.loop, fd, on_accept);
	ls.use = SN_FD_ACCEPT;
	for (i = 0; i < 8; i++)
		peer[i] = dial(&local);
	lowest = lowest_free();
	was = limit_to((lowest + 4) * 2); /* half of it is its share, when that is small */
	if (sn_fd_share(SN_FD_ACCEPT) != lowest + 4)
		skip(); /* the test was given many descriptors */
	until(&w, ls.paused_total == 1);
	assert_int_equal(n_accepted, 4);
	pass_ms(&w, 100);
	turns(&w, 2);
	assert_int_equal(n_accepted, 4);
	assert_int_equal(ls.paused_total, 2);
	close(accepted[--n_accepted]);
	pass_ms(&w, 100);
	until(&w, n_accepted == 4); /* the freed one, and no more */
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	pass_ms(&w, 100);
	until(&w, n_accepted == 7);
	for (i = 0; i < 8; i++)
		close(peer[i]);
}

static bool close_oldest(struct sn_listener *l)
{
	(void)l;
	if (n_accepted < 2)
		return false;
	close(accepted[0]);
	memmove(accepted, accepted + 1, --n_accepted * sizeof(accepted[0]));
	return true;
}

/* Who can make room never pauses: the last to come is heard. */
static void test_the_oldest_makes_room(void **state)
{
	struct sn_addr local;
	int fd = bind_to("127.0.0.1:0", false, &local, NULL), peer[8], i;
	struct rlimit was;
	char c;

	(void)state;
	sn_listener_start(&ls, w.loop, fd, on_accept);
	ls.make_room = close_oldest;
	for (i = 0; i < 8; i++)
		peer[i] = dial(&local);
	was = limit_to(lowest_free() + 4);
	until(&w, recv(peer[4], &c, 1, MSG_DONTWAIT) == 0);
	turns(&w, 3);
	assert_int_equal(recv(peer[7], &c, 1, MSG_DONTWAIT), -1); /* still there */
	assert_int_equal(errno, EAGAIN);
	assert_int_equal(ls.paused_total, 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &was), 0);
	for (i = 0; i < 8; i++)
		close(peer[i]);
}

/* Who has connected before the end is not reset, and nobody comes after it. */
static void test_what_waits_is_accepted_at_the_end(void **state)
{
	struct sn_addr local;
	int fd = bind_to("127.0.0.1:0", true, &local, NULL), peer[5], i;

	(void)state;
	sn_listener_start(&ls, w.loop, fd, on_accept);
	for (i = 0; i < 5; i++)
		peer[i] = dial(&local);
	sn_listener_finish(&ls);
	assert_int_equal(n_accepted, 5);
	assert_false(ls.open);
	sn_listener_finish(&ls); /* once is enough */
	n_accepted = 0;
	for (i = 0; i < 5; i++) {
		char c;

		close(accepted[i]);
		assert_int_equal(read(peer[i], &c, 1), 0);
		close(peer[i]);
	}
}

static void test_a_reserved_address_takes_no_connection(void **state)
{
	struct sn_addr local, found;
	int fd = bind_to("127.0.0.1:0", true, &local, NULL), second, peer[10], i;

	(void)state;
	sn_listener_start(&ls, w.loop, fd, on_accept);
	second = sn_listener_reserve(&local, true, &found, NULL);
	assert_true(second >= 0);
	assert_true(sn_addr_eq(&local, &found));
	for (i = 0; i < 10; i++)
		peer[i] = dial(&local);
	until(&w, n_accepted == 10); /* all went to the one that listens */
	close(second);
	for (i = 0; i < 10; i++)
		close(peer[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_accepts_in_batches, begin, end),
		cmocka_unit_test_setup_teardown(test_closed_from_its_own_callback, begin, end),
		cmocka_unit_test_setup_teardown(test_what_waits_is_accepted_at_the_end, begin, end),
		cmocka_unit_test_setup_teardown(test_a_reserved_address_takes_no_connection, begin,
						end),
		cmocka_unit_test_setup_teardown(test_a_taken_port, begin, end),
		cmocka_unit_test_setup_teardown(test_an_address_of_somebody_else, begin, end),
		cmocka_unit_test_setup_teardown(test_both_families, begin, end),
		cmocka_unit_test_setup_teardown(test_a_pause_without_descriptors, begin, end),
		cmocka_unit_test(test_shares),
		cmocka_unit_test_setup_teardown(test_the_rest_is_left_to_others, begin, end),
		cmocka_unit_test_setup_teardown(test_the_oldest_makes_room, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
