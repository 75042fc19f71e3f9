/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request's key is found. SipHash with a fixed key: all proxies agree, and whoever wants
 * requests to fall together has to repeat the value. */
#include "mesh/hashkey.h"

#include "base/hash.h"

/* The first "name=value" of @list, split at @by. */
static struct sn_slice find_pair(struct sn_slice list, char by, struct sn_slice name)
{
	while (list.p && list.n) {
		struct sn_slice value = sn_slice_trim(sn_slice_cut(&list, by));
		struct sn_slice n = sn_slice_trim(sn_slice_cut(&value, '='));

		if (value.n && sn_slice_eq(n, name))
			return sn_slice_trim(value);
	}
	return sn_slice("", 0);
}

/* HTTP/2 may split cookies into several fields (RFC 9113 8.2.3). */
static struct sn_slice cookie(const struct sn_headers *hs, struct sn_slice name)
{
	struct sn_slice v = sn_slice("", 0);
	uint32_t i;

	for (i = 0; i < hs->n && v.n == 0; i++)
		if (hs->v[i].id == SN_HDR_COOKIE && !(hs->v[i].flags & SN_HDR_DROPPED))
			v = find_pair(hs->v[i].value, ';', name);
	return v;
}

static struct sn_slice query_param(struct sn_slice path, struct sn_slice name)
{
	sn_slice_cut(&path, '?');
	return find_pair(path, '&', name);
}

bool sn_hashkey(const struct sn_hash_on *on, const struct sn_request *req,
		const struct sn_addr *peer, uint64_t *ret)
{
	const struct sn_header *h;
	struct sn_slice v = sn_slice("", 0);

	switch (on->kind) {
	case SN_HASH_NONE:
		return false;
	case SN_HASH_HEADER:
		h = sn_headers_find(&req->headers, sn_slice_cstr(on->name));
		if (h)
			v = h->value;
		break;
	case SN_HASH_COOKIE:
		v = cookie(&req->headers, sn_slice_cstr(on->name));
		break;
	case SN_HASH_QUERY_PARAM:
		v = query_param(req->path, sn_slice_cstr(on->name));
		break;
	case SN_HASH_SOURCE_ADDRESS:
		v = sn_slice((const char *)peer->ip, sizeof(peer->ip));
		break;
	}
	if (v.n == 0)
		return false;
	*ret = sn_hash_sip64(v.p, v.n, 0x73656e6e69740102u, 0x6861736820206b65u);
	return true;
}
