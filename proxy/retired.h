/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/retired.h - snapshots that have been replaced. Taking one of thousands of routes apart
 * takes milliseconds, which no request shall wait for: the control thread keeps a reference to each
 * until all others are gone, so that the last one is never dropped by a worker. */
#ifndef SN_PROXY_RETIRED_H
#define SN_PROXY_RETIRED_H

#include "mesh/snapshot.h"
#include "net/loop.h"

struct sn_retired {
	struct sn_loop *loop;
	struct sn_timer timer;
	uint64_t delay_ms;	    /* grows while requests hold on to an old snapshot */
	struct sn_snapshot *newest; /* a list by older_retired */
};

void sn_retired_init(struct sn_retired *r, struct sn_loop *l);
/* Takes a reference of its own. */
void sn_retired_add(struct sn_retired *r, struct sn_snapshot *s);
/* Drops all references at once: nothing runs any more. */
void sn_retired_done(struct sn_retired *r);

#endif
