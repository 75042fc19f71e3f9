/* SPDX-License-Identifier: Apache-2.0 */
/* operator/serve/ws - an HTTPS server for POST requests on a thread of its own (libwebsockets
 * inside, nowhere else). Bodies are at most SN_WS_BODY_MAX bytes, all that are under way together
 * at most four times that. */
#ifndef SN_OPERATOR_SERVE_WS_H
#define SN_OPERATOR_SERVE_WS_H

#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"

#define SN_WS_BODY_MAX (7u << 20)

struct sn_ws;

/* Answers a JSON body POSTed to the path; appends to @out and returns the status (200: @out is
 * JSON, else text). Called on the server's thread. */
typedef unsigned (*sn_ws_fn)(void *arg, struct sn_slice body, struct sn_buf *out);

struct sn_ws_settings {
	const char *listen; /* "[::]:9443"; port 0: any */
	const char *path;   /* "/inject" */
	sn_ws_fn handle;
	void *arg;
};

struct sn_ws_counters {
	uint64_t requests, refused; /* refused: before the handler saw it */
};

/* Serves with the certificate @cert and its @key (PEM). NULL with @err. */
struct sn_ws *sn_ws_new(const struct sn_ws_settings *s, struct sn_slice cert, struct sn_slice key,
			struct sn_err *err);
/* New connections get the new certificate. Any thread. Returns 0 or -SN_ESYS. */
int sn_ws_renew(struct sn_ws *ws, struct sn_slice cert, struct sn_slice key, struct sn_err *err);
/* Ends the thread; waits for it. */
void sn_ws_free(struct sn_ws *ws);
uint16_t sn_ws_port(const struct sn_ws *ws);
struct sn_ws_counters sn_ws_counters(const struct sn_ws *ws);

#endif
