/* SPDX-License-Identifier: Apache-2.0 */
/* Regular expressions: what is taken, what is refused and where, and that nothing takes long. */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <time.h>

#include "mesh/regex.h"

static struct sn_regex_scratch *scratch;

static int setup(void **state)
{
	(void)state;
	scratch = sn_regex_scratch_new();
	return scratch ? 0 : -1;
}

static int teardown(void **state)
{
	(void)state;
	sn_regex_scratch_free(scratch);
	return 0;
}

static int match(const char *pattern, struct sn_slice text)
{
	struct sn_regex *re = NULL;
	struct sn_err err = {0};
	int rc;

	if (sn_regex_new(sn_slice_cstr(pattern), &re, &err))
		fail_msg("%s: %s", pattern, err.msg);
	assert_int_equal(sn_regex_check(sn_slice_cstr(pattern), &err), 0);
	rc = sn_regex_match(re, text, scratch);
	sn_regex_free(re);
	return rc;
}

static void test_all_of_the_text(void **state)
{
	static const struct {
		const char *pattern, *text;
		int fits;
	} rows[] = {
		{"abc", "abc", 1},
		{"abc", "abcd", 0},
		{"abc", "xabc", 0},
		{"a|ab", "ab", 1},
		{"^abc$", "abc", 1},
		{"abc$", "abc\n", 0},
		{".*", "", 1},
		{"", "", 1},
		{"", "a", 0},
		{"a.c", "a\nc", 0},
		{"(?s)a.c", "a\nc", 1},
		{"(?i:a)b", "Ab", 1},
		{"(?i:a)b", "AB", 0},
		{"(?<v>\\d+)-(?P<w>\\w+)", "12-ab", 1},
		{"[[:alpha:]]+", "abc", 1},
		{"[]a]+", "]a", 1},
		{"[^]]+", "a]", 0},
		{"\\Qa(?=b\\E", "a(?=b", 1},
		{"\\Q(*x", "(*x", 1},
		{"[(?=]+", "(?=", 1},
		{"[\\](*]+", "](*", 1},
		{"\\(?a", "(a", 1},
		{"..", "\xc3\xa4", 1}, /* octets */
		{".", "\xc3\xa4", 0},
		{"\\x41\\.", "A.", 1},
		{"a++b?+", "aab", 1},
		{"a{2,3}", "aaaa", 0},
		{"\\bab\\b", "ab", 1},
	};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++)
		if (match(rows[i].pattern, sn_slice_cstr(rows[i].text)) != rows[i].fits)
			fail_msg("\"%s\" and \"%s\"", rows[i].pattern, rows[i].text);
	assert_int_equal(match("a.b", SN_SLICE("a\0b")), 1);
	assert_int_equal(match(".*", sn_slice(NULL, 0)), 1);
}

static void test_refused_with_the_place(void **state)
{
	static const struct {
		const char *pattern, *says;
	} rows[] = {
		{"a(b", "at offset 3: missing closing parenthesis"},
		{"ab)", "at offset "},
		{"*a", "at offset "},
		{"ab[c", "at offset "},
		{"a\\", "at offset "},
		{"a{3,2}", "at offset "},
		{"a(?=b)", "at offset 1: of what begins"},
		{"a(?!b)", "at offset 1: "},
		{"(?<=a)b", "at offset 0: "},
		{"(?<!a)b", "at offset 0: "},
		{"x(?>a)", "at offset 1: "},
		{"(?|a)", "at offset 0: "},
		{"(?#a)", "at offset 0: "},
		{"(?x)a #(", "at offset 0: "},
		{"(?R)", "at offset 0: "},
		{"(a)(?1)", "at offset 3: "},
		{"(?<n>a)(?P>n)", "at offset 7: "},
		{"(?<n>a)(?P=n)", "at offset 7: "},
		{"(?<n>a)(?&n)", "at offset 7: "},
		{"(a)(?(1)b)", "at offset 3: "},
		{"(?C1)a", "at offset 0: "},
		{"(a)\\1", "at offset 3: backreferences"},
		{"(a)\\g1", "at offset 3: backreferences"},
		{"(?<n>a)\\k<n>", "at offset 7: backreferences"},
		{"a\\Cb", "at offset 1: this escape"},
		{"a\\Kb", "at offset 1: this escape"},
		{"(*UTF)a", "at offset 0: verbs"},
		{"(*LIMIT_MATCH=9)a", "at offset 0: verbs"},
		{"a(*F)", "at offset 1: verbs"},
		{"[a](?=b)", "at offset 3: "},
		{"[[:alpha:]](?=b)", "at offset 11: "},
		{"\\Qx\\E(?=b)", "at offset 5: "},
		{"(((a{1,999}){1,999}){1,999}){1,999}", "too large"},
		{"\\pL\\p{Nothing}", "at offset "},
	};
	struct sn_err err;
	char text[SN_REGEX_PATTERN_MAX + 2];
	struct sn_regex *re = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
		err = (struct sn_err){0};
		if (sn_regex_check(sn_slice_cstr(rows[i].pattern), &err) != -SN_ECONF ||
		    !strstr(err.msg, rows[i].says))
			fail_msg("%s: %s", rows[i].pattern, err.msg);
		assert_int_equal(sn_regex_new(sn_slice_cstr(rows[i].pattern), &re, NULL),
				 -SN_ECONF);
		assert_null(re);
	}
	memset(text, 'a', sizeof(text));
	assert_int_equal(sn_regex_check(sn_slice(text, SN_REGEX_PATTERN_MAX), NULL), 0);
	assert_int_equal(sn_regex_check(sn_slice(text, SN_REGEX_PATTERN_MAX + 1), NULL), -SN_ECONF);
	memset(text, '(', sizeof(text)); /* nested too deep */
	memset(text + 500, ')', 500);
	assert_int_equal(sn_regex_check(sn_slice(text, 1000), &err), -SN_ECONF);
	assert_int_equal(sn_regex_check(SN_SLICE("a\0(?=b)"), NULL), -SN_ECONF);
}

static uint64_t cpu_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

/* Some of these take longer than the universe is old. The bound of the test is far above what is
 * promised: the machine may be busy and the build instrumented. */
static void test_what_explodes_is_given_up(void **state)
{
	static const char *const patterns[] = {
		"(a+)+$",
		"(a+)+b",
		"(a|a)*b",
		"(.*)(.*)(.*)(.*)(.*)x",
		"(.*a){20}b",
		".*?(?:a[^b]*+c)",
		"(?:a*+a*+a*+c|a)*b",
		"(((a*)*)*)*b",
		"^(([a-z])+.)+[A-Z]([a-z])+$",
		"(?:.*+z|.*+y|a|a)*b",
		"(a?){64}a{64}b",
		".*?.*?.*?.*?[^z]*+z",
	};
	static const size_t lengths[] = {30, 300, 3000, SN_REGEX_SUBJECT_MAX};
	static char text[SN_REGEX_SUBJECT_MAX + 1];
	size_t i, k, given_up = 0;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(patterns); i++)
		for (k = 0; k < SN_ARRAY_LEN(lengths); k++) {
			uint64_t began;
			int rc;

			memset(text, 'a', sizeof(text));
			memcpy(text + lengths[k] - 6, "bcxyz!", 6); /* what is looked for first */
			began = cpu_us();
			rc = match(patterns[i], sn_slice(text, lengths[k]));
			assert_true(rc == 0 || rc == -SN_ELIMIT);
			given_up += rc != 0;
			if (cpu_us() - began > 200000)
				fail_msg("%s took %llu us on %zu", patterns[i],
					 (unsigned long long)(cpu_us() - began), lengths[k]);
		}
	assert_true(given_up > 20);
	assert_int_equal(match(".*", sn_slice(text, SN_REGEX_SUBJECT_MAX)), 1);
	assert_int_equal(match(".*", sn_slice(text, SN_REGEX_SUBJECT_MAX + 1)), -SN_ELIMIT);
	/* And what is ordinary is not, however long. */
	memset(text, 'a', sizeof(text));
	memcpy(text + SN_REGEX_SUBJECT_MAX - 4, "/foo", 4);
	assert_int_equal(match("(?:[a-z]|[0-9])*/foo", sn_slice(text, SN_REGEX_SUBJECT_MAX)), 1);
	assert_int_equal(match(".*a.*/foo", sn_slice(text, SN_REGEX_SUBJECT_MAX)), 1);
	assert_int_equal(match(".*/bar|.*/fo+", sn_slice(text, SN_REGEX_SUBJECT_MAX)), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_all_of_the_text, setup, teardown),
		cmocka_unit_test_setup_teardown(test_refused_with_the_place, setup, teardown),
		cmocka_unit_test_setup_teardown(test_what_explodes_is_given_up, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
