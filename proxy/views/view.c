/* SPDX-License-Identifier: Apache-2.0 */
/* Building values, and showing them. Text is for people: a list of maps is a table whose columns
 * are the first row's keys. */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "http/url.h"
#include "proxy/views/views.h"

#define COLUMNS_MAX 24
#define CELL_MAX 60

void sn_view_put(struct sn_arena *a, struct sn_val *map, const char *key, struct sn_val *v)
{
	if (map && v)
		(void)sn_val_set(a, map, sn_slice_cstr(key), v);
}

void sn_view_str(struct sn_arena *a, struct sn_val *map, const char *key, const char *fmt, ...)
{
	char text[2048];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	sn_view_put(a, map, key, sn_val_new_str(a, sn_slice_cstr(text)));
}

void sn_view_int(struct sn_arena *a, struct sn_val *map, const char *key, uint64_t value)
{
	sn_view_put(a, map, key, sn_val_new_int(a, (int64_t)value));
}

struct sn_val *sn_view_row(struct sn_arena *a, struct sn_val *list)
{
	struct sn_val *row = sn_val_new(a, SN_VAL_MAP);

	return row && list && sn_val_push(a, list, row) == 0 ? row : NULL;
}

bool sn_view_wants(struct sn_slice query, const char *key, const char *text)
{
	struct sn_slice value;

	return !sn_url_query_find(query, sn_slice_cstr(key), &value) ||
	       sn_url_decoded_eq(value, sn_slice_cstr(text));
}

/* --- text ---------------------------------------------------------------------------------------
 */

static size_t cell(const struct sn_val *v, char dst[CELL_MAX + 1])
{
	int n = 0;

	dst[0] = 0;
	if (v && v->type == SN_VAL_STR)
		n = snprintf(dst, CELL_MAX + 1, "%.*s", SN_ARG(v->str));
	else if (v && v->type == SN_VAL_INT)
		n = snprintf(dst, CELL_MAX + 1, "%" PRId64, v->i);
	else if (v && v->type == SN_VAL_BOOL)
		n = snprintf(dst, CELL_MAX + 1, "%s", v->b ? "yes" : "no");
	if (n > CELL_MAX)
		n = CELL_MAX;
	if (n == 0)
		n = snprintf(dst, CELL_MAX + 1, "-");
	return (size_t)n;
}

static void pad(struct sn_buf *out, size_t n)
{
	while (n--)
		sn_buf_puts(out, " ");
}

static void table(const struct sn_val *list, struct sn_buf *out, size_t indent)
{
	const struct sn_val *first = sn_val_at(list, 0);
	size_t width[COLUMNS_MAX], n = first->map.n < COLUMNS_MAX ? first->map.n : COLUMNS_MAX;
	char text[CELL_MAX + 1];
	size_t i, k, len;

	for (k = 0; k < n; k++) {
		width[k] = first->map.members[k].key.n;
		for (i = 0; i < sn_val_len(list); i++) {
			len = cell(sn_val_get(sn_val_at(list, i), first->map.members[k].key.p),
				   text);
			width[k] = len > width[k] ? len : width[k];
		}
	}
	pad(out, indent);
	for (k = 0; k < n; k++)
		for (i = 0; i < width[k] + 2; i++) {
			struct sn_slice key = first->map.members[k].key;
			char c = i < key.n ? key.p[i] : ' ';

			if (i >= key.n && k + 1 == n)
				break;
			c = (char)(c >= 'a' && c <= 'z' ? c - 32 : c);
			sn_buf_append(out, &c, 1);
		}
	sn_buf_puts(out, "\n");
	for (i = 0; i < sn_val_len(list); i++) {
		pad(out, indent);
		for (k = 0; k < n; k++) {
			len = cell(sn_val_get(sn_val_at(list, i), first->map.members[k].key.p),
				   text);
			sn_buf_append(out, text, len);
			if (k + 1 < n)
				pad(out, width[k] + 2 - len);
		}
		sn_buf_puts(out, "\n");
	}
}

static void show(const struct sn_val *v, struct sn_buf *out, size_t indent)
{
	char text[CELL_MAX + 1];
	size_t i;

	if (v->type == SN_VAL_LIST && sn_val_len(v) && sn_val_at(v, 0)->type == SN_VAL_MAP) {
		table(v, out, indent);
		return;
	}
	if (v->type == SN_VAL_LIST && sn_val_len(v) == 0) {
		pad(out, indent);
		sn_buf_puts(out, "none\n");
		return;
	}
	for (i = 0; v->type == SN_VAL_MAP && i < v->map.n; i++) {
		const struct sn_val *one = v->map.members[i].val;

		pad(out, indent);
		sn_buf_printf(out, "%.*s:", SN_ARG(v->map.members[i].key));
		if (one->type == SN_VAL_MAP || one->type == SN_VAL_LIST) {
			sn_buf_puts(out, "\n");
			show(one, out, indent + 2);
		} else if (one->type == SN_VAL_STR) {
			sn_buf_printf(out, " %.*s\n", SN_ARG(one->str));
		} else {
			cell(one, text);
			sn_buf_printf(out, " %s\n", text);
		}
	}
}

void sn_view_text(const struct sn_val *v, struct sn_buf *out)
{
	show(v, out, 0);
}

void sn_view_json(const struct sn_val *v, struct sn_buf *out)
{
	struct sn_jsonw w;

	sn_jsonw_init(&w, out);
	sn_jsonw_val(&w, v);
	(void)sn_jsonw_end(&w);
	sn_buf_puts(out, "\n");
}
