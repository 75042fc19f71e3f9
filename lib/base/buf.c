/* SPDX-License-Identifier: Apache-2.0 */
/* A growable buffer with a ceiling: the one place where output of unknown size is collected. */
#include "base/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

void sn_buf_init(struct sn_buf *b, size_t max_bytes)
{
	*b = (struct sn_buf){.max_bytes = max_bytes};
}

void sn_buf_done(struct sn_buf *b)
{
	free(b->data);
	*b = (struct sn_buf){.max_bytes = b->max_bytes};
}

static int refuse(struct sn_buf *b, enum sn_code code)
{
	b->failed = true;
	return -(int)code;
}

/* Whether there is room already: nearly always. */
static inline bool fits(const struct sn_buf *b, size_t n)
{
	return b->data && b->cap - b->end >= n &&
	       (!b->max_bytes || b->end - b->start + n <= b->max_bytes);
}

/* Room for @n bytes of content and @extra behind them: a NUL, which the ceiling does not count. */
static int make_room(struct sn_buf *b, size_t n, size_t extra)
{
	size_t len = b->end - b->start, want, cap;
	char *p;

	if (n > SIZE_MAX / 2 - len - extra)
		return refuse(b, SN_ETOOBIG);
	if (b->max_bytes && len + n > b->max_bytes)
		return refuse(b, SN_ETOOBIG);
	if (b->data && b->cap - b->end >= n + extra)
		return 0;
	want = len + n + extra;
	if (b->data && b->start) {
		memmove(b->data, b->data + b->start, len);
		b->start = 0;
		b->end = len;
		if (b->cap >= want)
			return 0;
	}
	for (cap = b->cap ? b->cap : 256; cap < want;)
		cap *= 2;
	if (b->max_bytes && cap > b->max_bytes + extra)
		cap = b->max_bytes + extra;
	p = realloc(b->data, cap);
	if (!p)
		return refuse(b, SN_ENOMEM);
	b->data = p;
	b->cap = cap;
	return 0;
}

int sn_buf_reserve(struct sn_buf *b, size_t n)
{
	return fits(b, n) ? 0 : make_room(b, n, 0);
}

int sn_buf_append(struct sn_buf *b, const void *p, size_t n)
{
	int rc;

	if (n == 0)
		return 0;
	if (!fits(b, n)) {
		rc = make_room(b, n, 0);
		if (rc)
			return rc;
	}
	memcpy(b->data + b->end, p, n);
	b->end += n;
	return 0;
}

int sn_buf_puts(struct sn_buf *b, const char *s)
{
	return sn_buf_append(b, s, strlen(s));
}

int sn_buf_putc(struct sn_buf *b, char c)
{
	return sn_buf_append(b, &c, 1);
}

int sn_buf_vprintf(struct sn_buf *b, const char *fmt, va_list ap)
{
	char small[512];
	va_list again;
	int n, rc;

	va_copy(again, ap);
	n = vsnprintf(small, sizeof(small), fmt, ap);
	if (n < 0) {
		rc = refuse(b, SN_ENOMEM);
	} else if ((size_t)n < sizeof(small)) {
		rc = sn_buf_append(b, small, (size_t)n);
	} else {
		rc = make_room(b, (size_t)n, 1);
		if (rc == 0) {
			vsnprintf(b->data + b->end, (size_t)n + 1, fmt, again);
			b->end += (size_t)n;
		}
	}
	va_end(again);
	return rc;
}

int sn_buf_printf(struct sn_buf *b, const char *fmt, ...)
{
	va_list ap;
	int rc;

	va_start(ap, fmt);
	rc = sn_buf_vprintf(b, fmt, ap);
	va_end(ap);
	return rc;
}

void sn_buf_consume(struct sn_buf *b, size_t n)
{
	if (n >= b->end - b->start)
		b->start = b->end = 0;
	else
		b->start += n;
}

void sn_buf_reset(struct sn_buf *b)
{
	b->start = b->end = 0;
	b->failed = false;
}

const char *sn_buf_cstr(struct sn_buf *b)
{
	if (make_room(b, 0, 1))
		return "";
	b->data[b->end] = 0;
	return b->data + b->start;
}
