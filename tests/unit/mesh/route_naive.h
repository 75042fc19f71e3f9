/* SPDX-License-Identifier: Apache-2.0 */
/* Routing as the Gateway API's text has it, word by word and slowly: all matches of all rules are
 * asked, and the best of those that fit is taken. What the compiled table is compared with. */
#ifndef SN_TESTS_ROUTE_NAIVE_H
#define SN_TESTS_ROUTE_NAIVE_H

#include <stdlib.h>
#include <strings.h>

#include "http/url.h"
#include "mesh/regex.h"
#include "mesh/route.h"

static inline struct sn_slice naive_prefix(struct sn_slice path)
{
	while (path.n && path.p[path.n - 1] == '/')
		path.n--;
	return path;
}

static inline bool naive_path(const struct sn_match *m, struct sn_slice path,
			      struct sn_regex_scratch *s)
{
	struct sn_slice prefix = naive_prefix(m->path);

	switch (m->path_kind) {
	case SN_PATH_EXACT:
		return sn_slice_eq(path, m->path);
	case SN_PATH_REGEX:
		return sn_regex_match(m->regex, path, s) == 1;
	case SN_PATH_PREFIX:
		return prefix.n == 0 || sn_slice_eq(path, prefix) ||
		       (path.n > prefix.n && path.p[prefix.n] == '/' &&
			memcmp(path.p, prefix.p, prefix.n) == 0);
	default:
		return true;
	}
}

/* Joined with "," as one value; the tests' values have no "," and no spaces of their own. */
static inline bool naive_header(const struct sn_pair_match *p, const struct sn_request *req,
				struct sn_regex_scratch *s)
{
	char text[8192];
	size_t n = 0, i;
	bool seen = false;

	for (i = 0; i < req->headers.n; i++) {
		const struct sn_header *h = &req->headers.v[i];

		if (h->flags & SN_HDR_DROPPED || h->name.n != p->name.n ||
		    strncasecmp(h->name.p, p->name.p, h->name.n) != 0)
			continue;
		if (n + 1 + h->value.n > sizeof(text))
			abort();
		if (seen)
			text[n++] = ',';
		if (h->value.n)
			memcpy(text + n, h->value.p, h->value.n);
		n += h->value.n;
		seen = true;
	}
	if (!seen)
		return false;
	return p->kind == SN_PAIR_REGEX ? sn_regex_match(p->regex, sn_slice(text, n), s) == 1
					: sn_slice_eq(sn_slice(text, n), p->value);
}

static inline bool naive_param(const struct sn_pair_match *p, struct sn_slice query,
			       struct sn_regex_scratch *s)
{
	struct sn_slice value;
	char text[8192];
	size_t n;

	if (!sn_url_query_find(query, p->name, &value) ||
	    sn_url_decode(value, text, sizeof(text), &n))
		return false;
	return p->kind == SN_PAIR_REGEX ? sn_regex_match(p->regex, sn_slice(text, n), s) == 1
					: sn_slice_eq(sn_slice(text, n), p->value);
}

static inline bool naive_fits(const struct sn_match *m, const struct sn_request *req,
			      struct sn_regex_scratch *s)
{
	struct sn_slice query = req->path, path = sn_slice_cut(&query, '?');
	size_t i;

	if (!naive_path(m, path, s) || (m->method.n && !sn_slice_eq(m->method, req->method_text)))
		return false;
	for (i = 0; i < m->n_headers; i++)
		if (!naive_header(&m->headers[i], req, s))
			return false;
	for (i = 0; i < m->n_params; i++)
		if (!naive_param(&m->params[i], query, s))
			return false;
	return true;
}

/* Does @a come before @b, which is earlier in the document? */
static inline bool naive_better(const struct sn_match *a, const struct sn_match *b)
{
	size_t key[2][5];
	const struct sn_match *m[2] = {a, b};
	size_t i;

	for (i = 0; i < 2; i++) {
		key[i][0] = m[i]->path_kind == SN_PATH_EXACT   ? 2
			    : m[i]->path_kind == SN_PATH_REGEX ? 1
							       : 0;
		key[i][1] = m[i]->path_kind == SN_PATH_PREFIX ? naive_prefix(m[i]->path).n
							      : m[i]->path.n;
		key[i][2] = m[i]->method.n > 0;
		key[i][3] = m[i]->n_headers;
		key[i][4] = m[i]->n_params;
	}
	for (i = 0; i < 5; i++)
		if (key[0][i] != key[1][i])
			return key[0][i] > key[1][i];
	return false;
}

/* @rules: of a compiled table, for their expressions. */
static inline const struct sn_rule *naive_match(const struct sn_rule *rules, size_t n,
						const struct sn_request *req,
						struct sn_regex_scratch *s)
{
	static const struct sn_match anything;
	const struct sn_match *best = NULL;
	const struct sn_rule *rule = NULL;
	size_t i, k;

	for (i = 0; i < n; i++)
		for (k = 0; k < (rules[i].n_matches ? rules[i].n_matches : 1); k++) {
			const struct sn_match *m =
				rules[i].n_matches ? &rules[i].matches[k] : &anything;

			if (naive_fits(m, req, s) && (!best || naive_better(m, best))) {
				best = m;
				rule = &rules[i];
			}
		}
	return rule;
}

#endif
