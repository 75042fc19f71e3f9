/* SPDX-License-Identifier: Apache-2.0 */
/* OpenSSL over a socket of our own loop.
 *
 * A BIO of ours lies below. Reading, it knows from the edges and from short reads whether the
 * socket has anything, and does not ask the kernel when it has not. Writing, it takes everything:
 * what the socket does not take is kept in `out`. So OpenSSL never wants to write: a read never
 * waits for a write (key updates, alerts, tickets), and no call has to be repeated with the same
 * arguments. The bytes of a record that is kept are reported as written only when it has left. */
#include "net/tls.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "base/hash.h"
#include "base/ref.h"

#define RECORD_MAX 16384
#define OUT_MAX                                                                                    \
	((size_t)64 * 1024) /* one record, and what a peer can make us say without reading */
#define TICKET_SECONDS 3600
#define CA_DEPTH 4
#define CHATTER_MAX                                                                                \
	32 /* handshake messages (key updates) without data between them, as BoringSSL */

struct sn_tls_ctx {
	struct sn_refcount refs;
	SSL_CTX *ssl;
	BIO_METHOD *bio;
	int64_t not_before, not_after;
	char hash[SN_HASH_HEX]; /* of the material */
	char warning[96];
};

struct sn_tls {
	SSL *ssl;
	struct sn_tls_ctx *ctx;
	struct sn_loop *loop;
	const char *failure;
	char *out; /* encrypted and not sent: [start, end) */
	uint32_t start, end, cap;
	uint32_t taken; /* plaintext in `out` that no write has reported yet */
	uint32_t chatter;
	int fd;
	int os_errno;
	bool shaken;   /* the handshake is over */
	bool readable; /* since the socket's last EAGAIN or short read an edge has come */
	bool ended;
	bool fin;	  /* the socket's end has been read */
	bool write_waits; /* for the rest of a message that has come in part (a key update) */
	bool broken;	  /* no more calls of OpenSSL */
};

/* --- the BIO ------------------------------------------------------------------------------------
 */

static int bio_read(BIO *b, char *buf, int n)
{
	struct sn_tls *t = BIO_get_data(b);
	ssize_t got;

	BIO_clear_retry_flags(b);
	if (!t->readable) {
		BIO_set_retry_read(b);
		return -1;
	}
	do {
		got = recv(t->fd, buf, (size_t)n, 0);
	} while (got < 0 && errno == EINTR);
	if (got > 0) {
		if (got < n && !t->ended)
			t->readable = false;
		return (int)got;
	}
	if (got == 0) {
		t->fin = true;
		return 0;
	}
	if (errno == EAGAIN || errno == EWOULDBLOCK) {
		t->readable = false;
		BIO_set_retry_read(b);
	} else {
		t->os_errno = errno;
	}
	return -1;
}

/* Returns how much the socket took, or -1. */
static ssize_t send_some(struct sn_tls *t, const char *p, size_t n)
{
	ssize_t put;

	do {
		put = send(t->fd, p, n, MSG_NOSIGNAL);
	} while (put < 0 && errno == EINTR);
	if (put >= 0)
		return put;
	if (errno == EAGAIN || errno == EWOULDBLOCK)
		return 0;
	t->os_errno = errno;
	return -1;
}

static int keep(struct sn_tls *t, const char *p, size_t n)
{
	size_t len = t->end - t->start, cap = t->cap ? t->cap : 2048;
	char *out;

	if (len + n > OUT_MAX)
		return -SN_ETOOBIG;
	if (t->start) {
		memmove(t->out, t->out + t->start, len);
		t->start = 0;
		t->end = (uint32_t)len;
	}
	while (cap < len + n)
		cap *= 2;
	if (cap > t->cap) {
		out = realloc(t->out, cap);
		if (!out)
			return -SN_ENOMEM;
		t->out = out;
		t->cap = (uint32_t)cap;
	}
	memcpy(t->out + t->end, p, n);
	t->end += (uint32_t)n;
	return 0;
}

static int bio_write(BIO *b, const char *p, int n)
{
	struct sn_tls *t = BIO_get_data(b);
	ssize_t put = 0;

	BIO_clear_retry_flags(b);
	if (n <= 0)
		return 0;
	if (t->end == t->start)
		put = send_some(t, p, (size_t)n);
	if (put < 0)
		return -1;
	if (put < n && keep(t, p + put, (size_t)(n - put))) {
		t->os_errno = ENOBUFS;
		return -1;
	}
	return n;
}

static long bio_ctrl(BIO *b, int cmd, long num, void *ptr)
{
	struct sn_tls *t = BIO_get_data(b);

	(void)num;
	(void)ptr;
	if (cmd == BIO_CTRL_EOF)
		return t->fin;
	return cmd == BIO_CTRL_FLUSH || cmd == BIO_CTRL_DUP;
}

static BIO_METHOD *new_method(void)
{
	BIO_METHOD *m = BIO_meth_new(BIO_TYPE_SOURCE_SINK, "sennit socket");

	if (!m || !BIO_meth_set_read(m, bio_read) || !BIO_meth_set_write(m, bio_write) ||
	    !BIO_meth_set_ctrl(m, bio_ctrl)) {
		BIO_meth_free(m);
		return NULL;
	}
	return m;
}

/* --- contexts -----------------------------------------------------------------------------------
 */

/* OpenSSL's own reason behind ours; leaves its queue empty. */
static void explain(struct sn_err *err, const char *file, const char *what)
{
	const char *reason = ERR_reason_error_string(ERR_peek_last_error());

	sn_err_set(err, SN_ECONF, "%s: %s%s%s%s", file, what, reason ? " (" : "",
		   reason ? reason : "", reason ? ")" : "");
	ERR_clear_error();
}

static X509 *next_certificate(BIO *b)
{
	return PEM_read_bio_X509(b, NULL, NULL, NULL);
}

/* The end of the file, and not a certificate that cannot be read. */
static bool at_pem_end(void)
{
	unsigned long e = ERR_peek_last_error();
	bool end = ERR_GET_LIB(e) == ERR_LIB_PEM && ERR_GET_REASON(e) == PEM_R_NO_START_LINE;

	if (end)
		ERR_clear_error();
	return end;
}

static int64_t seconds_of(const ASN1_TIME *at)
{
	struct tm tm;

	return at && ASN1_TIME_to_tm(at, &tm) ? (int64_t)timegm(&tm) : 0;
}

static void judge_validity(struct sn_tls_ctx *c)
{
	int64_t now = (int64_t)time(NULL);
	bool expired = now > c->not_after;
	time_t at = (time_t)(expired ? c->not_after : c->not_before);
	struct tm tm;
	char day[32];

	if (!expired && now >= c->not_before)
		return;
	gmtime_r(&at, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d %H:%M:%S UTC", &tm);
	snprintf(c->warning, sizeof(c->warning), "the certificate %s %s",
		 expired ? "has expired on" : "is not valid before", day);
}

static int use_certificate(struct sn_tls_ctx *c, const struct sn_tls_material *m,
			   struct sn_err *err)
{
	BIO *b = BIO_new_mem_buf(m->certificate.p, (int)m->certificate.n);
	X509 *x = b ? next_certificate(b) : NULL;
	int rc = 0;

	if (!x) {
		explain(err, m->certificate_file,
			"no PEM certificate in it; it begins with -----BEGIN CERTIFICATE-----");
		rc = -SN_ECONF;
	} else if (SSL_CTX_use_certificate(c->ssl, x) != 1) {
		explain(err, m->certificate_file, "the certificate cannot be used");
		rc = -SN_ECONF;
	} else {
		c->not_before = seconds_of(X509_get0_notBefore(x));
		c->not_after = seconds_of(X509_get0_notAfter(x));
		judge_validity(c);
	}
	X509_free(x);
	while (rc == 0 && (x = next_certificate(b)))
		if (SSL_CTX_add0_chain_cert(c->ssl, x) != 1) {
			X509_free(x);
			break;
		}
	if (rc == 0 && !at_pem_end()) {
		explain(err, m->certificate_file,
			"a certificate behind the first one cannot be read");
		rc = -SN_ECONF;
	}
	BIO_free(b);
	return rc;
}

static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	*(bool *)arg = true;
	return -1; /* else OpenSSL asks on the terminal */
}

static int use_key(struct sn_tls_ctx *c, const struct sn_tls_material *m, struct sn_err *err)
{
	BIO *b = BIO_new_mem_buf(m->key.p, (int)m->key.n);
	bool asked = false;
	EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, &asked) : NULL;
	int rc = -SN_ECONF;

	if (asked)
		sn_err_set(err, SN_ECONF,
			   "%s: the key is encrypted; store it without a passphrase (openssl pkey)",
			   m->key_file);
	else if (!k)
		explain(err, m->key_file, "no PEM private key in it");
	else if (X509_check_private_key(SSL_CTX_get0_certificate(c->ssl), k) != 1)
		sn_err_set(err, SN_ECONF,
			   "%s: the key does not belong to the certificate in %s; both must come "
			   "from the same request",
			   m->key_file, m->certificate_file);
	else if (SSL_CTX_use_PrivateKey(c->ssl, k) != 1)
		explain(err, m->key_file, "the key cannot be used");
	else
		rc = 0;
	ERR_clear_error();
	EVP_PKEY_free(k);
	BIO_free(b);
	return rc;
}

/* Clients must show a certificate that one of these has signed. Their sessions are not resumed:
 * each connection is verified anew. */
static int use_client_ca(struct sn_tls_ctx *c, const struct sn_tls_material *m, struct sn_err *err)
{
	BIO *b = BIO_new_mem_buf(m->client_ca.p, (int)m->client_ca.n);
	X509_STORE *store = SSL_CTX_get_cert_store(c->ssl);
	int n = 0;
	X509 *x;

	while (b && (x = next_certificate(b))) {
		bool ok =
			X509_STORE_add_cert(store, x) == 1 && SSL_CTX_add_client_CA(c->ssl, x) == 1;

		X509_free(x);
		if (!ok)
			break;
		n++;
	}
	BIO_free(b);
	if (n == 0 || !at_pem_end()) {
		explain(err, m->client_ca_file, "not a list of PEM certificates");
		return -SN_ECONF;
	}
	SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	SSL_CTX_set_verify_depth(c->ssl, CA_DEPTH);
	SSL_CTX_set_options(c->ssl, SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(c->ssl, 0);
	return 0;
}

static int select_alpn(SSL *ssl, const unsigned char **out, unsigned char *out_len,
		       const unsigned char *in, unsigned in_len, void *arg)
{
	static const unsigned char ours[] = "\x02h2\x08http/1.1";

	(void)ssl;
	(void)arg;
	if (SSL_select_next_proto((unsigned char **)out, out_len, ours, sizeof(ours) - 1, in,
				  in_len) != OPENSSL_NPN_NEGOTIATED)
		return SSL_TLSEXT_ERR_ALERT_FATAL;
	return SSL_TLSEXT_ERR_OK;
}

/* Messages that bring no data cost us more than the peer: they are counted. */
static void on_message(int write_p, int version, int type, const void *buf, size_t n, SSL *ssl,
		       void *arg)
{
	struct sn_tls *t = arg;

	(void)version;
	(void)buf;
	(void)n;
	(void)ssl;
	if (!write_p && type == SSL3_RT_HANDSHAKE && t->shaken)
		t->chatter++;
}

static bool configure(SSL_CTX *s, bool http)
{
	SSL_CTX_set_options(s, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION |
				       SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
#ifdef SSL_OP_NO_RX_CERTIFICATE_COMPRESSION /* OpenSSL 3.2 */
	SSL_CTX_set_options(s, SSL_OP_NO_RX_CERTIFICATE_COMPRESSION |
				       SSL_OP_NO_TX_CERTIFICATE_COMPRESSION);
#endif
	SSL_CTX_set_mode(s, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
				    SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_NO_AUTO_CHAIN);
	SSL_CTX_clear_mode(s, SSL_MODE_AUTO_RETRY); /* else a stream of them never lets go of us */
	SSL_CTX_set_msg_callback(s, on_message);
	SSL_CTX_set_read_ahead(s, 1);
	/* Tickets only: a cache would be a table under a lock that all workers share. */
	SSL_CTX_set_session_cache_mode(s, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_timeout(s, TICKET_SECONDS);
	SSL_CTX_set_max_early_data(s, 0);
	if (http)
		SSL_CTX_set_alpn_select_cb(s, select_alpn, NULL);
	return SSL_CTX_set_min_proto_version(s, TLS1_2_VERSION) == 1 &&
	       SSL_CTX_set_num_tickets(s, 1) == 1 &&
	       SSL_CTX_set_cipher_list(s, "ECDHE+AESGCM:ECDHE+CHACHA20") == 1;
}

static void hash_material(const struct sn_tls_material *m, char hex[SN_HASH_HEX])
{
	const struct sn_slice parts[] = {m->certificate, m->key, m->client_ca};
	char all[3 * SN_HASH_HEX + 2];
	size_t i;

	memset(all, 0, sizeof(all));
	for (i = 0; i < SN_ARRAY_LEN(parts); i++)
		sn_hash_content(parts[i].p ? parts[i].p : "", parts[i].n, all + i * SN_HASH_HEX);
	all[sizeof(all) - 2] = m->http;
	all[sizeof(all) - 1] = m->client_ca_file != NULL;
	sn_hash_content(all, sizeof(all), hex);
}

struct sn_tls_ctx *sn_tls_ctx_new_server(const struct sn_tls_material *m,
					 enum sn_tls_part *ret_part, struct sn_err *err)
{
	struct sn_tls_ctx *c = calloc(1, sizeof(*c));
	int rc;

	*ret_part = SN_TLS_CERTIFICATE;
	/* The document is our configuration, not a file or variable of the system's OpenSSL. */
	if (!c || !OPENSSL_init_ssl(OPENSSL_INIT_NO_LOAD_CONFIG, NULL) ||
	    !(c->ssl = SSL_CTX_new(TLS_server_method())) || !(c->bio = new_method()) ||
	    !configure(c->ssl, m->http)) {
		explain(err, m->certificate_file, "no TLS context can be made");
		goto fail;
	}
	sn_refcount_init(&c->refs);
	hash_material(m, c->hash);
	rc = use_certificate(c, m, err);
	if (rc == 0) {
		*ret_part = SN_TLS_KEY;
		rc = use_key(c, m, err);
	}
	if (rc == 0 && m->client_ca_file) {
		*ret_part = SN_TLS_CLIENT_CA;
		rc = use_client_ca(c, m, err);
	}
	if (rc == 0)
		return c;
fail:
	if (c) {
		SSL_CTX_free(c->ssl);
		BIO_meth_free(c->bio);
	}
	free(c);
	return NULL;
}

struct sn_tls_ctx *sn_tls_ctx_ref(struct sn_tls_ctx *ctx)
{
	sn_refcount_inc(&ctx->refs);
	return ctx;
}

void sn_tls_ctx_unref(struct sn_tls_ctx *ctx)
{
	if (!ctx || !sn_refcount_dec(&ctx->refs))
		return;
	SSL_CTX_free(ctx->ssl);
	BIO_meth_free(ctx->bio);
	free(ctx);
}

bool sn_tls_ctx_is_of(const struct sn_tls_ctx *ctx, const struct sn_tls_material *m)
{
	char hash[SN_HASH_HEX];

	hash_material(m, hash);
	return strcmp(hash, ctx->hash) == 0;
}

const char *sn_tls_ctx_warning(const struct sn_tls_ctx *ctx)
{
	return ctx->warning[0] ? ctx->warning : NULL;
}

int64_t sn_tls_ctx_not_after(const struct sn_tls_ctx *ctx)
{
	return ctx->not_after;
}

/* --- one connection -----------------------------------------------------------------------------
 */

/* SSL_get_error() looks at the thread's queue, so a call begins with an empty one: which it is,
 * since whoever fails empties it. Looking costs a tenth of emptying. */
static void clean_queue(void)
{
	if (ERR_peek_error())
		ERR_clear_error();
}

struct sn_tls *sn_tls_accept(struct sn_tls_ctx *ctx, struct sn_loop *l, int fd)
{
	struct sn_tls *t = calloc(1, sizeof(*t));
	BIO *b = BIO_new(ctx->bio);

	if (t)
		t->ssl = SSL_new(ctx->ssl);
	if (!t || !b || !t->ssl) {
		ERR_clear_error();
		BIO_free(b);
		if (t)
			SSL_free(t->ssl);
		free(t);
		return NULL;
	}
	t->ctx = sn_tls_ctx_ref(ctx);
	t->loop = l;
	t->fd = fd;
	BIO_set_data(b, t);
	BIO_set_init(b, 1);
	SSL_set_bio(t->ssl, b, b);
	SSL_set_msg_callback_arg(t->ssl, t);
	SSL_set_accept_state(t->ssl);
	return t;
}

void sn_tls_free(struct sn_tls *t, bool notify)
{
	if (!t)
		return;
	if (notify)
		sn_tls_shutdown_write(t);
	/* There is no cache from which a session would have to be removed, under a lock. */
	SSL_set_shutdown(t->ssl, SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
	SSL_free(t->ssl);
	clean_queue();
	sn_tls_ctx_unref(t->ctx);
	free(t->out);
	free(t);
}

void sn_tls_edge(struct sn_tls *t, bool readable, bool ended)
{
	t->readable |= readable;
	t->ended |= ended;
	if (readable)
		t->write_waits = false;
}

/* Alerts that a client sends because of our certificate. */
static bool is_about_our_certificate(int alert)
{
	return alert == SSL_AD_UNKNOWN_CA || alert == SSL_AD_BAD_CERTIFICATE ||
	       alert == SSL_AD_CERTIFICATE_EXPIRED || alert == SSL_AD_CERTIFICATE_UNKNOWN ||
	       alert == SSL_AD_UNSUPPORTED_CERTIFICATE || alert == SSL_AD_CERTIFICATE_REVOKED;
}

static const char *why_not_verified(long result)
{
	switch (result) {
	case X509_V_ERR_CERT_HAS_EXPIRED:
		return "client-certificate-expired: the client's certificate has expired";
	case X509_V_ERR_CERT_NOT_YET_VALID:
		return "client-certificate-early: the client's certificate is not valid yet";
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT:
	case X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY:
	case X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE:
	case X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT:
	case X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN:
	case X509_V_ERR_CERT_SIGNATURE_FAILURE:
		return "client-certificate-untrusted: the client's certificate is not signed by "
		       "clientCA";
	default:
		return "client-certificate-invalid: the client's certificate cannot be verified";
	}
}

static const char *why(const struct sn_tls *t, unsigned long e)
{
	int reason = ERR_GET_REASON(e);

	if (t->fin)
		return "closed: the client ended the connection";
	if (t->os_errno)
		return "reset: the connection broke";
	if (ERR_GET_LIB(e) != ERR_LIB_SSL)
		return "protocol: what the client sent is not valid TLS";
	if (reason > SSL_AD_REASON_OFFSET)
		return is_about_our_certificate(reason - SSL_AD_REASON_OFFSET)
			       ? "client-refused: the client does not trust the certificate"
			       : "client-alert: the client gave up with an alert";
	switch (reason) {
	case SSL_R_HTTP_REQUEST:
	case SSL_R_HTTPS_PROXY_REQUEST:
		return "plaintext-http: the client speaks HTTP without TLS";
	case SSL_R_WRONG_VERSION_NUMBER:
	case SSL_R_PACKET_LENGTH_TOO_LONG:
	case SSL_R_BAD_RECORD_TYPE:
	case SSL_R_UNEXPECTED_MESSAGE:
		return "not-tls: the client does not speak TLS";
	case SSL_R_UNSUPPORTED_PROTOCOL:
	case SSL_R_VERSION_TOO_LOW:
		return "protocol-version: the client speaks TLS older than 1.2";
	case SSL_R_NO_APPLICATION_PROTOCOL:
		return "alpn: the client asks for neither h2 nor http/1.1";
	case SSL_R_NO_SHARED_CIPHER:
	case SSL_R_NO_SUITABLE_KEY_SHARE:
	case SSL_R_NO_SHARED_GROUPS:
	case SSL_R_NO_SUITABLE_SIGNATURE_ALGORITHM:
	case SSL_R_NO_SHARED_SIGNATURE_ALGORITHMS:
		return "no-common-algorithm: no cipher, group or signature that both sides know";
	case SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE:
		return "client-certificate-missing: the client shows no certificate";
	case SSL_R_CERTIFICATE_VERIFY_FAILED:
		return why_not_verified(SSL_get_verify_result(t->ssl));
	default:
		return "protocol: what the client sent is not valid TLS";
	}
}

static int give_up(struct sn_tls *t, const char *failure, int os_errno)
{
	t->failure = failure;
	t->os_errno = os_errno;
	t->broken = true;
	return -SN_ECONN;
}

/* What a call's failure means: 0 for close_notify, -SN_EAGAIN, else the connection is broken. */
static int settle(struct sn_tls *t, int ret)
{
	switch (SSL_get_error(t->ssl, ret)) {
	case SSL_ERROR_WANT_READ:
		return -SN_EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		give_up(t, why(t, ERR_peek_error()),
			t->fin	      ? ECONNABORTED
			: t->os_errno ? t->os_errno
				      : EPROTO);
		ERR_clear_error();
		return -SN_ECONN;
	}
}

int sn_tls_handshake(struct sn_tls *t)
{
	int ret, rc = -SN_EAGAIN, i;

	if (t->broken)
		return -SN_ECONN;
	for (i = 0; i < CHATTER_MAX && rc == -SN_EAGAIN && t->readable; i++) {
		clean_queue();
		ret = SSL_do_handshake(t->ssl);
		if (ret == 1) {
			t->shaken = true;
			return 0;
		}
		rc = settle(t, ret);
	}
	if (rc == 0) /* close_notify in the middle */
		rc = give_up(t, "closed: the client ended the connection", ECONNABORTED);
	else if (rc == -SN_EAGAIN && t->readable)
		rc = give_up(t, "protocol: what the client sent is not valid TLS", EPROTO);
	return rc;
}

const char *sn_tls_failure(const struct sn_tls *t)
{
	return t->failure;
}

int sn_tls_errno(const struct sn_tls *t)
{
	return t->broken ? t->os_errno : 0;
}

struct sn_slice sn_tls_alpn(const struct sn_tls *t)
{
	const unsigned char *p;
	unsigned n;

	SSL_get0_alpn_selected(t->ssl, &p, &n);
	return sn_slice(p ? (const char *)p : "", n);
}

/* Reads, or looks with @peek. Comes back to the caller when there is data, when the socket has no
 * more, or when the peer says too much that is no data. */
static ssize_t take(struct sn_tls *t, void *buf, size_t n, bool peek)
{
	size_t got;
	int ret, rc = -SN_EAGAIN, i;

	if (t->broken)
		return -SN_ECONN;
	for (i = 0; i < CHATTER_MAX && rc == -SN_EAGAIN && t->chatter <= CHATTER_MAX; i++) {
		clean_queue();
		ret = peek ? SSL_peek_ex(t->ssl, buf, n, &got) : SSL_read_ex(t->ssl, buf, n, &got);
		if (ret == 1) {
			t->chatter = 0;
			return (ssize_t)got;
		}
		rc = settle(t, ret);
		if (!t->readable)
			break;
	}
	if (rc == -SN_EAGAIN && (t->readable || t->chatter > CHATTER_MAX))
		rc = give_up(t, NULL, EPROTO);
	return rc;
}

ssize_t sn_tls_read(struct sn_tls *t, void *buf, size_t n)
{
	return take(t, buf, n, false);
}

bool sn_tls_may_read(const struct sn_tls *t)
{
	return t->readable || SSL_has_pending(t->ssl) == 1;
}

bool sn_tls_peek(struct sn_tls *t)
{
	char c;

	return take(t, &c, 1, true) != -SN_EAGAIN;
}

int sn_tls_flush(struct sn_tls *t)
{
	while (t->start < t->end) {
		ssize_t put = send_some(t, t->out + t->start, t->end - t->start);

		if (put < 0) {
			t->broken = true;
			return -SN_ECONN;
		}
		if (put == 0)
			return -SN_EAGAIN;
		t->start += (uint32_t)put;
	}
	free(t->out); /* an idle connection holds no memory */
	t->out = NULL;
	t->start = t->end = t->cap = 0;
	return t->broken ? -SN_ECONN : 0;
}

bool sn_tls_is_blocked(const struct sn_tls *t)
{
	return t->end > t->start || t->write_waits;
}

/* A place in the caller's slices. */
struct cursor {
	const struct iovec *iov;
	int left;
	size_t offset;
};

static void skip(struct cursor *c, size_t n)
{
	while (c->left && n >= c->iov->iov_len - c->offset) {
		n -= c->iov->iov_len - c->offset;
		c->offset = 0;
		c->iov++;
		c->left--;
	}
	c->offset += n;
}

/* The next record's plaintext: in place where one slice fills it, else copied to *scratch. */
static size_t next_record(struct sn_tls *t, struct cursor *c, size_t left, char **scratch,
			  const char **ret_p)
{
	size_t n = 0, want = left < RECORD_MAX ? left : RECORD_MAX, part;
	struct cursor at = *c;

	part = at.iov->iov_len - at.offset;
	if (part < want && !*scratch)
		*scratch = sn_loop_iobuf_get(t->loop);
	if (part >= want || !*scratch) {
		*ret_p = (const char *)at.iov->iov_base + at.offset;
		return part < want ? part : want;
	}
	while (n < want) {
		part = at.iov->iov_len - at.offset;
		if (part > want - n)
			part = want - n;
		memcpy(*scratch + n, (const char *)at.iov->iov_base + at.offset, part);
		n += part;
		skip(&at, part);
	}
	*ret_p = *scratch;
	return n;
}

ssize_t sn_tls_writev(struct sn_tls *t, const struct iovec *iov, int n_iov)
{
	struct cursor at = {iov, n_iov, 0};
	size_t left = 0, done, put;
	char *scratch = NULL;
	const char *p;
	int i, rc = sn_tls_flush(t);

	if (rc)
		return rc;
	for (i = 0; i < n_iov; i++)
		left += iov[i].iov_len;
	done = t->taken < left ? t->taken : left; /* of an earlier call, sent meanwhile */
	t->taken -= (uint32_t)done;
	left -= done;
	skip(&at, done);
	clean_queue();
	while (left) {
		size_t n = next_record(t, &at, left, &scratch, &p);
		int ret = SSL_write_ex(t->ssl, p, n, &put);

		if (ret != 1) {
			t->write_waits = settle(t, ret) == -SN_EAGAIN;
			rc = t->write_waits ? -SN_EAGAIN : -SN_ECONN;
			break;
		}
		if (t->end > t->start) {
			t->taken = (uint32_t)put;
			rc = -SN_EAGAIN;
			break;
		}
		skip(&at, put);
		left -= put;
		done += put;
	}
	sn_loop_iobuf_put(t->loop, scratch);
	return done ? (ssize_t)done : rc;
}

void sn_tls_shutdown_write(struct sn_tls *t)
{
	if (t->broken || !t->shaken)
		return;
	clean_queue();
	if (SSL_shutdown(t->ssl) < 0)
		ERR_clear_error();
}

void sn_tls_sha1(struct sn_slice s, uint8_t ret_digest[20])
{
	unsigned n = 0;

	memset(ret_digest, 0, 20);
	(void)EVP_Digest(s.p, s.n, ret_digest, &n, EVP_sha1(), NULL);
}
