/* SPDX-License-Identifier: Apache-2.0 */
/* One address, its pools. */
#include "proxy/peer.h"

#include <stdlib.h>

#include "proxy/exchange.h"

#define UP_STREAM_WINDOW_FLOOR 65535u

struct sn_peer {
	struct sn_worker *w;
	struct sn_addr to;
	struct sn_peer_settings set;
	struct sn_pool *h1;
	struct sn_h2pool *h2;
	uint64_t generation;
};

struct sn_peer *sn_peer_new(struct sn_worker *w, const struct sn_addr *to,
			    const struct sn_peer_settings *settings, uint64_t generation)
{
	struct sn_peer *p = calloc(1, sizeof(*p));

	if (!p)
		return NULL;
	p->w = w;
	p->to = *to;
	p->set = *settings;
	p->generation = generation;
	return p;
}

static void h2_settings(const struct sn_peer *p, struct sn_h2pool_settings *s)
{
	const struct sn_config_limits *lim = &p->w->limits;
	uint32_t window = (uint32_t)lim->buffer_bytes;

	*s = (struct sn_h2pool_settings){
		.pool = p->set.pool,
		.session = {.max_streams = 0,
			    .stream_window = window > UP_STREAM_WINDOW_FLOOR
						     ? window
						     : UP_STREAM_WINDOW_FLOOR,
			    .connection_window = 16u << 20,
			    .header_bytes = (uint32_t)lim->header_bytes,
			    .header_count = (uint32_t)lim->header_count,
			    .extra_headers = SN_ADDED_HEADERS,
			    .trusted = p->set.mesh},
	};
}

uint64_t sn_peer_generation(const struct sn_peer *p)
{
	return p->generation;
}

void sn_peer_configure(struct sn_peer *p, const struct sn_peer_settings *settings,
		       uint64_t generation)
{
	struct sn_h2pool_settings s;

	p->set = *settings;
	p->generation = generation;
	if (p->h1)
		sn_pool_configure(p->h1, &settings->pool);
	if (p->h2) {
		h2_settings(p, &s);
		sn_h2pool_configure(p->h2, &s);
	}
}

struct sn_pool *sn_peer_h1(struct sn_peer *p)
{
	if (!p->h1)
		p->h1 = sn_pool_new(p->w->loop, &p->to, &p->set.pool);
	return p->h1;
}

struct sn_h2pool *sn_peer_h2(struct sn_peer *p)
{
	struct sn_h2pool_settings s;

	if (!p->h2) {
		h2_settings(p, &s);
		p->h2 = sn_h2pool_new(p->w->loop, &p->to, &s, &sn_up_h2_events, &p->w->frames);
	}
	return p->h2;
}

void sn_peer_retire(struct sn_peer *p, bool now)
{
	if (p->h1)
		sn_pool_retire(p->h1);
	if (p->h2 && now)
		sn_h2pool_end(p->h2);
	else if (p->h2)
		sn_h2pool_retire(p->h2, &p->w->retired);
	free(p);
}

bool sn_peer_is_unused(const struct sn_peer *p)
{
	return (!p->h1 || sn_pool_is_unused(p->h1)) && (!p->h2 || sn_h2pool_is_unused(p->h2));
}

const struct sn_addr *sn_peer_addr(const struct sn_peer *p)
{
	return &p->to;
}
