/* SPDX-License-Identifier: Apache-2.0 */
/* Two directions, each: take some bytes, write them, and take more only when they are gone.
 *
 *   COPYING  through a pooled buffer --64 KiB came in full reads, both ends plaintext--> SPLICING
 *   SPLICING through a pipe --less than a buffer's worth came, or no pipe to be had--> COPYING
 *
 * A direction that has been SPLICING once goes back to it after one full read. Bytes are taken into
 * an empty pipe only, so that EAGAIN always is the socket's and never a full pipe's. */
#include "net/relay.h"

#include <stdlib.h>
#include <string.h>

#include "net/pipe.h"

#define TURN_SHARE 16	/* reads, then the others' turn */
#define SPLICE_WEIGHS 4 /* that many of them */
#define BULK_BYTES ((size_t)64 * 1024)

struct direction {
	struct sn_stream *from, *to;
	char *buf;
	size_t start, end;
	struct sn_pipe *pipe; /* never with buf */
	size_t run;	      /* bytes of full reads in a row; BULK_BYTES: SPLICING */
	uint64_t bytes;
	bool was_bulk;
	bool done; /* FIN passed on */
};

struct sn_relay {
	struct direction dir[2];
	struct sn_loop *loop;
	struct sn_stream *a, *b;
	struct sn_task finish, release;
	struct sn_timer idle, again;
	uint64_t idle_ms, active_ms;
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
		sn_pipes_put(sn_loop_pipes(r->loop), r->dir[i].pipe);
		r->dir[i].buf = NULL;
		r->dir[i].pipe = NULL;
	}
	sn_pipes_leave(sn_loop_pipes(r->loop));
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

static ssize_t write_some(struct direction *d)
{
	struct iovec iov;
	ssize_t n;

	if (!d->to->may_write)
		return -SN_EAGAIN;
	if (d->pipe)
		return sn_stream_splice_out(d->to, d->pipe);
	iov = (struct iovec){d->buf + d->start, d->end - d->start};
	n = sn_stream_writev(d->to, &iov, 1);
	if (n > 0)
		d->start += (size_t)n;
	return n;
}

/* Writes what is held. 0, -SN_EAGAIN (some is left) or -SN_ECONN. */
static int drain(struct sn_relay *r, struct direction *d)
{
	while (d->buf || d->pipe) {
		ssize_t n = write_some(d);

		if (n < 0)
			return (int)n;
		d->bytes += (uint64_t)n;
		if (d->pipe && d->pipe->bytes == 0) {
			sn_pipes_put(sn_loop_pipes(r->loop), d->pipe);
			d->pipe = NULL;
		} else if (d->buf && d->start == d->end) {
			sn_loop_iobuf_put(r->loop, d->buf);
			d->buf = NULL;
		}
	}
	return 0;
}

static void end_run(struct direction *d)
{
	d->run = d->was_bulk ? BULK_BYTES - SN_IOBUF_BYTES : 0;
}

/* > 0 bytes, 0 end of stream, or a negative code: nothing is held then. */
static ssize_t read_some(struct sn_relay *r, struct direction *d)
{
	ssize_t n;

	d->buf = sn_loop_iobuf_get(r->loop);
	if (!d->buf)
		return -SN_ENOMEM;
	n = sn_stream_read(d->from, d->buf, SN_IOBUF_BYTES);
	if (n <= 0) {
		sn_loop_iobuf_put(r->loop, d->buf);
		d->buf = NULL;
		return n;
	}
	d->start = 0;
	d->end = (size_t)n;
	if (n == SN_IOBUF_BYTES && !d->from->tls && !d->to->tls)
		d->run += SN_IOBUF_BYTES;
	else
		end_run(d);
	return n;
}

/* As read_some(), through a pipe. */
static ssize_t splice_some(struct sn_relay *r, struct direction *d)
{
	struct sn_pipes *pipes = sn_loop_pipes(r->loop);
	ssize_t n;

	d->pipe = sn_pipes_get(pipes);
	if (!d->pipe) {
		d->run = 0; /* asked for again after as much as at first */
		return read_some(r, d);
	}
	d->was_bulk = true;
	n = sn_stream_splice_in(d->from, d->pipe);
	if (n < SN_IOBUF_BYTES && n != -SN_EAGAIN)
		end_run(d);
	if (n > 0)
		return n;
	sn_pipes_put(pipes, d->pipe);
	d->pipe = NULL;
	if (n != -SN_ESTATE)
		return n;
	pipes->useless = true;
	return read_some(r, d);
}

/* Moves what it can. Returns 0, or a negative code that ends the relay. *ret_more: stopped by the
 * turn's share, not by the sockets. */
static int move(struct sn_relay *r, struct direction *d, bool *ret_more)
{
	int share = TURN_SHARE, rc;

	while (share > 0 && !d->done) {
		bool bulk = d->run >= BULK_BYTES;
		ssize_t n;

		rc = drain(r, d);
		if (rc)
			return rc == -SN_EAGAIN ? 0 : rc;
		if (!d->from->may_read && !d->from->read_eof)
			return 0;
		n = bulk ? splice_some(r, d) : read_some(r, d);
		if (n == 0) {
			sn_stream_shutdown_write(d->to);
			d->done = true;
		} else if (n < 0) {
			return n == -SN_EAGAIN ? 0 : (int)n;
		}
		share -= bulk ? SPLICE_WEIGHS : 1;
	}
	*ret_more |= !d->done;
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
	r->active_ms = sn_loop_now_ms(r->loop);
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

/* Messages only note when they came; here it is seen how long ago that was. */
static void on_idle(struct sn_timer *t, uint64_t now_ms)
{
	struct sn_relay *r = sn_container_of(t, struct sn_relay, idle);
	uint64_t quiet_ms = now_ms - r->active_ms;

	if (quiet_ms < r->idle_ms && sn_loop_timer(r->loop, t, r->idle_ms - quiet_ms) == 0)
		return;
	end(r, -SN_ETIMEOUT);
}

static void discard(struct sn_relay *r)
{
	stop(r);
	free(r);
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
	r->active_ms = sn_loop_now_ms(r->loop);
	sn_pipes_join(sn_loop_pipes(r->loop));
	if (from_a.n) {
		r->dir[0].buf = sn_loop_iobuf_get(r->loop);
		if (!r->dir[0].buf) {
			discard(r);
			return NULL;
		}
		memcpy(r->dir[0].buf, from_a.p, from_a.n);
		r->dir[0].end = from_a.n;
	}
	/* bytes may be there already, and their edge gone: look once soon */
	if (sn_loop_timer(r->loop, &r->again, 0) ||
	    (idle_ms && sn_loop_timer(r->loop, &r->idle, idle_ms))) {
		discard(r);
		return NULL;
	}
	a->cb = b->cb = on_stream;
	a->owner = b->owner = r;
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
