/* SPDX-License-Identifier: Apache-2.0 */
/* The admin port: reading from anywhere, changing only from loopback, GET never changes anything.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "http/url.h"
#include "net/listener.h"
#include "net/tls.h"
#include "proxy/control.h"
#include "proxy/views/views.h"

#define VIEW_MAX (16u << 20)

static void render_certificates(struct sn_control *c, struct sn_buf *out)
{
	static const char *const results[] = {"applied", "rejected"};
	size_t i;

	sn_metrics_family(out, "sennit_certificate_reload_total", "counter",
			  "Certificates of listeners that changed while running.");
	for (i = 0; i < SN_ARRAY_LEN(results); i++) {
		struct sn_metrics_label r = {"result", results[i]};

		sn_metrics_u64(out, "sennit_certificate_reload_total", &r, 1, c->certificates[i]);
	}
	sn_metrics_family(out, "sennit_certificate_expiry_seconds", "gauge",
			  "End of a listener's certificate, since 1970.");
	for (i = 0; i < c->current->n_listeners; i++) {
		const struct sn_config_listener *l = &c->current->listeners[i];
		struct sn_metrics_label name = {"listener", l->name};

		if (l->tls && l->tls->ctx && sn_tls_ctx_not_after(l->tls->ctx) > 0)
			sn_metrics_u64(out, "sennit_certificate_expiry_seconds", &name, 1,
				       (uint64_t)sn_tls_ctx_not_after(l->tls->ctx));
	}
}

static void render_upgrades(struct sn_control *c, struct sn_buf *out)
{
	int i;

	sn_metrics_family(out, "sennit_upgrade_total", "counter",
			  "Upgrades in place: taken from another process, refused or failed.");
	for (i = 0; i < SN_UPGRADE_RESULTS; i++) {
		struct sn_metrics_label r = {"result",
					     sn_upgrade_result_name((enum sn_upgrade_result)i)};

		sn_metrics_u64(out, "sennit_upgrade_total", &r, 1, c->upgrade.counts[i]);
	}
}

static void render_reloads(struct sn_control *c, struct sn_buf *out)
{
	static const char *const results[] = {"applied", "unchanged", "rejected", "waiting"};
	struct sn_metrics_label l = {"revision", c->current->snapshot->revision};
	size_t i;

	sn_metrics_family(out, "sennit_config_reload_total", "counter",
			  "Looks at the configuration.");
	for (i = 0; i < SN_ARRAY_LEN(results); i++) {
		struct sn_metrics_label r = {"result", results[i]};

		sn_metrics_u64(out, "sennit_config_reload_total", &r, 1, c->reloads[i]);
	}
	render_certificates(c, out);
	sn_metrics_family(out, "sennit_config_revision_info", "gauge", "The revision in use.");
	sn_metrics_u64(out, "sennit_config_revision_info", &l, 1, 1);
	sn_metrics_family(out, "sennit_config_missing", "gauge", "1: serving without routes.");
	sn_metrics_u64(out, "sennit_config_missing", NULL, 0, c->config_missing);
}

static unsigned metrics(struct sn_control *c, struct sn_buf *body, const char **ret_type)
{
	struct sn_metrics_label version = {"version", SN_VERSION};
	struct sn_stats sum;
	unsigned i;

	*ret_type = "text/plain; version=0.0.4; charset=utf-8";
	sn_stats_init(&sum);
	for (i = 0; i < c->n_workers; i++)
		if (sn_worker_collect(c->workers[i], &sum))
			sn_warn("proxy", "worker %u did not give its statistics in time", i);
	sn_stats_render(&sum, body);
	sn_stats_done(&sum);
	render_reloads(c, body);
	sn_discovery_render(c->discovery, c->current->snapshot, body);
	render_upgrades(c, body);
	sn_metrics_family(body, "sennit_build_info", "gauge", "This program.");
	sn_metrics_u64(body, "sennit_build_info", &version, 1, 1);
	sn_metrics_process(body);
	return 200;
}

static unsigned config(struct sn_control *c, struct sn_buf *body, const char **ret_type)
{
	*ret_type = "application/yaml";
	sn_buf_printf(body, "# in use, from %s\n", c->path);
	return sn_config_text(c->current, body) ? 500 : 200;
}

static unsigned change(struct sn_control *c, const struct sn_request *req,
		       const struct sn_addr *peer, void (*what)(struct sn_control *c),
		       struct sn_buf *body, const char **ret_type)
{
	if (req->method != SN_METHOD_POST) {
		*ret_type = "POST";
		sn_buf_puts(body, "this changes the proxy: POST, from loopback\n");
		return 405;
	}
	if (!sn_addr_is_loopback(peer)) {
		sn_buf_puts(body, "only from loopback: run it in the pod, sennit-proxy --drain | "
				  "--shutdown\n");
		return 403;
	}
	what(c);
	sn_buf_puts(body, "ok\n");
	return 200;
}

/* Text unless JSON is asked for, by Accept or ?format=json. */
static bool wants_json(const struct sn_request *req, struct sn_slice query)
{
	const struct sn_header *h = sn_headers_find(&req->headers, SN_SLICE("accept"));
	struct sn_slice format;

	if (sn_url_query_find(query, SN_SLICE("format"), &format))
		return sn_slice_eq_cstr(format, "json");
	return h && sn_slice_ieq(sn_slice_trim(h->value), SN_SLICE("application/json"));
}

static unsigned view(struct sn_control *c, const struct sn_request *req, struct sn_slice path,
		     struct sn_slice query, struct sn_buf *body, const char **ret_type)
{
	const char *error = NULL;
	struct sn_arena arena;
	struct sn_val *v;

	sn_arena_init(&arena, 16384, VIEW_MAX);
	if (sn_slice_eq_cstr(path, "/routes"))
		v = sn_view_routes(&arena, c->current->snapshot, query);
	else if (sn_slice_eq_cstr(path, "/services"))
		v = sn_view_services(&arena, c, query);
	else if (sn_slice_eq_cstr(path, "/endpoints"))
		v = sn_view_endpoints(&arena, c, query);
	else
		v = sn_view_explain(&arena, c, query, &error);
	if (!v)
		sn_buf_printf(body, "%s\n", error ? error : "out of memory, or a worker is busy");
	else if (wants_json(req, query))
		sn_view_json(v, body);
	else
		sn_view_text(v, body);
	if (v && wants_json(req, query))
		*ret_type = "application/json";
	sn_arena_done(&arena);
	return v ? 200 : error ? 400 : 503;
}

static bool is_view(struct sn_slice path)
{
	return sn_slice_eq_cstr(path, "/routes") || sn_slice_eq_cstr(path, "/services") ||
	       sn_slice_eq_cstr(path, "/endpoints") || sn_slice_eq_cstr(path, "/explain");
}

static unsigned answer(void *arg, const struct sn_request *req, const struct sn_addr *peer,
		       struct sn_buf *body, const char **ret_type)
{
	struct sn_control *c = arg;
	struct sn_slice path = req->path, query = path;

	path = sn_slice_cut(&query, '?');
	if (sn_slice_eq_cstr(path, "/drain"))
		return change(c, req, peer, sn_control_drain, body, ret_type);
	if (sn_slice_eq_cstr(path, "/shutdown"))
		return change(c, req, peer, sn_control_shutdown, body, ret_type);
	if (req->method != SN_METHOD_GET && req->method != SN_METHOD_HEAD) {
		*ret_type = "GET, HEAD";
		sn_buf_puts(body, "GET\n");
		return 405;
	}
	if (sn_slice_eq_cstr(path, "/live")) {
		sn_buf_puts(body, "live\n");
		return 200;
	}
	if (sn_slice_eq_cstr(path, "/ready")) {
		sn_buf_puts(body, sn_control_is_ready(c)    ? "ready\n"
				  : c->phase == SN_STARTING ? "starting\n"
							    : "draining\n");
		return sn_control_is_ready(c) ? 200 : 503;
	}
	if (sn_slice_eq_cstr(path, "/metrics"))
		return metrics(c, body, ret_type);
	if (sn_slice_eq_cstr(path, "/config"))
		return config(c, body, ret_type);
	if (is_view(path))
		return view(c, req, path, query.p ? query : sn_slice("", 0), body, ret_type);
	sn_buf_puts(body,
		    "GET /live /ready /metrics /config /routes /services /endpoints "
		    "/explain?service=&method=&path=&header=NAME:VALUE, POST /drain /shutdown\n");
	return 404;
}

int sn_admin_bind(struct sn_control *c, struct sn_err *err)
{
	struct sn_addr at = c->boot->admin, local;
	int fd = sn_handed_take(&c->upgrade.handed, SN_HANDED_ADMIN, &at, 0, 1);

	if (fd < 0)
		fd = sn_listener_reserve(&at, false, &local, err);
	if (fd < 0 && at.family == AF_INET6 &&
	    (err->os_errno == EAFNOSUPPORT || err->os_errno == EADDRNOTAVAIL)) {
		sn_addr_parse_ip(SN_SLICE("0.0.0.0"), at.port, &at);
		fd = sn_handed_take(&c->upgrade.handed, SN_HANDED_ADMIN, &at, 0, 1);
		if (fd < 0)
			fd = sn_listener_reserve(&at, false, &local, err);
	}
	if (fd < 0)
		return sn_err_wrap(err, "admin");
	c->admin_fd = fd;
	return 0;
}

int sn_admin_serve(struct sn_control *c, struct sn_err *err)
{
	struct sn_addr local = {0};
	char text[SN_ADDR_TEXT];

	if (listen(c->admin_fd, 128))
		return sn_err_sys(err, errno, "admin: cannot listen");
	(void)sn_listener_address(c->admin_fd, &local);
	c->admin = sn_responder_new(c->loop, c->admin_fd, answer, c);
	if (!c->admin)
		return sn_err_set(err, SN_ENOMEM, "admin: out of memory");
	sn_info("proxy", "admin at http://%s", sn_addr_format(&local, text));
	return 0;
}

/* --- the other end: sennit-proxy --drain, --shutdown
 * ---------------------------------------------- */

int sn_admin_tell(const char *admin, const char *what)
{
	struct sockaddr_storage ss;
	struct timeval limit = {.tv_sec = 5};
	struct sn_addr at;
	char text[256];
	socklen_t len;
	int fd, n;

	if (sn_addr_parse(sn_slice_cstr(admin), &at)) {
		fprintf(stderr, "sennit-proxy: --admin: \"%s\" is not IP:PORT\n", admin);
		return 2;
	}
	len = sn_addr_to_sockaddr(&at, &ss);
	fd = socket(at.family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return 1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	n = snprintf(text, sizeof(text),
		     "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n", what, admin);
	if (connect(fd, (struct sockaddr *)&ss, len) ||
	    send(fd, text, (size_t)n, MSG_NOSIGNAL) != n) {
		fprintf(stderr, "sennit-proxy: no proxy answers at %s: %s\n", admin,
			strerror(errno));
		close(fd);
		return 1;
	}
	n = (int)recv(fd, text, sizeof(text) - 1, 0);
	close(fd);
	if (n < 12 || memcmp(text, "HTTP/1.1 200", 12) != 0) {
		fprintf(stderr, "sennit-proxy: %s at %s was refused\n", what, admin);
		return 1;
	}
	return 0;
}
