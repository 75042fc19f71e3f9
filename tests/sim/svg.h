/* SPDX-License-Identifier: Apache-2.0 */
/* sim/svg.h - lines over time as SVG: panels one below the other on one time axis. No background,
 * and colours that can be read on white and on black. */
#ifndef SIM_SVG_H
#define SIM_SVG_H

#include <stdbool.h>

#define SIM_LINES_MAX 5
#define SIM_PANELS_MAX 3

struct sim_panel {
	const char *label; /* with the unit */
	bool logarithmic;
	double low, high;	       /* of the axis; both 0: as the values are */
	double *values[SIM_LINES_MAX]; /* n each; NAN: a gap */
};

struct sim_picture {
	const char *title;
	const char *names[SIM_LINES_MAX]; /* of the lines, the same in all panels */
	unsigned n_lines;
	struct sim_panel panels[SIM_PANELS_MAX];
	unsigned n_panels;
	unsigned n; /* points */
	double step_s;
};

/* Returns 0, or -1 with errno. */
int sim_svg_write(const char *path, const struct sim_picture *p);

#endif
