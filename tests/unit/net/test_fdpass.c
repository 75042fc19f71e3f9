/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors from one process to another: what is bounded, what is refused, which files are
 * replaced. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "net/fdpass.h"

static char dir[32], path[64];
static int ends[2];
static struct sn_fdpass_message m;

static int begin(void **state)
{
	(void)state;
	memcpy(dir, "/tmp/fdpass-XXXXXX", sizeof("/tmp/fdpass-XXXXXX"));
	assert_non_null(mkdtemp(dir));
	snprintf(path, sizeof(path), "%s/sock", dir);
	assert_int_equal(
		socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends), 0);
	return 0;
}

static int end(void **state)
{
	(void)state;
	unlink(path);
	rmdir(dir);
	close(ends[0]);
	close(ends[1]);
	return 0;
}

static void test_a_message_with_descriptors(void **state)
{
	int p[2];
	char c = 'x';

	(void)state;
	assert_int_equal(pipe(p), 0);
	assert_int_equal(sn_fdpass_recv(ends[1], &m, true), -SN_EAGAIN);
	assert_int_equal(sn_fdpass_send(ends[0], SN_SLICE("two"), p, 2), 0);
	assert_int_equal(sn_fdpass_send(ends[0], SN_SLICE("none"), NULL, 0), 0);
	assert_int_equal(sn_fdpass_recv(ends[1], &m, true), 0);
	assert_string_equal(m.text, "two");
	assert_int_equal(m.n_fds, 2);
	assert_true(fcntl(m.fds[0], F_GETFD) & FD_CLOEXEC);
	assert_int_equal(write(m.fds[1], &c, 1), 1);
	c = 0;
	assert_int_equal(read(p[0], &c, 1), 1);
	assert_int_equal(c, 'x');
	close(m.fds[0]);
	close(m.fds[1]);
	assert_int_equal(sn_fdpass_recv(ends[1], &m, true), 0);
	assert_string_equal(m.text, "none");
	assert_int_equal(m.n_fds, 0);
	close(p[0]);
	close(p[1]);
	close(ends[0]);
	assert_int_equal(sn_fdpass_recv(ends[1], &m, true), -SN_EOF);
	assert_int_equal(sn_fdpass_send(ends[1], SN_SLICE("a"), NULL, 0), -SN_ECONN);
	ends[0] = -1;
}

static void test_bounds(void **state)
{
	static char big[SN_FDPASS_TEXT_MAX + 1];
	int fds[SN_FDPASS_FDS_MAX + 1], next, i;

	(void)state;
	memset(big, 'a', sizeof(big));
	for (i = 0; i <= SN_FDPASS_FDS_MAX; i++)
		fds[i] = 0;
	assert_int_equal(sn_fdpass_send(ends[0], sn_slice(big, sizeof(big)), NULL, 0), -SN_ETOOBIG);
	assert_int_equal(sn_fdpass_send(ends[0], SN_SLICE(""), NULL, 0), -SN_ETOOBIG);
	assert_int_equal(sn_fdpass_send(ends[0], SN_SLICE("a"), fds, SN_FDPASS_FDS_MAX + 1),
			 -SN_ETOOBIG);
	next = dup(0);
	close(next);
	/* who keeps to no bound */
	assert_int_equal(send(ends[0], big, sizeof(big), 0), sizeof(big));
	assert_int_equal(sn_fdpass_recv(ends[1], &m, true), -SN_EPROTO);
	assert_int_equal(
		sn_fdpass_send(ends[0], sn_slice(big, sizeof(big) - 1), fds, SN_FDPASS_FDS_MAX), 0);
	assert_int_equal(sn_fdpass_recv(ends[1], &m, true), 0);
	assert_int_equal(m.n, SN_FDPASS_TEXT_MAX);
	assert_int_equal(m.n_fds, SN_FDPASS_FDS_MAX);
	while (m.n_fds)
		close(m.fds[--m.n_fds]);
	/* descriptors that nobody asked for */
	assert_int_equal(sn_fdpass_send(ends[0], SN_SLICE("a"), fds, 3), 0);
	assert_int_equal(sn_fdpass_recv(ends[1], &m, false), 0);
	assert_int_equal(m.n_fds, 0);
	i = dup(0);
	assert_int_equal(i, next); /* none is left behind */
	close(i);
}

static void test_without_free_descriptors(void **state)
{
	struct rlimit old, low;
	int fds[4] = {0, 0, 0, 0}, next = dup(0);

	(void)state;
	close(next);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &old), 0);
	low = old;
	low.rlim_cur = (rlim_t)next + 2;
	assert_int_equal(sn_fdpass_send(ends[0], SN_SLICE("a"), fds, 4), 0);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
	assert_int_equal(sn_fdpass_recv(ends[1], &m, true), -SN_EPROTO);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &old), 0);
	assert_int_equal(dup(0), next); /* the two that came are closed */
	close(next);
}

static void test_listening(void **state)
{
	struct sn_err err = {0};
	struct stat st;
	int a, b, c, d;

	(void)state;
	assert_int_equal(sn_fdpass_connect(path, 1000, &err), -SN_ENOENT);
	umask(0);
	a = sn_fdpass_listen(path, &err);
	assert_true(a >= 0);
	assert_int_equal(umask(022), 0); /* as it was */
	assert_int_equal(lstat(path, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0600);
	assert_int_equal(sn_fdpass_listen(path, &err), -SN_EEXIST);
	assert_non_null(strstr(err.msg, "another process listens there"));
	c = sn_fdpass_accept(a, &err); /* that asked whether anybody is there */
	close(c);
	assert_int_equal(sn_fdpass_accept(a, &err), -SN_EAGAIN);
	b = sn_fdpass_connect(path, 50, &err);
	assert_true(b >= 0);
	c = sn_fdpass_accept(a, &err);
	assert_true(c >= 0);
	assert_int_equal(sn_fdpass_peer_pid(b), getpid());
	assert_int_equal(sn_fdpass_peer_pid(c), getpid());
	assert_int_equal(sn_fdpass_recv(b, &m, true), -SN_EAGAIN); /* after its time */
	close(a);
	assert_int_equal(sn_fdpass_connect(path, 1000, &err), -SN_ENOENT); /* stale */
	d = sn_fdpass_listen(path, &err);
	assert_true(d >= 0);
	close(b);
	close(c);
	close(d);
}

static void test_what_is_not_replaced(void **state)
{
	char long_path[200];
	struct sn_err err = {0};
	int fd = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);

	(void)state;
	close(fd);
	assert_int_equal(sn_fdpass_listen(path, &err), -SN_EEXIST);
	assert_non_null(strstr(err.msg, "no socket"));
	unlink(path);
	snprintf(long_path, sizeof(long_path), "%s/%0120d", dir, 0);
	assert_int_equal(sn_fdpass_listen(long_path, &err), -SN_ESYS);
	assert_non_null(strstr(err.msg, "at most 100 octets"));
	assert_int_equal(sn_fdpass_connect(long_path, 1, &err), -SN_ESYS);
	assert_int_equal(sn_fdpass_listen("/nowhere/at/all", &err), -SN_ESYS);
}

/* Only root can be two users. */
static void test_another_user(void **state)
{
	struct sn_err err = {0};
	int a, b;

	(void)state;
	if (geteuid() != 0)
		skip();
	a = sn_fdpass_listen(path, &err);
	assert_true(a >= 0);
	assert_int_equal(chmod(dir, 0777), 0);
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(sn_fdpass_connect(path, 1000, &err), -SN_ESYS); /* mode 0600 */
	assert_int_equal(err.os_errno, EACCES);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(chmod(path, 0777), 0); /* somebody opened it up */
	assert_int_equal(seteuid(65534), 0);
	assert_int_equal(sn_fdpass_connect(path, 1000, &err), -SN_EPROTO); /* the client sees it */
	b = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	{
		struct sockaddr_un at = {.sun_family = AF_UNIX};

		memcpy(at.sun_path, path, strlen(path));
		assert_int_equal(connect(b, (struct sockaddr *)&at, sizeof(at)), 0);
	}
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(sn_fdpass_accept(a, &err),
			 -SN_EPROTO); /* and so does the server: the probe */
	assert_int_equal(sn_fdpass_accept(a, &err), -SN_EPROTO);
	assert_non_null(strstr(err.msg, "user 65534"));
	close(a);
	close(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_a_message_with_descriptors, begin, end),
		cmocka_unit_test_setup_teardown(test_bounds, begin, end),
		cmocka_unit_test_setup_teardown(test_without_free_descriptors, begin, end),
		cmocka_unit_test_setup_teardown(test_listening, begin, end),
		cmocka_unit_test_setup_teardown(test_what_is_not_replaced, begin, end),
		cmocka_unit_test_setup_teardown(test_another_user, begin, end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
