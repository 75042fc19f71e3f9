/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"

static char dir[] = "/tmp/test_file_XXXXXX";

static const char *in_dir(const char *name)
{
	static char path[64];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void make(const char *name, size_t n)
{
	FILE *f = fopen(in_dir(name), "w");

	assert_non_null(f);
	while (n--)
		assert_int_not_equal(fputc('a' + (int)(n % 26), f), EOF);
	assert_int_equal(fclose(f), 0);
}

static int set_up(void **state)
{
	(void)state;
	return mkdtemp(dir) ? 0 : -1;
}

static int tear_down(void **state)
{
	static const char *const names[] = {"empty", "small", "large", "pipe"};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(names); i++)
		(void)unlink(in_dir(names[i]));
	return rmdir(dir);
}

static void test_whole(void **state)
{
	struct sn_buf b;
	size_t i;

	(void)state;
	make("empty", 0);
	make("small", 3);
	make("large", 200000);
	sn_buf_init(&b, 1 << 20);
	assert_int_equal(sn_file_read(in_dir("empty"), &b), 0);
	assert_int_equal(sn_buf_len(&b), 0);
	assert_int_equal(sn_file_read(in_dir("small"), &b), 0);
	assert_true(sn_slice_eq_cstr(sn_buf_slice(&b), "cba"));
	assert_int_equal(sn_file_read(in_dir("large"), &b), 0); /* behind the other one */
	assert_int_equal(sn_buf_len(&b), 200003);
	for (i = 0; i < 200000; i++)
		assert_int_equal(sn_buf_slice(&b).p[3 + i], 'a' + (199999 - i) % 26);
	sn_buf_done(&b);
}

static void test_what_is_refused(void **state)
{
	struct sn_buf b;

	(void)state;
	sn_buf_init(&b, 150000);
	assert_int_equal(sn_file_read(in_dir("none"), &b), -ENOENT);
	assert_int_equal(sn_file_read(dir, &b), -EINVAL);
	assert_int_equal(mkfifo(in_dir("pipe"), 0600), 0);
	assert_int_equal(sn_file_read(in_dir("pipe"), &b), -EINVAL); /* and does not wait */
	assert_int_equal(sn_buf_len(&b), 0);
	make("large", 200000);
	assert_int_equal(sn_file_read(in_dir("large"), &b), -EFBIG);
	sn_buf_done(&b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_whole),
		cmocka_unit_test(test_what_is_refused),
	};

	return cmocka_run_group_tests(tests, set_up, tear_down);
}
