/* SPDX-License-Identifier: Apache-2.0 */
/* sim/scenario.h - what can happen to a service, each a function in a file of its own that makes
 * runs, prints a table, draws a picture and holds them against its bounds. */
#ifndef SIM_SCENARIO_H
#define SIM_SCENARIO_H

#include "tests/sim/svg.h"
#include "tests/sim/table.h"
#include "tests/sim/world.h"

struct sim_context {
	uint64_t seed;
	const char *dir; /* of pictures; NULL: none */
};

struct sim_scenario {
	const char *name, *what;
	bool (*run)(const struct sim_context *c); /* all bounds hold */
};

extern const struct sim_scenario sim_slow, sim_erring, sim_rolling, sim_failing, sim_crowd,
	sim_slowstart, sim_zone, sim_chain, sim_reconnect;

/* A run and what the table calls it. */
struct sim_run {
	const char *name;
	struct sim_world *world;
};

/* p99, success and what was answered per second, of @n runs, to DIR/NAME.svg. */
void sim_plot(const struct sim_context *c, const struct sim_scenario *s, const struct sim_run *runs,
	      unsigned n);
/* What holds in all runs: every request is answered, and nobody is ejected beyond what is allowed
 * or without a word. Says so. */
bool sim_sound(const struct sim_run *runs, unsigned n);
void sim_runs_free(struct sim_run *runs, unsigned n);

/* Settings that several use: GETs may be tried again @attempts times on 503, with the defaults'
 * budget and breaker. */
const struct sn_retry_policy *sim_retry_503(unsigned attempts);

#endif
