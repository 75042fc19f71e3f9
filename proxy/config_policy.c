/* SPDX-License-Identifier: Apache-2.0 */
/* How a service is used as a backend, and a rule's retries and rate: decoded -> compiled. */
#include "base/hash.h"
#include "proxy/config_int.h"

static const struct sn_persist *session(struct build *b, const struct sn_raw_session *raw)
{
	/* headers that begin with sennit- are between proxies */
	const char *usual = raw->type == SN_PERSIST_HEADER ? "x-sennit-session" : "sennit-session";
	struct sn_persist *p = sn_config__take(b, 1, sizeof(*p));

	if (!p)
		return NULL;
	*p = (struct sn_persist){
		.name = sn_config__keep_slice(b, raw->name ? raw->name : usual),
		.type = (enum sn_persist_type)raw->type,
		.permanent = raw->cookie.permanent,
		.absolute_s = (uint32_t)(raw->absolute_timeout / 1000),
		.idle_s = (uint32_t)(raw->idle_timeout / 1000),
		/* the same for all proxies: it tells ours from garbage, and hides nothing */
		.key = {0x73656e6e69742e64, 0x65762f73657373},
	};
	return p;
}

void sn_config__policy(struct build *b, const struct sn_raw_policy *raw, struct sn_policy *p)
{
	sn_schema_policy_values(raw, p);
	p->hash_on.name = sn_config__keep(b, p->hash_on.name);
	if (raw->session)
		p->persist = session(b, raw->session);
}

const struct sn_retry_policy *sn_config__retry(struct build *b, const struct sn_raw_retry *raw)
{
	struct sn_retry_policy *p = raw ? sn_config__take(b, 1, sizeof(*p)) : NULL;
	size_t i;

	if (!p)
		return NULL;
	sn_retry_defaults(p);
	p->attempts = (uint32_t)raw->attempts;
	sn_retry_set_backoff(p, raw->backoff * 1000000);
	for (i = 0; i < raw->n_codes; i++) /* the schema has checked both */
		(void)sn_retry_add_code(p, (unsigned)raw->codes[i]);
	for (i = 0; i < raw->n_grpc; i++)
		(void)sn_retry_add_grpc(p, raw->grpc[i]);
	return p;
}

const struct sn_rate_limit *sn_config__rate_limit(struct build *b, const struct sn_raw_rate *raw)
{
	struct sn_rate_limit *l = raw ? sn_config__take(b, 1, sizeof(*l)) : NULL;

	if (!l)
		return NULL;
	l->rate = sn_schema_rate(raw);
	l->per = (enum sn_rate_per)raw->per;
	l->header = sn_config__keep_slice(b, raw->header);
	l->slot = b->snap->n_slots++;
	return l;
}
