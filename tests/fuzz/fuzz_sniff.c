/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the detection of protocols. Input: the first bytes of a connection, which may arrive in
 * any pieces: the verdict comes once and stays, whatever follows. */
#include "tests/fuzz/h1_feed.h"

#include "net/sniff.h"

#define ALL_PREFIXES 256 /* beyond it some */

static enum sn_proto verdict(const char *p, size_t n)
{
	char *copy = exact_copy(p, n);
	struct sn_slice s = sn_slice(copy, n);
	enum sn_proto proto = sn_sniff(s);

	CHECK(proto >= SN_PROTO_MORE && proto <= SN_PROTO_OPAQUE);
	CHECK(sn_sniff(s) == proto);
	if (n > 0)
		CHECK(!sn_sniff_preface(s) || n >= SN_SNIFF_PREFACE || proto == SN_PROTO_MORE);
	CHECK((proto == SN_PROTO_HTTP2) == (n >= SN_SNIFF_PREFACE && sn_sniff_preface(s)));
	/* Who waits for more must come to an end. */
	CHECK(proto != SN_PROTO_MORE || n < SN_SNIFF_MAX);
	free(copy);
	return proto;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	const char *p = (const char *)data;
	enum sn_proto settled = SN_PROTO_MORE;
	size_t i;

	if (n > SN_SNIFF_MAX)
		n = SN_SNIFF_MAX;
	for (i = 0; i <= n; i += i < ALL_PREFIXES || n - i < 8 ? 1 : (n - i) / 4 + 1) {
		enum sn_proto now = verdict(p, i);

		/* In the last octets the verdict is what the bytes look like so far. */
		if (settled != SN_PROTO_MORE && i < SN_SNIFF_MAX - 2)
			CHECK(now == settled);
		settled = now;
	}
	return 0;
}
