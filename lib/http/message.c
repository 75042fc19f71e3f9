/* SPDX-License-Identifier: Apache-2.0 */
/* The message model's small functions: names to numbers and back. Header names are found by a
 * perfect hash (constants found by search over the list; the unit test proves it stays perfect). */
#include "http/message.h"

#include <string.h>

#include "http/chars.h"
#include "http/names.h"

/* The first and last letters are given apart because C has no constant string[i]. */
#define NAME(first, last, lit, hdr_id)                                                             \
	[SN_NAMES_SLOT(sizeof(lit) - 1, (first), (last))] = {(lit), sizeof(lit) - 1, (hdr_id), {0}}

const struct sn_known_name sn_known_names[SN_NAMES_SLOTS] = {
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

enum sn_hdr_id sn_hdr_lookup(struct sn_slice name)
{
	enum sn_hdr_id id = name.n > 0 ? sn_names_find(name) : SN_HDR_OTHER;

	return id == SN_HDR_OTHER || sn_token_valid(name) ? id : SN_HDR_OTHER;
}

static const char *const method_names[] = {
	[SN_METHOD_OTHER] = "OTHER",	 [SN_METHOD_GET] = "GET",
	[SN_METHOD_HEAD] = "HEAD",	 [SN_METHOD_POST] = "POST",
	[SN_METHOD_PUT] = "PUT",	 [SN_METHOD_DELETE] = "DELETE",
	[SN_METHOD_CONNECT] = "CONNECT", [SN_METHOD_OPTIONS] = "OPTIONS",
	[SN_METHOD_TRACE] = "TRACE",	 [SN_METHOD_PATCH] = "PATCH",
};

/* Of constant length, so that it is a compare or two. */
#define IF_METHOD(lit, m) (memcmp(text.p, (lit), sizeof(lit) - 1) == 0 ? (m) : SN_METHOD_OTHER)

enum sn_method sn_method_lookup(struct sn_slice text)
{
	switch (text.n) {
	case 3:
		return text.p[0] == 'G' ? IF_METHOD("GET", SN_METHOD_GET)
					: IF_METHOD("PUT", SN_METHOD_PUT);
	case 4:
		return text.p[0] == 'P' ? IF_METHOD("POST", SN_METHOD_POST)
					: IF_METHOD("HEAD", SN_METHOD_HEAD);
	case 5:
		return text.p[0] == 'P' ? IF_METHOD("PATCH", SN_METHOD_PATCH)
					: IF_METHOD("TRACE", SN_METHOD_TRACE);
	case 6:
		return IF_METHOD("DELETE", SN_METHOD_DELETE);
	case 7:
		return text.p[0] == 'C' ? IF_METHOD("CONNECT", SN_METHOD_CONNECT)
					: IF_METHOD("OPTIONS", SN_METHOD_OPTIONS);
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

/* Without case, and with '_' as '-'. */
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
	return s.n > 0 && sn_char_scan_now->token(s.p, s.p, s.p + s.n) == s.p + s.n;
}

bool sn_field_value_valid(struct sn_slice s)
{
	return s.n == 0 || sn_char_skip_value(s.p, s.p + s.n) == s.p + s.n;
}
