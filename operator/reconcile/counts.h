/* SPDX-License-Identifier: Apache-2.0 */
/* operator/reconcile/counts - what a controller tells about itself. */
#ifndef SN_OPERATOR_RECONCILE_COUNTS_H
#define SN_OPERATOR_RECONCILE_COUNTS_H

#include <stdint.h>

struct sn_reconcile_counts {
	uint64_t ok, errors;	       /* passes */
	uint64_t adds, retries, depth; /* of its queue */
};

#endif
