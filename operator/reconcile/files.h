/* SPDX-License-Identifier: Apache-2.0 */
/* operator/reconcile/files - the routes documents of all namespaces as files:
 * DIR/NAMESPACE/routes-N.yaml. Written aside and renamed, only when they change. */
#ifndef SN_OPERATOR_RECONCILE_FILES_H
#define SN_OPERATOR_RECONCILE_FILES_H

#include "base/err.h"
#include "operator/index/index.h"

/* Writes what is different. Every namespace that any object is in gets a document. What cannot be
 * written is reported in @err (the last one) after all others have been done. Returns 0 or
 * negative. */
int sn_reconcile_files(const struct sn_index *idx, const char *dir, struct sn_err *err);

#endif
