/* SPDX-License-Identifier: Apache-2.0 */
/* Reading is bounded per turn, so that one busy peer does not starve the others; writing happens
 * once per turn, from the loop's hook, and goes on when the socket takes more. */
#include "http/h2conn.h"

#include "base/err.h"

#define READS_PER_TURN 8
#define PULL_BYTES (64u * 1024)
#define OUT_MAX (1u << 20)

static void on_flush(struct sn_task *t);
static void on_again(struct sn_timer *t, uint64_t now_ms);

void sn_h2conn_init(struct sn_h2conn *c, struct sn_stream *s, struct sn_h2 *h2,
		    struct sn_buf *frames, sn_h2conn_dead_fn dead)
{
	*c = (struct sn_h2conn){.s = s, .h2 = h2, .frames = frames, .dead = dead};
	sn_outq_init(&c->out, OUT_MAX);
	sn_timer_init(&c->again, on_again);
}

void sn_h2conn_done(struct sn_h2conn *c)
{
	struct sn_h2 *h2 = c->h2;

	if (!h2)
		return;
	c->dead = NULL;
	sn_h2_free(h2); /* may kick */
	c->h2 = NULL;
	sn_loop_turn_end_cancel(c->s->loop, &c->flush);
	sn_loop_timer_cancel(c->s->loop, &c->again);
	sn_outq_done(&c->out);
}

void sn_h2conn_kick(struct sn_h2conn *c)
{
	if (c->h2 && c->dead)
		sn_loop_at_turn_end(c->s->loop, &c->flush, on_flush);
}

static void over(struct sn_h2conn *c, int code)
{
	if (c->dead)
		c->dead(c, code);
}

static void on_flush(struct sn_task *t)
{
	struct sn_h2conn *c = sn_container_of(t, struct sn_h2conn, flush);
	int rc = 0;

	do {
		struct iovec iov;

		sn_buf_reset(c->frames);
		rc = sn_h2_pull(c->h2, c->frames, PULL_BYTES);
		if (rc)
			break;
		iov = (struct iovec){(char *)sn_buf_slice(c->frames).p, sn_buf_len(c->frames)};
		if (iov.iov_len)
			rc = sn_outq_writev(&c->out, c->s, &iov, 1);
	} while (rc == 0 && sn_outq_empty(&c->out) && sn_h2_wants_write(c->h2));
	if (rc == 0 && c->failed && sn_outq_empty(&c->out))
		rc = c->failed;
	if (rc || (sn_outq_empty(&c->out) && sn_h2_is_over(c->h2)))
		over(c, rc ? rc : sn_h2_code(c->h2));
}

int sn_h2conn_feed(struct sn_h2conn *c, struct sn_slice in)
{
	int rc = sn_h2_feed(c->h2, in, sn_loop_now_ms(c->s->loop));

	if (rc)
		c->failed = rc;
	sn_h2conn_kick(c);
	return rc;
}

static void read_some(struct sn_h2conn *c)
{
	struct sn_loop *l = c->s->loop;
	char *buf = sn_loop_iobuf_get(l);
	int i;

	if (!buf) {
		over(c, -SN_ENOMEM);
		return;
	}
	for (i = 0; i < READS_PER_TURN && c->s->may_read && !c->failed; i++) {
		ssize_t n = sn_stream_read(c->s, buf, SN_IOBUF_BYTES);

		if (n == -SN_EAGAIN)
			break;
		if (n <= 0) {
			sn_loop_iobuf_put(l, buf);
			over(c, n < 0 ? (int)n : -SN_EOF);
			return;
		}
		if (sn_h2conn_feed(c, sn_slice(buf, (size_t)n)))
			break;
	}
	sn_loop_iobuf_put(l, buf);
	if (c->s->may_read && !c->failed)
		sn_loop_timer(l, &c->again, 0);
	if (c->was_read)
		c->was_read(c);
}

static void on_again(struct sn_timer *t, uint64_t now_ms)
{
	(void)now_ms;
	read_some(sn_container_of(t, struct sn_h2conn, again));
}

void sn_h2conn_event(struct sn_h2conn *c, unsigned events)
{
	if (events & SN_STREAM_WRITABLE) {
		if (sn_outq_flush(&c->out, c->s)) {
			over(c, -SN_ECONN);
			return;
		}
		if (sn_outq_empty(&c->out))
			sn_h2conn_kick(c);
	}
	if (events & SN_STREAM_READABLE)
		read_some(c);
}
