/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/route.h - which rule a request takes, by Gateway API precedence (exact path, longest prefix,
 * method, most headers, most query parameters, order of the document), and which backend of the
 * rule. Compiled once, matched many times without allocation. Pure. */
#ifndef SN_MESH_ROUTE_H
#define SN_MESH_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/num.h"
#include "base/str.h"
#include "http/message.h"
#include "mesh/filter.h"
#include "mesh/policy.h"
#include "mesh/retry.h"

enum sn_path_kind { SN_PATH_ANY, SN_PATH_EXACT, SN_PATH_PREFIX };

struct sn_pair_match {
	struct sn_slice name;
	struct sn_slice value;
};

/* One way in to a rule; a rule without matches has one that takes everything. */
struct sn_match {
	enum sn_path_kind path_kind;
	struct sn_slice
		path; /* PREFIX: by whole elements, "/api" takes /api and /api/x, not /apix */
	struct sn_slice method; /* empty: any */
	struct sn_pair_match *headers;
	size_t n_headers;
	struct sn_pair_match *params;
	size_t n_params;
};

struct sn_backend_ref {
	const char *name;   /* service name as written */
	int32_t service_id; /* index in the snapshot, -1: there is none (500 for its share) */
	uint16_t port;	    /* 0: the port that the request came for */
	uint32_t weight;
	uint32_t slot; /* see struct sn_snapshot */
};

struct sn_rule {
	const char *route_name;
	const char *name; /* or "" */
	uint32_t id;	  /* unique in the service, for statistics */
	struct sn_match *matches;
	size_t n_matches;
	struct sn_filter *filters;
	size_t n_filters;
	struct sn_backend_ref *backends;
	size_t n_backends;
	uint64_t total_weight;			/* sum of weights; 0: 500 for every request */
	uint64_t request_timeout_ms;		/* 0 = none */
	uint64_t try_timeout_ms;		/* of each try, 0 = none */
	const struct sn_rate_limit *rate_limit; /* NULL: none */
	const struct sn_retry_policy *retry;	/* NULL: only what provably was not processed */
};

struct sn_route_table;

/* Compiles @rules (borrowed from then on, same lifetime as @arena), in document order. NULL when
 * out of memory. */
struct sn_route_table *sn_route_compile(struct sn_arena *arena, struct sn_rule *rules,
					size_t n_rules);
size_t sn_route_count(const struct sn_route_table *t);
const struct sn_rule *sn_route_rule(const struct sn_route_table *t, size_t i);

/* The rule for a request, NULL when none matches (404). */
const struct sn_rule *sn_route_match(const struct sn_route_table *t, const struct sn_request *req);

/* Draws a backend by weight; NULL when total_weight is 0. */
const struct sn_backend_ref *sn_route_pick(const struct sn_rule *rule, struct sn_rng *rng);

#endif
