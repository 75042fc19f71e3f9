/* SPDX-License-Identifier: Apache-2.0 */
/* http/h2conn.h - an HTTP/2 session on a stream: reads what comes, writes once a turn all that the
 * turn produced. Embedded in its owner, who owns the stream too. */
#ifndef SN_HTTP_H2CONN_H
#define SN_HTTP_H2CONN_H

#include "http/h2.h"
#include "net/outq.h"
#include "net/stream.h"

struct sn_h2conn;
/* The connection is over: @code 0 in order, else negative. The owner closes the stream and calls
 * sn_h2conn_done. Called from the loop, never from inside a function below. */
typedef void (*sn_h2conn_dead_fn)(struct sn_h2conn *c, int code);

struct sn_h2conn {
	struct sn_stream *s;
	struct sn_h2 *h2;
	struct sn_buf *frames; /* scratch of the thread: frames on their way */
	struct sn_outq out;
	struct sn_task flush;
	struct sn_timer again; /* reads that another turn goes on with */
	sn_h2conn_dead_fn dead;
	void (*was_read)(struct sn_h2conn *c); /* the owner's, may be NULL: events have been told */
	int failed;			       /* feed has failed: write the GOAWAY, then dead */
};

/* @h2 is owned from now on. */
void sn_h2conn_init(struct sn_h2conn *c, struct sn_stream *s, struct sn_h2 *h2,
		    struct sn_buf *frames, sn_h2conn_dead_fn dead);
/* Frees the session (its streams' `closed` are called) and all else. Not from inside an event of
 * it. */
void sn_h2conn_done(struct sn_h2conn *c);
/* Bytes that were read before there was a session. Returns 0 or negative: dead follows. */
int sn_h2conn_feed(struct sn_h2conn *c, struct sn_slice in);
/* The stream's events. May call dead. */
void sn_h2conn_event(struct sn_h2conn *c, unsigned events);
/* Frames wait: they go out at the end of this turn. */
void sn_h2conn_kick(struct sn_h2conn *c);

#endif
