/* SPDX-License-Identifier: Apache-2.0 */
/* libyaml's events -> the document model. Everything that makes YAML dangerous is bounded here:
 * input size, depth (counted on events, since libyaml's own nesting is quadratic), nodes after
 * aliases; and what makes it surprising is refused: tags, merge keys, duplicate keys, non-string
 * keys. */
#include "base/yaml.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/map.h"
#include "base/num.h"

#define KEYS_KEPT 64 /* a document has few keys, many times */

struct anchor {
	struct sn_val *val;
	unsigned nodes; /* that it stands for */
};

struct reader {
	yaml_parser_t parser;
	struct sn_arena *arena;
	const char *file;
	unsigned nodes;
	struct sn_map anchors; /* of this document, by name */
	struct sn_slice keys[KEYS_KEPT];
	struct sn_yaml_mark mark;
	struct sn_err *err;
	int code;
};

static void note(struct reader *r, yaml_mark_t m)
{
	r->mark.line = (uint32_t)m.line + 1;
	r->mark.col = (uint32_t)m.column + 1;
}

static int fail(struct reader *r, yaml_mark_t m, enum sn_code code, const char *msg,
		const char *what)
{
	note(r, m);
	r->code = sn_err_set(r->err, code, what ? "%s: \"%.100s\"" : "%s%s", msg, what ? what : "");
	return r->code;
}

static int next_event(struct reader *r, yaml_event_t *e)
{
	if (yaml_parser_parse(&r->parser, e))
		return 0;
	if (r->parser.error == YAML_MEMORY_ERROR) {
		r->code = sn_err_set(r->err, SN_ENOMEM, "out of memory");
	} else if (r->parser.error == YAML_READER_ERROR) {
		size_t at = r->parser.problem_offset;

		(void)at;
		r->code = sn_err_set(r->err, SN_ESYNTAX, "not valid YAML: %s",
				     r->parser.problem ? r->parser.problem : "bad character");
		note(r, r->parser.mark);
	} else {
		r->code = sn_err_set(r->err, SN_ESYNTAX, "not valid YAML: %s%s%s",
				     r->parser.problem ? r->parser.problem : "?",
				     r->parser.context ? ", " : "",
				     r->parser.context ? r->parser.context : "");
		note(r, r->parser.problem_mark);
	}
	return r->code;
}

static bool all_digits(const char *s, size_t n, const char *set)
{
	return n > 0 && strspn(s, set) == n;
}

/* What is too large for a double stays text, as .inf and .nan do: no setting is infinite. */
static bool as_double(const char *s, struct sn_val *v)
{
	double d = strtod(s, NULL);

	if (!isfinite(d))
		return false;
	v->type = SN_VAL_DOUBLE;
	v->d = d;
	return true;
}

/* YAML 1.2.2, 10.3.2: the core schema's integers and floats. */
static bool resolve_number(const char *s, struct sn_val *v)
{
	const char *digits = s + (*s == '-' || *s == '+');
	size_t n = strlen(digits);
	char *end;

	if (n > 2 && s[0] == '0' && s[1] == 'o' && all_digits(s + 2, n - 2, "01234567")) {
		errno = 0;
		v->i = strtoll(s + 2, &end, 8);
	} else if (n > 2 && s[0] == '0' && s[1] == 'x' &&
		   all_digits(s + 2, n - 2, "0123456789abcdefABCDEF")) {
		errno = 0;
		v->i = strtoll(s + 2, &end, 16);
	} else if (all_digits(digits, n, "0123456789")) {
		errno = 0;
		v->i = strtoll(s, &end, 10);
	} else {
		size_t whole = strspn(digits, "0123456789"), frac = 0;
		const char *p = digits + whole;

		if (*p == '.') {
			frac = strspn(++p, "0123456789");
			p += frac;
		}
		if (whole + frac == 0)
			return false;
		if (*p == 'e' || *p == 'E') {
			p++;
			p += *p == '-' || *p == '+';
			if (strspn(p, "0123456789") == 0)
				return false;
			p += strspn(p, "0123456789");
		}
		return *p == 0 && as_double(s, v);
	}
	if (errno == ERANGE)
		return as_double(s, v);
	v->type = SN_VAL_INT;
	return true;
}

static void resolve_plain(struct sn_val *v, const char *s)
{
	static const char *const nulls[] = {"", "~", "null", "Null", "NULL"};
	static const char *const trues[] = {"true", "True", "TRUE"};
	static const char *const falses[] = {"false", "False", "FALSE"};
	size_t i;

	if (*s && !strchr("~nNtTfF+-.0123456789", *s))
		return; /* nothing but a string begins so */
	for (i = 0; i < SN_ARRAY_LEN(nulls); i++)
		if (strcmp(s, nulls[i]) == 0) {
			v->type = SN_VAL_NULL;
			return;
		}
	for (i = 0; i < SN_ARRAY_LEN(trues); i++)
		if (strcmp(s, trues[i]) == 0 || strcmp(s, falses[i]) == 0) {
			v->type = SN_VAL_BOOL;
			v->b = strcmp(s, trues[i]) == 0;
			return;
		}
	resolve_number(s, v);
}

static struct sn_val *new_node(struct reader *r, yaml_event_t *e, enum sn_val_type t)
{
	struct sn_val *v = NULL;

	if (++r->nodes > SN_YAML_NODES_MAX) {
		fail(r, e->start_mark, SN_ETOOBIG, "too many values in one document", NULL);
		return NULL;
	}
	v = sn_val_new(r->arena, t);
	if (!v) {
		fail(r, e->start_mark, SN_ENOMEM, "document needs too much memory", NULL);
		return NULL;
	}
	v->file = r->file;
	v->line = (uint32_t)e->start_mark.line + 1;
	v->col = ((uint32_t)e->start_mark.column + 1) & SN_VAL_COL_MAX;
	return v;
}

static struct sn_val *scalar(struct reader *r, yaml_event_t *e)
{
	const char *s = (const char *)e->data.scalar.value;
	size_t n = e->data.scalar.length;
	struct sn_val *v = new_node(r, e, SN_VAL_STR);
	char *copy;

	if (!v)
		return NULL;
	if (e->data.scalar.tag) {
		fail(r, e->start_mark, SN_ESYNTAX, "tags are not allowed",
		     (const char *)e->data.scalar.tag);
		return NULL;
	}
	if (memchr(s, 0, n)) {
		fail(r, e->start_mark, SN_ESYNTAX, "NUL in a string", NULL);
		return NULL;
	}
	copy = sn_arena_dup(r->arena, s, n);
	if (!copy) {
		fail(r, e->start_mark, SN_ENOMEM, "document needs too much memory", NULL);
		return NULL;
	}
	v->str = sn_slice(copy, n);
	if (e->data.scalar.style == YAML_PLAIN_SCALAR_STYLE) {
		struct sn_slice text = v->str;

		resolve_plain(v, copy);
		if (v->type == SN_VAL_STR)
			v->str = text;
	}
	return v;
}

static int add_anchor(struct reader *r, const yaml_char_t *name, struct sn_val *v, unsigned nodes)
{
	struct anchor *a = sn_arena_alloc(r->arena, sizeof(*a));

	if (!a || sn_map_put(&r->anchors, sn_slice_cstr((const char *)name), a, NULL))
		return r->code = sn_err_set(r->err, SN_ENOMEM, "document needs too much memory");
	a->val = v;
	a->nodes = nodes;
	return 0;
}

static struct sn_val *alias(struct reader *r, yaml_event_t *e)
{
	const char *name = (const char *)e->data.alias.anchor;
	struct anchor *a = sn_map_find(&r->anchors, sn_slice_cstr(name));

	if (!a) {
		fail(r, e->start_mark, SN_ESYNTAX, "alias without a finished anchor of that name",
		     name);
		return NULL;
	}
	if (a->nodes > SN_YAML_NODES_MAX - r->nodes) {
		fail(r, e->start_mark, SN_ETOOBIG, "aliases expand to too many values", name);
		return NULL;
	}
	r->nodes += a->nodes;
	return a->val; /* shared: values are immutable */
}

static struct sn_val *node(struct reader *r, yaml_event_t *e, unsigned depth);

static struct sn_val *sequence(struct reader *r, yaml_event_t *start, unsigned depth)
{
	struct sn_val *v = new_node(r, start, SN_VAL_LIST), *item;
	yaml_event_t e;

	while (v) {
		if (next_event(r, &e))
			return NULL;
		if (e.type == YAML_SEQUENCE_END_EVENT) {
			yaml_event_delete(&e);
			return v;
		}
		item = node(r, &e, depth + 1);
		if (item && sn_val_push(r->arena, v, item)) {
			fail(r, e.start_mark, SN_ENOMEM, "document needs too much memory", NULL);
			item = NULL;
		}
		yaml_event_delete(&e);
		if (!item)
			return NULL;
	}
	return NULL;
}

/* The first keys of a map are looked through, which costs less than a table; @keys has the others.
 */
#define KEYS_SCANNED 16

static bool has_key(const struct sn_val *map, const struct sn_map *keys, struct sn_slice key)
{
	size_t i;

	for (i = 0; i < map->map.n && i < KEYS_SCANNED; i++)
		if (sn_slice_eq(map->map.members[i].key, key))
			return true;
	return map->map.n > KEYS_SCANNED && sn_map_find(keys, key);
}

/* In the arena; the same text as before is the same copy. Without .p: out of memory. */
static struct sn_slice keep_key(struct reader *r, struct sn_slice key)
{
	size_t at =
		key.n ? key.n * 7 + (unsigned char)key.p[0] + (unsigned char)key.p[key.n - 1] : 0;
	struct sn_slice *kept = &r->keys[at % KEYS_KEPT];

	if (!kept->p || !sn_slice_eq(*kept, key))
		*kept = sn_slice(sn_arena_dup(r->arena, key.p, key.n), key.n);
	return *kept;
}

/* Reads one key and its value. Returns 0, 1 at the map's end, or an error. */
static int pair(struct reader *r, struct sn_val *map, struct sn_map *keys, unsigned depth)
{
	yaml_event_t k, e;
	struct sn_slice key;
	struct sn_val *v;
	int rc = 0;

	if (next_event(r, &k))
		return r->code;
	if (k.type == YAML_MAPPING_END_EVENT) {
		yaml_event_delete(&k);
		return 1;
	}
	key = sn_slice((const char *)k.data.scalar.value, k.data.scalar.length);
	if (k.type != YAML_SCALAR_EVENT || k.data.scalar.tag || k.data.scalar.anchor)
		rc = fail(r, k.start_mark, SN_ESYNTAX, "a key must be a plain string", NULL);
	else if (memchr(key.p, 0, key.n))
		rc = fail(r, k.start_mark, SN_ESYNTAX, "NUL in a key", NULL);
	else if (sn_slice_eq_cstr(key, "<<"))
		rc = fail(r, k.start_mark, SN_ESYNTAX,
			  "merge keys (\"<<\") are not YAML 1.2; write the values out", NULL);
	else if (has_key(map, keys, key))
		rc = fail(r, k.start_mark, SN_ESYNTAX, "duplicate key", key.p);
	else if (map->map.n >= KEYS_SCANNED && sn_map_put(keys, key, map, NULL))
		rc = fail(r, k.start_mark, SN_ENOMEM, "out of memory", NULL);
	if (rc || next_event(r, &e)) {
		yaml_event_delete(&k);
		return r->code;
	}
	v = node(r, &e, depth + 1);
	yaml_event_delete(&e);
	if (v) {
		struct sn_member *m;

		key = keep_key(r, key);
		rc = key.p ? sn_val_add_key(r->arena, map, key, v) : -SN_ENOMEM;
		if (rc == 0) {
			m = &map->map.members[map->map.n - 1];
			m->line = (uint32_t)k.start_mark.line + 1;
			m->col = (uint32_t)k.start_mark.column + 1;
		} else {
			rc = fail(r, k.start_mark, SN_ENOMEM, "document needs too much memory",
				  NULL);
		}
	} else {
		rc = r->code;
	}
	yaml_event_delete(&k);
	return rc;
}

static struct sn_val *mapping(struct reader *r, yaml_event_t *start, unsigned depth)
{
	struct sn_val *v = new_node(r, start, SN_VAL_MAP);
	struct sn_map keys;
	int rc = 0;

	if (!v)
		return NULL;
	sn_map_init(&keys);
	while (rc == 0) {
		if (v->map.n >= 20000)
			rc = fail(r, start->start_mark, SN_ETOOBIG, "too many keys in one map",
				  NULL);
		else
			rc = pair(r, v, &keys, depth);
	}
	sn_map_done(&keys, NULL);
	return rc == 1 ? v : NULL;
}

static struct sn_val *node(struct reader *r, yaml_event_t *e, unsigned depth)
{
	const yaml_char_t *anchor = NULL, *tag = NULL;
	unsigned before = r->nodes;
	struct sn_val *v;

	if (depth > SN_YAML_DEPTH_MAX) {
		fail(r, e->start_mark, SN_EDEPTH, "nested deeper than 64 levels", NULL);
		return NULL;
	}
	switch (e->type) {
	case YAML_ALIAS_EVENT:
		return alias(r, e);
	case YAML_SCALAR_EVENT:
		anchor = e->data.scalar.anchor;
		v = scalar(r, e);
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = e->data.sequence_start.anchor;
		tag = e->data.sequence_start.tag;
		v = tag ? NULL : sequence(r, e, depth);
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = e->data.mapping_start.anchor;
		tag = e->data.mapping_start.tag;
		v = tag ? NULL : mapping(r, e, depth);
		break;
	default:
		fail(r, e->start_mark, SN_ESYNTAX, "unexpected end of the document", NULL);
		return NULL;
	}
	if (tag)
		fail(r, e->start_mark, SN_ESYNTAX, "tags are not allowed", (const char *)tag);
	if (v && anchor && add_anchor(r, anchor, v, r->nodes - before))
		return NULL;
	return v;
}

/* Reads every document into *list. */
static int documents(struct reader *r, struct sn_val *list)
{
	yaml_event_t e;
	int type;

	do {
		if (next_event(r, &e))
			return r->code;
		type = (int)e.type;
		if (e.type == YAML_DOCUMENT_START_EVENT) {
			yaml_event_t first;
			struct sn_val *v;

			sn_map_done(&r->anchors, NULL);
			yaml_event_delete(&e);
			if (next_event(r, &first))
				return r->code;
			v = node(r, &first, 1);
			yaml_event_delete(&first);
			if (!v)
				return r->code;
			if (v->type != SN_VAL_NULL && sn_val_push(r->arena, list, v))
				return r->code = sn_err_set(r->err, SN_ENOMEM, "out of memory");
		} else {
			yaml_event_delete(&e);
		}
	} while (type != YAML_STREAM_END_EVENT);
	return 0;
}

/* Line and column of byte @at, for what libyaml does not look at. */
static struct sn_yaml_mark mark_at(const char *p, size_t at)
{
	struct sn_yaml_mark m = {1, 1};
	size_t i;

	for (i = 0; i < at; i++) {
		m.col++;
		if (p[i] == '\n') {
			m.line++;
			m.col = 1;
		}
	}
	return m;
}

static int precheck(const char *p, size_t n, struct sn_yaml_mark *mark, struct sn_err *err)
{
	const char *nul = n ? memchr(p, 0, n) : NULL;
	size_t i = 0, ok = 0;

	if (n > SN_YAML_INPUT_MAX)
		return sn_err_set(err, SN_ETOOBIG, "larger than 1 MiB");
	if (nul) {
		*mark = mark_at(p, (size_t)(nul - p));
		return sn_err_set(err, SN_ESYNTAX, "NUL byte: not a text file");
	}
	if (sn_utf8_valid(sn_slice(p, n)))
		return 0;
	for (i = 0; i < n; i++) { /* cold: find the line that holds the bad byte */
		if (p[i] != '\n' && i + 1 < n)
			continue;
		if (!sn_utf8_valid(sn_slice(p + ok, i + 1 - ok)))
			break;
		ok = i + 1;
	}
	*mark = mark_at(p, ok);
	return sn_err_set(err, SN_ESYNTAX, "this line is not valid UTF-8");
}

int sn_yaml_parse_all(struct sn_arena *a, const char *file, const char *p, size_t n,
		      struct sn_val **ret, struct sn_yaml_mark *mark, struct sn_err *err)
{
	struct reader r = {.arena = a, .file = file, .err = err, .mark = {1, 1}};
	struct sn_yaml_mark unused = {1, 1};
	struct sn_val *list;
	int rc;

	mark = mark ? mark : &unused;
	*mark = r.mark;
	rc = precheck(p, n, mark, err);
	if (rc)
		return rc;
	list = sn_val_new(a, SN_VAL_LIST);
	if (!list || !yaml_parser_initialize(&r.parser))
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	yaml_parser_set_input_string(&r.parser, (const unsigned char *)p, n);
	yaml_parser_set_encoding(&r.parser, YAML_UTF8_ENCODING);
	sn_map_init(&r.anchors);
	rc = documents(&r, list);
	sn_map_done(&r.anchors, NULL);
	yaml_parser_delete(&r.parser);
	*mark = r.mark;
	if (rc)
		return rc;
	*ret = list;
	return 0;
}

int sn_yaml_parse(struct sn_arena *a, const char *file, const char *p, size_t n,
		  struct sn_val **ret, struct sn_yaml_mark *mark, struct sn_err *err)
{
	struct sn_val *list = NULL;
	int rc = sn_yaml_parse_all(a, file, p, n, &list, mark, err);

	if (rc || !list)
		return rc;
	if (list->list.n > 1) {
		if (mark)
			*mark = (struct sn_yaml_mark){list->list.items[1]->line,
						      list->list.items[1]->col};
		return sn_err_set(err, SN_ESYNTAX, "more than one document in the file");
	}
	*ret = list->list.n ? list->list.items[0] : sn_val_new(a, SN_VAL_NULL);
	if (!*ret)
		return sn_err_set(err, SN_ENOMEM, "out of memory");
	(*ret)->file = file;
	return 0;
}

/* --- writer ------------------------------------------------------------------------------- */

static const bool is_plain[256] = {
	['a' ... 'z'] = true, ['A' ... 'Z'] = true, ['0' ... '9'] = true, ['-'] = true,
	['.'] = true,	      ['/'] = true,	    ['_'] = true,
};

/* Stand for themselves in double quotes. */
static const bool is_quoted_as_is[256] = {
	[' ' ... '!'] = true,
	['#' ... '['] = true,
	[']' ... '~'] = true,
};

/* What YAML 1.1 readers take for booleans, beyond those of 1.2. */
static bool old_boolean(const char *s)
{
	static const char *const words[] = {"yes", "no", "on", "off", "y", "n"};
	size_t i;

	for (i = 0; i < SN_ARRAY_LEN(words); i++)
		if (strcasecmp(s, words[i]) == 0)
			return true;
	return false;
}

static bool plain_safe(const char *s)
{
	struct sn_val v = {.type = SN_VAL_STR};
	size_t n = 0;

	if (s[0] == '-' || s[0] == '.')
		return false;
	while (n <= 256 && is_plain[(unsigned char)s[n]])
		n++;
	if (n == 0 || s[n] || n > 256)
		return false;
	resolve_plain(&v, s);
	return v.type == SN_VAL_STR && (n > 3 || !old_boolean(s));
}

/* What begins at @p (valid UTF-8) is a character that YAML reads as a line break or refuses unless
 * it is escaped: its length and code point, else 0. */
static size_t unprintable(const char *p, unsigned *ret)
{
	const unsigned char *u = (const unsigned char *)p;

	if (u[0] == 0xc2 && u[1] < 0xa0) { /* C1 controls, next line among them */
		*ret = u[1];
		return 2;
	}
	if (u[0] < 0xe0 || u[0] > 0xef)
		return 0;
	*ret = (u[0] & 0x0fu) << 12 | (u[1] & 0x3fu) << 6 | (u[2] & 0x3fu);
	return *ret == 0x2028 || *ret == 0x2029 || *ret == 0xfeff || *ret >= 0xfffe ? 3 : 0;
}

static void write_str(struct sn_buf *out, struct sn_slice s)
{
	unsigned point;
	size_t i, n;

	if (plain_safe(s.p)) {
		sn_buf_append(out, s.p, s.n);
		return;
	}
	sn_buf_putc(out, '"');
	for (i = 0; i < s.n; i++) {
		unsigned char c = (unsigned char)s.p[i];

		for (n = 0; i + n < s.n && is_quoted_as_is[(unsigned char)s.p[i + n]];)
			n++;
		if (n) {
			sn_buf_append(out, s.p + i, n);
			i += n - 1;
			continue;
		}
		if (c == '"' || c == '\\')
			sn_buf_printf(out, "\\%c", c);
		else if (c == '\n')
			sn_buf_puts(out, "\\n");
		else if (c < 0x20 || c == 0x7f)
			sn_buf_printf(out, "\\x%02x", c);
		else if ((n = unprintable(s.p + i, &point)) > 0)
			sn_buf_printf(out, "\\u%04x", point);
		else
			sn_buf_putc(out, (char)c);
		i += n ? n - 1 : 0;
	}
	sn_buf_putc(out, '"');
}

static void write_node(struct sn_buf *out, const struct sn_val *v, unsigned indent,
		       bool inline_first);

static void write_pad(struct sn_buf *out, unsigned indent)
{
	static const char spaces[] = "                                ";
	size_t n = 2 * (size_t)indent, part;

	for (; n; n -= part) {
		part = n < sizeof(spaces) - 1 ? n : sizeof(spaces) - 1;
		sn_buf_append(out, spaces, part);
	}
}

/* After "key:" or "-": scalars and empty collections on the same line, others on the next ones. */
static void write_child(struct sn_buf *out, const struct sn_val *v, unsigned indent, bool in_list)
{
	bool block = (v->type == SN_VAL_MAP || v->type == SN_VAL_LIST) && sn_val_len(v) > 0;

	if (!block) {
		sn_buf_putc(out, ' ');
		write_node(out, v, indent, true);
		sn_buf_putc(out, '\n');
	} else if (in_list) {
		sn_buf_putc(out, ' ');
		write_node(out, v, indent, true);
	} else {
		sn_buf_putc(out, '\n');
		write_node(out, v, indent, false);
	}
}

/* A simple key is at most 1024 characters, and escapes are longer than what they stand for. */
static void write_key(struct sn_buf *out, struct sn_slice key, unsigned indent)
{
	if (key.n <= 200) {
		write_str(out, key);
	} else {
		sn_buf_puts(out, "? ");
		write_str(out, key);
		sn_buf_putc(out, '\n');
		write_pad(out, indent);
	}
	sn_buf_putc(out, ':');
}

static void write_map(struct sn_buf *out, const struct sn_val *v, unsigned indent,
		      bool inline_first)
{
	size_t i;

	for (i = 0; i < v->map.n; i++) {
		if (i || !inline_first)
			write_pad(out, indent);
		write_key(out, v->map.members[i].key, indent);
		write_child(out, v->map.members[i].val,
			    indent + (v->map.members[i].val->type == SN_VAL_MAP), false);
	}
}

/* So that it reads back as a number of this kind: 1e5 is not the integer 100000. Finite. */
static void write_double(struct sn_buf *out, double d)
{
	char text[40];

	snprintf(text, sizeof(text), "%.17g", d);
	sn_buf_puts(out, text);
	if (!strpbrk(text, ".e"))
		sn_buf_puts(out, ".0");
}

static void write_list(struct sn_buf *out, const struct sn_val *v, unsigned indent,
		       bool inline_first)
{
	size_t i;

	for (i = 0; i < v->list.n; i++) {
		if (i || !inline_first)
			write_pad(out, indent);
		sn_buf_putc(out, '-');
		write_child(out, v->list.items[i], indent + 1, true);
	}
}

static void write_node(struct sn_buf *out, const struct sn_val *v, unsigned indent,
		       bool inline_first)
{
	switch (v->type) {
	case SN_VAL_NULL:
		sn_buf_puts(out, "null");
		break;
	case SN_VAL_BOOL:
		sn_buf_puts(out, v->b ? "true" : "false");
		break;
	case SN_VAL_INT:
		sn_buf_printf(out, "%lld", (long long)v->i);
		break;
	case SN_VAL_DOUBLE:
		write_double(out, v->d);
		break;
	case SN_VAL_STR:
		write_str(out, v->str);
		break;
	case SN_VAL_LIST:
		if (v->list.n)
			write_list(out, v, indent, inline_first);
		else
			sn_buf_puts(out, "[]");
		break;
	case SN_VAL_MAP:
		if (v->map.n)
			write_map(out, v, indent, inline_first);
		else
			sn_buf_puts(out, "{}");
		break;
	}
}

int sn_yaml_write(struct sn_buf *out, const struct sn_val *v)
{
	write_node(out, v, 0, false);
	if (v->type != SN_VAL_MAP && v->type != SN_VAL_LIST)
		sn_buf_putc(out, '\n');
	return out->failed ? -SN_ENOMEM : 0;
}
