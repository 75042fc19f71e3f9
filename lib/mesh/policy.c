/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults of a backend's policy; configuration.md lists the same numbers. */
#include "mesh/policy.h"

void sn_policy_defaults(struct sn_policy *p)
{
	*p = (struct sn_policy){
		.algorithm = SN_BALANCE_PEAK_EWMA,
		.aperture_min = 12,
		.prefer_own_zone = true,
		.max_connections = 1024,
		.max_pending = 100,
		.pending_timeout_ms = 1000,
		.idle_timeout_ms = 30000,
		.adaptive_min = 4,
		.adaptive_max = 1000,
	};
	sn_budget_defaults(&p->budget);
	sn_breaker_defaults(&p->breaker);
}
