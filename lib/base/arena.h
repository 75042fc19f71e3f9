/* SPDX-License-Identifier: Apache-2.0 */
/* base/arena.h - many small allocations with one lifetime (a request, a document, a pass).
 * Owns all it hands out; freed together by _reset or _done. Not thread-safe. */
#ifndef SN_BASE_ARENA_H
#define SN_BASE_ARENA_H

#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct sn_arena_chunk;

struct sn_arena {
	struct sn_arena_chunk *head; /* the chunk being filled */
	size_t chunk_bytes;	     /* size of ordinary chunks */
	size_t max_bytes;	     /* ceiling of used_bytes, 0 = none */
	size_t used_bytes;	     /* handed out since init or reset */
};

/* @chunk_bytes: 0 = 4 KiB. @max_bytes: 0 = no ceiling. Allocates nothing yet. */
void sn_arena_init(struct sn_arena *a, size_t chunk_bytes, size_t max_bytes);
/* Frees everything. */
void sn_arena_done(struct sn_arena *a);
/* Forgets everything and keeps one ordinary chunk for reuse. */
void sn_arena_reset(struct sn_arena *a);

/* @n zeroed bytes aligned to 16. NULL when out of memory or past the ceiling. */
void *sn_arena_alloc(struct sn_arena *a, size_t n);
/* @n * @size zeroed bytes; NULL also on overflow. */
void *sn_arena_array(struct sn_arena *a, size_t n, size_t size);
/* NUL-terminated copies; NULL on failure. */
char *sn_arena_dup(struct sn_arena *a, const void *p, size_t n);
char *sn_arena_strdup(struct sn_arena *a, const char *s);
char *sn_arena_printf(struct sn_arena *a, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
