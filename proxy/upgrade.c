/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of an upgrade in place. The old one waits for a successor for as long as it runs, and
 * until it has said `yours` whatever happens to the successor changes nothing; the new one asks
 * once, when it starts. An old one that ends without a word has left us its sockets all the same.
 */
#include "proxy/upgrade.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/num.h"
#include "net/fdpass.h"
#include "net/listener.h"
#include "proxy/control.h"

#define PROTOCOL 1
#define ANSWER_MS 5000 /* to a message */
#define READY_MS 30000 /* from the sockets to `ready` */

/* --- messages and sockets, without a process
 * -------------------------------------------------------------- */

bool sn_upgrade_parse_hello(const char *text, struct sn_upgrade_hello *ret)
{
	struct sn_slice rest = sn_slice_cstr(text), word = sn_slice_cut(&rest, ' ');
	struct sn_slice protocol, version;

	if (!sn_slice_eq_cstr(word, "sennit-upgrade"))
		return false;
	protocol = sn_slice_cut(&rest, ' ');
	version = sn_slice_cut(&rest, ' ');
	return sn_num_u64(protocol, UINT32_MAX, &ret->protocol) == 0 && version.n > 0 &&
	       sn_slice_copy(version, ret->version, sizeof(ret->version)) == 0 &&
	       sn_num_u64(rest, INT32_MAX, &ret->pid) == 0;
}

int sn_handed_take(struct sn_handed *h, enum sn_handed_kind kind, const struct sn_addr *at,
		   unsigned index, unsigned n_workers)
{
	size_t i, nth = 0;
	int fd;

	for (i = 0; i < h->n; i++) {
		struct sn_handed_socket *s = &h->sockets[i];

		if (s->kind != kind || (at && !sn_addr_eq(&s->at, at)))
			continue;
		if (nth++ % n_workers != index || s->fd < 0)
			continue;
		fd = s->fd;
		s->fd = -1;
		return fd;
	}
	return -1;
}

const char *sn_upgrade_result_name(enum sn_upgrade_result r)
{
	static const char *const names[] = {"taken", "refused", "failed"};

	return names[r];
}

static void drop_handed(struct sn_upgrade *u)
{
	size_t i;

	for (i = 0; i < u->handed.n; i++)
		if (u->handed.sockets[i].fd >= 0)
			close(u->handed.sockets[i].fd);
	free(u->handed.sockets);
	memset(&u->handed, 0, sizeof(u->handed));
}

static bool option_is(int fd, int name, int value)
{
	socklen_t n = sizeof(int);
	int is = 0;

	return getsockopt(fd, SOL_SOCKET, name, &is, &n) == 0 && is == value;
}

/* What somebody hands us is what it says, or nothing is believed. */
static bool is_what_it_should_be(const struct sn_handed_socket *s)
{
	int flags = fcntl(s->fd, F_GETFL);

	if (!option_is(s->fd, SO_ACCEPTCONN, 1) || flags < 0 ||
	    fcntl(s->fd, F_SETFL, flags | O_NONBLOCK)) /* else accepting would wait for ever */
		return false;
	if (s->kind == SN_HANDED_DOOR)
		return option_is(s->fd, SO_DOMAIN, AF_UNIX);
	return (s->kind == SN_HANDED_LISTENER || s->kind == SN_HANDED_ADMIN) &&
	       option_is(s->fd, SO_TYPE, SOCK_STREAM) && s->at.port != 0;
}

static void send_hello(int fd)
{
	char text[SN_FDPASS_TEXT_MAX];
	int n = snprintf(text, sizeof(text), "sennit-upgrade %d %s %d", PROTOCOL, SN_VERSION,
			 (int)getpid());

	(void)sn_fdpass_send(fd, sn_slice(text, (size_t)n), NULL,
			     0); /* a loss shows in the answer */
}

/* --- the new one asks
 * -------------------------------------------------------------------------------------- */

static int hear(struct sn_upgrade *u, struct sn_fdpass_message *m, struct sn_err *err)
{
	int rc = sn_fdpass_recv(u->talk.fd, m, true);

	if (rc == 0 && strncmp(m->text, "refused ", 8) == 0)
		return sn_err_set(err, SN_ESYS, "the running proxy refuses: %s", m->text + 8);
	if (rc == -SN_EAGAIN)
		return sn_err_set(err, SN_ESYS, "the running proxy does not answer");
	return rc ? sn_err_set(err, SN_ESYS, "the running proxy broke off: %s", sn_code_name(rc))
		  : 0;
}

/* The descriptors of one message. */
static int keep(struct sn_upgrade *u, const struct sn_fdpass_message *m, size_t expected)
{
	bool good = strncmp(m->text, "take ", 5) == 0 && m->n_fds > 0 && m->n == 5 + m->n_fds &&
		    u->handed.n + m->n_fds <= expected;
	size_t i;

	for (i = 0; i < m->n_fds; i++) {
		struct sn_handed_socket *s;

		if (!good) {
			close(m->fds[i]);
			continue;
		}
		s = &u->handed.sockets[u->handed.n++];
		s->fd = m->fds[i];
		s->kind = (enum sn_handed_kind)m->text[5 + i];
		(void)sn_listener_address(s->fd, &s->at);
		good = is_what_it_should_be(s);
	}
	return good ? 0 : -SN_EPROTO;
}

static int receive_all(struct sn_upgrade *u, struct sn_err *err)
{
	struct sn_fdpass_message m;
	uint64_t n = 0;
	int rc = hear(u, &m, err);

	if (rc)
		return rc;
	if (strncmp(m.text, "sockets ", 8) != 0 || m.n_fds != 0 ||
	    sn_num_u64(sn_slice_cstr(m.text + 8), SN_HANDED_MAX, &n))
		return sn_err_set(err, SN_ESYS, "the running proxy says what it should not");
	u->handed.sockets = calloc(n ? n : 1, sizeof(*u->handed.sockets));
	if (!u->handed.sockets)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	while (u->handed.n < n) {
		rc = hear(u, &m, err);
		if (rc)
			return rc;
		if (keep(u, &m, n))
			return sn_err_set(err, SN_ESYS,
					  "the running proxy hands over what it should not");
	}
	return 0;
}

static int ask(struct sn_upgrade *u, struct sn_err *err)
{
	struct sn_fdpass_message m;
	int rc;

	u->talk.fd = sn_fdpass_connect(u->path, ANSWER_MS, err);
	if (u->talk.fd == -SN_ENOENT) {
		u->talk.fd = -1;
		sn_info("upgrade", "%s: no proxy runs there, starting without", u->path);
		return 0;
	}
	if (u->talk.fd < 0) {
		u->talk.fd = -1;
		err->code = SN_ESYS;
		return sn_err_wrap(err, "upgrade");
	}
	rc = hear(u, &m, err);
	while (rc == 0 && m.n_fds)
		close(m.fds[--m.n_fds]);
	if (rc == 0 && !sn_upgrade_parse_hello(m.text, &u->peer))
		rc = sn_err_set(err, SN_ESYS, "%s: what listens there is no proxy", u->path);
	if (rc == 0) {
		send_hello(u->talk.fd); /* whether the versions go together the old one says */
		rc = receive_all(u, err);
	}
	if (rc)
		return rc;
	u->with = SN_TALK_OLD;
	sn_info("upgrade", "%zu sockets from process %" PRIu64 ", version %s", u->handed.n,
		u->peer.pid, u->peer.version);
	return 0;
}

int sn_upgrade_settle(struct sn_upgrade *u, struct sn_err *err)
{
	if (!u->path)
		return 0;
	u->door.fd = sn_handed_take(&u->handed, SN_HANDED_DOOR, NULL, 0, 1);
	drop_handed(
		u); /* of addresses that are not configured any more: the old one sees to them */
	if (u->door.fd < 0)
		u->door.fd = sn_fdpass_listen(u->path, err);
	if (u->door.fd >= 0)
		return 0;
	u->door.fd = -1;
	err->code = SN_ESYS;
	return sn_err_wrap(err, "upgrade socket (--upgrade takes over from a proxy that runs)");
}

/* --- conversations on the loop
 * ----------------------------------------------------------------------------- */

static void hang_up(struct sn_upgrade *u)
{
	sn_loop_timer_cancel(u->c->loop, &u->limit);
	sn_loop_del(u->c->loop, &u->talk);
	if (u->talk.fd >= 0)
		close(u->talk.fd);
	u->talk.fd = -1;
	u->with = SN_TALK_NONE;
}

static void refuse(struct sn_upgrade *u, int fd, enum sn_upgrade_result result, const char *why)
{
	char text[SN_FDPASS_TEXT_MAX];
	int n = snprintf(text, sizeof(text), "refused %s", why);

	u->counts[result]++;
	sn_warn("upgrade", "process %d may not take over: %s", (int)sn_fdpass_peer_pid(fd), why);
	(void)sn_fdpass_send(fd, sn_slice(text, (size_t)n), NULL, 0);
}

/* The successor is not one: as if nothing had been. */
static void give_up(struct sn_upgrade *u, enum sn_upgrade_result result, const char *why)
{
	refuse(u, u->talk.fd, result, why);
	hang_up(u);
}

/* Our own sockets, in the order in which a successor shall have them. */
static size_t collect(const struct sn_control *c, int *fds, char *kinds)
{
	size_t n = 0, k;
	unsigned i;

	fds[n] = c->upgrade.door.fd;
	kinds[n++] = SN_HANDED_DOOR;
	fds[n] = c->admin_fd;
	kinds[n++] = SN_HANDED_ADMIN;
	for (k = 0;; k++) { /* every worker's first, every worker's second ... */
		size_t before = n;

		for (i = 0; i < c->n_workers && n < SN_HANDED_MAX; i++)
			if (k < c->workers[i]->n_listens) {
				fds[n] = c->workers[i]->listens[k].fd;
				kinds[n++] = SN_HANDED_LISTENER;
			}
		if (n == before)
			return n;
	}
}

/* Returns 0, or < 0: it could not be sent. */
static int give(struct sn_upgrade *u)
{
	int fds[SN_HANDED_MAX];
	char kinds[SN_HANDED_MAX];
	char text[SN_FDPASS_TEXT_MAX];
	size_t n = collect(u->c, fds, kinds), at, part;
	int len = snprintf(text, sizeof(text), "sockets %zu", n);
	int rc = sn_fdpass_send(u->talk.fd, sn_slice(text, (size_t)len), NULL, 0);

	for (at = 0; rc == 0 && at < n; at += part) {
		part = n - at < SN_FDPASS_FDS_MAX ? n - at : SN_FDPASS_FDS_MAX;
		snprintf(text, sizeof(text), "take ");
		memcpy(text + 5, kinds + at, part);
		rc = sn_fdpass_send(u->talk.fd, sn_slice(text, 5 + part), fds + at, part);
	}
	return rc;
}

static void on_hello(struct sn_upgrade *u, const char *text)
{
	char why[96];

	if (!sn_upgrade_parse_hello(text, &u->peer)) {
		give_up(u, SN_UPGRADE_REFUSED, "it does not introduce itself");
	} else if (u->peer.protocol != PROTOCOL) {
		snprintf(why, sizeof(why), "sennit-upgrade %d is spoken here, not %" PRIu64,
			 PROTOCOL, u->peer.protocol);
		give_up(u, SN_UPGRADE_REFUSED, why);
	} else if (give(u)) {
		give_up(u, SN_UPGRADE_FAILED, "the sockets cannot be sent");
	} else {
		u->with = SN_TALK_GIVEN;
		sn_loop_timer(u->c->loop, &u->limit, READY_MS);
		sn_info("upgrade",
			"process %" PRIu64 ", version %s, has the sockets and gets ready",
			u->peer.pid, u->peer.version);
	}
}

static void on_ready(struct sn_upgrade *u, const char *text)
{
	if (strcmp(text, "ready") != 0) {
		give_up(u, SN_UPGRADE_FAILED, "it says what it should not");
	} else if (sn_fdpass_send(u->talk.fd, SN_SLICE("yours"), NULL, 0)) {
		give_up(u, SN_UPGRADE_FAILED, "it has gone");
	} else {
		sn_info("upgrade", "process %" PRIu64 ", version %s, serves from now on",
			u->peer.pid, u->peer.version);
		sn_upgrade_done(u);
		sn_control_hand_over(u->c);
	}
}

/* From the one that served before us. */
static void on_old(struct sn_upgrade *u, int rc, const char *text)
{
	struct sn_control *c = u->c;

	if (rc == 0 && u->said_ready && strcmp(text, "yours") == 0) {
		sn_info("upgrade", "taken over from process %" PRIu64, u->peer.pid);
		u->counts[SN_UPGRADE_TAKEN]++;
	} else if (rc == -SN_EOF || rc == -SN_ECONN) {
		sn_warn("upgrade", "process %" PRIu64 " has ended without a word: serving alone",
			u->peer.pid);
		u->counts[SN_UPGRADE_TAKEN]++;
	} else {
		sn_error("upgrade", "process %" PRIu64 " goes on itself: %s", u->peer.pid,
			 rc ? sn_code_name(rc) : text);
		hang_up(u);
		sn_control_fail(c);
		return;
	}
	hang_up(u);
	sn_control_take_over(c);
}

static void on_talk(struct sn_io *io, uint32_t events)
{
	struct sn_upgrade *u = sn_container_of(io, struct sn_upgrade, talk);
	struct sn_fdpass_message m;
	int rc = sn_fdpass_recv(io->fd, &m, false);

	(void)events;
	if (rc == -SN_EAGAIN)
		return;
	if (u->with == SN_TALK_OLD) {
		on_old(u, rc, m.text);
	} else if ((rc == -SN_EOF || rc == -SN_ECONN) && u->with == SN_TALK_HELLO) {
		hang_up(u); /* it only wanted to know whether somebody is here */
	} else if (rc) {
		give_up(u, SN_UPGRADE_FAILED, "it ended before it was ready");
	} else if (u->with == SN_TALK_HELLO) {
		on_hello(u, m.text);
	} else {
		on_ready(u, m.text);
	}
}

static void on_limit(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_upgrade *u = sn_container_of(t, struct sn_upgrade, limit);

	(void)now_ms;
	if (u->with == SN_TALK_OLD)
		on_old(u, -SN_ETIMEOUT, "");
	else if (u->with == SN_TALK_GIVEN)
		give_up(u, SN_UPGRADE_FAILED, "it was not ready within 30 s");
	else
		give_up(u, SN_UPGRADE_FAILED, "it says nothing");
}

static const char *reason_against(const struct sn_upgrade *u)
{
	if (u->with != SN_TALK_NONE)
		return "another upgrade is under way";
	if (u->c->phase >= SN_STOPPING)
		return "this proxy is ending";
	return u->c->phase == SN_DRAINING ? "this proxy is draining" : NULL;
}

static void on_door(struct sn_io *io, uint32_t events)
{
	struct sn_upgrade *u = sn_container_of(io, struct sn_upgrade, door);
	struct sn_err err = {0};
	int fd = sn_fdpass_accept(io->fd, &err);
	const char *against = reason_against(u);

	(void)events;
	if (fd == -SN_EPROTO) {
		u->counts[SN_UPGRADE_REFUSED]++;
		sn_warn("upgrade", "refused: %s", err.msg);
	}
	if (fd < 0)
		return;
	if (against) {
		refuse(u, fd, SN_UPGRADE_REFUSED, against);
		close(fd);
		return;
	}
	u->talk.fd = fd;
	u->with = SN_TALK_HELLO;
	send_hello(fd);
	if (sn_loop_add(u->c->loop, &u->talk, EPOLLIN, true))
		hang_up(u);
	else
		sn_loop_timer(u->c->loop, &u->limit, ANSWER_MS);
}

int sn_upgrade_init(struct sn_upgrade *u, struct sn_control *c, const char *path, bool take,
		    struct sn_err *err)
{
	u->c = c;
	u->path = path;
	u->door = (struct sn_io){.fd = -1, .cb = on_door};
	u->talk = (struct sn_io){.fd = -1, .cb = on_talk};
	sn_timer_init(&u->limit, on_limit);
	if (!path || !take || ask(u, err) == 0)
		return u->with == SN_TALK_OLD && sn_loop_add(c->loop, &u->talk, EPOLLIN, true)
			       ? sn_err_sys(err, errno, "upgrade")
			       : 0;
	return -(int)err->code;
}

bool sn_upgrade_is_waiting(const struct sn_upgrade *u)
{
	return u->with == SN_TALK_OLD;
}

bool sn_upgrade_ready(struct sn_upgrade *u)
{
	if (u->with != SN_TALK_OLD)
		return true;
	if (!u->said_ready) {
		u->said_ready = true;
		(void)sn_fdpass_send(u->talk.fd, SN_SLICE("ready"), NULL, 0); /* its end is heard */
		sn_loop_timer(u->c->loop, &u->limit, ANSWER_MS);
	}
	return false;
}

void sn_upgrade_serve(struct sn_upgrade *u)
{
	if (u->door.fd >= 0 && sn_loop_add(u->c->loop, &u->door, EPOLLIN, true))
		sn_error("upgrade", "%s cannot be watched: nobody can take over", u->path);
}

void sn_upgrade_done(struct sn_upgrade *u)
{
	if (!u->path)
		return;
	hang_up(u);
	drop_handed(u);
	sn_loop_del(u->c->loop, &u->door);
	if (u->door.fd >= 0)
		close(u->door.fd);
	u->door.fd = -1;
}
