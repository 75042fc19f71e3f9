/* SPDX-License-Identifier: Apache-2.0 */
/* Histograms and the text that Prometheus reads. */
#include "base/metrics.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define SUB (1u << SN_HISTO_SUB_BITS)

static unsigned bucket_of(uint64_t v)
{
	unsigned top, index;

	if (v < SUB)
		return (unsigned)v;
	top = 63u - (unsigned)__builtin_clzll(v);
	index = (top - SN_HISTO_SUB_BITS + 1) * SUB +
		(unsigned)((v >> (top - SN_HISTO_SUB_BITS)) & (SUB - 1));
	return index < SN_HISTO_BUCKETS ? index : SN_HISTO_BUCKETS - 1;
}

/* Largest value that falls into the bucket. */
static uint64_t bucket_top(unsigned index)
{
	unsigned octave = index / SUB, sub = index % SUB;

	if (octave == 0)
		return index;
	return (((uint64_t)(SUB + sub) + 1) << (octave - 1)) - 1;
}

void sn_histo_record(struct sn_histo *h, uint64_t value)
{
	h->count++;
	h->sum += value;
	h->buckets[bucket_of(value)]++;
}

void sn_histo_merge(struct sn_histo *into, const struct sn_histo *from)
{
	unsigned i;

	into->count += from->count;
	into->sum += from->sum;
	for (i = 0; i < SN_HISTO_BUCKETS; i++)
		into->buckets[i] += from->buckets[i];
}

uint64_t sn_histo_percentile(const struct sn_histo *h, double percent)
{
	double want = (double)h->count * percent / 100.0;
	uint64_t seen = 0;
	unsigned i;

	if (h->count == 0)
		return 0;
	for (i = 0; i < SN_HISTO_BUCKETS; i++) {
		seen += h->buckets[i];
		if (seen && (double)seen >= want)
			return bucket_top(i);
	}
	return bucket_top(SN_HISTO_BUCKETS - 1);
}

uint64_t sn_histo_count_le(const struct sn_histo *h, uint64_t value)
{
	uint64_t seen = 0;
	unsigned i;

	for (i = 0; i < SN_HISTO_BUCKETS && bucket_top(i) <= value; i++)
		seen += h->buckets[i];
	return seen;
}

void sn_metrics_family(struct sn_buf *out, const char *name, const char *type, const char *help)
{
	sn_buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

static void put_name(struct sn_buf *out, const char *name, const char *suffix,
		     const struct sn_metrics_label *labels, size_t n_labels, const char *le)
{
	size_t i;
	const char *p;

	sn_buf_printf(out, "%s%s", name, suffix);
	if (n_labels || le)
		sn_buf_putc(out, '{');
	for (i = 0; i < n_labels; i++) {
		sn_buf_printf(out, "%s%s=\"", i ? "," : "", labels[i].name);
		for (p = labels[i].value ? labels[i].value : ""; *p; p++) {
			if (*p == '\\' || *p == '"')
				sn_buf_putc(out, '\\');
			if (*p == '\n')
				sn_buf_puts(out, "\\n");
			else
				sn_buf_putc(out, *p);
		}
		sn_buf_putc(out, '"');
	}
	if (le)
		sn_buf_printf(out, "%sle=\"%s\"", n_labels ? "," : "", le);
	if (n_labels || le)
		sn_buf_putc(out, '}');
	sn_buf_putc(out, ' ');
}

void sn_metrics_u64(struct sn_buf *out, const char *name, const struct sn_metrics_label *labels,
		    size_t n_labels, uint64_t value)
{
	put_name(out, name, "", labels, n_labels, NULL);
	sn_buf_printf(out, "%llu\n", (unsigned long long)value);
}

void sn_metrics_double(struct sn_buf *out, const char *name, const struct sn_metrics_label *labels,
		       size_t n_labels, double value)
{
	put_name(out, name, "", labels, n_labels, NULL);
	sn_buf_printf(out, "%.15g\n", value);
}

void sn_metrics_latency_ms(struct sn_buf *out, const char *name,
			   const struct sn_metrics_label *labels, size_t n_labels,
			   const struct sn_histo *h)
{
	static const unsigned steps[] = {1, 2, 3, 4, 5};
	uint64_t scale;
	size_t i;
	char le[24];

	for (scale = 1; scale <= 10000; scale *= 10)
		for (i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
			uint64_t ms = steps[i] * scale;

			snprintf(le, sizeof(le), "%llu", (unsigned long long)ms);
			put_name(out, name, "_bucket", labels, n_labels, le);
			sn_buf_printf(out, "%llu\n",
				      (unsigned long long)sn_histo_count_le(h, ms * 1000000u));
		}
	put_name(out, name, "_bucket", labels, n_labels, "+Inf");
	sn_buf_printf(out, "%llu\n", (unsigned long long)h->count);
	put_name(out, name, "_sum", labels, n_labels, NULL);
	sn_buf_printf(out, "%.15g\n", (double)h->sum / 1e6);
	put_name(out, name, "_count", labels, n_labels, NULL);
	sn_buf_printf(out, "%llu\n", (unsigned long long)h->count);
}

static uint64_t count_fds(void)
{
	DIR *d = opendir("/proc/self/fd");
	uint64_t n = 0;

	if (!d)
		return 0;
	while (readdir(d))
		n++;
	closedir(d);
	return n > 3 ? n - 3 : 0; /* ".", "..", and the directory itself */
}

static uint64_t resident_bytes(void)
{
	unsigned long long size = 0, resident = 0;
	FILE *f = fopen("/proc/self/statm", "re");

	if (!f)
		return 0;
	if (fscanf(f, "%llu %llu", &size, &resident) != 2)
		resident = 0;
	fclose(f);
	return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* Seconds since 1970; 0 when it cannot be found out. */
static double start_time(void)
{
	unsigned long long ticks = 0;
	struct timespec up, wall;
	char text[1024], *at;
	FILE *f = fopen("/proc/self/stat", "re");
	size_t n;

	if (!f)
		return 0;
	n = fread(text, 1, sizeof(text) - 1, f);
	fclose(f);
	text[n] = 0;
	at = strrchr(text, ')'); /* the name may hold anything */
	if (!at || sscanf(at + 1,
			  " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			  "%*s %*s %llu",
			  &ticks) != 1)
		return 0;
	clock_gettime(CLOCK_BOOTTIME, &up);
	clock_gettime(CLOCK_REALTIME, &wall);
	return (double)wall.tv_sec - (double)up.tv_sec +
	       (double)ticks / (double)sysconf(_SC_CLK_TCK);
}

void sn_metrics_process(struct sn_buf *out)
{
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	sn_metrics_family(out, "process_cpu_seconds_total", "counter", "User and system CPU time.");
	sn_metrics_double(out, "process_cpu_seconds_total", NULL, 0,
			  (double)(ru.ru_utime.tv_sec + ru.ru_stime.tv_sec) +
				  (double)(ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6);
	sn_metrics_family(out, "process_resident_memory_bytes", "gauge", "Resident memory.");
	sn_metrics_u64(out, "process_resident_memory_bytes", NULL, 0, resident_bytes());
	sn_metrics_family(out, "process_open_fds", "gauge", "Open file descriptors.");
	sn_metrics_u64(out, "process_open_fds", NULL, 0, count_fds());
	sn_metrics_family(out, "process_start_time_seconds", "gauge", "Start, since 1970.");
	sn_metrics_double(out, "process_start_time_seconds", NULL, 0, start_time());
}
