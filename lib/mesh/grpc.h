/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/grpc.h - what gRPC says in HTTP/2 terms (grpc/doc/PROTOCOL-HTTP2.md,
 * grpc/doc/http-grpc-status-mapping.md). Pure. */
#ifndef SN_MESH_GRPC_H
#define SN_MESH_GRPC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"

/* application/grpc, application/grpc+proto, application/grpc;... */
bool sn_grpc_is_type(struct sn_slice content_type);
/* "250m", "1S" ... in nanoseconds. Returns 0 or -SN_EPROTO. */
int sn_grpc_timeout_ns(struct sn_slice value, uint64_t *ret_ns);
/* The same backwards, at most 8 digits, never longer than @ns; @dst of 12 bytes. Returns the
 * length. */
size_t sn_grpc_timeout_format(uint64_t ns, char dst[12]);
/* "0".."16"; anything else is 2 (UNKNOWN). */
int sn_grpc_status(struct sn_slice value);
/* What a failure of ours is called: 503 -> 14 (UNAVAILABLE) ... */
int sn_grpc_status_of_http(unsigned status);
/* What HTTP calls a grpc-status, 1 to 16 (google/rpc/code.proto): 14 -> 503 ... */
unsigned sn_grpc_http_status(int grpc_status);

#endif
