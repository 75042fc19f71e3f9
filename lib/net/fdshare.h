/* SPDX-License-Identifier: Apache-2.0 */
/* net/fdshare.h - who may use how many of the process's descriptors. The kernel gives out the
 * lowest free number, so a new descriptor's number says how many are in use at least. When they
 * run out, accepting stops first, while connections that are open can still be dialled for; then
 * dialling; administration goes on; and some are always left for files. Any thread. */
#ifndef SN_NET_FDSHARE_H
#define SN_NET_FDSHARE_H

#include <stdbool.h>
#include <stdint.h>

enum sn_fd_use {
	SN_FD_ADMIN,  /* and all that is not the data plane's */
	SN_FD_DIAL,   /* connections to upstreams */
	SN_FD_ACCEPT, /* clients, and what can be done without */
};

/* Of @limit descriptors the numbers below this are for @use. */
int sn_fd_share_of(uint64_t limit, enum sn_fd_use use);
/* The same of what the process is allowed now (RLIMIT_NOFILE; one system call). */
int sn_fd_share(enum sn_fd_use use);

#endif
