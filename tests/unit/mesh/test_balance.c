/* SPDX-License-Identifier: Apache-2.0 */
/* Balancers under a clock of the test's own. */
#include "tests/unit/unit.h"

#include "base/num.h"
#include "mesh/balance.h"

#define MS 1000000ull

static struct sn_balance *new_balance(enum sn_balance_algorithm algorithm, uint64_t seed)
{
	struct sn_balance_settings s = {.algorithm = algorithm, .seed = seed};
	struct sn_balance *b = sn_balance_new(&s);

	assert_non_null(b);
	return b;
}

static struct sn_endpoint *pick(struct sn_balance *b, const struct sn_endpoint *tried,
				uint64_t now_ns)
{
	struct sn_balance_ask ask = {.now_ns = now_ns, .tried = &tried, .n_tried = tried != NULL};

	return sn_balance_pick(b, &ask, NULL);
}

static void done(struct sn_balance *b, struct sn_endpoint *e, uint64_t latency_ns,
		 enum sn_try_end end, uint64_t now_ns)
{
	struct sn_try_result r = {latency_ns, end, end == SN_TRY_ANSWERED, 0};

	sn_balance_done(b, e, &r, now_ns);
}

static struct sn_balance_item item(unsigned i, uint32_t weight)
{
	struct sn_balance_item it = {.weight = weight};
	char text[30];

	snprintf(text, sizeof(text), "10.0.%u.%u:80", i / 250, i % 250);
	assert_int_equal(sn_addr_parse(sn_slice_cstr(text), &it.addr), 0);
	return it;
}

static void fill(struct sn_balance *b, unsigned n, uint64_t now)
{
	struct sn_balance_item items[300];
	unsigned i;

	for (i = 0; i < n; i++)
		items[i] = item(i, 1);
	assert_int_equal(sn_balance_update(b, items, n, now), 0);
}

static unsigned index_of(const struct sn_endpoint *e)
{
	return e->addr.ip[3];
}

static void test_round_robin_is_smooth_and_weighted(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_ROUND_ROBIN, 1);
	struct sn_balance_item items[3] = {item(0, 5), item(1, 1), item(2, 1)};
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
	struct sn_balance_item items[6];
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
	struct sn_balance_item items[2] = {item(1, 1), item(2, 1)};
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_robin_is_smooth_and_weighted),
		cmocka_unit_test(test_peak_ewma_avoids_the_slow_one),
		cmocka_unit_test(test_a_slow_one_that_recovers_comes_back),
		cmocka_unit_test(test_outstanding_requests_count),
		cmocka_unit_test(test_no_history_is_no_free_ride),
		cmocka_unit_test(test_failures_are_slow_samples),
		cmocka_unit_test(test_updates_keep_state_and_let_the_leaving_finish),
		cmocka_unit_test(test_avoid),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
