/* SPDX-License-Identifier: Apache-2.0 */
/* uthash behind a narrow door: keys may be a peer's choice, so the hash is seeded SipHash. */
#include "base/map.h"

#include <stdlib.h>

#include "base/err.h"
#include "base/hash.h"

#define HASH_FUNCTION(key, len, out) ((out) = (unsigned)sn_hash_table((key), (len)))
#define HASH_NONFATAL_OOM 1
#include <uthash.h>

struct sn_map_entry {
	UT_hash_handle hh;
	void *value;
	size_t key_len;
	char key[];
};

void sn_map_init(struct sn_map *m)
{
	m->head = NULL;
}

void sn_map_done(struct sn_map *m, void (*free_value)(void *value))
{
	struct sn_map_entry *e, *tmp;

	HASH_ITER(hh, m->head, e, tmp)
	{
		HASH_DEL(m->head, e);
		if (free_value)
			free_value(e->value);
		free(e);
	}
	m->head = NULL;
}

size_t sn_map_count(const struct sn_map *m)
{
	return HASH_COUNT(m->head);
}

static struct sn_map_entry *find(const struct sn_map *m, struct sn_slice key)
{
	struct sn_map_entry *e = NULL;

	if (m->head)
		HASH_FIND(hh, m->head, key.n ? key.p : "", key.n, e);
	return e;
}

void *sn_map_find(const struct sn_map *m, struct sn_slice key)
{
	struct sn_map_entry *e = find(m, key);

	return e ? e->value : NULL;
}

int sn_map_put(struct sn_map *m, struct sn_slice key, void *value, void **ret_old)
{
	struct sn_map_entry *e = find(m, key);

	if (ret_old)
		*ret_old = e ? e->value : NULL;
	if (e) {
		e->value = value;
		return 0;
	}
	e = calloc(1, sizeof(*e) + key.n + 1);
	if (!e)
		return -SN_ENOMEM;
	e->value = value;
	e->key_len = key.n;
	if (key.n)
		memcpy(e->key, key.p, key.n);
	HASH_ADD_KEYPTR(hh, m->head, e->key, e->key_len, e);
	if (!e->hh.tbl) { /* uthash ran out of memory and left it out */
		free(e);
		return -SN_ENOMEM;
	}
	return 0;
}

void *sn_map_take(struct sn_map *m, struct sn_slice key)
{
	struct sn_map_entry *e = find(m, key);
	void *value;

	if (!e)
		return NULL;
	value = e->value;
	HASH_DEL(m->head, e);
	free(e);
	return value;
}

struct sn_map_entry *sn_map_first(const struct sn_map *m)
{
	return m->head;
}

struct sn_map_entry *sn_map_next(const struct sn_map_entry *e)
{
	return e->hh.next;
}

const char *sn_map_key(const struct sn_map_entry *e)
{
	return e->key;
}

void *sn_map_value(const struct sn_map_entry *e)
{
	return e->value;
}
