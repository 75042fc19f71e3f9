/* SPDX-License-Identifier: Apache-2.0 */
/* Start, reload, drain, end.
 *
 *   STARTING --whole document, or waitForRoutes--> READY --drain--> DRAINING
 *      \___________ SIGTERM ______________________/ \____ SIGTERM ____/
 *                       v
 *   DRAINING (accepting for drain.propagation) -> STOPPING (no new connections) -> ENDING
 *
 * STOPPING is patient at first: a request that is on its way on an idle connection is answered,
 * with Connection: close. After SIGTERM that lasts a moment, since who wanted to know that this
 * proxy goes had drain.propagation for it. After an upgrade in place (upgrade.h) nobody needs to
 * know, and it lasts until timeouts.drain.
 */
#include "proxy/control.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"

#define LAST_WORDS_MS 100

enum { APPLIED, UNCHANGED, REJECTED, WAITING };
enum { APPLIED_CERTIFICATE, REJECTED_CERTIFICATE };

static void log_messages(struct sn_buf *messages, enum sn_log_level level)
{
	struct sn_slice rest = sn_buf_slice(messages), line;
	int n = 0;

	while (rest.n && n++ < 20) {
		line = sn_slice_cut(&rest, '\n');
		if (line.n)
			sn_log(level, "config", "%.*s", SN_ARG(line));
	}
}

/* --- last good ----------------------------------------------------------------------------------
 */

static int last_good_path(const struct sn_control *c, char dst[4096], const char *suffix)
{
	return snprintf(dst, 4096, "%s/last-good.yaml%s", c->state_dir, suffix) < 4096 ? 0 : -1;
}

/* Written aside and renamed: a crash leaves the old one. */
static void save_last_good(struct sn_control *c)
{
	char path[4096], tmp[4096];
	struct sn_buf text;
	int fd;

	if (sn_upgrade_is_waiting(&c->upgrade)) /* the file is still the other process's */
		return;
	if (!c->is_dir || last_good_path(c, path, "") || last_good_path(c, tmp, ".tmp"))
		return;
	sn_buf_init(&text, 32u << 20);
	fd = sn_config_text(c->current, &text) == 0
		     ? open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600)
		     : -1;
	if (fd >= 0) {
		struct sn_slice s = sn_buf_slice(&text);
		bool ok = write(fd, s.p, s.n) == (ssize_t)s.n;

		close(fd);
		if (!ok || rename(tmp, path))
			unlink(tmp);
	} else {
		sn_debug("config", "no last-good document can be kept in %s", c->state_dir);
	}
	sn_buf_done(&text);
}

/* --- applying -----------------------------------------------------------------------------------
 */

static void hand_out_endpoints(void *arg, const char *service, struct sn_endpoint_set *set)
{
	struct sn_control *c = arg;
	unsigned i;

	for (i = 0; i < c->n_workers && c->phase < SN_STOPPING; i++)
		sn_worker_set_endpoints(c->workers[i], service, set);
}

static void watch_file(void *arg, const char *path)
{
	sn_watch_file(arg, path);
}

/* What has been discovered goes first: a service is never without it. */
static void hand_out(struct sn_control *c, struct sn_config *conf)
{
	unsigned i;

	conf->snapshot->generation = ++c->generation;
	sn_discovery_adopt(c->discovery, conf, c->current == conf ? NULL : c->current);
	for (i = 0; i < c->n_workers; i++)
		sn_worker_set_snapshot(c->workers[i], conf);
	if (c->current != conf)
		sn_retired_add(&c->retired, c->current->snapshot);
	if (c->current != c->boot)
		sn_config_free(c->current);
	else if (c->current != conf)
		sn_config_retire(c->boot);
	c->current = conf;
	if (c->watch)
		sn_config_each_file(conf, watch_file, c->watch);
}

static void become_ready(struct sn_control *c)
{
	if (c->phase != SN_STARTING)
		return;
	sn_loop_timer_cancel(c->loop, &c->wait_for_routes);
	if (!sn_upgrade_ready(&c->upgrade))
		return;
	c->phase = SN_READY;
	sn_info("proxy", "ready%s%s", c->current->snapshot->revision[0] ? ", revision " : "",
		c->current->snapshot->revision);
}

/* What became of certificates that changed. */
static void count_certificates(struct sn_control *c, const struct sn_config *conf)
{
	size_t i, k;

	for (i = 0; i < conf->n_listeners; i++)
		for (k = 0; k < c->current->n_listeners; k++) {
			const struct sn_config_tls *now = conf->listeners[i].tls;
			const struct sn_config_tls *was = c->current->listeners[k].tls;

			if (!now || !was ||
			    strcmp(conf->listeners[i].name, c->current->listeners[k].name) != 0)
				continue;
			if (now->kept)
				c->certificates[REJECTED_CERTIFICATE]++;
			else if (now->ctx != was->ctx)
				c->certificates[APPLIED_CERTIFICATE]++;
		}
}

/* What the process was started with and does not change: said, rather than ignored in silence. */
static const char *needs_restart(const struct sn_control *c, const struct sn_config *conf)
{
	const struct sn_val *was = c->boot->fixed, *is = conf->fixed;

	if (!sn_val_equal(sn_val_get(was, "listeners"), sn_val_get(is, "listeners")))
		return "listeners";
	if (!sn_val_equal(sn_val_get(was, "admin"), sn_val_get(is, "admin")))
		return "admin";
	if (!sn_val_equal(sn_val_get(was, "workers"), sn_val_get(is, "workers")))
		return "workers";
	return NULL;
}

void sn_control_reload(struct sn_control *c)
{
	struct sn_config *conf = NULL;
	struct sn_buf messages;
	const char *what;

	if (c->phase >= SN_STOPPING)
		return;
	sn_buf_init(&messages, 65536);
	switch (sn_config_load(c->path, c->current, &conf, &messages)) {
	case SN_CONFIG_OK:
		c->reloads[APPLIED]++;
		log_messages(&messages, SN_LOG_WARN);
		what = needs_restart(c, conf);
		if (what)
			sn_warn("config",
				"%s changed: that takes effect when the proxy is started again",
				what);
		count_certificates(c, conf);
		hand_out(c, conf);
		save_last_good(c);
		sn_info("config", "applied%s%s, %zu services",
			conf->snapshot->revision[0] ? " revision " : "", conf->snapshot->revision,
			conf->snapshot->n_services);
		if (conf->has_routes || !c->is_dir) {
			c->config_missing = false;
			become_ready(c);
		}
		break;
	case SN_CONFIG_UNCHANGED:
		c->reloads[UNCHANGED]++;
		break;
	case SN_CONFIG_WAITING:
		c->reloads[WAITING]++;
		break;
	case SN_CONFIG_EMPTY:
		c->reloads[UNCHANGED]++;
		break;
	case SN_CONFIG_REJECTED:
		c->reloads[REJECTED]++;
		log_messages(&messages, SN_LOG_ERROR);
		sn_error("config", "the document is refused, what was there before stays in use");
		break;
	}
	sn_buf_done(&messages);
}

static void on_change(void *arg)
{
	sn_control_reload(arg);
}

static void watch_config(struct sn_control *c)
{
	c->watch = sn_watch_new(c->loop, on_change, c);
	if (!c->watch)
		return;
	if (c->is_dir)
		sn_watch_dir(c->watch, c->path);
	else
		sn_watch_file(c->watch, c->path);
	sn_config_each_file(c->boot, watch_file, c->watch);
}

static void on_wait_over(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_control *c = sn_container_of(t, struct sn_control, wait_for_routes);

	(void)now_ms;
	c->config_missing = true;
	sn_warn("config",
		"no routes after startup.waitForRoutes: passing all traffic to where it was going");
	become_ready(c);
}

/* --- the end ------------------------------------------------------------------------------------
 */

static void tell_workers(struct sn_control *c, enum sn_worker_order what)
{
	unsigned i;

	for (i = 0; i < c->n_workers; i++)
		sn_worker_tell(c->workers[i], what);
}

void sn_control_drain(struct sn_control *c)
{
	if (c->phase >= SN_DRAINING)
		return;
	c->phase = SN_DRAINING;
	sn_info("proxy",
		"draining: not ready any more, inbound connections end after their request");
	tell_workers(c, SN_ORDER_DRAIN);
}

static void on_drain_limit(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_control *c = sn_container_of(t, struct sn_control, drain_limit);

	(void)now_ms;
	if (c->phase == SN_STOPPING) {
		c->phase = SN_ENDING;
		sn_warn("proxy", "timeouts.drain has passed: ending with requests in flight");
		tell_workers(c, SN_ORDER_FORCE);
	}
}

static void *join_workers(void *arg)
{
	struct sn_control *c = arg;
	unsigned i;

	for (i = 0; i < c->n_workers; i++)
		pthread_join(c->workers[i]->thread, NULL);
	sn_loop_stop(c->loop);
	return NULL;
}

static void stop(struct sn_control *c)
{
	sn_loop_timer_cancel(c->loop, &c->propagation);
	c->phase = SN_STOPPING;
	tell_workers(c, SN_ORDER_PATIENT);
	sn_loop_timer(c->loop, &c->drain_limit, c->current->timeouts.drain);
	if (pthread_create(&c->joiner, NULL, join_workers, c))
		exit(1); /* no memory for a thread: nothing is left to be orderly with */
	c->joining = true;
}

/* A worker that has ended already does not hear of it: its loop is only freed at the end. */
static void on_last_words(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	tell_workers(sn_container_of(t, struct sn_control, last_words), SN_ORDER_IDLE);
}

static void on_propagated(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_control *c = sn_container_of(t, struct sn_control, propagation);

	(void)now_ms;
	stop(c);
	sn_loop_timer(c->loop, &c->last_words, LAST_WORDS_MS);
}

void sn_control_shutdown(struct sn_control *c)
{
	bool drained = c->phase == SN_DRAINING;

	if (c->phase >= SN_STOPPING || sn_timer_is_set(&c->propagation))
		return;
	sn_control_drain(c);
	sn_loop_timer(c->loop, &c->propagation, drained ? 0 : c->current->drain_propagation_ms);
}

void sn_control_hand_over(struct sn_control *c)
{
	if (c->phase >= SN_STOPPING)
		return;
	sn_info("proxy", "handed over: what has begun here ends here, in timeouts.drain");
	sn_responder_stop(c->admin);
	stop(c);
}

void sn_control_fail(struct sn_control *c)
{
	c->exit_code = 1;
	if (c->phase >= SN_STOPPING)
		return;
	stop(c);
	tell_workers(c, SN_ORDER_FORCE);
}

bool sn_control_is_ready(const struct sn_control *c)
{
	return c->phase == SN_READY;
}

static void on_signal(struct sn_io *io, uint32_t events)
{
	struct sn_control *c = sn_container_of(io, struct sn_control, signals);
	struct signalfd_siginfo si;

	(void)events;
	while (read(io->fd, &si, sizeof(si)) == (ssize_t)sizeof(si)) {
		if (si.ssi_signo == SIGHUP) {
			sn_control_reload(c);
		} else {
			sn_info("proxy", "%s", strsignal((int)si.ssi_signo));
			sn_control_shutdown(c);
		}
	}
}

/* --- start --------------------------------------------------------------------------------------
 */

static int watch_signals(struct sn_control *c, struct sn_err *err)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	c->signals.cb = on_signal;
	c->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (c->signals.fd < 0 || sn_loop_add(c->loop, &c->signals, EPOLLIN, true))
		return sn_err_sys(err, errno, "signals");
	return 0;
}

static void raise_limits(void)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur < rl.rlim_max) {
		rl.rlim_cur = rl.rlim_max;
		(void)setrlimit(RLIMIT_NOFILE, &rl);
	}
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	mallopt(M_MMAP_THRESHOLD, 128 * 1024); /* whatever was freed until now */
}

static int make_workers(struct sn_control *c, unsigned override, struct sn_err *err)
{
	unsigned n = override ? override : c->boot->workers, i;
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (n == 0)
		n = cpus > 0 && cpus < 64 ? (unsigned)cpus : 1;
	c->workers = calloc(n, sizeof(struct sn_worker *));
	if (!c->workers)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	for (i = 0; i < n; i++) {
		c->workers[i] = sn_worker_new(c->boot, i, n, &c->upgrade.handed, err);
		if (!c->workers[i])
			return -(int)err->code;
		c->n_workers++;
	}
	hand_out(c, c->boot);
	return 0;
}

static int start_workers(struct sn_control *c, struct sn_err *err)
{
	unsigned i;
	int rc = 0;

	for (i = 0; i < c->n_workers && rc == 0; i++)
		rc = sn_worker_start(c->workers[i], err);
	return rc;
}

/* Accepts from now on: connections, administration, a successor. */
static int serve(struct sn_control *c, struct sn_err *err)
{
	unsigned i;
	int rc = 0;

	for (i = 0; i < c->n_workers && rc == 0; i++)
		rc = sn_worker_open(c->workers[i], err);
	if (rc == 0)
		rc = sn_admin_serve(c, err);
	if (rc == 0)
		sn_upgrade_serve(&c->upgrade);
	return rc;
}

void sn_control_take_over(struct sn_control *c)
{
	struct sn_err err = {0};

	if (c->phase >= SN_STOPPING)
		return;
	if (serve(c, &err)) {
		sn_error("proxy", "%s", err.msg);
		sn_control_fail(c);
	} else if (c->upgrade.said_ready) {
		become_ready(c);
		save_last_good(c);
	}
}

static struct sn_config *load_last_good(const struct sn_control *c)
{
	struct sn_config *conf = NULL;
	struct sn_buf messages;
	char path[4096];

	if (last_good_path(c, path, ""))
		return NULL;
	sn_buf_init(&messages, 65536);
	if (sn_config_load(path, NULL, &conf, &messages) == SN_CONFIG_OK) {
		conf->hash[0] = 0; /* what the directory holds is to be looked at all the same */
		sn_warn("config", "starting with the last good document, %s", path);
	}
	sn_buf_done(&messages);
	return conf;
}

/* Without its routes a sidecar still has the listeners, limits and ports of its own pod. */
static struct sn_config *load_pod(const struct sn_control *c)
{
	struct sn_config *conf = NULL;
	struct sn_buf messages; /* said before, when all of it was looked at */

	sn_buf_init(&messages, 65536);
	if (c->is_dir && sn_config_load_pod(c->path, &conf, &messages) == SN_CONFIG_OK)
		sn_warn("config", "starting without the routes in %s", c->path);
	sn_buf_done(&messages);
	return conf;
}

/* What a directory without anything usable is served with: a transparent sidecar without routes. */
static struct sn_config *passthrough(void)
{
	static const char text[] = "version: 1\n"
				   "admin: {address: \"[::]:4191\"}\n"
				   "drain: {propagation: 0s}\n"
				   "listeners:\n"
				   "- {name: outbound, address: [\"127.0.0.1:4140\", "
				   "\"[::1]:4140\"], direction: outbound, transparent: true}\n"
				   "- {name: inbound, address: \"[::]:4143\", direction: inbound, "
				   "transparent: true}\n";
	struct sn_config *conf = NULL;
	struct sn_buf messages;

	sn_buf_init(&messages, 4096);
	sn_config_parse("built-in", sn_slice(text, sizeof(text) - 1), NULL, NULL, &conf, &messages);
	sn_buf_done(&messages);
	return conf;
}

/* Nothing is listened on before all of it is bound; a second proxy of the same user, which could
 * bind the same listeners, fails at the admin address, which is first. */
static int open_up(struct sn_control *c, const struct sn_control_options *o, struct sn_err *err)
{
	int rc = sn_upgrade_init(&c->upgrade, c, o->upgrade_path, o->upgrade, err);

	if (rc == 0)
		rc = sn_admin_bind(c, err);
	if (rc == 0)
		rc = make_workers(c, o->workers, err);
	if (rc == 0)
		rc = sn_upgrade_settle(&c->upgrade, err);
	if (rc == 0 && !sn_upgrade_is_waiting(&c->upgrade))
		rc = serve(c, err);
	return rc ? rc : start_workers(c, err);
}

static int start(struct sn_control *c, struct sn_config *first, const struct sn_control_options *o,
		 struct sn_err *err)
{
	int rc;

	c->boot = first ? first : load_last_good(c);
	if (!c->boot)
		c->boot = load_pod(c);
	if (!c->boot)
		c->boot = passthrough();
	if (!c->boot)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	c->current = c->boot;
	sn_timer_init(&c->wait_for_routes, on_wait_over);
	sn_timer_init(&c->propagation, on_propagated);
	sn_timer_init(&c->last_words, on_last_words);
	sn_timer_init(&c->drain_limit, on_drain_limit);
	sn_retired_init(&c->retired, c->loop);
	c->discovery = sn_discovery_new(c->loop, hand_out_endpoints, c);
	if (!c->discovery)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	rc = watch_signals(c, err);
	if (rc == 0)
		rc = open_up(c, o, err);
	if (rc)
		return rc;
	watch_config(c);
	if (!c->is_dir || c->boot->has_routes) {
		become_ready(c);
		save_last_good(c);
	} else {
		sn_loop_timer(c->loop, &c->wait_for_routes, c->boot->wait_for_routes_ms);
	}
	return 0;
}

int sn_control_run(struct sn_loop *l, const struct sn_control_options *o, struct sn_config *first)
{
	struct sn_control c = {.loop = l,
			       .path = o->path,
			       .state_dir = o->state_dir,
			       .is_dir = o->is_dir,
			       .admin_fd = -1};
	struct sn_err err = {0};
	unsigned i;

	raise_limits();
	if (start(&c, first, o, &err)) {
		sn_error("proxy", "%s", err.msg);
		return err.code == SN_ESYS ? 1 : 2;
	}
	sn_loop_run(l);
	if (c.joining) /* it may still be inside sn_loop_stop() */
		pthread_join(c.joiner, NULL);
	sn_info("proxy", "ended");
	sn_watch_free(c.watch);
	sn_discovery_free(c.discovery);
	if (!c.admin && c.admin_fd >= 0) /* it never served */
		close(c.admin_fd);
	sn_responder_free(c.admin);
	sn_upgrade_done(&c.upgrade);
	for (i = 0; i < c.n_workers; i++)
		sn_worker_free(c.workers[i]);
	free(c.workers);
	sn_retired_done(&c.retired);
	if (c.current != c.boot)
		sn_config_free(c.current);
	sn_config_free(c.boot);
	close(c.signals.fd);
	return c.exit_code;
}
