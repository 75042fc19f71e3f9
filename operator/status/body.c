/* SPDX-License-Identifier: Apache-2.0 */
/* The status that a resource should have, against the one that it has. Pure. */
#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/json.h"
#include "operator/status/status.h"
#include "operator/translate/translate.h"

static const char *list_key(const struct sn_object *o)
{
	return o->kind == SN_KIND_MESHROUTE ? "parents" : "ancestors";
}

static const char *ref_key(const struct sn_object *o)
{
	return o->kind == SN_KIND_MESHROUTE ? "parentRef" : "ancestorRef";
}

static const struct sn_val *ref_at(const struct sn_object *o, size_t i)
{
	return sn_val_at(sn_val_path(o->val, o->kind == SN_KIND_MESHROUTE ? "spec.parentRefs"
									  : "spec.targetRefs"),
			 i);
}

/* Our entry for reference @i in the present status; NULL if there is none. */
static const struct sn_val *present_entry(const struct sn_object *o, size_t i)
{
	const struct sn_val *list = sn_val_get(sn_val_get(o->val, "status"), list_key(o));
	size_t k;

	for (k = 0; k < sn_val_len(list); k++) {
		const struct sn_val *e = sn_val_at(list, k);

		if (strcmp(sn_val_str(sn_val_get(e, "controllerName"), ""), SN_CONTROLLER) == 0 &&
		    sn_val_equal(sn_val_get(e, ref_key(o)), ref_at(o, i)))
			return e;
	}
	return NULL;
}

static const struct sn_val *present_condition(const struct sn_val *entry, const char *type)
{
	const struct sn_val *list = sn_val_get(entry, "conditions");
	size_t k;

	for (k = 0; k < sn_val_len(list); k++)
		if (strcmp(sn_val_str(sn_val_get(sn_val_at(list, k), "type"), ""), type) == 0)
			return sn_val_at(list, k);
	return NULL;
}

static bool same(const struct sn_object *o, const struct sn_val *have, const struct sn_condition *c)
{
	return strcmp(sn_val_str(sn_val_get(have, "status"), ""), c->status ? "True" : "False") ==
		       0 &&
	       strcmp(sn_val_str(sn_val_get(have, "reason"), ""), c->reason) == 0 &&
	       strcmp(sn_val_str(sn_val_get(have, "message"), ""), c->message) == 0 &&
	       sn_val_int(sn_val_get(have, "observedGeneration"), -1) == o->generation;
}

/* Writes one condition; returns whether it differs from what is there. */
static bool write_condition(struct sn_jsonw *w, const struct sn_object *o,
			    const struct sn_val *entry, const struct sn_condition *c,
			    const char *now)
{
	const struct sn_val *have = present_condition(entry, c->type);
	const char *status = c->status ? "True" : "False", *since = now;

	if (have && strcmp(sn_val_str(sn_val_get(have, "status"), ""), status) == 0)
		since = sn_val_str(sn_val_get(have, "lastTransitionTime"), now);
	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "type", c->type);
	sn_jsonw_kstr(w, "status", status);
	sn_jsonw_kint(w, "observedGeneration", o->generation);
	sn_jsonw_kstr(w, "lastTransitionTime", since);
	sn_jsonw_kstr(w, "reason", c->reason);
	sn_jsonw_kstr(w, "message", c->message);
	sn_jsonw_map_end(w);
	return !have || !same(o, have, c);
}

static bool write_entry(struct sn_jsonw *w, const struct sn_index *idx, const struct sn_object *o,
			size_t i, const char *held, const char *now)
{
	const struct sn_val *entry = present_entry(o, i);
	struct sn_condition c[SN_CONDITIONS_MAX + 1];
	size_t n = sn_translate_conditions(idx, o, i, c), k;
	bool differs;

	if (held) {
		c[n] = (struct sn_condition){.type = "Programmed", .reason = "NotWritten"};
		snprintf(c[n].message, sizeof(c[n].message), "%s", held);
		n++;
	}
	differs = !entry || sn_val_len(sn_val_get(entry, "conditions")) != n;
	sn_jsonw_map(w);
	sn_jsonw_key(w, ref_key(o));
	sn_jsonw_val(w, ref_at(o, i));
	sn_jsonw_kstr(w, "controllerName", SN_CONTROLLER);
	sn_jsonw_key(w, "conditions");
	sn_jsonw_list(w);
	for (k = 0; k < n; k++)
		differs |= write_condition(w, o, entry, &c[k], now);
	sn_jsonw_list_end(w);
	sn_jsonw_map_end(w);
	return differs;
}

static size_t present_entries(const struct sn_object *o)
{
	const struct sn_val *list = sn_val_get(sn_val_get(o->val, "status"), list_key(o));
	size_t k, n = 0;

	for (k = 0; k < sn_val_len(list); k++)
		n += strcmp(sn_val_str(sn_val_get(sn_val_at(list, k), "controllerName"), ""),
			    SN_CONTROLLER) == 0;
	return n;
}

/* The list is atomic, so what others have there goes along as it is. */
static void write_others(struct sn_jsonw *w, const struct sn_object *o)
{
	const struct sn_val *list = sn_val_get(sn_val_get(o->val, "status"), list_key(o));
	size_t k;

	for (k = 0; k < sn_val_len(list); k++)
		if (strcmp(sn_val_str(sn_val_get(sn_val_at(list, k), "controllerName"), ""),
			   SN_CONTROLLER) != 0)
			sn_jsonw_val(w, sn_val_at(list, k));
}

int sn_status_body(const struct sn_index *idx, const struct sn_object *o, const char *held,
		   const char *now, struct sn_buf *out)
{
	size_t n = sn_translate_parents(o), mine = present_entries(o), i;
	bool differs = n != mine;
	struct sn_jsonw w;

	sn_jsonw_init(&w, out);
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "apiVersion", "sennit.dev/v1alpha1");
	sn_jsonw_kstr(&w, "kind", sn_kind_name(o->kind));
	sn_jsonw_key(&w, "metadata");
	sn_jsonw_map(&w);
	sn_jsonw_kstr(&w, "name", o->name);
	sn_jsonw_kstr(&w, "namespace", o->ns);
	if (sn_val_len(sn_val_get(sn_val_get(o->val, "status"), list_key(o))) > mine)
		sn_jsonw_kstr(&w, "resourceVersion", o->version); /* nothing of theirs is undone */
	sn_jsonw_map_end(&w);
	sn_jsonw_key(&w, "status");
	sn_jsonw_map(&w);
	sn_jsonw_key(&w, list_key(o));
	sn_jsonw_list(&w);
	write_others(&w, o);
	for (i = 0; i < n; i++)
		differs |= write_entry(&w, idx, o, i, held, now);
	sn_jsonw_list_end(&w);
	sn_jsonw_map_end(&w);
	sn_jsonw_map_end(&w);
	return sn_jsonw_end(&w) ? -SN_ENOMEM : differs;
}
