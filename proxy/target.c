/* SPDX-License-Identifier: Apache-2.0 */
/* Which service? Transparent: only the original destination counts. Otherwise the listener's pin,
 * or Host. Pure decisions over the snapshot. */
#include <stdio.h>
#include <string.h>

#include "http/url.h"
#include "proxy/conn.h"

static void refuse(struct sn_target *t, unsigned status, enum sn_refusal_reason reason,
		   const char *detail)
{
	t->kind = SN_TARGET_REFUSE;
	t->status = status;
	t->reason = reason;
	t->detail = detail;
}

static void use_service(struct sn_target *t, const struct sn_service *svc, uint16_t asked,
			bool exact_port)
{
	const struct sn_service_port *p =
		exact_port ? sn_service_find_port(svc, asked) : sn_service_pick_port(svc, asked);

	t->kind = SN_TARGET_SERVICE;
	t->svc = svc;
	t->port = p ? p->port : asked;
	t->protocol = p ? p->protocol : SN_PORT_DETECT;
}

static void by_destination(struct sn_conn *c, struct sn_target *t)
{
	const struct sn_service *svc = NULL;

	if (c->dst.family == 0) {
		refuse(t, 404, SN_REFUSE_NO_DESTINATION,
		       "the connection has no original destination; was it redirected here?");
		return;
	}
	if (c->conf->direction == SN_OUTBOUND)
		svc = sn_snapshot_by_addr(c->w->snap, &c->dst);
	if (svc) {
		use_service(t, svc, c->dst.port, true);
	} else if (c->conf->direction == SN_OUTBOUND &&
		   c->w->snap->default_mode == SN_DEFAULT_DENY) {
		refuse(t, 403, SN_REFUSE_DENIED,
		       "no service has this destination, and defaultService is deny");
	} else {
		t->kind = SN_TARGET_DIRECT;
		t->addr = c->dst;
	}
}

static void by_host(struct sn_conn *c, const struct sn_request *req, struct sn_target *t)
{
	const struct sn_service *svc;
	struct sn_slice host;
	uint16_t port;

	if (!req) {
		refuse(t, 404, SN_REFUSE_NO_SERVICE,
		       "bytes without a Host: pin the listener to a service");
		return;
	}
	if (sn_url_authority(req->authority, &host, &port)) {
		refuse(t, 404, SN_REFUSE_NO_SERVICE, "no usable Host");
		return;
	}
	svc = sn_snapshot_by_host(c->w->snap, host);
	if (svc)
		use_service(t, svc, port, false);
	else
		refuse(t, 404, SN_REFUSE_NO_SERVICE, "no service has this Host");
}

void sn_target_find(struct sn_conn *c, const struct sn_request *req, struct sn_target *t)
{
	const struct sn_service *svc;

	memset(t, 0, sizeof(*t));
	if (c->conf->service) {
		svc = sn_listen_pinned(c->listen);
		if (svc)
			use_service(t, svc, 0, false);
		else
			refuse(t, 404, SN_REFUSE_NO_SERVICE,
			       "the service that this listener is pinned to is gone");
	} else if (c->conf->transparent) {
		by_destination(c, t);
	} else {
		by_host(c, req, t);
	}
}
