/* SPDX-License-Identifier: Apache-2.0 */
/* The message model's small functions: names to numbers and back. Header names are found by a
 * perfect hash (constants found by search over the list; the unit test proves it stays perfect). */
#include "http/message.h"

#include "http/chars.h"

#define TCHAR (SN_CH_TOKEN | SN_CH_LOWER_TOKEN)
#define ALPHA_FLAGS (SN_CH_TOKEN | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME)
#define LOWER_FLAGS (ALPHA_FLAGS | SN_CH_LOWER_TOKEN)

const uint8_t sn_char_class[256] = {
	['\t'] = SN_CH_VALUE,
	[' '] = SN_CH_VALUE,
	['!'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['"'] = SN_CH_VALUE | SN_CH_TARGET,
	['#'] = TCHAR | SN_CH_VALUE,
	['$' ... '\''] = TCHAR | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['(' ... ')'] = SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['*' ... '+'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	[','] = SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['-' ... '.'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['/'] = SN_CH_VALUE | SN_CH_TARGET,
	['0' ... '9'] = LOWER_FLAGS | SN_CH_DIGIT | SN_CH_HEX,
	[':'] = SN_CH_VALUE | SN_CH_TARGET,
	[';'] = SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['<'] = SN_CH_VALUE | SN_CH_TARGET,
	['='] = SN_CH_VALUE | SN_CH_TARGET | SN_CH_REGNAME,
	['>' ... '@'] = SN_CH_VALUE | SN_CH_TARGET,
	['A' ... 'F'] = ALPHA_FLAGS | SN_CH_HEX,
	['G' ... 'Z'] = ALPHA_FLAGS,
	['[' ... ']'] = SN_CH_VALUE | SN_CH_TARGET,
	['^'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET,
	['_'] = LOWER_FLAGS,
	['`'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET,
	['a' ... 'f'] = LOWER_FLAGS | SN_CH_HEX,
	['g' ... 'z'] = LOWER_FLAGS,
	['{'] = SN_CH_VALUE | SN_CH_TARGET,
	['|'] = TCHAR | SN_CH_VALUE | SN_CH_TARGET,
	['}'] = SN_CH_VALUE | SN_CH_TARGET,
	['~'] = LOWER_FLAGS,
	[0x80 ... 0xff] = SN_CH_VALUE,
};

struct known_name {
	const char *name;
	uint8_t n;
	uint8_t id;
};

/* A macro, so that the table is constant; the lookup uses it too. */
#define SLOT(n, first, last)                                                                       \
	(((n) + (size_t)7 * (uint8_t)(first) + (size_t)23 * (uint8_t)(last)) & 63)
/* The first and last letters are given apart because C has no constant string[i]. */
#define NAME(first, last, lit, hdr_id)                                                             \
	[SLOT(sizeof(lit) - 1, (first), (last))] = {(lit), sizeof(lit) - 1, (hdr_id)}

static const struct known_name known_names[64] = {
	NAME('a', 't', "accept", SN_HDR_ACCEPT),
	NAME('a', 'n', "authorization", SN_HDR_AUTHORIZATION),
	NAME('c', 'n', "connection", SN_HDR_CONNECTION),
	NAME('c', 'g', "content-encoding", SN_HDR_CONTENT_ENCODING),
	NAME('c', 'h', "content-length", SN_HDR_CONTENT_LENGTH),
	NAME('c', 'e', "content-type", SN_HDR_CONTENT_TYPE),
	NAME('c', 'e', "cookie", SN_HDR_COOKIE),
	NAME('d', 'e', "date", SN_HDR_DATE),
	NAME('e', 't', "expect", SN_HDR_EXPECT),
	NAME('f', 'd', "forwarded", SN_HDR_FORWARDED),
	NAME('h', 't', "host", SN_HDR_HOST),
	NAME('h', 's', "http2-settings", SN_HDR_HTTP2_SETTINGS),
	NAME('k', 'e', "keep-alive", SN_HDR_KEEP_ALIVE),
	NAME('l', 'n', "location", SN_HDR_LOCATION),
	NAME('p', 'n', "proxy-connection", SN_HDR_PROXY_CONNECTION),
	NAME('r', 'r', "retry-after", SN_HDR_RETRY_AFTER),
	NAME('s', 'r', "server", SN_HDR_SERVER),
	NAME('t', 'e', "te", SN_HDR_TE),
	NAME('t', 't', "traceparent", SN_HDR_TRACEPARENT),
	NAME('t', 'e', "tracestate", SN_HDR_TRACESTATE),
	NAME('t', 'r', "trailer", SN_HDR_TRAILER),
	NAME('t', 'g', "transfer-encoding", SN_HDR_TRANSFER_ENCODING),
	NAME('u', 'e', "upgrade", SN_HDR_UPGRADE),
	NAME('v', 'a', "via", SN_HDR_VIA),
	NAME('x', 'r', "x-forwarded-for", SN_HDR_X_FORWARDED_FOR),
	NAME('x', 't', "x-forwarded-host", SN_HDR_X_FORWARDED_HOST),
	NAME('x', 'o', "x-forwarded-proto", SN_HDR_X_FORWARDED_PROTO),
};

static bool lower_eq(const char *p, const char *lower, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (sn_char_lower(p[i]) != lower[i])
			return false;
	return true;
}

enum sn_hdr_id sn_hdr_lookup(struct sn_slice name)
{
	const struct known_name *k;

	if (name.n < 2)
		return SN_HDR_OTHER;
	k = &known_names[SLOT(name.n, name.p[0] | 0x20, name.p[name.n - 1] | 0x20)];
	if (k->n == name.n && lower_eq(name.p, k->name, name.n))
		return (enum sn_hdr_id)k->id;
	if ((name.p[0] | 0x20) == 's' && name.n >= 7 && lower_eq(name.p, "sennit", 6) &&
	    (name.p[6] == '-' || name.p[6] == '_'))
		return SN_HDR_SENNIT;
	return SN_HDR_OTHER;
}

static const char *const method_names[] = {
	[SN_METHOD_OTHER] = "OTHER",	 [SN_METHOD_GET] = "GET",
	[SN_METHOD_HEAD] = "HEAD",	 [SN_METHOD_POST] = "POST",
	[SN_METHOD_PUT] = "PUT",	 [SN_METHOD_DELETE] = "DELETE",
	[SN_METHOD_CONNECT] = "CONNECT", [SN_METHOD_OPTIONS] = "OPTIONS",
	[SN_METHOD_TRACE] = "TRACE",	 [SN_METHOD_PATCH] = "PATCH",
};

static enum sn_method method_if(struct sn_slice text, enum sn_method m)
{
	return sn_slice_eq_cstr(text, method_names[m]) ? m : SN_METHOD_OTHER;
}

enum sn_method sn_method_lookup(struct sn_slice text)
{
	switch (text.n) {
	case 3:
		return text.p[0] == 'G' ? method_if(text, SN_METHOD_GET)
					: method_if(text, SN_METHOD_PUT);
	case 4:
		return text.p[0] == 'P' ? method_if(text, SN_METHOD_POST)
					: method_if(text, SN_METHOD_HEAD);
	case 5:
		return text.p[0] == 'P' ? method_if(text, SN_METHOD_PATCH)
					: method_if(text, SN_METHOD_TRACE);
	case 6:
		return method_if(text, SN_METHOD_DELETE);
	case 7:
		return text.p[0] == 'C' ? method_if(text, SN_METHOD_CONNECT)
					: method_if(text, SN_METHOD_OPTIONS);
	default:
		return SN_METHOD_OTHER;
	}
}

const char *sn_method_name(enum sn_method m)
{
	return (size_t)m < SN_ARRAY_LEN(method_names) ? method_names[m] : "OTHER";
}

bool sn_method_is_idempotent(enum sn_method m)
{
	switch (m) {
	case SN_METHOD_GET:
	case SN_METHOD_HEAD:
	case SN_METHOD_PUT:
	case SN_METHOD_DELETE:
	case SN_METHOD_OPTIONS:
	case SN_METHOD_TRACE:
		return true;
	default:
		return false;
	}
}

struct status_name {
	uint16_t status;
	const char *reason;
};

/* The IANA registry, in order of number. */
static const struct status_name status_names[] = {
	{100, "Continue"},
	{101, "Switching Protocols"},
	{102, "Processing"},
	{103, "Early Hints"},
	{200, "OK"},
	{201, "Created"},
	{202, "Accepted"},
	{203, "Non-Authoritative Information"},
	{204, "No Content"},
	{205, "Reset Content"},
	{206, "Partial Content"},
	{207, "Multi-Status"},
	{208, "Already Reported"},
	{226, "IM Used"},
	{300, "Multiple Choices"},
	{301, "Moved Permanently"},
	{302, "Found"},
	{303, "See Other"},
	{304, "Not Modified"},
	{305, "Use Proxy"},
	{307, "Temporary Redirect"},
	{308, "Permanent Redirect"},
	{400, "Bad Request"},
	{401, "Unauthorized"},
	{402, "Payment Required"},
	{403, "Forbidden"},
	{404, "Not Found"},
	{405, "Method Not Allowed"},
	{406, "Not Acceptable"},
	{407, "Proxy Authentication Required"},
	{408, "Request Timeout"},
	{409, "Conflict"},
	{410, "Gone"},
	{411, "Length Required"},
	{412, "Precondition Failed"},
	{413, "Content Too Large"},
	{414, "URI Too Long"},
	{415, "Unsupported Media Type"},
	{416, "Range Not Satisfiable"},
	{417, "Expectation Failed"},
	{421, "Misdirected Request"},
	{422, "Unprocessable Content"},
	{423, "Locked"},
	{424, "Failed Dependency"},
	{425, "Too Early"},
	{426, "Upgrade Required"},
	{428, "Precondition Required"},
	{429, "Too Many Requests"},
	{431, "Request Header Fields Too Large"},
	{451, "Unavailable For Legal Reasons"},
	{500, "Internal Server Error"},
	{501, "Not Implemented"},
	{502, "Bad Gateway"},
	{503, "Service Unavailable"},
	{504, "Gateway Timeout"},
	{505, "HTTP Version Not Supported"},
	{506, "Variant Also Negotiates"},
	{507, "Insufficient Storage"},
	{508, "Loop Detected"},
	{510, "Not Extended"},
	{511, "Network Authentication Required"},
};

const char *sn_status_reason(unsigned status)
{
	size_t lo = 0, hi = SN_ARRAY_LEN(status_names);

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (status_names[mid].status == status)
			return status_names[mid].reason;
		if (status_names[mid].status < status)
			lo = mid + 1;
		else
			hi = mid;
	}
	return "";
}

const struct sn_header *sn_headers_find_id(const struct sn_headers *hs, enum sn_hdr_id id)
{
	for (uint32_t i = 0; i < hs->n; i++)
		if (hs->v[i].id == id && !(hs->v[i].flags & SN_HDR_DROPPED))
			return &hs->v[i];
	return NULL;
}

const struct sn_header *sn_headers_find(const struct sn_headers *hs, struct sn_slice name)
{
	for (uint32_t i = 0; i < hs->n; i++)
		if (!(hs->v[i].flags & SN_HDR_DROPPED) && sn_slice_ieq(hs->v[i].name, name))
			return &hs->v[i];
	return NULL;
}

/* Names that frame, route, authenticate, or change what the message itself means, by RFC
 * 9110 6.5.1: a receiver may have acted on the head already, or may merge what comes late into it.
 */
static const struct sn_slice not_trailers[] = {
	SN_SLICE("age"),
	SN_SLICE("cache-control"),
	SN_SLICE("content-range"),
	SN_SLICE("expires"),
	SN_SLICE("max-forwards"),
	SN_SLICE("pragma"),
	SN_SLICE("proxy-authenticate"),
	SN_SLICE("proxy-authentication-info"),
	SN_SLICE("proxy-authorization"),
	SN_SLICE("range"),
	SN_SLICE("set-cookie"),
	SN_SLICE("vary"),
	SN_SLICE("warning"),
	SN_SLICE("www-authenticate"),
	SN_SLICE("x-real-ip"),
	/* with the ids below, in the spelling that CGI takes for the same */
	SN_SLICE("content-encoding"),
	SN_SLICE("content-length"),
	SN_SLICE("content-type"),
	SN_SLICE("http2-settings"),
	SN_SLICE("keep-alive"),
	SN_SLICE("proxy-connection"),
	SN_SLICE("retry-after"),
	SN_SLICE("transfer-encoding"),
};

/* Conditions, forwarding, and other meshes' words. */
static const struct sn_slice not_trailer_prefixes[] = {
	SN_SLICE("if-"),
	SN_SLICE("l5d-"),
	SN_SLICE("x-forwarded-"),
};

/* As lower_eq, with '_' as '-'. */
static bool name_begins(struct sn_slice name, struct sn_slice lower)
{
	if (name.n < lower.n)
		return false;
	for (size_t i = 0; i < lower.n; i++)
		if ((name.p[i] == '_' ? '-' : sn_char_lower(name.p[i])) != lower.p[i])
			return false;
	return true;
}

bool sn_trailer_allowed(enum sn_hdr_id id, struct sn_slice name)
{
	switch (id) {
	case SN_HDR_OTHER:
		break;
	case SN_HDR_ACCEPT:
	case SN_HDR_SERVER:
	case SN_HDR_TRACEPARENT:
	case SN_HDR_TRACESTATE:
		return true;
	default:
		return false;
	}
	for (size_t i = 0; i < SN_ARRAY_LEN(not_trailers); i++)
		if (name.n == not_trailers[i].n && name_begins(name, not_trailers[i]))
			return false;
	for (size_t i = 0; i < SN_ARRAY_LEN(not_trailer_prefixes); i++)
		if (name_begins(name, not_trailer_prefixes[i]))
			return false;
	return true;
}

bool sn_token_valid(struct sn_slice s)
{
	for (size_t i = 0; i < s.n; i++)
		if (!sn_char_is(s.p[i], SN_CH_TOKEN))
			return false;
	return s.n > 0;
}

bool sn_field_value_valid(struct sn_slice s)
{
	return s.n == 0 || sn_char_skip_value(s.p, s.p + s.n) == s.p + s.n;
}
