/* SPDX-License-Identifier: Apache-2.0 */
/* Who is redirected:
 *   out of the pod   TCP that is not for loopback, not the proxy's own, not to a skipped port ->
 * outbound into the pod     TCP that is not from loopback, not to the proxy's ports, not to a
 * skipped port -> inbound What an application sends to its own pod's address goes by loopback and
 * stays untouched. UDP stays untouched. */
#include "init/rules.h"

static void nft_skip(const struct sn_ports *p, struct sn_buf *out)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		sn_buf_printf(out, "\t\ttcp dport %u-%u accept\n", p->v[i].first, p->v[i].last);
}

void sn_rules_nft(const struct sn_rules *r, struct sn_buf *out)
{
	sn_buf_puts(out, "add table inet sennit\n"
			 "delete table inet sennit\n"
			 "table inet sennit {\n"
			 "\tchain output {\n"
			 "\t\ttype nat hook output priority -100; policy accept;\n"
			 "\t\toif \"lo\" accept\n");
	sn_buf_printf(out, "\t\tmeta skuid %u accept\n", r->proxy_uid);
	nft_skip(&r->skip_outbound, out);
	sn_buf_printf(out, "\t\tmeta l4proto tcp redirect to :%u\n\t}\n", r->outbound_port);
	sn_buf_puts(out, "\tchain prerouting {\n"
			 "\t\ttype nat hook prerouting priority -100; policy accept;\n"
			 "\t\tiif \"lo\" accept\n");
	sn_buf_printf(out, "\t\ttcp dport { %u, %u } accept\n", r->inbound_port, r->admin_port);
	nft_skip(&r->skip_inbound, out);
	sn_buf_printf(out, "\t\tmeta l4proto tcp redirect to :%u\n\t}\n}\n", r->inbound_port);
}

static void ipt_skip(const char *chain, const struct sn_ports *p, struct sn_buf *out)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		sn_buf_printf(out, "-A %s -p tcp --dport %u:%u -j RETURN\n", chain, p->v[i].first,
			      p->v[i].last);
}

void sn_rules_iptables(const struct sn_rules *r, bool again, struct sn_buf *out)
{
	sn_buf_puts(
		out,
		"*nat\n:SENNIT_OUT - [0:0]\n:SENNIT_IN - [0:0]\n-A SENNIT_OUT -o lo -j RETURN\n");
	sn_buf_printf(out, "-A SENNIT_OUT -m owner --uid-owner %u -j RETURN\n", r->proxy_uid);
	ipt_skip("SENNIT_OUT", &r->skip_outbound, out);
	sn_buf_printf(out, "-A SENNIT_OUT -p tcp -j REDIRECT --to-ports %u\n", r->outbound_port);
	sn_buf_puts(out, "-A SENNIT_IN -i lo -j RETURN\n");
	sn_buf_printf(out, "-A SENNIT_IN -p tcp --dport %u -j RETURN\n", r->inbound_port);
	sn_buf_printf(out, "-A SENNIT_IN -p tcp --dport %u -j RETURN\n", r->admin_port);
	ipt_skip("SENNIT_IN", &r->skip_inbound, out);
	sn_buf_printf(out, "-A SENNIT_IN -p tcp -j REDIRECT --to-ports %u\n", r->inbound_port);
	if (!again)
		sn_buf_puts(out,
			    "-A OUTPUT -p tcp -j SENNIT_OUT\n-A PREROUTING -p tcp -j SENNIT_IN\n");
	sn_buf_puts(out, "COMMIT\n");
}
