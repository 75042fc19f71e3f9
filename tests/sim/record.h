/* SPDX-License-Identifier: Apache-2.0 */
/* sim/record.h - what came of the requests, by the time at which they came: counts and latencies in
 * bins, so that any span of the run can be looked at afterwards. */
#ifndef SIM_RECORD_H
#define SIM_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#define SIM_HISTO 1536 /* log-linear in us, 64 to the octave: 1.6 % */

struct sim_bin {
	uint32_t offered, good, bad;
	uint32_t latency[SIM_HISTO]; /* of the good ones */
};

struct sim_record {
	double bin_s;
	unsigned n;
	struct sim_bin *bins;
};

void sim_record_init(struct sim_record *r, double span_s, double bin_s);
void sim_record_free(struct sim_record *r);
void sim_record_offered(struct sim_record *r, uint64_t start_ns);
void sim_record_ended(struct sim_record *r, uint64_t start_ns, uint64_t end_ns, bool good);

/* Of the requests that came in [from_s, to_s). */
double sim_record_quantile_ms(const struct sim_record *r, double q, double from_s, double to_s);
uint64_t sim_record_offered_in(const struct sim_record *r, double from_s, double to_s);
uint64_t sim_record_good_in(const struct sim_record *r, double from_s, double to_s);
/* In per cent of those that were offered. */
double sim_record_success(const struct sim_record *r, double from_s, double to_s);
/* The start of the first bin from @from_s on from which every bin has at least @percent; the span's
 * end when there is none. */
double sim_record_well_from(const struct sim_record *r, double from_s, double percent);

#endif
