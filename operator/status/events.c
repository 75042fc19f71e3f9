/* SPDX-License-Identifier: Apache-2.0 */
/* core/v1 Events: named by object and content, so that a second replica's is the same one. */
#include "operator/status/events.h"

#include <stdio.h>

#include "base/clock.h"
#include "base/json.h"
#include "operator/status/status.h"

static void on_done(void *arg, const struct sn_kube_answer *a)
{
	struct sn_events *e = arg;

	if (a->code && a->code != -SN_ECONFLICT) /* conflict: it is there already */
		e->n_errors++;
	else
		e->n_sent++;
}

static const char *home(const struct sn_object *o)
{
	return o->kind == SN_KIND_NAMESPACE ? o->name : o->ns;
}

static const char *api_version(const struct sn_object *o)
{
	return o->kind <= SN_KIND_POD ? "v1" : "sennit.dev/v1alpha1";
}

static void body_of(const struct sn_object *o, const char *reason, const char *message,
		    const char *name, struct sn_buf *out)
{
	char now[32];
	struct sn_jsonw w;

	sn_clock_rfc3339(sn_clock_wall_ms(), 0, now, sizeof(now));
	sn_jsonw_init(&w, out);
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "apiVersion", "v1");
	sn_jsonw_kstr(&w, "kind", "Event");
	sn_jsonw_key(&w, "metadata");
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "name", name);
	sn_jsonw_kstr(&w, "namespace", home(o));
	sn_jsonw_map_end(&w);
	sn_jsonw_key(&w, "involvedObject");
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "apiVersion", api_version(o));
	sn_jsonw_kstr(&w, "kind", sn_kind_name(o->kind));
	sn_jsonw_kstr(&w, "namespace", home(o));
	sn_jsonw_kstr(&w, "name", o->name);
	sn_jsonw_kstr(&w, "uid", o->uid);
	sn_jsonw_map_end(&w);
	sn_jsonw_kstr(&w, "type", "Warning");
	sn_jsonw_kstr(&w, "reason", reason);
	sn_jsonw_kstr(&w, "message", message);
	sn_jsonw_kstr(&w, "firstTimestamp", now);
	sn_jsonw_kstr(&w, "lastTimestamp", now);
	sn_jsonw_kint(&w, "count", 1);
	sn_jsonw_kstr(&w, "reportingComponent", SN_CONTROLLER);
	sn_jsonw_kstr(&w, "reportingInstance", "sennit-operator");
	sn_jsonw_key(&w, "source");
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "component", "sennit-operator");
	sn_jsonw_map_end(&w);
	sn_jsonw_map_end(&w);
}

void sn_event_hash(const struct sn_object *o, const char *reason, const char *message,
		   char hash[SN_HASH_HEX])
{
	struct sn_buf what;

	sn_buf_init(&what, 0);
	sn_buf_printf(&what, "%s/%s/%s", o->uid, reason, message);
	sn_hash_content(sn_buf_slice(&what).p, sn_buf_len(&what), hash);
	sn_buf_done(&what);
}

void sn_event_send(struct sn_events *e, const struct sn_object *o, const char *reason,
		   const char *message)
{
	struct sn_kube_request q = {
		.method = "POST", .content_type = "application/json", .done = on_done, .arg = e};
	struct sn_buf path, body;
	char hash[SN_HASH_HEX], name[320];

	sn_event_hash(o, reason, message, hash);
	snprintf(name, sizeof(name), "%.200s.%.16s", o->name, hash);
	sn_buf_init(&path, 4096);
	sn_buf_init(&body, 16384);
	sn_buf_puts(&path, "/api/v1/namespaces/");
	sn_kube_escape(&path, home(o));
	sn_buf_puts(&path, "/events?fieldManager=sennit.dev%2Foperator");
	body_of(o, reason, message, name, &body);
	q.path = sn_buf_cstr(&path);
	q.body = sn_buf_slice(&body);
	if (!sn_kube_send(e->k, &q))
		e->n_errors++;
	sn_buf_done(&path);
	sn_buf_done(&body);
}
