/* SPDX-License-Identifier: Apache-2.0 */
/* The loop: the order of a turn, nothing called after its end, other threads, buffers. */
#include "loops.h"

#include <pthread.h>

static struct world w;
static char trace[256];

static void add(const char *what)
{
	strncat(trace, what, sizeof(trace) - strlen(trace) - 1);
}

static int begin(void **state)
{
	(void)state;
	trace[0] = 0;
	world_begin(&w);
	return 0;
}

static int end(void **state)
{
	(void)state;
	world_end(&w);
	return 0;
}

static struct sn_task hook, deferred, post, second;
static struct sn_timer timer;

static void on_deferred(struct sn_task *t)
{
	(void)t;
	add("deferred ");
}

static void on_second_hook(struct sn_task *t)
{
	(void)t;
	add("hook2 ");
}

static void on_hook(struct sn_task *t)
{
	(void)t;
	add("hook ");
	sn_loop_at_turn_end(w.loop, &second, on_second_hook); /* in the same turn */
}

static void on_post(struct sn_task *t)
{
	(void)t;
	add("post ");
}

static void on_timer(struct sn_timer *t, uint64_t now_ms)
{
	(void)t;
	assert_int_equal(now_ms, sn_loop_now_ms(w.loop));
	add("timer ");
}

static void on_read(struct sn_io *io, uint32_t events)
{
	char c;

	assert_true(events & EPOLLIN);
	assert_int_equal(read(io->fd, &c, 1), 1);
	add("io ");
	sn_loop_defer(w.loop, &deferred, on_deferred);
	sn_loop_at_turn_end(w.loop, &hook, on_hook);
	sn_loop_at_turn_end(w.loop, &hook, on_hook); /* queued already: once */
	sn_loop_post(w.loop, &post, on_post);
	sn_loop_timer(w.loop, &timer, 0);
}

static void test_the_order_of_a_turn(void **state)
{
	struct sn_io io = {.cb = on_read};
	int fd[2];

	(void)state;
	pair(fd);
	io.fd = fd[0];
	sn_timer_init(&timer, on_timer);
	assert_int_equal(sn_loop_add(w.loop, &io, EPOLLIN, false), 0);
	assert_int_equal(write(fd[1], "x", 1), 1);
	turns(&w, 1);
	assert_string_equal(trace, "io timer post hook hook2 deferred ");
	turns(&w, 3);
	assert_string_equal(trace, "io timer post hook hook2 deferred ");
	sn_loop_del(w.loop, &io);
	sn_loop_del(w.loop, &io);
	close(fd[0]);
	close(fd[1]);
}

static struct sn_io two[2];

static void on_delete_the_other(struct sn_io *io, uint32_t events)
{
	(void)events;
	add("one ");
	sn_loop_del(w.loop, &two[io == &two[0]]);
}

static void test_nothing_is_called_after_del(void **state)
{
	int a[2], b[2];

	(void)state;
	pair(a);
	pair(b);
	two[0] = (struct sn_io){.fd = a[0], .cb = on_delete_the_other};
	two[1] = (struct sn_io){.fd = b[0], .cb = on_delete_the_other};
	sn_loop_add(w.loop, &two[0], EPOLLIN, false);
	sn_loop_add(w.loop, &two[1], EPOLLIN, false);
	assert_int_equal(write(a[1], "x", 1) + write(b[1], "x", 1), 2);
	turns(&w, 3); /* both events were fetched in one turn; only one was delivered */
	assert_string_equal(trace, "one ");
	sn_loop_del(w.loop, &two[0]);
	sn_loop_del(w.loop, &two[1]);
	close(a[0]);
	close(a[1]);
	close(b[0]);
	close(b[1]);
}

static void test_timers_go_by_the_given_clock(void **state)
{
	(void)state;
	sn_timer_init(&timer, on_timer);
	assert_int_equal(sn_loop_timer(w.loop, &timer, 60000), 0);
	turns(&w, 5);
	pass_ms(&w, 59999);
	assert_string_equal(trace, "");
	pass_ms(&w, 1);
	assert_string_equal(trace, "timer ");
	sn_loop_timer(w.loop, &timer, 5);
	sn_loop_timer_cancel(w.loop, &timer);
	pass_ms(&w, 100);
	assert_string_equal(trace, "timer ");
	assert_int_equal(sn_loop_now_ms(w.loop), 1000 + 60100);
}

static void test_a_hook_taken_back(void **state)
{
	(void)state;
	sn_loop_at_turn_end(w.loop, &hook, on_hook);
	sn_loop_at_turn_end(w.loop, &second, on_second_hook);
	sn_loop_turn_end_cancel(w.loop, &second); /* the last: the tail moves */
	sn_loop_turn_end_cancel(w.loop, &second);
	sn_loop_turn_end_cancel(w.loop, &hook);
	sn_loop_at_turn_end(w.loop, &second, on_second_hook);
	turns(&w, 1);
	assert_string_equal(trace, "hook2 ");
}

static void test_what_is_deferred_runs_before_the_end(void **state)
{
	struct sn_loop *l = sn_loop_new(NULL, NULL);

	(void)state;
	sn_loop_defer(l, &deferred, on_deferred);
	sn_loop_free(l);
	assert_string_equal(trace, "deferred ");
	sn_loop_free(NULL);
}

/* --- other threads */
struct shared {
	struct sn_loop *loop;
	struct sn_task tasks[100];
	unsigned n;
	pthread_t loops_thread;
};

static struct shared *sharing;

static void counted(struct sn_task *t)
{
	(void)t;
	assert_true(pthread_equal(pthread_self(), sharing->loops_thread));
	if (++sharing->n == SN_ARRAY_LEN(sharing->tasks))
		sn_loop_stop(sharing->loop);
}

static void *poster(void *arg)
{
	struct shared *s = arg;

	for (size_t i = 0; i < SN_ARRAY_LEN(s->tasks); i++)
		sn_loop_post(s->loop, &s->tasks[i], counted);
	return NULL;
}

static void test_posts_wake_an_idle_loop(void **state)
{
	static struct shared s;
	pthread_t thread;

	(void)state;
	s.loop = sn_loop_new(NULL, NULL); /* the real clock: without posts it would wait for ever */
	s.loops_thread = pthread_self();
	sharing = &s;
	assert_int_equal(pthread_create(&thread, NULL, poster, &s), 0);
	sn_loop_run(s.loop);
	pthread_join(thread, NULL);
	assert_int_equal(s.n, SN_ARRAY_LEN(s.tasks));
	assert_true(sn_loop_turns(s.loop) >= 1);
	sn_loop_free(s.loop);
}

static void on_post_again(struct sn_task *t)
{
	add("again ");
	if (strlen(trace) < 3 * strlen("again "))
		sn_loop_post(w.loop, t, on_post_again);
}

static void test_a_post_from_a_post_waits_for_the_next_turn(void **state)
{
	(void)state;
	sn_loop_post(w.loop, &post, on_post_again);
	turns(&w, 1);
	assert_string_equal(trace, "again ");
	turns(&w, 5);
	assert_string_equal(trace, "again again again ");
}

static void test_buffers_are_used_again(void **state)
{
	void *a = sn_loop_iobuf_get(w.loop), *b;
	void *many[100];

	(void)state;
	assert_non_null(a);
	memset(a, 1, SN_IOBUF_BYTES);
	sn_loop_iobuf_put(w.loop, a);
	b = sn_loop_iobuf_get(w.loop);
	assert_ptr_equal(a, b);
	sn_loop_iobuf_put(w.loop, b);
	sn_loop_iobuf_put(w.loop, NULL);
	for (size_t i = 0; i < SN_ARRAY_LEN(many); i++)
		many[i] = sn_loop_iobuf_get(w.loop);
	for (size_t i = 0; i < SN_ARRAY_LEN(many); i++)
		sn_loop_iobuf_put(w.loop, many[i]); /* past what is kept they are freed */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_the_order_of_a_turn, begin, end),
		cmocka_unit_test_setup_teardown(test_nothing_is_called_after_del, begin, end),
		cmocka_unit_test_setup_teardown(test_timers_go_by_the_given_clock, begin, end),
		cmocka_unit_test_setup_teardown(test_a_hook_taken_back, begin, end),
		cmocka_unit_test_setup_teardown(test_what_is_deferred_runs_before_the_end, begin,
						end),
		cmocka_unit_test_setup_teardown(test_posts_wake_an_idle_loop, begin, end),
		cmocka_unit_test_setup_teardown(test_a_post_from_a_post_waits_for_the_next_turn,
						begin, end),
		cmocka_unit_test_setup_teardown(test_buffers_are_used_again, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
