/* SPDX-License-Identifier: Apache-2.0 */
/* Endpoints by DNS. A and AAAA are one query. SRV is one, and then one or two for each target whose
 * addresses did not come along, priority by priority until one has any:
 *
 *   look -> query -> (SRV) tier -> its targets' queries -> next tier ... -> report
 */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/source.h"

struct dns;

struct target {
	struct dns *d;
	struct sn_dns_record *srv;
	struct sn_resolver_query *query;
	enum sn_dns_type type;
};

struct dns {
	struct sn_source base;
	struct sn_resolver *resolver;
	struct sn_lookup_spec spec;
	bool looking;
	struct sn_resolver_query *query;
	/* of the look that is under way */
	struct sn_arena arena;
	struct sn_dns_answer services; /* copied */
	struct target *targets;
	size_t n_targets, n_open;
	struct sn_endpoint_spec *found;
	size_t n_found;
	uint32_t ttl_s;
	const char *broken; /* what could not be found out */
	char name[];
};

/* --- the end of a look --------------------------------------------------------------------------
 */

static void forget(struct dns *d)
{
	size_t i;

	sn_resolver_cancel(d->query);
	for (i = 0; i < d->n_targets; i++)
		sn_resolver_cancel(d->targets[i].query);
	sn_arena_done(&d->arena);
	d->query = NULL;
	d->targets = NULL;
	d->found = NULL;
	d->n_targets = d->n_open = d->n_found = 0;
	d->broken = NULL;
	d->looking = false;
}

static void report(struct dns *d, enum sn_source_result result, const char *why)
{
	struct sn_source_report r = {
		.result = result, .ttl_ms = (uint64_t)d->ttl_s * 1000, .why = why};
	struct sn_endpoint_set *set = NULL;

	if (result == SN_SOURCE_SET || result == SN_SOURCE_PARTIAL) {
		r.set = set = sn_endpoint_set_new(d->found, d->n_found);
		if (!set) {
			r.result = SN_SOURCE_FAILED;
			r.why = "out of memory";
		}
	}
	forget(d);
	d->base.cb(d->base.arg, &r);
	sn_endpoint_set_unref(set);
}

static void report_found(struct dns *d)
{
	if (d->broken)
		report(d, d->n_found ? SN_SOURCE_PARTIAL : SN_SOURCE_FAILED, d->broken);
	else
		report(d, SN_SOURCE_SET, NULL);
}

static void add(struct dns *d, const struct sn_addr *addr, uint16_t port, uint32_t weight)
{
	struct sn_endpoint_spec *e = &d->found[d->n_found];

	if (d->n_found == SN_DNS_RECORDS_MAX)
		return;
	*e = (struct sn_endpoint_spec){.addr = *addr, .weight = weight ? weight : 1};
	e->addr.port = port;
	d->n_found++;
}

static void keep_shortest(struct dns *d, uint32_t ttl_s)
{
	if (ttl_s < d->ttl_s)
		d->ttl_s = ttl_s;
}

/* --- SRV ----------------------------------------------------------------------------------------
 */

static void start_tier(struct dns *d, int above);

static void end_tier(struct dns *d, int priority)
{
	if (d->n_found || d->broken)
		report_found(d);
	else
		start_tier(d, priority);
}

static void on_target(void *arg, const struct sn_dns_answer *a);

static void ask_target(struct target *t, enum sn_dns_type type)
{
	t->type = type;
	if (sn_resolver_ask(t->d->resolver, t->srv->name, type, on_target, t, &t->query))
		t->d->broken = "out of memory";
	else
		t->d->n_open++;
}

static void on_target(void *arg, const struct sn_dns_answer *a)
{
	struct target *t = arg;
	struct dns *d = t->d;
	size_t i;

	t->query = NULL;
	d->n_open--;
	if (a->result == SN_DNS_ANSWER) {
		keep_shortest(d, a->ttl_s);
		for (i = 0; i < a->n; i++)
			add(d, &a->records[i].addr, t->srv->port, t->srv->weight);
	} else if (a->result == SN_DNS_ERROR) {
		d->broken = a->why;
	} else if (t->type == SN_DNS_A) {
		ask_target(t, SN_DNS_AAAA);
	}
	if (d->n_open == 0)
		end_tier(d, t->srv->priority);
}

/* Uses the addresses that came along with @srv; false when there were none. */
static bool use_additional(struct dns *d, const struct sn_dns_record *srv)
{
	bool any = false;
	size_t i;

	for (i = 0; i < d->services.n_additional; i++) {
		const struct sn_dns_record *r = &d->services.additional[i];

		if (!sn_slice_ieq(sn_slice_cstr(r->name), sn_slice_cstr(srv->name)))
			continue;
		add(d, &r->addr, srv->port, srv->weight);
		any = true;
	}
	return any;
}

/* The lowest priority above @above, INT_MAX when there is none. */
static int next_priority(const struct dns *d, int above)
{
	int lowest = INT_MAX;
	size_t i;

	for (i = 0; i < d->services.n; i++) {
		int p = d->services.records[i].priority;

		if (p > above && p < lowest)
			lowest = p;
	}
	return lowest;
}

static void start_tier(struct dns *d, int above)
{
	int priority = next_priority(d, above);
	size_t i;

	if (priority == INT_MAX) {
		report(d, SN_SOURCE_EMPTY, "no target has an address");
		return;
	}
	for (i = 0; i < d->services.n; i++) {
		struct sn_dns_record *srv = &d->services.records[i];
		struct target *t = &d->targets[d->n_targets];

		if (srv->priority != priority || use_additional(d, srv))
			continue;
		*t = (struct target){.d = d, .srv = srv};
		d->n_targets++;
		ask_target(t, SN_DNS_A);
	}
	if (d->n_open == 0)
		end_tier(d, priority);
}

static struct sn_dns_record *copy_records(struct dns *d, const struct sn_dns_record *r, size_t n)
{
	struct sn_dns_record *out = sn_arena_array(&d->arena, n + 1, sizeof(*out));
	size_t i;

	for (i = 0; i < n && out; i++) {
		out[i] = r[i];
		out[i].name = sn_arena_strdup(&d->arena, r[i].name);
		if (!out[i].name)
			return NULL;
	}
	return out;
}

static void take_services(struct dns *d, const struct sn_dns_answer *a)
{
	d->services = *a;
	d->services.records = copy_records(d, a->records, a->n);
	d->services.additional = copy_records(d, a->additional, a->n_additional);
	d->targets = sn_arena_array(&d->arena, a->n + 1, sizeof(*d->targets));
	if (!d->services.records || !d->services.additional || !d->targets)
		report(d, SN_SOURCE_FAILED, "out of memory");
	else
		start_tier(d, -1);
}

/* --- a look -------------------------------------------------------------------------------------
 */

static void on_answer(void *arg, const struct sn_dns_answer *a)
{
	struct dns *d = arg;
	size_t i;

	d->query = NULL;
	if (a->result == SN_DNS_ERROR) {
		report(d, SN_SOURCE_FAILED, a->why);
		return;
	}
	if (a->result == SN_DNS_EMPTY) {
		report(d, SN_SOURCE_EMPTY, a->why);
		return;
	}
	d->ttl_s = a->ttl_s;
	d->found = sn_arena_array(&d->arena, SN_DNS_RECORDS_MAX + 1, sizeof(*d->found));
	if (!d->found) {
		report(d, SN_SOURCE_FAILED, "out of memory");
	} else if (d->spec.type == SN_LOOKUP_SRV) {
		take_services(d, a);
	} else {
		for (i = 0; i < a->n; i++)
			add(d, &a->records[i].addr, d->spec.port, 1);
		report_found(d);
	}
}

static void look(struct sn_source *s)
{
	static const enum sn_dns_type types[] = {
		[SN_LOOKUP_A] = SN_DNS_A,
		[SN_LOOKUP_AAAA] = SN_DNS_AAAA,
		[SN_LOOKUP_SRV] = SN_DNS_SRV,
	};
	struct dns *d = sn_container_of(s, struct dns, base);

	if (d->looking)
		return;
	d->looking = true;
	sn_arena_init(&d->arena, 0, 4u << 20);
	if (sn_resolver_ask(d->resolver, d->name, types[d->spec.type], on_answer, d, &d->query))
		report(d, SN_SOURCE_FAILED, "out of memory");
}

static void free_dns(struct sn_source *s)
{
	struct dns *d = sn_container_of(s, struct dns, base);

	forget(d);
	free(d);
}

struct sn_source *sn_source_dns(struct sn_resolver *resolver, const struct sn_lookup_spec *spec,
				sn_source_cb cb, void *arg)
{
	size_t n = strlen(spec->name) + 1;
	struct dns *d = calloc(1, sizeof(*d) + n);

	if (!d)
		return NULL;
	d->base = (struct sn_source){look, free_dns, cb, arg};
	d->resolver = resolver;
	d->spec = *spec;
	memcpy(d->name, spec->name, n);
	d->spec.name = d->name;
	sn_arena_init(&d->arena, 0, 4u << 20);
	return &d->base;
}
