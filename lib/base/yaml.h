/* SPDX-License-Identifier: Apache-2.0 */
/* base/yaml.h - YAML in and out (libyaml inside, nowhere else): core schema, no tags, duplicate
 * keys refused, aliases allowed and bounded, depth 64, input at most 1 MiB, strict UTF-8, no NUL.
 */
#ifndef SN_BASE_YAML_H
#define SN_BASE_YAML_H

#include <stddef.h>

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "base/val.h"

#define SN_YAML_DEPTH_MAX 64
#define SN_YAML_INPUT_MAX (1u << 20)
#define SN_YAML_NODES_MAX 200000u /* after expansion of aliases */

/* Where a document was found wrong; printed as FILE:LINE:COLUMN: message. */
struct sn_yaml_mark {
	uint32_t line;
	uint32_t col;
};

/* Parses a file's text with exactly one document (an empty input gives SN_VAL_NULL). @file is
 * borrowed by the values. Returns 0, -SN_ESYNTAX, -SN_EDEPTH, -SN_ETOOBIG, -SN_ENOMEM; @err has the
 * message without the place, *mark (may be NULL) the place. */
int sn_yaml_parse(struct sn_arena *a, const char *file, const char *p, size_t n,
		  struct sn_val **ret, struct sn_yaml_mark *mark, struct sn_err *err);
/* The same for any number of documents: *ret is a list of them, empty ones left out. */
int sn_yaml_parse_all(struct sn_arena *a, const char *file, const char *p, size_t n,
		      struct sn_val **ret, struct sn_yaml_mark *mark, struct sn_err *err);

/* Writes @v as block-style YAML, members in their order; strings quoted where the core schema would
 * read them as something else. Deterministic. Returns 0 or -SN_ENOMEM/-SN_ETOOBIG. */
int sn_yaml_write(struct sn_buf *out, const struct sn_val *v);

#endif
