/* SPDX-License-Identifier: Apache-2.0 */
/* HTTP/2 has no framing to smuggle with, but what it carries is written as HTTP/1 on the next hop:
 * so every octet is held to HTTP/1's rules here, where the request still has a stream of its own to
 * be refused on.
 *
 * Text: pseudo-header values one after the other, then the lines, then the empty line. All slices
 * point into it; when it moves because it grows, which is rare, they are moved too. */
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
/* At once what most heads need. */
#define TEXT_BYTES 512

SN_COLD static int refuse(struct sn_h2_fields *f, const char *reason)
{
	f->reason = reason;
	return -SN_EPROTO;
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
	if (f->text.cap > KEEP_TEXT_BYTES)
		sn_buf_done(&f->text);
	if (f->cap > KEEP_FIELDS) {
		free(f->v);
		f->v = NULL;
		f->cap = 0;
	}
	sn_buf_reset(&f->text);
	if (f->text.cap < TEXT_BYTES)
		(void)sn_buf_reserve(&f->text, TEXT_BYTES); /* a failure shows later */
	f->section = section;
	f->max_bytes = max_bytes;
	f->max_count = max_count;
	memset(&f->n, 0, sizeof(*f) - offsetof(struct sn_h2_fields, n));
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

static void move_slice(struct sn_slice *s, uintptr_t by)
{
	if (s->p)
		s->p = (const char *)((uintptr_t)s->p + by);
}

/* Room for @n octets of text. */
SN_COLD static int grow_text(struct sn_h2_fields *f, size_t n)
{
	struct sn_slice *const own[] = {&f->method,   &f->scheme, &f->authority, &f->path,
					&f->protocol, &f->status, &f->host,	 &f->length};
	uintptr_t was = (uintptr_t)f->text.data, by;

	if (sn_buf_reserve(&f->text, n) != 0)
		return -SN_ENOMEM;
	by = (uintptr_t)f->text.data - was;
	if (by == 0)
		return 0;
	for (size_t i = 0; i < SN_ARRAY_LEN(own); i++)
		move_slice(own[i], by);
	for (uint32_t i = 0; i < f->n; i++) {
		move_slice(&f->v[i].name, by);
		move_slice(&f->v[i].value, by);
	}
	return 0;
}

static inline int reserve_text(struct sn_h2_fields *f, size_t n)
{
	return f->text.cap - f->text.end >= n ? 0 : grow_text(f, n);
}

/* The text's end; behind reserve_text. */
static char *text_end(const struct sn_h2_fields *f)
{
	return f->text.data + f->text.end;
}

static inline uint64_t word(const char *p)
{
	uint64_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

static inline uint32_t half(const char *p)
{
	uint32_t w;

	memcpy(&w, p, sizeof(w));
	return w;
}

/* @n is at least 4 and at most 16. */
static inline bool same(const char *a, const char *b, size_t n)
{
	if (n >= 8)
		return word(a) == word(b) && word(a + n - 8) == word(b + n - 8);
	return half(a) == half(b) && half(a + n - 4) == half(b + n - 4);
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

static const struct pseudo pseudo_method = PSEUDO(":method", SEEN_METHOD, SN_H2_REQUEST, method),
			   pseudo_scheme = PSEUDO(":scheme", SEEN_SCHEME, SN_H2_REQUEST, scheme),
			   pseudo_authority =
				   PSEUDO(":authority", SEEN_AUTHORITY, SN_H2_REQUEST, authority),
			   pseudo_path = PSEUDO(":path", SEEN_PATH, SN_H2_REQUEST, path),
			   pseudo_protocol =
				   PSEUDO(":protocol", SEEN_PROTOCOL, SN_H2_REQUEST, protocol),
			   pseudo_status = PSEUDO(":status", SEEN_STATUS, SN_H2_RESPONSE, status);

/* The only one that it can be. */
static const struct pseudo *pseudo_find(struct sn_slice name)
{
	const struct pseudo *p;

	switch (name.n) {
	case 5:
		p = &pseudo_path;
		break;
	case 7:
		p = name.p[1] == 'm'   ? &pseudo_method
		    : name.p[2] == 'c' ? &pseudo_scheme
				       : &pseudo_status;
		break;
	case 9:
		p = &pseudo_protocol;
		break;
	case 10:
		p = &pseudo_authority;
		break;
	default:
		return NULL;
	}
	return same(name.p, p->name.p, name.n) ? p : NULL;
}

static int add_pseudo(struct sn_h2_fields *f, struct sn_slice name, struct sn_slice value)
{
	const struct pseudo *p = pseudo_find(name);
	char *at;

	if (f->section == SN_H2_TRAILERS)
		return refuse(f, "pseudo-in-trailers");
	if (!p || p->section != f->section)
		return refuse(f, "unknown-pseudo");
	if (f->regular)
		return refuse(f, "late-pseudo");
	if (f->seen & p->seen)
		return refuse(f, "repeated-pseudo");
	f->seen |= p->seen;
	if (reserve_text(f, value.n + 1) != 0) /* one more: there is a text even for an empty one */
		return -SN_ENOMEM;
	at = text_end(f);
	sn_put(at, value.p, value.n);
	f->text.end += value.n;
	*(struct sn_slice *)(void *)((char *)f + p->member) = sn_slice(at, value.n);
	return 0;
}

/* --- regular fields --- */

#define ONES UINT64_C(0x0101010101010101)
#define HIGHS (ONES << 7)

/* The octets as one or two words, which overlap: @n is at least 4 and at most 16. */
static inline uint64_t first_word(const char *p, size_t n)
{
	return n >= 8 ? word(p) : (uint64_t)half(p) << 32 | half(p + n - 4);
}

static inline uint64_t last_word(const char *p, size_t n)
{
	return n >= 8 ? word(p + n - 8) : (uint64_t)half(p) << 32 | half(p + n - 4);
}

/* Are all octets of it a-z or '-'? Each sum is below 256 where the octet is below 128. */
static inline bool is_plain(uint64_t w)
{
	uint64_t from_a = w + ONES * (0x80 - 'a'), above_z = w + ONES * (0x7f - 'z');
	uint64_t not_dash = (w ^ ONES * '-') + ONES * 0x7f;

	return (((from_a & ~above_z) | ~not_dash) & ~w & HIGHS) == HIGHS;
}

/* May one of its octets be a control? Never false where one is: borrows only reach upwards, from
 * one that is. */
static inline bool has_control(uint64_t w)
{
	uint64_t del = w ^ ONES * 0x7f;

	return ((((w - ONES * 0x20) & ~w) | ((del - ONES) & ~del)) & HIGHS) != 0;
}

static bool name_valid(struct sn_slice name)
{
	unsigned of_all = SN_CH_LOWER_TOKEN;

	if (name.n >= 4 && name.n <= 16 && is_plain(first_word(name.p, name.n)) &&
	    is_plain(last_word(name.p, name.n)))
		return true;
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
	unsigned of_all = SN_CH_VALUE;

	if (value.n == 0)
		return true;
	if (is_blank(value.p[0]) || is_blank(value.p[value.n - 1]))
		return false;
	if (value.n > 16)
		return sn_char_skip_value(value.p, value.p + value.n) == value.p + value.n;
	if (value.n >= 4 && !has_control(first_word(value.p, value.n)) &&
	    !has_control(last_word(value.p, value.n)))
		return true;
	for (size_t i = 0; i < value.n; i++)
		of_all &= sn_char_class[(uint8_t)value.p[i]];
	return of_all != 0;
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
		h->flags |= SN_HDR_HOP;
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

static int add_regular(struct sn_h2_fields *f, struct sn_slice name, struct sn_slice value,
		       uint8_t flags)
{
	size_t line = name.n + 2 + value.n + 2;
	struct sn_header *h;
	char *p;

	if (!name_valid(name))
		return refuse(f, "bad-header-name");
	if (!value_valid(value))
		return refuse(f, "bad-header-value");
	if (f->n == f->cap && reserve_fields(f, f->n + 1) != 0)
		return -SN_ENOMEM;
	if (reserve_text(f, line) != 0)
		return -SN_ENOMEM;
	f->regular = true;
	p = text_end(f);
	h = &f->v[f->n++];
	*h = (struct sn_header){.name = sn_slice(p, name.n),
				.value = sn_slice(p + name.n + 2, value.n),
				.id = (uint8_t)sn_names_find(name),
				.flags = flags};
	f->text.end += line;
	p = sn_put(p, name.p, name.n);
	p = sn_put(p, ": ", 2);
	p = sn_put(p, value.p, value.n);
	sn_put(p, "\r\n", 2);
	return h->id == SN_HDR_OTHER ? 0 : note_field(f, h, value);
}

int sn_h2_fields_add(struct sn_h2_fields *f, struct sn_slice name, struct sn_slice value,
		     uint8_t flags)
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
	return pseudo ? add_pseudo(f, name, value) : add_regular(f, name, value, flags);
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
	size_t bytes = 0;
	char *at, *p;

	for (uint32_t i = 0; i < f->n; i++)
		if (is_live_cookie(&f->v[i]))
			bytes += f->v[i].value.n + 2;
	if (reserve_fields(f, f->n + 1) != 0 || reserve_text(f, name.n + 2 + bytes + 2) != 0)
		return -SN_ENOMEM;
	at = text_end(f);
	p = sn_put(at, name.p, name.n);
	p = sn_put(p, ": ", 2);
	for (uint32_t i = 0, n = 0; i < f->n; i++) {
		struct sn_header *h = &f->v[i];

		if (!is_live_cookie(h))
			continue;
		h->flags |= SN_HDR_DROPPED;
		if (h->value.n == 0)
			continue; /* or the sum would end in a blank */
		if (n++ > 0)
			p = sn_put(p, "; ", 2);
		p = sn_put(p, h->value.p, h->value.n);
	}
	f->v[f->n++] = (struct sn_header){
		.name = sn_slice(at, name.n),
		.value = sn_slice(at + name.n + 2, (size_t)(p - at) - name.n - 2),
		.id = SN_HDR_COOKIE};
	p = sn_put(p, "\r\n", 2);
	f->text.end += (size_t)(p - at);
	return 0;
}

/* Makes the text complete. */
static int settle(struct sn_h2_fields *f, uint32_t extra, struct sn_headers *ret,
		  struct sn_slice *ret_head)
{
	const char *lines;

	if (f->too_big)
		return -SN_ETOOBIG;
	if (f->n_cookie > 1 && join_cookies(f) != 0)
		return -SN_ENOMEM;
	if ((f->n + extra > f->cap && reserve_fields(f, f->n + extra) != 0) ||
	    reserve_text(f, 2) != 0)
		return -SN_ENOMEM;
	lines = f->n > 0 ? f->v[0].name.p : text_end(f);
	memcpy(text_end(f), "\r\n", 2);
	f->text.end += 2;
	*ret_head = sn_slice(lines, (size_t)(text_end(f) - lines));
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
		f->scheme = f->path = sn_slice("", 0);
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
	ret->text = sn_buf_slice(&f->text);
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
	const char *p = f->status.p;
	unsigned status;

	if (!(f->seen & SEEN_STATUS))
		return refuse(f, "missing-pseudo");
	if (f->status.n != 3 || !sn_char_is(p[0], SN_CH_DIGIT) || !sn_char_is(p[1], SN_CH_DIGIT) ||
	    !sn_char_is(p[2], SN_CH_DIGIT))
		return refuse(f, "bad-status");
	status =
		(unsigned)(p[0] - '0') * 100 + (unsigned)(p[1] - '0') * 10 + (unsigned)(p[2] - '0');
	if (status < 100 || status == 101)
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
	ret->text = sn_buf_slice(&f->text);
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
