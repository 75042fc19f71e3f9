/* SPDX-License-Identifier: Apache-2.0 */
/* libwebsockets takes certificates by path only, so they lie in a directory of our own below
 * $TMPDIR (in a pod: memory) that only this user can enter. */
#include "operator/serve/ws.h"

#include <errno.h>
#include <fcntl.h>
#include <libwebsockets.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/num.h"
#include "net/addr.h"

#define DESCRIPTORS 256
#define DISCARD_MAX (64u << 20) /* longer: the connection is closed instead of read to its end */
#define TOGETHER_MAX (4u * SN_WS_BODY_MAX)
#define REQUEST_S 5
#define KEEPALIVE_S 60

struct sn_ws {
	struct sn_ws_settings set;
	struct lws_context *ctx;
	pthread_t thread;
	bool running;
	atomic_bool stop, renewed;
	atomic_uint_fast64_t requests, refused;
	size_t together; /* bytes of bodies under way; the thread's */
	uint16_t port;
	char dir[256], cert[300], key[300];
	char iface[SN_ADDR_TEXT];
	struct lws_protocols protocols[2];
};

struct session { /* of one connection; zeroed by the library */
	bool open, answered;
	struct sn_buf in, out; /* out: LWS_PRE bytes, then the answer */
	size_t counted;
	unsigned status; /* of a request refused before its body is read; 0: none */
	const char *why;
};

static void end_request(struct sn_ws *ws, struct session *s)
{
	ws->together -= s->counted;
	s->counted = 0;
	if (s->open) {
		sn_buf_done(&s->in);
		sn_buf_done(&s->out);
	}
	s->open = false;
}

static int write_head(struct lws *wsi, unsigned status, const char *type, size_t length)
{
	unsigned char room[LWS_PRE + 1024], *start = room + LWS_PRE, *p = start,
					    *end = room + sizeof(room) - 1;

	if (lws_add_http_common_headers(wsi, status, type, length, &p, end) ||
	    (status == 405 &&
	     lws_add_http_header_by_name(wsi, (const unsigned char *)"allow:",
					 (const unsigned char *)"POST", 4, &p, end)) ||
	    lws_finalize_write_http_header(wsi, start, &p, end))
		return -1;
	lws_callback_on_writable(wsi);
	return 0;
}

static int answer(struct sn_ws *ws, struct lws *wsi, struct session *s)
{
	static const char pre[LWS_PRE];
	unsigned status = s->status;

	if (s->answered) /* an empty body may be reported, or not */
		return 0;
	s->answered = true;
	sn_buf_reset(&s->out);
	if (sn_buf_append(&s->out, pre, sizeof(pre)))
		return -1;
	if (status == 0) {
		atomic_fetch_add(&ws->requests, 1);
		status = ws->set.handle(ws->set.arg, sn_buf_slice(&s->in), &s->out);
	} else {
		atomic_fetch_add(&ws->refused, 1);
		sn_buf_printf(&s->out, "%s\n", s->why);
	}
	sn_buf_reset(&s->in);
	if (s->out.failed)
		return -1;
	return write_head(wsi, status,
			  status == 200 ? "application/json" : "text/plain; charset=utf-8",
			  sn_buf_len(&s->out) - LWS_PRE);
}

static void refuse(struct session *s, unsigned status, const char *why)
{
	if (s->status)
		return;
	s->status = status;
	s->why = why;
	sn_buf_done(&s->in);
	sn_buf_init(&s->in, SN_WS_BODY_MAX);
}

static bool is_json(struct lws *wsi)
{
	char type[128];
	struct sn_slice rest, first;

	if (lws_hdr_copy(wsi, type, sizeof(type), WSI_TOKEN_HTTP_CONTENT_TYPE) <= 0)
		return false;
	rest = sn_slice_cstr(type);
	first = sn_slice_trim(sn_slice_cut(&rest, ';'));
	return sn_slice_ieq(first, SN_SLICE("application/json"));
}

static int on_head(struct sn_ws *ws, struct lws *wsi, struct session *s, const char *uri)
{
	char text[32] = "";
	uint64_t length = 0;
	bool has_length;

	end_request(ws, s);
	memset(s, 0, sizeof(*s));
	s->open = true;
	sn_buf_init(&s->in, SN_WS_BODY_MAX);
	sn_buf_init(&s->out, 16u << 20);
	has_length = lws_hdr_copy(wsi, text, sizeof(text), WSI_TOKEN_HTTP_CONTENT_LENGTH) > 0;
	if (lws_hdr_total_length(wsi, WSI_TOKEN_POST_URI) <= 0)
		refuse(s, 405, "POST an AdmissionReview");
	else if (strcmp(uri, ws->set.path) != 0)
		refuse(s, 404, "nothing is served at this path");
	else if (!has_length || sn_num_u64(sn_slice_cstr(text), INT64_MAX, &length))
		refuse(s, 411, "Content-Length is missing or not a number");
	else if (!is_json(wsi))
		refuse(s, 400, "Content-Type must be application/json");
	else if (length > SN_WS_BODY_MAX)
		refuse(s, 413, "the body is longer than 7 MiB");
	else if (ws->together + length > TOGETHER_MAX)
		refuse(s, 503, "too much is under way, come again");
	else
		ws->together += s->counted = (size_t)length;
	if (s->status && length > DISCARD_MAX) {
		atomic_fetch_add(&ws->refused, 1);
		return -1;
	}
	if (has_length && length > 0 && s->status != 405)
		return 0; /* the answer follows the body */
	return answer(ws, wsi, s);
}

static int on_writable(struct sn_ws *ws, struct lws *wsi, struct session *s)
{
	size_t n;

	if (!s->open || sn_buf_len(&s->out) < LWS_PRE)
		return 0;
	n = sn_buf_len(&s->out) - LWS_PRE;
	if (lws_write(wsi, (unsigned char *)s->out.data + s->out.start + LWS_PRE, n,
		      LWS_WRITE_HTTP_FINAL) < (int)n)
		return -1;
	end_request(ws, s);
	return lws_http_transaction_completed(wsi) ? -1 : 0;
}

static int callback(struct lws *wsi, enum lws_callback_reasons reason, void *user, void *in,
		    size_t len)
{
	struct lws_context *ctx = wsi ? lws_get_context(wsi) : NULL;
	struct sn_ws *ws = ctx ? lws_context_user(ctx) : NULL;
	struct session *s = user;

	if (!ws || !s) /* not about a connection */
		return 0;
	switch ((int)reason) {
	case LWS_CALLBACK_HTTP:
		return on_head(ws, wsi, s, in);
	case LWS_CALLBACK_HTTP_BODY:
		if (s->open && s->status == 0 && sn_buf_append(&s->in, in, len))
			refuse(s, 413, "the body is longer than was said, or memory is short");
		return 0;
	case LWS_CALLBACK_HTTP_BODY_COMPLETION:
		return s->open ? answer(ws, wsi, s) : -1;
	case LWS_CALLBACK_HTTP_WRITEABLE:
		return on_writable(ws, wsi, s);
	case LWS_CALLBACK_CLOSED_HTTP:
	case LWS_CALLBACK_HTTP_DROP_PROTOCOL:
		end_request(ws, s);
		return 0;
	default:
		return 0; /* no WebSockets, no files, nothing else */
	}
}

static void on_log(int level, const char *line)
{
	sn_log(level == LLL_ERR ? SN_LOG_WARN : SN_LOG_DEBUG, "webhook", "%.*s",
	       (int)strcspn(line, "\n"), line);
}

static void *run(void *arg)
{
	struct sn_ws *ws = arg;

	while (!atomic_load(&ws->stop)) {
		if (atomic_exchange(&ws->renewed, false))
			lws_tls_cert_updated(ws->ctx, ws->cert, ws->key, NULL, 0, NULL, 0);
		if (lws_service(ws->ctx, 0) < 0)
			break;
	}
	return NULL;
}

static int write_file(const char *path, struct sn_slice text, struct sn_err *err)
{
	char tmp[320];
	int fd;

	snprintf(tmp, sizeof(tmp), "%s.new", path);
	fd = open(tmp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return sn_err_sys(err, errno, "%s", tmp);
	if (write(fd, text.p, text.n) != (ssize_t)text.n || rename(tmp, path)) {
		sn_err_sys(err, errno, "%s", path);
		close(fd);
		return -SN_ESYS;
	}
	close(fd);
	return 0;
}

static int write_files(struct sn_ws *ws, struct sn_slice cert, struct sn_slice key,
		       struct sn_err *err)
{
	const char *tmp = getenv("TMPDIR");

	if (!ws->dir[0]) {
		snprintf(ws->dir, sizeof(ws->dir), "%s/sennit-webhook-XXXXXX",
			 tmp && tmp[0] ? tmp : "/tmp");
		if (!mkdtemp(ws->dir)) {
			sn_err_sys(err, errno, "a directory for the certificate, %s", ws->dir);
			ws->dir[0] = 0;
			return -SN_ESYS;
		}
		snprintf(ws->cert, sizeof(ws->cert), "%s/tls.crt", ws->dir);
		snprintf(ws->key, sizeof(ws->key), "%s/tls.key", ws->dir);
	}
	if (write_file(ws->cert, cert, err) || write_file(ws->key, key, err))
		return -SN_ESYS;
	return 0;
}

static int start(struct sn_ws *ws, const struct sn_addr *at, struct sn_err *err)
{
	static const uint8_t any[16];
	struct lws_context_creation_info info;
	struct lws_vhost *vh;
	sigset_t all, old;
	int v6, rc;

	memset(&info, 0, sizeof(info));
	info.port = at->port;
	info.options = LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_EXPLICIT_VHOSTS;
	info.fd_limit_per_thread = DESCRIPTORS;
	info.user = ws;
	lws_set_log_level(LLL_ERR | LLL_WARN, on_log);
	ws->ctx = lws_create_context(&info);
	if (!ws->ctx)
		return sn_err_set(err, SN_ENOMEM, "libwebsockets: no context");
	ws->protocols[0] = (struct lws_protocols){.name = "http",
						  .callback = callback,
						  .per_session_data_size = sizeof(struct session)};
	info.options =
		LWS_SERVER_OPTION_DO_SSL_GLOBAL_INIT | LWS_SERVER_OPTION_FAIL_UPON_UNABLE_TO_BIND;
	if (memcmp(at->ip, any, sizeof(any)) != 0) {
		sn_addr_format_ip(at, ws->iface);
		info.iface = ws->iface;
	}
	v6 = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (v6 >= 0)
		close(v6);
	if (at->family == AF_INET || v6 < 0)
		info.options |= LWS_SERVER_OPTION_DISABLE_IPV6;
	info.protocols = ws->protocols;
	info.vhost_name = "webhook";
	info.alpn = "http/1.1";
	info.timeout_secs = REQUEST_S;
	info.keepalive_timeout = KEEPALIVE_S;
	info.ssl_cert_filepath = ws->cert;
	info.ssl_private_key_filepath = ws->key;
	vh = lws_create_vhost(ws->ctx, &info);
	if (!vh)
		return sn_err_set(
			err, SN_ESYS,
			"webhook: cannot listen on %s (taken? not an address of this host?)",
			ws->set.listen);
	ws->port = (uint16_t)lws_get_vhost_listen_port(vh);
	sigfillset(&all);
	pthread_sigmask(SIG_BLOCK, &all, &old);
	rc = pthread_create(&ws->thread, NULL, run, ws);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
	if (rc)
		return sn_err_sys(err, rc, "webhook: no thread");
	ws->running = true;
	return 0;
}

struct sn_ws *sn_ws_new(const struct sn_ws_settings *s, struct sn_slice cert, struct sn_slice key,
			struct sn_err *err)
{
	struct sn_ws *ws = calloc(1, sizeof(*ws));
	struct sn_addr at;

	if (!ws) {
		sn_err_set(err, SN_ENOMEM, "out of memory");
		return NULL;
	}
	ws->set = *s;
	if (sn_addr_parse(sn_slice_cstr(s->listen), &at)) {
		sn_err_set(err, SN_EUSAGE,
			   "--webhook-listen: \"%s\" is not an address such as [::]:9443",
			   s->listen);
		free(ws);
		return NULL;
	}
	if (write_files(ws, cert, key, err) || start(ws, &at, err)) {
		sn_ws_free(ws);
		return NULL;
	}
	return ws;
}

int sn_ws_renew(struct sn_ws *ws, struct sn_slice cert, struct sn_slice key, struct sn_err *err)
{
	int rc = write_files(ws, cert, key, err);

	if (rc)
		return rc;
	atomic_store(&ws->renewed, true);
	lws_cancel_service(ws->ctx);
	return 0;
}

void sn_ws_free(struct sn_ws *ws)
{
	if (!ws)
		return;
	if (ws->running) {
		atomic_store(&ws->stop, true);
		lws_cancel_service(ws->ctx);
		pthread_join(ws->thread, NULL);
	}
	if (ws->ctx)
		lws_context_destroy(ws->ctx);
	if (ws->dir[0]) {
		unlink(ws->cert);
		unlink(ws->key);
		rmdir(ws->dir);
	}
	free(ws);
}

uint16_t sn_ws_port(const struct sn_ws *ws)
{
	return ws->port;
}

struct sn_ws_counters sn_ws_counters(const struct sn_ws *ws)
{
	return (struct sn_ws_counters){atomic_load(&ws->requests), atomic_load(&ws->refused)};
}
