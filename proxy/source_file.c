/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints in a file. Whole or not at all: what cannot be read, or is half written, changes
 * nothing. Said once for each content, not at each look. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "proxy/source.h"

#define POLL_MS 5000 /* where no event tells: network file systems, links */

struct file {
	struct sn_source base;
	char seen[SN_HASH_HEX]; /* of the last content; "" when there was none */
	int problem;		/* of the last look: an errno, 0: it could be read */
	bool looked;
	char path[];
};

static void report(struct file *f, enum sn_source_result result, struct sn_endpoint_set *set,
		   const char *why)
{
	struct sn_source_report r = {.result = result, .set = set, .ttl_ms = POLL_MS, .why = why};

	f->base.cb(f->base.arg, &r);
}

static void take(struct file *f, struct sn_slice text)
{
	struct sn_endpoint_set *set = NULL;
	struct sn_err err = {0};

	if (sn_endpoint_set_parse(text, &set, &err))
		report(f, SN_SOURCE_FAILED, NULL, err.msg);
	else
		report(f, SN_SOURCE_SET, set, NULL);
	sn_endpoint_set_unref(set);
}

static void look(struct sn_source *s)
{
	struct file *f = sn_container_of(s, struct file, base);
	char hex[SN_HASH_HEX] = "";
	struct sn_buf text;
	bool same;
	int rc;

	sn_buf_init(&text, SN_ENDPOINTS_FILE_MAX);
	rc = sn_file_read(f->path, &text);
	if (rc == 0)
		sn_hash_content(sn_buf_slice(&text).p, sn_buf_len(&text), hex);
	same = f->looked && rc == f->problem && strcmp(hex, f->seen) == 0;
	f->looked = true;
	f->problem = rc;
	memcpy(f->seen, hex, sizeof(hex));
	if (same)
		report(f, SN_SOURCE_SAME, NULL, NULL);
	else if (rc)
		report(f, SN_SOURCE_FAILED, NULL, strerror(-rc));
	else
		take(f, sn_buf_slice(&text));
	sn_buf_done(&text);
}

static void free_file(struct sn_source *s)
{
	free(sn_container_of(s, struct file, base));
}

struct sn_source *sn_source_file(const char *path, sn_source_cb cb, void *arg)
{
	size_t n = strlen(path) + 1;
	struct file *f = calloc(1, sizeof(*f) + n);

	if (!f)
		return NULL;
	f->base = (struct sn_source){look, free_file, cb, arg};
	memcpy(f->path, path, n);
	return &f->base;
}
