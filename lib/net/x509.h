/* SPDX-License-Identifier: Apache-2.0 */
/* net/x509.h - a small certificate authority: ECDSA P-256, PEM in and out (OpenSSL inside). */
#ifndef SN_NET_X509_H
#define SN_NET_X509_H

#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

struct sn_x509_info {
	int64_t not_before, not_after; /* seconds since 1970 */
	char subject[128];	       /* common name */
};

/* Appends a new self-signed CA certificate named @name, valid from now (less five minutes) for
 * @seconds, and its private key (PKCS#8). Returns 0 or -SN_ESYS. */
int sn_x509_make_ca(const char *name, uint64_t seconds, struct sn_buf *cert, struct sn_buf *key,
		    struct sn_err *err);
/* Appends a server certificate for the DNS names @dns, signed by the CA, and its new key; never
 * valid longer than the CA. Returns 0, -SN_ESYNTAX (the CA's PEM is bad, or they are no pair) or
 * -SN_ESYS. */
int sn_x509_issue_server(struct sn_slice ca_cert, struct sn_slice ca_key, const char *const *dns,
			 size_t n_dns, uint64_t seconds, struct sn_buf *cert, struct sn_buf *key,
			 struct sn_err *err);
/* Reads the first certificate of @pem. Returns 0 or -SN_ESYNTAX. */
int sn_x509_info(struct sn_slice pem, struct sn_x509_info *ret, struct sn_err *err);

#endif
