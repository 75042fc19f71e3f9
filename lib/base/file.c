/* SPDX-License-Identifier: Apache-2.0 */
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define PIECE 65536

int sn_file_read(const char *path, struct sn_buf *out)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a pipe does not stop us */
	struct stat st;
	ssize_t n = 1;
	int rc = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		rc = -errno;
	else if (!S_ISREG(st.st_mode))
		rc = -EINVAL;
	while (rc == 0 && n > 0) {
		if (sn_buf_reserve(out, PIECE)) {
			rc = -EFBIG;
			break;
		}
		n = read(fd, out->data + out->end, PIECE);
		if (n > 0)
			out->end += (size_t)n;
		else if (n < 0)
			rc = -errno;
	}
	close(fd);
	return rc;
}
