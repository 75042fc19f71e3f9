/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/persist.h - session persistence (Gateway API's sessionPersistence, GEP-1619): which endpoint
 * a client was given is told to the client, in a cookie or a header, and read from what it sends.
 * Nothing is kept here. Pure; never allocates; safe on any input.
 *
 * A token is 24 bytes in base64url, 32 characters: endpoint (64 bits), when the session was made
 * and when it was last renewed (seconds since 1970, 32 bits each), and a SipHash of these and the
 * session's name. The hash is there so that what is not ours costs nothing and chooses nothing; it
 * is no secret's guard: all that a forged token does is choose among endpoints that its sender may
 * reach anyway. All proxies that serve a session need the same key and roughly the same clock. */
#ifndef SN_MESH_PERSIST_H
#define SN_MESH_PERSIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/str.h"
#include "http/message.h" /* data only */
#include "net/addr.h"	  /* data only */

enum sn_persist_type { SN_PERSIST_COOKIE, SN_PERSIST_HEADER };

struct sn_persist {
	struct sn_slice name; /* cookie's or header's; see sn_persist_name_valid */
	enum sn_persist_type type;
	bool permanent;	     /* the cookie outlives the browser: Max-Age; needs absolute_s */
	uint32_t absolute_s; /* from the start of the session; 0: no limit */
	uint32_t idle_s;     /* from its last use; 0: no limit */
	uint64_t key[2];
};

struct sn_session {
	uint64_t endpoint; /* sn_persist_endpoint() */
	uint32_t issued_s;
	uint32_t used_s; /* last renewal */
};

#define SN_PERSIST_NAME_MAX 128
#define SN_PERSIST_TOKEN 32
/* Room for any Set-Cookie value, its NUL included. */
#define SN_PERSIST_COOKIE_MAX (SN_PERSIST_NAME_MAX + SN_PERSIST_TOKEN + 80)

/* An RFC 9110 token of 1..SN_PERSIST_NAME_MAX characters. */
bool sn_persist_name_valid(struct sn_slice name);
/* An endpoint's id: the same for one address and port on every machine and in every version. */
uint64_t sn_persist_endpoint(const struct sn_addr *addr);

/* Finds the session in a request: the first cookie of that name (in any Cookie field; RFC 6265 5.4,
 * leniently: spaces and quotes around values are ignored), or the header. Times of the future (a
 * clock that is ahead) count as now. Returns 0, -SN_ENOENT (none sent), -SN_EPROTO (not one of
 * ours) or -SN_ETIMEOUT (over); *ret is untouched on error. */
int sn_persist_find(const struct sn_persist *p, const struct sn_headers *hs, uint64_t now_unix_s,
		    struct sn_session *ret);
/* The same for a token by itself. */
int sn_persist_read(const struct sn_persist *p, struct sn_slice token, uint64_t now_unix_s,
		    struct sn_session *ret);

/* Is the client to be told anew, after @s was used at @now_unix_s? With an idle timeout, once an
 * eighth of it (at least a second) has passed since the last time: not every response sets a
 * cookie, and a session that is idle may be over that eighth early. */
bool sn_persist_needs_renewal(const struct sn_persist *p, const struct sn_session *s,
			      uint64_t now_unix_s);
/* A session that begins, or begins anew with another endpoint. */
void sn_persist_start(struct sn_session *s, uint64_t endpoint, uint64_t now_unix_s);

/* Writes @s as a token, last used at @now_unix_s; no NUL. */
void sn_persist_write(const struct sn_persist *p, const struct sn_session *s, uint64_t now_unix_s,
		      char dst[SN_PERSIST_TOKEN]);
/* Writes Set-Cookie's value, with NUL: "NAME=TOKEN; Path=/; HttpOnly; SameSite=Lax", with Max-Age
 * (what is left of absolute_s) if permanent and Secure if @tls. Returns its length, or -SN_ETOOBIG
 * (@cap below SN_PERSIST_COOKIE_MAX can be too small, or the name is too long). */
int sn_persist_set_cookie(const struct sn_persist *p, const struct sn_session *s, bool tls,
			  uint64_t now_unix_s, char *dst, size_t cap);

#endif
