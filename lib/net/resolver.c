/* SPDX-License-Identifier: Apache-2.0 */
/* c-ares in our loop: its sockets are level-triggered descriptors, its times one timer. It carries
 * the message there and back (ids, retries, TCP, which server); what the message says is read here,
 * since no call of its that is in every version we build with gives the times to live of SRV.
 *
 *   ask -> waiting -> active (c-ares has it) -> done (deferred) -> callback
 *
 * A query that is cancelled while c-ares has it is freed when c-ares gives it back. */
#define CARES_NO_DEPRECATED /* ares_query: the newer call is not in 1.18 */
#include "net/resolver.h"

#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/time.h>

#include "base/list.h"

#define RESOLV_CONF "/etc/resolv.conf"
#define TRIES 2
#define CLASS_IN 1
#define ANSWER_BYTES_MAX ((size_t)1 << 20)

struct sn_resolver {
	struct sn_loop *loop;
	ares_channel channel;
	char *servers; /* NULL: resolv.conf's */
	uint64_t timeout_ms;
	struct timespec conf_changed; /* of resolv.conf, when it was read */
	struct sn_timer timer;
	struct sn_list sockets;
	struct sn_list waiting, active;
	unsigned n_active;
	bool closing;
};

struct sock {
	struct sn_io io;
	struct sn_list link;
	struct sn_resolver *r;
	struct sn_task task;
};

struct sn_resolver_query {
	struct sn_resolver *r;
	struct sn_list link; /* waiting or active */
	struct sn_task task;
	sn_resolver_cb cb; /* NULL: cancelled */
	void *arg;
	enum sn_dns_type type;
	struct sn_arena arena;
	struct sn_dns_answer answer;
	bool with_ares, done;
	char name[SN_DNS_NAME_MAX + 2];
};

bool sn_dns_name_ok(struct sn_slice name)
{
	static const char ok[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
				 "0123456789-_";
	struct sn_slice label;
	size_t i;

	if (name.n && name.p[name.n - 1] == '.')
		name.n--;
	if (name.n == 0 || name.n > SN_DNS_NAME_MAX)
		return false;
	while (name.p) {
		label = sn_slice_cut(&name, '.');
		if (label.n == 0 || label.n > 63)
			return false;
		for (i = 0; i < label.n; i++)
			if (!memchr(ok, label.p[i], sizeof(ok) - 1))
				return false;
	}
	return true;
}

/* --- the message --------------------------------------------------------------------------------
 */

struct reader {
	struct sn_arena *arena;
	const unsigned char *p;
	size_t n, at;
};

static unsigned u16(const unsigned char *p)
{
	return (unsigned)p[0] << 8 | p[1];
}

/* The name at the reader's place, which moves behind it. @ret (may be NULL): a copy, NULL when it
 * is none that we would ask for. */
static int take_name(struct reader *m, const char **ret)
{
	char *text = NULL;
	long len = 0;
	int rc;

	if (m->at >= m->n ||
	    ares_expand_name(m->p + m->at, m->p, (int)m->n, &text, &len) != ARES_SUCCESS)
		return -SN_EPROTO;
	m->at += (size_t)len;
	rc = m->at > m->n ? -SN_EPROTO : 0;
	if (ret)
		*ret = NULL;
	if (ret && rc == 0 && sn_dns_name_ok(sn_slice_cstr(text))) {
		*ret = sn_arena_strdup(m->arena, text);
		if (!*ret)
			rc = -SN_ENOMEM;
	}
	ares_free_string(text);
	return rc;
}

struct rr {
	const char *name;
	unsigned type, class;
	uint32_t ttl_s;
	size_t data, n; /* place and length of its data */
};

static int take_rr(struct reader *m, bool with_name, struct rr *rr)
{
	int rc = take_name(m, with_name ? &rr->name : NULL);

	if (rc)
		return rc;
	if (m->n - m->at < 10)
		return -SN_EPROTO;
	rr->type = u16(m->p + m->at);
	rr->class = u16(m->p + m->at + 2);
	rr->ttl_s = (uint32_t)u16(m->p + m->at + 4) << 16 | u16(m->p + m->at + 6);
	if (rr->ttl_s > INT32_MAX) /* RFC 2181, 8 */
		rr->ttl_s = 0;
	rr->n = u16(m->p + m->at + 8);
	rr->data = m->at + 10;
	m->at = rr->data + rr->n;
	return m->at > m->n ? -SN_EPROTO : 0;
}

/* True when @rr is an address. */
static bool address_of(const struct reader *m, const struct rr *rr, struct sn_addr *ret)
{
	*ret = (struct sn_addr){0};
	if (rr->type == SN_DNS_A && rr->n == 4)
		ret->family = AF_INET;
	else if (rr->type == SN_DNS_AAAA && rr->n == 16)
		ret->family = AF_INET6;
	else
		return false;
	memcpy(ret->ip, m->p + rr->data, rr->n);
	return true;
}

/* Returns 1 when @rr has become *ret, 0 when there is nothing to use in it, or an error. */
static int service_of(const struct reader *m, const struct rr *rr, struct sn_dns_record *ret)
{
	struct reader target = {m->arena, m->p, m->n, rr->data + 6};
	int rc;

	if (rr->n < 7)
		return -SN_EPROTO;
	*ret = (struct sn_dns_record){.priority = (uint16_t)u16(m->p + rr->data),
				      .weight = (uint16_t)u16(m->p + rr->data + 2),
				      .port = (uint16_t)u16(m->p + rr->data + 4)};
	rc = take_name(&target, &ret->name);
	if (rc)
		return rc;
	return ret->port && ret->name; /* "." is no name: RFC 2782, "not available" */
}

static int use_answer(const struct reader *m, const struct rr *rr, enum sn_dns_type type,
		      struct sn_dns_answer *a)
{
	struct sn_dns_record *r = &a->records[a->n];
	int rc;

	if (rr->class != CLASS_IN)
		return 0;
	if (rr->ttl_s < a->ttl_s) /* that of an alias counts as well */
		a->ttl_s = rr->ttl_s;
	if (rr->type != (unsigned)type || a->n == SN_DNS_RECORDS_MAX)
		return 0;
	if (type == SN_DNS_SRV) {
		rc = service_of(m, rr, r);
		if (rc < 0)
			return rc;
	} else {
		*r = (struct sn_dns_record){0};
		rc = address_of(m, rr, &r->addr);
	}
	a->n += rc ? 1 : 0;
	return 0;
}

static void use_additional(const struct reader *m, const struct rr *rr, struct sn_dns_answer *a)
{
	struct sn_dns_record *r = &a->additional[a->n_additional];

	if (a->n_additional == SN_DNS_RECORDS_MAX || rr->class != CLASS_IN || !rr->name)
		return;
	*r = (struct sn_dns_record){.name = rr->name};
	if (!address_of(m, rr, &r->addr))
		return;
	a->n_additional++;
	if (rr->ttl_s < a->ttl_s)
		a->ttl_s = rr->ttl_s;
}

int sn_resolver_parse(struct sn_arena *arena, const unsigned char *p, size_t n,
		      enum sn_dns_type type, struct sn_dns_answer *ret)
{
	struct reader m = {arena, p, n, 12};
	struct sn_dns_answer a = {.result = SN_DNS_ANSWER, .ttl_s = INT32_MAX};
	unsigned counts[4], i, section;
	bool glue;
	struct rr rr;
	int rc = 0;

	if (n < 12 || n > INT32_MAX)
		return -SN_EPROTO;
	for (i = 0; i < 4; i++) /* questions, answers, authorities, additional */
		counts[i] = u16(p + 4 + 2 * i);
	a.records = sn_arena_array(arena, SN_DNS_RECORDS_MAX + 1, sizeof(*a.records));
	a.additional = type == SN_DNS_SRV ? sn_arena_array(arena, SN_DNS_RECORDS_MAX + 1,
							   sizeof(*a.additional))
					  : a.records;
	if (!a.records || !a.additional)
		return -SN_ENOMEM;
	for (i = 0; i < counts[0] && rc == 0; i++) {
		rc = take_name(&m, NULL);
		m.at += 4;
	}
	for (section = 1; section < 4; section++)
		for (i = 0; i < counts[section] && rc == 0; i++) {
			glue = section == 3 && type == SN_DNS_SRV;
			rc = take_rr(&m, glue && a.n_additional < SN_DNS_RECORDS_MAX, &rr);
			if (rc == 0 && section == 1)
				rc = use_answer(&m, &rr, type, &a);
			else if (rc == 0 && glue)
				use_additional(&m, &rr, &a);
		}
	if (rc)
		return rc;
	if (a.n == 0) {
		a.result = SN_DNS_EMPTY;
		a.why = "no record that can be used";
	}
	*ret = a;
	return 0;
}

/* --- sockets and time of c-ares -----------------------------------------------------------------
 */

static void rearm(struct sn_resolver *r)
{
	struct timeval tv, *left = r->channel ? ares_timeout(r->channel, NULL, &tv) : NULL;

	if (left)
		sn_loop_timer(r->loop, &r->timer,
			      (uint64_t)left->tv_sec * 1000 + (uint64_t)left->tv_usec / 1000 + 1);
	else
		sn_loop_timer_cancel(r->loop, &r->timer);
}

static void start_waiting(struct sn_resolver *r);

static void after_ares(struct sn_resolver *r)
{
	start_waiting(r);
	rearm(r);
}

static void on_timer(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_resolver *r = sn_container_of(t, struct sn_resolver, timer);

	(void)now_ms;
	ares_process_fd(r->channel, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
	after_ares(r);
}

static void on_socket(struct sn_io *io, uint32_t events)
{
	struct sock *s = sn_container_of(io, struct sock, io);
	struct sn_resolver *r = s->r;
	bool in = events & (EPOLLIN | EPOLLERR | EPOLLHUP | EPOLLRDHUP);
	bool out = events & (EPOLLOUT | EPOLLERR | EPOLLHUP);

	ares_process_fd(r->channel, in ? io->fd : ARES_SOCKET_BAD, out ? io->fd : ARES_SOCKET_BAD);
	after_ares(r);
}

static void free_socket(struct sn_task *t)
{
	free(sn_container_of(t, struct sock, task));
}

static struct sock *find_socket(struct sn_resolver *r, int fd)
{
	sn_list_each(&r->sockets, it, tmp)
	{
		struct sock *s = sn_list_entry(it, struct sock, link);

		if (s->io.fd == fd)
			return s;
	}
	return NULL;
}

/* c-ares wants to hear of @fd, or of nothing any more: it is about to close it. */
static void on_wish(void *arg, ares_socket_t fd, int readable, int writable)
{
	struct sn_resolver *r = arg;
	struct sock *s = find_socket(r, fd);
	uint32_t events = (readable ? EPOLLIN : 0u) | (writable ? EPOLLOUT : 0u);

	if (s && events) {
		sn_loop_mod(r->loop, &s->io, events);
	} else if (s) {
		sn_loop_del(r->loop, &s->io);
		sn_list_del(&s->link);
		sn_loop_defer(r->loop, &s->task, free_socket);
	} else if (events) {
		s = calloc(1, sizeof(*s));
		if (!s)
			return; /* nobody hears of it: the query ends by its time */
		s->r = r;
		s->io.fd = fd;
		s->io.cb = on_socket;
		sn_list_push_back(&r->sockets, &s->link);
		(void)sn_loop_add(r->loop, &s->io, events, true);
	}
}

/* --- the channel --------------------------------------------------------------------------------
 */

static struct timespec conf_changed(void)
{
	struct stat st = {0};

	(void)stat(RESOLV_CONF, &st); /* none is all zeroes: a time like any other */
	return st.st_mtim;
}

static int open_channel(struct sn_resolver *r, struct sn_err *err)
{
	struct ares_options o = {.flags = ARES_FLAG_EDNS | ARES_FLAG_NOSEARCH,
				 .timeout = (int)r->timeout_ms,
				 .tries = TRIES,
				 .ednspsz = 1232, /* DNS flag day 2020: fits everywhere */
				 .sock_state_cb = on_wish,
				 .sock_state_cb_data = r};
	int mask = ARES_OPT_FLAGS | ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_EDNSPSZ |
		   ARES_OPT_SOCK_STATE_CB;
	int rc;

#ifdef ARES_OPT_QUERY_CACHE /* who asks knows when: no second opinion */
	o.qcache_max_ttl = 0;
	mask |= ARES_OPT_QUERY_CACHE;
#endif
	r->conf_changed = conf_changed();
	rc = ares_init_options(&r->channel, &o, mask);
	if (rc != ARES_SUCCESS) {
		r->channel = NULL;
		return sn_err_set(err, SN_ESYS, "resolver: %s", ares_strerror(rc));
	}
	rc = r->servers ? ares_set_servers_ports_csv(r->channel, r->servers) : ARES_SUCCESS;
	if (rc != ARES_SUCCESS)
		return sn_err_set(err, SN_ECONF, "resolver: %s: %s", r->servers, ares_strerror(rc));
	return 0;
}

static void close_channel(struct sn_resolver *r)
{
	if (r->channel)
		ares_destroy(r->channel);
	r->channel = NULL;
}

/* Only between queries: destroying a channel would fail those that it has. */
static void follow_conf(struct sn_resolver *r)
{
	struct timespec now;

	if (r->servers || r->n_active)
		return;
	now = conf_changed();
	if (r->channel && now.tv_sec == r->conf_changed.tv_sec &&
	    now.tv_nsec == r->conf_changed.tv_nsec)
		return;
	close_channel(r);
	(void)open_channel(r, NULL);
}

struct sn_resolver *sn_resolver_new(struct sn_loop *loop, const char *servers, uint64_t timeout_ms,
				    struct sn_err *err)
{
	struct sn_resolver *r = calloc(1, sizeof(*r));

	if (!r || (servers && !(r->servers = strdup(servers)))) {
		free(r);
		sn_err_set(err, SN_ENOMEM, "resolver: out of memory");
		return NULL;
	}
	r->loop = loop;
	r->timeout_ms = timeout_ms;
	sn_timer_init(&r->timer, on_timer);
	sn_list_init(&r->sockets);
	sn_list_init(&r->waiting);
	sn_list_init(&r->active);
	if (ares_library_init(ARES_LIB_INIT_ALL) != ARES_SUCCESS) {
		free(r->servers);
		free(r);
		sn_err_set(err, SN_ENOMEM, "resolver: out of memory");
		return NULL;
	}
	if (open_channel(r, err)) {
		sn_resolver_free(r);
		return NULL;
	}
	return r;
}

void sn_resolver_free(struct sn_resolver *r)
{
	if (!r)
		return;
	r->closing = true;
	sn_list_each(&r->waiting, w, next)
		sn_resolver_cancel(sn_list_entry(w, struct sn_resolver_query, link));
	sn_list_each(&r->active, a, after)
		sn_resolver_cancel(sn_list_entry(a, struct sn_resolver_query, link));
	close_channel(r);
	sn_loop_timer_cancel(r->loop, &r->timer);
	ares_library_cleanup();
	free(r->servers);
	free(r);
}

/* --- queries ------------------------------------------------------------------------------------
 */

static void free_query(struct sn_resolver_query *q)
{
	sn_arena_done(&q->arena);
	free(q);
}

static void deliver(struct sn_task *t)
{
	struct sn_resolver_query *q = sn_container_of(t, struct sn_resolver_query, task);

	if (q->cb)
		q->cb(q->arg, &q->answer);
	free_query(q);
}

static void finish(struct sn_resolver_query *q)
{
	q->done = true;
	sn_loop_defer(q->r->loop, &q->task, deliver);
}

/* What c-ares says became of it; @status of servers in between (SERVFAIL, refused) it has not
 * passed on, but gone on to the next. */
static void judge(struct sn_resolver_query *q, int status, const unsigned char *p, int n)
{
	struct sn_dns_answer *a = &q->answer;

	*a = (struct sn_dns_answer){.result = SN_DNS_ERROR, .why = ares_strerror(status)};
	if (status == ARES_ENODATA || status == ARES_ENOTFOUND) {
		a->result = SN_DNS_EMPTY;
		a->why = status == ARES_ENODATA ? "no such record" : "no such name";
	} else if (status == ARES_SUCCESS &&
		   sn_resolver_parse(&q->arena, p, n > 0 ? (size_t)n : 0, q->type, a)) {
		a->why = "an answer that cannot be read";
	}
}

static void on_answer(void *arg, int status, int timeouts, unsigned char *p, int n)
{
	struct sn_resolver_query *q = arg;
	struct sn_resolver *r = q->r;

	(void)timeouts;
	sn_list_del(&q->link);
	r->n_active--;
	q->with_ares = false;
	if (q->cb)
		judge(q, status, p, n);
	finish(q);
}

static void start_waiting(struct sn_resolver *r)
{
	struct sn_list *first;

	while (!r->closing && r->n_active < SN_DNS_ACTIVE_MAX &&
	       (first = sn_list_first(&r->waiting))) {
		struct sn_resolver_query *q = sn_list_entry(first, struct sn_resolver_query, link);

		sn_list_del(&q->link);
		follow_conf(r);
		if (!r->channel) {
			q->answer.result = SN_DNS_ERROR;
			q->answer.why = "no resolver";
			finish(q);
			continue;
		}
		sn_list_push_back(&r->active, &q->link);
		r->n_active++;
		q->with_ares = true;
		ares_query(r->channel, q->name, CLASS_IN, (int)q->type, on_answer, q);
	}
}

int sn_resolver_ask(struct sn_resolver *r, const char *name, enum sn_dns_type type,
		    sn_resolver_cb cb, void *arg, struct sn_resolver_query **ret_query)
{
	struct sn_resolver_query *q;

	if (!sn_dns_name_ok(sn_slice_cstr(name)))
		return -SN_ESYNTAX;
	q = calloc(1, sizeof(*q));
	if (!q)
		return -SN_ENOMEM;
	q->r = r;
	q->type = type;
	q->cb = cb;
	q->arg = arg;
	sn_arena_init(&q->arena, 0, ANSWER_BYTES_MAX);
	snprintf(q->name, sizeof(q->name), "%s", name);
	sn_list_push_back(&r->waiting, &q->link);
	start_waiting(r);
	rearm(r);
	*ret_query = q;
	return 0;
}

void sn_resolver_cancel(struct sn_resolver_query *q)
{
	if (!q)
		return;
	q->cb = NULL;
	if (q->with_ares || q->done)
		return;
	sn_list_del(&q->link);
	finish(q);
}
