/* SPDX-License-Identifier: Apache-2.0 */
/* The limit against a server that is simulated: so many at once, the others in its queue. */
#include "../unit.h"

#include <math.h>

#include "base/num.h"
#include "mesh/concurrency.h"

#define MS 1000000ull
#define S 1000000000ull
#define IN_FLIGHT_MAX 4096

struct flying {
	uint64_t began, ends;
	bool dropped;
	unsigned owner; /* of several that share the server */
};

struct server {
	uint32_t slots;
	uint64_t service_ns;
	bool jitter;	      /* service times are exponentially distributed */
	unsigned drop_one_in; /* answers 503 at once to so many; 0: none */
	uint64_t free_at[IN_FLIGHT_MAX];
	/* What is in flight, and what came of it. */
	struct flying flying[IN_FLIGHT_MAX];
	uint32_t n;
	uint64_t now, done, shed;
	uint32_t low, high; /* limits seen */
	struct sn_rng rng;
};

/* In (0, 1). */
static double uniform(struct sn_rng *rng)
{
	return ((double)(sn_rng_next(rng) >> 11) + 0.5) / 9007199254740992.0;
}

static uint64_t exponential(struct sn_rng *rng, uint64_t mean)
{
	return (uint64_t)((double)mean * -log(uniform(rng)));
}

static struct server *server(uint32_t slots, uint64_t service_ns)
{
	struct server *s = calloc(1, sizeof(*s));

	assert_non_null(s);
	s->slots = slots;
	s->service_ns = service_ns;
	s->now = 1000 * S;
	sn_rng_seed(&s->rng, 42);
	return s;
}

static void start(struct server *s)
{
	uint64_t service = s->jitter ? exponential(&s->rng, s->service_ns) : s->service_ns;
	struct flying *f = &s->flying[s->n++];
	uint32_t first = 0;

	assert_true(s->n < IN_FLIGHT_MAX);
	f->began = s->now;
	f->dropped = s->drop_one_in && sn_rng_below(&s->rng, s->drop_one_in) == 0;
	if (f->dropped) {
		f->ends = s->now + MS;
		return;
	}
	for (uint32_t i = 1; i < s->slots; i++)
		if (s->free_at[i] < s->free_at[first])
			first = i;
	if (s->free_at[first] < s->now)
		s->free_at[first] = s->now;
	f->ends = s->free_at[first] += service;
}

/* Ends what ends until @until, in order. */
static void finish(struct server *s, struct sn_concurrency *c, uint64_t until)
{
	for (;;) {
		uint32_t first = 0;
		struct flying f;

		for (uint32_t i = 1; i < s->n; i++)
			if (s->flying[i].ends < s->flying[first].ends)
				first = i;
		if (s->n == 0 || s->flying[first].ends > until)
			return;
		f = s->flying[first];
		s->done += !f.dropped;
		sn_concurrency_on_sample(c, f.ends - f.began, s->n, f.dropped, f.ends);
		s->flying[first] = s->flying[--s->n];
	}
}

/* @per_s requests come in each second, at random; those over the limit go away. */
static void run(struct server *s, struct sn_concurrency *c, uint64_t per_s, uint64_t ns)
{
	uint64_t end = s->now + ns;

	s->done = s->shed = 0;
	s->low = UINT32_MAX;
	s->high = 0;
	while (s->now < end) {
		uint32_t limit = sn_concurrency_limit(c);

		s->low = limit < s->low ? limit : s->low;
		s->high = limit > s->high ? limit : s->high;
		if (s->n < limit)
			start(s);
		else
			s->shed++;
		s->now += exponential(&s->rng, S / per_s);
		finish(s, c, s->now);
	}
}

static uint64_t capacity(const struct server *s, uint64_t ns)
{
	return ns * s->slots / s->service_ns;
}

static void test_bounds(void **state)
{
	struct sn_concurrency c;

	(void)state;
	sn_concurrency_init(&c, 5, 20, 100);
	assert_int_equal(sn_concurrency_limit(&c), 20);
	sn_concurrency_init(&c, 5, 2, 100);
	assert_int_equal(sn_concurrency_limit(&c), 5);
	sn_concurrency_init(&c, 5, 200, 100);
	assert_int_equal(sn_concurrency_limit(&c), 100);
	sn_concurrency_init(&c, 0, 0, 0);
	assert_int_equal(sn_concurrency_limit(&c), 1);
	sn_concurrency_init(&c, 10, 20, 5);
	assert_int_equal(sn_concurrency_limit(&c), 10);
	sn_concurrency_change(&c, 30, 40);
	assert_int_equal(sn_concurrency_limit(&c), 30);
}

/* Is the limit between half and twice what the server does at once? Below some twenty, the square
 * root that is allowed to wait weighs more. */
static void assert_near(const struct server *s, const struct sn_concurrency *c)
{
	uint32_t most = s->slots < 20 ? s->slots * 5 / 2 : s->slots * 2;

	if (c->limit < s->slots / 2 || c->limit > most)
		print_error("limit %.1f for %u\n", c->limit, s->slots);
	assert_true(c->limit >= s->slots / 2 && c->limit <= most);
}

/* Three times what it can do: the limit comes near what it can do at once and stays there, through
 * probes, and nearly all of its capacity is used. */
static void test_finds(void **state)
{
	static const struct {
		uint32_t slots, begin;
		uint64_t service_ns;
		bool jitter;
	} rows[] = {
		{8, 20, 4 * MS, true},	  {50, 20, 20 * MS, false}, {50, 500, 20 * MS, true},
		{100, 20, 40 * MS, true}, {40, 20, 500 * MS, true},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct server *s = server(rows[i].slots, rows[i].service_ns);
		uint64_t per_s = 3 * capacity(s, S);
		struct sn_concurrency c;

		s->jitter = rows[i].jitter;
		sn_concurrency_init(&c, 4, rows[i].begin, 1000);
		run(s, &c, per_s, 30 * S);
		assert_near(s, &c);
		run(s, &c, per_s, 30 * S);
		assert_near(s, &c);
		assert_true(s->done >= capacity(s, 30 * S) * 93 / 100);
		free(s);
	}
}

/* Below its capacity nothing is turned away, and the limit does not grow without use. */
static void test_light_load(void **state)
{
	struct server *s = server(50, 20 * MS);
	struct sn_concurrency c;

	(void)state;
	s->jitter = true;
	sn_concurrency_init(&c, 4, 120, 1000);
	run(s, &c, capacity(s, S) / 2, 30 * S);
	assert_int_equal(s->shed, 0);
	assert_int_equal(s->low, 120);
	assert_int_equal(s->high, 120);
	assert_in_range((uint64_t)c.usual_ns, 16 * MS, 24 * MS);
	free(s);
}

/* Half of the server goes, and comes back. */
static void test_capacity_changes(void **state)
{
	struct server *s = server(80, 20 * MS);
	struct sn_concurrency c;
	uint64_t per_s = 3 * capacity(s, S);

	(void)state;
	s->jitter = true;
	sn_concurrency_init(&c, 4, 20, 1000);
	run(s, &c, per_s, 20 * S);
	assert_near(s, &c);
	s->slots = 40;
	run(s, &c, per_s, 20 * S);
	assert_near(s, &c);
	s->slots = 80;
	run(s, &c, per_s, 20 * S);
	assert_near(s, &c);
	run(s, &c, per_s, 20 * S);
	assert_true(s->done >= capacity(s, 20 * S) * 95 / 100);
	free(s);
}

/* Its work takes three times as long from now on: that is no queue, and in the end it is believed.
 * Then it is as it was. */
static void test_slower_for_good(void **state)
{
	struct server *s = server(60, 20 * MS);
	struct sn_concurrency c;

	(void)state;
	sn_concurrency_init(&c, 4, 20, 1000);
	run(s, &c, 3 * capacity(s, S), 20 * S);
	assert_near(s, &c);
	s->service_ns = 60 * MS;
	run(s, &c, 3 * capacity(s, S), 60 * S);
	assert_near(s, &c);
	run(s, &c, 3 * capacity(s, S), 20 * S);
	assert_true(s->done >= capacity(s, 20 * S) * 93 / 100);
	s->service_ns = 20 * MS;
	run(s, &c, 3 * capacity(s, S), 40 * S);
	assert_near(s, &c);
	free(s);
}

/* Stuck for two seconds (a pause for garbage, a failover), and the limit is back soon after. */
static void test_recovers(void **state)
{
	struct server *s = server(50, 20 * MS);
	struct sn_concurrency c;
	uint64_t per_s = 3 * capacity(s, S);

	(void)state;
	sn_concurrency_init(&c, 4, 20, 1000);
	run(s, &c, per_s, 20 * S);
	for (uint32_t i = 0; i < s->slots; i++)
		s->free_at[i] = s->now + 2 * S;
	run(s, &c, per_s, 10 * S);
	assert_near(s, &c);
	run(s, &c, per_s, 5 * S);
	assert_true(s->done >= capacity(s, 5 * S) * 95 / 100);
	free(s);
}

static void samples(struct sn_concurrency *c, unsigned n, uint64_t latency_ns, bool dropped,
		    uint64_t *now)
{
	while (n--) {
		*now += MS;
		sn_concurrency_on_sample(c, latency_ns, sn_concurrency_limit(c), dropped, *now);
	}
}

static void test_one_slow_sample(void **state)
{
	struct sn_concurrency c;
	uint64_t now = 0;
	double before;

	(void)state;
	sn_concurrency_init(&c, 4, 100, 1000);
	samples(&c, 1000, 10 * MS, false, &now);
	before = c.limit;
	samples(&c, 1, 60 * S, false, &now);
	samples(&c, 100, 10 * MS, false, &now);
	assert_true(c.limit >= before * 0.9);
	assert_true(c.usual_ns == 10 * MS); /* nor is it taken for what is usual */
	samples(&c, 1000, 10 * MS, false, &now);
	assert_true(c.limit > before);
	/* The very first one may be it: the next ones put that right. */
	now = 0;
	sn_concurrency_init(&c, 4, 100, 1000);
	samples(&c, 1, 60 * S, false, &now);
	samples(&c, 1000, 10 * MS, false, &now);
	assert_true(c.limit >= 80);
}

static void test_grows_only_in_use(void **state)
{
	struct sn_concurrency c;
	uint64_t now = 0;

	(void)state;
	sn_concurrency_init(&c, 4, 100, 1000);
	for (int i = 0; i < 5000; i++)
		sn_concurrency_on_sample(&c, 10 * MS, 49, false, now += MS);
	assert_int_equal(sn_concurrency_limit(&c), 100);
	for (int i = 0; i < 110; i++)
		sn_concurrency_on_sample(&c, 10 * MS, 50, false, now += MS);
	assert_int_equal(sn_concurrency_limit(&c), 102); /* a fifth of the square root */
	for (int i = 0; i < 60000; i++)
		sn_concurrency_on_sample(&c, 10 * MS, 1000, false, now += MS);
	assert_true(c.limit == 1000);
}

static void test_drops(void **state)
{
	struct sn_concurrency c;
	uint64_t now = 0;

	(void)state;
	sn_concurrency_init(&c, 4, 100, 1000);
	samples(&c, 100, 10 * MS, true, &now); /* quick refusals are not quick answers */
	samples(&c, 1, 10 * MS, true, &now);
	assert_int_equal(sn_concurrency_limit(&c), 90);
	assert_true(c.usual_ns == 0);
	samples(&c, 10000, MS, true, &now);
	assert_int_equal(sn_concurrency_limit(&c), 4);
	/* One in fifty is no sign of overload. */
	sn_concurrency_init(&c, 4, 100, 1000);
	for (int i = 0; i < 50; i++) {
		samples(&c, 49, 10 * MS, false, &now);
		samples(&c, 1, MS, true, &now);
	}
	assert_true(sn_concurrency_limit(&c) > 100);
}

/* Few and slow: a window waits for its samples, but not for ever. */
static void test_few_samples(void **state)
{
	struct sn_concurrency c;
	uint64_t now = 0;

	(void)state;
	sn_concurrency_init(&c, 1, 2, 10);
	for (int i = 0; i < 30; i++)
		sn_concurrency_on_sample(&c, 300 * MS, 2, false, now += 700 * MS);
	assert_true(c.usual_ns == 300 * MS);
	assert_true(c.limit >= 2);
	/* Time that goes back is time that stands still. */
	sn_concurrency_on_sample(&c, 300 * MS, 2, false, 0);
	assert_true(c.limit >= 2);
}

static void test_server_that_refuses(void **state)
{
	struct server *s = server(50, 20 * MS);
	struct sn_concurrency c;

	(void)state;
	sn_concurrency_init(&c, 4, 50, 1000);
	s->drop_one_in = 2;
	run(s, &c, 3 * capacity(s, S), 10 * S);
	assert_true(c.limit < 10);
	s->drop_one_in = 0;
	run(s, &c, 3 * capacity(s, S), 10 * S);
	assert_near(s, &c);
	free(s);
}

#define SHARING 4

/* As run(), of several with limits of their own, between which requests come in turn. */
static void run_shared(struct server *s, struct sn_concurrency *c, uint64_t per_s, uint64_t ns)
{
	uint32_t in_flight[SHARING] = {0}, i;
	uint64_t end = s->now + ns, first;
	unsigned turn = 0;

	for (i = 0; i < s->n; i++)
		in_flight[s->flying[i].owner]++;
	for (s->done = 0; s->now < end; s->now += exponential(&s->rng, S / per_s)) {
		turn = (turn + 1) % SHARING;
		if (in_flight[turn] < sn_concurrency_limit(&c[turn])) {
			start(s);
			s->flying[s->n - 1].owner = turn;
			in_flight[turn]++;
		}
		for (;;) {
			for (first = 0, i = 1; i < s->n; i++)
				if (s->flying[i].ends < s->flying[first].ends)
					first = i;
			if (s->n == 0 || s->flying[first].ends > s->now)
				break;
			i = s->flying[first].owner;
			sn_concurrency_on_sample(&c[i],
						 s->flying[first].ends - s->flying[first].began,
						 in_flight[i]--, false, s->flying[first].ends);
			s->flying[first] = s->flying[--s->n];
			s->done++;
		}
	}
}

/* Three times what the server can do for two minutes: nobody takes the queue of the others for what
 * is usual. */
static void test_several_share_a_server(void **state)
{
	struct sn_concurrency c[SHARING];
	struct server *s = server(40, 10 * MS);
	unsigned i;

	(void)state;
	s->jitter = true;
	for (i = 0; i < SHARING; i++) {
		sn_concurrency_init(&c[i], 4, 20, 1000);
		sn_concurrency_align(&c[i], 77 * S + 500 * MS);
	}
	run_shared(s, c, 3 * capacity(s, S), 120 * S);
	for (i = 0; i < SHARING; i++)
		assert_in_range((uint64_t)c[i].usual_ns, 8 * MS, 40 * MS);
	assert_true(s->done >= capacity(s, 120 * S) * 9 / 10);
	free(s);
}

/* Clients that wait for 30 ms, an upstream that has come to take longer: nothing is answered. */
static void test_clients_that_give_up(void **state)
{
	struct sn_concurrency c;
	uint64_t now = 1000 * S;
	unsigned i;

	(void)state;
	sn_concurrency_init(&c, 4, 50, 1000);
	for (i = 0; i < 1000; i++)
		sn_concurrency_on_sample(&c, 10 * MS, 10, false, now += MS);
	for (i = 0; i < 1000; i++) /* at once: says nothing */
		sn_concurrency_on_cancelled(&c, MS, 50, now += MS);
	assert_int_equal(sn_concurrency_limit(&c), 50);
	for (i = 0; i < 3000; i++)
		sn_concurrency_on_cancelled(&c, 30 * MS, sn_concurrency_limit(&c), now += MS);
	assert_in_range(sn_concurrency_limit(&c), 4, 12);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_finds),
		cmocka_unit_test(test_light_load),
		cmocka_unit_test(test_capacity_changes),
		cmocka_unit_test(test_slower_for_good),
		cmocka_unit_test(test_recovers),
		cmocka_unit_test(test_one_slow_sample),
		cmocka_unit_test(test_grows_only_in_use),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_few_samples),
		cmocka_unit_test(test_server_that_refuses),
		cmocka_unit_test(test_several_share_a_server),
		cmocka_unit_test(test_clients_that_give_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
