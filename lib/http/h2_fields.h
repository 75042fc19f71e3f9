/* SPDX-License-Identifier: Apache-2.0 */
/* http/h2_fields.h - one HTTP/2 field section (a head or trailers): gathered field by field as
 * HPACK yields them, checked by RFC 9113 8.2 and 8.3 on the strict side, and handed on as a
 * message. Pure: no session, no I/O.
 *
 * The text is kept as "name: value\r\n" lines, so that an HTTP/1 hop copies whole runs of it
 * (http/headout.h). What finish returns points into it and stays valid until begin or done. */
#ifndef SN_HTTP_H2_FIELDS_H
#define SN_HTTP_H2_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "http/message.h"

enum sn_h2_section { SN_H2_REQUEST, SN_H2_RESPONSE, SN_H2_TRAILERS };

struct sn_h2_fields {
	enum sn_h2_section section;
	struct sn_buf text;
	struct sn_header *v; /* slices into the text */
	uint32_t cap;
	uint32_t max_bytes, max_count;
	/* from here on zero when a section begins */
	uint32_t n;
	uint32_t list_bytes; /* name + value + 32 of each field (RFC 9113 10.5.1) */
	bool too_big;	     /* past a limit: what follows is decoded and dropped */
	bool regular;	     /* a regular field came: pseudo ones are too late */
	const char *reason;  /* of the refusal: a stable short word */
	struct sn_slice method, scheme, authority, path, protocol, status; /* p is NULL: absent */
	unsigned seen;							   /* which of them came */
	/* facts about regular fields, for finish */
	uint32_t n_host, n_length, n_cookie;
	struct sn_slice host, length;
};

void sn_h2_fields_init(struct sn_h2_fields *f);
void sn_h2_fields_done(struct sn_h2_fields *f);
/* Starts a section; memory of the last one is used again. @extra: room in headers.v behind what is
 * parsed, for fields that filters add (headers.cap). */
void sn_h2_fields_begin(struct sn_h2_fields *f, enum sn_h2_section section, uint32_t max_bytes,
			uint32_t max_count);
/* One field; @flags: enum sn_hdr_flags that it has from the start. Returns 0; -SN_EPROTO
 * (malformed: f->reason); -SN_ENOMEM. Past a limit it returns 0, sets too_big and keeps nothing
 * more. */
int sn_h2_fields_add(struct sn_h2_fields *f, struct sn_slice name, struct sn_slice value,
		     uint8_t flags);

/* The section is complete. @extra: spare places behind the fields (headers.cap = n + extra).
 * Cookie crumbs are joined (RFC 9113 8.2.3); `te: trailers` stays. Return 0, -SN_EPROTO
 * (f->reason), -SN_ETOOBIG (431), -SN_ENOMEM. Request: framing NONE when @end_stream, LENGTH with
 * content-length, else CHUNKED; absolute_form is set (the authority is in no field; a host field
 * equal to :authority is dropped, without :authority it becomes it); an extended CONNECT has
 * `upgrade` and upgrade_to = :protocol; major 2, minor 1. *ret_head: the text as an HTTP/1 head's
 * field lines, ended by an empty line. */
int sn_h2_fields_request(struct sn_h2_fields *f, bool end_stream, uint32_t extra,
			 struct sn_request *ret, struct sn_slice *ret_head);
/* @request_method decides the framing of HEAD; 1xx, 204, 304 have none. */
int sn_h2_fields_response(struct sn_h2_fields *f, bool end_stream, enum sn_method request_method,
			  uint32_t extra, struct sn_response *ret, struct sn_slice *ret_head);
/* Trailer fields that frame, route or authenticate are flagged SN_HDR_DROPPED (sn_trailer_allowed).
 */
int sn_h2_fields_trailers(struct sn_h2_fields *f, struct sn_headers *ret,
			  struct sn_slice *ret_head);

#endif
