/* SPDX-License-Identifier: Apache-2.0 */
/* A directory as the source, and as the target: what comes, changes, breaks and goes. */
#include "tests/unit/unit.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "operator/reconcile/files.h"
#include "operator/source/dir.h"

#define WEB                                                                                        \
	"kind: Service\nmetadata: {name: web, namespace: demo, annotations: "                      \
	"{sennit.dev/endpoints: "                                                                  \
	"'127.0.0.1:8081'}}\nspec: {ports: [{port: 80}]}\n"

struct fixture {
	char in[64], out[64];
	struct sn_clock_fake clock;
	struct sn_loop *loop;
	struct sn_index *idx;
	struct sn_dir_source *src;
	int n_changes;
};

static void changed(void *arg)
{
	((struct fixture *)arg)->n_changes++;
}

static void save(const char *dir, const char *name, const char *text)
{
	char path[160], tmp[200];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	snprintf(tmp, sizeof(tmp), "%s/.%s.new", dir, name);
	f = fopen(tmp, "w");
	assert_non_null(f);
	fputs(text, f);
	fclose(f);
	assert_int_equal(rename(tmp, path), 0);
}

static void drop(const char *dir, const char *name)
{
	char path[160];

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	assert_int_equal(unlink(path), 0);
}

static void begin(struct fixture *f)
{
	struct sn_err err = {0};

	memset(f, 0, sizeof(*f));
	snprintf(f->in, sizeof(f->in), "/tmp/sennit-in-XXXXXX");
	snprintf(f->out, sizeof(f->out), "/tmp/sennit-out-XXXXXX");
	assert_non_null(mkdtemp(f->in));
	assert_non_null(mkdtemp(f->out));
	sn_clock_fake_init(&f->clock, 1000000000u);
	f->loop = sn_loop_new(&f->clock.clock, &err);
	f->idx = sn_index_new();
	save(f->in, "web.yaml", WEB);
	f->src = sn_dir_source_new(f->loop, f->in, f->idx, changed, f, &err);
	assert_non_null(f->src);
}

static void empty(const char *dir)
{
	DIR *d = opendir(dir);
	struct dirent *e;
	char path[400];

	while (d && (e = readdir(d))) {
		if (e->d_name[0] == '.' && (!e->d_name[1] || e->d_name[1] == '.'))
			continue;
		snprintf(path, sizeof(path), "%s/%s", dir, e->d_name);
		if (unlink(path))
			empty(path);
	}
	if (d)
		closedir(d);
	rmdir(dir);
}

static void end(struct fixture *f)
{
	sn_dir_source_free(f->src);
	sn_index_free(f->idx);
	sn_loop_free(f->loop);
	empty(f->in);
	empty(f->out);
}

/* Turns until @n changes were told; our clock runs. */
static void until(struct fixture *f, int n)
{
	int i;

	for (i = 0; i < 2000 && f->n_changes < n; i++) {
		sn_clock_fake_advance_ms(&f->clock, 10);
		sn_loop_turn(f->loop, 1);
	}
	assert_int_equal(f->n_changes, n);
}

/* Past the poll, so that what would be noticed has been. */
static void settle(struct fixture *f)
{
	int i;

	for (i = 0; i < 700; i++) {
		sn_clock_fake_advance_ms(&f->clock, 10);
		sn_loop_turn(f->loop, 0);
	}
}

static void test_files_come_change_break_and_go(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	assert_int_equal(sn_index_count(f.idx, SN_KIND_SERVICE), 1); /* read before it returned */
	save(f.in, "more.yaml",
	     "kind: Service\nmetadata: {name: a, namespace: demo}\n---\n"
	     "kind: Service\nmetadata: {name: b, namespace: demo}\n");
	until(&f, 1);
	assert_int_equal(sn_index_count(f.idx, SN_KIND_SERVICE), 3);
	save(f.in, "more.yaml",
	     "kind: Service\nmetadata: {name: a, namespace: demo\n"); /* half written */
	settle(&f);
	assert_int_equal(f.n_changes, 1); /* what it held before stays */
	assert_int_equal(sn_index_count(f.idx, SN_KIND_SERVICE), 3);
	save(f.in, "more.yaml", "kind: Service\nmetadata: {name: a, namespace: demo}\n");
	until(&f, 2);
	assert_null(sn_index_find(f.idx, SN_KIND_SERVICE, "demo", "b"));
	drop(f.in, "more.yaml");
	until(&f, 3);
	assert_int_equal(sn_index_count(f.idx, SN_KIND_SERVICE), 1);
	end(&f);
}

static void test_what_is_not_looked_at(void **state)
{
	struct fixture f;

	(void)state;
	begin(&f);
	save(f.in, "notes.txt", "kind: Service\nmetadata: {name: a, namespace: demo}\n");
	save(f.in, ".hidden.yaml", "kind: Service\nmetadata: {name: a, namespace: demo}\n");
	save(f.in, "web.yaml", WEB); /* the same content */
	settle(&f);
	assert_int_equal(f.n_changes, 0);
	save(f.in, "other.yaml",
	     "kind: Deployment\nmetadata: {name: a}\n---\n7\n---\n---\nkind: Service\n");
	until(&f, 1); /* each of these is named in the log, none is taken */
	assert_int_equal(sn_index_count(f.idx, SN_KIND_SERVICE), 1);
	end(&f);
}

static void test_no_directory_is_an_error(void **state)
{
	struct sn_err err = {0};
	struct sn_loop *loop = sn_loop_new(NULL, &err);
	struct sn_index *idx = sn_index_new();

	(void)state;
	assert_null(sn_dir_source_new(loop, "/nonexistent", idx, changed, NULL, &err));
	assert_non_null(strstr(err.msg, "/nonexistent"));
	sn_index_free(idx);
	sn_loop_free(loop);
}

static void test_documents_are_written_only_on_change(void **state)
{
	struct sn_err err = {0};
	struct stat first, again;
	struct fixture f;
	char path[160];

	(void)state;
	begin(&f);
	save(f.in, "policy.yaml",
	     "kind: BackendPolicy\nmetadata: {name: p, namespace: demo}\n"
	     "spec: {targetRefs: [{kind: Service, name: web}]}\n");
	until(&f, 1);
	snprintf(path, sizeof(path), "%s/demo/routes-0.yaml", f.out);
	assert_int_equal(sn_reconcile_files(f.idx, f.out, &err), 0);
	assert_int_equal(stat(path, &first), 0);
	assert_int_equal(sn_reconcile_files(f.idx, f.out, &err), 0);
	assert_int_equal(stat(path, &again), 0);
	assert_int_equal(first.st_ino, again.st_ino);
	save(f.in, "bad.yaml", "kind: Service\nmetadata: {name: x, namespace: ../../etc}\n");
	until(&f, 2);
	assert_int_not_equal(sn_reconcile_files(f.idx, f.out, &err),
			     0); /* said, and the others written */
	assert_int_equal(stat(path, &again), 0);
	end(&f);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_files_come_change_break_and_go),
		cmocka_unit_test(test_what_is_not_looked_at),
		cmocka_unit_test(test_no_directory_is_an_error),
		cmocka_unit_test(test_documents_are_written_only_on_change),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
