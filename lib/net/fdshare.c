/* SPDX-License-Identifier: Apache-2.0 */
/* The limit is asked for each time: it may be changed from outside, and next to making a connection
 * asking is cheap. */
#include "net/fdshare.h"

#include <limits.h>
#include <sys/resource.h>

#define RESERVE 16 /* of each kind; with a small limit a quarter of it */

int sn_fd_share_of(uint64_t limit, enum sn_fd_use use)
{
	int all = limit < INT_MAX ? (int)limit : INT_MAX;
	int reserve = all / 4 < RESERVE ? all / 4 : RESERVE;

	switch (use) {
	case SN_FD_ACCEPT:
		return all - 2 * reserve;
	case SN_FD_DIAL:
		return all - reserve;
	default:
		return all - reserve / 4;
	}
}

int sn_fd_share(enum sn_fd_use use)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl))
		return INT_MAX;
	return sn_fd_share_of(rl.rlim_cur, use);
}
