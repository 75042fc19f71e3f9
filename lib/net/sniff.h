/* SPDX-License-Identifier: Apache-2.0 */
/* net/sniff.h - tells a protocol by its first bytes. Pure. */
#ifndef SN_NET_SNIFF_H
#define SN_NET_SNIFF_H

#include "base/str.h"

enum sn_proto {
	SN_PROTO_MORE, /* undecided: more bytes are needed (never for 24 bytes or more... of a line)
			*/
	SN_PROTO_HTTP1,	 /* a method token, a space, and so on up to "HTTP/1." */
	SN_PROTO_HTTP2,	 /* the client connection preface, RFC 9113 3.4 */
	SN_PROTO_TLS,	 /* a TLS handshake record with a ClientHello */
	SN_PROTO_OPAQUE, /* anything else */
};

#define SN_SNIFF_MAX 8192 /* undecided past this is opaque */

enum sn_proto sn_sniff(struct sn_slice first_bytes);

/* Octets of HTTP/2's client preface (RFC 9113 3.4). */
#define SN_SNIFF_PREFACE 24
/* True if @first_bytes are the beginning of it, or it and more. */
bool sn_sniff_preface(struct sn_slice first_bytes);

#endif
