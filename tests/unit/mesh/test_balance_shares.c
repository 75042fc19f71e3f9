/* SPDX-License-Identifier: Apache-2.0 */
/* Who gets how much: shares by weight, keys that stay, and what a choice costs in large sets. */
#include "tests/unit/mesh/balancing.h"

#include <malloc.h>
#include <math.h>
#include <time.h>

#define PICKS 100000

/* Picks, one after another, each done before the next; 10 us apart. */
static void count(struct sn_balance *b, bool hash, unsigned *counts)
{
	uint64_t now = SEC;
	unsigned i;

	for (i = 0; i < PICKS; i++, now += 10000) {
		struct sn_endpoint *e =
			hash ? pick_key(b, i * 0x9e3779b97f4a7c15u, now) : pick(b, NULL, now);

		counts[index_of(e)]++;
		done(b, e, 2 * MS, SN_TRY_ANSWERED, now);
	}
}

static void test_shares_by_weight(void **state)
{
	static const struct {
		enum sn_balance_algorithm algorithm;
		double tolerance; /* of a share */
	} algorithms[] = {
		{SN_BALANCE_PEAK_EWMA, 0.06},	  {SN_BALANCE_LEAST_REQUEST, 0.06},
		{SN_BALANCE_ROUND_ROBIN, 0.0005}, {SN_BALANCE_RANDOM, 0.06},
		{SN_BALANCE_APERTURE, 0.06},	  {SN_BALANCE_RING_HASH, 0.35},
		{SN_BALANCE_MAGLEV, 0.06},
	};
	static const struct {
		unsigned n;
		uint32_t weights[10];
	} sets[] = {
		{2, {1, 1}},
		{2, {3, 1}},
		{3, {5, 1, 1}},
		{3, {7, 5, 3}},
		{4, {1, 1, 1, 97}},
		{5, {1, 2, 4, 8, 16}},
		{10, {10, 10, 10, 10, 10, 10, 10, 10, 10, 10}},
		{10, {100, 90, 80, 70, 60, 50, 40, 30, 20, 10}},
	};
	unsigned a, s, i;

	(void)state;
	for (a = 0; a < SN_ARRAY_LEN(algorithms); a++)
		for (s = 0; s < SN_ARRAY_LEN(sets); s++) {
			struct sn_balance *b = new_balance(algorithms[a].algorithm, 11);
			unsigned counts[10] = {0};
			struct sn_endpoint_spec items[10];
			double sum = 0;

			for (i = 0; i < sets[s].n; i++) {
				items[i] = item(i, sets[s].weights[i]);
				sum += sets[s].weights[i];
			}
			assert_int_equal(sn_balance_update(b, items, sets[s].n, 0), 0);
			count(b, algorithms[a].algorithm >= SN_BALANCE_RING_HASH, counts);
			for (i = 0; i < sets[s].n; i++) {
				double due = PICKS * sets[s].weights[i] / sum;
				double most = due * algorithms[a].tolerance + 4 * sqrt(due);

				if (algorithms[a].algorithm == SN_BALANCE_ROUND_ROBIN)
					most = due * algorithms[a].tolerance + 2;
				if (fabs(counts[i] - due) > most)
					fail_msg("%s, set %u: endpoint %u has %u, due are %.0f",
						 sn_balance_name(algorithms[a].algorithm), s, i,
						 counts[i], due);
			}
			sn_balance_free(b);
		}
}

/* Under load, too: requests that take the same time everywhere, as many as there is weight. */
static void test_load_by_weight(void **state)
{
	static const enum sn_balance_algorithm algorithms[] = {
		SN_BALANCE_PEAK_EWMA, SN_BALANCE_LEAST_REQUEST, SN_BALANCE_APERTURE};
	unsigned a, i;

	(void)state;
	for (a = 0; a < SN_ARRAY_LEN(algorithms); a++) {
		struct sn_balance *b = new_balance(algorithms[a], 3);
		struct sn_endpoint_spec items[3] = {item(0, 4), item(1, 2), item(2, 2)};
		struct sn_endpoint *flying[80];
		unsigned counts[3] = {0}, most[3] = {0};

		assert_int_equal(sn_balance_update(b, items, 3, 0), 0);
		for (i = 0; i < 20000; i++) {
			uint64_t now = SEC + i * 100000ull;
			struct sn_endpoint *e;

			if (i >= 80)
				done(b, flying[i % 80], 8 * MS, SN_TRY_ANSWERED, now);
			e = flying[i % 80] = pick(b, NULL, now);
			counts[index_of(e)]++;
			if (e->outstanding > most[index_of(e)])
				most[index_of(e)] = e->outstanding;
		}
		assert_in_range(counts[0], 9000, 11000);
		assert_in_range(counts[1], 4300, 5700);
		assert_true(most[1] < 30 && most[2] < 30);
		sn_balance_free(b);
	}
}

static void test_one_of_two_is_slow(void **state)
{
	static const uint32_t weights[][2] = {{1, 1}, {3, 1}, {1, 3}};
	unsigned w, i;

	(void)state;
	for (w = 0; w < SN_ARRAY_LEN(weights); w++) {
		struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 3);
		struct sn_endpoint_spec items[2] = {item(0, weights[w][0]), item(1, weights[w][1])};
		unsigned slow = 0;

		assert_int_equal(sn_balance_update(b, items, 2, 0), 0);
		for (i = 0; i < 10000; i++) {
			struct sn_endpoint *e = pick(b, NULL, SEC + i * MS);

			slow += index_of(e) == 0;
			done(b, e, index_of(e) == 0 ? 300 * MS : 2 * MS, SN_TRY_ANSWERED,
			     SEC + i * MS);
		}
		assert_in_range(slow, 1, 100);
		sn_balance_free(b);
	}
}

/* In turn, also with one weight that is ten thousand times the others'. */
static void test_turns_are_smooth(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_ROUND_ROBIN, 1);
	struct sn_endpoint_spec *items = calloc(1001, sizeof(*items));
	unsigned i, since = 0, heavy = 0;

	(void)state;
	items[0] = item(0, 10000);
	for (i = 1; i < 1001; i++)
		items[i] = item(i, 1);
	assert_int_equal(sn_balance_update(b, items, 1001, 0), 0);
	for (i = 0; i < 11000; i++) {
		struct sn_endpoint *e = pick(b, NULL, 0);

		since = index_of(e) == 0 ? 0 : since + 1;
		assert_true(since <= 1);
		heavy += index_of(e) == 0;
		done(b, e, MS, SN_TRY_ANSWERED, 0);
	}
	assert_int_equal(heavy, 10000);
	/* updates under way do not begin it again */
	for (i = 0; i < 1001; i++)
		items[i].weight = 1;
	for (i = 0; i < 1001; i++) {
		assert_int_equal(sn_balance_update(b, items, 1001, 0), 0);
		done(b, pick(b, NULL, 0), MS * (i + 1), SN_TRY_ANSWERED, 0);
	}
	for (heavy = 0, i = 0; i < 1001; i++)
		heavy += sn_balance_at(b, i)->ewma_ns > 0;
	assert_true(heavy >= 995);
	free(items);
	sn_balance_free(b);
}

/* --- keys ---------------------------------------------------------------------------------------
 */

#define KEYS 20000

static void owners(struct sn_balance *b, unsigned *owner, uint64_t now)
{
	unsigned i;

	for (i = 0; i < KEYS; i++) {
		struct sn_endpoint *e = pick_key(b, i * 0xc2b2ae3d27d4eb4fu, now);

		assert_non_null(e);
		owner[i] = index_of(e);
		done(b, e, MS, SN_TRY_CANCELLED, now);
	}
}

static void test_keys_stay_when_others_leave_or_fail(void **state)
{
	static const enum sn_balance_algorithm algorithms[] = {SN_BALANCE_RING_HASH,
							       SN_BALANCE_MAGLEV};
	unsigned a, i;

	(void)state;
	for (a = 0; a < 2; a++) {
		struct sn_balance_settings s = with_breakers(algorithms[a]);
		struct sn_balance *b = balance_of(&s), *other;
		static unsigned before[KEYS], after[KEYS];
		struct sn_endpoint_spec items[100];
		unsigned moved = 0, own = 0;

		s.seed = 99; /* chance has no say, nor order */
		other = balance_of(&s);
		for (i = 0; i < 100; i++)
			items[i] = item(99 - i, 1);
		assert_int_equal(sn_balance_update(other, items, 100, 0), 0);
		fill(b, 100, 0);
		owners(b, before, 0);
		owners(other, after, 0);
		assert_memory_equal(before, after, sizeof(before));

		eject(b, sn_balance_at(b, 40), 0); /* only its keys move, and come back */
		owners(b, after, 0);
		for (i = 0; i < KEYS; i++) {
			assert_int_not_equal(after[i], 40);
			if (before[i] != 40)
				assert_int_equal(before[i], after[i]);
		}
		for (i = 0; i < KEYS; i++) /* the probe goes to a key of its own */
			if (before[i] == 40)
				break;
		done(b, pick_key(b, i * 0xc2b2ae3d27d4eb4fu, 30 * SEC), 0, SN_TRY_ANSWERED,
		     30 * SEC);
		assert_int_equal(sn_balance_ejected(b), 0);
		owners(b, after, 60 * SEC);
		assert_memory_equal(before, after, sizeof(before));

		items[99 - 40] = item(0, 1); /* it leaves: an address twice is one */
		assert_int_equal(sn_balance_update(b, items, 100, 60 * SEC), 0);
		assert_int_equal(sn_balance_count(b), 99);
		owners(b, after, 60 * SEC);
		for (i = 0; i < KEYS; i++) {
			own += before[i] == 40;
			moved += before[i] != after[i];
		}
		assert_true(moved >= own);
		assert_in_range(own, KEYS * 0.6 / 100, KEYS * 1.4 / 100);
		/* ring: exactly its own; Maglev: few others */
		assert_true(moved <= (a == 0 ? own : own + KEYS * 2 / 100));
		sn_balance_free(b);
		sn_balance_free(other);
	}
}

/* With different weights, what leaves that is not the heaviest moves no other's keys either. */
static void test_a_ring_with_weights(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_RING_HASH, 1);
	static unsigned before[KEYS], after[KEYS];
	struct sn_endpoint_spec items[20];
	unsigned i;

	(void)state;
	for (i = 0; i < 20; i++)
		items[i] = item(i, 1 + i % 7 * 10);
	assert_int_equal(sn_balance_update(b, items, 20, 0), 0);
	owners(b, before, 0);
	assert_int_equal(sn_balance_update(b, items, 19, 0), 0);
	owners(b, after, 0);
	for (i = 0; i < KEYS; i++)
		if (before[i] != 19)
			assert_int_equal(before[i], after[i]);
	sn_balance_free(b);
}

static void test_keys_with_a_try_behind_them(void **state)
{
	static const enum sn_balance_algorithm algorithms[] = {SN_BALANCE_RING_HASH,
							       SN_BALANCE_MAGLEV};
	unsigned a, i;

	(void)state;
	for (a = 0; a < 2; a++) {
		struct sn_balance *b = new_balance(algorithms[a], 1);

		fill(b, 5, 0);
		for (i = 0; i < 100; i++) {
			struct sn_balance_ask ask = {.has_hash = true, .hash = i};
			const struct sn_endpoint *tried[5];
			unsigned n, k;

			for (n = 0; n < 5; n++) { /* all five, each once */
				ask.tried = tried;
				ask.n_tried = n;
				tried[n] = sn_balance_pick(b, &ask, NULL);
				for (k = 0; k < n; k++)
					assert_ptr_not_equal(tried[k], tried[n]);
			}
			ask.n_tried = 5;
			assert_non_null(sn_balance_pick(b, &ask, NULL));
		}
		sn_balance_free(b);
	}
}

/* --- large sets ---------------------------------------------------------------------------------
 */

static double cpu_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ts);
	return (double)ts.tv_sec * 1e9 + (double)ts.tv_nsec;
}

/* CPU time of a pick and its result, the best of several runs. */
static double pick_cost(struct sn_balance *b, bool hash)
{
	double best = 1e9, t;
	uint64_t now = SEC;
	unsigned run, i;

	for (run = 0; run < 7; run++) {
		t = cpu_ns();
		for (i = 0; i < 2000; i++, now += 1000) {
			struct sn_endpoint *e = hash ? pick_key(b, i * 0x9e3779b97f4a7c15u, now)
						     : pick(b, NULL, now);

			done(b, e, MS, SN_TRY_ANSWERED, now);
		}
		t = (cpu_ns() - t) / i;
		best = t < best ? t : best;
	}
	return best;
}

/* Ten or ten thousand: the same work (the rest is cache misses), also with half of them ejected. */
static void test_a_choice_costs_the_same_in_large_sets(void **state)
{
	unsigned a, i;

	(void)state;
	for (a = 0; a < 7; a++) {
		struct sn_balance_settings s = with_breakers((enum sn_balance_algorithm)a);
		struct sn_balance *few, *many;
		bool hash = a >= SN_BALANCE_RING_HASH;
		double small, large, ejected;

		s.breaker.max_penalty_ns = s.breaker.min_penalty_ns = 1000 * SEC;
		few = balance_of(&s);
		many = balance_of(&s);
		fill(few, 10, 0);
		fill(many, MANY, 0);
		small = pick_cost(few, hash);
		large = pick_cost(many, hash);
		for (i = 0; i < MANY / 2; i++)
			eject(many, sn_balance_at(many, i * 2), SEC);
		assert_int_equal(sn_balance_ejected(many), MANY / 2);
		ejected = pick_cost(many, hash);
		if (large > small * 15 + 300 || ejected > small * 15 + 300)
			fail_msg("%s: %.0f ns of 10, %.0f of 10000, %.0f with half ejected",
				 sn_balance_name(s.algorithm), small, large, ejected);
		sn_balance_free(few);
		sn_balance_free(many);
	}
}

static void test_memory_of_a_large_set(void **state)
{
	unsigned a;

	(void)state;
	for (a = 0; a < 7; a++) {
		struct mallinfo2 before = mallinfo2(), after;
		struct sn_balance *b = new_balance((enum sn_balance_algorithm)a, 1);
		size_t bytes;

		fill(b, MANY, 0);
		after = mallinfo2();
		bytes = after.uordblks + after.hblkhd - before.uordblks - before.hblkhd;
		if (before.uordblks) /* not with a sanitizer's allocator */
			assert_in_range(bytes, MANY * 100, 2800000);
		sn_balance_free(b);
	}
}

/* Endpoints come and go while requests are in flight: all is counted, nothing is used when freed.
 */
static void test_updates_under_load(void **state)
{
	unsigned a;

	(void)state;
	for (a = 0; a < 7; a++) {
		struct sn_balance_settings s = with_breakers((enum sn_balance_algorithm)a);
		struct sn_endpoint *flying[64] = {0};
		struct sn_balance *b;
		struct sn_rng rng;
		uint64_t now = SEC;
		unsigned i, k;

		s.slow_start_ns = 5 * SEC;
		s.breaker.panic = a % 2;
		b = balance_of(&s);
		sn_rng_seed(&rng, a);
		for (i = 0; i < 30000; i++, now += 500000) {
			struct sn_balance_ask ask = {
				.now_ns = now, .has_hash = true, .hash = sn_rng_next(&rng)};

			if (i % 100 == 0) {
				struct sn_endpoint_spec items[40];
				unsigned n = sn_rng_below(&rng, 40);

				for (k = 0; k < n; k++) {
					items[k] =
						item(sn_rng_below(&rng, 60), sn_rng_below(&rng, 4));
					items[k].zone = sn_slice_cstr(k % 2 ? "a" : "b");
				}
				s.algorithm = (enum sn_balance_algorithm)((a + i / 5000) % 7);
				s.zone = sn_slice_cstr(i % 200 ? "a" : "");
				assert_int_equal(sn_balance_configure(b, &s, now), 0);
				assert_int_equal(sn_balance_update(b, items, n, now), 0);
			}
			k = sn_rng_below(&rng, 64);
			if (flying[k]) {
				struct sn_try_result r = {now % (50 * MS), sn_rng_below(&rng, 3),
							  sn_rng_below(&rng, 3) == 0, 0};

				r.retry_after_ms = sn_rng_below(&rng, 50) == 0 ? 2000 : 0;
				sn_balance_done(b, flying[k], &r, now);
			}
			flying[k] = sn_balance_pick(b, &ask, NULL);
			assert_true(!flying[k] || flying[k]->weight);
		}
		for (k = 0; k < 64; k++)
			if (flying[k])
				done(b, flying[k], MS, SN_TRY_CANCELLED, now);
		for (k = 0; k < sn_balance_count(b); k++)
			assert_int_equal(sn_balance_at(b, k)->outstanding, 0);
		assert_int_equal(sn_balance_update(b, NULL, 0, now), 0);
		assert_true(sn_balance_is_empty(b));
		sn_balance_free(b);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_shares_by_weight),
		cmocka_unit_test(test_load_by_weight),
		cmocka_unit_test(test_one_of_two_is_slow),
		cmocka_unit_test(test_turns_are_smooth),
		cmocka_unit_test(test_keys_stay_when_others_leave_or_fail),
		cmocka_unit_test(test_a_ring_with_weights),
		cmocka_unit_test(test_keys_with_a_try_behind_them),
		cmocka_unit_test(test_a_choice_costs_the_same_in_large_sets),
		cmocka_unit_test(test_memory_of_a_large_set),
		cmocka_unit_test(test_updates_under_load),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
