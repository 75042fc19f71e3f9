/* SPDX-License-Identifier: Apache-2.0 */
/* Balancers under a clock of the test's own. */
#include "tests/unit/mesh/balancing.h"

static void test_round_robin_is_smooth_and_weighted(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_ROUND_ROBIN, 1);
	struct sn_endpoint_spec items[3] = {item(0, 5), item(1, 1), item(2, 1)};
	unsigned counts[3] = {0}, i, run = 0, longest = 0, last = 9;

	(void)state;
	assert_null(pick(b, NULL, 0));
	assert_int_equal(sn_balance_update(b, items, 3, 0), 0);
	for (i = 0; i < 70; i++) {
		struct sn_endpoint *e = pick(b, NULL, 0);
		unsigned k = index_of(e);

		counts[k]++;
		run = k == last ? run + 1 : 1;
		longest = run > longest ? run : longest;
		last = k;
		done(b, e, MS, SN_TRY_ANSWERED, 0);
	}
	assert_int_equal(counts[0], 50);
	assert_int_equal(counts[1], 10);
	assert_int_equal(counts[2], 10);
	assert_true(longest <= 4); /* not five in a row */
	sn_balance_free(b);
}

static void test_peak_ewma_avoids_the_slow_one(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 7);
	unsigned counts[10] = {0}, i;
	uint64_t now = 1000 * MS;

	(void)state;
	fill(b, 10, now);
	for (i = 0; i < 20000; i++) {
		struct sn_endpoint *e = pick(b, NULL, now);
		unsigned k = index_of(e);

		counts[k]++;
		now += MS / 10;
		done(b, e, k == 3 ? 200 * MS : 2 * MS, SN_TRY_ANSWERED, now);
	}
	assert_true(counts[3] < 200); /* a fair share were 2,000 */
	for (i = 0; i < 10; i++)
		if (i != 3)
			assert_in_range(counts[i], 1700, 2800);
	sn_balance_free(b);
}

static void test_a_slow_one_that_recovers_comes_back(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 7);
	unsigned i, late = 0;
	uint64_t now = 1000 * MS;

	(void)state;
	fill(b, 4, now);
	for (i = 0; i < 60000; i++) {
		struct sn_endpoint *e = pick(b, NULL, now);
		unsigned k = index_of(e);

		late += i >= 50000 && k == 1;
		now += 2 * MS;
		done(b, e, k == 1 && i < 1000 ? 500 * MS : 2 * MS, SN_TRY_ANSWERED, now);
	}
	assert_in_range(late, 1500, 3500); /* of 10,000 among four */
	sn_balance_free(b);
}

static void test_outstanding_requests_count(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 3);
	unsigned i, most = 0, least = 1000;
	size_t k;

	(void)state;
	fill(b, 5, MS);
	for (i = 0; i < 5; i++) /* a history for everyone */
		done(b, pick(b, NULL, MS), 5 * MS, SN_TRY_ANSWERED, MS);
	for (i = 0; i < 1000; i++)
		assert_non_null(pick(b, NULL, MS));
	for (k = 0; k < 5; k++) {
		unsigned n = sn_balance_at(b, k)->outstanding;

		most = n > most ? n : most;
		least = n < least ? n : least;
	}
	assert_true(most - least < 60); /* two choices keep them close */
	sn_balance_free(b);
}

static void test_no_history_is_no_free_ride(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 5);
	struct sn_endpoint_spec items[6];
	unsigned i, fresh = 0;
	uint64_t now = 1000 * MS;

	(void)state;
	fill(b, 5, now);
	for (i = 0; i < 5000; i++) {
		struct sn_endpoint *e = pick(b, NULL, now);

		now += MS;
		done(b, e, 20 * MS, SN_TRY_ANSWERED, now);
	}
	for (i = 0; i < 6; i++)
		items[i] = item(i, 1);
	assert_int_equal(sn_balance_update(b, items, 6, now), 0);
	for (i = 0; i < 60; i++) /* in flight at once, before any answer */
		fresh += index_of(pick(b, NULL, now)) == 5;
	assert_in_range(fresh, 4, 20); /* a share, not a stampede */
	sn_balance_free(b);
}

/* Nobody has a history, and one of ten is silent: it gets one request, not all that meet it. Later
 * it is tried again. */
static void test_silence_is_not_speed(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 6);
	uint64_t now = 1000 * SEC;
	unsigned i, silent = 0, at_once;

	(void)state;
	fill(b, 10, now);
	now += 60 * SEC; /* nobody asked meanwhile */
	for (i = 0; i < 20000; i++, now += MS) {
		struct sn_endpoint *e = pick(b, NULL, now);

		if (index_of(e) != 3)
			done(b, e, 2 * MS, SN_TRY_ANSWERED, now);
		else
			silent++;
	}
	assert_in_range(silent, 1, 2);
	at_once = silent;
	for (i = 0; i < 100000; i++, now += MS) {
		struct sn_endpoint *e = pick(b, NULL, now);

		if (index_of(e) != 3)
			done(b, e, 2 * MS, SN_TRY_ANSWERED, now);
		else
			silent++;
	}
	assert_true(silent > at_once);
	sn_balance_free(b);
}

static void test_failures_are_slow_samples(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 5);
	unsigned counts[3] = {0}, i;
	uint64_t now = 1000 * MS;

	(void)state;
	fill(b, 3, now);
	for (i = 0; i < 9000; i++) {
		struct sn_endpoint *e = pick(b, NULL, now);
		unsigned k = index_of(e);

		counts[k]++;
		now += MS;
		/* number 2 refuses at once: fast, and still no place to go */
		done(b, e, k == 2 ? MS / 100 : 10 * MS, k == 2 ? SN_TRY_FAILED : SN_TRY_ANSWERED,
		     now);
	}
	assert_true(counts[2] < 300); /* a fair share were 3,000 */
	sn_balance_free(b);
}

static void test_who_has_never_answered_gets_no_more(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 5);
	unsigned silent = 0, i;
	uint64_t now = 1000 * MS;

	(void)state;
	fill(b, 3, now);
	for (i = 0; i < 3000; i++) {
		struct sn_endpoint *e = pick(b, NULL, now);

		now += MS;
		if (index_of(e) == 1)
			silent++; /* its first answer takes for ever */
		else
			done(b, e, 10 * MS, SN_TRY_ANSWERED, now);
	}
	assert_in_range(silent, 1, 5);
	sn_balance_free(b);
}

static void test_one_that_is_back_starts_anew(void **state)
{
	struct sn_balance_settings s = {.algorithm = SN_BALANCE_PEAK_EWMA, .seed = 5};
	struct sn_balance_look look;
	struct sn_balance *b;
	struct sn_endpoint *e;
	uint64_t now = 1000 * MS;
	unsigned i;

	(void)state;
	sn_breaker_defaults(&s.breaker);
	b = sn_balance_new(&s);
	assert_non_null(b);
	fill(b, 3, now);
	e = sn_balance_at(b, 1);
	for (i = 0; i < s.breaker.consecutive_failures; i++) {
		struct sn_balance_ask ask = {.now_ns = now, .stick = e};

		assert_ptr_equal(sn_balance_pick(b, &ask, NULL), e);
		done(b, e, MS, SN_TRY_FAILED, now);
	}
	assert_int_equal(sn_balance_ejected(b), 1);
	sn_balance_look(b, e, now, &look);
	assert_int_equal(look.ewma_ns, SN_BALANCE_PENALTY_NS);
	now = look.ejected_until_ns;
	assert_ptr_equal(pick(b, NULL, now), e); /* the probe */
	now += 12 * MS;
	done(b, e, 12 * MS, SN_TRY_ANSWERED, now);
	sn_balance_look(b, e, now, &look);
	assert_int_equal(look.breaker, SN_BREAKER_RECOVERING);
	assert_int_equal(look.ewma_ns, 12 * MS);
	sn_balance_free(b);
}

#define IN_FLIGHT 12

/* Two endpoints in the own zone, two elsewhere that get nothing from others. Returns how many of
 * 1,000 go elsewhere: with a steady number in flight, then with nothing answered any more. */
static void leave(enum sn_balance_algorithm algorithm, unsigned *ret_steady, unsigned *ret_hanging)
{
	struct sn_balance_settings s = {.algorithm = algorithm, .seed = 5, .zone = SN_SLICE("a")};
	struct sn_balance *b = sn_balance_new(&s);
	struct sn_endpoint_spec items[4];
	struct sn_endpoint *in_flight[IN_FLIGHT] = {NULL};
	uint64_t now = 1000 * MS;
	unsigned i;

	assert_non_null(b);
	for (i = 0; i < 4; i++) {
		items[i] = item(i, 1);
		items[i].zone = i < 2 ? SN_SLICE("a") : SN_SLICE("b");
	}
	assert_int_equal(sn_balance_update(b, items, 4, now), 0);
	*ret_steady = *ret_hanging = 0;
	for (i = 0; i < 21000; i++, now += MS) {
		struct sn_endpoint **e = &in_flight[i % IN_FLIGHT];

		if (*e)
			done(b, *e, IN_FLIGHT * MS, SN_TRY_ANSWERED, now);
		*e = pick(b, NULL, now);
		*ret_steady += i >= 20000 && index_of(*e) >= 2;
	}
	for (i = 0; i < 1000; i++, now += MS)
		*ret_hanging += index_of(pick(b, NULL, now)) >= 2;
	sn_balance_free(b);
}

static void test_the_own_zone_is_left_only_when_it_is_worse_than_usual(void **state)
{
	unsigned steady, hanging;

	(void)state;
	leave(SN_BALANCE_PEAK_EWMA, &steady, &hanging);
	assert_in_range(steady, 0, 30);
	assert_in_range(hanging, 150, 1000); /* a queue there counts three times */
	leave(SN_BALANCE_LEAST_REQUEST, &steady, &hanging);
	assert_in_range(steady, 0, 30);
	assert_in_range(hanging, 150, 1000); /* a queue there counts three times */
}

static unsigned gone_calls;

static void on_gone(struct sn_endpoint *e, void *arg)
{
	assert_ptr_equal(arg, &gone_calls);
	assert_non_null(e);
	gone_calls++;
}

static void test_updates_keep_state_and_let_the_leaving_finish(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_ROUND_ROBIN, 1);
	struct sn_endpoint_spec items[2] = {item(1, 1), item(2, 1)};
	struct sn_endpoint *busy, *stays;

	(void)state;
	gone_calls = 0;
	sn_balance_on_gone(b, on_gone, &gone_calls);
	fill(b, 2, 0); /* 0 and 1 */
	busy = pick(b, NULL, 0);
	if (index_of(busy) != 0) {
		done(b, busy, MS, SN_TRY_ANSWERED, 0);
		busy = pick(b, NULL, 0);
	}
	assert_int_equal(index_of(busy), 0);
	stays = sn_balance_at(b, 0) == busy ? sn_balance_at(b, 1) : sn_balance_at(b, 0);
	stays->user = &gone_calls;
	assert_int_equal(sn_balance_update(b, items, 2, MS), 0);
	assert_int_equal(sn_balance_count(b), 2);
	assert_int_equal(gone_calls, 0);
	assert_true(busy->gone);
	assert_true(sn_balance_at(b, 0) == stays || sn_balance_at(b, 1) == stays);
	assert_ptr_equal(stays->user, &gone_calls);
	done(b, busy, MS, SN_TRY_ANSWERED, 2 * MS);
	assert_int_equal(gone_calls, 1);
	assert_int_equal(sn_balance_update(b, NULL, 0, 3 * MS), 0);
	assert_int_equal(gone_calls, 3);
	assert_null(pick(b, NULL, 3 * MS));
	sn_balance_free(b);
}

/* Thousands, with some twice, in an order that has nothing to do with their ids. */
static void test_a_large_set_is_found_again(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 3);
	struct sn_endpoint_spec *items = calloc(MANY + 2, sizeof(*items));
	struct sn_endpoint *first;
	unsigned i;

	(void)state;
	for (i = 0; i < MANY; i++)
		items[i] = item(i, 1);
	items[MANY] = item(7, 5); /* twice: as it came first */
	items[MANY + 1] = item(MANY - 1, 5);
	assert_int_equal(sn_balance_update(b, items, MANY + 2, 0), 0);
	assert_int_equal(sn_balance_count(b), MANY);
	for (i = 0; i < MANY; i++) {
		assert_int_equal(index_of(sn_balance_at(b, i)), i);
		assert_int_equal(sn_balance_at(b, i)->weight, 1);
		assert_ptr_equal(sn_balance_find(b, sn_balance_at(b, i)->id), sn_balance_at(b, i));
	}
	first = sn_balance_at(b, 1);
	for (i = 0; i < MANY; i++)
		items[i] = item(MANY - i, 1); /* from the other end, one new, one gone */
	assert_int_equal(sn_balance_update(b, items, MANY, MS), 0);
	assert_int_equal(sn_balance_count(b), MANY);
	assert_int_equal(index_of(sn_balance_at(b, 0)), MANY);
	assert_ptr_equal(sn_balance_at(b, MANY - 1), first);
	free(items);
	sn_balance_free(b);
}

/* The same set again changes nothing; what differs in one thing is not the same. */
static void test_what_is_there_already(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_ROUND_ROBIN, 1);
	struct sn_endpoint_spec items[3] = {item(0, 1), item(1, 1), item(2, 1)};
	struct sn_endpoint *last;

	(void)state;
	assert_int_equal(sn_balance_update(b, items, 3, 0), 0);
	last = sn_balance_at(b, 2);
	assert_int_equal(sn_balance_update(b, items, 3, MS), 0);
	assert_ptr_equal(sn_balance_at(b, 2), last);
	items[2].weight = 4;
	assert_int_equal(sn_balance_update(b, items, 3, MS), 0);
	assert_int_equal(last->weight, 4);
	items[2].mesh = true;
	assert_int_equal(sn_balance_update(b, items, 3, MS), 0);
	assert_true(last->mesh);
	items[2].zone = SN_SLICE("a");
	assert_int_equal(sn_balance_update(b, items, 3, MS), 0);
	items[2].zone = SN_SLICE("b");
	assert_int_equal(sn_balance_update(b, items, 3, MS), 0);
	{
		struct sn_balance_look look;

		sn_balance_look(b, last, MS, &look);
		assert_string_equal(look.zone, "b");
	}
	items[0] = item(9, 1);
	assert_int_equal(sn_balance_update(b, items, 3, MS), 0);
	assert_int_equal(index_of(sn_balance_at(b, 0)), 9);
	assert_ptr_equal(sn_balance_at(b, 2), last);
	sn_balance_free(b);
}

static void test_avoid(void **state)
{
	static const enum sn_balance_algorithm all[] = {SN_BALANCE_PEAK_EWMA,
							SN_BALANCE_ROUND_ROBIN};
	size_t a;
	int i;

	(void)state;
	for (a = 0; a < SN_ARRAY_LEN(all); a++) {
		struct sn_balance *b = new_balance(all[a], 1);
		struct sn_endpoint *first;

		fill(b, 2, 0);
		first = sn_balance_at(b, 0);
		for (i = 0; i < 50; i++) {
			struct sn_endpoint *e = pick(b, first, 0);

			assert_ptr_not_equal(e, first);
			done(b, e, MS, SN_TRY_ANSWERED, 0);
		}
		fill(b, 1, 0);
		first = sn_balance_at(b, 0);
		assert_ptr_equal(pick(b, first, 0), first); /* there is no other */
		sn_balance_free(b);
	}
}

static void test_state_stays_across_updates_and_algorithms(void **state)
{
	struct sn_balance_settings s = with_breakers(SN_BALANCE_PEAK_EWMA);
	struct sn_balance *b = balance_of(&s);
	struct sn_endpoint_spec items[4] = {item(3, 1), item(0, 2), item(9, 1), item(2, 1)};
	struct sn_balance_ask ask = {.now_ns = SEC};
	struct sn_endpoint *e[4];
	unsigned i, a;

	(void)state;
	fill(b, 4, 0);
	for (i = 0; i < 4; i++) {
		ask.stick = e[i] = sn_balance_at(b, i);
		assert_ptr_equal(sn_balance_pick(b, &ask, NULL), e[i]);
		done(b, e[i], (i + 1) * 10 * MS, SN_TRY_ANSWERED, SEC);
	}
	ask.stick = e[3];
	assert_ptr_equal(sn_balance_pick(b, &ask, NULL), e[3]);
	eject(b, e[2], SEC);
	assert_int_equal(sn_balance_update(b, items, 4, SEC), 0);
	for (a = 0; a < 7; a++) {
		s.algorithm = (enum sn_balance_algorithm)a;
		assert_int_equal(sn_balance_configure(b, &s, SEC), 0);
		assert_ptr_equal(sn_balance_at(b, 0), e[3]);
		assert_ptr_equal(sn_balance_at(b, 1), e[0]);
		assert_ptr_equal(sn_balance_at(b, 3), e[2]);
		assert_ptr_equal(sn_balance_find(b, e[0]->id), e[0]);
		assert_null(sn_balance_find(b, 1));
		assert_int_equal(e[0]->weight, 2);
		assert_int_equal(look(b, e[0], SEC).ewma_ns, 10 * MS);
		assert_int_equal(e[3]->outstanding, 1);
		assert_int_equal(look(b, e[2], SEC).breaker, SN_BREAKER_OPEN);
		assert_int_equal(sn_balance_ejected(b), 1);
	}
	s.breaker.on = false;
	assert_int_equal(sn_balance_configure(b, &s, SEC), 0);
	assert_int_equal(sn_balance_ejected(b), 0);
	assert_true(look(b, e[2], SEC).in_use);
	sn_balance_free(b);
}

static void test_sessions_stick_while_they_can(void **state)
{
	struct sn_balance_settings s = with_breakers(SN_BALANCE_RANDOM);
	struct sn_balance *b = balance_of(&s);
	struct sn_endpoint_spec items[3] = {item(0, 1), item(1, 1), item(2, 1)};
	struct sn_balance_ask ask = {0};
	const struct sn_endpoint *tried;
	struct sn_endpoint *e;
	unsigned i;

	(void)state;
	assert_int_equal(sn_balance_update(b, items, 3, 0), 0);
	ask.stick = e = sn_balance_at(b, 1);
	for (i = 0; i < 20; i++)
		assert_ptr_equal(sn_balance_pick(b, &ask, NULL), e);
	tried = e;
	ask.tried = &tried;
	ask.n_tried = 1;
	assert_ptr_not_equal(sn_balance_pick(b, &ask, NULL), e);
	ask.n_tried = 0;
	eject(b, e, 0);
	assert_ptr_not_equal(sn_balance_pick(b, &ask, NULL), e);
	ask.now_ns = 10 * SEC; /* its probe */
	assert_ptr_equal(sn_balance_pick(b, &ask, NULL), e);
	assert_int_equal(e->breaker.state, SN_BREAKER_PROBING);
	assert_ptr_not_equal(sn_balance_pick(b, &ask, NULL), e);
	done(b, e, 0, SN_TRY_ANSWERED, ask.now_ns);
	assert_ptr_equal(sn_balance_pick(b, &ask, NULL), e);
	items[1].weight = 0; /* drained */
	assert_int_equal(sn_balance_update(b, items, 3, ask.now_ns), 0);
	assert_ptr_not_equal(sn_balance_pick(b, &ask, NULL), e);
	sn_balance_free(b);
}

static void test_weights_of_zero_take_nothing(void **state)
{
	struct sn_endpoint_spec items[3] = {item(0, 0), item(1, 1), item(2, 0)};
	unsigned a, i;

	(void)state;
	for (a = 0; a < 7; a++) {
		struct sn_balance *b = new_balance((enum sn_balance_algorithm)a, 3);
		enum sn_balance_none why = SN_BALANCE_SOME;
		struct sn_balance_ask ask = {0};

		assert_int_equal(sn_balance_update(b, items, 3, 0), 0);
		for (i = 0; i < 50; i++)
			assert_int_equal(index_of(a < 5 ? pick(b, NULL, 0) : pick_key(b, i, 0)), 1);
		items[1].weight = 0;
		assert_int_equal(sn_balance_update(b, items, 3, 0), 0);
		assert_null(sn_balance_pick(b, &ask, &why));
		assert_int_equal(why, SN_BALANCE_EMPTY);
		items[1].weight = 1;
		sn_balance_free(b);
	}
}

/* What explain says is what pick does, and saying it changes nothing. */
static void test_explain_foretells(void **state)
{
	unsigned a, i;

	(void)state;
	for (a = 0; a < 7; a++) {
		struct sn_balance_settings s = with_breakers((enum sn_balance_algorithm)a);
		struct sn_balance *b = balance_of(&s);
		struct sn_endpoint_spec items[5] = {item(0, 1), item(1, 3), item(2, 1), item(3, 7),
						    item(4, 1)};
		struct sn_balance_why why;

		assert_int_equal(sn_balance_update(b, items, 5, 0), 0);
		eject(b, sn_balance_at(b, 2), 0);
		for (i = 0; i < 200; i++) {
			struct sn_balance_ask ask = {
				.now_ns = i * 100 * MS, .has_hash = true, .hash = i};
			struct sn_endpoint *e;

			sn_balance_explain(b, &ask, &why);
			sn_balance_explain(b, &ask, &why);
			e = sn_balance_pick(b, &ask, NULL);
			assert_ptr_equal(why.chosen, e);
			assert_int_equal(why.probe, e->breaker.state == SN_BREAKER_PROBING);
			if (a == SN_BALANCE_PEAK_EWMA && !why.probe)
				assert_true(why.n_candidates >= 1);
			done(b, e, MS, SN_TRY_ANSWERED, ask.now_ns);
		}
		sn_balance_free(b);
	}
}

static void test_who_asks_for_less_gets_less(void **state)
{
	struct sn_balance_settings s = with_breakers(SN_BALANCE_LEAST_REQUEST);
	struct sn_balance *b = balance_of(&s);
	struct sn_try_result busy = {0, SN_TRY_ANSWERED, true, 20000};
	unsigned counts[3] = {0}, i;
	struct sn_endpoint *e;

	(void)state;
	fill(b, 3, 0);
	do {
		e = pick(b, NULL, SEC);
		if (index_of(e) == 1)
			sn_balance_done(b, e, &busy, SEC);
		else
			done(b, e, 0, SN_TRY_ANSWERED, SEC);
	} while (index_of(e) != 1);
	assert_int_equal(look(b, e, SEC).share_percent, 9);
	assert_int_equal(look(b, e, SEC).spared_until_ns, 21 * SEC);
	for (i = 0; i < 10000; i++) {
		e = pick(b, NULL, 2 * SEC);
		counts[index_of(e)]++;
		done(b, e, 0, SN_TRY_ANSWERED, 2 * SEC);
	}
	assert_in_range(counts[1], 300, 700); /* a tenth of 1 : 1 */
	memset(counts, 0, sizeof(counts));
	for (i = 0; i < 10000; i++) {
		e = pick(b, NULL, 22 * SEC);
		counts[index_of(e)]++;
		done(b, e, 0, SN_TRY_ANSWERED, 22 * SEC);
	}
	assert_in_range(counts[1], 3000, 3600);
	busy.retry_after_ms = 86400000;
	sn_balance_done(b, pick(b, NULL, 23 * SEC), &busy, 23 * SEC);
	for (i = 0; i < 3; i++)
		assert_true(sn_balance_at(b, i)->spare_until_ns <= 83 * SEC);
	sn_balance_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_robin_is_smooth_and_weighted),
		cmocka_unit_test(test_peak_ewma_avoids_the_slow_one),
		cmocka_unit_test(test_a_slow_one_that_recovers_comes_back),
		cmocka_unit_test(test_outstanding_requests_count),
		cmocka_unit_test(test_no_history_is_no_free_ride),
		cmocka_unit_test(test_silence_is_not_speed),
		cmocka_unit_test(test_failures_are_slow_samples),
		cmocka_unit_test(test_who_has_never_answered_gets_no_more),
		cmocka_unit_test(test_one_that_is_back_starts_anew),
		cmocka_unit_test(test_the_own_zone_is_left_only_when_it_is_worse_than_usual),
		cmocka_unit_test(test_updates_keep_state_and_let_the_leaving_finish),
		cmocka_unit_test(test_state_stays_across_updates_and_algorithms),
		cmocka_unit_test(test_sessions_stick_while_they_can),
		cmocka_unit_test(test_weights_of_zero_take_nothing),
		cmocka_unit_test(test_explain_foretells),
		cmocka_unit_test(test_who_asks_for_less_gets_less),
		cmocka_unit_test(test_avoid),
		cmocka_unit_test(test_a_large_set_is_found_again),
		cmocka_unit_test(test_what_is_there_already),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
