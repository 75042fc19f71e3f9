/* SPDX-License-Identifier: Apache-2.0 */
/* The input goes through an unlinked temporary file's like: a memfd, so that neither side can block
 * the other. */
#include "init/run.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define OUTPUT_MAX 4096

static int input_fd(struct sn_slice input)
{
	int fd = memfd_create("rules", MFD_CLOEXEC);

	if (fd < 0)
		return -1;
	if (write(fd, input.p, input.n) != (ssize_t)input.n || lseek(fd, 0, SEEK_SET) < 0) {
		close(fd);
		return -1;
	}
	return fd;
}

static void read_output(int fd, struct sn_buf *output)
{
	char sink[1024];
	ssize_t n;

	while ((n = read(fd, sink, sizeof(sink))) > 0)
		if (sn_buf_len(output) + (size_t)n <= OUTPUT_MAX)
			sn_buf_append(output, sink, (size_t)n);
}

int sn_run(char *const argv[], struct sn_slice input, struct sn_buf *output, struct sn_err *err)
{
	int out[2], in = input_fd(input), status = 0;
	pid_t pid;

	if (in < 0 || pipe2(out, O_CLOEXEC)) {
		int e = errno;

		if (in >= 0)
			close(in);
		return sn_err_sys(err, e, "cannot run %s", argv[0]);
	}
	pid = fork();
	if (pid == 0) {
		dup2(in, 0);
		dup2(out[1], 1);
		dup2(out[1], 2);
		execvp(argv[0], argv);
		_exit(errno == ENOENT ? 127 : 126);
	}
	close(in);
	close(out[1]);
	if (pid < 0) {
		int e = errno;

		close(out[0]);
		return sn_err_sys(err, e, "cannot run %s", argv[0]);
	}
	read_output(out[0], output);
	close(out[0]);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
	}
	if (WIFEXITED(status))
		return WEXITSTATUS(status);
	return sn_err_set(err, SN_ESYS, "%s was ended by signal %d", argv[0], WTERMSIG(status));
}
