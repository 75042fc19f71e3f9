/* SPDX-License-Identifier: Apache-2.0 */
/* A free list over a fixed array. Open pipes lie in front of it, since the last one given back is
 * the first one taken. */
#include "net/pipe.h"

#include <fcntl.h>
#include <unistd.h>

#include "net/fdshare.h"

void sn_pipes_init(struct sn_pipes *ps)
{
	size_t i;

	*ps = (struct sn_pipes){0};
	for (i = SN_PIPES_MAX; i-- > 0;) {
		ps->all[i] = (struct sn_pipe){.in = -1, .out = -1, .next = ps->free};
		ps->free = &ps->all[i];
	}
}

static void close_pipe(struct sn_pipe *p)
{
	if (p->in < 0)
		return;
	close(p->in);
	close(p->out);
	p->in = p->out = -1;
	p->bytes = 0;
}

static bool open_pipe(struct sn_pipe *p)
{
	int fd[2];

	if (pipe2(fd, O_NONBLOCK | O_CLOEXEC))
		return false;
	p->out = fd[0];
	p->in = fd[1];
	if (p->in >= sn_fd_share(SN_FD_ACCEPT)) { /* the numbers rise */
		close_pipe(p);
		return false;
	}
	/* A larger one means fewer calls; past the user's allowance it stays as it is. */
	(void)fcntl(p->in, F_SETPIPE_SZ, (int)SN_PIPE_BYTES);
	return true;
}

void sn_pipes_join(struct sn_pipes *ps)
{
	ps->n_users++;
}

void sn_pipes_leave(struct sn_pipes *ps)
{
	size_t i;

	if (--ps->n_users)
		return;
	for (i = 0; i < SN_PIPES_MAX; i++)
		close_pipe(&ps->all[i]);
}

struct sn_pipe *sn_pipes_get(struct sn_pipes *ps)
{
	struct sn_pipe *p = ps->free;

	if (!p || ps->useless || (p->in < 0 && !open_pipe(p)))
		return NULL;
	ps->free = p->next;
	return p;
}

void sn_pipes_put(struct sn_pipes *ps, struct sn_pipe *p)
{
	if (!p)
		return;
	if (p->bytes)
		close_pipe(p);
	p->next = ps->free;
	ps->free = p;
}
