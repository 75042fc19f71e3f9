/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests a rule takes, and where they go. */
#include <stdio.h>
#include <string.h>

#include "mesh/regex.h"
#include "mesh/route.h"
#include "mesh/schema_int.h"

/* --- matches -----------------------------------------------------------------------------------
 */

/* For a finding about the value of the object that is being checked. */
static const struct sn_val *at_value(struct sn_conf_ctx *ctx, const struct sn_val *v)
{
	size_t n = strlen(ctx->path);
	const struct sn_val *value = sn_val_get(v, "value");

	snprintf(ctx->path + n, sizeof(ctx->path) - n, ".value");
	return value ? value : v;
}

static void check_pattern(struct sn_conf_ctx *ctx, const struct sn_val *v, const char *pattern)
{
	struct sn_err err = {0};

	if (sn_regex_check(sn_slice_cstr(pattern), &err))
		sn_conf_error(ctx, at_value(ctx, v), "not a usable regular expression: %s",
			      err.msg);
}

static void check_path(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_path *p = value;

	if (p->type == SN_PATH_REGEX)
		check_pattern(ctx, v, p->value);
	else if (p->value[0] != '/')
		sn_conf_error(ctx, at_value(ctx, v), "a path begins with \"/\", found \"%.80s\"",
			      p->value);
	else if (strpbrk(p->value, "?#"))
		sn_conf_error(ctx, at_value(ctx, v),
			      "a path has no \"?\" or \"#\"; match the query with queryParams");
}

static void check_pair(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_pair *p = value;

	if (p->type == SN_PAIR_REGEX)
		check_pattern(ctx, v, p->value);
}

static const struct sn_conf_name path_types[] = {{"PathPrefix", SN_PATH_PREFIX},
						 {"Exact", SN_PATH_EXACT},
						 {"RegularExpression", SN_PATH_REGEX},
						 {NULL, 0}};
static const struct sn_conf_field path_fields[] = {
	{.key = "type",
	 .type = SN_CONF_ENUM,
	 .names = path_types,
	 AT(sn_raw_path, type),
	 .def = "PathPrefix",
	 .help = "how it is compared"},
	{.key = "value",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 1024,
	 AT(sn_raw_path, value),
	 .def = "/",
	 .help = "the path, without query; or a pattern for all of it"},
	END};
static const struct sn_conf_object path = {"path", sizeof(struct sn_raw_path), path_fields,
					   check_path};

static const struct sn_conf_name pair_types[] = {
	{"Exact", SN_PAIR_EXACT}, {"RegularExpression", SN_PAIR_REGEX}, {NULL, 0}};
static const struct sn_conf_field match_pair_fields[] = {{.key = "type",
							  .type = SN_CONF_ENUM,
							  .names = pair_types,
							  AT(sn_raw_pair, type),
							  .def = "Exact",
							  .help = "how it is compared"},
							 {.key = "name",
							  .type = SN_CONF_STR,
							  .min = 1,
							  .max = 256,
							  AT(sn_raw_pair, name),
							  .flags = SN_CONF_REQUIRED,
							  .check = sn_schema__check_token,
							  .help = "name"},
							 {.key = "value",
							  .type = SN_CONF_STR,
							  .max = 4096,
							  AT(sn_raw_pair, value),
							  .flags = SN_CONF_REQUIRED,
							  .help = "value"},
							 END};
static const struct sn_conf_object match_pair = {"match", sizeof(struct sn_raw_pair),
						 match_pair_fields, check_pair};
static const struct sn_conf_field match_pair_item = {.type = SN_CONF_OBJECT, .object = &match_pair};

static const struct sn_conf_field match_fields[] = {
	{.key = "path", .type = SN_CONF_OBJECT, .object = &path, AT(sn_raw_match, path)},
	{.key = "method",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 32,
	 AT(sn_raw_match, method),
	 .check = sn_schema__check_token,
	 .help = "GET, POST ...; as it is sent"},
	{.key = "headers",
	 .type = SN_CONF_LIST,
	 .max = 16,
	 AT(sn_raw_match, headers),
	 COUNT(sn_raw_match, n_headers),
	 .item = &match_pair_item},
	{.key = "queryParams",
	 .type = SN_CONF_LIST,
	 .max = 16,
	 AT(sn_raw_match, params),
	 COUNT(sn_raw_match, n_params),
	 .item = &match_pair_item},
	END};
static const struct sn_conf_object match = {"match", sizeof(struct sn_raw_match), match_fields,
					    NULL};
static const struct sn_conf_field match_item = {.type = SN_CONF_OBJECT, .object = &match};

/* --- rules and routes --------------------------------------------------------------------------
 */

static const struct sn_conf_field backend_fields[] = {
	{.key = "name",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 253,
	 AT(sn_raw_backend, name),
	 .flags = SN_CONF_REQUIRED,
	 .help = "a service's name"},
	{.key = "port",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 65535,
	 AT(sn_raw_backend, port),
	 .help = "its port; absent: the one that was asked for"},
	{.key = "weight",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 1000000,
	 AT(sn_raw_backend, weight),
	 .def = "1",
	 .help = "share"},
	END};
static const struct sn_conf_object backend = {"backendRef", sizeof(struct sn_raw_backend),
					      backend_fields, NULL};
static const struct sn_conf_field backend_item = {.type = SN_CONF_OBJECT, .object = &backend};

struct rule_timeouts {
	uint64_t request, backend_request;
};
static const struct sn_conf_field rule_timeout_fields[] = {
	{.key = "request",
	 .type = SN_CONF_DURATION,
	 .max = 86400000,
	 AT(rule_timeouts, request),
	 .def = "0s",
	 .help = "until the response is complete; 0s: none"},
	{.key = "backendRequest",
	 .type = SN_CONF_DURATION,
	 .max = 86400000,
	 AT(rule_timeouts, backend_request),
	 .def = "0s",
	 .help = "the same of each try; 0s: none"},
	END};
static void check_timeouts(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct rule_timeouts *t = value;

	if (t->request && t->backend_request > t->request)
		sn_conf_error(ctx, v,
			      "backendRequest is longer than request, which all tries share");
}
static const struct sn_conf_object rule_timeouts = {"timeouts", sizeof(struct rule_timeouts),
						    rule_timeout_fields, check_timeouts};

static const struct sn_conf_field rule_fields[] = {{.key = "name",
						    .type = SN_CONF_STR,
						    .min = 1,
						    .max = 253,
						    AT(sn_raw_rule, name),
						    .help = "for people"},
						   {.key = "matches",
						    .type = SN_CONF_LIST,
						    .max = 64,
						    AT(sn_raw_rule, matches),
						    COUNT(sn_raw_rule, n_matches),
						    .item = &match_item,
						    .help = "none: everything"},
						   {.key = "filters",
						    .type = SN_CONF_LIST,
						    .max = 16,
						    AT(sn_raw_rule, filters),
						    COUNT(sn_raw_rule, n_filters),
						    .item = &sn_schema__filter_item},
						   {.key = "backendRefs",
						    .type = SN_CONF_LIST,
						    .max = 64,
						    AT(sn_raw_rule, backends),
						    COUNT(sn_raw_rule, n_backends),
						    .item = &backend_item,
						    .help = "none: 500, unless a filter answers"},
						   {.key = "timeouts",
						    .type = SN_CONF_OBJECT,
						    .object = &rule_timeouts,
						    .flags = SN_CONF_EMBED,
						    AT(sn_raw_rule, timeouts)},
						   {.key = "retry",
						    .type = SN_CONF_OBJECT,
						    .object = &sn_schema__retry,
						    AT(sn_raw_rule, retry),
						    .help = "absent: only what was not processed"},
						   {.key = "rateLimit",
						    .type = SN_CONF_OBJECT,
						    .object = &sn_schema__rule_rate,
						    AT(sn_raw_rule, rate),
						    .help = "absent: none"},
						   END};
static const struct sn_conf_object rule = {"rule", sizeof(struct sn_raw_rule), rule_fields,
					   sn_schema__check_filters};
static const struct sn_conf_field rule_item = {.type = SN_CONF_OBJECT, .object = &rule};

static const struct sn_conf_field port_number = {.type = SN_CONF_INT, .min = 1, .max = 65535};
static const struct sn_conf_field route_fields[] = {
	{.key = "name",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 320, /* "namespace/name" */
	 AT(sn_raw_route, name),
	 .flags = SN_CONF_REQUIRED,
	 .help = "for people and statistics"},
	{.key = "ports",
	 .type = SN_CONF_LIST,
	 .max = 100,
	 AT(sn_raw_route, ports),
	 COUNT(sn_raw_route, n_ports),
	 .item = &port_number,
	 .help = "only for these ports of the service; absent: all"},
	{.key = "rules",
	 .type = SN_CONF_LIST,
	 .max = 64,
	 AT(sn_raw_route, rules),
	 COUNT(sn_raw_route, n_rules),
	 .item = &rule_item},
	END};
const struct sn_conf_object sn_schema_route = {"route", sizeof(struct sn_raw_route), route_fields,
					       NULL};
