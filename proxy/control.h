/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/control.h - the control thread: configuration in, workers supervised, administration, the
 * end of the process. It never touches a connection of the data plane. */
#ifndef SN_PROXY_CONTROL_H
#define SN_PROXY_CONTROL_H

#include "http/responder.h"
#include "proxy/config.h"
#include "proxy/discovery.h"
#include "proxy/retired.h"
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
	struct sn_retired retired; /* snapshots before it that are still in use */
	struct sn_worker **workers;
	unsigned n_workers;
	struct sn_upgrade upgrade;
	int admin_fd; /* the responder's, once it serves */
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
	int exit_code;
	uint64_t started_ms;
};

struct sn_control_options {
	const char *path;	  /* of the configuration */
	const char *state_dir;	  /* where last-good.yaml is */
	const char *upgrade_path; /* of the socket for upgrades in place; NULL: none */
	bool is_dir;
	bool upgrade;	  /* take over from who runs there */
	unsigned workers; /* instead of what the document says; 0: that */
};

/* Runs the process until its end. @first: the configuration to start with (owned from now on), or
 * NULL for a directory that has none yet. Returns the exit code. */
int sn_control_run(struct sn_loop *l, const struct sn_control_options *o, struct sn_config *first);

/* admin.c: binds without listening; listens and answers. */
int sn_admin_bind(struct sn_control *c, struct sn_err *err);
int sn_admin_serve(struct sn_control *c, struct sn_err *err);
/* Tells the proxy at @admin over loopback to "/drain" or "/shutdown". Returns the exit code. */
int sn_admin_tell(const char *admin, const char *what);

/* Looks at the configuration again and applies it if it is whole, good and new. */
void sn_control_reload(struct sn_control *c);
/* Readiness off, inbound drained; no exit. */
void sn_control_drain(struct sn_control *c);
/* As SIGTERM. */
void sn_control_shutdown(struct sn_control *c);
/* upgrade.c: the proxy before us serves no more, we do now. */
void sn_control_take_over(struct sn_control *c);
/* The next one does: readiness off, accepts no more, ends when the last connection has. */
void sn_control_hand_over(struct sn_control *c);
/* The one before us goes on: ends at once, with exit code 1. */
void sn_control_fail(struct sn_control *c);
bool sn_control_is_ready(const struct sn_control *c);

#endif
