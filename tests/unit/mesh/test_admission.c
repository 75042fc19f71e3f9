/* SPDX-License-Identifier: Apache-2.0 */
/* Who starts, waits and goes, and in which order. */
#include "../unit.h"

#include "base/num.h"
#include "mesh/admission.h"

#define MS 1000000ull
#define S 1000000000ull

static void test_no_caps(void **state)
{
	struct sn_admission a;

	(void)state;
	sn_admission_init(&a, 0, 0, NULL);
	for (int i = 0; i < 1000; i++)
		assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_ADMIT);
	assert_int_equal(a.in_flight, 1000);
	assert_int_equal(sn_admission_cap(&a), UINT32_MAX);
	assert_int_equal(sn_admission_leave(&a), 0);
}

static void test_caps(void **state)
{
	struct sn_admission a;

	(void)state;
	sn_admission_init(&a, 2, 3, NULL);
	for (int i = 0; i < 2; i++)
		assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_ADMIT);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_WAIT);
	for (int i = 0; i < 3; i++)
		assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_SHED);
	assert_true(a.in_flight == 2 && a.pending == 3);
	assert_int_equal(sn_admission_room(&a), 0);
	/* One ends, one waiter starts; who comes in between does not overtake it. */
	assert_int_equal(sn_admission_leave(&a), 1);
	assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_SHED);
	sn_admission_start(&a);
	assert_true(a.in_flight == 2 && a.pending == 2);
	assert_int_equal(sn_admission_room(&a), 0);
	assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_WAIT);
	for (int i = 0; i < 3; i++)
		sn_admission_give_up(&a);
	assert_int_equal(sn_admission_leave(&a), 0);
	assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_ADMIT);
}

static void test_nobody_waits(void **state)
{
	struct sn_admission a;

	(void)state;
	sn_admission_init(&a, 1, 0, NULL);
	assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_ADMIT);
	assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_SHED);
}

static void test_caps_change(void **state)
{
	struct sn_admission a;

	(void)state;
	sn_admission_init(&a, 1, 10, NULL);
	for (int i = 0; i < 6; i++)
		sn_admission_enter(&a);
	a.max_requests = 4;
	assert_int_equal(sn_admission_room(&a), 3);
	for (int i = 0; i < 3; i++)
		sn_admission_start(&a);
	a.max_requests = 2; /* those in flight stay until they end */
	assert_int_equal(sn_admission_room(&a), 0);
	assert_int_equal(sn_admission_leave(&a), 0);
	assert_int_equal(sn_admission_leave(&a), 0);
	assert_int_equal(sn_admission_leave(&a), 1);
	a.max_requests = 0;
	assert_int_equal(sn_admission_room(&a), 2);
}

static void test_found_limit(void **state)
{
	struct sn_concurrency c;
	struct sn_admission a;

	(void)state;
	sn_concurrency_init(&c, 1, 3, 100);
	sn_admission_init(&a, 0, 10, &c);
	assert_int_equal(sn_admission_cap(&a), 3);
	for (int i = 0; i < 6; i++)
		assert_int_equal(sn_admission_enter(&a),
				 i < 3 ? SN_ADMISSION_ADMIT : SN_ADMISSION_WAIT);
	c.limit = 5; /* as after a sample; then this one ends */
	assert_int_equal(sn_admission_leave(&a), 3);
	a.max_requests = 4;
	assert_int_equal(sn_admission_cap(&a), 4);
	assert_int_equal(sn_admission_room(&a), 2);
	c.limit = 1;
	assert_int_equal(sn_admission_cap(&a), 1);
	assert_int_equal(sn_admission_leave(&a), 0);
	assert_int_equal(sn_admission_leave(&a), 1); /* it never stands still with waiters */
}

static void test_newest(void **state)
{
	struct sn_admission a;
	uint64_t t = 10 * S;

	(void)state;
	sn_admission_init(&a, 1, 10, NULL);
	for (int i = 0; i < 5; i++)
		sn_admission_enter(&a);
	assert_false(sn_admission_takes_newest(&a, t, t));
	assert_false(sn_admission_takes_newest(&a, t, t + 50 * MS));
	assert_false(sn_admission_takes_newest(&a, t, t + 51 * MS));
	assert_false(sn_admission_takes_newest(&a, t, t + 150 * MS));
	assert_true(sn_admission_takes_newest(&a, t, t + 151 * MS));
	assert_true(sn_admission_takes_newest(&a, t, t + 500 * MS));
	/* Once the oldest is young again it is as before. */
	assert_false(sn_admission_takes_newest(&a, t + 480 * MS, t + 510 * MS));
	assert_false(sn_admission_takes_newest(&a, t + 480 * MS, t + 600 * MS));
	assert_false(sn_admission_takes_newest(&a, t + 480 * MS, t + 699 * MS));
	assert_true(sn_admission_takes_newest(&a, t + 480 * MS, t + 700 * MS));
	/* Time that goes back does not matter. */
	assert_false(sn_admission_takes_newest(&a, t, t - S));
	assert_false(sn_admission_takes_newest(&a, 0, UINT64_MAX));
	assert_false(sn_admission_takes_newest(&a, 0, t));
}

/* Where nobody waits as long as the target, nobody would ever be seen to. */
static void test_patience(void **state)
{
	struct sn_admission a;
	uint64_t t = 10 * S;

	(void)state;
	sn_admission_init(&a, 1, 2, NULL);
	sn_admission_set_patience(&a, 40 * MS);
	for (int i = 0; i < 4; i++)
		sn_admission_enter(&a);
	assert_false(sn_admission_takes_newest(&a, t, t + 20 * MS));
	assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_SHED);
	assert_true(sn_admission_takes_newest(&a, t, t + 21 * MS));
	sn_admission_set_patience(&a, S); /* 50 ms again */
	assert_false(sn_admission_takes_newest(&a, t, t + 50 * MS));
}

/* A burst that does not fit is none: nobody waits to find out whether it passes. */
static void test_overflow(void **state)
{
	struct sn_admission a;
	uint64_t t = 10 * S;

	(void)state;
	sn_admission_init(&a, 1, 2, NULL);
	for (int i = 0; i < 3; i++)
		sn_admission_enter(&a);
	assert_false(sn_admission_takes_newest(&a, t, t + 60 * MS));
	assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_SHED);
	assert_true(sn_admission_takes_newest(&a, t, t + 61 * MS));
	/* A full queue that is a short one is a good one, and what was before it is forgotten. */
	assert_false(sn_admission_takes_newest(&a, t + 50 * MS, t + 62 * MS));
	assert_false(sn_admission_takes_newest(&a, t + 50 * MS, t + 110 * MS));
	/* So it is by an empty one. */
	assert_int_equal(sn_admission_enter(&a), SN_ADMISSION_SHED);
	assert_true(sn_admission_takes_newest(&a, t + 50 * MS, t + 111 * MS));
	sn_admission_give_up(&a);
	sn_admission_give_up(&a);
	sn_admission_enter(&a);
	assert_false(sn_admission_takes_newest(&a, t + 50 * MS, t + 112 * MS));
}

/* A queue that has been empty in between has not been standing since then. */
static void test_empty_queue_forgets(void **state)
{
	struct sn_admission a;
	uint64_t t = 10 * S;

	(void)state;
	sn_admission_init(&a, 1, 10, NULL);
	sn_admission_enter(&a);
	sn_admission_enter(&a);
	assert_false(sn_admission_takes_newest(&a, t, t + 60 * MS));
	sn_admission_leave(&a);
	sn_admission_start(&a);
	sn_admission_enter(&a);
	assert_false(sn_admission_takes_newest(&a, t + 9 * S, t + 9 * S + 60 * MS));
	sn_admission_give_up(&a);
	sn_admission_enter(&a);
	assert_false(sn_admission_takes_newest(&a, t + 18 * S, t + 18 * S + 60 * MS));
	assert_true(sn_admission_takes_newest(&a, t + 18 * S, t + 18 * S + 160 * MS));
}

/* --- what the order is for: three times what one server of 10 ms can do, clients that leave after
 * 200 ms, a queue of 100 */

#define WAIT_MAX 100

struct line {
	uint64_t came[WAIT_MAX]; /* oldest first */
	size_t n;
};

static void leave_line(struct sn_admission *a, struct line *l, uint64_t now)
{
	size_t gone = 0;

	while (gone < l->n && now - l->came[gone] >= 200 * MS) {
		sn_admission_give_up(a);
		gone++;
	}
	memmove(l->came, l->came + gone, (l->n - gone) * sizeof(l->came[0]));
	l->n -= gone;
}

static uint64_t take(struct sn_admission *a, struct line *l, bool adaptive, uint64_t now)
{
	bool newest = sn_admission_takes_newest(a, l->came[0], now) && adaptive;
	uint64_t came = l->came[newest ? l->n - 1 : 0];

	if (!newest)
		memmove(l->came, l->came + 1, (l->n - 1) * sizeof(l->came[0]));
	l->n--;
	sn_admission_start(a);
	return came;
}

/* Requests that were answered within 200 ms, in 10 s. */
static unsigned good_answers(bool adaptive)
{
	struct sn_admission a;
	struct line l = {.n = 0};
	uint64_t now = S, ends = 0, serving = 0;
	unsigned good = 0;

	sn_admission_init(&a, 1, WAIT_MAX, NULL);
	for (unsigned i = 0; i < 10000; i++, now += MS) {
		leave_line(&a, &l, now);
		if (a.in_flight && now >= ends) {
			good += now - serving <= 200 * MS;
			if (sn_admission_leave(&a)) {
				serving = take(&a, &l, adaptive, now);
				ends = now + 10 * MS;
			}
		}
		if (i % 3)
			continue;
		switch (sn_admission_enter(&a)) {
		case SN_ADMISSION_ADMIT:
			serving = now;
			ends = now + 10 * MS;
			break;
		case SN_ADMISSION_WAIT:
			l.came[l.n++] = now;
			break;
		case SN_ADMISSION_SHED:
			break;
		}
		assert_int_equal(l.n, a.pending);
		assert_true(a.in_flight <= 1);
	}
	return good;
}

static void test_goodput(void **state)
{
	unsigned first = good_answers(false), newest = good_answers(true);

	(void)state;
	/* In order, each that is served has waited 190 ms or more; and the newest is in time. */
	assert_true(newest >= 980);
	assert_true(first < newest / 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_no_caps),
		cmocka_unit_test(test_caps),
		cmocka_unit_test(test_nobody_waits),
		cmocka_unit_test(test_caps_change),
		cmocka_unit_test(test_found_limit),
		cmocka_unit_test(test_newest),
		cmocka_unit_test(test_patience),
		cmocka_unit_test(test_overflow),
		cmocka_unit_test(test_empty_queue_forgets),
		cmocka_unit_test(test_goodput),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
