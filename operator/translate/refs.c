/* SPDX-License-Identifier: Apache-2.0 */
/* References, decided in one place. */
#include "operator/translate/refs.h"

#include <stdio.h>
#include <string.h>

#include "base/err.h"
#include "base/num.h"
#include "net/addr.h"
#include "operator/translate/translate.h"

#define ENDPOINTS "sennit.dev/endpoints"
#define ENDPOINTS_FILE "sennit.dev/endpoints-file"

int sn_service_next_endpoint(struct sn_slice *rest, struct sn_slice *ret_address,
			     int64_t *ret_weight)
{
	struct sn_slice one, weight;
	struct sn_addr unused;
	uint64_t n = 1;

	do {
		if (!rest->p)
			return 0;
		one = sn_slice_trim(sn_slice_cut(rest, ','));
	} while (one.n == 0);
	weight = one;
	*ret_address = sn_slice_trim(sn_slice_cut(&weight, '*'));
	if (sn_addr_parse(*ret_address, &unused) ||
	    (weight.p && (sn_num_u64(sn_slice_trim(weight), 65535, &n) || n == 0)))
		return -SN_ECONF;
	*ret_weight = (int64_t)n;
	return 1;
}

/* A DNS label, as Kubernetes names Services and namespaces. */
static bool is_label(const char *s)
{
	size_t n = strlen(s);

	return n > 0 && n < 64 && strspn(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == n;
}

static bool is_address(const struct sn_val *ip)
{
	struct sn_addr unused;

	return !ip || sn_val_str(ip, "x")[0] == 0 || strcmp(sn_val_str(ip, ""), "None") == 0 ||
	       sn_addr_parse_ip(sn_val_slice(ip), 1, &unused) == 0;
}

/* An API server has checked all this; a file's author has not. */
bool sn_translate_service_problem(const struct sn_index *idx, const struct sn_object *s, char *dst,
				  size_t cap)
{
	const struct sn_val *ports = sn_val_path(s->val, "spec.ports");
	struct sn_slice rest = sn_val_slice(
				sn_val_get(sn_val_get(s->val, "annotations"), ENDPOINTS)),
			address;
	const struct sn_val *ips = sn_val_path(s->val, "spec.clusterIPs");
	int64_t n;
	size_t i;
	int rc;

	if (!is_label(s->name) || !is_label(s->ns)) {
		snprintf(dst, cap, "metadata: a name has a-z, 0-9 and -, at most 63 of them");
		return true;
	}
	if (!is_address(sn_val_path(s->val, "spec.clusterIP"))) {
		snprintf(dst, cap, "spec.clusterIP: not an IP address");
		return true;
	}
	for (i = 0; i < sn_val_len(ips); i++)
		if (!is_address(sn_val_at(ips, i))) {
			snprintf(dst, cap, "spec.clusterIPs[%zu]: not an IP address", i);
			return true;
		}
	for (i = 0; i < sn_val_len(ports); i++) {
		n = sn_val_int(sn_val_get(sn_val_at(ports, i), "port"), 0);
		if (n < 1 || n > 65535) {
			snprintf(dst, cap, "spec.ports[%zu].port: a number from 1 to 65535", i);
			return true;
		}
	}
	if (!sn_index_is_local(idx))
		return false;
	if (sn_val_slice(sn_val_get(sn_val_get(s->val, "annotations"), ENDPOINTS_FILE)).n > 4096) {
		snprintf(dst, cap, ENDPOINTS_FILE ": a path of at most 4096 bytes");
		return true;
	}
	do
		rc = sn_service_next_endpoint(&rest, &address, &n);
	while (rc > 0);
	if (rc)
		snprintf(dst, cap, ENDPOINTS ": \"%.*s\" is not IP:PORT [* WEIGHT]",
			 address.n < 80 ? (int)address.n : 80, address.p);
	return rc != 0;
}

bool sn_service_usable(const struct sn_index *idx, const struct sn_object *s)
{
	const struct sn_val *spec = sn_val_get(s->val, "spec");
	const char *type = sn_val_str(sn_val_get(spec, "type"), "ClusterIP");
	const struct sn_val *notes = sn_val_get(s->val, "annotations");
	char unused[8];

	if (sn_translate_service_problem(idx, s, unused, sizeof(unused)))
		return false;
	if (sn_index_is_local(idx) &&
	    (sn_val_get(notes, ENDPOINTS) || sn_val_get(notes, ENDPOINTS_FILE)))
		return true; /* without a cluster the instances are listed */
	if (strcmp(type, "ExternalName") == 0)
		return false;
	if (strcmp(sn_val_str(sn_val_get(spec, "clusterIP"), ""), "None") == 0)
		return false;
	return sn_val_len(sn_val_get(spec, "selector")) > 0;
}

#define NOT_A_PORT (-1) /* no Service has it */

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
	const struct sn_val *port = sn_val_get(ref, "port");
	struct sn_ref r = {.ns = sn_val_str(sn_val_get(ref, "namespace"), o->ns),
			   .name = sn_val_str(sn_val_get(ref, "name"), ""),
			   .port = port ? sn_val_int(port, NOT_A_PORT) : 0};

	if (port && r.port == 0)
		r.port = NOT_A_PORT;

	if ((group[0] && strcmp(group, "core") != 0) ||
	    strcmp(sn_val_str(sn_val_get(ref, "kind"), "Service"), "Service") != 0) {
		r.result = SN_REF_INVALID_KIND;
		return r;
	}
	r.service = sn_index_find(idx, SN_KIND_SERVICE, r.ns, r.name);
	if (!r.service)
		r.result = SN_REF_NOT_FOUND;
	else if (!sn_service_usable(idx, r.service))
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

const struct sn_val *sn_ref_of_rule(const struct sn_val *rule, size_t i, bool *ret_is_mirror)
{
	const struct sn_val *refs = sn_val_get(rule, "backendRefs");
	const struct sn_val *filters = sn_val_get(rule, "filters"), *ref;
	size_t k;

	*ret_is_mirror = i >= sn_val_len(refs);
	if (!*ret_is_mirror)
		return sn_val_at(refs, i);
	i -= sn_val_len(refs);
	for (k = 0; k < sn_val_len(filters); k++) {
		ref = sn_val_path(sn_val_at(filters, k), "requestMirror.backendRef");
		if (ref && i-- == 0)
			return ref;
	}
	return NULL;
}

const char *sn_ref_reason(enum sn_ref_result r)
{
	static const char *const reasons[] = {"ResolvedRefs",	 "BackendNotFound",
					      "RefNotPermitted", "UnsupportedValue",
					      "InvalidKind",	 "BackendNotFound"};

	return reasons[r];
}
