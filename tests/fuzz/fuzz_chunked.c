/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes chunked bodies with their trailers: however the octets arrive, payload, trailers and
 * verdict are the same. Input: a count of cuts, the lengths between them, then the body. */
#include "tests/fuzz/h1_feed.h"

/* Twice the limit of trailers: longer inputs show nothing new and take long octet by octet. */
#define INPUT_MAX 16384

struct cuts {
	const uint8_t *p;
	size_t n, at;
};

/* The lengths the input gives, over and over; 0 stands for a long one. */
static size_t next_cut(void *arg)
{
	struct cuts *c = arg;
	uint8_t len = c->n ? c->p[c->at++ % c->n] : 0;

	return len ? len : 4096;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct cuts cuts = {.p = data + 1};
	struct sn_slice in;
	struct body_end whole;
	size_t all = SIZE_MAX;

	if (n == 0 || n > INPUT_MAX)
		return 0;
	cuts.n = data[0] & 15u;
	if (cuts.n > n - 1)
		cuts.n = n - 1;
	in = sn_slice((const char *)data + 1 + cuts.n, n - 1 - cuts.n);
	whole = feed_body(SN_FRAMING_CHUNKED, 0, in, fixed_step, &all);
	check_same_body(whole, feed_body(SN_FRAMING_CHUNKED, 0, in, next_cut, &cuts));
	check_body_splits(SN_FRAMING_CHUNKED, 0, in);
	return 0;
}
