/* SPDX-License-Identifier: Apache-2.0 */
/* init/rules.h - a pod's redirect rules as text: one nftables transaction, or its like for
 * iptables-restore. Pure. */
#ifndef SN_INIT_RULES_H
#define SN_INIT_RULES_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/ports.h"

struct sn_rules {
	uint16_t inbound_port;	/* where inbound connections go: 4143 */
	uint16_t outbound_port; /* 4140 */
	uint16_t admin_port;	/* never redirected: 4191 */
	uint32_t proxy_uid;	/* whose connections are not redirected: 2102 */
	struct sn_ports skip_inbound, skip_outbound;
};

/* For `nft -f -`: our own table, replaced as a whole, so that twice is the same as once. */
void sn_rules_nft(const struct sn_rules *r, struct sn_buf *out);

/* For iptables-restore --noflush or ip6tables-restore --noflush: the same by two chains of our own
 * in nat. @again: the jumps to them are there already. */
void sn_rules_iptables(const struct sn_rules *r, bool again, struct sn_buf *out);

#endif
