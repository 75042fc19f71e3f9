/* SPDX-License-Identifier: Apache-2.0 */
/* http/message.h - the head of a request or response as every protocol version hands it on: slices
 * into whatever buffer it was parsed from. Data only; both HTTP/1 and HTTP/2 fill it.
 * A message's slices are valid as long as the buffer that it was parsed from stays as it is. */
#ifndef SN_HTTP_MESSAGE_H
#define SN_HTTP_MESSAGE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* Names that somebody on the way looks at. SN_HDR_OTHER: any other name. */
enum sn_hdr_id {
	SN_HDR_OTHER,
	SN_HDR_ACCEPT,
	SN_HDR_AUTHORIZATION,
	SN_HDR_CONNECTION,
	SN_HDR_CONTENT_ENCODING,
	SN_HDR_CONTENT_LENGTH,
	SN_HDR_CONTENT_TYPE,
	SN_HDR_COOKIE,
	SN_HDR_DATE,
	SN_HDR_EXPECT,
	SN_HDR_FORWARDED,
	SN_HDR_HOST,
	SN_HDR_HTTP2_SETTINGS,
	SN_HDR_KEEP_ALIVE,
	SN_HDR_LOCATION,
	SN_HDR_PROXY_CONNECTION,
	SN_HDR_RETRY_AFTER,
	SN_HDR_SERVER,
	SN_HDR_TE,
	SN_HDR_TRACEPARENT,
	SN_HDR_TRACESTATE,
	SN_HDR_TRAILER,
	SN_HDR_TRANSFER_ENCODING,
	SN_HDR_UPGRADE,
	SN_HDR_VIA,
	SN_HDR_X_FORWARDED_FOR,
	SN_HDR_X_FORWARDED_HOST,
	SN_HDR_X_FORWARDED_PROTO,
	SN_HDR_SENNIT, /* any name that begins with sennit- or sennit_ */
	SN_HDR_COUNT
};

enum sn_hdr_flags {
	SN_HDR_HOP =
		1, /* hop-by-hop: not forwarded (set by the codec, Connection's list included) */
	SN_HDR_DROPPED = 2, /* taken out by a filter */
	SN_HDR_SECRET = 4,  /* HTTP/2: never to be put into a compression table (RFC 7541 6.2.3) */
};

struct sn_header {
	struct sn_slice name;  /* as sent */
	struct sn_slice value; /* trimmed */
	uint8_t id;	       /* enum sn_hdr_id */
	uint8_t flags;
};

/* Storage is the caller's (a fixed array of limits.header_count per worker or connection). */
struct sn_headers {
	struct sn_header *v;
	uint32_t n;
	uint32_t cap;
};

enum sn_method {
	SN_METHOD_OTHER,
	SN_METHOD_GET,
	SN_METHOD_HEAD,
	SN_METHOD_POST,
	SN_METHOD_PUT,
	SN_METHOD_DELETE,
	SN_METHOD_CONNECT,
	SN_METHOD_OPTIONS,
	SN_METHOD_TRACE,
	SN_METHOD_PATCH,
};

/* How a body is framed on the wire that it came by. */
enum sn_framing {
	SN_FRAMING_NONE,    /* no body */
	SN_FRAMING_LENGTH,  /* content_length bytes */
	SN_FRAMING_CHUNKED, /* of unknown length, ended by its framing (HTTP/2: no content-length)
			     */
	SN_FRAMING_CLOSE,   /* until the connection ends (responses only) */
};

struct sn_request {
	enum sn_method method;
	struct sn_slice method_text;
	struct sn_slice target;	   /* as sent */
	struct sn_slice path;	   /* path and query: origin form, "*" for OPTIONS * */
	struct sn_slice authority; /* host[:port] from absolute-form, Host or :authority */
	struct sn_slice scheme;	   /* :scheme; empty for HTTP/1 */
	uint8_t major;		   /* 1 or 2: how it came */
	uint8_t minor;		   /* HTTP/1.minor; above 1 reads as 1. HTTP/2: 1 */
	bool absolute_form;	   /* the authority is not in a Host field (HTTP/2: always) */
	bool keep_alive;	   /* the client wants to send another */
	bool expect_continue;
	bool two_authorities; /* HTTP/2: :authority and host differ: to be answered 400 */
	bool upgrade;	      /* a well-formed Upgrade request, or an extended CONNECT (RFC 8441) */
	struct sn_slice upgrade_to; /* with `upgrade`: Upgrade's value, or :protocol */
	enum sn_framing framing;
	uint64_t content_length;
	struct sn_headers headers;
	struct sn_slice text; /* HTTP/2: holds all of it that came, names in lower case */
};

struct sn_response {
	uint16_t status;	/* 100..999 */
	struct sn_slice reason; /* empty for HTTP/2 */
	uint8_t major;		/* 1 or 2: how it came */
	uint8_t minor;
	bool keep_alive;	    /* the server will take another request */
	bool upgrade;		    /* 101 */
	struct sn_slice upgrade_to; /* with `upgrade`: Upgrade's value */
	enum sn_framing framing;    /* already with regard to HEAD, 1xx, 204, 304 */
	uint64_t content_length;    /* as declared; SN_FRAMING_NONE may still declare one (HEAD) */
	struct sn_headers headers;
	struct sn_slice text; /* as above */
};

/* Id of a header name, without case. */
enum sn_hdr_id sn_hdr_lookup(struct sn_slice name);
/* A method is no longer than this: longer than any known. */
#define SN_METHOD_BYTES_MAX 32
/* Exact, case-sensitive, as methods are. */
enum sn_method sn_method_lookup(struct sn_slice text);
const char *sn_method_name(enum sn_method m);
bool sn_method_is_idempotent(enum sn_method m); /* RFC 9110 9.2.2 */
/* "Not Found"; "" when unknown. */
const char *sn_status_reason(unsigned status);

/* First header of that name that is not dropped; NULL if absent. */
const struct sn_header *sn_headers_find(const struct sn_headers *hs, struct sn_slice name);
const struct sn_header *sn_headers_find_id(const struct sn_headers *hs, enum sn_hdr_id id);

/* May this field stand in trailers? Not those that frame, route, authenticate or carry what the
 * mesh says (RFC 9110 6.5.1). */
bool sn_trailer_allowed(enum sn_hdr_id id, struct sn_slice name);

/* RFC 9110 tokens and field values (no CR, LF, NUL, control). */
bool sn_token_valid(struct sn_slice s);
bool sn_field_value_valid(struct sn_slice s);

#endif
