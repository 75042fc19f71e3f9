/* SPDX-License-Identifier: Apache-2.0 */
/* Signals as a descriptor of the loop. */
#include "operator/signals.h"

#include <signal.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "base/str.h"

static void on_signal(struct sn_io *io, uint32_t events)
{
	struct sn_signals *s = sn_container_of(io, struct sn_signals, io);
	struct signalfd_siginfo si;

	(void)events;
	while (read(io->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		sn_loop_stop(s->loop);
}

int sn_signals_stop_loop(struct sn_signals *s, struct sn_loop *l)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	if (sigprocmask(SIG_BLOCK, &set, NULL) || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
		return -1;
	s->loop = l;
	s->io.cb = on_signal;
	s->io.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return s->io.fd < 0 ? -1 : sn_loop_add(l, &s->io, EPOLLIN, true);
}

void sn_signals_done(struct sn_signals *s)
{
	if (!s->loop || s->io.fd < 0)
		return;
	sn_loop_del(s->loop, &s->io);
	close(s->io.fd);
	s->io.fd = -1;
}
