/* SPDX-License-Identifier: Apache-2.0 */
/* A service scales up under load: five endpoints get five more, which are ten times slower at first
 * (caches, compilers, connections of their own) and warm after ten seconds. */
#include <stdio.h>

#include "tests/sim/scenario.h"

#define SPAN_S 60
#define JOIN_S 20
#define WARM_S 10
#define BEFORE 5
#define AFTER 10
#define PER_S 3000 /* three quarters of what five can do */

static void join(struct sim_world *w, unsigned arg)
{
	unsigned i;

	for (i = BEFORE; i < arg; i++)
		sim_server_start(&w->servers[i]);
	sim_proxy_publish(&w->proxies[0], arg);
}

static struct sim_world *one(const struct sim_context *c, enum sn_balance_algorithm algorithm,
			     bool slow_start)
{
	static const struct sim_server_settings server = {.mean_ms = 10,
							  .sigma = 0.5,
							  .slots = 8,
							  .queue = 1000000,
							  .cold = 10,
							  .warm_ns = WARM_S * SIM_S};
	struct sim_world *w = sim_world_new(c->seed, SPAN_S, 1);
	struct sim_proxy_settings set;

	sim_policy_defaults(&set);
	set.policy.algorithm = algorithm;
	set.policy.slow_start_ms = slow_start ? WARM_S * 1000 : 0;
	sim_world_servers(w, AFTER, &server);
	sim_world_proxy(w, &set, 0, AFTER);
	sim_proxy_publish(&w->proxies[0], 0);
	sim_proxy_publish(&w->proxies[0], BEFORE);
	sim_world_rate(w, 0, 0, PER_S);
	sim_world_at(w, JOIN_S, join, AFTER);
	sim_world_run(w);
	return w;
}

/* While they warm up. */
static double warming_ms(const struct sim_run *run, double q)
{
	return sim_record_quantile_ms(&run->world->record, q, JOIN_S, JOIN_S + WARM_S);
}

static bool run(const struct sim_context *c)
{
	struct sim_run runs[] = {
		{"PeakEWMA, slow start", one(c, SN_BALANCE_PEAK_EWMA, true)},
		{"PeakEWMA, none", one(c, SN_BALANCE_PEAK_EWMA, false)},
		{"RoundRobin, slow start", one(c, SN_BALANCE_ROUND_ROBIN, true)},
		{"RoundRobin, none", one(c, SN_BALANCE_ROUND_ROBIN, false)},
		{"LeastRequest, slow start", one(c, SN_BALANCE_LEAST_REQUEST, true)},
		{"LeastRequest, none", one(c, SN_BALANCE_LEAST_REQUEST, false)},
	};
	const char *headings[] = {"",	       "p99 before", "p99 warming", "p99.9 warming",
				  "p99 after", NULL};
	double before = sim_record_quantile_ms(&runs[0].world->record, 0.99, 1, JOIN_S);
	struct sim_table t;
	unsigned i;
	bool ok;

	sim_table_begin(&t, headings);
	for (i = 0; i < 6; i++) {
		const struct sim_record *r = &runs[i].world->record;

		sim_table_row(&t, runs[i].name, sim_ms(sim_record_quantile_ms(r, 0.99, 1, JOIN_S)),
			      sim_ms(warming_ms(&runs[i], 0.99)),
			      sim_ms(warming_ms(&runs[i], 0.999)),
			      sim_ms(sim_record_quantile_ms(r, 0.99, JOIN_S + WARM_S + 5, SPAN_S)));
	}
	/* Whoever warms one up waits ten times as long: that these are more than one in a hundred
	 * is what a tenth of the weight costs. */
	ok = sim_at_most("PeakEWMA with slow start: p99 while warming, of that before",
			 warming_ms(&runs[0], 0.99) / before, 5);
	ok = sim_at_most("... of that without slow start",
			 warming_ms(&runs[0], 0.99) / warming_ms(&runs[1], 0.99), 0.25) &&
	     ok;
	ok = sim_at_most("RoundRobin: p99 with slow start, of that without",
			 warming_ms(&runs[2], 0.99) / warming_ms(&runs[3], 0.99), 0.5) &&
	     ok;
	ok = sim_sound(runs, 6) && ok;
	sim_plot(c, &sim_slowstart, runs, 4);
	sim_runs_free(runs, 6);
	return ok;
}

const struct sim_scenario sim_slowstart = {
	"slowstart", "five endpoints get five more at 20 s, ten times slower until they are warm",
	run};
