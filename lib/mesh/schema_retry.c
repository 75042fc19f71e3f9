/* SPDX-License-Identifier: Apache-2.0 */
/* What a rule may say about trying again, and a policy about how often in all. */
#include "mesh/budget.h"
#include "mesh/retry.h"
#include "mesh/schema_int.h"

static const struct sn_conf_field code_item = {
	.type = SN_CONF_INT, .min = SN_RETRY_CODE_FIRST, .max = SN_RETRY_CODE_LAST};
/* grpc/doc/statuscodes.md */
const struct sn_conf_name sn_schema__grpc_statuses[] = {{"CANCELLED", 1},
							{"UNKNOWN", 2},
							{"INVALID_ARGUMENT", 3},
							{"DEADLINE_EXCEEDED", 4},
							{"NOT_FOUND", 5},
							{"ALREADY_EXISTS", 6},
							{"PERMISSION_DENIED", 7},
							{"RESOURCE_EXHAUSTED", 8},
							{"FAILED_PRECONDITION", 9},
							{"ABORTED", 10},
							{"OUT_OF_RANGE", 11},
							{"UNIMPLEMENTED", 12},
							{"INTERNAL", 13},
							{"UNAVAILABLE", 14},
							{"DATA_LOSS", 15},
							{"UNAUTHENTICATED", 16},
							{NULL, 0}};
static const struct sn_conf_field grpc_item = {.type = SN_CONF_ENUM,
					       .names = sn_schema__grpc_statuses};

static const struct sn_conf_field retry_fields[] = {
	{.key = "codes",
	 .type = SN_CONF_LIST,
	 .max = 64,
	 AT(sn_raw_retry, codes),
	 COUNT(sn_raw_retry, n_codes),
	 .item = &code_item,
	 .help = "statuses, 400 to 599, after which an idempotent request is tried again"},
	{.key = "grpc",
	 .type = SN_CONF_LIST,
	 .max = 16,
	 AT(sn_raw_retry, grpc),
	 COUNT(sn_raw_retry, n_grpc),
	 .item = &grpc_item,
	 .help = "the same for gRPC calls, which these make repeatable: UNAVAILABLE ..."},
	{.key = "attempts",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 10,
	 AT(sn_raw_retry, attempts),
	 .def = "2",
	 .help = "tries behind the first"},
	{.key = "backoff",
	 .type = SN_CONF_DURATION,
	 .min = 1,
	 .max = 60000,
	 AT(sn_raw_retry, backoff),
	 .def = "25ms",
	 .help = "before the first of them, at most; then twice as long each"},
	END};
const struct sn_conf_object sn_schema__retry = {"retry", sizeof(struct sn_raw_retry), retry_fields,
						NULL};

static const struct sn_conf_field budget_fields[] = {
	{.key = "percent",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 100,
	 AT(sn_raw_budget, percent),
	 .def = "20",
	 .help = "further tries per hundred requests"},
	{.key = "minPerSecond",
	 .type = SN_CONF_INT,
	 .min = 0,
	 .max = 100000,
	 AT(sn_raw_budget, min_per_second),
	 .def = "10",
	 .help = "and as many more whatever the traffic"},
	{.key = "interval",
	 .type = SN_CONF_DURATION,
	 .min = 1000,
	 .max = 600000,
	 AT(sn_raw_budget, interval),
	 .def = "10s",
	 .help = "how long both are remembered"},
	END};
const struct sn_conf_object sn_schema__retry_budget = {"retryBudget", sizeof(struct sn_raw_budget),
						       budget_fields, NULL};
