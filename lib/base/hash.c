/* SPDX-License-Identifier: Apache-2.0 */
/* SipHash-2-4 after the paper's reference description (Aumasson, Bernstein: "SipHash: a fast
 * short-input PRF", 2012). */
#include "base/hash.h"

#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"

struct sip {
	uint64_t v0, v1, v2, v3;
};

static uint64_t rotl(uint64_t x, int b)
{
	return (x << b) | (x >> (64 - b));
}

static void round_once(struct sip *s)
{
	s->v0 += s->v1;
	s->v1 = rotl(s->v1, 13) ^ s->v0;
	s->v0 = rotl(s->v0, 32);
	s->v2 += s->v3;
	s->v3 = rotl(s->v3, 16) ^ s->v2;
	s->v0 += s->v3;
	s->v3 = rotl(s->v3, 21) ^ s->v0;
	s->v2 += s->v1;
	s->v1 = rotl(s->v1, 17) ^ s->v2;
	s->v2 = rotl(s->v2, 32);
}

static void absorb(struct sip *s, uint64_t m)
{
	s->v3 ^= m;
	round_once(s);
	round_once(s);
	s->v0 ^= m;
}

uint64_t sn_hash_sip64(const void *p, size_t n, uint64_t k0, uint64_t k1)
{
	struct sip s = {k0 ^ 0x736f6d6570736575u, k1 ^ 0x646f72616e646f6du,
			k0 ^ 0x6c7967656e657261u, k1 ^ 0x7465646279746573u};
	const unsigned char *in = p;
	uint64_t m, last = (uint64_t)n << 56;
	size_t i, tail = n & 7;
	int r;

	for (i = 0; i + 8 <= n; i += 8) {
		memcpy(&m, in + i, 8); /* little-endian machines only: amd64, arm64 */
		absorb(&s, m);
	}
	for (i = 0; i < tail; i++)
		last |= (uint64_t)in[n - tail + i] << (8 * i);
	absorb(&s, last);
	s.v2 ^= 0xff;
	for (r = 0; r < 4; r++)
		round_once(&s);
	return s.v0 ^ s.v1 ^ s.v2 ^ s.v3;
}

static uint64_t seed[2];
static pthread_once_t seed_once = PTHREAD_ONCE_INIT;

static void make_seed(void)
{
	seed[0] = sn_rng_entropy();
	seed[1] = sn_rng_entropy();
}

uint64_t sn_hash_table(const void *p, size_t n)
{
	pthread_once(&seed_once, make_seed);
	return sn_hash_sip64(p, n, seed[0], seed[1]);
}

void sn_hash_content(const void *p, size_t n, char hex[SN_HASH_HEX])
{
	uint64_t a = sn_hash_sip64(p, n, 0x73656e6e69740001u, 0x0123456789abcdefu);
	uint64_t b = sn_hash_sip64(p, n, 0x73656e6e69740002u, 0xfedcba9876543210u);

	snprintf(hex, SN_HASH_HEX, "%016llx%016llx", (unsigned long long)a, (unsigned long long)b);
}
