/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/filter_cors.h - cross-origin requests: who may read a response (the Fetch standard's CORS
 * protocol; configuration as in the Gateway API's GEP-1767). Pure. */
#ifndef SN_MESH_FILTER_CORS_H
#define SN_MESH_FILTER_CORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/message.h"

/* One origin, or many: a host may be a star, or begin with a star and a dot. */
struct sn_cors_origin {
	bool https;
	bool below; /* any number of labels in front of `host`; with an empty host any at all */
	struct sn_slice host;
	uint16_t port; /* the scheme's own where none is written */
};

/* Lists are written as they are sent, "GET, PUT"; empty: the field is not sent. */
struct sn_cors {
	bool any_origin; /* "*" */
	struct sn_cors_origin *origins;
	size_t n_origins;
	bool credentials;
	bool any_method, any_header, any_exposed;
	struct sn_slice methods, headers, exposed;
	struct sn_slice max_age; /* seconds, as text */
};

/* Borrows from @text. Returns 0, or -SN_ESYNTAX: it is none, or has a star anywhere else. */
int sn_cors_origin_parse(struct sn_slice text, struct sn_cors_origin *ret);

/* The request's Origin if it may read responses; else empty. */
struct sn_slice sn_cors_allowed(const struct sn_cors *c, const struct sn_headers *request);

/* OPTIONS with Origin and Access-Control-Request-Method: the browser asks before it asks. */
bool sn_cors_is_preflight(const struct sn_request *req);

#define SN_CORS_FIELDS 7 /* that are added at most */

/* Makes a response to a request from @origin (as sn_cors_allowed says; it and @c must live as long
 * as @hs) readable: its own Access-Control fields are dropped, ours and `Vary: Origin` appended.
 * Returns 0, or -SN_ETOOBIG when there is no room. */
int sn_cors_response(const struct sn_cors *c, struct sn_slice origin, struct sn_headers *hs);
/* The fields of the answer to preflight @req, whose values may be borrowed from it. */
int sn_cors_preflight(const struct sn_cors *c, const struct sn_request *req, struct sn_slice origin,
		      struct sn_headers *hs);

#endif
