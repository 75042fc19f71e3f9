/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream.h - a non-blocking byte stream over TCP (and later TLS), owned by one loop.
 * Embedded in its owner. One edge-triggered registration for its life: the owner reads until
 * SN_EAGAIN and writes until SN_EAGAIN, and is then told once. No buffering inside: nothing is
 * queued here, so backpressure is the owner's not reading. */
#ifndef SN_NET_STREAM_H
#define SN_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "net/addr.h"
#include "net/loop.h"

struct sn_stream;

enum sn_stream_event {
	SN_STREAM_CONNECTED = 1, /* once after sn_stream_connect */
	SN_STREAM_READABLE = 2,	 /* bytes or end of stream may be there */
	SN_STREAM_WRITABLE = 4,
	SN_STREAM_FAILED = 8, /* connect failed or timed out: s->error; close it */
};
/* @events: set of enum sn_stream_event. The owner may close the stream in it. */
typedef void (*sn_stream_cb)(struct sn_stream *s, unsigned events);

struct sn_stream {
	struct sn_io io;
	struct sn_loop *loop;
	sn_stream_cb cb;
	void *owner; /* the owner's, untouched here */
	struct sn_timer connect_timer;
	struct sn_addr peer;
	bool connecting;
	bool closed;
	bool read_eof;	    /* the peer's FIN has been read */
	bool write_shut;    /* our FIN has been sent */
	bool end_signalled; /* FIN or reset seen by epoll: a short read is not the last */
	bool may_read;	    /* since the last EAGAIN or short read an edge has come: try again */
	bool may_write;
	int error; /* errno of the failure */
	uint64_t rx_bytes, tx_bytes;
};

/* Adopts a connected, non-blocking @fd (sets TCP_NODELAY and keepalive) and registers it; @fd is
 * closed on failure. may_read and may_write start true. Returns 0 or -SN_ESYS. */
int sn_stream_open(struct sn_stream *s, struct sn_loop *l, int fd, const struct sn_addr *peer,
		   sn_stream_cb cb);
/* Starts connecting; CONNECTED or FAILED comes later, never from inside this call.
 * @timeout_ms: 0 = the kernel's. Returns 0, -SN_ELIMIT (descriptors), -SN_ESYS. */
int sn_stream_connect(struct sn_stream *s, struct sn_loop *l, const struct sn_addr *to,
		      uint64_t timeout_ms, sn_stream_cb cb);
/* > 0 bytes; 0 end of stream; -SN_EAGAIN; -SN_ECONN. A read shorter than @n clears may_read. */
ssize_t sn_stream_read(struct sn_stream *s, void *buf, size_t n);
/* > 0 bytes (may be fewer than given: may_write is then false); -SN_EAGAIN; -SN_ECONN. */
ssize_t sn_stream_writev(struct sn_stream *s, const struct iovec *iov, int n_iov);
/* Sends FIN; reading goes on. */
void sn_stream_shutdown_write(struct sn_stream *s);
/* Leaves the loop and closes; no callback afterwards. @reset: RST instead of FIN. Idempotent. The
 * memory stays the owner's, who frees it from the loop's deferred list. */
void sn_stream_close(struct sn_stream *s, bool reset);
/* True when an idle stream has bytes or an end waiting: it must not be used again. Costs one
 * recv(MSG_PEEK) only when an edge has come since the last read. */
bool sn_stream_is_stale(struct sn_stream *s);

#endif
