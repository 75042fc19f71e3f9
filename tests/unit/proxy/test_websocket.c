/* SPDX-License-Identifier: Apache-2.0 */
/* The handshake's key, by RFC 6455's own example. */
#include "tests/unit/unit.h"

#include "base/base64.h"
#include "proxy/websocket.h"

static void test_accept(void **state)
{
	static const struct {
		const char *key, *accept;
	} rows[] = {
		{"dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="}, /* 1.3 */
		{"x3JJHMbDL1EzLkh9GBhXDw==", "HSmrc0sMlYUkAGmm5OPpG2HaGWk="},
	};
	char accept[SN_WEBSOCKET_ACCEPT];

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		sn_websocket_accept(rows[i].key, accept);
		assert_slice(sn_slice(accept, sizeof(accept)), rows[i].accept);
	}
}

/* 16 octets in base64 (4.1), another each time. */
static void test_keys(void **state)
{
	char key[SN_WEBSOCKET_KEY], before[SN_WEBSOCKET_KEY] = {0};
	struct sn_rng rng;

	(void)state;
	sn_rng_seed(&rng, 1);
	for (int i = 0; i < 1000; i++) {
		struct sn_buf b;

		sn_buf_init(&b, 0);
		sn_websocket_new_key(&rng, key);
		assert_int_equal(sn_base64_decode(sn_slice(key, sizeof(key)), &b), 0);
		assert_int_equal(sn_buf_len(&b), 16);
		assert_memory_not_equal(key, before, sizeof(key));
		memcpy(before, key, sizeof(key));
		sn_buf_done(&b);
	}
}

static void test_is(void **state)
{
	static const struct {
		const char *to;
		bool is;
	} rows[] = {{"websocket", true},       {"WebSocket", true}, {"websocket2", false},
		    {"websocket, h2c", false}, {"h2c", false},	    {"", false}};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++)
		assert_int_equal(sn_websocket_is(sn_slice_cstr(rows[i].to)), rows[i].is);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_accept),
		cmocka_unit_test(test_keys),
		cmocka_unit_test(test_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
