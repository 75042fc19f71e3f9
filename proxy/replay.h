/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/replay.h - what another try needs: the request's head and its body as far as they were
 * handed on, as long as that is little. A body with more, or with trailers, can be sent once. */
#ifndef SN_PROXY_REPLAY_H
#define SN_PROXY_REPLAY_H

#include <stdbool.h>
#include <sys/uio.h>

#include "base/buf.h"
#include "http/message.h"

struct sn_replay {
	struct sn_buf head;
	struct sn_buf body;
	bool lost;  /* something was handed on that is not here */
	bool whole; /* the body's end was handed on too */
};

void sn_replay_init(struct sn_replay *r);
void sn_replay_done(struct sn_replay *r);
/* Payload is being handed on. */
void sn_replay_keep(struct sn_replay *r, const struct iovec *iov, int n_iov, size_t limit_bytes);
/* Nothing more will be kept, and there is no way back. */
void sn_replay_lose(struct sn_replay *r);
/* The buffer in which *head lies is about to be used again: copies it, and *req, *hop (a
 * field of it that was taken out) and *head point
 * into the copy. Without memory for it the replay is lost. */
void sn_replay_keep_head(struct sn_replay *r, struct sn_request *req, struct sn_slice *hop,
			 struct sn_slice *head);

#endif
