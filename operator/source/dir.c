/* SPDX-License-Identifier: Apache-2.0 */
/* inotify says when to look, a poll every 5 s catches what it misses, a content hash says whether
 * there is anything new. */
#include "operator/source/dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/map.h"
#include "base/yaml.h"

#define QUIET_MS 20
#define POLL_MS 5000
#define FILES_MAX 1000
#define EVENTS (IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_CLOSE_WRITE | IN_DELETE | IN_ONLYDIR)

/* The last good documents of one file. */
struct file {
	char hash[SN_HASH_HEX];
	struct sn_arena arena;
	struct sn_val *docs; /* list; NULL: never good */
	char *name;	     /* borrowed by the values */
	bool seen;
};

struct sn_dir_source {
	struct sn_loop *loop;
	struct sn_index *idx;
	char *path;
	struct sn_map files;
	struct sn_io io;
	struct sn_timer quiet, poll;
	sn_dir_changed_fn changed;
	void *arg;
};

static void free_file(void *p)
{
	struct file *f = p;

	sn_arena_done(&f->arena);
	free(f->name);
	free(f);
}

/* Parses the text into the file's record. A broken one keeps the old documents. Returns whether the
 * documents changed. */
static bool take_text(struct file *f, struct sn_slice text)
{
	struct sn_yaml_mark mark = {1, 1};
	struct sn_err err = {0};
	struct sn_arena fresh;
	struct sn_val *docs;
	char hash[SN_HASH_HEX];

	sn_hash_content(text.p, text.n, hash);
	if (strcmp(hash, f->hash) == 0)
		return false;
	memcpy(f->hash, hash, sizeof(hash));
	sn_arena_init(&fresh, 4096, 64u << 20);
	if (sn_yaml_parse_all(&fresh, f->name, text.p, text.n, &docs, &mark, &err)) {
		sn_error("source", "%s:%u:%u: %s; what it held before stays", f->name, mark.line,
			 mark.col, err.msg);
		sn_arena_done(&fresh);
		return false;
	}
	sn_arena_done(&f->arena);
	f->arena = fresh;
	f->docs = docs;
	return true;
}

static struct file *file_of(struct sn_dir_source *s, const char *full)
{
	struct file *f = sn_map_find(&s->files, sn_slice_cstr(full));

	if (f)
		return f;
	f = calloc(1, sizeof(*f));
	if (!f)
		return NULL;
	sn_arena_init(&f->arena, 4096, 64u << 20);
	f->name = strdup(full);
	if (!f->name || sn_map_put(&s->files, sn_slice_cstr(full), f, NULL)) {
		free_file(f);
		return NULL;
	}
	return f;
}

static int wanted(const struct dirent *d)
{
	const char *dot = strrchr(d->d_name, '.');

	return d->d_name[0] != '.' && dot &&
	       (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

/* Returns whether any file's documents changed, came or went. */
static bool read_files(struct sn_dir_source *s)
{
	struct dirent **list = NULL;
	int n = scandir(s->path, &list, wanted, alphasort), i;
	struct sn_map_entry *e, *next;
	bool changed = false;
	char full[4096];

	for (e = sn_map_first(&s->files); e; e = sn_map_next(e))
		((struct file *)sn_map_value(e))->seen = false;
	for (i = 0; i < n; i++) {
		struct file *f;
		struct sn_buf text;

		sn_buf_init(&text, SN_YAML_INPUT_MAX + 131072);
		if (i < FILES_MAX &&
		    snprintf(full, sizeof(full), "%s/%s", s->path, list[i]->d_name) <
			    (int)sizeof(full) &&
		    (f = file_of(s, full))) {
			f->seen = true;
			if (sn_file_read(full, &text))
				sn_error("source", "%s: cannot read", full);
			else
				changed |= take_text(f, sn_buf_slice(&text));
		}
		sn_buf_done(&text);
		free(list[i]);
	}
	free(list);
	if (n < 0)
		return false; /* the directory is away: keep what was there */
	for (e = sn_map_first(&s->files); e; e = next) {
		struct file *f = sn_map_value(e);

		next = sn_map_next(e);
		if (!f->seen) {
			sn_map_take(&s->files, sn_slice_cstr(f->name));
			free_file(f);
			changed = true;
		}
	}
	return changed;
}

static void apply(struct sn_dir_source *s, const struct file *f)
{
	size_t i;

	for (i = 0; i < sn_val_len(f->docs); i++) {
		const struct sn_val *v = sn_val_at(f->docs, i);
		int rc;

		if (v->type == SN_VAL_NULL)
			continue;
		rc = sn_index_apply(s->idx, -1, v);
		if (rc == -SN_EUNSUPP)
			sn_warn("source", "%s:%u:%u: kind \"%s\" is not read", f->name, v->line,
				v->col, sn_val_str(sn_val_get(v, "kind"), ""));
		else if (rc < 0)
			sn_error("source", "%s:%u:%u: not a resource: %s", f->name, v->line, v->col,
				 rc == -SN_ECONF ? "metadata.name is missing" : "out of memory");
	}
}

static bool look(struct sn_dir_source *s)
{
	struct sn_map_entry *e;
	int k;

	if (!read_files(s))
		return false;
	for (k = 0; k < SN_KIND_COUNT; k++)
		sn_index_mark(s->idx, (enum sn_kind)k);
	for (e = sn_map_first(&s->files); e; e = sn_map_next(e))
		apply(s, sn_map_value(e));
	for (k = 0; k < SN_KIND_COUNT; k++)
		sn_index_sweep(s->idx, (enum sn_kind)k);
	return true;
}

static void on_quiet(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_dir_source *s = sn_container_of(t, struct sn_dir_source, quiet);

	(void)now_ms;
	if (look(s))
		s->changed(s->arg);
}

static void on_poll(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_dir_source *s = sn_container_of(t, struct sn_dir_source, poll);

	sn_loop_timer(s->loop, &s->poll, POLL_MS);
	on_quiet(&s->quiet, now_ms);
}

static void on_inotify(struct sn_io *io, uint32_t events)
{
	struct sn_dir_source *s = sn_container_of(io, struct sn_dir_source, io);
	char sink[4096] __attribute__((aligned(8)));

	(void)events;
	while (read(io->fd, sink, sizeof(sink)) > 0) {
	}
	if (!sn_timer_is_set(&s->quiet))
		sn_loop_timer(s->loop, &s->quiet, QUIET_MS);
}

struct sn_dir_source *sn_dir_source_new(struct sn_loop *l, const char *path, struct sn_index *idx,
					sn_dir_changed_fn changed, void *arg, struct sn_err *err)
{
	struct sn_dir_source *s = calloc(1, sizeof(*s));

	if (!s || !(s->path = strdup(path))) {
		free(s);
		sn_err_set(err, SN_ENOMEM, "out of memory");
		return NULL;
	}
	s->loop = l;
	s->idx = idx;
	s->changed = changed;
	s->arg = arg;
	sn_map_init(&s->files);
	sn_timer_init(&s->quiet, on_quiet);
	sn_timer_init(&s->poll, on_poll);
	s->io.cb = on_inotify;
	s->io.fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
	if (s->io.fd < 0 || inotify_add_watch(s->io.fd, path, EVENTS) < 0 ||
	    sn_loop_add(l, &s->io, EPOLLIN, true)) {
		sn_err_sys(err, errno, "--source dir:%s", path);
		sn_dir_source_free(s);
		return NULL;
	}
	look(s);
	sn_loop_timer(l, &s->poll, POLL_MS);
	return s;
}

void sn_dir_source_free(struct sn_dir_source *s)
{
	if (!s)
		return;
	sn_loop_timer_cancel(s->loop, &s->quiet);
	sn_loop_timer_cancel(s->loop, &s->poll);
	if (s->io.fd >= 0) {
		sn_loop_del(s->loop, &s->io);
		close(s->io.fd);
	}
	sn_map_done(&s->files, free_file);
	free(s->path);
	free(s);
}
