/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/policy.h - how a service is used as a backend: plain values. */
#ifndef SN_MESH_POLICY_H
#define SN_MESH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "mesh/breaker.h"
#include "mesh/budget.h"
#include "mesh/persist.h"

enum sn_balance_algorithm {
	SN_BALANCE_PEAK_EWMA,
	SN_BALANCE_LEAST_REQUEST,
	SN_BALANCE_ROUND_ROBIN,
	SN_BALANCE_RANDOM,
	SN_BALANCE_APERTURE,
	SN_BALANCE_RING_HASH,
	SN_BALANCE_MAGLEV,
};

/* By what of a request RING_HASH and MAGLEV choose. */
enum sn_hash_kind {
	SN_HASH_NONE,
	SN_HASH_HEADER,
	SN_HASH_COOKIE,
	SN_HASH_QUERY_PARAM,
	SN_HASH_SOURCE_ADDRESS,
};

struct sn_hash_on {
	enum sn_hash_kind kind;
	const char *name; /* of the header, cookie or parameter; lives with the snapshot */
};

/* So many at a sustained rate. Of the whole proxy: a worker takes its share. */
struct sn_rate {
	uint64_t milli_per_second; /* 0: no limit */
	uint32_t burst;
};

enum sn_rate_per { SN_RATE_PER_RULE, SN_RATE_PER_IDENTITY, SN_RATE_PER_HEADER };

/* Of a rule. */
struct sn_rate_limit {
	struct sn_rate rate;
	enum sn_rate_per per; /* whose requests are counted together */
	struct sn_slice header;
	uint32_t slot; /* where a worker keeps its counts; see struct sn_snapshot */
};

struct sn_policy {
	enum sn_balance_algorithm algorithm;
	struct sn_hash_on hash_on;
	uint64_t slow_start_ms; /* 0: none */
	uint32_t aperture_min;
	bool prefer_own_zone;
	struct sn_breaker_settings breaker;
	uint32_t max_connections;    /* to each endpoint, per worker */
	uint32_t max_requests;	     /* in flight to the service; 0: no cap */
	uint32_t max_pending;	     /* requests that wait: for their turn, for a connection */
	uint64_t pending_timeout_ms; /* ... for their turn */
	uint64_t idle_timeout_ms;    /* of pooled connections */
	struct sn_budget_settings budget;
	bool adaptive; /* a second cap on requests in flight, found from latency */
	uint32_t adaptive_min, adaptive_max;
	struct sn_rate rate;
	const struct sn_persist *persist; /* sessions; NULL: none */
};

/* What a service without a policy has. */
void sn_policy_defaults(struct sn_policy *p);

#endif
