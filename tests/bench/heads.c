/* SPDX-License-Identifier: Apache-2.0 */
/* Parses or writes one head again and again: bench-heads runs it under callgrind with two numbers
 * of rounds and takes the difference. Usage: heads WHAT ROUNDS [scalar|sse42|avx2] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "http/chars.h"
#include "http/h1.h"
#include "http/headout.h"

#define FIELDS 100

static const char bench_request[] = "GET /echo HTTP/1.1\r\n"
				    "Host: 127.0.0.1:8080\r\n"
				    "User-Agent: wrk/4.1.0\r\n"
				    "Accept: */*\r\n"
				    "Connection: keep-alive\r\n"
				    "X-Request-Id: 4f2b9a7c\r\n"
				    "Accept-Encoding: gzip\r\n"
				    "\r\n";
static const char browser_request[] =
	"GET /products/search?q=running+shoes&page=2&sort=price HTTP/1.1\r\n"
	"Host: shop.example.com\r\n"
	"User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0\r\n"
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;"
	"q=0.8\r\n"
	"Accept-Language: en-US,en;q=0.5\r\n"
	"Accept-Encoding: gzip, deflate, br, zstd\r\n"
	"Referer: https://shop.example.com/products/search?q=running+shoes&page=1&sort=price\r\n"
	"Connection: keep-alive\r\n"
	"Cookie: session=8f14e45fceea167a5a36dedd4bea2543; theme=dark; "
	"_ga=GA1.2.1103.1700000000\r\n"
	"Upgrade-Insecure-Requests: 1\r\n"
	"Sec-Fetch-Dest: document\r\n"
	"Sec-Fetch-Mode: navigate\r\n"
	"Sec-Fetch-Site: same-origin\r\n"
	"Priority: u=0, i\r\n"
	"\r\n";
static const char bench_response[] = "HTTP/1.1 200 OK\r\n"
				     "Server: nginx/1.22.1\r\n"
				     "Date: Tue, 24 Nov 2026 22:47:53 GMT\r\n"
				     "Content-Type: text/plain; charset=utf-8\r\n"
				     "Content-Length: 1024\r\n"
				     "Connection: keep-alive\r\n"
				     "ETag: \"65a1b2c3-400\"\r\n"
				     "\r\n";

static const struct sn_h1_limits limits = {
	.head_bytes = 65536, .header_count = FIELDS, .request_line_bytes = 8192};

static struct sn_header fields[FIELDS];
static struct sn_request req = {.headers = {fields, 0, FIELDS}};
static struct sn_response resp = {.headers = {fields, 0, FIELDS}};

static int parse_request(struct sn_slice in)
{
	struct sn_h1_refusal why;
	size_t scanned = 0;

	return sn_h1_parse_request(in, &scanned, &limits, &req, &why);
}

static int parse_response(struct sn_slice in)
{
	struct sn_h1_refusal why;
	size_t scanned = 0;

	return sn_h1_parse_response(in, &scanned, &limits, SN_METHOD_GET, &resp, &why);
}

static const char chunked_body[] = "10\r\n0123456789abcdef\r\n20\r\n0123456789abcdef"
				   "0123456789abcdef\r\n0\r\n\r\n";

/* Two chunks and the end. */
static int read_chunked(struct sn_slice in)
{
	struct sn_h1_body b;
	struct sn_slice run;
	ptrdiff_t used = 1;

	sn_h1_body_init(&b, SN_FRAMING_CHUNKED, 0);
	while (!b.done && used > 0) {
		used = sn_h1_body_feed(&b, in, &run);
		in = sn_slice(in.p + used, in.n - (size_t)used);
	}
	return b.done;
}

static struct sn_buf out;

static int write_request(struct sn_slice in)
{
	sn_buf_reset(&out);
	return sn_headout_request(&out, in, &req, req.headers.n) == 0;
}

static int write_response(struct sn_slice in)
{
	sn_buf_reset(&out);
	return sn_headout_response(&out, in, &resp, SN_HEADOUT_AS_DECLARED, false) == 0;
}

static const struct {
	const char *name, *text;
	int (*prepare)(struct sn_slice in);
	int (*run)(struct sn_slice in);
} cases[] = {
	{"parse-bench-request", bench_request, parse_request, parse_request},
	{"parse-browser-request", browser_request, parse_request, parse_request},
	{"parse-response", bench_response, parse_response, parse_response},
	{"read-two-chunks", chunked_body, read_chunked, read_chunked},
	{"write-bench-request", bench_request, parse_request, write_request},
	{"write-browser-request", browser_request, parse_request, write_request},
	{"write-response", bench_response, parse_response, write_response},
};

static const char *const levels[] = {"scalar", "sse42", "avx2"};

static void choose_level(const char *name)
{
	for (size_t i = 0; i < SN_ARRAY_LEN(levels); i++) {
		const struct sn_char_scan *s = sn_char_scan_at((enum sn_char_level)i);

		if (s && strcmp(name, levels[i]) == 0)
			sn_char_scan_now = s;
	}
}

int main(int argc, char **argv)
{
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 10) : 1000;

	if (argc > 3)
		choose_level(argv[3]);

	for (size_t i = 0; i < SN_ARRAY_LEN(cases); i++) {
		struct sn_slice in = sn_slice_cstr(cases[i].text);

		if (argc < 2 || strcmp(argv[1], cases[i].name) != 0)
			continue;
		if (cases[i].prepare(in) <= 0)
			return 1;
		for (unsigned long r = 0; r < rounds; r++)
			if (cases[i].run(in) <= 0)
				return 1;
		return 0;
	}
	for (size_t i = 0; i < SN_ARRAY_LEN(cases); i++)
		puts(cases[i].name);
	return 0;
}
