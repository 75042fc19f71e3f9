/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/schema.h - what a route and a policy may say, as schema tables: the proxy decodes its
 * document by them, and the operator asks them before it writes one, so that one resource that
 * cannot be expressed never spoils a document for all others. Pure. */
#ifndef SN_MESH_SCHEMA_H
#define SN_MESH_SCHEMA_H

#include "base/conf.h"
#include "mesh/policy.h"

struct sn_raw_pair {
	int type; /* of matches */
	const char *name;
	const char *value;
};

struct sn_raw_path {
	int type;
	const char *value;
};

struct sn_raw_match {
	struct sn_raw_path *path;
	const char *method;
	struct sn_raw_pair *headers;
	size_t n_headers;
	struct sn_raw_pair *params;
	size_t n_params;
};

struct sn_raw_modifier {
	struct sn_raw_pair *set;
	size_t n_set;
	struct sn_raw_pair *add;
	size_t n_add;
	const char **remove;
	size_t n_remove;
};

struct sn_raw_filter {
	int type;
	struct sn_raw_modifier *modifier;
};

struct sn_raw_backend {
	const char *name;
	int64_t port;
	int64_t weight;
};

/* Statuses, and gRPC's; counts with them. */
struct sn_raw_retry {
	int64_t *codes;
	size_t n_codes;
	int *grpc;
	size_t n_grpc;
	int64_t attempts;
	uint64_t backoff;
};

struct sn_raw_rate {
	int64_t per_second, burst; /* burst 0: as many as come in a second */
	int per;		   /* enum sn_rate_per; not of a service */
	const char *header;
};

struct sn_raw_rule {
	const char *name;
	struct sn_raw_match *matches;
	size_t n_matches;
	struct sn_raw_filter *filters;
	size_t n_filters;
	struct sn_raw_backend *backends;
	size_t n_backends;
	struct {
		uint64_t request, backend_request;
	} timeouts;
	struct sn_raw_retry *retry;
	struct sn_raw_rate *rate;
};

struct sn_raw_route {
	const char *name;
	int64_t *ports;
	size_t n_ports;
	struct sn_raw_rule *rules;
	size_t n_rules;
};

struct sn_raw_hash_on {
	int type;
	const char *name;
};

struct sn_raw_balancing {
	int algorithm;
	uint64_t slow_start;
	struct {
		int64_t min_size;
	} aperture;
	struct sn_raw_hash_on *hash_on;
};

struct sn_raw_success_rate {
	int64_t percent, min_requests;
	uint64_t interval;
};

struct sn_raw_breaking {
	int mode;
	int64_t consecutive_failures;
	struct sn_raw_success_rate *success_rate;
	uint64_t min_penalty, max_penalty;
	int64_t max_ejected_percent;
	bool panic;
};

struct sn_raw_connections {
	int64_t max, requests, pending;
	uint64_t pending_timeout, idle_timeout;
};

struct sn_raw_budget {
	int64_t percent, min_per_second;
	uint64_t interval;
};

struct sn_raw_adaptive {
	int mode; /* 1: on */
	int64_t min, max;
};

struct sn_raw_session {
	const char *name;
	int type; /* enum sn_persist_type */
	uint64_t absolute_timeout, idle_timeout;
	struct {
		int permanent;
	} cookie;
};

struct sn_raw_policy {
	struct sn_raw_balancing load_balancing;
	struct sn_raw_breaking circuit_breaking;
	struct {
		int mode;
	} locality;
	struct sn_raw_connections connections;
	struct sn_raw_budget budget;
	struct sn_raw_rate *rate;
	struct sn_raw_adaptive adaptive;
	struct sn_raw_session *session;
};

/* Decodes into struct sn_raw_route, struct sn_raw_policy. */
extern const struct sn_conf_object sn_schema_route;
extern const struct sn_conf_object sn_schema_policy;
/* What a decoded policy means. Strings stay where @raw's are. */
void sn_schema_policy_values(const struct sn_raw_policy *raw, struct sn_policy *ret);

#endif
