/* SPDX-License-Identifier: Apache-2.0 */
/* net/addr.h - an IP address and port, IPv4 or IPv6, small enough to copy. */
#ifndef SN_NET_ADDR_H
#define SN_NET_ADDR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "base/str.h"

struct sn_addr {
	uint16_t family; /* AF_INET, AF_INET6, 0 = none */
	uint16_t port;	 /* host order */
	uint32_t scope;	 /* IPv6 scope id */
	uint8_t ip[16];	 /* network order; IPv4 in the first 4, the rest 0 */
};

#define SN_ADDR_TEXT 64

/* "127.0.0.1:80", "[::1]:80". Never resolves names. Returns 0 or -SN_ESYNTAX. */
int sn_addr_parse(struct sn_slice s, struct sn_addr *ret);
/* An address without port: "127.0.0.1", "::1" (brackets allowed); port is set to @port. */
int sn_addr_parse_ip(struct sn_slice s, uint16_t port, struct sn_addr *ret);
/* Always writes a NUL-terminated text ("-" for none) and returns @dst. */
const char *sn_addr_format(const struct sn_addr *a, char dst[SN_ADDR_TEXT]);
const char *sn_addr_format_ip(const struct sn_addr *a, char dst[SN_ADDR_TEXT]);
bool sn_addr_eq(const struct sn_addr *a, const struct sn_addr *b);
bool sn_addr_eq_ip(const struct sn_addr *a, const struct sn_addr *b);
bool sn_addr_is_loopback(const struct sn_addr *a); /* v4-mapped 127/8 counts */
/* ::ffff:a.b.c.d becomes IPv4; others stay. */
void sn_addr_unmap(struct sn_addr *a);
socklen_t sn_addr_to_sockaddr(const struct sn_addr *a, struct sockaddr_storage *ss);
/* Unknown families give family 0. Unmaps. */
void sn_addr_from_sockaddr(const struct sockaddr_storage *ss, struct sn_addr *ret);

#endif
