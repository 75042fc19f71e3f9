/* SPDX-License-Identifier: Apache-2.0 */
/* base/hash.h - SipHash-2-4 (Aumasson, Bernstein 2012): seeded for tables whose keys peers choose,
 * with a fixed key as a 128-bit content hash (change detection, not security). */
#ifndef SN_BASE_HASH_H
#define SN_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

uint64_t sn_hash_sip64(const void *p, size_t n, uint64_t k0, uint64_t k1);

/* Seeded once per process from the kernel. */
uint64_t sn_hash_table(const void *p, size_t n);

#define SN_HASH_HEX 33 /* 32 digits and NUL */
/* 128-bit content hash as lower-case hex; the same on every machine. */
void sn_hash_content(const void *p, size_t n, char hex[SN_HASH_HEX]);

#endif
