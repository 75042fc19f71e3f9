/* SPDX-License-Identifier: Apache-2.0 */
/* base/map.h - string-keyed hash map over uthash, hashed by seeded SipHash, since keys may come
 * from peers. Copies keys, borrows values. Not thread-safe. */
#ifndef SN_BASE_MAP_H
#define SN_BASE_MAP_H

#include <stdbool.h>
#include <stddef.h>

#include "base/str.h"

struct sn_map_entry;

struct sn_map {
	struct sn_map_entry *head; /* insertion order */
};

void sn_map_init(struct sn_map *m);
/* Frees the map; calls @free_value (may be NULL) on each value. */
void sn_map_done(struct sn_map *m, void (*free_value)(void *value));
size_t sn_map_count(const struct sn_map *m);
/* NULL if absent. */
void *sn_map_find(const struct sn_map *m, struct sn_slice key);
/* Sets @key to @value (not NULL). *ret_old (may be NULL) gets the value that it replaced or NULL.
 * Returns 0 or -SN_ENOMEM. */
int sn_map_put(struct sn_map *m, struct sn_slice key, void *value, void **ret_old);
/* Removes and returns the value, NULL if absent. */
void *sn_map_take(struct sn_map *m, struct sn_slice key);
/* Iteration in insertion order; the current entry may be removed by sn_map_take in the loop:
 * for (e = sn_map_first(m); e; e = next) { next = sn_map_next(e); ... } */
struct sn_map_entry *sn_map_first(const struct sn_map *m);
struct sn_map_entry *sn_map_next(const struct sn_map_entry *e);
const char *sn_map_key(const struct sn_map_entry *e);
void *sn_map_value(const struct sn_map_entry *e);

#endif
