/* SPDX-License-Identifier: Apache-2.0 */
/* base/val.h - the one model of a parsed document (YAML or JSON): scalars, lists, maps, each with
 * the place it came from. Lives in the arena it was parsed into; immutable by convention. */
#ifndef SN_BASE_VAL_H
#define SN_BASE_VAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/str.h"

enum sn_val_type {
	SN_VAL_NULL,
	SN_VAL_BOOL,
	SN_VAL_INT,
	SN_VAL_DOUBLE,
	SN_VAL_STR,
	SN_VAL_LIST,
	SN_VAL_MAP,
};

#define SN_VAL_COL_MAX 0xfffffffu

struct sn_val { /* 32 bytes: there is one for each value of a document */
	enum sn_val_type type : 4;
	uint32_t col : 28; /* 1-based, 0 = unknown; at most SN_VAL_COL_MAX */
	uint32_t line;	   /* 1-based, 0 = unknown (JSON) */
	const char *file;  /* name given to the parser; NULL = unknown */
	union {
		bool b;
		int64_t i;
		double d;
		struct sn_slice str; /* NUL-terminated, without NUL inside */
		struct {
			struct sn_val **items;
			size_t n;
		} list;
		struct {
			struct sn_member *members; /* in document order, keys unique */
			size_t n;
		} map;
	};
};

struct sn_member {
	struct sn_slice key; /* NUL-terminated */
	uint32_t line;
	uint32_t col;
	struct sn_val *val;
};

/* "null" "boolean" "integer" "number" "string" "list" "map" */
const char *sn_val_type_name(enum sn_val_type t);

/* Readers. All accept NULL @v (absent) and a wrong type, and then return NULL / the default /
 * an empty slice, so that chains of optional members need no checks. */
const struct sn_val *sn_val_get(const struct sn_val *map, const char *key);
/* Path of members separated by '.', e.g. "metadata.namespace". Keys with dots: use sn_val_get. */
const struct sn_val *sn_val_path(const struct sn_val *map, const char *path);
size_t sn_val_len(const struct sn_val *list_or_map);
const struct sn_val *sn_val_at(const struct sn_val *list, size_t i);
const char *sn_val_str(const struct sn_val *v, const char *def);
struct sn_slice sn_val_slice(const struct sn_val *v);
int64_t sn_val_int(const struct sn_val *v, int64_t def);
bool sn_val_bool(const struct sn_val *v, bool def);

/* Builders, for merging and for tests; NULL on failure (out of memory or arena ceiling).
 * Strings are copied into @a. */
struct sn_val *sn_val_new(struct sn_arena *a, enum sn_val_type t);
struct sn_val *sn_val_new_str(struct sn_arena *a, struct sn_slice s);
struct sn_val *sn_val_new_int(struct sn_arena *a, int64_t i);
struct sn_val *sn_val_new_bool(struct sn_arena *a, bool b);
/* Append; amortized. Return 0, -SN_ENOMEM, or -SN_EEXIST if @key is already there. */
int sn_val_push(struct sn_arena *a, struct sn_val *list, struct sn_val *item);
int sn_val_set(struct sn_arena *a, struct sn_val *map, struct sn_slice key, struct sn_val *v);
/* sn_val_set() for a @key that is known not to be there, and a @v that is not NULL: no search. */
int sn_val_add(struct sn_arena *a, struct sn_val *map, struct sn_slice key, struct sn_val *v);
/* The same for a @key that is NUL-terminated and lives as long as @a: no copy. */
int sn_val_add_key(struct sn_arena *a, struct sn_val *map, struct sn_slice key, struct sn_val *v);
/* A deep copy without places, which needs nothing of the arena that @v lives in. NULL on failure,
 * and of NULL. */
struct sn_val *sn_val_copy(struct sn_arena *a, const struct sn_val *v);
/* Deep equality, maps without regard to order. */
bool sn_val_equal(const struct sn_val *a, const struct sn_val *b);

#endif
