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

/* @resync_ms: how often each ConfigMap is looked at again, in case somebody took or changed it. */
struct sn_cluster_reconciler *sn_cluster_reconciler_new(struct sn_loop *l, struct sn_kube *k,
							const struct sn_index *idx,
							uint64_t resync_ms);
void sn_cluster_reconciler_free(struct sn_cluster_reconciler *r);
/* Something in the index changed: look at all namespaces 100 ms after the last change, at most 1 s
 * after the first. */
void sn_cluster_reconciler_kick(struct sn_cluster_reconciler *r);
struct sn_reconcile_counts sn_cluster_reconciler_counts(const struct sn_cluster_reconciler *r);
void sn_cluster_reconciler_metrics(const struct sn_cluster_reconciler *r, struct sn_buf *out);

/* True for a pod that has our sidecar. */
bool sn_pod_is_meshed(const struct sn_object *pod);

#endif
