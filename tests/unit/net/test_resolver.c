/* SPDX-License-Identifier: Apache-2.0 */
/* DNS messages as they should not be, and queries to a server of the test's own, on the same loop
 * in real time. What a whole resolver does over TCP, with several servers and by its times is in
 * tests/integration/test_discovery.py. */
#include "loops.h"

#include "net/resolver.h"

/* --- messages -----------------------------------------------------------------------------------
 */

struct message {
	unsigned char p[8192];
	size_t n;
};

static void put(struct message *m, const void *p, size_t n)
{
	assert_true(m->n + n <= sizeof(m->p));
	memcpy(m->p + m->n, p, n);
	m->n += n;
}

static void put16(struct message *m, unsigned v)
{
	unsigned char b[2] = {(unsigned char)(v >> 8), (unsigned char)v};

	put(m, b, 2);
}

static void put_name(struct message *m, const char *name)
{
	struct sn_slice rest = sn_slice_cstr(name), label;
	unsigned char n;

	while (rest.n) {
		label = sn_slice_cut(&rest, '.');
		n = (unsigned char)label.n;
		put(m, &n, 1);
		put(m, label.p, label.n);
	}
	put(m, "", 1);
}

/* A response to the question for @name with these numbers of records. */
static void begin(struct message *m, unsigned flags, const char *name, unsigned type,
		  unsigned answers, unsigned additional)
{
	m->n = 0;
	put16(m, 0x1234);
	put16(m, flags);
	put16(m, 1);
	put16(m, answers);
	put16(m, 0);
	put16(m, additional);
	put_name(m, name);
	put16(m, type);
	put16(m, 1);
}

static void rr(struct message *m, const char *name, unsigned type, uint32_t ttl, unsigned n)
{
	put_name(m, name);
	put16(m, type);
	put16(m, 1);
	put16(m, ttl >> 16);
	put16(m, ttl & 0xffff);
	put16(m, n);
}

static void rr_a(struct message *m, const char *name, uint32_t ttl, const char *ip)
{
	struct sn_addr a;

	assert_int_equal(sn_addr_parse_ip(sn_slice_cstr(ip), 0, &a), 0);
	rr(m, name, a.family == AF_INET ? SN_DNS_A : SN_DNS_AAAA, ttl,
	   a.family == AF_INET ? 4 : 16);
	put(m, a.ip, a.family == AF_INET ? 4 : 16);
}

static void rr_srv(struct message *m, const char *name, uint32_t ttl, unsigned priority,
		   unsigned weight, unsigned port, const char *target)
{
	rr(m, name, SN_DNS_SRV, ttl, (unsigned)(6 + strlen(target) + (target[0] ? 2 : 1)));
	put16(m, priority);
	put16(m, weight);
	put16(m, port);
	put_name(m, target);
}

static struct sn_arena arena;

static int parse(const struct message *m, enum sn_dns_type type, struct sn_dns_answer *a)
{
	return sn_resolver_parse(&arena, m->p, m->n, type, a);
}

static int arena_begin(void **state)
{
	(void)state;
	sn_arena_init(&arena, 0, 0);
	return 0;
}

static int arena_end(void **state)
{
	(void)state;
	sn_arena_done(&arena);
	return 0;
}

static void assert_ip(const struct sn_addr *a, const char *ip)
{
	char text[SN_ADDR_TEXT];

	assert_string_equal(sn_addr_format_ip(a, text), ip);
	assert_int_equal(a->port, 0);
}

static void addresses_behind_an_alias(void **state)
{
	struct sn_dns_answer a = {0};
	struct message m;

	(void)state;
	begin(&m, 0x8180, "web.test", SN_DNS_A, 4, 0);
	rr(&m, "web.test", 5, 7, 10); /* CNAME */
	put_name(&m, "w.a.test");
	rr_a(&m, "w.a.test", 300, "10.0.0.1");
	rr_a(&m, "w.a.test", 200, "10.0.0.2");
	rr_a(&m, "w.a.test", 100, "::1"); /* was not asked for */
	assert_int_equal(parse(&m, SN_DNS_A, &a), 0);
	assert_int_equal(a.result, SN_DNS_ANSWER);
	assert_int_equal(a.n, 2);
	assert_ip(&a.records[0].addr, "10.0.0.1");
	assert_ip(&a.records[1].addr, "10.0.0.2");
	assert_int_equal(a.ttl_s, 7);
	assert_int_equal(parse(&m, SN_DNS_AAAA, &a), 0);
	assert_int_equal(a.n, 1);
	assert_ip(&a.records[0].addr, "::1");
	assert_int_equal(parse(&m, SN_DNS_SRV, &a), 0);
	assert_int_equal(a.result, SN_DNS_EMPTY);
}

static void services_with_addresses_that_came_along(void **state)
{
	struct sn_dns_answer a = {0};
	struct message m;

	(void)state;
	begin(&m, 0x8180, "_http._tcp.test", SN_DNS_SRV, 4, 3);
	rr_srv(&m, "_http._tcp.test", 60, 1, 10, 8080, "a.test");
	rr_srv(&m, "_http._tcp.test", 60, 2, 0, 8081, "b.test");
	rr_srv(&m, "_http._tcp.test", 60, 0, 0, 0, "c.test"); /* port 0 */
	rr_srv(&m, "_http._tcp.test", 60, 0, 0, 8082, "");    /* "." */
	rr_a(&m, "a.test", 30, "10.0.0.1");
	rr_a(&m, "A.TEST", 0x80000000u, "fd00::1"); /* RFC 2181: as 0 */
	rr(&m, "", 41, 0, 0);			    /* OPT */
	assert_int_equal(parse(&m, SN_DNS_SRV, &a), 0);
	assert_int_equal(a.n, 2);
	assert_string_equal(a.records[0].name, "a.test");
	assert_int_equal(a.records[0].port, 8080);
	assert_int_equal(a.records[0].weight, 10);
	assert_int_equal(a.records[1].priority, 2);
	assert_int_equal(a.n_additional, 2);
	assert_string_equal(a.additional[0].name, "a.test");
	assert_ip(&a.additional[1].addr, "fd00::1");
	assert_int_equal(a.ttl_s, 0);
}

static void only_services_that_are_not_available(void **state)
{
	struct sn_dns_answer a = {0};
	struct message m;

	(void)state;
	begin(&m, 0x8180, "_http._tcp.test", SN_DNS_SRV, 1, 0);
	rr_srv(&m, "_http._tcp.test", 60, 0, 0, 0, "");
	assert_int_equal(parse(&m, SN_DNS_SRV, &a), 0);
	assert_int_equal(a.result, SN_DNS_EMPTY);
}

static void whatever_is_cut_off_is_refused(void **state)
{
	struct sn_dns_answer a = {0};
	struct message m, cut;

	(void)state;
	begin(&m, 0x8180, "_http._tcp.test", SN_DNS_SRV, 2, 1);
	rr_srv(&m, "_http._tcp.test", 60, 1, 10, 8080, "a.test");
	rr_srv(&m, "_http._tcp.test", 60, 2, 0, 8081, "b.test");
	rr_a(&m, "a.test", 30, "10.0.0.1");
	for (cut = m; cut.n > 0; cut.n--) {
		if (cut.n < m.n) {
			assert_int_equal(parse(&cut, SN_DNS_SRV, &a), -SN_EPROTO);
			assert_int_equal(a.n, 0);
		}
	}
}

static void garbage_is_refused(void **state)
{
	struct sn_dns_answer a = {0};
	struct message m;
	size_t at;

	(void)state;
	begin(&m, 0x8180, "web.test", SN_DNS_A, 1, 0);
	put(&m, "\xc0\x16", 2); /* a name that points at itself */
	at = m.n;
	m.p[at - 1] = (unsigned char)(at - 2);
	put(&m, "\0\1\0\1\0\0\0\1\0\4\1\2\3\4", 14);
	assert_int_equal(parse(&m, SN_DNS_A, &a), -SN_EPROTO);

	begin(&m, 0x8180, "web.test", SN_DNS_A, 65535, 0); /* fewer than it says */
	rr_a(&m, "web.test", 30, "10.0.0.1");
	assert_int_equal(parse(&m, SN_DNS_A, &a), -SN_EPROTO);

	begin(&m, 0x8180, "web.test", SN_DNS_A, 1, 0); /* longer than the message */
	rr(&m, "web.test", SN_DNS_A, 1, 65535);
	put(&m, "\1\2\3\4", 4);
	assert_int_equal(parse(&m, SN_DNS_A, &a), -SN_EPROTO);

	begin(&m, 0x8180, "_x._tcp.test", SN_DNS_SRV, 1, 0); /* no room for a target */
	rr(&m, "_x._tcp.test", SN_DNS_SRV, 1, 6);
	put(&m, "\0\1\0\1\0\1", 6);
	assert_int_equal(parse(&m, SN_DNS_SRV, &a), -SN_EPROTO);

	begin(&m, 0x8180, "web.test", SN_DNS_A, 1, 0); /* an address of five octets is none */
	rr(&m, "web.test", SN_DNS_A, 1, 5);
	put(&m, "\1\2\3\4\5", 5);
	assert_int_equal(parse(&m, SN_DNS_A, &a), 0);
	assert_int_equal(a.result, SN_DNS_EMPTY);

	begin(&m, 0x8180, "_x._tcp.test", SN_DNS_SRV, 1, 0); /* a target that is no name */
	rr_srv(&m, "_x._tcp.test", 60, 0, 0, 80, "a b\x01.test");
	assert_int_equal(parse(&m, SN_DNS_SRV, &a), 0);
	assert_int_equal(a.result, SN_DNS_EMPTY);
}

static void records_are_bounded(void **state)
{
	static unsigned char p[65535];
	struct sn_dns_answer a = {0};
	struct message m;
	size_t n, i;

	(void)state;
	begin(&m, 0x8180, "w", SN_DNS_A, 2000, 0);
	memcpy(p, m.p, m.n);
	n = m.n;
	for (i = 0; i < 2000; i++) {
		m.n = 0;
		rr_a(&m, "w", 9, "10.0.0.1");
		memcpy(p + n, m.p, m.n);
		n += m.n;
	}
	assert_int_equal(sn_resolver_parse(&arena, p, n, SN_DNS_A, &a), 0);
	assert_int_equal(a.n, SN_DNS_RECORDS_MAX);
}

static void names(void **state)
{
	static const char *const good[] = {"a", "a.", "web.demo.svc.cluster.local",
					   "_http._tcp.x-1.A"};
	static const char *const bad[] = {"",	 ".",	 "a..b", ".a",	"a b", "a/b",
					  "a\n", "\xc3", "a..",	 "*.a", "a:1"};
	char text[300];
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(good); i++)
		assert_true(sn_dns_name_ok(sn_slice_cstr(good[i])));
	for (i = 0; i < SN_ARRAY_LEN(bad); i++)
		assert_false(sn_dns_name_ok(sn_slice_cstr(bad[i])));
	memset(text, 'a', sizeof(text));
	assert_true(sn_dns_name_ok(sn_slice(text, 63)));
	assert_false(sn_dns_name_ok(sn_slice(text, 64)));
	for (i = 1; i < sizeof(text); i += 2)
		text[i] = '.';
	assert_true(sn_dns_name_ok(sn_slice(text, 253)));
	assert_false(sn_dns_name_ok(sn_slice(text, 255)));
}

/* --- queries ------------------------------------------------------------------------------------
 */

enum way { ANSWER, NXDOMAIN, NODATA, SERVFAIL, SILENT, GARBAGE };

/* A loop of real time, a server on it, and what became of the queries. */
struct place {
	struct world w;
	struct sn_io server;
	enum way way;
	unsigned asked;
	struct sn_resolver *r;
	unsigned n_answers;
	enum sn_dns_result result;
	struct sn_addr addr;
	uint32_t ttl_s;
};

static void on_question(struct sn_io *io, uint32_t events)
{
	struct place *p = sn_container_of(io, struct place, server);
	unsigned char in[512];
	struct sockaddr_storage from;
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(io->fd, in, sizeof(in), 0, (struct sockaddr *)&from, &len);
	unsigned rcode = p->way == NXDOMAIN ? 3 : p->way == SERVFAIL ? 2 : 0;
	struct message m;

	(void)events;
	assert_true(n > 12);
	p->asked++;
	if (p->way == SILENT)
		return;
	begin(&m, 0x8180 | rcode, "web.test", SN_DNS_A, p->way == ANSWER, 0);
	memcpy(m.p, in, 2);
	if (p->way == ANSWER)
		rr_a(&m, "web.test", 42, "10.0.0.1");
	if (p->way == GARBAGE) {
		m.p[7] = 9; /* answers that are not there */
		put(&m, "\xff\xff\xff", 3);
	}
	assert_int_equal(sendto(io->fd, m.p, m.n, 0, (struct sockaddr *)&from, len), m.n);
}

static void place_begin(struct place *p, enum way way, uint64_t timeout_ms)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct sn_addr addr;
	char text[SN_ADDR_TEXT];

	*p = (struct place){.way = way};
	p->w.loop = sn_loop_new(NULL, NULL);
	p->server.fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	p->server.cb = on_question;
	assert_int_equal(bind(p->server.fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(getsockname(p->server.fd, (struct sockaddr *)&ss, &len), 0);
	assert_int_equal(sn_loop_add(p->w.loop, &p->server, EPOLLIN, true), 0);
	sn_addr_from_sockaddr(&ss, &addr);
	p->r = sn_resolver_new(p->w.loop, sn_addr_format(&addr, text), timeout_ms, NULL);
	assert_non_null(p->r);
}

static void place_end(struct place *p)
{
	sn_resolver_free(p->r);
	sn_loop_del(p->w.loop, &p->server);
	close(p->server.fd);
	sn_loop_free(p->w.loop);
}

static void on_answer(void *arg, const struct sn_dns_answer *a)
{
	struct place *p = arg;

	p->n_answers++;
	p->result = a->result;
	p->ttl_s = a->ttl_s;
	if (a->result == SN_DNS_ANSWER)
		p->addr = a->records[0].addr;
	else
		assert_non_null(a->why);
}

static struct sn_resolver_query *ask(struct place *p)
{
	struct sn_resolver_query *q = NULL;
	unsigned before = p->n_answers;

	assert_int_equal(sn_resolver_ask(p->r, "web.test", SN_DNS_A, on_answer, p, &q), 0);
	assert_int_equal(p->n_answers, before); /* never from inside */
	return q;
}

static void one_of_each(void **state)
{
	static const struct {
		enum way way;
		enum sn_dns_result result;
	} cases[] = {
		{ANSWER, SN_DNS_ANSWER},  {NXDOMAIN, SN_DNS_EMPTY}, {NODATA, SN_DNS_EMPTY},
		{SERVFAIL, SN_DNS_ERROR}, {SILENT, SN_DNS_ERROR},   {GARBAGE, SN_DNS_ERROR},
	};
	struct place p;
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(cases); i++) {
		place_begin(&p, cases[i].way, 30);
		ask(&p);
		until(&p.w, p.n_answers);
		assert_int_equal(p.n_answers, 1);
		assert_int_equal(p.result, cases[i].result);
		if (p.result == SN_DNS_ANSWER) {
			assert_ip(&p.addr, "10.0.0.1");
			assert_int_equal(p.ttl_s, 42);
		}
		if (cases[i].way == SILENT)
			assert_int_equal(p.asked, 2);
		place_end(&p);
	}
}

static void the_same_is_asked_each_time(void **state)
{
	struct place p;

	(void)state;
	place_begin(&p, NXDOMAIN, 1000);
	ask(&p);
	until(&p.w, p.n_answers == 1);
	p.way = ANSWER;
	ask(&p);
	until(&p.w, p.n_answers == 2);
	assert_int_equal(p.result, SN_DNS_ANSWER);
	assert_int_equal(p.asked, 2);
	place_end(&p);
}

static void many_wait_for_their_turn(void **state)
{
	struct place p;
	unsigned i;

	(void)state;
	place_begin(&p, SILENT, 5000);
	for (i = 0; i < SN_DNS_ACTIVE_MAX * 3; i++)
		ask(&p);
	until(&p.w, p.asked == SN_DNS_ACTIVE_MAX);
	turns(&p.w, 20);
	assert_int_equal(p.asked, SN_DNS_ACTIVE_MAX);
	place_end(&p); /* with all of them under way */
	assert_int_equal(p.n_answers, 0);

	place_begin(&p, ANSWER, 5000);
	for (i = 0; i < SN_DNS_ACTIVE_MAX * 3; i++)
		ask(&p);
	until(&p.w, p.n_answers == SN_DNS_ACTIVE_MAX * 3);
	place_end(&p);
}

static void nothing_comes_of_what_is_cancelled(void **state)
{
	struct sn_resolver_query *q;
	struct place p;
	unsigned i;

	(void)state;
	place_begin(&p, ANSWER, 1000);
	sn_resolver_cancel(ask(&p)); /* with c-ares */
	sn_resolver_cancel(NULL);
	for (i = 0; i < SN_DNS_ACTIVE_MAX; i++)
		q = ask(&p);
	sn_resolver_cancel(q); /* waiting */
	until(&p.w, p.n_answers == SN_DNS_ACTIVE_MAX - 1);
	turns(&p.w, 20);
	assert_int_equal(p.n_answers, SN_DNS_ACTIVE_MAX - 1);
	place_end(&p);
}

static void what_is_no_name_is_not_asked(void **state)
{
	struct sn_resolver_query *q = NULL;
	struct place p;

	(void)state;
	place_begin(&p, ANSWER, 1000);
	assert_int_equal(sn_resolver_ask(p.r, "a..b", SN_DNS_A, on_answer, &p, &q), -SN_ESYNTAX);
	assert_null(q);
	place_end(&p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(addresses_behind_an_alias, arena_begin, arena_end),
		cmocka_unit_test_setup_teardown(services_with_addresses_that_came_along,
						arena_begin, arena_end),
		cmocka_unit_test_setup_teardown(only_services_that_are_not_available, arena_begin,
						arena_end),
		cmocka_unit_test_setup_teardown(whatever_is_cut_off_is_refused, arena_begin,
						arena_end),
		cmocka_unit_test_setup_teardown(garbage_is_refused, arena_begin, arena_end),
		cmocka_unit_test_setup_teardown(records_are_bounded, arena_begin, arena_end),
		cmocka_unit_test(names),
		cmocka_unit_test(one_of_each),
		cmocka_unit_test(the_same_is_asked_each_time),
		cmocka_unit_test(many_wait_for_their_turn),
		cmocka_unit_test(nothing_comes_of_what_is_cancelled),
		cmocka_unit_test(what_is_no_name_is_not_asked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
