/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/watch.h - tells when a file may have changed: look then, and compare. */
#ifndef SN_PROXY_WATCH_H
#define SN_PROXY_WATCH_H

#include <stdbool.h>

#include "net/loop.h"

struct sn_watch;
typedef void (*sn_watch_cb)(void *arg);

/* @cb is called on the loop, once for all events within 20 ms. NULL, after a log line, when files
 * cannot be watched. */
struct sn_watch *sn_watch_new(struct sn_loop *loop, sn_watch_cb cb, void *arg);
/* The directory @path, what links in it lead to, and every 5 s in case nothing tells. */
void sn_watch_dir(struct sn_watch *w, const char *path);
/* The file @path (which need not be there), also where a link leads. Again is nothing. */
void sn_watch_file(struct sn_watch *w, const char *path);
void sn_watch_free(struct sn_watch *w); /* NULL allowed */

#endif
