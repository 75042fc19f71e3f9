/* SPDX-License-Identifier: Apache-2.0 */
/* How llhttp (Node.js' parser) reads a stream of HTTP/1 messages. Input, over and over: a line
 * "KIND BYTES" (KIND: q requests, r a response, h a response to HEAD), then so many bytes. Output
 * for each: a line "message METHOD-or-STATUS TARGET-IN-HEX BODY-IN-HEX" per whole message, then
 * "end ERROR", HPE_OK if it takes more. With a response, the end of input counts as its end. */
#include <llhttp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_MAX (4u << 20)

struct text {
	char *p;
	size_t n;
};

static char input[STREAM_MAX], target_bytes[STREAM_MAX], body_bytes[STREAM_MAX];
static struct text target = {target_bytes, 0}, body = {body_bytes, 0};
static bool head_only;

/* Both hold any part of the input. */
static int append(struct text *t, const char *at, size_t n)
{
	memcpy(t->p + t->n, at, n);
	t->n += n;
	return 0;
}

static int on_url(llhttp_t *p, const char *at, size_t n)
{
	(void)p;
	return append(&target, at, n);
}

static int on_body(llhttp_t *p, const char *at, size_t n)
{
	(void)p;
	return append(&body, at, n);
}

static int on_begin(llhttp_t *p)
{
	(void)p;
	target.n = body.n = 0;
	return 0;
}

static int on_headers_complete(llhttp_t *p)
{
	/* 1: no body follows. Both are left to the embedder, and Node.js does this. */
	return head_only || (p->type == HTTP_RESPONSE && p->status_code == 304);
}

static void print_hex(struct text t)
{
	static const char digits[] = "0123456789abcdef";

	putchar(' ');
	putchar('.'); /* never an empty field */
	for (size_t i = 0; i < t.n; i++) {
		putchar(digits[(uint8_t)t.p[i] >> 4]);
		putchar(digits[t.p[i] & 15]);
	}
}

static int on_complete(llhttp_t *p)
{
	if (p->type == HTTP_REQUEST)
		printf("message %s", llhttp_method_name((llhttp_method_t)p->method));
	else
		printf("message %u", (unsigned)p->status_code);
	print_hex(target);
	print_hex(body);
	putchar('\n');
	return 0;
}

static llhttp_errno_t read_stream(char kind, size_t n)
{
	llhttp_settings_t settings;
	llhttp_errno_t rc;
	llhttp_t parser;
	const char *at = input, *end = input + n;

	llhttp_settings_init(&settings);
	settings.on_message_begin = on_begin;
	settings.on_url = on_url;
	settings.on_body = on_body;
	settings.on_headers_complete = on_headers_complete;
	settings.on_message_complete = on_complete;
	head_only = kind == 'h';
	llhttp_init(&parser, kind == 'q' ? HTTP_REQUEST : HTTP_RESPONSE, &settings);
	do { /* each round uses up a message at least */
		rc = llhttp_execute(&parser, at, (size_t)(end - at));
		if (rc != HPE_PAUSED_UPGRADE)
			break;
		/* As a server that does not upgrade: what follows is another request. */
		at = llhttp_get_error_pos(&parser);
		llhttp_resume_after_upgrade(&parser);
	} while (kind == 'q' && at < end);
	if (rc == HPE_OK && kind != 'q')
		rc = llhttp_finish(&parser);
	return rc == HPE_PAUSED_UPGRADE ? HPE_OK : rc;
}

int main(void)
{
	unsigned long n;
	char kind, line[64];

	while (fgets(line, sizeof(line), stdin)) {
		char *rest;

		kind = line[0];
		n = strtoul(line + 1, &rest, 10);
		if (n > STREAM_MAX || fread(input, 1, n, stdin) != n)
			return 2;
		printf("end %s\n", llhttp_errno_name(read_stream(kind, n)));
		fflush(stdout);
	}
	return 0;
}
