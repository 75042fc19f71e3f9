/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/exchange.h - one request and its response: shared by the two files that carry it (http.c
 * the client's side, forward.c the upstream's side) and by nobody else. Everything here belongs to
 * the connection's worker; an exchange ends exactly once (sn_exchange_end). */
#ifndef SN_PROXY_EXCHANGE_H
#define SN_PROXY_EXCHANGE_H

#include "proxy/conn.h"

#define SN_BODY_RUNS 16 /* of one read, forwarded in one write */

struct sn_exchange {
	struct sn_exchange *next_free;
	struct sn_conn *c;
	struct sn_snapshot *snap; /* a reference: what routed it lives as long as it */
	struct sn_request req;	  /* slices into c->buf, until the head is consumed */
	struct sn_header *storage;
	uint32_t n_parsed;
	size_t head_len; /* still at the front of c->buf unless head_consumed */
	bool head_consumed;
	const struct sn_rule *rule;
	const char *backend;
	struct sn_stats_block *stats;
	/* where it goes */
	struct sn_cluster *cluster;
	struct sn_endpoint *endpoint;
	struct sn_pool *pool;
	struct sn_waiter waiter;
	bool waiting;
	struct sn_upstream *u;
	struct sn_outq up_out;
	unsigned tries;
	/* the request's body */
	struct sn_h1_body req_body;
	bool req_done;
	/* the response */
	char *ubuf;
	size_t ustart, uend, ucap, uscanned;
	bool ubuf_pooled;
	bool resp_seen;	   /* a byte of it has come */
	bool resp_started; /* its head went to the client */
	bool resp_chunked, resp_keep, d_close;
	unsigned status, n_informational;
	struct sn_h1_body resp_body;
	uint64_t start_ns, try_ns;
	struct sn_timer deadline;
};

/* Body bytes as they were read -> slices to write (chunk framing included when @chunked). */
struct sn_body_out {
	struct iovec iov[SN_BODY_RUNS * 3 + 2];
	int n_iov;
	char heads[SN_BODY_RUNS][20];
	int n_runs;
	size_t used; /* of the input */
};
/* Appends to @o. Returns 0 or -SN_EPROTO. */
int sn_body_collect(struct sn_h1_body *b, struct sn_slice in, bool chunked, struct sn_body_out *o);

/* forward.c */
/* Chooses an endpoint and a connection and sends the request on. */
void sn_forward_start(struct sn_exchange *x);
/* More of the request's body may be there. */
void sn_forward_request(struct sn_exchange *x);
/* More of the response may be there, or the client can take more. */
void sn_forward_response(struct sn_exchange *x);
/* Lets go of the upstream side. @reusable: the response was read to its end. */
void sn_forward_release(struct sn_exchange *x, bool reusable, enum sn_try_end end);

/* http.c */
/* The response is complete: count it, and on to the next request or the end. */
void sn_exchange_done(struct sn_exchange *x);
/* Answers in the upstream's place, or resets when an answer has begun. */
void sn_exchange_refuse(struct sn_exchange *x, unsigned status, enum sn_refusal_reason reason,
			const char *detail);
/* After a refusal that did not come from reading the client: looks for its next request. */
void sn_http_resume(struct sn_conn *c);

#endif
