/* SPDX-License-Identifier: Apache-2.0 */
/* base/conf.h - configuration as a schema table: one table per kind of object says key, type,
 * range, default and help; from it come decoding, messages with line and column, "did you mean",
 * and
 * --print-defaults. (The idea: Knot DNS, src/knot/conf/schema.c.) */
#ifndef SN_BASE_CONF_H
#define SN_BASE_CONF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/val.h"

enum sn_conf_type {
	SN_CONF_BOOL,	  /* bool */
	SN_CONF_INT,	  /* int64_t, within [min, max] */
	SN_CONF_STR,	  /* const char * ; min, max: length (max 0 = 4096) */
	SN_CONF_DURATION, /* uint64_t ms, within [min, max] when max != 0 */
	SN_CONF_SIZE,	  /* uint64_t bytes, likewise */
	SN_CONF_ENUM,	  /* int: value from `names` */
	SN_CONF_OBJECT,	  /* const T * of `object` (allocated), or embedded T with SN_CONF_EMBED */
	SN_CONF_LIST,	  /* T *, count at n_offset; `item` describes one; min, max: number of items
			     (max 0 = 100000) */
	SN_CONF_STR_OR_LIST, /* const char **, count at n_offset: a string or a list of strings */
	SN_CONF_ANY,	     /* const struct sn_val *: as it is */
};

enum sn_conf_flags {
	SN_CONF_REQUIRED = 1,
	SN_CONF_EMBED = 2, /* object lies in the struct itself; defaults apply when absent */
};

struct sn_conf_name {
	const char *name;
	int value;
};

struct sn_conf_ctx;

/* Further check of one decoded value; report through sn_conf_error(). @value: address of the
 * decoded member. */
typedef void (*sn_conf_check_fn)(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value);

struct sn_conf_field {
	const char *key;
	enum sn_conf_type type;
	size_t offset;
	unsigned flags;
	int64_t min, max;
	const char *def;   /* default, as it would be written in YAML; NULL: zero / absent */
	size_t n_offset;   /* lists: where the size_t count goes */
	size_t has_offset; /* 0 or where a bool says that the key was given */
	const struct sn_conf_name *names; /* enums: ends with name NULL */
	const struct sn_conf_object *object;
	const struct sn_conf_field *item; /* lists: type/range of one item (key, offset unused) */
	sn_conf_check_fn check;
	const char *help; /* one line for the reference */
};

struct sn_conf_object {
	const char *name; /* e.g. "listener" */
	size_t size;
	const struct sn_conf_field *fields; /* ends with key NULL */
	sn_conf_check_fn check;		    /* after all fields; value = the struct */
};

/* One finding. */
struct sn_conf_diag {
	const char *file;
	uint32_t line, col;
	const char *path; /* e.g. services[2].routes[0].name */
	const char *msg;
};

#define SN_CONF_DIAGS_MAX 50

struct sn_conf_ctx {
	struct sn_arena *arena; /* decoded structs, strings, messages */
	bool ignore_unknown;	/* API objects carry keys that we do not use; documents must not */
	struct sn_conf_diag diags[SN_CONF_DIAGS_MAX];
	size_t n_diags;	 /* stored */
	size_t n_errors; /* found, may exceed n_diags */
	char path[512];	 /* of the value being looked at */
	size_t path_len; /* of it, while it is decoded */
};

void sn_conf_ctx_init(struct sn_conf_ctx *ctx, struct sn_arena *arena);

/* Decodes @v by @obj into *out (obj->size bytes, zeroed here, then defaults, then values). All
 * findings are collected in @ctx; returns 0, -SN_ECONF if there were any, or -SN_ENOMEM. */
int sn_conf_decode(struct sn_conf_ctx *ctx, const struct sn_conf_object *obj,
		   const struct sn_val *v, void *out);

/* Adds a finding at @v (NULL: no place). The key path is ctx->path. */
void sn_conf_error(struct sn_conf_ctx *ctx, const struct sn_val *v, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* "FILE:LINE:COLUMN: PATH: message\n" per finding, and how many were left out. */
void sn_conf_print(const struct sn_conf_ctx *ctx, struct sn_buf *out);

/* The whole schema with its defaults as commented YAML. */
void sn_conf_print_defaults(const struct sn_conf_object *obj, struct sn_buf *out);

#endif
