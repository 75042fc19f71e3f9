/* SPDX-License-Identifier: Apache-2.0 */
/* Bump allocation in chunks; large requests get a chunk of their own behind the current one. */
#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ALIGN 16u

struct sn_arena_chunk {
	struct sn_arena_chunk *next;
	size_t cap, used;
	_Alignas(ALIGN) char mem[];
};

void sn_arena_init(struct sn_arena *a, size_t chunk_bytes, size_t max_bytes)
{
	*a = (struct sn_arena){.chunk_bytes = chunk_bytes ? chunk_bytes : 4096,
			       .max_bytes = max_bytes};
}

static void free_chunks(struct sn_arena_chunk *c)
{
	while (c) {
		struct sn_arena_chunk *next = c->next;

		free(c);
		c = next;
	}
}

void sn_arena_done(struct sn_arena *a)
{
	free_chunks(a->head);
	a->head = NULL;
	a->used_bytes = 0;
}

void sn_arena_reset(struct sn_arena *a)
{
	struct sn_arena_chunk *keep = a->head;

	a->used_bytes = 0;
	if (!keep)
		return;
	free_chunks(keep->next);
	keep->next = NULL;
	keep->used = 0;
	if (keep->cap > a->chunk_bytes) {
		free(keep);
		a->head = NULL;
	}
}

static struct sn_arena_chunk *new_chunk(size_t cap)
{
	struct sn_arena_chunk *c = malloc(sizeof(*c) + cap);

	if (c) {
		c->next = NULL;
		c->cap = cap;
		c->used = 0;
	}
	return c;
}

void *sn_arena_alloc(struct sn_arena *a, size_t n)
{
	struct sn_arena_chunk *c = a->head;
	void *p;

	if (n > SIZE_MAX / 2 - ALIGN)
		return NULL;
	n = n ? (n + ALIGN - 1) & ~(size_t)(ALIGN - 1) : ALIGN;
	if (a->max_bytes && (n > a->max_bytes || a->used_bytes > a->max_bytes - n))
		return NULL;
	if (!c || c->cap - c->used < n) {
		c = new_chunk(n > a->chunk_bytes ? n : a->chunk_bytes);
		if (!c)
			return NULL;
		if (n > a->chunk_bytes && a->head) { /* keep filling the current one */
			c->next = a->head->next;
			a->head->next = c;
		} else {
			c->next = a->head;
			a->head = c;
		}
	}
	p = c->mem + c->used;
	c->used += n;
	a->used_bytes += n;
	memset(p, 0, n);
	return p;
}

void *sn_arena_array(struct sn_arena *a, size_t n, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, size, &bytes))
		return NULL;
	return sn_arena_alloc(a, bytes);
}

char *sn_arena_dup(struct sn_arena *a, const void *p, size_t n)
{
	char *s = n < SIZE_MAX / 2 ? sn_arena_alloc(a, n + 1) : NULL;

	if (s && n)
		memcpy(s, p, n);
	return s;
}

char *sn_arena_strdup(struct sn_arena *a, const char *s)
{
	return sn_arena_dup(a, s, strlen(s));
}

char *sn_arena_printf(struct sn_arena *a, const char *fmt, ...)
{
	va_list ap;
	char *s = NULL;
	int n;

	va_start(ap, fmt);
	n = vsnprintf(NULL, 0, fmt, ap);
	va_end(ap);
	if (n >= 0)
		s = sn_arena_alloc(a, (size_t)n + 1);
	if (s) {
		va_start(ap, fmt);
		vsnprintf(s, (size_t)n + 1, fmt, ap);
		va_end(ap);
	}
	return s;
}
