/* SPDX-License-Identifier: Apache-2.0 */
/* kube/watch.h - one resource type, listed and then watched, for ever: pages, bookmarks, 410 and
 * all.
 *
 *   LIST --page--> LIST ... --last page--> WATCH --end of its time--> WATCH
 *     ^ failed: backoff                      | 410, anywhere: LIST   | failed: backoff, WATCH
 */
#ifndef SN_KUBE_WATCH_H
#define SN_KUBE_WATCH_H

#include "base/val.h"
#include "kube/client.h"

struct sn_kube_watch;

struct sn_kube_watch_events {
	/* A list begins: what is not seen until list_end is gone. */
	void (*list_begin)(void *arg);
	/* @obj is gone after the call. @deleted: it was deleted. */
	void (*object)(void *arg, const struct sn_val *obj, bool deleted);
	void (*list_end)(void *arg);
};

struct sn_kube_watch_counters {
	uint64_t lists, watches, events, bookmarks, unknown, gone, failures, stalled;
};

/* @path: "/apis/sennit.dev/v1alpha1/meshroutes", with "?fieldSelector=..." if wanted; @name: for
 * messages; both borrowed for its life.
 * @watchdog_ms: silence after which a watch counts as dead (0: 90 s). */
struct sn_kube_watch *sn_kube_watch_new(struct sn_kube *k, struct sn_loop *l, const char *path,
					const char *name, uint64_t watchdog_ms,
					const struct sn_kube_watch_events *events, void *arg);
void sn_kube_watch_free(struct sn_kube_watch *w);
const struct sn_kube_watch_counters *sn_kube_watch_counters(const struct sn_kube_watch *w);
bool sn_kube_watch_synced(const struct sn_kube_watch *w); /* has listed once */

#endif
