/* SPDX-License-Identifier: Apache-2.0 */
#include "kube/backoff.h"

uint64_t sn_backoff_ms(unsigned failures, uint64_t at_least_ms, struct sn_rng *rng)
{
	uint64_t ms = 800;

	while (failures-- > 1 && ms < 30000)
		ms *= 2;
	if (ms > 30000)
		ms = 30000;
	ms = ms * 8 / 10 + sn_rng_below(rng, (uint32_t)(ms * 4 / 10) + 1);
	return ms < at_least_ms ? at_least_ms : ms;
}
