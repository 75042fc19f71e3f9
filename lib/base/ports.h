/* SPDX-License-Identifier: Apache-2.0 */
/* base/ports.h - sets of TCP ports as people write them: "22,9000-9100". */
#ifndef SN_BASE_PORTS_H
#define SN_BASE_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SN_PORT_RANGES_MAX 64

struct sn_port_range {
	uint16_t first, last;
};

struct sn_ports {
	struct sn_port_range v[SN_PORT_RANGES_MAX];
	size_t n;
};

/* "80,443,9000-9100"; empty is none. Returns 0, -SN_EUSAGE with @err naming the item. */
int sn_ports_parse(const char *text, struct sn_ports *ret, struct sn_err *err);
bool sn_ports_contain(const struct sn_ports *p, uint16_t port);

#endif
