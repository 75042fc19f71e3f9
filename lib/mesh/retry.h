/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/retry.h - is a try that failed to be made again, and when? Pure: facts in, decision out;
 * the budget (mesh/budget.h) is asked by the caller, last, when everything else says yes.
 *
 * The rules (of several that say no, the first in enum sn_retry_reason is named):
 * - What provably was not processed (CONNECT, REFUSED) is retried whatever the method, up to
 *   max(attempts, SN_RETRY_UNPROCESSED) times, at once the first time.
 * - Anything else only with `attempts`, and if it is a failure that the policy names: an HTTP
 * status in `codes`; RESET and TIMEOUT always (as GEP-1731 says of connection errors).
 * - ... and only idempotent methods (RFC 9110 9.2.2). `codes` is no consent for POST and PATCH: a
 *   status does not say whether the request has had its effect.
 * - A gRPC request (always POST) is judged by its gRPC status (sn_outcome_grpc: RESET is
 *   UNAVAILABLE, TIMEOUT DEADLINE_EXCEEDED) and the `grpc` list alone, and naming a status there is
 *   consent: these calls may be made twice. So it is in Envoy and Linkerd.
 * - Never once the client has seen part of a response, when a hop before us has forbidden it
 *   (sennit-retry: no), when what was sent of the body is not kept, or past the deadline.
 * Delays: exponential backoff with full jitter (Brooker, "Exponential Backoff And Jitter", AWS
 * 2015): uniform in [0, min(backoff_max, backoff x 2^n)); not before what Retry-After asks for, and
 * not at all when that is more than SN_RETRY_AFTER_WAIT_MS or past the deadline. */
#ifndef SN_MESH_RETRY_H
#define SN_MESH_RETRY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/num.h"
#include "base/str.h"
#include "mesh/classify.h"

#define SN_RETRY_UNPROCESSED 2	     /* retries of unprocessed tries without a policy */
#define SN_RETRY_CODE_FIRST 400	     /* statuses that can be named in `codes` ... */
#define SN_RETRY_CODE_LAST 599	     /* ... are 400..599 */
#define SN_RETRY_AFTER_WAIT_MS 1000  /* we wait no longer than this for a server */
#define SN_RETRY_AFTER_MAX_MS 60000u /* longer hints are cut to this */

struct sn_retry_policy {
	uint64_t codes[4];	 /* bit (status - 400); see sn_retry_add_code */
	uint32_t grpc;		 /* bit per gRPC status 1..16 */
	uint32_t attempts;	 /* retries after the first try; 0: only unprocessed ones */
	uint64_t backoff_ns;	 /* before the first retry, at most */
	uint64_t backoff_max_ns; /* before any */
};

/* No codes, attempts 0, backoff 25 ms, at most 250 ms. */
void sn_retry_defaults(struct sn_retry_policy *p);
/* Sets the base and its bound: ten times as much, or 1 s where that is less (never less than the
 * base itself). */
void sn_retry_set_backoff(struct sn_retry_policy *p, uint64_t backoff_ns);
/* Return 0, or -SN_ECONF: not 400..599; not 1..16. */
int sn_retry_add_code(struct sn_retry_policy *p, unsigned status);
int sn_retry_add_grpc(struct sn_retry_policy *p, int status);
bool sn_retry_has_code(const struct sn_retry_policy *p, unsigned status);

struct sn_retry_facts {
	struct sn_outcome outcome; /* of the try that has just ended */
	uint32_t retries;	   /* made so far: 0 after the first try */
	bool idempotent;	   /* sn_method_is_idempotent() */
	bool body_lost;		   /* something was sent that cannot be sent again */
	bool response_started;	   /* the client has got some of it */
	bool no_retry;		   /* forbidden by who sent the request */
	uint64_t deadline_ns;	   /* what is left of the request's time; UINT64_MAX: no limit */
	uint64_t retry_after_ms;   /* the response's, or SN_RETRY_AFTER_NONE */
};

enum sn_retry_reason {
	SN_RETRY_YES,
	SN_RETRY_NOT_RETRYABLE,	   /* no failure, or none that the policy names */
	SN_RETRY_RESPONSE_STARTED, /* too late */
	SN_RETRY_FORBIDDEN,	   /* by the hop before */
	SN_RETRY_NOT_IDEMPOTENT,
	SN_RETRY_BODY_LOST,
	SN_RETRY_ATTEMPTS, /* used up */
	SN_RETRY_LATER,	   /* the server wants to be left alone for longer than we wait */
	SN_RETRY_DEADLINE, /* it would start past it */
	SN_RETRY_BUDGET,   /* never said here: for callers that count reasons */
	SN_RETRY_REASON_COUNT
};

struct sn_retry_decision {
	enum sn_retry_reason reason; /* SN_RETRY_YES: again, in delay_ns; else no, because */
	uint64_t delay_ns;
};

/* @rng: for the jitter; drawn from only when a delay is decided on. */
struct sn_retry_decision sn_retry_decide(const struct sn_retry_policy *p,
					 const struct sn_retry_facts *f, struct sn_rng *rng);
/* "yes", "not-retryable", "response-started", "forbidden", "not-idempotent", "body-lost",
 * "attempts", "retry-after", "deadline", "budget": words of metrics and views. */
const char *sn_retry_reason_name(enum sn_retry_reason r);

/* Reads Retry-After: seconds, or an HTTP date (RFC 9110 5.6.7: all three forms) against
 * @now_unix_s; a time that has passed is 0. Returns ms, at most SN_RETRY_AFTER_MAX_MS, or
 * SN_RETRY_AFTER_NONE if @value is neither. */
uint64_t sn_retry_after_ms(struct sn_slice value, uint64_t now_unix_s);
/* An HTTP date as seconds since 1970, 0 for earlier ones; two-digit years mean the last such year
 * that is not more than 50 years after @now_unix_s. Returns 0 or -SN_ESYNTAX. The name of the day
 * is not checked against the date. */
int sn_http_date_parse(struct sn_slice value, uint64_t now_unix_s, uint64_t *ret_unix_s);

#endif
