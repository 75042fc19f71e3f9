/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/gate.h - what stands in front of a service that requests go to: how many may be in flight,
 * who waits for his turn and for how long, how many come in a second, how often they may be tried
 * again. One per (worker, service), found on first use; it stays across snapshots as long as the
 * service does. The decisions are lib/mesh's; this carries them out. */
#ifndef SN_PROXY_GATE_H
#define SN_PROXY_GATE_H

#include "base/list.h"
#include "mesh/admission.h"
#include "mesh/budget.h"
#include "mesh/concurrency.h"
#include "mesh/policy.h"
#include "mesh/ratelimit.h"
#include "net/loop.h"

struct sn_exchange;
struct sn_stats;

struct sn_gate {
	uint64_t generation; /* of the snapshot that the settings come from */
	struct sn_admission admission;
	struct sn_concurrency concurrency; /* counts when admission points to it */
	uint64_t pending_timeout_ms;
	struct sn_budget budget;
	struct sn_gcra rate;
	struct sn_gcra_settings rate_settings;
	bool rated;
	struct sn_loop *loop;
	struct sn_task start;	   /* of waiters, at the turn's end */
	struct sn_list waiting;	   /* struct sn_exchange, the oldest first */
	uint64_t waited;	   /* requests that had to */
	uint64_t shed, waited_out; /* no room to wait; waited too long */
	uint64_t rate_limited;
};

/* NULL when out of memory. */
struct sn_gate *sn_gate_new(struct sn_loop *loop, const struct sn_policy *p, uint64_t generation,
			    unsigned n_workers);
/* NULL allowed; nobody is in it. */
void sn_gate_free(struct sn_gate *g);
/* The policy of @generation. What is for the whole proxy is split among @n_workers. */
void sn_gate_configure(struct sn_gate *g, const struct sn_policy *p, uint64_t generation,
		       unsigned n_workers);
bool sn_gate_is_empty(const struct sn_gate *g);

/* A request wants to pass, once. True: it may, and is in flight until sn_gate_leave(). False: it
 * waits and will be started by sn_tries_next(), or it has been refused. */
bool sn_gate_enter(struct sn_gate *g, struct sn_exchange *x);
/* It waited for connections.pendingTimeout: it is refused. */
void sn_gate_waited_out(struct sn_exchange *x);
/* The request has ended, wherever it was: others get its place, at the end of this turn. */
void sn_gate_leave(struct sn_exchange *x);
/* Adds what it has counted of @service to @into. Returns 0 or -SN_ENOMEM. */
int sn_gate_count(struct sn_gate *g, const char *service, struct sn_stats *into, uint64_t now_ns);
/* A try was answered, or not: @dropped: it was turned away, or its time has passed. */
void sn_gate_sample(struct sn_gate *g, uint64_t latency_ns, bool dropped, uint64_t now_ns);
/* The client gave a try up after so long. */
void sn_gate_cancelled(struct sn_gate *g, uint64_t waited_ns, uint64_t now_ns);

#endif
