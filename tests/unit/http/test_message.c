/* SPDX-License-Identifier: Apache-2.0 */
/* Names, methods, statuses, and the character classes that every codec stands on. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include "http/chars.h"
#include "http/message.h"

/* Also the proof that the hash is perfect: a collision would hide one of these. */
static void test_names(void **state)
{
	static const struct {
		const char *name;
		enum sn_hdr_id id;
	} rows[] = {
		{"accept", SN_HDR_ACCEPT},
		{"Authorization", SN_HDR_AUTHORIZATION},
		{"CONNECTION", SN_HDR_CONNECTION},
		{"content-encoding", SN_HDR_CONTENT_ENCODING},
		{"Content-Length", SN_HDR_CONTENT_LENGTH},
		{"content-type", SN_HDR_CONTENT_TYPE},
		{"cookie", SN_HDR_COOKIE},
		{"date", SN_HDR_DATE},
		{"expect", SN_HDR_EXPECT},
		{"forwarded", SN_HDR_FORWARDED},
		{"hOST", SN_HDR_HOST},
		{"http2-settings", SN_HDR_HTTP2_SETTINGS},
		{"keep-alive", SN_HDR_KEEP_ALIVE},
		{"location", SN_HDR_LOCATION},
		{"proxy-connection", SN_HDR_PROXY_CONNECTION},
		{"retry-after", SN_HDR_RETRY_AFTER},
		{"server", SN_HDR_SERVER},
		{"TE", SN_HDR_TE},
		{"traceparent", SN_HDR_TRACEPARENT},
		{"tracestate", SN_HDR_TRACESTATE},
		{"trailer", SN_HDR_TRAILER},
		{"transfer-encoding", SN_HDR_TRANSFER_ENCODING},
		{"upgrade", SN_HDR_UPGRADE},
		{"via", SN_HDR_VIA},
		{"x-forwarded-for", SN_HDR_X_FORWARDED_FOR},
		{"x-forwarded-host", SN_HDR_X_FORWARDED_HOST},
		{"x-forwarded-proto", SN_HDR_X_FORWARDED_PROTO},
		{"sennit-deadline", SN_HDR_SENNIT},
		{"Sennit_deadline", SN_HDR_SENNIT},
		{"sennit-", SN_HDR_SENNIT},
		{"sennit", SN_HDR_OTHER},
		{"sennitx", SN_HDR_OTHER},
		{"hos", SN_HDR_OTHER},
		{"hostt", SN_HDR_OTHER},
		{"content_length", SN_HDR_OTHER},
		{"content\rlength", SN_HDR_OTHER},
		{"", SN_HDR_OTHER},
		{"x", SN_HDR_OTHER},
	};
	unsigned seen = 0;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		assert_int_equal(sn_hdr_lookup(sn_slice_cstr(rows[i].name)), rows[i].id);
		seen |= 1u << rows[i].id;
	}
	assert_int_equal(seen, (1u << SN_HDR_COUNT) - 1);
}

static void test_methods(void **state)
{
	(void)state;
	for (enum sn_method m = SN_METHOD_GET; m <= SN_METHOD_PATCH; m++) {
		assert_int_equal(sn_method_lookup(sn_slice_cstr(sn_method_name(m))), m);
		assert_int_equal(sn_method_is_idempotent(m), m != SN_METHOD_POST &&
								     m != SN_METHOD_PATCH &&
								     m != SN_METHOD_CONNECT);
	}
	assert_int_equal(sn_method_lookup(SN_SLICE("get")), SN_METHOD_OTHER);
	assert_int_equal(sn_method_lookup(SN_SLICE("GETS")), SN_METHOD_OTHER);
	assert_int_equal(sn_method_lookup(SN_SLICE("")), SN_METHOD_OTHER);
	assert_int_equal(sn_method_lookup(SN_SLICE("BREW")), SN_METHOD_OTHER);
	assert_string_equal(sn_method_name(SN_METHOD_OTHER), "OTHER");
	assert_false(sn_method_is_idempotent(SN_METHOD_OTHER));
}

static void test_statuses(void **state)
{
	(void)state;
	assert_string_equal(sn_status_reason(100), "Continue");
	assert_string_equal(sn_status_reason(200), "OK");
	assert_string_equal(sn_status_reason(404), "Not Found");
	assert_string_equal(sn_status_reason(431), "Request Header Fields Too Large");
	assert_string_equal(sn_status_reason(511), "Network Authentication Required");
	assert_string_equal(sn_status_reason(0), "");
	assert_string_equal(sn_status_reason(299), "");
	assert_string_equal(sn_status_reason(999), "");
}

static void test_find(void **state)
{
	struct sn_header v[] = {
		{SN_SLICE("X-A"), SN_SLICE("1"), SN_HDR_OTHER, SN_HDR_DROPPED},
		{SN_SLICE("x-a"), SN_SLICE("2"), SN_HDR_OTHER, SN_HDR_HOP},
		{SN_SLICE("Host"), SN_SLICE("3"), SN_HDR_HOST, 0},
	};
	struct sn_headers hs = {v, 3, 3};

	(void)state;
	assert_ptr_equal(sn_headers_find(&hs, SN_SLICE("X-a")), &v[1]);
	assert_null(sn_headers_find(&hs, SN_SLICE("x-b")));
	assert_ptr_equal(sn_headers_find_id(&hs, SN_HDR_HOST), &v[2]);
	v[2].flags = SN_HDR_DROPPED;
	assert_null(sn_headers_find_id(&hs, SN_HDR_HOST));
}

/* Every octet at every offset: the eight-at-a-time path says what the table says. */
static void test_values(void **state)
{
	char text[27];

	(void)state;
	for (unsigned c = 0; c < 256; c++) {
		bool good = (c >= 0x20 && c != 0x7f) || c == '\t';

		for (size_t at = 0; at < sizeof(text); at++) {
			memset(text, at % 2 ? 0xff : '\t', sizeof(text));
			text[at] = (char)c;
			assert_int_equal(sn_field_value_valid(sn_slice(text, sizeof(text))), good);
			assert_ptr_equal(sn_char_skip_value(text, text + sizeof(text)),
					 good ? text + sizeof(text) : text + at);
		}
	}
	assert_true(sn_field_value_valid(sn_slice(NULL, 0)));
}

static void test_tokens(void **state)
{
	(void)state;
	assert_true(sn_token_valid(SN_SLICE("!#$%&'*+-.^_`|~09azAZ")));
	assert_false(sn_token_valid(SN_SLICE("")));
	for (const char *p = "\"(),/:;<=>?@[\\]{} \t\r\n\x7f\x80"; *p; p++)
		assert_false(sn_token_valid(sn_slice(p, 1)));
	assert_false(sn_token_valid(SN_SLICE("a\0")));
}

static void test_trailers(void **state)
{
	static const char *const refused[] = {
		"Content-Length",
		"transfer-encoding",
		"HOST",
		"Connection",
		"keep-alive",
		"proxy-connection",
		"te",
		"Trailer",
		"upgrade",
		"http2-settings",
		"Authorization",
		"proxy-authorization",
		"cookie",
		"Set-Cookie",
		"www-authenticate",
		"content-type",
		"content-encoding",
		"content-range",
		"cache-control",
		"Expect",
		"max-forwards",
		"pragma",
		"range",
		"If-Match",
		"if-range",
		"sennit-deadline",
		"Sennit_x",
		"via",
		"forwarded",
		"x-forwarded-for",
		"X_Forwarded_Client_Cert",
		"x-real-ip",
		"date",
		"location",
		"content_length",
		"Transfer_Encoding",
		"l5d-client-id",
	};
	static const char *const allowed[] = {
		"grpc-status",
		"grpc-message",
		"grpc-status-details-bin",
		"x-checksum",
		"etag",
		"server-timing",
		"digest",
		"authentication-info",
		"if",
		"x",
		"content-lengths",
		"x-forwarded",
		"traceparent",
		"hosts",
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(refused); i++) {
		struct sn_slice name = sn_slice_cstr(refused[i]);

		if (sn_trailer_allowed(sn_hdr_lookup(name), name))
			print_error("%s\n", refused[i]);
		assert_false(sn_trailer_allowed(sn_hdr_lookup(name), name));
	}
	for (size_t i = 0; i < SN_ARRAY_LEN(allowed); i++) {
		struct sn_slice name = sn_slice_cstr(allowed[i]);

		assert_true(sn_trailer_allowed(sn_hdr_lookup(name), name));
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_names),	 cmocka_unit_test(test_methods),
		cmocka_unit_test(test_statuses), cmocka_unit_test(test_find),
		cmocka_unit_test(test_values),	 cmocka_unit_test(test_tokens),
		cmocka_unit_test(test_trailers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
