/* SPDX-License-Identifier: Apache-2.0 */
/* http/headout.h - writes forwarded heads as HTTP/1.1: what was not touched is copied in whole runs
 * from the head as it came, hop-by-hop and dropped fields are left out, added fields and framing
 * come last. A head that came by HTTP/2 is given as field lines (http/h2_fields.h).
 *
 * @head throughout: the bytes that the message was parsed from, to the end of its empty line; the
 * parsed fields lie there in order and without gaps. All return 0, -SN_ENOMEM or -SN_ETOOBIG (then
 * nothing was appended). */
#ifndef SN_HTTP_HEADOUT_H
#define SN_HTTP_HEADOUT_H

#include <stdbool.h>

#include "base/buf.h"
#include "http/message.h"

/* How a response's body goes on. Whatever is chosen, 1xx and 204 declare nothing. */
enum sn_headout_body {
	SN_HEADOUT_AS_DECLARED, /* no body, or one of the length that a field of the head declares
				 */
	SN_HEADOUT_CHUNKED,	/* chunked by us */
	SN_HEADOUT_LENGTH,	/* Content-Length from resp->content_length */
	SN_HEADOUT_CLOSE,	/* until the connection closes, and says so */
};

/* @n_parsed: req->headers beyond it were added by filters. The body goes on as req->framing says:
 * CHUNKED is chunked by us, LENGTH is declared by a field of the head. Host is written from
 * req->authority with absolute_form, or when an HTTP/1.0 request had none. With req->upgrade
 * `Connection: Upgrade` and `Upgrade: ` upgrade_to are written and no framing; an extended CONNECT
 * becomes GET (RFC 8441 5; its Sec-WebSocket-Key is the caller's to add). */
int sn_headout_request(struct sn_buf *out, struct sn_slice head, const struct sn_request *req,
		       uint32_t n_parsed);

/* @close: say so to the client. Fields behind those of @head were added by filters. The reason of
 * an HTTP/2 response is the registry's. With resp->upgrade (101) `Connection: Upgrade` and
 * `Upgrade: ` upgrade_to are written, and @body and @close do not count. */
int sn_headout_response(struct sn_buf *out, struct sn_slice head, const struct sn_response *resp,
			enum sn_headout_body body, bool close);

/* Trailer lines and the empty line behind them; the last chunk's line ("0\r\n") is the caller's.
 * Fields behind those of @head were added; it may be empty. */
int sn_headout_trailers(struct sn_buf *out, struct sn_slice head, const struct sn_headers *hs);

#endif
