/* SPDX-License-Identifier: Apache-2.0 */
/* Counters and how they are shown: Linkerd's names, so that dashboards made for it work. */
#include "proxy/stats.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/err.h"

#define CODES_MAX 64 /* different outcomes in a block */

const char *sn_refusal_name(enum sn_refusal_reason r)
{
	static const char *const names[] = {
		"bad-request",	  "no-service",	   "no-route",	 "no-backend",	   "no-endpoints",
		"denied",	  "connect",	   "upstream",	 "timeout",	   "overload",
		"no-destination", "connections",   "method",	 "header-timeout", "flood",
		"loop",		  "tls-handshake", "rate-limit", "fault"};

	return names[r];
}

const char *sn_filter_action_name(enum sn_filter_action a)
{
	static const char *const names[] = {"redirect",	      "direct-response",  "cors-preflight",
					    "fault-delay",    "fault-abort",	  "mirror-sent",
					    "mirror-dropped", "mirror-too-large", "mirror-failed"};

	return names[a];
}

void sn_stats_init(struct sn_stats *s)
{
	memset(s, 0, sizeof(*s));
	sn_map_init(&s->blocks);
	sn_map_init(&s->gates);
}

static void free_block(void *p)
{
	struct sn_stats_block *b = p;

	free(b->direction);
	free(b->service);
	free(b->route);
	free(b->rule);
	free(b->backend);
	free(b->codes);
	free(b);
}

void sn_stats_done(struct sn_stats *s)
{
	sn_map_done(&s->blocks, free_block);
	sn_map_done(&s->gates, free);
}

struct sn_stats_block *sn_stats_block(struct sn_stats *s, const char *direction,
				      const char *service, const char *route, const char *rule,
				      const char *backend)
{
	struct sn_stats_block *b;
	char key[1300];
	int n = snprintf(key, sizeof(key), "%s\n%s\n%s\n%s\n%s", direction, service, route, rule,
			 backend);
	struct sn_slice k = sn_slice(key, n < (int)sizeof(key) ? (size_t)n : sizeof(key) - 1);

	b = sn_map_find(&s->blocks, k);
	if (b)
		return b;
	b = calloc(1, sizeof(*b));
	if (!b)
		return NULL;
	b->direction = strdup(direction);
	b->service = strdup(service);
	b->route = strdup(route);
	b->rule = strdup(rule);
	b->backend = strdup(backend);
	if (!b->direction || !b->service || !b->route || !b->rule || !b->backend ||
	    sn_map_put(&s->blocks, k, b, NULL)) {
		free_block(b);
		return NULL;
	}
	return b;
}

/* The row of that outcome; past CODES_MAX different ones (a server that makes up codes) the
 * class's. */
static struct sn_stats_code *code_of(struct sn_stats_block *b, uint16_t status, int16_t grpc)
{
	uint32_t i, cap = b->cap_codes ? b->cap_codes * 2 : 4;
	struct sn_stats_code *p;

	for (i = 0; i < b->n_codes; i++)
		if (b->codes[i].status == status && b->codes[i].grpc == grpc) {
			b->recent = i;
			return &b->codes[i];
		}
	if (b->n_codes >= CODES_MAX && status % 100)
		return code_of(b, (uint16_t)(status / 100 * 100), grpc);
	if (b->n_codes == b->cap_codes) {
		p = realloc(b->codes, cap * sizeof(*p));
		if (!p)
			return NULL;
		b->codes = p;
		b->cap_codes = cap;
	}
	b->recent = b->n_codes++;
	b->codes[b->recent] = (struct sn_stats_code){.status = status, .grpc = grpc};
	return &b->codes[b->recent];
}

void sn_stats_response(struct sn_stats_block *b, unsigned status, int grpc_status, uint64_t ns)
{
	struct sn_stats_code *c = b->n_codes ? &b->codes[b->recent] : NULL;

	if (!c || c->status != status || c->grpc != grpc_status)
		c = code_of(b, (uint16_t)status, (int16_t)grpc_status);
	if (c)
		c->n++;
	sn_histo_record(&b->latency, ns);
}

int sn_stats_add_gate(struct sn_stats *s, const char *service, const struct sn_stats_gate *g)
{
	struct sn_stats_gate *to = sn_map_find(&s->gates, sn_slice_cstr(service));
	size_t i;

	if (!to) {
		to = calloc(1, sizeof(*to));
		if (!to || sn_map_put(&s->gates, sn_slice_cstr(service), to, NULL)) {
			free(to);
			return -SN_ENOMEM;
		}
	}
	to->waited += g->waited;
	to->shed += g->shed;
	to->waited_out += g->waited_out;
	to->rate_limited += g->rate_limited;
	to->in_flight += g->in_flight;
	to->pending += g->pending;
	to->budget += g->budget;
	to->limit += g->limit;
	to->ejections += g->ejections;
	for (i = 0; i < SN_BREAKER_STATES; i++)
		to->endpoints[i] += g->endpoints[i];
	return 0;
}

static void add_tcp(struct sn_stats_tcp *into, const struct sn_stats_tcp *from)
{
	into->opened += from->opened;
	into->closed += from->closed;
	into->now += from->now;
}

int sn_stats_add(struct sn_stats *into, const struct sn_stats *from)
{
	struct sn_map_entry *e;
	size_t i;

	for (e = sn_map_first(&from->blocks); e; e = sn_map_next(e)) {
		const struct sn_stats_block *b = sn_map_value(e);
		struct sn_stats_block *to = sn_stats_block(into, b->direction, b->service, b->route,
							   b->rule, b->backend);

		if (!to)
			return -SN_ENOMEM;
		to->requests += b->requests;
		to->retried += b->retried;
		to->retried_well += b->retried_well;
		to->retries_over += b->retries_over;
		to->budget_over += b->budget_over;
		to->tcp_rx += b->tcp_rx;
		to->tcp_tx += b->tcp_tx;
		add_tcp(&to->tcp, &b->tcp);
		to->dst.opened += b->dst.opened;
		to->dst.closed += b->dst.closed;
		for (i = 0; i < b->n_codes; i++) {
			struct sn_stats_code *c = code_of(to, b->codes[i].status, b->codes[i].grpc);

			if (!c)
				return -SN_ENOMEM;
			c->n += b->codes[i].n;
		}
		for (i = 0; i < SN_FILTERED_COUNT; i++)
			to->filtered[i] += b->filtered[i];
		sn_histo_merge(&to->latency, &b->latency);
	}
	for (e = sn_map_first(&from->gates); e; e = sn_map_next(e))
		if (sn_stats_add_gate(into, sn_map_key(e), sn_map_value(e)))
			return -SN_ENOMEM;
	for (i = 0; i < SN_REFUSE_COUNT; i++)
		into->refused[i] += from->refused[i];
	for (i = 0; i < 2; i++) {
		add_tcp(&into->tcp[i], &from->tcp[i]);
		into->rx_bytes[i] += from->rx_bytes[i];
		into->tx_bytes[i] += from->tx_bytes[i];
		into->relayed[i] += from->relayed[i];
	}
	into->accept_paused += from->accept_paused;
	into->regex_limited += from->regex_limited;
	return 0;
}

static size_t labels_of(const struct sn_stats_block *b, struct sn_metrics_label *l)
{
	l[0] = (struct sn_metrics_label){"direction", b->direction};
	l[1] = (struct sn_metrics_label){"dst_service", b->service};
	l[2] = (struct sn_metrics_label){"route_name", b->route};
	l[3] = (struct sn_metrics_label){"rule_name", b->rule};
	l[4] = (struct sn_metrics_label){"backend_name", b->backend};
	return 5;
}

/* As Linkerd's proxy has it: gRPC's own verdict where there is one, else 5xx and none are failures.
 */
static void render_responses(const struct sn_stats_block *b, struct sn_buf *out)
{
	struct sn_metrics_label l[8];
	size_t base = labels_of(b, l), n;
	uint32_t i;

	for (i = 0; i < b->n_codes; i++) {
		const struct sn_stats_code *c = &b->codes[i];
		bool failed = c->grpc > 0 || c->status == 0 || c->status >= 500;
		char status[8], grpc[8];

		n = base;
		snprintf(status, sizeof(status), "%u", c->status);
		snprintf(grpc, sizeof(grpc), "%d", c->grpc);
		l[n++] =
			(struct sn_metrics_label){"classification", failed ? "failure" : "success"};
		if (c->status)
			l[n++] = (struct sn_metrics_label){"status_code", status};
		if (c->grpc >= 0)
			l[n++] = (struct sn_metrics_label){"grpc_status_code", grpc};
		sn_metrics_u64(out, "response_total", l, n, c->n);
	}
}

/* One counter of each block that has retries. */
static void render_retry(const struct sn_stats *s, struct sn_buf *out, const char *name,
			 const char *help, size_t offset)
{
	struct sn_metrics_label l[8];
	struct sn_map_entry *e;

	sn_metrics_family(out, name, "counter", help);
	for (e = sn_map_first(&s->blocks); e; e = sn_map_next(e)) {
		const struct sn_stats_block *b = sn_map_value(e);
		size_t n = labels_of(b, l);

		if (b->retried || b->retries_over || b->budget_over)
			sn_metrics_u64(out, name, l, n,
				       *(const uint64_t *)((const char *)b + offset));
	}
}

static void render_retries(const struct sn_stats *s, struct sn_buf *out)
{
	render_retry(s, out, "outbound_http_route_retry_requests_total", "Tries behind the first.",
		     offsetof(struct sn_stats_block, retried));
	render_retry(s, out, "outbound_http_route_retry_successes_total",
		     "Requests that a further try saved.",
		     offsetof(struct sn_stats_block, retried_well));
	render_retry(s, out, "outbound_http_route_retry_limit_exceeded_total",
		     "Requests that failed with all attempts made.",
		     offsetof(struct sn_stats_block, retries_over));
	render_retry(s, out, "outbound_http_route_retry_overflow_total",
		     "Tries that the retry budget forbade.",
		     offsetof(struct sn_stats_block, budget_over));
}

static void render_filtered(const struct sn_stats *s, struct sn_buf *out)
{
	struct sn_metrics_label l[8];
	struct sn_map_entry *e;

	sn_metrics_family(out, "sennit_filter_actions_total", "counter",
			  "What the filters of rules did.");
	for (e = sn_map_first(&s->blocks); e; e = sn_map_next(e)) {
		const struct sn_stats_block *b = sn_map_value(e);
		size_t n = labels_of(b, l) - 1, i; /* of the rule, not of a backend */

		for (i = 0; i < SN_FILTERED_COUNT; i++) {
			l[n] = (struct sn_metrics_label){
				"action", sn_filter_action_name((enum sn_filter_action)i)};
			if (b->filtered[i])
				sn_metrics_u64(out, "sennit_filter_actions_total", l, n + 1,
					       b->filtered[i]);
		}
	}
}

static void render_blocks(const struct sn_stats *s, struct sn_buf *out)
{
	struct sn_metrics_label l[8];
	struct sn_map_entry *e;
	size_t n;

	sn_metrics_family(out, "request_total", "counter", "Requests.");
	for (e = sn_map_first(&s->blocks); e; e = sn_map_next(e)) {
		const struct sn_stats_block *b = sn_map_value(e);

		n = labels_of(b, l);
		if (b->requests)
			sn_metrics_u64(out, "request_total", l, n, b->requests);
	}
	sn_metrics_family(out, "response_total", "counter", "Responses, by what became of them.");
	for (e = sn_map_first(&s->blocks); e; e = sn_map_next(e))
		render_responses(sn_map_value(e), out);
	sn_metrics_family(out, "response_latency_ms", "histogram",
			  "Time from a request's head to the end of its response.");
	for (e = sn_map_first(&s->blocks); e; e = sn_map_next(e)) {
		const struct sn_stats_block *b = sn_map_value(e);

		n = labels_of(b, l);
		if (b->latency.count)
			sn_metrics_latency_ms(out, "response_latency_ms", l, n, &b->latency);
	}
}

static void by_direction(struct sn_buf *out, const char *name, const char *type, const char *help,
			 const uint64_t v[2])
{
	struct sn_metrics_label out_l = {"direction", "outbound"}, in_l = {"direction", "inbound"};

	sn_metrics_family(out, name, type, help);
	sn_metrics_u64(out, name, &out_l, 1, v[0]);
	sn_metrics_u64(out, name, &in_l, 1, v[1]);
}

/* Bytes of HTTP connections, and of relayed ones by the service that they went to. */
static void render_bytes(const struct sn_stats *s, struct sn_buf *out, const char *name,
			 const char *help, const uint64_t v[2], bool tx)
{
	struct sn_map_entry *e;

	by_direction(out, name, "counter", help, v);
	for (e = sn_map_first(&s->blocks); e; e = sn_map_next(e)) {
		const struct sn_stats_block *b = sn_map_value(e);
		struct sn_metrics_label l[] = {{"direction", b->direction},
					       {"dst_service", b->service}};

		if (b->tcp_rx || b->tcp_tx)
			sn_metrics_u64(out, name, l, 2, tx ? b->tcp_tx : b->tcp_rx);
	}
}

static void render_gate(const struct sn_stats *s, struct sn_buf *out, const char *name,
			const char *type, const char *help, size_t offset)
{
	struct sn_map_entry *e;

	sn_metrics_family(out, name, type, help);
	for (e = sn_map_first(&s->gates); e; e = sn_map_next(e)) {
		struct sn_metrics_label l = {"dst_service", sn_map_key(e)};

		sn_metrics_u64(out, name, &l, 1,
			       *(const uint64_t *)((const char *)sn_map_value(e) + offset));
	}
}

/* Linkerd's name: ready endpoints get requests, pending ones get none for now. */
static void render_endpoints(const struct sn_stats *s, struct sn_buf *out)
{
	struct sn_map_entry *e;
	size_t i;

	sn_metrics_family(out, "outbound_http_balancer_endpoints", "gauge",
			  "Endpoints that get requests, and those that are ejected.");
	for (e = sn_map_first(&s->gates); e; e = sn_map_next(e)) {
		const uint64_t *n = ((const struct sn_stats_gate *)sn_map_value(e))->endpoints;
		struct sn_metrics_label l[] = {{"backend_name", sn_map_key(e)},
					       {"endpoint_state", "ready"}};

		sn_metrics_u64(out, "outbound_http_balancer_endpoints", l, 2,
			       n[SN_BREAKER_CLOSED] + n[SN_BREAKER_RECOVERING]);
		l[1].value = "pending";
		sn_metrics_u64(out, "outbound_http_balancer_endpoints", l, 2,
			       n[SN_BREAKER_OPEN] + n[SN_BREAKER_PROBING]);
	}
	sn_metrics_family(out, "sennit_breaker_endpoints", "gauge",
			  "Endpoints by the state of their breaker.");
	for (e = sn_map_first(&s->gates); e; e = sn_map_next(e))
		for (i = 0; i < SN_BREAKER_STATES; i++) {
			const struct sn_stats_gate *g = sn_map_value(e);
			struct sn_metrics_label l[] = {
				{"dst_service", sn_map_key(e)},
				{"state", sn_breaker_name((enum sn_breaker_state)i)}};

			sn_metrics_u64(out, "sennit_breaker_endpoints", l, 2, g->endpoints[i]);
		}
}

static void render_gates(const struct sn_stats *s, struct sn_buf *out)
{
	static const struct {
		const char *name, *type, *help;
		size_t offset;
	} families[] = {
		{"sennit_requests_in_flight", "gauge", "Requests in flight to a service.",
		 offsetof(struct sn_stats_gate, in_flight)},
		{"sennit_requests_pending", "gauge", "Requests that wait for their turn.",
		 offsetof(struct sn_stats_gate, pending)},
		{"sennit_concurrency_limit", "gauge", "The adaptive limit; 0: none.",
		 offsetof(struct sn_stats_gate, limit)},
		{"sennit_retry_budget", "gauge", "Further tries that could be made now.",
		 offsetof(struct sn_stats_gate, budget)},
		{"sennit_requests_waited_total", "counter", "Requests that had to wait.",
		 offsetof(struct sn_stats_gate, waited)},
		{"sennit_requests_shed_total", "counter", "Requests turned away: too many waited.",
		 offsetof(struct sn_stats_gate, shed)},
		{"sennit_requests_waited_out_total", "counter",
		 "Requests turned away after connections.pendingTimeout.",
		 offsetof(struct sn_stats_gate, waited_out)},
		{"sennit_rate_limited_total", "counter", "Requests over a rate limit.",
		 offsetof(struct sn_stats_gate, rate_limited)},
		{"sennit_endpoint_ejections_total", "counter", "Endpoints put out by breakers.",
		 offsetof(struct sn_stats_gate, ejections)},
	};
	size_t i;

	for (i = 0; i < SN_ARRAY_LEN(families); i++)
		render_gate(s, out, families[i].name, families[i].type, families[i].help,
			    families[i].offset);
	render_endpoints(s, out);
}

enum tcp_what { TCP_OPENED, TCP_CLOSED, TCP_NOW };

static uint64_t tcp_value(const struct sn_stats_tcp *t, enum tcp_what what)
{
	return what == TCP_OPENED ? t->opened : what == TCP_CLOSED ? t->closed : t->now;
}

/* Both ends as Linkerd has them: "src" are connections that were accepted, "dst" those that were
 * made. */
static void render_tcp(const struct sn_stats *s, struct sn_buf *out, const char *name,
		       const char *type, const char *help, enum tcp_what what)
{
	static const char *const directions[] = {"outbound", "inbound"};
	struct sn_map_entry *e;
	size_t i;

	sn_metrics_family(out, name, type, help);
	for (i = 0; i < 2; i++) {
		struct sn_metrics_label l[] = {{"direction", directions[i]}, {"peer", "src"}};

		sn_metrics_u64(out, name, l, 2, tcp_value(&s->tcp[i], what));
	}
	for (e = sn_map_first(&s->blocks); e; e = sn_map_next(e)) {
		const struct sn_stats_block *b = sn_map_value(e);
		struct sn_stats_tcp dst = {b->dst.opened, b->dst.closed,
					   b->dst.opened - b->dst.closed};
		struct sn_metrics_label l[] = {
			{"direction", b->direction}, {"peer", "src"}, {"dst_service", b->service}};

		if (b->tcp.opened || b->tcp.now)
			sn_metrics_u64(out, name, l, 3, tcp_value(&b->tcp, what));
		l[1].value = "dst";
		if (dst.opened)
			sn_metrics_u64(out, name, l, 3, tcp_value(&dst, what));
	}
}

void sn_stats_render(const struct sn_stats *s, struct sn_buf *out)
{
	size_t i;

	render_blocks(s, out);
	render_retries(s, out);
	render_gates(s, out);
	render_filtered(s, out);
	sn_metrics_family(out, "sennit_refused_total", "counter",
			  "What the proxy refused, by reason.");
	for (i = 0; i < SN_REFUSE_COUNT; i++) {
		struct sn_metrics_label l = {"reason", sn_refusal_name((enum sn_refusal_reason)i)};

		sn_metrics_u64(out, "sennit_refused_total", &l, 1, s->refused[i]);
	}
	render_tcp(s, out, "tcp_open_total", "counter", "Connections accepted and made.",
		   TCP_OPENED);
	render_tcp(s, out, "tcp_close_total", "counter", "Connections closed.", TCP_CLOSED);
	render_tcp(s, out, "tcp_open_connections", "gauge", "Connections open now.", TCP_NOW);
	render_bytes(s, out, "tcp_read_bytes_total", "Bytes read from clients.", s->rx_bytes,
		     false);
	render_bytes(s, out, "tcp_write_bytes_total", "Bytes written to clients.", s->tx_bytes,
		     true);
	by_direction(out, "sennit_relayed_total", "counter", "Connections relayed as bytes.",
		     s->relayed);
	sn_metrics_family(out, "sennit_accept_paused_total", "counter",
			  "Times that accepting stopped for lack of descriptors.");
	sn_metrics_u64(out, "sennit_accept_paused_total", NULL, 0, s->accept_paused);
	sn_metrics_family(out, "sennit_regex_limited_total", "counter",
			  "Regular expressions of routes that were given up.");
	sn_metrics_u64(out, "sennit_regex_limited_total", NULL, 0, s->regex_limited);
}
