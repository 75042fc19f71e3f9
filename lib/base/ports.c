/* SPDX-License-Identifier: Apache-2.0 */
/* Lists of ports and ranges. */
#include "base/ports.h"

#include "base/num.h"
#include "base/str.h"

int sn_ports_parse(const char *text, struct sn_ports *ret, struct sn_err *err)
{
	struct sn_slice rest = sn_slice_cstr(text);

	ret->n = 0;
	while (rest.n) {
		struct sn_slice item = sn_slice_trim(sn_slice_cut(&rest, ',')), last = item, first;
		uint64_t a, b;

		first = sn_slice_cut(&last, '-');
		if (!last.p)
			last = first;
		if (sn_num_u64(first, 65535, &a) || sn_num_u64(last, 65535, &b) || a == 0 || b < a)
			return sn_err_set(
				err, SN_EUSAGE,
				"\"%.*s\" is not a port (1 to 65535) or a range such as 9000-9100",
				(int)(item.n < 64 ? item.n : 64), item.p);
		if (ret->n == SN_PORT_RANGES_MAX)
			return sn_err_set(err, SN_EUSAGE, "more than %d ports and ranges",
					  SN_PORT_RANGES_MAX);
		ret->v[ret->n++] = (struct sn_port_range){(uint16_t)a, (uint16_t)b};
	}
	return 0;
}

bool sn_ports_contain(const struct sn_ports *p, uint16_t port)
{
	size_t i;

	for (i = 0; i < p->n; i++)
		if (port >= p->v[i].first && port <= p->v[i].last)
			return true;
	return false;
}
