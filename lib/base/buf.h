/* SPDX-License-Identifier: Apache-2.0 */
/* base/buf.h - a growable byte buffer with a ceiling: append at the end, consume at the front.
 * Owns its memory. Not thread-safe. Content is data[start .. end). */
#ifndef SN_BASE_BUF_H
#define SN_BASE_BUF_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct sn_buf {
	char *data;
	size_t start;
	size_t end;
	size_t cap;
	size_t max_bytes; /* ceiling of the content; 0 = none */
	bool failed;	  /* an append was refused since init or reset (sticky, for printers) */
};

/* @max_bytes: refuse to grow past it, 0 = no ceiling. Allocates nothing. */
void sn_buf_init(struct sn_buf *b, size_t max_bytes);
void sn_buf_done(struct sn_buf *b);

static inline size_t sn_buf_len(const struct sn_buf *b)
{
	return b->end - b->start;
}

static inline struct sn_slice sn_buf_slice(const struct sn_buf *b)
{
	return sn_slice(b->data ? b->data + b->start : "", b->end - b->start);
}

/* Makes room for @n bytes behind the content (compacting or growing). Returns 0, -SN_ENOMEM or
 * -SN_ETOOBIG; then sn_buf_room() of at least @n bytes is at data + end. */
int sn_buf_reserve(struct sn_buf *b, size_t n);

/* Appends. Return 0, -SN_ENOMEM or -SN_ETOOBIG (nothing appended, `failed` set). */
int sn_buf_append(struct sn_buf *b, const void *p, size_t n);
int sn_buf_puts(struct sn_buf *b, const char *s);
int sn_buf_putc(struct sn_buf *b, char c);
int sn_buf_printf(struct sn_buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
int sn_buf_vprintf(struct sn_buf *b, const char *fmt, va_list ap)
	__attribute__((format(printf, 2, 0)));

/* Drops the first @n bytes (at most all). */
void sn_buf_consume(struct sn_buf *b, size_t n);

/* Empties and keeps the memory. */
void sn_buf_reset(struct sn_buf *b);

/* Content as a NUL-terminated string (the NUL is not part of it); "" if nothing could be
 * allocated. Valid until the next change. */
const char *sn_buf_cstr(struct sn_buf *b);

#endif
