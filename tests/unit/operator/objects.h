/* SPDX-License-Identifier: Apache-2.0 */
/* Objects for tests of the control plane, as YAML. */
#ifndef SN_TESTS_OBJECTS_H
#define SN_TESTS_OBJECTS_H

#include "tests/unit/unit.h"

#include "base/yaml.h"
#include "operator/index/index.h"

/* Parses @text (any number of documents) and applies each; returns the result of the last. */
static inline int apply(struct sn_index *idx, const char *text)
{
	struct sn_err err = {0};
	struct sn_val *all = NULL;
	struct sn_arena a;
	int rc = 0;
	size_t i;

	sn_arena_init(&a, 0, 0);
	if (sn_yaml_parse_all(&a, "objects", text, strlen(text), &all, NULL, &err))
		fail_msg("%s", err.msg);
	for (i = 0; i < sn_val_len(all); i++)
		rc = sn_index_apply(idx, -1, sn_val_at(all, i));
	sn_arena_done(&a);
	return rc;
}

#define SERVICE(name, ip)                                                                          \
	"kind: Service\nmetadata: {name: " name ", namespace: demo}\n"                             \
	"spec: {clusterIP: " ip ", clusterIPs: [" ip                                               \
	"], selector: {a: b}, ports: [{port: 80}]}\n---\n"

#endif
