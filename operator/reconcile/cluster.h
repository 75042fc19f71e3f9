/* SPDX-License-Identifier: Apache-2.0 */
/* operator/reconcile/cluster - the routes documents as ConfigMaps `sennit-routes`,
 * `sennit-routes-1` ... in every meshed namespace, by server-side apply and only on change; and the
 * pods' annotation, so that the kubelet looks at once. */
#ifndef SN_OPERATOR_RECONCILE_CLUSTER_H
#define SN_OPERATOR_RECONCILE_CLUSTER_H

#include "base/buf.h"
#include "kube/client.h"
#include "operator/index/index.h"
#include "operator/reconcile/counts.h"

#define SN_FIELD_MANAGER "sennit.dev/operator"

struct sn_cluster_reconciler;

/* Some namespace's document is held back, or no longer. */
typedef void (*sn_cluster_held_fn)(void *arg);

/* @resync_ms: how often each ConfigMap is looked at again, in case somebody took or changed it. */
struct sn_cluster_reconciler *sn_cluster_reconciler_new(struct sn_loop *l, struct sn_kube *k,
							const struct sn_index *idx,
							uint64_t resync_ms,
							sn_cluster_held_fn held_changed, void *arg);
void sn_cluster_reconciler_free(struct sn_cluster_reconciler *r);
/* Something in the index changed: look at all namespaces 100 ms after the last change, at most 1 s
 * after the first. */
void sn_cluster_reconciler_kick(struct sn_cluster_reconciler *r);
/* Why the document of @ns is not in the cluster: too large, a foreign ConfigMap, refused; NULL: it
 * is. */
const char *sn_cluster_reconciler_held(const struct sn_cluster_reconciler *r, const char *ns);
/* Whether that keeps MeshRoute @route from some of its clients, and why. */
bool sn_cluster_reconciler_holds(const struct sn_cluster_reconciler *r,
				 const struct sn_object *route, char *dst, size_t cap);
struct sn_reconcile_counts sn_cluster_reconciler_counts(const struct sn_cluster_reconciler *r);
void sn_cluster_reconciler_metrics(const struct sn_cluster_reconciler *r, struct sn_buf *out);

/* True for a pod that has our sidecar. */
bool sn_pod_is_meshed(const struct sn_object *pod);

#endif
