/* SPDX-License-Identifier: Apache-2.0 */
/* Defaults of a backend's policy; configuration.md lists the same numbers. */
#include "mesh/policy.h"

void sn_policy_defaults(struct sn_policy *p)
{
	*p = (struct sn_policy){
		.algorithm = SN_BALANCE_PEAK_EWMA,
		.max_connections = 1024,
		.max_pending = 100,
		.idle_timeout_ms = 30000,
	};
}
