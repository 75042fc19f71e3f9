/* SPDX-License-Identifier: Apache-2.0 */
/* A limit that somebody has to configure is wrong on the day the upstream is scaled. Latency says
 * when an upstream has more than it can do at once, before it fails.
 *
 *	window of samples ──► short = their mean
 *	gradient = clamp(TOLERANCE x usual / short, 0.5, 1)
 *	limit    = smoothed(limit x gradient + sqrt(limit))
 *
 * In equilibrium short is TOLERANCE / (1 - 1 / sqrt(limit)) times the usual latency: a queue of
 *half to once what the upstream works on, which is what keeps it busy. */
#include "mesh/concurrency.h"

#include <math.h>

#define TOLERANCE 1.5
#define SMOOTHING 0.2	  /* of the limit, towards what a window says */
#define USUAL_WEIGHT 0.05 /* of a window in the usual latency, if it is believed ... */
#define LOWER_WEIGHT 0.01 /* ... and if only because it is lower: noise goes both ways */
#define DROP_FACTOR 0.9
#define DROP_SHARE 10 /* one in so many is too many */
#define WINDOW_MIN_NS 100000000ull
#define WINDOW_MAX_NS 1000000000ull
#define SAMPLES_MIN 10
#define SURPRISE 0.2	      /* of the usual latency */
#define SOON_NS 1000000000ull /* ... then at a multiple of that */
#define PROBE_DEPTH 3
#define PROBE_WINDOWS 3 /* two until the queue has drained, one that counts */

static double clamp(double v, double low, double high)
{
	return v < low ? low : v > high ? high : v;
}

void sn_concurrency_change(struct sn_concurrency *c, uint32_t min, uint32_t max)
{
	c->min = min ? min : 1;
	c->max = max > c->min ? max : c->min;
	c->limit = clamp(c->limit, c->min, c->max);
}

void sn_concurrency_init(struct sn_concurrency *c, uint32_t min, uint32_t start, uint32_t max)
{
	*c = (struct sn_concurrency){.limit = start};
	sn_concurrency_change(c, min, max);
}

uint32_t sn_concurrency_limit(const struct sn_concurrency *c)
{
	double limit = c->probe ? c->limit / PROBE_DEPTH : c->limit;

	return (uint32_t)clamp(limit, c->min, c->max);
}

static void begin_window(struct sn_concurrency *c, uint64_t now_ns)
{
	c->began_ns = now_ns ? now_ns : 1;
	c->sum_ns = 0;
	c->n = c->n_dropped = c->max_in_flight = 0;
}

/* How long a window is: long enough for the effect of the last change to show. */
static uint64_t window_ns(const struct sn_concurrency *c)
{
	return (uint64_t)clamp(2 * c->usual_ns, WINDOW_MIN_NS, WINDOW_MAX_NS);
}

/* With few samples it takes up to ten times as long; then they have to do. */
static bool is_window_over(const struct sn_concurrency *c, uint64_t now_ns)
{
	uint64_t ns = now_ns > c->began_ns ? now_ns - c->began_ns : 0;

	return ns >= window_ns(c) &&
	       (c->n + c->n_dropped >= SAMPLES_MIN || ns >= 10 * window_ns(c));
}

/* A probe costs three windows, so it is a matter of windows when the next can be afforded. Then at
 * a time when others probe too: a probe by one of many that share an upstream would see the queue
 * of the others, take it for what is usual, and so would they in turn. */
static void plan_probe(struct sn_concurrency *c, bool soon, uint64_t now_ns)
{
	uint64_t rest_ns = window_ns(c) * (soon ? 10 : 30);
	uint64_t step_ns = soon ? SOON_NS : SN_CONCURRENCY_PROBE_NS, at_ns = now_ns + c->offset_ns;

	at_ns += rest_ns + step_ns - 1;
	c->probe_ns = at_ns - at_ns % step_ns - c->offset_ns;
}

/* @believed: no queue of ours can be the reason if it is longer than usual. */
static void learn_usual(struct sn_concurrency *c, double short_ns, bool believed)
{
	if (c->usual_ns == 0)
		c->usual_ns = short_ns;
	else if (believed)
		c->usual_ns += (short_ns - c->usual_ns) * USUAL_WEIGHT;
	else if (short_ns < c->usual_ns)
		c->usual_ns += (short_ns - c->usual_ns) * LOWER_WEIGHT;
}

/* Two windows for the queue to drain, then what is seen is what the upstream takes by itself. It
 * replaces the average: there is not much else to hear from. A third of the limit can still be
 * too much, so a probe that has changed something is soon followed by another. */
static void end_probe_window(struct sn_concurrency *c, double short_ns, uint64_t now_ns)
{
	bool surprise = fabs(short_ns - c->usual_ns) > SURPRISE * c->usual_ns;

	if (--c->probe)
		return;
	if (short_ns > 0)
		c->usual_ns = short_ns;
	plan_probe(c, surprise, now_ns);
}

static void adapt(struct sn_concurrency *c, double short_ns)
{
	double gradient = clamp(TOLERANCE * c->usual_ns / short_ns, 0.5, 1);
	double next = c->limit * gradient + sqrt(c->limit);

	c->limit = clamp(c->limit + (next - c->limit) * SMOOTHING, c->min, c->max);
}

static void end_window(struct sn_concurrency *c, uint64_t now_ns)
{
	double short_ns = c->n ? (double)c->sum_ns / c->n : 0;
	bool in_use = c->max_in_flight * 2.0 >= c->limit;
	bool dropping = c->n_dropped && c->n_dropped * (uint64_t)DROP_SHARE >= c->n + c->n_dropped;

	if (c->probe) {
		end_probe_window(c, short_ns, now_ns);
		return;
	}
	if (short_ns > 0)
		learn_usual(c, short_ns, !in_use);
	if (dropping)
		c->limit = clamp(c->limit * DROP_FACTOR, c->min, c->max);
	else if (in_use && short_ns > 0)
		adapt(c, short_ns);
	if (!in_use)
		plan_probe(c, false, now_ns);
	else if (now_ns >= c->probe_ns)
		c->probe = PROBE_WINDOWS;
}

void sn_concurrency_on_sample(struct sn_concurrency *c, uint64_t latency_ns, uint32_t in_flight,
			      bool dropped, uint64_t now_ns)
{
	if (c->began_ns == 0) {
		begin_window(c, now_ns);
		plan_probe(c, true, now_ns);
	}
	if (in_flight > c->max_in_flight)
		c->max_in_flight = in_flight;
	if (dropped) {
		c->n_dropped++;
	} else {
		c->n++;
		c->sum_ns += latency_ns;
	}
	if (!is_window_over(c, now_ns))
		return;
	end_window(c, now_ns);
	begin_window(c, now_ns);
}

void sn_concurrency_on_cancelled(struct sn_concurrency *c, uint64_t waited_ns, uint32_t in_flight,
				 uint64_t now_ns)
{
	if ((double)waited_ns > c->usual_ns)
		sn_concurrency_on_sample(c, waited_ns, in_flight, false, now_ns);
}

void sn_concurrency_align(struct sn_concurrency *c, uint64_t offset_ns)
{
	c->offset_ns = offset_ns % SN_CONCURRENCY_PROBE_NS;
}
