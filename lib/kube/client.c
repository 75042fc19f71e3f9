/* SPDX-License-Identifier: Apache-2.0 */
/* libcurl's multi interface joined to the loop: it says which descriptors and when, we call it
 * back. */
#include "kube/client.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/list.h"
#include "base/log.h"
#include "base/num.h"

#define TOKEN_LIFE_MS 60000
#define CONNECTIONS_MAX 32L   /* to the API server; more requests wait for one */
#define KEEPALIVE_IDLE_S 30L  /* a peer that vanished is noticed ... */
#define KEEPALIVE_EVERY_S 10L /* ... at the second probe without an answer, */
#define USER_TIMEOUT_MS 30000 /* or when what was sent stays unacknowledged for so long */
#define ACCOUNT "/var/run/secrets/kubernetes.io/serviceaccount/"

struct sn_kube {
	struct sn_loop *loop;
	CURLM *multi;
	struct sn_timer timer;
	struct sn_list calls;
	char *server, *token_file, *ca_file;
	char *auth; /* "Authorization: Bearer ..." */
	uint64_t auth_at_ms;
	struct sn_kube_counters counters;
	size_t n_left_over;
	bool inside; /* libcurl is calling us: it must not be called back */
};

struct sn_kube_call {
	struct sn_list link;
	struct sn_kube *k;
	CURL *easy;
	struct curl_slist *headers;
	struct sn_kube_request req;
	char *body;
	struct sn_buf in;
	char error[CURL_ERROR_SIZE];
	bool waiting; /* made while inside: not yet libcurl's */
	bool dead;    /* cancelled while inside */
};

struct watched { /* a descriptor of libcurl's */
	struct sn_io io;
	struct sn_kube *k;
	struct sn_task release;
};

int sn_kube_code(unsigned status)
{
	if (status >= 200 && status < 300)
		return 0;
	switch (status) {
	case 409:
		return -SN_ECONFLICT;
	case 410:
		return -SN_EGONE;
	case 0:
	case 401: /* the token is read again */
	case 408:
	case 429:
		return -SN_ERETRY;
	default:
		return status >= 500 ? -SN_ERETRY : -SN_EPERMANENT;
	}
}

void sn_kube_escape(struct sn_buf *out, const char *s)
{
	for (; *s; s++) {
		unsigned char c = (unsigned char)*s;

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
		    c == '-' || c == '_' || c == '~' || (c == '.' && s[1] != '.' && s[1] != 0))
			sn_buf_putc(out, (char)c);
		else
			sn_buf_printf(out, "%%%02X", c);
	}
}

int sn_kube_in_cluster(struct sn_kube_settings *ret, struct sn_err *err)
{
	static char server[256];
	const char *host = getenv("KUBERNETES_SERVICE_HOST"),
		   *port = getenv("KUBERNETES_SERVICE_PORT");

	if (!host || !port)
		return sn_err_set(err, SN_ENOENT,
				  "this is no pod: KUBERNETES_SERVICE_HOST is not set; use "
				  "--api-server or --source dir:PATH");
	snprintf(server, sizeof(server), strchr(host, ':') ? "https://[%s]:%s" : "https://%s:%s",
		 host, port);
	*ret = (struct sn_kube_settings){server, ACCOUNT "token", ACCOUNT "ca.crt"};
	return 0;
}

/* --- the token
 * ------------------------------------------------------------------------------------ */

static void read_token(struct sn_kube *k)
{
	char token[16384], line[16500];
	ssize_t n;
	int fd = open(k->token_file, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	n = read(fd, token, sizeof(token) - 1);
	close(fd);
	while (n > 0 && (token[n - 1] == '\n' || token[n - 1] == '\r' || token[n - 1] == ' '))
		n--;
	if (n <= 0)
		return;
	token[n] = 0;
	snprintf(line, sizeof(line), "Authorization: Bearer %s", token);
	free(k->auth);
	k->auth = strdup(line);
	k->auth_at_ms = sn_loop_now_ms(k->loop);
}

static const char *auth(struct sn_kube *k)
{
	if (k->token_file && (!k->auth || sn_loop_now_ms(k->loop) - k->auth_at_ms > TOKEN_LIFE_MS))
		read_token(k);
	return k->auth;
}

static void drop_token(struct sn_kube *k)
{
	free(k->auth);
	k->auth = NULL;
}

/* --- joining the loop
 * ----------------------------------------------------------------------------- */

static void finish(struct sn_kube *k);

static void free_call(struct sn_kube_call *c);
static void answer(struct sn_kube_call *c, CURLcode rc);

/* The first call that something is left to do for. */
static struct sn_kube_call *left_over(struct sn_kube *k)
{
	struct sn_list *at;

	for (at = k->calls.next; at != &k->calls; at = at->next) {
		struct sn_kube_call *c = sn_list_entry(at, struct sn_kube_call, link);

		if (c->dead || c->waiting)
			return c;
	}
	return NULL;
}

/* What was asked for while libcurl was calling us. From the start after each, since callbacks
 * change the list. */
static void catch_up(struct sn_kube *k)
{
	struct sn_kube_call *c;

	while (k->n_left_over && (c = left_over(k))) {
		bool dead = c->dead;

		k->n_left_over--;
		c->waiting = false;
		if (!dead && curl_multi_add_handle(k->multi, c->easy) == CURLM_OK)
			continue;
		if (!dead)
			answer(c, CURLE_OUT_OF_MEMORY);
		free_call(c);
	}
	k->n_left_over = 0;
}

static void act(struct sn_kube *k, curl_socket_t fd, int what)
{
	int running;

	k->inside = true;
	curl_multi_socket_action(k->multi, fd, what, &running);
	k->inside = false;
	catch_up(k);
	finish(k);
}

static void on_io(struct sn_io *io, uint32_t events)
{
	struct watched *w = sn_container_of(io, struct watched, io);
	int what = 0;

	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP))
		what |= CURL_CSELECT_IN;
	if (events & EPOLLOUT)
		what |= CURL_CSELECT_OUT;
	if (events & EPOLLERR)
		what |= CURL_CSELECT_ERR;
	act(w->k, io->fd, what);
}

static void on_timer(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	act(sn_container_of(t, struct sn_kube, timer), CURL_SOCKET_TIMEOUT, 0);
}

static int set_timer(CURLM *multi, long ms, void *arg)
{
	struct sn_kube *k = arg;

	(void)multi;
	if (ms < 0)
		sn_loop_timer_cancel(k->loop, &k->timer);
	else
		sn_loop_timer(k->loop, &k->timer, (uint64_t)ms);
	return 0;
}

static void free_watched(struct sn_task *t)
{
	free(sn_container_of(t, struct watched, release));
}

static int set_socket(CURL *easy, curl_socket_t fd, int what, void *arg, void *known)
{
	struct sn_kube *k = arg;
	struct watched *w = known;
	uint32_t events = (what & CURL_POLL_IN ? (uint32_t)EPOLLIN : 0) |
			  (what & CURL_POLL_OUT ? (uint32_t)EPOLLOUT : 0);

	(void)easy;
	if (what == CURL_POLL_REMOVE) {
		if (w) {
			sn_loop_del(k->loop, &w->io);
			sn_loop_defer(k->loop, &w->release, free_watched);
			curl_multi_assign(k->multi, fd, NULL);
		}
		return 0;
	}
	if (w)
		return sn_loop_mod(k->loop, &w->io, events);
	w = calloc(1, sizeof(*w));
	if (!w)
		return -1;
	w->k = k;
	w->io.fd = fd;
	w->io.cb = on_io;
	if (sn_loop_add(k->loop, &w->io, events, true)) {
		free(w);
		return -1;
	}
	curl_multi_assign(k->multi, fd, w);
	return 0;
}

/* --- calls
 * ---------------------------------------------------------------------------------------- */

static void free_call(struct sn_kube_call *c)
{
	sn_list_del(&c->link);
	if (c->easy) {
		curl_multi_remove_handle(c->k->multi, c->easy);
		curl_easy_cleanup(c->easy);
	}
	curl_slist_free_all(c->headers);
	sn_buf_done(&c->in);
	free(c->body);
	free(c);
}

static void answer(struct sn_kube_call *c, CURLcode rc)
{
	struct sn_kube_answer a = {.body = sn_buf_slice(&c->in), .error = c->error};
	curl_off_t retry = 0;
	long status = 0;

	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_getinfo(c->easy, CURLINFO_RETRY_AFTER, &retry);
	a.status = (unsigned)status;
	a.code = sn_kube_code(a.status);
	if (a.code == 0 && rc != CURLE_OK)
		a.code = -SN_ERETRY; /* cut off in the middle */
	if (rc != CURLE_OK && !c->error[0])
		snprintf(c->error, sizeof(c->error), "%s", curl_easy_strerror(rc));
	a.retry_after_s = retry > 0 && retry < 3600 ? (uint32_t)retry : 0;
	c->k->counters.by_class[status / 100 <= 5 ? status / 100 : 0]++;
	if (a.status == 401)
		drop_token(c->k);
	c->req.done(c->req.arg, &a);
}

static void finish(struct sn_kube *k)
{
	CURLMsg *m;
	int left;

	while ((m = curl_multi_info_read(k->multi, &left))) {
		struct sn_kube_call *c = NULL;
		CURLcode rc = m->data.result;

		if (m->msg != CURLMSG_DONE)
			continue;
		curl_easy_getinfo(m->easy_handle, CURLINFO_PRIVATE, (char **)&c);
		answer(c, rc);
		free_call(c);
	}
}

static size_t on_data(char *p, size_t size, size_t n, void *arg)
{
	struct sn_kube_call *c = arg;
	long status = 0;

	n *= size;
	if (c->dead)
		return 0;
	curl_easy_getinfo(c->easy, CURLINFO_RESPONSE_CODE, &status);
	if (c->req.data && status >= 200 && status < 300) {
		int stop = c->req.data(c->req.arg, p, n);

		return stop ? 0 : n;
	}
	return sn_buf_append(&c->in, p, n) ? 0 : n;
}

/* What libcurl has no option for: how long a silent peer is waited for. */
static int on_socket(void *arg, curl_socket_t fd, curlsocktype what)
{
	int ms = USER_TIMEOUT_MS;

	(void)arg;
	(void)what;
	setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
	return CURL_SOCKOPT_OK;
}

static int configure(struct sn_kube_call *c)
{
	const struct sn_kube_request *r = &c->req;
	struct sn_kube *k = c->k;
	char url[4096], type[128];
	CURL *e = c->easy;

	if (snprintf(url, sizeof(url), "%s%s", k->server, r->path) >= (int)sizeof(url))
		return -1;
	curl_easy_setopt(e, CURLOPT_URL, url);
	curl_easy_setopt(e, CURLOPT_PRIVATE, c);
	curl_easy_setopt(e, CURLOPT_CUSTOMREQUEST, r->method);
	curl_easy_setopt(e, CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
	curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
	curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(e, CURLOPT_PROXY, "");
	curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, on_data);
	curl_easy_setopt(e, CURLOPT_WRITEDATA, c);
	curl_easy_setopt(e, CURLOPT_ERRORBUFFER, c->error);
	curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, 10000L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
	curl_easy_setopt(e, CURLOPT_TCP_KEEPINTVL, KEEPALIVE_EVERY_S);
	curl_easy_setopt(e, CURLOPT_SOCKOPTFUNCTION, on_socket);
	curl_easy_setopt(e, CURLOPT_USERAGENT, "sennit-operator/" SN_VERSION);
	if (k->ca_file)
		curl_easy_setopt(e, CURLOPT_CAINFO, k->ca_file);
	if (!r->data)
		curl_easy_setopt(e, CURLOPT_TIMEOUT_MS,
				 (long)(r->timeout_ms ? r->timeout_ms : 30000));
	c->headers = curl_slist_append(c->headers, "Accept: application/json");
	c->headers = curl_slist_append(c->headers, "Expect:");
	if (auth(k))
		c->headers = curl_slist_append(c->headers, auth(k));
	if (r->content_type) {
		snprintf(type, sizeof(type), "Content-Type: %s", r->content_type);
		c->headers = curl_slist_append(c->headers, type);
		curl_easy_setopt(e, CURLOPT_POSTFIELDS, c->body);
		curl_easy_setopt(e, CURLOPT_POSTFIELDSIZE, (long)r->body.n);
	}
	curl_easy_setopt(e, CURLOPT_HTTPHEADER, c->headers);
	return 0;
}

struct sn_kube_call *sn_kube_send(struct sn_kube *k, const struct sn_kube_request *r)
{
	struct sn_kube_call *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	sn_list_init(&c->link);
	c->k = k;
	c->req = *r;
	c->req.path = r->path;
	sn_buf_init(&c->in, r->max_bytes ? r->max_bytes : 4u << 20);
	c->body = malloc(r->body.n + 1);
	c->easy = curl_easy_init();
	if (!c->body || !c->easy) {
		free_call(c);
		return NULL;
	}
	if (r->body.n)
		memcpy(c->body, r->body.p, r->body.n);
	c->body[r->body.n] = 0;
	c->waiting = k->inside;
	if (configure(c) || (!c->waiting && curl_multi_add_handle(k->multi, c->easy) != CURLM_OK)) {
		free_call(c);
		return NULL;
	}
	c->req.path = NULL; /* borrowed only until here */
	sn_list_push_back(&k->calls, &c->link);
	k->n_left_over += c->waiting;
	return c;
}

void sn_kube_cancel(struct sn_kube_call *c)
{
	if (c->k->inside) {
		c->dead = true;
		c->k->n_left_over++;
	} else {
		free_call(c);
	}
}

struct sn_kube *sn_kube_new(struct sn_loop *l, const struct sn_kube_settings *set,
			    struct sn_err *err)
{
	struct sn_kube *k = calloc(1, sizeof(*k));

	if (!k || curl_global_init(CURL_GLOBAL_DEFAULT)) {
		free(k);
		sn_err_set(err, SN_ENOMEM, "libcurl cannot be used");
		return NULL;
	}
	k->loop = l;
	sn_list_init(&k->calls);
	sn_timer_init(&k->timer, on_timer);
	k->server = strdup(set->server);
	k->token_file = set->token_file ? strdup(set->token_file) : NULL;
	k->ca_file = set->ca_file ? strdup(set->ca_file) : NULL;
	k->multi = curl_multi_init();
	if (!k->multi || !k->server) {
		sn_kube_free(k);
		sn_err_set(err, SN_ENOMEM, "out of memory");
		return NULL;
	}
	curl_multi_setopt(k->multi, CURLMOPT_SOCKETFUNCTION, set_socket);
	curl_multi_setopt(k->multi, CURLMOPT_SOCKETDATA, k);
	curl_multi_setopt(k->multi, CURLMOPT_TIMERFUNCTION, set_timer);
	curl_multi_setopt(k->multi, CURLMOPT_TIMERDATA, k);
	curl_multi_setopt(k->multi, CURLMOPT_MAX_HOST_CONNECTIONS, CONNECTIONS_MAX);
	return k;
}

void sn_kube_free(struct sn_kube *k)
{
	struct sn_list *at;

	if (!k)
		return;
	while ((at = sn_list_first(&k->calls)))
		free_call(sn_list_entry(at, struct sn_kube_call, link));
	if (k->multi)
		curl_multi_cleanup(k->multi);
	sn_loop_timer_cancel(k->loop, &k->timer);
	free(k->server);
	free(k->token_file);
	free(k->ca_file);
	free(k->auth);
	free(k);
}

const struct sn_kube_counters *sn_kube_counters(const struct sn_kube *k)
{
	return &k->counters;
}
