/* SPDX-License-Identifier: Apache-2.0 */
/* A link is one connection:
 *
 *   DIALLING --connected--> GREETING --peer's SETTINGS--> OPEN --GOAWAY, worn out--> LEAVING
 *       | failed               | failed                     | idle, silent, broken      | last
 * stream v                      v                            v                           v closed,
 * freed from the deferred list
 *
 * Requests wait for the peer's SETTINGS, since only they tell how many it takes and whether it
 * takes extended CONNECT. When the pool is retired those that wait still get a link of their own; a
 * link that nobody needs then leaves. */
#include "http/h2pool.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/num.h"
#include "http/h2conn.h"
#include "http/redial.h"

#define RETIRE_MS 10000
#define RETIRE_REQUESTS 1000
/* While a connection is being made, so many may wait for it beside those that max_pending allows:
 * it is going to take about as many. */
#define COMING_MAX 1000
#define PING_AFTER_MS 10000
#define PONG_WITHIN_MS 3000

enum state { DIALLING, GREETING, OPEN, LEAVING, CLOSED };

struct link {
	struct sn_stream s;
	struct sn_h2conn conn;
	struct sn_h2pool *pool;
	struct sn_list all;
	enum state state;
	struct sn_timer idle;  /* without requests; the greeting's time before that */
	struct sn_timer watch; /* with requests: is the peer alive? */
	struct sn_task settle, release;
	uint64_t retire_ms;
	uint64_t read_ms, ping_ms; /* when something came last, and when we asked */
	uint32_t n_requests;
	bool pinged;
};

struct sn_h2pool {
	struct sn_loop *loop;
	struct sn_addr to;
	struct sn_h2pool_settings set;
	struct sn_h2_events ev; /* the owner's, with ours in between */
	const struct sn_h2_events *owner;
	struct sn_buf *frames;
	struct sn_list links; /* struct link.all; the next to be used first */
	struct sn_list waiters;
	struct sn_timer wait; /* those that wait are looked at again: one's time is over, or
				 there may be a link for it */
	uint32_t n_links, n_coming, n_leaving, n_waiters;
	struct sn_rng rng;
	struct sn_redial redial;
	bool retired;
	struct sn_list rest; /* among those that are retired */
	struct sn_task release;
};

static struct link *link_of(struct sn_list *at)
{
	return sn_list_entry(at, struct link, all);
}

static void free_pool(struct sn_task *t)
{
	free(sn_container_of(t, struct sn_h2pool, release));
}

/* @w waits no more. */
static void unwait(struct sn_h2pool *p, struct sn_h2_waiter *w)
{
	sn_list_del(&w->link);
	if (--p->n_waiters == 0)
		sn_loop_timer_cancel(p->loop, &p->wait);
}

static void maybe_free(struct sn_h2pool *p)
{
	if (!p->retired || p->n_links || p->n_waiters)
		return;
	sn_list_del(&p->rest);
	sn_loop_defer(p->loop, &p->release, free_pool);
}

static void free_link(struct sn_task *t)
{
	free(sn_container_of(t, struct link, release));
}

static void serve(struct sn_h2pool *p);

/* Those that wait are looked at then, or earlier. 0 or -SN_ENOMEM (not when somebody waits). */
static int look_at(struct sn_h2pool *p, uint64_t due_ms)
{
	uint64_t now = sn_loop_now_ms(p->loop);

	if (sn_timer_is_set(&p->wait) && p->wait.due_ms <= due_ms)
		return 0;
	return sn_loop_timer(p->loop, &p->wait, due_ms > now ? due_ms - now : 0);
}

/* Streams that are open get their `closed` from the session's end. */
static void drop(struct link *l)
{
	struct sn_h2pool *p = l->pool;

	if (l->state == CLOSED)
		return;
	if (l->state == DIALLING || l->state == GREETING)
		p->n_coming--;
	if (l->state == LEAVING)
		p->n_leaving--;
	l->state = CLOSED;
	sn_list_del(&l->all);
	p->n_links--;
	sn_loop_timer_cancel(p->loop, &l->idle);
	sn_loop_timer_cancel(p->loop, &l->watch);
	sn_h2conn_done(&l->conn);
	sn_loop_turn_end_cancel(p->loop, &l->settle);
	sn_stream_close(&l->s, false);
	sn_loop_defer(p->loop, &l->release, free_link);
}

/* Full maybe, but it will take requests again. */
static bool has_open(const struct sn_h2pool *p)
{
	sn_list_each(&p->links, at, next)
	{
		const struct link *l = link_of(at);

		if (l->state == OPEN && !l->s.read_eof)
			return true;
	}
	return false;
}

/* There is no link: whoever waits is told, unless another one is there or on its way. All of them,
 * though the first may ask again and have another one made: else the last would wait for as many
 * failures as there are others. */
static void fail_waiters(struct sn_h2pool *p, int code)
{
	struct sn_list told, *at;

	if (p->n_coming || has_open(p))
		return;
	sn_list_init(&told);
	while ((at = sn_list_first(&p->waiters))) {
		sn_list_del(at);
		sn_list_push_back(&told, at);
	}
	while ((at = sn_list_first(&told))) {
		struct sn_h2_waiter *w = sn_list_entry(at, struct sn_h2_waiter, link);

		unwait(p, w);
		w->ready(w, NULL, code);
	}
}

static void fail(struct link *l, int code)
{
	struct sn_h2pool *p = l->pool;

	if (l->state == DIALLING || l->state == GREETING) {
		drop(l);
		sn_redial_failed(&p->redial, sn_loop_now_ms(p->loop), &p->rng);
		fail_waiters(p, code);
		if (p->n_waiters)
			look_at(p, p->redial.until_ms);
	} else {
		drop(l);
		serve(p);
	}
	maybe_free(p);
}

static void on_dead(struct sn_h2conn *c, int code)
{
	struct link *l = sn_container_of(c, struct link, conn);

	/* What ends before its SETTINGS does not speak HTTP/2, or is going away. */
	fail(l, l->state == GREETING ? -SN_EPROTO : code ? code : -SN_EOF);
}

static bool worn_out(const struct link *l)
{
	return sn_loop_now_ms(l->pool->loop) >= l->retire_ms ||
	       (l->retire_ms != UINT64_MAX && l->n_requests >= RETIRE_REQUESTS);
}

static void set_leaving(struct link *l)
{
	if (l->state != OPEN)
		return;
	l->state = LEAVING;
	l->pool->n_leaving++;
}

static void leave(struct link *l)
{
	set_leaving(l);
	if (sn_h2_n_streams(l->conn.h2) == 0) {
		sn_h2_shutdown(l->conn.h2);
		sn_h2conn_kick(&l->conn);
	}
}

static void on_idle(struct sn_timer *t, uint64_t now_ms)
{
	struct link *l = sn_container_of(t, struct link, idle);

	(void)now_ms;
	if (l->state == OPEN)
		leave(l);
	else
		fail(l, -SN_ETIMEOUT);
}

/* Is the peer alive? Asked when nothing has come for a while, and there is something to come. */
static void on_watch(struct sn_timer *t, uint64_t now_ms)
{
	struct link *l = sn_container_of(t, struct link, watch);
	struct sn_loop *loop = l->pool->loop;
	uint64_t silent_ms = now_ms - l->read_ms;

	if (sn_h2_n_streams(l->conn.h2) == 0) {
		if (!sn_timer_is_set(&l->idle)) /* it was taken, and then not used */
			sn_loop_timer(loop, &l->idle, l->pool->set.pool.idle_timeout_ms);
		return;
	}
	if (l->pinged && l->read_ms >= l->ping_ms)
		l->pinged = false;
	if (l->pinged) {
		fail(l, -SN_ETIMEOUT);
	} else if (silent_ms < PING_AFTER_MS) {
		sn_loop_timer(loop, &l->watch, PING_AFTER_MS - silent_ms);
	} else {
		l->pinged = true;
		l->ping_ms = now_ms;
		sn_h2_ping(l->conn.h2);
		sn_h2conn_kick(&l->conn);
		sn_loop_timer(loop, &l->watch, PONG_WITHIN_MS);
	}
}

/* Those that wait may have a new link, but not from inside of what we are in. */
static void look_again(struct sn_h2pool *p)
{
	if (p->n_waiters)
		look_at(p, sn_loop_now_ms(p->loop));
}

/* --- events of the session ----------------------------------------------------------------------
 */

static struct link *link_of_h2(const struct sn_h2 *h2)
{
	return sn_h2_user(h2);
}

/* Once a turn in which requests ended: others may start, or the link has nothing more to do. */
static void on_settle(struct sn_task *t)
{
	struct link *l = sn_container_of(t, struct link, settle);
	struct sn_h2pool *p = l->pool;

	serve(p);
	if (l->state == CLOSED || sn_h2_n_streams(l->conn.h2))
		return;
	if (l->state == LEAVING || p->retired || worn_out(l))
		leave(l);
	else
		sn_loop_timer(p->loop, &l->idle, p->set.pool.idle_timeout_ms);
}

static void on_closed(struct sn_h2_stream *s, uint32_t error, bool unprocessed)
{
	struct link *l = link_of_h2(s->h2);
	struct sn_h2pool *p = l->pool;

	p->owner->closed(s, error, unprocessed);
	if (l->state == CLOSED)
		return; /* the session is being freed */
	sn_loop_at_turn_end(p->loop, &l->settle, on_settle);
}

static void on_goaway(struct sn_h2 *h2)
{
	struct link *l = link_of_h2(h2);

	set_leaving(l);
	look_again(l->pool);
}

static void on_pong(struct sn_h2 *h2)
{
	(void)h2; /* any byte is a sign of life */
}

void sn_h2pool_kick(struct sn_h2 *h2)
{
	sn_h2conn_kick(&link_of_h2(h2)->conn);
}

/* --- making links -------------------------------------------------------------------------------
 */

static void on_open(struct link *l);

/* A peer that takes none for now, or goes away at once, has the greeting's time to change its mind:
 * more links to it would be no better. */
static void on_read(struct sn_h2conn *c)
{
	struct link *l = sn_container_of(c, struct link, conn);

	l->read_ms = sn_loop_now_ms(l->pool->loop);
	if (l->state == GREETING && sn_h2_settings_seen(c->h2) && sn_h2_can_open(c->h2))
		on_open(l);
}

static int greet(struct link *l)
{
	struct sn_h2pool *p = l->pool;
	struct sn_h2 *h2 = sn_h2_new(SN_H2_CLIENT, &p->set.session, &p->ev, l);

	if (!h2)
		return -SN_ENOMEM;
	l->state = GREETING;
	sn_h2conn_init(&l->conn, &l->s, h2, p->frames, on_dead);
	l->conn.was_read = on_read;
	sn_loop_timer(p->loop, &l->idle, p->set.pool.connect_timeout_ms);
	sn_h2conn_kick(&l->conn);
	return 0;
}

/* It takes requests now. */
static void on_open(struct link *l)
{
	struct sn_h2pool *p = l->pool;

	l->state = OPEN;
	p->n_coming--;
	sn_redial_connected(&p->redial);
	sn_loop_timer(p->loop, &l->idle, p->set.pool.idle_timeout_ms);
	serve(p);
	if (p->retired && l->state == OPEN && sn_h2_n_streams(l->conn.h2) == 0)
		leave(l);
}

static void on_stream(struct sn_stream *s, unsigned events)
{
	struct link *l = sn_container_of(s, struct link, s);

	if (l->state == DIALLING) {
		if (events & SN_STREAM_FAILED) {
			fail(l, s->error == ETIMEDOUT ? -SN_ETIMEOUT : -SN_ECONN);
			return;
		}
		if (greet(l)) {
			fail(l, -SN_ENOMEM);
			return;
		}
	}
	sn_h2conn_event(&l->conn, events);
}

static int dial(struct sn_h2pool *p)
{
	struct link *l = calloc(1, sizeof(*l));
	uint64_t now = sn_loop_now_ms(p->loop);
	int rc;

	if (!l)
		return -SN_ENOMEM;
	l->pool = p;
	l->state = DIALLING;
	sn_list_init(&l->all);
	sn_timer_init(&l->idle, on_idle);
	sn_timer_init(&l->watch, on_watch);
	l->retire_ms =
		p->set.pool.cluster_address
			? now + RETIRE_MS * 8 / 10 + sn_rng_below(&p->rng, RETIRE_MS * 4 / 10)
			: UINT64_MAX;
	rc = sn_stream_connect(&l->s, p->loop, &p->to, p->set.pool.connect_timeout_ms, on_stream);
	if (rc) {
		free(l);
		return rc;
	}
	l->s.count = p->set.pool.count;
	sn_list_push_back(&p->links, &l->all);
	p->n_links++;
	p->n_coming++;
	return 0;
}

static bool may_dial(const struct sn_h2pool *p)
{
	return p->n_coming == 0 && p->n_links - p->n_leaving < p->set.pool.max_connections;
}

/* A link that takes a request now, or NULL. */
static struct link *usable(struct sn_h2pool *p)
{
	sn_list_each(&p->links, at, next)
	{
		struct link *l = link_of(at);

		if (l->state == OPEN && worn_out(l))
			leave(l);
		if (l->state == OPEN && sn_h2_can_open(l->conn.h2) && !l->s.read_eof)
			return l;
	}
	return NULL;
}

static struct sn_h2 *use(struct sn_h2pool *p, struct link *l)
{
	l->n_requests++;
	sn_loop_timer_cancel(p->loop, &l->idle);
	if (!sn_timer_is_set(&l->watch)) {
		l->pinged = false;
		l->read_ms = sn_loop_now_ms(p->loop); /* from now on something is due */
		sn_loop_timer(p->loop, &l->watch, PING_AFTER_MS);
	}
	if (p->set.pool.cluster_address) { /* in turn */
		sn_list_del(&l->all);
		sn_list_push_back(&p->links, &l->all);
	}
	sn_h2conn_kick(&l->conn);
	return l->conn.h2;
}

/* Those that wait get what there is; if that is not enough, another link is made; but where there
 * is one, and another could not be made just now, that one is waited for. */
static void serve(struct sn_h2pool *p)
{
	struct sn_list *at;
	struct link *l;
	int rc = 0;

	while ((at = sn_list_first(&p->waiters)) && (l = usable(p))) {
		struct sn_h2_waiter *w = sn_list_entry(at, struct sn_h2_waiter, link);

		unwait(p, w);
		w->ready(w, use(p, l), 0);
	}
	if (!p->n_waiters || !may_dial(p))
		return;
	if (has_open(p) && sn_redial_must_wait(&p->redial, sn_loop_now_ms(p->loop)))
		look_at(p, p->redial.until_ms);
	else
		rc = dial(p);
	if (rc)
		fail_waiters(p, rc);
}

static void on_wait(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_h2pool *p = sn_container_of(t, struct sn_h2pool, wait);
	struct sn_list *at;

	serve(p);
	while ((at = sn_list_first(&p->waiters))) {
		struct sn_h2_waiter *w = sn_list_entry(at, struct sn_h2_waiter, link);

		if (w->due_ms > now_ms) {
			look_at(p, w->due_ms);
			break;
		}
		unwait(p, w);
		w->ready(w, NULL, -SN_ETIMEOUT);
	}
	maybe_free(p);
}

static int wait_for_one(struct sn_h2pool *p, struct sn_h2_waiter *w)
{
	uint64_t now = sn_loop_now_ms(p->loop), due = now + p->set.pool.connect_timeout_ms;
	bool later = sn_redial_must_wait(&p->redial, now) && p->redial.until_ms < due;

	if (look_at(p, later ? p->redial.until_ms : due))
		return -SN_ENOMEM;
	w->due_ms = due;
	sn_list_push_back(&p->waiters, &w->link);
	p->n_waiters++;
	return -SN_EAGAIN;
}

/* --- for the owner ------------------------------------------------------------------------------
 */

struct sn_h2pool *sn_h2pool_new(struct sn_loop *l, const struct sn_addr *to,
				const struct sn_h2pool_settings *settings,
				const struct sn_h2_events *ev, struct sn_buf *frames)
{
	struct sn_h2pool *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->loop = l;
	p->to = *to;
	p->set = *settings;
	p->owner = ev;
	p->ev = *ev;
	p->ev.closed = on_closed;
	p->ev.goaway = on_goaway;
	p->ev.pong = on_pong;
	p->frames = frames;
	sn_list_init(&p->links);
	sn_list_init(&p->waiters);
	sn_list_init(&p->rest);
	sn_timer_init(&p->wait, on_wait);
	sn_rng_seed(&p->rng, sn_loop_now_ns(l) ^ (uint64_t)(uintptr_t)p);
	return p;
}

void sn_h2pool_configure(struct sn_h2pool *p, const struct sn_h2pool_settings *settings)
{
	p->set = *settings;
}

int sn_h2pool_get(struct sn_h2pool *p, struct sn_h2_waiter *w, struct sn_h2 **ret_h2)
{
	struct link *l = usable(p);
	int rc;

	if (l) {
		*ret_h2 = use(p, l);
		return 0;
	}
	if (p->n_waiters >= p->set.pool.max_pending + COMING_MAX)
		return -SN_ELIMIT;
	if (may_dial(p)) {
		if (!p->set.pool.cluster_address &&
		    sn_redial_must_wait(&p->redial, sn_loop_now_ms(p->loop)))
			rc = -SN_ECONN;
		else
			rc = dial(p);
		if (rc && (p->n_waiters >= p->set.pool.max_pending || !has_open(p)))
			return rc;
	} else if (p->n_coming == 0 && p->n_waiters >= p->set.pool.max_pending) {
		return -SN_ELIMIT;
	}
	return wait_for_one(p, w);
}

void sn_h2pool_cancel(struct sn_h2pool *p, struct sn_h2_waiter *w)
{
	unwait(p, w);
	maybe_free(p);
}

void sn_h2pool_retire(struct sn_h2pool *p, struct sn_list *rest)
{
	p->retired = true;
	sn_list_push_back(rest, &p->rest);
	sn_list_each(&p->links, at, next)
	{
		struct link *l = link_of(at);

		if (l->state == OPEN || l->state == LEAVING)
			leave(l);
	}
	look_again(p);
	maybe_free(p);
}

void sn_h2pool_end(struct sn_h2pool *p)
{
	p->retired = true;
	sn_list_each(&p->links, at, next) drop(link_of(at));
	fail_waiters(p, -SN_ECONN);
	maybe_free(p);
}

void sn_h2pool_end_all(struct sn_list *rest)
{
	sn_list_each(rest, at, next) sn_h2pool_end(sn_list_entry(at, struct sn_h2pool, rest));
}

bool sn_h2pool_is_unused(const struct sn_h2pool *p)
{
	return p->n_links == 0 && p->n_waiters == 0;
}
