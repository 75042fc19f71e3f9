/* SPDX-License-Identifier: Apache-2.0 */
/* Mirrors, from the copy of a head to an answer that is thrown away.
 *
 *   prepare -> (waits for the body) -> start -> as any exchange -> done | answer, cut: failed
 */
#include "proxy/mirror.h"

#include <string.h>

#include "base/err.h"
#include "proxy/exchange.h"

#define MIRRORS_MAX 64	      /* at once, of a worker */
#define ANSWER_MAX (1u << 20) /* of it that is read */
#define LIMIT_MS 30000	      /* for all of it, once it has the whole request */

static void count(struct sn_stats_block *b, enum sn_filter_action what)
{
	if (b)
		b->filtered[what]++;
}

/* Ends it before it began, or behind its end. */
static void drop(struct sn_exchange *m)
{
	sn_loop_turn_end_cancel(m->w->loop, &m->filtered->mirrored.start);
	m->w->n_mirrors--;
	sn_exchange_drop(m, m->status);
}

/* Ends it in the middle. */
static void give_up(struct sn_exchange *m)
{
	sn_loop_turn_end_cancel(m->w->loop, &m->filtered->mirrored.start);
	m->w->n_mirrors--;
	sn_exchange_abort(m);
}

/* --- the client's side, where nobody is ---------------------------------------------------------
 */

static int down_respond(struct sn_exchange *m, struct sn_response *resp, struct sn_slice head)
{
	(void)m;
	(void)resp;
	(void)head;
	return 0;
}

/* What nobody reads is not read for ever. */
static int down_payload(struct sn_exchange *m, const struct iovec *iov, int n_iov)
{
	int i;

	for (i = 0; i < n_iov; i++)
		m->filtered->mirrored.n_read += iov[i].iov_len;
	if (m->filtered->mirrored.n_read <= ANSWER_MAX)
		return 0;
	give_up(m);
	return -SN_ECONN;
}

static int down_end(struct sn_exchange *m, const struct sn_headers *trailers, struct sn_slice head)
{
	(void)m;
	(void)trailers;
	(void)head;
	return 0;
}

static int down_flush(struct sn_exchange *m, bool now)
{
	(void)m;
	(void)now;
	return 0;
}

static bool down_full(struct sn_exchange *m)
{
	(void)m;
	return false;
}

static size_t down_waiting(struct sn_exchange *m)
{
	(void)m;
	return 0;
}

/* The whole request was there from the start: it is what another try would send. */
static void down_more(struct sn_exchange *m)
{
	(void)m;
}

static void down_cut(struct sn_exchange *m)
{
	count(m->filtered->mirrored.stats, SN_FILTERED_MIRROR_FAILED);
	drop(m);
}

static void down_answer(struct sn_exchange *m, unsigned status, const char *word,
			const char *detail)
{
	(void)status;
	(void)word;
	(void)detail;
	down_cut(m);
}

static void down_done(struct sn_exchange *m)
{
	drop(m);
}

static const struct sn_down down_nobody = {
	.respond = down_respond,
	.payload = down_payload,
	.end = down_end,
	.flush = down_flush,
	.full = down_full,
	.waiting = down_waiting,
	.more = down_more,
	.answer = down_answer,
	.cut = down_cut,
	.done = down_done,
};

/* --- the copy -----------------------------------------------------------------------------------
 */

static void move(struct sn_slice *s, struct sn_slice from, const char *to)
{
	if (s->p >= from.p && s->p < from.p + from.n)
		s->p = to + (s->p - from.p);
}

static bool copy_slice(struct sn_arena *a, struct sn_slice *s)
{
	s->p = sn_arena_dup(a, s->n ? s->p : "", s->n);
	return s->p != NULL;
}

/* The request as it is now, in memory of @m's own; what the snapshot holds stays there. */
static bool copy_request(struct sn_exchange *m, const struct sn_exchange *x)
{
	struct sn_arena *a = &m->filtered->arena;
	struct sn_headers to = m->req.headers;
	const struct sn_headers *from = &x->req.headers;
	char *head = sn_arena_dup(a, x->head.p, x->head.n);
	uint32_t i;

	if (!head || from->n > to.cap)
		return false;
	for (i = 0; i < from->n; i++) {
		to.v[i] = from->v[i];
		move(&to.v[i].name, x->head, head);
		move(&to.v[i].value, x->head, head);
	}
	to.n = from->n;
	m->req = x->req;
	m->req.headers = to;
	m->req.text = sn_slice("", 0); /* it goes with the client's stream */
	m->head = sn_slice(head, x->head.n);
	m->n_parsed = x->n_parsed;
	m->hop = x->hop;
	move(&m->hop.seen, x->head, head);
	return copy_slice(a, &m->req.method_text) && copy_slice(a, &m->req.target) &&
	       copy_slice(a, &m->req.path) && copy_slice(a, &m->req.authority) &&
	       copy_slice(a, &m->req.scheme);
}

/* @m has as much time as @x, and one try. */
static void copy_terms(struct sn_exchange *m, const struct sn_exchange *x)
{
	uint64_t now = sn_loop_now_ms(x->w->loop);

	m->hop.no_retry = true;
	m->hop.mirrored = true;
	m->grpc = x->grpc;
	m->grpc_timeout_ns = x->grpc_timeout_ns;
	m->start_ns = x->start_ns;
	if (sn_timer_is_set(&x->deadline))
		sn_exchange_set_deadline(m,
					 x->deadline.due_ms > now ? x->deadline.due_ms - now : 1);
	if (x->rule->request_timeout_ms)
		sn_exchange_set_deadline(m, x->rule->request_timeout_ms);
}

static struct sn_exchange *new_mirror(struct sn_exchange *x)
{
	struct sn_worker *w = x->w;
	struct sn_exchange *m = sn_exchange_new(w, NULL, &down_nobody);

	if (!m)
		return NULL;
	if (!sn_filter_keep(m) || !copy_request(m, x)) {
		sn_exchange_discard(m);
		return NULL;
	}
	m->snap = sn_snapshot_ref(x->snap);
	w->n_requests++;
	w->n_mirrors++;
	copy_terms(m, x);
	return m;
}

/* --- on its way ---------------------------------------------------------------------------------
 */

static void on_start(struct sn_task *t)
{
	struct sn_mirrored *r = sn_container_of(t, struct sn_mirrored, start);
	struct sn_exchange *m = sn_container_of(r, struct sn_filtered, mirrored)->x;

	sn_exchange_set_deadline(m, LIMIT_MS);
	sn_choose_mirror(m, r->backend, r->asked_port);
	count(r->stats, SN_FILTERED_MIRROR_SENT);
	sn_tries_next(m);
}

static void launch(struct sn_exchange *m)
{
	sn_list_del(&m->link);
	sn_list_push_back(&m->w->mirrors, &m->link);
	sn_loop_at_turn_end(m->w->loop, &m->filtered->mirrored.start, on_start);
}

static void prepare(struct sn_exchange *x, const struct sn_target *t,
		    const struct sn_backend_ref *backend)
{
	struct sn_stats_block *b = sn_choose_rule_stats(x, t);
	struct sn_worker *w = x->w;
	struct sn_filtered *k;
	struct sn_exchange *m;

	if (x->req.framing == SN_FRAMING_LENGTH && x->req.content_length > w->limits.buffer_bytes) {
		count(b, SN_FILTERED_MIRROR_TOO_LARGE);
		return;
	}
	k = sn_filter_keep(x);
	m = k && backend->service_id >= 0 && w->n_mirrors < MIRRORS_MAX && !sn_worker_is_tight(w)
		    ? new_mirror(x)
		    : NULL;
	if (!m) {
		count(b, SN_FILTERED_MIRROR_DROPPED);
		return;
	}
	m->filtered->mirrored.backend = backend;
	m->filtered->mirrored.asked_port = t->port;
	m->filtered->mirrored.stats = b;
	if (m->req.framing == SN_FRAMING_NONE)
		launch(m);
	else
		sn_list_push_back(&k->mirrors, &m->link);
}

void sn_mirror_prepare(struct sn_exchange *x, const struct sn_target *t)
{
	const struct sn_filters *f = x->rule->filters;
	size_t i;

	if (x->hop.mirrored || x->req.upgrade)
		return;
	for (i = 0; i < f->n_mirrors; i++)
		if (sn_share_draw(f->mirrors[i].share, &x->w->rng))
			prepare(x, t, &f->mirrors[i].backend);
}

static struct sn_exchange *mirror_of(struct sn_list *link)
{
	return sn_list_entry(link, struct sn_exchange, link);
}

void sn_mirror_payload(struct sn_exchange *x, const struct iovec *iov, int n_iov)
{
	sn_list_each(&x->filtered->mirrors, at, next)
	{
		struct sn_exchange *m = mirror_of(at);

		sn_replay_keep(&m->replay, iov, n_iov, x->w->limits.buffer_bytes);
		if (!m->replay.lost)
			continue;
		count(m->filtered->mirrored.stats, SN_FILTERED_MIRROR_TOO_LARGE);
		drop(m);
	}
}

void sn_mirror_end(struct sn_exchange *x)
{
	sn_list_each(&x->filtered->mirrors, at, next)
	{
		mirror_of(at)->replay.whole = true;
		launch(mirror_of(at));
	}
}

void sn_mirror_forget(struct sn_exchange *x)
{
	sn_list_each(&x->filtered->mirrors, at, next)
	{
		count(mirror_of(at)->filtered->mirrored.stats, SN_FILTERED_MIRROR_DROPPED);
		drop(mirror_of(at));
	}
}

void sn_mirror_end_all(struct sn_worker *w)
{
	struct sn_list *at;

	/* One that ends may take others with it, by the connection that they wait for. */
	while ((at = sn_list_first(&w->mirrors)))
		give_up(mirror_of(at));
}
