/* SPDX-License-Identifier: Apache-2.0 */
/* operator/source/kube - resources from the Kubernetes API: one list+watch per kind, into the
 * index. */
#ifndef SN_OPERATOR_SOURCE_KUBE_H
#define SN_OPERATOR_SOURCE_KUBE_H

#include "base/buf.h"
#include "kube/client.h"
#include "operator/index/index.h"

struct sn_kube_source;

/* @changed: something of @kind is different. Called on the loop. */
typedef void (*sn_kube_changed_fn)(void *arg, enum sn_kind kind);

/* NULL when out of memory. */
struct sn_kube_source *sn_kube_source_new(struct sn_loop *l, struct sn_kube *k,
					  struct sn_index *idx, sn_kube_changed_fn changed,
					  void *arg);
void sn_kube_source_free(struct sn_kube_source *s);
/* All kinds have been listed once. */
bool sn_kube_source_synced(const struct sn_kube_source *s);
/* A kind that has not been listed yet, "services"; NULL: all have. */
const char *sn_kube_source_missing(const struct sn_kube_source *s);
void sn_kube_source_metrics(const struct sn_kube_source *s, struct sn_buf *out);

/* "/apis/sennit.dev/v1alpha1/namespaces/NS/meshroutes/NAME" + @suffix, escaped. */
void sn_kube_source_path(enum sn_kind kind, const char *ns, const char *name, const char *suffix,
			 struct sn_buf *out);

#endif
