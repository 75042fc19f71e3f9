/* SPDX-License-Identifier: Apache-2.0 */
/* The JSONPatch: one annotation, two init containers in front, two volumes behind. Nothing of the
 * pod's is replaced. */
#include <stdio.h>
#include <string.h>

#include "base/json.h"
#include "operator/inject/inject_int.h"

#define SHARDS 8

/* What of the proxy's document the pod itself decides; the routes come from the ConfigMap. */
static void document(const struct sn_inject_settings *s, struct sn_buf *out)
{
	sn_buf_puts(out, "version: 1\n"
			 "admin: {address: \"[::]:4191\"}\n"
			 "drain: {propagation: 0s}\n");
	if (s->grace_period)
		sn_buf_printf(out, "timeouts: {drain: %s}\n", s->grace_period);
	sn_buf_puts(out, "listeners:\n");
	sn_buf_puts(out, "- {name: outbound, address: [\"127.0.0.1:4140\", \"[::1]:4140\"], "
			 "direction: outbound, "
			 "transparent: true, protocol: detect");
	if (s->opaque_ports)
		sn_buf_printf(out, ", opaquePorts: \"%s\"", s->opaque_ports);
	sn_buf_puts(out, "}\n- {name: inbound, address: \"[::]:4143\", direction: inbound, "
			 "transparent: true, "
			 "protocol: detect");
	if (s->opaque_ports)
		sn_buf_printf(out, ", opaquePorts: \"%s\"", s->opaque_ports);
	sn_buf_puts(out, "}\n");
}

static void op(struct sn_jsonw *w, const char *path)
{
	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "op", "add");
	sn_jsonw_kstr(w, "path", path);
	sn_jsonw_key(w, "value");
}

static void key_map(struct sn_jsonw *w, const char *key)
{
	sn_jsonw_key(w, key);
	sn_jsonw_map(w);
}

static void key_list(struct sn_jsonw *w, const char *key)
{
	sn_jsonw_key(w, key);
	sn_jsonw_list(w);
}

static void strings(struct sn_jsonw *w, const char *key, const char *a, const char *b)
{
	key_list(w, key);
	sn_jsonw_str(w, a);
	if (b)
		sn_jsonw_str(w, b);
	sn_jsonw_list_end(w);
}

static void flag(struct sn_jsonw *w, const char *name, const char *value)
{
	char text[1100];

	if (!value)
		return;
	snprintf(text, sizeof(text), "--%s=%s", name, value);
	sn_jsonw_str(w, text);
}

static void resources(struct sn_jsonw *w, const char *cpu, const char *memory, const char *limit)
{
	key_map(w, "resources");
	key_map(w, "requests");
	sn_jsonw_kstr(w, "cpu", cpu);
	sn_jsonw_kstr(w, "memory", memory);
	sn_jsonw_map_end(w);
	key_map(w, "limits");
	sn_jsonw_kstr(w, "memory", limit);
	sn_jsonw_map_end(w);
	sn_jsonw_map_end(w);
}

/* @uid 0: root with NET_ADMIN and nothing else; else Pod Security "restricted". */
static void security(struct sn_jsonw *w, int64_t uid)
{
	key_map(w, "securityContext");
	sn_jsonw_kint(w, "runAsUser", uid);
	sn_jsonw_kint(w, "runAsGroup", uid);
	sn_jsonw_kbool(w, "runAsNonRoot", uid != 0);
	sn_jsonw_kbool(w, "privileged", false);
	sn_jsonw_kbool(w, "allowPrivilegeEscalation", false);
	sn_jsonw_kbool(w, "readOnlyRootFilesystem", true);
	key_map(w, "capabilities");
	strings(w, "drop", "ALL", NULL);
	if (uid == 0)
		strings(w, "add", "NET_ADMIN", NULL);
	sn_jsonw_map_end(w);
	key_map(w, "seccompProfile");
	sn_jsonw_kstr(w, "type", "RuntimeDefault");
	sn_jsonw_map_end(w);
	sn_jsonw_map_end(w);
}

static void init_container(struct sn_jsonw *w, const char *image,
			   const struct sn_inject_settings *s)
{
	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "name", SN_INIT_CONTAINER);
	sn_jsonw_kstr(w, "image", image);
	sn_jsonw_kstr(w, "imagePullPolicy", "IfNotPresent");
	key_list(w, "args");
	flag(w, "skip-inbound-ports", s->skip_inbound);
	flag(w, "skip-outbound-ports", s->skip_outbound);
	sn_jsonw_list_end(w);
	resources(w, "10m", "16Mi", "64Mi");
	security(w, 0);
	sn_jsonw_kstr(w, "terminationMessagePolicy", "FallbackToLogsOnError");
	sn_jsonw_map_end(w);
}

static void mount(struct sn_jsonw *w, const char *volume, const char *path, bool read_only)
{
	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "name", volume);
	sn_jsonw_kstr(w, "mountPath", path);
	sn_jsonw_kbool(w, "readOnly", read_only);
	sn_jsonw_map_end(w);
}

static void probe_and_hook(struct sn_jsonw *w)
{
	key_map(w, "startupProbe");
	key_map(w, "httpGet");
	sn_jsonw_kstr(w, "path", "/ready");
	sn_jsonw_kint(w, "port", 4191);
	sn_jsonw_map_end(w);
	sn_jsonw_kint(w, "periodSeconds", 1);
	sn_jsonw_kint(w, "failureThreshold", 120);
	sn_jsonw_map_end(w);
	key_map(w, "lifecycle");
	key_map(w, "preStop");
	key_map(w, "exec");
	strings(w, "command", "/sennit-proxy", "--drain");
	sn_jsonw_map_end(w);
	sn_jsonw_map_end(w);
	sn_jsonw_map_end(w);
}

static void proxy_container(struct sn_jsonw *w, const struct sn_inject_settings *s)
{
	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "name", SN_PROXY_CONTAINER);
	sn_jsonw_kstr(w, "image", s->image);
	sn_jsonw_kstr(w, "imagePullPolicy", "IfNotPresent");
	sn_jsonw_kstr(w, "restartPolicy", "Always"); /* a native sidecar */
	key_list(w, "args");
	flag(w, "config", "/etc/sennit");
	flag(w, "log-level", s->log_level);
	sn_jsonw_list_end(w);
	key_list(w, "ports");
	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "name", "sennit-admin");
	sn_jsonw_kint(w, "containerPort", 4191);
	sn_jsonw_map_end(w);
	sn_jsonw_list_end(w);
	probe_and_hook(w);
	resources(w, s->cpu_request, s->memory_request, s->memory_limit);
	security(w, 2102);
	key_list(w, "volumeMounts");
	mount(w, SN_CONFIG_VOLUME, "/etc/sennit", true);
	mount(w, SN_STATE_VOLUME, "/var/run/sennit", false);
	sn_jsonw_list_end(w);
	sn_jsonw_kstr(w, "terminationMessagePolicy", "FallbackToLogsOnError");
	sn_jsonw_map_end(w);
}

static void field_item(struct sn_jsonw *w, const char *path, const char *field)
{
	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "path", path);
	key_map(w, "fieldRef");
	sn_jsonw_kstr(w, "fieldPath", field);
	sn_jsonw_map_end(w);
	sn_jsonw_map_end(w);
}

static void config_volume(struct sn_jsonw *w)
{
	char name[32], file[32];
	int i;

	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "name", SN_CONFIG_VOLUME);
	key_map(w, "projected");
	key_list(w, "sources");
	sn_jsonw_map(w);
	key_map(w, "downwardAPI");
	key_list(w, "items");
	field_item(w, "00-pod.yaml", "metadata.annotations['" SN_PROXY_CONFIG "']");
	field_item(w, "labels", "metadata.labels");
	sn_jsonw_list_end(w);
	sn_jsonw_map_end(w);
	sn_jsonw_map_end(w);
	for (i = 0; i < SHARDS; i++) {
		snprintf(name, sizeof(name), i ? "sennit-routes-%d" : "sennit-routes", i);
		snprintf(file, sizeof(file), "routes-%d.yaml", i);
		sn_jsonw_map(w);
		key_map(w, "configMap");
		sn_jsonw_kstr(w, "name", name);
		sn_jsonw_kbool(w, "optional", true);
		key_list(w, "items");
		sn_jsonw_map(w);
		sn_jsonw_kstr(w, "key", file);
		sn_jsonw_kstr(w, "path", file);
		sn_jsonw_map_end(w);
		sn_jsonw_list_end(w);
		sn_jsonw_map_end(w);
		sn_jsonw_map_end(w);
	}
	sn_jsonw_list_end(w);
	sn_jsonw_map_end(w);
	sn_jsonw_map_end(w);
}

static void state_volume(struct sn_jsonw *w)
{
	sn_jsonw_map(w);
	sn_jsonw_kstr(w, "name", SN_STATE_VOLUME);
	key_map(w, "emptyDir");
	sn_jsonw_kstr(w, "sizeLimit", "32Mi");
	sn_jsonw_map_end(w);
	sn_jsonw_map_end(w);
}

static void patch_annotation(struct sn_jsonw *w, const struct sn_val *pod,
			     const struct sn_inject_settings *s)
{
	struct sn_buf doc;

	sn_buf_init(&doc, 16384);
	document(s, &doc);
	if (sn_val_path(pod, "metadata.annotations")) {
		op(w, "/metadata/annotations/sennit.dev~1proxy-config");
		sn_jsonw_slice(w, sn_buf_slice(&doc));
	} else {
		op(w, "/metadata/annotations");
		sn_jsonw_map(w);
		sn_jsonw_key(w, SN_PROXY_CONFIG);
		sn_jsonw_slice(w, sn_buf_slice(&doc));
		sn_jsonw_map_end(w);
	}
	sn_jsonw_map_end(w);
	sn_buf_done(&doc);
}

void sn_inject_patch(const struct sn_inject_env *env, const struct sn_inject_settings *s,
		     const struct sn_val *pod, struct sn_buf *out)
{
	struct sn_jsonw w;

	sn_jsonw_init(&w, out);
	sn_jsonw_list(&w);
	patch_annotation(&w, pod, s);
	if (sn_val_len(sn_val_path(pod, "spec.initContainers"))) {
		op(&w, "/spec/initContainers/0");
		proxy_container(&w, s);
		sn_jsonw_map_end(&w);
		op(&w, "/spec/initContainers/0");
		init_container(&w, env->init_image, s);
		sn_jsonw_map_end(&w);
	} else {
		op(&w, "/spec/initContainers");
		sn_jsonw_list(&w);
		init_container(&w, env->init_image, s);
		proxy_container(&w, s);
		sn_jsonw_list_end(&w);
		sn_jsonw_map_end(&w);
	}
	if (sn_val_len(sn_val_path(pod, "spec.volumes"))) {
		op(&w, "/spec/volumes/-");
		config_volume(&w);
		sn_jsonw_map_end(&w);
		op(&w, "/spec/volumes/-");
		state_volume(&w);
		sn_jsonw_map_end(&w);
	} else {
		op(&w, "/spec/volumes");
		sn_jsonw_list(&w);
		config_volume(&w);
		state_volume(&w);
		sn_jsonw_list_end(&w);
		sn_jsonw_map_end(&w);
	}
	sn_jsonw_list_end(&w);
	if (sn_jsonw_end(&w))
		out->failed = true;
}
