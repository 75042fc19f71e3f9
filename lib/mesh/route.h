/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/route.h - which rule a request takes, and which backend of the rule by weight. Pure.
 * Precedence is the Gateway API's: exact path; regular expression, the longest pattern first (the
 * API leaves their place open; this is Envoy Gateway's); longest prefix, by characters; then a
 * method, most headers, most query parameters, and the order of the document, which is that of age
 * and name. A table is immutable and shared by all workers; what a match writes to is a scratch. */
#ifndef SN_MESH_ROUTE_H
#define SN_MESH_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/num.h"
#include "base/str.h"
#include "http/message.h"
#include "mesh/policy.h"
#include "mesh/retry.h"
#include "mesh/regex.h"

struct sn_filters;

enum sn_path_kind { SN_PATH_ANY, SN_PATH_EXACT, SN_PATH_PREFIX, SN_PATH_REGEX };
enum sn_pair_kind { SN_PAIR_EXACT, SN_PAIR_REGEX };

struct sn_regex;

struct sn_pair_match {
	struct sn_slice name;
	struct sn_slice value; /* or the pattern */
	enum sn_pair_kind kind;
	struct sn_regex *regex; /* the table's; NULL before and when kind is not REGEX */
};

/* One way in to a rule; a rule without matches has one that takes everything. */
struct sn_match {
	enum sn_path_kind path_kind;
	/* PREFIX: by whole elements, "/api" takes /api and /api/x, not /apix. REGEX: a pattern for
	 * all of the path. */
	struct sn_slice path;
	struct sn_regex *regex; /* as of a pair */
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
	const struct sn_filters *filters; /* NULL: none */
	struct sn_backend_ref *backends;
	size_t n_backends;
	uint64_t total_weight;			/* sum of weights; 0: 500 for every request */
	uint64_t request_timeout_ms;		/* 0 = none */
	uint64_t try_timeout_ms;		/* of each try, 0 = none */
	const struct sn_rate_limit *rate_limit; /* NULL: none */
	const struct sn_retry_policy *retry;	/* NULL: only what provably was not processed */
};

struct sn_route_table;
struct sn_regex_scratch;

/* What matching writes to: one for each thread. All zero at first. */
struct sn_route_scratch {
	struct sn_regex_scratch *regex; /* from the first expression on */
	uint64_t n_limited; /* expressions that were given up: too much work, or too long a text */
	unsigned n_limited_now; /* of this request; after SN_ROUTE_LIMITED_MAX none is tried */
	char text[SN_REGEX_SUBJECT_MAX];
};
#define SN_ROUTE_LIMITED_MAX 4

void sn_route_scratch_done(struct sn_route_scratch *s); /* all zero is allowed */

/* Compiles @rules (borrowed from then on, same lifetime as @arena), in document order, and their
 * regular expressions (checked before, see sn_regex_check()). NULL when out of memory. The memory
 * is the arena's, the expressions end with sn_route_done(). */
struct sn_route_table *sn_route_compile(struct sn_arena *arena, struct sn_rule *rules,
					size_t n_rules);
void sn_route_done(struct sn_route_table *t); /* NULL allowed */
size_t sn_route_count(const struct sn_route_table *t);
const struct sn_rule *sn_route_rule(const struct sn_route_table *t, size_t i);

/* The rule for a request, NULL when none matches (404). An expression that is given up does not
 * match. Takes time by the path's length and by how many matches share its path or are regular
 * expressions of it, not by the number of rules. Allocates nothing, but
 * for @s with the first expression. */
const struct sn_rule *sn_route_match(const struct sn_route_table *t, const struct sn_request *req,
				     struct sn_route_scratch *s);

enum sn_route_why {
	SN_ROUTE_FITS, /* the first that fits is taken, the others are lower */
	SN_ROUTE_PATH, /* these do not: the first thing that differs */
	SN_ROUTE_METHOD,
	SN_ROUTE_HEADER,
	SN_ROUTE_PARAM,
};
struct sn_route_candidate {
	const struct sn_rule *rule;
	const struct sn_match *match; /* of the rule; one that takes everything if it has none */
	enum sn_route_why why;
	const struct sn_pair_match *pair; /* HEADER, PARAM: the one that differs */
	bool taken;
};
/* Shows each match of the table in the order of precedence. Slow: for people. */
void sn_route_explain(const struct sn_route_table *t, const struct sn_request *req,
		      struct sn_route_scratch *s,
		      void (*fn)(void *arg, const struct sn_route_candidate *c), void *arg);

/* Draws a backend by weight; NULL when total_weight is 0. */
const struct sn_backend_ref *sn_route_pick(const struct sn_rule *rule, struct sn_rng *rng);

#endif
