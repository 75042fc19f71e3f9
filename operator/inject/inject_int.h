/* SPDX-License-Identifier: Apache-2.0 */
/* What the parts of operator/inject share. */
#ifndef SN_OPERATOR_INJECT_INT_H
#define SN_OPERATOR_INJECT_INT_H

#include "base/arena.h"
#include "base/val.h"
#include "operator/inject/inject.h"

#define SN_PROXY_CONTAINER "sennit-proxy"
#define SN_INIT_CONTAINER "sennit-init"
#define SN_CONFIG_VOLUME "sennit-config"
#define SN_STATE_VOLUME "sennit-state"
#define SN_PROXY_CONFIG "sennit.dev/proxy-config"
#define SN_INJECT_KEY "sennit.dev/inject"
#define SN_WARNINGS_MAX 16

/* Warnings shown to whoever applies the pod; texts live in the arena. */
struct sn_inject_warnings {
	struct sn_arena *arena;
	const char *text[SN_WARNINGS_MAX];
	size_t n;
};
void sn_inject_warn(struct sn_inject_warnings *w, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/* The annotations config.sennit.dev/ of a pod, checked; what cannot be used is warned about and has
 * its default. */
struct sn_inject_settings {
	const char *image, *log_level, *skip_inbound, *skip_outbound, *opaque_ports;
	const char *cpu_request, *memory_request, *memory_limit;
	const char *grace_period; /* timeouts.drain; NULL: the proxy's default */
};
void sn_inject_settings_read(const struct sn_val *annotations, const char *default_image,
			     struct sn_inject_settings *ret, struct sn_inject_warnings *w);

/* Whether @pod in @ns gets a proxy. @message (in @arena) says why not, for people. */
enum sn_inject_result sn_inject_decide(const struct sn_inject_env *env, const struct sn_val *pod,
				       const char *ns, struct sn_arena *arena,
				       const char **message);

/* Appends the JSONPatch (a JSON list). */
void sn_inject_patch(const struct sn_inject_env *env, const struct sn_inject_settings *s,
		     const struct sn_val *pod, struct sn_buf *out);

#endif
