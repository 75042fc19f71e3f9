/* SPDX-License-Identifier: Apache-2.0 */
/* Addresses as text and as the kernel's structures. Never resolves names. */
#include "net/addr.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/num.h"

int sn_addr_parse_ip(struct sn_slice s, uint16_t port, struct sn_addr *ret)
{
	char text[SN_ADDR_TEXT];
	struct sn_addr a = {.port = port};

	if (s.n >= 2 && s.p[0] == '[' && s.p[s.n - 1] == ']')
		s = sn_slice(s.p + 1, s.n - 2);
	if (s.n == 0 || sn_slice_copy(s, text, sizeof(text)) || strlen(text) != s.n)
		return -SN_ESYNTAX;
	if (inet_pton(AF_INET, text, a.ip) == 1)
		a.family = AF_INET;
	else if (inet_pton(AF_INET6, text, a.ip) == 1)
		a.family = AF_INET6;
	else
		return -SN_ESYNTAX;
	*ret = a;
	return 0;
}

int sn_addr_parse(struct sn_slice s, struct sn_addr *ret)
{
	uint64_t port;
	size_t colon = s.n;

	while (colon > 0 && s.p[colon - 1] != ':')
		colon--;
	if (colon == 0 || sn_num_u64(sn_slice(s.p + colon, s.n - colon), 65535, &port))
		return -SN_ESYNTAX;
	s.n = colon - 1;
	/* "::1:80" would be ambiguous: IPv6 needs brackets when a port follows */
	if (s.n == 0 || (s.p[0] != '[' && memchr(s.p, ':', s.n)))
		return -SN_ESYNTAX;
	if (s.p[0] == '[' && !memchr(s.p, ':', s.n))
		return -SN_ESYNTAX;
	return sn_addr_parse_ip(s, (uint16_t)port, ret);
}

const char *sn_addr_format_ip(const struct sn_addr *a, char dst[SN_ADDR_TEXT])
{
	if ((a->family != AF_INET && a->family != AF_INET6) ||
	    !inet_ntop(a->family, a->ip, dst, SN_ADDR_TEXT))
		snprintf(dst, SN_ADDR_TEXT, "-");
	return dst;
}

const char *sn_addr_format(const struct sn_addr *a, char dst[SN_ADDR_TEXT])
{
	char ip[SN_ADDR_TEXT];

	if (a->family == 0)
		snprintf(dst, SN_ADDR_TEXT, "-");
	else
		snprintf(dst, SN_ADDR_TEXT, a->family == AF_INET6 ? "[%.45s]:%u" : "%.45s:%u",
			 sn_addr_format_ip(a, ip), a->port);
	return dst;
}

bool sn_addr_eq_ip(const struct sn_addr *a, const struct sn_addr *b)
{
	return a->family == b->family && a->scope == b->scope &&
	       memcmp(a->ip, b->ip, sizeof(a->ip)) == 0;
}

bool sn_addr_eq(const struct sn_addr *a, const struct sn_addr *b)
{
	return a->port == b->port && sn_addr_eq_ip(a, b);
}

bool sn_addr_is_loopback(const struct sn_addr *a)
{
	struct sn_addr plain = *a;
	static const uint8_t one[16] = {[15] = 1};

	sn_addr_unmap(&plain);
	if (plain.family == AF_INET)
		return plain.ip[0] == 127;
	return plain.family == AF_INET6 && memcmp(plain.ip, one, 16) == 0;
}

void sn_addr_unmap(struct sn_addr *a)
{
	static const uint8_t prefix[12] = {[10] = 0xff, [11] = 0xff};

	if (a->family != AF_INET6 || memcmp(a->ip, prefix, 12) != 0)
		return;
	a->family = AF_INET;
	a->scope = 0;
	memmove(a->ip, a->ip + 12, 4);
	memset(a->ip + 4, 0, 12);
}

socklen_t sn_addr_to_sockaddr(const struct sn_addr *a, struct sockaddr_storage *ss)
{
	memset(ss, 0, sizeof(*ss));
	if (a->family == AF_INET) {
		struct sockaddr_in *in = (struct sockaddr_in *)ss;

		in->sin_family = AF_INET;
		in->sin_port = htons(a->port);
		memcpy(&in->sin_addr, a->ip, 4);
		return sizeof(*in);
	}
	if (a->family == AF_INET6) {
		struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)ss;

		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons(a->port);
		in6->sin6_scope_id = a->scope;
		memcpy(&in6->sin6_addr, a->ip, 16);
		return sizeof(*in6);
	}
	return 0;
}

void sn_addr_from_sockaddr(const struct sockaddr_storage *ss, struct sn_addr *ret)
{
	memset(ret, 0, sizeof(*ret));
	if (ss->ss_family == AF_INET) {
		const struct sockaddr_in *in = (const struct sockaddr_in *)ss;

		ret->family = AF_INET;
		ret->port = ntohs(in->sin_port);
		memcpy(ret->ip, &in->sin_addr, 4);
	} else if (ss->ss_family == AF_INET6) {
		const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)ss;

		ret->family = AF_INET6;
		ret->port = ntohs(in6->sin6_port);
		ret->scope = in6->sin6_scope_id;
		memcpy(ret->ip, &in6->sin6_addr, 16);
		sn_addr_unmap(ret);
	}
}
