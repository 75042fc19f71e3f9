/* SPDX-License-Identifier: Apache-2.0 */
/* http/url.h - the parts of a request target and of an authority. Pure; borrows. Nothing is
 * decoded: the path that is routed is the path that is forwarded. */
#ifndef SN_HTTP_URL_H
#define SN_HTTP_URL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/str.h"

/* "host", "host:port", "[v6]:port". Host characters per RFC 3986 reg-name / IP-literal,
 * port 1..65535
 * (*ret_port 0 when absent). A trailing dot is cut off *ret_host. Returns 0 or -SN_EPROTO. */
int sn_url_authority(struct sn_slice authority, struct sn_slice *ret_host, uint16_t *ret_port);

/* Cuts "path?query" at the first '?'. A fragment ('#') is -SN_EPROTO. */
int sn_url_path_query(struct sn_slice target, struct sn_slice *ret_path,
		      struct sn_slice *ret_query);

/* First value of query parameter @name (compared byte-wise after percent-decoding both sides, '+'
 * stays '+'). Returns false if absent. *ret_value is undecoded. */
bool sn_url_query_find(struct sn_slice query, struct sn_slice name, struct sn_slice *ret_value);
/* Percent-decoded into @dst. Returns 0, or -SN_ETOOBIG when it is longer than @cap. */
int sn_url_decode(struct sn_slice encoded, char *dst, size_t cap, size_t *ret_n);
/* Percent-decoded equality. */
bool sn_url_decoded_eq(struct sn_slice encoded, struct sn_slice plain);

#endif
