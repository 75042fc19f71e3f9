/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/views/views.h - what the proxy would tell somebody who asks why: its routes, services,
 * endpoints, and where a request would go. Each is one value, shown as JSON or as text. */
#ifndef SN_PROXY_VIEWS_H
#define SN_PROXY_VIEWS_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/val.h"
#include "proxy/control.h"

/* Each adds to @a and returns a list or a map, or NULL when out of memory. @query: the part behind
 * '?', empty if there is none; *ret_error (a literal) says what is wrong with it: then NULL too. */

/* service, route, rule, match, backends, timeouts, retries: a row for each rule. ?service= */
struct sn_val *sn_view_routes(struct sn_arena *a, const struct sn_snapshot *snap,
			      struct sn_slice query);
/* A row for each service, with what its gates count. ?service= */
struct sn_val *sn_view_services(struct sn_arena *a, struct sn_control *c, struct sn_slice query);
/* A row for each endpoint that is in use, by worker. ?service= */
struct sn_val *sn_view_endpoints(struct sn_arena *a, struct sn_control *c, struct sn_slice query);
/* ?service= (a name or a host) &port= &method= &path= &header=NAME:VALUE ... : the rules that were
 * looked at, the one that is taken, its backends, and for each that can be drawn the endpoint that
 * would be chosen now and why not the others. As the first worker sees it. */
struct sn_val *sn_view_explain(struct sn_arena *a, struct sn_control *c, struct sn_slice query,
			       const char **ret_error);

/* A list of maps as a table, a map as lines, what is nested indented. */
void sn_view_text(const struct sn_val *v, struct sn_buf *out);
void sn_view_json(const struct sn_val *v, struct sn_buf *out);

/* --- for the views ---------------------------------------------------------------------------- */

/* Adds to a map; a NULL @map or no memory: nothing (who builds looks at the end: see
 * sn_view_failed). */
void sn_view_str(struct sn_arena *a, struct sn_val *map, const char *key, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));
void sn_view_int(struct sn_arena *a, struct sn_val *map, const char *key, uint64_t value);
void sn_view_put(struct sn_arena *a, struct sn_val *map, const char *key, struct sn_val *v);
/* A new map at the end of @list. */
struct sn_val *sn_view_row(struct sn_arena *a, struct sn_val *list);
/* ?KEY=: true when it is not given or is @text. */
bool sn_view_wants(struct sn_slice query, const char *key, const char *text);

/* "PathPrefix /api GET x-beta: 1 ?v=2". */
const char *sn_view_match(struct sn_arena *a, const struct sn_match *m);
const char *sn_view_backends(struct sn_arena *a, const struct sn_rule *r);

#endif
