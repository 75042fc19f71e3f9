/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/exchange.h - one request and its response, whatever protocol each side speaks.
 *
 *   client's side (struct sn_down)                      upstream's side (struct sn_up)
 *   down_h1.c  down_h2.c    -- head, payload, end -->   up_h1.c  up_h2.c
 *                           <-- head, payload, end --
 *
 * exchange.c in the middle owns the life: begin, choose (choose.c), try, try again, refuse, done. A
 * side pushes what it has into the other and stops reading while that one is `full`; the full one
 * asks for `more` when it has room again. Payload is borrowed: whoever cannot pass it on copies it.
 *
 * Everything here belongs to the connection's worker. An exchange ends exactly once (`gone`) and is
 * freed from the loop's deferred list: after a call that can end it, look at x->gone. */
#ifndef SN_PROXY_EXCHANGE_H
#define SN_PROXY_EXCHANGE_H

#include "base/err.h"
#include "http/h1.h"
#include "http/h2.h"
#include "http/h2pool.h"
#include "http/headout.h"
#include "mesh/classify.h"
#include "proxy/conn.h"
#include "proxy/filter.h"
#include "proxy/gate.h"
#include "proxy/gather.h"
#include "proxy/hop.h"
#include "proxy/replay.h"
#include "proxy/session.h"
#include "proxy/websocket.h"

struct sn_exchange;

/* How to speak to the client. Functions that return int give 0, or negative when the client's
 * connection has broken: then the exchange is gone. */
struct sn_down {
	/* A head: 1xx or final. @head: the bytes that its fields lie in. */
	int (*respond)(struct sn_exchange *x, struct sn_response *resp, struct sn_slice head);
	int (*payload)(struct sn_exchange *x, const struct iovec *iov, int n_iov);
	/* Behind the last payload. @trailers: NULL or fields that lie in @head. */
	int (*end)(struct sn_exchange *x, const struct sn_headers *trailers, struct sn_slice head);
	/* What was put since the last flush goes out. @now: at once; else with the rest of the
	 * turn. Every put is followed by a flush before anybody else's put. */
	int (*flush)(struct sn_exchange *x, bool now);
	bool (*full)(struct sn_exchange *x);
	/* Bytes that the client has not taken yet. */
	size_t (*waiting)(struct sn_exchange *x);
	/* The upstream can take (more of) the request's body. */
	void (*more)(struct sn_exchange *x);
	/* An answer of our own, whole; nothing was sent before. Ends the exchange. */
	void (*answer)(struct sn_exchange *x, unsigned status, const char *word,
		       const char *detail);
	/* The response is cut: the client must see that. Ends the exchange. */
	void (*cut)(struct sn_exchange *x);
	/* The response is complete and handed over. Ends the exchange. */
	void (*done)(struct sn_exchange *x);
};
extern const struct sn_down sn_down_h1, sn_down_h2;

/* How to speak to the upstream. Functions that return int give 0, or negative when the try has
 * failed and was dealt with (the exchange may be gone, or on its next try). */
struct sn_up {
	/* Gets a connection and sends the head and what there is of the body. */
	void (*start)(struct sn_exchange *x);
	int (*payload)(struct sn_exchange *x, const struct iovec *iov, int n_iov);
	int (*end)(struct sn_exchange *x, const struct sn_headers *trailers, struct sn_slice head);
	int (*flush)(struct sn_exchange *x, bool now);
	bool (*full)(struct sn_exchange *x);
	/* The client can take more of the response. */
	void (*more)(struct sn_exchange *x);
	/* Lets go of it. @complete: the response was read to its end. */
	void (*release)(struct sn_exchange *x, bool complete);
};
extern const struct sn_up sn_up_h1, sn_up_h2;
extern const struct sn_h2_events sn_up_h2_events;

/* The upstream's side while it speaks HTTP/1. */
struct sn_up_h1_state {
	struct sn_pool *pool;
	struct sn_waiter waiter;
	bool waiting;
	struct sn_upstream *u;
	struct sn_outq out;
	struct sn_task flush;
	struct sn_input in; /* of the response */
	bool answered;	    /* its final head was read */
	bool keep;	    /* the connection may be used again afterwards */
	bool upload_over;   /* it takes no more of the request */
	struct sn_h1_body body;
	struct sn_buf hop_names; /* of its trailers */
};

/* ... while it speaks HTTP/2. */
struct sn_up_h2_state {
	struct sn_h2pool *pool;
	struct sn_h2_waiter waiter;
	bool waiting;
	struct sn_h2 *h2; /* while the request is submitted */
	struct sn_h2_stream *s;
	size_t owed; /* payload that came and is not consumed yet */
};

/* What an exchange without an upstream is waiting for, or with one, doing. */
enum sn_phase {
	SN_PHASE_NEW,
	SN_PHASE_WAITING, /* for its turn at the gate */
	SN_PHASE_BACKOFF, /* between tries */
	SN_PHASE_TRYING,
};

#define SN_TRIED_MAX 4 /* endpoints that are remembered as tried */

struct sn_exchange {
	struct sn_exchange *next_free;
	struct sn_task release;
	struct sn_list link; /* the connection's (HTTP/2); a mirror's: see struct sn_filtered */
	struct sn_worker *w;
	struct sn_conn *c; /* NULL: a mirror, which has no client */
	const struct sn_down *down;
	const struct sn_up *up;	   /* NULL between tries */
	struct sn_h2_stream *ds;   /* the client's stream when it speaks HTTP/2 */
	struct sn_snapshot *snap;  /* a reference: what routed it lives as long as it */
	struct sn_request req;	   /* slices into `head` */
	struct sn_slice head;	   /* the request's, as parsed; empty once it is gone */
	struct sn_header *storage; /* HTTP/1: of req.headers */
	uint32_t storage_cap;
	uint32_t n_parsed; /* fields beyond it were added by filters */
	bool gone;
	bool expired;	   /* its deadline had passed when it came */
	bool grpc;	   /* application/grpc: failures are trailers-only */
	struct sn_hop hop; /* what proxies before us said */
	bool tunnel;	   /* both directions are bytes now (a 101, or extended CONNECT) */
	bool connect;	   /* the client asked by extended CONNECT */
	char ws_key[SN_WEBSOCKET_KEY]; /* of a WebSocket that changes protocols */
	/* choice */
	const struct sn_rule *rule;
	bool filters_done;		 /* the rule's filters have seen the request */
	struct sn_filtered *filtered;	 /* what they keep for it; NULL: nothing */
	const struct sn_service *parent; /* that was asked for */
	const struct sn_service *svc;	 /* the backend; NULL: it goes to `direct` */
	struct sn_addr direct;		 /* an original destination */
	uint16_t port;			 /* of svc */
	uint32_t slot;			 /* where the worker keeps what it has of it */
	const char *backend;		 /* its name */
	struct sn_stats_block *stats;
	struct sn_cluster *cluster;
	struct sn_endpoint *endpoint;
	struct sn_peer *peer;
	bool mesh;	 /* the endpoint is a peer proxy */
	bool in_session; /* see `session` */
	/* tries */
	struct sn_gate *gate; /* of the backend, while it waits there or is counted as in flight */
	bool admitted;
	enum sn_phase phase;
	unsigned tries;
	bool no_retry_upstream; /* a proxy behind us has said that it is not to be repeated */
	bool fresh;		/* the last try broke: not on a connection that was idle */
	bool gave_up; /* a failure that would have been repeated is not: so nobody should */
	const struct sn_endpoint *tried[SN_TRIED_MAX]; /* only to be compared */
	unsigned n_tried;
	uint32_t retry_after_ms; /* what the last answer asks for; 0: nothing */
	uint32_t come_back_s;	 /* what an answer of ours asks for; 0: nothing */
	/* the request's body */
	bool early_end;	 /* HTTP/2 client: it came before there was an upstream */
	size_t owed;	 /* HTTP/2 client: payload that came and is not consumed yet */
	bool head_taken; /* HTTP/1 client: it is no longer at the front of its buffer */
	size_t passing;	 /* ... octets behind it that are read as body and still in the buffer */
	bool req_sent;	 /* the upstream has (part of) the request */
	bool req_done;	 /* all of the request was handed on */
	/* the response */
	bool resp_seen;	   /* a byte of it has come */
	bool resp_started; /* its final head was put */
	bool resp_sent;	   /* ... and flushed: too late for an answer of our own */
	bool resp_done;
	bool resp_chunked, d_close; /* HTTP/1 client: how it is told */
	unsigned status, n_informational;
	int grpc_status;     /* -1: none seen */
	uint32_t reset_code; /* the upstream's, HTTP/2 */
	size_t waiting_mark; /* down->waiting when progress was looked at */
	uint64_t moved_ms;   /* when something did last */
	uint64_t start_ns, try_ns;
	uint64_t progress_ms;	  /* looked at when that is w->progress_ms ago (HTTP/2 client) */
	uint64_t grpc_timeout_ns; /* as the client said; 0: it did not */
	/* From here on nothing is cleared for the next request (sn_exchange_new): what has a
	 * function to set it up, or is read only behind what says that it is there. */
	struct sn_list turn;	     /* of those that wait */
	struct sn_timer phase_timer; /* ends the phase: the wait, the backoff, the try */
	struct sn_timer deadline;    /* of the whole request */
	struct sn_buf early; /* HTTP/2 client: payload that came before there was an upstream */
	struct sn_buf early_trailers; /* ... as lines */
	struct sn_replay replay;      /* what another try needs */
	struct sn_h1_body req_body;   /* HTTP/1 client: how it is framed */
	struct sn_buf hop_names;      /* ... and which trailers it keeps to itself */
	struct sn_session session;    /* that it belongs to, if in_session */
	char grpc_timeout[12];	      /* as it is passed on */
	union {
		struct sn_up_h1_state u1;
		struct sn_up_h2_state u2;
	};
};

/* --- exchange.c --- */

/* NULL when out of memory. @c gets no reference: the client's side remembers it. */
struct sn_exchange *sn_exchange_new(struct sn_worker *w, struct sn_conn *c,
				    const struct sn_down *down);
/* For one that never began. */
void sn_exchange_discard(struct sn_exchange *x);
/* x->req and x->head are set: routes it and starts the first try. May end it. */
void sn_exchange_begin(struct sn_exchange *x);
/* A rule's answer in the upstream's place: @resp, whose headers lie anywhere, and its body (none
 * with SN_FRAMING_NONE). Ends it. */
void sn_exchange_answer(struct sn_exchange *x, struct sn_response *resp, struct sn_slice body);
/* Answers in the upstream's place, or cuts when a response has begun. Ends it. */
SN_COLD void sn_exchange_refuse(struct sn_exchange *x, unsigned status,
				enum sn_refusal_reason reason, const char *detail);
/* 429: over a rate limit for another @wait_ns, which Retry-After tells. */
void sn_exchange_refuse_for(struct sn_exchange *x, uint64_t wait_ns, const char *detail);
/* Its time ends in @ms, or before if that was said already. */
void sn_exchange_set_deadline(struct sn_exchange *x, uint64_t ms);
/* Until then; UINT64_MAX: for ever. */
uint64_t sn_exchange_left_ms(const struct sn_exchange *x);
/* The client is gone, or its connection is closing: lets go of all. Ends it. */
SN_COLD void sn_exchange_abort(struct sn_exchange *x);
/* The upstream's side: the connection is there. Sends head, body so far, and flushes. */
void sn_exchange_connected(struct sn_exchange *x, int (*put_head)(struct sn_exchange *x));
/* ... or it is not, for the reason that a pool gives (-SN_ETIMEOUT, -SN_ECONN, -SN_EPROTO: the peer
 * does not speak HTTP/2; -SN_ELIMIT: too many wait; -SN_ENOMEM, -SN_ESYS): tries again or refuses.
 */
SN_COLD void sn_exchange_not_connected(struct sn_exchange *x, int code);
/* The upstream's side has a head (checked). Passes it on. Returns 0, or negative: gone. */
int sn_exchange_respond(struct sn_exchange *x, struct sn_response *resp, struct sn_slice head);
/* The upstream's side has read the response's end, and flushed nothing yet. */
void sn_exchange_response_end(struct sn_exchange *x, const struct sn_headers *trailers,
			      struct sn_slice head, bool now);
/* The client's side hands on payload of the request, or its end (which in a tunnel may be the end
 * of all). As the functions of struct sn_up; what another try may need is kept. */
int sn_exchange_request_payload(struct sn_exchange *x, const struct iovec *iov, int n_iov);
int sn_exchange_request_end(struct sn_exchange *x, const struct sn_headers *trailers,
			    struct sn_slice head);
/* The request's end is on its way: with that a tunnel whose other direction has ended is over. */
void sn_exchange_request_sent(struct sn_exchange *x);
/* Something of a body moved. An HTTP/1 client has one exchange at a time, so its connection's timer
 * serves, which is pushed back from request to request and never taken off; an HTTP/2 connection
 * has one for all of its exchanges, which looks at when each has moved. */
static inline void sn_exchange_progress(struct sn_exchange *x)
{
	x->moved_ms = sn_loop_now_ms(x->w->loop);
	if (x->down == &sn_down_h2)
		x->progress_ms = x->moved_ms;
	else if (x->c)
		sn_loop_timer(x->w->loop, &x->c->timer, x->w->progress_ms);
}
/* Nothing has for a while: the shorter of timeouts.body and timeouts.stream. */
void sn_exchange_stalled(struct sn_exchange *x);
/* Takes it off the books: counts @status and frees. Called by the client's side only. */
void sn_exchange_drop(struct sn_exchange *x, unsigned status);
void sn_exchange_free_all(struct sn_worker *w);

/* --- tries.c --- */

void sn_tries_init(struct sn_exchange *x);
/* Chooses the backend and, when its gate lets it pass, the first try. May end it. */
void sn_tries_begin(struct sn_exchange *x);
/* The (next) try, now. May end it. */
void sn_tries_next(struct sn_exchange *x);
/* A try failed. @unprocessed: nobody has acted on it. Another one follows, never from inside this
 * call, if that is safe and the policy and the budget allow it; else it is refused with @status. */
SN_COLD void sn_exchange_try_failed(struct sn_exchange *x, bool unprocessed, unsigned status,
				    enum sn_refusal_reason reason, const char *detail);
/* A final head has come that is a failure, or whose time is of interest. False: another try
 * follows instead, and this one is over. */
bool sn_tries_judge(struct sn_exchange *x, const struct sn_response *resp);
/* A final head has come: as sn_tries_judge(), which most need not ask. */
static inline bool sn_tries_accept(struct sn_exchange *x, const struct sn_response *resp)
{
	bool good = x->status < 400 && x->grpc_status <= 0;
	bool sampled = x->gate && x->gate->admission.concurrency;
	bool probed = x->endpoint && x->endpoint->breaker.state != SN_BREAKER_CLOSED;

	return (good && !sampled && !probed) || sn_tries_judge(x, resp);
}
/* Must what is handed on of the request's body be kept for another try? */
bool sn_tries_keep(const struct sn_exchange *x);
/* The try is over: releases its upstream, and tells the balancer and the gate. */
void sn_tries_let_go(struct sn_exchange *x, bool complete, enum sn_outcome_kind kind);
/* The exchange is over. */
void sn_tries_end(struct sn_exchange *x);

/* --- choose.c --- */

/* Once for a request: its target, rule, filters and backend; counts it. False: it has refused. */
bool sn_choose_backend(struct sn_exchange *x);
/* The gate of the backend, or of all original destinations; NULL when out of memory. */
struct sn_gate *sn_choose_gate(struct sn_exchange *x);
/* Of the rule, which has a rate_limit; NULL when out of memory. */
struct sn_limiter *sn_choose_limiter(struct sn_exchange *x);
/* For each try: the endpoint, its peer, and what the hop speaks (`up`). False: it has refused. */
bool sn_choose_endpoint(struct sn_exchange *x);
/* The backend of a mirror, which asks no routes. */
void sn_choose_mirror(struct sn_exchange *x, const struct sn_backend_ref *ref, uint16_t asked_port);
/* The statistics of the rule that @x takes, without a backend; NULL when out of memory. */
struct sn_stats_block *sn_choose_rule_stats(struct sn_exchange *x, const struct sn_target *t);

#endif
