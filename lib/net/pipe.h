/* SPDX-License-Identifier: Apache-2.0 */
/* net/pipe.h - the pipes through which splice(2) moves bulk bytes from socket to socket uncopied.
 * A loop has a few; they are opened when wanted, kept for reuse, and closed when the last user has
 * left, so that an idle loop holds no descriptor for them. Thread: the loop's. */
#ifndef SN_NET_PIPE_H
#define SN_NET_PIPE_H

#include <stdbool.h>
#include <stddef.h>

#define SN_PIPES_MAX 32			   /* a loop */
#define SN_PIPE_BYTES ((size_t)256 * 1024) /* that a pipe is filled with at most */

struct sn_pipe {
	int in, out;  /* -1: closed */
	size_t bytes; /* that lie in it; kept by who splices */
	struct sn_pipe *next;
};

struct sn_pipes {
	struct sn_pipe all[SN_PIPES_MAX];
	struct sn_pipe *free;
	unsigned n_users;
	bool useless; /* this kernel, or what guards it, refuses splice(2) */
};

void sn_pipes_init(struct sn_pipes *ps);
/* A user comes; none of its pipes is out when it leaves. The last one to leave closes them all. */
void sn_pipes_join(struct sn_pipes *ps);
void sn_pipes_leave(struct sn_pipes *ps);
/* An empty pipe; NULL when too many are in use, descriptors run out or splicing is useless: then
 * bytes are copied. */
struct sn_pipe *sn_pipes_get(struct sn_pipes *ps);
/* Gives it back; with bytes in it, they are lost. */
void sn_pipes_put(struct sn_pipes *ps, struct sn_pipe *p);

#endif
