/* SPDX-License-Identifier: Apache-2.0 */
/* Does one match fit one request? Asked for few of them while matching, for all while explaining.
 */
#include "base/err.h"
#include "http/url.h"
#include "mesh/regex.h"
#include "mesh/route_int.h"

static bool regex_fits(const struct sn_regex *re, struct sn_slice text, struct sn_route_scratch *s)
{
	int rc;

	/* Whoever sends what exhausts one expression may exhaust them all. */
	if (s->n_limited_now >= SN_ROUTE_LIMITED_MAX)
		return false;
	if (!s->regex) /* most workers never need one */
		s->regex = sn_regex_scratch_new();
	rc = s->regex ? sn_regex_match(re, text, s->regex) : -SN_ENOMEM;
	if (rc < 0) {
		s->n_limited++;
		s->n_limited_now++;
	}
	return rc == 1;
}

/* Does not fit because there is no room to put it together. */
static bool too_long(struct sn_route_scratch *s)
{
	s->n_limited++;
	s->n_limited_now++;
	return false;
}

/* RFC 9110 5.3: several fields of one name are one list; the Gateway API compares the joined value.
 * One field, the common case, is compared as it is. */
static bool header_is(const struct sn_pair_match *m, const struct sn_request *req)
{
	struct sn_slice want = m->value;
	bool seen = false;
	uint32_t i;

	for (i = 0; i < req->headers.n; i++) {
		const struct sn_header *h = &req->headers.v[i];

		if (h->flags & SN_HDR_DROPPED || !sn_slice_ieq(h->name, m->name))
			continue;
		if (seen) { /* ",": the next field's share of the wanted list */
			if (want.n == 0 || want.p[0] != ',')
				return false;
			want = sn_slice_trim(sn_slice(want.p + 1, want.n - 1));
		}
		if (!sn_slice_starts(want, h->value))
			return false;
		want = sn_slice(want.p + h->value.n, want.n - h->value.n);
		seen = true;
	}
	return seen && want.n == 0;
}

static bool header_regex(const struct sn_pair_match *m, const struct sn_request *req,
			 struct sn_route_scratch *s)
{
	struct sn_slice text = {NULL, 0};
	uint32_t i;

	for (i = 0; i < req->headers.n; i++) {
		const struct sn_header *h = &req->headers.v[i];

		if (h->flags & SN_HDR_DROPPED || !sn_slice_ieq(h->name, m->name))
			continue;
		if (!text.p) {
			text = sn_slice(h->value.p ? h->value.p : "", h->value.n);
			continue;
		}
		if (text.n + 1 + h->value.n > sizeof(s->text))
			return too_long(s);
		if (text.p != s->text)
			memcpy(s->text, text.p, text.n);
		s->text[text.n] = ',';
		if (h->value.n)
			memcpy(s->text + text.n + 1, h->value.p, h->value.n);
		text = sn_slice(s->text, text.n + 1 + h->value.n);
	}
	return text.p && regex_fits(m->regex, text, s);
}

static bool param_fits(const struct sn_pair_match *m, const struct sn_route__question *q)
{
	struct sn_route_scratch *s = q->scratch;
	struct sn_slice value;
	size_t n;

	if (!sn_url_query_find(q->query, m->name, &value))
		return false;
	if (m->kind == SN_PAIR_EXACT)
		return sn_url_decoded_eq(value, m->value);
	if (sn_url_decode(value, s->text, sizeof(s->text), &n))
		return too_long(s);
	return regex_fits(m->regex, sn_slice(s->text, n), s);
}

enum sn_route_why sn_route__fits(const struct sn_match *m, const struct sn_route__question *q,
				 const struct sn_pair_match **ret_pair)
{
	const struct sn_pair_match *pair, *unused = NULL;
	size_t i;

	ret_pair = ret_pair ? ret_pair : &unused;
	if (m->method.n && !sn_slice_eq(m->method, q->req->method_text))
		return SN_ROUTE_METHOD;
	for (i = 0; i < m->n_headers; i++) {
		*ret_pair = pair = &m->headers[i];
		if (pair->kind == SN_PAIR_EXACT ? !header_is(pair, q->req)
						: !header_regex(pair, q->req, q->scratch))
			return SN_ROUTE_HEADER;
	}
	for (i = 0; i < m->n_params; i++) {
		*ret_pair = &m->params[i];
		if (!param_fits(&m->params[i], q))
			return SN_ROUTE_PARAM;
	}
	return SN_ROUTE_FITS;
}

struct sn_slice sn_route__path(const struct sn_match *m)
{
	struct sn_slice path = m->path;

	if (m->path_kind == SN_PATH_PREFIX)
		while (path.n > 0 && path.p[path.n - 1] == '/')
			path.n--;
	return path;
}

bool sn_route__path_fits(const struct sn_match *m, const struct sn_route__question *q)
{
	struct sn_slice prefix;

	if (m->path_kind == SN_PATH_EXACT)
		return sn_slice_eq(m->path, q->path);
	if (m->path_kind == SN_PATH_REGEX)
		return regex_fits(m->regex, q->path, q->scratch);
	prefix = sn_route__path(m);
	return sn_slice_starts(q->path, prefix) &&
	       (q->path.n == prefix.n || q->path.p[prefix.n] == '/' || prefix.n == 0);
}
