/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/session.h - whose requests go where they went before: reads the session from a request and
 * tells the client which one it has. Nothing is kept (see mesh/persist.h). */
#ifndef SN_PROXY_SESSION_H
#define SN_PROXY_SESSION_H

#include "mesh/persist.h"

struct sn_exchange;

/* Once for a request whose service keeps sessions, before the first try: x->session. */
void sn_session_read(struct sn_exchange *x);

#define SN_SESSION_TEXT SN_PERSIST_COOKIE_MAX
/* Adds the field that tells the client, when it must be told; its value lies in @text. */
void sn_session_tell(struct sn_exchange *x, struct sn_headers *hs, char text[SN_SESSION_TEXT]);

#endif
