/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule may do with requests and responses. */
#include <stdio.h>
#include <string.h>

#include "http/message.h"
#include "mesh/filter.h"
#include "mesh/schema_int.h"

void sn_schema__check_token(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const char *s = *(const char **)value;

	if (!sn_token_valid(sn_slice_cstr(s)))
		sn_conf_error(ctx, v,
			      "\"%.80s\" is not a valid name: letters, digits and -_.!#$%%&'*+^`|~",
			      s);
}

/* Names that framing, routing or the mesh itself depend on. */
static void check_filter_name(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	struct sn_slice name = sn_slice_cstr(*(const char **)value);

	sn_schema__check_token(ctx, v, value);
	switch (sn_hdr_lookup(name)) {
	case SN_HDR_CONNECTION:
	case SN_HDR_CONTENT_LENGTH:
	case SN_HDR_HOST:
	case SN_HDR_HTTP2_SETTINGS:
	case SN_HDR_KEEP_ALIVE:
	case SN_HDR_PROXY_CONNECTION:
	case SN_HDR_TE:
	case SN_HDR_TRAILER:
	case SN_HDR_TRANSFER_ENCODING:
	case SN_HDR_UPGRADE:
	case SN_HDR_SENNIT:
		sn_conf_error(ctx, v,
			      "the header \"%.80s\" belongs to the protocol or the mesh and cannot "
			      "be modified",
			      name.p);
		break;
	default:
		break;
	}
}

void sn_schema__check_field_value(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	struct sn_slice s = sn_slice_cstr(*(const char **)value);

	if (!sn_field_value_valid(s) || sn_slice_trim(s).n != s.n)
		sn_conf_error(
			ctx, v,
			"not a valid header value: no control characters, no space at the ends");
}

static const struct sn_conf_field filter_pair_fields[] = {{.key = "name",
							   .type = SN_CONF_STR,
							   .min = 1,
							   .max = 256,
							   AT(sn_raw_pair, name),
							   .flags = SN_CONF_REQUIRED,
							   .check = check_filter_name,
							   .help = "header name"},
							  {.key = "value",
							   .type = SN_CONF_STR,
							   .max = 4096,
							   AT(sn_raw_pair, value),
							   .flags = SN_CONF_REQUIRED,
							   .check = sn_schema__check_field_value,
							   .help = "header value"},
							  END};
static const struct sn_conf_object filter_pair = {"header", sizeof(struct sn_raw_pair),
						  filter_pair_fields, NULL};
static const struct sn_conf_field filter_pair_item = {.type = SN_CONF_OBJECT,
						      .object = &filter_pair};
static const struct sn_conf_field filter_name_item = {
	.type = SN_CONF_STR, .min = 1, .max = 256, .check = check_filter_name};

static const struct sn_conf_field modifier_fields[] = {{.key = "set",
							.type = SN_CONF_LIST,
							.max = 16,
							AT(sn_raw_modifier, set),
							COUNT(sn_raw_modifier, n_set),
							.item = &filter_pair_item,
							.help = "replace or add"},
						       {.key = "add",
							.type = SN_CONF_LIST,
							.max = 16,
							AT(sn_raw_modifier, add),
							COUNT(sn_raw_modifier, n_add),
							.item = &filter_pair_item,
							.help = "add another"},
						       {.key = "remove",
							.type = SN_CONF_LIST,
							.max = 16,
							AT(sn_raw_modifier, remove),
							COUNT(sn_raw_modifier, n_remove),
							.item = &filter_name_item,
							.help = "take out"},
						       END};

/* One name, one change: otherwise the result would hang on the order. */
static void check_modifier(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	struct sn_raw_modifier *m = value;
	const char *names[48];
	size_t n = 0, i, j;

	for (i = 0; i < m->n_set; i++)
		names[n++] = m->set[i].name;
	for (i = 0; i < m->n_add; i++)
		names[n++] = m->add[i].name;
	for (i = 0; i < m->n_remove; i++)
		names[n++] = m->remove[i];
	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++)
			if (strcasecmp(names[i], names[j]) == 0)
				sn_conf_error(ctx, v, "the header \"%.80s\" is named twice",
					      names[i]);
}

static const struct sn_conf_object request_modifier = {
	"requestHeaderModifier", sizeof(struct sn_raw_modifier), modifier_fields, check_modifier};
static const struct sn_conf_object response_modifier = {
	"responseHeaderModifier", sizeof(struct sn_raw_modifier), modifier_fields, check_modifier};

/* --- a filter ----------------------------------------------------------------------------------
 */

static const struct sn_conf_name filter_types[] = {
	{"RequestHeaderModifier", SN_FILTER_REQUEST_HEADERS},
	{"ResponseHeaderModifier", SN_FILTER_RESPONSE_HEADERS},
	{"URLRewrite", SN_FILTER_REWRITE},
	{"RequestRedirect", SN_FILTER_REDIRECT},
	{"RequestMirror", SN_FILTER_MIRROR},
	{"DirectResponse", SN_FILTER_DIRECT_RESPONSE},
	{"Fault", SN_FILTER_FAULT},
	{"CORS", SN_FILTER_CORS},
	{NULL, 0}};

#define MEMBER(name, what, member)                                                                 \
	{                                                                                          \
		.key = (name), .type = SN_CONF_OBJECT, .object = &(what),                          \
		AT(sn_raw_filter, member)                                                          \
	}
/* Behind the first in the order of enum sn_raw_filter_type. */
static const struct sn_conf_field filter_fields[] = {
	{.key = "type",
	 .type = SN_CONF_ENUM,
	 .names = filter_types,
	 AT(sn_raw_filter, type),
	 .flags = SN_CONF_REQUIRED},
	MEMBER("requestHeaderModifier", request_modifier, request),
	MEMBER("responseHeaderModifier", response_modifier, response),
	MEMBER("urlRewrite", sn_schema__rewrite, rewrite),
	MEMBER("requestRedirect", sn_schema__redirect, redirect),
	MEMBER("requestMirror", sn_schema__mirror, mirror),
	MEMBER("directResponse", sn_schema__direct_response, direct),
	MEMBER("fault", sn_schema__fault, fault),
	MEMBER("cors", sn_schema__cors, cors),
	END};

static void check_filter(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_filter *f = value;
	int i;

	for (i = 0; i < SN_FILTER_TYPES; i++) {
		const struct sn_conf_field *field = &filter_fields[1 + i];
		void *const *member = (void *)((char *)value + field->offset);

		if (i == f->type && !*member)
			sn_conf_error(ctx, v, "filter: the key \"%s\" is missing", field->key);
		else if (i != f->type && *member)
			sn_conf_error(ctx, sn_val_get(v, field->key),
				      "filter: the key \"%s\" does not go with type %s", field->key,
				      filter_types[f->type].name);
	}
}

static const struct sn_conf_object filter = {"filter", sizeof(struct sn_raw_filter), filter_fields,
					     check_filter};
const struct sn_conf_field sn_schema__filter_item = {.type = SN_CONF_OBJECT, .object = &filter};

/* --- the filters of a rule ---------------------------------------------------------------------
 */

static void error_at(struct sn_conf_ctx *ctx, const struct sn_val *rule, size_t i, const char *text)
{
	size_t len = strlen(ctx->path);

	snprintf(ctx->path + len, sizeof(ctx->path) - len, "%sfilters[%zu]", len ? "." : "", i);
	sn_conf_error(ctx, sn_val_at(sn_val_get(rule, "filters"), i), "%s", text);
	ctx->path[len] = 0;
}

static bool replaces_prefix(const struct sn_raw_filter *f)
{
	const struct sn_raw_path_change *c = f->rewrite	   ? f->rewrite->path
					     : f->redirect ? f->redirect->path
							   : NULL;

	return c && c->type == SN_PATH_REPLACE_PREFIX;
}

/* Which types each excludes, as a mask: what answers leaves nothing to be forwarded. */
#define BIT(type) (1u << (type))
#define FORWARDS (BIT(SN_FILTER_REWRITE) | BIT(SN_FILTER_MIRROR))
static unsigned excluded_by(int type)
{
	switch (type) {
	case SN_FILTER_REDIRECT:
		return FORWARDS | BIT(SN_FILTER_DIRECT_RESPONSE);
	case SN_FILTER_DIRECT_RESPONSE:
		return FORWARDS | BIT(SN_FILTER_REDIRECT);
	default:
		return 0;
	}
}

static void check_pair(struct sn_conf_ctx *ctx, const struct sn_val *v, const struct sn_raw_rule *r,
		       size_t i, size_t k)
{
	int a = r->filters[i].type, b = r->filters[k].type;
	char text[120];

	if (a == b && a != SN_FILTER_MIRROR)
		snprintf(text, sizeof(text), "the rule has two filters of type %s",
			 filter_types[a].name);
	else if ((excluded_by(a) & BIT(b)) || (excluded_by(b) & BIT(a)))
		snprintf(text, sizeof(text), "%s and %s exclude each other", filter_types[a].name,
			 filter_types[b].name);
	else
		return;
	error_at(ctx, v, k, text);
}

void sn_schema__check_filters(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_rule *r = value;
	const struct sn_raw_path *path = r->n_matches == 1 ? r->matches[0].path : NULL;
	size_t i, k;

	for (i = 0; i < r->n_filters; i++) {
		const struct sn_raw_filter *f = &r->filters[i];

		for (k = i + 1; k < r->n_filters; k++)
			check_pair(ctx, v, r, i, k);
		if (r->n_backends && f->redirect)
			error_at(ctx, v, i, "RequestRedirect answers: the rule has no backendRefs");
		if (r->n_backends && f->direct)
			error_at(ctx, v, i, "DirectResponse answers: the rule has no backendRefs");
		if (replaces_prefix(f) && (!path || path->type != SN_PATH_PREFIX))
			error_at(ctx, v, i,
				 "replacePrefixMatch needs a rule with exactly one match, by a "
				 "path of type PathPrefix");
	}
}
