/* SPDX-License-Identifier: Apache-2.0 */
/* The HTTP/2 origin of `make bench`: one thread, cleartext, the same 200 for every request. It
 * reads frame headers only and never decodes a header block (its answer does not depend on one), so
 * that it costs the load's core next to nothing. Flow control is honoured for the connection; a
 * stream's window must be at least the body. PORT BYTES. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define CONNECTIONS 1024
#define IN_BYTES 65536
#define OUT_BYTES (1 << 21)
#define STREAMS 1000 /* at once, as announced */
#define PREFACE 24

enum { DATA = 0, HEADERS = 1, SETTINGS = 4, PING = 6, WINDOW_UPDATE = 8 };
enum { END_STREAM = 1, ACK = 1, END_HEADERS = 4 };
enum { SETTING_TABLE = 1, SETTING_STREAMS = 3, SETTING_WINDOW = 4 };

struct connection {
	size_t skip; /* of the preface */
	int64_t window;
	bool no_table, table_filled;
	uint32_t waiting[STREAMS]; /* answers that wait for the window: a ring */
	unsigned first, n_waiting;
	size_t n_in, n_out;
	unsigned char in[IN_BYTES], out[OUT_BYTES];
};

static struct connection *connections[CONNECTIONS]; /* by file descriptor */
static unsigned char *body;
static size_t body_bytes;
static char length_text[24];
static int ep;

static void die(const char *why)
{
	fprintf(stderr, "origin_h2: %s\n", why);
	exit(1);
}

static uint32_t get32(const unsigned char *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put(struct connection *c, const void *p, size_t n)
{
	if (n > sizeof(c->out) - c->n_out)
		die("a peer that does not read");
	memcpy(c->out + c->n_out, p, n);
	c->n_out += n;
}

static void put_frame(struct connection *c, size_t n, unsigned type, unsigned flags, uint32_t id)
{
	unsigned char h[9] = {
		(unsigned char)(n >> 16),  (unsigned char)(n >> 8),  (unsigned char)n,
		(unsigned char)type,	   (unsigned char)flags,     (unsigned char)(id >> 24),
		(unsigned char)(id >> 16), (unsigned char)(id >> 8), (unsigned char)id};

	put(c, h, sizeof(h));
}

static size_t literal(unsigned char *to, const char *prefix, size_t n_prefix, const char *value)
{
	size_t n = strlen(value);

	memcpy(to, prefix, n_prefix);
	to[n_prefix] = (unsigned char)n;
	memcpy(to + n_prefix + 1, value, n);
	return n_prefix + 1 + n;
}

/* :status 200, content-type, server (indexed from the second answer on, as encoders do) and
 * content-length (never indexed, as nghttp2 does). RFC 7541. */
static size_t block(struct connection *c, unsigned char *to)
{
	size_t n = 0;

	if (c->no_table && !c->table_filled)
		to[n++] = 0x20;
	to[n++] = 0x88;
	if (c->no_table) {
		n += literal(to + n, "\x0f\x10", 2, "text/plain");
		n += literal(to + n, "\x0f\x27", 2, "origin");
	} else if (!c->table_filled) {
		n += literal(to + n, "\x5f", 1, "text/plain");
		n += literal(to + n, "\x76", 1, "origin");
	} else {
		to[n++] = 0xbf;
		to[n++] = 0xbe;
	}
	c->table_filled = true;
	return n + literal(to + n, "\x0f\x0d", 2, length_text);
}

static void answer(struct connection *c, uint32_t id)
{
	unsigned char head[100];
	size_t n = block(c, head);

	put_frame(c, n, HEADERS, END_HEADERS, id);
	put(c, head, n);
	put_frame(c, body_bytes, DATA, END_STREAM, id);
	put(c, body, body_bytes);
	c->window -= (int64_t)body_bytes;
}

static void answer_or_wait(struct connection *c, uint32_t id)
{
	if (c->n_waiting == 0 && c->window >= (int64_t)body_bytes) {
		answer(c, id);
		return;
	}
	if (c->n_waiting == STREAMS)
		die("more streams than announced");
	c->waiting[(c->first + c->n_waiting++) % STREAMS] = id;
}

static void on_settings(struct connection *c, const unsigned char *p, size_t n)
{
	for (; n >= 6; p += 6, n -= 6) {
		unsigned id = (unsigned)p[0] << 8 | p[1];
		uint32_t value = get32(p + 2);

		if (id == SETTING_TABLE && value < 4096)
			c->no_table = true;
		if (id == SETTING_WINDOW && value < body_bytes)
			die("a stream window below the body");
	}
	put_frame(c, 0, SETTINGS, ACK, 0);
}

static void on_frame(struct connection *c, unsigned type, unsigned flags, uint32_t id,
		     const unsigned char *p, size_t n)
{
	switch (type) {
	case HEADERS:
		if (!(flags & END_HEADERS))
			die("CONTINUATION is not supported");
		if (flags & END_STREAM)
			answer_or_wait(c, id);
		break;
	case DATA:
		if (flags & END_STREAM)
			answer_or_wait(c, id);
		break;
	case SETTINGS:
		if (!(flags & ACK))
			on_settings(c, p, n);
		break;
	case PING:
		if (!(flags & ACK) && n == 8) {
			put_frame(c, 8, PING, ACK, 0);
			put(c, p, 8);
		}
		break;
	case WINDOW_UPDATE:
		if (id == 0 && n == 4)
			c->window += get32(p) & 0x7fffffff;
		for (; c->n_waiting > 0 && c->window >= (int64_t)body_bytes; c->n_waiting--) {
			answer(c, c->waiting[c->first]);
			c->first = (c->first + 1) % STREAMS;
		}
		break;
	default:
		break;
	}
}

/* All whole frames of c->in; the rest moves to its beginning. */
static void on_bytes(struct connection *c)
{
	const unsigned char *p = c->in, *end = c->in + c->n_in;
	size_t skip = c->skip < c->n_in ? c->skip : c->n_in;

	p += skip;
	c->skip -= skip;
	while (end - p >= 9) {
		size_t n = (size_t)p[0] << 16 | (size_t)p[1] << 8 | p[2];

		if (n > IN_BYTES - 9)
			die("a frame above SETTINGS_MAX_FRAME_SIZE");
		if ((size_t)(end - p) < 9 + n)
			break;
		on_frame(c, p[3], p[4], get32(p + 5) & 0x7fffffff, p + 9, n);
		p += 9 + n;
	}
	c->n_in = (size_t)(end - p);
	memmove(c->in, p, c->n_in);
}

static void serve(int fd)
{
	struct connection *c = connections[fd];
	ssize_t n;
	size_t room;

	do { /* edge-triggered: until a read comes back short */
		room = sizeof(c->in) - c->n_in;
		n = read(fd, c->in + c->n_in, room);
		if (n > 0) {
			c->n_in += (size_t)n;
			on_bytes(c);
		}
	} while (n == (ssize_t)room);
	if (c->n_out > 0 && (n > 0 || (n < 0 && errno == EAGAIN))) {
		ssize_t w = write(fd, c->out, c->n_out);

		if (w > 0) {
			c->n_out -= (size_t)w;
			memmove(c->out, c->out + w, c->n_out);
		}
		if (w < 0 && errno != EAGAIN)
			n = 0;
	}
	if (n == 0 || (n < 0 && errno != EAGAIN)) {
		free(c);
		connections[fd] = NULL;
		close(fd);
	}
}

static void accept_one(int listener)
{
	struct epoll_event e = {.events = EPOLLIN | EPOLLOUT | EPOLLET};
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC), one = 1;
	unsigned char streams[6] = {0, SETTING_STREAMS, 0, 0, STREAMS >> 8, STREAMS & 255};

	if (fd < 0)
		return;
	if (fd >= CONNECTIONS)
		die("too many connections");
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	connections[fd] = malloc(sizeof(*connections[fd]));
	if (!connections[fd])
		die("out of memory");
	memset(connections[fd], 0, offsetof(struct connection, in));
	connections[fd]->skip = PREFACE;
	connections[fd]->window = 65535;
	put_frame(connections[fd], sizeof(streams), SETTINGS, 0, 0);
	put(connections[fd], streams, sizeof(streams));
	e.data.fd = fd;
	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
}

int main(int argc, char **argv)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	struct epoll_event events[256], e = {.events = EPOLLIN};
	int listener, one = 1, i, n;

	if (argc != 3)
		return 2;
	signal(SIGPIPE, SIG_IGN);
	at.sin_port = htons((uint16_t)strtoul(argv[1], NULL, 10));
	body_bytes = strtoul(argv[2], NULL, 10);
	body = malloc(body_bytes + 1);
	if (!body || body_bytes > 16384)
		die("BYTES is at most 16384");
	memset(body, 'x', body_bytes);
	snprintf(length_text, sizeof(length_text), "%zu", body_bytes);
	listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(listener, (struct sockaddr *)&at, sizeof(at)) || listen(listener, 1024)) {
		perror("origin_h2");
		return 1;
	}
	ep = epoll_create1(EPOLL_CLOEXEC);
	e.data.fd = listener;
	epoll_ctl(ep, EPOLL_CTL_ADD, listener, &e);
	for (;;) {
		n = epoll_wait(ep, events, 256, -1);
		for (i = 0; i < n; i++)
			if (events[i].data.fd == listener)
				accept_one(listener);
			else
				serve(events[i].data.fd);
	}
}
