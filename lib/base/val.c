/* SPDX-License-Identifier: Apache-2.0 */
/* The document model: readers that forgive absence, builders that fail as a whole. */
#include "base/val.h"

#include <string.h>

#include "base/err.h"

const char *sn_val_type_name(enum sn_val_type t)
{
	static const char *const names[] = {"null",   "boolean", "integer", "number",
					    "string", "list",	 "map"};

	return (size_t)t < SN_ARRAY_LEN(names) ? names[t] : "unknown";
}

static const struct sn_val *get(const struct sn_val *map, struct sn_slice key)
{
	size_t i;

	if (!map || map->type != SN_VAL_MAP)
		return NULL;
	for (i = 0; i < map->map.n; i++)
		if (sn_slice_eq(map->map.members[i].key, key))
			return map->map.members[i].val;
	return NULL;
}

const struct sn_val *sn_val_get(const struct sn_val *map, const char *key)
{
	return get(map, sn_slice_cstr(key));
}

const struct sn_val *sn_val_path(const struct sn_val *map, const char *path)
{
	struct sn_slice rest = sn_slice_cstr(path);

	while (map && rest.p)
		map = get(map, sn_slice_cut(&rest, '.'));
	return map;
}

size_t sn_val_len(const struct sn_val *v)
{
	if (v && v->type == SN_VAL_LIST)
		return v->list.n;
	return v && v->type == SN_VAL_MAP ? v->map.n : 0;
}

const struct sn_val *sn_val_at(const struct sn_val *list, size_t i)
{
	return list && list->type == SN_VAL_LIST && i < list->list.n ? list->list.items[i] : NULL;
}

const char *sn_val_str(const struct sn_val *v, const char *def)
{
	return v && v->type == SN_VAL_STR ? v->str.p : def;
}

struct sn_slice sn_val_slice(const struct sn_val *v)
{
	return v && v->type == SN_VAL_STR ? v->str : sn_slice("", 0);
}

int64_t sn_val_int(const struct sn_val *v, int64_t def)
{
	return v && v->type == SN_VAL_INT ? v->i : def;
}

bool sn_val_bool(const struct sn_val *v, bool def)
{
	return v && v->type == SN_VAL_BOOL ? v->b : def;
}

struct sn_val *sn_val_new(struct sn_arena *a, enum sn_val_type t)
{
	struct sn_val *v = sn_arena_alloc(a, sizeof(*v));

	if (v)
		v->type = t;
	return v;
}

struct sn_val *sn_val_new_str(struct sn_arena *a, struct sn_slice s)
{
	struct sn_val *v = sn_val_new(a, SN_VAL_STR);
	char *copy = v ? sn_arena_dup(a, s.p, s.n) : NULL;

	if (!copy)
		return NULL;
	v->str = sn_slice(copy, s.n);
	return v;
}

struct sn_val *sn_val_new_int(struct sn_arena *a, int64_t i)
{
	struct sn_val *v = sn_val_new(a, SN_VAL_INT);

	if (v)
		v->i = i;
	return v;
}

struct sn_val *sn_val_new_bool(struct sn_arena *a, bool b)
{
	struct sn_val *v = sn_val_new(a, SN_VAL_BOOL);

	if (v)
		v->b = b;
	return v;
}

/* Room for one more in an array that has doubled at each power of two from 2 on: most maps and
 * lists of large documents are that short. */
static void *grown(struct sn_arena *a, void *old, size_t n, size_t size)
{
	void *p;

	if (n == 1 || (n & (n - 1)) != 0)
		return old;
	p = sn_arena_array(a, n ? n * 2 : 2, size);
	if (p && n)
		memcpy(p, old, n * size);
	return p;
}

int sn_val_push(struct sn_arena *a, struct sn_val *list, struct sn_val *item)
{
	struct sn_val **items;

	if (!item)
		return -SN_ENOMEM;
	items = grown(a, list->list.items, list->list.n, sizeof(*items));
	if (!items)
		return -SN_ENOMEM;
	list->list.items = items;
	items[list->list.n++] = item;
	return 0;
}

int sn_val_set(struct sn_arena *a, struct sn_val *map, struct sn_slice key, struct sn_val *v)
{
	if (!v)
		return -SN_ENOMEM;
	return get(map, key) ? -SN_EEXIST : sn_val_add(a, map, key, v);
}

int sn_val_add_key(struct sn_arena *a, struct sn_val *map, struct sn_slice key, struct sn_val *v)
{
	struct sn_member *members = grown(a, map->map.members, map->map.n, sizeof(*members));

	if (!members)
		return -SN_ENOMEM;
	map->map.members = members;
	members[map->map.n++] = (struct sn_member){key, v->line, v->col, v};
	return 0;
}

int sn_val_add(struct sn_arena *a, struct sn_val *map, struct sn_slice key, struct sn_val *v)
{
	char *copy = sn_arena_dup(a, key.p, key.n);

	return copy ? sn_val_add_key(a, map, sn_slice(copy, key.n), v) : -SN_ENOMEM;
}

static int copy_into(struct sn_arena *a, struct sn_val *to, const struct sn_val *from)
{
	size_t i;
	int rc = 0;

	for (i = 0; from->type == SN_VAL_LIST && i < from->list.n && !rc; i++)
		rc = sn_val_push(a, to, sn_val_copy(a, from->list.items[i]));
	for (i = 0; from->type == SN_VAL_MAP && i < from->map.n && !rc; i++) {
		struct sn_val *v = sn_val_copy(a, from->map.members[i].val);

		rc = v ? sn_val_add(a, to, from->map.members[i].key, v) : -SN_ENOMEM;
	}
	return rc;
}

struct sn_val *sn_val_copy(struct sn_arena *a, const struct sn_val *v)
{
	struct sn_val *copy;

	if (!v)
		return NULL;
	if (v->type == SN_VAL_STR)
		return sn_val_new_str(a, v->str);
	copy = sn_val_new(a, v->type);
	if (!copy)
		return NULL;
	if (v->type == SN_VAL_LIST || v->type == SN_VAL_MAP)
		return copy_into(a, copy, v) ? NULL : copy;
	*copy = *v;
	copy->file = NULL;
	copy->line = copy->col = 0;
	return copy;
}

static bool equal_maps(const struct sn_val *a, const struct sn_val *b)
{
	size_t i;

	for (i = 0; i < a->map.n; i++) {
		const struct sn_val *other = get(b, a->map.members[i].key);

		if (!other || !sn_val_equal(a->map.members[i].val, other))
			return false;
	}
	return true;
}

bool sn_val_equal(const struct sn_val *a, const struct sn_val *b)
{
	size_t i;

	if (!a || !b || a->type != b->type)
		return a == b;
	switch (a->type) {
	case SN_VAL_NULL:
		return true;
	case SN_VAL_BOOL:
		return a->b == b->b;
	case SN_VAL_INT:
		return a->i == b->i;
	case SN_VAL_DOUBLE:
		return a->d == b->d;
	case SN_VAL_STR:
		return sn_slice_eq(a->str, b->str);
	case SN_VAL_MAP:
		return a->map.n == b->map.n && equal_maps(a, b);
	case SN_VAL_LIST:
		break;
	}
	if (a->list.n != b->list.n)
		return false;
	for (i = 0; i < a->list.n; i++)
		if (!sn_val_equal(a->list.items[i], b->list.items[i]))
			return false;
	return true;
}
