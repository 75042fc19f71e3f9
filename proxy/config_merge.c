/* SPDX-License-Identifier: Apache-2.0 */
/* Several files, one document: maps by key, lists of services one behind the other, a scalar only
 * once. Pure. */
#include <string.h>

#include "base/err.h"
#include "proxy/config_int.h"

static bool is_shard_key(struct sn_slice key)
{
	return sn_slice_eq_cstr(key, "shard") || sn_slice_eq_cstr(key, "revision");
}

/* Adds what @from has to @into (a map of ours, whose members may be changed). */
static int merge_map(struct sn_arena *a, struct sn_conf_ctx *ctx, struct sn_val *into,
		     const struct sn_val *from, unsigned depth);

static int merge_member(struct sn_arena *a, struct sn_conf_ctx *ctx, struct sn_val *into,
			const struct sn_member *m, unsigned depth)
{
	struct sn_val *have = (struct sn_val *)sn_val_get(into, m->key.p), *copy;
	size_t i, len = strlen(ctx->path);
	int rc = 0;

	if (!have) {
		copy = sn_val_new(a, m->val->type);
		if (!copy)
			return -SN_ENOMEM;
		*copy = *m->val;
		if (copy->type == SN_VAL_MAP) { /* ours to change: copy the member array as well */
			copy->map.members = NULL;
			copy->map.n = 0;
			rc = merge_map(a, ctx, copy, m->val, depth + 1);
		}
		rc = rc ? rc : sn_val_set(a, into, m->key, copy);
		if (rc == 0) {
			into->map.members[into->map.n - 1].line = m->line;
			into->map.members[into->map.n - 1].col = m->col;
		}
		return rc;
	}
	if (have->type == SN_VAL_MAP && m->val->type == SN_VAL_MAP) {
		ctx->path[0] = 0;
		rc = merge_map(a, ctx, have, m->val, depth + 1);
		ctx->path[len] = 0;
		return rc;
	}
	if (depth == 0 && have->type == SN_VAL_LIST && m->val->type == SN_VAL_LIST &&
	    sn_slice_eq_cstr(m->key, "services")) {
		struct sn_val **items =
			sn_arena_array(a, have->list.n + m->val->list.n + 1, sizeof(*items));

		if (!items)
			return -SN_ENOMEM;
		for (i = 0; i < have->list.n; i++)
			items[i] = have->list.items[i];
		for (i = 0; i < m->val->list.n; i++)
			items[have->list.n + i] = m->val->list.items[i];
		have->list.items = items;
		have->list.n += m->val->list.n;
		return 0;
	}
	if (depth == 0 && sn_slice_eq_cstr(m->key, "version") && sn_val_equal(have, m->val))
		return 0; /* every file says which format it is in */
	sn_conf_error(ctx, m->val, "the key \"%s\" is set twice, first at %s:%u", m->key.p,
		      have->file ? have->file : "-", have->line);
	return 0;
}

static int merge_map(struct sn_arena *a, struct sn_conf_ctx *ctx, struct sn_val *into,
		     const struct sn_val *from, unsigned depth)
{
	size_t i;
	int rc = 0;

	for (i = 0; i < from->map.n && !rc; i++)
		if (depth || !is_shard_key(from->map.members[i].key) ||
		    !sn_val_get(into, from->map.members[i].key.p))
			rc = merge_member(a, ctx, into, &from->map.members[i], depth);
	return rc;
}

struct sn_val *sn_config__merge(struct sn_arena *a, struct sn_conf_ctx *ctx, struct sn_val **docs,
				size_t n)
{
	struct sn_val *all = sn_val_new(a, SN_VAL_MAP);
	size_t i;

	for (i = 0; i < n && all; i++) {
		all->file = docs[i]->file;
		all->line = all->col = 1;
		if (docs[i]->type != SN_VAL_MAP)
			sn_conf_error(ctx, docs[i], "a document is a map, found a %s",
				      sn_val_type_name(docs[i]->type));
		else if (merge_map(a, ctx, all, docs[i], 0))
			all = NULL;
	}
	return all;
}

enum sn_config_result sn_config__shards(struct sn_val **docs, size_t n, const char **ret_revision)
{
	const char *revision = NULL, *r;
	int64_t of = 0, seen = 0;
	size_t i;

	*ret_revision = NULL;
	for (i = 0; i < n; i++) {
		const struct sn_val *shard = sn_val_get(docs[i], "shard");

		r = sn_val_str(sn_val_get(docs[i], "revision"), NULL);
		if (!r)
			continue;
		if (revision && strcmp(r, revision) != 0)
			return SN_CONFIG_WAITING; /* files of two revisions side by side */
		revision = r;
		if (!shard)
			continue;
		of = sn_val_int(sn_val_get(shard, "of"), 1);
		seen |= (int64_t)1 << (sn_val_int(sn_val_get(shard, "index"), 0) & 7);
	}
	if (of && seen != ((int64_t)1 << (of & 15)) - 1)
		return SN_CONFIG_WAITING;
	*ret_revision = revision;
	return SN_CONFIG_OK;
}
