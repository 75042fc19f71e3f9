/* SPDX-License-Identifier: Apache-2.0 */
/* The server's half of CORS. A browser enforces it: what is not allowed is answered without the
 * fields that allow it. Every response varies by Origin, since those without it lack the fields. */
#include "mesh/filter_cors.h"

#include <string.h>

#include "base/err.h"
#include "http/url.h"

/* --- origins --- */

int sn_cors_origin_parse(struct sn_slice text, struct sn_cors_origin *ret)
{
	struct sn_slice scheme = sn_slice(text.p, 0), host;
	uint16_t port;

	while (scheme.n < text.n && text.p[scheme.n] != ':')
		scheme.n++;
	ret->https = sn_slice_ieq(scheme, SN_SLICE("https"));
	if (!ret->https && !sn_slice_ieq(scheme, SN_SLICE("http")))
		return -SN_ESYNTAX;
	text = sn_slice(text.p + scheme.n, text.n - scheme.n);
	if (!sn_slice_starts(text, SN_SLICE("://")) ||
	    sn_url_authority(sn_slice(text.p + 3, text.n - 3), &host, &port) || host.n == 0)
		return -SN_ESYNTAX;
	ret->below = host.p[0] == '*';
	if (ret->below)
		host = sn_slice(host.p + 1, host.n - 1);
	if (ret->below && host.n && (host.p[0] != '.' || host.n == 1))
		return -SN_ESYNTAX;
	if (host.n && memchr(host.p, '*', host.n))
		return -SN_ESYNTAX;
	ret->host = host;
	ret->port = port ? port : ret->https ? 443 : 80;
	return 0;
}

static bool origin_fits(const struct sn_cors_origin *o, const struct sn_cors_origin *of)
{
	struct sn_slice host = of->host;

	if (o->https != of->https || o->port != of->port)
		return false;
	if (!o->below)
		return sn_slice_ieq(o->host, host);
	return host.n > o->host.n &&
	       sn_slice_ieq(sn_slice(host.p + host.n - o->host.n, o->host.n), o->host);
}

struct sn_slice sn_cors_allowed(const struct sn_cors *c, const struct sn_headers *request)
{
	const struct sn_header *h = sn_headers_find(request, SN_SLICE("origin"));
	struct sn_cors_origin of;
	size_t i;

	if (!h)
		return sn_slice("", 0);
	if (c->any_origin)
		return h->value;
	if (sn_cors_origin_parse(h->value, &of) || of.below)
		return sn_slice("", 0); /* "null", and what no browser sends */
	for (i = 0; i < c->n_origins; i++)
		if (origin_fits(&c->origins[i], &of))
			return h->value;
	return sn_slice("", 0);
}

bool sn_cors_is_preflight(const struct sn_request *req)
{
	return req->method == SN_METHOD_OPTIONS &&
	       sn_headers_find(&req->headers, SN_SLICE("origin")) &&
	       sn_headers_find(&req->headers, SN_SLICE("access-control-request-method"));
}

/* --- fields --- */

static int append(struct sn_headers *hs, const char *name, struct sn_slice value)
{
	if (hs->n == hs->cap)
		return -SN_ETOOBIG;
	hs->v[hs->n++] = (struct sn_header){.name = sn_slice_cstr(name), .value = value};
	return 0;
}

static bool lists(struct sn_slice list, struct sn_slice word)
{
	while (list.n)
		if (sn_slice_ieq(sn_slice_trim(sn_slice_cut(&list, ',')), word))
			return true;
	return false;
}

/* The upstream's own answers give way; true if it varies by Origin already. */
static bool take_over(struct sn_headers *hs)
{
	static const struct sn_slice ours = SN_SLICE("access-control-");
	bool varies = false;
	uint32_t i;

	for (i = 0; i < hs->n; i++) {
		struct sn_header *h = &hs->v[i];

		if (h->flags & SN_HDR_DROPPED)
			continue;
		if (h->name.n > ours.n && sn_slice_ieq(sn_slice(h->name.p, ours.n), ours))
			h->flags |= SN_HDR_DROPPED;
		else if (sn_slice_ieq(h->name, SN_SLICE("vary")))
			varies |= lists(h->value, SN_SLICE("origin")) ||
				  lists(h->value, SN_SLICE("*"));
	}
	return varies;
}

static int allow_origin(const struct sn_cors *c, struct sn_slice origin, struct sn_headers *hs)
{
	bool star = c->any_origin && !c->credentials; /* with credentials a star is a name */
	int rc = append(hs, "access-control-allow-origin", star ? SN_SLICE("*") : origin);

	if (rc == 0 && c->credentials)
		rc = append(hs, "access-control-allow-credentials", SN_SLICE("true"));
	return rc;
}

int sn_cors_response(const struct sn_cors *c, struct sn_slice origin, struct sn_headers *hs)
{
	int rc = take_over(hs) ? 0 : append(hs, "vary", SN_SLICE("Origin"));

	if (rc || origin.n == 0)
		return rc;
	rc = allow_origin(c, origin, hs);
	if (rc == 0 && c->any_exposed && !c->credentials)
		rc = append(hs, "access-control-expose-headers", SN_SLICE("*"));
	else if (rc == 0 && c->exposed.n)
		rc = append(hs, "access-control-expose-headers", c->exposed);
	return rc;
}

/* A list of the configuration, or where it says all: a star, or what the request asks for, since
 * with credentials a star is a name. */
static int allow_list(const struct sn_cors *c, const struct sn_headers *request, bool any,
		      struct sn_slice list, const char *name, const char *asked,
		      struct sn_headers *hs)
{
	const struct sn_header *h;

	if (any && c->credentials) {
		h = sn_headers_find(request, sn_slice_cstr(asked));
		list = h ? h->value : sn_slice("", 0);
	} else if (any) {
		list = SN_SLICE("*");
	}
	return list.n ? append(hs, name, list) : 0;
}

int sn_cors_preflight(const struct sn_cors *c, const struct sn_request *req, struct sn_slice origin,
		      struct sn_headers *hs)
{
	int rc = append(hs, "vary", SN_SLICE("Origin"));

	if (rc || origin.n == 0)
		return rc;
	rc = allow_origin(c, origin, hs);
	if (rc == 0)
		rc = allow_list(c, &req->headers, c->any_method, c->methods,
				"access-control-allow-methods", "access-control-request-method",
				hs);
	if (rc == 0)
		rc = allow_list(c, &req->headers, c->any_header, c->headers,
				"access-control-allow-headers", "access-control-request-headers",
				hs);
	return rc ? rc : append(hs, "access-control-max-age", c->max_age);
}
