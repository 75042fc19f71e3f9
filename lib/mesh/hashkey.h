/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/hashkey.h - the key by which a request chooses its endpoint: a hash of a header, a cookie, a
 * query parameter or the client's address, the same at every proxy. Pure. */
#ifndef SN_MESH_HASHKEY_H
#define SN_MESH_HASHKEY_H

#include "http/message.h"
#include "mesh/policy.h"
#include "net/addr.h" /* data only */

/* *ret: the hash of what @on names in @req, or of @peer's address without port. Of a header's
 * several fields, or several cookies or parameters of that name, the first counts; names of headers
 * are without case, others exact; values are taken as sent, without decoding. False: it is not
 * there, or is empty, and *ret is untouched. */
bool sn_hashkey(const struct sn_hash_on *on, const struct sn_request *req,
		const struct sn_addr *peer, uint64_t *ret);

#endif
