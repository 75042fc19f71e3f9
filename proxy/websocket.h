/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/websocket.h - the handshake's key where one hop is HTTP/1 (RFC 6455 4) and the other one is
 * HTTP/2, which has none (RFC 8441 5): whoever speaks HTTP/1 makes or answers it. */
#ifndef SN_PROXY_WEBSOCKET_H
#define SN_PROXY_WEBSOCKET_H

#include <stdbool.h>

#include "base/num.h"
#include "base/str.h"

#define SN_WEBSOCKET_KEY 24    /* 16 octets in base64 */
#define SN_WEBSOCKET_ACCEPT 28 /* a SHA-1 in base64 */

bool sn_websocket_is(struct sn_slice upgrade_to);
void sn_websocket_new_key(struct sn_rng *rng, char key[SN_WEBSOCKET_KEY]);
/* What a server answers to @key. */
void sn_websocket_accept(const char key[SN_WEBSOCKET_KEY], char accept[SN_WEBSOCKET_ACCEPT]);

#endif
