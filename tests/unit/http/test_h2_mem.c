/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks by size, and whole exchanges in which each allocation fails once: the session may end, and
 * nothing is lost or told twice. */
#include "tests/unit/unit.h"

#include "base/buf.h"
#include "http/h2.h"
#include "http/h2_mem.h"

static void test_blocks(void **state)
{
	struct sn_h2_mem m;
	char *p[200], *q;

	(void)state;
	sn_h2_mem_init(&m);
	for (size_t i = 0; i < SN_ARRAY_LEN(p); i++) {
		p[i] = sn_h2_mem_get(&m, i * 10);
		assert_non_null(p[i]);
		assert_int_equal((uintptr_t)p[i] % 16, 0);
		memset(p[i], (int)i, i * 10);
	}
	for (size_t i = 1; i < SN_ARRAY_LEN(p); i++) {
		p[i] = sn_h2_mem_resize(&m, p[i], i * 20);
		assert_int_equal(p[i][i * 10 - 1], (char)i);
	}
	for (size_t i = 0; i < SN_ARRAY_LEN(p); i++)
		sn_h2_mem_put(&m, p[i]);
	q = sn_h2_mem_zeroed(&m, 7, 9);
	for (size_t i = 0; i < 63; i++)
		assert_int_equal(q[i], 0);
	sn_h2_mem_put(&m, q);
	sn_h2_mem_put(&m, NULL);
	assert_null(sn_h2_mem_get(&m, SIZE_MAX - 8));
	assert_null(sn_h2_mem_zeroed(&m, SIZE_MAX / 2, 3));
	q = sn_h2_mem_resize(&m, NULL, 5);
	sn_h2_mem_trim(&m);
	sn_h2_mem_put(&m, q);
	sn_h2_mem_trim(&m);
	assert_int_equal(m.n_free, 0);
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__) || !defined(__GLIBC__)
#define CAN_FAIL 0
#else
#define CAN_FAIL 1
#endif

#if CAN_FAIL
static long left = -1; /* allocations until one fails; negative: none does */

#define EXPORTED __attribute__((visibility("default")))
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
EXPORTED void *malloc(size_t n);
EXPORTED void *calloc(size_t n, size_t size);
EXPORTED void *realloc(void *p, size_t n);

static bool is_due(void)
{
	return left >= 0 && left-- == 0;
}

void *malloc(size_t n)
{
	return is_due() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
	return is_due() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
	return is_due() ? NULL : __libc_realloc(p, n);
}

static int n_open; /* streams that the owners know of */
static struct sn_h2_stream *waiting;

static void on_request(struct sn_h2_stream *s, struct sn_request *req, struct sn_slice head)
{
	struct sn_response resp = {.status = 200, .headers = req->headers};
	struct iovec iov = {(void *)(uintptr_t) "hello", 5};

	(void)head;
	n_open++;
	waiting = s;
	if (sn_h2_submit_response(s, &resp, false) != 0 || sn_h2_send(s, &iov, 1) != 0)
		sn_h2_reset(s, SN_H2_INTERNAL_ERROR);
}

static void on_response(struct sn_h2_stream *s, struct sn_response *resp, struct sn_slice head)
{
	(void)s;
	(void)resp;
	(void)head;
}

static void on_data(struct sn_h2_stream *s, struct sn_slice payload)
{
	sn_h2_consume(s, payload.n);
}

static void on_end(struct sn_h2_stream *s, const struct sn_headers *trailers, struct sn_slice head)
{
	(void)head;
	if (s == waiting && sn_h2_send_end(s, trailers) != 0)
		sn_h2_reset(s, SN_H2_INTERNAL_ERROR);
}

static void on_closed(struct sn_h2_stream *s, uint32_t error, bool unprocessed)
{
	(void)error;
	(void)unprocessed;
	n_open--;
	if (s == waiting)
		waiting = NULL;
}

static const struct sn_h2_events events = {.request = on_request,
					   .response = on_response,
					   .data = on_data,
					   .end = on_end,
					   .closed = on_closed};

static bool carry(struct sn_h2 *from, struct sn_h2 *to)
{
	struct sn_buf out;
	bool moved;

	sn_buf_init(&out, 0);
	(void)sn_h2_pull(from, &out, 65536);
	moved = sn_buf_len(&out) > 0;
	if (moved)
		(void)sn_h2_feed(to, sn_buf_slice(&out), 1);
	sn_buf_done(&out);
	return moved;
}

static void exchange(struct sn_h2 *c, struct sn_h2 *s)
{
	static char text[40000];
	struct sn_header v[] = {{SN_SLICE("cookie"), SN_SLICE("a=b"), SN_HDR_COOKIE, 0},
				{SN_SLICE("cookie"), SN_SLICE("c=d"), SN_HDR_COOKIE, 0},
				{SN_SLICE("x"), {text, 700}, SN_HDR_OTHER, 0}};
	struct sn_request req = {.method = SN_METHOD_POST,
				 .method_text = SN_SLICE("POST"),
				 .path = SN_SLICE("/"),
				 .authority = SN_SLICE("a"),
				 .headers = {v, 3, 3}};
	struct iovec iov = {text, sizeof(text)};
	struct sn_h2_stream *st;

	memset(text, 'x', sizeof(text));
	for (int i = 0; i < 2; i++) {
		if (sn_h2_submit_request(c, &req, false, NULL, &st) == 0) {
			n_open++;
			if (sn_h2_send(st, &iov, 1) != 0 || sn_h2_send_end(st, &req.headers) != 0)
				sn_h2_reset(st, SN_H2_CANCEL);
		}
		for (int k = 0; k < 50; k++)
			if (!carry(c, s) && !carry(s, c))
				break;
	}
	sn_h2_ping(c);
	sn_h2_shutdown_notice(s);
	sn_h2_shutdown(s);
	(void)carry(s, c);
}

static void test_no_memory(void **state)
{
	static const struct sn_h2_settings set = {.max_streams = 10,
						  .stream_window = 65535,
						  .connection_window = 1 << 20,
						  .header_bytes = 2000,
						  .header_count = 20};
	bool failed = true;

	(void)state;
	for (long n = 0; failed; n++) {
		struct sn_h2 *c, *s;

		assert_true(n < 100000);
		left = n;
		c = sn_h2_new(SN_H2_CLIENT, &set, &events, NULL);
		s = sn_h2_new(SN_H2_SERVER, &set, &events, NULL);
		if (c && s)
			exchange(c, s);
		sn_h2_free(c);
		sn_h2_free(s);
		failed = left < 0;
		left = -1;
		assert_int_equal(n_open, 0);
		assert_null(waiting);
	}
}
#endif

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_blocks),
#if CAN_FAIL
		cmocka_unit_test(test_no_memory),
#endif
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
