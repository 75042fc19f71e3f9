/* SPDX-License-Identifier: Apache-2.0 */
/* Balancers, gates, limiters and the peers of original destinations are found by names and
 * addresses that stay, so that what is known of them outlives the snapshot that named them. */
#include "proxy/clusters.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/log.h"
#include "proxy/worker.h"

#define SWEEP_MS 60000
#define DIRECT_POOLS_MAX 4096

static bool is_discovered(const struct sn_service *svc)
{
	return svc->endpoints_kind == SN_ENDPOINTS_FILE || svc->endpoints_kind == SN_ENDPOINTS_DNS;
}

const char *sn_service_of(const struct sn_map_entry *e, char dst[SN_SERVICE_NAME])
{
	struct sn_slice key = sn_slice_cstr(sn_map_key(e)), name = sn_slice_cut(&key, '\n');

	snprintf(dst, SN_SERVICE_NAME, "%.*s", SN_ARG(name));
	return dst;
}

/* --- clusters
 * -------------------------------------------------------------------------------------
 */

static void free_cluster(void *p)
{
	struct sn_cluster *c = p;

	sn_balance_free(c->balance);
	free(c);
}

static void endpoint_gone(struct sn_endpoint *e, void *arg)
{
	struct sn_worker *w = arg;

	if (e->user)
		sn_peer_retire(e->user, w->ended);
}

static int use(struct sn_cluster *c, const struct sn_endpoint_spec *items, size_t n)
{
	return sn_balance_update(c->balance, items, n, sn_loop_now_ns(c->worker->loop));
}

static int fill_by_address(struct sn_cluster *c, const struct sn_service *svc)
{
	size_t n = c->port ? svc->n_addresses : 0, i;
	struct sn_endpoint_spec *items = calloc(n ? n : 1, sizeof(*items));
	int rc;

	if (!items)
		return -SN_ENOMEM;
	for (i = 0; i < n; i++) {
		items[i].addr = svc->addresses[i];
		items[i].addr.port = c->port;
		items[i].weight = 1;
	}
	rc = use(c, items, n);
	free(items);
	return rc;
}

static void balance_settings(const struct sn_cluster *c, const struct sn_service *svc,
			     struct sn_balance_settings *s)
{
	const struct sn_policy *p = &svc->policy;

	*s = (struct sn_balance_settings){
		.algorithm = p->algorithm,
		.slow_start_ns = p->slow_start_ms * 1000000,
		.aperture_min = p->aperture_min,
		.service_port = c->port,
		.zone = sn_slice_cstr(p->prefer_own_zone ? c->worker->snap->zone : ""),
		.breaker = p->breaker,
	};
	/* who answers at a service's own address is not known here */
	if (c->settings.cluster_address)
		s->breaker.on = false;
}

static int fill(struct sn_cluster *c, const struct sn_service *svc)
{
	const struct sn_endpoint_set *set = NULL;
	bool discovered = is_discovered(svc);
	struct sn_balance_settings s;
	int rc;

	if (discovered)
		set = sn_map_find(&c->worker->discovered, sn_slice_cstr(svc->name));
	c->settings.cluster_address =
		svc->endpoints_kind == SN_ENDPOINTS_ADDRESSES || (discovered && !set);
	balance_settings(c, svc, &s);
	rc = sn_balance_configure(c->balance, &s, sn_loop_now_ns(c->worker->loop));
	if (rc)
		return rc;
	if (c->settings.cluster_address)
		return fill_by_address(c, svc);
	if (set)
		return use(c, set->items, set->n);
	return use(c, svc->endpoints, svc->n_endpoints);
}

static struct sn_cluster *new_cluster(struct sn_worker *w, const struct sn_service *svc,
				      uint16_t port, struct sn_slice key, bool inbound)
{
	struct sn_cluster *c = calloc(1, sizeof(*c));
	struct sn_balance_settings s;

	if (!c)
		return NULL;
	c->worker = w;
	c->port = port;
	balance_settings(c, svc, &s);
	s.seed = sn_rng_next(&w->rng);
	c->balance = sn_balance_new(&s);
	if (!c->balance || sn_map_put(&w->clusters, key, c, NULL)) {
		free_cluster(c);
		return NULL;
	}
	sn_balance_on_gone(c->balance, endpoint_gone, w);
	c->stats = sn_stats_block(&w->stats, inbound ? "inbound" : "outbound", svc->name, "", "",
				  svc->name);
	return c;
}

struct sn_cluster *sn_worker_cluster(struct sn_worker *w, const struct sn_service *svc,
				     uint16_t port, bool inbound)
{
	char text[300];
	int n = snprintf(text, sizeof(text), "%s\n%u", svc->name, port);
	struct sn_slice key = sn_slice(text, (size_t)n);
	struct sn_cluster *c = sn_map_find(&w->clusters, key);

	if (!c)
		c = new_cluster(w, svc, port, key, inbound);
	if (!c || c->generation == w->snap->generation)
		return c;
	c->settings = (struct sn_pool_settings){
		.idle_timeout_ms = svc->policy.idle_timeout_ms,
		.connect_timeout_ms = w->timeouts.connect,
		.max_connections = svc->policy.max_connections,
		.max_pending = svc->policy.max_pending,
		.count = c->stats ? &c->stats->dst : NULL,
	};
	if (fill(c, svc))
		return NULL;
	c->generation = w->snap->generation;
	return c;
}

/* --- endpoints that are discovered
 * ----------------------------------------------------------------
 */

struct discovered {
	struct sn_task task;
	struct sn_worker *w;
	struct sn_endpoint_set *set; /* a reference */
	char service[];
};

/* Clusters that have not been used with this snapshot yet are filled when they are. */
static void refill(struct sn_worker *w, const struct sn_service *svc)
{
	struct sn_map_entry *e;

	for (e = sn_map_first(&w->clusters); e; e = sn_map_next(e)) {
		struct sn_cluster *c = sn_map_value(e);
		struct sn_slice rest = sn_slice_cstr(sn_map_key(e));

		if (c->generation == w->snap->generation &&
		    sn_slice_eq_cstr(sn_slice_cut(&rest, '\n'), svc->name) && fill(c, svc))
			sn_error("proxy", "out of memory: %s keeps its old endpoints", svc->name);
	}
}

static void adopt_endpoints(struct sn_task *t)
{
	struct discovered *d = sn_container_of(t, struct discovered, task);
	struct sn_worker *w = d->w;
	struct sn_slice name = sn_slice_cstr(d->service);
	const struct sn_service *svc = w->snap ? sn_snapshot_by_name(w->snap, name) : NULL;
	void *old = NULL;

	if (sn_map_put(&w->discovered, name, d->set, &old)) {
		sn_error("proxy", "out of memory: %s keeps its old endpoints", d->service);
		old = d->set;
	} else if (svc && is_discovered(svc)) {
		refill(w, svc);
	}
	sn_endpoint_set_unref(old);
	free(d);
}

void sn_worker_set_endpoints(struct sn_worker *w, const char *service, struct sn_endpoint_set *set)
{
	size_t n = strlen(service) + 1;
	struct discovered *d = calloc(1, sizeof(*d) + n);

	if (!d) {
		sn_error("proxy", "out of memory: worker %u keeps old endpoints", w->index);
		return;
	}
	d->w = w;
	d->set = sn_endpoint_set_ref(set);
	memcpy(d->service, service, n);
	if (w->started)
		sn_loop_post(w->loop, &d->task, adopt_endpoints);
	else
		adopt_endpoints(&d->task);
}

/* --- gates and limiters
 * ---------------------------------------------------------------------------
 */

static struct sn_gate *direct_gate(struct sn_worker *w)
{
	struct sn_policy p;

	if (!w->direct_gate) {
		sn_policy_defaults(&p);
		w->direct_gate = sn_gate_new(w->loop, &p, 0, w->n_workers);
	}
	return w->direct_gate;
}

struct sn_gate *sn_worker_gate(struct sn_worker *w, const struct sn_service *svc)
{
	struct sn_slice key = svc ? sn_slice_cstr(svc->name) : sn_slice("", 0);
	struct sn_gate *g = svc ? sn_map_find(&w->gates, key) : direct_gate(w);

	if (!svc)
		return g;
	if (!g) {
		g = sn_gate_new(w->loop, &svc->policy, w->snap->generation, w->n_workers);
		if (g && sn_map_put(&w->gates, key, g, NULL)) {
			sn_gate_free(g);
			g = NULL;
		}
	} else if (g->generation != w->snap->generation) {
		sn_gate_configure(g, &svc->policy, w->snap->generation, w->n_workers);
	}
	return g;
}

struct sn_limiter *sn_worker_limiter(struct sn_worker *w, const struct sn_service *svc,
				     const struct sn_rule *rule, uint64_t generation)
{
	const struct sn_rate_limit *l = rule->rate_limit;
	struct sn_limiter *m;
	char text[1400];
	/* a rule without a name is known by its place */
	int n = snprintf(text, sizeof(text), "%s\n%s\n%s\n%u %d %.*s", svc->name, rule->route_name,
			 rule->name, rule->name[0] ? 0 : rule->id + 1, (int)l->per,
			 SN_ARG(l->header));
	struct sn_slice key =
		sn_slice(text, (size_t)n < sizeof(text) ? (size_t)n : sizeof(text) - 1);

	m = sn_map_find(&w->limiters, key);
	if (!m) {
		m = sn_limiter_new(l, generation, w->n_workers, w->limiter_seed);
		if (m && sn_map_put(&w->limiters, key, m, NULL)) {
			sn_limiter_free(m);
			m = NULL;
		}
	} else if (m->generation < generation) {
		sn_limiter_configure(m, l, generation, w->n_workers);
	}
	return m;
}

/* --- peers
 * ----------------------------------------------------------------------------------------
 */

static void on_sweep(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_worker *w = sn_container_of(t, struct sn_worker, sweep);
	struct sn_map_entry *e, *next;

	(void)now_ms;
	for (e = sn_map_first(&w->direct); e; e = next) {
		struct sn_peer *p = sn_map_value(e);

		next = sn_map_next(e);
		if (sn_peer_is_unused(p)) {
			sn_map_take(&w->direct, sn_slice((const char *)sn_peer_addr(p),
							 sizeof(struct sn_addr)));
			sn_peer_retire(p, false);
		}
	}
	if (sn_map_count(&w->direct))
		sn_loop_timer(w->loop, &w->sweep, SWEEP_MS);
}

struct sn_peer *sn_cluster_peer(struct sn_cluster *c, struct sn_endpoint *e)
{
	struct sn_peer_settings s = {.pool = c->settings, .mesh = e->mesh};

	if (!e->user)
		e->user = sn_peer_new(c->worker, &e->addr, &s, c->generation);
	else if (sn_peer_generation(e->user) != c->generation)
		sn_peer_configure(e->user, &s, c->generation);
	return e->user;
}

struct sn_peer *sn_worker_direct(struct sn_worker *w, const struct sn_addr *to,
				 struct sn_stream_count *count)
{
	struct sn_slice key = sn_slice((const char *)to, sizeof(*to));
	struct sn_peer *p = sn_map_find(&w->direct, key);
	struct sn_peer_settings s = {.pool = {.idle_timeout_ms = 30000,
					      .connect_timeout_ms = w->timeouts.connect,
					      .max_connections = 10000,
					      .max_pending = 0,
					      .cluster_address = true,
					      .count = count}};

	if (p)
		return p;
	if (sn_map_count(&w->direct) >= DIRECT_POOLS_MAX)
		on_sweep(&w->sweep, 0);
	p = sn_peer_new(w, to, &s, 0);
	if (p && sn_map_put(&w->direct, key, p, NULL)) {
		sn_peer_retire(p, true);
		return NULL;
	}
	if (p && !sn_timer_is_set(&w->sweep))
		sn_loop_timer(w->loop, &w->sweep, SWEEP_MS);
	return p;
}

/* --- what goes
 * ------------------------------------------------------------------------------------
 */

/* A gate whose service went away stays until nobody is in it. Where some wait there may be more
 * room now; the others hear of changes from their next request. */
static void revise_gates(struct sn_worker *w)
{
	struct sn_map_entry *e, *next;

	for (e = sn_map_first(&w->gates); e; e = next) {
		struct sn_slice name = sn_slice_cstr(sn_map_key(e));
		const struct sn_service *svc = sn_snapshot_by_name(w->snap, name);
		struct sn_gate *g = sn_map_value(e);

		next = sn_map_next(e);
		if (svc && g->admission.pending) {
			sn_worker_gate(w, svc);
		} else if (!svc && sn_gate_is_empty(g)) {
			sn_map_take(&w->gates, name);
			sn_gate_free(g);
		}
	}
}

/* Those that nobody asked for in all of the last generation, and in which nobody is behind. What
 * they have counted stays with their service. */
static void forget_old_limiters(struct sn_worker *w)
{
	uint64_t now = sn_loop_now_ns(w->loop);
	struct sn_map_entry *e, *next;
	char service[SN_SERVICE_NAME];

	for (e = sn_map_first(&w->limiters); e; e = next) {
		struct sn_limiter *m = sn_map_value(e);

		next = sn_map_next(e);
		if (m->generation + 1 >= w->snap->generation || sn_ratelimit_count(&m->table, now))
			continue;
		(void)sn_limiter_count(m, sn_service_of(e, service), &w->stats);
		sn_map_take(&w->limiters, sn_slice_cstr(sn_map_key(e)));
		sn_limiter_free(m);
	}
}

/* Clusters of services that went away give up their pools; requests in flight keep theirs, and the
 * cluster until a later change finds it empty. */
static void forget_old_clusters(struct sn_worker *w)
{
	struct sn_map_entry *e, *next;

	for (e = sn_map_first(&w->clusters); e; e = next) {
		struct sn_cluster *c = sn_map_value(e);
		struct sn_slice key = sn_slice_cstr(sn_map_key(e)), name = key;

		next = sn_map_next(e);
		name = sn_slice_cut(&name, '\n');
		if (sn_snapshot_by_name(w->snap, name))
			continue;
		sn_balance_update(c->balance, NULL, 0, sn_loop_now_ns(w->loop));
		if (sn_balance_is_empty(c->balance)) {
			sn_map_take(&w->clusters, key);
			free_cluster(c);
		}
	}
}

static void forget_old_endpoints(struct sn_worker *w)
{
	struct sn_map_entry *e, *next;

	for (e = sn_map_first(&w->discovered); e; e = next) {
		struct sn_slice name = sn_slice_cstr(sn_map_key(e));
		const struct sn_service *svc = sn_snapshot_by_name(w->snap, name);

		next = sn_map_next(e);
		if (!svc || !is_discovered(svc))
			sn_endpoint_set_unref(sn_map_take(&w->discovered, name));
	}
}

void sn_clusters_follow(struct sn_worker *w)
{
	forget_old_endpoints(w);
	forget_old_clusters(w);
	revise_gates(w);
	forget_old_limiters(w);
}

void sn_clusters_init(struct sn_worker *w)
{
	sn_map_init(&w->clusters);
	sn_map_init(&w->gates);
	sn_map_init(&w->limiters);
	sn_map_init(&w->discovered);
	sn_map_init(&w->direct);
	w->limiter_seed[0] = sn_rng_entropy();
	w->limiter_seed[1] = sn_rng_entropy();
	sn_timer_init(&w->sweep, on_sweep);
}

static void free_endpoints(void *p)
{
	sn_endpoint_set_unref(p);
}

static void free_gate(void *p)
{
	sn_gate_free(p);
}

static void free_limiter(void *p)
{
	sn_limiter_free(p);
}

void sn_clusters_done(struct sn_worker *w)
{
	struct sn_map_entry *e;

	sn_map_done(&w->clusters, free_cluster);
	sn_map_done(&w->gates, free_gate);
	sn_map_done(&w->limiters, free_limiter);
	sn_gate_free(w->direct_gate);
	sn_map_done(&w->discovered, free_endpoints);
	for (e = sn_map_first(&w->direct); e; e = sn_map_next(e))
		sn_peer_retire(sn_map_value(e), true);
	sn_map_done(&w->direct, NULL);
	sn_h2pool_end_all(&w->retired);
}
