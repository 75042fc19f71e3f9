/* SPDX-License-Identifier: Apache-2.0 */
/* Small translations between HTTP/2 and gRPC. */
#include "mesh/grpc.h"

#include "base/err.h"
#include "base/num.h"

#define DIGITS_MAX 8

bool sn_grpc_is_type(struct sn_slice t)
{
	static const struct sn_slice base = SN_SLICE("application/grpc");

	return t.n >= base.n && sn_slice_ieq(sn_slice(t.p, base.n), base) &&
	       (t.n == base.n || t.p[base.n] == '+' || t.p[base.n] == ';' || t.p[base.n] == ' ');
}

int sn_grpc_timeout_ms(struct sn_slice v, uint64_t *ret_ms)
{
	uint64_t n;

	if (v.n < 2 || v.n > DIGITS_MAX + 1 || sn_num_u64(sn_slice(v.p, v.n - 1), 99999999, &n))
		return -SN_EPROTO;
	switch (v.p[v.n - 1]) {
	case 'H':
		*ret_ms = n * 3600000;
		return 0;
	case 'M':
		*ret_ms = n * 60000;
		return 0;
	case 'S':
		*ret_ms = n * 1000;
		return 0;
	case 'm':
		*ret_ms = n;
		return 0;
	case 'u':
		*ret_ms = (n + 999) / 1000;
		return 0;
	case 'n':
		*ret_ms = (n + 999999) / 1000000;
		return 0;
	default:
		return -SN_EPROTO;
	}
}

size_t sn_grpc_timeout_format(uint64_t ms, char dst[12])
{
	static const struct {
		char unit;
		uint64_t ms;
	} units[] = {{'m', 1}, {'S', 1000}, {'M', 60000}, {'H', 3600000}};
	char digits[DIGITS_MAX];
	size_t i = 0, n = 0, out = 0;
	uint64_t v = ms;

	while (i + 1 < SN_ARRAY_LEN(units) && ms / units[i].ms > 99999999)
		i++;
	v = ms / units[i].ms;
	if (v > 99999999)
		v = 99999999;
	do {
		digits[n++] = (char)('0' + v % 10);
		v /= 10;
	} while (v);
	while (n)
		dst[out++] = digits[--n];
	dst[out++] = units[i].unit;
	return out;
}

int sn_grpc_status(struct sn_slice v)
{
	uint64_t n;

	return sn_num_u64(v, 16, &n) == 0 ? (int)n : 2;
}

int sn_grpc_status_of_http(unsigned status)
{
	switch (status) {
	case 400:
	case 431:
		return 13; /* INTERNAL */
	case 401:
		return 16; /* UNAUTHENTICATED */
	case 403:
		return 7; /* PERMISSION_DENIED */
	case 404:
	case 405:
		return 12; /* UNIMPLEMENTED */
	case 429:
	case 502:
	case 503:
		return 14; /* UNAVAILABLE */
	case 408:
	case 504:
		return 4; /* DEADLINE_EXCEEDED */
	case 508:
		return 10; /* ABORTED */
	default:
		return 2; /* UNKNOWN */
	}
}
