/* SPDX-License-Identifier: Apache-2.0 */
/* Three paths on the shared responder. */
#include "operator/serve/health.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "base/metrics.h"
#include "http/responder.h"
#include "net/listener.h"

struct sn_health {
	struct sn_health_source src;
	struct sn_responder *responder;
};

static unsigned answer(void *arg, const struct sn_request *req, const struct sn_addr *peer,
		       struct sn_buf *body, const char **ret_type)
{
	struct sn_health *h = arg;
	const char *missing;

	(void)peer;
	if (req->method != SN_METHOD_GET) {
		*ret_type = "GET";
		return 405;
	}
	if (sn_slice_eq_cstr(req->path, "/healthz")) {
		sn_buf_puts(body, "ok\n");
		return 200;
	}
	if (sn_slice_eq_cstr(req->path, "/readyz")) {
		missing = h->src.missing(h->src.arg);
		sn_buf_printf(body, "%s\n", missing ? missing : "ok");
		return missing ? 503 : 200;
	}
	if (sn_slice_eq_cstr(req->path, "/metrics")) {
		*ret_type = "text/plain; version=0.0.4; charset=utf-8";
		h->src.metrics(h->src.arg, body);
		sn_metrics_process(body);
		return 200;
	}
	sn_buf_puts(body, "here are /healthz, /readyz and /metrics\n");
	return 404;
}

struct sn_health *sn_health_new(struct sn_loop *l, const char *address,
				const struct sn_health_source *src, struct sn_err *err)
{
	struct sn_health *h = calloc(1, sizeof(*h));
	struct sn_addr at, local;
	char text[SN_ADDR_TEXT];
	int fd;

	if (!h)
		return NULL;
	h->src = *src;
	if (sn_addr_parse(sn_slice_cstr(address), &at)) {
		sn_err_set(err, SN_EUSAGE,
			   "--http-listen: \"%s\" is not an address such as [::]:8080", address);
		free(h);
		return NULL;
	}
	fd = sn_listener_bind(&at, false, 128, &local, err);
	if (fd >= 0)
		h->responder = sn_responder_new(l, fd, answer, h);
	if (!h->responder) {
		if (fd >= 0)
			close(fd);
		free(h);
		return NULL;
	}
	sn_info("operator", "health and metrics on http://%s", sn_addr_format(&local, text));
	return h;
}

void sn_health_free(struct sn_health *h)
{
	if (!h)
		return;
	sn_responder_free(h->responder);
	free(h);
}
