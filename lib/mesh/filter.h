/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/filter.h - what a rule changes in a request. Pure: filters flag headers as dropped and list
 * what is to be added; the codec writes the result. */
#ifndef SN_MESH_FILTER_H
#define SN_MESH_FILTER_H

#include <stddef.h>

#include "base/str.h"
#include "http/message.h"

enum sn_filter_kind { SN_FILTER_REQUEST_HEADERS };

struct sn_header_value {
	struct sn_slice name;
	struct sn_slice value;
};

struct sn_header_modifier {
	struct sn_header_value *set; /* replaces all of that name */
	size_t n_set;
	struct sn_header_value *add;
	size_t n_add;
	struct sn_slice *remove;
	size_t n_remove;
};

struct sn_filter {
	enum sn_filter_kind kind;
	struct sn_header_modifier headers;
};

/* Applies one modifier: flags existing headers SN_HDR_DROPPED and appends set and add values to @hs
 * (borrowed from the snapshot). Framing, Host and hop-by-hop names are never touched (refused when
 * the document is checked). Returns 0, or -SN_ETOOBIG when @hs has no room. */
int sn_filter_request_headers(const struct sn_header_modifier *m, struct sn_headers *hs);

#endif
