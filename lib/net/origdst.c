/* SPDX-License-Identifier: Apache-2.0 */
/* netfilter remembers where a redirected connection was going; both families have their own option.
 */
#include "net/origdst.h"

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include "base/err.h"

/* From linux/netfilter_ipv4.h, which cannot stand beside netinet/in.h. */
#ifndef SO_ORIGINAL_DST
#define SO_ORIGINAL_DST 80
#endif
#ifndef IP6T_SO_ORIGINAL_DST
#define IP6T_SO_ORIGINAL_DST 80
#endif

int sn_origdst_get(int fd, struct sn_addr *ret)
{
	struct sockaddr_storage ss = {0}, self = {0};
	socklen_t n = sizeof(ss), n_self = sizeof(self);
	struct sn_addr own;

	if (getsockopt(fd, SOL_IP, SO_ORIGINAL_DST, &ss, &n)) {
		n = sizeof(ss);
		memset(&ss, 0, sizeof(ss));
		if (getsockopt(fd, SOL_IPV6, IP6T_SO_ORIGINAL_DST, &ss, &n))
			return -SN_ENOENT;
	}
	sn_addr_from_sockaddr(&ss, ret);
	if (getsockname(fd, (struct sockaddr *)&self, &n_self))
		return -SN_ENOENT;
	sn_addr_from_sockaddr(&self, &own);
	own.scope = ret->scope = 0;
	return ret->family == 0 || sn_addr_eq(ret, &own) ? -SN_ENOENT : 0;
}
