/* SPDX-License-Identifier: Apache-2.0 */
/* One truth for both halves: the tables. Only what this build honours is listed; anything else is
 * an unknown key or value. */
#include "mesh/schema.h"

#include <string.h>

#include "http/message.h"
#include "mesh/filter.h"
#include "mesh/policy.h"
#include "mesh/route.h"

#define AT(type, member) .offset = offsetof(struct type, member)
#define COUNT(type, member) .n_offset = offsetof(struct type, member)
#define END                                                                                        \
	{                                                                                          \
	}

/* --- filters and matches ---------------------------------------------------------------------- */

static void check_token(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
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

	check_token(ctx, v, value);
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
static const struct sn_conf_field filter_item = {.type = SN_CONF_OBJECT, .object = &filter};

static void check_path(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const char *s = *(const char **)value;

	if (s[0] != '/')
		sn_conf_error(ctx, v, "a path begins with \"/\", found \"%.80s\"", s);
	else if (strpbrk(s, "?#"))
		sn_conf_error(ctx, v,
			      "a path has no \"?\" or \"#\"; match the query with queryParams");
}

static const struct sn_conf_name path_types[] = {
	{"PathPrefix", SN_PATH_PREFIX}, {"Exact", SN_PATH_EXACT}, {NULL, 0}};
static const struct sn_conf_field path_fields[] = {{.key = "type",
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
						    .check = check_path,
						    .help = "the path, without query"},
						   END};
static const struct sn_conf_object path = {"path", sizeof(struct sn_raw_path), path_fields, NULL};

static const struct sn_conf_name pair_types[] = {{"Exact", 0}, {NULL, 0}};
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
							  .check = check_token,
							  .help = "name"},
							 {.key = "value",
							  .type = SN_CONF_STR,
							  .max = 4096,
							  AT(sn_raw_pair, value),
							  .flags = SN_CONF_REQUIRED,
							  .help = "value"},
							 END};
static const struct sn_conf_object match_pair = {"match", sizeof(struct sn_raw_pair),
						 match_pair_fields, NULL};
static const struct sn_conf_field match_pair_item = {.type = SN_CONF_OBJECT, .object = &match_pair};

static const struct sn_conf_field match_fields[] = {
	{.key = "path", .type = SN_CONF_OBJECT, .object = &path, AT(sn_raw_match, path)},
	{.key = "method",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 32,
	 AT(sn_raw_match, method),
	 .check = check_token,
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

/* --- routes -------------------------------------------------------------------------------------
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

static const struct sn_conf_field rule_timeout_fields[] = {
	{.key = "request",
	 .type = SN_CONF_DURATION,
	 .max = 86400000,
	 .def = "0s",
	 .help = "until the response is complete; 0s: none"},
	END};
static const struct sn_conf_object rule_timeouts = {"timeouts", sizeof(uint64_t),
						    rule_timeout_fields, NULL};

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
						    .item = &filter_item},
						   {.key = "backendRefs",
						    .type = SN_CONF_LIST,
						    .max = 64,
						    AT(sn_raw_rule, backends),
						    COUNT(sn_raw_rule, n_backends),
						    .item = &backend_item,
						    .help = "none: 500 for every request"},
						   {.key = "timeouts",
						    .type = SN_CONF_OBJECT,
						    .object = &rule_timeouts,
						    .flags = SN_CONF_EMBED,
						    AT(sn_raw_rule, timeouts)},
						   END};
static const struct sn_conf_object rule = {"rule", sizeof(struct sn_raw_rule), rule_fields, NULL};
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

/* --- policies ----------------------------------------------------------------------------------
 */

static const struct sn_conf_name algorithms[] = {
	{"PeakEWMA", SN_BALANCE_PEAK_EWMA}, {"RoundRobin", SN_BALANCE_ROUND_ROBIN}, {NULL, 0}};
static const struct sn_conf_field balancing_fields[] = {{.key = "algorithm",
							 .type = SN_CONF_ENUM,
							 .names = algorithms,
							 .def = "PeakEWMA",
							 .help = "which endpoint takes a request"},
							END};
static const struct sn_conf_object balancing = {"loadBalancing", sizeof(int), balancing_fields,
						NULL};

struct sn_raw_connections {
	int64_t max, pending;
	uint64_t idle_timeout;
};
static const struct sn_conf_field connections_fields[] = {
	{.key = "max",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 1000000,
	 AT(sn_raw_connections, max),
	 .def = "1024",
	 .help = "connections to each endpoint, per worker"},
	{.key = "pending",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 1000000,
	 AT(sn_raw_connections, pending),
	 .def = "100",
	 .help = "requests that wait for one"},
	{.key = "idleTimeout",
	 .type = SN_CONF_DURATION,
	 .min = 100,
	 .max = 86400000,
	 AT(sn_raw_connections, idle_timeout),
	 .def = "30s",
	 .help = "of pooled connections"},
	END};
static const struct sn_conf_object connections = {"connections", sizeof(struct sn_raw_connections),
						  connections_fields, NULL};

static const struct sn_conf_field policy_fields[] = {{.key = "loadBalancing",
						      .type = SN_CONF_OBJECT,
						      .object = &balancing,
						      .flags = SN_CONF_EMBED,
						      AT(sn_raw_policy, load_balancing)},
						     {.key = "connections",
						      .type = SN_CONF_OBJECT,
						      .object = &connections,
						      .flags = SN_CONF_EMBED,
						      AT(sn_raw_policy, connections)},
						     END};
const struct sn_conf_object sn_schema_policy = {"policy", sizeof(struct sn_raw_policy),
						policy_fields, NULL};
