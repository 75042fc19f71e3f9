/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/balance.h - which endpoint of a service takes a request, and which get none for a while. One
 * balancer per (worker, service, port). Pure: time is an argument, chance is seeded. Choosing takes
 * constant time (by a ring: O(log n)) and no memory, for sets of 1 to 10,000.
 *
 *   PEAK_EWMA      the cheaper of two drawn by weight: decayed latency x (outstanding + 1), where a
 *                  slower sample replaces the average at once (Finagle's PeakEwma; two choices:
 *                  Mitzenmacher 2001)
 *   LEAST_REQUEST  the same by outstanding requests alone
 *   ROUND_ROBIN    smooth, shares exactly by weight (stride scheduling in classes of like weight:
 * Caprita et al., "Group Ratio Round-Robin", 2005; gRPC's static stride scheduler) RANDOM by weight
 * (alias method: Walker 1977, Vose 1991) APERTURE       PEAK_EWMA within a subset of its own, by
 * rendezvous with the seed, that widens and narrows with the load per endpoint (Finagle's Aperture
 * and LoadBand) RING_HASH      the same key, the same endpoint, at every proxy (Karger 1997,
 * ketama) MAGLEV         the same, evenly also in large sets (Eisenbud et al., "Maglev", NSDI 2016)
 *
 * Zones: with a zone of its own, a balancer prefers endpoints of that zone while these have
 * capacity: the part of the requests that stays is 1.4 x (their available weight) / (the set's
 * weight / number of zones), at most all (1.4: Envoy's overprovisioning factor); and PEAK_EWMA,
 * LEAST_REQUEST and APERTURE leave the zone where one drawn elsewhere costs less than a third,
 * where its queue counts as at least what is usual in the own zone: requests of others there are
 * not seen. Hash algorithms ignore zones, since all proxies have to agree. */
#ifndef SN_MESH_BALANCE_H
#define SN_MESH_BALANCE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "base/str.h"
#include "mesh/breaker.h"
#include "mesh/endpoints.h"
#include "mesh/policy.h"
#include "net/addr.h" /* data only */

struct sn_balance;

#define SN_BALANCE_ENDPOINTS_MAX 65535
#define SN_BALANCE_ZONE_MAX 64 /* bytes, with NUL; of longer names the beginning counts */

/* An endpoint and its state, which stay as long as the address is in the set. */
struct sn_endpoint {
	struct sn_addr addr;
	uint64_t id;	      /* of the address: the same at every proxy, always */
	void *user;	      /* the owner's: the connections to it */
	uint32_t weight;      /* 0: it takes no new requests */
	uint32_t outstanding; /* requests in flight */
	bool mesh;	      /* a peer proxy: the hop is HTTP/2 */
	bool gone;	      /* no longer in the set: freed when nothing is in flight */

	/* The balancer's own; others look by sn_balance_look(). */
	bool in;	/* in the aperture */
	uint8_t group;	/* 0: own zone, or no zones; 1: another */
	uint16_t zone;	/* index of its name */
	uint32_t index; /* in the set */
	uint32_t at;	/* among those available, UINT32_MAX: is not */
	uint32_t heap;	/* among those ejected */
	uint32_t share; /* effective weight x 256, as last computed */
	uint64_t ewma_ns, ewma_at_ns;
	uint64_t born_ns;	 /* when it came into a set that was there; 0: with the first */
	uint64_t spare_until_ns; /* it asked for less until then (Retry-After) */
	struct sn_breaker breaker;
};

struct sn_balance_settings {
	enum sn_balance_algorithm algorithm;
	uint64_t seed;
	uint64_t slow_start_ns; /* new endpoints: from 10 % of their weight to all; 0: none */
	uint32_t aperture_min;	/* 0: 12 */
	uint16_t service_port;	/* endpoints of others are none; never changes */
	struct sn_slice zone;	/* one's own; empty: zones are ignored. Copied */
	struct sn_breaker_settings breaker;
};

/* NULL when out of memory. */
struct sn_balance *sn_balance_new(const struct sn_balance_settings *settings);
void sn_balance_free(struct sn_balance *b);
/* @fn is called for each endpoint just before it is freed, so that `user` can be let go. */
void sn_balance_on_gone(struct sn_balance *b, void (*fn)(struct sn_endpoint *e, void *arg),
			void *arg);
/* Other settings for the same set: endpoints keep all their state, also when the algorithm changes;
 * with breakers off, those that are ejected are so no longer. The seed stays. Where nothing differs
 * nothing happens. Returns 0 or -SN_ENOMEM (unchanged). */
int sn_balance_configure(struct sn_balance *b, const struct sn_balance_settings *settings,
			 uint64_t now_ns);

/* Replaces the set by those of @items (zones are copied) that are for the port of the settings, or
 * for all: endpoints that stay keep their state, new ones start with the average latency
 * of the others (no free ride), those that left finish what they have. An address that comes twice
 * is one endpoint, as it came first. Returns 0, -SN_ELIMIT or -SN_ENOMEM (unchanged). */
int sn_balance_update(struct sn_balance *b, const struct sn_endpoint_spec *items, size_t n,
		      uint64_t now_ns);

struct sn_balance_ask {
	uint64_t now_ns;
	bool has_hash; /* RING_HASH and MAGLEV; without one they draw by weight */
	uint64_t hash;
	const struct sn_endpoint *const *tried; /* not these, if there are others; may be NULL */
	unsigned n_tried;
	struct sn_endpoint *stick; /* this one, if it can be used and was not tried; or NULL */
};

enum sn_balance_none {
	SN_BALANCE_SOME,	/* there is one */
	SN_BALANCE_EMPTY,	/* no endpoints, or none with a weight */
	SN_BALANCE_ALL_EJECTED, /* by their breakers */
};

/* Chooses and counts one request in flight, which ends with sn_balance_done(). Where an ejected
 * endpoint's penalty is over, this may be its probe (by hash: only for keys of its own). NULL with
 * *ret_why (may be NULL). */
struct sn_endpoint *sn_balance_pick(struct sn_balance *b, const struct sn_balance_ask *ask,
				    enum sn_balance_none *ret_why);

enum sn_try_end {
	SN_TRY_ANSWERED,
	SN_TRY_FAILED,	  /* by the endpoint: refused, reset, silent */
	SN_TRY_CANCELLED, /* by the client or by us: says nothing about the endpoint */
};

struct sn_try_result {
	uint64_t latency_ns; /* since the pick: from it follows when the request began */
	enum sn_try_end end;
	bool success; /* of ANSWERED: a 5xx, or gRPC's UNAVAILABLE and the like, is none */
	uint64_t retry_after_ms; /* of ANSWERED, a 429 or 503 that says when to come again; 0: none
				  */
};

/* What a failure costs at least: whoever refuses at once must not look fast. */
#define SN_BALANCE_PENALTY_NS 1000000000ull
/* Retry-After longer than that counts as that. */
#define SN_BALANCE_SPARE_MAX_NS 60000000000ull

/* The request that pick counted has ended. ANSWERED: its latency feeds the average. FAILED: it
 * counts as a sample of at least the penalty. CANCELLED: only if it took longer than the average.
 * The breaker hears of the first two. With a Retry-After the endpoint's weight is a tenth until
 * that has passed, before and besides any ejection. May free @e when it is gone. */
void sn_balance_done(struct sn_balance *b, struct sn_endpoint *e, const struct sn_try_result *r,
		     uint64_t now_ns);

/* The request goes on, and what has come of it is well: to its breaker a success, so that a probe
 * which is a long stream or a connection need not end to pass. @latency_ns: since the pick. */
void sn_balance_is_well(struct sn_balance *b, struct sn_endpoint *e, uint64_t latency_ns,
			uint64_t now_ns);

/* --- looking ------------------------------------------------------------------------------------
 */

size_t sn_balance_count(const struct sn_balance *b);
/* In the order of the update; NULL beyond the end. */
struct sn_endpoint *sn_balance_at(const struct sn_balance *b, size_t i);
/* By sn_endpoint.id; NULL when it is not in the set. O(log n), and the first one after an update
 * sorts the set. */
struct sn_endpoint *sn_balance_find(const struct sn_balance *b, uint64_t id);
uint64_t sn_balance_id(const struct sn_addr *addr);
/* No endpoints, and none that left with requests in flight. */
bool sn_balance_is_empty(const struct sn_balance *b);
/* That breakers keep out now. */
size_t sn_balance_ejected(const struct sn_balance *b);
/* Times that a breaker has put an endpoint out. */
uint64_t sn_balance_ejections(const struct sn_balance *b);
/* In use: all of the set, or the aperture. */
size_t sn_balance_width(const struct sn_balance *b);

struct sn_balance_look {
	const char *zone;	/* "" unknown; valid until the next update */
	bool own_zone;		/* or zones are ignored */
	bool in_use;		/* gets requests: not ejected, in the aperture, with a weight */
	uint32_t share_percent; /* of its weight that counts now: new, recovering, spared */
	uint64_t ewma_ns;	/* decayed to now */
	double cost;		/* as PEAK_EWMA compares it, LEAST_REQUEST without the latency */
	enum sn_breaker_state breaker;
	uint64_t ejected_until_ns; /* 0: is not */
	uint64_t spared_until_ns;  /* 0: is not */
};
void sn_balance_look(const struct sn_balance *b, const struct sn_endpoint *e, uint64_t now_ns,
		     struct sn_balance_look *ret);

#define SN_BALANCE_CANDIDATES 4
struct sn_balance_why {
	struct sn_endpoint *chosen; /* NULL: see none */
	enum sn_balance_none none;
	bool probe;					       /* the request would probe it */
	struct sn_endpoint *candidates[SN_BALANCE_CANDIDATES]; /* that were compared by cost */
	unsigned n_candidates;
};
/* What the next sn_balance_pick() with @ask would do, without doing it. */
void sn_balance_explain(struct sn_balance *b, const struct sn_balance_ask *ask,
			struct sn_balance_why *ret);

/* "PeakEWMA", "LeastRequest", ... as configured. */
const char *sn_balance_name(enum sn_balance_algorithm a);

#endif
