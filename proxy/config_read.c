/* SPDX-License-Identifier: Apache-2.0 */
/* From the file system to a configuration: which files, in which order, how large, and what counts
 * as "not there yet". */
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/file.h"
#include "base/yaml.h"
#include "mesh/endpoints.h"
#include "net/tls.h"
#include "proxy/config_int.h"

#define FILES_MAX 64
#define TOTAL_MAX ((size_t)16 << 20)
#define TEXT_MAX ((size_t)32 << 20)

struct files {
	size_t n;
	char *names[FILES_MAX];
	struct sn_buf texts[FILES_MAX];
};

/* A file that the document names. */
static int read_named_file(void *arg, const char *path, struct sn_buf *out)
{
	struct sn_buf *all = arg; /* what the hash is made of */
	char hex[SN_HASH_HEX];
	int rc = sn_file_read(path, out);

	if (rc)
		return rc;
	sn_hash_content(sn_buf_slice(out).p, sn_buf_len(out), hex);
	return sn_buf_puts(all, hex) ? -ENOMEM : 0;
}

static int wanted(const struct dirent *d)
{
	size_t n = strlen(d->d_name);

	return d->d_name[0] != '.' && ((n > 5 && strcmp(d->d_name + n - 5, ".yaml") == 0) ||
				       (n > 4 && strcmp(d->d_name + n - 4, ".yml") == 0));
}

/* Adds one file, if it can be read. */
static int add_file(struct files *fs, const char *path, struct sn_buf *messages)
{
	struct sn_buf *text = &fs->texts[fs->n];
	int rc;

	if (fs->n == FILES_MAX) {
		sn_buf_printf(messages, "%s:0:0: more than %d files\n", path, FILES_MAX);
		return -SN_ELIMIT;
	}
	fs->names[fs->n] = strdup(path);
	if (!fs->names[fs->n])
		return -SN_ENOMEM;
	sn_buf_init(text, SN_YAML_INPUT_MAX + 65536 * 2);
	fs->n++;
	rc = sn_file_read(path, text);
	if (rc == 0)
		return 0;
	fs->n--;
	free(fs->names[fs->n]);
	sn_buf_done(text);
	if (rc == -ENOENT) /* a link whose target is not there yet: as if it were not there */
		return 0;
	if (rc == -EFBIG)
		sn_buf_printf(messages, "%s:1:1: larger than 1 MiB\n", path);
	else
		sn_buf_printf(messages, "%s:0:0: cannot read: %s\n", path, strerror(-rc));
	return -SN_ESYS;
}

static int read_dir(struct files *fs, const char *path, struct sn_buf *messages)
{
	struct dirent **list = NULL;
	int n = scandir(path, &list, wanted, alphasort), i, one, rc = 0;
	char full[4096];

	if (n < 0 && errno == ENOENT)
		return 0;
	if (n < 0) {
		sn_buf_printf(messages, "%s:0:0: cannot read: %s\n", path, strerror(errno));
		return -SN_ESYS;
	}
	for (i = 0; i < n; i++) {
		if (rc != -SN_ELIMIT && snprintf(full, sizeof(full), "%s/%s", path,
						 list[i]->d_name) < (int)sizeof(full)) {
			one = add_file(fs, full, messages);
			rc = one ? one : rc;
		}
		free(list[i]);
	}
	free(list);
	return rc;
}

/* *ret_missing: there is no such path. */
static int read_all(struct files *fs, const char *path, bool *ret_missing, struct sn_buf *messages)
{
	struct stat st;

	*ret_missing = false;
	if (stat(path, &st)) {
		*ret_missing = errno == ENOENT;
		sn_buf_printf(messages, "%s:0:0: cannot read: %s\n", path, strerror(errno));
		return *ret_missing ? 0 : -SN_ESYS;
	}
	return S_ISDIR(st.st_mode) ? read_dir(fs, path, messages) : add_file(fs, path, messages);
}

static void files_done(struct files *fs)
{
	size_t i;

	for (i = 0; i < fs->n; i++) {
		free(fs->names[i]);
		sn_buf_done(&fs->texts[i]);
	}
}

/* Parses every file into documents. Returns 0 or -SN_ECONF with the message. */
static int parse_files(struct files *fs, struct sn_arena *a, struct sn_val **docs, size_t *ret_n,
		       struct sn_buf *messages)
{
	struct sn_yaml_mark mark = {0};
	struct sn_err err = {0};
	size_t i, n = 0;

	for (i = 0; i < fs->n; i++) {
		struct sn_slice t = sn_buf_slice(&fs->texts[i]);
		const char *name = sn_arena_strdup(a, fs->names[i]);
		struct sn_val *v;

		if (!name || sn_yaml_parse(a, name, t.p, t.n, &v, &mark, &err)) {
			sn_buf_printf(messages, "%s:%u:%u: %s\n", fs->names[i], mark.line, mark.col,
				      err.msg);
			return -SN_ECONF;
		}
		if (v->type != SN_VAL_NULL)
			docs[n++] = v;
	}
	*ret_n = n;
	return 0;
}

/* Those that are no routes shard, as far as one can tell. */
static size_t parse_others(struct files *fs, struct sn_arena *a, struct sn_val **docs)
{
	struct sn_yaml_mark mark = {0};
	struct sn_err err = {0};
	size_t i, n = 0;

	for (i = 0; i < fs->n; i++) {
		struct sn_slice t = sn_buf_slice(&fs->texts[i]);
		const char *name = sn_arena_strdup(a, fs->names[i]);
		struct sn_val *v;

		if (name && sn_yaml_parse(a, name, t.p, t.n, &v, &mark, &err) == 0 &&
		    v->type == SN_VAL_MAP && !sn_val_get(v, "shard"))
			docs[n++] = v;
	}
	return n;
}

static enum sn_config_result finish(struct sn_conf_ctx *ctx, struct sn_config *c, int rc,
				    struct sn_config **ret, struct sn_buf *messages)
{
	if (rc == 0) {
		*ret = c;
		return SN_CONFIG_OK;
	}
	if (rc == -SN_ENOMEM)
		sn_buf_puts(messages, "-:0:0: out of memory\n");
	sn_conf_print(ctx, messages);
	sn_config_free(c);
	return SN_CONFIG_REJECTED;
}

/* From documents, parsed into @a, to a configuration that does not need @a. */
static enum sn_config_result compile(struct sn_config *c, struct sn_arena *a, struct sn_val **docs,
				     size_t n, const struct sn_config__source *src,
				     struct sn_config **ret)
{
	struct sn_conf_ctx *ctx = calloc(1, sizeof(*ctx));
	enum sn_config_result result;
	struct raw_document raw;
	const char *revision;
	struct sn_val *doc;
	int rc = -SN_ENOMEM;

	if (!ctx) {
		sn_config_free(c);
		return SN_CONFIG_REJECTED;
	}
	sn_conf_ctx_init(ctx, a);
	if (sn_config__shards(docs, n, &revision) == SN_CONFIG_WAITING) {
		sn_config_free(c);
		free(ctx);
		return SN_CONFIG_WAITING;
	}
	doc = sn_config__merge(a, ctx, docs, n);
	if (doc) {
		rc = sn_conf_decode(ctx, &sn_config__document, doc, &raw);
		if (rc == 0)
			rc = sn_config__build(ctx, doc, &raw, src, c);
		if (rc == 0 && sn_yaml_write(&c->text, doc))
			sn_buf_done(&c->text);
	}
	result = finish(ctx, c, rc, ret, src->messages);
	free(ctx);
	return result;
}

static struct sn_config *new_config(void)
{
	struct sn_config *c = calloc(1, sizeof(*c));

	if (c) {
		sn_arena_init(&c->arena, 0, 256u << 20);
		sn_buf_init(&c->text, TEXT_MAX);
	}
	return c;
}

/* What documents are parsed into: in chunks that malloc takes from the kernel and gives back. */
static void init_parsed(struct sn_arena *a)
{
	sn_arena_init(a, (size_t)256 << 10, 256u << 20);
}

/* Hash of the documents' hashes, then of those of the files that they name. */
static void hash_files(const struct files *fs, const struct sn_buf *extra, char hex[SN_HASH_HEX])
{
	char one[SN_HASH_HEX];
	struct sn_buf all;
	size_t i;

	sn_buf_init(&all, TOTAL_MAX * 2);
	for (i = 0; i < fs->n; i++) {
		sn_hash_content(sn_buf_slice(&fs->texts[i]).p, sn_buf_len(&fs->texts[i]), one);
		sn_buf_puts(&all, fs->names[i]);
		sn_buf_append(&all, one, sizeof(one)); /* and the NUL */
	}
	sn_buf_append(&all, sn_buf_slice(extra).p, sn_buf_len(extra));
	sn_hash_content(sn_buf_slice(&all).p, sn_buf_len(&all), hex);
	sn_buf_done(&all);
}

enum sn_config_result sn_config_load(const char *path, const struct sn_config *in_use,
				     struct sn_config **ret, struct sn_buf *messages)
{
	enum sn_config_result result = SN_CONFIG_REJECTED;
	struct files fs = {0};
	struct sn_val *docs[FILES_MAX];
	struct sn_config *c = new_config();
	struct sn_arena parsed;
	struct sn_buf extra;
	struct sn_config__source src = {read_named_file, &extra, in_use, messages};
	size_t n = 0;
	bool missing;

	init_parsed(&parsed);
	sn_buf_init(&extra, TOTAL_MAX);
	if (!c || read_all(&fs, path, &missing, messages) ||
	    parse_files(&fs, &parsed, docs, &n, messages)) {
		sn_config_free(c);
	} else if (n == 0) {
		sn_config_free(c);
		result = SN_CONFIG_EMPTY;
	} else {
		result = compile(c, &parsed, docs, n, &src, ret);
	}
	if (result == SN_CONFIG_OK) {
		hash_files(&fs, &extra, (*ret)->hash);
		if (in_use && strcmp(in_use->hash, (*ret)->hash) == 0) {
			sn_config_free(*ret);
			*ret = NULL;
			result = SN_CONFIG_UNCHANGED;
		}
	}
	sn_arena_done(&parsed);
	sn_buf_done(&extra);
	files_done(&fs);
	return result;
}

enum sn_config_result sn_config_load_pod(const char *path, struct sn_config **ret,
					 struct sn_buf *messages)
{
	enum sn_config_result result = SN_CONFIG_EMPTY;
	struct files fs = {0};
	struct sn_val *docs[FILES_MAX];
	struct sn_config *c = new_config();
	struct sn_arena parsed;
	struct sn_buf extra;
	struct sn_config__source src = {read_named_file, &extra, NULL, messages};
	size_t n = 0;
	bool missing;

	init_parsed(&parsed);
	sn_buf_init(&extra, TOTAL_MAX);
	(void)read_all(&fs, path, &missing, messages); /* what can be read is looked at */
	if (c)
		n = parse_others(&fs, &parsed, docs);
	if (n)
		result = compile(c, &parsed, docs, n, &src, ret);
	else
		sn_config_free(c);
	if (result == SN_CONFIG_OK && (*ret)->n_listeners == 0) {
		sn_config_free(*ret);
		*ret = NULL;
		result = SN_CONFIG_EMPTY;
	}
	if (result == SN_CONFIG_OK)
		(*ret)->has_routes = false; /* not all of them, whatever these files hold */
	sn_arena_done(&parsed);
	sn_buf_done(&extra);
	files_done(&fs);
	return result;
}

enum sn_config_result sn_config_parse(const char *file, struct sn_slice text,
				      sn_config_read_fn read_file, void *arg,
				      struct sn_config **ret, struct sn_buf *messages)
{
	struct sn_config__source src = {read_file, arg, NULL, messages};
	enum sn_config_result result = SN_CONFIG_REJECTED;
	struct sn_config *c = new_config();
	struct sn_yaml_mark mark = {0};
	struct sn_err err = {0};
	struct sn_arena parsed;
	struct sn_val *doc;

	if (!c)
		return SN_CONFIG_REJECTED;
	init_parsed(&parsed);
	if (sn_yaml_parse(&parsed, file, text.p, text.n, &doc, &mark, &err)) {
		sn_buf_printf(messages, "%s:%u:%u: %s\n", file, mark.line, mark.col, err.msg);
		sn_config_free(c);
	} else if (doc->type == SN_VAL_NULL) {
		sn_config_free(c);
		result = SN_CONFIG_EMPTY;
	} else {
		result = compile(c, &parsed, &doc, 1, &src, ret);
	}
	sn_arena_done(&parsed);
	return result;
}

void sn_config_retire(struct sn_config *c)
{
	sn_snapshot_unref(c->snapshot);
	c->snapshot = NULL;
	sn_buf_done(&c->text);
}

void sn_config_free(struct sn_config *c)
{
	size_t i;

	if (!c)
		return;
	for (i = 0; i < c->n_listeners; i++)
		if (c->listeners[i].tls)
			sn_tls_ctx_unref(c->listeners[i].tls->ctx);
	sn_config_retire(c);
	sn_arena_done(&c->arena);
	free(c);
}

static int check_endpoint_file(const char *path, struct sn_buf *messages)
{
	struct sn_endpoint_set *set = NULL;
	struct sn_err err = {0};
	struct sn_buf text;
	int rc;

	sn_buf_init(&text, SN_ENDPOINTS_FILE_MAX);
	rc = sn_file_read(path, &text);
	if (rc)
		rc = sn_err_set(&err, SN_ECONF, "cannot read: %s", strerror(-rc));
	else
		rc = sn_endpoint_set_parse(sn_buf_slice(&text), &set, &err);
	if (rc)
		sn_buf_printf(messages, "%s: %s\n", path, err.msg);
	sn_endpoint_set_unref(set);
	sn_buf_done(&text);
	return rc ? -SN_ECONF : 0;
}

int sn_config_check_endpoint_files(const struct sn_config *c, struct sn_buf *messages)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < c->snapshot->n_services; i++)
		if (c->snapshot->services[i].endpoints_kind == SN_ENDPOINTS_FILE &&
		    check_endpoint_file(c->snapshot->services[i].endpoints_file, messages))
			rc = -SN_ECONF;
	return rc;
}

void sn_config_each_file(const struct sn_config *c, void (*fn)(void *arg, const char *path),
			 void *arg)
{
	size_t i;

	for (i = 0; i < c->n_listeners; i++) {
		const struct sn_config_tls *t = c->listeners[i].tls;

		if (!t)
			continue;
		fn(arg, t->certificate);
		fn(arg, t->key);
		if (t->client_ca)
			fn(arg, t->client_ca);
	}
}

int sn_config_text(const struct sn_config *c, struct sn_buf *out)
{
	struct sn_slice text = sn_buf_slice(&c->text);

	return text.n ? sn_buf_append(out, text.p, text.n) : -SN_ETOOBIG;
}
