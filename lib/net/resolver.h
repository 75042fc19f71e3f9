/* SPDX-License-Identifier: Apache-2.0 */
/* net/resolver.h - DNS queries with their times to live, over c-ares, joined to a loop. Names are
 * absolute: no search list, no /etc/hosts. UDP, then TCP for what was truncated. Answers are the
 * server's and not to be trusted: everything in them is bounded and checked.
 * Thread: the loop's. */
#ifndef SN_NET_RESOLVER_H
#define SN_NET_RESOLVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "net/addr.h"
#include "net/loop.h"

/* Records of one answer; what is beyond is left out. */
#define SN_DNS_RECORDS_MAX 1000
/* Queries under way at once; others wait. */
#define SN_DNS_ACTIVE_MAX 64
#define SN_DNS_NAME_MAX 253

enum sn_dns_type { SN_DNS_A = 1, SN_DNS_AAAA = 28, SN_DNS_SRV = 33 }; /* RFC 1035, 3596, 2782 */

enum sn_dns_result {
	SN_DNS_ANSWER, /* at least one record */
	SN_DNS_EMPTY,  /* the server says that there is none: NXDOMAIN, or no such type */
	SN_DNS_ERROR,  /* nobody knows: SERVFAIL, timeout, garbage, no server */
};

struct sn_dns_record {
	const char *name;    /* SRV: the target; additional: whose address it is; else NULL */
	struct sn_addr addr; /* A, AAAA; its port is 0 */
	uint16_t priority, weight, port; /* SRV */
};

struct sn_dns_answer {
	enum sn_dns_result result;
	const char *why; /* SN_DNS_ERROR, SN_DNS_EMPTY: a few words */
	uint32_t ttl_s;	 /* the shortest of all that was used */
	struct sn_dns_record *records;
	size_t n;
	struct sn_dns_record *additional; /* SRV: addresses that came along */
	size_t n_additional;
};

/* Labels of letters, digits, '-' and '_', 253 octets at most; a dot at the end is allowed. */
bool sn_dns_name_ok(struct sn_slice name);

struct sn_resolver;
struct sn_resolver_query;

/* @servers: "IP:PORT,[IP]:PORT", asked in this order; NULL: those of /etc/resolv.conf, which is
 * read again when it has changed. @timeout_ms: how long a server may take before the next one is
 * asked; all are asked twice, the second time with twice as long.
 * NULL with @err on failure. Borrows @loop. */
struct sn_resolver *sn_resolver_new(struct sn_loop *loop, const char *servers, uint64_t timeout_ms,
				    struct sn_err *err);
/* Cancels what is under way. NULL allowed; not from inside a callback. */
void sn_resolver_free(struct sn_resolver *r);

/* @a and what it points to live until the callback returns. */
typedef void (*sn_resolver_cb)(void *arg, const struct sn_dns_answer *a);

/* Asks. @cb is called exactly once, never from inside this call, unless the query is cancelled
 * before; *ret_query is good until then. It may ask and cancel. Returns 0, -SN_ESYNTAX (no name) or
 * -SN_ENOMEM. */
int sn_resolver_ask(struct sn_resolver *r, const char *name, enum sn_dns_type type,
		    sn_resolver_cb cb, void *arg, struct sn_resolver_query **ret_query);
/* No callback after this. NULL allowed. */
void sn_resolver_cancel(struct sn_resolver_query *q);

/* What a message of @n octets says about @type, in @arena (RFC 1035, 4.1): the answer section's
 * records of that type, for SRV also the additional section's addresses. SRV records that name no
 * usable target (".", port 0, no name) are left out. Returns 0, or -SN_EPROTO with *ret
 * unchanged. */
int sn_resolver_parse(struct sn_arena *arena, const unsigned char *p, size_t n,
		      enum sn_dns_type type, struct sn_dns_answer *ret);

#endif
