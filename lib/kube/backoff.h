/* SPDX-License-Identifier: Apache-2.0 */
/* kube/backoff.h - how long to wait after the n-th failure in a row: 0.8 s, doubled up to 30 s,
 * +-20%. Pure. */
#ifndef SN_KUBE_BACKOFF_H
#define SN_KUBE_BACKOFF_H

#include <stdint.h>

#include "base/num.h"

/* @failures: 1 for the first. @at_least_ms: what the server asked for. */
uint64_t sn_backoff_ms(unsigned failures, uint64_t at_least_ms, struct sn_rng *rng);

#endif
