/* SPDX-License-Identifier: Apache-2.0 */
/* Sorted arrays, one per kind: lookups by binary search, iteration in the order that documents
 * need. */
#include "operator/index/index.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"

struct entry {
	struct sn_object *object;
	bool marked;
};

struct sn_index {
	struct {
		struct entry *list;
		size_t n, cap;
	} kinds[SN_KIND_COUNT];
	bool local;
};

static const char *const names[] = {"Namespace", "Service",	  "Pod",
				    "MeshRoute", "BackendPolicy", "MeshConfig"};

int sn_kind_parse(const char *kind)
{
	int i;

	for (i = 0; kind && i < SN_KIND_COUNT; i++)
		if (strcmp(kind, names[i]) == 0)
			return i;
	return -1;
}

const char *sn_kind_name(enum sn_kind kind)
{
	return names[kind];
}

struct sn_index *sn_index_new(void)
{
	return calloc(1, sizeof(struct sn_index));
}

static void free_object(struct sn_object *o)
{
	sn_arena_done(&o->arena);
	free(o);
}

void sn_index_free(struct sn_index *idx)
{
	size_t k, i;

	for (k = 0; idx && k < SN_KIND_COUNT; k++) {
		for (i = 0; i < idx->kinds[k].n; i++)
			free_object(idx->kinds[k].list[i].object);
		free(idx->kinds[k].list);
	}
	free(idx);
}

void sn_index_set_local(struct sn_index *idx)
{
	idx->local = true;
}

bool sn_index_is_local(const struct sn_index *idx)
{
	return idx->local;
}

/* Position of the object, or where it would be. */
static size_t position(const struct sn_index *idx, enum sn_kind kind, const char *ns,
		       const char *name, bool *ret_found)
{
	size_t lo = 0, hi = idx->kinds[kind].n;

	*ret_found = false;
	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		const struct sn_object *o = idx->kinds[kind].list[mid].object;
		int d = strcmp(ns, o->ns);

		if (d == 0)
			d = strcmp(name, o->name);
		if (d == 0) {
			*ret_found = true;
			return mid;
		}
		if (d < 0)
			hi = mid;
		else
			lo = mid + 1;
	}
	return lo;
}

/* --- copying what is used
 * ------------------------------------------------------------------------- */

static int keep(struct sn_arena *a, struct sn_val *into, const struct sn_val *from, const char *key)
{
	const struct sn_val *v = sn_val_get(from, key);

	return v ? sn_val_set(a, into, sn_slice_cstr(key), sn_val_copy(a, v)) : 0;
}

/* Ours, and the few of others that say whether a pod can have a proxy. What we write ourselves is
 * not kept: it changes nothing. */
static bool is_of_interest(const char *key)
{
	if (strcmp(key, "sennit.dev/routes-revision") == 0)
		return false;
	return strstr(key, "sennit.dev/") || strcmp(key, "kubernetes.io/config.mirror") == 0 ||
	       strcmp(key, "pod-security.kubernetes.io/enforce") == 0;
}

/* Annotations and labels of ours only, and a namespace's Pod Security level. */
static int keep_ours(struct sn_arena *a, struct sn_val *into, const struct sn_val *meta,
		     const char *key)
{
	const struct sn_val *all = sn_val_get(meta, key);
	struct sn_val *out = sn_val_new(a, SN_VAL_MAP);
	size_t i;
	int rc = out ? 0 : -SN_ENOMEM;

	for (i = 0; i < sn_val_len(all) && !rc && all->type == SN_VAL_MAP; i++)
		if (strcmp(all->map.members[i].key.p, "sennit.dev/proxy-config") == 0)
			rc = sn_val_set(a, out, all->map.members[i].key,
					sn_val_new_str(a, sn_slice("", 0))); /* that it is there */
		else if (is_of_interest(all->map.members[i].key.p))
			rc = sn_val_set(a, out, all->map.members[i].key,
					sn_val_copy(a, all->map.members[i].val));
	if (rc || sn_val_len(out) == 0)
		return rc;
	return sn_val_set(a, into, sn_slice_cstr(key), out);
}

/* A pod: who it is, whether it is one of ours and whether it could be. Its spec is not kept. */
static int keep_pod(struct sn_arena *a, struct sn_val *into, const struct sn_val *val)
{
	const struct sn_val *phase = sn_val_path(val, "status.phase");
	int rc = keep(a, into, sn_val_get(val, "spec"), "hostNetwork");

	if (!rc)
		rc = keep(a, into, sn_val_path(val, "spec.os"), "name");
	if (!rc)
		rc = keep(a, into, sn_val_get(val, "metadata"), "deletionTimestamp");
	if (!rc && phase)
		rc = sn_val_set(a, into, SN_SLICE("phase"), sn_val_copy(a, phase));
	return rc;
}

static struct sn_val *prune(struct sn_arena *a, enum sn_kind kind, const struct sn_val *val)
{
	struct sn_val *out = sn_val_new(a, SN_VAL_MAP);
	const struct sn_val *meta = sn_val_get(val, "metadata");
	int rc = out ? 0 : -SN_ENOMEM;

	if (!rc)
		rc = keep_ours(a, out, meta, "annotations");
	if (!rc)
		rc = keep_ours(a, out, meta, "labels");
	if (!rc && kind == SN_KIND_POD)
		rc = keep_pod(a, out, val);
	if (!rc && kind == SN_KIND_NAMESPACE)
		rc = keep(a, out, meta, "deletionTimestamp");
	if (!rc && kind != SN_KIND_POD && kind != SN_KIND_NAMESPACE)
		rc = keep(a, out, val, "spec");
	if (!rc && (kind == SN_KIND_MESHROUTE || kind == SN_KIND_BACKENDPOLICY))
		rc = keep(a, out, val, "status");
	return rc ? NULL : out;
}

static bool scoped(enum sn_kind kind)
{
	return kind != SN_KIND_NAMESPACE && kind != SN_KIND_MESHCONFIG;
}

static struct sn_object *new_object(enum sn_kind kind, const struct sn_val *val)
{
	const struct sn_val *meta = sn_val_get(val, "metadata");
	struct sn_object *o = calloc(1, sizeof(*o));

	if (!o)
		return NULL;
	sn_arena_init(&o->arena, 512, 4u << 20);
	o->kind = kind;
	o->ns = sn_arena_strdup(&o->arena,
				scoped(kind) ? sn_val_str(sn_val_get(meta, "namespace"), "default")
					     : "");
	o->name = sn_arena_strdup(&o->arena, sn_val_str(sn_val_get(meta, "name"), ""));
	o->uid = sn_arena_strdup(&o->arena, sn_val_str(sn_val_get(meta, "uid"), ""));
	o->created =
		sn_arena_strdup(&o->arena, sn_val_str(sn_val_get(meta, "creationTimestamp"), ""));
	o->version =
		sn_arena_strdup(&o->arena, sn_val_str(sn_val_get(meta, "resourceVersion"), ""));
	o->generation = sn_val_int(sn_val_get(meta, "generation"), 0);
	o->val = prune(&o->arena, kind, val);
	if (o->ns && o->name && o->uid && o->created && o->version && o->val)
		return o;
	free_object(o);
	return NULL;
}

static int insert(struct sn_index *idx, enum sn_kind kind, size_t at, struct sn_object *o)
{
	size_t n = idx->kinds[kind].n;

	if (n == idx->kinds[kind].cap) {
		size_t cap = n ? n * 2 : 16;
		struct entry *list = realloc(idx->kinds[kind].list, cap * sizeof(*list));

		if (!list)
			return -SN_ENOMEM;
		idx->kinds[kind].list = list;
		idx->kinds[kind].cap = cap;
	}
	memmove(&idx->kinds[kind].list[at + 1], &idx->kinds[kind].list[at],
		(n - at) * sizeof(struct entry));
	idx->kinds[kind].list[at] = (struct entry){o, false};
	idx->kinds[kind].n++;
	return 1;
}

int sn_index_apply(struct sn_index *idx, int kind, const struct sn_val *val)
{
	struct sn_object *o, *old;
	struct entry *e;
	bool found;
	size_t at;

	if (kind < 0)
		kind = sn_kind_parse(sn_val_str(sn_val_get(val, "kind"), NULL));
	if (kind < 0)
		return -SN_EUNSUPP;
	if (!sn_val_str(sn_val_path(val, "metadata.name"), NULL))
		return -SN_ECONF;
	o = new_object((enum sn_kind)kind, val);
	if (!o)
		return -SN_ENOMEM;
	at = position(idx, o->kind, o->ns, o->name, &found);
	if (!found) {
		int rc = insert(idx, o->kind, at, o);

		if (rc < 0)
			free_object(o);
		return rc;
	}
	e = &idx->kinds[kind].list[at];
	e->marked = false;
	old = e->object;
	e->object = o;
	found = old->generation == o->generation && strcmp(old->uid, o->uid) == 0 &&
		sn_val_equal(old->val, o->val);
	free_object(old);
	return !found;
}

static void remove_at(struct sn_index *idx, enum sn_kind kind, size_t at)
{
	free_object(idx->kinds[kind].list[at].object);
	idx->kinds[kind].n--;
	memmove(&idx->kinds[kind].list[at], &idx->kinds[kind].list[at + 1],
		(idx->kinds[kind].n - at) * sizeof(struct entry));
}

int sn_index_delete(struct sn_index *idx, enum sn_kind kind, const char *ns, const char *name)
{
	bool found;
	size_t at = position(idx, kind, ns, name, &found);

	if (found)
		remove_at(idx, kind, at);
	return found;
}

void sn_index_mark(struct sn_index *idx, enum sn_kind kind)
{
	size_t i;

	for (i = 0; i < idx->kinds[kind].n; i++)
		idx->kinds[kind].list[i].marked = true;
}

size_t sn_index_sweep(struct sn_index *idx, enum sn_kind kind)
{
	size_t i = idx->kinds[kind].n, gone = 0;

	while (i-- > 0)
		if (idx->kinds[kind].list[i].marked) {
			remove_at(idx, kind, i);
			gone++;
		}
	return gone;
}

const struct sn_object *sn_index_find(const struct sn_index *idx, enum sn_kind kind, const char *ns,
				      const char *name)
{
	bool found;
	size_t at = position(idx, kind, ns, name, &found);

	return found ? idx->kinds[kind].list[at].object : NULL;
}

size_t sn_index_count(const struct sn_index *idx, enum sn_kind kind)
{
	return idx->kinds[kind].n;
}

const struct sn_object *sn_index_at(const struct sn_index *idx, enum sn_kind kind, size_t i)
{
	return i < idx->kinds[kind].n ? idx->kinds[kind].list[i].object : NULL;
}
