/* SPDX-License-Identifier: Apache-2.0 */
/* http/pool.h - kept-alive HTTP/1.1 connections to one endpoint, for one worker. One request at a
 * time per connection. Last in, first out, so that surplus ones grow idle and go; connections to a
 * cluster address are taken in turn and retire, so that kube-proxy spreads them. */
#ifndef SN_HTTP_POOL_H
#define SN_HTTP_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "net/stream.h"

struct sn_pool_settings {
	uint64_t idle_timeout_ms;
	uint64_t connect_timeout_ms;
	uint32_t max_connections;
	uint32_t max_pending;
	bool cluster_address;	       /* retire after 10 s +-20% or 1,000 requests */
	struct sn_stream_count *count; /* of connections made from now on; NULL, or borrowed until
					  the last of them has ended */
};

struct sn_pool;
struct sn_upstream;

/* What happens on a connection while it is lent out: enum sn_stream_event bits. */
typedef void (*sn_upstream_cb)(struct sn_upstream *u, unsigned events);

struct sn_upstream {
	struct sn_stream s;
	struct sn_pool *pool;
	struct sn_list link;
	struct sn_timer idle;
	struct sn_task release;
	struct sn_waiter *connecting_for;
	sn_upstream_cb cb; /* the borrower's */
	void *user;	   /* the borrower's */
	uint64_t born_ms, retire_ms;
	bool lent;	     /* its idle timer, which stays set, means nothing */
	uint32_t n_requests; /* lent out so far, this time included */
};

/* Somebody who waits for a connection. */
struct sn_waiter {
	struct sn_list link;
	struct sn_upstream *dialling; /* the connection being made for it */
	/* @u: lent out; or NULL with @code -SN_ECONN, -SN_ETIMEOUT, -SN_ELIMIT. Never from inside
	 * sn_pool_get(). */
	void (*ready)(struct sn_waiter *w, struct sn_upstream *u, int code);
};

/* @to: the endpoint. NULL when out of memory. */
struct sn_pool *sn_pool_new(struct sn_loop *l, const struct sn_addr *to,
			    const struct sn_pool_settings *settings);
void sn_pool_configure(struct sn_pool *p, const struct sn_pool_settings *settings);
/* No more lending; idle connections close now, others when they are put back; then it is freed. */
void sn_pool_retire(struct sn_pool *p);

/* Lends a connection. Returns 0 with *ret_u, -SN_EAGAIN (w->ready will be called), or -SN_ELIMIT
 * (too many wait), -SN_ECONN (a dial has failed just now: http/redial.h), -SN_ENOMEM, -SN_ESYS.
 * @fresh: not one that has been used before. */
int sn_pool_get(struct sn_pool *p, bool fresh, struct sn_waiter *w, struct sn_upstream **ret_u);
/* @w waits no more. */
void sn_pool_cancel(struct sn_pool *p, struct sn_waiter *w);
/* Gives it back. @reusable: its response was read to the end and it may stay open. */
void sn_pool_put(struct sn_upstream *u, bool reusable);

/* Closes connections that are idle now (a drain). */
void sn_pool_close_idle(struct sn_pool *p);
uint32_t sn_pool_connections(const struct sn_pool *p);
bool sn_pool_is_unused(const struct sn_pool *p);
const struct sn_addr *sn_pool_addr(const struct sn_pool *p);

#endif
