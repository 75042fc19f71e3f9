/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes response heads and their bodies. The first octet chooses what was asked. */
#include "tests/fuzz/h1_feed.h"

static void check_response(struct sn_slice in, int rc, enum sn_method method,
			   const struct sn_response *resp)
{
	struct sn_slice head = sn_slice(in.p, (size_t)rc);

	CHECK((size_t)rc <= in.n && (size_t)rc <= fuzz_limits.head_bytes);
	check_inside(head, resp->reason);
	check_fields(head, &resp->headers);
	check_inside(head, resp->upgrade_to);
	CHECK(resp->major == 1 && resp->upgrade == (resp->upgrade_to.n > 0));
	CHECK(resp->status >= 100 && resp->status <= 999 && resp->minor <= 1);
	CHECK(method != SN_METHOD_HEAD || resp->framing == SN_FRAMING_NONE);
	CHECK(resp->framing != SN_FRAMING_CLOSE || !resp->keep_alive);
	CHECK((resp->status >= 200 && resp->status != 204 && resp->status != 304) ||
	      resp->framing == SN_FRAMING_NONE);
}

/* The scalar scans read it the same way. */
static void check_scalar(struct sn_slice in, int want, enum sn_method method,
			 const struct sn_response *resp, const struct sn_h1_refusal *why)
{
	const struct sn_char_scan *best = sn_char_scan_now;
	struct sn_header fields[FUZZ_FIELDS];
	struct sn_response twin = {.headers = {fields, 0, FUZZ_FIELDS}};
	struct sn_h1_refusal twin_why = {0};
	size_t scanned = 0;

	sn_char_scan_now = sn_char_scan_at(SN_CHAR_SCALAR);
	CHECK(sn_h1_parse_response(in, &scanned, &fuzz_limits, method, &twin, &twin_why) == want);
	sn_char_scan_now = best;
	CHECK(twin_why.reason == why->reason);
	if (want <= 0)
		return;
	CHECK(twin.status == resp->status && same_slice(twin.reason, resp->reason) &&
	      twin.framing == resp->framing && twin.minor == resp->minor);
	check_same_fields(&twin.headers, &resp->headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum sn_method methods[] = {SN_METHOD_GET, SN_METHOD_HEAD, SN_METHOD_POST,
						 SN_METHOD_CONNECT};
	struct sn_header fields[FUZZ_FIELDS], part_fields[FUZZ_FIELDS];
	struct sn_response resp = {.headers = {fields, 0, FUZZ_FIELDS}};
	struct sn_response part = {.headers = {part_fields, 0, FUZZ_FIELDS}};
	struct sn_h1_refusal why = {0}, part_why = {0};
	int rc, part_rc = -SN_EMORE;
	size_t scanned = 0;
	enum sn_method method;
	char *copy;

	if (n == 0)
		return 0;
	method = methods[*data++ & 3];
	n--;
	copy = exact_copy((const char *)data, n);
	rc = sn_h1_parse_response(sn_slice(copy, n), &scanned, &fuzz_limits, method, &resp, &why);
	CHECK(rc > 0 || rc == -SN_EMORE || rc == -SN_EPROTO);
	CHECK((rc == -SN_EPROTO) == (why.reason != NULL));
	if (rc > 0)
		check_response(sn_slice(copy, n), rc, method, &resp);
	check_scalar(sn_slice(copy, n), rc, method, &resp, &why);

	scanned = 0;
	for (size_t i = 1; i <= n && part_rc == -SN_EMORE; i++)
		part_rc = sn_h1_parse_response(sn_slice(copy, i), &scanned, &fuzz_limits, method,
					       &part, &part_why);
	if (rc > 0 || rc == -SN_EMORE)
		CHECK(part_rc == rc);
	else
		CHECK(part_rc == -SN_EMORE || part_why.reason == why.reason);
	if (rc > 0) {
		CHECK(part.framing == resp.framing && part.content_length == resp.content_length &&
		      part.headers.n == resp.headers.n && part.keep_alive == resp.keep_alive);
		check_body_splits(resp.framing, resp.content_length,
				  sn_slice(copy + rc, n - (size_t)rc));
	}
	free(copy);
	return 0;
}
