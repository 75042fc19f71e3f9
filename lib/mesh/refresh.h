/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/refresh.h - when to ask a source of endpoints again, and when to believe that there are
 * none. One state per service; pure: time and randomness are arguments. answer   again at its time
 * to live, 1 s to 5 min error    again after 1 s, doubled up to 30 s; says nothing about the
 * endpoints: they stay empty    again after 1 s, doubled up to 5 s; believed at the third in a row,
 * or when it has been so for 30 s. An error in between neither counts nor starts the count again.
 * All with a jitter of 10% either way, so that many do not ask at once. */
#ifndef SN_MESH_REFRESH_H
#define SN_MESH_REFRESH_H

#include <stdbool.h>
#include <stdint.h>

#include "base/num.h"

#define SN_REFRESH_MIN_MS 1000
#define SN_REFRESH_MAX_MS 300000
#define SN_REFRESH_EMPTY_TIMES 3
#define SN_REFRESH_EMPTY_MS 30000

/* Zeroed: nothing asked yet. */
struct sn_refresh {
	unsigned errors;	 /* in a row */
	unsigned empties;	 /* in a row */
	uint64_t empty_since_ms; /* the first of them */
};

/* The source has answered. Returns how long to wait, in ms. */
uint64_t sn_refresh_answer(struct sn_refresh *r, uint64_t ttl_ms, struct sn_rng *rng);
/* Nobody knows. Returns how long to wait, in ms. */
uint64_t sn_refresh_error(struct sn_refresh *r, struct sn_rng *rng);
/* The source says that there are none. *ret_believe: then there are none. Returns how long to
 * wait, in ms. */
uint64_t sn_refresh_empty(struct sn_refresh *r, uint64_t now_ms, struct sn_rng *rng,
			  bool *ret_believe);

#endif
