/* SPDX-License-Identifier: Apache-2.0 */
/* First bytes: the verdict comes once, at the first octet that settles it, and stays. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

#include "net/sniff.h"

#define IN(lit) (lit), sizeof(lit) - 1

static enum sn_proto sniff_copy(const char *p, size_t n)
{
	char *copy = malloc(n ? n : 1);
	enum sn_proto proto;

	assert_non_null(copy);
	memcpy(copy, p, n);
	proto = sn_sniff(sn_slice(copy, n));
	free(copy);
	return proto;
}

static void test_verdicts(void **state)
{
	static const struct {
		const char *in;
		size_t n;
		enum sn_proto want;
		size_t at; /* octets that settle it */
	} rows[] = {
		{IN("GET / HTTP/1.1\r\n"), SN_PROTO_HTTP1, 11},
		{IN("get /x?y HTTP/1.0\r\n"), SN_PROTO_HTTP1, 14},
		{IN("\r\nGET / HTTP/1.1\r\n"), SN_PROTO_HTTP1, 13},
		{IN("M-SEARCH * HTTP/1.1\r\n"), SN_PROTO_HTTP1, 16},
		{IN("GET  /  HTTP/1.1\r\n"), SN_PROTO_HTTP1, 13}, /* broken: to be refused */
		{IN("GET / HTTP/3.0\r\n"), SN_PROTO_HTTP1, 11},
		{IN("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), SN_PROTO_HTTP2, 24},
		{IN("PRI * HTTP/2.0\r\n\r\nXX"), SN_PROTO_HTTP1, 19},
		{IN("PRI / HTTP/1.1\r\n"), SN_PROTO_HTTP1, 11},
		{IN("\x16\x03\x01\x02\x00\x01\x00\x01"), SN_PROTO_TLS, 6},
		{IN("\x16\x03\x03\x02\x00\x02\x00\x01"), SN_PROTO_OPAQUE, 6},
		{IN("\x16\x03\x03\x00\x02\x01"), SN_PROTO_OPAQUE, 6},
		{IN("\x16\x02"), SN_PROTO_OPAQUE, 2},
		{IN("\x16\x03\x09"), SN_PROTO_OPAQUE, 3},
		{IN("GET /\r\n"), SN_PROTO_OPAQUE, 6},
		{IN("EHLO mail.example\r\n"), SN_PROTO_OPAQUE, 18},
		{IN("get key\r\n"), SN_PROTO_OPAQUE, 8},
		{IN("*1\r\n$4\r\nPING\r\n"), SN_PROTO_OPAQUE, 3},
		{IN("PING\r\n"), SN_PROTO_OPAQUE, 5},
		{IN("SSH-2.0-OpenSSH_9\r\n"), SN_PROTO_OPAQUE, 18},
		{IN("\0\0\0\x08\x04\xd2\x16\x2f"), SN_PROTO_OPAQUE, 1},
		{IN("\rX"), SN_PROTO_OPAQUE, 2},
		{IN("\r\n\r\n"), SN_PROTO_OPAQUE, 3},
		{IN(" GET / HTTP/1.1"), SN_PROTO_OPAQUE, 1},
		{IN("ABCDEFGHIJABCDEFGHIJABCDEFGHIJABCDEFGHIJ / HTTP/1.1"), SN_PROTO_OPAQUE, 33},
		{IN("GET / HTTP"), SN_PROTO_MORE, 0},
		{IN("\r\nG"), SN_PROTO_MORE, 0},
		{IN(""), SN_PROTO_MORE, 0},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		for (size_t n = 0; n <= rows[i].n; n++) {
			bool settled = rows[i].at > 0 && n >= rows[i].at;
			enum sn_proto want = settled ? rows[i].want : SN_PROTO_MORE;

			if (sniff_copy(rows[i].in, n) != want)
				print_error("%s, first %zu\n", rows[i].in, n);
			assert_int_equal(sniff_copy(rows[i].in, n), want);
		}
	}
}

/* Past SN_SNIFF_MAX there is always a verdict; a long request line is still a request. */
static void test_long(void **state)
{
	char *in = malloc(SN_SNIFF_MAX);

	(void)state;
	assert_non_null(in);
	memset(in, 'a', SN_SNIFF_MAX);
	assert_int_equal(sniff_copy(in, SN_SNIFF_MAX), SN_PROTO_OPAQUE);
	memcpy(in, IN("GET /"));
	assert_int_equal(sniff_copy(in, SN_SNIFF_MAX), SN_PROTO_HTTP1);
	assert_int_equal(sniff_copy(in, SN_SNIFF_MAX - 3), SN_PROTO_MORE);
	memcpy(in, IN("XYZ /"));
	assert_int_equal(sniff_copy(in, SN_SNIFF_MAX), SN_PROTO_OPAQUE);
	free(in);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_verdicts),
		cmocka_unit_test(test_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
