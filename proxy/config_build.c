/* SPDX-License-Identifier: Apache-2.0 */
/* Decoded document -> what the program uses: addresses parsed, names resolved to services, routes
 * compiled (config_routes.c). What needs more than one key to be judged is judged here. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/num.h"
#include "proxy/config_int.h"

void *sn_config__take(struct build *b, size_t n, size_t size)
{
	void *p = sn_arena_array(&b->snap->arena, n ? n : 1, size);

	if (!p)
		b->oom = true;
	return p;
}

const char *sn_config__keep(struct build *b, const char *s)
{
	char *p = s ? sn_arena_strdup(&b->snap->arena, s) : "";

	if (!p)
		b->oom = true;
	return p ? p : "";
}

struct sn_slice sn_config__keep_slice(struct build *b, const char *s)
{
	return sn_slice_cstr(sn_config__keep(b, s));
}

/* Of the configuration's own arena; NULL for NULL. */
static const char *own(struct build *b, const char *s)
{
	const char *copy = s ? sn_arena_strdup(&b->c->arena, s) : NULL;

	b->oom |= s && !copy;
	return copy;
}

static const struct sn_val *item(const struct sn_val *list_owner, const char *key, size_t i)
{
	return sn_val_at(sn_val_get(list_owner, key), i);
}

static void prepend(char *path, size_t cap, const char *part, size_t n)
{
	size_t len = strlen(path);

	if (n + len >= cap)
		return;
	memmove(path + n, path, len + 1);
	memcpy(path, part, n);
}

/* Is @v at or below @in? Then @path becomes its path from there. */
static bool find_path(const struct sn_val *in, const struct sn_val *v, char *path, size_t cap)
{
	char index[32];
	size_t i;

	if (in == v)
		return true;
	for (i = 0; in->type == SN_VAL_MAP && i < in->map.n; i++)
		if (find_path(in->map.members[i].val, v, path, cap)) {
			if (path[0] && path[0] != '[')
				prepend(path, cap, ".", 1);
			prepend(path, cap, in->map.members[i].key.p, in->map.members[i].key.n);
			return true;
		}
	for (i = 0; in->type == SN_VAL_LIST && i < in->list.n; i++)
		if (find_path(in->list.items[i], v, path, cap)) {
			if (path[0] && path[0] != '[')
				prepend(path, cap, ".", 1);
			snprintf(index, sizeof(index), "[%zu]", i);
			prepend(path, cap, index, strlen(index));
			return true;
		}
	return false;
}

/* @v, whose path the next error will name: searched for, since errors are few, and none beyond
 * those that are kept. */
static const struct sn_val *at(struct build *b, const struct sn_val *v)
{
	b->ctx->path[0] = 0;
	if (v && b->ctx->n_errors < SN_CONF_DIAGS_MAX)
		(void)find_path(b->doc, v, b->ctx->path, sizeof(b->ctx->path));
	return v;
}

/* --- endpoints ----------------------------------------------------------------------------------
 */

static void build_lookup(struct build *b, const struct raw_lookup *raw, struct sn_service *svc)
{
	svc->endpoints_kind = SN_ENDPOINTS_DNS;
	svc->lookup.name = sn_config__keep(b, raw->name);
	svc->lookup.port = (uint16_t)raw->port;
	svc->lookup.type = (enum sn_lookup_type)raw->type;
}

static void build_endpoints(struct build *b, const struct sn_val *v,
			    const struct raw_endpoints *raw, struct sn_service *svc)
{
	size_t i;

	if (!raw)
		return;
	if (raw->file) {
		svc->endpoints_kind = SN_ENDPOINTS_FILE;
		svc->endpoints_file = sn_config__keep(b, raw->file);
		return;
	}
	if (raw->lookup) {
		build_lookup(b, raw->lookup, svc);
		return;
	}
	svc->endpoints_kind = SN_ENDPOINTS_STATIC;
	svc->endpoints = sn_config__take(b, raw->n_list, sizeof(*svc->endpoints));
	for (i = 0; i < raw->n_list && svc->endpoints; i++) {
		struct sn_endpoint_spec *e = &svc->endpoints[i];
		const struct sn_val *one = item(v, "static", i);

		if (sn_addr_parse(sn_slice_cstr(raw->list[i].address), &e->addr) ||
		    e->addr.port == 0)
			sn_conf_error(b->ctx, at(b, sn_val_get(one, "address")),
				      "\"%s\" is not IP:PORT (IPv6 in brackets)",
				      raw->list[i].address);
		e->zone = sn_config__keep_slice(b, raw->list[i].zone);
		e->weight = (uint32_t)raw->list[i].weight;
		e->service_port = (uint16_t)raw->list[i].service_port;
		e->mesh = raw->list[i].mesh;
		svc->n_endpoints++;
	}
}

/* --- services -----------------------------------------------------------------------------------
 */

static void build_service(struct build *b, const struct sn_val *v, const struct raw_service *raw,
			  struct sn_service *svc)
{
	size_t i;

	svc->name = sn_config__keep(b, raw->name);
	svc->slot = b->snap->n_slots++;
	svc->hosts = sn_config__take(b, raw->n_hosts, sizeof(*svc->hosts));
	svc->addresses = sn_config__take(b, raw->n_addresses, sizeof(*svc->addresses));
	svc->ports = sn_config__take(b, raw->n_ports, sizeof(*svc->ports));
	if (b->oom)
		return;
	for (i = 0; i < raw->n_hosts; i++)
		svc->hosts[svc->n_hosts++] = sn_config__keep(b, raw->hosts[i]);
	for (i = 0; i < raw->n_addresses; i++)
		if (sn_addr_parse_ip(sn_slice_cstr(raw->addresses[i]), 0,
				     &svc->addresses[svc->n_addresses++]))
			sn_conf_error(b->ctx, at(b, item(v, "addresses", i)),
				      "\"%s\" is not an IP address", raw->addresses[i]);
	for (i = 0; i < raw->n_ports; i++) {
		if (sn_service_find_port(svc, (uint16_t)raw->ports[i].port))
			sn_conf_error(b->ctx, at(b, item(v, "ports", i)),
				      "port %lld is listed twice", (long long)raw->ports[i].port);
		svc->ports[svc->n_ports].port = (uint16_t)raw->ports[i].port;
		svc->ports[svc->n_ports++].protocol = (enum sn_port_protocol)raw->ports[i].protocol;
	}
	sn_config__policy(b, &raw->policy, &svc->policy);
	build_endpoints(b, sn_val_get(v, "endpoints"), raw->endpoints, svc);
	sn_config__routes(b, raw, svc);
}

static void build_services(struct build *b, const struct raw_document *raw)
{
	const struct sn_val *list = sn_val_get(b->doc, "services");
	const struct sn_service *loser = NULL;
	size_t i;
	int rc;

	b->snap->services = sn_config__take(b, raw->n_services, sizeof(*b->snap->services));
	for (i = 0; i < raw->n_services && !b->oom; i++) {
		build_service(b, sn_val_at(list, i), &raw->services[i], &b->snap->services[i]);
		b->snap->n_services++;
	}
	if (b->oom)
		return;
	rc = sn_snapshot_index(b->snap, &loser);
	if (rc == -SN_ENOMEM)
		b->oom = true;
	else if (loser)
		sn_conf_error(b->ctx, at(b, sn_val_at(list, (size_t)(loser - b->snap->services))),
			      rc ? "the service name \"%s\" is used twice"
				 : "service \"%s\": a host or address of it belongs to a service "
				   "before it",
			      loser->name);
	sn_config__resolve_backends(b);
}

/* --- the process --------------------------------------------------------------------------------
 */

static void build_tls(struct build *b, const struct sn_val *v, const struct raw_tls *raw,
		      struct sn_config_listener *l)
{
	l->tls = sn_arena_array(&b->c->arena, 1, sizeof(*l->tls));
	if (!l->tls) {
		b->oom = true;
		return;
	}
	l->tls->certificate = own(b, raw->certificate);
	l->tls->key = own(b, raw->key);
	l->tls->client_ca = own(b, raw->client_ca);
	if (!b->oom)
		sn_config__tls(b->ctx, b->src, v, l);
}

static void build_listener(struct build *b, const struct sn_val *v, const struct raw_listener *raw,
			   struct sn_config_listener *l)
{
	size_t i;

	l->name = own(b, raw->name);
	l->direction = (enum sn_direction)raw->direction;
	l->transparent = raw->transparent;
	l->protocol = (enum sn_listener_protocol)raw->protocol;
	l->mesh_peer = raw->mesh_peer;
	if (raw->opaque_ports) /* checked by the schema */
		(void)sn_ports_parse(raw->opaque_ports, &l->opaque_ports, NULL);
	l->service = own(b, raw->service);
	l->addresses = sn_arena_array(&b->c->arena, raw->n_addresses, sizeof(*l->addresses));
	b->oom |= !l->addresses;
	if (b->oom)
		return;
	for (i = 0; i < raw->n_addresses; i++)
		if (sn_addr_parse(sn_slice_cstr(raw->addresses[i]),
				  &l->addresses[l->n_addresses++]))
			sn_conf_error(b->ctx, at(b, sn_val_get(v, "address")),
				      "\"%s\" is not IP:PORT (IPv6 in brackets)",
				      raw->addresses[i]);
	if (raw->n_addresses == 0)
		sn_conf_error(b->ctx, at(b, sn_val_get(v, "address")),
			      "needs at least one address");
	if (l->service && !sn_snapshot_by_name(b->snap, sn_slice_cstr(l->service)))
		sn_conf_error(b->ctx, at(b, sn_val_get(v, "service")), "there is no service \"%s\"",
			      l->service);
	if (raw->tls) {
		at(b, v);
		build_tls(b, sn_val_get(v, "tls"), raw->tls, l);
	}
}

/* "IP" or "IP:PORT" each, into one text with ports. */
static void build_resolver(struct build *b, const struct raw_document *raw)
{
	const struct sn_val *list = sn_val_path(b->doc, "resolver.servers");
	const char *all = NULL;
	char text[SN_ADDR_TEXT];
	struct sn_addr addr;
	size_t i;

	b->c->resolver.timeout_ms = raw->resolver.timeout;
	for (i = 0; i < raw->resolver.n_servers; i++) {
		struct sn_slice s = sn_slice_cstr(raw->resolver.servers[i]);

		if (sn_addr_parse_ip(s, 53, &addr) && (sn_addr_parse(s, &addr) || addr.port == 0)) {
			sn_conf_error(b->ctx, at(b, sn_val_at(list, i)),
				      "\"%s\" is not IP or IP:PORT (IPv6 in brackets)",
				      raw->resolver.servers[i]);
			continue;
		}
		all = sn_arena_printf(&b->c->arena, "%s%s%s", all ? all : "", all ? "," : "",
				      sn_addr_format(&addr, text));
		b->oom |= !all;
	}
	b->c->resolver.servers = all;
}

/* What the listeners, the admin server and the workers were started by. */
static void keep_fixed(struct build *b)
{
	static const char *const keys[] = {"listeners", "admin", "workers"};
	struct sn_val *fixed = sn_val_new(&b->c->arena, SN_VAL_MAP), *copy;
	size_t i;

	b->oom |= !fixed;
	for (i = 0; i < SN_ARRAY_LEN(keys) && !b->oom; i++) {
		const struct sn_val *v = sn_val_get(b->doc, keys[i]);

		copy = v ? sn_val_copy(&b->c->arena, v) : NULL;
		b->oom |= v && sn_val_set(&b->c->arena, fixed, sn_slice_cstr(keys[i]), copy);
	}
	b->c->fixed = fixed;
}

static void build_process(struct build *b, const struct raw_document *raw)
{
	struct sn_config *c = b->c;
	size_t i;

	snprintf(c->instance, sizeof(c->instance), "%016" PRIx64, sn_rng_entropy());
	c->limits = raw->limits;
	c->timeouts = raw->timeouts;
	c->drain_propagation_ms = raw->drain.propagation;
	c->wait_for_routes_ms = raw->startup.wait_for_routes;
	build_resolver(b, raw);
	keep_fixed(b);
	c->workers = 1;
	if (raw->workers)
		c->workers = raw->workers->type == SN_VAL_INT ? (unsigned)raw->workers->i : 0;
	if (sn_addr_parse(sn_slice_cstr(raw->admin.address), &c->admin))
		sn_conf_error(b->ctx, at(b, sn_val_path(b->doc, "admin.address")),
			      "\"%s\" is not IP:PORT (IPv6 in brackets)", raw->admin.address);
	c->listeners = sn_arena_array(&c->arena, raw->n_listeners + 1, sizeof(*c->listeners));
	if (!c->listeners)
		b->oom = true;
	for (i = 0; i < raw->n_listeners && !b->oom; i++) {
		build_listener(b, item(b->doc, "listeners", i), &raw->listeners[i],
			       &c->listeners[c->n_listeners++]);
	}
}

int sn_config__build(struct sn_conf_ctx *ctx, const struct sn_val *doc,
		     const struct raw_document *raw, const struct sn_config__source *src,
		     struct sn_config *c)
{
	struct build b = {.ctx = ctx, .c = c, .doc = doc, .src = src};

	b.snap = c->snapshot = sn_snapshot_new();
	if (!b.snap)
		return -SN_ENOMEM;
	b.snap->revision = sn_config__keep(&b, raw->revision);
	b.snap->zone = sn_config__keep(&b, raw->zone);
	b.snap->default_mode = (enum sn_default_mode)raw->default_service.mode;
	c->has_routes = raw->revision || raw->n_services > 0 || sn_val_get(doc, "services");
	build_services(&b, raw);
	if (!b.oom)
		build_process(&b, raw);
	if (b.oom)
		return -SN_ENOMEM;
	return ctx->n_errors ? -SN_ECONF : 0;
}
