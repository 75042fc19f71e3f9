/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/conn.h - one accepted connection, from accept to close: find out where it wants to go and
 * what it speaks, then either serve HTTP requests or relay bytes.
 *
 *   HANDSHAKE (TLS listeners) --done--> as if accepted now, with what ALPN says
 *
 *   SNIFF --HTTP/1--> HEAD --parsed--> EXCHANGE --done--> HEAD ...        (down_h1.c)
 *     | \--HTTP/2--> H2, an exchange per stream                            (down_h2.c)
 *     |  \--silent, or opaque, TLS--> DIAL --connected--> RELAY            (tcp.c)
 *     v                                        v                   v
 *   any state --error, timeout, peer gone--> CLOSED (freed from the loop's deferred list)
 */
#ifndef SN_PROXY_CONN_H
#define SN_PROXY_CONN_H

#include "base/err.h"
#include "net/outq.h"
#include "net/relay.h"
#include "proxy/input.h"
#include "proxy/worker.h"

enum sn_conn_state {
	SN_CONN_SNIFF,
	SN_CONN_HANDSHAKE,
	SN_CONN_HEAD,
	SN_CONN_EXCHANGE,
	SN_CONN_H2,
	SN_CONN_RELAY,
	SN_CONN_CLOSING, /* an answer is still to be written, then close */
	SN_CONN_CLOSED,
};

struct sn_conn {
	struct sn_list link;
	struct sn_worker *w;
	struct sn_listen *listen;
	const struct sn_config_listener *conf;
	struct sn_stream d; /* the client's side */
	struct sn_addr dst; /* original destination; family 0: none */
	enum sn_conn_state state;
	struct sn_input in;
	struct sn_outq out;
	struct sn_timer timer;
	struct sn_task flush, release;
	struct sn_exchange *x; /* HTTP/1 */
	struct sn_down_h2 *h2; /* HTTP/2 */
	/* TCP: the other side and the relay between them */
	struct sn_stream *u;
	struct sn_relay *relay;
	struct sn_stats_block *tcp_stats; /* of the service that its bytes go to; NULL: HTTP */
	bool silent_dial;		  /* u was dialled for a client that had said nothing */
	bool got_request;		  /* at least one head has been parsed */
	bool parsing;			  /* down_h1's loop over heads is running */
	bool decided;			  /* counted as opened */
	bool lingering; /* CLOSING, and all is written: only what the client still sends is awaited
			 */
};

static inline struct sn_conn *sn_conn_of(struct sn_list *link)
{
	return sn_list_entry(link, struct sn_conn, link);
}

/* Listener callback. */
void sn_conn_accept(struct sn_listener *ls, int fd, const struct sn_addr *peer);
/* Ends it now; nothing of it is called afterwards. @reset: RST. */
void sn_conn_close(struct sn_conn *c, bool reset);
/* Ends it in order: closes when what waits is written. With @linger what the client still sends is
 * read for a while, since closing on unread bytes would take the last answer away from it. */
void sn_conn_end(struct sn_conn *c, bool linger);
/* The process wants to end: closes after the current request; if idle at once, or, while the worker
 * is patient, after the next one. */
void sn_conn_wind_up(struct sn_conn *c);
/* It is known whether it is relayed (c->tcp_stats), and so to whom it counts. */
void sn_conn_decided(struct sn_conn *c);
/* Adds it, and its bytes so far, to a copy of the statistics. Returns 0 or -SN_ENOMEM. */
int sn_conn_show(const struct sn_conn *c, struct sn_stats *copy);
/* The client's stream has something. */
void sn_conn_event(struct sn_conn *c, unsigned events);
/* Readiness went off: what comes in is asked to go elsewhere. */
void sn_conn_drain(struct sn_conn *c);
static inline size_t sn_conn_dir(const struct sn_conn *c)
{
	return c->conf->direction == SN_INBOUND;
}
/* Its next answer is its last: the process wants to end, or what comes in should go elsewhere. */
static inline bool sn_conn_is_last(const struct sn_conn *c)
{
	return c->w->stopping || (c->w->draining && c->conf->direction == SN_INBOUND);
}
/* Counts and logs a refusal. */
SN_COLD void sn_conn_refused(struct sn_conn *c, enum sn_refusal_reason reason, const char *detail);

/* down_h1.c: the client speaks HTTP/1; what is buffered is the beginning of a head. */
void sn_down_h1_begin(struct sn_conn *c);
/* Events of the client's stream in states HEAD and EXCHANGE. */
void sn_down_h1_event(struct sn_conn *c, unsigned events);
bool sn_down_h1_is_idle(const struct sn_conn *c);

/* down_h2.c: the client speaks HTTP/2; what is buffered is the beginning of its preface. */
void sn_down_h2_begin(struct sn_conn *c);
void sn_down_h2_event(struct sn_conn *c, unsigned events);
bool sn_down_h2_is_idle(const struct sn_conn *c);
/* Says GOAWAY; closes once all is answered. */
void sn_down_h2_leave(struct sn_conn *c);
/* The connection closes: lets go of all exchanges. */
void sn_down_h2_end(struct sn_conn *c);

/* tcp.c: dials where the bytes should go and relays. */
void sn_tcp_begin(struct sn_conn *c);
/* Dials where its bytes would go for a silent client, while still listening to it. */
void sn_tcp_dial_silent(struct sn_conn *c);
void sn_tcp_undial(struct sn_conn *c);

/* target.c: where the bytes or the request go. */
enum sn_target_kind { SN_TARGET_REFUSE, SN_TARGET_DIRECT, SN_TARGET_SERVICE };
struct sn_target {
	enum sn_target_kind kind;
	struct sn_addr addr; /* DIRECT */
	const struct sn_service *svc;
	uint16_t port;
	enum sn_port_protocol protocol;
	unsigned status; /* REFUSE */
	enum sn_refusal_reason reason;
	const char *detail;
};
/* @req NULL: only the connection is known (TCP, or before the first byte). */
void sn_target_find(struct sn_conn *c, const struct sn_request *req, struct sn_target *t);

#endif
