/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/snapshot.h - everything that routing needs, compiled from one whole document: services,
 * their routes, policies and endpoint lists. Immutable and reference-counted; swapped whole. Pure:
 * no I/O, no clock. What changes per worker (balancer state, pools) lives outside, keyed by the
 * stable ids here. */
#ifndef SN_MESH_SNAPSHOT_H
#define SN_MESH_SNAPSHOT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/map.h"
#include "base/ref.h"
#include "base/str.h"
#include "mesh/endpoints.h"
#include "mesh/policy.h"
#include "mesh/route.h"
#include "net/addr.h" /* data only */

enum sn_port_protocol {
	SN_PORT_DETECT,
	SN_PORT_HTTP,
	SN_PORT_HTTP2,
	SN_PORT_GRPC,
	SN_PORT_OPAQUE,
};

struct sn_service_port {
	uint16_t port;
	enum sn_port_protocol protocol;
	bool own_table; /* routes that name ports: `table` is this port's, may be NULL */
	struct sn_route_table *table; /* else the service's */
};

enum sn_endpoints_kind {
	SN_ENDPOINTS_ADDRESSES, /* the service's own cluster addresses at the requested port; may be
				   none */
	SN_ENDPOINTS_STATIC,
	SN_ENDPOINTS_FILE, /* lines in the file `endpoints_file`, watched */
	SN_ENDPOINTS_DNS,  /* what `lookup` is answered */
	/* These two are not in the snapshot: see mesh/endpoints.h. Until they are known it is
	 * the addresses. */
};

enum sn_lookup_type { SN_LOOKUP_A, SN_LOOKUP_AAAA, SN_LOOKUP_SRV };

struct sn_lookup_spec {
	const char *name; /* absolute */
	uint16_t port;	  /* A, AAAA */
	enum sn_lookup_type type;
};

struct sn_service {
	const char *name;
	uint32_t id;   /* index in snapshot->services */
	uint32_t slot; /* of the service as its own backend: see n_slots */
	const char **hosts;
	size_t n_hosts;
	struct sn_addr *addresses; /* ports are 0 */
	size_t n_addresses;
	struct sn_service_port *ports;
	size_t n_ports;
	struct sn_route_table *table; /* NULL: everything goes to the service itself */
	struct sn_policy policy;
	enum sn_endpoints_kind endpoints_kind;
	const char *endpoints_file;
	struct sn_lookup_spec lookup;
	struct sn_endpoint_spec *endpoints; /* SN_ENDPOINTS_STATIC */
	size_t n_endpoints;
};

enum sn_default_mode { SN_DEFAULT_PASSTHROUGH, SN_DEFAULT_DENY };

struct sn_snapshot {
	struct sn_refcount refs;
	struct sn_arena arena;
	const char *revision; /* "" when the document has none */
	const char *zone;     /* the proxy's own; "": unknown */
	uint64_t generation;  /* increases with each snapshot of this process */
	enum sn_default_mode default_mode;
	/* Places where a request can go are numbered, so that a worker finds what it keeps for each
	 * (its statistics, its balancer) by index. */
	uint32_t n_slots;
	struct sn_service *services;
	size_t n_services;
	struct sn_map by_host; /* lower-cased host -> service */
	struct sn_map by_addr; /* address and port (0: any) -> service */
	struct sn_map by_name;
	struct sn_snapshot *older_retired; /* of proxy/retired */
};

/* An empty snapshot with one reference: fill services (from its arena), then index it. NULL when
 * out of memory. */
struct sn_snapshot *sn_snapshot_new(void);
/* Builds the lookup tables. Where two services claim the same host or address, the first keeps it
 * and *ret_loser (may be NULL) names the second. Returns 0, -SN_EEXIST (a name twice) or
 * -SN_ENOMEM. */
int sn_snapshot_index(struct sn_snapshot *s, const struct sn_service **ret_loser);

struct sn_snapshot *sn_snapshot_ref(struct sn_snapshot *s);
void sn_snapshot_unref(struct sn_snapshot *s); /* NULL allowed; any thread */

/* By Host / :authority without port: case-insensitive, a trailing dot ignored. NULL: nobody's. */
const struct sn_service *sn_snapshot_by_host(const struct sn_snapshot *s, struct sn_slice host);
/* By original destination: address, and port if the service lists ports and this one is among them;
 * NULL when no service has the address, or it has and not that port. */
const struct sn_service *sn_snapshot_by_addr(const struct sn_snapshot *s,
					     const struct sn_addr *dst);
const struct sn_service *sn_snapshot_by_name(const struct sn_snapshot *s, struct sn_slice name);
/* The port that a request by Host means: @asked if listed, else the only one, else 80, else the
 * first, 0: none listed. */
const struct sn_service_port *sn_service_pick_port(const struct sn_service *svc, uint16_t asked);
/* The port of @svc that a backend means, where @parent (may be NULL) was @asked: its own; else the
 * same one, if it is the same service or lists it; else what a request by Host would mean. */
uint16_t sn_backend_port(const struct sn_backend_ref *ref, const struct sn_service *svc,
			 const struct sn_service *parent, uint16_t asked);
/* The routes for requests to @port; NULL: everything goes to the service itself. */
const struct sn_route_table *sn_service_table(const struct sn_service *svc, uint16_t port);
const struct sn_service_port *sn_service_find_port(const struct sn_service *svc, uint16_t port);

#endif
