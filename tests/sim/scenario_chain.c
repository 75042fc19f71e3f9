/* SPDX-License-Identifier: Apache-2.0 */
/* Four services in a row, a proxy before each, and every one tries again. Behind the last is an
 * origin that fails: it must not see what all of them make of a request, but what one would. */
#include <stdio.h>

#include "tests/sim/scenario.h"

#define SPAN_S 30
#define HOPS 4
#define PER_S 1000
#define ATTEMPTS 2

struct how {
	bool hangs; /* the origin never answers; else 503 at once */
	bool no_marks, no_budget;
};

static struct sim_world *one(const struct sim_context *c, struct how how)
{
	static const struct sim_server_settings origin = {
		.mean_ms = 10, .slots = 8, .queue = 1000, .errors = 1};
	struct sim_world *w = sim_world_new(c->seed, SPAN_S, 1);
	struct sim_proxy_settings set;
	unsigned i, k;

	sim_policy_defaults(&set);
	set.retry = sim_retry_503(ATTEMPTS);
	set.no_marks = how.no_marks;
	set.no_budget = how.no_budget;
	set.try_timeout_ms = 200;
	sim_world_servers(w, 4, &origin);
	for (i = 0; i < 4; i++)
		w->servers[i].hanging = how.hangs;
	for (i = 0; i < HOPS; i++)
		sim_world_proxy(w, &set, 0, i + 1 < HOPS ? 0 : 4);
	for (i = 0; i + 1 < HOPS; i++) {
		for (k = 0; k < 2; k++) /* two, so that a breaker may eject one */
			sim_proxy_add(&w->proxies[i], NULL, &w->proxies[i + 1], NULL);
		sim_proxy_publish(&w->proxies[i], 2);
	}
	sim_world_rate(w, 0, 0, PER_S);
	sim_world_run(w);
	return w;
}

static double factor(const struct sim_world *w)
{
	return (double)sim_world_requests(w, 0, 4) /
	       (double)sim_record_offered_in(&w->record, 0, SPAN_S);
}

/* As of one budget, see scenario_failing.c. */
static double allowed(const struct sim_world *w)
{
	struct sn_budget_settings b;
	double intervals = SPAN_S * 1e9;

	sn_budget_defaults(&b);
	intervals = intervals / (double)b.interval_ns + 1;
	return 1 + b.percent / 100.0 +
	       intervals * b.min_per_second * (double)b.interval_ns / 1e9 /
		       (double)sim_record_offered_in(&w->record, 0, SPAN_S);
}

static bool run(const struct sim_context *c)
{
	struct sim_run runs[] = {
		{"503: marks and budgets", one(c, (struct how){false, false, false})},
		{"503: budgets only", one(c, (struct how){false, true, false})},
		{"503: naive", one(c, (struct how){false, true, true})},
		{"hangs: marks and budgets", one(c, (struct how){true, false, false})},
		{"hangs: budgets only", one(c, (struct how){true, true, false})},
		{"hangs: naive", one(c, (struct how){true, true, true})},
	};
	const char *headings[] = {"",	   "offered", "hop 2",	"hop 3",
				  "hop 4", "origin",  "factor", NULL};
	struct sim_table t;
	unsigned i;
	bool ok;

	sim_table_begin(&t, headings);
	for (i = 0; i < 6; i++) {
		const struct sim_world *w = runs[i].world;

		sim_table_row(&t, runs[i].name,
			      sim_count(sim_record_offered_in(&w->record, 0, SPAN_S)),
			      sim_count(w->proxies[0].tries), sim_count(w->proxies[1].tries),
			      sim_count(w->proxies[2].tries),
			      sim_count(sim_world_requests(w, 0, 4)), sim_number(factor(w)));
	}
	ok = sim_at_most("503: at the origin, of offered", factor(runs[0].world),
			 allowed(runs[0].world));
	ok = sim_at_most("hangs: at the origin, of offered", factor(runs[3].world),
			 allowed(runs[3].world)) &&
	     ok;
	ok = sim_sound(runs, 6) && ok;
	sim_runs_free(runs, 6);
	return ok;
}

const struct sim_scenario sim_chain = {
	"chain", "four proxies in a row, each tries twice more, before an origin that fails", run};
