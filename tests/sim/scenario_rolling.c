/* SPDX-License-Identifier: Apache-2.0 */
/* A rolling restart, as it looks to a proxy that nobody tells: one endpoint after the other ends
 * its connections in order, refuses new ones for some seconds, and comes back cold. */
#include <stdio.h>

#include "tests/sim/scenario.h"

#define SPAN_S 80
#define BEGIN_S 10
#define EVERY_S 6
#define AWAY_S 4
#define SERVERS 10
#define PER_S 6000

static void stop(struct sim_world *w, unsigned arg)
{
	sim_server_stop(&w->servers[arg], true);
}

static void start(struct sim_world *w, unsigned arg)
{
	sim_server_start(&w->servers[arg]);
}

static struct sim_world *one(const struct sim_context *c, enum sn_balance_algorithm algorithm,
			     bool breaker)
{
	static const struct sim_server_settings sound = {.mean_ms = 10,
							 .sigma = 0.5,
							 .slots = 8,
							 .queue = 100000,
							 .cold = 10,
							 .warm_ns = 5 * SIM_S};
	struct sim_world *w = sim_world_new(c->seed, SPAN_S, 1);
	struct sim_proxy_settings set;
	unsigned i;

	sim_policy_defaults(&set);
	set.policy.algorithm = algorithm;
	set.policy.breaker.on = breaker;
	sim_world_servers(w, SERVERS, &sound);
	sim_world_proxy(w, &set, 0, SERVERS);
	sim_world_rate(w, 0, 0, PER_S);
	for (i = 0; i < SERVERS; i++) {
		sim_world_at(w, BEGIN_S + i * EVERY_S, stop, i);
		sim_world_at(w, BEGIN_S + i * EVERY_S + AWAY_S, start, i);
	}
	sim_world_run(w);
	return w;
}

static bool run(const struct sim_context *c)
{
	struct sim_run runs[] = {
		{"PeakEWMA", one(c, SN_BALANCE_PEAK_EWMA, true)},
		{"LeastRequest", one(c, SN_BALANCE_LEAST_REQUEST, true)},
		{"RoundRobin", one(c, SN_BALANCE_ROUND_ROBIN, true)},
		{"PeakEWMA, no breaker", one(c, SN_BALANCE_PEAK_EWMA, false)},
		{"RoundRobin, no breaker", one(c, SN_BALANCE_ROUND_ROBIN, false)},
	};
	const char *headings[] = {"", "success", "p99 before", "p99", "p99.9", "tries", NULL};
	const struct sim_record *r = &runs[0].world->record;
	struct sim_table t;
	unsigned i;
	bool ok;

	sim_table_begin(&t, headings);
	for (i = 0; i < 5; i++) {
		const struct sim_record *q = &runs[i].world->record;

		sim_table_row(&t, runs[i].name, sim_percent(sim_record_success(q, BEGIN_S, SPAN_S)),
			      sim_ms(sim_record_quantile_ms(q, 0.99, 1, BEGIN_S)),
			      sim_ms(sim_record_quantile_ms(q, 0.99, BEGIN_S, SPAN_S)),
			      sim_ms(sim_record_quantile_ms(q, 0.999, BEGIN_S, SPAN_S)),
			      sim_count(runs[i].world->proxies[0].tries));
	}
	ok = sim_at_least("PeakEWMA: success (%)", sim_record_success(r, BEGIN_S, SPAN_S), 100);
	ok = sim_at_most("p99 of that before",
			 sim_record_quantile_ms(r, 0.99, BEGIN_S, SPAN_S) /
				 sim_record_quantile_ms(r, 0.99, 1, BEGIN_S),
			 1.5) &&
	     ok;
	ok = sim_sound(runs, 5) && ok;
	sim_plot(c, &sim_rolling, runs, 5);
	sim_runs_free(runs, 5);
	return ok;
}

const struct sim_scenario sim_rolling = {
	"rolling",
	"ten endpoints restart one after the other, each refuses for 4 s and comes back cold", run};
