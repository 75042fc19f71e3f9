/* SPDX-License-Identifier: Apache-2.0 */
/* A flash crowd: for half a minute three times as much as the endpoints can do. Clients wait for a
 * third of a second. Endpoints queue all they get, and work on what nobody waits for any more, so
 * that without a limit they are busy with the past for long after. */
#include <stdio.h>

#include "tests/sim/scenario.h"

#define BEGIN_S 15
#define END_S 45
#define LONG_END_S 135
#define AFTER_S 30
#define SERVERS 10
#define PROXIES 4
#define CAPACITY_PER_S 4000 /* ten of four slots and 10 ms */
#define PATIENCE_MS 300

struct how {
	enum sn_balance_algorithm algorithm;
	bool adaptive;
	bool aborts; /* the client goes; else the proxy ends it, by timeouts.request */
	double end_s;
};

static struct sim_world *one(const struct sim_context *c, struct how how)
{
	static const struct sim_server_settings server = {
		.mean_ms = 10, .sigma = 0.5, .slots = 4, .queue = 1000000};
	struct sim_world *w = sim_world_new(c->seed, how.end_s + AFTER_S, 1);
	struct sim_proxy_settings set;
	unsigned i;

	sim_policy_defaults(&set);
	set.policy.algorithm = how.algorithm;
	set.policy.adaptive = how.adaptive;
	set.request_timeout_ms = how.aborts ? 0 : PATIENCE_MS;
	sim_world_servers(w, SERVERS, &server);
	for (i = 0; i < PROXIES; i++) {
		sim_world_proxy(w, &set, 0, SERVERS);
		w->loads[i].deadline_ms = how.aborts ? PATIENCE_MS : 0;
		sim_world_rate(w, i, 0, 0.5 * CAPACITY_PER_S / PROXIES);
		sim_world_rate(w, i, BEGIN_S, 3.0 * CAPACITY_PER_S / PROXIES);
		sim_world_rate(w, i, how.end_s, 0.5 * CAPACITY_PER_S / PROXIES);
	}
	sim_world_run(w);
	return w;
}

static double end_s(const struct sim_world *w)
{
	return w->span_s - AFTER_S;
}

static double goodput(const struct sim_world *w)
{
	return 100.0 * (double)sim_record_good_in(&w->record, BEGIN_S, end_s(w)) /
	       ((end_s(w) - BEGIN_S) * CAPACITY_PER_S);
}

static double recovery_s(const struct sim_world *w)
{
	return sim_record_well_from(&w->record, end_s(w), 99.9) - end_s(w);
}

static bool run(const struct sim_context *c)
{
	struct sim_run runs[] = {
		{"adaptive, PeakEWMA",
		 one(c, (struct how){SN_BALANCE_PEAK_EWMA, true, false, END_S})},
		{"adaptive, clients go",
		 one(c, (struct how){SN_BALANCE_PEAK_EWMA, true, true, END_S})},
		{"adaptive, LeastRequest",
		 one(c, (struct how){SN_BALANCE_LEAST_REQUEST, true, false, END_S})},
		{"adaptive, RoundRobin",
		 one(c, (struct how){SN_BALANCE_ROUND_ROBIN, true, false, END_S})},
		{"no limit", one(c, (struct how){SN_BALANCE_PEAK_EWMA, false, false, END_S})},
		{"two minutes, clients go",
		 one(c, (struct how){SN_BALANCE_PEAK_EWMA, true, true, LONG_END_S})},
	};
	const char *headings[] = {"", "goodput", "p99 before", "p99 in it", "well after", NULL};
	struct sim_table t;
	unsigned i;
	bool ok = true;

	sim_table_begin(&t, headings);
	for (i = 0; i < 6; i++) {
		const struct sim_world *w = runs[i].world;

		sim_table_row(&t, runs[i].name, sim_percent(goodput(w)),
			      sim_ms(sim_record_quantile_ms(&w->record, 0.99, 1, BEGIN_S)),
			      sim_ms(sim_record_quantile_ms(&w->record, 0.99, BEGIN_S, end_s(w))),
			      recovery_s(w) < AFTER_S ? sim_ms(recovery_s(w) * 1000) : "never");
	}
	for (i = 0; i < 6; i++) {
		if (i > 1 && i < 5)
			continue;
		printf("  %s\n", runs[i].name);
		ok = sim_at_least("answered in time, of capacity (%)", goodput(runs[i].world),
				  80) &&
		     ok;
		ok = sim_at_most("all is well so long after the crowd (s)",
				 recovery_s(runs[i].world), 5) &&
		     ok;
	}
	ok = sim_sound(runs, 6) && ok;
	sim_plot(c, &sim_crowd, runs, 5);
	sim_runs_free(runs, 6);
	return ok;
}

const struct sim_scenario sim_crowd = {
	"crowd", "three times the capacity from 15 s to 45 s, clients wait for 300 ms", run};
