/* SPDX-License-Identifier: Apache-2.0 */
/* Slices: comparisons and cuts that every parser needs, without allocation. */
#include "base/str.h"

#include <strings.h>

#include "base/err.h"

bool sn_slice_ieq(struct sn_slice a, struct sn_slice b)
{
	return a.n == b.n && (a.n == 0 || strncasecmp(a.p, b.p, a.n) == 0);
}

bool sn_slice_starts(struct sn_slice s, struct sn_slice prefix)
{
	return s.n >= prefix.n && (prefix.n == 0 || memcmp(s.p, prefix.p, prefix.n) == 0);
}

int sn_slice_cmp(struct sn_slice a, struct sn_slice b)
{
	size_t n = a.n < b.n ? a.n : b.n;
	int d = n ? memcmp(a.p, b.p, n) : 0;

	if (d)
		return d;
	return a.n < b.n ? -1 : a.n > b.n;
}

struct sn_slice sn_slice_trim(struct sn_slice s)
{
	while (s.n && (s.p[0] == ' ' || s.p[0] == '\t')) {
		s.p++;
		s.n--;
	}
	while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t'))
		s.n--;
	return s;
}

struct sn_slice sn_slice_cut(struct sn_slice *rest, char sep)
{
	struct sn_slice all = *rest;
	const char *at = all.n ? memchr(all.p, sep, all.n) : NULL;

	if (!at) {
		*rest = sn_slice(NULL, 0);
		return all;
	}
	*rest = sn_slice(at + 1, all.n - (size_t)(at - all.p) - 1);
	return sn_slice(all.p, (size_t)(at - all.p));
}

int sn_slice_copy(struct sn_slice s, char *dst, size_t cap)
{
	size_t n = s.n < cap ? s.n : cap - 1;

	if (cap == 0)
		return -SN_ETOOBIG;
	if (n)
		memcpy(dst, s.p, n);
	dst[n] = 0;
	return n == s.n ? 0 : -SN_ETOOBIG;
}

/* Length of the well-formed sequence at @p (Unicode 15, table 3-7), 0 if there is none. */
static size_t utf8_sequence(const unsigned char *p, size_t n)
{
	unsigned char lo = 0x80, hi = 0xBF;
	size_t len, i;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xC2 && p[0] <= 0xDF)
		len = 2;
	else if (p[0] >= 0xE0 && p[0] <= 0xEF)
		len = 3;
	else if (p[0] >= 0xF0 && p[0] <= 0xF4)
		len = 4;
	else
		return 0;
	if (p[0] == 0xE0)
		lo = 0xA0;
	else if (p[0] == 0xED)
		hi = 0x9F;
	else if (p[0] == 0xF0)
		lo = 0x90;
	else if (p[0] == 0xF4)
		hi = 0x8F;
	if (n < len || p[1] < lo || p[1] > hi)
		return 0;
	for (i = 2; i < len; i++)
		if (p[i] < 0x80 || p[i] > 0xBF)
			return 0;
	return len;
}

bool sn_utf8_valid(struct sn_slice s)
{
	size_t i = 0, len;
	uint64_t eight;

	while (i < s.n) {
		if (i + 8 <= s.n) { /* most text is ASCII */
			memcpy(&eight, s.p + i, 8);
			if ((eight & 0x8080808080808080u) == 0) {
				i += 8;
				continue;
			}
		}
		len = utf8_sequence((const unsigned char *)s.p + i, s.n - i);
		if (len == 0)
			return false;
		i += len;
	}
	return true;
}

size_t sn_str_distance(const char *a, const char *b, size_t max)
{
	size_t na = strlen(a), nb = strlen(b), i, j;
	size_t row[65];

	if (na > 64 || nb > 64)
		return max + 1;
	for (j = 0; j <= nb; j++)
		row[j] = j;
	for (i = 1; i <= na; i++) {
		size_t diagonal = row[0], best;

		row[0] = best = i;
		for (j = 1; j <= nb; j++) {
			size_t up = row[j];
			size_t d = diagonal + (a[i - 1] != b[j - 1]);

			if (up + 1 < d)
				d = up + 1;
			if (row[j - 1] + 1 < d)
				d = row[j - 1] + 1;
			row[j] = d;
			diagonal = up;
			if (d < best)
				best = d;
		}
		if (best > max)
			return max + 1;
	}
	return row[nb];
}
