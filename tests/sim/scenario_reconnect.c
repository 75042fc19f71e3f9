/* SPDX-License-Identifier: Apache-2.0 */
/* All endpoints go at once, with all connections, and come back after ten seconds: a hundred
 * proxies want to connect to each of ten. */
#include <stdio.h>

#include "tests/sim/scenario.h"

#define SPAN_S 50
#define AWAY_S 10
#define BACK_S 20
#define SERVERS 10
#define PROXIES 100
#define PER_S 40 /* to each proxy */
#define TICK_MS 100
#define RECOVERY_S 3

/* Dials are counted in each tenth of a second: the most in one while they are away, and from when
 * they are back. */
static uint64_t dials(const struct sim_world *w)
{
	uint64_t sum = 0;
	unsigned i;

	for (i = 0; i < w->n_proxies; i++)
		sum += w->proxies[i].dials;
	return sum;
}

static struct sim_world *watched;
static uint64_t before, most[2];

static void tick(struct sim_event *ev)
{
	struct sim_world *w = watched;
	uint64_t now = dials(w), n = now - before;
	unsigned back = w->clock.now_ns >= BACK_S * SIM_S + TICK_MS * SIM_MS;

	if (w->clock.now_ns >= (AWAY_S + 2) * SIM_S && n > most[back])
		most[back] = n;
	before = now;
	if (w->clock.now_ns < SPAN_S * SIM_S)
		sim_after(&w->clock, ev, TICK_MS * SIM_MS);
}

static void go(struct sim_world *w, unsigned arg)
{
	(void)arg;
	w->marks[0] = dials(w);
	for (unsigned i = 0; i < SERVERS; i++)
		sim_server_stop(&w->servers[i], false);
}

static void come(struct sim_world *w, unsigned arg)
{
	(void)arg;
	w->marks[1] = dials(w);
	for (unsigned i = 0; i < SERVERS; i++)
		sim_server_start(&w->servers[i]);
}

/* marks: dials until they went, until they came, the most per second away and back. */
static struct sim_world *one(const struct sim_context *c, enum sn_balance_algorithm algorithm,
			     bool redial, bool breaker)
{
	static const struct sim_server_settings server = {
		.mean_ms = 10, .sigma = 0.5, .slots = 8, .queue = 1000000};
	struct sim_world *w = sim_world_new(c->seed, SPAN_S, 0.5);
	struct sim_event ticker = {.fn = tick};
	struct sim_proxy_settings set;
	unsigned i;

	sim_policy_defaults(&set);
	set.policy.algorithm = algorithm;
	set.policy.breaker.on = breaker;
	set.no_redial = !redial;
	sim_world_servers(w, SERVERS, &server);
	for (i = 0; i < PROXIES; i++) {
		sim_world_proxy(w, &set, 0, SERVERS);
		sim_world_rate(w, i, 0, PER_S);
	}
	sim_world_at(w, AWAY_S, go, 0);
	sim_world_at(w, BACK_S, come, 0);
	watched = w;
	before = most[0] = most[1] = 0;
	sim_after(&w->clock, &ticker, TICK_MS * SIM_MS);
	sim_world_run(w);
	sim_cancel(&w->clock, &ticker);
	w->marks[2] = most[0] * 1000 / TICK_MS;
	w->marks[3] = most[1] * 1000 / TICK_MS;
	return w;
}

static bool run(const struct sim_context *c)
{
	struct sim_run runs[] = {
		{"PeakEWMA", one(c, SN_BALANCE_PEAK_EWMA, true, true)},
		{"LeastRequest", one(c, SN_BALANCE_LEAST_REQUEST, true, true)},
		{"RoundRobin", one(c, SN_BALANCE_ROUND_ROBIN, true, true)},
		{"PeakEWMA, no backoff", one(c, SN_BALANCE_PEAK_EWMA, false, true)},
		{"... and no breaker", one(c, SN_BALANCE_PEAK_EWMA, false, false)},
	};
	const char *headings[] = {
		"",  "dials, away", "most/s, away", "most/s, back", "well after", "p99 after it",
		NULL};
	struct sim_table t;
	unsigned i;
	bool ok;

	sim_table_begin(&t, headings);
	for (i = 0; i < 5; i++) {
		const struct sim_world *w = runs[i].world;

		sim_table_row(
			&t, runs[i].name, sim_count(w->marks[1] - w->marks[0]),
			sim_count(w->marks[2]), sim_count(w->marks[3]),
			sim_ms(1000 * (sim_record_well_from(&w->record, BACK_S, 100) - BACK_S)),
			sim_ms(sim_record_quantile_ms(&w->record, 0.99, BACK_S + RECOVERY_S,
						      SPAN_S)));
	}
	/* Each of the connections not more often than every half of the longest delay. */
	ok = sim_at_most("PeakEWMA: most dials per second while they are away",
			 (double)runs[0].world->marks[2],
			 PROXIES * SERVERS * 1000.0 / (SN_REDIAL_MAX_MS / 2));
	ok = sim_at_most("... and when they are back", (double)runs[0].world->marks[3],
			 PROXIES * SERVERS * 1000.0 / (SN_REDIAL_MAX_MS / 2)) &&
	     ok;
	ok = sim_at_most("all is well so long after they are back (s)",
			 sim_record_well_from(&runs[0].world->record, BACK_S, 100) - BACK_S,
			 RECOVERY_S) &&
	     ok;
	ok = sim_sound(runs, 5) && ok;
	sim_plot(c, &sim_reconnect, runs, 5);
	sim_runs_free(runs, 5);
	return ok;
}

const struct sim_scenario sim_reconnect = {
	"reconnect", "all endpoints are away from 10 s to 20 s, a hundred proxies want to connect",
	run};
