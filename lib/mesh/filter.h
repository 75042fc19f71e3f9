/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/filter.h - what a rule does to requests and responses beside choosing a backend, in the form
 * that it is compiled to, and the decisions about it. Pure: filters flag headers as dropped, list
 * what is to be added and write into buffers of the caller; who applies them carries it out. Shapes
 * and rules are the Gateway API's (HTTPRouteFilter) where it has the filter. */
#ifndef SN_MESH_FILTER_H
#define SN_MESH_FILTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/num.h"
#include "base/str.h"
#include "http/message.h"
#include "mesh/filter_cors.h"
#include "mesh/route.h"

struct sn_header_value {
	struct sn_slice name;
	struct sn_slice value;
};

struct sn_header_modifier {
	struct sn_header_value *set; /* replaces all of that name */
	size_t n_set;
	struct sn_header_value *add;
	size_t n_add;
	struct sn_slice *remove;
	size_t n_remove;
};

/* A share of the requests: numerator of denominator, which is not 0. */
struct sn_share {
	uint32_t numerator;
	uint32_t denominator;
};

enum sn_path_change_kind { SN_PATH_KEEP, SN_PATH_REPLACE_FULL, SN_PATH_REPLACE_PREFIX };

struct sn_path_change {
	enum sn_path_change_kind kind;
	struct sn_slice value; /* what comes in its place */
	size_t prefix_bytes;   /* REPLACE_PREFIX: of the rule's match, without its slashes at the
				  end */
};

struct sn_rewrite {
	struct sn_slice hostname; /* empty: as it is */
	struct sn_path_change path;
};

struct sn_redirect {
	struct sn_slice scheme, hostname; /* empty: the request's */
	struct sn_path_change path;
	uint16_t port; /* 0: see sn_redirect_location */
	uint16_t status;
};

struct sn_direct_response {
	uint16_t status;
	struct sn_slice body;
	struct sn_slice content_type;
};

struct sn_fault {
	struct sn_share delay; /* 0 of 1: none */
	uint64_t delay_ms;
	struct sn_share abort;
	uint16_t abort_status; /* for HTTP */
	int abort_grpc;	       /* grpc-status of gRPC requests; -1: what abort_status is there */
};

struct sn_mirror {
	struct sn_backend_ref backend;
	struct sn_share share;
};

/* All filters of one rule; NULL or 0: it has none of that kind. */
struct sn_filters {
	uint32_t slot; /* of the rule's statistics: see struct sn_snapshot */
	struct sn_header_modifier *request, *response;
	struct sn_rewrite *rewrite;
	struct sn_redirect *redirect;
	struct sn_direct_response *direct;
	struct sn_fault *fault;
	struct sn_cors *cors;
	struct sn_mirror *mirrors;
	size_t n_mirrors;
};

/* --- filter.c --- */

/* Applies one modifier: flags existing headers SN_HDR_DROPPED and appends set and add values to @hs
 * (borrowed from the snapshot). Framing, Host and hop-by-hop names are never touched (refused when
 * the document is checked). Returns 0, or -SN_ETOOBIG when @hs has no room. */
int sn_filter_headers(const struct sn_header_modifier *m, struct sn_headers *hs);

/* Is this request among the share? Draws only where there is a choice. */
bool sn_share_draw(struct sn_share s, struct sn_rng *rng);

/* --- filter_path.c --- */

/* The request's path and query after @c. @dst has room for sn_path_change_bytes(); what is returned
 * lies there, or is @path itself where nothing changes ("*" never does). A prefix is replaced as
 * the Gateway API's table for ReplacePrefixMatch has it: slashes at the ends of the prefix and of
 * what replaces it do not count, and the result is never empty. */
struct sn_slice sn_path_changed(const struct sn_path_change *c, struct sn_slice path, char *dst);
size_t sn_path_change_bytes(const struct sn_path_change *c, struct sn_slice path);

/* What a request says about where it went. */
struct sn_redirect_from {
	struct sn_slice scheme;	   /* "http" or "https" */
	struct sn_slice authority; /* host[:port], or empty */
	uint16_t port;		   /* that was dialled, for when `authority` has none; 0: unknown */
	struct sn_slice path;	   /* with query, which is kept */
};

/* Writes Location into @dst, which has room for sn_redirect_bytes(), and returns its length. The
 * port is the filter's; else, where the filter gives a scheme, that scheme's; else the request's.
 * The scheme's default port is left out. Without any host the path alone is a reference. */
size_t sn_redirect_location(const struct sn_redirect *r, const struct sn_redirect_from *from,
			    char *dst);
size_t sn_redirect_bytes(const struct sn_redirect *r, const struct sn_redirect_from *from);

#endif
