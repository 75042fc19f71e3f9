/* SPDX-License-Identifier: Apache-2.0 */
/* What may be said about how much a service is given to do: connections, requests in flight and
 * waiting, rates; and about whose requests go where they went before. */
#include "http/message.h"
#include "mesh/policy.h"
#include "mesh/schema_int.h"

static const struct sn_conf_field connections_fields[] = {
	{.key = "max",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 1000000,
	 AT(sn_raw_connections, max),
	 .def = "1024",
	 .help = "connections to each endpoint, per worker"},
	{.key = "requests",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 1000000,
	 AT(sn_raw_connections, requests),
	 .def = "0",
	 .help = "in flight at once to the service; 0: no cap"},
	{.key = "pending",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 1000000,
	 AT(sn_raw_connections, pending),
	 .def = "100",
	 .help = "requests that wait for their turn, or for a connection"},
	{.key = "pendingTimeout",
	 .type = SN_CONF_DURATION,
	 .min = 1,
	 .max = 86400000,
	 AT(sn_raw_connections, pending_timeout),
	 .def = "1s",
	 .help = "how long they wait for their turn"},
	{.key = "idleTimeout",
	 .type = SN_CONF_DURATION,
	 .min = 100,
	 .max = 86400000,
	 AT(sn_raw_connections, idle_timeout),
	 .def = "30s",
	 .help = "of pooled connections"},
	END};
const struct sn_conf_object sn_schema__connections = {
	"connections", sizeof(struct sn_raw_connections), connections_fields, NULL};

static const struct sn_conf_name modes[] = {{"On", 1}, {"Off", 0}, {NULL, 0}};
static const struct sn_conf_field adaptive_fields[] = {
	{.key = "mode",
	 .type = SN_CONF_ENUM,
	 .names = modes,
	 AT(sn_raw_adaptive, mode),
	 .def = "Off",
	 .help = "a cap on requests in flight that follows the service's latency"},
	{.key = "min",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 1000000,
	 AT(sn_raw_adaptive, min),
	 .def = "4",
	 .help = "never fewer"},
	{.key = "max",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 1000000,
	 AT(sn_raw_adaptive, max),
	 .def = "1000",
	 .help = "never more"},
	END};
static void check_adaptive(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_adaptive *a = value;

	if (a->min > a->max)
		sn_conf_error(ctx, v, "min is more than max");
}
const struct sn_conf_object sn_schema__adaptive = {
	"adaptiveConcurrency", sizeof(struct sn_raw_adaptive), adaptive_fields, check_adaptive};

/* --- rates --------------------------------------------------------------------------------------
 */

#define RATE_FIELDS                                                                                \
	{.key = "requestsPerSecond",                                                               \
	 .type = SN_CONF_INT,                                                                      \
	 .min = 1,                                                                                 \
	 .max = 10000000,                                                                          \
	 AT(sn_raw_rate, per_second),                                                              \
	 .flags = SN_CONF_REQUIRED,                                                                \
	 .help = "sustained, of the whole proxy"},                                                 \
	{                                                                                          \
		.key = "burst", .type = SN_CONF_INT, .min = 1, .max = 10000000,                    \
		AT(sn_raw_rate, burst), .help = "at once; absent: as many as in a second"          \
	}

static const struct sn_conf_field service_rate_fields[] = {RATE_FIELDS, END};
const struct sn_conf_object sn_schema__service_rate = {"rateLimit", sizeof(struct sn_raw_rate),
						       service_rate_fields, NULL};

static const struct sn_conf_name rate_per[] = {{"Rule", SN_RATE_PER_RULE},
					       {"Identity", SN_RATE_PER_IDENTITY},
					       {"Header", SN_RATE_PER_HEADER},
					       {NULL, 0}};
static const struct sn_conf_field rule_rate_fields[] = {
	RATE_FIELDS,
	{.key = "per",
	 .type = SN_CONF_ENUM,
	 .names = rate_per,
	 AT(sn_raw_rate, per),
	 .def = "Rule",
	 .help = "whose requests are counted together; Identity: the client's, without one its "
		 "address"},
	{.key = "header",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 256,
	 AT(sn_raw_rate, header),
	 .check = sn_schema__check_token,
	 .help = "with per: Header, its name"},
	END};
static void check_rule_rate(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_rate *r = value;

	if ((r->per == SN_RATE_PER_HEADER) != (r->header != NULL))
		sn_conf_error(ctx, v, "\"header\" goes with per: Header, and only with it");
}
const struct sn_conf_object sn_schema__rule_rate = {"rateLimit", sizeof(struct sn_raw_rate),
						    rule_rate_fields, check_rule_rate};

/* --- sessions -----------------------------------------------------------------------------------
 */

static const struct sn_conf_name lifetimes[] = {{"Session", 0}, {"Permanent", 1}, {NULL, 0}};
static const struct sn_conf_field cookie_fields[] = {
	{.key = "lifetimeType",
	 .type = SN_CONF_ENUM,
	 .names = lifetimes,
	 .def = "Session",
	 .help = "until the client ends, or as long as absoluteTimeout"},
	END};
static const struct sn_conf_object cookie = {"cookieConfig", sizeof(int), cookie_fields, NULL};

static const struct sn_conf_name session_types[] = {
	{"Cookie", SN_PERSIST_COOKIE}, {"Header", SN_PERSIST_HEADER}, {NULL, 0}};
static const struct sn_conf_field session_fields[] = {
	{.key = "sessionName",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = SN_PERSIST_NAME_MAX,
	 AT(sn_raw_session, name),
	 .check = sn_schema__check_token,
	 .help = "absent: the cookie sennit-session, the header x-sennit-session"},
	{.key = "type",
	 .type = SN_CONF_ENUM,
	 .names = session_types,
	 AT(sn_raw_session, type),
	 .def = "Cookie",
	 .help = "what the client is given to send again"},
	{.key = "absoluteTimeout",
	 .type = SN_CONF_DURATION,
	 .max = 31536000000,
	 AT(sn_raw_session, absolute_timeout),
	 .def = "0s",
	 .help = "from a session's start; 0s: none"},
	{.key = "idleTimeout",
	 .type = SN_CONF_DURATION,
	 .max = 31536000000,
	 AT(sn_raw_session, idle_timeout),
	 .def = "0s",
	 .help = "from its last request; 0s: none"},
	{.key = "cookieConfig",
	 .type = SN_CONF_OBJECT,
	 .object = &cookie,
	 .flags = SN_CONF_EMBED,
	 AT(sn_raw_session, cookie)},
	END};
static void check_session(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_session *s = value;

	if (s->type == SN_PERSIST_HEADER && s->name &&
	    sn_hdr_lookup(sn_slice_cstr(s->name)) != SN_HDR_OTHER)
		sn_conf_error(ctx, v, "the header \"%.80s\" has a meaning of its own", s->name);
	if (s->cookie.permanent && !s->absolute_timeout)
		sn_conf_error(ctx, v, "lifetimeType: Permanent needs an absoluteTimeout");
	if (s->absolute_timeout % 1000 || s->idle_timeout % 1000)
		sn_conf_error(ctx, v, "session timeouts are whole seconds");
}
const struct sn_conf_object sn_schema__session = {
	"sessionPersistence", sizeof(struct sn_raw_session), session_fields, check_session};
