/* SPDX-License-Identifier: Apache-2.0 */
/* base/clock.h - where time comes from: the machine's, or a test's own. */
#ifndef SN_BASE_CLOCK_H
#define SN_BASE_CLOCK_H

#include <stddef.h>
#include <stdint.h>

struct sn_clock {
	uint64_t (*now_ns)(const struct sn_clock *c); /* monotonic */
};

/* CLOCK_MONOTONIC. */
extern const struct sn_clock sn_clock_real;

/* A clock that stands still until it is moved. */
struct sn_clock_fake {
	struct sn_clock clock; /* give &fake.clock to what needs a clock */
	uint64_t ns;
};
void sn_clock_fake_init(struct sn_clock_fake *f, uint64_t start_ns);
void sn_clock_fake_advance_ms(struct sn_clock_fake *f, uint64_t ms);

/* Wall clock, ms since 1970; for logs and certificates only. */
uint64_t sn_clock_wall_ms(void);
/* "2026-01-31T12:00:00Z" (RFC 3339, seconds) or with ".123Z"; @dst of at least 32 bytes. */
void sn_clock_rfc3339(uint64_t wall_ms, int with_ms, char *dst, size_t cap);

#endif
