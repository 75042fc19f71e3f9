/* SPDX-License-Identifier: Apache-2.0 */
/* operator/status/events - Warning Events about resources. Sent once, not repeated: an Event that
 * the API server does not take is counted and given up. */
#ifndef SN_OPERATOR_STATUS_EVENTS_H
#define SN_OPERATOR_STATUS_EVENTS_H

#include "base/hash.h"
#include "kube/client.h"
#include "operator/index/index.h"

struct sn_events {
	struct sn_kube *k;
	uint64_t n_sent, n_errors;
};

/* What makes two Events about @o the same. */
void sn_event_hash(const struct sn_object *o, const char *reason, const char *message,
		   char hash[SN_HASH_HEX]);
/* About @o, in its namespace (a Namespace: in itself). @e must outlive the API client. */
void sn_event_send(struct sn_events *e, const struct sn_object *o, const char *reason,
		   const char *message);

#endif
