/* SPDX-License-Identifier: Apache-2.0 */
/* Log lines: one line per message whatever a peer puts into it, valid JSON at any length. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include <fcntl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/json.h"
#include "base/log.h"

static int fds[2];
static char line[8192];

static int make_pipe(void **state)
{
	(void)state;
	return pipe2(fds, O_NONBLOCK | O_CLOEXEC);
}

static int close_pipe(void **state)
{
	(void)state;
	sn_log_init(STDERR_FILENO, SN_LOG_TEXT, SN_LOG_INFO);
	return close(fds[0]) | close(fds[1]);
}

/* What has been written since; "" if nothing. */
static const char *written(void)
{
	ssize_t n = read(fds[0], line, sizeof(line) - 1);

	line[n > 0 ? n : 0] = 0;
	return line;
}

/* The message of the one JSON line that was written. */
static const char *message(struct sn_arena *a)
{
	struct sn_err err = {0};
	struct sn_val *v;
	size_t n = strlen(written());

	assert_true(n > 1 && n <= 4096);
	assert_ptr_equal(strchr(line, '\n'), line + n - 1);
	if (sn_json_parse(a, line, n - 1, SN_JSON_REFUSE_DUPLICATES, &v, &err))
		fail_msg("%s: %s", err.msg, line);
	assert_string_equal(sn_val_str(sn_val_get(v, "component"), "-"), "test");
	return sn_val_str(sn_val_get(v, "msg"), NULL);
}

static void test_levels(void **state)
{
	static const char *const names[] = {"error", "warn", "info", "debug"};
	enum sn_log_level level = SN_LOG_DEBUG;

	(void)state;
	sn_log_init(fds[1], SN_LOG_TEXT, SN_LOG_WARN);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(sn_log_parse_level(names[i], &level), 0);
		assert_int_equal(level, i);
		assert_int_equal(sn_log_enabled(level), i <= SN_LOG_WARN);
		sn_log(level, "test", "hello");
		assert_int_equal(written()[0] != 0, i <= SN_LOG_WARN);
		assert_int_equal(strstr(line, names[i]) != NULL, i <= SN_LOG_WARN);
	}
	assert_int_equal(sn_log_parse_level("Error", &level), -SN_ESYNTAX);
	assert_int_equal(sn_log_parse_level("", &level), -SN_ESYNTAX);
	sn_log_set_level(SN_LOG_DEBUG);
	sn_debug("test", "now");
	assert_non_null(strstr(written(), "test: now\n"));
}

static void test_text_is_one_line(void **state)
{
	(void)state;
	sn_log_init(fds[1], SN_LOG_TEXT, SN_LOG_INFO);
	sn_info("test", "a\nb\r\033[31m\x7f\"\\%s", "\xff");
	assert_non_null(strstr(written(), "test: a\\x0ab\\x0d\\x1b[31m\\x7f\"\\\\xff\n"));
	assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void test_json(void **state)
{
	struct sn_arena a;

	(void)state;
	sn_arena_init(&a, 0, 0);
	sn_log_init(fds[1], SN_LOG_AUTO, SN_LOG_INFO); /* a pipe is not a terminal */
	sn_warn("test", "a\n\"b\"\\\x01 \xc3\xa9");
	assert_string_equal(message(&a), "a\n\"b\"\\\x01 \xc3\xa9");
	sn_warn("test", "bad \xc3(");
	assert_string_equal(message(&a), "bad \xc3\x83("); /* as if it were Latin-1 */
	sn_warn("test", "%s", "");
	assert_string_equal(message(&a), "");
	sn_arena_done(&a);
}

/* Every length up to past the limits, with characters of 1 to 4 octets and ones that are escaped:
 * the cut never falls into a character or an escape. */
static void test_long(void **state)
{
	static const char *const fill[] = {"a",	 "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80",
					   "\n", "\"",	     "\xff",	     "\x01\xc3\xa9"};
	static char text[6000];
	struct sn_arena a;

	(void)state;
	sn_arena_init(&a, 0, 0);
	sn_log_init(fds[1], SN_LOG_JSON, SN_LOG_INFO);
	for (size_t f = 0; f < SN_ARRAY_LEN(fill); f++)
		for (size_t n = 500; n < 2200; n += n < 2020 && n > 1000 ? 7 : 1) {
			size_t len = strlen(fill[f]), at = n % 8; /* the cut's phase */

			memset(text, 'a', at);
			while (at + len <= n) {
				memcpy(text + at, fill[f], len);
				at += len;
			}
			memset(text + at, '.', n - at);
			text[n] = 0;
			sn_info("test", "%s", text);
			assert_non_null(message(&a));
			sn_arena_reset(&a);
		}
	sn_arena_done(&a);
}

static void test_unwritable(void **state)
{
	char full[4096] = {0};

	(void)state;
	sn_log_init(fds[1], SN_LOG_JSON, SN_LOG_INFO);
	while (write(fds[1], full, sizeof(full)) > 0)
		;
	sn_info("test", "nobody reads"); /* neither waits nor fails */
	while (read(fds[0], full, sizeof(full)) > 0)
		assert_null(memchr(full, '{', sizeof(full)));
	sn_info("test", "again");
	assert_non_null(strstr(written(), "again"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_levels),	   cmocka_unit_test(test_text_is_one_line),
		cmocka_unit_test(test_json),	   cmocka_unit_test(test_long),
		cmocka_unit_test(test_unwritable),
	};

	return cmocka_run_group_tests(tests, make_pipe, close_pipe);
}
