/* SPDX-License-Identifier: Apache-2.0 */
/* operator/source/dir - resources from YAML files in a directory, watched: the source where there
 * is no Kubernetes. Each look reads all files; a file that is broken keeps the objects that it had.
 * A Service lists its instances in an annotation: sennit.dev/endpoints: "127.0.0.1:8081, ..." or
 * sennit.dev/endpoints-file: PATH. */
#ifndef SN_OPERATOR_SOURCE_DIR_H
#define SN_OPERATOR_SOURCE_DIR_H

#include "base/err.h"
#include "net/loop.h"
#include "operator/index/index.h"

struct sn_dir_source;
/* @changed: the index has other content than before. Called on the loop. */
typedef void (*sn_dir_changed_fn)(void *arg);

/* Reads @path once before it returns, then watches it. NULL with @err when it is no directory. */
struct sn_dir_source *sn_dir_source_new(struct sn_loop *l, const char *path, struct sn_index *idx,
					sn_dir_changed_fn changed, void *arg, struct sn_err *err);
void sn_dir_source_free(struct sn_dir_source *s);

#endif
