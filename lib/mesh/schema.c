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
