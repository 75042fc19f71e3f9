/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/policy.h - how a service is used as a backend: plain values. */
#ifndef SN_MESH_POLICY_H
#define SN_MESH_POLICY_H

#include <stdint.h>

enum sn_balance_algorithm { SN_BALANCE_PEAK_EWMA, SN_BALANCE_ROUND_ROBIN };

struct sn_policy {
	enum sn_balance_algorithm algorithm;
	uint32_t max_connections; /* to each endpoint, per worker */
	uint32_t max_pending;	  /* requests waiting for a connection */
	uint64_t idle_timeout_ms; /* of pooled connections */
};

/* PeakEWMA, 1024, 100, 30 s. */
void sn_policy_defaults(struct sn_policy *p);

#endif
