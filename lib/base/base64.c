/* SPDX-License-Identifier: Apache-2.0 */
/* Base64, three bytes at a time. */
#include "base/base64.h"

#include "base/err.h"

static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

int sn_base64_encode(struct sn_slice s, struct sn_buf *out)
{
	const unsigned char *p = (const unsigned char *)s.p;
	size_t i, left;
	int rc = sn_buf_reserve(out, (s.n + 2) / 3 * 4);

	for (i = 0; rc == 0 && i < s.n; i += 3) {
		uint32_t v = (uint32_t)p[i] << 16;
		char q[4];

		left = s.n - i;
		v |= left > 1 ? (uint32_t)p[i + 1] << 8 : 0;
		v |= left > 2 ? p[i + 2] : 0;
		q[0] = digits[v >> 18];
		q[1] = digits[v >> 12 & 63];
		q[2] = left > 1 ? digits[v >> 6 & 63] : '=';
		q[3] = left > 2 ? digits[v & 63] : '=';
		rc = sn_buf_append(out, q, 4);
	}
	return rc;
}

static int value(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

int sn_base64_decode(struct sn_slice s, struct sn_buf *out)
{
	size_t i, k, pad = 0;
	int rc = s.n % 4 ? -SN_ESYNTAX : sn_buf_reserve(out, s.n / 4 * 3);

	if (s.n && s.p[s.n - 1] == '=')
		pad = s.n > 1 && s.p[s.n - 2] == '=' ? 2 : 1;
	for (i = 0; rc == 0 && i < s.n; i += 4) {
		size_t n = i + 4 == s.n ? 4 - pad : 4;
		uint32_t v = 0;
		char b[3];

		for (k = 0; k < 4; k++) {
			int d = k < n ? value(s.p[i + k]) : 0;

			if (d < 0)
				return -SN_ESYNTAX;
			v = v << 6 | (uint32_t)d;
		}
		if ((n == 2 && v & 0xffff) || (n == 3 && v & 0xff))
			return -SN_ESYNTAX;
		b[0] = (char)(v >> 16);
		b[1] = (char)(v >> 8);
		b[2] = (char)v;
		rc = sn_buf_append(out, b, n - 1);
	}
	return rc;
}
