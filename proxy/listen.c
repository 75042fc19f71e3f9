/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's listening sockets: bound or inherited, then, when nothing can fail any more, listened
 * on. */
#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "net/tls.h"
#include "proxy/conn.h"

#define BACKLOG 1024

/* Binds @at without listening. Returns a descriptor, -SN_ENOENT (no IPv6 here: goes on without), or
 * < 0. */
static int reserve(const struct sn_config_listener *conf, struct sn_addr *at, struct sn_err *err)
{
	struct sn_err why = {0};
	int fd = sn_listener_reserve(at, true, at, &why);

	if (fd >= 0)
		return fd;
	if (at->family == AF_INET6 &&
	    (why.os_errno == EAFNOSUPPORT || why.os_errno == EADDRNOTAVAIL)) {
		sn_info("proxy", "listener %s: %s; going on without IPv6", conf->name, why.msg);
		return -SN_ENOENT;
	}
	*err = why;
	return sn_err_wrap(err, "listener %s", conf->name);
}

static void add_listen(struct sn_worker *w, const struct sn_config_listener *conf, int fd)
{
	struct sn_listen *l = &w->listens[w->n_listens++];

	l->worker = w;
	l->conf = conf;
	l->fd = fd;
	if (conf->tls)
		l->tls = sn_tls_ctx_ref(conf->tls->ctx);
}

/* Our sockets of one address: those that were handed over and are ours, else one of our own. */
static int make_listens(struct sn_worker *w, const struct sn_config_listener *conf,
			struct sn_addr *at, struct sn_handed *handed, struct sn_err *err)
{
	size_t before = w->n_listens;
	int fd;

	while ((fd = sn_handed_take(handed, SN_HANDED_LISTENER, at, w->index, w->n_workers)) >= 0)
		add_listen(w, conf, fd);
	if (w->n_listens > before)
		return 0;
	fd = reserve(conf, at, err);
	if (fd >= 0)
		add_listen(w, conf, fd);
	return fd >= 0 || fd == -SN_ENOENT ? 0 : fd;
}

int sn_listens_make(struct sn_worker *w, struct sn_handed *handed, struct sn_err *err)
{
	struct sn_config *boot = w->boot;
	size_t i, k, n = handed->n;

	for (i = 0; i < boot->n_listeners; i++)
		n += boot->listeners[i].n_addresses;
	w->listens = calloc(n ? n : 1, sizeof(*w->listens));
	if (!w->listens)
		return sn_err_set(err, SN_ENOMEM, "worker: out of memory");
	for (i = 0; i < boot->n_listeners; i++)
		for (k = 0; k < boot->listeners[i].n_addresses; k++) {
			int rc = make_listens(w, &boot->listeners[i],
					      &boot->listeners[i].addresses[k], handed, err);

			if (rc)
				return rc;
		}
	return 0;
}

static int listen_all(struct sn_worker *w, struct sn_err *err)
{
	size_t i;

	for (i = 0; i < w->n_listens; i++)
		if (listen(w->listens[i].fd, BACKLOG))
			return sn_err_sys(err, errno, "listener %s: cannot listen",
					  w->listens[i].conf->name);
	return 0;
}

int sn_listens_accept(struct sn_worker *w, struct sn_err *err)
{
	size_t i;

	for (i = 0; i < w->n_listens; i++) {
		struct sn_listen *l = &w->listens[i];

		l->started = true;
		if (sn_listener_start(&l->listener, w->loop, l->fd, sn_conn_accept))
			return sn_err_set(err, SN_ESYS, "listener %s: cannot be watched",
					  l->conf->name);
		l->listener.use = SN_FD_ACCEPT;
	}
	return 0;
}

int sn_worker_open(struct sn_worker *w, struct sn_err *err)
{
	int rc = listen_all(w, err); /* here: who is told that we are ready may connect at once */

	if (rc)
		return rc;
	if (!w->started)
		return sn_listens_accept(w, err);
	sn_worker_tell(w, SN_ORDER_OPEN);
	return 0;
}

void sn_listens_free(struct sn_worker *w)
{
	size_t i;

	for (i = 0; i < w->n_listens; i++) {
		if (!w->listens[i].started)
			close(w->listens[i].fd);
		sn_listener_close(&w->listens[i].listener);
		sn_tls_ctx_unref(w->listens[i].tls);
	}
	free(w->listens);
	w->listens = NULL;
	w->n_listens = 0;
}
