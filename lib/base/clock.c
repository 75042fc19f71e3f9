/* SPDX-License-Identifier: Apache-2.0 */
/* The machine's clocks, and one that only a test moves. */
#include "base/clock.h"

#include <stdio.h>
#include <time.h>

#include "base/str.h"

static uint64_t real_now(const struct sn_clock *c)
{
	struct timespec ts;

	(void)c;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

const struct sn_clock sn_clock_real = {real_now};

static uint64_t fake_now(const struct sn_clock *c)
{
	return ((const struct sn_clock_fake *)c)->ns;
}

void sn_clock_fake_init(struct sn_clock_fake *f, uint64_t start_ns)
{
	f->clock.now_ns = fake_now;
	f->ns = start_ns;
}

void sn_clock_fake_advance_ms(struct sn_clock_fake *f, uint64_t ms)
{
	f->ns += ms * 1000000u;
}

uint64_t sn_clock_wall_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_REALTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000u + (uint64_t)ts.tv_nsec / 1000000u;
}

void sn_clock_rfc3339(uint64_t wall_ms, int with_ms, char *dst, size_t cap)
{
	time_t t = (time_t)(wall_ms / 1000);
	struct tm tm;
	size_t n;

	gmtime_r(&t, &tm);
	n = strftime(dst, cap, "%Y-%m-%dT%H:%M:%S", &tm);
	if (with_ms)
		snprintf(dst + n, cap - n, ".%03uZ", (unsigned)(wall_ms % 1000));
	else
		snprintf(dst + n, cap - n, "Z");
}
