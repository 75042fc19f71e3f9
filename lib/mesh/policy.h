/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/policy.h - how a service is used as a backend: plain values. */
#ifndef SN_MESH_POLICY_H
#define SN_MESH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "mesh/budget.h"
#include "mesh/persist.h"

enum sn_balance_algorithm { SN_BALANCE_PEAK_EWMA, SN_BALANCE_ROUND_ROBIN };

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
