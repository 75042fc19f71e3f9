/* SPDX-License-Identifier: Apache-2.0 */
/* net/origdst.h - where a redirected connection wanted to go (netfilter's SO_ORIGINAL_DST, IPv4 and
 * IPv6). */
#ifndef SN_NET_ORIGDST_H
#define SN_NET_ORIGDST_H

#include "net/addr.h"

/* Returns 0, or -SN_ENOENT when the connection was not redirected (the kernel knows no original
 * destination, or it is the socket's own address). *ret is unmapped. */
int sn_origdst_get(int fd, struct sn_addr *ret);

#endif
