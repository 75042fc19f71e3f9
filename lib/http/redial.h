/* SPDX-License-Identifier: Apache-2.0 */
/* http/redial.h - when an address that refused us may be dialled again: exponential backoff with
 * jitter (Finagle's FailFast), so that a dead endpoint costs a failure at once and not a storm. */
#ifndef SN_HTTP_REDIAL_H
#define SN_HTTP_REDIAL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/num.h"

#define SN_REDIAL_MIN_MS 20
#define SN_REDIAL_MAX_MS 1000

struct sn_redial {
	uint64_t until_ms;
	uint32_t delay_ms;
};

static inline bool sn_redial_must_wait(const struct sn_redial *r, uint64_t now_ms)
{
	return now_ms < r->until_ms;
}

/* A dial has failed: the next one not before half to all of the delay, which doubles. */
static inline void sn_redial_failed(struct sn_redial *r, uint64_t now_ms, struct sn_rng *rng)
{
	r->delay_ms = r->delay_ms ? r->delay_ms * 2 : SN_REDIAL_MIN_MS;
	if (r->delay_ms > SN_REDIAL_MAX_MS)
		r->delay_ms = SN_REDIAL_MAX_MS;
	r->until_ms = now_ms + r->delay_ms / 2 + sn_rng_below(rng, r->delay_ms / 2 + 1);
}

static inline void sn_redial_connected(struct sn_redial *r)
{
	*r = (struct sn_redial){0};
}

#endif
