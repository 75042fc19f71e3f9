/* SPDX-License-Identifier: Apache-2.0 */
/* operator/options - what the command line says, and the two ways to run. */
#ifndef SN_OPERATOR_OPTIONS_H
#define SN_OPERATOR_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/log.h"

struct sn_operator_options {
	const char *source;	/* "kube" or "dir:PATH" */
	const char *routes_out; /* dir: only */
	/* kube: where the API is; NULL: the pod's own service account */
	const char *api_server, *token_file, *ca_file;
	const char *ns; /* the operator's own namespace */
	const char *http_listen, *webhook_listen;
	bool webhook;
	uint64_t resync_ms;
	const char *proxy_image, *init_image;
	enum sn_log_level level;
	enum sn_log_format format;
};

/* Resources from a directory, documents into another. Returns the exit code. */
int sn_run_local(const struct sn_operator_options *o);
/* Resources from the Kubernetes API, documents into ConfigMaps. Returns the exit code. */
int sn_run_cluster(const struct sn_operator_options *o);

#endif
