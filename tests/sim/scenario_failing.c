/* SPDX-License-Identifier: Apache-2.0 */
/* All endpoints fail, and every answer may be tried again. What arrives at them then must not be a
 * multiple of what was asked. And where those that are sound leave the set, so that all that is
 * left is ejected, requests are told so, or with panic are tried nonetheless. */
#include <stdio.h>

#include "tests/sim/scenario.h"

#define SPAN_S 30
#define SERVERS 10
#define PER_S 3000
#define ATTEMPTS 2
#define LEAVE_S 15

static void sound_leave(struct sim_world *w, unsigned arg)
{
	w->marks[0] = sim_world_requests(w, 0, SERVERS);
	sim_proxy_publish(&w->proxies[0], arg);
}

static struct sim_world *one(const struct sim_context *c, const struct sim_proxy_settings *set,
			     unsigned n_failing)
{
	static const struct sim_server_settings failing = {
		.mean_ms = 10, .slots = 8, .queue = 1000, .errors = 1};
	struct sim_world *w = sim_world_new(c->seed, SPAN_S, 1);
	unsigned i;

	sim_world_servers(w, SERVERS, &failing);
	for (i = n_failing; i < SERVERS; i++)
		w->servers[i].set.errors = 0;
	sim_world_proxy(w, set, 0, SERVERS);
	sim_world_rate(w, 0, 0, PER_S);
	if (n_failing < SERVERS)
		sim_world_at(w, LEAVE_S, sound_leave, n_failing);
	sim_world_run(w);
	return w;
}

static struct sim_world *all_fail(const struct sim_context *c, enum sn_balance_algorithm algorithm,
				  bool budget)
{
	struct sim_proxy_settings set;

	sim_policy_defaults(&set);
	set.policy.algorithm = algorithm;
	set.no_budget = !budget;
	set.retry = sim_retry_503(ATTEMPTS);
	return one(c, &set, SERVERS);
}

static struct sim_world *half_leave(const struct sim_context *c, bool panic)
{
	struct sim_proxy_settings set;

	sim_policy_defaults(&set);
	set.policy.breaker.panic = panic;
	set.retry = sim_retry_503(ATTEMPTS);
	return one(c, &set, SERVERS / 2);
}

/* What the budget says: percent of the requests, and its reserve once for each interval, begun ones
 * included. */
static double allowed(const struct sim_world *w)
{
	struct sn_budget_settings b;
	double intervals = SPAN_S * 1e9;

	sn_budget_defaults(&b);
	intervals = intervals / (double)b.interval_ns + 1;
	return (1 + b.percent / 100.0) * (double)sim_record_offered_in(&w->record, 0, SPAN_S) +
	       intervals * b.min_per_second * (double)b.interval_ns / 1e9;
}

static bool run(const struct sim_context *c)
{
	struct sim_run runs[] = {
		{"PeakEWMA", all_fail(c, SN_BALANCE_PEAK_EWMA, true)},
		{"LeastRequest", all_fail(c, SN_BALANCE_LEAST_REQUEST, true)},
		{"RoundRobin", all_fail(c, SN_BALANCE_ROUND_ROBIN, true)},
		{"PeakEWMA, no budget", all_fail(c, SN_BALANCE_PEAK_EWMA, false)},
		{"the sound half leaves", half_leave(c, false)},
		{"... with panic", half_leave(c, true)},
	};
	const char *headings[] = {"",		"offered",	 "at endpoints",
				  "of offered", "told: ejected", NULL};
	const struct sim_world *told = runs[4].world;
	struct sim_table t;
	unsigned i;
	bool ok = true;

	sim_table_begin(&t, headings);
	for (i = 0; i < 6; i++) {
		uint64_t offered = sim_record_offered_in(&runs[i].world->record, 0, SPAN_S);
		uint64_t seen = sim_world_requests(runs[i].world, 0, SERVERS);

		sim_table_row(&t, runs[i].name, sim_count(offered), sim_count(seen),
			      sim_number((double)seen / (double)offered),
			      sim_count(runs[i].world->proxies[0].all_ejected));
	}
	for (i = 0; i < 6; i++)
		if (i != 3) {
			printf("  %s\n", runs[i].name);
			ok = sim_at_most("requests at endpoints, of what is allowed",
					 (double)sim_world_requests(runs[i].world, 0, SERVERS) /
						 allowed(runs[i].world),
					 1) &&
			     ok;
		}
	ok = sim_at_least("all ejected: told so, of those that came then (%)",
			  100.0 * (double)told->proxies[0].all_ejected /
				  (double)sim_record_offered_in(&told->record, LEAVE_S, SPAN_S),
			  99) &&
	     ok;
	ok = sim_at_least("... with panic: tried (%)",
			  100.0 *
				  (double)(sim_world_requests(runs[5].world, 0, SERVERS) -
					   runs[5].world->marks[0]) /
				  (double)sim_record_offered_in(&told->record, LEAVE_S, SPAN_S),
			  99) &&
	     ok;
	ok = sim_sound(runs, 6) && ok;
	sim_plot(c, &sim_failing, runs, 4);
	sim_runs_free(runs, 6);
	return ok;
}

const struct sim_scenario sim_failing = {
	"failing", "all ten endpoints answer 503, every request may be tried twice more", run};
