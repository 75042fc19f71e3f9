/* SPDX-License-Identifier: Apache-2.0 */
/* operator/index - what the control plane knows: the objects that matter, kept as small copies,
 * sorted. Pure: values in, values out; it does not know where objects come from.
 *
 *   watch or directory --sn_val--> apply/delete --> index --> translate
 */
#ifndef SN_OPERATOR_INDEX_H
#define SN_OPERATOR_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/val.h"

enum sn_kind {
	SN_KIND_NAMESPACE,
	SN_KIND_SERVICE,
	SN_KIND_POD,
	SN_KIND_MESHROUTE,
	SN_KIND_BACKENDPOLICY,
	SN_KIND_MESHCONFIG,
	SN_KIND_COUNT,
};

/* One object: identity, and the parts of it that are used (`val`: metadata cut down, spec, and
 * status only of kinds whose status we write). */
struct sn_object {
	enum sn_kind kind;
	const char *ns; /* "" when cluster-scoped */
	const char *name;
	const char *uid;
	const char *version; /* resourceVersion, opaque; "" in a directory */
	const char *created; /* creationTimestamp, "" in a directory */
	int64_t generation;
	const struct sn_val *val;
	struct sn_arena arena;
};

struct sn_index;

/* NULL when out of memory. */
struct sn_index *sn_index_new(void);
void sn_index_free(struct sn_index *idx);
/* Resources are files of whoever runs us: only then do annotations of a Service say where its
 * instances are. In a cluster anybody could. */
void sn_index_set_local(struct sn_index *idx);
bool sn_index_is_local(const struct sn_index *idx);

/* "MeshRoute" ... -> kind; -1 when it is none of ours. */
int sn_kind_parse(const char *kind);
const char *sn_kind_name(enum sn_kind kind);

/* Adds or replaces. @val: the whole object as parsed, copied. @kind: what it is when @val does not
 * say (items of a list), else -1. Returns 1 changed, 0 unchanged (as far as it is used),
 * -SN_EUNSUPP (a kind that is not ours), -SN_ECONF (no name), -SN_ENOMEM. */
int sn_index_apply(struct sn_index *idx, int kind, const struct sn_val *val);
/* Returns 1 when it was there. */
int sn_index_delete(struct sn_index *idx, enum sn_kind kind, const char *ns, const char *name);

/* A relist: mark all of a kind, apply what is there, then sweep what was not seen again. */
void sn_index_mark(struct sn_index *idx, enum sn_kind kind);
size_t sn_index_sweep(struct sn_index *idx, enum sn_kind kind);

const struct sn_object *sn_index_find(const struct sn_index *idx, enum sn_kind kind, const char *ns,
				      const char *name);
/* In order of (namespace, name). */
size_t sn_index_count(const struct sn_index *idx, enum sn_kind kind);
const struct sn_object *sn_index_at(const struct sn_index *idx, enum sn_kind kind, size_t i);

#endif
