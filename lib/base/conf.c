/* SPDX-License-Identifier: Apache-2.0 */
/* The schema engine: walks a table and a document side by side. Every finding is kept, so that one
 * --check shows them all. */
#include "base/conf.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/num.h"

void sn_conf_ctx_init(struct sn_conf_ctx *ctx, struct sn_arena *arena)
{
	memset(ctx, 0, sizeof(*ctx));
	ctx->arena = arena;
}

void sn_conf_error(struct sn_conf_ctx *ctx, const struct sn_val *v, const char *fmt, ...)
{
	struct sn_conf_diag *d;
	char msg[1024];
	va_list ap;

	ctx->n_errors++;
	if (ctx->n_diags == SN_CONF_DIAGS_MAX)
		return;
	va_start(ap, fmt);
	vsnprintf(msg, sizeof(msg), fmt, ap);
	va_end(ap);
	d = &ctx->diags[ctx->n_diags];
	d->file = v ? v->file : NULL;
	d->line = v ? v->line : 0;
	d->col = v ? v->col : 0;
	d->path = sn_arena_strdup(ctx->arena, ctx->path);
	d->msg = sn_arena_strdup(ctx->arena, msg);
	if (d->path && d->msg)
		ctx->n_diags++;
}

void sn_conf_print(const struct sn_conf_ctx *ctx, struct sn_buf *out)
{
	size_t i;

	for (i = 0; i < ctx->n_diags; i++) {
		const struct sn_conf_diag *d = &ctx->diags[i];

		sn_buf_printf(out, "%s:%u:%u: %s%s%s\n", d->file ? d->file : "-", d->line, d->col,
			      d->path, d->path[0] ? ": " : "", d->msg);
	}
	if (ctx->n_errors > ctx->n_diags)
		sn_buf_printf(out, "... and %zu more\n", ctx->n_errors - ctx->n_diags);
}

static int decode_value(struct sn_conf_ctx *ctx, const struct sn_conf_field *f,
			const struct sn_val *v, void *at, void *base);
static int decode_object(struct sn_conf_ctx *ctx, const struct sn_conf_object *obj,
			 const struct sn_val *v, void *out);

static const char *type_words(const struct sn_conf_field *f)
{
	switch (f->type) {
	case SN_CONF_BOOL:
		return "true or false";
	case SN_CONF_INT:
		return "an integer";
	case SN_CONF_STR:
		return "a string";
	case SN_CONF_DURATION:
		return "a duration such as 500ms, 10s, 1h30m";
	case SN_CONF_SIZE:
		return "a size such as 64KiB, 1MiB";
	case SN_CONF_ENUM:
		return "one of its names";
	case SN_CONF_OBJECT:
		return "a map";
	case SN_CONF_LIST:
		return "a list";
	case SN_CONF_STR_OR_LIST:
		return "a string or a list of strings";
	case SN_CONF_ANY:
		break;
	}
	return "a value";
}

/* What was found, for messages: its type, and its text if short. */
static const char *found(const struct sn_val *v, char *dst, size_t cap)
{
	switch (v->type) {
	case SN_VAL_BOOL:
		snprintf(dst, cap, "boolean %s", v->b ? "true" : "false");
		break;
	case SN_VAL_INT:
		snprintf(dst, cap, "integer %lld", (long long)v->i);
		break;
	case SN_VAL_DOUBLE:
		snprintf(dst, cap, "number %g", v->d);
		break;
	case SN_VAL_STR:
		snprintf(dst, cap, "string \"%.80s\"", v->str.p);
		break;
	default:
		snprintf(dst, cap, "%s", sn_val_type_name(v->type));
		break;
	}
	return dst;
}

static int wrong_type(struct sn_conf_ctx *ctx, const struct sn_conf_field *f,
		      const struct sn_val *v)
{
	char what[128];
	bool quote = f->type == SN_CONF_STR &&
		     (v->type == SN_VAL_BOOL || v->type == SN_VAL_INT || v->type == SN_VAL_DOUBLE);

	sn_conf_error(ctx, v, "expected %s, found %s%s", type_words(f),
		      found(v, what, sizeof(what)), quote ? "; put it in quotes" : "");
	return 0;
}

static int decode_int(struct sn_conf_ctx *ctx, const struct sn_conf_field *f,
		      const struct sn_val *v, int64_t *at)
{
	if (v->type != SN_VAL_INT)
		return wrong_type(ctx, f, v);
	if (v->i < f->min || v->i > f->max) {
		sn_conf_error(ctx, v, "%lld is out of range, allowed: %lld to %lld",
			      (long long)v->i, (long long)f->min, (long long)f->max);
		return 0;
	}
	*at = v->i;
	return 0;
}

static int decode_unit(struct sn_conf_ctx *ctx, const struct sn_conf_field *f,
		       const struct sn_val *v, uint64_t *at)
{
	bool duration = f->type == SN_CONF_DURATION;
	char lo[32], hi[32];
	uint64_t n = 0;
	int rc = -SN_ESYNTAX;

	if (v->type == SN_VAL_STR)
		rc = duration ? sn_num_duration_ms(v->str, &n) : sn_num_size_bytes(v->str, &n);
	else if (v->type == SN_VAL_INT && !duration && v->i >= 0) {
		n = (uint64_t)v->i;
		rc = 0;
	}
	if (rc)
		return wrong_type(ctx, f, v);
	if (f->max && (n < (uint64_t)f->min || n > (uint64_t)f->max)) {
		void (*fmt)(uint64_t, char *, size_t) =
			duration ? sn_num_format_duration : sn_num_format_size;

		fmt((uint64_t)f->min, lo, sizeof(lo));
		fmt((uint64_t)f->max, hi, sizeof(hi));
		sn_conf_error(ctx, v, "out of range, allowed: %s to %s", lo, hi);
		return 0;
	}
	*at = n;
	return 0;
}

static int decode_enum(struct sn_conf_ctx *ctx, const struct sn_conf_field *f,
		       const struct sn_val *v, int *at)
{
	const struct sn_conf_name *n;
	const char *guess = NULL;
	size_t best = 3, d;
	char all[256] = "";
	size_t len = 0;

	if (v->type != SN_VAL_STR)
		return wrong_type(ctx, f, v);
	for (n = f->names; n->name; n++) {
		if (strcmp(n->name, v->str.p) == 0) {
			*at = n->value;
			return 0;
		}
		d = sn_str_distance(n->name, v->str.p, 2);
		if (d < best) {
			best = d;
			guess = n->name;
		}
		if (len < sizeof(all))
			len += (size_t)snprintf(all + len, sizeof(all) - len, "%s%s",
						len ? ", " : "", n->name);
	}
	if (guess)
		sn_conf_error(ctx, v, "unknown value \"%.80s\", did you mean \"%s\"? allowed: %s",
			      v->str.p, guess, all);
	else
		sn_conf_error(ctx, v, "unknown value \"%.80s\", allowed: %s", v->str.p, all);
	return 0;
}

static int decode_str(struct sn_conf_ctx *ctx, const struct sn_conf_field *f,
		      const struct sn_val *v, const char **at)
{
	uint64_t max = f->max ? (uint64_t)f->max : 4096;

	if (v->type != SN_VAL_STR)
		return wrong_type(ctx, f, v);
	if (v->str.n < (uint64_t)f->min || v->str.n > max) {
		sn_conf_error(ctx, v, "%zu bytes long, allowed: %lld to %llu", v->str.n,
			      (long long)f->min, (unsigned long long)max);
		return 0;
	}
	*at = v->str.p;
	return 0;
}

static size_t item_size(const struct sn_conf_field *f)
{
	switch (f->type) {
	case SN_CONF_BOOL:
		return sizeof(bool);
	case SN_CONF_ENUM:
		return sizeof(int);
	case SN_CONF_OBJECT:
		return f->object->size;
	case SN_CONF_STR:
	case SN_CONF_ANY:
		return sizeof(void *);
	default:
		return sizeof(uint64_t);
	}
}

/* The path: for each key of a document, so without printf and strlen. What does not fit is left
 * out: the place is named without its end. */
static void path_add(struct sn_conf_ctx *ctx, const char *s, size_t n)
{
	if (ctx->path_len + n >= sizeof(ctx->path))
		return;
	memcpy(ctx->path + ctx->path_len, s, n);
	ctx->path_len += n;
	ctx->path[ctx->path_len] = 0;
}

static void path_index(struct sn_conf_ctx *ctx, size_t i)
{
	char text[24], *p = text + sizeof(text);

	*--p = ']';
	do
		*--p = (char)('0' + i % 10);
	while ((i /= 10) > 0);
	*--p = '[';
	path_add(ctx, p, (size_t)(text + sizeof(text) - p));
}

static void path_cut(struct sn_conf_ctx *ctx, size_t len)
{
	ctx->path_len = len;
	ctx->path[len] = 0;
}

static int decode_list(struct sn_conf_ctx *ctx, const struct sn_conf_field *f,
		       const struct sn_val *v, void **at, size_t *ret_n)
{
	uint64_t max = f->max ? (uint64_t)f->max : 100000;
	size_t size = item_size(f->item), len = ctx->path_len, i;
	char *items;
	int rc;

	if (v->type != SN_VAL_LIST)
		return wrong_type(ctx, f, v);
	if (v->list.n < (uint64_t)f->min || v->list.n > max) {
		sn_conf_error(ctx, v, "%zu items, allowed: %lld to %llu", v->list.n,
			      (long long)f->min, (unsigned long long)max);
		return 0;
	}
	items = sn_arena_array(ctx->arena, v->list.n ? v->list.n : 1, size);
	if (!items)
		return -SN_ENOMEM;
	for (i = 0; i < v->list.n; i++) {
		path_index(ctx, i);
		if (f->item->type == SN_CONF_OBJECT)
			rc = decode_object(ctx, f->item->object, v->list.items[i],
					   items + i * size);
		else
			rc = decode_value(ctx, f->item, v->list.items[i], items + i * size, NULL);
		path_cut(ctx, len);
		if (rc)
			return rc;
	}
	*at = items;
	*ret_n = v->list.n;
	return 0;
}

static int decode_str_or_list(struct sn_conf_ctx *ctx, const struct sn_conf_field *f,
			      const struct sn_val *v, const char ***at, size_t *ret_n)
{
	size_t n = v->type == SN_VAL_LIST ? v->list.n : 1, i;
	const char **items;

	if (v->type != SN_VAL_LIST && v->type != SN_VAL_STR)
		return wrong_type(ctx, f, v);
	items = sn_arena_array(ctx->arena, n ? n : 1, sizeof(*items));
	if (!items)
		return -SN_ENOMEM;
	for (i = 0; i < n; i++) {
		const struct sn_val *item = v->type == SN_VAL_LIST ? v->list.items[i] : v;

		if (item->type != SN_VAL_STR)
			return wrong_type(ctx, f, item);
		items[i] = item->str.p;
	}
	*at = items;
	*ret_n = n;
	return 0;
}

static int decode_object_ptr(struct sn_conf_ctx *ctx, const struct sn_conf_field *f,
			     const struct sn_val *v, void **at)
{
	void *out = sn_arena_alloc(ctx->arena, f->object->size);
	int rc;

	if (!out)
		return -SN_ENOMEM;
	rc = decode_object(ctx, f->object, v, out);
	*at = out;
	return rc;
}

static int decode_value(struct sn_conf_ctx *ctx, const struct sn_conf_field *f,
			const struct sn_val *v, void *at, void *base)
{
	size_t before = ctx->n_errors;
	size_t *n = base ? (size_t *)(void *)((char *)base + f->n_offset) : NULL;
	int rc = 0;

	switch (f->type) {
	case SN_CONF_BOOL:
		if (v->type == SN_VAL_BOOL)
			*(bool *)at = v->b;
		else
			rc = wrong_type(ctx, f, v);
		break;
	case SN_CONF_INT:
		rc = decode_int(ctx, f, v, at);
		break;
	case SN_CONF_STR:
		rc = decode_str(ctx, f, v, at);
		break;
	case SN_CONF_DURATION:
	case SN_CONF_SIZE:
		rc = decode_unit(ctx, f, v, at);
		break;
	case SN_CONF_ENUM:
		rc = decode_enum(ctx, f, v, at);
		break;
	case SN_CONF_OBJECT:
		rc = f->flags & SN_CONF_EMBED ? decode_object(ctx, f->object, v, at)
					      : decode_object_ptr(ctx, f, v, at);
		break;
	case SN_CONF_LIST:
		rc = decode_list(ctx, f, v, at, n);
		break;
	case SN_CONF_STR_OR_LIST:
		rc = decode_str_or_list(ctx, f, v, at, n);
		break;
	case SN_CONF_ANY:
		*(const struct sn_val **)at = v;
		break;
	}
	if (rc == 0 && f->check && ctx->n_errors == before)
		f->check(ctx, v, at);
	return rc;
}

/* Sets what the table gives as default; a default that does not decode is a mistake in the table.
 */
static int set_default(struct sn_conf_ctx *ctx, const struct sn_conf_field *f, void *at, void *base)
{
	struct sn_val v = {.type = SN_VAL_STR};
	static const struct sn_val empty = {.type = SN_VAL_MAP};

	if (f->type == SN_CONF_OBJECT)
		return f->flags & SN_CONF_EMBED ? decode_object(ctx, f->object, &empty, at) : 0;
	if (!f->def)
		return 0;
	v.str = sn_slice_cstr(f->def);
	if (f->type == SN_CONF_BOOL) {
		v.type = SN_VAL_BOOL;
		v.b = strcmp(f->def, "true") == 0;
	} else if (f->type == SN_CONF_INT) {
		uint64_t n = 0;

		if (sn_num_u64(v.str, INT64_MAX, &n))
			return -SN_ECONF;
		v.type = SN_VAL_INT;
		v.i = (int64_t)n;
	}
	return decode_value(ctx, f, &v, at, base);
}

static void unknown_key(struct sn_conf_ctx *ctx, const struct sn_conf_object *obj,
			const struct sn_member *m)
{
	const struct sn_conf_field *f, *guess = NULL;
	struct sn_val place = *m->val;
	size_t best = 3, d;

	place.line = m->line;
	place.col = m->col & SN_VAL_COL_MAX;
	for (f = obj->fields; f->key; f++) {
		d = sn_str_distance(f->key, m->key.p, 2);
		if (d < best) {
			best = d;
			guess = f;
		}
	}
	if (guess)
		sn_conf_error(ctx, &place, "unknown key \"%.80s\" in %s, did you mean \"%s\"?",
			      m->key.p, obj->name, guess->key);
	else
		sn_conf_error(ctx, &place, "unknown key \"%.80s\" in %s", m->key.p, obj->name);
}

static const struct sn_conf_field *field_of(const struct sn_conf_object *obj, struct sn_slice key)
{
	const struct sn_conf_field *f;

	for (f = obj->fields; f->key; f++)
		if (sn_slice_eq_cstr(key, f->key))
			return f;
	return NULL;
}

static int decode_member(struct sn_conf_ctx *ctx, const struct sn_conf_object *obj,
			 const struct sn_member *m, void *out)
{
	const struct sn_conf_field *f = field_of(obj, m->key);
	size_t len = ctx->path_len;
	int rc = 0;

	if (!f) {
		if (!ctx->ignore_unknown)
			unknown_key(ctx, obj, m);
		return 0;
	}
	if (len)
		path_add(ctx, ".", 1);
	path_add(ctx, m->key.p, m->key.n);
	if (m->val->type != SN_VAL_NULL) { /* "key:" with nothing means absent */
		rc = decode_value(ctx, f, m->val, (char *)out + f->offset, out);
		if (f->has_offset)
			*(bool *)((char *)out + f->has_offset) = true;
	}
	path_cut(ctx, len);
	return rc;
}

static int decode_object(struct sn_conf_ctx *ctx, const struct sn_conf_object *obj,
			 const struct sn_val *v, void *out)
{
	const struct sn_conf_field *f;
	size_t before = ctx->n_errors, i;
	int rc;

	memset(out, 0, obj->size);
	if (v->type != SN_VAL_MAP && v->type != SN_VAL_NULL) {
		char what[128];

		sn_conf_error(ctx, v, "%s: expected a map, found %s", obj->name,
			      found(v, what, sizeof(what)));
		return 0;
	}
	for (f = obj->fields; f->key; f++) {
		rc = set_default(ctx, f, (char *)out + f->offset, out);
		if (rc)
			return rc;
	}
	for (i = 0; v->type == SN_VAL_MAP && i < v->map.n; i++) {
		rc = decode_member(ctx, obj, &v->map.members[i], out);
		if (rc)
			return rc;
	}
	for (f = obj->fields; f->key; f++) {
		const struct sn_val *given;

		if (!(f->flags & SN_CONF_REQUIRED))
			continue;
		given = sn_val_get(v, f->key);
		if (!given || given->type == SN_VAL_NULL)
			sn_conf_error(ctx, v, "%s: the key \"%s\" is missing", obj->name, f->key);
	}
	if (obj->check && ctx->n_errors == before)
		obj->check(ctx, v, out);
	return 0;
}

int sn_conf_decode(struct sn_conf_ctx *ctx, const struct sn_conf_object *obj,
		   const struct sn_val *v, void *out)
{
	size_t len = ctx->path_len;
	int rc;

	ctx->path_len = strlen(ctx->path); /* checks that decode add to it */
	rc = decode_object(ctx, obj, v, out);
	ctx->path_len = len;
	if (rc)
		return rc;
	return ctx->n_errors ? -SN_ECONF : 0;
}

static void print_enum(const struct sn_conf_field *f, struct sn_buf *out)
{
	const struct sn_conf_name *n;

	for (n = f->names; n->name; n++)
		sn_buf_printf(out, "%s%s", n == f->names ? "" : " | ", n->name);
}

static void print_object(const struct sn_conf_object *obj, struct sn_buf *out, unsigned indent,
			 bool list_item)
{
	const struct sn_conf_field *f;

	for (f = obj->fields; f->key; f++) {
		const struct sn_conf_object *child =
			f->type == SN_CONF_OBJECT ? f->object
			: f->type == SN_CONF_LIST && f->item->type == SN_CONF_OBJECT
				? f->item->object
				: NULL;

		sn_buf_printf(out, "%*s%s%s:", (int)indent, "",
			      list_item ? (f == obj->fields ? "- " : "  ") : "", f->key);
		if (!child)
			sn_buf_printf(out, " %s",
				      f->def			? f->def
				      : f->type == SN_CONF_LIST ? "[]"
								: "");
		if (f->help || f->type == SN_CONF_ENUM || !child) {
			sn_buf_printf(out, "%s# %s", child ? " " : "  ", f->help ? f->help : "");
			if (f->type == SN_CONF_ENUM) {
				sn_buf_puts(out, f->help ? ": " : "");
				print_enum(f, out);
			} else if (!f->help) {
				sn_buf_puts(out, type_words(f));
			}
		}
		sn_buf_putc(out, '\n');
		if (child)
			print_object(child, out, indent + 2 + (list_item ? 2 : 0),
				     f->type == SN_CONF_LIST);
	}
}

void sn_conf_print_defaults(const struct sn_conf_object *obj, struct sn_buf *out)
{
	print_object(obj, out, 0, false);
}
