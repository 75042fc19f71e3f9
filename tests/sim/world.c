/* SPDX-License-Identifier: Apache-2.0 */
/* Putting a run together and taking it apart again; and the clients. */
#include "tests/sim/world.h"

#include <stdlib.h>

#define DRAIN_NS (60 * SIM_S)

/* A request, as its client sees it. */
struct sim_ask {
	struct sim_call call;
	struct sim_event deadline;
	struct sim_load *load;
	uint64_t start_ns;
	struct sim_ask *next;
};

/* --- clients ------------------------------------------------------------------------------------
 */

static void end(struct sim_ask *a, bool good)
{
	struct sim_world *w = a->load->world;

	sim_cancel(&w->clock, &a->deadline);
	sim_record_ended(&w->record, a->start_ns, w->clock.now_ns, good);
	w->open--;
	a->next = a->load->unused;
	a->load->unused = a;
}

static void on_answer(struct sim_call *c, unsigned status, bool no_retry)
{
	(void)no_retry;
	end(sn_container_of(c, struct sim_ask, call), status == 200);
}

static void on_deadline(struct sim_event *ev)
{
	struct sim_ask *a = sn_container_of(ev, struct sim_ask, deadline);

	sim_proxy_cancel(&a->call);
	end(a, false);
}

static void ask(struct sim_load *l)
{
	struct sim_world *w = l->world;
	struct sim_ask *a = l->unused;

	if (a)
		l->unused = a->next;
	else
		a = sim_alloc(sizeof(*a));
	*a = (struct sim_ask){.call.answered = on_answer,
			      .deadline.fn = on_deadline,
			      .load = l,
			      .start_ns = w->clock.now_ns};
	sim_record_offered(&w->record, a->start_ns);
	w->open++;
	if (l->deadline_ms)
		sim_after(&w->clock, &a->deadline, l->deadline_ms * SIM_MS);
	sim_proxy_submit(l->proxy, &a->call);
}

/* When the next one comes: by the rate of the time, a change of which is met on the way. */
static void plan(struct sim_load *l)
{
	struct sim_world *w = l->world;
	double at_s = (double)w->clock.now_ns / 1e9, gap_s;
	unsigned i;

	for (i = 0; i < l->n_rates; i++) {
		bool last = i + 1 == l->n_rates;

		if (!last && at_s >= l->rates[i + 1].from_s)
			continue;
		if (at_s < l->rates[i].from_s)
			at_s = l->rates[i].from_s;
		gap_s = l->rates[i].per_s > 0 ? sim_exponential(&l->rng, 1 / l->rates[i].per_s)
					      : w->span_s;
		at_s += gap_s;
		if (last || at_s < l->rates[i + 1].from_s)
			break;
		at_s = l->rates[i + 1].from_s; /* memoryless: drawn anew there */
	}
	if (at_s < w->span_s)
		sim_after(&w->clock, &l->event, (uint64_t)(at_s * 1e9) - w->clock.now_ns);
}

static void on_load(struct sim_event *ev)
{
	struct sim_load *l = sn_container_of(ev, struct sim_load, event);

	ask(l);
	plan(l);
}

/* --- the world ----------------------------------------------------------------------------------
 */

struct sim_world *sim_world_new(uint64_t seed, double span_s, double bin_s)
{
	struct sim_world *w = sim_alloc(sizeof(*w));

	w->seed = seed;
	w->span_s = span_s;
	w->clock.now_ns = 1; /* 0 means never in many places */
	sn_rng_seed(&w->rng, seed);
	sim_record_init(&w->record, span_s, bin_s);
	return w;
}

void sim_world_free(struct sim_world *w)
{
	unsigned i;

	for (i = 0; i < w->n_servers; i++)
		sim_server_free(&w->servers[i]);
	for (i = 0; i < w->n_proxies; i++) {
		sim_proxy_free(&w->proxies[i]);
		while (w->loads[i].unused) {
			struct sim_ask *next = w->loads[i].unused->next;

			free(w->loads[i].unused);
			w->loads[i].unused = next;
		}
	}
	sim_record_free(&w->record);
	sim_clock_free(&w->clock);
	free(w);
}

void sim_world_servers(struct sim_world *w, unsigned n, const struct sim_server_settings *set)
{
	while (n--)
		sim_server_init(&w->servers[w->n_servers++], set, &w->clock, &w->rng);
}

struct sim_proxy *sim_world_proxy(struct sim_world *w, const struct sim_proxy_settings *set,
				  unsigned first, unsigned n)
{
	unsigned i = w->n_proxies++, k;
	struct sim_proxy *p = &w->proxies[i];
	struct sim_load *l = &w->loads[i];

	sim_proxy_init(p, set, &w->clock, w->seed * 1000 + i * 2);
	for (k = 0; k < n; k++)
		sim_proxy_add(p, &w->servers[first + k], NULL, NULL);
	if (n)
		sim_proxy_publish(p, n);
	*l = (struct sim_load){.event.fn = on_load, .world = w, .proxy = p};
	sn_rng_seed(&l->rng, ~w->seed * 1000 + i);
	return p;
}

void sim_world_rate(struct sim_world *w, unsigned i, double from_s, double per_s)
{
	struct sim_load *l = &w->loads[i];

	l->rates[l->n_rates].from_s = from_s;
	l->rates[l->n_rates++].per_s = per_s;
}

static void on_thing(struct sim_event *ev)
{
	struct sim_thing *t = sn_container_of(ev, struct sim_thing, event);

	t->fn(t->world, t->arg);
}

void sim_world_at(struct sim_world *w, double at_s, void (*fn)(struct sim_world *w, unsigned arg),
		  unsigned arg)
{
	struct sim_thing *t = &w->things[w->n_things++];

	*t = (struct sim_thing){.event.fn = on_thing, .world = w, .fn = fn, .arg = arg};
	sim_after(&w->clock, &t->event, (uint64_t)(at_s * 1e9));
}

void sim_world_run(struct sim_world *w)
{
	uint64_t end_ns = (uint64_t)(w->span_s * 1e9);
	unsigned i;

	for (i = 0; i < w->n_proxies; i++)
		if (w->loads[i].n_rates)
			plan(&w->loads[i]);
	w->events += sim_clock_run(&w->clock, end_ns);
	w->events += sim_clock_run(&w->clock, end_ns + DRAIN_NS);
}

uint64_t sim_world_requests(const struct sim_world *w, unsigned first_server, unsigned n)
{
	uint64_t sum = 0;

	while (n--)
		sum += w->servers[first_server++].requests;
	return sum;
}

uint64_t sim_world_silent(const struct sim_world *w)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < w->n_proxies; i++)
		sum += w->proxies[i].silent;
	return sum;
}
