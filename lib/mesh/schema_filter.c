/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule may do with a request. */
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

static void check_field_value(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
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
							   .check = check_field_value,
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

static const struct sn_conf_object modifier = {
	"requestHeaderModifier", sizeof(struct sn_raw_modifier), modifier_fields, check_modifier};

static const struct sn_conf_name filter_types[] = {
	{"RequestHeaderModifier", SN_FILTER_REQUEST_HEADERS}, {NULL, 0}};
static const struct sn_conf_field filter_fields[] = {{.key = "type",
						      .type = SN_CONF_ENUM,
						      .names = filter_types,
						      AT(sn_raw_filter, type),
						      .flags = SN_CONF_REQUIRED},
						     {.key = "requestHeaderModifier",
						      .type = SN_CONF_OBJECT,
						      .object = &modifier,
						      AT(sn_raw_filter, modifier),
						      .flags = SN_CONF_REQUIRED},
						     END};
static const struct sn_conf_object filter = {"filter", sizeof(struct sn_raw_filter), filter_fields,
					     NULL};
const struct sn_conf_field sn_schema__filter_item = {.type = SN_CONF_OBJECT, .object = &filter};
