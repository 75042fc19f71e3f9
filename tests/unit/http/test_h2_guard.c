/* SPDX-License-Identifier: Apache-2.0 */
/* Budgets under a clock of our own: what floods, what ordinary peers do. */
#include "tests/unit/unit.h"

#include "http/h2_guard.h"

static struct sn_h2_guard g;

static bool frame(unsigned type, unsigned flags, uint32_t length, uint64_t now_ms)
{
	struct sn_h2_frame_head h = {length, (uint8_t)type, (uint8_t)flags, 1};

	return sn_h2_guard_frame(&g, &h, now_ms);
}

struct flood {
	unsigned type, flags;
	uint32_t length;
	unsigned burst;
	const char *failure;
};

static const struct flood floods[] = {
	{SN_H2_FRAME_PING, 0, 8, 500, "ping-flood"},
	{SN_H2_FRAME_PING, SN_H2_FLAG_ACK, 8, 500, "ping-flood"},
	{SN_H2_FRAME_SETTINGS, 0, 0, 50, "settings-flood"},
	{SN_H2_FRAME_GOAWAY, 0, 8, 50, "settings-flood"},
	{SN_H2_FRAME_PRIORITY, 0, 5, 500, "priority-flood"},
	{0xfa, 0, 0, 500, "priority-flood"},
	{SN_H2_FRAME_WINDOW_UPDATE, 0, 4, 5000, "window-flood"},
	{SN_H2_FRAME_DATA, 0, 0, 500, "empty-data-flood"},
	{SN_H2_FRAME_DATA, 0, 1, 20000, "tiny-data-flood"},
	{SN_H2_FRAME_DATA, SN_H2_FLAG_PADDED, 200, 20000, "tiny-data-flood"},
	{SN_H2_FRAME_RST_STREAM, 0, 4, 1000, "reset-flood"},
	{SN_H2_FRAME_CONTINUATION, 0, 100, 8, "continuation-flood"},
};

static void test_floods(void **state)
{
	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(floods); i++) {
		const struct flood *f = &floods[i];

		sn_h2_guard_init(&g, false, 1000);
		for (unsigned n = 0; n < f->burst; n++)
			assert_true(frame(f->type, f->flags, f->length, 1000));
		assert_false(frame(f->type, f->flags, f->length, 1000));
		assert_string_equal(g.failure, f->failure);
	}
}

static void test_trusted(void **state)
{
	(void)state;
	sn_h2_guard_init(&g, true, 0);
	for (unsigned n = 0; n < 20000; n++)
		assert_true(frame(SN_H2_FRAME_RST_STREAM, 0, 4, 0));
	assert_false(frame(SN_H2_FRAME_RST_STREAM, 0, 4, 0));
}

/* A hundred cancellations a second for an hour. */
static void test_cancelling_client(void **state)
{
	(void)state;
	sn_h2_guard_init(&g, false, 5);
	for (uint64_t ms = 5; ms < 3600 * 1000; ms += 10)
		assert_true(frame(SN_H2_FRAME_RST_STREAM, 0, 4, ms));
	/* A burst on top of it ends in the budget. */
	for (unsigned n = 0; n < 3000; n++)
		if (!frame(SN_H2_FRAME_RST_STREAM, 0, 4, 3600 * 1000))
			return;
	fail();
}

/* Requests that end in order pay for resets: half of all calls may be cancelled at any rate. */
static void test_earned_resets(void **state)
{
	(void)state;
	sn_h2_guard_init(&g, false, 0);
	for (unsigned n = 0; n < 1000000; n++) {
		assert_true(frame(SN_H2_FRAME_RST_STREAM, 0, 4, 0));
		sn_h2_guard_earn(&g, SN_H2_BUDGET_RESET, 1);
	}
}

/* A download: two window updates and a bandwidth PING for each DATA frame. */
static void test_download(void **state)
{
	(void)state;
	sn_h2_guard_init(&g, false, 0);
	for (unsigned n = 0; n < 100000; n++) {
		sn_h2_guard_sent_data(&g, 100);
		assert_true(frame(SN_H2_FRAME_WINDOW_UPDATE, 0, 4, 0));
		assert_true(frame(SN_H2_FRAME_WINDOW_UPDATE, 0, 4, 0));
		assert_true(frame(SN_H2_FRAME_PING, 0, 8, 0));
	}
}

/* What is no flood at any rate. */
static void test_traffic(void **state)
{
	(void)state;
	sn_h2_guard_init(&g, false, 0);
	for (unsigned n = 0; n < 100000; n++) {
		assert_true(frame(SN_H2_FRAME_DATA, 0, 100, 0));
		assert_true(frame(SN_H2_FRAME_DATA, SN_H2_FLAG_END_STREAM, 0, 0));
		assert_true(frame(SN_H2_FRAME_HEADERS, 0, 10, 0));
		assert_true(frame(SN_H2_FRAME_PRIORITY, 0, 5, 0));
	}
}

static void test_refill(void **state)
{
	(void)state;
	sn_h2_guard_init(&g, false, 100);
	while (frame(SN_H2_FRAME_SETTINGS, 0, 0, 100))
		;
	assert_false(frame(SN_H2_FRAME_SETTINGS, 0, 0, 299));
	assert_true(frame(SN_H2_FRAME_SETTINGS, 0, 0, 300)); /* 5 a second */
	assert_false(frame(SN_H2_FRAME_SETTINGS, 0, 0, 300));
	assert_false(
		frame(SN_H2_FRAME_SETTINGS, 0, 0, 100)); /* a clock that steps back gives nothing */
	for (unsigned n = 0; n < 50; n++)
		assert_true(frame(SN_H2_FRAME_SETTINGS, 0, 0, UINT64_MAX / 2));
	assert_false(frame(SN_H2_FRAME_SETTINGS, 0, 0, UINT64_MAX / 2));
}

static void test_frame_head(void **state)
{
	const uint8_t o[9] = {0x01, 0x02, 0x03, 4, 5, 0x80, 0, 1, 2};
	struct sn_h2_frame_head h = sn_h2_frame_head_read(o);

	(void)state;
	assert_int_equal(h.length, 0x010203);
	assert_int_equal(h.type, 4);
	assert_int_equal(h.flags, 5);
	assert_int_equal(h.stream_id, 0x0102); /* the reserved bit is ignored */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_floods),
		cmocka_unit_test(test_trusted),
		cmocka_unit_test(test_cancelling_client),
		cmocka_unit_test(test_earned_resets),
		cmocka_unit_test(test_download),
		cmocka_unit_test(test_traffic),
		cmocka_unit_test(test_refill),
		cmocka_unit_test(test_frame_head),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
