/* SPDX-License-Identifier: Apache-2.0 */
/* Looks at the first bytes of a connection. Only what cannot be anything else is called HTTP/1: a
 * line that begins with a token and a space and has " HTTP/" in it. Broken HTTP/1 (two spaces, a
 * wrong version) is HTTP/1 all the same, so that it is refused and not relayed around the rules. */
#include "net/sniff.h"

#include <stdint.h>
#include <string.h>

#define METHOD_MAX 32

static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/* A handshake record (22, version 3.x, length) whose first message is a ClientHello (1). */
static enum sn_proto sniff_tls(const uint8_t *p, size_t n)
{
	if (n >= 2 && p[1] != 3)
		return SN_PROTO_OPAQUE;
	if (n >= 3 && p[2] > 4)
		return SN_PROTO_OPAQUE;
	if (n < 6)
		return SN_PROTO_MORE;
	/* A record holds at least the message's own head and at most 2^14 octets. */
	if ((p[3] << 8 | p[4]) < 4 || (p[3] << 8 | p[4]) > 16384)
		return SN_PROTO_OPAQUE;
	return p[5] == 1 ? SN_PROTO_TLS : SN_PROTO_OPAQUE;
}

static bool is_token_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
	       (c != '\0' && strchr("!#$%&'*+-.^_`|~", c) != NULL);
}

/* True for a request line that is longer than we look and cannot well be anything else. */
static bool is_long_request(struct sn_slice s, size_t method_len)
{
	static const char *const methods[] = {"GET",	"HEAD",	 "POST",   "PUT",
					      "DELETE", "PATCH", "OPTIONS"};

	for (size_t i = 0; i < SN_ARRAY_LEN(methods); i++)
		if (sn_slice_eq_cstr(sn_slice(s.p, method_len), methods[i]))
			return true;
	return false;
}

static enum sn_proto sniff_http1(struct sn_slice s)
{
	size_t i = 0, method;

	while (i < s.n && i <= METHOD_MAX && is_token_char(s.p[i]))
		i++;
	if (i == s.n)
		return i > METHOD_MAX ? SN_PROTO_OPAQUE : SN_PROTO_MORE;
	if (i == 0 || i > METHOD_MAX || s.p[i] != ' ')
		return SN_PROTO_OPAQUE;
	method = i;
	for (; i < s.n; i++) {
		if ((uint8_t)s.p[i] < 0x20 && s.p[i] != '\t')
			return SN_PROTO_OPAQUE; /* the line ends without a version */
		if (s.p[i] == ' ' && s.n - i >= 6 && memcmp(s.p + i, " HTTP/", 6) == 0)
			return SN_PROTO_HTTP1;
	}
	if (s.n < SN_SNIFF_MAX - 2)
		return SN_PROTO_MORE;
	return is_long_request(s, method) ? SN_PROTO_HTTP1 : SN_PROTO_OPAQUE;
}

bool sn_sniff_preface(struct sn_slice s)
{
	return memcmp(s.p, preface, s.n < SN_SNIFF_PREFACE ? s.n : SN_SNIFF_PREFACE) == 0;
}

enum sn_proto sn_sniff(struct sn_slice first_bytes)
{
	struct sn_slice s = first_bytes;
	size_t n = s.n < sizeof(preface) - 1 ? s.n : sizeof(preface) - 1;

	if (s.n == 0)
		return SN_PROTO_MORE;
	if ((uint8_t)s.p[0] == 22)
		return sniff_tls((const uint8_t *)s.p, s.n);
	if (memcmp(s.p, preface, n) == 0)
		return n == sizeof(preface) - 1 ? SN_PROTO_HTTP2 : SN_PROTO_MORE;
	if (s.p[0] == '\r') { /* the empty line that an HTTP/1 server skips */
		if (s.n == 1)
			return SN_PROTO_MORE;
		if (s.p[1] != '\n')
			return SN_PROTO_OPAQUE;
		s = sn_slice(s.p + 2, s.n - 2);
	}
	return sniff_http1(s);
}
