/* SPDX-License-Identifier: Apache-2.0 */
/* operator/signals - SIGTERM and SIGINT end the loop. */
#ifndef SN_OPERATOR_SIGNALS_H
#define SN_OPERATOR_SIGNALS_H

#include "net/loop.h"

struct sn_signals {
	struct sn_io io;
	struct sn_loop *loop;
};

/* Blocks both for the whole process (call before any thread is started) and ignores SIGPIPE. @s
 * must outlive the loop. Returns 0 or -1 with errno. */
int sn_signals_stop_loop(struct sn_signals *s, struct sn_loop *l);
void sn_signals_done(struct sn_signals *s);

#endif
