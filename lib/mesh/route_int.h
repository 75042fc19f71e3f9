/* SPDX-License-Identifier: Apache-2.0 */
/* Between the files of routing: the compiled table. */
#ifndef SN_MESH_ROUTE_INT_H
#define SN_MESH_ROUTE_INT_H

#include "mesh/route.h"

/* One match of one rule. Entries lie in the order of precedence. */
struct sn_route__entry {
	const struct sn_match *match;
	const struct sn_rule *rule;
	uint32_t order; /* of the document */
	uint32_t next;	/* in its chain of an index by header: 1 + place, 0: last */
};

/* The entries of one path from @first on, for many: found by the value of one header. */
struct sn_route__by_header {
	struct sn_slice name;
	size_t longest; /* of the values */
	uint32_t rest;	/* chain of the entries that do not want one value of it */
	size_t mask;
	uint32_t *chains; /* by the value's hash; different values may share one */
};

/* All entries of one exact path, or of one prefix. */
struct sn_route__group {
	struct sn_slice path;
	uint32_t first, n;
	uint32_t up; /* the longest prefix that is shorter than this one: 1 + index, 0: none */
	struct sn_route__by_header *by_header; /* or NULL */
};

/* Open addressing: 1 + index of a group, 0 = empty. */
struct sn_route__map {
	uint32_t *slots; /* NULL: no group */
	size_t mask;
	size_t longest; /* of the paths */
};

struct sn_route_table {
	struct sn_rule *rules;
	size_t n_rules;
	struct sn_route__entry *entries; /* exact paths, then expressions, then prefixes */
	size_t n_entries, n_exact, n_regex;
	struct sn_route__group *groups;
	size_t n_groups;
	struct sn_route__map exact, prefix;
};

/* What all entries are compared with. */
struct sn_route__question {
	const struct sn_request *req;
	struct sn_slice path, query;
	struct sn_route_scratch *scratch;
};

/* FNV-1a. What is in the tables comes from the document: a peer cannot add to a chain. */
#define SN_ROUTE__HASH_SEED 0xcbf29ce484222325ull
static inline uint64_t sn_route__hash(uint64_t h, char c)
{
	return (h ^ (unsigned char)c) * 0x100000001b3ull;
}

/* The path as it is compared: of a prefix without its last slashes. */
struct sn_slice sn_route__path(const struct sn_match *m);
bool sn_route__path_fits(const struct sn_match *m, const struct sn_route__question *q);
/* Beyond the path. *ret_pair (may be NULL): see struct sn_route_candidate. */
enum sn_route_why sn_route__fits(const struct sn_match *m, const struct sn_route__question *q,
				 const struct sn_pair_match **ret_pair);

/* Makes g->by_header if that is worth it. Returns 0 or -SN_ENOMEM. */
int sn_route__index_headers(struct sn_arena *arena, struct sn_route_table *t,
			    struct sn_route__group *g);
/* The first entry of @g that fits; or NULL. */
const struct sn_route__entry *sn_route__in_group(const struct sn_route_table *t,
						 const struct sn_route__group *g,
						 const struct sn_route__question *q);

#endif
