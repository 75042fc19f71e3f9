/* SPDX-License-Identifier: Apache-2.0 */
/* An API server for unit tests: a thread on loopback that gives each request the next answer of a
 * script, and a loop whose clock runs as fast as the test wants. */
#ifndef SN_TESTS_UNIT_KUBE_API_H
#define SN_TESTS_UNIT_KUBE_API_H

#include "tests/unit/unit.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "kube/client.h"

#define API_REQUESTS 64

struct api {
	int fd;
	pthread_t thread;
	char url[64];
	const char *const *script; /* whole answers; NULL: none, the connection stays open */
	size_t n_script;
	atomic_size_t n; /* requests so far */
	char requests[API_REQUESTS][2048];
	int held[API_REQUESTS];
	size_t n_held;
	struct sn_clock_fake clock;
	struct sn_loop *loop;
	struct sn_kube *kube;
};

#define API_HEAD(code)                                                                             \
	"HTTP/1.1 " code "\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n"

/* Reads one request; -1 when the peer went away. */
static int api_read(int fd, char *dst, size_t cap)
{
	size_t n = 0;
	ssize_t got;
	char *end;

	while (n < cap - 1 && (got = recv(fd, dst + n, cap - 1 - n, 0)) > 0) {
		const char *length;

		n += (size_t)got;
		dst[n] = 0;
		end = strstr(dst, "\r\n\r\n");
		if (!end)
			continue;
		length = strcasestr(dst, "content-length: ");
		if (!length || n >= (size_t)(end + 4 - dst) + strtoul(length + 16, NULL, 10))
			return 0;
	}
	return -1;
}

static void *api_run(void *arg)
{
	struct api *a = arg;
	int fd;

	while ((fd = accept(a->fd, NULL, NULL)) >= 0) {
		size_t i = atomic_load(&a->n);
		const char *text;

		if (i == API_REQUESTS || api_read(fd, a->requests[i], sizeof(a->requests[i]))) {
			close(fd);
			continue;
		}
		text = i < a->n_script ? a->script[i] : NULL;
		if (text)
			(void)send(fd, text, strlen(text), MSG_NOSIGNAL);
		atomic_store(&a->n, i + 1);
		if (text)
			close(fd);
		else
			a->held[a->n_held++] = fd;
	}
	return NULL;
}

static void api_start(struct api *a, const char *const *script, size_t n, const char *token_file)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t size = sizeof(at);
	struct sn_err err = {0};
	struct sn_kube_settings set = {.token_file = token_file};

	memset(a, 0, sizeof(*a));
	a->script = script;
	a->n_script = n;
	a->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(a->fd, (struct sockaddr *)&at, sizeof(at)), 0);
	assert_int_equal(listen(a->fd, 16), 0);
	assert_int_equal(getsockname(a->fd, (struct sockaddr *)&at, &size), 0);
	snprintf(a->url, sizeof(a->url), "http://127.0.0.1:%u", ntohs(at.sin_port));
	assert_int_equal(pthread_create(&a->thread, NULL, api_run, a), 0);
	sn_clock_fake_init(&a->clock, 1000000000u);
	a->loop = sn_loop_new(&a->clock.clock, &err);
	assert_non_null(a->loop);
	set.server = a->url;
	a->kube = sn_kube_new(a->loop, &set, &err);
	assert_non_null(a->kube);
}

/* Turns until there were @n requests; our clock runs 20 ms a turn. Returns whether there were. */
static inline bool api_until(struct api *a, size_t n)
{
	int i;

	for (i = 0; i < 20000 && atomic_load(&a->n) < n; i++) {
		sn_clock_fake_advance_ms(&a->clock, 20);
		sn_loop_turn(a->loop, 1);
	}
	return atomic_load(&a->n) >= n;
}

static inline uint64_t api_ms(const struct api *a)
{
	return a->clock.ns / 1000000u;
}

static void api_stop(struct api *a)
{
	size_t i;

	sn_kube_free(a->kube);
	sn_loop_free(a->loop);
	shutdown(a->fd, SHUT_RDWR);
	pthread_join(a->thread, NULL);
	close(a->fd);
	for (i = 0; i < a->n_held; i++)
		close(a->held[i]);
}

#endif
