/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/discovery.h - the endpoints of services that do not list them: one watcher for each, which
 * asks its source in time, keeps the last good set, and tells the workers of what has changed.
 * Thread: the control thread. */
#ifndef SN_PROXY_DISCOVERY_H
#define SN_PROXY_DISCOVERY_H

#include "base/buf.h"
#include "mesh/endpoints.h"
#include "net/loop.h"
#include "proxy/config.h"

struct sn_discovery;

/* @service has these endpoints from now on; @set is borrowed. */
typedef void (*sn_discovery_cb)(void *arg, const char *service, struct sn_endpoint_set *set);

/* NULL when out of memory. Borrows @loop. */
struct sn_discovery *sn_discovery_new(struct sn_loop *loop, sn_discovery_cb cb, void *arg);
/* Watches for the services of @c. Files are read at once (@cb is called from inside), names are
 * asked for. What was found for a service that stays is kept, also when it is found in another
 * place from now on, until that has answered; so is what the service has listed in @was (may be
 * NULL), which was in use until now. Both are borrowed for this call only. */
void sn_discovery_adopt(struct sn_discovery *d, const struct sn_config *c,
			const struct sn_config *was);
/* sennit_endpoints (for static lists as well, of @snap) and sennit_discovery_updates_total. */
void sn_discovery_render(const struct sn_discovery *d, const struct sn_snapshot *snap,
			 struct sn_buf *out);
void sn_discovery_free(struct sn_discovery *d); /* NULL allowed */

#endif
