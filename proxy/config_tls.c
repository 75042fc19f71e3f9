/* SPDX-License-Identifier: Apache-2.0 */
/* `tls` of a listener: files -> a context. A pair of files is replaced one file after the other, so
 * for a moment they do not fit together: then the context in use stays, and the rest of the
 * document is applied all the same. Without one in use (the start, --check) it is an error of the
 * document. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "net/tls.h"
#include "proxy/config_int.h"

#define PEM_MAX (1u << 20)

struct texts {
	struct sn_buf certificate, key, client_ca;
};

static const char *const part_keys[] = {[SN_TLS_CERTIFICATE] = "certificate",
					[SN_TLS_KEY] = "key",
					[SN_TLS_CLIENT_CA] = "clientCA"};

static struct sn_tls_ctx *in_use(const struct sn_config__source *src, const char *listener)
{
	size_t i;

	for (i = 0; src->in_use && i < src->in_use->n_listeners; i++)
		if (strcmp(src->in_use->listeners[i].name, listener) == 0)
			return src->in_use->listeners[i].tls ? src->in_use->listeners[i].tls->ctx
							     : NULL;
	return NULL;
}

static void warn(struct sn_conf_ctx *ctx, const struct sn_config__source *src,
		 const struct sn_val *at, const char *msg, const char *more)
{
	sn_buf_printf(src->messages, "%s:%u:%u: %s: %s%s\n", at->file ? at->file : "-", at->line,
		      at->col, ctx->path, msg, more);
}

static int read_part(const struct sn_config__source *src, const char *file, struct sn_buf *out,
		     struct sn_err *err)
{
	int rc = file ? src->read_file(src->arg, file, out) : 0;

	return rc ? sn_err_set(err, SN_ECONF, "%s: cannot be read: %s", file, strerror(-rc)) : 0;
}

static int read_all(const struct sn_config__source *src, const struct sn_config_tls *t,
		    struct texts *x, enum sn_tls_part *ret_part, struct sn_err *err)
{
	*ret_part = SN_TLS_CERTIFICATE;
	if (read_part(src, t->certificate, &x->certificate, err))
		return -SN_ECONF;
	*ret_part = SN_TLS_KEY;
	if (read_part(src, t->key, &x->key, err))
		return -SN_ECONF;
	*ret_part = SN_TLS_CLIENT_CA;
	return read_part(src, t->client_ca, &x->client_ca, err);
}

static void texts_done(struct texts *x)
{
	if (x->key.data)
		explicit_bzero(x->key.data, x->key.cap);
	sn_buf_done(&x->certificate);
	sn_buf_done(&x->key);
	sn_buf_done(&x->client_ca);
}

void sn_config__tls(struct sn_conf_ctx *ctx, const struct sn_config__source *src,
		    const struct sn_val *v, struct sn_config_listener *l)
{
	struct sn_config_tls *t = l->tls;
	struct sn_tls_ctx *old = in_use(src, l->name);
	struct sn_tls_material m = {.certificate_file = t->certificate,
				    .key_file = t->key,
				    .client_ca_file = t->client_ca,
				    .http = l->protocol != SN_LISTEN_OPAQUE};
	const struct sn_val *at;
	size_t len = strlen(ctx->path);
	enum sn_tls_part part;
	struct sn_err err = {0};
	struct texts x;

	if (!src->read_file)
		return;
	sn_buf_init(&x.certificate, PEM_MAX);
	sn_buf_init(&x.key, PEM_MAX);
	sn_buf_init(&x.client_ca, PEM_MAX);
	if (read_all(src, t, &x, &part, &err) == 0) {
		m.certificate = sn_buf_slice(&x.certificate);
		m.key = sn_buf_slice(&x.key);
		m.client_ca = sn_buf_slice(&x.client_ca);
		t->ctx = old && sn_tls_ctx_is_of(old, &m) ? sn_tls_ctx_ref(old)
							  : sn_tls_ctx_new_server(&m, &part, &err);
	}
	if (t->ctx)
		part = SN_TLS_CERTIFICATE;
	snprintf(ctx->path + len, sizeof(ctx->path) - len, ".tls.%s", part_keys[part]);
	at = sn_val_get(v, part_keys[part]);
	if (t->ctx && sn_tls_ctx_warning(t->ctx)) {
		warn(ctx, src, at, "warning: ", sn_tls_ctx_warning(t->ctx));
	} else if (!t->ctx && old) {
		t->ctx = sn_tls_ctx_ref(old);
		t->kept = true;
		warn(ctx, src, at, err.msg, "; what was in use before stays");
	} else if (!t->ctx) {
		sn_conf_error(ctx, at, "%s", err.msg);
	}
	ctx->path[len] = 0;
	texts_done(&x);
}
