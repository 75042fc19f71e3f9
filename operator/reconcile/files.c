/* SPDX-License-Identifier: Apache-2.0 */
/* A reader sees a shard whole or not at all; shards of two revisions side by side are the proxy's
 * "waiting". */
#include "operator/reconcile/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "operator/translate/translate.h"

static bool same_content(const char *path, struct sn_slice want)
{
	char buf[65536];
	size_t at = 0;
	ssize_t n = 1;
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return false;
	while (n > 0) {
		n = read(fd, buf, sizeof(buf));
		if (n < 0 || (size_t)n > want.n - at || memcmp(buf, want.p + at, (size_t)n) != 0)
			break;
		at += (size_t)n;
	}
	close(fd);
	return n == 0 && at == want.n;
}

static int write_file(const char *path, struct sn_slice text, struct sn_err *err)
{
	char tmp[4200];
	size_t at = 0;
	ssize_t n = 0;
	int fd;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0)
		return sn_err_sys(err, errno, "%s", tmp);
	while (at < text.n && (n = write(fd, text.p + at, text.n - at)) > 0)
		at += (size_t)n;
	close(fd);
	if (at < text.n || rename(tmp, path)) {
		int e = errno;

		unlink(tmp);
		return sn_err_sys(err, e, "%s", path);
	}
	return 0;
}

/* A namespace becomes a folder's name: nothing that could climb. */
static bool safe_name(const char *ns)
{
	return ns[0] && strlen(ns) < 64 &&
	       strspn(ns, "abcdefghijklmnopqrstuvwxyz0123456789-") == strlen(ns);
}

static int write_document(const struct sn_index *idx, const char *dir, const char *ns,
			  struct sn_err *err)
{
	struct sn_document doc;
	char path[4096];
	size_t i;
	int rc, changed = 0;

	if (!safe_name(ns))
		return sn_err_set(err, SN_ECONF, "\"%.80s\" is not a namespace's name", ns);
	rc = sn_translate(idx, ns, &doc, err);
	if (rc)
		return rc;
	snprintf(path, sizeof(path), "%s/%s", dir, ns);
	if (mkdir(path, 0755) && errno != EEXIST)
		rc = sn_err_sys(err, errno, "%s", path);
	for (i = 0; i < doc.n_shards && !rc; i++) {
		snprintf(path, sizeof(path), "%s/%s/routes-%zu.yaml", dir, ns, i);
		if (!same_content(path, sn_buf_slice(&doc.shards[i]))) {
			rc = write_file(path, sn_buf_slice(&doc.shards[i]), err);
			changed = 1;
		}
	}
	for (; i < SN_SHARDS_MAX && !rc; i++) {
		snprintf(path, sizeof(path), "%s/%s/routes-%zu.yaml", dir, ns, i);
		unlink(path);
	}
	if (rc == 0 && changed)
		sn_info("reconcile", "namespace %s: revision %s, %zu file(s)", ns, doc.revision,
			doc.n_shards);
	sn_document_done(&doc);
	return rc;
}

int sn_reconcile_files(const struct sn_index *idx, const char *dir, struct sn_err *err)
{
	struct sn_map namespaces;
	struct sn_map_entry *e;
	int k, rc = 0, one;
	size_t i;

	sn_map_init(&namespaces);
	for (k = 0; k < SN_KIND_COUNT; k++)
		for (i = 0; i < sn_index_count(idx, (enum sn_kind)k); i++) {
			const struct sn_object *o = sn_index_at(idx, (enum sn_kind)k, i);
			const char *ns = k == SN_KIND_NAMESPACE ? o->name : o->ns;

			if (ns[0] && sn_map_put(&namespaces, sn_slice_cstr(ns), (void *)idx, NULL))
				rc = sn_err_set(err, SN_ENOMEM, "out of memory");
		}
	for (e = sn_map_first(&namespaces); e; e = sn_map_next(e)) {
		one = write_document(idx, dir, sn_map_key(e), err);
		if (one) {
			sn_err_wrap(err, "namespace %s", sn_map_key(e));
			sn_error("reconcile", "%s", err->msg);
			rc = one;
		}
	}
	sn_map_done(&namespaces, NULL);
	return rc;
}
