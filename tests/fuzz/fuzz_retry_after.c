/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes Retry-After and HTTP dates. Input: eight bytes of the present time, then the value. */
#include "tests/fuzz/h1_feed.h"

#include "base/err.h"
#include "mesh/retry.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	uint64_t now = 0, at = 77, ms;
	struct sn_slice value;
	size_t used = n < sizeof(now) ? n : sizeof(now);
	int rc;

	memcpy(&now, data, used);
	value = sn_slice(exact_copy((const char *)data + used, n - used), n - used);
	rc = sn_http_date_parse(value, now, &at);
	ms = sn_retry_after_ms(value, now);
	CHECK(rc == 0 || (rc == -SN_ESYNTAX && at == 77));
	CHECK(rc || at < UINT64_C(253402300800) || at - now < 100 * UINT64_C(31556952));
	CHECK(ms <= SN_RETRY_AFTER_MAX_MS || ms == SN_RETRY_AFTER_NONE);
	CHECK(rc || ms != SN_RETRY_AFTER_NONE);
	if (rc == 0 && at <= now)
		CHECK(ms == 0);
	free((char *)(uintptr_t)value.p);
	return 0;
}
