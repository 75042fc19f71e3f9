/* SPDX-License-Identifier: Apache-2.0 */
/* base/metrics.h - latency histograms and the Prometheus text format (0.0.4). Counters are plain
 * integers of whoever owns them (per worker, summed when scraped); this is only how they are shown.
 */
#ifndef SN_BASE_METRICS_H
#define SN_BASE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"

/* Log-linear histogram of nanoseconds or any unit: 2^SUB_BITS sub-buckets per octave (error <=
 * 1/16), fixed size, O(1) record, mergeable. */
#define SN_HISTO_SUB_BITS 4
#define SN_HISTO_BUCKETS 640
struct sn_histo {
	uint64_t count;
	uint64_t sum;
	uint32_t buckets[SN_HISTO_BUCKETS];
};
void sn_histo_record(struct sn_histo *h, uint64_t value);
void sn_histo_merge(struct sn_histo *into, const struct sn_histo *from);
/* Value below which @percent (0..100) of the records lie; 0 when empty. */
uint64_t sn_histo_percentile(const struct sn_histo *h, double percent);
/* Number of records <= @value (to the bucket's precision). */
uint64_t sn_histo_count_le(const struct sn_histo *h, uint64_t value);

struct sn_metrics_label {
	const char *name;
	const char *value; /* escaped when written */
};

/* "# HELP" and "# TYPE" lines. @type: "counter" "gauge" "histogram". */
void sn_metrics_family(struct sn_buf *out, const char *name, const char *type, const char *help);
void sn_metrics_u64(struct sn_buf *out, const char *name, const struct sn_metrics_label *labels,
		    size_t n_labels, uint64_t value);
void sn_metrics_double(struct sn_buf *out, const char *name, const struct sn_metrics_label *labels,
		       size_t n_labels, double value);
/* _bucket lines for Linkerd's millisecond bounds (1 2 3 4 5 10 20 30 40 50 100 ... 50000 +Inf),
 * _sum (ms) and _count. @h is in nanoseconds. */
void sn_metrics_latency_ms(struct sn_buf *out, const char *name,
			   const struct sn_metrics_label *labels, size_t n_labels,
			   const struct sn_histo *h);
/* process_* family: cpu seconds, resident bytes, open fds, start time. */
void sn_metrics_process(struct sn_buf *out);

#endif
