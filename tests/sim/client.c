/* SPDX-License-Identifier: Apache-2.0 */
/* The functions here are named after those of proxy/tries.c and proxy/gate.c that they repeat. What
 * is left out is what cannot fail here: bodies, heads, protocols. All requests are idempotent and
 * can be sent again. */
#include "tests/sim/client.h"

#include <stdio.h>
#include <stdlib.h>

#define DIAL_NS (500 * SIM_US)
#define CONNECT_TIMEOUT_NS SIM_S /* timeouts.connect */
#define ADAPTIVE_START 20
#define TRIED_MAX 4

enum phase { PHASE_WAITING, PHASE_BACKOFF, PHASE_TRYING };

struct sim_request {
	struct sim_call *from; /* who asked */
	struct sim_call call;  /* what is asked of the endpoint */
	struct sim_proxy *p;
	struct sim_event phase_timer, deadline;
	struct sn_list turn; /* of those that wait, here or for a connection */
	enum phase phase;
	bool at_gate, admitted, dialling, sent;
	bool gave_up, no_retry_upstream;
	unsigned tries, status;
	struct sn_endpoint *endpoint;
	struct sim_peer *peer;
	const struct sn_endpoint *tried[TRIED_MAX];
	unsigned n_tried;
	uint64_t start_ns, try_ns;
	struct sim_request *next;
};

static const struct sn_retry_policy unprocessed_only = {
	.backoff_ns = 25000000,
	.backoff_max_ns = 250000000,
};

static void tries_next(struct sim_request *x);
static void refuse(struct sim_request *x, unsigned status, enum sn_outcome_kind kind);
static void try_failed(struct sim_request *x, enum sn_outcome_kind kind, unsigned status);

/* --- the gate (proxy/gate.c) --------------------------------------------------------------------
 */

static void start_waiters(struct sim_proxy *p)
{
	if (p->starting)
		return;
	p->starting = true;
	while (sn_admission_room(&p->admission) && !sn_list_empty(&p->waiting)) {
		struct sim_request *x =
			sn_list_entry(sn_list_first(&p->waiting), struct sim_request, turn);

		if (sn_admission_takes_newest(&p->admission, x->start_ns, p->clock->now_ns))
			x = sn_list_entry(sn_list_last(&p->waiting), struct sim_request, turn);
		sn_list_del(&x->turn);
		sn_admission_start(&p->admission);
		x->admitted = true;
		tries_next(x);
	}
	p->starting = false;
}

static bool gate_enter(struct sim_request *x)
{
	struct sim_proxy *p = x->p;

	sn_budget_deposit(&p->budget, p->clock->now_ns);
	x->at_gate = true;
	switch (sn_admission_enter(&p->admission)) {
	case SN_ADMISSION_ADMIT:
		x->admitted = true;
		return true;
	case SN_ADMISSION_WAIT:
		sn_list_push_back(&p->waiting, &x->turn);
		x->phase = PHASE_WAITING;
		sim_after(p->clock, &x->phase_timer, p->set.policy.pending_timeout_ms * SIM_MS);
		return false;
	default:
		p->shed++;
		x->at_gate = false;
		refuse(x, 503, SN_OUTCOME_CANCELLED);
		return false;
	}
}

static void gate_leave(struct sim_request *x)
{
	struct sim_proxy *p = x->p;

	if (!x->at_gate)
		return;
	x->at_gate = false;
	if (!x->admitted) {
		sn_list_del(&x->turn);
		sn_admission_give_up(&p->admission);
		return;
	}
	x->admitted = false;
	if (sn_admission_leave(&p->admission) && !sn_list_empty(&p->waiting))
		start_waiters(p);
}

static void gate_sample(struct sim_proxy *p, uint64_t latency_ns, bool dropped)
{
	if (p->admission.concurrency)
		sn_concurrency_on_sample(&p->concurrency, latency_ns, p->admission.in_flight,
					 dropped, p->clock->now_ns);
}

static void gate_cancelled(struct sim_proxy *p, uint64_t waited_ns)
{
	if (p->admission.concurrency)
		sn_concurrency_on_cancelled(&p->concurrency, waited_ns, p->admission.in_flight,
					    p->clock->now_ns);
}

/* --- the end of a try (proxy/tries.c) -----------------------------------------------------------
 */

static struct sn_outcome outcome(const struct sim_request *x, enum sn_outcome_kind kind)
{
	return (struct sn_outcome){.kind = kind,
				   .grpc = -1,
				   .status =
					   (uint16_t)(kind == SN_OUTCOME_ANSWERED ? x->status : 0)};
}

/* Lets go of the connection, or of the wait for it. */
static void up_release(struct sim_request *x)
{
	if (x->dialling)
		sn_list_del(&x->turn);
	if (x->sent && x->peer->next)
		sim_proxy_cancel(&x->call);
	else if (x->sent)
		sim_server_cancel(&x->call);
	x->dialling = x->sent = false;
}

static void let_go(struct sim_request *x, enum sn_outcome_kind kind)
{
	static const enum sn_try_end ends[] = {
		[SN_OUTCOME_ANSWERED] = SN_TRY_ANSWERED, [SN_OUTCOME_CONNECT] = SN_TRY_FAILED,
		[SN_OUTCOME_REFUSED] = SN_TRY_CANCELLED, [SN_OUTCOME_RESET] = SN_TRY_FAILED,
		[SN_OUTCOME_TIMEOUT] = SN_TRY_FAILED,	 [SN_OUTCOME_CANCELLED] = SN_TRY_CANCELLED,
	};
	struct sim_proxy *p = x->p;
	uint64_t now = p->clock->now_ns;
	struct sn_outcome o = outcome(x, kind);
	struct sn_endpoint *e = x->endpoint;
	struct sn_try_result r = {.latency_ns = now - x->try_ns,
				  .end = ends[kind],
				  .success = sn_classify(&o) != SN_CLASS_FAILURE};
	bool unanswered = x->sent && x->status == 0;
	size_t ejected;

	up_release(x);
	x->endpoint = NULL;
	if (e) {
		ejected = sn_balance_ejected(p->balance);
		sn_balance_done(p->balance, e, &r, now);
		p->silent += sn_balance_ejected(p->balance) > ejected &&
			     sn_balance_ejected(p->balance) * 100 >
				     sn_balance_count(p->balance) *
					     (size_t)p->set.policy.breaker.max_ejected_percent;
	}
	if (x->at_gate && x->phase == PHASE_TRYING && kind == SN_OUTCOME_TIMEOUT)
		gate_sample(p, now - x->try_ns, true);
	if (x->at_gate && unanswered && kind == SN_OUTCOME_CANCELLED)
		gate_cancelled(p, now - x->try_ns);
}

/* The exchange is over (sn_exchange_drop, sn_tries_end). */
static void drop(struct sim_request *x)
{
	struct sim_proxy *p = x->p;

	sim_cancel(p->clock, &x->deadline);
	sim_cancel(p->clock, &x->phase_timer);
	if (x->from)
		x->from->job = NULL;
	gate_leave(x);
	x->next = p->unused;
	p->unused = x;
}

static void respond(struct sim_request *x, unsigned status)
{
	struct sim_call *from = x->from;
	bool no_retry = (x->gave_up || x->no_retry_upstream) && !x->p->set.no_marks;

	x->from = NULL;
	from->job = NULL;
	drop(x);
	from->answered(from, status, no_retry);
}

static void refuse(struct sim_request *x, unsigned status, enum sn_outcome_kind kind)
{
	let_go(x, kind);
	respond(x, status);
}

/* --- another one? (proxy/tries.c) ---------------------------------------------------------------
 */

static bool may_again(struct sim_request *x, enum sn_outcome_kind kind, uint64_t *ret_delay_ns)
{
	struct sim_proxy *p = x->p;
	uint64_t now = p->clock->now_ns;
	struct sn_retry_facts f = {
		.outcome = outcome(x, kind),
		.retries = x->tries - 1,
		.idempotent = true,
		.no_retry = x->from->no_retry || x->no_retry_upstream,
		.deadline_ns = x->deadline.place ? x->deadline.at_ns - now : UINT64_MAX,
		.retry_after_ms = SN_RETRY_AFTER_NONE,
	};
	struct sn_retry_decision d =
		sn_retry_decide(p->set.retry ? p->set.retry : &unprocessed_only, &f, &p->rng);

	if (d.reason == SN_RETRY_YES && !p->set.no_budget &&
	    !sn_budget_try_withdraw(&p->budget, now))
		d.reason = SN_RETRY_BUDGET;
	x->gave_up = d.reason == SN_RETRY_ATTEMPTS || d.reason == SN_RETRY_BUDGET ||
		     d.reason == SN_RETRY_FORBIDDEN;
	*ret_delay_ns = d.delay_ns / SIM_MS * SIM_MS;
	return d.reason == SN_RETRY_YES;
}

static void again(struct sim_request *x, uint64_t delay_ns)
{
	x->status = 0;
	x->no_retry_upstream = false;
	x->phase = PHASE_BACKOFF;
	sim_after(x->p->clock, &x->phase_timer, delay_ns);
}

static void try_failed(struct sim_request *x, enum sn_outcome_kind kind, unsigned status)
{
	uint64_t delay_ns;

	if (!may_again(x, kind, &delay_ns)) {
		refuse(x, status, kind);
		return;
	}
	let_go(x, kind);
	again(x, delay_ns);
}

/* A head has come (sn_tries_accept), and here with it the end. */
static void on_answer(struct sim_call *c, unsigned status, bool no_retry)
{
	struct sim_request *x = sn_container_of(c, struct sim_request, call);
	struct sim_proxy *p = x->p;
	uint64_t now = p->clock->now_ns, delay_ns;
	enum sn_class class = SN_CLASS_SUCCESS;
	struct sn_outcome o;

	if (status == 0) {
		try_failed(x, SN_OUTCOME_RESET, 502);
		return;
	}
	x->status = status;
	x->no_retry_upstream = no_retry;
	o = outcome(x, SN_OUTCOME_ANSWERED);
	if (status >= 400)
		class = sn_classify(&o);
	if (class == SN_CLASS_SUCCESS && sn_breaker_is_ejected(&x->endpoint->breaker))
		sn_balance_is_well(p->balance, x->endpoint, now - x->try_ns, now);
	gate_sample(p, now - x->try_ns, class == SN_CLASS_OVERLOAD);
	if (status < 400 || !may_again(x, SN_OUTCOME_ANSWERED, &delay_ns)) {
		refuse(x, status, SN_OUTCOME_ANSWERED);
		return;
	}
	let_go(x, SN_OUTCOME_ANSWERED);
	again(x, delay_ns);
}

/* --- connections (lib/http/h2pool.c) ------------------------------------------------------------
 */

static void submit(struct sim_request *x)
{
	x->call = (struct sim_call){.answered = on_answer,
				    .no_retry = !x->p->set.no_marks &&
						(x->from->no_retry || x->tries > 1)};
	x->sent = true;
	if (x->peer->next)
		sim_proxy_submit(x->peer->next, &x->call);
	else
		sim_server_submit(x->peer->server, &x->call);
}

static void on_dialled(struct sim_event *ev)
{
	struct sim_peer *peer = sn_container_of(ev, struct sim_peer, dialled);
	struct sn_list told;
	uint64_t now_ms = peer->proxy->clock->now_ns / SIM_MS;

	peer->dialling = false;
	peer->connected = peer->server->state == SIM_UP;
	peer->epoch = peer->server->epoch;
	if (peer->connected)
		sn_redial_connected(&peer->redial);
	else
		sn_redial_failed(&peer->redial, now_ms, &peer->proxy->rng);
	sn_list_init(&told); /* whoever waits from now on waits for another dial */
	while (!sn_list_empty(&peer->waiters)) {
		struct sn_list *l = sn_list_first(&peer->waiters);

		sn_list_del(l);
		sn_list_push_back(&told, l);
	}
	while (!sn_list_empty(&told)) {
		struct sim_request *x =
			sn_list_entry(sn_list_first(&told), struct sim_request, turn);

		sn_list_del(&x->turn);
		x->dialling = false;
		if (peer->connected)
			submit(x);
		else
			try_failed(x, SN_OUTCOME_CONNECT, 502);
	}
}

static void dial(struct sim_peer *peer)
{
	peer->dialling = true;
	peer->proxy->dials++;
	peer->server->dials++;
	sim_after(peer->proxy->clock, &peer->dialled,
		  peer->server->state == SIM_SILENT ? CONNECT_TIMEOUT_NS : DIAL_NS);
}

static void up_start(struct sim_request *x)
{
	struct sim_peer *peer = x->peer;
	uint64_t now_ms = x->p->clock->now_ns / SIM_MS;

	if (peer->next || (peer->connected && peer->epoch == peer->server->epoch)) {
		submit(x);
		return;
	}
	if (!peer->dialling && !x->p->set.no_redial && sn_redial_must_wait(&peer->redial, now_ms)) {
		try_failed(x, SN_OUTCOME_CONNECT, 502);
		return;
	}
	if (!peer->dialling)
		dial(peer);
	x->dialling = true;
	sn_list_push_back(&peer->waiters, &x->turn);
}

/* --- tries --------------------------------------------------------------------------------------
 */

static bool choose_endpoint(struct sim_request *x)
{
	struct sim_proxy *p = x->p;
	struct sn_balance_ask ask = {.now_ns = x->try_ns, .tried = x->tried, .n_tried = x->n_tried};
	enum sn_balance_none why;

	x->endpoint = sn_balance_pick(p->balance, &ask, &why);
	if (!x->endpoint) {
		p->all_ejected += why == SN_BALANCE_ALL_EJECTED;
		p->silent += why == SN_BALANCE_SOME;
		refuse(x, 503, SN_OUTCOME_CANCELLED);
		return false;
	}
	if (x->n_tried < TRIED_MAX)
		x->tried[x->n_tried++] = x->endpoint;
	x->peer = &p->peers[x->endpoint->addr.port - 1];
	p->near_tries += p->set.zone && x->peer->zone == p->set.zone;
	return true;
}

static void tries_next(struct sim_request *x)
{
	x->tries++;
	x->p->tries++;
	x->phase = PHASE_TRYING;
	x->try_ns = x->p->clock->now_ns;
	sim_cancel(x->p->clock, &x->phase_timer);
	if (!choose_endpoint(x))
		return;
	if (x->p->set.try_timeout_ms)
		sim_after(x->p->clock, &x->phase_timer, x->p->set.try_timeout_ms * SIM_MS);
	up_start(x);
}

static void on_phase(struct sim_event *ev)
{
	struct sim_request *x = sn_container_of(ev, struct sim_request, phase_timer);

	switch (x->phase) {
	case PHASE_WAITING:
		x->p->waited_out++;
		refuse(x, 503, SN_OUTCOME_CANCELLED);
		break;
	case PHASE_BACKOFF:
		tries_next(x);
		break;
	default:
		try_failed(x, SN_OUTCOME_TIMEOUT, 504);
		break;
	}
}

static void on_deadline(struct sim_event *ev)
{
	refuse(sn_container_of(ev, struct sim_request, deadline), 504, SN_OUTCOME_TIMEOUT);
}

void sim_proxy_submit(struct sim_proxy *p, struct sim_call *call)
{
	struct sim_request *x = p->unused;

	if (x)
		p->unused = x->next;
	else
		x = sim_alloc(sizeof(*x));
	*x = (struct sim_request){.from = call,
				  .p = p,
				  .phase_timer.fn = on_phase,
				  .deadline.fn = on_deadline,
				  .start_ns = p->clock->now_ns};
	sn_list_init(&x->turn);
	call->job = x;
	if (p->set.request_timeout_ms)
		sim_after(p->clock, &x->deadline, p->set.request_timeout_ms * SIM_MS);
	if (gate_enter(x))
		tries_next(x);
}

void sim_proxy_cancel(struct sim_call *call)
{
	struct sim_request *x = call->job;

	if (!x)
		return;
	let_go(x, SN_OUTCOME_CANCELLED);
	drop(x);
}

/* --- the proxy ----------------------------------------------------------------------------------
 */

void sim_policy_defaults(struct sim_proxy_settings *set)
{
	*set = (struct sim_proxy_settings){0};
	sn_policy_defaults(&set->policy);
}

void sim_proxy_init(struct sim_proxy *p, const struct sim_proxy_settings *set,
		    struct sim_clock *clock, uint64_t seed)
{
	const struct sn_policy *policy = &set->policy;
	struct sn_balance_settings b = {
		.algorithm = policy->algorithm,
		.seed = seed,
		.slow_start_ns = policy->slow_start_ms * SIM_MS,
		.aperture_min = policy->aperture_min,
		.zone = sn_slice_cstr(policy->prefer_own_zone && set->zone ? set->zone : ""),
		.breaker = policy->breaker};

	*p = (struct sim_proxy){.set = *set, .clock = clock};
	sn_list_init(&p->waiting);
	sn_rng_seed(&p->rng, seed + 1);
	p->balance = sn_balance_new(&b);
	if (!p->balance)
		exit(2);
	sn_budget_init(&p->budget, &policy->budget, clock->now_ns);
	sn_concurrency_init(&p->concurrency, policy->adaptive_min, ADAPTIVE_START,
			    policy->adaptive_max);
	sn_admission_init(&p->admission, policy->max_requests, policy->max_pending,
			  policy->adaptive ? &p->concurrency : NULL);
}

void sim_proxy_free(struct sim_proxy *p)
{
	sn_balance_free(p->balance);
	while (p->unused) {
		struct sim_request *next = p->unused->next;

		free(p->unused);
		p->unused = next;
	}
}

unsigned sim_proxy_add(struct sim_proxy *p, struct sim_server *server, struct sim_proxy *next,
		       const char *zone)
{
	struct sim_peer *peer = &p->peers[p->n_peers];

	*peer = (struct sim_peer){
		.proxy = p, .server = server, .next = next, .zone = zone, .dialled.fn = on_dialled};
	sn_list_init(&peer->waiters);
	return p->n_peers++;
}

void sim_proxy_publish(struct sim_proxy *p, unsigned n)
{
	struct sn_endpoint_spec items[SIM_ENDPOINTS_MAX];
	unsigned i;

	for (i = 0; i < n; i++) {
		items[i] = (struct sn_endpoint_spec){
			.weight = 1,
			.addr = {.family = AF_INET, .port = (uint16_t)(i + 1), .ip = {10, 0, 0, 1}},
			.mesh = true,
			.zone = sn_slice_cstr(p->peers[i].zone ? p->peers[i].zone : "")};
	}
	if (sn_balance_update(p->balance, items, n, p->clock->now_ns))
		exit(2);
}
