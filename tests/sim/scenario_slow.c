/* SPDX-License-Identifier: Apache-2.0 */
/* One of ten endpoints is a hundred times slower than the others: its disk, its neighbour, its
 * garbage collector. It answers everything, so no breaker will help. */
#include <stdio.h>

#include "tests/sim/scenario.h"

#define SPAN_S 60
#define SERVERS 10
#define PER_S 4000 /* half of what nine can do */

static const struct sim_server_settings sound = {
	.mean_ms = 10, .sigma = 0.5, .slots = 8, .queue = 100000};

static struct sim_world *one(const struct sim_context *c, enum sn_balance_algorithm algorithm,
			     bool slow)
{
	struct sim_world *w = sim_world_new(c->seed, SPAN_S, 1);
	struct sim_proxy_settings set;

	sim_policy_defaults(&set);
	set.request_timeout_ms = 10000;
	set.policy.algorithm = algorithm;
	sim_world_servers(w, SERVERS, &sound);
	if (slow)
		w->servers[3].set.mean_ms *= 100;
	sim_world_proxy(w, &set, 0, SERVERS);
	sim_world_rate(w, 0, 0, PER_S);
	sim_world_run(w);
	return w;
}

static bool run(const struct sim_context *c)
{
	struct sim_run runs[] = {
		{"PeakEWMA, none is slow", one(c, SN_BALANCE_PEAK_EWMA, false)},
		{"PeakEWMA", one(c, SN_BALANCE_PEAK_EWMA, true)},
		{"LeastRequest", one(c, SN_BALANCE_LEAST_REQUEST, true)},
		{"RoundRobin", one(c, SN_BALANCE_ROUND_ROBIN, true)},
	};
	const char *headings[] = {"", "p50", "p99", "p99.9", "success", "to the slow", NULL};
	double p99[4];
	struct sim_table t;
	unsigned i;
	bool ok;

	sim_table_begin(&t, headings);
	for (i = 0; i < 4; i++) {
		const struct sim_record *r = &runs[i].world->record;

		p99[i] = sim_record_quantile_ms(r, 0.99, 0, SPAN_S);
		sim_table_row(&t, runs[i].name, sim_ms(sim_record_quantile_ms(r, 0.5, 0, SPAN_S)),
			      sim_ms(p99[i]), sim_ms(sim_record_quantile_ms(r, 0.999, 0, SPAN_S)),
			      sim_percent(sim_record_success(r, 0, SPAN_S)),
			      sim_percent(100.0 * (double)runs[i].world->servers[3].requests /
					  (double)sim_record_offered_in(r, 0, SPAN_S)));
	}
	ok = sim_at_most("PeakEWMA: p99 of that without a slow one", p99[1] / p99[0], 1.5);
	ok = sim_at_most("... and p99.9",
			 sim_record_quantile_ms(&runs[1].world->record, 0.999, 0, SPAN_S) /
				 sim_record_quantile_ms(&runs[0].world->record, 0.999, 0, SPAN_S),
			 1.5) &&
	     ok;
	ok = sim_at_most("... and what goes to the slow one (%)",
			 100.0 * (double)runs[1].world->servers[3].requests /
				 (double)sim_record_offered_in(&runs[1].world->record, 0, SPAN_S),
			 0.05) &&
	     ok;
	ok = sim_sound(runs, 4) && ok;
	sim_plot(c, &sim_slow, runs, 4);
	sim_runs_free(runs, 4);
	return ok;
}

const struct sim_scenario sim_slow = {"slow", "one of ten endpoints is 100 times slower", run};
