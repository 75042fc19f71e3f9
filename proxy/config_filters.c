/* SPDX-License-Identifier: Apache-2.0 */
/* A rule's filters: decoded -> what requests are held against. A rule without any has none of it.
 */
#include <string.h>

#include "mesh/filter.h"
#include "mesh/grpc.h"
#include "proxy/config_int.h"

static struct sn_header_value *values(struct build *b, const struct sn_raw_pair *raw, size_t n)
{
	struct sn_header_value *out = sn_config__take(b, n, sizeof(*out));
	size_t i;

	for (i = 0; i < n && out; i++) {
		out[i].name = sn_config__keep_slice(b, raw[i].name);
		out[i].value = sn_config__keep_slice(b, raw[i].value);
	}
	return out;
}

static struct sn_header_modifier *modifier(struct build *b, const struct sn_raw_modifier *raw)
{
	struct sn_header_modifier *m = sn_config__take(b, 1, sizeof(*m));
	size_t i;

	if (!m)
		return NULL;
	m->set = values(b, raw->set, raw->n_set);
	m->n_set = raw->n_set;
	m->add = values(b, raw->add, raw->n_add);
	m->n_add = raw->n_add;
	m->remove = sn_config__take(b, raw->n_remove, sizeof(*m->remove));
	m->n_remove = raw->n_remove;
	for (i = 0; i < m->n_remove && m->remove; i++)
		m->remove[i] = sn_config__keep_slice(b, raw->remove[i]);
	return m;
}

/* The prefix is that of the rule's only match: the schema has seen to it. */
static struct sn_path_change path_change(struct build *b, const struct sn_raw_path_change *raw,
					 const struct sn_raw_rule *rule)
{
	struct sn_path_change c = {SN_PATH_KEEP, {"", 0}, 0};
	const char *prefix;

	if (!raw)
		return c;
	c.kind = (enum sn_path_change_kind)raw->type;
	c.value = sn_config__keep_slice(b, raw->full ? raw->full : raw->prefix);
	if (c.kind == SN_PATH_REPLACE_PREFIX) {
		prefix = rule->matches[0].path->value;
		c.prefix_bytes = strlen(prefix);
		while (c.prefix_bytes && prefix[c.prefix_bytes - 1] == '/')
			c.prefix_bytes--;
	}
	return c;
}

static struct sn_rewrite *rewrite(struct build *b, const struct sn_raw_rewrite *raw,
				  const struct sn_raw_rule *rule)
{
	struct sn_rewrite *r = sn_config__take(b, 1, sizeof(*r));

	if (!r)
		return NULL;
	r->hostname = sn_config__keep_slice(b, raw->hostname);
	r->path = path_change(b, raw->path, rule);
	return r;
}

static struct sn_redirect *redirect(struct build *b, const struct sn_raw_redirect *raw,
				    const struct sn_raw_rule *rule)
{
	static const char *const schemes[] = {"", "http", "https"};
	struct sn_redirect *r = sn_config__take(b, 1, sizeof(*r));

	if (!r)
		return NULL;
	r->scheme = sn_slice_cstr(schemes[raw->scheme]);
	r->hostname = sn_config__keep_slice(b, raw->hostname);
	r->path = path_change(b, raw->path, rule);
	r->port = (uint16_t)raw->port;
	r->status = (uint16_t)raw->status;
	return r;
}

static struct sn_direct_response *direct(struct build *b, const struct sn_raw_direct_response *raw)
{
	struct sn_direct_response *d = sn_config__take(b, 1, sizeof(*d));

	if (!d)
		return NULL;
	d->status = (uint16_t)raw->status;
	d->body = sn_config__keep_slice(b, raw->body);
	d->content_type = sn_config__keep_slice(b, raw->content_type);
	return d;
}

static struct sn_share percent(int64_t n)
{
	return (struct sn_share){(uint32_t)n, 100};
}

static struct sn_fault *fault(struct build *b, const struct sn_raw_fault *raw)
{
	struct sn_fault *f = sn_config__take(b, 1, sizeof(*f));

	if (!f)
		return NULL;
	f->delay = percent(raw->delay ? raw->delay->percent : 0);
	f->delay_ms = raw->delay ? raw->delay->duration : 0;
	f->abort = percent(raw->abort ? raw->abort->percent : 0);
	f->abort_grpc = -1;
	if (raw->abort && raw->abort->grpc) {
		f->abort_grpc = raw->abort->grpc;
		f->abort_status = (uint16_t)sn_grpc_http_status(f->abort_grpc);
	} else if (raw->abort) {
		f->abort_status = (uint16_t)raw->abort->status;
	}
	return f;
}

/* "GET, PUT" */
static struct sn_slice joined(struct build *b, const char **list, size_t n)
{
	struct sn_slice out = {"", 0};
	struct sn_buf text;
	size_t i;

	sn_buf_init(&text, 0);
	for (i = 0; i < n; i++)
		b->oom |= sn_buf_printf(&text, "%s%s", i ? ", " : "", list[i]) != 0;
	if (n && !b->oom)
		out = sn_config__keep_slice(b, sn_buf_cstr(&text));
	sn_buf_done(&text);
	return out;
}

static bool is_star(const char **list, size_t n)
{
	return n == 1 && strcmp(list[0], "*") == 0;
}

static struct sn_cors *cors(struct build *b, const struct sn_raw_cors *raw)
{
	struct sn_cors *c = sn_config__take(b, 1, sizeof(*c));
	char *age = sn_arena_printf(&b->snap->arena, "%lld", (long long)raw->max_age);
	size_t i;

	if (!c || !age) {
		b->oom = true;
		return NULL;
	}
	c->any_origin = is_star(raw->origins, raw->n_origins);
	c->origins = sn_config__take(b, raw->n_origins, sizeof(*c->origins));
	for (i = 0; i < raw->n_origins && c->origins && !c->any_origin; i++) /* checked already */
		(void)sn_cors_origin_parse(sn_config__keep_slice(b, raw->origins[i]),
					   &c->origins[c->n_origins++]);
	c->credentials = raw->credentials;
	c->any_method = is_star(raw->methods, raw->n_methods);
	c->any_header = is_star(raw->headers, raw->n_headers);
	c->any_exposed = is_star(raw->exposed, raw->n_exposed);
	c->methods = joined(b, raw->methods, raw->n_methods);
	c->headers = joined(b, raw->headers, raw->n_headers);
	if (!c->any_exposed)
		c->exposed = joined(b, raw->exposed, raw->n_exposed);
	c->max_age = sn_slice_cstr(age);
	return c;
}

static void mirror(struct build *b, const struct sn_raw_mirror *raw, struct sn_mirror *m)
{
	m->backend.name = sn_config__keep(b, raw->backend->name);
	m->backend.service_id = -1;
	m->backend.port = (uint16_t)raw->backend->port;
	m->backend.slot = b->snap->n_slots++;
	if (raw->fraction)
		m->share = (struct sn_share){(uint32_t)raw->fraction->numerator,
					     (uint32_t)raw->fraction->denominator};
	else
		m->share = percent(raw->has_percent ? raw->percent : 100);
}

static void filter(struct build *b, const struct sn_raw_filter *raw, const struct sn_raw_rule *rule,
		   struct sn_filters *f)
{
	switch ((enum sn_raw_filter_type)raw->type) {
	case SN_FILTER_REQUEST_HEADERS:
		f->request = modifier(b, raw->request);
		break;
	case SN_FILTER_RESPONSE_HEADERS:
		f->response = modifier(b, raw->response);
		break;
	case SN_FILTER_REWRITE:
		f->rewrite = rewrite(b, raw->rewrite, rule);
		break;
	case SN_FILTER_REDIRECT:
		f->redirect = redirect(b, raw->redirect, rule);
		break;
	case SN_FILTER_MIRROR:
		mirror(b, raw->mirror, &f->mirrors[f->n_mirrors++]);
		break;
	case SN_FILTER_DIRECT_RESPONSE:
		f->direct = direct(b, raw->direct);
		break;
	case SN_FILTER_FAULT:
		f->fault = fault(b, raw->fault);
		break;
	case SN_FILTER_CORS:
		f->cors = cors(b, raw->cors);
		break;
	case SN_FILTER_TYPES:
		break;
	}
}

struct sn_filters *sn_config__filters(struct build *b, const struct sn_raw_rule *raw)
{
	struct sn_filters *f;
	size_t i;

	if (raw->n_filters == 0)
		return NULL;
	f = sn_config__take(b, 1, sizeof(*f));
	if (!f)
		return NULL;
	f->mirrors = sn_config__take(b, raw->n_filters, sizeof(*f->mirrors));
	if (!f->mirrors)
		return NULL;
	f->slot = b->snap->n_slots++;
	for (i = 0; i < raw->n_filters; i++)
		filter(b, &raw->filters[i], raw, f);
	return f;
}
