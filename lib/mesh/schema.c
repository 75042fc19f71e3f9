/* SPDX-License-Identifier: Apache-2.0 */
/* One truth for both halves: the tables. Only what this build honours is listed; anything else is
 * an unknown key or value. */
#include "mesh/policy.h"
#include "mesh/schema_int.h"

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

static const struct sn_conf_field policy_fields[] = {{.key = "loadBalancing",
						      .type = SN_CONF_OBJECT,
						      .object = &balancing,
						      .flags = SN_CONF_EMBED,
						      AT(sn_raw_policy, load_balancing)},
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
