/* SPDX-License-Identifier: Apache-2.0 */
/* kube/client.h - requests to the Kubernetes API on our loop (libcurl inside, nowhere else).
 * HTTP/1.1, one connection per watch. Answers are size-capped; a code tells what to do about a
 * failure. */
#ifndef SN_KUBE_CLIENT_H
#define SN_KUBE_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "net/loop.h"

struct sn_kube;
struct sn_kube_call;

struct sn_kube_settings {
	const char *server;	/* "https://10.96.0.1:443" */
	const char *token_file; /* read again each minute and on 401; NULL: none */
	const char *ca_file;	/* NULL: the system's */
};

struct sn_kube_counters {
	uint64_t by_class[6]; /* answers by hundreds; 0: no answer */
};

/* The service account's settings; strings are static. -SN_ENOENT with @err outside a cluster. */
int sn_kube_in_cluster(struct sn_kube_settings *ret, struct sn_err *err);

struct sn_kube *sn_kube_new(struct sn_loop *l, const struct sn_kube_settings *set,
			    struct sn_err *err);
/* Cancels all calls. */
void sn_kube_free(struct sn_kube *k);
const struct sn_kube_counters *sn_kube_counters(const struct sn_kube *k);

struct sn_kube_answer {
	unsigned status; /* 0: there was no answer */
	int code;	 /* 0, -SN_ERETRY, -SN_ECONFLICT, -SN_EGONE, -SN_EPERMANENT */
	uint32_t retry_after_s;
	struct sn_slice body; /* empty for streams that succeeded; error bodies are here */
	const char *error;    /* what libcurl says; "" */
};

struct sn_kube_request {
	const char *method; /* "GET" ... */
	const char *path;   /* from "/api" on, with query, already escaped */
	const char *content_type;
	struct sn_slice body; /* copied */
	uint64_t timeout_ms;  /* whole call; 0: 30 s; streams: of silence */
	size_t max_bytes;     /* of the answer; 0: 4 MiB */
	/* Streams: bytes of a 200 as they come; nonzero ends the call. NULL: collect. */
	int (*data)(void *arg, const char *p, size_t n);
	/* Exactly once, never from inside sn_kube_send(); not after a cancel. */
	void (*done)(void *arg, const struct sn_kube_answer *a);
	void *arg;
};

/* NULL when out of memory. From anywhere on the loop, `data` and `done` included. */
struct sn_kube_call *sn_kube_send(struct sn_kube *k, const struct sn_kube_request *r);
/* No callback afterwards. A call's own `data` returns nonzero instead. */
void sn_kube_cancel(struct sn_kube_call *c);

/* The class of an HTTP status: 0 for 2xx. */
int sn_kube_code(unsigned status);
/* Appends @s percent-encoded as one path segment or query value. */
void sn_kube_escape(struct sn_buf *out, const char *s);

#endif
