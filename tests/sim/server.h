/* SPDX-License-Identifier: Apache-2.0 */
/* sim/server.h - an endpoint: so many slots with a queue before them, service times drawn around a
 * mean, and the ways in which endpoints go wrong. A server does not notice that nobody waits for an
 * answer any more: it works on, as most applications do. */
#ifndef SIM_SERVER_H
#define SIM_SERVER_H

#include "base/list.h"
#include "base/num.h"
#include "tests/sim/clock.h"

/* A try, as whoever works on it sees it. */
struct sim_call {
	/* The answer; status 0: reset. @no_retry: a proxy says that it is not to be repeated. */
	void (*answered)(struct sim_call *c, unsigned status, bool no_retry);
	bool no_retry; /* the request says so */
	void *job;     /* the server's, or the next proxy's; NULL: nobody's */
};

enum sim_state {
	SIM_UP,
	SIM_REFUSING, /* connections are refused */
	SIM_SILENT,   /* nothing is answered, neither packets nor requests */
};

struct sim_server_settings {
	double mean_ms;
	double sigma;	  /* of the logarithm (lognormal); 0: exponential */
	unsigned slots;	  /* requests at a time */
	unsigned queue;	  /* that wait, at most; beyond: 503 at once */
	double errors;	  /* 0..1: the part that is answered with 503 at once, by no slot */
	double cold;	  /* so many times slower just after the start ... */
	uint64_t warm_ns; /* ... and as fast as ever after so long */
};

struct sim_server {
	struct sim_server_settings set;
	struct sim_clock *clock;
	struct sn_rng *rng;
	enum sim_state state;
	bool hanging;	   /* takes requests and never answers */
	uint32_t epoch;	   /* connections of another epoch are broken */
	uint64_t start_ns; /* when it got cold; 0: it is warm */
	unsigned busy;
	struct sn_list working, queue; /* jobs */
	unsigned queued;
	struct sim_job *unused;
	uint64_t requests, dials;
};

void sim_server_init(struct sim_server *s, const struct sim_server_settings *set,
		     struct sim_clock *clock, struct sn_rng *rng);
void sim_server_free(struct sim_server *s);
void sim_server_submit(struct sim_server *s, struct sim_call *call);
/* Nobody waits for @call any more. */
void sim_server_cancel(struct sim_call *call);
/* Takes no connections from now on. @drain: finishes what it has; else that is reset. */
void sim_server_stop(struct sim_server *s, bool drain);
/* Comes (back), cold. */
void sim_server_start(struct sim_server *s);
/* The network to it is gone: nobody is told. */
void sim_server_vanish(struct sim_server *s);

/* Random numbers that several need. */
double sim_uniform(struct sn_rng *rng); /* in (0, 1] */
double sim_exponential(struct sn_rng *rng, double mean);

#endif
