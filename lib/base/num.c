/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text: strict readers (no sign, no space, no overflow) and their writers. */
#include "base/num.h"

#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#include "base/err.h"

int sn_num_u64(struct sn_slice s, uint64_t max, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i;

	if (s.n == 0)
		return -SN_ESYNTAX;
	for (i = 0; i < s.n; i++) {
		if (s.p[i] < '0' || s.p[i] > '9')
			return -SN_ESYNTAX;
		v = v * 10 + (uint64_t)(s.p[i] - '0');
	}
	if (s.n <= 19) { /* 10^19 - 1 fits */
		if (v > max)
			return -SN_ETOOBIG;
		*ret = v;
		return 0;
	}
	v = 0;
	for (i = 0; i < s.n; i++)
		if (__builtin_mul_overflow(v, (uint64_t)10, &v) ||
		    __builtin_add_overflow(v, (uint64_t)(s.p[i] - '0'), &v) || v > max)
			return -SN_ETOOBIG;
	*ret = v;
	return 0;
}

int sn_num_hex(struct sn_slice s, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i;

	if (s.n == 0 || s.n > 16)
		return -SN_ESYNTAX;
	for (i = 0; i < s.n; i++) {
		char c = s.p[i];
		unsigned d;

		if (c >= '0' && c <= '9')
			d = (unsigned)(c - '0');
		else if ((c | 32) >= 'a' && (c | 32) <= 'f')
			d = (unsigned)((c | 32) - 'a') + 10;
		else
			return -SN_ESYNTAX;
		v = v << 4 | d;
	}
	*ret = v;
	return 0;
}

/* Cuts one "digits unit" off *s; units are ordered h > m > s > ms and may come only once. */
static int duration_part(struct sn_slice *s, int *last_unit, uint64_t *sum)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"ms", 1}, {"h", 3600000}, {"m", 60000}, {"s", 1000}};
	size_t n = 0, u;
	uint64_t v;

	while (n < s->n && s->p[n] >= '0' && s->p[n] <= '9')
		n++;
	if (n == 0 || n > 5 || sn_num_u64(sn_slice(s->p, n), 99999, &v))
		return -SN_ESYNTAX;
	*s = sn_slice(s->p + n, s->n - n);
	for (u = 0; u < SN_ARRAY_LEN(units); u++) {
		struct sn_slice name = sn_slice_cstr(units[u].name);

		if (sn_slice_starts(*s, name)) {
			if (*last_unit & 1 << u)
				return -SN_ESYNTAX;
			*last_unit |= 1 << u;
			*sum += v * units[u].ms;
			*s = sn_slice(s->p + name.n, s->n - name.n);
			return 0;
		}
	}
	return -SN_ESYNTAX;
}

int sn_num_duration_ms(struct sn_slice s, uint64_t *ret_ms)
{
	uint64_t sum = 0;
	int seen = 0;

	if (s.n == 0)
		return -SN_ESYNTAX;
	while (s.n)
		if (duration_part(&s, &seen, &sum))
			return -SN_ESYNTAX;
	*ret_ms = sum;
	return 0;
}

void sn_num_format_duration(uint64_t ms, char *dst, size_t cap)
{
	static const struct {
		const char *name;
		uint64_t ms;
	} units[] = {{"h", 3600000}, {"m", 60000}, {"s", 1000}, {"ms", 1}};
	size_t u, n = 0;

	if (ms == 0) {
		snprintf(dst, cap, "0s");
		return;
	}
	for (u = 0; u < SN_ARRAY_LEN(units) && n < cap; u++)
		if (ms >= units[u].ms) {
			n += (size_t)snprintf(dst + n, cap - n, "%llu%s",
					      (unsigned long long)(ms / units[u].ms),
					      units[u].name);
			ms %= units[u].ms;
		}
}

static const struct {
	const char *name;
	unsigned shift;
} size_units[] = {{"GiB", 30}, {"MiB", 20}, {"KiB", 10}, {"", 0}};

int sn_num_size_bytes(struct sn_slice s, uint64_t *ret_bytes)
{
	size_t n = 0, u;
	uint64_t v;
	int rc;

	while (n < s.n && s.p[n] >= '0' && s.p[n] <= '9')
		n++;
	rc = sn_num_u64(sn_slice(s.p, n), UINT64_MAX, &v);
	if (rc)
		return rc;
	for (u = 0; u < SN_ARRAY_LEN(size_units); u++)
		if (sn_slice_eq_cstr(sn_slice(s.p + n, s.n - n), size_units[u].name)) {
			if (v > (uint64_t)INT64_MAX >> size_units[u].shift)
				return -SN_ETOOBIG;
			*ret_bytes = v << size_units[u].shift;
			return 0;
		}
	return -SN_ESYNTAX;
}

void sn_num_format_size(uint64_t bytes, char *dst, size_t cap)
{
	size_t u = 0;

	while (size_units[u].shift &&
	       (bytes == 0 || bytes % ((uint64_t)1 << size_units[u].shift) != 0))
		u++; /* the last unit has shift 0 */
	snprintf(dst, cap, "%llu%s", (unsigned long long)(bytes >> size_units[u].shift),
		 size_units[u].name);
}

/* splitmix64: spreads any seed, zero included. */
static uint64_t spread(uint64_t *x)
{
	uint64_t z = (*x += 0x9e3779b97f4a7c15u);

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

void sn_rng_seed(struct sn_rng *r, uint64_t seed)
{
	r->s[0] = spread(&seed);
	r->s[1] = spread(&seed);
}

/* xoroshiro128+ (Blackman, Vigna 2018). */
uint64_t sn_rng_next(struct sn_rng *r)
{
	uint64_t a = r->s[0], b = r->s[1], out = a + b;

	b ^= a;
	r->s[0] = (a << 24 | a >> 40) ^ b ^ b << 16;
	r->s[1] = b << 37 | b >> 27;
	return out;
}

uint32_t sn_rng_below(struct sn_rng *r, uint32_t n)
{
	return (uint32_t)(((sn_rng_next(r) >> 32) * (uint64_t)n) >> 32);
}

uint64_t sn_rng_entropy(void)
{
	uint64_t v = 0;

	if (getrandom(&v, sizeof(v), GRND_NONBLOCK) != (ssize_t)sizeof(v)) {
		struct timespec ts;

		clock_gettime(CLOCK_MONOTONIC, &ts);
		v = (uint64_t)ts.tv_nsec ^ (uint64_t)(uintptr_t)&v;
	}
	return v;
}
