/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/control.h - the control thread: configuration in, workers supervised, administration, the
 * end of the process. It never touches a connection of the data plane. */
#ifndef SN_PROXY_CONTROL_H
#define SN_PROXY_CONTROL_H

#include "http/responder.h"
#include "proxy/config.h"
#include "proxy/discovery.h"
#include "proxy/watch.h"
#include "proxy/worker.h"

enum sn_control_phase { SN_STARTING, SN_READY, SN_DRAINING, SN_STOPPING, SN_ENDING };

struct sn_control {
	struct sn_loop *loop;
	const char *path;      /* of the configuration */
	const char *state_dir; /* last-good.yaml */
	bool is_dir;
	struct sn_config *boot;	   /* listeners, admin: as started */
	struct sn_config *current; /* routes in use; may be boot */
	struct sn_worker **workers;
	unsigned n_workers;
	struct sn_responder *admin;
	struct sn_watch *watch;
	struct sn_discovery *discovery;
	enum sn_control_phase phase;
	bool config_missing;	  /* serving without routes */
	uint64_t reloads[4];	  /* applied unchanged rejected waiting */
	uint64_t certificates[2]; /* of listeners, changed while running: applied rejected */
	uint64_t generation;
	struct sn_timer wait_for_routes, propagation, last_words, drain_limit;
	struct sn_io signals;
	pthread_t joiner; /* waits for the workers' threads, then ends the loop */
	bool joining;
	uint64_t started_ms;
};

/* Runs the process until its end. @first: the configuration to start with (owned from now on), or
 * NULL for a directory that has none yet. Returns the exit code. */
int sn_control_run(struct sn_loop *l, const char *path, const char *state_dir, bool is_dir,
		   struct sn_config *first, unsigned workers_override);

/* admin.c */
int sn_admin_start(struct sn_control *c, struct sn_err *err);
/* Tells the proxy at @admin over loopback to "/drain" or "/shutdown". Returns the exit code. */
int sn_admin_tell(const char *admin, const char *what);

/* Looks at the configuration again and applies it if it is whole, good and new. */
void sn_control_reload(struct sn_control *c);
/* Readiness off, inbound drained; no exit. */
void sn_control_drain(struct sn_control *c);
/* As SIGTERM. */
void sn_control_shutdown(struct sn_control *c);
bool sn_control_is_ready(const struct sn_control *c);

#endif
