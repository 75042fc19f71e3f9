/* SPDX-License-Identifier: Apache-2.0 */
/* A service's routes: decoded rules -> compiled tables, one for each port that has routes of its
 * own and one for the rest. */
#include "mesh/filter.h"
#include "proxy/config_int.h"

static bool is_there(const struct sn_pair_match *in, size_t n, struct sn_slice name, bool with_case)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (with_case ? sn_slice_eq(in[i].name, name) : sn_slice_ieq(in[i].name, name))
			return true;
	return false;
}

/* Of several conditions on one name the Gateway API lets the first count and no other. */
static struct sn_pair_match *pairs(struct build *b, const struct sn_raw_pair *raw, size_t n,
				   bool with_case, size_t *ret_n)
{
	struct sn_pair_match *out = n ? sn_config__take(b, n, sizeof(*out)) : NULL;
	size_t i;

	*ret_n = 0;
	for (i = 0; i < n && out; i++) {
		if (is_there(out, *ret_n, sn_slice_cstr(raw[i].name), with_case))
			continue;
		out[(*ret_n)++] =
			(struct sn_pair_match){.name = sn_config__keep_slice(b, raw[i].name),
					       .value = sn_config__keep_slice(b, raw[i].value),
					       .kind = (enum sn_pair_kind)raw[i].type};
	}
	return out;
}

static void build_match(struct build *b, const struct sn_raw_match *raw, struct sn_match *m)
{
	if (raw->path) {
		m->path_kind = (enum sn_path_kind)raw->path->type;
		m->path = sn_config__keep_slice(b, raw->path->value);
	}
	if (raw->method)
		m->method = sn_config__keep_slice(b, raw->method);
	m->headers = pairs(b, raw->headers, raw->n_headers, false, &m->n_headers);
	m->params = pairs(b, raw->params, raw->n_params, true, &m->n_params);
}

static void build_backends(struct build *b, const struct sn_raw_rule *raw, struct sn_rule *r)
{
	size_t i;

	r->backends = sn_config__take(b, raw->n_backends, sizeof(*r->backends));
	for (i = 0; i < raw->n_backends && r->backends; i++) {
		struct sn_backend_ref *ref = &r->backends[i];

		ref->name = sn_config__keep(b, raw->backends[i].name);
		ref->service_id = -1; /* resolved once all services have a name */
		ref->port = (uint16_t)raw->backends[i].port;
		ref->weight = (uint32_t)raw->backends[i].weight;
		ref->slot = b->snap->n_slots++;
		r->total_weight += ref->weight;
		r->n_backends++;
	}
}

static void build_rule(struct build *b, const char *route_name, const struct sn_raw_rule *raw,
		       struct sn_rule *r)
{
	size_t i;

	r->route_name = route_name;
	r->name = sn_config__keep(b, raw->name);
	r->request_timeout_ms = raw->timeouts.request;
	r->try_timeout_ms = raw->timeouts.backend_request;
	r->retry = sn_config__retry(b, raw->retry);
	r->rate_limit = sn_config__rate_limit(b, raw->rate);
	r->matches = sn_config__take(b, raw->n_matches, sizeof(*r->matches));
	for (i = 0; i < raw->n_matches && r->matches; i++)
		build_match(b, &raw->matches[i], &r->matches[r->n_matches++]);
	r->filters = sn_config__filters(b, raw);
	build_backends(b, raw, r);
}

static bool applies(const struct sn_raw_route *r, int64_t port)
{
	size_t i;

	for (i = 0; i < r->n_ports; i++)
		if (r->ports[i] == port)
			return true;
	return r->n_ports == 0;
}

/* The routes that apply to @port (-1: those that name no ports), compiled; NULL when there are
 * none. */
static struct sn_route_table *compile_routes(struct build *b, const struct raw_service *raw,
					     int64_t port)
{
	struct sn_route_table *table;
	struct sn_rule *rules;
	size_t n = 0, n_routes = 0, i, j, k = 0;

	for (i = 0; i < raw->n_routes; i++)
		if (applies(&raw->routes[i], port)) {
			n += raw->routes[i].n_rules;
			n_routes++;
		}
	if (n_routes == 0)
		return NULL;
	rules = sn_config__take(b, n, sizeof(*rules));
	for (i = 0; i < raw->n_routes && rules; i++) {
		const char *name = sn_config__keep(b, raw->routes[i].name);

		for (j = 0; applies(&raw->routes[i], port) && j < raw->routes[i].n_rules;
		     j++, k++) {
			rules[k].id = (uint32_t)k;
			build_rule(b, name, &raw->routes[i].rules[j], &rules[k]);
		}
	}
	if (b->oom)
		return NULL;
	table = sn_route_compile(&b->snap->arena, rules, n);
	b->oom |= !table;
	return table;
}

void sn_config__routes(struct build *b, const struct raw_service *raw, struct sn_service *svc)
{
	bool by_port = false;
	size_t i;

	for (i = 0; i < raw->n_routes; i++)
		by_port |= raw->routes[i].n_ports > 0;
	svc->table = compile_routes(b, raw, -1);
	for (i = 0; by_port && i < svc->n_ports && !b->oom; i++) {
		svc->ports[i].own_table = true;
		svc->ports[i].table = compile_routes(b, raw, svc->ports[i].port);
	}
}

static void resolve(struct build *b, struct sn_backend_ref *ref)
{
	const struct sn_service *svc = sn_snapshot_by_name(b->snap, sn_slice_cstr(ref->name));

	ref->service_id = svc ? (int32_t)svc->id : -1;
}

static void resolve_table(struct build *b, const struct sn_route_table *t)
{
	size_t r, k;

	for (r = 0; t && r < sn_route_count(t); r++) {
		const struct sn_rule *rule = sn_route_rule(t, r);

		for (k = 0; k < rule->n_backends; k++)
			resolve(b, &rule->backends[k]);
		for (k = 0; rule->filters && k < rule->filters->n_mirrors; k++)
			resolve(b, &rule->filters->mirrors[k].backend);
	}
}

void sn_config__resolve_backends(struct build *b)
{
	size_t i, k;

	for (i = 0; i < b->snap->n_services; i++) {
		struct sn_service *svc = &b->snap->services[i];

		resolve_table(b, svc->table);
		for (k = 0; k < svc->n_ports; k++)
			resolve_table(b, svc->ports[k].table);
	}
}
