/* SPDX-License-Identifier: Apache-2.0 */
/* Finds where runs of one character class end. Most of a head is such runs, so this is where a
 * parser spends its time: 16 or 32 octets at once where the processor can, chosen before main.
 *
 * The vector forms of sets of ASCII follow Mula's "SIMD-ized check which bytes are in a set": an
 * octet is in the set if the bit of its high nibble is set in the table entry of its low nibble;
 * both look-ups are byte shuffles, and octets from 0x80 give 0. The last octets of an input are
 * looked at in a block that begins further in front, so nothing outside of it is read. */
#include "http/chars.h"

#include <endian.h>
#include <stddef.h>
#include <string.h>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define TCHAR (SN_CH_TOKEN | SN_CH_LOWER_TOKEN)
#define ALPHA_FLAGS (SN_CH_TOKEN | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME)
#define LOWER_FLAGS (ALPHA_FLAGS | SN_CH_LOWER_TOKEN)

const uint8_t sn_char_class[256] = {
	['\t'] = SN_CH_VALUE,
	[' '] = SN_CH_VALUE,
	['!'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['"'] = SN_CH_VALUE | SN_CH_TARGET,
	['#'] = TCHAR | SN_CH_VALUE,
	['$'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['%'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET,
	['&' ... '\''] = TCHAR | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['(' ... ')'] = SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['*' ... '+'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	[','] = SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['-' ... '.'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['/'] = SN_CH_VALUE | SN_CH_TARGET,
	['0' ... '9'] = LOWER_FLAGS | SN_CH_DIGIT | SN_CH_HEX,
	[':'] = SN_CH_VALUE | SN_CH_TARGET,
	[';'] = SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['<'] = SN_CH_VALUE | SN_CH_TARGET,
	['='] = SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['>' ... '@'] = SN_CH_VALUE | SN_CH_TARGET,
	['A' ... 'F'] = ALPHA_FLAGS | SN_CH_HEX,
	['G' ... 'Z'] = ALPHA_FLAGS,
	['[' ... ']'] = SN_CH_VALUE | SN_CH_TARGET,
	['^'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET,
	['_'] = LOWER_FLAGS,
	['`'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET,
	['a' ... 'f'] = LOWER_FLAGS | SN_CH_HEX,
	['g' ... 'z'] = LOWER_FLAGS,
	['{'] = SN_CH_VALUE | SN_CH_TARGET,
	['|'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET,
	['}'] = SN_CH_VALUE | SN_CH_TARGET,
	['~'] = LOWER_FLAGS,
	[0x80 ... 0xff] = SN_CH_VALUE,
};

/* --- scalar --- */

static const char *scalar_token(const char *begin, const char *p, const char *end)
{
	(void)begin;
	while (p < end && sn_char_is(*p, SN_CH_TOKEN))
		p++;
	return p;
}

static const char *scalar_target(const char *begin, const char *p, const char *end)
{
	(void)begin;
	while (p < end && sn_char_is(*p, SN_CH_TARGET))
		p++;
	return p;
}

/* Eight octets at a time: one below 0x20 or DEL raises its top bit in the mask, and the lowest such
 * bit is always true (borrows of Mycroft's test only reach upwards). */
static const char *scalar_value(const char *begin, const char *p, const char *end)
{
	const uint64_t ones = UINT64_C(0x0101010101010101), highs = ones << 7;

	(void)begin;
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

/* The line from *p whose name ends at @colon and whose value ends at @stop; false if that is in
 * doubt. The blanks around a value are mostly one, in front. */
static inline __attribute__((always_inline)) bool
take_line(const char **p, const char *colon, const char *stop, const char *end, struct sn_header *h)
{
	const char *value = colon + 1;

	if (end - stop < 2 || memcmp(stop, "\r\n", 2) != 0 || *colon != ':' || colon == *p)
		return false;
	h->name = sn_slice(*p, (size_t)(colon - *p));
	*p = stop + 2;
	if (*value == ' ')
		value++;
	if ((uint8_t)*value <= ' ')
		while (*value == ' ' || *value == '\t') /* CR stops it */
			value++;
	if ((uint8_t)stop[-1] <= ' ')
		while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
			stop--;
	h->value = sn_slice(value, (size_t)(stop - value));
	return true;
}

static uint32_t scalar_lines(const char *begin, const char **p, const char *end,
			     struct sn_header *v, uint32_t max)
{
	uint32_t n = 0;

	while (n < max && *p < end) {
		const char *colon = scalar_token(begin, *p, end);
		const char *stop = scalar_value(begin, colon, end);

		if (!take_line(p, colon, stop, end, &v[n]))
			break;
		n++;
	}
	return n;
}

static const struct sn_char_scan scalar = {scalar_token, scalar_target, scalar_value, scalar_lines};

#if defined(__x86_64__)

/* Low nibble -> bits of the high nibbles with which it is in the class, or in what is not of the
 * class for values, as they may have octets from 0x80. test_chars compares them with the table. */
static const uint8_t token_bits[16]
	__attribute__((aligned(16))) = {0xe8, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc,
					0xf8, 0xf8, 0xf4, 0x54, 0xd0, 0x54, 0xf4, 0x70};
static const uint8_t target_bits[16]
	__attribute__((aligned(16))) = {0xf8, 0xfc, 0xfc, 0xf8, 0xfc, 0xfc, 0xfc, 0xfc,
					0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0xfc, 0x7c};
static const uint8_t no_value_bits[16]
	__attribute__((aligned(16))) = {0x03, 0x03, 0x03, 0x03, 0x03, 0x03, 0x03, 0x03,
					0x03, 0x02, 0x03, 0x03, 0x03, 0x03, 0x03, 0x83};
/* Bits that no row can match stand for the high nibbles from 8. */
static const uint8_t high_bits[16] __attribute__((aligned(16))) = {
	1, 2, 4, 8, 16, 32, 64, 128, 255, 255, 255, 255, 255, 255, 255, 255};

/* A bit for each of @width octets that is not of the class. */
typedef uint32_t (*wrong_fn)(const char *p);

/* A scan of @width octets at once; inlined into each of those below. */
static inline __attribute__((always_inline)) const char *scan_with(wrong_fn wrong, int width,
								   sn_char_scan_fn short_input,
								   const char *begin, const char *p,
								   const char *end)
{
	uint32_t mask;

	for (; end - p >= width; p += width) {
		mask = wrong(p);
		if (mask)
			return p + (unsigned)__builtin_ctzll(mask);
	}
	if (p == end)
		return end;
	if (end - begin < width)
		return short_input(begin, p, end);
	mask = wrong(end - width) >> (width - (end - p));
	return mask ? p + (unsigned)__builtin_ctzll(mask) : end;
}

/* One line. Name and value lie in one block more often than not, and a name's octets are a value's
 * too, so both questions are put to the block that the line begins in. @inside: a whole block
 * follows *p. */
static inline __attribute__((always_inline)) bool line_with(wrong_fn not_token, wrong_fn not_value,
							    int width, bool inside, const char **p,
							    const char *end, struct sn_header *h)
{
	const char *block = inside ? *p : end - width, *colon, *stop = *p;
	uint32_t shift = inside ? 0 : (uint32_t)(*p - block), wrong = not_token(block) >> shift;

	if (wrong == 0)
		return false; /* a name that long is for the careful */
	colon = *p + (unsigned)__builtin_ctzll(wrong);
	wrong = not_value(block) >> shift;
	while (wrong == 0) {
		stop = block + width;
		if (stop == end)
			return false;
		block = end - stop >= width ? stop : end - width;
		wrong = not_value(block) >> (stop - block);
	}
	return take_line(p, colon, stop + (unsigned)__builtin_ctzll(wrong), end, h);
}

static inline __attribute__((always_inline)) uint32_t
lines_with(wrong_fn not_token, wrong_fn not_value, int width, const char *begin, const char **pp,
	   const char *end, struct sn_header *v, uint32_t max)
{
	struct sn_header *h = v, *v_end = v + max;
	const char *p = *pp;

	if (end - begin < width)
		return 0;
	while (h < v_end && end - p >= width &&
	       line_with(not_token, not_value, width, true, &p, end, h))
		h++;
	while (h < v_end && p < end && *p != '\r' && end - p < width &&
	       line_with(not_token, not_value, width, false, &p, end, h))
		h++;
	*pp = p;
	return (uint32_t)(h - v);
}

/* --- SSE4.2 --- */

__attribute__((target("sse4.2"))) static inline __m128i sse42_row(__m128i x, const uint8_t bits[16])
{
	return _mm_shuffle_epi8(_mm_load_si128((const __m128i *)(const void *)bits), x);
}

__attribute__((target("sse4.2"))) static inline __m128i sse42_bit(__m128i x)
{
	return sse42_row(_mm_and_si128(_mm_srli_epi16(x, 4), _mm_set1_epi8(15)), high_bits);
}

__attribute__((target("sse4.2"))) static inline uint32_t sse42_outside(const char *p,
								       const uint8_t bits[16])
{
	__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p);
	__m128i both = _mm_and_si128(sse42_row(x, bits), sse42_bit(x));

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(both, _mm_setzero_si128()));
}

__attribute__((target("sse4.2"))) static inline uint32_t sse42_not_token(const char *p)
{
	return sse42_outside(p, token_bits);
}

__attribute__((target("sse4.2"))) static inline uint32_t sse42_not_target(const char *p)
{
	return sse42_outside(p, target_bits);
}

__attribute__((target("sse4.2"))) static inline uint32_t sse42_not_value(const char *p)
{
	__m128i x = _mm_loadu_si128((const __m128i *)(const void *)p), bit = sse42_bit(x);

	return (uint32_t)_mm_movemask_epi8(
		_mm_cmpeq_epi8(_mm_and_si128(sse42_row(x, no_value_bits), bit), bit));
}

__attribute__((target("sse4.2"))) static inline const char *
sse42_token(const char *begin, const char *p, const char *end)
{
	return scan_with(sse42_not_token, 16, scalar_token, begin, p, end);
}

__attribute__((target("sse4.2"))) static inline const char *
sse42_target(const char *begin, const char *p, const char *end)
{
	return scan_with(sse42_not_target, 16, scalar_target, begin, p, end);
}

__attribute__((target("sse4.2"))) static inline const char *
sse42_value(const char *begin, const char *p, const char *end)
{
	return scan_with(sse42_not_value, 16, scalar_value, begin, p, end);
}

__attribute__((target("sse4.2"))) static uint32_t
sse42_lines(const char *begin, const char **p, const char *end, struct sn_header *v, uint32_t max)
{
	return lines_with(sse42_not_token, sse42_not_value, 16, begin, p, end, v, max);
}

static const struct sn_char_scan sse42 = {sse42_token, sse42_target, sse42_value, sse42_lines};

/* --- AVX2 --- */

__attribute__((target("avx2"))) static inline __m256i avx2_row(__m256i x, const uint8_t bits[16])
{
	return _mm256_shuffle_epi8(
		_mm256_broadcastsi128_si256(_mm_load_si128((const __m128i *)(const void *)bits)),
		x);
}

__attribute__((target("avx2"))) static inline __m256i avx2_bit(__m256i x)
{
	return avx2_row(_mm256_and_si256(_mm256_srli_epi16(x, 4), _mm256_set1_epi8(15)), high_bits);
}

__attribute__((target("avx2"))) static inline uint32_t avx2_outside(const char *p,
								    const uint8_t bits[16])
{
	__m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p);
	__m256i both = _mm256_and_si256(avx2_row(x, bits), avx2_bit(x));

	return (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(both, _mm256_setzero_si256()));
}

__attribute__((target("avx2"))) static inline uint32_t avx2_not_token(const char *p)
{
	return avx2_outside(p, token_bits);
}

__attribute__((target("avx2"))) static inline uint32_t avx2_not_target(const char *p)
{
	return avx2_outside(p, target_bits);
}

__attribute__((target("avx2"))) static inline uint32_t avx2_not_value(const char *p)
{
	__m256i x = _mm256_loadu_si256((const __m256i *)(const void *)p), bit = avx2_bit(x);

	return (uint32_t)_mm256_movemask_epi8(
		_mm256_cmpeq_epi8(_mm256_and_si256(avx2_row(x, no_value_bits), bit), bit));
}

__attribute__((target("avx2"))) static inline const char *avx2_token(const char *begin,
								     const char *p, const char *end)
{
	return scan_with(avx2_not_token, 32, scalar_token, begin, p, end);
}

__attribute__((target("avx2"))) static inline const char *
avx2_target(const char *begin, const char *p, const char *end)
{
	return scan_with(avx2_not_target, 32, scalar_target, begin, p, end);
}

__attribute__((target("avx2"))) static inline const char *avx2_value(const char *begin,
								     const char *p, const char *end)
{
	return scan_with(avx2_not_value, 32, scalar_value, begin, p, end);
}

__attribute__((target("avx2"))) static uint32_t
avx2_lines(const char *begin, const char **p, const char *end, struct sn_header *v, uint32_t max)
{
	return lines_with(avx2_not_token, avx2_not_value, 32, begin, p, end, v, max);
}

static const struct sn_char_scan avx2 = {avx2_token, avx2_target, avx2_value, avx2_lines};

#endif

const struct sn_char_scan *sn_char_scan_now = &scalar;

const struct sn_char_scan *sn_char_scan_at(enum sn_char_level level)
{
	switch (level) {
	case SN_CHAR_SCALAR:
		return &scalar;
#if defined(__x86_64__)
	case SN_CHAR_SSE42:
		return __builtin_cpu_supports("sse4.2") ? &sse42 : NULL;
	case SN_CHAR_AVX2:
		return __builtin_cpu_supports("avx2") ? &avx2 : NULL;
#endif
	default:
		return NULL;
	}
}

/* Before main, so that no thread sees it change. */
__attribute__((constructor)) static void choose(void)
{
#if defined(__x86_64__)
	__builtin_cpu_init();
#endif
	for (int level = SN_CHAR_AVX2; level >= SN_CHAR_SCALAR; level--) {
		const struct sn_char_scan *s = sn_char_scan_at((enum sn_char_level)level);

		if (s) {
			sn_char_scan_now = s;
			return;
		}
	}
}
