/* SPDX-License-Identifier: Apache-2.0 */
/* net/stream.h - a non-blocking byte stream over TCP or TLS, owned by one loop.
 * Embedded in its owner. One edge-triggered registration for its life: the owner reads until
 * SN_EAGAIN and writes until SN_EAGAIN, and is then told once. No buffering inside (TLS: one record
 * each way), so backpressure is the owner's not reading. With TLS the owner sees plaintext and the
 * same rules; only the socket itself (io.fd) is nothing to read from or write to. */
#ifndef SN_NET_STREAM_H
#define SN_NET_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/str.h"
#include "net/addr.h"
#include "net/loop.h"

struct sn_pipe;
struct sn_stream;
struct sn_tls;
struct sn_tls_ctx;

enum sn_stream_event {
	SN_STREAM_CONNECTED = 1, /* once after sn_stream_connect or sn_stream_accept_tls */
	SN_STREAM_READABLE = 2,	 /* bytes or end of stream may be there */
	SN_STREAM_WRITABLE = 4,
	SN_STREAM_FAILED = 8, /* connect or handshake failed or timed out: s->error; close it */
	/* Broken: reset by the peer, or given up by the kernel. Comes with READABLE, whether or
	 * not the owner reads: what came before it can be read still, by who wants it. */
	SN_STREAM_RESET = 16,
};
/* @events: set of enum sn_stream_event. The owner may close the stream in it. */
typedef void (*sn_stream_cb)(struct sn_stream *s, unsigned events);

/* How many connections of somebody's were made, and how many of those have ended. */
struct sn_stream_count {
	uint64_t opened, closed;
};

struct sn_stream {
	struct sn_io io;
	struct sn_loop *loop;
	sn_stream_cb cb;
	void *owner;	    /* the owner's, untouched here */
	struct sn_tls *tls; /* NULL: plaintext */
	struct sn_timer connect_timer;
	struct sn_addr peer;
	bool connecting; /* or in the handshake */
	bool closed;
	bool read_eof;	    /* the peer's FIN has been read */
	bool write_shut;    /* our FIN has been sent */
	bool end_signalled; /* FIN or reset seen by epoll: a short read is not the last */
	bool reset;	    /* RESET was, or is about to be, told */
	bool may_read;	    /* since the last EAGAIN or short read an edge has come: try again */
	bool may_write;
	int error; /* errno of the failure */
	uint64_t rx_bytes, tx_bytes;
	/* Set behind sn_stream_connect: counts it once it is connected, and its close. Borrowed. */
	struct sn_stream_count *count;
	bool counted;
};

/* Adopts a connected, non-blocking @fd (sets TCP_NODELAY and keepalive) and registers it; @fd is
 * closed on failure. may_read and may_write start true. Returns 0 or -SN_ESYS. */
int sn_stream_open(struct sn_stream *s, struct sn_loop *l, int fd, const struct sn_addr *peer,
		   sn_stream_cb cb);
/* Starts connecting; CONNECTED or FAILED comes later, never from inside this call.
 * @timeout_ms: 0 = the kernel's. Returns 0, -SN_ELIMIT (no descriptor, see net/fdshare.h),
 * -SN_ESYS. */
int sn_stream_connect(struct sn_stream *s, struct sn_loop *l, const struct sn_addr *to,
		      uint64_t timeout_ms, sn_stream_cb cb);
/* Makes a stream that sn_stream_open() has just opened, and nobody has read from, the server's side
 * of TLS. CONNECTED|READABLE or FAILED comes later, never from inside this call; until then it can
 * neither be read nor written. @timeout_ms of the handshake: 0 = none. @ctx: a reference is taken.
 * Returns 0 or -SN_ENOMEM: the stream is still the owner's to close. */
int sn_stream_accept_tls(struct sn_stream *s, struct sn_tls_ctx *ctx, uint64_t timeout_ms);
/* What the handshake's ALPN settled on ("h2"); empty without, and for plaintext. Valid until the
 * stream is closed. */
struct sn_slice sn_stream_alpn(const struct sn_stream *s);
/* Why FAILED came: the errno's text, or for TLS a stable "name: explanation". */
const char *sn_stream_failure(const struct sn_stream *s);
/* > 0 bytes; 0 end of stream; -SN_EAGAIN; -SN_ECONN (TLS: also a FIN without close_notify). A
 * read shorter than @n clears may_read, unless more is there already. */
ssize_t sn_stream_read(struct sn_stream *s, void *buf, size_t n);
/* > 0 bytes (may be fewer than given: may_write is then false); -SN_EAGAIN; -SN_ECONN. What was not
 * taken comes first in the next call. */
ssize_t sn_stream_writev(struct sn_stream *s, const struct iovec *iov, int n_iov);
/* Moves bytes from the socket into the empty @p, uncopied, and from @p to the socket: at most
 * SN_PIPE_BYTES in, and as many as it takes out. p->bytes follows. Plaintext only. Results as of
 * reading and writing, and may_read and may_write end with -SN_EAGAIN alone: a short count says
 * nothing. -SN_ESTATE: splice(2) is refused here, read instead. SIGPIPE must be ignored. */
ssize_t sn_stream_splice_in(struct sn_stream *s, struct sn_pipe *p);
ssize_t sn_stream_splice_out(struct sn_stream *s, struct sn_pipe *p);
/* Sends FIN (TLS: behind close_notify); reading goes on. */
void sn_stream_shutdown_write(struct sn_stream *s);
/* TLS: a record waits for room in the socket; it goes out by itself. */
bool sn_stream_has_unsent(const struct sn_stream *s);
/* Leaves the loop and closes; no callback afterwards. @reset: RST instead of FIN (TLS: and nothing
 * else; FIN comes behind close_notify, if that fits into the socket). Idempotent. The
 * memory stays the owner's, who frees it from the loop's deferred list. */
void sn_stream_close(struct sn_stream *s, bool reset);
/* True when an idle stream has bytes or an end waiting: it must not be used again. Costs one
 * recv(MSG_PEEK) (TLS: a read of the next record) only when an edge has come since the last read.
 */
bool sn_stream_is_stale(struct sn_stream *s);

#endif
