/* SPDX-License-Identifier: Apache-2.0 */
/* One namespace's document. A service is in it when a visible route has it as parent or backend, or
 * a BackendPolicy targets it; everything else is reached by original destination. */
#include "operator/translate/translate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/conf.h"
#include "base/map.h"
#include "base/yaml.h"
#include "mesh/schema.h"
#include "operator/translate/refs.h"

struct pass {
	const struct sn_index *idx;
	const char *ns;
	struct sn_arena arena;
	struct sn_map services; /* "ns/name" -> struct sn_object: to be in the document */
	enum verdict { UNKNOWN, GOOD, BAD } * verdicts; /* of routes, by their place in the index */
	bool oom;
};

#define PORTS_MAX 1000 /* of a service, as the proxy has it */

/* --- building values
 * ------------------------------------------------------------------------------ */

static struct sn_val *map(struct pass *p)
{
	struct sn_val *v = sn_val_new(&p->arena, SN_VAL_MAP);

	p->oom |= !v;
	return v;
}

static struct sn_val *list(struct pass *p)
{
	struct sn_val *v = sn_val_new(&p->arena, SN_VAL_LIST);

	p->oom |= !v;
	return v;
}

static void put(struct pass *p, struct sn_val *m, const char *key, const struct sn_val *v)
{
	if (!p->oom && m && v && sn_val_set(&p->arena, m, sn_slice_cstr(key), (struct sn_val *)v))
		p->oom = true;
}

static void put_str(struct pass *p, struct sn_val *m, const char *key, const char *s)
{
	struct sn_val *v = sn_val_new_str(&p->arena, sn_slice_cstr(s));

	p->oom |= !v;
	put(p, m, key, v);
}

static void put_int(struct pass *p, struct sn_val *m, const char *key, int64_t i)
{
	struct sn_val *v = sn_val_new_int(&p->arena, i);

	p->oom |= !v;
	put(p, m, key, v);
}

static void push(struct pass *p, struct sn_val *l, struct sn_val *v)
{
	if (!p->oom && l && v && sn_val_push(&p->arena, l, v))
		p->oom = true;
}

static void push_str(struct pass *p, struct sn_val *l, const char *s)
{
	struct sn_val *v = sn_val_new_str(&p->arena, sn_slice_cstr(s));

	p->oom |= !v;
	push(p, l, v);
}

static bool is_known(const char *known, const char *key)
{
	char word[80];

	snprintf(word, sizeof(word), " %.70s ", key);
	return strstr(known, word) != NULL;
}

/* What is there beside the @known keys (each between spaces) goes along, so that the schema says
 * what nobody would honour. */
static void strays(struct pass *p, struct sn_val *out, const struct sn_val *in, const char *known)
{
	size_t i;

	for (i = 0; in && in->type == SN_VAL_MAP && i < in->map.n; i++)
		if (!is_known(known, in->map.members[i].key.p))
			put(p, out, in->map.members[i].key.p, in->map.members[i].val);
}

/* --- which routes
 * --------------------------------------------------------------------------------- */

static bool accepted_parent(struct pass *p, const struct sn_object *route, const struct sn_val *ref,
			    const struct sn_object *service)
{
	struct sn_ref r = sn_ref_parent(p->idx, route, ref);

	return r.result == SN_REF_OK && r.service == service;
}

static bool visible(const struct pass *p, const struct sn_object *route,
		    const struct sn_object *service)
{
	return strcmp(route->ns, service->ns) == 0 || strcmp(route->ns, p->ns) == 0;
}

static const struct sn_val *parent_refs(const struct sn_object *route)
{
	return sn_val_path(route->val, "spec.parentRefs");
}

static bool attached(struct pass *p, const struct sn_object *route, const struct sn_object *service)
{
	const struct sn_val *refs = parent_refs(route);
	size_t i;

	for (i = 0; i < sn_val_len(refs); i++)
		if (accepted_parent(p, route, sn_val_at(refs, i), service))
			return visible(p, route, service);
	return false;
}

static int by_age(const void *a, const void *b)
{
	const struct sn_object *x = *(const struct sn_object *const *)a;
	const struct sn_object *y = *(const struct sn_object *const *)b;
	int d = strcmp(x->created, y->created);

	if (d == 0)
		d = strcmp(x->ns, y->ns);
	return d ? d : strcmp(x->name, y->name);
}

/* Could a proxy read it? Asked once in a pass. */
static bool is_good(struct pass *p, size_t place, const struct sn_object *route)
{
	if (p->verdicts && p->verdicts[place] != UNKNOWN)
		return p->verdicts[place] == GOOD;
	if (!p->verdicts) {
		p->verdicts =
			sn_arena_array(&p->arena, sn_index_count(p->idx, SN_KIND_MESHROUTE) + 1,
				       sizeof(*p->verdicts));
		if (!p->verdicts) {
			p->oom = true;
			return false;
		}
	}
	p->verdicts[place] = sn_translate_problem(p->idx, route, NULL, 0) ? BAD : GOOD;
	return p->verdicts[place] == GOOD;
}

/* The routes of @service for clients here, oldest first. *ret_n; the array is the arena's. */
static const struct sn_object **routes_of(struct pass *p, const struct sn_object *service,
					  size_t *ret_n)
{
	size_t total = sn_index_count(p->idx, SN_KIND_MESHROUTE), i, n = 0;
	const struct sn_object **out = sn_arena_array(&p->arena, total + 1, sizeof(*out));
	bool consumer = false;

	*ret_n = 0;
	if (!out) {
		p->oom = true;
		return NULL;
	}
	for (i = 0; i < total; i++) {
		const struct sn_object *route = sn_index_at(p->idx, SN_KIND_MESHROUTE, i);

		if (!attached(p, route, service) || !is_good(p, i, route))
			continue;
		consumer |= strcmp(route->ns, service->ns) != 0;
		out[n++] = route;
	}
	for (i = 0; consumer && i < n;)
		if (strcmp(out[i]->ns, service->ns) == 0)
			out[i] = out[--n]; /* a consumer's routes win over the producer's */
		else
			i++;
	qsort(out, n, sizeof(struct sn_object *), by_age);
	*ret_n = n;
	return out;
}

/* --- routes
 * --------------------------------------------------------------------------------------- */

static void full_name(const char *ns, const char *name, char *dst, size_t cap)
{
	snprintf(dst, cap, "%s.%s", name, ns);
}

/* The service and port of a reference. */
static struct sn_val *target(struct pass *p, const struct sn_object *route,
			     const struct sn_val *ref)
{
	struct sn_ref r = sn_ref_backend(p->idx, route, ref);
	struct sn_val *out = map(p);
	char name[600];

	full_name(r.ns, r.name, name, sizeof(name));
	if (r.result !=
	    SN_REF_OK) { /* a name that nobody can have: 500 for its share, and it says why */
		size_t n = strlen(name);

		snprintf(name + n, sizeof(name) - n, "#%s", sn_ref_reason(r.result));
	}
	put_str(p, out, "name", name);
	put(p, out, "port", sn_val_get(ref, "port"));
	return out;
}

static struct sn_val *backend(struct pass *p, const struct sn_object *route,
			      const struct sn_val *ref)
{
	struct sn_val *out = target(p, route, ref);

	if (sn_val_get(ref, "weight"))
		put(p, out, "weight", sn_val_get(ref, "weight"));
	else
		put_int(p, out, "weight", 1);
	strays(p, out, ref, " group kind namespace name port weight ");
	return out;
}

/* The keys of a match as the document knows them; a type of Exact is the usual one and left out. */
static struct sn_val *pairs(struct pass *p, const struct sn_val *in)
{
	struct sn_val *out = list(p);
	size_t i;

	for (i = 0; i < sn_val_len(in); i++) {
		struct sn_val *m = map(p);

		put(p, m, "name", sn_val_get(sn_val_at(in, i), "name"));
		put(p, m, "value", sn_val_get(sn_val_at(in, i), "value"));
		if (strcmp(sn_val_str(sn_val_get(sn_val_at(in, i), "type"), "Exact"), "Exact") != 0)
			put(p, m, "type", sn_val_get(sn_val_at(in, i), "type"));
		strays(p, m, sn_val_at(in, i), " name value type ");
		push(p, out, m);
	}
	return out;
}

static struct sn_val *matches(struct pass *p, const struct sn_val *in)
{
	struct sn_val *out = list(p);
	size_t i;

	for (i = 0; i < sn_val_len(in); i++) {
		const struct sn_val *m = sn_val_at(in, i);
		struct sn_val *o = map(p);

		put(p, o, "path", sn_val_get(m, "path"));
		put(p, o, "method", sn_val_get(m, "method"));
		if (sn_val_len(sn_val_get(m, "headers")))
			put(p, o, "headers", pairs(p, sn_val_get(m, "headers")));
		if (sn_val_len(sn_val_get(m, "queryParams")))
			put(p, o, "queryParams", pairs(p, sn_val_get(m, "queryParams")));
		strays(p, o, m, " path method headers queryParams ");
		push(p, out, o);
	}
	return out;
}

/* As they are, but that a mirror's backend is named as services are here. */
static struct sn_val *filters(struct pass *p, const struct sn_object *route,
			      const struct sn_val *in)
{
	struct sn_val *out = list(p);
	size_t i;

	for (i = 0; i < sn_val_len(in); i++) {
		const struct sn_val *f = sn_val_at(in, i);
		const struct sn_val *mirror = sn_val_get(f, "requestMirror");
		const struct sn_val *ref = sn_val_get(mirror, "backendRef");
		struct sn_val *o, *m, *t;

		if (!ref || ref->type != SN_VAL_MAP) {
			push(p, out, (struct sn_val *)f);
			continue;
		}
		o = map(p);
		m = map(p);
		t = target(p, route, ref);
		strays(p, t, ref, " group kind namespace name port ");
		put(p, m, "backendRef", t);
		strays(p, m, mirror, " backendRef ");
		put(p, o, "type", sn_val_get(f, "type"));
		put(p, o, "requestMirror", m);
		strays(p, o, f, " type requestMirror ");
		push(p, out, o);
	}
	return out;
}

static struct sn_val *rule(struct pass *p, const struct sn_object *route, const struct sn_val *in)
{
	const struct sn_val *refs = sn_val_get(in, "backendRefs");
	struct sn_val *out = map(p), *l = list(p);
	size_t i;

	put(p, out, "name", sn_val_get(in, "name"));
	if (sn_val_len(sn_val_get(in, "matches")))
		put(p, out, "matches", matches(p, sn_val_get(in, "matches")));
	if (sn_val_len(sn_val_get(in, "filters")))
		put(p, out, "filters", filters(p, route, sn_val_get(in, "filters")));
	for (i = 0; i < sn_val_len(refs); i++)
		push(p, l, backend(p, route, sn_val_at(refs, i)));
	put(p, out, "backendRefs", l);
	put(p, out, "timeouts", sn_val_get(in, "timeouts"));
	put(p, out, "retry", sn_val_get(in, "retry"));
	put(p, out, "rateLimit", sn_val_get(in, "rateLimit"));
	return out;
}

/* The ports that the route is attached to; NULL when to all of them. */
static struct sn_val *route_ports(struct pass *p, const struct sn_object *route,
				  const struct sn_object *service)
{
	const struct sn_val *refs = parent_refs(route);
	struct sn_val *out = list(p);
	size_t i;

	for (i = 0; i < sn_val_len(refs); i++) {
		if (!accepted_parent(p, route, sn_val_at(refs, i), service))
			continue;
		if (!sn_val_get(sn_val_at(refs, i), "port"))
			return NULL;
		push(p, out, (struct sn_val *)sn_val_get(sn_val_at(refs, i), "port"));
	}
	return out;
}

static struct sn_val *route_body(struct pass *p, const struct sn_object *route, const char *name,
				 struct sn_val *ports)
{
	const struct sn_val *spec = sn_val_get(route->val, "spec"), *in = sn_val_get(spec, "rules");
	struct sn_val *out = map(p), *rules = list(p);
	size_t i;

	put_str(p, out, "name", name);
	put(p, out, "ports", ports);
	for (i = 0; i < sn_val_len(in); i++)
		push(p, rules, rule(p, route, sn_val_at(in, i)));
	put(p, out, "rules", rules);
	return out;
}

static struct sn_val *route_value(struct pass *p, const struct sn_object *route,
				  const struct sn_object *service)
{
	char name[600];

	snprintf(name, sizeof(name), "%s/%s", route->ns, route->name);
	return route_body(p, route, strcmp(route->ns, service->ns) == 0 ? route->name : name,
			  route_ports(p, route, service));
}

static const char *const policy_keys[] = {"loadBalancing",	 "circuitBreaking",   "locality",
					  "connections",	 "retryBudget",	      "rateLimit",
					  "adaptiveConcurrency", "sessionPersistence"};

static struct sn_val *policy_value(struct pass *p, const struct sn_object *policy)
{
	const struct sn_val *spec = sn_val_get(policy->val, "spec");
	struct sn_val *out = map(p);
	size_t i;

	for (i = 0; i < SN_ARRAY_LEN(policy_keys); i++)
		put(p, out, policy_keys[i], sn_val_get(spec, policy_keys[i]));
	return out;
}

/* --- what cannot be expressed
 * --------------------------------------------------------------------- */

static void list_unknown(struct sn_buf *out, const struct sn_val *in, const char *path,
			 const char *known)
{
	size_t i;

	for (i = 0; in && in->type == SN_VAL_MAP && i < in->map.n; i++)
		if (!is_known(known, in->map.members[i].key.p))
			sn_buf_printf(out, "%s%s.%.60s", sn_buf_len(out) ? ", " : "", path,
				      in->map.members[i].key.p);
}

bool sn_translate_ignored(const struct sn_object *o, char *dst, size_t cap)
{
	const struct sn_val *spec = sn_val_get(o->val, "spec"), *rules = sn_val_get(spec, "rules");
	bool is_route = o->kind == SN_KIND_MESHROUTE, any;
	struct sn_buf out;
	char path[40];
	size_t i;

	sn_buf_init(&out, 4096);
	list_unknown(&out, spec, "spec",
		     is_route ? " parentRefs rules "
			      : " targetRefs loadBalancing circuitBreaking locality connections"
				" retryBudget rateLimit adaptiveConcurrency sessionPersistence ");
	for (i = 0; is_route && i < sn_val_len(rules); i++) {
		snprintf(path, sizeof(path), "spec.rules[%zu]", i);
		list_unknown(&out, sn_val_at(rules, i), path,
			     " name matches filters backendRefs timeouts retry rateLimit ");
	}
	any = sn_buf_len(&out) > 0;
	if (cap)
		snprintf(dst, cap, "%.*s", (int)sn_buf_len(&out), any ? sn_buf_slice(&out).p : "");
	sn_buf_done(&out);
	return any;
}

bool sn_translate_problem(const struct sn_index *idx, const struct sn_object *o, char *dst,
			  size_t cap)
{
	bool is_route = o->kind == SN_KIND_MESHROUTE;
	struct pass p = {.idx = idx, .ns = o->ns};
	struct sn_conf_ctx ctx;
	struct sn_val *v;
	char name[700]; /* as its consumers' documents have it */
	void *decoded;
	bool bad;

	sn_arena_init(&p.arena, 16 * 1024, 64u << 20);
	sn_conf_ctx_init(&ctx, &p.arena);
	snprintf(name, sizeof(name), "%s/%s", o->ns, o->name);
	v = is_route ? route_body(&p, o, name, NULL) : policy_value(&p, o);
	decoded = sn_arena_alloc(&p.arena, is_route ? sizeof(struct sn_raw_route)
						    : sizeof(struct sn_raw_policy));
	bad = p.oom || !decoded ||
	      sn_conf_decode(&ctx, is_route ? &sn_schema_route : &sn_schema_policy, v, decoded);
	if (bad && cap)
		snprintf(dst, cap, "spec.%s: %s", ctx.n_diags ? ctx.diags[0].path : "",
			 ctx.n_diags ? ctx.diags[0].msg : "out of memory");
	sn_arena_done(&p.arena);
	return bad;
}

/* --- services
 * ------------------------------------------------------------------------------------- */

static const char *protocol_of(const char *app)
{
	if (!app)
		return "detect";
	if (strcmp(app, "http") == 0 || strcmp(app, "kubernetes.io/ws") == 0)
		return "http";
	if (strcmp(app, "kubernetes.io/h2c") == 0 || strcmp(app, "http2") == 0)
		return "http2";
	if (strcmp(app, "grpc") == 0)
		return "grpc";
	if (strcmp(app, "https") == 0 || strcmp(app, "tcp") == 0 || strcmp(app, "tls") == 0)
		return "opaque";
	return "detect";
}

static bool has_port(const struct sn_val *ports, int64_t number)
{
	size_t i;

	for (i = 0; i < sn_val_len(ports); i++)
		if (sn_val_int(sn_val_get(sn_val_at(ports, i), "port"), 0) == number)
			return true;
	return false;
}

static void service_ports(struct pass *p, struct sn_val *out, const struct sn_object *s)
{
	const struct sn_val *in = sn_val_path(s->val, "spec.ports");
	struct sn_val *ports = list(p);
	size_t i;

	for (i = 0; i < sn_val_len(in); i++) {
		const struct sn_val *port = sn_val_at(in, i);
		struct sn_val *o;

		if (strcmp(sn_val_str(sn_val_get(port, "protocol"), "TCP"), "TCP") != 0 ||
		    sn_val_len(ports) >= PORTS_MAX ||
		    has_port(ports, sn_val_int(sn_val_get(port, "port"), 0)))
			continue;
		o = map(p);
		put_int(p, o, "port", sn_val_int(sn_val_get(port, "port"), 0));
		put_str(p, o, "protocol",
			protocol_of(sn_val_str(sn_val_get(port, "appProtocol"), NULL)));
		push(p, ports, o);
	}
	put(p, out, "ports", ports);
}

static void service_addresses(struct pass *p, struct sn_val *out, const struct sn_object *s)
{
	const struct sn_val *ips = sn_val_path(s->val, "spec.clusterIPs");
	const char *one = sn_val_str(sn_val_path(s->val, "spec.clusterIP"), NULL);
	struct sn_val *l = list(p);
	size_t i;

	for (i = 0; i < sn_val_len(ips); i++)
		push_str(p, l, sn_val_str(sn_val_at(ips, i), ""));
	if (!ips && one && one[0])
		push_str(p, l, one);
	if (sn_val_len(l))
		put(p, out, "addresses", l);
}

/* Without a cluster: annotations of the Service list its instances. */
static void service_endpoints(struct pass *p, struct sn_val *out, const struct sn_object *s)
{
	const struct sn_val *notes = sn_val_get(s->val, "annotations");
	struct sn_slice rest = sn_val_slice(sn_val_get(notes, "sennit.dev/endpoints"));
	const char *file = sn_val_str(sn_val_get(notes, "sennit.dev/endpoints-file"), NULL);
	struct sn_val *e = map(p), *l;
	struct sn_slice address;
	int64_t weight;

	if (!sn_index_is_local(p->idx))
		return;
	if (file) {
		put_str(p, e, "file", file);
		put(p, out, "endpoints", e);
	} else if (rest.n) {
		l = list(p);
		while (sn_service_next_endpoint(&rest, &address, &weight) > 0) {
			struct sn_val *item = map(p), *text = sn_val_new_str(&p->arena, address);

			p->oom |= !text;
			put(p, item, "address", text);
			if (weight != 1)
				put_int(p, item, "weight", weight);
			push(p, l, item);
		}
		put(p, e, "static", l);
		put(p, out, "endpoints", e);
	}
}

const struct sn_object *sn_translate_policy(const struct sn_index *idx,
					    const struct sn_object *service)
{
	const struct sn_object *best = NULL;
	size_t i, k;

	for (i = 0; i < sn_index_count(idx, SN_KIND_BACKENDPOLICY); i++) {
		const struct sn_object *o = sn_index_at(idx, SN_KIND_BACKENDPOLICY, i);
		const struct sn_val *refs = sn_val_path(o->val, "spec.targetRefs");

		if (strcmp(o->ns, service->ns) != 0 || (best && by_age(&o, &best) >= 0))
			continue;
		for (k = 0; k < sn_val_len(refs); k++)
			if (sn_ref_parent(idx, o, sn_val_at(refs, k)).service == service &&
			    !sn_translate_problem(idx, o, NULL, 0)) {
				best = o; /* the oldest wins */
				break;
			}
	}
	return best;
}

static void service_policy(struct pass *p, struct sn_val *out, const struct sn_object *s)
{
	const struct sn_object *best = sn_translate_policy(p->idx, s);

	if (best)
		put(p, out, "policy", policy_value(p, best));
}

static struct sn_val *service_value(struct pass *p, const struct sn_object *s)
{
	struct sn_val *out = map(p), *hosts = list(p), *routes = list(p);
	const struct sn_object **rs;
	char name[600];
	size_t n, i;

	full_name(s->ns, s->name, name, sizeof(name));
	put_str(p, out, "name", name);
	if (strcmp(s->ns, p->ns) == 0)
		push_str(p, hosts, s->name);
	push_str(p, hosts, name);
	snprintf(name, sizeof(name), "%s.%s.svc", s->name, s->ns);
	push_str(p, hosts, name);
	snprintf(name, sizeof(name), "%s.%s.svc.cluster.local", s->name, s->ns);
	push_str(p, hosts, name);
	put(p, out, "hosts", hosts);
	service_addresses(p, out, s);
	service_ports(p, out, s);
	rs = routes_of(p, s, &n);
	for (i = 0; i < n && rs; i++)
		push(p, routes, route_value(p, rs[i], s));
	if (n)
		put(p, out, "routes", routes);
	service_policy(p, out, s);
	service_endpoints(p, out, s);
	return out;
}

static void want(struct pass *p, const struct sn_object *s)
{
	char key[600];

	snprintf(key, sizeof(key), "%s/%s", s->ns, s->name);
	if (sn_map_put(&p->services, sn_slice_cstr(key), (void *)s, NULL))
		p->oom = true;
}

static void want_backends(struct pass *p, const struct sn_object *route)
{
	const struct sn_val *rules = sn_val_path(route->val, "spec.rules"), *ref;
	bool is_mirror;
	size_t i, k;

	for (i = 0; i < sn_val_len(rules); i++)
		for (k = 0; (ref = sn_ref_of_rule(sn_val_at(rules, i), k, &is_mirror)); k++) {
			struct sn_ref r = sn_ref_backend(p->idx, route, ref);

			if (r.result == SN_REF_OK)
				want(p, r.service);
		}
}

/* Services that a visible route has as a parent, in @out: candidates, since a consumer's routes may
 * yet replace those of the producer. */
static void parents(struct pass *p, struct sn_map *out)
{
	size_t i, k;

	for (i = 0; i < sn_index_count(p->idx, SN_KIND_MESHROUTE); i++) {
		const struct sn_object *o = sn_index_at(p->idx, SN_KIND_MESHROUTE, i);
		const struct sn_val *refs = parent_refs(o);

		for (k = 0; k < sn_val_len(refs); k++) {
			struct sn_ref r = sn_ref_parent(p->idx, o, sn_val_at(refs, k));
			char key[600];

			if (r.result != SN_REF_OK || !visible(p, o, r.service))
				continue;
			snprintf(key, sizeof(key), "%s/%s", r.ns, r.name);
			if (sn_map_put(out, sn_slice_cstr(key), (void *)r.service, NULL))
				p->oom = true;
		}
	}
}

bool sn_translate_visible(const struct sn_index *idx, const struct sn_object *route, const char *ns)
{
	const struct sn_val *refs = parent_refs(route);
	size_t i;

	if (strcmp(route->ns, ns) == 0)
		return true;
	for (i = 0; i < sn_val_len(refs); i++)
		if (strcmp(sn_ref_parent(idx, route, sn_val_at(refs, i)).ns, route->ns) == 0)
			return true;
	return false;
}

static void choose_services(struct pass *p)
{
	struct sn_map candidates;
	struct sn_map_entry *e;
	size_t i, k, n;

	sn_map_init(&candidates);
	parents(p, &candidates);
	for (e = sn_map_first(&candidates); e; e = sn_map_next(e)) {
		const struct sn_object **rs = routes_of(p, sn_map_value(e), &n);

		if (n)
			want(p, sn_map_value(e));
		for (k = 0; k < n && rs; k++)
			want_backends(p, rs[k]);
	}
	sn_map_done(&candidates, NULL);
	for (i = 0; i < sn_index_count(p->idx, SN_KIND_BACKENDPOLICY); i++) {
		const struct sn_object *o = sn_index_at(p->idx, SN_KIND_BACKENDPOLICY, i);
		const struct sn_val *refs = sn_val_path(o->val, "spec.targetRefs");

		for (k = 0; k < sn_val_len(refs); k++) {
			struct sn_ref r = sn_ref_parent(p->idx, o, sn_val_at(refs, k));

			if (r.result == SN_REF_OK && sn_translate_policy(p->idx, r.service) == o)
				want(p, r.service);
		}
	}
}

/* --- the document
 * --------------------------------------------------------------------------------- */

static void default_service(struct pass *p, struct sn_val *head)
{
	const struct sn_object *conf = sn_index_find(p->idx, SN_KIND_MESHCONFIG, "", "default");
	const char *mode =
		conf ? sn_val_str(sn_val_path(conf->val, "spec.outbound.mode"), "AllowAny")
		     : "AllowAny";
	struct sn_val *v = map(p);

	put_str(p, v, "mode", strcmp(mode, "DenyAny") == 0 ? "deny" : "passthrough");
	put(p, head, "defaultService", v);
}

/* Writes one shard; @services is a list. */
static int write_shard(struct pass *p, struct sn_document *doc, size_t index, size_t of,
		       struct sn_val *services, bool first)
{
	struct sn_val *head = map(p), *shard = map(p);

	put_int(p, head, "version", 1);
	put_str(p, head, "revision", doc->revision);
	put_int(p, shard, "index", (int64_t)index);
	put_int(p, shard, "of", (int64_t)of);
	put(p, head, "shard", shard);
	if (first)
		default_service(p, head);
	put(p, head, "services", services);
	return p->oom ? -SN_ENOMEM : sn_yaml_write(&doc->shards[index], head);
}

struct sized {
	struct sn_val *v;
	size_t bytes;
	const char *name;
};

static int too_large(struct sized *list_, size_t n, struct sn_err *err)
{
	size_t i, a = 0, b = 0;

	for (i = 1; i < n; i++)
		if (list_[i].bytes > list_[a].bytes) {
			b = a;
			a = i;
		} else if (i != a && list_[i].bytes > list_[b].bytes) {
			b = i;
		}
	if (list_[a].bytes > SN_SHARD_BYTES)
		return sn_err_set(
			err, SN_ETOOBIG,
			"the routes of %s alone take %zu KiB, and one service has to fit into "
			"one ConfigMap (%u KiB)",
			list_[a].name, list_[a].bytes / 1024, SN_SHARD_BYTES / 1024);
	return sn_err_set(err, SN_ETOOBIG,
			  "the routes document does not fit into %d ConfigMaps; largest: %s (%zu "
			  "KiB), %s (%zu KiB)",
			  SN_SHARDS_MAX, list_[a].name, list_[a].bytes / 1024, list_[b].name,
			  list_[b].bytes / 1024);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct sized *)a)->name, ((const struct sized *)b)->name);
}

/* All services as values with their sizes, sorted by name; the hash of all of it is the revision.
 */
static struct sized *render(struct pass *p, struct sn_document *doc, size_t *ret_n)
{
	size_t n = sn_map_count(&p->services), i = 0;
	struct sized *out = sn_arena_array(&p->arena, n + 1, sizeof(*out));
	struct sn_map_entry *e;
	struct sn_val *head = map(p);
	struct sn_buf text;

	*ret_n = n;
	for (e = sn_map_first(&p->services); e && out; e = sn_map_next(e), i++) {
		out[i].v = service_value(p, sn_map_value(e));
		out[i].name = sn_val_str(sn_val_get(out[i].v, "name"), "");
	}
	if (!out || p->oom)
		return NULL;
	qsort(out, n, sizeof(*out), by_name);
	sn_buf_init(&text, 0);
	default_service(p, head);
	sn_yaml_write(&text, head);
	for (i = 0; i < n; i++) {
		size_t before = sn_buf_len(&text);

		sn_yaml_write(&text, out[i].v);
		out[i].bytes = sn_buf_len(&text) - before;
		out[i].bytes +=
			out[i].bytes / 4; /* two more columns of indentation, at most a quarter */
	}
	p->oom |= text.failed;
	sn_hash_content(sn_buf_slice(&text).p, sn_buf_len(&text), doc->revision);
	sn_buf_done(&text);
	return p->oom ? NULL : out;
}

static int shards(struct pass *p, struct sn_document *doc, struct sn_err *err)
{
	struct sn_val *lists[SN_SHARDS_MAX] = {NULL};
	size_t n, i, used = 0, shard = 0;
	struct sized *all = render(p, doc, &n);
	int rc = 0;

	if (!all)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	lists[0] = list(p);
	for (i = 0; i < n; i++) {
		if (used && used + all[i].bytes > SN_SHARD_BYTES) {
			if (++shard == SN_SHARDS_MAX)
				return too_large(all, n, err);
			lists[shard] = list(p);
			used = 0;
		}
		if (all[i].bytes > SN_SHARD_BYTES)
			return too_large(all, n, err);
		push(p, lists[shard], all[i].v);
		used += all[i].bytes;
	}
	doc->n_shards = shard + 1;
	for (i = 0; i <= shard && !rc; i++)
		rc = write_shard(p, doc, i, shard + 1, lists[i], i == 0);
	return rc ? sn_err_set(err, SN_ENOMEM, "out of memory") : 0;
}

int sn_translate(const struct sn_index *idx, const char *ns, struct sn_document *doc,
		 struct sn_err *err)
{
	struct pass p = {.idx = idx, .ns = ns};
	size_t i;
	int rc;

	memset(doc, 0, sizeof(*doc));
	for (i = 0; i < SN_SHARDS_MAX; i++)
		sn_buf_init(&doc->shards[i], 2u << 20);
	sn_arena_init(&p.arena, 64 * 1024, 256u << 20);
	sn_map_init(&p.services);
	choose_services(&p);
	rc = shards(&p, doc, err);
	sn_map_done(&p.services, NULL);
	sn_arena_done(&p.arena);
	if (rc)
		sn_document_done(doc);
	return rc;
}

void sn_document_done(struct sn_document *doc)
{
	size_t i;

	for (i = 0; i < SN_SHARDS_MAX; i++)
		sn_buf_done(&doc->shards[i]);
	doc->n_shards = 0;
}
