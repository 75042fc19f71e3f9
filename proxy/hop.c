/* SPDX-License-Identifier: Apache-2.0 */
/* sennit-* headers in and out. */
#include "proxy/hop.h"

#include <stdio.h>

#include "base/num.h"

#define HOPS_BYTES_MAX 320

static bool is(const struct sn_header *h, const char *name)
{
	return sn_slice_ieq(h->name, sn_slice_cstr(name));
}

static bool lists(struct sn_slice list, struct sn_slice id)
{
	while (list.n) {
		if (sn_slice_eq(sn_slice_trim(sn_slice_cut(&list, ',')), id))
			return true;
	}
	return false;
}

void sn_hop_take(struct sn_headers *hs, bool from_peer, struct sn_slice id, struct sn_hop *ret)
{
	uint64_t ms;
	uint32_t i;

	*ret = (struct sn_hop){.deadline_ms = UINT64_MAX};
	for (i = 0; i < hs->n; i++) {
		struct sn_header *h = &hs->v[i];

		if (h->id != SN_HDR_SENNIT)
			continue;
		h->flags |= SN_HDR_DROPPED;
		if (is(h, "sennit-deadline")) {
			if (sn_num_duration_ms(h->value, &ms) == 0 && ms < ret->deadline_ms)
				ret->deadline_ms = ms;
		} else if (is(h, "sennit-retry")) {
			ret->no_retry |= sn_slice_ieq(h->value, SN_SLICE("no"));
		} else if (is(h, "sennit-mirror")) {
			ret->mirrored |= sn_slice_ieq(h->value, SN_SLICE("yes"));
		} else if (is(h, "sennit-hop")) {
			/* Longer than any mesh is deep: somebody goes in circles. We write one
			 * field; more than one is not ours, and what the others say would be lost.
			 */
			ret->loop |=
				h->value.n > HOPS_BYTES_MAX || ret->seen.n || lists(h->value, id);
			ret->seen = h->value;
		} else if (is(h, "sennit-protocol")) {
			ret->was_h1 |= from_peer && sn_slice_eq(h->value, SN_SLICE("HTTP/1.1"));
		}
	}
}

static void add(struct sn_headers *hs, const char *name, struct sn_slice value)
{
	if (hs->n < hs->cap)
		hs->v[hs->n++] = (struct sn_header){.name = sn_slice_cstr(name), .value = value};
}

void sn_hop_tell(struct sn_headers *hs, const struct sn_hop *hop, bool was_h1, uint64_t left_ms,
		 struct sn_slice id, char text[SN_HOP_TEXT])
{
	char *p = text;
	int n = snprintf(p, SN_HOP_TEXT, "%.*s%s%.*s", SN_ARG(hop->seen), hop->seen.n ? ", " : "",
			 SN_ARG(id));

	add(hs, "sennit-hop", sn_slice(p, (size_t)n));
	p += n + 1;
	if (hop->no_retry)
		add(hs, "sennit-retry", SN_SLICE("no"));
	if (hop->mirrored)
		add(hs, "sennit-mirror", SN_SLICE("yes"));
	if (was_h1)
		add(hs, "sennit-protocol", SN_SLICE("HTTP/1.1"));
	if (left_ms != UINT64_MAX) {
		sn_num_format_duration(left_ms ? left_ms : 1, p, (size_t)(text + SN_HOP_TEXT - p));
		add(hs, "sennit-deadline", sn_slice_cstr(p));
	}
}
