/* SPDX-License-Identifier: Apache-2.0 */
/* What the end of a try says about the endpoint. */
#include "../unit.h"

#include "mesh/classify.h"

static struct sn_outcome http(unsigned status)
{
	return (struct sn_outcome){SN_OUTCOME_ANSWERED, false, (uint16_t)status, -1};
}

static struct sn_outcome grpc(unsigned status, int grpc_status)
{
	return (struct sn_outcome){SN_OUTCOME_ANSWERED, true, (uint16_t)status,
				   (int8_t)grpc_status};
}

static struct sn_outcome ended(enum sn_outcome_kind kind, bool is_grpc)
{
	return (struct sn_outcome){kind, is_grpc, 0, -1};
}

static void test_http(void **state)
{
	static const struct {
		unsigned status;
		enum sn_class is;
	} rows[] = {
		{0, SN_CLASS_IGNORED},	  {101, SN_CLASS_SUCCESS}, {200, SN_CLASS_SUCCESS},
		{304, SN_CLASS_SUCCESS},  {404, SN_CLASS_SUCCESS}, {428, SN_CLASS_SUCCESS},
		{429, SN_CLASS_OVERLOAD}, {499, SN_CLASS_SUCCESS}, {500, SN_CLASS_FAILURE},
		{501, SN_CLASS_FAILURE},  {503, SN_CLASS_FAILURE}, {599, SN_CLASS_FAILURE},
		{999, SN_CLASS_FAILURE},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		struct sn_outcome o = http(rows[i].status);

		assert_int_equal(sn_classify(&o), rows[i].is);
		assert_int_equal(sn_outcome_grpc(&o), -1);
	}
}

static void test_grpc(void **state)
{
	static const enum sn_class is[17] = {
		[2] = SN_CLASS_FAILURE,	 [4] = SN_CLASS_FAILURE,  [8] = SN_CLASS_OVERLOAD,
		[13] = SN_CLASS_FAILURE, [14] = SN_CLASS_FAILURE, [15] = SN_CLASS_FAILURE,
	};
	struct sn_outcome o;

	(void)state;
	for (int s = 0; s <= 16; s++) {
		o = grpc(200, s);
		assert_int_equal(sn_classify(&o), is[s]);
		assert_int_equal(sn_outcome_grpc(&o), s);
	}
	/* grpc-status decides even where HTTP's status says something else. */
	o = grpc(503, 0);
	assert_int_equal(sn_classify(&o), SN_CLASS_SUCCESS);
	o = grpc(200, -1);
	assert_int_equal(sn_classify(&o), SN_CLASS_FAILURE);
	assert_int_equal(sn_outcome_grpc(&o), 2);
	o = grpc(404, -1);
	assert_int_equal(sn_classify(&o), SN_CLASS_SUCCESS);
	assert_int_equal(sn_outcome_grpc(&o), 12);
	o = grpc(429, -1);
	assert_int_equal(sn_classify(&o), SN_CLASS_OVERLOAD);
	assert_int_equal(sn_outcome_grpc(&o), 14);
	o = grpc(503, -1);
	assert_int_equal(sn_classify(&o), SN_CLASS_FAILURE);
	assert_int_equal(sn_outcome_grpc(&o), 14);
	o = grpc(504, -1); /* from an endpoint, not of ours: UNAVAILABLE */
	assert_int_equal(sn_outcome_grpc(&o), 14);
}

static void test_other_ends(void **state)
{
	static const struct {
		enum sn_outcome_kind kind;
		enum sn_class is;
		int grpc;
	} rows[] = {
		{SN_OUTCOME_CONNECT, SN_CLASS_FAILURE, 14},
		{SN_OUTCOME_REFUSED, SN_CLASS_OVERLOAD, 14},
		{SN_OUTCOME_RESET, SN_CLASS_FAILURE, 14},
		{SN_OUTCOME_TIMEOUT, SN_CLASS_FAILURE, 4},
		{SN_OUTCOME_CANCELLED, SN_CLASS_IGNORED, 1},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++)
		for (int is_grpc = 0; is_grpc < 2; is_grpc++) {
			struct sn_outcome o = ended(rows[i].kind, is_grpc);

			assert_int_equal(sn_classify(&o), rows[i].is);
			assert_int_equal(sn_outcome_grpc(&o), is_grpc ? rows[i].grpc : -1);
			assert_true(sn_classify_back_off_ms(&o, 5000) == 0);
		}
}

static void test_back_off(void **state)
{
	struct sn_outcome o;

	(void)state;
	o = http(429);
	assert_true(sn_classify_back_off_ms(&o, 5000) == 5000);
	assert_true(sn_classify_back_off_ms(&o, SN_RETRY_AFTER_NONE) == 0);
	o = http(503);
	assert_true(sn_classify_back_off_ms(&o, 5000) == 5000);
	o = http(500);
	assert_true(sn_classify_back_off_ms(&o, 5000) == 0);
	o = http(302); /* there it is about the redirection */
	assert_true(sn_classify_back_off_ms(&o, 5000) == 0);
	o = grpc(200, 8);
	assert_true(sn_classify_back_off_ms(&o, 5000) == 5000);
	o = grpc(200, 14);
	assert_true(sn_classify_back_off_ms(&o, 5000) == 5000);
	o = grpc(200, 0);
	assert_true(sn_classify_back_off_ms(&o, 5000) == 0);
}

static void test_names(void **state)
{
	static const char *const names[] = {"success", "failure", "overload", "ignored"};

	(void)state;
	for (int i = 0; i < SN_CLASS_COUNT; i++)
		assert_string_equal(sn_class_name((enum sn_class)i), names[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_http),	   cmocka_unit_test(test_grpc),
		cmocka_unit_test(test_other_ends), cmocka_unit_test(test_back_off),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
