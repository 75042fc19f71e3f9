/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 has no framing to smuggle with, but what it carries is written as HTTP/1 on the next hop:
 * so every octet is held to HTTP/1's rules here, where the request still has a stream of its own to
 * be refused on.
 *
 * Text: pseudo-header values one after the other, then the lines, then the empty line. Until finish
 * all slices are offsets (the text may move while it grows); finish makes them pointers. */
#include "http/h2_fields.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/num.h"
#include "http/chars.h"
#include "http/names.h"
#include "http/url.h"

enum seen {
	SEEN_METHOD = 1,
	SEEN_SCHEME = 2,
	SEEN_AUTHORITY = 4,
	SEEN_PATH = 8,
	SEEN_PROTOCOL = 16,
	SEEN_STATUS = 32,
};

#define FIELD_OVERHEAD 32 /* RFC 9113 10.5.1 */
/* A set that held a large section gives its memory back before the next. */
#define KEEP_TEXT_BYTES 8192
#define KEEP_FIELDS 128

static int refuse(struct sn_h2_fields *f, const char *reason)
{
	f->reason = reason;
	return -SN_EPROTO;
}

static struct sn_slice at_offset(size_t offset, size_t n)
{
	return sn_slice((const char *)(uintptr_t)offset, n);
}

void sn_h2_fields_init(struct sn_h2_fields *f)
{
	*f = (struct sn_h2_fields){0};
	sn_buf_init(&f->text, 0);
}

void sn_h2_fields_done(struct sn_h2_fields *f)
{
	sn_buf_done(&f->text);
	free(f->v);
	sn_h2_fields_init(f);
}

void sn_h2_fields_begin(struct sn_h2_fields *f, enum sn_h2_section section, uint32_t max_bytes,
			uint32_t max_count)
{
	struct sn_buf text = f->text;
	struct sn_header *v = f->v;
	uint32_t cap = f->cap;

	if (text.cap > KEEP_TEXT_BYTES)
		sn_buf_done(&text);
	if (cap > KEEP_FIELDS) {
		free(v);
		v = NULL;
		cap = 0;
	}
	sn_buf_reset(&text);
	(void)sn_buf_reserve(&text, 512); /* at once what most need; a failure shows later */
	*f = (struct sn_h2_fields){.section = section,
				   .text = text,
				   .v = v,
				   .cap = cap,
				   .max_bytes = max_bytes,
				   .max_count = max_count};
}

static int reserve_fields(struct sn_h2_fields *f, uint32_t n)
{
	uint32_t cap = f->cap ? f->cap : 16;
	struct sn_header *v;

	if (n <= f->cap)
		return 0;
	while (cap < n)
		cap *= 2;
	v = realloc(f->v, cap * sizeof(*v));
	if (!v)
		return -SN_ENOMEM;
	f->v = v;
	f->cap = cap;
	return 0;
}

static char *put(char *dst, const char *p, size_t n)
{
	if (n > 0)
		memcpy(dst, p, n);
	return dst + n;
}

/* --- pseudo-header fields --- */

struct pseudo {
	struct sn_slice name;
	unsigned seen;
	enum sn_h2_section section;
	size_t member;
};

#define PSEUDO(lit, bit, sect, field)                                                              \
	{                                                                                          \
		{(lit), sizeof(lit) - 1}, (bit), (sect), offsetof(struct sn_h2_fields, field)      \
	}

static const struct pseudo pseudos[] = {
	PSEUDO(":method", SEEN_METHOD, SN_H2_REQUEST, method),
	PSEUDO(":scheme", SEEN_SCHEME, SN_H2_REQUEST, scheme),
	PSEUDO(":authority", SEEN_AUTHORITY, SN_H2_REQUEST, authority),
	PSEUDO(":path", SEEN_PATH, SN_H2_REQUEST, path),
	PSEUDO(":protocol", SEEN_PROTOCOL, SN_H2_REQUEST, protocol),
	PSEUDO(":status", SEEN_STATUS, SN_H2_RESPONSE, status),
};

static const struct pseudo *pseudo_find(struct sn_slice name)
{
	for (size_t i = 0; i < SN_ARRAY_LEN(pseudos); i++)
		if (sn_slice_eq(name, pseudos[i].name))
			return &pseudos[i];
	return NULL;
}

static int add_pseudo(struct sn_h2_fields *f, struct sn_slice name, struct sn_slice value)
{
	const struct pseudo *p = pseudo_find(name);
	size_t at = sn_buf_len(&f->text);

	if (f->section == SN_H2_TRAILERS)
		return refuse(f, "pseudo-in-trailers");
	if (!p || p->section != f->section)
		return refuse(f, "unknown-pseudo");
	if (f->regular)
		return refuse(f, "late-pseudo");
	if (f->seen & p->seen)
		return refuse(f, "repeated-pseudo");
	f->seen |= p->seen;
	if (sn_buf_append(&f->text, value.p, value.n) != 0)
		return -SN_ENOMEM;
	*(struct sn_slice *)(void *)((char *)f + p->member) = at_offset(at, value.n);
	return 0;
}

/* --- regular fields --- */

static bool name_valid(struct sn_slice name)
{
	unsigned of_all = SN_CH_LOWER_TOKEN;

	for (size_t i = 0; i < name.n; i++)
		of_all &= sn_char_class[(uint8_t)name.p[i]];
	return name.n > 0 && of_all != 0;
}

static bool is_blank(char c)
{
	return c == ' ' || c == '\t';
}

static bool value_valid(struct sn_slice value)
{
	return value.n == 0 ||
	       (!is_blank(value.p[0]) && !is_blank(value.p[value.n - 1]) &&
		sn_char_skip_value(value.p, value.p + value.n) == value.p + value.n);
}

/* Notes what the field means to framing; refuses what belongs to a connection (RFC 9113 8.2.2). */
static int note_field(struct sn_h2_fields *f, struct sn_header *h, struct sn_slice value)
{
	switch (h->id) {
	case SN_HDR_CONNECTION:
	case SN_HDR_KEEP_ALIVE:
	case SN_HDR_PROXY_CONNECTION:
	case SN_HDR_TRANSFER_ENCODING:
	case SN_HDR_UPGRADE:
		return refuse(f, "connection-field");
	case SN_HDR_TE:
		return sn_slice_ieq(value, SN_SLICE("trailers")) ? 0 : refuse(f, "bad-te");
	case SN_HDR_HTTP2_SETTINGS:
		h->flags = SN_HDR_HOP;
		return 0;
	case SN_HDR_HOST:
		if (f->section == SN_H2_REQUEST && f->n_host++ > 0)
			return refuse(f, "two-hosts");
		f->host = h->value;
		return 0;
	case SN_HDR_CONTENT_LENGTH:
		if (f->section != SN_H2_TRAILERS && f->n_length++ > 0)
			return refuse(f, "two-content-lengths");
		f->length = h->value;
		return 0;
	case SN_HDR_COOKIE:
		f->n_cookie++;
		return 0;
	default:
		return 0;
	}
}

static int add_regular(struct sn_h2_fields *f, struct sn_slice name, struct sn_slice value)
{
	size_t line = name.n + 2 + value.n + 2, at;
	struct sn_header *h;
	char *p;

	if (!name_valid(name))
		return refuse(f, "bad-header-name");
	if (!value_valid(value))
		return refuse(f, "bad-header-value");
	if (f->n == f->cap && reserve_fields(f, f->n + 1) != 0)
		return -SN_ENOMEM;
	if (f->text.cap - f->text.end < line && sn_buf_reserve(&f->text, line) != 0)
		return -SN_ENOMEM;
	f->regular = true;
	at = sn_buf_len(&f->text);
	h = &f->v[f->n];
	*h = (struct sn_header){.name = at_offset(at, name.n),
				.value = at_offset(at + name.n + 2, value.n),
				.id = (uint8_t)sn_names_find(name)};
	p = put(f->text.data + f->text.end, name.p, name.n);
	p = put(p, ": ", 2);
	p = put(p, value.p, value.n);
	put(p, "\r\n", 2);
	f->text.end += line;
	f->n++;
	return note_field(f, h, value);
}

int sn_h2_fields_add(struct sn_h2_fields *f, struct sn_slice name, struct sn_slice value)
{
	bool pseudo = name.n > 0 && name.p[0] == ':';
	uint64_t bytes = (uint64_t)f->list_bytes + name.n + value.n + FIELD_OVERHEAD;

	if (f->too_big)
		return 0;
	if (bytes > f->max_bytes || (!pseudo && f->n >= f->max_count)) {
		f->too_big = true;
		return 0;
	}
	f->list_bytes = (uint32_t)bytes;
	return pseudo ? add_pseudo(f, name, value) : add_regular(f, name, value);
}

/* --- the end of a section --- */

static bool is_live_cookie(const struct sn_header *h)
{
	return h->id == SN_HDR_COOKIE && !(h->flags & SN_HDR_DROPPED);
}

/* HTTP/1 knows one Cookie field: the crumbs are dropped, their sum comes last (RFC 9113 8.2.3). */
static int join_cookies(struct sn_h2_fields *f)
{
	static const struct sn_slice name = SN_SLICE("cookie");
	size_t bytes = 0, at = sn_buf_len(&f->text), used;
	char *p;

	for (uint32_t i = 0; i < f->n; i++)
		if (is_live_cookie(&f->v[i]))
			bytes += f->v[i].value.n + 2;
	if (reserve_fields(f, f->n + 1) != 0 ||
	    sn_buf_reserve(&f->text, name.n + 2 + bytes + 2) != 0)
		return -SN_ENOMEM;
	p = put(f->text.data + f->text.end, name.p, name.n);
	p = put(p, ": ", 2);
	for (uint32_t i = 0, n = 0; i < f->n; i++) {
		struct sn_header *h = &f->v[i];

		if (!is_live_cookie(h))
			continue;
		h->flags |= SN_HDR_DROPPED;
		if (h->value.n == 0)
			continue; /* or the sum would end in a blank */
		if (n++ > 0)
			p = put(p, "; ", 2);
		p = put(p, f->text.data + f->text.start + (uintptr_t)h->value.p, h->value.n);
	}
	used = (size_t)(p - (f->text.data + f->text.end));
	put(p, "\r\n", 2);
	f->text.end += used + 2;
	f->v[f->n++] = (struct sn_header){.name = at_offset(at, name.n),
					  .value = at_offset(at + name.n + 2, used - name.n - 2),
					  .id = SN_HDR_COOKIE};
	return 0;
}

static void to_pointer(const char *base, struct sn_slice *s)
{
	s->p = base + (uintptr_t)s->p;
}

/* Makes the text complete and the offsets pointers. */
static int settle(struct sn_h2_fields *f, uint32_t extra, struct sn_headers *ret,
		  struct sn_slice *ret_head)
{
	struct sn_slice *const pseudo[] = {&f->method,	 &f->scheme, &f->authority, &f->path,
					   &f->protocol, &f->status, &f->host,	    &f->length};
	const char *base;
	size_t lines;

	if (f->too_big)
		return -SN_ETOOBIG;
	if (f->n_cookie > 1 && join_cookies(f) != 0)
		return -SN_ENOMEM;
	if (reserve_fields(f, f->n + extra) != 0 || sn_buf_append(&f->text, "\r\n", 2) != 0)
		return -SN_ENOMEM;
	base = f->text.data + f->text.start;
	for (size_t i = 0; i < SN_ARRAY_LEN(pseudo); i++)
		to_pointer(base, pseudo[i]);
	for (uint32_t i = 0; i < f->n; i++) {
		to_pointer(base, &f->v[i].name);
		to_pointer(base, &f->v[i].value);
	}
	lines = f->n > 0 ? (size_t)(f->v[0].name.p - base) : sn_buf_len(&f->text) - 2;
	*ret_head = sn_slice(base + lines, sn_buf_len(&f->text) - lines);
	*ret = (struct sn_headers){f->v, f->n, f->n + extra};
	return 0;
}

/* As HTTP/1's (http/h1_fields.c). */
static int content_length(struct sn_h2_fields *f, uint64_t *ret)
{
	*ret = 0;
	if (f->n_length == 0)
		return 0;
	if (f->length.n > 19 || sn_num_u64(f->length, INT64_MAX, ret) != 0)
		return refuse(f, "bad-content-length");
	return 0;
}

static bool path_valid(enum sn_method method, struct sn_slice path)
{
	if (path.n == 1 && path.p[0] == '*')
		return method == SN_METHOD_OPTIONS;
	if (path.n == 0 || path.p[0] != '/')
		return false;
	for (size_t i = 0; i < path.n; i++)
		if (!sn_char_is(path.p[i], SN_CH_TARGET))
			return false;
	return true;
}

static void drop_host(struct sn_h2_fields *f)
{
	for (uint32_t i = 0; i < f->n; i++)
		if (f->v[i].id == SN_HDR_HOST)
			f->v[i].flags |= SN_HDR_DROPPED;
}

/* :authority and host say the same, or one of them is missing (RFC 9113 8.3.1). */
static int check_authority(struct sn_h2_fields *f, bool connect, struct sn_request *req)
{
	struct sn_slice host;
	uint16_t port;

	if (!(f->seen & SEEN_AUTHORITY)) {
		if (connect || f->n_host == 0)
			return refuse(f, "no-authority");
		f->authority = f->host;
	}
	if (sn_url_authority(f->authority, &host, &port) != 0 || (connect && port == 0))
		return refuse(f, "bad-authority");
	req->two_authorities = f->n_host > 0 && !sn_slice_ieq(f->host, f->authority);
	if (f->n_host > 0)
		drop_host(f);
	req->authority = f->authority;
	return 0;
}

/* Which pseudo-header fields each kind of request has (RFC 9113 8.3.1, 8.5; RFC 8441 4). */
static int check_pseudo(struct sn_h2_fields *f, struct sn_request *req)
{
	const unsigned ordinary = SEEN_METHOD | SEEN_SCHEME | SEEN_PATH;
	bool connect;

	if (!(f->seen & SEEN_METHOD))
		return refuse(f, "missing-pseudo");
	if (!sn_token_valid(f->method) || f->method.n > SN_METHOD_BYTES_MAX)
		return refuse(f, "bad-method");
	req->method_text = f->method;
	req->method = sn_method_lookup(f->method);
	connect = req->method == SN_METHOD_CONNECT && !(f->seen & SEEN_PROTOCOL);
	if (connect) {
		if (f->seen & (SEEN_SCHEME | SEEN_PATH))
			return refuse(f, "bad-connect");
		return check_authority(f, true, req);
	}
	if ((f->seen & ordinary) != ordinary)
		return refuse(f, "missing-pseudo");
	if (f->seen & SEEN_PROTOCOL) {
		if (req->method != SN_METHOD_CONNECT || !sn_token_valid(f->protocol))
			return refuse(f, "bad-connect");
		req->upgrade = true;
		req->upgrade_to = f->protocol;
	}
	if (!sn_slice_ieq(f->scheme, SN_SLICE("http")) &&
	    !sn_slice_ieq(f->scheme, SN_SLICE("https")))
		return refuse(f, "bad-scheme");
	if (!path_valid(req->method, f->path))
		return refuse(f, "bad-path");
	return check_authority(f, false, req);
}

int sn_h2_fields_request(struct sn_h2_fields *f, bool end_stream, uint32_t extra,
			 struct sn_request *ret, struct sn_slice *ret_head)
{
	const struct sn_header *expect;
	int rc;

	*ret = (struct sn_request){
		.major = 2, .minor = 1, .absolute_form = true, .keep_alive = true};
	rc = settle(f, extra, &ret->headers, ret_head);
	if (rc == 0)
		rc = check_pseudo(f, ret);
	if (rc == 0)
		rc = content_length(f, &ret->content_length);
	if (rc != 0)
		return rc;
	ret->scheme = f->scheme;
	ret->target = ret->method == SN_METHOD_CONNECT && !ret->upgrade ? f->authority : f->path;
	ret->path = f->path;
	if (end_stream && ret->content_length > 0)
		return refuse(f, "short-body");
	if (ret->method == SN_METHOD_CONNECT) {
		if (f->n_length > 0)
			return refuse(f, "bad-content-length");
		ret->framing = SN_FRAMING_NONE;
	} else if (!end_stream) {
		ret->framing = f->n_length > 0 ? SN_FRAMING_LENGTH : SN_FRAMING_CHUNKED;
	}
	expect = sn_headers_find_id(&ret->headers, SN_HDR_EXPECT);
	ret->expect_continue = expect && sn_slice_ieq(expect->value, SN_SLICE("100-continue"));
	return 0;
}

/* Three digits, 100..999; 101 does not exist here (RFC 9113 8.6). */
static int check_status(struct sn_h2_fields *f, bool end_stream, uint16_t *ret)
{
	uint64_t status;

	if (!(f->seen & SEEN_STATUS))
		return refuse(f, "missing-pseudo");
	if (f->status.n != 3 || sn_num_u64(f->status, 999, &status) != 0 || status < 100 ||
	    status == 101)
		return refuse(f, "bad-status");
	if (status < 200 && end_stream)
		return refuse(f, "informational-end");
	*ret = (uint16_t)status;
	return 0;
}

int sn_h2_fields_response(struct sn_h2_fields *f, bool end_stream, enum sn_method request_method,
			  uint32_t extra, struct sn_response *ret, struct sn_slice *ret_head)
{
	bool tunnel, bodiless;
	int rc;

	*ret = (struct sn_response){.major = 2, .minor = 1, .keep_alive = true};
	rc = settle(f, extra, &ret->headers, ret_head);
	if (rc == 0)
		rc = check_status(f, end_stream, &ret->status);
	if (rc == 0)
		rc = content_length(f, &ret->content_length);
	if (rc != 0)
		return rc;
	tunnel = request_method == SN_METHOD_CONNECT && ret->status >= 200 && ret->status < 300;
	bodiless = request_method == SN_METHOD_HEAD || ret->status < 200 || ret->status == 204 ||
		   ret->status == 304;
	if (tunnel) {
		ret->upgrade = true;
		return 0;
	}
	if (bodiless)
		return 0;
	if (end_stream)
		return ret->content_length > 0 ? refuse(f, "short-body") : 0;
	ret->framing = f->n_length > 0 ? SN_FRAMING_LENGTH : SN_FRAMING_CHUNKED;
	return 0;
}

int sn_h2_fields_trailers(struct sn_h2_fields *f, struct sn_headers *ret, struct sn_slice *ret_head)
{
	int rc;

	f->n_cookie = 0; /* dropped one by one below */
	rc = settle(f, 0, ret, ret_head);
	if (rc != 0)
		return rc;
	for (uint32_t i = 0; i < f->n; i++)
		if (!sn_trailer_allowed((enum sn_hdr_id)f->v[i].id, f->v[i].name))
			f->v[i].flags |= SN_HDR_DROPPED;
	return 0;
}
