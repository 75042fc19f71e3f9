/* SPDX-License-Identifier: Apache-2.0 */
/* operator/translate - the index -> one routes document per client namespace, and what to say about
 * each resource. Pure and deterministic: the same objects give the same bytes.
 *
 * Which routes a namespace sees (GAMMA): routes of a service's own namespace (producer) are for all
 * clients; routes of another namespace (consumer) only for clients there, and they win. */
#ifndef SN_OPERATOR_TRANSLATE_H
#define SN_OPERATOR_TRANSLATE_H

#include "base/buf.h"
#include "base/err.h"
#include "base/hash.h"
#include "operator/index/index.h"

#define SN_SHARDS_MAX 8
#define SN_SHARD_BYTES (900u * 1024)

struct sn_document {
	char revision[SN_HASH_HEX];
	size_t n_shards;
	struct sn_buf shards[SN_SHARDS_MAX]; /* YAML */
};

/* The document for clients in @ns. Returns 0; -SN_ETOOBIG past eight shards with @err naming the
 * largest contributors; -SN_ENOMEM. Free with sn_document_done(). */
int sn_translate(const struct sn_index *idx, const char *ns, struct sn_document *doc,
		 struct sn_err *err);
void sn_document_done(struct sn_document *doc);

/* Whether clients in @ns see MeshRoute @route. */
bool sn_translate_visible(const struct sn_index *idx, const struct sn_object *route,
			  const char *ns);
/* Whether no proxy could read what MeshRoute or BackendPolicy @o says (an unknown key or value,
 * past a limit): it is left out of documents, and @dst (@cap 0: not wanted) says what and where. */
bool sn_translate_problem(const struct sn_index *idx, const struct sn_object *o, char *dst,
			  size_t cap);
/* The same of a Service: it is not used. An API server lets no such one pass; a file may hold it.
 */
bool sn_translate_service_problem(const struct sn_index *idx, const struct sn_object *s, char *dst,
				  size_t cap);
/* Whether @o has settings that this version does not know; it works without them, and @dst lists
 * them. */
bool sn_translate_ignored(const struct sn_object *o, char *dst, size_t cap);
/* The BackendPolicy that holds for @service: the oldest; NULL if none. */
const struct sn_object *sn_translate_policy(const struct sn_index *idx,
					    const struct sn_object *service);

struct sn_condition {
	const char *type;
	bool status;
	const char *reason;
	char message[256];
};

#define SN_CONDITIONS_MAX 2 /* Accepted, ResolvedRefs */

/* Conditions of MeshRoute @o for its parentRef number @i (< sn_translate_parents()), or of a
 * BackendPolicy for its target number @i. Returns how many were filled in. */
size_t sn_translate_parents(const struct sn_object *o);
size_t sn_translate_conditions(const struct sn_index *idx, const struct sn_object *o, size_t i,
			       struct sn_condition out[SN_CONDITIONS_MAX]);

#endif
