/* SPDX-License-Identifier: Apache-2.0 */
/* Which tries are made again, when, and why the others are not. */
#include "../unit.h"

#include "http/message.h"
#include "mesh/retry.h"

#define MS 1000000ull
#define S 1000000000ull
#define NOW 784111777u /* Sun, 06 Nov 1994 08:49:37 GMT */

/* What the document's example says. */
static struct sn_retry_policy policy(void)
{
	struct sn_retry_policy p;

	sn_retry_defaults(&p);
	p.attempts = 2;
	assert_int_equal(sn_retry_add_code(&p, 502), 0);
	assert_int_equal(sn_retry_add_code(&p, 503), 0);
	assert_int_equal(sn_retry_add_grpc(&p, 14), 0);
	return p;
}

static struct sn_retry_facts facts(enum sn_outcome_kind kind, unsigned status)
{
	return (struct sn_retry_facts){
		.outcome = {kind, false, (uint16_t)status, -1},
		.idempotent = true,
		.deadline_ns = UINT64_MAX,
		.retry_after_ms = SN_RETRY_AFTER_NONE,
	};
}

static struct sn_retry_facts grpc_facts(enum sn_outcome_kind kind, int grpc)
{
	struct sn_retry_facts f = facts(kind, kind == SN_OUTCOME_ANSWERED ? 200 : 0);

	f.outcome.is_grpc = true;
	f.outcome.grpc = (int8_t)grpc;
	f.idempotent = false;
	return f;
}

static struct sn_retry_decision decide(const struct sn_retry_policy *p,
				       const struct sn_retry_facts *f)
{
	struct sn_rng rng;

	sn_rng_seed(&rng, 7);
	return sn_retry_decide(p, f, &rng);
}

static enum sn_retry_reason why(const struct sn_retry_policy *p, const struct sn_retry_facts *f)
{
	return decide(p, f).reason;
}

static void test_policy(void **state)
{
	struct sn_retry_policy p;

	(void)state;
	sn_retry_defaults(&p);
	assert_int_equal(p.attempts, 0);
	assert_true(p.backoff_ns == 25 * MS && p.backoff_max_ns == 250 * MS);
	sn_retry_set_backoff(&p, 300 * MS);
	assert_true(p.backoff_ns == 300 * MS && p.backoff_max_ns == S);
	sn_retry_set_backoff(&p, 2 * S);
	assert_true(p.backoff_max_ns == 2 * S);
	sn_retry_set_backoff(&p, 0);
	assert_true(p.backoff_max_ns == 0);
	assert_int_equal(sn_retry_add_code(&p, 399), -SN_ECONF);
	assert_int_equal(sn_retry_add_code(&p, 600), -SN_ECONF);
	assert_int_equal(sn_retry_add_code(&p, 0), -SN_ECONF);
	assert_int_equal(sn_retry_add_grpc(&p, 0), -SN_ECONF);
	assert_int_equal(sn_retry_add_grpc(&p, 17), -SN_ECONF);
	assert_int_equal(sn_retry_add_grpc(&p, -1), -SN_ECONF);
	for (unsigned s = 400; s < 600; s += 3)
		assert_int_equal(sn_retry_add_code(&p, s), 0);
	for (unsigned s = 0; s < 1000; s++)
		assert_int_equal(sn_retry_has_code(&p, s),
				 s >= 400 && s < 600 && (s - 400) % 3 == 0);
	assert_int_equal(sn_retry_add_grpc(&p, 16), 0);
	assert_int_equal(p.grpc, 1 << 16);
}

static void test_codes(void **state)
{
	struct sn_retry_policy p = policy();
	struct sn_retry_facts f;

	(void)state;
	for (unsigned s = 100; s < 600; s++) {
		f = facts(SN_OUTCOME_ANSWERED, s);
		assert_int_equal(why(&p, &f),
				 s == 502 || s == 503 ? SN_RETRY_YES : SN_RETRY_NOT_RETRYABLE);
	}
	f = facts(SN_OUTCOME_RESET, 0);
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
	f = facts(SN_OUTCOME_TIMEOUT, 0);
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
	f = facts(SN_OUTCOME_CANCELLED, 0);
	assert_int_equal(why(&p, &f), SN_RETRY_NOT_RETRYABLE);
}

/* Neither by a status nor by a broken connection; only if nobody has seen it. */
static void test_methods(void **state)
{
	static const enum sn_method not [] = {SN_METHOD_POST, SN_METHOD_PATCH, SN_METHOD_CONNECT,
					      SN_METHOD_OTHER};
	static const enum sn_method safe[] = {SN_METHOD_GET,	 SN_METHOD_HEAD,  SN_METHOD_PUT,
					      SN_METHOD_OPTIONS, SN_METHOD_TRACE, SN_METHOD_DELETE};
	struct sn_retry_policy p = policy();

	(void)state;
	for (int kind = 0; kind < SN_OUTCOME_CANCELLED; kind++) {
		bool unseen = kind == SN_OUTCOME_CONNECT || kind == SN_OUTCOME_REFUSED;
		struct sn_retry_facts f = facts((enum sn_outcome_kind)kind, kind ? 0 : 503);

		for (size_t i = 0; i < SN_ARRAY_LEN(not ); i++) {
			f.idempotent = sn_method_is_idempotent(not [i]);
			assert_int_equal(why(&p, &f),
					 unseen ? SN_RETRY_YES : SN_RETRY_NOT_IDEMPOTENT);
		}
		for (size_t i = 0; i < SN_ARRAY_LEN(safe); i++) {
			f.idempotent = sn_method_is_idempotent(safe[i]);
			assert_int_equal(why(&p, &f), SN_RETRY_YES);
		}
	}
}

static void test_grpc(void **state)
{
	struct sn_retry_policy p = policy();
	struct sn_retry_facts f;

	(void)state;
	for (int s = 0; s <= 16; s++) {
		f = grpc_facts(SN_OUTCOME_ANSWERED, s);
		assert_int_equal(why(&p, &f), s == 14 ? SN_RETRY_YES : SN_RETRY_NOT_RETRYABLE);
	}
	/* `codes` is not asked, the status that a failure amounts to is. */
	f = grpc_facts(SN_OUTCOME_ANSWERED, -1);
	f.outcome.status = 503;
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
	f = grpc_facts(SN_OUTCOME_RESET, -1);
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
	f = grpc_facts(SN_OUTCOME_TIMEOUT, -1);
	assert_int_equal(why(&p, &f), SN_RETRY_NOT_RETRYABLE);
	p.grpc = UINT32_MAX;
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
	f = grpc_facts(SN_OUTCOME_CANCELLED, -1);
	assert_int_equal(why(&p, &f), SN_RETRY_NOT_RETRYABLE);
	p.grpc = 0;
	f = grpc_facts(SN_OUTCOME_RESET, -1);
	assert_int_equal(why(&p, &f), SN_RETRY_NOT_RETRYABLE);
	f = grpc_facts(SN_OUTCOME_REFUSED, -1);
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
}

static void test_without_policy(void **state)
{
	struct sn_retry_policy p;
	struct sn_retry_facts f;

	(void)state;
	sn_retry_defaults(&p);
	p.codes[0] = p.codes[1] = p.codes[2] = p.codes[3] = UINT64_MAX; /* attempts says no */
	p.grpc = UINT32_MAX;
	f = facts(SN_OUTCOME_ANSWERED, 503);
	assert_int_equal(why(&p, &f), SN_RETRY_NOT_RETRYABLE);
	f = facts(SN_OUTCOME_RESET, 0);
	assert_int_equal(why(&p, &f), SN_RETRY_NOT_RETRYABLE);
	f = grpc_facts(SN_OUTCOME_ANSWERED, 14);
	assert_int_equal(why(&p, &f), SN_RETRY_NOT_RETRYABLE);
	f = facts(SN_OUTCOME_CONNECT, 0);
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
	f = facts(SN_OUTCOME_REFUSED, 0);
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
}

static void test_attempts(void **state)
{
	struct sn_retry_policy p = policy();
	struct sn_retry_facts f = facts(SN_OUTCOME_ANSWERED, 503);

	(void)state;
	for (p.attempts = 1; p.attempts < 5; p.attempts++)
		for (f.retries = 0; f.retries < 6; f.retries++)
			assert_int_equal(why(&p, &f),
					 f.retries < p.attempts ? SN_RETRY_YES : SN_RETRY_ATTEMPTS);
	f.outcome.kind = SN_OUTCOME_CONNECT;
	for (p.attempts = 0; p.attempts < 5; p.attempts++)
		for (f.retries = 0; f.retries < 6; f.retries++) {
			uint32_t max = p.attempts < SN_RETRY_UNPROCESSED ? SN_RETRY_UNPROCESSED
									 : p.attempts;

			assert_int_equal(why(&p, &f),
					 f.retries < max ? SN_RETRY_YES : SN_RETRY_ATTEMPTS);
		}
}

/* All reasons at once, taken away in the order in which they are named. */
static void test_reasons_in_order(void **state)
{
	struct sn_retry_policy p = policy();
	struct sn_retry_facts f = facts(SN_OUTCOME_ANSWERED, 404);

	(void)state;
	f.response_started = f.no_retry = f.body_lost = true;
	f.idempotent = false;
	f.retries = 2;
	f.retry_after_ms = 5000;
	f.deadline_ns = 0;
	assert_int_equal(why(&p, &f), SN_RETRY_NOT_RETRYABLE);
	f.outcome.status = 503;
	assert_int_equal(why(&p, &f), SN_RETRY_RESPONSE_STARTED);
	f.response_started = false;
	assert_int_equal(why(&p, &f), SN_RETRY_FORBIDDEN);
	f.no_retry = false;
	assert_int_equal(why(&p, &f), SN_RETRY_NOT_IDEMPOTENT);
	f.idempotent = true;
	assert_int_equal(why(&p, &f), SN_RETRY_BODY_LOST);
	f.body_lost = false;
	assert_int_equal(why(&p, &f), SN_RETRY_ATTEMPTS);
	f.retries = 1;
	assert_int_equal(why(&p, &f), SN_RETRY_LATER);
	f.retry_after_ms = 0;
	assert_int_equal(why(&p, &f), SN_RETRY_DEADLINE);
	f.deadline_ns = S;
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
	/* They hold for unprocessed ones too. */
	f.outcome.kind = SN_OUTCOME_CONNECT;
	f.response_started = true;
	assert_int_equal(why(&p, &f), SN_RETRY_RESPONSE_STARTED);
	f.response_started = false;
	f.no_retry = true;
	assert_int_equal(why(&p, &f), SN_RETRY_FORBIDDEN);
	f.no_retry = false;
	f.body_lost = true;
	assert_int_equal(why(&p, &f), SN_RETRY_BODY_LOST);
	f.body_lost = false;
	f.deadline_ns = 0;
	assert_int_equal(why(&p, &f), SN_RETRY_DEADLINE);
}

static void test_backoff(void **state)
{
	static const uint64_t max_ms[] = {25, 50, 100, 200, 250, 250, 250};
	struct sn_retry_policy p = policy();
	struct sn_retry_facts f = facts(SN_OUTCOME_ANSWERED, 503);
	struct sn_rng rng;

	(void)state;
	sn_rng_seed(&rng, 1);
	p.attempts = UINT32_MAX;
	for (f.retries = 0; f.retries < SN_ARRAY_LEN(max_ms); f.retries++) {
		uint64_t low = UINT64_MAX, high = 0, max = max_ms[f.retries] * MS;

		for (int i = 0; i < 2000; i++) {
			uint64_t ns = sn_retry_decide(&p, &f, &rng).delay_ns;

			assert_true(ns < max);
			low = ns < low ? ns : low;
			high = ns > high ? ns : high;
		}
		assert_true(low < max / 50 && high > max - max / 50); /* the whole of it */
	}
	f.retries = UINT32_MAX - 1;
	assert_true(decide(&p, &f).delay_ns < 250 * MS);
	sn_retry_set_backoff(&p, UINT64_MAX);
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
	sn_retry_set_backoff(&p, 0);
	assert_true(decide(&p, &f).delay_ns == 0);
	/* Who was not processed does not wait, the first time. */
	p = policy();
	f = facts(SN_OUTCOME_REFUSED, 0);
	assert_true(decide(&p, &f).delay_ns == 0);
	f.retries = 1;
	assert_in_range(decide(&p, &f).delay_ns, 1, 50 * MS);
}

static void test_deadline(void **state)
{
	struct sn_retry_policy p = policy();
	struct sn_retry_facts f = facts(SN_OUTCOME_ANSWERED, 503);
	uint64_t delay = decide(&p, &f).delay_ns;

	(void)state;
	assert_true(delay > 0);
	f.deadline_ns = delay;
	assert_int_equal(why(&p, &f), SN_RETRY_DEADLINE);
	assert_true(decide(&p, &f).delay_ns == 0);
	f.deadline_ns = delay + 1;
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
}

static void test_retry_after(void **state)
{
	struct sn_retry_policy p = policy();
	struct sn_retry_facts f = facts(SN_OUTCOME_ANSWERED, 503);

	(void)state;
	f.retry_after_ms = 1000;
	assert_true(decide(&p, &f).reason == SN_RETRY_YES && decide(&p, &f).delay_ns == S);
	f.retry_after_ms = 1001;
	assert_int_equal(why(&p, &f), SN_RETRY_LATER);
	f.retry_after_ms = SN_RETRY_AFTER_MAX_MS;
	assert_int_equal(why(&p, &f), SN_RETRY_LATER);
	f.retry_after_ms = 1000;
	f.deadline_ns = S;
	assert_int_equal(why(&p, &f), SN_RETRY_LATER);
	f.deadline_ns = S + 1;
	assert_int_equal(why(&p, &f), SN_RETRY_YES);
	f.retry_after_ms = 0; /* at once is not at once: others come too */
	assert_in_range(decide(&p, &f).delay_ns, 1, 25 * MS);
}

static void test_names(void **state)
{
	(void)state;
	for (int i = 0; i < SN_RETRY_REASON_COUNT; i++)
		for (int j = 0; j < i; j++)
			assert_string_not_equal(sn_retry_reason_name((enum sn_retry_reason)i),
						sn_retry_reason_name((enum sn_retry_reason)j));
	assert_string_equal(sn_retry_reason_name(SN_RETRY_LATER), "retry-after");
	assert_string_equal(sn_retry_reason_name(SN_RETRY_BUDGET), "budget");
}

static void test_retry_after_is_read(void **state)
{
	static const struct {
		const char *text;
		uint64_t ms;
	} rows[] = {
		{"0", 0},
		{"1", 1000},
		{"059", 59000},
		{"60", 60000},
		{"61", 60000},
		{"99999999999999999999999999", 60000},
		{"Sun, 06 Nov 1994 08:49:47 GMT", 10000},
		{"Sun, 06 Nov 1994 08:49:37 GMT", 0},
		{"Sun, 06 Nov 1994 08:49:27 GMT", 0},
		{"Mon, 07 Nov 1994 08:49:47 GMT", 60000},
		{"Sunday, 06-Nov-94 08:49:47 GMT", 10000},
		{"Sun Nov  6 08:49:47 1994", 10000},
		{"", SN_RETRY_AFTER_NONE},
		{"-1", SN_RETRY_AFTER_NONE},
		{"+1", SN_RETRY_AFTER_NONE},
		{"1.5", SN_RETRY_AFTER_NONE},
		{"1 ", SN_RETRY_AFTER_NONE},
		{"1s", SN_RETRY_AFTER_NONE},
		{"tomorrow", SN_RETRY_AFTER_NONE},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		uint64_t ms = sn_retry_after_ms(sn_slice_cstr(rows[i].text), NOW);

		if (ms != rows[i].ms)
			print_error("%s: %llu\n", rows[i].text, (unsigned long long)ms);
		assert_true(ms == rows[i].ms);
	}
	assert_true(sn_retry_after_ms(sn_slice(NULL, 0), NOW) == SN_RETRY_AFTER_NONE);
}

static void test_dates(void **state)
{
	static const struct {
		const char *text;
		uint64_t at; /* UINT64_MAX: refused */
	} rows[] = {
		{"Sun, 06 Nov 1994 08:49:37 GMT", NOW},
		{"Sunday, 06-Nov-94 08:49:37 GMT", NOW},
		{"Sun Nov  6 08:49:37 1994", NOW},
		{"Wed Nov 16 08:49:37 1994", NOW + 10 * 86400},
		{"Thu, 01 Jan 1970 00:00:00 GMT", 0},
		{"Wed, 31 Dec 1969 23:59:59 GMT", 0},
		{"Sat, 01 Jan 0000 00:00:00 GMT", 0},
		{"Tue, 29 Feb 2000 23:59:59 GMT", 951868799},
		{"Wed, 01 Mar 2000 00:00:00 GMT", 951868800},
		{"Thu, 31 Dec 1998 23:59:60 GMT", 915148800},
		{"Fri, 31 Dec 9999 23:59:59 GMT", 253402300799},
		{"Tuesday, 19-Jan-38 03:14:08 GMT", 2147483648u}, /* 44 years ahead */
		{"Sunday, 06-Nov-44 08:49:37 GMT", 2362034977},	  /* 50 */
		{"Wednesday, 06-Nov-45 08:49:37 GMT", 0},	  /* 51: of 1945 */
		{"Tue, 29 Feb 1900 00:00:00 GMT", UINT64_MAX},
		{"Tue, 30 Feb 2000 00:00:00 GMT", UINT64_MAX},
		{"Sun, 00 Nov 1994 08:49:37 GMT", UINT64_MAX},
		{"Sun, 31 Nov 1994 08:49:37 GMT", UINT64_MAX},
		{"Sun, 06 Nov 1994 24:00:00 GMT", UINT64_MAX},
		{"Sun, 06 Nov 1994 08:60:00 GMT", UINT64_MAX},
		{"Sun, 06 Nov 1994 08:49:61 GMT", UINT64_MAX},
		{"Sun, 06 Nov 1994 08:49:37 UTC", UINT64_MAX},
		{"Sun, 06 Nov 1994 08:49:37 GMT ", UINT64_MAX},
		{"Sun, 06 Nov 1994 08:49:37", UINT64_MAX},
		{"Sun, 6 Nov 1994 08:49:37 GMT", UINT64_MAX},
		{"sun, 06 Nov 1994 08:49:37 GMT", UINT64_MAX},
		{"Sun, 06 Nob 1994 08:49:37 GMT", UINT64_MAX},
		{"Sun, 06 Nov 94 08:49:37 GMT", UINT64_MAX},
		{"Sun,06 Nov 1994 08:49:37 GMT", UINT64_MAX},
		{"Sunday, 06-Nov-1994 08:49:37 GMT", UINT64_MAX},
		{"Sunday, 06 Nov 1994 08:49:37 GMT", UINT64_MAX},
		{"Sun Nov 6 08:49:37 1994", UINT64_MAX},
		{"Sun Nov  0 08:49:37 1994", UINT64_MAX},
		{"Sun Nov  6 08:49:37 1994 GMT", UINT64_MAX},
		{"Sun", UINT64_MAX},
		{"Sun,", UINT64_MAX},
		{"", UINT64_MAX},
	};

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(rows); i++) {
		bool good = rows[i].at != UINT64_MAX;
		uint64_t at = 77;
		int rc = sn_http_date_parse(sn_slice_cstr(rows[i].text), NOW, &at);

		if (rc != (good ? 0 : -SN_ESYNTAX) || at != (good ? rows[i].at : 77))
			print_error("%s: %d, %llu\n", rows[i].text, rc, (unsigned long long)at);
		assert_int_equal(rc, good ? 0 : -SN_ESYNTAX);
		assert_true(at == (good ? rows[i].at : 77));
	}
}

/* No prefix of a date is one, and none is read past its end. */
static void test_cut_dates(void **state)
{
	static const char *const texts[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
					    "Sunday, 06-Nov-94 08:49:37 GMT",
					    "Sun Nov  6 08:49:37 1994"};
	uint64_t at;

	(void)state;
	for (size_t i = 0; i < SN_ARRAY_LEN(texts); i++)
		for (size_t n = 0; n < strlen(texts[i]); n++) {
			char *copy = malloc(n ? n : 1);

			memcpy(copy, texts[i], n);
			assert_int_equal(sn_http_date_parse(sn_slice(copy, n), NOW, &at),
					 -SN_ESYNTAX);
			free(copy);
		}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_policy),
		cmocka_unit_test(test_codes),
		cmocka_unit_test(test_methods),
		cmocka_unit_test(test_grpc),
		cmocka_unit_test(test_without_policy),
		cmocka_unit_test(test_attempts),
		cmocka_unit_test(test_reasons_in_order),
		cmocka_unit_test(test_backoff),
		cmocka_unit_test(test_deadline),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_names),
		cmocka_unit_test(test_retry_after_is_read),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_cut_dates),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
