/* SPDX-License-Identifier: Apache-2.0 */
/* What scenarios have in common. */
#include "tests/sim/scenario.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static void fill(const struct sim_record *r, struct sim_picture *p, unsigned line)
{
	unsigned i, k;

	for (k = 0; k < p->n_panels; k++)
		p->panels[k].values[line] = sim_alloc(p->n * sizeof(double));
	for (i = 0; i < p->n; i++) {
		double from = i * r->bin_s, to = from + r->bin_s;

		p->panels[0].values[line][i] = sim_record_quantile_ms(r, 0.99, from, to);
		p->panels[1].values[line][i] = sim_record_success(r, from, to);
		p->panels[2].values[line][i] = (double)r->bins[i].good / r->bin_s;
	}
}

void sim_plot(const struct sim_context *c, const struct sim_scenario *s, const struct sim_run *runs,
	      unsigned n)
{
	struct sim_picture p = {
		.title = s->what,
		.n_lines = n < SIM_LINES_MAX ? n : SIM_LINES_MAX,
		.panels = {{.label = "p99 latency (ms)", .logarithmic = true},
			   {.label = "success (%)", .high = 100},
			   {.label = "answered per second"}},
		.n_panels = 3,
		.n = runs[0].world->record.n,
		.step_s = runs[0].world->record.bin_s,
	};
	char path[512];
	unsigned i, k;

	if (!c->dir)
		return;
	for (i = 0; i < p.n_lines; i++) {
		p.names[i] = runs[i].name;
		fill(&runs[i].world->record, &p, i);
	}
	snprintf(path, sizeof(path), "%s/%s.svg", c->dir, s->name);
	if (sim_svg_write(path, &p))
		perror(path);
	for (k = 0; k < p.n_panels; k++)
		for (i = 0; i < p.n_lines; i++)
			free(p.panels[k].values[i]);
}

bool sim_sound(const struct sim_run *runs, unsigned n)
{
	uint64_t open = 0, silent = 0, requests = 0;
	unsigned i;
	bool ok;

	for (i = 0; i < n; i++, runs++) {
		requests += sim_record_offered_in(&runs->world->record, 0, runs->world->span_s);
		open += runs->world->open;
		silent += sim_world_silent(runs->world);
	}
	ok = sim_at_most("requests without an answer", (double)open, 0);
	ok = sim_at_most("ejections beyond the limit, or all in silence", (double)silent, 0) && ok;
	printf("  %s requests in %u runs", sim_count(requests), n);
	return ok;
}

void sim_runs_free(struct sim_run *runs, unsigned n)
{
	while (n--)
		sim_world_free(runs[n].world);
}

const struct sn_retry_policy *sim_retry_503(unsigned attempts)
{
	static struct sn_retry_policy policies[4];
	struct sn_retry_policy *p = &policies[attempts % 4];

	sn_retry_defaults(p);
	p->attempts = attempts;
	if (sn_retry_add_code(p, 503))
		abort();
	return p;
}
