/* SPDX-License-Identifier: Apache-2.0 */
/* Sec-WebSocket-Key and -Accept. */
#include "proxy/websocket.h"

#include "base/base64.h"
#include "net/tls.h"

static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"; /* RFC 6455 1.3 */

bool sn_websocket_is(struct sn_slice upgrade_to)
{
	return sn_slice_ieq(upgrade_to, SN_SLICE("websocket"));
}

static void encode(const void *p, size_t n, char *dst, size_t len)
{
	struct sn_buf b;

	sn_buf_init(&b, 0);
	sn_base64_encode(sn_slice(p, n), &b);
	if (sn_buf_len(&b) == len)
		memcpy(dst, sn_buf_slice(&b).p, len);
	else /* out of memory: a key that no answer fits */
		memset(dst, '=', len);
	sn_buf_done(&b);
}

void sn_websocket_new_key(struct sn_rng *rng, char key[SN_WEBSOCKET_KEY])
{
	uint64_t random[2] = {sn_rng_next(rng), sn_rng_next(rng)};

	encode(random, sizeof(random), key, SN_WEBSOCKET_KEY);
}

void sn_websocket_accept(const char key[SN_WEBSOCKET_KEY], char accept[SN_WEBSOCKET_ACCEPT])
{
	char text[SN_WEBSOCKET_KEY + sizeof(guid) - 1];
	uint8_t digest[20];

	memcpy(text, key, SN_WEBSOCKET_KEY);
	memcpy(text + SN_WEBSOCKET_KEY, guid, sizeof(guid) - 1);
	sn_tls_sha1(sn_slice(text, sizeof(text)), digest);
	encode(digest, sizeof(digest), accept, SN_WEBSOCKET_ACCEPT);
}
