/* SPDX-License-Identifier: Apache-2.0 */
/* sennit-operator: the command line. */
#include <argp.h>
#include <malloc.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/num.h"
#include "operator/options.h"

enum {
	OPT_SOURCE = 256,
	OPT_ROUTES,
	OPT_API,
	OPT_TOKEN,
	OPT_CA,
	OPT_NAMESPACE,
	OPT_HTTP,
	OPT_WEBHOOK,
	OPT_NO_WEBHOOK,
	OPT_RESYNC,
	OPT_PROXY_IMAGE,
	OPT_INIT_IMAGE,
	OPT_LEVEL,
	OPT_FORMAT,
};

__attribute__((visibility("default"))) /* libc looks for it */
const char *argp_program_version = "sennit-operator " SN_VERSION;

static const struct argp_option option_list[] = {
	{"source", OPT_SOURCE, "kube|dir:PATH", 0,
	 "where resources come from: the Kubernetes API, or YAML files in a directory", 0},
	{"routes-out", OPT_ROUTES, "DIR", 0, "write DIR/NAMESPACE/routes-N.yaml (with dir:)", 0},
	{"api-server", OPT_API, "URL", 0, "of the Kubernetes API; default: the pod's own", 1},
	{"token-file", OPT_TOKEN, "FILE", 0, "bearer token, read again each minute", 1},
	{"ca-file", OPT_CA, "FILE", 0, "who signs the API server's certificate", 1},
	{"namespace", OPT_NAMESPACE, "NAME", 0,
	 "of the operator itself; default: $SENNIT_NAMESPACE, else sennit-system", 1},
	{"http-listen", OPT_HTTP, "ADDR", 0, "/healthz /readyz /metrics; default: [::]:8080", 2},
	{"webhook-listen", OPT_WEBHOOK, "ADDR", 0, "the injector; default: [::]:9443", 2},
	{"no-webhook", OPT_NO_WEBHOOK, NULL, 0, "routes only, no injection", 2},
	{"resync", OPT_RESYNC, "DURATION", 0,
	 "look at ConfigMaps and the CA again after this long (5m)", 2},
	{"proxy-image", OPT_PROXY_IMAGE, "IMAGE", 0, "of the injected proxy", 2},
	{"init-image", OPT_INIT_IMAGE, "IMAGE", 0, "of the injected init container", 2},
	{"log-level", OPT_LEVEL, "LEVEL", 0, "error, warn, info (default), debug", 3},
	{"log-format", OPT_FORMAT, "FORMAT", 0, "json, text; default: text on a terminal", 3},
	{0}};

static const struct {
	int key;
	size_t offset;
} strings[] = {
	{OPT_SOURCE, offsetof(struct sn_operator_options, source)},
	{OPT_ROUTES, offsetof(struct sn_operator_options, routes_out)},
	{OPT_API, offsetof(struct sn_operator_options, api_server)},
	{OPT_TOKEN, offsetof(struct sn_operator_options, token_file)},
	{OPT_CA, offsetof(struct sn_operator_options, ca_file)},
	{OPT_NAMESPACE, offsetof(struct sn_operator_options, ns)},
	{OPT_HTTP, offsetof(struct sn_operator_options, http_listen)},
	{OPT_WEBHOOK, offsetof(struct sn_operator_options, webhook_listen)},
	{OPT_PROXY_IMAGE, offsetof(struct sn_operator_options, proxy_image)},
	{OPT_INIT_IMAGE, offsetof(struct sn_operator_options, init_image)},
};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct sn_operator_options *o = state->input;
	size_t i;

	for (i = 0; i < sizeof(strings) / sizeof(strings[0]); i++)
		if (strings[i].key == key) {
			memcpy((char *)o + strings[i].offset, &arg, sizeof(arg));
			return 0;
		}
	switch (key) {
	case OPT_RESYNC:
		if (sn_num_duration_ms(sn_slice_cstr(arg), &o->resync_ms) || o->resync_ms < 1000)
			argp_error(state, "--resync: a duration of at least 1s, such as 5m");
		break;
	case OPT_NO_WEBHOOK:
		o->webhook = false;
		break;
	case OPT_LEVEL:
		if (sn_log_parse_level(arg, &o->level))
			argp_error(state, "--log-level: error, warn, info or debug");
		break;
	case OPT_FORMAT:
		if (strcmp(arg, "json") != 0 && strcmp(arg, "text") != 0)
			argp_error(state, "--log-format: json or text");
		o->format = arg[0] == 'j' ? SN_LOG_JSON : SN_LOG_TEXT;
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument \"%s\"", arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int run_local(const struct sn_operator_options *o)
{
	struct stat st;

	if (!o->routes_out || stat(o->routes_out, &st) || !S_ISDIR(st.st_mode)) {
		fprintf(stderr,
			"sennit-operator: --routes-out must name a directory that exists\n");
		return 2;
	}
	return sn_run_local(o);
}

/* One heap, and thresholds that stay: by itself the allocator would learn from the first large body
 * or document to keep tens of megabytes for the next one. */
static void give_memory_back(void)
{
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, 256 * 1024);
	mallopt(M_MMAP_THRESHOLD, 256 * 1024);
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		option_list,
		parse_option,
		NULL,
		"The control plane of the Sennit service mesh.\v"
		"Exit codes: 0 fine, 1 the answer is no, 2 bad usage or configuration.",
		NULL,
		NULL,
		NULL};
	struct sn_operator_options o = {.level = SN_LOG_INFO,
					.format = SN_LOG_AUTO,
					.http_listen = "[::]:8080",
					.webhook_listen = "[::]:9443",
					.resync_ms = 300000,
					.webhook = true};

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	give_memory_back();
	sn_log_init(2, o.format, o.level);
	if (!o.ns)
		o.ns = getenv("SENNIT_NAMESPACE");
	if (!o.ns || !o.ns[0])
		o.ns = "sennit-system";
	if (o.source && strncmp(o.source, "dir:", 4) == 0)
		return run_local(&o);
	if (o.source && strcmp(o.source, "kube") == 0) {
		if (!o.webhook || (o.proxy_image && o.init_image))
			return sn_run_cluster(&o);
		fprintf(stderr, "sennit-operator: --proxy-image and --init-image say what to "
				"inject (or give --no-webhook)\n");
		return 2;
	}
	fprintf(stderr, "sennit-operator: --source kube or --source dir:PATH is missing; see "
			"--help\n");
	return 2;
}
