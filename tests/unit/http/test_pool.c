/* SPDX-License-Identifier: Apache-2.0 */
/* The pool against a listener of the test's own (the kernel completes handshakes; accepting is only
 * needed to write or close). Time is the fake clock's. */
#include "../net/loops.h"

#include <sys/resource.h>

#include "http/pool.h"

static struct world w;
static struct sn_addr at;
static int server;
static struct sn_pool *pool;
static struct sn_pool_settings set;

struct asker {
	struct sn_waiter w;
	struct sn_upstream *u;
	int calls, code;
};

static void on_ready(struct sn_waiter *waiter, struct sn_upstream *u, int code)
{
	struct asker *a = sn_container_of(waiter, struct asker, w);

	a->calls++;
	a->u = u;
	a->code = code;
}

static int begin(void **state)
{
	(void)state;
	world_begin(&w);
	server = listening(64, &at);
	set = (struct sn_pool_settings){.idle_timeout_ms = 30000,
					.connect_timeout_ms = 1000,
					.max_connections = 10,
					.max_pending = 2};
	pool = sn_pool_new(w.loop, &at, &set);
	assert_non_null(pool);
	return 0;
}

static int end(void **state)
{
	(void)state;
	if (pool)
		sn_pool_retire(pool);
	turns(&w, 2);
	close(server);
	world_end(&w);
	return 0;
}

/* Gets one, waiting for it if need be; *ret_new tells whether it was dialled. */
static struct sn_upstream *get(bool *ret_new)
{
	struct asker a = {.w.ready = on_ready};
	struct sn_upstream *u = NULL;
	int rc = sn_pool_get(pool, false, &a.w, &u);

	assert_true(rc == 0 || rc == -SN_EAGAIN);
	if (ret_new)
		*ret_new = rc != 0;
	if (rc) {
		assert_int_equal(a.calls, 0); /* never from inside */
		until(&w, a.calls);
		assert_int_equal(a.code, 0);
		u = a.u;
	}
	assert_non_null(u);
	return u;
}

static void test_the_last_one_in_is_the_first_one_out(void **state)
{
	struct sn_upstream *a = get(NULL), *b = get(NULL), *c;
	bool is_new;

	(void)state;
	assert_int_equal(sn_pool_connections(pool), 2);
	sn_pool_put(a, true);
	sn_pool_put(b, true);
	c = get(&is_new);
	assert_false(is_new);
	assert_ptr_equal(c, b);
	assert_int_equal(c->n_requests, 2);
	sn_pool_put(c, true);
	/* the surplus grows idle and goes, what is in use stays */
	for (int i = 0; i < 4; i++) {
		pass_ms(&w, 20000);
		sn_pool_put(get(&is_new), true);
		assert_false(is_new);
	}
	assert_int_equal(sn_pool_connections(pool), 1);
	pass_ms(&w, 30000);
	assert_int_equal(sn_pool_connections(pool), 0);
	assert_true(sn_pool_is_unused(pool));
}

static void test_one_that_may_not_stay(void **state)
{
	bool is_new;

	(void)state;
	sn_pool_put(get(NULL), false);
	assert_int_equal(sn_pool_connections(pool), 0);
	sn_pool_put(get(&is_new), true);
	assert_true(is_new);
}

static void test_a_fresh_one_is_new(void **state)
{
	struct asker a = {.w.ready = on_ready};
	struct sn_upstream *u = NULL;

	(void)state;
	sn_pool_put(get(NULL), true);
	assert_int_equal(sn_pool_get(pool, true, &a.w, &u), -SN_EAGAIN);
	until(&w, a.calls);
	assert_int_equal(sn_pool_connections(pool), 2);
	sn_pool_put(a.u, true);
}

static void test_an_end_or_bytes_of_nobody(void **state)
{
	int peer;
	bool is_new;

	(void)state;
	for (int with_bytes = 0; with_bytes < 2; with_bytes++) {
		sn_pool_put(get(&is_new), true);
		assert_true(is_new);
		peer = accept_one(&w, server);
		if (with_bytes)
			assert_int_equal(write(peer, "HTTP/1.1 408 x\r\n\r\n", 18), 18);
		else
			close(peer);
		until(&w, sn_pool_connections(pool) == 0);
		if (with_bytes)
			close(peer);
	}
	/* The same before the loop has looked: taking it out looks. */
	sn_pool_put(get(NULL), true);
	peer = accept_one(&w, server);
	turns(&w, 2);
	close(peer);
	until(&w, sn_pool_connections(pool) == 0);
	sn_pool_put(get(&is_new), true);
	assert_true(is_new);
}

static void test_waiting_in_line(void **state)
{
	struct asker a = {.w.ready = on_ready}, b = a, c = a;
	struct sn_upstream *u, *none = NULL;

	(void)state;
	set.max_connections = 1;
	sn_pool_configure(pool, &set);
	u = get(NULL);
	assert_int_equal(sn_pool_get(pool, false, &a.w, &none), -SN_EAGAIN);
	assert_int_equal(sn_pool_get(pool, false, &b.w, &none), -SN_EAGAIN);
	assert_int_equal(sn_pool_get(pool, false, &c.w, &none), -SN_ELIMIT); /* max_pending */
	assert_int_equal(c.calls, 0);
	assert_false(sn_pool_is_unused(pool));
	sn_pool_put(u, true); /* handed on in the order of asking */
	assert_int_equal(a.calls, 1);
	assert_ptr_equal(a.u, u);
	assert_int_equal(b.calls, 0);
	sn_pool_put(u, false); /* gone: a new one is dialled for the next in line */
	assert_int_equal(b.calls, 0);
	until(&w, b.calls);
	assert_int_equal(b.code, 0);
	assert_int_equal(b.u->n_requests, 1);
	sn_pool_put(b.u, true);
	assert_int_equal(sn_pool_connections(pool), 1);
}

/* No descriptors: each of those in line is told, none of them is left behind. */
static void test_waiting_for_what_cannot_be_dialled(void **state)
{
	struct asker a = {.w.ready = on_ready}, b = a;
	struct sn_upstream *u, *none = NULL;
	struct rlimit before, no_more;

	(void)state;
	set.max_connections = 1;
	sn_pool_configure(pool, &set);
	u = get(NULL);
	assert_int_equal(sn_pool_get(pool, false, &a.w, &none), -SN_EAGAIN);
	assert_int_equal(sn_pool_get(pool, false, &b.w, &none), -SN_EAGAIN);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
	no_more = before;
	no_more.rlim_cur = 0;
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &no_more), 0);
	sn_pool_put(u, false);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
	assert_int_equal(a.calls, 1);
	assert_int_equal(a.code, -SN_ELIMIT);
	assert_int_equal(b.calls, 1);
	assert_int_equal(b.code, -SN_ELIMIT);
	assert_true(sn_pool_is_unused(pool));
}

static unsigned heard;

static void on_heard(struct sn_upstream *u, unsigned events)
{
	(void)u;
	heard |= events;
}

static void on_ready_to_hear(struct sn_waiter *waiter, struct sn_upstream *u, int code)
{
	on_ready(waiter, u, code);
	u->cb = on_heard;
}

/* It says something, or hangs up, before the loop has seen that it is connected: one edge. */
static void test_a_server_that_speaks_first(void **state)
{
	struct asker a = {.w.ready = on_ready_to_hear};
	struct sn_upstream *none = NULL;
	int peer;

	(void)state;
	heard = 0;
	assert_int_equal(sn_pool_get(pool, false, &a.w, &none), -SN_EAGAIN);
	peer = accept(server, NULL, NULL);
	assert_true(peer >= 0);
	assert_int_equal(write(peer, "HTTP/1.1 503 x\r\n\r\n", 18), 18);
	until(&w, a.calls);
	turns(&w, 2);
	assert_true(heard & SN_STREAM_READABLE);
	sn_pool_put(a.u, false);
	close(peer);
}

static void test_waiting_no_more(void **state)
{
	struct asker a = {.w.ready = on_ready}, b = a;
	struct sn_upstream *u, *none = NULL;

	(void)state;
	assert_int_equal(sn_pool_get(pool, false, &a.w, &none), -SN_EAGAIN);
	sn_pool_cancel(pool, &a.w); /* while it is dialled: that connection goes too */
	assert_int_equal(sn_pool_connections(pool), 0);
	set.max_connections = 1;
	sn_pool_configure(pool, &set);
	u = get(NULL);
	assert_int_equal(sn_pool_get(pool, false, &b.w, &none), -SN_EAGAIN);
	sn_pool_cancel(pool, &b.w);
	sn_pool_put(u, true);
	turns(&w, 5);
	assert_int_equal(a.calls + b.calls, 0);
	assert_int_equal(sn_pool_connections(pool), 1);
}

static void test_nobody_listens(void **state)
{
	struct asker a = {.w.ready = on_ready};
	struct sn_upstream *none = NULL;
	struct sn_addr closed = nobody();
	struct sn_pool *p = sn_pool_new(w.loop, &closed, &set);

	(void)state;
	assert_int_equal(sn_pool_get(p, false, &a.w, &none), -SN_EAGAIN);
	until(&w, a.calls);
	assert_null(a.u);
	assert_int_equal(a.code, -SN_ECONN);
	assert_true(sn_pool_is_unused(p));
	assert_true(sn_addr_eq(sn_pool_addr(p), &closed));
	sn_pool_retire(p);
}

static void test_a_connect_that_takes_too_long(void **state)
{
	struct asker a[4] = {{.w.ready = on_ready},
			     {.w.ready = on_ready},
			     {.w.ready = on_ready},
			     {.w.ready = on_ready}};
	struct sn_upstream *none = NULL;
	struct sn_addr full;
	int fd = listening(0, &full), timeouts = 0;
	struct sn_pool *p = sn_pool_new(w.loop, &full, &set);

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(a); i++)
		assert_int_equal(sn_pool_get(p, false, &a[i].w, &none), -SN_EAGAIN);
	turns(&w, 5);
	pass_ms(&w, 1000);
	for (size_t i = 0; i < SN_ARRAY_LEN(a); i++) {
		assert_int_equal(a[i].calls, 1);
		timeouts += a[i].code == -SN_ETIMEOUT;
		if (a[i].u)
			sn_pool_put(a[i].u, false);
	}
	assert_true(timeouts > 0);
	sn_pool_retire(p);
	close(fd);
}

static void test_a_cluster_address_is_taken_in_turn(void **state)
{
	struct sn_upstream *u[3], *c;

	(void)state;
	set.cluster_address = true;
	sn_pool_configure(pool, &set);
	for (int i = 0; i < 3; i++)
		u[i] = get(NULL);
	for (int i = 0; i < 3; i++)
		sn_pool_put(u[i], true);
	for (int i = 0; i < 9; i++) {
		c = get(NULL);
		assert_ptr_equal(c, u[i % 3]);
		sn_pool_put(c, true);
	}
}

static void test_a_cluster_address_retires_by_requests(void **state)
{
	struct sn_upstream *first;
	bool is_new;

	(void)state;
	set.cluster_address = true;
	sn_pool_configure(pool, &set);
	first = get(NULL);
	for (int i = 1; i < 1000; i++) {
		sn_pool_put(first, true);
		assert_ptr_equal(get(NULL), first);
	}
	assert_int_equal(first->n_requests, 1000);
	sn_pool_put(first, true);
	assert_int_equal(sn_pool_connections(pool), 0);
	sn_pool_put(get(&is_new), true);
	assert_true(is_new);
}

/* 10 s +- 20%, not all at the same moment; an endpoint of its own stays. */
static void test_a_cluster_address_retires_by_age(void **state)
{
	uint64_t born = sn_loop_now_ms(w.loop), least = UINT64_MAX, most = 0;
	struct sn_upstream *u[10];
	bool is_new;

	(void)state;
	set.cluster_address = true;
	set.idle_timeout_ms = 3600000;
	sn_pool_configure(pool, &set);
	for (int i = 0; i < 10; i++) {
		u[i] = get(NULL);
		assert_in_range(u[i]->retire_ms - born, 8000, 12000);
		least = u[i]->retire_ms < least ? u[i]->retire_ms : least;
		most = u[i]->retire_ms > most ? u[i]->retire_ms : most;
	}
	assert_true(most - least > 200);
	for (int i = 0; i < 10; i++)
		sn_pool_put(u[i], true);
	pass_ms(&w, 7999);
	sn_pool_put(get(&is_new), true);
	assert_false(is_new);
	pass_ms(&w, 4001);
	sn_pool_put(get(&is_new), true);
	assert_true(is_new);
	assert_int_equal(sn_pool_connections(pool), 1); /* the ten are gone */

	set.cluster_address = false;
	sn_pool_retire(pool);
	pool = sn_pool_new(w.loop, &at, &set);
	sn_pool_put(get(NULL), true);
	pass_ms(&w, 60000);
	sn_pool_put(get(&is_new), true);
	assert_false(is_new);
}

static void test_retired_while_lent_out(void **state)
{
	struct sn_upstream *u = get(NULL);

	(void)state;
	sn_pool_put(get(NULL), true);
	assert_int_equal(sn_pool_connections(pool), 2);
	sn_pool_close_idle(pool);
	assert_int_equal(sn_pool_connections(pool), 1);
	sn_pool_retire(pool);
	turns(&w, 3);
	assert_int_equal(sn_pool_connections(pool), 1); /* it lives as long as what it lent */
	sn_pool_put(u, true);
	pool = NULL;
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		T(test_the_last_one_in_is_the_first_one_out),
		T(test_one_that_may_not_stay),
		T(test_a_fresh_one_is_new),
		T(test_an_end_or_bytes_of_nobody),
		T(test_waiting_in_line),
		T(test_waiting_for_what_cannot_be_dialled),
		T(test_a_server_that_speaks_first),
		T(test_waiting_no_more),
		T(test_nobody_listens),
		T(test_a_connect_that_takes_too_long),
		T(test_a_cluster_address_is_taken_in_turn),
		T(test_a_cluster_address_retires_by_requests),
		T(test_a_cluster_address_retires_by_age),
		T(test_retired_while_lent_out),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
