/* SPDX-License-Identifier: Apache-2.0 */
/* operator/inject - AdmissionReview in, AdmissionReview with a JSONPatch out. Pure: no API call, no
 * clock, no state; the same pod gives the same bytes.
 *
 *   review.c: the envelope   decide.c: whether   settings.c: annotations   patch.c: what */
#ifndef SN_OPERATOR_INJECT_H
#define SN_OPERATOR_INJECT_H

#include "base/buf.h"
#include "base/val.h"

enum sn_inject_result {
	SN_INJECTED,
	SN_INJECT_NOT_A_POD,
	SN_INJECT_HOST_NETWORK,
	SN_INJECT_MIRROR_POD,
	SN_INJECT_DISABLED,
	SN_INJECT_ALREADY,
	SN_INJECT_POD_SECURITY,
	SN_INJECT_NOT_LINUX,
	SN_INJECT_NAME_TAKEN, /* the pod is refused */
	SN_INJECT_BAD_REVIEW, /* an HTTP error */
	SN_INJECT_RESULTS,
};

/* "Injected", "HostNetwork" ... as in metrics and audit annotations. */
const char *sn_inject_result_name(enum sn_inject_result r);

struct sn_inject_env {
	const char *proxy_image, *init_image;
	/* The Pod Security level that namespace @ns enforces: true when it would refuse our init
	 * container. */
	bool (*is_locked)(void *arg, const char *ns);
	void *arg;
};

/* A namespace with @labels enforces Pod Security baseline or restricted, which forbid NET_ADMIN. */
bool sn_inject_is_locked(const struct sn_val *labels);

/* Whether annotations of a pod cannot be used; @dst then says which, and why. */
bool sn_inject_bad_annotations(const struct sn_val *annotations, char *dst, size_t cap);

/* Appends the answer to @in and returns the HTTP status: 200 with a review in @out, else 400, 413
 * or 500 with a text. */
unsigned sn_inject_review(const struct sn_inject_env *env, struct sn_slice in, struct sn_buf *out,
			  enum sn_inject_result *ret);

#endif
