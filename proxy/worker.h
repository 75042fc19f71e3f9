/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/worker.h - one data-plane thread: a loop, its listeners, connections, pools, balancers and
 * statistics. Nothing here is shared with another worker; the control thread talks to it by posts.
 */
#ifndef SN_PROXY_WORKER_H
#define SN_PROXY_WORKER_H

#include <pthread.h>

#include "base/num.h"
#include "http/message.h"
#include "mesh/balance.h"
#include "mesh/endpoints.h"
#include "net/listener.h"
#include "proxy/config.h"
#include "proxy/gate.h"
#include "proxy/gather.h"
#include "proxy/limiter.h"
#include "proxy/peer.h"
#include "proxy/stats.h"
#include "proxy/trim.h"
#include "proxy/upgrade.h"

/* Endpoints of one service at one port, as this worker uses them. */
struct sn_cluster {
	struct sn_balance *balance;
	struct sn_worker *worker;
	struct sn_pool_settings settings;
	struct sn_stats_block *stats; /* of the service: its pools' connections. NULL: no memory */
	uint16_t port;
	uint64_t generation; /* of the snapshot that it was last filled from */
};

/* What a worker keeps for one place where requests go (struct sn_snapshot, n_slots); found on first
 * use, forgotten with the snapshot. */
struct sn_slot {
	struct sn_stats_block *stats;
	struct sn_cluster *cluster;
	struct sn_gate *gate;
	struct sn_limiter *limiter; /* of a rule */
	uint16_t port;		    /* that the cluster is of */
};

struct sn_listen {
	struct sn_listener listener;
	int fd;	      /* does not change: the control thread reads it */
	bool started; /* the listener has it */
	struct sn_worker *worker;
	/* of the first configuration: listeners do not change */
	const struct sn_config_listener *conf;
	struct sn_tls_ctx *tls; /* but their certificates do; a reference. NULL: plaintext */
	const struct sn_service *pinned; /* conf->service in the snapshot of that generation */
	uint64_t pinned_generation;
};

/* What the control thread can tell a worker; each at most once at a time, and without memory. */
enum sn_worker_order {
	SN_ORDER_OPEN,
	SN_ORDER_DRAIN,
	SN_ORDER_PATIENT,
	SN_ORDER_IDLE,
	SN_ORDER_FORCE,
	SN_ORDERS
};

struct sn_exchange;

struct sn_worker {
	struct sn_loop *loop;
	pthread_t thread;
	unsigned index, n_workers; /* this one, of how many */
	struct sn_config *boot;	   /* listeners and their names: as started */
	struct sn_config_limits limits;
	struct sn_config_timeouts timeouts;
	uint64_t progress_ms; /* when a body that does not move is looked at */
	struct sn_snapshot *snap;
	struct sn_listen *listens;
	size_t n_listens;
	struct sn_list connections;
	uint32_t n_connections;
	uint32_t n_lingering; /* of them: nothing of theirs is in flight any more */
	uint32_t n_requests;  /* in flight */
	uint32_t n_pending;   /* of them, waiting at gates */
	struct sn_trim trim;
	uint64_t measured_ms;	  /* when memory was looked at */
	bool full, tight;	  /* limits.memory was reached then, or half of it */
	struct sn_map clusters;	  /* "service\nport" -> struct sn_cluster */
	struct sn_map discovered; /* service -> struct sn_endpoint_set */
	struct sn_map gates;	  /* service -> struct sn_gate */
	struct sn_map limiters;	  /* service, route, rule -> struct sn_limiter */
	uint64_t limiter_seed[2];
	struct sn_gate *direct_gate; /* of all original destinations */
	struct sn_map direct;	/* address -> struct sn_peer: traffic to original destinations */
	struct sn_timer sweep;	/* of unused direct peers */
	struct sn_list retired; /* HTTP/2 pools that have given up their place and finish */
	struct sn_slot *slots;	/* of the snapshot */
	uint32_t n_slots;
	struct sn_stats stats;
	struct sn_rng rng;
	struct sn_route_scratch route_scratch;
	struct sn_stats_block *direct_stats[2];
	struct sn_gather gather; /* what goes to an HTTP/1 peer is put together here */
	struct sn_buf frames;	 /* what goes to an HTTP/2 peer */
	struct sn_exchange *free_exchanges;
	unsigned n_free_exchanges;
	struct sn_list mirrors; /* exchanges on their way; n_mirrors counts those that wait, too */
	unsigned n_mirrors;
	struct sn_worker_post {
		struct sn_task task;
		struct sn_worker *w;
	} orders[SN_ORDERS];
	bool ended;    /* nothing of it runs any more: it is being freed */
	bool started;  /* its thread runs (control thread only) */
	bool draining; /* inbound says Connection: close */
	bool stopping; /* all of it does, nothing new is accepted */
	bool patient;  /* while stopping: idle connections may still bring a request */
};

/* Creates worker @index of @n_workers with its listeners bound: takes those of @handed that are its
 * own.
 * @boot is borrowed for the worker's life. */
struct sn_worker *sn_worker_new(struct sn_config *boot, unsigned index, unsigned n_workers,
				struct sn_handed *handed, struct sn_err *err);
/* Listens; the worker accepts, once it runs. Once. */
int sn_worker_open(struct sn_worker *w, struct sn_err *err);

/* listen.c, for worker.c: its sockets. */
int sn_listens_make(struct sn_worker *w, struct sn_handed *handed, struct sn_err *err);
int sn_listens_accept(struct sn_worker *w, struct sn_err *err);
void sn_listens_free(struct sn_worker *w);

int sn_worker_start(struct sn_worker *w, struct sn_err *err);
/* From the control thread: adopt this snapshot (a reference is taken). */
void sn_worker_set_snapshot(struct sn_worker *w, const struct sn_config *c);
/* From the control thread: @service, if its endpoints are to be discovered, has these from now on,
 * whatever snapshot comes, until it is gone or lists them itself. A reference of @set is taken. */
void sn_worker_set_endpoints(struct sn_worker *w, const char *service, struct sn_endpoint_set *set);
/* SN_ORDER_DRAIN: what comes in is asked to go elsewhere. PATIENT, IDLE, FORCE: what has connected
 * is accepted, then no more, and when no connection is left the thread ends. PATIENT: idle
 * connections hear of it with their next answer; IDLE: they close; FORCE: all do, now. */
void sn_worker_tell(struct sn_worker *w, enum sn_worker_order what);
/* Copies the worker's statistics into @into, on the worker's thread; waits up to a second.
 * Returns 0, -SN_ETIMEOUT or -SN_ENOMEM. */
int sn_worker_collect(struct sn_worker *w, struct sn_stats *into);
/* After the thread has ended. */
void sn_worker_free(struct sn_worker *w);

/* --- for the connections (worker's thread) --- */

/* The cluster of @svc at @port, filled from the current snapshot; NULL when out of memory. Both
 * directions share it; its connections count for that of the first one who asks: @inbound. */
struct sn_cluster *sn_worker_cluster(struct sn_worker *w, const struct sn_service *svc,
				     uint16_t port, bool inbound);
/* The gate of @svc (NULL: of original destinations), as the current snapshot says; NULL when out of
 * memory. */
struct sn_gate *sn_worker_gate(struct sn_worker *w, const struct sn_service *svc);
/* The limiter of @svc's @rule, which has a rate_limit and is of the snapshot of @generation (it
 * changes nothing that a later one has said); NULL when out of memory. */
struct sn_limiter *sn_worker_limiter(struct sn_worker *w, const struct sn_service *svc,
				     const struct sn_rule *rule, uint64_t generation);
/* The connections to an endpoint of @c (made on first use). */
struct sn_peer *sn_cluster_peer(struct sn_cluster *c, struct sn_endpoint *e);
/* Those to an original destination. @count: of a new one's connections, or NULL. */
struct sn_peer *sn_worker_direct(struct sn_worker *w, const struct sn_addr *to,
				 struct sn_stream_count *count);
/* The service that a listener is pinned to; NULL: it is not, or the service is gone. */
const struct sn_service *sn_listen_pinned(struct sn_listen *l);
/* limits.memory is reached: no new work. Looks at most every 10 ms, closer to it every ms. */
bool sn_worker_is_full(struct sn_worker *w);
/* Half of it is: nothing is kept that is not needed. */
bool sn_worker_is_tight(struct sn_worker *w);
/* Called when a connection has gone, or nothing of it is in flight any more: while stopping the
 * loop ends with the last one. */
void sn_worker_check_done(struct sn_worker *w);
/* True for any of our own listening addresses. */
bool sn_worker_listens_at(const struct sn_worker *w, const struct sn_addr *a);

#endif
