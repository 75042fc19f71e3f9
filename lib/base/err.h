/* SPDX-License-Identifier: Apache-2.0 */
/* base/err.h - error codes of the whole project, and errors with context for cold paths.
 * Data path: functions return 0 or a negative enum sn_code; no strings, no allocation.
 * Cold path: the last parameter is a caller-owned struct sn_err, untouched on success. */
#ifndef SN_BASE_ERR_H
#define SN_BASE_ERR_H

#include <stdarg.h>
#include <stddef.h>

/* For what is called when something has failed: the way there is laid out apart from the way that
 * is usually taken. */
#define SN_COLD __attribute__((cold))

/* The band (tens) gives the class; see sn_code_band(). All are used negated as return values
 * of data-path functions ("return -SN_EAGAIN") and positive in struct sn_err. */
enum sn_code {
	SN_OK = 0,
	/* 1x would block: come again */
	SN_EAGAIN = 10, /* no data, or no room, at this moment */
	SN_EMORE = 11,	/* the input is valid so far and incomplete */
	/* 2x the peer misbehaved */
	SN_EPROTO = 20,	  /* breaks the protocol's rules */
	SN_ETOOBIG = 21,  /* exceeds a configured limit */
	SN_EUNSUPP = 22,  /* valid, and not something that we do */
	SN_ESYNTAX = 23,  /* a document that cannot be parsed */
	SN_EDEPTH = 24,	  /* nested too deep */
	SN_EVERSION = 25, /* protocol version that we do not speak */
	/* 3x this stream is dead, its connection may live */
	SN_ERESET = 30,	   /* reset by the peer */
	SN_ECANCELED = 31, /* given up by us */
	/* 4x this connection is dead */
	SN_EOF = 40,   /* closed by the peer */
	SN_ECONN = 41, /* could not connect, or broken */
	SN_ETIMEOUT = 42,
	/* 5x local resource */
	SN_ENOMEM = 50,
	SN_ELIMIT = 51, /* one of our own limits is reached (connections, descriptors, queue) */
	SN_ESYS = 52,	/* a system call failed; struct sn_err has errno */
	SN_ESTATE = 53, /* the object is in a state that does not allow this */
	SN_ENOENT = 54, /* not there */
	SN_EEXIST = 55, /* there already */
	/* 6x configuration and arguments */
	SN_ECONF = 60,
	SN_EUSAGE = 61,
	/* 7x API server: the retry class, which alone decides requeueing */
	SN_ERETRY = 70,	    /* later, with backoff (5xx, 429, network) */
	SN_ECONFLICT = 71,  /* read again, compute again (409) */
	SN_EGONE = 72,	    /* relist (410) */
	SN_EPERMANENT = 73, /* the same request will fail again (403, 404, 422) */
};

#define SN_ERR_MSG_MAX 512

struct sn_err {
	enum sn_code code;
	int os_errno; /* 0 when no system call is behind it */
	char msg[SN_ERR_MSG_MAX];
};

/* Returns a short stable name such as "proto" or "too-big"; "ok" for 0. Accepts either sign. */
const char *sn_code_name(int code);

/* Writes @code and the formatted message (truncated at SN_ERR_MSG_MAX - 1) into @err, which may be
 * NULL, and returns -@code, so that `return sn_err_set(err, SN_ECONF, ...)` reads well. */
int sn_err_set(struct sn_err *err, enum sn_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As sn_err_set with SN_ESYS; appends ": " and strerror(@os_errno). */
int sn_err_sys(struct sn_err *err, int os_errno, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "CONTEXT: " in front of the message of @err (NULL is allowed) and returns -err->code. */
int sn_err_wrap(struct sn_err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#endif
