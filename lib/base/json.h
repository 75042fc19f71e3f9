/* SPDX-License-Identifier: Apache-2.0 */
/* base/json.h - JSON in and out (yajl inside, nowhere else). Input is hostile: strict UTF-8, depth
 * and size capped, NUL in strings and trailing bytes refused, the last of duplicate keys wins or is
 * refused. */
#ifndef SN_BASE_JSON_H
#define SN_BASE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/val.h"

#define SN_JSON_DEPTH_MAX 64

enum sn_json_flags {
	SN_JSON_REFUSE_DUPLICATES = 1, /* else the last one wins, as in Kubernetes */
};

/* Parses exactly one value into @a. Returns 0, -SN_ESYNTAX, -SN_EDEPTH, -SN_ETOOBIG (arena ceiling)
 * or -SN_ENOMEM; @err says where (byte offset). */
int sn_json_parse(struct sn_arena *a, const char *p, size_t n, unsigned flags, struct sn_val **ret,
		  struct sn_err *err);

/* A stream of values as bytes arrive (a watch; or the items of one huge list).
 * With @items_path NULL each top-level value is one item. With e.g. "items" the top-level object's
 * list of that name is delivered item by item and everything else of it is delivered last, once,
 * with that list empty. Each item is parsed into an arena of its own, at most @max_item_bytes. */
struct sn_json_stream;
/* @item belongs to the stream and is gone after the call: copy what is to be kept. @is_rest: it is
 * the remainder of the top-level object (only with items_path). Return nonzero to stop parsing. */
typedef int (*sn_json_item_fn)(void *arg, const struct sn_val *item, bool is_rest);
struct sn_json_stream *sn_json_stream_new(const char *items_path, size_t max_item_bytes,
					  sn_json_item_fn cb, void *arg);
/* Returns 0, -SN_ESYNTAX, -SN_EDEPTH, -SN_ETOOBIG, -SN_ENOMEM, -SN_ECANCELED (callback said stop).
 */
int sn_json_stream_feed(struct sn_json_stream *s, const char *p, size_t n, struct sn_err *err);
/* End of input: -SN_ESYNTAX if in the middle of a value. */
int sn_json_stream_end(struct sn_json_stream *s, struct sn_err *err);
void sn_json_stream_free(struct sn_json_stream *s);

/* Writer: appends compact JSON to a buffer. Errors are sticky; ask sn_jsonw_end(). */
struct sn_jsonw {
	struct sn_buf *out;
	unsigned depth;
	bool first[SN_JSON_DEPTH_MAX + 1];
	bool after_key;
	bool failed;
};
void sn_jsonw_init(struct sn_jsonw *w, struct sn_buf *out);
void sn_jsonw_map(struct sn_jsonw *w);
void sn_jsonw_map_end(struct sn_jsonw *w);
void sn_jsonw_list(struct sn_jsonw *w);
void sn_jsonw_list_end(struct sn_jsonw *w);
void sn_jsonw_key(struct sn_jsonw *w, const char *key);
void sn_jsonw_str(struct sn_jsonw *w, const char *s); /* NULL: null */
void sn_jsonw_slice(struct sn_jsonw *w,
		    struct sn_slice s); /* invalid UTF-8: each bad byte as U+FFFD */
void sn_jsonw_int(struct sn_jsonw *w, int64_t i);
void sn_jsonw_double(struct sn_jsonw *w, double d); /* shortest text that reads back the same */
void sn_jsonw_bool(struct sn_jsonw *w, bool b);
void sn_jsonw_null(struct sn_jsonw *w);
void sn_jsonw_val(struct sn_jsonw *w, const struct sn_val *v);
/* key + value in one */
void sn_jsonw_kstr(struct sn_jsonw *w, const char *key, const char *s);
void sn_jsonw_kint(struct sn_jsonw *w, const char *key, int64_t i);
void sn_jsonw_kbool(struct sn_jsonw *w, const char *key, bool b);
/* Returns 0, or -SN_ENOMEM / -SN_ESTATE (unbalanced). */
int sn_jsonw_end(struct sn_jsonw *w);

#endif
