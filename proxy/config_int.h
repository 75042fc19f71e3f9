/* SPDX-License-Identifier: Apache-2.0 */
/* Between the configuration's files: raw structs that the schema decodes into, and the steps. */
#ifndef SN_PROXY_CONFIG_INT_H
#define SN_PROXY_CONFIG_INT_H

#include "base/conf.h"
#include "base/err.h"
#include "mesh/schema.h"
#include "proxy/config.h"

struct raw_tls {
	const char *certificate, *key, *client_ca;
};

struct raw_listener {
	const char *opaque_ports;
	const char *name;
	const char **addresses;
	size_t n_addresses;
	int direction;
	bool transparent;
	int protocol;
	bool mesh_peer;
	const char *service;
	struct raw_tls *tls;
};

struct raw_port {
	int64_t port;
	int protocol;
};

struct raw_endpoint {
	const char *address;
	int64_t weight;
	int64_t service_port;
	bool mesh;
	const char *zone;
};

struct raw_lookup {
	const char *name;
	int64_t port;
	int type;
};

struct raw_endpoints {
	struct raw_endpoint *list;
	size_t n_list;
	bool has_list;
	const char *file;
	struct raw_lookup *lookup;
};

struct raw_service {
	const char *name;
	const char **hosts;
	size_t n_hosts;
	const char **addresses;
	size_t n_addresses;
	struct raw_port *ports;
	size_t n_ports;
	struct sn_raw_route *routes;
	size_t n_routes;
	struct sn_raw_policy policy;
	struct raw_endpoints *endpoints;
};

struct raw_resolver {
	const char **servers;
	size_t n_servers;
	uint64_t timeout;
};

struct raw_shard {
	int64_t index, of;
};

struct raw_document {
	int64_t version;
	const char *revision;
	const char *zone;
	struct raw_shard *shard;
	const struct sn_val *workers;
	struct {
		const char *address;
	} admin;
	struct sn_config_limits limits;
	struct sn_config_timeouts timeouts;
	struct {
		uint64_t propagation;
	} drain;
	struct {
		uint64_t wait_for_routes;
	} startup;
	struct raw_resolver resolver;
	struct raw_listener *listeners;
	size_t n_listeners;
	struct {
		int mode;
	} default_service;
	struct raw_service *services;
	size_t n_services;
};

extern const struct sn_conf_object sn_config__document;

/* Merges @docs (maps) into a new map in @a: maps by key, `services` concatenated, the same scalar
 * twice is a finding. `revision` and `shard` come from shards: see sn_config__shards. */
struct sn_val *sn_config__merge(struct sn_arena *a, struct sn_conf_ctx *ctx, struct sn_val **docs,
				size_t n);

/* Takes `shard` and `revision` out of the shard documents: SN_CONFIG_OK when all shards of one
 * revision are there (*ret_revision may be NULL: none), else SN_CONFIG_WAITING. */
enum sn_config_result sn_config__shards(struct sn_val **docs, size_t n, const char **ret_revision);

/* Where the files that a document names come from, and what was there before. */
struct sn_config__source {
	sn_config_read_fn read_file;
	void *arg;
	const struct sn_config *in_use; /* or NULL */
	struct sn_buf *messages;	/* warnings */
};

/* One build on its way. */
struct build {
	struct sn_conf_ctx *ctx;
	struct sn_config *c;
	struct sn_snapshot *snap;
	const struct sn_val *doc;
	const struct sn_config__source *src;
	bool oom;
};

/* Of the snapshot's arena, zeroed; NULL and b->oom when there is no memory. keep() of NULL is "".
 */
void *sn_config__take(struct build *b, size_t n, size_t size);
const char *sn_config__keep(struct build *b, const char *s);
struct sn_slice sn_config__keep_slice(struct build *b, const char *s);

/* Compiles the routes of @svc, whose ports are there already. b->oom when there is no memory. */
void sn_config__routes(struct build *b, const struct raw_service *raw, struct sn_service *svc);
/* The compiled filters of a rule; NULL when it has none (or b->oom). */
struct sn_filters *sn_config__filters(struct build *b, const struct sn_raw_rule *raw);
/* Backends by name -> index, once all services have a name; a name that nobody has stays -1 and
 * answers 500, a mirror's is not mirrored to. */
void sn_config__resolve_backends(struct build *b);

/* config_policy.c: policies, and what of a rule is like them; NULL for NULL. */
void sn_config__policy(struct build *b, const struct sn_raw_policy *raw, struct sn_policy *p);
const struct sn_retry_policy *sn_config__retry(struct build *b, const struct sn_raw_retry *raw);
const struct sn_rate_limit *sn_config__rate_limit(struct build *b, const struct sn_raw_rate *raw);

/* raw -> sn_config with its snapshot; neither needs @raw or @doc afterwards. Findings go to @ctx.
 * Returns 0, -SN_ECONF, -SN_ENOMEM. */
int sn_config__build(struct sn_conf_ctx *ctx, const struct sn_val *doc,
		     const struct raw_document *raw, const struct sn_config__source *src,
		     struct sn_config *c);

/* Makes the context of l->tls from its files. @v: the map that they were named in. */
void sn_config__tls(struct sn_conf_ctx *ctx, const struct sn_config__source *src,
		    const struct sn_val *v, struct sn_config_listener *l);

#endif
