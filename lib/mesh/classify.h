/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/classify.h - how one try ended, and what that says about the endpoint: one verdict for
 * breakers, budgets and metrics. Pure. The classes of gRPC statuses are those of Linkerd, except
 * that who is told to come again later (429, RESOURCE_EXHAUSTED) is not told that it failed. */
#ifndef SN_MESH_CLASSIFY_H
#define SN_MESH_CLASSIFY_H

#include <stdbool.h>
#include <stdint.h>

/* Nothing was said about when to come again. */
#define SN_RETRY_AFTER_NONE UINT64_MAX

enum sn_outcome_kind {
	SN_OUTCOME_ANSWERED,  /* a final response: its statuses decide */
	SN_OUTCOME_CONNECT,   /* no connection: provably unprocessed */
	SN_OUTCOME_REFUSED,   /* REFUSED_STREAM, above GOAWAY's last stream, an idle connection that
				 was closed: provably unprocessed */
	SN_OUTCOME_RESET,     /* broken after the request was sent, before the response was whole */
	SN_OUTCOME_TIMEOUT,   /* the time of this try has passed */
	SN_OUTCOME_CANCELLED, /* by the client or by us */
};

/* How a try ended. */
struct sn_outcome {
	enum sn_outcome_kind kind;
	bool is_grpc;	 /* the request was gRPC */
	uint16_t status; /* ANSWERED: HTTP's, else 0 */
	int8_t grpc;	 /* ANSWERED: 0..16 from grpc-status; -1: not said */
};

enum sn_class {
	SN_CLASS_SUCCESS,  /* 1xx..4xx, gRPC statuses that are the caller's doing */
	SN_CLASS_FAILURE,  /* of the endpoint: counts for its breaker */
	SN_CLASS_OVERLOAD, /* it asks for less: 429, RESOURCE_EXHAUSTED, REFUSED_STREAM */
	SN_CLASS_IGNORED,  /* says nothing: cancelled */
	SN_CLASS_COUNT
};

/* Without grpc-status a gRPC response of HTTP 200 is UNKNOWN, any other is judged by its HTTP
 * status (grpc/doc/http-grpc-status-mapping.md). gRPC failures: UNKNOWN, DEADLINE_EXCEEDED,
 * INTERNAL, UNAVAILABLE, DATA_LOSS. */
enum sn_class sn_classify(const struct sn_outcome *o);
/* "success", "failure", "overload", "ignored": words of metrics and views. */
const char *sn_class_name(enum sn_class c);

/* The gRPC status that a try amounts to, -1 for a request that is not gRPC: as answered; without
 * grpc-status by the HTTP status; CONNECT, REFUSED and RESET are UNAVAILABLE (14), TIMEOUT
 * DEADLINE_EXCEEDED (4), CANCELLED CANCELLED (1). */
int sn_outcome_grpc(const struct sn_outcome *o);

/* For how long the endpoint wants to be left alone, 0: nothing said. @retry_after_ms: what the
 * response said (sn_retry_after_ms), or SN_RETRY_AFTER_NONE; believed with 429, 503 and gRPC's
 * RESOURCE_EXHAUSTED and UNAVAILABLE only (RFC 9110 10.2.3). */
uint64_t sn_classify_back_off_ms(const struct sn_outcome *o, uint64_t retry_after_ms);

#endif
