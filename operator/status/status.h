/* SPDX-License-Identifier: Apache-2.0 */
/* operator/status - writes what is said about each resource: status conditions by server-side
 * apply, only when they differ, and an Event when something is not accepted. */
#ifndef SN_OPERATOR_STATUS_H
#define SN_OPERATOR_STATUS_H

#include "base/buf.h"
#include "kube/client.h"
#include "operator/index/index.h"
#include "operator/reconcile/counts.h"

#define SN_CONTROLLER "sennit.dev/operator"

struct sn_status;

/* What others know: why a document is not in the cluster. */
struct sn_status_held {
	/* of namespace @ns; NULL: it is */
	const char *(*of_namespace)(void *arg, const char *ns);
	/* whether that keeps @route from clients */
	bool (*of_route)(void *arg, const struct sn_object *route, char *dst, size_t cap);
	void *arg;
};

struct sn_status *sn_status_new(struct sn_loop *l, struct sn_kube *k, const struct sn_index *idx,
				const struct sn_status_held *held);
void sn_status_free(struct sn_status *s);
/* Something in the index changed: look at all resources soon. */
void sn_status_kick(struct sn_status *s);
struct sn_reconcile_counts sn_status_counts(const struct sn_status *s);
void sn_status_metrics(const struct sn_status *s, struct sn_buf *out);

/* The body of a status apply for @o as JSON: the entries of others as they are, and ours, with
 * lastTransitionTime taken over from its present status where a condition's status stays. Returns 1
 * when it differs from the present status, 0 when there is nothing to write, -SN_ENOMEM. @held:
 * NULL, or why it is not Programmed. @now: RFC 3339. Pure; for tests. */
int sn_status_body(const struct sn_index *idx, const struct sn_object *o, const char *held,
		   const char *now, struct sn_buf *out);

#endif
