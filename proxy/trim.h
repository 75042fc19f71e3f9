/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/trim.h - gives memory back to the system once a crowd has gone: the allocator keeps what
 * was in use at the peak, for ever. Connections count, and the requests in flight on them. One
 * look, a second after a connection has gone and few are left; a worker that is idle has no timer.
 * Pure but for the call at the end. */
#ifndef SN_PROXY_TRIM_H
#define SN_PROXY_TRIM_H

#include <stdbool.h>
#include <stdint.h>

#include "net/loop.h"

struct sn_trim {
	struct sn_loop *loop;
	struct sn_timer timer;
	uint32_t peak; /* of what is in use, since the last time */
	uint32_t now;
	uint32_t n_trims; /* so far */
};

void sn_trim_init(struct sn_trim *t, struct sn_loop *l);
/* So many are in use now. */
void sn_trim_note(struct sn_trim *t, uint32_t in_use);
/* The same where there can only be more. */
static inline void sn_trim_more(struct sn_trim *t, uint32_t in_use)
{
	if (in_use > t->peak)
		t->peak = in_use;
}
/* Memory was short: look at it once things are quiet, however few they are. */
void sn_trim_ask(struct sn_trim *t);
void sn_trim_done(struct sn_trim *t);

#endif
