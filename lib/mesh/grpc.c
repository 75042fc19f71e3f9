/* SPDX-License-Identifier: Apache-2.0 */
/* Small translations between HTTP/2 and gRPC. */
#include "mesh/grpc.h"

#include "base/err.h"
#include "base/num.h"

#define DIGITS_MAX 8
#define VALUE_MAX 99999999u

bool sn_grpc_is_type(struct sn_slice t)
{
	static const struct sn_slice base = SN_SLICE("application/grpc");

	return t.n >= base.n && sn_slice_ieq(sn_slice(t.p, base.n), base) &&
	       (t.n == base.n || t.p[base.n] == '+' || t.p[base.n] == ';' || t.p[base.n] == ' ');
}

static const struct {
	char unit;
	uint64_t ns;
} units[] = {{'n', 1},
	     {'u', 1000},
	     {'m', 1000000},
	     {'S', 1000000000ull},
	     {'M', 60000000000ull},
	     {'H', 3600000000000ull}};

int sn_grpc_timeout_ns(struct sn_slice v, uint64_t *ret_ns)
{
	uint64_t n;
	size_t i;

	if (v.n < 2 || v.n > DIGITS_MAX + 1 || sn_num_u64(sn_slice(v.p, v.n - 1), VALUE_MAX, &n))
		return -SN_EPROTO;
	for (i = 0; i < SN_ARRAY_LEN(units); i++)
		if (units[i].unit == v.p[v.n - 1]) {
			*ret_ns = n > UINT64_MAX / units[i].ns ? UINT64_MAX : n * units[i].ns;
			return 0;
		}
	return -SN_EPROTO;
}

size_t sn_grpc_timeout_format(uint64_t ns, char dst[12])
{
	char digits[DIGITS_MAX];
	size_t i = 0, n = 0, out = 0;
	uint64_t v;

	while (i + 1 < SN_ARRAY_LEN(units) && ns / units[i].ns > VALUE_MAX)
		i++;
	v = ns / units[i].ns;
	if (v > VALUE_MAX)
		v = VALUE_MAX;
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

unsigned sn_grpc_http_status(int grpc_status)
{
	static const uint16_t of[] = {200, 499, 500, 400, 504, 404, 409, 403, 429,
				      400, 409, 400, 501, 500, 503, 500, 401};

	return grpc_status >= 0 && (size_t)grpc_status < SN_ARRAY_LEN(of) ? of[grpc_status] : 500;
}
