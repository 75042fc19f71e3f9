/* SPDX-License-Identifier: Apache-2.0 */
/* mesh/concurrency.h - how many requests in flight an upstream bears, found from its latency, after
 * Netflix' concurrency-limits (com.netflix.concurrency.limits.limit.Gradient2Limit in a
 * WindowedLimit): as long as latency is what it usually is the limit grows by a small queue; when
 * latency rises above `tolerance` times that, the limit shrinks in proportion.
 *
 * Where it differs: Gradient2's usual latency follows every sample, so under lasting overload it
 * learns the queue that it made itself, and the limit creeps up without end. Here the usual latency
 * rises only by samples that no queue of ours can have caused: taken while less than half of the
 * limit was used, or in a probe. A probe divides the limit by three for three windows,
 * while the limit is in use: every SN_CONCURRENCY_PROBE_NS (at least 30 windows), or after 10
 * windows when the last one was a surprise (BBR's ProbeRTT: Cardwell et al. 2016; as there, all
 * that share an upstream probe together, here by the clock: one of many alone would see their
 * queue). So an upstream that has become slower for good is believed, and one that was overloaded
 * when it was met is found out. Lower latency is believed always.
 *
 * One per (worker, service). Plain values, no allocation, a few additions per sample; the rest once
 * per window (twice the usual latency, 0.1..1 s, and ten samples). Time is an argument. */
#ifndef SN_MESH_CONCURRENCY_H
#define SN_MESH_CONCURRENCY_H

#include <stdbool.h>
#include <stdint.h>

#define SN_CONCURRENCY_PROBE_NS 10000000000ull

struct sn_concurrency {
	uint32_t min;
	uint32_t max;
	double limit;
	double usual_ns; /* the long average; 0: no sample yet */
	/* The present window. */
	uint64_t began_ns; /* when it began; 0: with the next sample */
	uint64_t sum_ns;   /* latencies of `n` answers */
	uint32_t n;
	uint32_t n_dropped;
	uint32_t max_in_flight;
	/* Probing. */
	uint64_t offset_ns; /* see sn_concurrency_align() */
	uint64_t probe_ns;  /* when the next is due */
	uint8_t probe;	    /* windows to go; 0: none */
};

/* Starts at @start, stays in @min..@max; 1 <= @min <= @start <= @max (put in order if not). */
void sn_concurrency_init(struct sn_concurrency *c, uint32_t min, uint32_t start, uint32_t max);
/* Other bounds from now on; what was learnt stays. */
void sn_concurrency_change(struct sn_concurrency *c, uint32_t min, uint32_t max);

/* A request has ended. @in_flight: how many there were when it ended, itself included. @dropped:
 * the upstream said no or nothing (503, 429, its time has passed): its latency does not count, and
 * a window in which a tenth or more was dropped shrinks the limit to nine tenths. For those that
 * the client gave up there is sn_concurrency_on_cancelled(). */
void sn_concurrency_on_sample(struct sn_concurrency *c, uint64_t latency_ns, uint32_t in_flight,
			      bool dropped, uint64_t now_ns);
/* The client gave up after @waited_ns without an answer, which would have taken longer: a sample of
 * that if it is more than usual, else nothing. Without it only the fast answers are heard of. */
void sn_concurrency_on_cancelled(struct sn_concurrency *c, uint64_t waited_ns, uint32_t in_flight,
				 uint64_t now_ns);
/* @offset_ns: what to add to this clock's times so that they are the same at all that share the
 * upstream: to begin their probes together. */
void sn_concurrency_align(struct sn_concurrency *c, uint64_t offset_ns);
/* Requests in flight that are to be allowed now, @min..@max. */
uint32_t sn_concurrency_limit(const struct sn_concurrency *c);

#endif
