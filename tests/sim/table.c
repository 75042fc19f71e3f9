/* SPDX-License-Identifier: Apache-2.0 */
/* Printing, kept apart from what is printed. */
#include "tests/sim/table.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void sim_table_begin(struct sim_table *t, const char *const *headings)
{
	t->n = 0;
	for (; headings[t->n] && t->n < SIM_COLUMNS_MAX; t->n++) {
		int n = (int)strlen(headings[t->n]);

		t->widths[t->n] = t->n ? (n < 9 ? 9 : n) : 26;
		printf(t->n ? "  %*s" : "  %-*s", t->widths[t->n], headings[t->n]);
	}
	putchar('\n');
}

void sim_table_row(const struct sim_table *t, ...)
{
	va_list ap;
	unsigned i;

	va_start(ap, t);
	for (i = 0; i < t->n; i++)
		printf(i ? "  %*s" : "  %-*s", t->widths[i], va_arg(ap, const char *));
	va_end(ap);
	putchar('\n');
}

static char *text(void)
{
	static char texts[16][32];
	static unsigned next;

	return texts[next++ % 16];
}

const char *sim_ms(double ms)
{
	char *s = text();

	if (isnan(ms))
		return "-";
	if (ms >= 1000)
		snprintf(s, 32, "%.1f s", ms / 1000);
	else
		snprintf(s, 32, ms < 10 ? "%.1f ms" : "%.0f ms", ms);
	return s;
}

const char *sim_percent(double v)
{
	char *s = text();

	if (isnan(v))
		return "-";
	/* 99.999 is not all of it. */
	snprintf(s, 32, "%.2f %%", v < 100 && v > 99.99 ? 99.99 : v);
	return s;
}

const char *sim_count(uint64_t n)
{
	char *s = text(), digits[24];
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n), i, k = 0;

	for (i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			s[k++] = ',';
		s[k++] = digits[i];
	}
	s[k] = 0;
	return s;
}

const char *sim_number(double v)
{
	char *s = text();

	snprintf(s, 32, "%.2f", v);
	return s;
}

static bool say(bool ok, const char *what, double value, const char *sign, double bound)
{
	printf("  %s  %s: %.6g %s %.6g\n", ok ? "ok    " : "MISSED", what, value, sign, bound);
	return ok;
}

bool sim_at_most(const char *what, double value, double bound)
{
	return say(value <= bound, what, value, "<=", bound);
}

bool sim_at_least(const char *what, double value, double bound)
{
	return say(value >= bound, what, value, ">=", bound);
}
