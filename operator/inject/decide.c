/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a pod gets a proxy. */
#include <string.h>

#include "operator/inject/inject_int.h"

static const char *const names[SN_INJECT_RESULTS] = {
	[SN_INJECTED] = "Injected",
	[SN_INJECT_NOT_A_POD] = "NotANewPod",
	[SN_INJECT_HOST_NETWORK] = "HostNetwork",
	[SN_INJECT_MIRROR_POD] = "MirrorPod",
	[SN_INJECT_DISABLED] = "AnnotationDisabled",
	[SN_INJECT_ALREADY] = "AlreadyInjected",
	[SN_INJECT_POD_SECURITY] = "PodSecurity",
	[SN_INJECT_NOT_LINUX] = "NotLinux",
	[SN_INJECT_NAME_TAKEN] = "NameTaken",
	[SN_INJECT_BAD_REVIEW] = "BadReview",
};

const char *sn_inject_result_name(enum sn_inject_result r)
{
	return names[r];
}

/* The name of ours that an entry of @list has; NULL if none. */
static const char *taken(const struct sn_val *list, const char *a, const char *b)
{
	size_t i;

	for (i = 0; i < sn_val_len(list); i++) {
		const char *name = sn_val_str(sn_val_get(sn_val_at(list, i), "name"), "");

		if (strcmp(name, a) == 0)
			return a;
		if (strcmp(name, b) == 0)
			return b;
	}
	return NULL;
}

static bool is_disabled(const struct sn_val *meta)
{
	return strcmp(sn_val_str(sn_val_get(sn_val_get(meta, "annotations"), SN_INJECT_KEY), ""),
		      "disabled") == 0 ||
	       strcmp(sn_val_str(sn_val_get(sn_val_get(meta, "labels"), SN_INJECT_KEY), ""),
		      "disabled") == 0;
}

bool sn_inject_is_locked(const struct sn_val *labels)
{
	const char *level =
		sn_val_str(sn_val_get(labels, "pod-security.kubernetes.io/enforce"), "");

	return strcmp(level, "baseline") == 0 || strcmp(level, "restricted") == 0;
}

enum sn_inject_result sn_inject_decide(const struct sn_inject_env *env, const struct sn_val *pod,
				       const char *ns, struct sn_arena *arena, const char **message)
{
	const struct sn_val *meta = sn_val_get(pod, "metadata"), *spec = sn_val_get(pod, "spec");
	const struct sn_val *notes = sn_val_get(meta, "annotations");
	const char *os = sn_val_str(sn_val_path(spec, "os.name"), "linux"), *mine;

	*message = "";
	if (sn_val_get(notes, "kubernetes.io/config.mirror"))
		return SN_INJECT_MIRROR_POD;
	if (is_disabled(meta))
		return SN_INJECT_DISABLED;
	if (sn_val_bool(sn_val_get(spec, "hostNetwork"), false))
		return SN_INJECT_HOST_NETWORK;
	if (strcmp(os, "linux") != 0)
		return SN_INJECT_NOT_LINUX;
	mine = taken(sn_val_get(spec, "initContainers"), SN_PROXY_CONTAINER, SN_INIT_CONTAINER);
	if (mine && sn_val_get(notes, SN_PROXY_CONFIG))
		return SN_INJECT_ALREADY;
	if (!mine)
		mine = taken(sn_val_get(spec, "containers"), SN_PROXY_CONTAINER, SN_INIT_CONTAINER);
	if (mine)
		*message = sn_arena_printf(arena,
					   "a container of this pod is named %s, which is the name "
					   "of the mesh's own: rename it, "
					   "or annotate the pod with " SN_INJECT_KEY ": disabled",
					   mine);
	else if ((mine = taken(sn_val_get(spec, "volumes"), SN_CONFIG_VOLUME, SN_STATE_VOLUME)))
		*message = sn_arena_printf(arena,
					   "a volume of this pod is named %s, which is the name of "
					   "the mesh's own: rename it, "
					   "or annotate the pod with " SN_INJECT_KEY ": disabled",
					   mine);
	if (mine)
		return SN_INJECT_NAME_TAKEN;
	if (env->is_locked(env->arg, ns)) {
		*message = sn_arena_printf(
			arena,
			"namespace %s enforces a Pod Security level that forbids NET_ADMIN, which "
			"the mesh's init "
			"container needs: the pod runs without a proxy (fix: "
			"pod-security.kubernetes.io/enforce=privileged on the namespace)",
			ns);
		return SN_INJECT_POD_SECURITY;
	}
	return SN_INJECTED;
}
