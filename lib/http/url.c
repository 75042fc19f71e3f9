/* SPDX-License-Identifier: Apache-2.0 */
/* Cuts authorities, paths and queries where RFC 3986 cuts them, and nothing else: no normalizing,
 * no decoding, so that what is compared is what is forwarded. */
#include "http/url.h"

#include <arpa/inet.h>

#include "base/err.h"
#include "base/num.h"
#include "http/chars.h"

#define HOST_MAX 255

/* First octet that is not of a reg-name; NULL for a bad escape. */
static const char *skip_reg_name(const char *p, const char *end)
{
	for (;;) {
		while (p < end && sn_char_is(*p, SN_CH_REGNAME))
			p++;
		if (p == end || *p != '%')
			return p;
		if (end - p < 3 || !sn_char_is(p[1], SN_CH_HEX) || !sn_char_is(p[2], SN_CH_HEX))
			return NULL;
		p += 3;
	}
}

static bool ip6_valid(struct sn_slice s)
{
	char text[INET6_ADDRSTRLEN];
	struct in6_addr ip;

	/* No NUL may hide the rest from inet_pton. */
	return memchr(s.p, 0, s.n) == NULL && sn_slice_copy(s, text, sizeof(text)) == 0 &&
	       inet_pton(AF_INET6, text, &ip) == 1;
}

int sn_url_authority(struct sn_slice authority, struct sn_slice *ret_host, uint16_t *ret_port)
{
	const char *end = authority.p + authority.n, *colon;
	struct sn_slice host;
	uint64_t port = 0;

	if (authority.n == 0)
		return -SN_EPROTO;
	if (authority.p[0] == '[') {
		const char *close = memchr(authority.p, ']', authority.n);

		if (!close)
			return -SN_EPROTO;
		host = sn_slice(authority.p + 1, (size_t)(close - authority.p) - 1);
		colon = close + 1;
		if (!ip6_valid(host) || (colon < end && *colon != ':'))
			return -SN_EPROTO;
	} else {
		colon = skip_reg_name(authority.p, end);
		if (!colon || (colon < end && *colon != ':'))
			return -SN_EPROTO;
		host = sn_slice(authority.p, (size_t)(colon - authority.p));
		if (host.n == 0 || host.n > HOST_MAX)
			return -SN_EPROTO;
		if (host.p[host.n - 1] == '.')
			host.n--;
		if (host.n == 0)
			return -SN_EPROTO;
	}
	if (colon < end &&
	    (end - colon > 6 ||
	     sn_num_u64(sn_slice(colon + 1, (size_t)(end - colon) - 1), 65535, &port) != 0 ||
	     port == 0))
		return -SN_EPROTO;
	*ret_host = host;
	*ret_port = (uint16_t)port;
	return 0;
}

int sn_url_path_query(struct sn_slice target, struct sn_slice *ret_path, struct sn_slice *ret_query)
{
	const char *mark;

	if (target.n > 0 && memchr(target.p, '#', target.n))
		return -SN_EPROTO;
	mark = target.n > 0 ? memchr(target.p, '?', target.n) : NULL;
	if (!mark) {
		*ret_path = target;
		*ret_query = sn_slice(target.p + target.n, 0);
		return 0;
	}
	*ret_path = sn_slice(target.p, (size_t)(mark - target.p));
	*ret_query = sn_slice(mark + 1, target.n - ret_path->n - 1);
	return 0;
}

/* Takes the next octet off @s, decoded; a '%' without two hex digits stands for itself. */
static char next_decoded(struct sn_slice *s)
{
	char c = s->p[0];
	size_t used = 1;

	if (c == '%' && s->n >= 3 && sn_char_is(s->p[1], SN_CH_HEX) &&
	    sn_char_is(s->p[2], SN_CH_HEX)) {
		c = (char)(sn_char_hex(s->p[1]) << 4 | sn_char_hex(s->p[2]));
		used = 3;
	}
	s->p += used;
	s->n -= used;
	return c;
}

static bool both_decoded_eq(struct sn_slice a, struct sn_slice b)
{
	while (a.n > 0 && b.n > 0)
		if (next_decoded(&a) != next_decoded(&b))
			return false;
	return a.n == 0 && b.n == 0;
}

bool sn_url_query_find(struct sn_slice query, struct sn_slice name, struct sn_slice *ret_value)
{
	while (query.n > 0) {
		struct sn_slice value = sn_slice_cut(&query, '&');
		struct sn_slice key = sn_slice_cut(&value, '=');

		if (!both_decoded_eq(key, name))
			continue;
		*ret_value = value.p ? value : sn_slice(key.p + key.n, 0);
		return true;
	}
	return false;
}

bool sn_url_decoded_eq(struct sn_slice encoded, struct sn_slice plain)
{
	size_t i = 0;

	for (; encoded.n > 0 && i < plain.n; i++)
		if (next_decoded(&encoded) != plain.p[i])
			return false;
	return encoded.n == 0 && i == plain.n;
}

int sn_url_decode(struct sn_slice encoded, char *dst, size_t cap, size_t *ret_n)
{
	size_t n = 0;

	while (encoded.n > 0) {
		if (n == cap)
			return -SN_ETOOBIG;
		dst[n++] = next_decoded(&encoded);
	}
	*ret_n = n;
	return 0;
}
