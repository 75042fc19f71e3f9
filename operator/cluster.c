/* SPDX-License-Identifier: Apache-2.0 */
/* The control plane in a cluster: watches -> index -> ConfigMaps and statuses, and the injector
 * beside it. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/map.h"
#include "base/metrics.h"
#include "kube/client.h"
#include "net/loop.h"
#include "operator/index/index.h"
#include "operator/inject/inject.h"
#include "operator/options.h"
#include "operator/reconcile/cluster.h"
#include "operator/serve/certificate.h"
#include "operator/serve/health.h"
#include "operator/serve/ws.h"
#include "operator/signals.h"
#include "operator/source/kube.h"
#include "operator/status/status.h"

struct cluster {
	const struct sn_operator_options *o;
	struct sn_loop *loop;
	struct sn_index *idx;
	struct sn_kube *kube;
	struct sn_kube_source *source;
	struct sn_cluster_reconciler *routes;
	struct sn_status *status;
	struct sn_health *health;
	char unlisted[80];
	/* the injector; `locked` is all that its thread shares with ours */
	struct sn_certificate *certificate;
	struct sn_ws *ws;
	struct sn_inject_env env;
	pthread_mutex_t lock;
	struct sn_map locked; /* namespaces that enforce Pod Security baseline or restricted */
	atomic_uint_fast64_t results[SN_INJECT_RESULTS];
};

/* --- the injector
 * --------------------------------------------------------------------------------- */

static bool is_locked(void *arg, const char *ns)
{
	struct cluster *c = arg;
	bool locked;

	pthread_mutex_lock(&c->lock);
	locked = sn_map_find(&c->locked, sn_slice_cstr(ns)) != NULL;
	pthread_mutex_unlock(&c->lock);
	return locked;
}

static unsigned on_review(void *arg, struct sn_slice body, struct sn_buf *out)
{
	struct cluster *c = arg;
	enum sn_inject_result r = SN_INJECT_BAD_REVIEW;
	unsigned status = sn_inject_review(&c->env, body, out, &r);

	atomic_fetch_add(&c->results[r], 1);
	return status;
}

static void read_namespaces(struct cluster *c)
{
	struct sn_map fresh, old;
	size_t i;

	sn_map_init(&fresh);
	for (i = 0; i < sn_index_count(c->idx, SN_KIND_NAMESPACE); i++) {
		const struct sn_object *ns = sn_index_at(c->idx, SN_KIND_NAMESPACE, i);

		if (sn_inject_is_locked(sn_val_get(ns->val, "labels")))
			(void)sn_map_put(&fresh, sn_slice_cstr(ns->name), c, NULL);
	}
	pthread_mutex_lock(&c->lock);
	old = c->locked;
	c->locked = fresh;
	pthread_mutex_unlock(&c->lock);
	sn_map_done(&old, NULL);
}

static void on_certificate(void *arg, struct sn_slice cert, struct sn_slice key)
{
	struct cluster *c = arg;
	struct sn_ws_settings set = {c->o->webhook_listen, "/inject", on_review, c};
	struct sn_err err = {0};

	if (c->ws) {
		if (sn_ws_renew(c->ws, cert, key, &err))
			sn_error("webhook", "the new certificate is not used: %s", err.msg);
		return;
	}
	c->ws = sn_ws_new(&set, cert, key, &err);
	if (c->ws)
		sn_info("webhook", "injector on https port %u", sn_ws_port(c->ws));
	else
		sn_error("webhook", "%s", err.msg);
}

/* --- what changed
 * --------------------------------------------------------------------------------- */

static void on_changed(void *arg, enum sn_kind kind)
{
	struct cluster *c = arg;

	if (kind == SN_KIND_NAMESPACE)
		read_namespaces(c);
	if (!sn_kube_source_synced(c->source))
		return; /* half a picture is none */
	sn_cluster_reconciler_kick(c->routes);
	sn_status_kick(c->status);
}

static void on_held(void *arg)
{
	sn_status_kick(((struct cluster *)arg)->status);
}

static const char *held_of_namespace(void *arg, const char *ns)
{
	return sn_cluster_reconciler_held(((struct cluster *)arg)->routes, ns);
}

static bool held_of_route(void *arg, const struct sn_object *route, char *dst, size_t cap)
{
	return sn_cluster_reconciler_holds(((struct cluster *)arg)->routes, route, dst, cap);
}

static const char *missing(void *arg)
{
	struct cluster *c = arg;

	if (!sn_kube_source_synced(c->source)) {
		snprintf(c->unlisted, sizeof(c->unlisted), "%s have not been listed yet",
			 sn_kube_source_missing(c->source));
		return c->unlisted;
	}
	if (!c->o->webhook)
		return NULL;
	if (sn_certificate_missing(c->certificate))
		return sn_certificate_missing(c->certificate);
	return c->ws ? NULL : "the webhook does not listen, see the log";
}

static void requests_metrics(struct cluster *c, struct sn_buf *out)
{
	static const char *const classes[6] = {"<error>", "1xx", "2xx", "3xx", "4xx", "5xx"};
	const struct sn_kube_counters *n = sn_kube_counters(c->kube);
	size_t i;

	sn_metrics_family(out, "rest_client_requests_total", "counter",
			  "Requests to the Kubernetes API by class of status.");
	for (i = 0; i < 6; i++) {
		struct sn_metrics_label l = {"code", classes[i]};

		sn_metrics_u64(out, "rest_client_requests_total", &l, 1, n->by_class[i]);
	}
}

static void webhook_metrics(struct cluster *c, struct sn_buf *out)
{
	struct sn_ws_counters n = {0};
	size_t i;

	if (c->ws)
		n = sn_ws_counters(c->ws);
	sn_metrics_family(out, "sennit_webhook_requests_total", "counter",
			  "AdmissionReviews answered.");
	sn_metrics_u64(out, "sennit_webhook_requests_total", NULL, 0, n.requests);
	sn_metrics_family(out, "sennit_webhook_refused_total", "counter",
			  "Requests to the webhook refused before they were read.");
	sn_metrics_u64(out, "sennit_webhook_refused_total", NULL, 0, n.refused);
	sn_metrics_family(out, "sennit_injection_total", "counter",
			  "Pods by what was decided, and why.");
	for (i = 0; i < SN_INJECT_RESULTS; i++) {
		struct sn_metrics_label l[2] = {
			{"result", i == SN_INJECTED	      ? "injected"
				   : i < SN_INJECT_NAME_TAKEN ? "skipped"
							      : "refused"},
			{"reason", sn_inject_result_name((enum sn_inject_result)i)}};

		sn_metrics_u64(out, "sennit_injection_total", l, 2, atomic_load(&c->results[i]));
	}
	sn_certificate_metrics(c->certificate, out);
}

static void controller(struct sn_buf *out, const char *name, const char *controller,
		       const char *result, uint64_t n)
{
	struct sn_metrics_label l[2] = {{result ? "controller" : "name", controller},
					{"result", result}};

	sn_metrics_u64(out, name, l, result ? 2 : 1, n);
}

/* By the names that controller-runtime gave these, so that its dashboards fit. */
static void controller_metrics(struct cluster *c, struct sn_buf *out)
{
	static const char *const names[2] = {"routes", "status"};
	struct sn_reconcile_counts n[2] = {sn_cluster_reconciler_counts(c->routes),
					   sn_status_counts(c->status)};
	size_t i;

	sn_metrics_family(out, "controller_runtime_reconcile_total", "counter",
			  "Reconciliations by result.");
	for (i = 0; i < 2; i++) {
		controller(out, "controller_runtime_reconcile_total", names[i], "success", n[i].ok);
		controller(out, "controller_runtime_reconcile_total", names[i], "error",
			   n[i].errors);
	}
	sn_metrics_family(out, "workqueue_adds_total", "counter", "Items queued.");
	for (i = 0; i < 2; i++)
		controller(out, "workqueue_adds_total", names[i], NULL, n[i].adds);
	sn_metrics_family(out, "workqueue_retries_total", "counter", "Items queued again.");
	for (i = 0; i < 2; i++)
		controller(out, "workqueue_retries_total", names[i], NULL, n[i].retries);
	sn_metrics_family(out, "workqueue_depth", "gauge", "Items waiting.");
	for (i = 0; i < 2; i++)
		controller(out, "workqueue_depth", names[i], NULL, n[i].depth);
}

static void metrics(void *arg, struct sn_buf *out)
{
	struct cluster *c = arg;

	requests_metrics(c, out);
	controller_metrics(c, out);
	sn_kube_source_metrics(c->source, out);
	sn_cluster_reconciler_metrics(c->routes, out);
	sn_status_metrics(c->status, out);
	if (c->o->webhook)
		webhook_metrics(c, out);
}

/* --- life
 * ----------------------------------------------------------------------------------------- */

static int settings_of(const struct sn_operator_options *o, struct sn_kube_settings *ret,
		       struct sn_err *err)
{
	if (o->api_server) {
		*ret = (struct sn_kube_settings){o->api_server, o->token_file, o->ca_file};
		return 0;
	}
	if (o->token_file || o->ca_file)
		return sn_err_set(err, SN_EUSAGE,
				  "--token-file and --ca-file go with --api-server");
	return sn_kube_in_cluster(ret, err);
}

static int start(struct cluster *c, struct sn_err *err)
{
	const struct sn_status_held held = {held_of_namespace, held_of_route, c};
	struct sn_health_source about = {missing, metrics, c};
	struct sn_kube_settings set = {0};
	int rc = settings_of(c->o, &set, err);

	if (rc)
		return rc;
	sn_err_set(err, SN_ENOMEM, "out of memory");
	c->kube = sn_kube_new(c->loop, &set, err);
	if (!c->kube)
		return -SN_ENOMEM;
	c->routes =
		sn_cluster_reconciler_new(c->loop, c->kube, c->idx, c->o->resync_ms, on_held, c);
	c->status = sn_status_new(c->loop, c->kube, c->idx, &held);
	c->source = sn_kube_source_new(c->loop, c->kube, c->idx, on_changed, c);
	if (c->o->webhook)
		c->certificate = sn_certificate_new(c->loop, c->kube, c->o->ns, c->o->resync_ms,
						    on_certificate, c);
	if (!c->routes || !c->status || !c->source || (c->o->webhook && !c->certificate))
		return -SN_ENOMEM;
	c->health = sn_health_new(c->loop, c->o->http_listen, &about, err);
	if (!c->health)
		return -SN_ESYS;
	sn_info("operator", "sennit-operator " SN_VERSION " with the API at %s", set.server);
	return 0;
}

int sn_run_cluster(const struct sn_operator_options *o)
{
	struct cluster c = {.o = o, .idx = sn_index_new()};
	struct sn_signals signals = {.io.fd = -1};
	struct sn_err err = {0};
	int rc = 2;

	pthread_mutex_init(&c.lock, NULL);
	sn_map_init(&c.locked);
	c.env = (struct sn_inject_env){o->proxy_image, o->init_image, is_locked, &c};
	c.loop = sn_loop_new(NULL, &err);
	if (c.loop && sn_signals_stop_loop(&signals, c.loop))
		sn_err_sys(&err, errno, "signals");
	else if (c.loop && c.idx && start(&c, &err) == 0)
		rc = 0;
	if (rc == 0) {
		sn_loop_run(c.loop);
		sn_info("operator", "told to end; proxies go on with the routes that they have");
	} else {
		sn_error("operator", "%s", err.msg);
	}
	sn_ws_free(c.ws);
	sn_health_free(c.health);
	sn_certificate_free(c.certificate);
	sn_kube_source_free(c.source);
	sn_status_free(c.status);
	sn_cluster_reconciler_free(c.routes);
	sn_kube_free(c.kube);
	sn_signals_done(&signals);
	sn_loop_free(c.loop);
	sn_index_free(c.idx);
	sn_map_done(&c.locked, NULL);
	pthread_mutex_destroy(&c.lock);
	return rc;
}
