/* SPDX-License-Identifier: Apache-2.0 */
/* The part of an HTTP/1 head that requests and responses have in common: field lines, Connection,
 * and the two ways to frame a body. Every choice that RFC 9112 leaves is taken on the strict side:
 * a proxy that guesses is one half of request smuggling. */
#include "http/h1_int.h"

#include <string.h>

#include "base/num.h"
#include "http/chars.h"
#include "http/names.h"

/* A Connection field names a handful of things; each name is compared with every field. */
#define CONNECTION_NAMES_MAX 32

bool sn_h1__worth_parsing(struct sn_slice in, size_t *scanned, uint32_t head_bytes,
			  uint32_t line_bytes)
{
	size_t from = *scanned, line_limit = (size_t)line_bytes + 4;

	if (in.n <= from)
		return false;
	*scanned = in.n;
	return from == 0 || in.n >= head_bytes || (from < line_limit && in.n >= line_limit) ||
	       memchr(in.p + from, '\n', in.n - from) != NULL;
}

int sn_h1__refuse(struct sn_h1__cursor *c, uint16_t status, const char *reason)
{
	*c->refusal = (struct sn_h1_refusal){status, reason};
	return -SN_EPROTO;
}

static int refuse(struct sn_h1__cursor *c, const char *reason)
{
	return sn_h1__refuse(c, c->status, reason);
}

int sn_h1__crlf_or(struct sn_h1__cursor *c, const char *bad)
{
	if (c->p == c->end)
		return -SN_EMORE;
	if (c->p[0] != '\r')
		return refuse(c, bad);
	if (c->p + 1 == c->end)
		return -SN_EMORE;
	if (c->p[1] != '\n')
		return refuse(c, bad);
	c->p += 2;
	return 0;
}

int sn_h1__version(struct sn_h1__cursor *c, uint16_t status_other, uint8_t *ret_minor)
{
	static const char want[] = "HTTP/";
	size_t n = (size_t)(c->end - c->p);
	const char *p = c->p;

	if (n >= 8 && memcmp(p, "HTTP/1.1", 8) == 0) {
		*ret_minor = 1;
		c->p += 8;
		return 0;
	}
	for (size_t i = 0; i < 5; i++) {
		if (i == n)
			return -SN_EMORE;
		if (p[i] != want[i])
			return refuse(c, "bad-version");
	}
	for (size_t i = 5; i < 8; i++) {
		if (i == n)
			return -SN_EMORE;
		if (i == 6 ? p[i] != '.' : !sn_char_is(p[i], SN_CH_DIGIT))
			return refuse(c, "bad-version");
	}
	if (p[5] != '1')
		return sn_h1__refuse(c, status_other, "version-unsupported");
	*ret_minor = p[7] == '0' ? 0 : 1;
	c->p += 8;
	return 0;
}

#define BIT(id) (UINT32_C(1) << (id))
#define NOTED                                                                                      \
	(BIT(SN_HDR_HOST) | BIT(SN_HDR_CONTENT_LENGTH) | BIT(SN_HDR_TRANSFER_ENCODING) |           \
	 BIT(SN_HDR_CONNECTION) | BIT(SN_HDR_UPGRADE) | BIT(SN_HDR_TE) | BIT(SN_HDR_EXPECT) |      \
	 BIT(SN_HDR_KEEP_ALIVE) | BIT(SN_HDR_PROXY_CONNECTION) | BIT(SN_HDR_HTTP2_SETTINGS))
_Static_assert(SN_HDR_COUNT <= 32, "ids do not fit in a mask");

/* Notes what a field means to framing and flags hop-by-hop ones (RFC 9110 7.6.1). */
static int note_field(struct sn_h1__cursor *c, struct sn_header *h, struct sn_h1__facts *f)
{
	switch (h->id) {
	case SN_HDR_HOST:
		if (f->n_host++ > 0)
			return refuse(c, "two-hosts");
		f->host = h->value;
		return 0;
	case SN_HDR_CONTENT_LENGTH:
		if (f->n_length++ > 0)
			return refuse(c, "two-content-lengths");
		f->length = h->value;
		return 0;
	case SN_HDR_TRANSFER_ENCODING:
		if (f->n_transfer++ > 0)
			return refuse(c, "two-transfer-encodings");
		f->transfer = h->value;
		break;
	case SN_HDR_CONNECTION:
		f->n_connection++;
		f->connection = h->value;
		break;
	case SN_HDR_UPGRADE:
		f->n_upgrade++;
		f->upgrade = h->value;
		break;
	case SN_HDR_TE:
		if (SN_IEQ_LIT(h->value, "trailers"))
			return 0;
		break;
	case SN_HDR_EXPECT:
		f->expect = h->value;
		return 0;
	case SN_HDR_KEEP_ALIVE:
	case SN_HDR_PROXY_CONNECTION:
	case SN_HDR_HTTP2_SETTINGS:
		break;
	default:
		return 0;
	}
	h->flags = SN_HDR_HOP;
	return 0;
}

static int bad_name(struct sn_h1__cursor *c, const char *at)
{
	if (at == c->p && (*at == ' ' || *at == '\t'))
		return refuse(c, "obs-fold");
	return refuse(c, "bad-header-name");
}

/* One "name: value CRLF", or what is wrong about it. */
static int field(struct sn_h1__cursor *c, struct sn_header *h)
{
	const char *name = c->p, *colon, *value, *stop;
	int rc;

	colon = sn_char_scan_now->token(c->begin, name, c->end);
	if (colon == c->end)
		return -SN_EMORE;
	if (*colon != ':' || colon == name)
		return bad_name(c, colon);
	for (value = colon + 1; value < c->end && (*value == ' ' || *value == '\t'); value++)
		;
	c->p = stop = sn_char_scan_now->value(c->begin, value, c->end);
	rc = sn_h1__crlf(c, "bad-header-value");
	if (rc != 0)
		return rc;
	while (stop > value && (stop[-1] == ' ' || stop[-1] == '\t'))
		stop--;
	h->name = sn_slice(name, (size_t)(colon - name));
	h->value = sn_slice(value, (size_t)(stop - value));
	return 0;
}

/* Looks up the fields from @from to @to and notes what they mean. */
static inline int note_fields(struct sn_h1__cursor *c, struct sn_header *from, struct sn_header *to,
			      struct sn_h1__facts *f)
{
	for (struct sn_header *h = from; h < to; h++) {
		int rc;

		h->id = (uint8_t)sn_names_find(h->name);
		h->flags = 0;
		if (!f || !(NOTED & BIT(h->id)))
			continue;
		rc = note_field(c, h, f);
		if (rc != 0)
			return rc;
	}
	return 0;
}

/* Whole lines are taken many at a time; the careful way is for what they stop at: the end, a line
 * that is wrong or has not come yet, and oddities that may be right. */
int sn_h1__fields(struct sn_h1__cursor *c, struct sn_headers *hs, uint32_t max_count,
		  struct sn_h1__facts *f)
{
	struct sn_header *v = hs->v;
	uint32_t max = max_count < hs->cap ? max_count : hs->cap, n = 0, noted = 0;
	int rc;

	for (;;) {
		n += sn_char_scan_now->lines(c->begin, &c->p, c->end, v + n, max - n);
		rc = note_fields(c, v + noted, v + n, f);
		if (rc != 0)
			return rc;
		noted = n;
		if (c->p == c->end)
			return -SN_EMORE;
		if (*c->p == '\r') {
			hs->n = n;
			return sn_h1__crlf(c, "bad-line-end");
		}
		if (n == max)
			return sn_h1__refuse(c, c->status == 400 ? 431 : c->status,
					     "too-many-headers");
		rc = field(c, v + n);
		if (rc != 0)
			return rc;
		n++;
	}
}

/* Fields that the other side relies on: naming one in Connection is an attempt to have us strip it.
 */
static bool is_protected(struct sn_slice name)
{
	static const struct sn_slice exact[] = {
		SN_SLICE("cookie"),
		SN_SLICE("set-cookie"),
		SN_SLICE("x-real-ip"),
		SN_SLICE("x-request-id"),
		SN_SLICE("b3"),
		SN_SLICE("baggage"),
		SN_SLICE("grpc-trace-bin"),
		SN_SLICE("uber-trace-id"),
		SN_SLICE("l5d-client-id"),
		SN_SLICE("www-authenticate"),
		SN_SLICE("x-cloud-trace-context"),
	};
	static const struct sn_slice prefixes[] = {
		SN_SLICE("x-forwarded"), SN_SLICE("x_forwarded"), SN_SLICE("x-b3-"),
		SN_SLICE("x-amzn-"),	 SN_SLICE("l5d-"),
	};

	switch (sn_hdr_lookup(name)) {
	case SN_HDR_AUTHORIZATION:
	case SN_HDR_HOST:
	case SN_HDR_CONTENT_LENGTH:
	case SN_HDR_CONTENT_TYPE:
	case SN_HDR_CONTENT_ENCODING:
	case SN_HDR_COOKIE:
	case SN_HDR_FORWARDED:
	case SN_HDR_VIA:
	case SN_HDR_TRACEPARENT:
	case SN_HDR_TRACESTATE:
	case SN_HDR_X_FORWARDED_FOR:
	case SN_HDR_X_FORWARDED_HOST:
	case SN_HDR_X_FORWARDED_PROTO:
	case SN_HDR_SENNIT:
		return true;
	default:
		break;
	}
	for (size_t i = 0; i < SN_ARRAY_LEN(exact); i++)
		if (sn_slice_ieq(name, exact[i]))
			return true;
	for (size_t i = 0; i < SN_ARRAY_LEN(prefixes); i++)
		if (name.n >= prefixes[i].n &&
		    sn_slice_ieq(sn_slice(name.p, prefixes[i].n), prefixes[i]))
			return true;
	return false;
}

static int connection_name(struct sn_h1__cursor *c, struct sn_slice name, struct sn_headers *hs,
			   struct sn_h1__facts *f)
{
	if (SN_IEQ_LIT(name, "close")) {
		f->close = true;
		return 0;
	}
	if (SN_IEQ_LIT(name, "keep-alive")) {
		f->keep_alive = true;
		return 0;
	}
	if (SN_IEQ_LIT(name, "upgrade")) {
		f->connection_upgrade = true;
		return 0;
	}
	if (SN_IEQ_LIT(name, "te"))
		return 0; /* noted with the field itself: "trailers" passes */
	if (!sn_token_valid(name))
		return refuse(c, "bad-connection");
	if (is_protected(name))
		return refuse(c, "connection-attack");
	for (uint32_t i = 0; i < hs->n; i++)
		if (hs->v[i].name.n == name.n && sn_slice_ieq(hs->v[i].name, name))
			hs->v[i].flags |= SN_HDR_HOP;
	return 0;
}

int sn_h1__connection_list(struct sn_h1__cursor *c, struct sn_headers *hs, struct sn_h1__facts *f)
{
	uint32_t left = f->n_connection, names = 0;

	for (uint32_t i = 0; left > 0; i++) {
		struct sn_slice rest = hs->v[i].value;

		if (hs->v[i].id != SN_HDR_CONNECTION)
			continue;
		left--;
		while (rest.n > 0) {
			struct sn_slice name = sn_slice_trim(sn_slice_cut(&rest, ','));
			int rc;

			if (++names > CONNECTION_NAMES_MAX)
				return refuse(c, "bad-connection");
			if (name.n == 0)
				continue; /* empty list elements are ignored, RFC 9110 5.6.1 */
			rc = connection_name(c, name, hs, f);
			if (rc != 0)
				return rc;
		}
	}
	return 0;
}

/* Codings that exist and that we do not undo: known, so that "gzip" alone is an error in framing
 * (it does not end in chunked) and not a wish for something newer. */
static bool is_known_coding(struct sn_slice s)
{
	static const struct sn_slice known[] = {
		SN_SLICE("chunked"),  SN_SLICE("gzip"),	    SN_SLICE("x-gzip"),
		SN_SLICE("deflate"),  SN_SLICE("compress"), SN_SLICE("x-compress"),
		SN_SLICE("identity"),
	};

	for (size_t i = 0; i < SN_ARRAY_LEN(known); i++)
		if (sn_slice_ieq(s, known[i]))
			return true;
	return false;
}

/* Exactly "chunked" passes. Elsewhere: 501 for a coding before the final chunked and for one that
 * nobody knows, else the ordinary refusal. */
static int transfer_coding(struct sn_h1__cursor *c, struct sn_slice value)
{
	uint16_t unknown = c->status == 400 ? 501 : c->status;
	struct sn_slice rest = value, last = {0};
	bool earlier = false, earlier_chunked = false;

	if (SN_IEQ_LIT(value, "chunked"))
		return 0;
	if (value.n == 0 || value.p[value.n - 1] == ',')
		return refuse(c, "bad-transfer-encoding");
	while (rest.n > 0) {
		if (last.n > 0) {
			earlier = true;
			earlier_chunked |= sn_slice_ieq(last, SN_SLICE("chunked"));
		}
		last = sn_slice_trim(sn_slice_cut(&rest, ','));
		if (!sn_token_valid(last))
			return refuse(c, "bad-transfer-encoding");
	}
	if (earlier_chunked)
		return refuse(c, "bad-transfer-encoding");
	if (sn_slice_ieq(last, SN_SLICE("chunked")))
		return earlier ? sn_h1__refuse(c, unknown, "unknown-coding") : 0;
	if (!is_known_coding(last))
		return sn_h1__refuse(c, unknown, "unknown-coding");
	return refuse(c, "bad-transfer-encoding");
}

int sn_h1__framing_of(struct sn_h1__cursor *c, const struct sn_h1__facts *f, uint8_t minor,
		      enum sn_framing *ret_framing, uint64_t *ret_length)
{
	if (f->n_transfer > 0) {
		if (f->n_length > 0)
			return refuse(c, "two-framings");
		if (minor == 0)
			return refuse(c, "bad-transfer-encoding");
		*ret_framing = SN_FRAMING_CHUNKED;
		return transfer_coding(c, f->transfer);
	}
	if (f->n_length > 0) {
		/* 19 digits hold 2^63-1; a longer run of zeros is nobody's length. */
		if (f->length.n > 19 || sn_num_u64(f->length, INT64_MAX, ret_length) != 0)
			return refuse(c, "bad-content-length");
		*ret_framing = SN_FRAMING_LENGTH;
	}
	return 0;
}
