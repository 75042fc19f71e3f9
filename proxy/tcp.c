/* SPDX-License-Identifier: Apache-2.0 */
/* Opaque connections: one dial, then bytes both ways. Also the dial for a client that says nothing,
 * so that a server that speaks first is heard. */
#include <stdlib.h>

#include "base/err.h"
#include "base/log.h"
#include "proxy/conn.h"

struct upstream {
	struct sn_stream s;
	struct sn_task release;
	struct sn_conn *c;
	struct sn_cluster *cluster;
	struct sn_endpoint *endpoint;
	uint64_t start_ns;
};

static struct upstream *up(struct sn_stream *s)
{
	return sn_container_of(s, struct upstream, s);
}

static void free_upstream(struct sn_task *t)
{
	free(sn_container_of(t, struct upstream, release));
}

static void end_endpoint(struct upstream *u, enum sn_try_end end)
{
	uint64_t now = sn_loop_now_ns(u->c->w->loop);
	struct sn_try_result r = {.latency_ns = now - u->start_ns, .end = end};

	if (u->endpoint)
		sn_balance_done(u->cluster->balance, u->endpoint, &r, now);
	u->endpoint = NULL;
}

/* It took the connection: more is not known of an endpoint that serves bytes. */
static void is_well(struct upstream *u)
{
	uint64_t now = sn_loop_now_ns(u->c->w->loop);

	if (u->endpoint)
		sn_balance_is_well(u->cluster->balance, u->endpoint, now - u->start_ns, now);
}

void sn_tcp_undial(struct sn_conn *c)
{
	struct upstream *u;

	if (c->relay)
		sn_relay_cancel(c->relay);
	c->relay = NULL;
	if (!c->u)
		return;
	u = up(c->u);
	end_endpoint(u, SN_TRY_CANCELLED);
	if (c->state == SN_CONN_SNIFF && c->silent_dial)
		c->tcp_stats = NULL; /* it may be HTTP after all */
	sn_stream_close(&u->s, c->state == SN_CONN_SNIFF);
	sn_loop_defer(c->w->loop, &u->release, free_upstream);
	c->u = NULL;
}

static void on_relay_end(struct sn_relay *r, void *arg, int code, uint64_t a_to_b, uint64_t b_to_a)
{
	struct sn_conn *c = arg;

	(void)r;
	(void)a_to_b;
	(void)b_to_a;
	c->relay = NULL;
	if (code)
		sn_stream_close(c->u, true);
	end_endpoint(up(c->u), SN_TRY_CANCELLED); /* how long bytes flow is no latency */
	sn_conn_close(c, code != 0);
}

static void start_relay(struct sn_conn *c)
{
	c->state = SN_CONN_RELAY;
	sn_conn_decided(c);
	sn_loop_timer_cancel(c->w->loop, &c->timer);
	c->relay = sn_relay_start(&c->d, c->u, sn_input_slice(&c->in), c->w->timeouts.opaque_idle,
				  on_relay_end, c);
	c->w->stats.relayed[sn_conn_dir(c)]++;
	is_well(up(c->u));
	if (!c->relay)
		sn_conn_close(c, true);
	else
		sn_input_drop(&c->in, c->w->loop);
}

/* The other side while it is dialled, and while a silent client is waited for. */
static void on_upstream(struct sn_stream *s, unsigned events)
{
	struct upstream *u = up(s);
	struct sn_conn *c = u->c;

	if (events & SN_STREAM_FAILED) {
		end_endpoint(u, SN_TRY_FAILED);
		sn_conn_refused(c, SN_REFUSE_CONNECT, "cannot connect to the destination");
		sn_conn_close(c, true);
	} else if (!c->silent_dial) {
		start_relay(c);
	} else if (events & SN_STREAM_READABLE) {
		start_relay(
			c); /* the server speaks first (or ends): no HTTP request precedes that */
	}
}

static int dial(struct sn_conn *c, const struct sn_addr *to, struct sn_cluster *cluster,
		struct sn_endpoint *e)
{
	struct upstream *u = calloc(1, sizeof(*u));

	if (!u)
		return -SN_ENOMEM;
	u->c = c;
	u->cluster = cluster;
	u->endpoint = e;
	u->start_ns = sn_loop_now_ns(c->w->loop);
	if (sn_stream_connect(&u->s, c->w->loop, to, c->w->timeouts.connect, on_upstream)) {
		free(u);
		return -SN_ESYS;
	}
	u->s.count = c->tcp_stats ? &c->tcp_stats->dst : NULL;
	c->u = &u->s;
	return 0;
}

static void give_up(struct sn_conn *c, enum sn_refusal_reason reason, const char *detail)
{
	sn_conn_refused(c, reason, detail);
	sn_conn_close(c, true);
}

/* Dials where the bytes should go. False: it has given up. */
static bool dial_target(struct sn_conn *c)
{
	struct sn_balance_ask ask = {.now_ns = sn_loop_now_ns(c->w->loop)};
	struct sn_try_result not_made = {.end = SN_TRY_CANCELLED};
	enum sn_balance_none why = SN_BALANCE_EMPTY;
	struct sn_cluster *cluster;
	struct sn_endpoint *e;
	struct sn_target t;

	sn_target_find(c, NULL, &t);
	if (t.kind == SN_TARGET_REFUSE) {
		give_up(c, t.reason, t.detail);
		return false;
	}
	c->tcp_stats = sn_stats_block(&c->w->stats, sn_conn_dir(c) ? "inbound" : "outbound",
				      t.kind == SN_TARGET_SERVICE ? t.svc->name
				      : sn_conn_dir(c)		  ? "self"
								  : "passthrough",
				      "", "", t.kind == SN_TARGET_SERVICE ? t.svc->name : "");
	if (sn_worker_is_full(c->w)) {
		give_up(c, SN_REFUSE_OVERLOAD, "limits.memory is reached");
		return false;
	}
	if (t.kind == SN_TARGET_DIRECT || (c->conf->transparent && c->dst.family &&
					   t.svc->endpoints_kind == SN_ENDPOINTS_ADDRESSES)) {
		/* bytes have no routes: they go where they were going */
		if (dial(c, &c->dst, NULL, NULL) == 0)
			return true;
		give_up(c, SN_REFUSE_CONNECT, "no descriptor for the connection");
		return false;
	}
	cluster = sn_worker_cluster(c->w, t.svc, t.port, sn_conn_dir(c));
	e = cluster ? sn_balance_pick(cluster->balance, &ask, &why) : NULL;
	if (!e) {
		give_up(c, SN_REFUSE_NO_ENDPOINTS,
			why == SN_BALANCE_ALL_EJECTED ? "all endpoints are ejected" : t.svc->name);
		return false;
	}
	if (dial(c, &e->addr, cluster, e) == 0)
		return true;
	sn_balance_done(cluster->balance, e, &not_made, ask.now_ns);
	give_up(c, SN_REFUSE_CONNECT, "no descriptor for the connection");
	return false;
}

void sn_tcp_begin(struct sn_conn *c)
{
	c->silent_dial = false;
	if (c->u) { /* dialled already for a silent client */
		if (!c->u->connecting)
			start_relay(c);
		return;
	}
	sn_loop_timer_cancel(c->w->loop, &c->timer);
	dial_target(c);
}

void sn_tcp_dial_silent(struct sn_conn *c)
{
	if (c->u)
		return;
	c->silent_dial = true;
	dial_target(c);
}
