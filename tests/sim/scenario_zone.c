/* SPDX-License-Identifier: Apache-2.0 */
/* Three zones with four endpoints and a proxy each. First everybody stays at home; then what comes
 * in zone a is more than its endpoints can do; then zone b is gone, without a word: no packet of
 * its endpoints comes back, to its proxy or to others. */
#include <stdio.h>

#include "tests/sim/scenario.h"

#define SPAN_S 80
#define CROWDED_S 20
#define LOSS_S 40
#define FOUND_S (LOSS_S + 5)
#define ZONES 3
#define EACH 4
#define PER_S 1200 /* to each zone: less than half of what it can do, 3200 */
#define CROWD_PER_S 4000

static const char *const zones[ZONES] = {"a", "b", "c"};

/* Tries of zone a until the crowd, and in it. */
static void mark(struct sim_world *w, unsigned arg)
{
	w->marks[arg] = w->proxies[0].tries;
	w->marks[arg + 1] = w->proxies[0].near_tries;
}

static void lose(struct sim_world *w, unsigned arg)
{
	unsigned i;

	for (i = 0; i < EACH; i++)
		sim_server_vanish(&w->servers[arg * EACH + i]);
}

static struct sim_world *one(const struct sim_context *c, enum sn_balance_algorithm algorithm,
			     bool zoned)
{
	static const struct sim_server_settings server = {
		.mean_ms = 10, .sigma = 0.5, .slots = 8, .queue = 1000000};
	struct sim_world *w = sim_world_new(c->seed, SPAN_S, 1);
	struct sim_proxy_settings set;
	unsigned i, k;

	sim_policy_defaults(&set);
	set.policy.algorithm = algorithm;
	set.policy.prefer_own_zone = zoned;
	set.retry = sim_retry_503(2);
	set.request_timeout_ms = 2000;
	set.try_timeout_ms = 500;
	sim_world_servers(w, ZONES * EACH, &server);
	for (i = 0; i < ZONES; i++) {
		struct sim_proxy *p;

		set.zone = zones[i];
		p = sim_world_proxy(w, &set, 0, 0);
		for (k = 0; k < ZONES * EACH; k++)
			sim_proxy_add(p, &w->servers[k], NULL, zones[k / EACH]);
		sim_proxy_publish(p, ZONES * EACH);
		sim_world_rate(w, i, 0, PER_S);
	}
	sim_world_rate(w, 0, CROWDED_S, CROWD_PER_S);
	sim_world_rate(w, 0, LOSS_S - 2, PER_S);
	sim_world_at(w, CROWDED_S, mark, 0);
	sim_world_at(w, LOSS_S - 2, mark, 2);
	sim_world_at(w, LOSS_S, lose, 1);
	sim_world_run(w);
	return w;
}

static double near(const struct sim_world *w)
{
	return 100.0 * (double)w->marks[1] / (double)w->marks[0];
}

static double near_crowded(const struct sim_world *w)
{
	return 100.0 * (double)(w->marks[3] - w->marks[1]) / (double)(w->marks[2] - w->marks[0]);
}

static bool run(const struct sim_context *c)
{
	struct sim_run runs[] = {
		{"PeakEWMA", one(c, SN_BALANCE_PEAK_EWMA, true)},
		{"LeastRequest", one(c, SN_BALANCE_LEAST_REQUEST, true)},
		{"RoundRobin", one(c, SN_BALANCE_ROUND_ROBIN, true)},
		{"PeakEWMA, no zones", one(c, SN_BALANCE_PEAK_EWMA, false)},
	};
	const char *headings[] = {
		"",	    "near", "near, crowded", "p99", "p99, crowded", "at the loss",
		"after it", NULL};
	const struct sim_record *r = &runs[0].world->record;
	struct sim_table t;
	unsigned i;
	bool ok;

	sim_table_begin(&t, headings);
	for (i = 0; i < 4; i++) {
		const struct sim_record *q = &runs[i].world->record;

		sim_table_row(&t, runs[i].name, sim_percent(near(runs[i].world)),
			      sim_percent(near_crowded(runs[i].world)),
			      sim_ms(sim_record_quantile_ms(q, 0.99, 1, CROWDED_S)),
			      sim_ms(sim_record_quantile_ms(q, 0.99, CROWDED_S, LOSS_S)),
			      sim_percent(sim_record_success(q, LOSS_S, FOUND_S)),
			      sim_percent(sim_record_success(q, FOUND_S, SPAN_S)));
	}
	ok = sim_at_least("PeakEWMA: in its own zone (%)", near(runs[0].world), 95);
	ok = sim_at_least("own zone overloaded: success (%)",
			  sim_record_success(r, CROWDED_S, LOSS_S), 99.9) &&
	     ok;
	ok = sim_at_most("... and p99 (ms)", sim_record_quantile_ms(r, 0.99, CROWDED_S, LOSS_S),
			 4 * sim_record_quantile_ms(r, 0.99, 1, CROWDED_S)) &&
	     ok;
	ok = sim_at_least("5 s after a zone was lost: success (%)",
			  sim_record_success(r, FOUND_S, SPAN_S), 99.99) &&
	     ok;
	ok = sim_sound(runs, 4) && ok;
	sim_plot(c, &sim_zone, runs, 4);
	sim_runs_free(runs, 4);
	return ok;
}

const struct sim_scenario sim_zone = {
	"zone", "three zones; from 20 s too much comes in one, at 40 s another is gone", run};
