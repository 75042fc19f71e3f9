/* SPDX-License-Identifier: Apache-2.0 */
/* Whether to try again is one table of rules, kept apart from how to: what is said here about a
 * request can be tested without a connection. */
#include "mesh/retry.h"

#include <string.h>

#include "base/err.h"

#define BACKOFF_NS 25000000u
#define BACKOFF_CAP_NS 1000000000u
#define MS 1000000u /* ns */

void sn_retry_defaults(struct sn_retry_policy *p)
{
	memset(p, 0, sizeof(*p));
	sn_retry_set_backoff(p, BACKOFF_NS);
}

void sn_retry_set_backoff(struct sn_retry_policy *p, uint64_t backoff_ns)
{
	p->backoff_ns = backoff_ns;
	p->backoff_max_ns = backoff_ns < BACKOFF_CAP_NS / 10 ? backoff_ns * 10
			    : backoff_ns < BACKOFF_CAP_NS    ? BACKOFF_CAP_NS
							     : backoff_ns;
}

int sn_retry_add_code(struct sn_retry_policy *p, unsigned status)
{
	unsigned bit = status - SN_RETRY_CODE_FIRST;

	if (status < SN_RETRY_CODE_FIRST || status > SN_RETRY_CODE_LAST)
		return -SN_ECONF;
	p->codes[bit / 64] |= UINT64_C(1) << bit % 64;
	return 0;
}

int sn_retry_add_grpc(struct sn_retry_policy *p, int status)
{
	if (status < 1 || status > 16)
		return -SN_ECONF;
	p->grpc |= UINT32_C(1) << status;
	return 0;
}

bool sn_retry_has_code(const struct sn_retry_policy *p, unsigned status)
{
	unsigned bit = status - SN_RETRY_CODE_FIRST;

	return status >= SN_RETRY_CODE_FIRST && status <= SN_RETRY_CODE_LAST &&
	       (p->codes[bit / 64] >> bit % 64 & 1);
}

/* Is this, which may have been processed, a failure that the policy wants to be retried? */
static bool is_named(const struct sn_retry_policy *p, const struct sn_outcome *o)
{
	if (p->attempts == 0 || o->kind == SN_OUTCOME_CANCELLED)
		return false;
	if (o->is_grpc)
		return p->grpc >> sn_outcome_grpc(o) & 1;
	return o->kind != SN_OUTCOME_ANSWERED || sn_retry_has_code(p, o->status);
}

static bool is_unprocessed(const struct sn_outcome *o)
{
	return o->kind == SN_OUTCOME_CONNECT || o->kind == SN_OUTCOME_REFUSED;
}

static uint32_t retries_max(const struct sn_retry_policy *p, bool unprocessed)
{
	return unprocessed && p->attempts < SN_RETRY_UNPROCESSED ? SN_RETRY_UNPROCESSED
								 : p->attempts;
}

/* Everything but time. */
static enum sn_retry_reason may_retry(const struct sn_retry_policy *p,
				      const struct sn_retry_facts *f)
{
	bool unprocessed = is_unprocessed(&f->outcome);

	if (!unprocessed && !is_named(p, &f->outcome))
		return SN_RETRY_NOT_RETRYABLE;
	if (f->response_started)
		return SN_RETRY_RESPONSE_STARTED;
	if (f->no_retry)
		return SN_RETRY_FORBIDDEN;
	if (!unprocessed && !f->outcome.is_grpc && !f->idempotent)
		return SN_RETRY_NOT_IDEMPOTENT;
	if (f->body_lost)
		return SN_RETRY_BODY_LOST;
	if (f->retries >= retries_max(p, unprocessed))
		return SN_RETRY_ATTEMPTS;
	return SN_RETRY_YES;
}

static uint64_t backoff_ns(const struct sn_retry_policy *p, uint32_t retries, struct sn_rng *rng)
{
	uint64_t max = p->backoff_ns < p->backoff_max_ns ? p->backoff_ns : p->backoff_max_ns;

	for (; retries && max && max < p->backoff_max_ns; retries--)
		max = max > p->backoff_max_ns / 2 ? p->backoff_max_ns : max * 2;
	return max ? sn_rng_next(rng) % max : 0;
}

struct sn_retry_decision sn_retry_decide(const struct sn_retry_policy *p,
					 const struct sn_retry_facts *f, struct sn_rng *rng)
{
	struct sn_retry_decision d = {.reason = may_retry(p, f)};
	uint64_t after_ms = f->retry_after_ms == SN_RETRY_AFTER_NONE ? 0 : f->retry_after_ms;

	if (d.reason != SN_RETRY_YES)
		return d;
	if (after_ms && (after_ms > SN_RETRY_AFTER_WAIT_MS || after_ms * MS >= f->deadline_ns)) {
		d.reason = SN_RETRY_LATER;
		return d;
	}
	if (f->retries || !is_unprocessed(&f->outcome))
		d.delay_ns = backoff_ns(p, f->retries, rng);
	if (d.delay_ns < after_ms * MS)
		d.delay_ns = after_ms * MS;
	if (d.delay_ns >= f->deadline_ns)
		d = (struct sn_retry_decision){.reason = SN_RETRY_DEADLINE};
	return d;
}

const char *sn_retry_reason_name(enum sn_retry_reason r)
{
	static const char *const names[] = {
		[SN_RETRY_YES] = "yes",
		[SN_RETRY_NOT_RETRYABLE] = "not-retryable",
		[SN_RETRY_RESPONSE_STARTED] = "response-started",
		[SN_RETRY_FORBIDDEN] = "forbidden",
		[SN_RETRY_NOT_IDEMPOTENT] = "not-idempotent",
		[SN_RETRY_BODY_LOST] = "body-lost",
		[SN_RETRY_ATTEMPTS] = "attempts",
		[SN_RETRY_LATER] = "retry-after",
		[SN_RETRY_DEADLINE] = "deadline",
		[SN_RETRY_BUDGET] = "budget",
	};

	return names[r];
}
