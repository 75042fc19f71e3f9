/* SPDX-License-Identifier: Apache-2.0 */
/* http/h2pool.h - HTTP/2 connections to one endpoint, for one worker. Requests share a connection
 * up to the peer's concurrency; when all are full another one is made; when that may not be,
 * or cannot be, requests wait, bounded in number and, by connect_timeout_ms, in time. A connection
 * with requests on it is pinged when nothing comes (10 s, answer within 3 s). Connections to a
 * cluster address are taken in turn and retire.
 *
 * A connection that takes no more requests but still has some (the peer said GOAWAY, or it has
 * retired) does not count towards max_connections: a stream that never ends must not keep others
 * from getting a new one. Such connections are as many at most as the requests on them. */
#ifndef SN_HTTP_H2POOL_H
#define SN_HTTP_H2POOL_H

#include "http/h2.h"
#include "http/pool.h"

struct sn_h2pool_settings {
	struct sn_pool_settings pool;
	struct sn_h2_settings session;
};

struct sn_h2pool;

/* Somebody who waits for a connection. */
struct sn_h2_waiter {
	struct sn_list link;
	uint64_t due_ms; /* the pool's: it waits until then at most */
	/* @h2: one request may be submitted on it now; or NULL with @code -SN_ECONN, -SN_ETIMEOUT,
	 * -SN_EPROTO (the peer does not speak HTTP/2). Never from inside sn_h2pool_get(). */
	void (*ready)(struct sn_h2_waiter *w, struct sn_h2 *h2, int code);
};

/* @ev: events of the streams (request, goaway and pong are not used); borrowed. @frames: the
 * thread's scratch buffer, borrowed. NULL when out of memory. */
struct sn_h2pool *sn_h2pool_new(struct sn_loop *l, const struct sn_addr *to,
				const struct sn_h2pool_settings *settings,
				const struct sn_h2_events *ev, struct sn_buf *frames);
void sn_h2pool_configure(struct sn_h2pool *p, const struct sn_h2pool_settings *settings);
/* No more requests; when those in flight or waiting have finished it frees itself. Until then it is
 * in @rest, a list of the owner's. */
void sn_h2pool_retire(struct sn_h2pool *p, struct sn_list *rest);
/* Gives up what is in flight or waiting (-SN_ECONN), and frees it with this turn: @p, retired or
 * not; all in @rest. Not from inside an event of a session. */
void sn_h2pool_end(struct sn_h2pool *p);
void sn_h2pool_end_all(struct sn_list *rest);

/* A session that takes one request now: 0 with *ret_h2; -SN_EAGAIN (w->ready will be called);
 * -SN_ELIMIT (too many wait), -SN_ECONN (a dial has failed just now: http/redial.h, and there is no
 * other connection to wait for), -SN_ENOMEM, -SN_ESYS. */
int sn_h2pool_get(struct sn_h2pool *p, struct sn_h2_waiter *w, struct sn_h2 **ret_h2);
/* @w waits no more. */
void sn_h2pool_cancel(struct sn_h2pool *p, struct sn_h2_waiter *w);
/* Something was submitted or queued on a session of a pool: it goes out with this turn. */
void sn_h2pool_kick(struct sn_h2 *h2);

bool sn_h2pool_is_unused(const struct sn_h2pool *p);

#endif
