/* SPDX-License-Identifier: Apache-2.0 */
/* When to call malloc_trim: it costs milliseconds after a large crowd and nothing is gained after a
 * small one. */
#include "proxy/trim.h"

#include <malloc.h>

#include "base/str.h"

#define CROWD 256 /* fewer at the peak are not worth it */
#define QUIET_MS 1000

/* Few enough, compared with the peak, that most of what they used is free. */
static bool is_over(const struct sn_trim *t)
{
	return t->peak >= CROWD && t->now < t->peak / 4;
}

static void on_timer(struct sn_timer *timer, uint64_t now_ms)
{
	struct sn_trim *t = sn_container_of(timer, struct sn_trim, timer);

	(void)now_ms;
	malloc_trim(0);
	t->n_trims++;
	t->peak = t->now;
}

void sn_trim_init(struct sn_trim *t, struct sn_loop *l)
{
	*t = (struct sn_trim){.loop = l};
	sn_timer_init(&t->timer, on_timer);
}

void sn_trim_note(struct sn_trim *t, uint32_t in_use)
{
	t->now = in_use;
	if (in_use > t->peak)
		t->peak = in_use;
	else if (is_over(t)) /* pushed back as long as they go */
		sn_loop_timer(t->loop, &t->timer, QUIET_MS);
}

void sn_trim_ask(struct sn_trim *t)
{
	sn_loop_timer(t->loop, &t->timer, QUIET_MS);
}

void sn_trim_done(struct sn_trim *t)
{
	sn_loop_timer_cancel(t->loop, &t->timer);
}
