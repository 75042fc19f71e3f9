/* SPDX-License-Identifier: Apache-2.0 */
/* base/str.h - slices: borrowed runs of bytes that need not end in NUL.
 * A slice is valid as long as what it was cut from; nothing here allocates. */
#ifndef SN_BASE_STR_H
#define SN_BASE_STR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct sn_slice {
	const char *p;
	size_t n;
};

#define SN_SLICE(lit) ((struct sn_slice){(lit), sizeof(lit) - 1})
/* For printf("%.*s", SN_ARG(slice)). */
#define SN_ARG(s) (int)(s).n, (s).p
#define SN_ARRAY_LEN(a) (sizeof(a) / sizeof((a)[0]))
#define sn_container_of(ptr, type, member) ((type *)(void *)((char *)(ptr)-offsetof(type, member)))

static inline struct sn_slice sn_slice(const char *p, size_t n)
{
	return (struct sn_slice){p, n};
}

static inline struct sn_slice sn_slice_cstr(const char *s)
{
	return (struct sn_slice){s, s ? strlen(s) : 0};
}

static inline bool sn_slice_eq(struct sn_slice a, struct sn_slice b)
{
	return a.n == b.n && (a.n == 0 || memcmp(a.p, b.p, a.n) == 0);
}

static inline bool sn_slice_eq_cstr(struct sn_slice a, const char *b)
{
	return sn_slice_eq(a, sn_slice_cstr(b));
}

/* ASCII case-insensitive comparison. */
bool sn_slice_ieq(struct sn_slice a, struct sn_slice b);

bool sn_slice_starts(struct sn_slice s, struct sn_slice prefix);

/* memcmp order, shorter first on a common prefix: <0, 0, >0. */
int sn_slice_cmp(struct sn_slice a, struct sn_slice b);

/* Cuts spaces and tabs at both ends. */
struct sn_slice sn_slice_trim(struct sn_slice s);

/* Cuts *rest at the first @sep: returns what was before it and leaves what is behind it.
 * Without a @sep returns all and leaves *rest empty with p == NULL. */
struct sn_slice sn_slice_cut(struct sn_slice *rest, char sep);

/* Copies @n octets, few as a rule: up to 16 without a call. Returns where they end. */
static inline char *sn_put(char *dst, const char *p, size_t n)
{
	uint64_t a, b;
	uint32_t c, d;

	if (n > 16) {
		memcpy(dst, p, n);
	} else if (n >= 8) {
		memcpy(&a, p, 8);
		memcpy(&b, p + n - 8, 8);
		memcpy(dst, &a, 8);
		memcpy(dst + n - 8, &b, 8);
	} else if (n >= 4) {
		memcpy(&c, p, 4);
		memcpy(&d, p + n - 4, 4);
		memcpy(dst, &c, 4);
		memcpy(dst + n - 4, &d, 4);
	} else {
		for (size_t i = 0; i < n; i++)
			dst[i] = p[i];
	}
	return dst + n;
}

/* Copies @s as a NUL-terminated string into @dst of @cap bytes. Returns 0, or -SN_ETOOBIG with
 * @dst holding what fits. */
int sn_slice_copy(struct sn_slice s, char *dst, size_t cap);

/* True if @s is well-formed UTF-8 (RFC 3629: no surrogates, no overlong forms). */
bool sn_utf8_valid(struct sn_slice s);

/* Levenshtein distance, capped: returns a number > @max as soon as it is known to exceed it.
 * For "did you mean"; inputs over 64 bytes count as too far. */
size_t sn_str_distance(const char *a, const char *b, size_t max);

#endif
