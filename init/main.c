/* SPDX-License-Identifier: Apache-2.0 */
/* sennit-init: sets a pod's redirect rules once and ends. */
#include <argp.h>
#include <stdio.h>
#include <string.h>

#include "base/num.h"
#include "init/rules.h"
#include "init/run.h"

enum { OPT_IN = 256, OPT_OUT, OPT_UID, OPT_ADMIN, OPT_SKIP_IN, OPT_SKIP_OUT, OPT_PRINT };

struct options {
	struct sn_rules rules;
	bool print;
};

__attribute__((visibility("default"))) /* libc looks for it */
const char *argp_program_version = "sennit-init " SN_VERSION;

static const struct argp_option option_list[] = {
	{"inbound-port", OPT_IN, "PORT", 0, "of the proxy (4143)", 0},
	{"outbound-port", OPT_OUT, "PORT", 0, "of the proxy (4140)", 0},
	{"admin-port", OPT_ADMIN, "PORT", 0, "of the proxy, never redirected (4191)", 0},
	{"proxy-uid", OPT_UID, "UID", 0, "whose connections are not redirected (2102)", 0},
	{"skip-inbound-ports", OPT_SKIP_IN, "LIST", 0, "such as 22,9000-9100", 0},
	{"skip-outbound-ports", OPT_SKIP_OUT, "LIST", 0, "such as 3306,5432", 0},
	{"print", OPT_PRINT, NULL, 0, "print the nftables rules and change nothing", 0},
	{0}};

static uint16_t port(struct argp_state *state, const char *name, const char *arg)
{
	uint64_t n;

	if (sn_num_u64(sn_slice_cstr(arg), 65535, &n) || n == 0)
		argp_error(state, "--%s: \"%s\" is not a port", name, arg);
	return (uint16_t)n;
}

static void ports(struct argp_state *state, const char *name, const char *arg, struct sn_ports *ret)
{
	struct sn_err err = {0};

	if (sn_ports_parse(arg, ret, &err))
		argp_error(state, "--%s: %s", name, err.msg);
}

static error_t parse_option(int key, char *arg, struct argp_state *state)
{
	struct options *o = state->input;
	uint64_t n;

	switch (key) {
	case OPT_IN:
		o->rules.inbound_port = port(state, "inbound-port", arg);
		break;
	case OPT_OUT:
		o->rules.outbound_port = port(state, "outbound-port", arg);
		break;
	case OPT_ADMIN:
		o->rules.admin_port = port(state, "admin-port", arg);
		break;
	case OPT_UID:
		if (sn_num_u64(sn_slice_cstr(arg), UINT32_MAX, &n))
			argp_error(state, "--proxy-uid: \"%s\" is not a user id", arg);
		o->rules.proxy_uid = (uint32_t)n;
		break;
	case OPT_SKIP_IN:
		ports(state, "skip-inbound-ports", arg, &o->rules.skip_inbound);
		break;
	case OPT_SKIP_OUT:
		ports(state, "skip-outbound-ports", arg, &o->rules.skip_outbound);
		break;
	case OPT_PRINT:
		o->print = true;
		break;
	case ARGP_KEY_ARG:
		argp_error(state, "unexpected argument \"%s\"", arg);
		break;
	default:
		return ARGP_ERR_UNKNOWN;
	}
	return 0;
}

static int complain(const char *program, int rc, struct sn_buf *output, const struct sn_err *err)
{
	fprintf(stderr, "sennit-init: %s: %s%s\n", program,
		rc < 0	    ? err->msg
		: rc == 127 ? "not installed"
			    : "failed",
		rc > 0 ? ":" : "");
	if (sn_buf_len(output))
		fprintf(stderr, "%s", sn_buf_cstr(output));
	return 1;
}

static int try_nft(const struct sn_rules *r, struct sn_buf *output, struct sn_err *err)
{
	char *const argv[] = {"nft", "-f", "-", NULL};
	struct sn_buf text;
	int rc;

	sn_buf_init(&text, 1u << 20);
	sn_rules_nft(r, &text);
	rc = sn_run(argv, sn_buf_slice(&text), output, err);
	sn_buf_done(&text);
	return rc;
}

static int try_iptables(const struct sn_rules *r, bool v6, struct sn_buf *output,
			struct sn_err *err)
{
	char *check[] = {v6 ? "ip6tables" : "iptables",
			 "-w",
			 "-t",
			 "nat",
			 "-C",
			 "OUTPUT",
			 "-p",
			 "tcp",
			 "-j",
			 "SENNIT_OUT",
			 NULL};
	char *restore[] = {v6 ? "ip6tables-restore" : "iptables-restore", "-w", "--noflush", NULL};
	struct sn_buf text, unused;
	bool again;
	int rc;

	sn_buf_init(&unused, 0);
	again = sn_run(check, sn_slice("", 0), &unused, err) == 0;
	sn_buf_done(&unused);
	sn_buf_init(&text, 1u << 20);
	sn_rules_iptables(r, again, &text);
	rc = sn_run(restore, sn_buf_slice(&text), output, err);
	sn_buf_done(&text);
	return rc;
}

static int apply(const struct sn_rules *r)
{
	struct sn_buf nft, ipt;
	struct sn_err err = {0}, err_ipt = {0};
	int rc, rc_ipt, result = 0;

	sn_buf_init(&nft, 8192);
	sn_buf_init(&ipt, 8192);
	rc = try_nft(r, &nft, &err);
	if (rc != 0) {
		rc_ipt = try_iptables(r, false, &ipt, &err_ipt);
		if (rc_ipt == 0)
			(void)try_iptables(r, true, &ipt, &err_ipt); /* a pod may have no IPv6 */
		if (rc_ipt != 0) {
			complain("nft", rc, &nft, &err);
			result = complain("iptables-restore", rc_ipt, &ipt, &err_ipt);
			fprintf(stderr,
				"fix: the container needs the capability NET_ADMIN, and the kernel "
				"nf_tables or ip_tables with NAT\n");
		}
	}
	printf("sennit-init: redirect rules %s\n", result ? "are NOT set"
						   : rc	  ? "set by iptables"
							  : "set by nftables");
	sn_buf_done(&nft);
	sn_buf_done(&ipt);
	return result;
}

int main(int argc, char **argv)
{
	static const struct argp argp = {
		option_list,
		parse_option,
		NULL,
		"Redirects a pod's TCP connections to its proxy.\v"
		"Exit codes: 0 fine, 1 the rules could not be set, 2 bad usage.",
		NULL,
		NULL,
		NULL};
	struct options o = {.rules = {.inbound_port = 4143,
				      .outbound_port = 4140,
				      .admin_port = 4191,
				      .proxy_uid = 2102}};
	struct sn_buf text;

	argp_err_exit_status = 2;
	argp_parse(&argp, argc, argv, 0, NULL, &o);
	if (!o.print)
		return apply(&o.rules);
	sn_buf_init(&text, 1u << 20);
	sn_rules_nft(&o.rules, &text);
	fputs(sn_buf_cstr(&text), stdout);
	sn_buf_done(&text);
	return 0;
}
