/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/hop.h - what proxies of the mesh tell each other about a request, in sennit-* headers. None
 * of them reaches an application, and from outside only those that tighten are believed:
 *
 *   sennit-deadline: 1s500ms   from anyone: the request's time, if that is shorter
 *   sennit-retry: no           from anyone: one try only
 *   sennit-hop: ID, ID         from anyone: the proxies it went through; ourselves: 508
 *   sennit-mirror: yes         from anyone: a copy, which is not mirrored again
 *   sennit-protocol: HTTP/1.1  from a peer proxy: what it was before this hop's HTTP/2 */
#ifndef SN_PROXY_HOP_H
#define SN_PROXY_HOP_H

#include "http/message.h"

struct sn_exchange;

struct sn_hop {
	uint64_t deadline_ms; /* UINT64_MAX: none said */
	bool no_retry;
	bool loop;     /* our own mark was there */
	bool was_h1;   /* believed only from a peer */
	bool mirrored; /* it is a copy: not to be mirrored again */
	struct sn_slice seen;
};

/* Reads the headers and drops all of the mesh's. @id: this proxy's own. */
void sn_hop_take(struct sn_headers *hs, bool from_peer, struct sn_slice id, struct sn_hop *ret);

#define SN_HOP_FIELDS 5 /* that may be added */
#define SN_HOP_TEXT 400
/* Adds what a peer proxy is told; *text holds the values. Fields that find no room are left out. */
void sn_hop_tell(struct sn_headers *hs, const struct sn_hop *hop, bool was_h1, uint64_t left_ms,
		 struct sn_slice id, char text[SN_HOP_TEXT]);

#endif
