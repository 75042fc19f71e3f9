/* SPDX-License-Identifier: Apache-2.0 */
/* The event loop. Order within a turn: wait -> I/O -> timers -> posts -> turn-end hooks ->
 * deferred. A callback may delete any descriptor, also one whose event of this turn is still to
 * come: del clears the event's slot, so nothing is called after its end. */
#include "net/loop.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "net/pipe.h"

#define EVENTS_PER_TURN 256
/* Behind a turn with so many events there is hardly a wait: it is not worth it then to put the
 * timers in order that such turns push back. Should there be one, it may end too early, once. */
#define BUSY_EVENTS 4
#define IOBUFS_KEPT 32

struct task_list {
	struct sn_task *head;
	struct sn_task **tail;
};

struct sn_loop {
	const struct sn_clock *clock;
	int epoll_fd;
	struct sn_io wake; /* eventfd: posts and stop */
	uint64_t now_ns;
	atomic_ullong turns;
	atomic_bool stop;
	struct sn_timers timers;
	struct task_list hooks, deferred;
	pthread_mutex_t post_lock;
	struct task_list posts;
	struct epoll_event events[EVENTS_PER_TURN];
	int n_events;
	bool busy; /* the last turn had many events */
	void *iobufs[IOBUFS_KEPT];
	int n_iobufs;
	struct sn_pipes pipes;
};

static void list_init(struct task_list *l)
{
	l->head = NULL;
	l->tail = &l->head;
}

static void list_add(struct task_list *l, struct sn_task *t, sn_task_fn fn)
{
	t->fn = fn;
	t->next = NULL;
	t->queued = true;
	*l->tail = t;
	l->tail = &t->next;
}

static struct sn_task *list_take(struct task_list *l)
{
	struct sn_task *t = l->head;

	if (t) {
		l->head = t->next;
		if (!l->head)
			l->tail = &l->head;
		t->queued = false;
	}
	return t;
}

static void list_remove(struct task_list *l, struct sn_task *t)
{
	struct sn_task **at = &l->head;

	while (*at && *at != t)
		at = &(*at)->next;
	if (!*at)
		return;
	*at = t->next;
	if (l->tail == &t->next)
		l->tail = at;
	t->queued = false;
}

static void on_wake(struct sn_io *io, uint32_t events)
{
	uint64_t n;

	(void)events;
	if (read(io->fd, &n, sizeof(n)) < 0 && errno != EAGAIN)
		return;
}

struct sn_loop *sn_loop_new(const struct sn_clock *clock, struct sn_err *err)
{
	struct sn_loop *l = calloc(1, sizeof(*l));

	if (!l) {
		sn_err_set(err, SN_ENOMEM, "event loop: out of memory");
		return NULL;
	}
	l->clock = clock ? clock : &sn_clock_real;
	list_init(&l->hooks);
	list_init(&l->deferred);
	list_init(&l->posts);
	sn_timers_init(&l->timers);
	sn_pipes_init(&l->pipes);
	pthread_mutex_init(&l->post_lock, NULL);
	l->now_ns = l->clock->now_ns(l->clock);
	l->wake.cb = on_wake;
	l->wake.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (l->wake.fd < 0 || l->epoll_fd < 0 || sn_loop_add(l, &l->wake, EPOLLIN, true)) {
		sn_err_sys(err, errno, "event loop");
		sn_loop_free(l);
		return NULL;
	}
	return l;
}

static void run_list(struct task_list *l)
{
	struct sn_task *t;

	while ((t = list_take(l)))
		t->fn(t);
}

void sn_loop_free(struct sn_loop *l)
{
	if (!l)
		return;
	run_list(&l->deferred);
	while (l->n_iobufs)
		free(l->iobufs[--l->n_iobufs]);
	sn_timers_done(&l->timers);
	if (l->wake.fd >= 0)
		close(l->wake.fd);
	if (l->epoll_fd >= 0)
		close(l->epoll_fd);
	pthread_mutex_destroy(&l->post_lock);
	free(l);
}

/* Takes the posts that are there now; ones that they add wait for the next turn. */
static void run_posts(struct sn_loop *l)
{
	struct task_list mine;
	struct sn_task *t;

	pthread_mutex_lock(&l->post_lock);
	mine = l->posts;
	if (!mine.head)
		mine.tail = &mine.head;
	list_init(&l->posts);
	pthread_mutex_unlock(&l->post_lock);
	while ((t = mine.head)) {
		mine.head = t->next;
		pthread_mutex_lock(&l->post_lock);
		t->queued = false;
		pthread_mutex_unlock(&l->post_lock);
		t->fn(t);
	}
}

static int wait_ms(struct sn_loop *l, int max_wait_ms)
{
	uint64_t next = l->busy ? sn_timers_bound_ms(&l->timers) : sn_timers_next_ms(&l->timers);
	uint64_t now, wait;

	if (l->hooks.head || l->deferred.head)
		return 0;
	if (next == UINT64_MAX)
		return max_wait_ms;
	now = l->clock->now_ns(l->clock) / 1000000u;
	wait = next > now ? next - now : 0;
	if (wait > 3600000)
		wait = 3600000;
	return max_wait_ms >= 0 && wait > (uint64_t)max_wait_ms ? max_wait_ms : (int)wait;
}

void sn_loop_turn(struct sn_loop *l, int max_wait_ms)
{
	int i, n = epoll_wait(l->epoll_fd, l->events, EVENTS_PER_TURN, wait_ms(l, max_wait_ms));

	l->now_ns = l->clock->now_ns(l->clock);
	atomic_fetch_add_explicit(&l->turns, 1, memory_order_relaxed);
	l->n_events = n > 0 ? n : 0;
	l->busy = n >= BUSY_EVENTS;
	for (i = 0; i < l->n_events; i++) {
		struct sn_io *io = l->events[i].data.ptr;

		if (io)
			io->cb(io, l->events[i].events);
	}
	l->n_events = 0;
	sn_timers_run(&l->timers, l->now_ns / 1000000u);
	run_posts(l);
	run_list(&l->hooks);
	run_list(&l->deferred);
}

void sn_loop_run(struct sn_loop *l)
{
	while (!atomic_load(&l->stop))
		sn_loop_turn(l, -1);
}

static void wake(struct sn_loop *l)
{
	uint64_t one = 1;

	if (write(l->wake.fd, &one, sizeof(one)) < 0)
		return; /* EAGAIN: it is awake already */
}

void sn_loop_stop(struct sn_loop *l)
{
	atomic_store(&l->stop, true);
	wake(l);
}

uint64_t sn_loop_now_ms(const struct sn_loop *l)
{
	return l->now_ns / 1000000u;
}

uint64_t sn_loop_now_ns(const struct sn_loop *l)
{
	return l->now_ns;
}

uint64_t sn_loop_turns(const struct sn_loop *l)
{
	return atomic_load_explicit(&((struct sn_loop *)l)->turns, memory_order_relaxed);
}

int sn_loop_add(struct sn_loop *l, struct sn_io *io, uint32_t events, bool level)
{
	struct epoll_event ev = {.events = events | (level ? 0 : (uint32_t)EPOLLET),
				 .data.ptr = io};

	if (epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, io->fd, &ev))
		return -SN_ESYS;
	io->registered = true;
	return 0;
}

int sn_loop_mod(struct sn_loop *l, struct sn_io *io, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = io};

	return epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, io->fd, &ev) ? -SN_ESYS : 0;
}

void sn_loop_del(struct sn_loop *l, struct sn_io *io)
{
	int i;

	if (!io->registered)
		return;
	io->registered = false;
	epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, io->fd, NULL);
	for (i = 0; i < l->n_events; i++)
		if (l->events[i].data.ptr == io)
			l->events[i].data.ptr = NULL;
}

int sn_loop_timer(struct sn_loop *l, struct sn_timer *t, uint64_t delay_ms)
{
	return sn_timer_set(&l->timers, t, sn_loop_now_ms(l) + delay_ms);
}

void sn_loop_timer_cancel(struct sn_loop *l, struct sn_timer *t)
{
	sn_timer_cancel(&l->timers, t);
}

void sn_loop_at_turn_end(struct sn_loop *l, struct sn_task *t, sn_task_fn fn)
{
	if (!t->queued)
		list_add(&l->hooks, t, fn);
}

void sn_loop_turn_end_cancel(struct sn_loop *l, struct sn_task *t)
{
	if (t->queued)
		list_remove(&l->hooks, t);
}

void sn_loop_defer(struct sn_loop *l, struct sn_task *t, sn_task_fn fn)
{
	if (!t->queued)
		list_add(&l->deferred, t, fn);
}

void sn_loop_post(struct sn_loop *l, struct sn_task *t, sn_task_fn fn)
{
	pthread_mutex_lock(&l->post_lock);
	if (!t->queued)
		list_add(&l->posts, t, fn);
	pthread_mutex_unlock(&l->post_lock);
	wake(l);
}

void *sn_loop_iobuf_get(struct sn_loop *l)
{
	return l->n_iobufs ? l->iobufs[--l->n_iobufs] : malloc(SN_IOBUF_BYTES);
}

void sn_loop_iobuf_put(struct sn_loop *l, void *buf)
{
	if (!buf)
		return;
	if (l->n_iobufs < IOBUFS_KEPT)
		l->iobufs[l->n_iobufs++] = buf;
	else
		free(buf);
}

struct sn_pipes *sn_loop_pipes(struct sn_loop *l)
{
	return &l->pipes;
}
