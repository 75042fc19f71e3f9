/* SPDX-License-Identifier: Apache-2.0 */
/* Workers let go of a snapshot within a turn, requests when they end: most are free at the first
 * look, and for a stream of hours nobody looks each second. */
#include "proxy/retired.h"

#define FIRST_LOOK_MS 100
#define LAST_LOOK_MS 60000

static void look(struct sn_retired *r)
{
	struct sn_snapshot **at = &r->newest, *s;

	while ((s = *at) != NULL) {
		if (sn_refcount_is_one(&s->refs)) {
			*at = s->older_retired;
			sn_snapshot_unref(s);
		} else {
			at = &s->older_retired;
		}
	}
}

static void on_timer(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_retired *r = sn_container_of(t, struct sn_retired, timer);

	(void)now_ms;
	look(r);
	r->delay_ms = r->delay_ms * 2 < LAST_LOOK_MS ? r->delay_ms * 2 : LAST_LOOK_MS;
	if (r->newest)
		sn_loop_timer(r->loop, &r->timer, r->delay_ms);
}

void sn_retired_init(struct sn_retired *r, struct sn_loop *l)
{
	*r = (struct sn_retired){.loop = l};
	sn_timer_init(&r->timer, on_timer);
}

void sn_retired_add(struct sn_retired *r, struct sn_snapshot *s)
{
	look(r); /* where changes come faster than looks, each takes the one before it along */
	s->older_retired = r->newest;
	r->newest = sn_snapshot_ref(s);
	r->delay_ms = FIRST_LOOK_MS;
	sn_loop_timer(r->loop, &r->timer, r->delay_ms);
}

void sn_retired_done(struct sn_retired *r)
{
	struct sn_snapshot *s;

	sn_loop_timer_cancel(r->loop, &r->timer);
	while ((s = r->newest) != NULL) {
		r->newest = s->older_retired;
		sn_snapshot_unref(s);
	}
}
