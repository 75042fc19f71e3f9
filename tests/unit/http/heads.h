/* SPDX-License-Identifier: Apache-2.0 */
/* Helpers of the head parsers' tests: inputs as exact heap blocks (so that a read past the end is
 * seen by ASan and valgrind), and printed results, so that a table can say what is expected in one
 * string. */
#ifndef SN_TESTS_HTTP_HEADS_H
#define SN_TESTS_HTTP_HEADS_H

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "http/chars.h"
#include "http/h1.h"

#define HEADS_MAX_FIELDS 100
/* Literals with NULs inside keep their length. */
#define IN(lit) (lit), sizeof(lit) - 1

struct row {
	const char *in;
	size_t n;
	const char *want; /* "STATUS reason", or the printed head */
};

static inline char *exact_copy(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);

	assert_non_null(copy);
	memcpy(copy, p, n);
	return copy;
}

static inline const char *framing_text(enum sn_framing framing)
{
	static const char *const names[] = {"none", "length", "chunked", "close"};

	return names[framing];
}

/* Appends " name=value" per field; '!' behind those that are hop-by-hop. */
static inline void print_fields(const struct sn_headers *hs, char *dst, size_t cap)
{
	size_t at = strlen(dst);

	for (uint32_t i = 0; i < hs->n && at < cap; i++)
		at += (size_t)snprintf(dst + at, cap - at, " %.*s=%.*s%s", SN_ARG(hs->v[i].name),
				       SN_ARG(hs->v[i].value),
				       hs->v[i].flags & SN_HDR_HOP ? "!" : "");
}

/* Parses a prefix of a head and prints the verdict into @dst ("more" for -SN_EMORE). */
typedef void (*parse_fn)(struct sn_slice in, size_t *scanned, char *dst, size_t cap);

static inline void parse_copy(parse_fn parse, const char *p, size_t n, size_t *scanned, char *dst,
			      size_t cap)
{
	char *copy = exact_copy(p, n);

	parse(sn_slice(copy, n), scanned, dst, cap);
	free(copy);
}

/* One row: whole, cut once at every place, and octet by octet. A prefix is undecided or has the
 * final verdict already. */
static inline void check_row_splits(parse_fn parse, const struct row *r)
{
	char whole[2048], part[2048];
	size_t scanned = 0;

	parse_copy(parse, r->in, r->n, &scanned, whole, sizeof(whole));
	if (strcmp(whole, r->want) != 0)
		print_error("input: %s\n", r->in);
	assert_string_equal(whole, r->want);
	for (size_t cut = 0; cut < r->n; cut++) {
		scanned = 0;
		parse_copy(parse, r->in, cut, &scanned, part, sizeof(part));
		if (strcmp(part, "more") == 0)
			parse_copy(parse, r->in, r->n, &scanned, part, sizeof(part));
		if (strcmp(whole, part) != 0)
			print_error("cut at %zu: %s\n", cut, r->in);
		assert_string_equal(part, whole);
	}
	scanned = 0;
	for (size_t n = 0; n <= r->n; n++) {
		parse_copy(parse, r->in, n, &scanned, part, sizeof(part));
		if (strcmp(part, "more") != 0)
			break;
	}
	assert_string_equal(part, whole);
}

/* The same with each level of the character scans. */
static inline void check_row(parse_fn parse, const struct row *r)
{
	const struct sn_char_scan *best = sn_char_scan_now;

	for (int level = SN_CHAR_SCALAR; level <= SN_CHAR_AVX2; level++) {
		sn_char_scan_now = sn_char_scan_at((enum sn_char_level)level);
		if (sn_char_scan_now)
			check_row_splits(parse, r);
	}
	sn_char_scan_now = best;
}

#define check_rows(parse, rows)                                                                    \
	do {                                                                                       \
		for (size_t i_ = 0; i_ < SN_ARRAY_LEN(rows); i_++)                                 \
			check_row((parse), &(rows)[i_]);                                           \
	} while (0)

#endif
