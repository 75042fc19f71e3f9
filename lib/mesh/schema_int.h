/* SPDX-License-Identifier: Apache-2.0 */
/* Between the schema's files: what their tables are written with, and the pieces of one that
 * another names. */
#ifndef SN_MESH_SCHEMA_INT_H
#define SN_MESH_SCHEMA_INT_H

#include "mesh/schema.h"

#define AT(type, member) .offset = offsetof(struct type, member)
#define COUNT(type, member) .n_offset = offsetof(struct type, member)
#define END                                                                                        \
	{                                                                                          \
	}

/* One filter of a rule: struct sn_raw_filter. */
extern const struct sn_conf_field sn_schema__filter_item;

/* gRPC statuses that are failures, by name. */
extern const struct sn_conf_name sn_schema__grpc_statuses[];

/* Of a rule: struct sn_raw_retry, struct sn_raw_rate. */
extern const struct sn_conf_object sn_schema__retry;
extern const struct sn_conf_object sn_schema__rule_rate;
/* Of a policy: struct sn_raw_connections, _budget, _rate, _adaptive, _session. */
extern const struct sn_conf_object sn_schema__connections;
extern const struct sn_conf_object sn_schema__retry_budget;
extern const struct sn_conf_object sn_schema__service_rate;
extern const struct sn_conf_object sn_schema__adaptive;
extern const struct sn_conf_object sn_schema__session;
/* Its members: struct sn_raw_rewrite and so on. */
extern const struct sn_conf_object sn_schema__rewrite, sn_schema__redirect, sn_schema__mirror,
	sn_schema__direct_response, sn_schema__fault, sn_schema__cors;

/* What the filters of a rule (struct sn_raw_rule, decoded from @v) ask of each other and of it. */
void sn_schema__check_filters(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value);

/* The value (const char *) is a token: a method, a header's name. */
void sn_schema__check_token(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value);
/* ... a header's value. */
void sn_schema__check_field_value(struct sn_conf_ctx *ctx, const struct sn_val *v, void *value);

#endif
