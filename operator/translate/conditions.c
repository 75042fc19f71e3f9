/* SPDX-License-Identifier: Apache-2.0 */
/* What is said about a resource: conditions with the Gateway API's types and reasons. */
#include <stdio.h>

#include "operator/translate/refs.h"
#include "operator/translate/translate.h"

static const struct sn_val *refs_of(const struct sn_object *o)
{
	return sn_val_path(o->val,
			   o->kind == SN_KIND_MESHROUTE ? "spec.parentRefs" : "spec.targetRefs");
}

size_t sn_translate_parents(const struct sn_object *o)
{
	return sn_val_len(refs_of(o));
}

/* Two policies for one Service. */
static void conflicted(const struct sn_index *idx, const struct sn_object *service,
		       struct sn_condition *c)
{
	const struct sn_object *winner = sn_translate_policy(idx, service);

	c->status = false;
	c->reason = winner ? "Conflicted" : "TargetNotFound";
	if (winner)
		snprintf(c->message, sizeof(c->message),
			 "the older BackendPolicy %s/%s holds for Service %s/%s", winner->ns,
			 winner->name, service->ns, service->name);
	else
		snprintf(c->message, sizeof(c->message),
			 "a BackendPolicy is for Services of its own namespace, and %s is in %s",
			 service->name, service->ns);
}

static void accepted(const struct sn_index *idx, const struct sn_object *o, size_t i,
		     struct sn_condition *c)
{
	struct sn_ref r = sn_ref_parent(idx, o, sn_val_at(refs_of(o), i));
	const char *missing = o->kind == SN_KIND_MESHROUTE ? "NoMatchingParent" : "TargetNotFound";
	char unknown[100];

	*c = (struct sn_condition){.type = "Accepted", .status = r.result == SN_REF_OK};
	if (sn_translate_problem(idx, o, c->message, sizeof(c->message))) {
		c->status = false;
		c->reason = "UnsupportedValue";
		return;
	}
	if (r.result == SN_REF_OK && o->kind == SN_KIND_BACKENDPOLICY &&
	    sn_translate_policy(idx, r.service) != o) {
		conflicted(idx, r.service, c);
		return;
	}
	switch (r.result) {
	case SN_REF_OK:
		c->reason = "Accepted";
		snprintf(c->message, sizeof(c->message), "attached to Service %s/%s", r.ns, r.name);
		if (sn_translate_ignored(o, unknown, sizeof(unknown)))
			snprintf(
				c->message, sizeof(c->message),
				"attached to Service %s/%s; not known to this version, ignored: %s",
				r.ns, r.name, unknown);
		break;
	case SN_REF_UNSUPPORTED:
		c->reason = "UnsupportedValue";
		snprintf(c->message, sizeof(c->message),
			 "Service %s/%s is headless, of type ExternalName or has no selector: it "
			 "is passed through",
			 r.ns, r.name);
		break;
	case SN_REF_INVALID_KIND:
		c->reason = "InvalidKind";
		snprintf(c->message, sizeof(c->message),
			 "only kind Service of the core group is supported");
		break;
	case SN_REF_NO_PORT:
		c->reason = missing;
		snprintf(c->message, sizeof(c->message), "Service %s/%s has no port %lld", r.ns,
			 r.name, (long long)r.port);
		break;
	default:
		c->reason = missing;
		snprintf(c->message, sizeof(c->message), "there is no Service %s/%s", r.ns, r.name);
		break;
	}
}

static void describe(const struct sn_ref *r, bool is_mirror, struct sn_condition *c)
{
	const char *cost = is_mirror ? "no copies" : "500 for its share";

	c->status = false;
	c->reason = sn_ref_reason(r->result);
	switch (r->result) {
	case SN_REF_NOT_PERMITTED:
		snprintf(c->message, sizeof(c->message),
			 "backend %s/%s is in another namespace, and ReferenceGrants are not read "
			 "yet: %s",
			 r->ns, r->name, cost);
		break;
	case SN_REF_UNSUPPORTED:
		snprintf(c->message, sizeof(c->message),
			 "backend Service %s/%s is headless, of type ExternalName or has no "
			 "selector: %s",
			 r->ns, r->name, cost);
		break;
	case SN_REF_INVALID_KIND:
		snprintf(c->message, sizeof(c->message),
			 "only Services of the core group can be backends: %s", cost);
		break;
	case SN_REF_NO_PORT:
		snprintf(c->message, sizeof(c->message),
			 "backend Service %s/%s has no port %lld: %s", r->ns, r->name,
			 (long long)r->port, cost);
		break;
	default:
		snprintf(c->message, sizeof(c->message), "there is no Service %s/%s: %s", r->ns,
			 r->name, cost);
		break;
	}
}

static void resolved(const struct sn_index *idx, const struct sn_object *o, struct sn_condition *c)
{
	const struct sn_val *rules = sn_val_path(o->val, "spec.rules"), *ref;
	bool is_mirror;
	size_t i, k;

	*c = (struct sn_condition){.type = "ResolvedRefs",
				   .status = true,
				   .reason = "ResolvedRefs",
				   .message = "all backends exist"};
	for (i = 0; i < sn_val_len(rules); i++)
		for (k = 0; (ref = sn_ref_of_rule(sn_val_at(rules, i), k, &is_mirror)); k++) {
			struct sn_ref r = sn_ref_backend(idx, o, ref);

			if (r.result != SN_REF_OK) {
				describe(&r, is_mirror, c);
				return;
			}
		}
}

size_t sn_translate_conditions(const struct sn_index *idx, const struct sn_object *o, size_t i,
			       struct sn_condition out[SN_CONDITIONS_MAX])
{
	accepted(idx, o, i, &out[0]);
	if (o->kind != SN_KIND_MESHROUTE)
		return 1;
	resolved(idx, o, &out[1]);
	return 2;
}
