/* SPDX-License-Identifier: Apache-2.0 */
/* Where a request goes: service, rule, backend, endpoint, and the protocol of the hop. What a
 * worker keeps for a place is found by the place's slot; a request that began before a swap routes
 * by its own snapshot and looks things up by name. */
#include "base/err.h"
#include "mesh/hashkey.h"
#include "proxy/exchange.h"

static struct sn_slot *slot_of(const struct sn_exchange *x, uint32_t slot)
{
	const struct sn_worker *w = x->w;

	return x->snap == w->snap && slot < w->n_slots ? &w->slots[slot] : NULL;
}

/* A mirror has no client; it goes out from here. */
static bool is_inbound(const struct sn_exchange *x)
{
	return x->c && sn_conn_dir(x->c);
}

static const struct sn_addr *client_of(const struct sn_exchange *x)
{
	static const struct sn_addr nobody;

	return x->c ? &x->c->d.peer : &nobody;
}

/* Statistics of (route, rule, backend) below a service; by @slot when it has one. */
static struct sn_stats_block *stats_of(struct sn_exchange *x, const char *service,
				       struct sn_slot *slot)
{
	struct sn_stats_block *b = slot ? slot->stats : NULL;

	if (!b)
		b = sn_stats_block(&x->w->stats, is_inbound(x) ? "inbound" : "outbound", service,
				   x->rule ? x->rule->route_name : "", x->rule ? x->rule->name : "",
				   x->backend);
	if (slot)
		slot->stats = b;
	return b;
}

/* --- the backend --------------------------------------------------------------------------------
 */

static bool match_rule(struct sn_exchange *x, const struct sn_target *t,
		       const struct sn_route_table *table)
{
	x->rule = sn_route_match(table, &x->req, &x->w->route_scratch);
	if (x->rule)
		return true;
	x->backend = "";
	x->stats = stats_of(x, t->svc->name, NULL);
	sn_exchange_refuse(x, 404, SN_REFUSE_NO_ROUTE, "no rule of the service's routes matches");
	return false;
}

struct sn_stats_block *sn_choose_rule_stats(struct sn_exchange *x, const struct sn_target *t)
{
	x->backend = "";
	return stats_of(x, t->svc->name, slot_of(x, x->rule->filters->slot));
}

/* The rule, its filters and its backend. Returns false when it has refused. */
static bool choose_backend(struct sn_exchange *x, const struct sn_target *t)
{
	const struct sn_route_table *table = sn_service_table(t->svc, t->port);
	const struct sn_backend_ref *ref;

	x->parent = x->svc = t->svc;
	x->port = t->port;
	x->slot = t->svc->slot;
	x->backend = t->svc->name;
	if (!table) {
		x->stats = stats_of(x, t->svc->name, slot_of(x, x->slot));
		return true;
	}
	if (!x->rule && !match_rule(x, t, table))
		return false;
	if (x->rule->filters && !x->filters_done && !sn_filter_request(x, t))
		return false;
	ref = sn_route_pick(x->rule, &x->w->rng);
	x->backend = ref ? ref->name : "";
	x->stats = stats_of(x, t->svc->name, ref ? slot_of(x, ref->slot) : NULL);
	if (!ref || ref->service_id < 0) {
		if (x->stats)
			x->stats->requests++;
		sn_exchange_refuse(x, 500, SN_REFUSE_NO_BACKEND,
				   ref ? "the rule's backend does not exist"
				       : "the rule has no backend");
		return false;
	}
	x->svc = &x->snap->services[ref->service_id];
	x->port = sn_backend_port(ref, x->svc, t->svc, t->port);
	x->slot = ref->slot;
	return true;
}

/* A request that has waited goes on to where it was going: the place that its connection leads to
 * now may be of another snapshot, which the request does not hold. */
static void find_target(struct sn_exchange *x, struct sn_target *t)
{
	const struct sn_filtered *k = x->filtered;

	if (k && k->waited)
		*t = (struct sn_target){
			.kind = SN_TARGET_SERVICE, .svc = k->to, .port = k->to_port};
	else
		sn_target_find(x->c, &x->req, t);
}

bool sn_choose_backend(struct sn_exchange *x)
{
	bool inbound = is_inbound(x);
	struct sn_target t;

	find_target(x, &t);
	if (t.kind == SN_TARGET_REFUSE) {
		sn_exchange_refuse(x, t.status, t.reason, t.detail);
		return false;
	}
	if (t.kind == SN_TARGET_SERVICE) {
		if (!choose_backend(x, &t))
			return false;
	} else {
		x->direct = t.addr;
		x->backend = "";
		if (!x->w->direct_stats[inbound])
			x->w->direct_stats[inbound] =
				stats_of(x, inbound ? "self" : "passthrough", NULL);
		x->stats = x->w->direct_stats[inbound];
	}
	if (x->stats)
		x->stats->requests++;
	return true;
}

/* --- the endpoint -------------------------------------------------------------------------------
 */

/* The cluster is the current one of that name, which is where the endpoints are, also for a request
 * that began before a swap: what its own snapshot says of them is over. */
static struct sn_cluster *cluster_of(struct sn_exchange *x)
{
	const struct sn_service *svc = x->svc;
	struct sn_slot *slot = slot_of(x, x->slot);
	struct sn_cluster *c;

	if (slot && slot->cluster && slot->port == x->port)
		return slot->cluster;
	if (x->snap != x->w->snap)
		svc = sn_snapshot_by_name(x->w->snap, sn_slice_cstr(svc->name));
	c = svc ? sn_worker_cluster(x->w, svc, x->port, is_inbound(x)) : NULL;
	if (slot) {
		slot->cluster = c;
		slot->port = x->port;
	}
	return c;
}

struct sn_gate *sn_choose_gate(struct sn_exchange *x)
{
	const struct sn_service *svc = x->svc;
	struct sn_slot *slot = svc ? slot_of(x, x->slot) : NULL;
	struct sn_gate *g = slot ? slot->gate : NULL;

	if (g)
		return g;
	if (svc && x->snap != x->w->snap)
		svc = sn_snapshot_by_name(x->w->snap, sn_slice_cstr(svc->name));
	g = sn_worker_gate(x->w, svc);
	if (slot)
		slot->gate = g;
	return g;
}

struct sn_limiter *sn_choose_limiter(struct sn_exchange *x)
{
	struct sn_slot *slot = slot_of(x, x->rule->rate_limit->slot);
	struct sn_limiter *m = slot ? slot->limiter : NULL;

	if (!m)
		m = sn_worker_limiter(x->w, x->parent, x->rule, x->snap->generation);
	if (slot)
		slot->limiter = m;
	return m;
}

/* What the hop speaks: what the backend's port says, or what the client spoke. */
static const struct sn_up *hop(const struct sn_exchange *x)
{
	const struct sn_service_port *p = x->svc ? sn_service_find_port(x->svc, x->port) : NULL;

	if (x->mesh)
		return &sn_up_h2;
	switch (p ? p->protocol : SN_PORT_DETECT) {
	case SN_PORT_HTTP:
		return &sn_up_h1;
	case SN_PORT_HTTP2:
	case SN_PORT_GRPC:
		return &sn_up_h2;
	default:
		return x->req.major == 2 && !x->hop.was_h1 ? &sn_up_h2 : &sn_up_h1;
	}
}

static bool choose_in_service(struct sn_exchange *x)
{
	enum sn_balance_none why = SN_BALANCE_EMPTY;
	struct sn_balance_ask ask = {.now_ns = x->try_ns, .tried = x->tried, .n_tried = x->n_tried};

	x->cluster = cluster_of(x);
	if (x->cluster) {
		ask.has_hash =
			x->svc->policy.hash_on.kind != SN_HASH_NONE &&
			sn_hashkey(&x->svc->policy.hash_on, &x->req, client_of(x), &ask.hash);
		if (x->in_session)
			ask.stick = sn_balance_find(x->cluster->balance, x->session.endpoint);
		x->endpoint = sn_balance_pick(x->cluster->balance, &ask, &why);
	}
	if (!x->endpoint) {
		sn_exchange_refuse(x, 503, SN_REFUSE_NO_ENDPOINTS,
				   why == SN_BALANCE_ALL_EJECTED ? "all endpoints are ejected"
								 : x->svc->name);
		return false;
	}
	if (x->n_tried < SN_TRIED_MAX)
		x->tried[x->n_tried++] = x->endpoint;
	x->mesh = x->endpoint->mesh;
	x->peer = sn_cluster_peer(x->cluster, x->endpoint);
	return true;
}

bool sn_choose_endpoint(struct sn_exchange *x)
{
	if (!x->svc)
		x->peer = sn_worker_direct(x->w, &x->direct, x->stats ? &x->stats->dst : NULL);
	else if (!choose_in_service(x))
		return false;
	if (!x->peer) {
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
		return false;
	}
	if (sn_worker_listens_at(x->w, sn_peer_addr(x->peer))) {
		sn_exchange_refuse(x, 508, SN_REFUSE_LOOP, "the endpoint is this proxy itself");
		return false;
	}
	x->up = hop(x);
	return true;
}

void sn_choose_mirror(struct sn_exchange *x, const struct sn_backend_ref *ref, uint16_t asked_port)
{
	x->svc = &x->snap->services[ref->service_id];
	x->port = sn_backend_port(ref, x->svc, NULL, asked_port);
	x->slot = ref->slot;
	x->backend = ref->name;
}
