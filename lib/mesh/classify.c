/* SPDX-License-Identifier: Apache-2.0 */
/* One place that says what a response is worth: the breaker that ejects an endpoint, the average
 * that avoids it and the metric that alarms must not disagree. */
#include "mesh/classify.h"

#include "mesh/grpc.h"

enum { /* gRPC statuses that are looked at (grpc/doc/statuscodes.md) */
       GRPC_CANCELLED = 1,
       GRPC_UNKNOWN = 2,
       GRPC_DEADLINE_EXCEEDED = 4,
       GRPC_RESOURCE_EXHAUSTED = 8,
       GRPC_INTERNAL = 13,
       GRPC_UNAVAILABLE = 14,
       GRPC_DATA_LOSS = 15,
};

static enum sn_class of_http(unsigned status)
{
	if (status == 429)
		return SN_CLASS_OVERLOAD;
	if (status < 100)
		return SN_CLASS_IGNORED;
	return status >= 500 ? SN_CLASS_FAILURE : SN_CLASS_SUCCESS;
}

static enum sn_class of_grpc(int status)
{
	switch (status) {
	case GRPC_UNKNOWN:
	case GRPC_DEADLINE_EXCEEDED:
	case GRPC_INTERNAL:
	case GRPC_UNAVAILABLE:
	case GRPC_DATA_LOSS:
		return SN_CLASS_FAILURE;
	case GRPC_RESOURCE_EXHAUSTED:
		return SN_CLASS_OVERLOAD;
	default:
		return SN_CLASS_SUCCESS;
	}
}

static enum sn_class of_answer(const struct sn_outcome *o)
{
	if (!o->is_grpc)
		return of_http(o->status);
	if (o->grpc >= 0)
		return of_grpc(o->grpc);
	return o->status == 200 ? of_grpc(GRPC_UNKNOWN) : of_http(o->status);
}

enum sn_class sn_classify(const struct sn_outcome *o)
{
	switch (o->kind) {
	case SN_OUTCOME_ANSWERED:
		return of_answer(o);
	case SN_OUTCOME_CONNECT:
	case SN_OUTCOME_RESET:
	case SN_OUTCOME_TIMEOUT:
		return SN_CLASS_FAILURE;
	case SN_OUTCOME_REFUSED:
		return SN_CLASS_OVERLOAD;
	case SN_OUTCOME_CANCELLED:
		break;
	}
	return SN_CLASS_IGNORED;
}

const char *sn_class_name(enum sn_class c)
{
	static const char *const names[] = {"success", "failure", "overload", "ignored"};

	return names[c];
}

int sn_outcome_grpc(const struct sn_outcome *o)
{
	if (!o->is_grpc)
		return -1;
	switch (o->kind) {
	case SN_OUTCOME_ANSWERED:
		break;
	case SN_OUTCOME_TIMEOUT:
		return GRPC_DEADLINE_EXCEEDED;
	case SN_OUTCOME_CANCELLED:
		return GRPC_CANCELLED;
	case SN_OUTCOME_CONNECT:
	case SN_OUTCOME_REFUSED:
	case SN_OUTCOME_RESET:
		return GRPC_UNAVAILABLE;
	}
	if (o->grpc >= 0)
		return o->grpc;
	return o->status == 504 ? GRPC_UNAVAILABLE : sn_grpc_status_of_http(o->status);
}

uint64_t sn_classify_back_off_ms(const struct sn_outcome *o, uint64_t retry_after_ms)
{
	if (o->kind != SN_OUTCOME_ANSWERED || retry_after_ms == SN_RETRY_AFTER_NONE)
		return 0;
	if (o->status == 429 || o->status == 503)
		return retry_after_ms;
	if (o->is_grpc && (o->grpc == GRPC_RESOURCE_EXHAUSTED || o->grpc == GRPC_UNAVAILABLE))
		return retry_after_ms;
	return 0;
}
