/* SPDX-License-Identifier: Apache-2.0 */
/* Routes and services, from the configuration in use. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "mesh/balance.h"
#include "proxy/views/views.h"

static void add(char *dst, size_t cap, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* At the end of @dst, with a space in front if there is something. */
static void add(char *dst, size_t cap, const char *fmt, ...)
{
	size_t n = strlen(dst);
	va_list ap;

	if (n && n + 1 < cap) {
		dst[n++] = ' ';
		dst[n] = 0;
	}
	va_start(ap, fmt);
	vsnprintf(dst + n, cap - n, fmt, ap);
	va_end(ap);
}

const char *sn_view_match(struct sn_arena *a, const struct sn_match *m)
{
	static const char *const kinds[] = {[SN_PATH_ANY] = "",
					    [SN_PATH_EXACT] = "Exact ",
					    [SN_PATH_PREFIX] = "",
					    [SN_PATH_REGEX] = "~"};
	char text[1024] = "";
	const char *kept;
	size_t i;

	if (m->method.n)
		add(text, sizeof(text), "%.*s", SN_ARG(m->method));
	if (m->path.n)
		add(text, sizeof(text), "%s%.*s%s", kinds[m->path_kind], SN_ARG(m->path),
		    m->path_kind == SN_PATH_PREFIX ? "*" : "");
	for (i = 0; i < m->n_headers; i++)
		add(text, sizeof(text), "%.*s:%s%.*s", SN_ARG(m->headers[i].name),
		    m->headers[i].kind == SN_PAIR_REGEX ? "~" : "", SN_ARG(m->headers[i].value));
	for (i = 0; i < m->n_params; i++)
		add(text, sizeof(text), "?%.*s=%s%.*s", SN_ARG(m->params[i].name),
		    m->params[i].kind == SN_PAIR_REGEX ? "~" : "", SN_ARG(m->params[i].value));
	kept = sn_arena_strdup(a, text[0] ? text : "everything");
	return kept ? kept : "";
}

const char *sn_view_backends(struct sn_arena *a, const struct sn_rule *r)
{
	char text[1024] = "";
	const char *kept;
	size_t i;

	for (i = 0; i < r->n_backends; i++) {
		const struct sn_backend_ref *b = &r->backends[i];
		char port[8] = "";

		if (b->port)
			snprintf(port, sizeof(port), ":%u", b->port);
		add(text, sizeof(text), "%s%s=%" PRIu32 "%s", b->name, port, b->weight,
		    b->service_id < 0 ? "(missing)" : "");
	}
	kept = sn_arena_strdup(a, text);
	return kept ? kept : "";
}

static const char *duration(struct sn_arena *a, uint64_t ms)
{
	char text[64] = "-";
	const char *kept;

	if (ms)
		sn_num_format_duration(ms, text, sizeof(text));
	kept = sn_arena_strdup(a, text);
	return kept ? kept : "";
}

static void rule_row(struct sn_arena *a, struct sn_val *list, const struct sn_service *svc,
		     uint16_t port, const struct sn_rule *r, const struct sn_match *m)
{
	struct sn_val *row = sn_view_row(a, list);

	sn_view_str(a, row, "service", "%s", svc->name);
	if (port)
		sn_view_int(a, row, "port", port);
	else
		sn_view_str(a, row, "port", "all");
	sn_view_str(a, row, "route", "%s", r->route_name);
	sn_view_str(a, row, "rule", "%s", r->name);
	sn_view_str(a, row, "match", "%s", m ? sn_view_match(a, m) : "everything");
	sn_view_str(a, row, "backends", "%s", sn_view_backends(a, r));
	sn_view_str(a, row, "timeout", "%s", duration(a, r->request_timeout_ms));
	sn_view_str(a, row, "try", "%s", duration(a, r->try_timeout_ms));
	sn_view_int(a, row, "retries", r->retry ? r->retry->attempts : 0);
}

static void table_rows(struct sn_arena *a, struct sn_val *list, const struct sn_service *svc,
		       uint16_t port, const struct sn_route_table *t)
{
	size_t i, k;

	for (i = 0; t && i < sn_route_count(t); i++) {
		const struct sn_rule *r = sn_route_rule(t, i);

		for (k = 0; k < r->n_matches; k++)
			rule_row(a, list, svc, port, r, &r->matches[k]);
		if (r->n_matches == 0)
			rule_row(a, list, svc, port, r, NULL);
	}
}

struct sn_val *sn_view_routes(struct sn_arena *a, const struct sn_snapshot *snap,
			      struct sn_slice query)
{
	struct sn_val *list = sn_val_new(a, SN_VAL_LIST);
	size_t i, k;

	for (i = 0; list && i < snap->n_services; i++) {
		const struct sn_service *svc = &snap->services[i];
		bool by_port = false;

		if (!sn_view_wants(query, "service", svc->name))
			continue;
		for (k = 0; k < svc->n_ports; k++)
			by_port |= svc->ports[k].own_table;
		for (k = 0; by_port && k < svc->n_ports; k++)
			table_rows(a, list, svc, svc->ports[k].port, svc->ports[k].table);
		if (!by_port)
			table_rows(a, list, svc, 0, svc->table);
	}
	return list;
}

/* --- services -----------------------------------------------------------------------------------
 */

static void service_row(struct sn_arena *a, struct sn_val *list, const struct sn_service *svc,
			const struct sn_stats_gate *g)
{
	struct sn_val *row = sn_view_row(a, list);
	char ports[256] = "";
	size_t i;

	for (i = 0; i < svc->n_ports; i++)
		add(ports, sizeof(ports), "%u", svc->ports[i].port);
	sn_view_str(a, row, "service", "%s", svc->name);
	sn_view_str(a, row, "ports", "%s", ports);
	sn_view_str(a, row, "balancing", "%s", sn_balance_name(svc->policy.algorithm));
	sn_view_str(a, row, "breaking", "%s", svc->policy.breaker.on ? "on" : "off");
	sn_view_int(a, row, "inFlight", g ? g->in_flight : 0);
	sn_view_int(a, row, "pending", g ? g->pending : 0);
	if (g && g->limit)
		sn_view_int(a, row, "limit", g->limit);
	else
		sn_view_str(a, row, "limit", "-");
	sn_view_int(a, row, "budget", g ? g->budget : 0);
	sn_view_int(a, row, "waited", g ? g->waited : 0);
	sn_view_int(a, row, "shed", g ? g->shed + g->waited_out : 0);
	sn_view_int(a, row, "rateLimited", g ? g->rate_limited : 0);
}

struct sn_val *sn_view_services(struct sn_arena *a, struct sn_control *c, struct sn_slice query)
{
	const struct sn_snapshot *snap = c->current->snapshot;
	struct sn_val *list = sn_val_new(a, SN_VAL_LIST);
	struct sn_stats sum;
	size_t i;

	sn_stats_init(&sum);
	for (i = 0; i < c->n_workers; i++)
		(void)sn_worker_collect(c->workers[i], &sum);
	for (i = 0; list && i < snap->n_services; i++) {
		const struct sn_service *svc = &snap->services[i];

		if (sn_view_wants(query, "service", svc->name))
			service_row(a, list, svc,
				    sn_map_find(&sum.gates, sn_slice_cstr(svc->name)));
	}
	sn_stats_done(&sum);
	return list;
}
