/* SPDX-License-Identifier: Apache-2.0 */
/* What the HTTP/1 fuzzers share: a head is followed by a body; both are fed whole and in parts
 * whose sizes the input chooses, and both ways must end alike. */
#ifndef SN_TESTS_FUZZ_H1_FEED_H
#define SN_TESTS_FUZZ_H1_FEED_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/chars.h"
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

static inline bool same_slice(struct sn_slice a, struct sn_slice b)
{
	return a.n == b.n && (a.n == 0 || a.p == b.p);
}

static inline void check_same_fields(const struct sn_headers *a, const struct sn_headers *b)
{
	CHECK(a->n == b->n);
	for (uint32_t i = 0; i < a->n; i++)
		CHECK(same_slice(a->v[i].name, b->v[i].name) &&
		      same_slice(a->v[i].value, b->v[i].value) && a->v[i].id == b->v[i].id &&
		      a->v[i].flags == b->v[i].flags);
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
	uint64_t trailers; /* hash of the fields and what was decided about them */
	size_t used;
	unsigned n_fed_trailers;
	bool bad, done;
};

/* A field section as @in of growing length; adds what it says to @end. Returns what parse did. */
static inline int feed_trailers(struct sn_h1_body *b, struct sn_slice in, size_t *scanned,
				struct body_end *end)
{
	struct sn_header fields[100];
	struct sn_headers hs = {fields, 0, 100};
	char *copy = exact_copy(in.p, in.n);
	int rc = sn_h1_parse_trailers(sn_slice(copy, in.n), scanned, b, &hs);

	end->n_fed_trailers++;
	CHECK(rc == -SN_EMORE || rc == -SN_EPROTO || (rc > 0 && (size_t)rc <= in.n));
	CHECK(b->done == (rc > 0) && b->at_trailers == (rc == -SN_EMORE));
	for (uint32_t i = 0; rc > 0 && i < hs.n; i++) {
		struct sn_header *h = &hs.v[i];

		check_inside(sn_slice(copy, (size_t)rc), h->name);
		check_inside(sn_slice(copy, (size_t)rc), h->value);
		CHECK(sn_token_valid(h->name) && sn_field_value_valid(h->value));
		CHECK(h->id == sn_hdr_lookup(h->name));
		CHECK((h->flags == SN_HDR_DROPPED) ==
		      !sn_trailer_allowed((enum sn_hdr_id)h->id, h->name));
		end->trailers = mix(mix(end->trailers + h->flags, h->name), h->value);
	}
	free(copy);
	return rc;
}

/* Lets @in arrive in parts; @step tells how many octets the next one has. */
typedef size_t (*fuzz_step_fn)(void *arg);

static inline struct body_end feed_body(enum sn_framing framing, uint64_t length,
					struct sn_slice in, fuzz_step_fn step, void *arg)
{
	struct body_end end = {0};
	struct sn_h1_body b;
	size_t at = 0, arrived = 0, scanned = 0;

	sn_h1_body_init(&b, framing, length);
	while (!b.done && !end.bad && arrived < in.n) {
		size_t n = step(arg), start = at;
		char *copy;

		arrived = n < in.n - arrived ? arrived + n : in.n;
		copy = exact_copy(in.p + start, arrived - start);
		while (!b.done && !b.at_trailers && !end.bad && at < arrived) {
			struct sn_slice run, rest = sn_slice(copy + at - start, arrived - at);
			ptrdiff_t used = sn_h1_body_feed(&b, rest, &run);

			CHECK(used == -SN_EPROTO || (size_t)used <= rest.n);
			CHECK(used != 0 || b.at_trailers);
			if (used < 0) {
				end.bad = true;
				break;
			}
			CHECK(run.n <= (size_t)used);
			check_inside(sn_slice(rest.p, (size_t)used), run);
			end.hash = mix(end.hash, run);
			end.n_payload += run.n;
			at += (size_t)used;
		}
		free(copy);
		if (b.at_trailers) {
			int rc = feed_trailers(&b, sn_slice(in.p + at, arrived - at), &scanned,
					       &end);

			end.bad = rc == -SN_EPROTO;
			at += rc > 0 ? (size_t)rc : 0;
		}
	}
	end.used = at;
	end.done = b.done;
	CHECK(!(end.bad && end.done));
	CHECK(framing == SN_FRAMING_CHUNKED || end.trailers == 0);
	CHECK(framing != SN_FRAMING_LENGTH || end.n_payload <= length);
	return end;
}

/* A refusal of trailers that come in parts may wait for the line's end, as that of a head. */
static inline void check_same_body(struct body_end whole, struct body_end part)
{
	CHECK(part.hash == whole.hash && part.n_payload == whole.n_payload);
	CHECK(part.trailers == whole.trailers);
	CHECK(part.done == whole.done);
	CHECK(part.bad ? whole.bad : !whole.bad || whole.n_fed_trailers > 0);
	CHECK(whole.bad || part.used == whole.used);
}

static inline size_t fixed_step(void *arg)
{
	return *(size_t *)arg;
}

static inline void check_body_splits(enum sn_framing framing, uint64_t length, struct sn_slice in)
{
	static const size_t steps[] = {1, 2, 7};
	size_t all = SIZE_MAX;
	struct body_end whole = feed_body(framing, length, in, fixed_step, &all);

	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		size_t step = steps[i] * (1 + in.n / 1024); /* long inputs in fewer parts */

		check_same_body(whole, feed_body(framing, length, in, fixed_step, &step));
	}
}

#endif
