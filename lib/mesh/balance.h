/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/balance.h - which endpoint of a service takes a request. One balancer per (worker, service,
 * port); time is an argument; choosing is O(1) for P2C and O(1) amortized for round robin, without
 * allocation. Peak EWMA after Finagle's PeakEwma: load = decayed latency x (outstanding + 1), a
 * slower sample replaces the average at once; two choices: Mitzenmacher, "The Power of Two Choices"
 * (2001). */
#ifndef SN_MESH_BALANCE_H
#define SN_MESH_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "mesh/policy.h"
#include "net/addr.h" /* data only */

struct sn_balance;

/* State of one endpoint; stays across updates of the set as long as the address stays. */
struct sn_endpoint {
	struct sn_addr addr;
	uint32_t weight;
	uint32_t outstanding; /* requests in flight */
	uint64_t ewma_ns;
	uint64_t ewma_at_ns;
	int64_t rr_current; /* smooth weighted round robin (nginx's) */
	bool gone;	    /* no longer in the set: freed when outstanding and refs are 0 */
	bool mesh;	    /* a peer proxy: the hop is HTTP/2 */
	uint32_t refs;
	void *user; /* the owner's: the connections to it */
};

struct sn_balance *sn_balance_new(enum sn_balance_algorithm algorithm, uint64_t seed);
/* @on_gone is called for each endpoint just before it is freed, so that `user` can be let go. */
void sn_balance_free(struct sn_balance *b);
void sn_balance_on_gone(struct sn_balance *b, void (*fn)(struct sn_endpoint *e, void *arg),
			void *arg);

/* Replaces the set: endpoints that stay keep their state, new ones start with the average of the
 * others (no free ride), those that left finish what they have. Returns 0 or -SN_ENOMEM
 * (unchanged). */
struct sn_balance_item {
	struct sn_addr addr;
	uint32_t weight;
	bool mesh;
};
int sn_balance_update(struct sn_balance *b, const struct sn_balance_item *items, size_t n,
		      uint64_t now_ns);
size_t sn_balance_count(const struct sn_balance *b);
/* No endpoints, and none that left with requests in flight. */
bool sn_balance_is_empty(const struct sn_balance *b);
struct sn_endpoint *sn_balance_at(const struct sn_balance *b, size_t i);

/* Chooses and counts one request in flight; NULL when the set is empty. @avoid (may be NULL): not
 * this one if there is another. */
struct sn_endpoint *sn_balance_pick(struct sn_balance *b, const struct sn_endpoint *avoid,
				    uint64_t now_ns);
enum sn_try_end {
	SN_TRY_ANSWERED,
	SN_TRY_FAILED,	  /* by the endpoint: refused, reset, silent */
	SN_TRY_CANCELLED, /* by the client or by us: says nothing about the endpoint */
};

/* What a failure costs at least: whoever refuses at once must not look fast. */
#define SN_BALANCE_PENALTY_NS 1000000000ull

/* The request that pick counted has ended. ANSWERED: @latency_ns feeds the average. FAILED: it
 * counts as a sample of at least the penalty. CANCELLED: only if it took longer than the average.
 */
void sn_balance_done(struct sn_balance *b, struct sn_endpoint *e, uint64_t latency_ns,
		     enum sn_try_end end, uint64_t now_ns);

#endif
