/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request goes: service, rule, backend, endpoint, and the protocol of the hop. What a
 * worker keeps for a place is found by the place's slot; a request that began before a swap routes
 * by its own snapshot and looks things up by name. */
#include "base/err.h"
#include "proxy/exchange.h"

static struct sn_slot *slot_of(const struct sn_exchange *x, uint32_t slot)
{
	const struct sn_worker *w = x->w;

	return x->snap == w->snap && slot < w->n_slots ? &w->slots[slot] : NULL;
}

/* Statistics of (route, rule, backend) below a service; by @slot when it has one. */
static struct sn_stats_block *stats_of(struct sn_exchange *x, const char *service,
				       struct sn_slot *slot)
{
	struct sn_stats_block *b = slot ? slot->stats : NULL;

	if (!b)
		b = sn_stats_block(&x->w->stats, sn_conn_dir(x->c) ? "inbound" : "outbound",
				   service, x->rule ? x->rule->route_name : "",
				   x->rule ? x->rule->name : "", x->backend);
	if (slot)
		slot->stats = b;
	return b;
}

/* --- the backend --------------------------------------------------------------------------------
 */

struct backend {
	const struct sn_service *svc;
	uint16_t port;
	struct sn_slot *slot;
};

static bool match_rule(struct sn_exchange *x, const struct sn_target *t,
		       const struct sn_route_table *table)
{
	size_t i;

	x->rule = sn_route_match(table, &x->req);
	if (!x->rule) {
		x->backend = "";
		x->stats = stats_of(x, t->svc->name, NULL);
		sn_exchange_refuse(x, 404, SN_REFUSE_NO_ROUTE,
				   "no rule of the service's routes matches");
		return false;
	}
	for (i = 0; i < x->rule->n_filters; i++)
		if (sn_filter_request_headers(&x->rule->filters[i].headers, &x->req.headers)) {
			sn_exchange_refuse(x, 431, SN_REFUSE_BAD_REQUEST, "too many headers");
			return false;
		}
	return true;
}

static uint16_t backend_port(const struct sn_backend_ref *ref, const struct sn_service *svc,
			     const struct sn_target *t)
{
	const struct sn_service_port *p;

	if (ref->port)
		return ref->port;
	if (svc == t->svc || sn_service_find_port(svc, t->port))
		return t->port;
	p = sn_service_pick_port(svc, t->port);
	return p ? p->port : t->port;
}

/* The rule, its filters and its backend. Returns false when it has refused. */
static bool choose_backend(struct sn_exchange *x, const struct sn_target *t, struct backend *ret)
{
	const struct sn_route_table *table = sn_service_table(t->svc, t->port);
	const struct sn_backend_ref *ref;

	*ret = (struct backend){t->svc, t->port, slot_of(x, t->svc->slot)};
	x->backend = t->svc->name;
	if (!table) {
		x->stats = stats_of(x, t->svc->name, ret->slot);
		return true;
	}
	if (!x->rule && !match_rule(x, t, table))
		return false;
	ref = sn_route_pick(x->rule, &x->w->rng);
	x->backend = ref ? ref->name : "";
	ret->slot = ref ? slot_of(x, ref->slot) : NULL;
	x->stats = stats_of(x, t->svc->name, ret->slot);
	if (!ref || ref->service_id < 0) {
		if (x->stats && x->tries == 1)
			x->stats->requests++;
		sn_exchange_refuse(x, 500, SN_REFUSE_NO_BACKEND,
				   ref ? "the rule's backend does not exist"
				       : "the rule has no backend");
		return false;
	}
	ret->svc = &x->snap->services[ref->service_id];
	ret->port = backend_port(ref, ret->svc, t);
	return true;
}

/* --- the endpoint -------------------------------------------------------------------------------
 */

/* The cluster is the current one of that name, which is where the endpoints are, also for a request
 * that began before a swap: what its own snapshot says of them is over. */
static struct sn_cluster *cluster_of(struct sn_exchange *x, const struct backend *b)
{
	const struct sn_service *svc = b->svc;
	struct sn_slot *slot = b->slot;

	if (slot && slot->cluster && slot->port == b->port)
		return slot->cluster;
	if (x->snap != x->w->snap)
		svc = sn_snapshot_by_name(x->w->snap, sn_slice_cstr(svc->name));
	x->cluster = svc ? sn_worker_cluster(x->w, svc, b->port) : NULL;
	if (slot) {
		slot->cluster = x->cluster;
		slot->port = b->port;
	}
	return x->cluster;
}

static bool choose_endpoint(struct sn_exchange *x, const struct backend *b)
{
	uint64_t now = sn_loop_now_ns(x->w->loop);

	x->cluster = cluster_of(x, b);
	x->endpoint = x->cluster ? sn_balance_pick(x->cluster->balance, NULL, now) : NULL;
	x->try_ns = now;
	if (!x->endpoint) {
		sn_exchange_refuse(x, 503, SN_REFUSE_NO_ENDPOINTS, b->svc->name);
		return false;
	}
	x->mesh = x->endpoint->mesh;
	x->peer = sn_cluster_peer(x->cluster, x->endpoint);
	return true;
}

/* What the hop speaks: what the backend's port says, or what the client spoke. */
static const struct sn_up *hop(const struct sn_exchange *x, enum sn_port_protocol protocol)
{
	if (x->mesh)
		return &sn_up_h2;
	switch (protocol) {
	case SN_PORT_HTTP:
		return &sn_up_h1;
	case SN_PORT_HTTP2:
	case SN_PORT_GRPC:
		return &sn_up_h2;
	default:
		return x->req.major == 2 && !x->hop.was_h1 ? &sn_up_h2 : &sn_up_h1;
	}
}

static bool choose_direct(struct sn_exchange *x, const struct sn_target *t)
{
	bool inbound = sn_conn_dir(x->c);

	x->backend = "";
	if (!x->w->direct_stats[inbound])
		x->w->direct_stats[inbound] = stats_of(x, inbound ? "self" : "passthrough", NULL);
	x->stats = x->w->direct_stats[inbound];
	x->mesh = false;
	x->peer = sn_worker_direct(x->w, &t->addr);
	x->up = hop(x, SN_PORT_DETECT);
	return true;
}

static bool choose_in_service(struct sn_exchange *x, const struct sn_target *t)
{
	const struct sn_service_port *p;
	struct backend b;

	if (!choose_backend(x, t, &b))
		return false;
	if (x->tries == 1 && x->stats)
		x->stats->requests++;
	if (!choose_endpoint(x, &b))
		return false;
	p = sn_service_find_port(b.svc, b.port);
	x->up = hop(x, p ? p->protocol : SN_PORT_DETECT);
	return true;
}

bool sn_choose(struct sn_exchange *x)
{
	struct sn_target t;

	sn_target_find(x->c, &x->req, &t);
	if (t.kind == SN_TARGET_REFUSE) {
		sn_exchange_refuse(x, t.status, t.reason, t.detail);
		return false;
	}
	if (t.kind == SN_TARGET_SERVICE) {
		if (!choose_in_service(x, &t))
			return false;
	} else {
		choose_direct(x, &t);
		if (x->tries == 1 && x->stats)
			x->stats->requests++;
	}
	if (!x->peer) {
		x->up = NULL;
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
		return false;
	}
	if (sn_worker_listens_at(x->w, sn_peer_addr(x->peer))) {
		x->up = NULL;
		sn_exchange_refuse(x, 508, SN_REFUSE_LOOP, "the endpoint is this proxy itself");
		return false;
	}
	return true;
}
