/* SPDX-License-Identifier: Apache-2.0 */
/* init/rules.h - a pod's redirect rules as text: one nftables transaction, or its like for
 * iptables-restore. Pure. */
#ifndef SN_INIT_RULES_H
#define SN_INIT_RULES_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define SN_PORT_RANGES_MAX 64

struct sn_port_range {
	uint16_t first, last;
};

struct sn_ports {
	struct sn_port_range v[SN_PORT_RANGES_MAX];
	size_t n;
};

struct sn_rules {
	uint16_t inbound_port;	/* where inbound connections go: 4143 */
	uint16_t outbound_port; /* 4140 */
	uint16_t admin_port;	/* never redirected: 4191 */
	uint32_t proxy_uid;	/* whose connections are not redirected: 2102 */
	struct sn_ports skip_inbound, skip_outbound;
};

/* "80,443,9000-9100"; empty is none. Returns 0, -SN_EUSAGE with @err naming the item. */
int sn_ports_parse(const char *text, struct sn_ports *ret, struct sn_err *err);

/* For `nft -f -`: our own table, replaced as a whole, so that twice is the same as once. */
void sn_rules_nft(const struct sn_rules *r, struct sn_buf *out);

/* For iptables-restore --noflush or ip6tables-restore --noflush: the same by two chains of our own
 * in nat. @again: the jumps to them are there already. */
void sn_rules_iptables(const struct sn_rules *r, bool again, struct sn_buf *out);

#endif
