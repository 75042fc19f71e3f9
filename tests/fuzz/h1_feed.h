/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP/1 fuzzers share: a head is followed by a body; both are fed whole and in parts
 * whose sizes the input chooses, and both ways must end alike. */
#ifndef SN_TESTS_FUZZ_H1_FEED_H
#define SN_TESTS_FUZZ_H1_FEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/h1.h"

#define CHECK(cond)                                                                                \
	do {                                                                                       \
		if (!(cond)) {                                                                     \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #cond);                 \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

#define FUZZ_FIELDS 32

static const struct sn_h1_limits fuzz_limits = {
	.head_bytes = 2048, .header_count = FUZZ_FIELDS, .request_line_bytes = 512};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

/* An exact heap copy, so that a read past the end is seen. */
static inline char *exact_copy(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);

	CHECK(copy);
	memcpy(copy, p, n);
	return copy;
}

static inline void check_inside(struct sn_slice in, struct sn_slice part)
{
	CHECK(part.n == 0 || (part.p >= in.p && part.p + part.n <= in.p + in.n));
}

static inline void check_fields(struct sn_slice in, const struct sn_headers *hs)
{
	CHECK(hs->n <= FUZZ_FIELDS);
	for (uint32_t i = 0; i < hs->n; i++) {
		check_inside(in, hs->v[i].name);
		check_inside(in, hs->v[i].value);
		CHECK(sn_token_valid(hs->v[i].name) && sn_field_value_valid(hs->v[i].value));
		CHECK(hs->v[i].id == sn_hdr_lookup(hs->v[i].name));
	}
}

/* FNV-1a, enough to tell payloads apart. */
static inline uint64_t mix(uint64_t h, struct sn_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		h = (h ^ (uint8_t)s.p[i]) * UINT64_C(1099511628211);
	return h;
}

struct body_end {
	uint64_t hash, n_payload;
	size_t used;
	bool bad, done;
};

/* Feeds @in in parts of at most @step octets. */
static inline struct body_end feed_body(enum sn_framing framing, uint64_t length,
					struct sn_slice in, size_t step)
{
	struct body_end end = {0};
	struct sn_h1_body b;
	size_t at = 0;

	sn_h1_body_init(&b, framing, length);
	while (!b.done && !end.bad && at < in.n) {
		size_t n = in.n - at < step ? in.n - at : step;
		char *copy = exact_copy(in.p + at, n);
		struct sn_slice run;
		ptrdiff_t used = sn_h1_body_feed(&b, sn_slice(copy, n), &run);

		CHECK(used == -SN_EPROTO || (used > 0 && (size_t)used <= n));
		if (used < 0) {
			end.bad = true;
		} else {
			CHECK(run.n <= (size_t)used);
			check_inside(sn_slice(copy, (size_t)used), run);
			end.hash = mix(end.hash, run);
			end.n_payload += run.n;
			at += (size_t)used;
		}
		free(copy);
	}
	end.used = at;
	end.done = b.done;
	CHECK(!(end.bad && end.done));
	CHECK(framing != SN_FRAMING_LENGTH || end.n_payload <= length);
	return end;
}

static inline void check_body_splits(enum sn_framing framing, uint64_t length, struct sn_slice in)
{
	static const size_t steps[] = {1, 2, 7};
	struct body_end whole = feed_body(framing, length, in, SIZE_MAX);

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		struct body_end part = feed_body(framing, length, in, steps[i]);

		CHECK(part.hash == whole.hash && part.n_payload == whole.n_payload);
		CHECK(part.bad == whole.bad && part.done == whole.done);
		CHECK(part.bad || part.used == whole.used);
	}
}

#endif
