/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/input.h - what was read from an HTTP/1 peer and is not used up yet. Memory is there only
 * while there are bytes: a read's worth from the loop's pool, more for a large head, less for a
 * dribble. */
#ifndef SN_PROXY_INPUT_H
#define SN_PROXY_INPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "http/h1.h"
#include "net/stream.h"
#include "proxy/gather.h"

struct sn_input {
	char *buf; /* NULL when empty */
	size_t start, end, cap;
	size_t scanned; /* by the parser that waits for more of it */
	bool pooled;
};

static inline bool sn_input_empty(const struct sn_input *in)
{
	return in->start == in->end;
}

/* Valid until the next call below. */
static inline struct sn_slice sn_input_slice(const struct sn_input *in)
{
	return sn_slice(in->buf ? in->buf + in->start : "", in->end - in->start);
}

/* Reads once, growing up to @max_bytes. > 0 bytes, 0 end, -SN_EAGAIN, -SN_ECONN, -SN_ETOOBIG
 * (full), -SN_ENOMEM. */
ssize_t sn_input_fill(struct sn_input *in, struct sn_stream *s, size_t max_bytes);
void sn_input_consume(struct sn_input *in, struct sn_loop *l, size_t n);
void sn_input_drop(struct sn_input *in, struct sn_loop *l);
/* What is there will wait for more: it moves into as little memory as it needs, so that peers that
 * dribble do not cost a read's worth each. */
void sn_input_settle(struct sn_input *in, struct sn_loop *l);

/* A part of a body, where it lies. */
struct sn_input_body {
	struct iovec iov[SN_BODY_RUNS];
	int n_iov;
	size_t used;			   /* octets behind @skip that it takes */
	const struct sn_headers *trailers; /* NULL: none; else they lie in `section` */
	struct sn_slice section;
	struct sn_headers headers;
	struct sn_header storage[SN_TRAILERS_MAX];
};

/* Looks at what is buffered behind @skip octets. Returns 0 with *ret (used 0: more must come), or
 * -SN_EPROTO. b->done tells the end. Nothing is consumed. */
int sn_input_body(struct sn_input *in, size_t skip, struct sn_h1_body *b,
		  struct sn_input_body *ret);

#endif
