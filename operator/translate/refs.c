/* SPDX-License-Identifier: Apache-2.0 */
/* References, decided in one place. */
#include "operator/translate/refs.h"

#include <string.h>

bool sn_service_usable(const struct sn_object *s)
{
	const struct sn_val *spec = sn_val_get(s->val, "spec");
	const char *type = sn_val_str(sn_val_get(spec, "type"), "ClusterIP");
	const struct sn_val *notes = sn_val_get(s->val, "annotations");

	if (sn_val_get(notes, "sennit.dev/endpoints") ||
	    sn_val_get(notes, "sennit.dev/endpoints-file"))
		return true; /* without a cluster the instances are listed */
	if (strcmp(type, "ExternalName") == 0)
		return false;
	if (strcmp(sn_val_str(sn_val_get(spec, "clusterIP"), ""), "None") == 0)
		return false;
	return sn_val_len(sn_val_get(spec, "selector")) > 0;
}

static bool has_port(const struct sn_object *s, int64_t port)
{
	const struct sn_val *ports = sn_val_path(s->val, "spec.ports");
	size_t i;

	for (i = 0; i < sn_val_len(ports); i++)
		if (sn_val_int(sn_val_get(sn_val_at(ports, i), "port"), 0) == port)
			return true;
	return false;
}

static struct sn_ref resolve(const struct sn_index *idx, const struct sn_object *o,
			     const struct sn_val *ref)
{
	const char *group = sn_val_str(sn_val_get(ref, "group"), "");
	struct sn_ref r = {.ns = sn_val_str(sn_val_get(ref, "namespace"), o->ns),
			   .name = sn_val_str(sn_val_get(ref, "name"), ""),
			   .port = sn_val_int(sn_val_get(ref, "port"), 0)};

	if ((group[0] && strcmp(group, "core") != 0) ||
	    strcmp(sn_val_str(sn_val_get(ref, "kind"), "Service"), "Service") != 0) {
		r.result = SN_REF_INVALID_KIND;
		return r;
	}
	r.service = sn_index_find(idx, SN_KIND_SERVICE, r.ns, r.name);
	if (!r.service)
		r.result = SN_REF_NOT_FOUND;
	else if (!sn_service_usable(r.service))
		r.result = SN_REF_UNSUPPORTED;
	else if (r.port && !has_port(r.service, r.port))
		r.result = SN_REF_NO_PORT;
	return r;
}

struct sn_ref sn_ref_parent(const struct sn_index *idx, const struct sn_object *o,
			    const struct sn_val *ref)
{
	return resolve(idx, o, ref);
}

struct sn_ref sn_ref_backend(const struct sn_index *idx, const struct sn_object *o,
			     const struct sn_val *ref)
{
	struct sn_ref r = resolve(idx, o, ref);

	if (r.result != SN_REF_INVALID_KIND && strcmp(r.ns, o->ns) != 0) {
		r.result = SN_REF_NOT_PERMITTED; /* ReferenceGrants are not read */
		r.service = NULL;
	}
	return r;
}

const char *sn_ref_reason(enum sn_ref_result r)
{
	static const char *const reasons[] = {"ResolvedRefs",	 "BackendNotFound",
					      "RefNotPermitted", "UnsupportedValue",
					      "InvalidKind",	 "BackendNotFound"};

	return reasons[r];
}
