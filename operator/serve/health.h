/* SPDX-License-Identifier: Apache-2.0 */
/* operator/serve/health - /healthz, /readyz and /metrics over plain HTTP. */
#ifndef SN_OPERATOR_SERVE_HEALTH_H
#define SN_OPERATOR_SERVE_HEALTH_H

#include <stdbool.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/loop.h"

struct sn_health;

struct sn_health_source {
	/* What is still missing before this replica is ready; NULL: nothing. */
	const char *(*missing)(void *arg);
	void (*metrics)(void *arg, struct sn_buf *out);
	void *arg;
};

/* Binds @address ("[::]:8080") and serves on the loop. NULL with @err. */
struct sn_health *sn_health_new(struct sn_loop *l, const char *address,
				const struct sn_health_source *src, struct sn_err *err);
void sn_health_free(struct sn_health *h);

#endif
