/* SPDX-License-Identifier: Apache-2.0 */
/* Carries out what lib/mesh's admission says: lets pass, keeps waiting, refuses, starts the next.
 * Whoever waits is on one list and has its phase's timer running. The next one starts at the end of
 * the turn: whoever makes room is in the middle of ending, its connection may be closing with
 * others that wait, and these must not be sent out first. */
#include "proxy/gate.h"

#include <stdlib.h>
#include <time.h>

#include "proxy/exchange.h"

#define ADAPTIVE_START 20

struct sn_gate *sn_gate_new(struct sn_loop *loop, const struct sn_policy *p, uint64_t generation,
			    unsigned n_workers)
{
	struct sn_gate *g = calloc(1, sizeof(*g));

	if (!g)
		return NULL;
	g->loop = loop;
	sn_list_init(&g->waiting);
	sn_admission_init(&g->admission, 0, 0, NULL);
	sn_budget_init(&g->budget, &p->budget, sn_loop_now_ns(loop));
	sn_gate_configure(g, p, generation, n_workers);
	return g;
}

void sn_gate_free(struct sn_gate *g)
{
	if (g)
		sn_loop_turn_end_cancel(g->loop, &g->start);
	free(g);
}

bool sn_gate_is_empty(const struct sn_gate *g)
{
	return g->admission.in_flight == 0 && g->admission.pending == 0;
}

/* A worker's share, rounded up: the whole is then never less than what was asked for. */
static uint32_t share(uint64_t whole, unsigned n_workers)
{
	return (uint32_t)((whole + n_workers - 1) / n_workers);
}

/* How far the clock of the day is before the loop's. */
static uint64_t day_offset_ns(uint64_t now_ns)
{
	struct timespec day;

	clock_gettime(CLOCK_REALTIME, &day);
	return (uint64_t)day.tv_sec * 1000000000 + (uint64_t)day.tv_nsec - now_ns;
}

static void configure_adaptive(struct sn_gate *g, const struct sn_policy *p, unsigned n_workers,
			       uint64_t now_ns)
{
	uint32_t min = share(p->adaptive_min, n_workers), max = share(p->adaptive_max, n_workers);

	if (!p->adaptive)
		g->admission.concurrency = NULL;
	else if (g->admission.concurrency)
		sn_concurrency_change(&g->concurrency, min, max);
	else
		sn_concurrency_init(&g->concurrency, min, ADAPTIVE_START, max);
	sn_concurrency_align(&g->concurrency, day_offset_ns(now_ns));
	if (p->adaptive)
		g->admission.concurrency = &g->concurrency;
}

static void start_waiters(struct sn_task *task)
{
	struct sn_gate *g = sn_container_of(task, struct sn_gate, start);
	uint64_t now_ns = sn_loop_now_ns(g->loop);

	while (sn_admission_room(&g->admission) && !sn_list_empty(&g->waiting)) {
		struct sn_exchange *x =
			sn_list_entry(sn_list_first(&g->waiting), struct sn_exchange, turn);

		if (sn_admission_takes_newest(&g->admission, x->start_ns, now_ns))
			x = sn_list_entry(sn_list_last(&g->waiting), struct sn_exchange, turn);
		sn_list_del(&x->turn);
		x->w->n_pending--;
		sn_admission_start(&g->admission);
		sn_budget_deposit(&g->budget, now_ns);
		x->admitted = true;
		sn_tries_next(x);
	}
}

/* Room was made. */
static void start_soon(struct sn_gate *g)
{
	if (!sn_list_empty(&g->waiting))
		sn_loop_at_turn_end(g->loop, &g->start, start_waiters);
}

void sn_gate_configure(struct sn_gate *g, const struct sn_policy *p, uint64_t generation,
		       unsigned n_workers)
{
	struct sn_budget_settings budget = p->budget;

	g->generation = generation;
	g->admission.max_requests = share(p->max_requests, n_workers);
	g->admission.max_pending = share(p->max_pending, n_workers);
	g->pending_timeout_ms = p->pending_timeout_ms;
	sn_admission_set_patience(&g->admission, p->pending_timeout_ms * 1000000);
	budget.min_per_second = share(budget.min_per_second, n_workers);
	sn_budget_change(&g->budget, &budget, sn_loop_now_ns(g->loop));
	configure_adaptive(g, p, n_workers, sn_loop_now_ns(g->loop));
	g->rated = p->rate.milli_per_second > 0;
	if (g->rated)
		sn_gcra_settings_init(&g->rate_settings, p->rate.milli_per_second / n_workers,
				      share(p->rate.burst, n_workers));
	start_soon(g);
}

static void shed(struct sn_gate *g, struct sn_exchange *x, const char *detail)
{
	g->shed++;
	x->gate = NULL;
	sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, detail);
}

bool sn_gate_enter(struct sn_gate *g, struct sn_exchange *x)
{
	uint64_t now_ns = x->start_ns /* it has just begun */, wait_ns;

	if (g->rated && !sn_gcra_allow(&g->rate, &g->rate_settings, now_ns, &wait_ns)) {
		g->rate_limited++;
		sn_exchange_refuse_for(x, wait_ns, "the service's rate limit");
		return false;
	}
	x->gate = g;
	switch (sn_admission_enter(&g->admission)) {
	case SN_ADMISSION_ADMIT:
		sn_budget_deposit(&g->budget, now_ns);
		x->admitted = true;
		return true;
	case SN_ADMISSION_WAIT:
		if (x->w->n_pending >= x->w->limits.pending) {
			sn_admission_give_up(&g->admission);
			shed(g, x, "limits.pending is reached");
			return false;
		}
		g->waited++;
		x->w->n_pending++;
		sn_list_push_back(&g->waiting, &x->turn);
		x->phase = SN_PHASE_WAITING;
		sn_loop_timer(x->w->loop, &x->phase_timer, g->pending_timeout_ms);
		return false;
	default:
		shed(g, x, "too many requests wait for this service");
		return false;
	}
}

void sn_gate_waited_out(struct sn_exchange *x)
{
	x->gate->waited_out++;
	sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD,
			   "the service took no more requests in connections.pendingTimeout");
}

void sn_gate_leave(struct sn_exchange *x)
{
	struct sn_gate *g = x->gate;

	if (!g)
		return;
	x->gate = NULL;
	if (!x->admitted) {
		sn_list_del(&x->turn);
		x->w->n_pending--;
		sn_admission_give_up(&g->admission);
		return;
	}
	x->admitted = false;
	if (sn_admission_leave(&g->admission))
		start_soon(g);
}

void sn_gate_sample(struct sn_gate *g, uint64_t latency_ns, bool dropped, uint64_t now_ns)
{
	if (g->admission.concurrency)
		sn_concurrency_on_sample(&g->concurrency, latency_ns, g->admission.in_flight,
					 dropped, now_ns);
}

void sn_gate_cancelled(struct sn_gate *g, uint64_t waited_ns, uint64_t now_ns)
{
	if (g->admission.concurrency)
		sn_concurrency_on_cancelled(&g->concurrency, waited_ns, g->admission.in_flight,
					    now_ns);
}

int sn_gate_count(struct sn_gate *g, const char *service, struct sn_stats *into, uint64_t now_ns)
{
	struct sn_stats_gate count = {
		.waited = g->waited,
		.shed = g->shed,
		.waited_out = g->waited_out,
		.rate_limited = g->rate_limited,
		.in_flight = g->admission.in_flight,
		.pending = g->admission.pending,
		.budget = sn_budget_balance(&g->budget, now_ns),
		.limit = g->admission.concurrency ? sn_concurrency_limit(&g->concurrency) : 0,
	};

	return sn_stats_add_gate(into, service, &count);
}
