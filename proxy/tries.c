/* SPDX-License-Identifier: Apache-2.0 */
/* The tries of a request: one after the other until one is answered or must not be made again.
 *
 *   NEW --gate--> TRYING --answered--> (the response passes)
 *     \           ^  |  \--failed for good--> refused
 *      WAITING ---'  |failed, and may be made again
 *                 ^  v
 *                BACKOFF
 *
 * Whether a try may be made again is mesh/retry's decision, and the budget's. A next try never
 * begins inside the call that ended the one before: it comes from the loop, so that nobody who
 * holds the old upstream's state meets the new one's. */
#include <time.h>

#include "base/err.h"
#include "mesh/grpc.h"
#include "mesh/retry.h"
#include "proxy/exchange.h"

/* For rules without `retry`: what provably was not processed is tried again all the same. */
static const struct sn_retry_policy unprocessed_only = {
	.backoff_ns = 25000000,
	.backoff_max_ns = 250000000,
};

static const struct sn_retry_policy *policy_of(const struct sn_exchange *x)
{
	return x->rule && x->rule->retry ? x->rule->retry : &unprocessed_only;
}

/* --- phases -------------------------------------------------------------------------------------
 */

static void try_timed_out(struct sn_exchange *x);

static void on_phase(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_exchange *x = sn_container_of(t, struct sn_exchange, phase_timer);

	(void)now_ms;
	switch (x->phase) {
	case SN_PHASE_WAITING:
		sn_gate_waited_out(x);
		break;
	case SN_PHASE_BACKOFF:
		sn_tries_next(x);
		break;
	default:
		try_timed_out(x);
		break;
	}
}

void sn_tries_init(struct sn_exchange *x)
{
	sn_list_init(&x->turn);
	sn_timer_init(&x->phase_timer, on_phase);
}

/* Within its rule's rate, if that has one? False: it has been refused. */
static bool within_rate(struct sn_exchange *x)
{
	struct sn_limiter *m;

	if (!x->rule || !x->rule->rate_limit)
		return true;
	m = sn_choose_limiter(x);
	if (m)
		return sn_limiter_pass(m, x);
	sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
	return false;
}

void sn_tries_begin(struct sn_exchange *x)
{
	struct sn_gate *g;

	if (!sn_choose_backend(x))
		return;
	if (x->rule && x->rule->request_timeout_ms)
		sn_exchange_set_deadline(x, x->rule->request_timeout_ms);
	if (!within_rate(x))
		return;
	if (x->svc && x->svc->policy.persist)
		sn_session_read(x);
	g = sn_choose_gate(x);
	if (!g)
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD, "out of memory");
	else if (sn_gate_enter(g, x))
		sn_tries_next(x);
}

void sn_tries_next(struct sn_exchange *x)
{
	x->tries++;
	x->phase = SN_PHASE_TRYING;
	x->try_ns = sn_loop_now_ns(x->w->loop);
	if (sn_timer_is_set(&x->phase_timer))
		sn_loop_timer_cancel(x->w->loop, &x->phase_timer);
	if (!sn_choose_endpoint(x))
		return;
	if (x->rule && x->rule->try_timeout_ms)
		sn_loop_timer(x->w->loop, &x->phase_timer, x->rule->try_timeout_ms);
	x->up->start(x);
}

void sn_tries_end(struct sn_exchange *x)
{
	if (sn_timer_is_set(&x->phase_timer))
		sn_loop_timer_cancel(x->w->loop, &x->phase_timer);
	if (x->tries > 1 && x->stats && x->resp_started)
		x->stats->retried_well += x->status < 500 && x->grpc_status <= 0;
	sn_gate_leave(x);
}

/* --- the end of a try ---------------------------------------------------------------------------
 */

static struct sn_outcome outcome(const struct sn_exchange *x, enum sn_outcome_kind kind)
{
	struct sn_outcome o = {.kind = kind, .is_grpc = x->grpc, .grpc = -1};

	if (kind == SN_OUTCOME_ANSWERED) {
		o.status = (uint16_t)x->status;
		o.grpc = (int8_t)x->grpc_status;
	}
	return o;
}

void sn_tries_let_go(struct sn_exchange *x, bool complete, enum sn_outcome_kind kind)
{
	static const enum sn_try_end ends[] = {
		[SN_OUTCOME_ANSWERED] = SN_TRY_ANSWERED, [SN_OUTCOME_CONNECT] = SN_TRY_FAILED,
		[SN_OUTCOME_REFUSED] = SN_TRY_CANCELLED, [SN_OUTCOME_RESET] = SN_TRY_FAILED,
		[SN_OUTCOME_TIMEOUT] = SN_TRY_FAILED,	 [SN_OUTCOME_CANCELLED] = SN_TRY_CANCELLED,
	};
	const struct sn_up *up = x->up;
	uint64_t now = sn_loop_now_ns(x->w->loop);

	x->up = NULL;
	if (up)
		up->release(x, complete);
	if (x->endpoint) {
		struct sn_endpoint *e = x->endpoint;
		struct sn_outcome o = outcome(x, kind);
		struct sn_try_result r = {
			.latency_ns = now - x->try_ns,
			.end = ends[kind],
			.success = sn_classify(&o) != SN_CLASS_FAILURE,
			.retry_after_ms = kind == SN_OUTCOME_ANSWERED ? x->retry_after_ms : 0};

		x->endpoint = NULL;
		sn_balance_done(x->cluster->balance, e, &r, now);
	}
	if (x->gate && up && kind == SN_OUTCOME_TIMEOUT)
		sn_gate_sample(x->gate, now - x->try_ns, true, now);
	if (x->gate && x->req_sent && !x->resp_seen && kind == SN_OUTCOME_CANCELLED)
		sn_gate_cancelled(x->gate, now - x->try_ns, now);
}

/* --- another one? -------------------------------------------------------------------------------
 */

static struct sn_retry_facts facts(const struct sn_exchange *x, enum sn_outcome_kind kind)
{
	uint64_t now = sn_loop_now_ms(x->w->loop), due = x->deadline.due_ms;

	return (struct sn_retry_facts){
		.outcome = outcome(x, kind),
		.retries = x->tries - 1,
		.idempotent = sn_method_is_idempotent(x->req.method),
		.body_lost = x->replay.lost || x->head.n == 0,
		.response_started = x->resp_started,
		.no_retry = x->hop.no_retry || x->no_retry_upstream,
		.deadline_ns = !sn_timer_is_set(&x->deadline) ? UINT64_MAX
			       : due > now		      ? (due - now) * 1000000
							      : 0,
		.retry_after_ms = x->retry_after_ms ? x->retry_after_ms : SN_RETRY_AFTER_NONE,
	};
}

/* Counts what was decided; the budget has the last word. */
static bool may_again(struct sn_exchange *x, enum sn_outcome_kind kind, uint64_t *ret_delay_ms)
{
	struct sn_retry_facts f = facts(x, kind);
	struct sn_retry_decision d = sn_retry_decide(policy_of(x), &f, &x->w->rng);

	if (x->tunnel || x->gone)
		return false;
	if (d.reason == SN_RETRY_YES && x->gate &&
	    !sn_budget_try_withdraw(&x->gate->budget, sn_loop_now_ns(x->w->loop)))
		d.reason = SN_RETRY_BUDGET;
	/* It is this proxy's to repeat it: one before us would only multiply. */
	x->gave_up = d.reason == SN_RETRY_ATTEMPTS || d.reason == SN_RETRY_BUDGET ||
		     d.reason == SN_RETRY_FORBIDDEN;
	if (x->stats) {
		x->stats->retried += d.reason == SN_RETRY_YES;
		x->stats->retries_over += d.reason == SN_RETRY_ATTEMPTS;
		x->stats->budget_over += d.reason == SN_RETRY_BUDGET;
	}
	*ret_delay_ms = d.delay_ns / 1000000;
	return d.reason == SN_RETRY_YES;
}

static void again(struct sn_exchange *x, enum sn_outcome_kind kind, uint64_t delay_ms)
{
	x->fresh = kind != SN_OUTCOME_ANSWERED;
	x->req_sent = x->req_done = false;
	x->resp_seen = false;
	x->reset_code = 0;
	x->grpc_status = -1;
	x->status = 0;
	x->retry_after_ms = 0;
	x->no_retry_upstream = false;
	x->phase = SN_PHASE_BACKOFF;
	sn_loop_timer(x->w->loop, &x->phase_timer, delay_ms);
}

static void failed(struct sn_exchange *x, enum sn_outcome_kind kind, unsigned status,
		   enum sn_refusal_reason reason, const char *detail)
{
	uint64_t delay_ms;

	if (!may_again(x, kind, &delay_ms)) {
		sn_exchange_refuse(x, status, reason, detail);
		return;
	}
	sn_tries_let_go(x, false, kind);
	again(x, kind, delay_ms);
}

void sn_exchange_try_failed(struct sn_exchange *x, bool unprocessed, unsigned status,
			    enum sn_refusal_reason reason, const char *detail)
{
	failed(x,
	       reason == SN_REFUSE_CONNECT ? SN_OUTCOME_CONNECT
	       : unprocessed		   ? SN_OUTCOME_REFUSED
					   : SN_OUTCOME_RESET,
	       status, reason, detail);
}

void sn_exchange_not_connected(struct sn_exchange *x, int code)
{
	switch (code) {
	case -SN_ETIMEOUT:
		sn_exchange_try_failed(x, true, 504, SN_REFUSE_CONNECT,
				       "the connect timeout has passed");
		break;
	case -SN_EPROTO:
		sn_exchange_try_failed(x, true, 502, SN_REFUSE_UPSTREAM,
				       "the upstream does not speak HTTP/2");
		break;
	case -SN_ELIMIT:
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD,
				   "too many requests wait for a connection");
		break;
	case -SN_ENOMEM:
	case -SN_ESYS:
		sn_exchange_refuse(x, 503, SN_REFUSE_OVERLOAD,
				   "no descriptor or memory for a connection");
		break;
	default:
		sn_exchange_try_failed(x, true, 502, SN_REFUSE_CONNECT, "cannot connect");
		break;
	}
}

static void try_timed_out(struct sn_exchange *x)
{
	x->reset_code = SN_H2_CANCEL;
	failed(x, SN_OUTCOME_TIMEOUT, 504, SN_REFUSE_TIMEOUT,
	       "no whole response in timeouts.backendRequest");
}

/* What an answer asks for, if anything. */
static void read_retry_after(struct sn_exchange *x, const struct sn_response *resp)
{
	const struct sn_header *h = sn_headers_find(&resp->headers, SN_SLICE("retry-after"));
	struct sn_outcome o = outcome(x, SN_OUTCOME_ANSWERED);
	uint64_t ms = h ? sn_retry_after_ms(h->value, (uint64_t)time(NULL)) : SN_RETRY_AFTER_NONE;

	x->retry_after_ms = (uint32_t)sn_classify_back_off_ms(&o, ms);
	h = x->mesh ? sn_headers_find(&resp->headers, SN_SLICE("sennit-retry")) : NULL;
	x->no_retry_upstream = h && sn_slice_ieq(h->value, SN_SLICE("no"));
}

/* What an answer says about how much the service bears: that it was turned away counts, other
 * failures come at their own pace. */
static void sample_answer(struct sn_exchange *x, enum sn_class class, uint64_t now_ns)
{
	bool dropped = class == SN_CLASS_OVERLOAD || x->status == 503 || x->grpc_status == 14;

	if (dropped || class != SN_CLASS_FAILURE)
		sn_gate_sample(x->gate, now_ns - x->try_ns, dropped, now_ns);
}

bool sn_tries_judge(struct sn_exchange *x, const struct sn_response *resp)
{
	struct sn_outcome o = outcome(x, SN_OUTCOME_ANSWERED);
	uint64_t now = sn_loop_now_ns(x->w->loop), delay_ms;

	if (x->endpoint && sn_classify(&o) == SN_CLASS_SUCCESS &&
	    sn_breaker_is_ejected(&x->endpoint->breaker))
		sn_balance_is_well(x->cluster->balance, x->endpoint, now - x->try_ns, now);
	if (x->gate)
		sample_answer(x, sn_classify(&o), now);
	if (x->status < 400 && x->grpc_status <= 0)
		return true;
	read_retry_after(x, resp);
	if (!may_again(x, SN_OUTCOME_ANSWERED, &delay_ms))
		return true;
	sn_tries_let_go(x, false, SN_OUTCOME_ANSWERED);
	again(x, SN_OUTCOME_ANSWERED, delay_ms);
	return false;
}

/* Towards HTTP/2 anything may turn out not to have been processed; towards HTTP/1 only the policy
 * can make use of a copy. */
bool sn_tries_keep(const struct sn_exchange *x)
{
	if (x->tunnel || x->resp_started || sn_worker_is_tight(x->w))
		return false;
	return x->up == &sn_up_h2 ||
	       (policy_of(x)->attempts && (x->grpc || sn_method_is_idempotent(x->req.method)));
}
