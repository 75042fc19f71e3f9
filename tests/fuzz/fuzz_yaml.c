/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzzes YAML: what is read can be written and reads back the same. */
#include <stdlib.h>

#include "base/yaml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	struct sn_arena a;
	struct sn_val *v = NULL, *again = NULL;
	struct sn_err err = {0};
	struct sn_buf out;

	sn_arena_init(&a, 0, 64u << 20);
	sn_buf_init(&out, 0);
	if (sn_yaml_parse(&a, "fuzz", (const char *)data, n, &v, NULL, &err) == 0 &&
	    sn_yaml_write(&out, v) == 0) {
		if (sn_yaml_parse(&a, "again", sn_buf_slice(&out).p, sn_buf_len(&out), &again, NULL,
				  &err))
			abort();
		if (!sn_val_equal(v, again))
			abort();
	}
	sn_buf_done(&out);
	sn_arena_done(&a);
	return 0;
}
