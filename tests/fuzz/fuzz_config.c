/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes the proxy's document: refused with a message, or a configuration; never anything else. */
#include <stdlib.h>

#include "proxy/config.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sn_config *c = NULL;
	struct sn_buf messages;
	enum sn_config_result r;

	sn_buf_init(&messages, 0);
	r = sn_config_parse("fuzz.yaml", sn_slice((const char *)data, n), NULL, NULL, &c,
			    &messages);
	if ((r == SN_CONFIG_OK) != (c != NULL))
		abort();
	if (r == SN_CONFIG_REJECTED && sn_buf_len(&messages) == 0)
		abort();
	sn_config_free(c);
	sn_buf_done(&messages);
	return 0;
}
