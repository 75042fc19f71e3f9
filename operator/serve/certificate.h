/* SPDX-License-Identifier: Apache-2.0 */
/* operator/serve/certificate - the webhook's trust: a CA kept in the Secret `sennit-ca`, its
 * certificate in every caBundle of the MutatingWebhookConfiguration `sennit-injector`, and a
 * serving certificate made from it.
 *
 *   GET Secret --empty--> PUT a new CA --200, 409--> GET Secret
 *       \--has a CA--> watch the webhook configuration; patch each caBundle that differs
 *                          \--all equal--> serving certificate handed over, ready
 *
 * The CA always comes from the stored Secret. It lives ten years; past 2/3 of that a new one takes
 * its place and the old stays in the bundle. Serving certificates live 90 days, in memory only, and
 * are made again at 2/3. */
#ifndef SN_OPERATOR_SERVE_CERTIFICATE_H
#define SN_OPERATOR_SERVE_CERTIFICATE_H

#include <stdbool.h>

#include "base/buf.h"
#include "kube/client.h"

#define SN_WEBHOOK_CONFIGURATION "sennit-injector"
#define SN_WEBHOOK_SERVICE "sennit-webhook"
#define SN_CA_SECRET "sennit-ca"

struct sn_certificate;

/* A serving certificate and key (PEM), new or renewed; borrowed for the call. */
typedef void (*sn_certificate_fn)(void *arg, struct sn_slice cert, struct sn_slice key);

/* @ns: where the Secret and the webhook's Service are; borrowed. NULL when out of memory. */
struct sn_certificate *sn_certificate_new(struct sn_loop *l, struct sn_kube *k, const char *ns,
					  uint64_t look_again_ms, sn_certificate_fn renewed,
					  void *arg);
void sn_certificate_free(struct sn_certificate *c);
/* Every caBundle holds the CA and the certificate has been handed over; else what is missing. NULL:
 * nothing. */
const char *sn_certificate_missing(const struct sn_certificate *c);
void sn_certificate_metrics(const struct sn_certificate *c, struct sn_buf *out);

#endif
