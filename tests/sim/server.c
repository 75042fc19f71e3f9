/* SPDX-License-Identifier: Apache-2.0 */
/* What a proxy knows of an endpoint is when answers come; so what is modelled is what moves that:
 * slots, a first-come-first-served queue, a distribution with a tail, warming up, failing fast,
 * failing slowly. */
#include "tests/sim/server.h"

#include <math.h>
#include <stdlib.h>

#define ERROR_NS (200 * SIM_US) /* what answering 503 at once takes */

struct sim_job {
	struct sim_event event;
	struct sn_list link;
	struct sim_server *server;
	struct sim_call *call; /* NULL: nobody waits for it */
	struct sim_job *next;
	unsigned status;
};

double sim_uniform(struct sn_rng *rng)
{
	return (double)((sn_rng_next(rng) >> 11) + 1) * 0x1p-53;
}

double sim_exponential(struct sn_rng *rng, double mean)
{
	return -mean * log(sim_uniform(rng));
}

void sim_server_init(struct sim_server *s, const struct sim_server_settings *set,
		     struct sim_clock *clock, struct sn_rng *rng)
{
	*s = (struct sim_server){.set = *set, .clock = clock, .rng = rng};
	sn_list_init(&s->working);
	sn_list_init(&s->queue);
}

static void free_jobs(struct sn_list *l)
{
	sn_list_each(l, it, tmp) free(sn_list_entry(it, struct sim_job, link));
	sn_list_init(l);
}

void sim_server_free(struct sim_server *s)
{
	free_jobs(&s->working);
	free_jobs(&s->queue);
	while (s->unused) {
		struct sim_job *next = s->unused->next;

		free(s->unused);
		s->unused = next;
	}
}

/* --- service times ------------------------------------------------------------------------------
 */

static double slowness(const struct sim_server *s)
{
	uint64_t age = s->clock->now_ns - s->start_ns;

	if (!s->start_ns || age >= s->set.warm_ns)
		return 1;
	return 1 + (s->set.cold - 1) * (1 - (double)age / (double)s->set.warm_ns);
}

static uint64_t service_ns(struct sim_server *s)
{
	double sigma = s->set.sigma, ms = s->set.mean_ms, normal;

	if (sigma > 0) { /* Box and Muller */
		normal = sqrt(-2 * log(sim_uniform(s->rng))) * cos(2 * M_PI * sim_uniform(s->rng));
		ms *= exp(sigma * normal - sigma * sigma / 2);
	} else {
		ms = sim_exponential(s->rng, ms);
	}
	return (uint64_t)(ms * slowness(s) * 1e6) + 1;
}

/* --- jobs ---------------------------------------------------------------------------------------
 */

static void drop(struct sim_job *j)
{
	struct sim_server *s = j->server;

	sn_list_del(&j->link);
	if (j->call)
		j->call->job = NULL;
	sim_cancel(s->clock, &j->event);
	j->next = s->unused;
	s->unused = j;
}

static void answer(struct sim_job *j, unsigned status)
{
	struct sim_call *call = j->call;

	drop(j);
	if (call)
		call->answered(call, status, false);
}

static void start_next(struct sim_server *s);

static void on_end(struct sim_event *ev)
{
	struct sim_job *j = sn_container_of(ev, struct sim_job, event);
	struct sim_server *s = j->server;

	if (j->status == 200)
		s->busy--;
	answer(j, j->status);
	start_next(s);
}

static void work(struct sim_job *j, unsigned status, uint64_t ns)
{
	struct sim_server *s = j->server;

	j->status = status;
	s->busy += status == 200;
	sn_list_push_back(&s->working, &j->link);
	sim_after(s->clock, &j->event, ns);
}

static void start_next(struct sim_server *s)
{
	while (s->busy < s->set.slots && !sn_list_empty(&s->queue)) {
		struct sim_job *j = sn_list_entry(sn_list_first(&s->queue), struct sim_job, link);

		sn_list_del(&j->link);
		s->queued--;
		work(j, 200, service_ns(s));
	}
}

static struct sim_job *new_job(struct sim_server *s, struct sim_call *call)
{
	struct sim_job *j = s->unused;

	if (j)
		s->unused = j->next;
	else
		j = sim_alloc(sizeof(*j));
	*j = (struct sim_job){.server = s, .call = call, .event.fn = on_end};
	call->job = j;
	return j;
}

void sim_server_submit(struct sim_server *s, struct sim_call *call)
{
	call->job = NULL;
	s->requests++;
	if (s->state == SIM_SILENT || s->hanging)
		return;
	if (s->set.errors > 0 && sim_uniform(s->rng) <= s->set.errors) {
		work(new_job(s, call), 503, ERROR_NS);
	} else if (s->busy < s->set.slots) {
		work(new_job(s, call), 200, service_ns(s));
	} else if (s->queued < s->set.queue) {
		s->queued++;
		sn_list_push_back(&s->queue, &new_job(s, call)->link);
	} else {
		work(new_job(s, call), 503, ERROR_NS);
	}
}

void sim_server_cancel(struct sim_call *call)
{
	struct sim_job *j = call->job;

	if (j)
		j->call = NULL;
	call->job = NULL;
}

/* --- states -------------------------------------------------------------------------------------
 */

static void lose(struct sn_list *jobs, bool tell)
{
	while (!sn_list_empty(jobs)) {
		struct sim_job *j = sn_list_entry(sn_list_first(jobs), struct sim_job, link);

		if (tell)
			answer(j, 0);
		else
			drop(j);
	}
}

static void lose_all(struct sim_server *s, bool tell)
{
	s->busy = s->queued = 0;
	lose(&s->working, tell);
	lose(&s->queue, tell);
}

void sim_server_stop(struct sim_server *s, bool drain)
{
	s->state = SIM_REFUSING;
	s->epoch++;
	if (!drain)
		lose_all(s, true);
}

void sim_server_start(struct sim_server *s)
{
	s->state = SIM_UP;
	s->start_ns = s->clock->now_ns;
}

void sim_server_vanish(struct sim_server *s)
{
	s->state = SIM_SILENT;
	lose_all(s, false);
}
