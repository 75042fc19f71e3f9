/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/ratelimit.h - the Generic Cell Rate Algorithm (ITU-T I.371, ATM Forum TM 4.0; its "virtual
 * scheduling" form): one time per limited thing, the theoretical arrival time of the next request;
 * and a table of these by key, which never grows. Pure; one per (worker, rule). */
#ifndef SN_MESH_RATELIMIT_H
#define SN_MESH_RATELIMIT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

struct sn_gcra_settings {
	uint64_t emission_ns;  /* from one request to the next at the sustained rate; at least 1 */
	uint64_t tolerance_ns; /* how far ahead of it: (burst - 1) x emission */
};

/* All zero: nothing has come yet. */
struct sn_gcra {
	uint64_t tat_ns;
};

/* @milli_per_second: requests per 1000 s, so that fractions can be said (0.5/s is 500); 0 counts as
 * 1. @burst: how many may come at once after a rest; 0 counts as 1. Rounded so that the rate is
 * never exceeded. */
void sn_gcra_settings_init(struct sn_gcra_settings *s, uint64_t milli_per_second, uint32_t burst);

/* Counts one request if it conforms. Else counts nothing, and *ret_wait_ns (may be NULL) is when
 * one will conform, if none comes before: at least 1, for Retry-After. */
bool sn_gcra_allow(struct sn_gcra *g, const struct sn_gcra_settings *s, uint64_t now_ns,
		   uint64_t *ret_wait_ns);

#define SN_RATELIMIT_WAYS 8 /* slots where a key can be: two cache lines */

struct sn_ratelimit_slot {
	uint64_t hash;
	struct sn_gcra cell; /* a time that has passed: the slot is free */
};

struct sn_ratelimit {
	struct sn_gcra_settings settings;
	uint64_t seed[2];
	struct sn_ratelimit_slot *slots; /* NULL until the first request */
	size_t n_slots;			 /* power of two */
	uint64_t evicted;		 /* keys that lost their place while they counted */
	uint64_t unchecked;		 /* requests that passed because there was no memory */
};

/* A limit for each key. @max_keys (at least 1, at most 2^24): rounded up to a power of two, 16
 * bytes each, allocated at the first request and never more: 10,000 keys take 16,384 slots, 256
 * KiB.
 * @seed: two random words of the process, so that nobody can choose keys that meet in one set.
 *
 * Keys live in sets of 8. A key whose allowance is whole again needs no slot, so the table holds
 * those that came lately; nothing sweeps. When a set has no free slot, the key that is nearest to
 * being whole again loses its place (it may then have a burst too early): a client that is over its
 * limit is the last to be forgotten. */
void sn_ratelimit_init(struct sn_ratelimit *r, const struct sn_gcra_settings *s, size_t max_keys,
		       const uint64_t seed[2]);
void sn_ratelimit_done(struct sn_ratelimit *r);
/* Another rate from now on; what was counted stays. */
void sn_ratelimit_change(struct sn_ratelimit *r, const struct sn_gcra_settings *s);

/* As sn_gcra_allow, for @key (an identity, a header's value; may be empty). Without memory for the
 * table all pass and are counted in `unchecked`. Keys are known by 64-bit SipHash only. */
bool sn_ratelimit_allow(struct sn_ratelimit *r, struct sn_slice key, uint64_t now_ns,
			uint64_t *ret_wait_ns);
/* Keys whose allowance is not whole at @now_ns; walks the table, for views. */
size_t sn_ratelimit_count(const struct sn_ratelimit *r, uint64_t now_ns);

#endif
