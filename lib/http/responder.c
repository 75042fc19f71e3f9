/* SPDX-License-Identifier: Apache-2.0 */
/* Read a head, answer, close. What does not fit that is refused. */
#include "http/responder.h"

#include <stdlib.h>
#include <string.h>

#include "base/err.h"
#include "base/list.h"
#include "http/h1.h"
#include "net/listener.h"
#include "net/outq.h"
#include "net/stream.h"

#define CONNECTIONS_MAX 64
#define HEAD_MAX 8192
#define LIFE_MS 5000
#define ANSWER_MAX (64u << 20)

struct sn_responder {
	struct sn_loop *loop;
	struct sn_listener listener;
	struct sn_list connections;
	unsigned n;
	sn_responder_fn fn;
	void *arg;
};

struct connection {
	struct sn_responder *r;
	struct sn_list link;
	struct sn_stream s;
	struct sn_timer life;
	struct sn_task release;
	struct sn_outq out;
	size_t n, scanned;
	bool answered;
	char in[HEAD_MAX];
};

static void free_connection(struct sn_task *t)
{
	struct connection *c = sn_container_of(t, struct connection, release);

	sn_outq_done(&c->out);
	free(c);
}

static void close_connection(struct connection *c)
{
	if (c->s.closed)
		return;
	sn_list_del(&c->link);
	c->r->n--;
	sn_loop_timer_cancel(c->r->loop, &c->life);
	sn_stream_close(&c->s, false);
	sn_loop_defer(c->r->loop, &c->release, free_connection);
}

static void send_answer(struct connection *c, unsigned status, const char *type, bool head_only,
			struct sn_buf *body)
{
	struct sn_buf head;
	struct iovec iov[2];

	sn_buf_init(&head, 4096);
	sn_buf_printf(&head, "HTTP/1.1 %u %s\r\nContent-Type: %s\r\nContent-Length: %zu\r\n",
		      status, sn_status_reason(status),
		      status == 405 || !type ? "text/plain; charset=utf-8" : type,
		      sn_buf_len(body));
	if (status == 405)
		sn_buf_printf(&head, "Allow: %s\r\n", type ? type : "GET");
	sn_buf_puts(&head, "Cache-Control: no-store\r\nConnection: close\r\n\r\n");
	iov[0] = (struct iovec){(char *)sn_buf_slice(&head).p, sn_buf_len(&head)};
	iov[1] = (struct iovec){(char *)sn_buf_slice(body).p, head_only ? 0 : sn_buf_len(body)};
	c->answered = true;
	if (sn_outq_writev(&c->out, &c->s, iov, 2))
		close_connection(c);
	else if (sn_outq_empty(&c->out))
		sn_stream_shutdown_write(
			&c->s); /* closed when the peer has, or at the end of its life */
	sn_buf_done(&head);
}

static void answer(struct connection *c, const struct sn_request *req)
{
	const char *type = NULL;
	struct sn_buf body;
	unsigned status;

	sn_buf_init(&body, ANSWER_MAX);
	status = c->r->fn(c->r->arg, req, &c->s.peer, &body, &type);
	if (body.failed) {
		sn_buf_reset(&body);
		sn_buf_puts(&body, "the answer is too large\n");
		status = 500;
	}
	send_answer(c, status, type, req->method == SN_METHOD_HEAD, &body);
	sn_buf_done(&body);
}

static void refuse(struct connection *c, unsigned status, const char *reason)
{
	struct sn_buf body;

	sn_buf_init(&body, 256);
	sn_buf_printf(&body, "%s\n", reason);
	send_answer(c, status, "text/plain", false, &body);
	sn_buf_done(&body);
}

static void parse(struct connection *c)
{
	static const struct sn_h1_limits limits = {HEAD_MAX, 64, 4096};
	struct sn_header storage[64];
	struct sn_request req = {.headers = {storage, 0, 64}};
	struct sn_h1_refusal refusal;
	int rc = sn_h1_parse_request(sn_slice(c->in, c->n), &c->scanned, &limits, &req, &refusal);

	if (rc == -SN_EMORE) {
		if (c->n == HEAD_MAX)
			refuse(c, 431, "head too large");
	} else if (rc < 0) {
		refuse(c, refusal.status, refusal.reason);
	} else {
		answer(c, &req);
	}
}

static void on_readable(struct connection *c)
{
	char sink[4096];

	while (!c->s.closed && c->s.may_read) {
		ssize_t n = c->answered ? sn_stream_read(&c->s, sink, sizeof(sink))
					: sn_stream_read(&c->s, c->in + c->n, HEAD_MAX - c->n);

		if (n == -SN_EAGAIN)
			return;
		if (n <= 0) {
			if (n < 0 || !c->answered || sn_outq_empty(&c->out))
				close_connection(c);
			return;
		}
		if (!c->answered) {
			c->n += (size_t)n;
			parse(c);
		}
	}
}

static void on_stream(struct sn_stream *s, unsigned events)
{
	struct connection *c = sn_container_of(s, struct connection, s);

	if (events & SN_STREAM_WRITABLE && c->answered && !sn_outq_empty(&c->out)) {
		if (sn_outq_flush(&c->out, s)) {
			close_connection(c);
			return;
		}
		if (sn_outq_empty(&c->out))
			sn_stream_shutdown_write(s);
	}
	if (events & SN_STREAM_READABLE)
		on_readable(c);
}

static void on_life_over(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	close_connection(sn_container_of(t, struct connection, life));
}

/* The oldest makes room, so that slow peers cannot lock us out; never the one that has just come.
 */
static bool make_room(struct sn_listener *ls)
{
	struct sn_responder *r = sn_container_of(ls, struct sn_responder, listener);

	if (r->n < 2)
		return false;
	close_connection(sn_list_entry(sn_list_first(&r->connections), struct connection, link));
	return true;
}

static void on_accept(struct sn_listener *ls, int fd, const struct sn_addr *peer)
{
	struct sn_responder *r = sn_container_of(ls, struct sn_responder, listener);
	struct connection *c = NULL;

	if (r->n >= CONNECTIONS_MAX)
		make_room(ls);
	c = calloc(1, sizeof(*c));
	if (!c || sn_stream_open(&c->s, r->loop, fd, peer, on_stream)) {
		if (!c)
			sn_stream_close(&(struct sn_stream){.io.fd = fd, .loop = r->loop}, false);
		free(c);
		return;
	}
	c->r = r;
	sn_outq_init(&c->out, ANSWER_MAX + 8192);
	sn_list_push_back(&r->connections, &c->link);
	r->n++;
	sn_timer_init(&c->life, on_life_over);
	sn_loop_timer(r->loop, &c->life, LIFE_MS);
	on_readable(c);
}

struct sn_responder *sn_responder_new(struct sn_loop *l, int fd, sn_responder_fn fn, void *arg)
{
	struct sn_responder *r = calloc(1, sizeof(*r));

	if (!r)
		return NULL;
	r->loop = l;
	r->fn = fn;
	r->arg = arg;
	sn_list_init(&r->connections);
	if (sn_listener_start(&r->listener, l, fd, on_accept)) {
		free(r);
		return NULL;
	}
	r->listener.make_room = make_room;
	return r;
}

void sn_responder_stop(struct sn_responder *r)
{
	sn_listener_close(&r->listener);
}

void sn_responder_free(struct sn_responder *r)
{
	struct sn_list *at;

	if (!r)
		return;
	sn_listener_close(&r->listener);
	while ((at = sn_list_first(&r->connections)))
		close_connection(sn_list_entry(at, struct connection, link));
	free(r);
}
