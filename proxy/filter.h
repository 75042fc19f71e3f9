/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/filter.h - carries out what the filters of a request's rule (mesh/filter.h) ask for.
 *
 *   rule matched -> CORS preflight? answered
 *                -> fault: waits, then goes on; or refused
 *                -> redirect, direct response: answered
 *                -> headers, host and path change; mirrors are prepared (mirror.h) -> backend ...
 *   head of the response -> CORS fields -> headers change -> client
 *
 * A rule without filters costs one branch; what only some filters need lies in struct sn_filtered,
 * which an exchange has once one of them asks for it. */
#ifndef SN_PROXY_FILTER_H
#define SN_PROXY_FILTER_H

#include "mesh/filter.h"
#include "proxy/mirror.h"

struct sn_target;

#define SN_ADDED_HEADERS 64 /* room in a head for what filters and the mesh add */

/* What filters keep for an exchange; lives as long as it does. */
struct sn_filtered {
	struct sn_exchange *x;
	struct sn_arena arena;	/* rewritten paths, copied values, a mirror's head */
	struct sn_slice origin; /* CORS: who may read the response; empty: nobody */
	struct sn_timer delay;
	bool waited;		     /* faults were drawn and the delay has begun */
	bool abort;		     /* ... and behind it comes the other one */
	const struct sn_service *to; /* ... where it was going, in the exchange's snapshot */
	uint16_t to_port;
	struct sn_list mirrors;	     /* those that wait for the request's body */
	struct sn_mirrored mirrored; /* when the exchange is a mirror itself */
};

/* x->filtered, made if need be; NULL when out of memory. */
struct sn_filtered *sn_filter_keep(struct sn_exchange *x);
/* The rule has just been matched. True: goes on to a backend. False: it was answered or refused and
 * may be gone, or it waits and sn_tries_begin() follows. */
bool sn_filter_request(struct sn_exchange *x, const struct sn_target *t);
/* Changes the final head of a response of the rule. Returns 0 or -SN_ETOOBIG: no room. */
int sn_filter_response(const struct sn_exchange *x, struct sn_headers *hs);
/* The exchange ends (x->filtered is there): no timer, no mirror waits any longer. */
void sn_filter_done(struct sn_exchange *x);
/* ... and is freed. NULL allowed. */
void sn_filter_free(struct sn_filtered *k);

#endif
