/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the character scans of every level against the scalar ones. Input: where the scan begins
 * behind the start of what may be read, then the octets. */
#include "tests/fuzz/h1_feed.h"

#define LINES_MAX 16

static void check_lines(const struct sn_char_scan *s, const struct sn_char_scan *scalar,
			const char *begin, const char *from, const char *end)
{
	struct sn_header a[LINES_MAX], b[LINES_MAX];
	const char *p = from, *q = from;
	uint32_t n_a = s->lines(begin, &p, end, a, LINES_MAX);
	uint32_t n_b = scalar->lines(begin, &q, end, b, LINES_MAX);

	/* A level may leave lines to the careful parser, but what it takes is the same. */
	CHECK(n_a <= n_b && p <= q && p >= from);
	for (uint32_t i = 0; i < n_a; i++)
		CHECK(same_slice(a[i].name, b[i].name) && same_slice(a[i].value, b[i].value));
	CHECK(n_a == 0 || (p[-1] == '\n' && p - from >= 3));
	for (uint32_t i = 0; i < n_b; i++)
		CHECK(sn_token_valid(b[i].name) && sn_field_value_valid(b[i].value));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const struct sn_char_scan *scalar = sn_char_scan_at(SN_CHAR_SCALAR);
	char *copy;
	const char *end, *from;

	if (n == 0)
		return 0;
	copy = exact_copy((const char *)data + 1, n - 1);
	end = copy + n - 1;
	from = copy + (data[0] < n - 1 ? data[0] : n - 1);
	for (int level = SN_CHAR_SSE42; level <= SN_CHAR_AVX2; level++) {
		const struct sn_char_scan *s = sn_char_scan_at((enum sn_char_level)level);

		if (!s)
			continue;
		CHECK(s->token(copy, from, end) == scalar->token(copy, from, end));
		CHECK(s->target(copy, from, end) == scalar->target(copy, from, end));
		CHECK(s->value(copy, from, end) == scalar->value(copy, from, end));
		check_lines(s, scalar, copy, from, end);
	}
	free(copy);
	return 0;
}
