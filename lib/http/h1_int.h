/* SPDX-License-Identifier: Apache-2.0 */
/* http/h1_int.h - what the request and response parsers share. Not for others.
 * A parse runs over a prefix of the input and stops at the first octet that is wrong, so its
 * verdict on a prefix holds for every longer input: that is what makes any split of the input give
 * one result. */
#ifndef SN_HTTP_H1_INT_H
#define SN_HTTP_H1_INT_H

#include <string.h>

#include "http/chars.h"
#include "http/h1.h"

/* Where a parse stands. `end` lies at most limits.head_bytes behind the start of the input. */
struct sn_h1__cursor {
	const char *begin; /* of the input */
	const char *p;
	const char *end;
	struct sn_h1_refusal *refusal;
	uint16_t status; /* of most refusals: 400, or 502 for a response */
};

/* What the framing rules ask about the fields, gathered as they are read. */
struct sn_h1__facts {
	uint32_t n_host, n_length, n_transfer, n_connection, n_upgrade;
	struct sn_slice host, length, transfer, upgrade, expect, connection; /* the last of each */
	bool close, keep_alive, connection_upgrade;			     /* from Connection */
};

/* False when what is new does not end a line or reach a limit: then it is -SN_EMORE as before, and
 * *scanned has moved. So a head is parsed at most once per line, however it comes. @line_bytes: the
 * first line's limit. */
bool sn_h1__worth_parsing(struct sn_slice in, size_t *scanned, uint32_t head_bytes,
			  uint32_t line_bytes);

int sn_h1__refuse(struct sn_h1__cursor *c, uint16_t status, const char *reason);

/* Takes CRLF. 0, -SN_EMORE, -SN_EPROTO (reason @bad). */
int sn_h1__crlf_or(struct sn_h1__cursor *c, const char *bad);
static inline int sn_h1__crlf(struct sn_h1__cursor *c, const char *bad)
{
	if (c->end - c->p < 2 || memcmp(c->p, "\r\n", 2) != 0)
		return sn_h1__crlf_or(c, bad);
	c->p += 2;
	return 0;
}
/* Takes "HTTP/1.x"; *ret_minor at most 1. @status_other: of another major version. */
int sn_h1__version(struct sn_h1__cursor *c, uint16_t status_other, uint8_t *ret_minor);
/* Takes all fields and the empty line behind them. @f: NULL for trailers: what fields mean to a
 * message is then not asked. */
int sn_h1__fields(struct sn_h1__cursor *c, struct sn_headers *hs, uint32_t max_count,
		  struct sn_h1__facts *f);
/* Reads the Connection fields and flags what they name. */
int sn_h1__connection_list(struct sn_h1__cursor *c, struct sn_headers *hs, struct sn_h1__facts *f);
static inline int sn_h1__connection(struct sn_h1__cursor *c, struct sn_headers *hs,
				    struct sn_h1__facts *f)
{
	if (f->n_connection == 0)
		return 0;
	if (f->n_connection > 1 || !SN_IEQ_LIT(f->connection, "keep-alive"))
		return sn_h1__connection_list(c, hs, f);
	f->keep_alive = true; /* nearly all of them */
	return 0;
}
/* Decides the framing by Content-Length and Transfer-Encoding; SN_FRAMING_NONE without both. */
int sn_h1__framing_of(struct sn_h1__cursor *c, const struct sn_h1__facts *f, uint8_t minor,
		      enum sn_framing *ret_framing, uint64_t *ret_length);
static inline int sn_h1__framing(struct sn_h1__cursor *c, const struct sn_h1__facts *f,
				 uint8_t minor, enum sn_framing *ret_framing, uint64_t *ret_length)
{
	*ret_framing = SN_FRAMING_NONE;
	*ret_length = 0;
	if ((f->n_length | f->n_transfer) == 0)
		return 0;
	return sn_h1__framing_of(c, f, minor, ret_framing, ret_length);
}

#endif
