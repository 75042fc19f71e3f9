/* SPDX-License-Identifier: Apache-2.0 */
/* sim/client.h - a proxy: what proxy/tries.c, proxy/gate.c and proxy/choose.c do with lib/mesh's
 * objects, step by step in the same order, without sockets. Of lib/http's pools it has what
 * decides: one connection to each endpoint (as to a peer proxy), which everybody waits for while it
 * is dialled, and lib/http/redial.h after a dial that failed. */
#ifndef SIM_CLIENT_H
#define SIM_CLIENT_H

#include "http/redial.h"
#include "mesh/admission.h"
#include "mesh/balance.h"
#include "mesh/budget.h"
#include "mesh/concurrency.h"
#include "mesh/policy.h"
#include "mesh/retry.h"
#include "tests/sim/server.h"

#define SIM_ENDPOINTS_MAX 32

struct sim_proxy_settings {
	struct sn_policy policy;
	const struct sn_retry_policy *retry;	     /* the rule's; NULL: none */
	uint64_t request_timeout_ms, try_timeout_ms; /* the rule's; 0: none */
	const char *zone;			     /* its own; NULL: unknown */
	/* What a proxy without the mesh's care would do. */
	bool no_budget, no_marks, no_redial;
};

struct sim_proxy;

/* An endpoint and the connection to it. */
struct sim_peer {
	struct sim_proxy *proxy;
	struct sim_server *server; /* or */
	struct sim_proxy *next;	   /* another proxy, always connected */
	const char *zone;
	bool connected, dialling;
	uint32_t epoch;
	struct sim_event dialled;
	struct sn_redial redial;
	struct sn_list waiters; /* requests */
};

struct sim_request;

struct sim_proxy {
	struct sim_proxy_settings set;
	struct sim_clock *clock;
	struct sn_rng rng;
	struct sn_balance *balance;
	struct sn_admission admission;
	struct sn_concurrency concurrency;
	struct sn_budget budget;
	struct sn_list waiting;
	bool starting;
	struct sim_peer peers[SIM_ENDPOINTS_MAX];
	unsigned n_peers;
	struct sim_request *unused;
	uint64_t tries, dials;
	uint64_t near_tries; /* to endpoints of its own zone */
	uint64_t shed, waited_out;
	uint64_t all_ejected; /* requests that were told so */
	uint64_t silent; /* what must never be: more ejected than allowed, none and no reason */
};

void sim_policy_defaults(struct sim_proxy_settings *set);
/* Endpoints follow by sim_proxy_add() and sim_proxy_publish(). */
void sim_proxy_init(struct sim_proxy *p, const struct sim_proxy_settings *set,
		    struct sim_clock *clock, uint64_t seed);
void sim_proxy_free(struct sim_proxy *p);
/* One of @server and @next. Returns its place among the peers. */
unsigned sim_proxy_add(struct sim_proxy *p, struct sim_server *server, struct sim_proxy *next,
		       const char *zone);
/* The balancer is told of the first @n peers. */
void sim_proxy_publish(struct sim_proxy *p, unsigned n);

/* A proxy takes calls as a server does. */
void sim_proxy_submit(struct sim_proxy *p, struct sim_call *call);
void sim_proxy_cancel(struct sim_call *call);

#endif
