/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of tests that need a loop: a clock that only they move, pairs of connected sockets, and
 * turns until something is so (bounded, never a sleep for a guess). */
#ifndef SN_TESTS_NET_LOOPS_H
#define SN_TESTS_NET_LOOPS_H

#include "../unit.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/loop.h"
#include "net/stream.h"

struct world {
	struct sn_clock_fake clock;
	struct sn_loop *loop;
};

static inline void world_begin(struct world *w)
{
	sn_clock_fake_init(&w->clock, 1000000000u);
	w->loop = sn_loop_new(&w->clock.clock, NULL);
	assert_non_null(w->loop);
}

static inline void world_end(struct world *w)
{
	sn_loop_free(w->loop);
}

static inline void turns(struct world *w, int n)
{
	while (n-- > 0)
		sn_loop_turn(w->loop, 0);
}

/* Lets @ms pass and gives what is due its turn. */
static inline void pass_ms(struct world *w, uint64_t ms)
{
	sn_clock_fake_advance_ms(&w->clock, ms);
	turns(w, 2);
}

/* Turns until @cond, at most about 5 s. Looks at it once a turn: it may have effects. */
#define until(w, cond)                                                                             \
	do {                                                                                       \
		bool so_ = false;                                                                  \
		for (int n_ = 0; n_ < 500 && !so_; n_++) {                                         \
			so_ = (cond);                                                              \
			if (!so_)                                                                  \
				sn_loop_turn((w)->loop, 10);                                       \
		}                                                                                  \
		assert_true(so_);                                                                  \
	} while (0)

/* Two connected, non-blocking sockets. */
static inline void pair(int fd[2])
{
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
}

/* A listening socket on loopback; nobody accepts unless asked to. */
static inline int listening(int backlog, struct sn_addr *ret)
{
	struct sockaddr_storage ss = {0};
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t n = sizeof(ss);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(fd, backlog), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&ss, &n), 0);
	sn_addr_from_sockaddr(&ss, ret);
	return fd;
}

/* A port of loopback where nobody listens. */
static inline struct sn_addr nobody(void)
{
	struct sn_addr a;

	close(listening(1, &a));
	return a;
}

/* Blocking is not wanted in a test of one thread: waits by turns of the loop. */
static inline int accept_one(struct world *w, int listener)
{
	int fd = -1;

	until(w, (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0);
	return fd;
}

#endif
