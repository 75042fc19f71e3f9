/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/stats.h - one worker's counters: plain integers, resolved when a snapshot is adopted,
 * summed by the control thread when somebody asks. A copy is made on the worker's own thread
 * (sn_stats_collect). */
#ifndef SN_PROXY_STATS_H
#define SN_PROXY_STATS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/map.h"
#include "base/metrics.h"
#include "mesh/breaker.h"
#include "net/stream.h"

/* Responses of one outcome. */
struct sn_stats_code {
	uint16_t status; /* 0: no response */
	int16_t grpc;	 /* grpc-status; -1: none */
	uint64_t n;
};

/* Accepted connections. Which service one of them is for shows only when its client has spoken, so
 * it counts as opened from then on, or when it closes; `now` is counted when a copy is made, and
 * holds those too that have not spoken yet. */
struct sn_stats_tcp {
	uint64_t opened, closed, now;
};

/* What a rule's filters did. */
enum sn_filter_action {
	SN_FILTERED_REDIRECT,
	SN_FILTERED_DIRECT_RESPONSE,
	SN_FILTERED_PREFLIGHT,
	SN_FILTERED_DELAY,
	SN_FILTERED_ABORT,
	SN_FILTERED_MIRROR_SENT,
	SN_FILTERED_MIRROR_DROPPED,
	SN_FILTERED_MIRROR_TOO_LARGE,
	SN_FILTERED_MIRROR_FAILED,
	SN_FILTERED_COUNT
};
const char *sn_filter_action_name(enum sn_filter_action a);

/* Requests of one (direction, service, route, rule, backend). */
struct sn_stats_block {
	char *direction, *service, *route, *rule, *backend;
	uint64_t requests;
	uint64_t retried, retried_well;	    /* further tries; requests that they saved */
	uint64_t retries_over, budget_over; /* that were not made: attempts, the budget */
	uint64_t tcp_rx, tcp_tx;	    /* of connections that are relayed as bytes */
	struct sn_stats_tcp tcp;	    /* these connections */
	struct sn_stream_count dst;	    /* those to the service: of relays, and of its pools */
	struct sn_stats_code *codes; /* in order of first use; the last one counted is `recent` */
	uint32_t n_codes, cap_codes, recent;
	uint64_t filtered[SN_FILTERED_COUNT]; /* of a rule, in its block without a backend */
	struct sn_histo latency;
};

/* What the workers know of a service as a backend: counted, or as it is now. */
struct sn_stats_gate {
	uint64_t waited, shed, waited_out, rate_limited;
	uint64_t in_flight, pending, budget;
	uint64_t limit; /* adaptive; 0: none */
	uint64_t ejections;
	uint64_t endpoints[SN_BREAKER_STATES]; /* by state of their breaker, now */
};

enum sn_refusal_reason {
	SN_REFUSE_BAD_REQUEST,
	SN_REFUSE_NO_SERVICE,
	SN_REFUSE_NO_ROUTE,
	SN_REFUSE_NO_BACKEND,
	SN_REFUSE_NO_ENDPOINTS,
	SN_REFUSE_DENIED,
	SN_REFUSE_CONNECT,
	SN_REFUSE_UPSTREAM,
	SN_REFUSE_TIMEOUT,
	SN_REFUSE_OVERLOAD,
	SN_REFUSE_NO_DESTINATION,
	SN_REFUSE_CONNECTIONS,
	SN_REFUSE_METHOD,
	SN_REFUSE_HEADER_TIMEOUT,
	SN_REFUSE_FLOOD,
	SN_REFUSE_LOOP,
	SN_REFUSE_TLS_HANDSHAKE,
	SN_REFUSE_RATE_LIMIT,
	SN_REFUSE_FAULT,
	SN_REFUSE_COUNT
};
const char *sn_refusal_name(enum sn_refusal_reason r);

struct sn_stats {
	struct sn_map blocks; /* key -> struct sn_stats_block, owned */
	struct sn_map gates;  /* service -> struct sn_stats_gate, owned: in a
				 copy; else of what is gone */
	uint64_t refused[SN_REFUSE_COUNT];
	/* of accepted connections that are not relayed, by direction */
	struct sn_stats_tcp tcp[2];
	uint64_t rx_bytes[2], tx_bytes[2];
	uint64_t accept_paused;
	uint64_t regex_limited; /* expressions of routes that were given up */
	uint64_t relayed[2];
};

void sn_stats_init(struct sn_stats *s);
void sn_stats_done(struct sn_stats *s);
/* The block of that key, made if need be; NULL when out of memory. Lives as long as @s. */
struct sn_stats_block *sn_stats_block(struct sn_stats *s, const char *direction,
				      const char *service, const char *route, const char *rule,
				      const char *backend);
/* A response, or with @status 0 none, @ns after its request. @grpc_status -1: it has none. */
void sn_stats_response(struct sn_stats_block *b, unsigned status, int grpc_status, uint64_t ns);
/* Adds to what is counted of a service's gate. Returns 0 or -SN_ENOMEM. */
int sn_stats_add_gate(struct sn_stats *s, const char *service, const struct sn_stats_gate *g);
/* Adds all of @from to @into. Returns 0 or -SN_ENOMEM. */
int sn_stats_add(struct sn_stats *into, const struct sn_stats *from);
/* The families in Prometheus' text format. */
void sn_stats_render(const struct sn_stats *s, struct sn_buf *out);

#endif
