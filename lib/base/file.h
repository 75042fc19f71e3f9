/* SPDX-License-Identifier: Apache-2.0 */
/* base/file.h - files, whole. */
#ifndef SN_BASE_FILE_H
#define SN_BASE_FILE_H

#include "base/buf.h"

/* Appends the content of the regular file at @path to @out, which is to have a ceiling: what a
 * directory or a pipe would say is not read. Blocks as reading does. Returns 0 or a negative errno:
 * -EINVAL for what is no regular file, -EFBIG for more than fits, and what open(2), fstat(2) and
 * read(2) say; then @out may hold a part of it. */
int sn_file_read(const char *path, struct sn_buf *out);

#endif
