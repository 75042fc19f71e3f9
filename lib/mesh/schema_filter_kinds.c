/* SPDX-License-Identifier: Apache-2.0 */
/* What each kind of filter says, but for the header modifiers. */
#include <string.h>

#include "mesh/filter.h"
#include "mesh/schema_int.h"

/* --- paths and hosts ---------------------------------------------------------------------------
 */

/* As a Gateway API PreciseHostname: labels of a-z, 0-9 and "-". */
static void check_hostname(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const char *s = *(const char **)value, *p = s;
	bool good = true;

	while (good) {
		size_t n = strspn(p, "abcdefghijklmnopqrstuvwxyz0123456789-");

		good = n > 0 && n < 64 && p[0] != '-' && p[n - 1] != '-';
		p += n;
		if (*p != '.')
			break;
		p++;
	}
	if (!good || *p)
		sn_conf_error(ctx, v,
			      "\"%.80s\" is not a host name: labels of a-z, 0-9 and -, no port, no "
			      "wildcard",
			      s);
}

/* It becomes part of a request line and of Location. */
static void check_replacement(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const char *s = *(const char **)value, *p;

	if (s[0] && s[0] != '/')
		sn_conf_error(ctx, v, "a path begins with \"/\", found \"%.80s\"", s);
	for (p = s; *p > ' ' && *p < 0x7f && *p != '?' && *p != '#';)
		p++;
	if (*p)
		sn_conf_error(ctx, v,
			      "a path has no \"?\", \"#\", space, control or non-ASCII character: "
			      "encode them");
}

static void check_path_change(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_path_change *c = value;
	bool is_full = c->type == SN_PATH_REPLACE_FULL;

	if (is_full ? !c->full : !c->prefix)
		sn_conf_error(ctx, v, "path: the key \"%s\" is missing",
			      is_full ? "replaceFullPath" : "replacePrefixMatch");
	else if (is_full ? c->prefix : c->full)
		sn_conf_error(ctx, v, "path: the key \"%s\" does not go with this type",
			      is_full ? "replacePrefixMatch" : "replaceFullPath");
}

static const struct sn_conf_name path_change_types[] = {
	{"ReplaceFullPath", SN_PATH_REPLACE_FULL},
	{"ReplacePrefixMatch", SN_PATH_REPLACE_PREFIX},
	{NULL, 0}};
static const struct sn_conf_field path_change_fields[] = {
	{.key = "type",
	 .type = SN_CONF_ENUM,
	 .names = path_change_types,
	 AT(sn_raw_path_change, type),
	 .flags = SN_CONF_REQUIRED},
	{.key = "replaceFullPath",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 1024,
	 AT(sn_raw_path_change, full),
	 .check = check_replacement,
	 .help = "the whole path; the query stays"},
	{.key = "replacePrefixMatch",
	 .type = SN_CONF_STR,
	 .max = 1024,
	 AT(sn_raw_path_change, prefix),
	 .check = check_replacement,
	 .help = "in place of what the rule's one PathPrefix match has matched"},
	END};
static const struct sn_conf_object path_change = {"path", sizeof(struct sn_raw_path_change),
						  path_change_fields, check_path_change};

static const struct sn_conf_field rewrite_fields[] = {
	{.key = "hostname",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 253,
	 AT(sn_raw_rewrite, hostname),
	 .check = check_hostname,
	 .help = "Host that the backend sees"},
	{.key = "path", .type = SN_CONF_OBJECT, .object = &path_change, AT(sn_raw_rewrite, path)},
	END};
const struct sn_conf_object sn_schema__rewrite = {"urlRewrite", sizeof(struct sn_raw_rewrite),
						  rewrite_fields, NULL};

/* --- answers of the rule's own -----------------------------------------------------------------
 */

static void check_redirect_status(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	switch (*(const int64_t *)value) {
	case 301:
	case 302:
	case 303:
	case 307:
	case 308:
		break;
	default:
		sn_conf_error(ctx, v, "not a redirect, allowed: 301, 302, 303, 307, 308");
		break;
	}
}

static const struct sn_conf_name schemes[] = {{"http", 1}, {"https", 2}, {NULL, 0}};
static const struct sn_conf_field redirect_fields[] = {
	{.key = "scheme", .type = SN_CONF_ENUM, .names = schemes, AT(sn_raw_redirect, scheme)},
	{.key = "hostname",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 253,
	 AT(sn_raw_redirect, hostname),
	 .check = check_hostname,
	 .help = "absent: the request's"},
	{.key = "path", .type = SN_CONF_OBJECT, .object = &path_change, AT(sn_raw_redirect, path)},
	{.key = "port",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 65535,
	 AT(sn_raw_redirect, port),
	 .help = "absent: the scheme's, or without a scheme the request's"},
	{.key = "statusCode",
	 .type = SN_CONF_INT,
	 .min = 300,
	 .max = 399,
	 AT(sn_raw_redirect, status),
	 .def = "302",
	 .check = check_redirect_status,
	 .help = "301, 302, 303, 307 or 308"},
	END};
const struct sn_conf_object sn_schema__redirect = {
	"requestRedirect", sizeof(struct sn_raw_redirect), redirect_fields, NULL};

static void check_direct(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_direct_response *d = value;

	if ((d->status == 204 || d->status == 205 || d->status == 304) && d->body && d->body[0])
		sn_conf_error(ctx, v, "directResponse: a response of status %lld has no body",
			      (long long)d->status);
}

static const struct sn_conf_field direct_fields[] = {{.key = "statusCode",
						      .type = SN_CONF_INT,
						      .min = 200,
						      .max = 599,
						      AT(sn_raw_direct_response, status),
						      .flags = SN_CONF_REQUIRED,
						      .help = "200 to 599"},
						     {.key = "body",
						      .type = SN_CONF_STR,
						      .max = 4096,
						      AT(sn_raw_direct_response, body),
						      .help = "at most 4 KiB"},
						     {.key = "contentType",
						      .type = SN_CONF_STR,
						      .min = 1,
						      .max = 256,
						      AT(sn_raw_direct_response, content_type),
						      .def = "text/plain",
						      .check = sn_schema__check_field_value,
						      .help = "of the body"},
						     END};
const struct sn_conf_object sn_schema__direct_response = {
	"directResponse", sizeof(struct sn_raw_direct_response), direct_fields, check_direct};

/* --- mirrors and faults ------------------------------------------------------------------------
 */

static void check_fraction(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_fraction *f = value;

	if (f->numerator > f->denominator)
		sn_conf_error(ctx, v, "fraction: the numerator is at most the denominator");
}

static const struct sn_conf_field fraction_fields[] = {{.key = "numerator",
							.type = SN_CONF_INT,
							.min = 0,
							.max = INT32_MAX,
							AT(sn_raw_fraction, numerator),
							.flags = SN_CONF_REQUIRED},
						       {.key = "denominator",
							.type = SN_CONF_INT,
							.min = 1,
							.max = INT32_MAX,
							AT(sn_raw_fraction, denominator),
							.def = "100"},
						       END};
static const struct sn_conf_object fraction = {"fraction", sizeof(struct sn_raw_fraction),
					       fraction_fields, check_fraction};

static void check_mirror(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_mirror *m = value;

	if (m->has_percent && m->fraction)
		sn_conf_error(ctx, v, "requestMirror: percent or fraction, not both");
}

static const struct sn_conf_field mirror_backend_fields[] = {
	{.key = "name",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 253,
	 AT(sn_raw_mirror_backend, name),
	 .flags = SN_CONF_REQUIRED,
	 .help = "a service's name"},
	{.key = "port",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 65535,
	 AT(sn_raw_mirror_backend, port),
	 .help = "its port; absent: the one that was asked for"},
	END};
static const struct sn_conf_object mirror_backend = {
	"backendRef", sizeof(struct sn_raw_mirror_backend), mirror_backend_fields, NULL};

static const struct sn_conf_field mirror_fields[] = {
	{.key = "backendRef",
	 .type = SN_CONF_OBJECT,
	 .object = &mirror_backend,
	 .flags = SN_CONF_REQUIRED,
	 AT(sn_raw_mirror, backend),
	 .help = "who gets a copy; its answer is dropped"},
	{.key = "percent",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 100,
	 AT(sn_raw_mirror, percent),
	 .has_offset = offsetof(struct sn_raw_mirror, has_percent),
	 .help = "of the requests; absent: all of them"},
	{.key = "fraction",
	 .type = SN_CONF_OBJECT,
	 .object = &fraction,
	 AT(sn_raw_mirror, fraction),
	 .help = "the same, finer"},
	END};
const struct sn_conf_object sn_schema__mirror = {"requestMirror", sizeof(struct sn_raw_mirror),
						 mirror_fields, check_mirror};

#define PERCENT(raw)                                                                               \
	{                                                                                          \
		.key = "percent", .type = SN_CONF_INT, .min = 0, .max = 100, AT(raw, percent),     \
		.def = "100", .help = "of the requests"                                            \
	}

static const struct sn_conf_field delay_fields[] = {PERCENT(sn_raw_delay),
						    {.key = "duration",
						     .type = SN_CONF_DURATION,
						     .min = 1,
						     .max = 3600000,
						     AT(sn_raw_delay, duration),
						     .flags = SN_CONF_REQUIRED,
						     .help = "at most 1h"},
						    END};
static const struct sn_conf_object delay = {"delay", sizeof(struct sn_raw_delay), delay_fields,
					    NULL};

static void check_abort(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_abort *a = value;

	if (!a->status == !a->grpc)
		sn_conf_error(ctx, v, "abort: either statusCode or grpcStatus");
}

static const struct sn_conf_field abort_fields[] = {PERCENT(sn_raw_abort),
						    {.key = "statusCode",
						     .type = SN_CONF_INT,
						     .min = 400,
						     .max = 599,
						     AT(sn_raw_abort, status),
						     .help = "400 to 599"},
						    {.key = "grpcStatus",
						     .type = SN_CONF_ENUM,
						     .names = sn_schema__grpc_statuses,
						     AT(sn_raw_abort, grpc)},
						    END};
static const struct sn_conf_object abortion = {"abort", sizeof(struct sn_raw_abort), abort_fields,
					       check_abort};

static void check_fault(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_fault *f = value;

	if (!f->delay && !f->abort)
		sn_conf_error(ctx, v, "fault: needs delay, abort or both");
}

static const struct sn_conf_field fault_fields[] = {
	{.key = "delay", .type = SN_CONF_OBJECT, .object = &delay, AT(sn_raw_fault, delay)},
	{.key = "abort", .type = SN_CONF_OBJECT, .object = &abortion, AT(sn_raw_fault, abort)},
	END};
const struct sn_conf_object sn_schema__fault = {"fault", sizeof(struct sn_raw_fault), fault_fields,
						check_fault};

/* --- CORS --------------------------------------------------------------------------------------
 */

static void check_origin(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const char *s = *(const char **)value;
	struct sn_cors_origin unused;

	if (strcmp(s, "*") != 0 && sn_cors_origin_parse(sn_slice_cstr(s), &unused))
		sn_conf_error(ctx, v,
			      "\"%.80s\" is not an origin: \"*\", \"https://HOST[:PORT]\" or "
			      "\"https://*.HOST[:PORT]\", or the same with http",
			      s);
}

static void star_alone(struct sn_conf_ctx *ctx, const struct sn_val *v, const char *key,
		       const char **list, size_t n)
{
	size_t i;

	for (i = 0; i < n && n > 1; i++)
		if (strcmp(list[i], "*") == 0) {
			sn_conf_error(ctx, sn_val_at(sn_val_get(v, key), i),
				      "cors: \"*\" stands alone in %s", key);
			return;
		}
}

static void check_cors(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_cors *c = value;

	star_alone(ctx, v, "allowOrigins", c->origins, c->n_origins);
	star_alone(ctx, v, "allowMethods", c->methods, c->n_methods);
	star_alone(ctx, v, "allowHeaders", c->headers, c->n_headers);
	star_alone(ctx, v, "exposeHeaders", c->exposed, c->n_exposed);
}

static const struct sn_conf_field origin_item = {
	.type = SN_CONF_STR, .min = 1, .max = 270, .check = check_origin};
static const struct sn_conf_field method_item = {
	.type = SN_CONF_STR, .min = 1, .max = 32, .check = sn_schema__check_token};
static const struct sn_conf_field name_item = {
	.type = SN_CONF_STR, .min = 1, .max = 256, .check = sn_schema__check_token};
static const struct sn_conf_field cors_fields[] = {
	{.key = "allowOrigins",
	 .type = SN_CONF_LIST,
	 .max = 64,
	 AT(sn_raw_cors, origins),
	 COUNT(sn_raw_cors, n_origins),
	 .item = &origin_item,
	 .help = "\"https://a.example\", \"https://*.b.example:8443\", or \"*\" for all"},
	{.key = "allowCredentials",
	 .type = SN_CONF_BOOL,
	 AT(sn_raw_cors, credentials),
	 .def = "false",
	 .help = "cookies and the like"},
	{.key = "allowMethods",
	 .type = SN_CONF_LIST,
	 .max = 16,
	 AT(sn_raw_cors, methods),
	 COUNT(sn_raw_cors, n_methods),
	 .item = &method_item,
	 .help = "beside GET, HEAD and POST; \"*\": all"},
	{.key = "allowHeaders",
	 .type = SN_CONF_LIST,
	 .max = 64,
	 AT(sn_raw_cors, headers),
	 COUNT(sn_raw_cors, n_headers),
	 .item = &name_item,
	 .help = "that requests may carry; \"*\": all"},
	{.key = "exposeHeaders",
	 .type = SN_CONF_LIST,
	 .max = 64,
	 AT(sn_raw_cors, exposed),
	 COUNT(sn_raw_cors, n_exposed),
	 .item = &name_item,
	 .help = "of responses that scripts may read; \"*\": all"},
	{.key = "maxAge",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = INT32_MAX,
	 AT(sn_raw_cors, max_age),
	 .def = "5",
	 .help = "seconds for which a preflight's answer holds"},
	END};
const struct sn_conf_object sn_schema__cors = {"cors", sizeof(struct sn_raw_cors), cors_fields,
					       check_cors};
