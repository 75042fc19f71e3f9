/* SPDX-License-Identifier: Apache-2.0 */
/* One of ten endpoints answers 503 at once. To whoever counts outstanding requests, or latency, it
 * is the best of all: idle and fast. */
#include <stdio.h>

#include "tests/sim/scenario.h"

#define SPAN_S 60
#define BREAKS_S 10
#define SERVERS 10
#define PER_S 4000

static void breaks(struct sim_world *w, unsigned arg)
{
	w->servers[arg].set.errors = 1;
	w->marks[0] = w->servers[arg].requests;
	w->marks[1] = w->proxies[0].tries;
}

static struct sim_world *one(const struct sim_context *c, enum sn_balance_algorithm algorithm,
			     bool breaker, unsigned attempts)
{
	static const struct sim_server_settings sound = {
		.mean_ms = 10, .sigma = 0.5, .slots = 8, .queue = 100000};
	struct sim_world *w = sim_world_new(c->seed, SPAN_S, 1);
	struct sim_proxy_settings set;

	sim_policy_defaults(&set);
	set.policy.algorithm = algorithm;
	set.policy.breaker.on = breaker;
	set.retry = attempts ? sim_retry_503(attempts) : NULL;
	sim_world_servers(w, SERVERS, &sound);
	sim_world_proxy(w, &set, 0, SERVERS);
	sim_world_rate(w, 0, 0, PER_S);
	sim_world_at(w, BREAKS_S, breaks, 3);
	sim_world_run(w);
	return w;
}

/* Tries that went to it since, of all, in per cent. */
static double share(const struct sim_world *w)
{
	return 100 * (double)(w->servers[3].requests - w->marks[0]) /
	       (double)(w->proxies[0].tries - w->marks[1]);
}

static bool run(const struct sim_context *c)
{
	struct sim_run runs[] = {
		{"PeakEWMA", one(c, SN_BALANCE_PEAK_EWMA, true, 2)},
		{"LeastRequest", one(c, SN_BALANCE_LEAST_REQUEST, true, 2)},
		{"RoundRobin", one(c, SN_BALANCE_ROUND_ROBIN, true, 2)},
		{"PeakEWMA, no breaker", one(c, SN_BALANCE_PEAK_EWMA, false, 2)},
		{"PeakEWMA, neither", one(c, SN_BALANCE_PEAK_EWMA, false, 0)},
	};
	const char *headings[] = {"", "success", "p99 before", "p99", "its share", NULL};
	struct sim_table t;
	const struct sim_record *r = &runs[0].world->record;
	unsigned i;
	bool ok;

	sim_table_begin(&t, headings);
	for (i = 0; i < 5; i++) {
		const struct sim_record *q = &runs[i].world->record;

		sim_table_row(&t, runs[i].name,
			      sim_percent(sim_record_success(q, BREAKS_S, SPAN_S)),
			      sim_ms(sim_record_quantile_ms(q, 0.99, 1, BREAKS_S)),
			      sim_ms(sim_record_quantile_ms(q, 0.99, BREAKS_S, SPAN_S)),
			      sim_percent(share(runs[i].world)));
	}
	ok = sim_at_least("PeakEWMA: success (%)", sim_record_success(r, BREAKS_S, SPAN_S), 99.9);
	ok = sim_at_most("its share of the tries (%)", share(runs[0].world), 0.5) && ok;
	ok = sim_at_most("p99 of that before",
			 sim_record_quantile_ms(r, 0.99, BREAKS_S, SPAN_S) /
				 sim_record_quantile_ms(r, 0.99, 1, BREAKS_S),
			 1.5) &&
	     ok;
	ok = sim_sound(runs, 5) && ok;
	sim_plot(c, &sim_erring, runs, 5);
	sim_runs_free(runs, 5);
	return ok;
}

const struct sim_scenario sim_erring = {
	"erring", "one of ten endpoints answers 503 at once, from 10 s on", run};
