/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/regex.h - regular expressions of rules, matched against what a peer sent: always the whole
 * text, always in bounded time. The dialect is what PCRE2 and RE2 have in common: no lookaround, no
 * backreference, no recursion, so that a pattern means the same in other meshes and no pattern
 * escapes the limits. Octets, not characters: "." is one octet. Compiled patterns are immutable
 * and shared by threads; what a match writes to is the scratch. */
#ifndef SN_MESH_REGEX_H
#define SN_MESH_REGEX_H

#include "base/err.h"
#include "base/str.h"

#define SN_REGEX_PATTERN_MAX 1024 /* bytes */
#define SN_REGEX_SUBJECT_MAX 4096 /* bytes; a longer text matches nothing */

struct sn_regex;
struct sn_regex_scratch;

/* Compiles @pattern (borrowed during the call) into *ret, to be freed with sn_regex_free().
 * Returns 0, -SN_ECONF with the place and the reason in @err, or -SN_ENOMEM. */
int sn_regex_new(struct sn_slice pattern, struct sn_regex **ret, struct sn_err *err);
void sn_regex_free(struct sn_regex *re); /* NULL allowed */

/* Would sn_regex_new() take it? The same codes, nothing kept, and cheaper. */
int sn_regex_check(struct sn_slice pattern, struct sn_err *err);

/* One for each thread, some 40 KiB. NULL when out of memory. */
struct sn_regex_scratch *sn_regex_scratch_new(void);
void sn_regex_scratch_free(struct sn_regex_scratch *s); /* NULL allowed */

/* 1: @re matches all of @subject; 0: it does not; -SN_ELIMIT: not decided within about a
 * millisecond, or @subject is longer than SN_REGEX_SUBJECT_MAX. Allocates nothing. */
int sn_regex_match(const struct sn_regex *re, struct sn_slice subject, struct sn_regex_scratch *s);

#endif
