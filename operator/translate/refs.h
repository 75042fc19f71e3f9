/* SPDX-License-Identifier: Apache-2.0 */
/* translate/refs.h - what a reference in a resource means: shared by the document and the statuses,
 * so that what is said is what is done. Pure. */
#ifndef SN_OPERATOR_TRANSLATE_REFS_H
#define SN_OPERATOR_TRANSLATE_REFS_H

#include "operator/index/index.h"

enum sn_ref_result {
	SN_REF_OK,
	SN_REF_NOT_FOUND,     /* BackendNotFound, NoMatchingParent */
	SN_REF_NOT_PERMITTED, /* RefNotPermitted */
	SN_REF_UNSUPPORTED,   /* UnsupportedValue: headless, ExternalName, without selector */
	SN_REF_INVALID_KIND,  /* InvalidKind */
	SN_REF_NO_PORT,	      /* the Service does not have that port */
};

struct sn_ref {
	enum sn_ref_result result;
	const char *ns;
	const char *name;
	int64_t port;			 /* 0: none given */
	const struct sn_object *service; /* when found */
};

/* A parentRef or targetRef of @o. */
struct sn_ref sn_ref_parent(const struct sn_index *idx, const struct sn_object *o,
			    const struct sn_val *ref);
struct sn_ref sn_ref_backend(const struct sn_index *idx, const struct sn_object *o,
			     const struct sn_val *ref);
/* The @i-th backendRef that a rule has: those that answer, then those of its mirrors. NULL behind
 * the last. */
const struct sn_val *sn_ref_of_rule(const struct sn_val *rule, size_t i, bool *ret_is_mirror);
/* The reason for people and for conditions. */
const char *sn_ref_reason(enum sn_ref_result r);

/* True for a Service that routes can be attached to and that can be a backend. */
bool sn_service_usable(const struct sn_index *idx, const struct sn_object *service);
/* Takes the next instance off @rest, an annotation's "127.0.0.1:8081 * 2, [::1]:80". Returns 1; 0
 * at its end; -SN_ECONF when it is none. */
int sn_service_next_endpoint(struct sn_slice *rest, struct sn_slice *ret_address,
			     int64_t *ret_weight);

#endif
