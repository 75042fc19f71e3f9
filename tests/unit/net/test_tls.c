/* SPDX-License-Identifier: Apache-2.0 */
/* TLS streams against an OpenSSL client in memory: the test moves the bytes between the two itself,
 * so it can deliver them one by one, hold them back, or cut them off. */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/pipe.h"
#include "net/relay.h"
#include "net/stream.h"
#include "net/tls.h"
#include "net/x509.h"

#define DAY 86400

/* --- material -----------------------------------------------------------------------------------
 */

static struct {
	struct sn_buf ca, ca_key, cert, key, other_cert, other_key;
	struct sn_tls_ctx *ctx, *mutual;
} made;

static struct sn_tls_material material(void)
{
	return (struct sn_tls_material){.certificate_file = "tls.crt",
					.key_file = "tls.key",
					.certificate = sn_buf_slice(&made.cert),
					.key = sn_buf_slice(&made.key),
					.http = true};
}

static int make_material(void **state)
{
	static const char *const dns[] = {"web"}, *const other[] = {"other"};
	struct sn_tls_material m;
	enum sn_tls_part part;
	struct sn_err err = {0};
	struct sn_buf *bufs[] = {&made.ca,  &made.ca_key,     &made.cert,
				 &made.key, &made.other_cert, &made.other_key};
	size_t i;

	(void)state;
	for (i = 0; i < SN_ARRAY_LEN(bufs); i++)
		sn_buf_init(bufs[i], 0);
	if (sn_x509_make_ca("ca", DAY, &made.ca, &made.ca_key, &err) ||
	    sn_x509_issue_server(sn_buf_slice(&made.ca), sn_buf_slice(&made.ca_key), dns, 1, DAY,
				 &made.cert, &made.key, &err) ||
	    sn_x509_issue_server(sn_buf_slice(&made.ca), sn_buf_slice(&made.ca_key), other, 1, DAY,
				 &made.other_cert, &made.other_key, &err))
		return -1;
	m = material();
	made.ctx = sn_tls_ctx_new_server(&m, &part, &err);
	m.client_ca_file = "ca.crt";
	m.client_ca = sn_buf_slice(&made.ca);
	made.mutual = sn_tls_ctx_new_server(&m, &part, &err);
	return made.ctx && made.mutual ? 0 : -1;
}

static int drop_material(void **state)
{
	struct sn_buf *bufs[] = {&made.ca,  &made.ca_key,     &made.cert,
				 &made.key, &made.other_cert, &made.other_key};
	size_t i;

	(void)state;
	sn_tls_ctx_unref(made.ctx);
	sn_tls_ctx_unref(made.mutual);
	for (i = 0; i < SN_ARRAY_LEN(bufs); i++)
		sn_buf_done(bufs[i]);
	return 0;
}

/* --- two ends -----------------------------------------------------------------------------------
 */

struct ends {
	struct sn_clock clock;
	uint64_t now_ns;
	struct sn_loop *loop;
	struct sn_stream s; /* ours */
	unsigned events;    /* all that have come */
	unsigned n_readable, n_writable;
	int fd; /* the client's socket */
	SSL_CTX *client_ctx;
	SSL *client;
	BIO *to_client, *from_client;
};

static uint64_t read_clock(const struct sn_clock *c)
{
	return sn_container_of(c, struct ends, clock)->now_ns;
}

static void on_stream(struct sn_stream *s, unsigned events)
{
	struct ends *e = s->owner;

	e->events |= events;
	e->n_readable += !!(events & SN_STREAM_READABLE);
	e->n_writable += !!(events & SN_STREAM_WRITABLE);
}

static void give_client(struct ends *e, const struct sn_buf *cert, const struct sn_buf *key)
{
	struct sn_slice c = sn_buf_slice(cert), k = sn_buf_slice(key);
	BIO *bc = BIO_new_mem_buf(c.p, (int)c.n), *bk = BIO_new_mem_buf(k.p, (int)k.n);
	X509 *x = PEM_read_bio_X509(bc, NULL, NULL, NULL);
	EVP_PKEY *p = PEM_read_bio_PrivateKey(bk, NULL, NULL, NULL);

	assert_int_equal(SSL_CTX_use_certificate(e->client_ctx, x), 1);
	assert_int_equal(SSL_CTX_use_PrivateKey(e->client_ctx, p), 1);
	X509_free(x);
	EVP_PKEY_free(p);
	BIO_free(bc);
	BIO_free(bk);
}

/* @alpn in wire format, or NULL. @sndbuf: of our end; 0 = the kernel's. */
static void open_ends(struct ends *e, struct sn_tls_ctx *ctx, int min, int max, const char *alpn,
		      int sndbuf)
{
	struct sn_err err;
	int fds[2];

	memset(e, 0, sizeof(*e));
	e->clock.now_ns = read_clock;
	e->now_ns = 1000000000;
	e->loop = sn_loop_new(&e->clock, &err);
	assert_non_null(e->loop);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	if (sndbuf)
		assert_int_equal(setsockopt(fds[0], SOL_SOCKET, SO_SNDBUF, &sndbuf, sizeof(int)),
				 0);
	e->fd = fds[1];
	assert_int_equal(sn_stream_open(&e->s, e->loop, fds[0], NULL, on_stream), 0);
	e->s.owner = e;
	assert_int_equal(sn_stream_accept_tls(&e->s, ctx, 10000), 0);
	e->client_ctx = SSL_CTX_new(TLS_client_method());
	SSL_CTX_set_security_level(e->client_ctx, 0);
	assert_int_equal(SSL_CTX_set_min_proto_version(e->client_ctx, min), 1);
	assert_int_equal(SSL_CTX_set_max_proto_version(e->client_ctx, max), 1);
	if (alpn)
		SSL_CTX_set_alpn_protos(e->client_ctx, (const unsigned char *)alpn,
					(unsigned)strlen(alpn));
}

static void start_client(struct ends *e)
{
	e->client = SSL_new(e->client_ctx);
	e->to_client = BIO_new(BIO_s_mem());
	e->from_client = BIO_new(BIO_s_mem());
	BIO_set_mem_eof_return(e->to_client, -1);
	SSL_set_bio(e->client, e->to_client, e->from_client);
	SSL_set_connect_state(e->client);
}

static void close_ends(struct ends *e)
{
	sn_stream_close(&e->s, false);
	sn_loop_free(e->loop);
	if (e->client)
		SSL_free(e->client);
	SSL_CTX_free(e->client_ctx);
	if (e->fd >= 0)
		close(e->fd);
	ERR_clear_error();
}

static void turn(struct ends *e)
{
	sn_loop_turn(e->loop, 0);
}

/* What our end has sent, into the client. Returns how much. */
static size_t pump_down(struct ends *e)
{
	char buf[4096];
	size_t all = 0;
	ssize_t n;

	while ((n = recv(e->fd, buf, sizeof(buf), MSG_DONTWAIT)) > 0) {
		assert_int_equal(BIO_write(e->to_client, buf, (int)n), (int)n);
		all += (size_t)n;
	}
	return all;
}

/* At most @n bytes of what the client has said, to our end. */
static size_t pump_up(struct ends *e, size_t n)
{
	size_t all = 0;
	char buf[4096];

	while (all < n) {
		size_t want = n - all < sizeof(buf) ? n - all : sizeof(buf);
		int got = BIO_read(e->from_client, buf, (int)want);

		if (got <= 0)
			break;
		assert_int_equal(send(e->fd, buf, (size_t)got, MSG_NOSIGNAL), got);
		all += (size_t)got;
	}
	return all;
}

/* Lets both go on until our end has said something final. @step: bytes a turn. */
static void shake(struct ends *e, size_t step)
{
	int i;

	for (i = 0; i < 20000 && !(e->events & (SN_STREAM_CONNECTED | SN_STREAM_FAILED)); i++) {
		SSL_do_handshake(e->client);
		ERR_clear_error();
		pump_up(e, step);
		turn(e);
		assert_int_equal(ERR_peek_error(), 0);
		pump_down(e);
	}
	ERR_clear_error();
	SSL_do_handshake(e->client); /* TLS 1.2: our Finished */
	ERR_clear_error();	     /* what the client thinks of it */
}

static void open_shaken(struct ends *e, int version)
{
	open_ends(e, made.ctx, version, version, "\x08http/1.1", 0);
	start_client(e);
	shake(e, 1u << 20);
	assert_int_equal(e->events, SN_STREAM_CONNECTED | SN_STREAM_READABLE);
	assert_true(e->s.may_read && e->s.may_write && !e->s.connecting);
}

static void client_says(struct ends *e, const char *text)
{
	assert_int_equal(SSL_write(e->client, text, (int)strlen(text)), (int)strlen(text));
	pump_up(e, SIZE_MAX);
}

static ssize_t put(struct ends *e, const char *p, size_t n)
{
	struct iovec iov = {(char *)p, n};

	return sn_stream_writev(&e->s, &iov, 1);
}

/* --- contexts -----------------------------------------------------------------------------------
 */

static void refused(const struct sn_tls_material *m, enum sn_tls_part want, const char *text)
{
	struct sn_err err = {0};
	enum sn_tls_part part;

	assert_null(sn_tls_ctx_new_server(m, &part, &err));
	assert_int_equal(err.code, SN_ECONF);
	assert_int_equal(part, want);
	if (!strstr(err.msg, text))
		fail_msg("\"%s\" does not say \"%s\"", err.msg, text);
	assert_int_equal(ERR_peek_error(), 0);
}

static void test_material_that_does_not_fit_is_named(void **state)
{
	struct sn_tls_material m = material();
	char half[300];

	(void)state;
	m.certificate = SN_SLICE("hello");
	refused(&m, SN_TLS_CERTIFICATE, "tls.crt: no PEM certificate in it");
	m.certificate = SN_SLICE("");
	refused(&m, SN_TLS_CERTIFICATE, "tls.crt: no PEM certificate in it");
	m = material();
	snprintf(half, sizeof(half), "%.250s", sn_buf_cstr(&made.cert));
	m.certificate = sn_slice_cstr(half);
	refused(&m, SN_TLS_CERTIFICATE, "tls.crt: no PEM certificate in it");
	m = material();
	m.key = sn_buf_slice(&made.cert);
	refused(&m, SN_TLS_KEY, "tls.key: no PEM private key in it");
	m.key = sn_buf_slice(&made.other_key);
	refused(&m, SN_TLS_KEY, "tls.key: the key does not belong to the certificate in tls.crt");
	m = material();
	m.client_ca_file = "ca.crt";
	m.client_ca = SN_SLICE("");
	refused(&m, SN_TLS_CLIENT_CA, "ca.crt: not a list of PEM certificates");
	m.client_ca = sn_slice_cstr(half);
	refused(&m, SN_TLS_CLIENT_CA, "ca.crt: not a list of PEM certificates");
}

static void test_an_encrypted_key_is_named(void **state)
{
	struct sn_slice plain = sn_buf_slice(&made.key);
	BIO *in = BIO_new_mem_buf(plain.p, (int)plain.n), *out = BIO_new(BIO_s_mem());
	EVP_PKEY *k = PEM_read_bio_PrivateKey(in, NULL, NULL, NULL);
	struct sn_tls_material m = material();
	char *p;

	(void)state;
	assert_int_equal(
		PEM_write_bio_PKCS8PrivateKey(out, k, EVP_aes_128_cbc(), "secret", 6, NULL, NULL),
		1);
	m.key.n = (size_t)BIO_get_mem_data(out, &p);
	m.key.p = p;
	refused(&m, SN_TLS_KEY, "tls.key: the key is encrypted");
	EVP_PKEY_free(k);
	BIO_free(in);
	BIO_free(out);
}

static void test_a_context_knows_what_it_is_of(void **state)
{
	struct sn_tls_material m = material();

	(void)state;
	assert_true(sn_tls_ctx_is_of(made.ctx, &m));
	assert_null(sn_tls_ctx_warning(made.ctx));
	assert_true(sn_tls_ctx_not_after(made.ctx) > (int64_t)time(NULL));
	assert_false(sn_tls_ctx_is_of(made.mutual, &m));
	m.http = false;
	assert_false(sn_tls_ctx_is_of(made.ctx, &m));
	m = material();
	m.key = sn_buf_slice(&made.other_key);
	assert_false(sn_tls_ctx_is_of(made.ctx, &m));
}

static void test_an_expired_certificate_works_and_is_told(void **state)
{
	static const char *const dns[] = {"web"};
	struct sn_tls_material m = material();
	struct sn_tls_ctx *ctx;
	enum sn_tls_part part;
	struct sn_err err = {0};
	struct sn_buf cert, key;

	(void)state;
	sn_buf_init(&cert, 0);
	sn_buf_init(&key, 0);
	/* valid "for minus one minute", which is after it began five minutes ago */
	assert_int_equal(sn_x509_issue_server(sn_buf_slice(&made.ca), sn_buf_slice(&made.ca_key),
					      dns, 1, (uint64_t)-60, &cert, &key, &err),
			 0);
	m.certificate = sn_buf_slice(&cert);
	m.key = sn_buf_slice(&key);
	ctx = sn_tls_ctx_new_server(&m, &part, &err);
	assert_non_null(ctx);
	assert_non_null(strstr(sn_tls_ctx_warning(ctx), "has expired on 2"));
	sn_tls_ctx_unref(ctx);
	sn_buf_done(&cert);
	sn_buf_done(&key);
}

/* --- handshakes ---------------------------------------------------------------------------------
 */

static void test_handshake_and_alpn(void **state)
{
	static const struct {
		const char *offer, *chosen;
	} rows[] = {{NULL, ""},
		    {"\x08http/1.1", "http/1.1"},
		    {"\x08http/1.1\x02h2", "h2"},
		    {"\x03"
		     "foo\x08http/1.1",
		     "http/1.1"}};
	size_t i, v;

	(void)state;
	for (v = 0; v < 2; v++)
		for (i = 0; i < SN_ARRAY_LEN(rows); i++) {
			struct ends e;
			int version = v ? TLS1_3_VERSION : TLS1_2_VERSION;

			open_ends(&e, made.ctx, version, version, rows[i].offer, 0);
			assert_false(e.s.may_read || e.s.may_write);
			start_client(&e);
			shake(&e, 1u << 20);
			assert_int_equal(e.events, SN_STREAM_CONNECTED | SN_STREAM_READABLE);
			assert_slice(sn_stream_alpn(&e.s), rows[i].chosen);
			close_ends(&e);
		}
}

static void test_byte_by_byte(void **state)
{
	struct ends e;
	char buf[16];

	(void)state;
	open_ends(&e, made.ctx, TLS1_2_VERSION, TLS1_3_VERSION, "\x02h2", 0);
	start_client(&e);
	shake(&e, 1);
	assert_int_equal(e.events, SN_STREAM_CONNECTED | SN_STREAM_READABLE);
	assert_int_equal(SSL_write(e.client, "hello", 5), 5);
	while (pump_up(&e, 1)) {
		turn(&e);
		if (!e.s.may_read)
			continue;
		if (sn_stream_read(&e.s, buf, sizeof(buf)) == -SN_EAGAIN) {
			assert_false(e.s.may_read);
			continue;
		}
		assert_memory_equal(buf, "hello", 5);
		buf[0] = '+';
	}
	assert_int_equal(buf[0], '+');
	assert_int_equal(e.s.rx_bytes, 5);
	close_ends(&e);
}

static void expect_failure(struct ends *e, const char *name)
{
	assert_int_equal(e->events, SN_STREAM_FAILED);
	assert_true(e->s.error != 0);
	if (strncmp(sn_stream_failure(&e->s), name, strlen(name)) != 0)
		fail_msg("\"%s\" is not \"%s\"", sn_stream_failure(&e->s), name);
	assert_int_equal(ERR_peek_error(), 0);
}

static void raw_failure(const char *bytes, size_t n, bool end, const char *name)
{
	struct ends e;

	open_ends(&e, made.ctx, TLS1_2_VERSION, TLS1_3_VERSION, NULL, 0);
	assert_int_equal(send(e.fd, bytes, n, MSG_NOSIGNAL), (ssize_t)n);
	if (end) {
		close(e.fd);
		e.fd = -1;
	}
	turn(&e);
	turn(&e);
	expect_failure(&e, name);
	close_ends(&e);
}

static void test_what_is_not_tls(void **state)
{
	char zeros[64] = {0};

	(void)state;
	raw_failure("GET / HTTP/1.1\r\nHost: web\r\n\r\n", 29, false, "plaintext-http:");
	raw_failure("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 24, false, "not-tls:");
	raw_failure("SSH-2.0-OpenSSH_9.2\r\n", 21, false, "not-tls:");
	raw_failure(zeros, sizeof(zeros), false, "not-tls:");
	raw_failure("\x16\x03\x01\x00\x04\x01\x00\x00\x00", 9, false, "protocol:");
	raw_failure("", 0, true, "closed:");
	raw_failure("\x16\x03\x01", 3, true, "closed:");
}

static void test_a_slow_handshake_times_out(void **state)
{
	struct ends e;

	(void)state;
	open_ends(&e, made.ctx, TLS1_2_VERSION, TLS1_3_VERSION, NULL, 0);
	start_client(&e);
	SSL_do_handshake(e.client);
	pump_up(&e, 40);
	turn(&e);
	e.now_ns += 9999 * 1000000ull;
	turn(&e);
	assert_int_equal(e.events, 0);
	e.now_ns += 2 * 1000000ull;
	turn(&e);
	expect_failure(&e, "timeout:");
	assert_int_equal(e.s.error, ETIMEDOUT);
	close_ends(&e);
}

static void test_old_versions_and_other_protocols(void **state)
{
	struct ends e;

	(void)state;
	open_ends(&e, made.ctx, TLS1_1_VERSION, TLS1_1_VERSION, NULL, 0);
	start_client(&e);
	shake(&e, 1u << 20);
	expect_failure(&e, "protocol-version:");
	close_ends(&e);
	open_ends(&e, made.ctx, TLS1_2_VERSION, TLS1_3_VERSION,
		  "\x03"
		  "foo",
		  0);
	start_client(&e);
	shake(&e, 1u << 20);
	expect_failure(&e, "alpn:");
	close_ends(&e);
	open_ends(&e, made.ctx, TLS1_2_VERSION, TLS1_2_VERSION, NULL, 0);
	assert_int_equal(SSL_CTX_set_cipher_list(e.client_ctx, "AES128-SHA"), 1);
	start_client(&e);
	shake(&e, 1u << 20);
	expect_failure(&e, "no-common-algorithm:");
	close_ends(&e);
}

static void test_a_client_that_does_not_trust_us(void **state)
{
	struct ends e;

	(void)state;
	open_ends(&e, made.ctx, TLS1_2_VERSION, TLS1_3_VERSION, NULL, 0);
	SSL_CTX_set_verify(e.client_ctx, SSL_VERIFY_PEER, NULL);
	start_client(&e);
	shake(&e, 1u << 20);
	expect_failure(&e, "client-refused:");
	close_ends(&e);
}

static void test_client_certificates(void **state)
{
	struct sn_buf ca, ca_key, cert, key;
	static const char *const dns[] = {"client"};
	struct sn_err err = {0};
	struct ends e;
	int version;

	(void)state;
	sn_buf_init(&ca, 0);
	sn_buf_init(&ca_key, 0);
	sn_buf_init(&cert, 0);
	sn_buf_init(&key, 0);
	assert_int_equal(sn_x509_make_ca("stranger", DAY, &ca, &ca_key, &err), 0);
	assert_int_equal(sn_x509_issue_server(sn_buf_slice(&ca), sn_buf_slice(&ca_key), dns, 1, DAY,
					      &cert, &key, &err),
			 0);
	for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		open_ends(&e, made.mutual, version, version, NULL, 0);
		start_client(&e);
		shake(&e, 1u << 20);
		expect_failure(&e, "client-certificate-missing:");
		close_ends(&e);

		open_ends(&e, made.mutual, version, version, NULL, 0);
		give_client(&e, &cert, &key);
		start_client(&e);
		shake(&e, 1u << 20);
		expect_failure(&e, "client-certificate-untrusted:");
		close_ends(&e);

		/* of the right CA, but a server's: extendedKeyUsage does not allow it */
		open_ends(&e, made.mutual, version, version, NULL, 0);
		give_client(&e, &made.other_cert, &made.other_key);
		start_client(&e);
		shake(&e, 1u << 20);
		expect_failure(&e, "client-certificate-invalid:");
		close_ends(&e);
	}
	sn_buf_done(&ca);
	sn_buf_done(&ca_key);
	sn_buf_done(&cert);
	sn_buf_done(&key);
}

static void test_aborted_at_each_byte(void **state)
{
	size_t at, total = 0;

	(void)state;
	/* the client's whole side of a handshake is under 1,000 bytes */
	for (at = 0; at < 1000; at += 7) {
		struct ends e;
		size_t sent = 0;
		int i;

		open_ends(&e, made.ctx, TLS1_2_VERSION, at & 1 ? TLS1_3_VERSION : TLS1_2_VERSION,
			  NULL, 0);
		start_client(&e);
		for (i = 0; i < 6 && sent < at; i++) {
			SSL_do_handshake(e.client);
			sent += pump_up(&e, at - sent);
			turn(&e);
			pump_down(&e);
		}
		close(e.fd);
		e.fd = -1;
		for (i = 0; i < 4; i++)
			turn(&e);
		total += !!(e.events & SN_STREAM_FAILED);
		assert_true(e.events & (SN_STREAM_FAILED | SN_STREAM_CONNECTED));
		close_ends(&e);
	}
	assert_true(total > 20);
}

/* --- data ---------------------------------------------------------------------------------------
 */

static void test_edges_of_reading(void **state)
{
	struct ends e;
	char buf[64];

	(void)state;
	open_shaken(&e, TLS1_3_VERSION);
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), -SN_EAGAIN);
	assert_false(e.s.may_read);
	assert_false(sn_stream_is_stale(&e.s));

	/* three records in one edge: each read leaves may_read until nothing is left */
	client_says(&e, "one");
	client_says(&e, "two");
	client_says(&e, "three");
	e.n_readable = 0;
	turn(&e);
	assert_int_equal(e.n_readable, 1);
	assert_true(sn_stream_is_stale(&e.s));
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), 3);
	assert_true(e.s.may_read);
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), 3);
	assert_true(e.s.may_read);
	assert_int_equal(sn_stream_read(&e.s, buf, 2), 2);
	assert_true(e.s.may_read); /* the rest of a record is no edge of the socket's */
	turn(&e);
	assert_int_equal(e.n_readable, 1);
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), 3);
	assert_memory_equal(buf, "ree", 3);
	assert_false(e.s.may_read);
	assert_false(sn_stream_is_stale(&e.s));
	turn(&e);
	assert_int_equal(e.n_readable, 1);

	/* close_notify without a FIN is an end, and we can still write */
	SSL_shutdown(e.client);
	pump_up(&e, SIZE_MAX);
	turn(&e);
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), 0);
	assert_true(e.s.read_eof);
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), 0);
	assert_int_equal(put(&e, "bye", 3), 3);
	pump_down(&e);
	assert_int_equal(SSL_read(e.client, buf, sizeof(buf)), 3);
	close_ends(&e);
}

static void test_half_close_of_ours(void **state)
{
	struct ends e;
	char buf[64];

	(void)state;
	open_shaken(&e, TLS1_3_VERSION);
	assert_int_equal(put(&e, "last", 4), 4);
	sn_stream_shutdown_write(&e.s);
	assert_int_equal(put(&e, "more", 4), -SN_ECONN);
	pump_down(&e);
	assert_int_equal(SSL_read(e.client, buf, sizeof(buf)), 4);
	assert_int_equal(SSL_read(e.client, buf, sizeof(buf)), 0);
	assert_int_equal(SSL_get_shutdown(e.client), SSL_RECEIVED_SHUTDOWN);
	assert_int_equal(recv(e.fd, buf, 1, MSG_DONTWAIT), 0); /* and a FIN */
	client_says(&e, "answer");
	turn(&e);
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), 6);
	close_ends(&e);
}

static void test_truncation_is_not_an_end(void **state)
{
	struct ends e;
	char buf[64];

	(void)state;
	open_shaken(&e, TLS1_2_VERSION);
	client_says(&e, "some");
	close(e.fd);
	e.fd = -1;
	turn(&e);
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), 4);
	assert_true(e.s.may_read);
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), -SN_ECONN);
	assert_int_equal(e.s.error, ECONNABORTED);
	assert_false(e.s.read_eof);
	assert_true(sn_stream_is_stale(&e.s));
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), -SN_ECONN);
	close_ends(&e);
}

static void test_damage_is_an_error(void **state)
{
	struct ends e;
	char buf[64];

	(void)state;
	open_shaken(&e, TLS1_3_VERSION);
	assert_int_equal(send(e.fd, "\x17\x03\x03\x00\x20 this is not what was agreed on!!", 37, 0),
			 37);
	turn(&e);
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), -SN_ECONN);
	assert_int_equal(e.s.error, EPROTO);
	assert_int_equal(ERR_peek_error(), 0);
	close_ends(&e);
}

static void test_head_and_body_are_one_record(void **state)
{
	static char body[3000];
	struct iovec iov[3] = {{"head", 4}, {"", 0}, {body, sizeof(body)}};
	unsigned char header[5];
	struct ends e;
	char drop[8192];

	(void)state;
	open_shaken(&e, TLS1_2_VERSION);
	while (recv(e.fd, drop, sizeof(drop), MSG_DONTWAIT) > 0) {
	}
	assert_int_equal(sn_stream_writev(&e.s, iov, 3), 3004);
	assert_true(e.s.may_write);
	assert_int_equal(recv(e.fd, header, 5, MSG_PEEK), 5);
	assert_in_range(header[3] << 8 | header[4], 3004, 3004 + 64);
	assert_int_equal(recv(e.fd, drop, sizeof(drop), 0), 5 + (header[3] << 8 | header[4]));
	close_ends(&e);
}

/* A socket that takes little: nothing is reported that has not gone, and it goes on by edges. */
static void test_backpressure(void **state)
{
	enum { TOTAL = 300000 };
	char *data = malloc(TOTAL), *got = malloc(TOTAL);
	size_t sent = 0, received = 0;
	unsigned stops = 0, i;
	struct ends e;
	int version;

	(void)state;
	for (i = 0; i < TOTAL; i++)
		data[i] = (char)(i * 2654435761u >> 13);
	for (version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
		sent = received = 0;
		stops = 0;
		open_ends(&e, made.ctx, version, version, NULL, 4608);
		start_client(&e);
		shake(&e, 1u << 20);
		assert_true(e.events & SN_STREAM_CONNECTED);
		for (i = 0; i < 100000 && received < TOTAL; i++) {
			while (sent < TOTAL && e.s.may_write) {
				/* odd lengths, in two slices; after a refusal sometimes fewer */
				size_t n = (i * 977 + 13) % 20000 + 1;
				struct iovec iov[2];
				ssize_t put_n;

				n = n < TOTAL - sent ? n : TOTAL - sent;
				iov[0] = (struct iovec){data + sent, n / 3};
				iov[1] = (struct iovec){data + sent + n / 3, n - n / 3};
				put_n = sn_stream_writev(&e.s, iov, 2);
				if (put_n < 0) {
					assert_int_equal(put_n, -SN_EAGAIN);
					assert_false(e.s.may_write);
					stops++;
					break;
				}
				assert_true(e.s.may_write == ((size_t)put_n == n) || put_n > 0);
				sent += (size_t)put_n;
				assert_int_equal(e.s.tx_bytes, sent);
			}
			pump_down(&e);
			for (;;) {
				int n = SSL_read(e.client, got + received, (int)(TOTAL - received));

				if (n <= 0)
					break;
				received += (size_t)n;
			}
			assert_true(received >= sent || !pump_down(&e));
			turn(&e);
		}
		assert_int_equal(sent, TOTAL);
		assert_int_equal(received, TOTAL);
		assert_memory_equal(data, got, TOTAL);
		assert_true(stops > 3);
		close_ends(&e);
	}
	free(data);
	free(got);
}

/* close_notify and FIN wait behind what the socket has not taken. */
static void test_shutdown_behind_a_full_socket(void **state)
{
	static char data[16384];
	size_t received = 0;
	struct ends e;
	char buf[4096];
	int n, i;

	(void)state;
	open_ends(&e, made.ctx, TLS1_3_VERSION, TLS1_3_VERSION, NULL, 4608);
	start_client(&e);
	shake(&e, 1u << 20);
	pump_down(&e);
	turn(&e);
	assert_int_equal(put(&e, data, sizeof(data)), -SN_EAGAIN);
	sn_stream_shutdown_write(&e.s);
	assert_true(sn_stream_has_unsent(&e.s));
	e.n_writable = 0;
	for (i = 0; i < 50; i++) {
		pump_down(&e);
		while ((n = SSL_read(e.client, buf, sizeof(buf))) > 0)
			received += (size_t)n;
		turn(&e);
	}
	assert_int_equal(received, sizeof(data));
	assert_int_equal(SSL_get_shutdown(e.client), SSL_RECEIVED_SHUTDOWN);
	assert_int_equal(recv(e.fd, buf, 1, MSG_DONTWAIT), 0);
	assert_int_equal(e.n_writable, 0); /* nobody may write any more */
	assert_false(sn_stream_has_unsent(&e.s));
	close_ends(&e);
}

static void test_key_updates(void **state)
{
	struct ends e;
	char buf[64];
	int i;

	(void)state;
	open_shaken(&e, TLS1_3_VERSION);
	for (i = 0; i < 20; i++) {
		assert_int_equal(SSL_key_update(e.client, SSL_KEY_UPDATE_REQUESTED), 1);
		client_says(&e, "after");
		turn(&e);
		assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), 5);
		assert_int_equal(put(&e, "reply", 5), 5);
		pump_down(&e);
		assert_int_equal(SSL_read(e.client, buf, sizeof(buf)), 5);
	}
	/* alone: an edge that brings no plaintext */
	assert_int_equal(SSL_key_update(e.client, SSL_KEY_UPDATE_REQUESTED), 1);
	assert_int_equal(SSL_do_handshake(e.client), 1);
	pump_up(&e, SIZE_MAX);
	turn(&e);
	assert_true(e.s.may_read);
	assert_false(sn_stream_is_stale(&e.s));
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), -SN_EAGAIN);
	close_ends(&e);
}

static void test_too_many_key_updates_end_the_connection(void **state)
{
	struct ends e;
	char buf[64];
	int n, i;

	(void)state;
	for (n = 32; n <= 33; n++) {
		open_shaken(&e, TLS1_3_VERSION);
		assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), -SN_EAGAIN);
		for (i = 0; i < n; i++) {
			assert_int_equal(SSL_key_update(e.client, SSL_KEY_UPDATE_NOT_REQUESTED), 1);
			assert_int_equal(SSL_do_handshake(e.client), 1);
		}
		pump_up(&e, SIZE_MAX);
		turn(&e);
		if (n == 32) {
			assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), -SN_EAGAIN);
			client_says(&e, "data");
			turn(&e);
			assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), 4);
		} else {
			assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), -SN_ECONN);
			assert_int_equal(e.s.error, EPROTO);
		}
		close_ends(&e);
	}
}

static void test_renegotiation_is_refused(void **state)
{
	struct ends e;
	char buf[64];

	(void)state;
	open_shaken(&e, TLS1_2_VERSION);
	SSL_renegotiate(e.client);
	SSL_do_handshake(e.client);
	pump_up(&e, SIZE_MAX);
	turn(&e);
	assert_int_equal(sn_stream_read(&e.s, buf, sizeof(buf)), -SN_EAGAIN);
	pump_down(&e);
	assert_true(SSL_do_handshake(e.client) <= 0); /* no_renegotiation is fatal to it */
	close_ends(&e);
}

static void test_close_tells_and_reset_does_not(void **state)
{
	struct ends e;
	char buf[64];
	int reset;

	(void)state;
	for (reset = 0; reset < 2; reset++) {
		open_shaken(&e, TLS1_3_VERSION);
		sn_stream_close(&e.s, reset);
		pump_down(&e);
		assert_true(SSL_read(e.client, buf, sizeof(buf)) <= 0);
		assert_int_equal(SSL_get_shutdown(e.client), reset ? 0 : SSL_RECEIVED_SHUTDOWN);
		assert_int_equal(sn_stream_alpn(&e.s).n, 0);
		close_ends(&e);
	}
}

static void test_tickets_resume(void **state)
{
	SSL_SESSION *session;
	struct ends e;
	char buf[8];

	(void)state;
	open_shaken(&e, TLS1_3_VERSION);
	pump_down(&e);
	SSL_read(e.client, buf, sizeof(buf)); /* takes the ticket */
	session = SSL_get1_session(e.client);
	assert_true(SSL_SESSION_is_resumable(session));
	assert_int_equal(SSL_SESSION_get_max_early_data(session), 0);
	SSL_shutdown(e.client); /* else the client takes its session for a bad one */
	close_ends(&e);
	open_ends(&e, made.ctx, TLS1_3_VERSION, TLS1_3_VERSION, "\x08http/1.1", 0);
	start_client(&e);
	SSL_set_session(e.client, session);
	shake(&e, 1u << 20);
	assert_int_equal(SSL_session_reused(e.client), 1);
	assert_slice(sn_stream_alpn(&e.s), "http/1.1");
	close_ends(&e);
	SSL_SESSION_free(session);
}

static void never(struct sn_relay *r, void *arg, int code, uint64_t a_to_b, uint64_t b_to_a)
{
	(void)r;
	(void)arg;
	fail_msg("over: %d after %llu and %llu", code, (unsigned long long)a_to_b,
		 (unsigned long long)b_to_a);
}

/* However much there is, with TLS on one side the relay copies: a pipe would carry records. */
static void test_a_relay_never_splices_tls(void **state)
{
	enum { TOTAL = 1 << 20, STEP = 16000 };
	size_t said = 0, heard = 0, sent = 0, got = 0;
	struct sn_relay *relay;
	struct sn_stream b;
	char buf[STEP];
	struct ends e;
	int fds[2], n;

	(void)state;
	memset(buf, 'x', sizeof(buf));
	open_shaken(&e, TLS1_3_VERSION);
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds), 0);
	assert_int_equal(sn_stream_open(&b, e.loop, fds[0], NULL, on_stream), 0);
	relay = sn_relay_start(&e.s, &b, sn_slice("", 0), 0, never, NULL);
	assert_non_null(relay);
	while (heard < TOTAL || got < TOTAL) {
		if (said < TOTAL && said - heard < 4 * STEP) {
			said += (size_t)SSL_write(e.client, buf, STEP);
			pump_up(&e, SIZE_MAX);
		}
		n = (int)send(fds[1], buf, STEP, MSG_NOSIGNAL);
		sent += n > 0 ? (size_t)n : 0;
		turn(&e);
		assert_true(sn_loop_pipes(e.loop)->all[0].in < 0);
		pump_down(&e);
		while ((n = SSL_read(e.client, buf, STEP)) > 0)
			got += (size_t)n;
		while ((n = (int)recv(fds[1], buf, STEP, 0)) > 0)
			heard += (size_t)n;
		assert_int_equal(buf[0], 'x');
	}
	assert_true(heard <= said && got <= sent);
	sn_relay_cancel(relay);
	sn_stream_close(&b, true);
	close(fds[1]);
	close_ends(&e);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_material_that_does_not_fit_is_named),
		cmocka_unit_test(test_an_encrypted_key_is_named),
		cmocka_unit_test(test_a_context_knows_what_it_is_of),
		cmocka_unit_test(test_an_expired_certificate_works_and_is_told),
		cmocka_unit_test(test_handshake_and_alpn),
		cmocka_unit_test(test_byte_by_byte),
		cmocka_unit_test(test_what_is_not_tls),
		cmocka_unit_test(test_a_slow_handshake_times_out),
		cmocka_unit_test(test_old_versions_and_other_protocols),
		cmocka_unit_test(test_a_client_that_does_not_trust_us),
		cmocka_unit_test(test_client_certificates),
		cmocka_unit_test(test_aborted_at_each_byte),
		cmocka_unit_test(test_edges_of_reading),
		cmocka_unit_test(test_half_close_of_ours),
		cmocka_unit_test(test_truncation_is_not_an_end),
		cmocka_unit_test(test_damage_is_an_error),
		cmocka_unit_test(test_head_and_body_are_one_record),
		cmocka_unit_test(test_backpressure),
		cmocka_unit_test(test_shutdown_behind_a_full_socket),
		cmocka_unit_test(test_key_updates),
		cmocka_unit_test(test_too_many_key_updates_end_the_connection),
		cmocka_unit_test(test_renegotiation_is_refused),
		cmocka_unit_test(test_close_tells_and_reset_does_not),
		cmocka_unit_test(test_tickets_resume),
		cmocka_unit_test(test_a_relay_never_splices_tls),
	};

	return cmocka_run_group_tests(tests, make_material, drop_material);
}
