/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/upgrade.h - a new proxy takes the listening sockets of the one that runs, over a Unix
 * socket, so that no connection is refused or lost (after HAProxy's `-x`, Envoy's hot restart and
 * tableflip).
 *
 *   new                                     old
 *    | ------------ connects -------------> |
 *    | <--- sennit-upgrade 1 VERSION PID -- |   or: refused REASON
 *    | ---- sennit-upgrade 1 VERSION PID -> |
 *    | <--- sockets N, take KINDS ... ----- |   with the descriptors
 *    | binds what it lacks, reads routes    |   goes on as ever: 30 s, then: refused REASON
 *    | ------------- ready ---------------> |
 *    | <------------ yours ---------------- |   accepts no more, drains, ends
 *    | accepts                              |
 *
 * The new one accepts nothing, and listens on nothing of its own, before `yours`: until then it may
 * fail and nobody notices; what connects meanwhile waits in the kernel's queue of a socket that
 * both have. The Unix socket is handed over like the others, so its path always leads to the proxy
 * that serves. Each end must be of our user (net/fdpass.h). Control thread only. */
#ifndef SN_PROXY_UPGRADE_H
#define SN_PROXY_UPGRADE_H

#include "net/addr.h"
#include "net/loop.h"

#define SN_HANDED_MAX 4096

struct sn_control;

enum sn_handed_kind { SN_HANDED_LISTENER = 'w', SN_HANDED_ADMIN = 'a', SN_HANDED_DOOR = 'd' };

/* Sockets from the proxy before us, in the order in which it had them. */
struct sn_handed {
	struct sn_handed_socket {
		int fd; /* -1: taken */
		enum sn_handed_kind kind;
		struct sn_addr at; /* not of a door */
	} * sockets;
	size_t n;
};

/* Takes the next socket of that address (NULL: any) that is worker @index's of @n_workers: they are
 * dealt out in turn, so that each has an owner however many there are and were. Returns a
 * descriptor, the caller's, or -1. */
int sn_handed_take(struct sn_handed *h, enum sn_handed_kind kind, const struct sn_addr *at,
		   unsigned index, unsigned n_workers);

/* A message that introduces: false when @text is none. */
struct sn_upgrade_hello {
	uint64_t protocol, pid;
	char version[32];
};
bool sn_upgrade_parse_hello(const char *text, struct sn_upgrade_hello *ret);

enum sn_upgrade_result {
	SN_UPGRADE_TAKEN,
	SN_UPGRADE_REFUSED,
	SN_UPGRADE_FAILED,
	SN_UPGRADE_RESULTS
};
const char *sn_upgrade_result_name(enum sn_upgrade_result r);

struct sn_upgrade {
	struct sn_control *c;
	const char *path; /* NULL: no upgrades */
	struct sn_handed handed;
	struct sn_io door; /* where the next one asks; fd -1: none */
	struct sn_io talk; /* with the one before us, or after us; fd -1: nobody */
	enum { SN_TALK_NONE, SN_TALK_OLD, SN_TALK_HELLO, SN_TALK_GIVEN } with;
	bool said_ready;
	struct sn_upgrade_hello peer;
	struct sn_timer limit;
	uint64_t counts[SN_UPGRADE_RESULTS];
};

/* @path NULL: does nothing, ever. With @take asks who runs there for its sockets, which are then in
 * u->handed (nobody: none). Blocks, at most 5 s a message. Returns 0 or < 0 with @err. */
int sn_upgrade_init(struct sn_upgrade *u, struct sn_control *c, const char *path, bool take,
		    struct sn_err *err);
/* Everything has been taken that is wanted: closes the others, and has a Unix socket, handed or
 * new. */
int sn_upgrade_settle(struct sn_upgrade *u, struct sn_err *err);
/* Somebody before us still serves. */
bool sn_upgrade_is_waiting(const struct sn_upgrade *u);
/* We could serve. True: nobody before us does. False: the one before us has been told, and
 * sn_control_take_over() or sn_control_fail() follows. */
bool sn_upgrade_ready(struct sn_upgrade *u);
/* We serve: the next one may ask. */
void sn_upgrade_serve(struct sn_upgrade *u);
/* Closes what it has. */
void sn_upgrade_done(struct sn_upgrade *u);

#endif
