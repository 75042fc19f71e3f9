/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/endpoints.h - the endpoints of one service as a source of them says: a set that is immutable
 * and reference-counted, so that every worker may hold it. Pure. */
#ifndef SN_MESH_ENDPOINTS_H
#define SN_MESH_ENDPOINTS_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"
#include "base/ref.h"
#include "base/str.h"
#include "net/addr.h" /* data only */

#define SN_ENDPOINTS_MAX 10000
#define SN_ENDPOINTS_FILE_MAX (1u << 20) /* bytes of an endpoint file */

struct sn_endpoint_spec {
	struct sn_addr addr;
	uint32_t weight;       /* up to 1,000,000; 0: known, takes nothing */
	uint16_t service_port; /* 0 = all */
	bool mesh;	       /* a peer proxy: the hop is HTTP/2 */
	struct sn_slice zone;  /* empty: unknown */
};

struct sn_endpoint_set {
	struct sn_refcount refs;
	size_t n;
	struct sn_endpoint_spec items[]; /* sorted by address and service port; each once */
};

/* A set of @items (copied; order and repetitions do not matter, of two with one address and service
 * port the first counts) with one reference. NULL when out of memory. */
struct sn_endpoint_set *sn_endpoint_set_new(const struct sn_endpoint_spec *items, size_t n);
struct sn_endpoint_set *sn_endpoint_set_ref(struct sn_endpoint_set *s);
void sn_endpoint_set_unref(struct sn_endpoint_set *s); /* NULL allowed; any thread */

/* The same endpoints with the same weights and marks? NULL is no set, and equal to none. */
bool sn_endpoint_set_eq(const struct sn_endpoint_set *a, const struct sn_endpoint_set *b);
/* How many of @now are not in @was (may be NULL), and the other way round; by address and service
 * port. */
void sn_endpoint_set_diff(const struct sn_endpoint_set *was, const struct sn_endpoint_set *now,
			  size_t *ret_added, size_t *ret_removed);

/* Reads an endpoint file: lines "ADDRESS PORT [* WEIGHT] [@ SERVICEPORT] [zone=NAME]", '#' begins a
 * comment; or the one line "none". Whole or not at all: a text that does not end in a newline is
 * half written, and one without any line says nothing. Returns 0 with a set of one reference,
 * -SN_ECONF with the line's number in @err, or -SN_ENOMEM. */
int sn_endpoint_set_parse(struct sn_slice text, struct sn_endpoint_set **ret, struct sn_err *err);

#endif
