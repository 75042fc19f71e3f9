/* SPDX-License-Identifier: Apache-2.0 */
/* http/chars.h - which octets may stand where in a message head (RFC 9110 5, RFC 9112, RFC 3986):
 * one table, one load per octet, and scans over runs of a class that look at many octets at once.
 */
#ifndef SN_HTTP_CHARS_H
#define SN_HTTP_CHARS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "http/message.h"

enum sn_char_class {
	SN_CH_TOKEN = 1,       /* tchar */
	SN_CH_VALUE = 2,       /* field value: visible, space, tab, obs-text */
	SN_CH_TARGET = 4,      /* request target: visible ASCII without '#' */
	SN_CH_DIGIT = 8,       /* 0-9 */
	SN_CH_HEX = 16,	       /* 0-9 a-f A-F */
	SN_CH_REGNAME = 32,    /* reg-name of RFC 3986 3.2.2, without its escapes ("%20") */
	SN_CH_LOWER_TOKEN = 64 /* tchar without A-Z: names in HTTP/2 */
};

extern const uint8_t sn_char_class[256];

static inline bool sn_char_is(char c, unsigned classes)
{
	return (sn_char_class[(uint8_t)c] & classes) != 0;
}

/* Letters in lower case, every other octet as it is. */
static inline char sn_char_lower(char c)
{
	return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

/* 0..15; only for octets of class SN_CH_HEX. */
static inline unsigned sn_char_hex(char c)
{
	return c <= '9' ? (unsigned)(c - '0') : (unsigned)((c | 0x20) - 'a' + 10);
}

/* Does @w, octet by octet, equal @lower (letters in lower case, digits, '-') without regard to
 * case? Setting bit 5 folds letters; the second half keeps control octets from passing for '-' or
 * digits. */
static inline bool sn_char_word_ieq(uint64_t w, uint64_t lower)
{
	const uint64_t bit5 = UINT64_C(0x2020202020202020);

	return (w | bit5) == lower && ((~lower >> 1) & bit5 & ~w) == 0;
}

/* The same over @n octets, without a loop over octets where there are four or more. */
static inline bool sn_char_ieq(const char *p, const char *lower, size_t n)
{
	uint64_t a = 0, b = 0;
	uint32_t head, tail;
	size_t i = 0;

	if (n >= 8) {
		for (; i + 8 < n; i += 8) {
			memcpy(&a, p + i, 8);
			memcpy(&b, lower + i, 8);
			if (!sn_char_word_ieq(a, b))
				return false;
		}
		memcpy(&a, p + (n - 8), 8);
		memcpy(&b, lower + (n - 8), 8);
		return sn_char_word_ieq(a, b);
	}
	if (n >= 4) {
		memcpy(&head, p, 4);
		memcpy(&tail, p + (n - 4), 4);
		a = (uint64_t)head << 32 | tail;
		memcpy(&head, lower, 4);
		memcpy(&tail, lower + (n - 4), 4);
		b = (uint64_t)head << 32 | tail;
		return sn_char_word_ieq(a, b);
	}
	for (; i < n; i++)
		if (sn_char_lower(p[i]) != lower[i])
			return false;
	return true;
}

/* Slice against a literal of letters in lower case, digits and '-'. */
#define SN_IEQ_LIT(s, lit) ((s).n == sizeof(lit) - 1 && sn_char_ieq((s).p, (lit), sizeof(lit) - 1))

/* Each returns the first octet in [p, end) that is not of the class; @end if there is none. What
 * lies in [begin, p) may be read too: with 32 octets in all, the last ones cost no more than
 * others. */
typedef const char *(*sn_char_scan_fn)(const char *begin, const char *p, const char *end);

struct sn_char_scan {
	sn_char_scan_fn token;
	sn_char_scan_fn target;
	sn_char_scan_fn value;
	/* Takes field lines from *p on into @v (id and flags are not set), as long as each is
	 * complete and beyond doubt: token, ':', value, CRLF. Stops in front of the first that is
	 * not, or after @max: what it is then is for somebody else to say. Returns their number. */
	uint32_t (*lines)(const char *begin, const char **p, const char *end, struct sn_header *v,
			  uint32_t max);
};

enum sn_char_level { SN_CHAR_SCALAR, SN_CHAR_SSE42, SN_CHAR_AVX2 };

/* The best that this processor has; set before main. Tests set another one. */
extern const struct sn_char_scan *sn_char_scan_now;
/* The scans of a level; NULL if the processor does not have it. */
const struct sn_char_scan *sn_char_scan_at(enum sn_char_level level);

static inline const char *sn_char_skip_value(const char *p, const char *end)
{
	return sn_char_scan_now->value(p, p, end);
}

#endif
