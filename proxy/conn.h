/* SPDX-License-Identifier: Apache-2.0 */
/* proxy/conn.h - one accepted connection, from accept to close: find out where it wants to go and
 * what it speaks, then either serve HTTP requests one after the other or relay bytes.
 *
 *   SNIFF --HTTP/1--> HEAD --parsed--> EXCHANGE --done--> HEAD ...        (http.c)
 *     |  \--silent, or opaque, TLS, HTTP/2--> DIAL --connected--> RELAY    (tcp.c)
 *     v                                        v                   v
 *   any state --error, timeout, peer gone--> CLOSED (freed from the loop's deferred list)
 */
#ifndef SN_PROXY_CONN_H
#define SN_PROXY_CONN_H

#include "http/h1.h"
#include "net/outq.h"
#include "net/relay.h"
#include "proxy/worker.h"

enum sn_conn_state {
	SN_CONN_SNIFF,
	SN_CONN_HEAD,
	SN_CONN_EXCHANGE,
	SN_CONN_RELAY,
	SN_CONN_CLOSING, /* an answer is still to be written, then close */
	SN_CONN_CLOSED,
};

struct sn_conn {
	struct sn_list link;
	struct sn_worker *w;
	const struct sn_config_listener *conf;
	struct sn_stream d; /* the client's side */
	struct sn_addr dst; /* original destination; family 0: none */
	enum sn_conn_state state;
	char *buf; /* what was read and is not yet used up; NULL when empty */
	size_t start, end, cap;
	size_t scanned;
	struct sn_outq out;
	struct sn_timer timer;
	struct sn_task release;
	struct sn_exchange *x;
	/* TCP: the other side and the relay between them */
	struct sn_stream *u;
	struct sn_relay *relay;
	bool pooled_buf;
	bool silent_dial; /* u was dialled for a client that had said nothing */
	bool got_request; /* at least one head has been parsed */
};

static inline struct sn_conn *sn_conn_of(struct sn_list *link)
{
	return sn_list_entry(link, struct sn_conn, link);
}

/* Listener callback. */
void sn_conn_accept(struct sn_listener *ls, int fd, const struct sn_addr *peer);
/* Ends it now; nothing of it is called afterwards. @reset: RST. */
void sn_conn_close(struct sn_conn *c, bool reset);
/* The process wants to end: closes if idle, else after the current request. @force: now. */
void sn_conn_wind_up(struct sn_conn *c, bool force);
/* Reads once into the buffer, growing it up to @max_bytes. > 0 bytes, 0 end, -SN_EAGAIN, -SN_ECONN,
 * -SN_ETOOBIG (full), -SN_ENOMEM. */
ssize_t sn_conn_fill(struct sn_conn *c, size_t max_bytes);
void sn_conn_consume(struct sn_conn *c, size_t n);
static inline struct sn_slice sn_conn_input(const struct sn_conn *c)
{
	return sn_slice(c->buf ? c->buf + c->start : "", c->end - c->start);
}
static inline size_t sn_conn_dir(const struct sn_conn *c)
{
	return c->conf->direction == SN_INBOUND;
}
/* Counts and logs a refusal. */
void sn_conn_refused(struct sn_conn *c, enum sn_refusal_reason reason, const char *detail);

/* http.c: the client speaks HTTP/1; what is buffered is the beginning of a head. */
void sn_http_begin(struct sn_conn *c);
/* Events of the client's stream in states HEAD, EXCHANGE, CLOSING. */
void sn_http_event(struct sn_conn *c, unsigned events);
void sn_http_abort(struct sn_conn *c);
bool sn_http_is_idle(const struct sn_conn *c);
void sn_exchange_free_all(struct sn_worker *w);

/* tcp.c: dials where the bytes should go and relays. */
void sn_tcp_begin(struct sn_conn *c);
/* Dials the original destination for a silent client while still listening to it. */
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
