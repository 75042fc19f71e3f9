/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes request heads and their bodies: slices lie inside the input, nothing is read past its end,
 * and how the input was cut does not change the verdict. */
#include "tests/fuzz/h1_feed.h"

#include "http/url.h"
#include "net/sniff.h"

static void check_request(struct sn_slice in, int rc, const struct sn_request *req)
{
	struct sn_slice head = sn_slice(in.p, (size_t)rc), host;
	uint16_t port;

	CHECK((size_t)rc <= in.n && (size_t)rc <= fuzz_limits.head_bytes);
	check_inside(head, req->method_text);
	check_inside(head, req->target);
	check_inside(head, req->authority);
	if (!req->absolute_form)
		check_inside(head, req->path);
	check_fields(head, &req->headers);
	check_inside(head, req->upgrade_to);
	CHECK(req->major == 1 && req->scheme.n == 0 && req->upgrade == (req->upgrade_to.n > 0));
	CHECK(req->minor <= 1 && (req->minor == 1 || req->framing != SN_FRAMING_CHUNKED));
	CHECK(req->framing != SN_FRAMING_CLOSE);
	CHECK(req->authority.n == 0 ? req->minor == 0
				    : sn_url_authority(req->authority, &host, &port) == 0);
	CHECK(sn_sniff(head) == SN_PROTO_HTTP1);
}

/* The scalar scans read it the same way. */
static void check_scalar(struct sn_slice in, int want, const struct sn_request *req,
			 const struct sn_h1_refusal *why)
{
	const struct sn_char_scan *best = sn_char_scan_now;
	struct sn_header fields[FUZZ_FIELDS];
	struct sn_request twin = {.headers = {fields, 0, FUZZ_FIELDS}};
	struct sn_h1_refusal twin_why = {0};
	size_t scanned = 0;

	sn_char_scan_now = sn_char_scan_at(SN_CHAR_SCALAR);
	CHECK(sn_h1_parse_request(in, &scanned, &fuzz_limits, &twin, &twin_why) == want);
	sn_char_scan_now = best;
	CHECK(twin_why.status == why->status && twin_why.reason == why->reason);
	if (want <= 0)
		return;
	CHECK(twin.method == req->method && same_slice(twin.target, req->target) &&
	      same_slice(twin.authority, req->authority) && twin.framing == req->framing &&
	      twin.minor == req->minor && twin.upgrade == req->upgrade);
	check_same_fields(&twin.headers, &req->headers);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sn_header fields[FUZZ_FIELDS], part_fields[FUZZ_FIELDS];
	struct sn_request req = {.headers = {fields, 0, FUZZ_FIELDS}};
	struct sn_request part = {.headers = {part_fields, 0, FUZZ_FIELDS}};
	struct sn_h1_refusal why = {0}, part_why = {0};
	char *copy = exact_copy((const char *)data, n);
	struct sn_slice in = sn_slice(copy, n);
	size_t scanned = 0;
	int rc = sn_h1_parse_request(in, &scanned, &fuzz_limits, &req, &why), part_rc = -SN_EMORE;

	CHECK(rc > 0 || rc == -SN_EMORE || rc == -SN_EPROTO);
	CHECK((rc == -SN_EPROTO) == (why.reason != NULL));
	if (rc > 0)
		check_request(in, rc, &req);
	sn_sniff(in);
	check_scalar(in, rc, &req, &why);

	/* Octet by octet; a refusal may then come at a shorter prefix, or wait for the line's end.
	 */
	scanned = 0;
	for (size_t i = 1; i <= n && part_rc == -SN_EMORE; i++)
		part_rc = sn_h1_parse_request(sn_slice(copy, i), &scanned, &fuzz_limits, &part,
					      &part_why);
	if (rc > 0 || rc == -SN_EMORE)
		CHECK(part_rc == rc);
	else
		CHECK(part_rc == -SN_EMORE ||
		      (part_why.status == why.status && part_why.reason == why.reason));
	if (rc > 0) {
		CHECK(part.framing == req.framing && part.content_length == req.content_length &&
		      part.headers.n == req.headers.n && part.keep_alive == req.keep_alive);
		check_body_splits(req.framing, req.content_length,
				  sn_slice(copy + rc, n - (size_t)rc));
	}
	free(copy);
	return 0;
}
