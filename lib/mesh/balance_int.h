/* SPDX-License-Identifier: Apache-2.0 */
/* Between the balancer's files: the set as it is arranged for choosing.
 *
 *   balance.c           picks and results
 *   balance_set.c       endpoints come, stay and go; settings
 *   balance_match.c     which ones of a list are there already
 *   balance_find.c      by id
 *   balance_avail.c     which of them are available: breakers, zones, aperture; effective weights
 *   balance_p2c.c       drawing by weight, the cheaper of two
 *   balance_turn.c      in turn
 *   balance_hash.c      by a key: ring and Maglev
 *   balance_aperture.c  how wide the aperture is
 *
 * An arrangement is made whole, with all its memory, before it replaces the old one; from then on
 * choosing and results move 32-bit indices in it and allocate nothing. */
#ifndef SN_MESH_BALANCE_INT_H
#define SN_MESH_BALANCE_INT_H

#include "mesh/balance.h"

#define SN_BALANCE__NONE UINT32_MAX
#define SN_BALANCE__CLASSES 32

/* Walker's alias: of the numbers below 2^32, those under `cut` mean `own`, the others `other`. */
struct sn_balance__slot {
	uint32_t cut, own, other;
};

/* Endpoints whose effective weights lie within a factor of two, in turn. */
struct sn_balance__class {
	uint32_t first, n; /* in group.turn */
	uint32_t most;	   /* the greatest effective weight */
	uint64_t seq;
	int64_t weight, current; /* of all of it; smooth round robin between classes */
};

/* Endpoints of the own zone (or all), and those of the others. */
struct sn_balance__group {
	uint32_t *avail; /* indices of those that get requests, in any order */
	uint32_t n_avail;
	uint64_t weight, avail_weight; /* as configured: of all with a weight, of those */
	bool dirty;		       /* tables are not of what is available */
	bool built;
	uint64_t built_ns;
	double mean_share;
	bool even;			/* all have one weight: there are no slots */
	struct sn_balance__slot *slots; /* unless in turn */
	uint32_t n_slots;
	uint32_t *turn; /* in turn: by class */
	struct sn_balance__class classes[SN_BALANCE__CLASSES];
	unsigned n_classes;
};

struct sn_balance__set {
	struct sn_endpoint **v;
	uint32_t n;
	uint32_t *by_id; /* NULL: nobody has asked */
	struct sn_balance__group groups[2];
	uint32_t *heap; /* ejected ones, first due first */
	uint32_t n_heap;
	uint32_t n_usable; /* have a weight */
	uint32_t n_in;	   /* available, all groups */
	bool panic;	   /* all are ejected and used nonetheless */
	uint32_t n_zones;  /* that endpoints are in */
	char (*zones)[SN_BALANCE_ZONE_MAX];
	uint32_t n_names;
	float *part;	/* scratch of alias tables */
	uint32_t *work; /* likewise */
	/* aperture */
	uint32_t *order;
	uint32_t width; /* so many of `order` are in */
	/* hash */
	uint32_t *ring; /* points, ascending */
	uint16_t *ring_of;
	uint32_t n_ring;
	uint16_t *maglev;
	uint32_t n_maglev;
	void *memory; /* of the arrays of n */
};

struct sn_balance {
	struct sn_balance_settings settings;
	char zone[SN_BALANCE_ZONE_MAX];
	struct sn_rng rng;
	struct sn_balance__set *set;
	bool filled;		/* has had a set: who comes now is new */
	size_t leaving;		/* gone, with requests still in flight */
	uint64_t ramp_until_ns; /* effective weights change by time until then */
	uint32_t load;		/* requests in flight */
	double usual_queue;	/* at endpoints of the own zone */
	uint64_t usual_at_ns;
	/* aperture: their average over some seconds, how many should be in */
	double load_average;
	uint64_t load_at_ns;
	uint32_t want;
	void (*on_gone)(struct sn_endpoint *e, void *arg);
	void *on_gone_arg;
	uint64_t ejections; /* since it was made */
};

/* What a choice would be, before it is made. */
struct sn_balance__choice {
	struct sn_endpoint *e;
	bool probe;
	struct sn_endpoint *candidates[SN_BALANCE_CANDIDATES];
	unsigned n_candidates;
};

/* --- balance_match.c --- */

/* What a list makes of the set. */
struct sn_balance__match {
	struct sn_endpoint **v; /* each address once, in the list's order; new ones have no index */
	uint32_t *item;		/* their places in the list */
	uint32_t n;
	uint32_t *taken; /* the other way round: of the old set's, their places in v, or NONE */
};

static inline bool sn_balance__is_for(const struct sn_balance *b,
				      const struct sn_endpoint_spec *item)
{
	return item->service_port == 0 || item->service_port == b->settings.service_port;
}

/* Returns 0, or -SN_ENOMEM with nothing in @m. Changes nothing in @b. */
int sn_balance__match(const struct sn_balance *b, const struct sn_endpoint_spec *items, uint32_t n,
		      uint64_t now_ns, struct sn_balance__match *m);
/* Frees the new endpoints too: they have not come into the set. */
void sn_balance__match_undo(struct sn_balance__match *m);
void sn_balance__match_done(struct sn_balance__match *m);

/* --- balance_find.c --- */

/* Makes by_id. Returns 0 or -SN_ENOMEM. */
int sn_balance__sort_ids(struct sn_balance__set *set);

/* --- balance_set.c --- */

/* Tells the owner and frees it. */
void sn_balance__release(struct sn_balance *b, struct sn_endpoint *e);

/* --- balance_avail.c --- */

/* Memory for @n endpoints under these settings; NULL when there is none. */
struct sn_balance__set *sn_balance__set_new(const struct sn_balance_settings *s, uint32_t n);
void sn_balance__set_free(struct sn_balance__set *set);
/* b->set holds endpoints with their weights and zones: everything else follows from them. */
void sn_balance__arrange(struct sn_balance *b, uint64_t now_ns);
/* A breaker wants to open: it does if the set can do without the endpoint. */
void sn_balance__eject(struct sn_balance *b, struct sn_endpoint *e, uint64_t now_ns);
/* Its breaker has closed, or its due time has changed: puts things into their places. */
void sn_balance__settle(struct sn_balance *b, struct sn_endpoint *e);
/* The aperture takes the next one in, or lets the last one go. */
void sn_balance__include(struct sn_balance *b, struct sn_endpoint *e, bool in);
/* Gets requests. */
static inline bool sn_balance__offered(const struct sn_endpoint *e)
{
	return e->at != SN_BALANCE__NONE;
}
/* Its weight that counts now, x 256. */
uint32_t sn_balance__share(const struct sn_balance *b, const struct sn_endpoint *e,
			   uint64_t now_ns);
/* Tables follow what is available and weights that change by time: at most every 10 us per
 * endpoint, which makes the work for them a constant part of the time. */
void sn_balance__refresh(struct sn_balance *b, struct sn_balance__group *g, uint64_t now_ns);
bool sn_balance__was_tried(const struct sn_balance_ask *ask, const struct sn_endpoint *e);

/* --- balance_p2c.c --- */

void sn_balance__slots_build(struct sn_balance__set *set, struct sn_balance__group *g);
/* By weight, not one that was tried; NULL when there is none in @g. */
struct sn_endpoint *sn_balance__draw(struct sn_balance *b, const struct sn_balance__group *g,
				     const struct sn_balance_ask *ask);
void sn_balance__p2c(struct sn_balance *b, const struct sn_balance__group *g,
		     const struct sn_balance_ask *ask, struct sn_balance__choice *c);
/* c->e stays or becomes one of @far, if that one is so much cheaper; and learns what is usual. */
void sn_balance__spill(struct sn_balance *b, const struct sn_balance__group *far,
		       const struct sn_balance_ask *ask, struct sn_balance__choice *c);
double sn_balance__latency(const struct sn_endpoint *e, uint64_t now_ns);
double sn_balance__cost(const struct sn_balance *b, const struct sn_endpoint *e, uint64_t now_ns);
/* Any that is available, was not tried and is not @other (or NULL); NULL: there is none. */
struct sn_endpoint *sn_balance__any(struct sn_balance *b, const struct sn_balance__group *g,
				    const struct sn_balance_ask *ask,
				    const struct sn_endpoint *other);

/* --- balance_turn.c --- */

void sn_balance__turn_build(struct sn_balance__set *set, struct sn_balance__group *g);
struct sn_endpoint *sn_balance__turn(struct sn_balance *b, struct sn_balance__group *g,
				     const struct sn_balance_ask *ask);

/* --- balance_hash.c --- */

static inline bool sn_balance__is_by_hash(enum sn_balance_algorithm a)
{
	return a == SN_BALANCE_RING_HASH || a == SN_BALANCE_MAGLEV;
}

/* Makes the ring or table of @set from ids and weights (of the n endpoints, in order). Returns 0 or
 * -SN_ENOMEM. */
int sn_balance__hash_build(struct sn_balance__set *set, enum sn_balance_algorithm algorithm,
			   const uint32_t *weights);
void sn_balance__hash_pick(struct sn_balance *b, const struct sn_balance_ask *ask,
			   struct sn_balance__choice *c);

/* --- balance_aperture.c --- */

/* Orders the set and opens the aperture as wide as it was, or should be. */
void sn_balance__aperture_arrange(struct sn_balance *b);
/* Something became available or unavailable: as many are in as should be. */
void sn_balance__aperture_fit(struct sn_balance *b);
/* b->load is about to change: widens or narrows by what it has been until now. */
void sn_balance__aperture_load(struct sn_balance *b, uint64_t now_ns);

/* Strong enough and cheap: splitmix64's finalizer. */
static inline uint64_t sn_balance__mix(uint64_t z)
{
	z += 0x9e3779b97f4a7c15u;
	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
	z = (z ^ z >> 27) * 0x94d049bb133111ebu;
	return z ^ z >> 31;
}

#endif
