/* SPDX-License-Identifier: Apache-2.0 */
/* net/tls.h - TLS 1.2 and 1.3 over a socket that somebody else watches (OpenSSL inside). Used by
 * net/stream, which is what everybody else sees: a stream of plaintext.
 * struct sn_tls_ctx: certificate, key, client CAs; immutable, shared by threads. struct sn_tls: one
 * connection, of its loop's thread.
 * Invariant: what a write reports as written is in the kernel. At most one record per connection is
 * encrypted and not yet sent. Server role only. */
#ifndef SN_NET_TLS_H
#define SN_NET_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/err.h"
#include "base/str.h"
#include "net/loop.h"

struct sn_tls_ctx;
struct sn_tls;

/* PEM texts, and the files' names for messages. */
struct sn_tls_material {
	const char *certificate_file, *key_file;
	const char *client_ca_file;  /* NULL: clients are not asked for a certificate */
	struct sn_slice certificate; /* the server's own first, then intermediates */
	struct sn_slice key;
	struct sn_slice client_ca;
	bool http; /* ALPN: h2, http/1.1, and nothing else (RFC 7301 3.2). false: ALPN is ignored */
};
enum sn_tls_part { SN_TLS_CERTIFICATE, SN_TLS_KEY, SN_TLS_CLIENT_CA };

/* A server's context, with one reference; NULL with @err (it names the file and what to do) and
 * *ret_part, whose fault it is: SN_ECONF, SN_ENOMEM. */
struct sn_tls_ctx *sn_tls_ctx_new_server(const struct sn_tls_material *m,
					 enum sn_tls_part *ret_part, struct sn_err *err);
struct sn_tls_ctx *sn_tls_ctx_ref(struct sn_tls_ctx *ctx);
void sn_tls_ctx_unref(struct sn_tls_ctx *ctx); /* NULL is allowed */
/* True when it was made of the same texts: keeping it keeps the clients' session tickets. */
bool sn_tls_ctx_is_of(const struct sn_tls_ctx *ctx, const struct sn_tls_material *m);
/* What is odd about a certificate that works, such as that it has expired; NULL: nothing. Judged
 * when the context was made. */
const char *sn_tls_ctx_warning(const struct sn_tls_ctx *ctx);
/* End of the certificate's validity, seconds since 1970. */
int64_t sn_tls_ctx_not_after(const struct sn_tls_ctx *ctx);

/* The server's side of a connection on @fd (borrowed, non-blocking); takes a reference to @ctx.
 * NULL when out of memory. */
struct sn_tls *sn_tls_accept(struct sn_tls_ctx *ctx, struct sn_loop *l, int fd);
/* Ends and frees. @notify: with close_notify if the peer can still be told. */
void sn_tls_free(struct sn_tls *t, bool notify);

/* What epoll says of the socket, before anything else is called. @ended: FIN or reset: a short read
 * is not the last. */
void sn_tls_edge(struct sn_tls *t, bool readable, bool ended);
/* 0 done; -SN_EAGAIN after the next edge; -SN_ECONN, see sn_tls_failure(). */
int sn_tls_handshake(struct sn_tls *t);
/* "name: explanation" of a failed handshake, stable; NULL before. */
const char *sn_tls_failure(const struct sn_tls *t);
/* errno of what broke the connection, 0 when it is not broken. */
int sn_tls_errno(const struct sn_tls *t);
/* What ALPN settled on; empty without. Valid until sn_tls_free(). */
struct sn_slice sn_tls_alpn(const struct sn_tls *t);

/* SHA-1, for WebSocket's handshake only (RFC 6455 4.2.2): it protects nothing there. */
void sn_tls_sha1(struct sn_slice s, uint8_t ret_digest[20]);

/* > 0 bytes; 0 close_notify; -SN_EAGAIN; -SN_ECONN (a FIN without close_notify is one). */
ssize_t sn_tls_read(struct sn_tls *t, void *buf, size_t n);
/* True when bytes wait, or an edge has come that no read has used up. */
bool sn_tls_may_read(const struct sn_tls *t);
/* Without taking anything: true when bytes or an end wait. */
bool sn_tls_peek(struct sn_tls *t);
/* > 0 bytes; -SN_EAGAIN; -SN_ECONN. What was given before and not reported must come first again.
 * Small slices travel in one record. */
ssize_t sn_tls_writev(struct sn_tls *t, const struct iovec *iov, int n_iov);
/* Sends what is encrypted and waits: 0 none is left, -SN_EAGAIN, -SN_ECONN. */
int sn_tls_flush(struct sn_tls *t);
/* True while a write would not do anything. */
bool sn_tls_is_blocked(const struct sn_tls *t);
/* Sends close_notify; reading goes on. */
void sn_tls_shutdown_write(struct sn_tls *t);

#endif
