/* SPDX-License-Identifier: Apache-2.0 */
/* When to look again. A mounted ConfigMap changes by a rename of its "..data" link: inotify on the
 * directory sees that; an editor's save is a rename or a write. Network file systems tell nothing,
 * so a directory is also looked at every 5 s. Events within 20 ms are one look. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "base/str.h"
#include "proxy/watch.h"

#define QUIET_MS 20
#define POLL_MS 5000
#define EVENTS (IN_MOVED_TO | IN_CREATE | IN_CLOSE_WRITE | IN_ATTRIB | IN_DELETE | IN_ONLYDIR)

struct sn_watch {
	struct sn_io io;
	struct sn_loop *loop;
	sn_watch_cb cb;
	void *arg;
	struct sn_timer quiet, poll;
};

static void on_quiet(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_watch *w = sn_container_of(t, struct sn_watch, quiet);

	(void)now_ms;
	w->cb(w->arg);
}

static void on_poll(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_watch *w = sn_container_of(t, struct sn_watch, poll);

	(void)now_ms;
	sn_loop_timer(w->loop, &w->poll, POLL_MS);
	w->cb(w->arg);
}

static void on_inotify(struct sn_io *io, uint32_t events)
{
	struct sn_watch *w = sn_container_of(io, struct sn_watch, io);
	char sink[4096] __attribute__((aligned(8)));

	(void)events;
	while (read(io->fd, sink, sizeof(sink)) > 0) {
	}
	if (!sn_timer_is_set(&w->quiet))
		sn_loop_timer(w->loop, &w->quiet, QUIET_MS);
}

/* Watches the directory that @path is, or lies in. */
static void watch_place(struct sn_watch *w, const char *path, bool is_dir)
{
	char dir[PATH_MAX];
	char *slash;

	if (sn_slice_copy(sn_slice_cstr(path), dir, sizeof(dir)))
		return;
	slash = strrchr(dir, '/');
	if (!is_dir) {
		if (!slash)
			strncpy(dir, ".", sizeof(dir));
		else if (slash == dir)
			dir[1] = 0;
		else
			*slash = 0;
	}
	if (inotify_add_watch(w->io.fd, dir, EVENTS) < 0)
		sn_warn("config", "cannot watch %s: %s", dir, strerror(errno));
}

/* A link in the directory may point to a file that changes elsewhere: watch that place as well. */
static void watch_links(struct sn_watch *w, const char *dir)
{
	char path[PATH_MAX], target[PATH_MAX];
	struct dirent *e;
	DIR *d = opendir(dir);
	ssize_t n;

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' ||
		    snprintf(path, sizeof(path), "%s/%s", dir, e->d_name) >= (int)sizeof(path))
			continue;
		n = readlink(path, target, sizeof(target) - 1);
		if (n <= 0 || target[0] != '/')
			continue; /* a plain file, or a mounted ConfigMap's own link */
		target[n] = 0;
		watch_place(w, target, false);
	}
	if (d)
		closedir(d);
}

struct sn_watch *sn_watch_new(struct sn_loop *loop, sn_watch_cb cb, void *arg)
{
	struct sn_watch *w = calloc(1, sizeof(*w));

	if (!w)
		return NULL;
	w->loop = loop;
	w->cb = cb;
	w->arg = arg;
	sn_timer_init(&w->quiet, on_quiet);
	sn_timer_init(&w->poll, on_poll);
	w->io.cb = on_inotify;
	w->io.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (w->io.fd < 0 || sn_loop_add(loop, &w->io, EPOLLIN, true)) {
		sn_warn("config", "cannot watch files: %s", strerror(errno));
		sn_watch_free(w);
		return NULL;
	}
	return w;
}

void sn_watch_dir(struct sn_watch *w, const char *path)
{
	watch_place(w, path, true);
	watch_links(w, path);
	sn_loop_timer(w->loop, &w->poll, POLL_MS);
}

void sn_watch_file(struct sn_watch *w, const char *path)
{
	char target[PATH_MAX];

	watch_place(w, path, false);
	if (realpath(path, target) && strcmp(target, path) != 0)
		watch_place(w, target, false);
}

void sn_watch_free(struct sn_watch *w)
{
	if (!w)
		return;
	sn_loop_timer_cancel(w->loop, &w->quiet);
	sn_loop_timer_cancel(w->loop, &w->poll);
	if (w->io.fd >= 0) {
		sn_loop_del(w->loop, &w->io);
		close(w->io.fd);
	}
	free(w);
}
