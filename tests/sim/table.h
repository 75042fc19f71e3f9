/* SPDX-License-Identifier: Apache-2.0 */
/* sim/table.h - what a scenario says: a table, and its bounds with what was measured. */
#ifndef SIM_TABLE_H
#define SIM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SIM_COLUMNS_MAX 8

struct sim_table {
	unsigned n;
	int widths[SIM_COLUMNS_MAX];
};

/* Headings, ended by NULL; the first column is the row's name. Their widths are the columns'. */
void sim_table_begin(struct sim_table *t, const char *const *headings);
/* As many texts as there are columns. */
void sim_table_row(const struct sim_table *t, ...);

/* Texts of numbers, in one of a few static buffers: good until the row is printed. */
const char *sim_ms(double ms);	   /* "0.42 ms", "41 ms", "1.7 s"; "-": NAN */
const char *sim_percent(double v); /* "99.97 %" */
const char *sim_count(uint64_t n); /* "12,345" */
const char *sim_number(double v);  /* "1.20" */

/* Says whether @value is at most (at least) @bound. Returns it. */
bool sim_at_most(const char *what, double value, double bound);
bool sim_at_least(const char *what, double value, double bound);

#endif
