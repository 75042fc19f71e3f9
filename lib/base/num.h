/* SPDX-License-Identifier: Apache-2.0 */
/* base/num.h - numbers as people and protocols write them, and cheap random numbers. */
#ifndef SN_BASE_NUM_H
#define SN_BASE_NUM_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* Decimal digits only (no sign, no space), at most @max. Returns 0, -SN_ESYNTAX or -SN_ETOOBIG;
 * *ret is untouched on error. */
int sn_num_u64(struct sn_slice s, uint64_t max, uint64_t *ret);
/* Hexadecimal digits, at most 16. */
int sn_num_hex(struct sn_slice s, uint64_t *ret);

/* Gateway API duration (GEP-2257): 1 to 4 units of h m s ms, each 1 to 5 digits, in that order
 * is not required ("1h30m", "500ms", "0s"). Returns 0 or -SN_ESYNTAX. */
int sn_num_duration_ms(struct sn_slice s, uint64_t *ret_ms);
/* Shortest exact form, e.g. "1m30s", "500ms", "0s". @dst of at least 32 bytes. */
void sn_num_format_duration(uint64_t ms, char *dst, size_t cap);

/* "64KiB", "1MiB", "2GiB", "0" or "512" (bytes). Returns 0, -SN_ESYNTAX or -SN_ETOOBIG. */
int sn_num_size_bytes(struct sn_slice s, uint64_t *ret_bytes);
void sn_num_format_size(uint64_t bytes, char *dst, size_t cap);

/* xoshiro-class generator: fast, seedable, not for secrets. */
struct sn_rng {
	uint64_t s[2];
};
void sn_rng_seed(struct sn_rng *r, uint64_t seed);
uint64_t sn_rng_next(struct sn_rng *r);
/* Uniform in [0, n); n > 0. */
uint32_t sn_rng_below(struct sn_rng *r, uint32_t n);
/* 64 random bits from the kernel, for seeds. */
uint64_t sn_rng_entropy(void);

#endif
