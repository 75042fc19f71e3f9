/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/peer.h - one address that a worker connects to, and its connections by protocol, each pool
 * made on first use. Belongs to an endpoint of a cluster or, by original destination, to the
 * worker. */
#ifndef SN_PROXY_PEER_H
#define SN_PROXY_PEER_H

#include "http/h2pool.h"
#include "http/pool.h"

struct sn_worker;
struct sn_peer;

struct sn_peer_settings {
	struct sn_pool_settings pool;
	bool mesh; /* one of our own proxies */
};

/* NULL when out of memory. */
struct sn_peer *sn_peer_new(struct sn_worker *w, const struct sn_addr *to,
			    const struct sn_peer_settings *settings, uint64_t generation);
/* @generation: of the snapshot that the settings come from. */
void sn_peer_configure(struct sn_peer *p, const struct sn_peer_settings *settings,
		       uint64_t generation);
uint64_t sn_peer_generation(const struct sn_peer *p);
/* No new requests; what is in flight finishes, or with @now (the worker ends) is given up. The peer
 * is not to be used any more. */
void sn_peer_retire(struct sn_peer *p, bool now);
/* NULL when out of memory. */
struct sn_pool *sn_peer_h1(struct sn_peer *p);
struct sn_h2pool *sn_peer_h2(struct sn_peer *p);
bool sn_peer_is_unused(const struct sn_peer *p);
const struct sn_addr *sn_peer_addr(const struct sn_peer *p);

#endif
