/* SPDX-License-Identifier: Apache-2.0 */
/* Accept, original destination, detection, and the connection's end. */
#include "proxy/exchange.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/err.h"
#include "base/log.h"
#include "net/origdst.h"
#include "net/sniff.h"

#define OUT_MAX (1u << 20)
#define LINGER_MS 2000

static void free_conn(struct sn_task *t)
{
	struct sn_conn *c = sn_container_of(t, struct sn_conn, release);

	sn_outq_done(&c->out);
	free(c->h2);
	free(c);
}

static struct sn_stats_tcp *tcp_of(const struct sn_conn *c)
{
	return c->tcp_stats ? &c->tcp_stats->tcp : &c->w->stats.tcp[sn_conn_dir(c)];
}

void sn_conn_decided(struct sn_conn *c)
{
	if (c->decided)
		return;
	c->decided = true;
	tcp_of(c)->opened++;
}

/* Before it is decided nothing that only grows is told: it might be somebody else's then. */
int sn_conn_show(const struct sn_conn *c, struct sn_stats *copy)
{
	const struct sn_stats_block *own = c->decided ? c->tcp_stats : NULL;
	size_t dir = sn_conn_dir(c);
	struct sn_stats_block *b;

	if (!own) {
		copy->tcp[dir].now++;
		copy->rx_bytes[dir] += c->decided ? c->d.rx_bytes : 0;
		copy->tx_bytes[dir] += c->decided ? c->d.tx_bytes : 0;
		return 0;
	}
	b = sn_stats_block(copy, own->direction, own->service, own->route, own->rule, own->backend);
	if (!b)
		return -SN_ENOMEM;
	b->tcp.now++;
	b->tcp_rx += c->d.rx_bytes;
	b->tcp_tx += c->d.tx_bytes;
	return 0;
}

static void count_end(struct sn_conn *c)
{
	struct sn_stats *s = &c->w->stats;
	size_t dir = sn_conn_dir(c);

	sn_conn_decided(c);
	tcp_of(c)->closed++;
	*(c->tcp_stats ? &c->tcp_stats->tcp_rx : &s->rx_bytes[dir]) += c->d.rx_bytes;
	*(c->tcp_stats ? &c->tcp_stats->tcp_tx : &s->tx_bytes[dir]) += c->d.tx_bytes;
}

void sn_conn_close(struct sn_conn *c, bool reset)
{
	struct sn_worker *w = c->w;

	if (c->state == SN_CONN_CLOSED)
		return;
	sn_tcp_undial(c);
	c->state = SN_CONN_CLOSED;
	if (c->x)
		sn_exchange_abort(c->x);
	c->x = NULL;
	sn_down_h2_end(c);
	sn_loop_turn_end_cancel(w->loop, &c->flush);
	sn_input_drop(&c->in, w->loop);
	sn_loop_timer_cancel(w->loop, &c->timer);
	count_end(c);
	sn_stream_close(&c->d, reset);
	sn_list_del(&c->link);
	w->n_lingering -= c->lingering;
	sn_trim_note(&w->trim, --w->n_connections + w->n_requests);
	sn_loop_defer(w->loop, &c->release, free_conn);
	sn_worker_check_done(w);
}

static void on_linger(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	sn_conn_close(sn_container_of(t, struct sn_conn, timer), false);
}

/* All that the client is to get is with the kernel, our FIN behind it. (Nearly: what TLS has still
 * to write goes out by itself, and keeps the connection in flight until something comes or time is
 * up.) */
static void linger_now(struct sn_conn *c)
{
	if (c->lingering)
		return;
	sn_stream_shutdown_write(&c->d);
	if (sn_stream_has_unsent(&c->d))
		return;
	c->lingering = true;
	c->w->n_lingering++;
	sn_worker_check_done(c->w);
}

void sn_conn_end(struct sn_conn *c, bool linger)
{
	c->state = SN_CONN_CLOSING;
	sn_input_drop(&c->in, c->w->loop);
	if (sn_outq_empty(&c->out)) {
		if (!linger) {
			sn_conn_close(c, false);
			return;
		}
		linger_now(c);
	}
	sn_loop_timer_cancel(c->w->loop, &c->timer);
	sn_timer_init(&c->timer, on_linger);
	sn_loop_timer(c->w->loop, &c->timer, LINGER_MS);
}

static void closing_event(struct sn_conn *c, unsigned events)
{
	char sink[4096];
	ssize_t n;

	if (!sn_outq_empty(&c->out)) {
		if (events & SN_STREAM_WRITABLE && sn_outq_flush(&c->out, &c->d)) {
			sn_conn_close(c, true);
			return;
		}
		if (!sn_outq_empty(&c->out))
			return;
	}
	linger_now(c);
	while (c->d.may_read) {
		n = sn_stream_read(&c->d, sink, sizeof(sink));
		if (n == -SN_EAGAIN)
			return;
		if (n <= 0) {
			sn_conn_close(c, n < 0);
			return;
		}
	}
}

static void sniff(struct sn_conn *c);

/* What has come on an idle connection is looked at before it is closed: no edge may have said so
 * yet. */
static void close_if_silent(struct sn_conn *c)
{
	c->d.may_read = true;
	if (c->state == SN_CONN_SNIFF)
		sniff(c);
	else if (c->state == SN_CONN_HEAD)
		sn_down_h1_event(c, SN_STREAM_READABLE);
	if (c->state == SN_CONN_SNIFF || c->state == SN_CONN_HANDSHAKE)
		sn_conn_close(c, false);
}

void sn_conn_wind_up(struct sn_conn *c)
{
	if (c->state == SN_CONN_H2)
		sn_down_h2_leave(c);
	else if (!c->w->patient && (c->state == SN_CONN_SNIFF || c->state == SN_CONN_HANDSHAKE ||
				    (c->state == SN_CONN_HEAD && sn_down_h1_is_idle(c))))
		close_if_silent(c);
}

void sn_conn_drain(struct sn_conn *c)
{
	if (c->state == SN_CONN_H2 && sn_conn_is_last(c))
		sn_down_h2_leave(c);
}

void sn_conn_refused(struct sn_conn *c, enum sn_refusal_reason reason, const char *detail)
{
	char peer[SN_ADDR_TEXT], dst[SN_ADDR_TEXT];

	c->w->stats.refused[reason]++;
	sn_info("proxy", "refused %s: listener %s, client %s, destination %s: %s",
		sn_refusal_name(reason), c->conf->name, sn_addr_format(&c->d.peer, peer),
		sn_addr_format(&c->dst, dst), detail ? detail : "");
}

/* --- detection ----------------------------------------------------------------------------------
 */

static void refuse_protocol(struct sn_conn *c, const char *detail)
{
	sn_conn_refused(c, SN_REFUSE_BAD_REQUEST, detail);
	sn_conn_close(c, false);
}

/* On a listener that is told what it hears, only the two versions of HTTP are told apart: anything
 * that is not the preface is HTTP/1's to refuse. */
static void decide_http(struct sn_conn *c)
{
	struct sn_slice in = sn_input_slice(&c->in);
	bool h2 = c->conf->protocol != SN_LISTEN_HTTP1 && sn_sniff_preface(in);

	if (c->conf->protocol == SN_LISTEN_HTTP2 && !h2)
		refuse_protocol(c, "not HTTP/2");
	else if (!h2)
		sn_down_h1_begin(c);
	else if (in.n >= SN_SNIFF_PREFACE)
		sn_down_h2_begin(c);
}

static void decide(struct sn_conn *c)
{
	struct sn_slice in = sn_input_slice(&c->in);

	switch (sn_sniff(in)) {
	case SN_PROTO_MORE:
		if (in.n >= SN_SNIFF_MAX)
			sn_tcp_begin(c);
		break;
	case SN_PROTO_HTTP1:
		if (c->conf->protocol == SN_LISTEN_HTTP2) {
			refuse_protocol(c, "HTTP/1 where HTTP/2 is spoken");
			break;
		}
		sn_tcp_undial(c); /* whatever was dialled for a silent client */
		sn_down_h1_begin(c);
		break;
	case SN_PROTO_HTTP2:
		sn_tcp_undial(c);
		sn_down_h2_begin(c);
		break;
	default:
		sn_tcp_begin(c);
		break;
	}
}

static void sniff(struct sn_conn *c)
{
	while (c->state == SN_CONN_SNIFF && c->d.may_read && !(c->u && !c->silent_dial)) {
		ssize_t n = sn_input_fill(&c->in, &c->d, SN_IOBUF_BYTES);

		if (n == -SN_EAGAIN)
			break;
		if (n <= 0) {
			sn_conn_close(c, n < 0);
			return;
		}
		if (c->conf->protocol == SN_LISTEN_DETECT)
			decide(c);
		else
			decide_http(c);
	}
	if (c->state == SN_CONN_SNIFF)
		sn_input_settle(&c->in, c->w->loop);
}

/* The client has not said what it speaks. */
static void on_timer(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_conn *c = sn_container_of(t, struct sn_conn, timer);
	bool has_place = c->conf->service || (c->conf->transparent && c->dst.family);
	uint64_t left = c->w->timeouts.detect > c->w->timeouts.detect_dial
				? c->w->timeouts.detect - c->w->timeouts.detect_dial
				: 1;

	(void)now_ms;
	if (c->conf->protocol != SN_LISTEN_DETECT) {
		sn_conn_refused(c, SN_REFUSE_HEADER_TIMEOUT, "no request in timeouts.header");
		sn_conn_close(c, false);
	} else if (!has_place) {
		sn_conn_refused(c, SN_REFUSE_HEADER_TIMEOUT,
				"the client said nothing in timeouts.detect");
		sn_conn_close(c, false);
	} else if (!c->u && sn_input_empty(&c->in)) {
		sn_tcp_dial_silent(c);
		if (c->state == SN_CONN_SNIFF)
			sn_loop_timer(c->w->loop, &c->timer, left);
	} else {
		sn_tcp_begin(c);
	}
}

static void start_sniffing(struct sn_conn *c)
{
	const struct sn_config_timeouts *t = &c->w->timeouts;
	bool dial_early = c->conf->service || (c->conf->transparent && c->dst.family);

	c->state = SN_CONN_SNIFF;
	sn_timer_init(&c->timer, on_timer);
	sn_loop_timer(c->w->loop, &c->timer,
		      c->conf->protocol != SN_LISTEN_DETECT ? t->header
		      : dial_early			    ? t->detect_dial
							    : t->detect);
	sniff(c);
}

/* --- accept -------------------------------------------------------------------------------------
 */

static void on_handshake(struct sn_conn *c, unsigned events);

static void on_stream(struct sn_stream *s, unsigned events)
{
	sn_conn_event(sn_container_of(s, struct sn_conn, d), events);
}

/* A client that has reset is gone whatever it sent before: nothing of that is read or served any
 * more, and what is under way for it ends now. */
void sn_conn_event(struct sn_conn *c, unsigned events)
{
	if (events & SN_STREAM_RESET && !(events & SN_STREAM_FAILED))
		sn_conn_close(c, true);
	else if (c->state == SN_CONN_SNIFF)
		sniff(c);
	else if (c->state == SN_CONN_HANDSHAKE)
		on_handshake(c, events);
	else if (c->state == SN_CONN_H2)
		sn_down_h2_event(c, events);
	else if (c->state == SN_CONN_CLOSING)
		closing_event(c, events);
	else
		sn_down_h1_event(c, events);
}

static bool is_opaque(struct sn_conn *c)
{
	struct sn_target t;

	if (c->conf->protocol == SN_LISTEN_OPAQUE ||
	    (c->dst.family && sn_ports_contain(&c->conf->opaque_ports, c->dst.port)))
		return true;
	if (!c->conf->transparent && !c->conf->service)
		return false;
	sn_target_find(c, NULL, &t);
	return t.kind == SN_TARGET_SERVICE && t.protocol == SN_PORT_OPAQUE;
}

static void begin(struct sn_conn *c)
{
	struct sn_slice alpn = sn_stream_alpn(&c->d);
	struct sn_target t;

	if (c->conf->transparent) {
		sn_target_find(c, NULL, &t);
		if (t.kind == SN_TARGET_REFUSE && (t.reason == SN_REFUSE_NO_DESTINATION ||
						   c->conf->protocol == SN_LISTEN_OPAQUE)) {
			sn_conn_refused(c, t.reason, t.detail);
			sn_conn_close(c, true);
			return;
		}
	}
	if (is_opaque(c))
		sn_tcp_begin(c);
	else if (sn_slice_eq_cstr(alpn, "h2"))
		sn_down_h2_begin(c);
	else if (sn_slice_eq_cstr(alpn, "http/1.1"))
		sn_down_h1_begin(c);
	else
		start_sniffing(c);
}

static void on_handshake(struct sn_conn *c, unsigned events)
{
	if (events & SN_STREAM_FAILED) {
		sn_conn_refused(c, SN_REFUSE_TLS_HANDSHAKE, sn_stream_failure(&c->d));
		sn_conn_close(c, false);
		return;
	}
	c->state = SN_CONN_SNIFF;
	begin(c);
}

static void start_handshake(struct sn_conn *c, struct sn_tls_ctx *tls)
{
	c->state = SN_CONN_HANDSHAKE;
	if (sn_stream_accept_tls(&c->d, tls, c->w->timeouts.tls_handshake))
		sn_conn_close(c, true);
}

void sn_conn_accept(struct sn_listener *ls, int fd, const struct sn_addr *peer)
{
	struct sn_listen *l = sn_container_of(ls, struct sn_listen, listener);
	struct sn_worker *w = l->worker;
	bool many = w->n_connections >= (uint64_t)w->limits.connections || !w->snap;
	struct sn_conn *c = many || sn_worker_is_full(w) ? NULL : calloc(1, sizeof(*c));
	char text[SN_ADDR_TEXT];

	if (!c) {
		w->stats.refused[many ? SN_REFUSE_CONNECTIONS : SN_REFUSE_OVERLOAD]++;
		sn_info("proxy", "refused %s: listener %s, client %s: %s is reached",
			many ? "connections" : "overload", l->conf->name,
			sn_addr_format(peer, text), many ? "limits.connections" : "limits.memory");
		close(fd);
		return;
	}
	if (sn_stream_open(&c->d, w->loop, fd, peer, on_stream)) {
		free(c);
		return;
	}
	c->w = w;
	c->listen = l;
	c->conf = l->conf;
	sn_outq_init(&c->out, OUT_MAX);
	sn_timer_init(&c->timer, on_timer);
	sn_list_push_back(&w->connections, &c->link);
	sn_trim_note(&w->trim, ++w->n_connections + w->n_requests);
	if (c->conf->transparent &&
	    (sn_origdst_get(fd, &c->dst) || sn_worker_listens_at(w, &c->dst)))
		c->dst.family = 0;
	if (l->tls)
		start_handshake(c, l->tls);
	else
		begin(c);
}
