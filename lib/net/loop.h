/* SPDX-License-Identifier: Apache-2.0 */
/* net/loop.h - one thread's event loop: epoll (edge-triggered), timers, a deferred list, calls from
 * other threads, and a pool of I/O buffers. Time is read once a turn. An idle loop does not wake
 * up, but once where a busy turn went before. A turn: wait, I/O callbacks, timers, posts, turn-end
 * hooks, deferred. */
#ifndef SN_NET_LOOP_H
#define SN_NET_LOOP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/err.h"
#include "net/timer.h"

struct sn_loop;
struct sn_io;
struct sn_pipes;
typedef void (*sn_io_cb)(struct sn_io *io, uint32_t epoll_events);

/* One registered descriptor; embedded in its owner. */
struct sn_io {
	int fd;
	sn_io_cb cb;
	bool registered;
};

/* Work for the end of this turn (hooks, deferred frees) or from another thread (posts). */
struct sn_task;
typedef void (*sn_task_fn)(struct sn_task *t);
struct sn_task {
	struct sn_task *next;
	sn_task_fn fn;
	bool queued;
};

/* @clock NULL: the real one. NULL on failure. */
struct sn_loop *sn_loop_new(const struct sn_clock *clock, struct sn_err *err);
/* Runs what is deferred, then frees. Registered descriptors stay their owners'. */
void sn_loop_free(struct sn_loop *l);

/* Turns until sn_loop_stop(). */
void sn_loop_run(struct sn_loop *l);
/* One turn that waits at most @max_wait_ms (-1: as long as it takes). For tests and tools. */
void sn_loop_turn(struct sn_loop *l, int max_wait_ms);
/* Ends sn_loop_run() after this turn. Any thread; async-signal-safe. */
void sn_loop_stop(struct sn_loop *l);

/* This turn's time. */
uint64_t sn_loop_now_ms(const struct sn_loop *l);
uint64_t sn_loop_now_ns(const struct sn_loop *l);
/* Number of turns so far (liveness). Any thread. */
uint64_t sn_loop_turns(const struct sn_loop *l);

/* Registers io->fd with io->cb set. @events: EPOLLIN | EPOLLOUT | EPOLLRDHUP ... ; EPOLLET is
 * added unless @level is true (listeners, foreign descriptors). Returns 0 or -SN_ESYS. */
int sn_loop_add(struct sn_loop *l, struct sn_io *io, uint32_t events, bool level);
/* Changes the events of a level-triggered descriptor. */
int sn_loop_mod(struct sn_loop *l, struct sn_io *io, uint32_t events);
/* No callback after this, not even for events of this turn that are already fetched. Allowed when
 * not registered. Does not close. */
void sn_loop_del(struct sn_loop *l, struct sn_io *io);

/* Timers on the loop's time. @delay_ms from now. Returns 0 or -SN_ENOMEM. */
int sn_loop_timer(struct sn_loop *l, struct sn_timer *t, uint64_t delay_ms);
void sn_loop_timer_cancel(struct sn_loop *l, struct sn_timer *t);

/* Once at the end of this turn, before the deferred list: where a connection writes out all that
 * the turn produced. Queuing what is queued already is nothing. May be called from hooks (runs in
 * the same turn). */
void sn_loop_at_turn_end(struct sn_loop *l, struct sn_task *t, sn_task_fn fn);
/* Takes a queued hook back (its owner is going away). */
void sn_loop_turn_end_cancel(struct sn_loop *l, struct sn_task *t);
/* After everything else of this turn: the only place where objects with callbacks are freed. */
void sn_loop_defer(struct sn_loop *l, struct sn_task *t, sn_task_fn fn);
/* From any thread: run @fn on the loop's thread soon. @t must stay alive until then and must not be
 * queued already. */
void sn_loop_post(struct sn_loop *l, struct sn_task *t, sn_task_fn fn);

/* I/O buffers of SN_IOBUF_BYTES; a few are kept for reuse. NULL when out of memory. */
#define SN_IOBUF_BYTES 16384
void *sn_loop_iobuf_get(struct sn_loop *l);
void sn_loop_iobuf_put(struct sn_loop *l, void *buf);
/* The loop's pipes for splice(2). */
struct sn_pipes *sn_loop_pipes(struct sn_loop *l);

#endif
