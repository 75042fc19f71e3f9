/* SPDX-License-Identifier: Apache-2.0 */
/* Lists that change in every way, beside what a plain search says of them. */
#include "tests/unit/mesh/balancing.h"

#define ITEMS_MAX 300

/* Each address once, as it came first, for the port: what the set has to be. */
static unsigned wanted(const struct sn_endpoint_spec *items, unsigned n, uint16_t port,
		       const struct sn_endpoint_spec **ret)
{
	unsigned i, k, out = 0;

	for (i = 0; i < n; i++) {
		if (items[i].service_port && items[i].service_port != port)
			continue;
		for (k = 0; k < out && !sn_addr_eq(&ret[k]->addr, &items[i].addr); k++)
			continue;
		if (k == out)
			ret[out++] = &items[i];
	}
	return out;
}

static struct sn_endpoint *find(struct sn_endpoint *const *v, unsigned n,
				const struct sn_addr *addr)
{
	unsigned i;

	for (i = 0; i < n; i++)
		if (sn_addr_eq(&v[i]->addr, addr))
			return v[i];
	return NULL;
}

static unsigned n_gone;

static void on_gone(struct sn_endpoint *e, void *arg)
{
	(void)e;
	(void)arg;
	n_gone++;
}

/* Takes a list and compares what became of the set. */
static void take(struct sn_balance *b, const struct sn_endpoint_spec *items, unsigned n)
{
	const struct sn_endpoint_spec *want[ITEMS_MAX];
	struct sn_endpoint *was[ITEMS_MAX];
	unsigned n_was = (unsigned)sn_balance_count(b), n_want = wanted(items, n, 80, want);
	unsigned i, kept = 0;

	for (i = 0; i < n_was; i++)
		was[i] = sn_balance_at(b, i);
	n_gone = 0;
	for (i = 0; i < n_want; i++)
		kept += find(was, n_was, &want[i]->addr) != NULL;
	assert_int_equal(sn_balance_update(b, items, n, SEC), 0);
	assert_int_equal(n_gone, n_was - kept);
	assert_int_equal(sn_balance_count(b), n_want);
	for (i = 0; i < n_want; i++) {
		struct sn_endpoint *e = sn_balance_at(b, i);

		assert_true(sn_addr_eq(&e->addr, &want[i]->addr));
		assert_int_equal(e->weight, want[i]->weight);
		assert_int_equal(e->id, sn_balance_id(&e->addr));
		assert_int_equal(e->index, i);
		assert_false(e->gone);
		if (e->user) /* marked below: it was there */
			assert_ptr_equal(e->user, e);
		else
			e->user = e;
		assert_ptr_equal(sn_balance_find(b, e->id), e);
	}
}

static void cut_out(struct sn_endpoint_spec *items, unsigned *n, unsigned at, unsigned count)
{
	memmove(items + at, items + at + count, (*n - at - count) * sizeof(*items));
	*n -= count;
}

static void put_in(struct sn_endpoint_spec *items, unsigned *n, unsigned at, unsigned first,
		   unsigned count)
{
	unsigned i;

	memmove(items + at + count, items + at, (*n - at) * sizeof(*items));
	for (i = 0; i < count; i++)
		items[at + i] = item(first + i, 1);
	*n += count;
}

static void test_places(void **state)
{
	struct sn_balance *b = new_balance(SN_BALANCE_PEAK_EWMA, 1);
	struct sn_endpoint_spec items[ITEMS_MAX];
	unsigned n = 100, i;

	(void)state;
	sn_balance_on_gone(b, on_gone, NULL);
	for (i = 0; i < n; i++)
		items[i] = item(i, 1);
	take(b, items, n);
	for (i = 1; i < 9;
	     i++) { /* few and many at once, at the front, in the middle, at the end */
		cut_out(items, &n, 0, i);
		take(b, items, n);
		put_in(items, &n, 40, 1000 * i, i);
		take(b, items, n);
		cut_out(items, &n, 20, i);
		put_in(items, &n, 20, 1000 * i + 100, i); /* others in their place */
		take(b, items, n);
		cut_out(items, &n, n - i, i);
		take(b, items, n);
		put_in(items, &n, n, 1000 * i + 200, i);
		take(b, items, n);
	}
	take(b, items, 0);
	take(b, items, n);
	sn_balance_free(b);
}

/* Anything: turned round, mixed, with some twice, with those of other ports among them. */
static void test_any_list(void **state)
{
	struct sn_balance_settings s = with_breakers(SN_BALANCE_LEAST_REQUEST);
	struct sn_endpoint_spec items[ITEMS_MAX];
	struct sn_balance *b;
	struct sn_rng rng;
	unsigned round, i, n;

	(void)state;
	s.service_port = 80;
	b = balance_of(&s);
	sn_balance_on_gone(b, on_gone, NULL);
	sn_rng_seed(&rng, 7);
	for (round = 0; round < 400; round++) {
		unsigned range = 1 + sn_rng_below(&rng, 2 * ITEMS_MAX);

		n = sn_rng_below(&rng, ITEMS_MAX);
		for (i = 0; i < n; i++) {
			items[i] = item(round % 3 ? sn_rng_below(&rng, range) : i,
					1 + sn_rng_below(&rng, 3));
			items[i].service_port = (uint16_t)(sn_rng_below(&rng, 4) ? 0 : 79 + i % 3);
		}
		take(b, items, n);
	}
	sn_balance_free(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_places),
		cmocka_unit_test(test_any_list),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
