/* SPDX-License-Identifier: Apache-2.0 */
/* Every latency of every bin is kept as a count, so that a quantile of any span is exact but for
 * the width of a bucket, and no run keeps a million numbers. */
#include "tests/sim/record.h"

#include <math.h>
#include <stdlib.h>

#include "tests/sim/clock.h"

#define SUB 64u
#define SUB_BITS 6u

static unsigned bucket_of(uint64_t us)
{
	unsigned shift, i;

	if (us < SUB)
		return (unsigned)us;
	shift = 63u - (unsigned)__builtin_clzll(us) - SUB_BITS;
	i = SUB * (shift + 1) + (unsigned)(us >> shift) - SUB;
	return i < SIM_HISTO ? i : SIM_HISTO - 1;
}

static double middle_us(unsigned bucket)
{
	unsigned shift = bucket / SUB;

	if (shift == 0)
		return bucket + 0.5;
	return ldexp(SUB + bucket % SUB + 0.5, (int)shift - 1);
}

void sim_record_init(struct sim_record *r, double span_s, double bin_s)
{
	r->bin_s = bin_s;
	r->n = (unsigned)ceil(span_s / bin_s - 1e-9);
	r->bins = sim_alloc(r->n * sizeof(*r->bins));
}

void sim_record_free(struct sim_record *r)
{
	free(r->bins);
	*r = (struct sim_record){0};
}

static struct sim_bin *bin_of(struct sim_record *r, uint64_t start_ns)
{
	unsigned i = (unsigned)((double)start_ns / 1e9 / r->bin_s);

	return &r->bins[i < r->n ? i : r->n - 1];
}

void sim_record_offered(struct sim_record *r, uint64_t start_ns)
{
	bin_of(r, start_ns)->offered++;
}

void sim_record_ended(struct sim_record *r, uint64_t start_ns, uint64_t end_ns, bool good)
{
	struct sim_bin *bin = bin_of(r, start_ns);

	if (good) {
		bin->good++;
		bin->latency[bucket_of((end_ns - start_ns) / SIM_US)]++;
	} else {
		bin->bad++;
	}
}

/* The bins that begin in the span. */
static void span(const struct sim_record *r, double from_s, double to_s, unsigned *ret_from,
		 unsigned *ret_to)
{
	double from = ceil(from_s / r->bin_s - 1e-6), to = ceil(to_s / r->bin_s - 1e-6);

	*ret_from = from < 0 ? 0 : (unsigned)from;
	*ret_to = to > r->n ? r->n : (unsigned)to;
}

double sim_record_quantile_ms(const struct sim_record *r, double q, double from_s, double to_s)
{
	uint64_t rank, seen = 0;
	unsigned from, to, i, k;

	span(r, from_s, to_s, &from, &to);
	rank = (uint64_t)ceil(q * (double)sim_record_good_in(r, from_s, to_s));
	for (k = 0; k < SIM_HISTO && rank; k++) {
		for (i = from; i < to; i++)
			seen += r->bins[i].latency[k];
		if (seen >= rank)
			return middle_us(k) / 1000;
	}
	return NAN;
}

uint64_t sim_record_offered_in(const struct sim_record *r, double from_s, double to_s)
{
	unsigned from, to;
	uint64_t sum = 0;

	for (span(r, from_s, to_s, &from, &to); from < to; from++)
		sum += r->bins[from].offered;
	return sum;
}

uint64_t sim_record_good_in(const struct sim_record *r, double from_s, double to_s)
{
	unsigned from, to;
	uint64_t sum = 0;

	for (span(r, from_s, to_s, &from, &to); from < to; from++)
		sum += r->bins[from].good;
	return sum;
}

double sim_record_success(const struct sim_record *r, double from_s, double to_s)
{
	uint64_t offered = sim_record_offered_in(r, from_s, to_s);

	return offered ? 100.0 * (double)sim_record_good_in(r, from_s, to_s) / (double)offered
		       : NAN;
}

double sim_record_well_from(const struct sim_record *r, double from_s, double percent)
{
	unsigned from, to, i;

	span(r, from_s, r->n * r->bin_s, &from, &to);
	for (i = to; i > from; i--)
		if (100.0 * r->bins[i - 1].good < percent * r->bins[i - 1].offered)
			break;
	return i * r->bin_s;
}
