/* SPDX-License-Identifier: Apache-2.0 */
/* base/base64.h - RFC 4648 base64 with padding, as Kubernetes writes bytes in JSON. */
#ifndef SN_BASE_BASE64_H
#define SN_BASE_BASE64_H

#include "base/buf.h"

/* Appends @s encoded. Returns 0, -SN_ENOMEM or -SN_ETOOBIG. */
int sn_base64_encode(struct sn_slice s, struct sn_buf *out);
/* Appends @s decoded. Strict: padding, alphabet, zero trailing bits, no white space; -SN_ESYNTAX
 * otherwise (then @out holds what came before). */
int sn_base64_decode(struct sn_slice s, struct sn_buf *out);

#endif
