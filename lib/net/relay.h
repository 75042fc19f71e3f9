/* SPDX-License-Identifier: Apache-2.0 */
/* net/relay.h - moves bytes both ways between two streams until both sides have finished.
 * Half-close: each FIN is passed on. A reset on one side resets the other.
 * Messages are copied, one read and one write each; bulk between plaintext streams is spliced.
 * Invariant: per direction at most one I/O buffer or one pipe (net/pipe.h) is held, and only while
 * there are bytes in it. */
#ifndef SN_NET_RELAY_H
#define SN_NET_RELAY_H

#include <stdbool.h>

#include "base/str.h"
#include "net/stream.h"

struct sn_relay;
/* @a_to_b, @b_to_a: bytes. @code: 0 = both ends finished, or -SN_ECONN, -SN_ETIMEOUT, -SN_ENOMEM.
 */
typedef void (*sn_relay_cb)(struct sn_relay *r, void *arg, int code, uint64_t a_to_b,
			    uint64_t b_to_a);

/* Takes over the callbacks of @a and @b (both open, same loop); the owner gets both back, still
 * open, when @cb runs, exactly once and never from inside this call, and must then close them.
 * @from_a: bytes already read from a, sent to b first (copied; at most SN_IOBUF_BYTES). @idle_ms: 0
 * = none. Returns NULL when out of memory, with nothing taken over. */
struct sn_relay *sn_relay_start(struct sn_stream *a, struct sn_stream *b, struct sn_slice from_a,
				uint64_t idle_ms, sn_relay_cb cb, void *arg);
/* Stops without callback (the owner closes the streams). */
void sn_relay_cancel(struct sn_relay *r);

#endif
