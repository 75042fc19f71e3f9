/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/clusters.h - where a worker's requests go, kept across snapshots: clusters, gates,
 * limiters, sets of endpoints that were discovered, and the peers of original destinations. They
 * are found by the functions of proxy/worker.h; here is when they come and go. Worker's thread. */
#ifndef SN_PROXY_CLUSTERS_H
#define SN_PROXY_CLUSTERS_H

struct sn_map_entry;
struct sn_worker;

#define SN_SERVICE_NAME 256 /* bytes, with NUL */

/* The service that an entry of w->clusters or w->limiters belongs to: their keys begin with its
 * name. Returns @dst. */
const char *sn_service_of(const struct sn_map_entry *e, char dst[SN_SERVICE_NAME]);

/* Nothing is there. Once, before all else. */
void sn_clusters_init(struct sn_worker *w);
/* w->snap is another one: what nothing in it leads to is let go, as far as nobody uses it. */
void sn_clusters_follow(struct sn_worker *w);
/* The worker is being freed, and nothing of it runs any more (w->ended). */
void sn_clusters_done(struct sn_worker *w);

#endif
