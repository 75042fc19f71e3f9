/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/ask.h - a question from the control thread that a worker answers on its own thread, so that
 * nothing of a worker's is ever looked at from outside. */
#ifndef SN_PROXY_ASK_H
#define SN_PROXY_ASK_H

#include <pthread.h>

#include "base/ref.h"
#include "net/loop.h"

struct sn_worker;

/* The first member of what asks; allocated by malloc. */
struct sn_ask {
	/* On the worker's thread: answers into what surrounds @a. Returns 0 or a negative code. */
	int (*run)(struct sn_worker *w, struct sn_ask *a);
	/* Frees what surrounds it, on either thread: who asks may have given up. */
	void (*release)(struct sn_ask *a);
	struct sn_worker *w;
	struct sn_task task;
	struct sn_refcount refs;
	int rc;
	bool answered;
	pthread_mutex_t lock;
	pthread_cond_t cond;
};

/* Has @a answered by @w and waits for that, at most a second. Returns what run() did, or
 * -SN_ETIMEOUT. Whatever it returns, the answer is the caller's until sn_ask_done(). */
int sn_ask(struct sn_worker *w, struct sn_ask *a);
void sn_ask_done(struct sn_ask *a);

#endif
