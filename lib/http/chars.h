/* SPDX-License-Identifier: Apache-2.0 */
/* http/chars.h - which octets may stand where in a message head (RFC 9110 5, RFC 9112, RFC 3986):
 * one table, one load per octet. */
#ifndef SN_HTTP_CHARS_H
#define SN_HTTP_CHARS_H

#include <endian.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum sn_char_class {
	SN_CH_TOKEN = 1,       /* tchar */
	SN_CH_VALUE = 2,       /* field value: visible, space, tab, obs-text */
	SN_CH_TARGET = 4,      /* request target: visible ASCII without '#' */
	SN_CH_DIGIT = 8,       /* 0-9 */
	SN_CH_HEX = 16,	       /* 0-9 a-f A-F */
	SN_CH_REGNAME = 32,    /* reg-name of RFC 3986 3.2.2, '%' included */
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

/* First octet in [p, end) that cannot stand in a field value; @end if there is none. Eight octets
 * at a time: one below 0x20 or DEL raises its top bit in the mask, and the lowest such bit is
 * always true (borrows of Mycroft's test only reach upwards). */
static inline const char *sn_char_skip_value(const char *p, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;

	while (end - p >= 8) {
		uint64_t w, del, mask;

		memcpy(&w, p, sizeof(w));
		w = le64toh(w);
		del = w ^ (ones * 0x7f);
		mask = (((w - ones * 0x20) & ~w) | ((del - ones) & ~del)) & highs;
		if (mask == 0) {
			p += 8;
			continue;
		}
		p += __builtin_ctzll(mask) / 8;
		if (*p != '\t')
			return p;
		p++;
	}
	while (p < end && sn_char_is(*p, SN_CH_VALUE))
		p++;
	return p;
}

#endif
