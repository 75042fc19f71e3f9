/* SPDX-License-Identifier: Apache-2.0 */
/* yajl's callbacks -> the document model, one value at a time or item by item from a stream. yajl
 * itself has no depth limit, takes duplicate keys and NULs: that is checked here. Numbers come as
 * text and are converted here, since yajl's own integers fail at the edges. */
#include "base/json.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yajl/yajl_parse.h>

struct level {
	struct sn_val *v;    /* list or map being filled */
	struct sn_slice key; /* map: of the value to come */
};

/* Builds one value from events. */
struct builder {
	struct sn_arena *arena;
	struct level stack[SN_JSON_DEPTH_MAX + 1];
	unsigned depth;
	struct sn_val *root;
	bool refuse_duplicates;
	int code;
	const char *problem;
};

static int fail(struct builder *b, enum sn_code code, const char *problem)
{
	b->code = -(int)code;
	b->problem = problem;
	return 0; /* yajl: cancel */
}

/* Adds a value where the next one belongs. */
static int place(struct builder *b, struct sn_val *v)
{
	struct level *l;
	size_t i;

	if (!v)
		return fail(b, SN_ETOOBIG, "the value needs too much memory");
	if (b->depth == 0) {
		b->root = v;
		return 1;
	}
	l = &b->stack[b->depth - 1];
	if (l->v->type == SN_VAL_LIST)
		return sn_val_push(b->arena, l->v, v) == 0 ||
		       fail(b, SN_ETOOBIG, "the value needs too much memory");
	for (i = 0; i < l->v->map.n; i++)
		if (sn_slice_eq(l->v->map.members[i].key, l->key)) {
			if (b->refuse_duplicates)
				return fail(b, SN_ESYNTAX, "duplicate key");
			l->v->map.members[i].val = v; /* the last one wins */
			return 1;
		}
	return sn_val_set(b->arena, l->v, l->key, v) == 0 ||
	       fail(b, SN_ETOOBIG, "the value needs too much memory");
}

static int on_null(void *ctx)
{
	struct builder *b = ctx;

	return place(b, sn_val_new(b->arena, SN_VAL_NULL));
}

static int on_bool(void *ctx, int value)
{
	struct builder *b = ctx;

	return place(b, sn_val_new_bool(b->arena, value));
}

static int on_number(void *ctx, const char *s, size_t n)
{
	struct builder *b = ctx;
	struct sn_val *v;
	char text[128];
	char *end;

	if (sn_slice_copy(sn_slice(s, n), text, sizeof(text)))
		return fail(b, SN_ETOOBIG, "number with too many digits");
	v = sn_val_new(b->arena, SN_VAL_INT);
	if (!v)
		return place(b, NULL);
	errno = 0;
	v->i = strtoll(text, &end, 10);
	if (*end || errno == ERANGE) {
		v->type = SN_VAL_DOUBLE;
		v->d = strtod(text, NULL);
		if (!isfinite(v->d))
			return fail(b, SN_ETOOBIG, "number out of range");
	}
	return place(b, v);
}

static int on_string(void *ctx, const unsigned char *s, size_t n)
{
	struct builder *b = ctx;

	if (memchr(s, 0, n))
		return fail(b, SN_ESYNTAX, "NUL in a string");
	/* yajl turns a lone surrogate into '?' or three raw octets; neither passes as what was
	 * meant */
	if (!sn_utf8_valid(sn_slice((const char *)s, n)))
		return fail(b, SN_ESYNTAX, "a string is not valid UTF-8");
	return place(b, sn_val_new_str(b->arena, sn_slice((const char *)s, n)));
}

static int on_key(void *ctx, const unsigned char *s, size_t n)
{
	struct builder *b = ctx;
	char *copy;

	if (memchr(s, 0, n) || !sn_utf8_valid(sn_slice((const char *)s, n)))
		return fail(b, SN_ESYNTAX, "a key is not a valid string");
	copy = sn_arena_dup(b->arena, s, n);
	if (!copy)
		return fail(b, SN_ETOOBIG, "the value needs too much memory");
	b->stack[b->depth - 1].key = sn_slice(copy, n);
	return 1;
}

static int open_level(struct builder *b, enum sn_val_type t)
{
	struct sn_val *v = sn_val_new(b->arena, t);

	if (b->depth == SN_JSON_DEPTH_MAX)
		return fail(b, SN_EDEPTH, "nested deeper than 64 levels");
	if (!place(b, v))
		return 0;
	b->stack[b->depth++] = (struct level){.v = v};
	return 1;
}

static int on_map(void *ctx)
{
	return open_level(ctx, SN_VAL_MAP);
}

static int on_list(void *ctx)
{
	return open_level(ctx, SN_VAL_LIST);
}

static int on_end(void *ctx)
{
	((struct builder *)ctx)->depth--;
	return 1;
}

/* --- one value
 * ------------------------------------------------------------------------------------ */

static int explain(struct builder *b, yajl_handle h, const char *p, size_t n, struct sn_err *err)
{
	unsigned char *text;

	if (b->problem)
		return sn_err_set(err, (enum sn_code) - b->code, "%s, near byte %zu", b->problem,
				  yajl_get_bytes_consumed(h));
	text = yajl_get_error(h, 0, (const unsigned char *)p, n);
	sn_err_set(err, SN_ESYNTAX, "not valid JSON, near byte %zu: %.200s",
		   yajl_get_bytes_consumed(h), text ? (const char *)text : "?");
	if (text)
		yajl_free_error(h, text);
	return -SN_ESYNTAX;
}

static const yajl_callbacks build_callbacks = {
	.yajl_null = on_null,
	.yajl_boolean = on_bool,
	.yajl_number = on_number,
	.yajl_string = on_string,
	.yajl_start_map = on_map,
	.yajl_map_key = on_key,
	.yajl_end_map = on_end,
	.yajl_start_array = on_list,
	.yajl_end_array = on_end,
};

/* yajl accepts "\ud800" alone and writes '?': refuse lone surrogates before it sees them. */
static bool lone_surrogate(const char *p, size_t n)
{
	size_t i;

	for (i = 0; i + 1 < n; i++) {
		unsigned long a, b;
		char hex[5] = {0};

		if (p[i] != '\\')
			continue;
		if (p[i + 1] != 'u' || i + 6 > n) {
			i++;
			continue;
		}
		memcpy(hex, p + i + 2, 4);
		a = strtoul(hex, NULL, 16);
		i += 5;
		if (a < 0xd800 || a > 0xdfff)
			continue;
		if (a > 0xdbff || i + 7 > n || p[i + 1] != '\\' || p[i + 2] != 'u')
			return true;
		memcpy(hex, p + i + 3, 4);
		b = strtoul(hex, NULL, 16);
		if (b < 0xdc00 || b > 0xdfff)
			return true;
		i += 6;
	}
	return false;
}

int sn_json_parse(struct sn_arena *a, const char *p, size_t n, unsigned flags, struct sn_val **ret,
		  struct sn_err *err)
{
	struct builder b = {.arena = a, .refuse_duplicates = flags & SN_JSON_REFUSE_DUPLICATES};
	yajl_handle h;
	int rc = 0;

	if (lone_surrogate(p, n))
		return sn_err_set(err, SN_ESYNTAX, "a string has half of a surrogate pair");
	h = yajl_alloc(&build_callbacks, NULL, &b);
	if (!h)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	if (yajl_parse(h, (const unsigned char *)p, n) != yajl_status_ok ||
	    yajl_complete_parse(h) != yajl_status_ok)
		rc = explain(&b, h, p, n, err);
	else if (!b.root)
		rc = sn_err_set(err, SN_ESYNTAX, "no value");
	yajl_free(h);
	if (rc == 0)
		*ret = b.root;
	return rc;
}

/* --- streams
 * -------------------------------------------------------------------------------------- */

struct sn_json_stream {
	yajl_handle h;
	struct builder b;
	struct sn_arena item_arena, rest_arena;
	char *items_path;
	size_t max_item_bytes;
	sn_json_item_fn cb;
	void *arg;
	bool in_items;	   /* inside the top-level list of that name */
	bool key_is_items; /* the value to come is that list */
	struct builder rest;
};

/* The builder that events go to now. */
static struct builder *target(struct sn_json_stream *s)
{
	return s->items_path && !s->in_items ? &s->rest : &s->b;
}

static int deliver(struct sn_json_stream *s, struct builder *b, bool is_rest)
{
	int stop = s->cb(s->arg, b->root, is_rest);

	b->root = NULL;
	sn_arena_reset(b->arena);
	if (stop)
		return fail(b, SN_ECANCELED, "stopped");
	return 1;
}

/* After an event: is an item, or everything, complete? */
static int settle(struct sn_json_stream *s, int ok)
{
	if (ok && !s->items_path && s->b.depth == 0 && s->b.root)
		return deliver(s, &s->b, false);
	if (ok && s->in_items && s->b.depth == 0 && s->b.root)
		return deliver(s, &s->b, false);
	if (ok && s->items_path && !s->in_items && s->rest.depth == 0 && s->rest.root)
		return deliver(s, &s->rest, true);
	return ok;
}

static int st_null(void *ctx)
{
	return settle(ctx, on_null(target(ctx)));
}

static int st_bool(void *ctx, int v)
{
	return settle(ctx, on_bool(target(ctx), v));
}

static int st_number(void *ctx, const char *t, size_t n)
{
	return settle(ctx, on_number(target(ctx), t, n));
}

static int st_string(void *ctx, const unsigned char *t, size_t n)
{
	return settle(ctx, on_string(target(ctx), t, n));
}

static int st_key(void *ctx, const unsigned char *t, size_t n)
{
	struct sn_json_stream *s = ctx;

	if (s->items_path && !s->in_items)
		s->key_is_items = s->rest.depth == 1 &&
				  sn_slice_eq_cstr(sn_slice((const char *)t, n), s->items_path);
	return on_key(target(s), t, n);
}

static int st_map(void *ctx)
{
	((struct sn_json_stream *)ctx)->key_is_items = false;
	return on_map(target(ctx));
}

static int st_list(void *ctx)
{
	struct sn_json_stream *s = ctx;

	if (s->items_path && !s->in_items && s->key_is_items && s->rest.depth == 1) {
		s->key_is_items = false;
		if (!on_list(&s->rest))
			return 0;
		s->in_items = true;
		return 1;
	}
	return on_list(target(s));
}

static int st_end_list(void *ctx)
{
	struct sn_json_stream *s = ctx;

	if (s->in_items && s->b.depth == 0) {
		s->in_items = false;
		s->rest.depth--;
		return 1;
	}
	on_end(target(s));
	return settle(s, 1);
}

static int st_end_map(void *ctx)
{
	on_end(target(ctx));
	return settle(ctx, 1);
}

struct sn_json_stream *sn_json_stream_new(const char *items_path, size_t max_item_bytes,
					  sn_json_item_fn cb, void *arg)
{
	static const yajl_callbacks callbacks = {
		.yajl_null = st_null,
		.yajl_boolean = st_bool,
		.yajl_number = st_number,
		.yajl_string = st_string,
		.yajl_start_map = st_map,
		.yajl_map_key = st_key,
		.yajl_end_map = st_end_map,
		.yajl_start_array = st_list,
		.yajl_end_array = st_end_list,
	};
	struct sn_json_stream *s = calloc(1, sizeof(*s));

	if (!s)
		return NULL;
	sn_arena_init(&s->item_arena, 16384, max_item_bytes * 8);
	sn_arena_init(&s->rest_arena, 4096, max_item_bytes * 8);
	s->b.arena = &s->item_arena;
	s->rest.arena = &s->rest_arena;
	s->max_item_bytes = max_item_bytes;
	s->cb = cb;
	s->arg = arg;
	s->items_path = items_path ? strdup(items_path) : NULL;
	s->h = yajl_alloc(&callbacks, NULL, s);
	if (!s->h || (items_path && !s->items_path)) {
		sn_json_stream_free(s);
		return NULL;
	}
	yajl_config(s->h, yajl_allow_multiple_values, 1);
	return s;
}

int sn_json_stream_feed(struct sn_json_stream *s, const char *p, size_t n, struct sn_err *err)
{
	struct builder *b;

	if (yajl_parse(s->h, (const unsigned char *)p, n) == yajl_status_ok)
		return 0;
	b = s->b.problem ? &s->b : &s->rest;
	return explain(b, s->h, p, n, err);
}

int sn_json_stream_end(struct sn_json_stream *s, struct sn_err *err)
{
	if (yajl_complete_parse(s->h) != yajl_status_ok || s->b.depth || s->rest.depth)
		return sn_err_set(err, SN_ESYNTAX, "the input ends in the middle of a value");
	return 0;
}

void sn_json_stream_free(struct sn_json_stream *s)
{
	if (!s)
		return;
	if (s->h)
		yajl_free(s->h);
	sn_arena_done(&s->item_arena);
	sn_arena_done(&s->rest_arena);
	free(s->items_path);
	free(s);
}

/* --- writer
 * --------------------------------------------------------------------------------------- */

void sn_jsonw_init(struct sn_jsonw *w, struct sn_buf *out)
{
	*w = (struct sn_jsonw){.out = out};
	w->first[0] = true;
}

static void before(struct sn_jsonw *w)
{
	if (w->after_key)
		w->after_key = false;
	else if (!w->first[w->depth])
		sn_buf_putc(w->out, ',');
	w->first[w->depth] = false;
}

static void open_write(struct sn_jsonw *w, char c)
{
	before(w);
	sn_buf_putc(w->out, c);
	if (w->depth == SN_JSON_DEPTH_MAX) {
		w->failed = true;
		return;
	}
	w->first[++w->depth] = true;
}

static void close_write(struct sn_jsonw *w, char c)
{
	if (w->depth == 0) {
		w->failed = true;
		return;
	}
	w->depth--;
	sn_buf_putc(w->out, c);
}

void sn_jsonw_map(struct sn_jsonw *w)
{
	open_write(w, '{');
}

void sn_jsonw_map_end(struct sn_jsonw *w)
{
	close_write(w, '}');
}

void sn_jsonw_list(struct sn_jsonw *w)
{
	open_write(w, '[');
}

void sn_jsonw_list_end(struct sn_jsonw *w)
{
	close_write(w, ']');
}

static void write_string(struct sn_buf *out, struct sn_slice s)
{
	bool utf8 = sn_utf8_valid(s);
	size_t i, run = 0;

	sn_buf_putc(out, '"');
	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		if (c >= 0x20 && c != '"' && c != '\\' && c != 0x7f && (c < 0x80 || utf8))
			continue;
		sn_buf_append(out, s.p + run, i - run);
		run = i + 1;
		if (c == '"' || c == '\\')
			sn_buf_printf(out, "\\%c", c);
		else if (c == '\n')
			sn_buf_puts(out, "\\n");
		else if (c == '\t')
			sn_buf_puts(out, "\\t");
		else if (c >= 0x80)
			sn_buf_puts(out, "\\ufffd");
		else
			sn_buf_printf(out, "\\u%04x", c);
	}
	sn_buf_append(out, s.p + run, s.n - run);
	sn_buf_putc(out, '"');
}

void sn_jsonw_key(struct sn_jsonw *w, const char *key)
{
	before(w);
	write_string(w->out, sn_slice_cstr(key));
	sn_buf_putc(w->out, ':');
	w->after_key = true;
}

void sn_jsonw_slice(struct sn_jsonw *w, struct sn_slice s)
{
	before(w);
	write_string(w->out, s);
}

void sn_jsonw_str(struct sn_jsonw *w, const char *s)
{
	if (s)
		sn_jsonw_slice(w, sn_slice_cstr(s));
	else
		sn_jsonw_null(w);
}

void sn_jsonw_int(struct sn_jsonw *w, int64_t i)
{
	before(w);
	sn_buf_printf(w->out, "%lld", (long long)i);
}

void sn_jsonw_double(struct sn_jsonw *w, double d)
{
	char text[40];
	int digits;

	before(w);
	if (!isfinite(d)) {
		sn_buf_puts(w->out, "null");
		return;
	}
	for (digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, d);
		if (strtod(text, NULL) == d)
			break;
	}
	sn_buf_puts(w->out, text);
}

void sn_jsonw_bool(struct sn_jsonw *w, bool b)
{
	before(w);
	sn_buf_puts(w->out, b ? "true" : "false");
}

void sn_jsonw_null(struct sn_jsonw *w)
{
	before(w);
	sn_buf_puts(w->out, "null");
}

void sn_jsonw_val(struct sn_jsonw *w, const struct sn_val *v)
{
	size_t i;

	switch (v->type) {
	case SN_VAL_NULL:
		sn_jsonw_null(w);
		break;
	case SN_VAL_BOOL:
		sn_jsonw_bool(w, v->b);
		break;
	case SN_VAL_INT:
		sn_jsonw_int(w, v->i);
		break;
	case SN_VAL_DOUBLE:
		sn_jsonw_double(w, v->d);
		break;
	case SN_VAL_STR:
		sn_jsonw_slice(w, v->str);
		break;
	case SN_VAL_LIST:
		sn_jsonw_list(w);
		for (i = 0; i < v->list.n; i++)
			sn_jsonw_val(w, v->list.items[i]);
		sn_jsonw_list_end(w);
		break;
	case SN_VAL_MAP:
		sn_jsonw_map(w);
		for (i = 0; i < v->map.n; i++) {
			sn_jsonw_key(w, v->map.members[i].key.p);
			sn_jsonw_val(w, v->map.members[i].val);
		}
		sn_jsonw_map_end(w);
		break;
	}
}

void sn_jsonw_kstr(struct sn_jsonw *w, const char *key, const char *s)
{
	sn_jsonw_key(w, key);
	sn_jsonw_str(w, s);
}

void sn_jsonw_kint(struct sn_jsonw *w, const char *key, int64_t i)
{
	sn_jsonw_key(w, key);
	sn_jsonw_int(w, i);
}

void sn_jsonw_kbool(struct sn_jsonw *w, const char *key, bool b)
{
	sn_jsonw_key(w, key);
	sn_jsonw_bool(w, b);
}

int sn_jsonw_end(struct sn_jsonw *w)
{
	if (w->out->failed)
		return -SN_ENOMEM;
	return w->failed || w->depth || w->after_key ? -SN_ESTATE : 0;
}
