/* SPDX-License-Identifier: Apache-2.0 */
/* A client that brings no session, or one of an endpoint that is gone, gets a new one with the
 * answer of the endpoint that it was given. */
#include "proxy/session.h"

#include <time.h>

#include "proxy/exchange.h"

static const struct sn_persist *settings(const struct sn_exchange *x)
{
	return x->svc ? x->svc->policy.persist : NULL;
}

static uint64_t now_unix_s(void)
{
	return (uint64_t)time(NULL);
}

void sn_session_read(struct sn_exchange *x)
{
	const struct sn_persist *p = settings(x);

	x->in_session = p && sn_persist_find(p, &x->req.headers, now_unix_s(), &x->session) == 0;
}

void sn_session_tell(struct sn_exchange *x, struct sn_headers *hs, char text[SN_SESSION_TEXT])
{
	const struct sn_persist *p = settings(x);
	uint64_t now, id;
	int n;

	if (!p || !x->endpoint || !x->c || hs->n >= hs->cap)
		return;
	now = now_unix_s();
	id = x->endpoint->id;
	if (x->in_session && x->session.endpoint == id &&
	    !sn_persist_needs_renewal(p, &x->session, now))
		return;
	if (!x->in_session || x->session.endpoint != id)
		sn_persist_start(&x->session, id, now);
	if (p->type == SN_PERSIST_HEADER) {
		sn_persist_write(p, &x->session, now, text);
		hs->v[hs->n++] = (struct sn_header){.name = p->name,
						    .value = sn_slice(text, SN_PERSIST_TOKEN)};
		return;
	}
	n = sn_persist_set_cookie(p, &x->session, x->c->conf->tls != NULL, now, text,
				  SN_SESSION_TEXT);
	if (n > 0)
		hs->v[hs->n++] = (struct sn_header){.name = SN_SLICE("set-cookie"),
						    .value = sn_slice(text, (size_t)n)};
}
