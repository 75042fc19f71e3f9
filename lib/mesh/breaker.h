/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/breaker.h - is an endpoint to be used? One small state machine per endpoint, pure: time is
 * an argument, and whether an endpoint may be ejected at all is its set's to decide (balance.c).
 *
 *   CLOSED --failures--> OPEN --penalty over, one request--> PROBING --success--> RECOVERING -->
 * CLOSED ^                                    | failure: longer penalty      |
 *                          +------------------------------------+-------------- failures ------+
 *
 * Consecutive failures and growing jittered penalties: Finagle's FailureAccrualFactory,
 * linkerd2-proxy's consecutive-failures policy. The success rate: a sliding window of buckets, as
 * in Finagle's FailureAccrualPolicy.successRateWithinDuration. */
#ifndef SN_MESH_BREAKER_H
#define SN_MESH_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

#include "base/num.h"

struct sn_breaker_settings {
	bool on;
	bool panic;		       /* all are ejected: use all, instead of none */
	uint32_t consecutive_failures; /* that many in a row open it; 0: they do not count */
	uint32_t min_rate_percent;     /* of successes in the window, else it opens; 0: off */
	uint32_t min_requests;	       /* in the window, below which its rate says nothing */
	uint32_t max_ejected_percent;  /* of a set */
	uint64_t window_ns;
	uint64_t min_penalty_ns, max_penalty_ns;
};

/* On: 7 in a row, no success rate (else 10 s, 20 requests), 1 s to 60 s, half of a set, no panic.
 */
void sn_breaker_defaults(struct sn_breaker_settings *set);

enum sn_breaker_state {
	SN_BREAKER_CLOSED, /* used */
	SN_BREAKER_OPEN,   /* ejected: not used until the penalty is over and a request probes it */
	SN_BREAKER_PROBING,
	SN_BREAKER_RECOVERING, /* used, with a weight that grows */
	SN_BREAKER_STATES
};

#define SN_BREAKER_BUCKETS 6
#define SN_BREAKER_FULL 256 /* shares of a weight are in 256ths */
/* From 10 % to all of its weight after a successful probe. */
#define SN_BREAKER_RECOVERY_NS 10000000000ull
/* A probe that has not ended after that long does not keep others from probing. */
#define SN_BREAKER_PATIENCE_NS 10000000000ull
/* Used for that long, the penalty is one level lower the next time. */
#define SN_BREAKER_FORGET_NS 30000000000ull

/* All zero: closed, without history. */
struct sn_breaker {
	uint64_t since_ns; /* when it came into its state; results of older requests do not count */
	uint64_t until_ns; /* OPEN: due; PROBING: patience; RECOVERING: closed by then */
	uint32_t epoch;	   /* of the newest bucket */
	uint16_t failures; /* in a row */
	uint8_t state;
	uint8_t level; /* the next penalty is min_penalty x 2^level */
	struct {
		uint16_t all, bad;
	} window[SN_BREAKER_BUCKETS];
};

/* A request that began at @began_ns has ended. Returns true when the breaker wants to open: then
 * call sn_breaker_open(), or leave it as it is, and the next failure asks again. A successful probe
 * makes it RECOVERING. Results of requests that began before its state did are ignored. */
bool sn_breaker_result(struct sn_breaker *k, const struct sn_breaker_settings *set, bool success,
		       uint64_t began_ns, uint64_t now_ns);
/* ... by the client or by us: a probe that ends so leaves it due at once. */
void sn_breaker_cancelled(struct sn_breaker *k, uint64_t began_ns, uint64_t now_ns);
/* Opens it. The penalty grows x2 from min to max and is jittered within these, by up to a third. */
void sn_breaker_open(struct sn_breaker *k, const struct sn_breaker_settings *set,
		     struct sn_rng *rng, uint64_t now_ns);
/* OPEN or PROBING: it gets no requests but probes. */
bool sn_breaker_is_ejected(const struct sn_breaker *k);
/* Ejected, and one request may be sent as a probe now. */
bool sn_breaker_is_due(const struct sn_breaker *k, uint64_t now_ns);
/* That request is on its way. */
void sn_breaker_probe(struct sn_breaker *k, uint64_t now_ns);
/* The state at @now_ns: a recovery ends by time. */
enum sn_breaker_state sn_breaker_state(const struct sn_breaker *k, uint64_t now_ns);
/* How much of its weight counts, in 256ths: 0 while ejected. */
uint32_t sn_breaker_share(const struct sn_breaker *k, uint64_t now_ns);
/* "closed", "open", "probing", "recovering". */
const char *sn_breaker_name(enum sn_breaker_state s);

/* A line from 10 % at @elapsed_ns 0 to all at @whole_ns, in 256ths. */
uint32_t sn_breaker_ramp(uint64_t elapsed_ns, uint64_t whole_ns);

#endif
