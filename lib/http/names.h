/* SPDX-License-Identifier: Apache-2.0 */
/* http/names.h - the look-up of known header names, inline for the parsers: a perfect hash over
 * length, first and last letter, then a comparison in words. */
#ifndef SN_HTTP_NAMES_H
#define SN_HTTP_NAMES_H

#include <stdint.h>
#include <string.h>

#include "http/message.h"

#define SN_NAMES_SLOTS 128

struct sn_known_name {
	char name[24]; /* in lower case */
	uint8_t n;
	uint8_t id;
	uint8_t pad[6]; /* to a power of two */
};

extern const struct sn_known_name sn_known_names[SN_NAMES_SLOTS];

/* A macro, so that the table is constant. Letters in lower case. */
#define SN_NAMES_SLOT(n, first, last)                                                              \
	(((n) + (size_t)4 * (uint8_t)(first) + (uint8_t)(last)) & (SN_NAMES_SLOTS - 1))

static inline uint64_t sn_names__word(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/* Bit 5 folds letters, and among token octets nothing else becomes a letter, digit or '-'. */
static inline bool sn_names__eq(const char *p, const char *lower, size_t n)
{
	const uint64_t fold = UINT64_C(0x2020202020202020);
	uint32_t a, b, c, d;

	if (n >= 8)
		return (sn_names__word(p) | fold) == sn_names__word(lower) &&
		       (sn_names__word(p + n - 8) | fold) == sn_names__word(lower + (n - 8)) &&
		       (n <= 16 || (sn_names__word(p + 8) | fold) == sn_names__word(lower + 8));
	if (n >= 4) {
		memcpy(&a, p, sizeof(a));
		memcpy(&b, lower, sizeof(b));
		memcpy(&c, p + n - 4, sizeof(c));
		memcpy(&d, lower + (n - 4), sizeof(d));
		return (a | (uint32_t)fold) == b && (c | (uint32_t)fold) == d;
	}
	for (size_t i = 0; i < n; i++)
		if ((p[i] | 0x20) != lower[i])
			return false;
	return true;
}

/* @name: a token, so not empty. */
static inline enum sn_hdr_id sn_names_find(struct sn_slice name)
{
	const struct sn_known_name *k;
	uint8_t first;

	first = (uint8_t)(name.p[0] | 0x20);
	k = &sn_known_names[SN_NAMES_SLOT(name.n, first, name.p[name.n - 1] | 0x20)];
	if (k->n == name.n && sn_names__eq(name.p, k->name, name.n))
		return (enum sn_hdr_id)k->id;
	if (first == 's' && name.n >= 7 && (name.p[6] == '-' || name.p[6] == '_') &&
	    sn_names__eq(name.p, "sennit", 6))
		return SN_HDR_SENNIT;
	return SN_HDR_OTHER;
}

#endif
