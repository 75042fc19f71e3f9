/* SPDX-License-Identifier: Apache-2.0 */
/* Certificates are built field by field; whatever fails below leaves through one door. */
#include "net/x509.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define SKEW_S 300

static int fail(struct sn_err *err, enum sn_code code, const char *what)
{
	char text[200];
	unsigned long e = ERR_get_error();

	ERR_error_string_n(e, text, sizeof(text));
	ERR_clear_error();
	return sn_err_set(err, code, "%s: %s", what, e ? text : "refused");
}

static bool set_serial(X509 *x)
{
	BIGNUM *n = BN_new();
	bool ok = n && BN_rand(n, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
		  BN_to_ASN1_INTEGER(n, X509_get_serialNumber(x));

	BN_free(n);
	return ok;
}

static bool set_extension(X509 *x, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *e;
	bool ok;

	X509V3_set_ctx_nodb(&ctx);
	X509V3_set_ctx(&ctx, issuer, x, NULL, NULL, 0);
	e = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	ok = e && X509_add_ext(x, e, -1);
	X509_EXTENSION_free(e);
	return ok;
}

static bool set_validity(X509 *x, uint64_t seconds, const X509 *ca)
{
	if (!X509_gmtime_adj(X509_getm_notBefore(x), -SKEW_S) ||
	    !X509_gmtime_adj(X509_getm_notAfter(x), (long)seconds))
		return false;
	if (ca && ASN1_TIME_compare(X509_get0_notAfter(x), X509_get0_notAfter(ca)) > 0)
		return X509_set1_notAfter(x, X509_get0_notAfter(ca));
	return true;
}

static bool set_name(X509 *x, const char *name)
{
	X509_NAME *n = X509_get_subject_name(x);

	return X509_NAME_add_entry_by_txt(n, "O", MBSTRING_UTF8, (const unsigned char *)"Sennit",
					  -1, -1, 0) &&
	       X509_NAME_add_entry_by_txt(n, "CN", MBSTRING_UTF8, (const unsigned char *)name, -1,
					  -1, 0);
}

static int print(BIO *b, struct sn_buf *out)
{
	char *p;
	long n = BIO_get_mem_data(b, &p);

	return sn_buf_append(out, p, (size_t)n);
}

static int print_pair(X509 *x, EVP_PKEY *key, struct sn_buf *cert_out, struct sn_buf *key_out)
{
	BIO *b = BIO_new(BIO_s_mem());
	int rc = -SN_ENOMEM;

	if (b && PEM_write_bio_X509(b, x))
		rc = print(b, cert_out);
	BIO_free(b);
	b = BIO_new(BIO_s_secmem());
	if (rc == 0 && b && PEM_write_bio_PKCS8PrivateKey(b, key, NULL, NULL, 0, NULL, NULL))
		rc = print(b, key_out);
	else
		rc = rc ? rc : -SN_ENOMEM;
	BIO_free(b);
	return rc;
}

int sn_x509_make_ca(const char *name, uint64_t seconds, struct sn_buf *cert, struct sn_buf *key,
		    struct sn_err *err)
{
	EVP_PKEY *k = EVP_EC_gen("P-256");
	X509 *x = X509_new();
	int rc = 0;

	if (!k || !x || !X509_set_version(x, 2) || !set_serial(x) ||
	    !set_validity(x, seconds, NULL) || !set_name(x, name) ||
	    !X509_set_issuer_name(x, X509_get_subject_name(x)) || !X509_set_pubkey(x, k) ||
	    !set_extension(x, x, NID_basic_constraints, "critical,CA:TRUE,pathlen:0") ||
	    !set_extension(x, x, NID_key_usage, "critical,keyCertSign,cRLSign") ||
	    !set_extension(x, x, NID_subject_key_identifier, "hash") ||
	    !X509_sign(x, k, EVP_sha256()) || print_pair(x, k, cert, key))
		rc = fail(err, SN_ESYS, "a new CA certificate");
	X509_free(x);
	EVP_PKEY_free(k);
	return rc;
}

static X509 *read_cert(struct sn_slice pem)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	X509 *x = b ? PEM_read_bio_X509(b, NULL, NULL, NULL) : NULL;

	BIO_free(b);
	return x;
}

static int no_passphrase(char *buf, int size, int rwflag, void *arg)
{
	(void)buf;
	(void)size;
	(void)rwflag;
	(void)arg;
	return -1; /* else OpenSSL asks on the terminal */
}

static EVP_PKEY *read_key(struct sn_slice pem)
{
	BIO *b = BIO_new_mem_buf(pem.p, (int)pem.n);
	EVP_PKEY *k = b ? PEM_read_bio_PrivateKey(b, NULL, no_passphrase, NULL) : NULL;

	BIO_free(b);
	return k;
}

static bool set_dns(X509 *x, X509 *ca, const char *const *dns, size_t n)
{
	struct sn_buf names;
	size_t i;
	bool ok;

	sn_buf_init(&names, 8192);
	for (i = 0; i < n; i++)
		sn_buf_printf(&names, "%sDNS:%s", i ? "," : "", dns[i]);
	ok = !names.failed && set_extension(x, ca, NID_subject_alt_name, sn_buf_cstr(&names));
	sn_buf_done(&names);
	return ok;
}

int sn_x509_issue_server(struct sn_slice ca_cert, struct sn_slice ca_key, const char *const *dns,
			 size_t n_dns, uint64_t seconds, struct sn_buf *cert, struct sn_buf *key,
			 struct sn_err *err)
{
	X509 *ca = read_cert(ca_cert), *x = NULL;
	EVP_PKEY *signer = read_key(ca_key), *k = NULL;
	int rc = 0;

	if (!ca || !signer || X509_check_private_key(ca, signer) != 1) {
		rc = fail(err, SN_ESYNTAX, "the CA's certificate and key");
		goto out;
	}
	k = EVP_EC_gen("P-256");
	x = X509_new();
	if (!k || !x || n_dns == 0 || !X509_set_version(x, 2) || !set_serial(x) ||
	    !set_validity(x, seconds, ca) || !set_name(x, dns[0]) ||
	    !X509_set_issuer_name(x, X509_get_subject_name(ca)) || !X509_set_pubkey(x, k) ||
	    !set_extension(x, ca, NID_basic_constraints, "critical,CA:FALSE") ||
	    !set_extension(x, ca, NID_key_usage, "critical,digitalSignature") ||
	    !set_extension(x, ca, NID_ext_key_usage, "serverAuth") ||
	    !set_extension(x, ca, NID_authority_key_identifier, "keyid:always") ||
	    !set_dns(x, ca, dns, n_dns) || !X509_sign(x, signer, EVP_sha256()) ||
	    print_pair(x, k, cert, key))
		rc = fail(err, SN_ESYS, "a new server certificate");
out:
	X509_free(x);
	X509_free(ca);
	EVP_PKEY_free(k);
	EVP_PKEY_free(signer);
	return rc;
}

static int64_t seconds_of(const ASN1_TIME *t)
{
	struct tm tm;

	return t && ASN1_TIME_to_tm(t, &tm) ? (int64_t)timegm(&tm) : 0;
}

int sn_x509_info(struct sn_slice pem, struct sn_x509_info *ret, struct sn_err *err)
{
	X509 *x = read_cert(pem);

	if (!x)
		return fail(err, SN_ESYNTAX, "a PEM certificate");
	ret->not_before = seconds_of(X509_get0_notBefore(x));
	ret->not_after = seconds_of(X509_get0_notAfter(x));
	ret->subject[0] = 0;
	X509_NAME_get_text_by_NID(X509_get_subject_name(x), NID_commonName, ret->subject,
				  sizeof(ret->subject));
	X509_free(x);
	return 0;
}
