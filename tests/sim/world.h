/* SPDX-License-Identifier: Apache-2.0 */
/* sim/world.h - one run: servers, proxies, clients who ask without waiting for answers (open loop,
 * Poisson), things that happen at their time, and the record. The load, the servers and the proxies
 * have random numbers of their own, so that runs that are compared meet the same requests. */
#ifndef SIM_WORLD_H
#define SIM_WORLD_H

#include "tests/sim/client.h"
#include "tests/sim/record.h"

#define SIM_SERVERS_MAX 32
#define SIM_PROXIES_MAX 100
#define SIM_RATES_MAX 4
#define SIM_THINGS_MAX 64

struct sim_world;

/* Who asks one proxy. */
struct sim_load {
	struct sim_event event;
	struct sim_world *world;
	struct sim_proxy *proxy;
	struct {
		double from_s, per_s;
	} rates[SIM_RATES_MAX]; /* ascending */
	unsigned n_rates;
	struct sn_rng rng;
	uint64_t deadline_ms; /* when the client gives up; 0: never */
	struct sim_ask *unused;
};

/* Something that happens. */
struct sim_thing {
	struct sim_event event;
	struct sim_world *world;
	void (*fn)(struct sim_world *w, unsigned arg);
	unsigned arg;
};

struct sim_world {
	struct sim_clock clock;
	struct sn_rng rng; /* the servers' */
	struct sim_server servers[SIM_SERVERS_MAX];
	unsigned n_servers;
	struct sim_proxy proxies[SIM_PROXIES_MAX];
	struct sim_load loads[SIM_PROXIES_MAX];
	unsigned n_proxies;
	struct sim_thing things[SIM_THINGS_MAX];
	unsigned n_things;
	struct sim_record record;
	double span_s;
	uint64_t seed, open, events;
	uint64_t marks[4]; /* for things that happen to remember numbers in */
};

/* On the heap: it is large. Bins of @bin_s. */
struct sim_world *sim_world_new(uint64_t seed, double span_s, double bin_s);
void sim_world_free(struct sim_world *w);
/* @n servers alike. */
void sim_world_servers(struct sim_world *w, unsigned n, const struct sim_server_settings *set);
/* A proxy whose endpoints are the @n servers from @first on; n 0: none yet. */
struct sim_proxy *sim_world_proxy(struct sim_world *w, const struct sim_proxy_settings *set,
				  unsigned first, unsigned n);
/* From @from_s on, @per_s requests a second come to proxy @i. */
void sim_world_rate(struct sim_world *w, unsigned i, double from_s, double per_s);
void sim_world_at(struct sim_world *w, double at_s, void (*fn)(struct sim_world *w, unsigned arg),
		  unsigned arg);
/* Runs it to its end, and until everything is answered, or a minute longer. */
void sim_world_run(struct sim_world *w);

/* Sums over proxies and servers. */
uint64_t sim_world_requests(const struct sim_world *w, unsigned first_server, unsigned n);
uint64_t sim_world_silent(const struct sim_world *w);

#endif
