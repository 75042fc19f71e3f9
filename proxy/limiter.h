/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/limiter.h - the rate limit of a rule, as one worker counts it: its share of what is allowed
 * to the whole proxy. Kept across snapshots by the rule's names. */
#ifndef SN_PROXY_LIMITER_H
#define SN_PROXY_LIMITER_H

#include "mesh/policy.h"
#include "mesh/ratelimit.h"

struct sn_exchange;
struct sn_stats;

struct sn_limiter {
	uint64_t generation; /* of the snapshot that the settings come from */
	enum sn_rate_per per;
	struct sn_ratelimit table;
	uint64_t limited;
};

/* NULL when out of memory. */
struct sn_limiter *sn_limiter_new(const struct sn_rate_limit *l, uint64_t generation,
				  unsigned n_workers, const uint64_t seed[2]);
void sn_limiter_free(struct sn_limiter *m); /* NULL allowed */
/* What @generation says. */
void sn_limiter_configure(struct sn_limiter *m, const struct sn_rate_limit *l, uint64_t generation,
			  unsigned n_workers);

/* The request of @x, whose rule has a rate_limit, counts. False: it has been refused. */
bool sn_limiter_pass(struct sn_limiter *m, struct sn_exchange *x);
/* Adds what it has limited of @service to @into. Returns 0 or -SN_ENOMEM. */
int sn_limiter_count(const struct sn_limiter *m, const char *service, struct sn_stats *into);

#endif
