/* SPDX-License-Identifier: Apache-2.0 */
/* http/responder.h - a small HTTP/1.1 server for health, metrics and administration: one request a
 * connection, no bodies, answers built whole. Bounded: 64 connections (fewer when
 * descriptors run out), 8 KiB heads, 5 s; past that the oldest makes room. */
#ifndef SN_HTTP_RESPONDER_H
#define SN_HTTP_RESPONDER_H

#include "base/buf.h"
#include "http/message.h"
#include "net/addr.h"
#include "net/loop.h"

struct sn_responder;

/* Answers @req (from @peer): sets *ret_type (default "text/plain; charset=utf-8") and fills @body;
 * returns the status. 405 sends "Allow: " with what *ret_type then holds. */
typedef unsigned (*sn_responder_fn)(void *arg, const struct sn_request *req,
				    const struct sn_addr *peer, struct sn_buf *body,
				    const char **ret_type);

/* @fd: a listening socket, owned from now on. NULL when out of memory. */
struct sn_responder *sn_responder_new(struct sn_loop *l, int fd, sn_responder_fn fn, void *arg);
/* Accepts no more; requests under way are answered. */
void sn_responder_stop(struct sn_responder *r);
void sn_responder_free(struct sn_responder *r);

#endif
