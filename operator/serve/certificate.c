/* SPDX-License-Identifier: Apache-2.0 */
/* The Secret, the bundles, the serving certificate; one step at a time, each again with backoff. */
#include "operator/serve/certificate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/hash.h"
#include "base/json.h"
#include "base/log.h"
#include "base/metrics.h"
#include "kube/backoff.h"
#include "kube/watch.h"
#include "net/x509.h"

#define DAY_S (24 * 3600)
#define CA_LIFE_S ((uint64_t)3650 * DAY_S)
#define SERVING_LIFE_S ((uint64_t)90 * DAY_S)
#define SECRET_BYTES_MAX (256u * 1024)
#define WEBHOOKS_MAX 16

struct sn_certificate {
	struct sn_loop *loop;
	struct sn_kube *k;
	const char *ns;
	sn_certificate_fn renewed;
	void *arg;
	struct sn_kube_call *secret_call, *patch_call;
	struct sn_kube_watch *watch;
	struct sn_timer again; /* the Secret: after a failure, and now and then */
	uint64_t look_again_ms;
	struct sn_timer patch_again;
	struct sn_rng rng;
	unsigned failures, patch_failures;
	struct sn_buf ca_cert, ca_key; /* PEM; the key only as long as it is needed */
	struct sn_buf bundle;	       /* base64 of CA certificates, for caBundle */
	/* the webhook configuration as last seen: which of its entries lack the bundle */
	struct sn_buf config; /* JSON of its `webhooks` names and bundles, see remember() */
	bool config_seen, bundles_ok, served;
	char signer[SN_HASH_HEX]; /* the CA that signed what is served */
	bool changed;		  /* while a patch was under way */
	int64_t ca_not_after, serving_not_after;
	uint64_t n_patches, n_errors;
	char missing[256];
};

static void get_secret(struct sn_certificate *c);
static void patch_bundles(struct sn_certificate *c);

static void say_missing(struct sn_certificate *c, const char *what)
{
	snprintf(c->missing, sizeof(c->missing), "%s", what);
}

static void later(struct sn_certificate *c, const char *what, const struct sn_kube_answer *a)
{
	uint64_t ms = sn_backoff_ms(++c->failures, a ? a->retry_after_s * 1000u : 0, &c->rng);

	c->n_errors++;
	say_missing(c, what);
	sn_warn("webhook", "%s: %u %s %.*s; again in %llu ms", what, a ? a->status : 0,
		a ? a->error : "", a && a->body.n < 300 ? (int)a->body.n : 0, a ? a->body.p : "",
		(unsigned long long)ms);
	sn_loop_timer(c->loop, &c->again, ms);
}

static int64_t now_s(void)
{
	return (int64_t)(sn_clock_wall_ms() / 1000);
}

/* Past two thirds of its life? */
static bool is_due(const struct sn_x509_info *i)
{
	return now_s() > i->not_before + (i->not_after - i->not_before) / 3 * 2;
}

/* --- serving
 * -------------------------------------------------------------------------------------- */

static void serve(struct sn_certificate *c)
{
	struct sn_buf cert, key;
	struct sn_err err = {0};
	char names[2][300];
	const char *dns[2] = {names[0], names[1]};
	char ca[SN_HASH_HEX];

	sn_hash_content(sn_buf_slice(&c->ca_cert).p, sn_buf_len(&c->ca_cert), ca);
	if (c->served && strcmp(ca, c->signer) == 0 &&
	    now_s() < c->serving_not_after - (int64_t)SERVING_LIFE_S / 3)
		return;
	snprintf(names[0], sizeof(names[0]), "%s.%s.svc", SN_WEBHOOK_SERVICE, c->ns);
	snprintf(names[1], sizeof(names[1]), "%s.%s.svc.cluster.local", SN_WEBHOOK_SERVICE, c->ns);
	sn_buf_init(&cert, 16384);
	sn_buf_init(&key, 16384);
	if (sn_x509_issue_server(sn_buf_slice(&c->ca_cert), sn_buf_slice(&c->ca_key), dns, 2,
				 SERVING_LIFE_S, &cert, &key, &err)) {
		c->n_errors++;
		sn_error("webhook", "Secret %s/%s: %s; delete its data, a new CA is made then",
			 c->ns, SN_CA_SECRET, err.msg);
		say_missing(c, "the CA in Secret " SN_CA_SECRET " cannot be used");
	} else {
		struct sn_x509_info info;

		c->serving_not_after =
			sn_x509_info(sn_buf_slice(&cert), &info, &err) ? 0 : info.not_after;
		c->served = true;
		memcpy(c->signer, ca, sizeof(ca));
		c->renewed(c->arg, sn_buf_slice(&cert), sn_buf_slice(&key));
	}
	sn_buf_done(&cert);
	sn_buf_done(&key);
}

/* --- the webhook configuration
 * -------------------------------------------------------------------- */

/* What of the object matters, as one line per webhook: name, space, bundle. */
static void remember(struct sn_certificate *c, const struct sn_val *obj)
{
	const struct sn_val *hooks = sn_val_get(obj, "webhooks");
	size_t i;

	sn_buf_reset(&c->config);
	for (i = 0; i < sn_val_len(hooks) && i < WEBHOOKS_MAX; i++) {
		const struct sn_val *h = sn_val_at(hooks, i);

		sn_buf_printf(&c->config, "%s %s\n", sn_val_str(sn_val_get(h, "name"), ""),
			      sn_val_str(sn_val_path(h, "clientConfig.caBundle"), ""));
	}
	c->config_seen = true;
}

static void on_patched(void *arg, const struct sn_kube_answer *a)
{
	struct sn_certificate *c = arg;
	uint64_t ms;

	c->patch_call = NULL;
	if (a->code == 0) { /* the watch shows it, or has done so already */
		c->patch_failures = 0;
		c->n_patches++;
		if (c->changed)
			patch_bundles(c);
		return;
	}
	c->n_errors++;
	ms = sn_backoff_ms(++c->patch_failures, a->retry_after_s * 1000u, &c->rng);
	sn_warn("webhook", "%s: caBundle could not be written: %u %s", SN_WEBHOOK_CONFIGURATION,
		a->status, a->error);
	sn_loop_timer(c->loop, &c->patch_again, ms);
}

/* A strategic merge: entries by name, nothing else of them is touched. Returns how many differ. */
static size_t patch_body(struct sn_certificate *c, struct sn_buf *out)
{
	struct sn_slice rest = sn_buf_slice(&c->config), want = sn_buf_slice(&c->bundle);
	struct sn_jsonw w;
	size_t n = 0;

	sn_jsonw_init(&w, out);
	sn_jsonw_map(&w);
	sn_jsonw_key(&w, "webhooks");
	sn_jsonw_list(&w);
	while (rest.n) {
		struct sn_slice bundle = sn_slice_cut(&rest, '\n'),
				name = sn_slice_cut(&bundle, ' ');

		if (sn_slice_eq(bundle, want))
			continue;
		n++;
		sn_jsonw_map(&w);
		sn_jsonw_key(&w, "name");
		sn_jsonw_slice(&w, name);
		sn_jsonw_key(&w, "clientConfig");
		sn_jsonw_map(&w);
		sn_jsonw_key(&w, "caBundle");
		sn_jsonw_slice(&w, want);
		sn_jsonw_map_end(&w);
		sn_jsonw_map_end(&w);
	}
	sn_jsonw_list_end(&w);
	sn_jsonw_map_end(&w);
	return n;
}

static void patch_bundles(struct sn_certificate *c)
{
	struct sn_kube_request q = {
		.method = "PATCH",
		.content_type = "application/strategic-merge-patch+json",
		.path = "/apis/admissionregistration.k8s.io/v1/"
			"mutatingwebhookconfigurations/" SN_WEBHOOK_CONFIGURATION
			"?fieldManager=sennit.dev%2Foperator",
		.done = on_patched,
		.arg = c};
	struct sn_buf body;

	c->changed = c->patch_call != NULL;
	if (!c->config_seen || sn_buf_len(&c->bundle) == 0 || c->patch_call)
		return;
	sn_buf_init(&body, 1u << 20);
	if (patch_body(c, &body) == 0) {
		if (!c->bundles_ok)
			sn_info("webhook", "%s: every caBundle holds the CA",
				SN_WEBHOOK_CONFIGURATION);
		c->bundles_ok = true;
		serve(c);
	} else {
		c->bundles_ok = false;
		say_missing(c, "caBundle of " SN_WEBHOOK_CONFIGURATION " is being written");
		q.body = sn_buf_slice(&body);
		c->patch_call = sn_kube_send(c->k, &q);
		if (!c->patch_call)
			sn_loop_timer(c->loop, &c->patch_again, 1000);
	}
	sn_buf_done(&body);
}

static void on_patch_again(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	patch_bundles(sn_container_of(t, struct sn_certificate, patch_again));
}

static void list_begin(void *arg)
{
	struct sn_certificate *c = arg;

	c->config_seen = false;
}

static void list_end(void *arg)
{
	struct sn_certificate *c = arg;

	if (c->config_seen)
		return;
	c->bundles_ok = false;
	say_missing(c, "there is no MutatingWebhookConfiguration " SN_WEBHOOK_CONFIGURATION
		       ": kubectl apply -k manifests");
	sn_warn("webhook", "%s", c->missing);
}

static void on_object(void *arg, const struct sn_val *obj, bool deleted)
{
	struct sn_certificate *c = arg;

	if (strcmp(sn_val_str(sn_val_path(obj, "metadata.name"), ""), SN_WEBHOOK_CONFIGURATION) !=
	    0)
		return;
	if (deleted) {
		c->config_seen = false;
		list_end(c);
		return;
	}
	remember(c, obj);
	patch_bundles(c);
}

/* --- the Secret
 * ----------------------------------------------------------------------------------- */

static const char *secret_path(struct sn_certificate *c, struct sn_buf *b)
{
	sn_buf_puts(b, "/api/v1/namespaces/");
	sn_kube_escape(b, c->ns);
	sn_buf_puts(b, "/secrets/" SN_CA_SECRET);
	return sn_buf_cstr(b);
}

static void on_put(void *arg, const struct sn_kube_answer *a)
{
	struct sn_certificate *c = arg;

	c->secret_call = NULL;
	if (a->code && a->code != -SN_ECONFLICT) {
		later(c, "Secret " SN_CA_SECRET " cannot be written", a);
		return;
	}
	sn_info("webhook", "Secret %s/%s: %s", c->ns, SN_CA_SECRET,
		a->code ? "another replica was first" : "a new CA is stored");
	get_secret(c);
}

static void put_data(struct sn_jsonw *w, const char *key, struct sn_slice pem)
{
	struct sn_buf text;

	sn_buf_init(&text, SECRET_BYTES_MAX);
	sn_base64_encode(pem, &text);
	sn_jsonw_key(w, key);
	sn_jsonw_slice(w, sn_buf_slice(&text));
	sn_buf_done(&text);
}

/* The Secret as it was read, with a new CA. @old: the CA certificate that stays in the bundle. */
static void put_new_ca(struct sn_certificate *c, const struct sn_val *secret, struct sn_slice old)
{
	struct sn_kube_request q = {
		.method = "PUT", .content_type = "application/json", .done = on_put, .arg = c};
	const struct sn_val *meta = sn_val_get(secret, "metadata");
	struct sn_buf cert, key, body, path;
	struct sn_err err = {0};
	struct sn_jsonw w;

	sn_buf_init(&cert, 16384);
	sn_buf_init(&key, 16384);
	sn_buf_init(&body, SECRET_BYTES_MAX);
	sn_buf_init(&path, 4096);
	if (sn_x509_make_ca("sennit-webhook-ca", CA_LIFE_S, &cert, &key, &err)) {
		sn_error("webhook", "%s", err.msg);
		later(c, "no CA could be made", NULL);
		goto out;
	}
	sn_jsonw_init(&w, &body);
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "apiVersion", "v1");
	sn_jsonw_kstr(&w, "kind", "Secret");
	sn_jsonw_kstr(&w, "type", sn_val_str(sn_val_get(secret, "type"), "Opaque"));
	sn_jsonw_key(&w, "metadata");
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "name", SN_CA_SECRET);
	sn_jsonw_kstr(&w, "namespace", c->ns);
	sn_jsonw_kstr(&w, "resourceVersion", sn_val_str(sn_val_get(meta, "resourceVersion"), ""));
	if (sn_val_get(meta, "labels")) {
		sn_jsonw_key(&w, "labels");
		sn_jsonw_val(&w, sn_val_get(meta, "labels"));
	}
	if (sn_val_get(meta, "annotations")) {
		sn_jsonw_key(&w, "annotations");
		sn_jsonw_val(&w, sn_val_get(meta, "annotations"));
	}
	sn_jsonw_map_end(&w);
	sn_jsonw_key(&w, "data");
	sn_jsonw_map(&w);
	put_data(&w, "ca.crt", sn_buf_slice(&cert));
	put_data(&w, "ca.key", sn_buf_slice(&key));
	if (old.n)
		put_data(&w, "ca-old.crt", old);
	sn_jsonw_map_end(&w);
	sn_jsonw_map_end(&w);
	q.path = secret_path(c, &path);
	q.body = sn_buf_slice(&body);
	c->secret_call = sn_jsonw_end(&w) ? NULL : sn_kube_send(c->k, &q);
	if (!c->secret_call)
		later(c, "out of memory", NULL);
out:
	if (key.data)
		explicit_bzero(key.data, key.cap);
	if (body.data)
		explicit_bzero(body.data, body.cap);
	sn_buf_done(&cert);
	sn_buf_done(&key);
	sn_buf_done(&body);
	sn_buf_done(&path);
}

static void take(const struct sn_val *data, const char *key, struct sn_buf *out)
{
	sn_buf_reset(out);
	if (sn_base64_decode(sn_val_slice(sn_val_get(data, key)), out))
		sn_buf_reset(out);
}

/* The CA is at hand: from here on the webhook configuration decides. */
static void use_ca(struct sn_certificate *c, struct sn_slice old)
{
	static const struct sn_kube_watch_events events = {list_begin, on_object, list_end};
	struct sn_buf all;

	sn_buf_init(&all, SECRET_BYTES_MAX);
	sn_buf_append(&all, sn_buf_slice(&c->ca_cert).p, sn_buf_len(&c->ca_cert));
	sn_buf_append(&all, old.p, old.n);
	sn_buf_reset(&c->bundle);
	sn_base64_encode(sn_buf_slice(&all), &c->bundle);
	sn_buf_done(&all);
	c->failures = 0;
	if (!c->watch) {
		say_missing(c, SN_WEBHOOK_CONFIGURATION " has not been read yet");
		c->watch = sn_kube_watch_new(c->k, c->loop,
					     "/apis/admissionregistration.k8s.io/v1/"
					     "mutatingwebhookconfigurations?fieldSelector=metadata."
					     "name%3D" SN_WEBHOOK_CONFIGURATION,
					     "mutatingwebhookconfigurations", 0, &events, c);
	}
	patch_bundles(c);
	sn_loop_timer(c->loop, &c->again, c->look_again_ms);
}

static void read_secret(struct sn_certificate *c, const struct sn_val *secret)
{
	const struct sn_val *data = sn_val_get(secret, "data");
	struct sn_x509_info info, old_info;
	struct sn_err err = {0};
	struct sn_buf old;

	take(data, "ca.crt", &c->ca_cert);
	take(data, "ca.key", &c->ca_key);
	sn_buf_init(&old, 65536);
	take(data, "ca-old.crt", &old);
	if (sn_buf_len(&old) &&
	    (sn_x509_info(sn_buf_slice(&old), &old_info, &err) || old_info.not_after < now_s()))
		sn_buf_reset(&old);
	if (sn_buf_len(&c->ca_cert) == 0 && sn_buf_len(&c->ca_key) == 0) {
		put_new_ca(c, secret, sn_slice("", 0));
	} else if (sn_x509_info(sn_buf_slice(&c->ca_cert), &info, &err)) {
		sn_error("webhook",
			 "Secret %s/%s: ca.crt: %s; delete its data, a new CA is made then", c->ns,
			 SN_CA_SECRET, err.msg);
		later(c, "the CA in Secret " SN_CA_SECRET " cannot be read", NULL);
	} else if (is_due(&info)) {
		sn_info("webhook", "the CA is at 2/3 of its life: a new one takes its place");
		put_new_ca(c, secret, sn_buf_slice(&c->ca_cert));
	} else {
		c->ca_not_after = info.not_after;
		use_ca(c, sn_buf_slice(&old));
	}
	sn_buf_done(&old);
}

static void on_secret(void *arg, const struct sn_kube_answer *a)
{
	struct sn_certificate *c = arg;
	struct sn_err err = {0};
	struct sn_arena arena;
	struct sn_val *v = NULL;

	c->secret_call = NULL;
	if (a->code) {
		later(c,
		      a->status == 404 ? "there is no Secret " SN_CA_SECRET
					 ": kubectl apply -k manifests"
				       : "Secret " SN_CA_SECRET " cannot be read",
		      a);
		return;
	}
	sn_arena_init(&arena, 0, 8u << 20);
	if (sn_json_parse(&arena, a->body.p, a->body.n, 0, &v, &err))
		later(c, "Secret " SN_CA_SECRET " is no JSON", NULL);
	else
		read_secret(c, v);
	sn_arena_done(&arena);
}

static void get_secret(struct sn_certificate *c)
{
	struct sn_kube_request q = {
		.method = "GET", .max_bytes = 2u << 20, .done = on_secret, .arg = c};
	struct sn_buf path;

	if (c->secret_call)
		return;
	sn_buf_init(&path, 4096);
	q.path = secret_path(c, &path);
	c->secret_call = sn_kube_send(c->k, &q);
	sn_buf_done(&path);
	if (!c->secret_call)
		later(c, "out of memory", NULL);
}

static void on_again(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	get_secret(sn_container_of(t, struct sn_certificate, again));
}

struct sn_certificate *sn_certificate_new(struct sn_loop *l, struct sn_kube *k, const char *ns,
					  uint64_t look_again_ms, sn_certificate_fn renewed,
					  void *arg)
{
	struct sn_certificate *c = calloc(1, sizeof(*c));

	if (!c)
		return NULL;
	c->loop = l;
	c->k = k;
	c->ns = ns;
	c->look_again_ms = look_again_ms;
	c->renewed = renewed;
	c->arg = arg;
	sn_rng_seed(&c->rng, sn_rng_entropy());
	sn_buf_init(&c->ca_cert, 65536);
	sn_buf_init(&c->ca_key, 65536);
	sn_buf_init(&c->bundle, SECRET_BYTES_MAX);
	sn_buf_init(&c->config, 4u << 20);
	sn_timer_init(&c->again, on_again);
	sn_timer_init(&c->patch_again, on_patch_again);
	say_missing(c, "Secret " SN_CA_SECRET " has not been read yet");
	sn_loop_timer(l, &c->again, 0);
	return c;
}

void sn_certificate_free(struct sn_certificate *c)
{
	if (!c)
		return;
	if (c->secret_call)
		sn_kube_cancel(c->secret_call);
	if (c->patch_call)
		sn_kube_cancel(c->patch_call);
	sn_kube_watch_free(c->watch);
	sn_loop_timer_cancel(c->loop, &c->again);
	sn_loop_timer_cancel(c->loop, &c->patch_again);
	if (c->ca_key.data)
		explicit_bzero(c->ca_key.data, c->ca_key.cap);
	sn_buf_done(&c->ca_cert);
	sn_buf_done(&c->ca_key);
	sn_buf_done(&c->bundle);
	sn_buf_done(&c->config);
	free(c);
}

const char *sn_certificate_missing(const struct sn_certificate *c)
{
	return c->bundles_ok && c->served ? NULL : c->missing;
}

void sn_certificate_metrics(const struct sn_certificate *c, struct sn_buf *out)
{
	sn_metrics_family(out, "sennit_webhook_ca_expiry_seconds", "gauge",
			  "When the webhook's CA expires, in seconds since 1970.");
	sn_metrics_u64(out, "sennit_webhook_ca_expiry_seconds", NULL, 0, (uint64_t)c->ca_not_after);
	sn_metrics_family(out, "sennit_webhook_certificate_expiry_seconds", "gauge",
			  "When the serving certificate expires, in seconds since 1970.");
	sn_metrics_u64(out, "sennit_webhook_certificate_expiry_seconds", NULL, 0,
		       (uint64_t)c->serving_not_after);
	sn_metrics_family(out, "sennit_webhook_bundle_writes_total", "counter",
			  "caBundles written.");
	sn_metrics_u64(out, "sennit_webhook_bundle_writes_total", NULL, 0, c->n_patches);
	sn_metrics_family(out, "sennit_webhook_errors_total", "counter",
			  "Failures on the way to a certificate that the API server trusts.");
	sn_metrics_u64(out, "sennit_webhook_errors_total", NULL, 0, c->n_errors);
}
