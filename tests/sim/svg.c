/* SPDX-License-Identifier: Apache-2.0 */
/* A picture says when, where a table says how much. A few hundred lines of text that any browser
 * draws; no library. */
#include "tests/sim/svg.h"

#include <math.h>
#include <stdio.h>

#define LEFT 64
#define RIGHT 16
#define TOP 52
#define WIDTH 900
#define HEIGHT 150 /* of a panel */
#define GAP 28
#define TICKS 5

static const char *const colours[SIM_LINES_MAX] = {"#3d85c6", "#d98324", "#57a05b", "#b45fc0",
						   "#8a8a8a"};

/* A panel's axis: what is at its lower and upper edge, in logarithms if it is logarithmic. */
struct axis {
	double low, high;
	bool logarithmic;
	int top; /* px */
};

static double on_axis(const struct axis *a, double v)
{
	if (a->logarithmic)
		v = log10(v > 1e-9 ? v : 1e-9);
	v = (v - a->low) / (a->high - a->low);
	v = v < 0 ? 0 : v > 1 ? 1 : v;
	return a->top + HEIGHT * (1 - v);
}

static double nice_above(double v)
{
	double unit = pow(10, floor(log10(v > 0 ? v : 1)));
	static const double steps[] = {1, 2, 2.5, 5, 10};
	unsigned i;

	for (i = 0; i < 4 && steps[i] * unit < v; i++)
		;
	return steps[i] * unit;
}

static struct axis make_axis(const struct sim_picture *p, const struct sim_panel *panel, int top)
{
	struct axis a = {panel->low, panel->high, panel->logarithmic, top};
	double least = INFINITY, most = 0;
	unsigned i, k;

	for (k = 0; k < p->n_lines; k++)
		for (i = 0; i < p->n; i++) {
			double v = panel->values[k][i];

			if (isnan(v))
				continue;
			least = v < least ? v : least;
			most = v > most ? v : most;
		}
	if (panel->high > panel->low)
		return a;
	if (panel->logarithmic) {
		a.low = floor(log10(least > 1e-3 && !isinf(least) ? least : 1e-3));
		a.high = ceil(log10(most > 0 ? most : 1));
		if (a.high <= a.low)
			a.high = a.low + 1;
	} else {
		a.low = 0;
		a.high = nice_above(most);
	}
	return a;
}

static void grid_line(FILE *f, const struct axis *a, double v)
{
	double y = on_axis(a, v);

	fprintf(f,
		"<line class=\"g\" x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\"/>"
		"<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.6g</text>\n",
		LEFT, WIDTH - RIGHT, y, y, LEFT - 6, y + 4, v);
}

static void draw_axes(FILE *f, const struct sim_picture *p, const struct sim_panel *panel,
		      const struct axis *a)
{
	double span = p->n * p->step_s, step = nice_above(span / 12), v;
	int i;

	fprintf(f, "<text x=\"%d\" y=\"%d\" class=\"l\">%s</text>\n", LEFT, a->top - 7,
		panel->label);
	if (a->logarithmic)
		for (v = a->low; v <= a->high + 1e-9; v++)
			grid_line(f, a, pow(10, v));
	else
		for (i = 0; i <= TICKS; i++)
			grid_line(f, a, a->low + (a->high - a->low) * i / TICKS);
	for (v = 0; v <= span + 1e-9; v += step)
		fprintf(f, "<text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.6g%s</text>\n",
			LEFT + v / span * (WIDTH - LEFT - RIGHT), a->top + HEIGHT + 14, v,
			v == 0 ? " s" : "");
}

static void draw_line(FILE *f, const struct sim_picture *p, const struct sim_panel *panel,
		      const struct axis *a, unsigned k)
{
	bool open = false;
	unsigned i;

	fprintf(f, "<path stroke=\"%s\" d=\"", colours[k]);
	for (i = 0; i < p->n; i++) {
		double v = panel->values[k][i];

		if (!isnan(v))
			fprintf(f, "%c%.1f %.1f", open ? 'L' : 'M',
				LEFT + (i + 0.5) / p->n * (WIDTH - LEFT - RIGHT), on_axis(a, v));
		open = !isnan(v);
	}
	fprintf(f, "\"/>\n");
}

static void draw_legend(FILE *f, const struct sim_picture *p)
{
	int x = LEFT;
	unsigned k, n;

	for (k = 0; k < p->n_lines; k++) {
		for (n = 0; p->names[k][n]; n++)
			;
		fprintf(f,
			"<rect x=\"%d\" y=\"25\" width=\"14\" height=\"4\" fill=\"%s\"/>"
			"<text x=\"%d\" y=\"31\">%s</text>\n",
			x, colours[k], x + 19, p->names[k]);
		x += 36 + (int)n * 7;
	}
}

int sim_svg_write(const char *path, const struct sim_picture *p)
{
	int height = TOP + (int)p->n_panels * (HEIGHT + GAP + 14), top = TOP + 8;
	FILE *f = fopen(path, "w");
	unsigned i, k;

	if (!f)
		return -1;
	fprintf(f,
		"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" width=\"%d\">\n"
		"<style>text{font:12px sans-serif;fill:#808080}.t{font-weight:bold;font-size:14px}"
		".l{font-weight:bold}.g{stroke:#808080;stroke-opacity:.25}"
		"path{fill:none;stroke-width:1.6;stroke-linejoin:round}</style>\n"
		"<text x=\"%d\" y=\"16\" class=\"t\">%s</text>\n",
		WIDTH, height, WIDTH, LEFT, p->title);
	draw_legend(f, p);
	for (i = 0; i < p->n_panels; i++, top += HEIGHT + GAP + 14) {
		struct axis a = make_axis(p, &p->panels[i], top);

		draw_axes(f, p, &p->panels[i], &a);
		for (k = 0; k < p->n_lines; k++)
			draw_line(f, p, &p->panels[i], &a, k);
	}
	fprintf(f, "</svg>\n");
	return fclose(f);
}
