/* SPDX-License-Identifier: Apache-2.0 */
/* http/h2_mem.h - small blocks for the HTTP/2 library, kept by size for the next request: it
 * allocates a handful per message and gives them back soon after. Owns what is free; what is out is
 * its user's. One session, one thread. */
#ifndef SN_HTTP_H2_MEM_H
#define SN_HTTP_H2_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

#define SN_H2_MEM_CLASSES 16 /* of 64 bytes each: blocks up to 1 KiB */

struct sn_h2_mem_block;

struct sn_h2_mem {
	struct sn_h2_mem_block *free[SN_H2_MEM_CLASSES];
	uint32_t n_free;    /* in all classes (bounded) */
	struct sn_list all; /* blocks, free or out */
};

void sn_h2_mem_init(struct sn_h2_mem *m);
/* Gives back what is free; blocks that are out may still be put. */
void sn_h2_mem_trim(struct sn_h2_mem *m);
/* Gives back everything, what is out included. */
void sn_h2_mem_done(struct sn_h2_mem *m);

/* As malloc, calloc, realloc and free. */
void *sn_h2_mem_get(struct sn_h2_mem *m, size_t n);
void *sn_h2_mem_zeroed(struct sn_h2_mem *m, size_t n, size_t size);
void *sn_h2_mem_resize(struct sn_h2_mem *m, void *p, size_t n);
void sn_h2_mem_put(struct sn_h2_mem *m, void *p);

#endif
