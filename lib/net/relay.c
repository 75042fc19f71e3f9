/* SPDX-License-Identifier: Apache-2.0 */
/* Two directions, each: read into a pooled buffer, write, keep what is left, and read again only
 * when it is gone. */
#include "net/relay.h"

#include <stdlib.h>
#include <string.h>

#define READS_PER_TURN 16 /* then the others' turn */

struct direction {
	struct sn_stream *from, *to;
	char *buf;
	size_t start, end;
	uint64_t bytes;
	bool done; /* FIN passed on */
};

struct sn_relay {
	struct direction dir[2];
	struct sn_loop *loop;
	struct sn_stream *a, *b;
	struct sn_task finish, release;
	struct sn_timer idle, again;
	uint64_t idle_ms;
	sn_relay_cb cb;
	void *arg;
	int code;
	bool over;
};

static void free_relay(struct sn_task *t)
{
	free(sn_container_of(t, struct sn_relay, release));
}

static void stop(struct sn_relay *r)
{
	int i;

	for (i = 0; i < 2; i++) {
		sn_loop_iobuf_put(r->loop, r->dir[i].buf);
		r->dir[i].buf = NULL;
	}
	sn_loop_timer_cancel(r->loop, &r->idle);
	sn_loop_timer_cancel(r->loop, &r->again);
}

static void on_finish(struct sn_task *t)
{
	struct sn_relay *r = sn_container_of(t, struct sn_relay, finish);

	sn_loop_defer(r->loop, &r->release, free_relay);
	r->cb(r, r->arg, r->code, r->dir[0].bytes, r->dir[1].bytes);
}

static void end(struct sn_relay *r, int code)
{
	if (r->over)
		return;
	r->over = true;
	r->code = code;
	stop(r);
	sn_loop_at_turn_end(r->loop, &r->finish, on_finish);
}

/* Writes what is held. 0, -SN_EAGAIN (some is left) or -SN_ECONN. */
static int drain(struct sn_relay *r, struct direction *d)
{
	while (d->start < d->end) {
		struct iovec iov = {d->buf + d->start, d->end - d->start};
		ssize_t n;

		if (!d->to->may_write)
			return -SN_EAGAIN;
		n = sn_stream_writev(d->to, &iov, 1);
		if (n < 0)
			return (int)n;
		d->start += (size_t)n;
		d->bytes += (uint64_t)n;
	}
	sn_loop_iobuf_put(r->loop, d->buf);
	d->buf = NULL;
	d->start = d->end = 0;
	return 0;
}

/* Moves what it can. Returns 0, or a negative code that ends the relay. *ret_more: stopped by the
 * turn's share, not by the sockets. */
static int move(struct sn_relay *r, struct direction *d, bool *ret_more)
{
	int i, rc;

	for (i = 0; i < READS_PER_TURN && !d->done; i++) {
		ssize_t n;

		rc = drain(r, d);
		if (rc)
			return rc == -SN_EAGAIN ? 0 : rc;
		if (!d->from->may_read && !d->from->read_eof)
			return 0;
		d->buf = sn_loop_iobuf_get(r->loop);
		if (!d->buf)
			return -SN_ENOMEM;
		n = sn_stream_read(d->from, d->buf, SN_IOBUF_BYTES);
		if (n <= 0) {
			sn_loop_iobuf_put(r->loop, d->buf);
			d->buf = NULL;
			if (n == 0) {
				sn_stream_shutdown_write(d->to);
				d->done = true;
			}
			return n == 0 || n == -SN_EAGAIN ? 0 : (int)n;
		}
		d->end = (size_t)n;
	}
	*ret_more = !d->done;
	return 0;
}

static void run(struct sn_relay *r);

static void on_again(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	run(sn_container_of(t, struct sn_relay, again));
}

static void run(struct sn_relay *r)
{
	bool more = false;
	int i, rc;

	if (r->over)
		return;
	if (r->idle_ms)
		sn_loop_timer(r->loop, &r->idle, r->idle_ms);
	for (i = 0; i < 2; i++) {
		rc = move(r, &r->dir[i], &more);
		if (rc) {
			end(r, rc);
			return;
		}
	}
	if (r->dir[0].done && r->dir[1].done)
		end(r, 0);
	else if (more)
		sn_loop_timer(r->loop, &r->again, 0);
}

/* The streams belong to the relay meanwhile; it finds itself through their owner pointer. */
static void on_stream(struct sn_stream *s, unsigned events)
{
	(void)events;
	run(s->owner);
}

static void on_idle(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	end(sn_container_of(t, struct sn_relay, idle), -SN_ETIMEOUT);
}

struct sn_relay *sn_relay_start(struct sn_stream *a, struct sn_stream *b, struct sn_slice from_a,
				uint64_t idle_ms, sn_relay_cb cb, void *arg)
{
	struct sn_relay *r = calloc(1, sizeof(*r));

	if (!r || from_a.n > SN_IOBUF_BYTES) {
		free(r);
		return NULL;
	}
	r->loop = a->loop;
	r->a = a;
	r->b = b;
	r->dir[0] = (struct direction){.from = a, .to = b};
	r->dir[1] = (struct direction){.from = b, .to = a};
	r->cb = cb;
	r->arg = arg;
	r->idle_ms = idle_ms;
	sn_timer_init(&r->idle, on_idle);
	sn_timer_init(&r->again, on_again);
	if (from_a.n) {
		r->dir[0].buf = sn_loop_iobuf_get(r->loop);
		if (!r->dir[0].buf) {
			free(r);
			return NULL;
		}
		memcpy(r->dir[0].buf, from_a.p, from_a.n);
		r->dir[0].end = from_a.n;
	}
	a->cb = b->cb = on_stream;
	a->owner = b->owner = r;
	/* bytes may be there already, and their edge gone: look once soon */
	sn_loop_timer(r->loop, &r->again, 0);
	return r;
}

void sn_relay_cancel(struct sn_relay *r)
{
	if (r->over)
		return;
	r->over = true;
	stop(r);
	sn_loop_defer(r->loop, &r->release, free_relay);
}
