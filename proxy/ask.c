/* SPDX-License-Identifier: Apache-2.0 */
/* Two references: the asker's and the question's way through the worker's loop. */
#include "proxy/ask.h"

#include <time.h>

#include "base/err.h"
#include "proxy/worker.h"

void sn_ask_done(struct sn_ask *a)
{
	if (!sn_refcount_dec(&a->refs))
		return;
	pthread_mutex_destroy(&a->lock);
	pthread_cond_destroy(&a->cond);
	a->release(a);
}

static void on_worker(struct sn_task *t)
{
	struct sn_ask *a = sn_container_of(t, struct sn_ask, task);
	int rc = a->run(a->w, a);

	pthread_mutex_lock(&a->lock);
	a->rc = rc;
	a->answered = true;
	pthread_cond_signal(&a->cond);
	pthread_mutex_unlock(&a->lock);
	sn_ask_done(a);
}

int sn_ask(struct sn_worker *w, struct sn_ask *a)
{
	pthread_condattr_t attr;
	struct timespec until;
	int rc = 0;

	a->w = w;
	a->answered = false;
	sn_refcount_init(&a->refs);
	sn_refcount_inc(&a->refs);
	pthread_mutex_init(&a->lock, NULL);
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC); /* not what somebody sets */
	pthread_cond_init(&a->cond, &attr);
	pthread_condattr_destroy(&attr);
	clock_gettime(CLOCK_MONOTONIC, &until);
	until.tv_sec += 1;
	sn_loop_post(w->loop, &a->task, on_worker);
	pthread_mutex_lock(&a->lock);
	while (!a->answered && rc == 0)
		rc = pthread_cond_timedwait(&a->cond, &a->lock, &until);
	rc = a->answered ? a->rc : -SN_ETIMEOUT;
	pthread_mutex_unlock(&a->lock);
	return rc;
}
