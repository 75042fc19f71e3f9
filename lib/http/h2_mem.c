/* SPDX-License-Identifier: Apache-2.0 */
/* A hundred streams at once give back more blocks of one size than malloc's per-thread cache holds,
 * and its slow path then costs a tenth of a request. Each block has its class in front of it. */
#include "http/h2_mem.h"

#include <stdlib.h>
#include <string.h>

#define CLASS_BYTES 64
#define KEEP_BLOCKS 512 /* a session's, of all sizes */
/* What is kept cannot be seen by AddressSanitizer when it is used after all. */
#ifdef __SANITIZE_ADDRESS__
#define KEEPS 0
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KEEPS 0
#endif
#endif
#ifndef KEEPS
#define KEEPS 1
#endif
#define LARGE SN_H2_MEM_CLASSES

struct sn_h2_mem_block {
	struct sn_list link;		   /* of all, whether out or free */
	struct sn_h2_mem_block *next_free; /* of its class */
	size_t bytes;			   /* that fit */
	size_t class;			   /* LARGE: malloc's own */
	size_t pad;
};

_Static_assert(sizeof(struct sn_h2_mem_block) % 16 == 0, "blocks stay aligned to 16");

void sn_h2_mem_init(struct sn_h2_mem *m)
{
	*m = (struct sn_h2_mem){0};
	sn_list_init(&m->all);
}

static void drop(struct sn_h2_mem_block *b)
{
	sn_list_del(&b->link);
	free(b);
}

void sn_h2_mem_trim(struct sn_h2_mem *m)
{
	for (size_t i = 0; i < SN_H2_MEM_CLASSES; i++)
		while (m->free[i]) {
			struct sn_h2_mem_block *b = m->free[i];

			m->free[i] = b->next_free;
			drop(b);
		}
	m->n_free = 0;
}

void sn_h2_mem_done(struct sn_h2_mem *m)
{
	for (struct sn_list *l; (l = sn_list_first(&m->all));)
		drop(sn_list_entry(l, struct sn_h2_mem_block, link));
	sn_h2_mem_init(m);
}

static struct sn_h2_mem_block *block_of(void *p)
{
	return (struct sn_h2_mem_block *)p - 1;
}

void *sn_h2_mem_get(struct sn_h2_mem *m, size_t n)
{
	size_t class = n > 0 ? (n - 1) / CLASS_BYTES : 0;
	struct sn_h2_mem_block *b;

	if (class < SN_H2_MEM_CLASSES) {
		n = (class + 1) * CLASS_BYTES;
		b = m->free[class];
		if (b) {
			m->free[class] = b->next_free;
			m->n_free--;
			return b + 1;
		}
	} else {
		class = LARGE;
		if (n > SIZE_MAX - sizeof(*b))
			return NULL;
	}
	b = malloc(sizeof(*b) + n);
	if (!b)
		return NULL;
	b->bytes = n;
	b->class = class;
	sn_list_push_front(&m->all, &b->link);
	return b + 1;
}

void *sn_h2_mem_zeroed(struct sn_h2_mem *m, size_t n, size_t size)
{
	void *p;

	if (__builtin_mul_overflow(n, size, &n))
		return NULL;
	p = sn_h2_mem_get(m, n);
	return p ? memset(p, 0, n) : NULL;
}

void sn_h2_mem_put(struct sn_h2_mem *m, void *p)
{
	struct sn_h2_mem_block *b;

	if (!p)
		return;
	b = block_of(p);
	if (!KEEPS || b->class == LARGE || m->n_free >= KEEP_BLOCKS) {
		drop(b);
		return;
	}
	b->next_free = m->free[b->class];
	m->free[b->class] = b;
	m->n_free++;
}

void *sn_h2_mem_resize(struct sn_h2_mem *m, void *p, size_t n)
{
	void *q;

	if (p && n <= block_of(p)->bytes)
		return p;
	q = sn_h2_mem_get(m, n);
	if (q && p) {
		memcpy(q, p, block_of(p)->bytes);
		sn_h2_mem_put(m, p);
	}
	return q;
}
