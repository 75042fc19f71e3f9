/* SPDX-License-Identifier: Apache-2.0 */
/* Parses request heads: request line, fields, and what they mean together. See http/h1_int.h for
 * why the result does not depend on how the input was split. */
#include "http/h1_int.h"

#include <string.h>

#include "http/chars.h"
#include "http/url.h"

static int refuse(struct sn_h1__cursor *c, const char *reason)
{
	return sn_h1__refuse(c, 400, reason);
}

/* "http://authority[/path]" -> authority and path. Only http and https have an authority here. */
static int absolute_form(struct sn_h1__cursor *c, struct sn_request *req)
{
	static const struct sn_slice schemes[] = {SN_SLICE("http://"), SN_SLICE("https://")};
	struct sn_slice t = req->target;

	for (size_t i = 0; i < SN_ARRAY_LEN(schemes); i++) {
		size_t n = schemes[i].n, end;

		if (t.n < n || !sn_slice_ieq(sn_slice(t.p, n), schemes[i]))
			continue;
		for (end = n; end < t.n && t.p[end] != '/' && t.p[end] != '?'; end++)
			;
		req->authority = sn_slice(t.p + n, end - n);
		req->path = sn_slice(t.p + end, t.n - end);
		req->absolute_form = true;
		if (req->path.n == 0) /* RFC 9112 3.2.1 and 3.2.4 */
			req->path =
				req->method == SN_METHOD_OPTIONS ? SN_SLICE("*") : SN_SLICE("/");
		/* "http://a?q" would need a slash that is not in the input. */
		return req->path.p[0] == '?' ? refuse(c, "bad-target") : 0;
	}
	return refuse(c, "bad-target");
}

/* RFC 9112 3.2: which of the four forms, and is it one that this method may have? */
static int target_form(struct sn_h1__cursor *c, struct sn_request *req)
{
	if (req->method == SN_METHOD_CONNECT) {
		req->authority = req->target;
		req->path = sn_slice(req->target.p + req->target.n, 0);
		return 0;
	}
	if (req->target.p[0] == '/') {
		req->path = req->target;
		return 0;
	}
	if (req->method == SN_METHOD_OPTIONS && sn_slice_eq(req->target, SN_SLICE("*"))) {
		req->path = req->target;
		return 0;
	}
	return absolute_form(c, req);
}

static int method(struct sn_h1__cursor *c, struct sn_request *req)
{
	const char *start = c->p, *p = start, *end = c->end;

	if (end - p >= 4 && memcmp(p, "GET ", 4) == 0) {
		req->method_text = sn_slice(p, 3);
		req->method = SN_METHOD_GET;
		c->p += 4;
		return 0;
	}
	while (p < end && sn_char_is(*p, SN_CH_TOKEN))
		p++;
	if (p - start > SN_METHOD_BYTES_MAX)
		return sn_h1__refuse(c, 501, "method-too-long");
	if (p == end)
		return -SN_EMORE;
	if (*p != ' ' || p == start)
		return refuse(c, "bad-request-line");
	req->method_text = sn_slice(start, (size_t)(p - start));
	req->method = sn_method_lookup(req->method_text);
	c->p = p + 1;
	return 0;
}

/* method SP target SP version CRLF, with single spaces. */
static int request_line(struct sn_h1__cursor *c, struct sn_request *req)
{
	const char *start, *p, *end = c->end;
	int rc = method(c, req);

	if (rc != 0)
		return rc;
	start = c->p;
	p = sn_char_scan_now->target(c->begin, start, end);
	if (p == end)
		return -SN_EMORE;
	if (*p != ' ' || p == start) /* a line that ends here is HTTP/0.9 */
		return refuse(c, *p == '\r' || *p == '\n' || p == start ? "bad-request-line"
									: "bad-target");
	req->target = sn_slice(start, (size_t)(p - start));
	rc = target_form(c, req);
	if (rc != 0)
		return rc;
	c->p = p + 1;
	if (end - c->p >= 10 && memcmp(c->p, "HTTP/1.1\r\n", 10) == 0) {
		req->minor = 1;
		c->p += 10;
		return 0;
	}
	rc = sn_h1__version(c, 505, &req->minor);
	return rc != 0 ? rc : sn_h1__crlf(c, "bad-request-line");
}

/* Host's rules (RFC 9112 3.2); an absolute target wins over it. */
static int check_host(struct sn_h1__cursor *c, const struct sn_h1__facts *f, struct sn_request *req)
{
	struct sn_slice host;
	uint16_t port;

	if (f->n_host == 0) {
		if (req->minor >= 1)
			return refuse(c, "no-host");
	} else if (sn_url_authority(f->host, &host, &port) != 0) {
		return refuse(c, "bad-host");
	}
	if (req->method == SN_METHOD_CONNECT || req->absolute_form) {
		if (sn_url_authority(req->authority, &host, &port) != 0 ||
		    (req->method == SN_METHOD_CONNECT && port == 0))
			return refuse(c, "bad-target");
		return 0;
	}
	req->authority = f->host;
	return 0;
}

/* h2c and TLS are upgrades of this hop only, which we do not make. */
static bool upgrade_is_plain(struct sn_slice list)
{
	while (list.n > 0) {
		struct sn_slice one = sn_slice_trim(sn_slice_cut(&list, ','));
		struct sn_slice name = sn_slice_cut(&one, '/');

		if (!sn_token_valid(name) || (one.p && !sn_token_valid(one)) ||
		    sn_slice_ieq(name, SN_SLICE("h2c")) || sn_slice_ieq(name, SN_SLICE("tls")))
			return false;
	}
	return true;
}

static int finish(struct sn_h1__cursor *c, struct sn_h1__facts *f, struct sn_request *req)
{
	int rc = check_host(c, f, req);

	if (rc == 0)
		rc = sn_h1__framing(c, f, req->minor, &req->framing, &req->content_length);
	if (rc == 0)
		rc = sn_h1__connection(c, &req->headers, f);
	if (rc != 0)
		return rc;
	req->keep_alive = !f->close && (req->minor >= 1 || f->keep_alive);
	req->expect_continue = req->minor >= 1 && SN_IEQ_LIT(f->expect, "100-continue");
	req->upgrade = f->n_upgrade == 1 && f->connection_upgrade && req->minor >= 1 &&
		       req->method == SN_METHOD_GET && f->upgrade.n > 0 &&
		       (req->framing == SN_FRAMING_NONE ||
			(req->framing == SN_FRAMING_LENGTH && req->content_length == 0)) &&
		       upgrade_is_plain(f->upgrade);
	req->upgrade_to = req->upgrade ? f->upgrade : sn_slice("", 0);
	return 0;
}

/* One empty line before a request is tolerated (RFC 9112 2.2). */
static int skip_empty_line(struct sn_h1__cursor *c)
{
	if (c->p == c->end)
		return -SN_EMORE;
	return *c->p == '\r' ? sn_h1__crlf(c, "bad-request-line") : 0;
}

int sn_h1_parse_request(struct sn_slice in, size_t *scanned, const struct sn_h1_limits *lim,
			struct sn_request *req, struct sn_h1_refusal *ret_refusal)
{
	struct sn_h1__cursor c = {.begin = in.p, .p = in.p, .refusal = ret_refusal, .status = 400};
	const char *end;
	struct sn_h1__facts f = {0};
	bool line_full = false;
	int rc;

	if (!sn_h1__worth_parsing(in, scanned, lim->head_bytes, lim->request_line_bytes))
		return -SN_EMORE;
	c.end = end = in.p + (in.n < lim->head_bytes ? in.n : lim->head_bytes);
	req->headers.n = 0;
	req->major = 1;
	req->scheme = sn_slice("", 0);
	req->absolute_form = false;
	req->two_authorities = false;
	rc = skip_empty_line(&c);
	if (rc == 0) {
		if ((size_t)(end - c.p) >= (size_t)lim->request_line_bytes + 2) {
			line_full = true;
			c.end = c.p + lim->request_line_bytes + 2;
		}
		rc = request_line(&c, req);
		if (rc == -SN_EMORE && line_full)
			return sn_h1__refuse(&c, 414, "request-line-too-long");
		c.end = end;
	}
	if (rc == 0)
		rc = sn_h1__fields(&c, &req->headers, lim->header_count, &f);
	if (rc == -SN_EMORE && in.n >= lim->head_bytes)
		return sn_h1__refuse(&c, 431, "head-too-large");
	if (rc == 0)
		rc = finish(&c, &f, req);
	if (rc != 0)
		return rc;
	*scanned = 0;
	return (int)(c.p - in.p);
}
