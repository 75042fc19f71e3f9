/* SPDX-License-Identifier: Apache-2.0 */
/* base/ref.h - reference counts that may be taken and dropped on different threads. */
#ifndef SN_BASE_REF_H
#define SN_BASE_REF_H

#include <stdatomic.h>
#include <stdbool.h>

struct sn_refcount {
	atomic_uint n;
};

static inline void sn_refcount_init(struct sn_refcount *r)
{
	atomic_init(&r->n, 1);
}

static inline void sn_refcount_inc(struct sn_refcount *r)
{
	atomic_fetch_add_explicit(&r->n, 1, memory_order_relaxed);
}

/* True when the last reference went: the caller then frees the object. */
static inline bool sn_refcount_dec(struct sn_refcount *r)
{
	/* Not a fence behind a release: thread sanitizers do not understand fences. */
	return atomic_fetch_sub_explicit(&r->n, 1, memory_order_acq_rel) == 1;
}

/* True when the caller's reference is the only one, and what others did with theirs is done. */
static inline bool sn_refcount_is_one(const struct sn_refcount *r)
{
	return atomic_load_explicit(&r->n, memory_order_acquire) == 1;
}

#endif
