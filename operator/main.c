/* SPDX-License-Identifier: Apache-2.0 */
/* sennit-operator: arguments, one loop, a source of resources, and what is made of them. */
#include <argp.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "net/loop.h"
#include "operator/index/index.h"
#include "operator/reconcile/files.h"
#include "operator/source/dir.h"
#include "operator/translate/translate.h"

enum { OPT_SOURCE = 256, OPT_ROUTES, OPT_LEVEL, OPT_FORMAT };

struct options {
	const char *source, *routes_out;
	enum sn_log_level level;
	enum sn_log_format format;
};

struct operator
{
	const struct options *o;
	struct sn_loop *loop;
	struct sn_index *idx;
	struct sn_io signals;
};

const char *argp_program_version = "sennit-operator " SN_VERSION;

static const struct argp_option option_list[] = {
	{"source", OPT_SOURCE, "dir:PATH", 0,
	 "where resources come from: YAML files in a directory", 0},
	{"routes-out", OPT_ROUTES, "DIR", 0, "write DIR/NAMESPACE/routes-N.yaml (with dir:)", 0},
	{"log-level", OPT_LEVEL, "LEVEL", 0, "error, warn, info (default), debug", 1},
	{"log-format", OPT_FORMAT, "FORMAT", 0, "json, text; default: text on a terminal", 1},
	{0}};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;

	switch (key) {
	case OPT_SOURCE:
		o->source = arg;
		break;
	case OPT_ROUTES:
		o->routes_out = arg;
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

/* Without an API server there is no status to write: what is not accepted is logged. */
static void report(const struct sn_index *idx, enum sn_kind kind)
{
	struct sn_condition c[SN_CONDITIONS_MAX];
	size_t i, p, k, n;

	for (i = 0; i < sn_index_count(idx, kind); i++) {
		const struct sn_object *o = sn_index_at(idx, kind, i);

		for (p = 0; p < sn_translate_parents(o); p++) {
			n = sn_translate_conditions(idx, o, p, c);
			for (k = 0; k < n; k++)
				if (!c[k].status)
					sn_warn("status", "%s %s/%s: %s=False, %s: %s",
						sn_kind_name(kind), o->ns, o->name, c[k].type,
						c[k].reason, c[k].message);
		}
	}
}

static void on_changed(void *arg)
{
	struct operator* op = arg;
	struct sn_err err = {0};

	if (sn_reconcile_files(op->idx, op->o->routes_out, &err))
		sn_debug("reconcile", "%s", err.msg); /* logged where it happened */
	report(op->idx, SN_KIND_MESHROUTE);
	report(op->idx, SN_KIND_BACKENDPOLICY);
}

static void on_signal(struct sn_io *io, uint32_t events)
{
	struct operator* op = sn_container_of(io, struct operator, signals);
	struct signalfd_siginfo si;

	(void)events;
	while (read(io->fd, &si, sizeof(si)) == (ssize_t)sizeof(si))
		sn_loop_stop(op->loop);
}

static int watch_signals(struct operator* op)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	op->signals.cb = on_signal;
	op->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	return op->signals.fd < 0 ? -1 : sn_loop_add(op->loop, &op->signals, EPOLLIN, true);
}

static int run_dir(const struct options *o, const char *path)
{
	struct operator op = {.o = o, .idx = sn_index_new()};
	struct sn_dir_source *src = NULL;
	struct sn_err err = {0};
	int rc = 2;

	op.loop = sn_loop_new(NULL, &err);
	if (op.loop && op.idx && watch_signals(&op) == 0)
		src = sn_dir_source_new(op.loop, path, op.idx, on_changed, &op, &err);
	if (src) {
		sn_info("operator", "reading %s, writing %s", path, o->routes_out);
		on_changed(&op);
		sn_loop_run(op.loop);
		rc = 0;
	} else {
		sn_error("operator", "%s", err.msg);
	}
	sn_dir_source_free(src);
	sn_index_free(op.idx);
	sn_loop_free(op.loop);
	return rc;
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
	struct options o = {.level = SN_LOG_INFO, .format = SN_LOG_AUTO};
	struct stat st;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	sn_log_init(2, o.format, o.level);
	if (!o.source || strncmp(o.source, "dir:", 4) != 0) {
		fprintf(stderr, "sennit-operator: --source dir:PATH is missing; see --help\n");
		return 2;
	}
	if (!o.routes_out || stat(o.routes_out, &st) || !S_ISDIR(st.st_mode)) {
		fprintf(stderr,
			"sennit-operator: --routes-out must name a directory that exists\n");
		return 2;
	}
	return run_dir(&o, o.source + 4);
}
