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

struct sn_raw_path_change {
	int type; /* enum sn_path_change_kind */
	const char *full, *prefix;
};

struct sn_raw_rewrite {
	const char *hostname;
	struct sn_raw_path_change *path;
};

struct sn_raw_redirect {
	int scheme; /* index into "", "http", "https" */
	const char *hostname;
	struct sn_raw_path_change *path;
	int64_t port;
	int64_t status;
};

struct sn_raw_fraction {
	int64_t numerator, denominator;
};

struct sn_raw_mirror {
	struct sn_raw_mirror_backend {
		const char *name;
		int64_t port;
	} * backend;
	int64_t percent;
	bool has_percent;
	struct sn_raw_fraction *fraction;
};

struct sn_raw_direct_response {
	int64_t status;
	const char *body, *content_type;
};

struct sn_raw_fault {
	struct sn_raw_delay {
		int64_t percent;
		uint64_t duration;
	} * delay;
	struct sn_raw_abort {
		int64_t percent, status;
		int grpc;
	} * abort;
};

struct sn_raw_cors {
	const char **origins, **methods, **headers, **exposed;
	size_t n_origins, n_methods, n_headers, n_exposed;
	bool credentials;
	int64_t max_age;
};

enum sn_raw_filter_type {
	SN_FILTER_REQUEST_HEADERS,
	SN_FILTER_RESPONSE_HEADERS,
	SN_FILTER_REWRITE,
	SN_FILTER_REDIRECT,
	SN_FILTER_MIRROR,
	SN_FILTER_DIRECT_RESPONSE,
	SN_FILTER_FAULT,
	SN_FILTER_CORS,
	SN_FILTER_TYPES
};

/* The member that `type` names is there, and no other. */
struct sn_raw_filter {
	int type; /* enum sn_raw_filter_type */
	struct sn_raw_modifier *request, *response;
	struct sn_raw_rewrite *rewrite;
	struct sn_raw_redirect *redirect;
	struct sn_raw_mirror *mirror;
	struct sn_raw_direct_response *direct;
	struct sn_raw_fault *fault;
	struct sn_raw_cors *cors;
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
/* What a decoded rate means. */
struct sn_rate sn_schema_rate(const struct sn_raw_rate *raw);
/* What a decoded policy means, but for its sessions. Strings stay where @raw's are. */
void sn_schema_policy_values(const struct sn_raw_policy *raw, struct sn_policy *ret);

#endif
