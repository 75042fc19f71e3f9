/* SPDX-License-Identifier: Apache-2.0 */
/* What a policy may say of a service as a backend: the tables, what contradicts itself, and what it
 * comes to. */
#include <string.h>

#include "http/message.h"
#include "mesh/schema_int.h"

#define HOURS(n) ((n) * (int64_t)3600000)

/* --- loadBalancing ------------------------------------------------------------------------------
 */

static const struct sn_conf_name hash_types[] = {{"Header", SN_HASH_HEADER},
						 {"Cookie", SN_HASH_COOKIE},
						 {"QueryParam", SN_HASH_QUERY_PARAM},
						 {"SourceAddress", SN_HASH_SOURCE_ADDRESS},
						 {NULL, 0}};

static void check_hash_on(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_hash_on *h = value;
	struct sn_slice name = sn_slice_cstr(h->name ? h->name : "");

	if (h->type == SN_HASH_SOURCE_ADDRESS) {
		if (h->name)
			sn_conf_error(ctx, sn_val_get(v, "name"),
				      "a source address has no \"name\"");
	} else if (!h->name) {
		sn_conf_error(ctx, v, "hashOn: the key \"name\" is missing");
	} else if (h->type == SN_HASH_QUERY_PARAM ? strpbrk(h->name, "&=?# ") != NULL
						  : !sn_token_valid(name)) {
		sn_conf_error(ctx, sn_val_get(v, "name"), "\"%.80s\" is not a valid name", h->name);
	}
}

static const struct sn_conf_field hash_on_fields[] = {
	{.key = "type",
	 .type = SN_CONF_ENUM,
	 .names = hash_types,
	 AT(sn_raw_hash_on, type),
	 .flags = SN_CONF_REQUIRED,
	 .help = "what of a request is the key"},
	{.key = "name",
	 .type = SN_CONF_STR,
	 .min = 1,
	 .max = 256,
	 AT(sn_raw_hash_on, name),
	 .help = "of the header, cookie or parameter"},
	END};
static const struct sn_conf_object hash_on = {"hashOn", sizeof(struct sn_raw_hash_on),
					      hash_on_fields, check_hash_on};

static const struct sn_conf_field aperture_fields[] = {{.key = "minSize",
							.type = SN_CONF_INT,
							.min = 1,
							.max = 10000,
							.def = "12",
							.help = "endpoints in use at least"},
						       END};
static const struct sn_conf_object aperture = {"aperture", sizeof(int64_t), aperture_fields, NULL};

static const struct sn_conf_name algorithms[] = {
	{"PeakEWMA", SN_BALANCE_PEAK_EWMA},	{"LeastRequest", SN_BALANCE_LEAST_REQUEST},
	{"RoundRobin", SN_BALANCE_ROUND_ROBIN}, {"Random", SN_BALANCE_RANDOM},
	{"RingHash", SN_BALANCE_RING_HASH},	{"Maglev", SN_BALANCE_MAGLEV},
	{"Aperture", SN_BALANCE_APERTURE},	{NULL, 0}};

static void check_balancing(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_balancing *b = value;
	bool hashes = b->algorithm == SN_BALANCE_RING_HASH || b->algorithm == SN_BALANCE_MAGLEV;
	const struct sn_val *given = sn_val_get(v, "aperture");

	if (hashes && !b->hash_on)
		sn_conf_error(ctx, sn_val_get(v, "algorithm"),
			      "%s chooses by a key of the request: \"hashOn\" must say which",
			      sn_val_get(v, "algorithm")->str.p);
	if (!hashes && b->hash_on)
		sn_conf_error(ctx, sn_val_get(v, "hashOn"),
			      "\"hashOn\" is for the algorithms RingHash and Maglev only");
	if (b->algorithm != SN_BALANCE_APERTURE && given && given->type != SN_VAL_NULL)
		sn_conf_error(ctx, given, "\"aperture\" is for the algorithm Aperture only");
}

static const struct sn_conf_field balancing_fields[] = {
	{.key = "algorithm",
	 .type = SN_CONF_ENUM,
	 .names = algorithms,
	 AT(sn_raw_balancing, algorithm),
	 .def = "PeakEWMA",
	 .help = "which endpoint takes a request"},
	{.key = "slowStart",
	 .type = SN_CONF_DURATION,
	 .max = HOURS(1),
	 AT(sn_raw_balancing, slow_start),
	 .def = "0s",
	 .help = "a new endpoint's weight grows from a tenth for so long; 0s: none"},
	{.key = "aperture",
	 .type = SN_CONF_OBJECT,
	 .object = &aperture,
	 .flags = SN_CONF_EMBED,
	 AT(sn_raw_balancing, aperture),
	 .help = "Aperture only"},
	{.key = "hashOn",
	 .type = SN_CONF_OBJECT,
	 .object = &hash_on,
	 AT(sn_raw_balancing, hash_on),
	 .help = "RingHash and Maglev: needed, others: not allowed"},
	END};
static const struct sn_conf_object balancing = {"loadBalancing", sizeof(struct sn_raw_balancing),
						balancing_fields, check_balancing};

/* --- circuitBreaking ----------------------------------------------------------------------------
 */

static const struct sn_conf_field success_rate_fields[] = {
	{.key = "percent",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 100,
	 AT(sn_raw_success_rate, percent),
	 .flags = SN_CONF_REQUIRED,
	 .help = "of successes; with less an endpoint is ejected"},
	{.key = "interval",
	 .type = SN_CONF_DURATION,
	 .min = 1000,
	 .max = HOURS(1),
	 AT(sn_raw_success_rate, interval),
	 .def = "10s",
	 .help = "that is looked back"},
	{.key = "minRequests",
	 .type = SN_CONF_INT,
	 .min = 1,
	 .max = 10000,
	 AT(sn_raw_success_rate, min_requests),
	 .def = "20",
	 .help = "in it, per worker; with less the rate says nothing"},
	END};
static const struct sn_conf_object success_rate = {
	"successRate", sizeof(struct sn_raw_success_rate), success_rate_fields, NULL};

static void check_breaking(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value)
{
	const struct sn_raw_breaking *b = value;
	const struct sn_val *min = sn_val_get(v, "minPenalty");

	if (b->min_penalty > b->max_penalty)
		sn_conf_error(ctx, min ? min : sn_val_get(v, "maxPenalty"),
			      "minPenalty is longer than maxPenalty");
}

enum { MODE_ON, MODE_OFF };
static const struct sn_conf_name breaking_modes[] = {{"On", MODE_ON}, {"Off", MODE_OFF}, {NULL, 0}};
static const struct sn_conf_field breaking_fields[] = {
	{.key = "mode",
	 .type = SN_CONF_ENUM,
	 .names = breaking_modes,
	 AT(sn_raw_breaking, mode),
	 .def = "On",
	 .help = "endpoints that fail are ejected; never where the service has only its address"},
	{.key = "consecutiveFailures",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 10000,
	 AT(sn_raw_breaking, consecutive_failures),
	 .def = "7",
	 .help = "5xx, gRPC failures or no connection, in a row, per worker; 0: they do not count"},
	{.key = "successRate",
	 .type = SN_CONF_OBJECT,
	 .object = &success_rate,
	 AT(sn_raw_breaking, success_rate),
	 .help = "absent: does not count"},
	{.key = "minPenalty",
	 .type = SN_CONF_DURATION,
	 .min = 10,
	 .max = HOURS(1),
	 AT(sn_raw_breaking, min_penalty),
	 .def = "1s",
	 .help = "until one request probes it"},
	{.key = "maxPenalty",
	 .type = SN_CONF_DURATION,
	 .min = 10,
	 .max = HOURS(24),
	 AT(sn_raw_breaking, max_penalty),
	 .def = "1m",
	 .help = "the penalty doubles up to that"},
	{.key = "maxEjectedPercent",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 100,
	 AT(sn_raw_breaking, max_ejected_percent),
	 .def = "50",
	 .help = "of the endpoints; never the last one"},
	{.key = "panic",
	 .type = SN_CONF_BOOL,
	 AT(sn_raw_breaking, panic),
	 .def = "false",
	 .help = "when all are ejected use all, instead of 503"},
	END};
static const struct sn_conf_object breaking = {"circuitBreaking", sizeof(struct sn_raw_breaking),
					       breaking_fields, check_breaking};

/* --- the rest -----------------------------------------------------------------------------------
 */

enum { PREFER_OWN_ZONE, LOCALITY_OFF };
static const struct sn_conf_name locality_modes[] = {
	{"PreferOwnZone", PREFER_OWN_ZONE}, {"Off", LOCALITY_OFF}, {NULL, 0}};
static const struct sn_conf_field locality_fields[] = {
	{.key = "mode",
	 .type = SN_CONF_ENUM,
	 .names = locality_modes,
	 .def = "PreferOwnZone",
	 .help = "endpoints of the proxy's zone first, while they have capacity"},
	END};
static const struct sn_conf_object locality = {"locality", sizeof(int), locality_fields, NULL};

static const struct sn_conf_field policy_fields[] = {{.key = "loadBalancing",
						      .type = SN_CONF_OBJECT,
						      .object = &balancing,
						      .flags = SN_CONF_EMBED,
						      AT(sn_raw_policy, load_balancing)},
						     {.key = "circuitBreaking",
						      .type = SN_CONF_OBJECT,
						      .object = &breaking,
						      .flags = SN_CONF_EMBED,
						      AT(sn_raw_policy, circuit_breaking)},
						     {.key = "locality",
						      .type = SN_CONF_OBJECT,
						      .object = &locality,
						      .flags = SN_CONF_EMBED,
						      AT(sn_raw_policy, locality)},
						     {.key = "connections",
						      .type = SN_CONF_OBJECT,
						      .object = &sn_schema__connections,
						      .flags = SN_CONF_EMBED,
						      AT(sn_raw_policy, connections)},
						     {.key = "retryBudget",
						      .type = SN_CONF_OBJECT,
						      .object = &sn_schema__retry_budget,
						      .flags = SN_CONF_EMBED,
						      AT(sn_raw_policy, budget)},
						     {.key = "rateLimit",
						      .type = SN_CONF_OBJECT,
						      .object = &sn_schema__service_rate,
						      AT(sn_raw_policy, rate),
						      .help = "of all its requests; absent: none"},
						     {.key = "adaptiveConcurrency",
						      .type = SN_CONF_OBJECT,
						      .object = &sn_schema__adaptive,
						      .flags = SN_CONF_EMBED,
						      AT(sn_raw_policy, adaptive)},
						     {.key = "sessionPersistence",
						      .type = SN_CONF_OBJECT,
						      .object = &sn_schema__session,
						      AT(sn_raw_policy, session),
						      .help = "absent: each request is balanced"},
						     END};
const struct sn_conf_object sn_schema_policy = {"policy", sizeof(struct sn_raw_policy),
						policy_fields, NULL};

static void breaker_values(const struct sn_raw_breaking *raw, struct sn_breaker_settings *ret)
{
	ret->on = raw->mode == MODE_ON;
	ret->panic = raw->panic;
	ret->consecutive_failures = (uint32_t)raw->consecutive_failures;
	ret->max_ejected_percent = (uint32_t)raw->max_ejected_percent;
	ret->min_penalty_ns = raw->min_penalty * 1000000;
	ret->max_penalty_ns = raw->max_penalty * 1000000;
	if (!raw->success_rate)
		return;
	ret->min_rate_percent = (uint32_t)raw->success_rate->percent;
	ret->min_requests = (uint32_t)raw->success_rate->min_requests;
	ret->window_ns = raw->success_rate->interval * 1000000;
}

struct sn_rate sn_schema_rate(const struct sn_raw_rate *raw)
{
	return (struct sn_rate){
		.milli_per_second = (uint64_t)raw->per_second * 1000,
		.burst = (uint32_t)(raw->burst ? raw->burst : raw->per_second),
	};
}

static void load_values(const struct sn_raw_policy *raw, struct sn_policy *ret)
{
	ret->max_connections = (uint32_t)raw->connections.max;
	ret->max_requests = (uint32_t)raw->connections.requests;
	ret->max_pending = (uint32_t)raw->connections.pending;
	ret->pending_timeout_ms = raw->connections.pending_timeout;
	ret->idle_timeout_ms = raw->connections.idle_timeout;
	ret->budget.percent = (uint32_t)raw->budget.percent;
	ret->budget.min_per_second = (uint32_t)raw->budget.min_per_second;
	ret->budget.interval_ns = raw->budget.interval * 1000000;
	ret->adaptive = raw->adaptive.mode;
	ret->adaptive_min = (uint32_t)raw->adaptive.min;
	ret->adaptive_max = (uint32_t)raw->adaptive.max;
	if (raw->rate)
		ret->rate = sn_schema_rate(raw->rate);
}

void sn_schema_policy_values(const struct sn_raw_policy *raw, struct sn_policy *ret)
{
	const struct sn_raw_balancing *b = &raw->load_balancing;

	sn_policy_defaults(ret);
	ret->algorithm = (enum sn_balance_algorithm)b->algorithm;
	ret->slow_start_ms = b->slow_start;
	ret->aperture_min = (uint32_t)b->aperture.min_size;
	if (b->hash_on) {
		ret->hash_on.kind = (enum sn_hash_kind)b->hash_on->type;
		ret->hash_on.name = b->hash_on->name;
	}
	ret->prefer_own_zone = raw->locality.mode == PREFER_OWN_ZONE;
	breaker_values(&raw->circuit_breaking, &ret->breaker);
	load_values(raw, ret);
}
