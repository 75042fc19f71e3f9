/* SPDX-License-Identifier: Apache-2.0 */
/* http/headout.h - writes forwarded heads: what was not touched is copied in whole runs from the
 * head as it came, hop-by-hop and dropped fields are left out, added fields and framing come last.
 */
#ifndef SN_HTTP_HEADOUT_H
#define SN_HTTP_HEADOUT_H

#include <stdbool.h>

#include "base/buf.h"
#include "http/message.h"

/* @head: the bytes that @req was parsed from. @n_parsed: req->headers beyond it were added by
 * filters. The body goes on with the same kind of framing. Returns 0 or -SN_ENOMEM/-SN_ETOOBIG. */
int sn_headout_request(struct sn_buf *out, struct sn_slice head, const struct sn_request *req,
		       uint32_t n_parsed);

/* @chunked: the body will be chunked by us. @close: say so to the client. */
int sn_headout_response(struct sn_buf *out, struct sn_slice head, const struct sn_response *resp,
			bool chunked, bool close);

/* Trailer lines and the empty line behind them; the last chunk's line ("0\r\n") is the caller's.
 * @head: what @hs was parsed from, its empty line included. Returns as above. */
int sn_headout_trailers(struct sn_buf *out, struct sn_slice head, const struct sn_headers *hs);

#endif
