/* SPDX-License-Identifier: Apache-2.0 */
/* A connection is idle (in the pool's list, with a timer), dialling (for a waiter), or lent out.
 *
 *   dialling --connected--> lent --put(reusable)--> idle --get--> lent
 *      | failed               | put(!reusable)        | timeout, bytes, FIN, retired
 *      v                      v                       v
 *                           closed, freed from the deferred list
 */
#include "http/pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/num.h"
#include "http/redial.h"

#define RETIRE_MS 10000
#define RETIRE_REQUESTS 1000

struct sn_pool {
	struct sn_loop *loop;
	struct sn_addr to;
	struct sn_pool_settings set;
	struct sn_list idle, waiters;
	uint32_t n_connections, n_waiters;
	struct sn_rng rng;
	struct sn_redial redial;
	bool retired;
	struct sn_task release;
};

struct sn_pool *sn_pool_new(struct sn_loop *l, const struct sn_addr *to,
			    const struct sn_pool_settings *settings)
{
	struct sn_pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->loop = l;
	p->to = *to;
	p->set = *settings;
	sn_list_init(&p->idle);
	sn_list_init(&p->waiters);
	sn_rng_seed(&p->rng, sn_loop_now_ns(l) ^ (uint64_t)(uintptr_t)p);
	return p;
}

void sn_pool_configure(struct sn_pool *p, const struct sn_pool_settings *settings)
{
	p->set = *settings;
}

static void free_pool(struct sn_task *t)
{
	free(sn_container_of(t, struct sn_pool, release));
}

static void maybe_free(struct sn_pool *p)
{
	if (p->retired && p->n_connections == 0 && sn_list_empty(&p->waiters))
		sn_loop_defer(p->loop, &p->release, free_pool);
}

static void free_upstream(struct sn_task *t)
{
	free(sn_container_of(t, struct sn_upstream, release));
}

static struct sn_waiter *first_waiter(const struct sn_pool *p)
{
	struct sn_list *at = sn_list_first(&p->waiters);

	return at ? sn_list_entry(at, struct sn_waiter, link) : NULL;
}

static void dial(struct sn_pool *p, struct sn_waiter *w);

static void drop(struct sn_upstream *u, bool reset)
{
	struct sn_pool *p = u->pool;
	struct sn_waiter *next;

	if (u->s.closed && u->release.queued)
		return;
	sn_list_del(&u->link);
	sn_loop_timer_cancel(p->loop, &u->idle);
	sn_stream_close(&u->s, reset);
	sn_loop_defer(p->loop, &u->release, free_upstream);
	p->n_connections--;
	/* One that cannot even be dialled is nobody's turn: the next in line has it. */
	while (p->n_connections < p->set.max_connections && (next = first_waiter(p))) {
		sn_list_del(&next->link);
		p->n_waiters--;
		dial(p, next);
	}
	maybe_free(p);
}

static void on_stream(struct sn_stream *s, unsigned events)
{
	struct sn_upstream *u = sn_container_of(s, struct sn_upstream, s);
	struct sn_waiter *w = u->connecting_for;

	if (w) {
		u->connecting_for = NULL;
		w->dialling = NULL;
		if (events & SN_STREAM_FAILED) {
			int code = s->error == ETIMEDOUT ? -SN_ETIMEOUT : -SN_ECONN;

			sn_redial_failed(&u->pool->redial, sn_loop_now_ms(u->pool->loop),
					 &u->pool->rng);
			drop(u, false);
			w->ready(w, NULL, code);
		} else {
			sn_redial_connected(&u->pool->redial);
			w->ready(w, u, 0);
			if (events & SN_STREAM_READABLE && u->cb) /* there is no second edge */
				u->cb(u, SN_STREAM_READABLE);
		}
		return;
	}
	if (u->cb)
		u->cb(u, events);
	else if (events & (SN_STREAM_READABLE | SN_STREAM_FAILED))
		drop(u, false); /* idle, or connected for nobody: bytes or an end are nobody's */
}

static void on_idle(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_upstream *u = sn_container_of(t, struct sn_upstream, idle);

	(void)now_ms;
	if (!u->lent)
		drop(u, false);
}

/* Starts a connection for @w; what fails at once is told through the connection's own timer. */
static int dial_now(struct sn_pool *p, struct sn_waiter *w)
{
	struct sn_upstream *u = calloc(1, sizeof(*u));
	uint64_t now = sn_loop_now_ms(p->loop);
	int rc;

	if (!u)
		return -SN_ENOMEM;
	u->pool = p;
	sn_list_init(&u->link);
	sn_timer_init(&u->idle, on_idle);
	u->born_ms = now;
	u->retire_ms = p->set.cluster_address ? now + RETIRE_MS * 8 / 10 +
							sn_rng_below(&p->rng, RETIRE_MS * 4 / 10)
					      : UINT64_MAX;
	rc = sn_stream_connect(&u->s, p->loop, &p->to, p->set.connect_timeout_ms, on_stream);
	if (rc) {
		free(u);
		return rc;
	}
	u->s.count = p->set.count;
	u->connecting_for = w;
	u->lent = true;
	u->n_requests = 1;
	w->dialling = u;
	p->n_connections++;
	return 0;
}

static void dial(struct sn_pool *p, struct sn_waiter *w)
{
	int rc = dial_now(p, w);

	if (rc)
		w->ready(w, NULL, rc);
}

static bool worn_out(const struct sn_upstream *u)
{
	return u->pool->retired || sn_loop_now_ms(u->pool->loop) >= u->retire_ms ||
	       (u->retire_ms != UINT64_MAX && u->n_requests >= RETIRE_REQUESTS);
}

static struct sn_upstream *take_idle(struct sn_pool *p)
{
	struct sn_list *at;

	while ((at = p->set.cluster_address ? sn_list_first(&p->idle) : sn_list_last(&p->idle))) {
		struct sn_upstream *u = sn_list_entry(at, struct sn_upstream, link);

		if (!worn_out(u) && !sn_stream_is_stale(&u->s)) {
			sn_list_del(&u->link);
			u->lent = true;
			u->n_requests++;
			return u;
		}
		drop(u, false);
	}
	return NULL;
}

int sn_pool_get(struct sn_pool *p, bool fresh, struct sn_waiter *w, struct sn_upstream **ret_u)
{
	struct sn_upstream *u = fresh ? NULL : take_idle(p);
	int rc;

	sn_list_init(&w->link);
	w->dialling = NULL;
	if (u) {
		*ret_u = u;
		return 0;
	}
	if (p->n_connections >= p->set.max_connections) {
		if (p->n_waiters >= p->set.max_pending)
			return -SN_ELIMIT;
		sn_list_push_back(&p->waiters, &w->link);
		p->n_waiters++;
		return -SN_EAGAIN;
	}
	/* Behind a cluster address there are others: who refused says nothing about the next. */
	if (!p->set.cluster_address && sn_redial_must_wait(&p->redial, sn_loop_now_ms(p->loop)))
		return -SN_ECONN;
	rc = dial_now(p, w);
	return rc ? rc : -SN_EAGAIN;
}

void sn_pool_cancel(struct sn_pool *p, struct sn_waiter *w)
{
	if (w->dialling) {
		struct sn_upstream *u = w->dialling;

		w->dialling = NULL;
		u->connecting_for = NULL;
		drop(u, true);
	} else if (!sn_list_empty(&w->link)) {
		sn_list_del(&w->link);
		p->n_waiters--;
	}
	maybe_free(p);
}

void sn_pool_put(struct sn_upstream *u, bool reusable)
{
	struct sn_pool *p = u->pool;
	struct sn_waiter *w;

	u->cb = NULL;
	u->user = NULL;
	if (!reusable || worn_out(u) || sn_stream_is_stale(&u->s)) {
		drop(u, !reusable && !u->s.write_shut); /* what was ended in order arrives */
		return;
	}
	w = first_waiter(p);
	if (w) {
		sn_list_del(&w->link);
		p->n_waiters--;
		u->n_requests++;
		w->ready(w, u, 0);
		return;
	}
	sn_list_push_back(&p->idle, &u->link);
	u->lent = false;
	sn_loop_timer(p->loop, &u->idle, p->set.idle_timeout_ms);
}

void sn_pool_close_idle(struct sn_pool *p)
{
	struct sn_list *at;

	while ((at = sn_list_first(&p->idle)))
		drop(sn_list_entry(at, struct sn_upstream, link), false);
}

void sn_pool_retire(struct sn_pool *p)
{
	p->retired = true;
	sn_pool_close_idle(p);
	maybe_free(p);
}

uint32_t sn_pool_connections(const struct sn_pool *p)
{
	return p->n_connections;
}

bool sn_pool_is_unused(const struct sn_pool *p)
{
	return p->n_connections == 0 && p->n_waiters == 0;
}

const struct sn_addr *sn_pool_addr(const struct sn_pool *p)
{
	return &p->to;
}
