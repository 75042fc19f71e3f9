/* SPDX-License-Identifier: Apache-2.0 */
/* Paths that a rule rewrites, and where a redirect leads. Nothing is decoded: what stays of a path
 * is forwarded as it came. */
#include "mesh/filter.h"

#include <string.h>

#include "base/err.h"

#define PORT_BYTES 6 /* ":65535" */

static char *put(char *p, struct sn_slice s)
{
	if (s.n)
		memcpy(p, s.p, s.n);
	return p + s.n;
}

/* --- paths --- */

size_t sn_path_change_bytes(const struct sn_path_change *c, struct sn_slice path)
{
	return c->value.n + path.n + 1;
}

struct sn_slice sn_path_changed(const struct sn_path_change *c, struct sn_slice path, char *dst)
{
	struct sn_slice query = path, value = c->value, rest;
	char *p = dst;

	if (c->kind == SN_PATH_KEEP || path.n == 0 || path.p[0] != '/')
		return path;
	rest = sn_slice_cut(&query, '?');
	if (c->kind == SN_PATH_REPLACE_PREFIX) {
		rest = sn_slice(rest.p + c->prefix_bytes, rest.n - c->prefix_bytes);
		while (value.n && value.p[value.n - 1] == '/')
			value.n--;
		p = put(p, value);
		p = put(p, rest);
		if (p == dst)
			*p++ = '/';
	} else {
		p = put(p, value);
	}
	if (query.p)
		p = put(p, sn_slice(query.p - 1, query.n + 1)); /* with its '?' */
	return sn_slice(dst, (size_t)(p - dst));
}

/* --- redirects --- */

static uint16_t default_port(struct sn_slice scheme)
{
	return sn_slice_eq_cstr(scheme, "https") ? 443 : 80;
}

/* "[::1]:80" -> "[::1]" and 80; 0: no port. It was checked when the request was parsed. */
static struct sn_slice split(struct sn_slice authority, uint16_t *ret_port)
{
	size_t n = authority.n;
	uint64_t port = 0;

	*ret_port = 0;
	while (n && authority.p[n - 1] >= '0' && authority.p[n - 1] <= '9')
		n--;
	if (n == 0 || authority.p[n - 1] != ':' ||
	    sn_num_u64(sn_slice(authority.p + n, authority.n - n), 65535, &port))
		return authority;
	*ret_port = (uint16_t)port;
	return sn_slice(authority.p, n - 1);
}

size_t sn_redirect_bytes(const struct sn_redirect *r, const struct sn_redirect_from *from)
{
	return sizeof("https://") + r->scheme.n + from->scheme.n + r->hostname.n +
	       from->authority.n + PORT_BYTES + sn_path_change_bytes(&r->path, from->path);
}

static char *put_port(char *p, uint16_t port)
{
	char digits[5];
	size_t n = 0;

	*p++ = ':';
	for (; port; port /= 10)
		digits[n++] = (char)('0' + port % 10);
	while (n)
		*p++ = digits[--n];
	return p;
}

size_t sn_redirect_location(const struct sn_redirect *r, const struct sn_redirect_from *from,
			    char *dst)
{
	struct sn_slice scheme = r->scheme.n ? r->scheme : from->scheme, host, path;
	uint16_t port, asked;
	char *p = dst;

	host = split(from->authority, &asked);
	if (r->hostname.n)
		host = r->hostname;
	if (host.n) {
		p = put(p, scheme);
		p = put(p, SN_SLICE("://"));
		p = put(p, host);
		port = r->port	     ? r->port
		       : r->scheme.n ? default_port(scheme)
		       : asked	     ? asked
				     : from->port;
		if (port && port != default_port(scheme))
			p = put_port(p, port);
	}
	path = sn_path_changed(&r->path, from->path, p);
	if (path.p != p)
		put(p, path);
	if (host.n == 0 && path.n > 1 && p[1] == '/') { /* "//x" would name a host */
		memmove(p + 2, p, path.n);
		p[0] = '/';
		p[1] = '.';
		path.n += 2;
	}
	p += path.n;
	return (size_t)(p - dst);
}
