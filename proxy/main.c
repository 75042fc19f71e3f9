/* SPDX-License-Identifier: Apache-2.0 */
/* sennit-proxy: arguments, the first look at the configuration, and on to the control thread. */
#include <argp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/err.h"
#include "base/log.h"
#include "base/num.h"
#include "proxy/control.h"

enum {
	OPT_CHECK = 256,
	OPT_WORKERS,
	OPT_DEFAULTS,
	OPT_DRAIN,
	OPT_SHUTDOWN,
	OPT_ADMIN,
	OPT_STATE,
	OPT_UPGRADE,
	OPT_UPGRADE_SOCKET,
	OPT_LEVEL,
	OPT_FORMAT
};

struct options {
	const char *config, *admin, *state_dir, *upgrade_socket, *tell;
	bool check, print_defaults, upgrade;
	unsigned workers;
	enum sn_log_level level;
	enum sn_log_format format;
};

__attribute__((visibility("default"))) /* libc looks for it */
const char *argp_program_version = "sennit-proxy " SN_VERSION;

static const struct argp_option option_list[] = {
	{"config", 'c', "PATH", 0, "a file, or a directory whose *.yaml are merged in name order",
	 0},
	{"check", OPT_CHECK, NULL, 0, "check the configuration, print what is wrong, exit 0 or 2",
	 0},
	{"workers", OPT_WORKERS, "N", 0, "worker threads, instead of what the document says", 0},
	{"print-defaults", OPT_DEFAULTS, NULL, 0, "print every key with its default", 0},
	{"drain", OPT_DRAIN, NULL, 0, "tell the proxy of this pod or host to drain", 1},
	{"shutdown", OPT_SHUTDOWN, NULL, 0, "tell it to end", 1},
	{"admin", OPT_ADMIN, "ADDR", 0, "where it listens (127.0.0.1:4191)", 1},
	{"state-dir", OPT_STATE, "DIR", 0, "where the last good document is kept (/var/run/sennit)",
	 2},
	{"upgrade", OPT_UPGRADE, NULL, 0,
	 "take the sockets of the proxy that runs, if one does; it drains and ends", 2},
	{"upgrade-socket", OPT_UPGRADE_SOCKET, "PATH", 0,
	 "where they are handed over (with --upgrade: upgrade.sock in the state directory)", 2},
	{"log-level", OPT_LEVEL, "LEVEL", 0, "error, warn, info (default), debug", 2},
	{"log-format", OPT_FORMAT, "FORMAT", 0, "json, text; default: text on a terminal", 2},
	{0}};

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	uint64_t n;

	switch (key) {
	case 'c':
		o->config = arg;
		break;
	case OPT_CHECK:
		o->check = true;
		break;
	case OPT_DEFAULTS:
		o->print_defaults = true;
		break;
	case OPT_DRAIN:
		o->tell = "/drain";
		break;
	case OPT_SHUTDOWN:
		o->tell = "/shutdown";
		break;
	case OPT_ADMIN:
		o->admin = arg;
		break;
	case OPT_STATE:
		o->state_dir = arg;
		break;
	case OPT_UPGRADE:
		o->upgrade = true;
		break;
	case OPT_UPGRADE_SOCKET:
		o->upgrade_socket = arg;
		break;
	case OPT_WORKERS:
		if (sn_num_u64(sn_slice_cstr(arg), 64, &n) || n == 0)
			argp_error(state, "--workers: 1 to 64");
		o->workers = (unsigned)n;
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

static int check_only(const char *path)
{
	struct sn_config *conf = NULL;
	struct sn_buf messages;
	enum sn_config_result r;

	sn_buf_init(&messages, 1u << 20);
	r = sn_config_load(path, NULL, &conf, &messages);
	if (r == SN_CONFIG_OK && sn_config_check_endpoint_files(conf, &messages))
		r = SN_CONFIG_REJECTED;
	fputs(sn_buf_cstr(&messages), stderr);
	if (r == SN_CONFIG_WAITING)
		fprintf(stderr, "%s:0:0: not all shards of one revision are there\n", path);
	else if (r == SN_CONFIG_EMPTY && sn_buf_len(&messages) == 0)
		fprintf(stderr, "%s:0:0: no document\n", path);
	sn_buf_done(&messages);
	sn_config_free(conf);
	return r == SN_CONFIG_OK ? 0 : 2;
}

static int print_defaults(void)
{
	struct sn_buf out;

	sn_buf_init(&out, 1u << 20);
	sn_config_print_defaults(&out);
	fputs(sn_buf_cstr(&out), stdout);
	sn_buf_done(&out);
	return 0;
}

static void log_messages(enum sn_log_level level, struct sn_buf *messages)
{
	struct sn_slice rest = sn_buf_slice(messages), line;

	while (rest.n) {
		line = sn_slice_cut(&rest, '\n');
		sn_log(level, "config", "%.*s", SN_ARG(line));
	}
}

/* A file must be there and good; a directory may become so later. Returns 0 or the exit code. */
static int first_look(const char *path, bool is_dir, struct sn_config **ret)
{
	struct sn_buf messages;
	enum sn_config_result r;

	sn_buf_init(&messages, 1u << 20);
	r = sn_config_load(path, NULL, ret, &messages);
	log_messages(r == SN_CONFIG_OK ? SN_LOG_WARN : SN_LOG_ERROR, &messages);
	sn_buf_done(&messages);
	if (r == SN_CONFIG_OK || is_dir)
		return 0;
	if (r == SN_CONFIG_EMPTY)
		sn_error("config", "%s: there is no document", path);
	return 2;
}

/* Returns 0 or the exit code. */
static int run(const struct options *o)
{
	char upgrade_path[4096];
	struct sn_control_options control = {.path = o->config,
					     .state_dir = o->state_dir,
					     .upgrade_path = o->upgrade_socket,
					     .upgrade = o->upgrade,
					     .workers = o->workers};
	struct sn_config *first = NULL;
	struct sn_err err = {0};
	struct sn_loop *loop;
	struct stat st;
	int rc;

	sn_log_init(2, o->format, o->level);
	if (o->upgrade && !o->upgrade_socket) {
		snprintf(upgrade_path, sizeof(upgrade_path), "%s/upgrade.sock", o->state_dir);
		control.upgrade_path = upgrade_path;
	}
	control.is_dir = stat(o->config, &st) == 0 && S_ISDIR(st.st_mode);
	rc = first_look(o->config, control.is_dir, &first);
	if (rc)
		return rc;
	loop = sn_loop_new(NULL, &err);
	if (!loop) {
		sn_error("proxy", "%s", err.msg);
		return 1;
	}
	rc = sn_control_run(loop, &control, first);
	sn_loop_free(loop);
	return rc;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		option_list,
		parse_option,
		NULL,
		"The data plane of the Sennit service mesh.\v"
		"Exit codes: 0 fine, 1 the answer is no, 2 bad usage or configuration.",
		NULL,
		NULL,
		NULL};
	struct options o = {.admin = "127.0.0.1:4191",
			    .state_dir = "/var/run/sennit",
			    .level = SN_LOG_INFO,
			    .format = SN_LOG_AUTO};

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (o.print_defaults)
		return print_defaults();
	if (o.tell)
		return sn_admin_tell(o.admin, o.tell);
	if (!o.config) {
		fprintf(stderr, "sennit-proxy: --config PATH is missing; see --help\n");
		return 2;
	}
	if (o.check)
		return check_only(o.config);
	return run(&o);
}
