/* SPDX-License-Identifier: Apache-2.0 */
/* The compiled document. Workers hold one reference each and requests hold theirs, so an old
 * snapshot lives exactly as long as its last request. */
#include "mesh/snapshot.h"

#include <stdlib.h>

#include "base/err.h"

#define HOST_MAX 255
/* So large that malloc takes each from the kernel and gives it back: snapshots that come and go
 * beside each other would leave the heap full of holes. What is not used of one costs nothing. */
#define CHUNK_BYTES ((size_t)256 << 10)

struct sn_snapshot *sn_snapshot_new(void)
{
	struct sn_snapshot *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	sn_refcount_init(&s->refs);
	sn_arena_init(&s->arena, CHUNK_BYTES, 0);
	sn_map_init(&s->by_host);
	sn_map_init(&s->by_addr);
	sn_map_init(&s->by_name);
	s->revision = "";
	s->zone = "";
	return s;
}

struct sn_snapshot *sn_snapshot_ref(struct sn_snapshot *s)
{
	sn_refcount_inc(&s->refs);
	return s;
}

void sn_snapshot_unref(struct sn_snapshot *s)
{
	size_t i, k;

	if (!s || !sn_refcount_dec(&s->refs))
		return;
	for (i = 0; i < s->n_services; i++) {
		sn_route_done(s->services[i].table);
		for (k = 0; k < s->services[i].n_ports; k++)
			sn_route_done(s->services[i].ports[k].table);
	}
	sn_map_done(&s->by_host, NULL);
	sn_map_done(&s->by_addr, NULL);
	sn_map_done(&s->by_name, NULL);
	sn_arena_done(&s->arena);
	free(s);
}

/* Lower-cased without trailing dot; empty if too long to be a host. */
static struct sn_slice normal_host(struct sn_slice host, char dst[HOST_MAX])
{
	size_t i;

	if (host.n && host.p[host.n - 1] == '.')
		host.n--;
	if (host.n > HOST_MAX)
		return sn_slice("", 0);
	for (i = 0; i < host.n; i++) {
		char c = host.p[i];

		dst[i] = (char)(c >= 'A' && c <= 'Z' ? c | 32 : c);
	}
	return sn_slice(dst, host.n);
}

struct addr_key {
	uint16_t family, port;
	uint8_t ip[16];
};

static struct sn_slice addr_key(const struct sn_addr *a, uint16_t port, struct addr_key *k)
{
	k->family = a->family;
	k->port = port;
	memcpy(k->ip, a->ip, sizeof(k->ip));
	return sn_slice((const char *)k, sizeof(*k));
}

/* Adds unless somebody has the key already. */
static int claim(struct sn_map *m, struct sn_slice key, struct sn_service *svc,
		 const struct sn_service **ret_loser)
{
	struct sn_service *owner = sn_map_find(m, key);

	if (!owner)
		return sn_map_put(m, key, svc, NULL);
	if (owner != svc && ret_loser)
		*ret_loser = svc;
	return 0;
}

static int index_service(struct sn_snapshot *s, struct sn_service *svc,
			 const struct sn_service **ret_loser)
{
	struct addr_key k;
	char host[HOST_MAX];
	size_t i, p;
	int rc = 0;

	for (i = 0; i < svc->n_hosts && !rc; i++)
		rc = claim(&s->by_host, normal_host(sn_slice_cstr(svc->hosts[i]), host), svc,
			   ret_loser);
	for (i = 0; i < svc->n_addresses && !rc; i++) {
		if (svc->n_ports == 0)
			rc = claim(&s->by_addr, addr_key(&svc->addresses[i], 0, &k), svc,
				   ret_loser);
		for (p = 0; p < svc->n_ports && !rc; p++)
			rc = claim(&s->by_addr,
				   addr_key(&svc->addresses[i], svc->ports[p].port, &k), svc,
				   ret_loser);
	}
	return rc;
}

int sn_snapshot_index(struct sn_snapshot *s, const struct sn_service **ret_loser)
{
	size_t i;
	int rc;

	if (ret_loser)
		*ret_loser = NULL;
	for (i = 0; i < s->n_services; i++) {
		struct sn_service *svc = &s->services[i];

		svc->id = (uint32_t)i;
		if (sn_map_find(&s->by_name, sn_slice_cstr(svc->name))) {
			if (ret_loser)
				*ret_loser = svc;
			return -SN_EEXIST;
		}
		rc = sn_map_put(&s->by_name, sn_slice_cstr(svc->name), svc, NULL);
		if (rc == 0)
			rc = index_service(s, svc, ret_loser);
		if (rc)
			return rc;
	}
	return 0;
}

const struct sn_service *sn_snapshot_by_host(const struct sn_snapshot *s, struct sn_slice host)
{
	char buf[HOST_MAX];
	struct sn_slice key = normal_host(host, buf);

	return key.n ? sn_map_find(&s->by_host, key) : NULL;
}

const struct sn_service *sn_snapshot_by_addr(const struct sn_snapshot *s, const struct sn_addr *dst)
{
	struct addr_key k;
	const struct sn_service *svc = sn_map_find(&s->by_addr, addr_key(dst, dst->port, &k));

	return svc ? svc : sn_map_find(&s->by_addr, addr_key(dst, 0, &k));
}

const struct sn_service *sn_snapshot_by_name(const struct sn_snapshot *s, struct sn_slice name)
{
	return sn_map_find(&s->by_name, name);
}

const struct sn_service_port *sn_service_find_port(const struct sn_service *svc, uint16_t port)
{
	size_t i;

	for (i = 0; i < svc->n_ports; i++)
		if (svc->ports[i].port == port)
			return &svc->ports[i];
	return NULL;
}

const struct sn_service_port *sn_service_pick_port(const struct sn_service *svc, uint16_t asked)
{
	const struct sn_service_port *p = asked ? sn_service_find_port(svc, asked) : NULL;

	if (p || svc->n_ports == 0)
		return p;
	if (svc->n_ports > 1)
		p = sn_service_find_port(svc, 80);
	return p ? p : &svc->ports[0];
}

uint16_t sn_backend_port(const struct sn_backend_ref *ref, const struct sn_service *svc,
			 const struct sn_service *parent, uint16_t asked)
{
	const struct sn_service_port *p;

	if (ref->port)
		return ref->port;
	if (svc == parent || sn_service_find_port(svc, asked))
		return asked;
	p = sn_service_pick_port(svc, asked);
	return p ? p->port : asked;
}

const struct sn_route_table *sn_service_table(const struct sn_service *svc, uint16_t port)
{
	const struct sn_service_port *p = sn_service_find_port(svc, port);

	return p && p->own_table ? p->table : svc->table;
}
