/* SPDX-License-Identifier: Apache-2.0 */
/* http/h1.h - HTTP/1.1 on the wire (RFC 9112), sans-I/O, strict: bytes in, messages out, and back.
 * Incremental at any split of the input; slices borrow from the input; nothing is allocated but in
 * buffers of the caller's. */
#ifndef SN_HTTP_H1_H
#define SN_HTTP_H1_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "http/message.h"

struct sn_h1_limits {
	uint32_t head_bytes;   /* whole head */
	uint32_t header_count; /* also bounded by headers.cap */
	uint32_t request_line_bytes;
};

/* What a refused head is answered with. */
struct sn_h1_refusal {
	uint16_t status; /* 400 414 431 501 505 */
	const char
		*reason; /* stable short word for sennit-error and the counter, e.g. "bad-header" */
};

/* Parses a request head at the start of @in. *scanned: 0 at first, then as left by the last call on
 * the same growing input (makes re-scanning linear; 0 again once a head is complete). One empty
 * line before the request line is tolerated (RFC 9112 2.2) and counted in the length. Returns the
 * head's length (> 0); -SN_EMORE; or -SN_EPROTO with *ret_refusal filled. req->headers.v and .cap
 * are the caller's; everything else in *req is set. Hop-by-hop headers, including those that
 * Connection names, are flagged SN_HDR_HOP. */
int sn_h1_parse_request(struct sn_slice in, size_t *scanned, const struct sn_h1_limits *lim,
			struct sn_request *req, struct sn_h1_refusal *ret_refusal);

/* The same for a response. @request_method: what it answers (HEAD has no body). */
int sn_h1_parse_response(struct sn_slice in, size_t *scanned, const struct sn_h1_limits *lim,
			 enum sn_method request_method, struct sn_response *resp,
			 struct sn_h1_refusal *ret_refusal);

/* Reads a body by its framing. Works in place: tells which runs of the input are payload. */
struct sn_h1_body {
	enum sn_framing framing;
	uint64_t left; /* LENGTH: bytes still to come; CHUNKED: of this chunk */
	uint8_t state;
	bool done;
	bool at_trailers;    /* CHUNKED: trailer fields follow: sn_h1_parse_trailers is next */
	uint32_t line_bytes; /* digits of the chunk size so far (bounded) */
	uint32_t overhead;   /* octets of chunk extensions that no payload has paid for (bounded) */
	/* Names, between commas, of trailer fields that are for this hop only (sn_h1_hop_names);
	 * the owner's to set behind init, and to keep. */
	struct sn_slice hop_names;
};

/* Appends to @out what the Connection fields of a parsed head name besides what they always may
 * ("close", "te" ...), each name behind a comma. Returns 0, -SN_ENOMEM or -SN_ETOOBIG. */
int sn_h1_hop_names(const struct sn_headers *head, struct sn_buf *out);
void sn_h1_body_init(struct sn_h1_body *b, enum sn_framing framing, uint64_t content_length);

/* Looks at the start of @in; *ret_payload is the next run of payload (may be empty), borrowed.
 * Returns the number of bytes used up (framing + payload, >= payload.n), or -SN_EPROTO.
 * Call again with the rest until it returns 0 (needs more), b->done or b->at_trailers. Bytes behind
 * `done` are the next message's. A chunked body with trailer fields never gets done here:
 * b->at_trailers is set as soon as the first of them is seen, and what follows is left for
 * sn_h1_parse_trailers. */
ptrdiff_t sn_h1_body_feed(struct sn_h1_body *b, struct sn_slice in, struct sn_slice *ret_payload);

#define SN_TRAILERS_MAX 100 /* fields */

/* Parses the trailer section at the start of @in, once b->at_trailers; as strict as about a head,
 * at most 8 KiB and SN_TRAILERS_MAX fields (or hs->cap). *scanned: as of sn_h1_parse_request. hs->v
 * and .cap are the caller's; the slices borrow from @in. Fields that sn_trailer_allowed refuses,
 * and those in b->hop_names, are flagged SN_HDR_DROPPED. Returns the section's length, its empty
 * line included (then b->done is set and at_trailers cleared); -SN_EMORE; or -SN_EPROTO, for good.
 */
int sn_h1_parse_trailers(struct sn_slice in, size_t *scanned, struct sn_h1_body *b,
			 struct sn_headers *hs);

/* End of input: 0 if the body is complete by it (CLOSE), else -SN_EPROTO (truncated). */
int sn_h1_body_eof(struct sn_h1_body *b);

/* True when @value may be sent as chunk-size line into @dst (at least 20 bytes); returns its
 * length: "HEX\r\n". */
size_t sn_h1_chunk_head(uint64_t n_bytes, char dst[20]);

#endif
