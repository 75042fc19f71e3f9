/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/source.h - where endpoints come from: one interface for all sources. A source looks when it
 * is asked to, and reports to its owner; one that hears by itself may report at any time. When to
 * ask, what to believe and whom to tell is the owner's (discovery.c). Control thread only. */
#ifndef SN_PROXY_SOURCE_H
#define SN_PROXY_SOURCE_H

#include "mesh/snapshot.h"
#include "net/loop.h"
#include "net/resolver.h"

enum sn_source_result {
	SN_SOURCE_SET,	   /* these are the endpoints; on purpose they may be none */
	SN_SOURCE_SAME,	   /* nothing has changed since the last report, whatever that was */
	SN_SOURCE_EMPTY,   /* there are none, as far as one can tell */
	SN_SOURCE_PARTIAL, /* some; of others it could not be found out */
	SN_SOURCE_FAILED,  /* says nothing about the endpoints */
};

struct sn_source_report {
	enum sn_source_result result;
	struct sn_endpoint_set *set; /* SET, PARTIAL: borrowed */
	uint64_t ttl_ms;	     /* SET, SAME: good for so long */
	const char *why;	     /* EMPTY, PARTIAL, FAILED */
};
typedef void (*sn_source_cb)(void *arg, const struct sn_source_report *r);

struct sn_source {
	/* Looks once; the report may come from inside. Nothing while a look is under way. */
	void (*look)(struct sn_source *s);
	/* No report after this. Not from inside a report. */
	void (*free)(struct sn_source *s);
	sn_source_cb cb;
	void *arg;
};

/* A file as sn_endpoint_set_parse() reads it. NULL when out of memory. */
struct sn_source *sn_source_file(const char *path, sn_source_cb cb, void *arg);
/* DNS: A or AAAA with the port of @spec, or SRV with its targets' addresses, of the lowest priority
 * that has any (RFC 2782; weight 0 counts as 1). A target's addresses are those that came along,
 * else its A records, else its AAAA records. NULL when out of memory. Borrows @resolver. */
struct sn_source *sn_source_dns(struct sn_resolver *resolver, const struct sn_lookup_spec *spec,
				sn_source_cb cb, void *arg);

#endif
