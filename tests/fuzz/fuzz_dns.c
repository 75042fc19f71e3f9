/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes DNS answers: the first octet picks the type. Refused, or bounded and whole. */
#include <stdlib.h>
#include <string.h>

#include "net/resolver.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(const struct sn_dns_record *r, size_t n, enum sn_dns_type type)
{
	size_t i;

	if (n > SN_DNS_RECORDS_MAX)
		abort();
	for (i = 0; i < n; i++)
		if (type == SN_DNS_SRV
			    ? !r[i].port || !sn_dns_name_ok(sn_slice_cstr(r[i].name))
			    : r[i].addr.family != AF_INET && r[i].addr.family != AF_INET6)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	static const enum sn_dns_type types[] = {SN_DNS_A, SN_DNS_AAAA, SN_DNS_SRV};
	struct sn_dns_answer a = {0};
	struct sn_arena arena;
	enum sn_dns_type type;

	if (n == 0)
		return 0;
	type = types[data[0] % 3];
	sn_arena_init(&arena, 0, 1u << 20);
	if (sn_resolver_parse(&arena, data + 1, n - 1, type, &a) == 0) {
		check(a.records, a.n, type);
		if (type == SN_DNS_SRV)
			check(a.additional, a.n_additional, SN_DNS_A);
	}
	sn_arena_done(&arena);
	return 0;
}
