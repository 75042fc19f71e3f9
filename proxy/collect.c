/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of a worker's statistics, made on its thread. */
#include <stdlib.h>

#include "base/err.h"
#include "proxy/ask.h"
#include "proxy/clusters.h"
#include "proxy/conn.h"

struct collection {
	struct sn_ask ask;
	struct sn_stats copy;
};

static int copy_cluster(const struct sn_cluster *c, const char *service, struct sn_stats *into,
			uint64_t now)
{
	struct sn_stats_gate count = {.ejections = sn_balance_ejections(c->balance)};
	size_t i;

	for (i = 0; i < sn_balance_count(c->balance); i++)
		count.endpoints[sn_breaker_state(&sn_balance_at(c->balance, i)->breaker, now)]++;
	return sn_stats_add_gate(into, service, &count);
}

static int copy_gates(struct sn_worker *w, struct sn_stats *into)
{
	uint64_t now = sn_loop_now_ns(w->loop);
	struct sn_map_entry *e;
	char service[SN_SERVICE_NAME];
	int rc = 0;

	for (e = sn_map_first(&w->gates); e && rc == 0; e = sn_map_next(e))
		rc = sn_gate_count(sn_map_value(e), sn_map_key(e), into, now);
	for (e = sn_map_first(&w->limiters); e && rc == 0; e = sn_map_next(e))
		rc = sn_limiter_count(sn_map_value(e), sn_service_of(e, service), into);
	for (e = sn_map_first(&w->clusters); e && rc == 0; e = sn_map_next(e))
		rc = copy_cluster(sn_map_value(e), sn_service_of(e, service), into, now);
	return rc;
}

static int copy_stats(struct sn_worker *w, struct sn_ask *a)
{
	struct sn_stats *copy = &sn_container_of(a, struct collection, ask)->copy;
	size_t i;
	int rc;

	for (i = 0; i < w->n_listens; i++)
		copy->accept_paused += w->listens[i].listener.paused_total;
	copy->regex_limited += w->route_scratch.n_limited;
	rc = sn_stats_add(copy, &w->stats);
	if (rc == 0)
		rc = copy_gates(w, copy);
	sn_list_each(&w->connections, at, next) if (rc == 0) rc =
		sn_conn_show(sn_conn_of(at), copy);
	return rc;
}

static void release(struct sn_ask *a)
{
	struct collection *q = sn_container_of(a, struct collection, ask);

	sn_stats_done(&q->copy);
	free(q);
}

int sn_worker_collect(struct sn_worker *w, struct sn_stats *into)
{
	struct collection *q = calloc(1, sizeof(*q));
	int rc;

	if (!q)
		return -SN_ENOMEM;
	sn_stats_init(&q->copy);
	q->ask.run = copy_stats;
	q->ask.release = release;
	rc = sn_ask(w, &q->ask);
	if (rc == 0)
		rc = sn_stats_add(into, &q->copy);
	sn_ask_done(&q->ask);
	return rc;
}
